"""What an OICP data record says beside its ids and its place: details of stations, facts of EVSEs and of
connectors.

Knows the optional members of EvseDataRecordType of OICP 2.2 and 2.3. All of them are read leniently: what
cannot be read is noted and left out. `AdditionalInfo` may be anything and is not read.

Source: OICP 2.3 for CPOs, "Data Types".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from ladestrom.core import languages, opening, time_zones
from ladestrom.core.electrical import line_to_neutral
from ladestrom.core.fields import FOLDABLE, Notes, clean, decimal, phone, plain, quoted, truth, web_address
from ladestrom.core.location_hours import instant
from ladestrom.core.oicp import ACCESS, PLACES, PLUGS
from ladestrom.core.standards import CURRENT_MAX, POWER_KW_MAX, VOLTAGE_MAX
from ladestrom.core.terms import payment
from ladestrom.core.words import Vocabulary
from ladestrom.model import NEVER, Connector, Millis
from ladestrom.record import Access, Contact, Details, Id, Opening, Place, PowerType, Terms

TEXT_CHARACTERS_MAX: Final = 255
"""OICP 2.3: 50 for a region, 100 for a sub-operator."""
SHORT_CHARACTERS_MAX: Final = 64
"""OICP 2.3: 10 for a postal code, 5 for a floor."""
DIRECTIONS_CHARACTERS_MAX: Final = 1_000
"""OICP 2.3: 150 for an InfoText; some write more."""
IMAGES_MAX: Final = 20
OPENING_TIMES_MAX: Final = 70

_NO_PLUG: Final = ("UNKNOWN", None)

_POWER_TYPES: Final = Vocabulary(
    {
        "AC_1_PHASE": PowerType.AC_1_PHASE,
        "AC_3_PHASE": PowerType.AC_3_PHASE,
        "DC": PowerType.DC,
    }
)
_ACCESS: Final = Vocabulary(ACCESS)
_PLACES: Final = Vocabulary(PLACES)
_CAPABILITIES: Final = {
    "NFC RFID Classic": "RFID_READER",
    "NFC RFID DESFire": "RFID_READER",
    "REMOTE": "REMOTE_START_STOP_CAPABLE",
}
"""AuthenticationModeType as OCPI 2.2.1 Capability; OCPI has no words for the others."""
_DAYS: Final = Vocabulary(
    {
        "Everyday": "Mo-Su",
        "Workdays": "Mo-Fr",
        "Weekend": "Sa-Su",
        "Monday": "Mo",
        "Tuesday": "Tu",
        "Wednesday": "We",
        "Thursday": "Th",
        "Friday": "Fr",
        "Saturday": "Sa",
        "Sunday": "Su",
    }
)
_CLOCK: Final = re.compile(r"([01]?[0-9]|2[0-4]):[0-5][0-9]", re.ASCII)
_DAY_ENDS: Final = frozenset({"23:59", "24:00", "00:00"})
_OFFSET: Final = re.compile(r"(?:UTC|GMT)\s*(?:[+-]\s*\d{1,2}(?::?\d\d)?)?", re.IGNORECASE)
"""TimeZoneType: an offset, which is no time zone: it does not say when clocks change."""

Fields = Mapping[str, Any]


def details(fields: Fields, terms: Terms, land: str, notes: Notes) -> Details:
    """The details of the station that a record is of; `terms` are those of all of its EVSEs."""
    address = fields.get("Address")
    address = address if isinstance(address, dict) else {}
    station = plain(fields.get("ChargingStationID") or fields.get("ChargingStationId"))[:120]
    hotline = fields.get("HotlinePhoneNumber")
    called = phone(hotline, "operator", notes) if isinstance(hotline, FOLDABLE) else ""
    return Details(
        access=terms.access,
        payment=terms.payment,
        reservable=terms.reservable,
        ids=(Id("oicp", station),) if station else (),
        owner=_text(fields.get("SubOperatorName"), "sub-operator", notes),
        contact=Contact(phone=called) if called else None,
        postal_code=_text(address.get("PostalCode"), "postal code", notes, SHORT_CHARACTERS_MAX),
        region=_text(address.get("Region"), "region", notes),
        time_zone=_time_zone(address.get("TimeZone"), notes),
        opening=_opening(fields, notes),
        place=_place(fields.get("AccessibilityLocation"), notes),
        parking_fee=_accessible(fields, notes)[1],
        images=_images(fields.get("ChargingStationImage"), notes),
        directions=_directions(fields.get("ChargingStationLocationReference"), land, notes),
    )


def terms(fields: Fields, notes: Notes) -> Terms:
    """The terms of an EVSE.

    What a list of ways to pay lacks is not known, but for "No Payment", which stands alone where it stands.
    """
    options = {plain(each) for each in listed(fields.get("PaymentOptions"))}
    modes = {plain(each) for each in listed(fields.get("AuthenticationModes"))}
    services = {plain(each) for each in listed(fields.get("ValueAddedServices"))} - {""}
    is_free = True if "No Payment" in options else False if options & {"Direct", "Contract"} else None
    is_ad_hoc = True if "Direct" in options or "Direct Payment" in modes else None
    is_reservable = True if "Reservation" in services else False if services == {"None"} else None
    return Terms(
        access=_accessible(fields, notes)[0],
        payment=payment(free=is_free, ad_hoc=is_ad_hoc),
        reservable=is_reservable,
    )


def capabilities(fields: Fields, own: Terms) -> tuple[str, ...]:
    """The capabilities of an EVSE, by its modes of authentication and its terms."""
    modes = (plain(each) for each in listed(fields.get("AuthenticationModes")))
    found = dict.fromkeys(_CAPABILITIES[each] for each in modes if each in _CAPABILITIES)
    return (*found, *(("RESERVABLE",) if own.reservable else ()))


def floor(fields: Fields, notes: Notes) -> str | None:
    """The floor that an EVSE is on."""
    address = fields.get("Address")
    said = address.get("Floor") if isinstance(address, dict) else None
    return _text(said, "floor", notes, SHORT_CHARACTERS_MAX)


def updated_at(fields: Fields) -> Millis:
    """When the record was updated; `NEVER` where it does not say so."""
    at = instant(fields.get("lastUpdate"))
    return NEVER if at is None else max(at, NEVER)


def connector(plug: str, facility: object, notes: Notes) -> Connector:
    """A plug, and the facility that belongs to it."""
    standard, own_format = PLUGS.get(plug, _NO_PLUG)
    said = facility if isinstance(facility, dict) else {}
    kind = said.get("PowerType", said.get("powertype"))
    power_type = _POWER_TYPES.find(kind) if isinstance(kind, str) else None
    voltage = _number(said.get("Voltage", said.get("voltage")), "voltage", VOLTAGE_MAX, notes)
    amperage = _number(said.get("Amperage", said.get("amperage")), "current", CURRENT_MAX, notes)
    return Connector(
        standard,
        power_kw(facility, notes),
        own_format,
        power_type,
        None if voltage is None else line_to_neutral(voltage, power_type),
        amperage,
    )


def power_kw(facility: object, notes: Notes) -> float | None:
    """The power of a facility."""
    said = facility.get("Power", facility.get("power")) if isinstance(facility, dict) else None
    found = _number(said, "power", POWER_KW_MAX, notes)
    return None if found is None else round(found, 3)


def listed(value: object) -> list[Any]:
    """What is written as a list, or as its only member."""
    return value if isinstance(value, list) else [] if value is None else [value]


def _number(said: object, what: str, at_most: float, notes: Notes) -> float | None:
    if said is None or said == "":
        return None
    found = decimal(said)
    if found is None or not 0 < found <= at_most:
        notes.add(f"the {what} {quoted(said)} is not valid and was ignored")
        return None
    return found


def _text(said: object, what: str, notes: Notes, chars_max: int = TEXT_CHARACTERS_MAX) -> str | None:
    return clean(said, what, chars_max, notes) or None


def _accessible(fields: Fields, notes: Notes) -> tuple[Access | None, bool | None]:
    said = plain(fields.get("Accessibility"))
    found = _ACCESS.find(said)
    if found is None and said:
        notes.add(f"the accessibility {quoted(said)} is none")
    return found or (None, None)


def _place(said: object, notes: Notes) -> Place | None:
    word = plain(said)
    found = _PLACES.find(word)
    if found is None and word:
        notes.add(f"the location of the access {quoted(word)} is none")
    return found


def _time_zone(said: object, notes: Notes) -> str | None:
    return None if _OFFSET.fullmatch(plain(said)) else time_zones.said(said, notes)


def _images(said: object, notes: Notes) -> tuple[str, ...]:
    found = (web_address(each, "picture", notes) for each in listed(said)[:IMAGES_MAX])
    return tuple(dict.fromkeys(filter(None, found)))


def _directions(said: object, land: str, notes: Notes) -> str | None:
    texts = [
        (plain(each.get("lang")), plain(each.get("value"))) if isinstance(each, dict) else ("", plain(each))
        for each in listed(said)
    ]
    return _text(languages.chosen(texts, land), "directions", notes, DIRECTIONS_CHARACTERS_MAX)


def _opening(fields: Fields, notes: Notes) -> Opening | None:
    if truth(fields.get("IsOpen24Hours")) is True:
        return Opening(always=True)
    read: list[str] = []
    texts: list[str] = []
    for each in listed(fields.get("OpeningTimes"))[:OPENING_TIMES_MAX]:
        said = each if isinstance(each, dict) else {"unstructuredOpeningTime": each}
        periods = [_period(period, said.get("on")) for period in listed(said.get("Period"))]
        text = clean(said.get("unstructuredOpeningTime"), "hours", opening.TEXT_CHARS_MAX, notes)
        if text:
            texts.append(text)
        elif not all(periods) or not periods:
            notes.add(f"the hours of {quoted(said.get('on'))} cannot be read")
            texts.append(f"{plain(said.get('on'))}: not known")
        read += filter(None, periods)
    if not texts:
        return opening.parse(",".join(read))
    if not read:
        return opening.parse("; ".join(texts))
    made = opening.parse(",".join(read))
    text = "; ".join(texts)[: opening.TEXT_CHARS_MAX]
    return None if made is None else Opening(hours=made.hours, text=text)


def _period(said: object, on: object) -> str:
    """A Period as OpenStreetMap writes it; empty where it cannot be read."""
    days = _DAYS.find(plain(on))
    begin, end = (plain(said.get(name)) for name in ("begin", "end")) if isinstance(said, dict) else ("", "")
    if days is None or not _CLOCK.fullmatch(begin) or not _CLOCK.fullmatch(end):
        return ""
    return f"{days} {begin}-{'24:00' if end in _DAY_ENDS else end}"
