"""Changes and rows of checkpoints as bytes, the same in every log that outlives its process.

Knows JSON, and what of many rows is one object in memory. Must not know where the bytes are kept.
"""

from __future__ import annotations

import secrets
import string
from collections.abc import Iterable
from typing import Any, Final

import msgspec
from msgspec.structs import force_setattr

from ladestrom.model import AnyChange, Change, StationChange
from ladestrom.ports.log import BoardRow, StationRow

EPOCH_ALPHABET: Final = string.ascii_lowercase + string.digits
EPOCH_CHARS: Final = 8
SHARED_MAX: Final = 100_000
"""Values of which there is one object for all rows, while the board is read: some 15 MB."""
_SHARED_OF_ROWS: Final = ("observed_at", "heard_at", "source", "feed", "former")
_SHARED_OF_CHANGES: Final = (
    "station", "changed_at", "observed_at", "received_at", "source", "raw", "was_source"
)  # fmt: skip
"""What many EVSEs have in common, or one has several times."""

encode = msgspec.json.Encoder().encode
decode_row: Final = msgspec.json.Decoder(BoardRow).decode
decode_station: Final = msgspec.json.Decoder(StationRow).decode
_decode_status: Final = msgspec.json.Decoder(Change).decode
_decode_record: Final = msgspec.json.Decoder(StationChange).decode
_decode_statuses: Final = msgspec.json.Decoder(list[Change]).decode
_decode_each: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode


def new_epoch() -> str:
    """An epoch that no log had before."""
    return "".join(secrets.choice(EPOCH_ALPHABET) for _ in range(EPOCH_CHARS))


def decode_change(body: str | bytes | float | None) -> AnyChange:
    """What stands in an entry: an array is the change of a status, an object that of a station's record.

    In a damaged file there may be anything.
    """
    is_record = isinstance(body, str) and body.startswith("{")
    return _decode_record(body) if is_record else _decode_status(body)  # type: ignore[arg-type]


def decode_changes(body: bytes, *, has_records: bool) -> list[AnyChange]:
    """The changes of an array, as `encode` writes it."""
    if not has_records:
        return [*_decode_statuses(body)]
    return [
        _decode_record(each) if bytes(each).startswith(b"{") else _decode_status(each)
        for each in _decode_each(body)
    ]


class Same:
    """Lets what is read one after another have what is equal in all of it: half of it, in memory."""

    def __init__(self) -> None:
        self._known: dict[object, Any] = {}

    def row(self, decoded: BoardRow) -> BoardRow:
        """A row that was just decoded."""
        self._share(decoded.change, _SHARED_OF_CHANGES)
        self._share(decoded, _SHARED_OF_ROWS)
        return decoded

    def change(self, decoded: Change) -> None:
        """A change that was just decoded."""
        self._share(decoded, _SHARED_OF_CHANGES)

    def _share(self, decoded: BoardRow | Change, names: Iterable[str]) -> None:
        if len(self._known) > SHARED_MAX:
            self._known.clear()
        share = self._known.setdefault
        for name in names:
            value = getattr(decoded, name)
            force_setattr(decoded, name, share(value, value))
