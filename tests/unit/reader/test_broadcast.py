from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any, ClassVar

import msgspec
import pytest
from tests.building import NOW, TIMES, make_change, make_evse, make_report, make_station, recorded
from tests.digests import digest
from tests.listening import FRAMINGS, instant
from tests.patience import come_true, scaled
from tests.reading import holders

import ladestrom.reader.broadcast
from ladestrom import tasks
from ladestrom.backends.memory import MemoryLog
from ladestrom.core.directory import Directory
from ladestrom.core.selection import EVERYTHING, Selection
from ladestrom.core.view import StationState, View
from ladestrom.errors import LogDamaged, LogFailure, LogTrimmed, Overloaded
from ladestrom.formats.dialect import Message
from ladestrom.model import Change, Entry, Evse, Position, Station, Status
from ladestrom.outputs.nobil_v1.encoder import NobilDialect, NobilFormat
from ladestrom.outputs.stream_v2.encoder import Attribution, Limits, V2Dialect, V2Drawing
from ladestrom.ports.log import StationRow
from ladestrom.ports.signals import Tally
from ladestrom.reader.broadcast import Broadcast
from ladestrom.reader.channel import Channel
from ladestrom.reader.channels import COMPRESSED_FRAMES_MAX, BroadcastLimits
from ladestrom.reader.fanout import SLICE_CONSUMERS
from ladestrom.reader.subscriptions import Phase, Subscriber, Subscription
from ladestrom.reader.walks import WALKS_MAX
from ladestrom.tasks import Turns

STATIONS = [make_station(f"NOR_{number:05d}", evses=2) for number in range(1, 41)]
FIRST, SECOND = STATIONS[0], STATIONS[1]


def everywhere(monkeypatch: pytest.MonkeyPatch, name: str, value: object) -> None:
    """Gives something of the read side another value."""
    for module in holders(name):
        monkeypatch.setattr(module, name, value)


def hold_works(monkeypatch: pytest.MonkeyPatch, held: type[Turns]) -> None:
    """Gives these turns to all that works through stations; the log is followed on."""
    everywhere(monkeypatch, "Turns", held)
    monkeypatch.setattr(ladestrom.reader.broadcast, "Turns", Turns)


ALL = Subscription(EVERYTHING)
SILENT = Subscription(EVERYTHING, raw=False)
V2 = Subscription(EVERYTHING, raw=False, dialect="v2")
NORWAY = Selection(country=frozenset({"NOR"}))
Read = Callable[[int, int], Coroutine[Any, Any, Sequence[Entry]]]
V2_LIMITS = Limits(
    history_seq=0, message_bytes_max=0, inbound_bytes_max=0, inbound_messages_per_minute_max=0, heartbeat_s=20
)


class Sink:
    """Keeps what it is handed; pauses where it is told to, or after so many bytes."""

    def __init__(self, pauses_after: int | None = None) -> None:
        self.paused = False
        self.written: list[bytes] = []
        self.overran: Position | None = None
        self.stopped_at: Position | None = None
        self._left = pauses_after

    def write(self, data: bytes) -> None:
        self.written.append(data)
        if self._left is not None:
            self._left -= len(data)
            self.paused = self.paused or self._left <= 0

    def overrun(self, position: Position) -> None:
        self.overran = position

    def interrupted(self, position: Position) -> None:
        self.stopped_at = position

    @property
    def messages(self) -> list[Any]:
        return [json.loads(line.removeprefix(b"~")) for line in b"".join(self.written).splitlines()]

    def told(self, kind: str) -> list[Any]:
        return [message for message in self.messages if message["type"] == kind]


class Writer:
    """Somebody who appends, or does not."""

    appending: asyncio.Future[None] | None = None

    def known_tallies(self) -> dict[str, Tally]:
        """None."""
        return {}


class Serving:
    """A broadcast over a log."""

    def __init__(self, stations: list[Station], **limits: Any) -> None:
        self.log = MemoryLog("e")
        self.broadcast = Broadcast(
            self.log,
            View(Directory(stations), "e"),
            {"v1": NobilDialect(NobilFormat()), "v2": V2Dialect(V2_LIMITS, Attribution())},
            FRAMINGS,
            BroadcastLimits(**limits),
            clock=lambda: NOW,
        )
        self._made = 0

    def join(self, sink: Sink, subscription: Subscription = ALL, **members: Any) -> Subscriber:
        return self.broadcast.join(sink, subscription, **{"since": None, "snapshot": True} | members)

    async def change(self, *evses: Evse, status: Status | None = None) -> None:
        changes = []
        for evse in evses:
            self._made += 1
            said = status or (Status.AVAILABLE, Status.CHARGING)[self._made % 2]
            changes.append(make_change(evse, said, NOW + self._made))
        await self.log.append(changes)

    async def record(self, station: Station) -> None:
        await self.log.append([recorded(self.broadcast.view, station).change])
        await self.taken()

    def begin_append(self) -> asyncio.Future[None]:
        """Somebody's append is under way from now on, until this is done."""
        self.broadcast.writer = writer = Writer()
        writer.appending = asyncio.get_running_loop().create_future()
        return writer.appending

    async def taken(self) -> None:
        """Until the broadcast has applied what the log holds."""
        await come_true(lambda: self.broadcast.view.seq == self.log.last.seq)

    async def delivered(self, *sinks: Sink) -> None:
        """Until each of these was told of everything."""
        await self.taken()
        await come_true(lambda: all(self.last(sink) == self.log.last.seq for sink in sinks))

    @staticmethod
    def last(sink: Sink) -> int:
        return max((message["seq"] for message in sink.messages if "seq" in message), default=-1)


@contextlib.asynccontextmanager
async def serving(stations: list[Station] | None = None, **limits: Any) -> AsyncIterator[Serving]:
    found = Serving(STATIONS if stations is None else stations, **limits)
    task = asyncio.create_task(found.broadcast.run())
    try:
        yield found
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


class TestPass:
    async def test_what_one_that_catches_up_has_made_is_told_to_those_served_before_it(self) -> None:
        patient = Subscription(EVERYTHING, raw=False, dialect="v2", batch_ms=3_600_000)
        async with serving(heartbeat_s=3_600) as at:
            others = [Sink() for _ in range(8)]
            for sink in others:
                at.join(sink, patient)
            await at.change(FIRST.evses[0])
            await at.taken()
            behind = Sink()
            behind.paused = True
            at.join(behind, patient, since=Position("e", 0))
            behind.paused = False
            await at.change(SECOND.evses[0])
            await at.delivered(behind, *others)

    async def test_all_consumers_of_many_slices_get_each_change_once_and_in_order(self) -> None:
        async with serving() as at:
            sinks = [Sink() for _ in range(3 * SLICE_CONSUMERS + 1)]
            for number, sink in enumerate(sinks):
                at.join(sink, SILENT)
                if number % 100 == 0:
                    await at.change(FIRST.evses[0])
            for _ in range(5):
                await at.change(SECOND.evses[0], SECOND.evses[1])
                await asyncio.sleep(0)
            await at.delivered(*sinks)
            for sink in sinks:
                told = [message["seq"] for message in sink.told("status:update")]
                begins = sink.told("snapshot:init")[0]["seq"]
                assert told == list(range(begins + 1, at.log.last.seq + 1))

    async def test_an_append_that_is_under_way_is_let_through(self, monkeypatch: pytest.MonkeyPatch) -> None:
        everywhere(monkeypatch, "APPEND_S_MAX", 60)
        async with serving() as at:
            sinks = [Sink() for _ in range(2 * SLICE_CONSUMERS)]
            for sink in sinks:
                at.join(sink, SILENT, snapshot=False)
            append = at.begin_append()
            await at.change(FIRST.evses[0])
            await come_true(lambda: any(sink.written for sink in sinks))
            await at.change(FIRST.evses[1])
            await at.taken()
            early = sum(1 for sink in sinks if sink.written)
            assert early < len(sinks)
            append.set_result(None)
            await at.delivered(*sinks)
            # Those that were still to be served are told of both at once, in the same pass.
            assert sorted(len(sink.written) for sink in sinks) == [1] * (len(sinks) - early) + [2] * early

    async def test_consumers_of_many_channels_are_served_in_slices_too(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        everywhere(monkeypatch, "APPEND_S_MAX", 60)
        async with serving() as at:
            sinks = [Sink() for _ in range(2 * SLICE_CONSUMERS)]
            for number, sink in enumerate(sinks):
                subscription = Subscription(
                    Selection(country=frozenset({"NOR", f"X{number:03d}"})), raw=False
                )
                at.join(sink, subscription, snapshot=False)
            append = at.begin_append()
            await at.change(FIRST.evses[0])
            await come_true(lambda: any(sink.written for sink in sinks))
            assert not all(sink.written for sink in sinks)
            append.set_result(None)
            await at.delivered(*sinks)

    async def test_work_in_the_background_waits_for_a_pass(self, monkeypatch: pytest.MonkeyPatch) -> None:
        everywhere(monkeypatch, "APPEND_S_MAX", 60)
        monkeypatch.setattr(tasks, "BACKGROUND_EVERY_S", 3_600)
        async with serving() as at:
            sinks = [Sink() for _ in range(2 * SLICE_CONSUMERS)]
            for sink in sinks:
                at.join(sink, SILENT, snapshot=False)
            await tasks.background().turn()
            append = at.begin_append()
            await at.change(FIRST.evses[0])
            await come_true(lambda: any(sink.written for sink in sinks))
            turn = tasks.background().turn()
            await at.change(FIRST.evses[1])
            await at.taken()
            assert not turn.done()
            append.set_result(None)
            await at.delivered(*sinks)
            await turn

    async def test_an_append_that_does_not_end_holds_up_nobody(self) -> None:
        async with serving() as at:
            sinks = [Sink() for _ in range(4 * SLICE_CONSUMERS)]
            for sink in sinks:
                at.join(sink, SILENT, snapshot=False)
            append = at.begin_append()
            await at.change(FIRST.evses[0])
            await at.delivered(*sinks)
            assert not append.done()


class TestJoin:
    async def test_the_snapshot_comes_first_and_then_each_change_once(self) -> None:
        async with serving() as at:
            await at.change(FIRST.evses[0])
            await at.taken()
            sink = Sink()
            at.join(sink)
            assert [message["type"] for message in sink.messages] == ["snapshot:init"]
            assert sink.messages[0]["seq"] == 1
            for _ in range(3):
                await at.change(FIRST.evses[0], SECOND.evses[1])
            await at.delivered(sink)
            assert [message["seq"] for message in sink.messages] == [1, 2, 3, 4, 5, 6, 7]

    async def test_without_a_snapshot_only_what_follows_is_told(self) -> None:
        async with serving() as at:
            await at.change(FIRST.evses[0])
            await at.taken()
            sink = Sink()
            at.join(sink, snapshot=False)
            await at.change(FIRST.evses[1])
            await at.delivered(sink)
            assert [message["type"] for message in sink.messages] == ["status:update"]

    async def test_what_is_not_wanted_is_not_told(self) -> None:
        async with serving() as at:
            nothing, raws = Sink(), Sink()
            at.join(nothing, Subscription(EVERYTHING, updates=False, raw=False))
            at.join(raws, Subscription(EVERYTHING, updates=False), snapshot=False)
            witness = Sink()
            at.join(witness, SILENT)
            await at.change(FIRST.evses[0])
            await at.delivered(witness)
            at.broadcast.offer(FIRST.evses[0], make_report(FIRST.evses[0]), NOW)
            await come_true(lambda: len(raws.messages) == 1)
            assert [message["type"] for message in nothing.messages] == ["snapshot:init"]
            assert [message["type"] for message in raws.messages] == ["status:raw"]

    async def test_a_snapshot_is_of_now_where_no_updates_follow(self) -> None:
        subscription = Subscription(EVERYTHING, updates=False, raw=False)
        async with serving() as at:
            early, late = Sink(), Sink()
            at.join(early, subscription)
            await at.change(FIRST.evses[0])
            await at.taken()
            at.join(late, subscription)
            assert [sink.messages[0]["seq"] for sink in (early, late)] == [0, 1]

    async def test_a_selection_narrows_snapshot_updates_and_raw(self) -> None:
        async with serving() as at:
            await at.change(FIRST.evses[0], SECOND.evses[0])
            await at.taken()
            sink, witness = Sink(), Sink()
            at.join(sink, Subscription(Selection(station=frozenset({SECOND.uuid}))))
            at.join(witness)
            await at.change(FIRST.evses[0], SECOND.evses[0])
            for evse in (FIRST.evses[0], SECOND.evses[0]):
                at.broadcast.offer(evse, make_report(evse), NOW)
            await at.delivered(witness)
            await come_true(lambda: len(witness.told("status:raw")) == 2 and len(sink.messages) == 3)
            assert [station["uuid"] for station in sink.messages[0]["data"]] == [SECOND.uuid]
            assert {message["data"]["uuid"] for message in sink.messages[1:]} == {SECOND.uuid}

    async def test_consumers_who_join_together_share_one_snapshot(self) -> None:
        async with serving() as at:
            await at.change(*(station.evses[0] for station in STATIONS))
            await at.taken()
            sinks = [Sink() for _ in range(5)]
            frames = at.broadcast.counts.frames
            for sink in sinks:
                at.join(sink)
            assert at.broadcast.counts.frames == frames + 1
            assert all(sink.written[0] is sinks[0].written[0] for sink in sinks)

    async def test_a_snapshot_that_is_not_new_is_made_up_for_by_what_follows_it(self) -> None:
        now_s = 0.0

        def clock_s() -> float:
            nonlocal now_s
            now_s += 1
            return now_s

        async with serving() as at:
            at.broadcast._channels.clock_s = clock_s
            await at.change(FIRST.evses[0])
            await at.taken()
            early, late = Sink(), Sink()
            at.join(early)
            await at.change(FIRST.evses[1])
            await at.taken()
            at.join(late)
            assert late.written[0] is early.written[0]
            assert [message["seq"] for message in late.messages] == [1, 2]

    async def test_there_are_no_more_different_selections_than_the_limit(self) -> None:
        async with serving(channels_max=2) as at:
            at.join(Sink(), ALL)
            leaving = at.join(Sink(), SILENT)
            at.join(Sink(), ALL)
            with pytest.raises(Overloaded, match="2 different selections"):
                at.join(Sink(), Subscription(NORWAY))
            assert (at.broadcast.consumers, at.broadcast.channels) == (3, 2)
            at.broadcast.leave(leaving)
            at.join(Sink(), Subscription(NORWAY))


class TestJoinInTurns:
    """Who selects many stations: the snapshot is made in turns of the loop."""

    @pytest.fixture(autouse=True)
    def gate(self, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
        """Whatever is made in turns stands after its first stations, until this is set."""
        gate = asyncio.Event()

        class Held(Turns):
            async def rest(self) -> None:
                await gate.wait()

        everywhere(monkeypatch, "STATIONS_AT_ONCE", 0)
        hold_works(monkeypatch, Held)
        return gate

    async def begun(self, at: Serving) -> None:
        """Every station has changed, and some are in what is being made."""
        await come_true(lambda: bool(at.broadcast.view._walks))

    async def filled(self, at: Serving) -> None:
        await at.change(*(station.evses[0] for station in STATIONS))
        await at.taken()

    @pytest.mark.parametrize("subscription", [ALL, V2], ids=["v1", "v2"])
    async def test_it_shows_the_state_in_which_it_was_begun_and_each_change_follows_once(
        self, gate: asyncio.Event, subscription: Subscription
    ) -> None:
        async with serving() as at:
            await self.filled(at)
            sink = Sink()
            subscriber = at.join(sink, subscription)
            await self.begun(at)
            assert subscriber.is_at(Phase.JOINING)
            visited, others = STATIONS[0], STATIONS[-1]
            await at.change(visited.evses[0], others.evses[0], others.evses[1], visited.evses[0])
            await at.taken()
            assert sink.messages == []
            gate.set()
            await at.delivered(sink)
            snapshot, *updates = sink.messages
            assert snapshot["seq"] == len(STATIONS)
            if subscription is V2:
                assert {row["changed_at"] for row in snapshot["evses"]} == {
                    instant(NOW + number) for number in range(1, len(STATIONS) + 1)
                }
                (message,) = updates
                assert (message["prev"], message["seq"]) == (len(STATIONS), len(STATIONS) + 4)
                assert len(message["changes"]) == 4
            else:
                shown = {station["connectors"][0]["timestamp"] for station in snapshot["data"]}
                assert shown == {NOW + number for number in range(1, len(STATIONS) + 1)}
                assert [message["seq"] for message in updates] == [41, 42, 43, 44]

    async def test_those_who_wait_share_one(self, gate: asyncio.Event) -> None:
        async with serving() as at:
            await self.filled(at)
            sinks = [Sink() for _ in range(4)]
            at.join(sinks[0])
            await self.begun(at)
            frames = at.broadcast.counts.frames
            for sink in sinks[1:]:
                at.join(sink)
            gate.set()
            await at.delivered(*sinks)
            assert at.broadcast.counts.frames == frames + 1
            assert all(sink.written[0] is sinks[0].written[0] for sink in sinks)

    async def test_no_more_are_made_at_once_than_the_limit(self, gate: asyncio.Event) -> None:
        async with serving() as at:
            await self.filled(at)
            sinks = [Sink() for _ in range(5)]
            for number, sink in enumerate(sinks):
                at.join(sink, Subscription(Selection(country=frozenset({"NOR", f"X{number:03d}"}))))
            await self.begun(at)
            await at.change(FIRST.evses[0])
            await at.taken()
            assert len(at.broadcast.view._walks) == WALKS_MAX
            gate.set()
            await at.delivered(*sinks)
            # What could not be begun yet is of when it was.
            begun = sorted(sink.messages[0]["seq"] for sink in sinks)
            assert begun == [40] * WALKS_MAX + [41] * (5 - WALKS_MAX)

    async def test_nothing_is_left_of_one_that_leaves_while_it_waits(self, gate: asyncio.Event) -> None:
        async with serving() as at:
            await self.filled(at)
            gate.set()
            follows = Sink()
            at.join(follows, SILENT)
            await at.delivered(follows)
            await at.change(FIRST.evses[0])
            await at.delivered(follows)
            gate.clear()
            at.broadcast._channels.all[SILENT].snapshot = None
            sinks = [Sink(), Sink(), Sink()]
            waiting = [
                at.join(sink, subscription)
                for sink, subscription in zip(sinks, (SILENT, ALL, V2), strict=True)
            ]
            await self.begun(at)
            for subscriber in waiting:
                at.broadcast.leave(subscriber)
            assert not at.broadcast._snapshots.works
            assert (at.broadcast.consumers, at.broadcast.channels) == (1, 1)
            await come_true(lambda: not at.broadcast.view._walks)
            gate.set()
            await at.change(FIRST.evses[0])
            await at.delivered(follows)
            assert [sink.written for sink in sinks] == [[], [], []]

    async def test_the_others_get_theirs_when_one_leaves(self, gate: asyncio.Event) -> None:
        async with serving() as at:
            await self.filled(at)
            gone, stays = Sink(), Sink()
            leaving = at.join(gone)
            at.join(stays)
            await self.begun(at)
            at.broadcast.leave(leaving)
            gate.set()
            await at.delivered(stays)
            assert gone.written == []

    async def test_one_that_selects_anew_meanwhile_gets_only_the_snapshot_of_its_new_selection(
        self, gate: asyncio.Event
    ) -> None:
        async with serving() as at:
            await self.filled(at)
            sink = Sink()
            subscriber = at.join(sink, V2)
            await self.begun(at)
            narrow = Subscription(Selection(station=frozenset({SECOND.uuid})), raw=False, dialect="v2")
            at.broadcast.select(subscriber, narrow)
            assert at.broadcast.channels == 1
            gate.set()
            await come_true(lambda: bool(sink.told("snapshot")))
            assert [message["type"] for message in sink.messages] == ["selected", "snapshot"]
            assert [row["station"] for row in sink.messages[1]["evses"]] == [SECOND.uuid]

    async def test_where_no_updates_follow_it_is_not_older_than_the_request(
        self, gate: asyncio.Event
    ) -> None:
        subscription = Subscription(EVERYTHING, updates=False, raw=False)
        async with serving() as at:
            await self.filled(at)
            early, late = Sink(), Sink()
            at.join(early, subscription)
            await self.begun(at)
            await at.change(FIRST.evses[0])
            await at.taken()
            at.join(late, subscription)
            gate.set()
            await come_true(lambda: bool(early.written and late.written))
            assert [sink.messages[0]["seq"] for sink in (early, late)] == [40, 41]

    async def test_a_record_that_changes_meanwhile_is_told_after_it(self, gate: asyncio.Event) -> None:
        async with serving() as at:
            await self.filled(at)
            sinks = [Sink(), Sink()]
            at.join(sinks[0])
            await self.begun(at)
            last = STATIONS[-1]
            await at.record(make_station(last.uuid, [*last.evses, make_evse("NO*ABC*E9", last.uuid)]))
            at.join(sinks[1])
            gate.set()
            await at.delivered(*sinks)
            for sink in sinks:
                snapshot, update = sink.messages
                assert [len(station["connectors"]) for station in snapshot["data"]] == [2] * 40
                assert (update["data"]["uuid"], len(update["data"]["connectors"])) == (last.uuid, 3)

    async def test_a_station_that_leaves_the_selection_meanwhile_is_shown_and_then_taken_out(
        self, gate: asyncio.Event
    ) -> None:
        async with serving(heartbeat_s=0.1) as at:
            await self.filled(at)
            sink = Sink()
            at.join(sink, Subscription(NORWAY, raw=False, dialect="v2"))
            await self.begun(at)
            gone = make_station(STATIONS[-1].uuid, STATIONS[-1].evses, country="SWE")
            await at.record(gone)
            gate.set()
            await come_true(lambda: bool(sink.told("heartbeat")))
            assert len(sink.told("snapshot")[0]["evses"]) == 40
            rows = [row for message in sink.told("changes") for row in message["changes"]]
            assert [(row["station"], row["cause"]) for row in rows] == [(gone.uuid, "deselected")]
            assert sink.told("heartbeat")[0]["count"] == 39

    @pytest.mark.parametrize("every", [False, True])
    async def test_one_that_the_window_passed_meanwhile_gets_what_it_missed(
        self, gate: asyncio.Event, monkeypatch: pytest.MonkeyPatch, every: bool
    ) -> None:
        everywhere(monkeypatch, "WINDOW_BYTES_MAX", 2_000)
        async with serving() as at:
            await self.filled(at)
            sink, quick = Sink(), Sink()
            subscriber = at.join(sink, V2, every=every)
            at.join(quick, V2, snapshot=False)
            await self.begun(at)
            for _ in range(20):
                await at.change(FIRST.evses[0], SECOND.evses[0])
                await at.delivered(quick)
            assert subscriber.channel.start > 0
            gate.set()
            await at.delivered(sink)
            assert sink.messages[0]["type"] == "snapshot"
            positions = [(message["prev"], message["seq"]) for message in sink.messages[1:]]
            assert [prev for prev, _ in positions] == [40, *(seq for _, seq in positions[:-1])]
            told = sum(len(message["changes"]) for message in sink.messages[1:])
            assert told == (40 if every else 2)

    async def test_those_who_wait_are_closed_when_it_cannot_be_made(
        self, gate: asyncio.Event, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object) -> None:
            raise ValueError("a defect")

        async with serving() as at:
            await self.filled(at)
            sinks = [Sink(), Sink()]
            deaths = tasks.deaths["snapshot"]
            monkeypatch.setattr(V2Drawing, "add", fail)
            for sink in sinks:
                at.join(sink, V2)
            await come_true(lambda: all(sink.stopped_at is not None for sink in sinks))
            assert (at.broadcast.channels, tasks.deaths["snapshot"]) == (0, deaths + 1)
            assert not at.broadcast.view._walks

    async def test_what_is_large_is_compressed_in_a_thread(
        self, gate: asyncio.Event, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[tuple[str, bool]] = []

        def framing(name: str) -> Callable[[Message], bytes]:
            def frame(message: Message) -> bytes:
                seen.append((name, threading.current_thread() is threading.main_thread()))
                return FRAMINGS[name](message)

            return frame

        everywhere(monkeypatch, "THREAD_BYTES_MIN", 1)
        async with serving() as at:
            at.broadcast._channels.framings = {name: framing(name) for name in FRAMINGS}
            await self.filled(at)
            gate.set()
            sinks = [Sink(), Sink()]
            at.join(sinks[0], SILENT)
            at.join(sinks[1], Subscription(EVERYTHING, raw=False, framing="deflate"))
            await at.delivered(*sinks)
            assert sorted(seen) == [("deflate", False), ("text", True)]

    async def test_until_a_digest_is_added_up_there_are_signs_of_life_and_then_a_heartbeat(
        self, gate: asyncio.Event
    ) -> None:
        async with serving(heartbeat_s=0.05) as at:
            await self.filled(at)
            sink = Sink()
            at.join(sink, V2, since=at.log.last)
            await self.begun(at)
            await at.change(STATIONS[-1].evses[1], FIRST.evses[0])
            await come_true(lambda: len(sink.told("changes")) >= 3)
            assert sink.told("heartbeat") == []
            gate.set()
            await come_true(lambda: bool(sink.told("heartbeat")))
            prevs = [message["prev"] for message in sink.messages]
            assert prevs == [40, *(message["seq"] for message in sink.messages[:-1])]
            held = [
                held.change for state in at.broadcast.view.changed_since(0) for held in state.changes.values()
            ]
            beat = sink.told("heartbeat")[0]
            assert beat["count"] == 41
            assert beat["digest"] == digest(
                (change.evse, change.status.value, int(change.error), instant(change.changed_at))
                for change in held
            )

    async def test_nothing_is_added_up_for_a_channel_that_has_gone(self, gate: asyncio.Event) -> None:
        async with serving(heartbeat_s=0.01) as at:
            await self.filled(at)
            subscriber = at.join(Sink(), V2, since=at.log.last)
            await self.begun(at)
            at.broadcast.leave(subscriber)
            assert not at.broadcast._digests.works
            await come_true(lambda: not at.broadcast.view._walks)

    async def test_a_channel_that_goes_during_a_pass_is_not_served_by_it(self, gate: asyncio.Event) -> None:
        async with serving(heartbeat_s=3_600) as at:
            await self.filled(at)
            kept = [at.join(Sink(), V2, since=at.log.last) for _ in range(2 * SLICE_CONSUMERS)]
            gone = at.join(Sink(), Subscription(NORWAY, raw=False, dialect="v2"), since=at.log.last)
            for subscriber in (kept[0], gone):
                subscriber.channel.heartbeat_due_s = 0.0
            append = at.begin_append()
            at.broadcast._channels.wake.set()
            await self.begun(at)
            at.broadcast.leave(gone)
            append.set_result(None)
            await come_true(lambda: all(each.next == each.channel.end for each in kept))
            assert set(at.broadcast._digests.works) == {kept[0].channel}


class TestShared:
    async def test_consumers_of_one_channel_get_the_same_bytes_objects(self) -> None:
        async with serving() as at:
            sinks = [Sink() for _ in range(4)]
            for sink in sinks:
                at.join(sink)
            for _ in range(5):
                await at.change(FIRST.evses[0], SECOND.evses[0], SECOND.evses[1])
                await at.delivered(*sinks)
            first = sinks[0].written
            assert len(first) > 5
            for sink in sinks[1:]:
                assert len(sink.written) == len(first)
                assert all(mine is theirs for mine, theirs in zip(first, sink.written, strict=True))

    async def test_channels_of_one_framing_share_each_frame(self) -> None:
        async with serving() as at:
            sinks = [Sink(), Sink()]
            for sink, selection in zip(sinks, (EVERYTHING, NORWAY), strict=True):
                at.join(sink, Subscription(selection))
            frames = at.broadcast.counts.frames
            await at.change(FIRST.evses[0])
            await at.delivered(*sinks)
            assert sinks[0].written[-1] is sinks[1].written[-1]
            assert at.broadcast.counts.frames == frames + 1

    async def test_each_framing_is_made_once(self) -> None:
        async with serving() as at:
            plain, packed = Sink(), Sink()
            at.join(plain)
            at.join(packed, Subscription(EVERYTHING, framing="deflate"))
            frames = at.broadcast.counts.frames
            await at.change(FIRST.evses[0])
            await at.delivered(plain, packed)
            assert packed.written[-1] == b"~" + plain.written[-1]
            assert at.broadcast.counts.frames == frames + 2

    async def test_many_changes_at_once_go_out_plainly(self) -> None:
        async with serving() as at:
            packed = Sink()
            at.join(packed, Subscription(EVERYTHING, framing="deflate"))
            await at.change(*[FIRST.evses[0]] * (COMPRESSED_FRAMES_MAX + 1))
            await at.delivered(packed)
            assert not any(line.startswith(b"~") for line in b"".join(packed.written[1:]).splitlines())

    async def test_without_consumers_nothing_is_encoded(self) -> None:
        async with serving() as at:
            await at.change(FIRST.evses[0])
            await at.taken()
            at.broadcast.offer(FIRST.evses[0], make_report(), NOW)
            assert at.broadcast.counts.frames == 0

    async def test_bytes_out_are_counted(self) -> None:
        async with serving() as at:
            sink = Sink()
            at.join(sink)
            await at.change(FIRST.evses[0])
            await at.delivered(sink)
            assert at.broadcast.counts.bytes_out == sum(map(len, sink.written))


class TestSlow:
    @pytest.fixture(autouse=True)
    def small_window(self, monkeypatch: pytest.MonkeyPatch) -> None:
        everywhere(monkeypatch, "WINDOW_BYTES_MAX", 20_000)
        everywhere(monkeypatch, "CHUNK_BYTES_MAX", 2_000)
        everywhere(monkeypatch, "CHUNK_BYTES_MAX", 2_000)

    async def behind(self, at: Serving, slow: Sink) -> None:
        """Pauses the consumer, and lets the window move past it."""
        quick = Sink()
        at.join(quick)
        slow.paused = True
        for _ in range(60):
            await at.change(*(station.evses[0] for station in STATIONS[:5]))
            await at.delivered(quick)

    async def test_one_that_pauses_gets_nothing_and_nothing_is_kept_for_it(self) -> None:
        async with serving() as at:
            slow = Sink()
            subscriber = at.join(slow)
            await self.behind(at, slow)
            assert len(slow.written) == 1
            window = subscriber.channel
            assert window.end > window.start + 10
            assert sum(len(frame) for frame, _ in window.frames) <= 20_000

    async def test_one_that_fell_out_of_the_window_gets_the_newest_state_of_what_changed(self) -> None:
        async with serving() as at:
            slow = Sink()
            subscriber = at.join(slow)
            await self.behind(at, slow)
            slow.paused = False
            at.broadcast.pump(subscriber)
            seqs = [message["seq"] for message in slow.messages]
            assert seqs == [0, 296, 297, 298, 299, 300]
            assert at.broadcast.counts.caught_up >= 1
            await at.change(FIRST.evses[1])
            await at.delivered(slow)
            assert [message["seq"] for message in slow.messages] == [*seqs, 301]

    async def test_it_is_not_told_again_what_it_had(self) -> None:
        async with serving() as at:
            slow = Sink()
            subscriber = at.join(slow)
            await at.change(*(station.evses[0] for station in STATIONS))
            await at.delivered(slow)
            await self.behind(at, slow)
            slow.paused = False
            at.broadcast.pump(subscriber)
            told = slow.told("status:update")
            assert [message["seq"] for message in told] == [*range(1, 41), *range(336, 341)]

    async def test_it_is_caught_up_a_chunk_at_a_time(self) -> None:
        async with serving() as at:
            slow = Sink()
            subscriber = at.join(slow)
            slow.paused = True
            quick = Sink()
            at.join(quick)
            for _ in range(10):
                await at.change(*(station.evses[0] for station in STATIONS))
                await at.delivered(quick)
            at_once: list[int] = []
            while subscriber.next != subscriber.channel.end or not at_once:
                before = sum(map(len, slow.written))
                slow._left, slow.paused = 1, False
                at.broadcast.pump(subscriber)
                at_once.append(sum(map(len, slow.written)) - before)
            assert len(at_once) > 2
            assert max(at_once) < 2_000 + 400
            assert sorted(message["seq"] for message in slow.told("status:update")) == list(range(361, 401))

    async def test_one_that_is_a_little_behind_misses_no_change(self) -> None:
        async with serving() as at:
            slow, quick = Sink(), Sink()
            subscriber = at.join(slow)
            at.join(quick)
            slow.paused = True
            for _ in range(10):
                await at.change(FIRST.evses[0])
                await at.delivered(quick)
            slow.paused = False
            at.broadcast.pump(subscriber)
            assert slow.messages == quick.messages
            assert at.broadcast.counts.caught_up == 0

    async def test_one_that_leaves_while_behind_is_told_nothing_more(self) -> None:
        async with serving() as at:
            slow = Sink()
            subscriber = at.join(slow)
            await self.behind(at, slow)
            at.broadcast.leave(subscriber)
            at.broadcast.leave(subscriber)
            slow.paused = False
            at.broadcast.pump(subscriber)
            assert len(slow.written) == 1
            assert at.broadcast.consumers == 1


class TestResume:
    async def test_what_was_missed_is_told_instead_of_a_snapshot(self) -> None:
        async with serving() as at:
            await at.change(FIRST.evses[0], SECOND.evses[0], FIRST.evses[0])
            await at.taken()
            sink = Sink()
            at.join(sink, since=Position("e", 1))
            assert [(m["type"], m["seq"], m["data"]["uuid"]) for m in sink.messages] == [
                ("status:update", 2, SECOND.uuid),
                ("status:update", 3, FIRST.uuid),
            ]
            await at.change(FIRST.evses[1])
            await at.delivered(sink)
            assert sink.messages[-1]["seq"] == 4

    async def test_nothing_is_told_where_nothing_was_missed(self) -> None:
        async with serving() as at:
            await at.change(FIRST.evses[0])
            await at.taken()
            sink = Sink()
            at.join(sink, since=Position("e", 1))
            assert sink.messages == []

    @pytest.mark.parametrize("since", [Position("other", 1), Position("e", 2)])
    async def test_a_position_that_cannot_be_resumed_gets_the_snapshot(self, since: Position) -> None:
        async with serving() as at:
            await at.change(FIRST.evses[0])
            await at.taken()
            sink = Sink()
            at.join(sink, since=since)
            assert [message["type"] for message in sink.messages] == ["snapshot:init"]
            assert not at.broadcast.resumable(since)

    async def test_only_the_selected_stations_are_told(self) -> None:
        async with serving() as at:
            await at.change(FIRST.evses[0], SECOND.evses[0])
            await at.taken()
            sink = Sink()
            at.join(sink, Subscription(Selection(station=frozenset({SECOND.uuid}))), since=Position("e", 0))
            assert [message["data"]["uuid"] for message in sink.messages] == [SECOND.uuid]

    async def test_one_who_wants_no_updates_just_goes_on(self) -> None:
        async with serving() as at:
            await at.change(FIRST.evses[0])
            await at.taken()
            sink = Sink()
            at.join(sink, Subscription(EVERYTHING, updates=False), since=Position("e", 0))
            assert sink.messages == []

    @pytest.mark.parametrize("every", [False, True])
    async def test_an_instant_that_the_log_drops_while_it_is_looked_up_is_lost(self, *, every: bool) -> None:
        async with serving() as at:
            await at.change(FIRST.evses[0], FIRST.evses[1], SECOND.evses[0])
            await at.taken()
            at.log._retention_entries_max = 1
            await at.log.checkpoint((), at.log.last.seq, TIMES)
            sink = Sink()
            instant_of_second = NOW + 2
            assert at.broadcast.is_kept(instant_of_second)
            at.join(sink, V2, since=instant_of_second, every=every)
            assert await at.log.trim() == 2
            assert sink.messages == []
            await at.change(SECOND.evses[1])
            await at.delivered(sink)
            assert [message["type"] for message in sink.messages][:2] == ["reset", "snapshot"]
            assert sink.messages[0]["reason"] == "expired"

    async def test_an_instant_before_which_the_log_still_has_an_entry_is_not_lost_by_what_it_drops(
        self,
    ) -> None:
        async with serving() as at:
            await at.change(FIRST.evses[0], FIRST.evses[1], SECOND.evses[0])
            await at.taken()
            at.log._retention_entries_max = 2
            await at.log.checkpoint((), at.log.last.seq, TIMES)
            sink = Sink()
            at.join(sink, V2, since=NOW + 3)
            assert await at.log.trim() == 1
            await at.delivered(sink)
            assert [(told["type"], told["prev"], told["seq"]) for told in sink.messages] == [
                ("changes", 2, 3)
            ]


class TestCatchUpInTurns:
    """Who resumes from far back gets what it missed in turns of the loop."""

    AT_ONCE, PER_LOOK = 4, 3
    UUIDS: ClassVar = [station.uuid for station in STATIONS]

    @pytest.fixture(autouse=True)
    def gate(self, monkeypatch: pytest.MonkeyPatch) -> asyncio.Semaphore:
        """After each look the turns stand until this lets them go on."""
        gate = asyncio.Semaphore(0)

        class Held(Turns):
            async def rest(self) -> None:
                await gate.acquire()

        everywhere(monkeypatch, "MISSED_AT_ONCE", self.AT_ONCE)
        everywhere(monkeypatch, "STATIONS_PER_LOOK", self.PER_LOOK)
        hold_works(monkeypatch, Held)
        return gate

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[Serving]:
        """Every station has changed once."""
        async with serving(heartbeat_s=3_600) as at:
            await at.change(*(station.evses[0] for station in STATIONS))
            await at.taken()
            yield at

    @staticmethod
    def let_go(gate: asyncio.Semaphore) -> None:
        """The turns stand no more."""
        for _ in range(10 * len(STATIONS)):
            gate.release()

    @staticmethod
    def stations(sink: Sink) -> list[str]:
        """Those of the changes that it was told of."""
        return [
            row["station"] if "station" in row else row["data"]["uuid"]
            for message in sink.messages
            for row in message.get("changes", [message])
        ]

    async def told(self, sink: Sink, count: int) -> None:
        await come_true(lambda: len(self.stations(sink)) >= count)
        assert len(self.stations(sink)) == count

    @pytest.mark.parametrize("subscription", [SILENT, V2], ids=["v1", "v2"])
    async def test_each_look_is_at_few_stations_and_others_are_served_between(
        self, gate: asyncio.Semaphore, subscription: Subscription
    ) -> None:
        async with self.serving() as at:
            other, far = Sink(), Sink()
            at.join(other, subscription, since=at.log.last)
            at.join(far, subscription, since=Position("e", 0))
            assert self.stations(far) == self.UUIDS[: self.AT_ONCE]
            for count in range(self.AT_ONCE + self.PER_LOOK, len(STATIONS), self.PER_LOOK):
                await self.told(far, count)
                await at.change(FIRST.evses[1])
                await at.delivered(other)
                await self.told(far, count)
                gate.release()
            self.let_go(gate)
            await at.delivered(far)
            told = self.stations(far)
            assert (told[: len(STATIONS)], set(told[len(STATIONS) :])) == (self.UUIDS, {FIRST.uuid})
            await at.change(SECOND.evses[1])
            await at.delivered(far, other)
            await come_true(lambda: at.broadcast.view._order is None)

    async def test_those_who_are_far_behind_take_turns(self, gate: asyncio.Semaphore) -> None:
        async with self.serving() as at:
            sinks = [Sink(), Sink()]
            for sink in sinks:
                at.join(sink, V2, since=Position("e", 0))
            await self.told(sinks[0], self.AT_ONCE + self.PER_LOOK)
            await self.told(sinks[1], self.AT_ONCE)
            gate.release()
            await self.told(sinks[1], self.AT_ONCE + self.PER_LOOK)
            await self.told(sinks[0], self.AT_ONCE + self.PER_LOOK)
            self.let_go(gate)
            await at.delivered(*sinks)
            assert [self.stations(sink) for sink in sinks] == [self.UUIDS] * 2

    async def test_a_station_that_changes_meanwhile_is_told_in_its_newest_state_and_leads_past_no_other(
        self, gate: asyncio.Semaphore
    ) -> None:
        async with self.serving() as at:
            far = Sink()
            at.join(far, V2, since=Position("e", 0))
            await self.told(far, self.AT_ONCE + self.PER_LOOK)
            await at.change(STATIONS[20].evses[0], FIRST.evses[0])
            await at.taken()
            self.let_go(gate)
            await at.delivered(far)
            expected = [uuid for uuid in self.UUIDS if uuid != STATIONS[20].uuid]
            assert self.stations(far) == [*expected, STATIONS[20].uuid, FIRST.uuid]
            # Until all is told, it stands where it stood.
            assert {message["seq"] for message in far.messages[:-1]} == {0}

    async def test_what_waits_for_a_message_of_the_others_goes_on_waiting(
        self, gate: asyncio.Semaphore
    ) -> None:
        patient = Subscription(EVERYTHING, raw=False, dialect="v2", batch_ms=3_600_000)
        async with self.serving() as at:
            other, far = Sink(), Sink()
            at.join(other, patient, since=at.log.last)
            at.join(far, patient, since=Position("e", 0))
            await self.told(far, self.AT_ONCE + self.PER_LOOK)
            await at.change(FIRST.evses[1])
            await at.taken()
            gate.release()
            await self.told(far, self.AT_ONCE + 2 * self.PER_LOOK)
            assert len(at.broadcast._channels.all[patient].rows) == 1
            self.let_go(gate)
            await at.delivered(far, other)

    async def test_nothing_is_left_of_one_that_leaves_meanwhile(self, gate: asyncio.Semaphore) -> None:
        async with self.serving() as at:
            far = Sink()
            subscriber = at.join(far, V2, since=Position("e", 0))
            await self.told(far, self.AT_ONCE + self.PER_LOOK)
            at.broadcast.leave(subscriber)
            assert not at.broadcast._catching_up.behind
            self.let_go(gate)
            at.join(Sink())
            await at.change(FIRST.evses[1])
            await come_true(lambda: at.broadcast.view._order is None)
            await self.told(far, self.AT_ONCE + self.PER_LOOK)

    async def test_one_whose_buffer_fills_meanwhile_goes_on_when_it_has_drained(
        self, gate: asyncio.Semaphore
    ) -> None:
        async with self.serving() as at:
            far = Sink()
            subscriber = at.join(far, V2, since=Position("e", 0))
            await self.told(far, self.AT_ONCE + self.PER_LOOK)
            far.paused = True
            self.let_go(gate)
            await come_true(lambda: not at.broadcast._catching_up.behind)
            await self.told(far, self.AT_ONCE + self.PER_LOOK)
            far.paused = False
            at.broadcast.pump(subscriber)
            await at.delivered(far)
            assert self.stations(far) == self.UUIDS

    async def test_a_defect_closes_the_one_that_met_it_with_its_position(
        self, gate: asyncio.Semaphore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        missed = V2Dialect.missed

        def fail(self: V2Dialect, view: View, state: StationState, *members: Any) -> Sequence[bytes]:
            if state.uuid == STATIONS[20].uuid:
                raise ValueError("a defect")
            return missed(self, view, state, *members)

        monkeypatch.setattr(V2Dialect, "missed", fail)
        deaths = tasks.deaths["catching up of a consumer"]
        async with self.serving() as at:
            meets, narrow = Sink(), Sink()
            at.join(meets, V2, since=Position("e", 0))
            others = frozenset(self.UUIDS) - {STATIONS[20].uuid}
            subscription = Subscription(Selection(station=others), raw=False, dialect="v2")
            at.join(narrow, subscription, since=Position("e", 0))
            self.let_go(gate)
            await at.delivered(narrow)
            assert (meets.stopped_at, narrow.stopped_at) == (Position("e", 0), None)
            assert tasks.deaths["catching up of a consumer"] == deaths + 1


class TestRaw:
    async def test_every_report_is_told_to_those_who_want_it(self) -> None:
        async with serving() as at:
            await at.change(FIRST.evses[1])
            await at.taken()
            wants, wants_not = Sink(), Sink()
            at.join(wants)
            at.join(wants_not, SILENT)
            at.broadcast.offer(FIRST.evses[1], make_report(FIRST.evses[1], Status.CHARGING, None), NOW + 5)
            await come_true(lambda: len(wants.messages) == 2)
            assert wants.messages[1]["data"] == {
                "uuid": FIRST.uuid,
                "connector": 1,
                "status": 1,
                "error": 0,
                "timestamp": NOW + 5,
            }
            assert len(wants_not.messages) == 1
            assert (at.broadcast.counts.raw_sent, at.broadcast.counts.raw_dropped) == (1, 0)

    async def test_it_is_asked_for_only_while_somebody_wants_it(self) -> None:
        async with serving() as at:
            silent = at.join(Sink(), SILENT)
            wanted = [at.broadcast.wanted]
            wanting = at.join(Sink())
            wanted.append(at.broadcast.wanted)
            at.broadcast.leave(silent)
            wanted.append(at.broadcast.wanted)
            at.broadcast.leave(wanting)
            wanted.append(at.broadcast.wanted)
            assert wanted == [False, True, True, False]

    async def test_more_than_a_pass_takes_are_dropped_and_counted_and_updates_are_not(self) -> None:
        async with serving(raw_items_max=10) as at:
            await at.change(FIRST.evses[0])
            await at.taken()
            sink = Sink()
            at.join(sink)
            for _ in range(25):
                at.broadcast.offer(FIRST.evses[0], make_report(), NOW)
            await at.change(*[FIRST.evses[0]] * 30)
            await at.delivered(sink)
            assert len(sink.told("status:raw")) == 10
            assert [message["seq"] for message in sink.told("status:update")] == list(range(2, 32))
            assert (at.broadcast.counts.raw_sent, at.broadcast.counts.raw_dropped) == (10, 15)
            at.broadcast.offer(FIRST.evses[0], make_report(), NOW)
            await come_true(lambda: len(sink.told("status:raw")) == 11)

    async def test_those_of_stations_that_nobody_selected_take_no_place(self) -> None:
        async with serving(raw_items_max=1) as at:
            await at.change(FIRST.evses[0], SECOND.evses[0])
            await at.taken()
            sink = Sink()
            at.join(sink, Subscription(Selection(station=frozenset({SECOND.uuid}))))
            at.broadcast.offer(FIRST.evses[0], make_report(FIRST.evses[0]), NOW)
            at.broadcast.offer(SECOND.evses[0], make_report(SECOND.evses[0]), NOW)
            await come_true(lambda: len(sink.told("status:raw")) == 1)


class TestRegistry:
    async def test_a_station_that_comes_into_a_selection_is_told_from_then_on(self) -> None:
        async with serving() as at:
            sink = Sink()
            at.join(sink, Subscription(Selection(country=frozenset({"SWE"}))))
            await at.change(FIRST.evses[0])
            await at.taken()
            there = make_station(FIRST.uuid, FIRST.evses, country="SWE")
            await at.record(there)
            await at.change(FIRST.evses[0])
            await at.delivered(sink)
            assert [message["seq"] for message in sink.messages] == [0, 2, 3]

    async def test_a_snapshot_shows_the_registry_as_it_is(self) -> None:
        async with serving() as at:
            await at.change(FIRST.evses[0])
            await at.taken()
            before, after = Sink(), Sink()
            at.join(before)
            more = make_station(FIRST.uuid, [*FIRST.evses, make_evse("NO*ABC*E9", FIRST.uuid)])
            await at.record(more)
            at.join(after)
            counts = [len(sink.messages[0]["data"][0]["connectors"]) for sink in (before, after)]
            assert counts == [2, 3]

    async def test_a_station_that_the_registry_never_had_is_told_to_nobody(self) -> None:
        async with serving() as at:
            sink = Sink()
            at.join(sink)
            await at.change(make_evse("E404", "NOR_99999"))
            await at.change(FIRST.evses[0])
            await at.delivered(sink)
            assert [message["seq"] for message in sink.messages] == [0, 2]


class TestGone:
    """Of consumers who have left, nothing is left."""

    async def test_a_channel_whose_selection_overlapped_with_others_hears_of_nothing_more(self) -> None:
        async with serving() as at:
            wide, narrow = Subscription(NORWAY), Subscription(Selection(station=frozenset({FIRST.uuid})))
            first, second = at.join(Sink(), wide), at.join(Sink(), narrow)
            await at.change(FIRST.evses[0], SECOND.evses[0])
            await at.taken()
            gone = [first.channel, second.channel]
            # Once the second has gone, both stations are heard of by the same channels.
            at.broadcast.leave(second)
            at.broadcast.leave(first)
            witness = Sink()
            at.join(witness, SILENT)
            taken = [channel.end for channel in gone]
            await at.change(FIRST.evses[0], SECOND.evses[0])
            await at.delivered(witness)
            assert [channel.end for channel in gone] == taken

    async def test_no_channel_timer_or_task_is_left(self) -> None:
        async with serving() as at:
            for _ in range(3):
                await at.change(FIRST.evses[0], SECOND.evses[0])
            await at.taken()
            channels: weakref.WeakSet[Channel] = weakref.WeakSet()
            subscribers = []
            for number in range(30):
                selection = Selection(country=frozenset({"NOR"}), operator=frozenset({f"de{number}"}))
                chosen = (EVERYTHING, NORWAY, selection)[number % 3]
                subscription = Subscription(chosen, raw=False, dialect="v2", batch_ms=number)
                since = Position("e", 0) if number % 2 else None
                subscribers.append(at.join(Sink(), subscription, since=since, every=bool(number % 4)))
                channels.add(subscribers[-1].channel)
                await at.change(FIRST.evses[0])
            while subscribers:
                at.broadcast.leave(subscribers.pop(len(subscribers) // 2))
                await at.change(SECOND.evses[0])
            await at.taken()
            await come_true(lambda: not channels)
            assert at.broadcast.channels == 0
            await come_true(lambda: not at.broadcast._replays.tasks)
            assert at.broadcast._channels.alarm is None


class TestVersion2:
    async def test_changes_are_gathered_for_as_long_as_the_consumer_wants(self) -> None:
        async with serving() as at:
            sink = Sink()
            at.join(sink, Subscription(EVERYTHING, raw=False, dialect="v2", batch_ms=50))
            for evse in (*FIRST.evses, *SECOND.evses):
                await at.change(evse)
                await at.taken()
            assert sink.told("changes") == []
            await come_true(lambda: len(sink.told("changes")) == 1)
            (message,) = sink.told("changes")
            assert (message["prev"], message["seq"], len(message["changes"])) == (0, 4, 4)

    async def test_heartbeats_come_by_themselves(self) -> None:
        async with serving(heartbeat_s=0.02) as at:
            sink = Sink()
            at.join(sink, V2)
            await come_true(lambda: len(sink.told("heartbeat")) >= 2)
            old = Sink()
            at.join(old)
            await come_true(lambda: len(sink.told("heartbeat")) >= 4)
            assert [message["type"] for message in old.messages] == ["snapshot:init"]

    async def test_another_selection_takes_the_place_of_the_first(self) -> None:
        async with serving() as at:
            await at.change(FIRST.evses[0], SECOND.evses[0])
            await at.taken()
            sink = Sink()
            subscriber = at.join(sink, V2)
            narrowed = Subscription(Selection(station=frozenset({SECOND.uuid})), raw=False, dialect="v2")
            at.broadcast.select(subscriber, narrowed)
            assert [message["type"] for message in sink.messages] == ["snapshot", "selected", "snapshot"]
            assert [row["station"] for row in sink.messages[2]["evses"]] == [SECOND.uuid]
            await at.change(FIRST.evses[0])
            await at.change(SECOND.evses[1])
            await come_true(lambda: len(sink.told("changes")) == 1)
            assert [row["station"] for row in sink.told("changes")[0]["changes"]] == [SECOND.uuid]
            assert (at.broadcast.consumers, at.broadcast.channels) == (1, 1)

    async def test_one_selection_too_many_leaves_the_consumer_with_the_one_it_has(self) -> None:
        async with serving(channels_max=1) as at:
            sink = Sink()
            subscriber = at.join(sink, V2)
            with pytest.raises(Overloaded):
                at.broadcast.select(subscriber, Subscription(NORWAY, raw=False, dialect="v2"))
            await at.change(FIRST.evses[0])
            await come_true(lambda: len(sink.told("changes")) == 1)

    async def test_a_consumer_is_told_something_of_its_own_and_does_not_move(self) -> None:
        async with serving() as at:
            sink = Sink()
            subscriber = at.join(sink, V2, first=[Message(b'{"type":"hello"}', "hello")])
            at.broadcast.tell(subscriber, Message(b'{"type":"error"}', "error"))
            assert [message["type"] for message in sink.messages] == ["hello", "snapshot", "error"]
            (farewell,) = at.broadcast.farewell(subscriber, 500)
            assert json.loads(farewell) == {"type": "drain", "retry_after_ms": 500}

    @pytest.mark.parametrize(
        ("since", "reason"), [(Position("other", 1), "epoch"), (Position("e", 9), "ahead")]
    )
    async def test_a_position_that_cannot_be_resumed_is_reset(self, since: Position, reason: str) -> None:
        async with serving() as at:
            sink = Sink()
            at.join(sink, V2, since=since)
            assert [message["type"] for message in sink.messages] == ["reset", "snapshot"]
            assert sink.messages[0]["reason"] == reason

    async def test_one_that_comes_from_elsewhere_moves_those_up_who_follow_the_channel(self) -> None:
        subscription = Subscription(Selection(station=frozenset({SECOND.uuid})), raw=False, dialect="v2")
        async with serving() as at:
            follows, comes = Sink(), Sink()
            at.join(follows, subscription)
            await at.change(FIRST.evses[0])
            await at.taken()
            at.join(comes, subscription, since=Position("e", 1))
            await at.change(SECOND.evses[0])
            await come_true(lambda: len(comes.told("changes")) == len(follows.told("changes")) == 1)
            assert [message["prev"] for message in follows.messages[1:]] == [0, 1]
            assert [message["prev"] for message in comes.messages] == [1]


class TestEvery:
    """Consumers who want each change."""

    def seqs(self, sink: Sink) -> list[int]:
        found = []
        for message in sink.told("changes"):
            found += [message["prev"] + 1 + place for place in range(len(message["changes"]))]
        return found

    async def test_one_that_comes_back_gets_each_change_from_the_log(self) -> None:
        async with serving() as at:
            for _ in range(7):
                await at.change(FIRST.evses[0], SECOND.evses[0])
            await at.taken()
            sink = Sink()
            at.join(sink, V2, since=Position("e", 3), every=True)
            await come_true(lambda: at.last(sink) == 14)
            await at.change(FIRST.evses[1])
            await come_true(lambda: at.last(sink) == 15)
            assert self.seqs(sink) == list(range(4, 16))

    async def test_changes_during_the_replay_are_told_once(self) -> None:
        async with serving() as at:
            for _ in range(700):
                await at.change(FIRST.evses[0], SECOND.evses[0])
            await at.taken()
            sink = Sink()
            at.join(sink, V2, since=Position("e", 0), every=True)
            for _ in range(50):
                await at.change(FIRST.evses[1])
                await asyncio.sleep(0)
            await come_true(lambda: at.last(sink) == 1_450)
            assert self.seqs(sink) == list(range(1, 1_451))

    async def test_one_that_pauses_during_the_replay_goes_on_where_it_was(self) -> None:
        async with serving() as at:
            for _ in range(700):
                await at.change(FIRST.evses[0], SECOND.evses[0])
            await at.taken()
            sink = Sink(pauses_after=1)
            at.join(sink, V2, since=Position("e", 0), every=True)
            await come_true(lambda: len(sink.written) > 0)
            handed = len(sink.written)
            await asyncio.sleep(0.01)
            assert len(sink.written) - handed <= 1
            sink._left, sink.paused = None, False
            await come_true(lambda: at.last(sink) == 1_400)
            assert self.seqs(sink) == list(range(1, 1_401))

    async def test_one_that_cannot_keep_up_is_told_where_it_stood(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        everywhere(monkeypatch, "WINDOW_BYTES_MAX", 5_000)
        async with serving() as at:
            slow, quick = Sink(), Sink()
            at.join(slow, V2, every=True)
            at.join(quick, V2, every=False)
            await at.change(FIRST.evses[0])
            await come_true(lambda: at.last(slow) == 1)
            slow.paused = True
            for _ in range(50):
                await at.change(FIRST.evses[0])
                await come_true(lambda: at.last(quick) == at.log.last.seq)
            slow.paused = False
            await at.change(FIRST.evses[0])
            await come_true(lambda: slow.overran is not None)
            assert slow.overran == Position("e", 1)
            assert (at.broadcast.counts.overruns, at.broadcast.consumers) == (1, 1)

    async def test_one_from_before_the_log_begins_is_reset(self) -> None:
        async with serving() as at:
            at.log._retention_entries_max = 3
            for _ in range(10):
                await at.change(FIRST.evses[0])
            await at.taken()
            await at.log.checkpoint([], 10, TIMES)
            await at.log.trim()
            assert at.broadcast.history_seq == 7
            early, right = Sink(), Sink()
            at.join(early, V2, since=Position("e", 6), every=True)
            at.join(right, V2, since=Position("e", 7), every=True)
            assert early.messages[0] == {"type": "reset", "epoch": "e", "reason": "expired"}
            await come_true(lambda: at.last(right) == 10)
            assert self.seqs(right) == [8, 9, 10]

    async def test_one_whose_history_is_trimmed_away_during_the_replay_is_told_where_it_stood(self) -> None:
        async with serving() as at:
            for _ in range(600):
                await at.change(FIRST.evses[0], SECOND.evses[0])
            await at.taken()
            sink = Sink(pauses_after=1)
            at.join(sink, V2, since=Position("e", 0), every=True)
            await come_true(lambda: sink.paused)
            stood = at.last(sink)
            at.log._retention_entries_max = 3
            await at.log.checkpoint([], 1_200, TIMES)
            await at.log.trim()
            sink.paused = False
            await come_true(lambda: sink.overran is not None)
            assert sink.overran == Position("e", stood)

    async def test_one_that_leaves_during_the_replay_is_told_nothing_more(self) -> None:
        async with serving() as at:
            for _ in range(600):
                await at.change(FIRST.evses[0], SECOND.evses[0])
            await at.taken()
            sink = Sink(pauses_after=1)
            subscriber = at.join(sink, V2, since=Position("e", 0), every=True)
            await come_true(lambda: sink.paused)
            at.broadcast.leave(subscriber)
            handed = len(sink.written)
            sink.paused = False
            await come_true(lambda: not at.broadcast._replays.tasks)
            assert len(sink.written) == handed

    async def test_what_is_not_selected_is_passed_over(self) -> None:
        async with serving() as at:
            for _ in range(600):
                await at.change(FIRST.evses[0])
            await at.change(SECOND.evses[0], SECOND.evses[1])
            await at.taken()
            sink = Sink()
            subscription = Subscription(Selection(station=frozenset({SECOND.uuid})), raw=False, dialect="v2")
            subscriber = at.join(sink, subscription, since=Position("e", 0), every=True)
            at.broadcast.pump(subscriber)
            await come_true(lambda: at.last(sink) == 602)
            (message,) = sink.told("changes")
            assert (message["prev"], len(message["changes"])) == (0, 2)

    @pytest.mark.parametrize("leaves", [True, False])
    async def test_one_that_leaves_or_whose_history_is_trimmed_while_it_is_read_is_told_nothing_more(
        self, leaves: bool
    ) -> None:
        async with serving() as at:
            for _ in range(10):
                await at.change(FIRST.evses[0])
            await at.taken()
            read, reading, gate = at.log.read, asyncio.Event(), asyncio.Event()

            async def slow_read(after: int, limit: int) -> Sequence[Entry]:
                reading.set()
                await gate.wait()
                return await read(after, limit)

            at.log.read = slow_read  # type: ignore[method-assign]
            sink = Sink()
            subscriber = at.join(sink, V2, since=Position("e", 2), every=True)
            await reading.wait()
            if leaves:
                at.broadcast.leave(subscriber)
            else:
                at.log._retention_entries_max = 3
                await at.log.checkpoint([], 10, TIMES)
                await at.log.trim()
            gate.set()
            await come_true(lambda: not at.broadcast._replays.tasks)
            assert sink.messages == []
            assert (sink.overran == Position("e", 2)) is not leaves


class TestRelocated:
    """Stations that come into a selection, or leave it, as their records say something else."""

    NORWEGIAN: ClassVar = Subscription(NORWAY, raw=False, dialect="v2")
    BOARD_V1: ClassVar = Subscription(NORWAY, raw=False)

    @staticmethod
    def elsewhere(station: Station, **members: Any) -> Station:
        return msgspec.structs.replace(station, country="SWE", **members)

    @staticmethod
    def rows(sink: Sink) -> list[tuple[int, list[str]]]:
        told = sink.told("changes")
        return [(each["seq"], [row["evse"] for row in each["changes"]]) for each in told if each["changes"]]

    async def test_a_position_is_reached_with_the_last_of_its_evses(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        everywhere(monkeypatch, "BATCH_ROWS_MAX", 2)
        station = make_station("NOR_00001", evses=5)
        async with serving([station]) as at:
            await at.change(*station.evses)
            await at.taken()
            sink = Sink()
            at.join(sink, self.NORWEGIAN)
            await at.record(self.elsewhere(station))
            await come_true(lambda: at.last(sink) == 6)
            assert [(seq, len(evses)) for seq, evses in self.rows(sink)] == [(6, 5)]

    async def test_who_wants_each_change_is_told_before_its_position_moves(self) -> None:
        async with serving() as at:
            await at.change(FIRST.evses[0], SECOND.evses[0])
            await at.record(self.elsewhere(FIRST))
            for _ in range(3):
                await at.change(SECOND.evses[0])
            await at.taken()
            sink = Sink()
            at.join(sink, self.NORWEGIAN, since=Position("e", 2), every=True)
            await come_true(lambda: at.last(sink) == 6)
            assert self.rows(sink)[0] == (2, [FIRST.evses[0].name])

    async def test_what_changes_during_a_replay_is_told_in_its_place(self) -> None:
        async with serving() as at:
            await at.change(*FIRST.evses)
            for _ in range(3):
                await at.change(FIRST.evses[0])
            await at.taken()
            read, gate = at.log.read, asyncio.Event()

            async def slow_read(after: int, limit: int) -> Sequence[Entry]:
                await gate.wait()
                return await read(after, limit)

            sink = Sink()
            at.log.read = slow_read  # type: ignore[method-assign]
            at.join(sink, self.NORWEGIAN, since=Position("e", 2), every=True)
            await asyncio.sleep(0)
            await at.record(self.elsewhere(FIRST))
            gate.set()
            await come_true(lambda: at.last(sink) == 6)
            each, last = self.rows(sink)
            assert each == (5, [FIRST.evses[0].name] * 3)
            assert (last[0], sorted(last[1])) == (6, [evse.name for evse in FIRST.evses])

    @pytest.mark.parametrize("every", [False, True])
    async def test_who_comes_back_is_told_to_forget_what_was_shown_before_it_was_removed(
        self, *, every: bool
    ) -> None:
        async with serving() as at:
            await at.change(*FIRST.evses)
            await at.change(FIRST.evses[0], status=Status.REMOVED)
            await at.record(self.elsewhere(FIRST))
            sink = Sink()
            at.join(sink, self.NORWEGIAN, since=Position("e", 2), every=every)
            await come_true(lambda: at.last(sink) == 4)
            told = {row["evse"]: row["status"] for each in sink.told("changes") for row in each["changes"]}
            assert told == {evse.name: "REMOVED" for evse in FIRST.evses}

    async def test_version_1_says_of_each_station_its_own_position(self) -> None:
        async with serving() as at:
            await at.change(FIRST.evses[0], SECOND.evses[0])
            await at.record(self.elsewhere(FIRST))
            await at.change(SECOND.evses[0])
            sink = Sink()
            await at.taken()
            at.join(sink, self.BOARD_V1, since=Position("e", 2))
            await come_true(lambda: at.last(sink) == 4)
            assert [each["seq"] for each in sink.told("status:update")] == [3, 4]

    async def test_version_1_is_told_of_a_station_that_vanished_elsewhere(self) -> None:
        async with serving() as at:
            await at.change(FIRST.evses[0])
            await at.record(self.elsewhere(FIRST))
            await at.record(self.elsewhere(FIRST, vanished_at=NOW))
            sink = Sink()
            at.join(sink, self.BOARD_V1, since=Position("e", 1))
            await come_true(lambda: at.last(sink) == 3)
            *_, told = sink.told("status:update")
            assert told["data"] == {"uuid": FIRST.uuid, "status": -1, "connectors": []}

    async def test_who_names_a_station_begins_anew_where_it_is_not_known_what_left_it(self) -> None:
        async with serving() as at:
            at.broadcast.view.load([], 5, [StationRow(3, FIRST, lost_seq=3)])
            named = Selection(station=frozenset({FIRST.uuid}))
            found = [
                at.broadcast.unresumable(Position("e", seq), Subscription(selection), every=False)
                for selection in (named, EVERYTHING)
                for seq in (2, 3)
            ]
            assert found == ["expired", None, None, None]


class TestUnreadable:
    """The log cannot be read, now or any more, and nobody is left without a word."""

    async def at_a_replay(self, at: Serving, sink: Sink, read: Read) -> Read:
        """Somebody wants each change since 3 of 14, of which the log is read in this way."""
        for _ in range(7):
            await at.change(FIRST.evses[0], SECOND.evses[0])
        await at.taken()
        right, at.log.read = at.log.read, read  # type: ignore[method-assign, assignment]
        at.join(sink, V2, since=Position("e", 3), every=True)
        return right

    async def test_a_read_that_fails_once_is_tried_again_and_each_change_is_told(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        everywhere(monkeypatch, "READ_AGAIN_S_MIN", 0.001)
        async with serving() as at:
            sink, tries = Sink(), 0

            async def fails_once(after: int, limit: int) -> Sequence[Entry]:
                nonlocal tries
                tries += 1
                if tries == 1:
                    raise LogFailure("a disk error")
                return await right(after, limit)

            right = await self.at_a_replay(at, sink, fails_once)
            await come_true(lambda: at.last(sink) == 14)
            assert [message["prev"] for message in sink.told("changes")] == [3]
            assert (at.broadcast.counts.read_failures, at.broadcast.counts.interrupted) == (1, 0)

    @pytest.mark.parametrize("hangs", [True, False])
    async def test_one_for_whom_nothing_can_be_read_is_closed_with_its_position(
        self, hangs: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        everywhere(monkeypatch, "REPLAY_READ_S_MAX", 0.05)

        async def fails(after: int, limit: int) -> Sequence[Entry]:
            if hangs:
                await asyncio.Event().wait()
            raise LogFailure("a disk error")

        async with serving() as at:
            sink = Sink()
            await self.at_a_replay(at, sink, fails)
            await come_true(lambda: sink.stopped_at is not None)
            assert sink.stopped_at == Position("e", 3)
            assert (at.broadcast.consumers, at.broadcast.counts.interrupted) == (0, 1)
            await come_true(lambda: not at.broadcast._replays.tasks)

    async def test_one_that_resumes_from_before_a_damaged_entry_begins_anew_and_is_told_what_follows(
        self,
    ) -> None:
        async def damaged(after: int, limit: int) -> Sequence[Entry]:
            raise LogDamaged("entry 7 cannot be read", 7)

        async with serving() as at:
            sink = Sink()
            await self.at_a_replay(at, sink, damaged)
            await come_true(lambda: bool(sink.told("snapshot")))
            await at.change(FIRST.evses[1])
            await come_true(lambda: at.last(sink) == 15)
            assert [message["type"] for message in sink.messages] == ["reset", "snapshot", "changes"]
            assert sink.messages[0]["reason"] == "expired"

    async def test_one_whose_replay_ends_by_a_defect_is_closed_with_its_position_and_that_is_counted(
        self,
    ) -> None:
        async def wrong(after: int, limit: int) -> Sequence[Entry]:
            raise ValueError("a defect")

        async with serving() as at:
            sink, before = Sink(), tasks.deaths["replay of the log"]
            await self.at_a_replay(at, sink, wrong)
            await come_true(lambda: sink.stopped_at is not None)
            assert sink.stopped_at == Position("e", 3)
            assert tasks.deaths["replay of the log"] == before + 1

    async def test_one_whose_selection_has_nothing_for_long_hears_that_the_replay_goes_on(self) -> None:
        now_s = 0.0

        def clock_s() -> float:
            nonlocal now_s
            now_s += 1
            return now_s

        async with serving(heartbeat_s=3) as at:
            for _ in range(3_000):
                await at.change(FIRST.evses[0])
            await at.taken()
            at.broadcast._channels.clock_s = clock_s
            sink = Sink()
            subscription = Subscription(Selection(station=frozenset({SECOND.uuid})), raw=False, dialect="v2")
            at.join(sink, subscription, since=Position("e", 0), every=True)
            await come_true(lambda: at.last(sink) >= 3_000)
            told = sink.told("changes")
            assert len(told) > 2
            assert [message["prev"] for message in told[1:]] == [message["seq"] for message in told[:-1]]

    async def test_a_log_that_cannot_be_followed_for_a_while_loses_nobody_anything(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        everywhere(monkeypatch, "READ_AGAIN_S_MIN", 0.001)
        at = Serving(STATIONS)
        right, failing = at.log.tail, True

        async def tail(after: int) -> AsyncIterator[Sequence[Entry]]:
            if failing:
                raise LogFailure("a disk error")
            async for entries in right(after):
                yield entries

        at.log.tail = tail  # type: ignore[method-assign]
        task = asyncio.create_task(at.broadcast.run())
        try:
            sink = Sink()
            at.join(sink, SILENT)
            await at.change(FIRST.evses[0], SECOND.evses[0])
            await come_true(lambda: at.broadcast.counts.read_failures > 2)
            assert at.broadcast.fault == "a disk error"
            failing = False
            await come_true(lambda: at.last(sink) == 2)
            assert at.broadcast.fault == ""
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def test_a_gap_in_what_is_followed_ends_the_broadcast(self) -> None:
        at = Serving(STATIONS)

        async def tail(after: int) -> AsyncIterator[Sequence[Entry]]:
            yield []
            raise LogTrimmed("entry 1 is no longer in the log")

        at.log.tail = tail  # type: ignore[method-assign]
        with pytest.raises(ExceptionGroup):
            await at.broadcast.run()


async def test_it_stops_when_it_is_cancelled() -> None:
    async with serving(heartbeat_s=0.01) as at:
        at.join(Sink(), V2)
        await at.change(FIRST.evses[0])
        at.join(Sink(), V2, since=Position("e", 0), every=True)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_thousands_of_entries_are_taken_in_turns() -> None:
    async with serving() as at:
        sink = Sink()
        at.join(sink)
        made: list[Change] = [
            make_change(FIRST.evses[0], (Status.AVAILABLE, Status.CHARGING)[number % 2], NOW + number)
            for number in range(5_000)
        ]
        await at.log.append(made)
        await at.delivered(sink)
        assert [message["seq"] for message in sink.messages] == list(range(5_001))


async def test_a_pass_over_many_consumers_lets_others_work() -> None:
    now_s = 0.0

    def clock_s() -> float:
        nonlocal now_s
        now_s += 0.05
        return now_s

    async with serving() as at:
        at.broadcast._channels.clock_s = clock_s
        sinks = [Sink() for _ in range(300)]
        for sink in sinks:
            at.join(sink)
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.create_task(count())
        before = turns
        await at.broadcast._fanout.once()
        assert turns - before >= 4
        counting.cancel()
        await at.delivered(*sinks)


class Laborious(Sink):
    """One to which writing takes time."""

    def __init__(self, cost_s: float) -> None:
        super().__init__()
        self._cost_s = cost_s

    def write(self, data: bytes) -> None:
        super().write(data)
        time.sleep(self._cost_s)


class TestPace:
    async def test_a_change_is_written_at_once_while_the_loop_is_idle(self) -> None:
        async with serving() as at:
            # By this clock nothing ever takes any time.
            at.broadcast._channels.clock_s = lambda: 0.0
            sink = Sink()
            at.join(sink, SILENT)
            for number in range(1, 4):
                await at.change(FIRST.evses[0])
                turns = 0
                while len(sink.told("status:update")) < number:
                    await asyncio.sleep(0)
                    turns += 1
                assert turns < 20, "no time passes, only steps of the loop"

    @pytest.mark.parametrize("gather_ms_max", [scaled(100), scaled(400)])
    async def test_what_comes_soon_after_a_write_is_gathered_into_the_next_one(
        self, gather_ms_max: int
    ) -> None:
        gather_ms_min = scaled(200)
        async with serving(gather_ms_max=gather_ms_max, gather_ms_min=gather_ms_min) as at:
            sink = Laborious(cost_s=scaled(0.1))
            at.join(sink, SILENT)
            await at.change(FIRST.evses[0])
            await come_true(lambda: len(sink.told("status:update")) == 1)
            writes = len(sink.written)
            for _ in range(5):
                await at.change(FIRST.evses[0])
            await at.delivered(sink)
            assert len(sink.written) == writes + 1


async def test_the_more_selections_are_followed_the_sooner_other_work_has_its_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rests = 0

    class Counted(Turns):
        async def rest(self) -> None:
            nonlocal rests
            rests += 1
            await super().rest()

    monkeypatch.setattr(ladestrom.reader.broadcast, "Turns", Counted)
    monkeypatch.setattr(ladestrom.reader.broadcast, "ENTRIES_PER_TURN_MAX", 20)
    async with serving() as at:
        for number in range(9):
            at.join(Sink(), Subscription(Selection(country=frozenset({"NOR", f"X{number:03d}"})), raw=False))
        await at.change(*(station.evses[0] for station in STATIONS[:20]))
        await at.taken()
    assert rests >= 20 / 2


async def test_who_is_caught_up_is_told_that_a_station_left_before_what_changed_after_that() -> None:
    async with serving() as at:
        left, other, *_ = (station for station in STATIONS if station.country == "NOR")
        await at.change(left.evses[0], other.evses[0])
        await at.taken()
        since = at.log.last
        await at.record(msgspec.structs.replace(left, country="SWE"))
        gone = at.log.last.seq
        await at.change(other.evses[0], left.evses[0])
        await at.taken()
        sink = Sink()
        at.join(sink, Subscription(NORWAY, raw=False), since=since)
        await at.delivered(sink)
        first, second, _ = sink.told("status:update")
        assert (first["data"]["uuid"], first["seq"], first["data"]["status"]) == (left.uuid, gone, -1)
        assert (second["data"]["uuid"], second["seq"]) == (other.uuid, gone + 1)
