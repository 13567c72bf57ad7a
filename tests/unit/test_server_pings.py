"""What a WebSocket's application learns of pings, over a real socket."""

from __future__ import annotations

import asyncio
from typing import Any

import uvicorn
from tests.e2e.running import free_port
from tests.patience import come_true
from websockets.asyncio.client import connect

from ladestrom.ingest.ocpp_server import PINGS
from ladestrom.server import WebSocketProtocol


async def test_the_application_sees_when_the_last_ping_came() -> None:
    scopes: list[Any] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)
        await receive()
        await send({"type": "websocket.accept"})
        await receive()

    port = free_port()
    config = uvicorn.Config(application, port=port, ws=WebSocketProtocol, lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    try:
        await come_true(lambda: server.started)
        async with connect(f"ws://127.0.0.1:{port}/", ping_interval=None) as client:
            assert scopes[0]["extensions"][PINGS] == {}
            before = asyncio.get_running_loop().time()
            await (await client.ping())
            assert before <= scopes[0]["extensions"][PINGS]["last_s"] <= asyncio.get_running_loop().time()
    finally:
        server.should_exit = True
        await serving
