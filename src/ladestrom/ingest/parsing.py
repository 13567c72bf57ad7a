"""Large messages are read in a process of their own, so that nobody else waits for them.

Parsers are pure, and one call of theirs may take 200 ms. A thread would not help: it holds the interpreter's
lock for as long. Knows protocols by their targets (`module:attribute`). Must not know what a message means.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from contextlib import suppress
from functools import cache, partial
from multiprocessing import get_context, parent_process
from typing import Final, TypeVar

import structlog

from ladestrom import protocols
from ladestrom.core.shares import Held
from ladestrom.errors import LadestromError, Overloaded, TooManyRequests
from ladestrom.model import Operator
from ladestrom.protocols.delivery import Delivery, ParseLimits
from ladestrom.protocols.interfaces import Push, Request
from ladestrom.quoting import quoted

T = TypeVar("T")

logger = structlog.get_logger(__name__)

OWN_PROCESS_BYTES_MIN: Final = 256 * 1024
"""Bodies from here on. Below, the slowest parser (OICP, 50 ms for each MiB) takes some 12 ms."""
WAITING_MAX: Final = 64
"""Messages of all operators together. Each operator's bytes in memory are limited before."""
WAITING_PER_OPERATOR_MAX: Final = 16
"""Of these, messages that one operator pushed. A source that is fetched has one at a time."""
PARSE_S_MAX: Final = 30.0
"""For one message. The largest body of the slowest parser takes 0.5 s."""


class ParsingProcess:
    """Starts when the first large message comes; reads one message at a time.

    If it dies, the message that it was reading is refused, and the next one starts it anew. It ends with the
    server, however that ends.
    """

    def __init__(self) -> None:
        self.pid: int | None = None
        """None before the first large message, and after it has died."""
        self._pool: ProcessPoolExecutor | None = None
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._waiting_by = Held()
        """Of these, those that were pushed, by operator."""

    async def receive(
        self, target: str, request: Request, operator: Operator, limits: ParseLimits
    ) -> Delivery:
        """What the push protocol `target` makes of a request (`Push.receive`).

        Raises:
            TooManyRequests: too many large messages of the operator are waiting.
            LadestromError: as `read`.
        """
        own = self._waiting_by[operator.name]
        if own >= WAITING_PER_OPERATOR_MAX:
            raise TooManyRequests(
                f"{own} messages of {quoted(operator.name)} larger than {OWN_PROCESS_BYTES_MIN // 1024} KiB "
                "are waiting to be read; send this one again in a second"
            )
        self._waiting_by.take(operator.name)
        try:
            return await self._queued(partial(_receive, target, request, operator, limits))
        finally:
            self._waiting_by.give_back(operator.name)

    async def read(self, work: Callable[[], T], size_bytes: int) -> T:
        """What a parser, with its arguments, makes of a message. All of it has to be picklable.

        A message of less than `OWN_PROCESS_BYTES_MIN` is read here and now.

        Raises:
            Overloaded: too many large messages are waiting, or the process cannot be started. The same
                message may be sent again.
            LadestromError: the message cannot be read, or the process died of it.
        """
        return work() if size_bytes < OWN_PROCESS_BYTES_MIN else await self._queued(work)

    async def _queued(self, work: Callable[[], T]) -> T:
        if self._waiting >= WAITING_MAX:
            raise Overloaded(
                f"{self._waiting} messages larger than {OWN_PROCESS_BYTES_MIN // 1024} KiB are waiting to be "
                "read; send this one again in a second"
            )
        self._waiting += 1
        try:
            async with self._turn:
                return await self._read(work)
        finally:
            self._waiting -= 1

    async def _read(self, work: Callable[[], T]) -> T:
        try:
            future = asyncio.wrap_future(await self._submit(work))
            async with asyncio.timeout(PARSE_S_MAX):
                return await future
        except (BrokenExecutor, TimeoutError) as error:
            await self.stop()
            reason = f"took longer than {PARSE_S_MAX:g} s" if isinstance(error, TimeoutError) else "ended"
            what = "the process that reads large messages failed"
            logger.error(what, reason=reason)  # noqa: TRY400 - a trace may hold the message
            raise LadestromError(
                f"the process that reads large messages {reason} while it read this one; nothing of it was "
                "accepted. It must be sent in parts"
            ) from error
        except OSError as error:
            await self.stop()
            raise Overloaded(
                f"the process that reads large messages cannot be started ({error.strerror}); send the "
                "message again, or in parts"
            ) from error
        except asyncio.CancelledError:
            # It is still at work on this: the next message must not wait for that, nor share its fate.
            await self.stop()
            raise

    async def _submit(self, work: Callable[[], T]) -> Future[T]:
        if self._pool is not None:
            try:
                return self._pool.submit(work)
            except BrokenExecutor:
                # It died with nothing to do, which is not this message's fault.
                await self.stop()
        # A new interpreter: a copy of this one would have its locks, as they are, without its threads.
        self._pool = pool = ProcessPoolExecutor(1, get_context("spawn"), _begin)
        self.pid = await asyncio.wrap_future(pool.submit(os.getpid))
        return pool.submit(work)

    async def stop(self) -> None:
        """Ends the process at once; what it reads is refused. It starts anew if a large message comes."""
        pool, pid = self._pool, self.pid
        self._pool = self.pid = None
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if pool is not None:
            await asyncio.to_thread(pool.shutdown, cancel_futures=True)


def _begin() -> None:
    """In the process: it ends when the server does, not at the signals of a terminal."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(0)


@cache
def _push(target: str) -> Push:
    return protocols.push(protocols.Row(target=target, help=""))


def _receive(target: str, request: Request, operator: Operator, limits: ParseLimits) -> Delivery:
    return _push(target).receive(request, operator, limits)
