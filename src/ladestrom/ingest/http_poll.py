"""A source that we ask: its rounds, one after the other, each the conversation of a `Pull`.

The schedule is `outbound.pacing`'s: jittered, with retries and a breaker of its own. Libraries that retry
calls cannot show a breaker's state, leave a source alone for an hour, or tell a failure from a refusal.

What a round remembers is kept once everything that it brought is durable. Whatever goes wrong costs this
source only.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from functools import partial
from typing import Final, Protocol, TypeVar

import msgspec
import structlog

from ladestrom.errors import (
    OWN_FAILURES,
    BadRequest,
    InvalidSetting,
    LadestromError,
    NotAllowed,
    SourceFailure,
    TooLarge,
    Unauthenticated,
)
from ladestrom.ingest.intake import Arrival, Intake
from ladestrom.ingest.parsing import ParsingProcess
from ladestrom.ingest.quarantine import Kept
from ladestrom.ingest.supervision import Health, Kind, SourceIdentity
from ladestrom.model import Beginning, Millis, Operator
from ladestrom.outbound import tls
from ladestrom.outbound.addresses import Guard
from ladestrom.outbound.breaker import Outcome
from ladestrom.outbound.fetching import Fetcher, FetchLimits, import_late_modules, retry_after_s, shown
from ladestrom.outbound.pacing import Pace, PaceLimits
from ladestrom.ports.calls import Answered, Ask
from ladestrom.ports.sources import SourceRecord
from ladestrom.protocols.delivery import Delivery, ParseLimits
from ladestrom.protocols.interfaces import PARTIAL, Memory, Pull, PullSettings, Reading

logger = structlog.get_logger(__name__)

T = TypeVar("T")

ASKS_MAX: Final = 10_000
"""Of one round: a million EVSEs in pages of a hundred."""
TAKE_ATTEMPTS_MAX: Final = 60
OWN_WAIT_S: Final = 1.0
"""Until something is tried again that our own log, queue or store kept from succeeding."""
PUBLIC_ONLY: Final = "public_only"
"""Option of a source that named its address itself. Nobody sets it: the server does, of peers."""
ANYWHERE: Final = "anywhere"
"""Option of a source whose redirects, next pages and endpoints may lead to private networks too."""
REFUSING: Final = frozenset({401, 403, 404, 405, 410})
"""Answers that stay the same until a person changes something."""
WAITING: Final = frozenset({429, 503})
"""Answers whose `Retry-After` counts."""
UNREADABLE: Final = (BadRequest, TooLarge)
"""What a protocol raises where an answer is not what it should be."""


class SourceLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What the settings say of sources."""

    fetch: FetchLimits = FetchLimits()
    pace: PaceLimits = PaceLimits()
    parse: ParseLimits = ParseLimits(items_max=1_000_000)
    own_party: str = ""
    """Who asks, in protocols that say so: country and party, `NOLDS`."""
    round_s_max: float = 600.0
    lost_after_s: float = 30.0
    """A source that is followed: how long it may be away before its statuses are given up."""


class SourceServices(Protocol):
    """What every source needs of the server."""

    @property
    def intake(self) -> Intake: ...

    @property
    def limits(self) -> SourceLimits: ...

    @property
    def parsing(self) -> ParsingProcess:
        """Reads what is large."""
        ...

    def clock(self) -> Millis:
        """Now."""
        ...

    def steady(self) -> Millis:
        """Now, by a clock that nobody sets: for how long something waits."""
        ...

    def chance(self) -> float:
        """An even random number in [0, 1)."""
        ...

    def operator(self, name: str) -> Operator:
        """The operator of a source, as the store has it now.

        Raises:
            InvalidSetting: there is none any more.
        """
        ...

    def remember(self, source: SourceRecord, memory: Memory) -> Awaitable[None]:
        """Keeps what a round found out."""
        ...


class Failed(Exception):
    """A round came to nothing; what it was was counted."""

    def __init__(self, outcome: Outcome, retry_after_s: float = 0.0) -> None:
        super().__init__(outcome)
        self.outcome = outcome
        self.retry_after_s = retry_after_s


def identity_of(source: SourceRecord, kind: Kind) -> SourceIdentity:
    """Under which name a source is watched."""
    return SourceIdentity(source.name, source.operator, source.protocol, kind)


def settings_of(source: SourceRecord, limits: SourceLimits, operator: Operator | None = None) -> PullSettings:
    """What its protocol is told of a source; its stations are wanted where an operator is given."""
    return PullSettings(
        source=source.operator,
        address=source.address,
        secret=source.secret,
        options=source.options,
        limits=limits.parse,
        may_register=operator is not None and operator.may_register,
        parties=() if operator is None else operator.parties,
        own_party=limits.own_party,
    )


class Poller:
    """One source that is asked."""

    def __init__(self, source: SourceRecord, pull: Pull, interval_s: int, services: SourceServices) -> None:
        """Nothing is asked yet.

        Args:
            source: as the store has it.
            pull: its protocol.
            interval_s: from the beginning of a round to that of the next.
            services: what it shares with others.
        """
        self.source = source
        self.health: Health = services.intake.supervision.health(identity_of(source, Kind.PULL))
        self.health.poll_s = interval_s
        self._pull = pull
        self._services = services
        self._memory: Memory = source.memory
        self._pace = Pace(interval_s * 1000, services.limits.pace, services.steady(), services.chance())
        self._answered: Answered | None = None
        self._wanted = asyncio.Event()
        """Set when somebody wants it to be asked at once."""
        self._ended: asyncio.Future[None] | None = None
        """Of the round that is under way, or else of the next."""
        self._is_asking = False

    async def ask(self) -> None:
        """Asks at once, whatever the schedule says; returns when that round has ended. One that is under way
        counts.
        """
        if self._ended is None:
            self._ended = asyncio.get_running_loop().create_future()
        if not self._is_asking:
            self._wanted.set()
        await asyncio.shield(self._ended)

    async def _rest(self, seconds: float) -> None:
        """Until then, or until somebody wants it to be asked."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wanted.wait()
        self._wanted.clear()

    async def run(self) -> None:
        """Asks, round after round, until cancelled."""
        pace, steady = self._pace, self._services.steady
        async with AsyncExitStack() as stack:
            fetcher: Fetcher | None = None
            files = _stamps(self.source)
            self._show()
            while True:
                await self._rest(max(0.0, (pace.next_at - steady()) / 1000))
                began_at = steady()
                pace.begin()
                self._is_asking = True
                self._show()
                if fetcher is None or _stamps(self.source) != files:
                    # Certificates are renewed while we run.
                    await stack.aclose()
                    files = _stamps(self.source)
                    fetcher = await self._fetcher()
                    if fetcher is not None:
                        await stack.enter_async_context(fetcher)
                outcome, wait_s = Outcome.REFUSED, 0.0
                if fetcher is not None:
                    outcome, wait_s = await self._attempt(fetcher)
                pace.end(outcome, began_at, steady(), self._services.chance(), wait_s)
                self._show()
                self._is_asking = False
                if self._ended is not None:
                    self._ended.set_result(None)
                    self._ended = None

    async def _attempt(self, fetcher: Fetcher) -> tuple[Outcome, float]:
        try:
            await self.round(fetcher)
        except Failed as failed:
            return failed.outcome, failed.retry_after_s
        return Outcome.WELL, 0.0

    async def _fetcher(self) -> Fetcher | None:
        try:
            return await asyncio.to_thread(make_fetcher, self.source, self._services, self.health)
        except LadestromError as error:
            self._services.intake.supervision.failed(self.health, error)
            return None

    def _show(self) -> None:
        pace, health = self._pace, self.health
        health.breaker, health.failures_in_row = pace.breaker, pace.failures
        health.next_at = self._services.clock() + pace.next_at - self._services.steady()

    async def round(self, fetcher: Fetcher) -> None:
        """Asks once, and takes what comes.

        Raises:
            Failed: it did not go well; the memory of the round before holds.
        """
        health, supervision = self.health, self._services.intake.supervision
        self._answered = None
        try:
            async with asyncio.timeout(self._services.limits.round_s_max) as deadline:
                memory = await self._converse(fetcher, deadline)
            await self._keep(memory)
        except TimeoutError:
            what = f"the round took longer than {self._services.limits.round_s_max:g} s"
            supervision.note(health, SourceFailure.code, what)
            raise Failed(Outcome.FAILED) from None
        except UNREADABLE as error:
            raise self._unreadable(error) from error
        except OWN_FAILURES as error:
            logger.warning("a round could not be taken", source=self.source.name, error=str(error))
            raise Failed(Outcome.OURS) from error
        except LadestromError as error:
            supervision.failed(health, error)
            raise self._refused(error) from error
        except Exception as error:
            logger.exception("a round failed", source=self.source.name, protocol=self.source.protocol)
            raise self._unreadable(
                LadestromError("an internal error stopped the round; it was logged")
            ) from error
        if memory.get(PARTIAL):
            supervision.note(health, SourceFailure.code, memory[PARTIAL])
        supervision.heard(health)

    async def _converse(self, fetcher: Fetcher, deadline: asyncio.Timeout) -> Memory:
        services = self._services
        operator = services.operator(self.source.operator)
        settings = settings_of(self.source, services.limits, operator)
        conversation = self._pull(settings, self._memory, services.clock())
        arrival = arrival_of(self.source, services.intake.begin())
        proceed: Callable[[], Ask | Reading | Delivery] = partial(next, conversation)
        asks = 0
        try:
            while True:
                match proceed():
                    case Ask() as ask:
                        asks += 1
                        if asks > ASKS_MAX:
                            raise SourceFailure(f"the round has more than {ASKS_MAX} requests")
                        self._answered = await fetcher.fetch(ask)
                        proceed = partial(conversation.send, self._answered)
                        self.health.certificate_expires_at = fetcher.certificate_expires_at
                    case Reading() as reading:
                        try:
                            read = await services.parsing.read(reading.work, reading.size_bytes)
                            proceed = partial(conversation.send, read)
                        except Exception as error:  # noqa: BLE001 - whatever it is, the round may know what to do
                            proceed = partial(conversation.throw, error)
                    case Delivery() as delivery:
                        take = partial(
                            services.intake.take,
                            operator,
                            delivery,
                            identity=self.health.identity,
                            arrival=arrival,
                        )
                        with _stopped(deadline):
                            receipt = await insist(take, attempts_max=TAKE_ATTEMPTS_MAX)
                        proceed = partial(conversation.send, receipt)
        except StopIteration as over:
            memory: Memory = over.value
            return dict(memory)
        finally:
            conversation.close()

    async def _keep(self, memory: Memory) -> None:
        if memory != self._memory:
            await self._services.remember(self.source, memory)
            self._memory = memory

    def _refused(self, error: LadestromError) -> Failed:
        answered = self._answered
        if isinstance(error, Unauthenticated | NotAllowed | InvalidSetting):
            return Failed(Outcome.REFUSED)
        if answered is None:
            return Failed(Outcome.FAILED)
        outcome = Outcome.REFUSED if answered.status in REFUSING else Outcome.FAILED
        return Failed(outcome, retry_after_s(answered) if answered.status in WAITING else 0.0)

    def _unreadable(self, error: LadestromError) -> Failed:
        """Of an answer that says itself that it is an error nothing is kept."""
        answered = self._answered
        supervision = self._services.intake.supervision
        if answered is None or answered.status >= 300:  # noqa: PLR2004 - RFC 9110, section 15: not successful
            supervision.failed(self.health, error)
            return self._refused(error)
        kept = Kept(
            source=self.source.name,
            operator=self.source.operator,
            protocol=self.source.protocol,
            kind=self.health.identity.kind,
            received_at=answered.received_at,
            code=error.code,
            detail=str(error),
            media_type=answered.headers.get("content-type", ""),
            path=shown(answered.url),
            status=answered.status,
        )
        supervision.unreadable(self.health, kept, answered.body)
        return Failed(Outcome.FAILED)


def make_fetcher(source: SourceRecord, services: SourceServices, health: Health) -> Fetcher:
    """The connections of a source, with its certificate. To be called in a thread, as it takes some 20 ms.

    Raises:
        InvalidSetting: its certificate or its authorities cannot be used.
    """
    import_late_modules()
    ca = source.options.get("ca")
    health.own_certificate_expires_at = None
    bare = tls.context(ca)
    trust = bare
    if source.certificate is not None:
        trust = tls.context(ca, source.certificate, source.certificate_key)
        health.own_certificate_expires_at = tls.expires_at(source.certificate)
    return Fetcher(
        services.limits.fetch,
        services.clock,
        trust=trust,
        bare_trust=bare,
        proxy=source.options.get("proxy"),
        guard=guard_of(source),
    )


def guard_of(source: SourceRecord) -> Guard:
    """Where the calls of a source may lead: to the address that it was given, and the public network."""
    is_peer = PUBLIC_ONLY in source.options
    return Guard(
        None if is_peer else source.address,
        anywhere=ANYWHERE in source.options,
        secure=is_peer,
        proxied="proxy" in source.options,
    )


def arrival_of(source: SourceRecord, began: Beginning | None = None) -> Arrival:
    """How what a source says came: with the rules that it has of its own."""
    return Arrival(began=began, max_age_s=source.max_age_s, by_receipt=source.by_receipt)


async def insist(work: Callable[[], Awaitable[T]], *, attempts_max: int | None = None) -> T:
    """Does something that only our own log, queue or store may keep from succeeding, until it succeeds.

    Args:
        work: what to do.
        attempts_max: after so many it is given up; None is never.

    Raises:
        Overloaded, NotReady: it was given up.
    """
    attempts = 1
    while True:
        try:
            return await work()
        except OWN_FAILURES:
            if attempts == attempts_max:
                raise
        attempts += 1
        await asyncio.sleep(OWN_WAIT_S)


@contextmanager
def _stopped(deadline: asyncio.Timeout) -> Iterator[None]:
    """A deadline that does not run while something of our own is waited for."""
    loop = asyncio.get_running_loop()
    when_s, began_s = deadline.when(), loop.time()
    deadline.reschedule(None)
    try:
        yield
    finally:
        if when_s is not None:
            deadline.reschedule(when_s + loop.time() - began_s)


def _stamps(source: SourceRecord) -> tuple[int, ...]:
    """What tells that a file of certificates is another than before."""
    files = (source.options.get("ca"), source.certificate, source.certificate_key)
    found = []
    for file in files:
        try:
            found.append(0 if file is None else os.stat(file).st_mtime_ns)  # noqa: PTH116 - one number, no path
        except OSError:
            found.append(-1)
    return tuple(found)
