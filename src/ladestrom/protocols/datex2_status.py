"""What a DATEX II status publication says of its EVSEs, and how it decides.

Knows the words of EnergyInfrastructureStatusPublication (CEN/TS 16157-10, DATEX II version 3.5 and later).
Must not know whether they came as XML or as JSON.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from ladestrom.core.rules import RANK
from ladestrom.core.words import Vocabulary, bare
from ladestrom.errors import TooLarge
from ladestrom.model import Millis, Reason, Status
from ladestrom.protocols.delivery import Delivery, Gathering, ParseLimits, instant, shown
from ladestrom.quoting import quoted

WORDS: Final = {
    "available": Status.AVAILABLE,
    "blocked": Status.BLOCKED,
    "charging": Status.CHARGING,
    "faulted": Status.OUTOFORDER,
    "inoperative": Status.INOPERATIVE,
    "occupied": Status.CHARGING,
    "outOfOrder": Status.OUTOFORDER,
    "outOfStock": Status.OUTOFORDER,
    "planned": Status.PLANNED,
    "removed": Status.REMOVED,
    "reserved": Status.RESERVED,
    "unavailable": Status.INOPERATIVE,
    "unknown": Status.UNKNOWN,
}
"""RefillPointStatusEnum."""
STATUSES: Final = Vocabulary(WORDS)
UNKNOWN: Final = Status.UNKNOWN
EXTENDED: Final = frozenset({"extended", "extendedg"})
"""Stands where the word is none of the enumeration's, and is written beside it."""

STOPPED: Final = Vocabulary(
    {
        "notInOperation": Status.INOPERATIVE,
        "notInOperationAbnormal": Status.INOPERATIVE,
        "technicalDefect": Status.OUTOFORDER,
    }
)
"""OperationStatusEnum where it says that the point, its station or its site does not work. `limitedOperation`
and the others leave it to the point's own status."""
CLOSED: Final = frozenset({"closed", "closedonholiday", "closedonmaintenance", "temporarilyclosed"})
"""OpeningStatusEnum where nobody can get to a free point. One that is in use stays so when it closes."""
SETTLED: Final = frozenset({Status.PLANNED, Status.REMOVED})
"""A point that is not there yet, or no more: whether its station works says nothing about it."""
RENDERS_UNUSABLE: Final = "high"
"""FaultSeverityEnum: of high severity is what renders the equipment unusable."""

INSTANT_CHARACTERS_MIN: Final = 16
"""`2026-11-22T10:00`: what is shorter is a day."""


class Extent(StrEnum):
    """What a publication holds."""

    SNAPSHOT = "snapshot"
    """All points that the sender has."""
    DELTA = "delta"
    """Those that changed."""


SNAPSHOTS: Final = frozenset({"snapshotpull", "snapshotpush"})
"""ProtocolTypeEnum (Exchange 2020) where the publication is all that the sender has."""


class Facility(msgspec.Struct, gc=False):
    """A site, a station or an EVSE: what is said of it, word for word; empty where nothing is."""

    reference: str = ""
    updated: str = ""
    opening: str = ""
    operation: str = ""
    available: str = ""
    """Of a station: `false` where it is out of service as a whole."""
    status: str = ""
    """Of a point."""
    extended: str = ""
    """The word of a status that is none of the enumeration's."""
    fault: bool = False
    severity: str = ""
    unreadable: str = ""
    """Why nothing can be known of it."""
    parts: list[Facility] = []


class Exchange(msgspec.Struct, frozen=True):
    """How the publication is exchanged, as its container says (Exchange 2020)."""

    protocol: str = ""
    version: str = ""


class Publication(msgspec.Struct):
    """One message: the sites of all its status publications."""

    sites: list[Facility] = []
    published: str = ""
    exchange: Exchange | None = None
    found: bool = False
    """A status publication is there, were it an empty one."""
    table: bool = False
    """A publication of another kind is there."""


def delivery(
    publication: Publication,
    source: str,
    limits: ParseLimits,
    extent: Extent | None = None,
) -> Delivery:
    """The points in the order of the message.

    A point was observed when it was last updated; where that is not said, when its station, else its site,
    was; then when it was published. Where the station or the site says whether it is open or works, or the
    point does, the newest of these instants counts.

    A snapshot is complete, unless it holds a single station: senders announce one for a single change.
    Where `extent` is given it holds, whatever the exchange information says.

    Raises:
        TooLarge: it has more points than `limits.items_max`.
    """
    instants = _Instants()
    published_at = instants.read(publication.published)
    points = stations = 0
    named = True
    gathering = Gathering(source)
    for site in publication.sites:
        for station in site.parts:
            stations += 1
            points += len(station.parts)
            if points > limits.items_max:
                raise TooLarge(f"the publication has more than {limits.items_max} EVSEs: split it")
            said = _StationState(site, station, instants, published_at)
            for point in station.parts:
                named &= bool(point.reference)
                _take(gathering, point, said, instants)
    # Where one is not named, nothing tells which of those that are known it is.
    return gathering.delivery(complete=named and _complete(publication, stations, extent))


def _complete(publication: Publication, stations: int, extent: Extent | None) -> bool:
    if not publication.found:
        return False
    if extent is not None:
        return extent is Extent.SNAPSHOT
    announced = publication.exchange is not None and publication.exchange.protocol.casefold() in SNAPSHOTS
    return announced and stations > 1


class _Instants:
    """Reads instants; senders repeat the same one for many points."""

    __slots__ = ("_at", "_text")

    def __init__(self) -> None:
        self._text = ""
        self._at: Millis | None = None

    def read(self, text: str) -> Millis | None:
        """None where it is none."""
        if text != self._text:
            self._text = text
            self._at = _instant(text)
        return self._at


def _instant(text: str) -> Millis | None:
    if len(text) < INSTANT_CHARACTERS_MIN:
        return None
    try:
        return instant(text)
    except (ValueError, OverflowError):
        return None


class _StationState:
    """What site and station say of all points of a station."""

    __slots__ = ("at", "closed", "said_at", "stopped", "word")

    def __init__(
        self, site: Facility, station: Facility, instants: _Instants, published_at: Millis | None
    ) -> None:
        self.at = published_at
        """When a point was updated that does not say so."""
        self.said_at: Millis | None = None
        """When it was said whether site or station are open and work; None where nothing is said."""
        self.stopped: Status | None = None
        self.closed = False
        self.word = ""
        for facility in (site, station):
            updated_at = instants.read(facility.updated) if facility.updated else None
            if updated_at is not None:
                self.at = updated_at
            if facility.opening or facility.operation or facility.available:
                self._hear(facility, published_at if updated_at is None else updated_at)

    def _hear(self, facility: Facility, said_at: Millis | None) -> None:
        if said_at is not None:
            self.said_at = said_at if self.said_at is None else max(said_at, self.said_at)
        stopped, closed, word = _hindrance(facility)
        self.stopped = _worse(self.stopped, stopped)
        self.closed |= closed
        self.word = word or self.word


def _hindrance(facility: Facility) -> tuple[Status | None, bool, str]:
    """What stops its points, whether it is closed, and the word that says so."""
    stopped = STOPPED.find(facility.operation) if facility.operation else None
    if stopped is not None:
        return stopped, False, facility.operation
    # isAvailable: not whether its points are free, but whether it serves at all.
    if facility.available.casefold() in {"false", "0"}:
        return Status.INOPERATIVE, False, "not available"
    if facility.opening and bare(facility.opening) in CLOSED:
        return None, True, facility.opening
    return None, False, ""


def _worse(one: Status | None, other: Status | None) -> Status | None:
    if one is None or other is None:
        return one or other
    return max(one, other, key=RANK.__getitem__)


def _take(gathering: Gathering, point: Facility, said: _StationState, instants: _Instants) -> None:
    if point.unreadable:
        gathering.refuse(Reason.INVALID_ITEM, point.unreadable)
        return
    if not point.reference:
        gathering.refuse(Reason.INVALID_ITEM, "the status has no reference to an EVSE (refill point)")
        return
    if not point.status:
        gathering.refuse(Reason.INVALID_STATUS, f"{quoted(shown(point.reference))} has no status")
        return
    status, raw = STATUSES.find(point.status), point.status
    if status is None and bare(point.status) in EXTENDED:
        status, raw = (STATUSES.find(point.extended), point.extended) if point.extended else (UNKNOWN, raw)
    observed_at = said.at
    if point.updated:
        observed_at = instants.read(point.updated)
        if observed_at is None:
            gathering.refuse(
                Reason.INVALID_TIME,
                f"lastUpdated {quoted(shown(point.updated))} is not a date and time with a time zone",
            )
            return
    if said.said_at is not None and observed_at is not None:
        observed_at = max(observed_at, said.said_at)
    error = False
    if said.word or point.opening or point.operation or point.fault:
        status, error, raw = _overlaid(status, point, said, raw)
    gathering.word(point.reference, status, observed_at, raw, error=error)


def _overlaid(
    status: Status | None, point: Facility, said: _StationState, raw: str
) -> tuple[Status | None, bool, str]:
    """The status, whether a fault is told beside it, and the words that made it."""
    if status in SETTLED:
        return status, False, raw
    own_stopped, own_closed, own_word = _hindrance(point)
    stopped = _worse(said.stopped, own_stopped)
    error = False
    if point.fault:
        if bare(point.severity) == RENDERS_UNUSABLE:
            stopped, own_word = _worse(stopped, Status.OUTOFORDER), own_word or "fault"
        else:
            error = True
    if (said.closed or own_closed) and status is Status.AVAILABLE:
        stopped = _worse(stopped, Status.INOPERATIVE)
    if stopped is not None and RANK[stopped] > RANK[status or UNKNOWN]:
        return stopped, error, f"{raw}/{own_word or said.word}"
    return status, error, raw
