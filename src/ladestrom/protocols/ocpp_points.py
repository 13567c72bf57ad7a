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

from ladestrom.core.rules import EARLIEST_AT, observation
from ladestrom.model import Millis, Reason, Station, Status, StatusReport
from ladestrom.protocols.delivery import Delivery, Gathering, shown

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


NOWHERE: Final = Layout()


def layout(station: Station | None, chosen: Mapping[int, str]) -> Layout:
    """The EVSEs of a station in registry order from 1 on, or those that were chosen, and no others then."""
    if station is None or station.vanished_at is not None:
        return NOWHERE
    counts = [0] * len(station.evses)
    for outlet in station.outlets:
        counts[outlet.evse] += 1
    if not chosen:
        return Layout(
            {number: evse.key for number, evse in enumerate(station.evses, 1)},
            dict(enumerate(counts, 1)),
        )
    places = {evse.key: place for place, evse in enumerate(station.evses)}
    there = {number: key for number, key in chosen.items() if key in places}
    return Layout(there, {number: counts[places[key]] for number, key in there.items()})


class Said(msgspec.Struct, frozen=True, gc=False):
    """A status as a charge point says it, in our words."""

    status: Status
    raw: str
    error: bool = False
    is_mapped: bool = True
    """False for a word that the version does not have."""


def unmapped(word: str) -> Said:
    """What follows from a word that the version does not have: what was before does not hold any more."""
    return Said(Status.UNKNOWN, word, is_mapped=False)


class _Told:
    """The last that one connector, EVSE or charge point said of itself."""

    __slots__ = ("at", "problem", "problem_at", "said")

    def __init__(self) -> None:
        self.said: Said | None = None
        self.at: Millis = EARLIEST_AT
        self.problem = False
        self.problem_at: Millis = EARLIEST_AT

    @property
    def is_hard(self) -> bool:
        return self.said is not None and self.said.status in HARD


class _Evse:
    """What is known of one EVSE."""

    __slots__ = ("members", "reported", "reported_at", "whole")

    def __init__(self) -> None:
        self.whole = _Told()
        self.members: dict[Connector, _Told] = {}
        self.reported: Said | None = None
        self.reported_at: Millis = EARLIEST_AT


class Points:
    """One charge point, over all its connections. Its source is the operator that reports through it."""

    __slots__ = ("_evses", "_skew_ms", "_source", "_station", "layout")

    def __init__(self, source: str, skew_ms: int, where: Layout = NOWHERE) -> None:
        self.layout = where
        """May be replaced when the registry changes."""
        self._source = source
        self._skew_ms = skew_ms
        self._station = _Told()
        self._evses: dict[str, _Evse] = {}

    def gathering(self, now: Millis) -> Gathering:
        """Where reports of one message go."""
        return Gathering(self._source, now, self._skew_ms)

    def connectors(self, *, each: bool) -> Iterator[Connector]:
        """All that the registry has, by number; of every EVSE `each` of its connectors, or the first."""
        for number in sorted(self.layout.evses):
            count = max(1, self.layout.connectors.get(number, 1)) if each else 1
            for connector in range(1, count + 1):
                yield number, connector

    def has(self, where: Connector) -> bool:
        """Whether it is one of those, or the charge point as a whole."""
        number, connector = where
        if number == WHOLE or number not in self.layout.evses:
            return where == (WHOLE, WHOLE)
        return 0 < connector <= max(1, self.layout.connectors.get(number, 1))

    def tell(
        self, into: Gathering, where: Connector, said: Said, observed_at: Millis | None, now: Millis
    ) -> None:
        """A connector, an EVSE or the charge point says its status.

        `observed_at` is None where it does not say when. A clock that was never set (before 2000) says
        nothing either.
        """
        at = self._instant(observed_at, now)
        into.unmapped += not said.is_mapped
        if where[0] == WHOLE:
            self._tell_all(into, said, at)
            return
        found = self._find(into, where)
        if found is None:
            return
        written, evse = found
        told = _told(evse, where)
        if told is None:
            into.refuse(Reason.INVALID_ITEM, f"EVSE {where[0]} has more than {MEMBERS_MAX} connectors")
        elif at < told.at:
            # Older than what it said before: the board decides that too, and counts it.
            into.report(written, said.status, said.error, at, said.raw)
        else:
            told.said = said
            told.at = at
            self._report(into, written, evse)

    def problem(
        self, into: Gathering, where: Connector, is_there: bool, observed_at: Millis | None, now: Millis
    ) -> None:
        """A connector, an EVSE or the charge point has a problem, or has none any more."""
        at = self._instant(observed_at, now)
        if where[0] == WHOLE:
            told: _Told | None = self._station
            concerned = [(key, evse) for key, evse in self._evses.items() if key in self._written()]
        else:
            found = self._find(into, where)
            if found is None:
                return
            concerned = [found]
            told = _told(found[1], where)
        if told is None or at < told.problem_at:
            return
        told.problem = is_there
        told.problem_at = at
        for written, evse in concerned:
            self._report(into, written, evse)

    def not_before(self, written: str, at: Millis) -> None:
        """What is reported of an EVSE from now on is not older than this, which it said itself.

        Charge points tell when a status began. What was reported of it may be younger: as of when the whole
        was lifted, or by its place in its second; and this object may be younger than both.
        """
        evse = self._evses.setdefault(written, _Evse())
        evse.reported_at = max(evse.reported_at, at)

    def rebooted(self) -> None:
        """It started anew, and is going to say everything again: what it said before does not count."""
        self._station = _Told()
        for evse in self._evses.values():
            evse.whole = _Told()
            evse.members.clear()
            evse.reported = None

    def restated(self, now: Millis, numbers: frozenset[int] | None = None) -> Delivery:
        """What it said last, once more and as of then: it still holds. Of all EVSEs, or of these numbers."""
        reports = []
        for number, written in self.layout.evses.items():
            evse = self._evses.get(written)
            if evse is None or evse.reported is None or (numbers is not None and number not in numbers):
                continue
            said = evse.reported
            reports.append(
                StatusReport(written, said.status, said.error, evse.reported_at, now, self._source, said.raw)
            )
        return Delivery(reports=reports)

    def _instant(self, observed_at: Millis | None, now: Millis) -> Millis:
        if observed_at is None or observed_at < EARLIEST_AT:
            return now
        return observation(observed_at, now, self._skew_ms)

    def _written(self) -> frozenset[str]:
        return frozenset(self.layout.evses.values())

    def _find(self, into: Gathering, where: Connector) -> tuple[str, _Evse] | None:
        written = self.layout.evses.get(where[0])
        if written is None:
            into.refuse(Reason.UNKNOWN_EVSE, f"the registry has no EVSE for number {shown(where[0])}")
            return None
        evse = self._evses.get(written)
        if evse is None:
            evse = self._evses[written] = _Evse()
        return written, evse

    def _tell_all(self, into: Gathering, said: Said, at: Millis) -> None:
        station = self._station
        if at < station.at:
            return
        was_hard = station.is_hard
        station.said = said
        station.at = at
        for written in sorted(self._written()):
            evse = self._evses.get(written)
            if evse is None:
                evse = self._evses[written] = _Evse()
            if not self._report(into, written, evse) and was_hard:
                # What lay over it is gone, and it has said nothing of itself.
                evse.reported = nothing = Said(Status.UNKNOWN, said.raw)
                evse.reported_at = max(at, evse.reported_at + 1)
                into.report(written, nothing.status, nothing.error, evse.reported_at, nothing.raw)

    def _report(self, into: Gathering, written: str, evse: _Evse) -> bool:
        """Reports what the EVSE is now; whether that is known."""
        station = self._station
        said = station.said if station.is_hard else _own(evse)
        if said is None:
            return False
        error, at = said.error, 0
        for told in (station, evse.whole, *evse.members.values()):
            error = error or told.problem or (told.said is not None and told.said.error)
            at = max(at, told.at, told.problem_at)
        if error is not said.error:
            said = Said(said.status, said.raw, error)
        before = evse.reported
        at = max(at, evse.reported_at)
        if at == evse.reported_at and (
            before is None or before.status is not said.status or before.error is not said.error
        ):
            # Clocks of whole seconds: what it says later in the same second came later.
            at += 1
        evse.reported = said
        evse.reported_at = at
        into.report(written, said.status, said.error, at, said.raw)
        return True


def _told(evse: _Evse, where: Connector) -> _Told | None:
    if where[1] == WHOLE:
        return evse.whole
    told = evse.members.get(where)
    if told is None and len(evse.members) < MEMBERS_MAX:
        told = evse.members[where] = _Told()
    return told


def _own(evse: _Evse) -> Said | None:
    """What the EVSE says of itself, and its connectors of themselves."""
    whole = evse.whole
    if whole.is_hard or not evse.members:
        return whole.said
    if len(evse.members) == 1:
        (told,) = evse.members.values()
        newest_at, found = told.at, told.said
    else:
        newest_at = max(told.at for told in evse.members.values())
        found = _first(evse)
    # Of the two that tell of a car, the one that spoke last.
    return whole.said if whole.said is not None and (found is None or whole.at > newest_at) else found


def _first(evse: _Evse) -> Said | None:
    said = [told.said for told in evse.members.values() if told.said is not None]
    for status in TAKES:
        for each in said:
            if each.status is status:
                return each
    return None
