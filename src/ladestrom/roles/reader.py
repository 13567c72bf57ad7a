"""The reader: follows the log and serves consumers, REST and the page."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from litestar.types import ControllerRouterHandler

from ladestrom.broadcast import Broadcast
from ladestrom.clocks import steady
from ladestrom.core.directory import Directory
from ladestrom.core.rules import Inoperative
from ladestrom.core.view import View
from ladestrom.credentials import Tickets
from ladestrom.edges import lists, look, rest_v1, rest_v2, v2, websocket
from ladestrom.edges.connection import StreamEdge
from ladestrom.edges.cors import Cors
from ladestrom.edges.framing import FRAMINGS
from ladestrom.edges.lookout import Lookout
from ladestrom.formats.nobil import NobilDialect, NobilFormat
from ladestrom.formats.v2_stream import Attribution, V2Dialect
from ladestrom.housekeeping import Chore
from ladestrom.ports.log import BoardRow, Log
from ladestrom.ports.signals import Signals
from ladestrom.roles import limits
from ladestrom.roles.context import Context, clock

SWEEP_S: Final = 1.0


class Reader:
    """Any number could follow one log."""

    def __init__(self, context: Context, log: Log, directory: Directory, signals: Signals) -> None:
        settings = context.settings
        self._context = context
        self._signals = signals
        self.view = View(directory, log.last.epoch)
        self.tickets = Tickets(steady, limits.of_tickets(settings))
        self._nobil = NobilFormat(Inoperative(settings.rules.inoperative))
        registry = settings.registry
        dialect = V2Dialect(
            limits.told(settings),
            Attribution(registry.licence, registry.attribution),
            signals.observed_at,
        )
        self.broadcast = Broadcast(
            log,
            self.view,
            {"v1": NobilDialect(self._nobil), "v2": dialect},
            FRAMINGS,
            limits.of_broadcast(settings),
            clock=clock,
        )
        self.broadcast.writer = signals
        self.stream = StreamEdge(
            self.broadcast,
            context.door,
            self.tickets,
            limits.of_stream(settings),
            dialect,
            context.addresses,
        )
        self.lookout = Lookout(
            self.view,
            self.stream,
            clock,
            changes_max=settings.page.history_changes_max,
            skew_ms=settings.rules.clock_skew_s * 1000,
        )
        self.broadcast.followed = self.lookout.follow
        self._open()

    def _open(self) -> None:
        """Lets pages of other origins in; those that may open WebSockets may read, too."""
        own = self._context.settings.server
        self.stream.origins = frozenset(own.origins)
        self.stream.cors = Cors(self.stream.origins | set(own.cors_origins))

    def load(self, rows: Sequence[BoardRow], seq: int) -> None:
        """Begins with a board as of a sequence."""
        self.view.load(((row.seq, row.change) for row in rows), seq)
        self.lookout.panorama.load(row.change for row in rows)

    def reconfigure(self) -> None:
        """Takes what changed of the settings."""
        settings = self._context.settings
        self.broadcast.limits = limits.of_broadcast(settings)
        self.stream.limits = limits.of_stream(settings)
        self._open()
        self.tickets.limit(limits.of_tickets(settings))

    def routes(self, sources: rest_v2.Sources, page: look.PageSource) -> Sequence[ControllerRouterHandler]:
        """What it serves.

        Args:
            sources: how fresh each source of an operator is.
            page: what the page says of this server.
        """
        door, view = self._context.door, self.view
        return [
            *websocket.handlers(),
            *rest_v1.handlers(view, self._nobil, door),
            *rest_v2.handlers(view, self._signals, door, sources),
            *lists.handlers(view, self._signals, door),
            *look.handlers(view, door, self.lookout, page),
            *v2.handlers(door, self.tickets, self._context.addresses),
        ]

    def chores(self) -> Sequence[Chore]:
        """What is to be done again and again."""
        return (Chore(SWEEP_S, self._sweep),)

    async def _sweep(self) -> None:
        self.stream.sweep(asyncio.get_running_loop().time())
