"""Where a station stands: positions as registers write them, and which of them can be true.

Knows areas of the Earth. Must not know of any register.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from ladestrom.core.fields import Unusable, decimal, quoted

_NUMBER: Final = r"([+-]?\d{1,3}(?:\.\d{1,30})?(?:[eE]-\d{1,2})?)"
_PAIR: Final = re.compile(rf"[\[(]?\s*{_NUMBER}\s*(?:[,;]\s*|\s){_NUMBER}\s*[\])]?")
_NULL_ISLAND_DEGREES: Final = 0.01
"""About 1 km: a station there is one whose position was never entered."""


class Area(NamedTuple):
    """A rectangle in degrees, WGS 84."""

    south: float
    west: float
    north: float
    east: float

    def holds(self, latitude: float, longitude: float) -> bool:
        return self.south <= latitude <= self.north and self.west <= longitude <= self.east


NORDIC: Final = (Area(53.5, -26.0, 81.5, 33.0), Area(59.0, -74.0, 84.0, -10.0))
"""Norway with Svalbard, Sweden, Finland, Denmark with the Faroes, Iceland; Greenland."""

FRANCE: Final = (
    Area(41.0, -5.7, 51.5, 10.0),
    Area(14.0, -63.6, 18.6, -60.4),
    Area(2.0, -55.0, 6.2, -51.2),
    Area(-21.8, 55.0, -20.5, 56.2),
    Area(-13.2, 44.7, -12.3, 45.6),
    Area(46.5, -56.8, 47.4, -55.9),
    Area(-23.2, 158.0, -19.0, 172.3),
    Area(-28.2, -155.5, -7.5, -134.0),
    Area(-14.7, -178.6, -12.9, -175.8),
)
"""The mainland with Corsica and Monaco, the Antilles, Guiana, Réunion, Mayotte, Saint Pierre and Miquelon,
New Caledonia, Polynesia, Wallis and Futuna."""

_EARTH: Final = Area(-90.0, -180.0, 90.0, 180.0)


class Coordinates(NamedTuple):
    latitude: float
    longitude: float
    note: str
    """What was odd about it; empty where nothing was."""


def pair(value: object) -> tuple[float, float]:
    """Two numbers out of `(59.1, 11.2)`, `[59.1, 11.2]`, `59.1, 11.2`, or a list of two.

    Raises:
        Unusable: it has another form.
    """
    numbers: tuple[object, ...] = ()
    if isinstance(value, str) and (match := _PAIR.fullmatch(value.strip())):
        numbers = match.groups()
    elif isinstance(value, (list, tuple)):
        numbers = tuple(value)
    first, second = (decimal(number) for number in numbers) if len(numbers) == 2 else (None, None)  # noqa: PLR2004 - a pair
    if first is None or second is None:
        raise Unusable(f"its position {quoted(value)} cannot be read; two numbers are needed")
    return first, second


def place(latitude: float, longitude: float, areas: tuple[Area, ...] = ()) -> Coordinates:
    """The position, its numbers exchanged where they only make sense so.

    `areas` is where the register's stations are; without any, nothing is exchanged or noted.

    Raises:
        Unusable: it is nowhere on Earth, or at (0, 0), where no position was entered.
    """
    if abs(latitude) < _NULL_ISLAND_DEGREES and abs(longitude) < _NULL_ISLAND_DEGREES:
        raise Unusable("its position is (0, 0), which means that none was entered")
    if not areas and _EARTH.holds(latitude, longitude):
        return Coordinates(latitude, longitude, "")
    if any(area.holds(latitude, longitude) for area in areas):
        return Coordinates(latitude, longitude, "")
    if any(area.holds(longitude, latitude) for area in areas):
        return Coordinates(longitude, latitude, "latitude and longitude were exchanged")
    if not _EARTH.holds(latitude, longitude):
        raise Unusable(f"its position (latitude {latitude:g}, longitude {longitude:g}) is nowhere on Earth")
    return Coordinates(latitude, longitude, "its position lies outside the register's countries")
