"""Brings what was written to the registry onto the board, and to those who show stations."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import nullcontext
from functools import partial
from typing import Final, TypeVar

import msgspec

from ladestrom.core.access import REGISTER_SOURCE, Reach
from ladestrom.core.board import Round
from ladestrom.core.directory import Directory
from ladestrom.core.precedence import Taking
from ladestrom.core.records import changed, sums
from ladestrom.model import Evse, Millis, Operator, Reading, Station, StatusReport
from ladestrom.ports.log import StationRow
from ladestrom.ports.registry import RegistryDelta
from ladestrom.ports.stores import Store
from ladestrom.process import keeping
from ladestrom.tasks import Turns, background, parts
from ladestrom.writer.hub import Hub

T = TypeVar("T")

STATIONS_PER_GROUP: Final = 100
"""Stations that are logged at once, before reports get their turn again."""
EVSES_PER_GROUP: Final = 400
"""Or so many of their EVSEs, whichever is first; one station is never divided."""
EVSES_PER_LOOK: Final = 50
"""EVSEs decided on between two looks at how long the loop was taken: some 0.5 ms."""
PER_TURN: Final = 2_000
"""EVSEs, stations or readings gone through before other work of the loop gets its turn: some 5 ms."""
KEPT_STATIONS_MIN: Final = 1_000
"""From so many stations on, the garbage collector does not go through what is made of them."""
REGISTER: Final = Operator(name=REGISTER_SOURCE, all=True)
"""The source of statuses that a register carries."""


class Readings(msgspec.Struct, frozen=True):
    """What is made of statuses that a register carries."""

    wanted: bool
    stale_after_ms: int
    """An older one says nothing of now."""


class Reconciliation:
    """One object per writer. Its parts are not to be called side by side: `App.refresh` sees to it."""

    def __init__(
        self,
        store: Store,
        hub: Hub,
        readings: Callable[[], Readings],
        clock: Callable[[], Millis],
    ) -> None:
        """Nothing was taken yet.

        Args:
            store: the registry.
            hub: whose board and directory follow it.
            readings: what is made of the statuses of registers now.
            clock: gives the time.
        """
        self.revision = 0
        """Of the registry, up to which everything was taken."""
        self._store = store
        self._hub = hub
        self._readings = readings
        self._clock = clock
        self._operators: Mapping[str, Operator] = {}
        self._reaches: Sequence[Reach] = ()
        """What they may report on."""
        self._uncovered = True
        """Operators changed, and what they may report on was not brought onto the board yet."""

    @property
    def _directory(self) -> Directory:
        return self._hub.directory

    def follow(self, operators: Mapping[str, Operator]) -> None:
        """Goes by what these operators may report on from the next time on."""
        self._uncovered = self._uncovered or operators != self._operators
        self._operators = operators
        self._reaches = tuple(map(Reach, operators.values()))

    async def take(self, *, everything: bool = False) -> RegistryDelta:
        """Takes what was written since `revision`; with `everything`, compares all that is known with it.

        Who calls it sets `revision` to what it returns when all others have taken it, too.

        Raises:
            LadestromError: store or log failed; what is still to do is done the next time.
        """
        delta = await self._store.registry_since(self.revision)
        await self._take(delta, everything=everything)
        if everything and await self._store.registry_sums() != sums(self._directory.stations.values()):
            # The store is another one than the log knows, or was written meanwhile.
            delta = await self._store.registry_since(0)
            await self._take(delta, everything=True)
        return delta

    async def adopt(self, seq: int) -> Sequence[StationRow]:
        """What is in the registry, as records of a log that lacks them.

        No entry brought them, so that they are of no sequence: views tell stations apart by it. What filters
        saw of them up to now is not known, as the registry may have changed while nothing ran.

        Args:
            seq: the log's last.

        Raises:
            LadestromError: the store failed.
        """
        delta = await self._store.registry_since(0)
        rows = [StationRow(0, station, lost_seq=seq + 1) for station in delta.stations]
        self._hub.records.restore(rows)
        for row in rows:
            self._directory.put(row.station)
        return rows

    async def _take(self, delta: RegistryDelta, *, everything: bool) -> None:
        with keeping() if len(delta.stations) >= KEPT_STATIONS_MIN else nullcontext():
            await self._take_delta(delta, everything=everything)

    async def _take_delta(self, delta: RegistryDelta, *, everything: bool) -> None:
        uncovered, self._uncovered = self._uncovered, False
        readings = delta.readings if self._readings().wanted else ()
        # What follows fails while the log cannot be written; what is still to do is kept for then.
        try:
            read: set[str] = set()
            for some in parts(readings, PER_TURN):
                read.update(reading.evse for reading in some)
                await background().turn()
            moving = await self._moving(delta.stations)
            for stations in _groups(delta.stations):
                await background().turn()
                await self._hub.decide(partial(self._record, stations, moving, read), is_alone=True)
            if everything or moving:
                keys = list(self._hub.board.cells if everything else moving)
                await self._hub.reconcile((), await _sifted(keys, lambda key: not self._is_present(key)))
            if uncovered:
                await self._hub.reconcile(
                    await _sifted(await self._every_evse(), lambda evse: self._belongs(evse, set())), ()
                )
        except BaseException:
            self._uncovered = self._uncovered or uncovered
            raise
        await self._take_readings(readings)

    async def _record(
        self,
        stations: Sequence[Station],
        moving: AbstractSet[str],
        read: Collection[str],
        round_: Round,
        taken: Taking,
    ) -> int:
        """Decides what these records of the registry change: stations, and EVSEs that come, go or move."""
        directory, hub, at = self._directory, self._hub, taken.received_at
        here = {evse.key for station in stations for evse in _present(station)}
        turns, looked = Turns(is_urgent=True), 0
        for station in stations:
            known = directory.stations.get(station.uuid)
            kept = {evse.key for evse in _present(station)}
            left = [evse.key for evse in directory.present(station.uuid) if evse.key not in kept]
            if known != station:
                round_.record(changed(known, station, at, sorted(moving & {*left, *kept})))
            for key in left:
                holder = directory.by_key(key)
                is_elsewhere = holder is not None and holder.station != station.uuid
                if key in here or key in moving or is_elsewhere:
                    continue
                change = hub.board.withdraw(key, at)
                if change is not None:
                    round_.add([change], taken)
            for evse in _present(station):
                looked += 1
                if looked % EVSES_PER_LOOK == 0:
                    await turns.rest()
                if self._belongs(evse, read):
                    round_.add(hub.brought(evse, at), taken)
        return len(round_.changes) + len(round_.records)

    async def _moving(self, stations: Sequence[Station]) -> set[str]:
        """EVSEs that go from one of these stations to another."""
        found: set[str] = set()
        written = {station.uuid: station for station in stations}
        for some in parts(stations, PER_TURN):
            found.update(self._directory.moving(some, written))
            await background().turn()
        return found

    async def _every_evse(self) -> list[Evse]:
        """Every EVSE of the registry."""
        found: list[Evse] = []
        for uuids in parts(list(self._directory.stations), PER_TURN):
            for uuid in uuids:
                found += self._directory.present(uuid)
            await background().turn()
        return found

    def _is_present(self, key: str) -> bool:
        """Whether the record of the station where an EVSE is found has it."""
        evse = self._directory.by_key(key)
        return evse is not None and evse in self._directory.present(evse.station)

    def _belongs(self, evse: Evse, read: Collection[str]) -> bool:
        """Whether an EVSE is to be on the board: it was, or its register or an operator tells of it."""
        if evse.key in self._hub.board.cells or evse.key in read:
            return True
        return any(reach.covers(evse) for reach in self._reaches)

    async def _take_readings(self, readings: Sequence[Reading]) -> None:
        """Takes statuses of registers; those that are stale or older than what the board has say nothing."""
        oldest_at = self._clock() - self._readings().stale_after_ms
        for some in parts(readings, PER_TURN):
            reports = []
            for reading in some:
                cell = self._hub.board.cells.get(reading.evse)
                if (
                    cell is not None
                    and self._directory.has(reading.evse)
                    and reading.observed_at > max(cell.observed_at, oldest_at)
                ):
                    reports.append(
                        StatusReport(
                            reading.evse,
                            reading.status,
                            reading.error,
                            reading.observed_at,
                            REGISTER.name,
                            reading.raw,
                        )
                    )
            if reports:
                await self._hub.submit(REGISTER, reports)
            await background().turn()


def _groups(stations: Iterable[Station]) -> Iterator[list[Station]]:
    """Stations as they are logged at once."""
    group: list[Station] = []
    evses = 0
    for station in stations:
        if group and (len(group) == STATIONS_PER_GROUP or evses + len(station.evses) > EVSES_PER_GROUP):
            yield group
            group, evses = [], 0
        group.append(station)
        evses += len(station.evses)
    if group:
        yield group


def _present(station: Station) -> tuple[Evse, ...]:
    return station.evses if station.vanished_at is None else ()


async def _sifted(items: Sequence[T], wanted: Callable[[T], bool]) -> list[T]:
    """Those that are wanted; gone through in turns of the loop."""
    found: list[T] = []
    for some in parts(items, PER_TURN):
        found += [item for item in some if wanted(item)]
        await background().turn()
    return found
