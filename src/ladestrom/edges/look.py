"""What the page asks for, and whoever else only looks: the page's own settings, the map."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import msgspec
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from ladestrom.credentials import Doorkeeper
from ladestrom.edges.answers import COMPRESSED, AnyRequest, json_answer, matches, not_modified
from ladestrom.edges.chart import Chart, Packed


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


def handlers(door: Doorkeeper, chart: Chart, page: PageSource) -> list[HTTPRouteHandler]:
    """The route handlers."""

    @get("/api/v2/page", sync_to_thread=False)
    def about() -> Response[bytes]:
        """What the page is called, who may look, and how one gets a key."""
        return json_answer(msgspec.json.encode(page()))

    @get("/api/v2/map/stations", opt={COMPRESSED: True})
    async def map_stations(request: AnyRequest) -> Response[Any]:
        """Stations in columns."""
        door.look(request.headers)
        made = await chart.stations()
        if matches(request, made.tag):
            answer: Response[Any] = not_modified(made.tag)
            answer.headers["vary"] = "accept-encoding"
            return answer
        return _packed(request, made)

    @get("/api/v2/map", opt={COMPRESSED: True})
    async def map_state(request: AnyRequest) -> Response[Any]:
        """How many EVSEs of each station are available, occupied, faulty or unknown."""
        door.look(request.headers)
        return _packed(request, await chart.state())

    return [about, map_stations, map_state]


def _packed(request: AnyRequest, made: Packed) -> Response[bytes]:
    takes_gzip = "gzip" in request.headers.get("accept-encoding", "")
    answer = json_answer(made.gzip if takes_gzip else made.body, made.tag or None)
    answer.headers["vary"] = "accept-encoding"
    if takes_gzip:
        answer.headers["content-encoding"] = "gzip"
    return answer
