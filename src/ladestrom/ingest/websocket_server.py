"""The path of a row's `socket`: a push over a WebSocket; each message is answered by its receipt.

Messages may be sent without waiting for receipts (pipelining); receipts come in the order of messages. What
exceeds the limits waits in the socket.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, MutableMapping
from contextlib import suppress
from functools import partial
from typing import Any, Final

import structlog

from ladestrom import tasks
from ladestrom.core.access import Scope
from ladestrom.core.shares import Held
from ladestrom.credentials import Doorkeeper
from ladestrom.errors import (
    LadestromError,
    MethodNotAllowed,
    NotReady,
    TooManyRequests,
    Unauthenticated,
    UpgradeRequired,
)
from ladestrom.ingest.http_push import (
    PushEndpoint,
    Receive,
    Reporter,
    Send,
    headers_of,
    query_of,
    respond,
)
from ladestrom.problem import MEDIA_TYPE, problem
from ladestrom.protocols.interfaces import Answer, Request

logger = structlog.get_logger(__name__)

Answering = Callable[[bytes, asyncio.Future[None]], Coroutine[Any, Any, bytes]]
"""Makes a message's receipt. The future is done when the message has its place in memory."""
Pending = asyncio.Queue[asyncio.Task[bytes] | None]
"""Receipts to come, in the order of their messages; None is the end."""
PIPELINE_MESSAGES_MAX: Final = 64
"""Messages of one connection without a receipt yet; the next one waits in the socket."""
OPENING: Final = ("GET", "HEAD")
"""A WebSocket is opened with GET (RFC 6455, section 4.1); HEAD is answered as GET is."""
KEY_CHECK_S: Final = 1.0
"""How often a connection's key is looked at, whether messages come or not."""
LAST_RECEIPTS_S_MAX: Final = 3.0
"""For receipts that are due when a connection ends: a revoked key's is closed within 5 s."""


class ReportSocket:
    """The ASGI application of one push."""

    def __init__(self, endpoint: PushEndpoint, door: Doorkeeper, per_key_max: int = 16) -> None:
        self._endpoint = endpoint
        self._door = door
        self._per_key_max = per_key_max
        self._by_key = Held()

    @property
    def connections(self) -> int:
        """Connections now."""
        return self._by_key.total()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """One connection."""
        if scope["type"] != "websocket":
            await upgrade_required(scope["method"], send)
            return
        await receive()
        headers: Mapping[str, str] = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
        }
        try:
            key_id = self._door.credential(headers, Scope.REPORT).key_id
            self._check_share(key_id)
        except LadestromError as error:
            await _refuse(send, error)
            return
        self._by_key.take(key_id)
        try:
            await send({"type": "websocket.accept"})
            await self._converse(key_id, query_of(scope), receive, send)
        finally:
            self._by_key.give_back(key_id)

    def _check_share(self, key_id: str) -> None:
        if self._by_key[key_id] >= self._per_key_max:
            self._door.refuse(key_id)
            raise TooManyRequests(
                f"this key: {self._per_key_max} connections to send reports at a time; use one of them"
            )

    async def _converse(self, key_id: str, query: Mapping[str, str], receive: Receive, send: Send) -> None:
        pending: Pending = asyncio.Queue(PIPELINE_MESSAGES_MAX)
        writer = tasks.start(self._answer(pending, send), "receipts of a report socket", tasks.awaited)
        answered = partial(self._receipt, partial(self._door.reporter, key_id), query)
        reading = self._read(answered, pending, receive)
        reader = tasks.start(reading, "reading of a report socket", tasks.awaited)
        is_live = True
        try:
            while is_live and not (reader.done() or writer.done()):
                await asyncio.wait({reader, writer}, timeout=KEY_CHECK_S, return_when=asyncio.FIRST_COMPLETED)
                is_live = self._door.is_live(key_id)
            reader.cancel()
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_RECEIPTS_S_MAX):
                    await pending.put(None)
                    await writer
            if not is_live:
                error = Unauthenticated("the key was revoked or has expired")
                with suppress(OSError, RuntimeError):
                    await send({"type": "websocket.close", "code": error.close_code, "reason": str(error)})
        finally:
            reader.cancel()
            writer.cancel()

    async def _read(self, answered: Answering, pending: Pending, receive: Receive) -> None:
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                return
            text = message.get("text")
            body = text.encode() if text is not None else (message.get("bytes") or b"")
            del text, message
            begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            await pending.put(tasks.start(answered(body, begun), "a report message", tasks.awaited))
            del body
            await begun

    async def _receipt(
        self, reporter: Reporter, query: Mapping[str, str], body: bytes, begun: asyncio.Future[None]
    ) -> bytes:
        try:
            async with self._endpoint.held(reporter().name, len(body)):
                begun.set_result(None)
                answer = await self._endpoint.deliver(reporter, Request("POST", "", query, {}, body))
        except LadestromError as error:
            return problem(error)
        except Exception:
            logger.exception("a report message failed")
            return problem(NotReady("an internal error stopped this message; none of it was accepted"))
        finally:
            if not begun.done():
                begun.set_result(None)
        return answer.body

    async def _answer(self, pending: Pending, send: Send) -> None:
        gone = False
        while (task := await pending.get()) is not None:
            answer = await task
            if gone:
                continue
            try:
                await send({"type": "websocket.send", "text": answer.decode()})
            except (OSError, RuntimeError):
                # The operator left without waiting for its receipts.
                gone = True


async def upgrade_required(method: str, send: Send) -> None:
    """What a plain request to a socket's path is told."""
    error: LadestromError
    if method in OPENING:
        error = UpgradeRequired("this path is a WebSocket; connect with ws:// or wss://")
        headers = ("upgrade", "websocket")
    else:
        error = MethodNotAllowed(f"{method[:20]} is not for a WebSocket; connect with GET")
        headers = ("allow", ", ".join(OPENING))
    await respond(send, Answer(error.status, problem(error), MEDIA_TYPE, (headers,)))


async def _refuse(send: Send, error: LadestromError) -> None:
    body = problem(error)
    headers = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        *((name.encode(), value.encode()) for name, value in headers_of(error)),
    ]
    await send({"type": "websocket.http.response.start", "status": error.status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})
