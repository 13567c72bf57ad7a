"""REST of version 2 in the published contracts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ladestrom.core.access import Scope
from ladestrom.edges.contract.requests import LIST_FILTERS, Parameter, path_parameter
from ladestrom.edges.contract.rows import STATE, Operation, Part, link
from ladestrom.edges.contract.samples import CHANGED_AT, EVSE, OBSERVED_AT, OPERATOR, POSITION, SEQ, STATION
from ladestrom.edges.contract.schemas import reference
from ladestrom.formats.evse_state import EvseState
from ladestrom.formats.station_record import Position
from ladestrom.model import Cause, Connector, Status
from ladestrom.outputs.rest_v2.encoder import StationDetail
from ladestrom.outputs.rest_v2.lists import LIMIT, LIMIT_MAX, WALK_MINUTES_MAX, EvsePage, StationPage
from ladestrom.record import Access, Contact, Format, Hours, Opening, Payment, PowerType, Vehicle

V2_STATE: Final[Mapping[str, Any]] = {"tag": STATE, "entity_tag": "WeakETag", "cached": True}
_STATE: Final = EvseState(
    evse=EVSE,
    station=STATION,
    status=Status.CHARGING,
    error=0,
    changed_at=CHANGED_AT,
    source=OPERATOR,
    raw="CHARGING",
    connectors=(Connector("IEC_62196_T2_COMBO", 150.0, Format.CABLE, PowerType.DC),),
    label="3",
    max_kw=150.0,
    cause=Cause.REPORTED.value,
    uid="7381cc78-a032-4f23-a46f-3e0ebe4590ff",
    observed_at=OBSERVED_AT,
)
_DETAIL: Final = StationDetail(
    uuid=STATION,
    revision=SEQ - 1,
    name="Torget",
    operator=OPERATOR,
    country="NOR",
    position=Position(59.91, 10.75),
    address="Torget 1",
    city="Oslo",
    register="nobil",
    native_id=STATION,
    time_zone="Europe/Oslo",
    opening=Opening(hours=tuple(Hours(day, "07:00", "23:00") for day in range(1, 7))),
    access=Access.PUBLIC,
    payment=Payment(free=False, card=True, ad_hoc=True),
    vehicles=(Vehicle.CAR,),
    contact=Contact(phone="+47 00 00 00 00", web="https://example.org"),
    directions="Behind the town hall",
    derived=("time_zone",),
    vanished_at=None,
    evses=(_STATE,),
)

OPERATIONS: Final = (
    Operation(
        **V2_STATE,
        path="/api/v2/stations",
        id="listStations",
        also=Scope.REPORT,
        description=(
            "A station is listed where one of its EVSEs meets all filters by itself: free, CCS and 150 kW is "
            "one EVSE. With a key that only reports: what its operator may report on."
        ),
        summary="Stations, a page at a time, in order of their uuids",
        parameters=(*LIST_FILTERS, "limit", "cursor"),
        has_pages=True,
        answer=reference("StationPage"),
        links={
            "next": link("listStations", "cursor", "$response.body#/next", "The next page."),
            "station": link("getStation", "uuid", "$response.body#/items/0/uuid", "One of the stations."),
        },
        refusals=("bad_request", "invalid_filter"),
    ),
    Operation(
        **V2_STATE,
        path="/api/v2/stations/{uuid}",
        open_to_visitors=True,
        id="getStation",
        summary="One station of the registry, with its EVSEs; one that vanished says since when",
        parameters=("stationPath",),
        answer=reference("StationDetail"),
        links={"evse": link("getEvse", "evse", "$response.body#/evses/0/evse", "One of its EVSEs.")},
        refusals=("not_found", "invalid_filter"),
    ),
    Operation(
        **V2_STATE,
        path="/api/v2/evses",
        id="listEvses",
        also=Scope.REPORT,
        description=(
            "An EVSE is listed where it meets all filters by itself. With a key that only reports: what its "
            "operator may report on."
        ),
        summary="EVSEs, a page at a time, station by station",
        parameters=(*LIST_FILTERS, "limit", "cursor"),
        has_pages=True,
        answer=reference("EvsePage"),
        links={
            "next": link("listEvses", "cursor", "$response.body#/next", "The next page."),
            "evse": link("getEvse", "evse", "$response.body#/items/0/evse", "One of the EVSEs."),
        },
        refusals=("bad_request", "invalid_filter"),
    ),
    Operation(
        **V2_STATE,
        path="/api/v2/evses/{evse}",
        open_to_visitors=True,
        id="getEvse",
        summary="One EVSE, by any written form of its EVSE id, by its registry key, or by its uid",
        description="409 where a uid is that of several EVSEs; their ids are told.",
        parameters=("evsePath",),
        answer=reference("EvseState"),
        links={"station": link("getStation", "uuid", "$response.body#/station", "Its station.")},
        refusals=("not_found", "conflict", "invalid_filter"),
    ),
)
PARAMETERS: Final[Mapping[str, Parameter]] = {
    "limit": Parameter(
        name="limit",
        description="Most items of a page. One of EVSEs ends with a whole station, and may have some more.",
        schema={"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT},
        example=LIMIT,
    ),
    "cursor": Parameter(
        name="cursor",
        description=(
            "`next` of the page before. A page is of the moment in which it is asked for. What is `open_now` "
            f"is of the minute of the first page; then a cursor is good for {WALK_MINUTES_MAX} minutes."
        ),
        schema={"type": "string", "pattern": "^[A-Za-z0-9_-]+={0,2}$"},
        example="Tk9SXzAxMzMz",
    ),
    "evsePath": path_parameter(
        "evse",
        "Id or uid of the EVSE, however written: `NO*FJL*E1234`, `nofjle1234`, `NO-FJL-E1234`.",
        "NO*FJL*E1234",
    ),
}
SAMPLES: Final = (
    _STATE,
    _DETAIL,
    StationPage(POSITION, [_DETAIL], "Tk9SXzAxMzMz"),
    EvsePage(POSITION, [_STATE], None),
)

CONTRACT: Final = Part(
    operations=OPERATIONS,
    parameters=PARAMETERS,
    sent=(StationPage, StationDetail, EvsePage, EvseState),
    samples=SAMPLES,
    names={"GeoPoint": "Place"},
)
