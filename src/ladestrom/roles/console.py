"""What only the process that writes can tell: keys, administration, who reports how freshly."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec
import structlog
from litestar.types import ControllerRouterHandler

from ladestrom import logs, process
from ladestrom.backends import table
from ladestrom.clocks import steady
from ladestrom.config import shown
from ladestrom.edges import admin, keys, operators, own
from ladestrom.errors import LadestromError
from ladestrom.formats.administration import ConsumersState, ToldSource
from ladestrom.formats.wire import instant
from ladestrom.housekeeping import Chore
from ladestrom.ingest.quarantine_api import QuarantineApi
from ladestrom.inner.frames import KeyUse
from ladestrom.inner.service import Service
from ladestrom.ports.log import Log
from ladestrom.ports.signals import Tally
from ladestrom.ports.stores import Stores
from ladestrom.roles import limits
from ladestrom.roles.context import Context, clock
from ladestrom.roles.front import Front
from ladestrom.roles.ingest import Ingest
from ladestrom.roles.writer import Writer

logger = structlog.get_logger(__name__)

TOUCH_S: Final = 30.0


class Console:
    """Of the process that writes."""

    def __init__(
        self,
        context: Context,
        log: Log,
        store: Stores,
        writer: Writer,
        ingest: Ingest,
        front: Front,
        refresh: Callable[[], Awaitable[None]],
    ) -> None:
        self.others: Service | None = None
        """The other processes of this server."""
        self._context = context
        self._log = log
        self._store = store
        self._writer = writer
        self._ingest = ingest
        self._front = front
        self._reader = front.reader
        self._refresh = refresh
        self._keys = keys.KeyServices(
            door=context.door,
            addresses=context.addresses,
            store=store,
            policy=limits.key_policy(context.settings),
            limits=limits.of_keys(context.settings),
            use=self._use_of,
            changed=self._take_changes,
            clock=clock,
            random_bytes=secrets.token_bytes,
        )

    def routes(self) -> Sequence[ControllerRouterHandler]:
        """What it serves."""
        context = self._context
        return [
            *own.handlers(self._own()),
            *keys.handlers(self._keys),
            *admin.handlers(self._admin()),
            *operators.handlers(self._writer.hub, context.door, self._ingest.supervision.freshness),
        ]

    def reconfigure(self) -> None:
        """Takes what changed of the settings."""
        settings = self._context.settings
        self._keys.policy, self._keys.limits = limits.key_policy(settings), limits.of_keys(settings)

    def _use_of(self, key_id: str) -> keys.KeyUse:
        stream = self._reader.stream
        use, (messages, size) = self._context.door.use(key_id), stream.delivered(key_id)
        elsewhere = KeyUse() if self.others is None else self.others.use(key_id)
        return keys.KeyUse(
            connections=stream.by_key[key_id] + elsewhere.connections,
            connections_total=use.connections + elsewhere.connections_total,
            messages=use.messages + messages + elsewhere.messages,
            bytes=use.bytes + size + elsewhere.bytes,
            requests=use.requests + elsewhere.requests,
            refused=use.refused + elsewhere.refused,
            since=instant(self._context.started_at),
        )

    def _own(self) -> own.OwnServices:
        supervision, known = self._ingest.supervision, self._writer.hub.known_tallies
        return own.OwnServices(
            door=self._context.door,
            view=self._reader.view,
            freshness=lambda name: operators.freshness(
                name, known().get(name, Tally()), supervision.freshness(name)
            ),
            refused=lambda name: (
                supervision.refusals.every() if name is None else supervision.refusals.of(name)
            ),
            stale_after_s=lambda: self._context.settings.rules.stale_after_s,
        )

    def _admin(self) -> admin.AdminServices:
        context, writer, log = self._context, self._writer, self._context.settings.log
        began = steady()
        return admin.AdminServices(
            door=context.door,
            writer=writer.hub,
            log=self._log,
            broadcast=self._reader.broadcast,
            documents=self._reader.documents,
            consumers=self._consumers,
            clock=clock,
            process=admin.Process(
                started_at=context.started_at,
                uptime_s=lambda: (steady() - began) // 1000,
                durability=limits.durability(context.settings),
                retention_days=log.retention_days,
                retention_mib=log.retention_mib,
                store=table.shown(table.store_of(context.settings.store.url), limits.store(context.settings)),
                revision=lambda: writer.reconciliation.revision,
                checkpoint_seq=lambda: writer.checkpoints.seq,
                log_bytes=lambda: self._log.kept_bytes,
                memory_bytes=process.memory_bytes,
            ),
            settings=lambda: shown(context.settings, context.origins),
            sources=self._sources,
            pause=self._pause_source,
            ask=self._ingest.sources.ask,
            disk=lambda: self._front.watch.disk,
            lines=logs.recent,
            quarantine=QuarantineApi(limits.quarantine(context.settings), self._ingest.sources),
            reasons=self._front.watch.readiness.reasons,
        )

    def _sources(self) -> list[ToldSource]:
        """Every source; what its errors say is as it would be logged."""
        return [
            msgspec.structs.replace(each, error_detail=logs.redact(each.error_detail))
            for each in self._ingest.sources.told()
        ]

    def _consumers(self) -> ConsumersState:
        broadcast = self._reader.broadcast
        others = () if self.others is None else self.others.standings
        return ConsumersState(
            broadcast.consumers + sum(each.consumers for each in others),
            broadcast.channels + sum(each.channels for each in others),
            broadcast.counts.bytes_out + sum(each.bytes_out for each in others),
            broadcast.counts.frames + sum(each.frames for each in others),
        )

    async def _pause_source(self, name: str, paused: bool) -> None:
        now = clock()
        await self._store.pause_source(name, now if paused else None, now)
        await self._take_changes()

    async def _take_changes(self) -> None:
        """Takes what was just written to the store; what fails is done again within a second."""
        try:
            await self._refresh()
        except LadestromError as error:
            logger.warning("what was written is taken a little later", error=str(error))

    def chores(self) -> Sequence[Chore]:
        """What is to be done again and again."""
        return (Chore(TOUCH_S, self.touch),)

    async def touch(self) -> None:
        """Keeps when those who deliver were last seen, and how fresh operators are."""
        await self._ingest.touch()
        await self._writer.note_tallies()
