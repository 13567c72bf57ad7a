from __future__ import annotations

import asyncio
import random

import pytest
from tests.patience import come_true

from ladestrom.ingest.pending import PendingBytes

MOST = 10


@pytest.fixture
def pending() -> PendingBytes:
    return PendingBytes(MOST)


async def test_what_exceeds_an_operators_share_waits_and_others_do_not(pending: PendingBytes) -> None:
    began: list[str] = []
    gates = [asyncio.Event() for _ in range(4)]

    async def deliver(name: str, operator: str, size: int, gate: asyncio.Event) -> None:
        async with pending.held(operator, size):
            began.append(name)
            await gate.wait()

    asked = [("large", "a", 8), ("second", "a", 3), ("small", "a", 1), ("other", "b", 8)]
    async with asyncio.TaskGroup() as tasks:
        for (name, operator, size), gate in zip(asked, gates, strict=True):
            tasks.create_task(deliver(name, operator, size, gate))
        await come_true(lambda: len(began) == 2)
        assert began == ["large", "other"]
        gates[0].set()
        await come_true(lambda: len(began) == 4)
        assert began == ["large", "other", "second", "small"], "in the order in which they came"
        for gate in gates:
            gate.set()
    assert len(pending) == 0


async def test_one_that_is_larger_than_the_share_is_taken_alone(pending: PendingBytes) -> None:
    async with pending.held("a", MOST * 5):
        waits = asyncio.ensure_future(pending.take("a", 1))
        await asyncio.sleep(0)
        assert not waits.done()
    await waits
    pending.give_back("a", 1)
    assert len(pending) == 0


async def test_deliveries_without_a_body_count_and_are_forgotten(pending: PendingBytes) -> None:
    async with pending.held("a", 0), pending.held("a", 0):
        assert len(pending) == 1
    assert len(pending) == 0


async def test_those_who_leave_while_they_wait_hold_nobody_up(pending: PendingBytes) -> None:
    async with pending.held("a", MOST):
        leaving = asyncio.ensure_future(pending.take("a", MOST))
        staying = asyncio.ensure_future(pending.take("a", 1))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.sleep(0)
        assert not staying.done()
    await staying
    pending.give_back("a", 1)
    assert len(pending) == 0


@pytest.mark.parametrize("seed", range(20))
async def test_nothing_is_lost_whoever_comes_goes_and_is_broken_off(pending: PendingBytes, seed: int) -> None:
    chance = random.Random(seed)
    held = dict.fromkeys("ab", 0)

    async def deliver(operator: str) -> None:
        size = chance.randint(1, MOST)
        async with pending.held(operator, size):
            held[operator] += size
            try:
                assert held[operator] <= MOST
                for _ in range(chance.randint(0, 3)):
                    await asyncio.sleep(0)
            finally:
                held[operator] -= size

    tasks = []
    for _ in range(200):
        tasks.append(asyncio.ensure_future(deliver(chance.choice("ab"))))
        if chance.random() < 0.3:
            chance.choice(tasks).cancel()
        if chance.random() < 0.3:
            await asyncio.sleep(0)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(each) for each in results if each is not None} <= {asyncio.CancelledError}
    assert len(pending) == 0
