"""What one process does again and again, until it ends or gives a role up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from ladestrom import tasks
from ladestrom.housekeeping import Chore, keep


class Chores:
    """Chores that are kept until they are stopped together."""

    def __init__(self, died: Callable[[Exception], None]) -> None:
        """None is kept yet; `died` is told where one ends by a defect of ours."""
        self._died = died
        self._stopping = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, chores: Iterable[Chore]) -> None:
        """Keeps these, too."""
        for chore in chores:
            self._tasks.append(tasks.start(keep(chore, self._stopping), "housekeeping", self._died))

    async def stop(self, seconds_max: float) -> None:
        """Ends them between two rounds: broken off in a query, one would leave the store locked.

        What is under way after so many seconds is broken off all the same.
        """
        self._stopping.set()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds_max)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
