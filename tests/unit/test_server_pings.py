"""What a WebSocket's application learns of pings, over a real socket."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest.mock import Mock

from tests.patience import DEADLINE_S
from websockets.asyncio.client import connect

from ladestrom.credentials import ClientAddresses
from ladestrom.ingest.ocpp_server import PINGS
from ladestrom.server.assembly import listen, make


async def test_the_application_sees_when_the_last_ping_came() -> None:
    scopes: list[Any] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)
        await receive()
        await send({"type": "websocket.accept"})
        await receive()

    listener, listening = listen("127.0.0.1", 0), asyncio.Event()
    # No stream is asked for.
    edge = Mock(addresses=ClientAddresses(()), sockets={}, events={})
    server = make(
        application,
        edge,
        connections_per_address_max=1,
        header_timeout_s=DEADLINE_S,
        keep_alive_s=5,
        drain_s=5,
        ping_s=DEADLINE_S,
        listening=listening.set,
    )
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await listening.wait()
        async with connect(f"ws://127.0.0.1:{listener.getsockname()[1]}/", ping_interval=None) as client:
            assert scopes[0]["extensions"][PINGS] == {}
            before = asyncio.get_running_loop().time()
            await (await client.ping())
            assert before <= scopes[0]["extensions"][PINGS]["last_s"] <= asyncio.get_running_loop().time()
    finally:
        server.should_exit = True
        await serving
