"""Going through many stations in turns of the loop, for a channel."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

from ladestrom import tasks
from ladestrom.core.view import StationState, View
from ladestrom.reader.channel import Channel
from ladestrom.tasks import Turns

STATIONS_AT_ONCE: Final = 50
"""A selection of which no more stations can be is gone through in one step: some 3 ms."""
STATIONS_PER_LOOK: Final = 20
"""Else so many are gone through between two looks at the clock: some 1 ms."""
WALKS_MAX: Final = 2
"""Snapshots and digests that are made at once; each change looks at them. The others wait."""


class Works(dict[Channel, asyncio.Task[None]]):
    """What is being done, for one channel each."""

    def start(
        self,
        channel: Channel,
        work: Coroutine[Any, Any, None],
        name: str,
        died: Callable[[Exception], None],
    ) -> None:
        """Starts what is done for a channel."""

        def ended(task: asyncio.Task[None]) -> None:
            if self.get(channel) is task:
                del self[channel]

        self[channel] = tasks.start(work, name, died)
        self[channel].add_done_callback(ended)

    def give_up(self, channel: Channel) -> None:
        """Nobody needs what is done for a channel any more."""
        work = self.pop(channel, None)
        if work is not None:
            work.cancel()

    def cancel(self) -> None:
        """Ends all."""
        for work in list(self.values()):
            work.cancel()


class Walks:
    """Through the stations that a channel's consumers may have selected."""

    def __init__(self, view: View) -> None:
        self._view = view
        self.room = asyncio.Semaphore(WALKS_MAX)

    def few(self, channel: Channel, visit: Callable[[StationState], None]) -> bool:
        """Visits the stations that may be selected, if they are few; whether they are."""
        selection = channel.subscription.selection
        # To list all takes some ms of its own.
        if len(selection.station or self._view) > STATIONS_AT_ONCE:
            return False
        for uuid in self._view.named(selection):
            state = self._view.get(uuid)
            if state is not None:
                visit(state)
        return True

    async def visit(self, channel: Channel, visit: Callable[[StationState], None], turns: Turns) -> None:
        """Visits them in turns of the loop, all of them as they are now."""
        walk = self._view.walk(self._view.named(channel.subscription.selection), visit)
        try:
            while walk.go(STATIONS_PER_LOOK):
                await turns.rest()
        finally:
            self._view.end(walk)
