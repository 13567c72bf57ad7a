"""The one way to start a task, and how long one may hold the loop.

Whoever starts a task says what its death means for those whom it serves: one that ends by an exception would
otherwise be noticed by nobody, and they would wait for ever. Tasks within one block (`asyncio.TaskGroup`) end
that block, and need nothing of this.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from functools import partial
from typing import Any, Final, Self, TypeVar
from weakref import WeakKeyDictionary

import structlog

T = TypeVar("T")

logger = structlog.get_logger(__name__)

deaths: Final[Counter[str]] = Counter()
"""Times that work of this process ended by a defect of ours, by its name."""


TURN_S: Final = 0.003
"""How long the loop is taken before other work gets its turn."""
BACKGROUND_EVERY_S: Final = 0.015
"""While something is urgent, all work in the background together has one turn in so long: a fifth of the
loop."""


class Background:
    """Work of one loop for which nobody waits by the millisecond: it has its turns one after the other.

    There is one turn in each round of the loop, however many want one. While something is urgent, they wait
    until it is done, but one of them has a turn every `BACKGROUND_EVERY_S` all the same.
    """

    def __init__(self) -> None:
        self._urgent = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._coming: asyncio.Handle | None = None
        """Gives the next turn; there while somebody waits for one."""
        self._due_s = 0.0
        """When the next turn is due whatever is urgent, by the loop's time."""

    def turn(self) -> asyncio.Future[None]:
        """Done when whoever awaits it has its turn."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        if self._coming is None:
            self._plan()
        return future

    def begin_urgent(self) -> None:
        """Something is urgent until `end_urgent`; it may be called again before that."""
        self._urgent += 1
        if self._urgent == 1 and self._coming is not None:
            self._plan()

    def end_urgent(self) -> None:
        """It is not any more."""
        self._urgent -= 1
        if not self._urgent and self._coming is not None:
            self._plan()

    def _plan(self) -> None:
        if self._coming is not None:
            self._coming.cancel()
        # The loop's own time, so that in simulated time the same happens each time.
        loop = asyncio.get_running_loop()
        self._coming = loop.call_at(self._due_s, self._give) if self._urgent else loop.call_soon(self._give)

    def _give(self) -> None:
        self._coming = None
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(None)
                self._due_s = asyncio.get_running_loop().time() + BACKGROUND_EVERY_S
                break
        if self._waiting:
            self._plan()


_backgrounds: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, Background]] = WeakKeyDictionary()


def background() -> Background:
    """That of the running loop."""
    loop = asyncio.get_running_loop()
    found = _backgrounds.get(loop)
    if found is None:
        found = _backgrounds[loop] = Background()
    return found


class Urgent:
    """While the block lasts, somebody waits for what is done: work in the background waits for it.

    For what is short: a delivery until its receipt, a pass to consumers. What is done there must not itself
    wait for work in the background.
    """

    __slots__ = ("_background",)

    def __enter__(self) -> Self:
        self._background = background()
        self._background.begin_urgent()
        return self

    def __exit__(self, *_: object) -> None:
        self._background.end_urgent()


class Turns:
    """Gives other work of the loop its turn once some time was taken; not sooner, as each is waited for."""

    def __init__(self, *, is_urgent: bool = False) -> None:
        """It begins now.

        Args:
            is_urgent: others have one round of the loop each time, and no more: for what something urgent may
                be waiting for. Else the work is in the background.
        """
        self._time = asyncio.get_running_loop().time
        self._began_s = self._time()
        self._ends_s = self._began_s + TURN_S
        self._is_urgent = is_urgent

    @property
    def worked_s(self) -> float:
        """How long the work has taken, without the turns of others."""
        return self._time() - self._began_s

    async def rest(self) -> None:
        """Called every so often."""
        now_s = self._time()
        if now_s >= self._ends_s:
            if self._is_urgent:
                await asyncio.sleep(0)
            else:
                await background().turn()
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
