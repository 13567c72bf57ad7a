from __future__ import annotations

from tests.building import NOW, make_change, make_evse, make_station

from ladestrom.core.choice import Choice
from ladestrom.core.features import features
from ladestrom.core.selection import EVSE_FILTERS, selection
from ladestrom.core.view import StationState
from ladestrom.model import Change, Evse, Status, StatusChanged
from ladestrom.record import Access, Details, Terms

EVSES = (
    make_evse("NO*ABC*E1"),
    make_evse("NO*ABC*E2", terms=Terms(access=Access.EMPLOYEES)),
    make_evse("NO*ABC*E3"),
)
STATION = make_station(evses=EVSES, details=Details(access=Access.PUBLIC))


def holding(*changes: Change) -> StationState:
    state = StationState(STATION.uuid)
    for seq, change in enumerate(changes, 1):
        state.changes[change.evse] = StatusChanged(seq, change)
    return state


def choice(**query: str) -> Choice:
    return Choice(selection(query, names=EVSE_FILTERS), features(query), NOW)


def chosen(asked: Choice, state: StationState, *seen: Evse) -> list[str]:
    """Ids of the EVSEs that are chosen; whoever asks sees these, or all."""
    may_see = seen.__contains__ if seen else None
    found = [evse.key for evse, held in asked.evses(STATION, state, may_see) if held.change.evse == evse.key]
    assert asked.has(STATION, state, may_see) is bool(found)
    return found


ALL = holding(
    make_change(EVSES[0], Status.CHARGING),
    make_change(EVSES[1], Status.AVAILABLE),
    make_change(EVSES[2], Status.AVAILABLE, source="other"),
)


def test_one_evse_passes_all_filters_by_itself() -> None:
    assert chosen(choice(access="public"), ALL) == ["NOABCE1", "NOABCE3"]
    assert chosen(choice(status="AVAILABLE"), ALL) == ["NOABCE2", "NOABCE3"]
    assert chosen(choice(access="public", status="AVAILABLE"), ALL) == ["NOABCE3"]
    assert chosen(choice(access="public", status="AVAILABLE", operator="abc"), ALL) == []
    assert chosen(choice(access="employees", status="AVAILABLE", evse="NO*ABC*E2"), ALL) == ["NOABCE2"]
    assert chosen(choice(access="employees", status="AVAILABLE", evse="NO*ABC*E3"), ALL) == []


def test_whoever_does_not_see_the_one_that_passes_does_not_see_the_station_for_it() -> None:
    assert chosen(choice(status="CHARGING"), ALL, EVSES[1]) == []
    assert chosen(choice(access="public", status="AVAILABLE"), ALL, EVSES[0], EVSES[1]) == []
    assert chosen(choice(access="public", status="AVAILABLE"), ALL, EVSES[2]) == ["NOABCE3"]
    assert chosen(choice(evse="NO*ABC*E1"), ALL, EVSES[2]) == []


def test_what_is_hidden_or_not_on_the_board_passes_nothing() -> None:
    some = holding(make_change(EVSES[0], Status.PLANNED))
    assert chosen(choice(access="public"), some) == []
    assert chosen(choice(access="employees"), some) == []


def test_a_station_of_which_nothing_is_asked_is_listed_whatever_its_evses_are() -> None:
    hidden = holding(make_change(EVSES[0], Status.REMOVED))
    assert Choice().has(STATION, hidden)
    assert Choice().has(STATION, hidden, lambda evse: evse is EVSES[1])
    assert not Choice().has(STATION, hidden, lambda _: False)
