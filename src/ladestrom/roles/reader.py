"""The reader: follows the log, and offers the outputs."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, Final

from litestar.types import ControllerRouterHandler

from ladestrom.clocks import steady
from ladestrom.core.directory import Directory
from ladestrom.core.view import View
from ladestrom.credentials import Tickets
from ladestrom.edges import cors
from ladestrom.edges.connection import StreamEdge
from ladestrom.edges.documents import Documents
from ladestrom.edges.framing import FRAMINGS
from ladestrom.edges.output import Opened, Reading
from ladestrom.housekeeping import Chore
from ladestrom.model import Entry
from ladestrom.outputs import OUTPUTS
from ladestrom.ports.log import Followed, Recovered
from ladestrom.reader.broadcast import Broadcast
from ladestrom.roles import limits
from ladestrom.roles.context import Context, clock
from ladestrom.targets import load

SWEEP_S: Final = 1.0
READ: Final = (*cors.READ, *(path for output in OUTPUTS for path in output.reads))
"""What pages of other origins may read."""


class Reader:
    """Any number could follow one log."""

    def __init__(self, context: Context, log: Followed, tickets: Tickets | None = None) -> None:
        """`tickets` that another process has; those of this one where None."""
        settings = context.settings
        self._context = context
        self.view = View(Directory(), log.last.epoch, confirmations=clock())
        self.tickets = tickets or Tickets(steady, limits.of_tickets(settings))
        style = limits.style(settings, self.view.observed_at)
        self.broadcast = Broadcast(
            log,
            self.view,
            {name: output.dialect(name, style) for output in OUTPUTS for name in output.dialects},
            FRAMINGS,
            limits.of_broadcast(settings),
            clock=clock,
        )
        self.stream = StreamEdge(
            self.broadcast, context.door, self.tickets, limits.of_stream(settings), context.addresses
        )
        self.documents = Documents(self.view, context.door, clock, licence=style.licence)
        self._reading = Reading(
            view=self.view,
            log=log,
            door=context.door,
            tickets=self.tickets,
            addresses=context.addresses,
            stream=self.stream,
            style=style,
            documents=self.documents,
            clock=clock,
            history_changes_max=settings.page.history_changes_max,
            skew_ms=settings.rules.clock_skew_s * 1000,
            url_public=settings.server.url_public,
            contact=settings.page.contact,
        )
        self._opened: Sequence[Opened] = [output.open(self._reading) for output in OUTPUTS]
        self.folds = {
            output.name: opened.fold
            for output, opened in zip(OUTPUTS, self._opened, strict=True)
            if opened.fold is not None
        }
        """What outputs keep beside the view, by their names."""
        self.stream.sockets = {path: kind for each in self._opened for path, kind in each.sockets.items()}
        self.stream.events = {path: kind for each in self._opened for path, kind in each.events.items()}
        self.remembers = [path for each in self._opened for path in each.remembers]
        """Paths that only the process that writes can answer."""
        self.broadcast.followed = self._feed
        self._open()

    def _open(self) -> None:
        """Lets pages of other origins in; those that may open WebSockets may read, too."""
        own = self._context.settings.server
        self.stream.origins = frozenset(own.origins)
        self.stream.cors = cors.Cors(self.stream.origins | set(own.cors_origins), READ)

    def load(self, found: Recovered, seq: int) -> None:
        """Begins with what the log adds up to at a sequence."""
        self.view.load(found.rows, seq, found.stations)
        self.view.confirm(
            (row.change.station, row.change.evse, row.seq, row.observed_at)
            for row in found.rows
            if row.observed_at > row.change.observed_at
        )
        self.documents.moved(max((row.change.received_at for row in found.rows), default=None))
        for fold in self.folds.values():
            fold.load(row.change for row in found.rows)

    def _feed(self, entries: Sequence[Entry]) -> None:
        self.documents.moved()
        for fold in self.folds.values():
            fold.follow(entries)

    def background(self) -> Sequence[Coroutine[Any, Any, None]]:
        """What outputs read of the log once the server serves."""
        return [fold.recall() for fold in self.folds.values()]

    def reconfigure(self) -> None:
        """Takes what changed of the settings."""
        settings = self._context.settings
        self.broadcast.limits = limits.of_broadcast(settings)
        self.stream.limits = limits.of_stream(settings)
        self._open()
        self.tickets.limit(limits.of_tickets(settings))

    def routes(self) -> Sequence[ControllerRouterHandler]:
        """What it serves, streams apart."""
        return [route for opened in self._opened for route in opened.routes]

    def over_view(self, target: str) -> Any:  # noqa: ANN401 - what it is, whoever names the target knows
        """What a protocol needs of the readers' view, such as what answers GET on the path of a push.

        Args:
            target: `module:attribute` of what makes it of a `Reading`.
        """
        return load(target)(self._reading)

    def chores(self) -> Sequence[Chore]:
        """What is to be done again and again."""
        return (Chore(SWEEP_S, self._sweep),)

    async def _sweep(self) -> None:
        self.stream.sweep(asyncio.get_running_loop().time())
        self.documents.sweep()
