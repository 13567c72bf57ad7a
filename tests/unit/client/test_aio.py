"""The follower, against a real WebSocket server that does what a test tells it to."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

import pytest
from tests.patience import DEADLINE_S, come_true, scaled
from websockets.asyncio.server import ServerConnection

from ladestrom.client import aio
from ladestrom.client.aio import Lost, Opened, Received, follow, retry_after_s, stream_address
from ladestrom.client.session import Session, Snapshot, Update
from ladestrom.errors import BadRequest, NotAllowed, NotFound, Unauthenticated

if TYPE_CHECKING:
    from tests.unit.client.conftest import StreamServer


def snapshot(seq: int, *uuids: str) -> str:
    data = [{"uuid": uuid, "status": -1, "connectors": []} for uuid in uuids]
    return json.dumps({"type": "snapshot:init", "epoch": "e1", "seq": seq, "data": data})


def update(seq: int, uuid: str) -> str:
    data = {"uuid": uuid, "status": 1, "connectors": [{"status": 1, "error": 0, "timestamp": seq}]}
    return json.dumps({"type": "status:update", "epoch": "e1", "seq": seq, "data": data})


def sends(*frames: str, close: tuple[int, str] | None = None) -> Any:
    async def act(connection: ServerConnection) -> None:
        for frame in frames:
            await connection.send(frame)
        if close is not None:
            await connection.close(*close)
        else:
            await connection.wait_closed()

    return act


def following(
    server: StreamServer, session: Session, **options: Any
) -> AsyncGenerator[Opened | Received | Lost, None]:
    return follow(server.url, "the-key", session, chance=lambda: 0.0, **options)


async def take(
    events: AsyncGenerator[Opened | Received | Lost, None], count: int
) -> list[Opened | Received | Lost]:
    async with asyncio.timeout(DEADLINE_S):
        return [await anext(events) for _ in range(count)]


async def test_the_key_goes_into_the_header_and_never_into_the_address(stream_server: StreamServer) -> None:
    stream_server.script.append(sends(snapshot(1)))
    async with contextlib.aclosing(
        following(stream_server, Session(), selection={"country": "NOR", "station": "NOR_00001,NOR_00002"})
    ) as events:
        await take(events, 2)
    path, query, authorization = stream_server.requests[0]
    assert path == "/api/v1/stream"
    assert query == {"country": ["NOR"], "station": ["NOR_00001,NOR_00002"]}
    assert authorization == "Bearer the-key"


async def test_a_lost_connection_is_resumed_after_the_last_update(stream_server: StreamServer) -> None:
    stream_server.script += [
        sends(snapshot(1, "NOR_00001"), update(4, "NOR_00001"), close=(1012, "restart")),
        sends(update(6, "NOR_00002")),
    ]
    session = Session()
    async with contextlib.aclosing(following(stream_server, session)) as events:
        opened, first, second, lost, again, third = await take(events, 6)
    assert opened == Opened(None)
    assert isinstance(first, Received)
    assert isinstance(first.event, Snapshot)
    assert isinstance(second, Received)
    assert second.frame == update(4, "NOR_00001").encode()
    assert lost == Lost("closed with 1012 (restart)", 0.0)
    assert again == Opened("e1-4")
    assert isinstance(third, Received)
    assert isinstance(third.event, Update)
    assert [query.get("since") for _, query, _ in stream_server.requests] == [None, ["e1-4"]]
    assert set(session.board) == {"NOR_00001", "NOR_00002"}


async def test_after_a_fault_a_snapshot_is_asked_for(stream_server: StreamServer) -> None:
    stream_server.script += [sends(snapshot(5), update(5, "NOR_00001")), sends(snapshot(5, "NOR_00001"))]
    async with contextlib.aclosing(following(stream_server, Session())) as events:
        *_, lost, again, _ = await take(events, 5)
    assert isinstance(lost, Lost)
    assert lost.why.startswith("backwards")
    assert again == Opened(None)


async def test_a_broken_connection_is_resumed(stream_server: StreamServer) -> None:
    async def breaks(connection: ServerConnection) -> None:
        await connection.send(snapshot(3))
        connection.transport.abort()

    stream_server.script += [breaks, sends(update(4, "NOR_00001"))]
    async with contextlib.aclosing(following(stream_server, Session())) as events:
        _, _, lost, again, _ = await take(events, 5)
    assert isinstance(lost, Lost)
    assert again == Opened("e1-3")


async def test_a_server_that_is_not_there_yet_is_tried_again(unused_tcp_port: int) -> None:
    async with contextlib.aclosing(
        follow(f"http://127.0.0.1:{unused_tcp_port}", None, Session(), chance=lambda: 0.0)
    ) as events:
        first, second = await take(events, 2)
    assert isinstance(first, Lost)
    assert isinstance(second, Lost)


async def test_an_overloaded_server_is_left_alone_for_as_long_as_it_asks(stream_server: StreamServer) -> None:
    stream_server.script.append((503, {"Retry-After": "7"}, b'{"title":"Not ready","detail":"recovering"}'))
    async with contextlib.aclosing(following(stream_server, Session())) as events:
        assert await take(events, 1) == [Lost("recovering", 7.0)]


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, Unauthenticated), (403, NotAllowed), (400, BadRequest), (404, NotFound), (410, BadRequest)],
)
async def test_a_refused_upgrade_raises_what_the_server_says(
    stream_server: StreamServer, status: int, error: type[Exception]
) -> None:
    stream_server.script.append((status, {}, b'{"title":"No","detail":"the key is revoked"}'))
    with pytest.raises(error, match="the key is revoked"):
        await take(following(stream_server, Session()), 1)


@pytest.mark.parametrize(
    ("status", "headers", "body", "lost"),
    [
        (429, {"Retry-After": "3600"}, b'{"title":"Too many"}', Lost("Too many", 30.0)),
        (503, {}, b"<html>", Lost("503 Service Unavailable", 0.0)),
        (302, {}, b"", Lost("302 Found", 0.0)),
        (302, {"Location": "https://h/login"}, b"", Lost("redirected to https://h/login", 0.0)),
    ],
)
async def test_what_passes_is_waited_for_at_most_half_a_minute(
    status: int, headers: dict[str, str], body: bytes, lost: Lost, stream_server: StreamServer
) -> None:
    stream_server.script.append((status, headers, body))
    async with contextlib.aclosing(following(stream_server, Session())) as events:
        assert await take(events, 1) == [lost]


async def test_a_frame_that_is_too_large_ends_the_connection_and_not_the_follower(
    stream_server: StreamServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aio, "FRAME_BYTES_MAX", 300)
    stream_server.script += [sends(snapshot(1, *(f"NOR_{number:05d}" for number in range(20))))]
    stream_server.script += [sends(snapshot(2, "NOR_00001"))]
    async with contextlib.aclosing(following(stream_server, Session())) as events:
        _, lost, again, received = await take(events, 4)
    assert isinstance(lost, Lost)
    assert "1009" in lost.why
    assert again == Opened(None)
    assert isinstance(received, Received)


async def test_a_connection_on_which_pings_are_not_answered_is_given_up(
    stream_server: StreamServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aio, "PING_INTERVAL_S", scaled(1.0))
    monkeypatch.setattr(aio, "CLOSE_TIMEOUT_S", 0.1)

    seen = asyncio.Event()

    async def falls_silent(connection: ServerConnection) -> None:
        await connection.send(snapshot(3))
        connection.transport.pause_reading()
        await seen.wait()
        connection.transport.resume_reading()

    stream_server.script += [falls_silent, sends(update(4, "NOR_00001"))]
    async with contextlib.aclosing(following(stream_server, Session())) as events:
        _, _, lost, again, _ = await take(events, 5)
        seen.set()
    assert isinstance(lost, Lost)
    assert "ping timeout" in lost.why
    assert again == Opened("e1-3")


async def test_a_server_that_takes_a_connection_and_says_nothing_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(aio, "OPEN_TIMEOUT_S", 0.1)
    left = asyncio.Semaphore(0)

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()
        left.release()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, contextlib.aclosing(follow(url, None, Session(), chance=lambda: 0.0)) as events:
        first, second = await take(events, 2)
        async with asyncio.timeout(DEADLINE_S):
            await left.acquire()
            await left.acquire()
    assert isinstance(first, Lost)
    assert "timed out" in first.why
    assert isinstance(second, Lost)


@pytest.mark.parametrize(
    "said", [b"", b"HTTP/1.1 101 Swit", b"HTTP/1.1 200 OK\r\n\r\n", b"SSH-2.0-x\r\n\r\n"]
)
async def test_an_upgrade_that_is_cut_or_answered_by_something_else_is_tried_again(said: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, contextlib.aclosing(follow(url, None, Session(), chance=lambda: 0.0)) as events:
        assert [type(each) for each in await take(events, 2)] == [Lost, Lost]


async def test_a_close_for_good_raises(stream_server: StreamServer) -> None:
    stream_server.script.append(sends(snapshot(1), close=(4401, "the key is revoked")))
    with pytest.raises(Unauthenticated, match="the key is revoked"):
        await take(following(stream_server, Session()), 3)


async def test_closing_the_follower_closes_the_socket(stream_server: StreamServer) -> None:
    stream_server.script.append(sends(snapshot(1)))
    events = following(stream_server, Session())
    await take(events, 2)
    await events.aclose()
    await come_true(lambda: stream_server.closed > 0, "the socket is closed")


async def test_a_cancelled_follower_ends_at_once(stream_server: StreamServer) -> None:
    stream_server.script.append(sends(snapshot(1)))
    seen = asyncio.Event()

    async def consume() -> None:
        async with contextlib.aclosing(following(stream_server, Session())) as events:
            async for event in events:
                if isinstance(event, Received):
                    seen.set()

    task = asyncio.create_task(consume())
    async with asyncio.timeout(DEADLINE_S):
        await seen.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.mark.parametrize(
    ("server", "address"),
    [
        ("http://h:8383", "ws://h:8383/api/v1/stream"),
        ("https://h/ladestrom/", "wss://h/ladestrom/api/v1/stream"),
        ("ws://h", "ws://h/api/v1/stream"),
    ],
)
def test_the_stream_is_found_below_the_servers_address(server: str, address: str) -> None:
    assert stream_address(server, {}) == address


@pytest.mark.parametrize("server", ["", "localhost:8383", "ftp://h", "http://", "http://[::1"])
def test_what_is_no_address_is_refused(server: str) -> None:
    with pytest.raises(BadRequest):
        stream_address(server, {})


@pytest.mark.parametrize(
    ("header", "seconds"),
    [(None, 0.0), ("3", 3.0), ("", 0.0), ("-1", 0.0), ("Wed, 21 Oct 2026 07:28:00 GMT", 0.0)],
)
def test_retry_after_is_read_in_seconds(header: str | None, seconds: float) -> None:
    assert retry_after_s(header) == seconds
