"""One consumer's connection: a transport's buffer at the server, and a road that is slow, stalls and breaks.

Knows bytes. What they mean is the business of those at both ends; the readers here take them apart again.
"""

from __future__ import annotations

import asyncio
import random
import struct
import zlib
from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from ladestrom.model import Position
from ladestrom.outputs.stream_v2 import encoder
from ladestrom.reader import channel
from ladestrom.reader.subscriptions import Subscriber

EXCESS_BYTES_MAX: Final = 10 * 1024
"""What may be written on top of a chunk: a snapshot, or entries that were read from the log at once."""
MESSAGE_BYTES_MAX: Final = 32 * 1024
"""And the message that a chunk ends with."""
NOTICE_S_MAX: Final = 4.0
"""How long a server may believe that a connection stands which does not."""
CLOSE_S_MAX: Final = 5.0
"""How long a goodbye may take."""
SLOW: Final = 4108
GOING_AWAY: Final = 1001
BROKEN: Final = 1006


class Road(msgspec.Struct, frozen=True):
    """What lies between a server and a consumer."""

    delay_s: float
    """Longest time until the next bytes arrive."""
    bytes_at_once: int
    stall_chance: float = 0.0
    stall_s: float = 0.0


GOOD: Final = Road(0.02, 100_000)
ROADS: Final = (
    GOOD,
    Road(0.2, 20_000),
    Road(0.05, 700),
    Road(0.1, 60),
    Road(0.1, 3_000, stall_chance=0.05, stall_s=8.0),
    Road(0.02, 300, stall_chance=0.01, stall_s=15.0),
)


class End(Protocol):
    """Who is at the consumer's end."""

    def received(self, data: bytes) -> None: ...

    def lost(self, code: int, why: str) -> None: ...


class Server(Protocol):
    """Who is at the server's end."""

    def pump(self, subscriber: Subscriber) -> None: ...

    def leave(self, link: Link, subscriber: Subscriber | None) -> None: ...

    def heard(self, link: Link, message: bytes) -> None: ...


class Link:
    """A connection. To the broadcast it is a `reader.subscriptions.Sink`."""

    def __init__(
        self,
        end: End,
        server: Server,
        road: Road,
        buffer_bytes_max: int,
        rng: random.Random,
        wrong: Callable[[str], None],
    ) -> None:
        """A connection that stands.

        Args:
            end: the consumer.
            server: the server.
            road: between them.
            buffer_bytes_max: bytes waiting above which it pauses; under a quarter of it, it resumes.
            rng: decides when what arrives.
            wrong: is told what must not happen.
        """
        self.paused = False
        self.subscriber: Subscriber | None = None
        self.road = road
        self.is_cut = False
        self.overrun_at: Position | None = None
        self.size = 0
        """Bytes that wait."""
        self._end = end
        self._server = server
        self._buffer_bytes_max = buffer_bytes_max
        self._rng = rng
        self._wrong = wrong
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._carrier: asyncio.TimerHandle | None = None
        self._under_way: list[bytes] = []
        self._inbox: list[bytes] = []
        self._arrival_s = 0.0
        self._closing: tuple[int, str] | None = None

    # -- the server's end --------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Implements `Sink.write`."""
        if self._closing is not None:
            return
        self._buffer += data
        self.size = size = len(self._buffer)
        if size > self._buffer_bytes_max:
            self.paused = True
            if size > self._buffer_bytes_max + channel.CHUNK_BYTES_MAX + _excess_bytes_max():
                self._wrong(f"{size} bytes wait for one consumer")
        if self._carrier is None and not self.is_cut:
            self._carry_soon()

    def interrupted(self, position: Position) -> None:
        """Implements `Sink.interrupted`."""
        raise AssertionError(f"interrupted at {position}")

    def overrun(self, position: Position) -> None:
        """Implements `Sink.overrun`."""
        self.subscriber = None
        self.overrun_at = position
        self.close(SLOW, "too slow")

    def close(self, code: int, why: str) -> None:
        """Ends the connection once what waits has been carried, or after `CLOSE_S_MAX`."""
        if self._closing is None:
            self._closing = (code, why)
            self._loop.call_later(CLOSE_S_MAX, self._give_up)
            if self._carrier is None and not self.is_cut:
                self._carry_soon()

    def _give_up(self) -> None:
        if not self.is_cut:
            self.cut("the server gave up")

    # -- the road ----------------------------------------------------------------------------------------

    def _carry_soon(self) -> None:
        road, rng = self.road, self._rng
        delay_s = rng.random() * road.delay_s
        if road.stall_chance and rng.random() < road.stall_chance:
            delay_s += rng.random() * road.stall_s
        self._carrier = self._loop.call_later(delay_s, self._carry)

    def _carry(self) -> None:
        self._carrier = None
        count = self._rng.randint(1, self.road.bytes_at_once)
        data = bytes(self._buffer[:count])
        del self._buffer[:count]
        self.size = len(self._buffer)
        if self.paused and self.size <= self._buffer_bytes_max // 4:
            self.paused = False
            self._read()
            if self.subscriber is not None:
                self._server.pump(self.subscriber)
        if data:
            self._end.received(data)
        if self.is_cut or self._carrier is not None:
            return
        if self._buffer:
            self._carry_soon()
        elif self._closing is not None:
            self.is_cut = True
            self._leave()
            self._end.lost(*self._closing)

    def send(self, message: bytes) -> None:
        """A message of the consumer sets out; messages arrive in their order."""
        delay_s = self._rng.random() * self.road.delay_s
        self._arrival_s = max(self._arrival_s, self._loop.time() + delay_s)
        self._under_way.append(message)
        self._loop.call_at(self._arrival_s, self._arrive)

    def _arrive(self) -> None:
        self._inbox.append(self._under_way.pop(0))
        self._read()

    def _read(self) -> None:
        """While the buffer is full nothing is read."""
        while self._inbox and not self.paused and not self.is_cut and self._closing is None:
            self._server.heard(self, self._inbox.pop(0))

    def mend(self) -> None:
        """The road is good from now on."""
        self.road = GOOD
        if self._carrier is not None:
            self._carrier.cancel()
            self._carry_soon()

    def cut(self, why: str, *, noticed: bool = False) -> None:
        """Breaks the connection, in the middle of whatever is on its way. The server learns of it later."""
        if self.is_cut:
            return
        self.is_cut = True
        if self._carrier is not None:
            self._carrier.cancel()
            self._carrier = None
        arrives = self._rng.randint(0, len(self._buffer))
        if arrives and self._rng.random() < 0.5:
            self._end.received(bytes(self._buffer[:arrives]))
        if noticed:
            self._leave()
        else:
            self._loop.call_later(self._rng.random() * NOTICE_S_MAX, self._leave)
        self._end.lost(BROKEN, why)

    def _leave(self) -> None:
        subscriber, self.subscriber = self.subscriber, None
        self._buffer.clear()
        self.size = 0
        self._server.leave(self, subscriber)


def _excess_bytes_max() -> int:
    return EXCESS_BYTES_MAX + min(encoder.PART_BYTES_MAX, MESSAGE_BYTES_MAX)


class FrameReader:
    """Takes a server's WebSocket frames apart (RFC 6455, section 5.2; RFC 7692, section 7.2.2)."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def read(self, data: bytes) -> list[tuple[bytes, str | None]]:
        """Messages that are complete now."""
        buffer = self._buffer
        buffer += data
        found: list[tuple[bytes, str | None]] = []
        while len(buffer) >= 2:
            first, length = buffer[0], buffer[1]
            start = 2
            if length == 126:
                start = 4
                length = struct.unpack_from("!H", buffer, 2)[0] if len(buffer) >= start else 1 << 62
            elif length == 127:
                start = 10
                length = struct.unpack_from("!Q", buffer, 2)[0] if len(buffer) >= start else 1 << 62
            if len(buffer) < start + length:
                break
            payload = bytes(buffer[start : start + length])
            del buffer[: start + length]
            assert first & 0xBF == 0x81, f"not a whole text frame: {first:#x}"
            if first & 0x40:
                payload = zlib.decompressobj(wbits=-15).decompress(payload + b"\x00\x00\xff\xff")
            found.append((payload, None))
        return found


class EventReader:
    """Takes server-sent events apart (WHATWG HTML, section 9.2.6)."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def read(self, data: bytes) -> list[tuple[bytes, str | None]]:
        """Messages that are complete now, and the id that came with each."""
        self._buffer += data
        *events, rest = bytes(self._buffer).split(b"\n\n")
        self._buffer = bytearray(rest)
        return [_event(event) for event in events]


def _event(text: bytes) -> tuple[bytes, str | None]:
    fields = dict(line.split(b": ", 1) for line in text.split(b"\n"))
    identity = fields.get(b"id")
    return fields[b"data"], None if identity is None else identity.decode()
