"""What the number of EVSEs, and filters, cost the whole server: HTTP, durable log and sockets included.

    python bench/whole.py [--large 1000000] [--seconds 8] [--rounds 3] [--quiet-s 0]

Beside `growth.py`, which has the engine alone. Servers run on core 0, consumers and the feed on core 1. Three
loads take turns: 10,000 EVSEs; the same with 200 different filters, each of which lets every change through;
and `--large` EVSEs. Reports come at even distances (open loop), all of them changes, on EVSEs in no order.
Every consumer has to get every change, once and in order. While one server is measured the other one is
stopped (SIGSTOP), and before that it has done what filling it left to do. A large one takes minutes to fill.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.consumers import LOAD_CORE, Consumers, Stuck, compiled, upgrade
from bench.feeding import pace
from bench.servers import Ladestrom
from bench.tables import Conditions, middle, ratio, table, told

CONSUMERS: Final = 1_000
FILTERS: Final = 200
EVSES_PER_STATION: Final = 4
SMALL_EVSES: Final = 10_000
WARM_UP_S: Final = 2.0
IDLE_DEADLINE_S: Final = 180.0
QUIET_SECONDS: Final = 35
"""One after the other, longer than `log.checkpoint_s`."""
BUSY_S: Final = 0.15
"""Of processor time within a second."""
PATH: Final = "/api/v1/stream?types=update"
"""Without the snapshot, which for each consumer of a large server is tens of megabytes."""


class Load(NamedTuple):
    """What comes in a tick, and how often."""

    changes: int
    per_s: float

    def __str__(self) -> str:
        return f"{self.changes * self.per_s:g} changes/s"


LOADS: Final = (Load(10, 100), Load(50, 100))


def plain(own: Ladestrom) -> list[bytes]:
    """The request of a consumer without a filter."""
    return [upgrade(PATH, own.key)]


def filtered(own: Ladestrom) -> list[bytes]:
    """Those of consumers with different filters: the register's operator, and another one each."""
    return [upgrade(f"{PATH}&operator=frlds,de{number:03d}", own.key) for number in range(FILTERS)]


def cost_us(
    own: Ladestrom, requests: Sequence[bytes], file: Path, load: Load, seconds: float, wrongs: list[str]
) -> float:
    """Processor time of the server for a change, with `CONSUMERS` consumers that have these requests in turn."""
    with Consumers(file, own.port, CONSUMERS, requests) as consumers:
        consumers.connect()
        pace(own.road, own.road.ticks(int(load.per_s * WARM_UP_S), load.changes), load.per_s)
        consumers.reach(own.seq(len(own.road.sent_ns)))
        cpu_s = own.cpu_s()
        ticks = own.road.ticks(int(load.per_s * seconds), load.changes)
        paced = pace(own.road, ticks, load.per_s)
        last = own.seq(len(own.road.sent_ns))
        consumers.reach(last)
        cpu_s = own.cpu_s() - cpu_s
        wrongs += consumers.mark().wrongs(last)
    return cpu_s / paced.changes * 1e6


@contextmanager
def filled(directory: Path, evses: int) -> Iterator[Ladestrom]:
    """A server with so many EVSEs, each with a status."""
    home = directory / f"{evses}"
    home.mkdir()
    began_s = time.monotonic()
    stations = evses // EVSES_PER_STATION
    with Ladestrom.started(home, stations=stations, evses=EVSES_PER_STATION) as own:
        print(
            f"{evses:,} EVSEs are there after {time.monotonic() - began_s:.0f} s", file=sys.stderr, flush=True
        )
        idle(own)
        yield own


def idle(own: Ladestrom) -> None:
    """Returns when a server has nothing left to do: the checkpoint after it was filled, above all.

    Raises:
        Stuck: it is busy all the time.
    """
    ends_s = time.monotonic() + IDLE_DEADLINE_S
    quiet = 0
    while quiet < QUIET_SECONDS:
        if time.monotonic() > ends_s:
            raise Stuck(f"the server is busy {IDLE_DEADLINE_S:g} s after it was filled")
        cpu_s = own.cpu_s()
        time.sleep(1)
        quiet = quiet + 1 if own.cpu_s() - cpu_s < BUSY_S else 0


@contextmanager
def alone(own: Ladestrom, others: Sequence[Ladestrom]) -> Iterator[None]:
    """The other servers stand still."""
    held = [other.running.pid for other in others if other is not own]
    for pid in held:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in held:
            os.kill(pid, signal.SIGCONT)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--large", type=int, default=1_000_000, help="EVSEs")
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quiet-s", type=float, default=0.0, help="wait at most so long for a quiet machine")
    options = parser.parse_args()
    conditions = Conditions(options.quiet_s)
    os.sched_setaffinity(0, {LOAD_CORE})
    wrongs: list[str] = []
    rows = []
    with tempfile.TemporaryDirectory(prefix="ladestrom-whole-") as name:
        directory = Path(name)
        file = compiled(directory, "fanout_load")
        with filled(directory, SMALL_EVSES) as small, filled(directory, options.large) as large:
            servers = (small, large)
            kinds = ((small, plain(small)), (small, filtered(small)), (large, plain(large)))
            for load in LOADS:
                costs: list[list[float]] = []
                try:
                    for _ in range(options.rounds):
                        costs.append([])
                        for own, asked in kinds:
                            with alone(own, servers):
                                costs[-1].append(cost_us(own, asked, file, load, options.seconds, wrongs))
                except Stuck as error:
                    return told(conditions, "v1", "", [str(error)])
                none, filters, many = zip(*costs, strict=True)
                rows.append(
                    [
                        str(load),
                        *[f"{middle(column):.0f}" for column in (none, filters, many)],
                        ratio(filters, none),
                        "at most 2",
                        ratio(many, none),
                        "at most 1.2",
                    ]
                )
    head = (
        f"to {CONSUMERS:,} consumers; CPU us a change",
        f"{SMALL_EVSES:,} EVSEs",
        f"with {FILTERS} filters",
        f"{options.large:,} EVSEs",
        "filters / none",
        "promised",
        "large / small",
        "promised",
    )
    notes = f"v1, {options.rounds} rounds of {options.seconds:g} s, durability full"
    return told(conditions, notes, table(head, rows), wrongs)


if __name__ == "__main__":
    sys.exit(main())
