"""The day that a demonstration has behind it: entries of a new log, received when they would have been.

Knows in which order a server would have made them: stations, what operators told first, every change.
Only `cli.demo` is to know of it: a server's log has what was received, and nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from ladestrom.core.board import Board, Round
from ladestrom.core.directory import Directory
from ladestrom.core.precedence import Taking, taking
from ladestrom.model import Feed, Millis, StatusReport
from ladestrom.ports.log import Log
from ladestrom.ports.stores import Store
from ladestrom.simulator.hours import HOUR_MS
from ladestrom.simulator.traffic import Event, Traffic
from ladestrom.writer.checkpoints import Checkpoints
from ladestrom.writer.hub import Hub, HubLimits
from ladestrom.writer.reconciliation import Readings, Reconciliation

SPAN_MS: Final = 25 * HOUR_MS
"""A day, and an hour in which it began: what came at once then is in no chart of the day."""
CHANGES_MAX: Final = 100_000
"""Some two seconds of work. Of a country that has more of them in a day, less of the day is told."""
CHANGES_PER_EVSE_HOUR: Final = 0.27
"""What `simulator.traffic` comes to."""
TOLD_AT_ONCE: Final = 5_000
"""Changes in one append."""
PUSHED: Final = "plain"
"""The protocol in which operators go on, so that it is one feed."""
DELAY_MS: Final = 900
"""From a change to its receipt."""


def span_ms(evses: int) -> Millis:
    """How far the past of so many EVSEs goes back."""
    return min(SPAN_MS, int(CHANGES_MAX / (CHANGES_PER_EVSE_HOUR * max(evses, 1)) * HOUR_MS))


async def tell(log: Log, store: Store, limits: HubLimits, traffic: Traffic, until: Millis) -> None:
    """Writes what happened from the traffic's start until now into a log that is empty.

    Simulated time was as fast as real time until now; traffic goes on from there.

    Raises:
        ValueError: the log has entries.
        LogFailure: it cannot be written.
    """
    past = _Past(log, limits, traffic, until)
    await past.begin(store)
    deciding = asyncio.create_task(past.hub.run())
    try:
        await past.tell()
    finally:
        deciding.cancel()
        await asyncio.gather(deciding, return_exceptions=True)


class _Past:
    """A writer whose clock is set to when something happened."""

    def __init__(self, log: Log, limits: HubLimits, traffic: Traffic, until: Millis) -> None:
        self._log = log
        self._traffic = traffic
        self._until = until
        self._now = traffic.start
        self.hub = Hub(log, Board(), Directory(), self._clock, limits, steady=self._clock)

    def _clock(self) -> Millis:
        return self._now

    async def begin(self, store: Store) -> None:
        if self._log.last.seq:
            raise ValueError("a log that has entries has a past of its own")
        await self.hub.recover()
        operators = {operator.name: operator for operator in await store.operators()}
        self._feeds = {name: f"{name}/{PUSHED}" for name in operators}
        self._reconciliation = Reconciliation(
            store, self.hub, lambda: Readings(wanted=False, stale_after_ms=0), self._clock
        )
        self.hub.set_operators(operators.values())
        self._reconciliation.follow(operators)

    async def tell(self) -> None:
        delta = await self._reconciliation.take(everything=True)
        self._reconciliation.revision = delta.revision
        await self._take(self._traffic.board())
        while self._traffic.reached < self._until:
            await self._take(self._traffic.until(self._until, TOLD_AT_ONCE))
        self._now = self._until
        await self.hub.decide_each(list(self.hub.board.cells), _hear)
        checkpoints = Checkpoints(
            self._log, self.hub, lambda: self._reconciliation.revision, every_s=0, every_entries=0
        )
        await checkpoints.take()

    async def _take(self, events: Sequence[Event]) -> None:
        await self.hub.decide(lambda round_, _: self._decide(round_, events))

    def _decide(self, round_: Round, events: Sequence[Event]) -> int:
        board, by_key = self.hub.board, self.hub.directory.by_key
        points, feeds = self._traffic.points, self._feeds
        for event in events:
            point = points[event.point]
            name, evse = point.station.operator or "", by_key(point.evse.key)
            if evse is None or name not in feeds:
                continue
            self._now = max(self._now, min(event.at + DELAY_MS, self._until))
            report = StatusReport(evse.key, event.status, event.error, event.at, name, event.status.value)
            round_.decide(evse, report, taking(Feed(feeds[name]), self._now, self._now, board.arrive()))
        return len(round_.changes)


def _hear(keys: Sequence[str], round_: Round, taken: Taking) -> int:
    """All that was told holds until now: operators confirm it."""
    round_.hear(keys, taken)
    return len(keys)
