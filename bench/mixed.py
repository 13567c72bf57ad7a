"""A mixed hour, compressed: five sources of five protocols at once, one after the other failing in its way.

    python bench/mixed.py [--seconds 300] [--factor 10] [--bulk-evses 2000]

The load is so many times Germany's whole feed: 14 messages, 170 observations and 9 changes a second. Each
source fails for a tenth of the time while the others are watched. A consumer of the stream measures how long a
change takes from its operator to there; what the server itself counts as late stands beside it. The server is a
process of its own, the operators and the consumer are threads of this one.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.tables import Conditions, table, told
from tests.e2e.mixing import Load, Mixing

GERMANY_CHANGES_PER_S = 9
GERMANY_SINGLES_PER_S = 14
LATE_S = 60
DEADLINE_S = 60.0


def main() -> int:
    """Runs it, and prints a row for each source."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--factor", type=int, default=10)
    parser.add_argument("--bulk-evses", type=int, default=500)
    given = parser.parse_args()
    singles = GERMANY_SINGLES_PER_S * given.factor
    load = Load(
        bulk_evses=given.bulk_evses,
        plain_per_s=singles * 5 // 7,
        realtime_per_s=singles * 2 // 7,
        changes_per_s=GERMANY_CHANGES_PER_S * given.factor // 5,
    )
    conditions = Conditions()
    with tempfile.TemporaryDirectory() as folder, Mixing(Path(folder), load) as world:
        return _run(world, load, given.seconds, conditions)


def _run(world: Mixing, load: Load, seconds: float, conditions: Conditions) -> int:
    world.settle(deadline_s=DEADLINE_S)
    began_s, cpu_s = time.monotonic(), world.server.cpu_s()
    lags: dict[str, list[float]] = defaultdict(list)
    beside: dict[str, list[float]] = defaultdict(list)
    back_s: dict[str, float] = {}
    wrongs: list[str] = []
    changes = world.changes
    reports = sum(each["reports"] for each in world.health().values())
    for name in world.feeds:
        world.lags(name)
    slice_s = seconds / (2 * len(world.feeds))
    for name, failing in world.feeds.items():
        _watch(world, slice_s, lags)
        failing.fail()
        _watch(world, slice_s, beside, without=name)
        wrongs += _wrongs(world, name)
        failing.heal()
        back_s[name] = world.settle([name], deadline_s=DEADLINE_S)
        world.lags(name)
    took_s = time.monotonic() - began_s
    cpu = (world.server.cpu_s() - cpu_s) / took_s
    health = world.health()
    rows = [
        [
            name,
            *_figures(lags[name]),
            *_figures(beside[name]),
            f"{back_s[name]:.1f}",
            str(health[name]["late"]),
            str(sum(health[name]["failures"].values())),
        ]
        for name in world.feeds
    ]
    wrongs += [
        f"{name}: a change took {max(found):.0f} s while another source failed"
        for name, found in beside.items()
        if found and max(found) > LATE_S
    ]
    observed = sum(each["reports"] for each in health.values()) - reports
    notes = (
        f"{took_s:.0f} s, {observed / took_s:,.0f} observations/s, {(world.changes - changes) / took_s:,.0f} changes/s, "
        f"{load.changes_per_s * len(world.feeds)} wanted; server {cpu:.0%} of a core, "
        f"this process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MiB"
    )
    head = ["source", "p50 s", "p99 s", "max s", "beside a failing one: p50 s", "p99 s", "max s"]
    return told(conditions, notes, table([*head, "right again after s", "late", "failures"], rows), wrongs)


def _watch(world: Mixing, seconds: float, into: dict[str, list[float]], without: str = "") -> None:
    world.run_for(seconds)
    for name in world.feeds:
        found = world.lags(name)
        if name != without:
            into[name] += found


def _wrongs(world: Mixing, failing: str) -> list[str]:
    """What a failing source must not do to the others."""
    others = [name for name in world.feeds if name != failing]
    health = world.health()
    wrongs = [
        f"{name} is {health[name]['state']} while {failing} fails"
        for name in others
        if health[name]["state"] != "fresh"
    ]
    world.settle(others, deadline_s=DEADLINE_S)
    for name in others:
        world.lags(name)
    return wrongs


def _figures(lags: Sequence[float]) -> list[str]:
    ordered = sorted(lags)
    if not ordered:
        return ["-"] * 3
    return [f"{ordered[min(len(ordered) - 1, int(len(ordered) * part))]:.3f}" for part in (0.5, 0.99, 1.0)]


if __name__ == "__main__":
    sys.exit(main())
