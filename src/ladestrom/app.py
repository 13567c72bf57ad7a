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
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import structlog

from ladestrom import __version__, housekeeping, process, tasks
from ladestrom.backends import table
from ladestrom.backends.data_directory import DataDirectory
from ladestrom.config import Loaded, SettingOrigin, Settings
from ladestrom.core.directory import Directory
from ladestrom.ports.log import Log
from ladestrom.ports.stores import Stores
from ladestrom.roles import limits, listening
from ladestrom.roles.console import Console
from ladestrom.roles.context import NO_ORIGINS, Context, Reconfigured
from ladestrom.roles.following import Following
from ladestrom.roles.ingest import Ingest
from ladestrom.roles.listening import Listening
from ladestrom.roles.reader import Reader
from ladestrom.roles.writer import Writer

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
DRAIN_S_MAX: Final = 5.0
"""For each thing that is left to do at the end. An append or a write to the store takes some 100 ms; whatever
takes this long hangs, and systemd kills after 90 s."""
CHECKPOINT_END_S_MAX: Final = 45.0
"""For the checkpoint at the end: a million EVSEs take some 20 s. The next start does not need it, it only has
more of the log to read."""


class App:
    """One process with all roles."""

    def __init__(self, context: Context, store: Stores, log: Log) -> None:
        self.context = context
        self.store = store
        self.log = log
        self.restarting = False
        """Whether another server takes over when this one stops; consumers are told so."""
        self.failed = False
        """Whether it stops because of a defect of ours."""
        self.ready_s = 0.0
        directory, self.following = Directory(), Following(context, store)
        refresh = self.following.refresh
        self.writer = Writer(context, log, store, directory)
        hub = self.writer.hub
        self.reader = Reader(context, log, hub)
        self.writer.tell(self.reader.broadcast)
        self.ingest = Ingest(
            context,
            hub,
            directory,
            store,
            logged=lambda: log.last,
            refresh=refresh,
            over_view=self.reader.over_view,
        )
        self.console = Console(context, log, store, self.writer, self.ingest, self.reader, refresh)
        self._routes = self.ingest.routes
        self.web = listening.web(self._routes, [*self.reader.routes(), *self.console.routes()])
        self.listening = Listening(context, self._stop_loudly)
        self.following.feed(self.writer, self.ingest, lambda: self.listening.serves)
        self._tasks: list[asyncio.Task[None]] = []
        self._housekeeping: list[asyncio.Task[None]] = []
        self._stopping = asyncio.Event()

    @property
    def url(self) -> str:
        """Where it is reached; empty before it listens."""
        return self.listening.url

    def reconfigure(self, loaded: Loaded) -> Reconfigured:
        """Takes the settings that can change while it runs; says which did, and which need a restart."""
        changed = self.context.reconfigure(loaded)
        self.writer.reconfigure()
        self.reader.reconfigure()
        self.ingest.reconfigure()
        self.console.reconfigure()
        return changed

    # -- start and stop ----------------------------------------------------------------------------------

    async def recover(self) -> None:
        """Fills board and view from the log, then brings the registry and the keys up to date."""
        with process.keeping():
            self.reader.load(await self.writer.recover(), self.log.last.seq)
            self._start(self.writer.hub.run(), "hub")
            self._start(self.reader.broadcast.run(), "broadcast")
            await self.following.refresh(everything=True)
            # Everything is gone through once, and before anybody is there to wait for it.
            gc.collect()

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
        await self.listening.begin(self.web, self._routes, self.reader.stream, self.ingest.ping_s)
        await self.listening.begin_metrics(self.console.metrics)
        await self.listening.tell_commands()
        self.ingest.sources.start()
        for chore in (
            housekeeping.Chore(process.GIVE_BACK_EVERY_S, process.give_back),
            *self.following.chores(),
            *self.reader.chores(),
            *self.writer.chores(),
            *self.ingest.chores(),
            *self.console.chores(),
        ):
            keeping = housekeeping.keep(chore, self._stopping)
            self._housekeeping.append(tasks.start(keeping, "housekeeping", self._stop_loudly))
        for reading in self.reader.background():
            self._start(reading, "recall of the log for an output")
        gc.collect()
        gc.freeze()
        gc.set_threshold(*COLLECT_AFTER)
        self.ready_s = time.monotonic() - process.started_s()

    async def stop(self) -> None:
        """Tells consumers, answers what is under way, and closes everything. What was logged stays."""
        self.listening.untell_commands()
        try:
            await self._end()
        finally:
            await housekeeping.ended(self.log.close, DRAIN_S_MAX)
            await housekeeping.ended(self.store.close, DRAIN_S_MAX)

    async def _end(self) -> None:
        stream = self.reader.stream
        if self.listening.serves:
            stream.drain(restarting=self.restarting)
            self.ingest.leave()
            await self.listening.end()
        await self.ingest.stop(DRAIN_S_MAX)
        # Housekeeping ends between two rounds: broken off in the middle of a query, it would leave the store
        # locked for what is still to be written.
        self._stopping.set()
        if self._housekeeping:
            await asyncio.wait(self._housekeeping, timeout=HOUSEKEEPING_END_S_MAX)
        await self.writer.hub.drain(DRAIN_S_MAX)
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S_MAX):
                await self.ingest.drain()
        stream.abort()
        for task in (*self._housekeeping, *self._tasks):
            task.cancel()
        await asyncio.gather(*self._housekeeping, *self._tasks, return_exceptions=True)
        await housekeeping.ended(self.writer.checkpoints.take, CHECKPOINT_END_S_MAX)
        await housekeeping.ended(self.console.touch, DRAIN_S_MAX)


@asynccontextmanager
async def running(
    settings: Settings,
    origins: Mapping[str, SettingOrigin] = NO_ORIGINS,
    *,
    demo: bool = False,
    prepare: Callable[[Stores], Awaitable[None]] | None = None,
) -> AsyncIterator[App]:
    """A server that listens, until the block ends.

    With `demo`, the key `demo` reads. `prepare` may fill the store before anything reads it, when the data
    directory is ours alone. `origins` say where settings came from.

    Raises:
        InvalidSetting: an address or a directory cannot be had, or a driver is missing.
        Conflict: another process has the data directory.
        NotReady: the store cannot be reached.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    context = Context(settings, origins, demo=demo)
    with DataDirectory(context.data) as directory:
        store = await table.open_stores(limits.store(settings, directory))
        try:
            if prepare is not None:
                await prepare(store)
            log = await table.open_log(limits.log(settings, directory))
            if not table.log_of(settings.log.url).outlives:
                logger.warning("the change log is lost when the server stops", url=settings.log.url)
        except BaseException:
            await store.close()
            raise
        app = App(context, store, log)
        try:
            await app.recover()
            await app.listen()
            logger.info("ready", version=__version__, url=app.url, evses=len(app.writer.board))
            yield app
        finally:
            await app.stop()
