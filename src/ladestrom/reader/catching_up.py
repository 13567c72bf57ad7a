"""The newest states of what changed since a consumer's position: for those who come back, or fell behind."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final

from ladestrom import tasks
from ladestrom.model import Station
from ladestrom.reader.channel import CHUNK_BYTES_MAX
from ladestrom.reader.channels import COMPRESSED_FRAMES_MAX, PLAIN, Channels
from ladestrom.reader.subscriptions import Driver, Event, Phase, Subscriber
from ladestrom.reader.walks import STATIONS_PER_LOOK
from ladestrom.tasks import Turns

MISSED_AT_ONCE: Final = 50
"""Stations with changes that a consumer missed are gone through in one step, up to so many: some 3 ms."""


class CatchingUp:
    """Those who are far behind, in turns of the loop."""

    def __init__(self, channels: Channels, driver: Driver) -> None:
        self._channels = channels
        self._driver = driver
        self.behind: dict[Subscriber, None] = {}
        """In order of their turns; one that is paused leaves when it is due."""
        self._added = asyncio.Event()

    def put(self, subscriber: Subscriber) -> None:
        """The consumer is caught up in turns from now on."""
        self.behind[subscriber] = None
        self._added.set()

    def discard(self, subscriber: Subscriber) -> None:
        """The consumer has gone."""
        self.behind.pop(subscriber, None)

    async def run(self) -> None:
        while True:
            await self._added.wait()
            self._added.clear()
            turns = Turns()
            while self.behind:
                self._next()
                await turns.rest()

    def _next(self) -> None:
        """Goes on with the one whose turn it is; the others have theirs before it has the next."""
        subscriber = next(iter(self.behind))
        try:
            if not subscriber.sink.paused:
                self.some(subscriber, STATIONS_PER_LOOK)
        except Exception as error:  # noqa: BLE001 - a defect costs the one that met it
            tasks.note("catching up of a consumer", error)
            self._driver.interrupt(subscriber)
        self.behind.pop(subscriber, None)
        if not subscriber.is_at(Phase.REPLAYING):
            # What waited for a message was made into one: the others of its channel are due it, too.
            self._channels.wake.set()
        elif not subscriber.sink.paused:
            self.behind[subscriber] = None

    def some(self, subscriber: Subscriber, stations_max: int) -> int:
        """Writes one chunk of newest states; the last one takes the consumer into the window.

        Returns how many stations were looked at.
        """
        channel, view = subscriber.channel, self._channels.view
        subscription = channel.subscription
        dialect = self._channels.dialects[subscription.dialect]
        rows: list[bytes] = []
        size = looked = 0
        states = view.changed_since(subscriber.seq, stations_max) if subscription.updates else []
        left = deque(() if dialect.batched or not states else self._left(subscriber))
        for state in states:
            if size > CHUNK_BYTES_MAX:
                break
            looked += 1
            subscriber.seq = state.seq
            missed: list[bytes] = []
            while left and left[0][0] < state.seq:
                missed += self._leaving(subscriber, *left.popleft())
            missed += self._channels.missed(channel, state, subscriber.since, subscriber.resume_seq)
            rows += missed
            size += sum(map(len, missed))
        whole = looked == len(states) < stations_max
        if whole:
            self._channels.counts.caught_up += 1
            subscriber.seq = view.seq
            self._channels.flush(channel)
        stated = subscriber.resume_seq
        # Until the last chunk the consumer stands where it stood: rows of a station come together, and an
        # EVSE that changed before another one of its station would be skipped by whoever resumed between.
        if dialect.batched:
            ends = channel.chain if whole else stated
            messages = dialect.changes(view, stated, ends, rows) if rows or ends != stated else ()
            subscriber.resume_seq = ends
        else:
            messages = dialect.changes(view, stated, subscriber.seq, rows)
            subscriber.resume_seq = subscriber.seq
        if whole:
            subscriber.next = channel.end
            subscriber.on(Event.IN_STEP)
            subscriber.begin()
        if messages:
            is_one_of_many = subscriber in self.behind and not dialect.batched
            plainly = is_one_of_many or len(messages) > COMPRESSED_FRAMES_MAX
            framing = PLAIN[subscription.framing] if plainly else subscription.framing
            frames = b"".join(self._channels.frame(framing, one) for one in messages)
            self._channels.write(subscriber, frames, len(messages))
        return looked

    def _left(self, subscriber: Subscriber) -> Sequence[tuple[int, str, Station]]:
        """When stations left the selection that changed again since, in order, and what they were before.

        Others whose last change is older are told of before such a station. Whoever is cut off between, and
        comes back with the position of those, would not be told any more that it left.
        """
        view, selection = self._channels.view, subscriber.channel.subscription.selection
        if not selection.by_record:
            return ()
        found = []
        for uuid in view.relocated_since(subscriber.resume_seq):
            row, state = view.records[uuid], view.get(uuid)
            if state is None or selection.covers(row.station):
                continue
            last = next((each for each in reversed(row.former) if selection.covers(each.outline)), None)
            if last is not None and subscriber.resume_seq < last.until < state.seq:
                found.append((last.until, uuid, last.outline))
        return sorted(found)

    def _leaving(self, subscriber: Subscriber, until: int, uuid: str, before: Station) -> list[bytes]:
        """What is told of such a station, at the position of that change."""
        view, subscription = self._channels.view, subscriber.channel.subscription
        dialect, state = self._channels.dialects[subscription.dialect], view.get(uuid)
        if state is None:
            return []
        rows = dialect.relocated(view, subscription.selection, [before], state, subscriber.since, until)
        return [row for row, _, _ in rows]
