"""What NOBIL's fields and attributes say of stations, EVSEs and connectors beside identities and statuses."""

from __future__ import annotations

import zoneinfo
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from tests.unit.registers.test_nobil import attribute, connector, document, draft, station

from ladestrom.model import NEVER, Connector, Evse
from ladestrom.ports.registry import StationDraft
from ladestrom.record import (
    Access,
    Details,
    Format,
    Hours,
    Id,
    Opening,
    Payment,
    Place,
    PowerType,
    Terms,
    Vehicle,
)
from ladestrom.registers import nobil
from ladestrom.registers.limits import DEFAULT
from ladestrom.registers.nobil_facts import updated_at

BASE = "https://www.nobil.no/img/ladestasjonbilder/"


def of_station(*attributes: dict[str, Any], conn: object = None, **fields: object) -> StationDraft:
    own = station(conn=conn, **fields)
    st: dict[str, Any] = {}
    for one in attributes:
        st |= one
    conn_ = own["attr"]["conn"]  # type: ignore[index]
    own["attr"] = {"st": st, "conn": conn_}
    (found,) = nobil.parse([document(own)])
    assert isinstance(found, StationDraft), found
    return found


def one_connector(**attributes: dict[str, Any]) -> Connector:
    found = connector()
    for one in attributes.values():
        found |= one
    return draft(found).station.outlets[0].connector


def test_a_station_that_says_nothing_else_has_owner_and_the_registers_licence() -> None:
    assert draft().station.details == Details(
        owner="Strandvik Lading", licence="CC-BY-4.0", attribution="NOBIL.no"
    )


@pytest.mark.parametrize(
    ("field", "written", "member", "value"),
    [
        ("Owned_by", "Strandvik &amp; S&oslash;nn", "owner", "Strandvik & Sønn"),
        ("Zipcode", "0166", "postal_code", "0166"),
        ("Zipcode", 1789, "postal_code", "1789"),
        ("Zipcode", "752 37", "postal_code", "752 37"),
        ("Municipality", "HALDEN", "municipality", "HALDEN"),
        ("Municipality_ID", "0101", "municipality_code", "0101"),
        ("County", "Østfold", "region", "Østfold"),
        (
            "Description_of_location",
            "Ved kaia.\r\nP&aring; h&oslash;yre side.",
            "directions",
            "Ved kaia. På høyre side.",
        ),
        ("Image", "1415.jpg", "images", (f"{BASE}1415.jpg",)),
        ("Image", "1415.PNG", "images", (f"{BASE}1415.PNG",)),
        ("Image", "Kommer", "images", ()),
        ("Image", "no.image.svg", "images", ()),
        ("Image", "../../admin.php", "images", ()),
        ("Image", "https://example.org/1.jpg", "images", ()),
        ("ocpidb_mapping_stasjon_id", "no#abc#335b4f24-1", "ids", (Id("ocpi", "NO/ABC/335b4f24-1"),)),
        ("ocpidb_mapping_stasjon_id", "", "ids", ()),
        ("ocpidb_mapping_stasjon_id", "NO#ABC#", "ids", ()),
        ("ocpidb_mapping_stasjon_id", "NO#ABC#a@b.example", "ids", ()),
        ("ocpidb_mapping_stasjon_id", "NO#ABC#" + "x" * 37, "ids", ()),
    ],
)
def test_a_field_is_this_member_of_the_record(
    field: str, written: object, member: str, value: object
) -> None:
    one = draft(**{field: written})
    assert getattr(one.station.details, member) == value
    assert one.notes == ()


@pytest.mark.parametrize(
    ("field", "written", "note"),
    [
        ("Zipcode", "?", 'its postal code "?" is not valid and was ignored'),
        ("Zipcode", "STRANDVIK SENTRUM", 'its postal code "STRANDVIK SENTRUM" is not valid and was ignored'),
        ("Municipality_ID", "Halden", 'its Municipality_ID "Halden" is not valid and was ignored'),
    ],
)
def test_what_is_not_valid_is_noted_and_left_out(field: str, written: object, note: str) -> None:
    assert draft(**{field: written}) == msgspec.structs.replace(draft(), notes=(note,))


@pytest.mark.parametrize(
    ("given", "member", "value"),
    [
        (attribute("2", choice="1"), "access", Access.PUBLIC),
        (attribute("2", choice="2"), "access", Access.VISITORS),
        (attribute("2", choice="3"), "access", Access.EMPLOYEES),
        (attribute("2", choice="4"), "access", Access.APPOINTMENT),
        (attribute("2", choice="5"), "access", Access.RESIDENTS),
        (attribute("2", text="By appointment"), "access", Access.APPOINTMENT),
        (attribute("2", choice="1", text="Public"), "access_text", None),
        (attribute("2", choice="9", text="Members"), "access", None),
        (attribute("2", choice="9", text="Members"), "access_text", "Members"),
        (attribute("3", choice="1"), "place", Place.STREET),
        (attribute("3", choice="2"), "place", Place.CAR_PARK),
        (attribute("3", choice="3"), "place", Place.TRANSPORT_HUB),
        (attribute("3", choice="4"), "place", Place.SHOPPING),
        (attribute("3", choice="5"), "place", Place.TRANSPORT_HUB),
        (attribute("3", choice="6"), "place", Place.HOSPITALITY),
        (attribute("3", choice="7"), "place", Place.FUEL_STATION),
        (attribute("3", text="Hotel &amp; restaurants"), "place", Place.HOSPITALITY),
        (attribute("3", choice="99", text="Moon"), "place", None),
        (attribute("6", choice="1", text="Yes", entered="2 timer"), "time_limit_min", 120),
        (attribute("6", choice="1", text="Yes", entered="Max 30 min."), "time_limit_min", 30),
        (attribute("6", choice="1", text="Yes", entered="0 min"), "time_limit_min", None),
        (attribute("6", choice="1", text="Yes", entered="2 timer, natt fri"), "time_limit_min", None),
        (attribute("6", choice="2", text="No"), "time_limit_min", None),
        (attribute("7", choice="1", text="Yes"), "parking_fee", True),
        (attribute("7", choice="2", text="No", entered=False), "parking_fee", False),
        (attribute("7", text="no"), "parking_fee", False),
        (attribute("7"), "parking_fee", None),
        (attribute("24", choice="1", text="Yes", entered="1"), "opening", Opening(always=True)),
        (attribute("24", choice="2", text="No"), "opening", Opening(always=False)),
        (
            attribute("24", choice="2", text="No", entered="Mo 05:00-01:00"),
            "opening",
            Opening(hours=(Hours(1, "05:00", "01:00"),)),
        ),
        (
            attribute("24", choice="2", text="No", entered="Man-fre 07-21.30"),
            "opening",
            Opening(always=False, text="Man-fre 07-21.30"),
        ),
        (
            attribute("24", choice="2", text="No", entered="24/7"),
            "opening",
            Opening(always=False, text="24/7"),
        ),
        (attribute("24", entered="Mo 05:00-01:00"), "opening", Opening(hours=(Hours(1, "05:00", "01:00"),))),
        (attribute("24"), "opening", None),
    ],
)
def test_an_attribute_of_a_station_is_this_member(given: dict[str, Any], member: str, value: object) -> None:
    one = of_station(given)
    assert getattr(one.station.details, member) == value
    assert one.notes == ()


@pytest.mark.parametrize(
    ("given", "member", "value"),
    [
        (attribute("18", choice="1", text="Yes"), "reservable", True),
        (attribute("18", choice="2", text="No"), "reservable", False),
        (attribute("17", choice="1", text="All vehicles"), "vehicles", ()),
        (attribute("17", choice="15", text="All rechargeable vehicles"), "vehicles", ()),
        (attribute("17", choice="1", text="Rechargeable cars and vans"), "vehicles", (Vehicle.CAR,)),
        (
            attribute("17", choice="10", text="Rechargeable medium or heavy trucks"),
            "vehicles",
            (Vehicle.TRUCK,),
        ),
        (
            attribute("17", choice="14", text="Rechargeable buses and trucks"),
            "vehicles",
            (Vehicle.TRUCK, Vehicle.BUS),
        ),
        (attribute("17", choice="3", text="Two-wheel mopeds"), "vehicles", (Vehicle.MOTORCYCLE,)),
        (attribute("17", choice="4", text="Electrical bikes"), "vehicles", (Vehicle.BICYCLE,)),
        (attribute("17", choice="20", text="Rechargeable boats"), "vehicles", ()),
        (attribute("1", choice="5", text="Payment"), "payment", Payment(free=False)),
        (attribute("1", choice="1", text="Open"), "payment", None),
        (attribute("19", choice="1", text="Cellular phone"), "payment", Payment(other=True)),
        (attribute("19", choice="2", text="Bank card"), "payment", Payment(card=True)),
        (
            attribute("19", choice="21", text="VISA, Mastercard, Charging card"),
            "payment",
            Payment(card=True, other=True),
        ),
        (attribute("19", choice="10", text="Miscellaneous"), "payment", Payment(other=True)),
        (attribute("19", choice="99", text=""), "payment", None),
    ],
)
def test_an_attribute_of_all_connectors_is_this_member_of_the_station(
    given: dict[str, Any], member: str, value: object
) -> None:
    one = draft(connector() | given, connector() | given)
    assert getattr(one.station.details, member) == value
    assert [evse.terms for evse in one.station.evses] == [None, None]


def test_evses_that_differ_have_terms_of_their_own_with_their_stations_access() -> None:
    yes, no = attribute("18", choice="1"), attribute("18", choice="2")
    pays = attribute("1", choice="5", text="Payment")
    numbered = {"1": connector() | yes | pays, "2": connector() | no | pays}
    one = of_station(attribute("2", choice="2"), conn=numbered).station
    assert (one.details.access, one.details.payment, one.details.reservable) == (
        Access.VISITORS,
        Payment(free=False),
        None,
    )
    assert [evse.terms for evse in one.evses] == [
        Terms(access=Access.VISITORS, payment=Payment(free=False), reservable=reservable)
        for reservable in (True, False)
    ]


def test_what_connectors_of_one_evse_say_differently_it_does_not_say() -> None:
    first = connector(evse_id="NO*ABC*E1") | attribute("18", choice="1") | attribute("17", text="cars")
    second = connector(evse_id="NO*ABC*E1") | attribute("18", choice="2") | attribute("17", text="cars")
    one = draft(first, second).station
    assert (one.details.reservable, one.details.vehicles) == (None, (Vehicle.CAR,))
    assert one.evses[0].terms is None


def evses(*connectors: dict[str, Any]) -> tuple[Evse, ...]:
    return draft(*connectors).station.evses


@pytest.mark.parametrize("way", [attribute("1", choice="4"), attribute("1", text="RFID")])
def test_an_evse_that_is_opened_by_rfid_reads_it(way: dict[str, Any]) -> None:
    assert [evse.capabilities for evse in evses(connector() | way, connector())] == [("RFID_READER",), ()]


@pytest.mark.parametrize(
    ("kind", "said", "format_"),
    [
        ("32", "1", Format.CABLE),
        ("32", "2", Format.SOCKET),
        ("32", "", None),
        ("14", "2", Format.SOCKET),
        ("30", "1", Format.CABLE),
    ],
)
def test_attribute_25_is_the_format(kind: str, said: str, format_: Format | None) -> None:
    assert one_connector(a=attribute("4", choice=kind), b=attribute("25", choice=said)).format == format_


def test_a_plug_that_is_never_a_socket_is_none_for_nobil_either() -> None:
    one = draft(connector("39", power="24") | attribute("25", choice="2", text="No"))
    assert one.station.outlets[0].connector.format is None
    assert one.notes == ("IEC_62196_T2_COMBO is never a socket; that it has no fixed cable was ignored",)


@pytest.mark.parametrize(
    ("kind", "number", "text", "mode", "expected"),
    [
        ("32", "11", "22 kW - 400V 3-phase max 32A", "3", (PowerType.AC_3_PHASE, 230.0, 32.0)),
        ("32", "8", "7,4 kW - 230V 1-phase max 32A", "", (PowerType.AC_1_PHASE, 230.0, 32.0)),
        ("32", "16", "230V 3-phase max 16A", "", (PowerType.AC_3_PHASE, None, 16.0)),
        ("14", "7", "230V 1-phase max 16A", "1", (PowerType.AC_1_PHASE, 230.0, 16.0)),
        ("30", "13", "50 kW - 500VDC max 100A", "4", (PowerType.DC, 500.0, 100.0)),
        ("39", "24", "150 kW DC", "", (PowerType.DC, None, None)),
        ("32", "10", "", "", (PowerType.AC_3_PHASE, None, None)),
        ("32", "7", "", "", (PowerType.AC_1_PHASE, None, None)),
        ("39", "13", "", "", (PowerType.DC, None, None)),
        ("32", "", "", "3", (None, None, None)),
        ("40", "", "", "4", (PowerType.DC, None, None)),
        ("32", "0", "Unspecified", "", (None, None, None)),
        (
            "43",
            "20",
            "Less then 100 kW + 43 kW - 500VDC max 200A + 400V 3-phase max 63A",
            "",
            (PowerType.DC, None, None),
        ),
        (
            "32",
            "20",
            "Less then 100 kW + 43 kW - 500VDC max 200A + 400V 3-phase max 63A",
            "",
            (None, None, None),
        ),
        ("43", "11", "22 kW - 400V 3-phase max 32A", "", (None, None, None)),
        ("32", "11", "0 kW - 0V 1-phase max 0A", "", (PowerType.AC_1_PHASE, None, None)),
    ],
)
def test_attributes_5_and_20_are_the_kind_of_electricity(
    kind: str,
    number: str,
    text: str,
    mode: str,
    expected: tuple[PowerType | None, float | None, float | None],
) -> None:
    one = one_connector(
        a=attribute("4", choice=kind),
        b=attribute("5", choice=number, text=text),
        c=attribute("20", choice=mode),
    )
    assert (one.power_type, one.max_v, one.max_a) == expected
    assert one.derived == ()


def test_alternating_current_out_of_a_plug_for_direct_current_is_noted_and_left_out() -> None:
    one = draft(connector("30", power="11"))
    assert one.station.outlets[0].connector == Connector("CHADEMO", 22.0)
    assert one.notes == ("CHADEMO takes direct current only; AC_3_PHASE was ignored",)


# When it was updated


@pytest.mark.parametrize(
    ("said", "millis"),
    [
        ("2024-01-06 07:08:09", 1_704_521_289_000),
        ("2024-07-06 07:08:09", 1_720_242_489_000),
        ("2024-07-06T07:08:09Z", 1_720_249_689_000),
        ("2024-07-06T07:08:09+02:00", 1_720_242_489_000),
        ("", NEVER),
        ("0000-00-00 00:00:00", NEVER),
        ("soon", NEVER),
        (7, NEVER),
    ],
)
def test_the_record_was_updated_at_norwegian_time(said: object, millis: int) -> None:
    assert draft(Updated=said).updated_at == millis


def test_norwegian_time_is_that_of_the_tz_database() -> None:
    try:
        oslo = zoneinfo.ZoneInfo("Europe/Oslo")
    except zoneinfo.ZoneInfoNotFoundError:
        pytest.skip("this machine has no tz database")
    local = datetime(2010, 1, 2)  # noqa: DTZ001 - local time
    while local.year < 2040:
        expected = int(local.replace(tzinfo=oslo).timestamp()) * 1_000
        assert updated_at(f"{local:%Y-%m-%d %H:%M:%S}") == expected, local
        local += timedelta(minutes=30 if local.month in {3, 10} and local.day > 24 else 720)


# Bad input


def test_texts_are_cleaned_and_cut() -> None:
    hostile = "Ring\u202e Kari\x00 90 00 00 00, post@example.org <b>nå</b> " * 5_000
    one = of_station(
        attribute("24", choice="2", entered=hostile),
        attribute("2", text=hostile),
        attribute("6", entered=hostile),
        Description_of_location=hostile,
        Owned_by=hostile,
        Municipality=hostile,
        County=hostile,
        Zipcode=hostile,
        Image=hostile,
    )
    out = msgspec.json.encode(one).decode()
    assert len(out) < 10_000
    assert "@" not in out
    assert "90 00 00" not in out
    assert "\u202e" not in out
    assert "\\u0000" not in out
    small = msgspec.structs.replace(DEFAULT, prose_chars_max=8, text_chars_max=8)
    (cut,) = nobil.parse([document(station(Description_of_location="Ved kaia og brygga"))], limits=small)
    assert isinstance(cut, StationDraft)
    assert cut.station.details.directions == "Ved kaia"


@pytest.mark.parametrize("st", [None, [], "", 7, {"24": "x"}, {"24": {"attrvalid": {}}}, {"24": None}])
def test_attributes_that_are_none_say_nothing(st: object) -> None:
    own = station()
    own["attr"] = {"st": st, "conn": {"1": connector()}}
    assert list(nobil.parse([document(own)])) == [draft()]
