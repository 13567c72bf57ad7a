"""Answers for which many stations are looked at: few at a time, and each in turns of the loop.

However long one takes, it is of one position: that at which it began.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

from litestar import Response

from ladestrom.core.view import StationState, View
from ladestrom.credentials import Doorkeeper
from ladestrom.edges.answers import AnyRequest, json_answer, packed, takes_gzip
from ladestrom.errors import TooManyRequests
from ladestrom.tasks import Turns

WALKS_MAX: Final = 2
"""Under way at once, of one kind: each change looks at them. The others wait."""
WAITING_PER_KEY_MAX: Final = 64
"""Of one kind, with the one that is under way. They go one after the other, so that other keys wait for one,
not for all."""
STATIONS_PER_LOOK: Final = 20
"""Stations gone through between two looks at the clock: some 1 ms, where each is encoded."""
THREAD_BYTES_MIN: Final = 64 * 1024
"""Bodies from here on are compressed in a thread: some 2 ms."""
GZIP_LEVEL: Final = 4
GZIP_BYTES_MIN: Final = 1024


class _Turn:
    """A key's turn at its own walks."""

    __slots__ = ("lock", "waiting")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.waiting = 0
        """Walks that have or wait for it."""


class Walks:
    """Those of one kind of request over a view."""

    def __init__(self, view: View, door: Doorkeeper) -> None:
        self._view = view
        self._door = door
        self._room = asyncio.Semaphore(WALKS_MAX)
        self._turns: dict[str, _Turn] = {}
        """By key; of those that have walks."""

    async def through(
        self,
        key_id: str,
        uuids: Callable[[], Sequence[str]],
        visit: Callable[[StationState], None],
        tag: Callable[[View], str],
        is_enough: Callable[[str], bool] = lambda _: False,
    ) -> tuple[str, str]:
        """Visits the states of stations in their order; gives the position of them all, and its tag.

        A station that is about to change is visited out of turn.

        Args:
            key_id: whose walk it is.
            uuids: gives those to visit when it begins.
            visit: is given each.
            tag: of the view, for the answer.
            is_enough: whether to stop after this station; others may have been visited out of turn.

        Raises:
            TooManyRequests: too many walks of the key are waiting.
        """
        async with self._turn(key_id), self._room:
            turns, order = Turns(), uuids()
            position, made = str(self._view.position), tag(self._view)
            walk = self._view.walk(order, visit)
            try:
                for start in range(0, len(order), STATIONS_PER_LOOK):
                    walk.go(STATIONS_PER_LOOK)
                    if is_enough(order[min(start + STATIONS_PER_LOOK, len(order)) - 1]):
                        break
                    await turns.rest()
            finally:
                self._view.end(walk)
            return position, made

    @asynccontextmanager
    async def _turn(self, key_id: str) -> AsyncIterator[None]:
        turn = self._turns.setdefault(key_id, _Turn())
        if turn.waiting >= WAITING_PER_KEY_MAX:
            self._door.refuse(key_id)
            raise TooManyRequests(
                f"this key: {turn.waiting} requests for lists are waiting; send one after the other"
            )
        turn.waiting += 1
        try:
            async with turn.lock:
                yield
        finally:
            turn.waiting -= 1
            if not turn.waiting:
                del self._turns[key_id]


async def large_answer(request: AnyRequest, body: bytes, tag: str | None) -> Response[Any]:
    """A body of JSON that may be large, compressed if the request allows it; needs option `COMPRESSED`."""
    zipped = None
    if len(body) >= GZIP_BYTES_MIN and takes_gzip(request):
        compress = partial(gzip.compress, body, GZIP_LEVEL, mtime=0)
        zipped = compress() if len(body) < THREAD_BYTES_MIN else await asyncio.to_thread(compress)
    return packed(request, body, zipped, "application/json", dict(json_answer(body, tag).headers))
