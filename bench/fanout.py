"""What one delivery costs a server, beside peers that do nothing but fan out.

    python bench/fanout.py [--api v1] [--seconds 5] [--rounds 5] [--case all] [--peers C,ws,nchan]
                           [--quiet-s 0]

Every server runs on core 0, consumers and the feed on core 1. ladestrom is fed by operators' reports over
HTTP, `log.durability = full`: its figure holds all of that, and what that alone costs (the same feed, no
consumers) is beside it. Peers get messages like those that ladestrom sends. Servers take turns, round after
round; ratios are those of one round, and the table has the medians.

Before each measurement one second of the same traffic is compared byte by byte over all consumers, and read;
in all of it every consumer has to get every change, once and in order. A delivery is one change at one
consumer.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.consumers import LOAD_CORE, Consumers, Latency, Reader, Stuck, compiled, digest
from bench.feeding import Paced, Template, pace, saturate
from bench.servers import PATHS, Absent, Fanout, Ladestrom, Peer, c_peer, nchan_peer, ws_peer
from bench.tables import Conditions, middle, table, told

WARM_UP_S: Final = 1.0
SATURATED_CHANGES_PER_S: Final = 10_000
"""Prepared for a closed loop, for each second: more than a peer takes."""
LATENCIES_MAX: Final = 200_000_000
"""Deliveries whose latency is kept, 4 bytes each."""


class Case(NamedTuple):
    """One kind of load."""

    name: str
    consumers: int
    changes: int
    """In a tick."""
    per_s: float
    """Ticks."""
    peers: tuple[str, ...]
    promised: Mapping[str, str]
    gather_ms: int = 20
    """How long ladestrom and the C server gather for a write under load."""


SATURATION: Final = "1,000 x 50, 100/s"
CASES: Final = (
    Case("1,000 x 1, 25/s", 1_000, 1, 25, ("C", "ws", "nchan"), {}),
    Case("5,000 x 1, 10/s", 5_000, 1, 10, ("C", "ws", "nchan"), {}),
    Case("1,000 x 20, 25/s", 1_000, 20, 25, ("C", "ws"), {}),
    Case("5,000 x 20, 10/s", 5_000, 20, 10, ("C",), {}),
    Case("1,000 x 10, 100/s", 1_000, 10, 100, ("C",), {}, gather_ms=5),
    Case(SATURATION, 1_000, 50, 100, ("C", "nchan"), {"C": "at most 1.25", "nchan": "at most 0.05"}),
    Case("5,000 x 50, 20/s", 5_000, 50, 20, ("C",), {"C": "at most 1.40"}),
)
"""In the first four each tick is a pass, and between two of them other programs have the caches; in the others
servers gather. In the last two 5 million deliveries a second are due, and it is of them that something is
promised; nchan, which cannot, is fed as fast as it answers."""

PEERS: Final[Mapping[str, Callable[[Path, Template, Case], AbstractContextManager[Peer]]]] = {
    "C": lambda directory, template, case: c_peer(directory, template, case.gather_ms),
    "ws": lambda directory, template, _: ws_peer(directory, template),
    "nchan": lambda directory, template, _: nchan_peer(directory, template),
}


class Measured(NamedTuple):
    """What one server did in one round."""

    server: str
    deliveries: int
    seconds: float
    cpu_s: float
    load_cpu_s: float
    late_ms: float
    latency: Latency | None
    wrongs: tuple[str, ...]

    @property
    def cost_us(self) -> float:
        """Of a delivery."""
        return self.cpu_s / self.deliveries * 1e6


def fed(server: Fanout, case: Case, seconds: float, *, closed: bool = False) -> Paced:
    """Feeds a server for so long."""
    if closed:
        count = int(SATURATED_CHANGES_PER_S * seconds / case.changes)
        return saturate(server.road, server.road.ticks(count, case.changes), seconds)
    ticks = server.road.ticks(max(1, int(case.per_s * seconds)), case.changes)
    return pace(server.road, ticks, case.per_s)


def measured(server: Fanout, load: Path, case: Case, seconds: float, *, closed: bool = False) -> Measured:
    """One server, one case: connects, compares, measures.

    Args:
        server: which runs.
        load: the compiled consumers.
        case: what is sent to how many.
        seconds: for how long.
        closed: sends as fast as the server answers, which keeps it saturated.

    Raises:
        Stuck: consumers did not get what they are due.
    """
    with Consumers(load, server.port, case.consumers, [server.request()]) as consumers:
        consumers.connect()
        wrongs = compared(server, consumers, case)
        start = len(server.road.sent_ns)
        first, count = server.seq(start) + 1, int(case.per_s * seconds) * case.changes
        timed = not closed and count * case.consumers <= LATENCIES_MAX
        if timed:
            consumers.record(first, count)
        before, cpu_s, own_s = consumers.mark(), server.cpu_s(), time.process_time()
        paced = fed(server, case, seconds, closed=closed)
        last = server.seq(start + paced.changes)
        consumers.reach(last)
        after, cpu_s, own_s = consumers.mark(), server.cpu_s() - cpu_s, time.process_time() - own_s
        wrongs += after.wrongs(last)
        latency = consumers.latency(server.sent_ns(first, count)) if timed else None
        if latency is not None and latency.deliveries != paced.changes * case.consumers:
            wrongs.append(f"{latency.deliveries} deliveries were seen, not {paced.changes * case.consumers}")
    return Measured(
        server.name,
        paced.changes * case.consumers,
        (after.at_ns - before.at_ns) / 1e9,
        cpu_s,
        (after.cpu_us - before.cpu_us) / 1e6 + own_s,
        paced.late_ms,
        latency,
        tuple(f"{server.name}, {case.name}: {wrong}" for wrong in wrongs),
    )


def compared(server: Fanout, consumers: Consumers, case: Case) -> list[str]:
    """Traffic of which every consumer has to get the same bytes as a reader, which looks at them."""
    with Reader(server.port, server.request()) as reader:
        if isinstance(server, Ladestrom):
            consumers.snapshots()
            reader.snapshot()
        consumers.digest(True)
        start = len(server.road.sent_ns)
        paced = fed(server, case, WARM_UP_S)
        last = server.seq(start + paced.changes)
        consumers.reach(last)
        mark = consumers.mark()
        consumers.digest(False)
        got = [message for message in reader.up_to(last) if message.kind in {"status:update", "changes"}]
    wrongs = []
    if mark.digests_differ or mark.digest != digest([message.raw for message in got]):
        wrongs.append(
            f"{mark.digests_differ} consumers got other bytes than the first, or it than the reader"
        )
    if isinstance(server, Ladestrom):
        told_of = sorted(server.road.number(instant) for message in got for instant in message.instants())
        if told_of != list(range(start, start + paced.changes)):
            wrongs.append(
                f"the reader was told of {len(told_of)} changes, not of the {paced.changes} reported"
            )
    return wrongs


def intake_us(server: Ladestrom, case: Case, seconds: float) -> float:
    """What the feed costs without consumers, for each delivery that there would be."""
    cpu_s = server.cpu_s()
    paced = fed(server, case, seconds)
    return (server.cpu_s() - cpu_s) / (paced.changes * case.consumers) * 1e6


class Results:
    """All rounds of one case."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.rounds: dict[str, list[Measured]] = {}
        self.intake_us: list[float] = []
        self.absent: dict[str, str] = {}
        self.wrongs: list[str] = []

    def add(self, each: Measured) -> None:
        self.rounds.setdefault(each.server, []).append(each)
        self.wrongs += each.wrongs

    def rows(self) -> list[list[str]]:
        """One for each server."""
        rows = [self._row(server, rounds) for server, rounds in self.rounds.items()]
        return rows + [[self.case.name, name, why, *[""] * 7] for name, why in self.absent.items()]

    def _row(self, server: str, rounds: list[Measured]) -> list[str]:
        own = self.rounds.get("ladestrom", [])
        pairs = list(zip(own, rounds, self.intake_us, strict=False))
        ratios = [mine.cost_us / peer.cost_us for mine, peer, _ in pairs]
        alone = [(mine.cost_us - intake_us) / peer.cost_us for mine, peer, intake_us in pairs]
        costs = [each.cost_us for each in rounds]
        latency = sorted((each.latency for each in rounds if each.latency), key=lambda each: each.p99_ms)
        cost = f"{middle(costs):.3f} ({min(costs):.3f} to {max(costs):.3f})"
        if server == "ladestrom":
            cost += f", intake alone {middle(self.intake_us):.3f}"
        return [
            self.case.name,
            server,
            cost,
            "" if server == "ladestrom" else f"{middle(ratios):.3f}",
            "" if server == "ladestrom" else f"{middle(alone):.3f}",
            self.case.promised.get(server, ""),
            f"{middle([each.deliveries / each.seconds for each in rounds]):,.0f}",
            f"{middle([each.cpu_s / each.seconds for each in rounds]):.0%}",
            f"{middle([each.load_cpu_s / each.seconds for each in rounds]):.0%}",
            str(latency[len(latency) // 2]) if latency else "",
        ]


HEAD: Final = (
    "consumers x changes a tick",
    "server",
    "CPU us a delivery: median (least to most)",
    "ladestrom / this",
    "less its intake",
    "promised",
    "deliveries/s",
    "server's core",
    "load's core",
    "p50 / p99 ms from sending",
)


def run(case: Case, own: Ladestrom, directory: Path, options: argparse.Namespace) -> Results:
    """All rounds of a case: servers take turns."""
    results = Results(case)
    load = directory / "fanout_load"
    templates = {name: own.template(1 if name == "nchan" else case.changes) for name in options.peers}
    with contextlib.ExitStack() as stack:
        servers: list[Fanout] = [own]
        for name in case.peers:
            if name not in options.peers:
                continue
            try:
                servers.append(stack.enter_context(PEERS[name](directory, templates[name], case)))
            except Absent as error:
                results.absent[name] = f"absent: {error}"
        for number in range(options.rounds):
            results.intake_us.append(intake_us(own, case, options.seconds))
            for server in servers:
                closed = server.name == "nchan" and case.name == SATURATION
                try:
                    each = measured(server, load, case, options.seconds, closed=closed)
                except Stuck as error:
                    results.wrongs.append(f"{server.name}, {case.name}: {error}")
                    return results
                results.add(each)
                print(
                    f"{case.name}, round {number + 1}, {server.name}: {each.cost_us:.3f} us a delivery,"
                    f" ticks at most {each.late_ms:.1f} ms late (p99)",
                    file=sys.stderr,
                    flush=True,
                )
    return results


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--api", choices=list(PATHS), default="v1")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--case", choices=["all", *(case.name for case in CASES)], default="all")
    parser.add_argument("--peers", type=lambda text: text.split(","), default=list(PEERS))
    parser.add_argument("--quiet-s", type=float, default=0.0, help="wait at most so long for a quiet machine")
    options = parser.parse_args()
    if (os.cpu_count() or 1) < 2:
        raise SystemExit("two cores are needed: one for the server, one for the load")
    conditions = Conditions(options.quiet_s)
    os.sched_setaffinity(0, {LOAD_CORE})
    with tempfile.TemporaryDirectory(prefix="ladestrom-fanout-") as name:
        directory = Path(name)
        compiled(directory, "fanout_load")
        chosen = [case for case in CASES if options.case in {"all", case.name}]
        results = []
        for gather_ms in sorted({case.gather_ms for case in chosen}):
            settings = {"stream.gather_ms_min": str(gather_ms), "stream.gather_ms_max": "20"}
            home = directory / f"gather-{gather_ms}"
            home.mkdir()
            with Ladestrom.started(home, options.api, settings=settings) as own:
                results += [
                    run(case, own, directory, options) for case in chosen if case.gather_ms == gather_ms
                ]
                size = own.template(1).size
    notes = (
        f"{options.api}, {size}-byte messages of one change, {options.rounds} rounds of"
        f" {options.seconds:g} s, durability full"
    )
    rows = [row for each in results for row in each.rows()]
    return told(conditions, notes, table(HEAD, rows), [wrong for each in results for wrong in each.wrongs])


if __name__ == "__main__":
    sys.exit(main())
