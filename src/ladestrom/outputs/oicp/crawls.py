"""Data records in pages: which EVSEs they have, and the records of a page.

OICP numbers pages and has no cursor. So that those who go through all of them get each EVSE once while
stations come and go, which EVSEs there are is decided when a key asks for the first page, and holds for its
next ones. Records are as they are when their page is asked for; an EVSE that has gone meanwhile is left out.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec

from ladestrom.core.selection import Selection
from ladestrom.core.view import StationState, View, is_listed
from ladestrom.credentials import Doorkeeper
from ladestrom.edges.documents import INTERVAL_S_MIN
from ladestrom.edges.once import Once
from ladestrom.edges.walks import Walks
from ladestrom.errors import LadestromError
from ladestrom.formats.documents import LeftOut
from ladestrom.formats.station_record import connectors
from ladestrom.model import Cause, Evse, Position, Station, evse_key
from ladestrom.outputs.oicp import records
from ladestrom.outputs.oicp.circles import Circle
from ladestrom.outputs.oicp.encoder import NO_ID, identified
from ladestrom.outputs.oicp.records import Notation

CRAWLS_MAX: Final = 64
"""Kept at once, in all; one of 100,000 EVSEs has some 2 MB."""
CRAWL_S: Final = 600.0
"""How long a crawl may pause between two pages."""
INSERT: Final = "insert"
UPDATE: Final = "update"
DELETE: Final = "delete"


class Wanted(msgspec.Struct, frozen=True):
    """Which EVSEs' records are asked for. Empty lets everything pass."""

    selection: Selection = Selection()
    within: Circle | None = None
    operators: frozenset[str] = frozenset()
    accessibility: frozenset[str] = frozenset()
    modes: frozenset[str] = frozenset()
    is_open_always: bool = False
    since: int | None = None
    """Only what changed after this sequence, as what it became."""

    def has(self, station: Station) -> bool:
        """Whether a station is among them."""
        if not self.selection.covers(station):
            return False
        if self.within is not None and not self.within.holds(station.latitude, station.longitude):
            return False
        return not self.is_open_always or records.is_open_always(station)

    def chooses(self, station: Station, evse: Evse, operator: str) -> bool:
        """Whether one of its EVSEs is."""
        if self.operators and evse_key(operator) not in self.operators:
            return False
        terms = evse.terms or station.details
        if self.accessibility and records.accessibility(station, terms) not in self.accessibility:
            return False
        return not self.modes or not self.modes.isdisjoint(records.modes(evse, terms))


class Crawl:
    """The EVSEs of all pages, station by station in the order of uuids."""

    def __init__(self, position: Position) -> None:
        self.position = position
        self.made_s = self.used_s = 0.0
        self.left_out = LeftOut()
        self.keys: list[str] = []
        self.deltas: list[str] = []
        """deltaType of each; empty where all is asked for."""
        self._uuids: list[str] = []
        self._firsts: list[int] = []
        """Where each station's EVSEs begin."""
        self._found: dict[str, list[tuple[str, str]]] = {}

    def take(self, uuid: str, found: list[tuple[str, str]]) -> None:
        """Keys and delta types of a station's EVSEs, of stations in any order."""
        if found:
            self._found[uuid] = found

    def end(self) -> None:
        """There are no others."""
        for uuid in sorted(self._found):
            self._uuids.append(uuid)
            self._firsts.append(len(self.keys))
            for key, delta in self._found[uuid]:
                self.keys.append(key)
                self.deltas.append(delta)
        self._found.clear()
        if not any(self.deltas):
            self.deltas = []

    def stations(self, first: int, last: int) -> dict[str, range]:
        """Stations that have some of these EVSEs, and which."""
        found: dict[str, range] = {}
        place = max(0, bisect_right(self._firsts, first) - 1)
        while place < len(self._uuids) and self._firsts[place] < last:
            end = self._firsts[place + 1] if place + 1 < len(self._firsts) else len(self.keys)
            found[self._uuids[place]] = range(max(first, self._firsts[place]), min(last, end))
            place += 1
        return found


class Page(msgspec.Struct, frozen=True):
    """Some of the records."""

    position: Position
    total: int
    records: Sequence[bytes]


Key = tuple[str, Wanted]


class Crawls:
    """Those of all keys over one view."""

    def __init__(self, view: View, door: Doorkeeper, took: Callable[[Crawl, Wanted], None]) -> None:
        """`took` is told of each crawl that was begun."""
        self._view = view
        self._walks = Walks(view, door)
        self._kept: OrderedDict[Key, Crawl] = OrderedDict()
        self._once: Once[Wanted, Crawl] = Once("crawl")
        self._took = took

    async def page(self, key_id: str, wanted: Wanted, notation: Notation, number: int, size: int) -> Page:
        """A page; the first one has number 0.

        Raises:
            TooManyRequests: too many of this key's requests are waiting.
        """
        crawl = await self._crawl(key_id, wanted, is_first=number == 0)
        first = min(number * size, len(crawl.keys))
        last = min(first + size, len(crawl.keys))
        places = crawl.stations(first, last)
        encoded: dict[str, list[bytes]] = {}
        encode = msgspec.json.Encoder().encode

        def visit(state: StationState) -> None:
            encoded[state.uuid] = [
                encode(made) for made in self._records(state, crawl, places[state.uuid], notation)
            ]

        uuids = list(places)
        position = await self._through(key_id, lambda: uuids, visit)
        return Page(position, len(crawl.keys), [each for uuid in uuids for each in encoded.get(uuid, ())])

    async def _crawl(self, key_id: str, wanted: Wanted, *, is_first: bool) -> Crawl:
        now_s = asyncio.get_running_loop().time()
        self._sweep(now_s)
        own = self._kept.get((key_id, wanted))
        if own is not None and (not is_first or self._is_new(own, now_s)):
            return self._keep(key_id, wanted, own, now_s)
        for (_, other), crawl in reversed(self._kept.items()):
            if other == wanted and self._is_new(crawl, now_s):
                return self._keep(key_id, wanted, crawl, now_s)
        made = await self._once.made(wanted, lambda: self._make(key_id, wanted, now_s))
        if made is not None:
            return self._keep(key_id, wanted, made, now_s)
        return await self._crawl(key_id, wanted, is_first=is_first)

    async def _make(self, key_id: str, wanted: Wanted, now_s: float) -> Crawl | LadestromError:
        made = Crawl(self._view.position)
        since = wanted.since

        def uuids() -> Sequence[str]:
            if since is None:
                return self._view.uuids()
            return [state.uuid for state in self._view.changed_since(since)]

        def visit(state: StationState) -> None:
            told = self._whole(state, wanted, made) if since is None else self._deltas(state, wanted, since)
            made.take(state.uuid, list(told))

        made.made_s = now_s
        try:
            made.position = await self._through(key_id, uuids, visit)
        except LadestromError as error:
            return error
        made.end()
        self._took(made, wanted)
        return made

    def _is_new(self, crawl: Crawl, now_s: float) -> bool:
        return crawl.position == self._view.position or now_s - crawl.made_s < INTERVAL_S_MIN

    def _keep(self, key_id: str, wanted: Wanted, crawl: Crawl, now_s: float) -> Crawl:
        crawl.used_s = now_s
        self._kept[key_id, wanted] = crawl
        self._kept.move_to_end((key_id, wanted))
        while len(self._kept) > CRAWLS_MAX:
            self._kept.popitem(last=False)
        return crawl

    def _sweep(self, now_s: float) -> None:
        while self._kept and now_s - next(iter(self._kept.values())).used_s > CRAWL_S:
            self._kept.popitem(last=False)

    async def _through(
        self, key_id: str, uuids: Callable[[], Sequence[str]], visit: Callable[[StationState], None]
    ) -> Position:
        fault: Exception | None = None

        def visited(state: StationState) -> None:
            nonlocal fault
            try:
                visit(state)
            except Exception as error:  # noqa: BLE001 - whoever feeds the view is not to be hurt by it
                fault = error

        text, _ = await self._walks.through(key_id, uuids, visited, lambda _: "")
        if fault is not None:
            raise fault
        return Position.parse(text)

    # -- which EVSEs -------------------------------------------------------------------------------------

    def _whole(self, state: StationState, wanted: Wanted, crawl: Crawl) -> Iterator[tuple[str, str]]:
        station = self._view.station(state)
        if station is None or not wanted.has(station):
            return
        lacking = records.lacks(station)
        for evse in station.evses:
            held = state.changes.get(evse.key)
            if held is None or not is_listed(held.change):
                continue
            ids = identified(evse)
            if ids is not None and not wanted.chooses(station, evse, ids[0]):
                continue
            if ids is None or lacking is not None:
                crawl.left_out.add(evse, NO_ID if ids is None else lacking or "")
            else:
                yield evse.key, ""

    def _deltas(self, state: StationState, wanted: Wanted, since: int) -> Iterator[tuple[str, str]]:
        """What became of a station's EVSEs."""
        view = self._view
        record = view.records.get(state.uuid)
        station = view.directory.stations.get(state.uuid)
        if station is None or record is None or not wanted.has(station) or records.lacks(station):
            return
        is_there = view.station(state) is not None
        own = {evse.key: evse for evse in station.evses}
        for key, held in state.changes.items():
            evse = own.get(key) or _gone(view, key, state.uuid)
            ids = identified(evse)
            if ids is None or not wanted.chooses(station, evse, ids[0]):
                continue
            change = held.change
            if is_there and key in own and is_listed(change):
                if held.seq > since and (change.cause is Cause.REGISTERED or not change.was_source):
                    yield key, INSERT
                elif record.seq > since:
                    yield key, UPDATE
            elif max(held.seq, record.seq) > since and not self._is_elsewhere(key, state.uuid):
                yield key, DELETE

    def _is_elsewhere(self, key: str, uuid: str) -> bool:
        evse = self._view.directory.by_key(key)
        return evse is not None and evse.station != uuid

    # -- records -----------------------------------------------------------------------------------------

    def _records(
        self, state: StationState, crawl: Crawl, places: range, notation: Notation
    ) -> Iterator[records.Object]:
        view = self._view
        station = view.directory.stations.get(state.uuid)
        if station is None or records.lacks(station) is not None:
            return
        own = {evse.key: index for index, evse in enumerate(station.evses)}
        plugs = connectors(station)
        for place in places:
            key = crawl.keys[place]
            delta = crawl.deltas[place] if crawl.deltas else ""
            index = own.get(key)
            held = state.changes.get(key)
            is_there = (
                index is not None
                and held is not None
                and is_listed(held.change)
                and station.vanished_at is None
            )
            if not is_there and delta != DELETE:
                continue
            evse = _gone(view, key, state.uuid) if index is None else station.evses[index]
            if identified(evse) is not None:
                theirs = () if index is None else plugs[index]
                yield records.record(station, evse, theirs, notation, delta)


def _gone(view: View, key: str, uuid: str) -> Evse:
    """An EVSE that the station's record has no more, as far as it is known."""
    return Evse(key, uuid, evse_id=view.directory.name(key, uuid))
