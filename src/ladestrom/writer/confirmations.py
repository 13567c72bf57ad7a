"""Tells readers beside the log what was observed again: each second, the newest time of each EVSE."""

from __future__ import annotations

from typing import Final

from ladestrom.tasks import background, parts
from ladestrom.writer.hub import Hub

EVSES_PER_TURN: Final = 2_000
"""EVSEs gone through before other work of the loop gets its turn: some 2 ms."""


class Confirmations:
    """Those of one hub."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def tell(self) -> None:
        """Tells of those since the last time."""
        cells = self._hub.board.cells
        for keys in parts(list(self._hub.board.take_heard()), EVSES_PER_TURN):
            listener = self._hub.listener
            told = [
                (row.change.station, key, row.seq, row.observed_at)
                for key in keys
                if (row := cells.get(key)) is not None and row.observed_at > row.change.observed_at
            ]
            if told and listener is not None:
                listener.confirmed(told)
            await background().turn()
