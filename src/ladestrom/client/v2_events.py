"""What version 2 of the stream says, as its consumer understands it: rows, events, faults.

Knows the messages one by one; what they mean after one another is the session's to say. Reads leniently:
members and words that a later server adds do no harm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

import msgspec

from ladestrom.model import Position

HEARTBEAT_S: Final = 20
"""Where the server does not say."""


class Was(msgspec.Struct, frozen=True, gc=False):
    """What an EVSE was before a change."""

    status: str
    error: int


class EvseState(msgspec.Struct, frozen=True, gc=False):
    """State of one EVSE as the stream tells it."""

    station: str
    evse: str
    """Its name on the wire. Names compare in the form of `core.digests.wire_key`."""
    status: str
    error: int
    changed_at: str | None = None
    """ISO 8601, UTC; None while nothing was ever reported."""
    observed_at: str | None = None
    source: str = ""
    cause: str = ""
    was: Was | None = None
    """In changes: what it was before."""
    uid: str | None = None
    """The operator's own id, where it has one; another operator may have the same."""


Record = Mapping[str, Any]
"""A station's record as the stream tells it: `uuid`, `revision`, and what its register says."""


class Greeted(msgspec.Struct, frozen=True):
    """The server's first words."""

    server: str
    licence: str
    attribution: str
    """Whose data it is; to be shown with it."""


class Reset(msgspec.Struct, frozen=True):
    """What was missed cannot be had any more; a snapshot follows."""

    reason: str
    """`epoch`: the log was made anew; `ahead`: it lacks what we know; `expired`: it keeps less."""


class Selected(msgspec.Struct, frozen=True):
    """Another selection holds from now on; its snapshot follows."""

    selection: Mapping[str, str]


class Refused(msgspec.Struct, frozen=True):
    """The server refused a `select`; the selection stays what it was."""

    code: str
    detail: str


class Synced(msgspec.Struct, frozen=True):
    """A snapshot is complete: the board is new."""

    position: Position
    missed: Sequence[EvseState] = ()
    """Rows that differ from what the session knew before; empty for its first snapshot."""
    gone: Sequence[EvseState] = ()
    """Rows that are no longer there."""


class Changed(msgspec.Struct, frozen=True):
    """These EVSEs have changed, in order."""

    position: Position
    """Up to where the board holds now. It stays where it was until a batch is complete."""
    rows: Sequence[EvseState]


class Recorded(msgspec.Struct, frozen=True):
    """These stations have another record, came into the selection, or left it."""

    position: Position
    """As in `Changed`."""
    stations: Sequence[Record]
    gone: Sequence[str]
    """Uuids."""
    rows: Sequence[EvseState] = ()
    """Changes of EVSEs that came with them, in mode `every`."""


class Confirmed(msgspec.Struct, frozen=True):
    """A heartbeat's count and digest equal the board's: in step."""

    position: Position


class Leaving(msgspec.Struct, frozen=True):
    """The server goes away: reconnect after this time."""

    retry_after_ms: int


class Ended(msgspec.Struct, frozen=True):
    """The last event where the transport has no close codes of its own."""

    code: int
    """As a WebSocket would be closed with."""
    reason: str


class Noted(msgspec.Struct, frozen=True, gc=False):
    """A message that does not move the board: part of a whole, or of a type that this version knows not."""

    type: str


class FaultKind(StrEnum):
    """What shows that the board is not the server's."""

    MALFORMED = "malformed"
    GAP = "gap"
    """`prev` is not our position."""
    BACKWARDS = "backwards"
    OTHER_EPOCH = "other_epoch"
    DIGEST = "digest"
    """In step by number, and yet another state."""
    CHANGES_BEFORE_STATE = "changes_before_state"
    TOO_LARGE = "too_large"
    """A snapshot or batch over `HELD_ROWS_MAX`."""


class Fault(msgspec.Struct, frozen=True):
    """The board cannot be trusted: close the connection; the next one asks for a snapshot."""

    kind: FaultKind
    detail: str


Event = (
    Greeted
    | Reset
    | Selected
    | Refused
    | Synced
    | Changed
    | Recorded
    | Confirmed
    | Leaving
    | Ended
    | Noted
    | Fault
)


class _Limits(msgspec.Struct):
    heartbeat_s: float = HEARTBEAT_S


class AnyMessage(msgspec.Struct):
    """Every member that some message has."""

    type: str
    epoch: str = ""
    seq: int = -1
    prev: int = -1
    part: int = 0
    parts: int = 0
    evses: tuple[EvseState, ...] = ()
    changes: tuple[EvseState, ...] = ()
    stations: tuple[dict[str, Any], ...] = ()
    gone: tuple[str, ...] = ()
    count: int = -1
    digest: str = ""
    stations_digest: str | None = None
    retry_after_ms: int = 0
    server: str = ""
    limits: _Limits | None = None
    licence: str = ""
    attribution: str = ""
    code: str | int = ""
    detail: str = ""
    reason: str = ""


decode = msgspec.json.Decoder(AnyMessage).decode


def place(read: AnyMessage) -> str:
    """Where a message stands, for people."""
    return f"{read.epoch[:40]}-{read.seq}"
