"""A server of somebody else, on loopback: answers as it is told to, over HTTP or HTTPS, and can misbehave.

    with Answering() as other:
        other.say(json={"points": []}, headers={"ETag": '"1"'})
        other.url                 http://127.0.0.1:PORT
        other.requests            what was asked: method, path, headers (names in lower case), body

`other.answer` may be any function from a request to bytes that are written as they are.
"""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, NamedTuple, Self

from tests.patience import DEADLINE_S

ACCEPT_S = 0.1


class Asked(NamedTuple):
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


Respond = Callable[[Asked, Callable[[bytes], None]], None]


class Answering:
    """One server, a thread for each connection; a connection is closed after its answer."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Asked] = []
        self.connections = 0
        self.respond: Respond = plain(404, b"")
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(ACCEPT_S)
        self._closing = threading.Event()
        self._threads: list[threading.Thread] = []
        self.port = int(self._listener.getsockname()[1])
        self.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._listener.close()
        for thread in self._threads:
            thread.join(DEADLINE_S)

    @property
    def closing(self) -> bool:
        return self._closing.is_set()

    def say(
        self, status: int = 200, *, body: bytes = b"", headers: Mapping[str, str] | None = None, **given: Any
    ) -> None:
        """What everybody is told from now on; `json` may be given instead of a body."""
        content = json.dumps(given["json"]).encode() if "json" in given else body
        self.respond = plain(status, content, headers)

    def paths(self) -> list[str]:
        return [asked.path for asked in self.requests]

    def _start(self, work: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            self.connections += 1
            self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(DEADLINE_S)
        try:
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            asked = _read(connection)
            if asked is not None:
                self.requests.append(asked)
                self.respond(asked, connection.sendall)
        except OSError:
            pass
        finally:
            connection.close()


def plain(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> Respond:
    """An answer like any other."""

    def respond(asked: Asked, send: Callable[[bytes], None]) -> None:
        send(head(status, {"Content-Length": str(len(body)), **(headers or {})}) + body)

    return respond


def head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode()


def redirecting(to: str, status: int = 302) -> Respond:
    return plain(status, b"", {"Location": to})


def trickling(server: Answering, first: bytes, every_s: float = 0.05) -> Respond:
    """Sends a head, then a byte at a time until the server closes."""

    def respond(asked: Asked, send: Callable[[bytes], None]) -> None:
        send(head(200, {"Content-Length": "1000000"}) + first)
        while not server.closing:
            send(b" ")
            time.sleep(every_s)

    return respond


def silent(server: Answering) -> Respond:
    """Takes the request and says nothing."""

    def respond(asked: Asked, send: Callable[[bytes], None]) -> None:
        while not server.closing:
            time.sleep(0.05)

    return respond


def flooding(server: Answering) -> Respond:
    """An answer without end and without a length."""

    def respond(asked: Asked, send: Callable[[bytes], None]) -> None:
        send(head(200, {"Content-Type": "application/json"}))
        while not server.closing:
            send(b"[" * 65_536)

    return respond


def _read(connection: socket.socket) -> Asked | None:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65_536)
        if not piece:
            return None
        data += piece
    top, _, body = data.partition(b"\r\n\r\n")
    lines = top.decode("latin-1").split("\r\n")
    method, path, _ = lines[0].split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    while len(body) < int(headers.get("content-length", "0")):
        body += connection.recv(65_536)
    return Asked(method, path, headers, body)
