"""One consumer's conversation with version 2 of the stream.

Knows the messages, folds them into a board, checks that none is missing (`prev`) and that the board is the
server's (`digest`), and decides from where to resume and how long to stay away. Knows no socket, clock or
randomness: the chance of a delay is an argument.

    a snapshot is the whole truth once its last part came; a change is the whole truth about one EVSE, so
    that one which comes twice does no harm; `prev` that is not our position means that something was lost.

A batch of changes comes in several messages where it is large; the position moves with the last one. In mode
`latest` each message takes effect at once, in mode `every` the batch does as a whole: what a cut leaves
unfinished will come again, and is told once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import ClassVar, Final

import msgspec

from ladestrom.client.session import DELAY_MAX_S, BackOff
from ladestrom.client.v2_events import (
    HEARTBEAT_S,
    AnyMessage,
    Changed,
    Confirmed,
    Ended,
    Event,
    EvseState,
    Fault,
    FaultKind,
    Greeted,
    Leaving,
    Noted,
    Record,
    Recorded,
    Refused,
    Reset,
    Selected,
    Synced,
    decode,
    place,
)
from ladestrom.core import digests
from ladestrom.errors import BadRequest, TooManyRequests
from ladestrom.model import Position
from ladestrom.quoting import quoted

HIDDEN: Final = frozenset({"PLANNED", "REMOVED"})
"""Statuses that are not part of the state."""
FILTERS: Final = ("country", "operator", "station", "evse", "status", "bbox")
"""What a selection is made of; values joined by commas are alternatives, different filters narrow."""
HELD_ROWS_MAX: Final = 5_000_000
"""Rows of an unfinished snapshot or batch: several times the EVSEs of the European Union."""
SELECTS_MAX: Final = 100
"""Changes of selection that wait for their answer: as many as a server bears in a minute."""


class Mode(StrEnum):
    """What a consumer gets that was away, or could not keep up."""

    LATEST = "latest"
    """The newest state of what changed."""
    EVERY = "every"
    """Each change in order; one that cannot keep up is closed, and comes back to where it stood."""


_encode = msgspec.json.Encoder().encode


class V2Session:
    """A consumer's memory over all its connections.

    The shell asks for a connection with `ask` and `since`, calls `open` when it stands, `receive` for each
    message, and `lose` when the connection has gone or a fault came.

    Raises:
        BadRequest: the selection has a filter that does not exist.
    """

    def __init__(
        self,
        selection: Mapping[str, str] | None = None,
        *,
        mode: Mode = Mode.LATEST,
        batch_ms: int | None = None,
        since: Position | None = None,
        include_stations: bool = False,
    ) -> None:
        """Nothing is asked yet.

        Args:
            selection: filters by name.
            mode: what is due to a consumer that was away.
            batch_ms: how long the server may gather changes.
            since: where another session stood whose board the caller has. This one's is a part until a
                snapshot came, and no digest can be compared with it.
            include_stations: whether to be told records of stations, too.
        """
        self.selection: Mapping[str, str] = _checked(selection or {})
        """The selection that holds, by name of filter."""
        self.mode = mode
        self.board: dict[str, EvseState] = {}
        """By EVSE as its row writes it. To be read only."""
        self.stations: dict[str, Record] = {}
        """Records by uuid, where they are told. To be read only."""
        self.position: Position | None = since
        """Up to where the board holds; None where a snapshot is needed."""
        self.confirmed = 0
        """Digests that were equal."""
        self.heartbeat_s: float = HEARTBEAT_S
        """How often the server promises to be heard."""
        self._batch_ms = batch_ms
        self._statuses = _statuses(self.selection)
        self._asked: deque[Mapping[str, str]] = deque()
        self._digest = 0
        self._include_stations = include_stations
        self._names: dict[str, str] = {}
        self._coming: _Coming | None = None
        """The snapshot that is being told."""
        self._held: list[EvseState] = []
        self._back_off = BackOff()
        self._retry_after_s = 0.0
        self._in_step = False
        self._faulty = False
        self._told_before = False
        self._is_whole = since is None

    # -- connections -------------------------------------------------------------------------------------

    @property
    def since(self) -> str | None:
        """`EPOCH-SEQ` to resume from on the next connection; None asks for a snapshot."""
        return None if self.position is None or self._asked else str(self.position)

    def ask(self) -> dict[str, str]:
        """The query of the next connection, without `since`. Selections not answered yet count as chosen."""
        if self._asked:
            self.selection = self._asked[-1]
            self._statuses = _statuses(self.selection)
            self._asked.clear()
            self.position = None
        query = {**self.selection, "mode": self.mode.value}
        if self._batch_ms is not None:
            query["batch_ms"] = str(self._batch_ms)
        if self._include_stations:
            query["include"] = "stations"
        return query

    def forget(self) -> None:
        """What was told, half a snapshot included, is not to be built on.

        The next connection asks for a snapshot.
        """
        self.position = None
        self._coming = None
        self._held = []

    def open(self) -> None:
        """A connection stands that was asked for with `since`; half a snapshot of the last one is void."""
        self._coming = None
        self._held = []
        self._retry_after_s = 0.0
        self._in_step = False
        self._faulty = False

    def lose(self, chance: float, *, lasted_s: float = 0.0, retry_after_s: float = 0.0) -> float:
        """The connection has gone, or never came about: how many seconds to stay away.

        Args:
            chance: an even random number in [0, 1).
            lasted_s: how long the connection stood. One that resumed and heard nothing for long was
                in step all the same: there was nothing to hear.
            retry_after_s: what the server asked for; what it said when it left counts too.
        """
        well = (self._in_step or lasted_s >= DELAY_MAX_S) and not self._faulty
        asked_s = max(retry_after_s, self._retry_after_s)
        self._in_step = self._faulty = False
        self._retry_after_s = 0.0
        return self._back_off.lost(chance, well=well, retry_after_s=asked_s)

    def select(self, selection: Mapping[str, str]) -> bytes:
        """The message that asks for another selection; the present one holds until `Selected` came.

        Without a connection, or where it takes no messages, the next one asks for it (`ask`).

        Raises:
            BadRequest: a filter does not exist.
            TooManyRequests: `SELECTS_MAX` wait for their answer.
        """
        checked = _checked(selection)
        if len(self._asked) >= SELECTS_MAX:
            raise TooManyRequests(f"{SELECTS_MAX} changes of selection wait for their answer; wait for one")
        self._asked.append(checked)
        return _encode({"type": "select", **checked})

    # -- messages ----------------------------------------------------------------------------------------

    def receive(self, message: bytes | str) -> Event:
        """What one message says. Faults are values; nothing but a bug raises."""
        try:
            read = decode(message)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return self._fault(FaultKind.MALFORMED, str(error))
        handler = self._handlers.get(read.type)
        return Noted(read.type) if handler is None else handler(self, read)

    def _hello(self, read: AnyMessage) -> Greeted:
        if read.limits is not None and read.limits.heartbeat_s > 0:
            self.heartbeat_s = read.limits.heartbeat_s
        return Greeted(read.server, read.licence, read.attribution)

    def _reset(self, read: AnyMessage) -> Reset:
        self.position = None
        self._held = []
        return Reset(read.reason)

    def _refused(self, read: AnyMessage) -> Refused:
        if self._asked:
            self._asked.popleft()
        return Refused(str(read.code), read.detail)

    def _leaving(self, read: AnyMessage) -> Leaving:
        self._retry_after_s = max(0, read.retry_after_ms) / 1000
        return Leaving(read.retry_after_ms)

    def _ended(self, read: AnyMessage) -> Event:
        if not isinstance(read.code, int):
            return self._fault(FaultKind.MALFORMED, f"close with the code {quoted(read.code, 40)}")
        return Ended(read.code, read.reason)

    def _selected(self, _: AnyMessage) -> Selected:
        if self._asked:
            self.selection = self._asked.popleft()
            self._statuses = _statuses(self.selection)
        self.position = None
        self._held = []
        return Selected(self.selection)

    def _snapshot(self, read: AnyMessage) -> Event:
        coming = None if read.part == 1 else self._coming
        if coming is None:
            coming = _Coming(self.board if self._told_before else None)
        fault = self._check_part(read, coming.parts)
        if fault is not None:
            return fault
        self._coming = coming
        coming.add(read.evses)
        coming.stations.update((str(record.get("uuid")), record) for record in read.stations)
        if coming.rows > HELD_ROWS_MAX:
            return self._fault(FaultKind.TOO_LARGE, f"the snapshot has more than {HELD_ROWS_MAX} rows")
        return (
            Noted(read.type) if read.part < read.parts else self._take(coming, Position(read.epoch, read.seq))
        )

    def _check_part(self, read: AnyMessage, before: int) -> Fault | None:
        at = self.position
        if not read.epoch or read.seq < 0 or not 1 <= read.part <= read.parts:
            what = f"part {read.part} of {read.parts} of a snapshot at {place(read)}"
            return self._fault(FaultKind.MALFORMED, what)
        if read.part != before + 1:
            return self._fault(FaultKind.GAP, f"part {read.part} of the snapshot after {before}")
        if at is not None and read.epoch != at.epoch:
            return self._fault(FaultKind.OTHER_EPOCH, f"a snapshot at {place(read)} after {at}")
        if at is not None and read.seq < at.seq:
            return self._fault(FaultKind.BACKWARDS, f"a snapshot at {place(read)} after {at}")
        return None

    def _take(self, coming: _Coming, position: Position) -> Synced:
        self._coming = None
        self.board, self._names, self._digest = coming.board, coming.names, coming.digest
        self.stations = coming.stations
        self.position = position
        self._in_step = self._told_before = self._is_whole = True
        return Synced(position, coming.missed, list(coming.left.values()))

    def _changes(self, read: AnyMessage) -> Event:
        fault = self._check(read)
        if fault is not None:
            return fault
        rows: Sequence[EvseState] = read.changes
        if self.mode is Mode.EVERY:
            self._held.extend(rows)
            if len(self._held) > HELD_ROWS_MAX:
                return self._fault(FaultKind.TOO_LARGE, f"a batch has more than {HELD_ROWS_MAX} changes")
            if read.seq == read.prev:
                return Noted(read.type)
            rows, self._held = self._held, []
        for row in rows:
            self._apply(row)
        self.position = position = Position(read.epoch, read.seq)
        self._in_step = True
        return Changed(position, rows)

    def _recorded(self, read: AnyMessage) -> Event:
        fault = self._check(read)
        if fault is not None:
            return fault
        # Each is the whole truth about one station: one that comes twice does no harm.
        for uuid in read.gone:
            self.stations.pop(uuid, None)
        self.stations.update((str(record.get("uuid")), record) for record in read.stations)
        self.position = position = Position(read.epoch, read.seq)
        rows: Sequence[EvseState] = ()
        if read.seq != read.prev:
            self._in_step = True
            rows, self._held = self._held, []
        for row in rows:
            self._apply(row)
        return Recorded(position, read.stations, read.gone, rows)

    def _apply(self, row: EvseState) -> None:
        key = digests.wire_key(row.evse)
        name = self._names.pop(key, None)
        if name is not None:
            self._digest -= _term(self.board.pop(name))
        if row.status not in HIDDEN and (not self._statuses or row.status in self._statuses):
            self.board[row.evse] = row
            self._names[key] = row.evse
            self._digest += _term(row)

    def _heartbeat(self, read: AnyMessage) -> Event:
        fault = self._check(read)
        if fault is not None:
            return fault
        rows, self._held = self._held, []
        for row in rows:
            # A batch of changes of the selection alone: no position comes with it.
            self._apply(row)
        count, digest = len(self.board), digests.written(self._digest)
        if self._is_whole and (read.count, read.digest) != (count, digest):
            return self._fault(
                FaultKind.DIGEST,
                f"{read.count} EVSEs and {read.digest[:40]} there, {count} and {digest} here,"
                f" at {place(read)}",
            )
        records = digests.written(sum(map(_record_term, self.stations.values())))
        if self._is_whole and read.stations_digest not in {None, records}:
            return self._fault(
                FaultKind.DIGEST,
                f"records {quoted(read.stations_digest or '', 40)} there, {records} here, at {place(read)}",
            )
        self.confirmed += self._is_whole
        self.position = position = Position(read.epoch, read.seq)
        self._in_step = True
        return Changed(position, rows) if rows else Confirmed(position)

    def _check(self, read: AnyMessage) -> Fault | None:
        at = self.position
        if not read.epoch or read.seq < 0 or read.prev < 0:
            return self._fault(FaultKind.MALFORMED, f"{read.type} lacks epoch, seq or prev")
        if at is None:
            return self._fault(FaultKind.CHANGES_BEFORE_STATE, f"{read.type} at {place(read)} came first")
        if read.epoch != at.epoch:
            return self._fault(FaultKind.OTHER_EPOCH, f"{read.type} at {place(read)} after {at}")
        if read.prev != at.seq:
            return self._fault(FaultKind.GAP, f"{read.type} with prev {read.prev} after {at}")
        if read.seq < at.seq:
            return self._fault(FaultKind.BACKWARDS, f"{read.type} at {place(read)} after {at}")
        return None

    def _fault(self, kind: FaultKind, detail: str) -> Fault:
        self._faulty = True
        self.position = None
        self._coming = None
        self._held = []
        return Fault(kind, detail)

    _handlers: ClassVar[Mapping[str, Callable[[V2Session, AnyMessage], Event]]] = {
        "hello": _hello,
        "snapshot": _snapshot,
        "changes": _changes,
        "stations": _recorded,
        "heartbeat": _heartbeat,
        "reset": _reset,
        "selected": _selected,
        "error": _refused,
        "drain": _leaving,
        "close": _ended,
    }
    """By type. A message of another type does not move the board."""


class _Coming:
    """A snapshot of which parts are to come: folded part by part, so that the last one costs no more."""

    __slots__ = ("_before", "board", "digest", "left", "missed", "names", "parts", "rows", "stations")

    def __init__(self, before: Mapping[str, EvseState] | None) -> None:
        self.board: dict[str, EvseState] = {}
        self.names: dict[str, str] = {}
        self.digest = 0
        self.parts = 0
        self.rows = 0
        """In the parts that came; some may be of one EVSE."""
        self._before = before
        """What was known before; None where nothing was ever told."""
        self.stations: dict[str, Record] = {}
        self.missed: list[EvseState] = []
        """Rows that say something else."""
        self.left = dict(before or {})
        """What was known of EVSEs that did not come yet."""

    def add(self, rows: Sequence[EvseState]) -> None:
        """Takes a part."""
        self.parts += 1
        self.rows += len(rows)
        board, names, before = self.board, self.names, self._before
        for row in rows:
            if row.evse in board:
                self.digest -= _term(board[row.evse])
            board[row.evse] = row
            names[digests.wire_key(row.evse)] = row.evse
            self.digest += _term(row)
            if before is not None:
                self.left.pop(row.evse, None)
                if not _is_same(row, before.get(row.evse)):
                    self.missed.append(row)


def _record_term(record: Record) -> int:
    return digests.record_term(str(record.get("uuid")), int(record.get("revision", 0)))


def _term(row: EvseState) -> int:
    return digests.term(row.evse, row.status, row.error, row.changed_at)


def _is_same(row: EvseState, known: EvseState | None) -> bool:
    """Whether a snapshot's row says what was known."""
    return known is not None and (row.status, row.error, row.changed_at, row.station) == (
        known.status,
        known.error,
        known.changed_at,
        known.station,
    )


def _checked(selection: Mapping[str, str]) -> dict[str, str]:
    """The filters that say something.

    Raises:
        BadRequest: one does not exist.
    """
    for name in selection:
        if name not in FILTERS:
            raise BadRequest(f"{quoted(name, 40)} is no filter; the filters are {', '.join(FILTERS)}")
    return {name: text for name, text in selection.items() if text.strip()}


def _statuses(selection: Mapping[str, str]) -> frozenset[str]:
    """The words of the filter on status; empty where there is none."""
    words = (word.strip().upper() for word in selection.get("status", "").split(","))
    return frozenset(filter(None, words))
