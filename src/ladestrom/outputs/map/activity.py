"""How much goes on: changes by second, minute, ten minutes and hour, and where they were in the last hour.

Counts what it is told at the instants it is told them. What stood in the log before it began is put in from
there (`fill`, `fill_place`), but not by second.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from typing import Final

from ladestrom.model import Millis

SECONDS: Final = 120
MINUTES: Final = 60
TENS: Final = 144
HOURS: Final = 168
SECOND_MS: Final = 1_000
MINUTE_MS: Final = 60_000
TEN_MINUTES_MS: Final = 10 * MINUTE_MS
HOUR_MS: Final = 60 * MINUTE_MS
PLACES_MAX: Final = 50_000
"""Places that changes are counted for, at some 400 bytes: more towns than Europe's chargers are in. Changes
elsewhere are not counted by place."""

Town = tuple[str, str]
"""Country and town; the town is empty where the register does not tell."""


class Counts:
    """Numbers of the running span of time and of those before it, in a ring."""

    def __init__(self, span_ms: int, spans: int) -> None:
        self._span_ms = span_ms
        self._ring = [0] * (spans + 1)
        self._span = 0
        """Number of the running span since 1970."""

    def add(self, count: int, now: Millis) -> None:
        """Counts into the span of `now`; a clock that was set back counts into the running one."""
        self.turn(now)
        self._ring[self._span % len(self._ring)] += count

    def bounds(self, now: Millis) -> list[Millis]:
        """When the spans that are kept began, the oldest first, the running one last."""
        self.turn(now)
        size = len(self._ring)
        return [number * self._span_ms for number in range(self._span - size + 1, self._span + 1)]

    def fill(self, at: Millis, count: int) -> None:
        """Counts into the span of an instant, where that is kept."""
        number = at // self._span_ms
        if self._span - len(self._ring) < number <= self._span:
            self._ring[number % len(self._ring)] += count

    def turn(self, now: Millis) -> int:
        """Ends the spans before that of `now`; says how many ended, at most as many as are kept."""
        span = now // self._span_ms
        ended = min(max(span - self._span, 0), len(self._ring))
        for number in range(span - ended + 1, span + 1):
            self._ring[number % len(self._ring)] = 0
        self._span = max(span, self._span)
        return ended

    def complete(self, now: Millis) -> list[int]:
        """The spans before the running one, the oldest first."""
        self.turn(now)
        size = len(self._ring)
        return [self._ring[number % size] for number in range(self._span + 1, self._span + size)]


class Activity:
    """Changes of the last minutes. `begin` before anything else."""

    def __init__(self) -> None:
        self.total = 0
        """Changes since it began."""
        self._seconds = Counts(SECOND_MS, SECONDS)
        self._minutes = Counts(MINUTE_MS, MINUTES)
        self._tens = Counts(TEN_MINUTES_MS, TENS)
        self._hours = Counts(HOUR_MS, HOURS)
        self.past: tuple[Counts, ...] = (self._minutes, self._tens, self._hours)
        """Those that are filled with what was before it began."""
        self._minute = 0
        self._places: dict[Town, array[int]] = {}
        """Changes in each of the last minutes, that of minute m at m modulo their number."""
        self._in_place: dict[Town, int] = {}
        """Their sums."""

    def begin(self, now: Millis) -> None:
        """Nothing happened before now."""
        self._seconds.turn(now)
        for counts in self.past:
            counts.turn(now)
        self._minute = now // MINUTE_MS

    def beat(self, changes: int, now: Millis) -> None:
        """So many changes happened now."""
        self.total += changes
        self._seconds.add(changes, now)
        for counts in self.past:
            counts.add(changes, now)

    def settle(
        self, recent: Iterable[tuple[str, int]], place_of: Callable[[str], Town | None], now: Millis
    ) -> None:
        """Counts changes of stations (uuid, number) by place.

        Args:
            recent: those that were not counted yet.
            place_of: where a station is; None where that is not known any more.
            now: the minute that they were in; one before that of the last call counts as that.
        """
        self._forget(max(now // MINUTE_MS, self._minute))
        slot = self._minute % MINUTES
        for uuid, count in recent:
            place = place_of(uuid)
            if place is None:
                continue
            self._count(place, slot, count)

    def fill_place(self, place: Town, at: Millis, count: int) -> None:
        """Counts changes of an instant before it began, where its minute is kept."""
        if self._minute - MINUTES < at // MINUTE_MS <= self._minute:
            self._count(place, at // MINUTE_MS % MINUTES, count)

    def _count(self, place: Town, slot: int, count: int) -> None:
        minutes = self._places.get(place)
        if minutes is None:
            if len(self._places) >= PLACES_MAX:
                return
            minutes = self._places[place] = array("I", bytes(4 * MINUTES))
            self._in_place[place] = 0
        minutes[slot] += count
        self._in_place[place] += count

    def _forget(self, minute: int) -> None:
        """Goes on to a minute; what is an hour older is counted no more."""
        passed = range(max(self._minute + 1, minute - MINUTES + 1), minute + 1)
        self._minute = minute
        slots = [number % MINUTES for number in passed]
        if not slots:
            return
        for place, minutes in list(self._places.items()):
            for slot in slots:
                self._in_place[place] -= minutes[slot]
                minutes[slot] = 0
            if not self._in_place[place]:
                del self._places[place], self._in_place[place]

    def seconds(self, now: Millis) -> list[int]:
        """Changes in each of the last 120 seconds, the oldest first, the running one left out."""
        return self._seconds.complete(now)

    def minutes(self, now: Millis) -> list[int]:
        """Changes in each of the last 60 minutes, likewise."""
        return self._minutes.complete(now)

    def tens(self, now: Millis) -> list[int]:
        """Changes in each of the last 144 spans of ten minutes, likewise."""
        return self._tens.complete(now)

    def hours(self, now: Millis) -> list[int]:
        """Changes in each of the last 168 hours, likewise."""
        return self._hours.complete(now)

    def places(self) -> dict[Town, int]:
        """Changes of the last hour by place, as far as they are settled; those without any are left out."""
        return dict(self._in_place)
