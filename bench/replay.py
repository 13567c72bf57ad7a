"""A month and a half of real charging in one go: does everybody end with the same, and how long does it take?

    LADESTROM_SHARED=FOLDER python bench/replay.py [--limit N] [--batch 100] [--connections 4]

Needs the optional sample data. Imports the French register and the NOBIL sample, then runs `ladestrom replay`
over all recorded sessions, as fast as receipts come, with two consumers: one joins in the middle, one drops
its connection every 2 s and comes back with `since`. In the end both, and REST, have to be what `fold.py`
makes of the recording. The server has core 0 for itself; everything else shares core 1.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.fold import Fold, Seen, calibration, differences, disagreements, places, sessions
from bench.intake import LOAD_CORE, SERVER_CORE, machine, on_core
from tests.e2e.consuming import Consumer, rest
from tests.e2e.running import LADESTROM, Running, environment

from ladestrom.client.reports import Observation, Reporter
from ladestrom.model import Position, Status

CALIBRATED_AT: Final = 1_600_000_000_000
RECONNECT_S: Final = 2.0
CATCH_UP_S: Final = 120.0
CALIBRATION_BATCH: Final = 1_000


async def calibrate(running: Running, key: str, seen: Sequence[Seen]) -> None:
    """Tells the server one thing of each EVSE, by which its connectors are known afterwards."""
    async with Reporter(running.url, key) as reporter:
        for start in range(0, len(seen), CALIBRATION_BATCH):
            await reporter.report(
                [
                    Observation(each.evse, Status(each.status), each.at)
                    for each in seen[start : start + CALIBRATION_BATCH]
                ]
            )


async def run(running: Running, recorded: Path, keys: tuple[str, str], options: argparse.Namespace) -> int:
    """Replays, follows, compares; the exit code."""
    report_key, stream_key = keys
    seen = sessions(recorded, options.limit)
    calibrated = calibration(sorted({each.evse for each in seen}), CALIBRATED_AT)
    fold = Fold()
    for each in [*calibrated, *seen]:
        fold.observe(each)
    await calibrate(running, report_key, calibrated)
    async with Consumer(running.url, stream_key, every_s=RECONNECT_S) as restless:
        board, position = await rest(running.url, stream_key, report_key)
        await restless.caught_up(position, CATCH_UP_S)
        where = places(calibrated, board)
        middle = Position.parse(position).seq + len(seen) // 3
        cpu_s, began_s = running.cpu_s(), time.monotonic()
        replay = await asyncio.create_subprocess_exec(
            *(*LADESTROM, "replay", str(recorded), "--json", "--server", running.url),
            *(["--limit", str(options.limit)] if options.limit else []),
            *("--batch", str(options.batch), "--connections", str(options.connections)),
            env=environment({}) | {"LADESTROM_KEY": report_key},
            stdout=asyncio.subprocess.PIPE,
        )
        ending = asyncio.create_task(replay.communicate())
        await restless.until(lambda consumer: at_least(consumer, middle), CATCH_UP_S, "in the middle")
        async with Consumer(running.url, stream_key) as late:
            in_the_middle = not ending.done()
            out, _ = await ending
            board, position = await rest(running.url, stream_key, report_key)
            await late.caught_up(position, CATCH_UP_S)
            await restless.caught_up(position, CATCH_UP_S)
            caught_up_s, cpu_s = time.monotonic() - began_s, running.cpu_s() - cpu_s
            wrongs = [
                *(f"REST and the one that joined late: {text}" for text in disagreements(board, late.board)),
                *(f"REST and the restless one: {text}" for text in disagreements(board, restless.board)),
                *(f"joined late: {text}" for text in late.wrongs),
                *(f"restless: {text}" for text in restless.wrongs),
                *(f"REST and fold: {text}" for text in differences(fold, where, board)),
            ]
    summary = json.loads(out)
    if not in_the_middle:
        wrongs.append("the replay had ended before the late consumer joined")
    counts = {name: fold.counts[name] for name in ("accepted", "unchanged", "stale")}
    counts["accepted"] -= len(calibrated)
    told = {
        "accepted": summary["accepted"],
        "unchanged": summary["unchanged"] - summary["stale"],
        "stale": summary["stale"],
    }
    if told != counts or replay.returncode != 0:
        wrongs.append(f"receipts tell {told}, the fold {counts}; the replay ended with {replay.returncode}")
    print(f"{machine()}; {len(board):,} stations, {options.connections} x {options.batch}, durability full")
    print(
        "| observations | changes | s | observations/s | all told after s | server CPU s | updates late |"
        " updates restless | resumes | wrong |\n|---|---|---|---|---|---|---|---|---|---|"
    )
    print(
        f"| {summary['sent']:,} | {summary['accepted']:,} | {summary['seconds']:.1f}"
        f" | {summary['observations_per_s']:,.0f} | {caught_up_s:.1f} | {cpu_s:.1f} | {late.updates:,}"
        f" | {restless.updates:,} | {restless.resumed} | {len(wrongs)} |"
    )
    for wrong in wrongs[:30]:
        print(f"WRONG {wrong}")
    return 1 if wrongs else 0


def at_least(consumer: Consumer, seq: int) -> bool:
    """Whether the consumer was told so much."""
    return consumer.session.position is not None and consumer.session.position.seq >= seq


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--limit", type=int)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--connections", type=int, default=4)
    options = parser.parse_args()
    data = Path(os.environ.get("LADESTROM_SHARED", "../shared")) / "data"
    if not data.is_dir():
        raise SystemExit("no sample data: set LADESTROM_SHARED to their folder")
    with (
        tempfile.TemporaryDirectory(prefix="ladestrom-replay-") as name,
        Running(Path(name), {"log.durability": "full"}, before_exec=on_core(SERVER_CORE)) as running,
    ):
        running.import_register("irve", data / "france" / "irve-statique.json.gz")
        running.import_register("nobil", data / "nobil" / "nobil-v3-sample.json")
        running.operator("national", all_evses=True)
        keys = (running.key("report", operator="national"), running.key("stream"))
        running.start()
        os.sched_setaffinity(0, {LOAD_CORE})
        return asyncio.run(run(running, data / "france" / "irve-dynamique-sessions.json.gz", keys, options))


if __name__ == "__main__":
    sys.exit(main())
