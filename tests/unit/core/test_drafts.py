from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ladestrom.core.drafts import completed, doubled_key, fault, joined, supersedes
from ladestrom.model import Connector, Evse, Outlet, Reading, Station, Status
from ladestrom.ports import StationDraft

CCS = Connector("IEC_62196_T2_COMBO", 150.0)


def draft(**changes: Any) -> StationDraft:
    """A station without uuid: EVSEs 0 and 1 with ids, EVSE 2 without; connectors of 1, 0, 2, 2."""
    station = Station(
        uuid="",
        name="Town hall",
        country="FRA",
        latitude=48.8,
        longitude=2.3,
        evses=(Evse("FRABCE1", ""), Evse("fr*abc-e2", ""), Evse("", "")),
        outlets=tuple(Outlet(index, CCS) for index in (1, 0, 2, 2)),
        native_id="FRABCP1",
    )
    readings = changes.pop("readings", ())
    return StationDraft(msgspec.structs.replace(station, **changes), readings)


def reading(status: Status = Status.AVAILABLE, observed_at: int = 1000, raw: str = "0") -> Reading:
    return Reading("", status, error=False, observed_at=observed_at, raw=raw)


def test_a_draft_in_order_has_no_fault() -> None:
    assert fault(draft(readings=((0, reading()),))) is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"native_id": ""}, "it has no id"),
        ({"uuid": "NOR_1"}, '"NOR_1" is no uuid'),
        ({"uuid": "nor_01333"}, "is no uuid"),
        ({"uuid": "NOR_1234567890"}, "is no uuid"),
        ({"uuid": "NOR_01333\n"}, "is no uuid"),
        ({"country": "FR"}, '"FR" is no country'),
        ({"country": "fra"}, "is no country"),
        ({"latitude": math.nan}, "not on the globe"),
        ({"longitude": math.inf}, "not on the globe"),
        ({"latitude": 90.1}, "not on the globe"),
        ({"longitude": -180.1}, "not on the globe"),
        ({"name": "Town\0hall"}, "cannot be kept"),
        ({"city": "\ud83d"}, "cannot be kept"),
        ({"evses": (Evse("FR\0", ""),), "outlets": ()}, "cannot be kept"),
        ({"outlets": (Outlet(3, CCS),)}, "connector 1 belongs to an EVSE that is not there"),
        ({"outlets": (Outlet(2, CCS), Outlet(-1, CCS))}, "connector 2 belongs"),
        ({"outlets": (Outlet(2, Connector("X", math.nan)),)}, "connector 1 has a power"),
        ({"outlets": (Outlet(0, CCS),)}, "EVSE 3 has neither an id nor a connector"),
        ({"readings": ((3, reading()),)}, "status of EVSE 4, which is not there"),
        ({"readings": ((-1, reading()),)}, "which is not there"),
        ({"readings": ((0, reading(observed_at=-2)),)}, "impossible time"),
        ({"readings": ((0, reading(observed_at=2**53)),)}, "impossible time"),
        ({"readings": ((0, reading(raw="\udc00")),)}, "cannot be kept"),
    ],
)
def test_what_no_database_should_get_is_a_fault_that_says_what_it_is(
    changes: dict[str, Any], words: str
) -> None:
    told = fault(draft(**changes))
    assert told is not None
    assert words in told


def test_a_station_without_evses_can_be_kept() -> None:
    assert fault(draft(evses=(), outlets=())) is None


def test_an_evse_without_id_gets_the_id_of_its_first_connector() -> None:
    station, _ = completed(draft(), "irve", "FRA_00007")
    assert [evse.key for evse in station.evses] == ["FRABCE1", "FRABCE2", "FRA_00007_03"]
    assert {evse.station for evse in station.evses} == {"FRA_00007"}


def test_a_completed_station_has_uuid_and_register_and_has_not_vanished() -> None:
    station, _ = completed(draft(register="other", vanished_at=5), "irve", "FRA_00007")
    assert (station.uuid, station.register, station.vanished_at) == ("FRA_00007", "irve", None)
    assert station.outlets == draft().station.outlets


def test_readings_get_their_evse_and_the_newest_of_each_counts() -> None:
    old, new = reading(Status.CHARGING, 1000), reading(Status.AVAILABLE, 2000)
    for order in (((1, old), (1, new)), ((1, new), (1, old))):
        _, readings = completed(draft(readings=(*order, (2, old))), "irve", "FRA_00007")
        assert [(each.evse, each.observed_at) for each in readings] == [
            ("FRABCE2", 2000),
            ("FRA_00007_03", 1000),
        ]


def test_an_evse_key_that_stands_twice_is_found_in_every_written_form() -> None:
    station, _ = completed(draft(evses=(Evse("fr*abc*e1", ""), Evse("FRABCE1", ""))), "irve", "FRA_00007")
    assert doubled_key(station) == "FRABCE1"
    assert doubled_key(completed(draft(), "irve", "FRA_00007")[0]) is None


@pytest.mark.parametrize(
    ("observed_at", "status", "replaces"),
    [
        (1001, Status.AVAILABLE, True),
        (1001, Status.CHARGING, True),
        (1000, Status.CHARGING, True),
        (1000, Status.AVAILABLE, False),
        (999, Status.CHARGING, False),
    ],
)
def test_a_reading_replaces_an_older_one_or_one_as_old_that_says_otherwise(
    observed_at: int, status: Status, replaces: bool
) -> None:
    assert supersedes(reading(status, observed_at), reading()) is replaces
    assert supersedes(reading(status, observed_at), None)


anything = st.one_of(st.just(""), st.text(max_size=4), st.sampled_from(["NOR_01333", "FRA", "FRABCE1"]))


@given(
    uuid=anything,
    country=anything,
    key=anything,
    latitude=st.floats(),
    power_kw=st.none() | st.floats(),
    outlet=st.integers(-2, 2),
    observed_at=st.integers(),
    at=st.integers(-2, 2),
)
def test_what_has_no_fault_can_be_completed(  # noqa: PLR0917 - one argument for each part of a draft
    uuid: str,
    country: str,
    key: str,
    latitude: float,
    power_kw: float | None,
    outlet: int,
    observed_at: int,
    at: int,
) -> None:
    given_draft = draft(
        uuid=uuid,
        country=country,
        latitude=latitude,
        evses=(Evse(key, ""),),
        outlets=(Outlet(outlet, Connector("X", power_kw)),),
        readings=((at, reading(observed_at=observed_at)),),
    )
    if fault(given_draft) is None:
        station, readings = completed(given_draft, "irve", uuid or "FRA_00001")
        assert all(evse.key for evse in station.evses)
        assert [each.evse for each in readings] == [station.evses[0].key]


class TestJoined:
    KNOWN, _ = completed(draft(), "oicp:abc", "FRA_00001")

    def part(self, *evses: str, readings: tuple[tuple[int, Reading], ...] = ()) -> StationDraft:
        """A draft of these EVSEs, each with two connectors of another kind."""
        outlets = tuple(
            Outlet(index, Connector("CHADEMO", 50.0)) for index in range(len(evses)) for _ in range(2)
        )
        made = tuple(Evse(each, "") for each in evses)
        return draft(evses=made, outlets=outlets, name="Another name", readings=readings)

    def kinds(self, station: Station) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {evse.key: [] for evse in station.evses}
        for outlet in station.outlets:
            found[station.evses[outlet.evse].key].append(outlet.connector.standard)
        return found

    def test_evses_that_the_draft_lacks_stay_as_they_are(self) -> None:
        own = joined(self.KNOWN, self.part("FRABCE2")).station
        assert own.name == "Another name"
        assert self.kinds(own) == {
            "FRABCE1": ["IEC_62196_T2_COMBO"],
            "FRABCE2": ["CHADEMO", "CHADEMO"],
            "FRA_00001_03": ["IEC_62196_T2_COMBO", "IEC_62196_T2_COMBO"],
        }

    def test_new_ones_come_last(self) -> None:
        own = joined(self.KNOWN, self.part("FRABCE9", "FRABCE1")).station
        assert list(self.kinds(own)) == ["FRABCE1", "FRABCE2", "FRA_00001_03", "FRABCE9"]
        assert self.kinds(own)["FRABCE9"] == ["CHADEMO", "CHADEMO"]

    def test_readings_stay_with_their_evses(self) -> None:
        whole = joined(self.KNOWN, self.part("FRABCE9", "FRABCE2", readings=((0, reading()), (1, reading()))))
        assert [whole.station.evses[index].key for index, _ in whole.readings] == ["FRABCE9", "FRABCE2"]
        assert fault(whole) is None

    def test_a_draft_of_all_of_them_is_as_it_is(self) -> None:
        whole = draft(evses=self.KNOWN.evses)
        assert completed(joined(self.KNOWN, whole), "oicp:abc", "FRA_00001")[0].evses == self.KNOWN.evses
