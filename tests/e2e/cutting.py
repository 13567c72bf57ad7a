"""A proxy on loopback whose connections stall, trickle and do not last: it cuts where it hurts, and counts.

    async with CuttingProxy(server.port, seed=1, cuts_max=40) as proxy:
        ...                     # follow proxy.url
        proxy.mend()            # from now on everything goes through

Where a connection is cut, and how, follows from the seed and from how many were cut before: after so many bytes
(as often after a few as after very many, so that requests, answers' heads and frames are cut in their midst),
or after so much time, whichever comes first. Once `cuts_max` were cut, nothing is any more.

Knows TCP; of HTTP, WebSocket and server-sent events only so much as to tell what it cut.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from collections import Counter
from enum import StrEnum
from types import TracebackType
from typing import Final, Self

import msgspec

READ_BYTES: Final = 64 * 1024
HEAD_BYTES_MAX: Final = 64 * 1024
REQUEST_BYTES_MAX: Final = 400
"""A request is cut within so many."""
BYTES_NEVER: Final = 1 << 62
GOODBYE_S_MAX: Final = 1.0
"""How long an orderly end waits for the other side's."""
TRICKLE_S: Final = 0.005
PIECE_BYTES_MAX: Final = 500
"""What trickles comes in pieces of at most so many, one each `TRICKLE_S`."""
HOST: Final = "127.0.0.1"
NO_LINGER: Final = struct.pack("ii", 1, 0)


class Ending(StrEnum):
    """How a connection is cut."""

    FIN = "end"
    """An orderly end of TCP, in the middle of whatever was being said."""
    RESET = "reset"
    """Both sides are told at once; what was under way is lost."""
    HALF_OPEN = "half open"
    """Nothing comes through, and nobody is told for a while; then a reset."""
    DEAD = "dead"
    """Nothing comes through, and nobody is ever told: the consumer has to notice by itself."""


class Place(StrEnum):
    """What was being said when it was cut."""

    REQUEST = "request"
    HEAD = "head"
    """The answer's head, or before it."""
    FRAME = "frame"
    """In the middle of a frame or an event."""
    BETWEEN = "between"
    """Between two of them."""


class Weather(msgspec.Struct, frozen=True, kw_only=True):
    """Within what a connection's fate is drawn."""

    seconds_max: float = 1.0
    bytes_max: int = 16 * 1024 * 1024
    """From the server; each order of magnitude is as likely as another."""
    long_share: float = 0.05
    """Of connections that are cut by time alone, and have ten times as much: a large snapshot comes through."""
    request_share: float = 0.1
    """Of connections that are cut while the consumer asks."""
    half_open_s_max: float = 0.3
    stall_share: float = 0.3
    """Of connections through which nothing comes for a while, and then goes on."""
    stall_s_max: float = 0.2
    trickle_share: float = 0.1
    """Of connections through which everything comes in small pieces."""
    dead_every: int = 0
    """One cut in so many is `DEAD`; none for 0."""


class Fate(msgspec.Struct, frozen=True):
    """What befalls one connection."""

    ending: Ending
    up_bytes: int
    """Bytes of the consumer after which it is cut; -1 never."""
    down_bytes: int
    """Bytes of the server after which it is cut."""
    seconds: float
    """Time after which it is cut at the latest."""
    quiet_s: float
    """How long it is half open."""
    stall_at: int
    """Bytes of the server after which it stalls; -1 never."""
    stall_s: float
    piece_bytes: int = 0
    """Bytes of the server that come through at once; 0: as many as there are."""


SEVERED: Final = Fate(Ending.RESET, -1, BYTES_NEVER, 0.0, 0.0, -1, 0.0)


def fate(rng: random.Random, weather: Weather, number: int) -> Fate:
    """Draws the fate of the connection that is to be cut as number so many, counted from 1."""
    ending = rng.choice((Ending.FIN, Ending.RESET, Ending.HALF_OPEN))
    if weather.dead_every and number % weather.dead_every == 0:
        ending = Ending.DEAD
    down_bytes = int(weather.bytes_max ** rng.random())
    up_bytes = rng.randrange(REQUEST_BYTES_MAX) if rng.random() < weather.request_share else -1
    seconds = rng.random() * weather.seconds_max
    if rng.random() < weather.long_share:
        down_bytes, up_bytes, seconds = BYTES_NEVER, -1, seconds * 10
    return Fate(
        ending,
        up_bytes,
        down_bytes,
        seconds,
        rng.random() * weather.half_open_s_max,
        rng.randrange(min(down_bytes, weather.bytes_max)) if rng.random() < weather.stall_share else -1,
        rng.random() * weather.stall_s_max,
        rng.randint(1, PIECE_BYTES_MAX) if rng.random() < weather.trickle_share else 0,
    )


class Boundary:
    """Follows what a server says, to know in the middle of what it was cut."""

    def __init__(self) -> None:
        self._head = b""
        self._is_head = True
        self._is_websocket = False
        self._left = 0
        """Bytes of the frame that are still to come."""
        self._tail = b""
        """Of a frame's header so far, or the last two bytes of events."""

    @property
    def place(self) -> Place:
        """Where it stands."""
        if self._is_head:
            return Place.HEAD
        if self._is_websocket:
            return Place.FRAME if self._left or self._tail else Place.BETWEEN
        return Place.BETWEEN if self._tail in {b"", b"\n\n"} else Place.FRAME

    def feed(self, data: bytes) -> None:
        """More of what the server says."""
        if self._is_head:
            self._head += data
            assert len(self._head) <= HEAD_BYTES_MAX + READ_BYTES, "no end of the answer's head"
            head, blank, data = self._head.partition(b"\r\n\r\n")
            self._is_head = not blank
            self._is_websocket = head.startswith(b"HTTP/1.1 101")
        if self._is_head:
            return
        self._head = b""
        if not self._is_websocket:
            self._tail = (self._tail + data)[-2:]
            return
        while data:
            if self._left:
                passed = min(self._left, len(data))
                self._left -= passed
                data = data[passed:]
                continue
            self._tail, data = self._tail + data[:1], data[1:]
            self._left = frame_bytes(self._tail)
            if self._left >= 0:
                self._tail = b""
            self._left = max(self._left, 0)


def frame_bytes(header: bytes) -> int:
    """Length of a server's frame after this header (RFC 6455, section 5.2); -1 where it is not complete."""
    if len(header) < 2:
        return -1
    short = header[1] & 0x7F
    if short < 126:
        return short
    size = 2 if short == 126 else 8
    return int.from_bytes(header[2:], "big") if len(header) == 2 + size else -1


class CuttingProxy:
    """Stands before a server. An asynchronous context manager; it serves the loop that entered it."""

    def __init__(self, port: int, *, seed: int | str, cuts_max: int, weather: Weather | None = None) -> None:
        """Nothing listens yet.

        Args:
            port: of the server, on loopback.
            seed: decides every connection's fate.
            cuts_max: after so many, everything goes through.
            weather: within what fates are drawn.
        """
        self.cuts: Counter[Ending] = Counter()
        self.places: Counter[Place] = Counter()
        """Where the cuts fell."""
        self.stalls = 0
        self.connections = 0
        self.server_port = port
        self._rng = random.Random(seed)
        self.cuts_max = cuts_max
        """Cuts after which nothing is cut any more."""
        self._weather = weather or Weather()
        self._links: set[_Link] = set()
        self._listener: asyncio.Server

    @property
    def total(self) -> int:
        """Connections cut so far."""
        return self.cuts.total()

    @property
    def url(self) -> str:
        """Where consumers connect."""
        return f"http://{HOST}:{self._listener.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._take, HOST, 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        tasks = [link.task for link in self._links]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._listener.wait_closed()

    def mend(self) -> None:
        """Cuts nothing more."""
        self.cuts_max = self.total
        for link in self._links:
            link.mend()

    def sever(self) -> None:
        """Resets all connections that stand now."""
        for link in self._links:
            link.sever()

    def note(self, ending: Ending, place: Place) -> None:
        """A connection is cut."""
        self.cuts[ending] += 1
        self.places[place] += 1
        if self.total >= self.cuts_max:
            self.mend()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        drawn = fate(self._rng, self._weather, self.total + 1) if self.total < self.cuts_max else None
        link = _Link(self, drawn, reader, writer)
        self._links.add(link)
        try:
            await link.run()
        finally:
            self._links.discard(link)


class _Link:
    """One connection through the proxy."""

    def __init__(
        self,
        proxy: CuttingProxy,
        drawn: Fate | None,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.task = task
        self._proxy = proxy
        self._fate = drawn
        self._reader = reader
        self._writer = writer
        self._is_mended = False
        self._boundary = Boundary()
        self._place: Place | None = None
        self._is_due = asyncio.Event()
        """It is to be cut now."""

    def mend(self) -> None:
        """It is not to be cut, unless it was already."""
        self._is_mended = True

    def sever(self) -> None:
        """It is to be reset now."""
        self._fate = SEVERED
        self._is_due.set()

    @property
    def _threat(self) -> Fate | None:
        """What it has to fear now."""
        return None if self._is_mended else self._fate

    async def run(self) -> None:
        """From its beginning to its end."""
        try:
            reader, writer = await asyncio.open_connection(HOST, self._proxy.server_port)
        except OSError:
            _reset(self._writer)
            return
        for each in (self._writer, writer):
            # What was written has left, before it is cut.
            each.transport.set_write_buffer_limits(0)
        timer = None
        if self._fate is not None:
            timer = asyncio.get_running_loop().call_later(self._fate.seconds, self._come_due)
        try:
            if not await self._carry(reader, writer):
                await _end(self._reader, self._writer)
                return
            # Without one it would not have come to this.
            assert self._fate is not None
            drawn, place = self._fate, self._place or self._boundary.place
            self._proxy.note(drawn.ending, place)
            await self._cut(drawn, writer)
        finally:
            if timer is not None:
                timer.cancel()
            _reset(self._writer)
            _reset(writer)

    def _come_due(self) -> None:
        if not self._is_mended:
            self._is_due.set()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Passes bytes on until it is due to be cut; False where one side ended it before."""
        tasks = {
            asyncio.create_task(self._up(writer)),
            asyncio.create_task(self._down(reader)),
            asyncio.create_task(self._is_due.wait()),
        }
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return self._is_due.is_set()

    async def _up(self, writer: asyncio.StreamWriter) -> None:
        passed = 0
        with contextlib.suppress(ConnectionError):
            while data := await self._reader.read(READ_BYTES):
                limit = -1 if self._threat is None else self._threat.up_bytes - passed
                if limit >= 0:
                    data = data[:limit]
                passed += len(data)
                writer.write(data)
                await writer.drain()
                if len(data) == limit:
                    self._place = Place.REQUEST
                    self._is_due.set()
                    return

    async def _down(self, reader: asyncio.StreamReader) -> None:
        passed = 0
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(READ_BYTES):
                threat = self._threat
                if threat is None:
                    await self._pass(data)
                    continue
                data = data[: threat.down_bytes - passed]
                if passed <= threat.stall_at < passed + len(data):
                    self._proxy.stalls += 1
                    await self._pass(data[: threat.stall_at - passed])
                    await asyncio.sleep(threat.stall_s)
                    await self._pass(data[threat.stall_at - passed :])
                else:
                    await self._pass(data)
                passed += len(data)
                if passed == threat.down_bytes:
                    self._is_due.set()
                    return

    async def _pass(self, data: bytes) -> None:
        while (threat := self._threat) is not None and 0 < threat.piece_bytes < len(data):
            await self._write(data[: threat.piece_bytes])
            data = data[threat.piece_bytes :]
            await asyncio.sleep(TRICKLE_S)
        await self._write(data)

    async def _write(self, data: bytes) -> None:
        self._boundary.feed(data)
        self._writer.write(data)
        await self._writer.drain()

    async def _cut(self, drawn: Fate, writer: asyncio.StreamWriter) -> None:
        match drawn.ending:
            case Ending.FIN:
                await _end(self._reader, self._writer)
                writer.close()
            case Ending.RESET:
                pass
            case Ending.HALF_OPEN:
                await self._be_silent(drawn.quiet_s)
            case Ending.DEAD:
                await self._be_silent(None)

    async def _be_silent(self, seconds: float | None) -> None:
        """Passes nothing on for so long, or until the consumer goes."""
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(seconds):
                while await self._reader.read(READ_BYTES):
                    pass


async def _end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Ends a connection in order. What the other side still says is read, as unread bytes make it a reset."""
    with contextlib.suppress(TimeoutError, OSError):
        writer.write_eof()
        async with asyncio.timeout(GOODBYE_S_MAX):
            while await reader.read(READ_BYTES):
                pass
        writer.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Ends a connection at once, if it has not ended."""
    transport = writer.transport
    if transport.is_closing():
        return
    connection: socket.socket = transport.get_extra_info("socket")
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
    transport.abort()
