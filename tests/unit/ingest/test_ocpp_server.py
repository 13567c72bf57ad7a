"""Charge points' connections, without sockets: silence, failures, confirmations."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.building import NOW, GatedLog, make_operator, make_station
from tests.patience import come_true

from ladestrom import tasks
from ladestrom.core.board import Board
from ladestrom.core.charge_points import enrol
from ladestrom.core.directory import Directory
from ladestrom.errors import LogFailure
from ladestrom.ingest.intake import Intake
from ladestrom.ingest.ocpp_server import PINGS, OcppLimits, OcppServer
from ladestrom.model import Cause, Status
from ladestrom.ports.charge_points import ChargePoint
from ladestrom.protocols import ocpp
from ladestrom.writer.hub import Hub

PLACE = make_station("NOR_00001", evses=2)
FIRST, SECOND = (evse.key for evse in PLACE.evses)
OPERATOR = make_operator("abc", stale_after_s=240)
PASSWORD, POINT = enrol(
    bytes(20), charge_point="CP1", operator="abc", station="NOR_00001", evses={}, added_at=NOW
)


class World:
    """A hub with one station, and a server of charge points before it."""

    def __init__(self, limits: OcppLimits) -> None:
        self.time = NOW
        self.elapsed = 0
        self.log = GatedLog()
        self.board = Board()
        self.directory = Directory([PLACE])
        self.hub = Hub(self.log, self.board, self.directory, lambda: self.time, steady=lambda: self.time)
        self.intake = Intake(self.hub)
        self.limits = limits
        self.restart()

    def restart(self) -> None:
        """A server that knows nothing of what was said."""
        self.server = OcppServer(
            self.intake, self.directory, lambda: self.time, self.limits, lambda: self.elapsed
        )
        self.follow(POINT)

    def follow(self, *points: ChargePoint) -> None:
        self.server.follow(points, {"abc": OPERATOR})

    def status(self, key: str = FIRST) -> Status:
        return self.board.cells[key].change.status


class Socket:
    """The ASGI side of one connection."""

    def __init__(self, world: World, name: str = "CP1", password: str = PASSWORD) -> None:
        token = base64.b64encode(f"{name}:{password}".encode())
        self.pings: dict[str, float] = {}
        self._scope = {
            "type": "websocket",
            "path": f"/{name}",
            "raw_path": f"/ocpp/{name}".encode(),
            "headers": [(b"authorization", b"Basic " + token)],
            "subprotocols": ["ocpp1.6"],
            "extensions": {PINGS: self.pings},
        }
        self._inbox: asyncio.Queue[Any] = asyncio.Queue()
        self.sent: list[Any] = []
        self.task = asyncio.create_task(world.server(self._scope, self._inbox.get, self._send))
        self.put({"type": "websocket.connect"})

    def put(self, message: dict[str, Any]) -> None:
        self._inbox.put_nowait(message)

    async def _send(self, message: Any) -> None:
        self.sent.append(message)

    def say(self, *frame: Any) -> None:
        self.put({"type": "websocket.receive", "text": json.dumps(frame)})

    def leave(self) -> None:
        self.put({"type": "websocket.disconnect", "code": 1000})

    def heard(self) -> list[list[Any]]:
        return [json.loads(each["text"]) for each in self.sent if each["type"] == "websocket.send"]

    async def status(self, number: int, word: str, name: str = "x", **more: Any) -> list[Any]:
        """Says a status, and waits for its answer."""
        self.say(2, name, "StatusNotification", {"connectorId": number, "status": word, **more})
        await come_true(lambda: any(frame[1] == name for frame in self.heard()))
        return next(frame for frame in self.heard() if frame[1] == name)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with started(OcppLimits(heartbeat_s=3_600, grace_s=0)) as found:
        yield found


@asynccontextmanager
async def started(limits: OcppLimits) -> AsyncIterator[World]:
    found = World(limits)
    running = asyncio.create_task(found.hub.run())
    await found.hub.reconcile(PLACE.evses, ())
    found.log.appends.clear()
    yield found
    found.server.stop()
    running.cancel()


async def test_after_two_heartbeats_of_silence_the_connection_ends_and_the_evses_are_unknown() -> None:
    async with started(OcppLimits(heartbeat_s=1, grace_s=3_600)) as world:
        socket = Socket(world)
        await socket.status(1, "Available")
        assert world.status() is Status.AVAILABLE
        await come_true(lambda: world.status() is Status.UNKNOWN)
        assert world.board.cells[FIRST].change.cause is Cause.DISCONNECTED
        await socket.task
        assert socket.sent[-1]["type"] == "websocket.close"
        assert socket.sent[-1]["code"] == 1001
        assert world.server.connected == 0


async def test_a_ping_is_a_sign_of_life_and_confirms_what_was_said_last() -> None:
    async with started(OcppLimits(heartbeat_s=1, grace_s=3_600)) as world:
        socket = Socket(world)
        await socket.status(1, "Available")
        station = world.server._stations["CP1"]
        world.elapsed += 86_400_000
        loop = asyncio.get_running_loop()
        socket.pings["last_s"] = loop.time() + 1
        await come_true(lambda: station.confirmed == world.elapsed, "the ping confirms it")
        await socket.task
        assert loop.time() >= socket.pings["last_s"] + 2, "silence begins with the last ping"
        assert socket.sent[-1]["code"] == 1001


async def test_charge_points_are_asked_and_taken_for_there_whatever_is_done_to_the_clock(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ocpp, "SETTLE_MS", 200)
    socket = Socket(world)
    await come_true(lambda: world.server.connected == 1)
    world.time -= 5 * 3_600_000 - 200
    world.elapsed += 200
    await come_true(lambda: any(frame[0] == 2 for frame in socket.heard()), "it is asked for its statuses")
    station = world.server._stations["CP1"]
    world.elapsed += 61_000
    await socket.status(1, "Available", "y")
    await come_true(lambda: station.confirmed == world.elapsed, "what it said before is confirmed")


async def test_what_cannot_be_logged_is_answered_by_an_error_and_asked_for_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ocpp, "AGAIN_MS", 0)
    world.log.failures[1] = LogFailure("the disk is full")
    socket = Socket(world)
    assert (await socket.status(1, "Available"))[:3] == [4, "x", "InternalError"]
    assert world.server.failures["log_failure"] == 1
    await come_true(lambda: any(frame[0] == 2 for frame in socket.heard()))
    assert (await socket.status(1, "Available", "y")) == [3, "y", {}]
    assert world.status() is Status.AVAILABLE


async def test_signing_off_is_tried_until_it_is_logged(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ladestrom.ingest.ocpp_server.SIGN_OFF_RETRY_S", 0.001)
    socket = Socket(world)
    await socket.status(1, "Available")
    world.log.failures[2] = LogFailure("the disk is full")
    socket.leave()
    await come_true(lambda: world.status() is Status.UNKNOWN)
    assert len(world.log.appends) == 3


async def test_signing_off_is_tried_again_after_a_defect_of_ours_too(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ladestrom.ingest.ocpp_server.SIGN_OFF_RETRY_S", 0.001)
    right, tries = world.intake.sign_off, 0

    async def wrong(*arguments: Any, **named: Any) -> int:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise ValueError("a defect")
        return await right(*arguments, **named)

    monkeypatch.setattr(world.intake, "sign_off", wrong)
    socket = Socket(world)
    await socket.status(1, "Available")
    before = tasks.deaths["sign-off of a charge point"]
    socket.leave()
    await come_true(lambda: world.status() is Status.UNKNOWN)
    assert tasks.deaths["sign-off of a charge point"] == before + 1


async def test_who_is_there_and_says_nothing_new_is_not_silent(world: World) -> None:
    socket = Socket(world)
    await socket.status(1, "Available")
    before = world.board.cells[FIRST]
    observed_at, seq = before.observed_at, world.log.last.seq
    world.time += 100_000
    world.elapsed += 100_000
    socket.say(2, "beat", "Heartbeat", {})
    await come_true(lambda: world.board.cells[FIRST].heard_at == world.time)
    assert world.board.cells[FIRST].observed_at == observed_at
    assert world.log.last.seq == seq


async def test_one_that_comes_back_while_it_is_signed_off_has_the_last_word(world: World) -> None:
    socket = Socket(world)
    await socket.status(1, "Available")
    world.log.gate.clear()
    socket.leave()
    await come_true(lambda: len(world.log.appends) == 2)
    again = Socket(world)
    again.say(2, "x", "StatusNotification", {"connectorId": 1, "status": "Charging"})
    world.log.gate.set()
    await come_true(lambda: world.status() is Status.CHARGING)


async def test_a_newer_connection_ends_the_right_of_the_older_one_to_speak(world: World) -> None:
    older = Socket(world)
    await older.status(1, "Available")
    newer = Socket(world)
    # It comes in the same moment, and would lie over all EVSEs.
    older.say(2, "late", "StatusNotification", {"connectorId": 0, "status": "Faulted"})
    await come_true(older.task.done)
    await newer.status(2, "Available", "y")
    await newer.status(1, "Charging", "x")
    assert (world.status(FIRST), world.status(SECOND)) == (Status.CHARGING, Status.AVAILABLE)
    assert [frame[1] for frame in older.heard() if frame[0] == 3] == ["x"], "the late one is not answered"


async def test_what_is_not_understood_is_kept_for_who_looks_into_it(world: World) -> None:
    socket = Socket(world)
    socket.say(2, "x", "StatusNotification", {"connectorId": 1})
    socket.say(2, "y", "Dance", {})
    await come_true(lambda: len(socket.heard()) == 2)
    health = world.intake.supervision.sources["abc/ocpp"]
    assert health.unreadable == 1
    assert world.server.failures == {"occurrence": 1, "unknown_action": 1}


async def test_a_charge_point_of_another_operator_starts_anew(world: World) -> None:
    socket = Socket(world)
    await socket.status(1, "Available")
    other = make_operator("xyz")
    point = ChargePoint(
        POINT.id, "xyz", POINT.station, POINT.evses, POINT.secret_sha256, POINT.added_at, None
    )
    world.server.follow([point], {"abc": OPERATOR, "xyz": other})
    await socket.task
    assert socket.sent[-1]["code"] == 4403
    await come_true(lambda: world.status() is Status.UNKNOWN)
    world.server.follow([point], {"abc": OPERATOR})
    again = Socket(world)
    await again.task
    assert again.sent[0]["status"] == 404


async def test_evses_that_its_station_loses_are_unknown(world: World) -> None:
    socket = Socket(world)
    await socket.status(1, "Available")
    await socket.status(2, "Available", "y")
    world.directory.stations["NOR_00001"] = make_station("NOR_00001", evses=PLACE.evses[:1])
    world.follow(POINT)
    await come_true(lambda: world.status(SECOND) is Status.UNKNOWN)
    assert world.status() is Status.AVAILABLE


async def test_coming_and_going_are_noted() -> None:
    async with started(OcppLimits(start_grace_s=0)) as world:
        await world.intake.take(OPERATOR, world.server._new(POINT, OPERATOR).points.restated())
        socket = Socket(world)
        await socket.status(1, "Available")
        socket.put({"type": "websocket.disconnect", "code": 1006})
        await socket.task
        assert world.server.take_seen() == {"CP1": world.time}
        assert world.server.take_seen() == {}


async def test_after_our_restart_what_it_says_is_not_older_than_what_it_said_before(world: World) -> None:
    at = {"timestamp": "2026-11-18T11:00:05Z"}
    socket = Socket(world)
    await socket.status(1, "Charging", "a", **at)
    await socket.status(1, "Available", "b", **at)
    assert world.status() is Status.AVAILABLE
    socket.leave()
    await come_true(lambda: world.status() is Status.UNKNOWN)
    world.restart()
    again = Socket(world)
    await again.status(1, "Available", "c", **at)
    assert world.status() is Status.AVAILABLE
    assert world.hub.tallies["abc"].stale == 0
