"""Connections that trickle, stop, or are no HTTP at all; and answers that nobody takes."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from tests.e2e.serving import Serving, evse, station
from tests.e2e.wire import PING, PONG, TEXT, UPGRADE, Wire, frame, request
from tests.patience import DEADLINE_S, scaled, until

from ladestrom.edges import connection, websocket
from ladestrom.ingest import http_push
from ladestrom.server import http
from ladestrom.server import websocket as report_sockets

MIB: Final = 1024 * 1024
EACH: Final = 2
"""Connections of each kind at once: all of them within the shares of their key."""
MOMENT_S: Final = scaled(2)
"""Longer than it takes a client that is well to send what it has begun."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server that the tests of this file share."""
    with Serving(tmp_path_factory.mktemp("http")) as running:
        yield running


@pytest.fixture
def hasty(tmp_path: Path) -> Iterator[Serving]:
    """A server that waits for nobody longer than a moment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(websocket, "PARTIAL_S_MAX", MOMENT_S)
        patch.setattr(report_sockets, "FRAME_GRACE_S", MOMENT_S)
        patch.setattr(http_push, "BODY_GRACE_S", MOMENT_S)
        patch.setattr(connection, "CLOSE_S_MAX", MOMENT_S)
        with Serving(tmp_path, {"server.header_timeout_s": MOMENT_S}) as running:
            yield running


@pytest.fixture(autouse=True)
def unharmed(server: Serving) -> Iterator[None]:
    """After each test, the server still answers, and has not logged an error."""
    yield
    assert server.get("/livez", key=None).json() == {"status": "ok"}
    assert server.unexpected() == []


# -- too slow ----------------------------------------------------------------------------------------------


class Slow(NamedTuple):
    """How a connection is slow: bytes at once, bytes one by one, bytes at once after an upgrade."""

    begin: bytes = b""
    trickle: bytes = b""
    is_upgraded: bool = False
    after: bytes = b""


HOST: Final = {"Host": "127.0.0.1"}
GET: Final = request("/livez", HOST)


def slow_ones(server: Serving) -> dict[str, Slow]:
    """Every way to be slow."""
    alfa = {**HOST, **server.bearer("alfa")}
    stream = request("/api/v1/stream?types=update", {**UPGRADE, **server.bearer()})
    second = request("/api/v2/stream", {**UPGRADE, **server.bearer()})
    reports = request("/api/v2/reports/stream", {**UPGRADE, **server.bearer("alfa")})
    long = {"Content-Length": "1000000"}
    letters = b"a" * 1000
    partial = frame(TEXT, letters)
    return {
        "says nothing": Slow(),
        "request line": Slow(b"GET /livez?", letters),
        "headers": Slow(b"GET /livez HTTP/1.1\r\nHost: here\r\nX-Long: ", letters),
        "many headers": Slow(b"GET /livez HTTP/1.1\r\n", b"a: b\r\n" * 300),
        "headers that stop": Slow(b"GET /livez HTTP/1.1\r\nHost: here\r\n"),
        "blank lines": Slow(b"", b"\r\n" * 500),
        "blank lines after an answer": Slow(GET, b"\r\n" * 500),
        "headers after an answer": Slow(GET, GET[:-2] + b"X-Long: " + letters),
        "a body nobody asked for": Slow(request("/livez", {**HOST, **long}), letters),
        "a body nobody asked for, that stops": Slow(request("/livez", {**HOST, **long}) + b"a"),
        "a body that is not read": Slow(request("/api/v2/reports", {**HOST, **long}, "POST"), letters),
        "reports": Slow(request("/api/v2/reports", {**alfa, **long}, "POST"), letters),
        "reports that stop": Slow(request("/api/v2/reports", {**alfa, **long}, "POST") + b"["),
        "reports that do not begin": Slow(request("/api/v2/reports", {**alfa, **long}, "POST")),
        "reports in chunks": Slow(
            request("/api/v2/reports", {**alfa, "Transfer-Encoding": "chunked"}, "POST"), b"1\r\n \r\n" * 200
        ),
        "a trailer": Slow(
            request("/api/v2/reports", {**alfa, "Transfer-Encoding": "chunked"}, "POST") + b"0\r\nX-Long: ",
            letters,
        ),
        "an upgrade": Slow(stream[:-2] + b"X-Long: ", letters),
        "a frame": Slow(stream, partial, is_upgraded=True),
        "a frame that stops": Slow(stream, is_upgraded=True, after=partial[:100]),
        "a frame's head": Slow(stream, is_upgraded=True, after=partial[:2]),
        "a message in pieces": Slow(stream, is_upgraded=True, after=frame(TEXT, b"a", fin=False)),
        "a frame, version 2": Slow(second, partial, is_upgraded=True),
        "a frame of reports": Slow(reports, partial, is_upgraded=True),
        "a frame's head, of reports": Slow(reports, is_upgraded=True, after=partial[:2]),
        "reports in pieces": Slow(reports, is_upgraded=True, after=frame(TEXT, b"[", fin=False)),
    }


def test_whoever_is_slow_is_cut_whatever_it_is_that_does_not_come(hasty: Serving) -> None:
    server = hasty
    opened: dict[socket.socket, tuple[str, Iterator[int]]] = {}
    with ExitStack() as stack:
        for _ in range(EACH):
            for name, slow in slow_ones(server).items():
                wire = stack.enter_context(Wire(server.port))
                if slow.begin:
                    wire.send(slow.begin)
                if slow.is_upgraded:
                    assert wire.head().status == 101
                    wire.send(slow.after)
                opened[wire.socket] = name, iter(slow.trickle)
        kept = stack.enter_context(server.stream())
        kept.message()
        assert trickle(opened, server) == []
        kept.put(PING, b"still here")
        while (got := kept.frame()).opcode != PONG:
            assert got.opcode == PING
        assert got.payload == b"still here"


def trickle(opened: dict[socket.socket, tuple[str, Iterator[int]]], server: Serving) -> list[str]:
    """Sends byte after byte on all of them; names those that are still open in the end."""
    alive = set(opened)
    ends_s = time.monotonic() + DEADLINE_S
    while alive and time.monotonic() < ends_s:
        assert server.get("/livez", key=None).status_code == 200, "others are served meanwhile"
        readable, _, _ = select.select(list(alive), [], [], 0.1)
        alive -= {each for each in readable if has_ended(each)}
        for each in list(alive):
            byte = next(opened[each][1], None)
            if byte is None:
                continue
            try:
                each.send(bytes([byte]))
            except ConnectionError:
                alive.discard(each)
    return sorted({opened[each][0] for each in alive})


def has_ended(each: socket.socket) -> bool:
    try:
        return not each.recv(65_536)
    except ConnectionError:
        return True


def test_who_is_slow_but_comes_in_time_is_served(server: Serving) -> None:
    with Wire(server.port) as wire:
        for _ in range(3):
            for part in (GET[:10], GET[10:30], GET[30:]):
                wire.send(part)
                time.sleep(0.1)
            assert wire.answer()[0].status == 200


def test_an_idle_connection_is_closed_after_its_time(tmp_path: Path) -> None:
    with Serving(tmp_path, {"server.keep_alive_s": 1}) as server, Wire(server.port) as wire:
        wire.send(GET)
        assert wire.answer()[0].status == 200
        assert wire.ended()


def test_an_idle_connection_may_be_silent_for_longer_than_one_that_has_asked_for_nothing(
    tmp_path: Path,
) -> None:
    settings = {"server.keep_alive_s": 3_600, "server.header_timeout_s": scaled(1)}
    with Serving(tmp_path, settings) as server, Wire(server.port) as idle:
        idle.send(GET)
        assert idle.answer()[0].status == 200
        with Wire(server.port) as silent:
            assert silent.ended()
        idle.send(GET)
        assert idle.answer()[0].status == 200


def test_an_answer_that_nobody_takes_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "RESPONSE_STALLED_S_MAX", 1)
    stations = [
        station(f"NOR_{n:05d}", "NOR", (10.0, 60.0), [evse(f"NO*ALF*E{n}", party="NOALF")])
        for n in range(1, 1001)
    ]
    with Serving(tmp_path, stations=stations) as server, Wire(server.port, receive_bytes=4096) as wire:
        asked = request("/api/v1/rest/chargers", {**HOST, **server.bearer(), "Accept-Encoding": "identity"})
        wire.send(asked * 200)
        assert server.app.listening.everybody is not None
        connections: set[Any] = server.app.listening.everybody.server_state.connections
        until(lambda: any(each.flow.write_paused for each in connections), "it waits for the client")
        until(lambda: not connections, "it gives up")


# -- no HTTP -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64), 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"\x00" * 64, 400),
        (b"GET\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\n\r\n", 400),
        (b"GET /caf\xe9 HTTP/1.1\r\nHost: here\r\n\r\n", 400),
        (b"GET /livez HTTP/1.1\r\nHost : here\r\n\r\n", 400),
        (b"GET /livez HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET /livez HTTP/1.1\r\nHost: here\r\nHost: there\r\n\r\n", 400),
        (b"CONNECT here:443 HTTP/1.1\r\nHost: here\r\n\r\n", 400),
        (b"POST /api/v2/reports HTTP/1.1\r\nHost: here\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"GET /livez HTTP/1.1\r\nHost: here\r\nX-Long: " + b"a" * 70_000 + b"\r\n\r\n", 431),
        (b"GET /livez HTTP/1.1\r\n" + b"a: b\r\n" * 15_000 + b"\r\n", 431),
        (b"GET /livez?" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: here\r\n\r\n", 431),
        (b"GET http://elsewhere.example/livez HTTP/1.1\r\nHost: here\r\n\r\n", 200),
        (b"GET /../../etc/passwd HTTP/1.1\r\nHost: here\r\n\r\n", 404),
        (b"GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: here\r\n\r\n", 404),
        (b"GET /%ff%00 HTTP/1.1\r\nHost: here\r\n\r\n", 404),
        (b"GET /livez HTTP/1.0\r\n\r\n", 200),
        (b"GET /livez HTTP/1.1\r\nHost: here\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n", 200),
        (b"BREW /livez HTTP/1.1\r\nHost: here\r\n\r\n", 400),
        (b"PROPFIND /livez HTTP/1.1\r\nHost: here\r\n\r\n", 405),
        (b"TRACE /livez HTTP/1.1\r\nHost: here\r\n\r\n", 405),
        (b"TRACE /api/v2/reports HTTP/1.1\r\nHost: here\r\n\r\n", 405),
        (b"TRACE /docs HTTP/1.1\r\nHost: here\r\n\r\n", 405),
    ],
)
def test_what_is_no_request_is_answered_and_nothing_breaks(server: Serving, sent: bytes, status: int) -> None:
    with Wire(server.port) as wire:
        wire.send(sent)
        head, _ = wire.answer()
        assert head.status == status
        if status >= 400:
            assert head.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/rest/chargers",
        "/api/v1/stream",
        "/api/v2/events",
        "/api/v2/reports",
        "/api/v2/reports/stream",
        "/api/v2/stream",
        "/api/oicp/evsepush/v23/operators/NO*ALF/status-records",
        "/auth/token",
        "/dynamique/status/",
        "/ocpi",
        "/ocpi/versions",
        "/ocpi/2.2.1",
        "/ocpi/2.2.1/credentials",
        "/ocpi/2.2.1/locations/NO/ALF/L1",
        "/ocpp/x",
        "/push/datex2",
        "/push/irve",
    ],
)
def test_a_method_that_no_path_has_is_refused_before_a_key_is_asked_for(server: Serving, path: str) -> None:
    with Wire(server.port) as wire:
        wire.send(f"TRACE {path} HTTP/1.1\r\nHost: here\r\n\r\n".encode())
        head, _ = wire.answer()
        allowed = {each.strip() for each in head.headers.get("allow", "").split(",")}
        assert (head.status, allowed - {""} != set(), "TRACE" in allowed) == (405, True, False)


@pytest.mark.parametrize(
    "begun",
    [
        b"GET /livez",
        b"GET /livez HTTP/1.1\r\nX-Long: ",
        b"GET /livez HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Long: ",
        b"POST /api/v2/reports HTTP/1.1\r\nX-Api-Key: KEY\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Long: ",
    ],
)
def test_what_has_no_end_is_refused_long_before_it_could_fill_the_memory(
    server: Serving, begun: bytes
) -> None:
    with Wire(server.port) as wire:
        wire.send(begun.replace(b"KEY", server.keys["alfa"].encode()))
        sent = 0
        wire.socket.setblocking(False)
        while sent < 64 * MIB:
            readable, writable, _ = select.select([wire.socket], [wire.socket], [], 5)
            if readable and b" 431 " in wire.socket.recv(1000, socket.MSG_PEEK):
                break
            if writable:
                sent += wire.socket.send(b"a" * 8192)
        assert sent < 8 * MIB, "what the buffers between us hold"
        wire.socket.settimeout(DEADLINE_S)
        while (status := wire.answer()[0].status) == 200:
            pass
        assert status == 431


def test_requests_in_a_row_are_answered_in_order(server: Serving) -> None:
    paths = ["/livez", "/nope", "/readyz", "/api/v1/rest/chargers", "/livez"] * 20
    with Wire(server.port) as wire:
        wire.send(b"".join(request(path, HOST) for path in paths))
        statuses = [wire.answer()[0].status for _ in paths]
    assert statuses == [200, 404, 200, 401, 200] * 20


def test_what_follows_a_refused_request_is_not_taken_for_another(server: Serving) -> None:
    with Wire(server.port) as wire:
        wire.send(b"GET /livez HTTP/1.1\r\nbroken\r\n\r\n" + GET)
        assert wire.problem()["status"] == 400
        assert wire.ended()
        assert wire.buffer == b""
