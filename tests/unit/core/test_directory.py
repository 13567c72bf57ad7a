from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.building import NOW, TYPE_2, make_evse, make_evses, make_station

from ladestrom.core import directory as directory_module
from ladestrom.core.directory import Directory, _Index
from ladestrom.model import Evse, Outlet, Station, connector_place, connector_uuid

WRITTEN = "NO*ABC*E1001*1"
FORMS: list[Callable[[str], str]] = [
    str,
    str.lower,
    str.title,
    lambda written: written.replace("*", ""),
    lambda written: written.replace("*", "-"),
    lambda written: f"-{written}*",
]


def test_the_garbage_collector_does_not_go_through_the_registry() -> None:
    """With 100,000 EVSEs, each of its full collections would take 25 ms."""
    station = make_station(evses=2)
    gc.collect()
    assert not any(map(gc.is_tracked, (station, station.evses, *station.evses, station.outlets)))


class TestFind:
    @pytest.mark.parametrize("form", FORMS)
    def test_an_evse_is_found_by_every_written_form_of_its_id(self, form: Callable[[str], str]) -> None:
        evse = make_evse(WRITTEN)
        directory = Directory([make_station(evses=[evse])])
        assert directory.find(form(WRITTEN)) == (evse,)

    @pytest.mark.parametrize("form", FORMS[:3])
    def test_it_is_found_by_its_uid_in_small_letters_and_capitals(self, form: Callable[[str], str]) -> None:
        evse = make_evse(WRITTEN, uid="7381cc78-a032-4f23-a46f-3e0ebe4590ff")
        directory = Directory([make_station(evses=[evse])])
        assert directory.find_uid(form("7381cc78-a032-4f23-a46f-3e0ebe4590ff")) == (evse,)

    def test_a_uid_has_no_other_written_form(self) -> None:
        directory = Directory([make_station(evses=[make_evse(WRITTEN, uid="A-1")])])
        assert directory.find_uid("a-1")
        for other in ("A1", "A*1", "A 1", "\uff21-1", "A-\u0661", "A-1\u00ad"):
            assert directory.find_uid(other) == ()

    def test_what_is_found_by_ids_is_never_found_by_a_uid(self) -> None:
        directory = Directory([make_station(evses=[make_evse(WRITTEN, uid="4711")])])
        assert directory.find("4711") == ()
        assert directory.meant("4711") == directory.find(WRITTEN)

    def test_one_whose_key_is_not_its_id_is_found_by_both(self) -> None:
        evse = make_evse(WRITTEN, key="NOR_00001_01")
        directory = Directory([make_station(evses=[evse])])
        assert directory.find("NOR_00001_01") == directory.find(WRITTEN) == (evse,)

    def test_one_without_id_is_found_by_its_key(self) -> None:
        evse = make_evse(key="NOR_00001_01", evse_id=None)
        directory = Directory([make_station(evses=[evse])])
        assert directory.find("nor_00001_01") == (evse,)

    def test_what_no_register_knows_is_not_found(self) -> None:
        assert Directory([make_station()]).find("NO*ABC*E404") == ()

    def test_a_uid_that_operators_share_means_all_of_theirs(self) -> None:
        mine = make_evse("NO*ABC*E1", "NOR_00001", uid="4711")
        yours = make_evse("NO*XYZ*E1", "NOR_00002", uid="4711")
        third = make_evse("NO*UVW*E1", "NOR_00003", uid="4711")
        directory = Directory([make_station(evse.station, [evse]) for evse in (mine, yours, third)])
        assert set(directory.find_uid("4711")) == {mine, yours, third}

    def test_a_uid_means_to_an_operator_its_own_evse_and_never_anothers(self) -> None:
        mine = make_evse("NO*ABC*E1", "NOR_00001", uid="4711")
        yours = make_evse("NO*XYZ*E1", "NOR_00002", uid="4711")
        directory = Directory([make_station(evse.station, [evse]) for evse in (mine, yours)])
        assert directory.resolve("4711", "", lambda evse: evse is mine) == ((mine,), ())
        assert directory.resolve("4711", "4711", lambda _: False) == ((), ())

    def test_a_uid_means_no_evse_that_has_another_id_than_is_said_with_it(self) -> None:
        named = make_evse("NO*ABC*E1", "NOR_00001", uid="1")
        bare = make_evse(key="NOR_00002_01", station="NOR_00002", evse_id=None, uid="1")

        def found(registry: Evse, written: str, also: str = "", shared: str = "") -> bool:
            directory = Directory([make_station(registry.station, [registry])])
            return directory.resolve(written, also, lambda _: True, shared)[0] == (registry,)

        other = "NO*ABC*E2"
        # Either name may come first, and an EVSE id that it shares with others is not looked for by it.
        assert not any((found(named, other, "1"), found(named, "1", other), found(named, "1", "", other)))
        assert all((found(bare, other, "1"), found(bare, "1", other), found(bare, "1", "", other)))
        assert not found(named, "2", "", "NO*ABC*E1")
        # Its own id in another form, a new uid, and what is said twice or is no EVSE id contradict nothing.
        for written, also in (
            ("no-abc-e1", "1"),
            ("1", "NOABCE1"),
            ("NO*ABC*E1", "new"),
            ("new", "NO*ABC*E1"),
            ("1", "1"),
            ("1", "EVSE_1"),
            ("EVSE_1", "1"),
        ):
            assert found(named, written, also)
        assert found(named, "1", "", "no-abc-e1")

    def test_an_id_of_another_is_found_and_is_not_the_operators(self) -> None:
        mine = make_evse("NO*ABC*E1", "NOR_00001", uid="NO*XYZ*E1")
        yours = make_evse("NO*XYZ*E1", "NOR_00002")
        directory = Directory([make_station(evse.station, [evse]) for evse in (mine, yours)])
        assert directory.resolve("NO*XYZ*E1", "", lambda evse: evse is yours) == ((yours,), (yours,))
        assert directory.resolve("NO*XYZ*E1", "", lambda _: False) == ((), (yours,))
        # To the operator whose uid it is, it means that operator's own EVSE.
        assert directory.resolve("NO*XYZ*E1", "", lambda evse: evse is mine) == ((mine,), (yours,))

    def test_an_id_that_an_evse_is_not_held_by_finds_it_for_its_own_operator(self) -> None:
        held = make_evse("NO*ABC*E1", "NOR_00001")
        other = make_evse("NO*ABC*E1", "NOR_00002", key="NOR_00002_01", party="NOXYZ")
        directory = Directory([make_station(evse.station, [evse]) for evse in (other, held)])
        assert directory.find("NO*ABC*E1") == (held,)
        assert directory.resolve("NO*ABC*E1", "", lambda evse: evse is other) == ((other,), (held,))

    def test_a_uid_never_hides_the_evse_whose_key_it_equals(self) -> None:
        true = make_evse("NO*ABC*E1", "NOR_00001")
        false = make_evse("NO*XYZ*E1", "NOR_00002", uid="no-abc-e1")
        for stations in ([true, false], [false, true]):
            directory = Directory(make_station(evse.station, [evse]) for evse in stations)
            assert directory.find("NO*ABC*E1") == (true,)

    def test_nor_does_it_take_the_place_of_one_that_has_vanished(self) -> None:
        true = make_evse("NO*ABC*E1", "NOR_00001")
        false = make_evse("NO*XYZ*E1", "NOR_00002", uid="no-abc-e1")
        directory = Directory([make_station("NOR_00001", [true]), make_station("NOR_00002", [false])])
        directory.put(make_station("NOR_00001", [true], vanished_at=NOW))
        assert directory.find("NO*ABC*E1") == ()

    def test_a_key_is_there_where_an_evse_has_it_and_not_where_one_has_it_as_uid(self) -> None:
        directory = Directory([make_station(evses=[make_evse("NO*ABC*E1", uid="4711")])])
        assert directory.has("NOABCE1")
        assert not directory.has("4711")
        assert not directory.has("NOABCE2")


class TestConnectors:
    @pytest.mark.parametrize(
        ("written", "place"),
        [("NOR_01333_01", 0), ("nor_01333_02", 0), ("NOR_01333_03", 1), ("NOR_01333_04", 1)],
    )
    def test_a_connector_means_its_evse_in_registry_order(self, written: str, place: int) -> None:
        station = make_station("NOR_01333", evses=2, connectors=2)
        assert Directory([station]).find(written) == (station.evses[place],)

    @pytest.mark.parametrize(
        "written", ["NOR_01333_00", "NOR_01333_05", "NOR_01333_1", "NOR_01333", "NOR_99999_01"]
    )
    def test_what_is_no_connector_of_a_station_means_nothing(self, written: str) -> None:
        assert Directory([make_station("NOR_01333", evses=2, connectors=2)]).find(written) == ()

    def test_its_nobil_id_gives_way_to_the_registry_key_of_another_evse_and_its_place_does_not(self) -> None:
        first, second = (make_evse(key=f"NOR_00001_{n:02d}", evse_id=None, uid=f"{n}") for n in (2, 1))
        directory = Directory([make_station(evses=[first, second])])
        assert directory.find("NOR_00001_02") == (first,)
        assert directory.find(connector_place("NOR_00001", 2)) == (second,)

    def test_a_station_of_more_than_a_hundred_connectors_has_them_all(self) -> None:
        station = make_station("NOR_01333", evses=120)
        found = Directory([station]).find(connector_uuid("NOR_01333", 120))
        assert found == (station.evses[119],)

    def test_outlets_may_stand_in_another_order_than_evses(self) -> None:
        evses = make_evses(2)
        outlets = (Outlet(1, TYPE_2), Outlet(0, TYPE_2), Outlet(1, TYPE_2))
        directory = Directory([make_station(evses=evses, outlets=outlets)])
        found = [directory.outlet("NOR_00001", index) for index in range(-1, 4)]
        assert found == [None, evses[1], evses[0], evses[1], None]

    def test_a_station_that_vanished_or_never_was_has_none(self) -> None:
        directory = Directory([make_station(vanished_at=NOW)])
        assert directory.outlet("NOR_00001", 0) is None
        assert directory.outlet("NOR_99999", 0) is None
        assert directory.find("NOR_00001_01") == ()


class TestPut:
    def test_a_new_station_takes_nothing_away(self) -> None:
        directory = Directory()
        assert directory.put(make_station(evses=3)) == ()
        assert len(directory) == 3

    def test_what_a_station_no_longer_has_is_said_and_not_found(self) -> None:
        station = make_station(evses=3)
        directory = Directory([station])
        gone = directory.put(make_station(evses=station.evses[:1]))
        assert gone == station.evses[1:]
        assert (len(directory), list(directory.evses())) == (1, [station.evses[0]])
        assert directory.find(station.evses[1].key) == ()

    def test_a_station_that_vanished_is_kept_but_its_evses_are_not_found(self) -> None:
        station = make_station(evses=2)
        directory = Directory([station])
        assert directory.put(make_station(evses=2, vanished_at=NOW)) == station.evses
        assert directory.stations["NOR_00001"].vanished_at == NOW
        assert (len(directory), directory.present("NOR_00001"), directory.find(station.evses[0].key)) == (
            0,
            (),
            (),
        )

    def test_one_that_returned_is_found_again(self) -> None:
        station = make_station(evses=2)
        directory = Directory([make_station(evses=2, vanished_at=NOW)])
        assert directory.put(station) == ()
        assert directory.find(station.evses[1].key) == (station.evses[1],)

    @pytest.mark.parametrize("old_first", [True, False])
    def test_an_evse_that_moves_is_found_at_its_new_station_whichever_is_put_first(
        self, old_first: bool
    ) -> None:
        left, moved_from = make_evse("NO*ABC*E1"), make_evse("NO*ABC*E2")
        moved = make_evse("NO*ABC*E2", "NOR_00002")
        directory = Directory([make_station(evses=[left, moved_from])])
        steps = [make_station(evses=[left]), make_station("NOR_00002", [moved])]
        for station in steps if old_first else reversed(steps):
            directory.put(station)
        assert directory.find("NO*ABC*E2") == (moved,)

    def test_how_the_ids_of_evses_that_left_were_written_is_kept(self) -> None:
        stays, leaves = make_evse("NO*ABC*E1"), make_evse("NO*ABC*E2")
        directory = Directory([make_station(evses=[stays, leaves])])
        directory.put(make_station(evses=[stays, leaves], vanished_at=NOW))
        assert directory.left == {}
        directory.put(make_station(evses=[stays]))
        assert directory.left == {"NOABCE2": "NO*ABC*E2"}

    def test_an_unknown_station_has_no_evses(self) -> None:
        assert Directory().present("NOR_00001") == ()


WORDS = st.sampled_from(["A1", "B2"])


@st.composite
def stations(draw: st.DrawFn) -> Station:
    """One of three stations, whose EVSEs have a key or uid that others have, too."""
    uuid = draw(st.sampled_from(["NOR_00001", "NOR_00002", "NOR_00003"]))
    shared = [make_evse(draw(WORDS), uuid)] if draw(st.booleans()) else []
    own = [make_evse(f"NO*ABC*E{uuid[-1]}", uuid, uid=draw(WORDS))] if draw(st.booleans()) else []
    return make_station(uuid, shared + own, vanished_at=draw(st.none() | st.just(NOW)))


@given(st.lists(stations(), max_size=8))
def test_what_is_found_does_not_depend_on_how_the_registry_came_to_be(puts: list[Station]) -> None:
    directory = Directory()
    for station in puts:
        directory.put(station)
    final = {station.uuid: station for station in puts}
    present = [evse for station in final.values() if station.vanished_at is None for evse in station.evses]
    assert len(directory) == len(present)
    for written in ("A1", "B2"):
        found = directory.find(written)
        holders = [evse for evse in present if evse.key == written]
        assert len(found) == bool(holders)
        assert set(found) <= set(holders)
        assert set(directory.find_uid(written)) == {evse for evse in present if evse.uid == written}


def test_the_names_of_those_that_left_are_kept_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory_module, "LEFT_MAX", 2)
    evses = make_evses(4)
    directory = Directory([make_station(evses=evses)])
    directory.put(make_station(evses=evses[:1]))
    assert list(directory.left) == [evse.key for evse in evses[2:]]
    names = [directory.name(evse.key, "NOR_00001") for evse in evses]
    assert names == [evses[0].name, evses[1].key, evses[2].name, evses[3].name]


def test_ids_that_many_evses_share_cost_no_look_at_the_others() -> None:
    looks = 0

    class Counting:
        """Stands for an EVSE."""

        def __init__(self, number: int) -> None:
            self.number = number

        def __hash__(self) -> int:
            return self.number

        def __eq__(self, other: object) -> bool:
            nonlocal looks
            looks += 1
            return self is other

    index = _Index()
    evses: list[Any] = [Counting(number) for number in range(1_000)]
    for evse in evses:
        index.add("1", evse)
    assert index.every("1") == tuple(evses)
    looks = 0
    for evse in evses[:-1]:
        index.discard("1", evse)
    assert index.every("1") == (evses[-1],)
    assert looks < 5 * len(evses)
    index.discard("1", evses[-1])
    assert index.every("1") == ()


class TestMoving:
    """EVSEs that go from one station to another, while stations are put one after the other."""

    @given(
        before=st.lists(st.integers(0, 3), min_size=4, max_size=4),
        after=st.lists(st.integers(0, 3), min_size=4, max_size=4),
        order=st.permutations(range(4)),
        vanishing=st.booleans(),
    )
    def test_they_are_found_all_the_time_and_once(
        self, before: list[int], after: list[int], order: list[int], vanishing: bool
    ) -> None:
        def stations(places: list[int], vanished_at: int | None) -> list[Station]:
            made = []
            for number in range(4):
                uuid = f"NOR_{number + 1:05d}"
                evses = [
                    make_evse(f"NO*ABC*E{each}", uuid, uid=f"u{each}")
                    for each in range(4)
                    if places[each] == number
                ]
                gone = vanished_at if not evses else None
                made.append(make_station(uuid, evses, vanished_at=gone))
            return made

        directory = Directory(stations(before, None))
        written = {station.uuid: station for station in stations(after, NOW if vanishing else None)}
        moving = set(directory.moving(written.values(), written))
        assert moving == {f"NOABCE{each}" for each in range(4) if before[each] != after[each]}
        for number in order:
            directory.put(written[f"NOR_{number + 1:05d}"], moving)
            for each in range(4):
                for name in (f"NO*ABC*E{each}", f"u{each}"):
                    own, _ = directory.resolve(name, "", lambda _: True)
                    assert len(own) == 1
        for each in range(4):
            (evse,) = directory.meant(f"u{each}")
            assert evse.station == f"NOR_{after[each] + 1:05d}"
        assert len(directory) == 4

    def test_one_that_its_new_station_has_and_its_old_one_keeps_does_not_move(self) -> None:
        directory = Directory([make_station("NOR_00001", [make_evse(station="NOR_00001")])])
        other = make_station("NOR_00002", [make_evse(station="NOR_00002")])
        kept = make_station("NOR_00001", [make_evse(station="NOR_00001")], name="Another")
        assert not [*directory.moving([other], {"NOR_00002": other})]
        assert not [*directory.moving([other, kept], {"NOR_00001": kept, "NOR_00002": other})]
