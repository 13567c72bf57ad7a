"""Does the log lose anything when the power goes? Cuts at random moments, on a disk that forgets.

    python bench/powercut.py --crashes 1000 [--seed N] [--durability full|relaxed]

A disk under SQLite keeps of each file what was synced, and of what was not any part or nothing, torn at
sectors. A log on it is opened, written, checkpointed, trimmed, closed and opened again until the power goes
in the middle of some operation, often enough while it opens. Then these have to hold of what the disk kept:

- SQLite finds the file whole, and the log opens;
- every acknowledged entry is there, under its number; with durability relaxed either that, or the epoch is
  a new one;
- of the append that was under way there is all or nothing;
- the recovered board and the records of stations are the fold of the entries, with all that filters saw of stations
  before, and what left them, as long as the log has it.

The log goes on from there and is cut again. The same seed makes the same run.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Final, NamedTuple
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import apsw
from tests.building import NOW, TIMES, make_change, make_evse, make_station, make_taking
from tests.powercut import Disk

from ladestrom.backends import sqlite
from ladestrom.backends.sqlite import Durability, SqliteLog
from ladestrom.core.board import Board, Round
from ladestrom.core.records import Records, changed, entry_of, fold, without
from ladestrom.errors import LogFailure
from ladestrom.model import AnyChange, Cause, Entry, Evse, StationChanged, Status, StatusChanged
from ladestrom.ports.log import BoardRow, Recovered, StationRow, Times
from ladestrom.writer.hub import OURS

LIVES_MAX: Final = 12
"""Power cuts of one log, before another begins."""
OPERATIONS_MAX: Final = (15, 250, 250)
"""Writes and syncs of one life until the power goes; a log opens with some ten."""
EVSES: Final = 40
STATIONS: Final = 12
OPERATORS: Final = ("Alfa", "Beta", "Gamma")
RECORDS_SHARE: Final = 0.2
"""Of the changes."""
CHANGES_MAX: Final = 30
"""Changes of one append."""
PAGES_PER_CHECKPOINT: Final = (2, 8, 1_000)
"""How often SQLite brings its write-ahead log home; the last is its default."""
LATER_MS: Final = 10**15
STATUSES: Final = tuple(Status)

Fault = Callable[[SqliteLog], None]
"""Done to each log that is opened, to see that a campaign finds what is wrong with it."""


class Found:
    """What a campaign found."""

    def __init__(self, seed: int, durability: Durability) -> None:
        self.seed = seed
        self.durability = durability
        self.crashes = 0
        self.while_opening = 0
        self.acknowledged = 0
        """Entries, of all logs together."""
        self.records = 0
        """Those of them that are records of stations."""
        self.survivors = 0
        """Appends that were under way and are there all the same."""
        self.renewed = 0
        """Cuts after which the epoch was a new one."""
        self.wrongs: list[str] = []
        self.seconds = 0.0


class Looked(NamedTuple):
    """What is left of a log."""

    epoch: str
    first: int
    entries: Sequence[Entry]
    found: Recovered


class Fold:
    """What entries add up to."""

    def __init__(self, before: Fold | None = None) -> None:
        self.board: dict[str, BoardRow] = {} if before is None else dict(before.board)
        self.stations: dict[str, StationRow] = {} if before is None else dict(before.stations)
        self.seq: int = 0 if before is None else before.seq
        self._times = TIMES

    def take(self, entry: Entry) -> None:
        """Takes the next one."""
        self._times = fold(self.board, self.stations, entry, self._times)
        self.seq = entry.seq


def _moved(evse: Evse, there: Evse, at: int) -> list[AnyChange]:
    """An EVSE goes from its station to another one."""
    return [
        make_change(evse, Status.REMOVED, at, cause=Cause.WITHDRAWN),
        make_change(there, Status.AVAILABLE, at, cause=Cause.REGISTERED),
    ]


def _needed(row: StationRow, first: int) -> tuple[object, ...]:
    """What has to be known of a station by a log whose oldest entry is this."""
    kept = without(row, first - 1)
    lost_seq = max(kept.lost_seq, first - 1)
    return (
        row.seq,
        row.station,
        kept.former,
        sorted((each.seq, each.change.evse) for each in kept.left),
        lost_seq,
    )


class Life:
    """One log through all its power cuts: what was acknowledged, and what was under way."""

    def __init__(self, found: Found, random: Random, folder: Path, fault: Fault) -> None:
        self._found = found
        self._random = random
        self._folder = folder
        self._fault = fault
        self._number = 0
        self._files = folder / "0"
        self._files.mkdir()
        self._log: SqliteLog | None = None
        self._epoch: str | None = None
        self._acknowledged: list[AnyChange] = []
        self._under_way: list[AnyChange] = []
        self._board = Board()
        self._records = Records()
        self._kept = Fold()
        self._changes = 0

    async def live(self) -> bool:
        """Writes until the power goes, and looks at what is left; whether that can be gone on with."""
        disk = Disk(self._random)
        disk.holds(self._files)
        disk.cut_after = self._random.randint(0, self._random.choice(OPERATIONS_MAX))
        with disk.mounted():
            await self._write_until_cut(disk)
        self._found.crashes += 1
        self._number += 1
        left = self._folder / str(self._number)
        left.mkdir()
        disk.leave(left)
        shutil.rmtree(self._files)
        self._files = left
        with self._machine():
            looked = await self._look()
        if looked is None:
            return False
        self._judge(looked)
        return True

    def _machine(self) -> contextlib.AbstractContextManager[object]:
        """The machine between two power cuts."""
        return patch.object(sqlite, "_boot_id", lambda: f"start {self._number}")

    async def _write_until_cut(self, disk: Disk) -> None:
        with self._machine():
            try:
                while True:
                    await self._step(self._log or await self._open())
            except LogFailure:
                if not disk.off:
                    raise
            disk.unplug()
            self._found.while_opening += self._log is None
            if self._log is not None:
                await self._log.close()
                self._log = None

    async def _open(self) -> SqliteLog:
        path = self._files / "log.db"
        log = self._log = await SqliteLog.open(path, durability=self._found.durability, retention_mib=0)
        log._write_connection.wal_autocheckpoint(self._random.choice(PAGES_PER_CHECKPOINT))
        self._fault(log)
        self._epoch = log.last.epoch
        return log

    async def _step(self, log: SqliteLog) -> None:
        match self._random.randrange(14):
            case 0:
                stations = list(self._records.rows(self._records.take_touched(), log.first))
                rows = list(self._board.rows(self._board.take_touched()))
                await log.checkpoint(rows, self._board.seq, Times(NOW, NOW), stations)
            case 1:
                await log.trim()
            case 2:
                await log.probe()
            case 3:
                self._log = None
                await log.close()
            case _:
                self._under_way = self._made()
                self._take(await log.append(self._under_way))
                self._acknowledged += self._under_way
                self._found.acknowledged += len(self._under_way)
                self._under_way = []

    def _take(self, entries: Sequence[Entry]) -> None:
        """As the hub does with what is durable."""
        self._records.follow_moves(entries, self._board.cells)
        round_ = Round(self._board)
        taking = make_taking(NOW, OURS, self._board.arrive())
        round_.add((entry.change for entry in entries if isinstance(entry, StatusChanged)), taking)
        self._board.commit(round_, entries)
        for entry in entries:
            self._kept.take(entry)
            if isinstance(entry, StationChanged):
                self._found.records += 1
                self._records.take(entry)

    def _made(self) -> list[AnyChange]:
        made: list[AnyChange] = []
        now = Fold(self._kept)
        for _ in range(self._random.randint(1, CHANGES_MAX)):
            self._changes += 1
            at = NOW + self._changes
            here = self._random.randrange(EVSES)
            key, uuid = make_evse(f"NO*ABC*E{here}").key, f"NOR_{self._random.randrange(STATIONS):05}"
            row, station = now.board.get(key), now.stations.get(uuid)
            evse = make_evse(f"NO*ABC*E{here}", uuid if row is None else row.change.station)
            changes: list[AnyChange] = [make_change(evse, self._random.choice(STATUSES), at)]
            if self._random.random() < RECORDS_SHARE:
                record = make_station(uuid, [evse], operator=self._random.choice(OPERATORS), name=f"at {at}")
                changes = [changed(None if station is None else station.station, record, at)]
                if row is not None and uuid != row.change.station in self._kept.stations:
                    changes += _moved(evse, make_evse(f"NO*ABC*E{here}", uuid), at)
            for change in changes:
                now.take(entry_of(now.seq + 1, change))
            made += changes
        return made

    async def _look(self) -> Looked | None:
        """Opens a copy, as looking changes it."""
        copy = self._folder / "copy"
        shutil.copytree(self._files, copy)
        try:
            log = await SqliteLog.open(copy / "log.db", durability=self._found.durability)
            try:
                whole = log._write_connection.execute("PRAGMA integrity_check").fetchall()
                if whole != [("ok",)]:
                    self._wrong(f"SQLite finds it damaged: {whole[:3]}")
                entries = await log.read(0, LATER_MS)
                return Looked(log.last.epoch, log.first, entries, await log.recover())
            finally:
                await log.close()
        except (LogFailure, apsw.Error) as error:
            self._wrong(f"it cannot be read: {error}")
            return None
        finally:
            shutil.rmtree(copy)

    def _judge(self, looked: Looked) -> None:
        """Compares what is left with what was acknowledged, and goes on from what is left."""
        last = looked.first - 1 + len(looked.entries)
        told = [*self._acknowledged, *self._under_way]
        renewed = looked.epoch != self._epoch and self._epoch is not None
        self._found.renewed += renewed
        if renewed and self._found.durability is Durability.FULL:
            self._wrong("the epoch is a new one")
        if not renewed and last < len(self._acknowledged):
            self._wrong(f"entries {last + 1} to {len(self._acknowledged)} were acknowledged and are gone")
        if (
            not renewed
            and last not in {len(self._acknowledged), len(told)}
            and last >= len(self._acknowledged)
        ):
            self._wrong(f"of an append of {len(self._under_way)} there are {last - len(self._acknowledged)}")
        logged = [entry_of(seq, change) for seq, change in enumerate(told[:last], 1)]
        if list(looked.entries) != logged[looked.first - 1 :]:
            self._wrong("an entry is another than it was")
        fold_of = Fold()
        for entry in logged:
            fold_of.take(entry)
        found = looked.found
        expected = {key: (row.seq, row.change) for key, row in fold_of.board.items()}
        if {row.change.evse: (row.seq, row.change) for row in found.rows} != expected:
            self._wrong("the board is not the fold of the entries")
        kept = {row.station.uuid: _needed(row, looked.first) for row in found.stations}
        if kept != {uuid: _needed(row, looked.first) for uuid, row in fold_of.stations.items()}:
            self._wrong("the records are not the fold of the entries")
        self._found.survivors += bool(self._under_way) and last == len(told)
        self._acknowledged, self._under_way, self._kept = told[:last], [], fold_of
        self._board, self._records = Board(), Records()
        self._board.restore(found.rows, last)
        self._records.restore(found.stations, found.touched, looked.first)

    def _wrong(self, text: str) -> None:
        self._found.wrongs.append(f"cut {self._found.crashes}: {text}")


async def _run(found: Found, folder: Path, crashes: int, fault: Fault) -> None:
    random_ = Random(found.seed)
    while found.crashes < crashes:
        with tempfile.TemporaryDirectory(dir=folder) as own:
            life = Life(found, random_, Path(own), fault)
            for _ in range(min(LIVES_MAX, crashes - found.crashes)):
                if not await life.live():
                    break


def campaign(
    folder: Path,
    *,
    crashes: int,
    seed: int,
    durability: Durability = Durability.FULL,
    fault: Fault = lambda _: None,
) -> Found:
    """Runs a whole campaign in a folder."""
    found = Found(seed, durability)
    began = time.monotonic()
    asyncio.run(_run(found, folder, crashes, fault))
    found.seconds = time.monotonic() - began
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--crashes", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--durability", choices=list(Durability), default=Durability.FULL)
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="ladestrom-powercut-") as folder:
        found = campaign(
            Path(folder),
            crashes=options.crashes,
            seed=options.seed,
            durability=Durability(options.durability),
        )
    print(
        "| durability | power cuts | while opening | acknowledged | of stations | appends under way that survived"
        " | new epochs | wrong |\n|---|---|---|---|---|---|---|---|\n"
        f"| {found.durability} | {found.crashes} | {found.while_opening} | {found.acknowledged:,}"
        f" | {found.records:,}"
        f" | {found.survivors} | {found.renewed} | {len(found.wrongs)} |\n"
        f"{found.seconds:.0f} s, seed {found.seed}"
    )
    for wrong in found.wrongs[:50]:
        print(f"WRONG {wrong}")
    return 1 if found.wrongs else 0


if __name__ == "__main__":
    sys.exit(main())
