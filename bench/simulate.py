"""Small worlds with seeds, in which everything that can go wrong does: is every consumer told what it must be?

    python bench/simulate.py [--seeds 1000] [--first 0] [--faults all]

Runs the worlds of `tests/simulation`: operators, a server that restarts and crashes, a registry that changes, and
consumers on roads that stall and break, on a simulated clock. Then plants each known fault into the code and
counts the worlds until it is found, as a check that finds nothing proves nothing. A world that is wrong is told
with its seed; `--first SEED --seeds 1` runs it again, always with the same outcome.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.tables import Conditions, table, told
from tests.simulation.faults import FAULTS, SEEDS_MAX, Fault, planted
from tests.simulation.world import Report, simulate

TOLD: Final = (
    ("deliveries", "deliveries"),
    ("changes", "changes"),
    ("connections", "connections"),
    ("resumes", "resumes"),
    ("messages", "messages checked"),
    ("Confirmed", "digests checked"),
    ("lost: cut", "cuts"),
    ("server: crash", "crashes"),
    ("server: stop", "stops"),
    ("server: power cut", "power cuts"),
    ("registry changes", "registry changes"),
)
"""What happened in the worlds, and what it is called here."""


class Found(NamedTuple):
    """What became of a planted fault."""

    fault: Fault
    worlds: int
    """Run until it was found."""
    wrong: str
    """How it showed; empty where it did not."""


class Worlds:
    """Many worlds, one after the other."""

    def __init__(self) -> None:
        self.count = 0
        self.cpu_s = 0.0
        self.seen: Counter[str] = Counter()
        self.wrong: list[Report] = []

    def run(self, seeds: Iterable[int]) -> None:
        """Runs the worlds of these seeds."""
        began_s = time.process_time()
        for seed in seeds:
            report = simulate(seed)
            self.count += 1
            self.seen.update(report.seen)
            if report.wrongs:
                self.wrong.append(report)
        self.cpu_s += time.process_time() - began_s

    def __str__(self) -> str:
        head = ["worlds", "CPU s", "worlds/s", *(name for _, name in TOLD), "wrong"]
        cells = [f"{self.count:,}", f"{self.cpu_s:.1f}", f"{self.count / self.cpu_s:.1f}"]
        cells += [f"{self.seen[what]:,}" for what, _ in TOLD]
        return table(head, [[*cells, str(len(self.wrong))]])


def search(fault: Fault) -> Found:
    """Runs worlds with a fault planted until one is wrong, at most `SEEDS_MAX`."""
    with planted(fault):
        for seed in range(SEEDS_MAX):
            report = simulate(seed, fault.kind)
            if report.wrongs:
                return Found(fault, seed + 1, report.wrongs[0])
    return Found(fault, SEEDS_MAX, "")


def chosen(words: str) -> Sequence[Fault]:
    """Faults whose name has these words; `all` and `none` are what they say."""
    if words == "none":
        return ()
    return [fault for fault in FAULTS if words in {"all", fault.what} or words in fault.what]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--seeds", type=int, default=1_000)
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--faults", default="all", help="all, none, or words of those to plant")
    options = parser.parse_args()
    if options.seeds < 1:
        parser.error("--seeds: write 1 or more")
    conditions = Conditions()
    worlds = Worlds()
    worlds.run(range(options.first, options.first + options.seeds))
    searched = [search(fault) for fault in chosen(options.faults)]
    faults = table(
        ["planted fault", "kind of world", "found after", "as"],
        ([each.fault.what, each.fault.kind, str(each.worlds), shortened(each.wrong)] for each in searched),
    )
    wrongs = [str(report).replace("\n", "; ") for report in worlds.wrong]
    wrongs += [f"not found: {each.fault.what}" for each in searched if not each.wrong]
    notes = f"seeds {options.first} to {options.first + options.seeds - 1}"
    return told(conditions, notes, f"{worlds}\n\n{faults}" if searched else str(worlds), wrongs)


def shortened(wrong: str) -> str:
    """How a fault showed, on one line of a table."""
    return (wrong[:80] + "..." if len(wrong) > 80 else wrong).replace("|", "/").replace("\n", " ")


if __name__ == "__main__":
    sys.exit(main())
