from __future__ import annotations

from typing import Final

from tests.building import NOW, TIMES, make_change, make_evse, make_station

from ladestrom.core.directory import Directory
from ladestrom.core.records import Records, changed, entry_of, fold, without
from ladestrom.core.view import View
from ladestrom.model import AnyChange, Cause, Entry, StationChanged, Status
from ladestrom.ports.log import BoardRow, StationRow

EVSE: Final = make_evse("NO*ABC*E1", "NOR_00001")
THERE: Final = make_evse("NO*ABC*E1", "NOR_00002")
OLD, NEW = make_station("NOR_00001", [EVSE]), make_station("NOR_00002", [])
EMPTY, FULL = make_station("NOR_00001", []), make_station("NOR_00002", [THERE])
OFF: Final = make_change(EVSE, Status.REMOVED, NOW + 1, cause=Cause.WITHDRAWN)
MOVE: Final[tuple[AnyChange, ...]] = (
    changed(None, OLD, NOW),
    changed(None, NEW, NOW),
    make_change(EVSE),
    changed(OLD, EMPTY, NOW),
    changed(NEW, FULL, NOW),
    OFF,
    make_change(THERE, Status.AVAILABLE, NOW, cause=Cause.REGISTERED),
)
"""An EVSE goes from one station to another."""


def entries() -> list[Entry]:
    return [entry_of(seq, change) for seq, change in enumerate(MOVE, 1)]


def recovered() -> tuple[dict[str, BoardRow], dict[str, StationRow]]:
    board: dict[str, BoardRow] = {}
    stations: dict[str, StationRow] = {}
    times = TIMES
    for entry in entries():
        times = fold(board, stations, entry, times)
    return board, stations


def test_what_left_a_station_is_kept_with_it_though_the_board_has_it_elsewhere() -> None:
    board, stations = recovered()
    assert [row.change.station for row in board.values()] == ["NOR_00002"]
    assert [(each.seq, each.change) for each in stations["NOR_00001"].left] == [(6, OFF)]
    assert stations["NOR_00002"].left == ()


def test_the_writer_keeps_the_same_rows_as_recovery() -> None:
    records = Records()
    board: dict[str, BoardRow] = {}
    for entry in entries():
        records.follow_moves([entry], board)
        if isinstance(entry, StationChanged):
            records.take(entry)
        fold(board, {}, entry, TIMES)
    kept = {row.station.uuid: row for row in records.rows(records.take_touched(), 1)}
    assert kept == recovered()[1]


def test_an_entry_that_a_row_contains_changes_nothing() -> None:
    board, stations = recovered()
    before = dict(stations)
    for entry in entries():
        fold(board, stations, entry, TIMES)
    assert stations == before


def test_another_record_of_a_station_leaves_what_left_it() -> None:
    board, stations = recovered()
    fold(board, stations, entry_of(8, changed(EMPTY, OLD, NOW)), TIMES)
    assert len(stations["NOR_00001"].left) == 1


def test_what_nobody_can_resume_from_is_dropped_and_that_is_known() -> None:
    row = recovered()[1]["NOR_00001"]
    assert without(row, 3) == row
    assert (without(row, 6).left, without(row, 6).lost_seq) == ((), 6)


def test_a_view_that_is_loaded_knows_that_an_evse_left_its_station() -> None:
    board, stations = recovered()
    view = View(Directory(), "e")
    view.load(board.values(), 7, stations.values())
    assert [(state.uuid, state.seq) for state in view.changed_since(5)] == [
        ("NOR_00001", 6),
        ("NOR_00002", 7),
    ]
    state = view.get("NOR_00001")
    assert state is not None
    assert state.changes[EVSE.key].change == OFF


def test_a_station_has_the_position_of_its_newest_entry() -> None:
    stays = make_evse("NO*ABC*E2", "NOR_00001")
    _, stations = recovered()
    view = View(Directory(), "e")
    view.load([BoardRow(2, make_change(stays), 0, 0, "abc")], 7, stations.values())
    assert [(state.uuid, state.seq) for state in view.changed_since(5)] == [("NOR_00001", 6)]


def test_a_checkpoint_keeps_what_is_other_than_the_last_one_has() -> None:
    rows = recovered()[1]
    records = Records()
    records.restore(rows.values())
    assert records.take_touched() == set()
    records.restore(rows.values(), ["NOR_00002"])
    assert records.take_touched() == {"NOR_00002"}


def test_a_start_keeps_less_of_a_station_of_which_less_is_to_be_kept() -> None:
    records = Records()
    records.restore(recovered()[1].values(), first=4)
    assert records.take_touched() == set()
    records.restore(recovered()[1].values(), first=7)
    assert records.take_touched() == {"NOR_00001", "NOR_00002"}
    assert [row.left for row in records.rows(["NOR_00001"], 7)] == [()]


def test_a_view_that_is_loaded_knows_who_told_of_an_evse_before_at_each_of_its_stations() -> None:
    told = (make_change(EVSE, source=name, was_source=was) for name, was in (("b", "a"), ("c", "b")))
    changes = [*MOVE[:3], *told, *MOVE[3:]]
    board: dict[str, BoardRow] = {}
    stations: dict[str, StationRow] = {}
    for seq, change in enumerate(changes, 1):
        fold(board, stations, entry_of(seq, change), TIMES)
    view = View(Directory(), "e")
    view.load(board.values(), len(changes), stations.values())
    for uuid in stations:
        state = view.get(uuid)
        assert state is not None
        assert {"abc", "b"} <= set(state.former[EVSE.key])
