"""For whoever runs the server, over HTTP: the process, its settings, its sources, what could not be read.

Everything here wants a key with the scope `admin`. Knows requests and the server's own counters. Must not
know how sources are reached, nor where settings and deliveries are kept.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal, Protocol

import msgspec
import structlog
from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from ladestrom import __version__
from ladestrom.core.access import Scope
from ladestrom.credentials import Doorkeeper
from ladestrom.edges.answers import COMPRESSED, AnyRequest, json_answer
from ladestrom.edges.documents import Documents, Tally
from ladestrom.errors import NotFound
from ladestrom.formats.administration import (
    BoardState,
    ConsumersState,
    DiskState,
    LogLine,
    LogLines,
    LogState,
    OutputList,
    OutputState,
    ReadAgain,
    ServerState,
    SettingList,
    ShownSetting,
    StoreState,
    ToldSource,
    ToldSources,
    Unread,
    UnreadList,
)
from ladestrom.formats.wire import instant
from ladestrom.model import Millis
from ladestrom.ports.log import Followed
from ladestrom.ports.signals import Statistics
from ladestrom.problem import without_keys
from ladestrom.quoting import quoted
from ladestrom.reader.broadcast import Broadcast

logger = structlog.get_logger(__name__)


class Quarantine(Protocol):
    """Deliveries that could not be read."""

    async def newest(self) -> list[Unread]:
        """The newest first, as many as are shown."""
        ...

    async def body(self, unread_id: str) -> bytes:
        """One as it came, but for keys of ours in it.

        Raises:
            NotFound: there is none of this id.
        """
        ...

    async def replay(self, unread_id: str) -> ReadAgain:
        """Reads one again and takes it; it is not kept then.

        Raises:
            NotFound: there is none of this id.
            Conflict: it still cannot be read.
            Overloaded, LogFailure: trying again may succeed.
        """
        ...


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """What the process knows of itself, beside its counters."""

    started_at: Millis
    uptime_s: Callable[[], int]
    durability: Literal["full", "relaxed", "none"]
    retention_days: int
    retention_mib: int
    store: str
    """Where the store is; nothing secret."""
    revision: Callable[[], int]
    checkpoint_seq: Callable[[], int]
    log_bytes: Callable[[], int]
    memory_bytes: Callable[[], int]


class AdminServices(msgspec.Struct, frozen=True, kw_only=True):
    """What the endpoints need of the server."""

    door: Doorkeeper
    writer: Statistics
    log: Followed
    broadcast: Broadcast
    documents: Documents
    consumers: Callable[[], ConsumersState]
    """Of all processes of the server together."""
    clock: Callable[[], Millis]
    process: Process
    settings: Callable[[], Sequence[ShownSetting]]
    sources: Callable[[], list[ToldSource]]
    pause: Callable[[str, bool], Awaitable[None]]
    """Stops the source of this name, or lets it go on; raises NotFound."""
    ask: Callable[[str], Awaitable[None]]
    """Asks the source of this name at once; raises NotFound and Conflict."""
    disk: Callable[[], DiskState | None]
    lines: Callable[[], list[LogLine]]
    """The last lines of the server log, the newest first; nothing secret."""
    quarantine: Quarantine
    reasons: Callable[[], dict[str, str]]
    """Why the server is not ready, by check."""


def handlers(services: AdminServices) -> list[HTTPRouteHandler]:
    """The route handlers."""
    return [*_process(services), *_sources(services), *_quarantine(services)]


def _admit(services: AdminServices, request: AnyRequest) -> None:
    services.door.credential(request.headers, Scope.ADMIN)


def _answer(told: msgspec.Struct) -> Response[bytes]:
    return json_answer(msgspec.json.encode(told))


def _process(services: AdminServices) -> list[HTTPRouteHandler]:
    @get("/api/v2/admin", sync_to_thread=False)
    def process(request: AnyRequest) -> Response[bytes]:
        """The process, its log, its store, its consumers."""
        _admit(services, request)
        own, log, broadcast = services.process, services.log, services.broadcast
        reasons = services.reasons()
        return _answer(
            ServerState(
                version=__version__,
                started_at=instant(own.started_at),
                uptime_s=own.uptime_s(),
                ready=not reasons,
                reasons=reasons,
                durability=own.durability,
                memory_bytes=own.memory_bytes(),
                log=LogState(
                    position=str(log.last),
                    first_seq=log.first,
                    last_seq=log.last.seq,
                    bytes=own.log_bytes(),
                    retention_days=own.retention_days,
                    retention_mib=own.retention_mib,
                    checkpoint_seq=own.checkpoint_seq(),
                ),
                store=StoreState(own.store, own.revision()),
                disk=services.disk(),
                board=BoardState(len(broadcast.view.directory.stations), services.writer.evses),
                consumers=services.consumers(),
            )
        )

    @get("/api/v2/admin/settings", sync_to_thread=False)
    def settings(request: AnyRequest) -> Response[bytes]:
        """Every setting, its value, and where that came from."""
        _admit(services, request)
        return _answer(SettingList(list(services.settings())))

    @get("/api/v2/admin/outputs", sync_to_thread=False)
    def outputs(request: AnyRequest) -> Response[bytes]:
        """What documents were made of, and what they cannot tell of."""
        _admit(services, request)
        now = services.clock()
        tallies = sorted(services.documents.tallies.items())
        return _answer(OutputList([_output(name, tally, now) for name, tally in tallies]))

    @get("/api/v2/admin/log", sync_to_thread=False)
    def lines(request: AnyRequest) -> Response[bytes]:
        """The last lines of the server log."""
        _admit(services, request)
        return json_answer(without_keys(msgspec.json.encode(LogLines(services.lines()))))

    return [process, settings, outputs, lines]


def _output(name: str, tally: Tally, now: Millis) -> OutputState:
    return OutputState(
        output=name,
        made=tally.made,
        worked_s=round(tally.worked_s, 6),
        made_at=instant(tally.made_at),
        age_s=max(0, now - tally.made_at) / 1000,
        position=tally.position or None,
        bytes=tally.bytes,
        evses=tally.evses,
        left_out=dict(sorted(tally.left_out.counts.items())),
        examples=tally.left_out.examples,
    )


def _sources(services: AdminServices) -> list[HTTPRouteHandler]:
    def told(name: str) -> Response[bytes]:
        for source in services.sources():
            if source.source == name:
                # What is said of an error may quote what was sent.
                return json_answer(without_keys(msgspec.json.encode(source)))
        raise NotFound(f"there is no source {quoted(name, 100)} any more")

    async def turned(request: AnyRequest, name: str, *, paused: bool) -> Response[bytes]:
        by = services.door.credential(request.headers, Scope.ADMIN)
        await services.pause(name, paused)
        logger.info("a source was paused" if paused else "a source was resumed", source=name, by=by.key_id)
        return told(name)

    @get("/api/v2/admin/sources", sync_to_thread=False)
    def sources(request: AnyRequest) -> Response[bytes]:
        """Every source, how it does and how it is set up."""
        _admit(services, request)
        return json_answer(without_keys(msgspec.json.encode(ToldSources(services.sources()))))

    @post("/api/v2/admin/sources/{name:str}/pause", status_code=200)
    async def pause(request: AnyRequest, name: FromPath[str]) -> Response[bytes]:
        """Stops asking or following a source."""
        return await turned(request, name, paused=True)

    @post("/api/v2/admin/sources/{name:str}/resume", status_code=200)
    async def resume(request: AnyRequest, name: FromPath[str]) -> Response[bytes]:
        """Lets a paused source go on."""
        return await turned(request, name, paused=False)

    @post("/api/v2/admin/sources/{name:str}/ask", status_code=200)
    async def ask(request: AnyRequest, name: FromPath[str]) -> Response[bytes]:
        """Asks a source at once."""
        by = services.door.credential(request.headers, Scope.ADMIN)
        logger.info("a source is asked now", source=name, by=by.key_id)
        await services.ask(name)
        return told(name)

    return [sources, pause, resume, ask]


def _quarantine(services: AdminServices) -> list[HTTPRouteHandler]:
    quarantine = services.quarantine

    @get("/api/v2/admin/quarantine")
    async def unread(request: AnyRequest) -> Response[bytes]:
        """Deliveries that could not be read."""
        _admit(services, request)
        # What is said of an error may quote what was sent.
        return json_answer(without_keys(msgspec.json.encode(UnreadList(await quarantine.newest()))))

    @get("/api/v2/admin/quarantine/{unread_id:str}", opt={COMPRESSED: True})
    async def body(request: AnyRequest, unread_id: FromPath[str]) -> Response[bytes]:
        """One of them as it came, to be saved: it is nothing that a browser should show."""
        _admit(services, request)
        content = await quarantine.body(unread_id)
        headers: dict[str, Any] = {
            "cache-control": "no-store",
            "content-disposition": f'attachment; filename="{unread_id}.bin"',
            "x-content-type-options": "nosniff",
        }
        return Response(content, media_type="application/octet-stream", headers=headers)

    @post("/api/v2/admin/quarantine/{unread_id:str}/replay", status_code=200)
    async def replay(request: AnyRequest, unread_id: FromPath[str]) -> Response[bytes]:
        """Reads one of them again, and takes it."""
        by = services.door.credential(request.headers, Scope.ADMIN)
        told = await quarantine.replay(unread_id)
        logger.info("a delivery was read again", id=unread_id, by=by.key_id)
        return _answer(told)

    return [unread, body, replay]
