"""Stations around a place: OICP's SearchCenter. Knows the Earth as a sphere."""

from __future__ import annotations

import math
from typing import Final

import msgspec

from ladestrom.core.selection import LATITUDE_MAX, LONGITUDE_MAX, Box

EARTH_KM: Final = 6_371.009
"""Mean radius (IUGG)."""
DEGREE_KM: Final = math.radians(1) * EARTH_KM
"""Of latitude."""
RADIUS_KM_MAX: Final = 20_020.0
"""More than half way round."""
SLACK: Final = 1.001
"""A box is somewhat larger than its circle, so that rounding costs no station at the edge."""


class Circle(msgspec.Struct, frozen=True, gc=False):
    """A centre in degrees, WGS 84, and a radius."""

    latitude: float
    longitude: float
    radius_km: float

    def holds(self, latitude: float, longitude: float) -> bool:
        """Whether a place is in it (haversine)."""
        here, there = math.radians(self.latitude), math.radians(latitude)
        across = math.sin(math.radians(longitude - self.longitude) / 2) ** 2
        up = math.sin((there - here) / 2) ** 2
        chord = min(1.0, up + math.cos(here) * math.cos(there) * across)
        return 2 * EARTH_KM * math.asin(math.sqrt(chord)) <= self.radius_km

    def box(self) -> Box | None:
        """What it lies in; None where that is all the Earth, or reaches a pole."""
        high = self.radius_km / DEGREE_KM * SLACK
        south, north = self.latitude - high, self.latitude + high
        if south <= -LATITUDE_MAX or north >= LATITUDE_MAX:
            return None
        # The widest parallel of a circle lies nearer to the pole than its centre does.
        ratio = math.sin(math.radians(min(high, LATITUDE_MAX))) / math.cos(math.radians(self.latitude))
        if ratio >= 1:
            return None
        wide = math.degrees(math.asin(ratio)) * SLACK
        if wide >= LONGITUDE_MAX:
            return None
        return Box(_around(self.longitude - wide), south, _around(self.longitude + wide), north)


def _around(longitude: float) -> float:
    return (longitude + LONGITUDE_MAX) % (2 * LONGITUDE_MAX) - LONGITUDE_MAX
