"""How long after an operator's POST, and after its append, a change is at its consumers; durable.

    python bench/latency.py [--api v1] [--consumers 1000] [--changes-per-s 1000] [--batch 10] [--seconds 10]
                            [--rounds 3] [--gather-ms 20] [--quiet-s 0]

The server runs on core 0, consumers and the feed on core 1; reports of eight operators come at even
distances, whatever the server does (open loop). The time from the POST counts from just before its first byte
is written; the time from the append from the log's own stamp, which is taken before the change is written and
synced, and is whole milliseconds: both are at most too long. The frame is there when a consumer has read it.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.consumers import LOAD_CORE, Consumers, Latency, Stuck, compiled
from bench.feeding import pace
from bench.servers import PATHS, Ladestrom
from bench.tables import Conditions, table, told

WARM_UP_S: Final = 1.0
PROMISED: Final = "p99 at most 35 from the POST, 20 from the append"


class Round(NamedTuple):
    """One round's figures."""

    posted: Latency
    appended: Latency
    server: float
    load: float
    late_ms: float
    wrongs: tuple[str, ...]

    def row(self, name: str) -> list[str]:
        return [
            name,
            str(self.posted),
            f"{self.posted.max_ms:.1f}",
            str(self.appended),
            f"{self.appended.max_ms:.1f}",
            f"{self.server:.0%}",
            f"{self.load:.0%}",
            f"{self.late_ms:.1f}",
        ]


HEAD: Final = (
    "round",
    "from the POST: p50 / p99 ms",
    "longest",
    "from the append: p50 / p99 ms",
    "longest",
    "server's core",
    "load's core",
    "POSTs late by (p99) ms",
)


class Measured(NamedTuple):
    """What was seen of one load."""

    posted: Latency
    appended: Latency | None
    seconds: float
    server_s: float
    """Of processor time."""
    load_s: float
    late_ms: float
    wrongs: list[str]


def measured(
    own: Ladestrom, load: Path, options: argparse.Namespace, cpu_s: Callable[[], float], *, appended: bool
) -> Measured:
    """Connects, warms up, measures.

    Args:
        own: the server.
        load: program of the consumers.
        options: rate, batch, seconds and consumers.
        cpu_s: the processor time that the server has used.
        appended: whether the server notes when it had appended what.
    """
    per_s = options.changes_per_s / options.batch
    with Consumers(load, own.port, options.consumers, [own.request()]) as consumers:
        consumers.connect()
        consumers.snapshots()
        pace(own.road, own.road.ticks(int(per_s * WARM_UP_S), options.batch), per_s)
        start = len(own.road.sent_ns)
        consumers.reach(own.seq(start))
        ticks = own.road.ticks(int(per_s * options.seconds), options.batch)
        first, count = own.seq(start) + 1, len(ticks) * options.batch
        consumers.record(first, count)
        before, used_s, own_s = consumers.mark(), cpu_s(), time.process_time()
        paced = pace(own.road, ticks, per_s)
        consumers.reach(own.seq(start + paced.changes))
        after, used_s, own_s = consumers.mark(), cpu_s() - used_s, time.process_time() - own_s
        posted = consumers.latency(own.sent_ns(first, count))
        of_appends = consumers.latency(own.appended_ns(first, count)) if appended else None
    wrongs = after.wrongs()
    for seen in (posted, of_appends):
        if seen is not None and seen.deliveries != count * options.consumers:
            wrongs.append(f"{seen.deliveries} deliveries were seen, not {count * options.consumers}")
    load_s = (after.cpu_us - before.cpu_us) / 1e6 + own_s
    seconds = (after.at_ns - before.at_ns) / 1e9
    return Measured(posted, of_appends, seconds, used_s, load_s, paced.late_ms, wrongs)


def one_round(own: Ladestrom, load: Path, options: argparse.Namespace) -> Round:
    """The round's figures."""
    posted, appended, seconds, server_s, load_s, late_ms, wrongs = measured(
        own, load, options, own.cpu_s, appended=True
    )
    assert appended is not None
    return Round(posted, appended, server_s / seconds, load_s / seconds, late_ms, tuple(wrongs))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--api", choices=list(PATHS), default="v1")
    parser.add_argument("--consumers", type=int, default=1_000)
    parser.add_argument("--changes-per-s", type=float, default=1_000)
    parser.add_argument("--batch", type=int, default=10, help="reports in a POST")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--gather-ms", help="the setting stream.gather_ms_max; else as it is")
    parser.add_argument("--quiet-s", type=float, default=0.0, help="wait at most so long for a quiet machine")
    options = parser.parse_args()
    conditions = Conditions(options.quiet_s)
    os.sched_setaffinity(0, {LOAD_CORE})
    with tempfile.TemporaryDirectory(prefix="ladestrom-latency-") as name:
        directory = Path(name)
        load = compiled(directory, "fanout_load")
        settings = {"stream.gather_ms_max": options.gather_ms} if options.gather_ms else {}
        with Ladestrom.started(directory, options.api, settings=settings) as own:
            try:
                rounds = [one_round(own, load, options) for _ in range(options.rounds)]
            except Stuck as error:
                return told(conditions, options.api, "", [str(error)])
    middle = sorted(rounds, key=lambda each: each.posted.p99_ms)[len(rounds) // 2]
    rows = [each.row(f"{number}") for number, each in enumerate(rounds, 1)]
    notes = (
        f"{options.api}, {options.changes_per_s:g} changes/s in POSTs of {options.batch} to"
        f" {options.consumers:,} consumers, {options.seconds:g} s a round, durability full,"
        f" gather_ms_max {options.gather_ms or 'as it is'}; promised: {PROMISED}"
    )
    made = table(HEAD, [*rows, middle.row("the median one")])
    return told(conditions, notes, made, [wrong for each in rounds for wrong in each.wrongs])


if __name__ == "__main__":
    sys.exit(main())
