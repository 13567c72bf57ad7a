"""What a DATEX II table says of a station beside its place and its EVSEs.

What a station does not say is its site's. Of organisations the name and how they are reached are read; of
persons nothing: contact data that names one is left alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, NamedTuple

from ladestrom.core import time_zones
from ladestrom.core.fields import (
    Notes,
    clean,
    email,
    identifier,
    phone,
    plain,
    web_address,
)
from ladestrom.model import NEVER, Millis
from ladestrom.record import Contact, Details, Id, Terms
from ladestrom.registers import datex2_hours, datex2_terms
from ladestrom.registers import datex2_tables as tables
from ladestrom.registers.datex2_nodes import (
    Node,
    as_list,
    as_node,
    enumerated,
    first,
    found,
    identifiers,
    instant,
    nodes,
    typed,
    word,
    words,
)
from ladestrom.registers.limits import Limits

IMAGES_MAX: Final = 20
"""A page shows some; a register that has more of one station has made a mistake."""
IDS_MAX: Final = 20
"""Other ids of a station: a few authorities and platforms number it."""
_PARTS_MAX: Final = 100
"""Of one object, that are read: contacts, addresses, areas."""

_OF_PERSONS: Final = frozenset({"name", "firstName", "title", "position"})
"""Members of contact data that is a person's."""
_NAME: Final = re.compile(r"[a-z][a-z0-9._:-]{0,39}", re.ASCII)
"""What may be the name of a register or a platform."""
_OFFSET: Final = re.compile(r"Z|[+-][0-9]{2}:[0-9]{2}", re.ASCII)
"""What the schemas allow as a time zone (`TimeZone`): a difference to UTC, which is none."""


class Said(NamedTuple):
    """What is said of the station, and of each of its points."""

    details: Details
    terms: tuple[Terms | None, ...]
    """Of the points, where they differ from the station's."""
    capabilities: tuple[tuple[str, ...], ...]
    """Of the points."""


def read(
    site: Node,
    station: Node,
    points: Sequence[Node],
    facility: Node,
    address: Node,
    limits: Limits,
    notes: Notes,
) -> Said:
    """What a station's record says, with its site's and its points'.

    Args:
        site: of the station.
        station: one of the site's.
        points: of the station, those that are taken.
        facility: what its location says of it as a facility (`where`).
        address: of the station.
        limits: of texts and ids.
        notes: what was odd.
    """

    def text(value: object, what: str, chars_max: int = limits.text_chars_max) -> str | None:
        return clean(words(value), what, chars_max, notes) or None

    town = line(address, "town")
    region, municipality_code = _areas(facility, limits)
    common, own = datex2_terms.terms(site, station, points, notes)
    postal_code = plain(word(address.get("postcode")))
    city = plain(words(address.get("city")))
    details = Details(
        ids=tuple(islice(_ids(station, limits), IDS_MAX)),
        brand=text(station.get("brand"), "brand") or text(site.get("brand"), "brand"),
        owner=_name((station, site), "owner", limits, notes),
        contact=_contact(station, site, notes),
        postal_code=postal_code if 0 < len(postal_code) <= limits.id_chars_max else None,
        municipality=text(town, "municipality") if city and plain(words(town)) != city else None,
        municipality_code=municipality_code,
        region=text(line(address, "region"), "region") or region,
        time_zone=_time_zone(facility, notes),
        opening=datex2_hours.opening(
            station.get("operatingHours") or site.get("operatingHours"), limits, notes
        ),
        place=next(filter(None, map(tables.PLACES.get, enumerated(site, "typeOfSite"))), None),
        images=tuple(dict.fromkeys(islice(_images((station, *points, site), notes), IMAGES_MAX))),
        directions=next(
            filter(
                None,
                (text(each, "directions", limits.prose_chars_max) for each in _directions(station, site)),
            ),
            None,
        ),
        **{name: getattr(common, name) for name in Terms.__struct_fields__},
    )
    return Said(details, own, tuple(datex2_terms.capabilities(station, points)))


def updated_at(site: Node, station: Node, points: Iterable[Node]) -> Millis:
    """When the newest of what makes the record was updated; `NEVER` where nothing says it."""
    said = (instant(node.get("lastUpdated")) for node in (site, station, *points))
    return max(filter(None, said), default=NEVER)


def where(places: Iterable[object]) -> tuple[Node, Node]:
    """The first location of a facility, or with an address: what it says of the facility, and the address."""
    for place in places:
        facility = found(place, "facilityLocation") or found(place, "FacilityLocation")
        address = as_node(first(facility.get("address"))) or found(place, "address")
        if address or facility:
            return facility, address
    return {}, {}


def line(address: Node, kind: str) -> object:
    """The text of the address's line of that kind; None where it has none."""
    for one in nodes(address, "addressLine"):
        if plain(word(one.get("type"))).casefold() == kind:
            return one.get("text")
    return None


def _name(of: Iterable[Node], member: str, limits: Limits, notes: Notes) -> str | None:
    for node in of:
        organisation = typed(first(node.get(member)))[1]
        for name in ("name", "legalName"):
            text = clean(words(organisation.get(name)), member, limits.text_chars_max, notes)
            if text:
                return text
    return None


def _ids(station: Node, limits: Limits) -> Iterator[Id]:
    seen = {identifier(station.get("idG", station.get("@id", station.get("id"))))}
    said = [(identifier(word(station.get("stationIdBNetzA"))), "stationidbnetza"), *identifiers(station)]
    for written, kind in said:
        if written and written not in seen and len(written) <= limits.id_chars_max:
            seen.add(written)
            yield Id(_whose(kind), written)


def _whose(kind: str) -> str:
    """Whose an external identifier is, by what is said of its type."""
    if kind in tables.STATION_ID_TYPES:
        return tables.STATION_ID_TYPES[kind]
    return kind if _NAME.fullmatch(kind) and kind not in tables.EXTENDED else "datex"


def _contact(station: Node, site: Node, notes: Notes) -> Contact | None:
    """How the helpdesk is reached, else the operator; never how a person is."""
    organisations = [
        typed(first(node.get(member)))[1] for member in ("helpdesk", "operator") for node in (station, site)
    ]
    reached = [
        contact
        for organisation in organisations
        for unit in nodes(organisation, "organisationUnit")[:_PARTS_MAX]
        for kind, contact in map(typed, nodes(unit, "contactInformation")[:_PARTS_MAX])
        if kind != tables.PERSON and _OF_PERSONS.isdisjoint(contact)
    ]
    sites = [organisation.get("linkToGeneralInformation") for organisation in organisations]
    sites += [
        link.get("urlLinkAddress") for node in (station, site) for link in nodes(node, "informationWebsite")
    ]
    number = _first_of(phone(word(each.get("telephoneNumber")), "operator", notes) for each in reached)
    address = _first_of(email(word(each.get("eMail")), "operator", notes) for each in reached)
    web = _first_of(web_address(word(each), "operator", notes) for each in sites)
    return Contact(number, address, web) if number or address or web else None


def _first_of(values: Iterable[str]) -> str | None:
    return next(filter(None, values), None)


def _areas(facility: Node, limits: Limits) -> tuple[str | None, str | None]:
    """Region and municipality of a facility, each by its code."""
    region = municipality = None
    for area in nodes(facility, "nutsArea")[:_PARTS_MAX]:
        code = identifier(word(area.get("nutsCode")))
        if not code or len(code) > limits.id_chars_max:
            continue
        if plain(word(area.get("nutsCodeType"))).casefold() in tables.LOCAL_AREAS:
            municipality = municipality or code
        else:
            region = region or code
    return region, municipality


def _time_zone(facility: Node, notes: Notes) -> str | None:
    said = plain(word(facility.get("timeZone")))
    return None if _OFFSET.fullmatch(said) else time_zones.said(said, notes)


def _images(of: Iterable[Node], notes: Notes) -> Iterator[str]:
    for node in of:
        links = as_list(node.get("photoUrl")) + [
            link
            for link in nodes(node, "informationWebsite")
            if plain(word(link.get("urlLinkType"))).casefold() == "image"
        ]
        for link in links[:_PARTS_MAX]:
            address = as_node(link).get("urlLinkAddress", link)
            kept = web_address(word(address), "picture", notes)
            if kept:
                yield kept


def _directions(station: Node, site: Node) -> Iterator[object]:
    """What describes, in words, how a place is found: the station's, the entrance's, the site's."""
    for place in (station.get("locationReference"), site.get("entrance"), site.get("locationReference")):
        yield found(place, "locationDescription")
