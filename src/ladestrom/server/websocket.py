"""uvicorn's ASGI class for WebSockets, for all paths that are no stream: frames have to arrive in time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import uvicorn
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.exceptions import InvalidHandshake
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.frames import CloseCode, Frame
from websockets.http11 import Request

from ladestrom.edges.connection import CLOSE_S_MAX
from ladestrom.edges.slices import Slices
from ladestrom.edges.websocket import Core
from ladestrom.ingest.ocpp_server import COMPRESSION, MESSAGE_BYTES_MAX, PINGS
from ladestrom.server.parting import Parting

WEBSOCKET_BYTES_MAX = 8 * 1024 * 1024
"""A report message: as much as a request's body."""
FRAME_GRACE_S: Final = 10
"""A frame has this long, and a second more for each 64 KiB of it that arrived."""
FRAME_BYTES_PER_S_MIN: Final = 64 * 1024
DEFLATE: Final = ServerPerMessageDeflateFactory(
    server_no_context_takeover=True, client_max_window_bits=12, compress_settings={"level": 1, "memLevel": 5}
)
"""permessage-deflate with those that send us many small messages (RFC 7692). What they send may refer to what
they sent before: for that a connection keeps at most 12 KiB, or 40 KiB where the client cannot have a smaller
window (`client_max_window_bits`). What we send is compressed on its own, so nothing is kept of it."""


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's, for all paths that are no stream; ends connections whose frames do not arrive in time."""

    conn: Core
    _partial: asyncio.TimerHandle | None = None
    _partial_began_s = 0.0
    _partial_bytes = 0
    _end: asyncio.TimerHandle | None = None
    _slices: Slices | None = None
    _message: bytearray | None = None
    """What has come of a message in fragments, from the second one on."""
    named: tuple[str, int] | None = None
    """The client, where another process asks for it."""
    when_lost: Callable[[], None] | None = None
    """Is called once when the connection has ended."""

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        query: bytes,
        headers: Sequence[tuple[bytes, bytes]],
    ) -> None:
        """Takes our pure core; what it does not need of the request is for the application."""
        super().__init__(config, server_state, app_state)
        self._asked = query, headers
        self._parting = Parting()
        self._pings: dict[object, object] = {}
        self.conn = Core(config.ws_max_size, logger=self.logger)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Takes over from the HTTP protocol."""
        super().connection_made(transport)
        if self.named is not None:
            self.client = self.named

    def handle_connect(self, event: Request) -> None:
        """Gives the application the whole request, and the times of pings, which ASGI does not tell it."""
        super().handle_connect(event)
        if self.response.status_code == HTTPStatus.SWITCHING_PROTOCOLS:
            self.scope["query_string"], self.scope["headers"] = self._asked
            self.scope["extensions"][PINGS] = self._pings

    def handle_pong(self, event: Frame) -> None:
        """A pong is a sign of life like a ping."""
        self._pings["last_s"] = self.loop.time()
        super().handle_pong(event)

    def handle_ping(self) -> None:
        """Notes when it came; the pong is the library's."""
        self._pings["last_s"] = self.loop.time()
        super().handle_ping()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops the clocks."""
        if self._slices is not None:
            self._slices.stop()
            self._slices = None
        self.conn.end()
        self._stop_partial()
        if self._end is not None:
            self._end.cancel()
        if self.when_lost is not None:
            self.when_lost()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Starts the clock with the first byte of a message, and stops it with the last."""
        if self._slices is None:
            self._slices = Slices(self.transport, self._take, may_read=lambda: not self.read_paused)
        self._slices.put(data)

    def _take(self, data: bytes) -> None:
        if self._parting.has_begun:
            self._parting.discard(data, self.transport)
            return
        self._partial_bytes += len(data)
        super().data_received(data)
        self._expect_end()

    def handle_events(self) -> None:
        """Passes complete frames on."""
        is_complete = bool(self.conn.events)
        super().handle_events()
        in_message = self.conn.current_size is not None
        if is_complete and not in_message:
            self._stop_partial()
        if in_message or not is_complete or self.conn.reader.buffer:
            self._start_partial()

    def handle_cont(self, event: Frame) -> None:
        """Adds to a message, so that it costs what its bytes do, however many fragments it comes in."""
        if self._message is None:
            self._message, self.frames = bytearray(self.frames[0]), []
        self._message += event.data
        if event.fin:
            self.frames, self._message = [bytes(self._message)], None
            self.send_receive_event_to_app()

    def send_receive_event_to_app(self) -> None:
        """Passes a message on. Text that is none ends the connection, without the traceback of uvicorn's."""
        try:
            if self.curr_msg_data_type == "text":
                self.frames[0].decode()
        except UnicodeDecodeError:
            self.frames = []
            self.conn.fail(CloseCode.INVALID_DATA, "the text is not UTF-8")
            self.handle_parser_exception()
        else:
            super().send_receive_event_to_app()

    def handle_parser_exception(self) -> None:
        """Refuses a message, and with it all that follows; closes our side only, as `HttpProtocol.end`."""
        if not self._parting.has_begun and self.conn.close_sent is not None:
            self._parting.begin()
            code, reason = self.conn.close_sent.code, self.conn.close_sent.reason
            self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.close_sent = True
            self.close_timer = self.loop.call_later(self.close_timeout, self.transport.close)
            self.transport.write_eof()
            if self.read_paused:
                self.read_paused = False
                self.transport.resume_reading()
        self._expect_end()

    async def send(self, message: Any) -> None:  # noqa: ANN401 - uvicorn's own type is private
        """Takes what the application says. A refused upgrade is complete; uvicorn would log an error."""
        if message["type"] == "websocket.accept":
            self._agree(message)
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body", False):
            self.handshake_complete = True
        self._expect_end()

    def _agree(self, accepted: Mapping[str, Any]) -> None:
        """What the application decides about messages, for which ASGI has no words."""
        if MESSAGE_BYTES_MAX in accepted:
            self.conn.limit(accepted[MESSAGE_BYTES_MAX])
        if accepted.get(COMPRESSION):
            self.conn.available_extensions = [DEFLATE]
            # An offer that cannot be read is none: nobody needs compression to be understood.
            with contextlib.suppress(InvalidHandshake):
                header, self.conn.extensions = self.conn.process_extensions(self.request.headers)
                if header is not None:
                    self.response.headers["Sec-WebSocket-Extensions"] = header

    async def run_asgi(self) -> None:
        """The application's part, from the handshake to the end."""
        await super().run_asgi()
        self._expect_end()

    def keepalive_timeout(self) -> None:
        """No pong came. While we do not read and the peer takes what we write, the peer is not at fault."""
        if self.read_paused and self.writable.is_set():
            self.pong_timer = self.loop.call_later(self.ping_timeout or 0, self.keepalive_timeout)
            return
        super().keepalive_timeout()
        self._expect_end()

    def shutdown(self) -> None:
        """The server stops."""
        super().shutdown()
        self._expect_end()

    def _expect_end(self) -> None:
        """Sees to it that a closed connection ends, even if its peer does not take what waits."""
        if self._end is None and not self.disconnected and (self.close_sent or self.transport.is_closing()):
            self._end = self.loop.call_later(self.close_timeout + CLOSE_S_MAX, self.transport.abort)

    def _start_partial(self) -> None:
        if self._partial is None and not self.transport.is_closing():
            self._partial_began_s = self.loop.time()
            self._partial_bytes = 0
            self._partial = self.loop.call_later(FRAME_GRACE_S, self._late)

    def _stop_partial(self) -> None:
        if self._partial is not None:
            self._partial.cancel()
            self._partial = None

    def _late(self) -> None:
        self._partial = None
        now_s = self.loop.time()
        due_s = self._partial_began_s + FRAME_GRACE_S + self._partial_bytes / FRAME_BYTES_PER_S_MIN
        if self.read_paused:
            # It is we who keep the rest of it waiting.
            due_s = now_s + FRAME_GRACE_S
        if due_s > now_s:
            self._partial = self.loop.call_at(due_s, self._late)
        elif not self.transport.is_closing():
            self.conn.fail(CloseCode.POLICY_VIOLATION, "a frame did not arrive in time")
            self.handle_parser_exception()
