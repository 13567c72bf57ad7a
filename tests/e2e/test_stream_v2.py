"""Version 2 of the stream from outside, over WebSocket and as events: what is told, and that nothing is missed."""

from __future__ import annotations

import random
import time
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import pytest
from tests.e2e.following import (
    E1,
    E2,
    SWEDISH,
    TRANSPORTS,
    Events,
    Follower,
    Transport,
    beat,
    digest,
    flip,
    listed,
    logged,
    report,
    settled,
)
from tests.e2e.serving import LISTED, Serving, evse, station, tick, until
from tests.e2e.wire import TEXT, Ended, Wire, refusal

from ladestrom import __version__
from ladestrom.client.v2_session import Mode, V2Session
from ladestrom.core import channel
from ladestrom.edges.v2 import EVENTS_PATH, STREAM_PATH
from ladestrom.errors import LogFailure
from ladestrom.formats import v2_stream
from ladestrom.model import Position
from ladestrom.ports import StationDraft

CUT_DEADLINE_S: Final = 5.0
"""A revoked key's connections are closed within this."""
YEARS_MS: Final = 10 * 366 * 86_400_000
over = pytest.mark.parametrize("over", TRANSPORTS)
in_mode = pytest.mark.parametrize("mode", list(Mode))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server that the tests of this file share: each says itself what it reports before it looks."""
    settings = {"registry.licence": "CC BY 4.0", "registry.attribution": "Source: a register"}
    with Serving(tmp_path_factory.mktemp("v2"), settings) as running:
        yield running


def towns(stations: int = 40, evses: int = 3) -> list[StationDraft]:
    """Stations of two operators in two countries, `E{station}*{evse}`, both from 1."""
    return [
        station(
            f"{'NOR' if number % 2 else 'SWE'}_{number:05d}",
            "NOR" if number % 2 else "SWE",
            (10.0 + number / 100, 60.0),
            [
                evse(written(number, place), party="NOALF" if number % 2 else "SEBET")
                for place in range(1, evses + 1)
            ],
        )
        for number in range(1, stations + 1)
    ]


def written(number: int, place: int) -> str:
    return f"{'NO*ALF' if number % 2 else 'SE*BET'}*E{number}*{place}"


def operate(
    server: Serving, key: str, rounds: int = 60, stations: int = 40, evses: int = 3, items: int = 25
) -> int:
    """An operator under full load; says how many changes it made."""
    chance = random.Random(key)
    first = 1 if key == "alfa" else 2
    accepted = 0
    for _ in range(rounds):
        sent = [
            {
                "evse": written(number, chance.randint(1, evses)),
                "status": chance.choice(["AVAILABLE", "CHARGING", "OUTOFORDER", "UNKNOWN"]),
            }
            for number in chance.choices(range(first, stations + 1, 2), k=items)
        ]
        receipt = server.report(*sent, key=key)
        assert receipt["refused"] == []
        accepted += receipt["accepted"]
    return accepted


def churn(server: Serving, rounds: int, stations: int = 40, evses: int = 3) -> int:
    """Changes every Norwegian EVSE so often; the last sequence."""
    position = 0
    for turn in range(rounds):
        items = [
            {
                "evse": written(number, place),
                "status": ("CHARGING", "AVAILABLE", "OUTOFORDER")[turn % 3],
                "observed_at": tick(),
            }
            for number in range(1, stations + 1, 2)
            for place in range(1, evses + 1)
        ]
        receipt = server.report(*items)
        assert receipt["accepted"] == len(items), receipt
        position = int(receipt["position"].rpartition("-")[2])
    return position


# -- what a connection begins with -------------------------------------------------------------------------


@over
def test_hello_comes_first_and_says_what_a_consumer_can_count_on(server: Serving, over: Transport) -> None:
    with Follower(server, over=over) as follower:
        hello = follower.message()
    assert hello == {
        "type": "hello",
        "server": f"ladestrom/{__version__}",
        "epoch": server.app.view.epoch,
        "limits": {
            "history_seq": 0,
            "message_bytes_max": v2_stream.PART_BYTES_MAX,
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


@over
def test_a_large_snapshot_comes_in_parts_and_the_position_with_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, over: Transport
) -> None:
    monkeypatch.setattr(v2_stream, "PART_BYTES_MAX", 4_000)
    with Serving(tmp_path, stations=towns()) as server, Follower(server, over=over) as follower:
        follower.message()
        parts = []
        while not parts or parts[-1]["part"] < parts[-1]["parts"]:
            assert follower.session.position is None
            assert follower.ids == []
            parts.append(follower.message())
        assert len(parts) > 5
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
        assert follower.told[-1]["digest"] == "00000000"


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
    assert follower.ids == ([f"{changes['epoch']}-{before}", f"{changes['epoch']}-{seq}"] * (over == "events"))


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
def test_changes_are_gathered_for_as_long_as_was_asked(server: Serving, batch_ms: int | None) -> None:
    with Follower(server, batch_ms=batch_ms) as follower, Follower(server, batch_ms=0) as prompt:
        follower.synced()
        prompt.synced()
        began_s = time.monotonic()
        last = [flip(server), flip(server, SWEDISH, "beta")][1]
        prompt.reach(last)
        follower.reach(last)
        took_s = time.monotonic() - began_s
    told = [each for each in follower.told if each["type"] == "changes"]
    assert [row["evse"] for row in follower.changes] == [E1, SWEDISH]
    assert took_s >= (100 if batch_ms is None else batch_ms) / 1000
    if batch_ms == 1000:
        assert len(told) == 1


def test_who_asks_for_no_delay_is_told_before_who_leaves_it_to_us(server: Serving) -> None:
    with Follower(server, batch_ms=0) as prompt, Follower(server) as usual, Follower(server, batch_ms=1000) as slow:
        arrived = []
        for follower in (prompt, usual, slow):
            follower.synced()
        seq = flip(server)
        for follower in (prompt, usual, slow):
            follower.reach(seq)
            arrived.append(time.monotonic())
    assert arrived[1] - arrived[0] > 0.05
    assert arrived[2] - arrived[1] > 0.5


def test_many_changes_at_once_come_in_messages_of_bounded_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Serving(tmp_path, stations=towns()) as server, Follower(server, batch_ms=1000) as follower:
        follower.synced()
        monkeypatch.setattr(v2_stream, "PART_BYTES_MAX", 4_000)
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
            assert heartbeat["digest"] == digest(board)
            assert heartbeat["seq"] == follower.seq == server.app.view.seq
            assert follower.board == board
            seen.add(heartbeat["digest"])
    assert len(seen) >= 3, "it changed with the changes"
    assert list(heartbeat) == ["type", "epoch", "prev", "seq", "server_time", "digest"]


@over
def test_heartbeats_come_by_themselves_and_move_the_position(tmp_path: Path, over: Transport) -> None:
    with (
        Serving(tmp_path, {"stream.heartbeat_s": 1}) as server,
        Follower(server, {"country": "SWE"}, over=over) as follower,
    ):
        assert follower.message()["limits"]["heartbeat_s"] == 1
        follower.synced()
        seq = flip(server)
        first = follower.until("heartbeat")
        while first["seq"] < seq:
            first = follower.until("heartbeat")
        second = follower.until("heartbeat")
        assert [each["type"] for each in follower.told[2:]] == ["heartbeat"] * len(follower.told[2:])
        assert (second["prev"], second["seq"]) == (seq, seq)
        assert "00:00:00.9" < _between(first, second) < "00:00:03"


def _between(first: dict[str, Any], second: dict[str, Any]) -> str:
    from datetime import datetime

    times = [datetime.fromisoformat(each["server_time"]) for each in (first, second)]
    return f"{times[1] - times[0]!s:0>8}"


# -- nothing is missed -------------------------------------------------------------------------------------


@in_mode
def test_under_load_the_chain_never_breaks_whatever_the_filter(tmp_path: Path, mode: Mode) -> None:
    selections: list[dict[str, str]] = [
        {},
        {"country": "SWE"},
        {"status": "AVAILABLE"},
        {"evse": f"{written(1, 1)},{written(2, 2)},{written(5, 3)}"},
        {"operator": "NOALF", "status": "CHARGING,OUTOFORDER"},
        {"bbox": "10,59,10.2,61"},
    ]
    with Serving(tmp_path, stations=towns()) as server, ThreadPoolExecutor(16) as pool:
        followers = [
            Follower(server, each, over=TRANSPORTS[number % 2], mode=mode, batch_ms=number * 10 % 40)
            for number, each in enumerate(selections)
        ]
        followed = [pool.submit(follow, each, server) for each in followers]
        beating = pool.submit(beat_often, server, followed)
        load = [pool.submit(operate, server, key) for key in ("alfa", "beta")]
        assert sum(each.result() for each in load) > 1_000
        settled(server)
        for follower, each, selection in zip(followers, followed, selections, strict=True):
            each.result()
            assert follower.board == listed(server, urlencode(selection))
            assert follower.session.confirmed > 3
            follower.wire.close()
        beating.result()


def follow(follower: Follower, server: Serving) -> None:
    """Follows until the last heartbeat, which `beat_often` gives."""
    with follower:
        follower.synced()
        last = -1
        while last < 0 or follower.seq < last:
            follower.message()
            if server.app.hub.working is False:
                last = server.app.log.last.seq


def beat_often(server: Serving, followed: Sequence[Future[None]]) -> None:
    while not all(each.done() for each in followed):
        beat(server)
        time.sleep(0.03)
