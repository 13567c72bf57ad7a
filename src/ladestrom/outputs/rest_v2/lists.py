"""Version 2's lists: stations and EVSEs, with the stream's filters and those by features, in pages.

What is open now is judged by the minute in which the first page was asked for: cursors and tags have it.
"""

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
from ladestrom.core.choice import Choice, Sight
from ladestrom.core.features import FEATURES, features
from ladestrom.core.selection import EVSE_FILTERS, selection
from ladestrom.core.view import StationState, View
from ladestrom.credentials import Doorkeeper
from ladestrom.edges.answers import COMPRESSED, AnyRequest, matches, not_modified, weak_etag
from ladestrom.edges.query import known, whole_number
from ladestrom.edges.walks import Walks, large_answer
from ladestrom.errors import BadRequest
from ladestrom.formats.evse_state import EvseState, evse_states
from ladestrom.formats.wire import Observed
from ladestrom.model import Evse, Millis, Station
from ladestrom.outputs.rest_v2.encoder import StationDetail, station_detail

T = TypeVar("T")

LIMIT: Final = 100
LIMIT_MAX: Final = 1_000
"""Some 500 KiB of EVSEs."""
PARAMETERS: Final = frozenset({*EVSE_FILTERS, *FEATURES, "cursor", "limit"})
MINUTE_MS: Final = 60_000
NOTHING_LISTED: Final = (
    "the registry has stations, but no operator may report on them, so none is listed; the administrator "
    "gives the right with `ladestrom operators add NAME --party NO*ABC`, or --all"
)
WALK_MINUTES_MAX: Final = 60
"""How long after its first page a list may be gone on with, where it is of what is open now: the pages of all
stations of a country take some minutes."""
_CURSOR: Final = re.compile(r"([A-Z]{3}_[0-9]{5,})(?: ([0-9]{1,9}))?", re.ASCII)
"""Station that a page ended with, and the minute since 1970 that the pages are of."""


class StationPage(msgspec.Struct, frozen=True):
    """Some stations, in order of their uuids."""

    position: str
    """`EPOCH-SEQ`: the stream's `since` for what changes after this."""
    items: list[StationDetail]
    next: str | None
    """Cursor of the next page; null on the last one."""
    note: str | msgspec.UnsetType = msgspec.UNSET
    """Why nothing is listed, whatever is asked for."""


class EvsePage(msgspec.Struct, frozen=True):
    """Some EVSEs, station by station in order of uuids; a page ends with a whole station."""

    position: str
    items: list[EvseState]
    next: str | None
    note: str | msgspec.UnsetType = msgspec.UNSET


Page = StationPage | EvsePage
Look = Callable[[Station, StationState, Choice, Sight | None], list[T] | None]
"""What a page shows of a station; None where it shows nothing of it, and does not count it."""


class _Asked(msgspec.Struct, frozen=True):
    """What a request asks for."""

    choice: Choice
    minute: int | None
    """Since 1970: what the answer is of, where it would be another one in another minute."""
    limit: int
    after: str
    """The station that the page before ended with; empty for the first page."""


def handlers(view: View, door: Doorkeeper, clock: Callable[[], Millis]) -> list[HTTPRouteHandler]:
    """The route handlers over one view."""
    observed: Observed = view.observed_at
    walks = Walks(view, door)

    async def page(
        request: AnyRequest,
        look: Look[T],
        made: Callable[[str, list[T], str | None, str | msgspec.UnsetType], Page],
    ) -> Response[Any]:
        credential = door.reads(request.headers)
        may_see = _sight(door, credential)
        asked = _asked(request, clock())
        tag_of = partial(weak_etag, minute=asked.minute)
        tag = tag_of(view)
        if may_see is None and matches(request, tag):
            return not_modified(tag)
        found = _Found[T](asked.limit)

        def visit(state: StationState) -> None:
            station = view.station(state)
            if station is not None and asked.choice.selection.covers(station, (), state.sources()):
                shown = look(station, state, asked.choice, may_see)
                if shown is not None:
                    found.add(state.uuid, shown)

        position, tag = await walks.through(
            credential.key_id, lambda: _behind(view, asked.after), visit, tag_of, found.fills
        )
        items, last = found.page()
        following = None if last is None else _cursor(last, asked.minute)
        note = NOTHING_LISTED if not len(view) and view.directory.stations else msgspec.UNSET
        body = msgspec.json.encode(made(position, items, following, note))
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
    choice: Choice,
    may_see: Sight | None,
) -> list[StationDetail] | None:
    if not choice.has(station, state, may_see):
        return None
    return [station_detail(station, view.records[station.uuid].seq, state, observed, may_see or _everything)]


def _states(
    observed: Observed, station: Station, state: StationState, choice: Choice, may_see: Sight | None
) -> list[EvseState] | None:
    return evse_states(station, list(choice.evses(station, state, may_see)), observed) or None


def _sight(door: Doorkeeper, credential: Credential) -> Sight | None:
    """Which EVSEs a key sees: all of them (None), or those that its operator may report on."""
    if credential.may(Scope.STREAM):
        return None
    return Reach(door.reporter(credential.key_id)).covers


def _everything(_: Evse) -> bool:
    return True


def _asked(request: AnyRequest, now: Millis) -> _Asked:
    query = known(request.query_params.multi_items(), PARAMETERS)
    limit = whole_number(query, "limit", LIMIT, 1, LIMIT_MAX)
    selected, wanted = selection(query, names=EVSE_FILTERS), features(query)
    after, began = _place(query.get("cursor", ""))
    if not wanted.open_now:
        return _Asked(Choice(selected, wanted), None, limit, after)
    minute = now // MINUTE_MS
    if began is not None:
        if abs(minute - began) > WALK_MINUTES_MAX:
            raise BadRequest(
                f"cursor is of a list that was begun more than {WALK_MINUTES_MAX} minutes ago, and other "
                "stations are open now; start without it"
            )
        minute = began
    return _Asked(Choice(selected, wanted, minute * MINUTE_MS), minute, limit, after)


def _place(cursor: str) -> tuple[str, int | None]:
    """The station that a page ended with, and the minute that it is of; nothing without a cursor."""
    if not cursor:
        return "", None
    try:
        match = _CURSOR.fullmatch(base64.b64decode(cursor, altchars=b"-_", validate=True).decode("ascii"))
    except ValueError:
        match = None
    if match is None:
        raise BadRequest("cursor is not one that this server issued; start without it")
    return match[1], None if match[2] is None else int(match[2])


def _cursor(uuid: str, minute: int | None) -> str:
    place = uuid if minute is None else f"{uuid} {minute}"
    return base64.urlsafe_b64encode(place.encode()).decode()


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
