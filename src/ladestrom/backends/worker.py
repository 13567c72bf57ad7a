"""A thread that does one piece of work after another for the loop.

The standard library's executor makes two futures, a condition and a work item for each piece, and tells the
loop by way of all of them: for a short append that costs as much as the append itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import Any, Final, TypeVar

T = TypeVar("T")

_Job = tuple[Callable[[], Any], "asyncio.Future[Any]", asyncio.AbstractEventLoop]
_END: Final = None


class Worker:
    """One thread. Whoever makes it ends it; the process does not wait for what hangs in a system call."""

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        Thread(target=self._run, name=name, daemon=True).start()

    def do(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Has a piece of work done, after those that were handed in before; the future has what it gives.

        What nobody waits for any more when its turn comes is left out.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._jobs.put((work, future, loop))
        return future

    def end(self) -> None:
        """Ends the thread once what was handed in is done; does not wait for that."""
        self._jobs.put(_END)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not _END:
            work, future, loop = job
            if future.cancelled():
                continue
            result, error = None, None
            try:
                result = work()
            except BaseException as raised:  # noqa: BLE001 - whatever it is, it is told to who waits
                error = raised
            # Once the loop is closed, nobody waits.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(_settle, future, result, error)
            # Kept by nobody while the thread waits.
            del job, work, future, loop, result, error


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:  # noqa: ANN401 - any
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
