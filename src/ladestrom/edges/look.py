"""What pages ask for, and whoever else only looks: the map, what goes on, what was, the page's settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import msgspec
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from ladestrom.core.view import View
from ladestrom.credentials import Doorkeeper
from ladestrom.edges.answers import COMPRESSED, AnyRequest, json_answer, matches, not_modified, packed
from ladestrom.edges.contract_served import JSON
from ladestrom.edges.lookout import HOURS_MAX, Lookout
from ladestrom.edges.query import known, whole_number
from ladestrom.errors import NotFound
from ladestrom.quoting import quoted


class PageInfo(msgspec.Struct, frozen=True):
    """What a page has to know of its server before it asks for anything else."""

    title: str
    version: str
    demo: bool
    visitors: Literal["anyone", "key"]
    keys: Literal["open", "approval", "closed"]
    tiles: str
    tiles_attribution: str
    licence: str
    attribution: str
    contact: str


PageSource = Callable[[], PageInfo]


def handlers(view: View, door: Doorkeeper, lookout: Lookout, page: PageSource) -> list[HTTPRouteHandler]:
    """The route handlers."""

    @get("/api/v2/page", sync_to_thread=False)
    def about(request: AnyRequest) -> Response[bytes]:
        """What the page is called, who may look, and how one gets a key."""
        known(request.query_params.multi_items(), ())
        return json_answer(msgspec.json.encode(page()))

    @get("/api/v2/map/stations", opt={COMPRESSED: True})
    async def map_stations(request: AnyRequest) -> Response[Any]:
        """Stations in columns."""
        door.look(request.headers)
        known(request.query_params.multi_items(), ())
        made = await lookout.chart.stations()
        if matches(request, made.tag):
            answer: Response[Any] = not_modified(made.tag)
            answer.headers["vary"] = "accept-encoding"
            return answer
        headers = {"etag": made.tag, "cache-control": "no-cache"}
        return packed(request, made.body, made.gzip, JSON, headers)

    @get("/api/v2/map", opt={COMPRESSED: True})
    async def map_state(request: AnyRequest) -> Response[Any]:
        """How many EVSEs of each station are available, occupied, faulty or unknown."""
        door.look(request.headers)
        known(request.query_params.multi_items(), ())
        made = await lookout.chart.state()
        return packed(request, made.body, made.gzip, JSON, {"cache-control": "no-store"})

    @get("/api/v2/overview")
    async def overview(request: AnyRequest) -> Response[Any]:
        """The whole board in numbers, and how much goes on."""
        door.look(request.headers)
        known(request.query_params.multi_items(), ())
        return json_answer(msgspec.json.encode(await lookout.overview()))

    @get("/api/v2/stations/{uuid:str}/history", sync_to_thread=False)
    def history(request: AnyRequest, uuid: FromPath[str]) -> Response[Any]:
        """What the EVSEs of a station were in the last hours."""
        door.look(request.headers)
        query = known(request.query_params.multi_items(), {"hours"})
        hours = whole_number(query, "hours", HOURS_MAX, 1, HOURS_MAX)
        station = view.directory.stations.get(uuid.upper())
        if station is None:
            raise NotFound(f"no station has the uuid {quoted(uuid, 40)}")
        return json_answer(msgspec.json.encode(lookout.history_of(station, hours)))

    return [about, map_stations, map_state, overview, history]
