"""What our HTTP server adds for reports: how responses go out, and that it is known when a body has arrived."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

from tests.patience import DEADLINE_S

from ladestrom.credentials import ClientAddresses
from ladestrom.ingest.http_push import ARRIVED
from ladestrom.roles.listening import Posts
from ladestrom.server.assembly import listen, make
from ladestrom.server.http import _Outlet
from ladestrom.transports.serving import Route

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"


class Wire:
    """Stands for the connection of one response, and keeps what was written, call by call."""

    def __init__(self, method: str = "POST") -> None:
        self.written: list[bytes] = []
        self.cycle = Mock(response_started=False, scope={"method": method})
        protocol: Any = SimpleNamespace(
            has_ended=False,
            loop=asyncio.get_running_loop(),
            transport=SimpleNamespace(write=self.written.append),
            end=lambda: self.written.append(b"(end)"),
        )
        cycle: Any = self.cycle
        self.outlet = _Outlet(protocol, cycle)

    def begin(self) -> None:
        """The response begins, as uvicorn does it."""
        self.cycle.response_started = True
        self.outlet.write(HEAD)


async def test_a_head_goes_out_with_its_body_in_one_write() -> None:
    wire = Wire()
    wire.begin()
    assert wire.written == []
    wire.outlet.write(b"first")
    wire.outlet.write(b"second")
    await asyncio.sleep(0)
    assert wire.written == [HEAD + b"first", b"second"]


async def test_a_head_whose_body_is_late_does_not_wait_for_it() -> None:
    wire = Wire()
    wire.begin()
    await asyncio.sleep(0)
    assert wire.written == [HEAD]
    wire.outlet.write(b"late")
    assert wire.written == [HEAD, b"late"]


async def test_a_head_that_nothing_follows_goes_out_at_once() -> None:
    wire = Wire("HEAD")
    wire.begin()
    assert wire.written == [HEAD]


async def test_what_asks_for_the_body_goes_out_at_once() -> None:
    wire = Wire()
    wire.outlet.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    wire.begin()
    wire.outlet.write(b"")
    assert wire.written == [b"HTTP/1.1 100 Continue\r\n\r\n", HEAD]


async def test_a_response_that_is_broken_off_is_told_before_the_end() -> None:
    wire = Wire()
    wire.begin()
    wire.outlet.close()
    await asyncio.sleep(0)
    assert wire.written == [HEAD, b"(end)"]


async def test_only_posts_to_paths_that_take_them_pass_by_the_framework() -> None:
    called: list[tuple[str, str]] = []

    def application(name: str) -> Any:
        async def called_with(scope: Any, receive: Any, send: Any) -> None:
            called.append((name, scope.get("method", "")))

        return called_with

    routes = [
        Route("/reports", application("reports"), exact=True, takes_posts=True),
        Route("/others", application("others")),
    ]
    posts, unused = Posts(application("framework"), routes), application("nobody")
    for kind, method, path in (
        ("http", "POST", "/reports"),
        ("http", "GET", "/reports"),
        ("http", "POST", "/reports/"),
        ("http", "POST", "/others"),
        ("websocket", "", "/reports"),
    ):
        scope = {"type": kind, "path": path} | ({"method": method} if method else {})
        await posts(scope, unused, unused)
    assert called == [
        ("reports", "POST"),
        ("framework", "GET"),
        ("framework", "POST"),
        ("framework", "POST"),
        ("framework", ""),
    ]


async def test_the_application_knows_whether_the_whole_body_has_arrived() -> None:
    told: list[bool] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        told.append(ARRIVED in scope.get("extensions", ()))
        message = await receive()
        while message["more_body"]:
            message = await receive()
        told.append(ARRIVED in scope.get("extensions", ()))
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    listener, listening = listen("127.0.0.1", 0), asyncio.Event()
    edge = Mock(addresses=ClientAddresses(()), sockets={}, events={})
    server = make(
        application,
        edge,
        connections_per_address_max=1,
        header_timeout_s=DEADLINE_S,
        keep_alive_s=5,
        drain_s=5,
        ping_s=DEADLINE_S,
        listening=listening.set,
    )
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await listening.wait()
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.getsockname()[1])
        head = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\n"
        writer.write(head + b"body")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 204")
        writer.write(head + b"bo")
        while len(told) < 3:
            await asyncio.sleep(0)
        writer.write(b"dy")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 204")
        writer.close()
    finally:
        server.should_exit = True
        await serving
    assert told == [True, True, False, True]
