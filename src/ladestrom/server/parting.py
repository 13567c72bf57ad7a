"""The end of a connection whose client still sends."""

from __future__ import annotations

import asyncio
from typing import Final

LEAVING_BYTES_MAX: Final = 64 * 1024 * 1024
"""Bytes of a refused request that are read to no purpose, so that the client gets to read why."""


class Parting:
    """The end of a connection on which we have sent our last bytes.

    What the client still sends is read and discarded: closing with bytes unread would be a reset, which could
    cost the client our answer.
    """

    __slots__ = ("_discarded_bytes", "has_begun")

    def __init__(self) -> None:
        self.has_begun = False
        self._discarded_bytes = 0

    def begin(self) -> None:
        """Our last bytes were sent."""
        self.has_begun = True

    def discard(self, data: bytes, transport: asyncio.Transport) -> None:
        """Takes what came; aborts the connection if it is more than `LEAVING_BYTES_MAX`."""
        self._discarded_bytes += len(data)
        if self._discarded_bytes > LEAVING_BYTES_MAX:
            transport.abort()
