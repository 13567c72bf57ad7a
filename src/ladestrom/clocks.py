"""The clock for durations: how long something waits, rests, or may go on.

The time of day may be set to anything while the server runs, so a duration that is measured by it ends at
once, or not for years. It is for what people and other machines are told, and for what survives a restart.
"""

from __future__ import annotations

import time


def steady() -> int:
    """Milliseconds since some instant: it never goes back, and nobody sets it."""
    return time.monotonic_ns() // 1_000_000
