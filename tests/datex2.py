"""Publications of DATEX II of some stations, as the server makes them, and the schemas that they are held against.

The schemas are not part of the project: tests that need them are skipped where they are not.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import jsonschema_rs
import msgspec
from lxml import etree
from tests.building import NOW

from ladestrom.model import Change, Position, Station
from ladestrom.outputs.datex2 import publication, statuses, table, xml
from ladestrom.outputs.datex2.publication import Exchange, Making, Publisher
from ladestrom.outputs.datex2.statuses import Said
from ladestrom.record import (
    Access,
    Accessibility,
    Contact,
    Details,
    Hours,
    Id,
    Opening,
    Payment,
    Place,
    Span,
    Vehicle,
)

SCHEMAS: Final = "reference/datex2"
JSON_ROOTS: Final = {"table": "DATEXII_3_D2Payload.json", "status": "DATEXII_3_MessageContainer.json"}
MAKING: Final = Making(Publisher("NO", "NO-NAP-HUB"), NOW, Position("abc", 77), 70)
DELTA: Final = msgspec.structs.replace(MAKING, exchange=Exchange.DELTA)
REVISION: Final = 7

DETAILS: Final = Details(
    access=Access.VISITORS,
    access_text="Key at the reception",
    accessibility=Accessibility.RESERVED,
    vehicles=tuple(Vehicle),
    max_height_m=2.1,
    payment=Payment(free=False, card=True, contactless=True, ad_hoc=True, other=False),
    tariff_text="0,39 €/kWh",
    reservable=True,
    ids=(Id("irve-local", "17"), Id("ocpi", "NO/ABC/1")),
    brand="Fjordlys",
    owner="Moss kommune",
    contact=Contact(phone="+47 12 34 56 78", email="post@example.org", web="https://example.org/ø?a[]=1#b#c"),
    postal_code="1530",
    municipality="Moss",
    municipality_code="3103",
    region="Østfold",
    time_zone="Europe/Oslo",
    opening=Opening(
        hours=(Hours(1, "07:00", "24:00"), Hours(2, "07:00", "24:00"), Hours(6, "22:00", "02:00")),
        openings=(Span("2026-12-24T08:00:00Z", "2026-12-24T12:00:00Z"),),
        closings=(Span("2026-12-25T00:00:00Z", "2026-12-26T00:00:00Z"),),
        text="By arrangement",
    ),
    place=Place.UNDERGROUND_GARAGE,
    parking_fee=True,
    time_limit_min=120,
    images=("https://example.org/100%/a.jpg",),
    directions="Second floor, behind the lift",
    licence="CC-BY-4.0",
    attribution="NOBIL",
    derived=("time_zone",),
)
"""A record that says everything."""


def tables(
    stations: Iterable[Station], revision: int = REVISION, making: Making = MAKING
) -> tuple[bytes, bytes]:
    """The table, as JSON and as XML."""
    found = list(stations)
    sites = [
        msgspec.json.encode(table.site(station, revision, station.evses, is_xml=False)) for station in found
    ]
    elements = [
        xml.element("energyInfrastructureSite", table.site(station, revision, station.evses, is_xml=True))
        for station in found
    ]
    return (
        publication.table_json(making) + b",".join(sites) + publication.TABLE_JSON_END,
        publication.table_xml(making) + "".join(elements).encode() + publication.TABLE_XML_END,
    )


def status_publications(
    stations: Iterable[Station], changes: Mapping[str, Change], making: Making = MAKING
) -> tuple[bytes, bytes]:
    """The status publication, as JSON and as XML; `changes` are by EVSE key."""
    found: list[tuple[Station, Sequence[Said]]] = [
        (station, [statuses.said(evse, changes[evse.key]) for evse in station.evses if evse.key in changes])
        for station in stations
    ]
    return (
        publication.statuses_json(making)
        + b",".join(statuses.as_json(station.uuid, REVISION, said) for station, said in found)
        + publication.STATUSES_JSON_END,
        publication.statuses_xml(making)
        + b"".join(statuses.as_xml(station.uuid, REVISION, said) for station, said in found)
        + publication.statuses_xml_end(making),
    )


def fault(shared: Path, kind: str, body: bytes) -> str | None:
    """What is wrong with a publication, a `table` or a `status`, by its schema; None where nothing is."""
    if body[:1] == b"<":
        document = etree.fromstring(body)
        if etree.QName(document).localname == "messageContainer":
            document = _payload(document)
        schema = _xsd(shared, kind)
        return None if schema.validate(document) else str(schema.error_log.last_error)
    error = next(_json_schema(shared, kind).iter_errors(json.loads(body)), None)
    return None if error is None else f"{list(error.instance_path)}: {error.message}"


def _payload(container: Any) -> Any:
    """A container's payload, as the document that the schema of payloads is for."""
    inner = container.find("{http://datex2.eu/schema/3/messageContainer}payload")
    inner.tag = "{http://datex2.eu/schema/3/d2Payload}payload"
    return etree.fromstring(etree.tostring(inner))


@lru_cache
def _xsd(shared: Path, kind: str) -> Any:
    return etree.XMLSchema(etree.parse(shared / SCHEMAS / "v3.5-xsd" / kind / "DATEXII_3_D2Payload.xsd"))


@lru_cache
def _json_schema(shared: Path, kind: str) -> Any:
    folder = shared / SCHEMAS / "v3.5-afir-json" / kind
    found = {path.name: json.loads(path.read_text()) for path in folder.glob("*.json")}
    registry = jsonschema_rs.Registry([(f"json-schema:///{name}", found[name]) for name in found])
    return jsonschema_rs.Draft202012Validator(found[JSON_ROOTS[kind]], registry=registry)
