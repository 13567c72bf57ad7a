"""What passes between writer and readers beside the log."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from ladestrom.model import Change, Evse, Millis, Reason, Station, StatusReport


class Tally:
    """What one operator delivered since the start."""

    __slots__ = ("changes", "last_report_at", "refused", "reports", "stale")

    def __init__(self) -> None:
        self.reports = 0
        self.changes = 0
        self.stale = 0
        self.refused: Counter[Reason] = Counter()
        self.last_report_at: Millis = -1


class RawListener(Protocol):
    """Who wants to know of every report received, change or not. It must not wait or raise."""

    @property
    def wanted(self) -> bool:
        """Whether `offer` is to be called."""
        ...

    def offer(self, evse: Evse, report: StatusReport, observed_at: Millis) -> None:
        """A report was received. Lossy."""
        ...


class Listener(RawListener, Protocol):
    """What the writer tells readers beside the log. It must not wait or raise."""

    def registering(self, stations: Sequence[Station]) -> AbstractContextManager[None]:
        """Within, in one step of the loop, the directory gets these records of stations."""
        ...


class Progress(Protocol):
    """How far a writer in the same process is."""

    @property
    def confirmations(self) -> int:
        """Grows with what confirms states without changing them."""
        ...

    @property
    def appending(self) -> asyncio.Future[None] | None:
        """Done when the append that is under way is; None where none is."""
        ...


class Signals(Progress, Protocol):
    """What readers may know of the writer beside the log."""

    def observed_at(self, seq: int, change: Change) -> Millis:
        """When the state that a change of the log left was last known to hold."""
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
