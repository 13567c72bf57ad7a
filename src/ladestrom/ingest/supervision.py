"""What is known of every source: when it delivered, how late, what was refused, and what is wrong with it.

A source that begins to fail and one that has recovered are each told of once (`Supervision.look`). Knows
counts, instants and states. Must not know how a source is reached, nor what it said.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Final

import msgspec
import structlog

from ladestrom.clocks import steady
from ladestrom.errors import LadestromError
from ladestrom.formats.freshness import DelayHistogram, SourceFreshness, share
from ladestrom.formats.wire import instant
from ladestrom.ingest.quarantine import Kept, Quarantine
from ladestrom.ingest.refusals import Refusals
from ladestrom.model import Millis, Operator, Receipt
from ladestrom.outbound.breaker import Breaker
from ladestrom.protocols.delivery import Delivery
from ladestrom.tasks import Turns, parts

logger = structlog.get_logger(__name__)

DELAY_BUCKETS_S: Final = (1, 2, 5, 10, 30, 60, 120, 300, 900, 3_600, 86_400)
"""Upper bounds of the histogram; what is above the last one has a place of its own."""
_DELAY_BUCKETS_MS: Final = tuple(bound_s * 1000 for bound_s in DELAY_BUCKETS_S)
MINUTE_MS: Final = 60_000
LATE_S: Final = 60
"""Regulation (EU) 2025/655, annex: a change is public within one minute."""
ERROR_CHARACTERS_MAX: Final = 1_000
"""Of the last error of a source, which whoever runs the server reads as a whole."""
TREND_MINUTES: Final = 60
"""For which the delay of each source is kept minute by minute."""
ITEMS_PER_LOOK: Final = 1_000
"""Of a delivery, gone through between two looks at how long the loop was taken: some 0.5 ms."""
WRITES_WAITING_MAX: Final = 32
"""Unreadable deliveries on their way to the disk; more at once are counted and not kept."""


IDENTITIES_MAX: Final = 4_096
"""Of sources that push, of which there is one object each: each delivery asks for its own."""
STATUS_FILE: Final = "sources.json"
"""In the data directory: what the command line shows."""


class SourceStatus(msgspec.Struct, frozen=True):
    """How a source does, written for the command line, whose user may see error messages in full."""

    freshness: SourceFreshness
    operator: str = ""
    last_error: str = ""


class Kind(StrEnum):
    """Who begins."""

    PUSH = "push"
    """The operator's system sends."""
    PULL = "pull"
    """We ask."""
    FOLLOW = "follow"
    """We keep a connection, and are told."""


class State(StrEnum):
    """A source in one word; the first that holds, in this order."""

    PAUSED = "paused"
    RESTING = "resting"
    """Its breaker is open."""
    LOST = "lost"
    """A connection is to be kept, and there is none."""
    FAILING = "failing"
    """The last attempt or delivery failed."""
    NEW = "new"
    """Nothing came yet."""
    SILENT = "silent"
    """Nothing came for longer than its operator may be silent."""
    FRESH = "fresh"


FAILING: Final = frozenset({State.FAILING, State.RESTING, State.LOST, State.SILENT})
"""States in which nothing comes of a source that should deliver."""


class SourceIdentity(msgspec.Struct, frozen=True):
    """A source by its name. One that pushes has no name of its own: it is its operator and protocol."""

    name: str
    operator: str
    protocol: str
    kind: Kind

    @staticmethod
    @lru_cache(IDENTITIES_MAX)
    def push(operator: str, protocol: str) -> SourceIdentity:
        """An operator that sends in a protocol."""
        return SourceIdentity(f"{operator}/{protocol}", operator, protocol, Kind.PUSH)


class Trend:
    """How late changes were in each of the last minutes."""

    __slots__ = ("_counts", "_minute", "_sums_ms")

    def __init__(self) -> None:
        self._counts = [0] * TREND_MINUTES
        self._sums_ms = [0] * TREND_MINUTES
        self._minute = 0

    def add(self, count: int, sum_ms: int, now: Millis) -> None:
        """So many changes were so late together."""
        self._turn(now)
        slot = self._minute % TREND_MINUTES
        self._counts[slot] += count
        self._sums_ms[slot] += sum_ms

    def means_s(self, now: Millis) -> list[float | None]:
        """The mean of each minute, the oldest first, the running one last; None where nothing changed."""
        self._turn(now)
        slots = [
            minute % TREND_MINUTES for minute in range(self._minute + 1, self._minute + 1 + TREND_MINUTES)
        ]
        counts, sums = self._counts, self._sums_ms
        return [round(sums[slot] / counts[slot] / 1000, 3) if counts[slot] else None for slot in slots]

    def _turn(self, now: Millis) -> None:
        minute = max(now // MINUTE_MS, self._minute)
        for passed in range(max(self._minute, minute - TREND_MINUTES) + 1, minute + 1):
            self._counts[passed % TREND_MINUTES] = self._sums_ms[passed % TREND_MINUTES] = 0
        self._minute = minute


class Health:
    """One source since the server started."""

    def __init__(self, identity: SourceIdentity) -> None:
        self.identity = identity
        self.deliveries = 0
        self.items = 0
        self.changes = 0
        self.stale = 0
        self.refused: Counter[str] = Counter()
        """Items, by reason."""
        self.unmapped = 0
        """Items whose status word the protocol does not have."""
        self.unreadable = 0
        """Deliveries of which nothing could be used."""
        self.failures: Counter[str] = Counter()
        """Attempts and deliveries that failed as a whole, by code."""
        self.delays = [0] * (len(DELAY_BUCKETS_S) + 1)
        """Changes by the time from when they were observed to when they were received."""
        self.delay_sum_s = 0.0
        self.published = 0
        """Changes whose observation was timed against their publication."""
        self.late = 0
        """Of these, changes that were durable more than `LATE_S` after they were observed."""
        self.last_delivery_at: Millis | None = None
        self.last_heard_at: Millis | None = None
        """When it last delivered, or said that there is nothing new."""
        self.heard: Millis | None = None
        """The same, by a clock that nobody sets."""
        self.last_error = ""
        self.last_error_code = ""
        self.last_error_at: Millis | None = None
        self.failed_last = False
        self.failed_since: Millis | None = None
        """When the first of its failures was since it was well."""
        self.told: State | None = None
        """The state in which it fails, once that was told of; None while it does not."""
        self.outages = 0
        """How often it began to fail."""
        self.trend: Trend | None = None
        """None while nothing of it changed."""
        self.paused = False
        self.connected: bool | None = None
        """Of sources that are followed: whether the connection stands and is in step."""
        self.breaker = Breaker.CLOSED
        self.failures_in_row = 0
        self.next_at: Millis | None = None
        """When it is asked next."""
        self.poll_s: int | None = None
        self.certificate_expires_at: Millis | None = None
        """Of the certificate that it showed last."""
        self.own_certificate_expires_at: Millis | None = None
        """Of the certificate that we show."""

    def state(self, steady: Millis, stale_after_s: int) -> State:
        """In one word. `steady` is now, by a clock that nobody sets."""
        heard = self.heard is not None
        silent_ms = 0 if self.heard is None or self.connected else steady - self.heard
        holds = {
            State.PAUSED: self.paused,
            State.RESTING: self.breaker is Breaker.OPEN,
            State.LOST: self.connected is False and (heard or self.failed_last),
            State.FAILING: self.failed_last,
            State.NEW: not heard,
            State.SILENT: silent_ms > stale_after_s * 1000,
        }
        return next((state for state in State if holds.get(state)), State.FRESH)

    def well(self) -> None:
        """It delivered, or said that there is nothing new."""
        self.failed_last = False
        self.failed_since = None

    def publish(self, observed: Sequence[Millis], receipt: Receipt) -> None:
        """Counts how late changes were that were observed then."""
        received_at, delays = receipt.received_at, self.delays
        sum_ms = 0
        for observed_at in observed:
            delay_ms = received_at - observed_at
            delays[bisect_left(_DELAY_BUCKETS_MS, delay_ms)] += 1
            if delay_ms > 0:
                sum_ms += delay_ms
        self.delay_sum_s += sum_ms / 1000
        if observed:
            self.trend = self.trend or Trend()
            self.trend.add(len(observed), sum_ms, received_at)
        self.published += len(observed)
        late_before = receipt.durable_at - LATE_S * 1000
        if observed and min(observed) < late_before:
            self.late += sum(observed_at < late_before for observed_at in observed)


class Supervision:
    """All sources of a server, those that are set up and those that delivered."""

    def __init__(
        self,
        clock: Callable[[], Millis],
        quarantine: Quarantine | None = None,
        steady: Callable[[], Millis] = steady,
    ) -> None:
        self.sources: dict[str, Health] = {}
        """By name."""
        self.quarantine = quarantine
        self.refusals = Refusals(clock)
        self._clock = clock
        self._steady = steady
        self._writes: set[asyncio.Future[None]] = set()
        self._stale_after_s: dict[str, int] = {}
        self._stale_after_default_s = 86_400

    def set_operators(self, operators: Iterable[Operator], stale_after_s: int) -> None:
        """How long each operator may be silent; `stale_after_s` where it has no limit of its own."""
        self._stale_after_default_s = stale_after_s
        self._stale_after_s = {
            operator.name: operator.stale_after_s
            for operator in operators
            if operator.stale_after_s is not None
        }

    def health(self, identity: SourceIdentity) -> Health:
        """A source's, begun where it is new."""
        found = self.sources.get(identity.name)
        if found is None or found.identity != identity:
            found = self.sources[identity.name] = Health(identity)
        return found

    def keep_only(self, names: Collection[str]) -> None:
        """Forgets sources that were set up and are no more; those that push stay."""
        for name, health in list(self.sources.items()):
            if health.identity.kind is not Kind.PUSH and name not in names:
                del self.sources[name]

    def state(self, health: Health) -> State:
        """A source in one word, now."""
        return health.state(self._steady(), self._stale_after(health))

    def _stale_after(self, health: Health) -> int:
        return self._stale_after_s.get(health.identity.operator, self._stale_after_default_s)

    def failing_since(self, health: Health, state: State) -> Millis | None:
        """Since when a source that is in this state fails; None where it does not."""
        if state not in FAILING:
            return None
        if state is State.SILENT and health.last_heard_at is not None:
            return health.last_heard_at + self._stale_after(health) * 1000
        return health.failed_since or health.last_heard_at

    async def look(self) -> None:
        """Logs which sources began to fail since the last look, and which have recovered.

        What fails and recovers between two looks is not told of: a source may do so with each delivery.
        """
        turns = Turns()
        for health in list(self.sources.values()):
            self._tell(health, self.state(health))
            await turns.rest()

    def _tell(self, health: Health, state: State) -> None:
        identity = health.identity
        words = {"source": identity.name, "operator": identity.operator, "protocol": identity.protocol}
        fails = state in FAILING
        if fails and health.told is None:
            health.outages += 1
            error = "nothing was heard" if state is State.SILENT else health.last_error
            since = instant(self.failing_since(health, state))
            logger.warning("a source fails", **words, state=state.value, since=since, error=error)
        elif not fails and health.told is not None and state is not State.PAUSED:
            logger.info("a source has recovered", **words)
        health.told = state if fails else None

    def freshness(self, operator: str | None = None) -> list[SourceFreshness]:
        """All sources, or an operator's, by name."""
        found = sorted(self.sources.items())
        return [self._shown(health) for _, health in found if operator in {None, health.identity.operator}]

    def statuses(self) -> list[SourceStatus]:
        """The status of all sources, for the command line."""
        found = sorted(self.sources.items())
        return [
            SourceStatus(self._shown(health), health.identity.operator, health.last_error)
            for _, health in found
        ]

    def _shown(self, health: Health) -> SourceFreshness:
        state = self.state(health)
        return SourceFreshness(
            source=health.identity.name,
            protocol=health.identity.protocol,
            kind=health.identity.kind.value,
            state=state.value,
            last_delivery_at=instant(health.last_delivery_at),
            last_heard_at=instant(health.last_heard_at),
            deliveries=health.deliveries,
            reports=health.items,
            changes=health.changes,
            change_share=share(health.changes, health.items),
            refused=dict(sorted(health.refused.items())),
            unmapped=health.unmapped,
            unreadable=health.unreadable,
            failures=dict(sorted(health.failures.items())),
            error=health.last_error_code if health.failed_last else None,
            error_at=instant(health.last_error_at),
            failing_since=instant(self.failing_since(health, state)),
            outages=health.outages,
            delay=DelayHistogram(DELAY_BUCKETS_S, tuple(health.delays), round(health.delay_sum_s, 3)),
            late=health.late,
            late_share=share(health.late, health.published),
            poll_s=health.poll_s,
            next_at=instant(health.next_at),
            failures_in_row=health.failures_in_row,
            breaker=health.breaker.value,
            certificate_expires_at=instant(health.certificate_expires_at),
            own_certificate_expires_at=instant(health.own_certificate_expires_at),
        )

    async def taken(self, health: Health, delivery: Delivery, receipt: Receipt) -> None:
        """A delivery was understood, and what was accepted of it is durable."""
        now = self._clock()
        self.refusals.note(health.identity.operator, health.identity.protocol, delivery, receipt)
        health.deliveries += 1
        health.items += receipt.accepted + receipt.unchanged + len(receipt.refused)
        health.changes += receipt.accepted
        health.stale += receipt.stale
        health.unmapped += delivery.unmapped
        health.last_delivery_at = health.last_heard_at = now
        health.heard = self._steady()
        health.well()
        turns = Turns()
        for some in parts(receipt.refused, ITEMS_PER_LOOK):
            health.refused.update(refusal.reason.value for refusal in some)
            await turns.rest()
        for instants in parts(receipt.observed, ITEMS_PER_LOOK):
            health.publish(instants, receipt)
            await turns.rest()

    def heard(self, health: Health) -> None:
        """It is there, with something new or without."""
        health.last_heard_at = self._clock()
        health.heard = self._steady()
        health.well()

    def failed(self, health: Health, error: LadestromError) -> None:
        """An attempt to get something, or a delivery, came to nothing."""
        self.note(health, error.code, str(error))

    def note(self, health: Health, code: str, text: str) -> None:
        """Likewise, in words."""
        health.failures[code] += 1
        health.failed_last = True
        if health.failed_since is None:
            health.failed_since = self._clock()
        health.last_error = text[:ERROR_CHARACTERS_MAX]
        health.last_error_code = code
        health.last_error_at = self._clock()

    def unreadable(self, health: Health, kept: Kept, body: bytes) -> None:
        """A delivery was not understood: counted, and kept where there is a quarantine. Does not wait."""
        health.unreadable += 1
        self.note(health, kept.code, kept.detail)
        quarantine = self.quarantine
        if quarantine is None or len(self._writes) >= WRITES_WAITING_MAX:
            return
        if not quarantine.admits(kept.source, self._steady()):
            return
        write = asyncio.get_running_loop().run_in_executor(None, quarantine.keep, kept, body)
        self._writes.add(write)
        write.add_done_callback(self._written)

    def _written(self, write: asyncio.Future[None]) -> None:
        self._writes.discard(write)
        if not write.cancelled() and (error := write.exception()) is not None:
            logger.warning("an unreadable delivery cannot be kept", error=str(error))

    async def settle(self) -> None:
        """Returns when everything that is to be kept is on the disk."""
        if self._writes:
            await asyncio.wait(self._writes)
