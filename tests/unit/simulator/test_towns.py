from __future__ import annotations

import math
from itertools import pairwise

from ladestrom.simulator.towns import ROADS, TOWNS

COUNTIES = {
    "Agder", "Akershus", "Buskerud", "Finnmark", "Innlandet", "Møre og Romsdal", "Nordland", "Oslo",
    "Rogaland", "Telemark", "Troms", "Trøndelag", "Vestfold", "Vestland", "Østfold",
}  # fmt: skip


def test_every_county_has_towns_and_no_town_is_listed_twice() -> None:
    assert {town.county for town in TOWNS} == COUNTIES
    assert len({town.name for town in TOWNS}) == len(TOWNS) >= 120


def test_towns_lie_in_norway_and_have_inhabitants() -> None:
    for town in TOWNS:
        assert 57.9 < town.latitude < 71.2, town
        assert 4.5 < town.longitude < 31.2, town
        assert 300 <= town.inhabitants <= 750_000, town
        assert town.inland is None or 0 <= town.inland < 360, town


def test_the_towns_hold_about_two_thirds_of_the_population() -> None:
    assert 3_000_000 < sum(town.inhabitants for town in TOWNS) < 4_500_000


def test_a_leg_of_a_road_is_short_enough_to_be_straight() -> None:
    for road in ROADS:
        for begin, end in pairwise(road.waypoints):
            north_km = (end.latitude - begin.latitude) * 111.2
            east_km = (end.longitude - begin.longitude) * 111.2 * math.cos(math.radians(begin.latitude))
            assert math.hypot(north_km, east_km) < 130, (road.name, begin.name, end.name)
