"""How long a log's writes have been waiting, and since when none has succeeded."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class WriteClock:
    """Of one log's writer."""

    def __init__(self) -> None:
        self._writes = 0
        self._waits_since_s = self._succeeded_s = time.monotonic()

    @contextmanager
    def running(self) -> Iterator[None]:
        """While a write is under way; it failed where the block raises."""
        if not self._writes:
            self._waits_since_s = time.monotonic()
        self._writes += 1
        try:
            yield
        finally:
            self._writes -= 1
            self._waits_since_s = time.monotonic()
        self._succeeded_s = self._waits_since_s

    @property
    def stalled_s(self) -> float:
        """For how long the writes under way have waited; 0 where nothing is being written."""
        return time.monotonic() - self._waits_since_s if self._writes else 0.0

    @property
    def idle_s(self) -> float:
        """Since the last write that succeeded."""
        return time.monotonic() - self._succeeded_s
