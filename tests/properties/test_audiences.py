"""Whoever comes, goes and chooses anew, while the registry changes: each hears what its selection covers, and
of who has gone nothing is left.
"""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.building import NOW, make_change, make_evse, make_report, make_station, recorded
from tests.listening import FRAMINGS

from ladestrom.backends.memory import MemoryLog
from ladestrom.core.directory import Directory
from ladestrom.core.selection import Box, Selection
from ladestrom.core.view import View
from ladestrom.model import Evse, Position, Station, Status
from ladestrom.outputs.nobil_v1.encoder import NobilDialect, NobilFormat
from ladestrom.outputs.stream_v2.encoder import Attribution, Limits, V2Dialect
from ladestrom.reader.audience import Audience
from ladestrom.reader.broadcast import Broadcast
from ladestrom.reader.channel import Channel
from ladestrom.reader.subscriptions import Subscriber, Subscription

LIMITS: Final = Limits(
    history_seq=0, message_bytes_max=0, inbound_bytes_max=0, inbound_messages_per_minute_max=0, heartbeat_s=0
)
UUIDS: Final = ("NOR_00001", "NOR_00002", "SWE_00003", "DAN_00004")
COUNTRIES: Final = ("NOR", "SWE", "DAN")
OPERATORS: Final = ("Alfa", "Beta")
PARTIES: Final = ("NOALF", "NOBET", "alfa")
PLACES: Final = (0.0, -0.25, 0.1, 10.7, 59.9, -179.9, 180.0)
EVSES: Final = tuple(make_evse(f"NO*ABC*E{number}", UUIDS[number // 2]) for number in range(2 * len(UUIDS)))


def some(*values: Any) -> st.SearchStrategy[frozenset[Any]]:
    return st.frozensets(st.sampled_from(values), min_size=1, max_size=3)


BOXES = st.builds(
    Box,
    west=st.sampled_from(PLACES),
    south=st.sampled_from((-90.0, -0.1, 0.0, 55.5)),
    east=st.sampled_from(PLACES),
    north=st.sampled_from((55.5, 60.0, 90.0)),
)
FILTERS: Final[Mapping[str, st.SearchStrategy[Any]]] = {
    "country": some(*COUNTRIES),
    "operator": some("alfa", "beta", "noalf", "nobet", "nobody"),
    "box": BOXES,
    "station": some(*UUIDS),
    "evse": some(*(evse.key for evse in EVSES)),
    "status": some(Status.AVAILABLE, Status.CHARGING),
}
SELECTIONS = st.sets(st.sampled_from(sorted(FILTERS)), max_size=2).flatmap(
    lambda names: st.builds(Selection, **{name: FILTERS[name] for name in sorted(names)})
)
SUBSCRIPTIONS = st.one_of(
    st.builds(
        Subscription, SELECTIONS, raw=st.just(False), dialect=st.just("v2"), batch_ms=st.sampled_from((0, 9))
    ),
    st.builds(
        Subscription,
        SELECTIONS.map(lambda each: msgspec.structs.replace(each, evse=frozenset(), status=frozenset())),
        updates=st.booleans(),
        raw=st.booleans(),
        framing=st.sampled_from(("text", "deflate")),
    ),
)
RECORDS = st.fixed_dictionaries(
    {
        "country": st.sampled_from(COUNTRIES),
        "operator": st.sampled_from((None, *OPERATORS)),
        "longitude": st.sampled_from(PLACES),
        "latitude": st.sampled_from((-90.0, 0.0, 57.3, 60.0)),
        "vanished_at": st.sampled_from((None, None, NOW)),
    }
)


class Ignoring:
    """A sink that nothing comes out of."""

    paused = False

    def write(self, data: bytes) -> None:
        """Nothing."""

    def overrun(self, position: Position) -> None:
        """Nothing."""

    def interrupted(self, position: Position) -> None:
        """Nothing."""


class Crowd(RuleBasedStateMachine):
    """Consumers of one broadcast, and what each has to hear."""

    def __init__(self) -> None:
        super().__init__()
        self.log = MemoryLog("e")
        stations = [
            make_station(uuid, EVSES[2 * n : 2 * n + 2], operator="Alfa") for n, uuid in enumerate(UUIDS)
        ]
        self.directory = Directory(stations)
        self.broadcast = Broadcast(
            self.log,
            View(self.directory, "e"),
            {"v1": NobilDialect(NobilFormat()), "v2": V2Dialect(LIMITS, Attribution())},
            FRAMINGS,
        )
        # Nothing wakes by itself: the loop does not run.
        self.broadcast._channels.set_alarm = lambda: None  # type: ignore[method-assign]
        self.consumers: list[Subscriber] = []
        self.ever: weakref.WeakSet[Channel] = weakref.WeakSet()

    @rule(all_subscriptions=st.lists(SUBSCRIPTIONS, min_size=1, max_size=5))
    def join(self, all_subscriptions: Sequence[Subscription]) -> None:
        for subscription in all_subscriptions:
            self._came(self.broadcast.join(Ignoring(), subscription, since=None))

    @precondition(lambda self: self.consumers)
    @rule(number=st.integers(0, 50))
    def leave(self, number: int) -> None:
        self.broadcast.leave(self.consumers.pop(number % len(self.consumers)))

    @precondition(lambda self: self.consumers)
    @rule(number=st.integers(0, 50), subscription=SUBSCRIPTIONS)
    def select(self, number: int, subscription: Subscription) -> None:
        subscriber = self.consumers[number % len(self.consumers)]
        if "v2" == subscription.dialect == subscriber.channel.subscription.dialect:
            self.consumers.remove(subscriber)
            self._came(self.broadcast.select(subscriber, subscription))

    def _came(self, subscriber: Subscriber) -> None:
        self.consumers.append(subscriber)
        self.ever.add(subscriber.channel)

    @rule(number=st.integers(0, len(UUIDS) - 1), record=RECORDS, party=st.sampled_from(PARTIES))
    def register(self, number: int, record: Mapping[str, Any], party: str) -> None:
        uuid = UUIDS[number]
        evses = [msgspec.structs.replace(evse, party=party) for evse in self.directory.stations[uuid].evses]
        self._put(make_station(uuid, evses, **record))

    def _put(self, station: Station) -> None:
        entry = recorded(self.broadcast.view, station)
        asyncio.run(self._logged(entry.change))
        self.broadcast.take([entry])

    @rule(number=st.integers(0, len(EVSES) - 1), to=st.integers(0, len(UUIDS) - 1))
    def move(self, number: int, to: int) -> None:
        """An EVSE goes to another station, where it was not there already."""
        key = EVSES[number].key
        for station in list(self.directory.stations.values()):
            here = [evse for evse in station.evses if evse.key != key]
            if station.uuid == UUIDS[to]:
                here.append(msgspec.structs.replace(EVSES[number], station=station.uuid))
            self._put(msgspec.structs.replace(station, evses=tuple(here), outlets=()))

    @rule(
        changes=st.lists(
            st.tuples(
                st.integers(0, len(EVSES) - 1),
                st.integers(0, len(UUIDS) - 1),
                st.sampled_from((Status.AVAILABLE, Status.CHARGING, Status.UNKNOWN, Status.REMOVED)),
                st.sampled_from(("alfa", "Beta", "gamma")),
                st.sampled_from(("", "alfa", "Beta", "gamma")),
            ),
            min_size=1,
            max_size=6,
        )
    )
    def change(self, changes: Sequence[tuple[int, int, Status, str, str]]) -> None:
        for each in changes:
            self._change(*each)

    def _change(self, number: int, at: int, status: Status, source: str, was_source: str) -> None:
        evse = msgspec.structs.replace(EVSES[number], station=UUIDS[at])
        replaced = self.broadcast.view.change_of(evse)
        was_status = Status.UNKNOWN
        if replaced is not None:
            was_status, was_source = replaced.change.status, replaced.change.source
        change = make_change(evse, status, NOW, source=source, was_status=was_status, was_source=was_source)
        before = self._heard()
        (entry,) = asyncio.run(self._logged(change))
        self.broadcast.take([entry])
        held = self.broadcast.view.get(evse.station)
        assert held is not None
        for channel in self.broadcast._channels.all.values():
            subscription = channel.subscription
            dialect = self.broadcast._channels.dialects[subscription.dialect]
            hears = (
                subscription.updates
                and subscription.selection.covers(
                    self.directory.stations[evse.station],
                    held.changes,
                    (change.source, change.was_source) if dialect.batched else (),
                )
                and (
                    not dialect.batched
                    or dialect.chosen(subscription.selection, change, self.directory.stations[evse.station])
                    is not None
                )
            )
            assert self._heard()[id(channel)] - before[id(channel)] == hears

    async def _logged(self, change: Any) -> Any:
        return await self.log.append([change])

    @rule(number=st.integers(0, len(EVSES) - 1), at=st.integers(0, len(UUIDS) - 1))
    def report(self, number: int, at: int) -> None:
        evse: Evse = msgspec.structs.replace(EVSES[number], station=UUIDS[at])
        told = self.broadcast._channels.dialects["v1"].raw(self.broadcast.view, evse, make_report(evse), NOW)
        before = self._heard()
        self.broadcast.offer(evse, make_report(evse), NOW)
        for channel in self.broadcast._channels.all.values():
            subscription = channel.subscription
            hears = subscription.raw and subscription.selection.covers(self.directory.stations[evse.station])
            assert self._heard()[id(channel)] - before[id(channel)] == len(told) * hears

    def _heard(self) -> dict[int, int]:
        return {id(each): len(each.frames) + len(each.rows) for each in self.broadcast._channels.all.values()}

    @invariant()
    def only_channels_with_consumers_are_there(self) -> None:
        assert set(self.broadcast._channels.all) == {each.channel.subscription for each in self.consumers}
        assert set(self.ever) == set(self.broadcast._channels.all.values())

    @invariant()
    def each_digest_is_what_the_selected_state_adds_up_to(self) -> None:
        view = self.broadcast.view
        for channel in self.broadcast._channels.all.values():
            subscription = channel.subscription
            dialect = self.broadcast._channels.dialects[subscription.dialect]
            if not dialect.batched or not subscription.updates:
                continue
            self.broadcast._channels.flush(channel)
            assert channel.is_added_up or self.broadcast._digests.adds_up_at_once(channel)
            terms = [
                dialect.digest(view, subscription.selection, held.change)
                for state in view.changed_since(0)
                if view.is_covered(state, subscription.selection)
                for held in state.changes.values()
            ]
            assert channel.count == sum(count for count, _ in terms)
            assert channel.digest == sum(term for _, term in terms) % 2**32

    @invariant()
    def nothing_of_a_channel_that_has_gone_is_filed(self) -> None:
        there = self.broadcast._channels.all.values()
        lists = {id(own) for channel in there for own in (channel.frames, channel.rows)}
        for filed in reachable(self.broadcast._channels.audiences):
            if isinstance(filed, Channel):
                assert filed in there
            elif isinstance(filed, list):
                assert id(filed) in lists

    def teardown(self) -> None:
        while self.consumers:
            self.broadcast.leave(self.consumers.pop())
        assert self.broadcast.channels == len(self.ever) == 0
        assert not [
            each for each in reachable(self.broadcast._channels.audiences) if isinstance(each, Channel | list)
        ]
        assert self.broadcast._channels.alarm is None


def reachable(audiences: object) -> Iterator[Any]:
    """What audiences hold: channels, and lists that changes are put into."""
    seen: set[int] = set()
    waiting = [audiences]
    while waiting:
        held = waiting.pop()
        if id(held) in seen:
            continue
        seen.add(id(held))
        if isinstance(held, Channel | list):
            yield held
        elif held is audiences or isinstance(held, dict | tuple | Audience | type([].append)):
            waiting += gc.get_referents(held)


TestCrowd = Crowd.TestCase
TestCrowd.settings = settings(
    max_examples=40, stateful_step_count=50, suppress_health_check=list(HealthCheck)
)
