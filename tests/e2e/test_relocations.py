"""Stations whose record gives them to another operator, country or place: those who chose them are told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from tests.e2e.following import Follower
from tests.e2e.serving import STATIONS, Serving

from ladestrom.core import records
from ladestrom.ports.registry import StationDraft

NORWEGIAN = "NO*ALF*E1333*1"
FIRST, SECOND = "Alfa Lading", "Beta Laddning"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Serving]:
    with Serving(tmp_path) as running:
        yield running


def give(server: Serving, operator: str) -> None:
    """The register says that a station is another operator's."""
    record = msgspec.structs.replace(STATIONS[0].station, operator=operator)
    server.import_stations([StationDraft(record), *STATIONS[1:]])
    server.in_step()


def test_a_station_goes_from_those_who_chose_its_operator_to_those_who_chose_the_next(
    server: Serving,
) -> None:
    with (
        Follower(server, {"operator": FIRST}) as first,
        Follower(server, {"operator": SECOND}) as second,
    ):
        first.synced()
        second.synced()
        assert NORWEGIAN in first.board
        assert NORWEGIAN not in second.board
        give(server, SECOND)
        first.confirmed(server)
        second.confirmed(server)
        assert NORWEGIAN not in first.board
        assert NORWEGIAN in second.board


def test_who_was_away_meanwhile_is_told_when_it_resumes(server: Serving) -> None:
    with Follower(server, {"operator": FIRST}) as away:
        away.synced()
    give(server, SECOND)
    with Follower(server, session=away.session) as back:
        back.confirmed(server)
        assert NORWEGIAN not in back.board
        assert "snapshot" not in [each["type"] for each in back.told]


def test_who_was_away_for_more_than_is_kept_gets_a_snapshot(
    server: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "FORMER_MAX", 2)
    with Follower(server, {"operator": FIRST}) as away:
        away.synced()
    for operator in (SECOND, "Third", "Fourth", SECOND):
        give(server, operator)
    with Follower(server, session=away.session) as back:
        back.synced()
        assert [each["reason"] for each in back.told if each["type"] == "reset"] == ["expired"]
        back.confirmed(server)
        assert NORWEGIAN not in back.board
