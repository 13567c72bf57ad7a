"""The ingest: takes what operators send and asks sources for what they have, and hands it to the writer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
from litestar import asgi
from litestar.types import ControllerRouterHandler

from ladestrom import housekeeping, protocols
from ladestrom.clocks import steady
from ladestrom.housekeeping import Chore
from ladestrom.hub import Hub
from ladestrom.ingest import extensions, ocpi_server, ocpp_server
from ladestrom.ingest.certificates import Certificates
from ladestrom.ingest.http_push import PushEndpoint, PushServices, Reader
from ladestrom.ingest.idempotency import Receipts
from ladestrom.ingest.intake import Intake, Speakers
from ladestrom.ingest.location_store import LocationStore
from ladestrom.ingest.ocpi_calls import calls
from ladestrom.ingest.ocpi_server import OcpiServer, reconciled
from ladestrom.ingest.ocpp_server import OcppServer
from ladestrom.ingest.parsing import ParsingProcess
from ladestrom.ingest.pending import PendingBytes
from ladestrom.ingest.registrar import Registrar
from ladestrom.ingest.sources import ServerServices, SourceTasks
from ladestrom.ingest.supervision import STATUS_FILE, Supervision
from ladestrom.ingest.tokens import TOKEN_PATH, TokenEndpoint
from ladestrom.ingest.websocket_server import ReportSocket, upgrade_required
from ladestrom.model import Position
from ladestrom.ports.charge_points import ChargePoint
from ladestrom.ports.peers import OcpiPeer
from ladestrom.ports.sources import SourceRecord
from ladestrom.ports.stores import Stores
from ladestrom.protocols import ocpi
from ladestrom.protocols.plain import Plain
from ladestrom.roles import limits
from ladestrom.roles.context import Context, clock
from ladestrom.roles.rights import Rights

REPORTS_PATH: Final = "/api/v2/reports"
PUSH_PATHS: Final[Mapping[str, str]] = {"oicp": "/api/oicp", "qualicharge": "/dynamique"}
"""Where a protocol of `protocols.PUSHES` says itself where it is served; all others are at `/push/NAME`."""
SOURCES_S: Final = 2.0
"""How old what the command line shows of sources may be."""
AGAIN_S: Final = 1.0


class Ingest:
    """Everything by which statuses come in."""

    def __init__(
        self,
        context: Context,
        hub: Hub,
        store: Stores,
        *,
        logged: Callable[[], Position],
        refresh: Callable[[], Awaitable[None]],
        readers: Mapping[str, Reader],
    ) -> None:
        """Takes nothing yet.

        Args:
            context: what all roles share.
            hub: decides.
            store: where stations, sources and peers are kept.
            logged: position of our own log.
            refresh: makes the server take what was written to the store.
            readers: what answers GET on the path of a push, by the protocol's name.
        """
        settings, directory = context.settings, hub.directory
        self._context = context
        self.protocols = extensions.table()
        self.parsing = ParsingProcess()
        self.supervision = Supervision(clock, limits.quarantine(settings))
        registrar = Registrar(store, directory, refresh, clock, context.present)
        locations = LocationStore(store.peers, directory, clock)
        self.intake = Intake(hub, self.supervision, registrar, locations)
        self.sources = SourceTasks(
            ServerServices(self.intake, store, limits.of_sources(settings), clock, logged, self.parsing),
            self.protocols,
        )
        services = self._push_services()
        self.reports = PushEndpoint(REPORTS_PATH, protocols.PUSHES[Plain.name], services, basic=False)
        self.pushes = [
            PushEndpoint(PUSH_PATHS.get(name, f"/push/{name}"), row, services, reader=readers.get(name))
            for name, row in self.protocols.pushes.items()
            if name != Plain.name
        ]
        self.ocpp = OcppServer(self.intake, directory, clock, limits.of_charge_points(settings))
        self.ocpi = OcpiServer(
            self.intake,
            locations,
            store.peers,
            calls(clock, anywhere=settings.ocpi.peers == "any"),
            context.operator,
            clock,
            limits.ocpi_settings(settings),
        )
        self._points: Sequence[ChargePoint] = ()
        self._speakers = Speakers(frozenset(), frozenset())
        self._some_left = True
        """Whether something is not configured any more, and what it told may still stand; at a start, for
        one."""

    def _push_services(self) -> PushServices:
        """What all paths share on which operators send."""
        settings = self._context.settings
        reports = settings.reports
        return PushServices(
            self.intake,
            self._context.door,
            Receipts(reports.idempotency_keys_max, reports.idempotency_hours, steady),
            limits.of_pushes(settings),
            self._certificates(),
            PendingBytes(reports.pending_per_operator_mib_max * 1024 * 1024),
            self.parsing,
        )

    def _certificates(self) -> Certificates | None:
        reports = self._context.settings.reports
        if not reports.certificate_header:
            return None
        return Certificates(
            reports.certificate_header,
            reports.certificate_proxies,
            limits.certificate_subjects(reports.certificates),
            self._context.operator,
        )

    def routes(self) -> Sequence[ControllerRouterHandler]:
        """Where operators send to."""
        own = self._context.settings.reports
        socket = ReportSocket(self.reports, self._context.door, own.sockets_per_key_max)

        @asgi(REPORTS_PATH, copy_scope=False)
        async def reports(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - Litestar's form
            await self.reports(scope, receive, send)

        @asgi(f"{REPORTS_PATH}/stream", copy_scope=False)
        async def reports_stream(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - likewise
            if scope["type"] == "websocket":
                await socket(scope, receive, send)
            else:
                await upgrade_required(scope["method"], send)

        return [
            reports,
            reports_stream,
            _mounted("/ocpp", self.ocpp),
            _mounted(ocpi.PREFIX, self.ocpi),
            *(_mounted(endpoint.path, endpoint) for endpoint in self.pushes),
            _mounted(TOKEN_PATH, TokenEndpoint(self._context.door)),
        ]

    @property
    def failures(self) -> dict[str, int]:
        """Deliveries refused as a whole, by error code."""
        counted: Counter[str] = Counter()
        for endpoint in (self.reports, *self.pushes):
            counted.update(endpoint.failures)
        counted.update({f"ocpi_{code}": count for code, count in self.ocpi.failures.items()})
        return counted

    def reconfigure(self) -> None:
        """Takes what changed of the settings."""
        settings = self._context.settings
        self.ocpp.limits = limits.of_charge_points(settings)
        self._supervise()

    def _supervise(self) -> None:
        context = self._context
        self.supervision.set_operators(context.operators.values(), context.settings.rules.stale_after_s)

    # -- who may deliver ---------------------------------------------------------------------------------

    async def follow(self, rights: Rights) -> None:
        """Goes by these rights; returns when none hands anything in any more that may not."""
        own = self._context.settings.ocpi
        self._points = rights.points
        self._supervise()
        self.ocpp.follow(rights.points, rights.operators)
        self.ocpi.follow(rights.peers)
        asked = reconciled(rights.peers, own.reconcile_s, anywhere=own.peers == "any")
        await self.sources.follow([*rights.sources, *asked], rights.operators)
        before, self._speakers = self._speakers, self._speakers_of(rights.sources, rights.peers)
        self._some_left = self._some_left or not before.feeds <= self._speakers.feeds

    def _speakers_of(self, sources: Iterable[SourceRecord], peers: Iterable[OcpiPeer]) -> Speakers:
        # OCPI has one feed for what peers push and what sources fetch.
        found = {
            f"{peer.operator}/{ocpi_server.PROTOCOL}"
            for peer in peers
            if peer.state in ocpi_server.DELIVERING
        }
        found.update(f"{point.operator}/{ocpp_server.PROTOCOL}/{point.id}" for point in self._points)
        for source in sources:
            # A source that is followed vouches for what it told while it is followed.
            if source.paused_at is None or source.protocol not in self.protocols.streams:
                found.update((f"{source.operator}/{source.name}", f"{source.operator}/{source.protocol}"))
        return Speakers(frozenset(self.protocols.pushes), frozenset(found))

    async def follow_registry(self) -> None:
        """Takes that EVSEs came, went or moved, and signs off whoever is not configured any more.

        Raises:
            LadestromError: the log failed; what is still to do is done the next time.
        """
        self.ocpp.follow(self._points, self._context.operators)
        await self.ocpi.sign_off_left()
        some_left, self._some_left = self._some_left, False
        try:
            if some_left:
                await self.intake.sign_off_left(self._speakers)
        except BaseException:
            self._some_left = True
            raise

    # -- housekeeping and end ----------------------------------------------------------------------------

    def chores(self) -> Sequence[Chore]:
        """What is to be done again and again."""
        return (Chore(SOURCES_S, self._note_sources), Chore(AGAIN_S, self._take_again))

    async def _note_sources(self) -> None:
        told = self.supervision.statuses()
        await housekeeping.note(self._context.data / STATUS_FILE, msgspec.json.encode(told))

    async def _take_again(self) -> None:
        await self.sources.take_again()

    async def stop(self, seconds_max: float) -> None:
        """Ends what asks, follows and reads large messages."""
        await self.sources.stop()
        await housekeeping.ended(self.parsing.stop, seconds_max)


def _mounted(path: str, application: Callable[[Any, Any, Any], Awaitable[None]]) -> ControllerRouterHandler:
    @asgi(path, is_mount=True, copy_scope=False)
    async def mounted(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - Litestar's form
        await application(scope, receive, send)

    return mounted
