"""The ingest: takes what operators send and asks sources for what they have, and hands it to the writer."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final

import msgspec
from prometheus_client.registry import Collector

from ladestrom import housekeeping, transports
from ladestrom.core.directory import Directory
from ladestrom.housekeeping import Chore
from ladestrom.ingest import extensions
from ladestrom.ingest.intake import ConfiguredFeeds, Intake
from ladestrom.ingest.location_store import LocationStore
from ladestrom.ingest.parsing import ParsingProcess
from ladestrom.ingest.registrar import Registrar
from ladestrom.ingest.sources import ServerServices, SourceTasks
from ladestrom.ingest.supervision import STATUS_FILE, Supervision
from ladestrom.model import Position
from ladestrom.ports.sources import SourceRecord
from ladestrom.ports.stores import Stores
from ladestrom.ports.writer import Writer
from ladestrom.roles import limits
from ladestrom.roles.context import Context, clock
from ladestrom.roles.rights import Rights
from ladestrom.transports import sources
from ladestrom.transports.serving import Route, Services

SOURCES_S: Final = 2.0
"""How old what the command line shows of sources may be."""
AGAIN_S: Final = 1.0
LOOK_S: Final = 1.0
"""Between two looks at which sources began to fail."""


class Ingest:
    """Everything by which statuses come in."""

    def __init__(
        self,
        context: Context,
        writer: Writer,
        directory: Directory,
        store: Stores,
        *,
        logged: Callable[[], Position],
        refresh: Callable[[], Awaitable[None]],
        over_view: Callable[[str], Any],
    ) -> None:
        """Takes nothing yet.

        Args:
            context: what all roles share.
            writer: decides.
            directory: finds EVSEs.
            store: where stations, sources and peers are kept.
            logged: position of our own log.
            refresh: makes the server take what was written to the store.
            over_view: makes what needs the readers' view, by its `module:attribute`.
        """
        settings = context.settings
        self._context = context
        self.protocols = extensions.table()
        self.parsing = ParsingProcess()
        self.supervision = Supervision(clock, limits.quarantine(settings))
        registrar = Registrar(store, directory, refresh, clock, context.present)
        locations = LocationStore(store.peers, directory, clock)
        self.intake = Intake(writer, self.supervision, registrar, locations)
        self.sources = SourceTasks(
            ServerServices(self.intake, store, sources.limits_of(settings), clock, logged, self.parsing),
            self.protocols,
        )
        services = Services(
            settings=settings,
            intake=self.intake,
            locations=locations,
            directory=directory,
            store=store,
            door=context.door,
            parsing=self.parsing,
            clock=clock,
            operator=context.operator,
            over_view=over_view,
        )
        self.servings = transports.serve(self.protocols, services)
        self._configured = ConfiguredFeeds(frozenset(), frozenset())
        self._some_left = True
        """Whether something is not configured any more, and what it told may still stand; at a start, for
        one."""

    @property
    def routes(self) -> Sequence[Route]:
        """Where operators send to."""
        return [route for serving in self.servings.values() for route in serving.routes]

    @property
    def failures(self) -> dict[str, int]:
        """Deliveries refused as a whole, by error code."""
        counted: Counter[str] = Counter()
        for serving in self.servings.values():
            counted.update(serving.failures)
        return counted

    @property
    def collectors(self) -> Sequence[Collector]:
        """Metrics of single transports."""
        return [collector for serving in self.servings.values() for collector in serving.collectors]

    @property
    def ping_s(self) -> float:
        """How often WebSockets have to be pinged at least."""
        wanted = (serving.ping_s for serving in self.servings.values())
        return min((ping_s for ping_s in wanted if ping_s is not None), default=math.inf)

    def reconfigure(self) -> None:
        """Takes what changed of the settings."""
        for serving in self.servings.values():
            serving.reconfigure(self._context.settings)
        self._supervise()

    def _supervise(self) -> None:
        context = self._context
        self.supervision.set_operators(context.operators.values(), context.settings.rules.stale_after_s)

    # -- who may deliver ---------------------------------------------------------------------------------

    async def follow(self, rights: Rights) -> None:
        """Goes by these rights; returns when none hands anything in any more that may not."""
        self._supervise()
        for serving in self.servings.values():
            serving.follow(rights)
        asked = [source for serving in self.servings.values() for source in serving.sources]
        await self.sources.follow([*rights.sources, *asked], rights.operators)
        before, self._configured = self._configured, self._feeds_of(rights.sources)
        self._some_left = self._some_left or not before.feeds <= self._configured.feeds

    def _feeds_of(self, configured: Iterable[SourceRecord]) -> ConfiguredFeeds:
        found = {feed for serving in self.servings.values() for feed in serving.feeds}
        for source in configured:
            # A source that is followed vouches for what it told while it is followed.
            if source.paused_at is None or source.protocol not in self.protocols.streams:
                found.update((f"{source.operator}/{source.name}", f"{source.operator}/{source.protocol}"))
        return ConfiguredFeeds(frozenset(self.protocols.pushes), frozenset(found))

    async def follow_registry(self) -> None:
        """Takes that EVSEs came, went or moved, and signs off feeds that are not configured any more.

        Raises:
            LadestromError: the log failed; what is still to do is done the next time.
        """
        for serving in self.servings.values():
            await serving.follow_registry()
        some_left, self._some_left = self._some_left, False
        try:
            if some_left:
                await self.intake.sign_off_left(self._configured)
        except BaseException:
            self._some_left = True
            raise

    # -- housekeeping and end ----------------------------------------------------------------------------

    def chores(self) -> Sequence[Chore]:
        """What is to be done again and again."""
        return (
            Chore(SOURCES_S, self._note_sources),
            Chore(AGAIN_S, self._take_again),
            Chore(LOOK_S, self.supervision.look),
        )

    async def _note_sources(self) -> None:
        told = self.supervision.statuses()
        await housekeeping.note(self._context.data / STATUS_FILE, msgspec.json.encode(told))

    async def _take_again(self) -> None:
        await self.sources.take_again()

    async def touch(self) -> None:
        """Writes to the store when those who deliver were last seen."""
        for serving in self.servings.values():
            await serving.touch()

    def leave(self) -> None:
        """The server is about to stop: nobody is taken for gone any more."""
        for serving in self.servings.values():
            serving.leave()

    async def drain(self) -> None:
        """Returns when all that was taken is stored."""
        for serving in self.servings.values():
            await serving.drain()

    async def stop(self, seconds_max: float) -> None:
        """Ends what asks, follows and reads large messages."""
        await self.sources.stop()
        await housekeeping.ended(self.parsing.stop, seconds_max)
