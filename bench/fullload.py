"""How long an operator waits for the acknowledgement of a full load over OICP, durable.

    python bench/fullload.py [--evses 7700] [--rounds 5]

A real server is pinned to core 0. Full loads are sent one after the other: the first brings every EVSE's
first status, then rounds repeat it, change one EVSE in twenty, change all, and lack a tenth of the EVSEs, which
become unknown and come back. Every acknowledgement is looked at.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.intake import LOAD_CORE, SERVER_CORE, on_core
from bench.tables import Conditions, middle, table, told
from tests.e2e.running import REGISTER_PREFIX, Running, irve_register, made_up_evses

EVSES: Final = 7_700
EVSES_PER_STATION: Final = 4
PROMISED_MS: Final = 1_000.0
ANSWER_DEADLINE_S: Final = 30.0
WORDS: Final = ("Available", "Occupied")


def body(evses: Sequence[str], occupied: Sequence[bool]) -> bytes:
    """One full load."""
    records = [
        {"EvseID": evse, "EvseStatus": WORDS[taken]} for evse, taken in zip(evses, occupied, strict=True)
    ]
    group = {"OperatorID": evses[0][:5], "OperatorName": "bench", "EvseStatusRecord": records}
    return json.dumps({"ActionType": "fullLoad", "OperatorEvseStatus": group}).encode()


def send(running: Running, key: str, evses: Sequence[str], occupied: Sequence[bool]) -> tuple[float, str]:
    """Milliseconds from the first byte of the request to the last of its answer, and AdditionalInfo."""
    path = f"/api/oicp/evsepush/v21/operators/{evses[0][:5]}/status-records"
    asked = urllib.request.Request(
        running.url + path, body(evses, occupied), {"Authorization": f"Bearer {key}"}
    )
    began_s = time.perf_counter()
    with urllib.request.urlopen(asked, timeout=ANSWER_DEADLINE_S) as answer:
        acknowledgement = json.load(answer)
    took_ms = (time.perf_counter() - began_s) * 1e3
    info: str = acknowledgement["StatusCode"]["AdditionalInfo"]
    return took_ms, info if acknowledgement["Result"] else f"failed: {info}"


def main() -> int:
    """Runs all rounds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--evses", type=int, default=EVSES)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    conditions = Conditions()
    stations = options.evses // EVSES_PER_STATION
    evses = made_up_evses(stations, EVSES_PER_STATION)
    count = len(evses)
    part = count // 10
    took: dict[str, list[float]] = {}
    wrongs: list[str] = []
    with (
        tempfile.TemporaryDirectory(prefix="ladestrom-fullload-") as name,
        Running(Path(name), {"log.durability": "full"}, before_exec=on_core(SERVER_CORE)) as running,
    ):
        register = irve_register(Path(name) / "register.jsonl", stations=stations, evses=EVSES_PER_STATION)
        running.import_register("irve", register)
        running.operator("bench", prefixes=[REGISTER_PREFIX])
        key = running.key("report", operator="bench")
        running.start()
        os.sched_setaffinity(0, {LOAD_CORE})

        def load(kind: str, occupied: list[bool], changed: int, sent: Sequence[str] = evses) -> None:
            took_ms, info = send(running, key, sent, occupied[: len(sent)])
            took.setdefault(kind, []).append(took_ms)
            expected = f"{changed} changed, {len(sent) - changed} unchanged, 0 refused"
            if info != expected:
                wrongs.append(f"{kind}: {info!r}, not {expected!r}")

        occupied = [False] * count
        load("first", occupied, count)
        for number in range(options.rounds):
            load("nothing changed", occupied, 0)
            changed = range(number, count, 20)
            for place in changed:
                occupied[place] = not occupied[place]
            load("one in twenty changed", occupied, len(changed))
            occupied = [not taken for taken in occupied]
            load("all changed", occupied, count)
            load("a tenth lacking", occupied, 0, evses[:-part])
            load("the tenth is back", occupied, part)
    slow = [
        f"{kind}: {max(all_ms):.0f} ms, over {PROMISED_MS:.0f}"
        for kind, all_ms in took.items()
        if max(all_ms) > PROMISED_MS
    ]
    rows = [
        (kind, str(len(all_ms)), f"{middle(all_ms):.0f}", f"{max(all_ms):.0f}", f"{PROMISED_MS:.0f}")
        for kind, all_ms in took.items()
    ]
    made = table(("full load", "loads", "p50 ms", "longest ms", "promised ms"), rows)
    return told(conditions, f"{count:,} EVSEs, durability full", made, wrongs + slow)


if __name__ == "__main__":
    sys.exit(main())
