"""Consumers made of our own client that are cut off a thousand times: do they miss anything?

    LADESTROM_SHARED=FOLDER python bench/cuts.py [--cuts 1000] [--seed N] [--limit N] [--batch 200]

A server with the French register is told all recorded sessions (where the sample data is absent: what happens
in a simulated country) while two consumers follow through proxies that cut their connections, stall, and fall
silent (`tests/e2e/cutting.py`): one over WebSocket with `mode=latest` and a box, one by server-sent events with
`mode=every`. The replay goes no faster than connections are cut. In the end each consumer's state has to be
what `fold.py` makes of the recording, its digest the one of the server's heartbeat, and the second one has to
have been told every change once, in order, under its position.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.fold import Seen, sessions
from bench.tables import Conditions, table, told
from tests.e2e.cutting import Ending, Place, Weather
from tests.e2e.running import Running
from tests.e2e.serving import write
from tests.e2e.surviving import Address, Ledger, Outcome, Plan, survive

from ladestrom.client.v2_aio import Transport
from ladestrom.client.v2_session import Mode
from ladestrom.model import Operator
from ladestrom.ports.registry import StationDraft
from ladestrom.simulator.country import REGISTER, build
from ladestrom.simulator.traffic import Traffic

HEARTBEAT_S: Final = 2
CATCH_UP_S: Final = 120.0
SIMULATED_STATIONS: Final = 2_000
SIMULATED_DAYS: Final = 5
DAY_MS: Final = 86_400_000
WEATHER: Final = Weather(
    seconds_max=0.4, long_share=0.05, half_open_s_max=0.3, stall_s_max=0.2, dead_every=400
)
"""A dead connection costs a WebSocket two of its pings, 40 s, and events 10 s of silence: few of them."""

Box = tuple[float, float, float, float]
"""Degrees: west, south, east, north."""
PARIS: Final[Box] = (1.4, 48.1, 3.6, 49.3)
OSLO: Final[Box] = (9.5, 59.0, 11.8, 61.0)


class Load(NamedTuple):
    """What is reported, on what, and the filter of the consumer that has one."""

    what: str
    seen: Sequence[Seen]
    places: Mapping[str, tuple[float, float]]
    """EVSE as its register writes it: longitude and latitude."""
    box: Box


def recorded(folder: Path, running: Running, limit: int | None) -> Load:
    """The French register, imported, and the recorded sessions."""
    register = folder / "irve-statique.json.gz"
    running.import_register("irve", register)
    running.operator("national", all_evses=True)
    rows = map(json.loads, gzip.decompress(register.read_bytes()).splitlines())
    places = {row["id_pdc_itinerance"]: tuple(json.loads(row["coordonneesXY"])) for row in rows}
    seen = sessions(folder / "irve-dynamique-sessions.json.gz", limit)
    return Load("French register and recorded sessions", seen, places, PARIS)


def simulated(running: Running, seed: int, limit: int | None) -> Load:
    """A simulated country, and what happened in it in the last days."""
    drafts = build(SIMULATED_STATIONS, random.Random(seed))
    now = time.time_ns() // 1_000_000
    began = now - SIMULATED_DAYS * DAY_MS
    fill(running.data, drafts, now)
    traffic = Traffic([draft.station for draft in drafts], random.Random(seed), began)
    names = [point.evse.name for point in traffic.points]
    seen = [
        Seen(each.at, names[each.point], each.status.value, int(each.error)) for each in traffic.until(now)
    ]
    places = {
        evse.name: (draft.station.longitude, draft.station.latitude)
        for draft in drafts
        for evse in draft.station.evses
    }
    return Load("simulated country and its traffic", seen[:limit], places, OSLO)


def fill(data: Path, drafts: Sequence[StationDraft], now: int) -> None:
    """Writes stations and an operator to the store of a data directory."""
    data.mkdir(parents=True)
    write(data, lambda store: store.import_stations(REGISTER, drafts, now, complete=True))
    write(data, lambda store: store.put_operator(Operator("national", all=True), now))


def plans(load: Load) -> list[Plan]:
    """The two consumers."""
    west, south, east, north = load.box
    inside = {evse for evse, (x, y) in load.places.items() if west <= x <= east and south <= y <= north}
    box = {"bbox": ",".join(map(str, load.box))}
    return [
        Plan(Transport.WEBSOCKET, Mode.LATEST, box, inside),
        Plan(Transport.EVENTS, Mode.EVERY, {}, frozenset(load.places)),
    ]


def row(outcome: Outcome) -> list[str]:
    """One consumer's line."""
    survivor, proxy, wrongs = outcome
    endings = " / ".join(f"{proxy.cuts[ending]:,}" for ending in Ending)
    where = " / ".join(f"{proxy.places[place]:,}" for place in Place)
    return [
        survivor.plan.name,
        f"{proxy.total:,}",
        endings,
        where,
        f"{proxy.stalls:,}",
        f"{survivor.opened:,} / {survivor.resumed:,}",
        f"{survivor.messages:,}",
        f"{len(survivor.facts):,}",
        f"{survivor.session.confirmed:,}",
        str(len(wrongs)),
    ]


HEAD: Final = (
    "consumer",
    "cuts",
    " / ".join(Ending),
    "in " + " / ".join(Place),
    "stalls",
    "opened / resumed",
    "messages",
    "changes told",
    "digests equal",
    "wrong",
)


def report(load: Load, outcomes: Sequence[Outcome], changes: int, seconds: float) -> str:
    """What happened, for people."""
    losses: Counter[str] = Counter()
    for outcome in outcomes:
        losses.update(outcome.survivor.losses)
    ended = ", ".join(f"{why} {count:,}" for why, count in losses.most_common(12))
    about = f"{load.what}: {len(load.places):,} EVSEs, {len(load.seen):,} observations, {changes:,} changes"
    return (
        f"{table(HEAD, map(row, outcomes))}\n\n{about}, {seconds:.0f} s.\n"
        f"How consumers saw their connections end: {ended}."
    )


@contextmanager
def started(options: argparse.Namespace) -> Iterator[tuple[Running, Load, Address]]:
    """A server with all EVSEs on its board."""
    france = Path(os.environ.get("LADESTROM_SHARED", "../shared")) / "data" / "france"
    settings = {"log.durability": "full", "stream.heartbeat_s": str(HEARTBEAT_S)}
    with (
        tempfile.TemporaryDirectory(prefix="ladestrom-cuts-") as name,
        Running(Path(name), settings) as running,
    ):
        if france.is_dir():
            load = recorded(france, running, options.limit)
        else:
            load = simulated(running, options.seed, options.limit)
        address = Address(running.port, running.key("report", operator="national"), running.key("stream"))
        running.start()
        yield running, load, address


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--cuts", type=int, default=1_000, help="of both consumers together")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--limit", type=int, help="reports only the first so many observations")
    parser.add_argument("--batch", type=int, default=200, help="observations in one request")
    options = parser.parse_args()
    conditions = Conditions()
    with started(options) as (running, load, address):
        ledger = Ledger(load.places)
        began_s = time.monotonic()
        outcomes = asyncio.run(
            survive(
                address,
                load.seen,
                ledger,
                plans(load),
                cuts=options.cuts,
                seed=options.seed,
                batch=options.batch,
                weather=WEATHER,
                deadline_s=CATCH_UP_S,
            )
        )
        seconds = time.monotonic() - began_s
        server_s = running.cpu_s()
    wrongs = [f"{each.survivor.plan.name}: {wrong}" for each in outcomes for wrong in each.wrongs]
    made = report(load, outcomes, len(ledger.facts), seconds)
    return told(conditions, f"seed {options.seed}, server CPU {server_s:.0f} s", made, wrongs)


if __name__ == "__main__":
    sys.exit(main())
