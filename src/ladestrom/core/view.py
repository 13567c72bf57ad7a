"""The readers' side of the board: a fold over the log, station by station.

The write side has its own fold (`core/board.py`); this one stands at the position that readers have been
served up to, so that a snapshot taken from it joins the changes that follow without gap or double.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import takewhile
from operator import attrgetter, itemgetter
from typing import Final

import msgspec

from ladestrom.core import records
from ladestrom.core.directory import Directory
from ladestrom.core.selection import Selection
from ladestrom.model import (
    Cause,
    Change,
    Evse,
    Millis,
    Position,
    Station,
    StationChanged,
    Status,
    StatusChanged,
)
from ladestrom.ports.log import BoardRow, StationRow
from ladestrom.ports.signals import Confirmation

EARLY_MAX: Final = 200_000
"""Confirmations that wait for their change; those beyond are lost, until the next one of the same EVSE."""
_seq: Final = attrgetter("seq")
HIDDEN: Final = frozenset({Status.PLANNED, Status.REMOVED})
WITHDRAWN: Final = Cause.WITHDRAWN
SOURCES_SHARED_MAX: Final = 4_096
"""Sets of sources of which there is one object each: most EVSEs had the same few sources before."""


@lru_cache(SOURCES_SHARED_MAX)
def _joined(sources: tuple[str, ...], others: tuple[str, ...]) -> tuple[str, ...]:
    """One object for all EVSEs; a tuple, as the garbage collector goes through each set, and what has one."""
    return tuple(sorted({*sources, *others}))


class StationState(msgspec.Struct, gc=False, eq=False):
    """One station's statuses at the view's position.

    The garbage collector goes through none of these, nor through what they have: with 25,000 stations, that
    would be most of a collection.
    """

    uuid: str
    seq: int = 0
    """Sequence of the last change of one of its EVSEs, or of its record."""
    changes: dict[str, StatusChanged] = {}
    """Those in force, by EVSE key, in order of their sequences."""
    former: dict[str, tuple[str, ...]] = {}
    """Sources that its EVSEs (by key) had before, sorted, where others told of them since."""
    bodies: dict[str, bytes] = {}
    """What formats made of this state; emptied by the next change."""
    observed: dict[str, Millis] | None = None
    """When states in force were observed again, later than their changes say, by EVSE key."""
    record_body: bytes | None = None
    """What a format made of the station's record; dropped with it."""

    def sources(self) -> Iterator[str]:
        """Who told of its EVSEs last."""
        return (held.change.source for held in self.changes.values())

    def here(self) -> list[Change]:
        """Changes in force of the EVSEs that it has now, whatever became of others.

        Which others it had is known for as long as the log has it; nothing that is told may depend on them.
        """
        return [held.change for held in self.changes.values() if held.change.cause is not WITHDRAWN]

    def sources_ever(self) -> Iterator[str]:
        """Who told of them, now or before."""
        yield from self.sources()
        for sources in self.former.values():
            yield from sources


class View:
    """Every station on which some operator, present or past, may report; ordered by last change."""

    def __init__(self, directory: Directory, epoch: str, confirmations: int = 0) -> None:
        self.directory = directory
        self.epoch = epoch
        self.confirmations = confirmations
        """Grows whenever confirmations arrive: once a second, in several parts where they are many."""
        self._early: list[Confirmation] = []
        """Confirmations of changes that are not in the view yet. At most `EARLY_MAX`."""
        self.seq = 0
        self.records = {uuid: StationRow(0, station) for uuid, station in directory.stations.items()}
        """Those of the log, by uuid; the directory finds their EVSEs."""
        self.records_seq = 0
        """Of the last entry that brought a record."""
        self.former_lost_seq = 0
        """Of what filters saw of stations until here, not all is known."""
        self._relocated: OrderedDict[str, int] = OrderedDict()
        """Stations in which filters saw something else before, and until when, in that order."""
        self._walks: list[Walk] = []
        self._pins: list[Pin] = []
        self._states: OrderedDict[str, StationState] = OrderedDict()
        self._sorted: list[str] = []
        self._order: Order | None = None
        """Of the stations, for those who are far behind; None while nobody is."""

    @property
    def position(self) -> Position:
        """Everything up to here is in the view."""
        return Position(self.epoch, self.seq)

    def __len__(self) -> int:
        return len(self._states)

    def load(self, rows: Iterable[BoardRow], seq: int, stations: Iterable[StationRow] = ()) -> None:
        """Fills an empty view with what is in force at `seq`: changes, and records of stations."""
        entries: list[StatusChanged] = []
        former: dict[str, tuple[str, ...]] = {}
        for cell in rows:
            entries.append(StatusChanged(cell.seq, cell.change))
            if cell.former:
                former[cell.change.evse] = cell.former
        for row in stations:
            self._keep(row)
            # Whoever comes back to a station has to be told which EVSEs left it for another one.
            entries += [StatusChanged(left.seq, left.change) for left in row.left]
        for entry in sorted(entries, key=_seq):
            state, evse = self._put(entry), entry.change.evse
            if evse in former:
                state.former[evse] = _joined(state.former.get(evse, ()), former[evse])
        for uuid, state in self._states.items():
            record = self.records.get(uuid)
            newest = max(held.seq for held in state.changes.values())
            state.seq = newest if record is None else max(newest, record.seq)
        self._states = OrderedDict(sorted(self._states.items(), key=lambda item: item[1].seq))
        self._relocated = OrderedDict(sorted(self._relocated.items(), key=itemgetter(1)))
        self.seq = seq

    def _keep(self, row: StationRow, moving: Container[str] = ()) -> None:
        self.records[row.station.uuid] = row
        self.records_seq = max(self.records_seq, row.seq)
        self.former_lost_seq = max(self.former_lost_seq, row.lost_seq)
        if row.former and self._relocated.get(row.station.uuid) != row.former[-1].until:
            self._relocated[row.station.uuid] = row.former[-1].until
            self._relocated.move_to_end(row.station.uuid)
        self.directory.put(row.station, moving)

    def take_record(self, entry: StationChanged) -> tuple[StationState | None, Station | None]:
        """Takes the next entry of the log; returns the station's state, if it is listed, and its last record.

        EVSEs that came or went with it are entries of their own.
        """
        uuid = entry.change.station.uuid
        for walk in self._walks:
            walk.before(uuid)
        for pin in self._pins:
            pin.before(uuid)
        self.seq = entry.seq
        before = self.directory.stations.get(uuid)
        self._keep(records.follow(self.records.get(uuid), entry), entry.change.moving)
        state = self._states.get(uuid)
        if state is not None:
            self._states.move_to_end(uuid)
            state.seq = entry.seq
            state.bodies.clear()
            state.record_body = None
        return state, before

    def apply(self, entry: StatusChanged) -> tuple[StationState, Change | None]:
        """Takes the next entry of the log; returns the state of its station, and the change it replaced."""
        change = entry.change
        for walk in self._walks:
            walk.before(change.station)
        self.seq = entry.seq
        state = self._states.get(change.station)
        before = None if state is None else state.changes.get(change.evse)
        return self._put(entry), None if before is None else before.change

    def _put(self, entry: StatusChanged) -> StationState:
        change = entry.change
        state = self._states.get(change.station)
        if state is None:
            state = self._states[change.station] = StationState(change.station)
        else:
            self._states.move_to_end(change.station)
        # In order of their sequences, so that all who read the same log tell them in the same order.
        state.changes.pop(change.evse, None)
        state.changes[change.evse] = entry
        if state.observed is not None:
            state.observed.pop(change.evse, None)
        was_source = change.was_source
        if was_source and was_source != change.source:
            state.former[change.evse] = _joined(state.former.get(change.evse, ()), (was_source,))
        state.seq = entry.seq
        state.bodies.clear()
        return state

    def confirm(self, confirmations: Iterable[Confirmation]) -> None:
        """Takes what the writer says of states that were observed again."""
        self.confirmations += 1
        waited, self._early = self._early, []
        for confirmation in (*waited, *confirmations):
            station, evse, seq, at = confirmation
            state = self._states.get(station)
            held = None if state is None else state.changes.get(evse)
            if state is not None and held is not None and held.seq == seq:
                if state.observed is None:
                    state.observed = {}
                state.observed[evse] = at
            elif seq > self.seq and len(self._early) < EARLY_MAX:
                self._early.append(confirmation)

    def observed_at(self, seq: int, change: Change) -> Millis:
        """When the state that a change left was last known to hold.

        Of a state that is not in force any more, only what its change says is known.
        """
        state = self._states.get(change.station)
        if state is None or state.observed is None or state.changes[change.evse].seq != seq:
            return change.observed_at
        return state.observed.get(change.evse, change.observed_at)

    def former(self, state: StationState, since: int) -> list[Station]:
        """What filters saw of a station at some time since a position, where they see something else now."""
        row = self.records.get(state.uuid)
        return [] if row is None else [each.outline for each in row.former if each.until > since]

    def relocated_since(self, seq: int) -> list[str]:
        """Uuids of the stations in which filters saw something else at some time since a position."""
        found = takewhile(lambda uuid: self._relocated[uuid] > seq, reversed(self._relocated))
        return list(found)

    @contextmanager
    def pinned(self) -> Iterator[Pin]:
        """Records of stations as they are now, while the view goes on."""
        pin = Pin(self.directory)
        self._pins.append(pin)
        try:
            yield pin
        finally:
            self._pins.remove(pin)

    def get(self, uuid: str) -> StationState | None:
        """State of one station; None where no operator ever could report on it."""
        return self._states.get(uuid)

    def station(self, state: StationState) -> Station | None:
        """The registry's record of a listed station; None once it has vanished from its register."""
        station = self.directory.stations.get(state.uuid)
        return None if station is None or station.vanished_at is not None else station

    def named(self, wanted: Selection) -> list[str]:
        """Uuids of the stations that a selection may cover, in an order that is always the same."""
        return sorted(wanted.station) if wanted.station else list(self._states)

    def listed(self, state: StationState, wanted: Selection) -> Station | None:
        """The record of a station that is listed and in a selection; None for others."""
        station = self.directory.stations.get(state.uuid)
        if station is None or station.vanished_at is not None or not wanted.covers(station):
            return None
        return station

    def is_covered(self, state: StationState, wanted: Selection) -> bool:
        """Whether a station is in a selection.

        Also one that has vanished: its EVSEs are there until the log says otherwise.
        """
        station = self.directory.stations.get(state.uuid)
        return station is not None and wanted.covers(station, state.changes, state.sources())

    def shows(self, state: StationState, wanted: Selection) -> bool:
        """Whether a station's record is told to those who want records of this selection."""
        station = self.station(state)
        return station is not None and is_shown(station, sources_of(state.here()), wanted)

    def uuids(self) -> list[str]:
        """Uuids of all stations in the view, sorted; sorted anew only when one was added."""
        if len(self._sorted) != len(self._states):
            self._sorted = sorted(self._states)
        return self._sorted

    def walk(self, uuids: Iterable[str], visit: Callable[[StationState], None]) -> Walk:
        """Goes through the states of these stations as they are now, in as many steps as it takes.

        Between two steps the view may go on: a station that is about to change, or to get another record, is
        visited before it does. Every entry looks at the walk until it is ended (`end`).
        """
        made = Walk(self, uuids, visit)
        self._walks.append(made)
        return made

    def end(self, walk: Walk) -> None:
        """Nothing more is visited; ending twice does no harm."""
        if walk in self._walks:
            self._walks.remove(walk)

    def changed_since(self, seq: int, count_max: int | None = None) -> list[StationState]:
        """Stations with an entry after `seq`, in order of their last one; vanished ones included.

        This is how a consumer that fell behind, or came back, catches up: a part at a time, each after the
        last station of the part before. Fewer than `count_max` are the rest. Each part costs what it returns;
        the first one, and what is kept for the others until `forget_order`, what all of them do.
        """
        order = self._order
        if order is None or not order.reaches_back_to(seq) or len(order) > 2 * len(self._states):
            newer = self._newer(seq)
            if count_max is None or len(newer) < count_max:
                return newer
            order = self._order = Order(seq)
            order.add(newer, self.seq)
        found = order.after(seq, count_max)
        if len(found) != count_max and order.seq < self.seq:
            order.add(self._newer(order.seq), self.seq)
            found = order.after(seq, count_max)
        return found

    def _newer(self, seq: int) -> list[StationState]:
        """All stations with a change after `seq`, in order."""
        found = []
        for state in reversed(self._states.values()):
            if state.seq <= seq:
                break
            found.append(state)
        found.reverse()
        return found

    def forget_order(self) -> None:
        """Nobody is far behind any more."""
        self._order = None

    def change_of(self, evse: Evse) -> StatusChanged | None:
        """The change in force for an EVSE."""
        state = self._states.get(evse.station)
        return None if state is None else state.changes.get(evse.key)


class Pin:
    """Records of stations at one position (`View.pinned`)."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._replaced: dict[str, Station | None] = {}

    def renew(self) -> None:
        """The position is the present one from now on."""
        self._replaced.clear()

    def before(self, uuid: str) -> None:
        """A station is about to get another record."""
        self._replaced.setdefault(uuid, self._directory.stations.get(uuid))

    def station(self, uuid: str) -> Station | None:
        """The record that a station had then."""
        return self._replaced[uuid] if uuid in self._replaced else self._directory.stations.get(uuid)


class Order:
    """Stations in the order of their last change, from a position on, to be gone through in parts.

    A station that changes keeps its place, which counts no more, and gets another one when `add` is called.
    """

    def __init__(self, begins: int) -> None:
        self.seq = begins
        """Position up to which changes are in it."""
        self._begins = begins
        self._states: list[StationState] = []
        self._seqs = array("q")
        """Of their last changes, as they were added."""

    def __len__(self) -> int:
        """Places, whether they count or not."""
        return len(self._states)

    def reaches_back_to(self, seq: int) -> bool:
        """Whether all that changed after this position has been added, or will be."""
        return self._begins <= seq

    def add(self, states: Sequence[StationState], seq: int) -> None:
        """Adds all that have changed since, up to this position, in order."""
        self._states += states
        self._seqs.extend([state.seq for state in states])
        self.seq = seq

    def after(self, seq: int, count_max: int | None) -> list[StationState]:
        """The first ones with a change after this position."""
        found: list[StationState] = []
        states, seqs = self._states, self._seqs
        for place in range(bisect_right(seqs, seq), len(states)):
            if len(found) == count_max:
                break
            state = states[place]
            if state.seq == seqs[place]:
                found.append(state)
        return found


class Walk:
    """Visits every state once, all of them as they were at one position (`View.walk`)."""

    def __init__(self, view: View, uuids: Iterable[str], visit: Callable[[StationState], None]) -> None:
        self.seq = view.seq
        """The position."""
        self._view = view
        self._visit = visit
        self._uuids = list(uuids)
        self._places: dict[str, int] = {}
        """By uuid; made when the first station changes, as many walks see none."""
        self._place = 0
        """Of the station that is next."""
        self._early: set[str] = set()
        """Those that were visited out of turn."""

    def before(self, uuid: str) -> None:
        """A station or its record is about to change: it is visited out of turn."""
        if not self._places:
            self._places = {uuid: place for place, uuid in enumerate(self._uuids)}
        if self._places.get(uuid, -1) >= self._place and uuid not in self._early:
            self._early.add(uuid)
            state = self._view.get(uuid)
            if state is not None:
                self._visit(state)

    def go(self, count: int) -> bool:
        """Visits the next so many; says whether there are others."""
        part = self._uuids[self._place : self._place + count]
        self._place += len(part)
        early, find, visit = self._early, self._view.get, self._visit
        for uuid in part:
            if uuid not in early:
                state = find(uuid)
                if state is not None:
                    visit(state)
        return self._place < len(self._uuids)


def sources_of(changes: Iterable[Change]) -> tuple[str, ...]:
    """Who told of EVSEs last."""
    return tuple(change.source for change in changes)


def is_shown(station: Station, sources: Collection[str], wanted: Selection) -> bool:
    """Whether a record is told, of a station with EVSEs of these sources: with none, it is not listed."""
    return bool(sources) and station.vanished_at is None and wanted.covers(station, (), sources)


def is_listed(change: Change | None) -> bool:
    """Whether an EVSE is shown: PLANNED and REMOVED are not; one that nobody reported on is (unknown)."""
    return change is None or change.status not in HIDDEN
