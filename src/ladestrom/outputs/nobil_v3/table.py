"""A station as NOBIL's interface tells it: its metadata, its attributes, and those of its connectors.

Connectors are in registry order, as in version 1 of the stream; those of EVSEs that are not listed are left
out. Members that consumers demand are empty where nothing is known, and times 1970-01-01. People who can be
contacted are in no record. Knows stations, not how they are written.

Source: NOBIL API version 3 (`chargerstations`, `csmd`, `attr`).
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from ladestrom.core.electrical import said
from ladestrom.core.rules import Pairs
from ladestrom.formats.documents import Seen
from ladestrom.formats.wire import instant
from ladestrom.model import Change, Connector, Evse, Millis, Station, Status, StatusChanged
from ladestrom.outputs.nobil_v3 import words
from ladestrom.outputs.nobil_v3.words import Attribute
from ladestrom.record import Details, Format, Terms
from ladestrom.registers import nobil_tables as tables

NOBIL: Final = "nobil"
PICTURES: Final = "https://www.nobil.no/img/ladestasjonbilder/"
NO_PICTURE: Final = "no.image.svg"
UNKNOWN_TIME: Final = "1970-01-01 00:00:00"
"""Of what is not known: readers demand a time, and NOBIL began in 2010."""
RESERVED: Final = "2"
COUNTY_DIGITS: Final = 2
MUNICIPALITY_DIGITS: Final = 4
COUNTIES: Final = frozenset({"NOR", "SWE"})
"""Countries in which the code of a municipality begins with that of its county."""
OPEN: Final = ("1", "Yes")
_NORWAY: Final = ZoneInfo("Europe/Oslo")
_OCPI: Final = re.compile(r"([A-Z]{2})/([A-Z0-9]{3})/(.+)")
_PICTURE: Final = re.compile(rf"{re.escape(PICTURES)}([0-9]{{1,12}}\.[A-Za-z]{{3,4}})", re.ASCII)
_STATUSES: Final = {"0": "Vacant", "1": "Busy (charging)", RESERVED: "Reserved"}
_ERRORS: Final = {"0": "In service", "1": "Error - out of service"}
_ELECTRICITY: Final = Attribute("26", "1", "Electricity")

Value = str | int | None


class Told(NamedTuple):
    """A station."""

    metadata: Mapping[str, Value]
    """Texts have HTML's entities, as NOBIL's have."""
    attributes: Sequence[Attribute]
    connectors: Sequence[Sequence[Attribute]]


def number(station: Station) -> int:
    """Its number, which is unique within a country only."""
    own = station.native_id if station.register == NOBIL and station.native_id.isdigit() else ""
    return int(own or station.uuid.partition("_")[2])


def county(station: Station) -> str:
    """The code of its county; empty where it does not follow from that of its municipality."""
    code = station.details.municipality_code or ""
    known = station.country in COUNTIES and len(code) == MUNICIPALITY_DIGITS
    return code[:COUNTY_DIGITS] if known else ""


def is_live(listed: Sequence[tuple[Evse, StatusChanged]]) -> bool:
    """Whether somebody told of one of its EVSEs."""
    return any(held.change.observed_at >= 0 for _, held in listed)


def told(seen: Seen, pairs: Pairs) -> Told | None:
    """A station as it is; None where no EVSE that is listed has a connector."""
    station = seen.station
    changes = {evse.key: held.change for evse, held in seen.listed}
    shared = _numbers(station)
    connectors = []
    for outlet in station.outlets:
        evse = station.evses[outlet.evse]
        change = changes.get(evse.key)
        if change is not None:
            own = (*_connector(station, evse, outlet.connector), *_ids(evse, shared.get(evse.key, "")))
            connectors.append([*own, *_state(change, pairs)])
    if not connectors:
        return None
    with_connectors = {station.evses[outlet.evse].key for outlet in station.outlets} & changes.keys()
    return Told(
        _metadata(station, len(connectors), len(with_connectors)),
        list(_attributes(station.details, is_live=is_live(seen.listed))),
        connectors,
    )


def without_connector(seen: Seen) -> Iterator[Evse]:
    """EVSEs that cannot be told, as NOBIL has connectors only."""
    plugged = {outlet.evse for outlet in seen.station.outlets}
    keys = {evse.key for index, evse in enumerate(seen.station.evses) if index in plugged}
    return (evse for evse, _ in seen.listed if evse.key not in keys)


def _metadata(station: Station, connectors: int, evses: int) -> dict[str, Value]:
    details = station.details
    return {
        "id": number(station),
        "name": escaped(station.name),
        "ocpidb_mapping_stasjon_id": _location(details),
        "Street": escaped(station.address),
        "House_number": "",
        "Zipcode": escaped(details.postal_code),
        "City": escaped(station.city),
        "Municipality_ID": details.municipality_code or "",
        "Municipality": escaped(details.municipality),
        "County_ID": county(station),
        "County": escaped(details.region),
        "Description_of_location": escaped(details.directions),
        "Owned_by": escaped(details.owner),
        "Operator": escaped(station.operator),
        "Number_charging_points": connectors,
        "Position": f"({_degrees(station.latitude)},{_degrees(station.longitude)})",
        "Image": _picture(details.images),
        "Available_charging_points": evses,
        "User_comment": "",
        "Contact_info": "",
        "Created": UNKNOWN_TIME,
        "Updated": _norwegian(station.updated_at),
        "Station_status": 1,
        "Land_code": station.country,
        "International_id": station.uuid,
    }


def escaped(known: str | None) -> str:
    """A text as NOBIL has texts: with entities, but for the apostrophe. Ids have none."""
    return "" if known is None else html.escape(known, quote=False).replace('"', "&quot;")


def _degrees(angle: float) -> str:
    written = repr(angle)
    return f"{angle:.10f}" if "e" in written else written


def _norwegian(at: Millis) -> str:
    """Norwegian local time, as NOBIL writes times."""
    if at < 0:
        return UNKNOWN_TIME
    return datetime.fromtimestamp(at // 1000, UTC).astimezone(_NORWAY).strftime("%Y-%m-%d %H:%M:%S")


def _picture(images: Sequence[str]) -> str:
    match = _PICTURE.fullmatch(images[0]) if images else None
    return match[1] if match else NO_PICTURE


def _location(details: Details) -> str | None:
    """The OCPI location that it is, as NOBIL writes it (`US#TSL#335b...`)."""
    for each in details.ids:
        match = _OCPI.fullmatch(each.id) if each.register == "ocpi" else None
        if match:
            return f"{match[1]}#{match[2]}#{match[3]}"
    return None


def _attributes(details: Details, *, is_live: bool) -> Iterator[Attribute]:
    opening = words.opening(details.opening)
    if opening is not None:
        yield opening
    yield words.yes_no("21", is_live)
    if details.parking_fee is not None:
        yield words.yes_no(tables.PARKING_FEE, details.parking_fee)
    if details.time_limit_min is not None:
        yield Attribute(tables.TIME_LIMIT, *OPEN, f"{details.time_limit_min} min")
    place = None if details.place is None else words.PLACES.get(details.place)
    if place is not None:
        yield Attribute(tables.LOCATION, *place)
    access = None if details.access is None else words.ACCESS.get(details.access)
    if access is not None:
        yield Attribute(tables.AVAILABILITY, *access)


def _connector(station: Station, evse: Evse, connector: Connector) -> Iterator[Attribute]:
    terms: Terms = evse.terms or station.details
    # A number that stands for more than NOBIL said would be another one than it had.
    own = said(connector) if station.register == NOBIL else connector
    if terms.payment is not None and terms.payment.free is False:
        yield Attribute(tables.ACCESSIBILITY, tables.PAYMENT[0], "Payment")
    elif "RFID_READER" in evse.capabilities:
        yield Attribute(tables.ACCESSIBILITY, tables.RFID[0], "RFID")
    yield Attribute(tables.CONNECTOR, *words.CONNECTORS.get(own.standard, words.UNSPECIFIED))
    capacity = words.capacity(own)
    if capacity is not None:
        yield capacity
    vehicles = words.VEHICLES.get(terms.vehicles)
    if vehicles is not None:
        yield Attribute(tables.VEHICLE_TYPE, *vehicles)
    if terms.reservable is not None:
        yield words.yes_no(tables.RESERVABLE, terms.reservable)
    payment = words.payment(terms.payment)
    if payment is not None:
        yield payment
    if own.format is not None:
        yield words.yes_no(tables.FIXED_CABLE, own.format is Format.CABLE)
    yield _ELECTRICITY


def _ids(evse: Evse, shared: str) -> Iterator[Attribute]:
    if evse.uid or shared:
        yield Attribute(tables.EVSE_UID, value=evse.uid or shared)
    if evse.evse_id:
        yield Attribute(tables.EVSE_ID, value=evse.evse_id)


def _numbers(station: Station) -> dict[str, str]:
    """A number within its station for each EVSE without ids that has several connectors, by its key.

    Of connectors without ids, each would be an EVSE. NOBIL once had such numbers.
    """
    nameless = [
        evse.key
        for index, evse in enumerate(station.evses)
        if not evse.uid and not evse.evse_id and sum(outlet.evse == index for outlet in station.outlets) > 1
    ]
    return {key: str(place) for place, key in enumerate(nameless, 1)}


def _state(change: Change, pairs: Pairs) -> Iterator[Attribute]:
    """Attributes 8, 9 and 16, where somebody told of the EVSE and it is not unknown."""
    pair = pairs[change.status, change.error]
    at = instant(change.observed_at)
    if pair is None or at is None or pair == (-1, 0):
        return
    occupied, error = pair
    status = RESERVED if change.status is Status.RESERVED else str(occupied)
    if status in _STATUSES:
        yield Attribute(tables.CONNECTOR_STATUS, status, _STATUSES[status], status)
    yield Attribute(tables.ERROR_STATUS, str(error), _ERRORS[str(error)], str(error))
    yield Attribute(tables.TIMESTAMP, "5", "timestamp", at.replace(".000Z", "Z"))
