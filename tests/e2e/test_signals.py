"""What signals do to a server: no signal that is not for it ends it, and SIGHUP has it read its settings again."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

import httpx2
import msgspec
import pytest
from tests.e2e.running import Running
from tests.e2e.serving import Serving, charge_points, furnish
from tests.e2e.wire import Wire
from tests.patience import DEADLINE_S, until

from ladestrom.config import SETTINGS, load, value_of
from ladestrom.config.address import ADDRESS_FILE, Addresses
from ladestrom.config.table import BY_KEY, LIVE, Setting

ENDS: Final = {"SIGINT", "SIGTERM", "SIGQUIT", "SIGUSR1"}
UNTOUCHED: Final = ENDS | {
    *("SIGHUP", "SIGKILL", "SIGSTOP", "SIGCONT", "SIGTSTP", "SIGTTIN", "SIGTTOU"),
    *("SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGSEGV", "SIGSYS", "SIGTRAP"),
}
"""Those that stop it, stop or continue any process, or mean that the program itself is broken."""
OTHERS: Final = sorted(number for number in signal.Signals if number.name not in UNTOUCHED)


class Configured(Running):
    """A server with a settings file and a log file."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "ladestrom.toml"
        self.log = directory / "ladestrom.log"
        super().__init__(directory, {"config": str(self.file)})
        self.write("")

    def write(self, text: str) -> None:
        """Replaces the settings file; the log file stays."""
        log = f"[logging]\nfile = {msgspec.json.encode(str(self.log)).decode()}\n"
        self.file.write_text(f"{log}{text}", encoding="utf-8")

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def logged(self) -> list[dict[str, object]]:
        return [msgspec.json.decode(line) for line in self.log.read_bytes().splitlines()]

    def logs(self, event: str) -> list[dict[str, object]]:
        return [line for line in self.logged() if event in str(line["event"])]

    def reloaded(self, text: str) -> dict[str, object]:
        """Writes the file, sends SIGHUP, and gives what the log says of it."""
        before = len(self.logs("read again"))
        self.write(text)
        self.signal(signal.SIGHUP)
        until(lambda: len(self.logs("read again")) > before, "the log says that the settings were read")
        return self.logs("read again")[-1]


@pytest.fixture(scope="module")
def keys() -> dict[str, str]:
    return {}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, keys: dict[str, str]) -> Iterator[Configured]:
    directory = tmp_path_factory.mktemp("signals")
    keys.update({name: text for name, (text, _) in furnish(directory / "data").items()})
    with Configured(directory) as server:
        server.start()
        yield server


def is_logged(running: Configured, name: str) -> bool:
    return any(line.get("signal") == name for line in running.logged())


def test_no_other_signal_ends_the_server_or_goes_without_a_word(running: Configured) -> None:
    quiet = {"SIGCHLD", "SIGURG", "SIGWINCH", "SIGPIPE", "SIGXFSZ"}
    for number in OTHERS:
        running.signal(number)
        if number.name not in quiet:
            until(partial(is_logged, running, number.name), f"{number.name} is logged")
        assert httpx2.get(f"{running.url}/livez", timeout=DEADLINE_S).status_code == 200, number.name
    assert {"SIGUSR2", "SIGALRM"} <= {str(line.get("signal")) for line in running.logged()}
    assert running.alive


def test_sighup_changes_what_can_change_and_says_what_needs_a_restart(
    running: Configured, keys: dict[str, str]
) -> None:
    def policy() -> int:
        answer = httpx2.post(f"{running.url}/api/v2/keys", json={"name": "x"}, timeout=DEADLINE_S)
        return answer.status_code

    assert policy() == 403
    said = running.reloaded(
        '[keys]\npolicy = "open"\n[stream]\nconsumers_per_key_max = 1\nheartbeat_s = 7\n[server]\nport = 1\n'
    )
    assert said["changed"] == ["stream.consumers_per_key_max", "keys.policy"]
    assert said["need_restart"] == ["stream.heartbeat_s"], "the port is a flag, which beats the file"
    assert policy() == 201
    with Wire(running.port) as first, Wire(running.port) as second:
        first.open("/api/v1/stream", {"X-Api-Key": keys["stream"]})
        assert first.response.status == 101
        second.open("/api/v1/stream", {"X-Api-Key": keys["stream"]})
        assert second.response.status == 429
    told = httpx2.get(
        f"{running.url}/api/v2/admin/settings", headers={"X-Api-Key": keys["admin"]}, timeout=DEADLINE_S
    ).json()["items"]
    found = {row["name"]: (row["value"], row["origin"]) for row in told}
    assert found["keys.policy"] == ("open", "file")
    assert found["stream.heartbeat_s"] == (20, "default"), "what holds is told, not what the file says"


def test_settings_that_are_wrong_change_nothing_and_end_nothing(running: Configured) -> None:
    running.reloaded('[page]\ntitle = "before"\n')
    said = running.reloaded('[page]\ntitle = "after"\n[steam]\nx = 1\n')
    assert "steam" in str(said["problems"])
    page = httpx2.get(f"{running.url}/api/v2/page", timeout=DEADLINE_S).json()
    assert page["title"] == "before"


def test_sighup_opens_the_log_file_again(running: Configured) -> None:
    running.reloaded("")
    rotated = running.log.with_suffix(".1")
    running.log.rename(rotated)
    running.signal(signal.SIGHUP)
    until(running.log.exists, "a new file is there")
    until(lambda: bool(running.logs("read again")), "and has what is logged from now on")
    lines = len(rotated.read_bytes().splitlines())
    running.reloaded('[page]\ntitle = "x"\n')
    assert len(rotated.read_bytes().splitlines()) == lines


def test_commands_know_the_address_of_a_server_that_runs_and_only_then(running: Configured) -> None:
    noted = running.data / ADDRESS_FILE
    assert msgspec.json.decode(noted.read_bytes(), type=Addresses).local == running.url
    running.run("operators", "add", "peer's", "--all")
    told = running.run("ocpi", "fix", "--operator", "peer's")
    assert told.splitlines()[0] == f"{running.url}/ocpi/versions"
    running.stop()
    assert not noted.exists()
    running.start()
    assert noted.exists()


@pytest.mark.parametrize("name", ["SIGQUIT"])
def test_who_ends_it_from_the_terminal_gets_a_word_and_an_orderly_end(running: Configured, name: str) -> None:
    if not running.alive:
        running.start()
    running.signal(signal.Signals[name])
    assert running.process is not None
    assert running.process.wait(DEADLINE_S) == 0
    assert running.stop() == 0
    assert [line["signal"] for line in running.logs("stopping")][-1] == name


# -- each setting that changes while the server runs ---------------------------------------------------------


def another(row: Setting) -> object:
    """A value of a setting that is not its default."""
    if row.choices:
        return next(choice for choice in row.choices if choice != row.default)
    if row.type is bool:
        return not row.default
    if row.type is int:
        assert isinstance(row.default, int)
        assert row.maximum is not None
        return min(row.default + 1, row.maximum)
    return (
        ["https://other.example"]
        if row.key in {"server.cors_origins", "server.origins"}
        else ["192.0.2.1"]
        if row.default == ()
        else "x"
    )


def test_every_setting_that_changes_is_one_of_the_table() -> None:
    assert BY_KEY.keys() >= LIVE


@pytest.mark.parametrize("row", [row for row in SETTINGS if row.live], ids=lambda row: row.key)
def test_a_setting_that_changes_is_used_and_told_from_then_on(row: Setting, live: Serving) -> None:
    loaded = load(None, {}, {"server.data": str(live.data), row.key: another(row)})
    done = live.call(lambda: live.app.reconfigure(loaded))
    assert row.key in done.changed
    assert value_of(live.app.context.settings, row) == value_of(loaded.settings, row)
    app, settings = live.app, loaded.settings
    assert app.writer.hub.limits.stale_after_s == settings.rules.stale_after_s
    assert app.writer.hub.limits.queue_items_max == settings.reports.queue_items_max
    assert app.reader.broadcast.limits.gather_ms_max == settings.stream.gather_ms_max
    assert app.reader.broadcast.limits.channels_max == settings.stream.selections_max
    assert app.reader.stream.limits.consumers_max == settings.stream.consumers_max
    assert app.reader.stream._places.limits.per_address_max == settings.stream.consumers_per_address_max
    assert app.reader.stream._selections.each_max == settings.stream.selections_share_max
    assert app.writer.hub.limits.queue_items_per_operator_max == settings.reports.queue_items_per_operator_max
    assert app.context.addresses._proxies == frozenset(settings.keys.proxies)
    assert app.reader.stream.origins == frozenset(settings.server.origins)
    assert app.reader.stream.cors.origins == {*settings.server.cors_origins, *settings.server.origins}
    assert charge_points(live).limits.grace_s == settings.ocpp.grace_s
    assert app.writing.console._keys.policy.days == settings.keys.days


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with Serving(tmp_path_factory.mktemp("live")) as server:
        yield server


@pytest.mark.parametrize("row", [row for row in SETTINGS if not row.live], ids=lambda row: row.key)
def test_a_setting_that_needs_a_restart_is_named_and_stays(row: Setting, live: Serving) -> None:
    if row.key in {
        "server.data",
        "server.url_public",
        "page.tiles",
        "ocpi.country_code",
        "metrics.listen",
        "server.roles",
    }:
        pytest.skip("takes values of a form of its own")
    extra = {"reports.certificate_proxies": ["192.0.2.1"]} if row.key == "reports.certificate_header" else {}
    own = {
        "ocpi.party_id": "XYZ",
        "registry.publisher_country": "NO",
        "log.url": "memory:",
        "log.notify_url": "postgresql://ladestrom@127.0.0.1/ladestrom",
        "store.url": "postgresql://ladestrom@127.0.0.1/ladestrom",
    }
    value = own.get(row.key) or another(row)
    loaded = load(None, {}, {"server.data": str(live.data), row.key: value, **extra})
    before = value_of(live.app.context.settings, row)
    done = live.call(lambda: live.app.reconfigure(loaded))
    assert row.key in done.need_restart
    assert row.key not in done.changed
    assert value_of(live.app.context.settings, row) == before
