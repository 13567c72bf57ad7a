"""Recordings of charging: what was recorded, as observations in order of time.

Knows two forms, told apart by their first line: CSV `ts_ms,id,occupied`, and JSON lines of sessions
`{"start", "end", "id_pdc_itinerance"}` as the French national data has them. Knows no files: lines of
bytes come in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from ladestrom.client.reports import Observation
from ladestrom.errors import TooLarge
from ladestrom.model import Millis, Status
from ladestrom.quoting import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable

OBSERVATIONS_MAX: Final = 5_000_000
"""Held in memory to be put in order: some 130 bytes each, 650 MB in all."""
BAD_LINES_KEPT_MAX: Final = 1_000
ID_CHARACTERS_MAX: Final = 255
INSTANT_MAX: Final = 253_402_300_799_999
"""End of the year 9999."""

CSV_COLUMNS: Final = ("ts_ms", "id", "occupied")
OCCUPIED: Final = {
    "1": Status.CHARGING,
    "true": Status.CHARGING,
    "0": Status.AVAILABLE,
    "false": Status.AVAILABLE,
}


class BadLine(msgspec.Struct, frozen=True, gc=False):
    """A line that was skipped."""

    line: int
    """Counts from 1."""
    why: str


class Recording(msgspec.Struct, frozen=True):
    """What a recording holds."""

    observations: Sequence[Observation]
    """By `observed_at`. Of equal ones an end stands before a start, so that a place which is handed
    over is taken afterwards; otherwise in the order of the lines."""
    bad: Sequence[BadLine]
    """The first 1,000."""
    bad_count: int
    lines: int


class _Session(msgspec.Struct, frozen=True, gc=False):
    start: Millis
    end: Millis
    id_pdc_itinerance: str


class _Unreadable(Exception):
    """Why a line cannot be used."""


_session = msgspec.json.Decoder(_Session)


def read_recording(lines: Iterable[bytes], observations_max: int = OBSERVATIONS_MAX) -> Recording:
    """Reads all lines and puts what they say in order of time. Empty lines count, and say nothing.

    Raises:
        TooLarge: more than `observations_max`; split the recording into pieces.
    """
    observations: list[Observation] = []
    bad: list[BadLine] = []
    bad_count = number = 0
    columns: tuple[int, int, int] | None = None
    sessions: bool | None = None
    for number, line in enumerate(lines, 1):
        text = line.strip().removeprefix(b"\xef\xbb\xbf") if number == 1 else line.strip()
        if not text:
            continue
        try:
            if sessions is None:
                sessions = text.startswith(b"{")
                columns = None if sessions else _header(text)
                if columns is not None:
                    continue
            if sessions:
                observations += _from_session(text)
            else:
                observations.append(_from_row(text, columns or (0, 1, 2)))
        except _Unreadable as error:
            bad_count += 1
            if len(bad) < BAD_LINES_KEPT_MAX:
                bad.append(BadLine(number, str(error)))
        if len(observations) > observations_max:
            raise TooLarge(f"more than {observations_max} observations by line {number}; split the recording")
    observations.sort(key=lambda each: (each.observed_at, each.status is Status.CHARGING))
    return Recording(observations, bad, bad_count, number)


def _from_session(text: bytes) -> tuple[Observation, Observation]:
    try:
        session = _session.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _Unreadable(str(error)) from error
    if session.end <= session.start:
        raise _Unreadable(f"the session ends at {session.end}, which is not after its start, {session.start}")
    evse = _evse(session.id_pdc_itinerance)
    return (
        Observation(evse, Status.CHARGING, _instant(session.start)),
        Observation(evse, Status.AVAILABLE, _instant(session.end)),
    )


def _header(text: bytes) -> tuple[int, int, int] | None:
    """Places of the columns, where the line names them."""
    names = [name.lower() for name in _fields(text)]
    if "ts_ms" not in names:
        return None
    missing = [name for name in CSV_COLUMNS if name not in names]
    if missing:
        raise _Unreadable(f"the header lacks {', '.join(missing)}")
    return names.index("ts_ms"), names.index("id"), names.index("occupied")


def _from_row(text: bytes, columns: tuple[int, int, int]) -> Observation:
    fields = _fields(text)
    if len(fields) <= max(columns):
        raise _Unreadable(f"{len(fields)} fields; expected {','.join(CSV_COLUMNS)}")
    at, evse, occupied = (fields[place] for place in columns)
    if not (at.isascii() and at.isdigit()):
        raise _Unreadable(f"{quoted(at, 40)} is not an instant in milliseconds")
    status = OCCUPIED.get(occupied.lower())
    if status is None:
        raise _Unreadable(f"occupied is {quoted(occupied, 40)}; expected 0 or 1")
    return Observation(_evse(evse), status, _instant(int(at[:20])))


def _fields(text: bytes) -> list[str]:
    try:
        return [field.strip().strip('"') for field in text.decode().split(",")]
    except UnicodeDecodeError as error:
        raise _Unreadable("the line is not UTF-8") from error


def _evse(written: str) -> str:
    if not 0 < len(written) <= ID_CHARACTERS_MAX:
        raise _Unreadable(f"an id of {len(written)} characters; expected 1 to {ID_CHARACTERS_MAX}")
    return written


def _instant(at: int) -> Millis:
    if not 0 <= at <= INSTANT_MAX:
        raise _Unreadable(f"{at} is not an instant in milliseconds of the years 1970 to 9999")
    return at
