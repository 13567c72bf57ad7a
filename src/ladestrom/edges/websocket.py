"""Streams over WebSocket: one protocol object per consumer, over the pure core of `websockets`."""

from __future__ import annotations

import asyncio
import codecs
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from types import MappingProxyType
from typing import Final

import structlog
from uvicorn.server import ServerState
from websockets.datastructures import Headers
from websockets.exceptions import PayloadTooBig
from websockets.extensions.base import ServerExtensionFactory
from websockets.extensions.permessage_deflate import PerMessageDeflate, ServerPerMessageDeflateFactory
from websockets.frames import CTRL_OPCODES, CloseCode, Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.typing import LoggerLike, StatusLike

from ladestrom.edges.connection import Accepted, Connection, StreamEdge
from ladestrom.edges.framing import WINDOW_BITS
from ladestrom.edges.slices import SLICE_BYTES, Slices
from ladestrom.errors import BadRequest, LadestromError, NotFound, TooManyRequests
from ladestrom.problem import MEDIA_TYPE, problem

logger = structlog.get_logger(__name__)

PARTIAL_S_MAX: Final = 10
"""How long a frame may take to arrive once it has begun."""
_decoder = codecs.getincrementaldecoder("utf-8")
MINUTE_S: Final = 60
CONTROL_BYTES_MAX: Final = 125
"""RFC 6455, section 5.5: of a control frame."""
EXTENSIONS: Final = (
    ServerPerMessageDeflateFactory(server_no_context_takeover=True, client_no_context_takeover=True),
)
"""What consumers are offered."""
NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})
HANDSHAKE_CHARACTERS_MAX: Final = 200
"""Of what is told about a bad upgrade request, which quotes it."""


class BadHandshake(BadRequest):
    means = "The request to open a WebSocket breaks a rule of RFC 6455, section 4.2.1."
    advice = "Use a WebSocket library; `detail` names the header that is missing or wrong."
    code = "bad_handshake"


class Core(ServerProtocol):
    """The pure core; takes control frames wherever they come, and refuses upgrades as we do."""

    def __init__(
        self,
        message_bytes_max: int,
        *,
        extensions: Sequence[ServerExtensionFactory] = (),
        logger: LoggerLike | None = None,
    ) -> None:
        super().__init__(extensions=extensions, logger=logger)
        self.limit(message_bytes_max)

    def limit(self, message_bytes_max: int) -> None:
        """From now on a message may have so many bytes, all fragments together, unpacked."""
        # The library looks at a frame's size before its kind, and the limit is that of messages.
        self.max_message_size = message_bytes_max + CONTROL_BYTES_MAX
        self._message_bytes_max = message_bytes_max

    def end(self) -> None:
        """Nothing more comes: lets go of itself, so that it is freed without the garbage collector."""
        self.parser.close()
        self.parser_exc = self.handshake_exc = None

    def recv_frame(self, frame: Frame) -> None:
        """A frame of the peer.

        Control frames may come between the fragments of a message (RFC 6455, section 5.4), and take nothing
        of what the message may have. Close is one: it ends the connection, and the message stays incomplete.
        """
        if frame.opcode is Opcode.CLOSE:
            self.current_size = None
        elif frame.opcode not in CTRL_OPCODES:
            room = self._message_bytes_max - (self.current_size or 0)
            if len(frame.data) > room:
                raise PayloadTooBig(len(frame.data), room)
        super().recv_frame(frame)

    def reject(self, status: StatusLike, text: str) -> Response:
        """The answer to a request that is refused: a problem document."""
        # Without a text it is uvicorn that refuses, where the application has no WebSocket.
        if text:
            return refusal(BadHandshake(text.strip()[:HANDSHAKE_CHARACTERS_MAX]), int(status))
        return refusal(NotFound("no WebSocket is here"), NotFound.status)


class WebSocketConnection(Connection):
    """One consumer over WebSocket."""

    def __init__(
        self, edge: StreamEdge, server_state: ServerState, target: str, headers: Mapping[str, str]
    ) -> None:
        """Waits for the upgrade request, of which only what the pure core needs comes by `data_received`.

        Args:
            edge: what all connections share.
            server_state: uvicorn's.
            target: path and query of the request.
            headers: all of them, names in lower case.
        """
        super().__init__(edge, server_state)
        self._target = target
        self._headers = headers
        self._core = Core(edge.limits.inbound_bytes_max, extensions=EXTENSIONS)
        self._slices: Slices | None = None
        """None while the consumer never sent more than a piece at once: most send nothing but pongs."""
        self._heard_s = 0.0
        self._pinged_s: float | None = None
        self._partial_s: float | None = None
        self._minute_began_s = 0.0
        self._messages = 0
        self._text: codecs.IncrementalDecoder | None = None
        self._pieces: list[str]
        """Of the message that is decoded."""

    # -- asyncio.Protocol --------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Takes over from the HTTP protocol; the request follows by `data_received`."""
        super().connection_made(transport)
        self._heard_s = _now_s()

    def connection_lost(self, exc: Exception | None) -> None:
        """Gives back what the connection held."""
        if self._slices is not None:
            self._slices.stop()
            self._slices = None
        self._core.end()
        super().connection_lost(exc)

    def caught_up(self) -> None:
        """The consumer has taken what waited. The time for its own frames and pongs starts again."""
        now_s = _now_s()
        if self._partial_s is not None:
            self._partial_s = now_s
        if self._pinged_s is not None:
            self._pinged_s = now_s
        super().caught_up()

    def data_received(self, data: bytes) -> None:
        """Bytes from the consumer: the upgrade request first, then its frames."""
        if self._slices is None:
            if len(data) <= SLICE_BYTES:
                self._take(data)
                return
            self._slices = Slices(self._transport, self._take, may_go_on=lambda: not self._reading_paused)
        self._slices.put(data)

    def _read_on(self) -> None:
        if self._slices is None:
            super()._read_on()
        else:
            self._slices.go_on()

    def _take(self, data: bytes) -> None:
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

    # -- the conversation --------------------------------------------------------------------------------

    def _handshake(self, request: Request) -> None:
        response = self._core.accept(request)
        if response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            self._respond(response)
            return
        framing = self._framing()
        try:
            accepted = self.asked(self._target, self._headers).framed(framing)
            self._edge.check_room(accepted.asker, accepted.subscription)
        except LadestromError as error:
            self._respond(refusal(error, error.status))
            return
        self._respond(response)
        self._target, self._headers = "", NO_HEADERS
        # The core has the request as long as the connection lasts.
        request.headers.clear()
        self.attach(accepted)

    def asked(self, target: str, headers: Mapping[str, str]) -> Accepted:
        """What the upgrade request asks for.

        Raises:
            LadestromError: refused before the upgrade.
        """
        raise NotImplementedError

    def received(self, text: str) -> None:
        """A message from the consumer; where it has nothing to say, it is not looked at."""

    def _framing(self) -> str:
        for extension in self._core.extensions:
            # A consumer with a smaller window cannot read frames compressed for all; plain ones it can.
            if isinstance(extension, PerMessageDeflate) and extension.local_max_window_bits == WINDOW_BITS:
                return "deflate"
        return "text"

    def _respond(self, response: Response) -> None:
        self._core.send_response(response)
        self._flush()

    def _frame(self, frame: Frame) -> None:
        if frame.opcode in {Opcode.TEXT, Opcode.BINARY}:
            self._count_message()
            self._text = _decoder() if frame.opcode is Opcode.TEXT else None
            self._pieces = []
        if self._text is None or frame.opcode not in {Opcode.TEXT, Opcode.CONT}:
            return
        try:
            self._pieces.append(self._text.decode(bytes(frame.data), final=frame.fin))
        except UnicodeDecodeError:
            self._core.fail(CloseCode.INVALID_DATA, "the text is not UTF-8")
            self._text = None
            return
        if frame.fin:
            text, self._text, self._pieces = "".join(self._pieces), None, []
            if not self._closing:
                self.received(text)

    def _count_message(self) -> None:
        if self._heard_s - self._minute_began_s > MINUTE_S:
            self._minute_began_s = self._heard_s
            self._messages = 0
        self._messages += 1
        if self._messages > self._edge.limits.inbound_messages_per_minute_max:
            limit = self._edge.limits.inbound_messages_per_minute_max
            error = TooManyRequests(f"too many messages: the limit of this stream is {limit} a minute")
            self.close(error.close_code, str(error), error.code)

    def _flush(self) -> None:
        """Writes the core's frames: before messages that have not begun, or, at the end, after all."""
        for data in self._core.data_to_send():
            if not data:
                self._leave()
            elif self._closing:
                self._queue.put(data)
            else:
                self._queue.put_control(data)
                self._queue.feed()
        self._feed()

    def _leave(self) -> None:
        """The core's mark for the end of the connection: both close frames were sent, or it failed."""
        self._closing = self.paused = True
        self._queue.drop()
        failed = self._core.state is State.CLOSING and self._core.close_rcvd is None
        self._queue.end(self._close_our_side if failed else self._transport.close)
        self.expect_end()

    def _close_our_side(self) -> None:
        """Closing both sides with bytes unread would be a reset, and the close frame might not arrive."""
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()

    def say_goodbye(self, code: int, reason: str) -> None:
        """A close frame; the consumer has `CLOSE_S_MAX` to answer it."""
        if self._core.state is State.OPEN:
            self._core.send_close(code, reason[:120])
            self._flush()
        else:
            self._queue.end(self._transport.close)

    def look(self, now_s: float) -> None:
        """Frames that do not arrive, and pings."""
        limits = self._edge.limits
        if self._partial_s is not None and now_s - self._partial_s > PARTIAL_S_MAX:
            self.close(CloseCode.POLICY_VIOLATION, "a frame did not arrive in time", "partial frame")
        elif self._pinged_s is not None:
            if now_s - self._pinged_s > limits.ping_timeout_s:
                self.abort("no pong")
        elif now_s - self._heard_s > limits.ping_interval_s:
            self._pinged_s = now_s
            self._core.send_ping(b"")
            self._flush()


def refusal(error: LadestromError, status: int) -> Response:
    """The answer to an upgrade request that is refused."""
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


def _now_s() -> float:
    return asyncio.get_running_loop().time()
