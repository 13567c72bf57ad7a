"""Frames made once and shared, and where each consumer stands in them.

A channel is what consumers with equal wishes share: a window of ready-made frames. A consumer is a number in
that window, not a queue of copies; one that falls out of it, or comes back with a position, is caught up
from the view with the newest state of what changed since (conflation), and memory never grows with it.

Pure: bytes go out through `Sink.write`, which must not wait.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Final, Protocol

import msgspec

from ladestrom.core.selection import Selection

WINDOW_BYTES_MAX: Final = 4 * 1024 * 1024
"""Frames kept for consumers that are a little behind: half a second at 10,000 changes/s of 300 bytes."""
CHUNK_BYTES_MAX: Final = 256 * 1024
"""Bytes handed to one consumer at once: a second on a link of 2 Mbit/s."""

Framing = Callable[[bytes], bytes]
"""A message's payload to the bytes on the wire."""


class Phase(Enum):
    """Where a consumer is on its way."""

    NEW = "new"
    """Nothing was sent."""
    REPLAYING = "replaying"
    """Behind the window: gets the newest state of what changed since its position."""
    LIVE = "live"
    """In the window: gets each frame once."""
    CLOSED = "closed"


TRANSITIONS: Final[dict[Phase, frozenset[Phase]]] = {
    Phase.NEW: frozenset({Phase.REPLAYING, Phase.LIVE, Phase.CLOSED}),
    Phase.REPLAYING: frozenset({Phase.LIVE, Phase.CLOSED}),
    Phase.LIVE: frozenset({Phase.REPLAYING, Phase.CLOSED}),
    Phase.CLOSED: frozenset(),
}


class Sink(Protocol):
    """Where a consumer's bytes go."""

    paused: bool
    """More bytes wait than the consumer's limit; `Broadcast.pump` is called when they have drained."""

    def write(self, data: bytes) -> None:
        """Hands bytes over; keeps a reference, not a copy. Never waits, never raises."""
        ...


class Wishes(msgspec.Struct, frozen=True):
    """What a consumer wants; equal wishes share one channel."""

    selection: Selection
    updates: bool = True
    raw: bool = True
    framing: str = "text"
    """Name of the framing: see `Broadcast`."""


class Subscriber:
    """One consumer: its phase and its position."""

    __slots__ = ("channel", "next", "phase", "seq", "sink")

    def __init__(self, sink: Sink, channel: Channel) -> None:
        self.sink = sink
        self.channel = channel
        self.phase = Phase.NEW
        self.next = 0
        """Number of the next frame of the channel, while LIVE."""
        self.seq = 0
        """Position up to which everything was sent, while REPLAYING."""

    def move(self, phase: Phase) -> None:
        """Enters another phase; one that the table does not allow is a bug."""
        if phase not in TRANSITIONS[self.phase]:
            raise AssertionError(f"{self.phase} to {phase} is not in the table")
        self.phase = phase


class Snapshot(msgspec.Struct, frozen=True, gc=False):
    """A snapshot made for all who join now: its frame, and the window's frame that follows it."""

    frame: bytes
    next: int
    made_at_s: float


class Channel:
    """The window of frames of one set of wishes, and its consumers."""

    def __init__(self, wishes: Wishes) -> None:
        self.wishes = wishes
        self.subscribers: set[Subscriber] = set()
        self.snapshot: Snapshot | None = None
        self.start = 0
        """Number of the oldest frame kept."""
        self._frames: list[tuple[int, bytes]] = []
        """Position before the frame, and the frame."""
        self._bytes = 0
        self._joined: dict[tuple[int, int], tuple[bytes, int]] = {}

    @property
    def end(self) -> int:
        """Number of the frame that comes next."""
        return self.start + len(self._frames)

    def push(self, seq_before: int, frame: bytes) -> None:
        """Adds a frame; `seq_before` is the position that a consumer has who got all frames before it."""
        self._frames.append((seq_before, frame))
        self._bytes += len(frame)

    def trim(self) -> None:
        """Drops the oldest frames over the window's limit. Called between passes."""
        self._joined.clear()
        over = self._bytes - WINDOW_BYTES_MAX
        if over <= 0:
            return
        count = 0
        for _, frame in self._frames:
            if over <= 0:
                break
            over -= len(frame)
            count += 1
        self._bytes = WINDOW_BYTES_MAX + over
        del self._frames[:count]
        self.start += count
        if self.snapshot is not None and self.snapshot.next < self.start:
            self.snapshot = None

    def seq_at(self, number: int, newest: int) -> int | None:
        """Position of a consumer whose next frame is `number`; None where the window has moved past it."""
        if number < self.start:
            return None
        return newest if number >= self.end else self._frames[number - self.start][0]

    def chunk(self, number: int) -> tuple[bytes, int]:
        """Frames from `number` on, joined, at most `CHUNK_BYTES_MAX` (one frame may be larger), and the next
        number.

        Consumers at the same place share the same bytes.
        """
        end = self.end
        found = self._joined.get((number, end))
        if found is None:
            frames: list[bytes] = []
            size = 0
            for _, frame in self._frames[number - self.start :]:
                if frames and size + len(frame) > CHUNK_BYTES_MAX:
                    break
                frames.append(frame)
                size += len(frame)
            found = (b"".join(frames) if len(frames) != 1 else frames[0], number + len(frames))
            self._joined[number, end] = found
        return found
