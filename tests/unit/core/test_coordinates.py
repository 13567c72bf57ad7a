from __future__ import annotations

import math

import pytest

from ladestrom.core.coordinates import FRANCE, NORDIC, pair, place
from ladestrom.core.fields import Unusable


@pytest.mark.parametrize(
    "value",
    [
        "(59.5,10.25)",
        "[59.5, 10.25]",
        "59.5,10.25",
        " 59.5 ; 10.25 ",
        "59.5 10.25",
        [59.5, 10.25],
        ["59.5", 10.25],
    ],
)
def test_a_pair_of_numbers_is_read_in_every_form(value: object) -> None:
    assert pair(value) == (59.5, 10.25)


@pytest.mark.parametrize(
    "value",
    [
        "",
        None,
        "unknown",
        "(59.5)",
        "(59.5,10.25,3)",
        "(NaN,NaN)",
        "(inf,1)",
        "(59,5,10,25)",
        [1],
        [1, 2, 3],
        [math.nan, 1],
        [True, 1],
        [10**400, 1],
        {"lat": 1, "lon": 2},
        "(" + "9" * 5_000 + ",1)",
        59.5,
    ],
)
def test_what_is_no_pair_of_numbers_is_refused(value: object) -> None:
    with pytest.raises(Unusable, match="cannot be read"):
        pair(value)


@pytest.mark.parametrize(
    ("latitude", "longitude"),
    [(59.9, 10.7), (78.2, 15.6), (55.7, 12.6), (64.1, -21.9), (62.0, -6.8), (64.2, -51.7)],
)
def test_nordic_positions_are_taken_and_exchanged_ones_put_right(latitude: float, longitude: float) -> None:
    assert place(latitude, longitude, NORDIC) == (latitude, longitude, "")
    assert place(longitude, latitude, NORDIC) == (
        latitude,
        longitude,
        "latitude and longitude were exchanged",
    )


@pytest.mark.parametrize(
    ("latitude", "longitude"),
    [
        (48.86, 2.35),
        (42.0, 9.0),
        (43.73, 7.42),
        (16.2, -61.5),
        (14.6, -61.0),
        (4.9, -52.3),
        (-21.1, 55.5),
        (-12.8, 45.2),
        (46.8, -56.2),
        (-22.3, 166.4),
        (-17.6, -149.5),
        (-13.3, -176.2),
    ],
)
def test_france_lies_on_four_oceans(latitude: float, longitude: float) -> None:
    assert place(latitude, longitude, FRANCE) == (latitude, longitude, "")
    assert place(longitude, latitude, FRANCE)[:2] == (latitude, longitude)


def test_another_position_is_taken_and_noted() -> None:
    assert place(40.4, -74.0, FRANCE) == (40.4, -74.0, "its position lies outside the register's countries")
    assert place(40.4, -74.0) == (40.4, -74.0, "")


@pytest.mark.parametrize("position", [(0, 0), (0.0, -0.0), (0.005, -0.001)])
def test_null_island_is_refused(position: tuple[float, float]) -> None:
    with pytest.raises(Unusable, match="none was entered"):
        place(*position, FRANCE)


@pytest.mark.parametrize("position", [(91, 10), (10, 181), (-90.1, 0), (1e9, 1e9)])
def test_what_is_nowhere_on_earth_is_refused(position: tuple[float, float]) -> None:
    with pytest.raises(Unusable, match="nowhere on Earth"):
        place(*position)
