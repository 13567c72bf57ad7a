"""Deliveries that are in memory, by operator: from when their bodies are read until they are answered.

Knows sizes and turns. Must not know what a delivery is.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import AbstractAsyncContextManager


class _Share:
    """One operator's."""

    __slots__ = ("used_bytes", "waiting")

    def __init__(self) -> None:
        self.used_bytes = 0
        self.waiting: deque[tuple[int, asyncio.Future[None]]] = deque()


class _Held:
    """A block in which a delivery is counted; made of a generator it would cost ten times as much."""

    __slots__ = ("_operator", "_pending", "_size")

    def __init__(self, pending: PendingBytes, operator: str, size: int) -> None:
        self._pending = pending
        self._operator = operator
        self._size = size

    async def __aenter__(self) -> None:
        await self._pending.take(self._operator, self._size)

    async def __aexit__(self, *_: object) -> None:
        self._pending.give_back(self._operator, self._size)


class PendingBytes:
    """How many bytes of deliveries each operator has in memory. What is more waits for its turn, unread."""

    def __init__(self, per_operator_max: int) -> None:
        self._per_operator_max = per_operator_max
        self._shares: dict[str, _Share] = {}

    def __len__(self) -> int:
        """Operators with deliveries in memory."""
        return len(self._shares)

    def held(self, operator: str, size: int) -> AbstractAsyncContextManager[None]:
        """Counts a delivery of this size while a block runs, which begins when there is room for it."""
        # What is empty counts, too, so that the operator is remembered while it is held.
        return _Held(self, operator, max(size, 1))

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
