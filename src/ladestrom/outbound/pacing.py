"""When a source is asked next: its interval, its retries, and the rests while its breaker is open.

Pure: instants, of a clock that nobody sets, and chances are arguments. Must not know what is asked.

    a round that went well: the next one comes an interval after it began, give or take a tenth;
    a failure: soon again, then later and later, but never later than the interval;
    a failure of our own: soon again, and it does not count;
    too many in a row, or an answer that only a person can change: the breaker opens, and one attempt at a
    time, further and further apart, shows whether the source is well again.
"""

from __future__ import annotations

from typing import Final

import msgspec

from ladestrom.model import Millis
from ladestrom.outbound import breaker
from ladestrom.outbound.breaker import Breaker, Outcome

SPREAD: Final = 0.2
"""Of an interval: sources that were set up together do not stay together."""
START_MS_MAX: Final = 2_000
"""First rounds after a start are spread over this."""
RETRY_FIRST_MS: Final = 2_000
"""A restart behind a load balancer takes about as long."""
REST_MS_MAX: Final = 3_600_000
"""One hour: after a source was repaired, nobody should have to wait longer for it."""
DOUBLINGS_MAX: Final = 16


class PaceLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What the settings say."""

    failures_max: int = 5
    """In a row; then the breaker opens."""
    rest_s: int = 300
    """How long it stays open at first; each failure in between doubles it."""


class Pace:
    """The schedule of one source."""

    def __init__(self, interval_ms: int, limits: PaceLimits, now: Millis, chance: float) -> None:
        """The first attempt is due at `next_at`.

        Args:
            interval_ms: from the beginning of a round to that of the next.
            limits: of failures.
            now: the present instant.
            chance: an even random number in [0, 1), as all of them.
        """
        self.interval_ms = interval_ms
        self.limits = limits
        self.breaker = Breaker.CLOSED
        self.failures = 0
        """In a row."""
        self.next_at: Millis = now + int(min(START_MS_MAX, interval_ms) * chance)
        self._rests = 0

    def begin(self) -> None:
        """An attempt that was due begins."""
        self.breaker = breaker.begun(self.breaker)

    def end(
        self, outcome: Outcome, began_at: Millis, now: Millis, chance: float, retry_after_s: float = 0.0
    ) -> None:
        """An attempt ended: says when the next one is due.

        Args:
            outcome: how.
            began_at: when the attempt began.
            now: the present instant.
            chance: an even random number in [0, 1).
            retry_after_s: what the source asked for; at most `REST_MS_MAX` of it is granted.
        """
        if outcome in {Outcome.FAILED, Outcome.REFUSED}:
            self.failures += 1
        self.breaker = breaker.ended(self.breaker, outcome, self.failures, self.limits.failures_max)
        if outcome is Outcome.WELL:
            self.failures = self._rests = 0
            self.next_at = max(now, began_at + _spread(self.interval_ms, chance))
            return
        if outcome is Outcome.OURS:
            self.next_at = now + _spread(min(RETRY_FIRST_MS, self.interval_ms), chance)
            return
        if self.breaker is Breaker.OPEN:
            wait_ms = self.limits.rest_s * 1000 << min(self._rests, DOUBLINGS_MAX)
            wait_ms = min(max(wait_ms, self.interval_ms), max(REST_MS_MAX, self.interval_ms))
            self._rests += 1
        else:
            wait_ms = min(RETRY_FIRST_MS << min(self.failures - 1, DOUBLINGS_MAX), self.interval_ms)
        asked_ms = int(min(retry_after_s * 1000, REST_MS_MAX))
        self.next_at = now + max(_spread(wait_ms, chance), asked_ms)


def _spread(wait_ms: int, chance: float) -> int:
    """A wait, give or take half of `SPREAD`."""
    return int(wait_ms * (1 - SPREAD / 2 + SPREAD * chance))
