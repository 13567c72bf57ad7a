"""What the store promises beyond its contract: files, locks, crashes, migrations, secrets, speed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import secrets
import signal
import sqlite3
import stat
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import AsyncAdaptedQueuePool, Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection
from tests.building import make_station
from tests.patience import DEADLINE_S, come_true
from tests.programs import PIPE, Program, program

from ladestrom.backends import database, registry
from ladestrom.backends.database import SCHEMA, migrations
from ladestrom.backends.sql import SqlStore, open_store
from ladestrom.core import merge
from ladestrom.core.access import create_key
from ladestrom.errors import Conflict, InvalidSetting, LadestromError, NotFound, NotReady
from ladestrom.model import Connector, Evse, Operator, Outlet, Station
from ladestrom.ports.registry import StationDraft

NOW = 1_700_000_000_000


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqlStore]:
    store = await open_store(tmp_path / "store.db")
    yield store
    await store.close()


async def test_what_an_import_means_is_found_out_beside_the_loop(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: dict[str, int] = {}

    def noted(name: str) -> Callable[..., object]:
        work: Callable[..., object] = getattr(merge, name)

        def called(*given: object) -> object:
            threads[name] = threading.get_ident()
            return work(*given)

        return called

    for name in ("name", "claim", "settle"):
        monkeypatch.setattr(merge, name, noted(name))
    station = make_station(native_id="L1")
    evses = tuple(msgspec.structs.replace(evse, station="") for evse in station.evses)
    draft = StationDraft(msgspec.structs.replace(station, evses=evses))
    report = await store.import_stations("nobil", [draft], NOW, complete=False)
    assert report.added == (station.uuid,)
    assert threads.keys() == {"name", "claim", "settle"}
    assert threading.get_ident() not in threads.values()


async def test_many_rows_are_written_in_several_statements(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "BATCH_ROWS", 2)
    made = [make_station(f"NOR_{number:05d}", 3, native_id=f"L{number}") for number in range(1, 6)]
    drafts = [
        StationDraft(
            msgspec.structs.replace(
                station, evses=tuple(msgspec.structs.replace(evse, station="") for evse in station.evses)
            )
        )
        for station in made
    ]
    for expected in (made, []):
        report = await store.import_stations("nobil", drafts, NOW, complete=True)
        assert list(report.added) == [station.uuid for station in expected]
    delta = await store.registry_since(0)
    assert {station.uuid: len(station.evses) for station in delta.stations} == {
        station.uuid: 3 for station in made
    }


async def test_a_store_that_was_moved_is_neither_made_anew_nor_mixed_with_another_one(
    tmp_path: Path, store: SqlStore
) -> None:
    path = tmp_path / "store.db"
    revision = await store.revision()
    path.rename(tmp_path / "elsewhere.db")

    async def ask() -> list[object]:
        return await asyncio.gather(*(store.revision() for _ in range(4)), return_exceptions=True)

    assert {type(found) for found in await ask()} == {int, NotReady}
    assert not path.exists()
    other = await open_store(path)
    await other.put_operator(Operator("other"), NOW)
    await other.close()
    found = await ask()
    assert {each for each in found if isinstance(each, int)} == {revision}
    assert all("no longer the file" in str(each) for each in found if isinstance(each, NotReady))


async def test_a_journal_without_its_store_is_not_deleted_by_making_a_new_one(tmp_path: Path) -> None:
    journal = tmp_path / "store.db-journal"
    journal.write_bytes(b"what takes half a change back")
    with pytest.raises(NotReady, match=r"store.db is not beside it: put it back"):
        await open_store(tmp_path / "store.db")
    assert journal.read_bytes() == b"what takes half a change back"
    assert list(tmp_path.iterdir()) == [journal]


async def test_that_all_connections_are_in_use_for_long_is_told_as_a_store_that_is_not_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "POOL_WAIT_S_MAX", 0.01)
    store = await open_store(tmp_path / "store.db")
    holding = asyncio.Event()

    async def hold(_: AsyncConnection) -> None:
        await holding.wait()

    holders = [asyncio.create_task(store._database.read(hold)) for _ in range(database.CONNECTIONS_MAX)]
    await asyncio.sleep(0)
    with pytest.raises(NotReady, match="no connection free"):
        await asyncio.gather(*(store.revision() for _ in holders))
    holding.set()
    await asyncio.gather(*holders)
    await store.close()


def drafts(count: int, prefix: str = "FRABC", evses: int = 1) -> Iterator[StationDraft]:
    for place in range(count):
        keys = [f"{prefix}E{place}X{index}" for index in range(evses)]
        yield StationDraft(
            Station(
                uuid="",
                name=f"Station {place}",
                country="FRA",
                latitude=48.0,
                longitude=2.0,
                evses=tuple(Evse(key, "", evse_id=key, party=prefix) for key in keys),
                outlets=tuple(
                    Outlet(index, Connector("IEC_62196_T2_COMBO", 150.0)) for index in range(evses)
                ),
                operator="Acme",
                city="Paris",
                native_id=f"{prefix}P{place}",
            )
        )


CHILD = """
import asyncio, sys
from pathlib import Path
from ladestrom.backends import registry
from ladestrom.backends.sql import open_store
from ladestrom.model import Operator, Station
from ladestrom.ports.registry import StationDraft

path, task, name = Path(sys.argv[1]), sys.argv[2], sys.argv[3]

def say(word):
    print(word, flush=True)

def drafts(count):
    for place in range(count):
        yield StationDraft(Station("", name, "FRA", 1.0, 2.0, (), (), native_id=f"{name}{place}"))

async def wait_for_ever(connection, revision):
    say("written")
    await asyncio.Event().wait()

async def main():
    say("ready")
    sys.stdin.readline()
    store = await open_store(path)
    if task == "import":
        for place in range(5):
            await store.import_stations(name, drafts(200 * (place + 1)), 1, complete=True)
    if task == "operators":
        for place in range(25):
            await store.put_operator(Operator(f"{name}{place}", all=True), 1)
    if task == "hang":
        registry.set_revision = wait_for_ever
        await store.import_stations(name, drafts(20_000), 1, complete=True)
    await store.close()
    say("done")

asyncio.run(main())
"""


@contextlib.contextmanager
def children(path: Path, *tasks: tuple[str, str]) -> Iterator[list[Program]]:
    """Other processes, each of which does its task under its name once it is told to."""
    with contextlib.ExitStack() as stack:
        processes = [
            stack.enter_context(
                program([sys.executable, "-c", CHILD, path, task, name], stdin=PIPE, stdout=PIPE)
            )
            for task, name in tasks
        ]
        for process in processes:
            wait_for(process, "ready")
        yield processes


def start(*processes: Program) -> None:
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()


def wait_for(process: Program, word: str) -> None:
    assert process.stdout is not None
    assert process.stdout.readline().strip() == word


async def pragma(store: SqlStore, name: str) -> object:
    return await store._database.read(lambda each: each.scalar(text(f"PRAGMA {name}")))


# -- files -------------------------------------------------------------------------------------------------


async def test_directory_and_file_are_for_their_owner_only(tmp_path: Path) -> None:
    store = await open_store(tmp_path / "new" / "data")
    await store.put_operator(Operator("Acme", all=True), NOW)
    await store.close()
    path = tmp_path / "new" / "data" / "store.db"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert os.listdir(path.parent) == ["store.db"]  # noqa: PTH208 - names only


async def test_a_directory_and_the_file_in_it_are_the_same_store(tmp_path: Path) -> None:
    for where in (tmp_path, tmp_path / "store.db", str(tmp_path), f"{tmp_path}/store.db"):
        store = await open_store(where)
        await store.put_operator(Operator(str(where), all=True), NOW)
        revision = await store.revision()
        await store.close()
    assert revision == 4


async def test_sqlite_keeps_a_rollback_journal_and_syncs_fully(store: SqlStore) -> None:
    assert await pragma(store, "journal_mode") == "delete"
    assert await pragma(store, "synchronous") == 2
    assert await pragma(store, "foreign_keys") == 1
    assert await pragma(store, "busy_timeout") == 10_000
    assert await pragma(store, "cache_spill") == 0


async def test_a_store_that_was_in_wal_mode_is_taken_out_of_it(tmp_path: Path) -> None:
    await (await open_store(tmp_path)).close()
    raw = sqlite3.connect(tmp_path / "store.db")
    assert raw.execute("PRAGMA journal_mode = WAL").fetchone() == ("wal",)
    raw.close()
    store = await open_store(tmp_path)
    assert await pragma(store, "journal_mode") == "delete"
    await store.close()


async def test_what_is_no_database_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_bytes(b"once upon a time " * 1000)
    with pytest.raises(NotReady, match="file is not a database"):
        await open_store(tmp_path)


async def test_a_store_that_cannot_be_made_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NotReady, match=r"cannot be made: (Not a directory|File exists)"):
        await open_store(tmp_path / "file" / "data")
    (tmp_path / "directory" / "store.db").mkdir(parents=True)
    with pytest.raises(NotReady, match="cannot be opened: unable to open database file"):
        await open_store(tmp_path / "directory")


@pytest.mark.parametrize("url", ["mysql://host/name", "sqlite:///x.db", "http://host/"])
async def test_a_url_of_another_kind_of_database_is_refused(url: str) -> None:
    with pytest.raises(InvalidSetting, match="postgresql://HOST/DATABASE"):
        await open_store(url)


async def test_postgresql_without_its_driver_says_which_package_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(InvalidSetting, match="asyncpg"):
        await open_store("postgresql://name:word@127.0.0.1:1/none")


# -- migrations --------------------------------------------------------------------------------------------


async def test_the_migrations_make_exactly_the_tables_that_are_defined(store: SqlStore) -> None:
    def check(connection: Connection) -> str | None:
        config = migrations(connection)
        command.check(config)
        return ScriptDirectory.from_config(config).get_current_head()

    assert await store._database.write(lambda each: each.run_sync(check)) == SCHEMA


async def test_the_migrations_can_be_taken_back_and_made_again(store: SqlStore) -> None:
    await store.put_operator(Operator("Acme", all=True), NOW)

    def back_and_forth(connection: Connection) -> None:
        command.downgrade(migrations(connection), "base")
        command.upgrade(migrations(connection), "head")
        command.check(migrations(connection))

    await store._database.write(lambda each: each.run_sync(back_and_forth))
    assert await store.revision() == 0
    assert list(await store.operators()) == []


async def test_a_store_of_a_newer_program_is_left_alone(tmp_path: Path) -> None:
    await (await open_store(tmp_path)).close()
    raw = sqlite3.connect(tmp_path / "store.db")
    with raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")
    raw.close()
    before = (tmp_path / "store.db").read_bytes()
    with pytest.raises(Conflict, match="version 9999"):
        await open_store(tmp_path)
    assert (tmp_path / "store.db").read_bytes() == before


async def test_an_interrupted_migration_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(command, "upgrade", _half_a_migration)
        with pytest.raises(RuntimeError, match="half way"):
            await open_store(tmp_path)
    store = await open_store(tmp_path)
    assert await store.revision() == 0
    await store.close()


def _half_a_migration(config: object, revision: str) -> None:
    connection: Connection = config.attributes["connection"]  # type: ignore[attr-defined] # Alembic's Config
    connection.execute(text("CREATE TABLE stations (uuid TEXT)"))
    raise RuntimeError("half way")


async def test_a_new_store_may_be_opened_by_several_at_once(tmp_path: Path) -> None:
    with children(tmp_path, *(("operators", name) for name in ("a", "b", "c"))) as processes:
        start(*processes)
        for process in processes:
            wait_for(process, "done")
    store = await open_store(tmp_path)
    assert await store.revision() == 75
    await store.close()


# -- several at once, and crashes --------------------------------------------------------------------------


async def test_two_processes_write_at_once_and_a_third_reads(store: SqlStore, tmp_path: Path) -> None:
    seen: list[int] = []
    with children(tmp_path, ("import", "irve"), ("import", "ocpi")) as processes:
        start(*processes)
        deadline = time.monotonic() + DEADLINE_S
        while await store.revision() < 10:
            delta = await store.registry_since(0)
            # An import is seen as a whole or not at all.
            assert len(delta.stations) % 200 == 0
            seen.append(delta.revision)
            assert time.monotonic() < deadline
        for process in processes:
            wait_for(process, "done")
    delta = await store.registry_since(0)
    assert seen == sorted(seen)
    assert len({each.uuid for each in delta.stations}) == len(delta.stations) == 2_000


async def test_a_killed_import_leaves_nothing_behind(tmp_path: Path) -> None:
    store = await open_store(tmp_path)
    await store.import_stations("irve", drafts(3), NOW, complete=True)
    with children(tmp_path, ("hang", "ocpi")) as (process,):
        start(process)
        wait_for(process, "written")
        # What is being written does not keep readers out.
        assert await store.revision() == 1
        process.send_signal(signal.SIGKILL)
        process.wait(DEADLINE_S)
    report = await store.import_stations("ocpi", drafts(2, "FRXYZ"), NOW, complete=True)
    assert report.added == ("FRA_00004", "FRA_00005")
    assert len((await store.registry_since(0)).stations) == 5
    await store.close()


async def test_an_operator_describes_so_many_evses_removed_ones_included(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merge, "DESCRIBED_EVSES_MAX", 4)
    await store.put_operator(Operator("abc", parties=("FRABC", "FRXYZ"), may_register=True), NOW)
    assert (await store.import_stations("ocpi:abc", drafts(3), NOW, complete=False)).refused_count == 0
    report = await store.import_stations("ocpi:abc", drafts(2, "FRXYZ"), NOW, complete=False)
    assert (len(report.added), report.refused_count) == (1, 1)
    report = await store.import_stations("ocpi:abc", drafts(2), NOW, complete=True)
    assert (len(report.vanished), report.refused_count) == (2, 0)
    report = await store.import_stations("ocpi:abc", drafts(1, "FRABCX"), NOW, complete=False)
    assert (report.added, report.refused_count) == ((), 1)
    report = await store.import_stations("ocpi:abc", drafts(3), NOW, complete=False)
    assert (len(report.returned), report.refused_count) == (1, 0)
    assert len((await store.import_stations("irve", drafts(9, "FRIRV"), NOW, complete=True)).added) == 9


async def test_reader_and_writer_wait_for_a_lock_and_try_again(
    store: SqlStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.put_operator(Operator("Acme", all=True), NOW)
    impatient = await _impatient(tmp_path, monkeypatch, attempts=1_000)
    refused = 0
    is_locked = database._is_locked

    def counting(error: DBAPIError) -> bool:
        nonlocal refused
        refused += 1
        return is_locked(error)

    monkeypatch.setattr(database, "_is_locked", counting)
    lock = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    reading = asyncio.create_task(impatient.operators())
    writing = asyncio.create_task(impatient.import_stations("irve", drafts(1), NOW, complete=True))
    await come_true(lambda: refused >= 10, "it is refused again and again")
    assert not reading.done()
    assert not writing.done()
    lock.execute("ROLLBACK")
    lock.close()
    assert [each.name for each in await reading] == ["Acme"]
    assert (await writing).added == ("FRA_00001",)
    await impatient.close()


async def test_a_lock_that_nobody_gives_back_is_an_error_that_may_be_tried_again(
    store: SqlStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient = await _impatient(tmp_path, monkeypatch, attempts=2)
    lock = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    for work in (
        impatient.revision(),
        impatient.put_operator(Operator("Acme", all=True), NOW),
        impatient.import_stations("irve", drafts(1), NOW, complete=True),
    ):
        with pytest.raises(NotReady, match="another program has held the store") as caught:
            await work
        assert caught.value.retry
    lock.close()
    assert await impatient.revision() == 0
    await impatient.close()


async def _impatient(path: Path, monkeypatch: pytest.MonkeyPatch, attempts: int) -> SqlStore:
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 0.01)
    monkeypatch.setattr(database, "LOCKED_ATTEMPTS_MAX", attempts)
    return await open_store(path)


async def test_a_cancelled_import_leaves_nothing_and_the_store_usable(store: SqlStore) -> None:
    importing = asyncio.create_task(store.import_stations("irve", drafts(5_000), NOW, complete=True))
    await asyncio.sleep(0)
    while not importing.done() and not _is_writing(store):
        await asyncio.sleep(0.001)
    importing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await importing
    assert await store.revision() == 0
    assert await store.put_operator(Operator("Acme", all=True), NOW)


def _is_writing(store: SqlStore) -> bool:
    pool = store._database._engine.pool
    assert isinstance(pool, AsyncAdaptedQueuePool)
    return pool.checkedout() > 0


async def test_a_store_without_room_is_not_ready_and_recovers(
    store: SqlStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = await pragma(store, "page_count")
    monkeypatch.setattr(database, "CONNECTIONS_MAX", 1)
    cramped = await open_store(tmp_path)
    assert await pragma(cramped, f"max_page_count = {pages}") == pages
    with pytest.raises(NotReady, match="database or disk is full"):
        await cramped.import_stations("irve", drafts(5_000), NOW, complete=True)
    assert await cramped.revision() == 0
    await pragma(cramped, "max_page_count = 1000000")
    assert len((await cramped.import_stations("irve", drafts(5_000), NOW, complete=True)).added) == 5_000
    await cramped.close()


# -- secrets -----------------------------------------------------------------------------------------------


async def test_a_secret_is_in_no_file_no_log_and_no_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("sqlalchemy.engine").setLevel(logging.DEBUG)
    key, record = create_key(
        secrets.token_bytes(32),
        secrets.token_bytes(8),
        name="canary",
        scopes=["report"],
        operator="Acme",
        created_at=NOW,
        expires_at=NOW + 1,
    )
    told: list[str] = []
    store = await open_store(tmp_path)
    try:
        for refused, error in ((record, NotFound), (None, None), (record, Conflict)):
            if refused is None:
                await store.put_operator(Operator("Acme", all=True), NOW)
                await store.put_key(record)
                continue
            assert error is not None
            with pytest.raises(error) as caught:
                await store.put_key(refused)
            told += [str(caught.value), repr(caught.value.__context__)]
        await store.touch_keys({record.id: NOW})
        await store.expire_key(record.id, NOW)
        await store.revoke_key(record.id, NOW)
        told += [repr(await store.keys()), json.dumps(msgspec.to_builtins(await store.keys()))]
        lock = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
        lock.execute("DROP TABLE keys")
        lock.close()
        with pytest.raises(LadestromError) as broken:
            await store.put_key(record)
        told += [str(broken.value), str(broken.value.__cause__), repr(broken.value.__cause__)]
    finally:
        logging.getLogger("sqlalchemy.engine").setLevel(logging.NOTSET)
        await store.close()
    assert "canary" not in told[-1]
    found = "".join([*told, caplog.text]).encode() + b"".join(
        path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()
    )
    secret = key.split("_")[2].encode()
    assert len(found) > 10_000
    for part in (secret, secret[:30], secret[:10], secret[20:]):
        assert part not in found


async def test_the_word_in_a_url_is_in_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    for url in ("mysql://name:canary@host/x", "postgresql://name:canary@127.0.0.1:1/x"):
        with pytest.raises(LadestromError) as caught:
            await open_store(url)
        assert "canary" not in str(caught.value) + repr(caught.value.__cause__)


# -- speed and memory --------------------------------------------------------------------------------------


async def test_thirty_thousand_evses_are_imported_and_read_within_their_budgets(store: SqlStore) -> None:
    started_s = time.process_time()
    report = await store.import_stations("irve", drafts(7_500, evses=4), NOW, complete=True)
    imported_s = time.process_time() - started_s
    assert report.evses == 30_000
    assert imported_s < 5
    started_s = time.process_time()
    delta = await store.registry_since(0)
    assert len(delta.stations) == 7_500
    # 100,000 EVSEs in 1.5 s.
    assert time.process_time() - started_s < 0.45


async def test_what_stations_have_in_common_is_one_object(store: SqlStore) -> None:
    await store.import_stations("irve", drafts(50, evses=2), NOW, complete=True)
    found = (await store.registry_since(0)).stations
    for name in ("country", "operator", "city", "register"):
        assert len({id(getattr(each, name)) for each in found}) == 1
    assert len({id(outlet) for each in found for outlet in each.outlets}) == 2
    assert len({id(evse.party) for each in found for evse in each.evses}) == 1
    assert all(evse.evse_id is evse.key for each in found for evse in each.evses)
