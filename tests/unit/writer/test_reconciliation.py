from __future__ import annotations

import asyncio
from typing import cast

import pytest
from tests.building import NOW, make_evse, make_operator, make_report, make_station

from ladestrom import tasks
from ladestrom.backends.memory import MemoryLog
from ladestrom.core.board import Board
from ladestrom.core.directory import Directory
from ladestrom.core.records import sums
from ladestrom.model import Reading, Receipt, Station, StationChanged, Status
from ladestrom.ports.registry import RegistryDelta, RegistrySums
from ladestrom.ports.stores import Store
from ladestrom.writer.hub import Decision, Hub
from ladestrom.writer.reconciliation import STATIONS_PER_GROUP, Readings, Reconciliation

FIRST = make_evse("NO*ABC*E1")
SECOND = make_evse(key="NOR_00001_02", evse_id=None)


class Written:
    """A store in which only this was written."""

    def __init__(self) -> None:
        self.stations: tuple[Station, ...] = ()
        self.readings: tuple[Reading, ...] = ()

    async def registry_since(self, revision: int) -> RegistryDelta:
        return RegistryDelta(revision + 1, self.stations, self.readings)

    async def registry_sums(self) -> RegistrySums:
        return sums(self.stations)


async def test_a_status_of_an_evse_that_has_left_is_not_that_of_the_connector_in_its_place() -> None:
    board, store = Board(), Written()
    hub = Hub(MemoryLog(), board, Directory(), lambda: NOW)
    readings = Readings(wanted=True, stale_after_ms=60_000)
    reconciliation = Reconciliation(cast("Store", store), hub, lambda: readings, lambda: NOW)
    writing = asyncio.create_task(hub.run())
    store.stations = (make_station(evses=(FIRST, SECOND)),)
    store.readings = (Reading(SECOND.key, Status.AVAILABLE, error=False, observed_at=NOW - 1, raw="0"),)
    await reconciliation.take()
    store.stations = (make_station(evses=(FIRST, make_evse("NO*ABC*E3"))),)
    store.readings = (Reading(SECOND.key, Status.CHARGING, error=False, observed_at=NOW, raw="1"),)
    await reconciliation.take()
    writing.cancel()
    assert {key: row.change.status for key, row in board.cells.items()} == {SECOND.key: Status.REMOVED}


async def test_records_of_stations_wait_for_what_is_urgent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "BACKGROUND_EVERY_S", 3_600)
    log, store = MemoryLog(), Written()
    hub = Hub(log, Board(), Directory(), lambda: NOW)
    readings = Readings(wanted=False, stale_after_ms=60_000)
    reconciliation = Reconciliation(cast("Store", store), hub, lambda: readings, lambda: NOW)
    store.stations = tuple(make_station(f"NOR_{number:05d}", evses=1) for number in range(1, 11))
    writing = asyncio.create_task(hub.run())
    await tasks.background().turn()
    with tasks.Urgent():
        taking = asyncio.create_task(reconciliation.take())
        for _ in range(100):
            await asyncio.sleep(0)
        assert log.last.seq == 0
    await taking
    assert log.last.seq == 10
    writing.cancel()


async def test_reports_have_their_turn_while_many_stations_are_taken() -> None:
    log, store = MemoryLog(), Written()
    hub = Hub(log, Board(), Directory(), lambda: NOW)
    readings = Readings(wanted=False, stale_after_ms=60_000)
    reconciliation = Reconciliation(cast("Store", store), hub, lambda: readings, lambda: NOW)
    operator = make_operator("abc")
    reconciliation.follow({operator.name: operator})
    writing = asyncio.create_task(hub.run())
    store.stations = (make_station(evses=(FIRST,)),)
    await reconciliation.take()
    store.stations = tuple(
        make_station(f"NOR_{number:05d}", evses=1) for number in range(2, 2 + 10 * STATIONS_PER_GROUP)
    )
    taking = asyncio.create_task(reconciliation.take())
    group = hub.decide
    reported: list[asyncio.Task[Receipt]] = []

    async def decide(make: Decision, *, is_alone: bool = False) -> int:
        if not reported:
            report = make_report(FIRST.key, Status.AVAILABLE)
            reported.append(asyncio.create_task(hub.submit(operator, [report])))
        return await group(make, is_alone=is_alone)

    hub.decide = decide  # type: ignore[method-assign]
    await taking
    receipt = await reported[0]
    writing.cancel()
    entries = await log.read(0, 100_000)
    after = [entry for entry in entries if entry.seq > receipt.position.seq]
    assert sum(isinstance(entry, StationChanged) for entry in after) >= 8 * STATIONS_PER_GROUP
