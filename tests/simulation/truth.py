"""What the log says, folded by other means than the server's: what every consumer must have been told.

Written from the rules alone; imports nothing of ladestrom but its nouns, so that a mistake there cannot repeat
itself here.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from ladestrom.model import Change, Entry, Station, StationChanged, evse_key

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
"""A row of version 2: station, evse (its key), status, error, changed_at, observed_at, source, cause."""
Was = tuple[str, int]
"""Status and error before."""
Body = tuple[int | None, tuple[tuple[int, int, int], ...]]
"""A station of version 1: status; and status, error and timestamp of its connectors."""

RecordTold = tuple[str | None, float, float, tuple[tuple[str, int], ...], int]
"""A station's record: operator, latitude, longitude, each EVSE's key and number of connectors; its revision."""
Outline = tuple[object, ...]
"""What filters see of a station."""

NO_BODY: Final[Body] = (-1, ())


class Record(NamedTuple):
    """What a register says of a station, as far as consumers are told of it or may ask for it."""

    uuid: str
    country: str
    longitude: float
    latitude: float
    operators: frozenset[str]
    """Its operator and its EVSEs' parties, in small letters."""
    connectors: tuple[str, ...]
    """The key of each one's EVSE, in registry order; none of a station that has vanished."""
    is_there: bool
    """It has not vanished."""
    keys: frozenset[str] = frozenset()
    """Of its EVSEs."""
    told: RecordTold = (None, 0.0, 0.0, (), 0)

    @property
    def outline(self) -> Outline:
        """What filters see of it."""
        return self[1:5]


class Fact(NamedTuple):
    """One entry of the log: an EVSE's status is another."""

    seq: int
    key: str
    station: str
    row: Told
    was: Was
    error: bool
    changed_at: int
    was_source: str
    received_at: int

    @property
    def status(self) -> str:
        return self.row[2]

    @property
    def source(self) -> str:
        return self.row[6]

    @property
    def is_shown(self) -> bool:
        return self.status not in HIDDEN

    @property
    def is_here(self) -> bool:
        """The EVSE is at this station: it did not leave it."""
        return self.row[7] != "withdrawn"

    @property
    def leaves(self) -> bool:
        """An EVSE is taken out: version 1 shows it once more, as unknown."""
        return self.row[2] == "REMOVED" and self.row[7] != "registered"


class Renewed(NamedTuple):
    """One entry of the log: a station's record is another."""

    seq: int
    record: Record
    received_at: int

    @property
    def station(self) -> str:
        return self.record.uuid


class Wish(NamedTuple):
    """What a consumer asks for, in words and as what it comes to; None lets all pass."""

    words: Mapping[str, str]
    country: str | None = None
    operator: str | None = None
    """In small letters. In version 2, what a source of this name tells is asked for too, wherever it is."""
    stations: frozenset[str] | None = None
    box: tuple[float, float, float, float] | None = None
    """West, south, east, north."""
    evses: frozenset[str] | None = None
    """Keys."""
    statuses: frozenset[str] | None = None

    @property
    def by_record(self) -> bool:
        """Whether another record of a station may let it in, or out."""
        return self.country is not None or self.operator is not None or self.box is not None

    @property
    def by_whereabouts(self) -> bool:
        """Whether an EVSE may be let in, or out, by going to another station, or its station elsewhere."""
        return self.by_record or self.stations is not None

    def has(self, record: Record | None, source: str = "") -> bool:
        """Whether a station passes, and what this source tells of it."""
        if record is None:
            return False
        if self.country is not None and record.country != self.country:
            return False
        if self.stations is not None and record.uuid not in self.stations:
            return False
        if self.operator is not None and self.operator not in record.operators | {source.lower()}:
            return False
        if self.box is None:
            return True
        west, south, east, north = self.box
        return west <= record.longitude <= east and south <= record.latitude <= north

    def shows(self, record: Record | None, facts: Iterable[Fact]) -> bool:
        """Whether a station's record is told, which has these EVSEs, or had them."""
        here = [fact for fact in facts if fact.is_here]
        if record is None or not record.is_there or not here:
            return False
        if self.evses is not None and self.evses.isdisjoint(record.keys):
            return False
        return any(self.has(record, fact.source) for fact in here)

    def chooses(self, key: str, status: str) -> bool:
        """Whether an EVSE passes in this status, whatever its station."""
        is_meant = self.evses is None or key in self.evses
        return is_meant and status not in HIDDEN and (self.statuses is None or status in self.statuses)

    def is_about(self, fact: Fact) -> bool:
        """Whether a change is told where its station passes: what leads out of the chosen statuses is, too."""
        if self.evses is not None and fact.key not in self.evses:
            return False
        return self.statuses is None or fact.status in self.statuses or fact.was[0] in self.statuses


class Truth:
    """The log of one epoch, entry by entry."""

    def __init__(self) -> None:
        self.taken_over: Sequence[Record] = ()
        """Records with which a log of the old form was taken over: they hold for all that is older."""
        self.unknown_until = 0
        """Of what stations were before, nothing is known: who stands before this begins anew."""
        self.facts: list[Fact | Renewed] = []
        self.newest: dict[str, int] = {}
        """Station to the sequence of its last change."""
        self.changes = 0
        """Facts about EVSEs."""
        self.records: dict[str, Record] = {}
        self.evses: dict[str, Fact] = {}
        """The newest of each, by key."""
        self.held: dict[str, dict[str, Fact]] = {}
        """The newest of each at each station, by uuid and key."""
        self.ended: dict[str, dict[Outline, int]] = {}
        """What filters saw of a station before, and the entry that ended it."""
        self._moves: list[tuple[int, str]] = []
        """Entries by which filters see another station than before: sequence and station."""
        self._received: list[int] = []
        """When entries were received."""

    def add(self, entries: Iterable[Entry]) -> None:
        """Takes entries that have just become durable."""
        for entry in entries:
            self._add(fact_of(entry))

    def _add(self, fact: Fact | Renewed) -> None:
        self.facts.append(fact)
        self.newest[fact.station] = fact.seq
        self._received.append(fact.received_at)
        if isinstance(fact, Fact):
            self.changes += 1
            self.evses[fact.key] = fact
            self.held.setdefault(fact.station, {})[fact.key] = fact
            return
        if fact.record is _NOWHERE:
            return
        before = self.records.get(fact.station)
        if before is not None and before.outline != fact.record.outline:
            self._moves.append((fact.seq, fact.station))
            self.ended.setdefault(fact.station, {})[before.outline] = fact.seq
        self.records[fact.station] = fact.record

    def take_over(self, stations: Iterable[Station]) -> None:
        """The log was of the old form, and has these records from now on."""
        self.taken_over = [record_of(station) for station in stations]
        self.unknown_until = len(self.facts) + 1
        self.records = {record.uuid: record for record in self.taken_over}
        self._moves.clear()
        self.ended.clear()
        self.facts = [
            fact._replace(record=_NOWHERE) if isinstance(fact, Renewed) else fact for fact in self.facts
        ]

    def until(self, seq: int) -> Truth:
        """The same log without what came after `seq`: how it begins in another epoch."""
        other = Truth()
        other.taken_over, other.unknown_until = self.taken_over, self.unknown_until
        other.records = {record.uuid: record for record in self.taken_over}
        for fact in self.facts[:seq]:
            other._add(fact)
        return other

    def moved_since(self, seq: int) -> set[str]:
        """Stations in which filters may have seen something else after a position than they see now."""
        return {station for at, station in self._moves if at > seq}

    def changed_since(self, seq: int) -> set[str]:
        """Stations of which anything is another since a position."""
        return {station for station, at in self.newest.items() if at > seq}

    def received_at(self, seq: int) -> int:
        """When an entry was received."""
        return self._received[seq - 1]

    def before(self, at: int) -> int:
        """The last entry that was received before an instant."""
        return bisect_left(self._received, at)

    def between(self, after: int, until: int) -> Sequence[Fact | Renewed]:
        """Facts with `after < seq <= until`."""
        return self.facts[after:until]


class Fold:
    """What the log adds up to at a position."""

    def __init__(self, truth: Truth) -> None:
        self.truth = truth
        self.at = 0
        self._taken_over = truth.taken_over
        self.records = {record.uuid: record for record in truth.taken_over}
        self.held: dict[str, dict[str, Fact]] = {}
        """Each station's EVSEs, by uuid and key; those that left it, too."""
        self.newest: dict[str, Fact] = {}
        """Of each EVSE, by key."""

    def told_records(self, wish: Wish) -> dict[str, RecordTold]:
        """Records that a consumer has who asked for them, by uuid."""
        return {
            uuid: self.records[uuid].told
            for uuid, facts in self.held.items()
            if wish.shows(self.records.get(uuid), facts.values())
        }

    def go(self, seq: int) -> None:
        """Moves on to a position."""
        if self._taken_over is not self.truth.taken_over:
            # It began before the log was taken over.
            self._taken_over = self.truth.taken_over
            self.records = {record.uuid: record for record in self._taken_over}
        for fact in self.truth.between(self.at, seq):
            self.take(fact)
        self.at = max(self.at, seq)

    def take(self, fact: Fact | Renewed) -> None:
        """Takes the next entry."""
        if isinstance(fact, Renewed):
            self.records[fact.station] = fact.record
        else:
            self.held.setdefault(fact.station, {})[fact.key] = fact
            self.newest[fact.key] = fact


class Reader(Fold):
    """The state that a consumer of version 2 must have: a fold that goes along with its position."""

    def __init__(self, truth: Truth, wish: Wish) -> None:
        super().__init__(truth)
        self.wish = wish
        self.rows: dict[str, Told] = {}
        """By EVSE (key)."""
        self._steps: list[tuple[str, Told, Was]] = []

    def take(self, fact: Fact | Renewed) -> None:
        """Takes the next entry."""
        if isinstance(fact, Renewed):
            before = self.records.get(fact.station)
            super().take(fact)
            self._renewed(fact, before)
            return
        super().take(fact)
        wish, record = self.wish, self.records.get(fact.station)
        if wish.chooses(fact.key, fact.status) and wish.has(record, fact.source):
            self.rows[fact.key] = fact.row
        elif fact.is_shown or self.rows.get(fact.key, fact.row)[0] == fact.station:
            # It is not shown at another station, to which it went from this one.
            self.rows.pop(fact.key, None)
        if not wish.is_about(fact):
            return
        if wish.has(record, fact.source):
            self._steps.append((fact.station, fact.row, fact.was))
        elif wish.chooses(fact.key, fact.was[0]) and wish.has(record, fact.was_source):
            self._steps.append((fact.station, _gone(fact.row), fact.was))

    def _renewed(self, fact: Renewed, before: Record | None) -> None:
        moved = []
        for held in self.held.get(fact.station, {}).values():
            if not self.wish.chooses(held.key, held.status):
                continue
            had, has = self.wish.has(before, held.source), self.wish.has(fact.record, held.source)
            if has and not had:
                self.rows[held.key] = held.row
                moved.append((fact.station, (*held.row[:7], "selected"), ("REMOVED", 0)))
            elif had and not has:
                self.rows.pop(held.key, None)
                moved.append((fact.station, _gone(held.row), (held.status, held.row[3])))
        self._steps += sorted(moved)

    def steps(self, seq: int) -> Iterator[tuple[str, Told, Was]]:
        """Moves on to a position; each change on the way that a consumer has to be told, and its station."""
        self._steps = []
        self.go(seq)
        return iter(self._steps)


class StationReader(Fold):
    """The state that a consumer of version 1 must have."""

    def __init__(self, truth: Truth, wish: Wish) -> None:
        super().__init__(truth)
        self.wish = wish
        self._leaving: dict[str, Body] = {}
        """Stations whose last change took an EVSE out, as they are shown once with it."""

    def take(self, fact: Fact | Renewed) -> None:
        """Takes the next entry."""
        super().take(fact)
        if isinstance(fact, Fact):
            self._leaving.pop(fact.station, None)
            if fact.leaves:
                self._leaving[fact.station] = self._body(fact.station, fact)

    def uuids(self) -> set[str]:
        """Stations that are listed; of those that all EVSEs left, only some may be."""
        return {uuid for uuid in self.held if self._is_listed(uuid)}

    def _is_listed(self, uuid: str) -> bool:
        record = self.records.get(uuid)
        return record is not None and record.is_there and self.wish.has(record)

    def shows(self, uuid: str, body: Body) -> bool:
        """Whether a station may be shown so.

        An EVSE that has just left may be there once more, or not. Of a station that is not in the selection,
        nothing may be known.
        """
        if not self._is_listed(uuid):
            return body[0] == -1 and all((status, error) == (-1, 0) for status, error, _ in body[1])
        # Of an EVSE that is on its way back to it, a server that was started anew may know nothing.
        return body in {self._body(uuid), self._body(uuid, is_new=True), self._leaving.get(uuid)}

    def body(self, uuid: str) -> Body:
        """How a station is shown now."""
        return self._body(uuid)

    def _body(self, uuid: str, leaving: Fact | None = None, *, is_new: bool = False) -> Body:
        record, facts = self.records.get(uuid), self.held.get(uuid, {})
        connectors = []
        for key in () if record is None else record.connectors:
            fact = facts.get(key)
            if fact is None or (is_new and self.newest[key] is not fact):
                connectors.append((-1, 0, -1))
            elif fact is leaving:
                connectors.append((-1, 0, fact.changed_at))
            elif fact.is_shown:
                status, error = NOBIL[fact.status]
                connectors.append((status, error | fact.error, fact.changed_at))
        return _station_status(connectors), tuple(connectors)


def fact_of(entry: Entry) -> Fact | Renewed:
    """An entry in the words of the stream."""
    if isinstance(entry, StationChanged):
        return Renewed(entry.seq, record_of(entry.change.station, entry.seq), entry.change.received_at)
    change: Change = entry.change
    row = (
        change.station,
        change.evse,
        str(change.status.value),
        int(change.error),
        _iso(change.changed_at),
        _iso(change.observed_at),
        change.source,
        str(change.cause.value),
    )
    was = (str(change.was_status.value), int(change.was_error))
    return Fact(
        entry.seq,
        change.evse,
        change.station,
        row,
        was,
        change.error,
        change.changed_at,
        change.was_source,
        change.received_at,
    )


def record_of(station: Station, revision: int = 0) -> Record:
    """A station's record as far as it matters here."""
    words = {evse.party for evse in station.evses} | {station.operator}
    is_there = station.vanished_at is None
    outlets = [outlet.evse for outlet in station.outlets]
    evses = tuple((evse.key, outlets.count(place)) for place, evse in enumerate(station.evses))
    return Record(
        station.uuid,
        station.country,
        station.longitude,
        station.latitude,
        frozenset(word.lower() for word in words if word),
        tuple(station.evses[outlet.evse].key for outlet in station.outlets) if is_there else (),
        is_there,
        frozenset(evse.key for evse in station.evses),
        (station.operator, station.latitude, station.longitude, evses, revision),
    )


def spelling(name: str) -> str:
    """An EVSE's name in the form in which names compare."""
    return evse_key(name) or name.upper()


def _gone(row: Told) -> Told:
    return (row[0], row[1], "REMOVED", 0, *row[4:7], "deselected")


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


_NOWHERE: Final = Record("", "", 0.0, 0.0, frozenset(), (), is_there=False)
