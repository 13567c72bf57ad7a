"""What OICP data records say beside ids and places."""

from __future__ import annotations

from typing import Any

import pytest

from ladestrom.core.fields import Notes
from ladestrom.model import NEVER, Connector
from ladestrom.protocols import oicp_facts
from ladestrom.record import (
    Access,
    Contact,
    Details,
    Format,
    Hours,
    Id,
    Opening,
    Payment,
    Place,
    PowerType,
    Terms,
)


def details(**fields: Any) -> tuple[Details, tuple[str, ...]]:
    notes = Notes(20)
    return oicp_facts.details(fields, Terms(), "NOR", notes), notes.all()


def terms(**fields: Any) -> Terms:
    return oicp_facts.terms(fields, Notes(20))


def test_a_record_that_says_nothing_has_no_details() -> None:
    assert details() == (Details(), ())
    assert terms() == Terms()
    assert oicp_facts.updated_at({}) == NEVER


def test_members_of_a_record_are_members_of_the_stations() -> None:
    assert details(
        ChargingStationId="S1",
        SubOperatorName="Kommunen",
        HotlinePhoneNumber="+4722000000",
        AccessibilityLocation="OnStreet",
        Accessibility="Free publicly accessible",
        Address={"PostalCode": "0001", "Region": "Oslo", "TimeZone": "Europe/Oslo"},
        ChargingStationImage=["https://abc.example/a.jpg"],
        ChargingStationLocationReference={"lang": "nb", "value": "Bak huset"},
    ) == (
        Details(
            ids=(Id("oicp", "S1"),),
            owner="Kommunen",
            contact=Contact(phone="+4722000000"),
            postal_code="0001",
            region="Oslo",
            time_zone="Europe/Oslo",
            place=Place.STREET,
            parking_fee=False,
            images=("https://abc.example/a.jpg",),
            directions="Bak huset",
        ),
        (),
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"AccessibilityLocation": "Moon"},
        {"Accessibility": "Moon"},
        {"HotlinePhoneNumber": "ask Ola"},
        {"ChargingStationImage": "javascript:alert(1)"},
        {"Address": {"TimeZone": "Mars/Base"}},
    ],
)
def test_what_cannot_be_read_is_noted_and_left_out(fields: dict[str, Any]) -> None:
    found, notes = details(**fields)
    assert found == Details()
    assert len(notes) == 1


def test_an_offset_is_no_time_zone_and_not_odd() -> None:
    assert details(Address={"TimeZone": "UTC+01:00"}) == (Details(), ())


@pytest.mark.parametrize(
    ("fields", "opening"),
    [
        ({"IsOpen24Hours": "true"}, Opening(always=True)),
        ({"IsOpen24Hours": False}, None),
        (
            {"OpeningTimes": [{"on": "Monday", "Period": [{"begin": "07:00", "end": "22:00"}]}]},
            Opening(hours=(Hours(1, "07:00", "22:00"),)),
        ),
        (
            {"OpeningTimes": {"on": "Weekend", "Period": {"begin": "07:00", "end": "23:59"}}},
            Opening(hours=(Hours(6, "07:00", "24:00"), Hours(7, "07:00", "24:00"))),
        ),
        (
            {"OpeningTimes": [{"on": "Everyday", "Period": [{"begin": "00:00", "end": "24:00"}]}]},
            Opening(always=True),
        ),
        ({"OpeningTimes": [{"unstructuredOpeningTime": "as the shop"}]}, Opening(text="as the shop")),
        ({"OpeningTimes": [{"on": "Monday", "Period": "noon"}]}, Opening(text="Monday: not known")),
        (
            {
                "OpeningTimes": [
                    {"on": "Monday", "Period": [{"begin": "07:00", "end": "22:00"}]},
                    {"on": "Sunday"},
                ]
            },
            Opening(hours=(Hours(1, "07:00", "22:00"),), text="Sunday: not known"),
        ),
    ],
)
def test_it_is_open_when_it_says_so(fields: dict[str, Any], opening: Opening | None) -> None:
    assert details(**fields)[0].opening == opening


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"Accessibility": "Paying publicly accessible"}, Terms(access=Access.PUBLIC)),
        ({"Accessibility": "Restricted access"}, Terms(access=Access.RESTRICTED)),
        ({"Accessibility": "Test Station"}, Terms()),
        ({"PaymentOptions": ["No Payment"]}, Terms(payment=Payment(free=True))),
        ({"PaymentOptions": "Direct"}, Terms(payment=Payment(free=False, ad_hoc=True))),
        ({"PaymentOptions": ["Contract"]}, Terms(payment=Payment(free=False))),
        ({"AuthenticationModes": ["Direct Payment"]}, Terms(payment=Payment(ad_hoc=True))),
        ({"ValueAddedServices": ["Reservation"]}, Terms(reservable=True)),
        ({"ValueAddedServices": ["None"]}, Terms(reservable=False)),
        ({"ValueAddedServices": ["ParkingSensors"]}, Terms()),
    ],
)
def test_terms_are_access_payment_and_reservation(fields: dict[str, Any], expected: Terms) -> None:
    assert terms(**fields) == expected


def test_capabilities_have_words_of_ocpi() -> None:
    modes = ["NFC RFID Classic", "NFC RFID DESFire", "REMOTE", "PnC"]
    assert oicp_facts.capabilities({"AuthenticationModes": modes}, Terms(reservable=True)) == (
        "RFID_READER",
        "REMOTE_START_STOP_CAPABLE",
        "RESERVABLE",
    )


def test_a_facility_says_what_its_plug_gives() -> None:
    notes = Notes(20)
    facility = {"PowerType": "AC_3_PHASE", "Voltage": 400, "Amperage": "32", "Power": 22}
    assert oicp_facts.connector("Type 2 Outlet", facility, notes) == Connector(
        "IEC_62196_T2", 22.0, Format.SOCKET, PowerType.AC_3_PHASE, 230, 32
    )
    odd = {"PowerType": "Unspecified", "Voltage": -1, "Amperage": "many", "Power": 10**6}
    assert oicp_facts.connector("Type 2 Connector (Cable Attached)", odd, notes) == Connector(
        "IEC_62196_T2", format=Format.CABLE
    )
    assert len(notes.all()) == 3
    assert oicp_facts.connector("Moon Connector", "22 kW", notes) == Connector("UNKNOWN")
