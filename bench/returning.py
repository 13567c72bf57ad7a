"""How long it takes until everybody who returns at once has the whole snapshot.

    python bench/returning.py [--api v1] [--consumers 5000] [--stations 5000] [--rounds 3] [--quiet-s 0]

Consumers connect all at the same time, nobody with a position to resume from. The time is from the first
connection to the last byte of the last snapshot; memory is the most that the server's process had resident in
that time, over what it had without consumers, and what their connections keep is in it. Every snapshot has to
be as long as one that is looked at, and the bytes of every tenth consumer's have to add up to the same; of the
others they are counted and dropped by the kernel, as the consumers' core could not copy as fast as they come.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.consumers import LOAD_CORE, Consumers, Message, Reader, Stuck, compiled
from bench.memory import files_for
from bench.servers import PATHS, Ladestrom, forget_peak, rss_kib, rss_peak_kib
from bench.tables import Conditions, middle, table, told

EVSES_PER_STATION: Final = 5
"""Makes a station 300 bytes long in version 1."""
PROMISED_S: Final = 4
LEFT_S: Final = 1.0

HEAD: Final = (
    "round",
    "all have it after, s",
    "promised",
    "connected after, s",
    "GB in all",
    "before, MiB",
    "most, MiB",
    "KiB more each",
    "settled, KiB each",
    "server's core",
    "load's core",
)


def expected(own: Ladestrom) -> tuple[bytes, list[str]]:
    """The payload of the snapshot as one consumer gets it, and what is wrong with it."""
    with Reader(own.port, own.request()) as reader:
        parts = [part for part in reader.snapshot() if part.kind.startswith("snapshot")]
    available = sum(_available(part) for part in parts)
    stations = len({uuid for part in parts for uuid in _stations(part)})
    wrongs = []
    if (stations, available) != (own.stations, own.stations * own.evses):
        wrongs.append(f"the snapshot has {stations} stations with {available} EVSEs available")
    return b"".join(part.raw for part in parts), wrongs


def _rows(part: Message) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = part.content["data" if part.kind == "snapshot:init" else "evses"]
    return rows


def _stations(part: Message) -> list[str]:
    return [row["uuid"] if "uuid" in row else row["station"] for row in _rows(part)]


def _available(part: Message) -> int:
    if part.kind == "snapshot:init":
        return sum(each["status"] == 0 for row in _rows(part) for each in row["connectors"])
    return sum(row["status"] == "AVAILABLE" for row in _rows(part))


def one_round(own: Ladestrom, load: Path, count: int, payload: bytes) -> tuple[list[float], list[str]]:
    """All return once: figures in the order of the table, and what was wrong."""
    pid = own.running.pid
    time.sleep(LEFT_S)
    forget_peak(pid)
    with Consumers(load, own.port, count, [own.request()], deadline_s=120.0) as consumers:
        before, cpu_s = rss_kib(pid), own.cpu_s()
        began_ns, connected_ns = consumers.connect(0)
        had_ns = consumers.snapshots()
        peak, cpu_s = rss_peak_kib(pid), own.cpu_s() - cpu_s
        mark = consumers.mark()
        time.sleep(LEFT_S)
        settled = rss_kib(pid)
    wrongs = mark.wrongs()
    if mark.snapshots_differ or (mark.snapshot_bytes, mark.snapshot_sum) != (len(payload), sum(payload)):
        wrongs.append(
            f"{mark.snapshots_differ} snapshots differ from the first, which has {mark.snapshot_bytes}"
            f" bytes of {len(payload)}"
        )
    seconds = (had_ns - began_ns) / 1e9
    figures = [
        seconds,
        (connected_ns - began_ns) / 1e9,
        mark.bytes / 1e9,
        before / 1024,
        peak / 1024,
        (peak - before) / count,
        (settled - before) / count,
        cpu_s / seconds,
        mark.cpu_us / 1e6 / seconds,
    ]
    return figures, wrongs


def row(name: str, figures: list[float]) -> list[str]:
    """The table's row."""
    cells = [f"{figure:.2f}" for figure in figures[:7]] + [f"{share:.0%}" for share in figures[7:]]
    return [name, cells[0], f"at most {PROMISED_S}", *cells[1:]]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--api", choices=list(PATHS), default="v1")
    parser.add_argument("--consumers", type=int, default=5_000)
    parser.add_argument("--stations", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quiet-s", type=float, default=0.0, help="wait at most so long for a quiet machine")
    options = parser.parse_args()
    conditions = Conditions(options.quiet_s)
    files_for(options.consumers)
    os.sched_setaffinity(0, {LOAD_CORE})
    rows: list[list[float]] = []
    with tempfile.TemporaryDirectory(prefix="ladestrom-returning-") as name:
        directory = Path(name)
        load = compiled(directory, "fanout_load")
        with Ladestrom.started(
            directory, options.api, stations=options.stations, evses=EVSES_PER_STATION
        ) as own:
            payload, wrongs = expected(own)
            for _ in range(options.rounds):
                try:
                    figures, found = one_round(own, load, options.consumers, payload)
                except Stuck as error:
                    wrongs.append(str(error))
                    break
                rows.append(figures)
                wrongs += found
    notes = f"{options.api}, {options.consumers:,} consumers, snapshots of {len(payload):,} bytes"
    made = [row(f"{number}", figures) for number, figures in enumerate(rows, 1)]
    if rows:
        made.append(row("median", [middle(column) for column in zip(*rows, strict=True)]))
    return told(conditions, notes, table(HEAD, made), wrongs)


if __name__ == "__main__":
    sys.exit(main())
