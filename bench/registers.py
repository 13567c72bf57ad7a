"""What registers of many stations do to a server with consumers: killed half way, repeated, two at once.

    python bench/registers.py [--stations 100000] [--only big kill both] [--quiet-s 0]

A server runs with three consumers: version 1, version 2, and version 2 with records of stations. An operator
reports all the time. Then, one after the other:

big:  `ladestrom import stations` brings a register of so many stations with one EVSE each, into an empty registry.
kill: the next edition of it is imported, and the import is killed (SIGKILL) half way; it is imported again, and
      the server is killed while it takes it; it is imported a third time.
both: two editions of the register are imported at once, then a register of another kind beside the next edition.

After each, all consumers have what REST lists at the same position, every digest was right, and nobody had to
connect anew but for the kill of the server. What each costs is processor time and the most memory.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx2

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.tables import Conditions, middle, table, told
from tests.e2e.running import LADESTROM, Running, environment, irve_register

from ladestrom.client import aio, v2_aio
from ladestrom.client.session import Session
from ladestrom.client.v2_events import Fault
from ladestrom.client.v2_session import V2Session

PACE_S: Final = 0.25
"""Between two reports."""
STILL_S: Final = 4.0
"""A log that has not grown for so long has all of an import: several times as long as the store is asked."""
WAIT_S: Final = 1_800.0
OTHER_SHARE: Final = 4
"""The other register has one in so many stations."""
HEAD: Final = (
    "what",
    "import: CPU s",
    "import: most MiB",
    "import: s",
    "server: CPU s",
    "server: most MiB",
    "in step after, s",
    "reports: median / longest ms",
)


class Cost(NamedTuple):
    """What a command took."""

    code: int
    cpu_s: float
    most_mib: float
    wall_s: float
    said: str


class Import:
    """`ladestrom import`, as a process of its own with the lowest priority."""

    def __init__(self, running: Running, register: str, file: Path) -> None:
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed where it is waited for
        self._began_s = time.monotonic()
        command = ["nice", "-n", "19", *LADESTROM, "import", register, str(file), "--data", str(running.data)]
        self.process = subprocess.Popen(
            command, stdout=self._said, stderr=self._said, env=environment({}), stdin=subprocess.DEVNULL
        )

    def kill_at(self, cpu_s: float) -> None:
        """Kills it once it has used so much processor time, or when it ended before."""
        with contextlib.suppress(FileNotFoundError, IndexError):
            while _cpu_s(self.process.pid) < cpu_s:
                time.sleep(0.02)
            self.process.kill()

    def done(self) -> Cost:
        _, status, used = os.wait4(self.process.pid, 0)
        self.process.returncode = code = os.waitstatus_to_exitcode(status)
        self._said.seek(0)
        said = self._said.read().decode(errors="replace")
        self._said.close()
        wall_s = time.monotonic() - self._began_s
        return Cost(code, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, wall_s, said)


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    if fields[0] == "Z":
        raise FileNotFoundError(pid)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Audience(threading.Thread):
    """Three consumers, in a thread and loop of their own."""

    def __init__(self, url: str, key: str) -> None:
        super().__init__(daemon=True)
        self.first = Session()
        self.second = V2Session()
        self.third = V2Session(include_stations=True)
        self.opened = 0
        self.wrongs: list[str] = []
        self._url, self._key = url, key
        self._loop = asyncio.new_event_loop()

    def run(self) -> None:
        self._loop.run_until_complete(self._run())

    async def _run(self) -> None:
        events: Sequence[AsyncIterator[object]] = (
            aio.follow(self._url, self._key, self.first, chance=lambda: 0.1),
            *(
                v2_aio.V2Follower(self._url, self._key, each, chance=lambda: 0.1).events()
                for each in (self.second, self.third)
            ),
        )
        await asyncio.gather(*(self._follow(number, each) for number, each in enumerate(events, 1)))

    async def _follow(self, number: int, events: Any) -> None:
        async with aclosing(events):
            async for event in events:
                match event:
                    case aio.Opened():
                        self.opened += 1
                    case aio.Lost(why=why, fault=fault) if fault is not None:
                        self.wrongs.append(f"consumer {number}: {why}")
                    case v2_aio.Received(event=Fault() as wrong):
                        self.wrongs.append(f"consumer {number}: {wrong}")

    def seqs(self) -> list[int]:
        sessions = (self.first, self.second, self.third)
        return [-1 if each.position is None else each.position.seq for each in sessions]


class Reporter(threading.Thread):
    """An operator that reports of a few EVSEs, and what its requests took."""

    def __init__(self, url: str, key: str, evses: Sequence[str]) -> None:
        super().__init__(daemon=True)
        self.took_ms: list[float] = []
        self.seq = 0
        self.failed = 0
        self._url, self._evses = url, evses
        self._headers = {"Authorization": f"Bearer {key}"}
        self._rounds = 0
        self._quiet = threading.Event()
        self._free = threading.Lock()

    def run(self) -> None:
        while True:
            with self._free:
                if not self._quiet.is_set():
                    self.report()
            time.sleep(PACE_S)

    def report(self, *, empty: bool = False) -> None:
        self._rounds += not empty
        word = ("AVAILABLE", "CHARGING")[self._rounds // len(self._evses) % 2]
        name = self._evses[self._rounds % len(self._evses)]
        began_s = time.monotonic()
        try:
            answer = httpx2.post(
                f"{self._url}/api/v2/reports",
                json=[] if empty else [{"evse": name, "status": word}],
                headers=self._headers,
                timeout=WAIT_S,
            )
            self.seq = int(answer.json()["position"].rpartition("-")[2])
        except (httpx2.HTTPError, KeyError, ValueError):
            self.failed += 1
            return
        self.took_ms.append(1000 * (time.monotonic() - began_s))

    @contextlib.contextmanager
    def quiet(self) -> Iterator[None]:
        self._quiet.set()
        with self._free:
            pass
        try:
            yield
        finally:
            self._quiet.clear()


class World:
    """The server, its consumers, and registers for it."""

    def __init__(self, directory: Path, stations: int) -> None:
        self.stations = stations
        self.rows: list[list[str]] = []
        self.wrongs: list[str] = []
        self._directory = directory
        self.running = Running(directory, {"stream.heartbeat_s": "5"})
        self.running.operator("acme", all_evses=True)
        report_key, self._key = self.running.key("report", operator="acme"), self.running.key("stream")
        self.running.start()
        self.audience = Audience(self.running.url, self._key)
        self.audience.start()
        self.reporter = Reporter(self.running.url, report_key, [evse_id(number) for number in range(20)])
        self.reporter.start()

    def edition(self, number: int) -> Path:
        """A register of one's own stations; each edition has other names for all of them."""
        file = self._directory / f"edition{number}.csv"
        with file.open("w") as lines:
            lines.write(
                "station_id,name,country,latitude,longitude,operator,address,city,evse_id,max_kw,"
                "connector1_standard\n"
            )
            for place in range(self.stations):
                lines.write(
                    f"s{place},Station {place} edition {number},DEU,{47 + place % 7000 / 1000:.4f},"
                    f"{7 + place // 7000 / 100:.4f},Betreiber {place % 200},Straße {place % 300},"
                    f"Ort {place % 900},{evse_id(place)},150,CCS2\n"
                )
        return file

    def measure(self, what: str, *imports: Import, opens: int = 0) -> list[Cost]:
        """Waits for the imports and until all are in step; notes what it cost, and compares."""
        server_s, opened = self.running.cpu_s(), self.audience.opened
        self.reporter.took_ms.clear()
        costs = [each.done() for each in imports]
        began_s = time.monotonic()
        self.still()
        self.rows.append(
            [
                what,
                " + ".join(f"{each.cpu_s:.0f}" for each in costs),
                " + ".join(f"{each.most_mib:.0f}" for each in costs),
                " + ".join(f"{each.wall_s:.0f}" for each in costs),
                f"{self.running.cpu_s() - server_s:.0f}",
                f"{self._most_mib():.0f}",
                f"{time.monotonic() - began_s - STILL_S:.0f}",
                f"{middle(self.reporter.took_ms):.0f} / {max(self.reporter.took_ms, default=0):.0f}",
            ]
        )
        print("| " + " | ".join(self.rows[-1]) + " |", flush=True)
        self.compare(what)
        if self.audience.opened != opened + opens:
            self.wrongs.append(f"{what}: {self.audience.opened - opened - opens} connections were made anew")
        return costs

    def _most_mib(self) -> float:
        status = Path(f"/proc/{self.running.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024

    def still(self) -> None:
        """Returns when nothing but reports has been logged for a while."""
        with self.reporter.quiet():
            ends_s = time.monotonic() + WAIT_S
            last, since_s = -1, time.monotonic()
            while time.monotonic() - since_s < STILL_S:
                self.reporter.report(empty=True)
                if self.reporter.seq != last:
                    last, since_s = self.reporter.seq, time.monotonic()
                if time.monotonic() > ends_s:
                    self.wrongs.append("the log does not come to rest")
                    return
                time.sleep(0.2)

    def pages(self, path: str) -> Iterator[dict[str, Any]]:
        headers = {"Authorization": f"Bearer {self._key}"}
        with httpx2.Client(base_url=self.running.url, headers=headers, timeout=WAIT_S) as client:
            while path:
                answer = client.get(path)
                answer.raise_for_status()
                yield answer.json()
                path = answer.headers.get("link", "").partition("<")[2].partition(">")[0]

    def compare(self, what: str) -> None:
        """Each consumer has what REST lists."""
        audience = self.audience
        with self.reporter.quiet():
            ends_s = time.monotonic() + WAIT_S
            # Version 1 is not told of records: the last entry has to be a status.
            before = self.reporter.seq
            while self.reporter.seq == before:
                self.reporter.report()
            while min(audience.seqs()) < self.reporter.seq and time.monotonic() < ends_s:
                time.sleep(0.05)
            confirmed = [audience.second.confirmed, audience.third.confirmed]
            evses = {
                row["evse"]: (row["station"], row["status"], row["error"], row["changed_at"])
                for page in self.pages("/api/v2/evses?limit=1000")
                for row in page["items"]
            }
            stations = {
                row["uuid"]: record(row)
                for page in self.pages("/api/v2/stations?limit=1000")
                for row in page["items"]
            }
            for number, session in ((2, audience.second), (3, audience.third)):
                board = {
                    row.evse: (row.station, row.status, row.error, row.changed_at)
                    for row in session.board.values()
                }
                self._same(f"{what}: statuses of consumer {number}", board, evses)
            told_of = {uuid: record(each) for uuid, each in audience.third.stations.items()}
            self._same(f"{what}: stations of consumer 3", told_of, stations)
            first = {uuid: len(each.connectors) for uuid, each in audience.first.board.items()}
            self._same(f"{what}: stations of consumer 1", dict.fromkeys(first, 1), dict.fromkeys(stations, 1))
            while time.monotonic() < ends_s and not (
                audience.second.confirmed > confirmed[0] and audience.third.confirmed > confirmed[1]
            ):
                time.sleep(0.05)
        self.wrongs += (f"{what}: {each}" for each in audience.wrongs)
        audience.wrongs.clear()
        self.names = {row["name"] for row in stations.values()}
        print(f"{what}: {len(stations)} stations, {len(evses)} EVSEs compared", flush=True)

    def _same(self, what: str, found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
        if found != expected:
            differing = [
                name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name)
            ]
            name = min(differing)
            self.wrongs.append(
                f"{what}: {len(differing)} differ: {name} is {found.get(name)}, not {expected.get(name)}"
            )


def record(row: Mapping[str, Any]) -> dict[str, Any]:
    """What of a station is its record."""
    return {name: row.get(name) for name in ("uuid", "name", "operator", "revision", "position", "register")}


def evse_id(number: int) -> str:
    return f"DE*LDS*E{number:07d}"


def editions(world: World) -> set[str]:
    """Which editions of the register the stations have."""
    return {name.rpartition(" ")[2] for name in world.names if " edition " in name}


def expect(world: World, what: str, *allowed: str) -> None:
    if (found := editions(world)) not in [{each} for each in allowed]:
        world.wrongs.append(f"{what}: stations are of the editions {sorted(found)}, not one of {allowed}")


def big(world: World) -> Cost:
    (cost,) = world.measure("the register comes", Import(world.running, "stations", world.edition(1)))
    if cost.code != 0:
        world.wrongs.append(f"the import ended with {cost.code}: {cost.said}")
    expect(world, "the register comes", "1")
    return cost


def kill(world: World, cpu_s: float) -> None:
    file = world.edition(2)
    for share in (0.3, 0.6, 0.9):
        importing = Import(world.running, "stations", file)
        importing.kill_at(share * cpu_s)
        (cost,) = world.measure(f"killed at {share:.0%} of its processor time", importing)
        expect(world, f"killed at {share:.0%}", *(["1"] if cost.code < 0 else ["2"]))
    before = world.reporter.seq
    (cost,) = [Import(world.running, "stations", file).done()]
    while world.reporter.seq < before + world.stations // 3:
        time.sleep(0.05)
    world.running.kill9()
    world.running.start(WAIT_S)
    world.measure("the server is killed while it takes it", opens=3)
    expect(world, "the server is killed", "2")
    world.measure("and it is imported again", Import(world.running, "stations", file))
    expect(world, "imported again", "2")


def both(world: World) -> None:
    files = world.edition(3), world.edition(4)
    costs = world.measure(
        "two editions at once", *(Import(world.running, "stations", each) for each in files)
    )
    allowed = [name for name, each in zip("34", costs, strict=True) if each.code == 0]
    expect(world, "two editions at once", *allowed)
    for each in costs:
        if each.code != 0:
            world.wrongs.append(f"an import ended with {each.code}: {each.said}")
    other = irve_register(world._directory / "other.jsonl", stations=world.stations // OTHER_SHARE, evses=1)
    costs = world.measure(
        "two registers at once",
        Import(world.running, "irve", other),
        Import(world.running, "stations", world.edition(5)),
    )
    for each in costs:
        if each.code != 0:
            world.wrongs.append(f"an import ended with {each.code}: {each.said}")
    expect(world, "two registers at once", "5")
    expected = world.stations + world.stations // OTHER_SHARE
    if len(world.audience.third.stations) != expected:
        world.wrongs.append(f"there are {len(world.audience.third.stations)} stations, not {expected}")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--stations", type=int, default=100_000)
    parser.add_argument("--only", nargs="+", choices=("big", "kill", "both"), default=("big", "kill", "both"))
    parser.add_argument("--quiet-s", type=float, default=0.0, help="wait at most so long for a quiet machine")
    options = parser.parse_args()
    conditions = Conditions(options.quiet_s)
    with tempfile.TemporaryDirectory(prefix="ladestrom-registers-") as name:
        world = World(Path(name), options.stations)
        with world.running:
            cost = big(world)
            if "kill" in options.only:
                kill(world, cost.cpu_s)
            if "both" in options.only:
                both(world)
    notes = f"{options.stations:,} stations with an EVSE each, three consumers, durability full"
    return told(conditions, notes, table(HEAD, world.rows), world.wrongs)


if __name__ == "__main__":
    sys.exit(main())
