"""Stations as Locations of OCPI, and back by our own reader."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.building import NOW
from tests.conftest import SharedFile

from ladestrom.core.drafts import completed
from ladestrom.core.locations import draft
from ladestrom.formats.ocpi_location import (
    Object,
    Reason,
    State,
    Version,
    left_out,
    location,
    location_id,
    owners,
)
from ladestrom.model import Connector, Evse, Outlet, Station, Status
from ladestrom.ports.registry import StationDraft
from ladestrom.record import (
    Access,
    Accessibility,
    Contact,
    Details,
    Hours,
    Opening,
    Payment,
    Place,
    Span,
    Vehicle,
)
from ladestrom.registers import irve, nobil

T2 = Connector("IEC_62196_T2", 22.0)


def station(*evses: Evse, outlets: tuple[Outlet, ...] | None = None, **members: Any) -> Station:
    made = evses or (Evse("", "", evse_id="NO*ABC*E1", uid="1", party="NOABC"),)
    own = Station(
        uuid="",
        name="Torget",
        country="NOR",
        latitude=59.5,
        longitude=10.5,
        evses=tuple(msgspec.structs.replace(each, key=each.evse_id or "") for each in made),
        outlets=tuple(Outlet(index, T2) for index in range(len(made))) if outlets is None else outlets,
        native_id="1333",
        **members,
    )
    return completed(StationDraft(own), "nobil", "NOR_01333")[0]


def written(own: Station, version: Version = Version.V2_2_1, owner: str = "NOABC") -> Object:
    states = {each.key: State(Status.CHARGING, NOW + 250) for each in own.evses}
    made = location(own, owner, states, NOW, version)
    assert made is not None
    return made


def read(own: Station, version: Version = Version.V2_2_1, owner: str = "NOABC") -> Station:
    """What our reader makes of what is written."""
    made = draft(json.loads(json.dumps(written(own, version, owner))), owner)
    assert isinstance(made, StationDraft)
    assert made.notes == ()
    return made.station


class TestObjects:
    def test_all_that_is_mandatory_is_there_where_little_is_known(self) -> None:
        assert written(station()) == {
            "country_code": "NO",
            "party_id": "ABC",
            "id": "NOR_01333",
            "publish": True,
            "name": "Torget",
            "address": "",
            "city": "",
            "country": "NOR",
            "coordinates": {"latitude": "59.50000", "longitude": "10.50000"},
            "evses": [
                {
                    "uid": "1",
                    "evse_id": "NO*ABC*E1",
                    "status": "CHARGING",
                    "connectors": [
                        {
                            "id": "1",
                            "standard": "IEC_62196_T2",
                            "format": "SOCKET",
                            "power_type": "AC_3_PHASE",
                            "max_voltage": 230,
                            "max_amperage": 32,
                            "max_electric_power": 22_000,
                            "last_updated": "2026-11-18T11:06:40.000Z",
                        }
                    ],
                    "last_updated": "2026-11-18T11:06:40.250Z",
                }
            ],
            "time_zone": "Europe/Oslo",
            "last_updated": "2026-11-18T11:06:40.250Z",
        }

    def test_version_2_1_1_has_its_own_names(self) -> None:
        made = written(station(details=Details(place=Place.MOTORWAY)), Version.V2_1_1)
        assert made.keys() & {"country_code", "party_id", "publish", "parking_type"} == set()
        assert (made["type"], made["postal_code"]) == ("OTHER", "")
        (connector,) = made["evses"][0]["connectors"]
        assert (connector["voltage"], connector["amperage"]) == (230, 32)
        assert "max_electric_power" not in connector

    def test_version_2_3_0_has_more_words(self) -> None:
        details = Details(access=Access.EMPLOYEES, contact=Contact(phone="+47 22 00 00 00"))
        old, new = (
            written(station(details=details), version) for version in (Version.V2_2_1, Version.V2_3_0)
        )
        assert "parking_restrictions" not in old["evses"][0]
        assert new["evses"][0]["parking_restrictions"] == ["EMPLOYEES"]
        assert ("help_phone" in old, new["help_phone"]) == (False, "+47 22 00 00 00")
        mcs = station(outlets=(Outlet(0, Connector("MCS", 1_000.0)),))
        assert left_out(mcs) == {"NOABCE1": Reason.NO_CONNECTOR}
        assert left_out(mcs, Version.V2_3_0) == {}

    def test_countries_have_three_letters_of_iso_3166(self) -> None:
        dane = station(Evse("", "", evse_id="DK*ABC*E1", party="DKABC"))
        assert written(msgspec.structs.replace(dane, country="DAN"), owner="DKABC")["country"] == "DNK"

    def test_it_is_called_as_its_operator_calls_it(self) -> None:
        own = msgspec.structs.replace(station(), register="ocpi:abc", native_id="NO*ABC*LOC1")
        assert location_id(own, "NOABC") == "LOC1"
        assert location_id(own, "NODEF") == "NOR_01333"
        assert location_id(station(), "NOABC") == "NOR_01333"

    def test_texts_are_as_long_as_they_may_be(self) -> None:
        made = written(station(address="x" * 100, city="y" * 100, details=Details(postal_code="1" * 11)))
        assert (len(made["address"]), len(made["city"]), "postal_code" in made) == (45, 45, False)

    def test_hours_end_on_their_day(self) -> None:
        hours = (Hours(5, "20:00", "02:00"), Hours(6, "10:00", "24:00"), Hours(7, "10:00", "00:00"))
        made = written(station(details=Details(opening=Opening(hours=hours))))["opening_times"]
        assert [tuple(each.values()) for each in made["regular_hours"]] == [
            (5, "20:00", "23:59"),
            (6, "00:00", "02:00"),
            (6, "10:00", "23:59"),
            (7, "10:00", "23:59"),
        ]

    @pytest.mark.parametrize(
        "opening",
        [
            Opening(text="as the shop"),
            Opening(hours=(Hours(1, "08:00", "16:00"),), text="and more"),
            Opening(always=False),
        ],
    )
    def test_hours_that_are_not_understood_are_left_out(self, opening: Opening) -> None:
        assert "opening_times" not in written(station(details=Details(opening=opening)))

    def test_pictures_of_which_the_type_is_not_known_are_left_out(self) -> None:
        details = Details(images=("https://abc.example/a.JPG?s=1", "https://abc.example/b"))
        assert written(station(details=details))["images"] == [
            {"url": "https://abc.example/a.JPG?s=1", "category": "OTHER", "type": "jpeg"}
        ]

    def test_ways_to_pay_are_capabilities(self) -> None:
        evse = Evse("", "", evse_id="NO*ABC*E1", party="NOABC", capabilities=("RFID_READER", "ODD"))
        details = Details(payment=Payment(card=True, contactless=True), reservable=True)
        made = written(station(evse, details=details))["evses"][0]["capabilities"]
        assert made == ["RFID_READER", "CONTACTLESS_CARD_SUPPORT", "RESERVABLE"]
        plain = written(station(evse, details=Details(payment=Payment(card=True))))["evses"][0][
            "capabilities"
        ]
        assert plain == ["RFID_READER", "CREDIT_CARD_PAYABLE", "DEBIT_CARD_PAYABLE"]


class TestOffers:
    def test_a_station_without_party_is_not_offered(self) -> None:
        own = station(Evse("", "", uid="1"))
        assert owners(own) == ()
        assert list(left_out(own).values()) == [Reason.NO_PARTY]
        assert location(own, "NOABC", {}, NOW) is None

    def test_each_party_has_a_location_and_evses_of_nobody_are_the_only_ones(self) -> None:
        two = station(
            Evse("", "", evse_id="NO*ABC*E1", party="NOABC"),
            Evse("", "", evse_id="NO*DEF*E1"),
            Evse("", "", uid="x"),
        )
        assert owners(two) == ("NOABC", "NODEF")
        assert [each["evse_id"] for each in written(two)["evses"]] == ["NO*ABC*E1"]
        assert list(left_out(two).values()) == [Reason.NO_PARTY]
        one = station(Evse("", "", evse_id="NO*ABC*E1"), Evse("", "", uid="x"))
        assert [each["uid"] for each in written(one)["evses"]] == ["NOABCE1", "x"]

    def test_what_lacks_what_ocpi_demands_is_not_offered(self) -> None:
        unknown = station(
            outlets=(Outlet(0, Connector("UNKNOWN", 22.0)), Outlet(0, Connector("IEC_62196_T2")))
        )
        assert left_out(unknown) == {"NOABCE1": Reason.NO_CONNECTOR}
        nowhere = msgspec.structs.replace(station(), details=Details())
        assert left_out(nowhere) == {"NOABCE1": Reason.NO_TIME_ZONE}
        assert location(nowhere, "NOABC", {}, NOW) is None
        assert location(nowhere, "NOABC", {}, NOW, Version.V2_1_1) is not None
        long = station(Evse("", "", evse_id=f"NO*ABC*E{'1' * 40}", party="NOABC"))
        assert list(left_out(long).values()) == [Reason.NO_ID]

    def test_uids_are_one_evses_each(self) -> None:
        own = station(
            Evse("", "", evse_id="NO*ABC*E1", uid="A", party="NOABC"),
            Evse("", "", evse_id="NO*ABC*E2", uid="a", party="NOABC"),
        )
        assert [each["uid"] for each in written(own)["evses"]] == ["A", "NOABCE2"]

    def test_evses_without_a_state_are_unknown(self) -> None:
        made = location(station(), "NOABC", {}, NOW)
        assert made is not None
        assert made["evses"][0]["status"] == "UNKNOWN"


# -- there and back ------------------------------------------------------------------------------------------

TEXTS = st.text("abcæøå ", min_size=1, max_size=20).map(lambda text: " ".join(text.split())).filter(bool)
SPANS = st.sets(st.tuples(st.integers(1, 28), st.integers(1, 10)), max_size=2).map(
    lambda found: tuple(
        Span(f"2026-12-{day:02d}T00:00:00Z", f"2027-01-{days:02d}T12:30:00Z") for day, days in sorted(found)
    )
)
HOURS = st.sets(st.integers(1, 7), min_size=1, max_size=6).map(
    lambda days: tuple(Hours(day, "07:30", "18:00" if day % 2 else "24:00") for day in sorted(days))
)
OPENINGS = st.builds(Opening, st.just(True), closings=SPANS) | st.builds(
    Opening, hours=HOURS, openings=SPANS, closings=SPANS
)
WAYS = st.sampled_from(
    [
        ((), None),
        (("RFID_READER",), None),
        (("CREDIT_CARD_PAYABLE", "RFID_READER"), Payment(card=True, ad_hoc=True)),
        (("PED_TERMINAL", "CONTACTLESS_CARD_SUPPORT"), Payment(card=True, contactless=True, ad_hoc=True)),
    ]
)
TERMS = st.fixed_dictionaries(
    {
        "access": st.none() | st.just(Access.VISITORS),
        "accessibility": st.none() | st.just(Accessibility.RESERVED),
        "vehicles": st.just(()) | st.just((Vehicle.MOTORCYCLE,)),
        "reservable": st.none() | st.just(True),
    }
)
CONNECTORS = st.builds(
    Connector,
    st.sampled_from(["IEC_62196_T2", "IEC_62196_T2_COMBO", "CHADEMO", "DOMESTIC_F"]),
    st.sampled_from([3.6, 11.0, 22.0, 43.0]),
)
DETAILS = st.fixed_dictionaries(
    {
        "owner": st.none() | TEXTS,
        "postal_code": st.none() | st.sampled_from(["0001", "214 26"]),
        "region": st.none() | TEXTS,
        "time_zone": st.none() | st.just("Europe/Paris"),
        "opening": st.none() | OPENINGS,
        "place": st.none() | st.sampled_from([Place.STREET, Place.CAR_PARK, Place.GARAGE, Place.MOTORWAY]),
        "images": st.just(()) | st.just(("https://abc.example/a.png",)),
        "directions": st.none() | TEXTS,
    }
)


@st.composite
def stations(drawn: st.DrawFn) -> Station:
    """Stations of which OCPI can tell everything."""
    (words, payment), terms = drawn(WAYS), drawn(TERMS)
    details: dict[str, Any] = {**drawn(DETAILS), **terms}
    if terms["reservable"]:
        words = (*words, "RESERVABLE")
    evses = tuple(
        Evse(
            "",
            "",
            evse_id=f"NO*ABC*E{number}",
            uid=f"u{number}",
            party="NOABC",
            label=drawn(st.none() | TEXTS.filter(lambda text: len(text) <= 16)),
            floor=drawn(st.none() | st.just("-1")),
            capabilities=words,
        )
        for number in range(drawn(st.integers(1, 3)))
    )
    outlets = tuple(
        Outlet(index, drawn(CONNECTORS))
        for index in range(len(evses))
        for _ in range(drawn(st.integers(1, 2)))
    )
    operator, has_web = drawn(st.none() | TEXTS), drawn(st.booleans())
    contact = Contact(web="https://abc.example") if operator and has_web else None
    return station(
        *evses,
        outlets=outlets,
        operator=operator,
        address=drawn(st.none() | TEXTS),
        city=drawn(st.none() | TEXTS),
        details=Details(**details, payment=payment, contact=contact),
    )


def bare(own: Station) -> Station:
    """A station without what OCPI has no member for: which register it is of, and what was derived."""
    return msgspec.structs.replace(
        own,
        uuid="",
        register="",
        native_id="",
        told=0,
        evses=tuple(msgspec.structs.replace(each, station="", max_kw=None) for each in own.evses),
        outlets=tuple(
            Outlet(each.evse, msgspec.structs.replace(each.connector, derived=())) for each in own.outlets
        ),
        details=msgspec.structs.replace(own.details, derived=()),
    )


@given(stations())
def test_a_record_that_is_written_and_read_is_the_same(own: Station) -> None:
    assert bare(read(own)) == bare(own)


def real(shared_file: SharedFile, register: str) -> Iterator[Station]:
    if register == "irve":
        content = gzip.decompress(shared_file("data/france/irve-statique.json.gz").read_bytes())
        records = irve.parse([content])
    else:
        records = nobil.parse([shared_file("data/nobil/nobil-v3-sample.json").read_bytes()])
    for number, record in enumerate(records):
        if isinstance(record, StationDraft):
            uuid = record.station.uuid or f"FRA_{number:05d}"
            own, _ = completed(record, register, uuid)
            # The sample of NOBIL is older than its attribute with the EVSE id, which names the party.
            evses = tuple(msgspec.structs.replace(each, party=each.party or "NOABC") for each in own.evses)
            yield msgspec.structs.replace(own, evses=evses)


def minutes(opening: Opening | None) -> set[int] | None:
    """Open minutes of a week; None where they are not known as a whole."""
    if opening is None or opening.text is not None or not (opening.always or opening.hours):
        return None
    if opening.always:
        return set(range(7 * 1_440))
    found: set[int] = set()
    for each in opening.hours:
        # What ends at 23:59 lasts until the day's end.
        clocks = (each.begin, each.end.replace("23:59", "24:00"))
        begin, end = (int(clock[:2]) * 60 + int(clock[3:]) for clock in clocks)
        first = (each.weekday - 1) * 1_440 + begin
        found.update(
            minute % 10_080
            for minute in range(first, first + ((end - begin) if end > begin else end - begin + 1_440))
        )
    return found


def told(own: Station, version: Version) -> dict[str, Any]:
    """What OCPI can tell of a station of a real register, in its forms."""
    hidden = left_out(own, version)
    facts = own.details
    return {
        "name": own.name,
        "place": (own.latitude, own.longitude, own.country),
        "address": (own.address or "")[: 255 if version is Version.V2_3_0 else 45].strip(),
        "operator": (own.operator or "")[:100],
        "owner": (facts.owner or "")[:100],
        "postal_code": facts.postal_code,
        "time_zone": facts.time_zone,
        "opening": minutes(facts.opening),
        "evses": [each.evse_id for each in own.evses if each.key not in hidden],
        "powers": [each.max_kw for each in own.evses if each.key not in hidden],
        "reserved": facts.accessibility is Accessibility.RESERVED,
    }


@pytest.mark.parametrize(("register", "count"), [("nobil", 27), ("irve", 5_571)])
def test_records_of_real_registers_come_back(shared_file: SharedFile, register: str, count: int) -> None:
    offered = 0
    for own in real(shared_file, register):
        (owner,) = owners(own)
        hidden = left_out(own)
        if all(each.key in hidden for each in own.evses):
            assert location(own, owner, {}, NOW) is None
            continue
        offered += 1
        made = draft(json.loads(json.dumps(written(own, owner=owner))))
        assert isinstance(made, StationDraft)
        again, _ = completed(made, "ocpi", own.uuid)
        assert told(again, Version.V2_2_1) == told(own, Version.V2_2_1)
    assert offered > 0.95 * count
