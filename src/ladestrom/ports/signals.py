"""What passes between writer and readers beside the log."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Protocol

from ladestrom.model import Evse, Millis, Reason, StatusReport


class Tally:
    """What one operator delivered since the start."""

    __slots__ = ("changes", "last_report_at", "refused", "reports", "stale")

    def __init__(self) -> None:
        self.reports = 0
        self.changes = 0
        self.stale = 0
        self.refused: Counter[Reason] = Counter()
        self.last_report_at: Millis = -1


Confirmation = tuple[str, str, int, Millis]
"""A state that was observed again: its station, its EVSE (key), the sequence of the change that left it, and
the newest time at which it was observed."""


class Listener(Protocol):
    """What the writer tells readers beside the log: lossy. It must not wait or raise."""

    @property
    def wanted(self) -> bool:
        """Whether `offer` is to be called."""
        ...

    def confirmed(self, confirmations: Sequence[Confirmation]) -> None:
        """States that still hold, each EVSE once: told each second, in several parts where they are many."""
        ...

    def offer(self, evse: Evse, report: StatusReport, observed_at: Millis) -> None:
        """A report was received. Lossy."""
        ...


class Signals(Protocol):
    """What readers may ask of a writer in the same process."""

    @property
    def appending(self) -> asyncio.Future[None] | None:
        """Done when the append of deliveries that is under way is; None where none is."""
        ...

    def known_tallies(self) -> Mapping[str, Tally]:
        """By operator: what each delivered."""
        ...


class Statistics(Protocol):
    """What a writer counts, for whoever runs the server. Read when it is asked for."""

    @property
    def evses(self) -> int:
        """EVSEs on the board."""
        ...

    @property
    def queued_items(self) -> int:
        """Reports that wait to be logged."""
        ...

    @property
    def changes_by_cause(self) -> Mapping[str, int]:
        """Changes logged since the start, by their cause."""
        ...

    @property
    def failed_appends(self) -> int:
        """Appends that failed since the start."""
        ...

    def known_tallies(self) -> Mapping[str, Tally]:
        """By operator: what each delivered."""
        ...

    def take_append_seconds(self) -> Sequence[float]:
        """Durations of appends since the last call, at most 10,000."""
        ...
