"""REST of version 2: one EVSE, one station."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from ladestrom.core.view import View
from ladestrom.credentials import Doorkeeper
from ladestrom.edges.answers import AnyRequest, json_answer, matches, not_modified, weak_etag
from ladestrom.edges.output import Opened, Reading
from ladestrom.edges.query import known
from ladestrom.errors import Conflict, NotFound
from ladestrom.formats.evse_state import evse_state
from ladestrom.formats.wire import Observed
from ladestrom.outputs.rest_v2 import lists
from ladestrom.outputs.rest_v2.encoder import station_detail
from ladestrom.quoting import quoted


def open(reading: Reading) -> Opened:  # noqa: A001 - what every output's edge is opened by
    """Single objects, and lists."""
    made_of = reading.view, reading.door
    return Opened(routes=[*handlers(*made_of), *lists.handlers(*made_of, reading.clock)])


def handlers(view: View, door: Doorkeeper) -> list[HTTPRouteHandler]:
    """The route handlers over one view."""
    observed: Observed = view.observed_at

    def tag_of(view: View) -> str:
        return weak_etag(view)

    @get("/api/v2/evses/{evse:str}", sync_to_thread=False)
    def one_evse(request: AnyRequest, evse: FromPath[str]) -> Response[Any]:
        """One EVSE, by any written form of its EVSE id, its registry key, or its uid."""
        door.look(request.headers)
        known(request.query_params.multi_items(), ())
        tag = tag_of(view)
        found = view.directory.find(evse) or view.directory.find_uid(evse)
        if not found:
            raise NotFound(f"no EVSE is known as {quoted(evse, 80)}")
        if len(found) > 1:
            ids = ", ".join(sorted(one.name for one in found))
            raise Conflict(f"{quoted(evse, 80)} is the uid of {len(found)} EVSEs; ask for one of {ids[:500]}")
        if matches(request, tag):
            return not_modified(tag)
        held = view.change_of(found[0])
        station = view.directory.stations[found[0].station]
        state = evse_state(found[0], station, held, observed)
        return json_answer(msgspec.json.encode(state), tag)

    @get("/api/v2/stations/{uuid:str}", sync_to_thread=False)
    def one_station(request: AnyRequest, uuid: FromPath[str]) -> Response[Any]:
        """One station of the registry, with its EVSEs; vanished ones say since when."""
        door.look(request.headers)
        known(request.query_params.multi_items(), ())
        tag = tag_of(view)
        station = view.directory.stations.get(uuid.upper())
        if station is None:
            raise NotFound(f"no station has the uuid {quoted(uuid, 40)}")
        if matches(request, tag):
            return not_modified(tag)
        detail = station_detail(station, view.records[station.uuid].seq, view.get(station.uuid), observed)
        return json_answer(msgspec.json.encode(detail), tag)

    return [one_evse, one_station]
