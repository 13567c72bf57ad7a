"""Whatever happens in whatever order: each consumer's state is the server's at every position it is told of.

Windows and chunks are made small, so that consumers fall out of the window and are caught up all the time.
The faults at the end show that what is wrong is found.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from typing import Any, Final
from unittest.mock import patch

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.building import NOW, make_change, make_report, make_station, recorded
from tests.listening import FRAMINGS, Consumer, Modern, Nobil, Truth
from tests.reading import holders

from ladestrom.backends.memory import MemoryLog
from ladestrom.core.directory import Directory
from ladestrom.core.selection import EVERYTHING, Box, Selection
from ladestrom.core.view import StationState, View
from ladestrom.formats.dialect import Message
from ladestrom.model import Change, Status
from ladestrom.outputs.nobil_v1.encoder import NobilDialect, NobilFormat
from ladestrom.outputs.stream_v2.encoder import Attribution, Limits, V2Dialect
from ladestrom.reader.audience import Audience
from ladestrom.reader.broadcast import Broadcast
from ladestrom.reader.channel import Channel, Snapshot
from ladestrom.reader.channels import BroadcastLimits
from ladestrom.reader.snapshots import Snapshots
from ladestrom.reader.subscriptions import Phase as ChannelPhase
from ladestrom.reader.subscriptions import Subscriber, Subscription

WINDOW_BYTES: Final = 2_500
CHUNK_BYTES: Final = 600
ROWS_PER_MESSAGE: Final = 5
RAW_PER_PASS: Final = 3
HEARTBEAT_S: Final = 10.0
STATIONS: Final = (
    make_station("NOR_00001", evses=2),
    make_station("NOR_00002", evses=1, connectors=2, longitude=20.0),
    make_station("SWE_00003", evses=2),
)
EVSES: Final = [evse for station in STATIONS for evse in station.evses]
SELECTIONS: Final = (
    EVERYTHING,
    Selection(country=frozenset({"NOR"})),
    Selection(station=frozenset({"NOR_00002", "SWE_00003"})),
    Selection(box=Box(0, 0, 15, 90)),
)
STATUSES: Final = (Selection(status=frozenset({Status.AVAILABLE, Status.CHARGING})),)
LIMITS: Final = Limits(
    history_seq=0, message_bytes_max=0, inbound_bytes_max=0, inbound_messages_per_minute_max=0, heartbeat_s=0
)

Step = tuple[str, Any]


class World:
    """A broadcast, its log, its clock, and consumers that come and go."""

    def __init__(self) -> None:
        self.truth = Truth(STATIONS)
        self.log = MemoryLog("e")
        self.now_s = 0.0
        self.broadcast = Broadcast(
            self.log,
            View(Directory(STATIONS), "e"),
            {"v1": NobilDialect(NobilFormat()), "v2": V2Dialect(LIMITS, Attribution())},
            FRAMINGS,
            BroadcastLimits(raw_items_max=RAW_PER_PASS, heartbeat_s=HEARTBEAT_S),
            clock_s=self.clock_s,
            clock=lambda: NOW,
        )
        self.consumers: list[Consumer] = []

    def clock_s(self) -> float:
        """Everything takes a millisecond."""
        self.now_s += 0.001
        return self.now_s

    async def do(self, step: Step) -> None:
        name, argument = step
        await getattr(self, name)(argument)

    async def append(self, changes: list[tuple[int, Status, bool]]) -> None:
        made: list[Change] = []
        held = self.truth.held(len(self.truth.log))
        for place, (number, status, error) in enumerate(changes):
            evse = EVSES[number]
            was = held.get(evse.key)
            held[evse.key] = change = make_change(
                evse,
                status,
                NOW + 7 * len(self.truth.log) + place,
                error=error or status is Status.OUTOFORDER,
                was_status=Status.UNKNOWN if was is None else was.status,
                was_error=False if was is None else was.error,
            )
            made.append(change)
        entries = await self.log.append(made)
        self.truth.add(entries)
        self.broadcast.take(entries)

    async def offer(self, number: int) -> None:
        self.broadcast.offer(EVSES[number], make_report(EVSES[number], Status.CHARGING, NOW), NOW)

    async def deliver(self, seconds: float) -> None:
        self.now_s += seconds
        await self.broadcast._fanout.once()
        self.broadcast._encoding.raw_left = RAW_PER_PASS

    async def join(self, subscription: tuple[int, str, bool, bool, bool]) -> None:
        selection, framing, updates, raw, snapshot = subscription
        consumer = Nobil(
            self.truth,
            SELECTIONS[selection % len(SELECTIONS)],
            chunk_bytes_max=CHUNK_BYTES,
            framing=framing,
            updates=updates,
            raw=raw,
        )
        self.consumers.append(consumer)
        consumer.attach(self.broadcast, snapshot=snapshot)

    async def join_v2(self, subscription: tuple[int, str, int]) -> None:
        selection, framing, batch_ms = subscription
        consumer = Modern(
            self.truth,
            (*SELECTIONS, *STATUSES)[selection],
            chunk_bytes_max=CHUNK_BYTES,
            framing=framing,
            batch_ms=batch_ms,
        )
        self.consumers.append(consumer)
        consumer.attach(self.broadcast)

    async def leave(self, number: int) -> None:
        if found := [consumer for consumer in self.consumers if consumer.attached]:
            found[number % len(found)].detach()

    async def come_back(self, number: int) -> None:
        if found := [consumer for consumer in self.consumers if not consumer.attached]:
            found[number % len(found)].attach(self.broadcast)

    async def stall(self, number: int) -> None:
        if found := [consumer for consumer in self.consumers if consumer.attached]:
            found[number % len(found)].stalled = True

    async def drain(self, number: int) -> None:
        if found := [consumer for consumer in self.consumers if consumer.attached]:
            found[number % len(found)].drain()

    async def forget(self, number: int) -> None:
        station = STATIONS[number % len(STATIONS)]
        entries = await self.log.append([recorded(self.broadcast.view, station).change])
        self.truth.add(entries)
        self.broadcast.take(entries)

    async def end(self) -> None:
        """Everybody drains, everything due goes out: nobody may lack anything."""
        for consumer in self.consumers:
            if not consumer.attached:
                consumer.attach(self.broadcast)
            consumer.drain()
        await self.deliver(HEARTBEAT_S)
        await self.deliver(HEARTBEAT_S)
        for consumer in self.consumers:
            consumer.finish()
            if isinstance(consumer, Modern):
                assert consumer.beats > 0
            consumer.detach()
        assert (self.broadcast.consumers, self.broadcast.channels) == (0, 0)


CHANGES = st.lists(
    st.tuples(
        st.integers(0, len(EVSES) - 1),
        st.sampled_from([Status.AVAILABLE, Status.CHARGING, Status.OUTOFORDER, Status.REMOVED, *Status]),
        st.booleans(),
    ),
    min_size=1,
    max_size=12,
)
SELECTED = st.integers(0, len(SELECTIONS) + len(STATUSES) - 1)
FRAMED = st.sampled_from(["text", "deflate"])
MOSTLY = st.sampled_from([True, True, True, False])
NUMBERS = st.integers(0, 5)
STEPS = st.one_of(
    st.tuples(st.just("append"), CHANGES),
    st.tuples(st.just("append"), CHANGES),
    st.tuples(st.just("deliver"), st.sampled_from([0.0, 0.05, 0.2, HEARTBEAT_S])),
    st.tuples(st.just("join"), st.tuples(SELECTED, FRAMED, MOSTLY, st.booleans(), MOSTLY)),
    st.tuples(st.just("join_v2"), st.tuples(SELECTED, FRAMED, st.sampled_from([0, 100]))),
    st.tuples(st.just("offer"), st.integers(0, len(EVSES) - 1)),
    st.tuples(st.sampled_from(["stall", "stall", "drain"]), NUMBERS),
    st.tuples(st.sampled_from(["leave", "come_back", "forget"]), NUMBERS),
)


def live(steps: Sequence[Step]) -> None:
    """One world from its beginning to its end."""

    async def run() -> None:
        world = World()
        for step in steps:
            await world.do(step)
        await world.end()

    small = {
        "WINDOW_BYTES_MAX": WINDOW_BYTES,
        "CHUNK_BYTES_MAX": CHUNK_BYTES,
        "BATCH_ROWS_MAX": ROWS_PER_MESSAGE,
    }
    with ExitStack() as stack:
        for name, value in small.items():
            for module in holders(name):
                stack.enter_context(patch.object(module, name, value))
        asyncio.run(run())


LIVES = st.lists(STEPS, min_size=40, max_size=120)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(LIVES)
def test_every_consumers_state_is_the_servers_at_every_position_it_is_told_of(steps: list[Step]) -> None:
    live(steps)


# -- faults -----------------------------------------------------------------------------------------------

add = Audience.add
take_snapshot = Snapshots.take
fall_behind = Broadcast._fall_behind
join = Broadcast.join
pump = Broadcast.pump
update = NobilFormat.update
changes = V2Dialect.changes


class Every:
    """True each so many times."""

    def __init__(self, times: int) -> None:
        self._times = times
        self._count = 0

    def __bool__(self) -> bool:
        self._count += 1
        return self._count % self._times == 0


Put = Callable[[Any], None]


def faulty_puts(fault: Callable[[Put], Put]) -> Any:
    """Every way of a change into a channel goes through `fault`."""

    def faulty(self: Audience, channel: Channel, batched: Callable[[str], bool]) -> None:
        add(self, channel, batched)
        for part in (self.single, self.gathering):
            for puts in part.values():
                if channel in puts:
                    puts[channel] = fault(puts[channel])

    return patch.object(Audience, "add", faulty)


def skips_a_frame() -> Any:
    now = Every(7)

    def fault(put: Put) -> Put:
        return lambda item: None if now else put(item)

    return faulty_puts(fault)


def doubles_a_frame() -> Any:
    now = Every(7)

    def fault(put: Put) -> Put:
        def faulty(item: Any) -> None:
            put(item)
            if now:
                put(item)

        return faulty

    return faulty_puts(fault)


def swaps_frames() -> Any:
    now = Every(5)

    def fault(put: Put) -> Put:
        items: list[Any] = put.__self__  # type: ignore[attr-defined]

        def faulty(item: Any) -> None:
            put(item)
            if now and len(items) > 1:
                one, other = items[-2:]
                items[-2:] = [(other[0], *one[1:]), (one[0], *other[1:])]

        return faulty

    return faulty_puts(fault)


def snapshot_without_what_follows_it() -> Any:
    def faulty(self: Snapshots, subscriber: Subscriber, made: Snapshot) -> None:
        take_snapshot(self, subscriber, msgspec.structs.replace(made, next=subscriber.channel.end))

    return patch.object(Snapshots, "take", faulty)


def snapshot_with_what_it_holds_already() -> Any:
    def faulty(self: Snapshots, subscriber: Subscriber, made: Snapshot) -> None:
        take_snapshot(self, subscriber, msgspec.structs.replace(made, next=subscriber.channel.start))

    return patch.object(Snapshots, "take", faulty)


def forgets_where_a_consumer_stood() -> Any:
    def faulty(self: Broadcast, subscriber: Subscriber) -> None:
        subscriber.resume_seq = 0
        fall_behind(self, subscriber)

    return patch.object(Broadcast, "_fall_behind", faulty)


def believes_that_a_consumer_behind_has_all() -> Any:
    def faulty(self: Broadcast, subscriber: Subscriber) -> None:
        subscriber.resume_seq = max(subscriber.resume_seq, self.view.seq - 1)
        fall_behind(self, subscriber)

    return patch.object(Broadcast, "_fall_behind", faulty)


def goes_on_at_the_end_of_the_window() -> Any:
    def faulty(self: Broadcast, subscriber: Subscriber) -> None:
        subscriber.next = subscriber.channel.start

    return patch.object(Broadcast, "_fall_behind", faulty)


def tells_a_wrong_seq() -> Any:
    def faulty(self: NobilFormat, view: View, state: StationState, change: Change | None = None) -> bytes:
        told = update(self, view, state, change)
        return told.replace(b'"seq":%d' % state.seq, b'"seq":%d' % view.seq) if state.seq % 5 else told

    return patch.object(NobilFormat, "update", faulty)


def tells_a_seq_too_early() -> Any:
    def faulty(self: V2Dialect, view: View, prev: int, seq: int, rows: Iterable[bytes]) -> Sequence[Message]:
        rows = list(rows)
        return changes(self, view, prev, seq, rows[:-1] if len(rows) > 2 else rows)

    return patch.object(V2Dialect, "changes", faulty)


def tells_a_snapshot_after_what_follows_it() -> Any:
    def faulty(self: Broadcast, sink: Any, subscription: Subscription, **members: Any) -> Subscriber:
        if members.get("snapshot") and members["since"] is None:
            for channel in self._channels.all.values():
                if channel.subscription == subscription and channel.end > channel.start:
                    sink.write(channel.chunk(channel.start)[0])
        return join(self, sink, subscription, **members)

    return patch.object(Broadcast, "join", faulty)


def writes_to_those_who_are_paused() -> Any:
    def faulty(self: Broadcast, subscriber: Subscriber) -> None:
        channel = subscriber.channel
        while subscriber.phase is ChannelPhase.LIVE and channel.start <= subscriber.next < channel.end:
            data, subscriber.next, subscriber.resume_seq = channel.chunk(subscriber.next)
            subscriber.sink.write(data)
        pump(self, subscriber)

    return patch.object(Broadcast, "pump", faulty)


FAULTS: Final[list[Callable[[], Any]]] = [
    skips_a_frame,
    doubles_a_frame,
    swaps_frames,
    snapshot_without_what_follows_it,
    snapshot_with_what_it_holds_already,
    forgets_where_a_consumer_stood,
    believes_that_a_consumer_behind_has_all,
    goes_on_at_the_end_of_the_window,
    tells_a_wrong_seq,
    tells_a_seq_too_early,
    tells_a_snapshot_after_what_follows_it,
    writes_to_those_who_are_paused,
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_broadcast_that_is_wrong_is_found(fault: Callable[[], Any]) -> None:
    @settings(
        derandomize=True,
        database=None,
        max_examples=60,
        phases=[Phase.generate],
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(LIVES)
    def check(steps: list[Step]) -> None:
        with fault():
            live(steps)

    with pytest.raises(AssertionError):
        check()
