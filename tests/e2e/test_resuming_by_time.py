"""`since` with an instant, and `on_reset=refuse`."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from tests.e2e.following import E1, TRANSPORTS, Events, Transport
from tests.e2e.serving import Serving
from tests.e2e.wire import Wire
from tests.patience import DEADLINE_S

from ladestrom.client.v2_session import Mode
from ladestrom.outputs.stream_v2.edge import EVENTS_PATH, STREAM_PATH


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Serving]:
    with Serving(tmp_path) as running:
        yield running


def report(server: Serving, status: str) -> int:
    """One change; its sequence."""
    assert server.report({"evse": E1, "status": status})["accepted"] == 1
    return server.app.log.last.seq


def received_at(server: Serving, seq: int) -> int:
    """When an entry of the log was received."""

    async def read() -> int:
        (entry,) = await server.app.log.read(seq - 1, 1)
        return entry.change.received_at

    return asyncio.run_coroutine_threadsafe(read(), server._loop).result(DEADLINE_S)


def written(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def asked(server: Serving, over: Transport, **query: str) -> Wire:
    """A request for a stream, answered."""
    if over == "websocket":
        return Wire(server.port).open(f"{STREAM_PATH}?{urlencode(query)}", server.bearer("stream"))
    return Events(server.port).ask(f"{EVENTS_PATH}?{urlencode(query)}", server.bearer("stream"))


def message(wire: Wire) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(wire.event().data if isinstance(wire, Events) else wire.text())
    return found


def refusal(wire: Wire) -> dict[str, Any]:
    """The problem that a request was refused with."""
    size = int(wire.response.headers["content-length"])
    while len(wire.buffer) < size:
        wire.fill()
    found: dict[str, Any] = json.loads(wire.take(size))
    return found


@pytest.mark.parametrize("over", TRANSPORTS)
@pytest.mark.parametrize("mode", Mode)
def test_what_was_received_since_an_instant_is_told(server: Serving, over: Transport, mode: Mode) -> None:
    first = report(server, "AVAILABLE")
    while received_at(server, last := report(server, "CHARGING")) == received_at(server, first):
        first = report(server, "AVAILABLE")
    server.in_step()
    wire = asked(server, over, since=written(received_at(server, last)), mode=mode, batch_ms="0")
    try:
        assert message(wire)["type"] == "hello"
        told = message(wire)
        assert (told["type"], told["prev"], told["seq"]) == ("changes", last - 1, last)
        assert [(row["evse"], row["status"]) for row in told["changes"]] == [(E1, "CHARGING")]
    finally:
        wire.close()


def test_an_instant_to_come_is_now(server: Serving) -> None:
    report(server, "AVAILABLE")
    server.in_step()
    wire = asked(server, "websocket", since="2999-01-01T00:00:00+01:00", batch_ms="0")
    try:
        assert message(wire)["type"] == "hello"
        last = report(server, "CHARGING")
        told = message(wire)
        assert (told["type"], told["seq"]) == ("changes", last)
    finally:
        wire.close()


def test_what_is_appended_while_an_instant_is_looked_up_is_told(
    server: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    report(server, "AVAILABLE")
    server.in_step()
    log = server.app.log
    appended = threading.Event()
    before = log.before

    async def late(at: int) -> int:
        await asyncio.to_thread(appended.wait, DEADLINE_S)
        return await before(at)

    monkeypatch.setattr(log, "before", late)
    wire = asked(server, "websocket", since="2999-01-01T00:00:00+01:00", batch_ms="0")
    try:
        assert message(wire)["type"] == "hello"
        last = report(server, "CHARGING")
        server.in_step()
        appended.set()
        told = message(wire)
        assert (told["type"], told["seq"]) == ("changes", last)
    finally:
        appended.set()
        wire.close()


@pytest.mark.parametrize("since", ["yesterday", "2026-11-29T08:00:00", "2026-11-29"])
def test_what_is_no_instant_is_refused(server: Serving, since: str) -> None:
    answer = server.get(f"{EVENTS_PATH}?{urlencode({'since': since})}")
    assert answer.status_code == 400
    assert answer.json()["code"] == "invalid_position"


@pytest.mark.parametrize("over", TRANSPORTS)
def test_a_position_that_is_lost_is_refused_before_the_stream_begins_where_that_is_asked(
    server: Serving, over: Transport
) -> None:
    report(server, "AVAILABLE")
    server.in_step()
    kept = server.app.log.last
    for since in (f"elsewhere-{kept.seq}", f"{kept.epoch}-{kept.seq + 1_000}"):
        wire = asked(server, over, since=since, on_reset="refuse")
        assert wire.response.status == 410
        problem = refusal(wire)
        assert problem["code"] == "position_lost"
        assert f"{kept.epoch}-0" in problem["detail"]
        wire.close()
        wire = asked(server, over, since=since, on_reset="snapshot")
        assert [message(wire)["type"] for _ in range(3)] == ["hello", "reset", "snapshot"]
        wire.close()
    wire = asked(server, over, since=str(kept), on_reset="refuse")
    assert wire.response.status in {101, 200}
    wire.close()


def test_an_instant_before_what_is_kept_is_lost(server: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    report(server, "AVAILABLE")
    server.in_step()
    log = server.app.log
    monkeypatch.setattr(log, "_first", 3)
    wire = asked(server, "events", since="2020-01-01T00:00:00Z", on_reset="refuse")
    assert wire.response.status == 410
    assert f"{log.last.epoch}-2" in refusal(wire)["detail"]
    wire.close()
    wire = asked(server, "events", since="2020-01-01T00:00:00Z")
    assert [message(wire)["type"] for _ in range(3)] == ["hello", "reset", "snapshot"]
    wire.close()
