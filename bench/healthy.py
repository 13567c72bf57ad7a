"""Whether consumers that read slowly but steadily are ever cut, and how much waits for each of them.

    python bench/healthy.py [--evses 100000] [--seconds 600] [--each 2] [--bytes-per-s 1000000] [--receive-kib 16]

Consumers of everything (version 1 and 2 over WebSocket, compressed and not, and server-sent events) have small
receive buffers and read at a steady pace, from the first byte of a snapshot on, while reports change 200 EVSEs a
second. None may be cut, and at most `stream.write_buffer_kib_max` may wait in the transport of each at any time.
"""

from __future__ import annotations

import argparse
import os
import re
import socket
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

import httpx2
import msgspec

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.consumers import upgrade
from bench.steps import ANSWER_DEADLINE_S, World, evse_id
from bench.tables import Conditions, table, told

STALLED_S: Final = 60
LIMIT_KIB: Final = 512
"""Both as they are where nobody sets them."""
TURN_S: Final = 0.02
CHANGES_PER_S: Final = 200
POSTS_PER_S: Final = 10
EVENTS: Final = "GET /api/v2/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n\r\n"
STATUSES: Final = ("AVAILABLE", "CHARGING")
CLOSED: Final = re.compile(r'^ladestrom_consumers_closed_total\{why="(\w+)"\} (\S+)$', re.MULTILINE)


class Kind(NamedTuple):
    """How a consumer asks; `path` is empty for server-sent events."""

    name: str
    path: str
    deflate: bool = False

    def request(self, key: str) -> bytes:
        return upgrade(self.path, key, deflate=self.deflate) if self.path else EVENTS.format(key=key).encode()


KINDS: Final = (
    Kind("v1", "/api/v1/stream"),
    Kind("v1, deflated", "/api/v1/stream", deflate=True),
    Kind("v2", "/api/v2/stream"),
    Kind("v2, deflated", "/api/v2/stream", deflate=True),
    Kind("events", ""),
)


class Consumer:
    """Reads at a steady pace until it is told that it is enough."""

    def __init__(self, kind: Kind, port: int, key: str, bytes_per_s: int, receive_bytes: int) -> None:
        self.kind = kind
        self.read_bytes = 0
        self.ended_after_s: float | None = None
        """When the server ended the connection; None where it did not."""
        self._at_once = int(bytes_per_s * TURN_S)
        self._socket = socket.socket()
        # Before it connects: the window is agreed on then.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self._socket.settimeout(TURN_S)
        self._socket.connect(("127.0.0.1", port))
        self._socket.sendall(kind.request(key))

    def run(self, enough: threading.Event) -> None:
        began_s = time.monotonic()
        with self._socket:
            while not enough.wait(TURN_S):
                try:
                    data = self._socket.recv(self._at_once)
                except TimeoutError:
                    continue
                except OSError:
                    data = b""
                if not data:
                    self.ended_after_s = time.monotonic() - began_s
                    return
                self.read_bytes += len(data)


def change(world: World, enough: threading.Event) -> int:
    """Changes EVSEs at a steady pace; says how many were changed."""
    each = CHANGES_PER_S // POSTS_PER_S
    number, observed_at = 0, time.time_ns() // 1_000_000
    with httpx2.Client(timeout=ANSWER_DEADLINE_S) as client:
        while not enough.wait(1 / POSTS_PER_S):
            reports = [
                {
                    "evse": evse_id(place % world.evses),
                    # The second time around, an EVSE gets another status than the first.
                    "status": STATUSES[(place // world.evses + 1) % 2],
                    "observed_at": max(observed_at, time.time_ns() // 1_000_000),
                }
                for place in range(number, number + each)
            ]
            answer = client.post(
                f"{world.running.url}/api/v2/reports",
                content=msgspec.json.encode(reports),
                headers={"authorization": f"Bearer {world.report_key}"},
            )
            answer.raise_for_status()
            number += each
    return number


def served(file: Path) -> tuple[str, ...]:
    """What runs ladestrom so that FILE has the most that ever waited in the transport of a consumer, in bytes."""
    return (sys.executable, str(Path(__file__).resolve()), "--served", str(file))


def serve(file: Path) -> None:
    """Runs ladestrom, and notes what waits after each write to a consumer."""
    from ladestrom.cli import main as run  # noqa: PLC0415 - in the server's process only
    from ladestrom.edges.send_queue import SendQueue  # noqa: PLC0415 - likewise

    feed, most = SendQueue.feed, 0

    def noted(self: SendQueue) -> bool:
        nonlocal most
        is_empty = feed(self)
        waiting = self._transport.get_write_buffer_size()
        if waiting > most:
            most = waiting
            file.write_text(str(most))
        return is_empty

    SendQueue.feed = noted  # type: ignore[method-assign]
    run()


def main() -> int:
    if sys.argv[1:2] == ["--served"]:
        file = Path(sys.argv[2])
        sys.argv = ["ladestrom", *sys.argv[3:]]
        serve(file)
        return 0
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--evses", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--each", type=int, default=2, help="consumers of each kind")
    parser.add_argument("--bytes-per-s", type=int, default=1_000_000, help="that each consumer reads")
    parser.add_argument("--receive-kib", type=int, default=16, help="receive buffer of each consumer")
    options = parser.parse_args()
    conditions = Conditions()
    with tempfile.TemporaryDirectory(prefix="ladestrom-healthy-") as name:
        file = Path(name) / "waiting"
        file.write_text("0")
        settings = {
            "stream.stalled_s": str(STALLED_S),
            "stream.write_buffer_kib_max": str(LIMIT_KIB),
            "stream.consumers_per_key_max": str(len(KINDS) * options.each),
        }
        world = World(Path(name), options.evses, program=served(file), settings=settings)
        with world.running:
            world.start()
            return measure(world, options, conditions, file)


def measure(world: World, options: argparse.Namespace, conditions: Conditions, file: Path) -> int:
    enough = threading.Event()
    consumers = [
        Consumer(kind, world.running.port, world.key, options.bytes_per_s, options.receive_kib * 1024)
        for kind in KINDS
        for _ in range(options.each)
    ]
    with ThreadPoolExecutor(len(consumers) + 1) as threads:
        changing = threads.submit(change, world, enough)
        reading = [threads.submit(consumer.run, enough) for consumer in consumers]
        time.sleep(options.seconds)
        headers = {"authorization": f"Bearer {world.admin_key}"}
        metrics = httpx2.get(f"{world.running.url}/metrics", headers=headers, timeout=ANSWER_DEADLINE_S).text
        enough.set()
        for each in reading:
            each.result()
        changes = changing.result()
    most = int(file.read_text())
    rows = []
    wrongs = []
    for kind in KINDS:
        own = [consumer for consumer in consumers if consumer.kind is kind]
        ends = [consumer.ended_after_s for consumer in own if consumer.ended_after_s is not None]
        mib = [consumer.read_bytes / 2**20 for consumer in own]
        rows.append((kind.name, str(len(own)), f"{min(mib):.1f} to {max(mib):.1f}", str(len(ends))))
        wrongs += [f"{kind.name}: cut after {end:.0f} s" for end in ends]
    wrongs += [f"closed by the server, {why}: {count}" for why, count in CLOSED.findall(metrics)]
    if most > LIMIT_KIB * 1024:
        wrongs.append(f"{most} bytes waited for one consumer")
    notes = (
        f"{options.evses:,} EVSEs, {options.seconds:g} s, {changes:,} changes; each consumer reads "
        f"{options.bytes_per_s:,} bytes/s into a buffer of {options.receive_kib} KiB; "
        f"at most {most / 1024:.0f} KiB waited for one (limit {LIMIT_KIB}); {os.cpu_count()} cores"
    )
    return told(conditions, notes, table(("consumers", "count", "MiB each read", "cut"), rows), wrongs)


if __name__ == "__main__":
    sys.exit(main())
