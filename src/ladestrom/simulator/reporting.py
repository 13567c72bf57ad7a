"""When an operator tells of what happened: one reporter per operator, by its habit.

Pure: instants are simulated ones and arguments. Must not know how a delivery is written or sent.
"""

from __future__ import annotations

from enum import StrEnum
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final

import msgspec

from ladestrom.model import Millis
from ladestrom.simulator.traffic import Event

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from random import Random

    from ladestrom.simulator.companies import Habit

DELIVERY_ITEMS_MAX: Final = 10_000
"""Items of one delivery: the report interface's limit."""

PENDING_CHANGES_MAX: Final = 10_000
"""Changes kept while nothing can be sent; beyond it only the newest of each EVSE is."""

LATE_CHANGES_MAX: Final = 1_000
"""Changes held back at one time; beyond it they are told in time."""

LONE_KEEP_ALIVES_MAX: Final = 50
"""Confirmations by themselves that are due at one time, so that no change waits behind many; where more
were due, every EVSE's turn comes later."""


class Kind(StrEnum):
    """What a delivery is."""

    OPENING = "opening"
    """All EVSEs, with the instants since which they are so; the first delivery."""
    CHANGES = "changes"
    LATE = "late"
    SNAPSHOT = "snapshot"
    KEEP_ALIVE = "keep_alive"

    @property
    def confirms(self) -> bool:
        """Whether the items say what is so at the instant of the delivery, not when it became so."""
        return self in {Kind.SNAPSHOT, Kind.KEEP_ALIVE}


class Delivery(msgspec.Struct, frozen=True):
    """What goes out in one request."""

    kind: Kind
    at: Millis
    """When it was put together."""
    items: tuple[Event, ...]
    """At least one, at most `DELIVERY_ITEMS_MAX`."""
    alone: bool
    """One item by itself, not in a list."""


class Reporter:
    """Gathers the events of one operator's EVSEs and gives the deliveries that are due.

    `board` is what its EVSEs are at `start`; at least one. Everything not yet delivered is bounded by
    `PENDING_CHANGES_MAX` or by the number of EVSEs, whichever is more.
    """

    def __init__(self, habit: Habit, board: Sequence[Event], rng: Random, start: Millis) -> None:
        self._habit: Final = habit
        self._rng: Final = rng
        self._start: Final = start
        self._now = {event.point: event for event in board}
        self._round: Final = tuple(self._now)
        self._pending: list[Event] = []
        self._late: list[tuple[Millis, int, Event]] = []
        self._held = 0
        self._opened = False
        self._confirmed = False
        self._next_batch_at = start
        self._next_snapshot_at = start
        self._kept_alive_at = start
        self._keep_alive_place = 0

    def note(self, event: Event) -> None:
        """Takes an event; events of one EVSE come in order of time."""
        habit = self._habit
        self._now[event.point] = event
        if habit.batch_s is None:
            return
        if habit.late_share and len(self._late) < LATE_CHANGES_MAX and self._rng.random() < habit.late_share:
            held_ms = int(self._rng.uniform(0, habit.late_s_max) * 1000)
            self._held += 1
            heappush(self._late, (event.at + held_ms, self._held, event))
            return
        self._pending.append(event)
        if len(self._pending) > max(PENDING_CHANGES_MAX, len(self._now)):
            newest = {pending.point: pending for pending in self._pending}
            self._pending = sorted(newest.values(), key=_by_time)

    def silent(self, now: Millis) -> bool:
        """Whether the operator says nothing at this instant."""
        habit = self._habit
        if habit.silent_every_s is None:
            return False
        into_s = (now - self._start) / 1000 % habit.silent_every_s
        return into_s >= habit.silent_every_s - habit.silent_s

    def due(self, now: Millis) -> list[Delivery]:
        """The deliveries to send now, in this order; `now` never goes back.

        Every event up to `now` has to be noted before. The first call opens, and what it gave has to be
        taken before the second one, which confirms. Empty during a silence, after which the changes
        missed come in one go.
        """
        if self.silent(now):
            self._kept_alive_at = now
            return []
        if not self._opened:
            return self._open(now)
        return [
            *self._first_confirmation(now),
            *self._due_changes(now),
            *self._due_late(now),
            *self._due_snapshot(now),
            *self._due_keep_alives(now),
        ]

    def _open(self, now: Millis) -> list[Delivery]:
        self._opened = True
        self._pending.clear()
        habit = self._habit
        # Operators do not keep step with each other: each begins somewhere in its own period.
        self._next_snapshot_at = now + int(self._rng.random() * (habit.snapshot_s or 0) * 1000)
        self._kept_alive_at = now
        return _cut(Kind.OPENING, now, self._now.values())

    def _first_confirmation(self, now: Millis) -> list[Delivery]:
        """All EVSEs as of now, once: a server that was told something newer before forgets it."""
        if self._confirmed:
            return []
        self._confirmed = True
        return _cut(Kind.SNAPSHOT, now, self._now.values())

    def _due_changes(self, now: Millis) -> list[Delivery]:
        batch_s = self._habit.batch_s
        if batch_s is None or not self._pending or now < self._next_batch_at:
            return []
        pending, self._pending = self._pending, []
        if batch_s == 0:
            return [Delivery(Kind.CHANGES, now, (event,), alone=True) for event in pending]
        self._next_batch_at = now + int(batch_s * 1000)
        return _cut(Kind.CHANGES, now, pending)

    def _due_late(self, now: Millis) -> list[Delivery]:
        deliveries = []
        while self._late and self._late[0][0] <= now:
            _, _, event = heappop(self._late)
            deliveries.append(Delivery(Kind.LATE, now, (event,), alone=True))
        return deliveries

    def _due_snapshot(self, now: Millis) -> list[Delivery]:
        snapshot_s = self._habit.snapshot_s
        if snapshot_s is None or now < self._next_snapshot_at:
            return []
        self._next_snapshot_at = now + int(snapshot_s * 1000)
        return _cut(Kind.SNAPSHOT, now, self._now.values())

    def _due_keep_alives(self, now: Millis) -> list[Delivery]:
        keep_alive_s = self._habit.keep_alive_s
        if keep_alive_s is None:
            return []
        evses = len(self._round)
        number = int((now - self._kept_alive_at) * evses / (keep_alive_s * 1000))
        if number == 0:
            return []
        self._kept_alive_at = now
        number = min(number, evses, LONE_KEEP_ALIVES_MAX if self._habit.batch_s == 0 else evses)
        places = [(self._keep_alive_place + step) % evses for step in range(number)]
        self._keep_alive_place = (places[-1] + 1) % evses
        events = [self._now[self._round[place]] for place in places]
        if self._habit.batch_s == 0:
            return [Delivery(Kind.KEEP_ALIVE, now, (event,), alone=True) for event in events]
        return _cut(Kind.KEEP_ALIVE, now, events)


def _by_time(event: Event) -> Millis:
    return event.at


def _cut(kind: Kind, now: Millis, events: Iterable[Event]) -> list[Delivery]:
    items = tuple(events)
    return [
        Delivery(kind, now, items[begin : begin + DELIVERY_ITEMS_MAX], alone=False)
        for begin in range(0, len(items), DELIVERY_ITEMS_MAX)
    ]
