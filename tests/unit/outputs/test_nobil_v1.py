from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from tests.building import NOW, TYPE_2, drawn, logged, make_change, make_evses, make_report, make_station

from ladestrom.core.directory import Directory
from ladestrom.core.rules import Inoperative
from ladestrom.core.selection import EVERYTHING, Selection
from ladestrom.core.view import StationState, View
from ladestrom.formats.dialect import Message, Sums
from ladestrom.model import (
    NEVER,
    Cause,
    Change,
    Evse,
    Outlet,
    Position,
    Station,
    Status,
    StatusChanged,
)
from ladestrom.outputs.nobil_v1.encoder import NobilDialect, NobilFormat

AT = 1_362_520_099_000
STATION = make_station("NOR_01333", evses=5)
FORMAT = NobilFormat()
DIALECT = NobilDialect(FORMAT)


def view_of(*changes: Change, stations: Sequence[Station] = (STATION,)) -> View:
    view = View(Directory(stations), "k3x9")
    for entry in logged(changes):
        view.apply(entry)
    return view


def state_of(view: View, uuid: str = "NOR_01333") -> StationState:
    state = view.get(uuid)
    assert state is not None
    return state


def said(status: Status, *, error: bool = False, evse: Evse = STATION.evses[0], at: int = AT) -> Change:
    return make_change(evse, status, at, error=error or status is Status.OUTOFORDER)


def unheard(evses: Iterable[Evse] = STATION.evses) -> list[Change]:
    return [make_change(evse, Status.UNKNOWN, NEVER, cause=Cause.REGISTERED) for evse in evses]


def body_of(view: View, encoder: NobilFormat = FORMAT) -> Any:
    return json.loads(encoder.station(state_of(view), STATION))


class TestContract:
    """The published API's own examples, to the byte."""

    def test_the_one_mixed_example_of_the_contract(self) -> None:
        view = view_of(*unheard(), said(Status.AVAILABLE))
        assert FORMAT.station(state_of(view), STATION) == (
            b'{"uuid":"NOR_01333","status":-1,"connectors":['
            b'{"status":0,"error":0,"timestamp":1362520099000},'
            b'{"status":-1,"error":0,"timestamp":-1},'
            b'{"status":-1,"error":0,"timestamp":-1},'
            b'{"status":-1,"error":0,"timestamp":-1},'
            b'{"status":-1,"error":0,"timestamp":-1}]}'
        )

    def test_the_snapshot(self) -> None:
        one, two = make_station("NOR_00001"), make_station("NOR_00002")
        view = view_of(
            *unheard(one.evses), make_change(two.evses[0], Status.CHARGING, AT), stations=[one, two]
        )
        (message,) = drawn(DIALECT, view, EVERYTHING, view.seq)
        assert message == Message(
            b'{"type":"snapshot:init","epoch":"k3x9","seq":2,"data":['
            b'{"uuid":"NOR_00001","status":-1,"connectors":[{"status":-1,"error":0,"timestamp":-1}]},'
            b'{"uuid":"NOR_00002","status":1,"connectors":[{"status":1,"error":0,"timestamp":1362520099000}]}]}',
            "snapshot:init",
            Position("k3x9", 2),
        )

    def test_an_empty_snapshot(self) -> None:
        (message,) = drawn(DIALECT, view_of(stations=[]), EVERYTHING, 0)
        assert message.payload == b'{"type":"snapshot:init","epoch":"k3x9","seq":0,"data":[]}'

    def test_an_update(self) -> None:
        view = view_of(*unheard(STATION.evses[1:]))
        change = said(Status.OUTOFORDER)
        state, _ = view.apply(StatusChanged(5, change))
        assert DIALECT.row(view, state, change) == (
            b'{"type":"status:update","epoch":"k3x9","seq":5,"data":'
            b'{"uuid":"NOR_01333","status":2,"connectors":['
            b'{"status":-1,"error":1,"timestamp":1362520099000},'
            b'{"status":-1,"error":0,"timestamp":-1},'
            b'{"status":-1,"error":0,"timestamp":-1},'
            b'{"status":-1,"error":0,"timestamp":-1},'
            b'{"status":-1,"error":0,"timestamp":-1}]}}'
        )

    def test_a_raw_message(self) -> None:
        assert FORMAT.raw("NOR_01333", 0, Status.AVAILABLE, error=False, observed_at=AT) == (
            b'{"type":"status:raw","code":1,"data":{"uuid":"NOR_01333",'
            b'"connector":0,"status":0,"error":0,"timestamp":1362520099000}}'
        )

    def test_a_connector_over_rest(self) -> None:
        view = view_of(said(Status.CHARGING))
        assert FORMAT.connector(state_of(view), STATION, 1) == (
            b'{"uuid":"NOR_01333_01","status":1,"error":0,"timestamp":1362520099000}'
        )


class TestConnectors:
    @pytest.mark.parametrize(
        ("status", "error", "shown"),
        [
            (Status.AVAILABLE, False, (0, 0)),
            (Status.AVAILABLE, True, (0, 1)),
            (Status.BLOCKED, False, (1, 0)),
            (Status.BLOCKED, True, (1, 1)),
            (Status.CHARGING, False, (1, 0)),
            (Status.CHARGING, True, (1, 1)),
            (Status.INOPERATIVE, False, (-1, 1)),
            (Status.INOPERATIVE, True, (-1, 1)),
            (Status.OUTOFORDER, True, (-1, 1)),
            (Status.RESERVED, False, (1, 0)),
            (Status.RESERVED, True, (1, 1)),
            (Status.UNKNOWN, False, (-1, 0)),
            (Status.UNKNOWN, True, (-1, 1)),
        ],
    )
    def test_every_status_has_its_pair(self, status: Status, error: bool, shown: tuple[int, int]) -> None:
        connector = body_of(view_of(said(status, error=error)))["connectors"][0]
        assert connector == {"status": shown[0], "error": shown[1], "timestamp": AT}

    @pytest.mark.parametrize("status", [Status.PLANNED, Status.REMOVED])
    def test_planned_and_removed_are_not_listed(self, status: Status) -> None:
        view = view_of(said(status), said(Status.CHARGING, evse=STATION.evses[4]))
        connectors = body_of(view)["connectors"]
        assert [connector["timestamp"] for connector in connectors] == [NEVER, NEVER, NEVER, AT]

    def test_inoperative_reads_as_occupied_where_the_setting_says_so(self) -> None:
        view = view_of(said(Status.INOPERATIVE))
        assert body_of(view, NobilFormat(Inoperative.OCCUPIED))["connectors"][0]["status"] == 1

    def test_connectors_repeat_the_status_of_their_evse_in_registry_order(self) -> None:
        evses = make_evses(2, "NOR_01333")
        station = make_station(
            "NOR_01333", evses, outlets=tuple(Outlet(index, TYPE_2) for index in (1, 0, 1, 0))
        )
        view = view_of(
            said(Status.CHARGING, evse=evses[0]), said(Status.AVAILABLE, evse=evses[1]), stations=[station]
        )
        shown = json.loads(FORMAT.station(state_of(view), station))
        assert [connector["status"] for connector in shown["connectors"]] == [0, 1, 0, 1]
        assert FORMAT.listed_index(state_of(view), station, evses[0].key) == [1, 3]

    @pytest.mark.parametrize(
        ("statuses", "expected"),
        [
            ([Status.AVAILABLE, Status.CHARGING], 0),
            ([Status.CHARGING, Status.RESERVED], 1),
            ([Status.AVAILABLE, Status.UNKNOWN], -1),
            ([Status.UNKNOWN, Status.OUTOFORDER], 2),
            ([Status.CHARGING, Status.REMOVED], 1),
            ([Status.REMOVED, Status.PLANNED], -1),
        ],
    )
    def test_a_station_has_the_first_that_holds_of_error_unknown_available_occupied(
        self, statuses: list[Status], expected: int
    ) -> None:
        station = make_station("NOR_01333", evses=len(statuses))
        changes = [said(status, evse=evse) for status, evse in zip(statuses, station.evses, strict=True)]
        view = view_of(*changes, stations=[station])
        assert json.loads(FORMAT.station(state_of(view), station))["status"] == expected

    def test_a_station_without_connectors_is_unknown(self) -> None:
        station = make_station("NOR_01333", evses=0)
        assert FORMAT.station(StationState("NOR_01333"), station) == (
            b'{"uuid":"NOR_01333","status":-1,"connectors":[]}'
        )


class TestRest:
    def test_ordinals_count_from_1_and_have_at_least_two_digits(self) -> None:
        station = make_station("NOR_01333", evses=120)
        view = view_of(*unheard(station.evses), stations=[station])
        uuids = [
            json.loads(FORMAT.connector(state_of(view), station, ordinal) or b"{}").get("uuid")
            for ordinal in (0, 1, 9, 10, 99, 100, 120, 121)
        ]
        assert uuids == [
            None,
            "NOR_01333_01",
            "NOR_01333_09",
            "NOR_01333_10",
            "NOR_01333_99",
            "NOR_01333_100",
            "NOR_01333_120",
            None,
        ]

    def test_a_body_is_kept_until_the_state_changes(self) -> None:
        view = view_of(said(Status.AVAILABLE))
        first = FORMAT.station(state_of(view), STATION)
        assert FORMAT.station(state_of(view), STATION) is first
        view.apply(StatusChanged(2, said(Status.CHARGING)))
        assert FORMAT.station(state_of(view), STATION) != first


class TestUpdates:
    def told(self, view: View, seq: int, change: Change) -> Any:
        state, _ = view.apply(StatusChanged(seq, change))
        return json.loads(DIALECT.row(view, state, change))

    def shown(self, told: Any) -> list[tuple[int, int]]:
        return [(connector["status"], connector["timestamp"]) for connector in told["data"]["connectors"]]

    def test_a_removed_evse_is_shown_as_unknown_once_and_then_not_listed(self) -> None:
        view = view_of(*(said(Status.AVAILABLE, evse=evse) for evse in STATION.evses))
        told = self.told(view, 6, said(Status.REMOVED, evse=STATION.evses[1], at=AT + 1))
        assert self.shown(told) == [(0, AT), (-1, AT + 1), (0, AT), (0, AT), (0, AT)]
        assert told["data"]["status"] == -1
        assert len(body_of(view)["connectors"]) == 4
        following = self.told(view, 7, said(Status.CHARGING, at=AT + 2))
        assert self.shown(following) == [(1, AT + 2), (0, AT), (0, AT), (0, AT)]

    def test_so_is_one_that_its_register_gave_up(self) -> None:
        view = view_of(*(said(Status.AVAILABLE, evse=evse) for evse in STATION.evses))
        gone = make_change(STATION.evses[0], Status.REMOVED, AT + 1, cause=Cause.WITHDRAWN)
        assert self.shown(self.told(view, 6, gone))[0] == (-1, AT + 1)

    def test_a_planned_one_is_just_not_listed(self) -> None:
        view = view_of(*(said(Status.AVAILABLE, evse=evse) for evse in STATION.evses))
        assert len(self.shown(self.told(view, 6, said(Status.PLANNED, at=AT + 1)))) == 4

    def test_a_station_that_vanished_has_no_connectors_left(self) -> None:
        view = view_of(said(Status.AVAILABLE))
        view.directory.put(make_station("NOR_01333", evses=5, vanished_at=NOW))
        told = self.told(view, 2, said(Status.REMOVED, at=AT + 1))
        assert told["data"] == {"uuid": "NOR_01333", "status": -1, "connectors": []}

    def test_what_was_missed_is_one_update_with_the_newest_state(self) -> None:
        view = view_of(said(Status.AVAILABLE), said(Status.CHARGING, at=AT + 1))
        (row,) = DIALECT.missed(view, state_of(view), EVERYTHING, 0)
        told = json.loads(row)
        assert (told["type"], told["seq"]) == ("status:update", 2)
        assert self.shown(told)[0] == (1, AT + 1)

    def test_an_update_is_a_message_of_its_own(self) -> None:
        assert DIALECT.changes(view_of(), 3, 4, (b"{}", b"[]")) == [
            Message(b"{}", "status:update", Position("k3x9", 4)),
            Message(b"[]", "status:update", Position("k3x9", 4)),
        ]

    def test_a_snapshot_has_the_selected_stations_only(self) -> None:
        other = make_station("SWE_00001", country="SWE")
        view = view_of(said(Status.AVAILABLE), make_change(other.evses[0]), stations=[STATION, other])
        (message,) = drawn(DIALECT, view, Selection(country=frozenset({"SWE"})), view.seq)
        assert [station["uuid"] for station in json.loads(message.payload)["data"]] == ["SWE_00001"]


class TestRaw:
    def test_each_connector_of_the_evse_is_told_counted_from_0(self) -> None:
        station = make_station("NOR_01333", evses=2, connectors=2)
        view = view_of(*unheard(station.evses), stations=[station])
        report = make_report(station.evses[1], Status.CHARGING, AT)
        messages = DIALECT.raw(view, station.evses[1], report, AT)
        assert [json.loads(message.payload)["data"]["connector"] for message in messages] == [2, 3]
        assert {message.kind for message in messages} == {"status:raw"}
        assert {message.position for message in messages} == {None}

    def test_it_says_what_was_reported_not_what_holds(self) -> None:
        view = view_of(said(Status.CHARGING))
        (message,) = DIALECT.raw(
            view, STATION.evses[0], make_report(status=Status.AVAILABLE, observed_at=None), AT - 9
        )
        assert json.loads(message.payload)["data"] == {
            "uuid": "NOR_01333",
            "connector": 0,
            "status": 0,
            "error": 0,
            "timestamp": AT - 9,
        }

    @pytest.mark.parametrize("status", [Status.PLANNED, Status.REMOVED])
    def test_what_is_not_listed_is_not_told(self, status: Status) -> None:
        view = view_of(said(Status.AVAILABLE))
        assert DIALECT.raw(view, STATION.evses[0], make_report(status=status), NOW) == []

    def test_nor_are_stations_that_are_unknown_or_vanished(self) -> None:
        assert DIALECT.raw(view_of(), STATION.evses[0], make_report(), NOW) == ()
        view = view_of(said(Status.AVAILABLE))
        view.directory.put(make_station("NOR_01333", vanished_at=NOW))
        assert DIALECT.raw(view, STATION.evses[0], make_report(), NOW) == ()


def test_version_1_has_nothing_else_to_say() -> None:
    view = view_of(said(Status.AVAILABLE))
    assert DIALECT.greeting(view, 0) == ()
    assert DIALECT.reset(view, "epoch") == ()
    assert DIALECT.selected(view, 1) == ()
    assert DIALECT.farewell(1_000) == ()
    assert DIALECT.heartbeat(view, 0, Sums(0, 0), NOW) == ()
    assert DIALECT.digest(view, EVERYTHING, None) == (0, 0)
    assert DIALECT.wanted(EVERYTHING, said(Status.REMOVED))
    with pytest.raises(NotImplementedError):
        DIALECT.entry(view, said(Status.AVAILABLE))
