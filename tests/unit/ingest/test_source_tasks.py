"""Sources that end by a defect of ours: each costs itself only, is told of, and begins anew."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.building import NOW, make_operator, make_station
from tests.patience import come_true

from ladestrom import tasks
from ladestrom.backends.memory import MemoryLog
from ladestrom.core.board import Board
from ladestrom.core.directory import Directory
from ladestrom.ingest import extensions
from ladestrom.ingest.http_poll import Poller, SourceLimits
from ladestrom.ingest.intake import Intake
from ladestrom.ingest.parsing import ParsingProcess
from ladestrom.ingest.sources import ServerServices, SourceTasks
from ladestrom.ingest.supervision import Supervision
from ladestrom.ingest.websocket_client import Follower
from ladestrom.outbound.pacing import PaceLimits
from ladestrom.ports.sources import SourceRecord
from ladestrom.writer.hub import Hub


class Store:
    """Remembers nothing."""

    async def remember_source(self, *_: Any) -> bool:
        return True


def source(protocol: str) -> SourceRecord:
    return SourceRecord(
        name="acme",
        operator="abc",
        protocol=protocol,
        address="http://127.0.0.1:9/",
        added_at=NOW,
        changed_at=NOW,
    )


@pytest.fixture
async def running() -> AsyncIterator[SourceTasks]:
    log = MemoryLog()
    hub = Hub(log, Board(), Directory([make_station()]), lambda: NOW)
    work = asyncio.create_task(hub.run())
    store: Any = Store()
    limits = SourceLimits(pace=PaceLimits(rest_s=0))
    intake, parsing = Intake(hub, Supervision(lambda: NOW)), ParsingProcess()
    services = ServerServices(intake, store, limits, lambda: NOW, lambda: log.last, parsing)
    found = SourceTasks(services, extensions.table())
    yield found
    await found.stop()
    work.cancel()


async def begin(running: SourceTasks, protocol: str) -> None:
    await running.follow([source(protocol)], {"abc": make_operator()})
    running.start()


async def test_one_that_is_asked_begins_anew(running: SourceTasks, monkeypatch: pytest.MonkeyPatch) -> None:
    began = 0

    async def wrong(self: Poller) -> None:
        nonlocal began
        began += 1
        if began < 3:
            raise ValueError("a defect")
        await asyncio.Event().wait()

    monkeypatch.setattr(Poller, "run", wrong)
    before = tasks.deaths["source"]
    await begin(running, "irve")
    await come_true(lambda: began == 3)
    assert tasks.deaths["source"] == before + 2
    health = running._services.intake.supervision.sources["acme"]
    assert (health.failed_last, health.failures["internal"]) == (True, 2)


async def test_one_that_is_followed_does_not_go_on_without_whoever_gives_it_up(
    running: SourceTasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched, followed = 0, 0

    async def wrong(self: Follower) -> None:
        nonlocal watched
        watched += 1
        if watched == 1:
            await come_true(lambda: followed == 1)
            raise ValueError("a defect")
        await asyncio.Event().wait()

    async def follow(self: Follower) -> None:
        nonlocal followed
        followed += 1
        await asyncio.Event().wait()

    monkeypatch.setattr(Follower, "_watch", wrong)
    monkeypatch.setattr(Follower, "_keep_on", follow)
    await begin(running, "ladestrom")
    await come_true(lambda: (watched, followed) == (2, 2))


async def test_one_that_was_removed_is_given_up_in_the_end(
    running: SourceTasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = 0

    async def wrong(self: Follower) -> None:
        nonlocal tried
        tried += 1
        if tried < 3:
            raise ValueError("a defect")

    async def wait(self: Follower) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(Follower, "run", wait)
    monkeypatch.setattr(Follower, "insist_on_giving_up", wrong)
    await begin(running, "ladestrom")
    await running.follow([], {"abc": make_operator()})
    await come_true(lambda: tried == 3)


async def test_one_that_ends_by_a_defect_while_it_is_stopped_does_not_begin_anew(
    running: SourceTasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def wrong(self: Poller) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("a defect")

    monkeypatch.setattr(Poller, "run", wrong)
    await begin(running, "irve")
    await asyncio.sleep(0)
    await running.stop()
    assert not running._running
