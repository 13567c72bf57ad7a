"""Writers of one log in PostgreSQL that are killed, stopped and relieved, with PostgreSQL crashing meanwhile.

    python bench/cluster.py --minutes 10 --seed 1
    python bench/cluster.py --speed

Three processes want the lease; each appends as fast as it can while it has it. In the end the whole log is read,
and compared with what each was told to be durable. `--speed` measures one writer alone, beside plain rows in the
same database.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.tables import table
from tests import postgres
from tests.building import NOW, TIMES, make_changes
from tests.cluster_writer import read_back
from tests.clustering import LEASE_S, Process

from ladestrom.backends.encoded import encode
from ladestrom.backends.opening import Opening
from ladestrom.backends.postgres.opening import open_log
from ladestrom.ports.log import BoardRow

NAMES: Final = "abc"
GROUPS: Final = ((1, 400), (20, 300), (100, 200), (1_000, 60), (5_000, 15))
"""Changes in a group, and how often."""
EVSES: Final = 100_000


class Campaign:
    """Writers, what is done to them, and how long nobody wrote after it."""

    def __init__(self, seed: int, folder: Path) -> None:
        self._random = random.Random(seed)
        self._folder = folder
        self._url = postgres.server().new_address()
        self._stack = ExitStack()
        self._numbers: Counter[str] = Counter()
        self.all: list[Process] = []
        self._living: dict[str, Process] = {}
        self.done: Counter[str] = Counter()
        self.pauses: dict[str, list[float]] = {}

    def _start(self, name: str) -> None:
        self._numbers[name] += 1
        whole = f"{name}{self._numbers[name]}"
        process = Process(self._url, self._folder / name, whole, group=self._random.choice((1, 5, 50)))
        self._living[name] = self._stack.enter_context(process)
        self.all.append(process)

    def _acknowledged(self) -> int:
        return sum(process.count("acked") for process in self.all)

    def _wait(self, more: int) -> float:
        began, had = time.monotonic(), self._acknowledged()
        while self._acknowledged() < had + more:
            if time.monotonic() - began > 120:
                raise SystemExit("nobody writes")
            time.sleep(0.005)
        return time.monotonic() - began

    def _holder(self) -> str:
        """Who wrote last."""

        def at(process: Process) -> float:
            return max(
                (float(line.split()[-1]) for line in process.lines if line.startswith("acked")), default=0
            )

        return max(self._living, key=lambda name: at(self._living[name]))

    def run(self, seconds: float) -> None:
        for name in NAMES:
            self._start(name)
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            self._wait(5)
            fault = self._random.choice(("kill", "kill", "stop", "end", "end", "postgres"))
            holder = self._holder()
            process = self._living[holder]
            if fault == "kill":
                process.signal(signal.SIGKILL)
            elif fault == "end":
                process.signal(signal.SIGTERM)
            elif fault == "stop":
                process.signal(signal.SIGSTOP)
            else:
                server = postgres.server()
                server.stop(signal.SIGQUIT)
                time.sleep(self._random.uniform(0, 2 * LEASE_S))
                server.start()
            self.pauses.setdefault(fault, []).append(self._wait(1))
            self.done[fault] += 1
            if fault == "stop":
                time.sleep(self._random.uniform(0, LEASE_S))
                process.signal(signal.SIGCONT)
            elif fault in {"kill", "end"}:
                time.sleep(self._random.uniform(0, 0.5))
                self._start(holder)
        for process in self._living.values():
            process.signal(signal.SIGTERM)
        time.sleep(2)
        self._stack.close()

    async def judge(self) -> None:
        found = await read_back(self._url, self._folder, {each.name: each.lines for each in self.all})
        rows = [
            [
                fault,
                str(count),
                f"{statistics.median(self.pauses[fault]):.2f}",
                f"{max(self.pauses[fault]):.2f}",
            ]
            for fault, count in sorted(self.done.items())
        ]
        print(table(["fault", "times", "pause p50, s", "longest, s"], rows))
        deposed = sum(each.count("deposed") for each in self.all)
        print(
            table(
                ["acknowledged", "stored", "lost", "double", "holes", "told that they were deposed"],
                [[f"{value:,}" for value in (*found, deposed)]],
            )
        )
        if found.lost or found.double or found.holes:
            raise SystemExit("what was acknowledged is not what is stored")


async def speed(folder: Path) -> None:
    log = await open_log(Opening(url=postgres.server().new_address(), folder=folder))
    connection = await log._place.reads.connection()
    await connection.execute("CREATE TABLE plain_rows (body bytea)")
    rows = []
    for size, times in GROUPS:
        changes = make_changes(size)
        body = encode(changes)
        took: dict[str, list[float]] = {"log": [], "plain": []}
        cpu = 0.0
        # In turns, so that what else runs slows both.
        for _ in range(times):
            began, began_cpu = time.perf_counter(), time.process_time()
            await log.append(changes)
            took["log"].append(time.perf_counter() - began)
            cpu += time.process_time() - began_cpu
            began = time.perf_counter()
            await connection.execute("INSERT INTO plain_rows VALUES ($1)", body)
            took["plain"].append(time.perf_counter() - began)
        median = {name: statistics.median(each) for name, each in took.items()}
        rows.append(
            [
                f"{size:,}",
                f"{median['log'] * 1000:.2f}",
                f"{median['plain'] * 1000:.2f}",
                f"{median['log'] / median['plain']:.2f}",
                f"{size / median['log']:,.0f}",
                f"{cpu / times / size * 1e6:.1f}",
            ]
        )
    print(
        table(
            [
                "changes in a group",
                "append p50, ms",
                "plain row p50, ms",
                "ratio",
                "changes/s",
                "CPU of a change, us",
            ],
            rows,
        )
    )
    board = [BoardRow(seq, change, NOW, NOW, "abc") for seq, change in enumerate(make_changes(EVSES), 1)]
    began, cpu = time.perf_counter(), time.process_time()
    await log.checkpoint(board, log.last.seq, TIMES)
    kept = (time.perf_counter() - began, time.process_time() - cpu)
    began, cpu = time.perf_counter(), time.process_time()
    await log.recover()
    read = (time.perf_counter() - began, time.process_time() - cpu)
    print(
        table(
            [f"{EVSES:,} EVSEs", "s", "own CPU, s"],
            [
                [name, f"{both[0]:.2f}", f"{both[1]:.2f}"]
                for name, both in (("checkpoint", kept), ("recovery", read))
            ],
        )
    )
    await log.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--speed", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        try:
            if options.speed:
                asyncio.run(speed(Path(folder)))
            else:
                campaign = Campaign(options.seed, Path(folder))
                campaign.run(options.minutes * 60)
                asyncio.run(campaign.judge())
        finally:
            postgres.remove()


if __name__ == "__main__":
    main()
