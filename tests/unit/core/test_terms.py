from __future__ import annotations

from ladestrom.core.terms import NO_TERMS, common, payment, split
from ladestrom.record import Access, Payment, Terms, Vehicle

PUBLIC = Terms(access=Access.PUBLIC, payment=Payment(free=False, card=True), reservable=False)


def test_what_all_evses_say_is_the_stations_and_none_has_terms_of_its_own() -> None:
    again = Terms(access=Access.PUBLIC, payment=Payment(free=False, card=True), reservable=False)
    assert split([PUBLIC, PUBLIC, again]) == (PUBLIC, (None, None, None))


def test_an_evse_that_says_more_or_else_than_all_has_all_its_terms() -> None:
    other = Terms(access=Access.PUBLIC, payment=Payment(free=False, card=False), vehicles=(Vehicle.BICYCLE,))
    shared, own = split([PUBLIC, other, PUBLIC])
    assert shared == Terms(access=Access.PUBLIC, payment=Payment(free=False))
    assert own == (PUBLIC, other, PUBLIC)


def test_an_evse_that_says_just_what_all_say_has_no_terms() -> None:
    shared, own = split([PUBLIC, Terms(access=Access.PUBLIC)])
    assert shared == Terms(access=Access.PUBLIC)
    assert own == (PUBLIC, None)


def test_what_one_evse_does_not_say_is_not_the_stations() -> None:
    assert split([PUBLIC, NO_TERMS]) == (NO_TERMS, (PUBLIC, None))


def test_a_station_without_evses_has_no_terms() -> None:
    assert split([]) == (NO_TERMS, ())


def test_ways_to_pay_of_which_nothing_is_common_are_not_known() -> None:
    card, free = Terms(payment=Payment(card=True)), Terms(payment=Payment(free=True))
    assert common([card, free]) == NO_TERMS
    assert payment(card=None, free=None) is None
    assert payment(card=False) == Payment(card=False)
