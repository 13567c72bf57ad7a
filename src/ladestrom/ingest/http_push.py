"""`POST /api/v2/reports`: a plain ASGI endpoint, as it reads its body piece by piece within limits."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from typing import Any, Final

import msgspec
import structlog

from ladestrom.core.access import Credential, Scope
from ladestrom.credentials import Doorkeeper
from ladestrom.errors import (
    BadRequest,
    LadestromError,
    MalformedBody,
    MethodNotAllowed,
    NotAllowed,
    TooLarge,
    UnsupportedEncoding,
    UpgradeRequired,
)
from ladestrom.ingest.idempotency import Receipts
from ladestrom.model import Millis, Operator
from ladestrom.ports import Intake
from ladestrom.problem import MEDIA_TYPE, problem, without_keys
from ladestrom.protocols import plain

logger = structlog.get_logger(__name__)

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

BODY_GRACE_S: Final = 10
"""A body has this long, and a second more for each 64 KiB that arrived."""
BODY_BYTES_PER_S_MIN: Final = 64 * 1024
GZIP_MEMBERS_MAX: Final = 1_000
"""Packers that work in blocks make some hundred of 8 MiB; each costs time, empty ones too."""
GZIP_STEP_BYTES: Final = 64 * 1024
"""Read at once; what follows a member is copied, and so must not be all that is left."""
GZIP_PIECE_BYTES: Final = 256 * 1024
"""Unpacked at once."""
ALLOWED: Final = [(b"allow", b"OPTIONS, POST")]


class ReportLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What one delivery may be."""

    items_max: int = 10_000
    body_bytes_max: int = 8 * 1024 * 1024
    """Before and after decompression."""
    skew_ms: int = 300_000
    """How far an observation may be ahead of our clock."""


class ReportEndpoint:
    """Receives, submits, answers. One object per server."""

    def __init__(
        self,
        intake: Intake,
        door: Doorkeeper,
        receipts: Receipts,
        clock: Callable[[], Millis],
        limits: ReportLimits,
    ) -> None:
        self._intake = intake
        self._door = door
        self._receipts = receipts
        self._clock = clock
        self.limits = limits
        self.failures: dict[str, int] = {}
        """Deliveries refused as a whole, by error code."""

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """The ASGI application."""
        if scope["method"] == "OPTIONS":
            await send({"type": "http.response.start", "status": 204, "headers": ALLOWED})
            await send({"type": "http.response.body"})
            return
        try:
            answer = await self._handle(scope, receive)
        except LadestromError as error:
            self.failures[error.code] = self.failures.get(error.code, 0) + 1
            await _respond(send, error.status, problem(error), MEDIA_TYPE, headers_of(error))
        else:
            await _respond(send, 200, answer, "application/json", [])

    async def upgrade_required(self, send: Send) -> None:
        """What a plain request to the WebSocket's path is told."""
        error = UpgradeRequired("this path is a WebSocket; connect with ws:// or wss://")
        await _respond(send, error.status, problem(error), MEDIA_TYPE, [(b"upgrade", b"websocket")])

    async def _handle(self, scope: MutableMapping[str, Any], receive: Receive) -> bytes:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if scope["method"] != "POST":
            raise MethodNotAllowed("reports are sent with POST")
        credential = self._door.credential(headers, Scope.REPORT)
        operator = reporting(credential)
        body = await self._body(headers, receive)
        key = headers.get("idempotency-key")
        if key is None:
            return await self.deliver(operator, body)
        return await self._receipts.once(operator.name, key, body, lambda: self.deliver(operator, body))

    async def deliver(self, operator: Operator, body: bytes) -> bytes:
        """One message in, its receipt out, once what was accepted is durable."""
        delivery = plain.receive(
            body,
            operator.name,
            self._clock(),
            items_max=self.limits.items_max,
            skew_ms=self.limits.skew_ms,
        )
        receipt = await self._intake.submit(operator, delivery.reports, delivery.refused)
        return without_keys(plain.answer(receipt, delivery.adjusted))

    async def _body(self, headers: Mapping[str, str], receive: Receive) -> bytes:
        limit = self.limits.body_bytes_max
        declared = headers.get("content-length", "0")
        if declared.isdigit() and int(declared) > limit:
            raise TooLarge(f"the body has {declared} bytes; at most {limit} are taken: split it")
        encoding = headers.get("content-encoding", "identity").strip().lower()
        if encoding not in {"identity", "gzip", "x-gzip"}:
            raise UnsupportedEncoding(
                f"Content-Encoding {encoding[:40]!r} is not understood; use gzip or none"
            )
        body = await self._read(receive, limit)
        return body if encoding == "identity" else gunzip(body, limit)

    async def _read(self, receive: Receive, limit: int) -> bytes:
        loop = asyncio.get_running_loop()
        began = loop.time()
        pieces: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(BODY_GRACE_S) as deadline:
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise BadRequest("the connection ended before the body did")
                    piece = message.get("body", b"")
                    size += len(piece)
                    if size > limit:
                        raise TooLarge(f"the body is larger than {limit} bytes: split it")
                    pieces.append(piece)
                    if not message.get("more_body", False):
                        return b"".join(pieces) if len(pieces) > 1 else piece
                    deadline.reschedule(began + BODY_GRACE_S + size / BODY_BYTES_PER_S_MIN)
        except TimeoutError:
            raise BodyTimeout(f"the body did not arrive in time: {size} bytes so far") from None


def reporting(credential: Credential) -> Operator:
    """The operator of a key with the scope `report`.

    Raises:
        NotAllowed: it has none.
    """
    if credential.operator is None:
        raise NotAllowed("the key reports for no operator")
    return credential.operator


class BodyTimeout(BadRequest):
    code = "body_timeout"
    status = 408
    retry = True


def gunzip(body: bytes, limit: int) -> bytes:
    """Unpacks one gzip member or several, never more than `limit` bytes.

    What unpacks to more than half the limit is unpacked twice, first to see whether it is a bomb, so that
    a bomb costs no more memory than half the limit.

    Raises:
        TooLarge: it unpacks to more.
        MalformedBody: it is no gzip, is cut off, has something behind it, or has too many members.
    """
    pieces: list[bytes] = []
    size = 0
    for piece in _unpacked(body):
        size += len(piece)
        if size > limit:
            raise TooLarge(f"the body unpacks to more than {limit} bytes: split it")
        if size <= limit // 2:
            pieces.append(piece)
        else:
            pieces.clear()
    return b"".join(pieces if size <= limit // 2 else _unpacked(body))


def _unpacked(body: bytes) -> Iterator[bytes]:
    packed = memoryview(body)
    place = members = 0
    while place < len(packed) or not members:
        members += 1
        if members > GZIP_MEMBERS_MAX:
            raise MalformedBody(f"the gzip body has more than {GZIP_MEMBERS_MAX} members: pack it as one")
        unpacker = zlib.decompressobj(wbits=31)
        while not unpacker.eof:
            if place == len(packed):
                raise MalformedBody("the gzip body is cut off")
            step = packed[place : place + GZIP_STEP_BYTES]
            try:
                piece = unpacker.decompress(step, GZIP_PIECE_BYTES)
            except zlib.error as error:
                raise MalformedBody(
                    f"the body is not the gzip that Content-Encoding says ({error})"
                ) from error
            rest = unpacker.unused_data or unpacker.unconsumed_tail
            place += len(step) - len(rest)
            yield piece


def headers_of(error: LadestromError) -> list[tuple[bytes, bytes]]:
    """What an answer says beside its problem document (RFC 9110)."""
    match error.status:
        case 401:
            return [(b"www-authenticate", b'Bearer realm="ladestrom"')]
        case 405:
            return ALLOWED
        case 408 | 413:
            return [(b"connection", b"close")]
        case 429 | 503:
            return [(b"retry-after", b"1")]
    return []


async def _respond(
    send: Send, status: int, body: bytes, media_type: str, extra: list[tuple[bytes, bytes]]
) -> None:
    headers = [
        (b"content-type", media_type.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        *extra,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
