"""What charge points cost: connected, with heartbeats, and after a restart when all return at once.

    python bench/ocpp_stations.py [--stations 2000] [--heartbeat 60] [--seconds 30] [--version ocpp1.6]

A real server is pinned to core 0, these charge points to core 1. Each connects, boots and says the status of
its two connectors; then it says nothing but heartbeats, spread evenly. Every answer is looked at, and in the
end REST has to show what the charge points said.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import secrets
import struct
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any, Final, NamedTuple

import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.tables import Conditions, table, told
from tests.e2e.running import REGISTER_PREFIX, Running, irve_register, made_up_evse
from tests.e2e.wire import CLOSE, PING, PONG, TEXT

from ladestrom.backends import charge_points
from ladestrom.backends.database import Database
from ladestrom.backends.registry import current_revision, set_revision
from ladestrom.core.charge_points import enrol

SERVER_CORE: Final = 0
LOAD_CORE: Final = 1
EVSES: Final = 2
CORE_MAX: Final = 0.15
"""Promised for 2,000 charge points with a heartbeat a minute."""
CONNECTING_MAX: Final = 64
DEADLINE_S: Final = 20.0
TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
MIB: Final = 1024 * 1024


class Usage(NamedTuple):
    """What a process has used."""

    cpu_s: float
    memory_mib: float


def usage(pid: int) -> Usage:
    """Of a running process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return Usage((int(fields[11]) + int(fields[12])) / TICKS_PER_S, int(fields[21]) * PAGE_BYTES / MIB)


class Peer(asyncio.Protocol):
    """One charge point: as little of a WebSocket client as there can be, so that many fit on a core."""

    transport: Any

    def __init__(self, name: str, password: str, version: str) -> None:
        token = base64.b64encode(f"{name}:{password}".encode()).decode()
        self._head = (
            f"GET /ocpp/{name} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {base64.b64encode(secrets.token_bytes(16)).decode()}\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: {version}\r\n"
            f"Authorization: Basic {token}\r\n\r\n"
        ).encode()
        self._is_open = False
        self._buffer = b""
        self._calls = 0
        self._waiting: asyncio.Future[Any] | None = None
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.wrong = ""
        self.is_lost = False
        self.asked = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.transport.write(self._head)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        for future in (self.opened, self._waiting):
            if future is not None and not future.done():
                future.set_exception(ConnectionError(self.wrong or "the server ended the connection"))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._is_open:
            head, end, rest = self._buffer.partition(b"\r\n\r\n")
            if not end:
                return
            if not head.startswith(b"HTTP/1.1 101"):
                self.wrong = head.decode("latin-1").partition("\r\n")[0]
                self.transport.close()
                return
            self._is_open = True
            self._buffer = rest
            self.opened.set_result(None)
        while len(self._buffer) >= 2:
            size, start = self._buffer[1] & 0x7F, 2
            if size == 126:
                if len(self._buffer) < 4:
                    return
                size, start = int.from_bytes(self._buffer[2:4], "big"), 4
            if len(self._buffer) < start + size:
                return
            opcode, payload = self._buffer[0] & 0x0F, self._buffer[start : start + size]
            self._buffer = self._buffer[start + size :]
            self._frame(opcode, payload)

    def _frame(self, opcode: int, payload: bytes) -> None:
        if opcode == PING:
            self._put(PONG, payload)
        elif opcode == CLOSE:
            self.wrong = payload[2:].decode()
            self.transport.close()
        elif opcode == TEXT:
            message = json.loads(payload)
            if message[0] == 2:
                self.asked += 1
                self._put(TEXT, json.dumps([3, message[1], {"status": "Rejected"}]).encode())
            elif self._waiting is not None and not self._waiting.done():
                self._waiting.set_result(message)

    def _put(self, opcode: int, payload: bytes) -> None:
        # A mask of zeros is a mask: it leaves the payload as it is.
        size = (
            struct.pack("!B", 0x80 | len(payload))
            if len(payload) < 126
            else struct.pack("!BH", 0xFE, len(payload))
        )
        self.transport.write(bytes([0x80 | opcode]) + size + bytes(4) + payload)

    async def call(self, action: str, payload: dict[str, Any]) -> Any:
        """A call and its result."""
        self._calls += 1
        name = str(self._calls)
        self._waiting = asyncio.get_running_loop().create_future()
        self._put(TEXT, json.dumps([2, name, action, payload]).encode())
        async with asyncio.timeout(DEADLINE_S):
            message = await self._waiting
        if message[:2] != [3, name]:
            raise ConnectionError(f"{action} was answered by {message}")
        return message[2]


def statuses(version: str, place: int) -> list[dict[str, Any]]:
    """What a charge point says of its two EVSEs."""
    words = ("Available", "Charging" if version == "ocpp1.6" else "Occupied")
    if version == "ocpp1.6":
        return [
            {"connectorId": number, "errorCode": "NoError", "status": words[(place + number) % 2]}
            for number in (1, 2)
        ]
    return [
        {"evseId": number, "connectorId": 1, "connectorStatus": words[(place + number) % 2]}
        for number in (1, 2)
    ]


async def arrive(port: int, place: int, password: str, version: str, gate: asyncio.Semaphore) -> Peer:
    """Connects, boots and says its statuses."""
    async with gate:
        loop = asyncio.get_running_loop()
        name = f"CP{place:05d}"
        _, peer = await loop.create_connection(lambda: Peer(name, password, version), "127.0.0.1", port)
        async with asyncio.timeout(DEADLINE_S):
            await peer.opened
        await peer.call("BootNotification", {"chargePointVendor": "Exempla", "chargePointModel": "Twin"})
        for status in statuses(version, place):
            await peer.call("StatusNotification", status)
    return peer


async def beat(peer: Peer, first_s: float, every_s: float) -> None:
    """Heartbeats for ever."""
    await asyncio.sleep(first_s)
    while True:
        began_s = time.monotonic()
        await peer.call("Heartbeat", {})
        await asyncio.sleep(max(0.0, every_s - (time.monotonic() - began_s)))


class Measured(NamedTuple):
    """What one run gave."""

    arrive_s: float
    arrive_cpu_s: float
    memory_mib: float
    core: float
    asked: int
    wrongs: list[str]


async def measure(running: Running, passwords: list[str], options: argparse.Namespace, key: str) -> Measured:
    """All charge points arrive, and stay for so many seconds."""
    before = usage(running.pid)
    began_s = time.monotonic()
    gate = asyncio.Semaphore(CONNECTING_MAX)
    peers = await asyncio.gather(
        *(
            arrive(running.port, place, password, options.version, gate)
            for place, password in enumerate(passwords)
        )
    )
    arrive_s = time.monotonic() - began_s
    there = usage(running.pid)
    step_s = options.heartbeat / len(peers)
    beats = [
        asyncio.create_task(beat(peer, place * step_s, options.heartbeat)) for place, peer in enumerate(peers)
    ]
    # After five seconds those are asked that did not tell everything: that is part of arriving.
    await asyncio.sleep(options.settle)
    start, began_s = usage(running.pid), time.monotonic()
    await asyncio.sleep(options.seconds)
    end = usage(running.pid)
    core = (end.cpu_s - start.cpu_s) / (time.monotonic() - began_s)
    wrongs = [f"{place}: {peer.wrong or 'lost'}" for place, peer in enumerate(peers) if peer.is_lost]
    wrongs += [str(task.exception()) for task in beats if task.done() and not task.cancelled()]
    wrongs += differences(await asyncio.to_thread(board, running, key), len(peers))
    for task in beats:
        task.cancel()
    await asyncio.gather(*beats, return_exceptions=True)
    for peer in peers:
        peer.transport.abort()
    return Measured(
        arrive_s,
        there.cpu_s - before.cpu_s,
        end.memory_mib - before.memory_mib,
        core,
        sum(peer.asked for peer in peers),
        wrongs,
    )


def board(running: Running, key: str) -> dict[str, str]:
    """EVSE to status, over REST."""
    found: dict[str, str] = {}
    cursor = ""
    while True:
        address = f"{running.url}/api/v2/evses?limit=1000{cursor}"
        asked = urllib.request.Request(address, headers={"Authorization": f"Bearer {key}"})
        with urllib.request.urlopen(asked, timeout=DEADLINE_S) as answer:
            page = json.loads(answer.read())
        found.update({evse["evse"]: evse["status"] for evse in page["items"]})
        if not page["next"]:
            return found
        cursor = f"&cursor={page['next']}"


def differences(found: dict[str, str], stations: int) -> list[str]:
    """Where the board is not as the charge points said."""
    wrongs = []
    for place in range(stations):
        for number in range(EVSES):
            evse = made_up_evse(place, number)
            expected = ("AVAILABLE", "CHARGING")[(place + number + 1) % 2]
            if found.get(evse) != expected:
                wrongs.append(f"{evse} is {found.get(evse)}, not {expected}")
    return wrongs


async def furnish(data: Path, stations: list[str]) -> list[str]:
    """Adds charge points in one transaction; their passwords."""
    database = await Database.open(data)
    passwords = []

    async def put(connection: Any) -> None:
        for place, station in enumerate(stations):
            password, point = enrol(
                secrets.token_bytes(20),
                charge_point=f"CP{place:05d}",
                operator="bench",
                station=station,
                evses={},
                added_at=time.time_ns() // 1_000_000,
            )
            await charge_points.put(connection, point)
            passwords.append(password)
        await set_revision(connection, await current_revision(connection) + 1)

    try:
        await database.write(put)
    finally:
        await database.close()
    return passwords


def main() -> int:
    """One run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--stations", type=int, default=2_000)
    parser.add_argument("--heartbeat", type=float, default=60.0)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--settle", type=float, default=8.0)
    parser.add_argument("--version", choices=["ocpp1.6", "ocpp2.0.1", "ocpp2.1"], default="ocpp1.6")
    options = parser.parse_args()
    conditions = Conditions()
    with (
        tempfile.TemporaryDirectory(prefix="ladestrom-ocpp-") as name,
        Running(
            Path(name),
            {"ocpp.heartbeat_s": str(int(options.heartbeat)), "ocpp.connections_max": str(options.stations)},
            before_exec=lambda: os.sched_setaffinity(0, {SERVER_CORE}),
        ) as running,
    ):
        register = irve_register(Path(name) / "register.jsonl", stations=options.stations, evses=EVSES)
        running.import_register("irve", register)
        running.operator("bench", prefixes=[REGISTER_PREFIX])
        key = running.key("stream")
        stations = [f"FRA_{place + 1:05d}" for place in range(options.stations)]
        passwords = asyncio.run(furnish(running.data, stations))
        running.start()
        os.sched_setaffinity(0, {LOAD_CORE})
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            found = runner.run(measure(running, passwords, options, key))
    row = (
        f"{options.stations:,}",
        f"{found.arrive_s:.1f}",
        f"{found.arrive_cpu_s / options.stations * 1000:.2f}",
        f"{found.memory_mib * 1024 / options.stations:.0f}",
        f"{found.asked:,}",
        f"{found.core:.1%}",
        f"{CORE_MAX:.0%}",
    )
    head = (
        "stations",
        "all there after s",
        "CPU ms to arrive, each",
        "KiB each",
        "questions",
        "core used",
        "promised",
    )
    wrongs = found.wrongs
    if options.stations <= 2_000 and options.heartbeat >= 60 and found.core > CORE_MAX:
        wrongs.append(f"{found.core:.1%} of a core, more than {CORE_MAX:.0%}")
    notes = (
        f"{options.version}, a heartbeat every {options.heartbeat:g} s, measured for {options.seconds:g} s"
    )
    return told(conditions, notes, table(head, [row]), wrongs)


if __name__ == "__main__":
    sys.exit(main())
