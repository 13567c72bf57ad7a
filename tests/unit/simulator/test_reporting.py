from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ladestrom.model import Status
from ladestrom.simulator.companies import COMPANIES, Habit
from ladestrom.simulator.reporting import (
    DELIVERY_ITEMS_MAX,
    LATE_CHANGES_MAX,
    LONE_KEEP_ALIVES_MAX,
    PENDING_CHANGES_MAX,
    Delivery,
    Kind,
    Reporter,
)
from ladestrom.simulator.traffic import Event

START = 1_800_000_000_000


def board(evses: int) -> list[Event]:
    return [Event(START - 1_000 * (point + 1), point, Status.AVAILABLE, False) for point in range(evses)]


def charging(at_s: float, point: int) -> Event:
    return Event(START + int(at_s * 1000), point, Status.CHARGING, False)


def opened(habit: Habit, evses: int, seed: int = 1) -> Reporter:
    reporter = Reporter(habit, board(evses), Random(seed), START)
    assert [delivery.kind for delivery in reporter.due(START)] == [Kind.OPENING] * math.ceil(
        evses / DELIVERY_ITEMS_MAX
    )
    assert {delivery.kind for delivery in reporter.due(START)} == {Kind.SNAPSHOT}
    return reporter


def due(reporter: Reporter, at_s: float) -> list[Delivery]:
    return reporter.due(START + int(at_s * 1000))


def test_the_first_delivery_tells_all_evses_and_since_when() -> None:
    reporter = Reporter(Habit(keep_alive_s=900), board(5), Random(1), START)
    (opening,) = reporter.due(START)
    assert opening == Delivery(Kind.OPENING, START, tuple(board(5)), alone=False)


def test_what_happened_before_the_first_delivery_is_in_it_and_not_told_twice() -> None:
    reporter = Reporter(Habit(keep_alive_s=900), board(2), Random(1), START)
    reporter.note(charging(1, 0))
    (opening,) = due(reporter, 2)
    assert opening.items[0] == charging(1, 0)
    assert [delivery.kind for delivery in due(reporter, 3)] == [Kind.SNAPSHOT]
    assert due(reporter, 4) == []


def test_the_second_delivery_confirms_all_for_a_server_that_knew_something_newer() -> None:
    reporter = Reporter(Habit(keep_alive_s=900), board(5), Random(1), START)
    reporter.due(START)
    (confirmation,) = reporter.due(START + 100)
    assert confirmation == Delivery(Kind.SNAPSHOT, START + 100, tuple(board(5)), alone=False)
    assert reporter.due(START + 200) == []


def test_no_delivery_is_over_the_limit_of_the_report_interface() -> None:
    reporter = Reporter(Habit(snapshot_s=60), board(DELIVERY_ITEMS_MAX + 1), Random(1), START)
    assert [len(delivery.items) for delivery in reporter.due(START)] == [DELIVERY_ITEMS_MAX, 1]


def test_without_a_batch_each_change_goes_at_once_and_by_itself() -> None:
    reporter = opened(Habit(keep_alive_s=9_000), 5)
    for point in range(3):
        reporter.note(charging(1, point))
    deliveries = due(reporter, 1)
    assert [delivery.items for delivery in deliveries] == [(charging(1, point),) for point in range(3)]
    assert all(delivery.alone and delivery.kind is Kind.CHANGES for delivery in deliveries)


def test_with_a_batch_changes_are_gathered_for_so_long() -> None:
    reporter = opened(Habit(batch_s=5, keep_alive_s=90_000), 5)
    reporter.note(charging(1, 0))
    assert [delivery.items for delivery in due(reporter, 1)] == [(charging(1, 0),)]
    reporter.note(charging(2, 1))
    reporter.note(charging(3, 2))
    assert due(reporter, 5.9) == []
    (batch,) = due(reporter, 6)
    assert batch.items == (charging(2, 1), charging(3, 2))
    assert not batch.alone


def test_an_operator_that_sends_snapshots_only_tells_changes_in_the_next_one() -> None:
    reporter = opened(Habit(batch_s=None, snapshot_s=60), 5)
    due(reporter, 60)
    reporter.note(charging(61, 3))
    assert due(reporter, 62) == []
    (snapshot,) = due(reporter, 121)
    assert snapshot.kind is Kind.SNAPSHOT
    assert len(snapshot.items) == 5
    assert charging(61, 3) in snapshot.items


def test_snapshots_come_once_a_period_and_operators_are_not_in_step() -> None:
    begins = set()
    for seed in range(5):
        reporter = opened(Habit(batch_s=5, snapshot_s=100), 3, seed)
        told_s = [second for second in range(1, 1_000) if due(reporter, second)]
        assert len(told_s) in {9, 10}
        begins.add(told_s[0])
    assert len(begins) > 2


def test_every_evse_is_confirmed_once_a_period() -> None:
    reporter = opened(Habit(keep_alive_s=100), 20)
    confirmed: list[int] = []
    for second in range(1, 201):
        for delivery in due(reporter, second):
            assert delivery.kind is Kind.KEEP_ALIVE
            assert delivery.alone
            confirmed += [event.point for event in delivery.items]
    assert confirmed == [*range(20), *range(20)]


def test_an_operator_that_batches_confirms_in_lists() -> None:
    reporter = opened(Habit(batch_s=2, keep_alive_s=100), 20)
    (delivery,) = due(reporter, 50)
    assert [event.point for event in delivery.items] == list(range(10))
    assert not delivery.alone


def test_after_a_long_wait_each_evse_is_confirmed_once_and_not_for_each_period_missed() -> None:
    reporter = opened(Habit(keep_alive_s=100), 20)
    assert len(due(reporter, 100_000)) == 20


def test_a_change_never_waits_behind_many_lone_confirmations() -> None:
    reporter = opened(Habit(keep_alive_s=100), 2_000)
    reporter.note(charging(1_000, 7))
    deliveries = due(reporter, 1_000)
    assert deliveries[0].items == (charging(1_000, 7),)
    assert len(deliveries) == 1 + LONE_KEEP_ALIVES_MAX


def test_late_changes_arrive_after_newer_ones() -> None:
    reporter = opened(Habit(keep_alive_s=1e9, late_share=0.5, late_s_max=60), 1)
    told = []
    for second in range(1, 400):
        if second <= 300:
            status = Status.CHARGING if second % 2 else Status.AVAILABLE
            reporter.note(Event(START + second * 1000, 0, status, False))
        told += [(delivery.kind, event.at) for delivery in due(reporter, second) for event in delivery.items]
    instants = [at for _, at in told]
    assert sorted(instants) == [START + second * 1000 for second in range(1, 301)]
    assert instants != sorted(instants)
    late = sum(kind is Kind.LATE for kind, _ in told)
    assert 100 < late < 200


def test_no_more_changes_are_held_back_than_the_limit() -> None:
    reporter = opened(Habit(keep_alive_s=1e9, late_share=1.0, late_s_max=60), 1)
    for number in range(LATE_CHANGES_MAX + 7):
        reporter.note(charging(1 + number / 1000, 0))
    assert len(due(reporter, 3)) >= 7


def test_during_a_silence_nothing_is_told_and_after_it_what_was_missed() -> None:
    habit = Habit(batch_s=5, snapshot_s=30, keep_alive_s=30, silent_every_s=100, silent_s=40)
    reporter = opened(habit, 5)
    due(reporter, 59)
    for second in range(60, 100):
        reporter.note(charging(second, second % 5))
        assert reporter.silent(START + second * 1000)
        assert due(reporter, second) == []
    deliveries = due(reporter, 100)
    changes = [event for delivery in deliveries if delivery.kind is Kind.CHANGES for event in delivery.items]
    assert changes == [charging(second, second % 5) for second in range(60, 100)]


def test_changes_that_cannot_be_told_shrink_to_the_newest_of_each_evse() -> None:
    reporter = opened(Habit(batch_s=5, keep_alive_s=1e9), 3)
    for number in range(PENDING_CHANGES_MAX + 1):
        reporter.note(charging(1 + number / 1000, number % 3))
    (batch,) = due(reporter, 20)
    last = PENDING_CHANGES_MAX
    assert batch.items == tuple(
        charging(1 + number / 1000, number % 3) for number in range(last - 2, last + 1)
    )


@pytest.mark.parametrize("company", COMPANIES, ids=lambda company: company.name)
def test_every_company_confirms_within_half_an_hour(company: object) -> None:
    habit = next(each.habit for each in COMPANIES if each is company)
    assert 0 < habit.confirm_s <= 1_800
    assert habit.silent_every_s is None or habit.silent_s < habit.silent_every_s


def test_a_habit_that_confirms_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="snapshot_s or keep_alive_s"):
        _ = Habit().confirm_s


@given(
    st.sampled_from([company.habit for company in COMPANIES]),
    st.lists(st.tuples(st.integers(0, 600), st.integers(0, 5), st.sampled_from(Status)), max_size=60),
    st.integers(1, 400),
    st.integers(0, 2**32),
)
def test_whatever_the_habit_the_newest_word_on_each_evse_is_what_is_so(
    habit: Habit, steps: list[tuple[int, int, Status]], step_s: int, seed: int
) -> None:
    now_s = 0
    reporter = Reporter(habit, board(6), Random(seed), START)
    so = {event.point: event for event in board(6)}
    newest: dict[int, tuple[int, Status]] = {}

    def take(deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            assert 1 <= len(delivery.items) <= DELIVERY_ITEMS_MAX
            assert not delivery.alone or len(delivery.items) == 1
            for event in delivery.items:
                at = delivery.at if delivery.kind.confirms else event.at
                if at >= newest.get(event.point, (0, Status.UNKNOWN))[0]:
                    newest[event.point] = (at, event.status)

    for wait_s, point, status in steps:
        now_s += wait_s + 5
        event = Event(START + now_s * 1000, point, status, False)
        so[point] = event
        reporter.note(event)
        take(due(reporter, now_s))
    for _ in range(4_000 // step_s + 1):
        now_s += step_s
        take(due(reporter, now_s))
    assert {point: status for point, (_, status) in newest.items()} == {
        point: event.status for point, event in so.items()
    }
