from __future__ import annotations

import pytest

from ladestrom.outputs.map.gazetteer import nearest


@pytest.mark.parametrize(
    ("latitude", "longitude", "name"),
    [
        (48.97, 2.42, "Arnouville"),
        (45.77, 4.83, "Lyon"),
        (59.91, 10.75, "Oslo"),
        (69.65, 18.96, "Tromsø"),
        (-20.89, 55.45, "Saint-Denis"),
        (57.0, -30.0, ""),
        (90.0, 180.0, ""),
    ],
)
def test_a_place_is_named_by_the_nearest_town(latitude: float, longitude: float, name: str) -> None:
    assert nearest(latitude, longitude) == name
