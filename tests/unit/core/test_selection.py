from __future__ import annotations

from collections.abc import Mapping

import pytest
from tests.building import make_evse, make_station

from ladestrom.core.selection import (
    EVERYTHING,
    EVSE_FILTERS,
    STATION_FILTERS,
    VALUES_MAX,
    Box,
    Selection,
    selection,
)
from ladestrom.errors import InvalidSelection
from ladestrom.model import Status


def read(parameters: Mapping[str, str], names: frozenset[str] = EVSE_FILTERS) -> Selection:
    return selection(parameters, names=names)


class TestReading:
    @pytest.mark.parametrize(
        ("written", "codes"),
        [
            ("NOR", {"NOR"}),
            ("no", {"NOR"}),
            ("DK", {"DAN"}),
            ("DNK,DAN", {"DAN"}),
            (" nor , SWE,fin ", {"NOR", "SWE", "FIN"}),
        ],
    )
    def test_countries_are_what_nobil_writes(self, written: str, codes: set[str]) -> None:
        assert read({"country": written}) == Selection(country=frozenset(codes))

    def test_stations_are_uuids_in_any_case(self) -> None:
        assert read({"station": "nor_01333,NOR_01342"}).station == {"NOR_01333", "NOR_01342"}

    def test_operators_are_names_and_parties(self) -> None:
        assert read({"operator": "Fjord Lading,NO*ABC"}).operator == {
            "fjord lading",
            "no*abc",
            "noabc",
        }

    def test_evses_are_ids_in_any_written_form(self) -> None:
        assert read({"evse": "no*abc*e1,NO-ABC-E2"}).evse == {"NOABCE1", "NOABCE2"}

    def test_evses_may_be_registry_keys(self) -> None:
        assert read({"evse": "nor_01333_01"}).evse == {"NOR_01333_01"}

    @pytest.mark.parametrize(
        "written", ["uid 4711/1", "NO*ABC*E1\u00ad", "\ufb01*ABC*E1", "NOR_01333", "+NO*ABC*E1"]
    )
    def test_what_can_be_no_name_of_an_evse_is_refused(self, written: str) -> None:
        with pytest.raises(InvalidSelection, match="is not an EVSE"):
            read({"evse": written})

    def test_statuses_are_words_in_any_case(self) -> None:
        assert read({"status": "available,CHARGING"}).status == {Status.AVAILABLE, Status.CHARGING}

    def test_a_box_is_west_south_east_north(self) -> None:
        assert read({"bbox": "10,59.5, 11 ,60"}).box == Box(10, 59.5, 11, 60)

    @pytest.mark.parametrize("written", ["-180,-90,180,90", "180,-90,-180,90", "0,5,0,5"])
    def test_a_box_may_be_as_large_as_the_world_or_a_point(self, written: str) -> None:
        west, south, east, north = (float(edge) for edge in written.split(","))
        assert read({"bbox": written}).box == Box(west, south, east, north)

    def test_filters_of_different_kinds_are_read_together(self) -> None:
        wanted = read({"country": "NO", "station": "NOR_00001", "bbox": "0,0,1,1"})
        assert wanted == Selection(
            country=frozenset({"NOR"}), station=frozenset({"NOR_00001"}), box=Box(0, 0, 1, 1)
        )

    @pytest.mark.parametrize("text", ["", " "])
    def test_a_filter_without_value_is_no_filter(self, text: str) -> None:
        assert read(dict.fromkeys(EVSE_FILTERS, text)) is EVERYTHING

    def test_what_is_no_filter_is_not_looked_at(self) -> None:
        assert read({"key": "secret", "colour": "red"}) is EVERYTHING

    def test_only_the_named_filters_are_looked_at(self) -> None:
        assert read({"status": "nonsense", "evse": "NO*ABC*E1"}, STATION_FILTERS) is EVERYTHING

    @pytest.mark.parametrize(
        ("parameters", "hint"),
        [
            ({"country": "1"}, 'country="1" is not a country; write'),
            ({"country": "SWEE"}, 'country="SWEE" is not a country; did you mean SWE?'),
            ({"country": ","}, 'country="," has an empty value'),
            ({"country": "NOR,,SWE"}, "has an empty value"),
            ({"station": "NOR_00001,"}, "has an empty value"),
            ({"operator": " , "}, "has an empty value"),
            ({"evse": ",NO*ABC*E1"}, "has an empty value"),
            ({"status": "AVAILABLE,"}, "has an empty value"),
            ({"status": "AVAILABEL"}, "did you mean AVAILABLE?"),
            ({"country": "NOR,Norge"}, '"Norge"'),
            ({"status": "BUSY"}, "AVAILABLE, BLOCKED"),
            ({"bbox": "1,2,3"}, "minLon,minLat,maxLon,maxLat"),
            ({"bbox": "1,2,3,4,5"}, "minLon,minLat,maxLon,maxLat"),
            ({"bbox": "a,b,c,d"}, "minLon,minLat,maxLon,maxLat"),
            ({"bbox": "nan,0,1,1"}, "not a finite number"),
            ({"bbox": "0,0,1,1e999"}, "not a finite number"),
            ({"bbox": "-181,0,1,1"}, "out of range"),
            ({"bbox": "0,0,181,1"}, "out of range"),
            ({"bbox": "0,-91,1,1"}, "out of range"),
            ({"bbox": "0,0,1,91"}, "out of range"),
            ({"bbox": "0,60,1,59"}, "minLat first"),
        ],
    )
    def test_what_cannot_be_understood_is_refused_with_a_hint(
        self, parameters: dict[str, str], hint: str
    ) -> None:
        with pytest.raises(InvalidSelection) as refused:
            read(parameters)
        assert hint in str(refused.value)

    @pytest.mark.parametrize("name", sorted(EVSE_FILTERS - {"bbox"}))
    def test_a_filter_lists_no_more_than_its_limit(self, name: str) -> None:
        value = {"country": "NO", "status": "UNKNOWN", "evse": "NO*ABC*E1"}.get(name, "NOR_00001")
        read({name: ",".join([value] * VALUES_MAX)})
        with pytest.raises(InvalidSelection, match=f"{VALUES_MAX + 1} values"):
            read({name: ",".join([value] * (VALUES_MAX + 1))})

    @pytest.mark.parametrize("name", ["country", "status", "bbox"])
    def test_a_refusal_does_not_repeat_a_long_value(self, name: str) -> None:
        with pytest.raises(InvalidSelection) as refused:
            read({name: "x" * 60_000})
        assert len(str(refused.value)) < 300

    def test_equal_filters_are_one_however_they_were_written(self) -> None:
        first = read({"country": "NO,SE", "station": "NOR_00001"})
        second = read({"station": "nor_00001", "country": "swe,nor,NO"})
        assert first == second
        assert hash(first) == hash(second)


class TestBox:
    @pytest.mark.parametrize(
        ("longitude", "latitude", "inside"),
        [
            (10, 59, True),
            (11, 60, True),
            (10.5, 59.5, True),
            (9.99, 59.5, False),
            (11.01, 59.5, False),
            (10.5, 58.99, False),
            (10.5, 60.01, False),
        ],
    )
    def test_it_holds_what_is_between_its_edges_and_on_them(
        self, longitude: float, latitude: float, inside: bool
    ) -> None:
        assert Box(10, 59, 11, 60).holds(longitude, latitude) is inside

    @pytest.mark.parametrize(
        ("longitude", "inside"),
        [(179, True), (-179, True), (178, True), (-178, True), (177, False), (0, False)],
    )
    def test_one_across_the_180th_meridian_has_west_beyond_east(self, longitude: float, inside: bool) -> None:
        assert Box(178, -20, -178, -10).holds(longitude, -15) is inside


class TestCovers:
    STATION = make_station(
        "NOR_00001",
        [make_evse("NO*ABC*E1"), make_evse("NO*XYZ*E2", party="NOXYZ"), make_evse("E3", party=None)],
        operator="Fjord Lading",
        longitude=10.75,
        latitude=59.91,
    )

    @pytest.mark.parametrize(
        "parameters",
        [
            {},
            {"country": "NO"},
            {"country": "SE,NO"},
            {"station": "NOR_00001"},
            {"operator": "fjord lading"},
            {"operator": "no-xyz"},
            {"operator": "nobody,NOABC"},
            {"bbox": "10,59,11,60"},
            {"evse": "E3"},
            {"evse": "NO*ABC*E404,NO*XYZ*E2"},
            {"status": "CHARGING"},
            {"country": "NO", "operator": "NOABC", "bbox": "10,59,11,60", "evse": "NO*ABC*E1"},
        ],
    )
    def test_a_station_passes_when_one_value_of_each_filter_fits(self, parameters: dict[str, str]) -> None:
        assert read(parameters).covers(self.STATION)

    @pytest.mark.parametrize(
        "parameters",
        [
            {"country": "SE"},
            {"station": "NOR_00002"},
            {"operator": "fjord"},
            {"operator": "SE*ABC"},
            {"bbox": "11,59,12,60"},
            {"evse": "NO*ABC*E404"},
            {"country": "NO", "station": "NOR_00002"},
        ],
    )
    def test_it_does_not_when_one_filter_has_none_that_fits(self, parameters: dict[str, str]) -> None:
        assert not read(parameters).covers(self.STATION)

    def test_a_station_without_operator_is_known_by_the_parties_of_its_evses(self) -> None:
        station = make_station(evses=1)
        assert read({"operator": "NO*ABC"}).covers(station)
        assert not read({"operator": "NO*XYZ"}).covers(station)
