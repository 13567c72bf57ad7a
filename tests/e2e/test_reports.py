"""Operators' reports over HTTP: what is taken, what is refused, and what the receipt says."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Container, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.serving import UID, Serving, evse, now, seq, station, tick
from tests.patience import until

import ladestrom.writer.reconciliation
from ladestrom.core.directory import Directory
from ladestrom.ingest.parsing import OWN_PROCESS_BYTES_MIN
from ladestrom.model import Station
from ladestrom.roles.context import clock

E1 = "NO*ALF*E1333*1"
E2 = "NO*ALF*E1333*2"
SWEDISH = "SE*BET*E7*1"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Serving]:
    with Serving(tmp_path) as running:
        yield running


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server for tests that do not mind what others reported."""
    with Serving(tmp_path_factory.mktemp("reports")) as running:
        yield running


def status_of(server: Serving, evse: str) -> dict[str, Any]:
    server.settled()
    found: dict[str, Any] = server.get(f"/api/v2/evses/{evse}").json()
    return found


# -- receipts ----------------------------------------------------------------------------------------------


def test_a_receipt_counts_each_item_once_and_names_the_refused_by_place(server: Serving) -> None:
    before = server.settled()[1]
    answer = server.post(
        [
            {"evse": E1, "status": "AVAILABLE"},
            {"evse": "NO*ALF*E9", "status": "AVAILABLE"},
            {"evse": E2, "status": "CHARGING"},
            {"evse": E2, "status": "BUSY"},
            {"evse": SWEDISH, "status": "AVAILABLE"},
            {"evse": E1, "status": "AVAILABLE"},
            "no object",
            {"status": "AVAILABLE"},
            {"evse": UID, "status": "AVAILABLE", "observed_at": "yesterday"},
            {"evse": E2, "status": "AVAILABLE", "observed_at": now() - 60_000},
        ]
    )
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    receipt = answer.json()
    assert list(receipt)[:4] == ["accepted", "unchanged", "refused", "position"]
    assert (receipt["accepted"], receipt["unchanged"], receipt["stale"]) == (2, 2, 1)
    assert [(each["index"], each["reason"]) for each in receipt["refused"]] == [
        (1, "unknown_evse"),
        (3, "invalid_status"),
        (4, "not_allowed"),
        (6, "invalid_item"),
        (7, "invalid_item"),
        (8, "invalid_time"),
    ]
    assert all(each["detail"] for each in receipt["refused"])
    assert receipt["position"] == f"{server.app.reader.view.epoch}-{before + 2}"
    assert server.settled()[1] == before + 2


def test_a_large_delivery_is_read_in_a_process_that_ends_with_the_server(server: Serving) -> None:
    padding = b" " * OWN_PROCESS_BYTES_MIN
    reports = json.dumps([{"evse": E1, "status": "CHARGING"}, {"evse": E2, "status": "BUSY"}]).encode()
    small = server.request("POST", "/api/v2/reports", content=reports, headers=server.bearer("alfa"))
    assert small.status_code == 200
    pids = [server.app.ingest.parsing.pid]
    for body in (reports + padding, gzip.compress(reports + padding)):
        headers = server.bearer("alfa") | ({"content-encoding": "gzip"} if body[0] == 0x1F else {})
        receipt = server.request("POST", "/api/v2/reports", content=body, headers=headers).json()
        assert (receipt["accepted"], receipt["unchanged"]) == (0, 1)
        assert [each["reason"] for each in receipt["refused"]] == ["invalid_status"]
    broken = server.request(
        "POST", "/api/v2/reports", content=reports[:-1] + padding, headers=server.bearer("alfa")
    )
    assert (broken.status_code, broken.json()["code"]) == (400, "malformed_body")
    pid = server.app.ingest.parsing.pid
    server.stop()
    pids += [pid, server.app.ingest.parsing.pid]
    assert pids == [None, pid, None]
    assert pid not in {None, os.getpid()}
    until(lambda: not Path(f"/proc/{pid}").exists())


def test_what_was_acknowledged_is_in_the_log(server: Serving) -> None:
    receipt = server.report({"evse": E1, "status": "CHARGING"})
    server.stop()
    server.start()
    answer = server.get("/api/v1/rest/connector/NOR_01333_01")
    assert answer.json()["status"] == 1
    assert f'"{receipt["position"]}"' == answer.headers["etag"]


def test_one_object_is_a_list_of_one(shared: Serving) -> None:
    answer = shared.post({"evse": E1, "status": "RESERVED", "observed_at": tick()})
    assert answer.json()["accepted"] == 1
    assert status_of(shared, E1)["status"] == "RESERVED"


def test_an_empty_list_is_taken(shared: Serving) -> None:
    answer = shared.post([])
    assert answer.status_code == 200
    assert (answer.json()["accepted"], answer.json()["unchanged"], answer.json()["refused"]) == (0, 0, [])


@pytest.mark.parametrize(
    ("item", "status", "error"),
    [
        ({"status": "AVAILABLE", "error": 1}, "AVAILABLE", 1),
        ({"status": "AVAILABLE", "error": True}, "AVAILABLE", 1),
        ({"status": "OUTOFORDER"}, "OUTOFORDER", 1),
        ({"status": "INOPERATIVE"}, "INOPERATIVE", 0),
        ({"status": 0}, "AVAILABLE", 0),
        ({"status": 1, "error": 0}, "CHARGING", 0),
        ({"status": -1, "error": 1}, "OUTOFORDER", 1),
        ({"status": "BLOCKED", "more": {"is": ["ignored"]}}, "BLOCKED", 0),
    ],
)
def test_statuses_are_taken_in_both_languages(
    shared: Serving, item: dict[str, Any], status: str, error: int
) -> None:
    shared.report({"evse": E2, "status": "PLANNED", "observed_at": tick()})
    receipt = shared.report({"evse": E2, "observed_at": tick(), **item})
    assert receipt["accepted"] == 1
    found = status_of(shared, E2)
    assert (found["status"], found["error"], found["source"]) == (status, error, "alfa")


@pytest.mark.parametrize(
    "written",
    [
        {"evse": UID},
        {"evse": UID.upper()},
        {"evse": "no-alf-e1342"},
        {"evse": "NOALFE1342"},
        {"uuid": "NOR_01342", "connector": 0},
        {"uuid": "nor_01342", "connector": 0},
        {"evse": "NOR_01342_01"},
    ],
)
def test_an_evse_is_meant_by_any_written_form(shared: Serving, written: dict[str, Any]) -> None:
    shared.report({"evse": UID, "status": "UNKNOWN", "observed_at": tick()})
    at = tick()
    receipt = shared.report({**written, "status": "CHARGING", "observed_at": at})
    assert receipt["accepted"] == 1, receipt
    assert shared.settled()[0]["NOR_01342"]["connectors"] == [{"status": 1, "error": 0, "timestamp": at}]


def test_connectors_of_one_evse_change_together(shared: Serving) -> None:
    at = tick()
    shared.report({"uuid": "NOR_01333", "connector": 2, "status": 0, "timestamp": at - 1})
    receipt = shared.report({"uuid": "NOR_01333", "connector": 2, "status": 1, "timestamp": at})
    assert receipt["accepted"] == 1
    connectors = shared.settled()[0]["NOR_01333"]["connectors"]
    assert connectors[1] == connectors[2] == {"status": 1, "error": 0, "timestamp": at}


@pytest.mark.parametrize(
    "form",
    [
        lambda at: at,
        lambda at: datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds"),
        lambda at: datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds")[:-6] + "Z",
        lambda at: (
            datetime.fromtimestamp(at / 1000 + 7200, UTC).isoformat(timespec="milliseconds")[:-6] + "+02:00"
        ),
    ],
)
def test_instants_are_taken_in_any_form(shared: Serving, form: Any) -> None:
    shared.report({"evse": E1, "status": "UNKNOWN", "observed_at": tick()})
    at = tick()
    shared.report({"evse": E1, "status": "BLOCKED", "observed_at": form(at)})
    assert shared.settled()[0]["NOR_01333"]["connectors"][0]["timestamp"] == at


def test_an_instant_in_the_future_becomes_that_of_receipt_and_is_told(server: Serving) -> None:
    before = clock()
    answer = server.post(
        [
            {"evse": E1, "status": "CHARGING", "observed_at": now() + 3_600_000},
            {"evse": E2, "status": "CHARGING", "observed_at": "2999-01-01T00:00:00Z"},
            {"evse": UID, "status": "CHARGING", "observed_at": now() + 60_000},
        ]
    ).json()
    assert (answer["accepted"], answer["refused"]) == (3, [])
    assert [(each["index"], each["reason"]) for each in answer["adjusted"]] == [
        (0, "future_time"),
        (1, "future_time"),
    ]
    connectors = server.settled()[0]["NOR_01333"]["connectors"]
    assert all(before <= each["timestamp"] <= clock() for each in connectors)


def test_the_newest_observation_wins_not_the_last_received(server: Serving) -> None:
    at = now() - 60_000
    server.report({"evse": E1, "status": "CHARGING", "observed_at": at})
    receipt = server.report({"evse": E1, "status": "AVAILABLE", "observed_at": at - 1})
    assert (receipt["accepted"], receipt["unchanged"], receipt["stale"]) == (0, 1, 1)
    assert status_of(server, E1)["status"] == "CHARGING"


def test_one_delivery_may_have_ten_thousand_items(shared: Serving) -> None:
    at = tick()
    items = [
        {"evse": E1, "status": ("CHARGING", "AVAILABLE")[turn % 2], "observed_at": at - 10_000 + turn}
        for turn in range(10_000)
    ]
    shared.report({"evse": E1, "status": "AVAILABLE", "observed_at": at - 20_000})
    receipt = shared.report(*items)
    assert receipt["accepted"] + receipt["unchanged"] == 10_000


# -- encodings ---------------------------------------------------------------------------------------------

BODY = json.dumps({"evse": E1, "status": "CHARGING", "observed_at": 1_700_000_000_000}).encode()


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(BODY, mtime=0)),
        ("x-gzip", gzip.compress(BODY, mtime=0)),
        ("GZIP", gzip.compress(BODY, mtime=0)),
        ("identity", BODY),
        ("gzip", gzip.compress(BODY[:10], mtime=0) + gzip.compress(BODY[10:], mtime=0)),
        ("gzip", b"".join(gzip.compress(BODY[place : place + 1], mtime=0) for place in range(len(BODY)))),
        ("gzip", gzip.compress(b"", mtime=0) + gzip.compress(BODY, mtime=0) + gzip.compress(b"", mtime=0)),
    ],
)
def test_bodies_may_be_compressed_also_in_several_members(
    shared: Serving, encoding: str, body: bytes
) -> None:
    answer = shared.post(body, headers={"Content-Encoding": encoding})
    assert answer.status_code == 200, answer.text
    receipt = answer.json()
    assert receipt["accepted"] + receipt["unchanged"] == 1


def test_bodies_may_come_in_chunks_and_after_a_question(shared: Serving) -> None:
    from tests.e2e.wire import Wire, request  # noqa: PLC0415 - this test alone

    headers = {
        "Host": "here",
        **shared.bearer("alfa"),
        "Transfer-Encoding": "chunked",
        "Expect": "100-continue",
    }
    with Wire(shared.port) as wire:
        wire.send(request("/api/v2/reports", headers, "POST"))
        assert wire.head().status == 100
        for place in range(0, len(BODY), 7):
            piece = BODY[place : place + 7]
            wire.send(b"%x\r\n%s\r\n" % (len(piece), piece))
        wire.send(b"0\r\n\r\n")
        head, body = wire.answer()
        assert head.status == 200
        assert json.loads(body)["refused"] == []


# -- idempotency -------------------------------------------------------------------------------------------


def test_a_delivery_repeated_with_its_key_gets_its_receipt_again_and_counts_once(server: Serving) -> None:
    items = [
        {"evse": E1, "status": "CHARGING"},
        {"evse": E1, "status": "AVAILABLE"},
        {"evse": "x", "status": 1},
    ]
    first = server.post(items, headers={"Idempotency-Key": "k1"})
    server.report({"evse": E2, "status": "CHARGING"})
    again = server.post(items, headers={"Idempotency-Key": "k1"})
    packed = server.post(
        gzip.compress(json.dumps(items).encode()),
        headers={"Idempotency-Key": "k1", "Content-Encoding": "gzip"},
    )
    assert first.status_code == again.status_code == 200
    assert first.content == again.content == packed.content
    tally, _ = server.get("/api/v2/operators").json()
    assert tally["reports"] == 4
    assert tally["refused"] == {"unknown_evse": 1}


def test_a_key_with_another_body_is_a_conflict_and_changes_nothing(server: Serving) -> None:
    server.post({"evse": E1, "status": "CHARGING"}, headers={"Idempotency-Key": "k1"})
    _, position = server.settled()
    answer = server.post({"evse": E1, "status": "OUTOFORDER"}, headers={"Idempotency-Key": "k1"})
    assert answer.status_code == 422
    assert answer.json()["code"] == "idempotency_conflict"
    assert server.settled()[1] == position


def test_keys_of_two_operators_do_not_meet(server: Serving) -> None:
    server.post({"evse": E1, "status": "CHARGING"}, headers={"Idempotency-Key": "k1"})
    answer = server.post(
        {"evse": SWEDISH, "status": "CHARGING"}, key="beta", headers={"Idempotency-Key": "k1"}
    )
    assert answer.json()["accepted"] == 1


def test_a_refused_delivery_may_be_repeated_with_its_key(server: Serving) -> None:
    assert server.post(b"[", headers={"Idempotency-Key": "k1"}).status_code == 400
    answer = server.post({"evse": E1, "status": "CHARGING"}, headers={"Idempotency-Key": "k1"})
    assert answer.json()["accepted"] == 1


def test_the_same_delivery_many_times_at_once_counts_once(server: Serving) -> None:
    items = [
        {"evse": E1, "status": ("CHARGING", "AVAILABLE")[turn % 2], "observed_at": 1_700_000_000_000 + turn}
        for turn in range(2000)
    ]
    _, position = server.settled()
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: server.post(items, headers={"Idempotency-Key": "k1"}), range(32)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert answers[0].json()["accepted"] == 2000
    assert server.settled()[1] == position + 2000
    assert server.get("/api/v2/operators").json()[0]["reports"] == 2000


@pytest.mark.parametrize("key", ["k" * 256, "k" * 10_000])
def test_a_key_that_is_too_long_is_refused(shared: Serving, key: str) -> None:
    answer = shared.post([], headers={"Idempotency-Key": key})
    assert answer.status_code == 400
    assert answer.json()["code"] == "bad_request"


# -- whose EVSE --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "foreign",
    [
        {"evse": SWEDISH},
        {"evse": "sebete71"},
        {"evse": "SE-BET-E7-1"},
        {"uuid": "SWE_00007", "connector": 0},
        {"evse": "SWE_00007_01"},
        {"evse": "FI*GAM*E21*1"},
    ],
)
def test_nobody_reports_on_an_evse_that_is_not_its_own(shared: Serving, foreign: dict[str, Any]) -> None:
    _, position = shared.settled()
    receipt = shared.report({**foreign, "status": "OUTOFORDER", "observed_at": tick()})
    assert receipt["accepted"] == 0
    assert [each["reason"] for each in receipt["refused"]] == ["not_allowed"]
    assert shared.settled()[1] == position


def test_reports_of_two_operators_at_once_all_count(server: Serving) -> None:
    def operate(key: str, evse: str) -> int:
        return sum(
            server.report(
                {"evse": evse, "status": ("CHARGING", "AVAILABLE")[turn % 2], "observed_at": tick()}, key=key
            )["accepted"]
            for turn in range(100)
        )

    _, position = server.settled()
    with ThreadPoolExecutor(3) as pool:
        counts = pool.map(operate, ["alfa", "alfa", "beta"], [E1, E2, SWEDISH])
        assert list(counts) == [100, 100, 100]
    assert server.settled()[1] == position + 300


# -- methods, and the queue --------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "HEAD"])
def test_reports_are_posted(shared: Serving, method: str) -> None:
    answer = shared.request(method, "/api/v2/reports", headers=shared.bearer("alfa"))
    assert answer.status_code == 405
    assert answer.headers["allow"] == "OPTIONS, POST"


def test_a_full_queue_refuses_whole_deliveries_for_now(tmp_path: Path) -> None:
    settings = {"reports.queue_items_max": 1000, "log.group_items_max": 1}
    items = [
        {"evse": E1, "status": ("CHARGING", "AVAILABLE")[turn % 2], "observed_at": 1_700_000_000_000 + turn}
        for turn in range(900)
    ]
    with Serving(tmp_path, settings) as server, ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: server.post(items), range(64)))
        refused = [answer for answer in answers if answer.status_code != 200]
        assert {answer.status_code for answer in refused} <= {503}
        assert refused, "sixteen at once do not fit"
        for answer in refused:
            assert (answer.json()["code"], answer.json()["retry"]) == ("overloaded", True)
            assert answer.headers["retry-after"]
        until(lambda: server.app.writer.hub.queued_items == 0, "the queue empties")
        assert server.post(items).status_code == 200
        assert seq(server.get("/api/v1/rest/chargers")) > 0


# -- trying ------------------------------------------------------------------------------------------------


def counted(server: Serving) -> tuple[object, ...]:
    """All that a delivery changes on the server."""
    app = server.app
    tallies = {
        name: (tally.reports, tally.changes, dict(tally.refused))
        for name, tally in app.writer.hub.tallies.items()
    }
    sources = {
        name: (health.deliveries, health.items) for name, health in app.ingest.supervision.sources.items()
    }
    return server.settled(), tallies, sources, list(server.data.rglob("*.json*"))


def test_a_dry_run_gets_the_receipt_of_a_delivery_and_stores_nothing(server: Serving) -> None:
    items = [
        {"evse": E1, "status": "CHARGING", "observed_at": tick()},
        {"evse": E1, "status": "CHARGING", "observed_at": tick()},
        {"evse": "NO*ALF*E9", "status": "CHARGING"},
        {"evse": SWEDISH, "status": "CHARGING"},
        {"evse": E2, "status": "BUSY"},
    ]
    server.report({"evse": E2, "status": "AVAILABLE"})
    before = counted(server)
    tried = server.post(items, path="/api/v2/reports?dry_run=1", headers={"Idempotency-Key": "one"})
    assert tried.status_code == 200
    assert tried.headers["x-dry-run"] == "1"
    assert counted(server) == before
    real = server.post(items, headers={"Idempotency-Key": "one"})
    told, receipt = tried.json(), real.json()
    assert told.pop("dry_run") is True
    assert "dry_run" not in receipt
    assert (told["accepted"], told["unchanged"], len(told["refused"])) == (1, 1, 3)
    assert {**told, "position": ""} == {**receipt, "position": ""}


def test_what_cannot_be_read_is_refused_in_a_dry_run_too_and_not_kept(server: Serving) -> None:
    before = counted(server)
    answer = server.post(b"[{", path="/api/v2/reports?dry_run=1")
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_body")
    assert server.post([], path="/api/v2/reports?dry_run=maybe").status_code == 400
    assert counted(server) == before


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/push/irve", f"id_pdc_itinerance,etat_pdc,occupation_pdc,horodatage\n{E1},en_service,occupe,\n"),
        ("/dynamique/status/", "{}"),
        ("/api/oicp/evsepush/v21/operators/NO*ALF/status-records", "{}"),
        ("/push/datex2", "{}"),
    ],
)
def test_every_push_path_can_be_tried(server: Serving, path: str, body: str) -> None:
    before = counted(server)
    answer = server.post(body.encode(), path=f"{path}?dry_run=1")
    assert answer.status_code < 500
    assert counted(server) == before


def test_members_that_nobody_knows_are_named_in_the_receipt(shared: Serving) -> None:
    plain = {"evse": E1, "status": "CHARGING", "observed_at": tick()}
    assert "ignored" not in shared.report(plain)
    receipt = shared.report(plain, {**plain, "colour": "red", "Status": 1}, {**plain, "status": 7.5, "x": {}})
    assert receipt["ignored"] == [
        {"index": 1, "members": ["colour", "Status"]},
        {"index": 2, "members": ["x"]},
    ]
    many = shared.report(*[{**plain, "m" * 100: 1, **{f"n{n}": 1 for n in range(50)}}] * 150)["ignored"]
    assert len(many) == 100
    assert len(many[0]["members"]) == 20
    assert many[0]["members"][0] == "m" * 40
    single = shared.post({**plain, "colour": "red"}).json()
    assert single["ignored"] == [{"index": 0, "members": ["colour"]}]


def test_an_evse_that_moves_to_another_station_is_never_unknown_on_its_way(
    server: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ladestrom.writer.reconciliation, "STATIONS_PER_GROUP", 1)
    found: list[int] = []
    directories = server.app.writer.hub.directory, server.app.reader.view.directory
    assert directories[0] is not directories[1]
    for directory in directories:
        put = directory.put

        def between(
            record: Station, moving: Container[str] = (), *, put: Any = put, directory: Directory = directory
        ) -> Any:
            gone = put(record, moving)
            for name in (E1, UID):
                own, _ = directory.resolve(name, "", lambda _: True)
                found.append(len(own))
            return gone

        monkeypatch.setattr(directory, "put", between)
    moved = [
        station("NOR_01333", "NOR", (10.75, 59.91), [evse(E2, party="NOALF")]),
        station(
            "NOR_01342",
            "NOR",
            (5.32, 60.39),
            [evse(E1, party="NOALF")],
        ),
        station("NOR_01999", "NOR", (5.32, 60.39), [evse("NO*ALF*E1342", party="NOALF", uid=UID)]),
    ]
    server.import_stations(moved, complete=False)
    server.in_step()
    assert len(found) == 12
    assert set(found) == {1}
    assert (
        server.report({"evse": E1, "status": "CHARGING"}, {"evse": UID, "status": "CHARGING"})["accepted"]
        == 2
    )
    assert status_of(server, E1)["station"] == "NOR_01342"
