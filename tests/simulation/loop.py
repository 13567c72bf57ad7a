"""An event loop whose time is simulated: nothing sleeps, the clock jumps to the next timer.

Knows asyncio and nothing of what runs on it. What it runs must use the loop's time alone, and no sockets,
threads or processes.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Mapping
from typing import Any, Final

TURN_S: Final = 1e-7
"""What a turn of the loop takes; with none, a timer that fires a rounding error early would never be due."""
WAIT_S_MIN: Final = 1e-4
TURNS_MAX: Final = 20_000
"""Turns of the loop without a wait of at least `WAIT_S_MIN`: more is a loop that waits for nothing."""


class Stuck(Exception):
    """Nothing will ever happen again, or the same for ever."""


class Jumps(selectors.BaseSelector):
    """A selector that waits by moving its clock."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._turns = 0
        self._keys: dict[Any, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """Notes the loop's own pipe, which never has anything to say."""
        key = self._keys[fileobj] = selectors.SelectorKey(fileobj, 0, events, data)
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        """Forgets it."""
        return self._keys.pop(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        """What was registered."""
        return self._keys

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Lets so many seconds pass, at once.

        Raises:
            Stuck: it would wait for ever, or has gone round `TURNS_MAX` times without waiting.
        """
        if timeout is None:
            raise Stuck("nothing is under way, and no timer is set")
        self.now_s += timeout + TURN_S
        if timeout > WAIT_S_MIN:
            self._turns = 0
        self._turns += 1
        if self._turns > TURNS_MAX:
            self._turns = 0
            raise Stuck(f"{TURNS_MAX} turns without waiting, at {self.now_s:.3f} s")
        return []


class SimulatedLoop(asyncio.SelectorEventLoop):
    """Runs what is due, then lets time jump to what is due next."""

    def __init__(self) -> None:
        self._jumps = Jumps()
        super().__init__(self._jumps)

    def time(self) -> float:
        """Simulated seconds since the beginning."""
        return self._jumps.now_s

    def spend(self, seconds: float) -> None:
        """Work that takes so long: time passes, and nothing else runs meanwhile."""
        self._jumps.now_s += seconds
