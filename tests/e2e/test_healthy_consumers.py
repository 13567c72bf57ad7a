"""A consumer that reads, however slowly, stays; what waits for it meanwhile is bounded from the first byte on."""

from __future__ import annotations

import contextlib
import random
import socket
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event
from typing import Any, Final, NamedTuple

import pytest
from tests.e2e.following import Events, waiting_bytes
from tests.e2e.serving import Serving, evse, now, station
from tests.e2e.wire import PING, PONG, TEXT, UPGRADE, Wire, request
from tests.patience import DEADLINE_S, scaled, until

from ladestrom.outputs.stream_v2.edge import EVENTS_PATH, STREAM_PATH
from ladestrom.ports.registry import StationDraft
from ladestrom.roles import reader
from ladestrom.server import assembly, http

STALLED_S: Final = scaled(1)
LIMIT_BYTES: Final = 16 * 1024
SOCKET_BYTES: Final = 4096
STATIONS: Final = 600
EVSES: Final = 8
STATUSES: Final = ("AVAILABLE", "CHARGING", "OUTOFORDER")
TURN_S: Final = 0.05
READING_S: Final = 3 * STALLED_S
"""How long a consumer takes at least to read its snapshot."""
HOST: Final = {"Host": "127.0.0.1"}
GET: Final = request("/livez", HOST)


class Stream(NamedTuple):
    """How a consumer asks, and how much of its snapshot there is at least."""

    target: str
    snapshot_bytes: int
    deflate: bool = False


STREAMS: Final = {
    "v1": Stream("/api/v1/stream", 250_000),
    "v1, deflated": Stream("/api/v1/stream", 40_000, deflate=True),
    "v2": Stream(STREAM_PATH, 950_000),
    "v2, deflated": Stream(STREAM_PATH, 130_000, deflate=True),
    "events": Stream(EVENTS_PATH, 950_000),
}


def country() -> list[StationDraft]:
    """Stations with names that do not compress well, so that a compressed snapshot is long, too."""
    chance = random.Random(7)
    return [
        station(
            f"NOR_{number:05d}",
            "NOR",
            (10.0, 60.0),
            [evse(f"NO*ALF*E{chance.randrange(10**18)}", party="NOALF") for _ in range(EVSES)],
        )
        for number in range(1, STATIONS + 1)
    ]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server whose every clock runs out soon, and whose sockets keep little."""
    listen = assembly.listen

    def narrow(host: str, port: int) -> socket.socket:
        listener = listen(host, port)
        # Connections inherit it.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BYTES)
        return listener

    settings = {
        "stream.stalled_s": STALLED_S,
        "stream.write_buffer_kib_max": LIMIT_BYTES // 1024,
        "server.keep_alive_s": 1,
        "server.header_timeout_s": 1,
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assembly, "listen", narrow)
        patch.setattr(http, "RESPONSE_STALLED_S_MAX", STALLED_S)
        patch.setattr(reader, "SWEEP_S", 0.1)
        stations = country()
        with Serving(tmp_path_factory.mktemp("healthy"), settings, stations=stations) as running:
            chance = random.Random(7)
            ids = [each.evse_id for draft in stations for each in draft.station.evses]
            running.report(
                *[
                    {
                        "evse": name,
                        "status": chance.choice(STATUSES),
                        "observed_at": now() - chance.randrange(10**10),
                    }
                    for name in ids
                ]
            )
            yield running


@pytest.fixture(autouse=True)
def unharmed(server: Serving) -> Iterator[None]:
    """Each test begins without consumers, and ends without an error in the log."""
    server.call(server.app.reader.stream.closed.clear)
    yield
    until(lambda: not server.app.reader.stream.connections, "consumers have gone")
    assert server.unexpected() == []


def opened(server: Serving, stream: Stream, *before: bytes) -> Wire:
    """A consumer that has read the head of its answer, after these requests on the same connection."""
    headers = {**HOST, **server.bearer()}
    if stream.deflate:
        headers["Sec-WebSocket-Extensions"] = "permessage-deflate"
    is_events = stream.target == EVENTS_PATH
    kind = Events if is_events else Wire
    wire = kind(server.port, deadline_s=DEADLINE_S, receive_bytes=SOCKET_BYTES)
    asked = request(stream.target, headers if is_events else {**UPGRADE, **headers})
    wire.send(b"".join(before) + asked)
    for _ in before:
        assert wire.answer()[0].status == 200
    if isinstance(wire, Events):
        assert wire.begun().response.status == 200
    else:
        assert wire.upgraded().response.status == 101
    return wire


class Steady:
    """Reads on in a thread, a little at a time, until it is told that it is enough."""

    def __init__(self, wire: Wire, bytes_at_once: int) -> None:
        self.wire = wire
        self.read_bytes = 0
        self._bytes_at_once = bytes_at_once
        self._enough = Event()
        self._pool = ThreadPoolExecutor(1)
        self._task: Future[None] = self._pool.submit(self._read)

    def _read(self) -> None:
        self.wire.socket.settimeout(TURN_S)
        while not self._enough.wait(TURN_S):
            with contextlib.suppress(TimeoutError):
                data = self.wire.socket.recv(self._bytes_at_once)
                assert data, "the server ended the connection"
                self.wire.buffer += data
                self.read_bytes += len(data)

    def stop(self) -> None:
        """Ends the thread; fails where the connection ended."""
        self._enough.set()
        self._pool.shutdown()
        self.wire.socket.settimeout(DEADLINE_S)
        self._task.result()


def most_waiting(server: Serving, steady: Steady, bytes_min: int) -> int:
    """The most that waited in the transport until so much was read and nothing waits any more."""
    most = 0
    ends_s = time.monotonic() + DEADLINE_S
    while steady.read_bytes < bytes_min or waits(server):
        assert time.monotonic() < ends_s, f"{steady.read_bytes} bytes were read"
        assert not server.app.reader.stream.closed
        most = max(most, *waiting_bytes(server))
        time.sleep(TURN_S / 10)
    return most


def stays(server: Serving) -> None:
    """Fails where a consumer is cut within the time of three stalls."""
    ends_s = time.monotonic() + 3 * STALLED_S
    until(lambda: time.monotonic() > ends_s or bool(server.app.reader.stream.closed))
    assert server.app.reader.stream.closed == {}


def waits(server: Serving) -> bool:
    """Whether something waits for a consumer."""
    return server.call(lambda: any(each.paused for each in server.app.reader.stream.connections))


@pytest.mark.parametrize("name", STREAMS)
def test_who_reads_slowly_but_steadily_stays_and_what_waits_is_bounded_from_the_snapshot_on(
    server: Serving, name: str
) -> None:
    stream = STREAMS[name]
    with opened(server, stream) as wire:
        began_s = time.monotonic()
        steady = Steady(wire, int(stream.snapshot_bytes / READING_S * TURN_S))
        try:
            most = most_waiting(server, steady, stream.snapshot_bytes)
            assert time.monotonic() - began_s > 2 * STALLED_S, "it took longer than a stalled one may"
            # A timer that was left on the connection would run out now that nothing is to be taken.
            stays(server)
        finally:
            steady.stop()
        assert LIMIT_BYTES // 2 < most <= LIMIT_BYTES
        assert evses_told(wire) == STATIONS * EVSES


def evses_told(wire: Wire) -> int:
    """EVSEs, or connectors, of the snapshot."""
    if isinstance(wire, Events):
        while (event := wire.event()).kind != "snapshot":
            pass
        count = event.data.count(b'"evse":')
        while count < STATIONS * EVSES:
            count += wire.event().data.count(b'"evse":')
        return count
    while (told := wire.message())["type"] not in {"snapshot", "snapshot:init"}:
        pass
    if told["type"] == "snapshot:init":
        return sum(len(each["connectors"]) for each in told["data"])
    count = len(told["evses"])
    while told["part"] < told["parts"]:
        told = wire.message()
        count += len(told["evses"])
    return count


@pytest.mark.parametrize("name", STREAMS)
def test_who_stops_reading_in_the_middle_of_its_snapshot_is_cut(server: Serving, name: str) -> None:
    with opened(server, STREAMS[name]) as wire:
        most = 0
        ends_s = time.monotonic() + DEADLINE_S
        while not server.app.reader.stream.closed:
            assert time.monotonic() < ends_s
            most = max([most, *waiting_bytes(server)])
        assert server.app.reader.stream.closed == {"stalled": 1}
        assert LIMIT_BYTES // 2 < most <= LIMIT_BYTES
        assert wire.ended()


def test_those_who_wait_share_one_snapshot(server: Serving) -> None:
    stream = STREAMS["v2"]
    with opened(server, stream), opened(server, stream):

        def waiting() -> list[list[int]]:
            connections = server.app.reader.stream.connections
            queues = [each._queue for each in connections]
            return server.call(lambda: [[id(unit) for unit in queue._units or ()] for queue in queues])

        until(lambda: len(waiting()) == 2 and all(waiting()), "a snapshot waits for both")
        first, second = waiting()
        assert first[-1:] == second[-1:] != []
        server.call(server.app.reader.stream.abort)


# -- between messages, never inside one --------------------------------------------------------------------


@pytest.mark.parametrize("name", ["v2", "v2, deflated"])
def test_a_ping_is_answered_between_the_parts_of_a_snapshot(server: Serving, name: str) -> None:
    with opened(server, STREAMS[name]) as wire:
        wire.put(PING, b"are you there")
        kinds = []
        while (got := wire.frame()).opcode != PONG:
            assert got.opcode == TEXT
            kinds.append(got)
        assert got.payload == b"are you there"
        assert kinds, "the greeting came before"
        assert wire.frame().opcode == TEXT, "the snapshot goes on after it"


def test_a_ping_in_the_middle_of_a_long_message_is_answered_after_it(server: Serving) -> None:
    with opened(server, STREAMS["v1"]) as wire:
        wire.fill()
        wire.put(PING, b"are you there")
        assert wire.message()["type"] == "snapshot:init"
        assert wire.frame() == (PONG, b"are you there", True, False)


def test_a_server_that_stops_finishes_the_message_that_it_began(server: Serving) -> None:
    with opened(server, STREAMS["v2"]) as wire:
        until(lambda: waits(server), "it waits for the consumer")
        for each in server.call(lambda: list(server.app.reader.stream.connections)):
            server.call(each.shutdown)
        kinds = []
        while (got := wire.frame()).opcode == TEXT:
            kinds.append(got.payload[:20])
        assert got.code == 1001
        assert kinds[-1].startswith(b'{"type":"drain"')
        assert len(kinds) < 5, "parts that had not begun are left out"
        wire.put(8, got.payload[:2])
        assert wire.ended()


# -- a connection that was HTTP before ---------------------------------------------------------------------


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_begins_when_requests_before_it_are_answered_and_no_clock_of_theirs_ends_it(
    server: Serving, name: str
) -> None:
    long = request("/api/v1/rest/chargers", {**HOST, **server.bearer(), "Accept-Encoding": "identity"})
    with opened(server, STREAMS[name], GET, long, long, GET) as wire:
        assert evses_told(wire) == STATIONS * EVSES
        stays(server)


def test_reports_over_a_socket_begin_when_requests_before_them_are_answered(server: Serving) -> None:
    upgrade = request("/api/v2/reports/stream", {**UPGRADE, **server.bearer("alfa")})
    long = request("/api/v1/rest/chargers", {**HOST, **server.bearer(), "Accept-Encoding": "identity"})
    with Wire(server.port, deadline_s=DEADLINE_S, receive_bytes=SOCKET_BYTES) as wire:
        wire.is_published = False
        wire.send(long + GET + upgrade)
        assert [wire.answer()[0].status for _ in range(2)] == [200, 200]
        assert wire.upgraded().response.status == 101
        stays(server)
        wire.put(TEXT, b'[{"evse": "nowhere", "status": "CHARGING", "observed_at": %d}]' % now())
        assert wire.message()["refused"][0]["reason"] == "unknown_evse"


def test_a_client_that_closes_its_side_and_takes_nothing_is_cut(server: Serving) -> None:
    long = request("/api/v1/rest/chargers", {**HOST, **server.bearer(), "Accept-Encoding": "identity"})
    with Wire(server.port, receive_bytes=SOCKET_BYTES) as wire:
        wire.send(long)
        connections: set[Any] = server.app.listening.everybody.server_state.connections
        until(lambda: any(waiting(each) for each in connections), "something waits for the client")
        wire.socket.shutdown(socket.SHUT_WR)
        until(lambda: not connections, "it is cut")


def waiting(protocol: Any) -> int:
    transport = getattr(protocol, "transport", None)
    return 0 if transport is None else int(transport.get_write_buffer_size())
