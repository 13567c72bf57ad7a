"""The writer: decides what is a change, logs it, keeps the board in step with the registry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import structlog

from ladestrom import housekeeping
from ladestrom.backends.retention import DAY_MS, clock_doubt
from ladestrom.core.board import Board
from ladestrom.core.directory import Directory
from ladestrom.formats.freshness import FRESHNESS_FILE
from ladestrom.housekeeping import Chore
from ladestrom.model import NEVER
from ladestrom.ports.log import Log, Recovered
from ladestrom.ports.signals import Listener
from ladestrom.ports.stores import Stores
from ladestrom.roles import limits
from ladestrom.roles.context import Context, clock
from ladestrom.roles.rights import Rights
from ladestrom.writer.checkpoints import Checkpoints
from ladestrom.writer.confirmations import Confirmations
from ladestrom.writer.expiry import Expiry
from ladestrom.writer.hub import Hub
from ladestrom.writer.reconciliation import Readings, Reconciliation

logger = structlog.get_logger(__name__)

EXPIRE_S: Final = 10.0
CHECKPOINT_LOOK_S: Final = 1.0
CONFIRM_S: Final = 1.0


class Writer:
    """One for each log."""

    def __init__(self, context: Context, log: Log, store: Stores, directory: Directory) -> None:
        settings = context.settings
        self._context = context
        self._log = log
        self.board = Board()
        self.hub = Hub(log, self.board, directory, clock, limits.of_hub(settings), context.present)
        self.reconciliation = Reconciliation(store, self.hub, self._readings, clock)
        self.expiry = Expiry(self.hub)
        self.confirmations = Confirmations(self.hub)
        self.checkpoints = Checkpoints(
            log,
            self.hub,
            lambda: self.reconciliation.revision,
            every_s=settings.log.checkpoint_s,
            every_entries=settings.log.checkpoint_entries,
        )

    def tell(self, listener: Listener) -> None:
        """Tells readers from now on what does not reach them by the log."""
        self.hub.listener = listener

    def _readings(self) -> Readings:
        settings = self._context.settings
        return Readings(settings.registry.readings, settings.rules.stale_after_s * 1000)

    async def recover(self) -> Recovered:
        """Fills board and directory from the log; one that lacks records of stations gets the registry's.

        Raises:
            LogDamaged: they cannot be made of what is in the log.
        """
        found = await self.hub.recover()
        self.reconciliation.revision = found.registry_revision
        if self._log.lacks_stations:
            stations = await self.reconciliation.adopt(self._log.last.seq)
            await self._log.adopt(stations)
            found = Recovered(found.rows, stations)
        rows = found.rows
        newest_at = rows[-1].change.received_at if rows else None
        doubt = clock_doubt(clock(), newest_at, self._context.settings.log.retention_days * DAY_MS)
        if doubt:
            logger.warning("check the clock", doubt=doubt)
        self.checkpoints.seq = self._log.last.seq
        return found

    def follow(self, rights: Rights) -> None:
        """Goes by these rights from now on."""
        self.hub.set_operators(rights.operators.values())
        self.reconciliation.follow(rights.operators)

    def reconfigure(self) -> None:
        """Takes what changed of the settings."""
        self.hub.limits = limits.of_hub(self._context.settings)

    def chores(self) -> Sequence[Chore]:
        """What is to be done again and again."""
        return (
            Chore(EXPIRE_S, self._expire),
            Chore(CHECKPOINT_LOOK_S, self.checkpoints.when_due),
            Chore(CONFIRM_S, self.confirmations.tell),
        )

    async def _expire(self) -> None:
        expired = await self.expiry.take()
        if expired:
            logger.info("sources silent", evses=expired)

    async def note_tallies(self) -> None:
        """Writes for the command line how fresh each operator's reports are."""
        tallies = {
            name: {
                "last_report_at": None if tally.last_report_at == NEVER else tally.last_report_at,
                "reports": tally.reports,
                "changes": tally.changes,
                "refused": sum(tally.refused.values()),
            }
            for name, tally in self.hub.tallies.items()
        }
        await housekeeping.note(self._context.data / FRESHNESS_FILE, msgspec.json.encode(tallies))
