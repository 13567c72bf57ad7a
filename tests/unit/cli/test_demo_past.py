"""The day that a demonstration has behind it, in a log of its own."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Final

import pytest

from ladestrom.backends import table
from ladestrom.cli import demo_past
from ladestrom.config import load
from ladestrom.model import Cause, Operator, StationChanged, StatusChanged
from ladestrom.roles import limits
from ladestrom.simulator.companies import COMPANIES
from ladestrom.simulator.country import REGISTER, build
from ladestrom.simulator.hours import HOUR_MS
from ladestrom.simulator.traffic import Traffic

NOW: Final = 1_780_000_000_000
DRAFTS: Final = build(20, Random(1))
STATIONS: Final = [draft.station for draft in DRAFTS]


async def test_a_new_log_has_the_day_before_as_a_server_would_have_received_it(tmp_path: Path) -> None:
    settings = load(None, {}, {"server.data": str(tmp_path)}).settings
    traffic = Traffic(STATIONS, Random(1), NOW - demo_past.SPAN_MS)
    store = await table.open_stores(limits.store(settings))
    log = await table.open_log(limits.log(settings))
    try:
        await store.import_stations(REGISTER, DRAFTS, NOW, complete=True, force_vanish=True)
        for company in COMPANIES:
            await store.put_operator(Operator(company.name, (company.party,)), NOW)
        await demo_past.tell(log, store, limits.of_hub(settings), traffic, NOW)
        entries = await log.read(0, 100_000)
        with pytest.raises(ValueError, match="a past of its own"):
            await demo_past.tell(log, store, limits.of_hub(settings), traffic, NOW)
        assert (log.first, log.last.seq) == (1, len(entries))
    finally:
        await log.close()
        await store.close()

    # It is there when it is opened again, and nothing is to be caught up with.
    again = await table.open_log(limits.log(settings))
    try:
        rows = (await again.recover()).rows
        assert again.last.seq == len(entries)
    finally:
        await again.close()

    received = [entry.change.received_at for entry in entries]
    assert received == sorted(received)
    assert received[0] == traffic.start
    assert received[-1] <= NOW
    hours = {(NOW - at) // HOUR_MS for at in received}
    assert hours >= set(range(24)), "every hour of the day has changes"
    assert isinstance(entries[0], StationChanged)
    told = [entry.change for entry in entries if isinstance(entry, StatusChanged)]
    assert {change.cause for change in told} == {Cause.REGISTERED, Cause.REPORTED}
    assert all(change.observed_at <= change.received_at for change in told)

    assert traffic.reached == NOW
    assert {row.change.evse: (row.change.status, row.change.error, row.observed_at) for row in rows} == {
        traffic.points[event.point].evse.key: (event.status, event.error, event.at)
        for event in traffic.board()
    }
    assert {row.heard_at for row in rows} == {NOW}


def test_of_a_large_country_less_of_the_day_is_told() -> None:
    assert demo_past.span_ms(10_000) == demo_past.SPAN_MS
    assert 0 < demo_past.span_ms(500_000) < HOUR_MS
