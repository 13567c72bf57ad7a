"""How long a start takes, and what the board keeps in memory.

    python bench/start.py [--evses 100000] [--changes 100000] [--quiet-s 0]

`ladestrom serve` as a process of its own, on core 0, from starting it to its line `ready`; resident memory
then. A made-up register comes in through `ladestrom import`, reports over HTTP. REST has to show every EVSE
as it was last reported, after each start.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.consumers import LOAD_CORE
from bench.feeding import Reports
from bench.intake import on_core, rest_board
from bench.servers import CHANGES_PER_REQUEST, SERVER_CORE, STARTED_AT, rss_kib
from bench.tables import Conditions, table, told
from tests.e2e.running import REGISTER_PREFIX, Running, irve_register, made_up_evses

EVSES_PER_STATION: Final = 4
STARTS: Final = 3
"""Of each kind; the table has the one in the middle."""
SETTLED_S: Final = 2.0
PROMISED_MIB: Final = 220
PROMISED_S: Final = 5

HEAD: Final = ("start", "ready after, s", "promised", "resident, MiB", "more than an empty one", "promised")


class Starts:
    """The table, start by start."""

    def __init__(self) -> None:
        self.rows: list[list[str]] = []
        self._empty_mib = 0.0

    def add(self, name: str, ready_s: float | None, mib: float, promised: tuple[str, str] = ("", "")) -> None:
        if not self.rows:
            self._empty_mib = mib
        self.rows.append(
            [
                name,
                "" if ready_s is None else f"{ready_s:.2f}",
                promised[0],
                f"{mib:.1f}",
                f"{mib - self._empty_mib:.1f}",
                promised[1],
            ]
        )


def resident_mib(running: Running) -> float:
    """Once nothing is under way any more."""
    time.sleep(SETTLED_S)
    return rss_kib(running.pid) / 1024


def restarted(running: Running) -> tuple[float, float]:
    """Seconds and memory of the start in the middle, after clean stops."""
    found = []
    for _ in range(STARTS):
        running.restart()
        found.append((running.ready_s, resident_mib(running)))
    return sorted(found)[STARTS // 2]


def report(road: Reports, changes: int) -> None:
    """So many changes, each EVSE in turn."""
    for tick in road.ticks(changes // CHANGES_PER_REQUEST, CHANGES_PER_REQUEST):
        road.send(tick)
    road.settle()


def shown(running: Running, key: str, road: Reports, evses: Sequence[str]) -> list[str]:
    """What REST shows otherwise than it was reported: numbers of connectors by status and instant."""
    board = rest_board(running, key, road.position)
    told_of = sorted(
        (each["timestamp"], each["status"]) for station in board.values() for each in station["connectors"]
    )
    newest = range(len(road.sent_ns) - len(evses), len(road.sent_ns))
    reports = [road.report(number) for number in newest]
    expected = sorted((each["observed_at"], int(each["status"] == "CHARGING")) for each in reports)
    return [] if told_of == expected else [f"REST shows {len(told_of)} connectors, not as they were reported"]


def run(running: Running, directory: Path, options: argparse.Namespace) -> tuple[list[list[str]], list[str]]:
    """The table's rows, and what was wrong."""
    starts = Starts()
    running.start()
    starts.add("the first ever, empty", running.ready_s, resident_mib(running))
    starts.add("empty", *restarted(running))
    running.stop()

    stations = options.evses // EVSES_PER_STATION
    evses = made_up_evses(stations, EVSES_PER_STATION)
    file = irve_register(directory / "register.jsonl", stations=stations, evses=EVSES_PER_STATION)
    running.import_register("irve", file)
    running.operator("bench", prefixes=[REGISTER_PREFIX])
    report_key, stream_key = running.key("report", operator="bench"), running.key("stream")
    running.start()
    what = f"{options.evses:,} EVSEs"
    starts.add(f"{what}, the first with them: each is logged", running.ready_s, resident_mib(running))

    road = Reports(running.port, [report_key], evses, STARTED_AT)
    report(road, options.evses)
    starts.add(f"{what}, running, all reported on", None, resident_mib(running))
    wrongs = shown(running, stream_key, road, evses)
    road.close()
    promised = (f"at most {PROMISED_S}", f"at most {PROMISED_MIB}")
    starts.add(f"{what}, after a clean stop", *restarted(running), promised)
    wrongs += shown(running, stream_key, road, evses)

    report(road, options.changes)
    road.close()
    running.kill9()
    running.start()
    name = f"{what}, after SIGKILL, {options.changes:,} changes since the start"
    starts.add(name, running.ready_s, resident_mib(running), promised)
    wrongs += shown(running, stream_key, road, evses)
    return starts.rows, wrongs


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--evses", type=int, default=100_000)
    parser.add_argument("--changes", type=int, default=100_000, help="after the last checkpoint")
    parser.add_argument("--quiet-s", type=float, default=0.0, help="wait at most so long for a quiet machine")
    options = parser.parse_args()
    if options.evses % CHANGES_PER_REQUEST or options.changes % CHANGES_PER_REQUEST:
        raise SystemExit(f"EVSEs and changes are multiples of {CHANGES_PER_REQUEST}")
    conditions = Conditions(options.quiet_s)
    os.sched_setaffinity(0, {LOAD_CORE})
    with (
        tempfile.TemporaryDirectory(prefix="ladestrom-start-") as name,
        Running(Path(name), {"log.durability": "full"}, before_exec=on_core(SERVER_CORE)) as running,
    ):
        rows, wrongs = run(running, Path(name), options)
    return told(conditions, "durability full", table(HEAD, rows), wrongs)


if __name__ == "__main__":
    sys.exit(main())
