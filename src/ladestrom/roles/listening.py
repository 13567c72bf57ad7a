"""The HTTP servers of a process: the one for everybody, and the port of the metrics where one is set."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Callable, MutableMapping, Sequence
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog
from litestar import Litestar, Response, asgi
from litestar.config.compression import CompressionConfig
from litestar.types import ControllerRouterHandler

from ladestrom import housekeeping, tasks
from ladestrom.config.address import ADDRESS_FILE, addresses, listening, url_of
from ladestrom.edges import operations
from ladestrom.edges.answers import COMPRESSED, AnyRequest, on_error
from ladestrom.edges.connection import StreamEdge
from ladestrom.edges.methods import Application, CrossOrigin, Methods, Receive, Send
from ladestrom.errors import InvalidSetting, NotReady
from ladestrom.inner.client import Inner
from ladestrom.roles import limits
from ladestrom.roles.context import Context
from ladestrom.server import assembly
from ladestrom.transports.serving import Route

logger = structlog.get_logger(__name__)

LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


def web(
    ingest: Sequence[Route],
    handlers: Sequence[ControllerRouterHandler],
    missing: Callable[[AnyRequest], Response[Any] | None] = lambda _: None,
) -> Litestar:
    """All that is no stream.

    Args:
        ingest: where operators send to.
        handlers: all else.
        missing: what people are shown where nothing is; None for programs, which are told the error.
    """

    def refused(request: AnyRequest, error: Exception) -> Response[Any]:
        answer = on_error(request, error)
        is_missing = answer.status_code == HTTPStatus.NOT_FOUND
        return (missing(request) if is_missing else None) or answer

    return Litestar(
        [*map(_handler, ingest), *handlers],
        exception_handlers={Exception: refused},
        compression_config=CompressionConfig(
            "gzip",
            minimum_size=1024,
            gzip_compress_level=4,
            exclude=[f"^{re.escape(route.path)}" for route in ingest if not route.compressed],
            exclude_opt_key=COMPRESSED,
        ),
        openapi_config=None,
        logging_config=None,
    )


def around(app: Litestar, ingest: Sequence[Route], stream: StreamEdge) -> Application:
    """All that is no stream, with what is the same for every path.

    Args:
        app: what answers.
        ingest: where operators send to.
        stream: knows who may read from other origins.
    """
    complete = CrossOrigin(Methods(app, stream), stream)
    return Posts(complete, ingest) if ingest else complete


def _handler(route: Route) -> ControllerRouterHandler:
    @asgi(route.path, is_mount=not route.exact, copy_scope=False)
    async def handler(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - Litestar's form
        await route.application(scope, receive, send)

    return handler


class Posts:
    """An ASGI application around another one: POST to some paths goes straight to what takes it there.

    The way through the framework would be a fifth of what one report costs, and nothing on it concerns these.
    """

    def __init__(self, app: Application, ingest: Sequence[Route]) -> None:
        self._app = app
        self._takers = {route.path: route.application for route in ingest if route.takes_posts}

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """The ASGI application."""
        is_post = scope["type"] == "http" and scope["method"] == "POST"
        await (self._takers.get(scope["path"], self._app) if is_post else self._app)(scope, receive, send)


class Listening:
    """Those of one process."""

    def __init__(self, context: Context, died: Callable[[Exception], None]) -> None:
        """Nothing listens yet; `died` ends the process when one of them ends by a defect of ours."""
        self.url = ""
        self.metrics_url = ""
        """Where metrics need no key; empty where they always do."""
        self._context = context
        self._died = died
        self._servers: list[tuple[assembly.Server, asyncio.Task[Exception | None]]] = []

    @property
    def serves(self) -> bool:
        """Whether somebody can connect."""
        return bool(self._servers)

    async def begin(
        self,
        app: Application,
        stream: StreamEdge,
        ping_s: float,
        *,
        listener: socket.socket | None = None,
        inner: Inner | None = None,
    ) -> None:
        """Returns when everybody can connect.

        Args:
            app: all that is no stream.
            stream: the streams.
            ping_s: how often WebSockets of `app` have to be pinged at least.
            listener: what is bound to the address already, where it is.
            inner: where WebSockets are served that are no streams, where another process does.

        Raises:
            InvalidSetting: the address cannot be had, or is not loopback while no key exists.
        """
        settings = self._context.settings
        host, port = settings.server.host, settings.server.port
        if host not in LOOPBACK and not len(self._context.door.keyring):
            raise InvalidSetting(
                f"server.host is {host}, but no key exists yet: create one with "
                "`ladestrom keys create` first, or listen on 127.0.0.1"
            )
        listener = listener or assembly.listen(host, port)
        port = listener.getsockname()[1]
        self.url = listening(settings.server, port)
        await self._serve(listener, self._making(app, stream, ping_s, inner=inner))

    async def begin_inside(self, app: Application, stream: StreamEdge, ping_s: float, path: Path) -> None:
        """Returns when other processes of this server can connect.

        Args:
            app: all that is no stream.
            stream: the streams.
            ping_s: how often WebSockets of `app` have to be pinged at least.
            path: of the Unix socket.

        Raises:
            InvalidSetting: the address cannot be had.
        """
        await self._serve(assembly.listen_inside(path), self._making(app, stream, ping_s, is_inner=True))

    def _making(
        self,
        app: Application,
        stream: StreamEdge,
        ping_s: float,
        *,
        inner: Inner | None = None,
        is_inner: bool = False,
    ) -> Callable[[Callable[[], None]], assembly.Server]:
        settings = self._context.settings
        return lambda ready: assembly.make(
            app,
            stream,
            connections_per_address_max=limits.connections_per_address_max(settings),
            header_timeout_s=settings.server.header_timeout_s,
            keep_alive_s=int(settings.server.keep_alive_s),
            drain_s=int(settings.server.drain_s),
            ping_s=min(assembly.PING_S_MAX, ping_s),
            listening=ready,
            inner=inner,
            is_inner=is_inner,
        )

    async def tell_commands(self) -> None:
        """Notes for commands where this server is reached, while it runs."""
        port = int(self.url.rpartition(":")[2])
        content = msgspec.json.encode(addresses(self._context.settings.server, port))
        # Commands that do not find it go by the settings.
        with suppress(NotReady):
            await housekeeping.note(self._context.data / ADDRESS_FILE, content)

    async def begin_metrics(self, metrics: operations.Metrics, listener: socket.socket | None = None) -> None:
        """Serves them at an address of their own, where one is set; `listener` is bound to it, where it is.

        Raises:
            InvalidSetting: the address cannot be had.
        """
        settings = self._context.settings
        if not settings.metrics.listen:
            return
        host, _, port = settings.metrics.listen.rpartition(":")
        host = host.strip("[]") or "127.0.0.1"
        listener = listener or assembly.listen(host, int(port), "metrics.listen")
        await self._serve(
            listener,
            lambda ready: assembly.make_simple(
                operations.MetricsPort(metrics),
                keep_alive_s=int(settings.server.keep_alive_s),
                listening=ready,
            ),
        )
        self.metrics_url = f"{url_of(host, listener.getsockname()[1])}{operations.METRICS_PATH}"
        logger.info("metrics without a key", url=self.metrics_url)

    async def _serve(
        self, listener: socket.socket, make: Callable[[Callable[[], None]], assembly.Server]
    ) -> None:
        """Starts a server; returns when it listens.

        Raises:
            InvalidSetting: it ended before; says why.
        """
        ready = asyncio.Event()
        made = make(ready.set)
        serving = tasks.start(_serving(made, listener, ready), "HTTP server", self._died)
        started = tasks.start(_set(ready), "start of the HTTP server", tasks.awaited)
        await asyncio.wait({serving, started}, return_when=asyncio.FIRST_COMPLETED)
        started.cancel()
        if serving.done():
            name = listener.getsockname()
            where = name if isinstance(name, str) else f"{name[0]}:{name[1]}"
            listener.close()
            error = serving.result()
            raise InvalidSetting(
                f"the server ended while starting to listen on {where}" + (f": {error}" if error else "")
            ) from error
        self._servers.append((made, serving))

    def untell_commands(self) -> None:
        """Commands are not to look for this server any more."""
        with suppress(OSError):
            (self._context.data / ADDRESS_FILE).unlink(missing_ok=True)

    @property
    def everybody(self) -> assembly.Server:
        """The server for everybody."""
        return self._servers[0][0]

    async def leave(self) -> None:
        """Takes no connection any more; other processes listen at the same address."""
        await self.everybody.leave()

    async def end(self) -> None:
        """Stops listening, and returns when all requests were answered or their time was up.

        Metrics are told to the last.
        """
        for made, serving in self._servers:
            made.should_exit = True
            await asyncio.wait({serving})


async def _set(event: asyncio.Event) -> None:
    await event.wait()


async def _serving(made: assembly.Server, listener: socket.socket, ready: asyncio.Event) -> Exception | None:
    """Until the server ends. Gives what kept it from listening; what ends it later is raised."""
    try:
        await made.serve(sockets=[listener])
    except Exception as error:
        if ready.is_set():
            raise
        return error
    return None
