"""All channels, and what those who write to them share: encoders, frames, counters, the next pass's alarm."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final

import msgspec

from ladestrom.core.view import StationState, View
from ladestrom.errors import Overloaded
from ladestrom.formats.dialect import Dialect, Message
from ladestrom.model import Millis, Station
from ladestrom.ports.signals import Signals
from ladestrom.reader.audience import Audience, Audiences
from ladestrom.reader.channel import Channel
from ladestrom.reader.subscriptions import Subscriber, Subscription

THREAD_BYTES_MIN: Final = 64 * 1024
"""Messages of a snapshot from here on are compressed in a thread: some 1 ms."""
COMPRESSED_FRAMES_MAX: Final = 50
"""Frames of one change each that are compressed one by one, at some 15 us; more at once are sent plainly, as
compression must not be what limits how many changes are told. Messages of many changes always are."""
PLAIN: Final = {"text": "text", "deflate": "text", "event": "event"}
"""A framing that its consumers understand, too, and that costs nothing."""
BATCH_ROWS_MAX: Final = 500
"""Changes in one message: some 150 KiB."""

Framing = Callable[[Message], bytes]
"""A message to the bytes on a wire."""


class BroadcastLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What the read loop bounds."""

    gather_ms_min: int = 5
    """Longest time between passes while the loop has little else to do."""
    gather_ms_max: int = 20
    """And where it has much."""
    raw_items_max: int = 1_000
    """Raw messages a pass; more are dropped and counted."""
    channels_max: int = 1_000
    """Different subscriptions at once: each costs a window of at most 4 MiB."""
    heartbeat_s: float = 20


class Counts(msgspec.Struct):
    """What was done so far, for metrics."""

    frames: int = 0
    """Frames made."""
    bytes_out: int = 0
    raw_sent: int = 0
    raw_dropped: int = 0
    caught_up: int = 0
    """Times a consumer that was behind got the newest states instead of each change."""
    read_failures: int = 0
    """Reads of the log that failed; most succeed when they are tried again."""
    interrupted: int = 0
    """Consumers closed that wanted each change, as the log could not be read on for them."""
    overruns: int = 0
    """Consumers closed that wanted each change and could not keep up."""


class Channels:
    """Those of one reader."""

    def __init__(
        self,
        view: View,
        dialects: Mapping[str, Dialect],
        framings: Mapping[str, Framing],
        limits: BroadcastLimits,
        clock_s: Callable[[], float],
        clock: Callable[[], Millis],
    ) -> None:
        self.view = view
        self.dialects = dialects
        self.framings = framings
        self.limits = limits
        self.clock_s = clock_s
        self.clock = clock
        self.counts = Counts()
        self.writer: Signals | None = None
        """Whose appends passes let through."""
        self.all: dict[Subscription, Channel] = {}
        self.telling_records: dict[Channel, None] = {}
        """Those whose dialect tells records of stations."""
        self.audiences = Audiences(lambda dialect: dialects[dialect].batched)
        self.shared: dict[tuple[str, str, int, int, tuple[int, ...]], Sequence[tuple[bytes, int]]] = {}
        """Messages made in this pass, by dialect, framing, positions and rows."""
        self.wake = asyncio.Event()
        """Set where a pass has something to write."""
        self.alarm: asyncio.TimerHandle | None = None

    def check_room(self, subscription: Subscription) -> None:
        """Whether a consumer with this subscription could join now.

        Raises:
            Overloaded: too many different selections are in use; this one may be tried again later.
        """
        if subscription not in self.all and len(self.all) >= self.limits.channels_max:
            raise Overloaded(
                f"{self.limits.channels_max} different selections are in use; use a common one, or try later"
            )

    def of(self, subscription: Subscription) -> Channel:
        """The channel of those who want this; a new one where there is none.

        Raises:
            Overloaded: too many different selections are in use.
        """
        channel = self.all.get(subscription)
        if channel is None:
            self.check_room(subscription)
            channel = self.all[subscription] = Channel(subscription)
            channel.chain = self.view.seq
            channel.heartbeat_due_s = self.clock_s() + self.limits.heartbeat_s
            self.audiences.add(channel)
            if self.dialects[subscription.dialect].tells_records and subscription.updates:
                self.telling_records[channel] = None
            self.set_alarm()
        return channel

    def by_whereabouts(self, subscription: Subscription) -> bool:
        """Whether what its consumers are told depends on where stations are, and EVSEs among them."""
        return subscription.selection.by_whereabouts or self.dialects[subscription.dialect].tells_records

    def drop(self, channel: Channel) -> None:
        """Nobody follows the channel any more."""
        del self.all[channel.subscription]
        self.audiences.discard(channel)
        self.telling_records.pop(channel, None)
        if not self.all and self.alarm is not None:
            self.alarm.cancel()
            self.alarm = None

    def flush(self, channel: Channel) -> None:
        """Makes the messages of the changes that wait in a channel."""
        if not channel.rows:
            return
        rows = channel.take_rows()
        channel.add(
            sum([count for _, _, count, _, _ in rows]),
            sum([term for _, _, _, term, _ in rows]),
            sum([record_term for _, _, _, _, record_term in rows]) if channel in self.telling_records else 0,
        )
        start = 0
        while start < len(rows):
            end = min(start + BATCH_ROWS_MAX, len(rows))
            while end < len(rows) and rows[end][1] == rows[end - 1][1]:
                # A record's change may have several rows: a position is reached with the last of an entry.
                end += 1
            reaches = rows[end - 1][1] if end < len(rows) else self.view.seq
            part = [row for row, _, _, _, _ in rows[start:end]]
            channel.frames.extend(self.messages(channel, reaches, part))
            channel.chain = reaches
            start = end

    def messages(self, channel: Channel, seq: int, rows: list[bytes]) -> Sequence[tuple[bytes, int]]:
        """Frames of changes, and where a consumer stands then; selections that chose the same share them."""
        subscription = channel.subscription
        name = (subscription.dialect, subscription.framing, channel.chain, seq, tuple(map(id, rows)))
        made = self.shared.get(name)
        if made is None:
            messages = self.dialects[subscription.dialect].changes(self.view, channel.chain, seq, rows)
            made = self.shared[name] = [
                (
                    self.frame(subscription.framing, message),
                    seq if message.position is None else message.position.seq,
                )
                for message in messages
            ]
        return made

    def frame(self, framing: str, message: Message) -> bytes:
        """A message in its frame."""
        self.counts.frames += 1
        return self.framings[framing](message)

    async def large_frame(self, framing: str, message: Message) -> bytes:
        """As `frame`; what takes long to compress is compressed in a thread."""
        if PLAIN[framing] == framing or len(message.payload) < THREAD_BYTES_MIN:
            return self.frame(framing, message)
        self.counts.frames += 1
        return await asyncio.to_thread(self.framings[framing], message)

    def hearing(self, uuid: str, evse: str, sources: Collection[str] = ()) -> Sequence[Audience]:
        """Who hears of an EVSE (key) at a station; nobody where the registry does not know the station."""
        station = self.view.directory.stations.get(uuid)
        return () if station is None else self.audiences.of(station, evse, sources)

    def hears(self, channel: Channel, station: Station | None) -> bool:
        """Whether a channel is told of a station's changes, with this record of it."""
        state = None if station is None else self.view.get(station.uuid)
        if station is None or state is None:
            return False
        subscription = channel.subscription
        sources = state.sources_ever() if self.dialects[subscription.dialect].batched else ()
        return subscription.selection.covers(station, state.changes, sources)

    def missed(self, channel: Channel, state: StationState, since: int, told: int) -> list[bytes]:
        """Rows about a station for one who came back at `since`, and was told of all up to `told` since."""
        view, selection = self.view, channel.subscription.selection
        dialect = self.dialects[channel.subscription.dialect]
        former = view.former(state, since) if selection.by_record else []
        moved: list[bytes] = []
        if former:
            relocated = dialect.relocated(view, selection, former, state, since, state.seq)
            moved += [row for row, _, _ in relocated]
        rows = self.whereabouts(channel, state, former) if channel in self.telling_records else []
        if self.hears(channel, view.directory.stations.get(state.uuid)) and (dialect.batched or not moved):
            rows += dialect.missed(view, state, selection, told)
        return [*rows, *moved]

    def whereabouts(self, channel: Channel, state: StationState, former: Iterable[Station]) -> list[bytes]:
        """The record of a station, or that it has gone, for one who may not know."""
        view, selection = self.view, channel.subscription.selection
        dialect = self.dialects[channel.subscription.dialect]
        station = view.directory.stations.get(state.uuid)
        if station is None:
            return []
        if view.shows(state, selection):
            return [dialect.record(view, state)]
        was_there = any(
            selection.covers(each, state.changes, state.sources_ever()) for each in (station, *former)
        )
        return [dialect.gone(state.uuid)] if was_there else []

    def write(self, subscriber: Subscriber, data: bytes, messages: int = 1) -> None:
        """Writes what is one consumer's own; what all share is counted by `Subscriber.settle`."""
        self.counts.bytes_out += len(data)
        subscriber.messages += messages
        subscriber.bytes += len(data)
        subscriber.sink.write(data)

    def confirmations(self, channel: Channel) -> int:
        """How often something was confirmed, where the channel's consumers are told."""
        is_told = self.dialects[channel.subscription.dialect].batched
        return self.view.confirmations if is_told else 0

    def set_alarm(self) -> None:
        """Sees to it that the loop wakes when the next message or heartbeat is due."""
        due_s = min(
            (
                channel.heartbeat_due_s
                if channel.rows_due_s is None
                else min(channel.rows_due_s, channel.heartbeat_due_s)
                for channel in self.all.values()
            ),
            default=None,
        )
        if self.alarm is not None:
            self.alarm.cancel()
            self.alarm = None
        if due_s is not None:
            loop = asyncio.get_running_loop()
            self.alarm = loop.call_later(max(0.0, due_s - self.clock_s()), self.wake.set)
