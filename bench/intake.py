"""How many observations a second one core takes, through HTTP, durable.

    python bench/intake.py [--seconds 5] [--evses 10000] [--connections 16] [--case all]

A real server is pinned to core 0, this load generator to core 1. Requests are made beforehand and sent over
keep-alive connections, one request at a time on each. Three cases, `log.durability = full`:

- `changes`: batches of 100, every report a change;
- `mixed`: batches of 100, one change in twenty;
- `single`: single-report requests, every report a change.

Every receipt is counted, and in the end REST has to show what this program's own fold has.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import select
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.fold import Fold, Places, Seen, calibration, differences, places
from tests.e2e.running import REGISTER_PREFIX, Running, irve_register, made_up_evses

SERVER_CORE: Final = 0
LOAD_CORE: Final = 1
EVSES_PER_STATION: Final = 4
CALIBRATED_AT: Final = 1_600_000_000_000
WARM_UP_S: Final = 1.0
DRAIN_DEADLINE_S: Final = 30.0
READERS_DEADLINE_S: Final = 60.0
RECEIVE_BYTES: Final = 256 * 1024
PREPARED_PER_S: Final = {"changes": 1_200, "mixed": 4_000, "single": 20_000}
"""Requests made beforehand for each second: more than a core can take."""


class Case(NamedTuple):
    """One kind of load."""

    name: str
    batch: int
    change_every: int
    """One observation in so many is a change."""
    target: int
    """Observations a second that are promised."""


CASES: Final = (
    Case("changes", 100, 1, 40_000),
    Case("mixed", 100, 20, 150_000),
    Case("single", 1, 1, 5_000),
)


class Measured(NamedTuple):
    """What one case gave."""

    case: Case
    observations: int
    requests: int
    seconds: float
    cpu_s: float
    latency_ms: tuple[float, float, float]
    """p50, p99 and the longest, of a request."""
    wrongs: tuple[str, ...]

    @property
    def per_s(self) -> float:
        return self.observations / self.seconds


class Traffic:
    """Observations of one case: each EVSE in turn, by a clock that only goes forwards.

    A change is the other of two words; what is none repeats what the fold has.
    """

    def __init__(self, evses: Sequence[str], fold: Fold) -> None:
        self._evses = evses
        self._charging = [fold.known[evse].status == "CHARGING" for evse in evses]
        self._at = max(known.observed_at for known in fold.known.values())
        newest = [place for place, evse in enumerate(evses) if fold.known[evse].observed_at == self._at]
        self._place = (newest[0] + 1) % len(evses)
        self._number = 0

    def batch(self, case: Case) -> list[Seen]:
        made = []
        for _ in range(case.batch):
            place = self._place
            self._place = (place + 1) % len(self._evses)
            self._at += 1
            self._number += 1
            # Every round other EVSEs have their turn to change.
            if (self._number + self._number // len(self._evses)) % case.change_every == 0:
                self._charging[place] = not self._charging[place]
            word = "CHARGING" if self._charging[place] else "AVAILABLE"
            made.append(Seen(self._at, self._evses[place], word))
        return made


def request(key: str, batch: Sequence[Seen]) -> bytes:
    """A whole HTTP request."""
    items = [{"evse": seen.evse, "status": seen.status, "error": 0, "observed_at": seen.at} for seen in batch]
    body = json.dumps(items[0] if len(items) == 1 else items, separators=(",", ":")).encode()
    head = (
        f"POST /api/v2/reports HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Connection:
    """One keep-alive connection with at most one request under way."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b""
        self.place = 0
        """Which of the prepared requests is under way."""
        self.sent_s = 0.0

    def send(self, place: int, prepared: bytes) -> None:
        self.place = place
        self.sent_s = time.perf_counter()
        self.socket.sendall(prepared)

    def answer(self) -> bytes | None:
        """The body of the answer, where all of it is there.

        Raises:
            ConnectionError: the server closed the connection, or did not answer 200.
        """
        data = self.socket.recv(RECEIVE_BYTES)
        if not data:
            raise ConnectionError("the server closed the connection")
        self.received += data
        end = self.received.find(b"\r\n\r\n")
        if end < 0:
            return None
        head = self.received[:end].lower()
        start = head.index(b"content-length:") + len(b"content-length:")
        length = int(head[start:].split(b"\r\n", 1)[0])
        if len(self.received) < end + 4 + length:
            return None
        body, self.received = self.received[end + 4 :][:length], self.received[end + 4 + length :]
        if not head.startswith(b"http/1.1 200"):
            raise ConnectionError(f"{head[:60]!r} {body[:300]!r}")
        return body


class Pump:
    """Sends prepared requests over a number of connections, as fast as answers come."""

    def __init__(self, port: int, connections: int) -> None:
        self._poll = select.epoll()
        self._connections: dict[int, Connection] = {}
        for _ in range(connections):
            made = Connection(port)
            self._connections[made.socket.fileno()] = made
            self._poll.register(made.socket, select.EPOLLIN)

    def close(self) -> None:
        for connection in self._connections.values():
            connection.socket.close()
        self._poll.close()

    def run(self, prepared: Sequence[bytes], seconds: float) -> tuple[list[bytes | None], list[float], float]:
        """Sends in order, for so long or until all is sent; waits for what is under way.

        Returns:
            The answer of each request that was sent, how long each took, and the seconds up to the last.
        """
        answers: list[bytes | None] = []
        took: list[float] = []
        began_s = time.perf_counter()
        ends_s = began_s + seconds
        idle = deque(self._connections.values())
        under_way = 0

        def more() -> Iterator[Connection]:
            while idle and len(answers) < len(prepared) and time.perf_counter() < ends_s:
                yield idle.popleft()

        while True:
            for connection in more():
                connection.send(len(answers), prepared[len(answers)])
                answers.append(None)
                under_way += 1
            if not under_way:
                return answers, took, time.perf_counter() - began_s
            ready = self._poll.poll(DRAIN_DEADLINE_S)
            if not ready:
                raise ConnectionError(f"no answer within {DRAIN_DEADLINE_S:g} s")
            for number, _ in ready:
                connection = self._connections[number]
                body = connection.answer()
                if body is not None:
                    took.append(time.perf_counter() - connection.sent_s)
                    answers[connection.place] = body
                    under_way -= 1
                    idle.append(connection)


def verify(batches: Sequence[Sequence[Seen]], answers: Sequence[bytes | None], fold: Fold) -> list[str]:
    """Whether the receipts tell what the fold has; feeds it."""
    before = fold.counts.copy()
    told = {"accepted": 0, "unchanged": 0}
    wrongs = []
    for batch, answer in zip(batches, answers, strict=False):
        receipt: dict[str, Any] = json.loads(answer or b"{}")
        told["accepted"] += receipt["accepted"]
        told["unchanged"] += receipt["unchanged"]
        if receipt["accepted"] + receipt["unchanged"] != len(batch) or receipt["refused"]:
            wrongs.append(f"receipt of {len(batch)}: {answer!r:.300}")
        for seen in batch:
            fold.observe(seen)
    counts = fold.counts - before
    expected = {"accepted": counts["accepted"], "unchanged": counts["unchanged"] + counts["stale"]}
    if told != expected:
        wrongs.append(f"receipts tell {told}, the fold {expected}")
    return wrongs


def rest_board(running: Running, key: str, position: str) -> dict[str, Any]:
    """All stations over REST, once readers have been told everything up to the position (EPOCH-SEQ).

    Raises:
        TimeoutError: they are behind for longer than `READERS_DEADLINE_S`.
    """
    asked = urllib.request.Request(
        f"{running.url}/api/v1/rest/chargers", headers={"Authorization": f"Bearer {key}"}
    )
    ends_s = time.monotonic() + READERS_DEADLINE_S
    while True:
        with urllib.request.urlopen(asked, timeout=READERS_DEADLINE_S) as answer:
            shown = answer.headers["ETag"].removeprefix("W/").strip('"')
            if int(shown.rpartition("-")[2]) >= int(position.rpartition("-")[2]):
                return {station["uuid"]: station for station in json.load(answer)}
        if time.monotonic() > ends_s:
            raise TimeoutError(f"readers are at {shown}, the log is at {position}")
        time.sleep(0.02)


class Bench:
    """One server, one registry, three cases after one another."""

    def __init__(
        self, running: Running, keys: tuple[str, str], evses: Sequence[str], connections: int
    ) -> None:
        self._running = running
        self._report_key, self._stream_key = keys
        self._evses = evses
        self._connections = connections
        self._fold = Fold()
        self._places = self._calibrate()

    def _calibrate(self) -> Places:
        seen = calibration(self._evses, CALIBRATED_AT)
        batches = [seen[start : start + 1_000] for start in range(0, len(seen), 1_000)]
        answers, _, _ = self._pumped([request(self._report_key, batch) for batch in batches], 60.0)
        wrongs = verify(batches, answers, self._fold)
        if wrongs:
            raise SystemExit(f"calibration: {wrongs[0]}")
        return places(seen, self._rest_board(answers))

    def _rest_board(self, answers: Sequence[bytes | None]) -> dict[str, Any]:
        """REST after the last of these receipts."""
        positions = [json.loads(answer or b"{}")["position"] for answer in answers]
        newest = max(positions, key=lambda position: int(position.rpartition("-")[2]))
        return rest_board(self._running, self._stream_key, newest)

    def _pumped(
        self, prepared: Sequence[bytes], seconds: float, connections: int = 1
    ) -> tuple[list[bytes | None], list[float], float]:
        pump = Pump(self._running.port, connections)
        try:
            return pump.run(prepared, seconds)
        finally:
            pump.close()

    def run(self, case: Case, seconds: float) -> Measured:
        """Warms up, measures, and looks at every receipt and at REST."""
        wrongs: list[str] = []
        for measured, length_s in ((False, WARM_UP_S), (True, seconds)):
            count = int(PREPARED_PER_S[case.name] * length_s)
            traffic = Traffic(self._evses, self._fold)
            batches = [traffic.batch(case) for _ in range(count)]
            prepared = [request(self._report_key, batch) for batch in batches]
            cpu_s = self._running.cpu_s()
            # In order of sending, an EVSE's next turn comes after all others': two of them cannot overtake
            # each other on different connections.
            answers, took, elapsed_s = self._pumped(prepared, length_s, self._connections)
            cpu_s = self._running.cpu_s() - cpu_s
            sent = batches[: len(answers)]
            wrongs += verify(sent, answers, self._fold)
            if measured and len(sent) == len(batches):
                print(f"{case.name}: all prepared requests were sent before the time was over", flush=True)
        wrongs += differences(self._fold, self._places, self._rest_board(answers))
        took.sort()
        return Measured(
            case,
            sum(len(batch) for batch in sent),
            len(sent),
            elapsed_s,
            cpu_s,
            (took[len(took) // 2] * 1e3, took[int(len(took) * 0.99)] * 1e3, took[-1] * 1e3),
            tuple(wrongs),
        )


def on_core(core: int) -> Callable[[], None]:
    """Pins the process that calls it."""
    return lambda: os.sched_setaffinity(0, {core})


def machine() -> str:
    """What this runs on, for the table's heading."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    commit = subprocess.run(
        ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    return f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}, commit {commit or 'none'}"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--evses", type=int, default=10_000)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--case", choices=["all", *(case.name for case in CASES)], default="all")
    options = parser.parse_args()
    if (os.cpu_count() or 1) < 2:
        raise SystemExit("two cores are needed: one for the server, one for the load")
    stations = max(1, options.evses // EVSES_PER_STATION)
    if stations * EVSES_PER_STATION < options.connections * max(case.batch for case in CASES):
        raise SystemExit("fewer EVSEs than reports under way: they would overtake each other")
    evses = made_up_evses(stations, EVSES_PER_STATION)
    with (
        tempfile.TemporaryDirectory(prefix="ladestrom-intake-") as name,
        Running(Path(name), {"log.durability": "full"}, before_exec=on_core(SERVER_CORE)) as running,
    ):
        register = irve_register(Path(name) / "register.jsonl", stations=stations, evses=EVSES_PER_STATION)
        running.import_register("irve", register)
        running.operator("bench", prefixes=[REGISTER_PREFIX])
        keys = (running.key("report", operator="bench"), running.key("stream"))
        running.start()
        os.sched_setaffinity(0, {LOAD_CORE})
        bench = Bench(running, keys, evses, options.connections)
        measured = [bench.run(case, options.seconds) for case in CASES if options.case in {"all", case.name}]
    print(f"{machine()}; {len(evses):,} EVSEs, {options.connections} connections, durability full")
    print(
        "| case | observations/s | promised | CPU us each | core used | requests/s | p50 / p99 / longest ms"
        " | verified |\n|---|---|---|---|---|---|---|---|"
    )
    for each in measured:
        p50, p99, longest = each.latency_ms
        print(
            f"| {each.case.name} | {each.per_s:,.0f} | {each.case.target:,}"
            f" | {each.cpu_s / each.observations * 1e6:.2f} | {each.cpu_s / each.seconds:.0%}"
            f" | {each.requests / each.seconds:,.0f} | {p50:.1f} / {p99:.1f} / {longest:.1f}"
            f" | {'wrong' if each.wrongs else 'all right'} |"
        )
    for each in measured:
        for wrong in each.wrongs[:20]:
            print(f"WRONG {each.case.name}: {wrong}")
    return 1 if any(each.wrongs for each in measured) else 0


if __name__ == "__main__":
    sys.exit(main())
