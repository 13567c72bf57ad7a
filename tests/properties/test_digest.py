"""The digest shows what a consumer missed, in pairs of like changes too."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from itertools import product
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import digests as published

from ladestrom.core import digests
from ladestrom.model import Status

PAIRS: Final = 1_000_000
"""Planted for each way to lose something. The chance that one of so many is not seen is 1 in 4,295."""
NAMES: Final = (
    *(f"NO*ABC*E{number:04d}*{place}" for number in range(250) for place in (1, 2)),
    *(f"NOR_{number:05d}_{place:02d}" for number in range(250) for place in (1, 2)),
)
STATES: Final = tuple(
    product(
        ("AVAILABLE", "CHARGING", "OUTOFORDER", "UNKNOWN"),
        (0, 1),
        (None, "2026-11-22T10:00:00.000Z", "2026-11-22T10:00:01.000Z", "2026-11-22T10:15:00.000Z"),
    )
)

Terms = Sequence[Sequence[int]]
"""By EVSE, by state."""
Loss = Callable[[Sequence[int], Sequence[int], int, int, int, int], int]
"""What a consumer's sum lacks, given the terms of two EVSEs, two states of the first, and two of the second."""

LOSSES: Final[dict[str, Loss]] = {
    "the same transition of two EVSEs": lambda one, other, was, now, _, __: (
        one[now] - one[was] + other[now] - other[was]
    ),
    "a transition and the one back of another EVSE": lambda one, other, was, now, _, __: (
        one[now] - one[was] + other[was] - other[now]
    ),
    "two transitions that have nothing in common": lambda one, other, was, now, was_other, now_other: (
        one[now] - one[was] + other[now_other] - other[was_other]
    ),
    "two EVSEs have each other's state": lambda one, other, was, now, _, __: (
        one[now] + other[was] - one[was] - other[now]
    ),
    "one EVSE instead of another in the same state": lambda one, other, was, _, __, ___: (
        one[was] - other[was]
    ),
    "two EVSEs that came": lambda one, other, was, now, _, __: one[was] + other[now],
}


@pytest.fixture(scope="module")
def terms() -> Terms:
    return [[digests.term(name, *state) for state in STATES] for name in NAMES]


@pytest.mark.parametrize("what", LOSSES)
def test_of_a_million_planted_losses_none_is_unseen(terms: Terms, what: str) -> None:
    loss, chance = LOSSES[what], random.Random(what)
    states = range(len(STATES))
    unseen = 0
    for _ in range(PAIRS // 100):
        # One draw of states serves many pairs: the throws of the dice would take most of the time.
        (was, now), (was_other, now_other) = chance.sample(states, 2), chance.sample(states, 2)
        for one, other in zip(chance.sample(terms, 100), chance.sample(terms, 100), strict=True):
            if one is not other:
                unseen += loss(one, other, was, now, was_other, now_other) % 2**32 == 0
    assert unseen == 0


@given(
    name=st.text("NOABCE019*-_+", min_size=1),
    status=st.sampled_from(Status),
    error=st.sampled_from([0, 1]),
    changed_at=st.none() | st.just("2026-11-22T10:00:00.000Z"),
)
def test_the_term_of_an_evse_is_the_published_one(
    name: str, status: Status, error: int, changed_at: str | None
) -> None:
    assert digests.term(name, status, error, changed_at) == published.term(name, status, error, changed_at)


def test_another_spelling_of_a_name_changes_nothing() -> None:
    spellings = ("NO*ABC*E1*1", "no-abc-e1-1", "NOABCE11")
    assert len({digests.term(each, "AVAILABLE", 0, None) for each in spellings}) == 1


@pytest.mark.parametrize(("seed", "hash_of_nothing"), [(0, 0), (1, 0x514E28B7), (0xFFFFFFFF, 0x81F16F39)])
def test_the_mixer_is_the_finalizer_of_murmurhash3(seed: int, hash_of_nothing: int) -> None:
    # MurmurHash3_x86_32 of an empty text is the finalizer of its seed.
    assert digests.mixed(seed) == hash_of_nothing
