"""Deliveries over HTTP: a plain ASGI endpoint for any `Push`, that reads bodies piece by piece.

Knows bodies, keys and turns. Must not know what a message means: that is the protocol's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import AbstractAsyncContextManager
from functools import partial
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

import msgspec
import structlog

from ladestrom import protocols
from ladestrom.core.access import Scope
from ladestrom.credentials import Doorkeeper
from ladestrom.errors import (
    BadRequest,
    LadestromError,
    MethodNotAllowed,
    NotFound,
    TooLarge,
    TooManyRequests,
    UnsupportedEncoding,
)
from ladestrom.ingest.certificates import Certificates
from ladestrom.ingest.idempotency import Receipts
from ladestrom.ingest.intake import Arrival, Intake
from ladestrom.ingest.parsing import OWN_PROCESS_BYTES_MIN, ParsingProcess
from ladestrom.ingest.pending import PendingBytes
from ladestrom.model import Beginning, Operator, Receipt
from ladestrom.problem import without_keys
from ladestrom.protocols import Row
from ladestrom.protocols.delivery import Delivery, ParseLimits
from ladestrom.protocols.interfaces import Answer, ReadBack, Request
from ladestrom.quoting import quoted
from ladestrom.unpacking import gunzip

logger = structlog.get_logger(__name__)

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Reporter = Callable[[], Operator]
"""Gives the operator that a sender reports for, with the rights that it has now.

It is called again once a body was read, and for each message of a connection, as both may take long.

Raises:
    Unauthenticated, NotAllowed: it may not report any more.
"""

DRY_RUN: Final = "dry_run"
"""In the query: the same checks and the same answer, and nothing is stored."""
DRY_RUN_HEADER: Final = "x-dry-run"
ARRIVED: Final = "ladestrom.arrived"
"""In the scope's extensions: the whole body has come, and the next message of `receive` has all of it. Set by
our server (`server.http`)."""
BODY_GRACE_S: Final = 10
"""A body has this long, and a second more for each 64 KiB that arrived."""
BODY_BYTES_PER_S_MIN: Final = 64 * 1024
GZIP_THREAD_BYTES_MIN: Final = 4 * 1024
"""Packed bodies from here on are unpacked in a thread: they may become 4 MiB, which takes some 5 ms."""
QUERY_FIELDS_MAX: Final = 100
"""Protocols have up to a handful."""
PENDING_BYTES_MAX: Final = 32 * 1024 * 1024
"""Of one operator's deliveries in memory: four of the largest bodies."""
TURNS_MAX: Final = 64
"""Messages of one operator that wait for their turn. Protocols that keep order want one at a time."""
READING: Final = frozenset({"GET", "HEAD"})
SENDING: Final = "OPTIONS, POST"


class PushLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What one delivery may be."""

    body_bytes_max: int = 8 * 1024 * 1024
    """Before and after decompression."""
    parse: ParseLimits = ParseLimits()
    sockets_per_key_max: int = 16
    """Connections of one key at a time, where messages may come over a WebSocket."""


class PushServices(msgspec.Struct, frozen=True):
    """What all endpoints of a server share."""

    intake: Intake
    door: Doorkeeper
    receipts: Receipts[Answer]
    limits: PushLimits = PushLimits()
    certificates: Certificates | None = None
    pending: PendingBytes = msgspec.field(default_factory=lambda: PendingBytes(PENDING_BYTES_MAX))
    parsing: ParsingProcess = msgspec.field(default_factory=ParsingProcess)
    """Reads large messages. Whoever makes the services stops it."""


class _Turn:
    """An operator's turn at a protocol whose messages keep their order."""

    __slots__ = ("lock", "waiting")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.waiting = 0
        """Messages that have or wait for it. Their bodies are read when they have it."""


class PushEndpoint:
    """Receives, takes, answers. One object for each path at which a protocol is served."""

    def __init__(self, row: Row, services: PushServices, read_back: ReadBack | None = None) -> None:
        """The endpoint of one protocol.

        Args:
            row: the protocol, with its path.
            services: what all endpoints share.
            read_back: answers GET; None where the protocol has nothing that does.
        """
        self.path = row.path
        self.failures: dict[str, int] = {}
        """Deliveries refused as a whole, by error code."""
        self._raw_path = row.path.encode()
        self._push = protocols.push(row)
        self._target = row.target
        self._services = services
        self._read_back = read_back
        self._basic = row.basic
        # Packages that were written before rows said so say it of the protocol itself.
        self._ordered = row.ordered or getattr(self._push, "sequential", False)
        self._allowed = SENDING if read_back is None else f"GET, HEAD, {SENDING}"
        self._turns: dict[str, _Turn] = {}

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """The ASGI application."""
        method = scope["method"]
        if method == "OPTIONS":
            allowed = [(b"allow", self._allowed.encode())]
            await send({"type": "http.response.start", "status": HTTPStatus.NO_CONTENT, "headers": allowed})
            await send({"type": "http.response.body", "body": b""})
            return
        try:
            if method in READING and self._read_back is not None:
                answer = await self._read_back(self._request(scope))
            else:
                answer = await self._handle(scope, receive)
        except LadestromError as error:
            answer = self.refused(self._request(scope), error)
        except Exception:
            logger.exception("a delivery failed", protocol=self._push.name)
            told = LadestromError("an internal error stopped this request; it was logged")
            answer = self.refused(self._request(scope), told)
        await respond(send, answer, has_body=method != "HEAD")

    def refused(self, request: Request, error: LadestromError) -> Answer:
        """What is told of an error, and counted."""
        self.failures[error.code] = self.failures.get(error.code, 0) + 1
        answer = self._push.refuse(request, error)
        headers = dict(headers_of(error)) | dict(answer.headers)
        if error.status == HTTPStatus.METHOD_NOT_ALLOWED and self._read_back is not None:
            headers["allow"] = self._allowed
        if error.status == HTTPStatus.UNAUTHORIZED and self._basic:
            headers["www-authenticate"] += ', Basic realm="ladestrom"'
        return msgspec.structs.replace(answer, headers=tuple(headers.items()))

    def _path(self, scope: MutableMapping[str, Any]) -> str:
        """What of the request's path is behind ours; of the raw path, as a router may have cut the other.

        A path that only begins as ours does is told by its first slash, which no other has.
        """
        raw: bytes = scope["raw_path"]
        if raw == self._raw_path:
            return ""
        rest = unquote(raw.decode("latin-1"), errors="replace").removeprefix(self.path)
        return rest.strip("/") if rest.startswith("/") else f"/{rest}"

    def _request(
        self,
        scope: MutableMapping[str, Any],
        headers: Mapping[str, str] | None = None,
        path: str | None = None,
        body: bytes = b"",
    ) -> Request:
        """The request as a protocol sees it."""
        return Request(
            method=scope["method"],
            path=self._path(scope) if path is None else path,
            query=query_of(scope),
            headers=_headers(scope) if headers is None else headers,
            body=body,
        )

    async def _handle(self, scope: MutableMapping[str, Any], receive: Receive) -> Answer:
        if scope["method"] != "POST":
            raise MethodNotAllowed("reports are sent with POST")
        path = self._path(scope)
        if path.startswith("/"):
            raise NotFound("nothing is here")
        headers = _headers(scope)
        name, reporter = self._reporter(scope, headers)
        if not self._ordered or query_of(scope).get(DRY_RUN) == "1":
            async with self.held(name, self._size(headers)):
                began = self._services.intake.begin()
                request = self._request(scope, headers, path, await self._body(scope, headers, receive))
                return await self._answered(reporter, request, began)
        turn = self._turns.setdefault(name, _Turn())
        if turn.waiting >= TURNS_MAX:
            raise TooManyRequests(
                f"{turn.waiting} messages of {quoted(name)} are waiting; send one after the other"
            )
        turn.waiting += 1
        try:
            async with turn.lock, self.held(name, self._size(headers)):
                began = self._services.intake.begin()
                request = self._request(scope, headers, path, await self._body(scope, headers, receive))
                return await self._answered(reporter, request, began)
        finally:
            turn.waiting -= 1

    def held(self, operator: str, size: int) -> AbstractAsyncContextManager[None]:
        """A block that begins when the operator has room in memory for a message of this size."""
        return self._services.pending.held(operator, size)

    def _size(self, headers: Mapping[str, str]) -> int:
        """How large a body with these headers may become."""
        most = self._services.limits.body_bytes_max
        declared = headers.get("content-length", "" if "transfer-encoding" in headers else "0")
        is_plain = declared.isdigit() and "content-encoding" not in headers
        return min(int(declared), most) if is_plain else most

    async def _body(
        self, scope: MutableMapping[str, Any], headers: Mapping[str, str], receive: Receive
    ) -> bytes:
        has_arrived = ARRIVED in scope.get("extensions", ())
        bytes_max = self._services.limits.body_bytes_max
        return await read_body(headers, receive, bytes_max, has_arrived=has_arrived)

    async def _answered(self, reporter: Reporter, request: Request, began: Beginning) -> Answer:
        key = request.headers.get("idempotency-key")
        if key is None or _is_dry_run(request):
            return await self.deliver(reporter, request, began)
        path = f"{self.path}/{request.path}".encode()
        what = b"%d %b %b" % (len(path), path, request.body)
        return await self._services.receipts.once(
            reporter().name, key, what, lambda: self.deliver(reporter, request, began)
        )

    async def deliver(self, reporter: Reporter, request: Request, began: Beginning | None = None) -> Answer:
        """One message in, its answer out, once what was accepted is durable.

        `began` is when it began to arrive: one that is complete does not take back what was heard since.

        Raises:
            LadestromError: nothing of it was taken; its sender may not report any more, for one.
        """
        services = self._services
        operator = reporter()
        if _is_dry_run(request):
            delivery = await self._read(request, operator)
            tried = await services.intake.tried(operator, delivery, self._push.name)
            return self._told(request, delivery, tried)
        try:
            delivery = await self._read(request, operator)
        except (BadRequest, TooLarge) as error:
            services.intake.unreadable(operator, self._push.name, request.body, error, request)
            raise
        arrival = Arrival(began=began) if delivery.complete else None
        receipt = await services.intake.take(operator, delivery, protocol=self._push.name, arrival=arrival)
        try:
            return self._told(request, delivery, receipt)
        except Exception as error:
            logger.exception("a request was stored but cannot be answered", protocol=self._push.name)
            raise LadestromError(
                f"the delivery is in the log ({receipt.accepted} accepted, {receipt.unchanged} unchanged, "
                f"{len(receipt.refused)} refused), but an internal error prevented the response"
            ) from error

    async def _read(self, request: Request, operator: Operator) -> Delivery:
        limits = self._services.limits.parse
        if len(request.body) < OWN_PROCESS_BYTES_MIN:
            return self._push.receive(request, operator, limits)
        return await self._services.parsing.receive(self._target, request, operator, limits)

    def _told(self, request: Request, delivery: Delivery, receipt: Receipt) -> Answer:
        answer = self._push.answer(request, delivery, receipt)
        if receipt.dry_run:
            # Answers of some protocols have no room for it.
            answer = msgspec.structs.replace(answer, headers=(*answer.headers, (DRY_RUN_HEADER, "1")))
        body = without_keys(answer.body)
        return answer if body is answer.body else msgspec.structs.replace(answer, body=body)

    def _reporter(self, scope: MutableMapping[str, Any], headers: Mapping[str, str]) -> tuple[str, Reporter]:
        """Name of the operator that the sender reports for, and what gives it with its rights."""
        certificates = self._services.certificates
        if certificates is not None and not (headers.get("authorization") or headers.get("x-api-key")):
            reporter = partial(certificates.operator, headers, (scope.get("client") or ("",))[0])
            return reporter().name, reporter
        door = self._services.door
        credential = door.credential(headers, Scope.REPORT, basic=self._basic)
        return credential.operator or "", partial(door.reporter, credential.key_id)


def _is_dry_run(request: Request) -> bool:
    """Whether the request only asks what would become of its items.

    Raises:
        BadRequest: `dry_run` is neither 1 nor 0.
    """
    said = request.query.get(DRY_RUN, "0") if request.query else "0"
    if said not in {"0", "1"}:
        raise BadRequest(f"{DRY_RUN}={quoted(said, 40)} is not 1 or 0")
    return said == "1"


async def read_body(
    headers: Mapping[str, str], receive: Receive, bytes_max: int, *, has_arrived: bool = False
) -> bytes:
    """The body of a request, unpacked; read within its time and size.

    One that has arrived (`ARRIVED`) needs no time: a clock for it would cost as much as all else here.

    Raises:
        TooLarge: it is larger than `bytes_max`, packed or not.
        UnsupportedEncoding: it is packed otherwise than with gzip.
        MalformedBody: it is not the gzip that its header says.
        BadRequest: the connection ended, or it did not arrive in time.
    """
    declared = headers.get("content-length", "0")
    if declared.isascii() and declared.isdigit() and int(declared) > bytes_max:
        raise TooLarge(f"the body has {declared} bytes; at most {bytes_max} are taken: split it")
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"identity", "gzip", "x-gzip"}:
        raise UnsupportedEncoding(
            f"Content-Encoding {quoted(encoding, 40)} is not understood; use gzip or none"
        )
    body = _piece(await receive(), 0, bytes_max) if has_arrived else await _read(receive, bytes_max)
    if encoding == "identity":
        return body
    # The decompressor gives up the interpreter's lock. It makes at most a thousand times the bytes.
    is_small = len(body) < GZIP_THREAD_BYTES_MIN
    return gunzip(body, bytes_max) if is_small else await asyncio.to_thread(gunzip, body, bytes_max)


async def _read(receive: Receive, limit: int) -> bytes:
    loop = asyncio.get_running_loop()
    began = loop.time()
    pieces: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_GRACE_S) as deadline:
            while True:
                message = await receive()
                piece = _piece(message, size, limit)
                size += len(piece)
                pieces.append(piece)
                if not message.get("more_body", False):
                    return b"".join(pieces) if len(pieces) > 1 else piece
                deadline.reschedule(began + BODY_GRACE_S + size / BODY_BYTES_PER_S_MIN)
    except TimeoutError:
        raise BodyTimeout(f"the body did not arrive in time: {size} bytes so far") from None


def _piece(message: Mapping[str, Any], before: int, limit: int) -> bytes:
    """A piece of a body, with so many bytes before it."""
    if message["type"] == "http.disconnect":
        raise BadRequest("the connection ended before the body did")
    piece: bytes = message.get("body", b"")
    if before + len(piece) > limit:
        raise TooLarge(f"the body is larger than {limit} bytes: split it")
    return piece


class BodyTimeout(BadRequest):
    means = "The body did not arrive in time. None of it was accepted."
    advice = "Send it again. On a slow connection, send smaller bodies, or compress them with gzip."
    code = "body_timeout"
    on_websocket = False
    status = 408
    retry = True


def headers_of(error: LadestromError) -> tuple[tuple[str, str], ...]:
    """What an answer says beside its body (RFC 9110)."""
    match error.status:
        case 401:
            return (("www-authenticate", 'Bearer realm="ladestrom"'),)
        case 405:
            return (("allow", SENDING),)
        case 408 | 413:
            return (("connection", "close"),)
        case 429 | 503:
            return (("retry-after", str(error.retry_after_s)),)
    return ()


def _headers(scope: MutableMapping[str, Any]) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


def query_of(scope: MutableMapping[str, Any]) -> dict[str, str]:
    """The fields of a request's query; none of one that has too many."""
    text: bytes = scope["query_string"]
    if not text:
        return {}
    try:
        pairs = parse_qsl(text.decode("latin-1"), max_num_fields=QUERY_FIELDS_MAX)
    except ValueError:
        return {}
    fields: dict[str, str] = {}
    for name, value in pairs:
        fields[name] = f"{fields[name]},{value}" if name in fields else value
    return fields


async def respond(send: Send, answer: Answer, *, has_body: bool = True) -> None:
    """Sends an answer; without its body where the request was HEAD."""
    headers = [
        (b"content-type", answer.media_type.encode()),
        (b"content-length", str(len(answer.body)).encode()),
        (b"cache-control", b"no-store"),
        *((name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers),
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body if has_body else b""})
