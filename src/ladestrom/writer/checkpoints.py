"""Keeps the board beside the log, so that a start reads the rest of the log only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ladestrom.ports.log import Log
from ladestrom.writer.hub import Hub


class Checkpoints:
    """Those of one log."""

    def __init__(
        self,
        log: Log,
        hub: Hub,
        registry_revision: Callable[[], int] = lambda: 0,
        *,
        every_s: float,
        every_entries: int,
    ) -> None:
        """None was taken yet.

        Args:
            log: where they are kept.
            hub: whose board it is.
            registry_revision: up to which all that was written to the registry is in the log.
            every_s: the next is due after so many seconds.
            every_entries: or after so many entries of the log, whichever is first.
        """
        self.seq = 0
        """Up to which entry the last one reaches."""
        self._log = log
        self._hub = hub
        self._registry_revision = registry_revision
        self._every_s = every_s
        self._every_entries = every_entries
        self._taken_s = 0.0

    async def when_due(self) -> None:
        """Takes one, and lets go of what the log need not keep any more, where it is time."""
        due_s = self._taken_s + self._every_s
        if asyncio.get_running_loop().time() < due_s and (
            self._hub.board.seq - self.seq < self._every_entries
        ):
            return
        await self.take()
        await self._log.trim()

    async def take(self) -> None:
        """Takes one, unless nothing happened since the last."""
        board, records, revision = self._hub.board, self._hub.records, self._registry_revision()
        seq = board.seq
        touched, stations, times = board.take_touched(), records.take_touched(), self._hub.times()
        if not touched and not stations and seq == self.seq:
            return
        try:
            # All as of now: of an EVSE that goes to another station while they are written, a crash would
            # leave that it is there, and not that it left.
            rows = list(records.rows(stations, self._log.first))
            await self._log.checkpoint(list(board.rows(touched)), seq, times, rows, revision)
        except BaseException:
            board.touch(touched)
            records.touch(stations)
            raise
        self.seq = seq
        self._taken_s = asyncio.get_running_loop().time()
