"""OCPP: charge points keep connections, each known by its id."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from prometheus_client.registry import Collector

from ladestrom.config import Settings
from ladestrom.edges.operations import ChargePointMetrics
from ladestrom.ingest.ocpp_server import PROTOCOL, OcppLimits, OcppServer
from ladestrom.model import Operator
from ladestrom.ports.charge_points import ChargePoint
from ladestrom.protocols import Row
from ladestrom.transports.serving import Rights, Route, Services, Serving


class ChargePointConnections(Serving):
    """The server of all charge points."""

    def __init__(self, rows: Mapping[str, Row], services: Services) -> None:
        self._rows = rows
        self._store = services.store
        self._limits = limits_of(services.settings)
        self.server = OcppServer(services.intake, services.directory, services.clock, self._limits)
        self._points: Sequence[ChargePoint] = ()
        self._operators: Mapping[str, Operator] = {}

    @property
    def routes(self) -> Sequence[Route]:
        """Below the path is the id of each charge point."""
        return [Route(row.path, self.server) for row in self._rows.values()]

    @property
    def collectors(self) -> Sequence[Collector]:
        """Connections, messages and failures."""
        server = self.server
        return [
            ChargePointMetrics(lambda: server.connected, lambda: server.messages, lambda: server.failures)
        ]

    @property
    def ping_s(self) -> float | None:
        """Twice in each heartbeat interval: an answered ping is a sign of life."""
        return self._limits.heartbeat_s / 2

    @property
    def feeds(self) -> Iterable[str]:
        """Each charge point has one."""
        return [f"{point.operator}/{PROTOCOL}/{point.id}" for point in self._points]

    def reconfigure(self, settings: Settings) -> None:
        """Takes what changed of the settings."""
        self.server.limits = limits_of(settings)

    def follow(self, rights: Rights) -> None:
        """Goes by these rights from now on."""
        self._points, self._operators = rights.points, rights.operators
        self.server.follow(self._points, self._operators)

    async def follow_registry(self) -> None:
        """Takes that EVSEs came, went or moved."""
        self.server.follow(self._points, self._operators)

    async def touch(self) -> None:
        """Writes to the store when charge points were last seen."""
        await self._store.touch_charge_points(self.server.take_seen())

    def leave(self) -> None:
        """The server is about to stop: nobody is taken for gone any more."""
        self.server.stop()


def limits_of(settings: Settings) -> OcppLimits:
    """What charge points may do, and what they are told."""
    own = settings.ocpp
    return OcppLimits(
        heartbeat_s=own.heartbeat_s,
        grace_s=own.grace_s,
        start_grace_s=settings.rules.start_grace_s,
        connections_max=own.connections_max,
        connections_per_operator_max=own.connections_per_operator_max,
        message_bytes_max=own.message_kib_max * 1024,
        messages_per_minute_max=own.messages_per_minute_max,
        stale_after_s=settings.rules.stale_after_s,
    )
