"""The circuit breaker of one source or receiver: its states, and what an attempt's outcome does to them.

Pure. Must not know what is attempted, nor when: `outbound.pacing` says when the next attempt is due.

    closed: attempts are made when they are due;
    open: after too many failures in a row, or an answer that only a person can change, no attempt is made for
        a while;
    half open: one attempt is under way, which decides whether the breaker closes or opens again.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class Breaker(StrEnum):
    """Whether a source is asked."""

    CLOSED = "closed"
    """It is asked when its time comes."""
    OPEN = "open"
    """It failed too often in a row: it is left alone for a while."""
    HALF_OPEN = "half_open"
    """One attempt shows whether it is well again."""


class Outcome(StrEnum):
    """How an attempt ended."""

    WELL = "well"
    FAILED = "failed"
    """The next attempt may succeed."""
    REFUSED = "refused"
    """No attempt can succeed before somebody changes something: a wrong key, a wrong address."""
    OURS = "ours"
    """Our own log or store failed: nothing was learned about the source."""


NEXT: Final[Mapping[tuple[Breaker, Outcome], Breaker]] = {
    (Breaker.CLOSED, Outcome.WELL): Breaker.CLOSED,
    (Breaker.CLOSED, Outcome.FAILED): Breaker.CLOSED,
    (Breaker.CLOSED, Outcome.REFUSED): Breaker.OPEN,
    (Breaker.CLOSED, Outcome.OURS): Breaker.CLOSED,
    (Breaker.HALF_OPEN, Outcome.WELL): Breaker.CLOSED,
    (Breaker.HALF_OPEN, Outcome.FAILED): Breaker.OPEN,
    (Breaker.HALF_OPEN, Outcome.REFUSED): Breaker.OPEN,
    (Breaker.HALF_OPEN, Outcome.OURS): Breaker.OPEN,
}
"""What an attempt does to the breaker; too many failures in a row open it too (`ended`). An open one has no
row: no attempt is made while it is open, and one that is due makes it half open (`begun`)."""


def begun(breaker: Breaker) -> Breaker:
    """The breaker once an attempt that was due has begun."""
    return Breaker.HALF_OPEN if breaker is Breaker.OPEN else breaker


def ended(breaker: Breaker, outcome: Outcome, failures: int, failures_max: int) -> Breaker:
    """The breaker once an attempt has ended.

    Args:
        breaker: while the attempt was under way; not open.
        outcome: how it ended.
        failures: in a row, this one counted.
        failures_max: so many in a row open it.
    """
    after = NEXT[breaker, outcome]
    is_failure = outcome in {Outcome.FAILED, Outcome.REFUSED}
    return Breaker.OPEN if is_failure and failures >= failures_max else after
