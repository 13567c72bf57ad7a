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
from ladestrom.model import Position

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

    def overrun(self, position: Position) -> None:
        """The consumer wants each change and could not keep up: it is closed, and told where it stood."""
        ...

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
    dialect: str = "v1"
    batch_ms: int = 0
    """How long changes are gathered into one message, where the dialect gathers."""


class Subscriber:
    """One consumer: its phase and its position."""

    __slots__ = ("channel", "every", "next", "phase", "seq", "sink", "told")

    def __init__(self, sink: Sink, channel: Channel, *, every: bool = False) -> None:
        self.sink = sink
        self.channel = channel
        self.every = every
        """Wants each change in order, not the newest states."""
        self.told = 0
        """Position that the consumer was told of, while REPLAYING."""
        self.phase = Phase.NEW
        self.next = 0
        """Number of the next frame of the channel, while LIVE."""
        self.seq = 0
        """Position up to which everything was sent, while REPLAYING."""

    def is_at(self, phase: Phase) -> bool:
        """Whether it is in this phase now."""
        return self.phase is phase

    def move(self, phase: Phase) -> None:
        """Enters another phase; one that the table does not allow is a bug."""
        if phase not in TRANSITIONS[self.phase]:
            raise AssertionError(f"{self.phase} to {phase} is not in the table")
        self.phase = phase


class Snapshot(msgspec.Struct, frozen=True, gc=False):
    """A snapshot made for all who join now: its frame, and the window's frame that follows it."""

    frame: bytes
    next: int
    good_until_s: float
    seq: int


class Channel:
    """The window of frames of one set of wishes, and its consumers."""

    def __init__(self, wishes: Wishes) -> None:
        self.wishes = wishes
        self.subscribers: set[Subscriber] = set()
        self.snapshot: Snapshot | None = None
        self.start = 0
        """Number of the oldest frame kept."""
        self.chain = 0
        """Position of a consumer that has taken all frames."""
        self.rows: list[bytes] = []
        """Changes that wait for their message."""
        self.rows_due_s = 0.0
        """When they are due, while there are any."""
        self.digest: int | None = None
        """Digest of the selected state; None where it has to be added up anew."""
        self.heartbeat_due_s = 0.0
        self._frames: list[bytes] = []
        self._seqs: list[int] = []
        """Position of a consumer that has taken the frame."""
        self._bytes = 0
        self._joined: dict[tuple[int, int], tuple[bytes, int, int]] = {}

    @property
    def end(self) -> int:
        """Number of the frame that comes next."""
        return self.start + len(self._frames)

    def push(self, frame: bytes, seq: int) -> None:
        """Adds a frame; a consumer that has taken it stands at `seq`."""
        self._frames.append(frame)
        self._seqs.append(seq)
        self._bytes += len(frame)

    def trim(self) -> None:
        """Drops the oldest frames over the window's limit. Called between passes."""
        self._joined.clear()
        over = self._bytes - WINDOW_BYTES_MAX
        if over <= 0:
            return
        count = 0
        for frame in self._frames:
            if over <= 0:
                break
            over -= len(frame)
            count += 1
        self._bytes = WINDOW_BYTES_MAX + over
        del self._frames[:count]
        del self._seqs[:count]
        self.start += count
        if self.snapshot is not None and self.snapshot.next < self.start:
            self.snapshot = None

    def chunk(self, number: int) -> tuple[bytes, int, int]:
        """Frames from `number` on, joined, at most `CHUNK_BYTES_MAX` (one frame may be larger); the next
        number; and where a consumer stands then.

        Consumers at the same place share the same bytes.
        """
        end = self.end
        found = self._joined.get((number, end))
        if found is None:
            frames: list[bytes] = []
            size = 0
            for frame in self._frames[number - self.start :]:
                if frames and size + len(frame) > CHUNK_BYTES_MAX:
                    break
                frames.append(frame)
                size += len(frame)
            following = number + len(frames)
            data = frames[0] if len(frames) == 1 else b"".join(frames)
            found = (data, following, self._seqs[following - 1 - self.start])
            self._joined[number, end] = found
        return found
