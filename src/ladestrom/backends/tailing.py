"""What every log that lives in this process shares: the newest entries in memory, and their readers."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from itertools import islice
from typing import Final

from ladestrom.errors import LadestromError, LogTrimmed
from ladestrom.model import Entry

RECENT_ENTRIES_MAX: Final = 10_000
"""About 5 MB; a reader further behind reads the log itself. Two seconds at 5,000 changes/s."""

Read = Callable[[int, int], Awaitable[Sequence[Entry]]]


class Recent:
    """The newest durable entries, and a wake-up for those who follow them."""

    def __init__(self, last: int) -> None:
        self.last = last
        self._entries: deque[Entry] = deque(maxlen=RECENT_ENTRIES_MAX)
        self._waiting: list[asyncio.Future[None]] = []
        self._tails: dict[object, int] = {}
        """Readers that follow, and the last entry that each was given."""
        self._end: LadestromError | None = None

    @property
    def needed_after(self) -> int:
        """Entries after this one are still to be given to a reader that follows: they must not be dropped."""
        return min(self._tails.values(), default=self.last)

    def add(self, entries: Sequence[Entry]) -> None:
        """Takes entries that have just become durable."""
        self._entries.extend(entries)
        self.last = entries[-1].seq
        self._wake()

    def skip_to(self, last: int) -> None:
        """Knows that entries up to here are durable, but not what they are."""
        if last == self.last:
            return
        self._entries.clear()
        self.last = last
        self._wake()

    def end(self, error: LadestromError) -> None:
        """Nothing follows any more: those who follow, and who will, are told why."""
        self._end = error
        self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def tail(self, after: int, read: Read) -> AsyncIterator[Sequence[Entry]]:
        """Every entry after `after`; `read(after, limit)` gives those that are no longer in memory.

        Raises:
            LogTrimmed: the next entry is no longer kept. None is ever skipped.
        """
        reader = object()
        try:
            while True:
                self._tails[reader] = after
                if self._end is not None:
                    raise self._end
                if after >= self.last:
                    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                    self._waiting.append(future)
                    await future
                    continue
                oldest = self._entries[0].seq if self._entries else self.last + 1
                if after + 1 >= oldest:
                    # From the right: a reader that keeps up must not pay for walking past what it has.
                    batch: Sequence[Entry] = list(islice(reversed(self._entries), self.last - after))[::-1]
                else:
                    batch = await read(after, RECENT_ENTRIES_MAX)
                if not batch or batch[0].seq != after + 1:
                    raise LogTrimmed(f"entry {after + 1} is no longer in the log, which is at {self.last}")
                self._tails[reader] = after = batch[-1].seq
                yield batch
        finally:
            self._tails.pop(reader, None)
