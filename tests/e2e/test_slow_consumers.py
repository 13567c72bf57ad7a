"""Consumers that take nothing, or next to nothing, cost themselves only."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest
from tests.e2e.following import CYCLE, Events, churn, narrow, outlast, towns, waiting_bytes
from tests.e2e.running import Running
from tests.e2e.serving import Serving, evse, furnish, station, tick
from tests.e2e.wire import Wire
from tests.patience import DEADLINE_S, until

from ladestrom.outputs.stream_v2.edge import EVENTS_PATH, STREAM_PATH
from ladestrom.ports.registry import StationDraft

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
COUNTRY: Final = 250
ROUND: Final = COUNTRY * 4
"""Changes."""
ROUNDS_BESIDE: Final = 15
"""Of 400 KB in version 1: several times what the server keeps for one consumer."""


def opened(port: int, stream: str, key: str, **options: Any) -> Wire:
    """A consumer of one of `STREAMS`, that has read the answer's head and nothing else."""
    headers = {"X-Api-Key": key}
    if "events" in stream:
        return Events(port, **options).ask(STREAMS[stream], headers)
    return Wire(port, **options).open(STREAMS[stream], headers)


# -- in this process: what waits for whom -----------------------------------------------------------------


def test_a_byte_now_and_then_is_not_enough_and_costs_a_bounded_buffer(tmp_path: Path) -> None:
    limit_bytes = 16 * KIB
    settings = {"stream.write_buffer_kib_max": limit_bytes // KIB}
    with (
        Serving(tmp_path, settings, stations=towns()) as server,
        server.stream("types=snapshot,update") as reading,
        contextlib.ExitStack() as stack,
    ):
        key = server.keys["stream"]
        slow = [
            stack.enter_context(opened(server.port, stream, key, receive_bytes=RECEIVE_BYTES))
            for stream in STREAMS
        ]
        narrow(server)
        most = 0

        def told() -> None:
            """A round of changes, which the one that reads has taken in the end."""
            nonlocal most
            last = churn(server, 1)
            while reading.until("status:update")["seq"] < last:
                pass
            most = max([most, *waiting_bytes(server)])

        cut = server.app.reader.stream.closed
        paused = lambda: sum(each.paused for each in server.app.reader.stream.connections)  # noqa: E731 - asked often
        while server.call(paused) + cut["slow"] < len(slow):
            told()
        server.look_after()
        for _ in range(3):
            for wire in slow:
                with contextlib.suppress(OSError):
                    wire.socket.recv(1)
            told()
        assert cut["stalled"] == 0
        outlast(server)
        until(lambda: cut.total() == len(slow), "they are cut")
        assert set(cut) <= {"stalled", "slow"}
        assert most <= limit_bytes
        assert len(server.app.reader.stream.connections) == 1
        told()


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
    with Running(tmp_path, {"stream.stalled_s": "3600", "stream.write_buffer_kib_max": "512"}) as server:
        server.start()
        yield server, {name: text for name, (text, _) in made.items()}


def rss_bytes(server: Running) -> int:
    """Memory that the server's process has resident."""
    status = Path(f"/proc/{server.pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) * KIB


class Load:
    """Changes every EVSE, again and again, and sees that each reader is told of it."""

    def __init__(self, server: Running, key: str, readers: dict[str, Wire]) -> None:
        self._server = server
        self._key = key
        self._readers = readers
        self._status = ""
        self.pool = ThreadPoolExecutor(len(readers))

    def rounds(self, count: int) -> None:
        """So many rounds; each is over when all readers have all its changes."""
        with httpx2.Client(timeout=DEADLINE_S) as client:
            for _ in range(count):
                self._status = CYCLE[self._status]
                at = tick()
                items = [
                    {"evse": f"NO*ALF*E{number}*{place}", "status": self._status, "observed_at": at}
                    for number in range(1, COUNTRY + 1)
                    for place in range(1, 5)
                ]
                told = [self.pool.submit(read, stream, wire) for stream, wire in self._readers.items()]
                answer = client.post(
                    f"{self._server.url}/api/v2/reports", headers={"X-Api-Key": self._key}, json=items
                )
                assert answer.json()["accepted"] == ROUND
                for each in told:
                    each.result()


def read(stream: str, wire: Wire) -> None:
    """Takes one round's changes."""
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


def test_nobody_waits_for_those_who_take_nothing_and_each_costs_little(
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
        before_bytes = rss_bytes(server)
        stuck = [
            stack.enter_context(opened(server.port, stream, keys["stream"], receive_bytes=RECEIVE_BYTES))
            for stream in STREAMS
            for _ in range(4)
        ]
        most_bytes = 0
        for _ in range(ROUNDS_BESIDE):
            load.rounds(1)
            most_bytes = max(most_bytes, rss_bytes(server) - before_bytes)
        assert most_bytes < len(stuck) * 2 * MIB
        assert most_bytes > 512 * KIB, "they did fall behind"
