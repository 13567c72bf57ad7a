"""Answers for which many stations are looked at: few at a time, and each in turns of the loop.

However long one takes, it is of one position: that at which it began.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from litestar import Response

from ladestrom.core.view import StationState, View
from ladestrom.edges.answers import AnyRequest, json_answer, packed, takes_gzip
from ladestrom.tasks import Turns

WALKS_MAX: Final = 2
"""Under way at once, of one kind: each change looks at them. The others wait."""
STATIONS_PER_LOOK: Final = 20
"""Stations gone through between two looks at the clock: some 1 ms, where each is encoded."""
THREAD_BYTES_MIN: Final = 64 * 1024
"""Bodies from here on are compressed in a thread: some 2 ms."""
GZIP_LEVEL: Final = 4
GZIP_BYTES_MIN: Final = 1024


class Walks:
    """Those of one kind of request over a view."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._room = asyncio.Semaphore(WALKS_MAX)

    async def through(
        self,
        uuids: Callable[[], Sequence[str]],
        visit: Callable[[StationState], None],
        tag: Callable[[View], str],
        is_enough: Callable[[str], bool] = lambda _: False,
    ) -> tuple[str, str]:
        """Visits the states of stations in their order; gives the position of them all, and its tag.

        A station that is about to change is visited out of turn.

        Args:
            uuids: gives those to visit when it begins.
            visit: is given each.
            tag: of the view, for the answer.
            is_enough: whether to stop after this station; others may have been visited out of turn.
        """
        async with self._room:
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


async def large_answer(request: AnyRequest, body: bytes, tag: str | None) -> Response[Any]:
    """A body of JSON that may be large, compressed if the request allows it; needs option `COMPRESSED`."""
    zipped = None
    if len(body) >= GZIP_BYTES_MIN and takes_gzip(request):
        compress = partial(gzip.compress, body, GZIP_LEVEL, mtime=0)
        zipped = compress() if len(body) < THREAD_BYTES_MIN else await asyncio.to_thread(compress)
    return packed(request, body, zipped, "application/json", dict(json_answer(body, tag).headers))
