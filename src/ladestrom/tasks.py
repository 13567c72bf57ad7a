"""The one way to start a task, and how long one may hold the loop.

Whoever starts a task says what its death means for those whom it serves: one that ends by an exception would
otherwise be noticed by nobody, and they would wait for ever. Tasks within one block (`asyncio.TaskGroup`) end
that block, and need nothing of this.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from functools import partial
from typing import Any, Final, TypeVar

import structlog

T = TypeVar("T")

logger = structlog.get_logger(__name__)

deaths: Final[Counter[str]] = Counter()
"""Times that work of this process ended by a defect of ours, by its name."""


TURN_S: Final = 0.003
"""How long the loop is taken before other work gets its turn."""


class Turns:
    """Gives other work of the loop its turn once some time was taken; not sooner, as each is waited for."""

    def __init__(self) -> None:
        # The loop's own time, so that in simulated time the same happens each time.
        self._time = asyncio.get_running_loop().time
        self._began_s = self._time()
        self._ends_s = self._began_s + TURN_S

    @property
    def worked_s(self) -> float:
        """How long the work has taken, without the turns of others."""
        return self._time() - self._began_s

    async def rest(self) -> None:
        """Called every so often."""
        now_s = self._time()
        if now_s >= self._ends_s:
            await asyncio.sleep(0)
            resumed_s = self._time()
            self._began_s += resumed_s - now_s
            self._ends_s = resumed_s + TURN_S


def parts(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """What is gone through between two turns of others: so many at a time, in order."""
    return (items[first : first + size] for first in range(0, len(items), size))


def start(work: Coroutine[Any, Any, T], name: str, died: Callable[[Exception], None]) -> asyncio.Task[T]:
    """Starts a task.

    Args:
        work: what it does.
        name: what it is, for the log and the metrics; the same for all of its kind.
        died: ends what the task serves, or serves it otherwise. It is called once, after the task ended by an
            exception, which is logged and counted already.
    """
    task = asyncio.create_task(work, name=name)
    task.add_done_callback(partial(_ended, died))
    return task


def awaited(error: Exception) -> None:
    """For tasks that somebody awaits at all times: who does gets the exception, and needs nothing else."""
    del error


def _ended(died: Callable[[Exception], None], task: asyncio.Task[Any]) -> None:
    error = None if task.cancelled() else task.exception()
    if isinstance(error, Exception):
        note(task.get_name(), error)
        died(error)


def note(name: str, error: Exception, **what: str) -> None:
    """Logs and counts a defect of ours that ended some work, which is begun anew or told of."""
    deaths[name] += 1
    logger.error("a task ended with an error", task=name, exc_info=error, **what)
