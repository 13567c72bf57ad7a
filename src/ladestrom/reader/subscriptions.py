"""Consumers: what each wants, in which phase it is, and where it stands.

The phase table says what becomes of a consumer; which loop serves it follows from its phase: passes
(`fanout`) while it is LIVE, `snapshots` while it is JOINING, `catching_up` or `replay` while it is REPLAYING.

Pure: bytes go out through `Sink.write`, which must not wait.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from ladestrom.core.selection import Selection
from ladestrom.model import Millis, Position

if TYPE_CHECKING:
    from ladestrom.reader.channel import Channel


class Phase(Enum):
    """Where a consumer is on its way."""

    NEW = "new"
    """Nothing was sent."""
    JOINING = "joining"
    """Waits for its snapshot, which is being made, or for the position from which it resumes to be found."""
    REPLAYING = "replaying"
    """Behind the window: gets the newest state of what changed since its position."""
    LIVE = "live"
    """In the window: gets each frame once."""
    CLOSED = "closed"


class Event(Enum):
    """What happens to a consumer."""

    WAITS = "waits for a snapshot"
    RESUMES = "resumes from a position"
    IN_STEP = "is in step"
    FALLS_BEHIND = "falls behind the window"
    LEAVES = "leaves, or is closed"


PHASES: Final[Mapping[Phase, Mapping[Event, Phase]]] = {
    Phase.NEW: {
        Event.WAITS: Phase.JOINING,
        Event.RESUMES: Phase.REPLAYING,
        Event.IN_STEP: Phase.LIVE,
        Event.LEAVES: Phase.CLOSED,
    },
    Phase.JOINING: {
        Event.WAITS: Phase.JOINING,
        Event.RESUMES: Phase.REPLAYING,
        Event.IN_STEP: Phase.LIVE,
        Event.LEAVES: Phase.CLOSED,
    },
    Phase.REPLAYING: {
        Event.WAITS: Phase.JOINING,
        Event.IN_STEP: Phase.LIVE,
        Event.LEAVES: Phase.CLOSED,
    },
    Phase.LIVE: {
        Event.FALLS_BEHIND: Phase.REPLAYING,
        Event.LEAVES: Phase.CLOSED,
    },
    Phase.CLOSED: {},
}
"""The phase that a consumer has after an event, by the one that it has; what is not here does not happen."""


class Sink(Protocol):
    """Where a consumer's bytes go."""

    paused: bool
    """More bytes wait than the consumer's limit; `Broadcast.pump` is called when they have drained."""

    def overrun(self, position: Position) -> None:
        """The consumer wants each change and could not keep up: it is closed, and told where it stood."""
        ...

    def interrupted(self, position: Position) -> None:
        """What comes next cannot be read now: the consumer is closed, and told where it stood."""
        ...

    def write(self, data: bytes) -> None:
        """Hands bytes over; keeps a reference, not a copy. Never waits, never raises."""
        ...


class Subscription(msgspec.Struct, frozen=True):
    """What a consumer wants; who wants the same shares one channel."""

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

    __slots__ = (
        "_counted",
        "_counted_bytes",
        "bytes",
        "channel",
        "every",
        "messages",
        "next",
        "phase",
        "resume_seq",
        "seq",
        "since",
        "sink",
    )

    def __init__(self, sink: Sink, channel: Channel, *, every: bool = False) -> None:
        self.sink = sink
        self.channel = channel
        self.every = every
        """Wants each change in order, not the newest states."""
        self.resume_seq = 0
        """Where it resumes if its connection ends now: the newest sequence that a message to it stated."""
        self.phase = Phase.NEW
        self.next = 0
        """Number of the next frame of the channel, while LIVE."""
        self.seq = 0
        """Position up to which everything was sent, while REPLAYING."""
        self.since = 0
        """Position at which it began to be REPLAYING."""
        self.messages = 0
        """Messages handed to it, as of the last `settle`."""
        self.bytes = 0
        """Likewise."""
        self._counted = 0
        """Number of the frame up to which those of the window are counted."""
        self._counted_bytes = 0
        """Bytes of all frames before that one."""

    def begin(self) -> None:
        """It stands in the window: what it takes of it counts from here."""
        self._counted = self.next
        self._counted_bytes = self.channel.bytes_before(self.next)

    def settle(self) -> None:
        """Counts what it took of the window, before that has moved past it. Taking costs nothing so."""
        if self.next != self._counted:
            before = self.channel.bytes_before(self.next)
            self.messages += self.next - self._counted
            self.bytes += before - self._counted_bytes
            self._counted, self._counted_bytes = self.next, before

    def is_at(self, phase: Phase) -> bool:
        """Whether it is in this phase now."""
        return self.phase is phase

    def on(self, event: Event) -> None:
        """Enters the phase that follows; an event that the table does not have is a bug."""
        following = PHASES[self.phase].get(event)
        if following is None:
            raise AssertionError(f"{self.phase}: {event} is not in the table")
        self.phase = following


class Driver(Protocol):
    """Moves consumers from one phase to the next, for those who serve them."""

    @property
    def history_seq(self) -> int:
        """Oldest position from which each change can be replayed."""
        ...

    def pump(self, subscriber: Subscriber) -> None:
        """Writes what a consumer is due until it has all or its buffer is full."""
        ...

    def go_live(self, subscriber: Subscriber, number: int, seq: int) -> None:
        """The consumer stands at a position, and before a frame of the window."""
        ...

    def resume(self, subscriber: Subscriber, seq: int) -> None:
        """The consumer gets what it missed since a position."""
        ...

    def restart(self, subscriber: Subscriber, reason: str | None, *, snapshot: bool) -> None:
        """The consumer begins anew, with a snapshot where it wants one; `reason`: why it cannot resume."""
        ...

    def is_kept(self, at: Millis) -> bool:
        """Whether the log goes back to an instant."""
        ...

    def unresumable(self, since: Position, subscription: Subscription, *, every: bool) -> str | None:
        """Why a position cannot be resumed; None where it can."""
        ...

    def overrun(self, subscriber: Subscriber) -> None:
        """Closes a consumer that wants each change and cannot keep up."""
        ...

    def interrupt(self, subscriber: Subscriber) -> None:
        """Closes a consumer for whom what comes next cannot be read now."""
        ...
