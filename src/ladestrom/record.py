"""What a station's record says beside its place, its EVSEs and its connectors: for drivers, maps and the law.

Frozen, and known to nobody but `model`. All of it is optional: None, or nothing, is what a register does not
say, which is not "no", and stays absent in every output. The members are those of the record as it is served:
encoded to JSON, each of these is a part of it.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Access(StrEnum):
    """Who may charge."""

    PUBLIC = "public"
    RESTRICTED = "restricted"
    """Some only, and the register does not say which."""
    VISITORS = "visitors"
    EMPLOYEES = "employees"
    APPOINTMENT = "appointment"
    RESIDENTS = "residents"


class Place(StrEnum):
    """Where the station stands."""

    STREET = "street"
    CAR_PARK = "car_park"
    """In the open, where the register tells it from a garage. OCPI's PARKING_LOT."""
    GARAGE = "garage"
    UNDERGROUND_GARAGE = "underground_garage"
    DRIVEWAY = "driveway"
    MOTORWAY = "motorway"
    CHARGING_HUB = "charging_hub"
    """A site that is there for charging alone."""
    FUEL_STATION = "fuel_station"
    SHOPPING = "shopping"
    HOSPITALITY = "hospitality"
    """Hotel, restaurant, café."""
    TRANSPORT_HUB = "transport_hub"
    """Railway station, airport, ferry, park and ride."""
    WORKPLACE = "workplace"
    OTHER = "other"


class Accessibility(StrEnum):
    """For people with reduced mobility."""

    RESERVED = "reserved"
    """For them alone."""
    ACCESSIBLE = "accessible"
    NOT_ACCESSIBLE = "not_accessible"


class Vehicle(StrEnum):
    """What may be charged."""

    CAR = "car"
    TRUCK = "truck"
    BUS = "bus"
    MOTORCYCLE = "motorcycle"
    BICYCLE = "bicycle"


class Format(StrEnum):
    """OCPI 2.2.1, section 8.4.4."""

    CABLE = "CABLE"
    SOCKET = "SOCKET"


class PowerType(StrEnum):
    """OCPI 2.2.1, section 8.4.19."""

    AC_1_PHASE = "AC_1_PHASE"
    AC_2_PHASE = "AC_2_PHASE"
    AC_2_PHASE_SPLIT = "AC_2_PHASE_SPLIT"
    AC_3_PHASE = "AC_3_PHASE"
    DC = "DC"


class Id(msgspec.Struct, frozen=True, gc=False):
    """An id under which a publisher knows the station."""

    register: str
    """Whose: `nobil`, `irve`, `irve-local`, `ocpi`, `datex`, `oicp`, or what a file of one's own says."""
    id: str


class Contact(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Of the organisation that operates the station. Never a person's."""

    phone: str | None = None
    email: str | None = None
    web: str | None = None


class Hours(msgspec.Struct, frozen=True, gc=False):
    """Of one weekday, in the station's time zone (OCPI 2.2.1, section 8.4.21)."""

    weekday: int
    """1 is Monday, 7 is Sunday (ISO 8601)."""
    begin: str
    """`HH:MM`."""
    end: str
    """`HH:MM`; `24:00` is the day's end. Before `begin`, or at it, it is of the next day."""


class Span(msgspec.Struct, frozen=True, gc=False):
    """From one instant up to another, as RFC 3339 in UTC (OCPI 2.2.1, section 8.4.13)."""

    begin: str
    end: str


class Opening(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """When the station is open. Of `always`, `hours` and `text` alone there is one at least, or a span."""

    always: bool | None = None
    hours: tuple[Hours, ...] = ()
    """By weekday and beginning. A day that is not in it is closed, where there are any."""
    openings: tuple[Span, ...] = ()
    """Open beside the hours."""
    closings: tuple[Span, ...] = ()
    """Closed in spite of the hours and of `always`."""
    text: str | None = None
    """In the register's words, where they are not understood as a whole."""


class Payment(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """How charging is paid for. None is what is not known."""

    free: bool | None = None
    card: bool | None = None
    """By debit or credit card, at the station."""
    contactless: bool | None = None
    ad_hoc: bool | None = None
    """Without a contract."""
    other: bool | None = None


class Terms(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, kw_only=True):
    """Who may charge what, and how it is paid. Of a station, and of its EVSEs that differ from it."""

    access: Access | None = None
    access_text: str | None = None
    accessibility: Accessibility | None = None
    vehicles: tuple[Vehicle, ...] = ()
    """In the order of the enumeration."""
    max_height_m: float | None = None
    payment: Payment | None = None
    tariff_text: str | None = None
    reservable: bool | None = None


class Details(Terms, frozen=True, gc=False, omit_defaults=True, kw_only=True):
    """Of a station: its terms, and what a record has once."""

    ids: tuple[Id, ...] = ()
    """Those beside `uuid` and `native_id`."""
    brand: str | None = None
    owner: str | None = None
    contact: Contact | None = None
    postal_code: str | None = None
    municipality: str | None = None
    municipality_code: str | None = None
    """As the country's statistics office numbers it."""
    region: str | None = None
    time_zone: str | None = None
    """IANA."""
    opening: Opening | None = None
    place: Place | None = None
    parking_fee: bool | None = None
    time_limit_min: int | None = None
    images: tuple[str, ...] = ()
    """Addresses, `https:` or `http:`."""
    directions: str | None = None
    licence: str | None = None
    """Of the register: SPDX's id where there is one (`CC-BY-4.0`), else a name or an address."""
    attribution: str | None = None
    """Whom the licence wants to be named."""
    derived: tuple[str, ...] = ()
    """Members that no register said: they follow from others (`time_zone`)."""


NO_DETAILS = Details()
