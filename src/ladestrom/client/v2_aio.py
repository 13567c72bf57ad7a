"""A follower of version 2 of the stream, on asyncio, over WebSocket or as server-sent events.

Moves messages between a connection and `v2_session.V2Session`, and waits; it decides nothing.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from enum import StrEnum
from functools import partial
from typing import Final

import httpx2
import msgspec
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from ladestrom.client.aio import (
    OPEN_TIMEOUT_S,
    PROBLEM_BYTES_MAX,
    Broken,
    Gone,
    Lost,
    Opened,
    Receive,
    address,
    authorization,
    ended,
    persist,
    receiver,
    refused,
    stream_address,
    websocket,
)
from ladestrom.client.v2_events import Ended, Event, Fault
from ladestrom.client.v2_session import V2Session
from ladestrom.errors import BadRequest

STREAM_PATH: Final = "/api/v2/stream"
EVENTS_PATH: Final = "/api/v2/events"
EVENTS_SCHEMES: Final[Mapping[str, str]] = {"http": "http", "https": "https"}
MESSAGE_BYTES_MAX: Final = 1024 * 1024
"""A server says in `hello` how large its messages are: some 200 KiB. One of a MiB is folded in some 15 ms."""
SILENT_HEARTBEATS_MAX: Final = 3
"""Heartbeats that may be missing before a stream of events is taken for dead; a WebSocket has its pings."""


class Transport(StrEnum):
    """What carries the stream."""

    WEBSOCKET = "websocket"
    EVENTS = "events"
    """Server-sent events, over plain HTTP."""


class Received(msgspec.Struct, frozen=True):
    """A message, and what it meant."""

    event: Event
    message: bytes


class V2Follower:
    """Follows the stream for ever, over as many connections as it takes.

        follower = V2Follower("https://HOST", key, V2Session({"country": "NOR"}))
        async with contextlib.aclosing(follower.events()) as events:
            async for event in events: ...

    `session.board` is up to date at each event.
    """

    def __init__(
        self,
        server: str,
        key: str | None,
        session: V2Session,
        *,
        transport: Transport = Transport.WEBSOCKET,
        tls: ssl.SSLContext | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Nothing runs before `events`.

        Args:
            server: `http://HOST[:PORT]`, with the path under which the API is served, if any.
            key: sent in the `Authorization` header; None for servers that ask for none.
            session: what was known before; it is carried on.
            transport: what carries the stream.
            tls: whom to believe, and what certificate to show; the system's authorities where it is None.
            chance: random numbers in [0, 1) for the delays.
        """
        self.session = session
        self._server = server
        self._key = key
        self._transport = transport
        self._tls = tls
        self._chance = chance
        self._socket: ClientConnection | None = None
        self._unsent: list[bytes] = []
        self._has_selected = False
        self._patience: asyncio.Timeout | None = None

    async def events(self) -> AsyncGenerator[Opened | Received | Lost, None]:
        """What happens, as it does. One at a time may run.

        Close it with `aclose` (`contextlib.aclosing`); the connection is then closed too.

        Raises:
            BadRequest, Unauthenticated, NotAllowed, NotFound: the server will not serve this; coming back
                without changing something is no use.
        """
        connection = self._websocket if self._transport is Transport.WEBSOCKET else self._events
        async with aclosing(persist(self.session, connection, self._understand, self._chance)) as told:
            async for event in told:
                yield event

    async def select(self, selection: Mapping[str, str]) -> None:
        """Asks for another selection; `Selected` and a snapshot say from when on it holds.

        A stream of events takes no messages: it is given up, and the next one asks for the selection.

        Raises:
            BadRequest: a filter does not exist.
            TooManyRequests: too many changes wait for their answer.
        """
        message = self.session.select(selection)
        if self._transport is Transport.EVENTS:
            self._has_selected = True
            # One that is up already gives the stream up by itself.
            if self._patience is not None and not self._patience.expired():
                self._patience.reschedule(asyncio.get_running_loop().time())
        elif self._socket is None or self._unsent:
            # Behind those that wait: answers come in the order in which they were asked for.
            self._unsent.append(message)
        else:
            # A connection that has gone is followed by one that asks for the selection.
            with suppress(ConnectionClosed):
                await self._socket.send(message, text=True)

    async def _understand(self, message: bytes) -> Received | Broken:
        event = self.session.receive(message)
        match event:
            case Fault():
                return Broken(event.kind, event.detail)
            case Ended():
                raise ended(event.code, event.reason)
        return Received(event, message)

    @asynccontextmanager
    async def _websocket(self) -> AsyncGenerator[Receive, None]:
        since = self.session.since
        query = self.session.ask()
        self._unsent.clear()
        if since is not None:
            query["since"] = since
        at = stream_address(self._server, query, STREAM_PATH)
        async with websocket(at, self._key, MESSAGE_BYTES_MAX, self._tls) as socket:
            self._socket = socket
            try:
                # What was selected while the connection was made.
                while self._unsent:
                    await socket.send(self._unsent[0], text=True)
                    del self._unsent[0]
                yield receiver(socket)
            finally:
                self._socket = None

    @asynccontextmanager
    async def _events(self) -> AsyncGenerator[Receive, None]:
        since = self.session.since
        query = self.session.ask()
        self._has_selected = False
        headers = authorization(self._key)
        if since is not None:
            headers["Last-Event-ID"] = since
        at = address(self._server, EVENTS_PATH, query, EVENTS_SCHEMES)
        timeout = httpx2.Timeout(OPEN_TIMEOUT_S, read=None)
        try:
            async with AsyncExitStack() as stack:
                # To the end of the answer's head, or of a refusal: how long events may keep one waiting is
                # known only then.
                async with asyncio.timeout(OPEN_TIMEOUT_S):
                    client = await stack.enter_async_context(
                        httpx2.AsyncClient(timeout=timeout, verify=self._tls or True)
                    )
                    source = await stack.enter_async_context(
                        client.sse(at, headers=headers, max_event_size=MESSAGE_BYTES_MAX)
                    )
                    await _check(source.response)
                yield partial(self._next_event, aiter(source))
        except TimeoutError as error:
            raise Gone(f"no answer within {OPEN_TIMEOUT_S:g} s") from error
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
            raise BadRequest(str(error)) from error
        except (httpx2.HTTPError, httpx2.StreamError, OSError) as error:
            raise Gone(str(error) or type(error).__name__) from error

    async def _next_event(self, source: AsyncIterator[httpx2.ServerSentEvent]) -> bytes:
        silence_s = max(OPEN_TIMEOUT_S, self.session.heartbeat_s * SILENT_HEARTBEATS_MAX)
        try:
            if self._has_selected:
                raise Gone("another selection")
            async with asyncio.timeout(silence_s) as self._patience:
                event = await anext(source)
                while not event.data:
                    # Such as one that only sets `retry`: WHATWG HTML, section 9.2.6, dispatches none of them.
                    event = await anext(source)
        except StopAsyncIteration:
            raise Gone("the stream ended") from None
        except TimeoutError:
            raise Gone("another selection" if self._has_selected else f"silent for {silence_s:g} s") from None
        finally:
            self._patience = None
        return event.data.encode()


async def _check(response: httpx2.Response) -> None:
    if response.status_code == httpx2.codes.OK:
        return
    body = bytearray()
    async for part in response.aiter_bytes():
        body += part
        if len(body) > PROBLEM_BYTES_MAX:
            break
    raise refused(
        response.status_code, response.reason_phrase, bytes(body), response.headers.get("Retry-After")
    )
