"""REST of the NOBIL stream API from outside."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.serving import LISTED, Serving, seq, station, tick
from tests.e2e.serving import evse as draft_evse

E1 = "NO*ALF*E1333*1"
E2 = "NO*ALF*E1333*2"
PATHS = (
    "/api/v1/rest/connector/NOR_01333_01",
    "/api/v1/rest/charger/NOR_01333",
    "/api/v1/rest/chargers",
    "/api/v1/rest/chargers/NOR",
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server with one occupied connector, of which the tests of this file change nothing."""
    with Serving(tmp_path_factory.mktemp("rest")) as running:
        running.report({"evse": E1, "status": "AVAILABLE", "observed_at": 1_700_000_000_000})
        running.report({"evse": E2, "status": "CHARGING", "observed_at": 1_700_000_001_000})
        running.settled()
        yield running


FREE = {"status": 0, "error": 0, "timestamp": 1_700_000_000_000}
TAKEN = {"status": 1, "error": 0, "timestamp": 1_700_000_001_000}
NEVER = {"status": -1, "error": 0, "timestamp": -1}
TORGET = {"uuid": "NOR_01333", "status": 0, "connectors": [FREE, TAKEN, TAKEN]}


def test_a_connector(server: Serving) -> None:
    for suffix, expected in (("01", FREE), ("02", TAKEN), ("03", TAKEN), ("003", TAKEN)):
        answer = server.get(f"/api/v1/rest/connector/NOR_01333_{suffix}")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"
        assert answer.json() == {"uuid": f"NOR_01333_{int(suffix):02d}", **expected}


@pytest.mark.parametrize(
    "name",
    ["NOR_01333_00", "NOR_01333_04", "NOR_01333_1", "NOR_01333", "NOR_99999_01", "FIN_00021_01", "x", "_01"],
)
def test_a_connector_that_is_not_there(server: Serving, name: str) -> None:
    answer = server.get(f"/api/v1/rest/connector/{name}")
    assert answer.status_code == 404
    assert answer.json()["code"] == "not_found"


@pytest.mark.parametrize("name", ["NOR_01333", "nor_01333", "NOR%5F01333", "%4eOR_01333"])
def test_a_station_in_any_writing(server: Serving, name: str) -> None:
    answer = server.get(f"/api/v1/rest/charger/{name}")
    assert answer.status_code == 200
    assert answer.json() == TORGET


@pytest.mark.parametrize("name", ["NOR_99999", "NOR_01333_01", "FIN_00021", "%00", "%E2%82%AC", "a%2Fb", "*"])
def test_a_station_that_is_not_there_or_that_nobody_reports_on(server: Serving, name: str) -> None:
    answer = server.get(f"/api/v1/rest/charger/{name}")
    assert answer.status_code == 404
    assert answer.json()["code"] == "not_found"


def test_all_stations_in_order_of_their_uuids(server: Serving) -> None:
    stations = server.get("/api/v1/rest/chargers").json()
    assert tuple(each["uuid"] for each in stations) == LISTED
    assert stations[1] == TORGET
    assert stations[0] == {"uuid": "DAN_00011", "status": -1, "connectors": [NEVER]}


@pytest.mark.parametrize(
    ("country", "expected"),
    [
        ("NOR", ["NOR_01333", "NOR_01342", "NOR_01523"]),
        ("nor", ["NOR_01333", "NOR_01342", "NOR_01523"]),
        ("NO", ["NOR_01333", "NOR_01342", "NOR_01523"]),
        ("SWE", ["SWE_00007"]),
        ("DAN", ["DAN_00011"]),
        ("DNK", ["DAN_00011"]),
        ("dk", ["DAN_00011"]),
        ("FIN", []),
        ("FRA", []),
    ],
)
def test_all_stations_of_a_country(server: Serving, country: str, expected: list[str]) -> None:
    answer = server.get(f"/api/v1/rest/chargers/{country}")
    assert answer.status_code == 200
    assert [each["uuid"] for each in answer.json()] == expected


@pytest.mark.parametrize("country", ["XYZ", "Norway", "N", "%20"])
def test_a_country_that_is_none(server: Serving, country: str) -> None:
    answer = server.get(f"/api/v1/rest/chargers/{country}")
    assert answer.status_code == 404
    assert answer.json()["code"] == "not_found"


# -- keys --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PATHS)
def test_keys_are_taken_from_header_and_query_and_the_header_wins(server: Serving, path: str) -> None:
    good, bad = server.keys["stream"], server.keys["revoked"]
    for name in ("key", "apikey"):
        assert server.get(f"{path}?{name}={good}", key=None).status_code == 200
        assert server.get(f"{path}?{name}={bad}", key=None).status_code == 401
        assert server.get(f"{path}?{name}={bad}", key="stream").status_code == 200
        assert server.get(f"{path}?{name}={good}", key="revoked").status_code == 401
    assert server.get(path, key=None, headers={"X-Api-Key": good}).status_code == 200
    assert server.get(path, key="admin").status_code == 200


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("key", "status", "code"),
    [
        (None, 401, "unauthenticated"),
        ("revoked", 401, "unauthenticated"),
        ("expired", 401, "unauthenticated"),
        ("alfa", 403, "not_allowed"),
    ],
)
def test_without_a_good_key_nothing_is_told_but_why(
    server: Serving, path: str, key: str | None, status: int, code: str
) -> None:
    for target in (path, path.replace("01333", "99999")):
        answer = server.get(target, key=key)
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        assert (problem["status"], problem["code"], problem["retry"]) == (status, code, False)
        assert problem["type"] == f"/docs/errors/{code}"
        assert ("www-authenticate" in answer.headers) is (status == 401)


# -- conditional requests (RFC 9110, section 13) -----------------------------------------------------------


@pytest.mark.parametrize("path", PATHS)
def test_who_has_the_newest_is_told_so(server: Serving, path: str) -> None:
    answer = server.get(path)
    tag = answer.headers["etag"]
    assert tag == f'"{server.app.reader.view.position}"'
    for condition in (tag, f"W/{tag}", f'"other-1", {tag}', f'"x","y",W/{tag}', "*"):
        again = server.get(path, headers={"If-None-Match": condition})
        assert again.status_code == 304, condition
        assert again.headers["etag"] == tag
        assert again.content == b""
    for condition in ('"other-1"', tag.strip('"'), "", '""'):
        assert server.get(path, headers={"If-None-Match": condition}).status_code == 200, condition


@pytest.mark.parametrize("path", PATHS)
def test_a_condition_opens_nothing_to_who_has_no_key(server: Serving, path: str) -> None:
    assert server.get(path, key=None, headers={"If-None-Match": "*"}).status_code == 401


def test_what_is_not_there_is_not_unchanged(server: Serving) -> None:
    for path in ("/api/v1/rest/charger/NOR_99999", "/api/v1/rest/connector/NOR_01333_09"):
        assert server.get(path, headers={"If-None-Match": "*"}).status_code == 404


def test_each_change_makes_the_tag_another(tmp_path: Path) -> None:
    with Serving(tmp_path) as server:
        before = server.get("/api/v1/rest/chargers")
        server.report({"evse": E1, "status": "CHARGING", "observed_at": tick()})
        server.settled()
        after = server.get("/api/v1/rest/chargers", headers={"If-None-Match": before.headers["etag"]})
        assert after.status_code == 200
        assert seq(after) == seq(before) + 1
        server.report({"evse": E1, "status": "CHARGING", "observed_at": tick()})
        again = server.get("/api/v1/rest/chargers", headers={"If-None-Match": after.headers["etag"]})
        assert again.status_code == 304, "a confirmation changes nothing here"


# -- compression -------------------------------------------------------------------------------------------


def test_large_answers_are_compressed_for_who_can_read_that(tmp_path: Path) -> None:
    stations = [
        station(f"NOR_{n:05d}", "NOR", (10.0, 60.0), [draft_evse(f"NO*ALF*E{n}", party="NOALF")])
        for n in range(1, 101)
    ]
    with Serving(tmp_path, stations=stations) as server:
        plain = server.get("/api/v1/rest/chargers", headers={"Accept-Encoding": "identity"})
        assert "content-encoding" not in plain.headers
        request = server.request(
            "GET",
            "/api/v1/rest/chargers",
            headers={**server.bearer(), "Accept-Encoding": "gzip"},
        )
        assert request.headers["content-encoding"] == "gzip"
        assert "accept-encoding" in request.headers["vary"].lower()
        assert int(request.headers["content-length"]) < len(plain.content) / 4
        assert request.content == plain.content
        assert request.headers["etag"] == plain.headers["etag"]
        assert len(gzip.compress(plain.content)) > 0
        small = server.get("/api/v1/rest/charger/NOR_00001", headers={"Accept-Encoding": "gzip"})
        assert "content-encoding" not in small.headers


# -- methods and paths -------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "PROPFIND"])
def test_other_methods_are_refused(server: Serving, path: str, method: str) -> None:
    answer = server.request(method, path, headers=server.bearer())
    assert answer.status_code == 405
    assert "GET" in answer.headers["allow"]
    assert answer.json()["code"] == "method_not_allowed"


@pytest.mark.parametrize("path", PATHS)
def test_options_tells_the_methods(server: Serving, path: str) -> None:
    answer = server.request("OPTIONS", path)
    assert answer.status_code == 204
    assert "GET" in answer.headers["allow"]


@pytest.mark.parametrize(
    "path",
    ["/api", "/api/v1", "/api/v1/rest", "/api/v1/rest/charger", "/api/v1/rest/nope/1", "/api/v3/x"],
)
def test_other_paths_are_not_found(server: Serving, path: str) -> None:
    answer = server.get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "not_found"


@pytest.mark.parametrize(
    "query", ["country=XYZ", "bbox=1,2,3", "bbox=a,b,c,d", "station=" + ",".join(["NOR_00001"] * 1001)]
)
def test_filters_that_cannot_be_understood_are_refused(server: Serving, query: str) -> None:
    answer = server.get(f"/api/v1/rest/chargers?{query}")
    assert answer.status_code == 400
    assert answer.json()["code"] == "invalid_filter"
