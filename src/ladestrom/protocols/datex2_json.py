"""DATEX II status publications as JSON: the AFIR profile (`aegi...`), the generic encoding (`egi...`), and
what senders make of them.

Knows the encoding: attributes are `idG`, enumerations are `{"value": ..}`, a type is the name of a property.
Takes enumerations that are plain words, one object where a list is due, and publications with or without
the wrappers `messageContainer` and `payload`. Must not know what the words mean.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, TypeVar

import msgspec

from ladestrom.errors import MalformedBody
from ladestrom.protocols.datex2_status import Exchange, Facility, Publication
from ladestrom.protocols.delivery import UNREADABLE, json_text

T = TypeVar("T")

WRAPPERS_MAX: Final = 8
"""Around a publication; the encoding has two."""


class _Enum(msgspec.Struct, frozen=True, gc=False):
    """A word of an enumeration. With `extendedG` the word is beside it."""

    value: str | int | float | bool | None = None
    extended: str | int | float | bool | None = msgspec.field(name="extendedValueG", default=None)


Word = _Enum | str | int | float | bool | None


class _Reference(msgspec.Struct, frozen=True, gc=False):
    id_g: str | int | None = msgspec.field(name="idG", default=None)
    id: str | int | None = None


class _Fault(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    fault_impact_severity: Word = None


class _Facility(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """What sites, stations and points have in common."""

    last_updated: Word = None
    opening_status: Word = None
    operation_status: Word = None


class _Point(_Facility, frozen=True, gc=False, rename="camel"):
    reference: _Reference | str | int | None = None
    status: Word = None
    fault: _Fault | list[_Fault] | None = None


class _Wrapped(_Point, frozen=True, gc=False):
    """A point in a property that is named after its type; or without one."""

    aegi_charging: _Point | None = msgspec.field(name="aegiElectricChargingPointStatus", default=None)
    egi_charging: _Point | None = msgspec.field(name="egiElectricChargingPointStatus", default=None)
    charging: _Point | None = msgspec.field(name="electricChargingPointStatus", default=None)
    aegi_refill: _Point | None = msgspec.field(name="aegiRefillPointStatus", default=None)
    egi_refill: _Point | None = msgspec.field(name="egiRefillPointStatus", default=None)

    def point(self) -> _Point:
        return (
            self.aegi_charging
            or self.egi_charging
            or self.charging
            or self.aegi_refill
            or self.egi_refill
            or self
        )


class _StationFacts(_Facility, frozen=True, gc=False, rename="camel"):
    is_available: bool | str | None = None


class _Station(_StationFacts, frozen=True, gc=False):
    points: list[_Wrapped] | _Wrapped | None = msgspec.field(name="refillPointStatus", default=None)


class _OddStation(_StationFacts, frozen=True, gc=False):
    """A station with a point that cannot be read."""

    points: msgspec.Raw = msgspec.field(name="refillPointStatus", default_factory=msgspec.Raw)


class _Site(_Facility, frozen=True, gc=False):
    stations: list[_Station] | _Station | None = msgspec.field(
        name="energyInfrastructureStationStatus", default=None
    )


class _OddSite(_Facility, frozen=True, gc=False):
    """A site with a station that cannot be read."""

    stations: msgspec.Raw = msgspec.field(
        name="energyInfrastructureStationStatus", default_factory=msgspec.Raw
    )


class _Publication(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    publication_time: Word = None
    sites: msgspec.Raw = msgspec.field(name="energyInfrastructureSiteStatus", default_factory=msgspec.Raw)


class _Envelope(_Publication, frozen=True, gc=False, rename="camel"):
    """The message, its container, and its payloads: each may hold what the others do."""

    message_container: msgspec.Raw = msgspec.Raw()
    payload: msgspec.Raw = msgspec.Raw()
    payload_publication: msgspec.Raw = msgspec.Raw()
    d2_logical_model: msgspec.Raw = msgspec.field(name="d2LogicalModel", default_factory=msgspec.Raw)
    exchange_information: msgspec.Raw = msgspec.Raw()
    aegi_status: msgspec.Raw = msgspec.field(
        name="aegiEnergyInfrastructureStatusPublication", default_factory=msgspec.Raw
    )
    egi_status: msgspec.Raw = msgspec.field(
        name="egiEnergyInfrastructureStatusPublication", default_factory=msgspec.Raw
    )
    status: msgspec.Raw = msgspec.field(
        name="energyInfrastructureStatusPublication", default_factory=msgspec.Raw
    )
    aegi_table: msgspec.Raw = msgspec.field(
        name="aegiEnergyInfrastructureTablePublication", default_factory=msgspec.Raw
    )
    egi_table: msgspec.Raw = msgspec.field(
        name="egiEnergyInfrastructureTablePublication", default_factory=msgspec.Raw
    )


class _Context(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    coded_exchange_protocol: Word = None
    exchange_specification_version: Word = None


class _Exchange(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    exchange_context: _Context = _Context()


_decode_envelope: Final = msgspec.json.Decoder(_Envelope).decode
_decode_publication: Final = msgspec.json.Decoder(_Publication).decode
_decode_exchange: Final = msgspec.json.Decoder(_Exchange).decode
_decode_sites: Final = msgspec.json.Decoder(list[_Site]).decode
_decode_site: Final = msgspec.json.Decoder(_Site).decode
_decode_odd_site: Final = msgspec.json.Decoder(_OddSite).decode
_decode_station: Final = msgspec.json.Decoder(_Station).decode
_decode_odd_station: Final = msgspec.json.Decoder(_OddStation).decode
_decode_point: Final = msgspec.json.Decoder(_Wrapped).decode
_decode_raws: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode
_check: Final = msgspec.json.Decoder(msgspec.Raw).decode


def read(body: bytes) -> Publication:
    """Reads one message.

    Raises:
        MalformedBody: it is no JSON, or neither an object nor a list; nothing of it is used.
    """
    publication = Publication()
    try:
        _open(_check(json_text(body)), publication, WRAPPERS_MAX)
    except UNREADABLE as error:
        raise MalformedBody(f"the body is not DATEX II in JSON ({error}); none of it was accepted") from error
    return publication


def _open(raw: msgspec.Raw, publication: Publication, wrappers_left: int) -> None:
    """Takes the wrappers off."""
    if not wrappers_left:
        raise MalformedBody(f"the publication is wrapped more than {WRAPPERS_MAX} times")
    for each in _many(raw):
        if bytes(each) == b"null":
            continue
        envelope = _decode_envelope(each)
        _exchange(envelope.exchange_information, publication)
        for inner in (
            envelope.message_container,
            envelope.payload,
            envelope.payload_publication,
            envelope.d2_logical_model,
        ):
            _open(inner, publication, wrappers_left - 1)
        for table in (envelope.aegi_table, envelope.egi_table):
            publication.table |= bool(_many(table))
        for status in (envelope.aegi_status, envelope.egi_status, envelope.status):
            for one in _many(status):
                _publication(_decode_publication(one), publication)
        if _many(envelope.sites):
            _publication(envelope, publication)


def _publication(found: _Publication, publication: Publication) -> None:
    publication.found = True
    publication.published = _text(found.publication_time)
    try:
        sites: Sequence[_Site] = _decode_sites(found.sites) if bytes(found.sites) else ()
    except msgspec.ValidationError:
        publication.sites += _each(found.sites, _decode_site, _site, _odd_site)
    else:
        publication.sites += map(_site, sites)


def _exchange(raw: msgspec.Raw, publication: Publication) -> None:
    if not _many(raw):
        return
    publication.exchange = Exchange()
    # Whatever else is in it: the message counts, and what it says of its exchange only where it is readable.
    with suppress(msgspec.ValidationError):
        context = _decode_exchange(raw).exchange_context
        publication.exchange = Exchange(
            _text(context.coded_exchange_protocol), _text(context.exchange_specification_version)
        )


def _many(raw: msgspec.Raw) -> list[msgspec.Raw]:
    """The values of a list; one that is none alone; nothing where there is none or null."""
    begin = bytes(memoryview(raw)[:64]).lstrip()[:4]
    if not begin or begin == b"null":
        return []
    return _decode_raws(raw) if begin[:1] == b"[" else [raw]


def _each(
    raw: msgspec.Raw,
    decode: Callable[[msgspec.Raw], T],
    made: Callable[[T], Facility],
    odd: Callable[[msgspec.Raw, msgspec.ValidationError], Facility],
) -> list[Facility]:
    """One by one, so that one that cannot be read costs no other."""
    facilities: list[Facility] = []
    for one in _many(raw):
        try:
            facilities.append(made(decode(one)))
        except msgspec.ValidationError as error:
            facilities.append(odd(one, error))
    return facilities


def _site(site: _Site) -> Facility:
    stations = site.stations
    if isinstance(stations, _Station):
        stations = [stations]
    return _facility(site, [_station(station) for station in stations or ()])


def _odd_site(raw: msgspec.Raw, _error: msgspec.ValidationError) -> Facility:
    try:
        site = _decode_odd_site(raw)
    except msgspec.ValidationError as error:
        return Facility(parts=[Facility(parts=[_odd(f"a site cannot be read: {error}")])])
    return _facility(site, _each(site.stations, _decode_station, _station, _odd_station))


def _station(station: _Station) -> Facility:
    points = station.points
    if isinstance(points, _Wrapped):
        points = [points]
    facility = _facility(station, [_point(point.point()) for point in points or ()])
    if station.is_available is not None:
        facility.available = _text(station.is_available)
    return facility


def _odd_station(raw: msgspec.Raw, _error: msgspec.ValidationError) -> Facility:
    try:
        station = _decode_odd_station(raw)
    except msgspec.ValidationError as error:
        return Facility(parts=[_odd(f"a station cannot be read: {error}")])
    facility = _facility(station, _each(station.points, _decode_point, _wrapped, _odd_point))
    facility.available = _text(station.is_available)
    return facility


def _wrapped(wrapped: _Wrapped) -> Facility:
    return _point(wrapped.point())


def _odd_point(_raw: msgspec.Raw, error: msgspec.ValidationError) -> Facility:
    return _odd(f"an EVSE (refill point) cannot be read: {error}")


def _odd(why: str) -> Facility:
    return Facility(unreadable=why)


def _facility(said: _Facility, parts: list[Facility]) -> Facility:
    return Facility(
        updated=_text(said.last_updated),
        opening=_text(said.opening_status),
        operation=_text(said.operation_status),
        parts=parts,
    )


def _point(said: _Point) -> Facility:
    reference = said.reference
    if isinstance(reference, _Reference):
        reference = reference.id if reference.id_g is None else reference.id_g
    status = said.status
    facility = Facility(
        reference="" if reference is None else str(reference).strip(),
        updated=_text(said.last_updated),
        status=_text(status),
    )
    if isinstance(status, _Enum) and status.extended is not None:
        facility.extended = _text(status.extended)
    if said.opening_status is not None or said.operation_status is not None:
        facility.opening = _text(said.opening_status)
        facility.operation = _text(said.operation_status)
    if said.fault is not None:
        faults = said.fault if isinstance(said.fault, list) else [said.fault]
        facility.fault = bool(faults)
        facility.severity = next((_text(fault.fault_impact_severity) for fault in faults), "")
    return facility


def _text(word: Word) -> str:
    if isinstance(word, _Enum):
        word = word.value
    if isinstance(word, str):
        return word.strip()
    if word is None:
        return ""
    return str(word).lower() if isinstance(word, bool) else str(word)
