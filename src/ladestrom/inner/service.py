"""What the process that writes offers to the others of its server, below `/inner/`, and what it tells them.

Knows the log's position, tickets and metrics. Must not know how the others serve consumers.
"""

from __future__ import annotations

import asyncio
import hmac
from collections import deque
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec
import structlog

from ladestrom import tasks
from ladestrom.core.access import Credential
from ladestrom.credentials import Tickets
from ladestrom.edges.methods import Application, Receive, Send
from ladestrom.errors import LadestromError, LogFailure
from ladestrom.inner import KEY_HEADER, PREFIX
from ladestrom.inner.frames import (
    Confirmed,
    Frame,
    Heard,
    Hello,
    KeyUse,
    Measure,
    Rights,
    Standing,
    Stands,
    encoded,
)
from ladestrom.inner.merging import Exposition
from ladestrom.model import Evse, Millis, StatusReport
from ladestrom.ports.log import BoardRow, Followed
from ladestrom.ports.signals import Confirmation, Listener

logger = structlog.get_logger(__name__)

QUEUE_BYTES_MAX: Final = 4 * 1024 * 1024
"""Of what waits for one process beside positions: some 60,000 confirmations. More is dropped and counted."""
HEARD_ITEMS_MAX: Final = 1_000
"""Reports in one frame."""
BEAT_S: Final = 0.5
"""How often the position is said besides: a process that missed one is late by this."""
BODY_BYTES_MAX: Final = 8 * 1024 * 1024
"""Of what another process tells: its metrics are some 100 KB, with a key's use it is 40 bytes a key."""
MEASURE_S_MAX: Final = 1.0
"""How long the metrics of another process are waited for."""
CONFIRMATIONS_AT_ONCE: Final = 2_000


class Redeemed(msgspec.Struct, frozen=True):
    """A ticket to redeem, and the origin of the page that showed it."""

    ticket: str
    origin: str


class Told(msgspec.Struct, frozen=True):
    """What became of it."""

    credential: Credential | None
    """None where the ticket is not good; then why."""
    detail: str = ""


class Ours(msgspec.Struct, frozen=True, kw_only=True):
    """What the process that writes is to its service."""

    process: str
    """Its name."""
    listener: Listener
    """Its own readers."""
    cells: Mapping[str, BoardRow]
    """Of the board, by key of the EVSE."""
    reasons: Callable[[], dict[str, str]]
    """Why the server is not ready, by check."""
    metrics: Callable[[], bytes]


class Stream:
    """What waits for one process."""

    def __init__(self, number: int, process: str) -> None:
        self.number = number
        self.process = process
        self.standing: Standing | None = None
        """What it told of itself last."""
        self.is_behind = True
        """Whether the position has to be said."""
        self.dropped = 0
        self.wake = asyncio.Event()
        self._frames: deque[bytes] = deque()
        self._waiting_bytes = 0

    def put(self, frame: bytes) -> None:
        """Adds a frame, unless too much waits already: what is beside the log may get lost."""
        if self._waiting_bytes + len(frame) > QUEUE_BYTES_MAX:
            self.dropped += 1
            return
        self._frames.append(frame)
        self._waiting_bytes += len(frame)
        self.wake.set()

    def take(self) -> bytes:
        """All that waits."""
        found = b"".join(self._frames)
        self._frames.clear()
        self._waiting_bytes = 0
        return found


class Service:
    """What one writing process tells the others (`ports.signals.Listener`), and what it answers them.

    What it is told itself it tells its own readers first.
    """

    def __init__(self, log: Followed, tickets: Tickets, ours: Ours, key: str = "") -> None:
        """Nobody follows yet.

        Args:
            log: whose positions are told.
            tickets: those that were issued here.
            ours: the process that writes.
            key: that other processes have to show; empty for a Unix socket.
        """
        self.streams: dict[int, Stream] = {}
        self._ours = ours
        self._log = log
        self._tickets = tickets
        self._one_at_a_time = asyncio.Lock()
        self._key = key.encode()
        self._numbers = 0
        self._heard: list[tuple[str, StatusReport, Millis]] = []
        self._measured: dict[int, tuple[str, bytes]] = {}
        self._measuring = 0
        self._waits: asyncio.Future[None] | None = None

    # -- ports.signals.Listener --------------------------------------------------------------------------

    @property
    def wanted(self) -> bool:
        """Whether somebody anywhere wants raw messages."""
        return self._ours.listener.wanted or any(
            stream.standing is not None and stream.standing.wants_heard for stream in self.streams.values()
        )

    def confirmed(self, confirmations: Sequence[Confirmation]) -> None:
        """States that still hold."""
        self._ours.listener.confirmed(confirmations)
        self._tell(Confirmed(list(confirmations)))

    def offer(self, evse: Evse, report: StatusReport, observed_at: Millis) -> None:
        """A report was received."""
        if self._ours.listener.wanted:
            self._ours.listener.offer(evse, report, observed_at)
        if not self._heard:
            asyncio.get_running_loop().call_soon(self._tell_heard)
        if len(self._heard) < HEARD_ITEMS_MAX:
            self._heard.append((evse.key, report, observed_at))

    def _tell_heard(self) -> None:
        heard, self._heard = self._heard, []
        frame = encoded(Heard(heard))
        for stream in self.streams.values():
            if stream.standing is not None and stream.standing.wants_heard:
                stream.put(frame)

    def rights_changed(self, revision: int) -> None:
        """Who may do what is something else now."""
        self._tell(Rights(revision))

    def _tell(self, frame: Frame) -> None:
        if self.streams:
            data = encoded(frame)
            for stream in self.streams.values():
                stream.put(data)

    async def follow(self) -> None:
        """Tells each append, until cancelled."""
        while True:
            try:
                async for _ in self._log.tail(self._log.last.seq):
                    for stream in self.streams.values():
                        stream.is_behind = True
                        stream.wake.set()
            except LogFailure as error:
                # Positions are said twice a second besides.
                logger.warning("appends cannot be told at once", error=str(error))
                await asyncio.sleep(BEAT_S)

    # -- the ASGI application ----------------------------------------------------------------------------

    def around(self, app: Application) -> Application:
        """An application that has these paths beside those of another one."""

        async def dispatch(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
            is_inner = scope["type"] == "http" and scope["path"].startswith(PREFIX)
            await (self._answer if is_inner else app)(scope, receive, send)

        return dispatch

    async def _answer(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        # What was passed on for a client is not from another process.
        is_ours = not scope["state"].get("forwarded") and hmac.compare_digest(
            headers.get(KEY_HEADER, b""), self._key
        )
        path = scope["path"].removeprefix(PREFIX)
        try:
            if not is_ours:
                await _say(send, HTTPStatus.NOT_FOUND)
            elif path.startswith("signals/"):
                await self._stream(path.removeprefix("signals/"), receive, send)
            elif path == "tickets":
                asked = msgspec.msgpack.decode(await _body(receive), type=Redeemed)
                await _say(send, HTTPStatus.OK, msgspec.msgpack.encode(self._redeem(asked)))
            elif path == "standing":
                self._stands(msgspec.msgpack.decode(await _body(receive), type=Standing))
                await _say(send, HTTPStatus.NO_CONTENT)
            elif path.startswith("metrics/"):
                measuring, number = map(int, path.removeprefix("metrics/").split("/", 1))
                self._take_metrics(measuring, number, await _body(receive))
                await _say(send, HTTPStatus.NO_CONTENT)
            else:
                await _say(send, HTTPStatus.NOT_FOUND)
        except (LadestromError, ValueError) as error:
            logger.warning("another process asked for something odd", path=path, error=str(error))
            await _say(send, HTTPStatus.BAD_REQUEST)

    def _redeem(self, asked: Redeemed) -> Told:
        try:
            return Told(self._tickets.redeem(asked.ticket, asked.origin))
        except LadestromError as error:
            return Told(None, str(error))

    def _stands(self, standing: Standing) -> None:
        stream = self.streams.get(standing.number)
        if stream is not None and stream.process == standing.process:
            stream.standing = standing

    async def _stream(self, process: str, receive: Receive, send: Send) -> None:
        self._numbers += 1
        stream = Stream(self._numbers, process)
        self.streams[stream.number] = stream
        gone = tasks.start(_gone(receive), "another process", tasks.awaited)
        gone.add_done_callback(lambda _: stream.wake.set())
        logger.info("a process follows", process=process)
        try:
            headers = [(b"content-type", b"application/octet-stream")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            hello = encoded(Hello(self._log.last.epoch, stream.number))
            await send({"type": "http.response.body", "body": hello + self._position(), "more_body": True})
            await self._say_confirmations(send)
            while not gone.done():
                try:
                    async with asyncio.timeout(BEAT_S):
                        await stream.wake.wait()
                except TimeoutError:
                    data = self._position(with_reasons=True)
                else:
                    stream.wake.clear()
                    data = self._position() if stream.is_behind else b""
                    stream.is_behind = False
                data += stream.take()
                if data:
                    await send({"type": "http.response.body", "body": data, "more_body": True})
        finally:
            del self.streams[stream.number]
            gone.cancel()
            logger.info("a process does not follow any more", process=process, dropped=stream.dropped)

    async def _say_confirmations(self, send: Send) -> None:
        """What stands in no entry of the log: which states were observed again since they began."""
        for keys in tasks.parts(list(self._ours.cells), CONFIRMATIONS_AT_ONCE):
            told = [
                (row.change.station, key, row.seq, row.observed_at)
                for key in keys
                if (row := self._ours.cells.get(key)) is not None and row.observed_at > row.change.observed_at
            ]
            if told:
                data = encoded(Confirmed(told))
                await send({"type": "http.response.body", "body": data, "more_body": True})
            await asyncio.sleep(0)

    def _position(self, *, with_reasons: bool = False) -> bytes:
        log = self._log
        reasons = self._ours.reasons() if with_reasons else None
        return encoded(Stands(log.last.seq, log.first, log.oldest_at, reasons))

    # -- metrics of all ----------------------------------------------------------------------------------

    async def metrics(self) -> bytes:
        """The metrics of all processes, each sample labelled with `process`."""
        async with self._one_at_a_time:
            self._measuring += 1
            self._measured = {}
            if self.streams:
                self._waits = asyncio.get_running_loop().create_future()
                self._tell(Measure(self._measuring))
                await asyncio.wait({self._waits}, timeout=MEASURE_S_MAX)
            exposition = Exposition()
            exposition.add(self._ours.process, self._ours.metrics())
            for process, text in sorted(self._measured.values()):
                exposition.add(process, text)
            return exposition.text()

    def _take_metrics(self, measuring: int, number: int, text: bytes) -> None:
        stream, waits = self.streams.get(number), self._waits
        if measuring != self._measuring or stream is None or waits is None:
            return
        self._measured[number] = (stream.process, text)
        if self._measured.keys() >= self.streams.keys() and not waits.done():
            waits.set_result(None)

    # -- what others told of themselves ------------------------------------------------------------------

    def use(self, key_id: str) -> KeyUse:
        """What was done with a key at all others together."""
        uses = [standing.uses[key_id] for standing in self.standings if key_id in standing.uses]
        return KeyUse(*map(sum, zip(*map(msgspec.structs.astuple, uses), strict=True)))

    @property
    def standings(self) -> Sequence[Standing]:
        """What each of the others told last."""
        return [stream.standing for stream in self.streams.values() if stream.standing is not None]


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _body(receive: Receive) -> bytes:
    found = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ValueError("it went before it had told all")
        found += message.get("body", b"")
        if len(found) > BODY_BYTES_MAX:
            raise ValueError("it tells too much")
        if not message.get("more_body", False):
            return bytes(found)


async def _say(send: Send, status: HTTPStatus, body: bytes = b"") -> None:
    headers = [(b"content-length", b"%d" % len(body))] if status is not HTTPStatus.NO_CONTENT else []
    await send({"type": "http.response.start", "status": int(status), "headers": headers})
    await send({"type": "http.response.body", "body": body})
