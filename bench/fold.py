"""An independent fold: what a server must show after a stream of observations.

Written from the rules alone. Imports nothing of ladestrom, so that a mistake there cannot repeat itself here:

1. the newest observation of an EVSE wins, not the last received;
2. one that says the same moves the clock, and is no change;
3. of two that differ and were made in the same millisecond, the one of higher rank wins;
4. `changed_at` is the instant of the observation that made the last change.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

RANKS = (
    "UNKNOWN",
    "PLANNED",
    "AVAILABLE",
    "RESERVED",
    "BLOCKED",
    "CHARGING",
    "INOPERATIVE",
    "OUTOFORDER",
    "REMOVED",
)
"""From the word that yields to the word that holds."""

NOBIL = {
    "AVAILABLE": (0, 0),
    "CHARGING": (1, 0),
    "BLOCKED": (1, 0),
    "RESERVED": (1, 0),
    "OUTOFORDER": (-1, 1),
    "INOPERATIVE": (-1, 1),
    "UNKNOWN": (-1, 0),
}


class Seen(NamedTuple):
    """An observation."""

    at: int
    """Milliseconds since 1970."""
    evse: str
    status: str
    error: int = 0


class Known(NamedTuple):
    """What is known of one EVSE."""

    status: str
    error: int
    changed_at: int
    observed_at: int


UNHEARD = Known("UNKNOWN", 0, -1, -1)


def written_alike(evse: str) -> str:
    """EVSE ids compare without case, `*` and `-`."""
    return evse.upper().replace("*", "").replace("-", "")


class Fold:
    """EVSE to what is known of it."""

    def __init__(self) -> None:
        self.known: dict[str, Known] = {}
        self.counts: Counter[str] = Counter()
        """accepted, unchanged and stale, as the receipts have to count them."""

    def observe(self, seen: Seen) -> str:
        """Takes one observation; says what it is: accepted, unchanged or stale."""
        key = written_alike(seen.evse)
        was = self.known.get(key, UNHEARD)
        verdict = self._verdict(was, seen)
        if verdict == "accepted":
            self.known[key] = Known(seen.status, seen.error, seen.at, seen.at)
        elif verdict == "unchanged":
            self.known[key] = was._replace(observed_at=seen.at)
        self.counts[verdict] += 1
        return verdict

    @staticmethod
    def _verdict(was: Known, seen: Seen) -> str:
        if seen.at < was.observed_at:
            return "stale"
        if (seen.status, seen.error) == (was.status, was.error):
            return "unchanged"
        if seen.at == was.observed_at:
            mine = (RANKS.index(seen.status), seen.error)
            theirs = (RANKS.index(was.status), was.error)
            if mine < theirs:
                return "stale"
        return "accepted"

    def connector(self, evse: str) -> tuple[int, int, int]:
        """Status, error and timestamp that a connector of this EVSE has on the NOBIL stream."""
        known = self.known.get(written_alike(evse), UNHEARD)
        status, error = NOBIL[known.status]
        return status, error | known.error, known.changed_at


def sessions(file: Path, limit: int | None = None) -> list[Seen]:
    """Observations of a file of charging sessions, in order of time; of equal ones, ends first.

    A session that does not end after its start is left out.
    """
    data = file.read_bytes()
    lines = (gzip.decompress(data) if file.suffix == ".gz" else data).splitlines()
    found = [seen for line in lines if line.strip() for seen in _both_ends(json.loads(line))]
    found.sort(key=lambda seen: (seen.at, seen.status == "CHARGING"))
    return found if limit is None else found[:limit]


def _both_ends(session: Mapping[str, Any]) -> Iterator[Seen]:
    start, end, evse = session["start"], session["end"], session["id_pdc_itinerance"]
    if end > start:
        yield Seen(start, evse, "CHARGING")
        yield Seen(end, evse, "AVAILABLE")


Board = Mapping[str, Mapping[str, Any]]
"""Station uuid to station object, as the NOBIL stream and REST give it."""

Places = Mapping[str, list[tuple[str, int]]]
"""EVSE to its connectors: station uuid and place in the station's list."""


def calibration(evses: Iterable[str], at: int) -> list[Seen]:
    """One observation of each EVSE, each in a millisecond of its own, from `at` on."""
    return [Seen(at + place, evse, "AVAILABLE") for place, evse in enumerate(evses)]


def places(calibrated: Iterable[Seen], board: Board) -> Places:
    """Which connectors of the board belong to which EVSE: those that show its calibration's instant.

    Raises:
        ValueError: an EVSE's observation is not on the board.
    """
    by_instant: dict[int, list[tuple[str, int]]] = {}
    for uuid, station in board.items():
        for place, connector in enumerate(station["connectors"]):
            by_instant.setdefault(connector["timestamp"], []).append((uuid, place))
    found = {written_alike(seen.evse): by_instant.get(seen.at, []) for seen in calibrated}
    missing = [evse for evse, there in found.items() if not there]
    if missing:
        raise ValueError(f"{len(missing)} EVSEs are not on the board, such as {missing[:3]}")
    return found


def differences(fold: Fold, where: Places, board: Board, most: int = 10) -> list[str]:
    """What of the board is not as the fold has it; empty where all agrees. At most `most` are told."""
    told = []
    for evse, connectors in where.items():
        expected = fold.connector(evse)
        for uuid, place in connectors:
            shown = _shown(board, uuid, place)
            if shown != expected:
                told.append(f"{evse} at {uuid}[{place}] is {shown}, expected {expected}")
    for uuid, station in board.items():
        expected_status = station_status(station["connectors"])
        if station["status"] != expected_status:
            told.append(f"{uuid} has status {station['status']}, expected {expected_status}")
    return _shortened(told, most)


def disagreements(one: Board, other: Board, most: int = 10) -> list[str]:
    """What differs between two boards; empty where all agrees. At most `most` are told."""
    told = [
        f"{uuid} is {one.get(uuid)} and {other.get(uuid)}"
        for uuid in sorted(one.keys() | other.keys())
        if one.get(uuid) != other.get(uuid)
    ]
    return _shortened(told, most)


def station_status(connectors: Iterable[Mapping[str, Any]]) -> int:
    """The first that holds: 2 error, -1 unknown (or no connectors), 0 available, 1 occupied."""
    listed = list(connectors)
    if any(each["error"] for each in listed):
        return 2
    statuses = {each["status"] for each in listed}
    if not listed or -1 in statuses:
        return -1
    return 0 if 0 in statuses else 1


def _shown(board: Board, uuid: str, place: int) -> tuple[int, int, int] | None:
    connectors = board.get(uuid, {}).get("connectors", [])
    if place >= len(connectors):
        return None
    connector = connectors[place]
    return connector["status"], connector["error"], connector["timestamp"]


def _shortened(told: list[str], most: int) -> list[str]:
    return told[:most] + ([f"and {len(told) - most} more"] if len(told) > most else [])
