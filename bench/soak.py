"""Whether a server stays what it is while consumers come and go.

    python bench/soak.py [--minutes 15] [--changes-per-s 200] [--consumers 60] [--selections 30] [--evses 10000]
    python bench/soak.py --crowd [--minutes 30]

Consumers of all kinds come, read, choose anew and leave; operators report changes at even distances, and `/livez`
is asked 20 times a second. Memory is looked at each second; its slope is that of the last two thirds of the time.
What those who are there take varies by some 20 MiB, so a slope of minutes says little of an hour: all leave after
each third of the time, and the memory that is left then is compared, too. In the end what is still in memory is
counted. The server runs with a probe in its loop (`probed.py`), which says how long its longest step was.

With `--crowd` 1,000 consumers with as many selections are there at each time, and 10,000 come in half an hour. They
are at rest for the first fifth of the time: what a change costs while they come and go is compared with that.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import random
import signal
import statistics
import struct
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

import httpx2

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import probed
from bench.consumers import LOAD_CORE, upgrade
from bench.feeding import pace
from bench.memory import files_for
from bench.servers import Ladestrom, rss_kib
from bench.tables import Conditions, table, told
from tests.e2e.running import REGISTER_PREFIX, made_up_evse

SEED: Final = 1
EVSES_PER_STATION: Final = 4
TICKS_PER_S: Final = 100
FEED_S: Final = 10
"""Changes are prepared for so long."""
LIVEZ_EVERY_S: Final = 0.05
STAY_S: Final = 20.0
"""Mean time that a consumer stays."""
SELECT_EVERY_S: Final = 10.0
"""Mean time from one selection to the next, of those that can choose anew."""
PONG_EVERY_S: Final = 15.0
"""Servers take who says nothing for longer than a minute for gone."""
PONG: Final = struct.pack("!BB", 0x8A, 0x80) + bytes(4)
"""RFC 6455, section 5.5.3; the mask is 0."""
ANSWER_DEADLINE_S: Final = 60.0
HISTORY_CHANGES: Final = 10_000
RECEIVE_BYTES: Final = 256 * 1024
AFTERWARDS_S: Final = 25.0
"""From when the last one has left to the count: the server gives memory back every ten seconds."""
LATELY_S: Final = 12.0
"""Of the memory that was seen for so long before the count, the least."""
PARTS: Final = 3
REQUEST: Final = "RequestResponseCycle.run_asgi"
"""What answers a request: changes and looks at `/livez` go on until the end."""
SLOPE_MIB_PER_HOUR_MAX: Final = 1.0
KEPT_MIB_MAX: Final = 5.0
CHANGE_RATIO_MAX: Final = 2.0
STEP_MS_MAX: Final = 20.0


class Load(NamedTuple):
    """What goes on."""

    minutes: float
    changes_per_s: float
    consumers: int
    selections: int
    stay_s: float
    rest_share: float
    """Of the time, at its start, in which nobody comes or goes."""
    parts: int
    """After each of which all leave."""


def selections(count: int, stations: int) -> list[str]:
    """Different ones of every kind, as a query writes them; most are narrow, as those of many consumers are."""
    rng = random.Random(SEED)
    found = [
        "",
        "country=FRA",
        f"operator={REGISTER_PREFIX.lower()}",
        "status=AVAILABLE",
        "country=NOR,FRA&status=CHARGING",
    ]
    kinds: tuple[Callable[[], str], ...] = (
        lambda: f"operator={REGISTER_PREFIX.lower()},de{rng.randrange(10_000):04d}&status=CHARGING",
        lambda: "evse=" + ",".join(made_up_evse(rng.randrange(stations), rng.randrange(4)) for _ in range(3)),
        lambda: _box(rng),
        lambda: _box(rng) + "&status=AVAILABLE",
        lambda: f"operator=nobody{rng.randrange(10_000):04d}",
        lambda: f"evse={made_up_evse(rng.randrange(stations), 0)}&country=FRA",
    )
    for kind in itertools.cycle(kinds):
        if len(found) >= count:
            return found[:count]
        found.append(kind())
    raise AssertionError


def _box(rng: random.Random) -> str:
    west, south = 2 + rng.random(), 47 + rng.random() / 4
    return f"bbox={west:.3f},{south:.3f},{west + rng.random() / 10:.3f},{south + rng.random() / 10:.3f}"


class Crowd:
    """Consumers that come and go, on a loop of their own."""

    def __init__(self, own: Ladestrom, load: Load, rng: random.Random) -> None:
        self.came = 0
        self.selected = 0
        self.bytes = 0
        self.wrongs: list[str] = []
        self._own = own
        self._load = load
        self._rng = rng
        self._selections = selections(load.selections, own.stations)
        self._moving = asyncio.Event()
        self._leaving = asyncio.Event()

    async def run(self, rest_s: float, seconds: float) -> None:
        """Everybody is there for `rest_s`; then they come and go until `seconds` have passed since the start."""
        loop = asyncio.get_running_loop()
        loop.call_later(rest_s, self._moving.set)
        loop.call_later(seconds, self._leaving.set)
        async with asyncio.TaskGroup() as places:
            for number in range(self._load.consumers):
                places.create_task(self._place(number))

    async def _place(self, number: int) -> None:
        """One after the other, always with another selection."""
        while not self._leaving.is_set():
            wanted = self._selections[(number + self.came) % len(self._selections)]
            if not self._moving.is_set():
                wanted = self._selections[number % len(self._selections)]
            try:
                async with asyncio.timeout(None) as stay:
                    await self._consume(wanted, stay)
            except TimeoutError:
                pass
            except (OSError, asyncio.IncompleteReadError) as error:
                if not self._leaving.is_set():
                    self.wrongs.append(f"{wanted}: {error!r}")
                    await asyncio.sleep(1)

    async def _consume(self, wanted: str, stay: asyncio.Timeout) -> None:
        rng = self._rng
        kind = rng.choice(("v1", "v2", "v2", "v2 deflate", "events"))
        simple = not ("evse=" in wanted or "status=" in wanted)
        path = {"v1": "/api/v1/stream?types=snapshot,update,raw&", "events": "/api/v2/events?"}.get(
            kind if simple or kind != "v1" else "v2", f"/api/v2/stream?batch_ms={rng.choice((0, 100, 1000))}&"
        )
        asked = upgrade(path + wanted, self._own.key, deflate=kind.endswith("deflate"))
        if kind == "events":
            asked = asked.replace(b"Upgrade: websocket\r\nConnection: Upgrade\r\n", b"")
        reader, writer = await asyncio.open_connection("127.0.0.1", self._own.port, limit=RECEIVE_BYTES)
        try:
            writer.write(asked)
            async with asyncio.timeout(ANSWER_DEADLINE_S):
                head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith((b"HTTP/1.1 101", b"HTTP/1.1 200")):
                raise ConnectionError(f"refused: {head[:100]!r}")
            self.came += 1
            moving = asyncio.ensure_future(self._go(stay, writer, path))
            try:
                while data := await reader.read(RECEIVE_BYTES):
                    self.bytes += len(data)
                raise ConnectionError("the server ended the connection")
            finally:
                moving.cancel()
        finally:
            writer.transport.abort()

    async def _go(self, stay: asyncio.Timeout, writer: asyncio.StreamWriter, path: str) -> None:
        """Chooses anew now and then, and leaves when it is time."""
        selects, is_events = "/v2/stream" in path, "/events" in path
        rng, loop = self._rng, asyncio.get_running_loop()
        leaving = asyncio.ensure_future(self._leaving.wait())
        try:
            await self._moving.wait()
            left_s = rng.expovariate(1 / self._load.stay_s)
            ends_s = loop.time() + left_s
            while (now_s := loop.time()) < ends_s and not leaving.done():
                wait_s = min(ends_s - now_s, rng.expovariate(1 / SELECT_EVERY_S), PONG_EVERY_S)
                await asyncio.wait({leaving}, timeout=wait_s)
                if not is_events:
                    # Instead of an answer to each ping: who says nothing for long is taken for gone.
                    writer.write(PONG)
                is_due = wait_s < PONG_EVERY_S and loop.time() < ends_s
                if selects and is_due and not leaving.done():
                    writer.write(_select(rng.choice(self._selections)))
                    self.selected += 1
        finally:
            leaving.cancel()
        stay.reschedule(loop.time())


def _select(wanted: str) -> bytes:
    """A client's frame that asks for another selection; the mask is 0 (RFC 6455, section 5.3)."""
    members = "".join(
        f',"{name}":"{value}"' for name, value in (pair.split("=") for pair in wanted.split("&") if pair)
    )
    payload = f'{{"type":"select"{members}}}'.encode()
    return struct.pack("!BBH", 0x81, 0x80 | 126, len(payload)) + bytes(4) + payload


class Watch(threading.Thread):
    """Asks `/livez`, and looks at the server's memory and processor time."""

    def __init__(self, own: Ladestrom) -> None:
        super().__init__(daemon=True)
        self.livez_ms: list[float] = []
        self.memory: list[tuple[float, int]] = []
        """Monotonic seconds, KiB."""
        self._own = own
        self._ended = threading.Event()

    def run(self) -> None:
        next_s = 0.0
        with httpx2.Client(base_url=self._own.running.url, timeout=ANSWER_DEADLINE_S) as client:
            while not self._ended.wait(LIVEZ_EVERY_S):
                began_s = time.monotonic()
                client.get("/livez").raise_for_status()
                now_s = time.monotonic()
                self.livez_ms.append((now_s - began_s) * 1e3)
                if now_s >= next_s:
                    self.memory.append((now_s, rss_kib(self._own.running.pid)))
                    next_s = now_s + 1

    def end(self) -> None:
        self._ended.set()
        self.join()


class Feed(threading.Thread):
    """Reports changes at even distances until it is told to end, and knows what each cost so far."""

    def __init__(self, own: Ladestrom, changes_per_s: float) -> None:
        super().__init__(daemon=True)
        self.marks: list[tuple[float, int, float]] = []
        """Monotonic seconds, changes so far, the server's seconds of processor time so far."""
        self.failed: Exception | None = None
        self._own = own
        self._per_tick = max(1, round(changes_per_s / TICKS_PER_S))
        self._ticks_per_s = changes_per_s / self._per_tick
        self._ended = threading.Event()

    def run(self) -> None:
        road = self._own.road
        try:
            while not self._ended.is_set():
                self.marks.append((time.monotonic(), len(road.sent_ns), self._own.cpu_s()))
                pace(road, road.ticks(int(self._ticks_per_s * FEED_S), self._per_tick), self._ticks_per_s)
        except Exception as error:  # noqa: BLE001 - told by who waits for it
            self.failed = error

    def end(self) -> None:
        self._ended.set()
        self.join()
        if self.failed is not None:
            raise self.failed

    def change_us(self, begin_s: float, end_s: float) -> float:
        """The server's processor time for a change between two instants."""
        within = [mark for mark in self.marks if begin_s <= mark[0] <= end_s]
        (_, first, began_s), (_, last, ended_s) = within[0], within[-1]
        return (ended_s - began_s) / (last - first) * 1e6


@contextmanager
def going_on(own: Ladestrom, changes_per_s: float) -> Iterator[tuple[Feed, Watch]]:
    """Changes come, and somebody watches, within the block."""
    feed, watch = Feed(own, changes_per_s), Watch(own)
    feed.start()
    watch.start()
    try:
        yield feed, watch
    finally:
        watch.end()
        feed.end()


def slope_mib_per_hour(memory: Sequence[tuple[float, int]], begin_s: float) -> float:
    """Of a line through what was seen since an instant."""
    late = [(at_s, kib) for at_s, kib in memory if at_s >= begin_s]
    line = statistics.linear_regression([at_s for at_s, _ in late], [kib for _, kib in late])
    return line.slope * 3600 / 1024


def median_mib(memory: Sequence[tuple[float, int]], begin_s: float, end_s: float) -> float:
    return statistics.median([kib for at_s, kib in memory if begin_s <= at_s <= end_s]) / 1024


def soak(own: Ladestrom, load: Load, file: Path) -> tuple[str, list[str]]:
    """The table, and what was wrong."""
    pid = own.running.pid
    seconds = load.minutes * 60
    rest_s = seconds * load.rest_share
    crowds = [Crowd(own, load, random.Random(SEED + part)) for part in range(load.parts)]
    kept: list[tuple[float, float]] = []
    with going_on(own, load.changes_per_s) as (feed, watch):
        time.sleep(AFTERWARDS_S)
        census = count(pid, file)
        began_s = time.monotonic()
        for crowd in crowds:
            asyncio.run(crowd.run(rest_s, seconds / load.parts))
            ended_s = time.monotonic()
            time.sleep(AFTERWARDS_S)
            now_s = time.monotonic()
            kept.append((now_s, min(kib for at_s, kib in watch.memory if at_s > now_s - LATELY_S) / 1024))
        left = count(pid, file)
    steps = probed.read(file, began_s, ended_s)
    livez = statistics.quantiles(watch.livez_ms, n=100)
    slope = slope_mib_per_hour(watch.memory, began_s + seconds / 3)
    # What is there a third into the time is what it takes to serve so many.
    early = median_mib(watch.memory, began_s + seconds / 4, began_s + seconds / 3)
    late = median_mib(watch.memory, ended_s - seconds / 12, ended_s)
    rows = [
        ("consumers that came", f"{sum(crowd.came for crowd in crowds):,}", ""),
        ("selections chosen anew", f"{sum(crowd.selected for crowd in crowds):,}", ""),
        ("changes", f"{len(own.road.sent_ns):,}", ""),
        ("memory after a third, MiB", f"{early:.1f}", ""),
        ("at the end, MiB", f"{late:.1f}", f"at most {KEPT_MIB_MAX:g} more"),
        (
            "slope over the last two thirds, MiB an hour",
            f"{slope:+.1f}",
            f"at most {SLOPE_MIB_PER_HOUR_MAX:g}",
        ),
        ("each time when all have left, MiB", ", ".join(f"{mib:.1f}" for _, mib in kept), ""),
        *([("more each time, MiB an hour", *more_kept(kept))] if len(kept) > 1 else []),
        (
            "channels, rows, consumers in memory then",
            f"{left.channels}, {left.rows}, {left.subscribers}",
            "0",
        ),
        (
            "tasks, timers: before, then",
            f"{sum(census.tasks.values())}, {census.timers}; {sum(left.tasks.values())}, {left.timers}",
            "",
        ),
        (
            "given out by Python's allocator, blocks; by malloc, MiB: before, then",
            f"{census.blocks:,}, {census.malloc_mib}; {left.blocks:,}, {left.malloc_mib}",
            "",
        ),
        ("tasks that were not there before", more_tasks(census, left) or "none", "none"),
        ("/livez p50, p99, max, ms", f"{livez[49]:.1f}, {livez[98]:.1f}, {max(watch.livez_ms):.1f}", ""),
        (
            "longest step of the loop, ms of CPU",
            f"{steps[0].cpu_ms:.1f} ({steps[0].what})" if steps else f"under {probed.NOTED_MS:g}",
            f"at most {STEP_MS_MAX:g}",
        ),
    ]
    if rest_s:
        at_rest = feed.change_us(began_s + rest_s / 3, began_s + rest_s)
        moving = feed.change_us(began_s + rest_s + FEED_S, ended_s)
        rows.append(("CPU us a change at rest", f"{at_rest:.0f}", ""))
        rows.append(("while they come and go", f"{moving:.0f}", f"at most {CHANGE_RATIO_MAX:g} times that"))
    wrongs = [wrong for crowd in crowds for wrong in crowd.wrongs][:10]
    if left.channels or left.rows or left.subscribers:
        wrongs.append(f"when all have left, there are still {left}")
    return table(("what", "measured", "promised"), rows), wrongs


def more_kept(kept: Sequence[tuple[float, float]]) -> tuple[str, str]:
    """How fast what is left grows, and what is promised."""
    slope = statistics.linear_regression(*zip(*kept, strict=True)).slope * 3600
    return f"{slope:+.1f}", f"at most {SLOPE_MIB_PER_HOUR_MAX:g}"


def more_tasks(before: probed.Census, then: probed.Census) -> str:
    """Which tasks there are more of; requests that are being answered come and go."""
    more = Counter(then.tasks) - Counter(before.tasks)
    del more[REQUEST]
    return ", ".join(f"{count} {name}" for name, count in sorted(more.items()))


def count(pid: int, file: Path) -> probed.Census:
    """What is in the server's memory now."""
    now_s = time.monotonic()
    os.kill(pid, signal.SIGUSR2)
    return probed.counted(file, now_s)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--changes-per-s", type=float, default=200)
    parser.add_argument("--consumers", type=int)
    parser.add_argument("--selections", type=int)
    parser.add_argument("--evses", type=int, default=10_000)
    parser.add_argument("--crowd", action="store_true", help="10,000 consumers with 1,000 selections")
    parser.add_argument("--quiet-s", type=float, default=0.0, help="wait at most so long for a quiet machine")
    options = parser.parse_args()
    conditions = Conditions(options.quiet_s)
    usual = (
        Load(30, 200, 1_000, 1_000, 144.0, 0.2, 1)
        if options.crowd
        else Load(15, 200, 60, 30, STAY_S, 0.0, PARTS)
    )
    load = usual._replace(
        minutes=options.minutes or usual.minutes,
        changes_per_s=options.changes_per_s,
        consumers=options.consumers or usual.consumers,
        selections=options.selections or usual.selections,
    )
    files_for(load.consumers)
    with suppress(OSError):
        os.sched_setaffinity(0, {LOAD_CORE})
    with tempfile.TemporaryDirectory(prefix="ladestrom-soak-") as name:
        directory = Path(name)
        file = directory / "steps"
        # All come with one key. A history that is full soon does not look like growth.
        most = str(4 * load.selections)
        settings = {
            "stream.selections_max": most,
            "stream.selections_share_max": most,
            "page.history_changes_max": str(HISTORY_CHANGES),
        }
        with Ladestrom.started(
            directory,
            stations=options.evses // EVSES_PER_STATION,
            evses=EVSES_PER_STATION,
            settings=settings,
            program=probed.command(file),
        ) as own:
            made, wrongs = soak(own, load, file)
    notes = (
        f"{load.minutes:g} minutes, {load.changes_per_s:g} changes/s, {options.evses:,} EVSEs, "
        f"{load.consumers:,} consumers at a time, {load.selections:,} selections"
    )
    return told(conditions, notes, made, wrongs)


if __name__ == "__main__":
    sys.exit(main())
