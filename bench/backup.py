"""Is a backup that is made under writes whole? Made, restored and served elsewhere, again and again.

    python bench/backup.py --rounds 100 [--seed N] [--evses 2000] [--lanes 4] [--batch 50] [--each 20]

While operators report and stations come into the registry one after the other, `ladestrom backup` copies the
data directory, and `ladestrom restore` makes another one of the copy. Of each copy these have to hold:

- SQLite finds both files whole (the command looks itself, and so does the program, once more);
- of the deliveries that have a receipt, those up to its position are in it, and no others: every
  EVSE is as an independent fold of just those has it;
- its registry is one that was: all stations up to some write, and none after; each EVSE of its board has a
  station in it;
- the epoch is one that was never there before.

Every so many rounds, and in the last one, a server serves the copy: REST has to show the same fold, no EVSE may
have become unknown, a consumer with an old position gets a snapshot under the new epoch, and the next
change has the next number. The same seed makes the same observations; what a backup hits differs from run to run.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import apsw
import msgspec
from bench.crash import CALIBRATED_AT, EVSES_PER_STATION, Lane, Ledger, wire
from bench.fold import Fold, Places, Seen, calibration, differences, places, written_alike
from tests.e2e.consuming import Consumer, rest
from tests.e2e.running import REGISTER_PREFIX, Running, irve_register, made_up_evses

from ladestrom.backends import log_rows
from ladestrom.backends.backup import MANIFEST_FILE, Manifest
from ladestrom.backends.sql import open_store
from ladestrom.client.reports import Observation, Reporter
from ladestrom.model import Connector, Evse, Outlet, Position, Station, Status
from ladestrom.ports.log import BoardRow
from ladestrom.ports.registry import StationDraft

SETTINGS: Final = {"log.checkpoint_s": "1", "log.checkpoint_entries": "1000", "registry.poll_ms": "100"}
"""As often as can be, so that backups hit checkpoints."""
NEWCOMER_PREFIX: Final = f"{REGISTER_PREFIX}N"
REGISTER: Final = "nobil"
REPORT_PAUSE_S: Final = 0.02
"""Between two deliveries of one lane."""
WRITE_PAUSE_S: Final = 0.02
"""Between two writes of the registry."""
WRONGS_MAX: Final = 10


class Result(NamedTuple):
    """What a campaign found."""

    seed: int
    rounds: int
    served: int
    acknowledged: int
    """Observations."""
    registry_writes: int
    backup_s: tuple[float, ...]
    seconds: float
    wrongs: tuple[str, ...]
    """Empty where every copy was whole."""


class Receipts:
    """Every delivery that has its receipt, with the position after it."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        """By who reported."""
        self._taken: list[tuple[int, Sequence[Seen]]] = []

    def add(self, lane: str, batch: Sequence[Seen], position: str) -> None:
        self.counts[lane] += 1
        self._taken.append((Position.parse(position).seq, batch))

    def fold(self, seq: int) -> Fold:
        """What all deliveries up to a position make; of one EVSE they are in the order in which they came."""
        fold = Fold()
        for position, batch in self._taken:
            if position <= seq:
                for seen in batch:
                    fold.observe(seen)
        return fold


class Operator(Lane):
    """Reports its own EVSEs, and keeps the receipts."""

    def __init__(
        self, evses: Sequence[str], batch: int, reporter: Reporter, receipts: Receipts, seed: str
    ) -> None:
        super().__init__(evses, batch, reporter, Ledger(), seed)
        self._name = seed
        self._receipts = receipts

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            batch = self._next()
            receipt = await self._reporter.report([wire(seen) for seen in batch])
            self._receipts.add(self._name, batch, receipt.position)
            await asyncio.sleep(REPORT_PAUSE_S)


class Registry:
    """Stations that come one after the other, written beside the server as the command line does."""

    def __init__(self, data: Path) -> None:
        self._path = data / "store.db"
        self.writes = 0

    async def run(self, stop: asyncio.Event) -> None:
        store = await open_store(self._path)
        try:
            while not stop.is_set():
                await store.import_stations(REGISTER, [newcomer(self.writes)], 1, complete=False)
                self.writes += 1
                await asyncio.sleep(WRITE_PAUSE_S)
        finally:
            await store.close()


def newcomer(number: int) -> StationDraft:
    """A station that comes while backups are made."""
    evse_id = f"{NEWCOMER_PREFIX}{number:05d}"
    station = Station(
        uuid="",
        name=f"Newcomer {number}",
        country="FRA",
        latitude=47.0,
        longitude=2.0,
        evses=(Evse(evse_id, "", evse_id=evse_id, party=REGISTER_PREFIX),),
        outlets=(Outlet(0, Connector("IEC_62196_T2_COMBO", 150.0)),),
        native_id=evse_id,
    )
    return StationDraft(station)


class Campaign:
    """One server that is written all the time, and copies of what it has."""

    def __init__(self, directory: Path, *, seed: int, evses: int, lanes: int, batch: int) -> None:
        self._directory = directory
        self._seed = seed
        self._random = random.Random(seed)
        self._lanes, self._batch = lanes, batch
        self._stations = max(1, evses // EVSES_PER_STATION)
        self._evses = made_up_evses(self._stations, EVSES_PER_STATION)
        self._calibrated = calibration(self._evses, CALIBRATED_AT)
        self.running = Running(directory, SETTINGS)
        self._receipts = Receipts()
        self._registry = Registry(self.running.data)
        self._epochs: set[str] = set()
        self._served = 0
        self._backup_s: list[float] = []
        self.wrongs: list[str] = []
        self._keys: tuple[str, str] = ("", "")

    def set_up(self) -> None:
        """Registry, operator and keys, and the start."""
        register = self._directory / "register.jsonl"
        irve_register(register, stations=self._stations, evses=EVSES_PER_STATION)
        self.running.import_register("irve", register)
        self.running.operator("campaign", prefixes=[REGISTER_PREFIX])
        self._keys = (self.running.key("report", operator="campaign"), self.running.key("stream"))
        self.running.start()

    async def run(self, rounds: int, each: int) -> Result:
        """Makes so many copies; every `each`th is served."""
        began_s = time.monotonic()
        stop = asyncio.Event()
        reporter = Reporter(self.running.url, self._keys[0], connections_max=self._lanes)
        async with reporter:
            where = await self._calibrate(reporter)
            async with asyncio.TaskGroup() as group:
                for number in range(self._lanes):
                    own = self._evses[number :: self._lanes]
                    lane = Operator(own, self._batch, reporter, self._receipts, f"{self._seed}/{number}")
                    group.create_task(lane.run(stop))
                group.create_task(self._registry.run(stop))
                try:
                    for number in range(1, rounds + 1):
                        await asyncio.sleep(self._random.uniform(0, 0.3))
                        await self._round(number, where, serve=number == rounds or number % each == 0)
                finally:
                    stop.set()
            acknowledged = reporter.tally.sent
        return Result(
            seed=self._seed,
            rounds=rounds,
            served=self._served,
            acknowledged=acknowledged,
            registry_writes=self._registry.writes,
            backup_s=tuple(self._backup_s),
            seconds=time.monotonic() - began_s,
            wrongs=tuple(self.wrongs),
        )

    async def _calibrate(self, reporter: Reporter) -> Places:
        for start in range(0, len(self._calibrated), 1_000):
            batch = self._calibrated[start : start + 1_000]
            receipt = await reporter.report([wire(seen) for seen in batch])
            self._receipts.add("", batch, receipt.position)
        self._receipts.counts.clear()
        board, position = await rest(self.running.url, self._keys[1], self._keys[0])
        self._epochs.add(Position.parse(position).epoch)
        return places(self._calibrated, board)

    async def _round(self, number: int, where: Places, *, serve: bool) -> None:
        copy = self._directory / f"copy-{number}"
        # `Running` has its data in the folder `data` of its directory.
        place = self._directory / f"place-{number}"
        began_s = time.monotonic()
        await asyncio.to_thread(self.running.run, "backup", str(copy))
        self._backup_s.append(time.monotonic() - began_s)
        restore = ("restore", str(copy), "--data", str(place / "data"))
        await asyncio.to_thread(self.running.run, *restore, data=False)
        manifest = msgspec.json.decode((copy / MANIFEST_FILE).read_bytes(), type=Manifest)
        # A receipt may be on its way for what is in the backup: what came up to its position has arrived soon.
        await self._receipts_up_to(manifest.log.last)
        fold = self._receipts.fold(manifest.log.last)
        wrongs = await asyncio.to_thread(self._look, place / "data", manifest, fold)
        if serve:
            self._served += 1
            wrongs += await self._serve(place, manifest, fold, where)
        self.wrongs += [f"round {number}: {wrong}" for wrong in wrongs[:WRONGS_MAX]]
        for folder in (copy, place):
            shutil.rmtree(folder)

    async def _receipts_up_to(self, seq: int) -> None:
        """Returns when each lane has a receipt from after this position: those before it were read."""
        _, position = await rest(self.running.url, self._keys[1], self._keys[0])
        if Position.parse(position).seq < seq:
            self.wrongs.append(f"the server is at {position}, and its backup at {seq}")
        wanted = {lane: count + 2 for lane, count in self._receipts.counts.items()}
        while any(self._receipts.counts[lane] < count for lane, count in wanted.items()):
            await asyncio.sleep(0.01)

    def _look(self, data: Path, manifest: Manifest, fold: Fold) -> list[str]:
        """Reads the restored files, without the program that made them where that can be."""
        wrongs: list[str] = []
        log, store = (apsw.Connection(str(data / name)) for name in ("log.db", "store.db"))
        for connection in (log, store):
            found = connection.execute("PRAGMA integrity_check").fetchall()
            if found != [("ok",)]:
                wrongs.append(f"{connection.filename}: {found}")
        epoch = log_rows.meta(log).epoch
        if epoch in self._epochs:
            wrongs.append(f"the epoch {epoch} was there before")
        self._epochs.add(epoch)
        if log_rows.extent(log)[1] != manifest.log.last:
            wrongs.append(f"the log ends at {log_rows.extent(log)}, not at {manifest.log.last}")
        recovered, _ = log_rows.recovered(log, manifest.log.checkpoint, manifest.log.last)
        board = recovered.rows
        keys = {str(key) for (key,) in store.execute("SELECT key FROM evses")}
        log.close()
        store.close()
        return wrongs + self._stations_wrong(board, keys) + statuses_wrong(board, fold)

    def _stations_wrong(self, board: Sequence[BoardRow], keys: set[str]) -> list[str]:
        on_board = {row.change.evse for row in board}
        newcomers = sorted(key for key in keys if key.startswith(NEWCOMER_PREFIX))
        wrongs = [f"{key} is on the board, and not in the registry" for key in sorted(on_board - keys)]
        expected = [f"{NEWCOMER_PREFIX}{number:05d}" for number in range(len(newcomers))]
        if newcomers != expected:
            wrongs.append("the registry has a station, and not all that came before it")
        missing = {written_alike(evse) for evse in self._evses} - on_board
        wrongs += [f"{key} is not on the board" for key in sorted(missing)]
        return wrongs

    async def _serve(self, place: Path, manifest: Manifest, fold: Fold, where: Places) -> list[str]:
        restored = Running(place, SETTINGS)
        try:
            await asyncio.to_thread(restored.start)
            board, position = await rest(restored.url, self._keys[1], self._keys[0])
            wrongs = differences(fold, where, board)
            wrongs += [
                f"{evse} has become unknown"
                for evse, connectors in where.items()
                for uuid, number in connectors
                if board[uuid]["connectors"][number]["status"] == -1
                and fold.known[evse].status not in {"UNKNOWN", "OUTOFORDER", "INOPERATIVE"}
            ]
            at = Position.parse(position)
            if at.epoch == manifest.log.epoch or at.seq < manifest.log.last:
                wrongs.append(f"{position} after a backup at {manifest.position}")
            old = Position(manifest.log.epoch, manifest.log.last)
            async with Consumer(restored.url, self._keys[1], since=old) as consumer:
                await consumer.caught_up(position)
                if consumer.snapshots != 1 or consumer.board != board:
                    wrongs.append(f"who came with {old} got {consumer.snapshots} snapshots, not the board")
            async with Reporter(restored.url, self._keys[0]) as reporter:
                now_at = time.time_ns() // 1_000_000
                receipt = await reporter.report([Observation(self._evses[0], Status.BLOCKED, now_at)])
                if Position.parse(receipt.position) != Position(at.epoch, at.seq + receipt.accepted):
                    wrongs.append(f"the next change after {position} is at {receipt.position}")
        finally:
            await asyncio.to_thread(restored.close)
        return wrongs


def statuses_wrong(board: Sequence[BoardRow], fold: Fold) -> list[str]:
    """What of a recovered board is not as the fold has it."""
    wrongs = []
    found = {row.change.evse: row for row in board}
    for evse, known in fold.known.items():
        row = found.get(evse)
        if row is None:
            wrongs.append(f"{evse} is not on the board, and was {known}")
            continue
        change = row.change
        shown = (change.status.value, change.error, change.changed_at)
        if shown != (known.status, bool(known.error), known.changed_at):
            wrongs.append(f"{evse} is {shown}, and was {known}")
    return wrongs


def campaign(
    directory: Path,
    rounds: int,
    *,
    seed: int,
    each: int = 20,
    evses: int = 2_000,
    lanes: int = 4,
    batch: int = 50,
) -> Result:
    """Runs a whole campaign in a directory of its own."""
    made = Campaign(directory, seed=seed, evses=evses, lanes=lanes, batch=batch)
    with made.running:
        made.set_up()
        return asyncio.run(made.run(rounds, each))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--each", type=int, default=20, help="every so many copies are served")
    parser.add_argument("--evses", type=int, default=2_000)
    parser.add_argument("--lanes", type=int, default=4)
    parser.add_argument("--batch", type=int, default=50)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ladestrom-backup-") as directory:
        result = campaign(
            Path(directory),
            options.rounds,
            seed=options.seed,
            each=options.each,
            evses=options.evses,
            lanes=options.lanes,
            batch=options.batch,
        )
    took = sorted(result.backup_s)
    print(
        f"backup: {result.rounds} copies under writes, {result.served} of them served, {len(result.wrongs)} wrong; "
        f"{result.acknowledged:,} observations, {result.registry_writes:,} registry writes, backup p50 / max "
        f"{took[len(took) // 2]:.2f} / {took[-1]:.2f} s, {result.seconds:.0f} s, seed {result.seed}"
    )
    for wrong in result.wrongs[:50]:
        print(f"WRONG {wrong}")
    return 1 if result.wrongs else 0


if __name__ == "__main__":
    sys.exit(main())
