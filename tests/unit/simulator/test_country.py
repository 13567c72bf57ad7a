from __future__ import annotations

import re
from collections import Counter
from random import Random
from statistics import correlation

import pytest

from ladestrom.core.access import Reach, operator_from
from ladestrom.core.features import features
from ladestrom.model import Station, evse_key
from ladestrom.simulator.companies import COMPANIES
from ladestrom.simulator.country import REGISTER, STATIONS_MAX, build
from ladestrom.simulator.towns import ROADS, TOWNS

WEDNESDAY = 1_796_212_800_000
"""Noon in UTC."""
ROAD_NAMES = {road.name for road in ROADS}


@pytest.fixture(scope="module")
def stations() -> list[Station]:
    return [draft.station for draft in build(4_000, Random(3))]


def test_as_many_stations_as_asked_for_with_ids_of_their_own(stations: list[Station]) -> None:
    assert len(stations) == 4_000
    assert len({station.uuid for station in stations}) == 4_000
    assert all(re.fullmatch(r"NOR_[0-9]{5,}", station.uuid) for station in stations)
    assert {station.register for station in stations} == {REGISTER}


def test_evse_ids_are_written_as_norway_writes_them_and_are_unique(stations: list[Station]) -> None:
    evses = [evse for station in stations for evse in station.evses]
    assert len({evse.key for evse in evses}) == len(evses)
    for evse in evses:
        assert evse.evse_id is not None
        assert re.fullmatch(r"NO\*[A-Z]{3}\*E[0-9]{7,8}", evse.evse_id)
        assert evse.key == evse_key(evse.evse_id)
        assert evse.uid is None or re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", evse.uid)


def test_ids_stay_unique_where_station_numbers_grow_by_a_digit() -> None:
    drafts = build(20_100, Random(5))
    assert drafts[-1].station.uuid == "NOR_100100"
    keys = [evse.key for draft in drafts for evse in draft.station.evses]
    assert len(set(keys)) == len(keys)


def test_every_evse_has_an_outlet_and_every_outlet_an_evse(stations: list[Station]) -> None:
    for station in stations:
        assert station.evses
        assert {outlet.evse for outlet in station.outlets} == set(range(len(station.evses)))
        assert all(evse.station == station.uuid for evse in station.evses)


def test_stations_say_what_drivers_ask_for_and_some_say_nothing(stations: list[Station]) -> None:
    assert len({id(station.details) for station in stations}) < 20, "they are shared"
    for query in (
        {"open_now": "1"},
        {"access": "public"},
        {"access": "employees"},
        {"payment": "card"},
        {"payment": "free"},
        {"vehicle": "truck"},
        {"connector": "ccs", "min_kw": "150", "open_now": "1", "access": "public"},
    ):
        asked = features(query)
        met = sum(bool(asked.of(station, WEDNESDAY)) for station in stations)
        assert 0 < met < len(stations), query
    assert any(station.details.opening is None for station in stations)


def test_an_operator_may_report_on_its_stations_and_on_no_others(stations: list[Station]) -> None:
    operators = {each.name: operator_from(each.name, parties=[each.party]) for each in COMPANIES}
    for station in stations:
        for evse in station.evses:
            able = {name for name, operator in operators.items() if Reach(operator).covers(evse)}
            assert able == {station.operator}


def test_stations_follow_the_population(stations: list[Station]) -> None:
    in_town = Counter(station.city for station in stations if station.address is None)
    inhabitants = [float(town.inhabitants) for town in TOWNS]
    assert correlation(inhabitants, [float(in_town[town.name]) for town in TOWNS]) > 0.97
    assert 0.09 < in_town["Oslo"] / len(stations) < 0.18


def test_stations_stand_near_their_town(stations: list[Station]) -> None:
    by_name = {town.name: town for town in TOWNS}
    for station in stations:
        if station.address is None:
            town = by_name[station.city or ""]
            assert abs(station.latitude - town.latitude) < 0.15
            assert abs(station.longitude - town.longitude) < 0.3


def test_some_stations_stand_at_main_roads_and_these_are_fast(stations: list[Station]) -> None:
    at_roads = [station for station in stations if station.address is not None]
    assert 0.08 < len(at_roads) / len(stations) < 0.16
    assert {station.address for station in at_roads} <= ROAD_NAMES
    assert all(max(outlet.connector.max_kw or 0 for outlet in station.outlets) >= 50 for station in at_roads)


@pytest.mark.parametrize(
    ("standard", "least_kw", "most_kw", "low", "high"),
    [
        ("IEC_62196_T2", 7, 11, 0.25, 0.42),
        ("IEC_62196_T2", 22, 22, 0.24, 0.38),
        ("IEC_62196_T2_COMBO", 50, 50, 0.03, 0.09),
        ("CHADEMO", 50, 50, 0.03, 0.09),
        ("IEC_62196_T2_COMBO", 150, 300, 0.20, 0.38),
        ("MCS", 1000, 1000, 0.0005, 0.01),
    ],
)
def test_power_classes_have_their_share(
    stations: list[Station], standard: str, least_kw: float, most_kw: float, low: float, high: float
) -> None:
    evses = sum(len(station.evses) for station in stations)
    found = sum(
        outlet.connector.standard == standard and least_kw <= (outlet.connector.max_kw or 0) <= most_kw
        for station in stations
        for outlet in station.outlets
    )
    assert low < found / evses < high


def test_stations_have_five_evses_on_average_and_never_more_than_an_id_can_count(
    stations: list[Station],
) -> None:
    sizes = [len(station.evses) for station in stations]
    assert 4 < sum(sizes) / len(sizes) < 6
    assert max(sizes) <= 99


def test_operators_differ_in_size(stations: list[Station]) -> None:
    sizes = Counter(station.operator for station in stations)
    assert set(sizes) == {company.name for company in COMPANIES}
    assert max(sizes.values()) > 3 * min(sizes.values())


def test_no_two_stations_have_one_name(stations: list[Station]) -> None:
    assert len({station.name for station in stations}) == len(stations)


def test_the_same_seed_builds_the_same_country_and_another_seed_another() -> None:
    assert build(200, Random(7)) == build(200, Random(7))
    assert build(200, Random(7)) != build(200, Random(8))


@pytest.mark.parametrize("stations", [0, -1, STATIONS_MAX + 1])
def test_a_number_of_stations_out_of_range_is_refused(stations: int) -> None:
    with pytest.raises(ValueError, match=f"{stations} stations"):
        build(stations, Random(1))


def test_one_station_is_a_country_too() -> None:
    assert len(build(1, Random(1))) == 1
