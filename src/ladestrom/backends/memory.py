"""A log in memory: the same contract, but the log ends with the process. For trials and tests."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Final

import msgspec

from ladestrom.backends.encoded import new_epoch
from ladestrom.backends.opening import Opening
from ladestrom.backends.tailing import Recent
from ladestrom.core.records import differing, entry_of, fold
from ladestrom.errors import LogFailure
from ladestrom.model import AnyChange, Entry, Millis, Position
from ladestrom.ports.log import BoardRow, Recovered, StationRow, Times

ENTRIES_PER_MIB: Final = 2_000
"""An entry takes some 290 bytes beside texts of its own."""


async def open_log(opening: Opening) -> MemoryLog:
    """A new log, whose positions no earlier one had."""
    return MemoryLog(new_epoch(), retention_entries_max=int(opening.retention_mib * ENTRIES_PER_MIB))


class MemoryLog:
    """Implements `ports.Log`."""

    def __init__(self, epoch: str = "memory", *, retention_entries_max: int = 1_000_000) -> None:
        self.fault: LogFailure | None = None
        """Set by tests: nothing is ever wrong with memory."""
        self._epoch = epoch
        self._entries: list[Entry] = []
        self._dropped = 0
        self._is_full = False
        self._rows: dict[str, BoardRow] = {}
        self._stations: dict[str, StationRow] = {}
        self._checkpoint_seq = 0
        self._registry_revision = 0
        self._kept_times: Times | None = None
        self._times: Times | None = None
        self._recent = Recent(0)
        self._retention_entries_max = retention_entries_max

    @property
    def last(self) -> Position:
        return Position(self._epoch, self._dropped + len(self._entries))

    @property
    def first(self) -> int:
        return self._dropped + 1

    @property
    def is_full(self) -> bool:
        return self._is_full

    @property
    def times(self) -> Times | None:
        return self._times

    @property
    def lacks_stations(self) -> bool:
        """It never does."""
        return False

    async def adopt(self, stations: Iterable[StationRow]) -> None:
        self._stations = {row.station.uuid: row for row in stations}

    async def recover(self) -> Recovered:
        # Copies, as the rows that come of this are the board's own.
        stations = dict(self._stations)
        rows = {key: msgspec.structs.replace(row) for key, row in self._rows.items()}
        times = self._kept_times
        # Of the entries before the checkpoint nothing is needed, and their times are older than its own.
        for entry in self._entries[max(0, self._checkpoint_seq - self._dropped) :]:
            times = fold(rows, stations, entry, times)
        self._times = times
        return Recovered(
            sorted(rows.values(), key=lambda row: row.seq),
            list(stations.values()),
            self._registry_revision,
            differing(stations, self._stations),
        )

    async def append(self, changes: Sequence[AnyChange]) -> Sequence[Entry]:
        start = self.last.seq + 1
        entries = [entry_of(start + i, change) for i, change in enumerate(changes)]
        self._entries.extend(entries)
        if entries:
            self._recent.add(entries)
        return entries

    async def read(self, after: int, limit: int) -> Sequence[Entry]:
        start = max(0, after - self._dropped)
        return self._entries[start : start + limit]

    async def before(self, at: Millis) -> int:
        received = [entry.change.received_at for entry in self._entries]
        return self._dropped + bisect_left(received, at)

    @property
    def oldest_at(self) -> Millis | None:
        return self._entries[0].change.received_at if self._entries else None

    def tail(self, after: int) -> AsyncIterator[Sequence[Entry]]:
        return self._recent.tail(after, self.read)

    async def checkpoint(
        self,
        rows: Iterable[BoardRow],
        seq: int,
        times: Times,
        stations: Iterable[StationRow] = (),
        registry_revision: int = 0,
    ) -> None:
        self._stations.update((row.station.uuid, row) for row in stations)
        for row in rows:
            self._rows[row.change.evse] = msgspec.structs.replace(row)
        self._checkpoint_seq = seq
        self._registry_revision = registry_revision
        self._kept_times = times

    async def trim(self) -> int:
        over = min(len(self._entries) - self._retention_entries_max, self._checkpoint_seq - self._dropped)
        over = min(over, len(self._entries) - 1, self._recent.needed_after - self._dropped)
        self._is_full = over > 0
        if over <= 0:
            return 0
        del self._entries[:over]
        self._dropped += over
        return over

    def look(self) -> None:
        """Nothing of it lies anywhere else."""

    @property
    def idle_s(self) -> float:
        """Since the last write that succeeded: it always would."""
        return 0.0

    @property
    def stalled_s(self) -> float:
        """No disk keeps it waiting."""
        return 0.0

    @property
    def kept_bytes(self) -> int:
        """It takes nothing on a disk."""
        return 0

    async def probe(self) -> None:
        return

    async def close(self) -> None:
        return
