"""One consumer's conversation with version 2 of the stream.

Knows the messages, folds them into a board, checks that none is missing (`prev`) and that the board is the
server's (`digest`), and decides from where to resume. Knows no socket, clock or randomness.

    a snapshot is the whole truth once its last part came; changes are absolute, so one that comes
    twice does no harm; `prev` that is not our position means that something was lost.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

import msgspec

from ladestrom.model import Position

HIDDEN: Final = frozenset({"PLANNED", "REMOVED"})
"""Statuses that are not part of the state."""


class Row(msgspec.Struct, frozen=True):
    """State of one EVSE as the stream tells it."""

    station: str
    evse: str
    status: str
    error: int
    changed_at: str | None = None
    observed_at: str | None = None
    source: str = ""
    cause: str = ""


class Synced(msgspec.Struct, frozen=True):
    """A snapshot is complete: the board is new."""

    position: Position


class Changed(msgspec.Struct, frozen=True):
    """These EVSEs have changed, in order."""

    position: Position
    rows: Sequence[Row]


class Confirmed(msgspec.Struct, frozen=True):
    """A heartbeat's digest equals the board's: in step."""

    position: Position


class Leaving(msgspec.Struct, frozen=True):
    """The server goes away: reconnect after this time."""

    retry_after_ms: int


class Noted(msgspec.Struct, frozen=True):
    """A message that does not move the board."""

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


class Fault(msgspec.Struct, frozen=True):
    """The board cannot be trusted: close the connection; the next one asks for a snapshot."""

    kind: FaultKind
    detail: str


Event = Synced | Changed | Confirmed | Leaving | Noted | Fault


class _Message(msgspec.Struct):
    type: str
    epoch: str = ""
    seq: int = -1
    prev: int = -1
    part: int = 0
    parts: int = 0
    evses: tuple[Row, ...] = ()
    changes: tuple[Row, ...] = ()
    digest: str = ""
    retry_after_ms: int = 0


_decode = msgspec.json.Decoder(_Message).decode


class V2Session:
    """A consumer's memory over all its connections.

    The shell calls `open` when a connection stands and `receive` for each message.
    """

    def __init__(self, statuses: frozenset[str] = frozenset()) -> None:
        self.board: dict[str, Row] = {}
        """By EVSE. To be read only."""
        self.position: Position | None = None
        """Up to where the board holds."""
        self.confirmed = 0
        """Digests that were equal."""
        self._statuses = statuses
        self._digest = 0
        self._parts: list[Row] = []
        self._next_part = 0
        self._reset = False

    @property
    def since(self) -> str | None:
        """`EPOCH-SEQ` to resume from on the next connection; None asks for a snapshot."""
        return None if self.position is None else str(self.position)

    def open(self) -> None:
        """A connection stands that was asked for with `since`; half a snapshot of the last one is void."""
        self._parts = []
        self._next_part = 0

    def select(self, statuses: frozenset[str] = frozenset()) -> None:
        """A `select` was sent: the board is void until the snapshot that follows `selected`."""
        self._statuses = statuses

    def receive(self, message: bytes | str) -> Event:
        """What one message says. Faults are values; nothing but a bug raises."""
        try:
            read = _decode(message)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return self._fault(FaultKind.MALFORMED, str(error))
        match read.type:
            case "snapshot":
                return self._snapshot(read)
            case "changes":
                return self._changes(read)
            case "heartbeat":
                return self._heartbeat(read)
            case "reset" | "selected":
                self.position = None
            case "drain":
                return Leaving(read.retry_after_ms)
        return Noted(read.type)

    def _snapshot(self, read: _Message) -> Event:
        if read.part == 1:
            self._parts = []
            self._next_part = 1
        if read.part != self._next_part:
            return self._fault(FaultKind.GAP, f"part {read.part} of the snapshot after {self._next_part - 1}")
        self._next_part += 1
        self._parts.extend(read.evses)
        if read.part < read.parts:
            return Noted(read.type)
        self.board = {row.evse: row for row in self._parts}
        self._digest = 0
        for row in self.board.values():
            self._digest ^= digest_of(row)
        self._parts = []
        self.position = Position(read.epoch, read.seq)
        return Synced(self.position)

    def _changes(self, read: _Message) -> Event:
        fault = self._check(read)
        if fault is not None:
            return fault
        for row in read.changes:
            before = self.board.pop(row.evse, None)
            if before is not None:
                self._digest ^= digest_of(before)
            if row.status not in HIDDEN and (not self._statuses or row.status in self._statuses):
                self.board[row.evse] = row
                self._digest ^= digest_of(row)
        self.position = Position(read.epoch, read.seq)
        return Changed(self.position, read.changes)

    def _heartbeat(self, read: _Message) -> Event:
        fault = self._check(read)
        if fault is not None:
            return fault
        if read.digest != f"{self._digest:08x}":
            return self._fault(
                FaultKind.DIGEST, f"{read.digest} there, {self._digest:08x} here, at {read.epoch}-{read.seq}"
            )
        self.confirmed += 1
        self.position = Position(read.epoch, read.seq)
        return Confirmed(self.position)

    def _check(self, read: _Message) -> Fault | None:
        at = self.position
        if at is None:
            return self._fault(
                FaultKind.CHANGES_BEFORE_STATE, f"{read.type} {read.epoch}-{read.seq} came first"
            )
        if read.epoch != at.epoch:
            return self._fault(FaultKind.OTHER_EPOCH, f"{read.type} {read.epoch}-{read.seq} after {at}")
        if read.prev != at.seq:
            return self._fault(FaultKind.GAP, f"{read.type} with prev {read.prev} after {at}")
        if read.seq < at.seq:
            return self._fault(FaultKind.BACKWARDS, f"{read.type} {read.epoch}-{read.seq} after {at}")
        return None

    def _fault(self, kind: FaultKind, detail: str) -> Fault:
        self.position = None
        return Fault(kind, detail)


def digest_of(row: Row) -> int:
    """What one EVSE adds to the digest: the CRC-32 of `evse|status|error|changed_at`."""
    return zlib.crc32(f"{row.evse}|{row.status}|{row.error}|{row.changed_at or ''}".encode())
