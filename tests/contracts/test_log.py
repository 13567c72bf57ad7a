"""What every log does, over every implementation of `ports.Log`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.building import (
    NOW,
    TIMES,
    apply,
    hear,
    logged,
    make_change,
    make_changes,
    make_evses,
    make_report,
    statuses,
)
from tests.patience import come_true

from ladestrom.backends.data_directory import DataDirectory
from ladestrom.backends.opening import Opening
from ladestrom.backends.sqlite import CHUNK_ROWS
from ladestrom.backends.table import LOGS, open_log
from ladestrom.backends.tailing import RECENT_ENTRIES_MAX
from ladestrom.core.board import Board
from ladestrom.model import NEVER, Cause, Change, Entry, Status
from ladestrom.ports.log import BoardRow, Log, Times

KEPT_ENTRIES_MAX = 50


class Place:
    """Where a log lies: opens it, and opens it again as after a restart where it outlives one."""

    def __init__(self, scheme: str, durability: str, folder: Path) -> None:
        self._scheme = scheme
        self._durability = durability
        self._folder = folder
        self._open: list[Log] = []

    async def open(self) -> Log:
        # Nothing is young enough, and the log is never small enough: trim takes all that it may.
        opening = Opening(
            url=f"{self._scheme}:",
            folder=self._folder,
            held=DataDirectory(self._folder),
            durability=self._durability,
            retention_days=0,
            retention_mib=0,
        )
        log = await open_log(opening)
        self._open.append(log)
        return log

    async def reopen(self, log: Log) -> Log:
        if not LOGS[self._scheme].outlives:
            return log
        self._open.remove(log)
        await log.close()
        return await self.open()

    async def close(self) -> None:
        for log in self._open:
            await log.close()


KINDS = [
    (scheme, durability) for scheme, row in LOGS.items() for durability in (row.durabilities or ("full",))
]


@pytest.fixture(params=KINDS, ids="-".join)
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    scheme, durability = request.param
    found = Place(scheme, durability, tmp_path)
    yield found
    await found.close()


@pytest.fixture
async def log(place: Place) -> Log:
    return await place.open()


async def everything(log: Log, after: int = 0) -> list[Entry]:
    found: list[Entry] = []
    while entries := await log.read(found[-1].seq if found else after, 7_000):
        found += entries
    return found


async def follow(log: Log, after: int, until_seq: int) -> list[Entry]:
    """What a reader gets from its place to the end, checking that nothing is out of order."""
    found: list[Entry] = []
    tail = log.tail(after)
    async with contextlib.aclosing(tail) as batches:  # type: ignore[type-var]
        async for batch in batches:
            assert 0 < len(batch) <= RECENT_ENTRIES_MAX
            found += batch
            if found[-1].seq >= until_seq:
                return found
    raise AssertionError("a tail never ends")


def spawn(work: Coroutine[Any, Any, list[Entry]]) -> asyncio.Task[list[Entry]]:
    return asyncio.create_task(work)


class TestAppend:
    async def test_an_empty_log_is_at_the_beginning(self, log: Log) -> None:
        assert (log.last.seq, log.first) == (0, 1)
        assert await log.read(0, 10) == []
        assert (await log.recover()).rows == []

    async def test_sequences_begin_at_1_and_have_no_holes(self, log: Log) -> None:
        changes = make_changes(10)
        entries = [
            *await log.append(changes[:3]),
            *await log.append(changes[3:4]),
            *await log.append(changes[4:]),
        ]
        assert entries == logged(changes)
        assert (log.last.seq, log.first) == (10, 1)
        assert await everything(log) == entries

    async def test_appending_nothing_changes_nothing(self, log: Log) -> None:
        await log.append(make_changes(2))
        assert list(await log.append([])) == []
        assert log.last.seq == 2

    async def test_a_change_comes_back_as_it_was(self, place: Place, log: Log) -> None:
        changes = [
            make_change(
                status=status,
                error=cause is Cause.REPORTED,
                changed_at=NEVER,
                observed_at=2**53,
                source='Ørsta "Lading" \\ \n\x00\u2028😀',
                raw='[1,{"a":null}]',
                cause=cause,
                was_error=True,
            )
            for status in Status
            for cause in Cause
        ]
        await log.append(changes)
        again = await place.reopen(log)
        assert [entry.change for entry in await everything(again)] == changes

    async def test_concurrent_readers_do_not_disturb_the_writer(self, log: Log) -> None:
        async def read_often() -> None:
            for _ in range(30):
                entries = await everything(log)
                assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))

        readers = [asyncio.create_task(read_often()) for _ in range(3)]
        for start in range(0, 60, 3):
            await log.append(make_changes(3, start))
        await asyncio.gather(*readers)
        assert await everything(log) == logged(make_changes(60))

    async def test_it_goes_on_where_it_was_after_a_restart(self, place: Place, log: Log) -> None:
        await log.append(make_changes(5))
        epoch = log.last.epoch
        again = await place.reopen(log)
        assert (again.last.epoch, again.last.seq) == (epoch, 5)
        assert (await again.append(make_changes(1, 5)))[0].seq == 6
        assert await everything(again) == logged(make_changes(6))


class TestRead:
    async def test_it_gives_what_follows_a_position_and_no_more_than_asked_for(self, log: Log) -> None:
        await log.append(make_changes(10))
        assert [entry.seq for entry in await log.read(3, 4)] == [4, 5, 6, 7]
        assert [entry.seq for entry in await log.read(8, 4)] == [9, 10]
        assert await log.read(10, 4) == []
        assert await log.read(99, 4) == []
        assert await log.read(0, 0) == []


class TestTail:
    async def test_it_gives_what_is_there_and_what_comes(self, log: Log) -> None:
        await log.append(make_changes(3))
        reader = spawn(follow(log, 1, 6))
        await log.append(make_changes(2, 3))
        await log.append(make_changes(1, 5))
        assert await reader == logged(make_changes(6))[1:]

    async def test_readers_at_different_places_all_get_everything_in_order(self, log: Log) -> None:
        random = Random(4711)
        changes = make_changes(400)
        readers = []
        written = 0
        while written < len(changes):
            if random.random() < 0.3:
                after = random.randint(0, written)
                readers.append((after, spawn(follow(log, after, len(changes)))))
            count = random.randint(1, 20)
            await log.append(changes[written : written + count])
            written = log.last.seq
            await asyncio.sleep(0)
        assert len(readers) > 5
        for after, reader in readers:
            assert await reader == logged(changes)[after:]

    async def test_one_far_behind_what_is_in_memory_gets_everything_too(self, log: Log) -> None:
        total = 2 * RECENT_ENTRIES_MAX + 1_234
        changes = make_changes(total)
        early = spawn(follow(log, 0, total))
        for start in range(0, total, 3_000):
            await log.append(changes[start : start + 3_000])
        readers = [
            spawn(follow(log, after, total)) for after in (0, 1, total - RECENT_ENTRIES_MAX - 1, total - 1)
        ]
        assert await early == logged(changes)
        for after, reader in zip((0, 1, total - RECENT_ENTRIES_MAX - 1, total - 1), readers, strict=True):
            assert await reader == logged(changes)[after:]

    async def test_one_that_went_away_is_no_burden(self, log: Log) -> None:
        reader = spawn(follow(log, 0, 1))
        await asyncio.sleep(0)
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)
        await log.append(make_changes(1))
        assert await follow(log, 0, 1) == logged(make_changes(1))

    async def test_one_before_the_oldest_entry_kept_begins_there(self, log: Log) -> None:
        await log.append(make_changes(60))
        await log.checkpoint([], 60, TIMES)
        await log.trim()
        assert log.first > 1
        assert [entry.seq for entry in await log.read(0, 100)] == list(range(log.first, 61))

    async def test_one_waits_where_nothing_comes(self, log: Log) -> None:
        await log.append(make_changes(1))
        reader = spawn(follow(log, 1, 2))
        await log.probe()
        assert not reader.done()
        await log.append(make_changes(1, 1))
        assert [entry.seq for entry in await reader] == [2]


class TestRecover:
    @pytest.mark.parametrize("seed", range(8))
    async def test_it_gives_the_fold_of_everything_wherever_checkpoints_were(
        self, place: Place, seed: int
    ) -> None:
        random = Random(seed)
        log = await place.open()
        board = Board()
        evses = make_evses(20)
        for step in range(60):
            now = NOW + step
            for _ in range(random.randint(0, 5)):
                evse = random.choice(evses)
                status = random.choice([Status.AVAILABLE, Status.CHARGING])
                report = make_report(evse, status, now)
                before = board.seq
                decision = hear(board, evse, report)
                if isinstance(decision, Change):
                    assert [entry.seq for entry in await log.append([decision])] == [before + 1]
            if random.random() < 0.2:
                await log.checkpoint(board.rows(board.take_touched()), board.seq, TIMES)
                await log.trim()
            if random.random() < 0.1:
                log = await place.reopen(log)
        expected = {key: (cell.seq, cell.change) for key, cell in board.cells.items()}
        rows = (await (await place.reopen(log)).recover()).rows
        assert {row.change.evse: (row.seq, row.change) for row in rows} == expected
        assert [row.seq for row in rows] == sorted(row.seq for row in rows)
        for row in rows:
            cell = board.cells[row.change.evse]
            assert row.change.observed_at <= row.observed_at <= cell.observed_at

    async def test_it_keeps_what_was_confirmed_before_the_checkpoint(self, place: Place, log: Log) -> None:
        change = make_changes(1)[0]
        await log.append([change])
        row = BoardRow(1, change, NOW + 5, NOW + 6, "xyz")
        await log.checkpoint([row], 1, TIMES)
        again = await place.reopen(log)
        assert (await again.recover()).rows == [row]

    async def test_the_times_of_a_checkpoint_are_later_than_those_of_the_entries_before_it(
        self, place: Place, log: Log
    ) -> None:
        change = make_changes(1)[0]
        await log.append([change])
        times = Times(change.received_at + 50, change.received_at + 60)
        await log.checkpoint([BoardRow(1, change, NOW, NOW, "abc")], 1, times)
        again = await place.reopen(log)
        await again.recover()
        assert again.times == times

    async def test_a_change_after_the_checkpoint_counts_as_it_is_and_as_heard_no_earlier(
        self, place: Place, log: Log
    ) -> None:
        first, second = make_changes(2, evses=1)
        await log.append([first])
        await log.checkpoint([BoardRow(1, first, NOW + 50, NOW + 60, "abc")], 1, TIMES)
        await log.append([second])
        again = await place.reopen(log)
        assert (await again.recover()).rows == [BoardRow(2, second, second.observed_at, NOW + 60, "abc")]

    async def test_a_checkpoint_that_was_cut_off_is_made_up_for_by_the_entries(
        self, place: Place, log: Log
    ) -> None:
        changes = make_changes(10, evses=5)
        await log.append(changes)
        rows = [BoardRow(seq, changes[seq - 1], NOW, NOW, "abc") for seq in (7, 9)]
        # The rows were kept, the position up to which all are was not.
        await log.checkpoint(rows, 0, TIMES)
        again = await place.reopen(log)
        assert {row.change.evse: (row.seq, row.change) for row in (await again.recover()).rows} == {
            entry.change.evse: (entry.seq, entry.change) for entry in logged(changes)
        }

    async def test_what_was_recovered_is_in_the_next_checkpoint(self, place: Place, log: Log) -> None:
        early, late = make_changes(5), make_changes(3, 5)
        await log.append(early)
        board = Board()
        board.restore((await (log := await place.reopen(log)).recover()).rows, log.last.seq)
        apply(board, statuses(await log.append(late)))
        await log.checkpoint(board.rows(board.take_touched()), board.seq, TIMES)
        await log.trim()
        rows = (await (await place.reopen(log)).recover()).rows
        assert [row.change for row in rows] == early + late

    async def test_a_checkpoint_of_many_rows_is_kept_whole(self, place: Place, log: Log) -> None:
        changes = make_changes(2 * CHUNK_ROWS + 1)
        entries = statuses(await log.append(changes))
        rows = [BoardRow(entry.seq, entry.change, NOW, NOW, "abc") for entry in entries]
        await log.checkpoint(rows, log.last.seq, TIMES)
        again = await place.reopen(log)
        assert (await again.recover()).rows == rows


class TestTrim:
    async def test_nothing_is_dropped_that_no_checkpoint_has(self, log: Log) -> None:
        await log.append(make_changes(2 * KEPT_ENTRIES_MAX))
        assert await log.trim() == 0
        await log.checkpoint([], 10, TIMES)
        assert await log.trim() == 10
        assert log.first == 11
        assert [entry.seq for entry in await everything(log)] == list(range(11, 2 * KEPT_ENTRIES_MAX + 1))

    async def test_the_last_entry_stays(self, place: Place, log: Log) -> None:
        await log.append(make_changes(3 * KEPT_ENTRIES_MAX))
        await log.checkpoint([], 3 * KEPT_ENTRIES_MAX, TIMES)
        while await log.trim():
            pass
        again = await place.reopen(log)
        assert again.last.seq == 3 * KEPT_ENTRIES_MAX
        assert again.first <= 3 * KEPT_ENTRIES_MAX
        entries = await everything(again)
        assert entries == logged(make_changes(3 * KEPT_ENTRIES_MAX))[again.first - 1 :]
        assert (await again.append(make_changes(1)))[0].seq == 3 * KEPT_ENTRIES_MAX + 1

    async def test_an_empty_log_has_nothing_to_drop(self, log: Log) -> None:
        assert await log.trim() == 0

    async def test_what_was_dropped_is_skipped_by_those_who_read(self, log: Log) -> None:
        await log.append(make_changes(2 * KEPT_ENTRIES_MAX))
        await log.checkpoint([], 20, TIMES)
        await log.trim()
        assert [entry.seq for entry in await log.read(5, 3)] == [21, 22, 23]

    async def test_what_a_reader_that_follows_was_not_given_yet_stays(self, log: Log) -> None:
        count = 3 * RECENT_ENTRIES_MAX
        await log.append(make_changes(count))
        await log.checkpoint([], count, TIMES)
        reader = log.tail(0)
        async with contextlib.aclosing(reader):  # type: ignore[type-var]
            given = list(await anext(reader))
            assert await log.trim() == len(given)
            while given[-1].seq < count:
                given += await anext(reader)
        assert given == logged(make_changes(count))
        assert await log.trim()

    async def test_recovery_does_not_need_what_was_dropped(self, place: Place, log: Log) -> None:
        changes = make_changes(2 * KEPT_ENTRIES_MAX, evses=7)
        board = Board()
        apply(board, statuses(await log.append(changes)))
        await log.checkpoint(board.rows(board.take_touched()), board.seq, TIMES)
        assert await log.trim()
        apply(board, statuses(await log.append(make_changes(3, evses=3))))
        again = await place.reopen(log)
        assert {row.change.evse: row.change for row in (await again.recover()).rows} == {
            key: cell.change for key, cell in board.cells.items()
        }


async def test_a_log_that_can_be_written_says_so_and_keeps_nothing_of_it(place: Place, log: Log) -> None:
    await log.append(make_changes(1))
    await log.probe()
    again = await place.reopen(log)
    assert again.last.seq == 1
    assert await everything(again) == logged(make_changes(1))


async def test_an_entry_is_told_to_readers_once_it_is_durable(log: Log) -> None:
    seen: list[Entry] = []

    async def read() -> None:
        async for batch in log.tail(0):
            seen.extend(batch)

    reader = asyncio.create_task(read())
    await asyncio.sleep(0)
    entries = list(await log.append(make_changes(1)))
    await come_true(lambda: seen == entries)
    reader.cancel()
    await asyncio.gather(reader, return_exceptions=True)
