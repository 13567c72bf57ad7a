"""Which EVSEs a right covers, and which parties a registry has."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.building import NOW, make_evse, make_operator, make_station

from ladestrom.core.access import Reach
from ladestrom.core.coverage import EXAMPLES, Right, coverage, parties
from ladestrom.model import Evse, Operator, Station

PARTIES = ("NOABC", "NOABD", "SEXYZ")


def evse(party: str, number: int, station: str = "NOR_00001") -> Evse:
    return make_evse(f"{party}E{number}", station, party=party)


def test_a_right_covers_the_evses_of_present_stations() -> None:
    stations = [
        make_station("NOR_00001", [evse("NOABC", 1), evse("NOABC", 2)]),
        make_station("NOR_00002", [evse("SEXYZ", 3, "NOR_00002")]),
        make_station("NOR_00003", [evse("NOABC", 4, "NOR_00003")], vanished_at=NOW),
    ]
    operator = make_operator(parties=("NOABC", "NOABD"), prefixes=("SEXYZE", "NOABCE1"))
    found = coverage(operator, stations)
    assert (found.evses, found.stations) == (3, 2)
    assert found.rights == (
        Right("party", "NOABC", 2),
        Right("party", "NOABD", 0),
        Right("prefix", "SEXYZE", 1),
        Right("prefix", "NOABCE1", 1),
    )
    assert [each.key for each in found.examples] == ["NOABCE1", "NOABCE2", "SEXYZE3"]
    everything = coverage(make_operator(parties=(), all=True), stations)
    assert everything.rights == (Right("all", "all EVSEs", 3),)


def test_a_right_that_covers_nothing_is_told_as_it_is() -> None:
    found = coverage(make_operator(parties=("SEXYZ",)), [make_station(evses=[evse("NOABC", 1)])])
    assert (found.evses, found.stations, found.examples) == (0, 0, ())
    assert found.rights == (Right("party", "SEXYZ", 0),)


def test_there_are_a_few_examples_only() -> None:
    many = make_station(evses=[evse("NOABC", number) for number in range(100)])
    assert len(coverage(make_operator(), [many]).examples) == EXAMPLES


def test_parties_are_counted_by_register_party_prefix_and_operators_name() -> None:
    stations = [
        make_station("NOR_00001", [evse("NOABC", 1), evse("NOABC", 2)], operator="Acme", register="nobil"),
        make_station("NOR_00002", [evse("NOABC", 3, "NOR_00002")], operator="Acme", register="nobil"),
        make_station(
            "NOR_00003", [Evse("NOR_00003_01", "NOR_00003", uid="17")], operator="Beta", register="nobil"
        ),
        make_station("NOR_00004", [evse("SEXYZ", 4, "NOR_00004")], register="irve", vanished_at=NOW),
    ]
    rows = parties(stations, [make_operator("acme"), Operator("north", prefixes=("NOR_0000",))])
    assert [
        (row.register, row.party, row.prefix, row.operator, row.evses, row.stations, row.reported_by)
        for row in rows
    ] == [
        ("nobil", "NOABC", "NOABC", "Acme", 3, 2, ("acme",)),
        ("nobil", None, None, "Beta", 1, 1, ("north",)),
    ]


operators = st.builds(
    Operator,
    name=st.sampled_from(["a", "b", "c", "d"]),
    parties=st.lists(st.sampled_from(PARTIES), max_size=2).map(tuple),
    prefixes=st.lists(st.sampled_from(["NO", "NOABC", "NOABCE1", "SE", "X"]), max_size=2).map(tuple),
    all=st.booleans(),
)
evses = st.builds(evse, st.sampled_from(PARTIES), st.integers(0, 20))


def as_station(place: int, members: list[Evse]) -> Station:
    return make_station(f"NOR_{place:05d}", members)


@given(st.lists(operators, max_size=4, unique_by=lambda each: each.name), st.lists(evses, max_size=20))
def test_who_reports_on_a_party_is_who_may_report_on_one_of_its_evses(
    known: list[Operator], members: list[Evse]
) -> None:
    for row in parties([as_station(1, members)], known):
        own = [each for each in members if each.party == row.party]
        expected = {operator.name for operator in known for each in own if Reach(operator).covers(each)}
        assert set(row.reported_by) == expected
        assert row.evses == len(own)
