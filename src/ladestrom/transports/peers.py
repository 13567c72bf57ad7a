"""OCPI: peers register, push to us, and are asked for all that they have now and then."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from ladestrom.config import Settings
from ladestrom.ingest.ocpi_calls import calls
from ladestrom.ingest.ocpi_handlers import ModuleServices, OcpiSettings
from ladestrom.ingest.ocpi_peers import DELIVERING, PROTOCOL, KnownPeers, reconciled
from ladestrom.ingest.ocpi_server import OcpiServer
from ladestrom.ports.peers import Peer
from ladestrom.ports.sources import SourceRecord
from ladestrom.protocols import Row, ocpi_credentials
from ladestrom.targets import load
from ladestrom.transports import pushes
from ladestrom.transports.serving import Rights, Route, Services, Serving

ANYWHERE: Final = "any"
"""Value of the setting `ocpi.peers`."""


class PeerRequests(Serving):
    """The server of all peers."""

    def __init__(self, rows: Mapping[str, Row], services: Services) -> None:
        self._rows = rows
        self._settings = services.settings.ocpi
        self._locations = services.locations
        self._known = KnownPeers(services.store.peers, services.intake, services.operator)
        self._server = OcpiServer(
            ModuleServices(
                intake=services.intake,
                locations=services.locations,
                store=services.store.peers,
                peers=self._known,
                door=services.door,
                calls=calls(services.clock, anywhere=self._settings.peers == ANYWHERE),
                operator=services.operator,
                clock=services.clock,
                settings=settings_of(services.settings),
                over_view=services.over_view,
            ),
            [module for row in rows.values() for module in load(row.target)],
        )
        self._peers: Sequence[Peer] = ()

    @property
    def routes(self) -> Sequence[Route]:
        """Below the path are versions and modules."""
        return [Route(row.path, self._server, compressed=row.compressed) for row in self._rows.values()]

    @property
    def failures(self) -> Mapping[str, int]:
        """Requests refused, by status code of OCPI."""
        return {f"{PROTOCOL}_{code}": count for code, count in self._server.failures.items()}

    @property
    def feeds(self) -> Iterable[str]:
        """One of each operator, for what its peers push and for what they answer."""
        return {f"{peer.operator}/{PROTOCOL}" for peer in self._peers if peer.state in DELIVERING}

    @property
    def sources(self) -> Iterable[SourceRecord]:
        """Each registered peer is asked for everything now and then."""
        own = self._settings
        return reconciled(self._peers, own.reconcile_s, anywhere=own.peers == ANYWHERE)

    def reconfigure(self, settings: Settings) -> None:
        """Takes what changed of the settings."""
        self._settings = settings.ocpi

    def follow(self, rights: Rights) -> None:
        """Goes by these rights from now on."""
        self._peers = rights.peers
        self._known.follow(self._peers)

    async def follow_registry(self) -> None:
        """Signs off what operators told whose last peer left."""
        await self._known.sign_off_left()

    async def drain(self) -> None:
        """Returns when every Location that was taken is stored."""
        await self._locations.drain()


def settings_of(settings: Settings) -> OcpiSettings:
    """Who we are to peers, and what they may send."""
    own = settings.ocpi
    return OcpiSettings(
        own=ocpi_credentials.Self(own.country_code, own.party_id, own.name),
        root=settings.server.url_public,
        parse=pushes.limits_of(settings).parse,
    )
