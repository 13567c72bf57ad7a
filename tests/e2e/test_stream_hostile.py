"""The stream against those who break the rules, take nothing, or send too much, too slowly or too often."""

from __future__ import annotations

import asyncio
import contextlib
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest
import uvloop
from tests.e2e.following import outlast
from tests.e2e.running import Running
from tests.e2e.serving import Fold, Serving, evse, furnish, station, tick
from tests.e2e.wire import (
    BINARY,
    CLOSE,
    CONT,
    PING,
    PONG,
    TEXT,
    Ended,
    Wire,
    frame,
)
from tests.patience import until

from ladestrom.ports.registry import StationDraft

EVSE = "NO*ALF*E1333*1"
INBOUND_BYTES_MAX: Final = 64 * 1024
MIB: Final = 1024 * 1024
LOOPS: Final = {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server that the tests of this file share."""
    with Serving(tmp_path_factory.mktemp("hostile")) as running:
        yield running


@pytest.fixture(autouse=True)
def unharmed(server: Serving) -> Iterator[None]:
    """After each test, the shared server still serves, and has not logged an error."""
    yield
    with server.stream("types=snapshot,update") as wire:
        assert wire.message()["type"] == "snapshot:init"
        for status in ("CHARGING", "AVAILABLE"):
            server.report({"evse": EVSE, "status": status, "observed_at": tick()})
        assert wire.message()["type"] == "status:update"
    assert server.unexpected() == []


# -- frames against the rules (RFC 6455, sections 5 and 7; those of all sockets are in test_websocket_rules) --

BROKEN: Final = {
    "too long": (frame(TEXT, bytes(INBOUND_BYTES_MAX + 1)), 1009),
    "too long together": (
        frame(TEXT, b"a" * 40_000, fin=False) + frame(CONT, b"a" * 40_000),
        1009,
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_frame_against_the_rules_closes_with_the_code_that_says_so(server: Serving, name: str) -> None:
    sent, code = BROKEN[name]
    with server.stream() as wire:
        wire.message()
        wire.send(sent)
        assert wire.close_code() == code


def test_a_message_of_the_largest_size_is_borne(server: Serving) -> None:
    with server.stream() as wire:
        wire.message()
        wire.put(TEXT, b"a" * INBOUND_BYTES_MAX)
        wire.put(PING, b"after")
        assert wire.frame() == (PONG, b"after", True, False)


def test_the_reason_arrives_though_the_consumer_goes_on_sending(server: Serving) -> None:
    with server.stream() as wire:
        wire.message()
        wire.send(frame(TEXT, b"", length=64 * MIB))
        try:
            for _ in range(256):
                wire.send(bytes(65_536))
        except Ended:
            pass
        assert wire.close_code() == 1009


def test_the_reason_is_repeated_in_the_close_frame(server: Serving) -> None:
    with server.stream() as wire:
        wire.message()
        wire.send(frame(3, b""))
        got = wire.frame()
        assert got.opcode == CLOSE
        assert b"opcode" in got.payload


@pytest.mark.parametrize("kind", [TEXT, BINARY])
def test_more_than_a_hundred_messages_a_minute_close_with_4129(server: Serving, kind: int) -> None:
    with server.stream() as wire:
        wire.message()
        for _ in range(100):
            wire.put(kind, b"x")
        wire.put(PING, b"a hundred are borne")
        assert wire.frame() == (PONG, b"a hundred are borne", True, False)
        wire.put(kind, b"x")
        assert wire.close_code() == 4129


# -- bombs -------------------------------------------------------------------------------------------------


def bomb(unpacked_bytes: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    chunk = bytes(MIB)
    packed = b"".join(packer.compress(chunk) for _ in range(unpacked_bytes // MIB))
    return (packed + packer.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\x00\x00\xff\xff")


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, dict[str, str]]]:
    """A server in a process of its own, whose memory is nobody else's, and keys to it."""
    directory = tmp_path_factory.mktemp("process")
    keys = {name: text for name, (text, _) in furnish(directory / "data", national()).items()}
    with Running(directory) as running:
        running.start()
        yield running, keys


def memory_peak_kib(process: Running) -> int:
    """Most memory the process ever had."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


def memory_kib(process: Running) -> int:
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def reset_peak(process: Running) -> None:
    """Makes the present the most (proc(5), clear_refs)."""
    Path(f"/proc/{process.pid}/clear_refs").write_text("5")


@pytest.mark.parametrize("pieces", [1, 3])
def test_a_bomb_closes_with_1009_and_costs_little_memory(
    process: tuple[Running, dict[str, str]], pieces: int
) -> None:
    running, keys = process
    packed = bomb(64 * MIB)
    assert 60 * 1024 < len(packed) <= INBOUND_BYTES_MAX
    offered = {"X-Api-Key": keys["stream"], "Sec-WebSocket-Extensions": "permessage-deflate"}
    with Wire(running.port) as wire:
        assert wire.open("/api/v1/stream", offered).response.status == 101
        wire.message()
        reset_peak(running)
        before = memory_kib(running)
        size = len(packed) // pieces + 1
        parts = [packed[start : start + size] for start in range(0, len(packed), size)]
        for number, part in enumerate(parts):
            is_last = number == len(parts) - 1
            wire.put(CONT if number else TEXT, part, fin=is_last, rsv=0 if number else 4)
        assert wire.close_code() == 1009
    assert memory_peak_kib(running) - before <= 8 * 1024


# -- consumers that do not take what they get --------------------------------------------------------------

ROUNDS: Final = 9


def national(count: int = 400) -> list[StationDraft]:
    return [
        station(
            f"NOR_{number:05d}", "NOR", (10.0, 60.0),
            [evse(f"NO*ALF*E{number}*{place}", party="NOALF") for place in range(1, 6)],
        )
        for number in range(1, count + 1)
    ]  # fmt: skip


def churn(server: Serving, rounds: int, count: int = 400, first: int = 0) -> int:
    """Changes every EVSE so often; gives the last sequence."""
    position = 0
    for turn in range(first, first + rounds):
        status = ("CHARGING", "AVAILABLE", "OUTOFORDER")[turn % 3]
        at = tick()
        items = [
            {"evse": f"NO*ALF*E{number}*{place}", "status": status, "observed_at": at}
            for number in range(1, count + 1)
            for place in range(1, 6)
        ]
        receipt = server.report(*items)
        assert receipt["accepted"] == len(items), receipt
        position = int(receipt["position"].rpartition("-")[2])
    return position


def a_byte_at_a_time(wire: Wire, load: Future[int]) -> None:
    """Reads so slowly that it makes no difference."""
    while not load.done():
        wire.buffer += wire.socket.recv(1)
        time.sleep(0.02)


def nothing(wire: Wire, load: Future[int]) -> None:
    """Does not read."""


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("reads", [nothing, a_byte_at_a_time])
def test_who_hardly_reads_costs_a_bounded_buffer_keeps_nobody_waiting_and_ends_in_step(
    tmp_path: Path, loop: str, reads: Callable[[Wire, Future[int]], None]
) -> None:
    limit_bytes = 64 * 1024
    settings = {"stream.write_buffer_kib_max": limit_bytes // 1024}
    with (
        Serving(tmp_path, settings, stations=national(), loop_factory=LOOPS[loop]) as server,
        server.stream("types=snapshot,update", receive_bytes=4096) as slow,
        server.stream("types=snapshot,update") as reading,
        ThreadPoolExecutor(3) as pool,
    ):
        position = churn(server, 1)
        fold = Fold().follow(reading, position)
        load = pool.submit(churn, server, ROUNDS, first=1)
        sample = pool.submit(most_waiting, server, load)
        trickle = pool.submit(reads, slow, load)
        fold.follow(reading, position + ROUNDS * len(national()) * 5)
        assert load.result() == fold.seq
        assert stuck_connections(server) == 1, "the one who reads did not wait for the other"
        assert limit_bytes // 2 < sample.result() <= limit_bytes
        trickle.result()
        late = Fold().follow(slow, fold.seq)
        board, newest = server.settled()
    assert late.seq == fold.seq == newest
    assert late.board == fold.board == board


def most_waiting(server: Serving, load: Future[int]) -> int:
    """The most bytes that ever waited for a consumer while the load lasted."""
    most = 0
    while not load.done():
        most = max(most, *waiting_bytes(server))
        time.sleep(0.002)
    return most


def waiting_bytes(server: Serving) -> list[int]:
    return server.call(
        lambda: [each._transport.get_write_buffer_size() for each in server.app.reader.stream.connections]
    )


def stuck_connections(server: Serving) -> int:
    return sum(waiting > 0 for waiting in waiting_bytes(server))


def test_who_takes_nothing_is_cut_after_the_settings_time_and_nobody_else(tmp_path: Path) -> None:
    with (
        Serving(tmp_path, {"stream.write_buffer_kib_max": 16}, stations=national()) as server,
        server.stream("types=snapshot,update", receive_bytes=4096) as stuck,
        server.stream("types=snapshot,update", receive_bytes=4096) as slow,
        server.stream("types=snapshot,update") as quick,
        ThreadPoolExecutor(2) as pool,
    ):
        newest = server.app.log.last.seq + ROUNDS * len(national()) * 5
        followed = [pool.submit(Fold().follow, wire, newest) for wire in (slow, quick)]
        assert churn(server, ROUNDS) == newest
        assert followed[0].result().board == followed[1].result().board
        assert stuck_connections(server) == 1
        outlast(server)
        until(lambda: not stuck_connections(server), "who takes nothing is cut")
        assert server.app.reader.stream.closed == {"stalled": 1}
        assert stuck.ended()


def test_pings_whose_answers_nobody_reads_fill_a_bounded_buffer(tmp_path: Path) -> None:
    flood = frame(PING, bytes(125)) * 1000
    settings = {"stream.write_buffer_kib_max": 16}
    with Serving(tmp_path, settings) as server, server.stream(receive_bytes=4096) as wire:
        connections = server.app.reader.stream.connections
        wire.socket.setblocking(False)
        sent = 0

        def is_full() -> bool:
            nonlocal sent
            with contextlib.suppress(OSError):
                sent += wire.socket.send(flood)
            assert sent < 256 * MIB, "the server reads on and on"
            return all(each.paused for each in connections)

        def is_cut() -> bool:
            # The operating system may have taken some more meanwhile: then it is to be filled again.
            if is_full():
                outlast(server)
            return not connections

        until(is_full, "nothing more is taken")
        assert max(waiting_bytes(server)) <= 16 * 1024 + 512 * 1024, "what came with one read is answered"
        until(is_cut, "it is cut")


def test_an_upgrade_where_there_is_no_websocket_is_refused(server: Serving) -> None:
    for path in (
        "/livez",
        "/nope",
        "/api/v1/rest/chargers",
        "/api/v2/reports",
        "/api/v2/events",
        "/api/v1/stream/",
    ):
        with Wire(server.port) as wire:
            wire.open(path, server.bearer())
            assert 400 <= wire.response.status < 500, path
            assert wire.ended()
