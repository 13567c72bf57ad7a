"""A station as a site of a table publication, in the shape of the AFIR profile's JSON.

Members stand in the order of the XSD, so that `xml` makes XML of the same. What a record does not say is
absent. Where the schemas demand it, it is said to be unknown, in their own way: an extended word `unknown`,
an undetermined language, an empty id, the currency that is none. There is no such way for powers: a plug
without is left out, and a station none of whose EVSEs has one is not published.

Known losses, as the schemas have no place for them: time limits, parking fees, licences; and that charging
costs something, without a price.

Source: DATEX II 3.5, EnergyInfrastructure and Facilities; AFIR profile 01-00-00.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from ladestrom.countries import alpha_2
from ladestrom.formats.station_record import connectors
from ladestrom.formats.wire import instant
from ladestrom.model import Connector, Evse, Station
from ladestrom.outputs.datex2 import words
from ladestrom.record import Accessibility, Contact, Format, Hours, Opening, Span, Terms

Node = dict[str, Any]

TEXT_CHARACTERS_MAX: Final = 1_024
"""`String` and `MultilingualStringValue`."""
NO_POWER: Final = "no_power"
"""Why a station is left out: `totalMaximumPower` is mandatory, and a number."""
WATTS: Final = 1_000
SINCE_EVER: Final = "1970-01-01T00:00:00Z"
"""When opening hours begin to hold, and rates were updated, where registers do not say it: the schemas want
an instant."""
ZONES_MAX: Final = 1_024
IN_ADDRESSES: Final = ":/?@!$&'()*+,;=%"
"""Beside letters, digits and `-._~` (RFC 3986, section 2)."""
_STRAY_PERCENT: Final = re.compile("%(?![0-9A-Fa-f]{2})")
_SEASONS: Final = (datetime(2026, 1, 15), datetime(2026, 7, 15))  # noqa: DTZ001 - by the clocks of any zone
MIDNIGHT: Final = "24:00"
DAYS_OF_A_WEEK: Final = tuple(range(1, 8))


class Place(msgspec.Struct, frozen=True):
    """What parts of a station have in common."""

    station: Station
    version: str
    language: str
    is_xml: bool


# -- what is mandatory ------------------------------------------------------------------------------------


def powers_kw(station: Station) -> list[float | None]:
    """The power of each EVSE, in registry order: its own, else the highest that is known of its plugs."""
    found: list[float | None] = [evse.max_kw for evse in station.evses]
    if None not in found:
        return found
    own = [0.0] * len(found)
    for outlet in station.outlets:
        own[outlet.evse] = max(own[outlet.evse], outlet.connector.max_kw or 0.0)
    return [power if power is not None else own[index] or None for index, power in enumerate(found)]


def lacks(station: Station, listed: Iterable[Evse]) -> str | None:
    """Why a station with these EVSEs cannot be published; None where it can."""
    found = powers_kw(station)
    if None not in found:
        return None
    known = {evse.key for evse, power in zip(station.evses, found, strict=True) if power is not None}
    return None if any(evse.key in known for evse in listed) else NO_POWER


# -- the tree ---------------------------------------------------------------------------------------------


def site_id(uuid: str) -> str:
    """Each station is a site of its own. Ids of both are FacilityObjects', and must differ."""
    return f"{uuid}-site"


def site(station: Station, revision: int, listed: Sequence[Evse], *, is_xml: bool) -> Node:
    """The site; of a station that lacks nothing."""
    place = Place(station, str(revision), words.LANGUAGES.get(station.country, words.LANGUAGE), is_xml)
    details = station.details
    return _made(
        idG=site_id(station.uuid),
        versionG=place.version,
        locationReference=_location(place),
        typeOfSite=details.place and _word(words.SITES.get(details.place, words.OTHER)),
        brand=_text(place, details.brand),
        exclusiveUsers=_users(details),
        energyInfrastructureStation=[_station(place, listed)],
    )


def _station(place: Place, listed: Sequence[Evse]) -> Node:
    station, details, is_xml = place.station, place.station.details, place.is_xml
    powers = dict(zip((evse.key for evse in station.evses), powers_kw(station), strict=True))
    plugs = dict(zip((evse.key for evse in station.evses), connectors(station), strict=True))
    return _made(
        idG=station.uuid,
        versionG=place.version,
        name=_text(place, station.name),
        **({"externalIdentifier": _line(station.native_id)} if is_xml else {}),
        lastUpdated=instant(station.updated_at),
        accessibility=_accessibility(details),
        additionalInformation=_remarks(place),
        **({} if is_xml else {"externalIdentifier": _station_ids(station)}),
        photoUrl=[{"urlLinkAddress": _address(image)} for image in details.images],
        operatingHours=_hours(place),
        locationReference=_location(place),
        owner=_organisation(place, "owner", details.owner),
        operator=_organisation(place, "operator", station.operator, details.contact, _party(listed)),
        applicableForVehicles=_vehicles(details),
        dedicatedParkingSpaces=_spaces(place, station.uuid, details, len(listed)),
        **({"stationIdBNetzA": ""} if is_xml else {}),
        totalMaximumPower=_watts(sum(powers[evse.key] or 0 for evse in listed)),
        authenticationAndIdentificationMethods=_means(place, listed),
        numberOfRefillPoints=len(listed),
        **({"userInterfaceLanguage": words.NO_LANGUAGE} if is_xml else {}),
        serviceType=[{"serviceType": _unknown()}],
        refillPoint=[
            {"aegiElectricChargingPoint": _point(place, evse, powers[evse.key], plugs[evse.key])}
            for evse in listed
        ],
        electricEnergy=_energy(
            place,
            station.uuid,
            details,
            [words.CHIP_CARD] if any(words.CHIP_CARDS in evse.capabilities for evse in listed) else [],
        ),
    )


def _point(place: Place, evse: Evse, power_kw: float | None, plugs: Sequence[Connector]) -> Node:
    terms = evse.terms or Terms()
    has_own_terms = evse.terms is not None
    is_reservable = terms.reservable if has_own_terms else place.station.details.reservable
    own = sorted({power for power in (power_kw, *(plug.max_kw for plug in plugs)) if power})
    return _made(
        idG=evse.name,
        versionG=place.version,
        name=_text(place, evse.label),
        accessibility=_accessibility(terms) if has_own_terms else None,
        **({} if place.is_xml else {"externalIdentifier": _point_ids(evse)}),
        locationReference=_floor(place, evse.floor),
        applicableForVehicles=_vehicles(terms) if has_own_terms else None,
        dedicatedParkingSpaces=_spaces(place, evse.name, terms, 1) if has_own_terms else None,
        deliveryUnit=_word("kWh"),
        reservation=None if is_reservable is None else _word("optional" if is_reservable else "notAvailable"),
        **({"evseId": _line(evse.evse_id)} if place.is_xml else {"currentType": _current(plugs)}),
        numberOfConnectors=len(plugs),
        availableVoltage=sorted({_number(plug.max_v) for plug in plugs if plug.max_v is not None}),
        availableChargingPower=[_watts(power) for power in reversed(own)],
        **({} if place.is_xml else {"chargingMode": _one_mode(plugs)}),
        connector=[
            _connector(plug, evse.max_kw, is_xml=place.is_xml)
            for plug in plugs
            if plug.max_kw is not None or evse.max_kw is not None
        ],
        electricEnergy=_energy(place, evse.name, terms, _cards(terms)) if has_own_terms else None,
    )


def _connector(plug: Connector, power_kw: float | None, *, is_xml: bool) -> Node:
    word = words.CONNECTORS.get(plug.standard)
    is_known = plug.standard != words.NO_STANDARD
    power = plug.max_kw if plug.max_kw is not None else power_kw
    return _made(
        connectorType=_word(word or words.OTHER) if is_known else _unknown(),
        otherConnector=_line(plug.standard) if is_known and word is None else None,
        **({"chargingMode": _mode(plug)} if is_xml else {}),
        connectorFormat=_format(plug),
        maxPowerAtSocket=_watts(power or 0),
        voltage=None if plug.max_v is None else _number(plug.max_v),
        maximumCurrent=None if plug.max_a is None else _number(plug.max_a),
    )


def _format(plug: Connector) -> Node | None:
    if plug.format is None:
        return None
    if plug.format is Format.SOCKET:
        return _word(words.SOCKET)
    is_mode_3 = plug.standard in words.PLUGS_OF_MODE_3
    is_direct = words.current(plug.standard, plug.power_type) == words.DIRECT
    return _word(words.CABLE_OF_MODE_3 if is_mode_3 and not is_direct else words.OTHER_CABLE)


def _mode(plug: Connector) -> Node | None:
    if words.current(plug.standard, plug.power_type) == words.DIRECT:
        return _word(words.MODE_4)
    if plug.power_type == "AC_3_PHASE" and plug.standard in words.PLUGS_OF_MODE_3:
        return _word(words.MODE_3)
    return None


def _one_mode(plugs: Sequence[Connector]) -> Node | None:
    """Of a point: where all of its plugs have the same."""
    modes = [_mode(plug) for plug in plugs]
    return modes[0] if modes and all(mode == modes[0] for mode in modes) else None


def _current(plugs: Iterable[Connector]) -> Node:
    found = {words.current(plug.standard, plug.power_type) for plug in plugs}
    if None in found or not found:
        return _unknown()
    return _extended(words.MIXED) if len(found) > 1 else _word(str(found.pop()))


# -- ids and organisations --------------------------------------------------------------------------------


def _station_ids(station: Station) -> list[Node]:
    ids = [(station.register or "register", station.native_id)] if station.native_id else []
    ids += [(each.register, each.id) for each in station.details.ids]
    return [{"identifier": _line(written), "otherTypeOfIdentifier": _line(kind)} for kind, written in ids]


def _point_ids(evse: Evse) -> list[Node]:
    ids = [] if evse.evse_id is None else [_identifier(evse.evse_id, "evseId")]
    if evse.uid is not None:
        ids.append({"identifier": _line(evse.uid), "otherTypeOfIdentifier": "uid"})
    return ids


def _identifier(written: str, kind: str) -> Node:
    return {"identifier": _line(written), "typeOfIdentifier": _extended(kind)}


def _party(listed: Iterable[Evse]) -> str | None:
    """Whose all of them are; None where they are several operators', or that is not known."""
    parties = {evse.party for evse in listed}
    return parties.pop() if len(parties) == 1 else None


def _organisation(
    place: Place, role: str, name: str | None, contact: Contact | None = None, party: str | None = None
) -> Node | None:
    if not name:
        return None
    contact = contact or Contact()
    reached = _made(telephoneNumber=_line(contact.phone), eMail=_line(contact.email))
    is_xml = place.is_xml
    return {
        "afacAnOrganisation": _made(
            **({"idG": f"{place.station.uuid}-{role}", "versionG": place.version} if is_xml else {}),
            **({"operatorId": _line(party)} if is_xml else {}),
            name=_text(place, name),
            linkToGeneralInformation=contact.web and _address(contact.web),
            organisationUnit=[{"contactInformation": [_contact(reached, is_xml=is_xml)]}]
            if reached
            else None,
            **({"externalIdentifier": [_identifier(party, "operatorId")]} if party and not is_xml else {}),
        )
    }


def _contact(reached: Node, *, is_xml: bool) -> Node:
    return reached if is_xml else {"afacContactInformation": reached}


# -- places -----------------------------------------------------------------------------------------------


def _location(place: Place) -> Node:
    station, details = place.station, place.station.details
    lines = [("street", station.address), ("region", details.region)]
    address = _made(
        postcode=_line(details.postal_code),
        city=_text(place, station.city or details.municipality),
        countryCode=alpha_2(station.country),
        addressLine=[
            {"order": order, "type": _word(kind), "text": _text(place, text)}
            for order, (kind, text) in enumerate((kind, text) for kind, text in lines if text)
        ],
    )
    directions = _text(place, details.directions)
    coordinates = {"latitude": station.latitude, "longitude": station.longitude}
    return {
        "locPointLocation": _made(
            coordinatesForDisplay=coordinates,
            locLocationExtensionG={
                "facilityLocation": _made(timeZone=_offset(details.time_zone), address=address)
            },
            supplementaryPositionalDescription=directions and {"locationDescription": directions},
            pointByCoordinates={"pointCoordinates": coordinates},
        )
    }


def _floor(place: Place, floor: str | None) -> Node | None:
    """Where a point is, beside where its station is."""
    text = _text(place, floor)
    if text is None:
        return None
    line = {"order": 0, "type": _word("floor"), "text": text}
    facility = {"facilityLocation": {"address": {"addressLine": [line]}}}
    return {"locPointLocation": {"locLocationExtensionG": facility}}


@lru_cache(ZONES_MAX)
def _offset(time_zone: str | None) -> str | None:
    """The standard time of a zone as its difference to UTC; None where it cannot be read."""
    if time_zone is None:
        return None
    try:
        zone = ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None
    offset = min(zone.utcoffset(each) or timedelta() for each in _SEASONS)
    minutes = round(offset.total_seconds() / 60)
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"


# -- terms ------------------------------------------------------------------------------------------------


def _users(terms: Terms) -> list[Node]:
    return [] if terms.access is None else [_word(words.USERS[terms.access])]


def _spaces(place: Place, owner: str, terms: Terms, count: int) -> list[Node] | None:
    """The spaces of what is for people with disabilities alone: one for each EVSE."""
    if terms.accessibility is not Accessibility.RESERVED:
        return None
    return [
        {
            "idG": f"{owner}-spaces",
            "versionG": place.version,
            "numberOfSpaces": count,
            "userSpecific": [_word(words.FOR_THE_DISABLED)],
        }
    ]


def _cards(terms: Terms) -> list[str]:
    """How one may pay at a point: stations have other members for it, points have none."""
    payment = terms.payment
    card = words.CARDS if payment is not None and payment.card else ()
    return [*card, *([words.CONTACTLESS] if payment is not None and payment.contactless else [])]


def _energy(place: Place, owner: str, terms: Terms, means: Sequence[str]) -> list[Node] | None:
    """The rate, as far as its terms are known: they name no currency, and only one price, which is none."""
    payment = terms.payment
    is_free = payment is not None and payment.free is True
    is_ad_hoc = payment is not None and payment.ad_hoc is True
    text = _text(place, terms.tariff_text)
    if not (is_free or is_ad_hoc or means or text):
        return None
    # Members that XML has in another namespace here than elsewhere have it in their names.
    egi = "egi:" if place.is_xml else ""
    paid = {"paymentMeans": [_word(each) for each in means]} if means else None
    rate = _made(
        idG=f"{owner}-rate",
        ratePolicy=_word(words.AD_HOC) if is_ad_hoc else _unknown(),
        **{f"{egi}lastUpdated": instant(place.station.updated_at) or SINCE_EVER},
        applicableCurrency=[words.NO_CURRENCY],
        **{f"{egi}additionalInformation": text},
        **{"paymentMethod" if place.is_xml else "payment": paid},
        energyPrice=[{"priceType": _word(words.FREE), f"{egi}value": 0}] if is_free else None,
    )
    return [{"energyRate": [rate]}]


def _accessibility(terms: Terms) -> list[Node] | None:
    return None if terms.accessibility is None else [_word(words.ACCESSIBILITIES[terms.accessibility])]


def _vehicles(terms: Terms) -> list[Node] | None:
    height = terms.max_height_m
    made = _made(
        vehicleType=[_word(words.VEHICLES[vehicle]) for vehicle in terms.vehicles],
        heightCharacteristic=None
        if height is None
        else [{"comparisonOperator": _word("lessThanOrEqualTo"), "vehicleHeight": _number(height)}],
    )
    return [made] if made else None


def _means(place: Place, listed: Iterable[Evse]) -> list[Node]:
    """How one may identify oneself at all EVSEs of a station, or at some."""
    payment = place.station.details.payment
    found: dict[str, None] = {}
    if payment is not None and payment.card:
        found |= {"creditCard": None, "debitCard": None}
    if payment is not None and payment.contactless:
        found["nfc"] = None
    for evse in listed:
        for capability in evse.capabilities:
            word = words.CAPABILITIES.get(capability)
            if word is not None:
                found[word] = None
    if not found and place.is_xml:
        return [_unknown()]
    return [_word(word) for word in found]


def _remarks(place: Place) -> list[Node]:
    """What the record says in its register's words."""
    details = place.station.details
    said = (
        details.access_text,
        None if details.opening is None else details.opening.text,
    )
    return [text for each in said if (text := _text(place, each)) is not None]


# -- hours ------------------------------------------------------------------------------------------------


def _hours(place: Place) -> Node | None:
    opening = place.station.details.opening
    if opening is None or not (opening.always or opening.hours or opening.openings):
        return None
    if opening.always and not opening.closings:
        return {"afacOpenAllHours": {}}
    return {
        "afacOperatingHoursSpecification": {
            "idG": f"{place.station.uuid}-hours",
            "versionG": place.version,
            "overallPeriod": _made(
                overallStartTime=SINCE_EVER,
                validPeriod=[] if opening.always else list(_periods(opening)),
                exceptionPeriod=list(map(_span, opening.closings)),
            ),
        }
    }


def _periods(opening: Opening) -> Iterator[Node]:
    """Hours that are alike on several days are one period."""
    days: dict[tuple[str, str], list[Hours]] = {}
    for hours in opening.hours:
        days.setdefault((hours.begin, hours.end), []).append(hours)
    for (begin, end), alike in days.items():
        weekdays = sorted({hours.weekday for hours in alike} & set(DAYS_OF_A_WEEK))
        yield {
            "recurringTimePeriodOfDay": [
                {"startTimeOfPeriod": _clock(begin), "endTimeOfPeriod": _clock(end)}
            ],
            "recurringDayWeekMonthPeriod": [
                {"comDayWeekMonth": {"applicableDay": [_word(words.DAYS[day - 1]) for day in weekdays]}}
            ],
        }
    yield from map(_span, opening.openings)


def _clock(written: str) -> str:
    return "00:00:00" if written == MIDNIGHT else f"{written}:00"


def _span(span: Span) -> Node:
    return {"startOfPeriod": span.begin, "endOfPeriod": span.end}


# -- values -----------------------------------------------------------------------------------------------


def _made(**members: object) -> Node:
    """The members that there are."""
    return {name: value for name, value in members.items() if value is not None and value not in ([], {})}


def _word(word: str) -> Node:
    return {"value": word}


def _extended(word: str) -> Node:
    return {"value": "extendedG", "extendedValueG": word}


def _unknown() -> Node:
    return _extended(words.UNKNOWN)


def _text(place: Place, text: str | None) -> Node | None:
    written = _line(text)
    return {"values": [{"lang": place.language, "value": written}]} if written else None


def _line(text: str | None) -> str | None:
    return text[:TEXT_CHARACTERS_MAX] if text else None


def _address(written: str) -> str:
    """An address as RFC 3986 has it: what cannot stand in one is quoted."""
    before, sign, fragment = _STRAY_PERCENT.sub("%25", written).partition("#")
    return f"{quote(before, IN_ADDRESSES)}{sign}{quote(fragment, IN_ADDRESSES)}"


def _watts(power_kw: float) -> float:
    return _number(power_kw * WATTS)


def _number(value: float) -> float:
    """Without a fraction where it has none, to three digits else."""
    rounded = round(value, 3)
    return int(rounded) if math.isfinite(rounded) and rounded == int(rounded) else rounded
