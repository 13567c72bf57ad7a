"""What every process tells of itself, and what is the same for all who ask: readiness, metrics, the published
contracts, the page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

import structlog
from litestar.types import ControllerRouterHandler

from ladestrom import __version__
from ladestrom.edges import error_pages, operations, page, setup
from ladestrom.edges.contract import edge as contracts
from ladestrom.edges.page.archives import Archive, Damaged
from ladestrom.edges.page.guides import Guides
from ladestrom.housekeeping import Chore
from ladestrom.ports.log import Followed
from ladestrom.ports.stores import Store
from ladestrom.roles import limits
from ladestrom.roles.context import Context, clock
from ladestrom.roles.reader import Reader
from ladestrom.watch import DISK_S, LOOK_S, Watch

logger = structlog.get_logger(__name__)

TOUCH_S: Final = 30.0
LOOKED_AT_MAX: Final = 100
"""Stations, for one to be an example: the first that has an EVSE."""


class Front:
    """That of one process."""

    def __init__(self, context: Context, log: Followed, store: Store, reader: Reader) -> None:
        self._context = context
        self._store = store
        self.reader = reader
        self.watch = Watch(log, store, context.data, lambda: reader.broadcast.fault)
        self.page = page.Page(
            context.settings.page.tiles,
            self._about,
            self._station,
            guides=Guides(notes=error_pages.texts),
            tiles_file=_archive(context.settings.page.tiles_file),
            url_public=context.settings.server.url_public,
        )
        self.metrics = operations.Metrics()
        for collector in (
            operations.ReadingMetrics(log, reader.broadcast, reader.stream, context.door),
            self.watch.readiness,
            operations.DocumentMetrics(reader.documents, clock),
        ):
            self.metrics.registry.register(collector)

    def routes(self) -> Sequence[ControllerRouterHandler]:
        """What it serves."""
        context = self._context
        return [
            *operations.handlers(self.metrics, self.watch.readiness, context.door),
            *contracts.handlers(self._documents),
            *error_pages.handlers(self.page.framed),
            *setup.handlers(self._setup),
            *self.page.handlers(),
        ]

    def _documents(self) -> Mapping[str, bytes]:
        # What makes them is a tenth of what a start would load.
        from ladestrom.roles.contracts import documents  # noqa: PLC0415 - loads slowly

        return documents(limits.served(self._context.settings))

    def _about(self) -> page.PageInfo:
        """What the page says of this server."""
        settings = self._context.settings
        own, registry = settings.page, settings.registry
        return page.PageInfo(
            title=own.title,
            version=__version__,
            demo=self._context.demo,
            visitors=own.visitors,
            keys=settings.keys.policy,
            tiles=page.TILES_PATH if own.tiles_file else own.tiles,
            tiles_attribution=own.tiles_attribution,
            licence=registry.licence,
            attribution=registry.attribution,
            contact=own.contact,
            station=self._any_station() if own.visitors == "anyone" else "",
        )

    def _any_station(self) -> str:
        first = islice(self.reader.view.directory.stations.values(), LOOKED_AT_MAX)
        return next((each.uuid for each in first if each.vanished_at is None and each.evses), "")

    def _station(self, uuid: str) -> str:
        """What a link to a station is called, where everybody may look."""
        settings = self._context.settings.page
        station = self.reader.view.directory.stations.get(uuid.upper())
        if settings.visitors != "anyone" or station is None or station.vanished_at is not None:
            return ""
        return ", ".join(part for part in (station.name or station.uuid, station.city) if part)

    def _setup(self) -> setup.SetupState:
        """How far the first steps are."""
        context = self._context
        files = {origin.where for origin in context.origins.values() if origin.kind == "file"}
        options = [("--config", str(Path(file).resolve())) for file in sorted(files)]
        options.append(("--data", str(context.data.resolve())))
        return setup.SetupState(
            options=tuple(part for option in options for part in option),
            stations=len(self.reader.view.directory.stations),
            operators=len(context.operators),
            keys=len(context.door.keyring),
            visitors=context.settings.page.visitors,
        )

    def chores(self) -> Sequence[Chore]:
        """What is to be done again and again."""
        return (
            Chore(TOUCH_S, self.touch),
            Chore(LOOK_S, self.watch.ask_store),
            Chore(LOOK_S, self.watch.look),
            Chore(DISK_S, self.watch.look_at_disk),
        )

    async def touch(self) -> None:
        """Keeps when keys were last used."""
        await self._store.touch_keys(self._context.door.take_used())


def _archive(path: str) -> Archive | None:
    """The base map that the settings name; a defect of it is said, and stops nothing."""
    if not path:
        return None
    try:
        return Archive(Path(path))
    except Damaged as damage:
        logger.warning("page.tiles_file cannot be used; the built-in base map is shown", reason=str(damage))
        return None
