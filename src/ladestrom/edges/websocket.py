"""The NOBIL stream over WebSocket: one protocol object per consumer, over the pure core of `websockets`.

The object owns its transport: the broadcast writes ready-made frames to it, the transport's buffer says when
the consumer cannot keep up, and the sweep closes those that are gone. No task and no queue per consumer.
"""

from __future__ import annotations

import asyncio
import codecs
from collections import Counter
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final, cast
from urllib.parse import parse_qsl, urlsplit

import msgspec
import structlog
from litestar import get
from litestar.handlers import HTTPRouteHandler
from uvicorn.config import Config
from uvicorn.server import ServerState
from websockets.datastructures import Headers
from websockets.extensions.permessage_deflate import PerMessageDeflate, ServerPerMessageDeflateFactory
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol

from ladestrom.broadcast import Broadcast
from ladestrom.core.access import Scope
from ladestrom.core.channel import Subscriber, Wishes
from ladestrom.core.selection import STATION_FILTERS, selection
from ladestrom.credentials import Doorkeeper
from ladestrom.edges.framing import WINDOW_BITS
from ladestrom.errors import (
    BadRequest,
    LadestromError,
    NotAllowed,
    Overloaded,
    TooManyRequests,
    Unauthenticated,
    UpgradeRequired,
)
from ladestrom.model import Position
from ladestrom.problem import MEDIA_TYPE, problem

logger = structlog.get_logger(__name__)

PATHS: Final = frozenset({"/api/v1/stream", "/api/v1/stream/realtime"})
TYPES: Final = frozenset({"snapshot", "update", "raw"})
PARTIAL_S_MAX: Final = 10
"""How long a frame may take to arrive once it has begun."""
CLOSE_S_MAX: Final = 5
"""How long a consumer has to answer a close frame."""
SLOW: Final = 4108
QUERY_VALUES_MAX: Final = 50
_decoder = codecs.getincrementaldecoder("utf-8")
MINUTE_S: Final = 60


class StreamLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What a consumer may cost."""

    consumers_max: int = 20_000
    consumers_per_key_max: int = 5_000
    write_buffer_bytes_max: int = 512 * 1024
    """Bytes waiting for one consumer beyond which nothing more is written to it."""
    inbound_bytes_max: int = 64 * 1024
    """Bytes of one message from a consumer (OWASP's advice); larger: closed with 1009."""
    inbound_messages_per_minute_max: int = 100
    """More: closed with 4129."""
    ping_interval_s: float = 20
    ping_timeout_s: float = 40
    stalled_s: float = 60
    """A consumer whose full buffer does not shrink for so long is cut off."""


class StreamEdge:
    """What all consumers' connections share."""

    def __init__(
        self,
        broadcast: Broadcast,
        door: Doorkeeper,
        limits: StreamLimits,
        origins: frozenset[str] = frozenset(),
    ) -> None:
        self.broadcast = broadcast
        self.door = door
        self.limits = limits
        self.origins = origins
        self.connections: set[StreamConnection] = set()
        self.by_key: Counter[str] = Counter()
        self.closed: Counter[str] = Counter()
        """Connections ended, by why."""
        self.draining = False

    def sweep(self, now_s: float) -> None:
        """Looks after every connection: keys, pings, stalls, late frames. Called each second."""
        for connection in list(self.connections):
            connection.tend(now_s)

    def drain(self, code: int = CloseCode.GOING_AWAY) -> None:
        """Tells every consumer that the server goes away."""
        self.draining = True
        for connection in list(self.connections):
            connection.close(code, "the server is stopping; reconnect with since to miss nothing", "drain")

    def abort(self) -> None:
        """Ends what is still open."""
        for connection in list(self.connections):
            connection.abort("abort")


class Accepted(msgspec.Struct, frozen=True):
    """What an upgrade request asked for."""

    key_id: str
    wishes: Wishes
    since: Position | None
    snapshot: bool


class BadHandshake(BadRequest):
    """The upgrade request is against RFC 6455, section 4.2.1."""

    code = "bad_handshake"


def handlers() -> list[HTTPRouteHandler]:
    """What plain requests to the stream's paths are told."""

    @get(sorted(PATHS), sync_to_thread=False)
    def plain() -> None:
        """This is a WebSocket."""
        raise UpgradeRequired("this path is a WebSocket; connect with ws:// or wss://")

    return [plain]


def read_request(edge: StreamEdge, target: str, headers: Mapping[str, str]) -> Accepted:
    """Checks an upgrade request: key, origin, filters, limits. Names of headers are in lower case.

    Raises:
        LadestromError: refused before the upgrade, with the error's HTTP status.
    """
    query = _query(target.partition("?")[2])
    credential = edge.door.credential(headers, Scope.STREAM, query)
    _check_origin(headers, edge.origins)
    if edge.draining:
        raise Overloaded("the server is stopping; reconnect in some seconds")
    if len(edge.connections) >= edge.limits.consumers_max:
        raise Overloaded(f"{edge.limits.consumers_max} consumers are connected; try again later")
    if edge.by_key[credential.key_id] >= edge.limits.consumers_per_key_max:
        raise TooManyRequests(
            f"this key has {edge.limits.consumers_per_key_max} connections open; close some of them"
        )
    wanted = selection(query, names=STATION_FILTERS)
    types = frozenset(part.strip() for part in query.get("types", "").split(",") if part.strip()) or TYPES
    if not types <= TYPES:
        raise BadRequest(
            f"types={query['types'][:60]!r} has an unknown word; the words are snapshot, update, raw"
        )
    since = query.get("since")
    return Accepted(
        key_id=credential.key_id,
        wishes=Wishes(wanted, updates="update" in types, raw="raw" in types),
        since=Position.parse(since) if since else None,
        # Who asks to resume and cannot needs the snapshot, whatever else was chosen.
        snapshot="snapshot" in types or bool(since),
    )


class StreamConnection(asyncio.Protocol):
    """One consumer's connection."""

    def __init__(
        self,
        edge: StreamEdge,
        target: str,
        headers: Mapping[str, str],
        *,
        config: Config,
        server_state: ServerState,
        app_state: Mapping[str, Any],
    ) -> None:
        """Waits for the upgrade request, of which only what the pure core needs comes by `data_received`.

        Args:
            edge: what all connections share.
            target: path and query of the request.
            headers: all of them, names in lower case.
            config: uvicorn's; not used.
            server_state: uvicorn's.
            app_state: uvicorn's; not used.
        """
        del config, app_state
        self.paused = False
        self._edge = edge
        self._target = target
        self._headers = headers
        self._held: list[bytes] | None = []
        self._server_connections = cast("set[Any]", server_state.connections)
        self._core = ServerProtocol(
            extensions=[
                ServerPerMessageDeflateFactory(
                    server_no_context_takeover=True, client_no_context_takeover=True
                )
            ],
            max_size=edge.limits.inbound_bytes_max,
        )
        self._transport: asyncio.Transport
        self._subscriber: Subscriber | None = None
        self._key_id = ""
        self._closing = False
        self._why = "consumer"
        self._close_timer: asyncio.TimerHandle | None = None
        self._heard_s = 0.0
        self._pinged_s: float | None = None
        self._partial_s: float | None = None
        self._stalled: tuple[float, int] | None = None
        self._minute_began_s = 0.0
        self._messages = 0
        self._text: codecs.IncrementalDecoder | None = None

    # -- asyncio.Protocol --------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Takes over from the HTTP protocol; the request follows by `data_received`."""
        self._transport = cast("asyncio.Transport", transport)
        self._server_connections.add(self)
        limit = self._edge.limits.write_buffer_bytes_max
        self._transport.set_write_buffer_limits(high=limit, low=limit // 4)
        self._heard_s = _now_s()

    def connection_lost(self, exc: Exception | None) -> None:
        """Gives back what the connection held."""
        del exc
        self._server_connections.discard(self)
        if self._close_timer is not None:
            self._close_timer.cancel()
        self._closing = True
        if self._subscriber is not None:
            self._edge.broadcast.leave(self._subscriber)
            self._edge.connections.discard(self)
            self._edge.closed[self._why] += 1
            self._edge.by_key[self._key_id] -= 1
            if self._edge.by_key[self._key_id] <= 0:
                del self._edge.by_key[self._key_id]
            self._subscriber = None

    def eof_received(self) -> bool:
        """The consumer closed its side: nothing more to say."""
        return False

    def pause_writing(self) -> None:
        """More bytes wait than the limit. Nothing is read either: each ping would be answered with more."""
        self.paused = True
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """The consumer caught up; it gets what it is due now."""
        self.paused = False
        self._stalled = None
        if self._partial_s is not None:
            self._partial_s = _now_s()
        if not self._transport.is_closing():
            self._transport.resume_reading()
        if self._subscriber is not None and not self._closing:
            self._edge.broadcast.pump(self._subscriber)

    def data_received(self, data: bytes) -> None:
        """Bytes from the consumer: the upgrade request first, then its frames."""
        self._heard_s = _now_s()
        self._pinged_s = None
        self._core.receive_data(data)
        events = self._core.events_received()
        for event in events:
            if isinstance(event, Request):
                self._handshake(event)
            elif isinstance(event, Frame) and not self._closing:
                self._frame(event)
        in_message = self._core.current_size is not None
        if events and not in_message:
            self._partial_s = None
        if in_message or not events or self._core.reader.buffer:
            self._partial_s = self._partial_s or self._heard_s
        self._flush()

    def shutdown(self) -> None:
        """Called by uvicorn when the server stops."""
        self.close(CloseCode.GOING_AWAY, "the server is stopping; reconnect with since", "drain")

    # -- what the broadcast calls (core.channel.Sink) ----------------------------------------------------

    def write(self, data: bytes) -> None:
        """Hands ready-made frames to the transport; what comes with joining waits for the handshake."""
        if self._held is not None:
            self._held.append(data)
        elif not self._closing:
            self._transport.write(data)

    def overrun(self, position: Position) -> None:
        """The consumer wants each change and could not keep up."""
        self.close(SLOW, f"too slow for mode=every; you stood at {position}", "slow")

    # -- the conversation --------------------------------------------------------------------------------

    def _handshake(self, request: Request) -> None:
        response = self._core.accept(request)
        if response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            self._refuse(BadHandshake(str(self._core.handshake_exc)[:200]), response.status_code)
            return
        try:
            accepted = read_request(self._edge, self._target, self._headers)
            wishes = msgspec.structs.replace(accepted.wishes, framing=self._framing())
            self._subscriber = self._edge.broadcast.join(
                self, wishes, since=accepted.since, snapshot=accepted.snapshot
            )
        except LadestromError as error:
            self._refuse(error, error.status)
            return
        self._key_id = accepted.key_id
        self._edge.connections.add(self)
        self._edge.by_key[self._key_id] += 1
        self._core.send_response(response)
        self._flush()
        held, self._held = self._held or [], None
        self._target, self._headers = "", {}
        for data in held:
            self.write(data)

    def _framing(self) -> str:
        for extension in self._core.extensions:
            # A consumer with a smaller window cannot read frames compressed for all; plain ones it can.
            if isinstance(extension, PerMessageDeflate) and extension.local_max_window_bits == WINDOW_BITS:
                return "deflate"
        return "text"

    def _refuse(self, error: LadestromError, status: int) -> None:
        self._core.send_response(_refusal(error, status))
        self._flush()

    def _frame(self, frame: Frame) -> None:
        if frame.opcode in {Opcode.TEXT, Opcode.BINARY}:
            self._count_message()
            self._text = _decoder() if frame.opcode is Opcode.TEXT else None
        if self._text is None or frame.opcode not in {Opcode.TEXT, Opcode.CONT}:
            return
        try:
            self._text.decode(bytes(frame.data), final=frame.fin)
        except UnicodeDecodeError:
            self._core.fail(CloseCode.INVALID_DATA, "the text is not UTF-8")
        if frame.fin:
            self._text = None

    def _count_message(self) -> None:
        if self._heard_s - self._minute_began_s > 60:  # noqa: PLR2004
            self._minute_began_s = self._heard_s
            self._messages = 0
        self._messages += 1
        if self._messages > self._edge.limits.inbound_messages_per_minute_max:
            error = TooManyRequests("too many messages: this stream takes none, and bears 100 a minute")
            self.close(error.close_code, str(error), error.code)

    def _flush(self) -> None:
        for data in self._core.data_to_send():
            if data:
                self._transport.write(data)
            else:
                # The core's mark for the end of the connection, after both close frames or a failure.
                # Only our side is closed: with bytes unread, closing both would be a reset, which could
                # cost the consumer the frame that says why.
                self._closing = True
                if self._transport.can_write_eof():
                    self._transport.write_eof()
                else:
                    self._transport.close()
                self._expect_end()

    def close(self, code: int, reason: str, why: str) -> None:
        """Sends a close frame and waits a moment for the answer; frames not written yet are dropped."""
        if self._closing:
            return
        self._why = why
        if self._core.state is State.OPEN:
            self._core.send_close(code, reason[:120])
            self._flush()
        else:
            self._transport.close()
        self._closing = True
        self._expect_end()

    def _expect_end(self) -> None:
        if self._close_timer is None:
            loop = asyncio.get_running_loop()
            self._close_timer = loop.call_later(CLOSE_S_MAX, self._transport.abort)

    def abort(self, why: str) -> None:
        """Ends the connection without a word."""
        self._why = why
        self._closing = True
        self._transport.abort()

    def tend(self, now_s: float) -> None:
        """One look after the connection: is its key live, is it there, does it read?"""
        if self._closing:
            return
        limits = self._edge.limits
        if not self._edge.door.is_live(self._key_id):
            error = Unauthenticated("the key was revoked or has expired")
            self.close(error.close_code, str(error), "revoked")
        elif self.paused:
            size = self._transport.get_write_buffer_size()
            if self._stalled is None or size < self._stalled[1]:
                self._stalled = (now_s, size)
            elif now_s - self._stalled[0] > limits.stalled_s:
                self.abort("stalled")
        elif self._partial_s is not None and now_s - self._partial_s > PARTIAL_S_MAX:
            self.close(CloseCode.POLICY_VIOLATION, "a frame did not arrive in time", "partial frame")
        elif self._pinged_s is not None:
            if now_s - self._pinged_s > limits.ping_timeout_s:
                self.abort("no pong")
        elif now_s - self._heard_s > limits.ping_interval_s:
            self._pinged_s = now_s
            self._core.send_ping(b"")
            self._flush()


def _refusal(error: LadestromError, status: int) -> Response:
    body = problem(error, status)
    headers = Headers()
    headers["Content-Type"] = MEDIA_TYPE
    headers["Content-Length"] = str(len(body))
    headers["Connection"] = "close"
    headers["Cache-Control"] = "no-store"
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="ladestrom"'
    if isinstance(error, BadHandshake):
        headers["Sec-WebSocket-Version"] = "13"
    if error.retry:
        headers["Retry-After"] = "5"
    return Response(status, HTTPStatus(status).phrase, headers, body)


def _query(text: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=QUERY_VALUES_MAX)
    except ValueError as error:
        raise BadRequest(f"the query cannot be read ({error})") from error
    query: dict[str, str] = {}
    for name, value in pairs:
        query.setdefault(name, value)
    return query


def _check_origin(headers: Mapping[str, str], allowed: frozenset[str]) -> None:
    origin = headers.get("origin")
    if origin is None or origin in allowed or "*" in allowed:
        return
    try:
        host = urlsplit(origin).netloc.lower()
    except ValueError:
        host = ""
    if host != headers.get("host", "").lower():
        raise NotAllowed(
            f"pages of {origin[:100]!r} may not open this stream; ask its operator to allow the origin"
        )


def _now_s() -> float:
    return asyncio.get_running_loop().time()
