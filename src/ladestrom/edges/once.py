"""What takes turns of the loop to make is made once for all who ask for it meanwhile.

Knows tasks. Must not know what is made, or how long it is kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from functools import partial
from typing import Any, Generic, TypeVar

from ladestrom import tasks
from ladestrom.errors import LadestromError

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class Once(Generic[K, T]):
    """What is being made, by its key."""

    def __init__(self, name: str) -> None:
        """`name` says what is made, for the log and the metrics."""
        self._name = name
        self._making: dict[K, asyncio.Task[T | LadestromError]] = {}

    async def made(self, key: K, make: Callable[[], Coroutine[Any, Any, T | LadestromError]]) -> T | None:
        """What is made; None where somebody else's making was refused, which concerns nobody else: ask again.

        Args:
            key: what it is; who asks for the same waits for the same.
            make: begins to make it. A refusal is returned, not raised, as it is raised for one caller only.

        Raises:
            LadestromError: this caller's own making was refused.
        """
        making = self._making.get(key)
        is_own = making is None or making.done()
        if making is None or is_own:
            making = self._making[key] = tasks.start(make(), self._name, tasks.awaited)
            making.add_done_callback(partial(self._ended, key))
        made = await asyncio.shield(making)
        if not isinstance(made, LadestromError):
            return made
        if is_own:
            raise made
        return None

    def _ended(self, key: K, task: asyncio.Task[T | LadestromError]) -> None:
        if self._making.get(key) is task:
            del self._making[key]
