"""Server-sent events: one protocol object per consumer (WHATWG HTML, section 9.2)."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

import msgspec

from ladestrom.edges.connection import Accepted, Connection
from ladestrom.errors import LadestromError
from ladestrom.problem import MEDIA_TYPE, problem


class Close(msgspec.Struct, frozen=True, tag_field="type", tag="close"):
    """Last event of a stream of events: what the close frame of a WebSocket says."""

    code: int
    reason: str


class EventConnection(Connection):
    """One consumer of events. The answer has no length and ends with the connection."""

    def asked(self, target: str, headers: Mapping[str, str]) -> Accepted:
        """What the request asks for; names of headers are in lower case.

        Raises:
            LadestromError: refused, with the error's HTTP status.
        """
        raise NotImplementedError

    def begin(self, target: str, headers: Mapping[str, str], extra: list[tuple[bytes, bytes]]) -> None:
        """Answers the request; `extra` are headers that every answer of the server has."""
        cors = self._edge.cors
        told = b"".join(b"%s: %s\r\n" % pair for pair in cors.headers(headers.get("origin")))
        try:
            accepted = self.asked(target, headers).framed("event")
            self._edge.check_room(accepted.asker, accepted.subscription)
        except LadestromError as error:
            self._refuse(error, told)
            return
        head = [
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-store\r\n",
            b"connection: close\r\nx-accel-buffering: no\r\n",
            *(b"%s: %s\r\n" % pair for pair in extra),
            told,
            b"\r\n",
        ]
        self.write(b"".join(head))
        self.attach(accepted)

    def _refuse(self, error: LadestromError, told: bytes) -> None:
        body = problem(error)
        head = (
            f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}\r\ncontent-type: {MEDIA_TYPE}\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\ncache-control: no-store\r\n"
        )
        if error.status == HTTPStatus.UNAUTHORIZED:
            head += 'www-authenticate: Bearer realm="ladestrom"\r\n'
        if error.retry:
            head += "retry-after: 5\r\n"
        self.write(head.encode() + told + b"\r\n" + body)
        self._closing = self.paused = True
        self._queue.end(self._transport.close)
        self._feed()
        self.expect_end()

    def data_received(self, data: bytes) -> None:
        """A consumer of events has nothing to say; what it says is not looked at."""

    def say_goodbye(self, code: int, reason: str) -> None:
        """A last event that says why."""
        self._queue.put(b"event: close\ndata: %s\n\n" % msgspec.json.encode(Close(code, reason)))
        self._queue.end(self._transport.close)
