"""Records of stations in the stream: `include=stations`, over both transports, live and after an absence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.e2e.following import TRANSPORTS, Follower, Transport
from tests.e2e.serving import STATIONS, Serving, evse, station

from ladestrom.client.v2_session import Mode
from ladestrom.ports.registry import StationDraft

FIRST, SECOND = "Alfa Lading", "Beta Laddning"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Serving]:
    with Serving(tmp_path) as running:
        yield running


def write(server: Serving, **members: Any) -> None:
    """The register says something else of the first station."""
    record = msgspec.structs.replace(STATIONS[0].station, **members)
    server.import_stations([StationDraft(record), *STATIONS[1:]])
    server.in_step()


def listed(server: Serving, **members: Any) -> dict[str, Any]:
    """What REST says of the stations in a follower's hands."""
    view = server.app.reader.view
    return {
        state.uuid: view.records[state.uuid].seq
        for uuid in view.uuids()
        if (state := view.get(uuid)) is not None
        and (record := view.station(state)) is not None
        and all(getattr(record, name) == value for name, value in members.items())
    }


def revisions(follower: Follower) -> dict[str, int]:
    return {uuid: record["revision"] for uuid, record in follower.session.stations.items()}


@pytest.mark.parametrize("over", TRANSPORTS)
@pytest.mark.parametrize("mode", Mode)
def test_records_come_with_the_snapshot_and_whenever_they_change(
    server: Serving, over: Transport, mode: Mode
) -> None:
    with Follower(server, over=over, mode=mode, include_stations=True) as follower:
        follower.synced()
        assert revisions(follower) == listed(server)
        record = follower.session.stations["NOR_01333"]
        assert record["operator"] == FIRST
        assert [each["evse"] for each in record["evses"]] == [each.name for each in STATIONS[0].station.evses]
        write(server, name="Another name")
        follower.confirmed(server)
        assert follower.session.stations["NOR_01333"]["name"] == "Another name"
        assert revisions(follower) == listed(server)
        assert follower.session.confirmed == 1


def test_without_it_there_are_none(server: Serving) -> None:
    with Follower(server) as follower:
        follower.synced()
        write(server, name="Another name")
        follower.confirmed(server)
        assert follower.session.stations == {}
        assert "stations_digest" not in follower.told[-1]
        assert {each["type"] for each in follower.told} <= {"hello", "snapshot", "heartbeat"}


@pytest.mark.parametrize("mode", Mode)
def test_a_station_comes_into_a_selection_and_leaves_it(server: Serving, mode: Mode) -> None:
    with (
        Follower(server, {"operator": FIRST}, mode=mode, include_stations=True) as first,
        Follower(server, {"operator": SECOND}, mode=mode, include_stations=True) as second,
    ):
        first.synced()
        second.synced()
        assert "NOR_01333" in first.session.stations
        write(server, operator=SECOND)
        first.confirmed(server)
        second.confirmed(server)
        assert "NOR_01333" not in first.session.stations
        assert second.session.stations["NOR_01333"]["operator"] == SECOND
        away = first.session, second.session
    write(server, operator=FIRST)
    with (
        Follower(server, session=away[0]) as first,
        Follower(server, session=away[1]) as second,
    ):
        first.confirmed(server)
        second.confirmed(server)
        assert "NOR_01333" in first.session.stations
        assert "NOR_01333" not in second.session.stations
        for follower in (first, second):
            assert "snapshot" not in {each["type"] for each in follower.told}


@pytest.mark.parametrize("mode", Mode)
def test_a_station_that_leaves_its_register_and_one_that_is_new(server: Serving, mode: Mode) -> None:
    with Follower(server, mode=mode, include_stations=True) as follower:
        follower.synced()
        new = station("NOR_01999", "NOR", (10.7, 59.9), [evse("NO*ALF*E1999*1", party="NOALF")])
        server.import_stations([*STATIONS[1:], new])
        server.in_step()
        follower.confirmed(server)
        assert "NOR_01333" not in follower.session.stations
        assert "NOR_01999" in follower.session.stations
        assert revisions(follower) == listed(server)
        away = follower.session
    server.import_stations([*STATIONS, new])
    server.in_step()
    with Follower(server, session=away) as follower:
        follower.confirmed(server)
        assert revisions(follower) == listed(server)
        assert "NOR_01333" in follower.session.stations


def test_after_a_restart_too(tmp_path: Path) -> None:
    with Serving(tmp_path) as server, Follower(server, include_stations=True) as follower:
        follower.synced()
        away = follower.session
        write(server, name="Another name")
    # Its register is imported anew before it serves.
    with Serving(tmp_path) as server, Follower(server, session=away) as follower:
        follower.confirmed(server)
        assert [each["type"] for each in follower.told] == ["hello", "stations", "heartbeat"]
        assert follower.session.stations["NOR_01333"]["name"] == STATIONS[0].station.name
        assert revisions(follower) == listed(server)
