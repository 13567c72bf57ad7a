"""What an idle consumer costs in memory.

    python bench/memory.py [--api v1] [--consumers 10000] [--quiet-s 0]

Resident memory of the server's process, before and after so many consumers have connected, had their snapshot
and answered a ping; what the kernel keeps for their sockets is not in it. Two hundred that come and go before
take what is allotted once. In the end one change has to reach everybody.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.consumers import LOAD_CORE, Consumers, Stuck, compiled
from bench.feeding import pace
from bench.servers import PATHS, Ladestrom, rss_kib
from bench.tables import Conditions, table, told

FIRST_CONSUMERS: Final = 200
SPARE_FILES: Final = 200
LEFT_S: Final = 1.0
PROMISED_KIB: Final = 8
STATIONS: Final = 100

HEAD: Final = (
    "consumers",
    "before, MiB",
    "connected, MiB",
    "KiB each",
    "after a ping",
    "after a change",
    "promised",
    "gone, MiB",
    "connected in, s",
)


def files_for(consumers: int) -> None:
    """Lets this process and those it starts have so many connections.

    Raises:
        SystemExit: the system does not allow it.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most < consumers + SPARE_FILES:
        raise SystemExit(f"{consumers} connections need more than the {most} files that are allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def run(own: Ladestrom, load: Path, count: int) -> tuple[list[str], list[str]]:
    """The table's row, and what was wrong."""
    pid = own.running.pid
    with Consumers(load, own.port, FIRST_CONSUMERS, [own.request()]) as first:
        first.connect()
        first.snapshots()
    time.sleep(LEFT_S)
    before = rss_kib(pid)
    with Consumers(load, own.port, count, [own.request()], deadline_s=120.0) as consumers:
        began_ns, connected_ns = consumers.connect()
        consumers.snapshots()
        connected = rss_kib(pid)
        consumers.pongs()
        time.sleep(LEFT_S)
        pinged = rss_kib(pid)
        start = len(own.road.sent_ns)
        pace(own.road, own.road.ticks(1, 1), 1)
        consumers.reach(own.seq(start + 1))
        changed = rss_kib(pid)
        mark = consumers.mark()
    time.sleep(LEFT_S)
    gone = rss_kib(pid)
    wrongs = mark.wrongs()
    if (mark.messages_min, mark.messages_max) != (1, 1):
        wrongs.append(f"consumers got {mark.messages_min} to {mark.messages_max} messages of one change")
    row = [
        f"{count:,}",
        f"{before / 1024:.1f}",
        f"{connected / 1024:.1f}",
        *[f"{(then - before) / count:.2f}" for then in (connected, pinged, changed)],
        f"at most {PROMISED_KIB}",
        f"{gone / 1024:.1f}",
        f"{(connected_ns - began_ns) / 1e9:.1f}",
    ]
    return row, wrongs


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--api", choices=list(PATHS), default="v1")
    parser.add_argument("--consumers", type=int, default=10_000)
    parser.add_argument("--quiet-s", type=float, default=0.0, help="wait at most so long for a quiet machine")
    options = parser.parse_args()
    conditions = Conditions(options.quiet_s)
    files_for(options.consumers)
    os.sched_setaffinity(0, {LOAD_CORE})
    with tempfile.TemporaryDirectory(prefix="ladestrom-memory-") as name:
        directory = Path(name)
        load = compiled(directory, "fanout_load")
        with Ladestrom.started(directory, options.api, stations=STATIONS) as own:
            try:
                row, wrongs = run(own, load, options.consumers)
            except Stuck as error:
                return told(conditions, options.api, "", [str(error)])
    return told(conditions, f"{options.api}, {STATIONS} stations", table(HEAD, [row]), wrongs)


if __name__ == "__main__":
    sys.exit(main())
