"""How old entries are, and which may be dropped for it: by a clock that a wrong time of day does not move.

Trimming by the time of day loses a log: a clock that is eight days ahead for a minute makes every entry
older than a week. So the log tells ages by a clock of its own. It begins with the time of day where there
is no entry yet, and then counts the time that passes while a log is open (suspension included), whatever is
done to the time of day meanwhile. Stamps therefore never go back.

After a restart it goes on from the newest entry: a time of day that is wrong then cannot be told from a
server that was off for as long. Who is off keeps entries for longer. That costs room only, and the limit of
size holds all the same, as the disk must not fill up.

Stamps that an earlier version wrote may go back and forth, or far ahead. Entries go in their order only,
and one whose stamp is ahead of the clock counts as old, as it was written under a clock that was wrong. The
cut moves on from the oldest entry only `CUT_SPEED` times as fast as time passes: a gap in the stamps, or a
retention that was lowered by mistake, costs a day of history an hour.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from ladestrom.model import Millis

CUT_SPEED: Final = 24
"""An hour of running lets at most a day of entries go for their age."""
STEP_BACK_MS_MAX: Final = 300_000
"""A corrected clock steps back by seconds; more, and it was wrong before or is wrong now."""
DAY_MS: Final = 86_400_000
HOUR_MS: Final = 3_600_000


def elapsed_ms() -> int:
    """Time since some instant, suspension included where the system counts it; it never goes back."""
    return time.clock_gettime_ns(_CLOCK) // 1_000_000


_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class AgeClock:
    """The clock by which one open log stamps its entries and tells how old they are."""

    def __init__(
        self,
        time_of_day: Millis,
        oldest_at: Millis | None,
        newest_at: Millis | None,
        elapsed: Callable[[], int],
    ) -> None:
        """Begins at the newest stamp; at the time of day where there is none.

        Args:
            time_of_day: now, by the system.
            oldest_at: stamp of the oldest entry; None where there is none.
            newest_at: stamp of the newest entry.
            elapsed: milliseconds since some instant.
        """
        self._began_at = time_of_day if newest_at is None else newest_at
        self._oldest_at = self._began_at if oldest_at is None else min(oldest_at, self._began_at)
        self._elapsed = elapsed
        self._origin = elapsed()

    def now(self) -> Millis:
        """The stamp of an entry that is written now."""
        return self._began_at + self._elapsed() - self._origin

    def cut(self, retention_ms: int) -> Millis:
        """Entries with an earlier stamp may be dropped for their age."""
        passed = self._elapsed() - self._origin
        return min(self._began_at + passed - retention_ms, self._oldest_at + CUT_SPEED * passed)


def clock_doubt(now: Millis, newest_at: Millis | None, retention_ms: int) -> str:
    """What is odd about the time of day beside the newest entry's receive time; empty where nothing is."""
    if newest_at is None or -STEP_BACK_MS_MAX <= now - newest_at <= retention_ms:
        return ""
    hours = abs(now - newest_at) / HOUR_MS
    shown = f"{hours / 24:,.0f} days" if hours >= 48 else f"{hours:,.1f} hours"  # noqa: PLR2004 - two days
    if now < newest_at:
        return f"the clock is {shown} behind the newest entry of the log: set it, or it was ahead before"
    return (
        f"the newest entry of the log is {shown} old: unless the server was off for so long, "
        "the clock is wrong"
    )
