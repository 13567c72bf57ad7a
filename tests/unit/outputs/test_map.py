from __future__ import annotations

from typing import Any

import msgspec
from tests.building import make_station

from ladestrom.model import Connector, Evse, Outlet, Station
from ladestrom.outputs.map.encoder import (
    OTHERS,
    ROWS_AT_ONCE,
    STANDARDS_MAX,
    Columns,
    EvseClass,
    MapOpening,
    MapStations,
)
from ladestrom.record import Access, Details, Hours, Opening, Payment, Terms, Vehicle


def columns(*stations: Station) -> MapStations:
    made = Columns()
    for _ in made.fill(stations):
        pass
    revision, body = made.encoded()
    found = msgspec.json.decode(body, type=MapStations)
    assert found.revision == revision
    assert list(msgspec.json.decode(body)) == list(MapStations.__struct_fields__)
    return found


def with_plugs(number: int, *standards: str, power_kw: float | None = None, **more: Any) -> Station:
    outlets = tuple(Outlet(0, Connector(standard, power_kw)) for standard in standards)
    return make_station(f"NOR_{number:05d}", outlets=outlets, **more)


def test_without_stations_every_column_is_empty() -> None:
    found = msgspec.structs.asdict(columns())
    del found["revision"]
    assert set(map(len, found.values())) == {0}


def test_a_row_is_what_the_register_says() -> None:
    station = with_plugs(
        1, "CHADEMO", "UNKNOWN", power_kw=22.5, city="Oslo", operator="Abc", longitude=-10.123456
    )
    found = columns(with_plugs(2, operator=""), station)
    assert found == MapStations(
        revision=found.revision,
        operators=["Abc"],
        standards=["CHADEMO", "UNKNOWN"],
        countries=["NOR"],
        uuid=["NOR_00002", "NOR_00001"],
        name=["Station NOR_00002", "Station NOR_00001"],
        city=[None, "Oslo"],
        lon=[1_070_000, -1_012_346],
        lat=[5_990_000, 5_990_000],
        operator=[-1, 0],
        country=[0, 0],
        power_kw=[0, 22.5],
        standard=[0, 3],
        evses=[1, 1],
        opening=[-1, -1],
        openings=[],
        classes=[EvseClass(0, []), EvseClass(22.5, [(0, 22.5), (1, 22.5)])],
        evse_class=[0, 1],
        named=[],
    )


def test_evses_of_one_class_share_it_and_those_of_another_than_their_first_are_named() -> None:
    hours = Opening(hours=(Hours(1, "07:00", "22:00"),), text="and on request")
    details = Details(
        opening=hours, time_zone="Europe/Oslo", access=Access.PUBLIC, payment=Payment(card=True, free=False)
    )
    own = Terms(access=Access.EMPLOYEES, vehicles=(Vehicle.TRUCK,))
    evses = (
        Evse("NOABCE1", "NOR_00001", "NO*ABC*E1", max_kw=150.0),
        Evse("NOABCE2", "NOR_00001", "NO*ABC*E2"),
        Evse("NOABCE3", "NOR_00001", "NO*ABC*E3", terms=own),
        Evse("NOABCE4", "NOR_00001", "NO*ABC*E4"),
    )
    ccs, slow = Connector("IEC_62196_T2_COMBO", 150.0), Connector("CHADEMO", 50.0)
    bare = Connector("IEC_62196_T2_COMBO")
    outlets = (Outlet(0, bare), Outlet(1, ccs), Outlet(1, slow), Outlet(2, ccs), Outlet(3, ccs))
    one = make_station("NOR_00001", evses=evses, outlets=outlets, details=details)
    other = make_station("NOR_00002", outlets=(), details=Details(opening=hours, time_zone="Europe/Oslo"))
    found = columns(one, other)
    public, card = Access.PUBLIC, ("card",)
    assert found.classes == [
        EvseClass(150, [(1, 150)], public, card),
        EvseClass(150, [(0, 50), (1, 150)], public, card),
        EvseClass(150, [(1, 150)], Access.EMPLOYEES, (), (Vehicle.TRUCK,)),
        EvseClass(0, []),
    ]
    assert found.evse_class == [0, 1, 2, 0, 3]
    assert found.named == ["NO*ABC*E2", "NO*ABC*E3"]
    assert found.opening == [0, 0]
    assert found.openings == [MapOpening("Europe/Oslo", hours=hours.hours, more=True)]


def test_the_commonest_standards_have_bits_of_their_own_and_the_rarest_share_the_last() -> None:
    words = [f"PLUG_{number:02d}" for number in range(STANDARDS_MAX + 2)]
    stations = [with_plugs(number, *words[:number]) for number in range(len(words), 0, -1)]
    found = columns(*stations)
    assert found.standards == [*words[: STANDARDS_MAX - 1], OTHERS]
    assert found.standard[0] == 2**STANDARDS_MAX - 1
    assert found.standard[-1] == 1
    assert columns(*stations[2:]).standards == words[:STANDARDS_MAX], "so many have their own"


def test_the_revision_is_that_of_the_content() -> None:
    one, other = with_plugs(1, "CHADEMO"), with_plugs(2, "CHADEMO")
    assert columns(one, other).revision == columns(one, other).revision < 2**48
    assert columns(one, other).revision != columns(other, one).revision
    assert columns(one).revision != columns(msgspec.structs.replace(one, name="Another")).revision


def test_others_get_their_turn_between_slices() -> None:
    stations = [make_station(f"NOR_{number:05d}") for number in range(2 * ROWS_AT_ONCE + 1)]
    assert len(list(Columns().fill(stations))) == 3
