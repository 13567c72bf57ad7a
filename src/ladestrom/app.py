"""One process: locks the data directory, opens log and store, builds the roles, starts and stops them.

Start: recover the board, bring the registry onto it, listen.
Stop: stop listening, tell consumers, answer what is under way, checkpoint, close.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, cast

import structlog

from ladestrom import __version__, housekeeping, process, tasks
from ladestrom.backends import table
from ladestrom.backends.data_directory import DataDirectory
from ladestrom.config import Loaded, SettingOrigin, Settings
from ladestrom.housekeeping import Chore
from ladestrom.inner.client import there
from ladestrom.ports.log import Followed, FollowedElsewhere, Log, Recovered
from ladestrom.ports.stores import Stores
from ladestrom.roles import limits, listening
from ladestrom.roles.announced import announced
from ladestrom.roles.chores import Chores
from ladestrom.roles.context import NO_ORIGINS, Context, Reconfigured
from ladestrom.roles.following import Following
from ladestrom.roles.front import Front
from ladestrom.roles.ingest import Ingest
from ladestrom.roles.joined import Joined
from ladestrom.roles.listening import Listening
from ladestrom.roles.place import ALONE, READER, WRITER, Place, inner_path, inner_url
from ladestrom.roles.reader import Reader
from ladestrom.roles.writer import Writer
from ladestrom.roles.writing import DRAIN_S_MAX, Writing
from ladestrom.server.assembly import PING_S_MAX

logger = structlog.get_logger(__name__)

SWITCH_INTERVAL_S: Final = 0.0005
"""The log's thread waits for the interpreter's lock behind a busy loop: Python's 5 ms would be most of an
append's time."""
COLLECT_AFTER: Final = (2_000, 5, 50)
"""Objects made, and collections of the younger generation, before the next collection. To go through 2,000
objects takes up to 2 ms. What was there at the start does not count any more, so that Python's own few of the
third kind would make it look at all connections again and again while they come."""
HOUSEKEEPING_END_S_MAX: Final = 5.0
"""How long what is under way at the end may take, such as the last chunk of an import."""


class App:
    """One process of a server: what reads, and what writes where it is the one that does."""

    def __init__(self, context: Context, store: Stores, log: Followed, place: Place = ALONE) -> None:
        self.context = context
        self.store = store
        self._log = log
        self.place = place
        self.restarting = False
        """Whether another server takes over when this one stops; consumers are told so."""
        self.failed = False
        """Whether it stops because of a defect of ours."""
        self.ready_s = 0.0
        self.joined = Joined(inner_url(context.data)) if place.duty == READER else None
        self.following = Following(context, store)
        self.reader = Reader(context, log, None if self.joined is None else self.joined.tickets)
        self.front = Front(context, log, store, self.reader)
        self._writing = (
            None
            if self.joined is not None
            else Writing(context, cast("Log", log), store, self.front, self.following)
        )
        self._receiving = () if self._writing is None else self._writing.receiving
        handlers = [*self.reader.routes(), *self.front.routes()]
        handlers += () if self._writing is None else self._writing.routes()
        self.web = listening.web(self._receiving, handlers, self.front.page.missing)
        self.listening = Listening(context, self._stop_loudly)
        self._tasks: list[asyncio.Task[None]] = []
        self._chores = Chores(self._stop_loudly)

    @property
    def writing(self) -> Writing:
        """What writes; only where this is the process that does."""
        assert self._writing is not None, "this process does not write"  # noqa: S101 - a defect of ours
        return self._writing

    @property
    def log(self) -> Log:
        """The log that this process writes."""
        return self.writing.log

    @property
    def writer(self) -> Writer:
        """What decides."""
        return self.writing.writer

    @property
    def ingest(self) -> Ingest:
        """What takes deliveries."""
        return self.writing.ingest

    @property
    def url(self) -> str:
        """Where it is reached; empty before it listens."""
        return self.listening.url

    @property
    def evses(self) -> int:
        """EVSEs on the board, where this process writes."""
        return 0 if self._writing is None else len(self.writer.board)

    def reconfigure(self, loaded: Loaded) -> Reconfigured:
        """Takes the settings that can change while it runs; says which did, and which need a restart."""
        changed = self.context.reconfigure(loaded)
        self.reader.reconfigure()
        if self._writing is not None:
            self._writing.reconfigure()
        return changed

    # -- start and stop ----------------------------------------------------------------------------------

    async def recover(self) -> None:
        """Fills the view from the log, and the board where this process writes; then takes what is stored."""
        with process.keeping():
            if self.joined is not None:
                found = await self._join(self.joined)
            else:
                found = await self.writing.recover(lambda: self.listening.serves, self._stop_loudly)
            self.reader.load(found, self._log.last.seq)
            self._start(self.reader.broadcast.run(), "broadcast")
            await self.following.refresh(everything=True)
            # Everything is gone through once, and before anybody is there to wait for it.
            gc.collect()

    async def _join(self, joined: Joined) -> Recovered:
        log = self._log
        told = log if isinstance(log, FollowedElsewhere) else None
        link = joined.follow(self.place.name, self.context, told, self.front, self.following)
        self._start(link.run(), "following the process that writes")
        found = await log.recover()
        if told is not None:
            self._start(told.follow(), "reading the log")
        link.begin()
        return found

    def _start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self._tasks.append(tasks.start(work, name, self._stop_loudly))

    def _stop_loudly(self, _: Exception) -> None:
        """What must not end has ended: nobody is to be served what is stale, and the process starts anew."""
        self.failed = True
        logger.critical("an essential task ended; stopping")
        os.kill(os.getpid(), signal.SIGTERM)

    async def listen(self) -> None:
        """Begins to serve; returns when the socket listens.

        Raises:
            InvalidSetting: the address cannot be had, or is not loopback while no key exists.
        """
        await self._listen()
        if self._writing is not None:
            self._writing.ingest.sources.start()
            self._chores.start(self._writing.chores())
        self._chores.start(
            (
                Chore(process.GIVE_BACK_EVERY_S, process.give_back),
                *self.following.chores(),
                *self.reader.chores(),
                *self.front.chores(),
            )
        )
        for reading in self.reader.background():
            self._start(reading, "recall of the log for an output")
        gc.collect()
        gc.freeze()
        gc.set_threshold(*COLLECT_AFTER)
        self.ready_s = time.monotonic() - process.started_s()

    async def _listen(self) -> None:
        stream, place, servers = self.reader.stream, self.place, self.listening
        if self.joined is not None:
            app, inner = self.joined.application(self.web, self.front), self.joined.inner
            await servers.begin(app, stream, PING_S_MAX, listener=place.listener, inner=inner)
            return
        app, ping_s = listening.around(self.web, self._receiving, stream), self.ingest.ping_s
        if place.duty == WRITER:
            service = announced(self.writing, self.front, self.following, place.name)
            self._start(service.follow(), "telling other processes of appends")
            await servers.begin_inside(service.around(app), stream, ping_s, inner_path(self.context.data))
        else:
            await servers.begin(app, stream, ping_s)
            await servers.tell_commands()
        await servers.begin_metrics(self.front.metrics, place.metrics)

    async def stop(self) -> None:
        """Tells consumers, answers what is under way, and closes everything. What was logged stays."""
        if self.place.duty == "all":
            self.listening.untell_commands()
        try:
            await self._end()
        finally:
            await housekeeping.ended(self._log.close, DRAIN_S_MAX)
            await housekeeping.ended(self.store.close, DRAIN_S_MAX)

    async def _end(self) -> None:
        stream, writing = self.reader.stream, self._writing
        if self.listening.serves:
            if self.joined is not None:
                await self.listening.leave()
            stream.drain(restarting=self.restarting)
            if writing is not None:
                writing.leave()
            await self.listening.end()
        if writing is not None:
            await writing.ingest.stop(DRAIN_S_MAX)
        await self._chores.stop(HOUSEKEEPING_END_S_MAX)
        if writing is not None:
            await writing.drain()
        stream.abort()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if writing is not None:
            await writing.end()
        await housekeeping.ended(self.front.touch, DRAIN_S_MAX)


@asynccontextmanager
async def running(
    settings: Settings,
    origins: Mapping[str, SettingOrigin] = NO_ORIGINS,
    *,
    demo: bool = False,
    prepare: Callable[[Stores], Awaitable[None]] | None = None,
) -> AsyncIterator[App]:
    """A server in one process that listens, until the block ends.

    With `demo`, the key `demo` reads. `prepare` may fill the store before anything reads it, when the data
    directory is ours alone. `origins` say where settings came from.

    Raises:
        InvalidSetting: an address or a directory cannot be had, or a driver is missing.
        Conflict: another process has the data directory.
        NotReady: the store cannot be reached.
    """
    context = Context(settings, origins, demo=demo)
    with DataDirectory(context.data) as directory:
        async with started(context, directory, prepare=prepare) as app:
            yield app


@asynccontextmanager
async def started(
    context: Context,
    directory: DataDirectory,
    place: Place = ALONE,
    prepare: Callable[[Stores], Awaitable[None]] | None = None,
) -> AsyncIterator[App]:
    """One process of a server that listens, until the block ends; its server has the data directory.

    Raises:
        InvalidSetting: an address cannot be had, or a driver is missing.
        NotReady: the store cannot be reached, or the log cannot be followed.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    settings = context.settings
    is_followed = place.duty == READER
    if is_followed:
        # The writer makes log and store.
        await there(inner_url(context.data))
    store = await table.open_stores(limits.store(settings, None if is_followed else directory))
    try:
        if prepare is not None:
            await prepare(store)
        log: Followed
        if is_followed:
            log = await table.open_reader(limits.log(settings))
        else:
            log = await table.open_log(limits.log(settings, directory))
        if not table.log_of(settings.log.url).outlives:
            logger.warning("the change log is lost when the server stops", url=settings.log.url)
    except BaseException:
        await store.close()
        raise
    app = App(context, store, log, place)
    try:
        await app.recover()
        await app.listen()
        logger.info("ready", version=__version__, url=app.url, evses=app.evses)
        yield app
    finally:
        await app.stop()
