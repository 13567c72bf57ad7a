"""An EVSE as OICP's EvseDataRecord, version 2.3: what its station's record and its own say.

What OICP demands and no register says is told so where OICP has a word for it (`Unspecified`, an empty list).
A truth that it demands and that is not known is false: it is not known to be so. An EVSE of a station without
street or city is not told at all. Must not know who asks.

Known losses, as OICP has no place for them: exceptions of opening hours, heights, vehicles, time limits, and
what cards are taken. Of texts, what is longer than OICP allows is cut off.

Source: OICP 2.3 for EMPs, "Data Types" (PullEvseDataRecordType).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from ladestrom.core import languages
from ladestrom.core.electrical import completed
from ladestrom.core.oicp import ACCESS, PLACES, PLUGS, UNSPECIFIED
from ladestrom.formats.wire import instant
from ladestrom.model import Connector, Evse, Station
from ladestrom.outputs.oicp.encoder import NAME_CHARACTERS_MAX, identified
from ladestrom.record import Access, Hours, Opening, Terms

Object = dict[str, Any]

NO_ADDRESS: Final = "no_address"
"""Why an EVSE is left out: AddressIso19773Type demands street and city."""
TEXT_CHARACTERS_MAX: Final = 150
"""InfoTextType."""
CITY_CHARACTERS_MAX: Final = 50
STREET_CHARACTERS_MIN: Final = 2
STREET_CHARACTERS_MAX: Final = 100
REGION_CHARACTERS_MAX: Final = 50
POSTAL_CODE_CHARACTERS_MAX: Final = 10
FLOOR_CHARACTERS_MAX: Final = 5

_LETTERS: Final = MappingProxyType({"DAN": "DNK"})
"""Where NOBIL writes other letters than ISO 3166-1 alpha-3."""
_PHONE: Final = re.compile(r"\+[0-9]{5,15}")
_PHONE_SIGNS: Final = str.maketrans("", "", " ()-./")
_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_POWER_TYPES: Final = frozenset({"AC_1_PHASE", "AC_3_PHASE", "DC"})
_PLUGS: Final = MappingProxyType(
    {kind: word for word, kind in reversed(list(PLUGS.items())) if kind[0] != "UNKNOWN"}
    | {
        ("IEC_60309_2_three_32", None): "IEC 60309 Three Phase",
        ("IEC_60309_2_three_64", None): "IEC 60309 Three Phase",
        ("TESLA_R", None): "Tesla Connector",
    }
)
_FORMLESS: Final = frozenset(standard for standard, form in _PLUGS if form is None)
"""Standards of which OICP's word says no format."""
_PLACES: Final = MappingProxyType({place: word for word, place in PLACES.items()})
_ACCESS: Final = MappingProxyType({kind: word for word, kind in reversed(list(ACCESS.items()))})
_MODES: Final = MappingProxyType({"RFID_READER": "NFC RFID Classic", "REMOTE_START_STOP_CAPABLE": "REMOTE"})
"""AuthenticationModeType, by OCPI's Capability. Which cards a reader takes no register says: `Classic` goes
by their numbers, which all have."""
DIRECT_PAYMENT: Final = "Direct Payment"


class Notation(StrEnum):
    """GeoCoordinatesResponseFormatType."""

    GOOGLE = "Google"
    SEXAGESIMAL = "DegreeMinuteSeconds"
    DECIMAL = "DecimalDegree"


def lacks(station: Station) -> str | None:
    """Why no EVSE of a station can be told; None where they can."""
    has_street = len(station.address or "") >= STREET_CHARACTERS_MIN
    return None if has_street and _city(station) else NO_ADDRESS


def accessibility(station: Station, terms: Terms) -> str:
    """AccessibilityType: public ones are told apart by whether getting there costs money."""
    if terms.access is None:
        return UNSPECIFIED
    if terms.access is not Access.PUBLIC:
        return _ACCESS[Access.RESTRICTED, None]
    fee = station.details.parking_fee
    return UNSPECIFIED if fee is None else _ACCESS[Access.PUBLIC, fee]


def modes(evse: Evse, terms: Terms) -> list[str]:
    """AuthenticationModeType."""
    found = [_MODES[each] for each in evse.capabilities if each in _MODES]
    payment = terms.payment
    return [*found, *([DIRECT_PAYMENT] if payment is not None and payment.ad_hoc else [])]


def is_open_always(station: Station) -> bool:
    """Whether its register says that it is."""
    opening = station.details.opening
    return opening is not None and opening.always is True


def record(
    station: Station, evse: Evse, plugs: Sequence[Connector], notation: Notation, delta: str = ""
) -> Object:
    """The record of an EVSE that has an id of OICP's; `delta` is its deltaType, where it has one."""
    ids = identified(evse)
    if ids is None:
        raise ValueError(f"{evse.key} has no id of OICP's")
    details, terms = station.details, evse.terms or station.details
    language = languages.of(station.country) or languages.ELSEWHERE
    wired = [completed(plug) for plug in plugs]
    made: Mapping[str, object] = {
        "deltaType": delta,
        "lastUpdate": instant(station.updated_at),
        "EvseID": ids[1],
        "ChargingStationID": station.uuid,
        "ChargingStationNames": _texts(language, station.name),
        "ChargingStationImage": next(iter(details.images), None),
        "SubOperatorName": (details.owner or "")[:NAME_CHARACTERS_MAX],
        "OperatorID": ids[0],
        "OperatorName": (station.operator or ids[0])[:NAME_CHARACTERS_MAX],
        "Address": _address(station, evse),
        "GeoCoordinates": coordinates(station.latitude, station.longitude, notation),
        "Plugs": [_plug(each) for each in wired],
        "ChargingFacilities": [_facility(each) for each in wired if each.max_kw is not None],
        "RenewableEnergy": False,
        "AuthenticationModes": modes(evse, terms),
        "PaymentOptions": _payment(terms),
        "ValueAddedServices": _services(terms),
        "Accessibility": accessibility(station, terms),
        "AccessibilityLocation": details.place and _PLACES.get(details.place),
        "HotlinePhoneNumber": _phone(station),
        "AdditionalInfo": _texts(language, terms.access_text, terms.tariff_text),
        "ChargingStationLocationReference": _texts(language, details.directions),
        "IsOpen24Hours": is_open_always(station),
        "OpeningTimes": [] if details.opening is None else list(_hours(details.opening)),
        "IsHubjectCompatible": False,
        "DynamicInfoAvailable": "true",
    }
    return {name: value for name, value in made.items() if name in _DEMANDED or value not in ("", None, [])}


_DEMANDED: Final = frozenset({"AuthenticationModes", "PaymentOptions", "Plugs", "ValueAddedServices"})


def coordinates(latitude: float, longitude: float, notation: Notation) -> Object:
    """GeoCoordinatesType, in one of its notations."""
    match notation:
        case Notation.GOOGLE:
            return {"Google": {"Coordinates": f"{latitude:.6f} {longitude:.6f}"}}
        case Notation.DECIMAL:
            return {"DecimalDegree": {"Latitude": f"{latitude:.6f}", "Longitude": f"{longitude:.6f}"}}
        case Notation.SEXAGESIMAL:
            return {
                "DegreeMinuteSeconds": {
                    "Latitude": _sexagesimal(latitude),
                    "Longitude": _sexagesimal(longitude),
                }
            }


def _sexagesimal(degrees: float) -> str:
    hundredths = round(abs(degrees) * 360_000)
    minutes, rest = divmod(hundredths, 6_000)
    sign = "-" if degrees < 0 and hundredths else ""
    return f"{sign}{minutes // 60}°{minutes % 60}'{rest // 100}.{rest % 100:02d}''"


def _city(station: Station) -> str:
    return (station.city or station.details.municipality or "")[:CITY_CHARACTERS_MAX]


def _address(station: Station, evse: Evse) -> Object:
    details = station.details
    found = {
        "Country": _LETTERS.get(station.country, station.country),
        "City": _city(station),
        "Street": (station.address or "")[:STREET_CHARACTERS_MAX],
        "PostalCode": _fitting(details.postal_code, POSTAL_CODE_CHARACTERS_MAX),
        "Floor": _fitting(evse.floor, FLOOR_CHARACTERS_MAX),
        "Region": (details.region or "")[:REGION_CHARACTERS_MAX],
    }
    return {name: value for name, value in found.items() if value}


def _fitting(text: str | None, characters_max: int) -> str:
    """What is no text but a number: half of it would be another one."""
    return text if text is not None and len(text) <= characters_max else ""


def _texts(language: str, *texts: str | None) -> list[Object]:
    return [{"lang": language, "value": text[:TEXT_CHARACTERS_MAX]} for text in texts if text]


def _plug(plug: Connector) -> str:
    form = None if plug.standard in _FORMLESS else plug.format
    return _PLUGS.get((plug.standard, form), UNSPECIFIED)


def _facility(plug: Connector) -> Object:
    kind = plug.power_type
    found = {
        "PowerType": kind.value if kind is not None and kind.value in _POWER_TYPES else UNSPECIFIED,
        "Power": plug.max_kw,
        "Voltage": None if plug.max_v is None else round(plug.max_v),
        "Amperage": None if plug.max_a is None else round(plug.max_a),
    }
    return {name: value for name, value in found.items() if value is not None}


def _payment(terms: Terms) -> list[str]:
    payment = terms.payment
    if payment is None:
        return []
    free = ["No Payment"] if payment.free else []
    return [*free, *(["Direct"] if payment.ad_hoc or payment.card or payment.contactless else [])]


def _services(terms: Terms) -> list[str]:
    return [] if terms.reservable is None else ["Reservation" if terms.reservable else "None"]


def _phone(station: Station) -> str | None:
    contact = station.details.contact
    number = "" if contact is None or contact.phone is None else contact.phone.translate(_PHONE_SIGNS)
    return number if _PHONE.fullmatch(number) else None


def _hours(opening: Opening) -> Iterator[Object]:
    if opening.always:
        return
    days: dict[int, list[Hours]] = {}
    for hours in opening.hours:
        days.setdefault(hours.weekday, []).append(hours)
    for weekday in sorted(days):
        periods = [{"begin": hours.begin, "end": hours.end} for hours in days[weekday]]
        yield {"Period": periods, "on": _DAYS[weekday - 1]}
    if opening.text:
        yield {"unstructuredOpeningTime": opening.text}
