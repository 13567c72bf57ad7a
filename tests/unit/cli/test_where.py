"""One way of finding settings, data directory and server for all commands."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import cyclopts
import pytest
from tests.importing import irve
from tests.unit.cli.conftest import Run, Told

from ladestrom.cli import COMMANDS, build, main
from ladestrom.cli.where import Where
from ladestrom.config import load
from ladestrom.config.address import ADDRESS_FILE, addresses

WITHOUT_SETTINGS = {"config doc", "config env", "sources protocols"}
"""They print what the program has."""
OTHER_DATA = {"demo"}
"""Its data directory is one that is removed, unless --data names one."""


def leaves(app: cyclopts.App, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command that does something."""
    for name in app:
        if name.startswith("-"):
            continue
        command = app[name]
        if any(not each.startswith("-") for each in command):
            yield from leaves(command, (*path, name))
        else:
            yield (*path, name)


ALL = [path for path in leaves(build()) if " ".join(path) not in WITHOUT_SETTINGS]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Calls a command without any variable, in an empty directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: str | Path, code: int = 0) -> Told:
        capsys.readouterr()
        found = main(list(map(str, arguments)))
        told = Told(*capsys.readouterr())
        assert found == code, told
        return told

    return call


@pytest.fixture
def elsewhere(tmp_path: Path) -> tuple[Path, Path]:
    """A settings file, and the data directory that it names."""
    data = tmp_path / "elsewhere"
    file = tmp_path / "ladestrom.toml"
    file.write_text(f"[server]\ndata = {json.dumps(str(data))}\nport = 9191\n", encoding="utf-8")
    return file, data


def test_there_are_commands_to_look_at() -> None:
    assert {path[0] for path in ALL} == {command.name for command in COMMANDS}
    assert len(ALL) > 30


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_takes_config_and_data(call: Run, path: tuple[str, ...]) -> None:
    shown = call(*path, "--help").stdout
    if path[0] == "config":
        # Its flags are all settings; they are not listed.
        assert "--config" in shown
    else:
        assert "--config" in shown
        assert "--data" in shown


SAMPLES = [
    ("keys", "list"),
    ("keys", "create", "--name", "x", "--scope", "stream"),
    ("keys", "approve", "x"),
    ("keys", "revoke", "x"),
    ("keys", "erase", "x"),
    ("keys", "rotate", "x"),
    ("operators", "list"),
    ("operators", "add", "Acme", "--all"),
    ("operators", "show", "Acme"),
    ("operators", "remove", "Acme"),
    ("registry", "parties"),
    ("import", "nobil", "none.json"),
    ("import", "irve", "none.json"),
    ("import", "datex", "none.json"),
    ("import", "ocpi", "none.json"),
    ("import", "stations", "none.csv"),
    ("ocpp", "list"),
    ("ocpp", "add", "--operator", "x", "--station", "x", "--id", "x"),
    ("ocpp", "rotate", "x"),
    ("ocpp", "remove", "x"),
    ("ocpi", "peers"),
    ("ocpi", "invite", "--operator", "x"),
    ("ocpi", "fix", "--operator", "x"),
    ("ocpi", "register", "--operator", "x", "--url", "https://x.example", "--token", "x"),
    ("ocpi", "renew", "x"),
    ("ocpi", "unregister", "x"),
    ("sources", "list"),
    ("sources", "add", "x", "--operator", "x", "--protocol", "irve", "--address", "https://x.example"),
    ("sources", "test", "x"),
    ("sources", "pause", "x"),
    ("sources", "resume", "x"),
    ("sources", "ask", "x"),
    ("sources", "remove", "x"),
    ("sources", "quarantine", "x"),
    ("sources", "replay", "x"),
    ("backup", "copy"),
    ("restore", "copy"),
    ("tail",),
    ("replay", "none.csv"),
    ("demo",),
    ("serve",),
    ("config", "check"),
    ("config", "show"),
    ("doctor",),
    ("log", "new-epoch"),
    ("store", "copy", "none"),
    ("roles",),
]


def test_every_command_has_a_sample() -> None:
    assert set(ALL) == {sample[: _length(sample)] for sample in SAMPLES}


def _length(sample: tuple[str, ...]) -> int:
    return next(length for length in (2, 1) if sample[:length] in ALL)


@pytest.mark.parametrize("sample", SAMPLES, ids=" ".join)
def test_an_unknown_variable_is_an_error_of_every_command_and_names_the_nearest(
    call: Run, sample: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LADESTROM_DATTA", "x")
    told = call(*sample, code=2)
    assert "environment variable LADESTROM_DATTA is unknown; did you mean LADESTROM_DATA?" in told.stderr
    assert told.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_the_environment_may_have_what_tests_and_other_commands_look_for(
    call: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LADESTROM_TEST_OCPP", "LADESTROM_SHARED", "LADESTROM_OCPI_TOKEN", "LADESTROM_URL"):
        monkeypatch.setenv(name, "x")
    call("keys", "create", "--name", "x", "--scope", "stream")


@pytest.mark.parametrize("how", ["option", "variable"])
def test_all_commands_find_the_data_directory_that_the_settings_file_names(
    call: Run, elsewhere: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, how: str, tmp_path: Path
) -> None:
    file, data = elsewhere
    options: tuple[str | Path, ...] = ("--config", file) if how == "option" else ()
    if how == "variable":
        monkeypatch.setenv("LADESTROM_CONFIG", str(file))
    register = irve(tmp_path / "register", 3)
    before = {*tmp_path.iterdir(), data}
    call("import", "irve", register, *options)
    call("operators", "add", "Acme", "--party", "FR*ABC", *options)
    key = call("keys", "create", "--name", "x", "--scope", "report", "--operator", "Acme", *options).stdout
    assert key.startswith("lst_")
    call("ocpi", "fix", "--operator", "Acme", *options)
    call("ocpp", "add", "--operator", "Acme", "--station", "FRA_00001", "--id", "CP1", *options)
    address = "https://x.example/file.csv"
    call("sources", "add", "s", "--operator", "Acme", "--protocol", "irve", "--address", address, *options)
    for command, word in (
        (("keys", "list"), key.split("_")[1]),
        (("operators", "list"), "Acme"),
        (("operators", "show", "Acme"), "6 EVSEs at 3 stations"),
        (("registry", "parties"), "FRABC"),
        (("ocpi", "peers"), "fixed"),
        (("ocpp", "list"), "CP1"),
        (("sources", "list"), "irve"),
        (("config", "show"), str(data)),
    ):
        assert word in call(*command, *options).stdout, command
    found = json.loads(call("doctor", "--json", *options).stdout)
    assert str(data) in next(each["found"] for each in found["checks"] if each["name"] == "data directory")
    assert set(tmp_path.iterdir()) == before


def test_data_beats_the_variable_and_that_the_file(
    call: Run, elsewhere: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LADESTROM_CONFIG", str(elsewhere[0]))
    assert Where().directory().path == elsewhere[1]
    monkeypatch.setenv("LADESTROM_DATA", str(tmp_path / "variable"))
    assert Where().directory().path == tmp_path / "variable"
    assert Where(data=tmp_path / "option").directory().path == tmp_path / "option"


def test_what_writes_says_which_data_directory_and_the_key_stands_alone_on_standard_output(
    call: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    create = ("keys", "create", "--name", "x", "--scope", "stream")
    told = call(*create)
    assert len(told.stdout.splitlines()) == 1
    made = tmp_path / "ladestrom-data"
    assert f"creating a new data directory: {made} (the default)" in told.stderr
    told = call(*create)
    assert len(told.stdout.splitlines()) == 1
    assert f"data directory: {made} (the default)\n" in told.stderr
    assert "new" not in told.stderr
    monkeypatch.setenv("LADESTROM_DATA", str(made))
    assert f"data directory: {made} (from LADESTROM_DATA)\n" in call(*create).stderr
    assert f"data directory: {made} (from --data)\n" in call(*create, "--data", made).stderr


def test_what_reads_says_where_it_looked_for_a_store_and_why_there(call: Run, tmp_path: Path) -> None:
    told = call("keys", "list", "--data", "nowhere", code=2)
    assert f"there is no store in {tmp_path / 'nowhere'} (from --data)" in told.stderr


@pytest.mark.parametrize(
    ("host", "local", "public"),
    [
        ("127.0.0.1", "http://127.0.0.1:8383", "http://127.0.0.1:8383"),
        ("0.0.0.0", "http://127.0.0.1:8383", "http://0.0.0.0:8383"),  # noqa: S104 - a name of every address
        ("::", "http://[::1]:8383", "http://[::]:8383"),
        ("status.example.org", "http://status.example.org:8383", "http://status.example.org:8383"),
    ],
)
def test_the_addresses_follow_from_the_settings(host: str, local: str, public: str) -> None:
    server = load(None, {}, {"server.host": host}).settings.server
    assert addresses(server).local == local
    assert addresses(server).public == public
    public_url = load(None, {}, {"server.host": host, "server.url_public": "https://x.example"})
    assert addresses(public_url.settings.server).public == "https://x.example"


class TestAddress:
    @pytest.fixture
    def fix(self, call: Run, tmp_path: Path) -> Callable[..., Told]:
        call("operators", "add", "Acme", "--all")
        return lambda *options: call("ocpi", "fix", "--operator", "Acme", *options)

    def test_without_a_server_peers_are_told_what_the_settings_say(
        self, fix: Callable[..., Told], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("LADESTROM_SERVER__PORT", "9292")
        told = fix()
        assert told.stdout.splitlines()[0] == "http://127.0.0.1:9292/ocpi/versions"
        assert "no server runs" in told.stderr
        assert "only programs on this machine reach that address" in told.stderr

    def test_a_public_address_is_told_as_it_is(
        self, fix: Callable[..., Told], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("LADESTROM_SERVER__URL_PUBLIC", "https://status.example.org")
        told = fix()
        assert told.stdout.splitlines()[0] == "https://status.example.org/ocpi/versions"
        assert "no server runs" not in told.stderr
        assert "warning" not in told.stderr

    def test_a_server_that_runs_says_its_port_itself(self, fix: Callable[..., Told], tmp_path: Path) -> None:
        noted = '{"local": "http://127.0.0.1:4711", "public": "http://127.0.0.1:4711"}'
        (tmp_path / "ladestrom-data" / ADDRESS_FILE).write_text(noted)
        assert fix().stdout.splitlines()[0] == "http://127.0.0.1:4711/ocpi/versions"
        assert Where().remote(None, None) == ("http://127.0.0.1:4711", None)
        (tmp_path / "ladestrom-data" / ADDRESS_FILE).write_text("{")
        assert Where().remote(None, None)[0] == "http://127.0.0.1:8383"

    def test_options_beat_variables_and_these_the_server_of_the_data_directory(
        self, call: Run, elsewhere: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        where = Where(config=elsewhere[0])
        assert where.remote(None, None) == ("http://127.0.0.1:9191", None)
        (tmp_path / "key").write_text("lst_file\n")
        monkeypatch.setenv("LADESTROM_KEY_FILE", str(tmp_path / "key"))
        monkeypatch.setenv("LADESTROM_URL", "http://variable:1")
        assert where.remote(None, None) == ("http://variable:1", "lst_file")
        assert where.remote("http://option:2", "k") == ("http://option:2", "k")
