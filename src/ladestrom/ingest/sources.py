"""The sources of a server that we ask or follow: which there are, started and stopped as the store has them.

Knows which protocol needs which shell. Must not know what comes of it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

import msgspec
import structlog

from ladestrom import protocols, tasks
from ladestrom.clocks import steady
from ladestrom.errors import (
    BadRequest,
    Conflict,
    InvalidPosition,
    InvalidSetting,
    LadestromError,
    NotFound,
)
from ladestrom.formats.administration import ToldSource
from ladestrom.ingest.extensions import Table
from ladestrom.ingest.http_poll import (
    ANYWHERE,
    Poller,
    SourceLimits,
    arrival_of,
    identity_of,
    settings_of,
)
from ladestrom.ingest.intake import Arrival, Intake
from ladestrom.ingest.parsing import ParsingProcess
from ladestrom.ingest.quarantine import Quarantined
from ladestrom.ingest.supervision import Kind, SourceIdentity
from ladestrom.ingest.websocket_client import Follower
from ladestrom.model import Beginning, Millis, Operator, Position, Receipt
from ladestrom.ports.calls import Answered, Ask
from ladestrom.ports.sources import SourceRecord, Sources
from ladestrom.protocols import Row
from ladestrom.protocols.delivery import Delivery
from ladestrom.protocols.interfaces import Memory, PullSettings, Request, inline
from ladestrom.quoting import quoted

logger = structlog.get_logger(__name__)

TRANSPORT_OPTIONS: Final[Mapping[str, str]] = {
    "ca": "File with the certificate authorities to trust (PEM), instead of those of the system.",
    "proxy": "Address of an HTTP proxy.",
    ANYWHERE: "yes: redirects, next pages and endpoints may lead to private networks too (as --anywhere).",
}
"""Options that say how a source is reached, whatever its protocol."""
STREAM_TRANSPORT_OPTIONS: Final = frozenset({"ca", ANYWHERE})
SOURCE_ITEMS_MAX: Final = 1_000_000
"""Of one message of a source that we ask or follow; its bytes are limited before."""
LOGGED: Final = "logged"
"""Name in a source's memory of our own log's position when it was written; no protocol uses it."""
ASKED_S_MAX: Final = 10.0
"""How long somebody waits for what a source answers who had it asked at once; the round goes on."""
POLL_S_MIN: Final = 1
POLL_S_MAX: Final = 7 * 86_400


class ServerServices:
    """What every source needs of the server: implements `http_poll.SourceServices`."""

    def __init__(
        self,
        intake: Intake,
        store: Sources,
        limits: SourceLimits,
        clock: Callable[[], Millis],
        logged: Callable[[], Position],
        parsing: ParsingProcess,
    ) -> None:
        """Knows no operators yet.

        Args:
            intake: where deliveries go.
            store: where sources and their memory are kept.
            limits: of sources.
            clock: gives the receive times.
            logged: position of our own log.
            parsing: reads what is large.
        """
        self.steady = steady
        self.intake = intake
        self.limits = limits
        self.parsing = parsing
        self.clock = clock
        self.chance = random.random
        self.operators: Mapping[str, Operator] = {}
        self._store = store
        self._logged = logged

    def operator(self, name: str) -> Operator:
        """The operator of a source, as the store has it now.

        Raises:
            InvalidSetting: there is none any more.
        """
        found = self.operators.get(name)
        if found is None:
            raise InvalidSetting(f"there is no longer an operator {quoted(name)}")
        return found

    async def remember(self, source: SourceRecord, memory: Memory) -> None:
        """Keeps what a round found out, unless the source was changed meanwhile."""
        noted = {**memory, LOGGED: str(self._logged())}
        await self._store.remember_source(source.name, noted, source.changed_at)

    def recalled(self, source: SourceRecord) -> SourceRecord:
        """A source with its memory; without it where our log does not have what the memory counts on.

        A log that was made anew, put back from a copy, or lost its end in a power cut has less than what was
        taken when the memory was written: all is asked for again.
        """
        memory = dict(source.memory)
        try:
            noted = Position.parse(memory.pop(LOGGED, ""))
        except InvalidPosition:
            noted = None
        here = self._logged()
        has_all = noted is not None and noted.epoch == here.epoch and noted.seq <= here.seq
        return msgspec.structs.replace(source, memory=memory if has_all else {})


class _Running(msgspec.Struct, frozen=True):
    source: SourceRecord
    shell: Poller | Follower
    task: asyncio.Task[None]
    ending: asyncio.Event
    """Set when it is told to end."""


class SourceTasks:
    """Those that run."""

    def __init__(self, services: ServerServices, table: Table) -> None:
        self._services = services
        self._table = table
        self._running: dict[str, _Running] = {}
        self._known: dict[str, SourceRecord] = {}
        self._stopping = asyncio.Lock()
        self._given_up: set[asyncio.Task[None]] = set()

    async def follow(self, sources: Iterable[SourceRecord], operators: Mapping[str, Operator]) -> None:
        """Takes what the store has now, and stops what is gone, paused or changed. Starts nothing.

        Returns when none of these will hand anything in any more.
        """
        self._services.operators = operators
        self._known = {source.name: source for source in sources}
        async with self._stopping:
            for name in [*self._running]:
                running, now = self._running[name].source, self._known.get(name)
                if not _is_same(running, now):
                    # One that only starts anew goes on where it was.
                    ends = now is None or now.paused_at is not None or now.operator != running.operator
                    await self._stop(name, give_up=ends)

    def start(self) -> None:
        """Starts what the store has and does not run."""
        supervision = self._services.intake.supervision
        supervision.keep_only(self._known)
        for name, source in self._known.items():
            if name in self._running:
                continue
            kind = Kind.PULL if source.protocol in self._table.pulls else Kind.FOLLOW
            health = supervision.health(identity_of(source, kind))
            health.paused = source.paused_at is not None
            if health.paused:
                health.next_at = None
            else:
                self._start(source)

    def _start(self, source: SourceRecord) -> None:
        try:
            shell = self._shell(self._services.recalled(source))
        except Exception as error:
            # A package that was taken away, or cannot be imported.
            logger.exception("a source cannot be started", source=source.name, protocol=source.protocol)
            health = self._services.intake.supervision.health(identity_of(source, Kind.PULL))
            self._services.intake.supervision.note(health, InvalidSetting.code, str(error))
            return
        ending = asyncio.Event()
        task = tasks.start(self._run(source, shell, ending), "source", tasks.awaited)
        self._running[source.name] = _Running(source, shell, task, ending)

    def _shell(self, source: SourceRecord) -> Poller | Follower:
        row = self._table.pulls.get(source.protocol)
        if row is not None:
            return Poller(source, protocols.pull(row), source.poll_s or row.poll_s, self._services)
        row = self._table.streams.get(source.protocol)
        if row is not None:
            return Follower(source, row, self._services)
        raise InvalidSetting(f"there is no protocol {quoted(source.protocol)} here")

    async def _stop(self, name: str, *, give_up: bool) -> None:
        running = self._running[name]
        running.ending.set()
        running.task.cancel()
        with suppress(asyncio.CancelledError):
            await running.task
        # Only now: nothing is started in its place while it still ends.
        del self._running[name]
        if give_up and isinstance(running.shell, Follower):
            # It was to be in step, and is not any more. Its log may not be writable for long.
            task = tasks.start(
                self._give_up(running.source, running.shell), "giving up of a source", tasks.awaited
            )
            self._given_up.add(task)
            task.add_done_callback(self._given_up.discard)

    async def _run(self, source: SourceRecord, shell: Poller | Follower, ending: asyncio.Event) -> None:
        """Until cancelled. One that ends by a defect of ours costs itself only, is told of, and rests."""
        supervision = self._services.intake.supervision
        while not ending.is_set():
            try:
                await shell.run()
            except Exception as error:  # noqa: BLE001 - whatever it is
                tasks.note("source", error, source=source.name)
            if ending.is_set():
                # It was told to end, and did not get so far without an error.
                return
            told = "an internal error stopped it; it was logged"
            supervision.note(shell.health, LadestromError.code, told)
            rest_s = self._services.limits.pace.rest_s
            shell.health.next_at = self._services.clock() + rest_s * 1000
            await asyncio.sleep(rest_s)

    async def _give_up(self, source: SourceRecord, shell: Follower) -> None:
        """Until it is done: statuses that nobody vouches for must not stay because of a defect of ours."""
        while True:
            try:
                await shell.insist_on_giving_up()
            except Exception as error:  # noqa: BLE001 - whatever it is
                tasks.note("giving up of a source", error, source=source.name)
                await asyncio.sleep(self._services.limits.pace.rest_s)
            else:
                return

    async def stop(self) -> None:
        """Ends all; what they told stays as it is."""
        self._known = {}
        async with self._stopping:
            for name in [*self._running]:
                await self._stop(name, give_up=False)
        for task in self._given_up:
            task.cancel()

    async def ask(self, name: str) -> None:
        """Asks a source at once, or connects to it; returns when the answer was taken, or is long in coming.

        Raises:
            NotFound: no source that is asked or followed has this name.
            Conflict: it is paused.
        """
        source, running = self._known.get(name), self._running.get(name)
        if source is None:
            raise NotFound(f"there is no source {quoted(name, 100)} that is polled or followed")
        if source.paused_at is not None:
            raise Conflict(f"the source {quoted(name, 100)} is paused; resume it first")
        if running is not None and isinstance(running.shell, Poller):
            with suppress(TimeoutError):
                async with asyncio.timeout(ASKED_S_MAX):
                    await running.shell.ask()
            return
        if running is not None and not running.shell.health.connected:
            async with self._stopping:
                if self._running.get(name) is running:
                    await self._stop(name, give_up=False)
        self.start()

    async def take_again(self) -> int:
        """Takes the deliveries that were handed over out of the quarantine; says how many."""
        supervision = self._services.intake.supervision
        quarantine = supervision.quarantine
        if quarantine is None:
            return 0
        taken = 0
        for name in sorted(set(await asyncio.to_thread(quarantine.sources_again))):
            for found in await asyncio.to_thread(quarantine.handed_over, name):
                try:
                    await self.replay(found)
                except LadestromError as error:
                    logger.warning(
                        "a delivery cannot be taken again", source=name, id=found.id, error=str(error)
                    )
                    quarantine.put_back(found)
                else:
                    quarantine.drop(found)
                    taken += 1
        return taken

    def told(self) -> list[ToldSource]:
        """Every source, those that push too: how it does, and how it is set up. By name."""
        supervision, now = self._services.intake.supervision, self._services.clock()
        rows = []
        for freshness in supervision.freshness():
            source, health = self._known.get(freshness.source), supervision.sources[freshness.source]
            rows.append(
                ToldSource(
                    **msgspec.structs.asdict(freshness),
                    operator=health.identity.operator,
                    address="" if source is None else _without_query(source.address),
                    paused=source is not None and source.paused_at is not None,
                    error_detail=_without_secret(health.last_error, source),
                    delay_minutes=[] if health.trend is None else health.trend.means_s(now),
                )
            )
        return rows

    async def replay(self, found: Quarantined) -> list[Receipt]:
        """Reads a delivery out of the quarantine again, and takes what comes of it.

        Raises:
            LadestromError: it still cannot be read, or not by itself; or it could not be taken.
        """
        services = self._services
        operator = services.operator(found.kept.operator)
        identity = SourceIdentity(
            found.kept.source, operator.name, found.kept.protocol, Kind(found.kept.kind)
        )
        source = self._known.get(found.kept.source)
        # It arrived before everything that came since, and what it says without a time held then.
        began = Beginning(0, found.kept.received_at)
        arrival = Arrival(began=began) if source is None else arrival_of(source, began)
        work = partial(read_again, found, self._table, operator, source, services.limits)
        deliveries = await services.parsing.read(work, len(found.body))
        return [
            await services.intake.take(operator, delivery, identity=identity, arrival=arrival)
            for delivery in deliveries
        ]


def _without_secret(text: str, source: SourceRecord | None) -> str:
    """What a source is asked with may come back in its answer."""
    secret = None if source is None else source.secret
    return text.replace(secret, "***") if secret else text


def _without_query(address: str) -> str:
    """An address as it may be shown: a query may hold a token."""
    return address.partition("?")[0].partition("#")[0]


def read_again(
    found: Quarantined, table: Table, operator: Operator, source: SourceRecord | None, limits: SourceLimits
) -> Sequence[Delivery]:
    """What the present parser makes of a delivery that could not be read.

    None is complete: what its source has today is not what it had then.

    Args:
        found: out of the quarantine.
        table: of protocols.
        operator: whose statuses these are.
        source: as the store has it, where it is one that we ask or follow.
        limits: of sources.

    Raises:
        LadestromError: it still cannot be read, or not by itself.
    """
    kept = found.kept
    match Kind(kept.kind):
        case Kind.PUSH:
            if kept.protocol not in table.pushes:
                raise BadRequest(f"a message of {kept.protocol} is part of a conversation and not complete")
            row = table.pushes[kept.protocol]
            headers = {"content-type": kept.media_type} if kept.media_type else {}
            request = Request(kept.method or "POST", kept.path, {}, headers, found.body)
            deliveries = [protocols.push(row).receive(request, operator, limits.parse)]
        case Kind.FOLLOW:
            row = _row(table.streams, kept.protocol)
            deliveries = [protocols.stream(row)(found.body, operator.name, limits.parse)]
        case Kind.PULL:
            row = _row(table.pulls, kept.protocol)
            if source is None:
                raise BadRequest(
                    f"the source {quoted(kept.source)} no longer exists; its answers cannot be read"
                )
            deliveries = _round_again(found, row, settings_of(source, limits))
    return [msgspec.structs.replace(delivery, complete=False) for delivery in deliveries]


def _round_again(found: Quarantined, row: Row, settings: PullSettings) -> list[Delivery]:
    """The conversation whose first answer this was, as far as it goes without asking anyone."""
    kept = found.kept
    headers = {"content-type": kept.media_type} if kept.media_type else {}
    answered = Answered(kept.path, kept.status, headers, found.body, kept.received_at)
    deliveries: list[Delivery] = []
    conversation = inline(protocols.pull(row)(settings, {}, kept.received_at))
    try:
        if not isinstance(next(conversation), Ask):
            raise BadRequest("the protocol asks for nothing")
        step = conversation.send(answered)
        if isinstance(step, Delivery):
            # More than one comes of an answer only after receipts, which there are none of here.
            deliveries.append(step)
    except StopIteration:
        pass
    finally:
        conversation.close()
    if not deliveries:
        raise BadRequest(
            "it was not the first answer of its round, and brings nothing by itself; ask the source again"
        )
    return deliveries


def _row(rows: Mapping[str, Row], name: str) -> Row:
    row = rows.get(name)
    if row is None:
        raise InvalidSetting(f"there is no protocol {quoted(name)} here")
    return row


def _is_same(running: SourceRecord, wanted: SourceRecord | None) -> bool:
    """Whether what runs is what is wanted; what it remembers is its own matter."""
    return (
        wanted is not None
        and wanted.paused_at is None
        and msgspec.structs.replace(wanted, memory=running.memory) == running
    )
