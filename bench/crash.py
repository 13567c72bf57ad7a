"""Does anything get lost when the server is killed? SIGKILL at random moments while operators push.

    python bench/crash.py --kills 50 [--seed N] [--evses 2000] [--lanes 8] [--batch 50]

A pusher keeps a ledger of what it sent and of what has its receipt. After each kill the server starts again
on the same data, and these have to hold:

- it is ready within 5 s;
- what REST shows of each EVSE is at least as new as the newest acknowledged observation of it, the same where
  nothing newer was sent, and otherwise one of those sent since;
- a sequence number never stands for something else than it did before, to a consumer that follows through
  all restarts and to one that comes back to an old position; the epoch stays the same.

In the end, and once more after another kill, REST and the consumer show the fold of everything sent.
Kills that hit a server that is still starting are among them. The same seed makes the same observations and
the same delays; what was in flight differs from run to run.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.fold import Fold, Places, Seen, calibration, differences, disagreements, places, written_alike
from tests.e2e.consuming import Board, Consumer, rest
from tests.e2e.running import REGISTER_PREFIX, Running, irve_register, made_up_evses
from tests.patience import DEADLINE_S

from ladestrom.client.reports import Observation, Reporter
from ladestrom.model import Position, Status

READY_S_MAX: Final = 5.0
EVSES_PER_STATION: Final = 4
CALIBRATED_AT: Final = 1_600_000_000_000
BEGINS_AT: Final = 1_700_000_000_000
RUN_S: Final = (0.1, 2.2)
"""Between readiness and the kill: before the first checkpoint, during it, and after."""
SETTINGS: Final = {"log.checkpoint_s": "1", "log.checkpoint_entries": "1000"}
"""As often as can be, so that kills hit checkpoints, and recoveries begin at all kinds of them."""
SKEW: Final = 12
"""Half of the reports come from a twentieth of the EVSEs, and some EVSEs are heard of once in minutes: what
they said has to outlive many restarts."""
EARLY_KILL_SHARE: Final = 0.15
"""Of the kills, those that hit a server before it is ready."""
EARLY_S: Final = (0.05, 0.7)
OLD_POSITION_SEQS_MAX: Final = 2_000
"""How far back the second consumer goes."""
WORDS: Final = ("AVAILABLE", "CHARGING", "CHARGING", "BLOCKED", "RESERVED", "OUTOFORDER", "INOPERATIVE")
SAME_SHARE: Final = 0.4
"""Of the observations, those that repeat what was said before."""
CONSUMER_CHANCE: Final = 0.05


class Result(NamedTuple):
    """What a campaign found."""

    seed: int
    kills: int
    early_kills: int
    sent: int
    retries: int
    ready_s: tuple[float, ...]
    frames: int
    resumes: int
    snapshots: int
    seconds: float
    wrongs: tuple[str, ...]
    """Empty where every promise was kept."""


class Ledger:
    """What was sent, and what of it has its receipt."""

    def __init__(self) -> None:
        self.acknowledged = Fold()
        self.sent: dict[str, dict[int, tuple[str, int]]] = {}
        """EVSE to instant to status and error."""

    def sending(self, batch: Sequence[Seen]) -> None:
        for seen in batch:
            self.sent.setdefault(written_alike(seen.evse), {})[seen.at] = (seen.status, seen.error)

    def receipt(self, batch: Sequence[Seen]) -> None:
        for seen in batch:
            self.acknowledged.observe(seen)

    def snapshot(self) -> Fold:
        """What is acknowledged by now."""
        fold = Fold()
        fold.known = dict(self.acknowledged.known)
        return fold

    def lost(self, acknowledged: Fold, where: Places, board: Board) -> list[str]:
        """What the board lacks of what was acknowledged when it was asked for."""
        told = []
        for evse, connectors in where.items():
            expected = acknowledged.connector(evse)
            sent = Fold()
            for uuid, place in connectors:
                each = board[uuid]["connectors"][place]
                shown = (each["status"], each["error"], each["timestamp"])
                if shown == expected:
                    continue
                at = shown[2]
                newer = self.sent[evse].get(at) if at > expected[2] else None
                if newer is None:
                    told.append(f"{evse}: {shown}, acknowledged was {expected}")
                    continue
                sent.observe(Seen(at, evse, *newer))
                if sent.connector(evse) != shown:
                    told.append(f"{evse}: {shown}, sent was {newer} at {at}")
        return told


class Lane:
    """Pushes observations of its own EVSEs, one batch after the other, for as long as it is told to."""

    def __init__(
        self, evses: Sequence[str], batch: int, reporter: Reporter, ledger: Ledger, seed: str
    ) -> None:
        self._evses = evses
        self._batch = batch
        self._reporter = reporter
        self._ledger = ledger
        self._random = random.Random(seed)
        self._now_at = BEGINS_AT
        self._last: dict[str, str] = {}

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            batch = self._next()
            self._ledger.sending(batch)
            await self._reporter.report([wire(seen) for seen in batch])
            self._ledger.receipt(batch)

    def _next(self) -> list[Seen]:
        batch = []
        for _ in range(self._batch):
            evse = self._evses[int(len(self._evses) * self._random.random() ** SKEW)]
            self._now_at += self._random.randint(1, 50)
            same = evse in self._last and self._random.random() < SAME_SHARE
            word = self._last[evse] if same else self._random.choice(WORDS)
            self._last[evse] = word
            batch.append(Seen(self._now_at, evse, word, int(word == "OUTOFORDER")))
        return batch


def wire(seen: Seen) -> Observation:
    """An observation as the reporter sends it."""
    return Observation(seen.evse, Status(seen.status), seen.at, seen.error)


class Campaign:
    """One server, its pushers and its consumer, and a number of kills."""

    def __init__(self, directory: Path, *, seed: int, evses: int, lanes: int, batch: int) -> None:
        self._random = random.Random(seed)
        self._seed = seed
        self._lanes, self._batch = lanes, batch
        self._stations = max(1, evses // EVSES_PER_STATION)
        self._directory = directory
        self.running = Running(directory, SETTINGS)
        self.ledger = Ledger()
        self.wrongs: list[str] = []
        self.ready_s: list[float] = []
        self.early_kills = 0
        self._keys: tuple[str, str] = ("", "")

    def set_up(self) -> None:
        """Registry, operator and keys, and the first start."""
        register = self._directory / "register.jsonl"
        irve_register(register, stations=self._stations, evses=EVSES_PER_STATION)
        self.running.import_register("irve", register)
        self.running.operator("crash", prefixes=[REGISTER_PREFIX])
        self._keys = (self.running.key("report", operator="crash"), self.running.key("stream"))
        self.running.start()

    async def run(self, lives_s: Sequence[float]) -> Result:
        """Lets the server live for so long each time before it is killed, and says what was wrong."""
        began_s = time.monotonic()
        report_key, stream_key = self._keys
        url = self.running.url
        evses = made_up_evses(self._stations, EVSES_PER_STATION)
        stop = asyncio.Event()
        reporter = Reporter(
            url,
            report_key,
            connections_max=self._lanes,
            patience_s=DEADLINE_S,
            chance=lambda: CONSUMER_CHANCE,
        )
        async with reporter, Consumer(url, stream_key, chance=CONSUMER_CHANCE) as consumer:
            where = await self._calibrate(evses, reporter, consumer)
            async with asyncio.TaskGroup() as group:
                for number in range(self._lanes):
                    own = evses[number :: self._lanes]
                    lane = Lane(own, self._batch, reporter, self.ledger, f"{self._seed}/{number}")
                    group.create_task(lane.run(stop))
                for kill, life_s in enumerate(lives_s):
                    await asyncio.sleep(life_s)
                    await self._kill_and_look(kill, where, consumer)
                await asyncio.sleep(RUN_S[0])
                stop.set()
            await self._look_in_the_end("in the end", where, consumer)
            await asyncio.to_thread(self.running.kill9)
            await self._start()
            await self._look_in_the_end("after the last kill", where, consumer)
            self.wrongs += consumer.wrongs
            if not reporter.tally.adds_up or reporter.tally.refused:
                self.wrongs.append(f"receipts: {reporter.tally}")
        return Result(
            seed=self._seed,
            kills=len(lives_s) + 1,
            early_kills=self.early_kills,
            sent=reporter.tally.sent,
            retries=reporter.tally.retries,
            ready_s=tuple(self.ready_s),
            frames=consumer.updates,
            resumes=consumer.resumed,
            snapshots=consumer.snapshots,
            seconds=time.monotonic() - began_s,
            wrongs=tuple(self.wrongs),
        )

    async def _calibrate(self, evses: Sequence[str], reporter: Reporter, consumer: Consumer) -> Places:
        seen = calibration(evses, CALIBRATED_AT)
        for start in range(0, len(seen), 1_000):
            batch = seen[start : start + 1_000]
            self.ledger.sending(batch)
            await reporter.report([wire(each) for each in batch])
            self.ledger.receipt(batch)
        board, position = await rest(self.running.url, self._keys[1], self._keys[0])
        await consumer.caught_up(position)
        return places(seen, board)

    async def _kill_and_look(self, kill: int, where: Places, consumer: Consumer) -> None:
        await asyncio.to_thread(self.running.kill9)
        if self._random.random() < EARLY_KILL_SHARE:
            self.early_kills += 1
            await asyncio.to_thread(self.running.start_and_kill9, self._random.uniform(*EARLY_S))
        await self._start()
        acknowledged = self.ledger.snapshot()
        board, position = await rest(self.running.url, self._keys[1], self._keys[0])
        lost = self.ledger.lost(acknowledged, where, board)
        self.wrongs += [f"kill {kill}: {text}" for text in lost[:10]]
        await self._come_back_to_an_old_position(position, consumer)

    async def _start(self) -> None:
        await asyncio.to_thread(self.running.start)
        self.ready_s.append(self.running.ready_s)

    async def _come_back_to_an_old_position(self, position: str, consumer: Consumer) -> None:
        at = Position.parse(position)
        old = Position(at.epoch, max(0, at.seq - self._random.randint(1, OLD_POSITION_SEQS_MAX)))
        again = Consumer(
            self.running.url, self._keys[1], chance=CONSUMER_CHANCE, digests=consumer.digests, since=old
        )
        async with again:
            await again.caught_up(position)
        if again.snapshots:
            self.wrongs.append(f"{old} was not resumed, though the log is at {at}")
        self.wrongs += again.wrongs

    async def _look_in_the_end(self, when: str, where: Places, consumer: Consumer) -> None:
        board, position = await rest(self.running.url, self._keys[1], self._keys[0])
        await consumer.caught_up(position)
        self.wrongs += [
            f"{when}, REST: {text}" for text in differences(self.ledger.acknowledged, where, board)
        ]
        self.wrongs += [f"{when}, REST and stream: {text}" for text in disagreements(board, consumer.board)]


def random_lives_s(kills: int, seed: int) -> list[float]:
    """Between readiness and the kill, so many times."""
    chance = random.Random(seed)
    return [chance.uniform(*RUN_S) for _ in range(kills)]


def campaign(
    directory: Path,
    lives_s: Sequence[float],
    *,
    seed: int,
    evses: int = 2_000,
    lanes: int = 8,
    batch: int = 50,
) -> Result:
    """Runs a whole campaign in a directory of its own, and kills once more in the end."""
    made = Campaign(directory, seed=seed, evses=evses, lanes=lanes, batch=batch)
    with made.running:
        made.set_up()
        return asyncio.run(made.run(lives_s))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--evses", type=int, default=2_000)
    parser.add_argument("--lanes", type=int, default=8)
    parser.add_argument("--batch", type=int, default=50)
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="ladestrom-crash-") as directory:
        result = campaign(
            Path(directory),
            random_lives_s(options.kills, options.seed),
            seed=options.seed,
            evses=options.evses,
            lanes=options.lanes,
            batch=options.batch,
        )
    ready = sorted(result.ready_s)
    late = [f"ready after {each:.1f} s" for each in result.ready_s if each > READY_S_MAX]
    wrongs = [*result.wrongs, *late]
    print(
        f"| kills | while starting | acknowledged | retries | ready p50 / max | frames | resumes | snapshots"
        f" | wrong |\n|---|---|---|---|---|---|---|---|---|\n"
        f"| {result.kills} | {result.early_kills} | {result.sent:,} | {result.retries}"
        f" | {ready[len(ready) // 2]:.2f} / {ready[-1]:.2f} s | {result.frames:,} | {result.resumes}"
        f" | {result.snapshots} | {len(wrongs)} |\n"
        f"{result.seconds:.0f} s, seed {result.seed}, {options.evses:,} EVSEs"
    )
    for wrong in wrongs[:50]:
        print(f"WRONG {wrong}")
    return 1 if wrongs else 0


if __name__ == "__main__":
    sys.exit(main())
