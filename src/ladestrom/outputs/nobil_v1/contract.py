"""Version 1 in the published contracts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ladestrom.core.selection import VALUES_MAX
from ladestrom.edges.contract.requests import (
    KEY_HEADERS,
    KEY_QUERY,
    TICKET,
    V1_FILTERS,
    Parameter,
    path_parameter,
)
from ladestrom.edges.contract.rows import STREAM_ANSWERS, STREAM_REFUSALS, Channel, Operation, Part
from ladestrom.edges.contract.samples import CHANGED_MS, EPOCH, SEQ, STATION
from ladestrom.edges.contract.schemas import Schema, reference
from ladestrom.outputs.nobil_v1.messages import (
    ConnectorStatus,
    HeardStatus,
    NamedConnectorStatus,
    SnapshotInit,
    StationStatus,
    StatusRaw,
    StatusUpdate,
)
from ladestrom.outputs.nobil_v1.stream import TYPES

NOBIL: Final = "NOBIL stream (version 1)"
FILTERS: Final = V1_FILTERS
STREAM: Final = (*V1_FILTERS, "types", "since")
V1_KEYS: Final = (*KEY_HEADERS, *KEY_QUERY)
V1_STATE: Final[Mapping[str, Any]] = {"tag": NOBIL, "keys": V1_KEYS, "entity_tag": "ETag", "cached": True}
STATIONS: Final[Schema] = {"type": "array", "items": reference("StationStatus")}
V1_DESCRIPTION: Final = """\
`snapshot:init` comes first, then a `status:update` for each change and a `status:raw` for each report heard.
A station's message carries the whole station, so that applying one twice does no harm. With `since`, what
was missed comes instead of the snapshot. A consumer that reads too slowly gets the newest state of each
station that changed instead of every step. What a consumer says is not looked at.
"""
_CONNECTORS: Final = (ConnectorStatus(1, 0, CHANGED_MS), ConnectorStatus(-1, 0, -1))
_NOBIL: Final = StationStatus(STATION, -1, _CONNECTORS)

OPERATIONS: Final = (
    *(
        Operation(
            path=path,
            id=name,
            tag=NOBIL,
            summary="The NOBIL stream",
            description="A WebSocket: whole stations, as they change. Both paths are the same.",
            keys=(*V1_KEYS, TICKET),
            parameters=STREAM,
            answers=STREAM_ANSWERS,
            refusals=STREAM_REFUSALS,
        )
        for path, name in (
            ("/api/v1/stream", "streamV1"),
            ("/api/v1/stream/realtime", "streamV1Realtime"),
        )
    ),
    Operation(
        **V1_STATE,
        path="/api/v1/rest/chargers",
        id="listChargers",
        summary="All stations on which some operator, present or past, may report",
        parameters=V1_FILTERS,
        answer=STATIONS,
        refusals=("invalid_filter",),
    ),
    Operation(
        **V1_STATE,
        path="/api/v1/rest/chargers/{country}",
        id="listChargersOfCountry",
        summary="All of them in one country",
        parameters=("countryPath",),
        answer=STATIONS,
        refusals=("not_found",),
    ),
    Operation(
        **V1_STATE,
        path="/api/v1/rest/charger/{uuid}",
        id="getCharger",
        summary="One station",
        parameters=("stationPath",),
        answer=reference("StationStatus"),
        refusals=("not_found",),
    ),
    Operation(
        **V1_STATE,
        path="/api/v1/rest/connector/{uuid}",
        id="getConnector",
        summary="One connector",
        parameters=("connectorPath",),
        answer=reference("NamedConnectorStatus"),
        refusals=("not_found",),
    ),
)
CHANNELS: Final = (
    *(
        Channel(
            name=name,
            path=path,
            title="The NOBIL stream",
            description=V1_DESCRIPTION,
            keys=(*KEY_HEADERS, *KEY_QUERY, TICKET),
            parameters=STREAM,
            sent=(SnapshotInit, StatusUpdate, StatusRaw),
        )
        for name, path in (
            ("streamV1", "/api/v1/stream"),
            ("streamV1Realtime", "/api/v1/stream/realtime"),
        )
    ),
)
PARAMETERS: Final[Mapping[str, Parameter]] = {
    "types": Parameter(
        name="types",
        description="Messages of these types only; all of them where it is missing.",
        schema={"type": "string", "enum": sorted(TYPES)},
        example=["snapshot", "update"],
        values_max=VALUES_MAX,
    ),
    "connectorPath": path_parameter(
        "uuid",
        "The station's uuid, `_`, and the connector's number from 1 with at least two digits.",
        "NOR_01333_01",
    ),
    "countryPath": path_parameter(
        "country",
        "NOR, SWE, FIN or DAN as NOBIL writes them, or an ISO 3166-1 alpha-3 or alpha-2 code.",
        "NOR",
    ),
}
SAMPLES: Final = (
    _NOBIL,
    NamedConnectorStatus(f"{STATION}_01", 1, 0, CHANGED_MS),
    SnapshotInit(EPOCH, SEQ - 1, (_NOBIL,)),
    StatusUpdate(EPOCH, SEQ, _NOBIL),
    StatusRaw(1, HeardStatus(STATION, 0, 1, 0, CHANGED_MS)),
)

CONTRACT: Final = Part(
    tags={NOBIL: "What consumers of the NOBIL real-time stream API (2013 to 2017) code against."},
    operations=OPERATIONS,
    channels=CHANNELS,
    parameters=PARAMETERS,
    sent=(StationStatus, NamedConnectorStatus),
    samples=SAMPLES,
)
