from __future__ import annotations

import ast
import asyncio
from pathlib import Path

import pytest
from tests.patience import come_true

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
