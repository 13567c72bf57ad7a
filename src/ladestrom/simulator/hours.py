"""Norwegian time, and how busy each hour of the week is.

Knows the calendar rule and the curves. Must not know the clock: instants are arguments.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import cache
from itertools import accumulate
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ladestrom.model import Millis

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
WEEK_H: Final = 168

_MONDAY_OFFSET_MS: Final = 3 * DAY_MS
"""1970-01-01 was a Thursday."""


@cache
def _summer(year: int) -> tuple[Millis, Millis]:
    instants = []
    for month in (3, 10):
        last = datetime(year, month, 31, 1, tzinfo=UTC)
        sunday = last - timedelta(days=(last.weekday() + 1) % 7)
        instants.append(int(sunday.timestamp() * 1000))
    return instants[0], instants[1]


def oslo_offset_ms(at: Millis) -> int:
    """How far Oslo's wall clock is ahead of UTC at an instant: one hour, in summer two.

    Source: Directive 2000/84/EC, articles 2 and 3: from 1 a.m. UTC of the last Sunday of March to 1 a.m.
    UTC of the last Sunday of October.
    """
    begins, ends = _summer(datetime.fromtimestamp(at / 1000, UTC).year)
    return 2 * HOUR_MS if begins <= at < ends else HOUR_MS


def hour_of_week(at: Millis) -> float:
    """Hours since Monday midnight by Oslo's wall clock, 0 <= hour < 168."""
    return (at + oslo_offset_ms(at) + _MONDAY_OFFSET_MS) / HOUR_MS % WEEK_H


class Curve:
    """How likely each hour of the week is, the mean hour being 1.

    `weights[h]` is hour h of the week, Monday midnight first; `running[h]` the sum of all before it.
    """

    __slots__ = ("running", "weights")

    def __init__(self, weights: Sequence[float]) -> None:
        mean = sum(weights) / len(weights)
        self.weights: Final = tuple(weight / mean for weight in weights)
        self.running: Final = (0.0, *accumulate(self.weights))

    def until(self, hour: float) -> float:
        """The curve's integral from Monday midnight to `hour` (any number; the week repeats)."""
        weeks, rest = divmod(hour, WEEK_H)
        whole = int(rest)
        return weeks * WEEK_H + self.running[whole] + (rest - whole) * self.weights[whole]

    def wait_h(self, hour: float, amount: float) -> float:
        """Hours from `hour` until the curve's integral has grown by `amount`: the inverse of `until`."""
        whole = int(hour)
        target = self.running[whole] + (hour - whole) * self.weights[whole] + amount
        weeks, rest = divmod(target, self.running[-1])
        found = min(bisect_right(self.running, rest), WEEK_H) - 1
        return weeks * WEEK_H + found + (rest - self.running[found]) / self.weights[found] - hour


class Use(Enum):
    """Why people charge at a place, which decides when they come."""

    COMMUTING = "commuting"
    """Work places, railway stations: morning of working days."""
    ERRANDS = "errands"
    """Shops, sports, culture: midday to evening, Saturday; shops are closed on Sunday."""
    HOME = "home"
    """Streets where people live: evening."""
    TOWN = "town"
    """Fast charging in town: lunch, the way home, evening."""
    TRAVEL = "travel"
    """Fast charging at main roads: by day, Friday afternoon and Sunday most of all."""


def _day(*spans: tuple[int, float]) -> tuple[float, ...]:
    """24 hourly weights from (hours, weight) spans."""
    return tuple(weight for hours, weight in spans for _ in range(hours))


def _week(working: tuple[float, ...], saturday: tuple[float, ...], sunday: tuple[float, ...]) -> Curve:
    return Curve((*working * 5, *saturday, *sunday))


_COMMUTING_DAY: Final = _day(
    (5, 0.1), (1, 0.8), (1, 3), (1, 5), (1, 4), (3, 1.2), (3, 0.8), (4, 0.6), (5, 0.3)
)
_ERRANDS_DAY: Final = _day(
    (6, 0.05), (2, 0.3), (2, 1), (2, 1.5), (1, 1.7), (2, 1.4), (4, 2.4), (2, 1.5), (3, 0.4)
)
_HOME_DAY: Final = _day((6, 0.15), (3, 0.4), (5, 0.6), (2, 1.3), (4, 3), (2, 2), (2, 0.8))
_TOWN_DAY: Final = _day(
    (5, 0.15), (2, 0.6), (2, 1.3), (2, 1.1), (2, 1.7), (2, 1.3), (3, 2.2), (3, 1.4), (3, 0.6)
)
_TRAVEL_DAY: Final = _day((5, 0.12), (2, 0.6), (4, 1.2), (3, 1.7), (5, 1.8), (3, 0.9), (2, 0.4))
_TRAVEL_FRIDAY: Final = _day((5, 0.12), (2, 0.6), (4, 1.3), (3, 2.2), (5, 4.2), (3, 1.8), (2, 0.6))
_TRAVEL_SATURDAY: Final = _day((6, 0.1), (2, 0.5), (6, 2), (4, 1.4), (4, 0.7), (2, 0.3))
_TRAVEL_SUNDAY: Final = _day((7, 0.1), (3, 0.6), (3, 1.8), (6, 3.6), (3, 1.6), (2, 0.4))

CURVES: Final[dict[Use, Curve]] = {
    Use.COMMUTING: _week(
        _COMMUTING_DAY, _day((8, 0.1), (8, 0.5), (8, 0.25)), _day((9, 0.1), (8, 0.35), (7, 0.2))
    ),
    Use.ERRANDS: _week(
        _ERRANDS_DAY,
        _day((8, 0.1), (2, 1.2), (6, 2.8), (3, 1.2), (5, 0.4)),
        _day((10, 0.1), (8, 0.8), (6, 0.3)),
    ),
    Use.HOME: _week(
        _HOME_DAY, _day((8, 0.15), (6, 0.8), (8, 1.6), (2, 0.8)), _day((9, 0.15), (6, 0.8), (7, 2), (2, 0.8))
    ),
    Use.TOWN: _week(
        _TOWN_DAY,
        _day((6, 0.15), (3, 0.6), (8, 1.7), (4, 1.1), (3, 0.6)),
        _day((8, 0.15), (9, 1.2), (5, 1.1), (2, 0.4)),
    ),
    Use.TRAVEL: Curve((*_TRAVEL_DAY * 4, *_TRAVEL_FRIDAY, *_TRAVEL_SATURDAY, *_TRAVEL_SUNDAY)),
}
"""Arrivals by hour of the week. The shapes are assumptions of ours, not measurements."""
