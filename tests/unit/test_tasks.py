from __future__ import annotations

import ast
import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from tests.patience import come_true
from tests.simulation.loop import SimulatedLoop

import ladestrom
from ladestrom import tasks

SOURCE = Path(ladestrom.__file__).parent
COMMANDS = ("cli", "client", "simulator")
"""Programs of their own, which somebody watches; the client's and the simulator's tasks are in groups."""


class TestStart:
    async def test_a_task_that_ends_by_an_error_is_told_of_once_and_counted(self) -> None:
        told: list[Exception] = []

        async def fail() -> None:
            raise ValueError("a defect")

        before = tasks.deaths["test"]
        task = tasks.start(fail(), "test", told.append)
        await come_true(lambda: bool(told))
        assert task.done()
        assert [str(error) for error in told] == ["a defect"]
        assert tasks.deaths["test"] == before + 1

    async def test_one_that_ends_or_is_cancelled_is_not(self) -> None:
        told: list[Exception] = []

        async def end() -> int:
            return 7

        before = tasks.deaths["test"]
        assert await tasks.start(end(), "test", told.append) == 7
        waiting = tasks.start(asyncio.sleep(3_600), "test", told.append)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert (told, tasks.deaths["test"]) == ([], before)

    async def test_whoever_awaits_one_gets_its_error(self) -> None:
        async def fail() -> None:
            raise ValueError("a defect")

        with pytest.raises(ValueError, match="a defect"):
            await tasks.start(fail(), "test", tasks.awaited)


def test_the_server_starts_every_task_where_somebody_learns_of_its_death() -> None:
    found = []
    for file in sorted(SOURCE.rglob("*.py")):
        where = file.relative_to(SOURCE)
        if where.parts[0] in COMMANDS or where == Path("tasks.py"):
            continue
        tree = ast.parse(file.read_text())
        groups = {
            item.optional_vars.id
            for node in ast.walk(tree)
            if isinstance(node, ast.AsyncWith)
            for item in node.items
            if isinstance(item.optional_vars, ast.Name) and "TaskGroup" in ast.unparse(item.context_expr)
        }
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            owner = ast.unparse(node.func.value)
            if node.func.attr in {"create_task", "ensure_future"} and owner not in groups:
                found.append(f"{where}:{node.lineno}: {ast.unparse(node.func)}")
    assert found == []


def simulated(work: Coroutine[Any, Any, None]) -> None:
    """Runs it on a loop on which time passes only while nothing is due."""
    loop = SimulatedLoop()
    try:
        loop.run_until_complete(work)
    finally:
        loop.close()


class TestBackground:
    async def _take_turns(self, name: str, turns: int) -> None:
        for _ in range(turns):
            await tasks.background().turn()
            self.had.append(name)

    def setup_method(self) -> None:
        self.had: list[str] = []

    def test_turns_go_round(self) -> None:
        async def work() -> None:
            await asyncio.gather(*(self._take_turns(name, 3) for name in "abc"))

        simulated(work())
        assert "".join(self.had) == "abcabcabc"

    def test_there_is_one_in_each_round_of_the_loop(self) -> None:
        async def work() -> None:
            turns = [asyncio.create_task(self._take_turns(name, 5)) for name in "abc"]
            while not all(turn.done() for turn in turns):
                before = len(self.had)
                await asyncio.sleep(0)
                assert len(self.had) <= before + 1

        simulated(work())
        assert len(self.had) == 15

    def test_while_something_is_urgent_one_has_a_turn_every_so_often(self) -> None:
        async def work() -> None:
            loop = asyncio.get_running_loop()
            await self._take_turns("first", 1)
            turns = [asyncio.create_task(self._take_turns(name, 20)) for name in "ab"]
            began_s = loop.time()
            with tasks.Urgent(), tasks.Urgent():
                await asyncio.sleep(10.5 * tasks.BACKGROUND_EVERY_S)
                assert "".join(self.had[1:]) == "ab" * 5
            await asyncio.gather(*turns)
            assert loop.time() - began_s < 11 * tasks.BACKGROUND_EVERY_S

        simulated(work())
        assert len(self.had) == 41

    def test_so_has_it_where_one_urgent_thing_follows_the_other(self) -> None:
        async def work() -> None:
            turns = asyncio.create_task(self._take_turns("a", 20))
            began_s = asyncio.get_running_loop().time()
            while not turns.done():
                with tasks.Urgent():
                    await asyncio.sleep(tasks.BACKGROUND_EVERY_S / 4)
            assert asyncio.get_running_loop().time() - began_s < 21 * tasks.BACKGROUND_EVERY_S

        simulated(work())

    def test_what_is_urgent_and_goes_through_much_waits_for_one_round(self) -> None:
        async def work() -> None:
            loop = asyncio.get_running_loop()
            waits = asyncio.create_task(self._take_turns("a", 2))
            with tasks.Urgent():
                turns, began_s = tasks.Turns(is_urgent=True), loop.time()
                for _ in range(10):
                    await turns.rest()
                    spend(tasks.TURN_S)
                assert loop.time() - began_s < 11 * tasks.TURN_S
            await waits

        simulated(work())

    def test_whoever_is_cancelled_takes_nobodys_turn(self) -> None:
        async def work() -> None:
            with tasks.Urgent():
                gone = [asyncio.create_task(self._take_turns("gone", 1)) for _ in range(3)]
                stays = asyncio.create_task(self._take_turns("stays", 1))
                await self._take_turns("first", 1)
                gone[1].cancel()
            await stays
            assert gone[1].cancelled()

        simulated(work())
        assert self.had.count("gone") == 2
        assert self.had[-1] == "stays"

    def test_each_loop_has_its_own(self) -> None:
        async def leave_urgent() -> None:
            tasks.background().begin_urgent()

        simulated(leave_urgent())
        simulated(self._take_turns("a", 2))
        assert self.had == ["a", "a"]


def spend(seconds: float) -> None:
    """Work of the running loop takes so long."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimulatedLoop)
    loop.spend(seconds)
