"""What a record says beside its place and its EVSEs, published as DATEX II, is read back by our own reader."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from tests.building import make_evse, make_station
from tests.datex2 import tables

from ladestrom.core.electrical import line_to_neutral
from ladestrom.model import Connector, Evse, Outlet, Station
from ladestrom.outputs.datex2 import table
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
from ladestrom.registers import datex2 as register

NAMES = st.sampled_from(["Strandvik", "Hafen & Elbe", "Café Søk", "L'été"])
ACCESSES = st.sampled_from([Access.PUBLIC, Access.VISITORS, Access.EMPLOYEES, Access.RESIDENTS])
PLACES = st.sampled_from([Place.STREET, Place.CAR_PARK, Place.GARAGE, Place.WORKPLACE, Place.OTHER])
ADDRESSES = st.sampled_from(["https://example.org/1.jpg", "http://example.org/a?b=c%20d#e"])
CLOCKS = st.sampled_from([("00:00", "06:00"), ("07:00", "12:00"), ("13:00", "24:00"), ("22:00", "05:30")])
SPANS = st.sampled_from(
    [
        Span("2026-12-24T12:00:00Z", "2026-12-27T05:00:00Z"),
        Span("2027-01-01T00:00:00Z", "2027-01-02T00:00:00Z"),
    ]
)


@st.composite
def openings(draw: st.DrawFn) -> Opening | None:
    closings = tuple(draw(st.lists(SPANS, max_size=2, unique=True)))
    if draw(st.booleans()):
        return Opening(always=True, closings=closings)
    days = draw(st.dictionaries(st.integers(1, 7), st.sets(CLOCKS, min_size=1, max_size=3), max_size=7))
    hours = [Hours(day, *clock) for day in sorted(days) for clock in sorted(days[day])]
    opened = tuple(draw(st.lists(SPANS, max_size=2, unique=True)))
    return Opening(hours=tuple(hours), openings=opened, closings=closings) if hours or opened else None


PAYMENTS = st.sets(st.sampled_from(["free", "card", "contactless", "ad_hoc"]), min_size=1).map(
    lambda ways: Payment(**dict.fromkeys(ways, True))
)
"""That something costs, or cannot be, DATEX II does not say."""


def terms(**more: Any) -> dict[str, st.SearchStrategy[Any]]:
    return {
        "accessibility": st.none() | st.sampled_from(Accessibility),
        "vehicles": st.sets(st.sampled_from(Vehicle)).map(
            lambda kinds: tuple(kind for kind in Vehicle if kind in kinds)
        ),
        "max_height_m": st.none() | st.sampled_from([1.9, 2.1, 4.0]),
        "payment": st.none() | PAYMENTS,
        "tariff_text": st.none() | st.sampled_from(["0,39 €/kWh", "Gratuit <1 h & après"]),
        **more,
    }


DETAILS = st.builds(
    Details,
    **terms(reservable=st.none() | st.booleans()),
    access=st.none() | ACCESSES,
    brand=st.none() | NAMES,
    owner=st.none() | NAMES,
    contact=st.none()
    | st.builds(Contact, st.just("+47 21 49 69 10"), st.just("post@example.org"), ADDRESSES),
    postal_code=st.none() | st.sampled_from(["0123", "2500 ZZ"]),
    region=st.none() | NAMES,
    opening=openings(),
    place=st.none() | PLACES,
    images=st.lists(ADDRESSES, max_size=2, unique=True).map(tuple),
    directions=st.none() | NAMES,
)
PLUGS = st.builds(
    lambda made: msgspec.structs.replace(
        made, max_v=None if made.max_v is None else float(line_to_neutral(made.max_v, made.power_type))
    ),
    st.one_of(
        st.builds(
            Connector,
            st.just("IEC_62196_T2"),
            st.just(22.0),
            st.none() | st.sampled_from(Format),
            st.sampled_from([None, PowerType.AC_3_PHASE]),
            st.none() | st.sampled_from([230.0, 400.0]),
            st.none() | st.sampled_from([16.0, 32.0]),
        ),
        st.builds(
            Connector,
            st.just("IEC_62196_T2_COMBO"),
            st.just(150.0),
            st.none() | st.sampled_from(Format),
            st.just(PowerType.DC),
            st.none() | st.just(920.0),
            st.none() | st.just(500.0),
        ),
    ),
)


@st.composite
def stations(draw: st.DrawFn) -> Station:
    details = draw(DETAILS)
    evses: list[Evse] = []
    for number in range(draw(st.integers(1, 3))):
        label = draw(st.none() | st.sampled_from(["A1", "Säule 2"]))
        floor = draw(st.none() | st.sampled_from(["-2", "P1"]))
        evses.append(make_evse(f"NO*ABC*E{number}", "NOR_00001", label=label, floor=floor))
    plugs = [draw(PLUGS) for _ in evses]
    return make_station(
        "NOR_00001",
        evses,
        name="Station",
        operator="Strandvik",
        outlets=tuple(Outlet(index, plug) for index, plug in enumerate(plugs)),
        details=details,
    )


READ_BACK = (
    *terms(),
    "reservable",
    "access",
    "brand",
    "owner",
    "contact",
    "postal_code",
    "region",
    "opening",
    "place",
    "images",
    "directions",
)


def read(body: bytes) -> Station:
    (draft,) = register.parse([body])
    assert isinstance(draft, StationDraft)
    assert draft.notes == ()
    return draft.station


@given(stations())
def test_what_a_record_says_is_read_back(station: Station) -> None:
    for body in tables([station]):
        found = read(body)
        own, kept = station.details, found.details
        for name in READ_BACK:
            assert getattr(kept, name) == getattr(own, name), name
        assert [(evse.label, evse.floor) for evse in found.evses] == [
            (evse.label, evse.floor) for evse in station.evses
        ]
        assert [evse.terms for evse in found.evses] == [None] * len(found.evses)
        assert [outlet.connector for outlet in found.outlets] == [
            outlet.connector for outlet in station.outlets
        ]


@given(stations(), st.builds(Terms, **terms(reservable=st.booleans())))
def test_terms_of_a_point_are_read_back(station: Station, own: Terms) -> None:
    said = msgspec.structs.replace(
        own,
        access=station.details.access,
        accessibility=own.accessibility or station.details.accessibility,
        vehicles=own.vehicles or station.details.vehicles,
        max_height_m=own.max_height_m or station.details.max_height_m,
        payment=paid(own.payment, station.details.payment),
        tariff_text=own.tariff_text or station.details.tariff_text,
    )
    evses = (*station.evses[:-1], msgspec.structs.replace(station.evses[-1], terms=said))
    for body in tables([msgspec.structs.replace(station, evses=evses)]):
        found = read(body)
        assert (found.evses[-1].terms or terms_of(found)) == said


def paid(own: Payment | None, base: Payment | None) -> Payment | None:
    """What is known of the ways to pay at a point: its own, and its station's."""
    known = [each for each in (base, own) if each is not None]
    ways = {name: True for each in known for name in Payment.__struct_fields__ if getattr(each, name)}
    return Payment(**ways) if ways else None


def terms_of(station: Station) -> Terms:
    return Terms(**{name: getattr(station.details, name) for name in Terms.__struct_fields__})


@given(stations(), st.sets(st.integers(0, 2)))
def test_an_evse_without_a_known_power_loses_its_plugs_alone(station: Station, without: set[int]) -> None:
    outlets = tuple(
        msgspec.structs.replace(each, connector=Connector(each.connector.standard))
        if each.evse in without
        else each
        for each in station.outlets
    )
    bare = msgspec.structs.replace(station, outlets=outlets)
    if without >= set(range(len(station.evses))):
        assert table.lacks(bare, bare.evses) == "no_power"
        return
    assert table.lacks(bare, bare.evses) is None
    for body in tables([bare]):
        (draft,) = register.parse([body])
        assert isinstance(draft, StationDraft)
        assert [evse.evse_id for evse in draft.station.evses] == [evse.evse_id for evse in station.evses]
        assert [evse.max_kw is None for evse in draft.station.evses] == [
            index in without for index in range(len(station.evses))
        ]
        for index, outlet in enumerate(draft.station.outlets):
            expected = Connector("UNKNOWN") if index in without else station.outlets[index].connector
            assert outlet.connector == expected
