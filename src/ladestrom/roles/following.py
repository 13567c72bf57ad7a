"""What commands write to the store reaches all roles while they run: who may do what, and stations."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from ladestrom.housekeeping import Chore
from ladestrom.ports.stores import Stores
from ladestrom.roles import rights
from ladestrom.roles.context import Context
from ladestrom.roles.ingest import Ingest
from ladestrom.roles.writer import Writer


class Following:
    """Of one process. What writes is told of it by `feed`, and takes stations too."""

    def __init__(self, context: Context, store: Stores) -> None:
        self._context = context
        self._store = store
        self.taken: Callable[[int], None] | None = None
        """Is told the revision of rights that were taken."""
        self._fed: tuple[Writer, Ingest] | None = None
        self._serves: Callable[[], bool] = lambda: False
        self._refreshing, self._taking_rights = asyncio.Lock(), asyncio.Lock()
        self._rights_revision = self._followed_revision = 0
        """Taken, and of those the last that the registry was read by: rights that were taken while it was
        read may have sources to start."""

    def feed(self, writer: Writer, ingest: Ingest, serves: Callable[[], bool]) -> None:
        """Says who takes what was written; sources are asked while `serves`."""
        self._fed, self._serves = (writer, ingest), serves

    @property
    def revision(self) -> int:
        """Of the store, up to which all roles have taken what was written."""
        if self._fed is None:
            return self._rights_revision
        return min(self._fed[0].reconciliation.revision, self._followed_revision)

    async def refresh(self, *, everything: bool = False) -> None:
        """Takes what was written since the last time: who may do what, then stations."""
        await self.take_rights()
        if self._fed is None:
            return
        writer, ingest = self._fed
        async with self._refreshing:
            followed = self._rights_revision
            delta = await writer.reconciliation.take(everything=everything)
            await ingest.follow_registry()
            if self._serves():
                ingest.sources.start()
            writer.reconciliation.revision, self._followed_revision = delta.revision, followed

    async def take_rights(self) -> None:
        """Takes operators, keys, charge points, peers and sources: those that are gone end at once.

        Stations wait for the log and for each other; this waits for neither.
        """
        async with self._taking_rights:
            found = await rights.read(self._store, demo=self._context.demo)
            self._context.follow(found)
            if self._fed is not None:
                writer, ingest = self._fed
                writer.follow(found)
                await ingest.follow(found)
            self._rights_revision = found.revision
            if self.taken is not None:
                self.taken(found.revision)

    def chores(self) -> Sequence[Chore]:
        """What is to be done again and again."""
        interval_s = self._context.settings.registry.poll_ms / 1000
        return Chore(interval_s, self._watch), Chore(interval_s, self._watch_rights)

    async def _watch(self) -> None:
        if self._fed is None:
            return
        revision = await self._store.revision()
        read = self._fed[0].reconciliation.revision
        if revision != read or self._followed_revision != self._rights_revision:
            await self.refresh()

    async def _watch_rights(self) -> None:
        if await self._store.revision() != self._rights_revision:
            await self.take_rights()
