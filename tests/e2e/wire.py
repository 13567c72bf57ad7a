"""One connection by hand: bytes out, heads and frames in. For what no well-behaved client would do.

    with Wire(port) as wire:
        wire.open("/api/v1/stream", {"Authorization": f"Bearer {key}"})
        assert wire.message()["type"] == "snapshot:init"
        wire.put(PING, b"hello")

Everything that waits has a deadline, and raises `TimeoutError` after it. Every text frame has to be as the
published AsyncAPI document says.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import zlib
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from tests.contracts.frames import checked
from tests.patience import DEADLINE_S

CHUNK_BYTES: Final = 65_536
HEAD_BYTES_MAX: Final = 65_536

CONT: Final = 0
TEXT: Final = 1
BINARY: Final = 2
CLOSE: Final = 8
PING: Final = 9
PONG: Final = 10

HANDSHAKE_KEY: Final = "dGhlIHNhbXBsZSBub25jZQ=="
HANDSHAKE_ACCEPT: Final = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
"""Source: RFC 6455, section 1.3."""
UPGRADE: Final = {
    "Host": "127.0.0.1",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": HANDSHAKE_KEY,
    "Sec-WebSocket-Version": "13",
}


class Ended(Exception):
    """The other side closed or reset the connection."""


class Head(NamedTuple):
    """Status line and headers of a response, names in lower case."""

    status: int
    headers: dict[str, str]


class Frame(NamedTuple):
    """One WebSocket frame as it stood on the wire, unmasked."""

    opcode: int
    payload: bytes
    fin: bool = True
    compressed: bool = False

    @property
    def code(self) -> int:
        """Status code of a close frame; 1005 where it has none."""
        return struct.unpack("!H", self.payload[:2])[0] if self.payload else 1005


def alone(got: Frame) -> bytes:
    """A whole frame's content, read as if no other had been before it."""
    assert got.fin, "a server sends each message in one frame"
    if not got.compressed:
        return got.payload
    return zlib.decompressobj(wbits=-15).decompress(got.payload + b"\x00\x00\xff\xff")


def request(target: str, headers: Mapping[str, str], method: str = "GET") -> bytes:
    """A request's head."""
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, mask: bool = True, rsv: int = 0, length: int = -1
) -> bytes:
    """A client's frame. `length` is what the header says, where that is not the truth."""
    size = len(payload) if length < 0 else length
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    bit = 0x80 if mask else 0
    if size < 126:
        head = struct.pack("!BB", first, bit | size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", first, bit | 126, size)
    else:
        head = struct.pack("!BBQ", first, bit | 127, size)
    if not mask:
        return head + payload
    key = os.urandom(4)
    repeated = key * (len(payload) // 4 + 1)
    masked = int.from_bytes(payload, "big") ^ int.from_bytes(repeated[: len(payload)], "big")
    return head + key + masked.to_bytes(len(payload), "big")


class Wire:
    """A socket with a buffer. A context manager that closes it."""

    is_published = True
    """Whether its messages are those of the published contract, against which each is held."""

    def __init__(
        self, port: int, *, deadline_s: float = DEADLINE_S, receive_bytes: int | None = None
    ) -> None:
        """Connects.

        Args:
            port: on loopback.
            deadline_s: for each wait.
            receive_bytes: size of the socket's own buffer, where a small one is wanted.
        """
        self.socket = socket.socket()
        self.socket.settimeout(deadline_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if receive_bytes is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.connect(("127.0.0.1", port))
        self.buffer = bytearray()
        self.response = Head(0, {})
        """What the handshake was answered with."""
        self.pings = 0
        self._inflate: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    # -- bytes ---------------------------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        try:
            self.socket.sendall(data)
        except ConnectionError as error:
            raise Ended(str(error)) from error

    def fill(self) -> None:
        """Waits for more bytes.

        Raises:
            Ended: there will be none.
        """
        try:
            data = self.socket.recv(CHUNK_BYTES)
        except ConnectionError as error:
            raise Ended(str(error)) from error
        if not data:
            raise Ended("end of the stream")
        self.buffer += data

    def take(self, count: int) -> bytes:
        """Exactly so many bytes."""
        self._need(count)
        data = bytes(self.buffer[:count])
        del self.buffer[:count]
        return data

    def ended(self) -> bool:
        """Whether the other side ends the connection within the deadline, whatever it sends before."""
        try:
            while True:
                self.buffer.clear()
                self.fill()
        except Ended:
            return True
        except TimeoutError:
            return False

    # -- HTTP ----------------------------------------------------------------------------------------------

    def head(self) -> Head:
        """The next response's head."""
        while (end := self.buffer.find(b"\r\n\r\n")) < 0:
            assert len(self.buffer) < HEAD_BYTES_MAX
            self.fill()
        lines = self.take(end + 4).decode("latin-1").split("\r\n")
        headers = {}
        for line in lines[1:-2]:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        return Head(int(lines[0].split(" ")[1]), headers)

    def answer(self) -> tuple[Head, bytes]:
        """The next response whole; it has to tell its length."""
        head = self.head()
        return head, self.take(int(head.headers.get("content-length", 0)))

    def problem(self) -> dict[str, Any]:
        """The next response, which has to be a problem document."""
        head, body = self.answer()
        assert head.headers["content-type"] == "application/problem+json", (head, body)
        found: dict[str, Any] = json.loads(body)
        assert found["status"] == head.status
        return found

    # -- WebSocket -----------------------------------------------------------------------------------------

    def open(self, target: str, headers: Mapping[str, str] | None = None) -> Self:
        """Sends an upgrade request and reads the answer, `response`. `headers` replace the usual ones."""
        self.send(request(target, {**UPGRADE, **(headers or {})}))
        return self.upgraded()

    def upgraded(self) -> Self:
        """Reads the answer to an upgrade request."""
        self.response = self.head()
        if "permessage-deflate" in self.response.headers.get("sec-websocket-extensions", ""):
            self._inflate = zlib.decompressobj(wbits=-15)
        return self

    def put(self, opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0) -> None:
        """Sends a masked frame."""
        self.send(frame(opcode, payload, fin=fin, rsv=rsv))

    def frame(self) -> Frame:
        """The next frame. One that is not there in time is not lost: it may be asked for again."""
        self._need(2)
        first, second = self.buffer[:2]
        assert not second & 0x80, "a server does not mask"
        assert not first & 0x30, "no extension uses these bits"
        start, size = 2, second & 0x7F
        if size >= 126:
            start = 4 if size == 126 else 10
            self._need(start)
            size = int.from_bytes(self.buffer[2:start], "big")
        self._need(start + size)
        self.take(start)
        got = Frame(first & 0x0F, self.take(size), bool(first & 0x80), bool(first & 0x40))
        if got.opcode == TEXT and self.is_published:
            checked(alone(got))
        return got

    def _need(self, count: int) -> None:
        while len(self.buffer) < count:
            self.fill()

    def text(self) -> bytes:
        """The next message, unpacked. Pings are answered and counted; a close frame raises `Ended`."""
        while True:
            got = self.frame()
            if got.opcode == PING:
                self.pings += 1
                self.put(PONG, got.payload)
            elif got.opcode == CLOSE:
                raise Ended(f"{got.code} {got.payload[2:].decode()}")
            else:
                assert got.fin
                assert got.opcode == TEXT
                return self.unpack(got) if got.compressed else got.payload

    def unpack(self, got: Frame) -> bytes:
        """A compressed frame's content, as a consumer with context takeover would read it."""
        assert self._inflate is not None, "compression was not agreed"
        content: bytes = self._inflate.decompress(got.payload + b"\x00\x00\xff\xff")
        return content

    def message(self) -> dict[str, Any]:
        """The next message, as JSON."""
        found: dict[str, Any] = json.loads(self.text())
        return found

    def until(self, kind: str) -> dict[str, Any]:
        """The next message of this type; others are passed over."""
        while True:
            found = self.message()
            if found["type"] == kind:
                return found

    def close_code(self) -> int:
        """Code of the close frame that the server sends, whatever it sends before; it is answered."""
        while True:
            got = self.frame()
            if got.opcode == CLOSE:
                with contextlib.suppress(Ended):
                    self.put(CLOSE, got.payload[:2])
                assert self.ended(), "a server closes the connection after both close frames, or a failure"
                return got.code


def refusal(wire: Wire) -> dict[str, Any]:
    """The problem document with which an upgrade was refused."""
    head = wire.response
    assert head.headers["content-type"] == "application/problem+json", head
    found: dict[str, Any] = json.loads(wire.take(int(head.headers["content-length"])))
    assert found["status"] == head.status
    return found
