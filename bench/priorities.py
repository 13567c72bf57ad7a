"""How long deliveries are under way while stations are imported, on a loop that other programs do not slow down.

    python bench/priorities.py [--stations 30000] [--consumers 1000] [--seconds 6] [--rounds 2]

Writer, reader and reconciliation are in one loop, whose clock is its thread's processor time; where nothing is due, it
jumps. So the figures are the same on a busy machine, and two commits can be compared there. What is outside is made
up: a write to a consumer takes `WRITE_S`, an append `FSYNC_S`, a request `REQUEST_S`, reading rows of the store
`FETCH_S`. There are no threads, sockets or files: `importing.py` measures those, on an idle machine.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import random
import selectors
import sys
import time
from array import array
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

import msgspec

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.tables import Conditions, table, told
from tests.building import NOW, make_operator, make_report, make_station
from tests.simulation import loop as simulated

from ladestrom.app import COLLECT_AFTER
from ladestrom.backends import registry
from ladestrom.backends.encoded import encode
from ladestrom.backends.memory import MemoryLog
from ladestrom.core.board import Board
from ladestrom.core.directory import Directory
from ladestrom.core.records import sums
from ladestrom.core.selection import Selection
from ladestrom.core.view import View
from ladestrom.formats.dialect import Message
from ladestrom.model import AnyChange, Entry, Millis, Station, Status
from ladestrom.outputs.stream_v2.encoder import Attribution, Limits, V2Dialect
from ladestrom.ports.registry import RegistryDelta, RegistrySums
from ladestrom.ports.stores import Store
from ladestrom.reader.broadcast import Broadcast
from ladestrom.reader.subscriptions import Subscription
from ladestrom.writer.hub import Hub, HubLimits
from ladestrom.writer.reconciliation import Readings, Reconciliation

WRITE_S: Final = 6e-6
FSYNC_S: Final = 1.5e-3
ENTRY_S: Final = 6e-6
"""Of an append, for each entry."""
REQUEST_S: Final = 6e-4
FETCH_S: Final = 6e-3
FETCHED_ROWS: Final = 1_000
EVERY_S: Final = 0.01
REPORTS: Final = 10
"""Of one delivery; one comes every `EVERY_S`."""
STATIONS: Final = 2_500
EVSES: Final = 4
SEED: Final = 1
LIMITS: Final = Limits(
    history_seq=0,
    message_bytes_max=2**20,
    inbound_bytes_max=1,
    inbound_messages_per_minute_max=1,
    heartbeat_s=20,
)
FRANCE: Final = Subscription(
    Selection(country=frozenset({"FRA"})), raw=False, dialect="v2", framing="text", batch_ms=0
)


class Jumps(simulated.Jumps):
    """Waits by moving the clock, and for however many turns: the clock goes on by itself, too."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("nothing is under way")
        self.now_s += max(0.0, timeout)
        return []


class Loop(asyncio.SelectorEventLoop):
    """One whose clock is its thread's processor time."""

    def __init__(self) -> None:
        self._jumps = Jumps()
        super().__init__(self._jumps)

    def time(self) -> float:
        return time.thread_time() + self._jumps.now_s

    def spend(self, seconds: float) -> None:
        """What is outside takes so long."""
        self._jumps.now_s += seconds


class SlowLog(MemoryLog):
    """One that takes its time."""

    async def append(self, changes: Sequence[AnyChange]) -> Sequence[Entry]:
        encode(changes)
        await asyncio.sleep(FSYNC_S + ENTRY_S * len(changes))
        return await super().append(changes)


class Written:
    """A store in which these stations were written."""

    def __init__(self) -> None:
        self.rows: list[tuple[Any, ...]] = []

    def put(self, stations: Sequence[Station]) -> None:
        names = [column.name for column in registry._STATION_COLUMNS]
        rows = (registry._columns(station) for station in stations)
        self.rows = [tuple(row[name] for name in names) for row in rows]

    async def registry_since(self, revision: int) -> RegistryDelta:
        found: list[Station] = []
        for first in range(0, len(self.rows), FETCHED_ROWS):
            await asyncio.sleep(FETCH_S)
            some = cast("Any", self.rows[first : first + FETCHED_ROWS])
            await registry._read(some, registry._station, found)
        return RegistryDelta(revision + 1, tuple(found), ())

    async def registry_sums(self) -> RegistrySums:
        return sums(map(registry._station, cast("Any", self.rows)))


class Sink:
    """A consumer, which only takes time."""

    paused = False

    def __init__(self, loop: Loop, heard: Heard) -> None:
        self._loop = loop
        self._heard = heard

    def write(self, data: bytes) -> None:
        self._loop.spend(WRITE_S)
        self._heard.at_s.append(self._loop.time())
        self._heard.data.append(data)

    def overrun(self, _: object) -> None:
        raise RuntimeError("a consumer was cut")

    interrupted = overrun


class Heard(NamedTuple):
    """What consumers were told, in order."""

    at_s: array[float]
    data: list[bytes]


class Round(NamedTuple):
    """Of one round, in milliseconds from the request on."""

    frames: list[float]
    receipts: list[float]
    import_s: float

    def row(self, name: str) -> list[str]:
        frames, receipts = sorted(self.frames), sorted(self.receipts)
        return [
            name,
            f"{frames[len(frames) // 2]:.1f} / {frames[len(frames) * 99 // 100]:.1f}",
            f"{frames[-1]:.1f}",
            f"{receipts[len(receipts) // 2]:.1f} / {receipts[len(receipts) * 99 // 100]:.1f}",
            f"{self.import_s:.1f}" if self.import_s else "",
        ]


HEAD: Final = (
    "round",
    "to the frame: p50 / p99 ms",
    "longest",
    "to the receipt: p50 / p99 ms",
    "the import took s",
)


class Working:
    """A writer and a reader at work, and consumers."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._log, self._store = SlowLog("e"), Written()
        self._directory, self._view = Directory(), View(Directory(), "e")
        self._heard = Heard(array("d"), [])
        limits = HubLimits(start_grace_s=0)
        self._hub = Hub(self._log, Board(), self._directory, self.now, limits, steady=self.now)
        dialects, framings = {"v2": V2Dialect(LIMITS, Attribution())}, {"text": _payload}
        self._broadcast = Broadcast(
            self._log, self._view, dialects, framings, clock_s=loop.time, clock=self.now
        )
        self._broadcast.writer, self._hub.listener = self._hub, self._broadcast
        self._operator = make_operator(parties=(), all=True)
        self._hub.set_operators([self._operator])
        readings = Readings(wanted=False, stale_after_ms=1)
        store = cast("Store", self._store)
        self._reconciliation = Reconciliation(store, self._hub, lambda: readings, self.now)
        self._reconciliation.follow({self._operator.name: self._operator})
        self._keys: list[str] = []
        self._sent: dict[int, tuple[float, float]] = {}
        """By the last sequence of each delivery: when it was sent, and when its receipt was there."""
        self._import = 0.0, float("inf")

    def now(self) -> Millis:
        return NOW + int(self._loop.time() * 1000)

    async def begin(self, consumers: int) -> list[asyncio.Task[None]]:
        """With a register, all of it told, and consumers; what works from now on."""
        works = [asyncio.create_task(each) for each in (self._hub.run(), self._broadcast.run())]
        await self._take([make_station(f"FRA_{number:05d}", evses=EVSES) for number in range(STATIONS)])
        for _ in range(consumers):
            self._broadcast.join(Sink(self._loop, self._heard), FRANCE, since=None, snapshot=False)
        self._keys = [evse.key for evse in self._directory.evses()]
        random.Random(SEED).shuffle(self._keys)
        return works

    async def _take(self, stations: Sequence[Station]) -> None:
        self._store.put(stations)
        self._reconciliation.revision = (await self._reconciliation.take()).revision
        while self._view.seq < self._log.last.seq:
            await asyncio.sleep(EVERY_S)

    async def bring(self, stations: int) -> None:
        """An import."""
        made = [make_station(f"DEU_{number:06d}", evses=1) for number in range(10_000, 10_000 + stations)]
        began_s = self._loop.time()
        await self._take(made)
        self._import = began_s, self._loop.time()

    async def deliver(self, number: int) -> None:
        """A delivery."""
        began_s = self._loop.time()
        self._loop.spend(REQUEST_S)
        reports = []
        for place in range(number * REPORTS, (number + 1) * REPORTS):
            lap, at = divmod(place, len(self._keys))
            word = (Status.AVAILABLE, Status.CHARGING)[lap % 2]
            reports.append(make_report(self._keys[at], word, self.now()))
        receipt = await self._hub.submit(self._operator, reports)
        self._sent[receipt.position.seq] = began_s, self._loop.time()

    def told(self) -> Round:
        """What became of the deliveries, those during the import where there was one."""
        from_s, until_s = self._import
        sent = {seq: times for seq, times in self._sent.items() if from_s <= times[0] <= until_s}
        receipts = [(answered_s - began_s) * 1e3 for began_s, answered_s in sent.values()]
        import_s = until_s - from_s if from_s else 0.0
        return Round(_frames(self._heard, sent), receipts, import_s)


def _payload(message: Message) -> bytes:
    return message.payload


async def one_round(loop: Loop, options: argparse.Namespace, *, importing: bool) -> Round:
    working = Working(loop)
    works = await working.begin(options.consumers)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
    start_s, number = loop.time(), 0
    brought = asyncio.create_task(working.bring(options.stations)) if importing else None
    deliveries: list[asyncio.Task[None]] = []
    while loop.time() < start_s + options.seconds or not (brought is None or brought.done()):
        await asyncio.sleep(max(0.0, start_s + number * EVERY_S - loop.time()))
        deliveries.append(asyncio.create_task(working.deliver(number)))
        number += 1
    await asyncio.gather(*deliveries)
    await asyncio.sleep(1)
    for work in works:
        work.cancel()
    await asyncio.gather(*works, return_exceptions=True)
    gc.unfreeze()
    return working.told()


def _frames(heard: Heard, sent: Mapping[int, tuple[float, float]]) -> list[float]:
    order, found, read = sorted(sent), [], dict[int, Sequence[int]]()
    for at_s, data in zip(*heard, strict=True):
        ends = read.get(id(data))
        if ends is None:
            message = msgspec.json.decode(data)
            ends = ()
            if message["type"] == "changes":
                ends = order[bisect_right(order, message["prev"]) : bisect_right(order, message["seq"])]
            read[id(data)] = ends
        found += [(at_s - sent[seq][0]) * 1e3 for seq in ends]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--stations", type=int, default=30_000, help="imported, with one EVSE each")
    parser.add_argument("--consumers", type=int, default=1_000)
    parser.add_argument("--seconds", type=float, default=6.0, help="of reports, at least")
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    conditions = Conditions()
    rows = []
    for _ in range(options.rounds):
        for importing in (False, True):
            loop = Loop()
            made = loop.run_until_complete(one_round(loop, options, importing=importing))
            loop.close()
            rows.append(made.row("an import" if importing else "at rest"))
    notes = (
        f"{REPORTS / EVERY_S:g} changes/s in deliveries of {REPORTS} to {options.consumers:,} consumers of"
        f" version 2, {options.stations:,} stations each import; promised: p99 at most twice that at rest"
    )
    return told(conditions, notes, table(HEAD, rows), [])


if __name__ == "__main__":
    sys.exit(main())
