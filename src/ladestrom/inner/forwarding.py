"""Passes on what this process does not answer itself: requests as ASGI, WebSockets as bytes.

Knows an inner address and HTTP. Must not know what is asked for, but for the paths that are answered here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, MutableMapping
from typing import Any, Final, cast

import structlog

from ladestrom import tasks
from ladestrom.edges.cors import Headers
from ladestrom.edges.documents import CUT
from ladestrom.edges.methods import Application, Receive, Send
from ladestrom.errors import LadestromError, NotFound, NotReady, Overloaded
from ladestrom.inner import CLIENT_HEADER, KEY_HEADER, PREFIX
from ladestrom.inner.client import BROKEN_OFF, Connection, Inner, head_of
from ladestrom.problem import MEDIA_TYPE, problem

logger = structlog.get_logger(__name__)

REQUESTS_MAX: Final = 2_000
"""Passed on at a time. Each is a connection between two processes, so a file in each."""
ANSWER_S_MAX: Final = 60.0
"""For a response to begin, once the request was sent: the writer takes seconds at most, unless it hangs."""
CLOSE_S_MAX: Final = 5.0
"""For what waits for one side of a WebSocket after the other has gone."""
NOT_PASSED_ON: Final = frozenset(
    {
        CLIENT_HEADER,
        KEY_HEADER,
        b"connection",
        b"expect",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""Of one connection, not of the request (RFC 9110, section 7.6.1), or ours to say."""
_OWN: Final = frozenset({b"connection", b"date", b"keep-alive", b"server", b"transfer-encoding"})
"""Headers of a response that this process's own server says, or that are of one connection."""


class Local:
    """Which paths are answered by this process."""

    def __init__(self, paths: Iterable[str], elsewhere: Collection[str] = ()) -> None:
        """`paths` as the framework writes them (`/api/v2/stations/{uuid:str}`), but those of `elsewhere`."""
        own = [path for path in paths if path not in elsewhere]
        self._whole = frozenset(path for path in own if "{" not in path)
        self._below = tuple({path.partition("{")[0] for path in own if "{" in path})
        self._elsewhere = frozenset(elsewhere)

    def __contains__(self, path: object) -> bool:
        return (
            path in self._whole
            or (path not in self._elsewhere and isinstance(path, str) and path.startswith(self._below))
            or (isinstance(path, str) and len(path) > 1 and path.rstrip("/") in self._whole)
        )


class Dispatch:
    """An ASGI application: what is local goes to one, all else to another."""

    def __init__(self, local: Local, here: Application, elsewhere: Application) -> None:
        self.elsewhere = elsewhere
        """Answers what is not local; a process that begins to write does so itself."""
        self._local = local
        self._here = here

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """The ASGI application."""
        is_local = scope["type"] != "http" or scope["path"] in self._local
        await (self._here if is_local else self.elsewhere)(scope, receive, send)


class Forwarding:
    """An ASGI application that has another process answer."""

    def __init__(
        self,
        inner: Inner,
        cors: Callable[[str, str | None], Headers],
        otherwise: Mapping[str, Application],
    ) -> None:
        """Passes on to one address.

        Args:
            inner: the address.
            cors: headers of an answer of ours, for a path and an origin.
            otherwise: by path, what answers while nobody is there.
        """
        self._inner = inner
        self._cors = cors
        self._otherwise = otherwise
        self._count = 0

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """The ASGI application."""
        if self._count >= REQUESTS_MAX:
            error: LadestromError = Overloaded(
                f"{REQUESTS_MAX} requests wait for the process that takes reports; try again in a second"
            )
            await self._refuse(scope, send, error)
            return
        self._count += 1
        exchange = _Exchange(self._inner, scope, receive, send)
        try:
            await exchange.run()
        except LadestromError as error:
            if not exchange.has_begun and scope["path"] in self._otherwise:
                await self._otherwise[scope["path"]](scope, receive, send)
            elif not exchange.has_begun:
                await self._refuse(scope, send, error)
            else:
                # What was said cannot be taken back; that it is not whole has to be seen.
                scope["extensions"][CUT]["cut"]()
        finally:
            self._count -= 1

    async def _refuse(self, scope: MutableMapping[str, Any], send: Send, error: LadestromError) -> None:
        body = problem(error)
        origin = dict(scope["headers"]).get(b"origin")
        headers = [
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", b"%d" % len(body)),
            (b"cache-control", b"no-store"),
            *self._cors(scope["path"], None if origin is None else origin.decode("latin-1")),
        ]
        if error.retry:
            headers.append((b"retry-after", b"%d" % error.retry_after_s))
        await send({"type": "http.response.start", "status": error.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class _Exchange:
    """One request that is passed on."""

    def __init__(self, inner: Inner, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        self.has_begun = False
        """Whether the client was told something."""
        self._inner = inner
        self._scope = scope
        self._receive = receive
        self._send = send
        self._is_sent = False

    async def run(self) -> None:
        """Passes the request on, and its response back.

        Raises:
            NotReady: nobody answers.
            NotFound: nothing of what is asked for is for clients.
        """
        scope = self._scope
        if scope["path"].startswith(PREFIX):
            raise NotFound("nothing is there")
        headers = [pair for pair in scope["headers"] if pair[0] not in NOT_PASSED_ON]
        has_body, is_chunked = _body_of(scope["headers"])
        if is_chunked:
            headers.append((b"transfer-encoding", b"chunked"))
        headers += [*self._inner.headers, client_header(scope.get("client"))]
        target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
        head = head_of(scope["method"].encode(), target, headers)
        connection = await self._inner.begin(head, is_head=scope["method"] == "HEAD")
        sending: asyncio.Task[None] | None = None
        try:
            if has_body:
                sending = tasks.start(
                    self._send_body(connection, is_chunked=is_chunked), "passing a body on", tasks.awaited
                )
                waits: set[asyncio.Future[Any]] = {sending, connection.head}
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                if sending.done():
                    await sending
            try:
                async with asyncio.timeout(ANSWER_S_MAX):
                    status, told = await asyncio.shield(connection.head)
            except TimeoutError:
                raise NotReady(BROKEN_OFF) from None
            await self._answer(connection, status, told)
        except BaseException:
            connection.abort()
            raise
        finally:
            if sending is not None and not sending.done():
                # It was answered before all of it was read: what is left is nobody's.
                sending.cancel()
                connection.abort()
        if has_body and not self._is_sent:
            connection.abort()
        else:
            self._inner.give_back(connection)

    async def _answer(self, connection: Connection, status: int, told: Any) -> None:  # noqa: ANN401 - headers
        headers = [pair for pair in told if pair[0] not in _OWN]
        self.has_begun = True
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        async for piece in connection.body():
            await self._send({"type": "http.response.body", "body": piece, "more_body": True})
        await self._send({"type": "http.response.body", "body": b""})

    async def _send_body(self, connection: Connection, *, is_chunked: bool) -> None:
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                # The client went: nobody is there for the answer, and what was sent is not all.
                connection.abort()
                return
            data = message.get("body", b"")
            if data:
                await connection.send(b"%x\r\n%s\r\n" % (len(data), data) if is_chunked else data)
            if not message.get("more_body", False):
                if is_chunked:
                    await connection.send(b"0\r\n\r\n")
                self._is_sent = True
                return


def _body_of(headers: Headers) -> tuple[bool, bool]:
    """Whether a request has a body, and whether that comes in chunks."""
    for name, value in headers:
        if name == b"transfer-encoding":
            return True, True
        if name == b"content-length" and value.strip() != b"0":
            return True, False
    return False, False


def client_header(client: tuple[str, int] | None) -> tuple[bytes, bytes]:
    """Names a client to the process that a request is passed on to."""
    return CLIENT_HEADER, (client[0] if client is not None else "").encode("latin-1")


class Splice(asyncio.Protocol):
    """A client's connection whose bytes go to another process, and the other's to it, from an upgrade on.

    Each side is read as fast as the other takes it. When one ends, so does the other.
    """

    def __init__(
        self,
        inner: Inner,
        head: bytes,
        connections: set[Any],
        refusal: Callable[[LadestromError], bytes],
    ) -> None:
        """Waits for its transport.

        Args:
            inner: where the other process is.
            head: of the request that it is to see.
            connections: those of the server, which tells each when it stops.
            refusal: the answer where nobody is there.
        """
        self.when_lost: Callable[[], None] | None = None
        """Is called once when the connection has ended."""
        self._inner = inner
        self._head = head
        self._connections = connections
        self._refusal = refusal
        self._transport: asyncio.Transport
        self._far: _Far | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._end: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Takes over from the HTTP protocol."""
        self._transport = cast("asyncio.Transport", transport)
        self._connections.add(self)

    def begin(self) -> None:
        """Connects, and sends the request."""
        self._transport.pause_reading()
        self._connecting = tasks.start(self._connect(), "connecting a WebSocket", lambda _: self.shutdown())

    async def _connect(self) -> None:
        try:
            far = await self._inner.connect(lambda: _Far(self))
        except NotReady as error:
            self._transport.write(self._refusal(error))
            self.close()
            return
        self._far = far
        far.transport.write(self._head)
        self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        if self._far is not None:
            self._far.transport.write(data)

    def eof_received(self) -> bool:
        if self._far is not None and self._far.transport.can_write_eof():
            self._far.transport.write_eof()
            return True
        return False

    def pause_writing(self) -> None:
        if self._far is not None:
            self._far.transport.pause_reading()

    def resume_writing(self) -> None:
        if self._far is not None and not self._far.transport.is_closing():
            self._far.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._connections.discard(self)
        if self._connecting is not None:
            self._connecting.cancel()
        if self._end is not None:
            self._end.cancel()
        if self._far is not None:
            self._far.near = None
            self._far.transport.close()
        if self.when_lost is not None:
            self.when_lost()

    def take(self, data: bytes) -> None:
        """What the other process says."""
        self._transport.write(data)

    def hold(self, *, is_full: bool) -> None:
        """The other process takes no more for now, or does again."""
        if not self._transport.is_closing():
            (self._transport.pause_reading if is_full else self._transport.resume_reading)()

    def close(self) -> None:
        """Nothing more comes; what waits still goes to the client, if it takes it in time."""
        if self._end is None and not self._transport.is_closing():
            self._end = asyncio.get_running_loop().call_later(CLOSE_S_MAX, self._transport.abort)
            self._transport.close()

    def shutdown(self) -> None:
        """The server stops."""
        self.close()


class _Far(asyncio.Protocol):
    """The other side of a splice."""

    def __init__(self, near: Splice) -> None:
        self.near: Splice | None = near
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self.near is not None:
            self.near.take(data)

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        if self.near is not None:
            self.near.hold(is_full=True)

    def resume_writing(self) -> None:
        if self.near is not None:
            self.near.hold(is_full=False)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self.near is not None:
            self.near.close()
