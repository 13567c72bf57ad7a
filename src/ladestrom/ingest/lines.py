"""Lines: kept connections to sources that are followed, one kind for each row of `protocols.STREAMS`.

    another ladestrom (version 2), any NOBIL stream (version 1): state on connecting, positions, resuming;
    NOBIL Real-time: neither; each connection is asked for first.

A line connects again by itself. Must not know what is done with what comes: that is `websocket_client`.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from functools import partial
from typing import Final, Protocol

import msgspec

from ladestrom.client import v2_aio
from ladestrom.client.aio import Broken, Gone, Lost, Opened, Receive, connected, persist, receiver, websocket
from ladestrom.client.session import (
    DELAY_MAX_S,
    RAW,
    SNAPSHOT,
    UNREADABLE,
    UPDATE,
    BackOff,
    Fault,
    Standing,
    head,
)
from ladestrom.client.v2_events import Changed, Confirmed, Greeted, Noted, Synced
from ladestrom.client.v2_session import V2Session
from ladestrom.errors import InvalidPosition, LadestromError, MalformedBody, SourceFailure
from ladestrom.ingest.http_poll import (
    SourceServices,
    insist,
    make_fetcher,
    settings_of,
)
from ladestrom.ingest.supervision import Health
from ladestrom.model import Position
from ladestrom.outbound.fetching import Fetcher
from ladestrom.ports.sources import SourceRecord
from ladestrom.protocols import nobil_realtime

MESSAGE_BYTES_MAX: Final = 1024 * 1024
"""Of NOBIL Real-time, whose messages have some 100."""
SILENT_S_MAX: Final = 900.0
"""NOBIL Real-time without a message for so long is taken for dead: five countries are never as quiet."""


class Incoming(msgspec.Struct, frozen=True):
    """Something came."""

    frame: bytes | None = None
    """To be read by the protocol; None where it tells of no EVSE."""
    in_step: bool = False
    """From here on what we know is what the source knows."""
    all_of: Collection[str] | None = None
    """With this, the source has told of all EVSEs that it has: these. A complete frame names them itself."""


class Line(Protocol):
    """A kept connection, whatever is spoken on it."""

    has_state: bool
    """Whether a new connection begins with all that the source knows."""

    @property
    def position(self) -> str | None:
        """From where to go on after a restart."""
        ...

    def forget(self) -> None:
        """What was told is given up: begin anew."""
        ...

    def happenings(self) -> AsyncGenerator[Opened | Incoming | Lost, None]:
        """What happens, as it does, for ever.

        Raises:
            LadestromError: coming back is no use before something is changed.
        """
        ...


class Wiring(msgspec.Struct, frozen=True, kw_only=True):
    """What a line is made of."""

    source: SourceRecord
    position: str | None
    """From where to go on; None begins anew."""
    trust: ssl.SSLContext
    services: SourceServices
    health: Health


MakeLine = Callable[[Wiring], AbstractAsyncContextManager[Line]]
"""What the row of a stream names (`protocols.Row.line`)."""


def _since(position: str | None) -> Position | None:
    try:
        return None if position is None else Position.parse(position)
    except InvalidPosition:
        return None


def _selection(source: SourceRecord) -> dict[str, str]:
    names = ("country", "operator", "station", "bbox")
    return {name: source.options[name] for name in names if name in source.options}


@asynccontextmanager
async def board_line(wiring: Wiring) -> AsyncIterator[Line]:
    """A line to another ladestrom, in version 2 of its stream."""
    yield _V2Line(wiring)


@asynccontextmanager
async def nobil_line(wiring: Wiring) -> AsyncIterator[Line]:
    """A line to any server that offers the NOBIL stream."""
    yield _V1Line(wiring)


@asynccontextmanager
async def realtime_line(wiring: Wiring) -> AsyncIterator[Line]:
    """A line to NOBIL Real-time."""
    made = await asyncio.to_thread(make_fetcher, wiring.source, wiring.services, wiring.health)
    async with made as fetcher:
        yield _RealtimeLine(wiring, fetcher)


class _V2Line:
    """Version 2 of the stream."""

    has_state = True

    def __init__(self, wiring: Wiring) -> None:
        source = wiring.source
        self._session = V2Session(_selection(source), since=_since(wiring.position))
        self._follower = v2_aio.V2Follower(
            source.address, source.secret, self._session, tls=wiring.trust, chance=wiring.services.chance
        )

    @property
    def position(self) -> str | None:
        return None if self._session.position is None else str(self._session.position)

    def forget(self) -> None:
        self._session.forget()

    async def happenings(self) -> AsyncGenerator[Opened | Incoming | Lost, None]:
        async with aclosing(self._follower.events()) as events:
            async for each in events:
                if isinstance(each, v2_aio.Received):
                    yield self._told(each.event, each.message)
                elif isinstance(each, Opened) and each.since is not None and self.position is None:
                    # Given up while the connection was made, and so asked for the wrong thing.
                    return
                else:
                    yield each

    def _told(self, event: object, message: bytes) -> Incoming:
        match event:
            case Greeted():
                # One that resumes may have nothing to say for long; where it cannot, `Reset` follows.
                return Incoming(in_step=self.position is not None)
            case Synced():
                return Incoming(message, in_step=True, all_of=self._session.board)
            case Changed():
                return Incoming(message, in_step=True)
            case Confirmed():
                return Incoming(in_step=True)
            case Noted(type="snapshot"):
                return Incoming(message)
        return Incoming()


class _V1Line:
    """The NOBIL stream."""

    has_state = True

    def __init__(self, wiring: Wiring) -> None:
        self._standing = Standing()
        self._standing.position = _since(wiring.position)
        self._source = wiring.source
        self._trust = wiring.trust
        self._services = wiring.services

    @property
    def position(self) -> str | None:
        return self._standing.since

    def forget(self) -> None:
        self._standing.forget()

    async def happenings(self) -> AsyncGenerator[Opened | Incoming | Lost, None]:
        source, standing = self._source, self._standing
        connection = partial(
            connected, source.address, source.secret, standing, _selection(source), self._trust
        )
        followed = persist(standing, connection, self._understand, self._services.chance)
        async with aclosing(followed) as events:
            async for each in events:
                is_resuming = isinstance(each, Opened) and each.since is not None
                if is_resuming and self.position is None:
                    # Given up while the connection was made, and so asked for the wrong thing.
                    return
                yield each
                if is_resuming:
                    # One that resumes may have nothing to say for long.
                    yield Incoming(in_step=True)

    async def _understand(self, frame: bytes) -> Incoming | Broken:
        try:
            # The first frame may tell of every station there is.
            told = await insist(partial(self._services.parsing.read, partial(head, frame), len(frame)))
        except UNREADABLE as error:
            fault: Fault | None = self._standing.malformed(error)
        else:
            fault = self._standing.move(told)
        if fault is not None:
            return Broken(fault.kind, fault.detail)
        is_known = told.type in {SNAPSHOT, UPDATE, RAW}
        return Incoming(frame if is_known else None, in_step=told.type in {SNAPSHOT, UPDATE})


class _RealtimeLine:
    """NOBIL Real-time: each connection is asked for, none can resume."""

    def __init__(self, wiring: Wiring, fetcher: Fetcher) -> None:
        self._settings = settings_of(wiring.source, wiring.services.limits)
        self._fetcher = fetcher
        self._trust = wiring.trust
        self._chance = wiring.services.chance
        self._back_off = BackOff()

    has_state = False
    position = None
    since = None

    def forget(self) -> None:
        """There is nothing that it knows."""

    def open(self) -> None:
        """A connection stands."""

    def lose(self, chance: float, *, lasted_s: float = 0.0, retry_after_s: float = 0.0) -> float:
        return self._back_off.lost(chance, well=lasted_s >= DELAY_MAX_S, retry_after_s=retry_after_s)

    async def happenings(self) -> AsyncGenerator[Opened | Incoming | Lost, None]:
        async def understand(frame: bytes) -> Incoming | Broken:
            return Incoming(frame, in_step=True)

        async with aclosing(persist(self, self._connection, understand, self._chance)) as events:
            async for each in events:
                yield each
                if isinstance(each, Opened):
                    yield Incoming(in_step=True)

    @asynccontextmanager
    async def _connection(self) -> AsyncGenerator[Receive, None]:
        try:
            answered = await self._fetcher.fetch(nobil_realtime.ask(self._settings))
            address = nobil_realtime.address(answered)
            way = await self._fetcher.guard.way(address)
        except (SourceFailure, MalformedBody, OSError) as error:
            raise Gone(str(error)) from error
        try:
            at = None if way is None else way.addresses[0]
            async with websocket(address, None, MESSAGE_BYTES_MAX, self._trust, at=at) as socket:
                yield partial(_heard, receiver(socket))
        except LadestromError as error:
            # The address was for this once, and what is said of it may quote the secret that it holds.
            raise Gone(f"the connection that was given was refused ({error.code})") from None


async def _heard(receive: Receive) -> bytes:
    try:
        async with asyncio.timeout(SILENT_S_MAX):
            return await receive()
    except TimeoutError:
        raise Gone(f"silent for {SILENT_S_MAX:g} s") from None
