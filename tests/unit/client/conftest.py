"""Small real servers that do what a test tells them to."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

Act = Callable[[ServerConnection], Awaitable[None]]


class StreamServer:
    """A WebSocket server on loopback: each connection gets the next act of the script."""

    def __init__(self) -> None:
        self.url = ""
        self.script: deque[Act | tuple[int, dict[str, str], bytes]] = deque()
        self.requests: list[tuple[str, dict[str, list[str]], str | None]] = []
        """Path, query and Authorization header of each attempt."""
        self.closed = 0

    def answer(self, _: ServerConnection, request: Request) -> Response | None:
        parts = urlsplit(request.path)
        self.requests.append((parts.path, parse_qs(parts.query), request.headers.get("Authorization")))
        if self.script and isinstance(self.script[0], tuple):
            status, headers, body = self.script.popleft()  # type: ignore[misc]
            return Response(status, HTTPStatus(status).phrase, Headers(headers), body)
        return None

    async def play(self, connection: ServerConnection) -> None:
        act = self.script.popleft() if self.script else None
        if act is not None and not isinstance(act, tuple):
            await act(connection)
        else:
            await connection.wait_closed()
        self.closed += 1


@pytest.fixture
async def stream_server() -> AsyncIterator[StreamServer]:
    fake = StreamServer()
    async with serve(fake.play, "127.0.0.1", 0, process_request=fake.answer) as server:
        fake.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield fake


class ReportServer:
    """An HTTP server on loopback that takes reports, and answers what it is told to, or a receipt."""

    def __init__(self) -> None:
        self.url = ""
        self.answers: deque[tuple[int, dict[str, str], Any] | None] = deque()
        """The next answers: status, headers and body; None breaks the connection. Then receipts."""
        self.requests: list[tuple[dict[str, str], Any]] = []
        """Headers (names in lower case) and decoded body of each request."""
        self.connections = 0
        self.epoch = "e1"

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                headers = {
                    name.lower(): value
                    for name, _, value in (line.partition(": ") for line in head[1:] if line)
                }
                body = await reader.readexactly(int(headers["content-length"]))
                if headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                self.requests.append((headers, json.loads(body)))
                answer = self.answers.popleft() if self.answers else self.receipt(json.loads(body))
                if answer is None:
                    return
                status, extra, content = answer
                payload = content if isinstance(content, bytes) else json.dumps(content).encode()
                lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", f"Content-Length: {len(payload)}"]
                lines += [f"{name}: {value}" for name, value in extra.items()]
                writer.write("\r\n".join([*lines, "", ""]).encode() + payload)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    def receipt(self, items: list[dict[str, Any]]) -> tuple[int, dict[str, str], Any]:
        """Takes all but the EVSEs whose id begins with `X`."""
        refused = [
            {"index": index, "reason": "unknown_evse", "detail": item["evse"]}
            for index, item in enumerate(items)
            if item["evse"].startswith("X")
        ]
        accepted = len(items) - len(refused)
        return 200, {}, {"accepted": accepted, "unchanged": 0, "refused": refused, "position": "e1-7"}


@pytest.fixture
async def report_server() -> AsyncIterator[ReportServer]:
    fake = ReportServer()
    server = await asyncio.start_server(fake.handle, "127.0.0.1", 0)
    fake.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield fake
    server.close()
    await server.wait_closed()
