"""What holds of the board for every stream of words, against a reference that keeps and compares everything.

Streams are full of ties: few EVSEs, few instants, few feeds. `tests/properties/reference_board.py` is the reference.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.building import NOW, commit, logged, make_evses
from tests.properties.reference_board import NOTHING_AT, Place, Word

from ladestrom.backends.sqlite import SqliteLog
from ladestrom.core.board import Board, Round, fold
from ladestrom.core.precedence import Taking, is_lost, taking
from ladestrom.core.rules import STEP_BACK_MS_MAX, normal_error, rank
from ladestrom.model import (
    Beginning,
    Cause,
    Change,
    Evse,
    Feed,
    Order,
    Status,
    StatusChanged,
    StatusReport,
    Suppression,
)
from ladestrom.ports.log import BoardRow, Times

EVSES: Final = make_evses(2)
INSTANTS: Final = 5
MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS
YEARS_MS: Final = 3_650 * 24 * HOUR_MS
STATUSES: Final = (Status.AVAILABLE, Status.CHARGING, Status.OUTOFORDER, Status.UNKNOWN, Status.REMOVED)
FEEDS: Final = (
    ("abc", Feed("abc/plain")),
    ("abc", Feed("abc/ocpp/CP1", Order.ARRIVAL)),
    ("xyz", Feed("xyz/ocpi", Order.UPDATES)),
    ("xyz", Feed("xyz/file", max_age_s=1)),
    ("far", Feed("far/stream", Order.ARRIVAL)),
    ("far", Feed("far/receipt", by_receipt=True)),
)
"""Sources, and how their words come."""
UNORDERED: Final = (("abc", Feed("abc/plain")), ("xyz", Feed("xyz/file")), ("far", Feed("far/plain")))


class Said(NamedTuple):
    """A word on its way."""

    evse: Evse
    source: str
    feed: Feed
    status: Status
    error: bool
    stamp: int | None

    @property
    def report(self) -> StatusReport:
        return StatusReport(
            self.evse.key, self.status, self.error, self.stamp, self.source, self.status.value
        )


class Step(NamedTuple):
    """Something that happens: a word that is taken, or a decision of our own."""

    what: str
    """`word`, `begin`, `lose`, `gone`, `back`."""
    after_ms: int
    """How much later than the step before, by our clock."""
    said: Said
    in_round: bool = False
    """Of the last round that began on this feed."""


@st.composite
def words(draw: st.DrawFn, feeds: Sequence[tuple[str, Feed]] = FEEDS, *, stamps: bool = False) -> Said:
    """A word of any feed; with `stamps` it has one that is not ahead."""
    source, feed = draw(st.sampled_from(feeds))
    instants = st.integers(NOW - INSTANTS, NOW - 1)
    if not stamps:
        instants |= st.integers(NOW, NOW + 2 * INSTANTS) | st.just(NOW - 2_000)
        instants |= st.just(NOW + HOUR_MS)
    stamp = draw(instants if stamps else instants | st.none())
    return Said(
        draw(st.sampled_from(EVSES)),
        source,
        feed,
        draw(st.sampled_from(STATUSES)),
        draw(st.booleans()),
        stamp,
    )


@st.composite
def steps(draw: st.DrawFn, *, set_clock: bool = True, losses: bool = True) -> list[Step]:
    """What happens, in order. Our clock goes on by little, and is set now and then."""
    happens = ["word"] * 12 + ["begin"] * 2 + (["lose", "lose", "gone", "back"] if losses else [])
    jumps = [0, 0, 1, 1, 2, 5]
    if set_clock:
        jumps += [-1, -MINUTE_MS, -HOUR_MS, 20 * MINUTE_MS, YEARS_MS, -YEARS_MS - 11 * MINUTE_MS]
    return draw(
        st.lists(
            st.builds(
                Step, st.sampled_from(happens), st.sampled_from(jumps), words(), in_round=st.booleans()
            ),
            max_size=30,
        )
    )


class Both:
    """A board with its log, and the reference beside it."""

    def __init__(self, board: Board | None = None) -> None:
        self.board = board or Board()
        self.log: list[StatusChanged] = []
        self.places = {evse.key: Place() for evse in EVSES}
        self.clock = self.now = NOW
        self.began: dict[str, Beginning] = {}
        self.round = Round(self.board)
        for evse in EVSES:
            self.put(self.board.register(evse, self.now))
            self.places[evse.key].register()
        self.commit()

    def commit(self) -> None:
        """Ends a round of decisions."""
        self.log += commit(self.board, self.round)
        self.round = Round(self.board)

    def take(self, step: Step) -> None:
        """Does a step in both, and compares them."""
        now = self.clock = self.clock + step.after_ms
        # A small step back is held, as the writer does.
        self.now = self.now if now < self.now <= now + STEP_BACK_MS_MAX else now
        said = step.said
        match step.what:
            case "begin":
                self.began[said.feed.name] = Beginning(self.board.arrive(), self.now)
            case "word":
                self.hear(said, self.began.get(said.feed.name) if step.in_round else None)
            case what:
                self.commit()
                self.decide(what, said.evse)
        self.compare()

    def hear(self, said: Said, began: Beginning | None = None) -> None:
        """Takes a word; nobody can report on an EVSE that has left the registry."""
        if not self.places[said.evse.key].is_there:
            return
        taken = taking(said.feed, self.now, self.now, self.board.arrive(), began)
        decision = self.round.decide(said.evse, said.report, taken)
        outcome = self.places[said.evse.key].take(_word(said, taken))
        assert outcome == (decision.reason.value if isinstance(decision, Suppression) else "change")

    def decide(self, what: str, evse: Evse) -> None:
        """Decides something of our own."""
        place = self.places[evse.key]
        match what:
            case "lose":
                change = self.board.give_up(evse.key, self.now)
                was_lost = place.lose(self.now, self.board.arrivals + 1)
                assert was_lost is (change is not None)
            case "gone":
                change = self.board.withdraw(evse.key, self.now)
                self.places[evse.key] = gone = Place()
                gone.arrival = place.arrival
            case _:
                change = self.board.register(evse, self.now)
                place.register()
        self.put(change)

    def put(self, change: Change | None) -> None:
        """Adds a decision of our own to the round."""
        if change is not None:
            self.round.add([change], taking(Feed(""), self.now, self.now, self.board.arrive()))
            self.commit()

    def row(self, key: str) -> BoardRow:
        return self.round.staged.get(key) or self.board.cells[key]

    def compare(self) -> None:
        """The board says of every EVSE what the reference says."""
        for key, place in self.places.items():
            row = self.row(key)
            change = row.change
            assert (change.status, change.error) == place.state
            if place.is_there:
                assert row.observed_at == place.observed_at
                assert change.changed_at == place.changed_at
                assert is_lost(row) is (place.lost is not None)
            if place.observed_at != NOTHING_AT and place.is_there:
                assert (row.source, row.heard_at) == (place.source, max(place.heard_at, row.heard_at))

    def held(self) -> dict[str, tuple[Status, bool, int]]:
        """Status, error and observation of each EVSE."""
        return {
            key: (row.change.status, row.change.error, row.observed_at)
            for key, row in self.board.cells.items()
        }


def _word(said: Said, taken: Taking) -> Word:
    feed = said.feed
    return Word(
        said.source,
        feed.name,
        "arrival" if feed.by_receipt else feed.order.value,
        (said.status.value, normal_error(said.status, said.error)),
        None if feed.by_receipt else said.stamp,
        taken.received_at,
        taken.arrival,
        taken.arrived_at,
        in_round=taken.is_new and feed.order is not Order.ARRIVAL and not feed.by_receipt,
        max_age_ms=None if feed.max_age_s is None else feed.max_age_s * 1_000,
    )


@settings(max_examples=300)
@given(steps(), st.data())
def test_the_board_decides_as_the_rules_say_however_deliveries_are_split(
    happens: list[Step], data: st.DataObject
) -> None:
    both = Both()
    for step in happens:
        both.take(step)
        if data.draw(st.booleans()):
            both.commit()


@given(steps(), st.data())
def test_splitting_deliveries_in_any_way_gives_the_same_changes_and_board(
    happens: list[Step], data: st.DataObject
) -> None:
    split, whole, single = Both(), Both(), Both()
    for step in happens:
        for both in (split, whole, single):
            both.take(step)
        single.commit()
        if data.draw(st.booleans()):
            split.commit()
    for both in (split, whole):
        both.commit()
    assert split.log == whole.log == single.log
    assert split.board.cells == whole.board.cells == single.board.cells


@given(steps(set_clock=False, losses=False), st.lists(words(UNORDERED, stamps=True), max_size=12), st.data())
def test_redelivery_of_stamped_words_of_unordered_sources_changes_nothing_whoever_else_tells_of_the_evses(
    happens: list[Step], stamped: list[Said], data: st.DataObject
) -> None:
    both = Both()
    told = data.draw(st.permutations([*happens, *(Step("word", 0, said) for said in stamped)]))
    for step in told:
        both.take(step)
    both.commit()
    before, length = both.held(), len(both.log)
    for said in data.draw(st.lists(st.sampled_from(stamped), max_size=20)) if stamped else []:
        both.take(Step("word", data.draw(st.integers(1, 3 * HOUR_MS)), said))
    both.commit()
    assert (both.held(), len(both.log)) == (before, length)


@given(
    steps(set_clock=False, losses=False), words(), st.integers(1, 3 * HOUR_MS), st.integers(1, 3 * HOUR_MS)
)
def test_redelivery_of_the_last_word_that_was_ahead_of_us_changes_nothing(
    happens: list[Step], said: Said, ahead_ms: int, later_ms: int
) -> None:
    both = Both()
    for step in happens:
        both.take(step._replace(said=step.said._replace(feed=Feed("other"), source="other")))
    said = said._replace(
        feed=Feed("abc/plain"), source="abc", stamp=both.now + ahead_ms, status=Status.CHARGING
    )
    both.hear(said)
    both.now += 1
    both.hear(said._replace(stamp=both.now, status=Status.AVAILABLE))
    both.commit()
    before, length = both.held(), len(both.log)
    both.now += later_ms
    both.hear(said)
    both.commit()
    assert (both.held(), len(both.log)) == (before, length)


@given(st.lists(words(UNORDERED, stamps=True), max_size=15), st.data())
def test_any_order_of_stamped_words_of_unordered_sources_ends_with_the_newest_of_highest_rank(
    stream: list[Said], data: st.DataObject
) -> None:
    both = Both()
    for said in data.draw(st.permutations(stream)):
        both.take(Step("word", data.draw(st.integers(0, 2)), said))
    both.commit()
    for evse in EVSES:
        own = [said for said in stream if said.evse == evse]
        if not own:
            continue
        last = max(
            own, key=lambda said: (said.stamp, rank(said.status, normal_error(said.status, said.error)))
        )
        expected = (last.status, normal_error(last.status, last.error), last.stamp)
        assert both.held()[evse.key] == expected


@given(
    st.lists(st.sampled_from([0, 1]), min_size=2, max_size=40),
    st.sampled_from(Order),
    st.sampled_from(Order),
)
def test_two_sources_without_times_that_stay_as_they_are_change_the_board_twice_at_most(
    polls: list[int], first: Order, second: Order
) -> None:
    both = Both()
    said = (
        Said(EVSES[0], "abc", Feed("abc/a", first), Status.AVAILABLE, False, None),
        Said(EVSES[0], "xyz", Feed("xyz/b", second), Status.CHARGING, False, None),
    )
    length = len(both.log)
    for which in polls:
        both.take(Step("word", 1, said[which]))
    both.commit()
    assert len(both.log) - length <= 2


@given(
    st.lists(st.tuples(st.booleans(), st.sampled_from(STATUSES), st.none() | st.integers(-9, 9)), max_size=20)
)
def test_in_an_ordered_source_the_last_word_holds(told: list[tuple[bool, Status, int | None]]) -> None:
    both = Both()
    feed = Feed("abc/ocpp/CP1", Order.ARRIVAL)
    last = Status.UNKNOWN
    for error, status, stamp in told:
        at = None if stamp is None else NOW + stamp * MINUTE_MS
        both.take(Step("word", 1, Said(EVSES[0], "abc", feed, status, error, at)))
        last = status
    both.commit()
    assert both.held()[EVSES[0].key][0] is last


@given(steps())
def test_a_change_says_what_was_before_and_no_observation_is_later_than_its_receipt(
    happens: list[Step],
) -> None:
    both = Both()
    for step in happens:
        both.take(step)
    both.commit()
    was: dict[str, Change] = {}
    for entry in both.log:
        change = entry.change
        before = was.get(change.evse)
        if before is not None:
            assert (change.was_status, change.was_error) == (before.status, before.error)
        if change.cause is Cause.REPORTED:
            assert change.observed_at <= change.received_at
            assert before is None or (change.status, change.error) != (before.status, before.error)
        was[change.evse] = change


@given(steps(set_clock=False))
def test_when_an_evse_changed_never_goes_back_while_it_is_on_the_board(happens: list[Step]) -> None:
    both = Both()
    for step in happens:
        both.take(step)
    both.commit()
    changed_at: dict[str, int] = {}
    for entry in both.log:
        change = entry.change
        if change.cause in {Cause.REGISTERED, Cause.WITHDRAWN}:
            changed_at.pop(change.evse, None)
            continue
        assert change.changed_at >= changed_at.get(change.evse, NOTHING_AT)
        changed_at[change.evse] = change.changed_at


# -- recovery ------------------------------------------------------------------------------------------------


def _logged_of(row: BoardRow) -> tuple[object, ...]:
    """What of a row the log says, without what confirmed it."""
    return row.seq, row.change


def assert_recovered(board: Board, recovered: Iterable[BoardRow], untouched: Iterable[str]) -> None:
    """Everything that is in the log is as it was; of what a crash forgets, what the checkpoint has."""
    rows = {row.change.evse: row for row in recovered}
    assert rows.keys() == board.cells.keys()
    whole = set(untouched)
    for key, row in board.cells.items():
        found = rows[key]
        assert _logged_of(found) == _logged_of(row)
        if key in whole:
            assert found == row
        elif row.observed_at == row.change.observed_at and row.source == row.change.source:
            assert found.observed_at == row.observed_at
        assert is_lost(found) is is_lost(row) or row.observed_at != row.change.observed_at


@given(steps())
def test_the_log_alone_gives_what_was_decided(happens: list[Step]) -> None:
    both = Both()
    for step in happens:
        both.take(step)
    both.commit()
    rows: dict[str, BoardRow] = {}
    for entry in both.log:
        fold(rows, entry)
    assert_recovered(both.board, rows.values(), ())


@settings(max_examples=60, deadline=None)
@given(happens=steps(), data=st.data())
def test_recovery_equals_the_live_board_with_checkpoints_and_crashes_anywhere(
    happens: list[Step], data: st.DataObject
) -> None:
    """Through the real log: what is recovered goes on as the live board does."""

    async def play(path: Path) -> None:
        log = await SqliteLog.open(path, retention_days=0, retention_mib=0)
        both = Both()
        written = 0
        touched: set[str] = set(both.board.cells)
        for step in happens:
            both.take(step)
            both.commit()
            touched.update(both.board.take_touched())
            assert await log.append([entry.change for entry in both.log[written:]]) == both.log[written:]
            written = len(both.log)
            match data.draw(st.sampled_from(["go on", "go on", "checkpoint", "crash"])):
                case "checkpoint":
                    rows = [both.board.cells[key] for key in touched]
                    await log.checkpoint(rows, both.board.seq, Times(both.now, both.now))
                    await log.trim()
                    touched.clear()
                case "crash":
                    # Closed as a crash leaves it: nothing is written at the end but the entries.
                    await log.close()
                    log = await SqliteLog.open(path, retention_days=0, retention_mib=0)
                    found = list((await log.recover()).rows)
                    untouched = both.board.cells.keys() - touched
                    assert_recovered(both.board, found, untouched)
                    again = Board()
                    again.restore(found, log.last.seq)
                    again.take_touched()
                    for key in untouched:
                        # Words of feeds that a crash forgets decide for what was touched since only.
                        both.board.cells[key] = again.cells[key]
        await log.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(play(Path(folder) / "log.db"))


@given(steps())
def test_a_checkpoint_keeps_everything_of_a_row(happens: list[Step]) -> None:
    both = Both()
    for step in happens:
        both.take(step)
    both.commit()
    encode, decode = msgspec.json.Encoder().encode, msgspec.json.Decoder(BoardRow).decode
    for row in both.board.cells.values():
        assert decode(encode(row)) == row


def test_entries_and_rows_of_before_are_read() -> None:
    """What the first format wrote: an entry without its stamp, a row without its last members."""
    both = Both()
    both.take(Step("word", 0, Said(EVSES[0], "abc", Feed("abc/plain"), Status.CHARGING, False, NOW)))
    both.commit()
    change = both.board.cells[EVSES[0].key].change
    old = msgspec.to_builtins(change)[:12]
    assert msgspec.convert(old, Change) == change
    row = msgspec.convert([2, old, NOW, NOW, "abc"], BoardRow)
    assert fold({}, StatusChanged(3, change)) is not None
    assert (row.change, row.stamp, row.feed, row.more) == (change, 0, "", None)
    assert logged([change])[0].change == change
