"""A source that is followed: however much comes of it, and at once, others have their turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from tests.building import NOW, make_operator, make_station
from tests.patience import come_true, turns

from ladestrom import tasks
from ladestrom.backends.memory import MemoryLog
from ladestrom.client.aio import Lost, Opened
from ladestrom.core.board import Board
from ladestrom.core.directory import Directory
from ladestrom.ingest import parsing
from ladestrom.ingest.http_poll import SourceLimits
from ladestrom.ingest.intake import Intake
from ladestrom.ingest.lines import Incoming
from ladestrom.ingest.parsing import ParsingProcess
from ladestrom.ingest.sources import ServerServices
from ladestrom.ingest.supervision import Supervision
from ladestrom.ingest.websocket_client import Follower
from ladestrom.model import Status
from ladestrom.ports.sources import SourceRecord
from ladestrom.protocols import STREAMS
from ladestrom.writer.hub import Hub

FRAMES = 100
SOURCE = SourceRecord(
    name="above",
    operator="abc",
    protocol="nobil-stream",
    address="http://127.0.0.1:9/",
    added_at=NOW,
    changed_at=NOW,
)


class Line:
    """A connection on which all that it tells is there at once; then nothing more comes."""

    has_state = True
    position = None

    def __init__(self, *told: Incoming) -> None:
        self._told = told
        self.done = asyncio.get_running_loop().create_future()

    def forget(self) -> None:
        """There is nothing that it knows."""

    async def happenings(self) -> AsyncGenerator[Opened | Incoming | Lost, None]:
        for each in self._told:
            yield each
        self.done.set_result(None)
        await asyncio.Event().wait()


class World:
    """One source, and what it needs of the server."""

    def __init__(self) -> None:
        log = MemoryLog()
        self.board = Board()
        self.hub = Hub(log, self.board, Directory([make_station("NOR_00001", 2)]), lambda: NOW)
        self.parsing = ParsingProcess()
        store: Any = None
        intake = Intake(self.hub, Supervision(lambda: NOW))
        services = ServerServices(intake, store, SourceLimits(), lambda: NOW, lambda: log.last, self.parsing)
        services.operators = {"abc": make_operator()}
        self.follower = Follower(SOURCE, STREAMS["nobil-stream"], services)

    @asynccontextmanager
    async def following(self, line: Line) -> AsyncIterator[None]:
        @asynccontextmanager
        async def opened() -> AsyncIterator[Line]:
            yield line

        follower: Any = self.follower
        follower._opened_line = opened
        work = [asyncio.create_task(each) for each in (self.hub.run(), follower._attempt())]
        try:
            yield
        finally:
            for each in work:
                each.cancel()
            await asyncio.gather(*work, return_exceptions=True)
            await self.parsing.stop()

    def statuses(self) -> list[Status]:
        return [row.change.status for row in self.board.cells.values()]


def snapshot(*pairs: tuple[int, int], at: int = NOW - 1) -> bytes:
    connectors = [{"status": status, "error": error, "timestamp": at} for status, error in pairs]
    data = [{"uuid": "NOR_00001", "connectors": connectors}]
    return msgspec.json.encode({"type": "snapshot:init", "data": data, "epoch": "e", "seq": 1})


async def test_between_messages_that_are_all_there_others_have_their_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tasks, "TURN_S", 0)
    line = Line(*[Incoming()] * FRAMES)
    async with World().following(line):
        assert await turns(line.done) >= FRAMES


async def test_a_large_message_is_read_in_the_process_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parsing, "OWN_PROCESS_BYTES_MIN", 1)
    world = World()
    async with world.following(Line(Incoming(snapshot((0, 0), (1, 0))))):
        await come_true(lambda: world.statuses() == [Status.AVAILABLE, Status.CHARGING])
        assert world.parsing.pid is not None


async def test_a_snapshot_takes_back_what_it_does_not_name_and_not_what_cannot_be_read() -> None:
    world = World()
    line = Line(
        Incoming(snapshot((0, 0), (0, 0))),
        # Of the first connector there is a word that has no time, of the second nothing is known.
        Incoming(snapshot((1, 0), (-1, 0), at=1)),
    )
    async with world.following(line):
        await line.done
        await come_true(lambda: world.statuses() == [Status.AVAILABLE, Status.UNKNOWN])
