"""Table publications of DATEX II (CEN/TS 16157-10, version 3.5 and later) as a register, XML and JSON.

Knows sites, stations, EVSEs and their connectors; what else a record may say is read in `datex2_details`.
Must not know what the registry does with a station.
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from ladestrom.core import electrical
from ladestrom.core.coordinates import place
from ladestrom.core.fields import Notes, Unusable, clean, decimal, identifier, plain, quoted, too_many
from ladestrom.core.standards import POWER_KW_MAX
from ladestrom.countries import country
from ladestrom.errors import InvalidRegister
from ladestrom.model import Connector, Evse, Outlet, Station, evse_key, local_key
from ladestrom.ports.registry import RecordRefusal, StationDraft
from ladestrom.record import Format, PowerType
from ladestrom.registers import datex2_details, datex2_json, datex2_xml
from ladestrom.registers import datex2_tables as tables
from ladestrom.registers.datex2_nodes import (
    Node,
    as_list,
    as_node,
    below,
    enumerated,
    first,
    found,
    identifiers,
    nodes,
    typed,
    word,
    words,
)
from ladestrom.registers.datex2_xml import SITE
from ladestrom.registers.limits import DEFAULT, Limits
from ladestrom.registers.scan import bounded

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ladestrom.core.coordinates import Coordinates

_EVSE_FORM: Final = re.compile(
    r"(?i:([A-Z]{2})([*-])([A-Z0-9]{3})\2E[A-Z0-9*-]{1,31})|([A-Z]{2})([A-Z0-9]{3})E[A-Z0-9]{1,31}",
    re.ASCII,
)
"""ISO 15118-1 and eMI3; without separators in upper case only, as any word may look so."""
_OPERATOR_FORM: Final = re.compile(r"(?:([A-Z]{2})[*-]?)?([A-Z0-9]{3})", re.IGNORECASE | re.ASCII)
_ID_CHARACTERS: Final = re.compile(r"[!-?A-~][ -?A-~]*")
"""Printable ASCII without `@`."""
_KEY_CHARS_MIN: Final = 6
"""A shorter EVSE id is a number within its station: it finds the point, but is no key of a registry."""
_SEARCH_DEPTH_MAX: Final = 8
"""Below a location: an address is 3 deep in it, coordinates are 2."""
_ADDRESS_LINES: Final = frozenset({"street", "housenumber", "generaltextline"})
_ALPHA_2_CHARS: Final = 2

_COORDINATES: Final = ("pointByCoordinates", "coordinatesForDisplay", "")
"""Where a position stands in a location, the most exact first; the last is anywhere."""


class _Point(NamedTuple):
    """An EVSE as the publication has it."""

    evse: Evse
    connectors: tuple[Connector, ...]
    node: Node


def parse(chunks: Iterable[bytes], *, limits: Limits = DEFAULT) -> Iterator[StationDraft | RecordRefusal]:
    """Reads a table publication, XML or JSON, in the order of its stations.

    Each station of a site is a station; what it does not say of name, operator, address and position is its
    site's. Its `native_id` is its id in the table, and a point's `uid` is the point's, so that status
    publications find it. A point's EVSE id is what it or one of its connectors has as such, else its own id
    where that has the form. A station without EVSEs is refused: nothing of it could have a status.

    Args:
        chunks: the document, decompressed, in pieces of any size.
        limits: how much of it is read; a record is a site.

    Raises:
        InvalidRegister: while iterating: the document is cut off, neither XML nor JSON, over a limit, or no
            table publication. What was given before must then not be used.

    Source: CEN/TS 16157-10, EnergyInfrastructureTablePublication; JSON encoding of DATEX II 3.5.
    """
    seen: set[str] = set()
    stations = sites = 0
    home: str | None = None
    for name, record in _records(bounded(chunks, limits), limits):
        if name != SITE:
            home = country(plain(as_node(record).get("country"))) or home
            continue
        sites += 1
        if isinstance(record, str):
            yield RecordRefusal(f"site {sites}", record)
            continue
        for one in _site(as_node(record), f"site {sites}", home, limits):
            stations += 1
            if stations > limits.records_max:
                raise InvalidRegister(f"the file has more than {limits.records_max} stations")
            native_id = one.station.native_id if isinstance(one, StationDraft) else ""
            if native_id and native_id in seen:
                yield RecordRefusal(
                    native_id, "another station of the file has the same id; the first is taken"
                )
                continue
            seen.add(native_id)
            yield one


def _records(chunks: Iterator[bytes], limits: Limits) -> Iterator[tuple[str, object]]:
    head = next(filter(None, (chunk.lstrip(b" \t\r\n") for chunk in chunks)), b"")
    if not head:
        raise InvalidRegister("the file is empty")
    document = itertools.chain((head,), chunks)
    if head[:1] in b"{[":
        return datex2_json.records(document, limits)
    if head[:1] in b"<\xfe\xff":
        return datex2_xml.records(document, limits)
    raise InvalidRegister("the file is neither JSON nor XML")


def _site(
    site: Node, place_in_file: str, home: str | None, limits: Limits
) -> Iterator[StationDraft | RecordRefusal]:
    stations = nodes(site, "energyInfrastructureStation")
    if not stations:
        yield RecordRefusal(_id(site, limits) or place_in_file, "the site has no charging stations")
    for number, station in enumerate(stations, start=1):
        native_id = _id(station, limits)
        try:
            yield _draft(site, station, native_id, home, limits)
        except Unusable as reason:
            yield RecordRefusal(native_id or f"{place_in_file}, station {number}", str(reason))


def _draft(site: Node, station: Node, native_id: str, home: str | None, limits: Limits) -> StationDraft:
    if not native_id:
        raise Unusable("the station has no id")
    notes = Notes(limits.notes_max)
    places = [
        station.get("locationReference"),
        *(node.get("locationReference") for node in _points_of(station)),
        site.get("locationReference"),
        site.get("entrance"),
    ]
    facility, address = datex2_details.where(places)
    written_country = plain(word(address.get("countryCode"))).upper()
    party = _operator_party(station, site, written_country)
    points = _points(station, party, limits, notes)
    land = country(written_country) or _land(points) or home
    if land is None:
        raise Unusable("neither its address, nor its EVSE ids, nor the publication names a country")
    where = _place(places)
    point_nodes = [point.node for point in points]
    said = datex2_details.read(site, station, point_nodes, facility, address, limits, notes)

    def text(value: object, what: str) -> str:
        return clean(words(value), what, limits.text_chars_max, notes)

    street = " ".join(filter(None, (text(line, "address") for line in _lines(address))))
    street = street[: limits.text_chars_max].rstrip()
    brand = said.details.brand or ""
    name = text(station.get("name"), "name") or text(site.get("name"), "name") or street or brand
    if not name:
        notes.add("it has no name; its id stands for it")
    floor = text(datex2_details.line(address, "floor"), "floor") or None
    return StationDraft(
        Station(
            uuid="",
            name=name or native_id[: limits.text_chars_max],
            country=land,
            latitude=where.latitude,
            longitude=where.longitude,
            evses=tuple(
                msgspec.structs.replace(
                    point.evse,
                    label=text(point.node.get("name"), "label") or None,
                    floor=text(_floor_line(point.node), "floor") or floor,
                    capabilities=capabilities,
                    terms=terms,
                )
                for point, terms, capabilities in zip(points, said.terms, said.capabilities, strict=True)
            ),
            outlets=tuple(
                Outlet(index, connector)
                for index, point in enumerate(points)
                for connector in point.connectors
            ),
            operator=_operator(station, site, limits, notes) or brand or None,
            address=street or None,
            city=text(address.get("city"), "city")
            or text(datex2_details.line(address, "town"), "city")
            or None,
            register="datex",
            native_id=native_id,
            details=said.details,
        ),
        notes=notes.all(),
        updated_at=datex2_details.updated_at(site, station, point_nodes),
    )


def _floor_line(point: Node) -> object:
    """The floor that a point says for itself."""
    return datex2_details.line(datex2_details.where([point.get("locationReference")])[1], "floor")


def _points_of(station: Node) -> list[Node]:
    return [typed(point)[1] for point in nodes(station, "refillPoint")]


def _points(station: Node, party: str | None, limits: Limits, notes: Notes) -> list[_Point]:
    points: dict[str, _Point] = {}
    outlets = fuels = 0
    for number, wrapped in enumerate(nodes(station, "refillPoint"), start=1):
        kind, point = typed(wrapped)
        if kind not in {"", tables.ELECTRIC, "RefillPoint"}:
            fuels += 1
            continue
        evse = _evse(point, party, limits, notes)
        if evse is None:
            notes.add(f"point {number} has no id and was ignored")
            continue
        identity = evse.key or f"uid {local_key(evse.uid or '')}"
        if identity in points:
            notes.add(f"point {quoted(evse.evse_id or evse.uid)} occurs more than once; the first is taken")
            continue
        power_kw = _point_kw(point, notes)
        connectors = _connectors(point, f"point {number}", power_kw, notes)
        outlets += len(connectors)
        if outlets > limits.outlets_max:
            raise Unusable(too_many("connectors", limits.outlets_max))
        if power_kw is not None:
            evse = msgspec.structs.replace(evse, max_kw=power_kw)
        points[identity] = _Point(evse, connectors, point)
    parties = {point.evse.party for point in points.values()} - {None}
    if len(parties) == 1:
        # A point without an EVSE id is its neighbours' operator's.
        shared = parties.pop()
        return [
            point._replace(evse=msgspec.structs.replace(point.evse, party=shared))
            for point in points.values()
        ]
    if not points:
        raise Unusable(
            "it dispenses fuel, not electricity"
            if fuels
            else "it has no EVSEs (refill points), so there is nothing that could have a status"
        )
    return list(points.values())


def _evse(point: Node, party: str | None, limits: Limits, notes: Notes) -> Evse | None:
    uid = _id(point, limits)
    evse_id = _evse_id(point, limits, notes) or (uid if _EVSE_FORM.fullmatch(uid) else "")
    if evse_id and evse_key(uid) == evse_key(evse_id):
        uid = ""
    if not uid and not evse_id:
        return None
    key = evse_key(evse_id)
    return Evse(
        key=key if len(key) >= _KEY_CHARS_MIN else "",
        station="",
        evse_id=evse_id or None,
        uid=uid or None,
        party=party or _party(evse_id),
    )


def _evse_id(point: Node, limits: Limits, notes: Notes) -> str:
    """What the point has as EVSE id, else what its connectors have: the model wants it at one of them."""
    found = list(_evse_ids(point)) or [
        evse_id for connector in nodes(point, "connector") for evse_id in _evse_ids(connector)
    ]
    sound = [
        evse_id
        for evse_id in found
        if len(evse_id) <= limits.id_chars_max and _ID_CHARACTERS.fullmatch(evse_id) and evse_key(evse_id)
    ]
    if len(sound) < len(found):
        notes.add("an invalid EVSE id was ignored")
    if len({evse_key(evse_id) for evse_id in sound}) > 1:
        notes.add(f"a point has several EVSE ids; {quoted(sound[0])} is taken")
    return sound[0] if sound else ""


def _evse_ids(node: Node) -> Iterator[str]:
    written = identifier(word(node.get("evseId")))
    if written:
        yield written
    for written, kind in identifiers(node):
        if kind in tables.EVSE_ID_TYPES or (not kind and _EVSE_FORM.fullmatch(written)):
            yield written


def _point_kw(point: Node, notes: Notes) -> float | None:
    """What the point has at most, where it says so itself."""
    powers = (_power_kw(each, notes) for each in as_list(point.get("availableChargingPower")))
    return max(filter(None, powers), default=None)


def _connectors(point: Node, what: str, power_kw: float | None, notes: Notes) -> tuple[Connector, ...]:
    given = nodes(point, "connector")
    of_point = point if len({plain(word(each.get("connectorType"))) for each in given}) == 1 else {}
    connectors: list[Connector] = []
    for connector in given:
        named = plain(word(connector.get("connectorType")))
        standard = tables.standard(named)
        if standard == tables.UNKNOWN and named.casefold() not in tables.NAMELESS:
            notes.add(
                f"a connector of {what} is of an unknown type {quoted(named)}"
                if named
                else f"a connector of {what} names no type"
            )
        power_type = _power_type(connector) or _power_type(of_point)
        volts = _volts(connector.get("voltage"), notes) or _volts(of_point.get("availableVoltage"), notes)
        connectors.append(
            Connector(
                standard,
                _power_kw(connector.get("maxPowerAtSocket"), notes) or power_kw,
                format=_format(connector),
                power_type=power_type,
                max_v=None if volts is None else float(electrical.line_to_neutral(volts, power_type)),
                max_a=_quantity(connector.get("maximumCurrent"), "current", tables.AMPERES_MAX, notes),
            )
        )
    if not connectors:
        notes.add("a point has no connectors; one of unknown type is assumed")
        connectors.append(Connector(tables.UNKNOWN, power_kw))
    return tuple(connectors)


def _format(connector: Node) -> Format | None:
    said = (tables.FORMATS.get(each) for each in enumerated(connector, "connectorFormat"))
    return next(filter(None, said), None)


def _power_type(node: Node) -> PowerType | None:
    """Of a connector, or of a point, whose connectors are all alike: a point with a cable for direct and a
    socket for alternating current says one of them.
    """
    said = (
        tables.POWER_TYPES.get(each)
        for member in ("chargingMode", "currentType")
        for each in enumerated(node, member)
    )
    return next(filter(None, said), None)


def _volts(said: object, notes: Notes) -> float | None:
    volts = (_quantity(each, "voltage", tables.VOLTS_MAX, notes) for each in as_list(said))
    return max(filter(None, volts), default=None)


def _quantity(said: object, what: str, most: float, notes: Notes) -> float | None:
    said = word(said)
    number = decimal(said)
    if number is not None and 0 < number <= most:
        return number
    if said not in {None, "", 0} and number != 0:
        notes.add(f"the {what} {quoted(said)} is not valid and was ignored")
    return None


def _power_kw(said: object, notes: Notes) -> float | None:
    said = word(said)
    if said is None or said == "":
        return None
    power = decimal(said)
    if power == 0:
        return None
    if power is not None and power >= tables.WATTS_FROM:
        power /= 1_000
    elif power is not None:
        notes.add("a power below 1,000 is taken for kilowatts")
    if power is None or not 0 < power <= POWER_KW_MAX:
        notes.add(f"the power {quoted(said)} is not valid and was ignored")
        return None
    return round(power, 3)


def _operator(station: Node, site: Node, limits: Limits, notes: Notes) -> str:
    """The operator's name; where none is said, the distributor's, under which some publish it."""
    for member in ("operator", "energyDistributor"):
        for node in (station, site):
            organisation = typed(first(node.get(member)))[1]
            for name in ("name", "legalName"):
                text = clean(words(organisation.get(name)), "operator", limits.text_chars_max, notes)
                if text:
                    return text
    return ""


def _operator_party(station: Node, site: Node, written_country: str) -> str | None:
    """Country and party of the operator's id, `DE*ABC` or `ABC` in the station's country."""
    for node in (station, site):
        organisation = typed(first(node.get("operator")))[1]
        ids = [identifier(word(organisation.get("operatorId")))]
        ids += [
            written
            for written, kind in identifiers(organisation)
            if kind in tables.OPERATOR_ID_TYPES or not kind
        ]
        for said in ids:
            match = _OPERATOR_FORM.fullmatch(said)
            if match is None:
                continue
            letters = match[1] or (written_country if len(written_country) == _ALPHA_2_CHARS else "")
            if country(letters):
                return (letters + match[2]).upper()
    return None


def _party(evse_id: str) -> str | None:
    match = _EVSE_FORM.fullmatch(evse_id)
    if match is None:
        return None
    letters, operator = (match[1], match[3]) if match[1] else (match[4], match[5])
    return (letters + operator).upper() if country(letters) else None


def _land(points: Iterable[_Point]) -> str | None:
    """The country of the points' EVSE ids."""
    parties = (_party(point.evse.evse_id or "") for point in points)
    return next((country(party[:2]) for party in parties if party), None)


def _place(places: list[object]) -> Coordinates:
    for where in places:
        for parent in _COORDINATES:
            node = found(where, parent) if parent else {"": where}
            latitude, longitude = _position(node)
            if latitude is not None and longitude is not None:
                return place(latitude, longitude)
    raise Unusable("neither it nor its site has a position that can be read")


def _position(node: object, depth_left: int = _SEARCH_DEPTH_MAX) -> tuple[float | None, float | None]:
    """The first pair of latitude and longitude at or below a node."""
    if isinstance(node, dict):
        latitude, longitude = (decimal(word(node.get(name))) for name in ("latitude", "longitude"))
        if latitude is not None and longitude is not None:
            return latitude, longitude
    if depth_left:
        for inner in below(node):
            found = _position(inner, depth_left - 1)
            if found[0] is not None:
                return found
    return None, None


def _lines(address: Node) -> list[object]:
    """The texts of the address's lines that name street and number, in their order."""
    lines = nodes(address, "addressLine")
    ranked = [(_order(line), index) for index, line in enumerate(lines)]
    return [
        lines[index].get("text")
        for _, index in sorted(ranked)
        if plain(word(lines[index].get("type"))).casefold() in _ADDRESS_LINES
    ]


def _order(line: Node) -> float:
    order = decimal(word(line.get("order", line.get("@order"))))
    return order if order is not None else 0.0


def _id(node: Node, limits: Limits) -> str:
    """The id of an object; empty where it has none that can be one."""
    written = identifier(node.get("idG", node.get("@id", node.get("id"))))
    is_one = _ID_CHARACTERS.fullmatch(written) and written.strip("*- ")
    return written if is_one and len(written) <= limits.id_chars_max else ""
