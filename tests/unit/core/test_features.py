from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from tests.building import CCS, NOW, TYPE_2, make_evse, make_evses, make_station

from ladestrom.core.features import ANYTHING, FEATURES, SHORT, Features, features
from ladestrom.core.selection import EVSE_FILTERS
from ladestrom.core.standards import STANDARDS
from ladestrom.errors import InvalidSelection
from ladestrom.model import Connector, Evse, Outlet, Station
from ladestrom.record import Access, Details, Hours, Opening, Payment, Terms, Vehicle

TUESDAY_AT_10 = 1_796_119_200_000
"""UTC: 11:00 in Oslo."""
ALL_ASKED: dict[str, str] = {
    "access": "public",
    "open_now": "1",
    "min_kw": "150",
    "connector": "ccs",
    "payment": "card",
    "vehicle": "truck",
}


def station(*plugs: Connector, evse: Mapping[str, Any] | None = None, **details: Any) -> Station:
    """A station with one EVSE that has these plugs."""
    return make_station(
        evses=(make_evse(**(evse or {})),),
        outlets=tuple(Outlet(0, each) for each in plugs),
        details=Details(**details),
    )


def meets(query: Mapping[str, str], about: Station, index: int = 0, at: int = NOW) -> bool:
    return features(query).meets(about, index, at)


class TestReading:
    def test_values_are_alternatives_in_any_case(self) -> None:
        assert features({"access": "Public, VISITORS", "payment": "card,FREE", "vehicle": "Bus"}) == Features(
            access=frozenset({Access.PUBLIC, Access.VISITORS}),
            payment=frozenset({"card", "free"}),
            vehicle=frozenset({Vehicle.BUS}),
        )

    @pytest.mark.parametrize(
        ("written", "words"),
        [
            ("ccs", {"IEC_62196_T1_COMBO", "IEC_62196_T2_COMBO"}),
            ("CCS2", {"IEC_62196_T2_COMBO"}),
            ("iec_62196_t2_combo", {"IEC_62196_T2_COMBO"}),
            ("type2,CHAdeMO", {"IEC_62196_T2", "CHADEMO"}),
            ("iec_60309_2_SINGLE_16", {"IEC_60309_2_SINGLE_16"}),
        ],
    )
    def test_plugs_are_ocpis_words_or_what_people_call_them(self, written: str, words: set[str]) -> None:
        assert features({"connector": written}).connector == words

    def test_what_people_call_plugs_is_none_of_ocpis_words(self) -> None:
        assert {word for words in SHORT.values() for word in words} <= set(STANDARDS)
        assert not {word.casefold() for word in STANDARDS} & set(SHORT)

    @pytest.mark.parametrize(
        ("written", "kw"), [("150", 150), ("3.7", 3.7), ("0", 0), ("1e2", 100), ("10000", 10_000)]
    )
    def test_a_power_is_one_number(self, written: str, kw: float) -> None:
        assert features({"min_kw": written}).min_kw == kw

    def test_nothing_asked_for_is_anything(self) -> None:
        assert features({"country": "NOR"}) is ANYTHING
        assert features(dict.fromkeys(FEATURES, " ")) is ANYTHING

    def test_equal_ones_are_one_key(self) -> None:
        assert len({features(ALL_ASKED), features(dict(reversed(list(ALL_ASKED.items()))))}) == 1

    def test_none_has_the_name_of_a_filter_of_selections(self) -> None:
        assert not FEATURES & EVSE_FILTERS
        assert set(Features.__struct_fields__) == FEATURES == set(ALL_ASKED)

    @pytest.mark.parametrize(
        ("query", "told"),
        [
            ({"access": "publik"}, r"access=\"publik\" is an unknown word; did you mean public\?; the words"),
            ({"access": "all"}, "residents"),
            ({"payment": "cash"}, "free, card, contactless, ad_hoc, other"),
            ({"vehicle": "tram"}, "car, truck, bus, motorcycle, bicycle"),
            ({"connector": "cccs"}, r"did you mean ccs\?; write ccs, .*IEC_62196_T2_COMBO"),
            ({"connector": "UNKNOWN"}, "unknown word"),
            ({"connector": "ccs,,type2"}, "empty value"),
            ({"open_now": "0"}, "write open_now=1, or omit it"),
            ({"open_now": "yes"}, "write open_now=1, or omit it"),
            *(
                ({"min_kw": each}, "one number of kW from 0 to 10000")
                for each in (
                    "-1",
                    "10001",
                    "inf",
                    "nan",
                    "150,50",
                    "22 kW",
                    "٣",
                    "1e99",
                    "1e999",
                    "0x10",
                    "9" * 9_000,
                )
            ),
        ],
    )
    def test_what_cannot_be_understood_is_refused_with_the_words(
        self, query: Mapping[str, str], told: str
    ) -> None:
        with pytest.raises(InvalidSelection, match=told) as refused:
            features(query)
        assert len(str(refused.value)) < 300


class TestMeeting:
    def test_access_is_what_the_record_says(self) -> None:
        assert meets({"access": "public"}, station(access=Access.PUBLIC))
        assert not meets({"access": "public"}, station(access=Access.RESTRICTED))
        assert meets({"access": "restricted,residents"}, station(access=Access.RESIDENTS))

    def test_a_way_to_pay_has_to_be_there_for_certain(self) -> None:
        payment = Payment(free=False, card=True)
        assert meets({"payment": "card"}, station(payment=payment))
        assert meets({"payment": "free,card"}, station(payment=payment))
        assert not meets({"payment": "free"}, station(payment=payment))
        assert not meets({"payment": "ad_hoc"}, station(payment=payment))

    def test_hours_are_judged_at_the_instant_by_the_stations_clocks(self) -> None:
        shop = station(opening=Opening(hours=(Hours(2, "11:00", "12:00"),)), time_zone="Europe/Oslo")
        assert meets({"open_now": "1"}, shop, at=TUESDAY_AT_10)
        assert not meets({"open_now": "1"}, shop, at=TUESDAY_AT_10 - 1)
        assert not meets({"open_now": "1"}, shop, at=TUESDAY_AT_10 + 3_600_000)

    @pytest.mark.parametrize("name", sorted(FEATURES))
    def test_what_is_not_known_is_not_met(self, name: str) -> None:
        assert not meets({name: ALL_ASKED[name]}, station(Connector("UNKNOWN")))

    def test_where_nothing_says_what_may_be_charged_it_is_cars(self) -> None:
        silent = station(TYPE_2)
        assert meets({"vehicle": "car"}, silent)
        assert meets({"vehicle": "bus,car"}, silent)
        assert not meets({"vehicle": "truck"}, silent)
        bicycles = station(vehicles=(Vehicle.MOTORCYCLE, Vehicle.BICYCLE))
        assert not meets({"vehicle": "car"}, bicycles)
        assert meets({"vehicle": "bicycle"}, bicycles)

    @pytest.mark.parametrize(
        ("whole", "plugs", "query", "expected"),
        [
            (150, [], {"min_kw": "150"}, True),
            (150, [], {"min_kw": "150.1"}, False),
            (None, [TYPE_2, CCS], {"min_kw": "150"}, True),
            (50, [CCS], {"min_kw": "150"}, False),  # what the EVSE can is less than what its plug could
            (None, [], {"min_kw": "0"}, False),
            (None, [CCS], {"connector": "ccs"}, True),
            (None, [TYPE_2, CCS], {"connector": "ccs", "min_kw": "150"}, True),
            (None, [TYPE_2, CCS], {"connector": "type2", "min_kw": "150"}, False),
            (None, [TYPE_2, CCS], {"connector": "type2,ccs", "min_kw": "150"}, True),
            (50, [CCS], {"connector": "ccs", "min_kw": "150"}, False),
            (150, [Connector(CCS.standard)], {"connector": "ccs", "min_kw": "150"}, True),
            (150, [Connector(CCS.standard), TYPE_2], {"connector": "ccs", "min_kw": "150"}, False),
            (None, [Connector("iec_62196_t2_combo", 150)], {"connector": "ccs2"}, True),
            (None, [TYPE_2], {"connector": "ccs"}, False),
        ],
    )
    def test_one_plug_is_of_the_standard_and_has_the_power(
        self, whole: float | None, plugs: list[Connector], query: Mapping[str, str], expected: bool
    ) -> None:
        assert meets(query, station(*plugs, evse={"max_kw": whole})) is expected

    def test_terms_of_an_evse_stand_in_place_of_its_stations(self) -> None:
        own = Terms(access=Access.EMPLOYEES)
        about = make_station(
            evses=(make_evse("NO*ABC*E1"), make_evse("NO*ABC*E2", terms=own)),
            details=Details(access=Access.PUBLIC, payment=Payment(card=True)),
        )
        assert [meets({"access": "public"}, about, index) for index in (0, 1)] == [True, False]
        assert [meets({"access": "employees"}, about, index) for index in (0, 1)] == [False, True]
        assert [meets({"payment": "card"}, about, index) for index in (0, 1)] == [True, False]

    def test_a_station_that_has_it_all_at_different_evses_has_none_that_meets_all(self) -> None:
        apart = make_station(evses=2, outlets=(Outlet(0, Connector(CCS.standard, 50)), Outlet(1, TYPE_2)))
        apart = structs.replace(
            apart, evses=(apart.evses[0], structs.replace(apart.evses[1], max_kw=150)), details=Details()
        )
        assert len(features({"connector": "ccs"}).of(apart, NOW)) == 1
        assert len(features({"min_kw": "150"}).of(apart, NOW)) == 1
        assert features({"connector": "ccs", "min_kw": "150"}).of(apart, NOW) == []


# -- whatever the record is --------------------------------------------------------------------------------

kw = st.none() | st.sampled_from([3.7, 22.0, 50.0, 150.0, 350.0])
plugs = st.builds(Connector, st.sampled_from([CCS.standard, TYPE_2.standard, "CHADEMO", "UNKNOWN"]), kw)
truths = st.none() | st.booleans()
terms = {
    "access": st.none() | st.sampled_from(Access),
    "payment": st.none() | st.builds(Payment, free=truths, card=truths, ad_hoc=truths),
    "vehicles": st.sets(st.sampled_from(Vehicle), max_size=2).map(lambda found: tuple(sorted(found))),
}
openings = st.none() | st.builds(
    Opening,
    always=truths,
    hours=st.lists(st.builds(Hours, st.integers(1, 7), st.just("08:00"), st.just("20:00")), max_size=3).map(
        tuple
    ),
)
queries = st.fixed_dictionaries(
    {},
    optional={
        "access": st.sampled_from(["public", "public,restricted", "employees"]),
        "open_now": st.just("1"),
        "min_kw": st.sampled_from(["0", "22", "50", "150"]),
        "connector": st.sampled_from(["ccs", "type2", "chademo,type2"]),
        "payment": st.sampled_from(["card", "free,ad_hoc"]),
        "vehicle": st.sampled_from(["car", "truck", "car,bus"]),
    },
)


@st.composite
def stations(draw: st.DrawFn) -> Station:
    evses: tuple[Evse, ...] = tuple(
        structs.replace(each, max_kw=draw(kw), terms=draw(st.none() | st.builds(Terms, **terms)))
        for each in make_evses(draw(st.integers(0, 4)))
    )
    places = st.integers(0, len(evses) - 1)
    outlets = draw(st.lists(st.builds(Outlet, places, plugs), max_size=6)) if evses else []
    details = draw(st.builds(Details, opening=openings, time_zone=st.just("Europe/Paris"), **terms))
    return make_station(evses=evses, outlets=tuple(outlets), details=details)


@given(stations(), queries)
def test_those_of_a_station_are_those_that_meet_it_one_by_one(about: Station, query: dict[str, str]) -> None:
    asked = features(query)
    assert list(asked.of(about, NOW)) == [
        evse for index, evse in enumerate(about.evses) if asked.meets(about, index, NOW)
    ]


@given(stations(), queries)
def test_each_filter_more_only_narrows_and_each_value_more_only_widens(
    about: Station, query: dict[str, str]
) -> None:
    found = set(features(query).of(about, NOW))
    for name, value in query.items():
        without = {other: each for other, each in query.items() if other != name}
        assert found <= set(features(without).of(about, NOW))
        if "," in value:
            one, _, _ = value.partition(",")
            assert set(features({**query, name: one}).of(about, NOW)) <= found
