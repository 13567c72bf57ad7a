"""One HTTP connection: uvicorn's httptools class with more limits.

In addition it bounds the size of a request's head, closes connections whose bytes do not arrive or are not
taken in time, and lets a request arrive before it closes on it. It hands the connection over to what follows
HTTP: a stream, or another WebSocket.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import ClassVar, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from ladestrom import tasks
from ladestrom.edges.connection import StreamEdge, peer_of
from ladestrom.edges.documents import CUT
from ladestrom.edges.events import EventConnection
from ladestrom.edges.websocket import BadHandshake, WebSocketConnection
from ladestrom.errors import (
    BadRequest,
    LadestromError,
    NotFound,
    TooLarge,
    TooManyRequests,
)
from ladestrom.ingest.http_push import ARRIVED
from ladestrom.inner import CLIENT_HEADER, KEY_HEADER, PREFIX
from ladestrom.inner.client import Inner
from ladestrom.inner.forwarding import Splice, client_header
from ladestrom.problem import MEDIA_TYPE, problem
from ladestrom.server.gate import Gate
from ladestrom.server.parting import Parting
from ladestrom.server.websocket import WebSocketProtocol

HEADER_BYTES_MAX = 64 * 1024
SEPARATORS_BYTES: Final = len(b": \r\n")
RESPONSE_STALLED_S_MAX: Final = 30
"""A client that takes nothing of its answer for this long is cut off."""
UPGRADE_HEADERS: Final = (b"connection", b"upgrade", b"sec-websocket-")
UPGRADE_LINE_BYTES_MAX: Final = 8_000
"""The pure core reads no longer line of an upgrade request, and no more lines, and would not say so."""
UPGRADE_LINES_MAX: Final = 100


Successor = WebSocketConnection | EventConnection | WebSocketProtocol | Splice
"""What may follow HTTP on a connection."""


class HttpProtocol(HttpToolsProtocol):
    """One HTTP connection; `bound` makes the class for a server.

    Some clock runs whenever the client has to do something next: send a request's head, the rest of a body
    that nobody waits for, take its answer, or close. While a request is answered, its endpoint has its own.
    """

    edge: ClassVar[StreamEdge]
    gate: ClassVar[Gate]
    header_timeout_s: ClassVar[float]
    inner: ClassVar[Inner | None] = None
    """Where WebSockets go that are no streams; None where they are served here."""
    is_inner: ClassVar[bool] = False
    """Whether other processes of this server are the clients, and say for whom they ask."""
    _when_lost: Callable[[], None] | None = None
    """Gives back the place of the connection; who has the transport calls it in the end."""
    _deadline: asyncio.TimerHandle | None = None
    _begun = False
    """Between the first byte of a request and its last."""
    _in_head = True
    _has_asked = False
    """Whether there is a response, given or under way."""
    _head_bytes = 0
    """Bytes since the last that were body: of a head, or of what follows a body in chunks."""
    _last: Callable[[], None] | None = None
    """What the last request of this connection leads to: a hand-over to another protocol, or a refusal."""
    _is_held = False
    """Whether something has to be asked of another process before the last request is looked at."""
    _is_left = False
    """Whether another protocol has the transport: nothing here may touch it any more."""
    _parting: Parting
    _stall: asyncio.TimerHandle | None = None

    @classmethod
    def bound(
        cls,
        edge: StreamEdge,
        gate: Gate,
        header_timeout_s: float,
        *,
        inner: Inner | None = None,
        is_inner: bool = False,
    ) -> type[HttpProtocol]:
        """The class with what its objects need, as uvicorn makes them itself."""
        needed = {
            "edge": edge,
            "gate": gate,
            "header_timeout_s": header_timeout_s,
            "inner": inner,
            "is_inner": is_inner,
        }
        return type("BoundHttpProtocol", (cls,), needed)

    # -- asyncio.Protocol --------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts the clock of the first request's head, unless its address has too many connections."""
        super().connection_made(transport)
        self._parting = Parting()
        try:
            self._when_lost = self.gate.enter(peer_of(transport))
        except TooManyRequests as error:
            self.transport.write(self._refusal(error, error.status))
            self._parting.begin()
            self.transport.close()
            return
        self._start_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops the clocks, and gives back the place."""
        self._stop_clock()
        self._stop_stall()
        # uvicorn leaves the timer where the connection was reset.
        self._unset_keepalive_if_required()
        if self._when_lost is not None:
            self._when_lost()
        super().connection_lost(exc)
        # What has this object and is had by it would stay until the garbage collector comes.
        self._last = self.cycle = self.scope = None  # type: ignore[assignment]
        self.pipeline.clear()

    def data_received(self, data: bytes) -> None:
        """Bytes of a request; bounds the size of its head and trailer, which the parser does not."""
        if self._parting.has_begun:
            self._parting.discard(data, self.transport)
            return
        if self._is_at_end():
            return
        self._head_bytes += len(data)
        super().data_received(data)
        if self._is_at_end():
            self._take_turn()
            return
        if self._head_bytes > HEADER_BYTES_MAX:
            self.send_400_response("")
        if self._deadline is None and self._waits():
            self._start_clock()

    def eof_received(self) -> None:
        """The client closed its side; the transport closes after this call."""
        self._watch()

    def pause_writing(self) -> None:
        """The client does not take its answer as fast as we give it."""
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        """It does."""
        super().resume_writing()
        self._stop_stall()
        if self.transport.is_closing():
            self._watch()
        self._take_turn()

    # -- the parser's callbacks --------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """The next request's head begins; `data_received` starts its clock, unless it ends at once."""
        super().on_message_begin()
        self._begun = self._in_head = True
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        """The head is there; what answers it closes through `end`."""
        self._stop_clock()
        if self.is_inner:
            self._take_client()
        head_bytes, hosts = len(self.url), 0
        for name, value in self.headers:
            head_bytes += len(name) + len(value) + SEPARATORS_BYTES
            hosts += name == b"host"
        self._head_bytes = head_bytes
        if head_bytes > HEADER_BYTES_MAX:
            # The parser stops, and uvicorn calls `send_400_response`.
            raise TooLarge
        if hosts > 1:
            # RFC 9112, section 3.2
            raise BadRequest
        self._in_head = False
        self._head_bytes = 0
        if self._is_at_end():
            # Nothing that follows a request for events is looked at.
            return
        events = self._events_asked_for()
        if events is not None:
            connection = events(self.edge, self.server_state)
            target, named = self.url.decode("latin-1"), _named(self.headers)
            asked = target, named, self.server_state.default_headers
            self._ask_first(target, named)
            self._last = partial(self._hand_over, connection, partial(connection.begin, *asked))
            return
        before = self.cycle
        super().on_headers_complete()
        if self.cycle is not before:
            self._has_asked = True
            self.cycle.transport = _Outlet(self, self.cycle)  # type: ignore[assignment]

    def on_message_complete(self) -> None:
        """The request is there. When it was answered before, the connection is idle from now on."""
        if self._is_at_end():
            return
        super().on_message_complete()
        self.scope["extensions"] = {ARRIVED: {}, CUT: {"cut": self.transport.abort}}
        self._begun = False
        self._in_head = True
        self._head_bytes = 0
        if self._has_asked and self.cycle.response_complete and not self.transport.is_closing():
            self._stop_clock()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def on_response_complete(self) -> None:
        """Starts the clock of the rest of a body that nobody reads."""
        super().on_response_complete()
        if self._is_at_end():
            self._take_turn()
            return
        if self._begun and not self._in_head and self._deadline is None and not self.has_ended:
            self._unset_keepalive_if_required()
            self._start_clock()

    def on_body(self, body: bytes) -> None:
        """A piece of the body; a request for events has no use for one."""
        self._head_bytes = 0
        if not self._is_at_end():
            super().on_body(body)

    def _get_upgrade(self) -> bytes | None:
        """What the request upgrades to, of all lines of its headers; uvicorn looks at the last one."""
        named = _named(self.headers)
        options = {option.strip().lower() for option in named.get("connection", "").split(",")}
        return named.get("upgrade", "").lower().encode("latin-1") if "upgrade" in options else None

    def _events_asked_for(self) -> type[EventConnection] | None:
        if self.parser.get_method() != b"GET" or (self.parser.should_upgrade() and self._should_upgrade()):
            return None
        return self.edge.events.get(self.url.partition(b"?")[0].decode("latin-1"))

    def handle_websocket_upgrade(self) -> None:
        """Hands stream paths to our class, others to uvicorn's."""
        if self.parser.get_http_version() == "1.0":
            # RFC 6455, section 4.2.1: the request is of HTTP/1.1 or higher.
            self._refuse(BadHandshake("an upgrade to WebSocket needs HTTP/1.1"), BadHandshake.status)
            return
        target = self.url.decode("latin-1")
        path = target.partition("?")[0]
        # The pure core needs neither the query nor other headers.
        needed = [pair for pair in self.headers if pair[0].startswith(UPGRADE_HEADERS)]
        head = _head(self.parser.get_method(), path.encode("latin-1"), needed)
        lines = head.split(b"\r\n")
        if len(lines) > UPGRADE_LINES_MAX or max(map(len, lines)) > UPGRADE_LINE_BYTES_MAX:
            most = f"{UPGRADE_LINES_MAX} lines of {UPGRADE_LINE_BYTES_MAX} bytes"
            self._refuse(BadHandshake(f"an upgrade request has at most {most}"), BadHandshake.status)
            return
        protocol: Successor
        if path in self.edge.sockets:
            named = _named(self.headers)
            protocol = self.edge.sockets[path](self.edge, self.server_state, target, named)
            self._ask_first(target, named)
        elif self.inner is not None:
            self._splice(self.inner, path)
            return
        else:
            query = self.url.partition(b"?")[2]
            protocol = WebSocketProtocol(self.config, self.server_state, self.app_state, query, self.headers)
            protocol.named = self.client if self.is_inner else None
        self._last = partial(self._hand_over, protocol, partial(protocol.data_received, head))
        self._take_turn()

    # -- other processes ---------------------------------------------------------------------------------

    def _take_client(self) -> None:
        """The client is whom the other process names."""
        for pair in self.headers:
            if pair[0] == CLIENT_HEADER:
                self.headers.remove(pair)
                self.client = (pair[1].decode("latin-1"), 0)
                self.scope["client"] = self.client
                self.scope["state"]["forwarded"] = True
                return

    def _ask_first(self, target: str, headers: Mapping[str, str]) -> None:
        """Holds the request while its ticket is looked for."""
        try:
            asking = self.edge.asks_first(target, headers)
        except BadRequest:
            # Whoever looks at the request says so.
            return
        if asking is not None:
            self._is_held = True
            task = tasks.start(asking, "asking for a ticket", tasks.awaited)
            task.add_done_callback(self._go_on)

    def _go_on(self, _: object) -> None:
        self._is_held = False
        self._take_turn()

    def _splice(self, inner: Inner, path: str) -> None:
        """Has another process serve a WebSocket."""
        if path.startswith(PREFIX):
            self._refuse(NotFound("no WebSocket is here"), NotFound.status)
            return
        told = [pair for pair in self.headers if pair[0] not in {CLIENT_HEADER, KEY_HEADER}]
        told += [*inner.headers, client_header(self.client)]
        head = _head(self.parser.get_method(), self.url, told)
        splice = Splice(inner, head, self.connections, lambda error: self._refusal(error, error.status))
        self._last = partial(self._hand_over, splice, splice.begin)
        self._take_turn()

    # -- the last request --------------------------------------------------------------------------------

    @property
    def is_fresh(self) -> bool:
        """Whether the connection has brought no request yet."""
        return not (self._has_asked or self._is_at_end() or self._parting.has_begun)

    def _is_at_end(self) -> bool:
        """Whether nothing that follows on this connection is looked at."""
        return self._last is not None or self._is_left

    def _take_turn(self) -> None:
        """Does what the last request leads to, once earlier requests were answered and the answers taken."""
        if self._last is None or self.has_ended:
            return
        if self._is_held:
            self.flow.pause_reading()
            return
        before: RequestResponseCycle | None = self.cycle
        if self.pipeline or self.flow.write_paused or (before is not None and not before.response_complete):
            self.flow.pause_reading()
        else:
            self._last()

    def _hand_over(self, protocol: Successor, begin: Callable[[], None]) -> None:
        """Gives the transport to another protocol, which begins when nothing of ours is left on it.

        A timer that went on here, or a callback of the transport that came here, would end a connection that
        is not ours any more.
        """
        self._is_left = True
        self._last = self.parser = None  # type: ignore[assignment]
        self._stop_clock()
        self._stop_stall()
        self._unset_keepalive_if_required()
        self.connections.discard(self)
        self.flow.resume_reading()
        protocol.when_lost, self._when_lost = self._when_lost, None
        self.transport.set_protocol(protocol)
        protocol.connection_made(self.transport)
        begin()

    # -- ends --------------------------------------------------------------------------------------------

    def send_400_response(self, msg: str) -> None:
        """What the parser cannot read, or need not read further."""
        if self._head_bytes > HEADER_BYTES_MAX:
            self._refuse(TooLarge(f"the request's head is larger than {HEADER_BYTES_MAX} bytes"), 431)
        else:
            self._refuse(BadRequest(msg), 400)

    def _refuse(self, error: LadestromError, status: int) -> None:
        self._last = partial(self._say_refusal, error, status)
        if self._in_head:
            self._take_turn()
        elif not self.has_ended:
            # The fault is in the body of a request whose answer may be waiting for that body.
            self._last()

    def _say_refusal(self, error: LadestromError, status: int) -> None:
        self.transport.write(self._refusal(error, status))
        self._begun = True
        self.end()

    def _refusal(self, error: LadestromError, status: int) -> bytes:
        """An answer that is given before the path and the origin of a request are known."""
        body = problem(error, status)
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: {MEDIA_TYPE}\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n"
        )
        if error.retry:
            head += f"retry-after: {error.retry_after_s}\r\n"
        told = b"".join(b"%s: %s\r\n" % pair for pair in self.edge.cors.headers(None))
        return head.encode() + told + b"\r\n" + body

    def end(self) -> None:
        """Closes the connection; while a request is still arriving, our side of it only.

        With bytes unread, closing both sides would be a reset, which could cost the client our answer.
        """
        if self._is_left:
            return
        if not self._begun or not self.transport.can_write_eof():
            self.transport.close()
            self._watch()
        elif not self._parting.has_begun:
            self._parting.begin()
            self.transport.write_eof()
            self.flow.resume_reading()
            self._stop_clock()
            self._start_clock()

    @property
    def has_ended(self) -> bool:
        """Whether we said our last."""
        return self._is_left or self._parting.has_begun or self.transport.is_closing()

    def _waits(self) -> bool:
        if self.has_ended or self.timeout_keep_alive_task is not None:
            return False
        is_answering = self._has_asked and not self.cycle.response_complete
        return not is_answering or (self._in_head and self._begun)

    def _start_clock(self) -> None:
        self._deadline = self.loop.call_later(self.header_timeout_s, self._late)

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _late(self) -> None:
        self._deadline = None
        self.transport.abort()

    def shutdown(self) -> None:
        """The server stops."""
        super().shutdown()
        self._watch()

    def timeout_keep_alive_handler(self) -> None:
        """Nothing was asked for long."""
        super().timeout_keep_alive_handler()
        self._watch()

    def _watch(self) -> None:
        """Ends the connection unless its client takes what waits. To close it would wait for that, too."""
        waiting_bytes = self.transport.get_write_buffer_size()
        if self._stall is None and waiting_bytes:
            self._stall = self.loop.call_later(RESPONSE_STALLED_S_MAX, self._look, waiting_bytes)

    def _look(self, waiting_bytes: int) -> None:
        self._stall = None
        if self.transport.get_write_buffer_size() >= waiting_bytes:
            self.transport.abort()
        else:
            self._watch()

    def _stop_stall(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None


def _named(pairs: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers by name; those that come several times as one list (RFC 9110, section 5.3)."""
    named: dict[str, str] = {}
    for raw_name, raw_value in pairs:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        named[name] = f"{named[name]}, {value}" if name in named else value
    return named


def _head(method: bytes, target: bytes, headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    lines = [b"%s: %s\r\n" % pair for pair in headers]
    return b"%s %s HTTP/1.1\r\n%s\r\n" % (method, target, b"".join(lines))


class _Outlet:
    """The transport as a response sees it.

    A response's head goes out with what follows it in the same step of the loop: in one system call and in
    one packet.
    """

    __slots__ = ("_cycle", "_has_head", "_head", "_protocol")

    def __init__(self, protocol: HttpProtocol, cycle: RequestResponseCycle) -> None:
        self._protocol = protocol
        # The cycle has this object; if this one had it too, both would wait for the garbage collector.
        self._cycle = weakref.ref(cycle)
        # Nothing follows the head of a response to HEAD.
        self._has_head = cycle.scope["method"] == "HEAD"
        """Whether the head was given, or is not to wait."""
        self._head = b""
        """While it waits for what follows it."""

    def write(self, data: bytes) -> None:
        """Part of the response, or the line before it that asks for the body (RFC 9110, section 15.2.1)."""
        if not self._has_head and (cycle := self._cycle()) is not None and cycle.response_started:
            self._has_head = True
            self._head = data
            self._protocol.loop.call_soon(self._flush)
            return
        head, self._head = self._head, b""
        self._say(head + data)

    def _flush(self) -> None:
        head, self._head = self._head, b""
        if head:
            self._say(head)

    def _say(self, data: bytes) -> None:
        if not self._protocol.has_ended:
            self._protocol.transport.write(data)

    def is_closing(self) -> bool:
        """Whether nothing more can be said."""
        return self._protocol.has_ended

    def close(self) -> None:
        """Ends the connection once the request has arrived."""
        self._flush()
        self._protocol.end()
