"""Pages of other origins: what their browsers let them read (WHATWG Fetch, CORS protocol)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Final
from urllib.parse import quote

import pytest
from tests.e2e.following import E1, Events
from tests.e2e.serving import Serving
from tests.e2e.wire import Wire

from ladestrom.edges.cors import TICKETS_PATH
from ladestrom.outputs.stream_v2.edge import EVENTS_PATH, STREAM_PATH

PAGE: Final = "https://map.example"
OTHER: Final = "https://maps.example"
READ: Final = (
    "/api/v1/rest/chargers",
    "/api/v1/rest/chargers/NOR",
    "/api/v1/rest/charger/NOR_01333",
    "/api/v1/rest/connector/NOR_01333_01",
    "/api/v2/stations",
    "/api/v2/stations/NOR_01333",
    "/api/v2/stations/NOR_01333/history",
    "/api/v2/evses",
    f"/api/v2/evses/{quote(E1)}",
    "/api/v2/map",
    "/api/v2/map/stations",
    "/api/v2/map/texts",
    "/api/v2/overview",
    "/api/v2/operators",
    "/api/v2/page",
    "/ocpi/2.2.1/sender/locations",
    "/api/v2/catalogue",
    "/openapi.json",
    "/asyncapi.json",
    "/livez",
    "/readyz",
)
PAGED: Final = frozenset({"x-limit", "x-total-count"})
"""What pages of OCPI say beside."""
OPEN: Final = frozenset({"/api/v2/catalogue", "/api/v2/page"})
"""Of these, those that need no key."""
REFUSED: Final = (
    ("/api/v2/evses?contry=SWE", 400),
    ("/api/v2/evses/NO*NOBODY*E1", 404),
    ("/api/v2/stations/NOR_99999", 404),
    ("/api/v2/stations/NOR_01333/nothing/here", 404),
    ("/api/v1/rest/chargers/Atlantis", 404),
    (f"{STREAM_PATH}?country=SWE", 426),
)
CLOSED: Final = ("/api/v2/keys", "/api/v2/keys/self", "/api/v2/admin/server", "/metrics", "/api/v2/reports")
NOT_READ: Final = (
    "/api/v2/admin",
    "/api/v2/keys",
    "/api/v2/setup",
    "/dynamique",
    "/metrics",
    "/ocpi",
    "/ocpp",
    "/push",
    "/api/oicp/evsepull",
    "/api/oicp/evsepush",
    "/api/v2/reports",
)
"""Of what the contract says that it is got: what manages the server, and what operators use."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server with its settings as they come."""
    with Serving(tmp_path_factory.mktemp("open")) as running:
        yield running


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server that one other origin's pages may read."""
    with Serving(tmp_path_factory.mktemp("narrow"), {"server.cors_origins": PAGE}) as running:
        yield running


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server that no other origin's pages may read."""
    with Serving(tmp_path_factory.mktemp("closed"), {"server.cors_origins": []}) as running:
        yield running


def names(told: str) -> set[str]:
    """What a header lists, in small letters."""
    return {each.strip().lower() for each in told.split(",")}


def is_open(headers: Mapping[str, str], origin: str = "*") -> bool:
    """Whether a browser gives an answer to a page, with all that the page needs of it."""
    return (
        headers["access-control-allow-origin"] == origin
        and names(headers["access-control-expose-headers"])
        == {"etag", "ladestrom-licence", "ladestrom-position", "link", "retry-after", *PAGED}
        and "access-control-allow-credentials" not in headers
    )


def preflight(server: Serving, path: str, method: str = "GET", origin: str = PAGE) -> Mapping[str, str]:
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "x-api-key",
    }
    answer = server.request("OPTIONS", path, headers=asked)
    assert answer.status_code in {204, 404}
    return answer.headers


@pytest.mark.parametrize("path", READ)
def test_pages_of_all_origins_read_what_is_public(server: Serving, path: str) -> None:
    for method in ("GET", "HEAD"):
        answer = server.request(method, path, headers={**server.bearer(), "Origin": PAGE})
        assert answer.status_code == HTTPStatus.OK
        assert is_open(answer.headers)
    told = preflight(server, path)
    assert told["access-control-allow-origin"] == "*"
    assert names(told["access-control-allow-methods"]) == {"get", "head"}
    assert names(told["access-control-allow-headers"]) >= {"authorization", "x-api-key", "if-none-match"}
    assert int(told["access-control-max-age"]) > 0


@pytest.mark.parametrize(("path", "status"), REFUSED)
def test_pages_read_why_they_are_refused(server: Serving, path: str, status: int) -> None:
    answer = server.request("GET", path, headers={**server.bearer(), "Origin": PAGE})
    assert answer.status_code == status
    assert is_open(answer.headers)
    assert answer.json()["code"]


@pytest.mark.parametrize("path", [each for each in READ if each.startswith("/api/v") and each not in OPEN])
def test_pages_read_that_their_key_is_missing(server: Serving, path: str) -> None:
    answer = server.request("GET", path, headers={"Origin": PAGE})
    assert answer.status_code == HTTPStatus.UNAUTHORIZED
    assert is_open(answer.headers)


def test_pages_read_that_what_they_have_is_up_to_date(server: Serving) -> None:
    asked = {**server.bearer(), "Origin": PAGE}
    tag = server.request("GET", "/api/v2/stations", headers=asked).headers["etag"]
    answer = server.request("GET", "/api/v2/stations", headers={**asked, "If-None-Match": tag})
    assert answer.status_code == HTTPStatus.NOT_MODIFIED
    assert is_open(answer.headers)


def test_pages_read_that_a_request_is_too_long(server: Serving) -> None:
    with Wire(server.port) as wire:
        wire.send(f"GET /api/v2/evses?evse={'A' * 70_000} HTTP/1.1\r\nHost: here\r\n\r\n".encode())
        head = wire.head()
        assert head.status == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        assert is_open(head.headers)


def test_pages_of_all_origins_follow_events(server: Serving) -> None:
    with Events(server.port) as events:
        head = events.ask(EVENTS_PATH, {**server.bearer(), "Origin": PAGE}).response
        assert head.status == HTTPStatus.OK
        assert is_open(head.headers)
        assert events.event().kind == "hello"
    for headers, status in ((server.bearer(), 400), ({}, 401)):
        with Events(server.port) as events:
            head = events.ask(f"{EVENTS_PATH}?contry=SWE", {**headers, "Origin": PAGE}).response
            assert head.status == status
            assert is_open(head.headers)
    assert preflight(server, EVENTS_PATH)["access-control-allow-origin"] == "*"


def test_a_page_with_a_key_gets_a_ticket_that_is_good_for_its_origin(server: Serving) -> None:
    assert names(preflight(server, TICKETS_PATH, "POST")["access-control-allow-methods"]) == {"post"}
    answer = server.request("POST", TICKETS_PATH, headers={**server.bearer(), "Origin": PAGE})
    assert is_open(answer.headers)
    ticket = answer.json()["ticket"]
    with Events(server.port) as events:
        assert events.ask(f"{EVENTS_PATH}?ticket={ticket}", {"Origin": PAGE}).response.status == HTTPStatus.OK


@pytest.mark.parametrize("path", CLOSED)
def test_what_manages_the_server_is_not_read_by_pages_of_others(server: Serving, path: str) -> None:
    answer = server.request("GET", path, headers={**server.bearer("admin"), "Origin": PAGE})
    assert "access-control-allow-origin" not in answer.headers
    for method in ("GET", "POST", "DELETE"):
        assert "access-control-allow-origin" not in preflight_of_any(server, path, method)


def preflight_of_any(server: Serving, path: str, method: str) -> Mapping[str, str]:
    asked = {"Origin": PAGE, "Access-Control-Request-Method": method}
    return server.request("OPTIONS", path, headers=asked).headers


def test_every_path_of_the_contract_that_is_got_is_read_or_has_a_reason(server: Serving) -> None:
    paths = server.get("/openapi.json").json()["paths"]
    got = [path for path, operations in paths.items() if "get" in operations]
    assert len(got) > len(READ)
    for path in got:
        assert server.app.reader.stream.cors.shares(path) != path.startswith(NOT_READ), path


def test_a_setting_narrows_who_reads(narrow: Serving) -> None:
    for path in READ:
        answer = narrow.request("GET", path, headers={**narrow.bearer(), "Origin": PAGE})
        assert is_open(answer.headers, PAGE)
        assert "origin" in names(answer.headers["vary"])
        for headers in ({"Origin": OTHER}, {}):
            answer = narrow.request("GET", path, headers={**narrow.bearer(), **headers})
            assert answer.status_code == HTTPStatus.OK
            assert "access-control-allow-origin" not in answer.headers
            assert "origin" in names(answer.headers["vary"]), "else a cache gives it to the page that may"
    assert preflight(narrow, "/api/v2/evses")["access-control-allow-origin"] == PAGE
    assert not {"access-control-allow-origin", "access-control-allow-methods"} & {
        *preflight(narrow, "/api/v2/evses", origin=OTHER)
    }
    for origin, status in ((PAGE, 200), (OTHER, 403)):
        with Events(narrow.port) as events:
            head = events.ask(EVENTS_PATH, {**narrow.bearer(), "Origin": origin}).response
            assert head.status == status
            assert head.headers.get("access-control-allow-origin") == (PAGE if status == 200 else None)


def test_a_setting_closes_it_and_the_own_page_reads_all_the_same(closed: Serving) -> None:
    for path in READ:
        answer = closed.request("GET", path, headers={**closed.bearer(), "Origin": PAGE})
        assert answer.status_code == HTTPStatus.OK
        assert not [name for name in answer.headers if name.startswith("access-control")]
    assert not [name for name in preflight(closed, "/api/v2/evses") if name.startswith("access-control")]
    for origin, status in ((closed.url, 200), (PAGE, 403)):
        host = closed.url.removeprefix("http://")
        with Events(closed.port) as events:
            head = events.ask(EVENTS_PATH, {**closed.bearer(), "Host": host, "Origin": origin}).response
            assert head.status == status
            assert not [name for name in head.headers if name.startswith("access-control")]


def test_a_page_that_may_open_websockets_may_read_too(tmp_path: Path) -> None:
    with Serving(tmp_path, {"server.origins": PAGE, "server.cors_origins": []}) as server:
        answer = server.request("GET", "/api/v2/evses", headers={**server.bearer(), "Origin": PAGE})
        assert is_open(answer.headers, PAGE)
        with Events(server.port) as events:
            head = events.ask(EVENTS_PATH, {**server.bearer(), "Origin": PAGE}).response
            assert is_open(head.headers, PAGE)


def test_who_may_read_may_not_open_websockets_for_that(server: Serving) -> None:
    with Wire(server.port) as wire:
        head = wire.open(STREAM_PATH, {**server.bearer(), "Origin": PAGE}).response
        assert head.status == HTTPStatus.FORBIDDEN
