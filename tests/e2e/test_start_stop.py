"""Starting and stopping: what is said, what is refused, what is told to those who are connected."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import socket
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import apsw
import pytest
from tests.e2e.running import LADESTROM, NotRunning, Running, environment, free_port
from tests.e2e.serving import LISTED, Fold, Serving, furnish, now, tick
from tests.e2e.wire import CLOSE, TEXT, Wire, request
from tests.patience import DEADLINE_S, until
from tests.programs import run

from ladestrom.edges import connection
from ladestrom.errors import Conflict, InvalidSetting, LadestromError
from ladestrom.server.assembly import Server

E1 = "NO*ALF*E1333*1"
READY: Final = re.compile(
    r"ready in [0-9.]+ s, durability (full|relaxed) \([a-z ]+\), 7 EVSEs, "
    r"http://127\.0\.0\.1:(\d+) ws://127\.0\.0\.1:\2/api/v1/stream"
)


# -- a process of its own ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, dict[str, str]]]:
    """A server in a process of its own, and keys to it."""
    directory = tmp_path_factory.mktemp("process")
    keys = {name: text for name, (text, _) in furnish(directory / "data").items()}
    with Running(directory) as running:
        running.start()
        yield running, keys


def test_the_last_line_on_starting_says_ready_durability_and_addresses(
    process: tuple[Running, dict[str, str]],
) -> None:
    running, _ = process
    match = READY.search(list(running.output)[-1])
    assert match is not None, running.said()
    assert (match[1], match[2]) == ("full", str(running.port))


def test_a_second_server_on_the_same_data_says_why_and_ends_with_2(
    process: tuple[Running, dict[str, str]],
) -> None:
    running, _ = process
    command = [*LADESTROM, "serve", "--data", str(running.data), "--port", str(free_port())]
    done = run(command, env=environment({}))
    assert done.returncode == 2
    assert f"another ladestrom runs on {running.data}" in done.stderr
    assert "Traceback" not in done.stderr
    assert "ready" not in done.stdout
    with Wire(running.port) as wire:
        wire.send(request("/readyz", {"Host": "here"}))
        assert wire.answer()[0].status == 200, "the first goes on"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_tells_consumers_and_ends_with_0(
    process: tuple[Running, dict[str, str]], number: signal.Signals
) -> None:
    running, keys = process
    if not running.alive:
        running.start()
    assert running.process is not None
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(Wire(running.port)) for _ in range(20)]
        for place, wire in enumerate(wires):
            path = ("/api/v1/stream", "/api/v1/stream?country=NOR", "/api/v2/stream")[place % 3]
            wire.open(path, {"X-Api-Key": keys["stream"]})
            assert wire.response.status == 101
            wire.text()
        idle = stack.enter_context(Wire(running.port))
        idle.send(request("/livez", {"Host": "here"}))
        assert idle.answer()[0].status == 200
        running.process.send_signal(number)
        assert [wire.close_code() for wire in wires] == [1001] * 20
        assert idle.ended()
        assert running.process.wait(DEADLINE_S) == 0
    assert running.stop() == 0
    assert "Traceback" not in running.said()


DEFECT = """
import asyncio, sys
from ladestrom import app
from ladestrom.reader.broadcast import Broadcast
from ladestrom.reader.catching_up import CatchingUp
from ladestrom.reader.fanout import Fanout
from ladestrom.cli import main

serving = asyncio.Event()
listen = app.App.listen

async def listened(self):
    await listen(self)
    asyncio.get_running_loop().call_later(0.1, serving.set)

async def wrong(self):
    await serving.wait()
    raise ValueError("a defect")

app.App.listen = listened
{part} = wrong
sys.exit(main())
"""


@pytest.mark.parametrize("part", ["Broadcast._follow", "CatchingUp.run", "Fanout.run"])
def test_a_server_of_which_a_part_has_ended_that_must_not_end_stops_with_1(tmp_path: Path, part: str) -> None:
    furnish(tmp_path / "data")
    program = (sys.executable, "-c", DEFECT.format(part=part))
    with Running(tmp_path, program=program) as running:
        with contextlib.suppress(NotRunning):
            running.start()
        assert running.process is not None
        assert running.process.wait(DEADLINE_S) == 1
        until(lambda: "an essential task ended" in running.said(), "it says so")


# -- starting ----------------------------------------------------------------------------------------------


def test_a_second_server_on_the_same_data_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    with Serving(tmp_path) as first:
        second = Serving(tmp_path, {"server.port": free_port()})
        with pytest.raises(Conflict, match="another ladestrom runs on"):
            second.start()
        assert first.report({"evse": E1, "status": "CHARGING"})["accepted"] == 1
        first.stop()
        second.start()
        assert second.app.reader.view.seq == first.app.reader.view.seq
        second.stop()


def test_a_port_that_is_taken_is_refused(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server = Serving(tmp_path, {"server.port": port})
        with pytest.raises(InvalidSetting, match=f"127.0.0.1:{port} .* another --port"):
            server.start()


@pytest.mark.parametrize("error", [None, OSError(24, "too many open files")], ids=["ends", "fails"])
def test_a_server_that_ends_while_it_starts_says_why_and_leaves_everything_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError | None
) -> None:
    async def startup(self: Server, sockets: list[socket.socket] | None = None) -> None:
        del sockets
        if error is not None:
            raise error
        self.should_exit = True

    with Serving(tmp_path) as server:
        server.stop()
        with monkeypatch.context() as patched:
            patched.setattr(Server, "startup", startup)
            expected = "too many open files" if error else "the server ended while starting to listen"
            with pytest.raises(InvalidSetting, match=expected):
                server.start()
        server.start()
        assert server.report({"evse": E1, "status": "CHARGING"})["accepted"] == 1


@pytest.mark.parametrize(("days", "doubt"), [(-1, "behind the newest entry"), (9, "the clock is wrong")])
def test_a_clock_that_does_not_go_with_the_log_is_told_at_the_start_and_drops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: int, doubt: str
) -> None:
    with Serving(tmp_path, {"log.checkpoint_s": 1}) as server:
        server.report({"evse": E1, "status": "CHARGING"})
        _, seq = server.settled()
        server.stop()
        wrong_at = now() + days * 86_400_000
        monkeypatch.setattr(time, "time_ns", lambda: wrong_at * 1_000_000)
        server.start()
        warned = [each for each in server.logged() if each["event"] == "check the clock"]
        assert len(warned) == 1
        assert doubt in warned[0]["doubt"]
        until(lambda: server.app.writer.checkpoints.seq >= seq, "it has checkpointed")
        server.stop()
        assert server.app.log.first == 1


def test_files_that_cannot_be_noted_at_the_end_do_not_keep_the_log_from_being_closed(tmp_path: Path) -> None:
    with Serving(tmp_path) as server:
        server.expects("not ready")
        (server.data / "freshness.new").mkdir()
        server.report({"evse": E1, "status": "CHARGING"})
        server.stop()
        connection = apsw.Connection(str(server.data / "log.db"))
        found = connection.execute("SELECT value FROM meta WHERE name = 'session'").fetchall()
        connection.close()
        assert found == [("closed",)]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])  # noqa: S104 - it is refused
def test_listening_beyond_loopback_is_refused_while_no_key_exists(tmp_path: Path, host: str) -> None:
    server = Serving(tmp_path, {"server.host": host, "keys.policy": "open"})
    with pytest.raises(InvalidSetting, match="ladestrom keys create"):
        server.start()


def test_listening_beyond_loopback_is_fine_with_a_key(tmp_path: Path) -> None:
    with Serving(tmp_path, {"server.host": "0.0.0.0"}) as server:  # noqa: S104 - the test is about it
        assert server.get("/api/v1/rest/chargers").status_code == 200


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_data_directory_that_cannot_be_one_is_refused(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    server = Serving(tmp_path, {"server.data": str(tmp_path / place)})
    with pytest.raises(InvalidSetting, match="--data"):
        server.start()


@pytest.mark.parametrize("name", ["log.db", "store.db"])
def test_a_file_that_is_none_of_ours_is_refused_and_left_as_it_is(tmp_path: Path, name: str) -> None:
    file = tmp_path / "data" / name
    file.parent.mkdir()
    file.write_bytes(b"not a database, but somebody's only copy\n" * 100)
    before = file.read_bytes()
    server = Serving(tmp_path)
    with pytest.raises(LadestromError, match=name.removesuffix(".db")):
        server.start()
    assert file.read_bytes() == before


def test_the_data_directory_is_for_its_owner_alone(tmp_path: Path) -> None:
    server = Serving(tmp_path)
    server.start()
    server.stop()
    assert server.data.stat().st_mode & 0o777 == 0o700
    assert {path.name for path in server.data.iterdir()} >= {"log.db", "store.db"}


# -- stopping ----------------------------------------------------------------------------------------------


def test_who_does_not_answer_the_goodbye_is_not_waited_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "CLOSE_S_MAX", 1)
    with Serving(tmp_path) as server, server.stream() as rude, Wire(server.port) as silent:
        silent.send(b"GET /livez HTT")
        with Wire(server.port) as operator:
            operator.open("/api/v2/reports/stream", server.bearer("alfa"))
            # Waiting for `server.drain_s` would log an error, which fails this test.
            server.stop()
        assert rude.message()["type"] == "snapshot:init"
        assert rude.frame().opcode == CLOSE
        assert rude.ended()
        assert silent.ended()


def test_a_delivery_that_is_under_way_gets_its_receipt(tmp_path: Path) -> None:
    body = json.dumps({"evse": E1, "status": "CHARGING"}).encode()
    with Serving(tmp_path) as server, Wire(server.port) as wire, ThreadPoolExecutor(1) as pool:
        headers = {"Host": "here", **server.bearer("alfa"), "Content-Length": str(len(body))}
        port = server.port
        wire.send(request("/api/v2/reports", headers, "POST") + body[:10])
        assert server.get("/livez").status_code == 200
        stopping = pool.submit(server.stop)
        until(lambda: not listens(port), "it takes no new connections")
        wire.send(body[10:])
        head, receipt = wire.answer()
        assert head.status == 200
        assert json.loads(receipt)["accepted"] == 1
        assert wire.ended()
        stopping.result()


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S).close()
    except ConnectionError:
        return False
    return True


def test_what_was_known_is_known_after_a_restart_and_consumers_resume(tmp_path: Path) -> None:
    with Serving(tmp_path) as server:
        with server.stream() as wire:
            fold = Fold()
            fold.take(wire.message())
        server.report({"evse": E1, "status": "CHARGING", "observed_at": tick()})
        board, position = server.settled()
        epoch = server.app.reader.view.epoch
        server.stop()
        server.start()
        assert server.app.reader.view.epoch == epoch
        assert server.settled() == (board, position)
        with server.stream(f"since={fold.since}&types=update") as wire:
            fold.take(wire.message())
            assert fold.seq == position
            receipt = server.report({"evse": E1, "status": "AVAILABLE", "observed_at": tick()})
            fold.take(wire.message())
        assert fold.since == receipt["position"]
        assert tuple(sorted(fold.board)) == LISTED
        assert fold.board == server.settled()[0]


def test_messages_of_operators_that_were_acknowledged_before_the_end_are_kept(tmp_path: Path) -> None:
    with Serving(tmp_path) as server:
        with Wire(server.port) as wire, ThreadPoolExecutor(1) as pool:
            wire.open("/api/v2/reports/stream", server.bearer("alfa"))
            acknowledged = ""
            stopping = None
            for turn in range(10_000):
                item = {"evse": E1, "status": ("CHARGING", "AVAILABLE")[turn % 2], "observed_at": tick()}
                with contextlib.suppress(Exception):
                    wire.put(TEXT, json.dumps(item).encode())
                try:
                    acknowledged = wire.message()["position"]
                except Exception:  # noqa: BLE001 - the server is gone, in whatever way
                    break
                if turn == 20:
                    stopping = pool.submit(server.stop)
            assert stopping is not None
            stopping.result()
        server.start()
        _, position = server.settled()
        assert position >= int(acknowledged.rpartition("-")[2]) > 20
