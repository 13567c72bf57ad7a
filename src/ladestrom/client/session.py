"""One consumer's conversation with the NOBIL real-time stream, version 1.

Knows the frames, folds them into a board, and decides from where to resume, how long to stay away and
whether to come back at all. Knows no socket, clock or randomness: the chance of a delay is an argument.

    a snapshot is always the whole truth; an update is the whole truth about one station;
    within one epoch `seq` only grows; what breaks this is a fault, and after a fault the
    next connection asks for a snapshot.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

import msgspec

from ladestrom.errors import (
    BadRequest,
    LadestromError,
    NotAllowed,
    NotFound,
    Unauthenticated,
)
from ladestrom.model import Millis, Position

if TYPE_CHECKING:
    from collections.abc import Mapping

FRAME_BYTES_MAX: Final = 256 * 1024 * 1024
"""The largest frame is the snapshot of everything: a million EVSEs at some 60 bytes each, four times over."""

DELAY_FIRST_S: Final = 0.5
"""Longest stay away after a connection that was in step: a restart takes about as long."""
DELAY_MAX_S: Final = 30.0
"""Longest stay away. With an even spread, all consumers are back within a minute of an outage's end."""


class ConnectorStatus(msgspec.Struct, frozen=True, gc=False):
    """One connector as the stream tells it. Look at `error` first."""

    status: int
    """-1 unknown, 0 available, 1 occupied."""
    error: int
    """1: an error is on the connector."""
    timestamp: Millis
    """When status or error last changed; -1 while nothing is known."""


class StationStatus(msgspec.Struct, frozen=True, gc=False):
    """One station as the stream tells it, its connectors in registry order."""

    uuid: str
    connectors: tuple[ConnectorStatus, ...]
    status: int | None = None
    """2 error, -1 unknown, 0 available, 1 occupied; None where the server leaves it out."""


class Snapshot(msgspec.Struct, frozen=True):
    """The board is new from here on."""

    position: Position | None
    """None from servers that do not number their messages."""
    stations: tuple[StationStatus, ...]
    missed: tuple[StationStatus, ...]
    """Those that differ from what the session knew before; empty for its first snapshot."""


class Update(msgspec.Struct, frozen=True):
    """One station has changed."""

    position: Position | None
    station: StationStatus
    before: StationStatus | None
    """What the session knew; None for a station that is new to it."""


class Raw(msgspec.Struct, frozen=True, gc=False):
    """A report that the server received, a change or not. Lossy; the board does not move."""

    uuid: str
    connector: int
    """Counts from 0."""
    status: int
    error: int
    timestamp: Millis


class Skipped(msgspec.Struct, frozen=True, gc=False):
    """A message of a type that this version does not know."""

    type: str


class FaultKind(StrEnum):
    """What a server can do wrong."""

    MALFORMED = "malformed"
    """Not the JSON that its type says."""
    UPDATE_BEFORE_SNAPSHOT = "update_before_snapshot"
    """There is nothing to apply the update to."""
    BACKWARDS = "backwards"
    """`seq` did not grow: something was sent twice, or the log lost its end."""
    OTHER_EPOCH = "other_epoch"
    """The log was made anew, and no snapshot said so."""


class Fault(msgspec.Struct, frozen=True):
    """The connection cannot be trusted any more: close it. The board was not touched."""

    kind: FaultKind
    detail: str


Event = Snapshot | Update | Raw | Skipped | Fault


class Phase(StrEnum):
    """Where a connection stands."""

    CLOSED = "closed"
    NEW = "new"
    """Open; asked for a snapshot."""
    RESUMING = "resuming"
    """Open; asked for what was missed."""
    LIVE = "live"
    """In step."""


class Head(msgspec.Struct, frozen=True):
    """What a message says of itself."""

    type: str
    epoch: str | None = None
    seq: int | None = None

    @property
    def position(self) -> Position | None:
        """None from servers that do not number their messages."""
        return None if self.epoch is None or self.seq is None else Position(self.epoch, self.seq)


class _Message(Head, frozen=True):
    data: msgspec.Raw = msgspec.Raw(b"null")


SNAPSHOT: Final = "snapshot:init"
UPDATE: Final = "status:update"
RAW: Final = "status:raw"

TRANSITIONS: Final[Mapping[tuple[Phase, str], Phase | FaultKind]] = {
    (Phase.NEW, SNAPSHOT): Phase.LIVE,
    (Phase.NEW, UPDATE): FaultKind.UPDATE_BEFORE_SNAPSHOT,
    (Phase.NEW, RAW): Phase.NEW,
    (Phase.RESUMING, SNAPSHOT): Phase.LIVE,
    (Phase.RESUMING, UPDATE): Phase.LIVE,
    (Phase.RESUMING, RAW): Phase.RESUMING,
    (Phase.LIVE, SNAPSHOT): Phase.LIVE,
    (Phase.LIVE, UPDATE): Phase.LIVE,
    (Phase.LIVE, RAW): Phase.LIVE,
}
"""What a message does to a connection. A type that is in no row is skipped."""

_TYPES: Final = frozenset(kind for _, kind in TRANSITIONS)

UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What reading a message raises that is none of the stream."""

_head = msgspec.json.Decoder(Head)
_message = msgspec.json.Decoder(_Message)
_stations = msgspec.json.Decoder(tuple[StationStatus, ...])
_station = msgspec.json.Decoder(StationStatus)
_raw = msgspec.json.Decoder(Raw)


def head(frame: bytes) -> Head:
    """What a message says of itself; nothing else of it is kept.

    Raises:
        DecodeError, UnicodeDecodeError, RecursionError: it is no message of the stream.
    """
    return _head.decode(frame)


class Standing:
    """Where a consumer stands, over all its connections. Of the stations it knows nothing.

    The shell calls `open` when a connection stands, `move` for each message, and `lose` when the
    connection has gone or a fault came.
    """

    def __init__(self) -> None:
        self.position: Position | None = None
        """Up to where what was told is known."""
        self.phase = Phase.CLOSED
        self._back_off = BackOff()
        self._faulty = False

    @property
    def since(self) -> str | None:
        """`EPOCH-SEQ` to resume from on the next connection; None asks for a snapshot."""
        return None if self.position is None else str(self.position)

    def forget(self) -> None:
        """What was told is not to be built on: the next connection asks for a snapshot."""
        self.position = None
        if self.phase is not Phase.CLOSED:
            self.phase = Phase.NEW

    def open(self) -> None:
        """A connection stands that was asked for with `since`."""
        self.phase = Phase.NEW if self.position is None else Phase.RESUMING
        self._faulty = False

    def move(self, told: Head) -> Fault | None:
        """Goes to where a message stands that a consumer may be told now; else says what is wrong."""
        if told.type not in _TYPES:
            return None
        phase = TRANSITIONS[self.phase, told.type]
        if isinstance(phase, FaultKind):
            return self._fault(phase, f"{told.type} {told.epoch}-{told.seq} came first")
        if told.type != RAW:
            last, at = self.position, told.position
            fault = None if last is None or at is None else self._misplaced(told.type, at, last)
            if fault is not None:
                return fault
            self.position = at
        self.phase = phase
        return None

    def _misplaced(self, kind: str, at: Position, last: Position) -> Fault | None:
        if kind == SNAPSHOT:
            # A snapshot of the same log that is older than what is known: the log lost what it had told.
            if at.epoch == last.epoch and at < last:
                return self._fault(FaultKind.BACKWARDS, f"a snapshot at {at} after {last}")
        elif at.epoch != last.epoch:
            return self._fault(FaultKind.OTHER_EPOCH, f"an update at {at} after {last}")
        elif at.seq <= last.seq:
            return self._fault(FaultKind.BACKWARDS, f"an update at {at} after {last}")
        return None

    def malformed(self, error: Exception) -> Fault:
        """A message could not be read (`UNREADABLE`)."""
        is_text = not isinstance(error, UnicodeDecodeError)
        return self._fault(FaultKind.MALFORMED, str(error) if is_text else "the frame is not UTF-8")

    def _fault(self, kind: FaultKind, detail: str) -> Fault:
        self._faulty = True
        self.position = None
        return Fault(kind, detail)

    def lose(self, chance: float, *, lasted_s: float = 0.0, retry_after_s: float = 0.0) -> float:
        """The connection has gone, or never came about: how many seconds to stay away.

        Args:
            chance: an even random number in [0, 1).
            lasted_s: how long the connection stood. One that resumed and heard nothing for long was
                in step all the same: there was nothing to hear.
            retry_after_s: what the server asked for.
        """
        in_step = self.phase is Phase.LIVE or lasted_s >= DELAY_MAX_S
        self.phase = Phase.CLOSED
        return self._back_off.lost(chance, well=in_step and not self._faulty, retry_after_s=retry_after_s)


class Session(Standing):
    """A consumer's memory over all its connections: where it stands, and the board.

    The shell calls `receive` for each frame instead of `move`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.board: dict[str, StationStatus] = {}
        """Station uuid to what was last told of it. To be read only."""
        self._told_before = False

    def receive(self, frame: bytes | str) -> Event:
        """What one text frame says. Faults are values; nothing but a bug raises."""
        if self.phase is Phase.CLOSED:
            raise RuntimeError("a frame without a connection: call open() first")
        told: tuple[StationStatus, ...] | StationStatus | Raw | Skipped
        try:
            read = _message.decode(frame)
            match read.type:
                case "snapshot:init":
                    told = _stations.decode(read.data)
                case "status:update":
                    told = _station.decode(read.data)
                case "status:raw":
                    told = _raw.decode(read.data)
                case other:
                    told = Skipped(other)
        except UNREADABLE as error:
            return self.malformed(error)
        fault = self.move(read)
        if fault is not None:
            return fault
        match told:
            case tuple():
                return self._fold_snapshot(told)
            case StationStatus():
                return self._fold_update(told)
        return told

    def _fold_snapshot(self, stations: tuple[StationStatus, ...]) -> Snapshot:
        known = self.board
        missed = tuple(each for each in stations if known.get(each.uuid) != each) if self._told_before else ()
        self.board = {each.uuid: each for each in stations}
        self._told_before = True
        return Snapshot(self.position, stations, missed)

    def _fold_update(self, station: StationStatus) -> Update:
        before = self.board.get(station.uuid)
        self.board[station.uuid] = station
        return Update(self.position, station, before)


class BackOff:
    """How often in a row it went wrong, and so how long to stay away."""

    def __init__(self) -> None:
        self.failures = 0
        """Connections in a row that never were in step, or ended with a fault."""

    def lost(self, chance: float, *, well: bool, retry_after_s: float = 0.0) -> float:
        """Seconds to stay away after a connection that went `well`, or not.

        Args:
            chance: an even random number in [0, 1).
            well: it was in step, and ended without a fault.
            retry_after_s: what the server asked for; at most `DELAY_MAX_S` of it is granted.
        """
        self.failures = 0 if well else self.failures + 1
        return max(delay_s(self.failures, chance), min(retry_after_s, DELAY_MAX_S))


def delay_s(failures: int, chance: float) -> float:
    """Seconds to stay away after so many failures in a row, spread evenly from 0.

    The longest doubles from `DELAY_FIRST_S` to `DELAY_MAX_S`. `chance` is a random number in [0, 1).
    """
    # 2 ** 16 s is far above the longest; a float of 2 ** 1024 would overflow.
    return min(DELAY_MAX_S, DELAY_FIRST_S * 2.0 ** min(failures, 16)) * chance


CLOSED_FOR_GOOD: Final = range(4400, 4500)
"""WebSocket close codes after which something has to be changed first."""
CLIENT_ERRORS: Final = range(400, 500)
WORTH_RETRYING: Final = frozenset({408, 429})
"""Request Timeout and Too Many Requests: client errors that pass (RFC 9110, RFC 6585)."""

REFUSED: Final[Mapping[int, type[LadestromError]]] = {
    400: BadRequest,
    401: Unauthenticated,
    403: NotAllowed,
    404: NotFound,
    4400: BadRequest,
    4401: Unauthenticated,
    4403: NotAllowed,
    4404: NotFound,
}
"""HTTP status or WebSocket close code, and the error that it is to the caller."""


def refusal(code: int, detail: str) -> LadestromError | None:
    """The error to raise where coming back is no use; None where it is.

    Args:
        code: HTTP status, or WebSocket close code.
        detail: what the server said.
    """
    if code in CLOSED_FOR_GOOD or (code in CLIENT_ERRORS and code not in WORTH_RETRYING):
        return REFUSED.get(code, BadRequest)(detail or f"the server refused with {code}")
    return None
