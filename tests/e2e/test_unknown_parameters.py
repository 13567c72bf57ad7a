"""A parameter that version 2 does not know is refused by name; version 1 ignores what it does not know."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from tests.e2e.following import E1, Events, Follower, flip, listed, settled
from tests.e2e.serving import LISTED, Serving
from tests.e2e.wire import TEXT, Wire, refusal, request

from ladestrom.outputs.stream_v2.edge import EVENTS_PATH, STREAM_PATH

READ = (
    "/api/v2/stations",
    "/api/v2/evses",
    f"/api/v2/evses/{quote(E1)}",
    "/api/v2/stations/NOR_01333",
    "/api/v2/stations/NOR_01333/history",
    "/api/v2/operators",
    "/api/v2/map",
    "/api/v2/map/stations",
    "/api/v2/map/texts",
    "/api/v2/overview",
    "/api/v2/page",
)
REFUSED = (
    ("contry=SWE", "contry", "did you mean country?"),
    ("Country=SWE", "Country", "did you mean country?"),
    ("apikey=lsk_secret", "apikey", ""),
    ("country=SWE&country=NOR", "country", "twice"),
    ("country=", "country", "no value"),
    ("country=,", "country", "empty value"),
    ("country=SWEE", "SWEE", "did you mean SWE?"),
    ("status=AVAILABEL", "AVAILABEL", "did you mean AVAILABLE?"),
    ("included=stations", "included", ""),
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server that the tests of this file share."""
    with Serving(tmp_path_factory.mktemp("parameters")) as running:
        yield running


def told(server: Serving, path: str, query: str) -> tuple[int, str, str]:
    """The refusal of a request: status, code and detail."""
    if path == EVENTS_PATH:
        with Events(server.port) as events:
            problem = refusal(events.ask(f"{path}?{query}", server.bearer()))
    elif path == STREAM_PATH:
        with Wire(server.port) as wire:
            problem = refusal(wire.open(f"{path}?{query}", server.bearer()))
    else:
        problem = server.get(f"{path}?{query}").json()
    return problem["status"], problem["code"], problem["detail"]


@pytest.mark.parametrize("path", [STREAM_PATH, EVENTS_PATH, "/api/v2/stations", "/api/v2/evses"])
@pytest.mark.parametrize(("query", "named", "hint"), REFUSED)
def test_what_version_2_does_not_know_is_refused_by_name(
    server: Serving, path: str, query: str, named: str, hint: str
) -> None:
    status, code, detail = told(server, path, query)
    assert (status, code) == (400, "invalid_filter")
    assert named in detail
    assert hint in detail
    assert "secret" not in detail


@pytest.mark.parametrize(
    ("query", "hint"), [("mode=evry", "did you mean every?"), ("batch_ms=fast", "a number from 0 to 1000")]
)
@pytest.mark.parametrize("path", [STREAM_PATH, EVENTS_PATH])
def test_an_unknown_value_is_refused_by_name(server: Serving, path: str, query: str, hint: str) -> None:
    status, _, detail = told(server, path, query)
    assert status == 400
    assert query.partition("=")[2] in detail
    assert hint in detail


@pytest.mark.parametrize("path", READ)
def test_every_path_that_is_read_refuses_what_it_does_not_know(server: Serving, path: str) -> None:
    assert server.get(path).status_code == 200
    assert told(server, path, "colour=red")[:2] == (400, "invalid_filter")


def test_who_is_not_known_is_told_that_first(server: Serving) -> None:
    for path in READ:
        if path != "/api/v2/page":
            assert server.get(f"{path}?colour=red", key=None).status_code == 401
    assert server.request("POST", "/api/v2/tickets?colour=red").status_code == 401
    assert server.request("POST", "/api/v2/tickets?colour=red", headers=server.bearer()).status_code == 400


def test_a_member_of_select_that_is_not_known_is_refused_and_the_selection_stays(server: Serving) -> None:
    with Follower(server, {"country": "NOR"}) as follower:
        follower.synced()
        follower.wire.put(TEXT, json.dumps({"type": "select", "contry": "SWE"}).encode())
        assert "contry" in follower.until("error")["detail"]
        follower.wire.put(TEXT, json.dumps({"type": "select", "country": ","}).encode())
        assert follower.until("error")["code"] == "invalid_filter"
        follower.reach(flip(server))
        assert follower.board == listed(server, "country=NOR")


@pytest.mark.parametrize(
    ("query", "stations"),
    [("contry=SWE", list(LISTED)), ("country=", list(LISTED)), ("country=SWE&colour=red", ["SWE_00007"])],
)
def test_version_1_ignores_what_it_does_not_know(server: Serving, query: str, stations: list[str]) -> None:
    answer = server.get(f"/api/v1/rest/chargers?{query}")
    assert [each["uuid"] for each in answer.json()] == stations
    with server.stream(f"types=snapshot&{query}") as wire:
        assert sorted(each["uuid"] for each in wire.message()["data"]) == stations


@pytest.mark.parametrize("query", ["country=,", "country=NOR,,SWE", "station=NOR_01333,"])
def test_an_empty_alternative_is_refused_in_version_1_too(server: Serving, query: str) -> None:
    answer = server.get(f"/api/v1/rest/chargers?{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_filter")
    with server.stream(query) as wire:
        assert refusal(wire)["code"] == "invalid_filter"


@pytest.mark.parametrize(
    "last_id", ["garbage", "-", "e-", "e-x", "other-1", "e-99999999999999999999", "\xff"]
)
def test_a_last_event_id_that_is_no_position_is_answered_by_reset_and_a_snapshot(
    server: Serving, last_id: str
) -> None:
    headers = {"Host": "here", **server.bearer(), "Last-Event-ID": last_id}
    with Events(server.port) as events:
        events.send(request(f"{EVENTS_PATH}?batch_ms=0", headers))
        assert events.begun().response.status == 200
        kinds = [events.event() for _ in range(3)]
        assert [each.kind for each in kinds] == ["hello", "reset", "snapshot"]
        assert kinds[2].id == f"{server.app.reader.view.epoch}-{settled(server)}"
        seq = flip(server)
        assert events.event().id == f"{server.app.reader.view.epoch}-{seq}"


def test_a_since_that_is_no_position_is_refused(server: Serving) -> None:
    for path in (STREAM_PATH, EVENTS_PATH):
        assert told(server, path, "since=garbage")[:2] == (400, "invalid_position")
