"""Sources that are silent are lost: what they told is not known any more."""

from __future__ import annotations

from collections.abc import Sequence

from ladestrom.core.board import Round
from ladestrom.core.precedence import Taking
from ladestrom.writer.hub import Hub


class Expiry:
    """Of one board."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def take(self) -> int:
        """Turns EVSEs UNKNOWN whose source is silent; says how many. To be called every ten seconds."""
        hub = self._hub
        if not hub.look():
            return 0

        def silent(keys: Sequence[str], round_: Round, taken: Taking) -> int:
            found = hub.board.expire(taken.heard_at, taken.received_at, hub.stale_after, keys)
            round_.add(found, taken)
            return len(found)

        return await hub.decide_each(list(hub.board.cells), silent)
