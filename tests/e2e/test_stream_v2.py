"""Version 2 of the stream from outside, over both transports: what is told, and that nothing is missed."""

from __future__ import annotations

import asyncio
import json
import random
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl, urlencode

import pytest
from tests.e2e.following import (
    E1,
    E2,
    SWEDISH,
    TRANSPORTS,
    Events,
    Follower,
    State,
    Transport,
    beat,
    churn,
    digest,
    example,
    flip,
    listed,
    named,
    narrow,
    operate,
    report,
    settled,
    status_entries,
    towns,
    waiting_bytes,
)
from tests.e2e.running import Running
from tests.e2e.serving import HOUR_MS, LISTED, Serving, evse, now, station, tick
from tests.e2e.wire import CLOSE, TEXT, Ended, Head, Wire, refusal
from tests.patience import DEADLINE_S, until
from tests.reading import holders

from ladestrom import __version__
from ladestrom.client.v2_session import Mode, V2Session
from ladestrom.errors import LogFailure
from ladestrom.formats.wire import instant
from ladestrom.model import Change, Entry, Position, evse_key
from ladestrom.outputs.stream_v2 import encoder
from ladestrom.outputs.stream_v2.edge import EVENTS_PATH, STREAM_PATH
from ladestrom.ports.registry import StationDraft

YEARS_MS: Final = 10 * 366 * 86_400_000
over = pytest.mark.parametrize("over", TRANSPORTS)
in_mode = pytest.mark.parametrize("mode", list(Mode))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server that the tests of this file share: each says itself what it reports before it looks."""
    settings = {"registry.licence": "CC BY 4.0", "registry.attribution": "Source: a register"}
    with Serving(tmp_path_factory.mktemp("v2"), settings) as running:
        yield running


# -- what a connection begins with -------------------------------------------------------------------------


@over
def test_hello_comes_first_and_says_what_a_consumer_can_count_on(server: Serving, over: Transport) -> None:
    with Follower(server, over=over) as follower:
        hello = follower.message()
    assert hello == {
        "type": "hello",
        "server": f"ladestrom/{__version__}",
        "epoch": server.app.reader.view.epoch,
        "limits": {
            "history_seq": 0,
            "message_bytes_max": encoder.PART_BYTES_MAX,
            "inbound_bytes_max": 64 * 1024,
            "inbound_messages_per_minute_max": 100,
            "heartbeat_s": 20,
        },
        "licence": "CC BY 4.0",
        "attribution": "Source: a register",
    }


@over
def test_the_snapshot_follows_and_is_what_the_lists_say(server: Serving, over: Transport) -> None:
    flip(server)
    seq = settled(server)
    with Follower(server, over=over) as follower:
        follower.message()
        snapshot = follower.message()
    assert list(snapshot) == ["type", "epoch", "seq", "part", "parts", "evses"]
    assert (snapshot["seq"], snapshot["part"], snapshot["parts"]) == (seq, 1, 1)
    assert {row["station"] for row in snapshot["evses"]} == set(LISTED)
    assert follower.board == listed(server)
    row = next(row for row in snapshot["evses"] if row["evse"] == E1)
    item = server.get(f"/api/v2/evses/{E1}").json()
    assert row == {name: item[name] for name in row}
    unknown = next(row for row in snapshot["evses"] if row["evse"] == "NOR_01523_02")
    assert unknown == {
        "station": "NOR_01523",
        "evse": "NOR_01523_02",
        "status": "UNKNOWN",
        "error": 0,
        "changed_at": None,
        "observed_at": None,
        "source": "",
        "cause": "registered",
    }


def test_a_large_snapshot_comes_in_parts_and_the_position_with_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoder, "PART_BYTES_MAX", 4_000)
    with Serving(tmp_path, stations=towns()) as server:
        for over in TRANSPORTS:
            with Follower(server, over=over) as follower:
                follower.message()
                parts = [follower.message()]
                while parts[-1]["part"] < parts[-1]["parts"]:
                    assert follower.session.position is None
                    assert follower.ids == []
                    parts.append(follower.message())
                assert len(parts) > 4
                assert [each["part"] for each in parts] == list(range(1, len(parts) + 1))
                assert {each["parts"] for each in parts} == {len(parts)}
                assert {each["seq"] for each in parts} == {follower.seq}
                assert follower.ids == ([follower.session.since] if over == "events" else [])
                assert max(len(str(each["evses"])) for each in parts) < 4_400
                assert len(follower.board) == 120
                follower.confirmed(server)
                assert follower.board == listed(server)


@over
def test_an_empty_selection_has_a_snapshot_of_nothing(server: Serving, over: Transport) -> None:
    with Follower(server, {"country": "FRA"}, over=over) as follower:
        snapshot = follower.until("snapshot")
        assert (snapshot["part"], snapshot["parts"], snapshot["evses"]) == (1, 1, [])
        flip(server)
        follower.confirmed(server)
        assert (follower.told[-1]["count"], follower.told[-1]["digest"]) == (0, "00000000")


# -- changes -----------------------------------------------------------------------------------------------


@over
def test_a_change_says_what_is_and_what_was(server: Serving, over: Transport) -> None:
    server.report({"evse": E2, "status": "CHARGING", "observed_at": tick()})
    settled(server)
    with Follower(server, over=over) as follower:
        follower.synced()
        at = tick()
        before = follower.seq
        seq = report(server, E2, "OUTOFORDER", observed_at=at)
        changes = follower.until("changes")
    assert list(changes) == ["type", "epoch", "prev", "seq", "changes"]
    assert (changes["prev"], changes["seq"]) == (before, seq)
    (row,) = changes["changes"]
    item = server.get(f"/api/v2/evses/{E2}").json()
    assert row == {
        "station": "NOR_01333",
        "evse": E2,
        "status": "OUTOFORDER",
        "error": 1,
        "changed_at": item["changed_at"],
        "observed_at": item["observed_at"],
        "source": "alfa",
        "cause": "reported",
        "was": {"status": "CHARGING", "error": 0},
    }
    assert follower.ids == (
        [f"{changes['epoch']}-{before}", f"{changes['epoch']}-{seq}"] * (over == "events")
    )


@over
def test_a_report_that_changes_nothing_is_not_told(server: Serving, over: Transport) -> None:
    server.report({"evse": E2, "status": "CHARGING", "observed_at": tick()})
    settled(server)
    with Follower(server, over=over) as follower:
        follower.synced()
        server.report({"evse": E2, "status": "CHARGING", "observed_at": tick()})
        seq = report(server, E2, "AVAILABLE")
        assert follower.message()["seq"] == seq == follower.seq
        assert len(follower.changes) == 1


@pytest.mark.parametrize("batch_ms", [0, None, 1000])
def test_changes_are_gathered_for_as_long_as_was_asked(
    server: Serving, batch_ms: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = server.app.reader.broadcast._channels.clock_s()
    monkeypatch.setattr(server.app.reader.broadcast._channels, "clock_s", lambda: now_s)
    with Follower(server, batch_ms=batch_ms) as follower, Follower(server, batch_ms=0) as prompt:
        follower.synced()
        prompt.synced()
        prompt.reach(flip(server))
        now_s += (100 if batch_ms is None else batch_ms) / 1000 - 0.001
        prompt.reach(flip(server, SWEDISH, "beta"))
        now_s += 0.001
        server.call(server.app.reader.broadcast._channels.wake.set)
        follower.reach(prompt.seq)
        assert [row["evse"] for row in follower.changes] == [E1, SWEDISH]
        told = [each for each in follower.told if each["type"] == "changes"]
        assert len(told) == (2 if batch_ms == 0 else 1)


def test_many_changes_at_once_come_in_messages_of_bounded_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Serving(tmp_path, stations=towns()) as server, Follower(server, batch_ms=1000) as follower:
        follower.synced()
        monkeypatch.setattr(encoder, "PART_BYTES_MAX", 4_000)
        before = follower.seq
        last = churn(server, 2)
        follower.reach(last)
        told = [each for each in follower.told if each["type"] == "changes"]
        assert len(told) > 5
        assert max(len(str(each["changes"])) for each in told) < 4_400
        assert [each["prev"] for each in told[:-1]] == [each["seq"] for each in told[:-1]]
        assert {each["prev"] for each in told} == {before}, "the position moves with the last one"
        assert len(follower.changes) == 2 * 60
        follower.confirmed(server)


# -- heartbeats --------------------------------------------------------------------------------------------

DIGESTED: Final = {
    "all": {},
    "country": {"country": "NOR"},
    "evse": {"evse": f"{E1},{SWEDISH}"},
    "status": {"status": "AVAILABLE,OUTOFORDER"},
    "station and status": {"station": "NOR_01333", "status": "charging"},
}


@over
@pytest.mark.parametrize("name", DIGESTED)
def test_a_heartbeat_adds_up_to_what_the_lists_say_after_each_change(
    server: Serving, name: str, over: Transport
) -> None:
    chance = random.Random(name)
    seen = set()
    with Follower(server, DIGESTED[name], over=over, batch_ms=0) as follower:
        follower.synced()
        for status in ("CHARGING", "AVAILABLE", "OUTOFORDER", "AVAILABLE", "UNKNOWN"):
            for evse_id in (E1, E2):
                server.report({"evse": evse_id, "status": status, "observed_at": tick()})
            if chance.random() < 0.5:
                flip(server, SWEDISH, "beta")
            settled(server)
            beat(server)
            heartbeat = follower.until("heartbeat")
            board = listed(server, urlencode(DIGESTED[name]))
            assert (heartbeat["count"], heartbeat["digest"]) == (len(board), digest(board))
            assert heartbeat["seq"] == follower.seq == server.app.reader.view.seq
            assert follower.board == board
            seen.add(heartbeat["digest"])
    assert len(seen) >= 2, "it changed with the changes"
    assert list(heartbeat) == ["type", "epoch", "prev", "seq", "server_time", "count", "digest"]


def test_heartbeats_come_by_themselves_and_move_the_position(tmp_path: Path) -> None:
    with Serving(tmp_path, {"stream.heartbeat_s": 1}) as server, ExitStack() as stack:
        selection = {"country": "SWE"}
        followers = [stack.enter_context(Follower(server, selection, over=over)) for over in TRANSPORTS]
        for follower in followers:
            assert follower.message()["limits"]["heartbeat_s"] == 1
            follower.synced()
        seq = flip(server)
        for follower in followers:
            first = follower.until("heartbeat")
            while first["seq"] < seq:
                first = follower.until("heartbeat")
            second = follower.until("heartbeat")
            assert {each["type"] for each in follower.told[2:]} == {"heartbeat"}
            assert (second["prev"], second["seq"]) == (seq, seq)
            first_at, second_at = (datetime.fromisoformat(each["server_time"]) for each in (first, second))
            assert (second_at - first_at).total_seconds() > 0.9


# -- nothing is missed -------------------------------------------------------------------------------------

SELECTIONS: Final[tuple[dict[str, str], ...]] = (
    {},
    {"country": "SWE"},
    {"status": "AVAILABLE"},
    {"evse": f"{named(1, 1)},{named(2, 2)},{named(5, 3)}"},
    {"operator": "NOALF", "status": "CHARGING,OUTOFORDER"},
    {"bbox": "10,59,10.2,61"},
)


class Goal:
    """Where followers are to stop: known once the load is over. Has heartbeats sent until then."""

    def __init__(self, server: Serving) -> None:
        self.seq: int | None = None
        self._server = server

    def follow(self, follower: Follower) -> None:
        """Follows up to the goal."""
        with follower:
            if follower.session.position is None:
                follower.synced()
            while self.seq is None or follower.seq < self.seq:
                follower.message()

    def reach(self, followed: Sequence[Future[None]]) -> None:
        """Sets the goal where the server stands now, and returns when all followers are there."""
        self.seq = settled(self._server)
        while not all(each.done() for each in followed):
            beat(self._server)
            time.sleep(0.02)
        for each in followed:
            each.result()


@in_mode
def test_under_load_the_chain_never_breaks_whatever_the_filter(tmp_path: Path, mode: Mode) -> None:
    with Serving(tmp_path, stations=towns()) as server, ThreadPoolExecutor(16) as pool:
        goal = Goal(server)
        followers = [
            Follower(server, each, over=TRANSPORTS[number % 2], mode=mode, batch_ms=number * 10 % 40)
            for number, each in enumerate(SELECTIONS)
        ]
        followed = [pool.submit(goal.follow, each) for each in followers]
        load = [pool.submit(operate, server, key) for key in ("alfa", "beta")]
        while not all(each.done() for each in load):
            beat(server)
            time.sleep(0.03)
        assert sum(each.result() for each in load) > 1_000
        goal.reach(followed)
        for follower, selection in zip(followers, SELECTIONS, strict=True):
            assert follower.board == listed(server, urlencode(selection))
            assert follower.session.confirmed > 3
            told = [each for each in follower.told if each["type"] in {"changes", "heartbeat"}]
            for before, after in pairwise(told):
                assert after["prev"] == before["seq"] >= before["prev"]


@over
def test_a_consumer_that_sees_another_prev_than_its_position_has_lost_something(
    server: Serving, monkeypatch: pytest.MonkeyPatch, over: Transport
) -> None:
    with Follower(server, over=over, batch_ms=0) as follower:
        follower.synced()
        follower.reach(flip(server))
        lost = follower.payload
        flip(server)
        lost()
        flip(server)
        with pytest.raises(AssertionError, match="gap"):
            follower.message()


# -- resuming ----------------------------------------------------------------------------------------------


def away(server: Serving, follower: Follower) -> Follower:
    """The same consumer on a new connection, from where it stood."""
    follower.wire.close()
    return Follower(server, session=follower.session, over=follower.over)


@over
@in_mode
def test_who_resumes_gets_what_it_missed_and_then_what_changes(
    server: Serving, over: Transport, mode: Mode
) -> None:
    with Follower(server, over=over, mode=mode) as follower:
        follower.synced()
        before = follower.seq
    for _ in range(3):
        flip(server, E1)
    flip(server, SWEDISH, "beta")
    seq = settled(server)
    with away(server, follower) as again:
        assert again.message()["type"] == "hello"
        again.reach(seq)
        missed = again.changes
        again.reach(flip(server))
        again.confirmed(server)
        assert {each["type"] for each in again.told} == {"hello", "changes", "heartbeat"}
        assert again.told[1]["prev"] == before
        assert again.board == listed(server)
    assert [row["evse"] for row in missed] == ([E1] * 3 if mode is Mode.EVERY else [E1]) + [SWEDISH]


@over
@in_mode
def test_who_resumes_with_nothing_missed_is_told_nothing_of_the_past(
    server: Serving, over: Transport, mode: Mode
) -> None:
    with Follower(server, over=over, mode=mode) as follower:
        follower.synced()
    with away(server, follower) as again:
        seq = flip(server)
        again.reach(seq)
        assert [each["type"] for each in again.told] == ["hello", "changes"]
        assert len(again.changes) == 1


@over
@in_mode
def test_who_resumes_with_a_filter_gets_what_passes_it(server: Serving, over: Transport, mode: Mode) -> None:
    report(server, E2, "AVAILABLE") if listed(server)[E2][1] != "AVAILABLE" else None
    with Follower(server, {"status": "AVAILABLE"}, over=over, mode=mode) as follower:
        follower.synced()
        assert E2 in follower.board
    report(server, E2, "CHARGING")
    report(server, E2, "OUTOFORDER")
    settled(server)
    with away(server, follower) as again:
        again.confirmed(server)
        assert E2 not in again.board
        assert again.board == listed(server, "status=AVAILABLE")
        told = [(row["evse"], row["status"]) for row in again.changes]
    # The last step, from charging to out of order, has nothing to do with what is available.
    assert told == [(E2, "CHARGING" if mode is Mode.EVERY else "OUTOFORDER")]


def test_the_header_wins_over_the_query(server: Serving) -> None:
    flip(server)
    seq = settled(server)
    epoch = server.app.reader.view.epoch
    with Events(server.port) as wire:
        headers = {**server.bearer(), "Last-Event-ID": f"{epoch}-{seq - 1}"}
        wire.ask(f"{EVENTS_PATH}?since={epoch}-{seq}", headers)
        assert wire.event().kind == "hello"
        changes = wire.event()
    assert (changes.kind, changes.id) == ("changes", f"{epoch}-{seq}")


@over
@in_mode
@pytest.mark.parametrize("reason", ["epoch", "ahead"])
def test_who_cannot_resume_is_told_why_and_gets_a_snapshot(
    server: Serving, over: Transport, mode: Mode, reason: str
) -> None:
    seq = settled(server)
    epoch = server.app.reader.view.epoch
    session = V2Session(mode=mode)
    session.position = Position("another", seq) if reason == "epoch" else Position(epoch, seq + 1)
    with Follower(server, session=session, over=over) as follower:
        assert follower.message()["type"] == "hello"
        assert follower.message() == {"type": "reset", "epoch": epoch, "reason": reason}
        assert follower.message()["type"] == "snapshot"
        follower.reach(flip(server))
        assert follower.board == listed(server)


@over
def test_every_cannot_resume_from_before_the_log_but_latest_can(tmp_path: Path, over: Transport) -> None:
    with Serving(tmp_path, stations=towns()) as server:
        sessions = {}
        for mode in Mode:
            with Follower(server, over=over, mode=mode) as follower:
                follower.synced()
                sessions[mode] = follower.session
        last = churn(server, 3)
        trim(server)
        assert server.app.log.first > last - 60
        with Follower(server, session=sessions[Mode.LATEST], over=over) as follower:
            follower.reach(last)
            assert {each["type"] for each in follower.told} == {"hello", "changes"}
            assert follower.told[0]["limits"]["history_seq"] == server.app.log.first - 1
            assert follower.board == listed(server)
        with Follower(server, session=sessions[Mode.EVERY], over=over) as follower:
            follower.message()
            reset = {"type": "reset", "epoch": server.app.reader.view.epoch, "reason": "expired"}
            assert follower.message() == reset
            follower.synced()
            assert follower.board == listed(server)


def trim(server: Serving) -> None:
    """Has the log drop everything that it may."""

    async def drop() -> None:
        await server.app.writer.checkpoints.take()
        # Nothing is small enough.
        server.log._retention_bytes = 0
        await server.app.log.trim()

    asyncio.run_coroutine_threadsafe(drop(), server._loop).result(DEADLINE_S)


def stopped(server: Serving, *followers: Follower) -> list[tuple[int, str]]:
    """Stops the server while consumers are connected: how the connection of each ended."""
    with ThreadPoolExecutor(len(followers)) as pool:
        ended = [pool.submit(each.ended) for each in followers]
        server.stop()
        return [each.result() for each in ended]


@in_mode
def test_a_restart_costs_nothing_but_the_connection(tmp_path: Path, mode: Mode) -> None:
    with Serving(tmp_path) as server:
        followers = [Follower(server, over=over, mode=mode).synced() for over in TRANSPORTS]
        for follower in followers:
            follower.reach(flip(server))
        before = flip(server, SWEDISH, "beta")
        assert [code for code, _ in stopped(server, *followers)] == [1001, 1001]
        server.start()
        flip(server)
        for follower in followers:
            with away(server, follower) as again:
                again.reach(flip(server))
                again.confirmed(server)
                assert "snapshot" not in {each["type"] for each in again.told}
                assert again.seq > before
                assert again.board == listed(server)


# -- who cannot keep up ------------------------------------------------------------------------------------

WRITE_BUFFER_BYTES: Final = 16 * 1024
WINDOW_BYTES: Final = 64 * 1024
CHUNK_BYTES: Final = 32 * 1024


@pytest.fixture
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Little is kept for consumers that are behind, so that little load shows what becomes of them."""
    for name, value in (("WINDOW_BYTES_MAX", WINDOW_BYTES), ("CHUNK_BYTES_MAX", CHUNK_BYTES)):
        for module in holders(name):
            monkeypatch.setattr(module, name, value)


@over
@pytest.mark.usefixtures("small_windows")
def test_latest_conflates_for_who_does_not_read_and_it_ends_in_step(tmp_path: Path, over: Transport) -> None:
    settings = {"stream.write_buffer_kib_max": WRITE_BUFFER_BYTES // 1024}
    with (
        Serving(tmp_path, settings, stations=towns()) as server,
        Follower(server, over=over, receive_bytes=4096, batch_ms=0) as follower,
    ):
        follower.synced()
        narrow(server)
        most = 0
        for _ in range(100):
            last = churn(server, 1)
            most = max(most, *waiting_bytes(server))
        settled(server)
        follower.reach(last)
        follower.confirmed(server)
        assert follower.board == listed(server)
        assert len(follower.changes) < 100 * 60 / 2, "most steps were left out"
        assert server.app.reader.broadcast.counts.caught_up > 0
    assert WRITE_BUFFER_BYTES // 2 < most <= WRITE_BUFFER_BYTES


@over
@pytest.mark.usefixtures("small_windows")
def test_every_closes_who_cannot_keep_up_and_says_where_it_stood(tmp_path: Path, over: Transport) -> None:
    settings = {"stream.write_buffer_kib_max": WRITE_BUFFER_BYTES // 1024}
    with Serving(tmp_path, settings, stations=towns()) as server:
        with Follower(server, over=over, mode=Mode.EVERY, receive_bytes=4096, batch_ms=0) as follower:
            follower.synced()
            before = follower.seq
            narrow(server)
            last = churn(server, 100)
            settled(server)
            code, reason = follower.ended()
        assert code == 4108
        assert reason.endswith(f" {follower.session.since}")
        assert server.app.reader.broadcast.counts.overruns == 1
        with away(server, follower) as again:
            again.reach(last)
            told = follower.changes + again.changes
        assert told_of(told) == facts(server, before)


@over
@pytest.mark.usefixtures("small_windows")
def test_every_replays_from_far_back_each_change_once_and_in_order_while_more_come(
    tmp_path: Path, over: Transport
) -> None:
    with Serving(tmp_path, stations=towns()) as server, ThreadPoolExecutor(8) as pool:
        with Follower(server, over=over, mode=Mode.EVERY) as follower:
            follower.synced()
            before = follower.seq
        churn(server, 40)
        goal = Goal(server)
        load = [pool.submit(operate, server, key) for key in ("alfa", "beta")]
        again = away(server, follower)
        followed = pool.submit(goal.follow, again)
        assert sum(each.result() for each in load) > 1_000
        goal.reach([followed])
        assert told_of(again.changes) == facts(server, before)
        assert "snapshot" not in {each["type"] for each in again.told}
        assert again.board == listed(server)


@over
def test_every_tells_each_change_of_an_evse_that_a_filter_selects(tmp_path: Path, over: Transport) -> None:
    chosen = f"{named(1, 1)},{named(4, 2)}"
    with Serving(tmp_path, stations=towns()) as server, ThreadPoolExecutor(8) as pool:
        goal = Goal(server)
        follower = Follower(server, {"evse": chosen}, over=over, mode=Mode.EVERY)
        follower.synced()
        before = follower.seq
        followed = pool.submit(goal.follow, follower)
        for each in [pool.submit(operate, server, key) for key in ("alfa", "beta")]:
            each.result()
        goal.reach([followed])
        keys = {evse_key(each) for each in chosen.split(",")}
        assert told_of(follower.changes) == [fact for fact in facts(server, before) if fact[0] in keys]
        assert len(follower.changes) > 10


Fact = tuple[str, str, int, str, str | None]


def told_of(rows: Sequence[Mapping[str, Any]]) -> list[Fact]:
    """Changes as a consumer was told of them."""
    return [
        (evse_key(row["evse"]), row["status"], row["error"], row["was"]["status"], row["changed_at"])
        for row in rows
    ]


def facts(server: Serving, after: int) -> list[Fact]:
    """The same, as the log has them."""
    return [
        (
            entry.change.evse,
            entry.change.status.value,
            int(entry.change.error),
            entry.change.was_status.value,
            instant(entry.change.changed_at),
        )
        for entry in status_entries(server, after)
    ]


# -- another selection -------------------------------------------------------------------------------------


def test_select_is_answered_by_a_snapshot_and_holds_from_then_on(server: Serving) -> None:
    with Follower(server, {"country": "NOR"}) as follower:
        follower.synced()
        follower.select(country="SWE,DAN", status="AVAILABLE,CHARGING,UNKNOWN")
        selected = follower.until("selected")
        assert selected == {"type": "selected", "epoch": server.app.reader.view.epoch, "seq": settled(server)}
        assert follower.message()["type"] == "snapshot"
        flip(server, E1)
        follower.reach(flip(server, SWEDISH, "beta"))
        follower.confirmed(server)
        assert [row["evse"] for row in follower.changes] == [SWEDISH]
        assert follower.board == listed(server, "country=SWE,DAN&status=AVAILABLE,CHARGING,UNKNOWN")
        follower.select()
        follower.until("selected")
        follower.synced()
        follower.reach(flip(server, E1))
        assert follower.board == listed(server)


BAD_MESSAGES: Final = {
    "no JSON": (b"hello", "bad_request"),
    "nothing": (b"", "bad_request"),
    "no object": (b"[1]", "bad_request"),
    "no type": (b"{}", "bad_request"),
    "an unknown type": (b'{"type":"subscribe"}', "bad_request"),
    "a filter that is no text": (b'{"type":"select","country":["NOR"]}', "bad_request"),
    "half a letter": (b'{"type":"select","country":"\\ud800"}', None),
    "too deep": (b'{"type":"select","x":' + b"[" * 60_000 + b"}", "bad_request"),
    "an unknown country": (b'{"type":"select","country":"Atlantis"}', "invalid_filter"),
    "an unknown status": (b'{"type":"select","status":"FREE"}', "invalid_filter"),
    "a box of three edges": (b'{"type":"select","bbox":"1,2,3"}', "invalid_filter"),
    "an endless box": (b'{"type":"select","bbox":"0,0,1e999,1"}', "invalid_filter"),
}


@pytest.mark.parametrize("name", BAD_MESSAGES)
def test_a_message_that_is_not_understood_is_told_so_and_the_stream_goes_on(
    server: Serving, name: str
) -> None:
    sent, code = BAD_MESSAGES[name]
    with Follower(server, {"country": "NOR"}) as follower:
        follower.synced()
        follower.wire.put(TEXT, sent)
        error = follower.until("error")
        assert list(error) == ["type", "code", "detail"]
        assert code is None or error["code"] == code
        assert error["detail"]
        flip(server, SWEDISH, "beta")
        follower.reach(flip(server))
        follower.confirmed(server)
        assert follower.board == listed(server, "country=NOR"), "the selection stays"


def test_a_selection_too_many_is_refused_and_the_one_before_stays(tmp_path: Path) -> None:
    with (
        Serving(tmp_path, {"stream.selections_max": 2}) as server,
        Follower(server) as follower,
        Follower(server, {"country": "NOR"}),
    ):
        follower.synced()
        follower.select(country="SWE")
        assert follower.until("error")["code"] == "overloaded"
        follower.select(country="NOR")
        follower.until("selected")
        follower.synced()
        follower.select(country="SWE")
        follower.until("selected")
        follower.synced()
        assert follower.board == listed(server, "country=SWE")


def test_who_changes_its_selection_under_load_ends_in_step(tmp_path: Path) -> None:
    with Serving(tmp_path, stations=towns()) as server, ThreadPoolExecutor(8) as pool:
        load = [pool.submit(operate, server, key, 100) for key in ("alfa", "beta")]
        choosing = [pool.submit(choose, server, number, load) for number in range(4)]
        assert sum(each.result() for each in load) > 1_000
        assert sum(each.result() for each in choosing) > 20


def choose(server: Serving, number: int, load: Sequence[Future[int]]) -> int:
    """A consumer that wants something else every moment; how often it did."""
    chance = random.Random(number)
    mode = chance.choice(list(Mode))
    times = 0
    with Follower(server, mode=mode, batch_ms=chance.choice([0, 20])) as follower:
        follower.synced()
        while not all(each.done() for each in load) and times < 90:
            follower.select(**chance.choice(SELECTIONS))
            times += 1
            if chance.random() < 0.7:
                follower.until("selected")
                follower.synced()
            if chance.random() < 0.5:
                beat(server)
                follower.until("heartbeat")
        last = chance.choice(SELECTIONS)
        follower.select(**last)
        while follower.session.selection != last or follower.session._asked:
            follower.message()
        if follower.session.position is None:
            follower.synced()
        for each in load:
            each.result()
        follower.confirmed(server)
        assert follower.board == listed(server, urlencode(last))
    return times


# -- filters -----------------------------------------------------------------------------------------------

NORWEGIAN: Final = {E1, E2, "NO*ALF*E1342", "NOR_01523_01", "NOR_01523_02"}
DANISH: Final = "DK*BET*E11*1"
FILTERS: Final = {
    "country=NOR": NORWEGIAN,
    "country=no,dk": {*NORWEGIAN, DANISH},
    "operator=Alfa%20Lading": {E1, E2},
    "operator=no*alf": {E1, E2, "NO*ALF*E1342"},
    "operator=SEBET,DKBET": {SWEDISH, DANISH},
    "station=nor_01333,SWE_00007": {E1, E2, SWEDISH},
    f"evse={E1},sebete71": {E1, SWEDISH},
    "evse=NOR_01523_02": {"NOR_01523_02"},
    "bbox=10,59,11,60": {E1, E2},
    "status=CHARGING": {E1},
    "status=charging,available": {E1, SWEDISH},
    "country=NOR&status=AVAILABLE": set(),
    f"station=NOR_01333&evse={SWEDISH}": set(),
}


@pytest.fixture
def known(server: Serving) -> Serving:
    """The shared server with statuses that the filters above know."""
    for evse_id, status, key in (
        (E1, "CHARGING", "alfa"),
        (E2, "UNKNOWN", "alfa"),
        (SWEDISH, "AVAILABLE", "beta"),
    ):
        server.report({"evse": evse_id, "status": status, "observed_at": tick()}, key=key)
    settled(server)
    return server


@over
@pytest.mark.parametrize("query", FILTERS)
def test_filters_narrow_snapshot_changes_and_lists_alike(known: Serving, over: Transport, query: str) -> None:
    expected = FILTERS[query]
    with Follower(known, dict(parse_qsl(query)), over=over, batch_ms=0) as follower:
        follower.synced()
        assert set(follower.board) == expected
        assert set(listed(known, query)) == expected
        before = follower.board
        for evse_id, key in ((E1, "alfa"), (SWEDISH, "beta"), (DANISH, "beta")):
            report(known, evse_id, "OUTOFORDER", key)
        follower.confirmed(known)
        assert follower.board == listed(known, query)
        by_status = "status" in query
        changed = {E1, SWEDISH, DANISH} & (set(before) if by_status else expected)
        assert {row["evse"] for row in follower.changes} == changed
    known.report({"evse": DANISH, "status": "UNKNOWN", "observed_at": tick()}, key="beta")


@over
@pytest.mark.parametrize(
    "query",
    [
        "country=XYZ",
        "country=NOR,Atlantis",
        "status=FREE",
        "status=AVAILABLE,",
        "bbox=1,2,3",
        "bbox=nan,0,1,1",
        "evse=" + ",".join(f"E{number}" for number in range(1001)),
        "mode=all",
        "mode=",
        "batch_ms=-1",
        "batch_ms=1001",
        "batch_ms=",
        "batch_ms=1.5",
        "batch_ms=" + "9" * 5000,
        "since=yesterday",
        "since=abc-",
    ],
)
def test_what_cannot_be_understood_is_refused_before_anything_is_sent(
    server: Serving, over: Transport, query: str
) -> None:
    wire, head = asked(server, over, query, server.bearer())
    with wire:
        assert head.status == 400
        problem = refusal(wire)
        assert problem["code"] in {"invalid_filter", "invalid_position", "bad_request"}
        assert problem["detail"]
        assert wire.ended()


def asked(server: Serving, over: Transport, query: str, headers: Mapping[str, str]) -> tuple[Wire, Head]:
    """A request for the stream, and the head of its answer."""
    if over == "events":
        events = Events(server.port)
        return events, events.ask(f"{EVENTS_PATH}?{query}", headers).response
    wire = Wire(server.port)
    return wire, wire.open(f"{STREAM_PATH}?{query}", headers).response


# -- keys and origins --------------------------------------------------------------------------------------


@over
@pytest.mark.parametrize("name", ["Authorization", "X-Api-Key"])
def test_a_key_in_a_header_opens_the_stream(server: Serving, over: Transport, name: str) -> None:
    prefix = "Bearer " if name == "Authorization" else ""
    wire, head = asked(server, over, "", {name: prefix + server.keys["stream"]})
    with wire:
        assert head.status in {101, 200}


@over
@pytest.mark.parametrize("name", ["key", "apikey", "ticket", "access_token"])
def test_a_key_in_the_query_is_refused(server: Serving, over: Transport, name: str) -> None:
    wire, head = asked(server, over, f"{name}={server.keys['stream']}", {})
    with wire:
        assert head.status == 401
        problem = refusal(wire)
        assert problem["code"] == "unauthenticated"
        assert server.keys["stream"] not in str(problem)


@over
@pytest.mark.parametrize(
    ("key", "status", "code"),
    [
        ("alfa", 403, "not_allowed"),
        ("revoked", 401, "unauthenticated"),
        ("expired", 401, "unauthenticated"),
        ("admin", 0, ""),
    ],
)
def test_a_key_needs_the_scope_and_to_be_in_force(
    server: Serving, over: Transport, key: str, status: int, code: str
) -> None:
    wire, head = asked(server, over, "", server.bearer(key))
    with wire:
        if not status:
            assert head.status in {101, 200}
            return
        assert head.status == status
        assert refusal(wire)["code"] == code
        assert ("www-authenticate" in head.headers) == (status == 401)


@over
def test_a_revoked_key_ends_its_connections_and_no_others(server: Serving, over: Transport) -> None:
    name = f"soon revoked {over}"
    server.make_key(name, ["stream"])
    with Follower(server, over=over, key=name) as cut, Follower(server, over=over) as kept:
        cut.synced()
        kept.synced()
        server.revoke(name)
        code, reason = cut.ended()
        assert (code, "revoked" in reason) == (4401, True)
        kept.reach(flip(server))
    wire, head = asked(server, over, "", server.bearer(name))
    with wire:
        assert head.status == 401


def test_a_key_that_expires_ends_its_connections(server: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    expires_at = now() + HOUR_MS
    server.make_key("soon expired", ["stream"], expires_at=expires_at)
    with (
        Follower(server, key="soon expired") as one,
        Follower(server, over="events", key="soon expired") as other,
        monkeypatch.context() as later,
    ):
        later.setattr(server.app.context.door, "_clock", lambda: expires_at)
        assert one.ended()[0] == other.ended()[0] == 4401


@over
@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("http://127.0.0.1:{port}", True),
        ("https://evil.example", False),
        ("http://127.0.0.1:{port}.evil.example", False),
        ("null", False),
        ("", False),
        ("http://[", False),
    ],
)
def test_pages_of_other_hosts_open_no_websocket_and_read_events(
    server: Serving, over: Transport, origin: str, allowed: bool
) -> None:
    host = f"127.0.0.1:{server.port}"
    headers = {**server.bearer(), "Host": host, "Origin": origin.format(port=server.port)}
    wire, head = asked(server, over, "", headers)
    with wire:
        if allowed or over == "events":
            assert head.status in {101, 200}
        else:
            assert head.status == 403
            assert refusal(wire)["code"] == "not_allowed"


@over
def test_one_key_has_a_limit_of_connections_over_both_transports(tmp_path: Path, over: Transport) -> None:
    with Serving(tmp_path, {"stream.consumers_per_key_max": 2}) as server:
        with Follower(server) as first, Follower(server, over="events"):
            wire, head = asked(server, over, "", server.bearer())
            with wire:
                assert head.status == 429
                assert "retry-after" in head.headers
                assert refusal(wire)["retry"] is True
            first.wire.close()
            until(lambda: server.app.reader.stream.by_key[server.key_ids["stream"]] < 2, "one was given back")
            with Follower(server, over=over):
                pass
        until(lambda: not server.app.reader.stream.connections, "all were given back")
        assert not server.app.reader.stream.by_key
        until(lambda: not server.app.reader.broadcast.channels, "nothing is kept for them")


# -- what comes and goes -----------------------------------------------------------------------------------


def place(number: int, *ids: str) -> StationDraft:
    return station(f"NOR_{number:05d}", "NOR", (10.0, 60.0), [evse(each, party="NOALF") for each in ids])


FIRST, SECOND, THIRD = "NO*ALF*E1*1", "NO*ALF*E1*2", "NO*ALF*E2*1"


@in_mode
@pytest.mark.parametrize("is_away", [True, False])
def test_an_evse_that_goes_to_another_station_is_neither_lost_nor_doubled(
    tmp_path: Path, mode: Mode, is_away: bool
) -> None:
    selections: tuple[dict[str, str], ...] = ({}, {"station": "NOR_00001"}, {"station": "NOR_00002"})
    with (
        Serving(tmp_path, stations=[place(1, FIRST, SECOND), place(2, THIRD)]) as server,
        ExitStack() as stack,
    ):
        report(server, SECOND, "CHARGING")
        settled(server)
        followers = [
            stack.enter_context(Follower(server, selection, over=over, mode=mode))
            for selection in selections
            for over in TRANSPORTS
        ]
        for follower in followers:
            follower.synced()
        server.import_stations([place(1, FIRST), place(2, THIRD, SECOND)])
        server.in_step()
        report(server, FIRST, "CHARGING")
        settled(server)
        if is_away:
            followers = [stack.enter_context(away(server, each)) for each in followers]
        for follower in followers:
            follower.confirmed(server)
            assert follower.board == listed(server, urlencode(follower.session.selection))


def test_an_evse_that_its_register_lacks_is_told_as_removed(tmp_path: Path) -> None:
    with (
        Serving(tmp_path, stations=[place(1, FIRST, SECOND), place(2, THIRD)]) as server,
        Follower(server) as follower,
        Follower(server, {"evse": SECOND}, over="events") as selective,
    ):
        follower.synced()
        selective.synced()
        for drafts in ([place(1, FIRST), place(2, THIRD)], [place(1, FIRST)], [place(1, FIRST, SECOND)]):
            server.import_stations(drafts)
            server.in_step()
            follower.confirmed(server)
            selective.confirmed(server)
            assert follower.board == listed(server)
            assert selective.board == listed(server, f"evse={SECOND}")
        assert [(row["evse"], row["status"], row["cause"]) for row in follower.changes] == [
            (SECOND, "REMOVED", "withdrawn"),
            (THIRD, "REMOVED", "withdrawn"),
            (SECOND, "UNKNOWN", "registered"),
        ]
        assert [row["status"] for row in selective.changes] == ["REMOVED", "UNKNOWN"]


@pytest.mark.parametrize(
    "left",
    [
        (place(1, FIRST), place(2, THIRD)),
        (place(1, FIRST, SECOND),),
        (place(1, FIRST), place(2, THIRD, SECOND)),
    ],
    ids=["an EVSE", "a station", "an EVSE that moved"],
)
def test_what_the_registry_lost_is_there_until_the_log_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: tuple[StationDraft, ...]
) -> None:
    """While the log cannot be written, a registry that is ahead of it makes nobody's digest wrong."""

    async def fails(changes: Sequence[Change]) -> Sequence[Entry]:
        raise LogFailure("the disk is full")

    with (
        Serving(tmp_path, stations=[place(1, FIRST, SECOND), place(2, THIRD)]) as server,
        Follower(server) as before,
    ):
        server.expects("append failed")
        report(server, SECOND, "CHARGING")
        before.synced()
        before.confirmed(server)
        board = before.board
        with monkeypatch.context() as patched:
            patched.setattr(server.app.log, "append", fails)
            server.import_stations(left)
            until(lambda: server.app.writer.hub.failed_appends > 0, "the registry was taken, and not logged")
            meanwhile = Follower(server, {"country": "NOR"})
            for follower in (before, meanwhile.synced()):
                follower.confirmed(server)
                assert follower.board == board
        server.in_step()
        with meanwhile:
            for follower in (before, meanwhile):
                follower.confirmed(server)
                assert follower.board == listed(server) != board


# -- the end -----------------------------------------------------------------------------------------------


def test_a_server_that_stops_says_when_to_come_back_and_then_goodbye(tmp_path: Path) -> None:
    with Serving(tmp_path) as server:
        followers = [Follower(server, over=over).synced() for over in TRANSPORTS * 4]
        newest = flip(server)
        for follower, (code, reason) in zip(followers, stopped(server, *followers), strict=True):
            follower.wire.close()
            assert code == 1001
            assert "since" in reason
            assert follower.told[-1]["type"] == "drain"
            assert follower.seq in {newest - 1, newest}
    delays = {follower.told[-1]["retry_after_ms"] for follower in followers}
    assert all(0 <= each < 10_000 for each in delays)
    assert len(delays) > 4, "they are asked to spread"


def test_sigterm_ends_the_process_and_consumers_are_told(tmp_path: Path) -> None:
    with Running(tmp_path) as running:
        headers = {"X-Api-Key": running.key("stream")}
        running.start()
        with Wire(running.port) as wire, Events(running.port) as events, ThreadPoolExecutor(3) as pool:
            wire.open(STREAM_PATH, headers)
            events.ask(EVENTS_PATH, headers)
            read = [pool.submit(messages_to_end, wire), pool.submit(events_to_end, events)]
            assert running.stop() == 0
            for each in read:
                assert each.result() == ["hello", "snapshot", "drain", "close 1001"]


def messages_to_end(wire: Wire) -> list[str]:
    kinds = []
    try:
        while True:
            kinds.append(wire.message()["type"])
    except Ended as end:
        wire.put(CLOSE, struct.pack("!H", 1001))
        assert wire.ended()
        wire.close()
        return [*kinds, f"close {str(end).split()[0]}"]


def events_to_end(wire: Events) -> list[str]:
    kinds: list[str] = []
    while not kinds or not kinds[-1].startswith("close"):
        event = wire.event()
        said = json.loads(event.data)
        kinds.append(f"close {said['code']}" if event.kind == "close" else event.kind)
    assert wire.ended()
    return kinds


# -- compression -------------------------------------------------------------------------------------------

DEFLATE: Final = {"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"}


def test_compressed_frames_inflate_to_the_plain_ones_and_are_shared(tmp_path: Path) -> None:
    with Serving(tmp_path, stations=towns()) as server:
        plain = Follower(server)
        packed = [Follower(server, headers=DEFLATE) for _ in range(3)]
        with plain, packed[0], packed[1], packed[2]:
            # Each by itself: whether two messages of a moment come as one is not the same in every framing.
            for moment in range(4):
                if moment:
                    churn(server, 1)
                    settled(server)
                content = b"".join(plain.wire.text() for _ in range(2 if not moment else 1))
                frames = [[each.wire.frame() for _ in range(2 if not moment else 1)] for each in packed]
                assert frames[0] == frames[1] == frames[2]
                assert all(each.compressed for each in frames[0])
                unpacked = b"".join(packed[0].wire.unpack(each) for each in frames[0])
                assert unpacked == content
                assert sum(len(each.payload) for each in frames[0]) < len(content) / 3
        assert server.app.reader.broadcast.channels <= 2


# -- the guide's consumer ----------------------------------------------------------------------------------


@pytest.mark.parametrize("statuses", [None, {"AVAILABLE", "OUTOFORDER"}])
def test_the_consumer_of_the_guide_stays_in_step_and_notices_what_is_lost(
    tmp_path: Path, statuses: set[str] | None
) -> None:
    guide: dict[str, Any] = {}
    exec(compile(example("import zlib"), "consumers.md", "exec"), guide)  # noqa: S102 - our own guide
    selection = {"status": ",".join(statuses)} if statuses else {}
    with Serving(tmp_path, stations=towns()) as server, ThreadPoolExecutor(4) as pool:
        goal = Goal(server)
        follower = Follower(server, selection)
        followed = pool.submit(goal.follow, follower)
        for each in [pool.submit(operate, server, key, 20) for key in ("alfa", "beta")]:
            each.result()
        beat(server)
        server.import_stations(towns(39))
        server.in_step()
        goal.reach([followed])
        expected = listed(server, urlencode(selection))
    board = guide["Board"](statuses) if statuses else guide["Board"]()
    for message in follower.told:
        board.take(message)
    assert {row["evse"]: row["status"] for row in board.rows.values()} == {
        name: state[1] for name, state in expected.items()
    }
    assert board.since == follower.session.since
    other = guide["Board"](statuses) if statuses else guide["Board"]()
    lost = next(number for number, each in enumerate(follower.told) if each["type"] == "changes")
    for message in follower.told[:lost]:
        other.take(message)
    with pytest.raises(guide["Lost"]):
        other.take(follower.told[lost + 1])


# -- everything at once ------------------------------------------------------------------------------------

CONSUMERS: Final = 50


def test_consumers_of_all_kinds_that_come_and_go_under_load_end_in_step(tmp_path: Path) -> None:
    with Serving(tmp_path, stations=towns(60)) as server, ThreadPoolExecutor(CONSUMERS + 3) as pool:
        goal = Goal(server)
        visits: list[bool] = []

        def enough() -> bool:
            return len(visits) > 2 * CONSUMERS and sum(visits) > CONSUMERS / 2

        load = [pool.submit(operate, server, key, 60, 60, enough=enough) for key in ("alfa", "beta")]
        roaming = [pool.submit(roam, server, number, load, goal, visits) for number in range(CONSUMERS)]
        while not all(each.done() for each in load):
            beat(server)
            time.sleep(0.05)
        changes = sum(each.result() for each in load)
        goal.seq = settled(server)
        while not all(each.done() for each in roaming):
            beat(server)
            time.sleep(0.02)
        trips = [each.result() for each in roaming]
        boards = {urlencode(each): listed(server, urlencode(each)) for each in SELECTIONS}
        until(lambda: not server.app.reader.stream.connections, "all have gone")
    assert changes > 2_000
    for trip in trips:
        assert trip.board == boards[trip.selection]


class Trip(NamedTuple):
    """What a consumer saw."""

    selection: str
    board: dict[str, State]


def roam(server: Serving, number: int, load: Sequence[Future[int]], goal: Goal, visits: list[bool]) -> Trip:
    """A consumer that leaves and comes back at random until the load is over, and then stays to the end.

    `visits` gets whether each of its connections resumes.
    """
    chance = random.Random(number)
    selection = SELECTIONS[number % len(SELECTIONS)]
    mode = chance.choice(list(Mode))
    batch_ms = chance.choice([0, 10, 100])
    transport = chance.choice(TRANSPORTS)
    headers = DEFLATE if chance.random() < 0.3 and transport == "websocket" else {}
    session = V2Session(selection, mode=mode, batch_ms=batch_ms)
    while True:
        if session.since is None or chance.random() < 0.3:
            session = V2Session(selection, mode=mode, batch_ms=batch_ms)
        visits.append(session.since is not None)
        follower = Follower(server, session=session, over=transport, headers=headers)
        if all(each.done() for each in load):
            goal.follow(follower)
            return Trip(urlencode(selection), follower.board)
        with follower:
            follower.wire.socket.settimeout(0.05)
            for _ in range(chance.randrange(1, 100)):
                try:
                    follower.message()
                except TimeoutError:
                    break
