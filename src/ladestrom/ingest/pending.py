"""Deliveries that are in memory, by operator: from when their bodies are read until they are answered.

Knows sizes and turns. Must not know what a delivery is.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class _Share:
    """One operator's."""

    __slots__ = ("used_bytes", "waiting")

    def __init__(self) -> None:
        self.used_bytes = 0
        self.waiting: deque[tuple[int, asyncio.Future[None]]] = deque()


class PendingBytes:
    """How many bytes of deliveries each operator has in memory. What is more waits for its turn, unread."""

    def __init__(self, per_operator_max: int) -> None:
        self._per_operator_max = per_operator_max
        self._shares: dict[str, _Share] = {}

    def __len__(self) -> int:
        """Operators with deliveries in memory."""
        return len(self._shares)

    @asynccontextmanager
    async def held(self, operator: str, size: int) -> AsyncIterator[None]:
        """Counts a delivery of this size while a block runs, which begins when there is room for it."""
        # What is empty counts, too, so that the operator is remembered while it is held.
        size = max(size, 1)
        await self.take(operator, size)
        try:
            yield
        finally:
            self.give_back(operator, size)

    async def take(self, operator: str, size: int) -> None:
        """Counts a delivery; returns when there is room. One alone always has room."""
        share = self._shares.setdefault(operator, _Share())
        if not share.waiting and self._has_room(share, size):
            share.used_bytes += size
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        share.waiting.append((size, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self.give_back(operator, size)
            else:
                self._let_in(operator, share)
            raise

    def give_back(self, operator: str, size: int) -> None:
        """The delivery was answered."""
        share = self._shares[operator]
        share.used_bytes -= size
        self._let_in(operator, share)

    def _has_room(self, share: _Share, size: int) -> bool:
        return not share.used_bytes or share.used_bytes + size <= self._per_operator_max

    def _let_in(self, operator: str, share: _Share) -> None:
        """Gives those a turn who fit now, in order; those who left are dropped."""
        while share.waiting:
            size, turn = share.waiting[0]
            if not turn.done():
                if not self._has_room(share, size):
                    return
                share.used_bytes += size
                turn.set_result(None)
            share.waiting.popleft()
        if not share.used_bytes and self._shares.get(operator) is share:
            del self._shares[operator]
