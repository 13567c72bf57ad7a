"""The tables that decide: ranks, projections, clock skew, station status.

Knows the status words and nothing of where reports come from or where changes go.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from ladestrom.model import Millis, Status

RANK: Final[dict[Status, int]] = {
    Status.REMOVED: 9,
    Status.OUTOFORDER: 8,
    Status.INOPERATIVE: 7,
    Status.CHARGING: 6,
    Status.BLOCKED: 5,
    Status.RESERVED: 4,
    Status.AVAILABLE: 3,
    Status.PLANNED: 2,
    Status.UNKNOWN: 1,
}
"""Which of two statuses observed in the same millisecond holds: the higher one, whatever arrived first.

A driver sent to a broken or taken place loses more than one not sent to a free place, so the less
usable status wins; one that says something wins over one that does not.
"""

OUTOFORDER: Final = Status.OUTOFORDER
"""To look a member of an enumeration up takes Python 3.11 as long as ten comparisons."""

EARLIEST_AT: Final[Millis] = 946_684_800_000
"""2000-01-01. An earlier observation is an error of units (seconds for milliseconds) or of the clock."""


STEP_BACK_MS_MAX: Final[Millis] = 300_000
"""Five minutes. A smaller step back of our clock is held at the last time given.

A stamp that is further ahead was given by a clock that was wrong.
"""


def rank(status: Status, error: bool) -> int:
    """Place in the order that decides ties; different for every pair of status and error."""
    return RANK[status] * 2 + error


def normal_error(status: Status, error: bool) -> bool:
    """An EVSE out of order has an error, whether its source says so twice or not."""
    return error or status is OUTOFORDER


class Inoperative(StrEnum):
    """How INOPERATIVE reads on the NOBIL stream, which has no word for it."""

    ERROR = "error"
    OCCUPIED = "occupied"


UNKNOWN_PAIR: Final = (-1, 0)

Pairs = dict[tuple[Status, bool], tuple[int, int] | None]


def nobil_pairs(inoperative: Inoperative = Inoperative.ERROR) -> Pairs:
    """Status and error to the NOBIL stream's (status, error); None is not listed as a connector.

    Source: NOBIL stream API, data model: -1 unknown, 0 available, 1 occupied; error 0 or 1.
    """
    bases: dict[Status, tuple[int, int] | None] = {
        Status.AVAILABLE: (0, 0),
        Status.CHARGING: (1, 0),
        Status.BLOCKED: (1, 0),
        Status.RESERVED: (1, 0),
        Status.OUTOFORDER: (-1, 1),
        Status.INOPERATIVE: (-1, 1) if inoperative is Inoperative.ERROR else (1, 0),
        Status.UNKNOWN: UNKNOWN_PAIR,
        Status.PLANNED: None,
        Status.REMOVED: None,
    }
    return {
        (status, error): None if base is None else (base[0], base[1] | error)
        for status, base in bases.items()
        for error in (False, True)
    }


def from_nobil_pair(status: int, error: int) -> tuple[Status, bool] | None:
    """The NOBIL stream's pair to status and error; None for values the contract does not have."""
    if error == 1 and status in {-1, 0, 1}:
        return Status.OUTOFORDER, True
    if error == 0:
        match status:
            case 0:
                return Status.AVAILABLE, False
            case 1:
                return Status.CHARGING, False
            case -1:
                return Status.UNKNOWN, False
    return None


def station_status(pairs: Iterable[tuple[int, int]]) -> int:
    """Status of a station from its connectors: 2 error, -1 unknown, 0 available, 1 occupied.

    The first that holds, in this order; a station without connectors is unknown.
    """
    statuses = set()
    for status, error in pairs:
        if error:
            return 2
        statuses.add(status)
    if -1 in statuses or not statuses:
        return -1
    return 0 if 0 in statuses else 1
