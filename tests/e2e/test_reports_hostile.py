"""Deliveries that are too large, too slow, no JSON, or bombs: refused, and the server goes on."""

from __future__ import annotations

import contextlib
import gzip
import json
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from tests.e2e.running import Running
from tests.e2e.serving import Serving, furnish, now, tick
from tests.e2e.wire import TEXT, Ended, Wire, frame, request
from tests.patience import DEADLINE_S

from ladestrom.ingest import http_push

E1 = "NO*ALF*E1333*1"
PATH: Final = "/api/v2/reports"
MIB: Final = 1024 * 1024
GOOD: Final = {"evse": E1, "status": "AVAILABLE"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server that the tests of this file share, with the state that each of them leaves."""
    with Serving(tmp_path_factory.mktemp("hostile")) as running:
        running.report({"evse": E1, "status": "AVAILABLE", "observed_at": tick()})
        yield running


@pytest.fixture(autouse=True)
def unharmed(server: Serving) -> Iterator[None]:
    """What is refused changes nothing; after it the server accepts, and has not logged an error."""
    _, before = server.settled()
    yield
    assert server.settled()[1] == before
    for status in ("CHARGING", "AVAILABLE"):
        assert server.report({"evse": E1, "status": status, "observed_at": tick()})["refused"] == []
    assert server.unexpected() == []


def refused(server: Serving, body: object, status: int, code: str, **headers: str) -> dict[str, Any]:
    answer = server.post(body, headers={name.replace("_", "-"): value for name, value in headers.items()})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert (problem["status"], problem["code"]) == (status, code)
    return problem


# -- no JSON -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" \n\t ",
        b"null",
        b"true",
        b"17",
        b'"text"',
        b"{",
        b"[",
        b"[{]",
        b'[{"evse":"NO*ALF*E1333*1","status":"CHARGING"}',
        b'[{"evse":"NO*ALF*E1333*1","status":"CHARGING"},]',
        b'[{"evse":"NO*ALF*E1333*1","status":"CHARGING"}] and more',
        b'{"evse":"NO*ALF*E1333*1","status":"CHARGING"}{"evse":"x"}',
        b"{'evse':'NO*ALF*E1333*1','status':'CHARGING'}",
        b'{"evse":"NO*ALF*E1333*1","status":"CHARGING","observed_at":NaN}',
        b'{"evse":"\xff\xfe","status":"CHARGING"}',
        b'{"evse":"\xed\xa0\x80","status":"CHARGING"}',
        b"\xef\xbb\xbf",
        b"\x00",
        b"\x1f\x8b\x08\x00",
        "[".encode("utf-16"),
        b"evse=NO*ALF*E1333*1&status=CHARGING",
        b"<reports/>",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"[" * 5_000 + b"]" * 5_000,
        b'[{"evse":"NO*ALF*E1333*1","status":"CHARGING","x":' + b"[" * 5_000 + b"]" * 5_000 + b"}]",
    ],
)
def test_what_is_no_json_is_refused_and_nothing_of_it_is_used(server: Serving, body: bytes) -> None:
    if body == b"[" * 5_000 + b"]" * 5_000:
        answer = server.post(body)
        assert answer.status_code in {200, 400}
        return
    refused(server, body, 400, "malformed_body")


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ({"evse": E1}, "invalid_item"),
        ({"evse": E1, "status": None}, "invalid_item"),
        ({"evse": E1, "status": ["CHARGING"]}, "invalid_item"),
        ({"evse": E1, "status": "chargin"}, "invalid_status"),
        ({"evse": E1, "status": ""}, "invalid_status"),
        ({"evse": E1, "status": 2}, "invalid_status"),
        ({"evse": E1, "status": 10**30}, "invalid_status"),
        ({"evse": E1, "status": 1.5}, "invalid_item"),
        ({"evse": E1, "status": "CHARGING", "error": 2}, "invalid_item"),
        ({"evse": E1, "status": "CHARGING", "error": "1"}, "invalid_item"),
        ({"evse": "", "status": "CHARGING"}, "invalid_item"),
        ({"evse": "x" * 256, "status": "CHARGING"}, "invalid_item"),
        ({"evse": 17, "status": "CHARGING"}, "invalid_item"),
        ({"evse": "\x00\u202e", "status": "CHARGING"}, "unknown_evse"),
        ({"uuid": "NOR_01333", "status": 1}, "invalid_item"),
        ({"uuid": "NOR_01333", "connector": -1, "status": 1}, "invalid_item"),
        ({"uuid": "NOR_01333", "connector": 3, "status": 1}, "unknown_evse"),
        ({"uuid": "NOR_01333", "connector": 10**9, "status": 1}, "invalid_item"),
        ({"evse": E1, "status": "CHARGING", "observed_at": 1_700_000_000}, "invalid_time"),
        ({"evse": E1, "status": "CHARGING", "observed_at": -1}, "invalid_time"),
        ({"evse": E1, "status": "CHARGING", "observed_at": 1.7e12}, "invalid_time"),
        ({"evse": E1, "status": "CHARGING", "observed_at": "2026-13-01T00:00:00Z"}, "invalid_time"),
        ({"evse": E1, "status": "CHARGING", "observed_at": "0001-01-01T00:00:00Z"}, "invalid_time"),
        ({"evse": E1, "status": "CHARGING", "timestamp": "2026-11-22T10:00:00Z"}, "invalid_time"),
        ([GOOD], "invalid_item"),
        (None, "invalid_item"),
        (17, "invalid_item"),
    ],
)
def test_a_bad_item_is_refused_by_its_place_and_costs_no_other(
    server: Serving, item: object, reason: str
) -> None:
    bad = json.dumps(item).encode()
    good = json.dumps({**GOOD, "observed_at": 1_700_000_000_000}).encode()
    answer = server.post(b"[%s,%s,%s]" % (good, bad, good))
    assert answer.status_code == 200, answer.text
    receipt = answer.json()
    assert [(each["index"], each["reason"]) for each in receipt["refused"]] == [(1, reason)]
    assert receipt["accepted"] + receipt["unchanged"] == 2


# -- too large ---------------------------------------------------------------------------------------------


def test_ten_thousand_and_one_items_are_refused(server: Serving) -> None:
    assert "10000" in refused(server, [GOOD] * 10_001, 413, "too_large")["detail"]


def test_a_body_of_ten_megabytes_is_refused_before_it_is_read(server: Serving) -> None:
    body = b"[" + b" " * (10 * MIB) + b"]"
    refused(server, body, 413, "too_large")
    headers = {"Host": "here", **server.bearer("alfa"), "Content-Length": str(len(body))}
    with Wire(server.port) as wire:
        wire.send(request(PATH, headers, "POST"))
        assert wire.problem()["code"] == "too_large"
        assert wire.ended()
    with Wire(server.port) as wire:
        wire.send(request(PATH, {**headers, "Expect": "100-continue"}, "POST"))
        assert wire.problem()["status"] == 413, "and not 100 Continue"


def test_the_refusal_arrives_though_the_client_sends_its_whole_body_first(server: Serving) -> None:
    headers = {"Host": "here", **server.bearer("alfa"), "Content-Length": str(32 * MIB)}
    with Wire(server.port) as wire:
        wire.send(request(PATH, headers, "POST"))
        for _ in range(32):
            wire.send(bytes(MIB))
        assert wire.problem()["code"] == "too_large"
        assert wire.ended()


def test_a_body_that_turns_out_too_large_is_refused(server: Serving) -> None:
    headers = {"Host": "here", **server.bearer("alfa"), "Transfer-Encoding": "chunked"}
    with Wire(server.port) as wire:
        wire.send(request(PATH, headers, "POST"))
        for _ in range(9):
            wire.send(b"100000\r\n" + b" " * MIB + b"\r\n")
        assert wire.problem()["code"] == "too_large"


def test_a_body_of_exactly_the_largest_size_is_read(server: Serving) -> None:
    body = b"[" + b" " * (8 * MIB - 2) + b"]"
    assert server.post(body).status_code == 200
    assert server.post(gzip.compress(body, 1), headers={"Content-Encoding": "gzip"}).status_code == 200
    refused(server, gzip.compress(body + b" ", 1), 413, "too_large", Content_Encoding="gzip")


# -- encodings ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["br", "deflate", "zstd", "gzip, gzip", "gzip;q=1", "compress", "x"])
def test_other_encodings_are_refused(server: Serving, encoding: str) -> None:
    refused(server, b"[]", 415, "unsupported_encoding", Content_Encoding=encoding)


PACKED: Final = gzip.compress(b"[]", mtime=0)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        PACKED[:-1],
        PACKED[:-8],
        PACKED[:12],
        PACKED[:-8] + bytes(8),
        PACKED + b"[]",
        PACKED + bytes(10),
        PACKED + PACKED[:5],
        zlib.compress(b"[]"),
        b"\x1f\x8b" + bytes(100),
    ],
)
def test_what_is_no_gzip_is_refused(server: Serving, body: bytes) -> None:
    refused(server, body, 400, "malformed_body", Content_Encoding="gzip")


# -- bombs -------------------------------------------------------------------------------------------------


def bomb(unpacked_bytes: int, wbits: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, wbits)
    spaces = b" " * MIB
    packed = packer.compress(b"[") + b"".join(packer.compress(spaces) for _ in range(unpacked_bytes // MIB))
    return packed + packer.flush(zlib.Z_SYNC_FLUSH if wbits < 0 else zlib.Z_FINISH)


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, dict[str, str]]]:
    """A server in a process of its own, whose memory is nobody else's, and keys to it."""
    directory = tmp_path_factory.mktemp("process")
    keys = {name: text for name, (text, _) in furnish(directory / "data").items()}
    with Running(directory) as running:
        running.start()
        yield running, keys


def memory_kib(running: Running, what: str) -> int:
    """VmRSS is the memory now, VmHWM the most since the peak was reset (proc(5))."""
    status = Path(f"/proc/{running.pid}/status").read_text()
    return int(status.partition(f"{what}:")[2].split()[0])


@pytest.mark.parametrize("members", [1, 4])
def test_a_gzip_bomb_is_refused_and_costs_little_memory(
    process: tuple[Running, dict[str, str]], members: int
) -> None:
    running, keys = process
    body = b"".join(bomb(64 * MIB // members, 31) for _ in range(members))
    assert len(body) < 80 * 1024
    headers = {
        "Host": "here",
        "X-Api-Key": keys["alfa"],
        "Content-Encoding": "gzip",
        "Content-Length": str(len(body)),
    }
    for is_measured in (False, True):
        with Wire(running.port) as wire:
            Path(f"/proc/{running.pid}/clear_refs").write_text("5")
            before = memory_kib(running, "VmRSS")
            wire.send(request(PATH, headers, "POST") + body)
            assert wire.problem()["code"] == "too_large"
        if is_measured:
            assert memory_kib(running, "VmHWM") - before <= 8 * 1024


def test_messages_cannot_be_bombs_as_compression_is_not_offered(server: Serving) -> None:
    with Wire(server.port) as wire:
        headers = {**server.bearer("alfa"), "Sec-WebSocket-Extensions": "permessage-deflate"}
        wire.open("/api/v2/reports/stream", headers)
        assert wire.response.status == 101
        assert "sec-websocket-extensions" not in wire.response.headers
        wire.put(TEXT, bomb(64 * MIB, -12), rsv=4)
        assert wire.close_code() == 1002


# -- slow --------------------------------------------------------------------------------------------------


def test_a_body_that_does_not_come_in_time_is_refused(
    server: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_push, "BODY_GRACE_S", 0.3)
    headers = {"Host": "here", **server.bearer("alfa"), "Content-Length": "1000"}
    with Wire(server.port) as wire:
        wire.send(request(PATH, headers, "POST") + b"[")
        problem = wire.problem()
        assert (problem["status"], problem["code"], problem["retry"]) == (408, "body_timeout", True)
        assert wire.ended()


def test_a_large_body_on_a_slow_line_gets_its_time(server: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    body = b"[" + b" " * 10_000 + b"]"
    monkeypatch.setattr(http_push, "BODY_GRACE_S", 0.3)
    monkeypatch.setattr(http_push, "BODY_BYTES_PER_S_MIN", len(body) / DEADLINE_S)
    headers = {"Host": "here", **server.bearer("alfa"), "Content-Length": str(len(body))}
    with Wire(server.port) as wire:
        wire.send(request(PATH, headers, "POST") + body[:-1])
        # Longer than a body has of which nothing more comes.
        time.sleep(0.6)
        wire.send(body[-1:])
        assert wire.answer()[0].status == 200


def test_who_leaves_in_the_middle_of_a_body_changes_nothing(server: Serving) -> None:
    text = json.dumps([{"evse": E1, "status": "OUTOFORDER", "observed_at": now()}]).encode()
    headers = {"Host": "here", **server.bearer("alfa"), "Content-Length": str(len(text) + 1)}
    for _ in range(5):
        with Wire(server.port) as wire:
            wire.send(request(PATH, headers, "POST") + text)


# -- whose key ---------------------------------------------------------------------------------------------


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
def test_who_may_not_report_is_refused_without_a_look_at_the_body(
    server: Serving, key: str | None, status: int, code: str
) -> None:
    for body in (json.dumps(GOOD).encode(), b"no JSON", b" " * (10 * MIB)):
        answer = server.post(body, key=key)
        assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_a_key_in_the_query_is_not_looked_at(server: Serving) -> None:
    answer = server.post(GOOD, key=None, path=f"{PATH}?key={server.keys['alfa']}")
    assert answer.status_code == 401


def test_messages_against_the_rules_harm_nobody(server: Serving) -> None:
    for sent, code in (
        (frame(TEXT, b"[]", mask=False), 1002),
        (frame(3, b""), 1002),
        (frame(TEXT, b"x", length=1 << 40), 1009),
    ):
        with Wire(server.port) as wire:
            wire.open("/api/v2/reports/stream", server.bearer("alfa"))
            with contextlib.suppress(Ended):
                wire.send(sent)
            assert wire.close_code() == code
