"""Version 2 against those who break the rules, ask for too much, or take nothing."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import quote

import pytest
import uvloop
from tests.e2e.following import (
    E1,
    TRANSPORTS,
    Events,
    Follower,
    Transport,
    churn,
    flip,
    listed,
    narrow,
    outlast,
    settled,
    towns,
    waiting_bytes,
)
from tests.e2e.serving import Serving
from tests.e2e.wire import BINARY, CONT, PING, PONG, TEXT, Wire, frame, refusal, request
from tests.patience import until

from ladestrom.client.v2_session import Mode
from ladestrom.outputs.stream_v2.edge import EVENTS_PATH, STREAM_PATH
from ladestrom.reader import channel

INBOUND_BYTES_MAX: Final = 64 * 1024
KIB: Final = 1024
LOOPS: Final = {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}
over = pytest.mark.parametrize("over", TRANSPORTS)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server that the tests of this file share."""
    with Serving(tmp_path_factory.mktemp("hostile")) as running:
        yield running


@pytest.fixture(autouse=True)
def unharmed(server: Serving) -> Iterator[None]:
    """After each test, the shared server still serves, and has not logged an error."""
    yield
    with Follower(server) as follower:
        follower.synced()
        follower.reach(flip(server))
    assert server.unexpected() == []


# -- messages ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [TEXT, BINARY])
def test_more_than_a_hundred_messages_a_minute_close_with_4129(server: Serving, kind: int) -> None:
    with Follower(server) as follower:
        follower.synced()
        for _ in range(100):
            follower.wire.put(kind, b"{}")
        for _ in range(100 if kind == TEXT else 0):
            follower.until("error")
        follower.reach(flip(server))
        follower.wire.put(kind, b"{}")
        code, reason = follower.ended()
        assert code == 4129
        assert "100" in reason


def test_a_message_of_bytes_is_not_looked_at(server: Serving) -> None:
    with Follower(server) as follower:
        follower.synced()
        follower.wire.put(BINARY, b'{"type":"select","country":"SWE"}')
        follower.reach(flip(server))
        assert follower.board == listed(server)


def test_a_message_in_pieces_with_a_ping_between_is_understood(server: Serving) -> None:
    with Follower(server) as follower:
        follower.synced()
        whole = follower.session.select({"operator": "Süd & Sön", "country": "SWE"})
        middle = whole.index(b"\xc3") + 1
        follower.wire.put(TEXT, whole[:middle], fin=False)
        follower.wire.put(PING, b"between")
        assert follower.wire.frame() == (PONG, b"between", True, False)
        follower.wire.put(CONT, whole[middle:])
        follower.until("selected")
        follower.synced()
        assert follower.board == {}


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(TEXT, bytes(INBOUND_BYTES_MAX + 1)), 1009),
        (frame(TEXT, b"a" * 40_000, fin=False) + frame(CONT, b"a" * 40_000), 1009),
        (frame(TEXT, b"caf\xe9"), 1007),
        (frame(TEXT, b"{}", mask=False), 1002),
        (frame(TEXT, b"{}", rsv=4), 1002),
    ],
    ids=["too long", "too long together", "no UTF-8", "not masked", "compressed without agreement"],
)
def test_a_frame_against_the_rules_closes_with_the_code_that_says_so(
    server: Serving, sent: bytes, code: int
) -> None:
    with Follower(server) as follower:
        follower.synced()
        follower.wire.send(sent)
        assert follower.wire.close_code() == code


def test_a_message_of_the_largest_size_is_borne(server: Serving) -> None:
    with Follower(server) as follower:
        follower.synced()
        head, tail = b'{"type":"select"', b"}"
        follower.wire.put(TEXT, head + b" " * (INBOUND_BYTES_MAX - len(head + tail)) + tail)
        follower.until("selected")
        follower.session.position = None
        follower.synced()
        assert follower.board == listed(server)


def test_who_is_told_what_was_wrong_does_not_read_keys_there(server: Serving) -> None:
    key = server.keys["stream"]
    with Follower(server) as follower:
        follower.synced()
        follower.wire.put(TEXT, json.dumps({"type": "select", "country": key}).encode())
        assert key[4:14] not in str(follower.until("error"))


def is_answered(server: Serving, before: list[int]) -> bool:
    """Whether more waits than before, or so much that nothing is answered."""
    return waiting_bytes(server) > before or server.call(
        lambda: all(each.paused for each in server.app.reader.stream.connections)
    )


@pytest.mark.parametrize("loop", LOOPS)
def test_many_selects_of_who_reads_nothing_cost_no_more_than_one(tmp_path: Path, loop: str) -> None:
    count = 95
    with (
        Serving(tmp_path, stations=towns(200, 10), loop_factory=LOOPS[loop]) as server,
        Follower(server, receive_bytes=4096) as follower,
    ):
        follower.synced()
        narrow(server)
        waits = [0]
        for number in range(count):
            follower.select(**{"country": "NOR,SWE"} if number % 2 else {"bbox": "-180,-90,180,90"})
            if number < 3:
                until(partial(is_answered, server, waits))
                waits = waiting_bytes(server)
        most = max(max(waiting_bytes(server)) for _ in range(200))
        assert most <= 512 * KIB, "the default of stream.write_buffer_kib_max"
        while follower.session._asked:
            follower.message()
        follower.synced()
        superseded = [each for each in follower.told if each["type"] == "error"]
        assert {each["code"] for each in superseded} == {"superseded"}
        assert len(superseded) > count / 2
        follower.reach(churn(server, 1, 200, 10))
        follower.confirmed(server)
        assert follower.board == listed(server)


def test_what_waited_is_answered_when_the_consumer_reads_again(tmp_path: Path) -> None:
    with (
        Serving(tmp_path, stations=towns(200, 10)) as server,
        Follower(server, receive_bytes=4096) as follower,
    ):
        follower.synced()
        narrow(server)
        sent = b"".join(
            frame(TEXT, follower.session.select({"country": country}))
            for country in ("NOR", "SWE", "NOR", "SWE")
        )
        follower.wire.send(sent)
        while follower.session._asked:
            follower.message()
        follower.synced()
        assert follower.session.selection == {"country": "SWE"}
        assert follower.board == listed(server, "country=SWE")


# -- requests ----------------------------------------------------------------------------------------------


@over
@pytest.mark.parametrize(
    "since",
    ["abc-1x", "abc--1", "-1", "abc-" + "9" * 19, "a" * 33 + "-1", "abc-1,abc-2", "\xe6-1", "x" * 30_000],
)
def test_a_position_that_is_none_is_refused(server: Serving, over: Transport, since: str) -> None:
    query = f"?since={quote(since)}"
    wire = Events(server.port) if over == "events" else Wire(server.port)
    with wire:
        if isinstance(wire, Events):
            wire.ask(EVENTS_PATH + query, server.bearer())
        else:
            wire.open(STREAM_PATH + query, server.bearer())
        assert wire.response.status == 400
        assert refusal(wire)["code"] == "invalid_position"


@over
def test_too_many_parameters_are_refused(server: Serving, over: Transport) -> None:
    query = "&".join(f"p{number}=1" for number in range(60))
    wire = Events(server.port) if over == "events" else Wire(server.port)
    with wire:
        if isinstance(wire, Events):
            wire.ask(f"{EVENTS_PATH}?{query}", server.bearer())
        else:
            wire.open(f"{STREAM_PATH}?{query}", server.bearer())
        assert wire.response.status == 400
        assert refusal(wire)["code"] == "bad_request"


@over
def test_one_selection_too_many_is_told_to_try_again_and_costs_nothing(
    tmp_path: Path, over: Transport
) -> None:
    with Serving(tmp_path, {"stream.selections_max": 2}) as server:
        with Follower(server), Follower(server, {"country": "NOR"}):
            for _ in range(3):
                wire = Events(server.port) if over == "events" else Wire(server.port)
                with wire:
                    if isinstance(wire, Events):
                        wire.ask(f"{EVENTS_PATH}?country=SWE", server.bearer())
                    else:
                        wire.open(f"{STREAM_PATH}?country=SWE", server.bearer())
                    assert wire.response.status == 503
                    assert "retry-after" in wire.response.headers
                    assert refusal(wire)["code"] == "overloaded"
            until(lambda: len(server.app.reader.stream.connections) == 2, "nothing is left of those refused")
        until(lambda: not server.app.reader.broadcast.channels, "selections are given back")
        assert not server.app.reader.stream.by_key


@over
def test_the_longest_selection_is_served_like_any_other(server: Serving, over: Transport) -> None:
    many = ",".join([E1, *(f"NO*ALF*E{number:09d}" for number in range(999))])
    with Follower(server, {"evse": many}, over=over) as follower:
        follower.synced()
        assert set(follower.board) == {E1}
        follower.reach(flip(server))
        follower.confirmed(server)


@over
def test_who_is_gone_without_a_word_leaves_nothing_behind(server: Serving, over: Transport) -> None:
    followers = [
        Follower(server, {"country": "NOR"}, over=over, mode=mode) for mode in Mode for _ in range(5)
    ]
    for follower in followers:
        follower.synced()
        linger = struct.pack("ii", 1, 0)
        follower.wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        follower.wire.close()
    until(lambda: not server.app.reader.stream.connections, "the server noticed")
    assert not server.app.reader.stream.by_key
    until(lambda: not server.app.reader.broadcast.channels, "nothing is kept for them")


# -- who takes nothing -------------------------------------------------------------------------------------


@over
@pytest.mark.parametrize("mode", list(Mode))
def test_nobody_waits_for_who_takes_nothing_and_it_is_cut_off_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, over: Transport, mode: Mode
) -> None:
    monkeypatch.setattr(channel, "WINDOW_BYTES_MAX", 64 * 1024)
    with (
        Serving(tmp_path, {"stream.write_buffer_kib_max": 16}, stations=towns()) as server,
        Follower(server, over=over, mode=mode, receive_bytes=4096) as stuck,
        Follower(server, over=over, mode=mode) as reading,
    ):
        stuck.synced()
        reading.synced()
        server.call(lambda: shrink(server))
        last = paced(server, reading)
        assert [each.paused for each in server.app.reader.stream.connections].count(True) == 1
        outlast(server)
        until(lambda: server.app.reader.stream.closed["stalled"] == 1, "it is cut off")
        assert len(server.app.reader.stream.connections) == 1
        assert reading.seq == last
        reading.confirmed(server)
        assert reading.board == listed(server)


def shrink(server: Serving) -> None:
    for connection in server.app.reader.stream.connections:
        kernel = connection._transport.get_extra_info("socket")
        kernel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)


def paced(server: Serving, reading: Follower) -> int:
    """Load that a consumer follows step by step; the last sequence."""
    last = 0
    for _ in range(40):
        last = churn(server, 1)
        reading.reach(last)
    return last


@over
def test_who_asks_for_all_history_and_reads_nothing_costs_a_bounded_buffer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, over: Transport
) -> None:
    limit_bytes = 16 * 1024
    settings = {"stream.write_buffer_kib_max": limit_bytes // 1024}
    with Serving(tmp_path, settings, stations=towns()) as server:
        with Follower(server, over=over, mode=Mode.EVERY) as follower:
            follower.synced()
        last = churn(server, 200)
        settled(server)
        with Follower(server, session=follower.session, over=over, receive_bytes=4096) as again:
            narrow(server)
            most = max(max(waiting_bytes(server), default=0) for _ in range(300))
            assert most <= limit_bytes
            again.reach(last)
            assert len(again.changes) == 200 * 60
            again.confirmed(server)


# -- what comes with a request -----------------------------------------------------------------------------


def test_a_request_behind_the_one_for_events_is_not_looked_at(server: Serving) -> None:
    head = {"Host": "127.0.0.1", **server.bearer()}
    with Events(server.port) as events:
        events.send(
            request(f"{EVENTS_PATH}?country=SWE", head)
            + request(f"{EVENTS_PATH}?country=NOR", {"Host": "127.0.0.1"})
            + request("/api/v2/operators", {"Host": "127.0.0.1"})
        )
        assert events.begun().response.status == 200
        assert events.event().kind == "hello"
        rows = json.loads(events.event().data)["evses"]
        assert {row["station"] for row in rows} == {"SWE_00007"}


def test_events_do_not_come_before_the_answer_to_an_earlier_request(server: Serving) -> None:
    head = {"Host": "127.0.0.1", **server.bearer()}
    with Events(server.port) as events:
        events.send(request("/api/v2/operators", head) + request(EVENTS_PATH, head))
        first, body = events.answer()
        assert (first.status, body[:1]) == (200, b"[")
        assert events.begun().response.status in {200, 400}
