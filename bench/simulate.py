"""Small worlds with seeds, in which everything that can go wrong does: is all as it must be?

    python bench/simulate.py [--seeds 1000] [--first 0] [--faults all] [--worlds all]

Runs the worlds of `tests/simulation`, on a simulated clock. In those of consumers there are operators, a server
that restarts and crashes, a registry that changes, and consumers on roads that stall and break: is each told what
it must be? In those of rules many sources speak about few EVSEs: is the board what the rules say? Then plants each
known fault into the code and counts the worlds until it is found, as a check that finds nothing proves nothing.
A world that is wrong is told with its seed; `--worlds rules --first SEED --seeds 1` runs it again, always with the
same outcome.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, Protocol

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.tables import Conditions, table, told
from tests.simulation import faults, world
from tests.simulation.planting import Plantable, planted
from tests.simulation.rules import faults as rule_faults
from tests.simulation.rules import world as rules

TOLD: Final[Mapping[str, Sequence[tuple[str, str]]]] = {
    "consumers": (
        ("deliveries", "deliveries"),
        ("changes", "changes"),
        ("connections", "connections"),
        ("resumes", "resumes"),
        ("messages", "messages checked"),
        ("records", "records compared"),
        ("resumes by time", "by time"),
        ("Confirmed", "digests checked"),
        ("lost: cut", "cuts"),
        ("server: crash", "crashes"),
        ("server: stop", "stops"),
        ("server: power cut", "power cuts"),
        ("registry changes", "registry changes"),
    ),
    "rules": (
        ("reported", "reported changes"),
        ("expired", "silent"),
        ("disconnected", "signed off"),
        ("registered", "registered"),
        ("withdrawn", "withdrawn"),
        ("jump", "clocks set"),
        ("stop", "stops"),
        ("crash", "crashes"),
        ("failed appends", "failed appends"),
    ),
}
"""What happened in the worlds, and what it is called here."""


class Report(Protocol):
    """What became of a world."""

    @property
    def wrongs(self) -> tuple[str, ...]: ...
    @property
    def seen(self) -> Counter[str]: ...


class Search(NamedTuple):
    """A fault, and the worlds in which it is looked for."""

    fault: Plantable
    rule: str
    kind: str
    simulate: Callable[[int], Report]
    first: int
    """Seed of the first of them."""
    end: int
    """After the last."""


class Found(NamedTuple):
    """What became of a planted fault."""

    search: Search
    worlds: int
    """Run until it was found."""
    wrong: str
    """How it showed; empty where it did not."""


class Worlds:
    """Many worlds of one sort, one after the other."""

    def __init__(self, sort: str, simulate: Callable[[int], Report]) -> None:
        self._sort = sort
        self._simulate = simulate
        self.count = 0
        self.cpu_s = 0.0
        self.seen: Counter[str] = Counter()
        self.wrong: list[Report] = []

    def run(self, seeds: Iterable[int]) -> None:
        """Runs the worlds of these seeds."""
        began_s = time.process_time()
        for seed in seeds:
            report = self._simulate(seed)
            self.count += 1
            self.seen.update(report.seen)
            if report.wrongs:
                self.wrong.append(report)
        self.cpu_s += time.process_time() - began_s

    def __str__(self) -> str:
        told = TOLD[self._sort]
        head = [f"worlds of {self._sort}", "CPU s", "worlds/s", *(name for _, name in told), "wrong"]
        cells = [f"{self.count:,}", f"{self.cpu_s:.1f}", f"{self.count / self.cpu_s:.1f}"]
        cells += [f"{self.seen[what]:,}" for what, _ in told]
        return table(head, [[*cells, str(len(self.wrong))]])


def searched(search: Search) -> Found:
    """Runs worlds with a fault planted until one is wrong, at most as many as the search allows."""
    with planted(search.fault):
        for seed in range(search.first, search.end):
            report = search.simulate(seed)
            if report.wrongs:
                return Found(search, seed + 1 - search.first, report.wrongs[0])
    return Found(search, search.end - search.first, "")


def chosen(words: str, sorts: Sequence[str]) -> list[Search]:
    """Faults whose name has these words; `all` and `none` are what they say."""
    found: list[Search] = []
    if words == "none":
        return found
    if "consumers" in sorts:
        for fault in faults.FAULTS:
            simulate = partial(world.simulate, kind=fault.kind)
            found.append(Search(fault, "", fault.kind, simulate, fault.first, fault.first + faults.SEEDS_MAX))
    if "rules" in sorts:
        for each in rule_faults.FAULTS:
            of_rules = partial(rules.simulate, kind=each.kind)
            found.append(Search(each, each.rule, each.kind, of_rules, 0, each.first + rule_faults.SEEDS_MAX))
    return [search for search in found if words == "all" or words in search.fault.what]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--seeds", type=int, default=1_000)
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--faults", default="all", help="all, none, or words of those to plant")
    parser.add_argument("--worlds", choices=["all", *TOLD], default="all", help="of consumers, or of rules")
    options = parser.parse_args()
    if options.seeds < 1:
        parser.error("--seeds: write 1 or more")
    conditions = Conditions()
    sorts = [sort for sort in TOLD if options.worlds in {"all", sort}]
    simulates: Mapping[str, Callable[[int], Report]] = {
        "consumers": world.simulate,
        "rules": rules.simulate,
    }
    ran = [Worlds(sort, simulates[sort]) for sort in sorts]
    for worlds in ran:
        worlds.run(range(options.first, options.first + options.seeds))
    found = [searched(each) for each in chosen(options.faults, sorts)]
    told_of = table(
        ["planted fault", "rule", "kind of world", "found after", "as"],
        (
            [
                each.search.fault.what,
                each.search.rule,
                each.search.kind,
                str(each.worlds),
                shortened(each.wrong),
            ]
            for each in found
        ),
    )
    wrongs = [str(report).replace("\n", "; ") for worlds in ran for report in worlds.wrong]
    wrongs += [f"not found: {each.search.fault.what}" for each in found if not each.wrong]
    notes = f"seeds {options.first} to {options.first + options.seeds - 1}"
    parts = [*map(str, ran), *([told_of] if found else [])]
    return told(conditions, notes, "\n\n".join(parts), wrongs)


def shortened(wrong: str) -> str:
    """How a fault showed, on one line of a table."""
    return (wrong[:80] + "..." if len(wrong) > 80 else wrong).replace("|", "/").replace("\n", " ")


if __name__ == "__main__":
    sys.exit(main())
