"""Version 2's lists: stations and EVSEs, with the stream's filters, in pages."""

from __future__ import annotations

import base64
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from ladestrom.core.access import Scope, may_report
from ladestrom.core.selection import EVSE_FILTERS, Selection, selection
from ladestrom.core.view import StationState, View, is_listed
from ladestrom.credentials import Doorkeeper
from ladestrom.edges.answers import AnyRequest, json_answer, matches, not_modified, weak_etag
from ladestrom.edges.query import known, whole_number
from ladestrom.errors import BadRequest
from ladestrom.formats.v2 import Confirmed, EvseState, StationDetail, evse_state, station_detail
from ladestrom.hub import Hub
from ladestrom.model import Evse, Station

LIMIT: Final = 100
LIMIT_MAX: Final = 1_000
"""Some 500 KiB of EVSEs."""
PARAMETERS: Final = frozenset({*EVSE_FILTERS, "cursor", "limit"})
_UUID: Final = re.compile(r"[A-Z]{3}_[0-9]{5,}", re.ASCII)


class StationPage(msgspec.Struct, frozen=True):
    """Some stations, in order of their uuids."""

    position: str
    """`EPOCH-SEQ`: the stream's `since` for what changes after this."""
    items: list[StationDetail]
    next: str | None
    """Cursor of the next page; null on the last one."""


class EvsePage(msgspec.Struct, frozen=True):
    """Some EVSEs, station by station in order of uuids; a page ends with a whole station."""

    position: str
    items: list[EvseState]
    next: str | None


def handlers(view: View, hub: Hub, door: Doorkeeper) -> list[HTTPRouteHandler]:
    """The route handlers over one view."""
    confirmed: Confirmed = hub.confirmed

    @get("/api/v2/stations", sync_to_thread=False)
    def stations(request: AnyRequest) -> Response[Any]:
        """Stations that pass the filters, a page at a time; with a key that only reports, its operator's."""
        may_see = _sight(door, request.headers)
        wanted, limit, after = _asked(request)
        tag = weak_etag(view)
        if may_see is None and matches(request, tag):
            return not_modified(tag)
        items: list[StationDetail] = []
        last = None
        for state, station in _from(view, wanted, after):
            if not _has_selected(wanted, state) or (may_see and not any(map(may_see, station.evses))):
                continue
            if len(items) == limit:
                last = items[-1].uuid
                break
            items.append(station_detail(station, state, confirmed, may_see or _everything))
        return _page(request, StationPage(str(view.position), items, _cursor(last)), may_see, tag)

    @get("/api/v2/evses", sync_to_thread=False)
    def evses(request: AnyRequest) -> Response[Any]:
        """EVSEs that pass the filters, a page at a time; with a key that only reports, its operator's."""
        may_see = _sight(door, request.headers)
        wanted, limit, after = _asked(request)
        tag = weak_etag(view)
        if may_see is None and matches(request, tag):
            return not_modified(tag)
        items: list[EvseState] = []
        last = None
        for state, station in _from(view, wanted, after):
            if len(items) >= limit:
                break
            items += [
                evse_state(evse, station, held[1], confirmed)
                for evse in station.evses
                if (held := state.changes.get(evse.key)) is not None
                and is_listed(held[1])
                and (may_see is None or may_see(evse))
                and (not wanted.evse or evse.key in wanted.evse)
                and (not wanted.status or held[1].status in wanted.status)
            ]
            last = station.uuid
        else:
            last = None
        return _page(request, EvsePage(str(view.position), items, _cursor(last)), may_see, tag)

    return [stations, evses]


Sight = Callable[[Evse], bool]


def _sight(door: Doorkeeper, headers: Mapping[str, str]) -> Sight | None:
    """Which EVSEs a key sees: all of them (None), or those that its operator may report on."""
    credential = door.reads(headers)
    if credential.may(Scope.STREAM):
        return None
    return partial(may_report, door.reporter(credential.key_id))


def _everything(_: Evse) -> bool:
    return True


def _asked(request: AnyRequest) -> tuple[Selection, int, str]:
    query = known(request.query_params.multi_items(), PARAMETERS)
    limit = whole_number(query, "limit", LIMIT, 1, LIMIT_MAX)
    return selection(query, names=EVSE_FILTERS), limit, _after(query.get("cursor", ""))


def _after(cursor: str) -> str:
    """The station that a page ended with; empty without a cursor."""
    try:
        uuid = base64.b64decode(cursor, altchars=b"-_", validate=True).decode("ascii")
    except ValueError:
        uuid = ""
    if cursor and _UUID.fullmatch(uuid) is None:
        raise BadRequest("cursor is not one that a page gave; begin without it")
    return uuid


def _from(view: View, wanted: Selection, after: str) -> Iterator[tuple[StationState, Station]]:
    uuids = view.uuids()
    for number in range(bisect_right(uuids, after), len(uuids)):
        state = view.get(uuids[number])
        station = None if state is None else view.station(state)
        if state is not None and station is not None and wanted.covers(station):
            yield state, station


def _has_selected(wanted: Selection, state: StationState) -> bool:
    """Whether one of its EVSEs passes the filters on EVSE and status together."""
    return not wanted.status or any(
        change.status in wanted.status
        for _, change in state.changes.values()
        if is_listed(change) and (not wanted.evse or change.evse in wanted.evse)
    )


def _cursor(uuid: str | None) -> str | None:
    return None if uuid is None else base64.urlsafe_b64encode(uuid.encode()).decode()


def _page(
    request: AnyRequest, page: StationPage | EvsePage, may_see: Sight | None, tag: str
) -> Response[bytes]:
    # What an operator sees depends on its rights too, which change without a new position.
    answer = json_answer(msgspec.json.encode(page), None if may_see else tag)
    if page.next is not None:
        query = {**dict(request.query_params.multi_items()), "cursor": page.next}
        answer.headers["link"] = f'<{request.url.path}?{urlencode(query)}>; rel="next"'
    return answer
