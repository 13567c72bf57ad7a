"""Stations, EVSEs, reports, changes and doubles for tests, with sensible defaults.

    place = make_station("NOR_00001", evses=2)
    board.apply(logged(round_.changes, after=board.seq))

Everything happens at `NOW`, and is Norwegian, unless told otherwise.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, Final

from ladestrom.backends.memory import MemoryLog
from ladestrom.core.board import Board, Round
from ladestrom.core.precedence import Taking, taking
from ladestrom.core.records import changed
from ladestrom.core.selection import Selection
from ladestrom.core.view import View
from ladestrom.formats.dialect import Dialect, Message
from ladestrom.model import (
    AnyChange,
    Beginning,
    Cause,
    Change,
    Connector,
    Entry,
    Evse,
    Feed,
    Millis,
    Operator,
    Outlet,
    Station,
    StationChange,
    StationChanged,
    Status,
    StatusChanged,
    StatusReport,
    Suppression,
    evse_key,
)
from ladestrom.ports.log import Times
from ladestrom.writer.hub import OURS

NOW: Final[Millis] = 1_795_000_000_000
"""An instant in November 2026."""
TIMES: Final = Times(NOW, NOW)
FEED: Final = Feed("abc")
TYPE_2: Final = Connector("IEC_62196_T2", 22.0)
CCS: Final = Connector("IEC_62196_T2_COMBO", 150.0)
EVERY_STATUS: Final = tuple(Status)
POLL_S: Final = 0.001


def make_evse(written: str = "NO*ABC*E1", station: str = "NOR_00001", **members: Any) -> Evse:
    """An EVSE of party NOABC; its key follows from how its id is written."""
    given = {"key": evse_key(written), "evse_id": written, "party": "NOABC", **members}
    return Evse(station=station, **given)


def make_evses(count: int, station: str = "NOR_00001", party: str = "NO*ABC") -> tuple[Evse, ...]:
    """EVSEs whose ids carry the number of their station: `NO*ABC*E1*001`, `NO*ABC*E1*002`."""
    number = int(station.rpartition("_")[2])
    return tuple(
        make_evse(f"{party}*E{number}*{place:03d}", station, party=evse_key(party))
        for place in range(1, count + 1)
    )


def make_station(
    uuid: str = "NOR_00001", evses: int | Sequence[Evse] = 1, connectors: int = 1, **members: Any
) -> Station:
    """A station; `connectors` is how many each of its EVSEs has, in registry order."""
    parts = make_evses(evses, uuid) if isinstance(evses, int) else tuple(evses)
    given: dict[str, Any] = {
        "name": f"Station {uuid}",
        "country": uuid[:3],
        "latitude": 59.9,
        "longitude": 10.7,
        "outlets": tuple(Outlet(index, TYPE_2) for index in range(len(parts)) for _ in range(connectors)),
        **members,
    }
    return Station(uuid=uuid, evses=parts, **given)


def make_operator(name: str = "abc", **members: Any) -> Operator:
    """An operator that may report on the EVSEs of party NOABC."""
    return Operator(name=name, **({"parties": ("NOABC",)} | members))


def make_report(
    evse: Evse | str = "NO*ABC*E1",
    status: Status = Status.AVAILABLE,
    observed_at: Millis | None = NOW,
    *,
    error: bool = False,
    source: str = "abc",
) -> StatusReport:
    """A report; `observed_at` is None where it does not say when."""
    return StatusReport(
        evse=evse.key if isinstance(evse, Evse) else evse,
        status=status,
        error=error,
        observed_at=observed_at,
        source=source,
        raw=status.value,
    )


def make_taking(
    received_at: Millis = NOW, feed: Feed = FEED, arrival: int = 1, began: Beginning | None = None
) -> Taking:
    """How a delivery is taken; silence is judged by the same clock."""
    return taking(feed, received_at, received_at, arrival, began)


def make_change(
    evse: Evse | None = None, status: Status = Status.AVAILABLE, changed_at: Millis = NOW, **members: Any
) -> Change:
    """A reported change from UNKNOWN."""
    about = evse or make_evse()
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


def make_changes(count: int, start: int = 0, evses: int | None = None) -> list[Change]:
    """Changes that can be told apart, each of an EVSE of its own or in turn of as many as there are."""
    return [
        make_change(
            make_evse(f"NO*ABC*E{number % (evses or count + start)}"),
            EVERY_STATUS[number % len(EVERY_STATUS)],
            NOW + number,
        )
        for number in range(start, start + count)
    ]


def logged(changes: Iterable[Change], after: int = 0) -> list[StatusChanged]:
    """Changes as the entries that follow position `after`."""
    return [StatusChanged(seq, change) for seq, change in enumerate(changes, after + 1)]


def statuses(entries: Iterable[Entry]) -> list[StatusChanged]:
    """Entries that are changes of statuses, as all of these are."""
    found = [entry for entry in entries if isinstance(entry, StatusChanged)]
    assert len(found) == len(list(entries))
    return found


def make_record(
    station: Station, before: Station | None = None, received_at: Millis = NOW, moving: Iterable[str] = ()
) -> StationChange:
    """A station has this record from now on; its first one, unless it had one before."""
    return changed(before, station, received_at, moving)


def recorded(view: View, station: Station) -> StationChanged:
    """The next entry of a view's log: a station has this record from now on."""
    return StationChanged(view.seq + 1, changed(view.directory.stations.get(station.uuid), station, NOW))


def register(board: Board, evses: Iterable[Evse], now: Millis = NOW) -> list[StatusChanged]:
    """Brings EVSEs onto a board; returns what was logged."""
    found = (board.register(evse, now) for evse in evses)
    return put(board, [change for change in found if change is not None], now)


def put(board: Board, changes: Iterable[Change], now: Millis = NOW) -> list[StatusChanged]:
    """Puts decisions of our own onto a board; returns what was logged."""
    return apply(board, logged(changes, board.seq), now)


def apply(board: Board, entries: Sequence[StatusChanged], now: Millis = NOW) -> list[StatusChanged]:
    """Puts onto a board what was logged, and returns it."""
    round_ = Round(board)
    round_.add((entry.change for entry in entries), make_taking(now, OURS, board.arrive()))
    board.commit(round_, entries)
    return list(entries)


def commit(board: Board, round_: Round) -> list[StatusChanged]:
    """Makes a round's decisions the board's; returns what was logged."""
    entries = logged(round_.changes, board.seq)
    board.commit(round_, entries)
    return entries


def take(
    board: Board,
    reports: Iterable[tuple[Evse, StatusReport]],
    received_at: Millis = NOW,
    feed: Feed = FEED,
    began: Beginning | None = None,
) -> list[Change]:
    """Decides one delivery and puts it onto the board; returns the changes."""
    round_ = Round(board)
    taken = make_taking(received_at, feed, board.arrive(), began)
    for evse, report in reports:
        round_.decide(evse, report, taken)
    commit(board, round_)
    return round_.changes


def hear(
    board: Board,
    evse: Evse,
    report: StatusReport,
    received_at: Millis | None = None,
    feed: Feed | None = None,
    began: Beginning | None = None,
) -> Change | Suppression:
    """Decides one report and puts it onto the board; returns the decision.

    It is received when it was observed, on a feed of its source, unless told otherwise.
    """
    if received_at is None:
        received_at = NOW if report.observed_at is None else report.observed_at
    round_ = Round(board)
    taken = make_taking(received_at, feed or Feed(report.source), board.arrive(), began)
    decision = round_.decide(evse, report, taken)
    commit(board, round_)
    return decision


def drawn(dialect: Dialect, view: View, selection: Selection, seq: int) -> list[Message]:
    """A snapshot's messages."""
    drawing = dialect.snapshot(view, selection, seq)
    for uuid in view.named(selection):
        state = view.get(uuid)
        if state is not None:
            drawing.add(state)
    return list(drawing.messages())


class GatedLog(MemoryLog):
    """A log whose appends wait until the gate is opened, and fail where they are told to."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.gate.set()
        self.appends: list[int] = []
        """Changes in each append that was begun."""
        self.failures: dict[int, Exception] = {}
        """By the number of the append, from 1, that is to fail."""

    async def append(self, changes: Sequence[AnyChange]) -> Sequence[Entry]:
        self.appends.append(len(changes))
        failure = self.failures.get(len(self.appends))
        await self.gate.wait()
        if failure is not None:
            raise failure
        return await super().append(changes)
