"""What compression saves on the wire, and what it costs.

    python bench/bytes.py [--api v1] [--consumers 1000] [--changes 50] [--per-s 10] [--seconds 5] [--rounds 3]
                          [--quiet-s 0]

The same traffic to consumers that agreed to permessage-deflate, to consumers that did not, and to none;
round after round. Bytes are those that arrive, frame headers counted; processor time is the server's, all of
it, reports taken over HTTP and logged. Every consumer has to get the same bytes as one that inflates and
reads them.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Final, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.consumers import LOAD_CORE, Consumers, Message, Reader, Stuck, compiled, digest
from bench.feeding import Paced, pace
from bench.servers import PATHS, Ladestrom
from bench.tables import Conditions, middle, table, told

PROMISED: Final = {"v1": "", "v2": "at most 12 %"}
ARRIVAL_DEADLINE_S: Final = 10.0
ARRIVAL_POLL_S: Final = 0.02

HEAD: Final = (
    "consumers",
    "bytes a change",
    "of plain",
    "promised",
    "CPU us a delivery",
    "more than without consumers",
    "server's core",
)


class Measured(NamedTuple):
    """One kind of consumers in one round."""

    bytes_each: float
    """A change and consumer."""
    cost_us: float
    """A change and consumer; without consumers as if there were so many."""
    busy: float
    wrongs: tuple[str, ...]


def feed(own: Ladestrom, options: argparse.Namespace) -> Paced:
    """The traffic of one round."""
    ticks = own.road.ticks(max(1, int(options.per_s * options.seconds)), options.changes)
    return pace(own.road, ticks, options.per_s)


def without(own: Ladestrom, options: argparse.Namespace) -> Measured:
    """What the feed costs alone."""
    cpu_s = own.cpu_s()
    paced = feed(own, options)
    cpu_s = own.cpu_s() - cpu_s
    return Measured(0.0, cpu_s / (paced.changes * options.consumers) * 1e6, cpu_s / paced.seconds, ())


def among(own: Ladestrom, load: Path, options: argparse.Namespace, *, deflate: bool) -> Measured:
    """The feed with all consumers, compressed or not."""
    request = own.request(deflate=deflate)
    with (
        Consumers(load, own.port, options.consumers, [request]) as consumers,
        Reader(own.port, request) as reader,
    ):
        consumers.connect()
        reader.snapshot()
        time.sleep(1.0)
        consumers.digest(True)
        start = len(own.road.sent_ns)
        before, cpu_s, began_s = consumers.mark(), own.cpu_s(), time.monotonic()
        paced = feed(own, options)
        messages = [each for each in reader.up_to(own.seq(start + paced.changes)) if _tells(each)]
        ends_s = time.monotonic() + ARRIVAL_DEADLINE_S
        # Positions of what is compressed are not looked at: messages are counted.
        while (after := consumers.mark()).messages_min - before.messages_min < len(messages):
            if time.monotonic() > ends_s:
                raise Stuck(f"consumers got {after.messages_min - before.messages_min} messages")
            time.sleep(ARRIVAL_POLL_S)
        cpu_s = own.cpu_s() - cpu_s
    wrongs = after.wrongs()
    if after.digests_differ or after.digest != digest([message.raw for message in messages]):
        wrongs.append(
            f"{after.digests_differ} consumers got other bytes than the first, or it than the reader"
        )
    numbers = sorted(own.road.number(instant) for message in messages for instant in message.instants())
    if numbers != list(range(start, start + paced.changes)):
        wrongs.append(f"the reader was told of {len(numbers)} changes, not of the {paced.changes} reported")
    deliveries = paced.changes * options.consumers
    return Measured(
        (after.bytes - before.bytes) / deliveries,
        cpu_s / deliveries * 1e6,
        cpu_s / (time.monotonic() - began_s),
        tuple(wrongs),
    )


def _tells(message: Message) -> bool:
    return message.kind in {"status:update", "changes"}


def row(
    name: str, rounds: list[Measured], plain: list[Measured], alone: list[Measured], why: str
) -> list[str]:
    """The table's row."""
    shares = [mine.bytes_each / other.bytes_each for mine, other in zip(rounds, plain, strict=True)]
    more = [mine.cost_us - other.cost_us for mine, other in zip(rounds, alone, strict=True)]
    return [
        name,
        f"{middle([each.bytes_each for each in rounds]):.1f}",
        f"{middle(shares):.1%}",
        why,
        f"{middle([each.cost_us for each in rounds]):.3f}",
        f"{middle(more):.3f}",
        f"{middle([each.busy for each in rounds]):.0%}",
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--api", choices=list(PATHS), default="v1")
    parser.add_argument("--consumers", type=int, default=1_000)
    parser.add_argument("--changes", type=int, default=50, help="gathered into one pass")
    parser.add_argument("--per-s", type=float, default=10.0, help="passes")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quiet-s", type=float, default=0.0, help="wait at most so long for a quiet machine")
    options = parser.parse_args()
    conditions = Conditions(options.quiet_s)
    os.sched_setaffinity(0, {LOAD_CORE})
    alone, plain, packed = [], [], []
    with tempfile.TemporaryDirectory(prefix="ladestrom-bytes-") as name:
        directory = Path(name)
        load = compiled(directory, "fanout_load")
        with Ladestrom.started(directory, options.api) as own:
            try:
                for _ in range(options.rounds):
                    alone.append(without(own, options))
                    plain.append(among(own, load, options, deflate=False))
                    packed.append(among(own, load, options, deflate=True))
            except Stuck as error:
                return told(conditions, options.api, "", [str(error)])
    rows = [
        ["none", "", "", "", f"{middle([each.cost_us for each in alone]):.3f}", "", ""],
        row("plain", plain, plain, alone, ""),
        row("permessage-deflate", packed, plain, alone, PROMISED[options.api]),
    ]
    notes = (
        f"{options.api}, {options.consumers:,} consumers, {options.changes} changes a pass, {options.per_s:g}"
        f" passes/s, {options.rounds} rounds of {options.seconds:g} s"
    )
    wrongs = [wrong for each in (*plain, *packed) for wrong in each.wrongs]
    return told(conditions, notes, table(HEAD, rows), wrongs)


if __name__ == "__main__":
    sys.exit(main())
