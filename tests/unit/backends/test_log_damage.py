"""A log that is damaged says so, and names the entry, whoever reads it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import apsw
import pytest
from tests.building import NOW, TIMES, logged, make_changes

from ladestrom.backends.sqlite import SqliteLog
from ladestrom.errors import LogDamaged
from ladestrom.ports.log import BoardRow

ENTRIES = 40
BROKEN = "UPDATE entries SET body = '[1, 2' WHERE seq = {seq}"
WRONG = "UPDATE entries SET body = '[]' WHERE seq = {seq}"
NO_TEXT = "UPDATE entries SET body = x'ff' WHERE seq = {seq}"
NOTHING = """
PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(sql, 'body TEXT NOT NULL', 'body');
PRAGMA writable_schema = RESET; UPDATE entries SET body = NULL WHERE seq = {seq}
"""
MISSING = "DELETE FROM entries WHERE seq = {seq}"


@asynccontextmanager
async def filled(path: Path) -> AsyncIterator[SqliteLog]:
    log = await SqliteLog.open(path, retention_days=0)
    try:
        await log.append(make_changes(ENTRIES))
        yield log
    finally:
        await log.close()


def damage(path: Path, statement: str, seq: int) -> None:
    connection = apsw.Connection(str(path))
    connection.execute(statement.format(seq=seq))
    connection.close()


@pytest.mark.parametrize("statement", [BROKEN, WRONG, NO_TEXT, NOTHING, MISSING])
@pytest.mark.parametrize("seq", [1, 17, ENTRIES])
async def test_reading_over_a_damaged_entry_names_it_and_never_skips_it(
    tmp_path: Path, statement: str, seq: int
) -> None:
    path = tmp_path / "log.db"
    async with filled(path) as log:
        assert not log.fault
        damage(path, statement, seq)
        with pytest.raises(
            LogDamaged, match=rf"entry {seq} cannot be read|entries {seq} to {seq} are missing"
        ) as told:
            await log.read(0, 1_000)
        assert told.value.seq == seq
        assert str(seq) in str(log.fault)
        everything = logged(make_changes(ENTRIES))
        assert await log.read(0, seq - 1) == everything[: seq - 1]
        assert await log.read(seq, 1_000) == everything[seq:]


@pytest.mark.parametrize("statement", [BROKEN, WRONG, NO_TEXT, NOTHING, MISSING])
async def test_a_damaged_oldest_entry_stops_neither_start_nor_trim(tmp_path: Path, statement: str) -> None:
    path = tmp_path / "log.db"
    async with filled(path):
        pass
    for seq in (1, 11):
        damage(path, statement, seq)
    log = await SqliteLog.open(path, retention_mib=0)
    try:
        assert log.oldest_at == (None if statement != MISSING else NOW + 1)
        await log.checkpoint([], 10, TIMES)
        assert await log.trim() > 0
        assert await log.append(make_changes(1, ENTRIES))
        assert [entry.seq for entry in await log.read(ENTRIES, 10)] == [ENTRIES + 1]
    finally:
        await log.close()


@pytest.mark.parametrize(
    ("damaging", "what"),
    [
        ("UPDATE entries SET at = 'late' WHERE seq = {seq}", "entry 40"),
        ("UPDATE meta SET value = x'ff' WHERE name = 'checkpoint'", "what the log says of itself"),
        ("DELETE FROM meta WHERE name = 'epoch'; INSERT INTO meta VALUES ('epoch', 5)", "says of itself"),
        ("UPDATE meta SET value = 'yesterday' WHERE name = 'given_at'", "what the log says of itself"),
    ],
)
async def test_a_log_with_something_else_where_it_says_what_it_is_is_damaged_when_it_is_opened(
    tmp_path: Path, damaging: str, what: str
) -> None:
    path = tmp_path / "log.db"
    async with filled(path) as log:
        await log.checkpoint([], 10, TIMES)
    damage(path, damaging, ENTRIES)
    with pytest.raises(LogDamaged, match=rf"{what} .*cannot be read.*ladestrom restore"):
        await SqliteLog.open(path)


@pytest.mark.parametrize("statement", [BROKEN, MISSING])
async def test_who_follows_the_log_is_stopped_at_a_damaged_entry(tmp_path: Path, statement: str) -> None:
    path = tmp_path / "log.db"
    async with filled(path):
        pass
    damage(path, statement, 5)
    log = await SqliteLog.open(path)
    with pytest.raises(LogDamaged) as told:
        await anext(log.tail(0))
    assert told.value.seq == 5
    assert [entry.seq for entry in await anext(log.tail(5))] == list(range(6, ENTRIES + 1))
    await log.close()


@pytest.mark.parametrize("statement", [BROKEN, MISSING])
async def test_changes_are_still_taken_beside_a_damaged_entry(tmp_path: Path, statement: str) -> None:
    path = tmp_path / "log.db"
    async with filled(path) as log:
        damage(path, statement, 5)
        with pytest.raises(LogDamaged):
            await log.read(0, 10)
        added = await log.append(make_changes(2, ENTRIES))
        assert await log.read(ENTRIES, 10) == added


async def test_a_damaged_entry_that_was_dropped_is_no_fault_any_more(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    async with filled(path) as log:
        damage(path, BROKEN, 5)
        with pytest.raises(LogDamaged):
            await log.read(0, 10)
        await log.checkpoint([], ENTRIES, TIMES)
        assert await log.trim() > 5
        assert log.fault is None


@pytest.mark.parametrize("statement", [BROKEN, MISSING])
async def test_a_log_whose_board_cannot_be_recovered_says_which_entry_it_is_and_what_to_do(
    tmp_path: Path, statement: str
) -> None:
    path = tmp_path / "log.db"
    async with filled(path) as log:
        changes = make_changes(ENTRIES)
        rows = [BoardRow(seq, changes[seq - 1], 0, 0, "abc") for seq in range(1, 11)]
        await log.checkpoint(rows, 10, TIMES)
    damage(path, statement, 9)
    log = await SqliteLog.open(path)
    assert len((await log.recover()).rows) == ENTRIES, "what the checkpoint has is not read"
    await log.close()
    damage(path, statement, 20)
    log = await SqliteLog.open(path)
    with pytest.raises(LogDamaged, match=r"(entry|entries) 20 .*ladestrom restore.*start a new log") as told:
        await log.recover()
    assert told.value.seq == 20
    await log.close()


async def test_a_page_that_is_damaged_is_told_too(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    async with filled(path):
        pass
    connection = apsw.Connection(str(path))
    ((root, size),) = connection.execute(
        "SELECT rootpage, page_size FROM sqlite_schema, pragma_page_size WHERE name = 'entries'"
    ).fetchall()
    connection.close()
    assert isinstance(root, int)
    assert isinstance(size, int)
    with path.open("r+b") as file:
        file.seek((root - 1) * size)
        file.write(b"\xff" * 64)
    with pytest.raises(LogDamaged, match="damaged"):
        await SqliteLog.open(path)
