"""Stations that operators describe while they deliver: into the registry, where they may.

Knows which of them are new or other than what is there, and writes those of all deliveries that wait in one
import. Each operator has a register of its own in each protocol (`ocpi:NAME`), so that none can take over
another's station.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import structlog

from ladestrom import tasks
from ladestrom.core.access import may_register, rightful
from ladestrom.core.directory import Directory
from ladestrom.core.drafts import fingerprint, held_key, joined
from ladestrom.errors import LadestromError
from ladestrom.model import Millis, Operator, Station
from ladestrom.ports.registry import StationDraft
from ladestrom.ports.stores import Store
from ladestrom.protocols.delivery import Delivery
from ladestrom.tasks import Turns, parts

logger = structlog.get_logger(__name__)

TOLD_MAX: Final = 5
"""Stations that were not registered, in one line of the log."""
STATIONS_PER_LOOK: Final = 20
"""Compared with the registry between two looks at how long the loop was taken: some 0.5 ms."""


class Registrar:
    """One object per server."""

    def __init__(
        self,
        store: Store,
        directory: Directory,
        refresh: Callable[[], Awaitable[None]],
        clock: Callable[[], Millis],
        rights: Callable[[Operator], Operator] = lambda operator: operator,
    ) -> None:
        """Nothing is written yet.

        Args:
            store: where the registry is kept.
            directory: what of it the server knows.
            refresh: makes the server take what was written.
            clock: gives the time of an import.
            rights: gives an operator with the rights that it has now: an import may have waited for others.
        """
        self._store = store
        self._directory = directory
        self._refresh = refresh
        self._clock = clock
        self._rights = rights
        self._waiting: dict[str, list[tuple[Operator, StationDraft]]] = {}
        self._complete: set[str] = set()
        """Registers of which all stations wait."""
        self._order = asyncio.Lock()
        """What two deliveries tell of a station waits in the order in which they came."""
        self._round: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None

    async def register(self, operator: Operator, delivery: Delivery) -> None:
        """Returns when the registry has what is new of a delivery's stations, and the server knows it.

        A station that cannot be registered is left out and logged: its statuses are refused one by one.
        """
        async with self._order:
            wanted = await self._wanted(operator, delivery)
            if not wanted:
                return
            # A station that was refused has not vanished.
            is_all = delivery.all_stations and len(wanted) == len(delivery.stations)
            for draft in wanted:
                register = f"{draft.station.register}:{operator.name}"
                self._waiting.setdefault(register, []).append((operator, draft))
                if is_all:
                    self._complete.add(register)
        if self._next is None or self._next.done():
            self._next = tasks.start(self._import(self._round), "import of stations", tasks.awaited)
            self._round = self._next
        await asyncio.shield(self._next)

    async def _wanted(self, operator: Operator, delivery: Delivery) -> list[StationDraft]:
        wanted: list[StationDraft] = []
        refused: list[str] = []
        turns = Turns()
        for some in parts(delivery.stations, STATIONS_PER_LOOK):
            for draft in some:
                if not isinstance(draft, StationDraft):
                    refused.append(f"{draft.record}: {draft.reason}")
                elif not may_register(operator, draft.station):
                    refused.append(f"{draft.station.native_id}: it has EVSEs of other parties")
                elif (whole := self._whole(operator, draft, delivery)) is not None:
                    wanted.append(whole)
            await turns.rest()
        if refused:
            _log(operator.name, refused)
        return wanted

    def _whole(self, operator: Operator, draft: StationDraft, delivery: Delivery) -> StationDraft | None:
        """A station as it is to be in the registry; None where the registry has it so."""
        own = draft.station
        whole = rightful(operator, draft)
        known = self._directory.described(f"{own.register}:{operator.name}", own.native_id)
        if delivery.partial_stations and known is not None and known.vanished_at is None:
            whole = joined(known, whole)
        return whole if delivery.all_stations or self._is_new(known, whole) else None

    def _is_new(self, known: Station | None, draft: StationDraft) -> bool:
        """Whether the registry is to be told of a station.

        It is where the record says something else than before, or an EVSE that it lost to another is free.
        """
        own = draft.station
        if known is None or known.vanished_at is not None:
            return bool(own.evses)
        if known.told != fingerprint(own):
            # A station of which nothing is to be shown matters only where something is.
            return bool(own.evses or known.evses)
        held = {evse.key for evse in known.evses}
        wanted = {held_key(evse) for evse in own.evses} - held - {""}
        return not all(map(self._directory.has, wanted))

    async def _import(self, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            with suppress(Exception):
                await asyncio.shield(before)
        self._next = None
        waiting, self._waiting = self._waiting, {}
        complete, self._complete = self._complete, set()
        turns = Turns()
        for register, offered in waiting.items():
            drafts: list[StationDraft] = []
            for some in parts(offered, STATIONS_PER_LOOK):
                drafts += (
                    rightful(rights, draft)
                    for operator, draft in some
                    if may_register(rights := self._rights(operator), draft.station)
                )
                await turns.rest()
            if not drafts:
                continue
            # Of two that came while another import ran, the later is the newer.
            newest = {draft.station.native_id: draft for draft in drafts}
            is_all = register in complete and len(drafts) == len(offered)
            try:
                report = await self._store.import_stations(
                    register, newest.values(), self._clock(), complete=is_all
                )
            except LadestromError as error:
                logger.warning("stations were not registered", register=register, error=str(error))
                continue
            if report.refused:
                _log(register, [f"{refusal.record}: {refusal.reason}" for refusal in report.refused])
            if report.notes:
                first = [f"{each.record}: {each.note}" for each in report.notes[:TOLD_MAX]]
                logger.info("stations were noted", of=register, count=report.notes_count, first=first)
        try:
            await self._refresh()
        except LadestromError as error:
            logger.warning("the registry was not loaded; retrying", error=str(error))


def _log(whose: str, refused: list[str]) -> None:
    logger.info("stations were not registered", of=whose, count=len(refused), first=refused[:TOLD_MAX])
