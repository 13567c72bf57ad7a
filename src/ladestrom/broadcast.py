"""The read loop: follow the log, make each change's bytes once, write to each consumer once a pass.

Readers learn of changes from the log alone, so nobody sees what is not durable. The one exception:
`status:raw` keep-alives come from the hub by a lossy side channel (`offer`), are dropped first, and counted.
A pass goes out at once when the loop is idle; under load passes are spaced by a multiple of what they cost,
up to `gather_ms_max`, so that latency rises smoothly and no queue grows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import Final

import msgspec
import structlog

from ladestrom.core.channel import (
    CHUNK_BYTES_MAX,
    Channel,
    Framing,
    Phase,
    Sink,
    Snapshot,
    Subscriber,
    Wishes,
)
from ladestrom.core.selection import Selection
from ladestrom.core.view import StationState, View
from ladestrom.errors import Overloaded
from ladestrom.formats.nobil import NobilFormat
from ladestrom.model import Change, Entry, Evse, Position, Station, StatusReport
from ladestrom.ports import Log

logger = structlog.get_logger(__name__)

SPACING: Final = 4
"""Time between passes, in multiples of what a pass costs: a fifth of the loop's time goes to writing."""
SNAPSHOT_REUSE: Final = 20
"""How long a snapshot serves those who join, in multiples of what it cost to make; its age is made up for
by the frames that follow it."""
SLICE_S: Final = 0.02
"""How long a pass writes before other work of the loop gets its turn."""
ENTRIES_PER_TURN_MAX: Final = 1_000
"""Entries taken before other work of the loop gets its turn: some 10 ms."""
SLICE_CONSUMERS: Final = 64
"""Consumers between two looks at the clock."""


class BroadcastLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What the read loop bounds."""

    gather_ms_max: int = 20
    raw_items_max: int = 1_000
    """Raw messages a pass; more are dropped and counted."""
    channels_max: int = 1_000
    """Different sets of wishes at once: each costs a window of at most 4 MiB."""


class Broadcast:
    """Follows one log and serves any number of consumers."""

    def __init__(
        self,
        log: Log,
        view: View,
        encoder: NobilFormat,
        framings: Mapping[str, Framing],
        limits: BroadcastLimits | None = None,
        clock_s: Callable[[], float] = perf_counter,
    ) -> None:
        self.view = view
        self.limits = limits or BroadcastLimits()
        self.wanted = False
        """Whether somebody wants raw messages (`hub.RawListener`)."""
        self.raw_sent = 0
        self.raw_dropped = 0
        self.frames = 0
        """Frames made."""
        self.bytes_out = 0
        self.caught_up = 0
        """Times a consumer that was behind got the newest states instead of each change."""
        self._log = log
        self._encoder = encoder
        self._framings = framings
        self._clock_s = clock_s
        self._channels: dict[Wishes, Channel] = {}
        self._by_station: dict[str, tuple[Channel, ...]] = {}
        self._raw_left = self.limits.raw_items_max
        self._wake = asyncio.Event()

    @property
    def consumers(self) -> int:
        """Consumers attached now."""
        return sum(len(channel.subscribers) for channel in self._channels.values())

    @property
    def channels(self) -> int:
        """Different sets of wishes now."""
        return len(self._channels)

    # -- consumers ---------------------------------------------------------------------------------------

    def join(self, sink: Sink, wishes: Wishes, *, since: Position | None, snapshot: bool) -> Subscriber:
        """Attaches a consumer and writes what it is due: missed changes, or a snapshot, and what follows.

        With a `since` that can be resumed it gets the newest state of each station that changed after it;
        else a snapshot where it wants one.

        Raises:
            Overloaded: too many different selections are in use; this one may be tried again later.
        """
        channel = self._channels.get(wishes)
        if channel is None:
            if len(self._channels) >= self.limits.channels_max:
                raise Overloaded(
                    f"{self.limits.channels_max} different selections are in use; use a common one, "
                    "or try later"
                )
            channel = self._channels[wishes] = Channel(wishes)
            self._by_station.clear()
        subscriber = Subscriber(sink, channel)
        channel.subscribers.add(subscriber)
        self.wanted = self.wanted or wishes.raw
        if since is not None and self.resumable(since):
            subscriber.seq = since.seq
            subscriber.move(Phase.REPLAYING)
        else:
            subscriber.move(Phase.LIVE)
            subscriber.next = channel.end
            if snapshot:
                made = self._snapshot(channel)
                subscriber.next = made.next
                self._write(sink, made.frame)
        self.pump(subscriber)
        return subscriber

    def resumable(self, since: Position) -> bool:
        """Whether a consumer at this position can get what it missed: same epoch, and not ahead of us."""
        return since.epoch == self.view.epoch and since.seq <= self.view.seq

    def leave(self, subscriber: Subscriber) -> None:
        """Detaches a consumer; a channel without consumers is dropped."""
        if subscriber.phase is Phase.CLOSED:
            return
        subscriber.move(Phase.CLOSED)
        channel = subscriber.channel
        channel.subscribers.discard(subscriber)
        if not channel.subscribers:
            del self._channels[channel.wishes]
            self._by_station.clear()
            self.wanted = any(other.raw for other in self._channels)

    def pump(self, subscriber: Subscriber) -> None:
        """Writes what a consumer is due until it has all or its buffer is full."""
        sink, channel = subscriber.sink, subscriber.channel
        while not sink.paused and subscriber.phase is not Phase.CLOSED:
            if subscriber.phase is Phase.LIVE:
                if subscriber.next >= channel.start:
                    if subscriber.next >= channel.end:
                        return
                    data, subscriber.next = channel.chunk(subscriber.next)
                    self._write(sink, data)
                    continue
                # The window moved past a consumer that could not keep up.
                subscriber.move(Phase.REPLAYING)
            self._catch_up(subscriber)

    def _catch_up(self, subscriber: Subscriber) -> None:
        channel = subscriber.channel
        self.caught_up += 1
        frames = []
        size = 0
        seq = self.view.seq
        if channel.wishes.updates:
            for state in self.view.changed_since(subscriber.seq):
                if channel not in self._channels_of(state.uuid):
                    continue
                if size > CHUNK_BYTES_MAX:
                    break
                frame = self._frame(channel.wishes.framing, self._encoder.update(self.view, state))
                frames.append(frame)
                size += len(frame)
                seq = state.seq
            else:
                seq = self.view.seq
        if seq == self.view.seq:
            subscriber.next = channel.end
            subscriber.move(Phase.LIVE)
        subscriber.seq = seq
        if frames:
            self._write(subscriber.sink, b"".join(frames))

    def _write(self, sink: Sink, data: bytes) -> None:
        self.bytes_out += len(data)
        sink.write(data)

    # -- snapshots ---------------------------------------------------------------------------------------

    def _snapshot(self, channel: Channel) -> Snapshot:
        now = self._clock_s()
        made = channel.snapshot
        if made is not None and (made.next == channel.end or now < made.made_at_s):
            return made
        wishes = channel.wishes
        payload = self.snapshot(wishes.selection)
        frame = self._frame(wishes.framing, payload)
        cost = self._clock_s() - now
        channel.snapshot = Snapshot(frame, channel.end, now + cost * SNAPSHOT_REUSE)
        return channel.snapshot

    def snapshot(self, selection: Selection) -> bytes:
        """`snapshot:init` of a selection at the view's position."""
        encoder = self._encoder
        bodies = [encoder.station(state, station) for state, station in self.view.listed(selection)]
        return encoder.snapshot(self.view, bodies)

    # -- the loop ----------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Works until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow())
            tasks.create_task(self._deliver())

    async def _follow(self) -> None:
        async for entries in self._log.tail(self.view.seq):
            self.take(entries)
            if len(entries) > ENTRIES_PER_TURN_MAX:
                await asyncio.sleep(0)

    def take(self, entries: Sequence[Entry]) -> None:
        """Applies entries to the view and makes their frames; the next pass writes them."""
        view = self.view
        if not self._channels:
            for entry in entries:
                view.apply(entry)
            return
        for entry in entries:
            before = view.seq
            state = view.apply(entry)
            channels = self._channels_of(state.uuid)
            if channels:
                self._encode(channels, before, state, entry.change)
        self._wake.set()

    def _encode(
        self, channels: tuple[Channel, ...], before: int, state: StationState, change: Change
    ) -> None:
        payload: bytes | None = None
        frames: dict[str, bytes] = {}
        for channel in channels:
            wishes = channel.wishes
            if not wishes.updates:
                continue
            frame = frames.get(wishes.framing)
            if frame is None:
                if payload is None:
                    payload = self._encoder.update(self.view, state, change)
                frame = frames[wishes.framing] = self._frame(wishes.framing, payload)
            channel.push(before, frame)

    def offer(self, evse: Evse, report: StatusReport) -> None:
        """Takes a report that the hub heard, for `status:raw`; dropped when a pass has enough of them."""
        if self._raw_left <= 0:
            self.raw_dropped += 1
            return
        channels = [channel for channel in self._channels_of(evse.station) if channel.wishes.raw]
        state = self.view.get(evse.station)
        station = self.view.directory.stations.get(evse.station)
        if not channels or state is None or station is None:
            return
        self._raw_left -= 1
        for index in self._encoder.listed_index(state, station, evse.key):
            payload = self._encoder.raw(evse.station, index, report.status, report.error, report.observed_at)
            if payload is None:
                continue
            self.raw_sent += 1
            frames: dict[str, bytes] = {}
            for channel in channels:
                framing = channel.wishes.framing
                if framing not in frames:
                    frames[framing] = self._frame(framing, payload)
                channel.push(self.view.seq, frames[framing])
        self._wake.set()

    def _frame(self, framing: str, payload: bytes) -> bytes:
        self.frames += 1
        return self._framings[framing](payload)

    def _channels_of(self, uuid: str) -> tuple[Channel, ...]:
        found = self._by_station.get(uuid)
        if found is None:
            station = self.view.directory.stations.get(uuid)
            found = () if station is None else self._covering(station)
            self._by_station[uuid] = found
        return found

    def _covering(self, station: Station) -> tuple[Channel, ...]:
        return tuple(
            channel for channel in self._channels.values() if channel.wishes.selection.covers(station)
        )

    def forget_station(self, uuid: str) -> None:
        """The registry's record of a station changed: who is to hear of it is asked anew."""
        self._by_station.pop(uuid, None)
        self.view.forget_bodies(uuid)
        for channel in self._channels.values():
            channel.snapshot = None

    async def _deliver(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            began = self._clock_s()
            await self._pass()
            cost = self._clock_s() - began
            self._raw_left = self.limits.raw_items_max
            await asyncio.sleep(min(cost * SPACING, self.limits.gather_ms_max / 1000))

    async def _pass(self) -> None:
        slice_ends = self._clock_s() + SLICE_S
        for channel in list(self._channels.values()):
            for number, subscriber in enumerate(list(channel.subscribers)):
                if not subscriber.sink.paused:
                    self.pump(subscriber)
                if number % SLICE_CONSUMERS == 0 and self._clock_s() > slice_ends:
                    await asyncio.sleep(0)
                    slice_ends = self._clock_s() + SLICE_S
            channel.trim()
