"""How long the steps of the event loop are at 100,000 EVSEs, act by act.

    python bench/steps.py [--evses 100000] [--only WORD ...] [--without-following] [--quiet-s 0]

The server runs with a probe in its loop (`probed.py`). What may make a step long is done one after the other:
consumers of everything join, heartbeats, `operators add`, registers, queues of confirmations, checkpoints, lists,
maps, large documents, a source that is followed. A step is judged by what it costs the loop's thread; how long it
took by the clock on the wall is told beside it.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx2

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import parsers, probed
from bench.consumers import Reader, upgrade
from bench.tables import Conditions, table, told
from tests.e2e.answering import Answering
from tests.e2e.running import LADESTROM, Running

EVSES_PER_STATION: Final = 4
PARTY: Final = "FRLDS"
STEP_MS_MAX: Final = 20.0
ANSWER_DEADLINE_S: Final = 300.0
START_DEADLINE_S: Final = 600.0
SETTLED_S: Final = 3.0
"""After each act, in which what it set off shows; as long as the server asks its store for changes thrice."""
BUSY_SHARE: Final = 0.3
"""Of a second of processor time: a server that uses more has not settled."""
HEARTBEAT_S: Final = 5
CHECKPOINT_S: Final = 10
ITEMS: Final = 10_000
"""Of one delivery."""
CONFIRMATIONS: Final = 200_000
SEED: Final = 1
HOURS: Final = [
    [
        {"weekday": day, "period_begin": f"{hour:02d}:00", "period_end": f"{(hour + 15) % 24:02d}:00"}
        for day in range(1, 8)
    ]
    for hour in range(5, 12)
]
"""Of a week; some are over midnight."""


class Act(NamedTuple):
    """Something that may make a step long."""

    what: str
    do: Callable[[], object]
    after_s: float = SETTLED_S
    """What follows by itself is part of it for so long."""


def evse_id(number: int) -> str:
    return f"FR*LDS*E{number:07d}"


class World:
    """A server with a probe, and those who make it work."""

    def __init__(
        self,
        directory: Path,
        evses: int,
        *,
        program: Sequence[str | Path] = LADESTROM,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.evses = evses
        self._directory = directory
        self._random = random.Random(SEED)
        own = {
            "stream.heartbeat_s": str(HEARTBEAT_S),
            "log.checkpoint_s": str(CHECKPOINT_S),
            "rules.start_grace_s": "1",
            "page.visitors": "anyone",
        }
        self.running = Running(directory, {**own, **(settings or {})}, program=program)
        self.register(0)
        for name in ("acme", "other"):
            self.running.operator(name, all_evses=True)
        self.report_key = self.running.key("report", operator="acme")
        self.other_key = self.running.key("report", operator="other")
        self.key = self.running.key("stream")
        self.admin_key = self.running.key("admin")
        self._observed_at = 1_700_000_000_000
        self._word = 0

    def start(self) -> None:
        self.running.start(START_DEADLINE_S)
        self.change(self.evses)

    # -- registers -----------------------------------------------------------------------------------------

    def register(self, edition: int, *, changed: int = 0, readings: bool = False) -> None:
        """Imports the register; of each edition other stations have another name, so many of them."""
        file = self._directory / "register.json"
        renamed = set(self._random.sample(range(self.evses // EVSES_PER_STATION), changed))
        with file.open("w") as written:
            for number in range(self.evses // EVSES_PER_STATION):
                name = f"Exemple {number}" + (f" ({edition})" if number in renamed else "")
                written.write(json.dumps(self._location(number, name, readings=readings)) + "\n")
        self.running.import_register("ocpi", file)

    def _location(self, number: int, name: str, *, readings: bool) -> dict[str, Any]:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        first = number * EVSES_PER_STATION
        return {
            "country_code": "FR",
            "party_id": "LDS",
            "id": f"L{number:06d}",
            "name": name,
            "country": "FRA",
            "city": f"Ville {number % 500}",
            "coordinates": {
                "latitude": f"{43 + number % 600 / 100:.4f}",
                "longitude": f"{number % 700 / 100:.4f}",
            },
            "operator": {"name": f"Exploitant {number % 40}"},
            "time_zone": "Europe/Paris",
            "opening_times": {"twentyfourseven": False, "regular_hours": HOURS[number % len(HOURS)]},
            "last_updated": now,
            "evses": [
                {
                    "uid": f"{place}",
                    "evse_id": evse_id(first + place),
                    **(
                        {"status": "CHARGING" if number % 2 else "BLOCKED", "last_updated": now}
                        if readings
                        else {}
                    ),
                    "connectors": [
                        {"id": "1", "standard": "IEC_62196_T2_COMBO", "max_electric_power": 50_000}
                    ],
                }
                for place in range(EVSES_PER_STATION)
            ],
        }

    # -- reports -------------------------------------------------------------------------------------------

    def change(self, count: int) -> None:
        """So many EVSEs change, in deliveries of `ITEMS` at once."""
        self._word += 1
        self._observed_at += 60_000
        self._report([number % self.evses for number in range(count)])

    def confirm(self, count: int) -> None:
        """So many reports say what is known already, all in the queue at once."""
        self._observed_at += 60_000
        self._report([number % self.evses for number in range(count)])

    def _report(self, numbers: Sequence[int]) -> None:
        word = ("AVAILABLE", "CHARGING")[self._word % 2]
        bodies = [
            json.dumps(
                [
                    {"evse": evse_id(number), "status": word, "observed_at": self._observed_at}
                    for number in numbers[start : start + ITEMS]
                ]
            ).encode()
            for start in range(0, len(numbers), ITEMS)
        ]
        with ThreadPoolExecutor(len(bodies)) as threads:
            list(threads.map(lambda body: self.post("/api/v2/reports", body), bodies))

    def post(self, path: str, body: bytes, *, key: str = "", **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        given = {
            "authorization": f"Bearer {key or self.report_key}",
            "content-type": "application/json",
            **named,
        }
        answer = httpx2.post(self.running.url + path, content=body, headers=given, timeout=ANSWER_DEADLINE_S)
        if answer.status_code != 200:
            raise RuntimeError(f"{path}: {answer.status_code} {answer.text[:300]}")

    def get(self, path: str, key: str = "") -> None:
        headers = {"authorization": f"Bearer {key or self.key}"}
        answer = httpx2.get(self.running.url + path, headers=headers, timeout=ANSWER_DEADLINE_S)
        if answer.status_code != 200:
            raise RuntimeError(f"{path}: {answer.status_code} {answer.text[:300]}")

    # -- consumers -----------------------------------------------------------------------------------------

    def join(self, path: str, *, deflate: bool = False) -> Callable[[], None]:
        """Somebody follows, has its snapshot, and leaves."""

        def do() -> None:
            with self.following(path, deflate=deflate):
                pass

        return do

    @contextmanager
    def following(self, path: str, *, deflate: bool = False) -> Iterator[Reader]:
        """A consumer that has its snapshot."""
        asked = upgrade(path, self.key, deflate=deflate)
        with Reader(self.running.port, asked, ANSWER_DEADLINE_S) as reader:
            reader.snapshot()
            yield reader

    def events(self) -> None:
        """Somebody follows events until its snapshot is there."""
        headers = {"authorization": f"Bearer {self.key}"}
        with httpx2.stream(
            "GET", f"{self.running.url}/api/v2/events", headers=headers, timeout=ANSWER_DEADLINE_S
        ) as answer:
            for line in answer.iter_lines():
                if line.startswith("data:") and _is_last_part(json.loads(line[5:])):
                    return

    def beats(self, before: Callable[[], object] = lambda: None) -> Callable[[], None]:
        """Consumers of everything, of a half and of some are there for two heartbeats after something happened."""
        paths = ("", "&status=AVAILABLE", "&operator=exploitant 1,exploitant 2")

        def do() -> None:
            with ExitStack() as stack:
                readers = [
                    stack.enter_context(
                        self.following(f"/api/v2/stream?batch_ms=0{each.replace(' ', '%20')}")
                    )
                    for each in paths
                ]
                before()
                for reader in readers:
                    beats = (each for each in reader.messages() if each.kind == "heartbeat")
                    for _ in range(2):
                        next(beats)

        return do

    def acts(self) -> list[Act]:
        """All but those that need another server."""
        some = self.evses // EVSES_PER_STATION
        run, uuid = self.running.run, "FRA_00001"
        return [
            Act("nothing", lambda: time.sleep(2)),
            Act("a consumer of everything joins, v1", self.join("/api/v1/stream")),
            Act("the same, compressed", self.join("/api/v1/stream", deflate=True)),
            Act("a consumer of everything joins, v2", self.join("/api/v2/stream")),
            Act("the same, compressed", self.join("/api/v2/stream", deflate=True)),
            Act("a consumer of everything joins, events", self.events),
            Act("heartbeats", self.beats()),
            Act("heartbeats after a station changed", self.beats(lambda: self.register(1, changed=1)), 5),
            Act("operators add", lambda: run("operators", "add", "third", "--all"), 10),
            Act(
                "operators add, with a part", lambda: run("operators", "add", "fourth", "--party", PARTY), 10
            ),
            Act("a register is imported, a tenth changed", lambda: self.register(2, changed=some // 10), 10),
            Act("a register is imported, all with statuses", lambda: self.register(3, readings=True), 10),
            Act("every EVSE changes", lambda: self.change(self.evses)),
            Act("confirmations queue", lambda: self.confirm(CONFIRMATIONS)),
            Act("a checkpoint of every EVSE", lambda: self.confirm(self.evses), CHECKPOINT_S + 10),
            Act("a list that finds no station", lambda: self.get("/api/v2/stations?operator=nobody")),
            Act("a list that finds no EVSE", lambda: self.get("/api/v2/evses?status=RESERVED")),
            Act("a list of EVSEs by id that finds none", lambda: self.get("/api/v2/evses?evse=NO*ABC*E1")),
            Act(
                "a list by features that finds no station",
                lambda: self.get("/api/v2/stations?open_now=1&connector=ccs&min_kw=400&vehicle=car"),
            ),
            Act(
                "a list by features that finds no EVSE",
                lambda: self.get("/api/v2/evses?connector=ccs,type2&min_kw=400&status=AVAILABLE,CHARGING"),
            ),
            Act(
                "a list of all that are open, by features",
                lambda: self.get("/api/v2/evses?open_now=1&connector=ccs&min_kw=50&limit=1000"),
            ),
            Act("the largest page of a list", lambda: self.get("/api/v2/stations?limit=1000")),
            Act("all stations, REST v1", lambda: self.get("/api/v1/rest/chargers")),
            Act("REST v1 that finds nothing", lambda: self.get("/api/v1/rest/chargers?country=NOR")),
            Act("the map", lambda: self.get("/api/v2/map")),
            Act("the overview", lambda: self.get("/api/v2/overview")),
            Act("a station's history", lambda: self.get(f"/api/v2/stations/{uuid}/history")),
            Act("operators", lambda: self.get("/api/v2/operators")),
            Act("metrics", lambda: self.get("/metrics", self.admin_key)),
            Act("administration", lambda: self.get("/api/v2/admin", self.admin_key)),
            Act("a full list that names few (signs off)", self._few, 5),
            *self._documents(),
            *self._files(),
        ]

    def _documents(self) -> list[Act]:
        made: Mapping[str, tuple[str, Callable[[int], bytes], str]] = {
            "plain": ("/api/v2/reports", parsers.plain_list, "application/json"),
            "IRVE, CSV": ("/push/irve", parsers.irve_file, "text/csv"),
            "DATEX II, XML": ("/push/datex2", parsers.datex_xml, "application/xml"),
            "DATEX II, JSON": ("/push/datex2", parsers.datex_json, "application/json"),
            "OICP": (
                "/api/oicp/evsepush/v21/operators/NO*ABC/status-records",
                parsers.oicp_full_load,
                "application/json",
            ),
        }
        acts = []
        for name, (path, make, kind) in made.items():
            body = make(ITEMS)
            what = f"a document of {len(body) / 2**20:.1f} MiB, {name}"
            acts.append(Act(what, partial(self.post, path, body, key=self.other_key, content_type=kind)))
        path, make, kind = made["plain"]
        packed = gzip.compress(make(ITEMS))
        post = partial(
            self.post, path, packed, key=self.other_key, content_type=kind, content_encoding="gzip"
        )
        return [*acts, Act(f"a document of {len(packed) / 2**20:.1f} MiB, plain, gzip", post)]

    def _files(self) -> list[Act]:
        """Files of as many EVSEs as there are, that the server asks for."""
        made: Mapping[str, Callable[[int], bytes]] = {
            "irve": parsers.irve_file,
            "datex2": parsers.datex_json,
            "oicp-file": parsers.oicp_file,
        }
        acts = []
        for protocol, make in made.items():
            body = make(self.evses).replace(b"NO*ABC*E", b"FR*LDS*E0").replace(b"FRABCE", b"FRLDSE0")
            what = f"a file of {len(body) / 2**20:.1f} MiB is fetched, {protocol}"
            acts.append(Act(what, partial(self._fetched, protocol, body), 20))
        return acts

    def _fetched(self, protocol: str, body: bytes) -> None:
        with Answering() as other:
            other.say(200, body=body)
            self.running.run(
                "sources", "add", protocol, "--operator", "other", "--protocol", protocol,
                "--address", other.url, "--poll", "1h", "--anywhere",
            )  # fmt: skip
            ends_s = time.monotonic() + ANSWER_DEADLINE_S
            while not other.requests and time.monotonic() < ends_s:
                time.sleep(0.1)

    def _few(self) -> None:
        row = {
            "id_pdc_itinerance": evse_id(0).replace("*", ""),
            "etat_pdc": "en_service",
            "occupation_pdc": "libre",
            "horodatage": datetime.now(UTC).isoformat(timespec="seconds"),
            "etat_prise_type_2": "",
            "etat_prise_type_combo_ccs": "",
            "etat_prise_type_chademo": "",
            "etat_prise_type_ef": "",
        }
        body = "\n".join([",".join(row), ",".join(row.values()), ""]).encode()
        self.post("/push/irve?extent=snapshot", body, content_type="text/csv")


def _is_last_part(message: Mapping[str, Any]) -> bool:
    return message.get("type") == "snapshot" and message["part"] == message["parts"]


def following(own: World, other: World) -> list[Act]:
    """Acts in which one server follows the other."""

    def begin(protocol: str) -> None:
        secret = other.running.data.parent / "secret"
        secret.write_text(other.key)
        own.running.run(
            "sources", "add", "other", "--operator", "other", "--protocol", protocol,
            "--address", other.running.url, "--secret-file", str(secret), "--anywhere",
        )  # fmt: skip

    acts = []
    for protocol, version in (("ladestrom", "v2"), ("nobil-stream", "v1")):
        acts += [
            Act(f"another server of as many EVSEs is followed, {version}", partial(begin, protocol), 30),
            Act(f"all of that server's EVSEs change, {version}", lambda: other.change(other.evses), 15),
            Act(
                f"it is followed no more (signs off), {version}",
                lambda: own.running.run("sources", "remove", "other"),
                15,
            ),
        ]
    return acts


def settle(running: Running) -> None:
    """Returns when the server has nothing more to do."""
    ends_s = time.monotonic() + ANSWER_DEADLINE_S
    while time.monotonic() < ends_s:
        cpu_s = running.cpu_s()
        time.sleep(1)
        if running.cpu_s() - cpu_s < BUSY_SHARE:
            return
    raise TimeoutError(f"the server is busy after {ANSWER_DEADLINE_S:g} s")


def play(own: World, act: Act, file: Path) -> list[probed.Step]:
    """The steps of an act, the dearest first."""
    settle(own.running)
    began_s = time.monotonic()
    act.do()
    time.sleep(act.after_s)
    settle(own.running)
    return probed.read(file, began_s, time.monotonic())


def row(act: Act, steps: Sequence[probed.Step]) -> tuple[str, ...]:
    if not steps:
        return act.what, f"under {probed.NOTED_MS:g}", "", "0", ""
    over = sum(step.cpu_ms > STEP_MS_MAX for step in steps)
    dearest = steps[0]
    return act.what, f"{dearest.cpu_ms:.1f}", f"{dearest.wall_ms:.1f}", str(over), f"`{dearest.what}`"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--evses", type=int, default=100_000)
    parser.add_argument("--only", nargs="*", default=[], help="acts whose names have one of these words")
    parser.add_argument("--without-following", action="store_true", help="no second server")
    parser.add_argument("--quiet-s", type=float, default=0.0, help="wait at most so long for a quiet machine")
    options = parser.parse_args()
    conditions = Conditions(options.quiet_s)
    rows: list[tuple[str, ...]] = []
    wrongs: list[str] = []
    with tempfile.TemporaryDirectory(prefix="ladestrom-steps-") as name, ExitStack() as stack:
        file = Path(name) / "steps"
        homes = [Path(name) / each for each in ("own", "other")]
        for home in homes:
            home.mkdir()
        own = World(homes[0], options.evses, program=probed.command(file))
        stack.enter_context(own.running)
        own.start()
        acts = own.acts()
        if not options.without_following:
            other = World(homes[1], options.evses)
            stack.enter_context(other.running)
            other.start()
            acts += following(own, other)
        for act in acts:
            if options.only and not any(word in act.what for word in options.only):
                continue
            try:
                steps = play(own, act, file)
            except Exception as error:  # noqa: BLE001 - the other acts are of use without this one
                wrongs.append(f"{act.what}: {error!r}")
                continue
            rows.append(row(act, steps))
            print(" | ".join(rows[-1]), file=sys.stderr, flush=True)
    head = (
        "act",
        "longest step, ms of CPU",
        "its wall clock, ms",
        f"over {STEP_MS_MAX:g} ms",
        "where it ended",
    )
    made = table(head, rows)
    notes = f"{options.evses:,} EVSEs, {EVSES_PER_STATION} a station; promised: at most {STEP_MS_MAX:g} ms; {os.cpu_count()} cores"
    return told(conditions, notes, made, wrongs)


if __name__ == "__main__":
    sys.exit(main())
