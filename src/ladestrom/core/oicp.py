"""Words and notations of OICP that those who read it and those who write it have in common.

Knows no message.

Source: OICP 2.3, "Data Types".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from ladestrom.core.coordinates import Coordinates, pair, place
from ladestrom.core.fields import Unusable, plain, quoted
from ladestrom.record import Access, Format, Place

# -- status codes -----------------------------------------------------------------------------------------

SUCCESS: Final = "000"
UNAUTHORIZED: Final = "017"
INCONSISTENT_EVSE: Final = "018"
SYSTEM_ERROR: Final = "021"
DATA_ERROR: Final = "022"
UNKNOWN_EVSE: Final = "603"
DESCRIPTIONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        SUCCESS: "Success.",
        UNAUTHORIZED: "Unauthorized Access.",
        INCONSISTENT_EVSE: "Inconsistent EvseID.",
        SYSTEM_ERROR: "System error.",
        DATA_ERROR: "Data error.",
        UNKNOWN_EVSE: "Unknown EVSE ID.",
    }
)
"""CodeType, as far as it is used."""
ADDITIONAL_CHARACTERS_MAX: Final = 1_000
"""StatusCodeType, AdditionalInfo."""

# -- records ----------------------------------------------------------------------------------------------

UNSPECIFIED: Final = "Unspecified"
PLUGS: Final[Mapping[str, tuple[str, Format | None]]] = MappingProxyType(
    {
        "Small Paddle Inductive": ("UNKNOWN", None),
        "Large Paddle Inductive": ("UNKNOWN", None),
        "AVCON Connector": ("UNKNOWN", None),
        "Tesla Connector": ("TESLA_S", None),
        "NEMA 5-20": ("NEMA_5_20", None),
        "Type E French Standard": ("DOMESTIC_E", None),
        "Type F Schuko": ("DOMESTIC_F", None),
        "Type G British Standard": ("DOMESTIC_G", None),
        "Type J Swiss Standard": ("DOMESTIC_J", None),
        "Type 1 Connector (Cable Attached)": ("IEC_62196_T1", Format.CABLE),
        "Type 2 Outlet": ("IEC_62196_T2", Format.SOCKET),
        "Type 2 Connector (Cable Attached)": ("IEC_62196_T2", Format.CABLE),
        "Type 3 Outlet": ("IEC_62196_T3C", Format.SOCKET),
        "IEC 60309 Single Phase": ("IEC_60309_2_single_16", None),
        "IEC 60309 Three Phase": ("IEC_60309_2_three_16", None),
        "CCS Combo 2 Plug (Cable Attached)": ("IEC_62196_T2_COMBO", Format.CABLE),
        "CCS Combo 1 Plug (Cable Attached)": ("IEC_62196_T1_COMBO", Format.CABLE),
        "CHAdeMO": ("CHADEMO", None),
        UNSPECIFIED: ("UNKNOWN", None),
    }
)
"""PlugType as OCPI 2.2.1 ConnectorType. The industrial sockets come without their current: the smallest that
OCPI has is taken. A format where the word says it."""
ACCESS: Final[Mapping[str, tuple[Access | None, bool | None]]] = MappingProxyType(
    {
        "Free publicly accessible": (Access.PUBLIC, False),
        "Paying publicly accessible": (Access.PUBLIC, True),
        "Restricted access": (Access.RESTRICTED, None),
        "Test Station": (None, None),
        UNSPECIFIED: (None, None),
    }
)
"""AccessibilityType: who may charge, and whether getting there costs money."""
PLACES: Final[Mapping[str, Place]] = MappingProxyType(
    {
        "OnStreet": Place.STREET,
        "ParkingLot": Place.CAR_PARK,
        "ParkingGarage": Place.GARAGE,
        "UndergroundParkingGarage": Place.UNDERGROUND_GARAGE,
    }
)
"""AccessibilityLocationType."""

# -- places -----------------------------------------------------------------------------------------------

_SEXAGESIMAL: Final = re.compile(r"(-?)(\d{1,3})°\s*(\d{1,2})'\s*(\d{1,2}(?:\.\d{1,10})?)\s*(?:''|\")")


def position(coordinates: Mapping[str, Any]) -> Coordinates:
    """GeoCoordinatesType: one of three notations.

    Raises:
        Unusable: it is none of them, or nowhere.
    """
    google = coordinates.get("Google")
    if isinstance(google, Mapping):
        google = google.get("Coordinates")
    if google is not None:
        return place(*pair(google))
    if degrees := _member(coordinates, "DecimalDegree"):
        return place(*pair([degrees.get("Latitude"), degrees.get("Longitude")]))
    sexagesimal = _member(coordinates, "DegreeMinuteSeconds")
    return place(_degrees(sexagesimal.get("Latitude")), _degrees(sexagesimal.get("Longitude")))


def _member(fields: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = fields.get(name)
    return found if isinstance(found, Mapping) else {}


def _degrees(value: object) -> float:
    """`-21°34'23.16''` in degrees (GeoCoordinatesDegreeMinuteSecondsFormatType)."""
    match = _SEXAGESIMAL.fullmatch(plain(value))
    if match is None:
        raise Unusable(f"its position {quoted(value)} cannot be read")
    degrees = int(match[2]) + int(match[3]) / 60 + float(match[4]) / 3_600
    return -degrees if match[1] else degrees
