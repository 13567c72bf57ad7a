"""The board: last known status of every EVSE that some operator may report on. Decide, apply, expire.

`Round.decide` changes nothing that anyone sees; `Board.apply` runs after the append succeeded. A failed
append therefore leaves nothing to undo, and recovery is a board made of the log's rows.
Knows nothing of registries, ownership or time: what is passed in was resolved and allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

import msgspec

from ladestrom.core.rules import normal_error, rank
from ladestrom.model import (
    NEVER,
    Cause,
    Change,
    Entry,
    Evse,
    Millis,
    Reason,
    Status,
    StatusReport,
    Suppression,
)
from ladestrom.ports import BoardRow

UNCHANGED: Final = Suppression(Reason.UNCHANGED)
STALE: Final = Suppression(Reason.STALE)

NOT_THERE: Final = (Status.REMOVED, False)
"""What an EVSE was before it came onto the board, or to another station: who counts must not count it off."""

EXPIRABLE: Final = frozenset(Status) - {Status.UNKNOWN, Status.PLANNED, Status.REMOVED}
"""Statuses that claim something about this moment, and so end when nobody confirms them.

So does UNKNOWN with an error.
"""


class Cell:
    """One EVSE on the board: its last change, and what confirmed it since."""

    __slots__ = ("change", "observed_at", "received_at", "seq", "source")

    def __init__(self, row: BoardRow) -> None:
        self.change = row.change
        self.seq = row.seq
        self.observed_at = row.observed_at
        self.received_at = row.received_at
        self.source = row.source

    def row(self) -> BoardRow:
        """What a checkpoint keeps of it."""
        return BoardRow(self.seq, self.change, self.observed_at, self.received_at, self.source)


class Board:
    """Last known status by EVSE key."""

    def __init__(self, rows: Iterable[BoardRow] = ()) -> None:
        self.cells: dict[str, Cell] = {row.change.evse: Cell(row) for row in rows}
        self.seq = max((cell.seq for cell in self.cells.values()), default=0)
        """Every change up to here is on the board."""
        self._touched: set[str] = set()

    def __len__(self) -> int:
        return len(self.cells)

    def restore(self, rows: Iterable[BoardRow], seq: int) -> None:
        """Fills an empty board with what the log recovered at `seq`.

        All of it goes into the next checkpoint, as it holds entries that came after the last one.
        """
        self.cells.update((row.change.evse, Cell(row)) for row in rows)
        self.seq = seq
        self._touched.update(self.cells)

    def apply(self, entries: Sequence[Entry]) -> None:
        """Makes durable changes the board's state. Applying an entry again changes nothing."""
        cells = self.cells
        for entry in entries:
            change = entry.change
            cell = cells.get(change.evse)
            if cell is None:
                cells[change.evse] = Cell(
                    BoardRow(entry.seq, change, change.observed_at, change.received_at, change.source)
                )
            elif entry.seq > cell.seq:
                cell.change = change
                cell.seq = entry.seq
                cell.observed_at = max(cell.observed_at, change.observed_at)
                cell.received_at = max(cell.received_at, change.received_at)
                cell.source = change.source
            self._touched.add(change.evse)
        if entries:
            self.seq = max(self.seq, entries[-1].seq)

    def confirm(self, heard: dict[str, tuple[Millis, Millis, str]]) -> None:
        """Moves the clocks of EVSEs whose status was confirmed: observed_at, received_at, source."""
        cells = self.cells
        for key, (observed_at, received_at, source) in heard.items():
            cell = cells[key]
            cell.observed_at = max(cell.observed_at, observed_at)
            if received_at >= cell.received_at:
                cell.received_at = received_at
                cell.source = source
        self._touched.update(heard)

    def take_touched(self) -> set[str]:
        """Keys of EVSEs that were changed or confirmed since the last call, for a checkpoint."""
        taken, self._touched = self._touched, set()
        return taken

    def rows(self, keys: Iterable[str]) -> Iterator[BoardRow]:
        """What a checkpoint keeps of these EVSEs, each as it is when it is asked for."""
        return (self.cells[key].row() for key in keys)

    def touch(self, keys: Iterable[str]) -> None:
        """Gives EVSEs back that a failed checkpoint did not keep."""
        self._touched.update(keys)

    def expire(
        self, now: Millis, stale_after_ms: Callable[[str], int], keys: Iterable[str] | None = None
    ) -> list[Change]:
        """Changes to UNKNOWN for EVSEs whose source was silent too long.

        Silence counts on our clock, from the last report that was not older than what the board has.
        `stale_after_ms` gives the limit of a source; `keys` narrows the search.
        """
        changes = []
        for key in self.cells if keys is None else keys:
            cell = self.cells.get(key)
            if cell is None or not _claims(cell.change):
                continue
            if now - cell.received_at > stale_after_ms(cell.source):
                changes.append(_lost(cell, Status.UNKNOWN, Cause.EXPIRED, now))
        return changes

    def withdraw(self, key: str, now: Millis, status: Status = Status.UNKNOWN) -> Change | None:
        """The change for an EVSE whose source signed off (UNKNOWN) or that is gone (REMOVED)."""
        cell = self.cells.get(key)
        if cell is None or (cell.change.status is status and not cell.change.error):
            return None
        return _lost(cell, status, Cause.WITHDRAWN, now)

    def register(self, evse: Evse, now: Millis) -> Change | None:
        """The change that brings an EVSE onto the board, or back; None where it is there already."""
        cell = self.cells.get(evse.key)
        if cell is not None and cell.change.station == evse.station and not _vanished(cell.change):
            return None
        return Change(
            evse=evse.key,
            station=evse.station,
            status=Status.UNKNOWN,
            error=False,
            changed_at=NEVER,
            observed_at=NEVER if cell is None else cell.observed_at,
            received_at=now,
            source="",
            raw="",
            cause=Cause.REGISTERED,
            was_status=Status.REMOVED if cell is None else cell.change.status,
            was_error=False if cell is None else cell.change.error,
        )

    def move(self, evse: Evse, now: Millis) -> tuple[Change, Change] | None:
        """The changes for an EVSE that went to another station: off the one, onto the other as it was.

        None where it is not on the board, or is there already.
        """
        cell = self.cells.get(evse.key)
        if cell is None or cell.change.station == evse.station or _vanished(cell.change):
            return None
        off = _lost(cell, Status.REMOVED, Cause.WITHDRAWN, now)
        on = msgspec.structs.replace(
            cell.change,
            station=evse.station,
            observed_at=cell.observed_at,
            received_at=cell.received_at,
            source=cell.source,
            cause=Cause.REGISTERED,
            was_status=Status.REMOVED,
            was_error=False,
        )
        return off, on


class Round:
    """The decisions for one append: reports in, changes out, seen by nobody before `Board.apply`.

    Splitting reports into other rounds gives the same changes: each decision sees the ones before.
    """

    __slots__ = ("_board", "_staged", "_stations", "changes", "heard")

    def __init__(self, board: Board) -> None:
        self._board = board.cells
        self._staged: dict[str, tuple[Status, bool, Millis]] = {}
        self._stations: dict[str, str] = {}
        """Where changes of this round are."""
        self.changes: list[Change] = []
        self.heard: dict[str, tuple[Millis, Millis, str]] = {}

    def decide(self, evse: Evse, report: StatusReport) -> Change | Suppression:
        """Whether the report changes the board.

        The newest observation wins, not the last received; a confirmation moves the clock only; two
        statuses observed at the same instant are decided by rank. UNKNOWN without error, which is what we
        set ourselves, has the lowest rank and so yields to any report that is not older.
        """
        key = evse.key
        status = report.status
        error = normal_error(status, report.error)
        observed_at = report.observed_at
        before = self._before(key)
        was_status, was_error = NOT_THERE
        if before is not None:
            was_status, was_error, was_observed_at = before
            if observed_at < was_observed_at:
                return STALE
            if status is was_status and error is was_error:
                self._staged[key] = (status, error, observed_at)
                self.heard[key] = (observed_at, report.received_at, report.source)
                return UNCHANGED
            if observed_at == was_observed_at and rank(status, error) < rank(was_status, was_error):
                return STALE
        self._staged[key] = (status, error, observed_at)
        self.heard.pop(key, None)
        if self._leave(evse, report.received_at):
            was_status, was_error = NOT_THERE
        made = Change(
            key,
            evse.station,
            status,
            error,
            observed_at,
            observed_at,
            report.received_at,
            report.source,
            report.raw,
            Cause.REPORTED,
            was_status,
            was_error,
        )
        self.changes.append(made)
        return made

    def _leave(self, evse: Evse, now: Millis) -> bool:
        """Takes an EVSE off the station that it was at, where its report came before `Board.move`.

        Says whether it was at another one.
        """
        cell = self._board.get(evse.key)
        if cell is not None and self._stations.get(evse.key, cell.change.station) != evse.station:
            if not _vanished(cell.change):
                self.changes.append(_lost(cell, Status.REMOVED, Cause.WITHDRAWN, now))
            self._stations[evse.key] = evse.station
            return True
        return False

    def _before(self, key: str) -> tuple[Status, bool, Millis] | None:
        staged = self._staged.get(key)
        if staged is not None:
            return staged
        cell = self._board.get(key)
        return None if cell is None else (cell.change.status, cell.change.error, cell.observed_at)

    def add(self, changes: Iterable[Change]) -> None:
        """Adds decisions that are no operator's: expired, withdrawn, registered."""
        for change in changes:
            self._staged[change.evse] = (change.status, change.error, change.observed_at)
            self._stations[change.evse] = change.station
            self.heard.pop(change.evse, None)
            self.changes.append(change)


def _lost(cell: Cell, status: Status, cause: Cause, now: Millis) -> Change:
    change = cell.change
    return Change(
        evse=change.evse,
        station=change.station,
        status=status,
        error=False,
        changed_at=now,
        observed_at=cell.observed_at,
        received_at=now,
        source=cell.source,
        raw="",
        cause=cause,
        was_status=change.status,
        was_error=change.error,
    )


def _claims(change: Change) -> bool:
    return change.status in EXPIRABLE or (change.status is Status.UNKNOWN and change.error)


def _vanished(change: Change) -> bool:
    return change.status is Status.REMOVED and change.cause is Cause.WITHDRAWN
