"""What the log says, folded by other means than the server's: what every consumer must have been told.

Written from the rules alone; imports nothing of ladestrom but its nouns, so that a mistake there cannot repeat
itself here.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from ladestrom.model import Change, Entry, Station

HIDDEN: Final = frozenset({"PLANNED", "REMOVED"})
NOBIL: Final[Mapping[str, tuple[int, int]]] = {
    "AVAILABLE": (0, 0),
    "BLOCKED": (1, 0),
    "CHARGING": (1, 0),
    "INOPERATIVE": (-1, 1),
    "OUTOFORDER": (-1, 1),
    "RESERVED": (1, 0),
    "UNKNOWN": (-1, 0),
}
"""Status and error on version 1 of the stream."""

Told = tuple[str, str, str, int, str | None, str | None, str, str]
"""A row of version 2: station, evse, status, error, changed_at, observed_at, source, cause."""
Body = tuple[int, tuple[tuple[int, int, int], ...]]
"""A station of version 1: status; and status, error and timestamp of its connectors."""


class Fact(NamedTuple):
    """One entry of the log."""

    seq: int
    key: str
    station: str
    row: Told
    was: tuple[str, int]
    error: bool
    changed_at: int

    @property
    def status(self) -> str:
        return self.row[2]

    @property
    def leaves(self) -> bool:
        """An EVSE is taken out: version 1 shows it once more, as unknown."""
        return self.row[2] == "REMOVED" and self.row[7] != "registered"


class Wish(NamedTuple):
    """What a consumer asks for, in words and as what it comes to."""

    words: Mapping[str, str]
    stations: frozenset[str]
    evses: frozenset[str] | None = None
    """Keys; None is all of these stations."""
    statuses: frozenset[str] | None = None
    source: str = ""
    """In version 2, what it tells is asked for too, wherever its EVSEs are."""

    def is_about(self, fact: Fact) -> bool:
        is_there = fact.station in self.stations or (self.source != "" and fact.row[6] == self.source)
        return is_there and (self.evses is None or fact.key in self.evses)

    def wants(self, fact: Fact) -> bool:
        """Whether each change of this kind is told: what leads out of the chosen statuses is, too."""
        if not self.is_about(fact):
            return False
        return self.statuses is None or fact.status in self.statuses or fact.was[0] in self.statuses


class Truth:
    """The log of one epoch, entry by entry."""

    def __init__(self, names: Mapping[str, str], stations: Mapping[str, Station]) -> None:
        self.names = names
        """EVSE key to its id as written."""
        self.stations = stations
        """The registry as it is now."""
        self.facts: list[Fact] = []
        self.newest: dict[str, int] = {}
        """Station to the sequence of its last change."""

    def add(self, entries: Iterable[Entry]) -> None:
        """Takes entries that have just become durable."""
        for entry in entries:
            fact = fact_of(entry.seq, entry.change, self.names)
            self.facts.append(fact)
            self.newest[fact.station] = fact.seq

    def until(self, seq: int) -> Truth:
        """The same log without what came after `seq`: how it begins in another epoch."""
        other = Truth(self.names, self.stations)
        other.facts = self.facts[:seq]
        for fact in other.facts:
            other.newest[fact.station] = fact.seq
        return other

    def between(self, after: int, until: int) -> Sequence[Fact]:
        """Facts with `after < seq <= until`."""
        return self.facts[after:until]


class Reader:
    """The state that a consumer of version 2 must have: a fold that goes along with its position."""

    def __init__(self, truth: Truth, wish: Wish) -> None:
        self.truth = truth
        self.wish = wish
        self.at = 0
        self.rows: dict[str, Told] = {}
        """By EVSE as written."""

    def go(self, seq: int) -> None:
        """Moves on to a position."""
        statuses = self.wish.statuses
        for fact in self.truth.between(self.at, seq):
            if not self.wish.is_about(fact):
                continue
            name = fact.row[1]
            if fact.status in HIDDEN or (statuses is not None and fact.status not in statuses):
                self.rows.pop(name, None)
            else:
                self.rows[name] = fact.row
        self.at = max(self.at, seq)

    def every(self, seq: int) -> Iterator[Fact]:
        """Each change after the present position that a consumer has to be told, up to `seq`."""
        return (fact for fact in self.truth.between(self.at, seq) if self.wish.wants(fact))


class StationReader:
    """The state that a consumer of version 1 must have."""

    def __init__(self, truth: Truth, wish: Wish) -> None:
        self.truth = truth
        self.wish = wish
        self.at = 0
        self._facts: dict[str, dict[str, Fact]] = {}
        self._last: dict[str, Fact] = {}

    def go(self, seq: int) -> None:
        """Moves on to a position."""
        for fact in self.truth.between(self.at, seq):
            if fact.station in self.wish.stations:
                self._facts.setdefault(fact.station, {})[fact.key] = fact
                self._last[fact.station] = fact
        self.at = max(self.at, seq)

    def uuids(self) -> set[str]:
        """Stations that are listed."""
        return {uuid for uuid in self._facts if self.truth.stations[uuid].vanished_at is None}

    def has_left(self, uuid: str) -> bool:
        """Whether the station's last change took an EVSE out, which is shown once more and then needs no change
        to be gone.
        """
        return uuid in self._last and self._last[uuid].leaves

    def bodies(self, uuid: str) -> set[Body]:
        """What may be shown of a station: an EVSE that has just left may be there once more, or not."""
        last = self._last[uuid]
        shown = {self._body(uuid, None)}
        if last.leaves:
            shown.add(self._body(uuid, last))
        return shown

    def _body(self, uuid: str, leaving: Fact | None) -> Body:
        station = self.truth.stations[uuid]
        facts = self._facts[uuid]
        connectors = []
        for outlet in () if station.vanished_at is not None else station.outlets:
            fact = facts.get(station.evses[outlet.evse].key)
            if fact is None:
                connectors.append((-1, 0, -1))
            elif fact is leaving:
                connectors.append((-1, 0, fact.changed_at))
            elif fact.status not in HIDDEN:
                status, error = NOBIL[fact.status]
                connectors.append((status, error | fact.error, fact.changed_at))
        return _station_status(connectors), tuple(connectors)


def fact_of(seq: int, change: Change, names: Mapping[str, str]) -> Fact:
    """An entry in the words of the stream."""
    row = (
        change.station,
        names[change.evse],
        str(change.status.value),
        int(change.error),
        _iso(change.changed_at),
        _iso(change.observed_at),
        change.source,
        str(change.cause.value),
    )
    was = (str(change.was_status.value), int(change.was_error))
    return Fact(seq, change.evse, change.station, row, was, change.error, change.changed_at)


def _station_status(connectors: Sequence[tuple[int, int, int]]) -> int:
    """Error before unknown before available before occupied."""
    if any(error for _, error, _ in connectors):
        return 2
    statuses = {status for status, _, _ in connectors} or {-1}
    return next(status for status in (-1, 0, 1) if status in statuses)


def _iso(at: int) -> str | None:
    if at < 0:
        return None
    seconds, ms = divmod(at, 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{ms:03d}Z"
