"""Version 2 of ladestrom's own stream, as another ladestrom reports it on: parts of snapshots, and changes.

    {"type": "snapshot", "evses": [{"station": "NOR_01333", "evse": "NO*ABC*E1", "status": "AVAILABLE", ...}]}
    {"type": "changes", "changes": [{"evse": "NO*ABC*E1", "status": "CHARGING", "observed_at": "...", ...}]}

Whether a message may come at all, and when a snapshot is complete, is the session's to say
(`client.v2_session`); here it is read by itself. A status that the other board lost is nothing that somebody
observed, and so no report: the EVSE is given up, and taken again by whatever comes next, however old that is.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

from ladestrom.core.words import Vocabulary
from ladestrom.errors import MalformedBody, TooLarge
from ladestrom.model import Millis, Status
from ladestrom.protocols.delivery import UNREADABLE, Delivery, Gathering, ParseLimits, millis

_STATUSES: Final = Vocabulary({status.value: status for status in Status})


class Row(msgspec.Struct, frozen=True, gc=False):
    """One EVSE."""

    evse: str
    status: str
    error: int = 0
    observed_at: datetime | None = None
    changed_at: datetime | None = None


class Message(msgspec.Struct, frozen=True):
    """What matters of any message."""

    type: str
    evses: tuple[Row, ...] = ()
    changes: tuple[Row, ...] = ()


_decode = msgspec.json.Decoder(Message).decode


def receive(frame: bytes, source: str, received_at: Millis, limits: ParseLimits) -> Delivery:
    """Reads one message. Of an EVSE that is told of several times, what came last counts.

    Raises:
        MalformedBody: it is no message of the stream.
        TooLarge: it has more than `limits.items_max` EVSEs.
    """
    try:
        message = _decode(frame)
    except (*UNREADABLE, msgspec.ValidationError) as error:
        raise MalformedBody(f"the message is none of the stream ({error})") from error
    rows = message.evses or message.changes
    if len(rows) > limits.items_max:
        raise TooLarge(f"the message has {len(rows)} EVSEs; at most {limits.items_max} are taken")
    gathering = Gathering(source, received_at, limits.skew_ms)
    unknown: list[str] = []
    for row in {row.evse: row for row in rows}.values():
        status = _STATUSES.find(row.status)
        written_at = row.observed_at or row.changed_at
        at = None if written_at is None else millis(written_at)
        if status is None:
            gathering.word(row.evse, None, at, row.status)
        elif status is Status.UNKNOWN and not row.error:
            unknown.append(row.evse)
        else:
            gathering.report(row.evse, status, row.error == 1, at, row.status)
    made = gathering.delivery()
    return msgspec.structs.replace(made, unknown=unknown) if unknown else made
