"""Stations, EVSEs, reports, changes and doubles for tests, with sensible defaults.

    place = station("NOR_00001", evses=2)
    board.apply(logged(round_.changes, after=board.seq))

Everything happens at `NOW`, and is Norwegian, unless told otherwise.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from ladestrom.backends.memory import MemoryLog
from ladestrom.core.board import Board, Round
from ladestrom.model import (
    Cause,
    Change,
    Connector,
    Entry,
    Evse,
    Millis,
    Operator,
    Outlet,
    Station,
    Status,
    StatusReport,
    Suppression,
    evse_key,
)

NOW: Final[Millis] = 1_795_000_000_000
"""An instant in November 2026."""
TYPE_2: Final = Connector("IEC_62196_T2", 22.0)
CCS: Final = Connector("IEC_62196_T2_COMBO", 150.0)
EVERY_STATUS: Final = tuple(Status)
DEADLINE_S: Final = 10.0


def evse(written: str = "NO*ABC*E1", station: str = "NOR_00001", **members: Any) -> Evse:
    """An EVSE of party NOABC; its key follows from how its id is written."""
    given = {"key": evse_key(written), "evse_id": written, "party": "NOABC", **members}
    return Evse(station=station, **given)


def evses(count: int, station: str = "NOR_00001", party: str = "NO*ABC") -> tuple[Evse, ...]:
    """EVSEs whose ids carry the number of their station: `NO*ABC*E1*1`, `NO*ABC*E1*2`."""
    number = int(station.rpartition("_")[2])
    return tuple(
        evse(f"{party}*E{number}*{place}", station, party=evse_key(party)) for place in range(1, count + 1)
    )


def station(
    uuid: str = "NOR_00001", evses: int | Sequence[Evse] = 1, connectors: int = 1, **members: Any
) -> Station:
    """A station; `connectors` is how many each of its EVSEs has, in registry order."""
    parts = _evses(evses, uuid) if isinstance(evses, int) else tuple(evses)
    given: dict[str, Any] = {
        "name": f"Station {uuid}",
        "country": uuid[:3],
        "latitude": 59.9,
        "longitude": 10.7,
        "outlets": tuple(Outlet(index, TYPE_2) for index in range(len(parts)) for _ in range(connectors)),
        **members,
    }
    return Station(uuid=uuid, evses=parts, **given)


_evses = evses


def operator(name: str = "abc", **members: Any) -> Operator:
    """An operator that may report on the EVSEs of party NOABC."""
    return Operator(name=name, **({"parties": ("NOABC",)} | members))


def report(
    evse: Evse | str = "NO*ABC*E1",
    status: Status = Status.AVAILABLE,
    observed_at: Millis = NOW,
    *,
    error: bool = False,
    received_at: Millis | None = None,
    source: str = "abc",
) -> StatusReport:
    """A report that was received when it was observed, unless told otherwise."""
    return StatusReport(
        evse=evse.key if isinstance(evse, Evse) else evse,
        status=status,
        error=error,
        observed_at=observed_at,
        received_at=observed_at if received_at is None else received_at,
        source=source,
        raw=status.value,
    )


def change(
    evse: Evse | None = None, status: Status = Status.AVAILABLE, changed_at: Millis = NOW, **members: Any
) -> Change:
    """A reported change from UNKNOWN."""
    about = evse or _evse()
    given: dict[str, Any] = {
        "error": status is Status.OUTOFORDER,
        "observed_at": changed_at,
        "received_at": changed_at,
        "source": "abc",
        "raw": status.value,
        "cause": Cause.REPORTED,
        "was_status": Status.UNKNOWN,
        "was_error": False,
        **members,
    }
    return Change(evse=about.key, station=about.station, status=status, changed_at=changed_at, **given)


_evse = evse


def changes(count: int, start: int = 0) -> list[Change]:
    """Changes that can be told apart, each of an EVSE of its own."""
    return [
        change(evse(f"NO*ABC*E{number}"), EVERY_STATUS[number % len(EVERY_STATUS)], NOW + number)
        for number in range(start, start + count)
    ]


def logged(made: Iterable[Change], after: int = 0) -> list[Entry]:
    """Changes as the entries that follow position `after`."""
    return [Entry(seq, one) for seq, one in enumerate(made, after + 1)]


def register(board: Board, evses: Iterable[Evse], now: Millis = NOW) -> list[Entry]:
    """Brings EVSEs onto a board; returns what was logged."""
    made = [found for found in (board.register(one, now) for one in evses) if found is not None]
    entries = logged(made, board.seq)
    board.apply(entries)
    return entries


def take(board: Board, reports: Iterable[tuple[Evse, StatusReport]]) -> list[Change]:
    """Decides one round of reports and applies it; returns the changes."""
    round_ = Round(board)
    for one, told in reports:
        round_.decide(one, told)
    board.apply(logged(round_.changes, board.seq))
    board.confirm(round_.heard)
    return round_.changes


def hear(board: Board, one: Evse, told: StatusReport) -> Change | Suppression:
    """Decides one report and applies it; returns the decision."""
    round_ = Round(board)
    decision = round_.decide(one, told)
    board.apply(logged(round_.changes, board.seq))
    board.confirm(round_.heard)
    return decision


class GatedLog(MemoryLog):
    """A log whose appends wait until the gate is opened, and fail where they are told to."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.gate.set()
        self.appends: list[int] = []
        """Changes in each append that was begun."""
        self.failure: Exception | None = None
        """Raised by the next append, once."""

    async def append(self, changes: Sequence[Change]) -> Sequence[Entry]:
        self.appends.append(len(changes))
        await self.gate.wait()
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure
        return await super().append(changes)


async def until(condition: Callable[[], bool], deadline_s: float = DEADLINE_S) -> None:
    """Returns as soon as the condition holds.

    Raises:
        TimeoutError: it does not within the deadline.
    """
    ends_s = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > ends_s:
            raise TimeoutError("the condition did not come true")
        await asyncio.sleep(0)
