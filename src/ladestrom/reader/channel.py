"""Frames made once and shared, and where each consumer stands in them.

A channel is what consumers with the same subscription share: a window of ready-made frames. A consumer is a
number in that window, not a queue of copies; one that falls out of it, or comes back with a position, is
caught up from the view with the newest state of what changed since (conflation), and memory never grows with
it.

Pure: bytes go out through `Sink.write`, which must not wait.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import Final

import msgspec

from ladestrom.core.digests import WORD
from ladestrom.reader.subscriptions import Subscriber, Subscription

WINDOW_BYTES_MAX: Final = 4 * 1024 * 1024
"""Frames kept for consumers that are a little behind: half a second at 10,000 changes/s of 300 bytes."""
CHUNK_BYTES_MAX: Final = 256 * 1024
"""Bytes handed to one consumer at once: a second on a link of 2 Mbit/s."""

CHUNK_FRAMES_MAX: Final = 1_000
"""Frames handed to one consumer at once: so many single changes are some 300 KiB."""


class Snapshot(msgspec.Struct, frozen=True, gc=False):
    """A snapshot made for all who join now: its frames, and the window's frame that follows them."""

    frames: tuple[bytes, ...]
    """Not joined, so that other frames may go between them to a consumer that takes them slowly."""
    next: int
    good_until_s: float
    seq: int
    confirmations: int = 0
    """What had been confirmed at that position."""


PendingRow = tuple[bytes, int, int, int, int]
"""A change that waits for its message: encoded, its sequence, and what it adds to count and digest of the
selected state and to the digest of records (see `core.digests`)."""


class Channel:
    """The window of frames of one subscription, and its consumers."""

    def __init__(self, subscription: Subscription) -> None:
        self.subscription = subscription
        self.subscribers: set[Subscriber] = set()
        self.snapshot: Snapshot | None = None
        """The newest one, for others who join."""
        self.waiting: dict[Subscriber, int] = {}
        """Those who are JOINING, and of which position a snapshot has to be at least for each."""
        self.start = 0
        """Number of the oldest frame kept."""
        self.chain = 0
        """Position of a consumer that has taken all frames."""
        self.rows: list[PendingRow] = []
        """Changes that wait for their message."""
        self.rows_due_s: float | None = None
        """When they are due; None while the pass has not seen any."""
        self.is_added_up = False
        """Whether count and digest are those of the selected state; else they are a part of it."""
        self.count = 0
        """EVSEs in the selected state."""
        self.digest = 0
        """Of the selected state, modulo 2^32."""
        self.records_digest = 0
        """Of the records of stations in it, where they are told."""
        self.heartbeat_due_s = 0.0
        self.frames: list[tuple[bytes, int]] = []
        """The window: frames, and the position of a consumer that has taken the frame."""
        self.put_frame: Final = self.frames.append
        """The list stays the same one: audiences hold on to this, and to `put_row`."""
        self.put_row: Final = self.rows.append
        self._gone_bytes = 0
        """Of all frames that were dropped."""
        self._bytes = 0
        self._counted = 0
        """Frames of the window whose bytes are counted."""
        self._joined: dict[tuple[int, int], tuple[bytes, int, int]] = {}

    @property
    def end(self) -> int:
        """Number of the frame that comes next."""
        return self.start + len(self.frames)

    def add(self, count: int, term: int, record_term: int = 0) -> None:
        """The selected state has so much more."""
        self.count += count
        self.digest = (self.digest + term) & WORD
        self.records_digest = (self.records_digest + record_term) & WORD

    def begin_sums(self) -> None:
        """What it adds up to is counted from nothing."""
        self.count = self.digest = self.records_digest = 0

    def push(self, frame: bytes, seq: int) -> None:
        """Adds a frame; a consumer that has taken it stands at `seq`."""
        self.frames.append((frame, seq))

    def take_rows(self) -> list[PendingRow]:
        """The changes that wait; none wait then."""
        rows = self.rows[:]
        self.rows.clear()
        self.rows_due_s = None
        return rows

    def trim(self) -> None:
        """Drops the oldest frames over the window's limit. Called between passes."""
        self._joined.clear()
        self._bytes += sum([len(frame) for frame, _ in self.frames[self._counted :]])
        over = self._bytes - WINDOW_BYTES_MAX
        count = 0
        if over > 0:
            for frame, _ in self.frames:
                if over <= 0:
                    break
                over -= len(frame)
                count += 1
            self._gone_bytes += self._bytes - WINDOW_BYTES_MAX - over
            self._bytes = WINDOW_BYTES_MAX + over
            del self.frames[:count]
            self.start += count
        self._counted = len(self.frames)
        if self.snapshot is not None and self.snapshot.next < self.start:
            self.snapshot = None

    def bytes_before(self, number: int) -> int:
        """Bytes of all frames before this one, ever; of one that is gone, those before the window.

        Costs a look at the frames from there to the window's end.
        """
        place = max(number - self.start, 0)
        behind = sum([len(frame) for frame, _ in self.frames[place : self._counted]])
        ahead = sum([len(frame) for frame, _ in self.frames[self._counted : place]])
        return self._gone_bytes + self._bytes - behind + ahead

    def chunk(self, number: int) -> tuple[bytes, int, int]:
        """Frames from `number` on, joined, at most `CHUNK_BYTES_MAX` (one frame may be larger); the next
        number; and where a consumer stands then.

        Consumers at the same place share the same bytes.
        """
        end = self.end
        found = self._joined.get((number, end))
        if found is None:
            place = number - self.start
            part = self.frames[place : place + CHUNK_FRAMES_MAX]
            frames = [frame for frame, _ in part]
            data = frames[0] if len(frames) == 1 else b"".join(frames)
            if len(data) > CHUNK_BYTES_MAX and len(frames) > 1:
                fitting = bisect_right(list(accumulate(map(len, frames))), CHUNK_BYTES_MAX)
                frames = frames[: max(1, fitting)]
                data = b"".join(frames)
            following = number + len(frames)
            found = (data, following, part[len(frames) - 1][1])
            self._joined[number, end] = found
        return found
