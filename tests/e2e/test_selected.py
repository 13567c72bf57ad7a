"""EVSEs that enter or leave a consumer's selection: what it is told, live and when it comes back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from tests.e2e.following import E1, E2, SWEDISH, Follower, Transport, listed, report, settled
from tests.e2e.serving import STATIONS, Serving, now, tick
from tests.patience import until

from ladestrom.client.v2_session import Mode
from ladestrom.core.access import operator_from
from ladestrom.ports.registry import StationDraft

NORDIC: Final = "nordic"
"""An operator that no register names, and that may report on what is the others'."""
MOVED: Final = "NOR_01333"
over = pytest.mark.parametrize("over", ["websocket", "events"])


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Serving]:
    """A server on which three operators report."""
    with Serving(tmp_path) as running:
        running.write(lambda store: store.put_operator(operator_from(NORDIC, all_evses=True), now()))
        running.in_step()
        running.make_key(NORDIC, ("report",), operator=NORDIC)
        for evse_id, key in ((E1, "alfa"), (E2, "alfa"), (SWEDISH, "beta")):
            report(running, evse_id, "AVAILABLE", key)
        settled(running)
        yield running


def register(server: Serving, **members: Any) -> None:
    """The register has another record of a station; returns when the server has taken it."""
    drafts = [
        StationDraft(msgspec.structs.replace(draft.station, **members))
        if draft.station.native_id == MOVED
        else draft
        for draft in STATIONS
    ]
    server.import_stations(drafts)
    server.in_step()
    stations = server.app.reader.view.directory.stations
    until(
        lambda: all(getattr(stations[MOVED], name) == value for name, value in members.items()),
        "the server has the new record",
    )


MOVES: Final[Mapping[str, Mapping[str, Any]]] = {
    "operator=Alfa%20Lading": {"operator": "Gamma Lataus"},
    "country=NOR": {"country": "SWE"},
    "bbox=10,59,11,60": {"longitude": 5.3, "latitude": 60.4},
}
"""A selection, and a record by which a station leaves it."""


def selected(query: str) -> dict[str, str]:
    name, _, value = query.partition("=")
    return {name: value.replace("%20", " ")}


def rows(follower: Follower, after: int = 0) -> list[tuple[str, str, str, str]]:
    return [
        (row["evse"], row["status"], row["cause"], row["was"]["status"]) for row in follower.changes[after:]
    ]


LEFT: Final = [(E1, "REMOVED", "deselected", "AVAILABLE"), (E2, "REMOVED", "deselected", "AVAILABLE")]
CAME: Final = [(E1, "AVAILABLE", "selected", "REMOVED"), (E2, "AVAILABLE", "selected", "REMOVED")]


@over
@pytest.mark.parametrize("query", MOVES)
@pytest.mark.parametrize("mode", list(Mode))
def test_a_station_that_becomes_another_one_leaves_and_enters(
    server: Serving, over: Transport, query: str, mode: Mode
) -> None:
    was = {name: getattr(STATIONS[0].station, name) for name in MOVES[query]}
    with (
        Follower(server, selected(query), over=over, mode=mode) as follower,
        Follower(server, over=over, mode=mode) as everything,
    ):
        follower.synced()
        everything.synced()
        assert {E1, E2} <= follower.board.keys()
        register(server, **MOVES[query])
        follower.confirmed(server)
        assert rows(follower) == LEFT
        assert follower.board == listed(server, query)
        register(server, **was)
        follower.confirmed(server)
        assert rows(follower, 2) == CAME
        assert follower.board == listed(server, query)
        assert not everything.confirmed(server).changes, "who follows all is told of no change"


@over
@pytest.mark.parametrize("query", MOVES)
@pytest.mark.parametrize("mode", list(Mode))
def test_who_was_away_is_told_when_it_comes_back(
    server: Serving, over: Transport, query: str, mode: Mode
) -> None:
    was = {name: getattr(STATIONS[0].station, name) for name in MOVES[query]}
    with Follower(server, selected(query), over=over, mode=mode) as follower:
        follower.synced()
    register(server, **MOVES[query])
    report(server, E1, "CHARGING", "alfa")
    settled(server)
    with Follower(server, over=over, session=follower.session) as back:
        back.confirmed(server)
        assert not [each for each in back.told if each["type"] in {"snapshot", "reset"}]
        assert sorted(row[0:3] for row in rows(back)) == sorted(row[0:3] for row in LEFT)
        assert back.board == listed(server, query)
    register(server, **was)
    with Follower(server, over=over, session=back.session) as again:
        again.confirmed(server)
        assert {row[0] for row in rows(again)} == {E1, E2}
        assert again.board == listed(server, query)


@over
@pytest.mark.parametrize("mode", list(Mode))
def test_an_operator_is_meant_by_the_source_of_the_change_in_force(
    server: Serving, over: Transport, mode: Mode
) -> None:
    query = "operator=Nordic"
    with Follower(server, selected(query), over=over, mode=mode) as follower:
        follower.synced()
        assert follower.board == listed(server, query) == {}
        report(server, E1, "CHARGING", NORDIC)
        follower.confirmed(server)
        assert rows(follower) == [(E1, "CHARGING", "reported", "AVAILABLE")]
        assert follower.board.keys() == listed(server, query).keys() == {E1}
        report(server, E2, "CHARGING", "alfa")
        report(server, E1, "AVAILABLE", NORDIC)
        report(server, E1, "CHARGING", "alfa")
        follower.confirmed(server)
        assert rows(follower, 1) == [
            (E1, "AVAILABLE", "reported", "CHARGING"),
            (E1, "REMOVED", "deselected", "AVAILABLE"),
        ]
        assert follower.board == listed(server, query) == {}
    stations = server.get(f"/api/v2/stations?{query}").json()["items"]
    assert stations == []


@over
@pytest.mark.parametrize("mode", list(Mode))
def test_who_was_away_learns_that_another_source_tells_of_an_evse(
    server: Serving, over: Transport, mode: Mode
) -> None:
    report(server, E1, "CHARGING", NORDIC)
    settled(server)
    with Follower(server, {"operator": NORDIC}, over=over, mode=mode) as follower:
        follower.synced()
        assert follower.board.keys() == {E1}
    report(server, E1, "AVAILABLE", "alfa")
    report(server, E1, "CHARGING", "alfa")
    report(server, SWEDISH, "CHARGING", NORDIC)
    report(server, E2, "CHARGING", "alfa")
    settled(server)
    with Follower(server, over=over, session=follower.session) as back:
        back.confirmed(server)
        assert {row[0] for row in rows(back)} == {E1, SWEDISH}
        assert back.board == listed(server, f"operator={NORDIC}")
        assert back.board.keys() == {SWEDISH}


def test_source_and_status_narrow_together(server: Serving) -> None:
    selection = {"operator": NORDIC, "status": "CHARGING", "country": "NOR"}
    query = "operator=nordic&status=CHARGING&country=NOR"
    with Follower(server, selection) as follower:
        follower.synced()
        for evse_id, status, key in (
            (E1, "CHARGING", NORDIC),
            (SWEDISH, "CHARGING", NORDIC),
            (E1, "AVAILABLE", NORDIC),
            (E1, "CHARGING", "alfa"),
            (E1, "BLOCKED", "alfa"),
            (E2, "CHARGING", NORDIC),
        ):
            report(server, evse_id, status, key)
        follower.confirmed(server)
        assert follower.board == listed(server, query)
        assert follower.board.keys() == {E2}
        assert {row[0] for row in rows(follower)} == {E1, E2}


def test_a_station_that_leaves_a_selection_of_version_1_is_told_as_unknown(server: Serving) -> None:
    with (
        server.stream("types=snapshot,update&country=NOR") as norway,
        server.stream("types=snapshot,update&country=SWE") as sweden,
    ):
        assert MOVED in {each["uuid"] for each in norway.message()["data"]}
        assert MOVED not in {each["uuid"] for each in sweden.message()["data"]}
        register(server, country="SWE")
        left, came = norway.message(), sweden.message()
        assert left["data"]["uuid"] == came["data"]["uuid"] == MOVED
        assert {each["status"] for each in left["data"]["connectors"]} == {-1}
        assert {each["status"] for each in came["data"]["connectors"]} == {0}
        assert came["data"] == server.get(f"/api/v1/rest/charger/{MOVED}").json()
        epoch, seq = left["epoch"], left["seq"]
    register(server, country="NOR")
    with server.stream(f"types=snapshot,update&country=NOR&since={epoch}-{seq}") as norway:
        back = json.loads(norway.text())
        assert back["type"] == "status:update"
        assert back["data"] == server.get(f"/api/v1/rest/charger/{MOVED}").json()


def test_version_1_selects_by_register_alone(server: Serving) -> None:
    report(server, E1, "CHARGING", NORDIC)
    settled(server)
    assert server.get("/api/v1/rest/chargers?operator=nordic").json() == []
    assert tick() > 0
