"""Version 2 of ladestrom's own stream, as another ladestrom reports it on: parts of snapshots, and changes.

    {"type": "snapshot", "evses": [{"station": "NOR_01333", "evse": "NO*ABC*E1", "status": "AVAILABLE", ...}]}
    {"type": "changes", "changes": [{"evse": "NO*ABC*E1", "status": "CHARGING", "observed_at": "...", ...}]}

Whether a message may come at all, and when a snapshot is complete, is the session's to say
(`client.v2_session`); here it is read by itself. A status that the other board lost is nothing that somebody
observed, and so no report: the EVSE is given up, and taken again by whatever comes next, however old that is.

A registry key is a name of the other board, unless NOBIL gave its station the number. An EVSE that has no
other name is found by its uid, among those of the operator that the source reports for.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

from ladestrom.core.merge import is_nobils
from ladestrom.core.words import Vocabulary
from ladestrom.errors import MalformedBody, TooLarge
from ladestrom.model import Order, Reason, Status, registry_key
from ladestrom.protocols.delivery import UNKNOWN, UNREADABLE, Delivery, Gathering, ParseLimits, millis, shown
from ladestrom.quoting import quoted

_WORDS: Final = {status.value: status for status in Status}
_STATUSES: Final = Vocabulary(_WORDS)


class EvseState(msgspec.Struct, frozen=True, gc=False):
    """One EVSE, as a snapshot or a change states it."""

    evse: str
    status: str
    uid: str | None = None
    error: int = 0
    observed_at: datetime | None = None
    changed_at: datetime | None = None


class BoardMessage(msgspec.Struct, frozen=True):
    """What matters of any message."""

    type: str
    evses: tuple[EvseState, ...] = ()
    changes: tuple[EvseState, ...] = ()


_decode = msgspec.json.Decoder(BoardMessage).decode


def receive(frame: bytes, source: str, limits: ParseLimits) -> Delivery:
    """Reads one message. Of an EVSE that is told of several times, what came last counts.

    Raises:
        MalformedBody: it is no message of the stream.
        TooLarge: it has more than `limits.items_max` EVSEs.
    """
    try:
        message = _decode(frame)
    except (*UNREADABLE, msgspec.ValidationError) as error:
        raise MalformedBody(f"the message is not one of the stream ({error})") from error
    rows = message.evses or message.changes
    if len(rows) > limits.items_max:
        raise TooLarge(f"the message has {len(rows)} EVSEs; at most {limits.items_max} are taken")
    gathering = Gathering(source, Order.ARRIVAL)
    unknown: list[str] = []
    for row in {row.evse: row for row in rows}.values():
        said = row.status
        status = _WORDS.get(said) or _STATUSES.find(said)
        written_at = row.observed_at or row.changed_at
        at = None if written_at is None else millis(written_at)
        # Only what has an underscore can be a registry key.
        written, also = _ids(row) if "_" in row.evse else (row.evse, row.uid or "")
        if not written:
            what = f"{quoted(shown(row.evse))} is a name of the other board only, and the EVSE has no uid"
            gathering.refuse(Reason.UNKNOWN_EVSE, what)
        elif status is None:
            gathering.word(written, None, at, said, also)
        elif status is UNKNOWN and not row.error:
            unknown.append(written)
        else:
            gathering.word(written, status, at, said, also, error=row.error == 1)
    made = gathering.delivery()
    return msgspec.structs.replace(made, unknown=unknown) if unknown else made


def _ids(row: EvseState) -> tuple[str, str]:
    """By what the EVSE is known here too, and another one; empty where it is known by nothing."""
    key = registry_key(row.evse)
    if key and not is_nobils(key):
        return row.uid or "", ""
    return row.evse, row.uid or ""
