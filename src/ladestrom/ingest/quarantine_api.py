"""Deliveries that could not be read: administrators list them and have them read again.

Knows the quarantine and who takes a delivery again. Must not know how they are asked for.
"""

from __future__ import annotations

import asyncio
from typing import Final

from ladestrom.errors import Conflict, LadestromError
from ladestrom.formats.administration import ReadAgain, Unread
from ladestrom.ingest.quarantine import Quarantine
from ladestrom.ingest.sources import SourceTasks

UNREAD_SHOWN_MAX: Final = 200
"""More than anyone looks through."""


class QuarantineApi:
    """The quarantine of a server that runs. Files are read by a thread."""

    def __init__(self, quarantine: Quarantine, sources: SourceTasks) -> None:
        self._quarantine = quarantine
        self._sources = sources

    async def newest(self) -> list[Unread]:
        """The newest first, at most `UNREAD_SHOWN_MAX`."""
        return await asyncio.to_thread(self._quarantine.newest, UNREAD_SHOWN_MAX)

    async def body(self, unread_id: str) -> bytes:
        """One as it came, but for keys of ours in it.

        Raises:
            NotFound: none of this id is kept.
        """
        return (await asyncio.to_thread(self._quarantine.find, unread_id)).body

    async def replay(self, unread_id: str) -> ReadAgain:
        """Reads one again, at once, and takes it; it is not kept then.

        Raises:
            NotFound: none of this id is kept.
            Conflict: it still cannot be read, or nobody may report it any more.
            Overloaded, LogFailure: it could not be taken now; trying again may succeed.
        """
        found = await asyncio.to_thread(self._quarantine.find, unread_id)
        try:
            receipts = await self._sources.replay(found)
        except LadestromError as error:
            if error.retry:
                raise
            raise Conflict(f"the delivery still cannot be taken: {error}") from error
        self._quarantine.drop(found)
        return ReadAgain(
            unread_id,
            sum(receipt.accepted for receipt in receipts),
            sum(receipt.unchanged for receipt in receipts),
            sum(len(receipt.refused) for receipt in receipts),
        )
