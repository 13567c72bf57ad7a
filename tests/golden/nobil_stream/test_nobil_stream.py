"""Reports in, exact frames out: the whole road from an operator's message to a consumer of version 1.

A sample's first line is the registry, our clock, and what the consumer asks for; each further line is a
message of the operator, or a consumer that joins in the place of the one before. Of what comes out, `<` are
receipts and `>` frames. `UPDATE_GOLDEN=1` writes what comes out as what is expected.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.building import TYPE_2, make_evse, make_station
from tests.listening import FRAMINGS
from tests.patience import come_true

from ladestrom.backends.memory import MemoryLog
from ladestrom.core.board import Board
from ladestrom.core.directory import Directory
from ladestrom.core.selection import STATION_FILTERS, selection
from ladestrom.core.view import View
from ladestrom.model import Operator, Outlet, Position, Station
from ladestrom.outputs.nobil_v1.encoder import NobilDialect, NobilFormat
from ladestrom.protocols import plain
from ladestrom.reader.broadcast import Broadcast
from ladestrom.reader.subscriptions import Subscriber, Subscription
from ladestrom.writer.hub import Hub

HERE = Path(__file__).parent
SAMPLES = sorted(HERE.glob("*.jsonl"))
OPERATOR = Operator(name="abc", all=True)


class Road:
    """Everything between an operator and a consumer, without sockets."""

    def __init__(self, stations: list[Station], received_at: int) -> None:
        self.lines: list[str] = []
        """What came out: receipts, and behind each the frames that its message made."""
        self._frames: list[str] = []
        self.paused = False
        directory = Directory(stations)
        self._log = MemoryLog("golden")
        self._broadcast = Broadcast(
            self._log, View(directory, "golden"), {"v1": NobilDialect(NobilFormat())}, FRAMINGS
        )
        self._hub = Hub(self._log, Board(), directory, lambda: received_at)
        self._hub.listener = self._broadcast
        self._evses = list(directory.evses())
        self._subscriber: Subscriber | None = None

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(work) for work in (self._hub.run(), self._broadcast.run())]
        try:
            await self._hub.reconcile(self._evses, [])
            await self._settled()
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def join(self, asked: dict[str, str]) -> None:
        if self._subscriber is not None:
            self._broadcast.leave(self._subscriber)
        types = asked.get("types", "snapshot,update,raw").split(",")
        since = asked.get("since")
        subscription = Subscription(
            selection(asked, names=STATION_FILTERS), "update" in types, "raw" in types
        )
        self._subscriber = self._broadcast.join(
            self, subscription, since=Position.parse(since) if since else None
        )
        self._tell()

    async def report(self, message: Any) -> None:
        body = json.dumps(message).encode()
        delivery = plain.receive(body, OPERATOR.name, items_max=10)
        receipt = await self._hub.submit(OPERATOR, delivery.reports, delivery.refused)
        self.lines.append(f"< {plain.answer(receipt).decode()}")
        await self._settled()
        self._tell()

    async def _settled(self) -> None:
        await come_true(lambda: self._broadcast.view.seq == self._log.last.seq)
        await come_true(
            lambda: self._subscriber is None or self._subscriber.next == self._subscriber.channel.end
        )

    def _tell(self) -> None:
        self.lines += self._frames
        self._frames = []

    def write(self, data: bytes) -> None:
        self._frames += [f"> {line}" for line in data.decode().splitlines()]

    def overrun(self, position: Position) -> None:
        raise AssertionError(f"overrun at {position}")

    def interrupted(self, position: Position) -> None:
        raise AssertionError(f"interrupted at {position}")


def registered(written: dict[str, Any]) -> Station:
    uuid = written["uuid"]
    evses = [make_evse(evse_id, uuid) for evse_id in written["evses"]]
    places = written.get("outlets", range(len(evses)))
    return make_station(uuid, evses, outlets=tuple(Outlet(place, TYPE_2) for place in places))


async def transcript(path: Path) -> str:
    first, *steps = [json.loads(line) for line in path.read_text().splitlines()]
    road = Road([registered(station) for station in first["stations"]], first["received_at"])
    async with road.open():
        await road.join(first.get("join", {}))
        for step in steps:
            ((name, argument),) = step.items()
            await getattr(road, name)(argument)
    return "\n".join(road.lines) + "\n"


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
async def test_these_reports_make_exactly_these_frames(path: Path) -> None:
    expected = path.with_suffix(".out")
    told = await transcript(path)
    if os.environ.get("UPDATE_GOLDEN") == "1":
        expected.write_text(told)
    assert told == expected.read_text()


def test_there_are_samples() -> None:
    assert len(SAMPLES) > 4
