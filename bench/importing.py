"""What an import of stations does to the time from an operator's POST to its consumers' frames.

    python bench/importing.py [--stations 30000] [--consumers 1000] [--changes-per-s 1000] [--batch 10]
                              [--seconds 10] [--rounds 3] [--quiet-s 0]

As `latency.py`: the server on core 0, consumers, the feed and the import on core 1, log durable. Rounds at rest
and rounds during an import take turns. The import (`ladestrom import irve --partial`, a process of its own
with the lowest priority) brings so many stations of another country with one EVSE each, all of them new; consumers follow version 2 with
`country=FRA`, and get none of them. A round during an import lasts from before it begins until the server has
taken its last station. In the end REST has to know all stations.
"""

from __future__ import annotations

import argparse
import http.client
import os
import subprocess
import sys
import tempfile
import threading
import time
from array import array
from pathlib import Path
from typing import Final, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.consumers import LOAD_CORE, Consumers, Latency, Stuck, compiled, upgrade
from bench.feeding import pace
from bench.servers import PATHS, Ladestrom
from bench.tables import Conditions, table, told
from tests.e2e.running import LADESTROM, REGISTER_PREFIX, environment, irve_register

WARM_UP_S: Final = 1.0
ENTRIES_PER_STATION: Final = 2
PATH: Final = f"{PATHS['v2']}&country=FRA"
TAKEN_S_MAX: Final = 120.0
PROMISED: Final = "p99 at most twice that at rest"


class Round(NamedTuple):
    """One round's figures."""

    posted: Latency
    seconds: float
    server: float
    late_ms: float

    def row(self, name: str) -> list[str]:
        return [
            name,
            str(self.posted),
            f"{self.posted.max_ms:.1f}",
            f"{self.seconds:.1f}",
            f"{self.server:.0%}",
            f"{self.late_ms:.1f}",
        ]


HEAD: Final = (
    "round",
    "from the POST: p50 / p99 ms",
    "longest",
    "seconds",
    "server's core",
    "POSTs late by (p99) ms",
)


class Import(threading.Thread):
    """An import, and the wait until the server has its stations."""

    def __init__(self, own: Ladestrom, file: Path, stations: int) -> None:
        super().__init__()
        self.failure = ""
        self._own = own
        self._key = own.running.key("admin")
        self._file = file
        self._stations = stations

    def run(self) -> None:
        try:
            with tempfile.TemporaryFile() as said:
                command = [*LADESTROM, "import", "irve", "--partial", str(self._file)]
                done = subprocess.run(
                    ["nice", "-n", "19", *command, "--data", str(self._own.running.data)],
                    stdout=said,
                    stderr=said,
                    env=environment({}),
                    check=False,
                )
                if done.returncode != 0:
                    said.seek(0)
                    self.failure = said.read().decode()
                    return
            ends_s = time.monotonic() + TAKEN_S_MAX
            while (taken := self._taken()) < self._stations:
                if time.monotonic() > ends_s:
                    self.failure = f"the server has {taken} stations of {self._stations}"
                    return
                time.sleep(0.5)
        except OSError as error:
            self.failure = str(error)

    def _taken(self) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self._own.port, timeout=TAKEN_S_MAX)
        try:
            connection.request("GET", "/metrics", headers={"X-Api-Key": self._key})
            rows = connection.getresponse().read().decode().splitlines()
        finally:
            connection.close()
        return sum(
            int(float(row.split()[-1])) for row in rows if row.startswith("ladestrom_registry_stations ")
        )


def one_round(own: Ladestrom, load: Path, options: argparse.Namespace, importing: Import | None) -> Round:
    """Connects, warms up, measures."""
    per_s = options.changes_per_s / options.batch
    request = upgrade(PATH, own.key)
    with Consumers(load, own.port, options.consumers, [request]) as consumers:
        consumers.connect()
        consumers.snapshots()
        pace(own.road, own.road.ticks(int(per_s * WARM_UP_S), options.batch), per_s)
        consumers.reach(own.road.seq)
        first = own.road.seq + 1
        changes = int(per_s * options.seconds) * options.batch
        room = 0 if importing is None else options.stations * ENTRIES_PER_STATION + options.stations
        consumers.record(first, changes + room)
        cpu_s, began_s = own.cpu_s(), time.monotonic()
        if importing is not None:
            importing.start()
        paced = pace(own.road, own.road.ticks(int(per_s * options.seconds), options.batch), per_s)
        if importing is not None:
            importing.join()
            if importing.failure:
                raise Stuck(importing.failure)
        consumers.reach(own.road.seq)
        seconds, cpu_s = time.monotonic() - began_s, own.cpu_s() - cpu_s
        posted = consumers.latency(sent_ns(own, first, changes + room))
    if posted.deliveries != changes * options.consumers:
        raise Stuck(f"{posted.deliveries} deliveries were seen, not {changes * options.consumers}")
    return Round(posted, seconds, cpu_s / seconds, paced.late_ms)


def sent_ns(own: Ladestrom, first: int, count: int) -> array[int]:
    """When each change of the feed was sent; 0 for every other entry."""
    found = array("q", bytes(8 * count))
    connection = own._log()
    try:
        query = (
            "SELECT seq, json_extract(body, '$[5]') FROM entries WHERE seq >= ? AND seq < ?"
            " AND body LIKE '[%' AND json_extract(body, '$[9]') = 'reported'"
        )
        for seq, observed_at in connection.execute(query, (first, first + count)):
            found[seq - first] = own.road.sent_ns[own.road.number(observed_at)]
    finally:
        connection.close()
    return found


def register(directory: Path, number: int, stations: int) -> Path:
    """Stations of another country, which no other round brings."""
    file = irve_register(directory / f"register-{number}.jsonl", stations=stations, evses=1)
    file.write_text(file.read_text().replace(REGISTER_PREFIX, f"DEL{number:02d}"))
    return file


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--stations", type=int, default=30_000)
    parser.add_argument("--consumers", type=int, default=1_000)
    parser.add_argument("--changes-per-s", type=float, default=1_000)
    parser.add_argument("--batch", type=int, default=10, help="reports in a POST")
    parser.add_argument("--seconds", type=float, default=15.0, help="of reports in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quiet-s", type=float, default=0.0, help="wait at most so long for a quiet machine")
    options = parser.parse_args()
    conditions = Conditions(options.quiet_s)
    os.sched_setaffinity(0, {LOAD_CORE})
    rows: list[list[str]] = []
    wrongs: list[str] = []
    with tempfile.TemporaryDirectory(prefix="ladestrom-importing-") as name:
        directory = Path(name)
        load = compiled(directory, "fanout_load")
        with Ladestrom.started(directory, "v2") as own:
            try:
                for number in range(options.rounds):
                    rows.append(one_round(own, load, options, None).row("at rest"))
                    file = register(directory, number, options.stations)
                    every = own.stations + (number + 1) * options.stations
                    rows.append(one_round(own, load, options, Import(own, file, every)).row("an import"))
            except Stuck as error:
                wrongs.append(str(error))
    notes = (
        f"{options.changes_per_s:g} changes/s in POSTs of {options.batch} to {options.consumers:,} consumers"
        f" of version 2, {options.seconds:g} s of them a round, {options.stations:,} stations each import,"
        f" durability full; promised: {PROMISED}"
    )
    return told(conditions, notes, table(HEAD, rows), wrongs)


if __name__ == "__main__":
    sys.exit(main())
