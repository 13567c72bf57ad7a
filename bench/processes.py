"""What several processes cost, and how far readers are behind: one process against a writer and two readers.

    python bench/processes.py [--api v2] [--consumers 1000] [--changes-per-s 1000] [--batch 10] [--seconds 10]
                              [--rounds 3] [--quiet-s 0]

One process and three take turns, each with the same consumers and reports (open loop, as `latency.py`). All
processes of the server are on core 0, consumers and the feed on core 1. The cost is that of all processes of the
server together, for each change that a consumer got. The lag of a reader is from the return of the append in
the writer until the reader has the entries, before it makes frames of them; both read the same monotonic clock.
"""

from __future__ import annotations

import argparse
import atexit
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import msgspec
from bench.consumers import LOAD_CORE, Latency, Stuck, compiled
from bench.latency import measured
from bench.servers import PATHS, Ladestrom
from bench.tables import Conditions, table, told

from ladestrom import cli, supervisor
from ladestrom.backends import tailing
from ladestrom.cli import process as one_process

PROCESSES: Final = 3
MARKS: Final = "LADESTROM_TEST__MARKS"
"""Folder in which each process of the server leaves when it had which entry."""
PROMISED: Final = (
    "cost of three processes at most 1.1 of one; lag of a reader at the median at most 1 ms; "
    "p99 from the POST at most 5 ms more"
)


# -- in the processes of the server ------------------------------------------------------------------------------


def serve() -> int:
    """The server, whose processes leave marks."""
    supervisor.PROGRAM = (sys.executable, __file__, "process")  # type: ignore[misc] # it is measured
    return cli.main(sys.argv[1:])


def process() -> int:
    """One process of it."""
    marks: list[tuple[int, int]] = []
    add = tailing.Recent.add

    def added(self: Any, entries: Sequence[Any]) -> None:
        marks.append((entries[-1].seq, time.monotonic_ns()))
        add(self, entries)

    tailing.Recent.add = added  # type: ignore[method-assign]
    file = Path(os.environ[MARKS]) / f"{os.getpid()}.json"
    atexit.register(lambda: file.write_bytes(msgspec.json.encode(marks)))
    return one_process.main()


# -- the measurement ---------------------------------------------------------------------------------------------


class Round(NamedTuple):
    """One round's figures."""

    posted: Latency
    us: float
    """Of all processes of the server, for each delivery."""
    server: float
    load: float
    wrongs: tuple[str, ...]

    def row(self, name: str) -> list[str]:
        return [
            name,
            f"{self.us:.3f}",
            str(self.posted),
            f"{self.posted.max_ms:.1f}",
            f"{self.server:.0%}",
            f"{self.load:.0%}",
        ]


HEAD: Final = (
    "round",
    "us of CPU a delivery",
    "from the POST: p50 / p99 ms",
    "longest",
    "server's core",
    "load's core",
)


def cpu_s(pid: int) -> float:
    """Processor time of a process and of those that it started."""
    ticks = os.sysconf("SC_CLK_TCK")
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    found = 0.0
    for each in (str(pid), *children):
        fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        found += (int(fields[11]) + int(fields[12])) / ticks
    return found


def one_round(own: Ladestrom, load: Path, options: argparse.Namespace) -> Round:
    """The round's figures."""
    pid = own.running.pid
    seen = measured(own, load, options, lambda: cpu_s(pid), appended=False)
    us = seen.server_s * 1e6 / seen.posted.deliveries
    return Round(
        seen.posted, us, seen.server_s / seen.seconds, seen.load_s / seen.seconds, tuple(seen.wrongs)
    )


def lags_ms(folder: Path) -> list[float]:
    """Of each reader for each append that it took alone."""
    found = [dict(msgspec.json.decode(file.read_bytes())) for file in folder.glob("*.json")]
    # The writer has the entries first, and an own mark for each append.
    writer = max(found, key=len)
    return sorted(
        (at - writer[seq]) / 1e6
        for marks in found
        if marks is not writer
        for seq, at in marks.items()
        if seq in writer
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--api", choices=list(PATHS), default="v2")
    parser.add_argument("--consumers", type=int, default=1_000)
    parser.add_argument("--changes-per-s", type=float, default=1_000)
    parser.add_argument("--batch", type=int, default=10, help="reports in a POST")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quiet-s", type=float, default=0.0, help="wait at most so long for a quiet machine")
    options = parser.parse_args()
    conditions = Conditions(options.quiet_s)
    os.sched_setaffinity(0, {LOAD_CORE})
    rounds: dict[int, list[Round]] = {1: [], PROCESSES: []}
    with tempfile.TemporaryDirectory(prefix="ladestrom-processes-") as name:
        directory = Path(name)
        load = compiled(directory, "fanout_load")
        for number in range(options.rounds):
            for processes, found in rounds.items():
                home = directory / f"{number}-{processes}"
                home.mkdir()
                settings = {"server.processes": str(processes), "test.marks": str(home)}
                program = (sys.executable, __file__)
                with Ladestrom.started(home, options.api, settings=settings, program=program) as own:
                    try:
                        found.append(one_round(own, load, options))
                    except Stuck as error:
                        return told(conditions, options.api, "", [str(error)])
        lags = [
            lag for number in range(options.rounds) for lag in lags_ms(directory / f"{number}-{PROCESSES}")
        ]
    rows = [
        each.row(f"{processes} processes, {number}")
        for processes, found in rounds.items()
        for number, each in enumerate(found, 1)
    ]
    best = {processes: min(each.us for each in found) for processes, found in rounds.items()}
    p99 = {processes: min(each.posted.p99_ms for each in found) for processes, found in rounds.items()}
    ratio, middle = best[PROCESSES] / best[1], statistics.median(lags)
    notes = (
        f"{options.api}, {options.changes_per_s:g} changes/s in POSTs of {options.batch} to"
        f" {options.consumers:,} consumers, {options.seconds:g} s a round, durability full.\n\n"
        f"Cost of three processes: {ratio:.2f} of one (the least of {options.rounds} rounds each). A reader lags the"
        f" append by {middle:.2f} ms at the median, {lags[len(lags) * 99 // 100]:.1f} ms at p99 ({len(lags):,} appends)."
        f" p99 from the POST: {p99[PROCESSES] - p99[1]:+.1f} ms. Promised: {PROMISED}."
    )
    wrongs = [wrong for found in rounds.values() for each in found for wrong in each.wrongs]
    return told(conditions, notes, table(HEAD, rows), wrongs)


if __name__ == "__main__":
    sys.exit({"serve": serve, "process": process}.get(sys.argv[1] if sys.argv[1:] else "", main)())
