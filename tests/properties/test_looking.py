"""What is kept for those who look is what anybody would count who has the whole log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from random import Random
from typing import Final
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.building import NOW, logged, make_change, make_evse, make_evses

from ladestrom.model import NEVER, Change, Evse, Millis, Status, StatusChanged
from ladestrom.outputs.map.activity import MINUTE_MS, MINUTES, SECOND_MS, SECONDS, Activity
from ladestrom.outputs.map.history import History
from ladestrom.outputs.map.station_counts import GROUPS, StationCounts

HERE: Final = make_evses(3, "NOR_00001")
THERE: Final = make_evses(2, "NOR_00002")
MOVED: Final = make_evse(HERE[0].evse_id or "", "NOR_00002")
"""The first one, at the other station."""
ABOUT: Final[tuple[Evse, ...]] = (*HERE, *THERE, MOVED)
CHANGES_MAX: Final = 24
BLOCK: Final = 4
HOUR_MS: Final = 3_600_000


@pytest.fixture(autouse=True, scope="module")
def _small_blocks() -> Iterator[None]:
    with patch("ladestrom.outputs.map.history.BLOCK", BLOCK):
        yield


steps = st.lists(
    st.tuples(
        st.integers(0, len(ABOUT) - 1), st.sampled_from(Status), st.booleans(), st.integers(0, 2 * MINUTE_MS)
    ),
    max_size=40,
)
"""Which EVSE, what it becomes, with an error or not, and how much later than the one before."""


def changes_of(told: Iterable[tuple[int, Status, bool, int]], *, begin: Millis = NOW) -> list[Change]:
    """Changes as a board makes them: each says what the EVSE was at that station."""
    made: list[Change] = []
    held: dict[str, Change] = {}
    at = begin
    for number, status, error, later_ms in told:
        evse, at = ABOUT[number], at + later_ms
        before = held.get(evse.key)
        if before is not None and before.station != evse.station and before.status is not Status.REMOVED:
            off = make_change(
                make_evse(evse.evse_id or "", before.station),
                Status.REMOVED,
                at,
                error=False,
                was_status=before.status,
                was_error=before.error,
            )
            made.append(off)
            before = off
        is_there = before is not None and before.station == evse.station
        was = (before.status, before.error) if before is not None and is_there else (Status.REMOVED, False)
        held[evse.key] = change = make_change(
            evse, status, at, error=error, was_status=was[0], was_error=was[1]
        )
        made.append(change)
    return made


def in_force(changes: Iterable[Change]) -> dict[tuple[str, str], Change]:
    """The last change of each EVSE at each station."""
    return {(change.station, change.evse): change for change in changes}


def group_of(change: Change) -> str | None:
    """As the contract says it."""
    if change.status in {Status.PLANNED, Status.REMOVED}:
        return None
    if change.error or change.status in {Status.INOPERATIVE, Status.OUTOFORDER}:
        return "faulty"
    if change.status is Status.AVAILABLE:
        return "available"
    return "unknown" if change.status is Status.UNKNOWN else "occupied"


def counted(changes: Iterable[Change], uuid: str) -> tuple[int, ...]:
    held = [change for (station, _), change in in_force(changes).items() if station == uuid]
    groups = Counter(map(group_of, held))
    return tuple(groups[name] for name in GROUPS)


def batches(entries: Sequence[StatusChanged], size: int) -> list[Sequence[StatusChanged]]:
    return [entries[start : start + size] for start in range(0, len(entries), size)]


# -- how many there are ------------------------------------------------------------------------------------


@given(steps, st.integers(1, 7), st.integers(0, 40))
def test_numbers_by_station_group_and_status_are_those_of_the_changes_in_force(
    told: list[tuple[int, Status, bool, int]], size: int, loaded: int
) -> None:
    changes = changes_of(told)
    counts = StationCounts()
    # What is in force when it is loaded: of an EVSE that moved, its last station only.
    counts.load({change.evse: change for change in changes[:loaded]}.values())
    for batch in batches(logged(changes[loaded:], loaded), size):
        counts.take(batch)
    for uuid in ("NOR_00001", "NOR_00002"):
        assert counts.counts(uuid) == counted(changes, uuid)
    last = {change.evse: change for change in changes}.values()
    assert counts.statuses() == {status: sum(change.status is status for change in last) for status in Status}
    assert counts.errors() == sum(change.error for change in last)
    groups = Counter(map(group_of, last))
    assert counts.grouped() == tuple(groups[name] for name in GROUPS)


@given(steps, st.integers(1, 7))
def test_a_page_that_moves_one_evse_with_each_change_counts_the_same(
    told: list[tuple[int, Status, bool, int]], size: int
) -> None:
    changes = changes_of(told)
    counts = StationCounts()
    page: Counter[tuple[str, str | None]] = Counter()
    for batch in batches(logged(changes), size):
        counts.take(batch)
        for entry in batch:
            change = entry.change
            was = make_change(status=change.was_status, error=change.was_error)
            page[change.station, group_of(was)] -= 1
            page[change.station, group_of(change)] += 1
        for uuid in counts.uuids:
            assert counts.counts(uuid) == tuple(page[uuid, name] for name in GROUPS)


def test_a_copy_does_not_move_with_what_comes_later() -> None:
    counts = StationCounts()
    counts.load([make_change(HERE[0]), make_change(HERE[1], Status.UNKNOWN), make_change(THERE[0])])
    copied = counts.by_station()
    counts.take(logged([make_change(HERE[0], Status.CHARGING)]))
    assert list(map(list, copied)) == [[1, 1], [0, 0], [0, 0], [1, 0]]
    assert list(map(list, counts.by_station())) == [[0, 1], [1, 0], [0, 0], [1, 0]]


def test_a_station_that_is_not_there_has_none() -> None:
    assert StationCounts().counts("NOR_00009") == (0, 0, 0, 0)


# -- how much goes on --------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 90 * SECOND_MS)), max_size=60))
def test_spans_have_what_happened_in_them_and_the_running_one_is_left_out(
    told: list[tuple[int, int]],
) -> None:
    activity = Activity()
    activity.begin(NOW)
    at = NOW
    happened: list[tuple[Millis, int]] = []
    for count, later_ms in told:
        at += later_ms
        activity.beat(count, at)
        happened.append((at, count))
    for found, span_ms, spans in (
        (activity.seconds(at), SECOND_MS, SECONDS),
        (activity.minutes(at), MINUTE_MS, MINUTES),
    ):
        running = at // span_ms
        assert found == [
            sum(count for when, count in happened if when // span_ms == number)
            for number in range(running - spans, running)
        ]
    assert activity.total == sum(count for count, _ in told)


@given(
    st.lists(
        st.tuples(st.integers(0, 90 * MINUTE_MS), st.dictionaries(st.sampled_from("abc"), st.integers(1, 9)))
    )
)
def test_places_have_the_changes_of_the_running_minute_and_the_59_before(
    told: list[tuple[int, dict[str, int]]],
) -> None:
    activity = Activity()
    activity.begin(NOW)
    at = minute = NOW
    happened: list[tuple[int, str, int]] = []
    for later_ms, recent in told:
        at += later_ms
        minute = at // MINUTE_MS
        activity.settle(recent.items(), lambda uuid: None if uuid == "c" else ("NOR", uuid), at)
        happened += [(minute, uuid, count) for uuid, count in recent.items() if uuid != "c"]
    expected: Counter[tuple[str, str]] = Counter()
    for when, uuid, count in happened:
        if when > minute - MINUTES:
            expected["NOR", uuid] += count
    assert activity.places() == expected


def test_a_clock_that_is_set_back_loses_nothing() -> None:
    activity = Activity()
    activity.begin(NOW)
    activity.beat(2, NOW + 5 * SECOND_MS)
    activity.beat(3, NOW)
    activity.settle([("a", 1)], lambda _: ("NOR", ""), NOW + MINUTE_MS)
    activity.settle([("a", 1)], lambda _: ("NOR", ""), NOW)
    assert activity.seconds(NOW + 6 * SECOND_MS)[-1] == 5
    assert activity.places() == {("NOR", ""): 2}


def test_stations_with_changes_are_told_once_and_not_those_that_were_loaded() -> None:
    counts = StationCounts()
    counts.load([make_change(HERE[0])])
    counts.take(logged([make_change(HERE[0]), make_change(THERE[0]), make_change(HERE[1])]))
    assert counts.uuids == ["NOR_00001", "NOR_00002"]
    assert list(counts.take_recent()) == [2, 1]
    assert list(counts.take_recent()) == [0, 0]


# -- what was ----------------------------------------------------------------------------------------------

Told = tuple[Millis, Status, bool]


def naive(changes: Sequence[Change], evse: str, start: Millis, until: Millis) -> list[Told]:
    """What an EVSE was from `start` on, from all changes that ever were; the first one as of then."""
    own = [change for change in changes if change.evse == evse]
    line: list[Told] = [(NEVER, Status.REMOVED if own else Status.UNKNOWN, False)]
    for change in own:
        at = change.changed_at if change.changed_at >= 0 else change.received_at
        line.append((max(line[-1][0], min(at, until)), change.status, change.error))
    # Of those that begin at the same instant, the last one counts.
    line = [
        one
        for one, following in zip(line, [*line[1:], None], strict=True)
        if following is None or following[0] > one[0]
    ]
    before = [one for one in line if one[0] <= start]
    shown = [(start, *before[-1][1:])] if before else []
    shown += [one for one in line if one[0] > start]
    return [next(same) for _, same in groupby(shown, key=lambda one: one[1:])]


def known(history: History, evse: str, now: Change | None, start: Millis, until: Millis) -> list[Told]:
    found = [(one.at, one.status, one.error) for one in history.segments(evse, now, start, until, 10_000)]
    assert found[0][0] <= start
    return [(start, *found[0][1:]), *found[1:]]


@given(steps, st.integers(1, 7), st.integers(0, 60), st.integers(0, 60), st.integers(0, 90), st.data())
def test_segments_are_those_of_the_whole_log(
    told: list[tuple[int, Status, bool, int]],
    size: int,
    logged_before: int,
    ahead: int,
    minutes: int,
    data: st.DataObject,
) -> None:
    """Entries of before the start are recalled while others already come; late observations come among them."""
    changes = changes_of(told)
    changes = [
        late(change, data.draw(st.sampled_from([0, 0, 0, 1_000, HOUR_MS, -30_000, None])))
        for change in changes
    ]
    entries = logged(changes)
    logged_before = min(logged_before, len(entries))
    counts = StationCounts()
    counts.load({entry.change.evse: entry.change for entry in entries[:logged_before]}.values())
    history = History(counts, 10 * CHANGES_MAX, skew_ms=30_000)
    history.begin(NOW - HOUR_MS)
    view_seq, recalled = logged_before, 0
    for batch in batches(entries[logged_before:], size):
        if recalled < view_seq and not history.is_live:
            step = entries[recalled : min(recalled + 1 + ahead, view_seq)]
            history.recall(step)
            recalled = step[-1].seq
        if recalled >= view_seq and not history.is_live:
            history.go_on(recalled)
        words = counts.take(batch)
        view_seq = batch[-1].seq
        history.take(batch, words)
    for batch in batches(entries[recalled:view_seq], size) if not history.is_live else ():
        history.recall(batch)
    if not history.is_live:
        history.go_on(view_seq)
    until = max((change.received_at for change in changes), default=NOW) + 1
    start = max(until - minutes * MINUTE_MS, NOW - HOUR_MS)
    last = {change.evse: change for change in changes}
    for evse in {evse.key for evse in ABOUT}:
        assert known(history, evse, last.get(evse), start, until) == naive(changes, evse, start, until)


def late(change: Change, by_ms: int | None) -> Change:
    """The same, received as it was, but observed earlier (or, by a clock that is ahead, later)."""
    observed_at = NEVER if by_ms is None else change.received_at - by_ms
    return make_change(
        make_evse("", change.station, key=change.evse),
        change.status,
        observed_at,
        received_at=change.received_at,
        error=change.error,
        was_status=change.was_status,
        was_error=change.was_error,
    )


@given(st.integers(0, 3 * CHANGES_MAX), st.integers(1, 2 * CHANGES_MAX), st.integers(0, 1_000))
def test_a_full_ring_knows_since_when_it_is_complete_and_is_right_from_then_on(
    count: int, size: int, seed: int
) -> None:
    rng = Random(seed)
    told = [
        (rng.randrange(len(ABOUT)), rng.choice(list(Status)), rng.random() < 0.3, rng.randrange(3))
        for _ in range(count)
    ]
    changes = changes_of(told)
    counts = StationCounts()
    history = History(counts, CHANGES_MAX, skew_ms=0)
    history.begin(None)
    history.go_on(0)
    for batch in batches(logged(changes), size):
        history.take(batch, counts.take(batch))
    assert len(history._at) == min(len(changes), CHANGES_MAX)
    if not changes:
        assert history.since is None
        return
    since = history.since
    assert since is not None
    lost = len(changes) - CHANGES_MAX
    if lost > 0:
        assert (
            changes[lost - 1].received_at
            < since
            <= changes[min(lost + BLOCK, len(changes) - 1)].received_at + 1
        )
    else:
        assert since == changes[0].received_at
    until = changes[-1].received_at + 1
    last = {change.evse: change for change in changes}
    for start in {since, (since + until) // 2, until}:
        for evse, change in last.items():
            assert known(history, evse, change, start, until) == naive(changes, evse, start, until)


def test_a_change_by_a_clock_that_is_ahead_counts_from_when_it_says() -> None:
    changes = [late(change, 0) for change in changes_of([(0, Status.AVAILABLE, False, 1_000)])]
    for number in range(12):
        ahead_ms = -30_000 if number == 0 else 0
        told = [
            (number % 2 * 4, Status.CHARGING if number % 4 else Status.BLOCKED, False, 1_000 * (number + 2))
        ]
        changes += [late(change, ahead_ms) for change in changes_of(told)]
    changes = [changes[0], *(each for each in changes[1:] if each.evse != HERE[0].key or each is changes[1])]
    changes += [late(each, 0) for each in changes_of([(3, Status.AVAILABLE, False, 20_000)] * 8)]
    counts = StationCounts()
    history = History(counts, CHANGES_MAX, skew_ms=30_000)
    history.begin(NOW)
    history.go_on(0)
    history.take(logged(changes), counts.take(logged(changes)))
    until = NOW + 200_000
    for start in range(NOW + 1_000, NOW + 40_000, 1_000):
        last = {change.evse: change for change in changes}[HERE[0].key]
        assert known(history, HERE[0].key, last, start, until) == naive(changes, HERE[0].key, start, until)


def test_nothing_is_known_before_it_is_in_step() -> None:
    counts = StationCounts()
    history = History(counts, CHANGES_MAX, skew_ms=0)
    history.begin(NOW)
    batch = logged([make_change(HERE[0])])
    history.take(batch, counts.take(batch))
    assert history.since is None
    assert known(history, HERE[0].key, batch[0].change, NOW + 5, NOW + 5) == [
        (NOW + 5, Status.AVAILABLE, False)
    ]
    history.recall(batch)
    history.go_on(1)
    assert history.since == NOW


def test_an_evse_beyond_the_last_number_has_no_history_and_costs_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ladestrom.outputs.map.history.EVSES_MAX", 1)
    monkeypatch.setattr("ladestrom.outputs.map.history.WORD_MAX", (1 << 10) - 1)
    counts = StationCounts()
    history = History(counts, CHANGES_MAX, skew_ms=0)
    history.begin(NOW)
    history.go_on(0)
    changes = [make_change(HERE[0], Status.AVAILABLE), make_change(HERE[1], Status.CHARGING, NOW + 1)]
    history.take(logged(changes), counts.take(logged(changes)))
    assert history._count == 1
    assert known(history, HERE[1].key, changes[1], NOW + 2, NOW + 2) == [(NOW + 2, Status.CHARGING, False)]


@given(steps, st.integers(1, 12))
def test_of_too_many_changes_the_newest_are_told(
    told: list[tuple[int, Status, bool, int]], changes_max: int
) -> None:
    changes = changes_of(told)
    counts = StationCounts()
    history = History(counts, 10 * CHANGES_MAX, skew_ms=0)
    history.begin(NOW)
    history.go_on(0)
    for batch in batches(logged(changes), 7):
        history.take(batch, counts.take(batch))
    until = changes[-1].received_at + 1 if changes else NOW
    for evse, change in {change.evse: change for change in changes}.items():
        whole = naive(changes, evse, NOW, until)
        found = [
            (one.at, one.status, one.error) for one in history.segments(evse, change, NOW, until, changes_max)
        ]
        if sum(each.evse == evse for each in changes) <= changes_max:
            assert found == whole
        else:
            shown = [one for one in whole if one[0] > found[0][0]]
            assert found[1:] == shown
            assert found[0][1:] == [one for one in whole if one[0] <= found[0][0]][-1][1:]
            assert len(found) <= changes_max
