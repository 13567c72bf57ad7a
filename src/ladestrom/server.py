"""uvicorn, started in code, with two protocol classes of ours.

HTTP: uvicorn's httptools class, which closes connections whose request headers do not arrive in time.
WebSocket: stream paths are served by `edges.websocket`; all others by uvicorn's own ASGI class.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, ClassVar

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ladestrom.edges.websocket import PATHS, StreamConnection, StreamEdge
from ladestrom.errors import InvalidSetting

WEBSOCKET_BYTES_MAX = 8 * 1024 * 1024
"""A report message: as much as a request's body."""
HEADER_BYTES_MAX = 64 * 1024
BACKLOG_CONNECTIONS = 4096


class HttpProtocol(HttpToolsProtocol):
    """One HTTP connection; `bound` makes the class for a server."""

    edge: ClassVar[StreamEdge]
    header_timeout_s: ClassVar[float]
    _deadline: asyncio.TimerHandle | None = None
    _header_bytes = 0

    @classmethod
    def bound(cls, edge: StreamEdge, header_timeout_s: float) -> type[HttpProtocol]:
        """The class with what its objects need, as uvicorn makes them itself."""
        return type("BoundHttpProtocol", (cls,), {"edge": edge, "header_timeout_s": header_timeout_s})

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts the clock of the first request's headers."""
        super().connection_made(transport)
        self._start_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops the clock."""
        self._stop_clock()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Starts the clock of the next request's headers."""
        super().on_message_begin()
        self._header_bytes = 0
        if self._deadline is None:
            self._start_clock()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Bounds the size of the headers."""
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > HEADER_BYTES_MAX:
            self.transport.abort()
            return
        super().on_header(name, value)

    def on_url(self, url: bytes) -> None:
        """Bounds the size of the request line."""
        super().on_url(url)
        if len(self.url) > HEADER_BYTES_MAX:
            self.transport.abort()

    def on_headers_complete(self) -> None:
        """The headers are there."""
        self._stop_clock()
        super().on_headers_complete()

    def handle_websocket_upgrade(self) -> None:
        """Hands stream paths to our class, others to uvicorn's."""
        self._stop_clock()
        if self.url.partition(b"?")[0].decode("latin-1") in PATHS:
            self.ws_protocol_class = partial(StreamConnection, self.edge)  # type: ignore[assignment]
        super().handle_websocket_upgrade()

    def _start_clock(self) -> None:
        self._deadline = self.loop.call_later(self.header_timeout_s, self._late)

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _late(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            self.transport.abort()


class Server(uvicorn.Server):
    """Tells when it listens; leaves signals to whoever runs it."""

    def __init__(self, config: uvicorn.Config, listening: Callable[[], None]) -> None:
        super().__init__(config)
        self._listening = listening

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """None: `app.until_signal` does."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts to listen."""
        await super().startup(sockets)
        if self.started:
            self._listening()


def listen(host: str, port: int) -> socket.socket:
    """A bound socket.

    Raises:
        InvalidSetting: the address cannot be had; says why and what to do.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise InvalidSetting(
            f"cannot listen on {host}:{port} ({error.strerror}); stop what uses it, or choose another --port"
        ) from error
    return listener


def make(
    app: Any,  # noqa: ANN401 - an ASGI application; uvicorn's own type is private
    edge: StreamEdge,
    *,
    header_timeout_s: float,
    keep_alive_s: int,
    drain_s: int,
    listening: Callable[[], None],
) -> Server:
    """The server for one application."""
    config = uvicorn.Config(
        app,
        http=HttpProtocol.bound(edge, header_timeout_s),
        ws="websockets-sansio",
        ws_max_size=WEBSOCKET_BYTES_MAX,
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_keep_alive=keep_alive_s,
        timeout_graceful_shutdown=drain_s,
        backlog=BACKLOG_CONNECTIONS,
        proxy_headers=False,
    )
    return Server(config, listening)
