"""`ladestrom demo` as a process of its own: what it shows, that the country lives, how it ends."""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import pytest
from tests.contracts.frames import checked
from tests.e2e.running import LADESTROM, environment, free_port, irve_register
from tests.patience import DEADLINE_S, until
from tests.programs import PIPE, STDOUT, Program, begin, end, kill, run
from websockets.sync.client import connect

from ladestrom.model import Status


class Demo:
    """One demonstration on a free port, with its temporary files below `directory`."""

    def __init__(
        self,
        directory: Path,
        *arguments: str,
        data: Path | None = None,
        settings: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.temporary = directory / "tmp"
        self.temporary.mkdir(exist_ok=True)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.lines: list[str] = []
        kept = () if data is None else ("--data", str(data))
        self.process = start(
            directory, "--port", str(self.port), "--stations", "60", *kept, *arguments, settings=settings
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def __enter__(self) -> Self:
        try:
            self._is_ready()
        except BaseException:
            self._end()
            raise
        return self

    def _is_ready(self) -> None:
        until(
            lambda: (
                any(line.startswith("ready in ") for line in self.lines) or self.process.poll() is not None
            ),
            "it is ready",
        )
        assert self.process.poll() is None, self.output

    def __exit__(self, *_: object) -> None:
        self._end()

    def _end(self) -> None:
        kill(self.process)
        self._reader.join(DEADLINE_S)
        end(self.process)

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """Sends the signal, and returns when the process has ended."""
        self.process.send_signal(number)
        self.process.wait(DEADLINE_S)
        self._reader.join(DEADLINE_S)

    def get(self, path: str) -> Any:
        request = urllib.request.Request(self.url + path, headers={"X-Api-Key": "demo"})
        with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:
            return json.load(answer)


def start(directory: Path, *arguments: str, settings: Mapping[str, str] = MappingProxyType({})) -> Program:
    """`ladestrom demo`; whoever calls this also calls `end`."""
    return begin(
        [*LADESTROM, "demo", *arguments],
        stdout=PIPE,
        stderr=STDOUT,
        cwd=directory,
        env={**environment(settings), "TMPDIR": str(directory / "tmp")},
    )


def refused(directory: Path, *arguments: str) -> str:
    """What a demonstration says that does not start."""
    process = start(directory, *arguments)
    try:
        output, _ = process.communicate(timeout=DEADLINE_S)
    finally:
        end(process)
    assert process.returncode == 2, output
    assert "Traceback" not in output
    return output


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    with Demo(tmp_path_factory.mktemp("demo"), "--speed", "600") as running:
        yield running


def test_the_first_thing_shown_is_what_it_is_and_where(demo: Demo) -> None:
    assert re.fullmatch(
        r"ladestrom [0-9.]+: a simulated Norway with 60 stations and [0-9]+ EVSEs, 600 times as fast as real time",
        demo.lines[0],
    )
    for address in (
        f"{demo.url}/ and {demo.url}/now",
        f"{demo.url}/docs and {demo.url}/console",
        f"{demo.url}/api/v1/rest/chargers?apikey=demo",
        f"ws://127.0.0.1:{demo.port}/api/v1/stream?apikey=demo",
    ):
        assert address in demo.output
    assert "durability full" in demo.output
    assert re.fullmatch(r"ready in [0-9.]+ s; press Ctrl-C to stop", demo.lines[-1])


def shown(demo: Demo, command: str) -> list[str]:
    """The ready-made line that begins with a command, as a shell would take it apart."""
    line = next(line for line in demo.lines if f" {command} " in line)
    return line[line.index(f"{command} ") :].replace("'", "\x00").split("\x00")


def test_the_ready_made_curl_line_names_a_station_that_has_a_status(demo: Demo) -> None:
    line = "".join(shown(demo, "curl"))
    path = line[line.index(demo.url) + len(demo.url) :].split()[0]
    assert "X-Api-Key: demo" in line
    assert demo.get(path)["status"] in {0, 1, 2}


def test_every_ready_made_line_begins_with_a_program_that_is_there(demo: Demo) -> None:
    first = next(number for number, line in enumerate(demo.lines) if line.startswith("  Try"))
    tries = [line.removeprefix("  Try").strip() for line in demo.lines[first:-1]]
    assert len(tries) >= 2
    for line in tries:
        assert shutil.which(line.split()[0]), line


def test_the_ready_made_websocket_line_names_a_stream_of_changes(demo: Demo) -> None:
    program = "websocat" if shutil.which("websocat") else "-m websockets"
    address = shown(demo, program)[1]
    with connect(address, open_timeout=DEADLINE_S, max_size=None) as stream:
        types = {checked(stream.recv(DEADLINE_S))["type"] for _ in range(5)}
    assert types == {"status:update"}


def test_whoever_tries_it_makes_a_key_of_their_own(demo: Demo) -> None:
    request = urllib.request.Request(
        f"{demo.url}/api/v2/keys", b'{"name": "x"}', {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:
        made = json.load(answer)
    assert (made["state"], made["scopes"]) == ("live", ["stream"])
    told = demo.get("/api/v2/keys/self")
    assert (told["id"], told["state"], told["created_at"]) == ("demo", "live", None)
    for method in ("POST", "DELETE"):
        path = "/api/v2/keys/self/rotate" if method == "POST" else "/api/v2/keys/self"
        request = urllib.request.Request(demo.url + path, headers={"X-Api-Key": "demo"}, method=method)
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(request, timeout=DEADLINE_S)


def test_once_it_is_ready_every_evse_has_a_status(demo: Demo) -> None:
    chargers = demo.get("/api/v1/rest/chargers")
    assert len(chargers) == 60
    connectors = [connector for charger in chargers for connector in charger["connectors"]]
    assert all(connector["timestamp"] > 0 for connector in connectors)
    known = sum(connector["status"] in {0, 1} for connector in connectors)
    assert known > 0.9 * len(connectors)


def test_one_evse_is_found_under_the_address_shown(demo: Demo) -> None:
    address = re.search(r"http://\S+/api/v2/evses/\S+", demo.output)
    assert address is not None
    assert demo.get(address[0].removeprefix(demo.url))["status"] in set(Status)


def test_anyone_may_look(demo: Demo) -> None:
    with urllib.request.urlopen(f"{demo.url}/api/v2/page", timeout=DEADLINE_S) as answer:
        about = json.load(answer)
    assert (about["demo"], about["visitors"]) == (True, "anyone")
    with urllib.request.urlopen(f"{demo.url}/api/v2/map", timeout=DEADLINE_S) as answer:
        shown = json.load(answer)
    assert len(shown["available"]) == 60
    assert sum(shown["available"]) > sum(shown["unknown"])


def test_every_operator_reports_and_nothing_is_refused(demo: Demo) -> None:
    operators = demo.get("/api/v2/operators")
    text = json.dumps(operators)
    assert "Fjordlys" in text
    rows = operators if isinstance(operators, list) else operators["operators"]
    assert not [row for row in rows if row.get("refused")]


def test_ctrl_c_ends_it_while_somebody_follows_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with Demo(tmp_path) as running:
        assert list(running.temporary.iterdir())
        address = f"ws://127.0.0.1:{running.port}/api/v1/stream?apikey=demo"
        with connect(address, open_timeout=DEADLINE_S, max_size=None) as stream:
            checked(stream.recv(DEADLINE_S))
            running.stop()
        assert running.process.returncode == 0
        assert "Traceback" not in running.output
        assert re.fullmatch(r"ended: [0-9,]+ reports in, [0-9,]+ changes out", running.lines[-1])
        assert list(running.temporary.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_sigterm_and_the_end_of_its_terminal_end_it_like_ctrl_c(
    tmp_path: Path, number: signal.Signals
) -> None:
    with Demo(tmp_path) as running:
        running.stop(number)
        assert running.process.returncode == 0


def test_a_signal_before_it_is_ready_ends_it_too(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    process = start(tmp_path, "--port", str(free_port()), "--stations", "60")
    try:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=DEADLINE_S)
    finally:
        end(process)
    assert process.returncode in {0, 130, -signal.SIGINT}
    assert "Traceback" not in output
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_log_and_a_store_that_are_set_elsewhere_are_left_alone(tmp_path: Path) -> None:
    elsewhere = {"log.url": "memory:", "store.url": "postgresql://127.0.0.1:1/real"}
    with Demo(tmp_path, data=tmp_path / "kept", settings=elsewhere) as running:
        running.stop()
    assert {"log.db", "store.db"} <= {path.name for path in (tmp_path / "kept").iterdir()}


def test_with_a_data_directory_the_log_goes_on_where_it_was(tmp_path: Path) -> None:
    data = tmp_path / "kept"
    with Demo(tmp_path, data=data) as first:
        epoch, seq = position(first)
        first.stop()
    assert (data / "log.db").exists()
    with Demo(tmp_path, data=data) as second:
        again, later = position(second)
        assert len(second.get("/api/v1/rest/chargers")) == 60
    assert again == epoch
    assert later >= seq


def position(running: Demo) -> tuple[str, int]:
    address = f"ws://127.0.0.1:{running.port}/api/v1/stream?apikey=demo"
    with connect(address, open_timeout=DEADLINE_S, max_size=None) as stream:
        snapshot = checked(stream.recv(DEADLINE_S))
    return snapshot["epoch"], snapshot["seq"]


def test_a_registry_that_is_not_simulated_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    data = tmp_path / "real"
    register = irve_register(tmp_path / "register.jsonl", stations=3, evses=2)
    run([*LADESTROM, "import", "irve", register, "--data", data], env=environment({}), check=True)
    said = refused(tmp_path, "--port", str(free_port()), "--data", str(data))
    assert "3 stations that are not simulated, from the registers irve" in said
    assert "--data" in said


def test_a_port_that_is_taken_is_named_with_what_to_do(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refused(tmp_path, "--port", str(port))
    assert f"127.0.0.1:{port}" in said
    assert "--port" in said


@pytest.mark.parametrize(
    "arguments",
    [
        ("--stations", "0"),
        ("--stations", "100001"),
        ("--speed", "0"),
        ("--speed", "3601"),
        ("--speed", "nan"),
        ("--port", "70000"),
    ],
)
def test_a_number_out_of_range_is_refused_with_the_range(tmp_path: Path, arguments: Sequence[str]) -> None:
    said = refused(tmp_path, *arguments)
    assert arguments[0] in said or "port" in said
    assert re.search(r"[0-9] to [0-9]|at most [0-9]", said)


def test_the_environment_cannot_open_it_to_others(tmp_path: Path) -> None:
    with Demo(tmp_path, settings={"server.host": "0.0.0.0"}) as running:  # noqa: S104 - what must not win
        assert running.get("/livez")
        with pytest.raises(OSError, match=r"refused|unreachable|assign|timed out"):
            socket.create_connection(("127.0.0.2", running.port), timeout=DEADLINE_S)


def test_a_day_is_behind_it_once_it_is_ready(tmp_path: Path) -> None:
    with Demo(tmp_path) as running:
        uuid = running.get("/api/v1/rest/chargers")[0]["uuid"]

        def day() -> Any:
            return running.get(f"/api/v2/stations/{uuid}/history?hours=24")

        until(lambda: (told := day())["complete_from"] == told["from"], "the log was read")
        assert all(evse["segments"][0]["status"] != "UNKNOWN" for evse in day()["evses"])
        told = running.get("/api/v2/overview")
        assert told["changes_total"] < sum(told["tens"]), "most of it was before the start"
        assert sum(count > 0 for count in told["tens"]) > len(told["tens"]) / 2
        assert sum(told["minutes"]) > 0
        assert told["kept_from"] is None
