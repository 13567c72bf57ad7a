"""Where countries are, roughly: rectangles by which a position with exchanged numbers is recognized.

Knows the countries of Europe. A country that is not here may be anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ladestrom.core.coordinates import FRANCE, NORDIC, Area

_OF_NORDIC: Final = dict.fromkeys(("NOR", "SWE", "FIN", "DAN", "ISL", "FRO", "GRL", "ALA", "SJM"), NORDIC)
_OF_FRANCE: Final = dict.fromkeys(("FRA", "MCO"), FRANCE)

BY_COUNTRY: Final[Mapping[str, tuple[Area, ...]]] = {
    **_OF_NORDIC,
    **_OF_FRANCE,
    "ALB": (Area(39.4, 19.0, 42.8, 21.2),),
    "AND": (Area(42.3, 1.3, 42.8, 1.9),),
    "AUT": (Area(46.2, 9.4, 49.2, 17.3),),
    "BEL": (Area(49.3, 2.3, 51.7, 6.6),),
    "BGR": (Area(41.0, 22.2, 44.4, 28.8),),
    "BIH": (Area(42.4, 15.6, 45.4, 19.8),),
    "CHE": (Area(45.7, 5.8, 47.9, 10.6),),
    "CYP": (Area(34.4, 32.1, 35.8, 34.8),),
    "CZE": (Area(48.4, 11.9, 51.2, 19.0),),
    "DEU": (Area(47.1, 5.7, 55.2, 15.2),),
    "ESP": (Area(35.1, -9.5, 43.9, 4.5), Area(27.5, -18.3, 29.5, -13.3)),
    "EST": (Area(57.4, 21.5, 59.9, 28.3),),
    "GBR": (Area(49.0, -9.0, 61.0, 2.0),),
    "GRC": (Area(34.7, 19.2, 41.9, 29.8),),
    "HRV": (Area(42.2, 13.3, 46.7, 19.6),),
    "HUN": (Area(45.6, 16.0, 48.7, 23.0),),
    "IRL": (Area(51.3, -10.8, 55.5, -5.3),),
    "ITA": (Area(35.2, 6.5, 47.2, 18.7),),
    "LIE": (Area(47.0, 9.4, 47.4, 9.7),),
    "LTU": (Area(53.8, 20.8, 56.6, 26.9),),
    "LUX": (Area(49.4, 5.6, 50.3, 6.6),),
    "LVA": (Area(55.6, 20.8, 58.2, 28.3),),
    "MDA": (Area(45.4, 26.5, 48.6, 30.3),),
    "MKD": (Area(40.8, 20.4, 42.5, 23.1),),
    "MLT": (Area(35.7, 14.1, 36.2, 14.7),),
    "MNE": (Area(41.8, 18.3, 43.7, 20.5),),
    "NLD": (Area(50.6, 3.2, 53.8, 7.4),),
    "POL": (Area(48.9, 14.0, 55.0, 24.3),),
    "PRT": (
        Area(36.8, -9.7, 42.3, -6.1),
        Area(32.2, -17.5, 33.3, -16.1),
        Area(36.8, -31.5, 39.9, -24.7),
    ),
    "ROU": (Area(43.5, 20.1, 48.4, 30.0),),
    "SMR": (Area(43.8, 12.3, 44.1, 12.6),),
    "SRB": (Area(41.8, 18.7, 46.3, 23.1),),
    "SVK": (Area(47.6, 16.7, 49.8, 22.7),),
    "SVN": (Area(45.3, 13.2, 47.0, 16.7),),
    "UKR": (Area(44.2, 22.0, 52.5, 40.4),),
}
"""Mainland and islands of each that belong to Europe, with a margin of some 10 km."""
