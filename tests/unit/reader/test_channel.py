from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ladestrom.core.selection import EVERYTHING, Selection
from ladestrom.model import Position
from ladestrom.reader.channel import CHUNK_BYTES_MAX, WINDOW_BYTES_MAX, Channel, Snapshot
from ladestrom.reader.subscriptions import PHASES, Event, Phase, Subscriber, Subscription


class Ignoring:
    """A sink that nothing comes out of."""

    paused = False

    def overrun(self, position: Position) -> None:
        """Nothing."""

    def interrupted(self, position: Position) -> None:
        """Nothing."""

    def write(self, data: bytes) -> None:
        """Nothing."""


def make_channel(*frames: bytes) -> Channel:
    """A channel whose frames bring a consumer to 10, 20, 30, ..."""
    channel = Channel(Subscription(EVERYTHING))
    for number, frame in enumerate(frames, 1):
        channel.push(frame, 10 * number)
    return channel


class TestPhases:
    @pytest.mark.parametrize(("before", "event"), list(product(Phase, Event)))
    def test_only_what_is_in_the_table_can_happen(self, before: Phase, event: Event) -> None:
        subscriber = Subscriber(Ignoring(), make_channel())
        subscriber.phase = before
        if event in PHASES[before]:
            subscriber.on(event)
            assert subscriber.is_at(PHASES[before][event])
        else:
            with pytest.raises(AssertionError):
                subscriber.on(event)
            assert subscriber.is_at(before)

    def test_every_phase_is_in_the_table_and_leads_to_its_end(self) -> None:
        assert set(PHASES) == set(Phase)
        for phase, following in PHASES.items():
            assert following.get(Event.LEAVES) is (None if phase is Phase.CLOSED else Phase.CLOSED)
        assert {event for following in PHASES.values() for event in following} == set(Event)

    def test_a_consumer_begins_with_nothing_sent(self) -> None:
        assert Subscriber(Ignoring(), make_channel()).is_at(Phase.NEW)


class TestWindow:
    def test_frames_are_numbered_from_0(self) -> None:
        channel = make_channel(b"a", b"b", b"c")
        assert (channel.start, channel.end) == (0, 3)

    def test_a_chunk_holds_all_frames_from_a_number_on_and_says_where_it_leads(self) -> None:
        channel = make_channel(b"a", b"b", b"c")
        assert channel.chunk(0) == (b"abc", 3, 30)
        assert channel.chunk(1) == (b"bc", 3, 30)
        assert channel.chunk(2) == (b"c", 3, 30)

    def test_consumers_at_the_same_place_share_the_same_bytes(self) -> None:
        channel = make_channel(b"aa", b"bb")
        assert channel.chunk(0)[0] is channel.chunk(0)[0]
        channel.push(b"cc", 30)
        assert channel.chunk(0)[0] == b"aabbcc"

    def test_a_chunk_of_one_frame_is_the_frame_itself(self) -> None:
        frame = b"frame" * 100
        assert make_channel(b"a", frame).chunk(1)[0] is frame

    def test_a_chunk_has_at_most_its_limit_of_bytes(self) -> None:
        half = bytes(CHUNK_BYTES_MAX // 2)
        channel = make_channel(half, half, b"x", half)
        assert channel.chunk(0) == (half + half, 2, 20)
        assert channel.chunk(2) == (b"x" + half, 4, 40)

    def test_a_frame_over_the_limit_is_a_chunk_of_its_own(self) -> None:
        large = bytes(CHUNK_BYTES_MAX + 1)
        channel = make_channel(b"a", large, b"b")
        assert channel.chunk(0) == (b"a", 1, 10)
        assert channel.chunk(1) == (large, 2, 20)
        assert channel.chunk(2) == (b"b", 3, 30)

    def test_a_window_within_its_limit_is_not_trimmed(self) -> None:
        frame = bytes(WINDOW_BYTES_MAX // 4)
        channel = make_channel(frame, frame, frame, frame)
        channel.trim()
        assert (channel.start, channel.end) == (0, 4)

    def test_the_oldest_frames_over_the_limit_are_dropped_and_numbers_stay(self) -> None:
        frame = bytes(WINDOW_BYTES_MAX // 4)
        channel = make_channel(frame, frame, frame, frame, b"x", frame)
        channel.trim()
        assert (channel.start, channel.end) == (2, 6)
        channel.push(b"y", 70)
        assert channel.chunk(6) == (b"y", 7, 70)
        channel.trim()
        assert channel.start == 2
        channel.push(frame, 80)
        channel.trim()
        assert channel.start == 3

    def test_a_frame_larger_than_the_window_leaves_nothing(self) -> None:
        channel = make_channel(bytes(WINDOW_BYTES_MAX + 1))
        channel.trim()
        assert (channel.start, channel.end) == (1, 1)

    def test_a_snapshot_whose_next_frame_is_gone_is_not_used_any_more(self) -> None:
        frame = bytes(WINDOW_BYTES_MAX // 2)
        channel = make_channel(frame, frame, frame)
        channel.snapshot = kept = Snapshot((b"s",), 1, 0.0, 10)
        channel.trim()
        assert channel.snapshot is kept
        channel.push(frame, 40)
        channel.trim()
        assert channel.snapshot is None

    def test_trimming_makes_joined_bytes_anew(self) -> None:
        channel = make_channel(b"aa", b"bb")
        joined = channel.chunk(0)[0]
        channel.trim()
        assert channel.chunk(0)[0] == joined
        assert channel.chunk(0)[0] is not joined


class TestWhatAConsumerTook:
    """Counted by numbers of frames, so that taking them costs nothing."""

    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(
            st.one_of(
                st.tuples(st.just("push"), st.integers(1, WINDOW_BYTES_MAX // 3)),
                st.sampled_from([("take", 0), ("trim", 0), ("settle", 0)]),
            ),
            max_size=60,
        ),
        st.integers(0, 3),
    )
    def test_it_is_what_was_handed_to_it(self, steps: list[tuple[str, int]], before: int) -> None:
        channel = make_channel(*[b"before"] * before)
        subscriber = Subscriber(Ignoring(), channel)
        subscriber.next = channel.end
        subscriber.begin()
        messages = size = 0
        for step, length in steps:
            if step == "push":
                channel.push(bytes(length), channel.end)
            elif step == "take":
                while subscriber.next < channel.end:
                    took = subscriber.next
                    data, subscriber.next, _ = channel.chunk(took)
                    messages += subscriber.next - took
                    size += len(data)
                subscriber.settle()
            elif step == "trim":
                channel.trim()
                if subscriber.next < channel.start:
                    # The window moved past it: it takes up again where the window ends.
                    subscriber.settle()
                    subscriber.next = channel.end
                    subscriber.begin()
            else:
                subscriber.settle()
        subscriber.settle()
        assert (subscriber.messages, subscriber.bytes) == (messages, size)

    def test_bytes_before_a_frame_are_those_of_all_that_ever_were(self) -> None:
        channel = make_channel(b"a" * 10, b"b" * 200)
        assert [channel.bytes_before(number) for number in range(3)] == [0, 10, 210]
        channel.push(bytes(WINDOW_BYTES_MAX), 30)
        channel.trim()
        assert channel.start == 2
        assert [channel.bytes_before(number) for number in (2, 3)] == [210, 210 + WINDOW_BYTES_MAX]
        channel.push(b"c" * 5, 40)
        assert channel.bytes_before(4) == 215 + WINDOW_BYTES_MAX


def test_equal_subscriptions_are_one() -> None:
    first = Subscription(Selection(country=frozenset({"NOR", "SWE"})))
    second = Subscription(Selection(country=frozenset({"SWE", "NOR"})))
    assert len({first, second}) == 1
    assert (
        len(
            {
                first,
                Subscription(first.selection, raw=False),
                Subscription(first.selection, framing="deflate"),
            }
        )
        == 3
    )
