"""Receive times and silences, out of two clocks: the wall's, which may be set, and one that only goes on.

Knows readings of both, as arguments. Must not read a clock.

| | by |
|---|---|
| receive time | the wall's clock; a small step back is held at the last time given |
| silence | the steady clock; the time that we were down is judged by the wall's |
| deafness | both: a start, a gap in which we did not run, a jump of one against the other |
"""

from __future__ import annotations

from typing import Final

from ladestrom.core.rules import STEP_BACK_MS_MAX
from ladestrom.model import NEVER, Millis
from ladestrom.ports.log import Times

JUMP_MS_MIN: Final = 60_000
"""A clock that is set by less changes no silence that matters: the shortest that is borne is a minute."""
GAP_MS_MIN: Final = 60_000
"""Between two looks that are due every ten seconds: the process was stopped, or the machine."""


class Timekeeper:
    """The times of one writer. `wall` and `steady` are readings of the two clocks, in milliseconds."""

    __slots__ = ("_deaf_until", "_looked", "_offset", "_put_right_ms", "down_ms", "given_at")

    def __init__(self, wall: Millis, steady: Millis, grace_ms: int, times: Times | None = None) -> None:
        """Begins with what the log kept of the process before.

        Args:
            wall: reading of the wall's clock.
            steady: reading of the clock that only goes on.
            grace_ms: for how long nobody is taken for silent after we were deaf.
            times: what the log kept; None where there was nothing.
        """
        self.given_at: Millis = NEVER if times is None else times.given_at
        """The last receive time."""
        self.down_ms = 0 if times is None else max(0, wall - times.given_at)
        """How long we were down, as far as the wall's clock can be believed."""
        self._put_right_ms = 0
        """By how much less we were down than `down_ms` said at first."""
        self._offset = wall - steady
        self._deaf_until = steady + grace_ms
        self._looked = (wall, steady)

    def receive(self, wall: Millis) -> Millis:
        """The receive time of what is taken now."""
        given = self.given_at
        if wall >= given or given - wall > STEP_BACK_MS_MAX:
            self.given_at = given = wall
        return given

    def instant(self, steady: Millis) -> Millis:
        """The instant by which silence is judged: the wall's time at the start, and steady from then on."""
        return steady + self._offset

    def times(self, wall: Millis, steady: Millis) -> Times:
        """What the log is to keep: a receive time of now, and the same instant on the clock of silences.

        The last one that was given may be old, and the time since then would count as time that we were down.
        """
        return Times(self.receive(wall), self.instant(steady))

    def look(self, wall: Millis, steady: Millis, grace_ms: int) -> bool:
        """Whether silence can be judged now. To be called every ten seconds."""
        wall_before, steady_before = self._looked
        self._looked = (wall, steady)
        if abs(wall - wall_before - (steady - steady_before)) >= JUMP_MS_MIN or (
            steady - steady_before >= GAP_MS_MIN
        ):
            self._deaf_until = steady + grace_ms
        return steady >= self._deaf_until

    def was_ahead(self, wall: Millis, steady: Millis) -> int:
        """By how much the wall's clock proved to be ahead when we started: we were down for so much less."""
        ahead = min(self.down_ms, self.instant(steady) - wall - self._put_right_ms)
        if ahead < JUMP_MS_MIN:
            return 0
        self.down_ms -= ahead
        self._put_right_ms += ahead
        return ahead
