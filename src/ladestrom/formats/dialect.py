"""What a stream's version has to say: which messages it makes of states and changes.

The broadcast drives a dialect; a dialect knows no consumer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import msgspec

from ladestrom.core.rules import Inoperative
from ladestrom.core.selection import Selection
from ladestrom.core.view import StationState, View
from ladestrom.formats.wire import Observed
from ladestrom.model import Change, Evse, Millis, Position, Station, StatusReport


class Style(msgspec.Struct, frozen=True, kw_only=True):
    """What encoders have to know of one server; what is set anew holds from the next start on."""

    inoperative: Inoperative
    """How INOPERATIVE reads where there is no such word."""
    licence: str
    attribution: str
    heartbeat_s: int
    inbound_bytes_max: int
    """Of one message of a consumer."""
    inbound_messages_per_minute_max: int
    observed_at: Observed
    publisher: str = ""
    """Who publishes, by the name that it has in its country; empty where nobody says."""
    publisher_country: str = ""
    """ISO 3166-1 alpha-2."""


class Message(msgspec.Struct, frozen=True, gc=False):
    """One message, before it is framed for a transport."""

    payload: bytes
    """JSON."""
    kind: str
    """Its type, as an event stream names events."""
    position: Position | None = None
    """Where a consumer stands that has taken it; None where it does not move."""
    retry_ms: Millis | None = None
    """When to come back; an event stream tells that in a field of its own."""


Moved = tuple[bytes, int, int]
"""A row about an EVSE that came into a selection or left it, and what that adds to its count and digest."""


class Sums(msgspec.Struct, frozen=True, gc=False):
    """What a selected state adds up to."""

    count: int
    """EVSEs."""
    digest: int
    """Of their states, modulo 2^32 (`core.digests`)."""
    stations_digest: int = 0
    """Of the records of stations, where the dialect tells them."""


class Drawing(Protocol):
    """A snapshot in the making, of one selection."""

    def add(self, state: StationState) -> None:
        """Takes a station, as it is now; nothing of it where it is not selected."""
        ...

    def messages(self) -> Iterator[Message]:
        """The snapshot, once it has every station. To be asked for once."""
        ...


class Dialect(Protocol):
    """One version of the stream."""

    batched: bool
    """Whether changes are gathered into messages by channel; else each change is one message, the same
    for all, or none where it cannot be told."""
    tells_records: bool
    """Whether records of stations are told, too."""

    def greeting(self, view: View, history_seq: int) -> Sequence[Message]:
        """What a connection begins with."""
        ...

    def reset(self, view: View, reason: str) -> Sequence[Message]:
        """What a consumer is told whose position cannot be resumed; a snapshot follows."""
        ...

    def selected(self, view: View, seq: int) -> Sequence[Message]:
        """What a consumer is told that changed its selection; a snapshot follows."""
        ...

    def farewell(self, retry_after_ms: int) -> Sequence[Message]:
        """What a consumer is told before the server goes away."""
        ...

    def snapshot(self, view: View, selection: Selection, seq: int) -> Drawing:
        """A snapshot in which there is nothing yet; whoever takes it stands at `seq` then."""
        ...

    def row(self, view: View, state: StationState, change: Change) -> bytes:
        """A change just applied to the view: a message's payload, or its part of a batch."""
        ...

    def entry(self, view: View, change: Change) -> bytes:
        """A change read back from the log: what `row` made of it, from the change alone."""
        ...

    def missed(self, view: View, state: StationState, selection: Selection, after: int) -> Sequence[bytes]:
        """What a consumer at `after` missed of a station: rows with its newest state."""
        ...

    def wanted(self, selection: Selection, change: Change) -> bool:
        """Whether a change passes the filters on EVSE and status."""
        ...

    def chosen(self, selection: Selection, change: Change, station: Station | None) -> Change | None:
        """The change as it is told to one with a selection; None where it is none of its changes.

        `station` is the record that its station had.

        One by which an EVSE passes to another operator's source is told as its removal to those who selected
        it by the source that it had.
        """
        ...

    def relocated(
        self,
        view: View,
        selection: Selection,
        former: Sequence[Station],
        state: StationState,
        since: int,
        seq: int,
    ) -> Sequence[Moved]:
        """What one with a selection is told of a station that was what each of these records says.

        Nothing where that makes no difference to the selection. What changed after `since` may have been
        shown before it changed. Where each row has a position of its own, that is `seq`.
        """
        ...

    def reshaped(self, view: View, state: StationState, before: Station) -> bytes | None:
        """What all are told whose selection had a station before its record changed, and has it now.

        None where the change does not show.
        """
        ...

    def record(self, view: View, state: StationState) -> bytes:
        """The record of a station, where the dialect tells them."""
        ...

    def gone(self, uuid: str) -> bytes:
        """That a station is not in the selection any more, where the dialect tells records."""
        ...

    def changes(self, view: View, prev: int, seq: int, rows: Iterable[bytes]) -> Sequence[Message]:
        """Messages from rows: the consumer stood at `prev`, and stands at `seq` after the last one."""
        ...

    def heartbeat(self, view: View, prev: int, sums: Sums, now: Millis) -> Sequence[Message]:
        """A sign of life at the view's position, and what the selected state adds up to."""
        ...

    def term(self, view: View, change: Change | None) -> tuple[int, int]:
        """What one EVSE's state adds to count and digest of a selection that it is part of.

        Zeros where it is not listed.
        """
        ...

    def digest(self, view: View, selection: Selection, change: Change | None) -> tuple[int, int]:
        """The same; zeros where the EVSE is not part of the selected state."""
        ...

    def raw(self, view: View, evse: Evse, report: StatusReport, observed_at: Millis) -> Sequence[Message]:
        """A report that was heard, change or not; nothing where the dialect does not tell."""
        ...


class OfNewest:
    """What dialects share that tell the newest states only: each change is a message of its own, the same for
    all whose selection has the station. They have no digest and no records, and nothing of them is replayed.
    """

    batched = False
    tells_records = False

    def greeting(self, view: View, history_seq: int) -> Sequence[Message]:
        """Nothing: the first message is a state."""
        del view, history_seq
        return ()

    def reset(self, view: View, reason: str) -> Sequence[Message]:
        """Nothing: the snapshot that follows has all."""
        del view, reason
        return ()

    def selected(self, view: View, seq: int) -> Sequence[Message]:
        """Nothing: the selection does not change."""
        del view, seq
        return ()

    def farewell(self, retry_after_ms: int) -> Sequence[Message]:
        """Nothing: the close code says it."""
        del retry_after_ms
        return ()

    def entry(self, view: View, change: Change) -> bytes:
        """Each change from the log is for version 2 only."""
        raise NotImplementedError(f"{type(self).__name__} does not replay single changes")

    def wanted(self, selection: Selection, change: Change) -> bool:
        """It filters by station only."""
        del selection, change
        return True

    def chosen(self, selection: Selection, change: Change, station: Station | None) -> Change | None:
        """It filters by station only."""
        del selection, station
        return change

    def record(self, view: View, state: StationState) -> bytes:
        """It has no records."""
        raise NotImplementedError(f"{type(self).__name__} tells no records")

    def gone(self, uuid: str) -> bytes:
        """It has no records."""
        raise NotImplementedError(f"{type(self).__name__} tells no records")

    def heartbeat(self, view: View, prev: int, sums: Sums, now: Millis) -> Sequence[Message]:
        """None: pings show that the stream is alive."""
        del view, prev, sums, now
        return ()

    def term(self, view: View, change: Change | None) -> tuple[int, int]:
        """Nothing: there is no digest."""
        del view, change
        return 0, 0

    def digest(self, view: View, selection: Selection, change: Change | None) -> tuple[int, int]:
        """Nothing: there is no digest."""
        del view, selection, change
        return 0, 0
