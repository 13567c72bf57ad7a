"""The members of a station's record that outputs in JSON have: of the station, and of its EVSEs.

An output adds to them what it has beside: what EVSEs are called, statuses. Encoded, what a register does not
say is absent, but for `operator`, `address` and `city`. Must not know of any output.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ladestrom.formats.wire import instant
from ladestrom.model import Connector, Evse, Station
from ladestrom.record import Details, Terms


class Position(msgspec.Struct, frozen=True):
    """Degrees, WGS 84."""

    latitude: float
    longitude: float


class StationMembers(Details, frozen=True, gc=False):
    """Of a station: what an output has of its record, beside its EVSEs.

    Not by keyword alone, as these are then served before those of `Details`.
    """

    uuid: str
    revision: int
    """Sequence of the entry that brought this record."""
    name: str
    operator: str | None
    country: str
    position: Position
    address: str | None
    city: str | None
    register: str
    native_id: str
    updated_at: str | None = None


class EvseMembers(Terms, frozen=True, gc=False, kw_only=True):
    """Of an EVSE. Its terms are there where they differ from its station's: then all of them are."""

    label: str | None = None
    max_kw: float | None = None
    floor: str | None = None
    capabilities: tuple[str, ...] = ()


def of_station(station: Station, revision: int) -> dict[str, Any]:
    """The values of `StationMembers`."""
    return {
        **msgspec.structs.asdict(station.details),
        "uuid": station.uuid,
        "revision": revision,
        "name": station.name,
        "operator": station.operator,
        "country": station.country,
        "position": Position(station.latitude, station.longitude),
        "address": station.address,
        "city": station.city,
        "register": station.register,
        "native_id": station.native_id,
        "updated_at": instant(station.updated_at),
    }


def of_evse(evse: Evse) -> dict[str, Any]:
    """The values of `EvseMembers`."""
    terms = {} if evse.terms is None else msgspec.structs.asdict(evse.terms)
    return {
        **terms,
        "label": evse.label,
        "max_kw": evse.max_kw,
        "floor": evse.floor,
        "capabilities": evse.capabilities,
    }


def connectors(station: Station) -> list[list[Connector]]:
    """The connectors of each EVSE, in registry order."""
    found: list[list[Connector]] = [[] for _ in station.evses]
    for outlet in station.outlets:
        found[outlet.evse].append(outlet.connector)
    return found
