"""Consumers that take nothing, or next to nothing, cost themselves only."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from statistics import median
from threading import Event
from typing import Any, Final

import httpx2
import pytest
from tests.e2e.following import CYCLE, Events, churn, narrow, towns, waiting_bytes
from tests.e2e.running import Running
from tests.e2e.serving import Serving, evse, furnish, station, tick
from tests.e2e.wire import Wire
from tests.patience import DEADLINE_S

from ladestrom import app
from ladestrom.edges.v2 import EVENTS_PATH, STREAM_PATH
from ladestrom.ports import StationDraft

KIB: Final = 1024
MIB: Final = 1024 * KIB
STREAMS: Final = {
    "v1": "/api/v1/stream?types=snapshot,update",
    "latest": f"{STREAM_PATH}?batch_ms=0",
    "every": f"{STREAM_PATH}?batch_ms=0&mode=every",
    "events": f"{EVENTS_PATH}?batch_ms=0",
    "every, events": f"{EVENTS_PATH}?batch_ms=0&mode=every",
}
RECEIVE_BYTES: Final = 4096
STALLED_S: Final = 2
CLOSED: Final = re.compile(r"^ladestrom_consumers_closed_total\{[^}]*\} ([0-9.e+]+)$", re.MULTILINE)
COUNTRY: Final = 250
ROUND: Final = COUNTRY * 4
"""Changes."""


def opened(port: int, stream: str, key: str, **options: Any) -> Wire:
    """A consumer of one of `STREAMS`, that has read the answer's head and nothing else."""
    headers = {"X-Api-Key": key}
    if "events" in stream:
        return Events(port, **options).ask(STREAMS[stream], headers)
    return Wire(port, **options).open(STREAMS[stream], headers)


# -- in this process: what waits for whom -----------------------------------------------------------------


def test_a_byte_a_second_is_not_enough_and_costs_a_bounded_buffer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "SWEEP_S", 0.1)
    limit_bytes = 16 * KIB
    settings = {"stream.write_buffer_kib_max": limit_bytes // KIB, "stream.stalled_s": 1}
    with (
        Serving(tmp_path, settings, stations=towns()) as server,
        server.stream("types=snapshot,update") as reading,
        ThreadPoolExecutor(len(STREAMS)) as pool,
        contextlib.ExitStack() as stack,
    ):
        key = server.keys["stream"]
        slow = [
            stack.enter_context(opened(server.port, stream, key, receive_bytes=RECEIVE_BYTES))
            for stream in STREAMS
        ]
        narrow(server)
        enough = Event()
        stack.callback(enough.set)
        trickled = [pool.submit(trickle, wire, enough) for wire in slow]
        most = 0
        ends_s = time.monotonic() + DEADLINE_S
        while server.app.stream.closed.total() < len(slow):
            assert time.monotonic() < ends_s, f"only these were cut: {server.app.stream.closed}"
            last = churn(server, 1)
            while reading.until("status:update")["seq"] < last:
                pass
            most = max([most, *waiting_bytes(server)])
        assert set(server.app.stream.closed) <= {"stalled", "slow"}
        assert most <= limit_bytes
        assert len(server.app.stream.connections) == 1
        enough.set()
        for each in trickled:
            each.result()


def trickle(wire: Wire, enough: Event) -> None:
    """Takes a byte each second."""
    with contextlib.suppress(OSError):
        while not enough.wait(1):
            wire.socket.recv(1)


# -- a process of its own: its memory, and what others are told when ----------------------------------------


def country() -> list[StationDraft]:
    """Stations of one operator, with enough EVSEs that a round of changes is a lot to tell."""
    return [
        station(
            f"NOR_{number:05d}",
            "NOR",
            (10.0, 60.0),
            [evse(f"NO*ALF*E{number}*{place}", party="NOALF") for place in range(1, 5)],
        )
        for number in range(1, COUNTRY + 1)
    ]


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[Running, dict[str, str]]]:
    """A server in a process of its own, and keys to it."""
    made = furnish(tmp_path / "data", country())
    settings = {"stream.stalled_s": str(STALLED_S), "stream.write_buffer_kib_max": "512"}
    with Running(tmp_path, settings) as server:
        server.start()
        yield server, {name: text for name, (text, _) in made.items()}


def rss_bytes(server: Running) -> int:
    """Memory that the server's process has resident."""
    status = Path(f"/proc/{server.pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) * KIB


def cut(server: Running, key: str) -> int:
    """Consumers whose connections the server ended."""
    headers = {"X-Api-Key": key}
    text = httpx2.get(f"{server.url}/metrics", headers=headers, timeout=DEADLINE_S).text
    return sum(int(float(count)) for count in CLOSED.findall(text))


class Load:
    """Changes every EVSE, again and again, and sees when each reader was told of it."""

    def __init__(self, server: Running, key: str, readers: dict[str, Wire]) -> None:
        self._server = server
        self._key = key
        self._readers = readers
        self._status = ""
        self.pool = ThreadPoolExecutor(len(readers))

    def rounds(self, count: int) -> list[float]:
        """For each round and reader, the seconds from the report to the last of its changes."""
        took_s: list[float] = []
        with httpx2.Client(timeout=DEADLINE_S) as client:
            for _ in range(count):
                self._status = CYCLE[self._status]
                items = [
                    {"evse": f"NO*ALF*E{number}*{place}", "status": self._status, "observed_at": tick()}
                    for number in range(1, COUNTRY + 1)
                    for place in range(1, 5)
                ]
                began_s = time.monotonic()
                told: list[Future[float]] = [
                    self.pool.submit(read, stream, wire) for stream, wire in self._readers.items()
                ]
                answer = client.post(
                    f"{self._server.url}/api/v2/reports", headers={"X-Api-Key": self._key}, json=items
                )
                assert answer.json()["accepted"] == ROUND
                took_s += [each.result() - began_s for each in told]
        return took_s


def read(stream: str, wire: Wire) -> float:
    """Takes one round's changes; says when the last one was there."""
    left = ROUND
    while left:
        if isinstance(wire, Events):
            event = wire.event()
            left -= event.data.count(b'"was":') if event.kind == "changes" else 0
        elif stream == "v1":
            wire.until("status:update")
            left -= 1
        else:
            left -= len(wire.until("changes")["changes"])
    return time.monotonic()


def test_those_who_take_nothing_delay_nobody_cost_little_and_are_cut(
    running: tuple[Running, dict[str, str]],
) -> None:
    server, keys = running
    with contextlib.ExitStack() as stack:
        readers = {
            stream: stack.enter_context(opened(server.port, stream, keys["stream"])) for stream in STREAMS
        }
        load = Load(server, keys["alfa"], readers)
        stack.enter_context(load.pool)
        load.rounds(3)
        alone_s = load.rounds(4)
        before_bytes = rss_bytes(server)
        stuck = [
            stack.enter_context(opened(server.port, stream, keys["stream"], receive_bytes=RECEIVE_BYTES))
            for stream in STREAMS
            for _ in range(4)
        ]
        beside_s: list[float] = []
        most_bytes = 0
        ends_s = time.monotonic() + DEADLINE_S
        while cut(server, keys["admin"]) < len(stuck):
            assert time.monotonic() < ends_s, (
                f"{cut(server, keys['admin'])} were cut, of {len(stuck)} who take nothing"
            )
            beside_s += load.rounds(1)
            most_bytes = max(most_bytes, rss_bytes(server) - before_bytes)
        assert most_bytes < len(stuck) * 2 * MIB
        # Generous: what it must not be is a wait for those who take nothing, which would be seconds.
        assert median(beside_s) < 3 * median(alone_s) + 0.2
        assert max(beside_s) < STALLED_S
        assert all(wire.ended() for wire in stuck)
        load.rounds(1)
