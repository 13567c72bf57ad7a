"""What whoever looks asks for: the map, what goes on, what was."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from ladestrom.core.view import View
from ladestrom.credentials import Doorkeeper
from ladestrom.edges.answers import COMPRESSED, AnyRequest, json_answer, matches, not_modified, packed
from ladestrom.edges.contract.served import JSON
from ladestrom.edges.output import Opened, Reading
from ladestrom.edges.query import known, whole_number
from ladestrom.errors import NotFound
from ladestrom.outputs.map.aggregates import HOURS_MAX, Aggregates
from ladestrom.outputs.map.chart import Packed
from ladestrom.quoting import quoted


def open(reading: Reading) -> Opened:  # noqa: A001 - what every output's edge is opened by
    """What is asked for, and what is kept for it."""
    kept = Aggregates(
        reading.view,
        reading.stream,
        reading.log,
        reading.clock,
        changes_max=reading.history_changes_max,
        skew_ms=reading.skew_ms,
    )
    return Opened(routes=handlers(reading.view, reading.door, kept), fold=kept)


def handlers(view: View, door: Doorkeeper, kept: Aggregates) -> list[HTTPRouteHandler]:
    """The route handlers."""

    @get("/api/v2/map/stations", opt={COMPRESSED: True})
    async def map_stations(request: AnyRequest) -> Response[Any]:
        """Stations in columns."""
        door.look(request.headers)
        known(request.query_params.multi_items(), ())
        return _tagged(request, await kept.chart.stations())

    @get("/api/v2/map/texts", opt={COMPRESSED: True})
    async def map_texts(request: AnyRequest) -> Response[Any]:
        """What stations are searched by."""
        door.look(request.headers)
        known(request.query_params.multi_items(), ())
        return _tagged(request, await kept.chart.texts())

    @get("/api/v2/map", opt={COMPRESSED: True})
    async def map_state(request: AnyRequest) -> Response[Any]:
        """How many EVSEs of each station are available, occupied, faulty or unknown."""
        door.look(request.headers)
        known(request.query_params.multi_items(), ())
        made = await kept.chart.state()
        return packed(request, made.body, made.gzip, JSON, {"cache-control": "no-store"})

    @get("/api/v2/overview")
    async def overview(request: AnyRequest) -> Response[Any]:
        """The whole board in numbers, and how much goes on."""
        door.look(request.headers)
        known(request.query_params.multi_items(), ())
        return json_answer(msgspec.json.encode(await kept.overview()))

    @get("/api/v2/stations/{uuid:str}/history", sync_to_thread=False)
    def history(request: AnyRequest, uuid: FromPath[str]) -> Response[Any]:
        """What the EVSEs of a station were in the last hours."""
        door.look(request.headers)
        query = known(request.query_params.multi_items(), {"hours"})
        hours = whole_number(query, "hours", HOURS_MAX, 1, HOURS_MAX)
        station = view.directory.stations.get(uuid.upper())
        if station is None:
            raise NotFound(f"no station has the uuid {quoted(uuid, 40)}")
        return json_answer(msgspec.json.encode(kept.history_of(station, hours)))

    return [map_stations, map_texts, map_state, overview, history]


def _tagged(request: AnyRequest, made: Packed) -> Response[Any]:
    if matches(request, made.tag):
        answer: Response[Any] = not_modified(made.tag)
        answer.headers["vary"] = "accept-encoding"
        return answer
    return packed(request, made.body, made.gzip, JSON, {"etag": made.tag, "cache-control": "no-cache"})
