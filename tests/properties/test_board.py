"""What holds of the board for every stream of reports. Streams are full of ties: few EVSEs, few instants."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from hypothesis import given
from hypothesis import strategies as st
from tests.building import NOW, hear, logged, make_evse, make_evses, make_report, register, take

from ladestrom.backends.memory import fold
from ladestrom.core.board import Board
from ladestrom.core.rules import normal_error, rank
from ladestrom.model import NEVER, Cause, Change, Entry, Evse, Millis, Status, StatusReport
from ladestrom.ports import BoardRow

EVSES = make_evses(3)
INSTANTS = 5
SILENCE_MS = 1_000
STEPS = ("report", "expire", "withdraw", "remove", "register", "move")

Told = tuple[Evse, StatusReport]


@st.composite
def streams(draw: st.DrawFn) -> list[Told]:
    """Reports as they arrive: our clock does not run backwards, the operators' run as they like."""
    received_at = NOW
    stream = []
    for _ in range(draw(st.integers(0, 25))):
        received_at += draw(st.integers(0, 2))
        evse = draw(st.sampled_from(EVSES))
        report = make_report(
            evse,
            draw(st.sampled_from(Status)),
            NOW + draw(st.integers(0, INSTANTS - 1)),
            error=draw(st.booleans()),
            received_at=received_at,
            source=draw(st.sampled_from(["abc", "xyz"])),
        )
        stream.append((evse, report))
    return stream


@st.composite
def rounds(draw: st.DrawFn) -> list[list[Told]]:
    """A stream, split at random places."""
    stream = draw(streams())
    cuts = sorted(draw(st.sets(st.integers(0, len(stream)))))
    return [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]


class Recorded:
    """A board, and the log that it writes."""

    def __init__(self) -> None:
        self.board = Board()
        self.log = register(self.board, EVSES)

    def take(self, reports: Iterable[Told]) -> list[Change]:
        changes = take(self.board, reports)
        self.log += logged(changes, len(self.log))
        return changes

    def add(self, changes: Iterable[Change]) -> None:
        entries = logged(changes, len(self.log))
        self.board.apply(entries)
        self.log += entries

    def rows(self) -> dict[str, BoardRow]:
        return {key: cell.row() for key, cell in self.board.cells.items()}

    def held(self) -> dict[str, tuple[Status, bool, Millis]]:
        return {
            key: (cell.change.status, cell.change.error, cell.observed_at)
            for key, cell in self.board.cells.items()
        }


def folded(entries: Iterable[Entry], kept: Iterable[BoardRow] = ()) -> Board:
    rows = {row.change.evse: row for row in kept}
    for entry in entries:
        fold(rows, entry)
    return Board(rows.values())


def assert_recovered(board: Board, recovered: Board) -> None:
    """All but confirmations, which are not logged."""
    assert recovered.seq == board.seq
    assert recovered.cells.keys() == board.cells.keys()
    for key, cell in board.cells.items():
        other = recovered.cells[key]
        assert (other.change, other.seq) == (cell.change, cell.seq)
        assert cell.change.observed_at <= other.observed_at <= cell.observed_at
        assert cell.change.received_at <= other.received_at <= cell.received_at


@given(rounds())
def test_the_log_replayed_gives_the_board(parts: list[list[Told]]) -> None:
    recorded = Recorded()
    for reports in parts:
        recorded.take(reports)
    applied = Board()
    for entry in recorded.log:
        applied.apply([entry])
    assert_recovered(recorded.board, applied)
    assert_recovered(recorded.board, folded(recorded.log))


@given(rounds(), st.data())
def test_checkpoint_and_replay_give_the_board_wherever_the_replay_begins(
    parts: list[list[Told]], data: st.DataObject
) -> None:
    recorded = Recorded()
    kept: dict[str, BoardRow] = {}
    checkpoint = 0
    for reports in parts:
        recorded.take(reports)
        if data.draw(st.booleans()):
            touched = recorded.board.rows(recorded.board.take_touched())
            kept.update((row.change.evse, row) for row in touched)
            checkpoint = recorded.board.seq
    begin = data.draw(st.integers(0, checkpoint))
    recovered = folded(recorded.log[begin:], kept.values())
    assert_recovered(recorded.board, recovered)
    if kept and checkpoint == recorded.board.seq and not recorded.board.take_touched():
        assert {key: cell.row() for key, cell in recovered.cells.items()} == recorded.rows()


@given(rounds())
def test_splitting_reports_in_any_way_gives_the_same_changes_and_board(parts: list[list[Told]]) -> None:
    split, whole, single = Recorded(), Recorded(), Recorded()
    for reports in parts:
        split.take(reports)
    whole.take(chain.from_iterable(parts))
    for told in chain.from_iterable(parts):
        single.take([told])
    assert split.log == whole.log == single.log
    assert split.rows() == whole.rows() == single.rows()


@given(streams(), st.data())
def test_redelivery_of_any_part_afterwards_changes_nothing_and_logs_nothing(
    stream: list[Told], data: st.DataObject
) -> None:
    recorded = Recorded()
    recorded.take(stream)
    before, length = recorded.held(), len(recorded.log)
    again = data.draw(st.lists(st.sampled_from(stream), max_size=20)) if stream else []
    assert recorded.take(again) == []
    assert (recorded.held(), len(recorded.log)) == (before, length)


@given(streams(), st.data())
def test_any_order_ends_with_the_newest_observation_of_highest_rank(
    stream: list[Told], data: st.DataObject
) -> None:
    recorded = Recorded()
    recorded.take(data.draw(st.permutations(stream)))
    expected = {evse.key: (Status.UNKNOWN, False, NEVER) for evse in EVSES}
    for evse in EVSES:
        reports = [report for about, report in stream if about == evse]
        if reports:
            last = max(reports, key=lambda one: (one.observed_at, rank(one.status, one.error)))
            error = normal_error(last.status, last.error)
            expected[evse.key] = (last.status, error, last.observed_at)
    assert recorded.held() == expected


@given(streams())
def test_a_change_is_of_another_status_or_error_and_from_when_it_was_observed(stream: list[Told]) -> None:
    recorded = Recorded()
    recorded.take(stream)
    was: dict[str, Change] = {}
    for entry in recorded.log:
        change = entry.change
        if change.cause is Cause.REPORTED:
            before = was[change.evse]
            assert (change.was_status, change.was_error) == (before.status, before.error)
            assert (change.status, change.error) != (before.status, before.error)
            assert change.observed_at >= before.observed_at
            assert change.changed_at == change.observed_at
        was[change.evse] = change


@given(streams())
def test_confirmations_never_move_changed_at(stream: list[Told]) -> None:
    board = Recorded().board
    for evse, report in stream:
        cell = board.cells[evse.key]
        changed_at, observed_at, received_at = cell.change.changed_at, cell.observed_at, cell.received_at
        decision = hear(board, evse, report)
        if not isinstance(decision, Change):
            assert cell.change.changed_at == changed_at
        assert cell.change.changed_at <= cell.observed_at
        assert cell.observed_at >= observed_at
        assert cell.received_at >= received_at


@given(streams(), st.integers(0, 2 * SILENCE_MS))
def test_an_evse_expires_when_its_source_is_silent_for_longer_than_its_limit_and_only_then(
    stream: list[Told], later_ms: int
) -> None:
    recorded = Recorded()
    recorded.take(stream)
    limits = {"abc": SILENCE_MS, "xyz": SILENCE_MS // 2, "": SILENCE_MS}
    now = NOW + later_ms
    before = recorded.rows()
    expired = {change.evse for change in recorded.board.expire(now, limits.__getitem__)}
    for key, row in before.items():
        claims = row.change.error or row.change.status is not Status.UNKNOWN
        lasts = row.change.status in {Status.PLANNED, Status.REMOVED}
        assert (key in expired) == (claims and not lasts and now - row.received_at > limits[row.source])


@given(streams(), st.data())
def test_what_held_before_an_expiry_revives_it_and_nothing_older_does(
    stream: list[Told], data: st.DataObject
) -> None:
    recorded = Recorded()
    recorded.take(stream)
    before = recorded.held()
    recorded.add(recorded.board.expire(NOW + 10 * SILENCE_MS, lambda _: SILENCE_MS))
    again = data.draw(st.permutations(stream))
    older = [told for told in again if told[1].observed_at < before[told[0].key][2]]
    assert recorded.take(older) == []
    recorded.take(again)
    assert recorded.held() == before


@given(st.lists(st.tuples(st.sampled_from(STEPS), streams()), max_size=8))
def test_the_log_replayed_gives_the_board_whatever_was_decided_in_between(
    steps: list[tuple[str, list[Told]]],
) -> None:
    recorded = Recorded()
    now = NOW
    for step, stream in steps:
        now += 2 * SILENCE_MS
        board = recorded.board
        match step:
            case "report":
                recorded.take(stream)
            case "expire":
                recorded.add(board.expire(now, lambda _: SILENCE_MS))
            case "withdraw" | "remove":
                status = Status.REMOVED if step == "remove" else Status.UNKNOWN
                gone = (board.withdraw(evse.key, now, status) for evse, _ in stream[:1])
                recorded.add([change for change in gone if change is not None])
            case "register":
                back = (board.register(evse, now) for evse in EVSES)
                recorded.add([change for change in back if change is not None])
            case "move":
                for evse, report in stream[:1]:
                    there = make_evse(evse.name, report.source)
                    recorded.add(board.move(there, now) or ())
    assert_recovered(recorded.board, folded(recorded.log))
