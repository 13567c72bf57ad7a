"""REST of version 2 from outside."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import httpx2
import pytest
from msgspec import structs
from tests.e2e.serving import LISTED, STATIONS, UID, Serving, evse, seq, station
from tests.e2e.wire import Wire, request

from ladestrom.formats.wire import instant
from ladestrom.outputs.stream_v2.edge import STREAM_PATH

E1 = "NO*ALF*E1333*1"
SHARED_UID = "pole-1"
PATHS = (
    "/api/v2/evses",
    f"/api/v2/evses/{quote(E1)}",
    "/api/v2/stations",
    "/api/v2/stations/NOR_01333",
    "/api/v2/operators",
)
OWN_LISTS = {"/api/v2/evses", "/api/v2/stations"}
"""Of which a key that reports reads what its operator may report on."""
AT = 1_700_000_000_000
TWINS = station(
    "NOR_01999",
    "NOR",
    (10.0, 60.0),
    [
        evse("NO*ALF*E1999*1", party="NOALF", uid=SHARED_UID),
        evse("NO*ALF*E1999*2", party="NOALF", uid=SHARED_UID),
    ],
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server of which the tests of this file change nothing."""
    with Serving(tmp_path_factory.mktemp("rest2"), stations=[*STATIONS, TWINS]) as running:
        running.report(
            {"evse": E1, "status": "OUTOFORDER", "observed_at": AT},
            {"evse": "NO*ALF*E1333*2", "status": "PLANNED", "observed_at": AT},
            {"evse": UID, "status": "CHARGING", "observed_at": AT},
            {"evse": UID, "status": "CHARGING", "observed_at": AT + 5000},
            {"evse": "NO*NOBODY*E1", "status": "CHARGING"},
        )
        running.settled()
        yield running


@pytest.mark.parametrize(
    "written",
    [
        "NO*ALF*E1342",
        "NOALFE1342",
        "no*alf*e1342",
        "no-alf-e1342",
        "NO%2AALF%2AE1342",
        UID,
        UID.upper(),
    ],
)
def test_an_evse_is_found_by_any_written_form_of_its_id_and_by_its_uid(server: Serving, written: str) -> None:
    answer = server.get(f"/api/v2/evses/{written}")
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    assert found == {
        "evse": "NO*ALF*E1342",
        "station": "NOR_01342",
        "status": "CHARGING",
        "error": 0,
        "changed_at": "2023-11-14T22:13:20.000Z",
        "observed_at": "2023-11-14T22:13:25.000Z",
        "source": "alfa",
        "raw": "CHARGING",
        "connectors": [
            {
                "standard": "IEC_62196_T2_COMBO",
                "max_kw": 150.0,
                "format": "CABLE",
                "power_type": "DC",
                "max_v": 920.0,
                "max_a": 164.0,
                "derived": ["format", "max_a", "max_v", "power_type"],
            }
        ],
        "max_kw": 150.0,
        "cause": "reported",
        "uid": UID,
    }


def test_an_evse_of_an_old_record_is_found_by_its_connector(server: Serving) -> None:
    answer = server.get("/api/v2/evses/NOR_01523_02").json()
    assert (answer["station"], answer["status"], answer["changed_at"]) == ("NOR_01523", "UNKNOWN", None)


def test_an_evse_that_is_not_known(server: Serving) -> None:
    for written in (
        "NO*ALF*E1",
        UID.replace("-", ""),
        "NO*ALF*E1342%C2%AD",
        "%20",
        "x" * 300,
        "%F0%9F%94%8C",
    ):
        answer = server.get(f"/api/v2/evses/{written}")
        assert answer.status_code == 404
        assert answer.json()["code"] == "not_found"


def test_a_uid_that_several_have_is_a_conflict_that_names_them(server: Serving) -> None:
    answer = server.get(f"/api/v2/evses/{SHARED_UID}")
    assert answer.status_code == 409
    problem = answer.json()
    assert problem["code"] == "conflict"
    assert "NO*ALF*E1999*1" in problem["detail"]


def test_a_station_has_its_evses_in_registry_order_without_the_planned_ones(server: Serving) -> None:
    found = server.get("/api/v2/stations/nor_01333").json()
    assert found["uuid"] == "NOR_01333"
    assert found["position"] == {"latitude": 59.91, "longitude": 10.75}
    assert (found["operator"], found["country"], found["vanished_at"]) == ("Alfa Lading", "NOR", None)
    assert [(each["evse"], each["status"], each["error"]) for each in found["evses"]] == [
        (E1, "OUTOFORDER", 1)
    ]


def test_a_station_that_nobody_reports_on_is_told_all_the_same(server: Serving) -> None:
    found = server.get("/api/v2/stations/FIN_00021").json()
    assert [each["status"] for each in found["evses"]] == ["UNKNOWN"]
    assert server.get("/api/v2/stations/FIN_99999").status_code == 404


def test_operators_are_told_with_their_freshness(server: Serving) -> None:
    found, silent = server.get("/api/v2/operators").json()
    assert found["operator"] == "alfa"
    assert (silent["operator"], silent["last_report_at"], silent["sources"]) == ("beta", None, [])
    assert (found["reports"], found["changes"], found["stale"]) == (5, 3, 0)
    assert found["refused"] == {"unknown_evse": 1}
    assert found["last_report_at"] is not None


def test_stations_come_in_pages(server: Serving) -> None:
    expected = sorted([*LISTED, "NOR_01999"])
    path: str | None = "/api/v2/stations?limit=4"
    seen: list[str] = []
    pages = 0
    while path is not None:
        page = server.get(path)
        found = page.json()
        assert found["position"] == str(server.app.reader.view.position)
        seen += [each["uuid"] for each in found["items"]]
        path = f"/api/v2/stations?limit=4&cursor={found['next']}" if found["next"] else None
        assert ("link" in page.headers) is (path is not None)
        pages += 1
    assert seen == expected
    assert pages == 2


def test_evses_are_narrowed_by_the_streams_filters(server: Serving) -> None:
    assert [each["evse"] for each in server.get("/api/v2/evses?status=charging").json()["items"]] == [
        "NO*ALF*E1342"
    ]
    assert [each["evse"] for each in server.get("/api/v2/evses?country=DK").json()["items"]] == [
        "DK*BET*E11*1"
    ]
    assert server.get("/api/v2/evses?evse=NO-ALF-E1333-1").json()["items"][0]["status"] == "OUTOFORDER"


@pytest.mark.parametrize("query", ["status=BUSY", "country=XYZ", "bbox=1", "limit=0", "limit=x", "cursor=x"])
@pytest.mark.parametrize("path", ["/api/v2/stations", "/api/v2/evses"])
def test_what_cannot_be_understood_is_refused(server: Serving, path: str, query: str) -> None:
    answer = server.get(f"{path}?{query}")
    assert answer.status_code == 400
    assert answer.json()["code"] in {"bad_request", "invalid_filter"}


@pytest.mark.parametrize("path", PATHS)
def test_keys_are_taken_from_headers_only(server: Serving, path: str) -> None:
    good = server.keys["stream"]
    assert server.get(path).status_code == 200
    assert server.get(path, key=None, headers={"X-Api-Key": good}).status_code == 200
    for name in ("key", "apikey"):
        answer = server.get(f"{path}?{name}={good}", key=None)
        assert answer.status_code == 401
        assert answer.json()["code"] == "unauthenticated"


@pytest.mark.parametrize(
    ("key", "status", "code", "path"),
    [
        (key, status, code, path)
        for key, status, code in (
            (None, 401, "unauthenticated"),
            ("revoked", 401, "unauthenticated"),
            ("expired", 401, "unauthenticated"),
            ("alfa", 403, "not_allowed"),
        )
        for path in PATHS
        if key != "alfa" or path not in OWN_LISTS
    ],
)
def test_without_a_good_key_nothing_is_told_but_why(
    server: Serving, path: str, key: str | None, status: int, code: str
) -> None:
    for target in (path, path + "9"):
        answer = server.get(target, key=key)
        if target != path and path.count("/") == 3:
            assert answer.status_code == 404, "there is no such path"
            continue
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"] == code


@pytest.mark.parametrize("path", PATHS[:4])
def test_who_has_the_newest_is_told_so(server: Serving, path: str) -> None:
    tag = server.get(path).headers["etag"]
    assert re.fullmatch(rf'W/"{server.app.reader.view.position}-[0-9]+"', tag), "weak: see the next test"
    for condition in (tag, tag.removeprefix("W/"), f'"other", {tag}', "*"):
        again = server.get(path, headers={"If-None-Match": condition})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == tag
    assert server.get(path, headers={"If-None-Match": '"other"'}).status_code == 200
    assert server.get(path, key=None, headers={"If-None-Match": "*"}).status_code == 401


@pytest.mark.parametrize("path", PATHS[:4])
def test_a_confirmation_makes_the_tag_another_and_moves_what_was_observed(tmp_path: Path, path: str) -> None:
    with Serving(tmp_path) as server:
        server.report({"evse": E1, "status": "CHARGING", "observed_at": AT})
        server.settled()
        before = server.get(path)
        tag = before.headers["etag"]
        assert server.get(path, headers={"If-None-Match": tag}).status_code == 304
        position = server.app.reader.view.position
        for later_ms in (5_000, 6_000):
            server.report({"evse": E1, "status": "CHARGING", "observed_at": AT + later_ms})
            server.settled()
            confirmed = server.get(path, headers={"If-None-Match": tag})
            assert confirmed.status_code == 200
            assert observed(confirmed) == instant(AT + later_ms)
            tag = confirmed.headers["etag"]
            assert re.fullmatch(rf'W/"{position}-[0-9]+"', tag)
            assert server.get(path, headers={"If-None-Match": tag}).status_code == 304
        server.report({"evse": E1, "status": "AVAILABLE", "observed_at": AT + 7_000})
        server.settled()
        changed = server.get(path, headers={"If-None-Match": tag})
        assert (changed.status_code, observed(changed)) == (200, instant(AT + 7_000))


def observed(answer: httpx2.Response) -> str:
    """When `E1` was observed."""
    found = answer.json()
    items = found.get("items", [found])
    evses = [evse for item in items for evse in item.get("evses", [item])]
    (state,) = [evse for evse in evses if evse["evse"] == E1]
    return str(state["observed_at"])


def test_no_tag_of_before_a_restart_comes_again(tmp_path: Path) -> None:
    path = f"/api/v2/evses/{quote(E1)}"
    with Serving(tmp_path) as server:
        server.report({"evse": E1, "status": "CHARGING", "observed_at": AT})
        server.settled()
        tags = {server.get(path).headers["etag"]}
        server.report({"evse": E1, "status": "CHARGING", "observed_at": AT + 5_000})
        server.settled()
        tags.add(server.get(path).headers["etag"])
        position = server.app.reader.view.position
        server.stop()
        server.start()
        assert server.app.reader.view.position == position
        assert server.get(path).headers["etag"] not in tags


def test_a_snapshot_of_the_stream_and_the_lists_say_the_same_of_what_was_observed(tmp_path: Path) -> None:
    with Serving(tmp_path) as server:
        server.report({"evse": E1, "status": "CHARGING", "observed_at": AT})
        server.settled()
        for later_ms in (0, 5_000, 6_000):
            server.report({"evse": E1, "status": "CHARGING", "observed_at": AT + later_ms})
            server.settled()
            with Wire(server.port) as wire:
                wire.open(STREAM_PATH, server.bearer())
                told = [wire.message() for _ in range(2)]
            assert told[1]["type"] == "snapshot"
            rows = {row["evse"]: row for row in told[1]["evses"]}
            assert list(rows[E1])[-1] == "observed_at"
            state = server.get(f"/api/v2/evses/{quote(E1)}").json()
            assert rows[E1]["observed_at"] == state["observed_at"] == instant(AT + later_ms)
            assert {
                row["evse"]: row["observed_at"] for row in server.get("/api/v2/evses").json()["items"]
            } == {evse: row["observed_at"] for evse, row in rows.items()}


@pytest.mark.parametrize("path", PATHS[:4])
def test_a_change_of_the_registry_makes_the_tag_another(tmp_path: Path, path: str) -> None:
    with Serving(tmp_path) as server:
        before = server.get(path)
        renamed = structs.replace(STATIONS[0].station, name="Another name")
        server.import_stations([structs.replace(STATIONS[0], station=renamed), *STATIONS[1:]])
        server.in_step()
        after = server.get(path, headers={"If-None-Match": before.headers["etag"]})
        assert after.status_code == 200
        assert seq(after) == seq(before) + 1, "one entry for the one record"


def test_operators_have_no_tag_as_their_counters_move_with_each_report(tmp_path: Path) -> None:
    with Serving(tmp_path) as server:
        for count in (1, 2):
            server.report({"evse": E1, "status": "CHARGING", "observed_at": AT})
            answer = server.get("/api/v2/operators", headers={"If-None-Match": "*"})
            assert "etag" not in answer.headers
            assert answer.headers["cache-control"] == "no-store"
            assert answer.json()[0]["reports"] == count


# -- methods (RFC 9110, section 9) -------------------------------------------------------------------------

ANSWERED: Final = (
    *PATHS,
    "/api/v1/rest/chargers",
    "/api/v1/rest/charger/NOR_01333",
    "/api/v1/rest/connector/NOR_01333_01",
    "/api/v1/rest/chargers/NOR",
    "/api/v2/evses/NONE",
    "/api/v1/stream",
    "/api/v2/stream",
    "/livez",
    "/readyz",
    "/metrics",
    "/openapi.json",
    "/asyncapi.json",
    "/nope",
)
OF_THE_MOMENT: Final = frozenset({"date", "content-length"})
"""Headers that may differ from one answer to the next; the length that of `/metrics` only."""


@pytest.mark.parametrize("path", ANSWERED)
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_head_says_what_get_says_without_the_content(server: Serving, path: str, encoding: str) -> None:
    headers = {"Host": "127.0.0.1", "Accept-Encoding": encoding, **server.bearer()}
    with Wire(server.port) as wire:
        wire.send(request(path, headers, "HEAD"))
        answered = wire.head()
        wire.send(request(path, headers))
        head, content = wire.answer()
        assert answered.status == head.status
        assert {*answered.headers} == {*head.headers}
        assert answered.headers.items() - head.headers.items() <= {
            (name, answered.headers[name]) for name in OF_THE_MOMENT
        }
        if path != "/metrics":
            assert int(answered.headers["content-length"]) == len(content)


def test_head_without_a_key_is_refused_as_get_is(server: Serving) -> None:
    for path in PATHS:
        assert server.request("HEAD", path).status_code == 401


@pytest.mark.parametrize("path", PATHS)
def test_head_knows_that_nothing_changed(server: Serving, path: str) -> None:
    tag = server.get(path).headers.get("etag")
    answer = server.request("HEAD", path, headers={**server.bearer(), "If-None-Match": tag or "*"})
    assert answer.status_code == (304 if tag else 200)


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        *((path, {"GET", "HEAD", "OPTIONS"}) for path in PATHS),
        ("/livez", {"GET", "HEAD", "OPTIONS"}),
        ("/api/v2/events", {"GET", "OPTIONS"}),
        ("/api/v2/tickets", {"POST", "OPTIONS"}),
        ("/api/v2/reports", {"POST", "OPTIONS"}),
    ],
)
def test_options_tells_the_methods_and_needs_no_key(server: Serving, path: str, allowed: set[str]) -> None:
    answer = server.request("OPTIONS", path)
    assert (answer.status_code, answer.content) == (204, b"")
    assert {*answer.headers["allow"].split(", ")} == allowed
    refused = server.request("DELETE", path)
    assert refused.status_code == 405
    assert {*refused.headers["allow"].split(", ")} | {"OPTIONS"} == allowed


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_other_methods_are_refused(server: Serving, path: str, method: str) -> None:
    answer = server.request(method, path, headers=server.bearer("admin"))
    assert answer.status_code == 405
    assert "GET" in answer.headers["allow"]
    assert answer.json()["code"] == "method_not_allowed"


def test_a_ticket_opens_one_stream_for_pages_of_its_origin(server: Serving) -> None:
    origin = {"Origin": server.url}
    assert server.request("POST", "/api/v2/tickets").status_code == 401
    assert server.request("POST", "/api/v2/tickets", headers=server.bearer("alfa")).status_code == 403
    issued = server.request("POST", "/api/v2/tickets", headers={**server.bearer(), **origin}).json()
    with server.stream(key=None) as wire:
        assert wire.response.status == 401
    host = {"Host": server.url.removeprefix("http://"), **origin}
    for status in (101, 401):
        with Wire(server.port) as wire:
            assert wire.open(f"/api/v2/stream?ticket={issued['ticket']}", host).response.status == status
