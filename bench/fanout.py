"""What one delivery costs a server, beside peers that do nothing but fan out.

    python bench/fanout.py [--api v1] [--seconds 5] [--rounds 5] [--case all] [--peers C,ws,nchan] [--quiet-s 0]

Every server runs on core 0, consumers and the feed on core 1. ladestrom is fed by operators' reports over HTTP,
`log.durability = full`: its figure holds all of that, and what that alone costs (the same feed, no consumers) is
beside it. Peers get messages like those that ladestrom sends. Servers take turns, round after round; ratios are
those of one round, and the table has the medians.

Before each measurement one second of the same traffic is compared byte by byte over all consumers, and read; in
all of it every consumer has to get every change, once and in order. A delivery is one change at one consumer.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.consumers import LOAD_CORE, Consumers, Latency, Message, Reader, Stuck, compiled, digest
from bench.feeding import Paced, Reports, Template, pace, saturate
from bench.servers import Absent, Fanout, Ladestrom, Peer, c_peer, nchan_peer, ws_peer
from bench.tables import Conditions, middle, table, told

WARM_UP_S: Final = 1.0
SATURATED_TICKS_PER_S: Final = 2_000
"""Prepared for a closed loop, for each second: more than a peer takes."""
LATENCIES_MAX: Final = 200_000_000
"""Deliveries whose latency is kept, 4 bytes each."""


class Case(NamedTuple):
    """One kind of load."""

    name: str
    consumers: int
    changes: int
    """In a tick, which is a pass."""
    per_s: float
    """Ticks."""
    peers: tuple[str, ...]
    figure: str


CASES: Final = (
    Case("1,000 x 1", 1_000, 1, 25, ("C", "ws", "nchan"), "C 1.25"),
    Case("5,000 x 1", 5_000, 1, 10, ("C", "ws", "nchan"), "C 1.40"),
    Case("1,000 x 20", 1_000, 20, 25, ("C", "ws", "nchan"), "C 1.25"),
    Case("5,000 x 20", 5_000, 20, 10, ("C",), "C 1.40"),
    Case("saturation", 1_000, 50, 100, ("C", "nchan"), "nchan 0.05"),
)
"""Passes far enough apart that each tick is one; `saturation`: 5 million deliveries a second."""

PEERS: Final[Mapping[str, Callable[[Path, Template], AbstractContextManager[Peer]]]] = {
    "C": c_peer,
    "ws": ws_peer,
    "nchan": nchan_peer,
}


class Measured(NamedTuple):
    """What one server did in one round."""

    server: str
    deliveries: int
    seconds: float
    cpu_s: float
    load_cpu_s: float
    frames_per_read: float
    late_ms: float
    latency: Latency | None
    wrongs: tuple[str, ...]

    @property
    def cost_us(self) -> float:
        """Of a delivery."""
        return self.cpu_s / self.deliveries * 1e6

    @property
    def busy(self) -> float:
        """Share of its core."""
        return self.cpu_s / self.seconds


def fed(server: Fanout, case: Case, seconds: float, *, closed: bool) -> Paced:
    """Feeds a server for so long."""
    if closed:
        ticks = server.road.ticks(max(1, int(SATURATED_TICKS_PER_S * seconds)), 1)
        return saturate(server.road, ticks, seconds)
    return pace(server.road, server.road.ticks(max(1, int(case.per_s * seconds)), case.changes), case.per_s)


def measured(server: Fanout, load: Path, case: Case, seconds: float, *, closed: bool = False) -> Measured:
    """One server, one case: connects, compares, measures.

    Args:
        server: which runs.
        load: the compiled consumers.
        case: what is sent to how many.
        seconds: for how long.
        closed: sends as fast as the server answers, which keeps it saturated.
    """
    with Consumers(load, server.port, case.consumers, [server.request()]) as consumers:
        consumers.connect()
        wrongs = [f"{server.name}, {case.name}, warm-up: {wrong}" for wrong in compared(server, consumers, case)]
        start = len(server.road.sent_ns)
        count = int(case.per_s * seconds) * case.changes
        timed = not closed and count * case.consumers <= LATENCIES_MAX
        if timed:
            consumers.record(server.seq(start) + 1, count)
        before, cpu_s = consumers.mark(), server.cpu_s()
        paced = fed(server, case, seconds, closed=closed)
        last = server.seq(start + paced.changes)
        consumers.reach(last)
        after, cpu_s = consumers.mark(), server.cpu_s() - cpu_s
        wrongs += [f"{server.name}, {case.name}: {wrong}" for wrong in after.wrongs()]
        if (after.last_min, after.last_max) != (last, last):
            wrongs.append(f"{server.name}: consumers are at {after.last_min} to {after.last_max}, not {last}")
        latency = consumers.latency(server.sent_ns(server.seq(start) + 1, count)) if timed else None
        if latency is not None and (latency.missing or latency.count != paced.changes * case.consumers):
            wrongs.append(f"{server.name}: {latency.count} deliveries seen, {latency.missing} missing")
    return Measured(
        server.name,
        paced.changes * case.consumers,
        (after.at_ns - before.at_ns) / 1e9,
        cpu_s,
        (after.cpu_us - before.cpu_us) / 1e6,
        (after.frames - before.frames) / (after.reads - before.reads),
        paced.late_ms,
        latency,
        tuple(wrongs),
    )


def compared(server: Fanout, consumers: Consumers, case: Case) -> list[str]:
    """Traffic of which every consumer has to get the same bytes as a reader, which looks at them."""
    with Reader(server.port, server.request()) as reader:
        wrongs = []
        if isinstance(server, Ladestrom):
            consumers.snapshots()
            next(reader.messages())
        consumers.digest(on=True)
        start = len(server.road.sent_ns)
        paced = pace(server.road, server.road.ticks(max(1, int(case.per_s * WARM_UP_S)), case.changes), case.per_s)
        last = server.seq(start + paced.changes)
        consumers.reach(last)
        consumers.digest_kept = consumers.mark()
        got = [message for message in reader.up_to(last) if message.position is not None]
    mark = consumers.mark()
    return wrongs
