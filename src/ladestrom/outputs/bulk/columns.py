"""Stations and EVSEs as CSV: a row for each, a column for each member that fits into a cell.

Source: RFC 4180; UTF-8. An empty cell is what is not known. Several values in a cell are joined by
semicolons.

A program that opens the file as a spreadsheet takes a text for a formula that begins as one does, and what
operators and registers write is theirs: such a text gets an apostrophe in front, as users of spreadsheets
write it. Numbers and telephone numbers with a sign are no formulas, and stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from ladestrom.formats.documents import LeftOut, Seen
from ladestrom.formats.station_record import connectors
from ladestrom.formats.wire import instant
from ladestrom.model import Connector, Position, Station
from ladestrom.outputs.bulk.encoder import COUNTED, counts, max_kw, standards
from ladestrom.record import Opening, Payment, Terms

CSV: Final = "text/csv"
SEPARATOR: Final = ";"
DAYS: Final = ("Mo", "Tu", "We", "Th", "Fr", "Sa", "Su")
"""As OpenStreetMap writes hours."""
WAYS: Final = ("card", "contactless", "ad_hoc", "other")
"""Members of `Payment` that are ways to pay."""
COUNTS: Final = tuple(status.value.lower() for status in COUNTED)

STATION_COLUMNS: Final = (
    *("uuid", "revision", "name", "brand", "operator", "owner", "country", "latitude", "longitude"),
    *("address", "postal_code", "city", "municipality", "municipality_code", "region", "time_zone"),
    *("opening", "access", "access_text", "place", "accessibility", "vehicles", "max_height_m"),
    *("free", "payment", "tariff_text", "reservable", "parking_fee", "time_limit_min"),
    *("phone", "email", "web", "directions", "images"),
    *("evses", *COUNTS, "max_kw", "connectors"),
    *("register", "native_id", "updated_at", "licence", "attribution"),
)
EVSE_COLUMNS: Final = (
    *("evse", "status", "error", "changed_at", "observed_at", "source", "raw", "cause"),
    *("uid", "label", "floor", "max_kw", "connectors", "access", "free", "payment"),
    *("station", "station_name", "operator", "country", "latitude", "longitude"),
    *("address", "postal_code", "city"),
)

_FORMULA: Final = re.compile(r"[=+\-@\t\r\uff0b\uff0d\uff1d\uff20]")
"""How a text begins that a spreadsheet may take for a formula; the last four are the same in full width."""
_SIGNED: Final = re.compile(r"[+-][0-9][0-9 ()./-]*", re.ASCII)
_QUOTED: Final = re.compile(r'[",\r\n]')

Cell = str | float | bool | None
"""A text of others, or what is no text of anyone."""


def row(cells: Iterable[Cell]) -> str:
    """A row of the file."""
    return ",".join(map(_cell, cells)) + "\r\n"


def _cell(value: Cell) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value).removesuffix(".0")
    if _FORMULA.match(value) and not _SIGNED.fullmatch(value):
        value = f"'{value}"
    return '"' + value.replace('"', '""') + '"' if _QUOTED.search(value) else value


def opening(told: Opening | None) -> str | None:
    """When a station is open, in short; spans in which it is open or closed beside are not told."""
    if told is None:
        return None
    if told.always:
        return "24/7"
    if told.hours:
        return SEPARATOR.join(f"{DAYS[each.weekday - 1]} {each.begin}-{each.end}" for each in told.hours)
    return told.text


def _paid(payment: Payment | None) -> tuple[bool | None, str | None]:
    """Whether charging is free, and how it may be paid for."""
    if payment is None:
        return None, None
    return payment.free, SEPARATOR.join(way for way in WAYS if getattr(payment, way)) or None


def _plugs(plugs: Sequence[Connector]) -> str:
    """Standard and power of each."""
    return SEPARATOR.join(
        plug.standard if plug.max_kw is None else f"{plug.standard} {_cell(plug.max_kw)}" for plug in plugs
    )


class Stations:
    """`stations.csv`."""

    def __init__(self) -> None:
        self.left_out = LeftOut()

    def part(self, seen: Seen) -> bytes:
        """A station's row."""
        station, details = seen.station, seen.station.details
        contact = details.contact
        free, payment = _paid(details.payment)
        told: dict[str, Cell] = {
            "uuid": station.uuid,
            "revision": seen.revision,
            "name": station.name,
            "brand": details.brand,
            "operator": station.operator,
            "owner": details.owner,
            "country": station.country,
            "latitude": station.latitude,
            "longitude": station.longitude,
            "address": station.address,
            "postal_code": details.postal_code,
            "city": station.city,
            "municipality": details.municipality,
            "municipality_code": details.municipality_code,
            "region": details.region,
            "time_zone": details.time_zone,
            "opening": opening(details.opening),
            "access": details.access,
            "access_text": details.access_text,
            "place": details.place,
            "accessibility": details.accessibility,
            "vehicles": SEPARATOR.join(details.vehicles) or None,
            "max_height_m": details.max_height_m,
            "free": free,
            "payment": payment,
            "tariff_text": details.tariff_text,
            "reservable": details.reservable,
            "parking_fee": details.parking_fee,
            "time_limit_min": details.time_limit_min,
            "phone": None if contact is None else contact.phone,
            "email": None if contact is None else contact.email,
            "web": None if contact is None else contact.web,
            "directions": details.directions,
            "images": SEPARATOR.join(details.images) or None,
            "evses": len(seen.listed),
            **counts(seen),
            "max_kw": max_kw(station),
            "connectors": SEPARATOR.join(standards(station)) or None,
            "register": station.register,
            "native_id": station.native_id,
            "updated_at": instant(station.updated_at),
            "licence": details.licence,
            "attribution": details.attribution,
        }
        return row(told[name] for name in STATION_COLUMNS).encode()

    def head(self, position: Position) -> bytes:  # noqa: ARG002 - the form has no place for it
        """The names of the columns."""
        return row(STATION_COLUMNS).encode()

    def pieces(self, parts: Iterable[bytes]) -> Iterator[bytes]:
        """The rows."""
        yield from parts


class Evses:
    """`evses.csv`."""

    def __init__(self) -> None:
        self.left_out = LeftOut()

    def part(self, seen: Seen) -> bytes:
        """The rows of a station's EVSEs."""
        station = seen.station
        behind = row(_of_station(station))
        plugs = dict(zip((evse.key for evse in station.evses), connectors(station), strict=True))
        rows = []
        for evse, held in seen.chosen:
            change, terms = held.change, evse.terms or _terms(station)
            free, payment = _paid(terms.payment)
            own: tuple[Cell, ...] = (
                evse.name,
                change.status,
                int(change.error),
                instant(change.changed_at),
                instant(seen.observed(held.seq, change)),
                change.source,
                change.raw,
                change.cause,
                evse.uid,
                evse.label,
                evse.floor,
                evse.max_kw,
                _plugs(plugs[evse.key]),
                terms.access,
                free,
                payment,
            )
            rows.append(row(own).removesuffix("\r\n") + "," + behind)
        return "".join(rows).encode()

    def head(self, position: Position) -> bytes:  # noqa: ARG002 - the form has no place for it
        """The names of the columns."""
        return row(EVSE_COLUMNS).encode()

    def pieces(self, parts: Iterable[bytes]) -> Iterator[bytes]:
        """The rows."""
        yield from parts


def _terms(station: Station) -> Terms:
    return station.details


def _of_station(station: Station) -> tuple[Cell, ...]:
    return (
        station.uuid,
        station.name,
        station.operator,
        station.country,
        station.latitude,
        station.longitude,
        station.address,
        station.details.postal_code,
        station.city,
    )
