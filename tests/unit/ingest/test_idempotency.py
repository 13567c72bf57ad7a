from __future__ import annotations

import asyncio

import pytest
from tests.building import NOW

from ladestrom.errors import BadRequest, IdempotencyConflict, LogFailure, NotReady
from ladestrom.ingest.idempotency import KEY_CHARACTERS_MAX, Receipts

HOUR_MS = 3_600_000


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


class Work:
    """Deliveries that are counted, and that wait where they are told to."""

    def __init__(self) -> None:
        self.done = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.failure: Exception | None = None

    async def __call__(self) -> bytes:
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        self.done += 1
        return b"receipt %d" % self.done


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def receipts(clock: Clock) -> Receipts[bytes]:
    return Receipts(keys_max=3, hours=24, steady=clock)


@pytest.fixture
async def work() -> Work:
    return Work()


async def test_an_operator_with_many_keys_forgets_its_own_and_not_those_of_others(
    receipts: Receipts[bytes], work: Work
) -> None:
    assert await receipts.once("beta", "k", b"body", work) == b"receipt 1"
    for number in range(20):
        await receipts.once("alfa", f"k{number}", b"body", work)
    assert work.done == 21
    assert await receipts.once("beta", "k", b"body", work) == b"receipt 1"
    assert await receipts.once("alfa", "k19", b"body", work) == b"receipt 21"
    assert await receipts.once("alfa", "k0", b"body", work) == b"receipt 22"


async def test_a_delivery_that_comes_again_has_the_first_receipt_and_is_not_done_again(
    receipts: Receipts[bytes], work: Work
) -> None:
    assert await receipts.once("abc", "k", b"body", work) == b"receipt 1"
    assert await receipts.once("abc", "k", b"body", work) == b"receipt 1"
    assert work.done == 1


async def test_another_key_or_operator_is_another_delivery(receipts: Receipts[bytes], work: Work) -> None:
    assert await receipts.once("abc", "k", b"body", work) == b"receipt 1"
    assert await receipts.once("abc", "l", b"body", work) == b"receipt 2"
    assert await receipts.once("xyz", "k", b"body", work) == b"receipt 3"


async def test_a_key_that_comes_with_another_body_is_refused(receipts: Receipts[bytes], work: Work) -> None:
    await receipts.once("abc", "k", b"body", work)
    with pytest.raises(IdempotencyConflict):
        await receipts.once("abc", "k", b"other", work)
    assert work.done == 1


async def test_it_is_refused_while_the_first_is_under_way_too(receipts: Receipts[bytes], work: Work) -> None:
    work.gate.clear()
    first = asyncio.create_task(receipts.once("abc", "k", b"body", work))
    await asyncio.sleep(0)
    with pytest.raises(IdempotencyConflict):
        await receipts.once("abc", "k", b"other", work)
    work.gate.set()
    assert await first == b"receipt 1"


async def test_one_that_comes_again_while_the_first_is_under_way_waits_for_its_receipt(
    receipts: Receipts[bytes], work: Work
) -> None:
    work.gate.clear()
    tasks = [asyncio.create_task(receipts.once("abc", "k", b"body", work)) for _ in range(3)]
    await asyncio.sleep(0)
    work.gate.set()
    assert await asyncio.gather(*tasks) == [b"receipt 1"] * 3


async def test_who_stops_waiting_breaks_off_nothing(receipts: Receipts[bytes], work: Work) -> None:
    work.gate.clear()
    first = asyncio.create_task(receipts.once("abc", "k", b"body", work))
    await asyncio.sleep(0)
    second = asyncio.create_task(receipts.once("abc", "k", b"body", work))
    await asyncio.sleep(0)
    second.cancel()
    work.gate.set()
    assert await first == b"receipt 1"


async def test_a_failure_is_told_to_all_who_wait_and_not_kept(receipts: Receipts[bytes], work: Work) -> None:
    work.gate.clear()
    work.failure = LogFailure("disk full")
    tasks = [asyncio.create_task(receipts.once("abc", "k", b"body", work)) for _ in range(3)]
    await asyncio.sleep(0)
    work.gate.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [LogFailure] * 3
    work.failure = None
    assert await receipts.once("abc", "k", b"other body", work) == b"receipt 1"


async def test_after_a_delivery_was_broken_off_those_who_wait_are_told_to_send_again(
    receipts: Receipts[bytes], work: Work
) -> None:
    work.gate.clear()
    first = asyncio.create_task(receipts.once("abc", "k", b"body", work))
    await asyncio.sleep(0)
    second = asyncio.create_task(receipts.once("abc", "k", b"body", work))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(NotReady, match="send it again"):
        await second
    with pytest.raises(asyncio.CancelledError):
        await first
    work.gate.set()
    assert await receipts.once("abc", "k", b"body", work) == b"receipt 1"


async def test_the_oldest_are_forgotten_when_there_are_too_many(
    receipts: Receipts[bytes], work: Work
) -> None:
    for key in ("1", "2", "3", "4"):
        await receipts.once("abc", key, b"body", work)
    assert await receipts.once("abc", "2", b"body", work) == b"receipt 2"
    assert await receipts.once("abc", "1", b"body", work) == b"receipt 5"


async def test_none_is_kept_where_the_setting_says_so(clock: Clock, work: Work) -> None:
    receipts: Receipts[bytes] = Receipts(keys_max=0, hours=24, steady=clock)
    assert await receipts.once("abc", "k", b"body", work) == b"receipt 1"
    assert await receipts.once("abc", "k", b"body", work) == b"receipt 2"


async def test_they_are_forgotten_after_their_time(
    clock: Clock, receipts: Receipts[bytes], work: Work
) -> None:
    await receipts.once("abc", "k", b"body", work)
    clock.now += 24 * HOUR_MS
    assert await receipts.once("abc", "k", b"body", work) == b"receipt 1"
    clock.now += 1
    assert await receipts.once("abc", "k", b"body", work) == b"receipt 2"


async def test_one_forgotten_while_under_way_does_not_take_its_follower_along(
    clock: Clock, receipts: Receipts[bytes], work: Work
) -> None:
    work.gate.clear()
    first = asyncio.create_task(receipts.once("abc", "k", b"body", work))
    await asyncio.sleep(0)
    clock.now += 25 * HOUR_MS
    done = Work()
    assert await receipts.once("abc", "k", b"body", done) == b"receipt 1"
    work.failure = LogFailure("disk full")
    work.gate.set()
    with pytest.raises(LogFailure):
        await first
    assert await receipts.once("abc", "k", b"body", done) == b"receipt 1"
    assert done.done == 1


async def test_a_key_has_no_more_characters_than_its_limit(receipts: Receipts[bytes], work: Work) -> None:
    await receipts.once("abc", "k" * KEY_CHARACTERS_MAX, b"body", work)
    with pytest.raises(BadRequest, match="256 characters"):
        await receipts.once("abc", "k" * (KEY_CHARACTERS_MAX + 1), b"body", work)
