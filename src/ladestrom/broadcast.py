"""The read loop: follow the log, make each change's bytes once, write to each consumer once a pass.

Readers learn of changes from the log alone, so nobody sees what is not durable. The one exception:
`status:raw` keep-alives come from the hub by a lossy side channel (`offer`), are dropped first, and counted.
A pass goes out at once when the loop is idle; under load passes are spaced by a multiple of what they cost,
at most `gather_ms_min`, and up to `gather_ms_max` where the loop has other work: latency rises smoothly, and
no queue grows. Part of that time lies within the pass: reports that come are taken, and an append that is
under way is let through, so that the consumers that the pass has still to serve hear of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from time import perf_counter
from typing import Any, Final

import msgspec
import structlog

from ladestrom import tasks
from ladestrom.core.audience import Audience, Audiences
from ladestrom.core.channel import (
    CHUNK_BYTES_MAX,
    Channel,
    Phase,
    Row,
    Sink,
    Snapshot,
    Subscriber,
    Wishes,
)
from ladestrom.core.selection import EVERYTHING, Selection, is_relocated
from ladestrom.core.view import StationState, View
from ladestrom.errors import LogDamaged, LogFailure, Overloaded
from ladestrom.formats.dialect import Dialect, Drawing, Message, Moved
from ladestrom.model import Change, Entry, Evse, Millis, Position, Station, StatusReport
from ladestrom.ports.log import Log
from ladestrom.ports.signals import Progress
from ladestrom.tasks import Turns

logger = structlog.get_logger(__name__)


Framing = Callable[[Message], bytes]
"""A message to the bytes on a wire."""

SPACING: Final = 4
"""Longest time between passes, in multiples of what one costs."""
GATHER_GROWS: Final = 1.25
"""By how much that time grows with each pass after which the loop was late, and shrinks with each other."""
GATHER_LATE_S: Final = 0.005
"""A loop that comes back so late has other work to do."""
SNAPSHOT_REUSE: Final = 20
"""How long a snapshot serves those who join, in multiples of what it cost to make; its age is made up for
by the frames that follow it."""
STATIONS_AT_ONCE: Final = 50
"""A selection of which no more stations can be is gone through in one step: some 3 ms."""
MISSED_AT_ONCE: Final = 50
"""Stations with changes that a consumer missed are gone through in one step, up to so many: likewise."""
STATIONS_PER_LOOK: Final = 20
"""Else so many are gone through between two looks at the clock: some 1 ms."""
WALKS_MAX: Final = 2
"""Snapshots and digests that are made at once; each change looks at them. The others wait."""
THREAD_BYTES_MIN: Final = 64 * 1024
"""Messages of a snapshot from here on are compressed in a thread: some 1 ms."""
COMPRESSED_FRAMES_MAX: Final = 50
"""Frames of one change each that are compressed one by one, at some 15 us; more at once are sent plainly, as
compression must not be what limits how many changes are told. Messages of many changes always are."""
PLAIN: Final = {"text": "text", "deflate": "text", "event": "event"}
"""A framing that its consumers understand, too, and that costs nothing."""
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
ENTRIES_PER_TURN_MAX: Final = 500
"""Entries taken before other work of the loop gets its turn: some 5 ms."""
BATCH_ROWS_MAX: Final = 500
"""Changes in one message: some 150 KiB."""
REPLAY_ENTRIES_MAX: Final = 500
"""Entries of the log read at once for a consumer that wants each change."""
REPLAY_WAIT_S: Final = 0.05
"""Between two looks at whether such a consumer takes more."""
REPLAY_READ_S_MAX: Final = 5.0
"""How long a read for such a consumer may fail or hang before it is closed: much less than the 20 s from one
heartbeat to the next."""
READ_AGAIN_S_MIN: Final = 0.1
"""Before a read of the log that failed is tried again; before each next try it is twice as long."""
READ_AGAIN_S_MAX: Final = 5.0


class BroadcastLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What the read loop bounds."""

    gather_ms_min: int = 5
    """Longest time between passes while the loop has little else to do."""
    gather_ms_max: int = 20
    """And where it has much."""
    raw_items_max: int = 1_000
    """Raw messages a pass; more are dropped and counted."""
    channels_max: int = 1_000
    """Different sets of wishes at once: each costs a window of at most 4 MiB."""
    heartbeat_s: float = 20


class _Told(msgspec.Struct):
    """A change that is told, and what becomes of it: each made once for all who hear of it."""

    state: StationState
    """Of its station, the change included."""
    before: Change | None
    """The change that it replaced."""
    change: Change
    plainly: bool
    """Whether it goes out uncompressed where it goes out alone."""
    encoded: dict[str, bytes] = {}
    """By dialect."""
    rows: dict[str, Row] = {}
    """Likewise, of those who take each change of a station."""
    frames: dict[tuple[str, str], tuple[bytes, int]] = {}
    """By dialect and framing."""


class _Behind(dict[Subscriber, None]):
    """Those that are caught up in turns, in order of these; one that is paused leaves when it is due."""

    def __init__(self) -> None:
        super().__init__()
        self.added = asyncio.Event()


class Broadcast:
    """Follows one log and serves any number of consumers."""

    def __init__(
        self,
        log: Log,
        view: View,
        dialects: Mapping[str, Dialect],
        framings: Mapping[str, Framing],
        limits: BroadcastLimits | None = None,
        clock_s: Callable[[], float] = perf_counter,
        clock: Callable[[], Millis] = lambda: 0,
    ) -> None:
        self.view = view
        self.limits = limits or BroadcastLimits()
        self.followed: Callable[[Sequence[Entry]], None] | None = None
        """Is given the same entries as the view, in the same step of the loop."""
        self.writer: Progress | None = None
        """Whose appends passes let through."""
        self.wanted = False
        """Whether somebody wants raw messages (`ports.Listener`)."""
        self.raw_sent = 0
        self.raw_dropped = 0
        self.frames = 0
        """Frames made."""
        self.bytes_out = 0
        self.caught_up = 0
        """Times a consumer that was behind got the newest states instead of each change."""
        self.fault = ""
        """Why consumers are not told of what is in the log; empty while they are."""
        self.read_failures = 0
        """Reads of the log that failed; most succeed when they are tried again."""
        self.interrupted = 0
        """Consumers closed that wanted each change, as the log could not be read on for them."""
        self.overruns = 0
        """Consumers closed that wanted each change and could not keep up."""
        self._log = log
        self._dialects = dialects
        self._framings = framings
        self._clock_s = clock_s
        self._clock = clock
        self._channels: dict[Wishes, Channel] = {}
        self._audiences = Audiences(lambda dialect: dialects[dialect].batched)
        self._shared: dict[tuple[str, str, int, int, tuple[int, ...]], Sequence[tuple[bytes, int]]] = {}
        """Messages made in this pass, by dialect, framing, positions and rows."""
        self._raw_left = self.limits.raw_items_max
        self._taken = 0
        """Entries since it was last looked at how many changes wait in a channel."""
        self._gather_s = self.limits.gather_ms_min / 1000
        self._rested_s = 0.0
        """What this pass left to the loop's other work."""
        self._served = 0
        """Consumers written to in this slice."""
        self._slice_ends_s = 0.0
        self._wake = asyncio.Event()
        self._alarm: asyncio.TimerHandle | None = None
        self._replays: dict[Subscriber, asyncio.Task[None]] = {}
        self._room = asyncio.Semaphore(WALKS_MAX)
        self._makings: dict[Channel, asyncio.Task[None]] = {}
        """Of snapshots, for those who wait for them."""
        self._additions: dict[Channel, asyncio.Task[None]] = {}
        """Of digests, for heartbeats."""
        self._behind = _Behind()

    @property
    def consumers(self) -> int:
        """Consumers attached now."""
        return sum(len(channel.subscribers) for channel in self._channels.values())

    @property
    def channels(self) -> int:
        """Different sets of wishes now."""
        return len(self._channels)

    @property
    def history_seq(self) -> int:
        """Oldest position from which each change can be replayed."""
        return self._log.first - 1

    # -- consumers ---------------------------------------------------------------------------------------

    def join(
        self,
        sink: Sink,
        wishes: Wishes,
        *,
        since: Position | None,
        snapshot: bool = True,
        every: bool = False,
        first: Sequence[Message] = (),
    ) -> Subscriber:
        """Attaches a consumer; it is told what it is due: missed changes, or a snapshot, and what follows.

        With a `since` that can be resumed it gets what changed after it: the newest states, or with
        `every` each change; else a snapshot where it wants one. `first` is written before all that.

        Raises:
            Overloaded: too many different selections are in use; this one may be tried again later.
        """
        channel = self._channel(wishes)
        subscriber = Subscriber(sink, channel, every=every)
        channel.subscribers.add(subscriber)
        self.wanted = self.wanted or wishes.raw
        for message in first:
            self._write(subscriber, self._frame(wishes.framing, message))
        reason = None if since is None else self._unresumable(since, wishes.selection, every=every)
        if since is not None and reason is None:
            self._resume(subscriber, since.seq)
            return subscriber
        self._begin(subscriber, reason, snapshot=snapshot)
        return subscriber

    def _begin(self, subscriber: Subscriber, reason: str | None, *, snapshot: bool) -> None:
        """The consumer begins anew, with a snapshot where it wants one; `reason`: why it cannot resume."""
        channel = subscriber.channel
        wishes = channel.wishes
        for message in () if reason is None else self._dialects[wishes.dialect].reset(self.view, reason):
            self._write(subscriber, self._frame(wishes.framing, message))
        self._flush(channel)
        if snapshot:
            self._ask_for_snapshot(subscriber)
        else:
            self._go_live(subscriber, channel.end, self.view.seq)

    def _go_live(self, subscriber: Subscriber, number: int, seq: int) -> None:
        """The consumer stands at a position, and before a frame of the window."""
        subscriber.move(Phase.LIVE)
        subscriber.next = number
        subscriber.told = seq
        subscriber.begin()
        self.pump(subscriber)

    def check_room(self, wishes: Wishes) -> None:
        """Whether a consumer with these wishes could join now.

        Raises:
            Overloaded: too many different selections are in use; this one may be tried again later.
        """
        if wishes not in self._channels and len(self._channels) >= self.limits.channels_max:
            raise Overloaded(
                f"{self.limits.channels_max} different selections are in use; use a common one, or try later"
            )

    def _channel(self, wishes: Wishes) -> Channel:
        channel = self._channels.get(wishes)
        if channel is None:
            self.check_room(wishes)
            channel = self._channels[wishes] = Channel(wishes)
            channel.chain = self.view.seq
            channel.heartbeat_due_s = self._clock_s() + self.limits.heartbeat_s
            self._audiences.add(channel)
            self._set_alarm()
        return channel

    def select(self, subscriber: Subscriber, wishes: Wishes) -> Subscriber:
        """Gives a consumer of version 2 another selection: `selected`, then its snapshot.

        Raises:
            Overloaded: too many different selections are in use; the consumer keeps the one it has.
        """
        channel = self._channel(wishes)
        self._flush(channel)
        dialect = self._dialects[wishes.dialect]
        first = dialect.selected(self.view, channel.chain)
        replacement = self.join(subscriber.sink, wishes, since=None, every=subscriber.every, first=first)
        self.leave(subscriber)
        subscriber.settle()
        replacement.messages += subscriber.messages
        replacement.bytes += subscriber.bytes
        return replacement

    def greeting(self, dialect: str) -> Sequence[Message]:
        """What a connection of a dialect begins with."""
        return self._dialects[dialect].greeting(self.view, self.history_seq)

    def tell(self, subscriber: Subscriber, message: Message) -> None:
        """Writes a message to one consumer, which does not move by it."""
        self._write(subscriber, self._frame(subscriber.channel.wishes.framing, message))

    def farewell(self, subscriber: Subscriber, retry_after_ms: int) -> Sequence[bytes]:
        """What a consumer is told before the server goes away, framed."""
        wishes = subscriber.channel.wishes
        messages = self._dialects[wishes.dialect].farewell(retry_after_ms)
        return [self._frame(wishes.framing, message) for message in messages]

    def resumable(self, since: Position) -> bool:
        """Whether a consumer at this position can get what it missed: same epoch, and not ahead of us."""
        return self._unresumable(since, EVERYTHING, every=False) is None

    def _unresumable(self, since: Position, selection: Selection, *, every: bool) -> str | None:
        if since.epoch != self.view.epoch:
            return "epoch"
        if since.seq > self.view.seq:
            return "ahead"
        if every and since.seq < self.history_seq:
            return "expired"
        if selection.by_record and since.seq <= self.view.relocations_lost_seq:
            return "expired"
        return None

    def _resume(self, subscriber: Subscriber, seq: int) -> None:
        subscriber.seq = subscriber.told = subscriber.since = seq
        subscriber.move(Phase.REPLAYING)
        channel = subscriber.channel
        if self._dialects[channel.wishes.dialect].batched:
            self._flush(channel)
            if seq > channel.chain:
                # Its position is from elsewhere: all who follow this channel move up to it.
                self._beat(channel)
        if subscriber.every:
            task = tasks.start(
                self._replay(subscriber), "replay of the log", lambda _: self._interrupt(subscriber)
            )
            self._replays[subscriber] = task
            task.add_done_callback(lambda _: self._replays.pop(subscriber, None))
        else:
            self.pump(subscriber)

    def leave(self, subscriber: Subscriber) -> None:
        """Detaches a consumer; a channel without consumers is dropped."""
        if subscriber.phase is Phase.CLOSED:
            return
        subscriber.move(Phase.CLOSED)
        replay = self._replays.get(subscriber)
        if replay is not None and replay is not asyncio.current_task():
            replay.cancel()
        self._behind.pop(subscriber, None)
        channel = subscriber.channel
        channel.subscribers.discard(subscriber)
        channel.waiting.pop(subscriber, None)
        if not channel.waiting:
            _give_up(self._makings, channel)
        if not channel.subscribers:
            _give_up(self._additions, channel)
            del self._channels[channel.wishes]
            self._audiences.discard(channel)
            self.wanted = any(other.raw for other in self._channels)
            if not self._channels and self._alarm is not None:
                self._alarm.cancel()
                self._alarm = None

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
                    data, subscriber.next, subscriber.told = channel.chunk(subscriber.next)
                    self.bytes_out += len(data)
                    sink.write(data)
                    if subscriber.next == channel.end:
                        return
                    continue
                self._fall_behind(subscriber)
            elif subscriber.every or subscriber.phase is Phase.JOINING or subscriber in self._behind:
                # A task replays the log to it, makes its snapshot, or catches it up.
                return
            elif left > 0:
                left -= self._catch_up(subscriber, left)
            else:
                self._behind[subscriber] = None
                self._behind.added.set()

    def _fall_behind(self, subscriber: Subscriber) -> None:
        """The window moved past a consumer that could not keep up."""
        subscriber.settle()
        subscriber.seq = subscriber.since = subscriber.told
        subscriber.move(Phase.REPLAYING)
        if subscriber.every:
            self._overrun(subscriber)

    async def _catch_up_in_turns(self) -> None:
        while True:
            await self._behind.added.wait()
            self._behind.added.clear()
            turns = Turns()
            while self._behind:
                self._catch_up_next()
                await turns.rest()

    def _catch_up_next(self) -> None:
        """Goes on with the one whose turn it is; the others have theirs before it has the next."""
        subscriber = next(iter(self._behind))
        try:
            if not subscriber.sink.paused:
                self._catch_up(subscriber, STATIONS_PER_LOOK)
        except Exception as error:  # noqa: BLE001 - a defect costs the one that met it
            tasks.note("catching up of a consumer", error)
            self._interrupt(subscriber)
        self._behind.pop(subscriber, None)
        if not subscriber.is_at(Phase.REPLAYING):
            # What waited for a message was made into one: the others of its channel are due it, too.
            self._wake.set()
        elif not subscriber.sink.paused:
            self._behind[subscriber] = None

    def _catch_up(self, subscriber: Subscriber, stations_max: int) -> int:
        """Writes one chunk of newest states; the last one takes the consumer into the window.

        Returns how many stations were looked at.
        """
        channel, view = subscriber.channel, self.view
        wishes = channel.wishes
        dialect = self._dialects[wishes.dialect]
        rows: list[bytes] = []
        size = looked = 0
        states = view.changed_since(subscriber.seq, stations_max) if wishes.updates else []
        for state in states:
            if size > CHUNK_BYTES_MAX:
                break
            looked += 1
            subscriber.seq = state.seq
            if self._hears(channel, state.uuid):
                missed = dialect.missed(view, state, wishes.selection, subscriber.told)
                rows += missed
                size += sum(map(len, missed))
        whole = looked == len(states) < stations_max
        if whole:
            self.caught_up += 1
            subscriber.seq = view.seq
            self._flush(channel)
            rows += [row for row, _, _ in self._relocated(wishes, subscriber.since)]
        told = subscriber.told
        # Until the last chunk the consumer stands where it stood: rows of a station come together, and an
        # EVSE that changed before another one of its station would be skipped by whoever resumed between.
        if dialect.batched:
            ends = channel.chain if whole else told
            messages = dialect.changes(view, told, ends, rows) if rows or ends != told else ()
            subscriber.told = ends
        else:
            messages = dialect.changes(view, told, subscriber.seq, rows)
            subscriber.told = subscriber.seq
        if whole:
            subscriber.next = channel.end
            subscriber.move(Phase.LIVE)
            subscriber.begin()
        if messages:
            is_one_of_many = subscriber in self._behind and not dialect.batched
            plainly = is_one_of_many or len(messages) > COMPRESSED_FRAMES_MAX
            framing = PLAIN[wishes.framing] if plainly else wishes.framing
            frames = b"".join(self._frame(framing, one) for one in messages)
            self._write(subscriber, frames, len(messages))
        return looked

    async def _replay(self, subscriber: Subscriber) -> None:
        """Writes each missed change from the log, in order, to a consumer that wants every one.

        Where one of them cannot be read any more, the consumer begins anew; where none can be read now, it is
        closed with its position. It is never left without a word.
        """
        try:
            await self._replay_entries(subscriber)
        except LogDamaged as error:
            logger.warning(
                "a consumer with mode=every restarts: the log has a gap",
                position=str(Position(self.view.epoch, subscriber.seq)),
                error=str(error),
            )
            if subscriber.is_at(Phase.REPLAYING):
                self._begin(subscriber, "expired", snapshot=True)
        except (LogFailure, TimeoutError) as error:
            logger.warning("a consumer with mode=every is closed: the log cannot be read", error=repr(error))
            self._interrupt(subscriber)

    async def _read(self, after: int, limit: int) -> Sequence[Entry]:
        """Entries of the log; a read that fails is tried again for a while.

        Raises:
            LogDamaged: the next entry cannot be read.
            TimeoutError: nothing can be read now.
        """
        wait_s = READ_AGAIN_S_MIN
        async with asyncio.timeout(REPLAY_READ_S_MAX):
            while True:
                try:
                    return await self._log.read(after, limit)
                except LogDamaged:
                    raise
                except LogFailure as error:
                    self.read_failures += 1
                    logger.warning("the log cannot be read; retrying", error=str(error))
                    await asyncio.sleep(wait_s)
                    wait_s *= 2

    def _interrupt(self, subscriber: Subscriber) -> None:
        if subscriber.is_at(Phase.CLOSED):
            return
        self.interrupted += 1
        position = Position(self.view.epoch, subscriber.told)
        self.leave(subscriber)
        subscriber.sink.interrupted(position)

    async def _replay_entries(self, subscriber: Subscriber) -> None:
        channel, view = subscriber.channel, self.view
        wishes = channel.wishes
        dialect = self._dialects[wishes.dialect]
        heard_s = self._clock_s()
        while subscriber.is_at(Phase.REPLAYING):
            self._flush(channel)
            target, follows = channel.chain, channel.end
            while subscriber.seq < target and subscriber.is_at(Phase.REPLAYING):
                if subscriber.sink.paused:
                    await asyncio.sleep(REPLAY_WAIT_S)
                    continue
                if subscriber.seq < self.history_seq:
                    self._overrun(subscriber)
                    return
                limit = min(REPLAY_ENTRIES_MAX, target - subscriber.seq)
                entries = await self._read(subscriber.seq, limit)
                if not subscriber.is_at(Phase.REPLAYING):
                    break
                if not entries or entries[0].seq != subscriber.seq + 1:
                    # The log was trimmed while it was read.
                    self._overrun(subscriber)
                    return
                rows = self._rows(channel, entries)
                subscriber.seq = entries[-1].seq
                # What is not selected may be long: an empty message is a sign of life, as a heartbeat is.
                is_silent = self._clock_s() - heard_s > self.limits.heartbeat_s / 2
                if rows or subscriber.seq == target or is_silent:
                    heard_s = self._clock_s()
                    for message in dialect.changes(view, subscriber.told, subscriber.seq, rows):
                        self._write(subscriber, self._frame(wishes.framing, message))
                    subscriber.told = subscriber.seq
            if subscriber.is_at(Phase.REPLAYING) and follows >= channel.start:
                self._tell_relocated(subscriber, target)
                subscriber.next = follows
                subscriber.move(Phase.LIVE)
                subscriber.begin()
                self.pump(subscriber)

    def _tell_relocated(self, subscriber: Subscriber, seq: int) -> None:
        """Tells one who stands at `seq`, after the last change, of stations that are elsewhere."""
        wishes = subscriber.channel.wishes
        rows = [row for row, _, _ in self._relocated(wishes, subscriber.since)]
        messages = self._dialects[wishes.dialect].changes(self.view, seq, seq, rows) if rows else ()
        for message in messages:
            self._write(subscriber, self._frame(wishes.framing, message))

    def _rows(self, channel: Channel, entries: Iterable[Entry]) -> list[bytes]:
        """What a channel is told of entries of the log."""
        wishes, view = channel.wishes, self.view
        dialect = self._dialects[wishes.dialect]
        return [
            dialect.entry(view, chosen)
            for entry in entries
            if self._hears(channel, entry.change.station)
            and (chosen := dialect.chosen(view, wishes.selection, entry.change)) is not None
        ]

    def _overrun(self, subscriber: Subscriber) -> None:
        self.overruns += 1
        position = Position(self.view.epoch, subscriber.told)
        self.leave(subscriber)
        subscriber.sink.overrun(position)

    def _write(self, subscriber: Subscriber, data: bytes, messages: int = 1) -> None:
        """Writes what is one consumer's own; what all share is counted by `Subscriber.settle`."""
        self.bytes_out += len(data)
        subscriber.messages += messages
        subscriber.bytes += len(data)
        subscriber.sink.write(data)

    # -- snapshots ---------------------------------------------------------------------------------------

    def _ask_for_snapshot(self, subscriber: Subscriber) -> None:
        """The consumer takes the snapshot that is there, or a small one at once; else it waits for one."""
        channel = subscriber.channel
        making = self._makings.get(channel)
        is_making = making is not None and not making.done()
        made = self._good_snapshot(channel)
        if made is None and not is_making:
            made = self._small_snapshot(channel)
        if made is not None:
            self._take_snapshot(subscriber, made)
            return
        subscriber.move(Phase.JOINING)
        # Frames make up for the age of one that was begun before; where no updates are wanted, nothing does.
        seq = 0 if channel.wishes.updates else self.view.seq
        channel.waiting[subscriber] = seq, self.view.records
        if not is_making:
            died = partial(self._interrupt_waiting, channel)
            self._start(self._makings, channel, self._make(channel), "snapshot", died)

    def _good_snapshot(self, channel: Channel) -> Snapshot | None:
        """The channel's newest one, where it still serves those who join."""
        made = channel.snapshot
        if made is None:
            return None
        # Where no updates are wanted, no frames make up for its age. Nothing makes up for confirmations.
        is_young = self._clock_s() < made.good_until_s
        if not is_young and self._confirmations(channel) != made.confirmations:
            return None
        updates = channel.wishes.updates
        if made.seq == self.view.seq or (updates and (made.next == channel.end or is_young)):
            return made
        return None

    def _confirmations(self, channel: Channel) -> int:
        is_told = self.writer is not None and self._dialects[channel.wishes.dialect].batched
        return self.writer.confirmations if self.writer is not None and is_told else 0

    def _small_snapshot(self, channel: Channel) -> Snapshot | None:
        """A snapshot of now; None where it has to be made in turns."""
        began_s = self._clock_s()
        begun, drawing = self._begun(channel)
        if not self._visit_few(channel, drawing.add):
            return None
        frames = [self._frame(channel.wishes.framing, message) for message in drawing.messages()]
        return self._finished(channel, begun, frames, self._clock_s() - began_s)

    def _begun(self, channel: Channel) -> tuple[Snapshot, Drawing]:
        """A snapshot of now: its place, and what will be its content."""
        self._flush(channel)
        wishes = channel.wishes
        dialect = self._dialects[wishes.dialect]
        seq = channel.chain if dialect.batched else self.view.seq
        begun = Snapshot((), channel.end, 0.0, seq, self._confirmations(channel), self.view.records)
        return begun, dialect.snapshot(self.view, wishes.selection, seq)

    def _finished(
        self, channel: Channel, begun: Snapshot, frames: Iterable[bytes], cost_s: float
    ) -> Snapshot:
        """It is kept for others, unless it is out of date already."""
        good_until_s = self._clock_s() + cost_s * SNAPSHOT_REUSE
        made = msgspec.structs.replace(begun, frames=tuple(frames), good_until_s=good_until_s)
        if made.records == self.view.records and made.next >= channel.start:
            channel.snapshot = made
        return made

    async def _make(self, channel: Channel) -> None:
        """Makes snapshots until nobody waits for one: who comes too late for one gets the next."""
        async with self._room:
            while channel.waiting:
                turns = Turns()
                begun, drawing = self._begun(channel)
                await self._visit(channel, drawing.add, turns)
                frames = []
                for message in drawing.messages():
                    frames.append(await self._large_frame(channel.wishes.framing, message))
                    await turns.rest()
                made = self._finished(channel, begun, frames, turns.worked_s)
                for subscriber, needed in list(channel.waiting.items()):
                    if subscriber in channel.waiting and made.serves(*needed):
                        self._take_snapshot(subscriber, made)
                        await turns.rest()

    def _take_snapshot(self, subscriber: Subscriber, made: Snapshot) -> None:
        """The consumer gets a snapshot, and stands where it was begun."""
        channel = subscriber.channel
        is_passed = made.next < channel.start
        if is_passed and self._unresumable(
            Position(self.view.epoch, made.seq), channel.wishes.selection, every=subscriber.every
        ):
            # What followed it cannot be told any more. It goes on waiting.
            return
        channel.waiting.pop(subscriber, None)
        for number, frame in enumerate(made.frames):
            # They count as one message.
            self._write(subscriber, frame, 0 if number else 1)
        if is_passed:
            self._resume(subscriber, made.seq)
        else:
            self._go_live(subscriber, made.next, made.seq)

    def _interrupt_waiting(self, channel: Channel, _: Exception) -> None:
        for subscriber in list(channel.waiting):
            self._interrupt(subscriber)

    async def _large_frame(self, framing: str, message: Message) -> bytes:
        """As `_frame`; what takes long to compress is compressed in a thread."""
        if PLAIN[framing] == framing or len(message.payload) < THREAD_BYTES_MIN:
            return self._frame(framing, message)
        self.frames += 1
        return await asyncio.to_thread(self._framings[framing], message)

    def _visit_few(self, channel: Channel, visit: Callable[[StationState], None]) -> bool:
        """Visits the stations that may be selected, if they are few; whether they are."""
        uuids = self.view.named(channel.wishes.selection)
        if len(uuids) > STATIONS_AT_ONCE:
            return False
        for uuid in uuids:
            state = self.view.get(uuid)
            if state is not None:
                visit(state)
        return True

    async def _visit(self, channel: Channel, visit: Callable[[StationState], None], turns: Turns) -> None:
        """Visits them in turns of the loop, all of them as they are now."""
        walk = self.view.walk(self.view.named(channel.wishes.selection), visit)
        try:
            while walk.go(STATIONS_PER_LOOK):
                await turns.rest()
        finally:
            self.view.end(walk)

    def _start(
        self,
        works: dict[Channel, asyncio.Task[None]],
        channel: Channel,
        work: Coroutine[Any, Any, None],
        name: str,
        died: Callable[[Exception], None],
    ) -> None:
        """Starts what is done for a channel."""

        def ended(task: asyncio.Task[None]) -> None:
            if works.get(channel) is task:
                del works[channel]

        works[channel] = tasks.start(work, name, died)
        works[channel].add_done_callback(ended)

    # -- the loop ----------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Works until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._follow())
                group.create_task(self._deliver())
                group.create_task(self._catch_up_in_turns())
        finally:
            for works in (self._replays, self._makings, self._additions):
                for work in list(works.values()):
                    work.cancel()
            if self._alarm is not None:
                self._alarm.cancel()

    async def _follow(self) -> None:
        wait_s = READ_AGAIN_S_MIN
        while True:
            try:
                async for entries in self._log.tail(self.view.seq):
                    self.fault, wait_s = "", READ_AGAIN_S_MIN
                    for number, part in enumerate(tasks.parts(entries, ENTRIES_PER_TURN_MAX)):
                        if number:
                            await asyncio.sleep(0)
                        self.take(part)
                        if self.followed is not None:
                            self.followed(part)
            except LogDamaged:
                # The view cannot go on without the entry. A process that starts anew has a checkpoint
                # instead, and tells those who resume what changed.
                raise
            except LogFailure as error:
                self.read_failures += 1
                if not self.fault:
                    logger.warning("the log cannot be followed; retrying", error=str(error))
                self.fault = str(error)
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, READ_AGAIN_S_MAX)

    def take(self, entries: Sequence[Entry]) -> None:
        """Applies entries to the view and makes their bytes; the next pass writes them."""
        view = self.view
        if not self._channels:
            for entry in entries:
                view.apply(entry)
            return
        plainly = len(entries) > COMPRESSED_FRAMES_MAX
        for entry in entries:
            state, before = view.apply(entry)
            change = entry.change
            hearing = self._hearing(state.uuid, change.evse, (change.source, change.was_source))
            if hearing:
                self._encode(hearing, _Told(state, before, change, plainly))
        self._taken += len(entries)
        if self._taken >= BATCH_ROWS_MAX:
            self._taken = 0
            for channel in self._channels.values():
                if len(channel.rows) >= BATCH_ROWS_MAX:
                    self._flush(channel)
        self._wake.set()

    def _encode(self, hearing: Iterable[Audience], told: _Told) -> None:
        """Hands a change to all who hear of it."""
        for audience in hearing:
            for (name, framing), put_frames in audience.single.items():
                frame = self._single(told, name, framing)
                for put_frame in put_frames.values():
                    put_frame(frame)
            for name, put_rows in audience.gathering.items():
                row = self._row(told, name)
                for put_row in put_rows.values():
                    put_row(row)
            for name, put_rows in audience.choosy.items():
                for channel, put_row in put_rows.items():
                    chosen = self._chosen(told, name, channel.wishes.selection)
                    if chosen is not None:
                        put_row(chosen)

    def _encoded(self, told: _Told, name: str) -> bytes:
        encoded = told.encoded.get(name)
        if encoded is None:
            encoded = told.encoded[name] = self._dialects[name].row(self.view, told.state, told.change)
        return encoded

    def _single(self, told: _Told, name: str, framing: str) -> tuple[bytes, int]:
        frame = told.frames.get((name, framing))
        if frame is None:
            seq = told.state.seq
            (message,) = self._dialects[name].changes(self.view, seq, seq, (self._encoded(told, name),))
            frame = self._frame(PLAIN[framing] if told.plainly else framing, message), seq
            told.frames[name, framing] = frame
        return frame

    def _row(self, told: _Told, name: str) -> Row:
        row = told.rows.get(name)
        if row is None:
            dialect, view, before, change = self._dialects[name], self.view, told.before, told.change
            was_count, was_term = dialect.term(view, before)
            count, term = dialect.term(view, change)
            deltas = count - was_count, term - was_term
            row = told.rows[name] = self._encoded(told, name), told.state.seq, *deltas
        return row

    def _chosen(self, told: _Told, name: str, selection: Selection) -> Row | None:
        """For those who look at EVSE, status and source; None where they did not choose it."""
        dialect, view, before, change = self._dialects[name], self.view, told.before, told.change
        chosen = dialect.chosen(view, selection, change)
        if chosen is None:
            return None
        was_count, was_term = dialect.digest(view, selection, before)
        count, term = dialect.digest(view, selection, change)
        deltas = count - was_count, term - was_term
        encoded = self._encoded(told, name) if chosen is change else dialect.entry(view, chosen)
        return encoded, told.state.seq, *deltas

    def _flush(self, channel: Channel) -> None:
        """Makes the messages of the changes that wait in a channel."""
        if not channel.rows:
            return
        rows = channel.take_rows()
        channel.add(sum([count for _, _, count, _ in rows]), sum([term for _, _, _, term in rows]))
        for start in range(0, len(rows), BATCH_ROWS_MAX):
            part = rows[start : start + BATCH_ROWS_MAX]
            reaches = part[-1][1] if start + BATCH_ROWS_MAX < len(rows) else self.view.seq
            channel.frames.extend(self._messages(channel, reaches, [row for row, _, _, _ in part]))
            channel.chain = reaches

    def _messages(self, channel: Channel, seq: int, rows: list[bytes]) -> Sequence[tuple[bytes, int]]:
        """Frames of changes, and where a consumer stands then; selections that chose the same share them."""
        wishes = channel.wishes
        name = (wishes.dialect, wishes.framing, channel.chain, seq, tuple(map(id, rows)))
        made = self._shared.get(name)
        if made is None:
            messages = self._dialects[wishes.dialect].changes(self.view, channel.chain, seq, rows)
            made = self._shared[name] = [
                (
                    self._frame(wishes.framing, message),
                    seq if message.position is None else message.position.seq,
                )
                for message in messages
            ]
        return made

    def _beat(self, channel: Channel) -> None:
        """Puts a heartbeat into a channel whose dialect has one.

        While it is not known yet what the selected state adds up to, a message without changes is the sign of
        life, and the heartbeat follows.
        """
        wishes = channel.wishes
        dialect = self._dialects[wishes.dialect]
        channel.heartbeat_due_s = self._clock_s() + self.limits.heartbeat_s
        if not dialect.batched:
            return
        self._flush(channel)
        view, chain, seq = self.view, channel.chain, self.view.seq
        if channel.is_added_up or self._adds_up_at_once(channel):
            beat = dialect.heartbeat(view, chain, channel.count, channel.digest, self._clock())
        else:
            beat = dialect.changes(view, chain, seq, ())
        for message in beat:
            channel.push(self._frame(wishes.framing, message), seq)
        channel.chain = seq

    def _adds_up_at_once(self, channel: Channel) -> bool:
        """Adds up the selected state; where it is large, in turns, after which there is a heartbeat."""
        if channel in self._additions:
            return False
        channel.count = channel.digest = 0
        channel.is_added_up = self._visit_few(channel, partial(self._add, channel))
        if not channel.is_added_up:
            # Should it die, the next heartbeat begins it anew.
            self._start(self._additions, channel, self._add_up(channel), "digest", lambda _: None)
        return channel.is_added_up

    async def _add_up(self, channel: Channel) -> None:
        async with self._room:
            self._flush(channel)
            channel.count = channel.digest = 0
            await self._visit(channel, partial(self._add, channel), Turns())
            channel.is_added_up = True
        self._beat(channel)
        self._wake.set()

    def _add(self, channel: Channel, state: StationState) -> None:
        """Adds what is selected of a station."""
        view, wishes = self.view, channel.wishes
        if view.is_covered(state, wishes.selection):
            dialect = self._dialects[wishes.dialect]
            for _, change in state.changes.values():
                channel.add(*dialect.digest(view, wishes.selection, change))

    def offer(self, evse: Evse, report: StatusReport, observed_at: Millis) -> None:
        """Takes a report that the hub heard, for `status:raw`; dropped when a pass has enough of them."""
        if self._raw_left <= 0:
            self.raw_dropped += 1
            return
        hearing = self._hearing(evse.station, evse.key)
        channels = [channel for audience in hearing for channel in audience.raw]
        if not channels:
            return
        self._raw_left -= 1
        made: dict[str, Sequence[Message]] = {}
        for channel in channels:
            wishes = channel.wishes
            if wishes.dialect not in made:
                made[wishes.dialect] = self._dialects[wishes.dialect].raw(
                    self.view, evse, report, observed_at
                )
                self.raw_sent += len(made[wishes.dialect])
            for message in made[wishes.dialect]:
                channel.push(self._frame(wishes.framing, message), self.view.seq)
        self._wake.set()

    def _frame(self, framing: str, message: Message) -> bytes:
        self.frames += 1
        return self._framings[framing](message)

    def _hearing(self, uuid: str, evse: str, sources: Collection[str] = ()) -> Sequence[Audience]:
        """Who hears of an EVSE (key) at a station; nobody where the registry does not know the station."""
        station = self.view.directory.stations.get(uuid)
        return () if station is None else self._audiences.of(station, evse, sources)

    def _hears(self, channel: Channel, uuid: str) -> bool:
        station, state = self.view.directory.stations.get(uuid), self.view.get(uuid)
        if station is None or state is None:
            return False
        wishes = channel.wishes
        sources = state.sources_ever() if self._dialects[wishes.dialect].batched else ()
        return wishes.selection.covers(station, state.changes, sources)

    @contextmanager
    def registering(self, stations: Sequence[Station]) -> Iterator[None]:
        """Within, in one step of the loop, these records of stations are put into the directory.

        What is being made is finished with those of before. What was made of them is made anew; those are
        told who selected a station for what it was, or select it for what it is.
        """
        view = self.view
        known = [view.directory.stations.get(station.uuid) for station in stations]
        view.before_records(station.uuid for station in stations)
        yield
        view.records += 1
        relocated = []
        for before, after in zip(known, stations, strict=True):
            view.forget_bodies(after.uuid)
            if before is not None and is_relocated(before, after):
                view.relocate(before)
                relocated.append((before, after))
        for before, after in relocated if self._channels else ():
            self._relocate(before, after)
        for channel in self._channels.values():
            channel.snapshot = None

    def _relocate(self, before: Station, after: Station) -> None:
        view, state = self.view, self.view.get(after.uuid)
        if state is None:
            return
        keys, sources = state.changes.keys(), tuple(state.sources())
        for channel in self._audiences.choosers(before, keys, sources) | self._audiences.choosers(
            after, keys, sources
        ):
            wishes = channel.wishes
            dialect = self._dialects[wishes.dialect]
            rows = dialect.relocated(view, wishes.selection, before, state) if wishes.updates else ()
            if dialect.batched:
                for row, count, term in rows:
                    channel.put_row((row, view.seq, count, term))
            else:
                for message in dialect.changes(view, view.seq, view.seq, [row for row, _, _ in rows]):
                    channel.push(self._frame(wishes.framing, message), view.seq)
        self._wake.set()

    def _relocated(self, wishes: Wishes, since: int) -> list[Moved]:
        """What one who stood at `since` has to be told of stations that are elsewhere since then."""
        view, dialect = self.view, self._dialects[wishes.dialect]
        rows: list[Moved] = []
        if wishes.updates and wishes.selection.by_record:
            for seq, before in view.relocations:
                state = view.get(before.uuid)
                if seq >= since and state is not None:
                    rows += dialect.relocated(view, wishes.selection, before, state)
        return rows

    async def _deliver(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            began = self._clock_s()
            self._rested_s = 0.0
            await self._pass()
            cost = self._clock_s() - began - self._rested_s
            self._raw_left = self.limits.raw_items_max
            self._set_alarm()
            await self._gather(cost)

    async def _gather(self, cost: float) -> None:
        """Waits before the next pass: longer the more else the loop has to do."""
        longest = self.limits.gather_ms_max / 1000
        wait = max(0.0, min(cost * SPACING, self._gather_s, longest) - self._rested_s)
        began = self._clock_s()
        await asyncio.sleep(wait)
        late = self._clock_s() - began - wait
        if late > GATHER_LATE_S:
            self._gather_s = min(self._gather_s * GATHER_GROWS, longest)
        else:
            self._gather_s = max(self._gather_s / GATHER_GROWS, self.limits.gather_ms_min / 1000)

    def _set_alarm(self) -> None:
        """Sees to it that the loop wakes when the next message or heartbeat is due."""
        due_s = min(
            (
                channel.heartbeat_due_s
                if channel.rows_due_s is None
                else min(channel.rows_due_s, channel.heartbeat_due_s)
                for channel in self._channels.values()
            ),
            default=None,
        )
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if due_s is not None:
            loop = asyncio.get_running_loop()
            self._alarm = loop.call_later(max(0.0, due_s - self._clock_s()), self._wake.set)

    async def _pass(self) -> None:
        now = self._clock_s()
        self._begin_slice(now)
        for channel in list(self._channels.values()):
            if not channel.subscribers:
                # It has gone since the pass began.
                continue
            if channel.rows:
                if channel.rows_due_s is None:
                    channel.rows_due_s = now + channel.wishes.batch_ms / 1000
                if channel.rows_due_s <= now:
                    self._flush(channel)
            if channel.heartbeat_due_s <= now:
                self._beat(channel)
            await self._serve(channel)
            channel.trim()
        self._shared.clear()
        if not self._behind:
            self.view.forget_order()

    def _begin_slice(self, now_s: float) -> None:
        self._served = 0
        self._slice_ends_s = now_s + SLICE_S

    async def _serve(self, channel: Channel) -> None:
        """Writes to each consumer of a channel what it is due."""
        subscribers = list(channel.subscribers)
        end = channel.end
        for first in range(0, len(subscribers), BLOCK_CONSUMERS):
            if self._served >= SLICE_CONSUMERS or self._clock_s() > self._slice_ends_s:
                await self._rest()
            block = subscribers[first : first + BLOCK_CONSUMERS]
            self._write_to(channel, block)
            self._served += len(block)
        if channel.end != end:
            # One that caught up had what waits made into a message; those served before it are due it, too.
            self._wake.set()

    async def _rest(self) -> None:
        """Gives the loop's other work its turn; another slice begins."""
        await asyncio.sleep(0)
        began = self._clock_s()
        for _ in range(TURNS):
            await asyncio.sleep(0)
        append = None if self.writer is None else self.writer.appending
        if append is not None and self._rested_s < self._gather_s:
            await asyncio.wait((append,), timeout=APPEND_S_MAX)
        ended = self._clock_s()
        self._rested_s += ended - began
        self._begin_slice(ended)

    def _write_to(self, channel: Channel, subscribers: Sequence[Subscriber]) -> None:
        # Most stand at the same place, and are due the same bytes: they are asked for nothing else.
        live, end = Phase.LIVE, channel.end
        place, data, following, told = end, b"", end, 0
        for subscriber in subscribers:
            sink = subscriber.sink
            if sink.paused:
                continue
            stood = subscriber.next
            if stood == place != end and subscriber.phase is live:
                subscriber.next, subscriber.told = following, told
                self.bytes_out += len(data)
                sink.write(data)
                continue
            self.pump(subscriber)
            if channel.start <= stood < end == channel.end:
                data, following, told = channel.chunk(stood)
                place = stood if following == end else end


def _give_up(works: dict[Channel, asyncio.Task[None]], channel: Channel) -> None:
    """Nobody needs what is done for a channel any more."""
    work = works.pop(channel, None)
    if work is not None:
        work.cancel()
