"""What is read of the log after a start."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from tests.building import NOW, TIMES, make_change, make_station, statuses

from ladestrom.backends.memory import MemoryLog
from ladestrom.core.directory import Directory
from ladestrom.core.view import View
from ladestrom.errors import LogFailure
from ladestrom.formats.wire import instant
from ladestrom.model import Change, Entry, Status, StatusChanged
from ladestrom.outputs.map import aggregates
from ladestrom.outputs.map.aggregates import HOUR_MS, HOURS_MAX, Aggregates

STATION = make_station("NOR_00001", evses=2)
STEP_ENTRIES = 7
CHANGES_MAX = 1_000
DAY_MS = HOURS_MAX * HOUR_MS


class Stream:
    """Nobody follows."""

    connections: frozenset[Any] = frozenset()


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aggregates, "RECALL_ENTRIES_MIN", STEP_ENTRIES)
    monkeypatch.setattr(aggregates, "RECALL_LATE_S", 60.0)
    monkeypatch.setattr(aggregates, "REST_S", 0.0)


def back(count: int, ends_ms: int = 0, step_ms: int = 60_000) -> list[Change]:
    """Changes of one EVSE, the last one so long ago."""
    words = (Status.AVAILABLE, Status.CHARGING)
    return [
        make_change(STATION.evses[0], words[number % 2], NOW - ends_ms - (count - 1 - number) * step_ms)
        for number in range(count)
    ]


async def started(log: MemoryLog, **more: Any) -> tuple[Aggregates, View]:
    """Aggregates of what a log recovered."""
    view = View(Directory([STATION]), log.last.epoch)
    view.load((await log.recover()).rows, log.last.seq)
    limits = {"changes_max": CHANGES_MAX, "skew_ms": 0, **more}
    made = Aggregates(view, Stream(), log, lambda: NOW, **limits)  # type: ignore[arg-type]
    made.load(row.change for row in (await log.recover()).rows)
    return made, view


async def test_an_empty_log_is_in_step_at_once() -> None:
    made, _ = await started(MemoryLog())
    assert made.history_of(STATION, 24).complete_from == made.history_of(STATION, 24).until
    await made.recall()
    assert made.history.is_live
    assert made.history.since is None


async def test_entries_of_the_last_day_are_read_and_no_others() -> None:
    log = MemoryLog()
    young = back(60)
    await log.append([*back(100, ends_ms=DAY_MS + 1), *back(1, ends_ms=DAY_MS), *young])
    made, _ = await started(log)
    await made.recall()
    assert made.history._count == 61
    assert made.history.since == NOW - DAY_MS
    assert made.history.seq == 161
    found = made.history_of(STATION, 24)
    assert found.complete_from == found.from_
    assert len(found.evses[0].segments) == 60, "the first two changes say the same"


async def test_where_the_log_is_shorter_it_is_complete_from_its_first_entry() -> None:
    log = MemoryLog()
    await log.append(back(20))
    made, _ = await started(log)
    await made.recall()
    assert made.history.since == NOW - 19 * 60_000


async def test_where_there_is_more_than_is_kept_only_that_is_read() -> None:
    log = MemoryLog()
    await log.append(back(1_500, step_ms=1_000))
    made, _ = await started(log)
    reads = counted(log)
    await made.recall()
    assert made.history._count == CHANGES_MAX
    assert made.history.since == NOW - (CHANGES_MAX - 1) * 1_000
    assert len(reads) <= CHANGES_MAX / STEP_ENTRIES + 13, "where to begin is found by halving"


async def test_of_an_evse_that_changes_all_the_time_the_newest_changes_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(aggregates, "EVSE_CHANGES_MAX", 50)
    log = MemoryLog()
    await log.append(back(200))
    made, _ = await started(log)
    await made.recall()
    found = made.history_of(STATION, 24)
    assert len(found.evses[0].segments) == 50
    assert found.complete_from == found.evses[0].segments[0].at == instant(NOW - 49 * 60_000)
    assert found.from_ == instant(NOW - DAY_MS)
    monkeypatch.setattr(aggregates, "STATION_CHANGES_MAX", 20)
    assert len(made.history_of(STATION, 24).evses[0].segments) == 11


async def test_what_comes_while_it_reads_is_in_it_once() -> None:
    log = MemoryLog()
    await log.append(back(50, ends_ms=60_000))
    made, view = await started(log)

    async def meanwhile() -> None:
        # The log is ahead of the view: what is recalled must not be taken again.
        changes = [make_change(evse, Status.BLOCKED, NOW) for evse in STATION.evses]
        entries = statuses(await log.append(changes))
        if len(reads) % 2:
            waiting.extend(entries)
            for entry in waiting:
                view.apply(entry)
            made.follow(list(waiting))
            waiting.clear()
        else:
            waiting.extend(entries)

    waiting: list[StatusChanged] = []
    reads = counted(log, meanwhile, most=30)
    await made.recall()
    made.follow(list(waiting))
    for entry in waiting:
        view.apply(entry)
    assert made.history._count == made.history.seq == log.last.seq
    words = [word >> 10 for word in made.history._words]
    assert words == [made.counts.evses[entry.change.evse] for entry in statuses(await log.read(0, 10_000))]


async def test_what_is_trimmed_while_it_reads_is_not_claimed() -> None:
    log = MemoryLog(retention_entries_max=10)
    await log.append(back(100))
    await log.checkpoint([], 100, TIMES)
    made, _ = await started(log)

    async def meanwhile() -> None:
        if len(reads) == 12:
            await log.trim()

    reads = counted(log, meanwhile)
    await made.recall()
    assert made.history.is_live
    assert made.history.since == NOW - 9 * 60_000


async def test_a_log_that_cannot_be_read_leaves_a_history_that_begins_now(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = MemoryLog()
    await log.append(back(20))
    made, view = await started(log)

    async def fail(after: int, limit: int) -> Sequence[Entry]:
        raise LogFailure("damaged")

    monkeypatch.setattr(log, "read", fail)
    await made.recall()
    assert made.history.since == NOW
    entries = statuses(await log.append([make_change(STATION.evses[0], Status.BLOCKED, NOW)]))
    view.apply(entries[0])
    made.follow(entries)
    assert made.history._count == 1


async def test_where_each_step_waits_long_for_its_turn_steps_are_larger(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(aggregates, "RECALL_LATE_S", 0.0)
    monkeypatch.setattr(aggregates, "RECALL_ENTRIES_MAX", STEP_ENTRIES * 8)
    log = MemoryLog()
    await log.append(back(500, step_ms=1_000))
    made, _ = await started(log)
    reads = counted(log)
    await made.recall()
    assert [later - at for at, later in pairwise(reads[-12:])][-3:] == [STEP_ENTRIES * 8] * 3
    assert made.history._count == 500


def counted(log: MemoryLog, meanwhile: Any = None, most: int = 1_000_000) -> list[int]:
    """Where the log is read from now on; something else happens during each read."""
    reads: list[int] = []
    read = log.read

    async def reading(after: int, limit: int) -> Sequence[Entry]:
        reads.append(after)
        found = await read(after, limit)
        if meanwhile is not None and len(reads) < most:
            await meanwhile()
        return found

    log.read = reading  # type: ignore[method-assign]
    return reads
