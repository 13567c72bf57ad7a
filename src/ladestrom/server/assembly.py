"""A server put together: its socket, its protocol classes, and uvicorn, which is started in code."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import uvicorn

from ladestrom.edges.connection import StreamEdge
from ladestrom.errors import (
    InvalidSetting,
)
from ladestrom.inner.client import Inner
from ladestrom.server.gate import Gate
from ladestrom.server.http import HttpProtocol
from ladestrom.server.websocket import WEBSOCKET_BYTES_MAX, WebSocketProtocol

PING_S_MAX: Final = 20.0
"""Charge points are pinged twice within a heartbeat, and no less often than this, as uvicorn does."""
BACKLOG_CONNECTIONS = 4096
FRESH_S_MAX: Final = 2.0
"""For the request of a connection that was taken just before the process stops: a poor mobile link sends it
within that."""
LOOK_S: Final = 0.02


class Server(uvicorn.Server):
    """Tells when it listens; leaves signals to whoever runs it."""

    def __init__(self, config: uvicorn.Config, listening: Callable[[], None]) -> None:
        super().__init__(config)
        self._listening = listening

    async def leave(self) -> None:
        """Takes no new connection any more, and lets those that are new bring their request.

        For a process beside which others take connections from the same socket.
        """
        for server in self.servers:
            server.close()
        began_s = time.monotonic()
        while time.monotonic() - began_s < FRESH_S_MAX and any(  # noqa: ASYNC110 - once in a process's life
            isinstance(each, HttpProtocol) and each.is_fresh for each in self.server_state.connections
        ):
            await asyncio.sleep(LOOK_S)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """None: `signals` does."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts to listen."""
        await super().startup(sockets)
        if self.started:
            self._listening()


def listen(host: str, port: int, setting: str = "--port") -> socket.socket:
    """A bound socket; `setting` is what chooses its port.

    Raises:
        InvalidSetting: the address cannot be had; says why and what to do.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        listener.close()
        why = error.strerror if isinstance(error, OSError) else "a port is a number from 0 to 65535"
        raise InvalidSetting(
            f"cannot listen on {host}:{port} ({why}); stop what uses it, or choose another {setting}"
        ) from error
    return listener


def listen_inside(path: Path) -> socket.socket:
    """A bound Unix socket that only this user can connect to, instead of one that is there.

    Raises:
        InvalidSetting: the address cannot be had; says why and what to do.
    """
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    mask = os.umask(0o177)
    try:
        listener.bind(str(path))
    except OSError as error:
        listener.close()
        why = "its path is too long" if "too long" in str(error) else error.strerror
        raise InvalidSetting(
            f"cannot listen on {path} ({why}); choose another data directory (--data)"
        ) from error
    finally:
        os.umask(mask)
    return listener


def make_simple(
    app: Any,  # noqa: ANN401 - an ASGI application; uvicorn's own type is private
    *,
    keep_alive_s: int,
    listening: Callable[[], None],
) -> Server:
    """The server of a port on loopback that has one small application, and no streams."""
    config = uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_keep_alive=keep_alive_s,
        timeout_graceful_shutdown=1,
        proxy_headers=False,
    )
    return Server(config, listening)


def make(  # noqa: PLR0913 - what a server is made of, by name
    app: Any,  # noqa: ANN401 - an ASGI application; uvicorn's own type is private
    edge: StreamEdge,
    *,
    connections_per_address_max: int,
    header_timeout_s: float,
    keep_alive_s: int,
    drain_s: int,
    ping_s: float,
    listening: Callable[[], None],
    inner: Inner | None = None,
    is_inner: bool = False,
) -> Server:
    """The server for one application. `ping_s` is how often WebSockets that are no streams are pinged.

    With `inner`, they are served by the process at that address. `is_inner`: other processes of this server
    are the clients.
    """
    config = uvicorn.Config(
        app,
        http=HttpProtocol.bound(
            edge,
            Gate(edge.addresses, connections_per_address_max),
            header_timeout_s,
            inner=inner,
            is_inner=is_inner,
        ),
        ws=WebSocketProtocol,
        ws_max_size=WEBSOCKET_BYTES_MAX,
        ws_ping_interval=ping_s,
        # Charge points may have it (`DEFLATE`); reports come compressed over HTTP.
        ws_per_message_deflate=False,
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
