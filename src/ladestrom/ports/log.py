"""The durable ordered log of what changed, and checkpoints of what it adds up to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Protocol, runtime_checkable

import msgspec

from ladestrom.errors import LogFailure
from ladestrom.model import (
    AS_OBSERVED,
    NEVER,
    AnyChange,
    Change,
    Entry,
    Millis,
    Order,
    Position,
    Station,
    Status,
)


class Said(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The last word of one feed about an EVSE."""

    feed: str
    """Empty where that is not known, after a crash."""
    source: str
    """Name of the operator."""
    status: Status
    error: bool
    stamp: Millis
    """As it was written; `NEVER` where it had none."""
    at: Millis
    """When it counts as observed."""
    arrival: int = 0


class More(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What the board keeps of an EVSE that several feeds tell of, or whose stamps were ahead of us."""

    heard_on: str
    """The feed on which it was heard last."""
    own_arrival: int
    """Of the last word of the feed that the row is of, or of the loss of its status."""
    others: tuple[Said, ...] = ()
    """The last words of other feeds."""
    capped: Said | None = None
    """The last word whose stamp was ahead of its receipt: the same word again counts as it did."""


class BoardRow(msgspec.Struct, gc=False, array_like=True):
    """One EVSE of the board, in memory and in a checkpoint: its last change and what was heard of it since.

    A row on the board is replaced and not changed, so that a checkpoint may have it meanwhile.
    """

    seq: int
    change: Change
    observed_at: Millis
    """When it was last observed: by the change, or by what confirmed it since."""
    heard_at: Millis
    """When it was last heard of, on the clock by which silence is judged."""
    source: str
    """Whose it is: who changed it, or confirmed it by a later observation."""
    stamp: Millis = AS_OBSERVED
    """Of that source's last word: as it was written, `NEVER` without one, `AS_OBSERVED` where it is that."""
    feed: str = ""
    """On which that source told it; empty where that is not known, after a crash."""
    order: Order = Order.STAMPS
    """Of that feed."""
    arrival: int = 0
    """Of the last word that was heard of it, in the order in which all deliveries arrive."""
    more: More | None = None
    former: tuple[str, ...] = ()
    """Sources that told of it before others did, each once, the last one last; at most 16."""


class Former(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What filters saw of a station until another record replaced the one that it had."""

    until: int
    """Sequence of the entry by which it ended; of the last one, where it came back meanwhile."""
    outline: Station
    """See `core.selection.outline`."""


class Left(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The change by which an EVSE left a station for another one, where it is now."""

    seq: int
    change: Change


class StationRow(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One station, in memory and in a checkpoint: its record, and what filters saw of it before."""

    seq: int
    """Of the entry that brought the record: its revision. 0 where the record is older than entries of its
    kind (`Log.adopt`)."""
    station: Station
    """A tombstone, where it left its register (`vanished_at`)."""
    former: tuple[Former, ...] = ()
    """Each outline once, in the order in which they ended."""
    lost_seq: int = 0
    """Of the outlines that ended, and of the EVSEs that left, up to here not all are kept."""
    left: tuple[Left, ...] = ()
    """Once for each EVSE, in any order: the board has only the station where an EVSE is now."""
    received_at: Millis = NEVER
    """Of that entry; `NEVER` where there was none, and in checkpoints of before this was kept."""


class Recovered(msgspec.Struct, frozen=True, gc=False):
    """What a log adds up to."""

    rows: Sequence[BoardRow]
    """One for each EVSE, in order of `seq`."""
    stations: Sequence[StationRow] = ()
    registry_revision: int = 0
    """Of the registry, up to which all is in these; 0 where that is not known."""
    touched: frozenset[str] = frozenset()
    """Stations (uuids) whose rows are other than the checkpoint's, by entries that came after it."""


class Times(msgspec.Struct, frozen=True, gc=False):
    """What a log keeps of its writer's clocks."""

    given_at: Millis
    """The last receive time that was given."""
    heard_at: Millis
    """The same instant on the clock by which silence is judged."""


class Followed(Protocol):
    """A log as those who follow it know it; somebody else may write it."""

    @property
    def last(self) -> Position:
        """Position of the last durable entry; sequence 0 while there is none."""
        ...

    @property
    def first(self) -> int:
        """Sequence of the oldest entry kept; `last.seq + 1` while there is none."""
        ...

    @property
    def fault(self) -> LogFailure | None:
        """What is known to be wrong with the log, whether or not it can be written; None where nothing is."""
        ...

    async def recover(self) -> Recovered:
        """Board and stations as of `last`: checkpoint and replay.

        Raises:
            LogDamaged: it cannot be made of what is in the log; says what is damaged and what to do.
        """
        ...

    async def read(self, after: int, limit: int) -> Sequence[Entry]:
        """At most `limit` entries with `seq > after`, in order; entries no longer kept are skipped.

        Raises:
            LogDamaged: an entry that is kept cannot be read, or is missing; says which (`seq`).
            LogFailure: the log cannot be read now.
        """
        ...

    async def before(self, at: Millis) -> int:
        """Sequence of the last entry that was received before an instant; `first - 1` where none kept was.

        Raises:
            LogFailure: the log cannot be read now.
        """
        ...

    @property
    def oldest_at(self) -> Millis | None:
        """When the oldest entry kept was received; None while there is none."""
        ...

    def tail(self, after: int) -> AsyncIterator[Sequence[Entry]]:
        """Every durable entry with `seq > after`, in order, in batches, for ever.

        A reader that is slow gets larger batches (at most 10,000 entries); it never slows the writer. What a
        reader in the writer's process was not given yet is not dropped by `trim`; elsewhere it may be.

        Raises:
            LogTrimmed: the entry after `after` is no longer kept.
            LogReplaced: the log is another one now, or began a new epoch: recover it anew.
            LogDamaged: the next entry cannot be read, or is missing.
        """
        ...

    @property
    def kept_bytes(self) -> int:
        """What it takes on its disk."""
        ...

    async def close(self) -> None:
        """Releases the files. What was appended stays."""
        ...


@runtime_checkable
class FollowedElsewhere(Followed, Protocol):
    """One of which the process that writes it says how far it is durable. Nothing beyond that is read."""

    def stands(self, epoch: str, last: int, first: int, oldest_at: Millis | None) -> None:
        """All up to `last` is durable, what is before `first` was dropped.

        Raises:
            LogReplaced: this is another log than the one that is followed.
        """
        ...

    async def follow(self) -> None:
        """Reads what the writer vouches for, until cancelled.

        Raises:
            LogDamaged: an entry cannot be read, or is missing.
            LogTrimmed: entries were dropped before they were read.
        """
        ...


class Log(Followed, Protocol):
    """One durable ordered log of changes of statuses and of stations, and checkpoints of what they add up to.

    One writer. Sequence numbers start at 1, have no holes and never repeat within an epoch.
    """

    @property
    def is_full(self) -> bool:
        """Whether the last `trim` dropped entries because of the size of all, and not only for their age."""
        ...

    @property
    def lacks_stations(self) -> bool:
        """Whether it was written before records of stations were entries: `adopt` comes first then."""
        ...

    async def adopt(self, stations: Iterable[StationRow]) -> None:
        """Takes the records that were in force at `last` into the checkpoint of a log that lacks them.

        The log is of the new form once all are kept; until then it is as it was.
        """
        ...

    async def append(self, changes: Sequence[AnyChange]) -> Sequence[Entry]:
        """Makes the changes durable, all or none, and returns them with their sequence numbers.

        Returns or raises once it is certain which: where an answer of the place that keeps the log was lost,
        it waits until it can ask there. `stalled_s` tells for how long.

        Raises:
            Deposed: another process writes the log now, or it was replaced; none was appended, and none ever
                will be. This process has to begin anew.
            LogFailure: none was appended; calling again may succeed.
        """
        ...

    @property
    def times(self) -> Times | None:
        """What is known of the writer's clocks as of `last`, once the board was recovered."""
        ...

    async def checkpoint(
        self,
        rows: Iterable[BoardRow],
        seq: int,
        times: Times,
        stations: Iterable[StationRow] = (),
        registry_revision: int = 0,
    ) -> None:
        """Keeps the newest state of EVSEs and stations touched since the last checkpoint.

        Every change with a sequence up to `seq` is in these or in earlier rows, and was received by `times`.
        They are written piece by piece, stations first; a crash may leave a part of them. What was
        written to the registry up to `registry_revision` is among them.
        """
        ...

    async def trim(self) -> int:
        """Drops entries over the limits of age and size; says how many.

        Never any that the checkpoint does not cover, or that a reader that follows was not given yet.
        """
        ...

    def look(self) -> None:
        """Looks whether what was opened is still what is kept where it was; `fault` says so otherwise."""
        ...

    @property
    def idle_s(self) -> float:
        """Seconds since the last write that succeeded."""
        ...

    @property
    def stalled_s(self) -> float:
        """Seconds for which the writes under way have waited for the disk; 0 while there is none."""
        ...

    async def probe(self) -> None:
        """Writes and syncs a small record.

        Raises:
            LogFailure: the log cannot be written now.
        """
        ...
