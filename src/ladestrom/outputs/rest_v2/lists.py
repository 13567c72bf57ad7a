"""Version 2's lists: stations and EVSEs, with the stream's filters, in pages."""

from __future__ import annotations

import base64
import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import partial
from operator import itemgetter
from typing import Any, Final, Generic, TypeVar
from urllib.parse import urlencode

import msgspec
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from ladestrom.core.access import Credential, Reach, Scope
from ladestrom.core.selection import EVSE_FILTERS, Selection, selection
from ladestrom.core.view import StationState, View, is_listed
from ladestrom.credentials import Doorkeeper
from ladestrom.edges.answers import COMPRESSED, AnyRequest, matches, not_modified, weak_etag
from ladestrom.edges.query import known, whole_number
from ladestrom.edges.walks import Walks, large_answer
from ladestrom.errors import BadRequest
from ladestrom.formats.wire import Observed
from ladestrom.model import Change, Evse, Station
from ladestrom.outputs.rest_v2.encoder import EvseState, StationDetail, evse_state, station_detail

T = TypeVar("T")

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


Page = StationPage | EvsePage
Sight = Callable[[Evse], bool]
Look = Callable[[Station, StationState, Selection, Sight | None], list[T] | None]
"""What a page shows of a station; None where it shows nothing of it, and does not count it."""


def handlers(view: View, door: Doorkeeper) -> list[HTTPRouteHandler]:
    """The route handlers over one view."""
    observed: Observed = view.observed_at

    def tag_of(view: View) -> str:
        return weak_etag(view)

    walks = Walks(view, door)

    async def page(
        request: AnyRequest, look: Look[T], made: Callable[[str, list[T], str | None], Page]
    ) -> Response[Any]:
        credential = door.reads(request.headers)
        may_see = _sight(door, credential)
        wanted, limit, after = _asked(request)
        tag = tag_of(view)
        if may_see is None and matches(request, tag):
            return not_modified(tag)
        found = _Found[T](limit)

        def visit(state: StationState) -> None:
            station = view.station(state)
            if station is not None and wanted.covers(station, (), state.sources()):
                shown = look(station, state, wanted, may_see)
                if shown is not None:
                    found.add(state.uuid, shown)

        position, tag = await walks.through(
            credential.key_id, lambda: _behind(view, after), visit, tag_of, found.fills
        )
        items, last = found.page()
        following = _cursor(last)
        body = msgspec.json.encode(made(position, items, following))
        # What an operator sees depends on its rights too, which change without a new position: no tag then.
        answer = await large_answer(request, body, None if may_see else tag)
        if following is not None:
            query = {**dict(request.query_params.multi_items()), "cursor": following}
            answer.headers["link"] = f'<{request.url.path}?{urlencode(query)}>; rel="next"'
        return answer

    @get("/api/v2/stations", opt={COMPRESSED: True})
    async def stations(request: AnyRequest) -> Response[Any]:
        """Stations that pass the filters, a page at a time; with a key that only reports, its operator's."""
        return await page(request, partial(_detail, view, observed), StationPage)

    @get("/api/v2/evses", opt={COMPRESSED: True})
    async def evses(request: AnyRequest) -> Response[Any]:
        """EVSEs that pass the filters, a page at a time; with a key that only reports, its operator's."""
        return await page(request, partial(_states, observed), EvsePage)

    return [stations, evses]


def _detail(
    view: View,
    observed: Observed,
    station: Station,
    state: StationState,
    wanted: Selection,
    may_see: Sight | None,
) -> list[StationDetail] | None:
    if not _has_selected(wanted, state, station):
        return None
    if may_see is not None and not any(map(may_see, station.evses)):
        return None
    return [station_detail(station, view.records[station.uuid].seq, state, observed, may_see or _everything)]


def _states(
    observed: Observed, station: Station, state: StationState, wanted: Selection, may_see: Sight | None
) -> list[EvseState]:
    return [
        evse_state(evse, station, held, observed)
        for evse in station.evses
        if (held := state.changes.get(evse.key)) is not None
        and is_listed(held.change)
        and (may_see is None or may_see(evse))
        and _is_selected(wanted, held.change, station)
    ]


def _sight(door: Doorkeeper, credential: Credential) -> Sight | None:
    """Which EVSEs a key sees: all of them (None), or those that its operator may report on."""
    if credential.may(Scope.STREAM):
        return None
    return Reach(door.reporter(credential.key_id)).covers


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
        raise BadRequest("cursor is not one that this server issued; start without it")
    return uuid


def _behind(view: View, after: str) -> Sequence[str]:
    """Uuids of the stations behind a page's last one."""
    uuids = view.uuids()
    return uuids[bisect_right(uuids, after) :]


class _Found(Generic[T]):
    """What a page may show, station by station; some of it was found out of turn."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._by_station: list[tuple[str, list[T]]] = []
        self._count = 0

    def add(self, uuid: str, items: list[T]) -> None:
        self._by_station.append((uuid, items))
        self._count += len(items)

    def fills(self, uuid: str) -> bool:
        """Whether stations up to this one, all of which were visited, fill a page and begin another one."""
        return self._count >= self._limit and self._cut(uuid) is not None

    def page(self) -> tuple[list[T], str | None]:
        """The items of a page, and the station that it ends with, where another one follows."""
        cut = self._cut(None)
        found = self._by_station if cut is None else self._by_station[:cut]
        items = [item for _, some in found for item in some]
        return items, None if cut is None else found[-1][0]

    def _cut(self, up_to: str | None) -> int | None:
        """How many stations fill a page; None where none is left for another one."""
        self._by_station.sort(key=itemgetter(0))
        count = 0
        for number, (uuid, items) in enumerate(self._by_station):
            if up_to is not None and uuid > up_to:
                return None
            if count >= self._limit:
                return number
            count += len(items)
        return None


def _has_selected(wanted: Selection, state: StationState, station: Station) -> bool:
    """Whether one of its EVSEs passes the filters on EVSE, status and operator together."""
    return not (wanted.status or wanted.operator) or any(
        is_listed(held.change) and _is_selected(wanted, held.change, station)
        for held in state.changes.values()
    )


def _is_selected(wanted: Selection, change: Change, station: Station) -> bool:
    return wanted.chooses(change) and wanted.is_of(station, (change.source,))


def _cursor(uuid: str | None) -> str | None:
    return None if uuid is None else base64.urlsafe_b64encode(uuid.encode()).decode()
