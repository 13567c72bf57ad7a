"""The time of day may be set to anything while the server runs: what lasts lasts as long as before."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest
from tests.e2e.serving import Serving, now, tick
from tests.patience import DEADLINE_S, until

E1 = "NO*ALF*E1333*1"
HOUR_MS = 3_600_000
SETTINGS = {
    "rules.stale_after_s": 3_600,
    "reports.idempotency_hours": 1,
    "keys.policy": "open",
    "keys.per_address_per_hour_max": 1,
    "page.visitors": "key",
}


class TimeOfDay:
    """Sets the clock of this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._ns = time.time_ns
        self._by_ms = 0
        monkeypatch.setattr(time, "time_ns", lambda: self._ns() + self._by_ms * 1_000_000)

    def jump(self, ms: int) -> None:
        self._by_ms += ms


@pytest.mark.parametrize("hours", [3, -3])
def test_tickets_receipts_rates_and_sources_do_not_depend_on_the_time_of_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    clock = TimeOfDay(monkeypatch)
    with Serving(tmp_path, SETTINGS) as server:
        body = json.dumps([{"evse": E1, "status": "CHARGING", "observed_at": tick()}]).encode()
        once = {"Idempotency-Key": "one"}
        first = server.post(body, headers=once).json()
        ticket = server.request("POST", "/api/v2/tickets", headers=server.bearer()).json()["ticket"]
        assert server.request("POST", "/api/v2/keys", json={"name": "somebody"}).status_code == 201

        clock.jump(hours * HOUR_MS)

        assert server.post(body, headers=once).json() == first, "the receipt is kept for its hour"
        with server.stream(f"ticket={ticket}", key=None) as wire:
            assert wire.message()["type"] == "snapshot:init", "the ticket is good for its minute"
        refused = server.request("POST", "/api/v2/keys", json={"name": "somebody"})
        assert refused.status_code == 429, "an hour has not passed since the first one"
        assert 0 < int(refused.headers["retry-after"]) <= 3_600
        states = {each["source"]: each["state"] for each in sources(server)}
        assert states["alfa/plain"] == "fresh", "it was heard a moment ago"
        uptime_s = server.get("/api/v2/admin", key="admin").json()["uptime_s"]
        assert 0 <= uptime_s < 3_600


def sources(server: Serving) -> list[dict[str, str]]:
    found: list[dict[str, str]] = server.get("/api/v2/admin/sources", key="admin").json()["items"]
    return found


# -- statuses and the log ------------------------------------------------------------------------------------

MINUTE_MS = 60_000
DAY_MS = 24 * HOUR_MS
YEARS_MS = 3_650 * DAY_MS
E2, BETA = "NO*ALF*E1333*2", "SE*BET*E7*1"


def told(server: Serving) -> dict[str, str]:
    """The status of each EVSE that somebody told of."""
    rows = server.app.writer.board.cells.values()
    return {row.change.evse: row.change.status.value for row in rows if row.source}


def look_after(server: Serving) -> None:
    """What the server does now and then: it looks who is silent, keeps the board and trims the log."""

    async def done() -> None:
        await server.app.writer._expire()
        await server.app.writer.checkpoints.take()
        await server.app.log.trim()

    asyncio.run_coroutine_threadsafe(done(), server._loop).result(DEADLINE_S)


def lasting(server: Serving) -> None:
    """Keys that no jump of the clock ends."""
    for name in ("alfa", "beta"):
        server.make_key(name, ("report",), operator=name, expires_at=now() + 2 * YEARS_MS)


def known(server: Serving) -> dict[str, str]:
    """Statuses of two operators are told, with a time and without."""
    assert server.report({"evse": E1, "status": "CHARGING"})["accepted"] == 1
    assert server.report({"evse": E2, "status": "AVAILABLE", "observed_at": now()})["accepted"] == 1
    assert server.report({"evse": BETA, "status": "OUTOFORDER"}, key="beta")["accepted"] == 1
    return told(server)


def assert_heard(server: Serving) -> None:
    """Reports count at once, with a time and without, whatever stamps the board has."""
    for status in ("RESERVED", "AVAILABLE"):
        began = now()
        until(lambda: now() > began, "the next millisecond")  # noqa: B023 - it ends within this turn
        for key, item in (
            ("alfa", {"evse": E1, "status": status}),
            ("alfa", {"evse": E2, "status": status, "observed_at": now()}),
            ("beta", {"evse": BETA, "status": status}),
        ):
            receipt = server.report(item, key=key)
            assert (receipt["accepted"], receipt["stale"]) == (1, 0), item


jumps = pytest.mark.parametrize("jump_ms", [20 * MINUTE_MS, -HOUR_MS, 8 * DAY_MS, YEARS_MS])


@jumps
def test_a_jump_of_the_clock_makes_nothing_unknown_no_report_stale_and_drops_nothing_of_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump_ms: int
) -> None:
    clock = TimeOfDay(monkeypatch)
    # No grace: the jump alone must not be taken for silence.
    with Serving(tmp_path, {"rules.stale_after_s": 600, "rules.start_grace_s": 0}) as server:
        lasting(server)
        before = known(server)
        clock.jump(jump_ms)
        look_after(server)
        assert told(server) == before
        assert_heard(server)
        assert server.app.log.first == 1
        clock.jump(-jump_ms)
        look_after(server)
        assert "UNKNOWN" not in told(server).values()
        assert_heard(server)
        assert server.app.log.first == 1


@jumps
def test_a_clock_that_is_wrong_for_a_minute_with_restarts_in_it_and_after_it_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump_ms: int
) -> None:
    clock = TimeOfDay(monkeypatch)
    with Serving(tmp_path, {"rules.stale_after_s": 600, "log.retention_days": 7}) as server:
        lasting(server)
        before = known(server)

        clock.jump(jump_ms)
        assert server.report({"evse": E1, "status": "AVAILABLE"})["accepted"] == 1
        assert server.report({"evse": E1, "status": "CHARGING"})["accepted"] == 1
        server.stop()
        server.start()
        look_after(server)
        assert told(server) == before
        assert_heard(server)
        during = told(server)

        clock.jump(-jump_ms)
        server.stop()
        server.start()
        look_after(server)
        assert told(server) == during
        assert_heard(server)
        # What was observed is never told to be in the future.
        times = [row.observed_at for row in server.app.writer.board.cells.values() if row.source]
        assert max(times) <= now()


def test_a_server_that_starts_with_a_clock_that_is_wrong_takes_nobody_for_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = TimeOfDay(monkeypatch)
    with Serving(tmp_path, {"rules.stale_after_s": 600}) as server:
        lasting(server)
        before = known(server)
        server.stop()
        clock.jump(YEARS_MS)
        server.start()
        look_after(server)
        assert told(server) == before
        clock.jump(-YEARS_MS)
        look_after(server)
        # We were down for a moment only, as the clock shows now: nobody was silent longer.
        heard_at = [row.heard_at for row in server.app.writer.board.cells.values() if row.source]
        instant = server.app.writer.hub.times().heard_at
        assert all(0 <= instant - each < 600_000 for each in heard_at)
        assert told(server) == before
        assert_heard(server)
