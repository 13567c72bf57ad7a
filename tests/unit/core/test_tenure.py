"""When a process writes the record of the lease, by clocks of our own: one holder at a time, and never too early."""

from __future__ import annotations

from random import Random

import pytest

from ladestrom.core.tenure import Tenure
from ladestrom.ports.lease import Held

LEASE_S = 5.0


class Record:
    """The record, as the log's place keeps it."""

    def __init__(self) -> None:
        self.held = Held()
        self.terms: list[int] = []

    def swap(self, expected: Held, wanted: Held) -> bool:
        if self.held != expected:
            return False
        if wanted.term != expected.term:
            self.terms.append(wanted.term)
        self.held = wanted
        return True


def attempt(record: Record, tenure: Tenure, now_s: float) -> bool:
    seen = record.held
    wanted = tenure.look(seen, now_s)
    if wanted is not None:
        tenure.wrote(wanted, done=record.swap(seen, wanted), now_s=now_s)
    return tenure.holds


@pytest.fixture
def record() -> Record:
    return Record()


def made(node: str, run: str = "") -> Tenure:
    return Tenure(node, run or node, f"http://{node}", LEASE_S)


def test_a_record_that_nobody_holds_is_taken_at_once_with_a_later_term(record: Record) -> None:
    first = made("a")
    wanted = first.look(record.held, 0.0, log_term=7)
    assert wanted == Held("a", "a", "http://a", 8, 1)


def test_a_standby_waits_by_its_own_clock_until_the_record_has_not_changed_for_as_long_as_a_lease(
    record: Record,
) -> None:
    holder, standby = made("a"), made("b")
    assert attempt(record, holder, 1_000_000.0)
    assert not attempt(record, standby, 0.0)
    assert attempt(record, holder, 1_000_001.0)
    assert not attempt(record, standby, 4.9)
    assert not attempt(record, standby, 9.8)
    assert attempt(record, standby, 9.9)
    assert record.held.term == 2
    # Who stood still meanwhile notices, and does not take it back.
    assert not attempt(record, holder, 1_000_100.0)
    assert not attempt(record, holder, 1_000_101.0)


def test_what_was_released_is_taken_at_once_and_released_once(record: Record) -> None:
    holder, standby = made("a"), made("b")
    assert attempt(record, holder, 0.0)
    assert not attempt(record, standby, 0.0)
    released = holder.released()
    assert released is not None
    assert record.swap(record.held, released)
    assert attempt(record, standby, 0.1)
    assert standby.released() is not None
    assert made("c").released() is None


def test_a_node_that_starts_again_does_not_wait_for_itself(record: Record) -> None:
    assert attempt(record, made("a", "run 1"), 0.0)
    again = made("a", "run 2")
    assert attempt(record, again, 0.0)
    assert record.held.term == 2


def test_who_does_not_know_whether_it_was_written_finds_out(record: Record) -> None:
    holder = made("a")
    wanted = holder.look(record.held, 0.0)
    assert wanted is not None
    assert record.swap(record.held, wanted)
    # The answer was lost: `wrote` is not called.
    assert attempt(record, holder, 1.0)
    assert record.held.term == 1


def test_of_two_that_see_the_same_record_one_gets_it(record: Record) -> None:
    first, second = made("a"), made("b")
    seen = record.held
    wants = [(tenure, tenure.look(seen, 0.0)) for tenure in (first, second)]
    for tenure, wanted in wants:
        assert wanted is not None
        tenure.wrote(wanted, done=record.swap(seen, wanted), now_s=0.0)
    assert (first.holds, second.holds) == (True, False)


@pytest.mark.parametrize("seed", range(20))
def test_however_processes_stand_still_every_term_is_given_once(record: Record, seed: int) -> None:
    random = Random(seed)
    tenures = [made(name) for name in "abc"]
    clocks = [random.uniform(0, 1e6) for _ in tenures]
    waiting: list[tuple[Tenure, Held, Held, int]] = []
    for _ in range(2_000):
        who = random.randrange(3)
        clocks[who] += random.choice((0.5, 1.0, 1.0, 8.0))
        wanted = tenures[who].look(record.held, clocks[who])
        if wanted is not None:
            waiting.append((tenures[who], record.held, wanted, who))
        while waiting and random.random() < 0.7:
            tenure, expected, wanted, who = waiting.pop(random.randrange(len(waiting)))
            done = record.swap(expected, wanted)
            if random.random() < 0.9:
                tenure.wrote(wanted, done=done, now_s=clocks[who])
    assert record.terms == sorted(set(record.terms))
    assert len(record.terms) > 2
