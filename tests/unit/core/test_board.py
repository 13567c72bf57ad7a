from __future__ import annotations

from itertools import product

import pytest
from tests.building import (
    NOW,
    hear,
    logged,
    make_change,
    make_evse,
    make_evses,
    make_report,
    register,
    take,
)

from ladestrom.core.board import STALE, UNCHANGED, Board, Round
from ladestrom.core.rules import rank
from ladestrom.model import NEVER, Cause, Change, Reason, Status, Suppression
from ladestrom.ports import BoardRow

DAY_MS = 86_400_000
EVSE = make_evse()
PAIRS = list(product(Status, (False, True)))


def registered() -> Board:
    board = Board()
    register(board, [EVSE])
    return board


def silent_after_a_day(source: str) -> int:
    return DAY_MS


def changed(decision: Change | Suppression) -> Change:
    assert isinstance(decision, Change)
    return decision


class TestDecide:
    def test_the_first_report_of_an_evse_is_a_change(self) -> None:
        change = changed(hear(registered(), EVSE, make_report(status=Status.CHARGING)))
        assert (change.status, change.changed_at, change.cause) == (Status.CHARGING, NOW, Cause.REPORTED)
        assert (change.was_status, change.was_error) == (Status.UNKNOWN, False)

    def test_it_is_one_where_the_evse_is_not_on_the_board_yet_and_says_that_it_was_not_there(self) -> None:
        board = Board()
        assert changed(hear(board, EVSE, make_report())).was_status is Status.REMOVED
        assert board.cells[EVSE.key].change.status is Status.AVAILABLE

    def test_a_change_keeps_who_said_what_and_when(self) -> None:
        report = make_report(status=Status.BLOCKED, observed_at=NOW - 7, received_at=NOW, source="xyz")
        change = changed(hear(registered(), EVSE, report))
        assert change.evse == EVSE.key
        assert change.station == EVSE.station
        assert (change.observed_at, change.received_at) == (NOW - 7, NOW)
        assert (change.source, change.raw) == ("xyz", "BLOCKED")

    def test_a_newer_report_of_another_status_is_a_change_and_says_what_was_before(self) -> None:
        board = registered()
        hear(board, EVSE, make_report(status=Status.AVAILABLE, error=True))
        change = changed(hear(board, EVSE, make_report(status=Status.CHARGING, observed_at=NOW + 1)))
        assert (change.was_status, change.was_error) == (Status.AVAILABLE, True)

    def test_another_error_alone_is_a_change(self) -> None:
        board = registered()
        hear(board, EVSE, make_report())
        change = changed(hear(board, EVSE, make_report(error=True, observed_at=NOW + 1)))
        assert (change.status, change.error, change.changed_at) == (Status.AVAILABLE, True, NOW + 1)

    def test_an_older_report_is_stale_whatever_it_says(self) -> None:
        board = registered()
        hear(board, EVSE, make_report(status=Status.CHARGING))
        for status, error in PAIRS:
            assert hear(board, EVSE, make_report(status=status, error=error, observed_at=NOW - 1)) is STALE
        assert board.cells[EVSE.key].observed_at == NOW

    def test_a_report_older_than_what_was_confirmed_is_stale(self) -> None:
        board = registered()
        hear(board, EVSE, make_report())
        hear(board, EVSE, make_report(observed_at=NOW + 10))
        assert hear(board, EVSE, make_report(status=Status.CHARGING, observed_at=NOW + 9)) is STALE

    def test_of_two_observed_at_once_the_rank_decides(self) -> None:
        for was, says in product(PAIRS, PAIRS):
            board = registered()
            hear(board, EVSE, make_report(status=was[0], error=was[1]))
            hear(board, EVSE, make_report(status=says[0], error=says[1]))
            held = board.cells[EVSE.key].change
            status, error = max(was, says, key=lambda pair: rank(*pair))
            assert (held.status, held.error) == (status, error or status is Status.OUTOFORDER)

    def test_out_of_order_is_the_same_whether_its_error_was_told_or_not(self) -> None:
        board = registered()
        assert changed(hear(board, EVSE, make_report(status=Status.OUTOFORDER))).error is True
        assert hear(board, EVSE, make_report(status=Status.OUTOFORDER, error=True)) is UNCHANGED

    def test_nothing_is_seen_before_it_is_applied(self) -> None:
        board = registered()
        round_ = Round(board)
        round_.decide(EVSE, make_report(status=Status.CHARGING))
        round_.decide(EVSE, make_report(status=Status.CHARGING, observed_at=NOW + 1))
        cell = board.cells[EVSE.key]
        assert (cell.change.status, cell.observed_at) == (Status.UNKNOWN, NEVER)
        assert board.seq == 1

    def test_a_decision_sees_those_before_it_in_its_round(self) -> None:
        board = registered()
        round_ = Round(board)
        round_.decide(EVSE, make_report(status=Status.CHARGING, observed_at=NOW + 5))
        assert round_.decide(EVSE, make_report(status=Status.AVAILABLE, observed_at=NOW)) is STALE
        assert round_.decide(EVSE, make_report(status=Status.CHARGING, observed_at=NOW + 6)) is UNCHANGED
        last = changed(round_.decide(EVSE, make_report(observed_at=NOW + 7)))
        assert last.was_status is Status.CHARGING
        assert [change.status for change in round_.changes] == [Status.CHARGING, Status.AVAILABLE]

    def test_an_expiry_in_the_same_round_yields_to_a_report_as_old_as_what_expired(self) -> None:
        board = registered()
        hear(board, EVSE, make_report(status=Status.CHARGING))
        round_ = Round(board)
        round_.add(board.expire(NOW + 2 * DAY_MS, silent_after_a_day))
        round_.decide(EVSE, make_report(status=Status.CHARGING, received_at=NOW + 2 * DAY_MS))
        assert [change.status for change in round_.changes] == [Status.UNKNOWN, Status.CHARGING]


class TestConfirm:
    def test_a_confirmation_moves_the_clocks_and_not_the_change(self) -> None:
        board = registered()
        hear(board, EVSE, make_report(status=Status.CHARGING))
        decision = hear(
            board,
            EVSE,
            make_report(status=Status.CHARGING, observed_at=NOW + 60, received_at=NOW + 65, source="xyz"),
        )
        cell = board.cells[EVSE.key]
        assert decision is UNCHANGED
        assert (cell.observed_at, cell.received_at, cell.source) == (NOW + 60, NOW + 65, "xyz")
        assert (cell.change.changed_at, cell.change.source, cell.seq) == (NOW, "abc", 2)

    def test_the_source_is_who_was_heard_last(self) -> None:
        board = registered()
        hear(board, EVSE, make_report(source="first"))
        hear(board, EVSE, make_report(source="second"))
        assert board.cells[EVSE.key].source == "second"

    def test_a_change_counts_as_heard_after_the_confirmations_before_it_in_its_round(self) -> None:
        board = registered()
        hear(board, EVSE, make_report(source="first"))
        take(
            board,
            [
                (EVSE, make_report(source="second", observed_at=NOW + 1, received_at=NOW + 9)),
                (EVSE, make_report(EVSE, Status.CHARGING, NOW + 2, received_at=NOW + 9, source="third")),
            ],
        )
        cell = board.cells[EVSE.key]
        assert (cell.source, cell.observed_at, cell.received_at) == ("third", NOW + 2, NOW + 9)

    def test_so_does_a_decision_of_our_own(self) -> None:
        board = registered()
        hear(board, EVSE, make_report())
        round_ = Round(board)
        round_.decide(EVSE, make_report(observed_at=NOW + 1))
        round_.add([make_change(EVSE, Status.UNKNOWN, NOW + 9, cause=Cause.WITHDRAWN)])
        assert round_.heard == {}

    def test_our_clock_never_moves_back(self) -> None:
        board = registered()
        hear(board, EVSE, make_report(received_at=NOW + 100))
        hear(board, EVSE, make_report(observed_at=NOW + 1, received_at=NOW + 50))
        cell = board.cells[EVSE.key]
        assert (cell.observed_at, cell.received_at) == (NOW + 1, NOW + 100)


class TestApply:
    def test_an_entry_applied_again_changes_nothing(self) -> None:
        board = Board()
        entries = logged([make_change(status=Status.CHARGING), make_change(changed_at=NOW + 1)])
        board.apply(entries)
        board.apply(entries)
        cell = board.cells[EVSE.key]
        assert (cell.seq, cell.change) == (2, entries[1].change)

    def test_nothing_applied_is_nothing_changed(self) -> None:
        board = Board()
        board.apply([])
        assert (len(board), board.seq) == (0, 0)

    def test_a_board_made_of_rows_is_as_far_as_the_newest_of_them(self) -> None:
        other = make_evse("NO*ABC*E2")
        rows = [
            BoardRow(7, make_change(EVSE), NOW + 5, NOW + 6, "abc"),
            BoardRow(9, make_change(other), NOW, NOW, "abc"),
        ]
        board = Board(rows)
        assert (board.seq, len(board)) == (9, 2)
        assert [board.cells[key].row() for key in (EVSE.key, other.key)] == rows

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
    def test_an_evse_whose_source_is_silent_for_longer_than_its_limit_becomes_unknown(self) -> None:
        board = registered()
        hear(board, EVSE, make_report(status=Status.CHARGING, error=True))
        assert board.expire(NOW + DAY_MS, silent_after_a_day) == []
        (change,) = board.expire(NOW + DAY_MS + 1, silent_after_a_day)
        assert (change.status, change.error, change.cause) == (Status.UNKNOWN, False, Cause.EXPIRED)
        assert (change.was_status, change.was_error) == (Status.CHARGING, True)
        assert (change.changed_at, change.received_at) == (NOW + DAY_MS + 1, NOW + DAY_MS + 1)
        assert (change.observed_at, change.raw) == (NOW, "")

    def test_silence_counts_on_our_clock_not_on_the_operators(self) -> None:
        board = registered()
        hear(board, EVSE, make_report(observed_at=NOW - 30 * DAY_MS, received_at=NOW))
        assert board.expire(NOW + DAY_MS, silent_after_a_day) == []

    def test_a_confirmation_ends_the_silence(self) -> None:
        board = registered()
        hear(board, EVSE, make_report())
        hear(board, EVSE, make_report(observed_at=NOW, received_at=NOW + DAY_MS))
        assert board.expire(NOW + 2 * DAY_MS, silent_after_a_day) == []
        assert len(board.expire(NOW + 2 * DAY_MS + 1, silent_after_a_day)) == 1

    def test_a_stale_report_does_not(self) -> None:
        board = registered()
        hear(board, EVSE, make_report())
        hear(board, EVSE, make_report(observed_at=NOW - 1, received_at=NOW + DAY_MS))
        assert len(board.expire(NOW + DAY_MS + 1, silent_after_a_day)) == 1

    def test_each_source_has_its_own_limit_and_the_last_that_was_heard_counts(self) -> None:
        first, second, third = make_evses(3)
        board = Board()
        take(
            board,
            [
                (first, make_report(first, source="quick")),
                (second, make_report(second, source="slow")),
                (third, make_report(third, source="quick")),
            ],
        )
        hear(board, third, make_report(third, source="slow"))
        limits = {"quick": 1_000, "slow": DAY_MS}
        assert [found.evse for found in board.expire(NOW + 1_001, limits.__getitem__)] == [first.key]

    def test_it_looks_at_the_given_evses_only_and_knows_them_all(self) -> None:
        first, second = make_evses(2)
        board = Board()
        take(board, [(first, make_report(first)), (second, make_report(second))])
        found = board.expire(NOW + 2 * DAY_MS, silent_after_a_day, [second.key, "NOABCE404"])
        assert [change.evse for change in found] == [second.key]

    @pytest.mark.parametrize("status", [Status.UNKNOWN, Status.PLANNED, Status.REMOVED])
    def test_what_claims_nothing_of_this_moment_does_not_end(self, status: Status) -> None:
        board = registered()
        hear(board, EVSE, make_report(status=status))
        assert board.expire(NOW + 2 * DAY_MS, silent_after_a_day) == []

    def test_an_error_ends_even_where_the_status_is_unknown(self) -> None:
        board = registered()
        hear(board, EVSE, make_report(status=Status.UNKNOWN, error=True))
        (change,) = board.expire(NOW + 2 * DAY_MS, silent_after_a_day)
        assert (change.status, change.error, change.was_error) == (Status.UNKNOWN, False, True)

    def test_what_has_expired_does_not_expire_again(self) -> None:
        board = registered()
        hear(board, EVSE, make_report())
        board.apply(logged(board.expire(NOW + 2 * DAY_MS, silent_after_a_day), board.seq))
        assert board.expire(NOW + 9 * DAY_MS, silent_after_a_day) == []

    def test_a_report_as_old_as_before_revives_it(self) -> None:
        board = registered()
        hear(board, EVSE, make_report(status=Status.CHARGING))
        board.apply(logged(board.expire(NOW + 2 * DAY_MS, silent_after_a_day), board.seq))
        again = make_report(status=Status.CHARGING, received_at=NOW + 3 * DAY_MS)
        change = changed(hear(board, EVSE, again))
        assert (change.status, change.changed_at, change.cause) == (Status.CHARGING, NOW, Cause.REPORTED)

    def test_an_older_one_does_not(self) -> None:
        board = registered()
        hear(board, EVSE, make_report(status=Status.CHARGING))
        board.apply(logged(board.expire(NOW + 2 * DAY_MS, silent_after_a_day), board.seq))
        assert hear(board, EVSE, make_report(observed_at=NOW - 1)) is STALE


class TestWithdraw:
    def test_an_evse_whose_source_signed_off_becomes_unknown(self) -> None:
        board = registered()
        hear(board, EVSE, make_report(status=Status.CHARGING))
        change = board.withdraw(EVSE.key, NOW + 5)
        assert change is not None
        assert (change.status, change.cause, change.changed_at) == (Status.UNKNOWN, Cause.WITHDRAWN, NOW + 5)
        assert change.was_status is Status.CHARGING

    def test_one_that_is_gone_becomes_removed_once(self) -> None:
        board = registered()
        change = board.withdraw(EVSE.key, NOW + 5, Status.REMOVED)
        assert change is not None
        board.apply(logged([change], board.seq))
        assert board.cells[EVSE.key].change.status is Status.REMOVED
        assert board.withdraw(EVSE.key, NOW + 6, Status.REMOVED) is None

    def test_its_error_is_withdrawn_too(self) -> None:
        board = registered()
        hear(board, EVSE, make_report(status=Status.UNKNOWN, error=True))
        change = board.withdraw(EVSE.key, NOW + 5)
        assert change is not None
        assert (change.status, change.error) == (Status.UNKNOWN, False)

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
        gone = board.withdraw(EVSE.key, NOW + 5, Status.REMOVED)
        assert gone is not None
        board.apply(logged([gone], board.seq))
        change = board.register(EVSE, NOW + 9)
        assert change is not None
        assert (change.status, change.was_status, change.changed_at) == (
            Status.UNKNOWN,
            Status.REMOVED,
            NEVER,
        )

    def test_reports_from_before_it_was_gone_stay_stale_after_it_came_back(self) -> None:
        board = registered()
        hear(board, EVSE, make_report(status=Status.CHARGING))
        gone = board.withdraw(EVSE.key, NOW + 5, Status.REMOVED)
        assert gone is not None
        board.apply(logged([gone], board.seq))
        register(board, [EVSE], NOW + 9)
        assert hear(board, EVSE, make_report(observed_at=NOW - 1)) is STALE

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
        board.apply(logged(board.move(self.THERE, NOW + 9) or (), board.seq))
        cell = board.cells[EVSE.key]
        assert (cell.change.station, cell.change.status) == ("NOR_00002", Status.CHARGING)
        assert hear(board, self.THERE, make_report(status=Status.CHARGING, observed_at=NOW + 1)) is UNCHANGED

    def test_one_that_is_there_or_is_gone_or_never_was_does_not_move(self) -> None:
        assert Board().move(self.THERE, NOW) is None
        board = registered()
        assert board.move(self.HERE, NOW) is None
        gone = board.withdraw(EVSE.key, NOW, Status.REMOVED)
        assert gone is not None
        board.apply(logged([gone], board.seq))
        assert board.move(self.THERE, NOW) is None

    def test_a_report_on_one_that_is_gone_from_its_old_station_does_not_take_it_off_again(self) -> None:
        board = registered()
        gone = board.withdraw(EVSE.key, NOW, Status.REMOVED)
        assert gone is not None
        board.apply(logged([gone], board.seq))
        changes = take(board, [(self.THERE, make_report(status=Status.CHARGING, observed_at=NOW + 1))])
        assert [(change.station, change.status) for change in changes] == [("NOR_00002", Status.CHARGING)]

    def test_a_report_that_comes_before_the_move_says_that_the_evse_was_not_there(self) -> None:
        board = registered()
        hear(board, self.HERE, make_report(status=Status.AVAILABLE, error=True))
        changes = take(board, [(self.THERE, make_report(status=Status.CHARGING, observed_at=NOW + 1))])
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


def test_the_reasons_of_suppressions_are_not_told_as_refusals() -> None:
    assert (UNCHANGED.reason, STALE.reason) == (Reason.UNCHANGED, Reason.STALE)
