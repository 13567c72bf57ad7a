"""Whether what a change costs depends on how many EVSEs there are, and a pass on how much is in it.

    python bench/growth.py [--small 10000] [--large 1000000] [--changes 20000] [--rounds 5] [--quiet-s 0]

In this process, without HTTP, disk and sockets: hub, board, a log in memory, view and broadcast, and
consumers that only count what is handed to them. Processor time of the thread that does it all; both sizes
are built first and then take turns. Every consumer has to be handed every byte of what one of them reads.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.tables import Conditions, middle, ratio, table, told

from ladestrom.backends.memory import MemoryLog
from ladestrom.core.board import Board
from ladestrom.core.directory import Directory
from ladestrom.core.selection import EVERYTHING, Selection
from ladestrom.core.view import View
from ladestrom.edges.framing import FRAMINGS
from ladestrom.model import (
    Cause,
    Change,
    Connector,
    Evse,
    Operator,
    Outlet,
    Position,
    Station,
    Status,
    StatusReport,
)
from ladestrom.outputs.nobil_v1.encoder import NobilDialect, NobilFormat
from ladestrom.outputs.stream_v2.encoder import Attribution, Limits, V2Dialect
from ladestrom.ports.log import BoardRow
from ladestrom.reader.broadcast import Broadcast
from ladestrom.reader.channels import BroadcastLimits
from ladestrom.reader.subscriptions import Subscriber, Subscription
from ladestrom.writer.hub import Hub

CORE: Final = 0
SEED: Final = 1
EVSES_PER_STATION: Final = 4
BATCH: Final = 100
STARTED_AT: Final = 1_600_000_000_000
OPERATOR: Final = Operator("bench", all=True)
CONSUMERS: Final = 1_000
FILTERS: Final = 200
PASSES: Final = 50
CHANGES_A_PASS: Final = (1, 20, 100, 500)
CHANGES_FILTERED: Final = 20
DIALECTS: Final = ("v1", "v2")


class Tap:
    """A consumer that counts (`reader.subscriptions.Sink`)."""

    def __init__(self) -> None:
        self.paused = False
        self.bytes = 0
        self.writes = 0
        self.kept: list[bytes] | None = None

    def write(self, data: bytes) -> None:
        self.bytes += len(data)
        self.writes += 1
        if self.kept is not None:
            self.kept.append(data)

    def overrun(self, position: Position) -> None:
        raise AssertionError(f"overrun at {position}")

    def interrupted(self, position: Position) -> None:
        raise AssertionError(f"interrupted at {position}")


class Engine:
    """Everything between a report and a consumer's bytes, with so many EVSEs that are available."""

    def __init__(self, evses: int, seed: int = SEED) -> None:
        self.evses: list[Evse] = []
        directory = Directory()
        rows = []
        for number in range(evses // EVSES_PER_STATION):
            station = made_station(number)
            directory.put(station)
            self.evses += station.evses
            rows += [
                BoardRow(0, first_change(evse), STARTED_AT, STARTED_AT, "bench") for evse in station.evses
            ]
        self.log = MemoryLog()
        self.board = Board(rows)
        self.view = View(directory, "bench")
        self.view.load(rows, 0)
        self.hub = Hub(self.log, self.board, directory, lambda: STARTED_AT)
        limits = Limits(0, 0, 0, 0, 0)
        self.broadcast = Broadcast(
            self.log,
            self.view,
            {"v1": NobilDialect(NobilFormat()), "v2": V2Dialect(limits, Attribution())},
            FRAMINGS,
            BroadcastLimits(heartbeat_s=1e9),
        )
        self.hub.listener = self.broadcast
        self._at = STARTED_AT
        self._charging: set[str] = set()
        self._random = random.Random(seed)
        self._subscribers: list[Subscriber] = []

    def reports(self, count: int) -> list[StatusReport]:
        """Reports that are all changes, on EVSEs in no order."""
        self._at += 1
        made = []
        for evse in self._random.sample(self.evses, count):
            self._charging ^= {evse.key}
            status = Status.CHARGING if evse.key in self._charging else Status.AVAILABLE
            made.append(StatusReport(evse.key, status, False, self._at, "bench", status.value))
        return made

    async def take(self, reports: Sequence[StatusReport]) -> None:
        """From reports to frames that wait for a pass."""
        receipt = await self.hub.submit(OPERATOR, reports)
        assert receipt.accepted == len(reports)
        self.broadcast.take(await self.log.read(self.view.seq, len(reports)))

    def join(self, count: int, selections: Sequence[Selection], dialect: str) -> list[Tap]:
        """So many consumers, with these selections in turn; the first keeps what it is handed."""
        taps = [Tap() for _ in range(count)]
        taps[0].kept = []
        for number, tap in enumerate(taps):
            subscription = Subscription(selections[number % len(selections)], raw=False, dialect=dialect)
            self._subscribers.append(self.broadcast.join(tap, subscription, since=None, snapshot=False))
        return taps

    def part(self) -> None:
        """All consumers leave."""
        for subscriber in self._subscribers:
            self.broadcast.leave(subscriber)
        self._subscribers.clear()


def made_station(number: int) -> Station:
    """A station of the made-up register."""
    uuid = f"FRA_{number:06d}"
    evses = tuple(
        Evse(f"FRLDSE{number:06d}{place:02d}", uuid, f"FR*LDS*E{number:06d}{place:02d}", party="FRLDS")
        for place in range(EVSES_PER_STATION)
    )
    connector = Connector("IEC_62196_T2_COMBO", 50.0)
    outlets = tuple(Outlet(place, connector) for place in range(EVSES_PER_STATION))
    return Station(uuid, f"Exemple {number}", "FRA", 48.0, 2.0, evses, outlets)


def first_change(evse: Evse) -> Change:
    """How the EVSE became available."""
    return Change(
        evse.key,
        evse.station,
        Status.AVAILABLE,
        False,
        STARTED_AT,
        STARTED_AT,
        STARTED_AT,
        "bench",
        "AVAILABLE",
        Cause.REPORTED,
        Status.UNKNOWN,
        False,
    )


def checked(taps: Sequence[Tap], changes: int) -> list[str]:
    """Whether the first consumer was told of so many changes, and all of the same."""
    kept = b"".join(taps[0].kept or ())
    told_of = kept.count(b'"type":"status:update"') + kept.count(b'"evse":')
    wrongs = []
    if told_of != changes:
        wrongs.append(f"a consumer was told of {told_of} changes, not {changes}")
    if len({tap.bytes for tap in taps}) != 1:
        wrongs.append("consumers were handed different numbers of bytes")
    return wrongs


class Bench:
    """The figures, and what was wrong on the way."""

    def __init__(self) -> None:
        self.wrongs: list[str] = []

    async def change_us(self, engine: Engine, count: int, dialect: str) -> float:
        """A change with one consumer: decided, logged in memory, applied, encoded, framed, handed over."""
        batches = [engine.reports(BATCH) for _ in range(count // BATCH)]
        taps = engine.join(1, [EVERYTHING], dialect)
        began_s = time.thread_time()
        for batch in batches:
            await engine.take(batch)
            await engine.broadcast._fanout.once()
        took_s = time.thread_time() - began_s
        engine.part()
        self.wrongs += checked(taps, count)
        return took_s / count * 1e6

    async def pass_us(
        self, engine: Engine, selections: Sequence[Selection], changes: int, dialect: str
    ) -> tuple[float, float, float]:
        """Per change up to the pass, per consumer and pass, and per delivery of one change to one consumer."""
        taps = engine.join(CONSUMERS, selections, dialect)
        taken_s = passed_s = 0.0
        for _ in range(PASSES):
            reports = engine.reports(changes)
            began_s = time.thread_time()
            await engine.take(reports)
            made_s = time.thread_time()
            await engine.broadcast._fanout.once()
            taken_s += made_s - began_s
            passed_s += time.thread_time() - made_s
        engine.part()
        self.wrongs += checked(taps, PASSES * changes)
        if any(tap.writes != PASSES for tap in taps):
            self.wrongs.append("a consumer was not written to once a pass")
        return (
            taken_s / (PASSES * changes) * 1e6,
            passed_s / (PASSES * CONSUMERS) * 1e6,
            (taken_s + passed_s) / (PASSES * changes * CONSUMERS) * 1e6,
        )


def filters() -> list[Selection]:
    """Different selections that all cover every station: its operator, and another one each."""
    return [
        Selection(country=frozenset({"FRA"}), operator=frozenset({"frlds", f"de{number:03d}"}))
        for number in range(FILTERS)
    ]


async def run(options: argparse.Namespace, bench: Bench) -> str:
    """All rounds; the tables."""
    engines = [Engine(options.small), Engine(options.large)]
    hubs = [asyncio.create_task(engine.hub.run()) for engine in engines]
    # As the server does once it is ready: what is there for good is not looked at again.
    gc.collect()
    gc.freeze()
    small = engines[0]
    growth: dict[str, list[list[float]]] = {dialect: [[], []] for dialect in DIALECTS}
    passes: dict[str, list[list[float]]] = {dialect: [[] for _ in CHANGES_A_PASS] for dialect in DIALECTS}
    none: dict[str, list[tuple[float, float, float]]] = {dialect: [] for dialect in DIALECTS}
    some: dict[str, list[tuple[float, float, float]]] = {dialect: [] for dialect in DIALECTS}
    for _ in range(options.rounds):
        for dialect in DIALECTS:
            for engine, column in zip(engines, growth[dialect], strict=True):
                column.append(await bench.change_us(engine, options.changes, dialect))
            for changes, column in zip(CHANGES_A_PASS, passes[dialect], strict=True):
                column.append((await bench.pass_us(small, [EVERYTHING], changes, dialect))[1])
            none[dialect].append(await bench.pass_us(small, [EVERYTHING], CHANGES_FILTERED, dialect))
            some[dialect].append(await bench.pass_us(small, filters(), CHANGES_FILTERED, dialect))
    for hub in hubs:
        hub.cancel()
    await asyncio.gather(*hubs, return_exceptions=True)
    sizes = table(
        ("CPU us a change", f"{options.small:,} EVSEs", f"{options.large:,} EVSEs", "ratio"),
        [
            (dialect, f"{middle(few):.2f}", f"{middle(many):.2f}", ratio(many, few))
            for dialect, (few, many) in growth.items()
        ],
    )
    changes_head = ("CPU us a consumer and pass", *[f"{changes} changes" for changes in CHANGES_A_PASS])
    lengths = table(
        (*changes_head, "last / first"),
        [
            (dialect, *[f"{middle(column):.3f}" for column in columns], ratio(columns[-1], columns[0]))
            for dialect, columns in passes.items()
        ],
    )
    filtered = table(
        (
            f"{CONSUMERS:,} consumers, {CHANGES_FILTERED} changes a pass",
            "no filter",
            f"{FILTERS} filters",
            "ratio",
        ),
        [
            (
                f"{dialect}, CPU us {what}",
                f"{middle([each[place] for each in none[dialect]]):.3f}",
                f"{middle([each[place] for each in some[dialect]]):.3f}",
                ratio([each[place] for each in some[dialect]], [each[place] for each in none[dialect]]),
            )
            for dialect in DIALECTS
            for place, what in enumerate(("a change, up to the pass", "a consumer and pass", "a delivery"))
        ],
    )
    return f"{sizes}\n\n{lengths}\n\n{filtered}"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--small", type=int, default=10_000)
    parser.add_argument("--large", type=int, default=1_000_000)
    parser.add_argument("--changes", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quiet-s", type=float, default=0.0, help="wait at most so long for a quiet machine")
    options = parser.parse_args()
    conditions = Conditions(options.quiet_s)
    os.sched_setaffinity(0, {CORE})
    bench = Bench()
    made = asyncio.run(run(options, bench))
    return told(conditions, f"{options.rounds} rounds, in this process", made, bench.wrongs)


if __name__ == "__main__":
    sys.exit(main())
