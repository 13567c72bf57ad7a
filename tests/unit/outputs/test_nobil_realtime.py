"""The messages of NOBIL Real-time: what is told of a change, and what cannot be."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from tests.building import NOW, drawn, logged, make_change, make_evse, make_report, make_station, recorded

from ladestrom.core import directory
from ladestrom.core.directory import Directory
from ladestrom.core.selection import EVERYTHING, Selection
from ladestrom.core.view import StationState, View
from ladestrom.formats.dialect import Sums
from ladestrom.formats.wire import instant
from ladestrom.model import NEVER, Cause, Change, Position, Station, Status
from ladestrom.outputs.nobil_realtime.encoder import RealtimeDialect
from ladestrom.protocols.delivery import ParseLimits
from ladestrom.protocols.nobil_realtime import receive

UID: Final = "7381cc78-a032-4f23-a46f-3e0ebe4590ff"
FIRST: Final = make_evse("NO*ABC*E1", "NOR_23314", uid=UID)
SECOND: Final = make_evse("NO*ABC*E2", "NOR_23314", uid='b"2\n')
NAMELESS: Final = make_evse("NO*ABC*E3", "NOR_23314")
STATION: Final = make_station("NOR_23314", (FIRST, SECOND, NAMELESS))
SWEDISH: Final = make_station("SWE_00007", (make_evse("SE*ABC*E1", "SWE_00007", uid="7"),), country="SWE")
PLAIN: Final = RealtimeDialect()
FULL: Final = RealtimeDialect(timestamp=True, seq=True)
NORWAY: Final = Selection(country=frozenset({"NOR"}))


def view_of(*changes: Change, stations: Sequence[Station] = (STATION, SWEDISH)) -> View:
    view = View(Directory(stations), "k3x9")
    for entry in logged(changes):
        view.apply(entry)
    return view


def state_of(view: View, uuid: str = STATION.uuid) -> StationState:
    state = view.get(uuid)
    assert state is not None
    return state


def told(rows: Sequence[bytes]) -> list[Any]:
    return [json.loads(row) for row in rows]


ALL: Final = (
    make_change(FIRST, Status.CHARGING),
    make_change(NAMELESS, Status.CHARGING),
    make_change(SECOND, Status.UNKNOWN, NEVER, cause=Cause.REGISTERED),
    make_change(SWEDISH.evses[0], Status.AVAILABLE),
)


def test_a_change_is_the_bytes_of_the_contract() -> None:
    view = view_of(make_change(FIRST, Status.AVAILABLE))
    assert PLAIN.row(view, state_of(view), make_change(FIRST, Status.AVAILABLE)) == (
        b'{"nobilId":"NOR_23314","evseUId":"7381cc78-a032-4f23-a46f-3e0ebe4590ff","status":"AVAILABLE"}'
    )


def test_every_status_is_one_of_the_nine_words_and_our_own_reader_understands_it() -> None:
    view = view_of(*ALL)
    for status in Status:
        row = PLAIN.row(view, state_of(view), make_change(SECOND, status))
        (word,) = receive(row, "us", ParseLimits()).reports
        assert (word.evse, word.status) == (SECOND.uid, status)


def test_time_and_position_are_there_where_they_are_wanted() -> None:
    view = view_of(*ALL)
    row = FULL.row(view, state_of(view), ALL[0])
    assert json.loads(row) == {
        "nobilId": "NOR_23314",
        "evseUId": UID,
        "status": "CHARGING",
        "timestamp": instant(NOW),
        "epoch": "k3x9",
        "seq": 3,
    }
    assert "timestamp" not in json.loads(FULL.row(view, state_of(view), ALL[2]))


def test_of_an_evse_without_uid_nothing_is_told() -> None:
    view = view_of(*ALL)
    assert PLAIN.row(view, state_of(view), ALL[1]) == b""
    assert PLAIN.changes(view, 3, 4, [b"", b"{}"]) == PLAIN.changes(view, 3, 4, [b"{}"])
    assert list(PLAIN.changes(view, 3, 4, [b""])) == []


def test_the_snapshot_has_a_message_for_each_evse_and_the_last_one_moves_the_consumer() -> None:
    view = view_of(*ALL, make_change(make_evse("SE*X*E1", "SWE_00007", uid="8"), Status.PLANNED))
    messages = drawn(FULL, view, EVERYTHING, 9)
    rows = told([message.payload for message in messages])
    assert [(row["evseUId"], row["status"]) for row in rows] == [
        (UID, "CHARGING"),
        (SECOND.uid, "UNKNOWN"),
        ("7", "AVAILABLE"),
    ]
    assert [row.get("seq") for row in rows] == [None, None, 9]
    assert [message.position for message in messages] == [None, None, Position("k3x9", 9)]
    assert [row["nobilId"] for row in told([m.payload for m in drawn(PLAIN, view, NORWAY, 9)])] == [
        "NOR_23314",
        "NOR_23314",
    ]
    assert drawn(PLAIN, view_of(), EVERYTHING, 0) == []


def test_who_was_away_is_told_all_evses_of_a_station_that_changed_and_moves_with_the_last() -> None:
    view = view_of(*ALL, make_change(FIRST, Status.REMOVED, cause=Cause.WITHDRAWN))
    rows = told(FULL.missed(view, state_of(view), EVERYTHING, 4))
    assert [(row["evseUId"], row["status"], row.get("seq")) for row in rows] == [
        (SECOND.uid, "UNKNOWN", None),
        (UID, "REMOVED", 5),
    ]


def test_an_evse_that_left_its_register_is_still_told_by_its_uid() -> None:
    view = view_of(*ALL)
    left = make_station("NOR_23314", (SECOND, NAMELESS))
    view.take_record(recorded(view, left))
    gone = make_change(FIRST, Status.REMOVED, cause=Cause.WITHDRAWN)
    assert json.loads(PLAIN.row(view, state_of(view), gone))["evseUId"] == UID
    assert view.directory.uid(NAMELESS.key, STATION.uuid) is None
    vanished = make_station("SWE_00007", SWEDISH.evses, country="SWE", vanished_at=NOW)
    view.take_record(recorded(view, vanished))
    assert view.directory.uid(SWEDISH.evses[0].key, "SWE_00007") == "7"
    assert view.directory.uid("NOBODY", "NOR_00001") is None


def test_uids_of_those_who_left_are_kept_as_long_as_their_names(monkeypatch: Any) -> None:
    monkeypatch.setattr(directory, "LEFT_MAX", 1)
    known = Directory([STATION])
    known.put(make_station("NOR_23314", (NAMELESS,)))
    assert (known.uid(FIRST.key, STATION.uuid), known.uid(SECOND.key, STATION.uuid)) == (None, SECOND.uid)
    known.put(STATION)
    known.put(make_station("NOR_23314", (FIRST, SECOND)))
    assert known.left == {NAMELESS.key: NAMELESS.name}
    assert known.uid(NAMELESS.key, STATION.uuid) is None


def test_of_an_evse_that_went_to_another_station_only_that_one_tells_who_was_away() -> None:
    view = view_of(*ALL)
    moved = make_station("SWE_00007", (*SWEDISH.evses, make_evse("NO*ABC*E1", "SWE_00007", uid=UID)))
    view.take_record(recorded(view, make_station("NOR_23314", (SECOND, NAMELESS))))
    view.take_record(recorded(view, moved))
    for entry in logged(
        [
            make_change(FIRST, Status.REMOVED, cause=Cause.WITHDRAWN),
            make_change(moved.evses[1], Status.CHARGING),
        ],
        after=view.seq,
    ):
        view.apply(entry)
    rows = [
        *PLAIN.missed(view, state_of(view), EVERYTHING, 0),
        *PLAIN.missed(view, state_of(view, "SWE_00007"), EVERYTHING, 0),
    ]
    assert [(row["nobilId"], row["evseUId"]) for row in told(rows)] == [
        ("NOR_23314", SECOND.uid),
        ("SWE_00007", "7"),
        ("SWE_00007", UID),
    ]


def test_a_station_that_leaves_a_selection_is_removed_and_one_that_comes_is_as_it_is() -> None:
    view = view_of(*ALL)
    state = state_of(view)
    before = make_station("NOR_23314", STATION.evses, country="SWE")
    came = FULL.relocated(view, NORWAY, [before], state, 0, 7)
    assert [(row["status"], row.get("seq")) for row in told([row for row, _, _ in came])] == [
        ("CHARGING", None),
        ("UNKNOWN", 7),
    ]
    left = PLAIN.relocated(view, Selection(country=frozenset({"SWE"})), [before], state, 0, 7)
    assert {row["status"] for row in told([row for row, _, _ in left])} == {"REMOVED"}
    assert PLAIN.relocated(view, EVERYTHING, [before], state, 0, 7) == ()


def test_it_has_nothing_to_say_beside_changes() -> None:
    view = view_of(*ALL)
    assert list(PLAIN.greeting(view, 0)) == list(PLAIN.reset(view, "epoch")) == []
    assert list(PLAIN.selected(view, 1)) == list(PLAIN.farewell(1)) == []
    assert list(PLAIN.heartbeat(view, 0, Sums(0, 0), NOW)) == []
    assert list(PLAIN.raw(view, FIRST, make_report(FIRST), NOW)) == []
    assert PLAIN.term(view, ALL[0]) == PLAIN.digest(view, EVERYTHING, ALL[0]) == (0, 0)
    assert PLAIN.wanted(EVERYTHING, ALL[0])
    assert PLAIN.chosen(EVERYTHING, ALL[0], None) is ALL[0]
    reshaped: object = PLAIN.reshaped
    assert callable(reshaped)
    assert reshaped(view, state_of(view), STATION) is None
