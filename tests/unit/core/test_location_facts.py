"""What a Location of OCPI says beside its place, its ids and its statuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import SharedFile

from ladestrom.core import languages
from ladestrom.core.fields import Notes
from ladestrom.core.location_hours import hours
from ladestrom.core.locations import draft
from ladestrom.model import Connector, Station
from ladestrom.ports.registry import StationDraft
from ladestrom.record import (
    Access,
    Accessibility,
    Contact,
    Details,
    Format,
    Hours,
    Opening,
    Payment,
    Place,
    PowerType,
    Span,
    Terms,
    Vehicle,
)

CCS = {"id": "1", "standard": "IEC_62196_T2_COMBO", "max_electric_power": 150_000}
EVSE = {"uid": "1", "evse_id": "NO*ABC*E1", "status": "AVAILABLE", "connectors": [CCS]}
LOCATION = {
    "country_code": "NO",
    "party_id": "ABC",
    "id": "LOC1",
    "address": "Torget 1",
    "country": "NOR",
    "coordinates": {"latitude": "59.5", "longitude": "10.5"},
}


def read(**changes: Any) -> StationDraft:
    made = draft({**LOCATION, "evses": [EVSE], **changes})
    assert isinstance(made, StationDraft)
    return made


def station(**changes: Any) -> Station:
    return read(**changes).station


def evses(*changes: dict[str, Any], **of_location: Any) -> Station:
    listed = [
        {**EVSE, "uid": str(number), "evse_id": f"NO*ABC*E{number}", **each}
        for number, each in enumerate(changes)
    ]
    return station(evses=listed, **of_location)


class TestDetails:
    def test_a_location_that_says_nothing_has_no_details(self) -> None:
        made = read()
        assert (made.station.details, made.notes) == (Details(), ())

    def test_members_of_the_location_are_members_of_the_record(self) -> None:
        made = read(
            owner={"name": "Havnevik kommune"},
            operator={"name": "ABC", "website": "HTTPS://abc.example/a"},
            help_phone="+47 22 00 00 00",
            postal_code="0001",
            state="Oslo",
            time_zone="europe/oslo",
            parking_type="ON_STREET",
        )
        assert made.station.operator == "ABC"
        assert made.station.details == Details(
            owner="Havnevik kommune",
            contact=Contact(phone="+47 22 00 00 00", web="https://abc.example/a"),
            postal_code="0001",
            region="Oslo",
            time_zone="Europe/Oslo",
            place=Place.STREET,
        )
        assert made.notes == ()

    def test_a_suboperator_operates_where_nobody_else_does_and_an_owner_does_not(self) -> None:
        assert station(suboperator={"name": "Sub"}, owner={"name": "Own"}).operator == "Sub"
        assert station(operator={"name": "Op"}, suboperator={"name": "Sub"}).operator == "Op"
        assert station(owner={"name": "Own"}).operator is None

    @pytest.mark.parametrize(
        ("said", "place"),
        [
            ({"parking_type": "ALONG_MOTORWAY"}, Place.MOTORWAY),
            ({"parking_type": "parking garage"}, Place.GARAGE),
            ({"parking_type": "PARKING_LOT"}, Place.CAR_PARK),
            ({"type": "UNDERGROUND_GARAGE"}, Place.UNDERGROUND_GARAGE),
            ({"type": "OTHER"}, Place.OTHER),
            ({"type": "UNKNOWN"}, None),
            ({"parking_type": None, "type": "ON_STREET"}, Place.STREET),
        ],
    )
    def test_where_it_stands_is_parking_type_or_the_type_of_2_1_1(
        self, said: dict[str, Any], place: Place | None
    ) -> None:
        made = read(**said)
        assert (made.station.details.place, made.notes) == (place, ())

    @pytest.mark.parametrize(
        "said",
        [
            {"parking_type": "MOON"},
            {"parking_type": ["ON_STREET"]},
            {"time_zone": "Mars/Base"},
            {"time_zone": ["Europe/Oslo"]},
            {"opening_times": "24/7"},
            {"opening_times": {"twentyfourseven": False, "exceptional_closings": [{"period_begin": "x"}]}},
            {"images": [{"url": "javascript:alert(1)"}]},
            {"postal_code": {"code": "0001"}},
            {"owner": {"name": ["Own"]}},
            {"operator": {"website": "ftp://abc.example"}},
            {"help_phone": "ask at the desk"},
            {"state": []},
            {"parking_places": [{"id": "1", "max_vehicle_height": 3}]},
        ],
    )
    def test_what_cannot_be_read_is_noted_and_left_out(self, said: dict[str, Any]) -> None:
        made = read(**said)
        assert made.station.details == Details()
        assert len(made.notes) == 1

    def test_pictures_are_those_of_location_and_evses_and_no_logos(self) -> None:
        images = [
            {"url": "https://abc.example/a.jpg", "category": "LOCATION"},
            {"url": "https://abc.example/logo.png", "category": "OPERATOR"},
        ]
        evse = {"images": [{"url": "https://abc.example/e.jpg"}, images[0]]}
        found = evses(evse, images=images).details.images
        assert found == ("https://abc.example/a.jpg", "https://abc.example/e.jpg")

    @pytest.mark.parametrize(
        ("said", "text"),
        [
            ([("en", "Behind"), ("nb", "Bak")], "Bak"),
            ([("en", "Behind"), ("nn-NO", "Attom")], "Attom"),
            ([("de", "Hinten"), ("EN", "Behind")], "Behind"),
            ([("de", "Hinten"), ("fr", "Derrière")], "Hinten"),
            ([("nb", ""), ("de", "Hinten")], "Hinten"),
        ],
    )
    def test_directions_are_in_a_language_of_the_country_else_in_english(
        self, said: list[tuple[str, str]], text: str
    ) -> None:
        directions = [{"language": language, "text": each} for language, each in said]
        assert station(directions=directions).details.directions == text

    @pytest.mark.parametrize("said", ["Bak huset", {"language": "nb", "text": "Bak huset"}, ["Bak huset"]])
    def test_directions_need_not_be_a_list_of_texts_with_languages(self, said: object) -> None:
        assert station(directions=said).details.directions == "Bak huset"

    def test_contact_data_of_people_is_left_out(self) -> None:
        found = station(directions="Ring Ola +47 99 99 99 99", owner={"name": "Ola ola@abc.example"}).details
        assert (found.directions, found.owner) == ("Ring Ola", "Ola")


def opened(**said: Any) -> tuple[Opening | None, tuple[str, ...]]:
    notes = Notes(20)
    return hours(said, notes), notes.all()


def day(weekday: object, begin: object, end: object) -> dict[str, object]:
    return {"weekday": weekday, "period_begin": begin, "period_end": end}


class TestOpening:
    def test_it_is_open_always(self) -> None:
        assert opened(twentyfourseven=True) == (Opening(always=True), ())
        assert opened(twentyfourseven="true", regular_hours=[day(1, "08:00", "16:00")])[0] == Opening(
            always=True
        )

    def test_hours_are_sorted_and_those_that_meet_are_one(self) -> None:
        said = [day(2, "12:00", "16:00"), day(1, "07:00", "12:00"), day(2, "08:00", "12:00")]
        found, notes = opened(twentyfourseven=False, regular_hours=said)
        assert found == Opening(hours=(Hours(1, "07:00", "12:00"), Hours(2, "08:00", "16:00")))
        assert notes == ()

    @pytest.mark.parametrize("end", ["23:59", "24:00", "00:00"])
    def test_a_days_end_is_24_00_and_a_week_without_a_gap_is_always(self, end: str) -> None:
        assert opened(regular_hours=[day(5, "20:00", end)])[0] == Opening(hours=(Hours(5, "20:00", "24:00"),))
        week = [day(number, "00:00", end) for number in range(1, 8)]
        assert opened(regular_hours=week)[0] == Opening(always=True)

    def test_hours_that_end_before_they_begin_last_until_the_next_day(self) -> None:
        assert opened(regular_hours=[day(5, "20:00", "02:00")])[0] == Opening(
            hours=(Hours(5, "20:00", "02:00"),)
        )

    def test_hours_that_cannot_be_read_are_text_so_that_nothing_is_said_closed(self) -> None:
        found, notes = opened(regular_hours=[day(1, "08:00", "16:00"), day(9, "25:00", None)])
        assert found == Opening(hours=(Hours(1, "08:00", "16:00"),), text="weekday 9 25:00-")
        assert len(notes) == 1
        assert opened(regular_hours=[day(9, "25:00", None)])[0] == Opening(text="weekday 9 25:00-")

    @pytest.mark.parametrize(
        ("weekday", "begin", "read"),
        [("1", "8:00", Hours(1, "08:00", "16:00")), (0, "08:00:00", Hours(7, "08:00", "16:00"))],
    )
    def test_other_spellings_are_understood(self, weekday: object, begin: str, read: Hours) -> None:
        assert opened(regular_hours=[day(weekday, begin, "16:00")]) == (Opening(hours=(read,)), ())

    def test_exceptions_are_instants_in_order(self) -> None:
        periods = [
            {"period_begin": "2026-12-25T01:00:00+01:00", "period_end": "2026-12-26T00:00:00Z"},
            {"period_begin": "2026-05-01T00:00:00Z", "period_end": "2026-05-02T00:00:00Z"},
        ]
        spans = (
            Span("2026-05-01T00:00:00Z", "2026-05-02T00:00:00Z"),
            Span("2026-12-25T00:00:00Z", "2026-12-26T00:00:00Z"),
        )
        found, _ = opened(
            twentyfourseven=True, exceptional_closings=periods, exceptional_openings=periods[:1]
        )
        assert found == Opening(always=True, openings=spans[1:], closings=spans)

    def test_nothing_is_known_where_nothing_is_said(self) -> None:
        assert opened(twentyfourseven=False) == (None, ())

    @pytest.mark.parametrize("version", ["2.2.1", "2.3.0"])
    def test_those_of_the_specification_are_understood_as_a_whole(
        self, shared_file: SharedFile, version: str
    ) -> None:
        folder: Path = shared_file(f"reference/ocpi/{version}")
        for path in folder.glob("location_hours*.json"):
            found, notes = opened(**json.loads(path.read_text(encoding="utf-8")))
            assert found is not None
            assert (found.text, notes) == (None, ())


class TestEvses:
    def test_what_is_painted_on_it_and_its_floor(self) -> None:
        (evse,) = evses({"physical_reference": 3, "floor": "-1"}).evses
        assert (evse.label, evse.floor) == ("3", "-1")

    def test_capabilities_say_how_it_is_paid_and_whether_it_can_be_reserved(self) -> None:
        made = evses({"capabilities": ["rfid_reader", "RESERVABLE", "PED_TERMINAL"]})
        assert made.evses[0].capabilities == ("RFID_READER", "RESERVABLE", "PED_TERMINAL")
        assert made.details == Details(payment=Payment(card=True, ad_hoc=True), reservable=True)
        assert made.evses[0].terms is None

    def test_contactless_cards_are_cards_and_what_is_absent_is_not_known(self) -> None:
        found = evses({"capabilities": ["CONTACTLESS_CARD_SUPPORT"]}).details
        assert found.payment == Payment(card=True, contactless=True, ad_hoc=True)
        assert evses({"capabilities": ["RFID_READER"]}).details == Details()

    @pytest.mark.parametrize(
        ("restrictions", "terms"),
        [
            (["CUSTOMERS"], Terms(access=Access.VISITORS)),
            (["EMPLOYEES"], Terms(access=Access.EMPLOYEES)),
            (["TENANTS"], Terms(access=Access.RESIDENTS)),
            (["CUSTOMERS", "EMPLOYEES"], Terms(access=Access.RESTRICTED)),
            (["DISABLED"], Terms(accessibility=Accessibility.RESERVED)),
            (["MOTORCYCLES"], Terms(vehicles=(Vehicle.MOTORCYCLE,))),
            (["EV_ONLY", "PLUGGED"], Terms()),
        ],
    )
    def test_parking_restrictions_say_who_may_charge_what(
        self, restrictions: list[str], terms: Terms
    ) -> None:
        found = evses({"parking_restrictions": restrictions}).details
        assert {name: getattr(found, name) for name in Terms.__struct_fields__} == {
            name: getattr(terms, name) for name in Terms.__struct_fields__
        }

    def test_terms_that_not_all_have_are_those_of_the_evses(self) -> None:
        made = evses(
            {"parking_restrictions": ["CUSTOMERS", "DISABLED"], "capabilities": ["RESERVABLE"]},
            {"parking_restrictions": ["CUSTOMERS"], "capabilities": ["RESERVABLE"]},
        )
        assert made.details == Details(access=Access.VISITORS, reservable=True)
        own = Terms(access=Access.VISITORS, accessibility=Accessibility.RESERVED, reservable=True)
        assert [evse.terms for evse in made.evses] == [own, None]

    def test_parking_places_say_what_fits_there(self) -> None:
        places = [
            {"id": "a", "vehicle_types": ["RIGID", "BUS"], "max_vehicle_height": 400, "time_limit": 60},
            {"id": "b", "vehicle_types": ["PERSONAL_VEHICLE", "DISABLED"], "max_vehicle_height": 210},
            {
                "id": "c",
                "vehicle_types": ["DISABLED"],
                "restricted_to_type": True,
                "reservation_required": True,
            },
        ]
        made = evses(
            {"parking": [{"parking_id": "a"}, {"parking_id": "b"}]},
            {"parking": [{"parking_id": "c"}]},
            {"parking": [{"parking_id": "elsewhere"}]},
            parking_places=places,
        )
        assert [evse.terms for evse in made.evses] == [
            Terms(
                accessibility=Accessibility.ACCESSIBLE,
                vehicles=(Vehicle.CAR, Vehicle.TRUCK, Vehicle.BUS),
                max_height_m=4.0,
            ),
            Terms(accessibility=Accessibility.RESERVED, vehicles=(Vehicle.CAR,), reservable=True),
            None,
        ]
        assert made.details.time_limit_min is None
        assert evses({}, parking_places=places[:1]).details.time_limit_min == 60

    def test_odd_lists_cost_nothing_else(self) -> None:
        made = read(
            evses=[{**EVSE, "capabilities": [{"a": 1}, "RESERVABLE"], "parking_restrictions": "MOON"}]
        )
        assert made.station.evses[0].capabilities == ("RESERVABLE",)
        assert len(made.notes) == 3


class TestConnectors:
    def read(self, **said: Any) -> tuple[Connector, tuple[str, ...]]:
        made = read(evses=[{**EVSE, "connectors": [{"id": "1", "standard": "IEC_62196_T2", **said}]}])
        return made.station.outlets[0].connector, made.notes

    def test_all_of_it_is_read_in_every_version(self) -> None:
        said = {"format": "CABLE", "power_type": "AC_3_PHASE"}
        expected = Connector(
            "IEC_62196_T2",
            format=Format.CABLE,
            power_type=PowerType.AC_3_PHASE,
            max_v=230.0,
            max_a=32.0,
        )
        assert self.read(**said, voltage=230, amperage="32") == (expected, ())
        assert self.read(**said, max_voltage=400, max_amperage=32) == (expected, ())

    @pytest.mark.parametrize(
        "said",
        [
            {"format": "ROPE"},
            {"format": ["CABLE"]},
            {"power_type": "AC_9_PHASE"},
            {"max_voltage": -1},
            {"max_voltage": {"v": 230}},
            {"max_amperage": "many"},
            {"max_electric_power": 10**9},
            {"max_electric_power": True},
        ],
    )
    def test_what_cannot_be_read_is_noted_and_left_out(self, said: dict[str, Any]) -> None:
        found, notes = self.read(**said)
        assert found == Connector("IEC_62196_T2")
        assert len(notes) == 1


class TestLanguages:
    def test_every_country_is_one_and_every_language_has_two_letters(self) -> None:
        for land, spoken in languages.SPOKEN.items():
            assert len(land) == 3
            assert all(len(each) == 2 for each in spoken)

    def test_a_text_without_language_most_likely_is_in_the_first(self) -> None:
        assert (languages.of("NOR"), languages.of("DAN"), languages.of("XXX")) == ("nb", "da", None)
        assert languages.chosen([], "NOR") == ""
