from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import apsw
import pytest

from ladestrom.cli import main
from ladestrom.cli.doctor import (
    CLOCK_MIN_AT,
    DATABASES,
    SPARE_FILES,
    SYNC_SAMPLES,
    Level,
    clock,
    data_directory,
    database,
    disk,
    examine,
    files,
    memory,
    newest_entry,
    packages,
    python,
    sqlite,
    sync,
    sync_ms,
    uvloop,
)
from ladestrom.config import Settings, load
from ladestrom.ingest.extensions import Unusable

NOW = CLOCK_MIN_AT + 86_400_000


@pytest.mark.parametrize(("version", "level"), [((3, 10, 9), Level.FAIL), ((3, 11, 0), Level.OK)])
def test_python_has_to_be_3_11(version: tuple[int, int, int], level: Level) -> None:
    assert python(version).level is level


@pytest.mark.parametrize(
    ("version", "level"),
    [
        ("3.40.1", Level.FAIL),
        ("3.51.2", Level.FAIL),
        ("3.51.3", Level.OK),
        ("3.54.1", Level.OK),
        ("4.0.0", Level.OK),
    ],
)
def test_a_sqlite_with_the_wal_reset_defect_is_refused(version: str, level: Level) -> None:
    assert sqlite(version).level is level


@pytest.mark.parametrize(
    ("system", "present", "level"),
    [("linux", True, Level.OK), ("linux", False, Level.WARN), ("win32", False, Level.OK)],
)
def test_a_missing_uvloop_is_noted_where_it_can_be_had(system: str, present: bool, level: Level) -> None:
    assert uvloop(system, present=present).level is level


@pytest.mark.parametrize(
    ("now", "newest_at", "synchronised", "level"),
    [
        (NOW, None, True, Level.OK),
        (NOW, None, None, Level.OK),
        (NOW, NOW - 1, True, Level.OK),
        (NOW, None, False, Level.WARN),
        (NOW, NOW + 60_001, True, Level.FAIL),
        (CLOCK_MIN_AT - 1, None, True, Level.FAIL),
        (0, None, None, Level.FAIL),
    ],
)
def test_a_clock_that_is_behind_the_data_or_the_program_fails(
    now: int, newest_at: int | None, synchronised: bool | None, level: Level
) -> None:
    assert clock(now, newest_at, synchronised=synchronised).level is level


DAY_MS = 86_400_000


@pytest.mark.parametrize(
    ("newest_at", "level", "found"),
    [
        (NOW, Level.OK, "agrees"),
        (NOW + 300_000, Level.OK, "agrees"),
        (NOW + 300_001, Level.WARN, "the clock is 0.1 hours behind the newest entry"),
        (NOW + 3_650 * DAY_MS, Level.WARN, "the clock is 3,650 days behind the newest entry"),
        (NOW - 7 * DAY_MS, Level.OK, "agrees"),
        (
            NOW - 8 * DAY_MS,
            Level.WARN,
            "is 8 days old: unless the server was off for so long, the clock is wrong",
        ),
    ],
)
def test_a_clock_that_does_not_go_with_the_log_is_told(newest_at: int, level: Level, found: str) -> None:
    check = newest_entry(NOW, newest_at, 7)
    assert check.level is level
    assert found in check.found


def test_the_newest_entry_of_the_log_is_compared_with_the_clock(tmp_path: Path) -> None:
    body = json.dumps(
        ["NOABCE1", "NOR_00001", "AVAILABLE", False, 1, 2, 1_000, "abc", "", "reported", "UNKNOWN", False]
    )
    made(
        tmp_path / "log.db",
        "CREATE TABLE entries (seq INTEGER PRIMARY KEY, at INTEGER, body TEXT)",
        f"INSERT INTO entries VALUES (1, 1, '{body}')",  # noqa: S608 - as above
    )
    settings = load(None, {}, {"server.data": str(tmp_path)}).settings
    (check,) = [check for check in examine(settings) if check.name == "clock and log"]
    assert check.level is Level.WARN
    assert "days old" in check.found


def test_a_newest_entry_that_cannot_be_read_is_no_reason_to_fail(tmp_path: Path) -> None:
    made(
        tmp_path / "log.db",
        "CREATE TABLE entries (seq INTEGER PRIMARY KEY, at INTEGER, body TEXT)",
        "INSERT INTO entries VALUES (1, 1, '[1, 2')",
    )
    settings = load(None, {}, {"server.data": str(tmp_path)}).settings
    assert "clock and log" not in [check.name for check in examine(settings) if check.level is Level.FAIL]


@pytest.mark.parametrize(
    ("limit", "level"),
    [
        (None, Level.OK),
        (1_000 + SPARE_FILES, Level.OK),
        (1_000 + SPARE_FILES - 1, Level.WARN),
        (SPARE_FILES, Level.FAIL),
    ],
)
def test_the_limit_of_open_files_has_to_hold_all_consumers(limit: int | None, level: Level) -> None:
    check = files(limit, 1_000)
    assert check.level is level
    assert (f"ulimit -n {1_000 + SPARE_FILES}" in check.advice) is (level is not Level.OK)


@pytest.mark.parametrize(
    ("free_mib", "level"), [(None, Level.OK), (256 + 8, Level.OK), (256 + 7, Level.WARN)]
)
def test_memory_has_to_hold_the_board_and_all_consumers(free_mib: int | None, level: Level) -> None:
    assert memory(free_mib, 1_024).level is level


@pytest.mark.parametrize(
    ("free_mib", "level"), [(4_096, Level.OK), (4_095, Level.WARN), (256, Level.WARN), (255, Level.FAIL)]
)
def test_the_disk_has_to_hold_the_log(free_mib: int, level: Level) -> None:
    assert disk(free_mib, 4_096).level is level


@pytest.mark.parametrize(
    ("median_ms", "level"), [(0.001, Level.WARN), (0.1, Level.OK), (10.0, Level.OK), (10.1, Level.WARN)]
)
def test_a_disk_that_syncs_slowly_or_not_at_all_is_noted(median_ms: float, level: Level) -> None:
    assert sync(median_ms).level is level


def test_syncs_are_measured_and_leave_nothing_behind(tmp_path: Path) -> None:
    durations = sync_ms(tmp_path)
    assert len(durations) == SYNC_SAMPLES
    assert min(durations) > 0
    assert list(tmp_path.iterdir()) == []


def test_a_data_directory_that_is_not_there_yet_is_in_order_and_not_made(tmp_path: Path) -> None:
    wanted = tmp_path / "a" / "b"
    checks = {check.name: check for check in examine(load(None, {}, {"server.data": wanted}).settings)}
    assert checks["data directory"].level is Level.OK
    assert str(tmp_path) in checks["data directory"].found
    assert list(tmp_path.iterdir()) == []


def test_a_data_directory_that_cannot_be_written_fails(tmp_path: Path) -> None:
    missing = tmp_path / "none"
    assert data_directory(missing, missing).level is Level.FAIL


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write everywhere"
)
def test_a_read_only_data_directory_fails(tmp_path: Path) -> None:
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        assert data_directory(tmp_path, tmp_path).level is Level.FAIL
    finally:
        tmp_path.chmod(stat.S_IRWXU)


def made(path: Path, *statements: str) -> None:
    connection = apsw.Connection(str(path))
    for statement in statements:
        connection.execute(statement)
    connection.close()


def test_the_versions_of_log_and_store_are_shown(tmp_path: Path) -> None:
    made(tmp_path / "log.db", "CREATE TABLE meta (name, value)", "INSERT INTO meta VALUES ('format', 7)")
    made(
        tmp_path / "store.db",
        "CREATE TABLE alembic_version (version_num)",
        "INSERT INTO alembic_version VALUES ('0001')",
    )
    settings = load(None, {}, {"server.data": tmp_path}).settings
    found = {check.name: check.found for check in examine(settings)}
    assert found["log.db"].startswith("version 7, ")
    assert found["store.db"].startswith("version 0001, ")


def test_a_log_that_ends_with_the_server_is_told(tmp_path: Path) -> None:
    settings = load(None, {}, {"server.data": tmp_path, "log.url": "memory:"}).settings
    (found,) = (check for check in examine(settings) if check.name == "log")
    assert found.level is Level.WARN
    assert "memory:" in found.found


def test_a_store_that_cannot_be_reached_fails_and_its_password_is_not_told(tmp_path: Path) -> None:
    # Without the driver, that is said instead.
    url = "postgresql://me:canary@127.0.0.1:1/status"
    settings = load(None, {}, {"server.data": tmp_path, "store.url": url}).settings
    (found,) = (check for check in examine(settings) if check.name == "store")
    assert found.level is Level.FAIL
    assert "postgresql://***@127.0.0.1:1/status: " in found.found
    assert "canary" not in str(found)


def test_a_protocol_of_a_package_that_cannot_be_imported_is_told_and_no_failure() -> None:
    gone = ModuleNotFoundError("No module named 'gone'")
    (found,) = packages([Unusable("a package's protocol cannot be imported", "gone:Push", "mine", gone)])
    assert found.level is Level.WARN
    assert found.found == (
        "a package's protocol cannot be imported, mine (gone:Push): No module named 'gone'"
    )


def test_a_file_that_is_not_used_is_not_looked_at(tmp_path: Path) -> None:
    (tmp_path / "log.db").write_bytes(b"not a database" * 100)
    settings = load(None, {}, {"server.data": tmp_path, "log.url": "memory:"}).settings
    assert "log.db" not in {check.name for check in examine(settings)}


def test_a_file_that_is_no_database_or_has_no_version_fails(tmp_path: Path) -> None:
    (tmp_path / "log.db").write_bytes(b"not a database" * 100)
    made(tmp_path / "store.db", "CREATE TABLE alembic_version (version_num)")
    levels = [database(tmp_path / name, query).level for name, query in DATABASES]
    assert levels == [Level.FAIL, Level.FAIL]


def test_every_check_that_is_not_ok_says_what_to_do() -> None:
    for check in examine(Settings()):
        assert (check.advice == "") is (check.level is Level.OK)


def test_the_command_ends_with_1_where_something_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "log.db").write_bytes(b"not a database" * 100)
    assert main(["doctor", "--data", str(tmp_path)]) == 1
    shown = capsys.readouterr().out
    assert "fail  log.db" in shown


def test_the_command_speaks_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["doctor", "--data", str(tmp_path), "--json"])
    shown = json.loads(capsys.readouterr().out)
    assert shown["ok"] is (code == 0)
    assert any(check["level"] == "fail" for check in shown["checks"]) is (code == 1)
    assert {"python", "sqlite", "clock", "open files", "disk sync"} <= {
        check["name"] for check in shown["checks"]
    }
