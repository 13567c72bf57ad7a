"""What version 2 promises beside its messages: nothing before it is durable, causes, how much is one message."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest
from tests.e2e.following import (
    E1,
    TRANSPORTS,
    Follower,
    Transport,
    beat,
    churn,
    digest,
    listed,
    report,
    settled,
    towns,
)
from tests.e2e.serving import DAY_MS, Serving
from tests.patience import DEADLINE_S

from ladestrom.client.v2_session import Mode
from ladestrom.clocks import steady
from ladestrom.model import Change, Entry
from ladestrom.writer.expiry import Expiry

KINDS: Final = [(over, mode) for over in TRANSPORTS for mode in Mode]
ROWS: Final = 60
"""Changes of one round of `churn`."""


def test_nobody_is_told_of_a_change_before_it_is_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, synced = threading.Event(), threading.Event()
    with (
        Serving(tmp_path) as server,
        server.stream("types=snapshot,update") as first,
        ThreadPoolExecutor(1) as pool,
        ExitStack() as stack,
    ):
        append = server.app.log.append

        async def slow(changes: Sequence[Change]) -> Sequence[Entry]:
            begun.set()
            await asyncio.to_thread(synced.wait, DEADLINE_S)
            return await append(changes)

        stack.callback(synced.set)
        assert first.message()["type"] == "snapshot:init"
        followers = [stack.enter_context(Follower(server, over=over, mode=mode)) for over, mode in KINDS]
        before = settled(server)
        monkeypatch.setattr(server.app.log, "append", slow)
        reported = pool.submit(report, server, E1, "CHARGING")
        assert begun.wait(DEADLINE_S)
        for follower in followers:
            follower.synced()
            follower.confirmed(server)
            assert (follower.seq, follower.changes) == (before, [])
        assert server.get("/api/v2/evses/" + E1).json()["status"] == "UNKNOWN"
        assert not reported.done(), "nor is the operator told so"
        synced.set()
        seq = reported.result()
        assert first.until("status:update")["seq"] == seq
        for follower in followers:
            follower.reach(seq)
            assert [row["status"] for row in follower.changes] == ["CHARGING"]


@pytest.mark.parametrize("over", TRANSPORTS)
def test_what_nobody_confirms_any_more_is_told_as_expired(tmp_path: Path, over: Transport) -> None:
    with Serving(tmp_path, {"rules.start_grace_s": 0}) as server, Follower(server, over=over) as follower:
        seq = report(server, E1, "CHARGING")
        follower.synced().reach(seq)
        hub = server.app.writer.hub
        hub._steady = lambda: steady() + 2 * DAY_MS
        expiry = asyncio.run_coroutine_threadsafe(Expiry(hub).take(), server._loop)
        assert expiry.result(DEADLINE_S) == 1
        told = follower.until("changes")
        (row,) = told["changes"]
        assert (row["evse"], row["status"], row["cause"]) == (E1, "UNKNOWN", "expired")
        assert row["was"] == {"status": "CHARGING", "error": 0}
        follower.confirmed(server)
        assert follower.board == listed(server)


def test_version_1_tells_each_change_in_a_frame_of_its_own_and_version_2_gathers(tmp_path: Path) -> None:
    with (
        Serving(tmp_path, stations=towns()) as server,
        server.stream("types=snapshot,update") as first,
        Follower(server, batch_ms=1000) as second,
    ):
        before = first.message()["seq"]
        second.synced()
        last = churn(server, 1)
        assert last == before + ROWS
        assert [first.message()["seq"] for _ in range(ROWS)] == list(range(before + 1, last + 1))
        second.reach(last)
        assert [len(each["changes"]) for each in second.told if each["type"] == "changes"] == [ROWS]


def test_both_transports_and_modes_tell_the_same(tmp_path: Path) -> None:
    with Serving(tmp_path, stations=towns()) as server, ExitStack() as stack:
        followers = [stack.enter_context(Follower(server, over=over, mode=mode)) for over, mode in KINDS]
        for follower in followers:
            follower.synced()
        for _ in range(3):
            last = churn(server, 1)
            beat(server)
            for follower in followers:
                follower.reach(last)
        expected = listed(server)
        for follower in followers:
            assert follower.changes == followers[0].changes
            assert follower.board == expected
            assert digest(follower.board) == digest(expected)
