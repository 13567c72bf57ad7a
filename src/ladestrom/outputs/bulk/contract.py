"""Files of stations and EVSEs in the published contracts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from ladestrom.edges.contract.documents import DOCUMENTS, DOCUMENTS_TEXT, document
from ladestrom.edges.contract.rows import Part
from ladestrom.edges.contract.samples import CHANGED_AT, EPOCH, EVSE, OBSERVED_AT, OPERATOR, SEQ, STATION
from ladestrom.edges.contract.schemas import Schema, reference
from ladestrom.edges.contract.words import Word
from ladestrom.formats.evse_state import EvseState
from ladestrom.model import Cause, Connector, Status
from ladestrom.outputs.bulk.columns import COUNTS, CSV, EVSE_COLUMNS, STATION_COLUMNS, row
from ladestrom.outputs.bulk.encoder import (
    GEOJSON,
    NDJSON,
    Point,
    StationCollection,
    StationFeature,
    StationProperties,
)

_PROPERTIES: Final = StationProperties(
    uuid=STATION,
    revision=SEQ - 1,
    name="Torget",
    operator=OPERATOR,
    country="NOR",
    address="Torget 1",
    city="Oslo",
    register="nobil",
    native_id=STATION,
    max_kw=150.0,
    connectors=("CHADEMO", "IEC_62196_T2_COMBO"),
    evses=3,
    available=1,
    blocked=0,
    charging=2,
    inoperative=0,
    outoforder=0,
    reserved=0,
    unknown=0,
)
_POINT: Final = Point("Point", (10.75, 59.91))
_FEATURE: Final = StationFeature("Feature", STATION, _POINT, _PROPERTIES)
_COLLECTION: Final = StationCollection(
    "FeatureCollection", EPOCH, SEQ, [_FEATURE], (10.75, 59.91, 10.75, 59.91)
)
_STATE: Final = EvseState(
    evse=EVSE,
    station=STATION,
    status=Status.CHARGING,
    error=0,
    changed_at=CHANGED_AT,
    source=OPERATOR,
    raw="CHARGING",
    connectors=(Connector("IEC_62196_T2_COMBO", 150.0),),
    cause=Cause.REPORTED.value,
    uid=None,
    observed_at=OBSERVED_AT,
)


def _text(media_type: str, example: str) -> Mapping[str, Schema]:
    return {media_type: {"schema": {"type": "string"}, "example": example}}


def _shown(told: Any) -> str:  # noqa: ANN401 - any object that is sent
    return msgspec.json.encode(told).decode()


OPERATIONS: Final = (
    document(
        path="/api/v2/stations.geojson",
        name="getStationsGeoJson",
        summary="All stations as GeoJSON, with numbers of EVSEs by status",
        description=(
            "Each station with an EVSE that passes all filters; its numbers are of all of its EVSEs. `epoch` "
            "and `seq` are foreign members: the position at which what was selected became what it is."
        ),
        content={GEOJSON: {"schema": reference("StationCollection")}},
    ),
    document(
        path="/api/v2/stations.csv",
        name="getStationsCsv",
        summary="All stations as CSV, with numbers of EVSEs by status",
        description=(
            "As the GeoJSON file. A text that a spreadsheet would take for a formula begins with `'`."
        ),
        content=_text(CSV, row(STATION_COLUMNS)),
    ),
    document(
        path="/api/v2/evses.csv",
        name="getEvsesCsv",
        summary="All EVSEs as CSV",
        description=(
            "Each EVSE that passes all filters, with what is most asked for of its station. A text that a "
            "spreadsheet would take for a formula begins with `'`."
        ),
        content=_text(CSV, row(EVSE_COLUMNS)),
    ),
    document(
        path="/api/v2/evses.ndjson",
        name="getEvsesLines",
        summary="All EVSEs as JSON lines",
        description="Each EVSE that passes all filters: the objects of `/api/v2/evses`, one a line.",
        content=_text(NDJSON, _shown(_STATE) + "\n"),
    ),
)

CONTRACT: Final = Part(
    tags={DOCUMENTS: DOCUMENTS_TEXT},
    operations=OPERATIONS,
    sent=(StationCollection,),
    samples=(_COLLECTION, _FEATURE, _POINT, _PROPERTIES),
    words={
        "StationCollection.seq": Word("Sequence of the last change that is in it.", {"minimum": 0}),
        "features": Word("The stations, in order of their uuids."),
        "bbox": Word("West, south, east and north of them all; absent where there is none."),
        "geometry": Word("Where it is."),
        "properties": Word("What is known of it."),
        "coordinates": Word("Longitude, latitude; degrees, WGS 84."),
        **{
            f"StationProperties.{status}": Word(f"EVSEs that are {status.upper()}.", {"minimum": 0})
            for status in COUNTS
        },
        "StationProperties.evses": Word("EVSEs that are listed.", {"minimum": 0}),
        "StationProperties.max_kw": Word("Power of its strongest EVSE, kW."),
        "StationProperties.connectors": Word("ConnectorType of OCPI 2.2.1 of its plugs, each once."),
        "StationFeature.id": Word("The station's uuid."),
    },
)
