"""The only wiring: settings to a running server.

Start: lock the data directory, open store and log, recover the board, bring the registry onto it, listen.
Stop: stop listening, tell consumers, answer what is under way, checkpoint, close.
"""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import secrets
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeVar

import msgspec
import structlog
from litestar import Litestar, asgi
from litestar.config.compression import CompressionConfig
from litestar.handlers import ASGIRouteHandler

from ladestrom import __version__, protocols, server, tasks
from ladestrom.backends.data_directory import LOG_FILE, DataDirectory
from ladestrom.backends.database import STORE_FILE
from ladestrom.backends.retention import DAY_MS, clock_doubt
from ladestrom.backends.sql import SqlStore, open_store
from ladestrom.backends.sqlite import Durability, SqliteLog
from ladestrom.broadcast import Broadcast, BroadcastLimits
from ladestrom.clocks import steady
from ladestrom.config import SETTINGS, Loaded, Origin, Settings, shown, value_of
from ladestrom.config.address import ADDRESS_FILE, addresses, url_of
from ladestrom.config.address import listening as listening_at
from ladestrom.core.access import REGISTER_SOURCE, Keyring, may_report
from ladestrom.core.board import Board
from ladestrom.core.directory import Directory
from ladestrom.core.rules import Inoperative
from ladestrom.core.shares import PlaceLimits
from ladestrom.core.view import View
from ladestrom.credentials import TICKET_LIMITS, ClientAddresses, Doorkeeper, Tickets
from ladestrom.edges import (
    admin,
    contract_served,
    contracts,
    error_pages,
    keys,
    lists,
    look,
    operations,
    own,
    page,
    qualicharge,
    rest_v1,
    rest_v2,
    websocket,
)
from ladestrom.edges import v2 as v2_edge
from ladestrom.edges.answers import COMPRESSED, on_error
from ladestrom.edges.connection import StreamEdge, StreamLimits
from ladestrom.edges.cors import Cors
from ladestrom.edges.framing import FRAMINGS
from ladestrom.edges.lookout import Lookout
from ladestrom.edges.methods import CrossOrigin, Methods
from ladestrom.errors import InvalidSetting, LadestromError, NotReady
from ladestrom.formats.freshness import FRESHNESS_FILE
from ladestrom.formats.nobil import NobilDialect, NobilFormat
from ladestrom.formats.v2 import instant
from ladestrom.formats.v2_stream import PART_BYTES_MAX, Attribution, Limits, V2Dialect
from ladestrom.hub import Hub, HubLimits, Tally
from ladestrom.ingest import extensions, ocpi_server, ocpp_server
from ladestrom.ingest.certificates import Certificates
from ladestrom.ingest.fetching import FetchLimits
from ladestrom.ingest.http_poll import SourceLimits
from ladestrom.ingest.http_push import Desk, PushEndpoint, PushLimits
from ladestrom.ingest.idempotency import KEY_CHARACTERS_MAX, Receipts
from ladestrom.ingest.ocpi_calls import Calls
from ladestrom.ingest.ocpi_server import OcpiServer, OcpiSettings, reconciled
from ladestrom.ingest.ocpi_shelf import Shelf as LocationShelf
from ladestrom.ingest.ocpp_server import OcppLimits, OcppServer
from ladestrom.ingest.pacing import PaceLimits
from ladestrom.ingest.parsing import ParsingProcess
from ladestrom.ingest.pending import PendingBytes
from ladestrom.ingest.quarantine import Quarantine
from ladestrom.ingest.reception import Reception, Speakers
from ladestrom.ingest.registrar import Registrar
from ladestrom.ingest.shelf import Shelf
from ladestrom.ingest.sources import SOURCE_ITEMS_MAX, SourceDesk, SourceTasks
from ladestrom.ingest.supervision import NOTED_FILE, Supervision
from ladestrom.ingest.tokens import TOKEN_PATH, TokenEndpoint
from ladestrom.ingest.websocket_server import PIPELINE_MESSAGES_MAX, ReportSocket, upgrade_required
from ladestrom.model import NEVER, Evse, Millis, Operator, Reading, Station, StatusReport
from ladestrom.ports import ChargePoint, OcpiPeer, SourceRecord
from ladestrom.protocols import ocpi, ocpi_credentials
from ladestrom.protocols.delivery import ParseLimits
from ladestrom.protocols.plain import Plain
from ladestrom.quoting import quoted
from ladestrom.tasks import parts
from ladestrom.watch import LOOK_S, PROBE_S, Watch

T = TypeVar("T")

logger = structlog.get_logger(__name__)

SWITCH_INTERVAL_S: Final = 0.0005
"""The log's thread waits for the interpreter's lock behind a busy loop: Python's 5 ms would be most of an
append's time."""
STATIONS_PER_TURN: Final = 100
"""Stations taken from the store before other work of the loop gets its turn: some 3 ms."""
PER_TURN: Final = 2_000
"""EVSEs, stations or readings gone through before other work of the loop gets its turn: some 5 ms."""
SWEEP_S: Final = 1.0
SOURCES_S: Final = 2.0
"""How old what the command line shows of sources may be."""
AGAIN_S: Final = 1.0
EXPIRE_S: Final = 10.0
TOUCH_S: Final = 30.0
COLLECT_AFTER: Final = (10_000, 10, 5)
"""Objects made, and collections of the younger generation, before the next collection. What was there at the
start does not count any more, so that Python's own few would make it look at all connections again and again
while they come."""
HOUSEKEEPING_END_S_MAX: Final = 5.0
"""How long what is under way at the end may take, such as the last chunk of an import."""
DRAIN_S_MAX: Final = 5.0
"""For each thing that is left to do at the end. An append or a write to the store takes some 100 ms; whatever
takes this long hangs, and systemd kills after 90 s."""
CHECKPOINT_END_S_MAX: Final = 45.0
"""For the checkpoint at the end: a million EVSEs take some 20 s. The next start does not need it, it only has
more of the log to read."""
REGISTER: Final = Operator(name=REGISTER_SOURCE, all=True)
"""The source of statuses that a register carries."""
REPORTS_PATH: Final = "/api/v2/reports"
PUSH_PATHS: Final[Mapping[str, str]] = {"oicp": "/api/oicp", "qualicharge": "/dynamique"}
"""Where a protocol of `protocols.PUSHES` says itself where it is served; all others are at `/push/NAME`."""
NO_ORIGINS: Final[Mapping[str, Origin]] = MappingProxyType({})
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


def clock() -> Millis:
    """Now, in milliseconds since the Unix epoch."""
    return time.time_ns() // 1_000_000


class Reconfigured(msgspec.Struct, frozen=True):
    """What became of settings that were read again, by their names."""

    changed: tuple[str, ...]
    need_restart: tuple[str, ...]


class App:
    """One running ladestrom: every part, wired."""

    def __init__(
        self,
        settings: Settings,
        store: SqlStore,
        log: SqliteLog,
        directory: Directory,
        origins: Mapping[str, Origin] = NO_ORIGINS,
    ) -> None:
        self.settings = settings
        self.origins = origins
        self.store = store
        self.log = log
        self.directory = directory
        self.demo = False
        self.restarting = False
        """Whether another server takes over when this one stops; consumers are told so."""
        self.url = ""
        self.ready_s = 0.0
        self.started_at = clock()
        self.operators: dict[str, Operator] = {}
        self.board = Board()
        self.view = View(directory, log.last.epoch)
        self.door = Doorkeeper(Keyring([], []), clock, visitors=settings.page.visitors == "anyone")
        encoder = NobilFormat(Inoperative(settings.rules.inoperative))
        self.hub = Hub(log, self.board, directory, clock, _hub_limits(settings), self._present)
        v2 = V2Dialect(
            _told_limits(settings),
            Attribution(settings.registry.licence, settings.registry.attribution),
            self.hub.observed_at,
        )
        self.broadcast = Broadcast(
            log,
            self.view,
            {"v1": NobilDialect(encoder), "v2": v2},
            FRAMINGS,
            _broadcast_limits(settings),
            clock=clock,
        )
        self.hub.raw = self.broadcast
        self.broadcast.writer = self.hub
        self.addresses = ClientAddresses(settings.keys.proxies)
        self.tickets = Tickets(steady, _ticket_limits(settings))
        self.stream = StreamEdge(
            self.broadcast,
            self.door,
            self.tickets,
            _stream_limits(settings),
            v2,
            self.addresses,
        )
        self.lookout = Lookout(
            self.view,
            self.stream,
            clock,
            changes_max=settings.page.history_changes_max,
            skew_ms=settings.rules.clock_skew_s * 1000,
        )
        self.broadcast.followed = self.lookout.follow
        self.protocols = extensions.table()
        self.supervision = Supervision(clock, _quarantine(settings))
        self.reception = Reception(
            self.hub,
            self.supervision,
            Registrar(store, directory, self.refresh, clock, self._present),
            self.locations,
        )
        self.sources = SourceTasks(
            SourceDesk(
                self.reception, store, _source_limits(settings), clock, lambda: log.last, self.parsing
            ),
            self.protocols,
        )
        desk = self._push_desk()
        self.reports = PushEndpoint(REPORTS_PATH, protocols.PUSHES[Plain.name], desk, basic=False)
        readers = {"qualicharge": qualicharge.reader(self.view, self.hub.observed_at, self.door)}
        self.pushes = [
            PushEndpoint(PUSH_PATHS.get(name, f"/push/{name}"), row, desk, reader=readers.get(name))
            for name, row in self.protocols.pushes.items()
            if name != Plain.name
        ]
        self.ocpp = OcppServer(self.reception, directory, clock, _ocpp_limits(settings))
        self.ocpi = OcpiServer(
            self.reception,
            self.locations,
            store.peers,
            Calls(clock, anywhere=settings.ocpi.peers == "any"),
            self._operator,
            clock,
            _ocpi_settings(settings),
        )
        self.watch = Watch(self.hub, log, store, Path(settings.server.data), lambda: self.broadcast.fault)
        self.metrics = self._metrics()
        self.web = self._web(encoder)
        self._open_to(settings)
        self._revision = self._checkpoint_seq = 0
        self._refreshing, self._taking_rights = asyncio.Lock(), asyncio.Lock()
        self._gone: set[str] = set()
        """EVSEs that the registry lost, until the log has it."""
        self._uncovered = True
        """Operators changed, and what they may report on was not brought onto the board yet."""
        self._tasks: list[asyncio.Task[None]] = []
        self._housekeeping: list[asyncio.Task[None]] = []
        self._stopping = asyncio.Event()
        self._server: server.Server | None = None

    def _metrics(self) -> operations.Metrics:
        metrics = operations.Metrics(
            self.hub,
            self.log,
            self.broadcast,
            self.stream,
            self.door,
            self._failures,
            self.supervision.freshness,
        )
        metrics.registry.register(self.watch.readiness)
        metrics.registry.register(
            operations.ChargePointMetrics(
                lambda: self.ocpp.connected, lambda: self.ocpp.messages, lambda: self.ocpp.failures
            )
        )
        return metrics

    @cached_property
    def parsing(self) -> ParsingProcess:
        """Reads large messages, whether they were sent to us or asked for."""
        return ParsingProcess()

    @cached_property
    def locations(self) -> LocationShelf:
        """The Locations of OCPI that were put or pulled."""
        return LocationShelf(self.store.peers, self.directory, clock)

    def _push_desk(self) -> Desk:
        """What all paths share on which operators send."""
        settings, reports = self.settings, self.settings.reports
        return Desk(
            self.reception,
            self.door,
            Receipts(reports.idempotency_keys_max, reports.idempotency_hours, steady),
            _push_limits(settings),
            self._certificates(settings),
            PendingBytes(reports.pending_per_operator_mib_max * 1024 * 1024),
            self.parsing,
        )

    def _web(self, encoder: NobilFormat) -> Litestar:
        socket = ReportSocket(self.reports, self.door, self.settings.reports.sockets_per_key_max)

        @asgi(REPORTS_PATH, copy_scope=False)
        async def reports(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - Litestar's form
            await self.reports(scope, receive, send)

        @asgi("/api/v2/reports/stream", copy_scope=False)
        async def reports_stream(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - likewise
            if scope["type"] == "websocket":
                await socket(scope, receive, send)
            else:
                await upgrade_required(scope["method"], send)

        @asgi("/ocpp", is_mount=True, copy_scope=False)
        async def ocpp(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - likewise
            await self.ocpp(scope, receive, send)

        return Litestar(
            [
                reports,
                reports_stream,
                ocpp,
                _mounted(ocpi.PREFIX, self.ocpi),
                *(_mounted(endpoint.path, endpoint) for endpoint in self.pushes),
                _mounted(TOKEN_PATH, TokenEndpoint(self.door)),
                *websocket.handlers(),
                *rest_v1.handlers(self.view, encoder, self.door),
                *own.handlers(self._own_desk()),
                *rest_v2.handlers(self.view, self.hub, self.door, self.supervision.freshness),
                *lists.handlers(self.view, self.hub, self.door),
                *look.handlers(self.view, self.door, self.lookout, self._page),
                *v2_edge.handlers(self.door, self.tickets, self.addresses),
                *operations.handlers(self.metrics, self.watch.readiness, self.door),
                *keys.handlers(self._keys),
                *admin.handlers(self._admin_desk()),
                *contracts.handlers(served(self.settings)),
                *error_pages.handlers(),
                *page.handlers(self.settings.page.tiles),
            ],
            exception_handlers={Exception: on_error},
            compression_config=CompressionConfig(
                "gzip",
                minimum_size=1024,
                gzip_compress_level=4,
                exclude=["^/api/v2/reports", "^/ocpi"],
                exclude_opt_key=COMPRESSED,
            ),
            openapi_config=None,
            logging_config=None,
        )

    @cached_property
    def _keys(self) -> keys.KeyDesk:
        return keys.KeyDesk(
            door=self.door,
            addresses=self.addresses,
            store=self.store,
            policy=_key_policy(self.settings),
            limits=_key_limits(self.settings),
            use=self._use_of,
            changed=self._take_changes,
            clock=clock,
            random_bytes=secrets.token_bytes,
        )

    def _use_of(self, key_id: str) -> keys.KeyUse:
        use, (messages, size) = self.door.use(key_id), self.stream.delivered(key_id)
        return keys.KeyUse(
            connections=self.stream.by_key[key_id],
            connections_total=use.connections,
            messages=use.messages + messages,
            bytes=use.bytes + size,
            requests=use.requests,
            refused=use.refused,
            since=instant(self.started_at),
        )

    def _own_desk(self) -> own.OwnDesk:
        supervision, known = self.supervision, self.hub.known_tallies
        return own.OwnDesk(
            door=self.door,
            view=self.view,
            freshness=lambda name: rest_v2.freshness(
                name, known().get(name, Tally()), supervision.freshness(name)
            ),
            refused=lambda name: (
                supervision.refusals.every() if name is None else supervision.refusals.of(name)
            ),
            stale_after_s=lambda: self.settings.rules.stale_after_s,
        )

    def _admin_desk(self) -> admin.AdminDesk:
        data, log = Path(self.settings.server.data), self.settings.log
        began = steady()
        return admin.AdminDesk(
            door=self.door,
            hub=self.hub,
            log=self.log,
            broadcast=self.broadcast,
            process=admin.Process(
                started_at=self.started_at,
                uptime_s=lambda: (steady() - began) // 1000,
                durability=log.durability,
                retention_days=log.retention_days,
                retention_mib=log.retention_mib,
                store=str(data / STORE_FILE),
                revision=lambda: self._revision,
                checkpoint_seq=lambda: self._checkpoint_seq,
                log_bytes=lambda: sum(file.stat().st_size for file in data.glob(f"{LOG_FILE}*")),
                memory_bytes=_memory_bytes,
            ),
            settings=lambda: shown(self.settings, self.origins),
            sources=self.sources.told,
            pause=self._pause_source,
            shelf=Shelf(_quarantine(self.settings), self.sources),
            reasons=self.watch.readiness.reasons,
        )

    async def _pause_source(self, name: str, paused: bool) -> None:
        now = clock()
        await self.store.pause_source(name, now if paused else None, now)
        await self._take_changes()

    async def _take_changes(self) -> None:
        """Takes what was just written to the store; what fails is done again within a second."""
        try:
            await self.refresh()
        except LadestromError as error:
            logger.warning("what was written is taken a little later", error=str(error))

    def _certificates(self, settings: Settings) -> Certificates | None:
        reports = settings.reports
        if not reports.certificate_header:
            return None
        return Certificates(
            reports.certificate_header,
            reports.certificate_proxies,
            certificate_subjects(reports.certificates),
            self._operator,
        )

    def _operator(self, name: str) -> Operator | None:
        return self.operators.get(name)

    def _present(self, operator: Operator) -> Operator:
        """An operator with the rights that the store gives it now; the register's statuses are our own."""
        if operator is REGISTER:
            return operator
        return self.operators.get(operator.name) or Operator(operator.name)

    def _page(self) -> look.PageInfo:
        own, registry = self.settings.page, self.settings.registry
        return look.PageInfo(
            title=own.title,
            version=__version__,
            demo=self.demo,
            visitors=own.visitors,
            keys=self.settings.keys.policy,
            tiles=own.tiles,
            tiles_attribution=own.tiles_attribution,
            licence=registry.licence,
            attribution=registry.attribution,
            contact=own.contact,
        )

    def _failures(self) -> dict[str, int]:
        """Deliveries refused as a whole, by error code."""
        counted: Counter[str] = Counter()
        for endpoint in (self.reports, *self.pushes):
            counted.update(endpoint.failures)
        counted.update({f"ocpi_{code}": count for code, count in self.ocpi.failures.items()})
        return counted

    def reconfigure(self, loaded: Loaded) -> Reconfigured:
        """Takes the settings that can change while it runs; says which did, and which need a restart."""
        before, after = self.settings, loaded.settings
        differ = [row for row in SETTINGS if value_of(before, row) != value_of(after, row)]
        taken = {row.key: value_of(after, row) for row in differ if row.live}
        settings = before
        for key, value in taken.items():
            section, name = key.split(".")
            changed = msgspec.structs.replace(getattr(settings, section), **{name: value})
            settings = msgspec.structs.replace(settings, **{section: changed})
        self.settings = settings
        self.origins = {**self.origins, **{key: loaded.origins[key] for key in taken}}
        self.hub.limits = _hub_limits(settings)
        self.broadcast.limits = _broadcast_limits(settings)
        self.stream.limits = _stream_limits(settings)
        self._open_to(settings)
        self.addresses.trust(settings.keys.proxies)
        self.tickets.limit(_ticket_limits(settings))
        self.ocpp.limits = _ocpp_limits(settings)
        self.supervision.set_operators(self.operators.values(), settings.rules.stale_after_s)
        self._keys.policy, self._keys.limits = _key_policy(settings), _key_limits(settings)
        return Reconfigured(tuple(taken), tuple(row.key for row in differ if not row.live))

    def _open_to(self, settings: Settings) -> None:
        """Lets pages of other origins in; those that may open WebSockets may read, too."""
        self.stream.origins = frozenset(settings.server.origins)
        self.stream.cors = Cors(self.stream.origins | set(settings.server.cors_origins))

    # -- start and stop ----------------------------------------------------------------------------------

    async def recover(self) -> None:
        """Fills board and view from the log, then brings the registry and the keys up to date."""
        await self._recover_board()
        self._start(self.hub.run(), "hub")
        self._start(self.broadcast.run(), "broadcast")
        await self.refresh(everything=True)

    async def _recover_board(self) -> None:
        rows = await self.hub.recover()
        newest_at = rows[-1].change.received_at if rows else None
        doubt = clock_doubt(clock(), newest_at, self.settings.log.retention_days * DAY_MS)
        if doubt:
            logger.warning("check the clock", doubt=doubt)
        self._checkpoint_seq = self.log.last.seq
        self.view.load(((row.seq, row.change) for row in rows), self.log.last.seq)
        self.lookout.panorama.load(row.change for row in rows)

    failed = False
    """Whether it stops because of a defect of ours."""

    def _start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self._tasks.append(tasks.start(work, name, self._stop_loudly))

    def _stop_loudly(self, _: Exception) -> None:
        """What must not end has ended: nobody is to be served what is stale, and the process starts anew."""
        self.failed = True
        logger.critical("an essential task ended; stopping")
        os.kill(os.getpid(), signal.SIGTERM)

    async def refresh(self, *, everything: bool = False) -> None:
        """Takes what was written to the store since the last time: who may do what, then stations."""
        await self._take_rights()
        async with self._refreshing:
            await self._refresh(everything=everything)

    _rights_revision = 0
    _followed_revision = 0
    """Of the rights that the last refresh went by: those taken while it ran may have sources to start."""
    _points: Sequence[ChargePoint] = ()
    _speakers = Speakers(frozenset(), frozenset())
    _some_left = True
    """Whether something is not configured any more, and what it told may still stand; at a start, for one."""

    async def _take_rights(self) -> None:
        """Takes operators, keys, charge points, peers and sources: those that are gone end at once.

        Stations wait for the log and for each other (`_refresh`); this waits for neither.
        """
        store, own = self.store, self.settings.ocpi
        async with self._taking_rights:
            revision = await store.revision()
            operators = {operator.name: operator for operator in await store.operators()}
            keyring = Keyring(await store.keys(), operators.values(), demo=self.demo)
            self._points = await store.charge_points()
            peers = await store.peers.every()
            sources = await store.sources()
            self._uncovered = self._uncovered or operators != self.operators
            self.operators = operators
            self.door.keyring = keyring
            self.hub.set_operators(operators.values())
            self.supervision.set_operators(operators.values(), self.settings.rules.stale_after_s)
            self.ocpp.follow(self._points, operators)
            self.ocpi.follow(peers)
            asked = reconciled(peers, own.reconcile_s, anywhere=own.peers == "any")
            await self.sources.follow([*sources, *asked], operators)
            speakers = self._speakers_of(sources, peers)
            before, self._speakers = self._speakers, speakers
            self._some_left = self._some_left or not before.feeds <= speakers.feeds
            self._rights_revision = revision

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

    async def _refresh(self, *, everything: bool) -> None:
        followed = self._rights_revision
        delta = await self.store.registry_since(0 if everything else self._revision)
        touched: list[Evse] = []
        moving = await self._moving(delta.stations)
        for part in parts(delta.stations, STATIONS_PER_TURN):
            records = [(self.directory.stations.get(station.uuid), station) for station in part]
            for station in part:
                self._gone.update(evse.key for evse in self.directory.put(station, moving))
                touched += self.directory.present(station.uuid)
            # In the same step of the loop: nobody may see a new record and what was made of the old one.
            self.broadcast.register(records)
            await asyncio.sleep(0)
        if delta.stations or everything:
            # A key that somebody makes is no new registry: what was made of that stays good.
            self.directory.revision = delta.revision
        if everything:
            self._gone.update(self.board.cells)
        uncovered, self._uncovered = self._uncovered, False
        readings = delta.readings if self.settings.registry.readings else ()
        # What follows fails while the log cannot be written; what is still to do is kept for then.
        try:
            if uncovered:
                touched = await self._every_evse()
            read: set[str] = set()
            for some in parts(readings, PER_TURN):
                read.update(reading.evse for reading in some)
                await asyncio.sleep(0)
            wanted = await _sifted(touched, lambda evse: self._belongs(evse, read))
            gone = await _sifted(list(self._gone), lambda key: not self.directory.has(key))
            await self.hub.reconcile(wanted, gone)
        except BaseException:
            self._uncovered = self._uncovered or uncovered
            raise
        self._gone.clear()
        await self._take_readings(readings)
        # Their EVSEs may have moved, and what sources tell of can be taken now.
        self.ocpp.follow(self._points, self.operators)
        await self.ocpi.sign_off_left()
        await self._sign_off_left()
        if self._server is not None:
            self.sources.start()
        self._revision, self._followed_revision = delta.revision, followed

    async def _sign_off_left(self) -> None:
        """What came from those that are not configured any more is unknown."""
        some_left, self._some_left = self._some_left, False
        try:
            if some_left:
                await self.reception.sign_off_left(self._speakers)
        except BaseException:
            self._some_left = True
            raise

    async def _moving(self, stations: Sequence[Station]) -> set[str]:
        """EVSEs that go from one of these stations to another."""
        found: set[str] = set()
        written = {station.uuid: station for station in stations}
        for some in parts(stations, PER_TURN):
            found.update(self.directory.moving(some, written))
            await asyncio.sleep(0)
        return found

    async def _every_evse(self) -> list[Evse]:
        """Every EVSE of the registry."""
        found: list[Evse] = []
        for uuids in parts(list(self.directory.stations), PER_TURN):
            for uuid in uuids:
                found += self.directory.present(uuid)
            await asyncio.sleep(0)
        return found

    def _belongs(self, evse: Evse, read: set[str]) -> bool:
        """Whether an EVSE is to be on the board: it was, or its register or an operator tells of it."""
        if evse.key in self.board.cells or evse.key in read:
            return True
        return any(may_report(operator, evse) for operator in self.operators.values())

    async def _take_readings(self, readings: Sequence[Reading]) -> None:
        """Takes statuses of registers. One that is older than `rules.stale_after_s` says nothing of now."""
        oldest_at = clock() - self.settings.rules.stale_after_s * 1000
        for some in parts(readings, PER_TURN):
            reports = []
            for reading in some:
                cell = self.board.cells.get(reading.evse)
                if cell is not None and reading.observed_at > max(cell.observed_at, oldest_at):
                    reports.append(
                        StatusReport(
                            reading.evse,
                            reading.status,
                            reading.error,
                            reading.observed_at,
                            REGISTER.name,
                            reading.raw,
                        )
                    )
            if reports:
                await self.hub.submit(REGISTER, reports)
            await asyncio.sleep(0)

    async def listen(self) -> None:
        """Begins to serve; returns when the socket listens.

        Raises:
            InvalidSetting: the address cannot be had, or is not loopback while no key exists.
        """
        host, port = self.settings.server.host, self.settings.server.port
        if host not in LOOPBACK and not len(self.door.keyring):
            raise InvalidSetting(
                f"server.host is {host}, but no key exists yet: create one with "
                "`ladestrom keys create` first, or listen on 127.0.0.1"
            )
        listener = server.listen(host, port)
        listening = asyncio.Event()
        made = server.make(
            CrossOrigin(Methods(self.web), self.stream),
            self.stream,
            connections_per_address_max=_connections_per_address_max(self.settings),
            header_timeout_s=self.settings.server.header_timeout_s,
            keep_alive_s=int(self.settings.server.keep_alive_s),
            drain_s=int(self.settings.server.drain_s),
            ping_s=min(server.PING_S_MAX, self.settings.ocpp.heartbeat_s / 2),
            listening=listening.set,
        )
        port = listener.getsockname()[1]
        self.url = listening_at(self.settings.server, port)
        self._serving = await self._listening(made, listener, listening)
        self._server = made
        await self._listen_for_metrics()
        with suppress(OSError):
            # Commands that do not find it go by the settings.
            await asyncio.to_thread(
                _replace, self._address_file, msgspec.json.encode(addresses(self.settings.server, port))
            )
        self.sources.start()
        interval = self.settings.registry.poll_ms / 1000
        for every_s, work in (
            (interval, self._watch),
            (interval, self._watch_rights),
            (SWEEP_S, self._sweep),
            (EXPIRE_S, self._expire),
            (TOUCH_S, self._touch),
            (SOURCES_S, self._note_sources),
            (AGAIN_S, self._take_again),
            (LOOK_S, self.watch.ask_store),
            (LOOK_S, self.watch.look),
            (PROBE_S, self.watch.probe_log),
            (1.0, self._checkpoint_when_due),
        ):
            keeping = _every(every_s, work, self._stopping)
            self._housekeeping.append(tasks.start(keeping, "housekeeping", self._stop_loudly))
        self._start(self.lookout.recall(self.log), "recall of the history")
        gc.collect()
        gc.freeze()
        gc.set_threshold(*COLLECT_AFTER)
        self.ready_s = time.monotonic() - _process_started_s()

    async def _listening(
        self, made: server.Server, listener: socket.socket, listening: asyncio.Event
    ) -> asyncio.Task[Exception | None]:
        """Starts a server, and returns its task when it listens.

        Raises:
            InvalidSetting: it ended before; says why.
        """
        serving = tasks.start(_serve(made, listener, listening), "HTTP server", self._stop_loudly)
        started = tasks.start(_set(listening), "start of the HTTP server", tasks.awaited)
        await asyncio.wait({serving, started}, return_when=asyncio.FIRST_COMPLETED)
        started.cancel()
        if serving.done():
            where = "{}:{}".format(*listener.getsockname()[:2])
            listener.close()
            error = serving.result()
            raise InvalidSetting(
                f"the server ended while starting to listen on {where}" + (f": {error}" if error else "")
            ) from error
        return serving

    metrics_url = ""
    """Where metrics need no key; empty where they always do."""
    _metrics_server: server.Server | None = None

    async def _listen_for_metrics(self) -> None:
        written = self.settings.metrics.listen
        if not written:
            return
        host, _, port = written.rpartition(":")
        host = host.strip("[]") or "127.0.0.1"
        listener = server.listen(host, int(port), "metrics.listen")
        listening = asyncio.Event()
        made = server.make_plain(
            operations.MetricsPort(self.metrics),
            keep_alive_s=int(self.settings.server.keep_alive_s),
            listening=listening.set,
        )
        self._metrics_serving = await self._listening(made, listener, listening)
        self._metrics_server = made
        self.metrics_url = f"{url_of(host, listener.getsockname()[1])}{operations.METRICS_PATH}"
        logger.info("metrics without a key", url=self.metrics_url)

    @property
    def _address_file(self) -> Path:
        """Says to commands where this server is reached, while it runs."""
        return Path(self.settings.server.data) / ADDRESS_FILE

    async def stop(self) -> None:
        """Tells consumers, answers what is under way, and closes everything. What was logged stays."""
        with suppress(OSError):
            self._address_file.unlink(missing_ok=True)
        try:
            await self._end()
        finally:
            await _ended(self.log.close, DRAIN_S_MAX)
            await _ended(self.store.close, DRAIN_S_MAX)

    async def _end(self) -> None:
        if self._server is not None:
            self.stream.drain(restarting=self.restarting)
            self.ocpp.stop()
            self._server.should_exit = True
            await asyncio.wait({self._serving})
        if self._metrics_server is not None:
            self._metrics_server.should_exit = True
            await asyncio.wait({self._metrics_serving})
        await self.sources.stop()
        await _ended(self.parsing.stop, DRAIN_S_MAX)
        # Housekeeping ends between two rounds: broken off in the middle of a query, it would leave the store
        # locked for what is still to be written.
        self._stopping.set()
        if self._housekeeping:
            await asyncio.wait(self._housekeeping, timeout=HOUSEKEEPING_END_S_MAX)
        await self.hub.drain(DRAIN_S_MAX)
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S_MAX):
                await self.ocpi.drain()
        self.stream.abort()
        for task in (*self._housekeeping, *self._tasks):
            task.cancel()
        await asyncio.gather(*self._housekeeping, *self._tasks, return_exceptions=True)
        await _ended(self._checkpoint, CHECKPOINT_END_S_MAX)
        await _ended(self._touch, DRAIN_S_MAX)

    # -- housekeeping ------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        revision = await self.store.revision()
        if revision != self._revision or self._followed_revision != self._rights_revision:
            await self.refresh()

    async def _watch_rights(self) -> None:
        if await self.store.revision() != self._rights_revision:
            await self._take_rights()

    async def _sweep(self) -> None:
        self.stream.sweep(asyncio.get_running_loop().time())

    async def _expire(self) -> None:
        expired = await self.hub.expire()
        if expired:
            logger.info("sources silent", evses=expired)

    async def _touch(self) -> None:
        await self.store.touch_keys(self.door.take_used())
        await self.store.touch_charge_points(self.ocpp.take_seen())
        tallies = {
            name: {
                "last_report_at": None if tally.last_report_at == NEVER else tally.last_report_at,
                "reports": tally.reports,
                "changes": tally.changes,
                "refused": sum(tally.refused.values()),
            }
            for name, tally in self.hub.tallies.items()
        }
        path = Path(self.settings.server.data) / FRESHNESS_FILE
        await asyncio.to_thread(_replace, path, msgspec.json.encode(tallies))

    async def _note_sources(self) -> None:
        told = self.supervision.noted()
        path = Path(self.settings.server.data) / NOTED_FILE
        await asyncio.to_thread(_replace, path, msgspec.json.encode(told))

    async def _take_again(self) -> None:
        await self.sources.take_again()

    async def _checkpoint_when_due(self) -> None:
        log = self.settings.log
        due_s = self._checkpointed_s + log.checkpoint_s
        if asyncio.get_running_loop().time() < due_s and (
            self.board.seq - self._checkpoint_seq < log.checkpoint_entries
        ):
            return
        await self._checkpoint()
        await self.log.trim()

    _checkpointed_s = 0.0

    async def _checkpoint(self) -> None:
        seq = self.board.seq
        touched, times = self.board.take_touched(), self.hub.times()
        if not touched and seq == self._checkpoint_seq:
            return
        try:
            await self.log.checkpoint(self.board.rows(touched), seq, times)
        except BaseException:
            self.board.touch(touched)
            raise
        self._checkpoint_seq = seq
        self._checkpointed_s = asyncio.get_running_loop().time()


@asynccontextmanager
async def running(
    settings: Settings,
    origins: Mapping[str, Origin] = NO_ORIGINS,
    *,
    demo: bool = False,
    prepare: Callable[[SqlStore], Awaitable[None]] | None = None,
) -> AsyncIterator[App]:
    """A server that listens, until the block ends.

    With `demo`, the key `demo` reads. `prepare` may fill the store before anything reads it, when the data
    directory is ours alone. `origins` say where settings came from.

    Raises:
        InvalidSetting: an address or a directory cannot be had.
        Conflict: another process has the data directory.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    data = Path(settings.server.data)
    with DataDirectory(data) as directory:
        store = await open_store(data / STORE_FILE)
        directory.keep(STORE_FILE)
        try:
            if prepare is not None:
                await prepare(store)
            log = await SqliteLog.open(
                data / LOG_FILE,
                durability=Durability(settings.log.durability),
                retention_days=settings.log.retention_days,
                retention_mib=settings.log.retention_mib,
                directory=directory,
            )
        except BaseException:
            await store.close()
            raise
        app = App(settings, store, log, Directory(), origins)
        app.demo = demo
        try:
            await app.recover()
            await app.listen()
            logger.info("ready", version=__version__, url=app.url, evses=len(app.board))
            yield app
        finally:
            await app.stop()


async def _set(event: asyncio.Event) -> None:
    await event.wait()


async def _serve(made: server.Server, listener: socket.socket, listening: asyncio.Event) -> Exception | None:
    """Until the server ends. Gives what kept it from listening; what ends it later is raised."""
    try:
        await made.serve(sockets=[listener])
    except Exception as error:
        if listening.is_set():
            raise
        return error
    return None


async def _ended(work: Callable[[], Awaitable[None]], seconds_max: float) -> None:
    """Does something at the end of the server, which ends whatever becomes of it."""
    try:
        async with asyncio.timeout(seconds_max):
            await work()
    except (LadestromError, TimeoutError) as error:
        logger.warning("this was left at the end", what=work.__name__, error=repr(error))
    except Exception:
        logger.exception("this was left at the end", what=work.__name__)


async def _sifted(items: Sequence[T], wanted: Callable[[T], bool]) -> list[T]:
    """Those that are wanted; gone through in turns of the loop."""
    found: list[T] = []
    for some in parts(items, PER_TURN):
        found += [item for item in some if wanted(item)]
        await asyncio.sleep(0)
    return found


async def _every(seconds: float, work: Callable[[], Awaitable[None]], stopping: asyncio.Event) -> None:
    while True:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await stopping.wait()
            return
        try:
            await work()
        except LadestromError as error:
            logger.warning("housekeeping failed; retrying", work=work.__name__, error=str(error))
        except Exception:
            logger.exception("housekeeping failed; retrying", work=work.__name__)


def _replace(path: Path, content: bytes) -> None:
    beside = path.with_suffix(".new")
    try:
        beside.write_bytes(content)
        beside.replace(path)
    except OSError as error:
        raise NotReady(f"{path.name} cannot be written ({error.strerror})") from error


def _memory_bytes() -> int:
    """What the process has in memory; at most so far, where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _process_started_s() -> float:
    """When this process began, on the monotonic clock; now where the system does not tell."""
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        ticks = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        boot = time.clock_gettime(time.CLOCK_BOOTTIME)
    except (OSError, ValueError, AttributeError):
        return time.monotonic()
    return time.monotonic() - (boot - ticks)


def _quarantine(settings: Settings) -> Quarantine:
    return Quarantine(
        Path(settings.server.data),
        files_max=settings.sources.quarantine_files_max,
        bytes_max=settings.sources.quarantine_mib_max * 1024 * 1024,
    )


def _source_limits(settings: Settings) -> SourceLimits:
    sources = settings.sources
    return SourceLimits(
        fetch=FetchLimits(
            answer_bytes_max=sources.answer_mib_max * 1024 * 1024, answer_s_max=sources.answer_s_max
        ),
        pace=PaceLimits(failures_max=sources.failures_max, rest_s=sources.rest_s),
        parse=ParseLimits(items_max=SOURCE_ITEMS_MAX),
        own_party=settings.ocpi.country_code + settings.ocpi.party_id,
        round_s_max=sources.round_s_max,
        lost_after_s=sources.lost_after_s,
    )


def _hub_limits(settings: Settings) -> HubLimits:
    return HubLimits(
        queue_items_max=settings.reports.queue_items_max,
        queue_items_per_operator_max=settings.reports.queue_items_per_operator_max,
        rapid_changes_per_hour_max=settings.reports.rapid_changes_per_hour_max,
        group_items_max=settings.log.group_items_max,
        stale_after_s=settings.rules.stale_after_s,
        start_grace_s=settings.rules.start_grace_s,
        skew_ms=settings.rules.clock_skew_s * 1000,
    )


def _broadcast_limits(settings: Settings) -> BroadcastLimits:
    return BroadcastLimits(
        gather_ms_min=settings.stream.gather_ms_min,
        gather_ms_max=settings.stream.gather_ms_max,
        raw_items_max=settings.stream.raw_items_max,
        channels_max=settings.stream.selections_max,
        heartbeat_s=settings.stream.heartbeat_s,
    )


def _stream_limits(settings: Settings) -> StreamLimits:
    stream = settings.stream
    return StreamLimits(
        consumers_max=stream.consumers_max,
        consumers_per_key_max=stream.consumers_per_key_max,
        consumers_per_address_max=stream.consumers_per_address_max,
        visitors_per_address_max=settings.page.visitors_per_address_max,
        selections_share_max=stream.selections_share_max,
        visitors_max=settings.page.visitors_max,
        write_buffer_bytes_max=stream.write_buffer_kib_max * 1024,
        inbound_bytes_max=stream.inbound_kib_max * 1024,
        inbound_messages_per_minute_max=stream.inbound_messages_per_minute_max,
        ping_interval_s=stream.ping_interval_s,
        ping_timeout_s=stream.ping_timeout_s,
        stalled_s=stream.stalled_s,
    )


def _key_policy(settings: Settings) -> keys.KeyPolicy:
    own = settings.keys
    return keys.KeyPolicy(
        policy=own.policy,
        per_address_per_hour_max=own.per_address_per_hour_max,
        per_address_per_day_max=own.per_address_per_day_max,
        self_made_max=own.self_made_max,
        days=own.days,
        contact=settings.page.contact,
        url_public=settings.server.url_public,
    )


def _key_limits(settings: Settings) -> keys.KeyLimits:
    stream = settings.stream
    return keys.KeyLimits(
        stream.consumers_per_key_max,
        stream.inbound_kib_max * 1024,
        stream.inbound_messages_per_minute_max,
    )


def _ticket_limits(settings: Settings) -> PlaceLimits:
    """A ticket opens one connection, so each holder may have as many as connections."""
    stream, page = settings.stream, settings.page
    return PlaceLimits(
        total_max=TICKET_LIMITS.total_max,
        per_key_max=stream.consumers_per_key_max,
        per_address_max=stream.consumers_per_address_max,
        visitors_max=TICKET_LIMITS.visitors_max,
        visitors_per_address_max=page.visitors_per_address_max,
    )


def _connections_per_address_max(settings: Settings) -> int:
    files_max, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files_max == resource.RLIM_INFINITY:
        return settings.server.connections_per_address_max
    return min(settings.server.connections_per_address_max, files_max // 2)


def _told_limits(settings: Settings) -> Limits:
    stream = settings.stream
    return Limits(
        history_seq=0,
        message_bytes_max=PART_BYTES_MAX,
        inbound_bytes_max=stream.inbound_kib_max * 1024,
        inbound_messages_per_minute_max=stream.inbound_messages_per_minute_max,
        heartbeat_s=stream.heartbeat_s,
    )


def _push_limits(settings: Settings) -> PushLimits:
    return PushLimits(
        body_bytes_max=settings.reports.body_mib_max * 1024 * 1024,
        parse=ParseLimits(items_max=settings.reports.items_max),
    )


def _ocpi_settings(settings: Settings) -> OcpiSettings:
    own = settings.ocpi
    return OcpiSettings(
        own=ocpi_credentials.Self(own.country_code, own.party_id, own.name),
        root=settings.server.url_public,
        parse=_push_limits(settings).parse,
    )


def _ocpp_limits(settings: Settings) -> OcppLimits:
    ocpp = settings.ocpp
    return OcppLimits(
        heartbeat_s=ocpp.heartbeat_s,
        grace_s=ocpp.grace_s,
        start_grace_s=settings.rules.start_grace_s,
        connections_max=ocpp.connections_max,
        connections_per_operator_max=ocpp.connections_per_operator_max,
        message_bytes_max=ocpp.message_kib_max * 1024,
        messages_per_minute_max=ocpp.messages_per_minute_max,
        stale_after_s=settings.rules.stale_after_s,
    )


def certificate_subjects(pairs: Iterable[str]) -> dict[str, str]:
    """Subject to operator, from what the setting `reports.certificates` has.

    Raises:
        InvalidSetting: a pair is none.
    """
    found: dict[str, str] = {}
    for pair in pairs:
        operator, is_pair, subject = pair.partition("=")
        if not (is_pair and operator.strip() and subject.strip()):
            raise InvalidSetting(
                f"reports.certificates has {quoted(pair, 60)}; write OPERATOR=SUBJECT, such as "
                "abc=CN=abc,O=ABC"
            )
        found[subject] = operator.strip()
    return found


def _mounted(path: str, application: Callable[[Any, Any, Any], Awaitable[None]]) -> ASGIRouteHandler:
    @asgi(path, is_mount=True, copy_scope=False)
    async def mounted(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - Litestar's form
        await application(scope, receive, send)

    return mounted


def served(settings: Settings) -> contract_served.Served:
    """What the published contracts say of a server with these settings."""
    reports = _push_limits(settings)
    return contract_served.Served(
        visitors=settings.page.visitors == "anyone",
        url_public=settings.server.url_public,
        head_bytes_max=server.HEADER_BYTES_MAX,
        stream=_stream_limits(settings),
        heartbeat_s=settings.stream.heartbeat_s,
        report_items_max=reports.parse.items_max,
        report_body_bytes_max=reports.body_bytes_max,
        report_message_bytes_max=server.WEBSOCKET_BYTES_MAX,
        report_messages_max=PIPELINE_MESSAGES_MAX,
        idempotency_key_characters_max=KEY_CHARACTERS_MAX,
        idempotency_hours=settings.reports.idempotency_hours,
        skew_s=settings.rules.clock_skew_s,
    )
