from __future__ import annotations

import gc
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.building import NOW, apply, logged, make_change, make_evse, make_evses, make_station, recorded

from ladestrom.core.board import Board
from ladestrom.core.directory import Directory
from ladestrom.core.selection import EVERYTHING, Selection
from ladestrom.core.view import StationState, View, is_listed
from ladestrom.model import Position, Status, StatusChanged

ONE = make_station("NOR_00001", evses=2)
TWO = make_station("SWE_00002", evses=make_evses(1, "SWE_00002", "SE*ABC"), country="SWE")
THREE = make_station("NOR_00003", evses=1)


def filled() -> View:
    """Stations one, two, three and one again: the sequence of changes."""
    view = View(Directory([ONE, TWO, THREE]), "e")
    evses = [ONE.evses[0], TWO.evses[0], THREE.evses[0], ONE.evses[1]]
    for entry in logged(make_change(evse) for evse in evses):
        view.apply(entry)
    return view


def listed(view: View, wanted: Selection) -> list[str]:
    return [uuid for uuid in view.named(wanted) if view.listed(state_of(view, uuid), wanted) is not None]


def covered(view: View, wanted: Selection) -> list[str]:
    return [uuid for uuid in view.named(wanted) if view.is_covered(state_of(view, uuid), wanted)]


def state_of(view: View, uuid: str) -> StationState:
    state = view.get(uuid)
    assert state is not None
    return state


def uuids(view: View, seq: int) -> list[str]:
    return [state.uuid for state in view.changed_since(seq)]


def test_an_empty_view_is_at_the_beginning() -> None:
    view = View(Directory([ONE]), "e")
    assert (view.position, len(view)) == (Position("e", 0), 0)
    assert view.named(EVERYTHING) == []
    assert view.changed_since(0) == []
    assert view.change_of(ONE.evses[0]) is None


def test_it_is_at_the_position_of_what_it_was_given_last() -> None:
    assert filled().position == Position("e", 4)


def test_stations_are_in_the_order_of_their_last_change() -> None:
    assert listed(filled(), EVERYTHING) == ["SWE_00002", "NOR_00003", "NOR_00001"]


def test_stations_changed_since_a_position_come_in_the_order_of_their_last_change() -> None:
    view = filled()
    assert uuids(view, 0) == uuids(view, 1) == ["SWE_00002", "NOR_00003", "NOR_00001"]
    assert uuids(view, 2) == ["NOR_00003", "NOR_00001"]
    assert uuids(view, 3) == ["NOR_00001"]
    assert uuids(view, 4) == []


def test_stations_changed_since_a_position_come_in_parts_and_each_is_gone_through_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stations = [make_station(f"NOR_{number:05d}") for number in range(100)]
    view = View(Directory(stations), "e")
    seqs = itertools.count(1)

    def change(number: int) -> None:
        view.apply(StatusChanged(next(seqs), make_change(stations[number].evses[0])))

    gone_through: list[StationState] = []
    newer = View._newer

    def counted(self: View, seq: int) -> list[StationState]:
        found = newer(self, seq)
        gone_through.extend(found)
        return found

    monkeypatch.setattr(View, "_newer", counted)
    for number in range(100):
        change(number)
    # Two go through them, one a little further on than the other, and stations change between.
    reached, told = [0, 30], [0, 0]
    for turn in range(30):
        for who, seq in enumerate(reached):
            part = view.changed_since(seq, 7)
            assert [state.seq for state in part] == sorted(state.seq for state in part)
            assert len(part) == 7 or part[-1].seq == view.seq
            told[who] += len(part)
            reached[who] = part[-1].seq
        change(turn)
    assert min(reached) > 100
    assert told == [100 + 30 - 1, 70 + 30 - 1]
    assert len(gone_through) <= 100 + 30
    view.forget_order()
    assert [state.seq for state in view.changed_since(130 - 1, 7)] == [130]


@given(st.lists(st.integers(0, 9), max_size=60), st.data())
def test_whoever_goes_on_after_each_part_has_been_told_of_every_station(
    numbers: list[int], data: st.DataObject
) -> None:
    stations = [make_station(f"NOR_{number:05d}") for number in range(10)]
    view = View(Directory(stations), "e")
    told: list[dict[str, int]] = [{}, {}]
    reached = [0, 0]
    for seq, number in enumerate(numbers, start=1):
        view.apply(StatusChanged(seq, make_change(stations[number].evses[0])))
        who = data.draw(st.integers(0, 2), label="who goes on")
        if who < 2:
            for state in view.changed_since(reached[who], 2):
                told[who][state.uuid] = reached[who] = state.seq
    for who in range(2):
        while part := view.changed_since(reached[who], 2):
            for state in part:
                told[who][state.uuid] = reached[who] = state.seq
    assert told == [{state.uuid: state.seq for state in view.changed_since(0)}] * 2


def test_stations_and_evses_are_counted_once() -> None:
    view = filled()
    view.apply(StatusChanged(5, make_change(ONE.evses[0], Status.CHARGING)))
    assert len(view) == 3


def test_a_station_has_the_newest_change_of_each_evse_with_its_sequence() -> None:
    view = filled()
    last = make_change(ONE.evses[0], Status.CHARGING, NOW + 5)
    state, before = view.apply(StatusChanged(5, last))
    assert state is view.get("NOR_00001")
    assert before == make_change(ONE.evses[0])
    assert view.change_of(ONE.evses[0]) == StatusChanged(5, last)
    assert view.change_of(ONE.evses[1]) == StatusChanged(4, make_change(ONE.evses[1]))
    assert state.seq == 5


def test_a_selection_narrows_what_is_listed() -> None:
    view = filled()
    wanted = Selection(country=frozenset({"SWE"}))
    assert listed(view, wanted) == ["SWE_00002"]
    assert view.listed(state_of(view, "SWE_00002"), wanted) is TWO


def test_a_station_that_vanished_is_not_listed_but_has_changed() -> None:
    view = filled()
    view.directory.put(make_station("NOR_00001", evses=2, vanished_at=NOW))
    assert listed(view, EVERYTHING) == ["SWE_00002", "NOR_00003"]
    assert uuids(view, 3) == ["NOR_00001"]


def test_one_that_the_registry_never_had_is_not_listed() -> None:
    view = filled()
    state, before = view.apply(StatusChanged(5, make_change(make_evse("E9", "NOR_00009"))))
    assert before is None
    assert view.station(state) is None
    assert len(listed(view, EVERYTHING)) == 3


def test_a_change_empties_what_formats_made_of_its_station_and_of_no_other() -> None:
    view = filled()
    states = [state_of(view, uuid) for uuid in view.named(EVERYTHING)]
    for state in states:
        state.bodies["some"] = b"body"
    view.apply(StatusChanged(5, make_change(ONE.evses[0])))
    assert {state.uuid: bool(state.bodies) for state in states} == {
        "SWE_00002": True,
        "NOR_00003": True,
        "NOR_00001": False,
    }


def test_a_changed_record_of_the_registry_empties_them_too() -> None:
    view = filled()
    state = view.get("NOR_00001")
    assert state is not None
    state.bodies["some"] = b"body"
    view.take_record(recorded(view, make_station("NOR_99999", [])))
    assert state.bodies
    view.take_record(recorded(view, view.directory.stations["NOR_00001"]))
    assert not state.bodies


def test_loading_the_rows_of_a_board_gives_the_view_that_its_changes_gave() -> None:
    evses = [ONE.evses[0], TWO.evses[0], ONE.evses[0], THREE.evses[0], TWO.evses[0]]
    entries = logged(make_change(evse, Status.CHARGING, NOW + place) for place, evse in enumerate(evses))
    board = Board()
    apply(board, entries)
    rows = sorted(board.cells.values(), key=lambda row: row.seq)
    applied, loaded = View(Directory(), "e"), View(Directory(), "e")
    for entry in entries:
        applied.apply(entry)
    loaded.load(rows, entries[-1].seq)
    assert loaded.position == applied.position
    assert [(state.uuid, state.seq, state.changes) for state in loaded.changed_since(0)] == [
        (state.uuid, state.seq, state.changes) for state in applied.changed_since(0)
    ]


def test_a_station_that_vanished_is_still_covered_and_so_is_one_by_the_evse_that_left_it() -> None:
    view = filled()
    view.directory.put(make_station("NOR_00001", evses=ONE.evses[:1], vanished_at=NOW))
    left = Selection(evse=frozenset({ONE.evses[1].key}))
    assert covered(view, EVERYTHING) == ["SWE_00002", "NOR_00003", "NOR_00001"]
    assert covered(view, left) == ["NOR_00001"]
    assert listed(view, left) == []


def test_a_selection_that_names_stations_looks_at_no_others() -> None:
    wanted = Selection(station=frozenset({"SWE_00002", "NOR_00001", "NOR_00404"}))
    assert filled().named(wanted) == ["NOR_00001", "NOR_00404", "SWE_00002"]


def test_uuids_are_sorted_also_after_another_came() -> None:
    view = filled()
    assert view.uuids() == view.uuids() == ["NOR_00001", "NOR_00003", "SWE_00002"]
    view.apply(StatusChanged(5, make_change(make_evse("E9", "NOR_00002"))))
    assert view.uuids() == ["NOR_00001", "NOR_00002", "NOR_00003", "SWE_00002"]


def test_an_evse_is_listed_unless_it_is_planned_or_removed() -> None:
    hidden = {status for status in Status if not is_listed(make_change(status=status))}
    assert hidden == {Status.PLANNED, Status.REMOVED}
    assert is_listed(None)


class TestWalk:
    @given(
        st.lists(st.integers(0, 7), max_size=30),
        st.lists(
            st.one_of(
                st.integers(0, 11).map(lambda n: ("change", n)), st.integers(0, 3).map(lambda n: ("go", n))
            )
        ),
        st.lists(st.integers(0, 11), unique=True),
    )
    def test_every_station_is_visited_once_as_it_was_when_the_walk_began(
        self, before: list[int], steps: list[tuple[str, int]], order: list[int]
    ) -> None:
        stations = [make_station(f"NOR_{number:05d}", evses=2) for number in range(12)]
        view = View(Directory(stations), "e")

        def change(number: int) -> None:
            evse = stations[number].evses[view.seq % 2]
            view.apply(StatusChanged(view.seq + 1, make_change(evse, Status.CHARGING, NOW + view.seq)))

        for number in before:
            change(number)
        wanted = [stations[number].uuid for number in order]
        expected = {uuid: dict(state.changes) for uuid in wanted if (state := view.get(uuid)) is not None}
        seen: list[tuple[str, dict[str, object]]] = []

        def visit(state: StationState) -> None:
            seen.append((state.uuid, dict(state.changes)))

        walk = view.walk(wanted, visit)
        assert walk.seq == view.seq
        for step, number in steps:
            if step == "change":
                change(number)
            else:
                walk.go(number)
        while walk.go(1):
            pass
        assert len(seen) == len(expected)
        assert dict(seen) == expected
        change(0)
        assert len(seen) == len(expected)

    def test_one_that_was_ended_visits_nothing_more(self) -> None:
        view = filled()
        seen: list[str] = []
        walk = view.walk(view.uuids(), lambda state: seen.append(state.uuid))
        view.end(walk)
        view.end(walk)
        view.apply(StatusChanged(5, make_change(ONE.evses[0])))
        assert seen == []


def test_the_garbage_collector_goes_through_nothing_that_each_station_has() -> None:
    view = View(Directory([ONE, TWO]), "e")
    for seq, evse in enumerate((*ONE.evses, *TWO.evses), 1):
        view.apply(StatusChanged(seq, make_change(evse, source="beta", was_source="alfa")))
    gc.collect()
    for state in view.changed_since(0):
        held = (state, *state.changes.values(), *state.former.values())
        assert not any(map(gc.is_tracked, (*held, state.changes, state.former, state.bodies)))
    # Nor does what changes come to its notice again.
    view.apply(StatusChanged(4, make_change(ONE.evses[0], source="gamma", was_source="beta")))
    assert not gc.is_tracked(state_of(view, ONE.uuid).changes)


def test_evses_that_had_the_same_sources_share_what_is_kept_of_them() -> None:
    view = View(Directory([ONE]), "e")
    for seq, evse in enumerate(ONE.evses, 1):
        view.apply(StatusChanged(seq, make_change(evse, source="beta", was_source="alfa")))
    state = state_of(view, ONE.uuid)
    first, second = state.former.values()
    assert first is second
    assert first == ("alfa",)


def test_a_confirmation_holds_for_the_change_that_it_is_of() -> None:
    view = filled()
    evse = ONE.evses[0]
    held = view.change_of(evse)
    assert held is not None
    grown = view.confirmations
    view.confirm([(evse.station, evse.key, held.seq, NOW + 500)])
    assert view.confirmations == grown + 1
    assert view.observed_at(held.seq, held.change) == NOW + 500
    assert view.observed_at(held.seq - 1, held.change) == held.change.observed_at, "of a state that has gone"
    after = view.seq + 1
    view.confirm([(evse.station, evse.key, after, NOW + 900)])
    assert view.observed_at(held.seq, held.change) == NOW + 500
    view.apply(StatusChanged(after, make_change(evse, Status.CHARGING, NOW + 700)))
    newest = view.change_of(evse)
    assert newest is not None
    assert view.observed_at(after, newest.change) == NOW + 700
    view.confirm([])
    assert view.observed_at(after, newest.change) == NOW + 900, "it came before its change"
    view.confirm([("NOR_99999", "NOABCE9", 1, NOW), (evse.station, evse.key, held.seq, NOW + 5_000)])
    assert view.observed_at(after, newest.change) == NOW + 900
