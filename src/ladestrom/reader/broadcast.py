"""The read side: follow the log, make each change's bytes once, write to each consumer once a pass.

Readers learn of changes from the log alone, so nobody sees what is not durable. The one exception:
`status:raw` keep-alives come from the hub by a lossy side channel (`offer`), are dropped first, and counted.
Knows where each consumer stands, and has it served by the loop that its phase says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import Final

import structlog

from ladestrom import tasks
from ladestrom.core.selection import EVERYTHING
from ladestrom.core.view import View
from ladestrom.errors import LogDamaged, LogFailure
from ladestrom.formats.dialect import Dialect, Message
from ladestrom.model import Entry, Millis, Position
from ladestrom.ports.log import Followed
from ladestrom.ports.signals import Signals
from ladestrom.reader.catching_up import MISSED_AT_ONCE, CatchingUp
from ladestrom.reader.channels import BroadcastLimits, Channels, Framing
from ladestrom.reader.digests import Digests
from ladestrom.reader.encoding import Encoding
from ladestrom.reader.fanout import Fanout
from ladestrom.reader.replay import READ_AGAIN_S_MIN, Replays
from ladestrom.reader.seeking import Seeks
from ladestrom.reader.snapshots import Snapshots
from ladestrom.reader.subscriptions import Event, Phase, Sink, Subscriber, Subscription
from ladestrom.reader.walks import Walks
from ladestrom.tasks import Turns

logger = structlog.get_logger(__name__)

ENTRIES_PER_TURN_MAX: Final = 500
"""Entries taken before other work of the loop gets its turn, with one channel: some 5 ms."""
READ_AGAIN_S_MAX: Final = 5.0


class Broadcast:
    """Follows one log and serves any number of consumers (`subscriptions.Driver`)."""

    def __init__(
        self,
        log: Followed,
        view: View,
        dialects: Mapping[str, Dialect],
        framings: Mapping[str, Framing],
        limits: BroadcastLimits | None = None,
        clock_s: Callable[[], float] = perf_counter,
        clock: Callable[[], Millis] = lambda: 0,
    ) -> None:
        self.view = view
        self.followed: Callable[[Sequence[Entry]], None] | None = None
        """Is given the same entries as the view, in the same step of the loop."""
        self.wanted = False
        """Whether somebody wants raw messages (`ports.Listener`)."""
        self.fault = ""
        """Why consumers are not told of what is in the log; empty while they are."""
        self._log = log
        self._channels = Channels(view, dialects, framings, limits or BroadcastLimits(), clock_s, clock)
        walks = Walks(view)
        self._encoding = Encoding(self._channels)
        self._digests = Digests(self._channels, walks)
        self._snapshots = Snapshots(self._channels, walks, self)
        self._replays = Replays(self._channels, walks, log, self)
        self._seeks = Seeks(self._channels, log, self)
        self._catching_up = CatchingUp(self._channels, self)
        self._fanout = Fanout(self._channels, self._encoding, self._digests, self._catching_up, self)
        self.counts = self._channels.counts
        self.take = self._encoding.take
        self.offer = self._encoding.offer
        self.confirmed = view.confirm
        self.check_room = self._channels.check_room

    @property
    def limits(self) -> BroadcastLimits:
        """What is bounded; what is set anew holds from now on."""
        return self._channels.limits

    @limits.setter
    def limits(self, limits: BroadcastLimits) -> None:
        self._channels.limits = limits

    @property
    def writer(self) -> Signals | None:
        """Whose appends passes let through."""
        return self._channels.writer

    @writer.setter
    def writer(self, writer: Signals | None) -> None:
        self._channels.writer = writer

    @property
    def consumers(self) -> int:
        """Consumers attached now."""
        return sum(len(channel.subscribers) for channel in self._channels.all.values())

    @property
    def channels(self) -> int:
        """Different subscriptions now."""
        return len(self._channels.all)

    @property
    def history_seq(self) -> int:
        """Oldest position from which each change can be replayed."""
        return self._log.first - 1

    # -- consumers ---------------------------------------------------------------------------------------

    def join(
        self,
        sink: Sink,
        subscription: Subscription,
        *,
        since: Position | Millis | None,
        snapshot: bool = True,
        every: bool = False,
        first: Sequence[Message] = (),
    ) -> Subscriber:
        """Attaches a consumer; it is told what it is due: missed changes, or a snapshot, and what follows.

        With a `since` that can be resumed, a position or an instant, it gets what changed after it: the
        newest states, or with `every` each change; else a snapshot where it wants one. `first` is written
        before all that.

        Raises:
            Overloaded: too many different selections are in use; this one may be tried again later.
        """
        channel = self._channels.of(subscription)
        subscriber = Subscriber(sink, channel, every=every)
        channel.subscribers.add(subscriber)
        self.wanted = self.wanted or subscription.raw
        for message in first:
            self._channels.write(subscriber, self._channels.frame(subscription.framing, message))
        if isinstance(since, int):
            if self.is_kept(since):
                self._seeks.start(subscriber, since, snapshot=snapshot)
            else:
                self.restart(subscriber, "expired", snapshot=snapshot)
            return subscriber
        reason = None if since is None else self.unresumable(since, subscription, every=every)
        if since is not None and reason is None:
            self.resume(subscriber, since.seq)
            return subscriber
        self.restart(subscriber, reason, snapshot=snapshot)
        return subscriber

    def restart(self, subscriber: Subscriber, reason: str | None, *, snapshot: bool) -> None:
        """The consumer begins anew, with a snapshot where it wants one; `reason`: why it cannot resume."""
        channel = subscriber.channel
        subscription = channel.subscription
        for message in (
            () if reason is None else self._channels.dialects[subscription.dialect].reset(self.view, reason)
        ):
            self._channels.write(subscriber, self._channels.frame(subscription.framing, message))
        self._channels.flush(channel)
        if snapshot:
            self._snapshots.ask(subscriber)
        else:
            self.go_live(subscriber, channel.end, self.view.seq)

    def go_live(self, subscriber: Subscriber, number: int, seq: int) -> None:
        """The consumer stands at a position, and before a frame of the window."""
        subscriber.on(Event.IN_STEP)
        subscriber.next = number
        subscriber.resume_seq = seq
        subscriber.begin()
        self.pump(subscriber)

    def select(self, subscriber: Subscriber, subscription: Subscription) -> Subscriber:
        """Gives a consumer of version 2 another selection: `selected`, then its snapshot.

        Raises:
            Overloaded: too many different selections are in use; the consumer keeps the one it has.
        """
        channel = self._channels.of(subscription)
        self._channels.flush(channel)
        dialect = self._channels.dialects[subscription.dialect]
        first = dialect.selected(self.view, channel.chain)
        replacement = self.join(
            subscriber.sink, subscription, since=None, every=subscriber.every, first=first
        )
        self.leave(subscriber)
        subscriber.settle()
        replacement.messages += subscriber.messages
        replacement.bytes += subscriber.bytes
        return replacement

    def greeting(self, dialect: str) -> Sequence[Message]:
        """What a connection of a dialect begins with."""
        return self._channels.dialects[dialect].greeting(self.view, self.history_seq)

    def tell(self, subscriber: Subscriber, message: Message) -> None:
        """Writes a message to one consumer, which does not move by it."""
        self._channels.write(
            subscriber, self._channels.frame(subscriber.channel.subscription.framing, message)
        )

    def farewell(self, subscriber: Subscriber, retry_after_ms: int) -> Sequence[bytes]:
        """What a consumer is told before the server goes away, framed."""
        subscription = subscriber.channel.subscription
        messages = self._channels.dialects[subscription.dialect].farewell(retry_after_ms)
        return [self._channels.frame(subscription.framing, message) for message in messages]

    def resumable(self, since: Position) -> bool:
        """Whether a consumer at this position can get what it missed: same epoch, and not ahead of us."""
        return self.unresumable(since, Subscription(EVERYTHING), every=False) is None

    def lost(self, since: Position | Millis, subscription: Subscription, *, every: bool) -> Position | None:
        """The oldest position that can be resumed, where this one cannot; None where it can."""
        if isinstance(since, int):
            is_lost, oldest = not self.is_kept(since), self.history_seq
        else:
            is_lost = self.unresumable(since, subscription, every=every) is not None
            oldest = self.history_seq if every else 0
        if self._channels.by_whereabouts(subscription):
            oldest = max(oldest, self.view.former_lost_seq)
        return Position(self.view.epoch, oldest) if is_lost else None

    def is_kept(self, at: Millis) -> bool:
        """Whether the log goes back to an instant."""
        oldest_at = self._log.oldest_at
        return self._log.first == 1 or (oldest_at is not None and oldest_at < at)

    def unresumable(self, since: Position, subscription: Subscription, *, every: bool) -> str | None:
        """Why a position cannot be resumed; None where it can."""
        if since.epoch != self.view.epoch:
            return "epoch"
        if since.seq > self.view.seq:
            return "ahead"
        if every and since.seq < self.history_seq:
            return "expired"
        if self._channels.by_whereabouts(subscription) and since.seq < self.view.former_lost_seq:
            return "expired"
        return None

    def resume(self, subscriber: Subscriber, seq: int) -> None:
        """The consumer gets what it missed since a position."""
        subscriber.seq = subscriber.resume_seq = subscriber.since = seq
        subscriber.on(Event.RESUMES)
        channel = subscriber.channel
        if self._channels.dialects[channel.subscription.dialect].batched:
            self._channels.flush(channel)
            if seq > channel.chain:
                # Its position is from elsewhere: all who follow this channel move up to it.
                self._digests.beat(channel)
        if subscriber.every:
            self._replays.start(subscriber)
        else:
            self.pump(subscriber)

    def leave(self, subscriber: Subscriber) -> None:
        """Detaches a consumer; a channel without consumers is dropped."""
        if subscriber.phase is Phase.CLOSED:
            return
        subscriber.on(Event.LEAVES)
        self._replays.stop(subscriber)
        self._seeks.stop(subscriber)
        self._catching_up.discard(subscriber)
        channel = subscriber.channel
        channel.subscribers.discard(subscriber)
        channel.waiting.pop(subscriber, None)
        if not channel.waiting:
            self._snapshots.works.give_up(channel)
        if not channel.subscribers:
            self._digests.works.give_up(channel)
            self._channels.drop(channel)
            self.wanted = any(other.raw for other in self._channels.all)

    def pump(self, subscriber: Subscriber) -> None:
        """Writes what a consumer is due until it has all or its buffer is full.

        One that is far behind gets what it missed in turns of the loop.
        """
        sink, channel = subscriber.sink, subscriber.channel
        left = MISSED_AT_ONCE
        while not sink.paused and subscriber.phase is not Phase.CLOSED:
            if subscriber.phase is Phase.LIVE:
                if subscriber.next >= channel.start:
                    if subscriber.next >= channel.end:
                        return
                    data, subscriber.next, subscriber.resume_seq = channel.chunk(subscriber.next)
                    self._channels.counts.bytes_out += len(data)
                    sink.write(data)
                    if subscriber.next == channel.end:
                        return
                    continue
                self._fall_behind(subscriber)
            elif (
                subscriber.every
                or subscriber.phase is Phase.JOINING
                or subscriber in self._catching_up.behind
            ):
                # A task replays the log to it, makes its snapshot, or catches it up.
                return
            elif left > 0:
                left -= self._catching_up.some(subscriber, left)
            else:
                self._catching_up.put(subscriber)

    def _fall_behind(self, subscriber: Subscriber) -> None:
        """The window moved past a consumer that could not keep up."""
        subscriber.settle()
        subscriber.seq = subscriber.since = subscriber.resume_seq
        subscriber.on(Event.FALLS_BEHIND)
        if subscriber.every:
            self.overrun(subscriber)

    def overrun(self, subscriber: Subscriber) -> None:
        """Closes a consumer that wants each change and cannot keep up."""
        self._channels.counts.overruns += 1
        position = Position(self.view.epoch, subscriber.resume_seq)
        self.leave(subscriber)
        subscriber.sink.overrun(position)

    def interrupt(self, subscriber: Subscriber) -> None:
        """Closes a consumer for whom what comes next cannot be read now."""
        if subscriber.is_at(Phase.CLOSED):
            return
        self._channels.counts.interrupted += 1
        position = Position(self.view.epoch, subscriber.resume_seq)
        self.leave(subscriber)
        subscriber.sink.interrupted(position)

    # -- the loops ---------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Works until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._follow())
                group.create_task(self._fanout.run())
                group.create_task(self._catching_up.run())
        finally:
            for works in (self._replays, self._seeks, self._snapshots.works, self._digests.works):
                works.cancel()
            if self._channels.alarm is not None:
                self._channels.alarm.cancel()

    async def _take_in_turns(self, entries: Sequence[Entry]) -> None:
        turns = Turns(is_urgent=True)
        # What an entry costs grows with how many channels may hear of it.
        for some in tasks.parts(entries, max(1, ENTRIES_PER_TURN_MAX // (1 + len(self._channels.all)))):
            await turns.rest()
            self._encoding.take(some, len(entries))
            if self.followed is not None:
                self.followed(some)

    async def _follow(self) -> None:
        wait_s = READ_AGAIN_S_MIN
        while True:
            try:
                async for entries in self._log.tail(self.view.seq):
                    self.fault, wait_s = "", READ_AGAIN_S_MIN
                    for number, part in enumerate(tasks.parts(entries, ENTRIES_PER_TURN_MAX)):
                        if number:
                            await asyncio.sleep(0)
                        await self._take_in_turns(part)
            except LogDamaged:
                # The view cannot go on without the entry. A process that starts anew has a checkpoint
                # instead, and tells those who resume what changed.
                raise
            except LogFailure as error:
                self._channels.counts.read_failures += 1
                if not self.fault:
                    logger.warning("the log cannot be followed; retrying", error=str(error))
                self.fault = str(error)
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, READ_AGAIN_S_MAX)
