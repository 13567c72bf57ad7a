"""A process that writes a log in PostgreSQL whenever it has the lease, and follows it meanwhile.

    python -m tests.cluster_writer ADDRESS FOLDER NAME LEASE_S GROUP

It prints what was acknowledged: `acked FIRST_NUMBER COUNT FIRST_SEQUENCE`, and `writing TERM`, `deposed`, `failed`.
SIGTERM has it release the lease and end. `read_back` checks the log against what several of them printed.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from tests.building import make_change, make_evse

from ladestrom.backends.holding import Holding
from ladestrom.backends.opening import Opening
from ladestrom.backends.postgres.opening import lease_of, open_reader, open_writable, tenure
from ladestrom.backends.postgres.writing import PostgresLog
from ladestrom.errors import Deposed, LadestromError, LogFailure
from ladestrom.model import Change

LOOK_S = 0.05


def say(*words: object) -> None:
    print(*words, f"{time.time():.3f}", flush=True)


class Writer:
    def __init__(self, opening: Opening, name: str, group: int) -> None:
        self._opening, self._name, self._group = opening, name, group
        self._number = 0
        self.stopping = asyncio.Event()

    async def run(self) -> None:
        while not self.stopping.is_set():
            try:
                log = await open_writable(self._opening)
            except LogFailure:
                await asyncio.sleep(LOOK_S)
                continue
            holding = Holding(lease_of(log, self._opening), tenure(self._opening))
            log.left = holding.close
            following = asyncio.create_task(follow(log))
            try:
                while not self.stopping.is_set() and not await self._attempt(holding, log):
                    await asyncio.sleep(LOOK_S)
                if holding.holds:
                    await log.take(holding.term)
                    holding.keep()
                    say("writing", holding.term)
                    await self._append(log)
            except LadestromError as error:
                say("failed", type(error).__name__, str(error)[:200].replace("\n", " "))
                await asyncio.sleep(LOOK_S)
            finally:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)
                await log.close()
        say("ended")

    async def _attempt(self, holding: Holding, log: PostgresLog) -> bool:
        try:
            return await holding.attempt(time.monotonic(), log.term)
        except LogFailure:
            return False

    async def _append(self, log: PostgresLog) -> None:
        while not self.stopping.is_set():
            first, self._number = self._number, self._number + self._group
            changes = [
                make_change(make_evse(f"NO*ABC*E{number % 97}"), raw=f"{self._name}:{number}")
                for number in range(first, self._number)
            ]
            try:
                entries = await log.append(changes)
            except Deposed:
                say("deposed")
                return
            except LogFailure as error:
                say("failed", type(error).__name__, str(error)[:200].replace("\n", " "))
                await asyncio.sleep(LOOK_S)
                continue
            say("acked", first, len(entries), entries[0].seq)


async def follow(log: PostgresLog) -> None:
    async for _ in log.tail(log.last.seq):
        pass


class Found(NamedTuple):
    """What became of what was acknowledged."""

    acknowledged: int
    stored: int
    lost: int
    double: int
    holes: int


async def read_back(url: str, folder: Path, said: dict[str, Iterable[str]]) -> Found:
    """Reads the whole log, and compares it with the lines that writers printed, by their names."""
    acked = [
        (f"{name}:{int(words[1]) + place}", int(words[3]) + place)
        for name, lines in said.items()
        for words in map(str.split, lines)
        if words[0] == "acked" and len(words) == 5
        for place in range(int(words[2]))
    ]
    log = await open_reader(Opening(url=url, folder=folder))
    try:
        stored: dict[int, str] = {}
        seq = holes = 0
        while entries := await log.read(seq, 10_000):
            for entry in entries:
                assert isinstance(entry.change, Change)
                holes += entry.seq != seq + 1
                seq, stored[entry.seq] = entry.seq, entry.change.raw or ""
    finally:
        await log.close()
    counts = Counter(stored.values())
    lost = sum(stored.get(seq) != raw for raw, seq in acked)
    return Found(len(acked), len(stored), lost, sum(count - 1 for count in counts.values()), holes)


async def main(url: str, folder: str, name: str, lease_s: str, group: str) -> None:
    writer = Writer(Opening(url=url, folder=Path(folder), lease_s=float(lease_s)), name, int(group))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, writer.stopping.set)
    await writer.run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
