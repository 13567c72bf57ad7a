"""A thread that works for the loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from functools import partial

import pytest
from tests.patience import DEADLINE_S

from ladestrom.backends.worker import Worker


@pytest.fixture
def worker() -> Iterator[Worker]:
    made = Worker("a thread of a test")
    yield made
    made.end()


async def test_work_is_done_in_order_by_one_thread_that_is_not_the_loops(worker: Worker) -> None:
    done: list[int] = []

    def work(number: int) -> int:
        done.append(number)
        return threading.get_ident()

    threads = await asyncio.gather(*(worker.do(partial(work, number)) for number in range(20)))
    assert done == list(range(20))
    assert len(set(threads)) == 1
    assert threading.get_ident() not in threads


async def test_what_work_raises_is_told_to_who_waits_and_costs_nobody_else(worker: Worker) -> None:
    def broken() -> None:
        raise LookupError("not here")

    failing, fine = worker.do(broken), worker.do(lambda: 7)
    with pytest.raises(LookupError, match="not here"):
        await failing
    assert await fine == 7


async def test_what_nobody_waits_for_any_more_is_left_out(worker: Worker) -> None:
    gate, done = threading.Event(), []
    busy = worker.do(lambda: gate.wait(DEADLINE_S))
    left = worker.do(lambda: done.append("left"))
    last = worker.do(lambda: done.append("last"))
    left.cancel()
    gate.set()
    assert await busy
    await last
    assert done == ["last"]


async def test_who_leaves_while_the_work_is_under_way_is_not_told(worker: Worker) -> None:
    begun, gate = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        gate.wait(DEADLINE_S)

    busy = worker.do(work)
    while not begun.is_set():
        await asyncio.sleep(0)
    busy.cancel()
    gate.set()
    assert await worker.do(lambda: True)
    assert busy.cancelled()


def test_a_loop_that_is_closed_meanwhile_does_not_end_the_thread(worker: Worker) -> None:
    gate, waited = threading.Event(), list[asyncio.Future[bool]]()

    async def leave() -> None:
        waited.append(worker.do(lambda: gate.wait(DEADLINE_S)))

    async def come() -> int:
        return await worker.do(lambda: 7)

    asyncio.run(leave())
    gate.set()
    assert asyncio.run(come()) == 7


async def test_it_ends_once_what_was_handed_in_is_done() -> None:
    worker = Worker("a thread that ends")
    (thread,) = (each for each in threading.enumerate() if each.name == "a thread that ends")
    done = worker.do(lambda: 7)
    worker.end()
    assert await done == 7
    await asyncio.to_thread(thread.join, DEADLINE_S)
    assert not thread.is_alive()
