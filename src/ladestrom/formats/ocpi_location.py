"""A station's record as a Location object of OCPI 2.1.1, 2.2.1 or 2.3.0: that of a party that operates it.

All mandatory members are there. What a register did not say and nothing derives is left out, with the EVSE or
the station if OCPI demands it; texts that OCPI demands are empty then. What OCPI has no word for is left out.
Must not know who asks, nor which stations are asked for.

Source: OCPI 2.2.1 and 2.3.0, section 8.3; 2.1.1, `mod_locations`, 3.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from ladestrom.core import languages
from ladestrom.core.electrical import completed
from ladestrom.core.standards import STANDARDS, STANDARDS_2_1_1, STANDARDS_2_2_1
from ladestrom.formats.wire import instant
from ladestrom.model import (
    PARTY_CHARACTERS,
    Connector,
    Evse,
    Millis,
    Station,
    Status,
    evse_key,
    local_key,
    party_in,
)
from ladestrom.record import Access, Accessibility, Hours, Opening, Place, PowerType, Terms, Vehicle

CONNECTORS_KEPT_MAX: Final = 4_096
"""Kinds of connectors that are kept as they are written. A national register has some hundreds."""
ID_CHARACTERS_MAX: Final = 36
"""Of ids and uids; OCPI 2.1.1 has 39."""
EVSE_ID_CHARACTERS_MAX: Final = 48
URL_CHARACTERS_MAX: Final = 255
PHONE_CHARACTERS_MAX: Final = 25
_COORDINATE_DIGITS: Final = range(5, 8)

Object = dict[str, Any]


class Version(StrEnum):
    """Those that are written."""

    V2_1_1 = "2.1.1"
    V2_2_1 = "2.2.1"
    V2_3_0 = "2.3.0"


class Reason(StrEnum):
    """Why an EVSE cannot be offered."""

    NO_PARTY = "no_party"
    NO_TIME_ZONE = "no_time_zone"
    NO_ID = "no_id"
    NO_CONNECTOR = "no_connector"
    """None whose kind is known to OCPI, with power type, voltage, current and format."""


class Written(NamedTuple):
    """A Location."""

    location: Object
    updated_at: Millis
    evses: tuple[str, ...]
    """Keys of those that it has."""


class State(NamedTuple):
    """Of an EVSE."""

    status: Status
    changed_at: Millis
    told_at: Millis | None = None
    """On our clock, where that is another one: the Location was updated then."""


_STANDARDS: Final = MappingProxyType(
    {
        Version.V2_1_1: STANDARDS_2_1_1,
        Version.V2_2_1: STANDARDS_2_2_1,
        Version.V2_3_0: frozenset(STANDARDS),
    }
)
_CAPABILITIES_2_1_1: Final = frozenset(
    {
        "CHARGING_PROFILE_CAPABLE",
        "CREDIT_CARD_PAYABLE",
        "REMOTE_START_STOP_CAPABLE",
        "RESERVABLE",
        "RFID_READER",
        "UNLOCK_CAPABLE",
    }
)
_CAPABILITIES_2_2_1: Final = _CAPABILITIES_2_1_1 | {
    "CHARGING_PREFERENCES_CAPABLE",
    "CHIP_CARD_SUPPORT",
    "CONTACTLESS_CARD_SUPPORT",
    "DEBIT_CARD_PAYABLE",
    "PED_TERMINAL",
    "START_SESSION_CONNECTOR_REQUIRED",
    "TOKEN_GROUP_CAPABLE",
}
_CAPABILITIES: Final = MappingProxyType(
    {
        Version.V2_1_1: _CAPABILITIES_2_1_1,
        Version.V2_2_1: _CAPABILITIES_2_2_1,
        Version.V2_3_0: _CAPABILITIES_2_2_1,
    }
)
_CARD: Final = ("CREDIT_CARD_PAYABLE", "DEBIT_CARD_PAYABLE")
_CARDS: Final = frozenset({*_CARD, "CHIP_CARD_SUPPORT", "PED_TERMINAL", "CONTACTLESS_CARD_SUPPORT"})
_POWER_TYPES_2_1_1: Final = frozenset({PowerType.AC_1_PHASE, PowerType.AC_3_PHASE, PowerType.DC})
_PLACES: Final = MappingProxyType(
    {
        Place.STREET: "ON_STREET",
        Place.CAR_PARK: "PARKING_LOT",
        Place.GARAGE: "PARKING_GARAGE",
        Place.UNDERGROUND_GARAGE: "UNDERGROUND_GARAGE",
        Place.DRIVEWAY: "ON_DRIVEWAY",
        Place.MOTORWAY: "ALONG_MOTORWAY",
    }
)
"""ParkingType; it has no words for other places."""
_PLACES_2_1_1: Final = frozenset({Place.STREET, Place.CAR_PARK, Place.GARAGE, Place.UNDERGROUND_GARAGE})
_ACCESS: Final = MappingProxyType(
    {Access.VISITORS: "CUSTOMERS", Access.EMPLOYEES: "EMPLOYEES", Access.RESIDENTS: "TENANTS"}
)
_ACCESS_BEFORE_2_3_0: Final = frozenset({Access.VISITORS})
_IMAGE_TYPES: Final = MappingProxyType(
    {"jpg": "jpeg", "jpeg": "jpeg", "png": "png", "gif": "gif", "svg": "svg", "webp": "webp"}
)
_DERIVED: Final = MappingProxyType(
    {
        "format": "format",
        "power_type": "power_type",
        "max_v": "max_voltage",
        "max_a": "max_amperage",
        "max_kw": "max_electric_power",
    }
)
"""Members that may follow from others, by what a record calls them. OCPI has no word for that; from 2.3.0 on
members that it does not have must be passed over (section 4.1.7)."""
_COUNTRIES: Final = MappingProxyType({"DAN": "DNK"})
"""Where NOBIL writes other letters than ISO 3166-1 alpha-3."""


def owners(station: Station) -> tuple[str, ...]:
    """The parties that operate EVSEs of a station (`NOABC`), in registry order: one Location each."""
    return tuple(dict.fromkeys(filter(None, _parties(station))))


def left_out(station: Station, version: Version = Version.V2_2_1) -> dict[str, Reason]:
    """EVSEs (keys) of a station that no Location of it has, and why."""
    has_zone = version is Version.V2_1_1 or station.details.time_zone is not None
    plugs = _connectors(station, version)
    found: dict[str, Reason] = {}
    for index, (evse, party) in enumerate(zip(station.evses, _parties(station), strict=True)):
        reason = (
            Reason.NO_PARTY
            if party is None
            else Reason.NO_TIME_ZONE
            if not has_zone
            else Reason.NO_ID
            if len(_uid(evse)) > ID_CHARACTERS_MAX
            else None
            if plugs[index]
            else Reason.NO_CONNECTOR
        )
        if reason is not None:
            found[evse.key] = reason
    return found


def location_id(station: Station, owner: str, version: Version = Version.V2_2_1) -> str:
    """What the Location is called: as its operator calls it, where that is known; else the station's uuid.

    In OCPI 2.1.1 a Location does not say whose it is, and two operators may call one the same: it is the uuid
    there, with the party where a station has several.
    """
    if version is Version.V2_1_1:
        return station.uuid if len(owners(station)) <= 1 else f"{station.uuid}-{owner}"
    country, _, rest = station.native_id.partition("*")
    party, _, own = rest.partition("*")
    is_theirs = station.register.partition(":")[0] == "ocpi" and country + party == owner
    return own if is_theirs and 0 < len(own) <= ID_CHARACTERS_MAX else station.uuid


def location(
    station: Station,
    owner: str,
    states: Mapping[str, State],
    recorded_at: Millis,
    version: Version = Version.V2_2_1,
) -> Object | None:
    """The Location of one of a station's `owners`, where those without a state are UNKNOWN."""
    made = written(station, owner, states, recorded_at, version)
    return None if made is None else made.location


def written(
    station: Station,
    owner: str,
    states: Mapping[str, State],
    recorded_at: Millis,
    version: Version = Version.V2_2_1,
    *,
    is_whole: bool = True,
) -> Written | None:
    """The Location of one of a station's `owners`; None where none of its EVSEs can be offered.

    Args:
        station: the record.
        owner: whose Location.
        states: of the station's EVSEs, by key.
        recorded_at: when the record came, on our clock: static members were updated then.
        version: of OCPI.
        is_whole: whether EVSEs without a state are there, as UNKNOWN.
    """
    evses = [
        each for each in _evses(station, owner, states, recorded_at, version) if is_whole or each[0] in states
    ]
    if not evses:
        return None
    own = station.details
    is_flat = version is Version.V2_1_1
    is_newest = version is Version.V2_3_0
    place = _place(own.place, version)
    contact = own.contact
    updated_at = max([recorded_at, *(_told_at(states[each]) for each, _ in evses if each in states)])
    code = own.postal_code if own.postal_code is not None and len(own.postal_code) <= 10 else None  # noqa: PLR2004 - section 8.3.1
    phone = None if contact is None else contact.phone
    made: Object = {
        "country_code": None if is_flat else owner[:2],
        "party_id": None if is_flat else owner[2:PARTY_CHARACTERS],
        "id": location_id(station, owner, version),
        "publish": None if is_flat else True,
        "type": place if is_flat else None,
        "name": station.name[:255],
        "address": (station.address or "")[: 255 if is_newest else 45],
        "city": (station.city or own.municipality or "")[:45],
        "postal_code": "" if code is None and is_flat else code,
        "state": None if is_flat or own.region is None else own.region[: 45 if is_newest else 20],
        "country": _COUNTRIES.get(station.country, station.country),
        "coordinates": {
            "latitude": _coordinate(station.latitude),
            "longitude": _coordinate(station.longitude),
        },
        "parking_type": None if is_flat else place,
        "evses": [each for _, each in evses],
        "directions": _directions(own.directions, station.country),
        "operator": _business(station.operator, None if contact is None else contact.web),
        "owner": _business(own.owner, None),
        "time_zone": own.time_zone,
        "opening_times": _opening(own.opening),
        "images": _images(own.images),
        "help_phone": phone if is_newest and len(phone or "") <= PHONE_CHARACTERS_MAX else None,
        "last_updated": instant(updated_at),
        "derived": ["time_zone"] if is_newest and "time_zone" in own.derived else None,
    }
    return Written(_said(made), updated_at, tuple(each for each, _ in evses))


def _told_at(state: State) -> Millis:
    return state.changed_at if state.told_at is None else state.told_at


def _said(made: Object) -> Object:
    return {name: value for name, value in made.items() if value is not None}


def _parties(station: Station) -> list[str | None]:
    """Who operates each EVSE. One of which nobody says it is of the station's only party."""
    said = [evse.party or party_in(evse_key(evse.evse_id or "")) for evse in station.evses]
    known = {each for each in said if each is not None}
    only = known.pop() if len(known) == 1 else None
    return [each or only for each in said]


def _evses(
    station: Station, owner: str, states: Mapping[str, State], recorded_at: Millis, version: Version
) -> Iterator[tuple[str, Object]]:
    """Keys and objects of the EVSEs of a party."""
    hidden = left_out(station, version)
    plugs = _connectors(station, version)
    uids: set[str] = set()
    for index, (evse, party) in enumerate(zip(station.evses, _parties(station), strict=True)):
        if party != owner or evse.key in hidden:
            continue
        state = states.get(evse.key, State(Status.UNKNOWN, recorded_at))
        uid = _uid(evse) if local_key(_uid(evse)) not in uids else evse.key
        uids.add(local_key(uid))
        terms = station.details if evse.terms is None else evse.terms
        evse_id = evse.evse_id if len(evse.evse_id or "") <= EVSE_ID_CHARACTERS_MAX else None
        yield (
            evse.key,
            _said(
                {
                    "uid": uid,
                    "evse_id": evse_id,
                    "status": state.status.value,
                    "capabilities": _capabilities(evse, terms, version),
                    "connectors": [
                        {"id": str(number), **each, "last_updated": instant(recorded_at)}
                        for number, each in enumerate(plugs[index], 1)
                    ],
                    "floor_level": evse.floor if len(evse.floor or "") <= 4 else None,  # noqa: PLR2004 - section 8.3.2
                    "physical_reference": evse.label if len(evse.label or "") <= 16 else None,  # noqa: PLR2004 - section 8.3.2
                    "parking_restrictions": _restrictions(terms, version),
                    "last_updated": instant(max(min(state.changed_at, _told_at(state)), recorded_at)),
                }
            ),
        )


def _uid(evse: Evse) -> str:
    return evse.uid if evse.uid and len(evse.uid) <= ID_CHARACTERS_MAX else evse.key


def _connectors(station: Station, version: Version) -> list[list[Mapping[str, Any]]]:
    """The connectors of each EVSE that OCPI can tell of, without their ids."""
    found: list[list[Mapping[str, Any]]] = [[] for _ in station.evses]
    for outlet in station.outlets:
        if (made := _connector(outlet.connector, version)) is not None:
            found[outlet.evse].append(made)
    return found


@lru_cache(CONNECTORS_KEPT_MAX)
def _connector(known: Connector, version: Version) -> Mapping[str, Any] | None:
    """A kind of connector, without its id; None where OCPI cannot tell of it."""
    own = completed(known)
    if own.standard not in _STANDARDS[version] or own.format is None or own.power_type is None:
        return None
    if own.max_v is None or own.max_a is None:
        return None
    is_flat = version is Version.V2_1_1
    if is_flat and own.power_type not in _POWER_TYPES_2_1_1:
        return None
    power_w = None if is_flat or own.max_kw is None else round(own.max_kw * 1_000)
    return _said(
        {
            "standard": own.standard,
            "format": own.format.value,
            "power_type": own.power_type.value,
            "voltage" if is_flat else "max_voltage": round(own.max_v),
            "amperage" if is_flat else "max_amperage": round(own.max_a),
            "max_electric_power": power_w,
            "derived": [_DERIVED[each] for each in own.derived if each in _DERIVED] or None
            if version is Version.V2_3_0
            else None,
        }
    )


def _capabilities(evse: Evse, terms: Terms, version: Version) -> list[str] | None:
    """The capabilities that the version has, with those that follow from how it is paid and reserved."""
    found = dict.fromkeys(evse.capabilities)
    payment = terms.payment
    if payment is not None and payment.contactless:
        found["CONTACTLESS_CARD_SUPPORT"] = None
    if payment is not None and payment.card and _CARDS.isdisjoint(found):
        found |= dict.fromkeys(_CARD)
    if terms.reservable:
        found["RESERVABLE"] = None
    return [each for each in found if each in _CAPABILITIES[version]] or None


def _restrictions(terms: Terms, version: Version) -> list[str] | None:
    found: list[str] = []
    access = terms.access
    word = None if access is None else _ACCESS.get(access)
    if word is not None and (access in _ACCESS_BEFORE_2_3_0 or version is Version.V2_3_0):
        found.append(word)
    if terms.accessibility is Accessibility.RESERVED:
        found.append("DISABLED")
    if terms.vehicles == (Vehicle.MOTORCYCLE,):
        found.append("MOTORCYCLES")
    return found or None


def _place(place: Place | None, version: Version) -> str | None:
    if version is not Version.V2_1_1:
        return None if place is None else _PLACES.get(place)
    return "UNKNOWN" if place is None else _PLACES[place] if place in _PLACES_2_1_1 else "OTHER"


def _business(name: str | None, website: str | None) -> Object | None:
    if not name:
        return None
    is_short = website is not None and len(website) <= URL_CHARACTERS_MAX
    return {"name": name[:100], **({"website": website} if is_short else {})}


def _directions(text: str | None, land: str) -> list[Object] | None:
    """A text whose language nobody kept is in that of the country."""
    language = languages.of(land)
    return None if not text or language is None else [{"language": language, "text": text[:512]}]


def _images(addresses: tuple[str, ...]) -> list[Object] | None:
    """Pictures whose type is in their address: OCPI demands it."""
    found = []
    for address in addresses:
        kind = _IMAGE_TYPES.get(urlsplit(address).path.rpartition(".")[2].lower())
        if kind is not None and len(address) <= URL_CHARACTERS_MAX:
            found.append({"url": address, "category": "OTHER", "type": kind})
    return found or None


def _opening(opening: Opening | None) -> Object | None:
    """Hours; None where they are not understood as a whole, so that nothing is said closed that is not."""
    if opening is None or opening.text is not None or not (opening.always or opening.hours):
        return None
    regular = [each for hours in opening.hours for each in _periods(hours)]
    made: Object = {"twentyfourseven": bool(opening.always)}
    if not opening.always:
        made["regular_hours"] = regular
    for name, spans in (
        ("exceptional_openings", opening.openings),
        ("exceptional_closings", opening.closings),
    ):
        if spans:
            made[name] = [{"period_begin": span.begin, "period_end": span.end} for span in spans]
    return made


def _periods(hours: Hours) -> Iterator[Object]:
    """A period ends later on the same day (OCPI 2.2.1, section 8.4.21), and there is no 24:00."""
    lasts = hours.end <= hours.begin
    end = "23:59" if lasts or hours.end == "24:00" else hours.end
    yield {"weekday": hours.weekday, "period_begin": hours.begin, "period_end": end}
    if lasts and hours.end != "00:00":
        yield {"weekday": hours.weekday % 7 + 1, "period_begin": "00:00", "period_end": hours.end}


def _coordinate(degrees: float) -> str:
    """Five digits behind the point at least, seven at most (OCPI 2.2.1, section 8.4.13)."""
    whole, _, digits = f"{degrees:.{_COORDINATE_DIGITS[-1]}f}".partition(".")
    return f"{whole}.{digits.rstrip('0').ljust(_COORDINATE_DIGITS[0], '0')}"
