"""HEAD, the header `Allow` and CORS, for every path at once: what the HTTP framework leaves to each handler.

Knows ASGI and no handler. HEAD is asked of the application as GET, and the server leaves the body out, as it
goes by the request that it read (RFC 9110, section 9.3.2: the same headers, no content).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

from litestar import Response, route
from litestar.handlers import HTTPRouteHandler

from ladestrom.edges.connection import StreamEdge

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Application = Callable[[Any, Receive, Send], Awaitable[None]]


def united(handlers: Sequence[HTTPRouteHandler]) -> list[HTTPRouteHandler]:
    """The handlers, with one more for each path that several of them share, which tells the methods of all.

    The framework's own would tell those of the one that came first.
    """
    shared: dict[str, list[str]] = {}
    for handler in handlers:
        for path in handler.paths:
            shared.setdefault(path, []).extend(handler.http_methods)
    told = [_options(path, methods) for path, methods in shared.items() if len(methods) > 1]
    return [*told, *handlers]


def _options(path: str, methods: Sequence[str]) -> HTTPRouteHandler:
    allowed = ", ".join(sorted({*methods, "OPTIONS"}))

    @route(path, http_method=["OPTIONS"], status_code=204, sync_to_thread=False)
    def options() -> Response[None]:
        """Which methods there are (RFC 9110, section 9.3.7)."""
        return Response(None, status_code=204, headers={"allow": allowed})

    return options


class Methods:
    """An ASGI application around another one."""

    def __init__(self, app: Application, edge: StreamEdge) -> None:
        self._app = app
        self._edge = edge

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """The ASGI application."""
        # GET of a stream of events is no answer of the application's: HEAD is refused there.
        if scope["type"] != "http" or scope["path"] in self._edge.events:
            await self._app(scope, receive, send)
            return
        asked = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope

        async def answer(message: Any) -> None:  # noqa: ANN401 - ASGI's form
            if message["type"] == "http.response.start":
                message = {**message, "headers": [_completed(*pair) for pair in message["headers"]]}
            await send(message)

        await self._app(asked, receive, answer)


class CrossOrigin:
    """An ASGI application around another one: answers preflights, adds to other answers who may read."""

    def __init__(self, app: Application, edge: StreamEdge) -> None:
        self._app = app
        self._edge = edge

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """The ASGI application."""
        path = scope["path"]
        cors = self._edge.cors
        if scope["type"] != "http" or not cors.shares(path):
            await self._app(scope, receive, send)
            return
        asked = dict(scope["headers"])
        origin = asked[b"origin"].decode("latin-1") if b"origin" in asked else None
        if scope["method"] == "OPTIONS" and origin is not None and b"access-control-request-method" in asked:
            headers = cors.preflight(path, origin)
            await send({"type": "http.response.start", "status": 204, "headers": headers})
            await send({"type": "http.response.body", "body": b""})
            return
        added = cors.headers(origin)

        async def answer(message: Any) -> None:  # noqa: ANN401 - ASGI's form
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        await self._app(scope, receive, answer)


def _completed(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    """`Allow` with HEAD where it has GET; other headers as they are."""
    if name.lower() != b"allow":
        return name, value
    methods = {part.strip() for part in value.split(b",")}
    if b"GET" in methods:
        methods.add(b"HEAD")
    return name, b", ".join(sorted(methods))
