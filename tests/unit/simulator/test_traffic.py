from __future__ import annotations

from collections import Counter, defaultdict
from datetime import datetime
from itertools import pairwise
from random import Random
from typing import NamedTuple

import pytest

from ladestrom.model import Connector, Evse, Outlet, Station, Status
from ladestrom.simulator.country import build
from ladestrom.simulator.hours import HOUR_MS, Use, hour_of_week
from ladestrom.simulator.traffic import DWELL_MS_MIN, LOOKS, NEXT, Event, Phase, Traffic

MONDAY = int(datetime.fromisoformat("2026-11-23T00:00:00+01:00").timestamp() * 1000)
WEEK_MS = 168 * HOUR_MS
TAKEN = {Status.CHARGING, Status.BLOCKED, Status.RESERVED}


class Week(NamedTuple):
    traffic: Traffic
    board: list[Event]
    """As of its Monday midnight."""
    events: list[Event]


def stations(number: int, seed: int = 11) -> list[Station]:
    return [draft.station for draft in build(number, Random(seed))]


@pytest.fixture(scope="module")
def week() -> Week:
    traffic = Traffic(stations(400), Random(12), MONDAY)
    return Week(traffic, traffic.board(), traffic.until(MONDAY + WEEK_MS))


def histories(week: Week) -> dict[int, list[Event]]:
    by_point: dict[int, list[Event]] = defaultdict(list)
    for event in (*week.board, *week.events):
        by_point[event.point].append(event)
    return by_point


def taken_share(events: list[Event]) -> float:
    return sum(event.status in TAKEN for event in events) / len(events)


def test_events_come_in_order_of_time_within_the_span_asked_for(week: Week) -> None:
    instants = [event.at for event in week.events]
    assert instants == sorted(instants)
    assert instants[0] > MONDAY
    assert instants[-1] <= MONDAY + WEEK_MS


def test_every_event_of_an_evse_is_a_change_and_later_than_the_one_before(week: Week) -> None:
    for history in histories(week).values():
        for before, after in pairwise(history):
            assert (before.status, before.error) != (after.status, after.error)
            assert after.at - before.at >= DWELL_MS_MIN


def test_an_evse_goes_only_where_the_table_lets_it(week: Week) -> None:
    phase_of = {look: phase for phase, look in zip(Phase, LOOKS, strict=True)}
    for history in histories(week).values():
        for before, after in pairwise(history):
            was = phase_of[(before.status, before.error)]  # type: ignore[index] # a Look is such a pair
            assert phase_of[(after.status, after.error)] in NEXT[was]  # type: ignore[index] # likewise


def test_the_table_of_phases_is_complete_and_its_chances_sum_to_one() -> None:
    assert set(NEXT) == set(Phase)
    assert len(set(LOOKS)) == len(LOOKS) == len(Phase)
    for chances in NEXT.values():
        assert sum(chances.values()) == pytest.approx(1)
        assert Phase.FREE in chances or Phase.CHARGING in chances


def test_all_kinds_of_trouble_happen(week: Week) -> None:
    seen = {(event.status, event.error) for event in week.events}
    assert seen == set(LOOKS)


def test_faults_get_repaired(week: Week) -> None:
    repairs = []
    for history in histories(week).values():
        for before, after in pairwise(history):
            if before.status is Status.OUTOFORDER:
                repairs.append((after.at - before.at) / HOUR_MS)
    repairs.sort()
    assert len(repairs) > 50
    assert 2 < repairs[len(repairs) // 2] < 24


def test_between_a_twelfth_and_a_third_of_the_time_is_taken_over_a_week(week: Week) -> None:
    taken_ms = total_ms = 0
    for history in histories(week).values():
        ends = [*(event.at for event in history[1:]), MONDAY + WEEK_MS]
        for event, end in zip(history, ends, strict=True):
            span_ms = end - max(event.at, MONDAY)
            total_ms += span_ms
            taken_ms += span_ms * (event.status in TAKEN)
    assert 0.08 < taken_ms / total_ms < 0.35


def test_one_to_five_of_a_hundred_are_out_of_service(week: Week) -> None:
    down = sum(event.status in {Status.OUTOFORDER, Status.INOPERATIVE} for event in week.traffic.board())
    assert 0.005 < down / len(week.traffic.points) < 0.05


def arrivals_by_hour(week: Week, *uses: Use) -> Counter[int]:
    return Counter(
        int(hour_of_week(event.at))
        for event in week.events
        if event.status is Status.CHARGING and week.traffic.points[event.point].use in uses
    )


def test_many_more_cars_come_in_the_rush_hour_than_at_four_in_the_morning(week: Week) -> None:
    by_hour = arrivals_by_hour(week, *Use)
    at_four = sum(by_hour[day * 24 + 4] for day in range(5))
    for rush in (8, 16):
        assert sum(by_hour[day * 24 + rush] for day in range(5)) > 4 * at_four


def test_main_roads_are_busiest_on_friday_afternoon_and_sunday(week: Week) -> None:
    by_hour = arrivals_by_hour(week, Use.TRAVEL)
    assert sum(by_hour.values()) > 1_000

    def afternoon(day: int) -> int:
        return sum(by_hour[day * 24 + hour] for hour in range(14, 19))

    assert afternoon(4) > 1.4 * afternoon(1)
    assert afternoon(6) > 1.2 * afternoon(1)


def test_cars_stay_minutes_where_it_is_fast_and_hours_where_it_is_slow(week: Week) -> None:
    stays_min: dict[bool, list[float]] = {True: [], False: []}
    for history in histories(week).values():
        power_kw = week.traffic.points[history[0].point].kind.power_kw
        for before, after in pairwise(history[1:]):
            if before.status is Status.CHARGING and (power_kw >= 200 or power_kw <= 15):
                stays_min[power_kw >= 200].append((after.at - before.at) / 60_000)
    fast, slow = (sorted(stays_min[kind]) for kind in (True, False))
    assert 12 < fast[len(fast) // 2] < 40
    assert 120 < slow[len(slow) // 2] < 300


@pytest.mark.parametrize("hours", [3, 13, 17])
def test_the_first_board_looks_like_that_of_a_week_later(hours: int) -> None:
    start = MONDAY + hours * HOUR_MS
    traffic = Traffic(stations(400), Random(14), start)
    first = taken_share(traffic.board())
    traffic.until(start + WEEK_MS)
    assert first == pytest.approx(taken_share(traffic.board()), abs=0.035)


def test_the_first_board_covers_all_and_lies_in_the_past(week: Week) -> None:
    assert [event.point for event in week.board] == list(range(len(week.traffic.points)))
    assert all(event.at <= MONDAY for event in week.board)
    assert len({event.at for event in week.board}) > len(week.board) / 2


def test_the_board_is_the_first_one_with_all_events_applied(week: Week) -> None:
    folded = {event.point: event for event in (*week.board, *week.events)}
    assert week.traffic.board() == [folded[index] for index in range(len(folded))]


def test_the_same_seed_gives_the_same_events_however_time_is_cut() -> None:
    whole = Traffic(stations(50), Random(21), MONDAY)
    cut = Traffic(stations(50), Random(21), MONDAY)
    other = Traffic(stations(50), Random(22), MONDAY)
    span_ms = 48 * HOUR_MS
    expected = whole.until(MONDAY + span_ms)
    pieces: list[Event] = []
    for step in range(1, 97):
        pieces += cut.until(MONDAY + step * HOUR_MS // 2)
    assert pieces == expected
    assert other.until(MONDAY + span_ms) != expected


def test_a_call_gives_no_more_events_than_asked_for_and_the_next_gives_the_rest() -> None:
    expected = Traffic(stations(50), Random(21), MONDAY).until(MONDAY + WEEK_MS)
    traffic = Traffic(stations(50), Random(21), MONDAY)
    pieces: list[list[Event]] = []
    while not pieces or len(pieces[-1]) == 100:
        pieces.append(traffic.until(MONDAY + WEEK_MS, events_max=100))
    assert [event for piece in pieces for event in piece] == expected


def test_stations_of_any_register_have_traffic() -> None:
    evses = (Evse("FRABCE1", "FRA_00001"), Evse("FRABCE2", "FRA_00001"))
    outlets = (Outlet(0, Connector("UNKNOWN")), Outlet(0, Connector("CHADEMO", 50.0)))
    station = Station("FRA_00001", "Gare", "FRA", 48.8, 2.3, evses, outlets)
    traffic = Traffic([station], Random(1), MONDAY)
    assert [point.connector for point in traffic.points] == [0, 0]
    assert [point.kind.power_kw for point in traffic.points] == [90, 15]
    assert {event.point for event in traffic.until(MONDAY + WEEK_MS)} == {0, 1}


def test_no_stations_have_no_events() -> None:
    traffic = Traffic([], Random(1), MONDAY)
    assert traffic.board() == []
    assert traffic.until(MONDAY + WEEK_MS) == []
