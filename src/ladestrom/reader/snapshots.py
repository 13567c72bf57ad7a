"""Snapshots: made once for all who join, the large ones in turns of the loop."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Final

import msgspec

from ladestrom.formats.dialect import Drawing, Message
from ladestrom.model import Position
from ladestrom.reader.channel import Channel, Snapshot
from ladestrom.reader.channels import COMPRESSED_FRAMES_MAX, PLAIN, Channels
from ladestrom.reader.subscriptions import Driver, Event, Subscriber
from ladestrom.reader.walks import Walks, Works
from ladestrom.tasks import Turns

SNAPSHOT_REUSE: Final = 20
"""How long a snapshot serves those who join, in multiples of what it cost to make; its age is made up for
by the frames that follow it."""
JOINED_BYTES_MAX: Final = 64 * 1024
"""Frames that are written at once; a larger one is not joined with others."""
SMALL_BYTES_MAX: Final = 1024
"""Of a message, where a snapshot has one for each EVSE: many of these are not compressed one by one."""


class Snapshots:
    """Those of all channels."""

    def __init__(self, channels: Channels, walks: Walks, driver: Driver) -> None:
        self._channels = channels
        self._walks = walks
        self._driver = driver
        self.works = Works()
        """Snapshots that are being made, for those who wait for them."""

    def ask(self, subscriber: Subscriber) -> None:
        """The consumer takes the snapshot that is there, or a small one at once; else it waits for one."""
        channel = subscriber.channel
        making = self.works.get(channel)
        is_making = making is not None and not making.done()
        made = self._good(channel)
        if made is None and not is_making:
            made = self._small(channel)
        if made is not None:
            self.take(subscriber, made)
            return
        subscriber.on(Event.WAITS)
        # Frames make up for the age of one that was begun before; where no updates are wanted, nothing does.
        seq = 0 if channel.subscription.updates else self._channels.view.seq
        channel.waiting[subscriber] = seq
        if not is_making:
            died = partial(self._interrupt_waiting, channel)
            self.works.start(channel, self._make(channel), "snapshot", died)

    def _good(self, channel: Channel) -> Snapshot | None:
        """The channel's newest one, where it still serves those who join."""
        made = channel.snapshot
        if made is None:
            return None
        # Where no updates are wanted, no frames make up for its age. Nothing makes up for confirmations.
        is_young = self._channels.clock_s() < made.good_until_s
        if not is_young and self._channels.confirmations(channel) != made.confirmations:
            return None
        updates = channel.subscription.updates
        if made.seq == self._channels.view.seq or (updates and (made.next == channel.end or is_young)):
            return made
        return None

    def _small(self, channel: Channel) -> Snapshot | None:
        """A snapshot of now; None where it has to be made in turns."""
        began_s = self._channels.clock_s()
        begun, drawing = self._begun(channel)
        if not self._walks.few(channel, drawing.add):
            return None
        frames = [
            self._channels.frame(_framing(channel, message, number), message)
            for number, message in enumerate(drawing.messages())
        ]
        return self._finished(channel, begun, frames, self._channels.clock_s() - began_s)

    def _begun(self, channel: Channel) -> tuple[Snapshot, Drawing]:
        """A snapshot of now: its place, and what will be its content."""
        self._channels.flush(channel)
        subscription = channel.subscription
        dialect = self._channels.dialects[subscription.dialect]
        seq = channel.chain if dialect.batched else self._channels.view.seq
        begun = Snapshot((), channel.end, 0.0, seq, self._channels.confirmations(channel))
        return begun, dialect.snapshot(self._channels.view, subscription.selection, seq)

    def _finished(
        self, channel: Channel, begun: Snapshot, frames: Iterable[bytes], cost_s: float
    ) -> Snapshot:
        """It is kept for others, unless it is out of date already."""
        good_until_s = self._channels.clock_s() + cost_s * SNAPSHOT_REUSE
        made = msgspec.structs.replace(begun, frames=tuple(_joined(frames)), good_until_s=good_until_s)
        if made.next >= channel.start:
            channel.snapshot = made
        return made

    async def _make(self, channel: Channel) -> None:
        """Makes snapshots until nobody waits for one: who comes too late for one gets the next."""
        async with self._walks.room:
            while channel.waiting:
                turns = Turns()
                begun, drawing = self._begun(channel)
                await self._walks.visit(channel, drawing.add, turns)
                frames = []
                for number, message in enumerate(drawing.messages()):
                    framing = _framing(channel, message, number)
                    frames.append(await self._channels.large_frame(framing, message))
                    await turns.rest()
                made = self._finished(channel, begun, frames, turns.worked_s)
                for subscriber, needed in list(channel.waiting.items()):
                    if subscriber in channel.waiting and made.seq >= needed:
                        self.take(subscriber, made)
                        await turns.rest()

    def take(self, subscriber: Subscriber, made: Snapshot) -> None:
        """The consumer gets a snapshot, and stands where it was begun."""
        channel = subscriber.channel
        is_passed = made.next < channel.start
        if is_passed and self._driver.unresumable(
            Position(self._channels.view.epoch, made.seq),
            channel.subscription,
            every=subscriber.every,
        ):
            # What followed it cannot be told any more. It goes on waiting.
            return
        channel.waiting.pop(subscriber, None)
        for number, frame in enumerate(made.frames):
            # They count as one message.
            self._channels.write(subscriber, frame, 0 if number else 1)
        if is_passed:
            self._driver.resume(subscriber, made.seq)
        else:
            self._driver.go_live(subscriber, made.next, made.seq)

    def _interrupt_waiting(self, channel: Channel, _: Exception) -> None:
        for subscriber in list(channel.waiting):
            self._driver.interrupt(subscriber)


def _framing(channel: Channel, message: Message, number: int) -> str:
    """How a message of a snapshot is framed, by its place in it."""
    framing = channel.subscription.framing
    is_one_of_many = number >= COMPRESSED_FRAMES_MAX and len(message.payload) <= SMALL_BYTES_MAX
    return PLAIN[framing] if is_one_of_many else framing


def _joined(frames: Iterable[bytes]) -> Iterator[bytes]:
    """Frames as they are written: many small ones at once."""
    gathered: list[bytes] = []
    size = 0
    for frame in frames:
        if gathered and size + len(frame) > JOINED_BYTES_MAX:
            yield b"".join(gathered)
            gathered, size = [], 0
        gathered.append(frame)
        size += len(frame)
    if gathered:
        yield b"".join(gathered)
