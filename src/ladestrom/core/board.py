"""The board: last known status of every EVSE that some operator may report on. Decide, commit, expire.

`Round.decide` changes nothing that anyone sees; `Board.commit` runs after the append succeeded. A failed
append therefore leaves nothing to undo. Recovery is the checkpoint's rows and `fold` over the entries that
came after: the same function by which a decision makes its row.
Knows nothing of registries, ownership or clocks: what is passed in was resolved, allowed and timed.
How two words compare is in `core.precedence`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

import msgspec

from ladestrom.core.precedence import (
    Taking,
    counted,
    is_lost,
    is_of,
    is_same_feed,
    last_word,
    own_word,
    precedes,
    raised,
    supersedes,
)
from ladestrom.core.rules import STEP_BACK_MS_MAX, normal_error
from ladestrom.model import (
    AS_OBSERVED,
    NEVER,
    AnyChange,
    Cause,
    Change,
    Entry,
    Evse,
    Millis,
    Order,
    Reason,
    StationChange,
    StationChanged,
    Status,
    StatusChanged,
    StatusReport,
    Suppression,
)
from ladestrom.ports.log import BoardRow, More, Said, Times

REPORTED: Final = Cause.REPORTED
"""To look a member of an enumeration up takes Python 3.11 longer than to make a row."""
UNCHANGED: Final = Suppression(Reason.UNCHANGED)
STALE: Final = Suppression(Reason.STALE)

NOT_THERE: Final = (Status.REMOVED, False)
"""What an EVSE was before it came onto the board, or to another station: who counts must not count it off."""

EXPIRABLE: Final = frozenset(Status) - {Status.UNKNOWN, Status.PLANNED, Status.REMOVED}
"""Statuses that claim something about this moment, and so end when nobody confirms them.

So does UNKNOWN with an error.
"""
RAPID_MS: Final = 300_000
"""A change is rapid that comes sooner after another reported one of its EVSE. Those of real EVSEs are hours
apart, but for a few around each session."""
FORMER_SOURCES_MAX: Final = 16
"""Sources of one EVSE that are kept of those that it had before; few EVSEs ever have more than three."""
FEEDS_MAX: Final = 8
"""Other feeds of one EVSE whose last words are kept; more than report on one anywhere."""


class Board:
    """Last known status by EVSE key."""

    def __init__(self, rows: Iterable[BoardRow] = ()) -> None:
        self.cells: dict[str, BoardRow] = {row.change.evse: row for row in rows}
        self.seq = max((row.seq for row in self.cells.values()), default=0)
        """Every change up to here is on the board."""
        self.arrivals = max(map(_arrival_max, self.cells.values()), default=0)
        """Number of the last delivery that arrived, and of the last round that began."""
        self._recovered = self.arrivals
        self._touched: set[str] = set()
        self._heard: set[str] = set()
        """Keys of EVSEs that were changed or confirmed since readers were told of confirmations."""

    def __len__(self) -> int:
        return len(self.cells)

    def restore(
        self, rows: Iterable[BoardRow], seq: int, shift_ms: int = 0, now: Millis | None = None
    ) -> None:
        """Fills an empty board with what the log recovered at `seq`.

        All of it goes into the next checkpoint, as it holds entries that came after the last one.

        Args:
            rows: they are the board's from now on.
            seq: of the last entry.
            shift_ms: from the clock of the process before, by which silence was judged, to ours.
            now: by that clock of ours; nothing was heard later.
        """
        cells = self.cells
        arrivals = self.arrivals
        for row in rows:
            row.heard_at += shift_ms
            if now is not None and row.heard_at > now:
                row.heard_at = now
            arrivals = max(arrivals, _arrival_max(row))
            cells[row.change.evse] = row
        self.seq = seq
        self.arrivals = self._recovered = arrivals
        self._touched.update(cells)

    def shift_recovered(self, shift_ms: int) -> None:
        """Moves when rows were heard that were not heard again since `restore`."""
        for key, row in self.cells.items():
            if row.arrival <= self._recovered:
                row.heard_at += shift_ms
                self._touched.add(key)

    def arrive(self) -> int:
        """The number of a delivery that arrives, or of a round that begins: one more than the last."""
        self.arrivals += 1
        return self.arrivals

    def commit(self, round_: Round, entries: Sequence[Entry]) -> None:
        """Makes a round's decisions the board's state. `entries` are its changes, now durable."""
        staged = round_.staged
        for entry in entries:
            if isinstance(entry, StationChanged):
                continue
            row = staged[entry.change.evse]
            if row.change is entry.change:
                row.seq = entry.seq
        if entries:
            self.seq = entries[-1].seq
        self.cells.update(staged)
        self._touched.update(staged)
        self._heard.update(staged)

    def take_touched(self) -> set[str]:
        """Keys of EVSEs that were changed or confirmed since the last call, for a checkpoint."""
        taken, self._touched = self._touched, set()
        return taken

    def take_heard(self) -> set[str]:
        """Keys of EVSEs that were changed or confirmed since the last call, for readers."""
        taken, self._heard = self._heard, set()
        return taken

    def rows(self, keys: Iterable[str]) -> Iterator[BoardRow]:
        """What a checkpoint keeps of these EVSEs, each as it is when it is asked for."""
        return (self.cells[key] for key in keys)

    def touch(self, keys: Iterable[str]) -> None:
        """Gives EVSEs back that a failed checkpoint did not keep."""
        self._touched.update(keys)

    def expire(
        self,
        now: Millis,
        received_at: Millis,
        stale_after_ms: Callable[[str], int],
        keys: Iterable[str] | None = None,
    ) -> list[Change]:
        """Changes to UNKNOWN for EVSEs whose source was silent too long.

        Args:
            now: by the clock by which silence is judged.
            received_at: when the changes are decided.
            stale_after_ms: the limit of a source.
            keys: narrows the search.
        """
        changes = []
        for key in self.cells if keys is None else keys:
            row = self.cells.get(key)
            if row is None or not claims(row.change):
                continue
            if now - row.heard_at > stale_after_ms(row.source):
                changes.append(_ended(row, Status.UNKNOWN, Cause.EXPIRED, received_at))
        return changes

    def give_up(self, key: str, received_at: Millis) -> Change | None:
        """The change for an EVSE whose source signed off; None where it claims nothing that could end."""
        row = self.cells.get(key)
        if row is None or not claims(row.change):
            return None
        return _ended(row, Status.UNKNOWN, Cause.DISCONNECTED, received_at)

    def withdraw(self, key: str, received_at: Millis) -> Change | None:
        """The change for an EVSE that left its register; None where it is not on the board."""
        row = self.cells.get(key)
        if row is None or _vanished(row.change):
            return None
        return _ended(row, Status.REMOVED, Cause.WITHDRAWN, received_at)

    def register(self, evse: Evse, received_at: Millis) -> Change | None:
        """The change that brings an EVSE onto the board, or back; None where it is there already."""
        row = self.cells.get(evse.key)
        if row is not None and row.change.station == evse.station and not _vanished(row.change):
            return None
        return unheard(evse, received_at, None if row is None else row.change)

    def move(self, evse: Evse, received_at: Millis) -> tuple[Change, Change] | None:
        """The changes for an EVSE that went to another station: off the one, onto the other as it was.

        None where it is not on the board, or is there already.
        """
        row = self.cells.get(evse.key)
        if row is None or row.change.station == evse.station or _vanished(row.change):
            return None
        off = _ended(row, Status.REMOVED, Cause.WITHDRAWN, received_at)
        if is_lost(row):
            # How it was lost stays with the station that it leaves: at the other one, any word ends that.
            return off, unheard(evse, received_at, off)
        on = msgspec.structs.replace(
            row.change,
            station=evse.station,
            observed_at=row.observed_at,
            received_at=received_at,
            source=row.source,
            cause=Cause.REGISTERED,
            was_status=Status.REMOVED,
            was_error=False,
            stamp=row.stamp,
            was_source=row.source,
        )
        return off, on


class Round:
    """The decisions for one append: reports in, changes out, seen by nobody before `Board.commit`.

    Splitting reports into other rounds gives the same changes: each decision sees the ones before.
    """

    __slots__ = ("_board", "changes", "rapid", "records", "staged")

    def __init__(self, board: Board) -> None:
        self._board = board.cells
        self.changes: list[Change] = []
        self.records: list[tuple[int, StationChange]] = []
        """Changes of stations' records, each with the number of changes that come before it."""
        self.staged: dict[str, BoardRow] = {}
        """Rows as they are after this round, by EVSE key."""
        self.rapid = 0
        """Changes by which sources told of an EVSE less than `RAPID_MS` after the last one did."""

    def decide(self, evse: Evse, report: StatusReport, taking: Taking) -> Change | Suppression:
        """Whether the report changes the board.

        This is the way of nearly all reports: of a feed that alone tells of an EVSE, each observed later than
        the one before. All others go by `_judge`, which would decide these too.
        """
        key = evse.key
        row = self.staged.get(key)
        if row is None:
            row = self._board.get(key)
        if report.observed_at is None or taking.by_receipt:
            at, stamp = taking.arrived_at, NEVER
        else:
            at, stamp = report.observed_at, AS_OBSERVED
        if (
            row is None
            or row.more is not None
            or row.feed != taking.feed
            or row.stamp != stamp
            or row.arrival > taking.arrival
            or row.observed_at > taking.horizon
            or not taking.oldest <= at <= taking.received_at
        ):
            return self._judge(evse, report, taking, row)
        before = row.change
        status = report.status
        error = normal_error(status, report.error)
        if status is before.status and error is before.error and before.cause is REPORTED:
            observed_at = at if at > row.observed_at else row.observed_at  # noqa: FURB136 - twice as fast
            self.staged[key] = BoardRow(
                row.seq,
                before,
                observed_at,
                taking.heard_at,
                row.source,
                stamp,
                row.feed,
                row.order,
                taking.arrival,
                None,
                row.former,
            )
            return UNCHANGED
        if (
            at <= row.observed_at
            or before.cause is not REPORTED
            or before.station != evse.station
            or before.changed_at > taking.horizon
        ):
            return self._judge(evse, report, taking, row)
        made = Change(
            key,
            before.station,
            status,
            error,
            at if at > before.changed_at else before.changed_at,  # noqa: FURB136 - likewise
            at,
            taking.received_at,
            report.source,
            report.raw,
            REPORTED,
            before.status,
            before.error,
            stamp,
            before.source,
        )
        former = row.former if before.source == report.source else _former(row, report.source)
        self.staged[key] = BoardRow(
            0,
            made,
            at,
            taking.heard_at,
            report.source,
            stamp,
            row.feed,
            taking.order,
            taking.arrival,
            None,
            former,
        )
        self.changes.append(made)
        if taking.received_at - before.received_at < RAPID_MS:
            self.rapid += 1
        return made

    def _judge(
        self, evse: Evse, report: StatusReport, taking: Taking, row: BoardRow | None
    ) -> Change | Suppression:
        if row is None or _vanished(row.change):
            word = counted(report, taking, None)
            return self._change(evse, report, taking, row, word, word.at)
        word = counted(report, taking, row)
        own = last_word(row, word, taking)
        if own is not None:
            word = raised(word, own, taking)
        before = row.change
        if word.status is before.status and word.error is before.error:
            self.staged[evse.key] = _confirmed(row, word, own, taking)
            return UNCHANGED
        at = precedes(row, word, own, taking)
        if at is not None:
            return self._change(evse, report, taking, row, word, at)
        is_last = own is None or supersedes(word, own, taking.order)
        if is_last or word.stamp > word.at:
            # What it said decides later whether it says it again.
            self.staged[evse.key] = _with_stale(row, word, is_last)
        return STALE

    def _change(
        self,
        evse: Evse,
        report: StatusReport,
        taking: Taking,
        row: BoardRow | None,
        word: Said,
        at: Millis,
    ) -> Change:
        if row is None:
            was_status, was_error = NOT_THERE
            changed_at = at
        else:
            was_status, was_error = row.change.status, row.change.error
            if row.change.station != evse.station:
                # Its report came before `Board.move`.
                if not _vanished(row.change):
                    self.add([_ended(row, Status.REMOVED, Cause.WITHDRAWN, taking.received_at)], taking)
                was_status, was_error = NOT_THERE
            changed_at = _not_back(at, row.change, taking.received_at)
        made = Change(
            evse.key,
            evse.station,
            word.status,
            word.error,
            changed_at,
            at,
            taking.received_at,
            report.source,
            report.raw,
            Cause.REPORTED,
            was_status,
            was_error,
            AS_OBSERVED if word.stamp == at else word.stamp,
            "" if row is None else row.change.source,
        )
        if (
            row is not None
            and row.change.cause is Cause.REPORTED
            and taking.received_at - row.change.received_at < RAPID_MS
        ):
            self.rapid += 1
        after = follow(row, made, 0, taking.heard_at, word, taking.order)
        self.staged[evse.key] = after
        self.changes.append(made)
        return made

    def add(self, changes: Iterable[Change], taking: Taking) -> None:
        """Adds decisions that are no operator's: expired, disconnected, withdrawn, registered."""
        for change in changes:
            row = self.staged.get(change.evse)
            if row is None:
                row = self._board.get(change.evse)
            after = follow(row, change, 0, taking.heard_at)
            if is_lost(after):
                # Only what is said from now on is said since.
                after.arrival = taking.arrival
                if after.more is not None:
                    after.more = msgspec.structs.replace(after.more, own_arrival=taking.arrival)
            self.staged[change.evse] = after
            self.changes.append(change)

    def record(self, change: StationChange) -> None:
        """Adds the change of a station's record; what is added behind it stands on it."""
        self.records.append((len(self.changes), change))

    def logged(self) -> Sequence[AnyChange]:
        """All changes, in order."""
        if not self.records:
            return self.changes
        made: list[AnyChange] = []
        done = 0
        for before, record in self.records:
            made += self.changes[done:before]
            made.append(record)
            done = before
        return [*made, *self.changes[done:]]

    def hear(self, keys: Iterable[str], taking: Taking) -> None:
        """Their source says that what it told of these EVSEs holds: they count as heard."""
        for key in keys:
            row = self.staged.get(key) or self._board[key]
            more = row.more and msgspec.structs.replace(row.more, heard_on=taking.feed)
            self.staged[key] = msgspec.structs.replace(
                row, heard_at=taking.heard_at, arrival=max(row.arrival, taking.arrival), more=more
            )


def fold(rows: dict[str, BoardRow], entry: StatusChanged, times: Times | None = None) -> Times:
    """Applies an entry of the log to recovered rows; one that a row already contains changes nothing.

    Args:
        rows: by EVSE key.
        entry: the next one, in the log's order.
        times: what is known of the writer's clocks before it.

    Returns:
        What is known of them after it: the receive time that was given last is that of the last entry.
    """
    change = entry.change
    times = passed(times, change.received_at)
    row = rows.get(change.evse)
    if row is None or entry.seq > row.seq:
        rows[change.evse] = follow(row, change, entry.seq, times.heard_at)
    return times


def passed(times: Times | None, given_at: Millis) -> Times:
    """What is known of the writer's clocks after an entry that was received then."""
    heard_at = given_at
    if times is not None:
        # More time than this is no silence, as it may be a clock that was set.
        heard_at = times.heard_at + min(max(0, given_at - times.given_at), STEP_BACK_MS_MAX)
    return Times(given_at, heard_at)


def follow(
    row: BoardRow | None,
    change: Change,
    seq: int,
    heard_at: Millis,
    word: Said | None = None,
    order: Order = Order.STAMPS,
) -> BoardRow:
    """The row after a change: what a decision stages, and what recovery makes of the log.

    Args:
        row: what was before; None where the EVSE was not on the board.
        change: of which everything is in the log.
        seq: of its entry.
        heard_at: when it was heard.
        word: that made it, where it is known: after a crash it is not.
        order: of the word's feed.
    """
    if change.cause is not Cause.REPORTED:
        if row is None or (change.cause is Cause.REGISTERED and not change.source):
            # It came, or came back: what was said of it before counts no more.
            arrival = 0 if row is None else row.arrival
            return BoardRow(
                seq,
                change,
                change.observed_at,
                heard_at,
                change.source,
                change.stamp,
                arrival=arrival,
                former=_former(row, change.source),
            )
        return _kept(row if row.source == change.source else _passed(row, change), change, seq)
    if word is None:
        stamp = change.stamp or change.observed_at
        arrival = 0 if row is None else row.arrival
        word = Said("", change.source, change.status, change.error, stamp, change.observed_at, arrival)
    after = BoardRow(
        seq,
        change,
        change.observed_at,
        heard_at if row is None else max(heard_at, row.heard_at),
        change.source,
        change.stamp,
        word.feed,
        order,
        word.arrival if row is None else max(word.arrival, row.arrival),
        former=_former(row, change.source),
    )
    others: tuple[Said, ...] = ()
    kept: Said | None = None
    if row is not None and not _is_back(row.change, change):
        others = _others(row, word)
        if row.more is not None:
            kept = row.more.capped
    if word.stamp > change.observed_at:
        kept = msgspec.structs.replace(word, at=change.observed_at)
    if others or kept is not None or word.arrival != after.arrival:
        after.more = More(word.feed, word.arrival, others, kept)
    return after


def _former(row: BoardRow | None, source: str) -> tuple[str, ...]:
    """The sources that an EVSE had before, once it is told of by this one."""
    if row is None:
        return ()
    before = row.change.source
    if before in {"", source}:
        return row.former
    return (*(each for each in row.former if each != before), before)[-FORMER_SOURCES_MAX:]


def _passed(row: BoardRow, change: Change) -> BoardRow:
    """The row of an EVSE that became another source's by a confirmation, of which the log says no more."""
    word = Said("", change.source, change.was_status, change.was_error, NEVER, change.observed_at)
    others, capped = _others(row, word), None if row.more is None else row.more.capped
    more = More("", row.arrival, others, capped) if others or capped is not None else None
    return msgspec.structs.replace(row, source=change.source, feed="", order=Order.STAMPS, more=more)


def _kept(row: BoardRow, change: Change, seq: int) -> BoardRow:
    """The row after a change that is no source's word: what was said is said still."""
    stamp, more = row.stamp, row.more
    if change.cause is Cause.REGISTERED:
        stamp = change.stamp
        if stamp > change.observed_at and (more is None or more.capped is None):
            word = Said(
                row.feed, row.source, change.status, change.error, stamp, change.observed_at, row.arrival
            )
            more = msgspec.structs.replace(more or More(row.feed, row.arrival), capped=word)
    return BoardRow(
        seq,
        change,
        change.observed_at,
        row.heard_at,
        row.source,
        stamp,
        row.feed,
        row.order,
        row.arrival,
        more,
        _former(row, change.source),
    )


def _confirmed(row: BoardRow, word: Said, own: Said | None, taking: Taking) -> BoardRow:
    """The row after a word that says what the board says, whatever its stamp.

    Who confirms owns the EVSE only where the observation is later.
    """
    is_later = word.at > row.observed_at or row.observed_at > taking.horizon
    is_last = own is None or supersedes(word, own, taking.order)
    after = BoardRow(
        row.seq,
        row.change,
        word.at if is_later else row.observed_at,
        taking.heard_at,
        row.source,
        row.stamp,
        row.feed,
        row.order,
        max(row.arrival, word.arrival),
        former=row.former,
    )
    before = row.more or More(row.feed, row.arrival)
    others, own_arrival, capped = before.others, before.own_arrival, before.capped
    is_own = is_of(row, word)
    if is_later or is_own:
        if is_later or (is_last and not is_lost(row)):
            after.stamp = AS_OBSERVED if word.stamp == after.observed_at else word.stamp
            own_arrival = word.arrival
            others = _others(row, word)
        elif is_last:
            others = _among(others, word)
        after.source, after.feed, after.order = word.source, word.feed, taking.order
    elif is_last:
        others = _among(others, word)
    if word.stamp > word.at:
        capped = word
    if others or capped is not None or word.feed != after.feed or own_arrival != after.arrival:
        after.more = More(word.feed, own_arrival, others, capped)
    return after


def _with_stale(row: BoardRow, word: Said, is_last: bool) -> BoardRow:
    """The row with a word that does not hold: the last one of its feed, or one whose stamp was ahead."""
    before = row.more or More(row.feed, row.arrival)
    others = _among(before.others, word) if is_last else before.others
    capped = word if word.stamp > word.at else before.capped
    more = More(before.heard_on, before.own_arrival, others, capped)
    return msgspec.structs.replace(row, more=more)


def _others(row: BoardRow, word: Said) -> tuple[Said, ...]:
    """The last words of the feeds that a row is not of, once it is of the feed of `word`."""
    before = () if row.more is None else row.more.others
    others = tuple(each for each in before if not is_same_feed(each, word))
    own = None if is_of(row, word) else own_word(row)
    return others if own is None else _among(others, own)


def _among(others: tuple[Said, ...], word: Said) -> tuple[Said, ...]:
    """The last words with one more, in place of what its feed said before."""
    return (*(each for each in others if not is_same_feed(each, word)), word)[-FEEDS_MAX:]


def _ended(row: BoardRow, status: Status, cause: Cause, received_at: Millis) -> Change:
    """The change that takes a status away."""
    change = row.change
    return Change(
        evse=change.evse,
        station=change.station,
        status=status,
        error=False,
        changed_at=_not_back(received_at, change, received_at),
        observed_at=row.observed_at,
        received_at=received_at,
        source=row.source,
        raw="",
        cause=cause,
        was_status=change.status,
        was_error=change.error,
        was_source=change.source,
    )


def _not_back(at: Millis, before: Change, received_at: Millis) -> Millis:
    """`changed_at` of a change: never before that of the one before, unless a wrong clock gave that."""
    return (
        at
        if at > before.changed_at or before.changed_at > received_at + STEP_BACK_MS_MAX
        else before.changed_at
    )


def _arrival_max(row: BoardRow) -> int:
    """The last arrival that a row knows of: what arrives after a restart is later than all of them."""
    more = row.more
    return row.arrival if more is None else max((row.arrival, *(each.arrival for each in more.others)))


def unheard(evse: Evse, received_at: Millis, before: Change | None) -> Change:
    """The change by which an EVSE comes to its station, of which nobody said anything there yet."""
    return Change(
        evse=evse.key,
        station=evse.station,
        status=Status.UNKNOWN,
        error=False,
        changed_at=NEVER,
        observed_at=NEVER,
        received_at=received_at,
        source="",
        raw="",
        cause=Cause.REGISTERED,
        was_status=Status.REMOVED if before is None else before.status,
        was_error=False if before is None else before.error,
        was_source="" if before is None else before.source,
    )


def claims(change: Change) -> bool:
    """Whether a status says something of this moment, and so ends when nobody confirms it."""
    return change.status in EXPIRABLE or (change.status is Status.UNKNOWN and change.error)


def _is_back(before: Change, change: Change) -> bool:
    """Whether an EVSE that is reported on had left its register: what was said of it before counts no more.

    One that is reported on at its new station first leaves the old one by an entry of the same instant.
    """
    has_moved = change.station != before.station and change.received_at == before.received_at
    return _vanished(before) and not has_moved


def _vanished(change: Change) -> bool:
    return change.status is Status.REMOVED and change.cause is Cause.WITHDRAWN
