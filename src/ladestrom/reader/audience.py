"""Which channels hear of a change.

A channel is filed once, under what its selection names: nothing, countries, operators, boxes, EVSEs or
stations. A change looks up what its station is. Nothing is kept for a station, so nothing can be out of date
when a channel comes or goes or the registry changes, and what a selection costs to file does not depend on
how many stations there are.

Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator
from typing import Any, Final

from ladestrom.core.selection import Box, Selection, operator_words
from ladestrom.model import Station
from ladestrom.reader.channel import Channel, PendingRow

KINDS_MAX: Final = 10_000
"""Kinds of stations that are remembered; beyond that they are asked about anew. The 5,571 stations of fifteen
French operators are of 20 kinds."""
CELL_DEGREES: Final = (0.25, 1.0, 4.0, 16.0, 64.0)
"""Edges of the cells of a grid, finest first: a town, a region, a country, a continent, the world."""
CELLS_PER_BOX_MAX: Final = 64
"""A box is filed under the finest cells of which it touches no more than this; of the largest, all of the
world has 28."""

Kind = tuple[str, frozenset[str], frozenset[str]]
"""What a filter on countries and operators sees of a change: the country and the operators' words of its
station, and its sources."""
Cell = tuple[float, float]
"""A cell's place in its grid, from west and from south, counted in cells."""

_Index = dict[Any, dict[Channel, None]]


class Audience:
    """Channels that hear of the same stations, arranged so that a change costs each of them one append."""

    __slots__ = ("choosy", "gathering", "raw", "single")

    def __init__(self, channels: Iterable[Channel], batched: Callable[[str], bool]) -> None:
        """Args:
        channels: those that hear from the start.
        batched: whether a dialect gathers changes into messages.
        """
        self.single: dict[tuple[str, str], dict[Channel, Callable[[tuple[bytes, int]], None]]] = {}
        """Windows that take each change as a frame, by dialect and framing."""
        self.gathering: dict[str, dict[Channel, Callable[[PendingRow], None]]] = {}
        """Waiting rows of those that take each change of a station into their next message, by dialect."""
        self.choosy: dict[str, dict[Channel, Callable[[PendingRow], None]]] = {}
        """Likewise of those that look at EVSE and status, by dialect."""
        self.raw: dict[Channel, None] = {}
        """Channels that hear of each report."""
        for channel in channels:
            self.add(channel, batched)

    def __bool__(self) -> bool:
        return bool(self.single or self.gathering or self.choosy or self.raw)

    @property
    def channels(self) -> Iterator[Channel]:
        """All of them; one that hears of reports too comes twice."""
        for heard in (self.single, self.gathering, self.choosy):
            for channels in heard.values():
                yield from channels
        yield from self.raw

    def add(self, channel: Channel, batched: Callable[[str], bool], *, choosy: bool = False) -> None:
        """The channel hears from now on; a choosy one looks at each change."""
        subscription = channel.subscription
        if subscription.raw:
            self.raw[channel] = None
        if not subscription.updates:
            return
        if not batched(subscription.dialect):
            self.single.setdefault((subscription.dialect, subscription.framing), {})[channel] = (
                channel.put_frame
            )
        elif subscription.selection.by_station and not choosy:
            self.gathering.setdefault(subscription.dialect, {})[channel] = channel.put_row
        else:
            self.choosy.setdefault(subscription.dialect, {})[channel] = channel.put_row

    def discard(self, channel: Channel) -> None:
        """The channel hears no more."""
        self.raw.pop(channel, None)
        subscription = channel.subscription
        _drop(self.single, (subscription.dialect, subscription.framing), channel)
        _drop(self.gathering, subscription.dialect, channel)
        _drop(self.choosy, subscription.dialect, channel)


class Audiences:
    """All channels, by what their selections name. Each is filed in one way only."""

    def __init__(self, batched: Callable[[str], bool]) -> None:
        self._batched = batched
        self._everywhere = Audience((), batched)
        """Of those that do not look at what a station is."""
        self._countries: dict[str, Audience] = {}
        """Of those that look at its country alone."""
        self._operators: dict[Channel, None] = {}
        """Those that look at its operators, and perhaps at its country."""
        self._kinds: dict[Kind, Audience] = {}
        """Of these, those that hear of a kind of station; made when the first change needs it."""
        self._stations: dict[str, dict[Channel, None]] = {}
        """Those that name stations, by uuid."""
        self._evses: dict[str, dict[Channel, None]] = {}
        """Those that name EVSEs, by key."""
        self._grids: dict[float, dict[Cell, dict[Channel, None]]] = {}
        """Those that have a box, by the cells that it touches, by the edge of the cells in degrees."""

    def add(self, channel: Channel) -> None:
        """A channel came: it hears of every change from now on that its selection covers."""
        selection = channel.subscription.selection
        narrow = self._narrow(selection)
        if narrow is not None:
            index, keys = narrow
            for key in keys:
                index.setdefault(key, {})[channel] = None
        elif selection.operator:
            self._operators[channel] = None
            for kind, audience in self._kinds.items():
                self._enlist(channel, kind, audience)
        elif selection.country:
            for country in selection.country:
                if country not in self._countries:
                    self._countries[country] = Audience((), self._batched)
                self._countries[country].add(channel, self._batched)
        else:
            self._everywhere.add(channel, self._batched)

    def discard(self, channel: Channel) -> None:
        """A channel has gone: nothing refers to it any more."""
        selection = channel.subscription.selection
        narrow = self._narrow(selection)
        if narrow is not None:
            index, keys = narrow
            for key in keys:
                _drop(index, key, channel)
            self._grids = {edge: cells for edge, cells in self._grids.items() if cells}
        elif selection.operator:
            self._operators.pop(channel, None)
            if not self._operators:
                self._kinds.clear()
            for audience in self._kinds.values():
                audience.discard(channel)
        elif selection.country:
            for country in selection.country & self._countries.keys():
                self._countries[country].discard(channel)
            self._countries = {country: found for country, found in self._countries.items() if found}
        else:
            self._everywhere.discard(channel)

    def _narrow(
        self, selection: Selection
    ) -> tuple[dict[Any, dict[Channel, None]], Iterable[Hashable]] | None:
        """Where a selection is filed that names stations, EVSEs or a place, and under what."""
        if selection.station:
            return self._stations, selection.station
        if selection.evse:
            return self._evses, selection.evse
        if selection.box is not None:
            edge, cells = cells_of(selection.box)
            return self._grids.setdefault(edge, {}), cells
        return None

    def of(self, station: Station, evse: str, sources: Collection[str] = ()) -> list[Audience]:
        """Who hears of a change of one of a station's EVSEs (key): each channel is in one of these.

        Args:
            station: as the register has it.
            evse: key of the EVSE.
            sources: of the change and of the one that it replaces, by which operators may be meant, too.
        """
        found = [self._everywhere] if self._everywhere else []
        country = self._countries.get(station.country)
        if country is not None:
            found.append(country)
        if self._operators:
            found.append(self._kind(station, sources))
        close, held = Audience((), self._batched), (evse,)
        for channel in self._close(station, evse):
            selection = channel.subscription.selection
            if selection.covers(station, held):
                close.add(channel, self._batched)
            elif self._batched(channel.subscription.dialect) and selection.covers(station, held, sources):
                close.add(channel, self._batched, choosy=True)
        if close:
            found.append(close)
        return found

    def choosers(self, station: Station, evses: Iterable[str], sources: Iterable[str]) -> set[Channel]:
        """Those that may hear of a station for what its record, or one of its EVSEs (keys), is."""
        found: set[Channel] = set()
        country = self._countries.get(station.country)
        if country is not None:
            found.update(country.channels)
        if self._operators:
            found.update(self._kind(station, sources).channels)
        for evse in evses:
            found.update(self._close(station, evse))
        return found

    def _kind(self, station: Station, sources: Iterable[str]) -> Audience:
        words = frozenset(operator_words(station))
        kind = station.country, words, frozenset(map(str.casefold, sources)) - words
        audience = self._kinds.get(kind)
        if audience is None:
            if len(self._kinds) >= KINDS_MAX:
                self._kinds.clear()
            audience = self._kinds[kind] = Audience((), self._batched)
            for channel in self._operators:
                self._enlist(channel, kind, audience)
        return audience

    def _enlist(self, channel: Channel, kind: Kind, audience: Audience) -> None:
        """Has a channel hear of a kind of changes, if its selection covers some of them."""
        country, words, sources = kind
        selection = channel.subscription.selection
        if selection.covers_kind(country, words):
            audience.add(channel, self._batched)
        elif self._batched(channel.subscription.dialect) and selection.covers_kind(country, sources):
            audience.add(channel, self._batched, choosy=True)

    def _close(self, station: Station, evse: str) -> Iterator[Channel]:
        """Those that name the station, the EVSE, or a place close by."""
        yield from self._stations.get(station.uuid, ())
        yield from self._evses.get(evse, ())
        for edge, cells in self._grids.items():
            yield from cells.get((station.longitude // edge, station.latitude // edge), ())


def cells_of(box: Box) -> tuple[float, list[Cell]]:
    """The finest cells of which a box does not touch too many: their edge in degrees, and which they are."""
    spans = [(box.west, box.east)] if box.west <= box.east else [(box.west, 180.0), (-180.0, box.east)]
    for edge in CELL_DEGREES:
        rows = range(int(box.south // edge), int(box.north // edge) + 1)
        columns = [range(int(west // edge), int(east // edge) + 1) for west, east in spans]
        if len(rows) * sum(map(len, columns)) <= CELLS_PER_BOX_MAX:
            break
    return edge, [(column, row) for part in columns for column in part for row in rows]


def _drop(index: dict[Any, dict[Channel, Any]], key: Hashable, channel: Channel) -> None:
    filed = index.get(key)
    if filed is not None:
        filed.pop(channel, None)
        if not filed:
            del index[key]
