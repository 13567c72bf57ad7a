"""Operators' reports over a WebSocket: receipts in order, problems, keys."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.serving import Serving, now, tick
from tests.e2e.wire import BINARY, CLOSE, CONT, PING, PONG, TEXT, Ended, Wire, frame, refusal
from tests.patience import scaled, until

E1 = "NO*ALF*E1333*1"
PATH = "/api/v2/reports/stream"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server that the tests of this file share."""
    with Serving(tmp_path_factory.mktemp("socket")) as running:
        yield running


@pytest.fixture
def wire(server: Serving) -> Iterator[Wire]:
    """An operator's connection."""
    with connected(server) as found:
        yield found


def connected(server: Serving, key: str = "alfa") -> Wire:
    found = Wire(server.port)
    found.open(PATH, server.bearer(key))
    assert found.response.status == 101
    return found


def say(wire: Wire, message: object) -> None:
    wire.put(TEXT, message if isinstance(message, bytes) else json.dumps(message).encode())


def item(status: str, at: int | None = None) -> dict[str, Any]:
    return {"evse": E1, "status": status, "observed_at": tick() if at is None else at}


def test_a_connection_can_be_for_trying_only(server: Serving) -> None:
    before = server.settled()
    with Wire(server.port) as wire:
        wire.open(f"{PATH}?dry_run=1", server.bearer("alfa"))
        for status in ("CHARGING", "AVAILABLE"):
            say(wire, item(status))
            told = wire.message()
            assert told["dry_run"] is True
            assert told["accepted"] + told["unchanged"] == 1
    assert server.settled() == before


def test_each_message_is_answered_by_its_receipt(server: Serving, wire: Wire) -> None:
    say(wire, item("UNKNOWN"))
    wire.message()
    say(wire, item("CHARGING"))
    first = wire.message()
    say(wire, [item("AVAILABLE"), {"evse": "x", "status": "CHARGING"}, item("AVAILABLE")])
    second = wire.message()
    assert (first["accepted"], first["refused"]) == (1, [])
    assert (second["accepted"], second["unchanged"]) == (1, 1)
    assert [(each["index"], each["reason"]) for each in second["refused"]] == [(1, "unknown_evse")]
    assert second["position"] == f"{server.app.reader.view.epoch}-{server.settled()[1]}"


def test_a_binary_message_is_the_same(wire: Wire) -> None:
    wire.put(BINARY, json.dumps(item("RESERVED")).encode())
    assert wire.message()["refused"] == []


def test_a_message_may_come_in_pieces(wire: Wire) -> None:
    text = json.dumps(item("BLOCKED")).encode()
    wire.put(TEXT, text[:9], fin=False)
    wire.put(PING, b"between")
    wire.put(CONT, text[9:])
    assert wire.frame() == (PONG, b"between", True, False)
    assert wire.message()["refused"] == []


def test_a_thousand_messages_without_waiting_get_their_receipts_in_order(tmp_path: Path) -> None:
    first_at = now() - 100_000
    with Serving(tmp_path) as server, connected(server) as wire:
        messages = [
            frame(TEXT, json.dumps(item(("CHARGING", "AVAILABLE")[n % 2], first_at + n)).encode())
            for n in range(1000)
        ]
        before = server.settled()[1]
        wire.send(b"".join(messages))
        receipts = [wire.message() for _ in messages]
        assert [each["accepted"] for each in receipts] == [1] * 1000
        positions = [int(each["position"].rpartition("-")[2]) for each in receipts]
        assert positions == sorted(positions)
        assert all(at >= before + n + 1 for n, at in enumerate(positions)), "durable before it is told"
        assert positions[-1] == before + 1000
        assert server.settled()[0]["NOR_01333"]["connectors"][0]["timestamp"] == first_at + 999


def test_receipts_are_told_apart_by_their_order_also_where_messages_are_bad(wire: Wire) -> None:
    messages = [item("CHARGING"), b"no JSON", item("AVAILABLE"), 17, [], b"[" * 5000, item("CHARGING")]
    for each in messages:
        say(wire, each)
    answers = [wire.message() for _ in messages]
    assert ["accepted" in each for each in answers] == [True, False, True, False, True, False, True]
    for each in (answers[1], answers[3], answers[5]):
        assert (each["code"], each["status"], each["retry"]) == ("malformed_body", 400, False)


def test_a_message_with_too_many_items_is_answered_by_a_problem(wire: Wire) -> None:
    say(wire, [item("CHARGING")] * 10_001)
    assert wire.message()["code"] == "too_large"
    say(wire, item("AVAILABLE"))
    assert wire.message()["refused"] == []


def test_a_message_that_is_too_large_ends_its_connection_only(server: Serving, wire: Wire) -> None:
    say(wire, item("CHARGING"))
    wire.message()
    with contextlib.suppress(Ended):
        wire.send(frame(TEXT, b" " * (8 * 1024 * 1024 + 1)))
    assert wire.close_code() == 1009
    with connected(server) as again:
        say(again, item("AVAILABLE"))
        assert again.message()["refused"] == []


def test_text_that_is_no_utf_8_ends_the_connection(wire: Wire) -> None:
    wire.put(TEXT, b'{"evse":"\xff"}')
    assert wire.close_code() == 1007


def test_foreign_evses_are_refused(wire: Wire) -> None:
    say(wire, {"evse": "SE*BET*E7*1", "status": "CHARGING"})
    assert [each["reason"] for each in wire.message()["refused"]] == ["not_allowed"]


@pytest.mark.parametrize(
    ("key", "status", "code"),
    [
        (None, 401, "unauthenticated"),
        ("expired", 401, "unauthenticated"),
        ("revoked", 401, "unauthenticated"),
        ("stream", 403, "not_allowed"),
        ("admin", 403, "not_allowed"),
    ],
)
def test_who_may_not_report_is_refused_before_the_upgrade(
    server: Serving, key: str | None, status: int, code: str
) -> None:
    with Wire(server.port) as wire:
        wire.open(PATH, server.bearer(key) if key else {})
        assert wire.response.status == status
        assert refusal(wire)["code"] == code
        assert wire.ended()


def test_a_key_in_the_query_is_not_looked_at(server: Serving) -> None:
    with Wire(server.port) as wire:
        assert wire.open(f"{PATH}?key={server.keys['alfa']}").response.status == 401


def test_a_plain_request_is_told_to_upgrade(server: Serving) -> None:
    answer = server.get(PATH, key="alfa")
    assert answer.status_code == 426
    assert answer.headers["upgrade"] == "websocket"
    assert answer.json()["code"] == "upgrade_required"


def test_a_revoked_key_closes_its_connection_though_it_is_idle(server: Serving) -> None:
    server.make_key("soon revoked", ["report"], operator="alfa")
    with connected(server, "soon revoked") as cut, connected(server) as kept:
        say(cut, item("CHARGING"))
        assert cut.message()["refused"] == []
        server.revoke("soon revoked")
        assert cut.close_code() == 4401
        say(kept, item("AVAILABLE"))
        assert kept.message()["refused"] == []


def test_an_operator_that_reads_no_receipts_is_not_read_either(tmp_path: Path) -> None:
    with Serving(tmp_path) as server, Wire(server.port, receive_bytes=4096) as wire:
        wire.open(PATH, server.bearer("alfa"))
        wire.socket.settimeout(scaled(1.0))
        flood = frame(TEXT, json.dumps([{"evse": "x", "status": 1}] * 200).encode()) * 20
        sent = 0
        try:
            while sent < 256 * 1024 * 1024:
                wire.send(flood)
                sent += len(flood)
        except TimeoutError:
            pass
        assert sent < 64 * 1024 * 1024, "what the buffers between us hold"
        assert server.app.writer.hub.queued_items < 200_000
        with connected(server) as other:
            say(other, item("CHARGING"))
            assert other.message()["accepted"] == 1


def test_a_close_is_echoed_and_what_was_sent_before_it_counts(server: Serving) -> None:
    at = tick()
    with connected(server) as wire:
        say(wire, item("OUTOFORDER", at))
        assert wire.message()["accepted"] == 1
        wire.put(CLOSE, b"\x03\xe8")
        assert wire.close_code() == 1000
    until(lambda: server.board()[0]["NOR_01333"]["connectors"][0]["timestamp"] == at, "it counts")
