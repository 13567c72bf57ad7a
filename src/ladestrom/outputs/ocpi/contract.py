"""Locations of the Sender interface in the published contracts."""

from __future__ import annotations

from typing import Any, Final

from ladestrom.edges.contract.protocols import OCPI_TOKEN
from ladestrom.edges.contract.requests import LIST_FILTERS, Parameter, path_parameter
from ladestrom.edges.contract.rows import Operation, Part
from ladestrom.edges.contract.schemas import reference
from ladestrom.outputs.ocpi.edge import LIMIT_MAX

OCPI: Final = "OCPI"
PATH: Final = "/ocpi/{version}/sender/locations"
_HEADERS: Final = {"Last-Modified": "LastModified", "Ladestrom-Position": "Position"}
_COMMON: Final[dict[str, Any]] = {
    "tag": OCPI,
    "own_key": OCPI_TOKEN,
    "open_to_visitors": True,
    "answer": reference("OcpiAnswer"),
    "entity_tag": "DocumentTag",
    "cached": True,
    "refused_as": "OcpiAnswer",
}
_OBJECT: Final[dict[str, Any]] = {**_COMMON, "headers": _HEADERS}
_LOCATION: Final = ("versionPath", "offeredLocationPath")
_TIME: Final = {"type": "string", "format": "date-time"}

CONTRACT: Final = Part(
    tags={
        OCPI: (
            "Locations as an OCPI Sender offers them. A token may be that of a peer, or a key of this "
            "server; either as it is, or in Base64."
        )
    },
    operations=(
        Operation(
            **_COMMON,
            path=PATH,
            id="getSenderLocations",
            summary="OCPI: all Locations, page by page",
            description=(
                "A crawl is of one position: follow `Link`, which has the position of the first page in "
                "`at`. Locations are in an order that stays. A Location is in the list if one of its EVSEs "
                "passes all filters, and has all of its EVSEs."
            ),
            parameters=(
                "versionPath",
                *LIST_FILTERS,
                "dateFrom",
                "dateTo",
                "offset",
                "pageLimit",
                "at",
                "ifModifiedSince",
            ),
            has_pages=True,
            headers={
                **_HEADERS,
                "X-Total-Count": "TotalCount",
                "X-Limit": "PageLimit",
                "Ladestrom-Licence": "LicenceAddress",
            },
            refusals=("invalid_filter", "invalid_position", "position_lost", "not_found"),
        ),
        Operation(
            **_OBJECT,
            path=f"{PATH}/{{location_id}}",
            id="getSenderLocation",
            summary="OCPI: a Location",
            parameters=_LOCATION,
            refusals=("invalid_filter", "not_found"),
        ),
        Operation(
            **_OBJECT,
            path=f"{PATH}/{{location_id}}/{{evse_uid}}",
            id="getSenderEvse",
            summary="OCPI: an EVSE of a Location",
            parameters=(*_LOCATION, "offeredEvsePath"),
            refusals=("invalid_filter", "not_found"),
        ),
        Operation(
            **_OBJECT,
            path=f"{PATH}/{{location_id}}/{{evse_uid}}/{{connector_id}}",
            id="getSenderConnector",
            summary="OCPI: a connector of an EVSE",
            parameters=(*_LOCATION, "offeredEvsePath", "connectorIdPath"),
            refusals=("invalid_filter", "not_found"),
        ),
    ),
    parameters={
        "offeredLocationPath": path_parameter("location_id", "Id of the Location, in any case.", "NOR_01333"),
        "offeredEvsePath": path_parameter("evse_uid", "`uid` of the EVSE, in any case.", "4711"),
        "dateFrom": Parameter(
            name="date_from",
            description="Locations that were updated (`last_updated`) then or later, and those that went.",
            schema=_TIME,
            example="2026-11-22T10:00:00Z",
        ),
        "dateTo": Parameter(
            name="date_to",
            description="Locations that were updated before.",
            schema=_TIME,
            example="2026-11-23T10:00:00Z",
        ),
        "offset": Parameter(
            name="offset",
            description="How many Locations are before the page.",
            schema={"type": "integer", "minimum": 0, "maximum": 10**18 - 1},
            example=500,
        ),
        "pageLimit": Parameter(
            name="limit",
            description=f"How many Locations a page has. There are never more than {LIMIT_MAX}.",
            schema={"type": "integer", "minimum": 1, "maximum": 10**18 - 1},
            example=100,
        ),
        "at": Parameter(
            name="at",
            description="Of a `Link` of this server: the state that the page is of. Not to be made up.",
            schema={"type": "string", "pattern": r"^[A-Za-z0-9]{1,32}-[0-9]{1,18}(\.[0-9]{1,9})?$"},
            example="k3v9q2xa-481",
        ),
    },
)
