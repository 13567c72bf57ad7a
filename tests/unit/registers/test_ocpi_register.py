"""Locations of OCPI in a file, and what a Location says of its station."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ladestrom.core import electrical
from ladestrom.core.location_hours import instant
from ladestrom.core.locations import draft, native_id, party_of, status_of
from ladestrom.errors import InvalidRegister
from ladestrom.model import Connector, Status
from ladestrom.ports.registry import RecordRefusal, StationDraft
from ladestrom.registers.ocpi import parse


def location(number: int = 1, **changes: Any) -> dict[str, Any]:
    connector = {"id": "1", "standard": "IEC_62196_T2", "power_type": "AC_3_PHASE"}
    evse = {
        "uid": str(number),
        "evse_id": f"NO*ABC*E{number}",
        "status": "AVAILABLE",
        "connectors": [{**connector, "max_voltage": 230, "max_amperage": 32}],
        "last_updated": "2026-11-01T08:00:00Z",
    }
    return {
        "country_code": "NO",
        "party_id": "ABC",
        "id": f"LOC{number}",
        "name": "Torget",
        "country": "NOR",
        "coordinates": {"latitude": "59.5", "longitude": "10.5"},
        "evses": [evse],
        **changes,
    }


def made(**changes: Any) -> StationDraft:
    found = draft(location(**changes))
    assert isinstance(found, StationDraft)
    return found


def ids(content: str) -> list[str]:
    return [each.station.native_id for each in parse([content.encode()]) if isinstance(each, StationDraft)]


class TestFiles:
    @pytest.mark.parametrize(
        "content",
        [
            json.dumps([location(1), location(2)]),
            json.dumps({"status_code": 1000, "data": [location(1), location(2)], "timestamp": "now"}),
            json.dumps({"data": [location(1)]}) + "\n" + json.dumps({"data": [location(2)]}),
            json.dumps(location(1)) + "\n" + json.dumps(location(2)) + "\n",
            json.dumps({"data": location(1)}) + json.dumps([location(2)]),
        ],
    )
    def test_lists_answers_pages_and_lines_are_read(self, content: str) -> None:
        assert ids(content) == ["NO*ABC*LOC1", "NO*ABC*LOC2"]

    def test_what_is_not_to_be_published_is_passed_over(self) -> None:
        assert ids(json.dumps([location(1, publish=False), location(2)])) == ["NO*ABC*LOC2"]

    def test_of_two_with_one_id_the_first_is_taken(self) -> None:
        found = list(parse([json.dumps([location(1), location(1, id="loc1")]).encode()]))
        assert isinstance(found[1], RecordRefusal)

    def test_one_bad_record_costs_no_other(self) -> None:
        found = list(parse([json.dumps([7, {"id": "x"}, location(2)]).encode()]))
        assert [isinstance(each, StationDraft) for each in found] == [False, False, True]

    @pytest.mark.parametrize("content", ["", "[]", "{}", "7", '[{"id":', '{"status_code":2001}', "[] x"])
    def test_a_file_without_locations_is_none(self, content: str) -> None:
        with pytest.raises(InvalidRegister):
            list(parse([content.encode()]))


class TestStations:
    def test_the_party_is_in_the_object_or_given(self) -> None:
        flat = {name: value for name, value in location().items() if name not in {"country_code", "party_id"}}
        assert isinstance(draft(flat), RecordRefusal)
        found = draft(flat, "NODEF")
        assert isinstance(found, StationDraft)
        assert found.station.evses[0].party == "NODEF"

    @pytest.mark.parametrize(
        ("said", "power_kw"),
        [
            ({"max_electric_power": 150_000}, 150.0),
            ({"power_type": "AC_3_PHASE", "max_voltage": 230, "max_amperage": 32}, 22.08),
            ({"power_type": "AC_3_PHASE", "max_voltage": 400, "max_amperage": 32}, 22.08),
            ({"power_type": "AC_1_PHASE", "voltage": 230, "amperage": 16}, 3.68),
            ({"power_type": "DC", "max_voltage": "920", "max_amperage": 500}, 460.0),
            ({"power_type": "DC", "max_voltage": 920}, None),
            ({"max_electric_power": -1}, None),
        ],
    )
    def test_a_power_is_said_or_made_of_voltage_current_and_phases(
        self, said: dict[str, Any], power_kw: float | None
    ) -> None:
        evse = {**location()["evses"][0], "connectors": [{"standard": "CHADEMO", **said}]}
        connector = made(evses=[evse]).station.outlets[0].connector
        assert connector.max_kw == (power_kw if "max_electric_power" in said else None)
        whole = electrical.completed(connector)
        assert (whole.standard, whole.max_kw) == ("CHADEMO", power_kw)
        assert ("max_kw" in whole.derived) is (power_kw is not None and connector.max_kw is None)

    def test_removed_evses_are_left_out_and_their_ids_do_not_count(self) -> None:
        evse = location()["evses"][0]
        found = made(evses=[{**evse, "uid": "0", "status": "REMOVED"}, evse]).station
        assert [(each.uid, each.key) for each in found.evses] == [("1", "NOABCE1")]

    def test_an_evse_without_connectors_has_one_of_an_unknown_kind(self) -> None:
        evse = {**location()["evses"][0], "connectors": None}
        assert made(evses=[evse]).station.outlets[0].connector == Connector("UNKNOWN")

    def test_contact_data_is_left_out(self) -> None:
        assert made(address="Ring +47 99 99 99 99").station.address == "Ring"

    @pytest.mark.parametrize(
        "changes", [{"coordinates": None}, {"coordinates": {"latitude": "x"}}, {"id": ""}, {"id": "x" * 65}]
    )
    def test_without_id_or_position_it_is_no_station(self, changes: dict[str, Any]) -> None:
        assert isinstance(draft(location(**changes)), RecordRefusal)


class TestWords:
    def test_a_status_that_ocpi_does_not_have_means_nothing(self) -> None:
        assert status_of("AVAILABLE") is Status.AVAILABLE
        assert status_of(" charging ") is Status.CHARGING
        assert status_of("Out of Order") is Status.OUTOFORDER
        assert status_of("FINISHING") is None

    def test_ids_compare_without_case(self) -> None:
        assert native_id("NOABC", " loc1 ") == "NO*ABC*LOC1"
        assert party_of("no", "abc") == "NOABC"
        assert party_of("NOR", "ABC") is None

    @pytest.mark.parametrize(
        ("written", "at"),
        [
            ("2026-11-18T11:06:40Z", 1_795_000_000_000),
            ("2026-11-18T11:06:40.250Z", 1_795_000_000_250),
            ("2026-11-18T11:06:40", 1_795_000_000_000),
            ("2026-11-18T12:06:40+01:00", 1_795_000_000_000),
            ("yesterday", None),
            (1_795_000_000, None),
            (None, None),
        ],
    )
    def test_an_instant_is_utc_where_it_has_no_zone(self, written: object, at: int | None) -> None:
        assert instant(written) == at
