"""How many EVSEs of each station are available, occupied, faulty or unknown: a fold over the log in arrays.

Stands at the view's position and is given the same entries, so that numbers and view agree. Knows no names,
no places and no clock. Everything has a number: EVSEs and stations in the order in which they came onto the
board; statuses as `code`.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import Final

from ladestrom.model import Change, Status, StatusChanged

AVAILABLE: Final = 0
OCCUPIED: Final = 1
FAULTY: Final = 2
UNKNOWN: Final = 3
NONE: Final = 4
"""Not listed: planned, removed, or not there."""
GROUPS: Final = ("available", "occupied", "faulty", "unknown")
"""Names of the groups, by number; `NONE` is not told."""

CODES: Final = {status: number * 2 for number, status in enumerate(Status)}
"""A status as an even number; one more where the error flag is set."""
ABSENT: Final = len(CODES) * 2
"""Code of what is not there."""
CODE_BITS: Final = 5
CODE_MASK: Final = (1 << CODE_BITS) - 1

_OF_STATUS: Final = {
    Status.AVAILABLE: AVAILABLE,
    Status.BLOCKED: OCCUPIED,
    Status.CHARGING: OCCUPIED,
    Status.INOPERATIVE: FAULTY,
    Status.OUTOFORDER: FAULTY,
    Status.PLANNED: NONE,
    Status.REMOVED: NONE,
    Status.RESERVED: OCCUPIED,
    Status.UNKNOWN: UNKNOWN,
}


def group(status: Status, *, error: bool) -> int:
    """The group that an EVSE counts in: with an error it is faulty, unless it is not listed at all."""
    own = _OF_STATUS[status]
    return FAULTY if error and own != NONE else own


def status_of(number: int) -> tuple[Status, bool]:
    """Status and error of a code below `ABSENT`."""
    return _STATUSES[number >> 1], bool(number & 1)


_STATUSES: Final = tuple(Status)
_GROUP: Final = bytes([*(group(status, error=error) for status in Status for error in (False, True)), NONE])
"""Group by code."""
_DIGIT: Final = bytes(ord("0") + number for number in _GROUP).ljust(256, b"?")
_NO_DIGIT: Final = b"%d" % NONE


class StationCounts:
    """All stations of the view, by numbers."""

    def __init__(self) -> None:
        self.evses: dict[str, int] = {}
        """EVSE key to the EVSE's number."""
        self.uuids: list[str] = []
        """Stations by number."""
        self.stations: dict[str, int] = {}
        """The same, from uuid to number."""
        self.groups = tuple(array("i") for _ in range(NONE + 1))
        """By group: EVSEs by number of station. The last one, `NONE`, means nothing."""
        self.totals = [0] * (ABSENT + 1)
        """EVSEs by code. The last one, `ABSENT`, means nothing."""
        self.recent = array("I")
        """Changes by number of station, since `take_recent`."""
        self._codes = bytearray()
        """By number of EVSE."""
        self._places = array("I")
        """Number of its station, likewise."""

    def load(self, changes: Iterable[Change]) -> None:
        """Begins with the changes in force; they do not count as recent."""
        for change in changes:
            self._turn(change)
        self.take_recent()

    def take(self, entries: Sequence[StatusChanged]) -> list[int]:
        """Takes the next entries of the log.

        Gives what `core.history` keeps of each: number of the EVSE, code before and code after, in one.
        """
        evses, uuids, codes, places = self.evses, self.uuids, self._codes, self._places
        groups, totals, recent = self.groups, self.totals, self.recent
        base, kind = CODES, _GROUP
        words = []
        for entry in entries:
            change = entry.change
            number = evses.get(change.evse)
            if number is None:
                words.append(self._turn(change))
                continue
            was = codes[number]
            left = kind[was]
            place = places[number]
            # An EVSE leaves a station before it comes to another one.
            if left == NONE and uuids[place] != change.station:
                words.append(self._turn(change))
                continue
            now = base[change.status] + change.error
            entered = kind[now]
            codes[number] = now
            totals[was] -= 1
            totals[now] += 1
            if left != entered:
                groups[left][place] -= 1
                groups[entered][place] += 1
            recent[place] += 1
            words.append(number << 10 | was << 5 | now)
        return words

    def _turn(self, change: Change) -> int:
        """A change of an EVSE that is new, or that is at another station now."""
        place = self.stations.get(change.station)
        if place is None:
            place = self.stations[change.station] = len(self.uuids)
            self.uuids.append(change.station)
            self.recent.append(0)
            for numbers in self.groups:
                numbers.append(0)
        number = self.evses.get(change.evse)
        if number is None:
            number = self.evses[change.evse] = len(self._codes)
            self._codes.append(ABSENT)
            self._places.append(place)
        was, now = self._codes[number], CODES[change.status] + change.error
        self._codes[number] = now
        self.totals[was] -= 1
        self.totals[now] += 1
        self.groups[_GROUP[was]][self._places[number]] -= 1
        self.groups[_GROUP[now]][place] += 1
        self._places[number] = place
        self.recent[place] += 1
        return number << 2 * CODE_BITS | was << CODE_BITS | now

    def take_recent(self) -> array[int]:
        """Changes by number of station since the last call."""
        taken, self.recent = self.recent, array("I", bytes(self.recent.itemsize * len(self.recent)))
        return taken

    def by_station(self) -> tuple[array[int], ...]:
        """For each group that is told, EVSEs by number of station, as of now."""
        return tuple(numbers[:] for numbers in self.groups[:NONE])

    def by_evse(self) -> bytes:
        """For each EVSE by its number, its group as a digit, as of now; one more that means "not counted"."""
        return bytes(self._codes).translate(_DIGIT) + _NO_DIGIT

    def counts(self, uuid: str) -> tuple[int, ...]:
        """EVSEs of one station by group, those that are told; zeros for a station that is not here."""
        place = self.stations.get(uuid)
        return (0,) * NONE if place is None else tuple(numbers[place] for numbers in self.groups[:NONE])

    def statuses(self) -> dict[Status, int]:
        """EVSEs of the whole board by status."""
        return {status: self.totals[first] + self.totals[first + 1] for status, first in CODES.items()}

    def errors(self) -> int:
        """EVSEs whose error flag is set."""
        return sum(self.totals[1:ABSENT:2])

    def grouped(self) -> tuple[int, ...]:
        """EVSEs of the whole board by group, those that are told."""
        sums = [0] * (NONE + 1)
        for number, count in zip(_GROUP, self.totals, strict=True):
            sums[number] += count
        return tuple(sums[:NONE])
