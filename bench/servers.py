"""The servers that are compared: ladestrom, and peers that do nothing but fan out. All run on one core.

Knows how each is started, fed and asked for its processor time. Must not know what is measured.
"""

from __future__ import annotations

import contextlib
import math
import os
import random
import select
import shutil
import signal
import socket
import subprocess
import time
from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import apsw
import httpx2
import msgspec
from bench.consumers import HERE, Reader, compiled, upgrade
from bench.feeding import Publications, Records, Reports, Road, Template
from bench.intake import on_core
from tests.e2e.running import LADESTROM, REGISTER_PREFIX, Running, free_port, irve_register, made_up_evse

SERVER_CORE: Final = 0
OPERATORS: Final = 8
"""Reports come from so many, in turn."""
CONSUMERS_PER_KEY_MAX: Final = 20_000
"""All consumers come with one key."""
KEEP_ALIVE_S: Final = 3_600
"""Operators' connections stay while nothing is reported."""
STARTED_AT: Final = 1_600_000_000_000
SEED: Final = 1
CHANGES_PER_REQUEST: Final = 1_000
"""At most, while every EVSE gets a status."""
START_DEADLINE_S: Final = 30.0
STOP_DEADLINE_S: Final = 10.0
INSTALL_DEADLINE_S: Final = 120.0
FIRST_SEQ: Final = 100_000
"""Where peers begin to count: as many digits as the measured server's have."""
NCHAN_MODULE: Final = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")

PATHS: Final[Mapping[str, str]] = {
    "v1": "/api/v1/stream?types=snapshot,update",
    "v2": "/api/v2/stream?batch_ms=0",
}
"""The stream's path in each version of the interface, without keep-alives and without waiting."""


class Absent(Exception):
    """A peer cannot be had on this machine; says why."""


class Fanout(Protocol):
    """A server that fans out."""

    name: str
    port: int

    @property
    def road(self) -> Road:
        """How it is fed."""
        ...

    def request(self) -> bytes:
        """A consumer's upgrade request."""
        ...

    def cpu_s(self) -> float:
        """Seconds of processor time used so far."""
        ...

    def seq(self, change: int) -> int:
        """Position that consumers have after so many of the road's changes."""
        ...

    def sent_ns(self, first: int, count: int) -> Sequence[int]:
        """When the changes at positions `first`, ... were sent; monotonic ns."""
        ...


IN_STEP_S_MAX: Final = 60.0


class Ladestrom:
    """The server that is measured, with a made-up register and operators that report on all of it."""

    name = "ladestrom"

    def __init__(self, running: Running, api: str, stations: int, evses: int) -> None:
        """Starts it, and gives every EVSE its first status."""
        self.api = api
        self.stations = stations
        self.evses = evses
        self.running = running
        self.port = running.port
        register = running.data.parent / "register.jsonl"
        running.import_register("irve", irve_register(register, stations=stations, evses=evses))
        names = [f"operator-{number}" for number in range(OPERATORS)]
        for name in names:
            running.operator(name, prefixes=[REGISTER_PREFIX])
        keys = [running.key("report", operator=name) for name in names]
        self.key = running.key("stream")
        running.start()
        # Stations in no order, as reports come; and each again only after all others.
        order = random.Random(SEED).sample(range(stations), stations)
        ids = [made_up_evse(station, number) for number in range(evses) for station in order]
        self.road = Reports(self.port, keys, ids, STARTED_AT)
        self._before = self._last_seq()
        self.one_round()

    def one_round(self) -> None:
        """Changes every EVSE once."""
        changes = math.gcd(self.stations * self.evses, CHANGES_PER_REQUEST)
        for tick in self.road.ticks(self.stations * self.evses // changes, changes):
            self.road.send(tick)
        self.road.settle()
        self._in_step()

    def _in_step(self) -> None:
        """Returns when readers have what was acknowledged: they follow the log, and may be some entries behind."""
        ends_s, seq = time.monotonic() + IN_STEP_S_MAX, -1
        headers = {"X-Api-Key": self.key}
        while seq < self.road.seq:
            if time.monotonic() > ends_s:
                raise RuntimeError(f"readers are at {seq}, and the log at {self.road.seq}")
            answer = httpx2.get(f"{self.running.url}/api/v2/evses?limit=1", headers=headers)
            seq = int(answer.raise_for_status().json()["position"].rpartition("-")[2])

    @classmethod
    @contextlib.contextmanager
    def started(
        cls,
        directory: Path,
        api: str = "v1",
        *,
        stations: int = 2_500,
        evses: int = 4,
        settings: Mapping[str, str] | None = None,
        program: Sequence[str | Path] = LADESTROM,
    ) -> Iterator[Ladestrom]:
        """One that runs on the servers' core until the block ends."""
        home = directory / "ladestrom"
        home.mkdir()
        wanted = {
            "log.durability": "full",
            "server.keep_alive_s": str(KEEP_ALIVE_S),
            "stream.consumers_per_key_max": str(CONSUMERS_PER_KEY_MAX),
            **(settings or {}),
        }
        with Running(home, wanted, before_exec=on_core(SERVER_CORE), program=program) as running:
            yield cls(running, api, stations, evses)

    def request(self, *, deflate: bool = False) -> bytes:
        """A consumer's upgrade request."""
        return upgrade(PATHS[self.api], self.key, deflate=deflate)

    def cpu_s(self) -> float:
        return self.running.cpu_s()

    def seq(self, change: int) -> int:
        return self._before + change

    def template(self, changes: int) -> Template:
        """A message as its consumers get it when so many changes come at once."""
        with Reader(self.port, self.request()) as reader:
            (tick,) = self.road.ticks(1, changes)
            self.road.send(tick)
            self.road.settle()
            return Template(reader.up_to(self.road.seq)[-1].text)

    def sent_ns(self, first: int, count: int) -> Sequence[int]:
        found = array("q", bytes(8 * count))
        for seq, _, observed_at in self._entries(first, count):
            found[seq - first] = self.road.sent_ns[self.road.number(observed_at)]
        return found

    def appended_ns(self, first: int, count: int) -> Sequence[int]:
        """When the append of each change began, by the log's clock of whole milliseconds: monotonic ns."""
        ahead_ns = time.time_ns() - time.monotonic_ns()
        found = array("q", bytes(8 * count))
        for seq, at, _ in self._entries(first, count):
            found[seq - first] = at * 1_000_000 - ahead_ns
        return found

    def _entries(self, first: int, count: int) -> Iterator[tuple[int, int, int]]:
        """Sequence, instant of the append and instant of the observation; ms."""
        connection = self._log()
        try:
            query = "SELECT seq, at, json_extract(body, '$[5]') FROM entries WHERE seq >= ? AND seq < ?"
            yield from connection.execute(query, (first, first + count))
        finally:
            connection.close()

    def _last_seq(self) -> int:
        connection = self._log()
        try:
            rows: list[tuple[Any, ...]] = connection.execute("SELECT max(seq) FROM entries").fetchall()
            return int(rows[0][0] or 0)
        finally:
            connection.close()

    def _log(self) -> apsw.Connection:
        return apsw.Connection(str(self.running.data / "log.db"), flags=apsw.SQLITE_OPEN_READONLY)


class Peer:
    """A server that is fed messages of its own; each has the position that is counted from `FIRST_SEQ` on."""

    def __init__(
        self, name: str, process: subprocess.Popen[bytes], port: int, road: Records | Publications
    ) -> None:
        self.name = name
        self.port = port
        self.road = road
        self._process = process

    def request(self) -> bytes:
        return upgrade("/sub")

    def cpu_s(self) -> float:
        return sum(map(_cpu_s, [self._process.pid, *_children(self._process.pid)]))

    def seq(self, change: int) -> int:
        return FIRST_SEQ + change - 1

    def sent_ns(self, first: int, count: int) -> Sequence[int]:
        start = first - FIRST_SEQ
        return self.road.sent_ns[start : start + count]


@contextlib.contextmanager
def c_peer(directory: Path, template: Template, gather_ms: int = 20) -> Iterator[Peer]:
    """The small server in C with the same batching: passes `gather_ms` apart under load."""
    with _process([str(compiled(directory, "fanout_server")), str(gather_ms)], directory) as process:
        ports = _ports(process)
        with contextlib.closing(Records(ports["feed"], template, FIRST_SEQ)) as road:
            yield Peer("C", process, ports["port"], road)


@contextlib.contextmanager
def ws_peer(directory: Path, template: Template) -> Iterator[Peer]:
    """The `ws` of npm, one send per consumer and message.

    Raises:
        Absent: there is no node or npm, or the package cannot be installed.
    """
    home = directory / "ws_peer"
    if not home.exists():
        _install_ws(home)
    with _process(["node", "server.js"], home) as process:
        ports = _ports(process)
        with contextlib.closing(Records(ports["feed"], template, FIRST_SEQ)) as road:
            yield Peer("ws", process, ports["port"], road)


def _install_ws(home: Path) -> None:
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise Absent("no node and npm")
    shutil.copytree(HERE / "ws_peer", home, ignore=shutil.ignore_patterns("node_modules"))
    command = ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--silent"]
    try:
        subprocess.run(command, cwd=home, check=True, capture_output=True, timeout=INSTALL_DEADLINE_S)
    except (OSError, subprocess.SubprocessError) as error:
        shutil.rmtree(home)
        raise Absent(f"npm cannot install ws ({type(error).__name__})") from error


@contextlib.contextmanager
def nchan_peer(directory: Path, template: Template) -> Iterator[Peer]:
    """One worker of nginx with nchan.

    Raises:
        Absent: one of them is not installed.
    """
    nginx = shutil.which("nginx", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"]))
    if nginx is None or not NCHAN_MODULE.exists():
        raise Absent("no nginx with nchan; on Debian: apt-get install nginx libnginx-mod-nchan")
    home = directory / "nchan"
    home.mkdir(exist_ok=True)
    port = free_port()
    file = home / "nchan.conf"
    file.write_text(nchan_configuration(home, port))
    with _process([nginx, "-p", str(home), "-e", str(home / "error.log"), "-c", str(file)], home) as process:
        _listens(port, process)
        with contextlib.closing(Publications(port, template, FIRST_SEQ)) as road:
            yield Peer("nchan", process, port, road)


def nchan_configuration(home: Path, port: int) -> str:
    """One worker, one channel, messages kept long enough for whoever is behind."""
    temporary = "\n".join(
        f"  {kind}_temp_path {home / kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""load_module {NCHAN_MODULE};
daemon off;
user {"root" if os.geteuid() == 0 else "nobody"};
worker_processes 1;
worker_rlimit_nofile 20000;
pid {home / "nginx.pid"};
error_log {home / "error.log"} error;
events {{ worker_connections 20000; }}
http {{
  access_log off;
{temporary}
  keepalive_requests 100000000;
  nchan_shared_memory_size 512M;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location = /pub {{
      nchan_publisher websocket;
      nchan_channel_id updates;
      nchan_message_buffer_length 20000;
      nchan_message_timeout 60s;
    }}
    location = /sub {{
      nchan_subscriber websocket;
      nchan_channel_id updates;
      nchan_subscriber_first_message newest;
    }}
  }}
}}
"""


@contextlib.contextmanager
def _process(command: Sequence[str], directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        command,
        cwd=directory,
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        preexec_fn=on_core(SERVER_CORE),  # noqa: PLW1509 - no threads hold locks that it takes
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            for child in _children(process.pid):
                os.kill(child, signal.SIGKILL)
            process.kill()
            process.wait()
        assert process.stdout is not None
        process.stdout.close()


def _ports(process: subprocess.Popen[bytes]) -> dict[str, int]:
    assert process.stdout is not None
    if not select.select([process.stdout], [], [], START_DEADLINE_S)[0]:
        raise Absent(f"it said nothing within {START_DEADLINE_S:g} s")
    line = process.stdout.readline()
    if not line:
        raise Absent(f"it ended with {process.wait()}")
    return msgspec.json.decode(line, type=dict[str, int])


def _listens(port: int, process: subprocess.Popen[bytes]) -> None:
    ends_s = time.monotonic() + START_DEADLINE_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError as error:
            if process.poll() is not None or time.monotonic() > ends_s:
                raise Absent(f"it does not listen ({error})") from error
            time.sleep(0.02)
        else:
            return


def rss_kib(pid: int) -> int:
    """Resident memory now."""
    return _status_kib(pid, "VmRSS")


def rss_peak_kib(pid: int) -> int:
    """The most resident memory since `forget_peak`."""
    return _status_kib(pid, "VmHWM")


def forget_peak(pid: int) -> None:
    """Begins to look for the most resident memory anew (Linux, proc(5), clear_refs)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def _status_kib(pid: int, name: str) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition(f"{name}:")[2].split(maxsplit=1)[0])


def _children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
