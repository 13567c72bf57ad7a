"""Table publications of DATEX II (CEN/TS 16157-10, version 3.5 and later) as a register, XML and JSON.

Knows sites, stations, EVSEs and their connectors. Must not know what the registry does with a
station. Of organisations only the name and the operator's id are read; contact data and persons never are.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from ladestrom.core.coordinates import place
from ladestrom.core.fields import Notes, Unusable, clean, decimal, identifier, plain, quoted
from ladestrom.countries import country
from ladestrom.errors import InvalidRegister
from ladestrom.model import Connector, Evse, Outlet, Station, evse_key, local_key
from ladestrom.ports.registry import RecordRefusal, StationDraft
from ladestrom.registers import datex2_json, datex2_xml
from ladestrom.registers import datex2_tables as tables
from ladestrom.registers.datex2_xml import SITE
from ladestrom.registers.limits import DEFAULT, Limits
from ladestrom.registers.scan import bounded

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ladestrom.core.coordinates import Coordinates

Node = Mapping[str, object]

_TYPED: Final = re.compile(r"(?:aegi|egi|afac|fac|loc|locx)([A-Z][A-Za-z0-9]*)")
"""JSON: a property that says of which type its value is."""
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
            home = country(plain(_node(record).get("country"))) or home
            continue
        sites += 1
        if isinstance(record, str):
            yield RecordRefusal(f"site {sites}", record)
            continue
        for one in _site(_node(record), f"site {sites}", home, limits):
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
    stations = _nodes(site, "energyInfrastructureStation")
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
    address = next(filter(None, (_found(where, "address") for where in places)), {})
    written_country = plain(_word(address.get("countryCode"))).upper()
    party = _operator_party(station, site, written_country)
    points = _points(station, party, limits, notes)
    land = country(written_country) or _land(points) or home
    if land is None:
        raise Unusable("neither its address, nor its EVSE ids, nor the publication names a country")
    where = _place(places)

    def text(value: object, what: str) -> str:
        return clean(_words(value), what, limits.text_chars_max, notes)

    street = " ".join(filter(None, (text(line, "address") for line in _lines(address))))
    street = street[: limits.text_chars_max].rstrip()
    brand = text(station.get("brand"), "brand") or text(site.get("brand"), "brand")
    name = text(station.get("name"), "name") or text(site.get("name"), "name") or street or brand
    if not name:
        notes.add("it has no name; its id stands for it")
    return StationDraft(
        Station(
            uuid="",
            name=name or native_id[: limits.text_chars_max],
            country=land,
            latitude=where.latitude,
            longitude=where.longitude,
            evses=tuple(point.evse for point in points),
            outlets=tuple(
                Outlet(index, connector)
                for index, point in enumerate(points)
                for connector in point.connectors
            ),
            operator=_operator(station, site, limits, notes) or brand or None,
            address=street or None,
            city=text(address.get("city"), "city") or None,
            register="datex",
            native_id=native_id,
        ),
        notes=notes.all(),
    )


def _points_of(station: Node) -> list[Node]:
    return [_typed(point)[1] for point in _nodes(station, "refillPoint")]


def _points(station: Node, party: str | None, limits: Limits, notes: Notes) -> list[_Point]:
    points: dict[str, _Point] = {}
    outlets = fuels = 0
    for number, wrapped in enumerate(_nodes(station, "refillPoint"), start=1):
        kind, point = _typed(wrapped)
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
        connectors = _connectors(point, f"point {number}", notes)
        outlets += len(connectors)
        if outlets > limits.outlets_max:
            raise Unusable(f"it has more than {limits.outlets_max} connectors")
        points[identity] = _Point(evse, connectors)
    parties = {point.evse.party for point in points.values()} - {None}
    if len(parties) == 1:
        # A point without an EVSE id is its neighbours' operator's.
        shared = parties.pop()
        return [
            _Point(msgspec.structs.replace(point.evse, party=shared), point.connectors)
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
        evse_id for connector in _nodes(point, "connector") for evse_id in _evse_ids(connector)
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
    written = identifier(_word(node.get("evseId")))
    if written:
        yield written
    for written, kind in _identifiers(node):
        if kind in tables.EVSE_ID_TYPES or (not kind and _EVSE_FORM.fullmatch(written)):
            yield written


def _identifiers(node: Node) -> Iterator[tuple[str, str]]:
    """External identifiers and what kind each is of, in small letters; empty where that is not said."""
    for one in _list(node.get("externalIdentifier")):
        if isinstance(one, Mapping):
            written = identifier(_word(one.get("identifier"))) or identifier(one.get("value"))
            kind = plain(_word(one.get("typeOfIdentifier"))) or plain(_word(one.get("otherTypeOfIdentifier")))
            if written:
                yield written, kind.casefold()
        elif identifier(one):
            yield identifier(one), ""


def _connectors(point: Node, what: str, notes: Notes) -> tuple[Connector, ...]:
    fallback_kw = max(
        filter(None, (_power_kw(one, notes) for one in _list(point.get("availableChargingPower")))),
        default=None,
    )
    connectors: list[Connector] = []
    for connector in _nodes(point, "connector"):
        word = plain(_word(connector.get("connectorType")))
        standard = tables.standard(word)
        if standard == tables.UNKNOWN and word.casefold() not in tables.NAMELESS:
            notes.add(
                f"a connector of {what} is of an unknown type {quoted(word)}"
                if word
                else f"a connector of {what} names no type"
            )
        connectors.append(
            Connector(standard, _power_kw(connector.get("maxPowerAtSocket"), notes) or fallback_kw)
        )
    if not connectors:
        notes.add("a point has no connectors; one of unknown type is assumed")
        connectors.append(Connector(tables.UNKNOWN, fallback_kw))
    return tuple(connectors)


def _power_kw(said: object, notes: Notes) -> float | None:
    said = _word(said)
    if said is None or said == "":
        return None
    power = decimal(said)
    if power == 0:
        return None
    if power is not None and power >= tables.WATTS_FROM:
        power /= 1_000
    elif power is not None:
        notes.add("a power below 1,000 is taken for kilowatts")
    if power is None or not 0 < power <= tables.POWER_KW_MAX:
        notes.add(f"the power {quoted(said)} is not valid and was ignored")
        return None
    return round(power, 3)


def _operator(station: Node, site: Node, limits: Limits, notes: Notes) -> str:
    """The operator's name; where none is said, the distributor's, under which some publish it."""
    for member in ("operator", "energyDistributor"):
        for node in (station, site):
            organisation = _typed(_first(node.get(member)))[1]
            for name in ("name", "legalName"):
                text = clean(_words(organisation.get(name)), "operator", limits.text_chars_max, notes)
                if text:
                    return text
    return ""


def _operator_party(station: Node, site: Node, written_country: str) -> str | None:
    """Country and party of the operator's id, `DE*ABC` or `ABC` in the station's country."""
    for node in (station, site):
        organisation = _typed(_first(node.get("operator")))[1]
        ids = [identifier(_word(organisation.get("operatorId")))]
        ids += [
            written
            for written, kind in _identifiers(organisation)
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
            node = _found(where, parent) if parent else {"": where}
            latitude, longitude = _position(node)
            if latitude is not None and longitude is not None:
                return place(latitude, longitude)
    raise Unusable("neither it nor its site has a position that can be read")


def _position(node: object, depth_left: int = _SEARCH_DEPTH_MAX) -> tuple[float | None, float | None]:
    """The first pair of latitude and longitude at or below a node."""
    if isinstance(node, Mapping):
        latitude, longitude = (decimal(_word(node.get(name))) for name in ("latitude", "longitude"))
        if latitude is not None and longitude is not None:
            return latitude, longitude
    if depth_left:
        for inner in _below(node):
            found = _position(inner, depth_left - 1)
            if found[0] is not None:
                return found
    return None, None


def _found(node: object, name: str, depth_left: int = _SEARCH_DEPTH_MAX) -> Node:
    """The first object of that name below a node; an empty one where there is none."""
    if isinstance(node, Mapping):
        found = _node(_first(node.get(name)))
        if found:
            return found
    if depth_left:
        for inner in _below(node):
            found = _found(inner, name, depth_left - 1)
            if found:
                return found
    return {}


def _below(node: object) -> Iterable[object]:
    if isinstance(node, Mapping):
        return node.values()
    return node if isinstance(node, list) else ()


def _lines(address: Node) -> list[object]:
    """The texts of the address's lines that name street and number, in their order."""
    lines = _nodes(address, "addressLine")
    ranked = [(_order(line), index) for index, line in enumerate(lines)]
    return [
        lines[index].get("text")
        for _, index in sorted(ranked)
        if plain(_word(lines[index].get("type"))).casefold() in _ADDRESS_LINES
    ]


def _order(line: Node) -> float:
    order = decimal(_word(line.get("order", line.get("@order"))))
    return order if order is not None else 0.0


def _words(value: object, depth_left: int = _SEARCH_DEPTH_MAX) -> str:
    """The first of the texts of a MultilingualString, however it is written."""
    if isinstance(value, str):
        return value
    if not depth_left:
        return ""
    inner: Iterable[object] = ()
    if isinstance(value, Mapping):
        inner = (value.get("values"), value.get("value"))
    elif isinstance(value, list):
        inner = value
    return next(filter(None, (_words(one, depth_left - 1) for one in inner)), "")


def _word(value: object) -> object:
    """What an enumeration, or any simple value, says: alone, in `value`, or extended beside it."""
    value = _first(value)
    if not isinstance(value, Mapping):
        return value
    word = value.get("value")
    if isinstance(word, str) and word.casefold() in tables.EXTENDED:
        word = value.get("extendedValueG", value.get("@_extendedValue", word))
    return None if isinstance(word, (Mapping, list)) else word


def _typed(node: object) -> tuple[str, Node]:
    """The type of an object and the object: JSON names it in a property around it, XML in an attribute."""
    made = _node(node)
    for name, inner in made.items():
        match = _TYPED.fullmatch(name)
        if match and isinstance(inner, Mapping) and not name.endswith("ExtensionG"):
            return match[1], inner
    kind = made.get("@type")
    return kind.rpartition(":")[2] if isinstance(kind, str) else "", made


def _id(node: Node, limits: Limits) -> str:
    """The id of an object; empty where it has none that can be one."""
    written = identifier(node.get("idG", node.get("@id", node.get("id"))))
    is_one = _ID_CHARACTERS.fullmatch(written) and written.strip("*- ")
    return written if is_one and len(written) <= limits.id_chars_max else ""


def _nodes(node: Node, name: str) -> list[Node]:
    return [one for one in _list(node.get(name)) if isinstance(one, Mapping)]


def _list(value: object) -> list[object]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _first(value: object) -> object:
    if isinstance(value, list):
        return value[0] if value else None
    return value


def _node(value: object) -> Node:
    return value if isinstance(value, Mapping) else {}
