from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from tests.building import NOW, drawn, logged, make_change, make_evse, make_report, make_station
from tests.digests import digest

from ladestrom import __version__
from ladestrom.core.directory import Directory
from ladestrom.core.selection import EVERYTHING, Selection
from ladestrom.core.view import StationState, View
from ladestrom.formats.dialect import Sums
from ladestrom.model import Cause, Change, Position, Station, Status, StatusChanged
from ladestrom.outputs.stream_v2.encoder import (
    PART_BYTES_MAX,
    Attribution,
    Limits,
    Pages,
    Select,
    V2Dialect,
    decode_select,
    refused,
)

AT = 1_362_520_099_000
WRITTEN_AT = "2013-03-05T21:48:19.000Z"
ONE = make_station("NOR_00001", [make_evse("NO*ABC*E1"), make_evse("NO*ABC*E2")])
TWO = make_station("NOR_00002", [make_evse("NO*ABC*E3", "NOR_00002")])
LIMITS = Limits(
    history_seq=0,
    message_bytes_max=1_048_576,
    inbound_bytes_max=65_536,
    inbound_messages_per_minute_max=100,
    heartbeat_s=20,
)
DIALECT = V2Dialect(LIMITS, Attribution("CC-BY-4.0", "the operators"))


def view_of(*changes: Change, stations: tuple[Station, ...] = (ONE, TWO)) -> View:
    view = View(Directory(stations), "k3x9")
    for entry in logged(changes):
        view.apply(entry)
    return view


def said(number: int, status: Status = Status.AVAILABLE, **members: Any) -> Change:
    return make_change((*ONE.evses, *TWO.evses)[number - 1], status, AT, **members)


def state_of(view: View, uuid: str = "NOR_00001") -> StationState:
    state = view.get(uuid)
    assert state is not None
    return state


def of_evse(key: str) -> Selection:
    return Selection(evse=frozenset({key}))


def of_status(*statuses: Status) -> Selection:
    return Selection(status=frozenset(statuses))


class TestMessages:
    def test_hello_says_what_to_count_on(self) -> None:
        (message,) = DIALECT.greeting(view_of(), 17)
        assert message.kind == "hello"
        assert message.position is None
        assert json.loads(message.payload) == {
            "type": "hello",
            "server": f"ladestrom/{__version__}",
            "epoch": "k3x9",
            "limits": {
                "history_seq": 17,
                "message_bytes_max": 1_048_576,
                "inbound_bytes_max": 65_536,
                "inbound_messages_per_minute_max": 100,
                "heartbeat_s": 20,
            },
            "licence": "CC-BY-4.0",
            "attribution": "the operators",
        }

    def test_a_snapshot_has_the_state_of_each_evse_that_is_listed(self) -> None:
        view = view_of(said(1, Status.CHARGING, error=True), said(2, Status.REMOVED), said(3))
        (message,) = drawn(DIALECT, view, EVERYTHING, 3)
        assert message.position == Position("k3x9", 3)
        assert message.payload == (
            b'{"type":"snapshot","epoch":"k3x9","seq":3,"part":1,"parts":1,"evses":['
            b'{"station":"NOR_00001","evse":"NO*ABC*E1","status":"CHARGING","error":1,'
            b'"changed_at":"2013-03-05T21:48:19.000Z","source":"abc","cause":"reported",'
            b'"observed_at":"2013-03-05T21:48:19.000Z"},'
            b'{"station":"NOR_00002","evse":"NO*ABC*E3","status":"AVAILABLE","error":0,'
            b'"changed_at":"2013-03-05T21:48:19.000Z","source":"abc","cause":"reported",'
            b'"observed_at":"2013-03-05T21:48:19.000Z"}]}'
        )

    def test_a_snapshot_of_nothing_is_one_part(self) -> None:
        (message,) = drawn(DIALECT, view_of(), EVERYTHING, 0)
        assert json.loads(message.payload)["parts"] == 1
        assert json.loads(message.payload)["evses"] == []

    def test_a_large_snapshot_comes_in_parts_of_which_the_last_one_moves(self) -> None:
        evses = [make_evse(f"NO*ABC*E{number}", "NOR_00001") for number in range(1_500)]
        station = make_station("NOR_00001", evses)
        view = view_of(*(make_change(evse, changed_at=AT) for evse in evses), stations=(station,))
        messages = drawn(DIALECT, view, EVERYTHING, 1_500)
        parts = [json.loads(message.payload) for message in messages]
        assert len(parts) > 1
        assert [part["part"] for part in parts] == list(range(1, len(parts) + 1))
        assert {part["parts"] for part in parts} == {len(parts)}
        assert sum(len(part["evses"]) for part in parts) == 1_500
        assert all(len(message.payload) < PART_BYTES_MAX + 200 for message in messages)
        assert [message.position for message in messages[:-1]] == [None] * (len(messages) - 1)
        assert messages[-1].position == Position("k3x9", 1_500)

    def test_a_change_says_what_it_is_now_and_what_it_was(self) -> None:
        view = view_of(said(1))
        change = said(1, Status.CHARGING, was_status=Status.AVAILABLE, was_error=True)
        state, _ = view.apply(StatusChanged(2, change))
        row = DIALECT.row(view, state, change)
        assert row == DIALECT.entry(view, change)
        (message,) = DIALECT.changes(view, 1, 2, [row])
        assert message.position == Position("k3x9", 2)
        assert message.payload == (
            b'{"type":"changes","epoch":"k3x9","prev":1,"seq":2,"changes":['
            b'{"station":"NOR_00001","evse":"NO*ABC*E1","status":"CHARGING","error":0,'
            b'"changed_at":"2013-03-05T21:48:19.000Z","observed_at":"2013-03-05T21:48:19.000Z",'
            b'"source":"abc","cause":"reported","was":{"status":"AVAILABLE","error":1}}]}'
        )

    def test_changes_may_be_none(self) -> None:
        (message,) = DIALECT.changes(view_of(), 1, 2, [])
        assert json.loads(message.payload)["changes"] == []

    def test_many_changes_come_in_messages_of_which_the_last_one_moves(self) -> None:
        row = b'"%s"' % (b"x" * 998)
        messages = DIALECT.changes(view_of(), 4, 9, [row] * 500)
        read = [json.loads(message.payload) for message in messages]
        assert len(read) > 2
        assert [(one["prev"], one["seq"]) for one in read] == [(4, 4)] * (len(read) - 1) + [(4, 9)]
        assert [message.position for message in messages] == [Position("k3x9", one["seq"]) for one in read]
        assert sum(len(one["changes"]) for one in read) == 500

    def test_a_heartbeat_proves_the_selected_state(self) -> None:
        view = view_of(said(1))
        count, term = DIALECT.digest(view, EVERYTHING, said(1))
        (message,) = DIALECT.heartbeat(view, 0, Sums(count, term), NOW)
        beat = json.loads(message.payload)
        assert (beat["type"], beat["prev"], beat["seq"]) == ("heartbeat", 0, 1)
        assert beat["count"] == 1
        assert beat["digest"] == digest([("NO*ABC*E1", "AVAILABLE", 0, WRITTEN_AT)])

    def test_the_others_are_short(self) -> None:
        view = view_of()
        told = [
            *DIALECT.reset(view, "expired"),
            *DIALECT.selected(view, 7),
            *DIALECT.farewell(1_500),
            refused("bad_request", "no"),
        ]
        assert [message.payload for message in told] == [
            b'{"type":"reset","epoch":"k3x9","reason":"expired"}',
            b'{"type":"selected","epoch":"k3x9","seq":7}',
            b'{"type":"drain","retry_after_ms":1500}',
            b'{"type":"error","code":"bad_request","detail":"no"}',
        ]

    def test_raw_reports_are_not_told(self) -> None:
        assert DIALECT.raw(view_of(said(1)), ONE.evses[0], make_report(), NOW) == ()

    def test_an_evse_that_left_its_register_is_told_by_the_id_that_it_had_there(self) -> None:
        view = view_of(said(1), said(2))
        view.directory.put(make_station("NOR_00001", ONE.evses[:1]))
        change = said(2, Status.REMOVED, cause=Cause.WITHDRAWN)
        state, _ = view.apply(StatusChanged(3, change))
        assert json.loads(DIALECT.row(view, state, change))["evse"] == "NO*ABC*E2"

    def test_one_of_which_no_record_is_known_is_told_by_its_key(self) -> None:
        stranger = make_change(make_evse("NO*ABC*E404", "NOR_00404"))
        assert json.loads(DIALECT.entry(view_of(), stranger))["evse"] == "NOABCE404"


class TestSelections:
    def test_filters_on_evse_and_status_narrow_a_snapshot(self) -> None:
        view = view_of(said(1), said(2, Status.CHARGING), said(3))

        def shown(selection: Selection) -> list[str]:
            (message,) = drawn(DIALECT, view, selection, 3)
            return [row["evse"] for row in json.loads(message.payload)["evses"]]

        assert shown(of_evse("NOABCE2")) == ["NO*ABC*E2"]
        assert shown(of_status(Status.AVAILABLE)) == ["NO*ABC*E1", "NO*ABC*E3"]

    @pytest.mark.parametrize(
        ("selection", "wanted"),
        [
            (EVERYTHING, True),
            (of_evse("NOABCE1"), True),
            (of_evse("NOABCE2"), False),
            (of_status(Status.CHARGING), True),
            (of_status(Status.AVAILABLE), True),
            (of_status(Status.OUTOFORDER), False),
        ],
    )
    def test_a_change_into_or_out_of_the_selected_statuses_is_wanted(
        self, selection: Selection, wanted: bool
    ) -> None:
        change = said(1, Status.CHARGING, was_status=Status.AVAILABLE)
        assert DIALECT.wanted(selection, change) is wanted

    def test_what_is_not_selected_or_not_listed_adds_nothing_to_the_digest(self) -> None:
        view = view_of(said(1))
        assert DIALECT.digest(view, EVERYTHING, None) == (0, 0)
        assert DIALECT.digest(view, of_evse("NOABCE2"), said(1)) == (0, 0)
        assert DIALECT.digest(view, of_status(Status.CHARGING), said(1)) == (0, 0)
        assert DIALECT.digest(view, EVERYTHING, said(1, Status.REMOVED)) == (0, 0)
        assert DIALECT.digest(view, EVERYTHING, said(1))[0] == 1
        assert DIALECT.digest(view, EVERYTHING, said(1))[1] != 0


class TestMissed:
    def missed(
        self, view: View, selection: Selection, after: int, uuid: str = "NOR_00001"
    ) -> list[tuple[str, str]]:
        rows = DIALECT.missed(view, state_of(view, uuid), selection, after)
        return [(row["evse"], row["status"]) for row in map(json.loads, rows)]

    def test_the_newest_states_of_what_changed_come_in_order(self) -> None:
        view = view_of(said(1), said(2), said(1, Status.CHARGING), said(2, Status.CHARGING), said(1))
        assert self.missed(view, EVERYTHING, 0) == [("NO*ABC*E2", "CHARGING"), ("NO*ABC*E1", "AVAILABLE")]
        assert self.missed(view, EVERYTHING, 4) == [("NO*ABC*E1", "AVAILABLE")]
        assert self.missed(view, of_evse("NOABCE2"), 0) == [("NO*ABC*E2", "CHARGING")]

    def test_those_that_left_the_selected_statuses_are_told_too(self) -> None:
        view = view_of(said(1, Status.CHARGING))
        assert self.missed(view, of_status(Status.AVAILABLE), 0) == [("NO*ABC*E1", "CHARGING")]

    def test_a_removed_one_is_told(self) -> None:
        view = view_of(said(1), said(1, Status.REMOVED, cause=Cause.WITHDRAWN))
        assert self.missed(view, EVERYTHING, 1) == [("NO*ABC*E1", "REMOVED")]

    def test_that_one_left_for_another_selected_station_is_not_told_as_its_state_there_is(self) -> None:
        moved = make_evse("NO*ABC*E1", "NOR_00002")
        view = view_of(said(1), said(1, Status.REMOVED, cause=Cause.WITHDRAWN), make_change(moved))
        view.directory.put(make_station("NOR_00001", ONE.evses[1:]))
        view.directory.put(make_station("NOR_00002", [*TWO.evses, moved]))
        assert self.missed(view, EVERYTHING, 1) == []
        assert self.missed(view, EVERYTHING, 1, "NOR_00002") == [("NO*ABC*E1", "AVAILABLE")]
        old = Selection(station=frozenset({"NOR_00001"}))
        assert self.missed(view, old, 1) == [("NO*ABC*E1", "REMOVED")]


class TestSelect:
    def test_a_consumer_may_ask_for_another_selection(self) -> None:
        asked = decode_select('{"type":"select","country":"NO","status":"AVAILABLE"}')
        assert asked == Select(country="NO", status="AVAILABLE")

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "[]",
            "{}",
            '{"country":"NO"}',
            '{"type":"selected"}',
            '{"type":"select","country":7}',
            '{"type":"select"',
        ],
    )
    def test_what_is_none_is_refused(self, text: str) -> None:
        with pytest.raises(msgspec.DecodeError):
            decode_select(text)


def test_pages_hold_rows_up_to_their_size_and_a_larger_row_alone() -> None:
    small, half, large = b"x", b"y" * (PART_BYTES_MAX // 2), b"z" * (PART_BYTES_MAX + 1)
    pages = Pages()
    assert pages.take() == [b""]
    for row in (half, small, half, large, small):
        pages.add(row)
    assert pages.take() == [half + b"," + small, half, large, small]
    assert pages.take() == [b""]
