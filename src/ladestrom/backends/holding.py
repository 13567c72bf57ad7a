"""Holds the lease of a log: does what `core.tenure` decides, again and again.

Knows clocks and the record; must not know what the writer does while it holds it. That two never both write
is the log's business.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import structlog

from ladestrom import tasks
from ladestrom.core.tenure import Tenure
from ladestrom.errors import LogFailure
from ladestrom.ports.lease import Held, Lease

BEAT_S: Final = 1.0
"""Between two writes of the holder, and half of it between two looks of a standby."""
RELEASE_S_MAX: Final = 2.0

logger = structlog.get_logger(__name__)


class Holding:
    """The lease of one log, as one process has it or waits for it."""

    def __init__(self, lease: Lease, tenure: Tenure) -> None:
        """Nothing was looked at yet."""
        self.lost: Callable[[], None] | None = None
        """Is told, once, when somebody else has it."""
        self._lease = lease
        self._tenure = tenure
        self._keeper: asyncio.Task[None] | None = None

    @property
    def seen(self) -> Held:
        """The record as it was seen last."""
        return self._tenure.seen

    @property
    def holds(self) -> bool:
        """Whether it is ours, as far as is known."""
        return self._tenure.holds

    @property
    def term(self) -> int:
        """With which this process may take the log, once it holds the lease."""
        return self._tenure.seen.term

    async def attempt(self, now_s: float, log_term: int = 0) -> bool:
        """Looks at the record, and writes it where it is ours or free; whether it is ours then.

        Raises:
            LogFailure: it cannot be read or written now.
        """
        held = await self._lease.read()
        wanted = self._tenure.look(held, now_s, log_term)
        if wanted is not None:
            done = await self._lease.swap(held, wanted)
            self._tenure.wrote(wanted, done=done, now_s=now_s)
        return self._tenure.holds

    def keep(self) -> None:
        """Writes the record each second from now on, until somebody else has it."""
        self._keeper = tasks.start(self._keep(), "lease", lambda _: self._tell_lost())

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(BEAT_S)
            try:
                # Not taken anew where it was lost: the log has the term of before.
                if (await self._lease.read()).run == self._tenure.run and await self.attempt(
                    time.monotonic()
                ):
                    continue
            except LogFailure as error:
                logger.debug("the lease cannot be renewed now", error=str(error))
                continue
            logger.error("another server has the lease of the log", holder=self.seen.holder, term=self.term)
            self._tell_lost()
            return

    def _tell_lost(self) -> None:
        if self.lost is not None:
            self.lost()

    async def close(self) -> None:
        """Lets the next one have it at once, if it is ours."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
        try:
            released = self._tenure.released()
            if released is not None:
                with suppress(LogFailure, TimeoutError):
                    async with asyncio.timeout(RELEASE_S_MAX):
                        await self._lease.swap(self._tenure.seen, released)
        finally:
            await self._lease.close()
