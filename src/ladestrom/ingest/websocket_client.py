"""Sources that we follow: a connection is kept, and what is told on it is taken as it comes.

How a connection is kept belongs to the protocol: its row names the line (`ingest.lines`).

While the connection stands and is in step, all that the source told holds, and is confirmed now and then.
The position that is written down is that of what was taken, which may be less than what was read: a message
waits for as long as our own log cannot be written, and no further one is read meanwhile.
Away for longer than `lost_after_s`, everything is given up: its EVSEs become unknown, the position is
forgotten, and the next connection begins with a snapshot that makes it right. NOBIL Real-time has none: there
each EVSE is unknown until the service tells of it again.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from functools import partial
from typing import Final

import msgspec
import structlog

from ladestrom import protocols
from ladestrom.client.aio import Lost, Opened
from ladestrom.errors import OWN_FAILURES, LadestromError, SourceFailure
from ladestrom.ingest.http_poll import (
    SourceServices,
    arrival_of,
    identity_of,
    insist,
)
from ladestrom.ingest.intake import Named, feed_of
from ladestrom.ingest.lines import Incoming, Line, MakeLine, Wiring
from ladestrom.ingest.quarantine import Kept
from ladestrom.ingest.supervision import Health, Kind
from ladestrom.model import Feed, Ids, Operator, Order
from ladestrom.outbound import tls
from ladestrom.outbound.breaker import Outcome
from ladestrom.outbound.pacing import Pace
from ladestrom.ports.sources import SourceRecord
from ladestrom.protocols import Row
from ladestrom.protocols.delivery import Delivery
from ladestrom.targets import load
from ladestrom.tasks import Turns

logger = structlog.get_logger(__name__)

CONFIRM_S: Final = 600.0
"""How often all that a source told is confirmed while it is in step: far below any limit of silence."""
REMEMBER_S: Final = 10.0
"""How often the position is written down. An older one costs a few messages told twice: nothing changes."""
POSITION: Final = "position"
"""Name in a source's memory."""


class _Unreadable(Exception):
    """A message could not be read that a source of states sent: what we know is not what it knows."""


class Follower:
    """One source that is followed."""

    def __init__(self, source: SourceRecord, row: Row, services: SourceServices) -> None:
        """Nothing is connected yet.

        Args:
            source: as the store has it.
            row: of its protocol, one of `protocols.STREAMS`.
            services: what it shares with others.
        """
        self.source = source
        self.health: Health = services.intake.supervision.health(identity_of(source, Kind.FOLLOW))
        self.health.connected = False
        self._stream = protocols.stream(row)
        self._make_line: MakeLine = load(row.line)
        self._services = services
        self._pace = Pace(1_000, services.limits.pace, services.steady(), services.chance())
        self._line: Line | None = None
        self._here = asyncio.Event()
        self._away = asyncio.Event()
        self._away.set()
        self._turn = asyncio.Lock()
        """Between taking what is told and giving everything up."""
        self._memory: Mapping[str, str] = source.memory
        self._taken = source.memory.get(POSITION)
        """Up to where what the source told was taken; None where the next connection begins anew."""
        self._remembered_s = 0.0

    async def run(self) -> None:
        """Follows until cancelled."""
        try:
            # One cannot end without the other: a connection that nobody watches is never given up.
            async with asyncio.TaskGroup() as group:
                group.create_task(self._watch())
                group.create_task(self._keep_on())
        finally:
            self._gone()
            await self._remember(at_once=True)

    async def _keep_on(self) -> None:
        pace, steady = self._pace, self._services.steady
        while True:
            began_at = steady()
            pace.begin()
            outcome = await self._attempt()
            pace.end(outcome, began_at, steady(), self._services.chance())
            self.health.breaker, self.health.failures_in_row = pace.breaker, pace.failures
            wait_ms = max(0, pace.next_at - steady())
            self.health.next_at = self._services.clock() + wait_ms
            await asyncio.sleep(wait_ms / 1000)

    async def give_up(self) -> int:
        """Everything that it told becomes unknown; says how many EVSEs that are."""
        async with self._turn:
            if self._here.is_set():
                return 0
            if self._line is not None:
                self._line.forget()
            self._taken = None
            await self._keep()
            operator = self._services.operator(self.source.operator)
            return await self._services.intake.sign_off(operator, self._feed(operator).name)

    async def _attempt(self) -> Outcome:
        """One line, until it is of no use any more."""
        supervision = self._services.intake.supervision
        try:
            async with self._opened_line() as self._line, aclosing(self._line.happenings()) as happenings:
                turns = Turns()
                async for each in happenings:
                    await turns.rest()
                    await self._take(each)
        except OWN_FAILURES as error:
            logger.warning("a source cannot be followed now", source=self.source.name, error=str(error))
            return Outcome.OURS
        except LadestromError as error:
            supervision.failed(self.health, error)
            return Outcome.REFUSED
        except _Unreadable:
            self._taken = None
        except Exception:
            logger.exception("a follower failed", source=self.source.name, protocol=self.source.protocol)
            supervision.note(self.health, LadestromError.code, "an internal error stopped it; it was logged")
        finally:
            self._gone()
        return Outcome.FAILED

    @asynccontextmanager
    async def _opened_line(self) -> AsyncIterator[Line]:
        # In a thread: to read the authorities of the system takes some 20 ms.
        trust = await asyncio.to_thread(self._trust)
        wiring = Wiring(
            source=self.source,
            position=self._taken,
            trust=trust,
            services=self._services,
            health=self.health,
        )
        async with self._make_line(wiring) as line:
            yield line

    def _trust(self) -> ssl.SSLContext:
        source = self.source
        if source.certificate is not None:
            self.health.own_certificate_expires_at = tls.expires_at(source.certificate)
        return tls.context(source.options.get("ca"), source.certificate, source.certificate_key)

    async def _take(self, each: Opened | Incoming | Lost) -> None:
        supervision = self._services.intake.supervision
        match each:
            case Opened():
                pass
            case Lost():
                self._gone()
                if each.fault is not None:
                    # What was taken may be wrong too; the next connection asks for a snapshot.
                    self._taken = None
                code = SourceFailure.code if each.fault is None else each.fault.value
                supervision.note(self.health, code, f"lost: {each.why}")
                self.health.next_at = self._services.clock() + int(each.retry_in_s * 1000)
                await self._remember(at_once=True)
            case Incoming():
                async with self._turn:
                    await self._told(each)
                    self._taken = None if self._line is None else self._line.position
                await self._remember()

    async def _told(self, told: Incoming) -> None:
        services = self._services
        operator = services.operator(self.source.operator)
        all_of: Iterable[Ids] | None = None if told.all_of is None else _ByOneId(told.all_of)
        if told.frame is not None:
            try:
                delivery = await self._read(told.frame, operator)
            except OWN_FAILURES:
                raise
            except LadestromError as error:
                self._unreadable(told.frame, error, services.clock())
                if self._line is not None and self._line.has_state:
                    raise _Unreadable from error
                return
            if delivery.complete:
                all_of = Named(delivery)
                # Of this source alone, and not of all that its operator has.
                delivery = msgspec.structs.replace(delivery, complete=False)
            if delivery.reports or delivery.refused or delivery.unknown:
                take, arrival = services.intake.take, arrival_of(self.source)
                await insist(
                    partial(take, operator, delivery, identity=self.health.identity, arrival=arrival)
                )
        if all_of is not None:
            keep_only, feed = services.intake.keep_only, self._feed(operator).name
            await insist(partial(keep_only, operator, feed, all_of))
        services.intake.supervision.heard(self.health)
        if told.in_step:
            self._pace.failures = 0
        if told.in_step and not self._here.is_set():
            self._here.set()
            self._away.clear()
            self.health.connected = True

    async def _read(self, frame: bytes, operator: Operator) -> Delivery:
        work = partial(self._stream, frame, operator.name, self._services.limits.parse)
        return await insist(partial(self._services.parsing.read, work, len(frame)))

    def _feed(self, operator: Operator) -> Feed:
        return feed_of(operator, self.health.identity, Order.ARRIVAL, arrival_of(self.source))

    def _unreadable(self, frame: bytes, error: LadestromError, now: int) -> None:
        kept = Kept(
            source=self.source.name,
            operator=self.source.operator,
            protocol=self.source.protocol,
            kind=self.health.identity.kind,
            received_at=now,
            code=error.code,
            detail=str(error),
        )
        self._services.intake.supervision.unreadable(self.health, kept, frame)

    def _gone(self) -> None:
        self._here.clear()
        self._away.set()
        self.health.connected = False

    async def _watch(self) -> None:
        """Gives up what is lost for too long; confirms what is not."""
        while True:
            try:
                async with asyncio.timeout(self._services.limits.lost_after_s):
                    await self._here.wait()
            except TimeoutError:
                await self.insist_on_giving_up()
                await self._here.wait()
            while self._here.is_set():
                try:
                    async with asyncio.timeout(CONFIRM_S):
                        await self._away.wait()
                except TimeoutError:
                    with suppress(LadestromError):
                        await self._confirm()

    async def _confirm(self) -> None:
        """All that the source told holds: not before what it told last was taken."""
        async with self._turn:
            if self._here.is_set():
                operator = self._services.operator(self.source.operator)
                await self._services.intake.confirm(operator, self._feed(operator).name)

    async def insist_on_giving_up(self) -> None:
        """Gives everything up; tries again for as long as that cannot be logged."""
        given_up = await insist(self.give_up)
        logger.warning("a source is lost", source=self.source.name, evses=given_up)

    async def _remember(self, *, at_once: bool = False) -> None:
        """Writes the position down; one that cannot be written now is left for the next time."""
        now_s = asyncio.get_running_loop().time()
        if not at_once and now_s - self._remembered_s < REMEMBER_S:
            return
        self._remembered_s = now_s
        try:
            await self._keep()
        except OWN_FAILURES as error:
            logger.warning("a position cannot be kept now", source=self.source.name, error=str(error))

    async def _keep(self) -> None:
        memory = {name: text for name, text in self._memory.items() if name != POSITION}
        if self._taken is not None:
            memory[POSITION] = self._taken
        if memory != self._memory:
            await self._services.remember(self.source, memory)
            self._memory = memory


class _ByOneId(Iterable[Ids]):
    """EVSEs by the one id that is known of each, as a source has them now."""

    def __init__(self, evses: Collection[str]) -> None:
        self._evses = list(evses)

    def __iter__(self) -> Iterator[Ids]:
        return ((each, "", "") for each in self._evses)
