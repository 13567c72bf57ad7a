"""Log and store where the settings say: a log in memory, a store in PostgreSQL."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
from tests import postgres
from tests.contracts.databases import empty
from tests.e2e.serving import Serving
from tests.importing import counts, irve
from tests.patience import until

from ladestrom.app import running
from ladestrom.cli import main
from ladestrom.cli.serve import ready_line
from ladestrom.config import load
from ladestrom.errors import Conflict
from ladestrom.quoting import without_user

EVSE = "NO*ALF*E1342"


def status(server: Serving) -> str:
    return str(server.get(f"/api/v2/evses/{EVSE}").json()["status"])


def report(server: Serving) -> str:
    """Reports that the EVSE charges; the epoch of the receipt."""
    receipt = server.report({"evse": EVSE, "status": "CHARGING"})
    assert receipt["accepted"] == 1
    return str(receipt["position"]).rpartition("-")[0]


# -- a log in memory -----------------------------------------------------------------------------------------


def test_a_log_in_memory_ends_with_the_server_and_the_next_one_has_another_epoch(tmp_path: Path) -> None:
    with Serving(tmp_path, {"log.url": "memory:"}) as server:
        before = report(server)
        assert status(server) == "CHARGING"
        server.stop()
        server.start()
        assert status(server) == "UNKNOWN"
        assert report(server) != before
        assert not (server.data / "log.db").exists()


def test_a_log_in_memory_is_told_to_whoever_runs_the_server(tmp_path: Path) -> None:
    with Serving(tmp_path, {"log.url": "memory:"}) as server:
        warnings = [each["event"] for each in server.logged() if each["log_level"] == "warning"]
        assert "the change log is lost when the server stops" in warnings
        assert "durability none (changes are in memory and are lost when the server stops)" in server.call(
            lambda: ready_line(server.app)
        )
        assert server.get("/api/v2/admin", key="admin").json()["durability"] == "none"


@pytest.mark.parametrize("command", ["backup", "restore"])
def test_a_log_in_memory_has_nothing_to_back_up(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LADESTROM_LOG__URL", "memory:")
    assert main([command, str(tmp_path / "copy"), "--data", str(tmp_path / "data")]) == 2
    assert "log.url is memory:" in capsys.readouterr().err


# -- a store in PostgreSQL -----------------------------------------------------------------------------------


@pytest.fixture
def url(tmp_path: Path) -> str:
    """The address of an empty database."""
    return empty("postgresql", tmp_path).url


def test_a_server_runs_on_a_store_in_postgresql_and_follows_what_is_written_there(
    url: str, tmp_path: Path
) -> None:
    with Serving(tmp_path, {"store.url": url}) as server:
        report(server)
        key = server.make_key("late", ["stream"])
        assert server.request("GET", "/api/v2/stations", headers={"X-Api-Key": key}).status_code == 200
        assert not (server.data / "store.db").exists()
        told = server.get("/api/v2/admin", key="admin")
        assert told.json()["store"]["address"] == without_user(url)
        server.stop()
        server.start()
        assert status(server) == "CHARGING"
        assert server.get("/api/v2/stations", key="late").status_code == 200


def test_a_server_runs_wholly_in_postgresql_and_consumers_resume_after_a_restart(
    url: str, tmp_path: Path
) -> None:
    with Serving(tmp_path, {"store.url": url, "log.url": url}) as server:
        report(server)
        seq = server.report({"evse": "NO*ALF*E1333*1", "status": "CHARGING"})["position"]
        server.stop()
        server.start()
        assert status(server) == "CHARGING"
        assert server.report({"evse": "NO*ALF*E1333*1", "status": "AVAILABLE"})["accepted"] == 1
        with server.stream(f"since={seq}") as wire:
            assert wire.message()["type"] == "status:update"
        assert [path.name for path in server.data.glob("*.db")] == []


def test_while_postgresql_is_away_reports_are_refused_and_nothing_acknowledged_is_lost(
    url: str, tmp_path: Path
) -> None:
    database = postgres.server()
    with Serving(tmp_path, {"store.url": url, "log.url": url}) as server:
        server.expects("append failed", "not ready", "does not answer", "cannot")
        epoch = report(server)
        database.stop(signal.SIGQUIT)
        try:
            refused = server.post({"evse": EVSE, "status": "AVAILABLE"})
            assert refused.status_code == 503
            until(lambda: server.get("/readyz").status_code == 503, "it says that it is not ready")
        finally:
            database.start()
        until(lambda: server.get("/readyz").status_code == 200, "it is ready again")
        assert status(server) == "CHARGING"
        receipt = server.report({"evse": EVSE, "status": "AVAILABLE"})
        assert str(receipt["position"]).rpartition("-")[0] == epoch


def test_a_second_server_does_not_write_a_log_that_another_one_writes(url: str, tmp_path: Path) -> None:
    with Serving(tmp_path / "first", {"store.url": url, "log.url": url}) as server:
        other = Serving(tmp_path / "second", {"log.url": url})
        with pytest.raises(Conflict, match="another server writes the log"), other:
            pass
        report(server)


def test_servers_that_have_nothing_to_do_with_each_other_do_not_share_a_store_or_a_log(
    url: str, tmp_path: Path
) -> None:
    with Serving(tmp_path / "first", {"store.url": url}) as server:
        # It must not get the first one's operators and keys.
        own = load(None, {}, {"server.data": str(tmp_path / "second"), "store.url": url}).settings

        async def start() -> None:
            async with running(own):
                pass

        with pytest.raises(Conflict, match="another server uses the store"):
            asyncio.run(start())
        report(server)


def test_a_log_that_has_the_stations_of_another_store_is_not_written(url: str, tmp_path: Path) -> None:
    for folder, ours in (("first", url), ("second", f"{url}b")):
        server = Serving(tmp_path / folder, {"store.url": ours, "log.url": url})
        if folder == "first":
            with server:
                report(server)
        else:
            with pytest.raises(Conflict, match="belongs to another store"), server:
                pass


def test_the_store_of_a_data_directory_is_copied_into_an_empty_database_once(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Serving(tmp_path) as server:
        keys, data = dict(server.keys), server.data
    monkeypatch.setenv("LADESTROM_STORE__URL", url)
    monkeypatch.setenv("LADESTROM_DATA", str(tmp_path / "new"))
    assert main(["store", "copy", str(data)]) == 0
    assert "6 stations" in capsys.readouterr().err
    assert main(["store", "copy", str(data)]) == 2
    assert "not empty" in capsys.readouterr().err
    assert main(["keys", "list"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in keys)


def test_commands_go_by_the_same_setting(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LADESTROM_STORE__URL", url)
    monkeypatch.setenv("LADESTROM_DATA", str(tmp_path / "data"))
    assert main(["keys", "list"]) == 2
    assert f"there is no store in {without_user(url)} (from LADESTROM_STORE__URL)" in capsys.readouterr().err
    assert main(["import", "irve", str(irve(tmp_path / "register.jsonl", 3)), "--dry-run"]) == 0
    assert main(["operators", "list"]) == 2
    capsys.readouterr()
    assert main(["import", "irve", str(irve(tmp_path / "register.jsonl", 3))]) == 0
    told = capsys.readouterr()
    assert counts(told.out)["added"] == 3
    assert f"creating a new store: {without_user(url)}" in told.err
    assert main(["operators", "add", "Acme", "--all"]) == 0
    assert main(["keys", "create", "--name", "x", "--scope", "report", "--operator", "Acme"]) == 0
    assert main(["operators", "show", "Acme"]) == 0
    assert main(["registry", "parties"]) == 0
    capsys.readouterr()
    assert main(["keys", "list"]) == 0
    assert "Acme" in capsys.readouterr().out
    assert main(["doctor"]) in {0, 1}
    assert f"{without_user(url)}, version" in capsys.readouterr().out
    assert main(["backup", str(tmp_path / "copy")]) == 2
    assert "copy only files of the data directory" in capsys.readouterr().err
    assert not (tmp_path / "data" / "store.db").exists()


def test_a_database_that_cannot_be_used_is_an_error_that_says_why_without_the_password(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = urlsplit(url)
    for changed, words in (
        (parts._replace(path="/nowhere"), 'database "nowhere" does not exist'),
        (parts._replace(netloc="me:canary@127.0.0.1:1"), "the store cannot be reached"),
        (parts._replace(netloc="me:canary@127.0.0.1:abc"), "does not understand postgresql://***@"),
        (parts._replace(query=f"{parts.query}&no_such_setting=1"), "no_such_setting"),
        (parts._replace(query="schema=No"), "no name of a schema"),
    ):
        monkeypatch.setenv("LADESTROM_STORE__URL", urlunsplit(changed))
        assert main(["keys", "list"]) == 2
        told = capsys.readouterr().err
        assert words in told
        assert "canary" not in told
        assert "Traceback" not in told
