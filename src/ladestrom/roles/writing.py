"""What one process of a log has and no other: the writer, what comes in, and the administration.

Can begin and end while the process serves readers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import structlog
from litestar.types import ControllerRouterHandler

from ladestrom import housekeeping, tasks
from ladestrom.core.directory import Directory
from ladestrom.edges import operations
from ladestrom.housekeeping import Chore
from ladestrom.ports.log import Log, Recovered
from ladestrom.ports.stores import Stores
from ladestrom.roles.console import Console
from ladestrom.roles.context import Context
from ladestrom.roles.following import Following
from ladestrom.roles.front import Front
from ladestrom.roles.ingest import Ingest
from ladestrom.roles.writer import Writer
from ladestrom.transports.serving import Route
from ladestrom.watch import LOOK_S, PROBE_S, Probe

logger = structlog.get_logger(__name__)

DRAIN_S_MAX: Final = 5.0
"""For each thing that is left to do at the end. An append or a write to the store takes some 100 ms; whatever
takes this long hangs, and systemd kills after 90 s."""
CHECKPOINT_END_S_MAX: Final = 45.0
"""For the checkpoint at the end: a million EVSEs take some 20 s. The next start does not need it, it only has
more of the log to read."""


class Writing:
    """That of one process, from `recover` to `end`."""

    def __init__(
        self,
        context: Context,
        log: Log,
        store: Stores,
        front: Front,
        following: Following,
    ) -> None:
        """Nothing is decided or taken before `recover`."""
        self.log = log
        self._front = front
        self._following = following
        directory = Directory()
        self.writer = Writer(context, log, store, directory)
        self.ingest = Ingest(
            context,
            self.writer.hub,
            directory,
            store,
            logged=lambda: log.last,
            refresh=following.refresh,
            over_view=front.reader.over_view,
        )
        self.console = Console(
            context,
            log,
            store,
            self.writer,
            self.ingest,
            front,
            following.refresh,
        )
        self._probe = Probe(self.writer.hub, log)
        self._collectors = (
            operations.WritingMetrics(
                self.writer.hub, lambda: self.ingest.failures, self.ingest.supervision.freshness
            ),
            *self.ingest.collectors,
        )
        self._task: asyncio.Task[None] | None = None

    @property
    def receiving(self) -> Sequence[Route]:
        """Where operators send to."""
        return self.ingest.routes

    def routes(self) -> Sequence[ControllerRouterHandler]:
        """What else it serves."""
        return self.console.routes()

    async def recover(self, serves: Callable[[], bool], died: Callable[[Exception], None]) -> Recovered:
        """Fills the board from the log, and decides from now on. Sources are asked while `serves`.

        Raises:
            LogDamaged: the board cannot be made of what is in the log.
        """
        found = await self.writer.recover()
        self.writer.tell(self._front.reader.broadcast)
        self._front.reader.broadcast.writer = self.writer.hub
        for collector in self._collectors:
            self._front.metrics.registry.register(collector)
        self._front.watch.check({"log": self._probe.reason})
        self._following.feed(self.writer, self.ingest, serves)
        self._task = tasks.start(self.writer.hub.run(), "hub", died)
        return found

    def reconfigure(self) -> None:
        """Takes what changed of the settings."""
        self.writer.reconfigure()
        self.ingest.reconfigure()
        self.console.reconfigure()

    def chores(self) -> Sequence[Chore]:
        """What is to be done again and again."""
        return (
            *self.writer.chores(),
            *self.ingest.chores(),
            *self.console.chores(),
            Chore(LOOK_S, self._probe.look),
            Chore(PROBE_S, self._probe.try_log),
        )

    def leave(self) -> None:
        """Is about to end: nobody is taken for gone any more."""
        self.ingest.leave()

    async def drain(self) -> None:
        """Answers what is under way; chores have ended."""
        await self.writer.hub.drain(DRAIN_S_MAX)
        await housekeeping.ended(self.ingest.drain, DRAIN_S_MAX)

    async def end(self) -> None:
        """Decides nothing any more, and leaves the log with a checkpoint."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await housekeeping.ended(self.writer.checkpoints.take, CHECKPOINT_END_S_MAX)
        await housekeeping.ended(self.console.touch, DRAIN_S_MAX)
