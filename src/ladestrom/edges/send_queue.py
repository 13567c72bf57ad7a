"""What waits to be written to one connection, in order and without copies.

Knows a transport and how much it may be handed. Must not know what the bytes mean, but for one thing: they
come in units (whole frames, whole events), and a control frame goes between two units, never into one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

PIECES: Final = 4
"""Units are written in pieces of a quarter of the limit. The transport is full at three quarters, so that one
more piece does not exceed the limit; it takes more when a quarter is left, so that its peer does not wait."""
STEP_BYTES_MAX: Final = 1024 * 1024
"""Written before others have their turn: to hand it to the system takes 1 to 4 ms. The peer may be fast
enough to take many times as much at once."""
PONG: Final = 0x8A
"""First byte of a pong (RFC 6455, section 5.2)."""


class SendQueue:
    """References to the units that the transport has not been given yet.

    Many connections wait for the same units, such as a snapshot: each keeps references, and no copy.
    """

    __slots__ = (
        "_between",
        "_left_bytes",
        "_rest",
        "_then",
        "_transport",
        "_units",
        "is_full",
        "piece_bytes",
        "size",
    )

    def __init__(self, transport: asyncio.Transport, bytes_max: int) -> None:
        """Args:
        transport: where the bytes go; `limit` tells it when to pause.
        bytes_max: most that is handed to it before its peer took it.
        """
        self.piece_bytes = bytes_max // PIECES
        self.is_full = False
        """Whether the transport takes no more now; set by its protocol, which is told."""
        self.size = 0
        """Bytes that wait here, without those that the transport has."""
        self._left_bytes = STEP_BYTES_MAX
        """May be written until `renew` is called."""
        self._transport = transport
        self._units: deque[bytes] | None = None
        """None while none waits: an empty one takes 0.7 KiB, and most connections are without."""
        self._rest: memoryview | None = None
        """What is left of a unit that is partly written."""
        self._between: tuple[bytes, ...] = ()
        """Control frames, which may go before units that have not begun."""
        self._then: Callable[[], None] | None = None

    def limit(self) -> None:
        """Sets the transport's limits. Where they are exceeded already, its protocol is told at once."""
        high = self.piece_bytes * (PIECES - 1)
        self._transport.set_write_buffer_limits(high=high, low=self.piece_bytes)

    @property
    def is_spent(self) -> bool:
        """Whether so much was written that others have their turn first; then `renew` is to be called."""
        return self._left_bytes <= 0

    def renew(self) -> None:
        """Others had their turn."""
        self._left_bytes = STEP_BYTES_MAX

    @property
    def has_control(self) -> bool:
        """Whether a control frame waits."""
        return bool(self._between)

    def put(self, unit: bytes) -> None:
        """Adds a unit; it is written after all others."""
        if self._units is None:
            self._units = deque()
        self._units.append(unit)
        self.size += len(unit)

    def put_control(self, frame: bytes) -> None:
        """Adds a control frame; it is written as soon as no unit is partly written.

        Of several pongs that wait, the last one is enough (RFC 6455, section 5.5.3).
        """
        if self._between and frame[0] == PONG == self._between[-1][0]:
            self.size -= len(self._between[-1])
            self._between = self._between[:-1]
        self._between += (frame,)
        self.size += len(frame)

    def drop(self) -> None:
        """Forgets the units that have not begun."""
        self.size -= sum(map(len, self._units or ()))
        self._units = None

    def clear(self) -> None:
        """Forgets everything."""
        self._units = self._rest = self._then = None
        self._between = ()
        self.size = 0

    def end(self, then: Callable[[], None]) -> None:
        """Has something done once nothing waits here any more."""
        self._then = then

    def feed(self) -> bool:
        """Writes what the transport takes; whether nothing waits here then."""
        while not self.is_full and self._left_bytes > 0:
            piece = self._next_piece()
            if piece is None:
                then, self._then = self._then, None
                if then is not None:
                    then()
                return True
            self.size -= len(piece)
            self._left_bytes -= len(piece)
            self._transport.write(piece)
        return not self.size

    def _next_piece(self) -> bytes | memoryview | None:
        if self._rest is None:
            if self._between:
                frame, self._between = self._between[0], self._between[1:]
                return frame
            if self._units is None:
                return None
            unit = self._units.popleft()
            if not self._units:
                self._units = None
            if len(unit) <= self.piece_bytes:
                return unit
            self._rest = memoryview(unit)
        piece, rest = self._rest[: self.piece_bytes], self._rest[self.piece_bytes :]
        self._rest = rest if len(rest) else None
        return piece
