from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.building import CCS, TYPE_2, make_evse, make_evses, make_station

from ladestrom.core.differences import VALUE_CHARACTERS_MAX, between
from ladestrom.model import Connector, Evse, Outlet, Station
from ladestrom.ports.registry import Difference
from ladestrom.record import (
    Access,
    Accessibility,
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
    Vehicle,
)

STATION = make_station(evses=2)
FULL = Details(
    access=Access.PUBLIC,
    access_text="round the clock",
    accessibility=Accessibility.ACCESSIBLE,
    vehicles=(Vehicle.CAR, Vehicle.TRUCK),
    max_height_m=2.1,
    payment=Payment(free=False, card=True),
    tariff_text="4.50 a kWh",
    reservable=True,
    ids=(Id("nobil", "NOR_01333"),),
    brand="Alfa",
    owner="Beta",
    contact=Contact("+47 22 00 00 00", "post@alfa.example", "https://alfa.example"),
    postal_code="0150",
    municipality="Oslo",
    municipality_code="0301",
    region="Oslo",
    time_zone="Europe/Oslo",
    opening=Opening(always=True),
    place=Place.GARAGE,
    parking_fee=True,
    time_limit_min=60,
    images=("https://alfa.example/1.jpg",),
    directions="Level 2",
    licence="CC0-1.0",
    attribution="Alfa",
    derived=("time_zone",),
)


def with_details(details: Details, **members: Any) -> Station:
    return make_station(evses=2, details=details, **members)


def found(before: Station, after: Station) -> dict[str, tuple[Any, Any]]:
    return {each.field: (each.before, each.after) for each in between(before, after)}


def test_a_record_does_not_differ_from_itself_nor_in_what_is_not_shown() -> None:
    later = msgspec.structs.replace(STATION, told=7, updated_at=9, vanished_at=11)
    assert between(STATION, STATION) == ()
    assert between(STATION, later) == ()


def test_members_are_told_with_what_they_were_and_are() -> None:
    after = make_station(evses=2, operator="Beta", longitude=11.0, city="Oslo")
    assert found(make_station(evses=2, operator="Alfa"), after) == {
        "operator": ("Alfa", "Beta"),
        "city": (None, "Oslo"),
        "position": ("59.9, 10.7", "59.9, 11.0"),
    }


def test_every_member_of_details_is_told_by_its_name() -> None:
    told = found(STATION, with_details(FULL))
    assert {field for field, (before, after) in told.items() if before is None and after is not None} == {
        *(set(Details.__struct_fields__) - {"payment", "contact"}),
        "payment.free",
        "payment.card",
        "contact.phone",
        "contact.email",
        "contact.web",
    }
    assert told["opening"] == (None, "24/7")
    assert told["vehicles"] == (None, "car | truck")
    assert told["ids"] == (None, "nobil=NOR_01333")
    assert told["max_height_m"] == (None, 2.1)
    assert told["payment.free"] == (None, False)
    assert found(with_details(FULL), STATION) == {field: (was, None) for field, (_, was) in told.items()}


def test_hours_are_told_as_text_and_long_texts_are_shortened() -> None:
    hours = Opening(hours=(Hours(1, "08:00", "18:00"),))
    told = found(with_details(Details(opening=Opening(text="by day"))), with_details(Details(opening=hours)))
    assert told == {"opening": ("by day", '{"hours":[{"weekday":1,"begin":"08:00","end":"18:00"}]}')}
    ((_, after),) = found(STATION, with_details(Details(directions="x" * 1_000))).values()
    assert after == "x" * VALUE_CHARACTERS_MAX + "..."


def test_evses_are_told_by_their_ids() -> None:
    first, second, third = make_evses(3)
    before = make_station(evses=[first, second])
    after = make_station(
        evses=[third, msgspec.structs.replace(first, label="A1", terms=Terms(access=Access.PUBLIC))]
    )
    assert between(before, after) == (
        Difference("evse", "NO*ABC*E1*002", None),
        Difference("evse", None, "NO*ABC*E1*003"),
        Difference("evse.label", None, "A1", "NO*ABC*E1*001"),
        Difference("evse.access", None, "public", "NO*ABC*E1*001"),
    )


def test_connectors_are_told_by_their_places() -> None:
    other = Connector("IEC_62196_T2", 11.0, Format.CABLE, PowerType.AC_3_PHASE)

    def plugged(*connectors: Connector) -> Station:
        return make_station(outlets=tuple(Outlet(0, each) for each in connectors))

    assert between(plugged(CCS, TYPE_2), plugged(CCS, other)) == (
        Difference("connector.max_kw", 22.0, 11.0, "NO*ABC*E1*001", 2),
        Difference("connector.format", None, "CABLE", "NO*ABC*E1*001", 2),
        Difference("connector.power_type", None, "AC_3_PHASE", "NO*ABC*E1*001", 2),
    )
    assert between(plugged(CCS), plugged(CCS, Connector("CHADEMO"))) == (
        Difference(
            "connectors", "IEC_62196_T2_COMBO 150 kW", "IEC_62196_T2_COMBO 150 kW, CHADEMO", "NO*ABC*E1*001"
        ),
    )


def test_another_order_is_told() -> None:
    first, second = make_evses(2)
    told = found(make_station(evses=[first, second]), make_station(evses=[second, first]))
    assert told == {"evse order": ("NOABCE1001, NOABCE1002", "NOABCE1002, NOABCE1001")}
    outlets = tuple(Outlet(place, TYPE_2) for place in (0, 1))
    told = found(make_station(evses=2, outlets=outlets), make_station(evses=2, outlets=outlets[::-1]))
    assert list(told) == ["connector order"]


TEXTS = st.sampled_from(["a", "b"])
CONNECTORS = st.builds(
    Connector, TEXTS, st.none() | st.just(22.0), derived=st.just(()) | st.just(("max_kw",))
)
TERMS = st.builds(
    Terms,
    access=st.none() | st.sampled_from(Access),
    payment=st.none() | st.builds(Payment, free=st.none() | st.booleans(), card=st.none() | st.booleans()),
)


@st.composite
def stations(draw: st.DrawFn) -> Station:
    keys = draw(st.lists(st.sampled_from(["NO*ABC*E1", "NO*ABC*E2", "NO*ABC*E3"]), unique=True, max_size=3))
    evses: list[Evse] = [
        make_evse(key, label=draw(st.none() | TEXTS), terms=draw(st.none() | TERMS)) for key in keys
    ]
    places = draw(st.lists(st.integers(0, len(evses) - 1), max_size=4)) if evses else []
    return make_station(
        evses=evses,
        outlets=tuple(Outlet(place, draw(CONNECTORS)) for place in places),
        operator=draw(st.none() | TEXTS),
        details=draw(st.builds(Details, brand=st.none() | TEXTS, opening=st.none() | st.just(Opening(True)))),
        told=draw(st.integers(0, 1)),
    )


def shown(station: Station) -> Station:
    """Without what is not shown: terms and payments that say nothing are none."""
    evses = tuple(
        msgspec.structs.replace(
            evse,
            terms=None
            if evse.terms is None or _silent(evse.terms)
            else msgspec.structs.replace(
                evse.terms, payment=None if evse.terms.payment == Payment() else evse.terms.payment
            ),
        )
        for evse in station.evses
    )
    return msgspec.structs.replace(station, told=0, evses=evses)


def _silent(terms: Terms) -> bool:
    return terms.access is None and terms.payment in {None, Payment()}


@given(stations(), stations())
def test_two_records_differ_in_something_just_where_they_are_not_the_same(one: Station, two: Station) -> None:
    assert bool(between(one, two)) is (shown(one) != shown(two))


@pytest.mark.parametrize("field", sorted(set(Station.__struct_fields__)))
def test_every_member_of_a_station_is_told_or_said_not_to_be(field: str) -> None:
    unseen = {"uuid", "told", "vanished_at", "updated_at"}
    elsewhere = {"evses", "outlets", "details"}
    if field in elsewhere:
        return
    value = {"latitude": 1.0, "longitude": 1.0, "updated_at": 5, "told": 5, "vanished_at": 5}.get(
        field, "XXX"
    )
    told = between(STATION, msgspec.structs.replace(STATION, **{field: value}))
    assert bool(told) is (field not in unseen)
