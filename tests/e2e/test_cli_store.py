"""`ladestrom keys`, `operators` and `import` as they are run: one process each."""

from __future__ import annotations

import asyncio
import os
import pty
import sqlite3
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from tests import programs
from tests.importing import counts, irve
from tests.patience import DEADLINE_S
from tests.programs import PIPE, Done, program

from ladestrom.backends.sql import open_store
from ladestrom.core.access import Keyring, Scope, looks_like_key
from ladestrom.model import Evse, Station
from ladestrom.ports.keys import KeyRecord
from ladestrom.ports.registry import RegistryDelta

SOURCE: Final = Path(__file__).resolve().parents[2] / "src"
DAY_MS: Final = 86_400_000

Run = Callable[..., Done]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LADESTROM_")}
    return {**kept, "PYTHONPATH": str(SOURCE), "COLUMNS": "200", **more}


@pytest.fixture
def run(data: Path) -> Run:
    """Runs a command on the data directory; `code` is the exit code that it has to have."""

    def run_command(
        *arguments: str | Path, code: int = 0, stdin: Path = Path(os.devnull), **variables: str
    ) -> Done:
        with stdin.open("rb") as given:
            told = programs.run(
                [sys.executable, "-m", "ladestrom", *arguments],
                stdin=given,
                cwd=data.parent,
                env=environment(LADESTROM_DATA=str(data), **variables),
            )
        assert told.returncode == code, told
        assert "Traceback" not in told.stderr
        return told

    return run_command


def keys(data: Path) -> list[KeyRecord]:
    async def read() -> list[KeyRecord]:
        store = await open_store(data)
        try:
            return list(await store.keys())
        finally:
            await store.close()

    return asyncio.run(read())


def registry(data: Path) -> RegistryDelta:
    async def read() -> RegistryDelta:
        store = await open_store(data)
        try:
            return await store.registry_since(0)
        finally:
            await store.close()

    return asyncio.run(read())


def stations(data: Path) -> dict[str, Station]:
    return {each.uuid: each for each in registry(data).stations}


def evses(data: Path) -> list[Evse]:
    return [evse for each in registry(data).stations if each.vanished_at is None for evse in each.evses]


# -- keys --------------------------------------------------------------------------------------------------


def test_a_key_is_printed_alone_and_works_and_is_in_no_file(run: Run, data: Path) -> None:
    told = run("keys", "create", "--name", "a reader", "--scope", "stream")
    key = told.stdout.removesuffix("\n")
    assert looks_like_key(key)
    assert "not shown again" in told.stderr
    records = keys(data)
    assert Keyring(records, []).authenticate(key, 0, Scope.STREAM).name == "a reader"
    secret = key.split("_")[2][:30]
    assert secret not in told.stderr + run("keys", "list", "--json").stdout
    assert not any(secret.encode() in path.read_bytes() for path in data.rglob("*") if path.is_file())
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    assert stat.S_IMODE((data / "store.db").stat().st_mode) == 0o600


def test_rotation_leaves_two_live_keys_until_the_overlap_ends(run: Run, data: Path) -> None:
    old = run("keys", "create", "--name", "x", "--scope", "admin", "--expires", "90d").stdout.strip()
    old_id = old.split("_")[1]
    told = run("keys", "rotate", old_id, "--overlap", "2d")
    new = told.stdout.removesuffix("\n")
    assert looks_like_key(new)
    assert new != old
    first, second = keys(data)
    assert first.expires_at is not None
    assert second.expires_at is not None
    assert first.expires_at - second.created_at == 2 * DAY_MS
    assert second.expires_at - second.created_at == 90 * DAY_MS
    assert (second.name, second.scopes, second.operator) == (first.name, first.scopes, first.operator)
    keyring = Keyring(keys(data), [])
    for now, live in ((second.created_at, [old, new]), (first.expires_at, [new])):
        assert [key for key in (old, new) if keyring.is_live(key.split("_")[1], now)] == live


def test_a_store_that_is_none_is_one_line_and_no_traceback(run: Run, data: Path) -> None:
    data.mkdir()
    (data / "store.db").write_bytes(b"once upon a time " * 1_000)
    told = run("keys", "list", code=2)
    assert told.stderr.splitlines() == ["ladestrom: the store cannot be used now: file is not a database"]
    (data / "store.db").unlink()
    (data / "store.db").mkdir()
    told = run("keys", "list", code=2)
    assert told.stderr.splitlines() == [
        f"ladestrom: the store {data}/store.db cannot be opened: unable to open database file"
    ]


# -- import ------------------------------------------------------------------------------------------------


def test_an_import_says_what_it_did_and_a_second_one_changes_nothing(run: Run, data: Path) -> None:
    told = run("import", "irve", irve(data.parent / "register.jsonl", 20))
    assert counts(told.stdout) == {
        "added": 20,
        "changed": 0,
        "unchanged": 0,
        "removed": 0,
        "returned": 0,
        "refused": 0,
        "noted": 0,
    }
    assert "40 EVSEs" in told.stdout
    assert told.stderr.startswith("creating a new data directory: ")
    before = stations(data)
    assert min(before) == "FRA_00001"
    content = (data / "store.db").read_bytes()
    packed = irve(data.parent / "named-otherwise", 20, packed=True)
    assert counts(run("import", "irve", "-", stdin=packed).stdout)["unchanged"] == 20
    assert stations(data) == before
    assert (data / "store.db").read_bytes() == content


def test_a_file_that_is_cut_off_ends_with_2_and_changes_nothing(run: Run, data: Path) -> None:
    run("import", "irve", irve(data.parent / "good", 20))
    before = (data / "store.db").read_bytes()
    path = irve(data.parent / "bad", 2_000, start=50, packed=True)
    path.write_bytes(path.read_bytes()[:-1000])
    told = run("import", "irve", path, "--partial", code=2)
    assert "the gzip file is incomplete" in told.stderr
    assert told.stdout == ""
    assert (data / "store.db").read_bytes() == before


def test_a_bar_is_shown_on_a_terminal_and_nowhere_else(data: Path) -> None:
    path = irve(data.parent / "register", 20)
    ours, theirs = pty.openpty()
    try:
        with program(
            [sys.executable, "-m", "ladestrom", "import", "irve", path],
            stdout=PIPE,
            stderr=theirs,
            env=environment(LADESTROM_DATA=str(data), TERM="xterm"),
        ) as process:
            os.close(theirs)
            shown = b""
            try:
                while piece := os.read(ours, 65_536):
                    shown += piece
            except OSError:
                # Linux says so when the other end of a terminal is closed.
                pass
            output, _ = process.communicate(timeout=DEADLINE_S)
    finally:
        os.close(ours)
    assert process.returncode == 0
    assert b"irve" in shown
    assert "added" in output
    assert "\x1b" not in output


def test_the_french_sample_is_imported_whole(
    run: Run, data: Path, shared_file: Callable[[str], Path]
) -> None:
    sample = shared_file("data/france/irve-statique.json.gz")
    told = run("import", "irve", sample)
    assert counts(told.stdout)["added"] == 5_571
    assert "29,109 EVSEs" in told.stdout
    assert len(evses(data)) == 29_109


def test_commands_write_while_a_server_reads(run: Run, data: Path) -> None:
    run("operators", "add", "Acme", "--all")

    async def read_meanwhile() -> tuple[list[int], Done]:
        store = await open_store(data)
        writing: asyncio.Future[Any] = asyncio.get_running_loop().run_in_executor(
            None, run, "import", "irve", irve(data.parent / "register", 2_000)
        )
        seen = []
        while not writing.done():
            delta = await store.registry_since(0)
            assert len(delta.stations) in {0, 2_000}
            seen.append(delta.revision)
        await store.close()
        return seen, await writing

    seen, told = asyncio.run(read_meanwhile())
    assert counts(told.stdout)["added"] == 2_000
    assert seen == sorted(seen)
    assert seen[0] == 1


def test_the_store_is_a_plain_sqlite_file(run: Run, data: Path) -> None:
    run("operators", "add", "Acme", "--all")
    raw = sqlite3.connect(data / "store.db")
    assert raw.execute("SELECT name FROM operators").fetchall() == [("Acme",)]
    assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    raw.close()
