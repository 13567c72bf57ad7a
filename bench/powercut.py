"""Does the log lose anything when the power goes? Cuts at random moments, on a disk that forgets.

    python bench/powercut.py --crashes 1000 [--seed N] [--durability full|relaxed]

A disk under SQLite keeps of each file what was synced, and of what was not any part or nothing, torn at
sectors. A log is opened on it, written, checkpointed, trimmed, closed and opened again until the power goes in
the middle of some operation, often enough while it opens. Then these have to hold of what the disk kept:

- SQLite finds the file whole, and the log opens;
- with durability full, every acknowledged entry is there, under its number and its epoch; with durability
  relaxed, either that, or the epoch is a new one;
- of the append that was under way there is all or nothing;
- the recovered board is the fold of the entries.

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
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Final, NamedTuple
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.building import NOW, make_change, make_evse
from tests.powercut import Disk

from ladestrom.backends import sqlite
from ladestrom.backends.sqlite import Durability, SqliteLog
from ladestrom.core.board import Board
from ladestrom.errors import LogFailure
from ladestrom.model import Change, Entry, Status

LIVES_MAX: Final = 12
"""Power cuts of one log, before another begins."""
OPERATIONS_MAX: Final = 250
"""Writes and syncs of one life until the power goes."""
STEPS_MAX: Final = 60
EVSES: Final = 40
CHANGES_MAX: Final = 30
"""Changes of one append."""
PAGES_PER_CHECKPOINT: Final = (2, 8, 1_000)
"""How often SQLite brings its write-ahead log home; the last is its default."""
FAR_AHEAD_MS: Final = 10**15

Fault = Callable[[SqliteLog], None]


class Result(NamedTuple):
    """What a campaign found."""

    seed: int
    durability: Durability
    crashes: int
    while_opening: int
    acknowledged: int
    """Entries, all logs together."""
    survivors: int
    """Appends that were under way and are there all the same."""
    lost: int
    """Acknowledged entries gone without a new epoch."""
    renewed: int
    """Logs that found a new epoch in order."""
    wrongs: tuple[str, ...]
    seconds: float


class Life:
    """One log through all its power cuts: what was acknowledged, and what was under way."""

    def __init__(self, campaign: Campaign, folder: Path) -> None:
        self._campaign = campaign
        self._random = campaign.random
        self._folder = folder
        self._life = 0
        self._files = folder / "0"
        self._files.mkdir()
        self.epoch: str | None = None
        self.acknowledged: list[Change] = []
        self.under_way: list[Change] = []
        self._board = Board()
        self._made = 0

    async def live(self) -> None:
        """Writes until the power goes, and looks at what is left."""
        disk = Disk(self._random)
        disk.holds(self._files)
        disk.cut_after = self._random.randint(0, OPERATIONS_MAX)
        log: SqliteLog | None = None
        opened = False
        with disk.mounted():
            try:
                log = await self._open()
                opened = True
                for _ in range(STEPS_MAX):
                    log = await self._step(log)
            except LogFailure:
                if not disk.off:
                    raise
            disk.cut()
            with disk.unplugged():
                if log is not None:
                    with contextlib.suppress(LogFailure):
                        await log.close()
        self._campaign.while_opening += not opened
        self._life += 1
        left = self._folder / str(self._life)
        left.mkdir()
        disk.leave(left)
        shutil.rmtree(self._files)
        self._files = left
        await self._look()

    async def _open(self) -> SqliteLog:
        log = await SqliteLog.open(
            self._files / "log.db", durability=self._campaign.durability, retention_days=0
        )
        log._write_connection.wal_autocheckpoint(self._random.choice(PAGES_PER_CHECKPOINT))
        self._campaign.fault(log)
        self.epoch = log.last.epoch
        return log

    async def _step(self, log: SqliteLog) -> SqliteLog:
        match self._random.randrange(12):
            case 0:
                await log.checkpoint(self._board.take_touched(), self._board.seq)
            case 1:
                await log.trim(FAR_AHEAD_MS)
            case 2:
                await log.probe()
            case 3:
                await log.close()
                return await self._open()
            case _:
                self.under_way = self._changes(self._random.randint(1, CHANGES_MAX))
                entries = await log.append(self.under_way)
                self._acknowledge(entries)
        return log

    def _changes(self, count: int) -> list[Change]:
        made = []
        for _ in range(count):
            self._made += 1
            evse = make_evse(f"NO*ABC*E{self._random.randrange(EVSES)}")
            made.append(make_change(evse, self._random.choice(list(Status)), NOW + self._made))
        return made

    def _acknowledge(self, entries: object) -> None:
        del entries
        self.acknowledged += self.under_way
        self._campaign.acknowledged += len(self.under_way)
        start = len(self.acknowledged) - len(self.under_way) + 1
        self._board.apply([Entry(seq, change) for seq, change in enumerate(self.under_way, start)])
        self.under_way = []

    async def _look(self) -> None:
        """Opens a copy, as looking changes it, and compares it with what was acknowledged."""
        copy = self._folder / "copy"
        shutil.copytree(self._files, copy)
        try:
            log = await SqliteLog.open(copy / "log.db", durability=self._campaign.durability)
            try:
                self._compare(log, await log.read(0, sys.maxsize), await self._recovered(log))
            finally:
                await log.close()
        except LogFailure as error:
            self._wrong(f"it does not open: {error}")
        finally:
            shutil.rmtree(copy)

    async def _recovered(self, log: SqliteLog) -> dict[str, tuple[int, Change]]:
        found = log._write_connection.execute("PRAGMA integrity_check").fetchall()
        if found != [("ok",)]:
            self._wrong(f"SQLite finds it damaged: {found[:3]}")
        return {row.change.evse: (row.seq, row.change) for row in await log.recover()}

    def _compare(self, log: SqliteLog, entries: object, recovered: dict[str, tuple[int, Change]]) -> None:
        raise NotImplementedError

    def _wrong(self, text: str) -> None:
        self._campaign.wrongs.append(f"life {self._life}: {text}")
