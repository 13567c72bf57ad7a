"""What all outputs write alike: instants, and the forms of ids and positions."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from ladestrom.model import Change, Millis

EPOCH: Final = "^[A-Za-z0-9]{1,32}$"
"""Regular expression of a log's epoch."""
POSITION: Final = "^[A-Za-z0-9]{1,32}-[0-9]{1,18}$"
"""That of a position, `EPOCH-SEQ`."""
STATION_UUID: Final = "^[A-Z]{3}_[0-9]{5,}$"
"""That of a station's uuid."""

MINUTE_MS: Final = 60_000
MINUTES_KEPT_MAX: Final = 10_000
"""Minutes whose text is kept, the last ones used: a week, in some 1.5 MB."""

Observed = Callable[[int, Change], Millis]
"""When the state that a change left, given its sequence, was last known to hold."""


def as_logged(seq: int, change: Change) -> Millis:
    """Where nothing is known of confirmations."""
    del seq
    return change.observed_at


def instant(at: Millis | None) -> str | None:
    """ISO 8601 in UTC, to the millisecond; None for what is not known."""
    if at is None or at < 0:
        return None
    minutes, millis = divmod(at, MINUTE_MS)
    return f"{_minute(minutes)}:{millis // 1000:02d}.{millis % 1000:03d}Z"


@lru_cache(MINUTES_KEPT_MAX)
def _minute(minutes: int) -> str:
    return datetime.fromtimestamp(minutes * 60, UTC).isoformat(timespec="minutes").removesuffix("+00:00")
