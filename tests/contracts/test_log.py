"""What every log does, over every implementation of `ports.Log`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from tests.building import (
    NOW,
    TIMES,
    apply,
    hear,
    logged,
    make_change,
    make_changes,
    make_evse,
    make_evses,
    make_record,
    make_report,
    make_station,
    statuses,
)
from tests.contracts.databases import empty_log
from tests.patience import come_true

from ladestrom.backends.data_directory import DataDirectory
from ladestrom.backends.sqlite import CHUNK_ROWS
from ladestrom.backends.table import LOGS, open_log
from ladestrom.backends.tailing import RECENT_ENTRIES_MAX
from ladestrom.core.board import Board
from ladestrom.core.records import Records, entry_of, without
from ladestrom.core.records import follow as follow_row
from ladestrom.core.selection import outline
from ladestrom.model import (
    NEVER,
    AnyChange,
    Cause,
    Change,
    Entry,
    Station,
    StationChanged,
    Status,
    StatusChanged,
)
from ladestrom.ports.log import BoardRow, Former, Left, Log, StationRow, Times

KEPT_ENTRIES_MAX = 50


class Place:
    """Where a log lies: opens it, and opens it again as after a restart where it outlives one."""

    def __init__(self, scheme: str, durability: str, folder: Path) -> None:
        self._scheme = scheme
        self._folder = folder
        # Nothing is young enough, and the log is never small enough: trim takes all that it may.
        self._opening = empty_log(scheme, folder, durability=durability, retention_days=0, retention_mib=0)
        self._open: list[Log] = []

    async def open(self) -> Log:
        log = await open_log(msgspec.structs.replace(self._opening, held=DataDirectory(self._folder)))
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
    (scheme, durability)
    for scheme, row in LOGS.items()
    # What is relaxed elsewhere than in our own files is the other program's business.
    for durability in ((row.durabilities if row.file else row.durabilities[:1]) or ("full",))
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


def places(count: int, operator: str = "Alfa") -> list[Station]:
    return [make_station(f"NOR_{number:05d}", operator=operator) for number in range(1, count + 1)]


def recorded(seq: int, station: Station, *former: Former) -> StationRow:
    """The row of a station whose record an entry of `make_record` brought."""
    return StationRow(seq, station, former, received_at=NOW)


class TestStations:
    async def test_they_are_of_one_sequence_with_statuses_and_come_back_as_they_were(
        self, place: Place, log: Log
    ) -> None:
        first = make_station(name='Ørsta "Lading" \\ \n\x00\u2028😀', evses=2, connectors=2, address="{")
        gone = msgspec.structs.replace(first, operator="Beta", vanished_at=NOW)
        changes: list[AnyChange] = [
            make_record(first, moving=["NOABCE1001", "NOABCE1002"]),
            make_change(),
            make_record(gone, first),
            make_change(status=Status.CHARGING),
        ]
        entries = [*await log.append(changes[:3]), *await log.append(changes[3:])]
        assert [(each.seq, each.change) for each in entries] == list(enumerate(changes, 1))
        assert [type(each) for each in entries] == [StationChanged, StatusChanged] * 2
        again = await place.reopen(log)
        assert await everything(again) == entries
        assert await follow(again, 0, 4) == entries
        assert await again.read(1, 2) == entries[1:3]

    async def test_who_follows_gets_them_in_order_with_statuses(self, log: Log) -> None:
        changes: list[AnyChange] = []
        for change, station in zip(make_changes(50), places(50), strict=True):
            changes += [make_record(station), change]
        readers = [spawn(follow(log, after, len(changes))) for after in (0, 0, 3)]
        for start in range(0, len(changes), 7):
            await log.append(changes[start : start + 7])
            await asyncio.sleep(0)
        everyone = [entry_of(seq, change) for seq, change in enumerate(changes, 1)]
        assert [await reader for reader in readers] == [everyone, everyone, everyone[3:]]

    @pytest.mark.parametrize("seed", range(8))
    async def test_recovery_gives_the_fold_of_everything_wherever_checkpoints_were(
        self, place: Place, seed: int
    ) -> None:
        random = Random(seed)
        log = await place.open()
        board, kept = Board(), Records()
        expected: dict[str, StationRow] = {}
        evses = make_evses(10)
        for step in range(80):
            made: list[AnyChange] = []
            for station in random.sample(places(6), random.randint(0, 3)):
                row = expected.get(station.uuid)
                record = msgspec.structs.replace(
                    station,
                    operator=random.choice(["Alfa", "Beta", "Gamma"]),
                    name=random.choice(["here", "there"]),
                    vanished_at=random.choice([None, None, NOW + step]),
                )
                made.append(make_record(record, None if row is None else row.station, NOW + step))
            made += [
                make_change(evse, random.choice(list(Status)), NOW + step)
                for evse in random.sample(evses, random.randint(0, 2))
            ]
            random.shuffle(made)
            for entry in await log.append(made):
                if isinstance(entry, StationChanged):
                    kept.take(entry)
                    uuid = entry.change.station.uuid
                    expected[uuid] = follow_row(expected.get(uuid), entry)
                else:
                    apply(board, [entry])
            board.seq = log.last.seq
            if random.random() < 0.2:
                stations = kept.rows(kept.take_touched(), log.first)
                await log.checkpoint(board.rows(board.take_touched()), board.seq, TIMES, stations)
                await log.trim()
            if random.random() < 0.1:
                log = await place.reopen(log)
                found = await log.recover()
                kept.restore(found.stations, found.touched, log.first)
        log = await place.reopen(log)
        found = await log.recover()
        assert {row.change.evse: (row.seq, row.change) for row in found.rows} == {
            key: (cell.seq, cell.change) for key, cell in board.cells.items()
        }
        rows = {row.station.uuid: row for row in found.stations}
        assert rows.keys() == expected.keys()
        for uuid, row in expected.items():
            assert (rows[uuid].seq, rows[uuid].station) == (row.seq, row.station)
            # From where the log has nothing any more, nobody can resume.
            assert without(rows[uuid], log.first - 1).former == without(row, log.first - 1).former
            assert rows[uuid].lost_seq < log.first

    async def test_only_stations_of_later_entries_differ_from_the_checkpoint(
        self, place: Place, log: Log
    ) -> None:
        first, second, third = places(3)
        await log.append([make_record(station) for station in (first, second)])
        rows = [StationRow(seq, station) for seq, station in enumerate((first, second), 1)]
        await log.checkpoint([], 2, TIMES, rows)
        other = msgspec.structs.replace(second, name="another")
        await log.append([make_record(third), make_record(other, second)])
        found = await (await place.reopen(log)).recover()
        assert found.touched == {second.uuid, third.uuid}

    async def test_a_row_keeps_what_filters_saw_before_and_a_tombstone(self, place: Place, log: Log) -> None:
        first, other = places(2)
        second = msgspec.structs.replace(first, operator="Beta")
        third = msgspec.structs.replace(second, country="SWE", vanished_at=NOW + 2)
        await log.append([make_record(first), make_record(second, first)])
        await log.append([make_record(other), make_record(third, second)])
        row = recorded(4, third, Former(2, outline(first)), Former(4, outline(second)))
        for _ in range(2):
            log = await place.reopen(log)
            found = await log.recover()
            assert sorted(found.stations, key=lambda each: each.seq) == [recorded(3, other), row]
            await log.checkpoint([], 4, TIMES, found.stations)
            await log.trim()

    async def test_entries_that_a_row_has_already_are_not_applied_again(self, place: Place, log: Log) -> None:
        first, _ = places(2)
        second = msgspec.structs.replace(first, operator="Beta")
        await log.append([make_record(first), make_record(second, first)])
        row = recorded(2, second, Former(2, outline(first)))
        # The row was kept, the position up to which all are was not.
        await log.checkpoint([], 0, TIMES, [row])
        log = await place.reopen(log)
        assert (await log.recover()).stations == [row]

    async def test_the_change_by_which_an_evse_left_a_station_is_kept_until_it_returns(
        self, place: Place, log: Log
    ) -> None:
        here, there = places(2)
        first, second = make_evse("NO*ABC*E1"), make_evse("NO*ABC*E1", there.uuid)
        left = make_change(first, Status.REMOVED, cause=Cause.WITHDRAWN)
        entered = make_change(second, cause=Cause.REGISTERED)
        await log.append([make_record(here), make_record(there), make_change(first), left, entered])
        rows = [
            msgspec.structs.replace(recorded(1, here), left=(Left(4, left),)),
            recorded(2, there),
        ]
        log = await place.reopen(log)
        found = await log.recover()
        assert found.stations == rows
        # Rows were kept that are newer than the position up to which all are.
        await log.checkpoint(found.rows, 2, TIMES, [recorded(1, here), recorded(2, there)])
        log = await place.reopen(log)
        assert (await log.recover()).stations == rows
        await log.checkpoint(found.rows, 5, TIMES, found.stations)
        await log.trim()
        log = await place.reopen(log)
        assert (await log.recover()).stations == rows
        back = [
            make_change(second, Status.REMOVED, cause=Cause.WITHDRAWN),
            make_change(first, cause=Cause.REGISTERED),
        ]
        await log.append(back)
        log = await place.reopen(log)
        assert (await log.recover()).stations == [
            recorded(1, here),
            msgspec.structs.replace(recorded(2, there), left=(Left(6, back[0]),)),
        ]

    async def test_the_times_of_a_record_count_as_those_of_a_status(self, place: Place, log: Log) -> None:
        await log.append([make_change()])
        await log.append([make_record(make_station(), received_at=NOW + 5_000)])
        log = await place.reopen(log)
        await log.recover()
        assert log.times is not None
        assert log.times.given_at == NOW + 5_000

    async def test_a_log_that_was_made_by_this_program_lacks_none(self, place: Place, log: Log) -> None:
        assert not log.lacks_stations
        await log.append([make_change()])
        assert not (await place.reopen(log)).lacks_stations

    async def test_records_that_are_adopted_are_in_force_and_replace_those_of_an_adoption_before(
        self, place: Place, log: Log
    ) -> None:
        await log.append([make_change()])
        first, second = places(2)
        await log.adopt([StationRow(1, first), StationRow(1, second)])
        await log.adopt([StationRow(1, second)])
        for _ in range(2):
            assert (await log.recover()).stations == [StationRow(1, second)]
            log = await place.reopen(log)
        after = msgspec.structs.replace(second, operator="Beta")
        await log.append([make_record(after, second)])
        log = await place.reopen(log)
        assert (await log.recover()).stations == [recorded(2, after, Former(2, outline(second)))]

    async def test_a_row_has_when_the_record_came_and_one_of_before_that_was_kept_says_so(
        self, place: Place, log: Log
    ) -> None:
        first, second = places(2)
        await log.append([make_record(first, received_at=NOW - 5), make_record(second, received_at=NOW)])
        log = await place.reopen(log)
        for _ in range(2):
            found = await log.recover()
            assert [row.received_at for row in found.stations] == [NOW - 5, NOW]
            await log.checkpoint([], 2, TIMES, found.stations)
            await log.trim()
            log = await place.reopen(log)
        before = msgspec.json.encode(StationRow(1, first))
        short = msgspec.json.encode(msgspec.json.decode(before)[:-1])
        assert msgspec.json.decode(short, type=StationRow) == StationRow(1, first)

    async def test_many_are_kept_whole(self, place: Place, log: Log) -> None:
        changes = [make_record(station) for station in places(2 * CHUNK_ROWS + 1)]
        await log.append(changes)
        rows = [StationRow(seq, change.station) for seq, change in enumerate(changes, 1)]
        await log.checkpoint([], len(rows), TIMES, rows)
        await log.trim()
        log = await place.reopen(log)
        assert sorted((await log.recover()).stations, key=lambda row: row.seq) == rows


class TestTimes:
    async def test_what_was_received_before_an_instant_is_found_among_what_is_kept(
        self, place: Place, log: Log
    ) -> None:
        assert (log.oldest_at, await log.before(NOW)) == (None, 0)
        changes: list[AnyChange] = [
            *make_changes(3),
            make_record(make_station(), received_at=NOW + 10),
            *[make_change(changed_at=NOW + 10), make_change(changed_at=NOW + 20)],
        ]
        await log.append(changes)
        for _ in range(2):
            asked = (0, NOW, NOW + 1, NOW + 2, NOW + 3, NOW + 10, NOW + 11, NOW + 20, NOW + 21)
            assert [await log.before(at) for at in asked] == [0, 0, 1, 2, 3, 3, 5, 5, 6]
            assert log.oldest_at == NOW
            log = await place.reopen(log)

    async def test_what_was_dropped_is_not_found(self, place: Place, log: Log) -> None:
        await log.append(make_changes(2 * KEPT_ENTRIES_MAX))
        await log.checkpoint([], 20, TIMES)
        assert await log.trim() == 20
        for _ in range(2):
            assert log.oldest_at == NOW + 20
            assert [await log.before(NOW + at) for at in (0, 20, 21)] == [20, 20, 21]
            log = await place.reopen(log)


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
