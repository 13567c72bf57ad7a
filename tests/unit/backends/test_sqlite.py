from __future__ import annotations

import asyncio
import shutil
import stat
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import apsw
import pytest
from bench.powercut import Fault, campaign
from tests.building import NOW, TIMES, logged, make_change, make_changes, make_evse, statuses
from tests.powercut import Disk

from ladestrom.backends import sqlite
from ladestrom.backends.data_directory import DataDirectory
from ladestrom.backends.log_rows import FORMAT
from ladestrom.backends.retention import DAY_MS
from ladestrom.backends.sqlite import CHUNK_ROWS, PAUSE_S_MAX, Durability, SqliteLog
from ladestrom.errors import LogFailure, LogMisplaced
from ladestrom.model import Change
from ladestrom.ports.log import BoardRow

FOREVER_DAYS = 36_500
NEVER_FULL_MIB = 1_000_000


@asynccontextmanager
async def opened(path: Path, **settings: Any) -> AsyncIterator[SqliteLog]:
    log = await SqliteLog.open(path, **settings)
    try:
        yield log
    finally:
        await log.close()


async def contents(path: Path) -> list[Any]:
    async with opened(path) as log:
        return list(await log.read(0, 1_000_000))


def start_machine(monkeypatch: pytest.MonkeyPatch, boot_id: str) -> None:
    monkeypatch.setattr(sqlite, "_boot_id", lambda: boot_id)


def killed(path: Path, folder: Path) -> Path:
    """The files as a process leaves them that is killed now."""
    folder.mkdir()
    for file in path.parent.glob(f"{path.name}*"):
        if not file.name.endswith("-shm"):
            shutil.copy(file, folder)
    return folder / path.name


class TestPowerCut:
    @pytest.mark.parametrize("durability", list(Durability))
    def test_nothing_acknowledged_is_lost_or_the_epoch_is_new(
        self, tmp_path: Path, durability: Durability
    ) -> None:
        found = campaign(tmp_path, crashes=40, seed=1, durability=durability)
        assert found.wrongs == []
        assert found.crashes == 40
        assert found.while_opening > 0
        assert found.acknowledged > 1_000
        assert (found.renewed > 0) == (durability is Durability.RELAXED)

    @pytest.mark.parametrize("level", ["OFF", "NORMAL"])
    def test_a_campaign_finds_a_log_that_does_not_sync(self, tmp_path: Path, level: str) -> None:
        def unsafe(log: SqliteLog) -> None:
            log._write_connection.execute(f"PRAGMA synchronous = {level}")

        fault: Fault = unsafe
        assert campaign(tmp_path, crashes=20, seed=3, fault=fault).wrongs

    async def test_a_relaxed_log_is_known_as_such_before_anything_is_acknowledged(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        start_machine(monkeypatch, "first")
        async with opened(tmp_path / "log.db", durability=Durability.RELAXED) as log:
            epoch = log.last.epoch
        disk = Disk(Random(1))
        disk.holds(tmp_path)
        with disk.mounted():
            log = await SqliteLog.open(tmp_path / "log.db", durability=Durability.RELAXED)
            assert log.last.epoch == epoch
            await log.append(make_changes(1))
            disk.unplug()
            await log.close()
        after = tmp_path / "after"
        after.mkdir()
        disk.leave(after, share=0)
        start_machine(monkeypatch, "second")
        async with opened(after / "log.db", durability=Durability.RELAXED) as log:
            assert log.last.seq == 0
            assert log.last.epoch != epoch


class TestEpoch:
    async def test_each_new_log_has_its_own_and_keeps_it(self, tmp_path: Path) -> None:
        epochs = []
        for name in ("one.db", "two.db", "one.db", "two.db"):
            async with opened(tmp_path / name) as log:
                epochs.append(log.last.epoch)
        assert epochs[:2] == epochs[2:]
        assert epochs[0] != epochs[1]
        assert all(epoch.isalnum() for epoch in epochs)

    @pytest.mark.parametrize(
        ("durability", "restarted", "stays"),
        [
            (Durability.FULL, False, True),
            (Durability.FULL, True, True),
            (Durability.RELAXED, False, True),
            (Durability.RELAXED, True, False),
        ],
    )
    async def test_only_a_relaxed_log_under_which_the_machine_went_down_gets_a_new_one(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        durability: Durability,
        restarted: bool,
        stays: bool,
    ) -> None:
        start_machine(monkeypatch, "first")
        async with opened(tmp_path / "log.db", durability=durability) as log:
            await log.append(make_changes(3))
            epoch = log.last.epoch
            left = killed(tmp_path / "log.db", tmp_path / "left")
        if restarted:
            start_machine(monkeypatch, "second")
        async with opened(left, durability=durability) as log:
            assert (log.last.epoch == epoch) is stays
            assert log.last.seq == 3
            new = log.last.epoch
        async with opened(left, durability=durability) as log:
            assert log.last.epoch == new

    @pytest.mark.parametrize("durability", list(Durability))
    async def test_a_log_that_was_closed_keeps_its_own_over_a_restart_of_the_machine(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durability: Durability
    ) -> None:
        start_machine(monkeypatch, "first")
        async with opened(tmp_path / "log.db", durability=durability) as log:
            epoch = log.last.epoch
        start_machine(monkeypatch, "second")
        async with opened(tmp_path / "log.db", durability=durability) as log:
            assert log.last.epoch == epoch

    async def test_a_relaxed_log_that_was_cut_gets_a_new_one_though_it_is_opened_as_a_full_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        start_machine(monkeypatch, "first")
        async with opened(tmp_path / "log.db", durability=Durability.RELAXED) as log:
            epoch = log.last.epoch
            left = killed(tmp_path / "log.db", tmp_path / "left")
        start_machine(monkeypatch, "second")
        async with opened(left, durability=Durability.FULL) as log:
            assert log.last.epoch != epoch

    def test_the_machine_says_when_it_was_started(self) -> None:
        assert sqlite._boot_id()


class TestFailedAppend:
    async def test_on_a_full_disk_nothing_is_appended_and_the_next_has_the_same_numbers(
        self, tmp_path: Path
    ) -> None:
        path = tmp_path / "log.db"
        first, large, small = make_changes(10), make_changes(5_000), make_changes(3)
        async with opened(path) as log:
            await log.append(first)
            log._write_connection.execute("PRAGMA max_page_count = 12")
            for _ in range(2):
                with pytest.raises(LogFailure, match="nothing was accepted; try again"):
                    await log.append(large)
                assert log.last.seq == 10
                assert await log.read(0, 100) == logged(first)
            log._write_connection.execute("PRAGMA max_page_count = 1000000")
            assert await log.append(small) == logged(small, 10)
        assert await contents(path) == logged(first + small)

    @pytest.mark.parametrize("failure", [apsw.FullError("disk full"), apsw.IOError("disk I/O error")])
    async def test_whichever_operation_fails_nothing_is_appended(
        self, tmp_path: Path, failure: apsw.Error
    ) -> None:
        disk = Disk(Random(1))
        told: list[Change] = []
        failed = 0
        with disk.mounted():
            async with opened(tmp_path / "log.db") as log:
                log._write_connection.wal_autocheckpoint(3)
                for operation in range(25):
                    batch = make_changes(20, len(told))
                    disk.fails_after, disk.failure = operation, failure
                    try:
                        await log.append(batch)
                    except LogFailure:
                        failed += 1
                    else:
                        told += batch
                    disk.failure = None
                    assert await log.read(0, 10_000) == logged(told)
                    retried = make_changes(2, len(told))
                    assert await log.append(retried) == logged(retried, len(told))
                    told += retried
            assert failed > 3
            assert await contents(tmp_path / "log.db") == logged(told)

    async def test_one_that_took_effect_all_the_same_is_not_seen_and_gives_way_to_the_next(
        self, tmp_path: Path
    ) -> None:
        path = tmp_path / "log.db"
        lost, kept = make_changes(5), make_changes(3, 50)
        async with opened(path) as log:
            log._write_connection, connection = Deceptive(log._write_connection), log._write_connection  # type: ignore[assignment]
            with pytest.raises(LogFailure):
                await log.append(lost)
            log._write_connection = connection
            assert connection.execute("SELECT count(*) FROM entries").fetchall() == [(5,)]
            assert (log.last.seq, await log.read(0, 10)) == (0, [])
            assert await log.append(kept) == logged(kept)
            assert await log.read(0, 10) == logged(kept)
        assert await contents(path) == logged(kept)

    async def test_one_whose_caller_left_gives_way_to_the_next(self, tmp_path: Path) -> None:
        path = tmp_path / "log.db"
        kept = make_changes(3, 50)
        async with opened(path) as log:
            left = asyncio.create_task(log.append(make_changes(5)))
            await asyncio.sleep(0)
            left.cancel()
            assert await log.append(kept) == logged(kept)
            await asyncio.gather(left, return_exceptions=True)
            assert await log.append(make_changes(1, 60)) == logged(make_changes(1, 60), 3)
        assert await contents(path) == logged(kept + make_changes(1, 60))

    async def test_what_else_is_written_fails_as_clearly_and_works_again(self, tmp_path: Path) -> None:
        disk = Disk(Random(1))
        change = make_change()
        with disk.mounted():
            async with opened(tmp_path / "log.db", retention_days=0) as log:
                await log.append([change, change])
                disk.failure = apsw.FullError("disk full")
                for work in (log.probe, lambda: log.checkpoint([BoardRow(2, change, 0, 0, "")], 2, TIMES)):
                    with pytest.raises(LogFailure, match="cannot be written"):
                        await work()
                disk.failure = None
                await log.probe()
                assert await log.trim() == 0
                await log.checkpoint([BoardRow(2, change, 0, 0, "")], 2, TIMES)
                disk.failure = apsw.FullError("disk full")
                with pytest.raises(LogFailure, match="cannot be written"):
                    await log.trim()
                assert log.first == 1
                disk.failure = None
                assert await log.trim() == 1

    async def test_a_log_on_a_full_disk_can_be_closed(self, tmp_path: Path) -> None:
        disk = Disk(Random(1))
        with disk.mounted():
            log = await SqliteLog.open(tmp_path / "log.db")
            await log.append(make_changes(3))
            disk.failure = apsw.FullError("disk full")
            await log.close()
            disk.failure = None
            assert await contents(tmp_path / "log.db") == logged(make_changes(3))


Meddling = Callable[[Path], Callable[[], object] | None]
"""Does something to the files of a data directory; gives what undoes it, where it can be undone."""


def moved(name: str) -> Meddling:
    def move(folder: Path) -> Callable[[], object]:
        elsewhere = folder.with_name("elsewhere")
        (folder / name).rename(elsewhere)
        return lambda: elsewhere.rename(folder / name)

    return move


def replaced_by_a_copy(name: str) -> Meddling:
    def replace(folder: Path) -> Callable[[], object]:
        path, elsewhere = folder / name, folder.with_name("elsewhere")
        path.rename(elsewhere)
        shutil.copy(elsewhere, path)
        return lambda: elsewhere.replace(path)

    return replace


def deleted(name: str) -> Meddling:
    return lambda folder: (folder / name).unlink()


def emptied(folder: Path) -> None:
    (folder / "log.db").write_bytes(b"")


def moved_as_a_whole(folder: Path) -> Callable[[], object]:
    elsewhere = folder.with_name("elsewhere")
    folder.rename(elsewhere)
    return lambda: elsewhere.rename(folder)


def made_anew(folder: Path) -> Callable[[], object]:
    undo = moved_as_a_whole(folder)
    folder.mkdir()

    def back() -> None:
        folder.rmdir()
        undo()

    return back


class TestMisplacedFiles:
    @pytest.mark.parametrize(
        "meddle",
        [
            *(moved(name) for name in ("log.db", "log.db-wal", "lock")),
            *(replaced_by_a_copy(name) for name in ("log.db", "log.db-wal", "lock")),
            *(deleted(name) for name in ("log.db", "log.db-wal", "lock")),
            emptied,
            moved_as_a_whole,
            made_anew,
        ],
    )
    async def test_nothing_is_acknowledged_while_a_file_is_not_where_it_was_opened(
        self, tmp_path: Path, meddle: Meddling
    ) -> None:
        folder = tmp_path / "data"
        kept = make_changes(3)
        with DataDirectory(folder) as directory:
            log = await SqliteLog.open(folder / "log.db", directory=directory)
            await log.append(kept)
            undo = meddle(folder)
            for work in (
                lambda: log.append(make_changes(2, 50)),
                log.probe,
                lambda: log.checkpoint([], 3, TIMES),
            ):
                with pytest.raises(LogMisplaced, match="Nothing was accepted"):
                    await work()
            assert "Nothing was accepted" in str(log.fault)
            assert await log.read(0, 10) == logged(kept), "those who read go on"
            if undo is None:
                await log.close()
                return
            undo()
            added = make_changes(2, 3)
            assert await log.append(added) == logged(added, 3)
            assert not log.fault
            await log.close()
        assert await contents(folder / "log.db") == logged(kept + added)

    @pytest.mark.parametrize("name", ["store.db", "log.db-shm"])
    async def test_what_is_moved_beside_the_log_is_noticed_by_looking(
        self, tmp_path: Path, name: str
    ) -> None:
        folder = tmp_path / "data"
        with DataDirectory(folder) as directory:
            (folder / "store.db").write_bytes(b"somebody's")
            directory.keep("store.db")
            log = await SqliteLog.open(folder / "log.db", directory=directory)
            undo = moved(name)(folder)
            assert undo is not None
            log.look()
            assert name in str(log.fault)
            with pytest.raises(LogMisplaced):
                await log.append(make_changes(1))
            undo()
            log.look()
            assert log.fault is None
            assert await log.append(make_changes(1)) == logged(make_changes(1))
            await log.close()

    async def test_a_write_ahead_log_that_was_deleted_costs_nothing_that_was_acknowledged(
        self, tmp_path: Path
    ) -> None:
        folder = tmp_path / "data"
        with DataDirectory(folder) as directory:
            log = await SqliteLog.open(folder / "log.db", directory=directory)
            await log.append(make_changes(30))
            (folder / "log.db-wal").unlink()
            with pytest.raises(LogMisplaced, match="restart the server"):
                await log.append(make_changes(1))
            await log.close()
        found = await contents(folder / "log.db")
        assert found[:30] == logged(make_changes(30))

    async def test_a_log_that_was_moved_without_its_end_is_not_made_anew_over_it(
        self, tmp_path: Path
    ) -> None:
        path = tmp_path / "log.db"
        async with opened(path) as log:
            await log.append(make_changes(30))
            left = killed(path, tmp_path / "left")
        elsewhere = left.rename(tmp_path / "elsewhere")
        for remains in (lambda: None, lambda: left.write_bytes(b"")):
            remains()
            with pytest.raises(LogFailure, match=r"log.db is not beside it: put it back"):
                await SqliteLog.open(left)
        elsewhere.replace(left)
        assert await contents(left) == logged(make_changes(30))


class TestCheckpoint:
    @pytest.fixture
    def pauses(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        """How long checkpoints rested; they do not here."""
        found: list[float] = []
        sleep = asyncio.sleep

        async def pause(seconds: float) -> None:
            found.append(seconds)
            await sleep(0)

        monkeypatch.setattr("ladestrom.backends.sqlite.asyncio.sleep", pause)
        return found

    async def test_it_pauses_where_there_are_appends(self, tmp_path: Path, pauses: list[float]) -> None:
        changes = make_changes(10 * CHUNK_ROWS)
        rows = [BoardRow(seq, change, NOW, NOW, "abc") for seq, change in enumerate(changes, 1)]
        async with opened(tmp_path / "log.db") as log:
            await log.append(changes)
            await log.checkpoint(rows, log.last.seq, TIMES)
            assert pauses == []
            await asyncio.gather(log.checkpoint(rows, log.last.seq, TIMES), log.append(make_changes(1)))
            assert 1 <= len(pauses) <= 2
            assert all(pauses)

    async def test_on_a_disk_that_is_slow_to_sync_it_takes_few_syncs_and_short_pauses(
        self, tmp_path: Path, pauses: list[float]
    ) -> None:
        disk = Disk(Random(1))
        changes = make_changes(20 * CHUNK_ROWS)
        rows = [BoardRow(seq, change, NOW, NOW, "abc") for seq, change in enumerate(changes, 1)]
        with disk.mounted():
            async with opened(tmp_path / "log.db") as log:
                await log.append(changes)
                # Far more than the rows of a transaction take, even where much else goes on.
                disk.sync_s = 0.3
                for _ in range(12):
                    await log.append(make_changes(1))
                checkpoint = asyncio.create_task(log.checkpoint(rows, log.last.seq, TIMES))
                appends = 0
                while not checkpoint.done():
                    await log.append(make_changes(1))
                    appends += 1
                disk.sync_s = 0.0
        assert appends <= 2 * len(rows) // CHUNK_ROWS, "pieces of the smallest size would be over 300"
        assert max(pauses) <= PAUSE_S_MAX

    async def test_rows_are_asked_for_piece_by_piece_while_earlier_ones_are_written(
        self, tmp_path: Path
    ) -> None:
        changes = make_changes(5 * CHUNK_ROWS)
        made = 0

        def rows() -> Iterator[BoardRow]:
            nonlocal made
            for seq, change in enumerate(changes, 1):
                made += 1
                yield BoardRow(seq, change, NOW, NOW, "abc")

        async with opened(tmp_path / "log.db") as log:
            await log.append(changes)
            checkpoint = asyncio.create_task(log.checkpoint(rows(), len(changes), TIMES))
            steps = [0]
            while not checkpoint.done():
                await asyncio.sleep(0)
                steps.append(made)
            assert max(later - earlier for earlier, later in pairwise(steps)) <= CHUNK_ROWS
            await checkpoint
        async with opened(tmp_path / "log.db") as log:
            assert len((await log.recover()).rows) == len(changes)


class Deceptive:
    """A connection whose append fails after it took effect, and that cannot be asked afterwards."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._failed = False

    def execute(self, statement: str, values: Sequence[Any] = ()) -> apsw.Cursor:
        if self._failed:
            raise apsw.IOError("disk I/O error")
        found = self._connection.execute(statement, tuple(values))
        if statement.startswith("INSERT INTO entries"):
            self._failed = True
            raise apsw.IOError("disk I/O error")
        return found


class Clock:
    """The time of day, which may be set to anything, and the time that passes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = NOW
        self._elapsed = 0
        monkeypatch.setattr("ladestrom.backends.sqlite.time.time_ns", lambda: self.now * 1_000_000)
        monkeypatch.setattr("ladestrom.backends.retention.elapsed_ms", lambda: self._elapsed)

    def run(self, ms: float) -> None:
        """Time passes, and the clock goes with it."""
        self.now += int(ms)
        self._elapsed += int(ms)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


HOUR_MS = 3_600_000
WEEK: dict[str, float] = {"retention_days": 7, "retention_mib": NEVER_FULL_MIB}


class TestTrim:
    async def filled(self, log: SqliteLog, clock: Clock, days: int, per_day: int) -> None:
        for _ in range(days):
            await log.append(make_changes(per_day))
            clock.run(DAY_MS)
        await log.checkpoint([], log.last.seq, TIMES)

    @pytest.mark.parametrize("jump_days", [8, -8, 3_650, -20_000])
    async def test_a_clock_that_jumps_while_the_log_is_open_drops_nothing_and_keeps_nothing(
        self, tmp_path: Path, clock: Clock, jump_days: int
    ) -> None:
        async with opened(tmp_path / "log.db", **WEEK) as log:
            await self.filled(log, clock, days=6, per_day=10)
            clock.now += jump_days * DAY_MS
            await log.append(make_changes(10))
            await log.checkpoint([], log.last.seq, TIMES)
            assert await log.trim() == 0
            clock.now -= jump_days * DAY_MS
            assert await log.trim() == 0
            clock.run(2 * DAY_MS)
            assert await log.trim() == 10, "the first day is 8 days old"

    @pytest.mark.parametrize("ahead_days", [8, 3_650])
    async def test_a_clock_that_is_ahead_at_a_restart_drops_nothing_and_keeps_nothing(
        self, tmp_path: Path, clock: Clock, ahead_days: int
    ) -> None:
        path = tmp_path / "log.db"
        async with opened(path, **WEEK) as log:
            await self.filled(log, clock, days=6, per_day=10)
        clock.now += ahead_days * DAY_MS
        async with opened(path, **WEEK) as log:
            assert await log.trim() == 0
            clock.run(DAY_MS)
            assert await log.trim() == 0
            await log.append(make_changes(10))
            await log.checkpoint([], log.last.seq, TIMES)
            clock.now -= ahead_days * DAY_MS
        async with opened(path, **WEEK) as log:
            assert (log.first, await log.trim()) == (1, 0)
            clock.run(DAY_MS + 1)
            assert await log.trim() == 10, "the first day is older than a week of running"
            clock.run(6 * DAY_MS)
            assert await log.trim() == 59, "what was written after it is not kept until that clock is reached"

    async def test_the_time_in_which_the_server_was_off_makes_no_entry_older(
        self, tmp_path: Path, clock: Clock
    ) -> None:
        path = tmp_path / "log.db"
        async with opened(path, **WEEK) as log:
            await self.filled(log, clock, days=7, per_day=10)
        clock.now += 30 * DAY_MS
        async with opened(path, **WEEK) as log:
            assert await log.trim() == 0
            clock.run(2 * DAY_MS)
            # The day between the last entry and the end of the server is not known of.
            assert await log.trim() == 10

    async def test_a_retention_that_was_lowered_is_kept_within_hours(
        self, tmp_path: Path, clock: Clock
    ) -> None:
        path = tmp_path / "log.db"
        async with opened(path, **WEEK) as log:
            await self.filled(log, clock, days=7, per_day=10)
        async with opened(path, retention_days=1, retention_mib=NEVER_FULL_MIB) as log:
            assert await log.trim() == 0
            clock.run(HOUR_MS)
            assert await log.trim() == 10, "a day of history: it may have been a mistake"
            clock.run(6 * HOUR_MS)
            assert await log.trim() == 50

    async def test_a_clock_that_is_far_behind_at_the_start_does_not_stamp_entries_as_older(
        self, tmp_path: Path, clock: Clock
    ) -> None:
        path = tmp_path / "log.db"
        async with opened(path, **WEEK) as log:
            await self.filled(log, clock, days=2, per_day=10)
        now, clock.now = clock.now, 1_000
        async with opened(path, **WEEK) as log:
            await self.filled(log, clock, days=2, per_day=10)
            clock.now = now
            assert await log.trim() == 0
            # The day between the last entry and the restart is not known of.
            clock.run(5 * DAY_MS)
            assert await log.trim() == 10

    async def test_stamps_of_an_earlier_version_that_go_back_and_forth_drop_no_younger_entry(
        self, tmp_path: Path, clock: Clock
    ) -> None:
        path = tmp_path / "log.db"
        async with opened(path, **WEEK) as log:
            await self.filled(log, clock, days=6, per_day=10)
        connection = apsw.Connection(str(path))
        connection.execute("UPDATE entries SET at = 1000 WHERE seq = 55")
        connection.execute("UPDATE entries SET at = at + 315360000000 WHERE seq = 5")
        connection.close()
        async with opened(path, **WEEK) as log:
            assert await log.trim() == 0
            clock.run(3 * DAY_MS)
            assert await log.trim() == 10, (
                "neither is one that was written under a clock ten years ahead kept"
            )

    async def test_entries_over_the_age_are_dropped_and_younger_ones_are_not(
        self, tmp_path: Path, clock: Clock
    ) -> None:
        async with opened(tmp_path / "log.db", retention_days=2.5, retention_mib=NEVER_FULL_MIB) as log:
            await self.filled(log, clock, days=5, per_day=10)
            # The entries are 5, 4, 3, 2 and 1 days old.
            assert await log.trim() == 30
            assert (log.first, [entry.seq for entry in await log.read(0, 1)]) == (31, [31])
            assert await log.trim() == 0

    async def test_many_entries_are_dropped_all(self, tmp_path: Path, clock: Clock) -> None:
        async with opened(tmp_path / "log.db", retention_days=1, retention_mib=NEVER_FULL_MIB) as log:
            await self.filled(log, clock, days=3, per_day=CHUNK_ROWS)
            assert await log.trim() == 2 * CHUNK_ROWS

    async def test_the_oldest_are_dropped_until_the_size_is_kept(self, tmp_path: Path, clock: Clock) -> None:
        async with opened(tmp_path / "log.db", retention_days=FOREVER_DAYS, retention_mib=2) as log:
            await self.filled(log, clock, days=4, per_day=5_000)
            dropped = await log.trim()
            assert dropped in range(CHUNK_ROWS, 15_000, CHUNK_ROWS)
            assert log.first == dropped + 1
            assert await log.trim() == 0

    async def test_a_clock_that_was_ahead_does_not_keep_a_log_from_being_trimmed_by_size(
        self, tmp_path: Path, clock: Clock
    ) -> None:
        async with opened(tmp_path / "log.db", retention_days=7, retention_mib=0) as log:
            clock.now += 1_000 * DAY_MS
            await self.filled(log, clock, days=1, per_day=100)
            clock.now -= 1_000 * DAY_MS
            assert await log.trim() == 99

    async def test_where_it_begins_is_known_after_a_restart(self, tmp_path: Path, clock: Clock) -> None:
        async with opened(tmp_path / "log.db", retention_days=0) as log:
            await self.filled(log, clock, days=1, per_day=10)
            await log.trim()
        async with opened(tmp_path / "log.db") as log:
            assert (log.first, log.last.seq) == (10, 10)


class TestFiles:
    async def refused(self, path: Path) -> str:
        with pytest.raises(LogFailure) as told:
            await SqliteLog.open(path)
        return str(told.value)

    async def test_they_are_for_their_owner_alone(self, tmp_path: Path) -> None:
        async with opened(tmp_path / "log.db") as log:
            await log.append(make_changes(1))
            files = list(tmp_path.iterdir())
            assert len(files) > 1
            assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}

    @pytest.mark.parametrize(
        "content", [b"no database at all, but long enough to be looked at" * 20, b"\x00" * 4096]
    )
    async def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(
        self, tmp_path: Path, content: bytes
    ) -> None:
        path = tmp_path / "log.db"
        path.write_bytes(content)
        assert str(path) in await self.refused(path)
        assert path.read_bytes() == content

    async def test_an_empty_file_becomes_a_log(self, tmp_path: Path) -> None:
        path = tmp_path / "log.db"
        path.touch()
        async with opened(path) as log:
            await log.append(make_changes(1))

    @pytest.mark.parametrize(
        "schema", ["CREATE TABLE stations (uuid TEXT)", "CREATE TABLE meta (name, value)"]
    )
    async def test_a_database_of_something_else_is_refused_and_left_as_it_is(
        self, tmp_path: Path, schema: str
    ) -> None:
        path = tmp_path / "log.db"
        connection = apsw.Connection(str(path))
        connection.execute(schema)
        connection.close()
        before = path.read_bytes()
        assert "no log of ladestrom" in await self.refused(path)
        assert path.read_bytes() == before

    async def test_a_log_of_a_newer_format_is_refused_and_left_as_it_is(self, tmp_path: Path) -> None:
        path = tmp_path / "log.db"
        async with opened(path) as log:
            await log.append(make_changes(1))
        self.write(path, "UPDATE meta SET value = 99 WHERE name = 'format'")
        before = path.read_bytes()
        told = await self.refused(path)
        assert f"has format 99, this program reads {FORMAT}: use the version that wrote it" in told
        assert path.read_bytes() == before

    @staticmethod
    def write(path: Path, statement: str) -> None:
        connection = apsw.Connection(str(path))
        connection.execute(statement)
        connection.execute("PRAGMA wal_checkpoint")
        connection.close()

    async def test_a_place_where_no_file_can_be_is_refused(self, tmp_path: Path) -> None:
        assert "cannot be used" in await self.refused(tmp_path / "missing" / "log.db")
        assert "cannot be used" in await self.refused(tmp_path)

    async def test_a_file_system_without_shared_memory_is_refused(self, tmp_path: Path) -> None:
        vfs = NoSharedMemory()
        try:
            assert "without shared memory" in await self.refused(tmp_path / "log.db")
        finally:
            vfs.unregister()

    @pytest.mark.parametrize(
        ("statement", "missing"),
        [
            ("DELETE FROM entries WHERE seq = 7", "entries 7 to 7"),
            ("DELETE FROM entries WHERE seq IN (6, 7)", "entries 6 to 7"),
            ("DELETE FROM entries WHERE seq > 3", "entries 4 to 5"),
        ],
    )
    async def test_a_log_that_lacks_entries_is_not_recovered(
        self, tmp_path: Path, statement: str, missing: str
    ) -> None:
        path = tmp_path / "log.db"
        async with opened(path) as log:
            await log.append(make_changes(10))
            await log.checkpoint([], 5, TIMES)
        self.write(path, statement)
        async with opened(path) as log:
            with pytest.raises(LogFailure, match=missing):
                await log.recover()

    @pytest.mark.parametrize(
        "statement", ["UPDATE entries SET body = '[1,2'", "UPDATE board SET body = '[1,2'"]
    )
    async def test_a_record_that_cannot_be_read_is_damage(self, tmp_path: Path, statement: str) -> None:
        path = tmp_path / "log.db"
        async with opened(path) as log:
            (entry,) = statuses(await log.append([make_change()]))
            await log.checkpoint([BoardRow(1, entry.change, 0, 0, "")], 0, TIMES)
        self.write(path, statement)
        async with opened(path) as log:
            with pytest.raises(LogFailure, match="is damaged"):
                await log.recover()

    async def test_damage_anywhere_is_a_clear_failure_or_none(self, tmp_path: Path) -> None:
        random = Random(1)
        path = tmp_path / "log.db"
        async with opened(path) as log:
            entries = statuses(await log.append(make_changes(100)))
            await log.checkpoint(
                [BoardRow(entry.seq, entry.change, 0, 0, "") for entry in entries], 50, TIMES
            )
        whole = path.read_bytes()
        told: list[str] = []
        for number in range(150):
            damaged = bytearray(whole)
            for _ in range(random.choice([1, 20])):
                damaged[random.randrange(len(damaged))] = random.randrange(256)
            if random.random() < 0.1:
                del damaged[random.randrange(len(damaged)) :]
            broken = tmp_path / f"{number}.db"
            broken.write_bytes(damaged)
            try:
                async with opened(broken) as log:
                    await log.recover()
                    await log.read(0, 1_000)
                    await log.append(make_changes(3))
            except LogFailure as failure:
                told.append(str(failure))
        assert len(told) > 50
        assert all(".db" in failure for failure in told)

    async def test_a_follower_reads_what_was_written_before_the_restart(self, tmp_path: Path) -> None:
        path = tmp_path / "log.db"
        async with opened(path) as log:
            await log.append(make_changes(5))
        async with opened(path) as log:
            await log.append(make_changes(1, 5))
            found: list[Any] = []
            async for batch in log.tail(2):
                found += batch
                if found[-1].seq == 6:
                    break
            assert found == logged(make_changes(6))[2:]


class NoSharedMemory(apsw.VFS):
    """A file system whose files cannot be mapped by several processes."""

    def __init__(self) -> None:
        super().__init__("no-shared-memory", "unix", makedefault=True)

    def xOpen(self, name: Any, flags: list[int]) -> Any:  # noqa: N802 - SQLite's name
        return _Unshared(apsw.VFSFile("unix", name, flags))


class _Unshared:
    """Not an `apsw.VFSFile` itself, and so without the methods of shared memory."""

    def __init__(self, file: apsw.VFSFile) -> None:
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


async def test_an_evse_with_any_name_is_kept_in_the_checkpoint(tmp_path: Path) -> None:
    change = make_change(make_evse(key="Å\"'\\\x00😀", written="NO*ABC*E1"))
    row = BoardRow(1, change, NOW, NOW, "abc")
    async with opened(tmp_path / "log.db") as log:
        await log.append([change])
        await log.checkpoint([row], 1, TIMES)
        assert (await log.recover()).rows == [row]


async def test_rows_of_a_checkpoint_have_what_is_equal_once(tmp_path: Path) -> None:
    """With 100,000 EVSEs it is 30 MB."""
    evses = [make_evse(key=f"NOABCE{number}") for number in range(2)]
    changes = [make_change(evse) for evse in evses]
    rows = [
        BoardRow(seq, change, change.observed_at, NOW, change.source, feed="a feed")
        for seq, change in enumerate(changes, 1)
    ]
    async with opened(tmp_path / "log.db") as log:
        await log.append(changes)
        first, second = (await log.recover()).rows
        assert first.source is second.source
        assert first.change.station is second.change.station, "of entries, too"
        await log.checkpoint(rows, 2, TIMES)
        one, other = (await log.recover()).rows
    assert [one, other] == rows
    for name in ("source", "feed", "heard_at"):
        assert getattr(one, name) is getattr(other, name), name
    for name in ("station", "received_at", "raw", "source", "was_source"):
        assert getattr(one.change, name) is getattr(other.change, name), name
    assert one.source is one.change.source
    assert one.observed_at is one.change.observed_at is one.change.changed_at
