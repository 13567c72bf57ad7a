"""When a source is asked next, on a clock that the test moves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ladestrom.outbound.breaker import NEXT, Breaker, Outcome
from ladestrom.outbound.pacing import REST_MS_MAX, RETRY_FIRST_MS, Pace, PaceLimits

NOW = 1_795_000_000_000
MINUTE = 60_000
MIDDLE = 0.5
LIMITS = PaceLimits(failures_max=3, rest_s=300)


def pace(interval_ms: int = MINUTE) -> Pace:
    return Pace(interval_ms, LIMITS, NOW, 0.0)


def fail(made: Pace, times: int, outcome: Outcome = Outcome.FAILED) -> list[int]:
    """Waits after each of so many failures, the clock standing still."""
    waits = []
    for _ in range(times):
        made.begin()
        made.end(outcome, NOW, NOW, MIDDLE)
        waits.append(made.next_at - NOW)
    return waits


def test_the_first_round_is_due_at_once_or_a_little_later_so_that_a_start_is_spread() -> None:
    assert Pace(MINUTE, LIMITS, NOW, 0.0).next_at == NOW
    assert Pace(MINUTE, LIMITS, NOW, 0.999).next_at == NOW + 1_998
    assert Pace(100, LIMITS, NOW, 0.999).next_at == NOW + 99


def test_a_round_that_went_well_is_followed_an_interval_after_it_began_give_or_take_a_tenth() -> None:
    made = pace()
    for chance, wait in ((0.0, 54_000), (MIDDLE, 60_000), (0.999, 65_988)):
        made.begin()
        made.end(Outcome.WELL, NOW, NOW + 3_000, chance)
        assert made.next_at == NOW + wait


def test_a_round_that_took_longer_than_its_interval_is_followed_at_once() -> None:
    made = pace()
    made.begin()
    made.end(Outcome.WELL, NOW, NOW + 5 * MINUTE, MIDDLE)
    assert made.next_at == NOW + 5 * MINUTE


def test_failures_are_retried_soon_and_then_later_but_never_later_than_the_interval() -> None:
    made = Pace(10_000, PaceLimits(failures_max=100), NOW, 0.0)
    assert fail(made, 5) == [2_000, 4_000, 8_000, 10_000, 10_000]
    assert made.breaker is Breaker.CLOSED


def test_the_last_failure_that_is_borne_opens_the_breaker() -> None:
    made = pace()
    assert fail(made, 3) == [RETRY_FIRST_MS, 2 * RETRY_FIRST_MS, 300_000]
    assert made.breaker is Breaker.OPEN


def test_a_failure_of_our_own_is_retried_soon_and_changes_nothing_else() -> None:
    made = pace()
    assert fail(made, 10, Outcome.OURS) == [RETRY_FIRST_MS] * 10
    assert (made.breaker, made.failures) == (Breaker.CLOSED, 0)
    fail(made, 4)
    made.begin()
    states = [made.breaker]
    assert fail(made, 1, Outcome.OURS) == [RETRY_FIRST_MS]
    states.append(made.breaker)
    assert states == [Breaker.HALF_OPEN, Breaker.OPEN]
    assert fail(made, 1) == [1_200_000], "the rests go on as if it had not been"


def test_an_attempt_that_fails_while_half_open_doubles_the_rest_up_to_an_hour() -> None:
    made = pace()
    fail(made, 3)
    made.begin()
    assert made.breaker is Breaker.HALF_OPEN
    assert fail(made, 5) == [600_000, 1_200_000, 2_400_000, REST_MS_MAX, REST_MS_MAX]


def test_an_attempt_that_goes_well_while_half_open_closes_the_breaker_and_forgets_the_failures() -> None:
    made = pace()
    fail(made, 4)
    made.begin()
    made.end(Outcome.WELL, NOW, NOW, MIDDLE)
    assert (made.breaker, made.failures, made.next_at) == (Breaker.CLOSED, 0, NOW + MINUTE)
    assert fail(made, 1) == [RETRY_FIRST_MS]


def test_a_refusal_that_only_a_person_can_change_opens_the_breaker_at_once() -> None:
    made = pace()
    assert fail(made, 1, Outcome.REFUSED) == [300_000]
    assert made.breaker is Breaker.OPEN


def test_what_the_source_asks_for_is_granted_up_to_an_hour() -> None:
    made = pace()
    made.end(Outcome.FAILED, NOW, NOW, MIDDLE, retry_after_s=30)
    assert made.next_at == NOW + 30_000
    made.end(Outcome.FAILED, NOW, NOW, MIDDLE, retry_after_s=1e9)
    assert made.next_at == NOW + REST_MS_MAX


def test_a_source_with_an_interval_of_a_day_does_not_rest_for_less() -> None:
    day = 86_400_000
    made = pace(day)
    assert fail(made, 3)[2] == day


def test_every_state_in_which_something_is_attempted_has_a_row_for_every_outcome() -> None:
    attempting = {Breaker.CLOSED, Breaker.HALF_OPEN}
    assert {(state, outcome) for state in attempting for outcome in Outcome} == NEXT.keys()


@given(
    interval_ms=st.integers(1_000, 86_400_000),
    steps=st.lists(
        st.tuples(st.sampled_from(Outcome), st.integers(0, 600_000), st.floats(0, 0.999), st.floats(0, 1e6)),
        max_size=60,
    ),
)
def test_the_next_attempt_is_never_in_the_past_nor_further_away_than_a_rest(
    interval_ms: int, steps: list[tuple[Outcome, int, float, float]]
) -> None:
    made = Pace(interval_ms, LIMITS, NOW, 0.5)
    now = made.next_at
    for outcome, took_ms, chance, retry_after_s in steps:
        began = now
        made.begin()
        assert made.breaker is not Breaker.OPEN
        now += took_ms
        made.end(outcome, began, now, chance, retry_after_s)
        assert now <= made.next_at <= now + max(REST_MS_MAX, interval_ms) * 1.1
        now = made.next_at


@pytest.mark.parametrize("failures", [1, 2, 3])
def test_failures_in_a_row_are_counted(failures: int) -> None:
    made = pace()
    fail(made, failures)
    assert made.failures == failures
