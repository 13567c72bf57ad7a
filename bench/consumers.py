"""Consumers of a stream, for benchmarks: thousands in one process (`fanout_load.c`), or one that reads along.

Knows WebSocket (RFC 6455) and the messages' members `type`, `prev` and `seq`. Must not know which server
it is.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import subprocess
import time
import zlib
from array import array
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import msgspec

HERE: Final = Path(__file__).parent
LOAD_CORE: Final = 1
ANSWER_DEADLINE_S: Final = 60.0
RECEIVE_BYTES: Final = 256 * 1024
HANDSHAKES_MAX: Final = 256
"""Handshakes under way, where the return of all is not what is measured."""
KEY: Final = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT: Final = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
"""Key and answer of RFC 6455, section 1.3."""
FNV_START: Final = 0xCBF29CE484222325
FNV_PRIME: Final = 0x100000001B3
SIXTY_FOUR_BITS: Final = 0xFFFFFFFFFFFFFFFF


class Stuck(Exception):
    """The consumers did not get what they were waiting for in time, or were refused."""


class Mark(msgspec.Struct, frozen=True):
    """Counters of all consumers together since the start; `min` and `max` are over consumers."""

    at_ns: int
    cpu_us: int
    """Of the load generator."""
    open: int
    ended: int
    frames: int
    messages: int
    raws: int
    others: int
    bytes: int
    reads: int
    holes: int
    disorders: int
    bad: int
    complaint: str
    last_min: int
    last_max: int
    messages_min: int
    messages_max: int
    digest: str
    digests_differ: int
    snapshot_bytes: int
    snapshot_sum: int
    snapshots_differ: int

    def wrongs(self, last: int | None = None) -> list[str]:
        """What no consumer may see: a hole, something out of order, a connection that ended.

        With `last`, nor may any stand elsewhere.
        """
        counts = {
            "holes": self.holes,
            "out of order": self.disorders,
            "ended by the server": self.ended,
            "not understood": self.bad,
        }
        found = [f"{what}: {count}" for what, count in counts.items() if count]
        if found and self.complaint:
            found.append(self.complaint)
        if last is not None and (self.last_min, self.last_max) != (last, last):
            found.append(f"consumers are at {self.last_min} to {self.last_max}, not at {last}")
        return found


class Latency(NamedTuple):
    """From an instant to the frame at the consumer, over all deliveries."""

    deliveries: int
    missing: int
    p50_ms: float
    p99_ms: float
    max_ms: float

    def __str__(self) -> str:
        return f"{self.p50_ms:.1f} / {self.p99_ms:.1f}"


def compiled(directory: Path, name: str) -> Path:
    """Compiles `NAME.c` of this directory.

    Raises:
        SystemExit: there is no C compiler, or it fails.
    """
    binary = directory / name
    command = ["cc", "-O3", "-o", str(binary), str(HERE / f"{name}.c")]
    try:
        subprocess.run(command, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise SystemExit(f"{name}.c cannot be compiled: {error}") from error
    return binary


def upgrade(path: str, key: str | None = None, *, deflate: bool = False) -> bytes:
    """An upgrade request."""
    lines = [
        f"GET {path} HTTP/1.1",
        "Host: 127.0.0.1",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {KEY}",
        "Sec-WebSocket-Version: 13",
        *([f"Authorization: Bearer {key}"] if key else []),
        *(["Sec-WebSocket-Extensions: permessage-deflate"] if deflate else []),
    ]
    return "\r\n".join([*lines, "", ""]).encode()


class Consumers:
    """So many consumers of one server, in a process on the load's core. A context manager that ends them."""

    def __init__(
        self,
        load: Path,
        port: int,
        count: int,
        requests: Sequence[bytes],
        deadline_s: float = ANSWER_DEADLINE_S,
    ) -> None:
        """Nothing is connected yet.

        Args:
            load: the compiled `fanout_load`.
            port: the server's.
            count: of consumers.
            requests: upgrade requests; consumers take them in turn.
            deadline_s: for each answer.
        """
        self.count = count
        self.deadline_s = deadline_s
        self._directory = load.parent
        file = self._directory / f"requests-{port}-{count}"
        file.write_bytes(b"".join(struct.pack("=I", len(each)) + each for each in requests))
        self._process = subprocess.Popen(
            [str(load), str(port), str(count), str(file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            preexec_fn=lambda: os.sched_setaffinity(0, {LOAD_CORE}),  # noqa: PLW1509 - no threads here
        )
        self._unread = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(self.deadline_s)
        self._process.stdout.close()

    def connect(self, limit: int = HANDSHAKES_MAX) -> tuple[int, int]:
        """Opens all connections, at most `limit` handshakes at once (0: all); began and ended, monotonic ns.

        Raises:
            Stuck: a consumer was refused.
        """
        answer = self.ask(f"connect {limit}")
        if answer["open"] != self.count:
            raise Stuck(f"{answer['open']} of {self.count} consumers connected: {answer['complaint']}")
        return answer["began_ns"], answer["at_ns"]

    def cut(self) -> None:
        """Ends all connections without a word."""
        self.ask("cut")

    def mark(self) -> Mark:
        """The counters now."""
        return msgspec.convert(self.ask("mark"), Mark)

    def reach(self, seq: int) -> int:
        """Returns when every consumer has everything up to `seq`: when that was, monotonic ns."""
        at_ns: int = self.ask(f"await {seq}")["at_ns"]
        return at_ns

    def snapshots(self, count: int = 1) -> int:
        """Returns when every consumer has had so many snapshots since it connected: when, monotonic ns."""
        at_ns: int = self.ask(f"snapshots {count}")["at_ns"]
        return at_ns

    def pongs(self) -> None:
        """Returns when every consumer has answered a ping from now on."""
        self.ask("pongs")

    def digest(self, on: bool) -> None:
        """Starts to digest the payloads of what follows, or stops."""
        self.ask(f"digest {int(on)}")

    def record(self, first: int, count: int) -> None:
        """Keeps from now on when each consumer gets each of the changes `first`, `first + 1`, ..."""
        self.ask(f"record {first} {count}")

    def latency(self, from_ns: Sequence[int]) -> Latency:
        """From these instants (monotonic ns, one for each change recorded; 0 leaves it out) to the frames."""
        file = self._directory / "instants"
        file.write_bytes(array("Q", from_ns).tobytes())
        answer = self.ask(f"latency {file}")
        p50_us, _, p99_us, _ = answer["p_us"]
        return Latency(answer["count"], answer["missing"], p50_us / 1e3, p99_us / 1e3, answer["max_us"] / 1e3)

    def ask(self, command: str) -> dict[str, Any]:
        """Sends a command and gives its answer.

        Raises:
            Stuck: it was not answered in time; says what the consumers have.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n".encode())
        self._process.stdin.flush()
        answer = self._line(self.deadline_s)
        if answer is None:
            self._process.stdin.write(b"mark\n")
            self._process.stdin.flush()
            said = self._line(self.deadline_s)
            raise Stuck(f"`{command}` was not answered within {self.deadline_s:g} s; the counters: {said!r}")
        found: dict[str, Any] = msgspec.json.decode(answer)
        return found

    def _line(self, deadline_s: float) -> bytes | None:
        assert self._process.stdout is not None
        ends_s = time.monotonic() + deadline_s
        while b"\n" not in self._unread:
            left_s = ends_s - time.monotonic()
            if left_s <= 0 or not select.select([self._process.stdout], [], [], left_s)[0]:
                return None
            data = os.read(self._process.stdout.fileno(), RECEIVE_BYTES)
            if not data:
                raise Stuck(f"the load generator ended with {self._process.wait()}")
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        return line


class Message:
    """One message as a reader got it."""

    def __init__(self, raw: bytes, text: bytes) -> None:
        self.raw = raw
        """Payload on the wire, compressed or not."""
        self.text = text
        self.content: dict[str, Any] = msgspec.json.decode(text)
        self.kind: str = self.content.get("type", "")
        self.position: int | None = self.content.get("seq")

    def instants(self) -> list[int]:
        """When what it tells was observed, ms: each change, or in version 1 its newest connector."""
        if self.kind == "changes":
            return [_millis(change["observed_at"]) for change in self.content["changes"]]
        return [max(connector["timestamp"] for connector in self.content["data"]["connectors"])]


def _millis(instant: str | int) -> int:
    """ISO 8601 or milliseconds to milliseconds."""
    if isinstance(instant, int):
        return instant
    return round(datetime.fromisoformat(instant).timestamp() * 1000)


class Reader:
    """One consumer that keeps what it gets. A context manager."""

    def __init__(self, port: int, request: bytes, deadline_s: float = ANSWER_DEADLINE_S) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=deadline_s)
        self.socket.sendall(request)
        self._unread = b""
        while b"\r\n\r\n" not in self._unread:
            self._receive()
        head, _, self._unread = self._unread.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101") or ACCEPT not in head:
            raise Stuck(f"refused: {head[:200]!r}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def messages(self) -> Iterator[Message]:
        """Text messages as they come; other frames are skipped."""
        while True:
            first, payload = self._frame()
            if first & 0x0F != 1:
                continue
            yield Message(payload, _inflated(payload) if first & 0x40 else payload)

    def snapshot(self) -> list[Message]:
        """The snapshot's messages, and those before it."""
        found = []
        for message in self.messages():
            found.append(message)
            content = message.content
            if message.kind.startswith("snapshot") and content.get("part", 1) == content.get("parts", 1):
                break
        return found

    def skip(self) -> None:
        """Takes one frame, whatever it is."""
        self._frame()

    def up_to(self, seq: int) -> list[Message]:
        """Messages up to the one that has this position."""
        found = []
        for message in self.messages():
            found.append(message)
            position = message.position
            if position is not None and position >= seq:
                break
        return found

    def _frame(self) -> tuple[int, bytes]:
        first, length = self._exactly(2)
        if length == 126:
            (length,) = struct.unpack("!H", self._exactly(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", self._exactly(8))
        return first, self._exactly(length)

    def _exactly(self, size: int) -> bytes:
        if len(self._unread) < size:
            pieces = [self._unread]
            have = len(self._unread)
            while have < size:
                pieces.append(self._chunk())
                have += len(pieces[-1])
            self._unread = b"".join(pieces)
        found, self._unread = self._unread[:size], self._unread[size:]
        return found

    def _receive(self) -> None:
        self._unread += self._chunk()

    def _chunk(self) -> bytes:
        data = self.socket.recv(RECEIVE_BYTES)
        if not data:
            raise Stuck("the server ended the connection")
        return data


def _inflated(payload: bytes) -> bytes:
    """RFC 7692, section 7.2.2, without context takeover."""
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(payload + b"\x00\x00\xff\xff")


def digest(payloads: Sequence[bytes]) -> str:
    """FNV-1a of all of them, as `fanout_load` makes it: 64 bits."""
    value = FNV_START
    for payload in payloads:
        for byte in payload:
            value = ((value ^ byte) * FNV_PRIME) & SIXTY_FOUR_BITS
    return f"{value:016x}"
