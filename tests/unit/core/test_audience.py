from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tests.building import make_station

import ladestrom.reader.audience
from ladestrom.core.selection import EVERYTHING, Box, Selection
from ladestrom.model import Station
from ladestrom.reader.audience import CELL_DEGREES, CELLS_PER_BOX_MAX, Audiences, cells_of
from ladestrom.reader.channel import Channel
from ladestrom.reader.subscriptions import Subscription

HERE = make_station("NOR_00001", operator="Alfa", longitude=10.7, latitude=59.9)
KEY = HERE.evses[0].key
SELECTIONS = {
    "everything": EVERYTHING,
    "country": Selection(country=frozenset({"NOR", "SWE"})),
    "operator": Selection(operator=frozenset({"alfa"})),
    "operator and country": Selection(operator=frozenset({"alfa", "beta"}), country=frozenset({"NOR"})),
    "box": Selection(box=Box(10, 59, 11, 60)),
    "evse": Selection(evse=frozenset({KEY})),
    "station": Selection(station=frozenset({HERE.uuid})),
    "station and operator": Selection(station=frozenset({HERE.uuid}), operator=frozenset({"alfa"})),
}


def batched(dialect: str) -> bool:
    return dialect == "v2"


def hearing(audiences: Audiences, station: Station = HERE, evse: str = KEY) -> list[Channel]:
    found: list[Channel] = []
    for audience in audiences.of(station, evse):
        for part in (audience.single, audience.gathering, audience.choosy):
            for channels in part.values():
                found += channels
    return found


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Selection]]:
    """Selections that are asked whether they cover a station, or a kind of stations, within the block."""
    asked: list[Selection] = []
    with monkeypatch.context() as patched:
        for name in ("covers", "covers_kind"):
            right = getattr(Selection, name)

            def wrong(self: Selection, *args: Any, right: Any = right) -> bool:
                asked.append(self)
                return bool(right(self, *args))

            patched.setattr(Selection, name, wrong)
        yield asked


@pytest.mark.parametrize("selection", SELECTIONS.values(), ids=SELECTIONS)
class TestFiling:
    def test_a_channel_hears_from_when_it_came_until_it_goes(self, selection: Selection) -> None:
        audiences = Audiences(batched)
        assert hearing(audiences) == []
        for dialect in ("v1", "v2"):
            channel = Channel(Subscription(selection, dialect=dialect))
            audiences.add(channel)
            assert hearing(audiences) == [channel]
            audiences.discard(channel)
            assert hearing(audiences) == []

    def test_those_who_chose_the_same_do_not_take_each_others_place(self, selection: Selection) -> None:
        audiences = Audiences(batched)
        channels = [Channel(Subscription(selection, batch_ms=number)) for number in range(3)]
        for channel in channels:
            audiences.add(channel)
        assert hearing(audiences) == channels
        audiences.discard(channels[1])
        assert hearing(audiences) == [channels[0], channels[2]]

    def test_a_station_that_is_another_now_is_looked_at_as_it_is(self, selection: Selection) -> None:
        audiences = Audiences(batched)
        channel = Channel(Subscription(selection))
        audiences.add(channel)
        other = make_station("NOR_00002", operator="Gamma", country="DAN", longitude=30, latitude=10)
        assert hearing(audiences, other, "another") == ([channel] if selection == EVERYTHING else [])
        moved = make_station("NOR_00001", operator="Gamma", country="DAN", longitude=30, latitude=10)
        heard = selection in (EVERYTHING, SELECTIONS["station"], SELECTIONS["evse"])
        assert hearing(audiences, moved) == ([channel] if heard else [])

    def test_who_comes_and_goes_lets_no_change_ask_anybody_more_than_at_rest(
        self, selection: Selection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        audiences = Audiences(batched)
        for number in range(200):
            audiences.add(Channel(Subscription(selection, batch_ms=number)))
            audiences.add(Channel(Subscription(Selection(station=frozenset({f"SWE_{number:05d}"})))))
            audiences.add(
                Channel(Subscription(Selection(box=Box(20 + number / 100, 0, 21 + number / 100, 1))))
            )
        hearing(audiences)
        with counted(monkeypatch) as at_rest:
            for _ in range(100):
                hearing(audiences)
        churned: list[Selection] = []
        for number in range(100):
            passing = Channel(Subscription(selection, batch_ms=1_000 + number))
            audiences.add(passing)
            with counted(monkeypatch) as asked:
                hearing(audiences)
            churned += asked
            audiences.discard(passing)
        # The one that is just passing is asked, too, where it names the station itself.
        assert len(churned) <= len(at_rest) + 100


def test_kinds_of_stations_beyond_the_limit_are_asked_about_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ladestrom.reader.audience, "KINDS_MAX", 3)
    audiences = Audiences(batched)
    channel = Channel(Subscription(Selection(operator=frozenset({"alfa", "beta7"}))))
    audiences.add(channel)
    for number in range(10):
        heard = hearing(audiences, make_station("NOR_00002", operator=f"Beta{number}"))
        assert heard == ([channel] if number == 7 else [])
        assert hearing(audiences) == [channel]
        assert len(audiences._kinds) <= 3


class TestCells:
    def test_a_box_is_filed_under_a_bounded_number_of_cells(self) -> None:
        edges = set()
        for size in (0.0, 0.1, 1.0, 3.0, 10.0, 40.0, 90.0, 180.0):
            for west in (-180.0, -0.1, 0.0, 7.3, 179.9):
                east = (west + 2 * size + 180) % 360 - 180
                edge, cells = cells_of(Box(west, -size / 2, east, size / 2))
                assert 1 <= len(cells) <= CELLS_PER_BOX_MAX
                edges.add(edge)
        assert edges == set(CELL_DEGREES)

    def test_the_whole_world_is_not_too_large(self) -> None:
        assert len(cells_of(Box(-180, -90, 180, 90))[1]) <= CELLS_PER_BOX_MAX
