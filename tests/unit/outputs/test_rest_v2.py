from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.building import CCS, NOW, TYPE_2, make_change, make_evse, make_station

from ladestrom.core.view import StationState
from ladestrom.formats.evse_state import EvseState, evse_state
from ladestrom.formats.wire import as_logged, instant
from ladestrom.model import NEVER, Cause, Change, Millis, Outlet, Status, StatusChanged
from ladestrom.outputs.rest_v2.encoder import StationDetail, station_detail

YEAR_2200: Millis = 7_258_118_400_000
EVSES = (make_evse("NO*ABC*E1*1"), make_evse("NO*ABC*E1*2", uid="7381cc78"), make_evse("NO*ABC*E1*3"))
STATION = make_station(
    "NOR_00001",
    EVSES,
    outlets=(Outlet(0, TYPE_2), Outlet(1, CCS), Outlet(0, CCS), Outlet(2, TYPE_2)),
    operator="Fjord Lading",
    address="Storgata 1",
    city="Moss",
    register="nobil",
    native_id="17",
)


def plain(shown: EvseState | StationDetail) -> Any:
    return json.loads(msgspec.json.encode(shown))


def confirmed(seq: int, change: Change) -> Millis:
    assert seq
    return change.observed_at + 1_500


def holding(*changes: Change) -> StationState:
    state = StationState("NOR_00001")
    for seq, change in enumerate(changes, 1):
        state.changes[change.evse] = StatusChanged(seq, change)
    return state


class TestInstant:
    @pytest.mark.parametrize(
        ("at", "written"),
        [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_362_520_099_000, "2013-03-05T21:48:19.000Z"),
            (1_362_520_099_001, "2013-03-05T21:48:19.001Z"),
            (NEVER, None),
            (None, None),
        ],
    )
    def test_it_is_iso_8601_in_utc_to_the_millisecond(self, at: Millis | None, written: str | None) -> None:
        assert instant(at) == written

    @given(st.integers(0, YEAR_2200))
    def test_no_millisecond_is_lost(self, at: Millis) -> None:
        written = instant(at)
        assert written is not None
        read = datetime.fromisoformat(written)
        assert round(read.timestamp() * 1000) == at
        assert len(written) == len("2013-03-05T21:48:19.000Z")


class TestEvse:
    def test_it_has_its_status_since_when_and_when_that_was_confirmed(self) -> None:
        change = make_change(EVSES[1], Status.CHARGING, NOW, error=True, source="abc")
        assert plain(evse_state(EVSES[1], STATION, StatusChanged(7, change), confirmed)) == {
            "evse": "NO*ABC*E1*2",
            "station": "NOR_00001",
            "status": "CHARGING",
            "error": 1,
            "changed_at": instant(NOW),
            "observed_at": instant(NOW + 1_500),
            "source": "abc",
            "raw": "CHARGING",
            "connectors": [{"standard": "IEC_62196_T2_COMBO", "max_kw": 150.0}],
            "cause": "reported",
            "uid": "7381cc78",
        }

    def test_one_that_nobody_reported_on_is_unknown(self) -> None:
        assert plain(evse_state(EVSES[0], STATION, None, as_logged)) == {
            "evse": "NO*ABC*E1*1",
            "station": "NOR_00001",
            "status": "UNKNOWN",
            "error": 0,
            "changed_at": None,
            "observed_at": None,
            "source": "",
            "raw": "",
            "connectors": [
                {"standard": "IEC_62196_T2", "max_kw": 22.0},
                {"standard": "IEC_62196_T2_COMBO", "max_kw": 150.0},
            ],
            "cause": None,
            "uid": None,
        }

    def test_one_that_is_registered_only_has_no_instants(self) -> None:
        registered = make_change(EVSES[0], Status.UNKNOWN, NEVER, cause=Cause.REGISTERED, raw="")
        shown = evse_state(EVSES[0], STATION, StatusChanged(1, registered), as_logged)
        assert (shown.status, shown.changed_at, shown.observed_at, shown.cause) == (
            Status.UNKNOWN,
            None,
            None,
            "registered",
        )


class TestStation:
    def test_it_has_its_evses_in_registry_order_without_planned_and_removed_ones(self) -> None:
        state = holding(make_change(EVSES[2], Status.AVAILABLE), make_change(EVSES[1], Status.REMOVED))
        shown = station_detail(STATION, 7, state, as_logged)
        assert [evse.evse for evse in shown.evses] == ["NO*ABC*E1*1", "NO*ABC*E1*3"]
        assert [evse.status for evse in shown.evses] == [Status.UNKNOWN, Status.AVAILABLE]

    def test_it_says_what_the_register_says(self) -> None:
        shown = plain(station_detail(STATION, 7, None, as_logged))
        assert len(shown.pop("evses")) == 3
        assert shown == {
            "uuid": "NOR_00001",
            "revision": 7,
            "name": "Station NOR_00001",
            "operator": "Fjord Lading",
            "country": "NOR",
            "position": {"latitude": 59.9, "longitude": 10.7},
            "address": "Storgata 1",
            "city": "Moss",
            "register": "nobil",
            "native_id": "17",
            "vanished_at": None,
        }

    def test_its_connectors_are_gone_through_once_however_many_evses_it_has(self) -> None:
        looked = []

        class Counted(tuple[Outlet, ...]):
            __slots__ = ()

            def __iter__(self) -> Iterator[Outlet]:
                looked.append(len(self))
                return super().__iter__()

        large = make_station("NOR_00001", 200)
        counted = msgspec.structs.replace(large, outlets=Counted(large.outlets))
        assert len(station_detail(counted, 7, None, as_logged).evses) == 200
        assert looked == [200]

    def test_one_that_vanished_says_when(self) -> None:
        gone = msgspec.structs.replace(STATION, vanished_at=NOW)
        assert station_detail(gone, 7, None, as_logged).vanished_at == instant(NOW)
