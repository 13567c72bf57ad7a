"""What one charge point has said of its connectors, and what follows from it for EVSEs.

Knows numbers, statuses and instants. Must not know messages or versions: `ocpp16` and `ocpp2` read those.

A charge point counts its EVSEs from 1 (the `connectorId` of 1.6, the `evseId` of 2.x), and the connectors of
each from 1. Number 0 is the charge point as a whole, connector 0 an EVSE as a whole:

| who is faulted or unavailable | what its EVSEs are |
|---|---|
| the charge point | all of them that, until it is lifted; then what they were themselves |
| the EVSE | that, until it is lifted |
| a connector | what its other connectors leave: a car takes the EVSE, not the plug |
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from ladestrom.core.rules import EARLIEST_AT
from ladestrom.model import Millis, Reason, Station, Status, StatusReport
from ladestrom.protocols.delivery import ARRIVAL, Delivery, Gathering, shown

WHOLE: Final = 0
"""OCPP 1.6, section 3.6 (Core Profile): ConnectorId 0 addresses the charge point as a whole."""
MEMBERS_MAX: Final = 64
"""Connectors of one EVSE that are remembered; more than any EVSE has."""
HARD: Final = frozenset({Status.OUTOFORDER, Status.INOPERATIVE})
"""What lies over everything below it while it lasts."""
TAKES: Final = (
    Status.CHARGING,
    Status.RESERVED,
    Status.UNKNOWN,
    Status.AVAILABLE,
    Status.OUTOFORDER,
    Status.INOPERATIVE,
)
"""The status of an EVSE from those of its connectors: the first that one of them has. A connector that said a
word that is none may have a car: the EVSE is not told as free."""

Connector = tuple[int, int]
"""Number of the EVSE, number of its connector."""


class Layout(msgspec.Struct, frozen=True):
    """Which EVSE of the registry a charge point means by a number."""

    evses: Mapping[int, str] = msgspec.field(default_factory=dict)
    """EVSE id, uid or key by number."""
    connectors: Mapping[int, int] = msgspec.field(default_factory=dict)
    """How many connectors the EVSE of a number has."""
    by_plug: Mapping[int, str] = msgspec.field(default_factory=dict)
    """The same by numbers of connectors, in registry order; empty where an EVSE has no more than one each, or
    where the numbers were chosen."""

    def agreed(self) -> Layout:
        """The EVSEs that have the same numbers whether EVSEs are counted or connectors."""
        numbers: dict[str, set[int]] = {}
        for number, key in self.by_plug.items():
            numbers.setdefault(key, set()).add(number)
        evses = {number: key for number, key in self.evses.items() if numbers.get(key) == {number}}
        return Layout(evses, {number: self.connectors[number] for number in evses}, self.by_plug)


NOWHERE: Final = Layout()


def layout(station: Station | None, chosen: Mapping[int, str]) -> Layout:
    """The EVSEs of a station in registry order from 1 on, or those that were chosen, and no others then."""
    if station is None or station.vanished_at is not None:
        return NOWHERE
    counts = [0] * len(station.evses)
    for outlet in station.outlets:
        counts[outlet.evse] += 1
    if not chosen:
        plugs = {number: station.evses[each.evse].key for number, each in enumerate(station.outlets, 1)}
        return Layout(
            {number: evse.key for number, evse in enumerate(station.evses, 1)},
            dict(enumerate(counts, 1)),
            plugs if len(plugs) > len(station.evses) else {},
        )
    places = {evse.key: place for place, evse in enumerate(station.evses)}
    there = {number: key for number, key in chosen.items() if key in places}
    return Layout(there, {number: counts[places[key]] for number, key in there.items()})


class PointStatus(msgspec.Struct, frozen=True, gc=False):
    """A status as a charge point says it, in our words."""

    status: Status
    raw: str
    error: bool = False
    is_mapped: bool = True
    """False for a word that the version does not have."""


def unmapped(word: str) -> PointStatus:
    """What follows from a word that the version does not have: what was before does not hold any more."""
    return PointStatus(Status.UNKNOWN, word, is_mapped=False)


class _LastWord:
    """The last that one connector, EVSE or charge point said of itself, in the order in which it was said."""

    __slots__ = ("problem", "said", "turn")

    def __init__(self) -> None:
        self.said: PointStatus | None = None
        self.problem = False
        self.turn = 0
        """When it was said: one more than what was said before, of whatever."""

    @property
    def is_hard(self) -> bool:
        return self.said is not None and self.said.status in HARD


class _Evse:
    """What is known of one EVSE."""

    __slots__ = ("members", "reported", "reported_at", "whole")

    def __init__(self) -> None:
        self.whole = _LastWord()
        self.members: dict[Connector, _LastWord] = {}
        self.reported: PointStatus | None = None
        self.reported_at: Millis | None = None
        """The stamp of the last report; when it was said, where it had none."""


class Points:
    """One charge point, over all its connections. Its source is the operator that reports through it.

    What it says later is newer, whatever its clock says: on one connection, and from one to the next.
    """

    __slots__ = ("_counts_plugs", "_evses", "_layout", "_source", "_station", "_turn")

    def __init__(self, source: str, where: Layout = NOWHERE) -> None:
        self._layout = where
        self._counts_plugs = False
        self._source = source
        self._station = _LastWord()
        self._evses: dict[str, _Evse] = {}
        self._turn = 0

    @property
    def layout(self) -> Layout:
        """Which EVSE it means by a number. May be replaced when the registry changes."""
        return self._layout

    @layout.setter
    def layout(self, where: Layout) -> None:
        self._counts_plugs = self._counts_plugs and bool(where.by_plug)
        self._layout = where.agreed() if self._counts_plugs else where

    @property
    def counts_plugs(self) -> bool:
        """Whether it has been found to number its connectors through, and not its EVSEs."""
        return self._counts_plugs

    def gathering(self) -> Gathering:
        """Where reports of one message go."""
        return Gathering(self._source, ARRIVAL)

    def connectors(self, *, each: bool) -> Iterator[Connector]:
        """All that the registry has, by number; of every EVSE `each` of its connectors, or the first."""
        for number in sorted(self.layout.evses):
            count = max(1, self.layout.connectors.get(number, 1)) if each else 1
            for connector in range(1, count + 1):
                yield number, connector

    def has(self, where: Connector) -> bool:
        """Whether it is one of those, or the charge point as a whole."""
        number, connector = where
        if number == WHOLE or number not in self._layout.evses:
            return where == (WHOLE, WHOLE)
        return connector == 1 or 0 < connector <= self._layout.connectors.get(number, 1)

    def tell(
        self, into: Gathering, where: Connector, said: PointStatus, observed_at: Millis | None, now: Millis
    ) -> None:
        """A connector, an EVSE or the charge point says its status.

        `observed_at` is None where it does not say when. A clock that was never set (before 2000) says
        nothing either.
        """
        self._turn += 1
        stamp = _stamp(observed_at)
        if where[0] == WHOLE:
            into.unmapped += not said.is_mapped
            self._tell_all(into, said, stamp, now)
            return
        found = self._find(into, where, now)
        if found is None:
            return
        told = _told(found[1], where)
        if told is None:
            into.refuse(Reason.INVALID_ITEM, f"EVSE {where[0]} has more than {MEMBERS_MAX} connectors")
            return
        into.unmapped += not said.is_mapped
        told.said = said
        told.turn = self._turn
        self._report(into, *found, stamp, now)

    def problem(
        self, into: Gathering, where: Connector, is_there: bool, observed_at: Millis | None, now: Millis
    ) -> None:
        """A connector, an EVSE or the charge point has a problem, or has none any more."""
        if where[0] == WHOLE:
            told: _LastWord | None = self._station
            concerned = [(key, evse) for key, evse in self._evses.items() if key in self._written()]
        else:
            found = self._find(into, where, now)
            if found is None:
                return
            concerned = [found]
            told = _told(found[1], where)
        if told is None:
            return
        told.problem = is_there
        for written, evse in concerned:
            self._report(into, written, evse, _stamp(observed_at), now)

    def rebooted(self) -> None:
        """It started anew, and is going to say everything again: what it said before does not count."""
        self._station = _LastWord()
        for evse in self._evses.values():
            evse.whole = _LastWord()
            evse.members.clear()
            evse.reported = None

    def restated(self, numbers: frozenset[int] | None = None) -> Delivery:
        """What it said last, once more and as of then: it still holds. Of all EVSEs, or of these numbers."""
        reports = []
        for number, written in self.layout.evses.items():
            evse = self._evses.get(written)
            if evse is None or evse.reported is None or (numbers is not None and number not in numbers):
                continue
            said = evse.reported
            reports.append(
                StatusReport(written, said.status, said.error, evse.reported_at, self._source, said.raw)
            )
        return Delivery(reports=reports, order=ARRIVAL)

    def _written(self) -> frozenset[str]:
        return frozenset(self.layout.evses.values())

    def _doubt(self, into: Gathering, now: Millis) -> None:
        """It numbers its connectors through, as 1.6 allows: what was taken for the number of an EVSE may be
        that of another EVSE's connector. What is sure stays; the rest is unknown until somebody maps it.
        """
        if self._counts_plugs:
            return
        before = self._written()
        self._counts_plugs = True
        self.layout = self._layout
        for written in sorted(before - self._written()):
            evse = self._evses.pop(written, None)
            if evse is not None:
                self._put(into, written, evse, PointStatus(Status.UNKNOWN, "numbering"), None, now)

    def _find(self, into: Gathering, where: Connector, now: Millis) -> tuple[str, _Evse] | None:
        written = self._layout.evses.get(where[0])
        if written is None and where[0] in self._layout.by_plug:
            self._doubt(into, now)
            written = self._layout.evses.get(where[0])
            if written is None:
                into.refuse(
                    Reason.UNKNOWN_EVSE,
                    f"number {where[0]} may be an EVSE or a connector: the charge point needs a map"
                    " (ladestrom ocpp list shows one)",
                )
                return None
        if written is None:
            into.refuse(Reason.UNKNOWN_EVSE, f"the station has no EVSE with the number {shown(where[0])}")
            return None
        evse = self._evses.get(written)
        if evse is None:
            evse = self._evses[written] = _Evse()
        return written, evse

    def _tell_all(self, into: Gathering, said: PointStatus, stamp: Millis | None, now: Millis) -> None:
        station = self._station
        was_hard = station.is_hard
        station.said = said
        station.turn = self._turn
        for written in sorted(self._written()):
            evse = self._evses.get(written)
            if evse is None:
                evse = self._evses[written] = _Evse()
            if not self._report(into, written, evse, stamp, now) and was_hard:
                # What lay over it is gone, and it has said nothing of itself.
                self._put(into, written, evse, PointStatus(Status.UNKNOWN, said.raw), stamp, now)

    def _report(self, into: Gathering, written: str, evse: _Evse, stamp: Millis | None, now: Millis) -> bool:
        """Reports what the EVSE is now; whether that is known."""
        station = self._station
        said = station.said
        if said is None or not station.is_hard:
            said = _own(evse)
        if said is None:
            return False
        error = said.error
        for told in (station, evse.whole, *evse.members.values()):
            error = error or told.problem or (told.said is not None and told.said.error)
        if error is not said.error:
            said = PointStatus(said.status, said.raw, error)
        self._put(into, written, evse, said, stamp, now)
        return True

    def _put(
        self, into: Gathering, written: str, evse: _Evse, said: PointStatus, stamp: Millis | None, now: Millis
    ) -> None:
        evse.reported = said
        evse.reported_at = now if stamp is None else stamp
        into.word(written, said.status, stamp, said.raw, error=said.error)


def _stamp(observed_at: Millis | None) -> Millis | None:
    """The stamp of something that was said; None where it has none, or one of a clock that was never set."""
    return None if observed_at is None or observed_at < EARLIEST_AT else observed_at


def _told(evse: _Evse, where: Connector) -> _LastWord | None:
    if where[1] == WHOLE:
        return evse.whole
    told = evse.members.get(where)
    if told is None and len(evse.members) < MEMBERS_MAX:
        told = evse.members[where] = _LastWord()
    return told


def _own(evse: _Evse) -> PointStatus | None:
    """What the EVSE says of itself, and its connectors of themselves."""
    whole = evse.whole
    if not evse.members or (whole.said is not None and whole.is_hard):
        return whole.said
    if len(evse.members) == 1:
        (told,) = evse.members.values()
        newest, found = told.turn, told.said
    else:
        newest = max(told.turn for told in evse.members.values())
        found = _first(evse)
    # Of the two that tell of a car, the one that spoke last.
    return whole.said if whole.said is not None and (found is None or whole.turn > newest) else found


def _first(evse: _Evse) -> PointStatus | None:
    said = [told.said for told in evse.members.values() if told.said is not None]
    for status in TAKES:
        for each in said:
            if each.status is status:
                return each
    return None
