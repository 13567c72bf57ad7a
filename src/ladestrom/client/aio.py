"""A follower of the NOBIL real-time stream, on asyncio; and what followers of all versions share.

Moves frames between a socket and `session.Session`, and waits; it decides nothing. What is decided
(whether to resume, how long to stay away, what is wrong) is in `session`.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from enum import StrEnum
from functools import partial
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import urlencode, urlsplit, urlunsplit

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.uri import parse_uri

from ladestrom.client.session import (
    FRAME_BYTES_MAX,
    Fault,
    Raw,
    Session,
    Skipped,
    Snapshot,
    Update,
    refusal,
)
from ladestrom.errors import BadRequest
from ladestrom.quoting import quoted

OPEN_TIMEOUT_S: Final = 10.0
PING_INTERVAL_S: Final = 20.0
"""A dead connection is noticed within two of these."""
CLOSE_TIMEOUT_S: Final = 2.0
FRAMES_QUEUED_MAX: Final = 64
"""Frames read ahead of the caller; above, the socket is not read, and the server conflates."""
PROBLEM_BYTES_MAX: Final = 16 * 1024
STREAM_PATH: Final = "/api/v1/stream"
WEBSOCKET_SCHEMES: Final[Mapping[str, str]] = {"http": "ws", "ws": "ws", "https": "wss", "wss": "wss"}
"""Of a server's address, and of its stream's."""

R = TypeVar("R")


class Opened(msgspec.Struct, frozen=True):
    """A connection stands."""

    since: str | None
    """The position from which the missed updates were asked for; None asked for a snapshot."""


class Received(msgspec.Struct, frozen=True):
    """A frame, and what it meant."""

    event: Snapshot | Update | Raw | Skipped
    frame: bytes


class Lost(msgspec.Struct, frozen=True):
    """The connection has gone, or could not be made; the next one is tried by itself."""

    why: str
    retry_in_s: float
    fault: StrEnum | None = None
    """What the server did wrong, where that was the reason."""


class Broken(msgspec.Struct, frozen=True):
    """What a message showed that no server may send; the connection is given up."""

    kind: StrEnum
    detail: str


class Gone(Exception):
    """A connection ended, or could not be made: `str` says why."""

    def __init__(self, why: str, retry_after_s: float = 0.0) -> None:
        super().__init__(why)
        self.retry_after_s = retry_after_s
        """What the server asked for."""


class Conversation(Protocol):
    """What both versions' sessions are to those who connect for them."""

    @property
    def since(self) -> str | None: ...

    def open(self) -> None: ...

    def lose(self, chance: float, *, lasted_s: float = 0.0, retry_after_s: float = 0.0) -> float: ...


class _Problem(msgspec.Struct):
    """RFC 9457, section 3."""

    title: str = ""
    detail: str = ""


async def follow(
    server: str,
    key: str | None,
    session: Session,
    *,
    selection: Mapping[str, str] | None = None,
    tls: ssl.SSLContext | None = None,
    chance: Callable[[], float] = random.random,
) -> AsyncGenerator[Opened | Received | Lost, None]:
    """Follows the stream for ever, over as many connections as it takes.

    Close it with `aclose` (`contextlib.aclosing`); the socket is then closed too.

    Args:
        server: `http://HOST[:PORT]`, with the path under which the API is served, if any.
        key: sent in the `Authorization` header; None for servers that ask for none.
        session: what was known before; it is carried on, and `session.board` is up to date at each event.
        selection: query parameters of the stream: `country`, `station`, `bbox`, `operator`, `types`.
        tls: whom to believe, and what certificate to show; the system's authorities where it is None.
        chance: random numbers in [0, 1) for the delays.

    Raises:
        BadRequest, Unauthenticated, NotAllowed, NotFound: the server will not serve this; coming back
            without changing something is no use.
    """

    async def understand(frame: bytes) -> Received | Broken:
        event = session.receive(frame)
        return Broken(event.kind, event.detail) if isinstance(event, Fault) else Received(event, frame)

    connection = partial(connected, server, key, session, selection or {}, tls)
    async with aclosing(persist(session, connection, understand, chance)) as events:
        async for event in events:
            yield event


Receive = Callable[[], Awaitable[bytes]]
"""Waits for the next message.

Raises:
    Gone: there will be none.
"""


@asynccontextmanager
async def connected(
    server: str,
    key: str | None,
    session: Conversation,
    selection: Mapping[str, str],
    tls: ssl.SSLContext | None,
) -> AsyncGenerator[Receive, None]:
    """A connection to the stream, from where a session stands; the arguments are those of `follow`."""
    query = dict(selection)
    if session.since is not None:
        query["since"] = session.since
    async with websocket(stream_address(server, query), key, FRAME_BYTES_MAX, tls) as socket:
        yield receiver(socket)


async def persist(
    session: Conversation,
    connection: Callable[[], AbstractAsyncContextManager[Receive]],
    understand: Callable[[bytes], Awaitable[R | Broken]],
    chance: Callable[[], float],
) -> AsyncGenerator[Opened | R | Lost, None]:
    """Has connections for a session, one after the other, for ever.

    Args:
        session: is told when one stands, and asked how long to stay away after each.
        connection: makes one; raises `Gone` where that fails.
        understand: finds out what a message means; no other one is read meanwhile.
        chance: random numbers in [0, 1) for the delays.
    """
    loop = asyncio.get_running_loop()
    while True:
        asked_s = 0.0
        opened_s: float | None = None
        fault: StrEnum | None = None
        since = session.since
        try:
            async with connection() as receive:
                session.open()
                opened_s = loop.time()
                yield Opened(since)
                while True:
                    told = await understand(await receive())
                    if isinstance(told, Broken):
                        fault, why = told.kind, f"{told.kind}: {told.detail}"
                        break
                    yield told
        except Gone as gone:
            why, asked_s = str(gone), gone.retry_after_s
        lasted_s = 0.0 if opened_s is None else loop.time() - opened_s
        wait_s = session.lose(chance(), lasted_s=lasted_s, retry_after_s=asked_s)
        yield Lost(why, wait_s, fault)
        await asyncio.sleep(wait_s)


class _Connect(connect):
    """A connection that follows redirects on its own host only: another one would be shown the key."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        """Implements `connect.process_redirect`."""
        before = self.ws_uri
        found = super().process_redirect(exc)
        if isinstance(found, Exception):
            return found
        after = parse_uri(found)
        is_upgrade = (before.secure, before.port, after.secure, after.port) == (False, 80, True, 443)
        if after.host == before.host and (after.port == before.port or is_upgrade):
            return found
        return InvalidURI(found, "it is on another host")


@asynccontextmanager
async def websocket(
    address: str,
    key: str | None,
    message_bytes_max: int,
    tls: ssl.SSLContext | None = None,
    *,
    at: str | None = None,
) -> AsyncGenerator[ClientConnection, None]:
    """A WebSocket that pings, and whose failures, in the body too, are `Gone` or errors for good.

    `at` is the network address to connect to, where the host was looked up already.

    Raises:
        Gone: it could not be made, or ended.
        BadRequest, Unauthenticated, NotAllowed, NotFound: coming back is no use.
    """
    found: dict[str, Any] = {} if at is None else {"host": at}
    try:
        async with _Connect(
            address,
            **found,
            additional_headers=authorization(key),
            open_timeout=OPEN_TIMEOUT_S,
            ping_interval=PING_INTERVAL_S,
            ping_timeout=PING_INTERVAL_S,
            close_timeout=CLOSE_TIMEOUT_S,
            max_size=message_bytes_max,
            max_queue=FRAMES_QUEUED_MAX,
            ssl=tls if tls is not None and address.startswith("wss:") else None,
        ) as socket:
            yield socket
    except InvalidStatus as error:
        response = error.response
        headers = response.headers
        raise refused(
            response.status_code,
            response.reason_phrase,
            bytes(response.body or b""),
            headers.get("Retry-After"),
        ) from error
    except ConnectionClosed as error:
        raise _closed(error) from error
    except InvalidURI as error:
        if error.uri != address:
            # Whoever answered leads to what is no stream: a page to log in at, for one. That passes.
            raise Gone(f"redirected to {error.uri}") from error
        raise BadRequest(str(error)) from error
    except (OSError, InvalidHandshake, TimeoutError) as error:
        raise Gone(str(error) or type(error).__name__) from error


def receiver(socket: ClientConnection) -> Receive:
    """Waits for a WebSocket's next message."""

    async def receive() -> bytes:
        return await socket.recv(decode=False)

    return receive


def authorization(key: str | None) -> dict[str, str]:
    """The header that shows a key; none where there is no key."""
    return {} if key is None else {"Authorization": f"Bearer {key}"}


def stream_address(server: str, query: Mapping[str, str], path: str = STREAM_PATH) -> str:
    """Address of a stream, by default that of version 1, on a server given as `http(s)://` or `ws(s)://`.

    Raises:
        BadRequest: it is no such address.
    """
    return address(server, path, query, WEBSOCKET_SCHEMES)


def address(server: str, path: str, query: Mapping[str, str], schemes: Mapping[str, str]) -> str:
    """Address of one of a server's resources.

    Args:
        server: with the path under which the API is served, if any.
        path: of the resource.
        query: its parameters.
        schemes: those that the server's address may have, and what they are in the resource's.

    Raises:
        BadRequest: the server's address is none.
    """
    try:
        parts = urlsplit(server)
    except ValueError as error:
        raise BadRequest(f"{quoted(server)} is not a server's address: {error}") from error
    scheme = schemes.get(parts.scheme)
    if scheme is None or not parts.netloc:
        raise BadRequest(f"{quoted(server)} is not a server's address; write http://HOST:PORT")
    return urlunsplit((scheme, parts.netloc, parts.path.rstrip("/") + path, urlencode(query, safe=",:"), ""))


def refused(status: int, phrase: str, body: bytes, retry_after: str | None) -> Exception:
    """What to raise for an answer that is none of a stream: an error for good, or `Gone`.

    Args:
        status: of the answer.
        phrase: its reason phrase.
        body: a problem document, where the server is one of ours.
        retry_after: the header of that name.
    """
    try:
        problem = msgspec.json.decode(body[:PROBLEM_BYTES_MAX], type=_Problem)
    except msgspec.DecodeError:
        problem = _Problem()
    detail = problem.detail or problem.title or f"{status} {phrase}"
    return refusal(status, detail) or Gone(detail, retry_after_s(retry_after))


def ended(code: int, reason: str) -> Exception:
    """What to raise for a connection that the server closed: an error for good, or `Gone`."""
    return refusal(code, reason) or Gone(f"closed with {code}" + (f" ({reason})" if reason else ""))


def _closed(error: ConnectionClosed) -> Exception:
    if error.rcvd is None:
        return Gone("the connection broke" if error.sent is None else f"closed by us: {error.sent}")
    return ended(error.rcvd.code, error.rcvd.reason)


def retry_after_s(header: str | None) -> float:
    """Seconds of a `Retry-After` header (RFC 9110, section 10.2.3); 0 for its date form or none."""
    return float(header) if header is not None and header.isascii() and header.isdigit() else 0.0
