"""What one connection sent is looked at in pieces, between which others have their turn.

A read gives up to 256 KiB, which may be 40,000 frames of six bytes: looked at in one step, they would
hold the loop for 0.2 s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from ladestrom import tasks

SLICE_BYTES: Final = 2 * 1024
"""Looked at before the next look at the clock: some 2 ms where it is all tiny frames."""


class Slices:
    """What was read on one connection. While some of it waits, nothing more is read."""

    def __init__(
        self,
        transport: asyncio.Transport,
        take: Callable[[bytes], None],
        *,
        may_go_on: Callable[[], bool] = lambda: True,
        may_read: Callable[[], bool] = lambda: True,
    ) -> None:
        """Nothing was read yet.

        Args:
            transport: of the connection.
            take: looks at a piece.
            may_go_on: whether pieces may be taken; who answers no calls `go_on` when it is yes again.
            may_read: whether the transport may read on when none waits.
        """
        self._transport = transport
        self._take = take
        self._may_go_on = may_go_on
        self._may_read = may_read
        self._loop = asyncio.get_running_loop()
        self._waiting = bytearray()
        self._turn: asyncio.Handle | None = None

    def put(self, data: bytes) -> None:
        """Takes what was read."""
        if self._waiting:
            # Somebody else has let the transport read on.
            self._waiting += data
            self._transport.pause_reading()
        elif len(data) <= SLICE_BYTES:
            self._take(data)
        else:
            self._waiting += data
            self._go_through()

    def go_on(self) -> None:
        """The connection wants more again."""
        if self._waiting:
            if self._turn is None:
                self._turn = self._loop.call_soon(self._go_through)
        elif not self._transport.is_closing():
            self._transport.resume_reading()

    def _go_through(self) -> None:
        self._turn = None
        ends_s = self._loop.time() + tasks.TURN_S
        waiting, at = self._waiting, 0
        while at < len(waiting) and self._may_go_on():
            piece = bytes(waiting[at : at + SLICE_BYTES])
            at += len(piece)
            self._take(piece)
            if self._transport.is_closing():
                break
            if at < len(waiting) and self._loop.time() >= ends_s:
                self._turn = self._loop.call_soon(self._go_through)
                break
        if self._transport.is_closing():
            waiting.clear()
            return
        del waiting[:at]
        if waiting:
            self._transport.pause_reading()
        elif self._may_go_on() and self._may_read():
            self._transport.resume_reading()

    def stop(self) -> None:
        """The connection has ended; what waits is dropped."""
        self._waiting.clear()
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
