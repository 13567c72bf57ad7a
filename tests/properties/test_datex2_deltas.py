"""Who has all statuses of a position, and takes a delta from there, has all statuses of the delta's position."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from tests.building import CCS, NOW, make_change, make_evse, make_station, recorded

from ladestrom.core.directory import Directory
from ladestrom.core.selection import EVERYTHING, Selection
from ladestrom.core.view import View, is_listed
from ladestrom.model import Cause, Connector, Outlet, Station, Status, StatusChanged
from ladestrom.outputs.datex2 import statuses, table, words
from ladestrom.outputs.datex2.delta import Delta
from ladestrom.outputs.datex2.statuses import Said

UUIDS: Final = ("NOR_00001", "NOR_00002", "SWE_00003")
NAMES: Final = ("NO*ABC*E1", "NO*ABC*E2", "NO*DEF*E3", "NO*DEF*E4")
KEYS: Final = {name: make_evse(name).key for name in NAMES}
GONE: Final = {words.REMOVED, words.STATUSES[Status.PLANNED]}
Held = dict[str, tuple[int, Said]]
"""What a consumer has: by EVSE, the version that it refers to and what was said."""

SELECTIONS: Final = (
    EVERYTHING,
    Selection(operator=frozenset({"alfa"})),
    Selection(operator=frozenset({"one"})),
    Selection(country=frozenset({"NOR"})),
    Selection(station=frozenset({UUIDS[0]})),
    Selection(evse=frozenset({KEYS[NAMES[0]]})),
    Selection(status=frozenset({Status.AVAILABLE})),
    Selection(operator=frozenset({"beta"}), status=frozenset({Status.CHARGING, Status.UNKNOWN})),
)


class World:
    """A view of some stations, whose EVSEs may go from one to another, and back."""

    def __init__(self) -> None:
        self.view = View(Directory(), "abc")
        self.homes: dict[str, str] = {}
        """Where each EVSE is, by name."""

    def report(self, name: str, status: Status, source: str) -> None:
        """An operator says something of an EVSE."""
        home = self.homes.get(name)
        if home is None:
            return
        held = self.view.change_of(make_evse(name, home))
        was = "" if held is None else held.change.source
        self.say(name, home, status, Cause.REPORTED, source, was)

    def say(
        self, name: str, home: str, status: Status, cause: Cause, source: str = "", was: str = ""
    ) -> None:
        seq = self.view.seq + 1
        change = make_change(
            make_evse(name, home), status, NOW + seq, cause=cause, source=source, was_source=was
        )
        self.view.apply(StatusChanged(seq, change))

    def write(self, uuid: str, names: frozenset[str], operator: str, *, power: bool, vanished: bool) -> None:
        """A register has another record of a station; EVSEs that another one has come from there."""
        before = self.view.directory.stations.get(uuid)
        for name in names:
            home = self.homes.get(name)
            if home is not None and home != uuid:
                other = self.view.directory.stations[home]
                left = tuple(evse for evse in other.evses if evse.key != KEYS[name])
                self._put(msgspec.structs.replace(other, evses=left, outlets=_outlets(len(left), other)))
                self._leave(name, home)
        evses = tuple(make_evse(name, uuid, party=None) for name in sorted(names))
        plug = CCS if power else Connector("IEC_62196_T2_COMBO")
        outlets = tuple(Outlet(index, plug) for index in range(len(evses)))
        self._put(
            make_station(
                uuid,
                evses,
                operator=operator,
                outlets=outlets,
                vanished_at=NOW if vanished and before is not None else None,
            )
        )
        is_gone = self.view.directory.stations[uuid].vanished_at is not None
        for name, home in list(self.homes.items()):
            if home == uuid and (is_gone or name not in names):
                self._leave(name, uuid)
        for name in sorted(names) if not is_gone else ():
            if name not in self.homes:
                self.homes[name] = uuid
                self.say(name, uuid, Status.UNKNOWN, Cause.REGISTERED)

    def _put(self, station: Station) -> None:
        self.view.take_record(recorded(self.view, station))

    def _leave(self, name: str, home: str) -> None:
        del self.homes[name]
        self.say(name, home, Status.REMOVED, Cause.WITHDRAWN, was="one")

    def all(self, wanted: Selection) -> Held:
        """What a status publication has."""
        view, found = self.view, {}
        for uuid in view.uuids():
            state = view.get(uuid)
            station = None if state is None else view.station(state)
            if state is None or station is None or not wanted.covers(station, (), state.sources()):
                continue
            listed = [
                (evse, held.change)
                for evse in station.evses
                if (held := state.changes.get(evse.key)) is not None and is_listed(held.change)
            ]
            if table.lacks(station, [evse for evse, _ in listed]) is not None:
                continue
            for evse, change in listed:
                if wanted.chooses(change) and wanted.is_of(station, (change.source,)):
                    found[evse.name] = (view.records[uuid].seq, statuses.said(evse, change))
        return found

    def delta(self, wanted: Selection, since: int) -> Delta:
        """What became of it since."""
        made = Delta(self.view, wanted, since)
        for state in self.view.changed_since(since):
            made.visit(state)
        return made


def _outlets(count: int, other: Station) -> tuple[Outlet, ...]:
    return tuple(Outlet(index, other.outlets[index].connector) for index in range(count))


def applied(held: Mapping[str, tuple[int, Said]], delta: Delta, wanted: Selection) -> Held:
    after = dict(held)
    sites = list(delta.sites())
    named = [one.name for _, _, said in sites for one in said]
    assert len(set(named)) == len(named), "an EVSE is told of twice"
    for _, revision, said in sites:
        for one in said:
            if one.status in GONE:
                after.pop(one.name, None)
            else:
                after[one.name] = (revision, one)
    allowed = {words.STATUSES[status] for status in wanted.status or Status} | {words.OCCUPIED}
    return {name: each for name, each in after.items() if each[1].status in allowed}


REPORTS = st.tuples(
    st.just("report"), st.sampled_from(NAMES), st.sampled_from(Status), st.sampled_from(["one", "two"])
)
RECORDS = st.tuples(
    st.just("record"),
    st.sampled_from(UUIDS),
    st.frozensets(st.sampled_from(NAMES), max_size=3),
    st.sampled_from(["Alfa", "Beta"]),
    st.sampled_from([True, True, True, False]),
    st.sampled_from([False, False, False, True]),
)
STEPS = st.lists(st.lists(st.one_of(REPORTS, RECORDS), max_size=8), min_size=2, max_size=5)


@given(STEPS)
def test_a_publication_and_the_deltas_since_are_the_next_publication(steps: list[list[tuple]]) -> None:
    world = World()
    for number, name in enumerate(NAMES):
        uuid = UUIDS[number % len(UUIDS)]
        there = frozenset({name, *(other for other, home in world.homes.items() if home == uuid)})
        world.write(uuid, there, "Alfa", power=True, vanished=False)
    held = [(wanted, world.all(wanted), world.view.seq) for wanted in SELECTIONS]
    for step in steps:
        for kind, *said in step:
            if kind == "report":
                world.report(*said)
            else:
                uuid, names, operator, power, vanished = said
                world.write(uuid, names, operator, power=power, vanished=vanished)
        after = []
        for wanted, before, since in held:
            assert since >= world.view.former_lost_seq, "more records than are kept"
            now = applied(before, world.delta(wanted, since), wanted)
            assert now == world.all(wanted), wanted
            assert list(world.delta(wanted, world.view.seq).sites()) == []
            after.append((wanted, now, world.view.seq))
        held = after


@given(STEPS)
def test_deltas_from_long_ago_are_as_good(steps: list[list[tuple]]) -> None:
    world = World()
    world.write(UUIDS[0], frozenset(NAMES[:2]), "Alfa", power=True, vanished=False)
    began = [(wanted, world.all(wanted)) for wanted in SELECTIONS]
    since = world.view.seq
    for kind, *said in (each for step in steps for each in step):
        if kind == "report":
            world.report(*said)
        else:
            uuid, names, operator, power, vanished = said
            world.write(uuid, names, operator, power=power, vanished=vanished)
    for wanted, before in began:
        if wanted.by_whereabouts and since < world.view.former_lost_seq:
            continue
        assert applied(before, world.delta(wanted, since), wanted) == world.all(wanted), wanted
