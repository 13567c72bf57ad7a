"""The NOBIL stream from outside: how one connects, what is sent, how one resumes, when one is cut."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from tests.e2e.serving import HOUR_MS, LISTED, STATIONS, UID, Fold, Serving, evse, now, station, tick
from tests.e2e.wire import PING, PONG, Wire, refusal
from tests.patience import until

from ladestrom.core.access import operator_from
from ladestrom.model import Reading, Status

E1 = "NO*ALF*E1333*1"
E2 = "NO*ALF*E1333*2"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server that the tests of this file share: each says itself what it reports before it looks."""
    with Serving(tmp_path_factory.mktemp("stream")) as running:
        yield running


def reported(server: Serving, evse: str, status: str, key: str = "alfa", **more: object) -> int:
    """Reports one status that is a change, and gives its sequence."""
    receipt = server.report({"evse": evse, "status": status, "observed_at": tick(), **more}, key=key)
    assert receipt["accepted"] == 1, receipt
    return int(receipt["position"].rpartition("-")[2])


def flipped(server: Serving, evse: str = E1, key: str = "alfa") -> int:
    """Changes the status of an EVSE, whatever it was."""
    is_free = server.get(f"/api/v2/evses/{quote(evse)}").json()["status"] == "AVAILABLE"
    return reported(server, evse, "CHARGING" if is_free else "AVAILABLE", key)


# -- connecting --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/api/v1/stream", "/api/v1/stream/realtime"])
@pytest.mark.parametrize("name", ["key", "apikey"])
def test_both_paths_accept_both_names_of_the_parameter(server: Serving, path: str, name: str) -> None:
    with Wire(server.port) as wire:
        wire.open(f"{path}?{name}={server.keys['stream']}")
        assert wire.response.status == 101
        assert wire.message()["type"] == "snapshot:init"


@pytest.mark.parametrize("path", ["/api/v1/stream", "/api/v1/stream/realtime"])
@pytest.mark.parametrize(
    "header",
    ["Authorization: Bearer {}", "authorization: bearer {}", "AUTHORIZATION: BEARER  {}", "X-Api-Key: {}"],
)
def test_a_key_in_a_header_opens_the_stream(server: Serving, path: str, header: str) -> None:
    name, _, value = header.format(server.keys["stream"]).partition(": ")
    with Wire(server.port) as wire:
        assert wire.open(path, {name: value}).response.status == 101
        assert wire.message()["type"] == "snapshot:init"


@pytest.mark.parametrize("name", ["Authorization", "X-Api-Key"])
def test_a_header_wins_over_the_query(server: Serving, name: str) -> None:
    prefix = "Bearer " if name == "Authorization" else ""
    good, bad = server.keys["stream"], server.keys["revoked"]
    with Wire(server.port) as wire:
        assert wire.open(f"/api/v1/stream?key={good}", {name: prefix + bad}).response.status == 401
    with Wire(server.port) as wire:
        assert wire.open(f"/api/v1/stream?key={bad}", {name: prefix + good}).response.status == 101


def test_authorization_wins_over_x_api_key(server: Serving) -> None:
    headers = {"Authorization": f"Bearer {server.keys['revoked']}", "X-Api-Key": server.keys["stream"]}
    with Wire(server.port) as wire:
        assert wire.open("/api/v1/stream", headers).response.status == 401


@pytest.mark.parametrize(
    ("headers", "detail"),
    [
        ({}, "missing"),
        ({"X-Api-Key": ""}, "missing"),
        ({"Authorization": "Bearer "}, "missing"),
        ({"Authorization": "Basic YWxhZGRpbjpvcGVuc2VzYW1l"}, "scheme"),
        ({"X-Api-Key": "lst_0123456789_" + "x" * 36}, "not a valid key"),
        ({"X-Api-Key": "\xe6\xf8\xe5"}, "not a valid key"),
        ({"X-Api-Key": "demo"}, "not a valid key"),
    ],
)
def test_a_missing_or_wrong_key_is_refused_before_the_upgrade(
    server: Serving, headers: dict[str, str], detail: str
) -> None:
    with Wire(server.port) as wire:
        wire.open("/api/v1/stream", headers)
        assert wire.response.status == 401
        assert wire.response.headers["content-type"] == "application/problem+json"
        assert wire.response.headers["www-authenticate"].startswith("Bearer")
        problem = refusal(wire)
        assert problem["code"] == "unauthenticated"
        assert problem["status"] == 401
        assert detail in problem["detail"]
        assert wire.ended()


@pytest.mark.parametrize(
    ("key", "status", "code"),
    [
        ("alfa", 403, "not_allowed"),
        ("revoked", 401, "unauthenticated"),
        ("expired", 401, "unauthenticated"),
    ],
)
def test_a_key_out_of_scope_or_of_force_is_refused_before_the_upgrade(
    server: Serving, key: str, status: int, code: str
) -> None:
    with server.stream(key=key) as wire:
        assert wire.response.status == status
        problem = refusal(wire)
        assert (problem["status"], problem["code"]) == (status, code)


@pytest.mark.parametrize(
    "query",
    [
        "country=XYZ",
        "country=NOR,Atlantis",
        "bbox=1,2,3",
        "bbox=1,2,3,four",
        "bbox=nan,0,1,1",
        "bbox=0,50,1,40",
        "bbox=-181,0,1,1",
        "types=updates",
        "types=update,everything",
        "types=update,,snapshot",
        "types=,",
        "since=yesterday",
        "since=12",
        "since=-5",
        "since=abc-",
        "since=abc-1x",
        "station=" + ",".join(f"NOR_{number:05d}" for number in range(1001)),
    ],
)
def test_what_cannot_be_understood_is_refused_before_the_upgrade(server: Serving, query: str) -> None:
    with server.stream(query) as wire:
        assert wire.response.status == 400
        problem = refusal(wire)
        assert problem["code"] in {"invalid_filter", "invalid_position", "bad_request"}
        assert problem["detail"]


def test_a_filter_of_a_thousand_stations_is_understood(server: Serving) -> None:
    names = ",".join(["NOR_01333", *(f"NOR_{number:05d}" for number in range(2000, 2999))])
    with server.stream(f"station={names}") as wire:
        assert wire.response.status == 101
        assert [each["uuid"] for each in wire.message()["data"]] == ["NOR_01333"]


def test_a_plain_request_is_told_to_upgrade(server: Serving) -> None:
    for path in ("/api/v1/stream", "/api/v1/stream/realtime"):
        answer = server.get(path)
        assert answer.status_code == 426
        assert answer.headers["upgrade"] == "websocket"
        assert answer.json()["code"] == "upgrade_required"


@pytest.mark.parametrize(
    ("replaced", "status"),
    [
        ({"Sec-WebSocket-Version": "8"}, 400),
        ({"Sec-WebSocket-Key": "short"}, 400),
        ({"Sec-WebSocket-Key": ""}, 400),
    ],
)
def test_a_handshake_against_the_rules_is_refused_with_a_problem(
    server: Serving, replaced: dict[str, str], status: int
) -> None:
    with Wire(server.port) as wire:
        wire.open("/api/v1/stream", {**server.bearer(), **replaced})
        assert wire.response.status == status
        assert wire.response.headers["content-type"] == "application/problem+json"
        if "Sec-WebSocket-Version" in replaced:
            assert wire.response.headers["sec-websocket-version"] == "13"


# -- origins -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("origin", "host", "status"),
    [
        (None, "127.0.0.1:{port}", 101),
        ("http://127.0.0.1:{port}", "127.0.0.1:{port}", 101),
        ("https://lading.example", "lading.example", 101),
        ("https://LADING.example", "lading.EXAMPLE", 101),
        ("https://evil.example", "127.0.0.1:{port}", 403),
        ("http://127.0.0.1:{port}.evil.example", "127.0.0.1:{port}", 403),
        ("http://127.0.0.1:1", "127.0.0.1:{port}", 403),
        ("null", "127.0.0.1:{port}", 403),
        ("file://", "127.0.0.1:{port}", 403),
        ("http://[", "127.0.0.1:{port}", 403),
        ("", "127.0.0.1:{port}", 403),
    ],
)
def test_pages_of_other_hosts_are_refused_before_the_upgrade(
    server: Serving, origin: str | None, host: str, status: int
) -> None:
    headers = {**server.bearer(), "Host": host.format(port=server.port)}
    if origin is not None:
        headers["Origin"] = origin.format(port=server.port)
    with Wire(server.port) as wire:
        assert wire.open("/api/v1/stream", headers).response.status == status
        if status == 403:
            problem = refusal(wire)
            assert problem["code"] == "not_allowed"


def test_origins_that_a_setting_names_are_admitted(tmp_path: Path) -> None:
    with Serving(tmp_path, {"server.origins": "https://map.example"}) as server:
        for origin, status in (("https://map.example", 101), ("https://maps.example", 403)):
            with Wire(server.port) as wire:
                headers = {**server.bearer(), "Origin": origin}
                assert wire.open("/api/v1/stream", headers).response.status == status


# -- messages ----------------------------------------------------------------------------------------------


def test_the_snapshot_comes_first_and_is_what_rest_says(server: Serving) -> None:
    board, position = server.settled()
    with server.stream() as wire:
        snapshot = wire.message()
    assert snapshot["type"] == "snapshot:init"
    assert list(snapshot) == ["type", "epoch", "seq", "data"]
    assert snapshot["seq"] == position
    assert {each["uuid"]: each for each in snapshot["data"]} == board
    assert tuple(sorted(board)) == LISTED


def test_a_change_is_told_as_the_whole_station_at_its_sequence(server: Serving) -> None:
    for evse_id in (E1, E2):
        server.report({"evse": evse_id, "status": "UNKNOWN", "observed_at": tick()})
    at = tick()
    with server.stream() as wire:
        wire.until("snapshot:init")
        position = reported(server, E2, "OUTOFORDER", observed_at=at)
        update = wire.until("status:update")
    connectors = update["data"]["connectors"]
    assert list(update) == ["type", "epoch", "seq", "data"]
    assert update["seq"] == position
    assert update["data"]["uuid"] == "NOR_01333"
    assert update["data"]["status"] == 2
    assert [(each["status"], each["error"]) for each in connectors] == [(-1, 0), (-1, 1), (-1, 1)]
    assert connectors[1]["timestamp"] == connectors[2]["timestamp"] == at
    assert connectors[0]["timestamp"] < at


def test_a_report_that_changes_nothing_is_told_as_raw_only(server: Serving) -> None:
    server.report({"evse": E2, "status": "UNKNOWN", "observed_at": tick()})
    position = reported(server, E2, "CHARGING")
    at = tick()
    with server.stream() as wire:
        before = wire.until("snapshot:init")
        receipt = server.report({"evse": E2, "status": "CHARGING", "observed_at": at})
        raws = [wire.message(), wire.message()]
        after = reported(server, E2, "AVAILABLE")
        update = wire.until("status:update")
    assert (receipt["accepted"], receipt["unchanged"]) == (0, 1)
    expected = {"uuid": "NOR_01333", "status": 1, "error": 0, "timestamp": at}
    assert raws == [
        {"type": "status:raw", "code": 1, "data": {**expected, "connector": connector}}
        for connector in (1, 2)
    ]
    assert before["seq"] == position
    assert update["seq"] == after == position + 1
    kept = next(each for each in before["data"] if each["uuid"] == "NOR_01333")["connectors"]
    assert kept[1]["timestamp"] < at, "a repeated report does not move the timestamp"


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        ("", ["snapshot:init", "status:raw", "status:update"]),
        ("types=snapshot,update,raw", ["snapshot:init", "status:raw", "status:update"]),
        ("types=update", ["status:update"]),
        ("types=update,raw", ["status:raw", "status:update"]),
        ("types=%20update%20,snapshot", ["snapshot:init", "status:update"]),
        ("types=raw", ["status:raw"]),
    ],
)
def test_only_the_named_types_are_sent(server: Serving, types: str, expected: list[str]) -> None:
    with server.stream(types) as wire:
        flipped(server, E1)
        flipped(server, "SE*BET*E7*1", "beta")
        seen: list[str] = []
        last = expected[-1]
        while seen.count(last) < 2:
            seen.append(wire.message()["type"])
    assert set(seen) == set(expected)
    if "snapshot:init" in expected:
        assert seen[0] == "snapshot:init"
        assert seen.count("snapshot:init") == 1


def test_only_snapshots_are_sent_to_who_wants_nothing_else(server: Serving) -> None:
    with server.stream("types=snapshot") as wire, server.stream("types=update") as other:
        assert wire.message()["type"] == "snapshot:init"
        flipped(server)
        assert other.message()["type"] == "status:update"
        wire.put(9, b"still there")
        assert wire.frame() == (PONG, b"still there", True, False), "nothing came before the answer"


# -- filters -----------------------------------------------------------------------------------------------

NORWEGIAN = ["NOR_01333", "NOR_01342", "NOR_01523"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("country=NOR", NORWEGIAN),
        ("country=no", NORWEGIAN),
        ("country=DAN", ["DAN_00011"]),
        ("country=DNK", ["DAN_00011"]),
        ("country=dk", ["DAN_00011"]),
        ("country=SWE,DAN", ["DAN_00011", "SWE_00007"]),
        ("country=FRA", []),
        ("country=", list(LISTED)),
        ("station=NOR_01333", ["NOR_01333"]),
        ("station=nor_01333,NOR_01342,NOR_99999", ["NOR_01333", "NOR_01342"]),
        ("bbox=10,59,11,60", ["NOR_01333"]),
        ("bbox=5.32,60.39,5.32,60.39", ["NOR_01342"]),
        ("bbox=170,-10,-170,10", []),
        ("bbox=18,50,13,61", ["SWE_00007", *NORWEGIAN[:2], "DAN_00011"]),
        ("operator=Alfa%20Lading", ["NOR_01333"]),
        ("operator=alfa%20lading", ["NOR_01333"]),
        ("operator=NO*ALF", ["NOR_01333", "NOR_01342"]),
        ("operator=noalf,SE-BET", ["NOR_01333", "NOR_01342", "SWE_00007"]),
        ("country=NOR&bbox=0,0,180,60", ["NOR_01333"]),
        ("country=NOR&operator=SEBET", []),
    ],
)
def test_filters_narrow_snapshot_and_rest_alike(server: Serving, query: str, expected: list[str]) -> None:
    with server.stream(query) as wire:
        assert sorted(each["uuid"] for each in wire.message()["data"]) == sorted(expected)
    rest = server.get(f"/api/v1/rest/chargers?{query}").json()
    assert [each["uuid"] for each in rest] == sorted(expected)


@pytest.mark.parametrize(
    "query", ["country=SWE", "station=SWE_00007", "bbox=18,59,19,60", "operator=Beta%20Laddning"]
)
def test_filters_narrow_updates_and_raws(server: Serving, query: str) -> None:
    with server.stream(query) as wire:
        assert len(wire.message()["data"]) == 1
        flipped(server, E1)
        flipped(server, UID)
        position = flipped(server, "SE*BET*E7*1", "beta")
        raw, update = wire.message(), wire.message()
    assert raw["data"]["uuid"] == update["data"]["uuid"] == "SWE_00007"
    assert update["seq"] == position


# -- resuming ----------------------------------------------------------------------------------------------


def test_who_resumes_gets_the_newest_state_of_what_changed_and_then_what_changes(server: Serving) -> None:
    with server.stream() as wire:
        fold = Fold()
        fold.take(wire.message())
    flipped(server, E1)
    flipped(server, "SE*BET*E7*1", "beta")
    flipped(server, E1)
    flipped(server, UID)
    _, missed = server.settled()
    with server.stream(f"since={fold.since}") as wire:
        told = []
        while fold.seq < missed:
            told.append(wire.message())
            fold.take(told[-1])
        newest = flipped(server, E2)
        fold.follow(wire, newest)
    assert [each["type"] for each in told] == ["status:update"] * 3
    assert sorted(each["data"]["uuid"] for each in told) == ["NOR_01333", "NOR_01342", "SWE_00007"]
    assert fold.board == server.settled()[0]


def test_who_resumes_at_the_end_gets_nothing_but_what_changes(server: Serving) -> None:
    _, position = server.settled()
    with server.stream(f"since={server.app.reader.view.epoch}-{position}&types=update") as wire:
        newest = flipped(server)
        assert wire.message()["seq"] == newest


def test_who_resumes_with_a_filter_gets_what_passes_it(server: Serving) -> None:
    _, position = server.settled()
    flipped(server, E1)
    newest = flipped(server, "SE*BET*E7*1", "beta")
    server.settled()
    with server.stream(f"since={server.app.reader.view.epoch}-{position}&country=SWE&types=update") as wire:
        update = wire.message()
        assert (update["data"]["uuid"], update["seq"]) == ("SWE_00007", newest)
        newest = flipped(server, "SE*BET*E7*1", "beta")
        assert wire.message()["seq"] == newest


@pytest.mark.parametrize("types", ["", "&types=update"])
def test_who_cannot_resume_gets_a_snapshot_whatever_else_was_chosen(server: Serving, types: str) -> None:
    _, position = server.settled()
    for since in (f"otherepoch-{position}", f"{server.app.reader.view.epoch}-{position + 1000}"):
        with server.stream(f"since={since}{types}") as wire:
            assert wire.message()["type"] == "snapshot:init"


# -- EVSEs and stations that come and go -------------------------------------------------------------------


def test_a_removed_evse_is_told_once_as_unknown_and_then_not_listed(tmp_path: Path) -> None:
    with Serving(tmp_path) as server, server.stream("types=snapshot,update") as wire:
        assert len(wire.message()["data"]) == len(LISTED)
        reported(server, E1, "AVAILABLE")
        wire.message()
        reported(server, E2, "REMOVED")
        last = wire.message()["data"]
        reported(server, E1, "CHARGING")
        after = wire.message()["data"]
        assert [each["status"] for each in last["connectors"]] == [0, -1, -1]
        assert [each["status"] for each in after["connectors"]] == [1]
        assert server.settled()[0]["NOR_01333"] == after
        assert server.get("/api/v1/rest/connector/NOR_01333_02").status_code == 404
        reported(server, E2, "AVAILABLE")
        assert [each["status"] for each in wire.message()["data"]["connectors"]] == [1, 0, 0]


def test_an_import_while_consumers_are_connected_is_told_to_them(tmp_path: Path) -> None:
    with Serving(tmp_path) as server, server.stream("types=snapshot,update") as wire:
        fold = Fold()
        fold.take(wire.message())
        flipped(server, E1)
        new = station("NOR_01777", "NOR", (7.99, 58.15), [evse("NO*ALF*E1777", party="NOALF")])
        left = [each for each in STATIONS if each.station.uuid != "NOR_01342"]
        report = server.import_stations([*left, new])
        server.in_step()
        board, position = server.settled()
        fold.follow(wire, position)
        assert (report.added, report.vanished) == (("NOR_01777",), ("NOR_01342",))
        assert fold.board == board
        assert "NOR_01777" in board
        assert "NOR_01342" not in board
        assert board["NOR_01333"]["connectors"][0]["status"] == 0, "others keep their status"

        fold.follow(wire, flipped(server, "NO*ALF*E1777"))
        refused = server.report({"evse": "NO*ALF*E1342", "status": "AVAILABLE"})["refused"]
        assert [each["reason"] for each in refused] == ["unknown_evse"]

        server.import_stations([*STATIONS, new])
        server.in_step()
        fold.follow(wire, server.settled()[1])
        assert fold.board["NOR_01342"]["connectors"] == [{"status": -1, "error": 0, "timestamp": -1}]
        fold.follow(wire, flipped(server, UID))
        assert fold.board == server.settled()[0]


def test_a_station_that_nobody_may_report_on_is_not_listed_until_somebody_may(tmp_path: Path) -> None:
    with Serving(tmp_path) as server, server.stream("types=snapshot,update") as wire:
        fold = Fold()
        fold.take(wire.message())
        assert "FIN_00021" not in fold.board
        server.write(lambda store: store.put_operator(operator_from("gamma", parties=["FI*GAM"]), now()))
        server.in_step()
        board, position = server.settled()
        fold.follow(wire, position)
        assert "FIN_00021" in board
        assert fold.board == board


def test_a_status_that_a_register_carries_becomes_the_first_one(tmp_path: Path) -> None:
    at = now() - 60_000
    read = Reading("", Status.CHARGING, error=False, observed_at=at, raw="1")
    draft = station("FIN_00033", "FIN", (24.9, 60.2), [evse("FI*GAM*E33", party="FIGAM")])
    with Serving(tmp_path) as server:
        server.import_stations([msgspec.structs.replace(draft, readings=((0, read),))], complete=False)
        server.in_step()
        until(lambda: "FIN_00033" in server.board()[0], "the station is listed")
        until(
            lambda: (
                server.board()[0]["FIN_00033"]["connectors"] == [{"status": 1, "error": 0, "timestamp": at}]
            ),
            "its status is the register's",
        )


def test_a_status_that_is_older_than_silence_may_last_claims_nothing_now(tmp_path: Path) -> None:
    at = now() - 2 * 86_400_000
    draft = station("FIN_00033", "FIN", (24.9, 60.2), [evse("FI*GAM*E33", party="FIGAM")])
    with Serving(tmp_path) as server:
        for observed_at in (at, at + 1):
            read = Reading("", Status.CHARGING, error=False, observed_at=observed_at, raw="1")
            draft = msgspec.structs.replace(draft, readings=((0, read),))
            server.import_stations([draft], complete=False)
            server.in_step()
            until(lambda: "FIN_00033" in server.board()[0], "the station is listed")
            board, _ = server.settled()
            assert board["FIN_00033"]["connectors"] == [{"status": -1, "error": 0, "timestamp": -1}]
        read = Reading("", Status.CHARGING, error=False, observed_at=at + 86_400_000 + 600_000, raw="1")
        server.import_stations([msgspec.structs.replace(draft, readings=((0, read),))], complete=False)
        until(lambda: server.board()[0]["FIN_00033"]["connectors"][0]["status"] == 1, "a newer one counts")


# -- keys in force -----------------------------------------------------------------------------------------


def test_a_revoked_key_closes_its_connections_and_no_others(server: Serving) -> None:
    server.make_key("soon revoked", ["stream"])
    with server.stream(key="soon revoked") as cut, server.stream() as kept:
        assert cut.message()["type"] == "snapshot:init"
        server.revoke("soon revoked")
        assert cut.close_code() == 4401
        assert kept.message()["type"] == "snapshot:init"
        kept.put(9, b"x")
        while kept.frame().opcode != PONG:
            pass
    with server.stream(key="soon revoked") as again:
        assert again.response.status == 401


def test_a_key_that_expires_closes_its_connections_and_no_others(
    server: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    expires_at = now() + HOUR_MS
    server.make_key("soon expired", ["stream"], expires_at=expires_at)
    with server.stream(key="soon expired") as wire, server.stream() as kept, monkeypatch.context() as later:
        assert wire.message()["type"] == kept.message()["type"] == "snapshot:init"
        later.setattr(server.app.context.door, "_clock", lambda: expires_at - 1)
        server.look_after()
        wire.put(PING, b"still here")
        assert wire.frame().opcode == PONG
        later.setattr(server.app.context.door, "_clock", lambda: expires_at)
        assert wire.close_code() == 4401
        kept.put(PING, b"still here")
        assert kept.frame().opcode == PONG


# -- limits ------------------------------------------------------------------------------------------------


def test_a_key_has_a_limit_of_connections_and_gets_them_back(tmp_path: Path) -> None:
    with Serving(tmp_path, {"stream.consumers_per_key_max": 2}) as server:
        with server.stream() as first, server.stream(), server.stream() as third:
            assert third.response.status == 429
            problem = refusal(third)
            assert (problem["code"], problem["retry"]) == ("too_many_requests", True)
            assert "retry-after" in third.response.headers
            with server.stream(key="admin") as other:
                assert other.response.status == 101, "another key has its own"
            first.close()
            until(lambda: server.app.reader.stream.by_key[server.key_ids["stream"]] < 2, "one was given back")
            with server.stream() as again:
                assert again.response.status == 101
        until(lambda: not server.app.reader.stream.by_key, "all were given back")
        assert not server.app.reader.stream.connections


def test_the_server_has_a_limit_of_consumers(tmp_path: Path) -> None:
    settings = {"stream.consumers_max": 1}
    with (
        Serving(tmp_path, settings) as server,
        server.stream(),
        server.stream(key="admin") as second,
    ):
        assert second.response.status == 503
        assert refusal(second)["code"] == "overloaded"


def test_one_selection_too_many_is_told_to_try_again_and_costs_nothing(tmp_path: Path) -> None:
    with Serving(tmp_path, {"stream.selections_max": 1}) as server:
        with server.stream() as wire:
            wire.message()
            for _ in range(3):
                with server.stream("country=NOR") as other:
                    assert other.response.status == 503
                    problem = refusal(other)
                    assert (problem["code"], problem["retry"]) == ("overloaded", True)
            until(lambda: len(server.app.reader.stream.connections) == 1, "nothing is left of those refused")
            assert server.app.reader.stream.by_key[server.key_ids["stream"]] == 1
        until(lambda: not server.app.reader.broadcast.channels, "the selection is given back")
        with server.stream("country=NOR") as other:
            assert other.response.status == 101


# -- under load --------------------------------------------------------------------------------------------

CONSUMERS = 50
ROUNDS = 60


def many_stations() -> list[Any]:
    """Sixty stations of two operators in two countries."""
    return [
        station(
            f"{'NOR' if number % 2 else 'SWE'}_{number:05d}",
            "NOR" if number % 2 else "SWE",
            (10.0, 60.0),
            [
                evse(
                    f"{'NO*ALF' if number % 2 else 'SE*BET'}*E{number}*{place}",
                    party="NOALF" if number % 2 else "SEBET",
                )
                for place in range(1, 4)
            ],
        )
        for number in range(1, 61)
    ]


def test_consumers_that_join_and_leave_under_load_all_end_in_step_with_rest(tmp_path: Path) -> None:
    # Nobody is given the newest states for being slow: whatever a consumer is due, its buffer holds.
    settings = {"stream.write_buffer_kib_max": 65_536}
    visits: list[bool] = []
    with (
        Serving(tmp_path, settings, stations=many_stations()) as server,
        ThreadPoolExecutor(CONSUMERS + 2) as pool,
    ):
        load = [pool.submit(operate, server, key, visits) for key in ("alfa", "beta")]
        consumers = [pool.submit(come_and_go, server, number, load, visits) for number in range(CONSUMERS)]
        receipts = [each.result() for each in load]
        folds = [each.result() for each in consumers]
        board, position = server.settled()
    assert sum(receipts) > ROUNDS * 40
    for fold in folds:
        assert fold.seq == position
        assert fold.board == board


def operate(server: Serving, key: str, visits: Sequence[bool]) -> int:
    """An operator under full load, until consumers have come and gone; says how many changes it made."""
    chance = random.Random(key)
    first, prefix = (1, "NO*ALF") if key == "alfa" else (2, "SE*BET")
    accepted = 0
    rounds = 0
    while rounds < ROUNDS or len(visits) < 2 * CONSUMERS or sum(visits) < CONSUMERS / 2:
        rounds += 1
        items = [
            {
                "evse": f"{prefix}*E{number}*{chance.randint(1, 3)}",
                "status": chance.choice(["AVAILABLE", "CHARGING", "OUTOFORDER", "UNKNOWN"]),
            }
            for number in chance.choices(range(first, 61, 2), k=40)
        ]
        receipt = server.report(*items, key=key)
        assert receipt["refused"] == []
        accepted += receipt["accepted"] + receipt["unchanged"]
    return accepted


def come_and_go(server: Serving, number: int, load: Sequence[Future[int]], visits: list[bool]) -> Fold:
    """A consumer that leaves and comes back at random, until at some time it stays to the end of the load.

    Who got a snapshot is told of every change after it, one by one. `visits` gets whether each resumes.
    """
    chance = random.Random(number)
    fold = Fold()
    while True:
        resume = bool(fold.epoch) and chance.random() < 0.5
        stays = chance.random() < 0.1
        visits.append(resume)
        query = f"types=snapshot,update{f'&since={fold.since}' if resume else ''}"
        with server.stream(query) as wire:
            if not resume:
                fold = Fold()
                fold.take(wire.message())
            wire.socket.settimeout(0.05)
            left = math.inf if stays else chance.randrange(300)
            while left > 0:
                left -= 1
                try:
                    message = wire.message()
                except TimeoutError:
                    if not all(each.done() for each in load):
                        break
                    if fold.seq == server.app.log.last.seq:
                        return fold
                    continue
                assert resume or message["seq"] == fold.seq + 1, "a change was left out"
                fold.take(message)
