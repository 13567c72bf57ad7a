from __future__ import annotations

from itertools import product

import msgspec
import pytest
from tests.building import (
    FEED,
    NOW,
    TIMES,
    hear,
    logged,
    make_change,
    make_evse,
    make_evses,
    make_report,
    make_taking,
    put,
    register,
    take,
)

from ladestrom.core.board import FEEDS_MAX, STALE, UNCHANGED, Board, Round, fold
from ladestrom.core.rules import STEP_BACK_MS_MAX, rank
from ladestrom.model import (
    NEVER,
    Beginning,
    Cause,
    Change,
    Feed,
    Order,
    Reason,
    Status,
    StatusReport,
    Suppression,
)
from ladestrom.ports.log import BoardRow, Times

S = 1_000
DAY_MS = 86_400_000
EVSE = make_evse()
PAIRS = list(product(Status, (False, True)))
ORDERED = Feed("cp", Order.ARRIVAL)
OCPI = Feed("abc/ocpi", Order.UPDATES)


def registered() -> Board:
    board = Board()
    register(board, [EVSE])
    return board


def silent_after_a_day(source: str) -> int:
    return DAY_MS


def changed(decision: Change | Suppression) -> Change:
    assert isinstance(decision, Change)
    return decision


def is_change(decision: Change | Suppression) -> bool:
    return isinstance(decision, Change)


def said(
    status: Status, stamp: int | None = NOW, source: str = "abc", *, error: bool = False
) -> StatusReport:
    return make_report(EVSE, status, stamp, source=source, error=error)


def held(board: Board) -> tuple[Status, int]:
    row = board.cells[EVSE.key]
    return row.change.status, row.observed_at


def lose(board: Board, at: int = NOW + DAY_MS) -> None:
    change = board.give_up(EVSE.key, at)
    assert change is not None
    put(board, [change], at)


class TestDecide:
    def test_the_first_report_of_an_evse_is_a_change(self) -> None:
        change = changed(hear(registered(), EVSE, said(Status.CHARGING)))
        assert (change.status, change.changed_at, change.cause) == (Status.CHARGING, NOW, Cause.REPORTED)
        assert (change.was_status, change.was_error) == (Status.UNKNOWN, False)

    def test_it_is_one_where_the_evse_is_not_on_the_board_yet_and_says_that_it_was_not_there(self) -> None:
        board = Board()
        assert changed(hear(board, EVSE, make_report())).was_status is Status.REMOVED
        assert board.cells[EVSE.key].change.status is Status.AVAILABLE

    def test_a_change_keeps_who_said_what_and_when(self) -> None:
        change = changed(hear(registered(), EVSE, said(Status.BLOCKED, NOW - 7, "xyz"), NOW))
        assert (change.evse, change.station) == (EVSE.key, EVSE.station)
        assert (change.observed_at, change.received_at) == (NOW - 7, NOW)
        assert (change.source, change.raw) == ("xyz", "BLOCKED")

    def test_a_newer_report_of_another_status_is_a_change_and_says_what_was_before(self) -> None:
        board = registered()
        hear(board, EVSE, said(Status.AVAILABLE, error=True))
        change = changed(hear(board, EVSE, said(Status.CHARGING, NOW + 1)))
        assert (change.was_status, change.was_error) == (Status.AVAILABLE, True)

    def test_another_error_alone_is_a_change(self) -> None:
        board = registered()
        hear(board, EVSE, make_report())
        change = changed(hear(board, EVSE, make_report(error=True, observed_at=NOW + 1)))
        assert (change.status, change.error, change.changed_at) == (Status.AVAILABLE, True, NOW + 1)

    @pytest.mark.parametrize("source", ["abc", "xyz"])
    def test_an_older_report_of_another_status_is_stale(self, source: str) -> None:
        board = registered()
        hear(board, EVSE, said(Status.CHARGING))
        for status, error in PAIRS:
            if (status, error) != (Status.CHARGING, False):
                report = said(status, NOW - 1, source, error=error)
                assert hear(board, EVSE, report, NOW) is STALE
        assert held(board) == (Status.CHARGING, NOW)

    def test_a_report_older_than_what_was_confirmed_is_stale(self) -> None:
        board = registered()
        hear(board, EVSE, make_report())
        hear(board, EVSE, make_report(observed_at=NOW + 10))
        assert hear(board, EVSE, said(Status.CHARGING, NOW + 9)) is STALE

    @pytest.mark.parametrize("source", ["abc", "xyz"])
    def test_of_two_observed_at_once_the_rank_decides_of_one_unordered_source_or_two(
        self, source: str
    ) -> None:
        for was, says in product(PAIRS, PAIRS):
            board = registered()
            hear(board, EVSE, said(was[0], error=was[1]))
            hear(board, EVSE, said(says[0], NOW, source, error=says[1]))
            change = board.cells[EVSE.key].change
            status, error = max(was, says, key=lambda pair: rank(*pair))
            assert (change.status, change.error) == (status, error or status is Status.OUTOFORDER)

    def test_out_of_order_is_the_same_whether_its_error_was_told_or_not(self) -> None:
        board = registered()
        assert changed(hear(board, EVSE, said(Status.OUTOFORDER))).error is True
        assert hear(board, EVSE, said(Status.OUTOFORDER, error=True)) is UNCHANGED

    def test_nothing_is_seen_before_it_is_committed(self) -> None:
        board = registered()
        round_ = Round(board)
        round_.decide(EVSE, said(Status.CHARGING), make_taking())
        round_.decide(EVSE, said(Status.CHARGING, NOW + 1), make_taking(NOW + 1))
        assert held(board) == (Status.UNKNOWN, NEVER)
        assert board.seq == 1

    def test_a_decision_sees_those_before_it_in_its_round(self) -> None:
        board = registered()
        round_, taken = Round(board), make_taking(NOW + 9)
        round_.decide(EVSE, said(Status.CHARGING, NOW + 5), taken)
        assert round_.decide(EVSE, said(Status.AVAILABLE, NOW), taken) is STALE
        assert round_.decide(EVSE, said(Status.CHARGING, NOW + 6), taken) is UNCHANGED
        last = changed(round_.decide(EVSE, said(Status.AVAILABLE, NOW + 7), taken))
        assert last.was_status is Status.CHARGING
        assert [change.status for change in round_.changes] == [Status.CHARGING, Status.AVAILABLE]

    def test_an_expiry_in_the_same_round_yields_to_a_report_as_old_as_what_expired(self) -> None:
        board = registered()
        hear(board, EVSE, said(Status.CHARGING))
        at = NOW + 2 * DAY_MS
        round_ = Round(board)
        round_.add(board.expire(at, at, silent_after_a_day), make_taking(at, arrival=5))
        round_.decide(EVSE, said(Status.CHARGING), make_taking(at, arrival=6))
        assert [change.status for change in round_.changes] == [Status.UNKNOWN, Status.CHARGING]


class TestConfirm:
    """Rule 2: an unchanged report is a confirmation whatever its stamp."""

    def test_a_confirmation_moves_the_clocks_and_not_the_change(self) -> None:
        board = registered()
        hear(board, EVSE, said(Status.CHARGING))
        assert hear(board, EVSE, said(Status.CHARGING, NOW + 60, "xyz"), NOW + 65) is UNCHANGED
        row = board.cells[EVSE.key]
        assert (row.observed_at, row.heard_at, row.source) == (NOW + 60, NOW + 65, "xyz")
        assert (row.change.changed_at, row.change.source, row.seq) == (NOW, "abc", 2)

    @pytest.mark.parametrize("feed", [FEED, ORDERED, OCPI])
    @pytest.mark.parametrize("stamp", [NOW - 1, NOW - DAY_MS, NOW, None])
    def test_an_older_one_counts_silence_anew_and_moves_no_observation_back(
        self, feed: Feed, stamp: int | None
    ) -> None:
        board = registered()
        hear(board, EVSE, said(Status.CHARGING), NOW, feed)
        later = NOW + DAY_MS
        assert hear(board, EVSE, said(Status.CHARGING, stamp), later, feed) is UNCHANGED
        assert held(board) == (Status.CHARGING, later if stamp is None else NOW)
        assert board.expire(later + DAY_MS, later + DAY_MS, silent_after_a_day) == []

    @pytest.mark.parametrize("stamp", [NOW, NOW - 1])
    def test_who_confirms_without_a_later_observation_does_not_own(self, stamp: int) -> None:
        board = registered()
        hear(board, EVSE, said(Status.CHARGING))
        hear(board, EVSE, said(Status.CHARGING, stamp, "xyz"), NOW + 9)
        row = board.cells[EVSE.key]
        assert (row.source, row.heard_at) == ("abc", NOW + 9)

    def test_who_confirms_by_a_later_observation_owns(self) -> None:
        board = registered()
        hear(board, EVSE, said(Status.CHARGING))
        hear(board, EVSE, said(Status.CHARGING, NOW + 1, "xyz"), NOW + 9)
        assert board.cells[EVSE.key].source == "xyz"

    def test_a_change_counts_as_heard_after_the_confirmations_before_it_in_its_round(self) -> None:
        board = registered()
        hear(board, EVSE, make_report(source="first"))
        take(
            board,
            [
                (EVSE, said(Status.AVAILABLE, NOW + 1, "second")),
                (EVSE, said(Status.CHARGING, NOW + 2, "third")),
            ],
            NOW + 9,
        )
        row = board.cells[EVSE.key]
        assert (row.source, row.observed_at, row.heard_at) == ("third", NOW + 2, NOW + 9)

    def test_what_a_source_says_of_all_at_once_is_heard_and_moves_nothing_else(self) -> None:
        board = registered()
        hear(board, EVSE, said(Status.CHARGING))
        round_ = Round(board)
        round_.hear([EVSE.key], make_taking(NOW + 9))
        board.commit(round_, ())
        row = board.cells[EVSE.key]
        assert (row.heard_at, row.observed_at, row.change.changed_at) == (NOW + 9, NOW, NOW)


class TestCapped:
    """Rule 4: a stamp ahead of its receipt counts as received; the same word again counts as it did."""

    def test_a_stamp_ahead_of_receipt_counts_as_received_however_little(self) -> None:
        board = registered()
        change = changed(hear(board, EVSE, said(Status.CHARGING, NOW + 1), NOW))
        assert (change.observed_at, change.changed_at, change.stamp) == (NOW, NOW, NOW + 1)

    def test_a_clock_that_is_put_right_is_not_older(self) -> None:
        board = registered()
        hear(board, EVSE, said(Status.CHARGING, NOW + 7_200 * S), NOW)
        assert changed(hear(board, EVSE, said(Status.AVAILABLE, NOW + S), NOW + S)).status is Status.AVAILABLE

    @pytest.mark.parametrize("later", [60 * S, 7_200 * S, 10 * DAY_MS])
    def test_the_same_word_again_counts_as_it_did_even_once_its_time_has_come(self, later: int) -> None:
        board = registered()
        word = said(Status.CHARGING, NOW + 7_200 * S)
        hear(board, EVSE, word, NOW)
        hear(board, EVSE, said(Status.AVAILABLE, NOW + S), NOW + S)
        assert hear(board, EVSE, word, NOW + later) is STALE
        assert held(board) == (Status.AVAILABLE, NOW + S)

    def test_a_confirmation_by_it_moves_no_observation(self) -> None:
        board = registered()
        word = said(Status.CHARGING, NOW + 7_200 * S)
        hear(board, EVSE, word, NOW)
        assert hear(board, EVSE, word, NOW + 60 * S) is UNCHANGED
        assert held(board) == (Status.CHARGING, NOW)

    def test_it_is_kept_in_a_confirmation_and_of_a_word_that_did_not_hold_too(self) -> None:
        board = registered()
        hear(board, EVSE, said(Status.CHARGING))
        confirmation = said(Status.CHARGING, NOW + DAY_MS)
        hear(board, EVSE, confirmation, NOW + S)
        hear(board, EVSE, said(Status.AVAILABLE, NOW + 2 * S))
        assert hear(board, EVSE, confirmation, NOW + 60 * S) is STALE

    def test_it_is_in_the_checkpoint_and_made_of_the_log_after_a_crash(self) -> None:
        board = registered()
        word = said(Status.CHARGING, NOW + 7_200 * S)
        first = changed(hear(board, EVSE, word, NOW))
        row = msgspec.convert(msgspec.to_builtins(board.cells[EVSE.key]), BoardRow)
        folded: dict[str, BoardRow] = {}
        fold(folded, logged([first])[0])
        for found in (row, folded[EVSE.key]):
            again = Board([found])
            hear(again, EVSE, said(Status.AVAILABLE, NOW + S), NOW + S)
            assert hear(again, EVSE, word, NOW + 60 * S) is STALE

    def test_so_does_one_that_did_not_hold_and_is_not_the_last_of_its_feed(self) -> None:
        board = registered()
        hear(board, EVSE, said(Status.AVAILABLE, None), NOW + 60 * S)
        hear(board, EVSE, said(Status.CHARGING, None, "xyz"), NOW + 61 * S)
        ahead = said(Status.BLOCKED, NOW + DAY_MS)
        for received_at in (NOW, NOW + 90 * S):
            # Our clock went back by a minute in between.
            assert hear(board, EVSE, ahead, received_at) is STALE

    def test_another_word_that_is_ahead_counts_from_its_own_receipt(self) -> None:
        board = registered()
        hear(board, EVSE, said(Status.CHARGING, NOW + 7_200 * S), NOW)
        word = said(Status.AVAILABLE, NOW + 7_200 * S)
        assert changed(hear(board, EVSE, word, NOW + S)).observed_at == NOW + S


class TestOrdered:
    """Rule 5: in an ordered source arrival alone decides, whatever the stamps."""

    @pytest.mark.parametrize("first", [NOW, NOW + 120 * S, None, NOW - 5])
    @pytest.mark.parametrize("second", [NOW - DAY_MS, NOW, NOW + 9, None])
    def test_the_later_word_holds(self, first: int | None, second: int | None) -> None:
        board = registered()
        hear(board, EVSE, said(Status.AVAILABLE, first), NOW, ORDERED)
        change = changed(hear(board, EVSE, said(Status.CHARGING, second), NOW + S, ORDERED))
        assert change.status is Status.CHARGING
        assert change.observed_at <= NOW + S

    def test_it_counts_from_the_one_before_where_its_clock_says_less_and_keeps_its_own_stamp(self) -> None:
        board = registered()
        hear(board, EVSE, said(Status.AVAILABLE, None), NOW, ORDERED)
        change = changed(hear(board, EVSE, said(Status.CHARGING, NOW - 20 * S), NOW + S, ORDERED))
        assert (change.observed_at, change.stamp) == (NOW, NOW - 20 * S)
        old = said(Status.AVAILABLE, NOW - 10 * S, "xyz")
        assert hear(board, EVSE, old, NOW + 2 * S) is STALE, "of another source it is older all the same"

    def test_between_two_sources_stamps_decide(self) -> None:
        board = registered()
        hear(board, EVSE, said(Status.AVAILABLE, NOW, "xyz"))
        assert hear(board, EVSE, said(Status.CHARGING, NOW - S), NOW + S, ORDERED) is STALE
        assert is_change(hear(board, EVSE, said(Status.CHARGING, NOW + S), NOW + S, ORDERED))

    def test_words_of_a_page_arrived_when_its_round_began(self) -> None:
        board = registered()
        feed = Feed("abc/oicp", Order.ARRIVAL)
        hear(board, EVSE, said(Status.AVAILABLE, None), NOW, feed)
        began = Beginning(board.arrive(), NOW + S)
        hear(board, EVSE, said(Status.CHARGING, None), NOW + 2 * S, feed)
        assert hear(board, EVSE, said(Status.AVAILABLE, None), NOW + 3 * S, feed, began) is STALE
        assert held(board) == (Status.CHARGING, NOW + 2 * S)

    def test_a_word_of_a_round_without_a_stamp_counts_from_when_the_round_began(self) -> None:
        board = registered()
        began = Beginning(board.arrive(), NOW + S)
        change = changed(hear(board, EVSE, said(Status.CHARGING, None), NOW + 3 * S, OCPI, began))
        assert change.observed_at == NOW + S
        other = said(Status.AVAILABLE, NOW + 2 * S, "xyz")
        assert is_change(hear(board, EVSE, other, NOW + 4 * S, Feed("xyz")))
        assert hear(board, EVSE, said(Status.RESERVED, None), NOW + 5 * S, OCPI, began) is STALE

    def test_what_only_confirmed_another_sources_word_is_no_change_when_it_is_said_again(self) -> None:
        board = registered()
        began = Beginning(board.arrive(), NOW + S)
        hear(board, EVSE, said(Status.CHARGING, NOW + 2 * S), NOW + 2 * S, ORDERED)
        poll = said(Status.CHARGING, None, "xyz")
        assert hear(board, EVSE, poll, NOW + 3 * S, Feed("xyz"), began) is UNCHANGED
        assert is_change(hear(board, EVSE, said(Status.AVAILABLE, NOW + 4 * S), NOW + 4 * S, ORDERED))
        assert hear(board, EVSE, poll, NOW + 5 * S, Feed("xyz")) is STALE

    def test_when_it_changed_by_a_wrong_clock_is_put_right_by_the_next_change_of_a_confirmed_status(
        self,
    ) -> None:
        board = registered()
        years = NOW + 3_650 * DAY_MS
        hear(board, EVSE, said(Status.CHARGING, years), years, ORDERED)
        assert hear(board, EVSE, said(Status.CHARGING, NOW), NOW, ORDERED) is UNCHANGED
        change = changed(hear(board, EVSE, said(Status.AVAILABLE, NOW + S), NOW + S, ORDERED))
        assert (change.observed_at, change.changed_at) == (NOW + S, NOW + S)

    def test_with_times_by_receipt_no_stamp_counts(self) -> None:
        board = registered()
        feed = Feed("abc", by_receipt=True)
        hear(board, EVSE, said(Status.CHARGING, NOW + DAY_MS), NOW, feed)
        change = changed(hear(board, EVSE, said(Status.AVAILABLE, NOW - DAY_MS), NOW + S, feed))
        assert (change.observed_at, change.stamp) == (NOW + S, NEVER)


class TestUpdates:
    """Rule 5: in OCPI stamps decide; where they do not, the later arrival does."""

    def test_stamps_decide_whatever_arrived_later(self) -> None:
        board = registered()
        hear(board, EVSE, said(Status.CHARGING, NOW), NOW, OCPI)
        assert hear(board, EVSE, said(Status.AVAILABLE, NOW - S), NOW + S, OCPI) is STALE

    @pytest.mark.parametrize(
        ("first", "second"),
        [
            (NOW, NOW),
            (NOW, None),
            (None, NOW - S),
            (None, None),
            (NOW + DAY_MS, NOW - S),
            (NOW, NOW + DAY_MS),
        ],
    )
    def test_equal_missing_and_capped_stamps_leave_it_to_arrival(
        self, first: int | None, second: int | None
    ) -> None:
        board = registered()
        hear(board, EVSE, said(Status.OUTOFORDER, first), NOW, OCPI)
        assert is_change(hear(board, EVSE, said(Status.AVAILABLE, second), NOW + S, OCPI))

    def test_after_a_word_without_a_time_stamps_count_from_the_next_one_on(self) -> None:
        board = registered()
        hear(board, EVSE, said(Status.CHARGING, None), NOW, OCPI)
        change = changed(hear(board, EVSE, said(Status.AVAILABLE, NOW - 5 * S), NOW + S, OCPI))
        assert (change.observed_at, change.stamp) == (NOW, NOW - 5 * S)
        assert hear(board, EVSE, said(Status.BLOCKED, NOW - 6 * S), NOW + 2 * S, OCPI) is STALE
        assert is_change(hear(board, EVSE, said(Status.BLOCKED, NOW - 4 * S), NOW + 3 * S, OCPI))

    @pytest.mark.parametrize("stamp", [NOW, None])
    def test_a_page_whose_round_began_before_does_not_take_back_what_was_pushed_since(
        self, stamp: int | None
    ) -> None:
        board = registered()
        hear(board, EVSE, said(Status.AVAILABLE, stamp), NOW, OCPI)
        began = Beginning(board.arrive(), NOW + S)
        hear(board, EVSE, said(Status.CHARGING, stamp), NOW + 2 * S, OCPI)
        assert hear(board, EVSE, said(Status.AVAILABLE, stamp), NOW + 3 * S, OCPI, began) is STALE


class TestSeveralSources:
    """Rule 5: a source's own last word once more is never a change, unless the status was lost."""

    @pytest.mark.parametrize("order", Order)
    def test_two_sources_without_times_that_disagree_do_not_flip_the_board_at_every_poll(
        self, order: Order
    ) -> None:
        board = registered()
        feeds = {"abc": Feed("abc/a", order), "xyz": Feed("xyz/b", order)}
        words = {"abc": Status.AVAILABLE, "xyz": Status.CHARGING}
        for later in range(20):
            for source, feed in feeds.items():
                hear(board, EVSE, said(words[source], None, source), NOW + later * S, feed)
        assert board.seq == 3
        assert held(board)[0] is Status.CHARGING

    def test_a_new_word_of_either_counts(self) -> None:
        board = registered()
        a, b = Feed("abc/a", Order.ARRIVAL), Feed("xyz/b", Order.ARRIVAL)
        hear(board, EVSE, said(Status.AVAILABLE, None), NOW, a)
        hear(board, EVSE, said(Status.CHARGING, None, "xyz"), NOW + 1, b)
        hear(board, EVSE, said(Status.AVAILABLE, None), NOW + 2, a)
        assert held(board)[0] is Status.CHARGING
        assert is_change(hear(board, EVSE, said(Status.BLOCKED, None), NOW + 3, a))
        assert hear(board, EVSE, said(Status.CHARGING, None, "xyz"), NOW + 4, b) is STALE
        assert is_change(hear(board, EVSE, said(Status.RESERVED, None, "xyz"), NOW + 5, b))

    def test_an_equal_stamp_says_nothing_new_either(self) -> None:
        board = registered()
        word = said(Status.AVAILABLE, NOW - 9 * S)
        hear(board, EVSE, word, NOW, OCPI)
        hear(board, EVSE, said(Status.CHARGING, NOW - 9 * S, "xyz"), NOW + 1)
        assert held(board)[0] is Status.CHARGING
        assert hear(board, EVSE, word, NOW + 2, OCPI) is STALE

    def test_its_own_last_word_counts_again_where_the_status_was_lost(self) -> None:
        board = registered()
        a, b = Feed("abc/a", Order.ARRIVAL), Feed("xyz/b", Order.ARRIVAL)
        hear(board, EVSE, said(Status.AVAILABLE, None), NOW, a)
        hear(board, EVSE, said(Status.CHARGING, None, "xyz"), NOW + 1, b)
        lose(board, NOW + 2)
        assert is_change(hear(board, EVSE, said(Status.AVAILABLE, None), NOW + 3, a))

    def test_what_it_said_after_it_had_lost_the_status_is_its_last_word(self) -> None:
        board = registered()
        a, b = Feed("abc/a", Order.ARRIVAL), Feed("xyz/b", Order.ARRIVAL)
        hear(board, EVSE, said(Status.CHARGING, None), NOW, a)
        lose(board, NOW + 1)
        assert hear(board, EVSE, said(Status.UNKNOWN, NOW - S), NOW + 2, a) is UNCHANGED
        hear(board, EVSE, said(Status.AVAILABLE, None, "xyz"), NOW + 3, b)
        assert hear(board, EVSE, said(Status.UNKNOWN, None), NOW + 4, a) is STALE

    def test_what_arrives_after_a_restart_is_later_than_all_of_them(self) -> None:
        board = registered()
        hear(board, EVSE, said(Status.CHARGING, NOW, "xyz"))
        for _ in range(2):
            assert hear(board, EVSE, said(Status.AVAILABLE, NOW - S), NOW, ORDERED) is STALE
        for again in (Board(board.cells.values()), Board()):
            if not again.cells:
                again.restore([msgspec.structs.replace(row) for row in board.cells.values()], board.seq)
            assert is_change(hear(again, EVSE, said(Status.BLOCKED, NOW + S), NOW + S, ORDERED))

    def test_what_it_says_later_counts_from_what_it_said_after_it_had_lost_the_status(self) -> None:
        board = registered()
        hear(board, EVSE, said(Status.CHARGING, NOW), NOW, ORDERED)
        lose(board, NOW + 1)
        hear(board, EVSE, said(Status.UNKNOWN, NOW - S), NOW + 2, ORDERED)
        change = changed(hear(board, EVSE, said(Status.AVAILABLE, NOW - 9 * S), NOW + 3, ORDERED))
        assert change.observed_at == NOW - S

    def test_a_feed_that_has_the_evse_again_is_not_among_the_others(self) -> None:
        board = registered()
        hear(board, EVSE, said(Status.CHARGING, NOW), NOW, ORDERED)
        lose(board, NOW + 1)
        hear(board, EVSE, said(Status.UNKNOWN, NOW - S), NOW + 2, ORDERED)
        hear(board, EVSE, said(Status.AVAILABLE, NOW - S), NOW + 3, ORDERED)
        more = board.cells[EVSE.key].more
        assert more is None or more.others == ()

    def test_they_are_kept_in_the_checkpoint(self) -> None:
        board = registered()
        a, b = Feed("abc/a", Order.ARRIVAL), Feed("xyz/b", Order.ARRIVAL)
        hear(board, EVSE, said(Status.AVAILABLE, None), NOW, a)
        hear(board, EVSE, said(Status.CHARGING, None, "xyz"), NOW + 1, b)
        again = Board([msgspec.convert(msgspec.to_builtins(board.cells[EVSE.key]), BoardRow)])
        assert hear(again, EVSE, said(Status.AVAILABLE, None), NOW + 3, a) is STALE

    def test_the_last_words_of_a_few_feeds_are_kept(self) -> None:
        board = registered()
        for number in range(2 * FEEDS_MAX):
            feed = Feed(f"t{number}", Order.ARRIVAL)
            hear(board, EVSE, said(PAIRS[number][0], None, f"t{number}"), NOW + 99 + number, feed)
        more = board.cells[EVSE.key].more
        assert more is not None
        assert len(more.others) == FEEDS_MAX


class TestLoss:
    """Rule 7: what ends a lost status."""

    def lost(self, feed: Feed = FEED, stamp: int | None = NOW) -> Board:
        board = registered()
        hear(board, EVSE, said(Status.CHARGING, stamp), NOW, feed)
        lose(board)
        return board

    AFTER = NOW + DAY_MS + 5 * S

    @pytest.mark.parametrize("source", ["abc", "xyz"])
    @pytest.mark.parametrize("stamp", [NOW, NOW - DAY_MS])
    def test_the_status_that_was_lost_revives_it_from_anyone_with_the_observation_that_it_had(
        self, source: str, stamp: int
    ) -> None:
        board = self.lost()
        change = changed(hear(board, EVSE, said(Status.CHARGING, stamp, source), self.AFTER))
        assert (change.status, change.observed_at) == (Status.CHARGING, NOW)

    @pytest.mark.parametrize("source", ["abc", "xyz"])
    def test_so_does_any_word_that_is_not_older_than_the_last_observation(self, source: str) -> None:
        board = self.lost()
        assert hear(board, EVSE, said(Status.AVAILABLE, NOW - 1, source), self.AFTER) is STALE
        assert is_change(hear(board, EVSE, said(Status.AVAILABLE, NOW, source), self.AFTER))

    def test_in_an_ordered_conversation_any_new_word_of_the_source_that_lost_it_does(self) -> None:
        board = self.lost(ORDERED)
        older = said(Status.AVAILABLE, NOW - DAY_MS)
        change = changed(hear(board, EVSE, older, self.AFTER, ORDERED))
        assert (change.status, change.observed_at) == (Status.AVAILABLE, NOW - DAY_MS)

    @pytest.mark.parametrize("feed", [FEED, OCPI])
    def test_so_does_one_of_a_new_round_but_not_of_one_that_began_before(self, feed: Feed) -> None:
        board = registered()
        hear(board, EVSE, said(Status.CHARGING, NOW), NOW, feed)
        before = Beginning(board.arrive(), NOW + S)
        lose(board)
        older = said(Status.AVAILABLE, NOW - S)
        assert hear(board, EVSE, older, self.AFTER, feed, before) is STALE
        since = Beginning(board.arrive(), self.AFTER)
        assert changed(hear(board, EVSE, older, self.AFTER, feed, since)).observed_at == NOW - S

    def test_of_another_source_an_older_word_of_a_new_round_does_not(self) -> None:
        board = self.lost()
        since = Beginning(board.arrive(), self.AFTER)
        assert hear(board, EVSE, said(Status.AVAILABLE, NOW - S, "xyz"), self.AFTER, None, since) is STALE

    def test_what_was_revived_by_an_older_word_is_not_lost_by_a_maximum(self) -> None:
        board = self.lost(ORDERED)
        hear(board, EVSE, said(Status.AVAILABLE, NOW - DAY_MS), self.AFTER, ORDERED)
        newer = said(Status.BLOCKED, NOW - S, "xyz")
        assert is_change(hear(board, EVSE, newer, self.AFTER + S)), "newer than what revived it"

    def test_when_it_changed_never_goes_back(self) -> None:
        board = self.lost()
        change = changed(hear(board, EVSE, said(Status.CHARGING, NOW), self.AFTER))
        assert change.changed_at == NOW + DAY_MS
        later = changed(hear(board, EVSE, said(Status.AVAILABLE, NOW + S), self.AFTER + S))
        assert (later.observed_at, later.changed_at) == (NOW + S, NOW + DAY_MS)

    def test_a_later_word_that_says_unknown_settles_it(self) -> None:
        board = self.lost()
        assert hear(board, EVSE, said(Status.UNKNOWN, NOW + S), self.AFTER) is UNCHANGED
        assert hear(board, EVSE, said(Status.CHARGING, NOW, "xyz"), self.AFTER) is STALE

    def test_a_log_of_before_says_withdrawn_of_a_status_that_was_lost(self) -> None:
        board = registered()
        hear(board, EVSE, said(Status.CHARGING))
        old = msgspec.structs.replace(
            board.give_up(EVSE.key, self.AFTER) or make_change(), cause=Cause.WITHDRAWN
        )
        put(board, [old], self.AFTER)
        assert is_change(hear(board, EVSE, said(Status.CHARGING, NOW - S), self.AFTER))

    def test_the_daily_list_of_a_peer_whose_patch_has_no_time_revives_what_it_told_a_second_older(
        self,
    ) -> None:
        """OCPI 2.1.1: a PATCH without a time, and each day a list in which the same status is a second older."""
        board = registered()
        hear(board, EVSE, said(Status.CHARGING, None), NOW, OCPI)
        listed = said(Status.CHARGING, NOW - S)
        for day in range(1, 9):
            at = NOW + day * DAY_MS
            assert board.expire(at, at, silent_after_a_day) == []
            assert hear(board, EVSE, listed, at, OCPI, Beginning(board.arrive(), at)) is UNCHANGED
        at = NOW + 10 * DAY_MS
        put(board, board.expire(at, at, silent_after_a_day), at)
        assert held(board)[0] is Status.UNKNOWN
        revived = hear(board, EVSE, listed, at + S, OCPI, Beginning(board.arrive(), at))
        assert changed(revived).status is Status.CHARGING


class TestMaxAge:
    """Rule 7: an observation that is too old is taken as UNKNOWN, and revives nothing."""

    FEED = Feed("abc", max_age_s=86_400)

    def test_an_old_observation_says_unknown(self) -> None:
        board = registered()
        hear(board, EVSE, said(Status.CHARGING, NOW - 2 * DAY_MS - 1), NOW - DAY_MS, self.FEED)
        assert board.cells[EVSE.key].change.status is Status.UNKNOWN
        assert is_change(hear(board, EVSE, said(Status.CHARGING, NOW - DAY_MS), NOW, self.FEED))

    def test_what_a_dead_system_goes_on_saying_ends_when_it_is_too_old(self) -> None:
        board = registered()
        word = said(Status.CHARGING, NOW)
        hear(board, EVSE, word, NOW, self.FEED)
        assert hear(board, EVSE, word, NOW + DAY_MS, self.FEED) is UNCHANGED
        change = changed(hear(board, EVSE, word, NOW + DAY_MS + 1, self.FEED))
        assert (change.status, change.raw) == (Status.UNKNOWN, "CHARGING")
        assert hear(board, EVSE, word, NOW + DAY_MS + 2, self.FEED) is UNCHANGED

    @pytest.mark.parametrize("feed", [FEED, Feed("abc", Order.ARRIVAL, max_age_s=86_400)])
    def test_it_revives_nothing(self, feed: Feed) -> None:
        board = registered()
        feed = msgspec.structs.replace(feed, max_age_s=86_400)
        hear(board, EVSE, said(Status.CHARGING, NOW), NOW, feed)
        lose(board, NOW + 2 * DAY_MS)
        assert hear(board, EVSE, said(Status.CHARGING, NOW), NOW + 2 * DAY_MS, feed) is UNCHANGED
        assert held(board)[0] is Status.UNKNOWN

    def test_it_ends_nothing_that_another_source_observed_later(self) -> None:
        board = registered()
        hear(board, EVSE, said(Status.AVAILABLE, NOW, "xyz"))
        assert hear(board, EVSE, said(Status.CHARGING, NOW - 2 * DAY_MS), NOW, self.FEED) is STALE


class TestWrongClock:
    """A stamp further ahead of the receive time than five minutes was given by a clock that was wrong."""

    AHEAD = NOW + 3_650 * DAY_MS

    @pytest.mark.parametrize("source", ["abc", "xyz"])
    @pytest.mark.parametrize("stamp", [None, NOW, NOW - DAY_MS])
    @pytest.mark.parametrize("order", Order)
    def test_any_word_received_now_beats_it(self, source: str, stamp: int | None, order: Order) -> None:
        board = registered()
        hear(board, EVSE, said(Status.CHARGING, None), self.AHEAD)
        change = changed(hear(board, EVSE, said(Status.AVAILABLE, stamp, source), NOW, Feed("x", order)))
        assert (change.observed_at, change.changed_at) == ((NOW if stamp is None else stamp),) * 2

    def test_so_does_a_confirmation(self) -> None:
        board = registered()
        hear(board, EVSE, said(Status.CHARGING, None), self.AHEAD)
        assert hear(board, EVSE, said(Status.CHARGING, None, "xyz"), NOW) is UNCHANGED
        assert held(board) == (Status.CHARGING, NOW)
        assert board.cells[EVSE.key].source == "xyz"

    def test_what_was_lost_while_it_was_wrong_is_revived(self) -> None:
        board = registered()
        hear(board, EVSE, said(Status.CHARGING, None), self.AHEAD)
        lose(board, self.AHEAD)
        change = changed(hear(board, EVSE, said(Status.AVAILABLE, None), NOW))
        assert (change.observed_at, change.changed_at) == (NOW, NOW)

    def test_words_that_were_capped_or_kept_then_count_no_more(self) -> None:
        board = registered()
        word = said(Status.CHARGING, self.AHEAD + DAY_MS)
        hear(board, EVSE, word, self.AHEAD, OCPI)
        hear(board, EVSE, said(Status.AVAILABLE, None, "xyz"), NOW)
        assert changed(hear(board, EVSE, word, NOW + S, OCPI)).observed_at == NOW + S

    def test_a_word_that_comes_again_when_the_clock_is_right_stays_the_last_one_by_its_stamp(self) -> None:
        board = registered()
        word = said(Status.AVAILABLE, NOW)
        hear(board, EVSE, word, self.AHEAD, OCPI)
        hear(board, EVSE, word, NOW - S, OCPI)
        assert hear(board, EVSE, said(Status.CHARGING, NOW - 2 * S), NOW - S, OCPI) is STALE

    def test_so_does_one_that_does_not_hold(self) -> None:
        board = registered()
        word = said(Status.AVAILABLE, NOW)
        hear(board, EVSE, word, self.AHEAD, OCPI)
        hear(board, EVSE, said(Status.CHARGING, NOW + 1, "xyz"), self.AHEAD)
        assert hear(board, EVSE, word, NOW - S, OCPI) is STALE
        assert hear(board, EVSE, said(Status.BLOCKED, NOW - 2 * S), NOW - S, OCPI) is STALE
        change = hear(board, EVSE, said(Status.BLOCKED, None), NOW + 9 * S, OCPI)
        assert is_change(change), "not what it said last, as that was older"

    def test_after_a_small_step_back_words_without_a_time_are_not_older(self) -> None:
        board = registered()
        hear(board, EVSE, said(Status.CHARGING, None), NOW)
        at = NOW - STEP_BACK_MS_MAX + S
        assert changed(hear(board, EVSE, said(Status.AVAILABLE, None), at)).observed_at == at
        assert changed(hear(board, EVSE, said(Status.BLOCKED, None, "xyz"), at - S)).observed_at == at - S


class TestFold:
    """Recovery makes of the log what the decision made."""

    def test_an_entry_applied_again_changes_nothing(self) -> None:
        rows: dict[str, BoardRow] = {}
        entries = logged([make_change(status=Status.CHARGING), make_change(changed_at=NOW + 1)])
        for entry in entries * 2:
            fold(rows, entry)
        assert (rows[EVSE.key].seq, rows[EVSE.key].change) == (2, entries[1].change)

    def test_a_step_of_the_clock_between_two_entries_is_no_silence(self) -> None:
        first, second = logged([make_change(), make_change(changed_at=NOW + 3_650 * DAY_MS)])
        times = fold({}, second, fold({}, first, TIMES))
        assert times == Times(NOW + 3_650 * DAY_MS, NOW + STEP_BACK_MS_MAX)
        assert fold({}, first, times) == Times(NOW, NOW + STEP_BACK_MS_MAX)

    def test_what_each_source_said_last_is_no_change_when_it_is_said_again_though_a_crash_forgot_on_which_feed(
        self,
    ) -> None:
        board = registered()
        words = (said(Status.AVAILABLE, None), said(Status.CHARGING, None, "xyz"))
        changes = [changed(hear(board, EVSE, word, NOW + at)) for at, word in enumerate(words)]
        rows: dict[str, BoardRow] = {}
        for entry in logged(changes):
            fold(rows, entry)
        again = Board(rows.values())
        for poll in range(4):
            word = words[poll % 2]
            feed = Feed(f"{word.source}/polled")
            assert not is_change(hear(again, EVSE, word, NOW + (poll + 1) * S, feed))

    @pytest.mark.parametrize("moves", [True, False])
    def test_of_who_owns_by_a_confirmation_an_entry_that_is_no_word_tells_nothing_but_the_name(
        self, moves: bool
    ) -> None:
        board = registered()
        first = changed(hear(board, EVSE, said(Status.CHARGING, None), NOW, Feed("abc/pulled")))
        rows: dict[str, BoardRow] = {}
        changes: tuple[Change, ...]
        fold(rows, logged([first])[0])
        hear(board, EVSE, said(Status.CHARGING, NOW + DAY_MS, "xyz"), NOW + S, Feed("xyz/pushed"))
        if moves:
            changes = board.move(make_evse(station="NOR_00002"), NOW + 2 * S) or ()
        else:
            lost = board.give_up(EVSE.key, NOW + 2 * S)
            changes = () if lost is None else (lost,)
        for entry in logged(changes, 1):
            fold(rows, entry)
        row = rows[EVSE.key]
        assert (row.source, row.feed, row.observed_at) == ("xyz", "", NOW + S)
        assert row.more is not None
        assert [(each.source, each.status) for each in row.more.others] == [("abc", Status.CHARGING)]
        if moves:
            assert row.more.capped is not None
            assert (row.more.capped.source, row.more.capped.stamp) == ("xyz", NOW + DAY_MS)

    def test_a_row_of_the_first_format_is_read_as_it_is(self) -> None:
        old = [7, msgspec.to_builtins(make_change(EVSE))[:12], NOW + 5, NOW + 6, "abc"]
        row = msgspec.convert(old, BoardRow)
        assert row == BoardRow(7, make_change(EVSE), NOW + 5, NOW + 6, "abc")
        board = Board([row])
        assert hear(board, EVSE, said(Status.AVAILABLE, NOW + 9)) is UNCHANGED
        assert board.cells[EVSE.key].feed == "abc"


class TestBoard:
    def test_a_board_made_of_rows_is_as_far_as_the_newest_of_them(self) -> None:
        other = make_evse("NO*ABC*E2")
        rows = [
            BoardRow(7, make_change(EVSE), NOW + 5, NOW + 6, "abc"),
            BoardRow(9, make_change(other), NOW, NOW, "abc", arrival=4),
        ]
        board = Board(rows)
        assert (board.seq, len(board), board.arrivals) == (9, 2, 4)
        assert [board.cells[key] for key in (EVSE.key, other.key)] == rows

    def test_an_empty_board_is_at_the_beginning(self) -> None:
        assert Board().seq == 0


class TestTouched:
    def test_what_changed_or_was_confirmed_since_the_last_time_is_taken_once(self) -> None:
        first, second, third = make_evses(3)
        board = Board()
        register(board, [first, second, third])
        board.take_touched()
        take(board, [(first, make_report(first)), (second, make_report(second, Status.UNKNOWN))])
        assert board.take_touched() == {first.key, second.key}
        assert board.take_touched() == set()

    def test_what_a_failed_checkpoint_did_not_keep_is_taken_again(self) -> None:
        board = registered()
        touched = board.take_touched()
        board.touch(touched)
        assert board.take_touched() == touched == {EVSE.key}

    def test_a_row_is_made_when_it_is_asked_for(self) -> None:
        board = registered()
        rows = board.rows(board.take_touched())
        hear(board, EVSE, make_report(status=Status.CHARGING))
        assert [row.change.status for row in rows] == [Status.CHARGING]


class TestExpire:
    def expired(self, board: Board, at: int) -> list[Change]:
        return board.expire(at, at, silent_after_a_day)

    def test_an_evse_whose_source_is_silent_for_longer_than_its_limit_becomes_unknown(self) -> None:
        board = registered()
        hear(board, EVSE, said(Status.CHARGING, error=True))
        assert self.expired(board, NOW + DAY_MS) == []
        (change,) = self.expired(board, NOW + DAY_MS + 1)
        assert (change.status, change.error, change.cause) == (Status.UNKNOWN, False, Cause.EXPIRED)
        assert (change.was_status, change.was_error) == (Status.CHARGING, True)
        assert (change.changed_at, change.received_at) == (NOW + DAY_MS + 1, NOW + DAY_MS + 1)
        assert (change.observed_at, change.raw) == (NOW, "")

    def test_silence_is_judged_by_its_own_clock_and_dated_by_the_receive_time(self) -> None:
        board = registered()
        hear(board, EVSE, said(Status.CHARGING))
        assert board.expire(NOW + DAY_MS, NOW + 99 * DAY_MS, silent_after_a_day) == []
        (change,) = board.expire(NOW + DAY_MS + 1, NOW + 5, silent_after_a_day)
        assert change.received_at == change.changed_at == NOW + 5

    def test_silence_counts_on_our_clock_not_on_the_operators(self) -> None:
        board = registered()
        hear(board, EVSE, make_report(observed_at=NOW - 30 * DAY_MS), NOW)
        assert self.expired(board, NOW + DAY_MS) == []

    def test_a_confirmation_ends_the_silence(self) -> None:
        board = registered()
        hear(board, EVSE, make_report())
        hear(board, EVSE, make_report(), NOW + DAY_MS)
        assert self.expired(board, NOW + 2 * DAY_MS) == []
        assert len(self.expired(board, NOW + 2 * DAY_MS + 1)) == 1

    def test_a_stale_report_of_another_status_does_not(self) -> None:
        board = registered()
        hear(board, EVSE, make_report())
        hear(board, EVSE, said(Status.CHARGING, NOW - 1), NOW + DAY_MS)
        assert len(self.expired(board, NOW + DAY_MS + 1)) == 1

    def test_each_source_has_its_own_limit_and_whose_it_is_counts(self) -> None:
        first, second, third = make_evses(3)
        board = Board()
        for evse, source in ((first, "quick"), (second, "slow"), (third, "quick")):
            hear(board, evse, make_report(evse, source=source))
        hear(board, third, make_report(third, observed_at=NOW + 1, source="slow"))
        limits = {"quick": 1_000, "slow": DAY_MS}
        at = NOW + 1_002
        assert [found.evse for found in board.expire(at, at, limits.__getitem__)] == [first.key]

    def test_it_looks_at_the_given_evses_only_and_knows_them_all(self) -> None:
        first, second = make_evses(2)
        board = Board()
        take(board, [(first, make_report(first)), (second, make_report(second))])
        at = NOW + 2 * DAY_MS
        found = board.expire(at, at, silent_after_a_day, [second.key, "NOABCE404"])
        assert [change.evse for change in found] == [second.key]

    @pytest.mark.parametrize("status", [Status.UNKNOWN, Status.PLANNED, Status.REMOVED])
    def test_what_claims_nothing_of_this_moment_does_not_end(self, status: Status) -> None:
        board = registered()
        hear(board, EVSE, said(status))
        assert self.expired(board, NOW + 2 * DAY_MS) == []
        assert board.give_up(EVSE.key, NOW) is None

    def test_an_error_ends_even_where_the_status_is_unknown(self) -> None:
        board = registered()
        hear(board, EVSE, said(Status.UNKNOWN, error=True))
        (change,) = self.expired(board, NOW + 2 * DAY_MS)
        assert (change.status, change.error, change.was_error) == (Status.UNKNOWN, False, True)

    def test_what_has_expired_does_not_expire_again(self) -> None:
        board = registered()
        hear(board, EVSE, make_report())
        put(board, self.expired(board, NOW + 2 * DAY_MS), NOW + 2 * DAY_MS)
        assert self.expired(board, NOW + 9 * DAY_MS) == []


class TestGiveUp:
    def test_an_evse_whose_source_signed_off_becomes_unknown(self) -> None:
        board = registered()
        hear(board, EVSE, said(Status.CHARGING))
        change = board.give_up(EVSE.key, NOW + 5)
        assert change is not None
        assert (change.status, change.cause, change.changed_at) == (
            Status.UNKNOWN,
            Cause.DISCONNECTED,
            NOW + 5,
        )
        assert (change.was_status, change.source) == (Status.CHARGING, "abc")

    def test_its_error_ends_too(self) -> None:
        board = registered()
        hear(board, EVSE, said(Status.UNKNOWN, error=True))
        change = board.give_up(EVSE.key, NOW + 5)
        assert change is not None
        assert (change.status, change.error) == (Status.UNKNOWN, False)

    def test_what_is_not_on_the_board_or_lost_already_cannot_be_given_up(self) -> None:
        assert Board().give_up(EVSE.key, NOW) is None
        board = registered()
        hear(board, EVSE, said(Status.CHARGING))
        lose(board)
        assert board.give_up(EVSE.key, NOW + 2 * DAY_MS) is None


class TestWithdraw:
    def test_one_that_is_gone_becomes_removed_once(self) -> None:
        board = registered()
        change = board.withdraw(EVSE.key, NOW + 5)
        assert change is not None
        assert change.cause is Cause.WITHDRAWN
        put(board, [change])
        assert board.cells[EVSE.key].change.status is Status.REMOVED
        assert board.withdraw(EVSE.key, NOW + 6) is None

    def test_what_is_not_on_the_board_cannot_be_withdrawn(self) -> None:
        assert Board().withdraw(EVSE.key, NOW) is None


class TestRegister:
    def test_an_evse_comes_onto_the_board_with_nothing_known(self) -> None:
        change = Board().register(EVSE, NOW)
        assert change is not None
        assert (change.status, change.error, change.cause) == (Status.UNKNOWN, False, Cause.REGISTERED)
        assert (change.changed_at, change.observed_at) == (NEVER, NEVER)
        assert (change.source, change.raw) == ("", "")

    def test_one_that_is_there_stays_as_it_is(self) -> None:
        board = registered()
        assert board.register(EVSE, NOW + 1) is None
        hear(board, EVSE, make_report(status=Status.REMOVED))
        assert board.register(EVSE, NOW + 2) is None

    def test_one_that_was_gone_comes_back_with_nothing_known(self) -> None:
        board = registered()
        hear(board, EVSE, make_report(status=Status.CHARGING))
        gone = board.withdraw(EVSE.key, NOW + 5)
        assert gone is not None
        put(board, [gone])
        change = board.register(EVSE, NOW + 9)
        assert change is not None
        assert (change.status, change.was_status, change.changed_at) == (
            Status.UNKNOWN,
            Status.REMOVED,
            NEVER,
        )

    def test_any_report_counts_once_it_came_back(self) -> None:
        board = registered()
        hear(board, EVSE, make_report(status=Status.CHARGING))
        gone = board.withdraw(EVSE.key, NOW + 5)
        assert gone is not None
        put(board, [gone])
        register(board, [EVSE], NOW + 9)
        assert is_change(hear(board, EVSE, make_report(observed_at=NOW - 1)))

    def test_so_it_does_when_it_comes_before_the_register_is_on_the_board_again(self) -> None:
        word = make_report(observed_at=NOW - 9 * S)
        board = registered()
        for report in (word, make_report(status=Status.CHARGING, source="xyz")):
            hear(board, EVSE, report)
        gone = board.withdraw(EVSE.key, NOW + 5)
        assert gone is not None
        rows = {EVSE.key: msgspec.structs.replace(board.cells[EVSE.key])}
        entries = put(board, [gone])
        change = changed(hear(board, EVSE, word, NOW + 6))
        assert (change.was_status, change.observed_at) == (Status.REMOVED, NOW - 9 * S)
        assert board.cells[EVSE.key].more is None
        for entry in (*entries, *logged([change], board.seq - 1)):
            fold(rows, entry)
        assert rows[EVSE.key].more is None

    def test_one_that_moved_is_registered_at_its_new_station(self) -> None:
        board = registered()
        change = board.register(make_evse(station="NOR_00002"), NOW)
        assert change is not None
        assert change.station == "NOR_00002"


class TestMove:
    HERE = make_evse()
    THERE = make_evse(station="NOR_00002")

    def test_an_evse_that_moved_is_removed_there_and_is_here_as_it_was(self) -> None:
        board = registered()
        hear(board, self.HERE, make_report(status=Status.CHARGING, error=True, source="xyz"))
        hear(board, self.HERE, make_report(status=Status.CHARGING, error=True, observed_at=NOW + 5))
        moved = board.move(self.THERE, NOW + 9)
        assert moved is not None
        off, on = moved
        assert (off.station, off.status, off.cause) == ("NOR_00001", Status.REMOVED, Cause.WITHDRAWN)
        assert (off.was_status, off.was_error) == (Status.CHARGING, True)
        assert (on.station, on.status, on.error, on.cause) == (
            "NOR_00002",
            Status.CHARGING,
            True,
            Cause.REGISTERED,
        )
        assert (on.changed_at, on.observed_at, on.was_status) == (NOW, NOW + 5, Status.REMOVED)
        assert on.source == "abc"

    def test_it_is_on_the_board_as_it_was_and_confirmed_as_before(self) -> None:
        board = registered()
        hear(board, self.HERE, make_report(status=Status.CHARGING))
        put(board, board.move(self.THERE, NOW + 9) or ())
        row = board.cells[EVSE.key]
        assert (row.change.station, row.change.status) == ("NOR_00002", Status.CHARGING)
        assert (row.feed, row.heard_at, row.observed_at) == ("abc", NOW, NOW)
        assert hear(board, self.THERE, make_report(status=Status.CHARGING, observed_at=NOW + 1)) is UNCHANGED

    def test_one_that_is_unknown_keeps_what_was_said_of_it(self) -> None:
        board = registered()
        ahead = make_report(status=Status.UNKNOWN, observed_at=NOW + DAY_MS)
        hear(board, self.HERE, ahead, NOW)
        put(board, board.move(self.THERE, NOW + 9) or ())
        assert hear(board, self.THERE, ahead, NOW + S) is UNCHANGED
        assert held(board) == (Status.UNKNOWN, NOW), "the same word again counts as it did"

    def test_one_whose_status_was_lost_has_none_at_its_new_station(self) -> None:
        board = registered()
        hear(board, self.HERE, make_report(status=Status.CHARGING))
        lose(board, NOW + 1)
        moved = board.move(self.THERE, NOW + 9)
        assert moved is not None
        off, on = moved
        assert (off.station, off.status, off.was_status) == ("NOR_00001", Status.REMOVED, Status.UNKNOWN)
        assert (on.station, on.status, on.source) == ("NOR_00002", Status.UNKNOWN, "")
        assert (on.changed_at, on.observed_at, on.was_source) == (NEVER, NEVER, "abc")
        put(board, moved)
        older = make_report(status=Status.CHARGING, observed_at=NOW - S, source="xyz")
        assert is_change(hear(board, self.THERE, older, NOW + S))

    def test_one_that_is_there_or_is_gone_or_never_was_does_not_move(self) -> None:
        assert Board().move(self.THERE, NOW) is None
        board = registered()
        assert board.move(self.HERE, NOW) is None
        gone = board.withdraw(EVSE.key, NOW)
        assert gone is not None
        put(board, [gone])
        assert board.move(self.THERE, NOW) is None

    def test_a_report_on_one_that_is_gone_from_its_old_station_does_not_take_it_off_again(self) -> None:
        board = registered()
        gone = board.withdraw(EVSE.key, NOW)
        assert gone is not None
        put(board, [gone])
        changes = take(
            board, [(self.THERE, make_report(status=Status.CHARGING, observed_at=NOW + 1))], NOW + 1
        )
        assert [(change.station, change.status) for change in changes] == [("NOR_00002", Status.CHARGING)]

    def test_a_report_that_comes_before_the_move_says_that_the_evse_was_not_there(self) -> None:
        board = registered()
        hear(board, self.HERE, make_report(status=Status.AVAILABLE, error=True))
        changes = take(
            board, [(self.THERE, make_report(status=Status.CHARGING, observed_at=NOW + 1))], NOW + 1
        )
        assert [
            (change.station, change.status, change.was_status, change.was_error) for change in changes
        ] == [
            ("NOR_00001", Status.REMOVED, Status.AVAILABLE, True),
            ("NOR_00002", Status.CHARGING, Status.REMOVED, False),
        ]


class TestRestore:
    def test_a_board_is_filled_with_what_the_log_recovered_and_gives_it_to_the_next_checkpoint(self) -> None:
        rows = [BoardRow(3, make_change(EVSE), NOW + 5, NOW + 6, "abc")]
        board = Board()
        board.restore(rows, 7)
        assert (board.seq, len(board)) == (7, 1)
        assert list(board.rows(board.take_touched())) == rows

    def test_when_it_was_heard_is_told_by_the_clock_of_now_and_never_later_than_that(self) -> None:
        first, second = make_evses(2)
        rows = [
            BoardRow(1, make_change(first), NOW, NOW + 10, "abc"),
            BoardRow(2, make_change(second), NOW, NOW + 90, "abc"),
        ]
        board = Board()
        board.restore(rows, 2, 5, NOW + 50)
        assert [row.heard_at for row in board.cells.values()] == [NOW + 15, NOW + 50]

    def test_what_is_learned_later_of_our_absence_holds_for_what_was_not_heard_since(self) -> None:
        first, second = make_evses(2)
        rows = [BoardRow(seq, make_change(evse), NOW, NOW, "abc") for seq, evse in enumerate((first, second))]
        board = Board()
        board.restore(rows, 2)
        hear(board, first, make_report(first, observed_at=NOW + 1))
        board.shift_recovered(100)
        assert [row.heard_at for row in board.cells.values()] == [NOW + 1, NOW + 100]


def test_the_reasons_of_suppressions_are_not_told_as_refusals() -> None:
    assert (UNCHANGED.reason, STALE.reason) == (Reason.UNCHANGED, Reason.STALE)
