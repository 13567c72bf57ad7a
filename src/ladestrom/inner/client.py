"""HTTP/1.1 to an inner address: requests whose bodies are streamed both ways, and bare connections.

Knows one address, `unix:/path` or `http://host:port`. Must not know what is asked for.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final, TypeVar, cast
from urllib.parse import urlsplit

import httptools

from ladestrom.errors import NotReady
from ladestrom.inner import KEY_HEADER

CONNECT_S_MAX: Final = 2.0
"""On one machine a connection takes microseconds, in one network milliseconds."""
THERE_S_MAX: Final = 120.0
"""For a writer that starts: a million EVSEs take 35 s."""
AGAIN_S: Final = 0.05
IDLE_CONNECTIONS_MAX: Final = 64
"""Kept for the next requests. One connection answers some hundred reports a second."""
BUFFER_BYTES_MAX: Final = 256 * 1024
"""Of a response, not yet taken: beyond this nothing more is read."""
NO_WRITER: Final = "the process that takes reports is not running; send the request again in a few seconds"
BROKEN_OFF: Final = (
    "the process that takes reports ended before it answered; send the request again in a few seconds, which "
    "does no harm where it was taken"
)

Headers = Sequence[tuple[bytes, bytes]]
P = TypeVar("P", bound=asyncio.BaseProtocol)


class Inner:
    """One inner address, and connections to it that wait for the next request."""

    def __init__(self, url: str, key: str = "") -> None:
        """`key` is shown where the address is no Unix socket."""
        self.url = url
        self.headers: Headers = [(KEY_HEADER, key.encode())] if key else []
        """Of every request of ours."""
        self._idle: list[Connection] = []

    async def connect(self, make: Callable[[], P]) -> P:
        """A bare connection with a protocol of the caller's.

        Raises:
            NotReady: nobody listens there.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_S_MAX):
                if self.url.startswith("unix:"):
                    _, made = await loop.create_unix_connection(make, self.url.removeprefix("unix:"))
                else:
                    parts = urlsplit(self.url)
                    is_secure = parts.scheme == "https"
                    port = parts.port or (443 if is_secure else 80)
                    _, made = await loop.create_connection(
                        make, parts.hostname or "", port, ssl=is_secure or None
                    )
        except (OSError, TimeoutError) as error:
            raise NotReady(NO_WRITER) from error
        return made

    async def begin(self, head: bytes, *, is_head: bool = False) -> Connection:
        """Sends the head of a request; the caller sends the body, reads the response, and gives back.

        Raises:
            NotReady: nobody listens there.
        """
        connection: Connection | None = None
        while self._idle and connection is None:
            waiting = self._idle.pop()
            connection = waiting if waiting.is_reusable else None
        if connection is None:
            connection = await self.connect(Connection)
        connection.ask(head, is_head=is_head)
        return connection

    def give_back(self, connection: Connection) -> None:
        """The caller is done with it: it serves the next request where that is possible."""
        if connection.is_reusable and len(self._idle) < IDLE_CONNECTIONS_MAX:
            self._idle = [each for each in self._idle if each.is_reusable]
            self._idle.append(connection)
        else:
            connection.abort()

    async def exchange(
        self, method: str, target: str, body: bytes = b"", headers: Headers = (), bytes_max: int = 1024 * 1024
    ) -> tuple[int, bytes]:
        """A small request and its whole response: status and body.

        Raises:
            NotReady: nobody listens there, or it ended meanwhile.
        """
        lines = [*self.headers, *headers, (b"host", b"inner"), (b"content-length", b"%d" % len(body))]
        connection = await self.begin(head_of(method.encode(), target.encode(), lines) + body)
        try:
            status, _ = await connection.head
            found = bytearray()
            async for piece in connection.body():
                found += piece
                if len(found) > bytes_max:
                    connection.abort()
        except BaseException:
            connection.abort()
            raise
        self.give_back(connection)
        return status, bytes(found)

    def close(self) -> None:
        """Ends what waits."""
        for connection in self._idle:
            connection.abort()
        self._idle.clear()


async def there(url: str) -> None:
    """Returns once somebody listens at an inner address.

    Raises:
        NotReady: nobody did for `THERE_S_MAX`.
    """
    inner = Inner(url)
    ends_s = time.monotonic() + THERE_S_MAX
    while True:
        try:
            connection = await inner.connect(Connection)
        except NotReady:
            if time.monotonic() > ends_s:
                raise
            await asyncio.sleep(AGAIN_S)
        else:
            connection.abort()
            return


def head_of(method: bytes, target: bytes, headers: Headers) -> bytes:
    """The head of a request."""
    lines = b"".join(b"%s: %s\r\n" % pair for pair in headers)
    return b"%s %s HTTP/1.1\r\n%s\r\n" % (method, target, lines)


class Connection(asyncio.Protocol):
    """One connection: a request at a time."""

    def __init__(self) -> None:
        self.head: asyncio.Future[tuple[int, Headers]]
        """Status and headers of the response. `NotReady` where the connection ends before."""
        self._transport: asyncio.Transport
        self._parser: httptools.HttpResponseParser
        self._headers: list[tuple[bytes, bytes]] = []
        self._pieces: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._is_head = False
        self._is_complete = True
        self._keeps = True
        self._is_lost = False
        self._is_asked = False
        self._arrived = asyncio.Event()
        self._may_write = asyncio.Event()
        self._may_write.set()

    # -- the request -------------------------------------------------------------------------------------

    def ask(self, head: bytes, *, is_head: bool = False) -> None:
        """Begins a request; with `is_head`, its response has no body whatever its headers say."""
        self.head = asyncio.get_running_loop().create_future()
        # A caller that went away does not look.
        self.head.add_done_callback(lambda future: future.cancelled() or future.exception())
        self._parser = httptools.HttpResponseParser(self)
        self._headers, self._is_head, self._is_complete, self._is_asked = [], is_head, False, True
        self._arrived.clear()
        if self._is_lost:
            self._fail()
        else:
            self._transport.write(head)

    async def send(self, data: bytes) -> None:
        """Sends a piece of the body; returns when the other side takes more."""
        if not self._is_lost:
            self._transport.write(data)
            await self._may_write.wait()

    # -- the response ------------------------------------------------------------------------------------

    async def body(self) -> AsyncIterator[bytes]:
        """The body of the response as it comes.

        Raises:
            NotReady: the connection ended before the body did.
        """
        while True:
            while self._pieces:
                piece = self._pieces.popleft()
                self._waiting_bytes -= len(piece)
                if self._waiting_bytes <= BUFFER_BYTES_MAX and not self._is_lost:
                    self._transport.resume_reading()
                yield piece
            if self._is_complete:
                return
            if self._is_lost:
                raise NotReady(BROKEN_OFF)
            self._arrived.clear()
            await self._arrived.wait()

    @property
    def is_reusable(self) -> bool:
        """Whether another request may follow."""
        return self._is_complete and self._keeps and not self._is_lost and not self._pieces

    def abort(self) -> None:
        """Ends the connection, whatever is under way."""
        if not self._is_lost:
            self._transport.abort()

    # -- asyncio.Protocol and the parser's callbacks -----------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        try:
            if self._is_asked:
                self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.abort()
        else:
            self._arrived.set()
            if self._waiting_bytes > BUFFER_BYTES_MAX:
                self._transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._is_lost = True
        self._may_write.set()
        self._fail()

    def _fail(self) -> None:
        if self._is_asked and not self.head.done():
            self.head.set_exception(NotReady(BROKEN_OFF))
        self._arrived.set()

    def pause_writing(self) -> None:
        self._may_write.clear()

    def resume_writing(self) -> None:
        self._may_write.set()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self._keeps = self._parser.should_keep_alive() and not self._is_head
        if not self.head.done():
            self.head.set_result((self._parser.get_status_code(), self._headers))
        if self._is_head:
            self._is_complete = True

    def on_body(self, body: bytes) -> None:
        if not self._is_head:
            self._pieces.append(body)
            self._waiting_bytes += len(body)

    def on_message_complete(self) -> None:
        self._is_complete = True
