"""What whoever looks asks for, in the published contracts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ladestrom.edges.contract.requests import Parameter
from ladestrom.edges.contract.rows import LOOKING, Operation, Part, link
from ladestrom.edges.contract.samples import CHANGED_AT, EVSE, OBSERVED_AT, OPERATOR, POSITION, STATION
from ladestrom.edges.contract.schemas import reference
from ladestrom.model import Status
from ladestrom.outputs.map.aggregates import HOURS_MAX
from ladestrom.outputs.map.encoder import (
    Consumers,
    EvseClass,
    EvseHistory,
    Groups,
    HistorySegment,
    MapOpening,
    MapState,
    MapStations,
    MapTexts,
    Overview,
    PlaceActivity,
    StationHistory,
)
from ladestrom.record import Access, Hours, Vehicle

REVISION: Final = 120_519_233_018_752
_CLASS: Final = EvseClass(150, [(0, 150)], Access.PUBLIC, ("card", "ad_hoc"), (Vehicle.CAR,))
_OPENING: Final = MapOpening("Europe/Oslo", hours=(Hours(1, "07:00", "22:00"),), more=True)
_MAP_STATIONS: Final = MapStations(
    revision=REVISION,
    operators=[OPERATOR],
    standards=["IEC_62196_T2_COMBO", "CHADEMO"],
    countries=["NOR"],
    uuid=[STATION],
    name=["Torget"],
    city=["Oslo"],
    lon=[1_075_000],
    lat=[5_991_000],
    operator=[0],
    country=[0],
    power_kw=[150],
    standard=[3],
    evses=[3],
    opening=[0],
    openings=[_OPENING],
    classes=[_CLASS, EvseClass(50, [(1, 50)])],
    evse_class=[0, 0, 1],
    named=[EVSE],
)

_PLACE: Final = PlaceActivity("NOR", "Oslo", 1, 3, 2, 9, 10.75, 59.91)
_OVERVIEW: Final = Overview(
    position=POSITION,
    at=OBSERVED_AT,
    started_at=CHANGED_AT,
    stations=1,
    evses=3,
    statuses={**dict.fromkeys(Status, 0), Status.AVAILABLE: 1, Status.CHARGING: 2},
    errors=0,
    groups=Groups(1, 2, 0, 0),
    consumers=Consumers(3, 1, 1, 1),
    visitors=1,
    changes_total=9,
    seconds=[*[0] * 119, 1],
    minutes=[*[0] * 59, 9],
    tens=[*[0] * 143, 9],
    hours=[*[0] * 167, 9],
    kept_from=None,
    places=[_PLACE],
)
_SEGMENTS: Final = [
    HistorySegment("2026-11-22T09:12:30.000Z", Status.AVAILABLE, 0),
    HistorySegment(CHANGED_AT, Status.CHARGING, 0),
]
_HISTORY: Final = StationHistory(
    station=STATION,
    from_="2026-11-21T10:04:12.000Z",
    until="2026-11-22T10:04:12.000Z",
    position=POSITION,
    complete_from="2026-11-22T09:30:00.000Z",
    evses=[EvseHistory(EVSE, _SEGMENTS)],
)


OPERATIONS: Final = (
    Operation(
        path="/api/v2/map/stations",
        id="listMapStations",
        tag=LOOKING,
        summary="All stations of the board, in columns: what does not change with statuses",
        description=(
            "Row i of each column is the same station. `classes` has what EVSEs have in common, `evse_class` "
            "the class of each EVSE, station by station, and `named` the names of EVSEs whose class is not "
            "that of their station's first one. Packed once for each state of the registry; while "
            "that changes all the time, it may be some seconds old."
        ),
        open_to_visitors=True,
        answer=reference("MapStations"),
        entity_tag="ColumnsTag",
        cached=True,
        refusals=("invalid_filter",),
    ),
    Operation(
        path="/api/v2/map/texts",
        id="listMapTexts",
        tag=LOOKING,
        summary="What stations are searched by: addresses, postal codes, municipalities, ids",
        description="Rows are those of `/api/v2/map/stations` with the same `revision`.",
        open_to_visitors=True,
        answer=reference("MapTexts"),
        entity_tag="ContentTag",
        cached=True,
        refusals=("invalid_filter",),
    ),
    Operation(
        path="/api/v2/map",
        id="getMap",
        tag=LOOKING,
        summary="EVSEs of each station by what a driver can do with them, at one position",
        description=(
            "Rows are those of `/api/v2/map/stations` with the same `revision`. An EVSE with an error, "
            "INOPERATIVE or OUTOFORDER is faulty; CHARGING, BLOCKED and RESERVED are occupied; PLANNED and "
            "REMOVED are not counted. `evse_groups` has a digit for each EVSE, in the order of "
            "`evse_class`: 0 to 3 for these groups, 4 where it is not counted. A stream with `mode=every` "
            "and `since` of this position tells each change that follows."
        ),
        open_to_visitors=True,
        answer=reference("MapState"),
        refusals=("invalid_filter",),
    ),
    Operation(
        path="/api/v2/overview",
        id="getOverview",
        tag=LOOKING,
        summary="The whole board in numbers, and how much goes on",
        description="Made once a second at most; what it says of places may be ten seconds old.",
        open_to_visitors=True,
        answer=reference("Overview"),
        refusals=("invalid_filter",),
    ),
    Operation(
        path="/api/v2/stations/{uuid}/history",
        id="getHistory",
        tag=LOOKING,
        summary="What the EVSEs of a station were in the last hours",
        description=(
            "Segments in order, each until the next; the first one holds at `from`, or at `complete_from` "
            "where that is later. A change counts from when it was observed. REMOVED is what was not there."
        ),
        open_to_visitors=True,
        parameters=("stationPath", "hours"),
        answer=reference("StationHistory"),
        links={"station": link("getStation", "uuid", "$response.body#/station", "The station.")},
        refusals=("not_found", "bad_request", "invalid_filter"),
    ),
)
PARAMETERS: Final[Mapping[str, Parameter]] = {
    "hours": Parameter(
        name="hours",
        description="How far back.",
        schema={"type": "integer", "minimum": 1, "maximum": HOURS_MAX, "default": HOURS_MAX},
        example=6,
    ),
}
SAMPLES: Final = (
    _MAP_STATIONS,
    _CLASS,
    _OPENING,
    _OVERVIEW,
    _OVERVIEW.groups,
    _OVERVIEW.consumers,
    _PLACE,
    _HISTORY,
    _HISTORY.evses[0],
    _SEGMENTS[0],
    MapTexts(REVISION, ["Torget 1"], ["0150"], ["Oslo 0301"], [STATION]),
    MapState(POSITION, REVISION, OBSERVED_AT, [1], [2], [0], [0], "011"),
)

CONTRACT: Final = Part(
    tags={
        LOOKING: (
            "What the page shows: the map, what goes on, what was. Without a key where visitors are let in."
        )
    },
    operations=OPERATIONS,
    parameters=PARAMETERS,
    sent=(MapStations, MapTexts, MapState, Overview, StationHistory),
    samples=SAMPLES,
)
