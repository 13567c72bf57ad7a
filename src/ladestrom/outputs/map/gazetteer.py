"""Towns of Europe by where they are, for stations whose register names none.

GeoNames, CC BY 4.0, as `tools/ground.py` has made it: what the page is searched by, too.
"""

from __future__ import annotations

import math
from collections import defaultdict
from functools import cache, lru_cache
from typing import Final

import msgspec

from ladestrom.edges.page import FILES

CELL: Final = 0.25
"""Degrees: a place within `REACH_KM` is in one of the nine cells around, as far north as 71 degrees."""
REACH_KM: Final = 8.0
"""A place that is farther away says nothing of a station."""
KM_PER_DEGREE: Final = 111.2
PLACES_KEPT: Final = 16_384
"""Answers: as many towns as a country has, at 200 bytes."""


class _Columns(msgspec.Struct, frozen=True):
    name: list[str]
    lon: list[int]
    """1e-3 degrees."""
    lat: list[int]


@lru_cache(PLACES_KEPT)
def nearest(latitude: float, longitude: float) -> str:
    """The nearest town; empty where there is none. Positions are best rounded, as answers are kept."""
    row, column = math.floor(latitude / CELL), math.floor(longitude / CELL)
    wide = math.cos(math.radians(latitude))
    found = (REACH_KM, "")
    cells = _cells()
    for near in ((row + down, column + right) for down in (-1, 0, 1) for right in (-1, 0, 1)):
        for lat, lon, name in cells.get(near, ()):
            km = KM_PER_DEGREE * math.hypot(lat - latitude, (lon - longitude) * wide)
            found = min(found, (km, name))
    return found[1]


@cache
def _cells() -> dict[tuple[int, int], list[tuple[float, float, str]]]:
    """Places by cell. Read at the first question: some 20 ms, once."""
    columns = msgspec.json.decode((FILES / "ground" / "places.json").read_bytes(), type=_Columns)
    cells: dict[tuple[int, int], list[tuple[float, float, str]]] = defaultdict(list)
    for name, lon, lat in zip(columns.name, columns.lon, columns.lat, strict=True):
        cells[math.floor(lat / 1e3 / CELL), math.floor(lon / 1e3 / CELL)].append((lat / 1e3, lon / 1e3, name))
    return dict(cells)
