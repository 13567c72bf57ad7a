from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.building import NOW, TYPE_2, make_evse, make_evses, make_station

from ladestrom.core.directory import Directory
from ladestrom.model import Outlet, Station, connector_uuid

WRITTEN = "NO*ABC*E1001*1"
FORMS: list[Callable[[str], str]] = [
    str,
    str.lower,
    str.title,
    lambda written: written.replace("*", ""),
    lambda written: written.replace("*", "-"),
    lambda written: f"-{written}*",
]


class TestFind:
    @pytest.mark.parametrize("form", FORMS)
    def test_an_evse_is_found_by_every_written_form_of_its_id(self, form: Callable[[str], str]) -> None:
        evse = make_evse(WRITTEN)
        directory = Directory([make_station(evses=[evse])])
        assert directory.find(form(WRITTEN)) == (evse,)

    @pytest.mark.parametrize("form", FORMS)
    def test_it_is_found_by_every_written_form_of_its_uid(self, form: Callable[[str], str]) -> None:
        evse = make_evse(WRITTEN, uid="7381cc78-a032-4f23-a46f-3e0ebe4590ff")
        directory = Directory([make_station(evses=[evse])])
        assert directory.find(form("7381cc78-a032-4f23-a46f-3e0ebe4590ff")) == (evse,)

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
        assert set(directory.find("4711")) == {mine, yours, third}

    def test_a_uid_never_hides_the_evse_whose_key_it_equals(self) -> None:
        true = make_evse("NO*ABC*E1", "NOR_00001")
        false = make_evse("NO*XYZ*E1", "NOR_00002", uid="no-abc-e1")
        for stations in ([true, false], [false, true]):
            directory = Directory(make_station(evse.station, [evse]) for evse in stations)
            assert directory.find("NO*ABC*E1") == (true,)

    def test_such_a_uid_means_its_own_evse_once_the_other_has_vanished(self) -> None:
        true = make_evse("NO*ABC*E1", "NOR_00001")
        false = make_evse("NO*XYZ*E1", "NOR_00002", uid="no-abc-e1")
        directory = Directory([make_station("NOR_00001", [true]), make_station("NOR_00002", [false])])
        directory.put(make_station("NOR_00001", [true], vanished_at=NOW))
        assert directory.find("NO*ABC*E1") == (false,)

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
        if holders:
            assert len(found) == 1
            assert found[0] in holders
        else:
            assert set(found) == {evse for evse in present if evse.uid == written}
