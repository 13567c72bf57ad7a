"""REST of the NOBIL stream API: one connector, one station, all stations, all of a country."""

from __future__ import annotations

import re
from operator import itemgetter
from typing import Any

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from ladestrom.core.access import Scope
from ladestrom.core.selection import EVERYTHING, STATION_FILTERS, Selection, selection
from ladestrom.core.view import StationState, View
from ladestrom.countries import country as country_code
from ladestrom.credentials import Doorkeeper
from ladestrom.edges.answers import COMPRESSED, AnyRequest, etag, json_answer, matches, not_modified
from ladestrom.edges.walks import Walks, large_answer
from ladestrom.errors import NotFound
from ladestrom.model import Station
from ladestrom.outputs.nobil_v1.encoder import NobilFormat
from ladestrom.quoting import quoted

_CONNECTOR = re.compile(r"(.+)_([0-9]{2,4})")


def handlers(  # noqa: C901 - the handlers and what they share
    view: View, encoder: NobilFormat, door: Doorkeeper
) -> list[HTTPRouteHandler]:
    """The route handlers over one view."""

    def admit(request: AnyRequest) -> str:
        """Its key's id."""
        return door.credential(request.headers, Scope.STREAM, request.query_params).key_id

    def listed(uuid: str) -> tuple[StationState, Station]:
        state = view.get(uuid.upper())
        station = None if state is None else view.station(state)
        if state is None or station is None:
            raise NotFound(
                f"no station {quoted(uuid, 40)} delivers real-time data; /api/v1/rest/chargers lists those "
                "that do"
            )
        return state, station

    walks = Walks(view, door)

    async def stations(request: AnyRequest, key_id: str, wanted: Selection) -> Response[Any]:
        tag = etag(view)
        if matches(request, tag):
            return not_modified(tag)
        found: list[tuple[str, bytes]] = []

        def visit(state: StationState) -> None:
            station = view.station(state)
            if station is not None and wanted.covers(station):
                found.append((state.uuid, encoder.station(state, station)))

        _, tag = await walks.through(key_id, view.uuids, visit, etag)
        found.sort(key=itemgetter(0))
        return await large_answer(request, b"[%s]" % b",".join(body for _, body in found), tag)

    @get("/api/v1/rest/connector/{uuid:str}", sync_to_thread=False)
    def connector(request: AnyRequest, uuid: FromPath[str]) -> Response[Any]:
        """One connector; the suffix counts from 1."""
        admit(request)
        tag = etag(view)
        match = _CONNECTOR.fullmatch(uuid)
        if match is None:
            raise NotFound(
                f"{quoted(uuid, 40)} is no connector; write a station's uuid, _ and two digits: NOR_01523_01"
            )
        body = encoder.connector(*listed(match[1]), int(match[2]))
        if body is None:
            raise NotFound(f"station {match[1]} has no connector {match[2]}")
        return not_modified(tag) if matches(request, tag) else json_answer(body, tag)

    @get("/api/v1/rest/charger/{uuid:str}", sync_to_thread=False)
    def charger(request: AnyRequest, uuid: FromPath[str]) -> Response[Any]:
        """One station."""
        admit(request)
        tag = etag(view)
        body = encoder.station(*listed(uuid))
        return not_modified(tag) if matches(request, tag) else json_answer(body, tag)

    @get("/api/v1/rest/chargers", opt={COMPRESSED: True})
    async def chargers(request: AnyRequest) -> Response[Any]:
        """All stations, narrowed by the stream's filters."""
        key_id = admit(request)
        query = dict(request.query_params)
        return await stations(
            request, key_id, selection(query, names=STATION_FILTERS) if query else EVERYTHING
        )

    @get("/api/v1/rest/chargers/{country:str}", opt={COMPRESSED: True})
    async def chargers_of(request: AnyRequest, country: FromPath[str]) -> Response[Any]:
        """All stations of a country: NOR, SWE, FIN, DAN, or an ISO 3166-1 code."""
        key_id = admit(request)
        code = country_code(country)
        if code is None:
            raise NotFound(
                f"{quoted(country, 20)} is not a country; write NOR, SWE, FIN, DAN or an ISO 3166-1 code"
            )
        return await stations(request, key_id, Selection(country=frozenset({code})))

    return [connector, charger, chargers, chargers_of]
