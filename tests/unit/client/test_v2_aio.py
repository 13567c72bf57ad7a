"""The follower of version 2, against real servers that do what a test tells them to."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.digests import digest
from tests.patience import DEADLINE_S, come_true, scaled
from websockets.asyncio.server import ServerConnection

from ladestrom.client import v2_aio
from ladestrom.client.aio import Lost, Opened
from ladestrom.client.v2_aio import Received, Transport, V2Follower
from ladestrom.client.v2_events import Changed, Confirmed, FaultKind, Greeted, Selected, Synced
from ladestrom.client.v2_session import Mode, V2Session
from ladestrom.errors import BadRequest, NotAllowed, NotFound, TooManyRequests, Unauthenticated

if TYPE_CHECKING:
    from tests.unit.client.conftest import StreamServer

AT: Final = "2026-11-22T10:00:00.000Z"

Events = AsyncGenerator[Opened | Received | Lost, None]


# -- what servers say --------------------------------------------------------------------------------------


def hello(heartbeat_s: float = 20) -> str:
    limits = {"heartbeat_s": heartbeat_s}
    return json.dumps({"type": "hello", "server": "s", "limits": limits, "licence": "", "attribution": ""})


def row(evse: str, status: str) -> dict[str, object]:
    return {"station": "NOR_00001", "evse": evse, "status": status, "error": 0, "changed_at": AT}


def snapshot(seq: int, *rows: Mapping[str, object]) -> str:
    whole = {"type": "snapshot", "epoch": "e1", "seq": seq, "part": 1, "parts": 1, "evses": rows}
    return json.dumps(whole)


def changes(prev: int, seq: int, *rows: Mapping[str, object]) -> str:
    return json.dumps({"type": "changes", "epoch": "e1", "prev": prev, "seq": seq, "changes": rows})


def heartbeat(seq: int, *rows: Mapping[str, Any]) -> str:
    said = digest((each["evse"], each["status"], each["error"], each["changed_at"]) for each in rows)
    beat = {"type": "heartbeat", "epoch": "e1", "prev": seq, "seq": seq, "count": len(rows), "digest": said}
    return json.dumps(beat)


FREE: Final = row("NO*A*E1", "AVAILABLE")
BUSY: Final = row("NO*A*E1", "CHARGING")


# -- servers -----------------------------------------------------------------------------------------------


class Answer:
    """One answer to a request for events: what is said, and what follows."""

    def __init__(
        self,
        *messages: str,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        then: Callable[[asyncio.StreamWriter], Awaitable[None]] | None = None,
        stays: bool = False,
    ) -> None:
        self.status = status
        self.headers = {"Content-Type": "text/event-stream", **(headers or {})}
        self.body = b"".join(b"data: %s\n\n" % each.encode() for each in messages) if body is None else body
        self.then = then
        self.stays = stays


class EventServer:
    """An HTTP server on loopback: each request gets the next answer of the script, then none ends."""

    def __init__(self) -> None:
        self.url = ""
        self.script: deque[Answer | None] = deque()
        """None says nothing at all."""
        self.requests: list[tuple[str, dict[str, list[str]], dict[str, str]]] = []
        """Path, query and headers (names in lower case) of each request."""
        self.left = 0
        """Connections that their consumers ended."""

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            parts = urlsplit(head[0].split(" ")[1])
            headers = dict(line.split(": ", 1) for line in head[1:] if line)
            known = {name.lower(): value for name, value in headers.items()}
            self.requests.append((parts.path, parse_qs(parts.query), known))
            answer = self.script.popleft() if self.script else Answer(hello(), stays=True)
            if answer is not None:
                lines = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}", "Connection: close"]
                lines += [f"{name}: {value}" for name, value in answer.headers.items()]
                writer.write("\r\n".join([*lines, "", ""]).encode() + answer.body)
                if answer.then is not None:
                    await answer.then(writer)
            if answer is None or answer.stays:
                await reader.read()
                self.left += 1
        except (ConnectionError, asyncio.IncompleteReadError):
            self.left += 1
        finally:
            writer.close()


@pytest.fixture
async def event_server() -> AsyncIterator[EventServer]:
    fake = EventServer()
    server = await asyncio.start_server(fake.handle, "127.0.0.1", 0)
    fake.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield fake
    server.close()
    await server.wait_closed()


def sends(*messages: str, close: tuple[int, str] | None = None) -> Any:
    """A WebSocket server's part: says this, and ends or waits for the consumer's end."""

    async def act(connection: ServerConnection) -> None:
        for message in messages:
            await connection.send(message)
        if close is not None:
            await connection.close(*close)
        else:
            await connection.wait_closed()

    return act


def follower(server: StreamServer | EventServer, session: V2Session, **options: Any) -> V2Follower:
    transport = Transport.EVENTS if isinstance(server, EventServer) else Transport.WEBSOCKET
    return V2Follower(server.url, "the-key", session, transport=transport, chance=lambda: 0.0, **options)


async def take(events: Events, count: int) -> list[Opened | Received | Lost]:
    async with asyncio.timeout(DEADLINE_S):
        return [await anext(events) for _ in range(count)]


async def first(events: Events, kind: type) -> Any:
    """The next event that is or brings one of this kind."""
    async with asyncio.timeout(DEADLINE_S):
        async for event in events:
            inner = event.event if isinstance(event, Received) else event
            if isinstance(inner, kind):
                return inner
    raise AssertionError("the follower ended")


# -- both transports: what is asked for, and coming back -----------------------------------------------------


async def test_a_websocket_asks_for_its_selection_and_mode_and_resumes_with_since(
    stream_server: StreamServer,
) -> None:
    stream_server.script += [
        sends(hello(), snapshot(3, FREE), changes(3, 5, BUSY), close=(1012, "restart")),
        sends(hello(), heartbeat(5, BUSY)),
    ]
    session = V2Session({"country": "NOR", "status": " "}, mode=Mode.EVERY, batch_ms=0)
    async with contextlib.aclosing(follower(stream_server, session).events()) as events:
        opened, greeted, synced, changed, lost, again, _, confirmed = await take(events, 8)
    assert opened == Opened(None)
    kinds = [type(each.event) for each in (greeted, synced, changed, confirmed) if isinstance(each, Received)]
    assert kinds == [Greeted, Synced, Changed, Confirmed]
    assert lost == Lost("closed with 1012 (restart)", 0.0)
    assert again == Opened("e1-5")
    asked = {"country": ["NOR"], "mode": ["every"], "batch_ms": ["0"]}
    assert stream_server.requests == [
        ("/api/v2/stream", asked, "Bearer the-key"),
        ("/api/v2/stream", {**asked, "since": ["e1-5"]}, "Bearer the-key"),
    ]


async def test_events_are_asked_for_with_a_last_event_id_and_the_key_in_the_header(
    event_server: EventServer,
) -> None:
    event_server.script += [
        Answer(hello(), snapshot(3, FREE), changes(3, 5, BUSY)),
        Answer(hello(), heartbeat(5, BUSY), stays=True),
    ]
    session = V2Session({"station": "NOR_00001,NOR_00002"})
    async with contextlib.aclosing(follower(event_server, session).events()) as events:
        *_, lost, again, _, confirmed = await take(events, 8)
    assert lost == Lost("the stream ended", 0.0)
    assert again == Opened("e1-5")
    assert isinstance(confirmed, Received)
    assert confirmed.message.decode() == heartbeat(5, BUSY)
    (path, query, headers), (_, _, later) = event_server.requests
    assert path == "/api/v2/events"
    assert query == {"station": ["NOR_00001,NOR_00002"], "mode": ["latest"]}
    assert headers["authorization"] == "Bearer the-key"
    assert "last-event-id" not in headers
    assert later["last-event-id"] == "e1-5"


async def test_after_a_fault_a_snapshot_is_asked_for(event_server: EventServer) -> None:
    event_server.script.append(Answer(hello(), snapshot(3, FREE), changes(4, 5, BUSY), stays=True))
    async with contextlib.aclosing(follower(event_server, V2Session()).events()) as events:
        *_, lost, again = await take(events, 5)
    assert isinstance(lost, Lost)
    assert lost.fault is FaultKind.GAP
    assert again == Opened(None)
    await come_true(lambda: event_server.left == 2)
    assert "last-event-id" not in event_server.requests[1][2]


async def test_a_server_that_is_not_there_yet_is_tried_again(unused_tcp_port: int) -> None:
    for transport in Transport:
        tried = V2Follower(
            f"http://127.0.0.1:{unused_tcp_port}", None, V2Session(), transport=transport, chance=lambda: 0.0
        )
        async with contextlib.aclosing(tried.events()) as events:
            assert [type(each) for each in await take(events, 2)] == [Lost, Lost]


async def test_closing_the_follower_ends_its_connection(
    stream_server: StreamServer, event_server: EventServer
) -> None:
    stream_server.script.append(sends(hello()))
    for server in (stream_server, event_server):
        async with contextlib.aclosing(follower(server, V2Session()).events()) as events:
            await take(events, 2)
    await come_true(lambda: stream_server.closed == 1 and event_server.left == 1)


# -- refusals ------------------------------------------------------------------------------------------------

FOR_GOOD: Final = [
    (400, BadRequest),
    (401, Unauthenticated),
    (403, NotAllowed),
    (404, NotFound),
    (410, BadRequest),
]
PROBLEM: Final = b'{"title":"No","detail":"the key is revoked"}'


@pytest.mark.parametrize(("status", "error"), FOR_GOOD)
async def test_what_is_refused_for_good_is_raised_with_what_the_server_says(
    status: int, error: type[Exception], stream_server: StreamServer, event_server: EventServer
) -> None:
    stream_server.script.append((status, {}, PROBLEM))
    event_server.script.append(Answer(status=status, body=PROBLEM))
    for server in (stream_server, event_server):
        with pytest.raises(error, match="the key is revoked"):
            await take(follower(server, V2Session()).events(), 1)
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("status", "asked", "wait_s"), [(429, "7", 7.0), (503, "3", 3.0), (503, "3600", 30.0)]
)
async def test_an_overloaded_server_is_left_alone_for_as_long_as_it_asks_within_reason(
    status: int, asked: str, wait_s: float, stream_server: StreamServer, event_server: EventServer
) -> None:
    stream_server.script.append((status, {"Retry-After": asked}, PROBLEM))
    event_server.script.append(Answer(status=status, headers={"Retry-After": asked}, body=PROBLEM))
    for server in (stream_server, event_server):
        async with contextlib.aclosing(follower(server, V2Session()).events()) as events:
            assert await take(events, 1) == [Lost("the key is revoked", wait_s)]


async def test_an_answer_of_somebody_else_is_tried_again(event_server: EventServer) -> None:
    event_server.script += [
        Answer(status=502, body=b"<html>" + b"x" * 100_000),
        Answer(status=302, headers={"Location": "/login"}, body=b""),
        Answer(status=200, headers={"Content-Type": "text/html"}, body=b"<html>"),
        Answer(hello(), stays=True),
    ]
    async with contextlib.aclosing(follower(event_server, V2Session()).events()) as events:
        lost = [each for each in await take(events, 6) if isinstance(each, Lost)]
    assert [each.why.split(",")[0] for each in lost] == [
        "502 Bad Gateway",
        "302 Found",
        "Expected response with content type 'text/event-stream'",
    ]


@pytest.mark.parametrize(("code", "error"), [(4400, BadRequest), (4401, Unauthenticated), (4403, NotAllowed)])
async def test_a_close_for_good_is_raised(
    code: int, error: type[Exception], stream_server: StreamServer, event_server: EventServer
) -> None:
    last = json.dumps({"type": "close", "code": code, "reason": "the key is revoked"})
    stream_server.script.append(sends(hello(), close=(code, "the key is revoked")))
    event_server.script.append(Answer(hello(), last))
    for server in (stream_server, event_server):
        with pytest.raises(error, match="the key is revoked"):
            await take(follower(server, V2Session()).events(), 3)


@pytest.mark.parametrize(
    ("code", "reason"), [(4108, "slow"), (4129, "too many"), (1001, "stopping"), (1012, "")]
)
async def test_after_any_other_close_it_comes_back_to_where_it_stood(
    code: int, reason: str, stream_server: StreamServer, event_server: EventServer
) -> None:
    last = json.dumps({"type": "close", "code": code, "reason": reason})
    stream_server.script.append(sends(hello(), snapshot(3, FREE), close=(code, reason)))
    event_server.script.append(Answer(hello(), snapshot(3, FREE), last))
    why = f"closed with {code}" + (f" ({reason})" if reason else "")
    for server in (stream_server, event_server):
        async with contextlib.aclosing(follower(server, V2Session()).events()) as events:
            *_, lost, again = await take(events, 5)
        assert lost == Lost(why, 0.0)
        assert again == Opened("e1-3")


async def test_a_server_that_leaves_is_left_alone_for_as_long_as_it_said(
    stream_server: StreamServer, event_server: EventServer
) -> None:
    drain = json.dumps({"type": "drain", "retry_after_ms": 1_500})
    last = json.dumps({"type": "close", "code": 1001, "reason": ""})
    stream_server.script.append(sends(hello(), snapshot(3, FREE), drain, close=(1001, "")))
    event_server.script.append(Answer(hello(), snapshot(3, FREE), drain, last))
    for server in (stream_server, event_server):
        async with contextlib.aclosing(follower(server, V2Session()).events()) as events:
            *_, lost = await take(events, 5)
        assert lost == Lost("closed with 1001", 1.5)


# -- what breaks ---------------------------------------------------------------------------------------------


async def test_a_message_that_is_too_large_ends_the_connection_and_not_the_follower(
    stream_server: StreamServer, event_server: EventServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(v2_aio, "MESSAGE_BYTES_MAX", 1_000)
    large = snapshot(3, *(row(f"NO*A*E{number}", "AVAILABLE") for number in range(20)))
    stream_server.script += [sends(hello(), large), sends(hello(), snapshot(4, FREE))]
    event_server.script += [
        Answer(hello(), large, stays=True),
        Answer(hello(), snapshot(4, FREE), stays=True),
    ]
    for server, why in ((stream_server, "1009"), (event_server, "exceeded the 1000 byte limit")):
        async with contextlib.aclosing(follower(server, V2Session()).events()) as events:
            _, _, lost, again, _, synced = await take(events, 6)
        assert isinstance(lost, Lost)
        assert why in lost.why
        assert again == Opened(None)
        assert isinstance(synced, Received)


async def test_an_event_that_is_cut_is_not_taken_and_comes_again(event_server: EventServer) -> None:
    async def breaks(writer: asyncio.StreamWriter) -> None:
        await writer.drain()
        writer.transport.abort()

    half = b"data: %s\n\ndata: %s\n" % (snapshot(3, FREE).encode(), changes(3, 4, BUSY).encode())
    event_server.script += [
        Answer(body=half),
        Answer(body=b"data: %s" % changes(3, 4, BUSY).encode()[:30], then=breaks),
        Answer(body=b"", then=breaks),
        Answer(changes(3, 4, BUSY), stays=True),
    ]
    async with contextlib.aclosing(follower(event_server, V2Session()).events()) as events:
        changed = await first(events, Changed)
    assert [str(each.status) for each in changed.rows] == ["CHARGING"]
    resumed = [headers.get("last-event-id") for _, _, headers in event_server.requests]
    assert resumed == [None, "e1-3", "e1-3", "e1-3"]


async def test_events_without_data_are_none(event_server: EventServer) -> None:
    body = b": there\n\nretry: 1000\n\nid: e1-1\n\ndata: %s\n\n" % hello().encode()
    event_server.script.append(Answer(body=body, stays=True))
    async with contextlib.aclosing(follower(event_server, V2Session()).events()) as events:
        opened, greeted = await take(events, 2)
    assert opened == Opened(None)
    assert isinstance(greeted, Received)
    assert isinstance(greeted.event, Greeted)


async def test_a_server_that_takes_a_request_and_says_nothing_is_given_up(
    stream_server: StreamServer, event_server: EventServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(v2_aio, "OPEN_TIMEOUT_S", scaled(1.0))
    event_server.script += [None, Answer(status=401, body=b"", headers={"Content-Length": "9"}, stays=True)]
    async with contextlib.aclosing(follower(event_server, V2Session()).events()) as events:
        lost = await take(events, 2)
        assert lost == [Lost(f"no answer within {scaled(1)} s", 0.0)] * 2
        assert isinstance((await take(events, 1))[0], Opened)
    await come_true(lambda: event_server.left == 3)


async def test_a_stream_of_events_that_falls_silent_is_given_up_after_three_heartbeats(
    event_server: EventServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(v2_aio, "OPEN_TIMEOUT_S", scaled(1.0))
    event_server.script.append(Answer(hello(heartbeat_s=scaled(0.4)), snapshot(3, FREE), stays=True))
    async with contextlib.aclosing(follower(event_server, V2Session()).events()) as events:
        await take(events, 3)
        lost, again = await take(events, 2)
    assert lost == Lost(f"silent for {scaled(1.2):g} s", 0.0)
    assert again == Opened("e1-3")


# -- another selection ---------------------------------------------------------------------------------------


def selected(seq: int, *rows: Mapping[str, object]) -> tuple[str, str]:
    return json.dumps({"type": "selected", "epoch": "e1", "seq": seq}), snapshot(seq, *rows)


async def test_a_selection_on_a_websocket_holds_when_the_server_says_so(stream_server: StreamServer) -> None:
    heard: list[str] = []

    async def act(connection: ServerConnection) -> None:
        await connection.send(hello())
        await connection.send(snapshot(3, FREE))
        heard.append(str(await connection.recv()))
        for message in selected(4, BUSY):
            await connection.send(message)
        await connection.wait_closed()

    stream_server.script.append(act)
    session = V2Session({"country": "NOR"})
    following = follower(stream_server, session)
    async with contextlib.aclosing(following.events()) as events:
        await first(events, Synced)
        await following.select({"country": "SWE"})
        assert session.selection == {"country": "NOR"}
        await first(events, Selected)
        assert session.selection == {"country": "SWE"}
        await first(events, Synced)
    assert [json.loads(each) for each in heard] == [{"type": "select", "country": "SWE"}]


async def test_selections_made_while_a_websocket_opens_are_sent_in_their_order(
    stream_server: StreamServer,
) -> None:
    heard: list[str] = []

    async def act(connection: ServerConnection) -> None:
        await connection.send(hello())
        for _ in range(2):
            heard.append(json.loads(await connection.recv())["country"])
            for message in selected(4, BUSY):
                await connection.send(message)
        await connection.wait_closed()

    stream_server.script.append(act)
    session = V2Session()
    following = follower(stream_server, session)
    async with contextlib.aclosing(following.events()) as events:
        opening = asyncio.ensure_future(anext(events))
        # One turn of the loop: the request is made, and cannot have been answered.
        await asyncio.sleep(0)
        await following.select({"country": "SWE"})
        await following.select({"country": "DAN"})
        assert await opening == Opened(None)
        for country in ("SWE", "DAN"):
            assert (await first(events, Selected)).selection == {"country": country}
    assert heard == ["SWE", "DAN"]
    assert stream_server.requests[0][1] == {"mode": ["latest"]}


async def test_a_selection_made_between_connections_is_asked_for_by_the_next_one(
    stream_server: StreamServer, event_server: EventServer
) -> None:
    stream_server.script.append(sends(hello(), snapshot(3, FREE), close=(1012, "")))
    event_server.script.append(Answer(hello(), snapshot(3, FREE)))
    for server in (stream_server, event_server):
        following = follower(server, V2Session({"country": "NOR"}))
        async with contextlib.aclosing(following.events()) as events:
            await first(events, Lost)
            await following.select({"country": "SWE"})
            assert (await take(events, 1)) == [Opened(None)]
        asked = [query.get("country") for _, query, _ in server.requests]
        assert asked == [["NOR"], ["SWE"]]
        assert following.session.selection == {"country": "SWE"}


async def test_a_selection_gives_a_stream_of_events_up_and_the_next_one_asks_for_it(
    event_server: EventServer,
) -> None:
    event_server.script.append(Answer(hello(), snapshot(3, FREE), stays=True))
    following = follower(event_server, V2Session({"country": "NOR"}))
    async with contextlib.aclosing(following.events()) as events:
        await first(events, Synced)
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0.01)
        # More of them come while the first one ends the connection.
        for country in ("SWE", "DAN", "FIN"):
            await following.select({"country": country})
            await asyncio.sleep(0)
        assert await waiting == Lost("another selection", 0.0)
        assert await take(events, 1) == [Opened(None)]
    assert [query.get("country") for _, query, _ in event_server.requests] == [["NOR"], ["FIN"]]


async def test_a_selection_between_two_events_gives_the_stream_up_too(event_server: EventServer) -> None:
    event_server.script.append(Answer(hello(), snapshot(3, FREE), changes(3, 4, BUSY), stays=True))
    following = follower(event_server, V2Session())
    async with contextlib.aclosing(following.events()) as events:
        await first(events, Synced)
        await following.select({"country": "SWE"})
        assert await take(events, 2) == [Lost("another selection", 0.0), Opened(None)]


async def test_what_cannot_be_selected_is_refused_at_once(stream_server: StreamServer) -> None:
    following = follower(stream_server, V2Session())
    with pytest.raises(BadRequest, match='"colour" is no filter'):
        await following.select({"colour": "red"})
    for _ in range(100):
        await following.select({"country": "SWE"})
    with pytest.raises(TooManyRequests):
        await following.select({"country": "SWE"})


@pytest.mark.parametrize("server", ["", "localhost:8383", "ftp://h", "http://", "http://[::1", "ws://h"])
async def test_what_is_no_address_of_a_server_is_refused(server: str) -> None:
    transports = [Transport.EVENTS] if server == "ws://h" else list(Transport)
    for transport in transports:
        with pytest.raises(BadRequest):
            await take(V2Follower(server, None, V2Session(), transport=transport).events(), 1)
