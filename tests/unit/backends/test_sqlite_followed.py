"""A log that another process writes: read up to what the writer vouches for, and never beyond."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import apsw
import pytest
from tests.building import NOW, make_changes
from tests.patience import come_true

from ladestrom.backends.sqlite import SqliteLog
from ladestrom.backends.sqlite_followed import SqliteFollower
from ladestrom.errors import LogReplaced, LogTrimmed
from ladestrom.ports.log import Times


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[SqliteLog]:
    made = await SqliteLog.open(tmp_path / "log.db")
    yield made
    await made.close()


@pytest.fixture
async def follower(log: SqliteLog, tmp_path: Path) -> AsyncIterator[SqliteFollower]:
    made = await SqliteFollower.open(tmp_path / "log.db")
    made.stands(log.last.epoch, 0, 1, None)
    await made.recover()
    following = asyncio.create_task(made.follow())
    yield made
    following.cancel()
    with contextlib.suppress(asyncio.CancelledError, LogTrimmed):
        await following
    await made.close()


async def test_nothing_is_read_beyond_what_the_writer_vouches_for(
    log: SqliteLog, follower: SqliteFollower
) -> None:
    epoch = log.last.epoch
    await log.append(make_changes(4))
    follower.stands(epoch, 2, 1, NOW)
    await come_true(lambda: follower.last.seq == 2)
    assert [entry.seq for entry in await follower.read(0, 10)] == [1, 2]
    tail = follower.tail(0)
    assert [entry.seq for entry in await anext(tail)] == [1, 2]
    waiting = asyncio.ensure_future(anext(tail))
    await asyncio.sleep(0)
    assert not waiting.done()
    follower.stands(epoch, 4, 1, NOW)
    assert [entry.seq for entry in await waiting] == [3, 4]
    assert (follower.first, follower.oldest_at, follower.fault) == (1, NOW, None)


async def test_a_start_waits_until_the_writer_vouches_for_what_it_read(
    log: SqliteLog, tmp_path: Path
) -> None:
    await log.append(make_changes(2))
    follower = await SqliteFollower.open(tmp_path / "log.db")
    starting = asyncio.create_task(follower.recover())
    follower.stands(log.last.epoch, 1, 1, None)
    for _ in range(20):
        await asyncio.sleep(0.001)
    assert not starting.done()
    follower.stands(log.last.epoch, 2, 1, None)
    assert [row.seq for row in (await starting).rows] == [1, 2]
    assert follower.last == log.last
    await follower.close()


async def test_another_log_or_one_that_went_back_is_none_to_follow(
    log: SqliteLog, follower: SqliteFollower
) -> None:
    follower.stands(log.last.epoch, 3, 1, None)
    for epoch, last in ((log.last.epoch, 2), ("other", 4)):
        with pytest.raises(LogReplaced):
            follower.stands(epoch, last, 1, None)


async def test_entries_that_were_dropped_before_they_were_read_end_it(log: SqliteLog, tmp_path: Path) -> None:
    follower = await SqliteFollower.open(tmp_path / "log.db")
    follower.stands(log.last.epoch, 0, 1, None)
    await follower.recover()
    await log.append(make_changes(4))
    await log.checkpoint([], 4, Times(4, 4))
    log._retention_bytes = 0
    assert await log.trim() == 3
    follower.stands(log.last.epoch, 4, 4, 4)
    with pytest.raises(LogTrimmed, match="entry 1"):
        await follower.follow()
    await follower.close()


async def test_it_can_write_nothing_and_leaves_checkpoints_to_the_writer(follower: SqliteFollower) -> None:
    with pytest.raises(apsw.ReadOnlyError):
        follower._connection.execute("DELETE FROM entries")
    assert follower._connection.execute("PRAGMA wal_autocheckpoint").fetchall() == [(0,)]
