"""Passes: what is made is written to each consumer, in slices between which others have their turn.

A pass goes out at once when the loop is idle; under load passes are spaced by a multiple of what they cost,
at most `gather_ms_min`, and up to `gather_ms_max` where the loop has other work: latency rises smoothly, and
no queue grows. Part of that time lies within the pass: reports that come are taken, and an append that is
under way is let through, so that the consumers that the pass has still to serve hear of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from ladestrom.reader.catching_up import CatchingUp
from ladestrom.reader.channel import Channel
from ladestrom.reader.channels import BATCH_ROWS_MAX, Channels
from ladestrom.reader.digests import Digests
from ladestrom.reader.encoding import Encoding
from ladestrom.reader.subscriptions import Driver, Phase, Subscriber
from ladestrom.tasks import Urgent

SPACING: Final = 4
"""Longest time between passes, in multiples of what one costs."""
GATHER_GROWS: Final = 1.25
"""By how much that time grows with each pass after which the loop was late, and shrinks with each other."""
GATHER_LATE_S: Final = 0.005
"""A loop that comes back so late has other work to do."""
SLICE_S: Final = 0.002
"""How long a pass writes before other work of the loop gets its turn: reports are not kept waiting, and what
they change reaches the consumers that the pass has still to serve."""
SLICE_CONSUMERS: Final = 128
"""Likewise: what was written goes out when the loop has its next turn, at some 8 us each."""
TURNS: Final = 2
"""Of the loop between slices, after what was written went out: a report that came is read and decided."""
APPEND_S_MAX: Final = 0.002
"""How long a slice waits for the append that is under way, which would wait for the slice: a disk that is
slower than that holds nobody up."""
BLOCK_CONSUMERS: Final = 64
"""Consumers between two looks at the clock."""


class Fanout:
    """To all consumers."""

    def __init__(
        self,
        channels: Channels,
        encoding: Encoding,
        digests: Digests,
        catching_up: CatchingUp,
        driver: Driver,
    ) -> None:
        self._channels = channels
        self._encoding = encoding
        self._digests = digests
        self._catching_up = catching_up
        self._driver = driver
        self._gather_s = channels.limits.gather_ms_min / 1000
        self._rested_s = 0.0
        """What this pass left to the loop's other work."""
        self._served = 0
        """Consumers written to in this slice."""
        self._slice_ends_s = 0.0

    async def run(self) -> None:
        while True:
            await self._channels.wake.wait()
            self._channels.wake.clear()
            began = self._channels.clock_s()
            self._rested_s = 0.0
            with Urgent():
                await self.once()
            cost = self._channels.clock_s() - began - self._rested_s
            self._encoding.raw_left = self._channels.limits.raw_items_max
            self._channels.set_alarm()
            await self._gather(cost)

    async def _gather(self, cost: float) -> None:
        """Waits before the next pass: longer the more else the loop has to do."""
        longest = self._channels.limits.gather_ms_max / 1000
        wait = max(0.0, min(cost * SPACING, self._gather_s, longest) - self._rested_s)
        began = self._channels.clock_s()
        await asyncio.sleep(wait)
        late = self._channels.clock_s() - began - wait
        if late > GATHER_LATE_S:
            self._gather_s = min(self._gather_s * GATHER_GROWS, longest)
        else:
            self._gather_s = max(self._gather_s / GATHER_GROWS, self._channels.limits.gather_ms_min / 1000)

    async def once(self) -> None:
        now = self._channels.clock_s()
        self._begin_slice(now)
        for channel in list(self._channels.all.values()):
            if not channel.subscribers:
                # It has gone since the pass began.
                continue
            if channel.rows:
                if channel.rows_due_s is None:
                    channel.rows_due_s = now + channel.subscription.batch_ms / 1000
                if channel.rows_due_s <= now or len(channel.rows) >= BATCH_ROWS_MAX:
                    self._channels.flush(channel)
            if channel.heartbeat_due_s <= now:
                self._digests.beat(channel)
            await self._serve(channel)
            channel.trim()
        self._channels.shared.clear()
        if not self._catching_up.behind:
            self._channels.view.forget_order()

    def _begin_slice(self, now_s: float) -> None:
        self._served = 0
        self._slice_ends_s = now_s + SLICE_S

    async def _serve(self, channel: Channel) -> None:
        """Writes to each consumer of a channel what it is due."""
        subscribers = list(channel.subscribers)
        end = channel.end
        for first in range(0, len(subscribers), BLOCK_CONSUMERS):
            if self._served >= SLICE_CONSUMERS or self._channels.clock_s() > self._slice_ends_s:
                await self._rest()
            block = subscribers[first : first + BLOCK_CONSUMERS]
            self._write_to(channel, block)
            self._served += len(block)
        if channel.end != end:
            # One that caught up had what waits made into a message; those served before it are due it, too.
            self._channels.wake.set()

    async def _rest(self) -> None:
        """Gives the loop's other work its turn; another slice begins."""
        await asyncio.sleep(0)
        began = self._channels.clock_s()
        for _ in range(TURNS):
            await asyncio.sleep(0)
        append = None if self._channels.writer is None else self._channels.writer.appending
        if append is not None and self._rested_s < self._gather_s:
            await asyncio.wait((append,), timeout=APPEND_S_MAX)
        ended = self._channels.clock_s()
        self._rested_s += ended - began
        self._begin_slice(ended)

    def _write_to(self, channel: Channel, subscribers: Sequence[Subscriber]) -> None:
        # Most stand at the same place, and are due the same bytes: they are asked for nothing else.
        live, end = Phase.LIVE, channel.end
        place, data, following, resume_seq = end, b"", end, 0
        for subscriber in subscribers:
            sink = subscriber.sink
            if sink.paused:
                continue
            stood = subscriber.next
            if stood == end and subscriber.phase is live:
                # Nothing is due; most passes during an import are for other channels, or for none.
                continue
            if stood == place != end and subscriber.phase is live:
                subscriber.next, subscriber.resume_seq = following, resume_seq
                self._channels.counts.bytes_out += len(data)
                sink.write(data)
                continue
            self._driver.pump(subscriber)
            if channel.start <= stood < end == channel.end:
                data, following, resume_seq = channel.chunk(stood)
                place = stood if following == end else end
