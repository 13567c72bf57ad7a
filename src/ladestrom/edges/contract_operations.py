"""Every HTTP operation, as one table: what is asked, who may, what comes back, what it may be refused with.

A route of the server has a row here, and a row has a route.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST

from ladestrom.core.access import Scope
from ladestrom.edges.contract_asyncapi import SERVER_SENT, type_of
from ladestrom.edges.contract_requests import (
    KEY_HEADERS,
    KEY_QUERY,
    TICKET,
    V1_FILTERS,
    V1_STREAM,
    V2_FILTERS,
    V2_STREAM,
)
from ladestrom.edges.contract_served import ASYNCAPI_TYPE, JSON, OPENAPI_TYPE
from ladestrom.edges.keys import BODY_BYTES_MAX
from ladestrom.edges.v2 import EVENTS_PATH, STREAM_PATH
from ladestrom.formats.contract_schemas import POSITION, Schema, reference

NOBIL: Final = "NOBIL stream (version 1)"
STATE: Final = "State and streams (version 2)"
LOOKING: Final = "Looking"
REPORTING: Final = "Reports"
PROTOCOLS: Final = "Reports in other protocols"
OWN_KEYS: Final = "Keys"
OPERATION: Final = "Operation"
TAGS: Final = {
    NOBIL: "What consumers of the NOBIL real-time stream API (2013 to 2017) code against.",
    STATE: "Stations and EVSEs as they are, and the streams of what changes.",
    LOOKING: "What the page shows: the map, what goes on, what was. Without a key where visitors are let in.",
    REPORTING: "Where operators deliver.",
    PROTOCOLS: "OICP, IRVE dynamique, the French national API, DATEX II, OCPI and OCPP.",
    OWN_KEYS: "Whoever wants to read gets a key, where the server gives them out, and looks after it.",
    OPERATION: "For those who run the server, and for programs that read contracts.",
}

STREAM_REFUSALS: Final = (
    "bad_handshake",
    "invalid_filter",
    "invalid_position",
    "upgrade_required",
    "overloaded",
)
STREAM_ANSWERS: Final[Mapping[int, Schema]] = {
    101: {"description": "Switched to WebSocket; `/asyncapi.json` describes the messages."}
}


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One row: what is asked, who may, and what comes back."""

    path: str
    method: str = "get"
    id: str
    tag: str
    summary: str
    description: str = ""
    scope: Scope | None = Scope.STREAM
    keys: tuple[str, ...] = KEY_HEADERS
    of_any_scope: bool = False
    """Whether a key of whatever scope is good."""
    also: Scope | None = None
    """Another scope that is enough, for less."""
    open_to_visitors: bool = False
    """Whether one needs no key where visitors are let in."""
    parameters: tuple[str, ...] = ()
    body: Schema | None = None
    """Request Body Object, where there is one and it is always the same."""
    content: Mapping[str, Schema] = {}
    """Of a body with the limits of reports: Media Type Objects by media type."""
    status: int = 200
    """Of what is answered where all is well."""
    answer: Schema | None = None
    """Schema of what it brings then, as JSON."""
    answers: Mapping[int, Schema] = {}
    """Response Objects beside or instead of it."""
    entity_tag: str = ""
    """Which of the headers that are described is its ETag; empty: it has none that says the position."""
    cached: bool = False
    """Whether If-None-Match is honoured."""
    has_pages: bool = False
    links: Mapping[str, Schema] = {}
    refusals: tuple[str, ...] = ()
    """Codes beyond those that every operation has, and those of keys."""
    refused_as: str = ""
    """Component that refusals are, where the path's protocol has its own; empty: problem details."""
    own_key: str = ""
    """Security scheme of what is needed in place of a key of this server."""


def _link(operation: str, parameter: str, expression: str, description: str) -> Schema:
    return {"operationId": operation, "parameters": {parameter: expression}, "description": description}


def _json(schema: Schema, description: str) -> Schema:
    return {"description": description, "content": {JSON: {"schema": schema}}}


def _text(media_type: str, description: str, example: str) -> Schema:
    content = {media_type: {"schema": {"type": "string"}, "example": example}}
    return {"description": description, "content": content}


EVENT: Final[Schema] = {
    "type": "object",
    "properties": {
        "id": {
            "type": "string",
            "description": "Position of a consumer that has taken the event; missing where it stays.",
            "pattern": POSITION,
        },
        "event": {"type": "string", "enum": [type_of(kind) for kind in SERVER_SENT]},
        "data": {
            "type": "string",
            "contentMediaType": JSON,
            "contentSchema": {"oneOf": [reference(kind.__name__) for kind in SERVER_SENT]},
        },
    },
    "required": ["event", "data"],
}

V1_KEYS: Final = (*KEY_HEADERS, *KEY_QUERY)
V1_STATE: Final[Mapping[str, Any]] = {"tag": NOBIL, "keys": V1_KEYS, "entity_tag": "ETag", "cached": True}
ADMIN: Final[Mapping[str, Any]] = {"tag": OPERATION, "scope": Scope.ADMIN}
V2_STATE: Final[Mapping[str, Any]] = {"tag": STATE, "entity_tag": "WeakETag", "cached": True}
ENDED: Final[Mapping[int, Schema]] = {204: {"description": "It has ended; its connections are cut."}}
KEY_BODY: Final[Schema] = {
    "required": True,
    "description": f"Who wants a key; at most {BODY_BYTES_MAX} bytes.",
    "content": {
        JSON: {
            "schema": reference("KeyRequest"),
            "examples": {
                "short": {"value": {"name": "My charging map"}},
                "whole": {
                    "value": {
                        "name": "My charging map",
                        "email": "name@example.org",
                        "purpose": "shows free chargers along a route",
                    }
                },
            },
        }
    },
}
STATIONS: Final[Schema] = {"type": "array", "items": reference("StationStatus")}

TAKING: Final = (
    "malformed_body",
    "body_timeout",
    "too_large",
    "unsupported_encoding",
    "idempotency_conflict",
    "overloaded",
    "log_failure",
    "log_misplaced",
    "partly_taken",
    "not_ready",
)
"""What a delivery may be refused with, whatever the protocol."""
TAKEN_WITH: Final = ("dry_run", "idempotencyKey", "contentEncoding")
"""Parameters of a delivery, whatever the protocol."""

OPERATIONS: Final = (
    *(
        Operation(
            path=path,
            id=name,
            tag=NOBIL,
            summary="The NOBIL stream",
            description="A WebSocket: whole stations, as they change. Both paths are the same.",
            keys=(*V1_KEYS, TICKET),
            parameters=V1_STREAM,
            answers=STREAM_ANSWERS,
            refusals=STREAM_REFUSALS,
        )
        for path, name in (("/api/v1/stream", "streamV1"), ("/api/v1/stream/realtime", "streamV1Realtime"))
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
    Operation(
        path=STREAM_PATH,
        id="streamV2",
        tag=STATE,
        summary="The stream, version 2",
        description="A WebSocket: a snapshot, then every change, chained and provable.",
        keys=(*KEY_HEADERS, TICKET),
        parameters=V2_STREAM,
        answers=STREAM_ANSWERS,
        refusals=("bad_request", *STREAM_REFUSALS),
    ),
    Operation(
        path=EVENTS_PATH,
        id="eventsV2",
        tag=STATE,
        summary="The stream, version 2, as server-sent events",
        description=(
            "The messages of `/api/v2/stream`, one an event: `event` is the message's type, `id` the "
            "position after it, `data` the message. The answer ends with the connection; the last event, "
            "`close`, says why. `/asyncapi.json` describes the messages."
        ),
        keys=(*KEY_HEADERS, TICKET),
        parameters=(*V2_STREAM, "lastEventId"),
        answers={
            200: {
                "description": "Events, without end. The schema is that of one.",
                "content": {"text/event-stream": {"schema": EVENT}},
            }
        },
        refusals=("invalid_filter", "invalid_position", "overloaded"),
    ),
    Operation(
        **V2_STATE,
        path="/api/v2/stations",
        id="listStations",
        also=Scope.REPORT,
        description="With a key that only reports: what its operator may report on.",
        summary="Stations, a page at a time, in order of their uuids",
        parameters=(*V2_FILTERS, "limit", "cursor"),
        has_pages=True,
        answer=reference("StationPage"),
        links={
            "next": _link("listStations", "cursor", "$response.body#/next", "The next page."),
            "station": _link("getStation", "uuid", "$response.body#/items/0/uuid", "One of the stations."),
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
        links={"evse": _link("getEvse", "evse", "$response.body#/evses/0/evse", "One of its EVSEs.")},
        refusals=("not_found", "invalid_filter"),
    ),
    Operation(
        **V2_STATE,
        path="/api/v2/evses",
        id="listEvses",
        also=Scope.REPORT,
        description="With a key that only reports: what its operator may report on.",
        summary="EVSEs, a page at a time, station by station",
        parameters=(*V2_FILTERS, "limit", "cursor"),
        has_pages=True,
        answer=reference("EvsePage"),
        links={
            "next": _link("listEvses", "cursor", "$response.body#/next", "The next page."),
            "evse": _link("getEvse", "evse", "$response.body#/items/0/evse", "One of the EVSEs."),
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
        links={"station": _link("getStation", "uuid", "$response.body#/station", "Its station.")},
        refusals=("not_found", "conflict", "invalid_filter"),
    ),
    Operation(
        path="/api/v2/operators",
        open_to_visitors=True,
        id="listOperators",
        tag=STATE,
        summary="Who reports, and how freshly",
        description="It has no `ETag`: counters move with each report.",
        answer={"type": "array", "items": reference("OperatorFreshness")},
        refusals=("invalid_filter",),
    ),
    Operation(
        path="/api/v2/page",
        id="getPage",
        tag=LOOKING,
        summary="What a page has to know of its server before it asks for anything else",
        scope=None,
        answer=reference("PageInfo"),
        refusals=("invalid_filter",),
    ),
    Operation(
        path="/api/v2/map/stations",
        id="listMapStations",
        tag=LOOKING,
        summary="All stations of the board, in columns: what does not change with statuses",
        description=(
            "Row i of each column is the same station. Packed once for each state of the registry; while "
            "that changes all the time, it may be some seconds old."
        ),
        open_to_visitors=True,
        answer=reference("MapStations"),
        entity_tag="ColumnsTag",
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
            "REMOVED are not counted. A stream with `mode=every` and `since` of this position tells each "
            "change that follows."
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
        links={"station": _link("getStation", "uuid", "$response.body#/station", "The station.")},
        refusals=("not_found", "bad_request", "invalid_filter"),
    ),
    Operation(
        path="/api/v2/tickets",
        open_to_visitors=True,
        method="post",
        id="createTicket",
        tag=STATE,
        summary="A single-use ticket for a stream",
        description=(
            "For pages in browsers, which cannot send a key in a header of a stream's request. The ticket is "
            "for pages of the origin that asks. The request has no body. Where visitors are let in, pages of "
            "the server itself get one without a key."
        ),
        answer=reference("Ticket"),
        refusals=("invalid_filter",),
    ),
    Operation(
        path="/api/v2/operators/self",
        id="getOwnOperator",
        tag=REPORTING,
        summary="The operator whose key it is: its rights, what they cover, and how fresh its reports are",
        scope=Scope.REPORT,
        answer=reference("OwnOperator"),
    ),
    Operation(
        path="/api/v2/operators/self/refusals",
        id="listOwnRefusals",
        tag=REPORTING,
        summary="What the operator was refused: the last 1,000 items since the server started",
        scope=Scope.REPORT,
        answer=reference("RefusedItems"),
    ),
    Operation(
        path="/api/v2/reports",
        method="post",
        id="sendReports",
        tag=REPORTING,
        summary="One report or a list of them",
        description=(
            "Answered once what was accepted is durable. A bad item is refused by its place and costs no "
            "other. The newest observation wins and repetitions change nothing: whenever in doubt, send the "
            "same again."
        ),
        scope=Scope.REPORT,
        parameters=TAKEN_WITH,
        answer=reference("Receipt"),
        refusals=("bad_request", *TAKING),
    ),
    Operation(
        path="/api/v2/reports/stream",
        id="streamReports",
        tag=REPORTING,
        summary="Reports over a WebSocket",
        description="Each message is answered by its receipt, in order; you need not wait for one.",
        scope=Scope.REPORT,
        answers=STREAM_ANSWERS,
        refusals=("bad_handshake", "upgrade_required"),
    ),
    Operation(
        path="/api/v2/keys",
        method="post",
        id="createKey",
        tag=OWN_KEYS,
        summary="A key that reads, for whoever asks",
        description=(
            "Where the server gives out keys: good at once, or once somebody has approved it; until then it "
            "is refused with `key_pending`. Pages of other origins may not. An address gets so many an hour."
        ),
        scope=None,
        body=KEY_BODY,
        status=201,
        answer=reference("MadeKey"),
        refusals=(
            "keys_closed",
            "not_allowed",
            "malformed_body",
            "too_large",
            "unsupported_media_type",
            "not_ready",
        ),
    ),
    Operation(
        path="/api/v2/keys/self",
        id="getOwnKey",
        tag=OWN_KEYS,
        summary="The key that the request carries: what it is good for, and what was done with it",
        description="A key that waits to be approved is told so here.",
        of_any_scope=True,
        answer=reference("OwnKey"),
    ),
    Operation(
        path="/api/v2/keys/self",
        method="delete",
        id="endOwnKey",
        tag=OWN_KEYS,
        summary="Ends the key that the request carries, for good",
        of_any_scope=True,
        status=204,
        answers=ENDED,
        refusals=("not_ready",),
    ),
    Operation(
        path="/api/v2/keys/self/rotate",
        method="post",
        id="rotateOwnKey",
        tag=OWN_KEYS,
        summary="A second key with the same rights; the one that the request carries ends a day later",
        description="The new one expires when the old one was to. The request has no body.",
        of_any_scope=True,
        status=201,
        answer=reference("RotatedKey"),
        refusals=("not_ready",),
    ),
    Operation(
        **ADMIN,
        path="/api/v2/keys",
        id="listKeys",
        summary="All keys, those that ended too, without what is secret of them",
        answer=reference("KeyList"),
        refusals=("not_ready",),
    ),
    Operation(
        **ADMIN,
        path="/api/v2/keys/{key_id}/approve",
        method="post",
        id="approveKey",
        summary="Makes a key good that waits; one that does not wait stays as it is",
        parameters=("keyPath",),
        answer=reference("KeyRow"),
        refusals=("not_found", "conflict", "not_ready"),
    ),
    Operation(
        **ADMIN,
        path="/api/v2/keys/{key_id}",
        method="delete",
        id="revokeKey",
        summary="Ends a key for good; its connections are cut",
        parameters=("keyPath",),
        status=204,
        answers=ENDED,
        refusals=("not_found", "not_ready"),
    ),
    Operation(
        **ADMIN,
        path="/api/v2/admin",
        id="getServer",
        summary="The process, its log, its store, its consumers",
        answer=reference("ServerState"),
    ),
    Operation(
        **ADMIN,
        path="/api/v2/admin/settings",
        id="listSettings",
        summary="Every setting, its value, and where that came from",
        answer=reference("SettingList"),
    ),
    Operation(
        **ADMIN,
        path="/api/v2/admin/refusals",
        id="listRefusals",
        summary="What operators were refused: the last 1,000 items",
        parameters=("ofOperator",),
        answer=reference("RefusedItems"),
    ),
    Operation(
        **ADMIN,
        path="/api/v2/admin/sources",
        id="listSources",
        summary="Every source, how it does and how it is set up",
        answer=reference("ToldSources"),
    ),
    Operation(
        **ADMIN,
        path="/api/v2/admin/sources/{name}/pause",
        method="post",
        id="pauseSource",
        summary="Stops asking or following a source",
        parameters=("sourcePath",),
        answer=reference("ToldSource"),
        refusals=("not_found", "not_ready"),
    ),
    Operation(
        **ADMIN,
        path="/api/v2/admin/sources/{name}/resume",
        method="post",
        id="resumeSource",
        summary="Lets a paused source go on",
        parameters=("sourcePath",),
        answer=reference("ToldSource"),
        refusals=("not_found", "not_ready"),
    ),
    Operation(
        **ADMIN,
        path="/api/v2/admin/quarantine",
        id="listUnread",
        summary="Deliveries that could not be read, the newest first",
        answer=reference("UnreadList"),
    ),
    Operation(
        **ADMIN,
        path="/api/v2/admin/quarantine/{unread_id}",
        id="getUnread",
        summary="One of them as it came, but for keys in it",
        parameters=("unreadPath",),
        answers={
            200: {
                "description": "To be saved in a file.",
                "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
            }
        },
        refusals=("not_found",),
    ),
    Operation(
        **ADMIN,
        path="/api/v2/admin/quarantine/{unread_id}/replay",
        method="post",
        id="replayUnread",
        summary="Reads one of them again and takes it; it is not kept then",
        parameters=("unreadPath",),
        answer=reference("ReadAgain"),
        refusals=("not_found", "conflict", "overloaded", "log_failure", "log_misplaced", "not_ready"),
    ),
    Operation(
        path="/livez",
        id="getLiveness",
        tag=OPERATION,
        summary="Whether the process answers",
        scope=None,
        answer=reference("Liveness"),
    ),
    Operation(
        path="/readyz",
        id="getReadiness",
        tag=OPERATION,
        summary="Whether reports are taken: store open, log writable, board recovered, files in place",
        scope=None,
        answer=reference("Readiness"),
        answers={503: _json(reference("Readiness"), "Reports are refused now; consumers are served.")},
    ),
    Operation(
        path="/metrics",
        id="getMetrics",
        tag=OPERATION,
        summary="Metrics in Prometheus' text format",
        description="The setting `metrics.listen` opens a port on loopback for them that needs no key.",
        scope=Scope.ADMIN,
        answers={200: _text(CONTENT_TYPE_LATEST, "The metrics.", "ladestrom_ready 1.0\n")},
    ),
    *(
        Operation(
            path=path,
            id=name,
            tag=OPERATION,
            summary=summary,
            scope=None,
            cached=True,
            answers={
                200: {
                    "description": "The document.",
                    "content": {kind: {"schema": {"type": "object"}} for kind in (media_type, JSON)},
                }
            },
        )
        for path, name, summary, media_type in (
            ("/openapi.json", "getOpenApi", "This document", OPENAPI_TYPE),
            ("/asyncapi.json", "getAsyncApi", "The contract of the streams, AsyncAPI 3.0", ASYNCAPI_TYPE),
        )
    ),
)
