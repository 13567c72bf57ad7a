"""Version 2 of the stream: its messages, as types and as bytes.

The types are the contract (the AsyncAPI document is generated from them); the bytes of what is sent most are
put together from parts that are encoded once. Knows changes and EVSEs, not consumers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Final, Literal

import msgspec

from ladestrom import __version__
from ladestrom.core import digests
from ladestrom.core.features import only_of_lists
from ladestrom.core.selection import Selection
from ladestrom.core.view import StationState, View, is_listed
from ladestrom.formats.dialect import Message, Moved, Style, Sums
from ladestrom.formats.station_record import EvseMembers, StationMembers, connectors, of_evse, of_station
from ladestrom.formats.wire import Observed, as_logged, instant
from ladestrom.model import (
    NEVER,
    Cause,
    Change,
    Connector,
    Evse,
    Millis,
    Position,
    Station,
    Status,
    StatusChanged,
    StatusReport,
)

BODY: Final = "v2"
NEVER_OBSERVED: Final = b"null}"
ROWS_TOGETHER_MAX: Final = 100
"""Rows of one station that are in one part of a snapshot: some 20 KiB."""
PART_BYTES_MAX: Final = 192 * 1024
"""Bytes of one message's content: well under the 1 MiB that most WebSocket libraries take by default."""


class EvseRow(msgspec.Struct, frozen=True, kw_only=True):
    """The state of one EVSE in a snapshot."""

    station: str
    """Registry uuid, `NOR_01333`."""
    evse: str
    """The EVSE's name, unique on the board (`model.Evse.name`)."""
    uid: str | msgspec.UnsetType = msgspec.UNSET
    """The operator's own id of the EVSE, where it has one. Other operators may have the same."""
    status: Status
    error: int
    """1 while a fault is reported, else 0."""
    changed_at: str | None
    """When status or error last changed, ISO 8601 UTC; null while nothing was ever reported."""
    source: str
    """The operator that reported it."""
    cause: Cause
    observed_at: str | None
    """When that was last known to hold, by the operator's clock. No part of the digest."""


class Was(msgspec.Struct, frozen=True):
    """What an EVSE was before a change."""

    status: Status
    error: int


class ChangeRow(msgspec.Struct, frozen=True, kw_only=True):
    """One change of one EVSE: its new state, and what it was before."""

    station: str
    evse: str
    uid: str | msgspec.UnsetType = msgspec.UNSET
    status: Status
    error: int
    changed_at: str | None
    observed_at: str | None
    source: str
    cause: Cause
    was: Was


class RecordEvse(EvseMembers, frozen=True, gc=False):
    """An EVSE in a station's record. Its status is told apart."""

    evse: str
    """Its name, as in changes."""
    party: str | None
    """Country and party of who operates it, without separator."""
    connectors: Sequence[Connector]
    uid: str | None = None


class StationRecord(StationMembers, frozen=True, gc=False, kw_only=True):
    """What a register, or its operator, says of a station. `stations_digest` is made of its revision."""

    evses: Sequence[RecordEvse]


class Limits(msgspec.Struct, frozen=True):
    """What a consumer can count on."""

    history_seq: int
    """Oldest position that `mode=every` can resume from."""
    message_bytes_max: int
    """A message to the consumer has at most about so many bytes."""
    inbound_bytes_max: int
    inbound_messages_per_minute_max: int
    heartbeat_s: int


class Hello(msgspec.Struct, frozen=True, tag_field="type", tag="hello"):
    """First message of a connection."""

    server: str
    epoch: str
    limits: Limits
    licence: str
    attribution: str


class Snapshot(msgspec.Struct, frozen=True, tag_field="type", tag="snapshot"):
    """The state of the selected EVSEs at `seq`, in parts; complete with part = parts."""

    epoch: str
    seq: int
    part: int
    """From 1."""
    parts: int
    evses: Sequence[EvseRow]
    stations: Sequence[StationRecord] | msgspec.UnsetType = msgspec.UNSET
    """With `include=stations`: their records, all of them in the first parts."""


class Stations(msgspec.Struct, frozen=True, tag_field="type", tag="stations"):
    """Records of stations that changed or came into the selection, and what left it; `include=stations`."""

    epoch: str
    prev: int
    seq: int
    stations: Sequence[StationRecord]
    gone: Sequence[str]
    """Uuids. Their EVSEs are told apart, in `changes`."""


class Changes(msgspec.Struct, frozen=True, tag_field="type", tag="changes"):
    """Changes in order. `prev` is the `seq` of the message sent before to this subscription."""

    epoch: str
    prev: int
    seq: int
    changes: Sequence[ChangeRow]


class Heartbeat(msgspec.Struct, frozen=True, tag_field="type", tag="heartbeat"):
    """The stream is alive, and what a consumer's state must be: see `count` and `digest`."""

    epoch: str
    prev: int
    seq: int
    server_time: str
    count: int
    """Selected EVSEs."""
    digest: str
    """Eight hexadecimal digits: see `core.digests`."""
    stations_digest: str | msgspec.UnsetType = msgspec.UNSET
    """With `include=stations`: likewise, of the records' uuids and revisions."""


class Reset(msgspec.Struct, frozen=True, tag_field="type", tag="reset"):
    """The position asked for cannot be resumed; a snapshot follows."""

    epoch: str
    reason: Literal["epoch", "ahead", "expired"]


class Drain(msgspec.Struct, frozen=True, tag_field="type", tag="drain"):
    """The server is going away: reconnect after this time, with `since`."""

    retry_after_ms: int


class Select(msgspec.Struct, frozen=True, tag_field="type", tag="select", forbid_unknown_fields=True):
    """From the consumer: another selection from now on; the same words as in the query."""

    country: str = ""
    operator: str = ""
    station: str = ""
    evse: str = ""
    status: str = ""
    bbox: str = ""


class Selected(msgspec.Struct, frozen=True, tag_field="type", tag="selected"):
    """The selection holds from `seq` on; its snapshot follows."""

    epoch: str
    seq: int


class Refused(msgspec.Struct, frozen=True, tag_field="type", tag="error"):
    """A message of the consumer could not be understood; nothing else changes."""

    code: str
    detail: str


ServerMessage = Hello | Snapshot | Stations | Changes | Heartbeat | Reset | Drain | Selected | Refused


class _Typed(msgspec.Struct):
    type: str


_encode = msgspec.json.Encoder().encode
_decode_typed = msgspec.json.Decoder(_Typed).decode
_decode_select = msgspec.json.Decoder(Select).decode


def decode_select(text: str) -> Select:
    """A message from the consumer.

    Raises:
        msgspec.DecodeError: it is not one; says what is wrong.
        RecursionError: it is nested too deeply.
        InvalidSelection: it filters by what only lists are filtered by.
    """
    # A struct's decoder takes what has no type for its own.
    _decode_typed(text)
    try:
        return _decode_select(text)
    except msgspec.ValidationError:
        only_of_lists(msgspec.json.decode(text))
        raise


Identity = tuple[str, str | msgspec.UnsetType]
"""What an EVSE is called on the wire, and its uid."""


def identity(view: View, change: Change) -> Identity:
    """Of the EVSE of a change. One that no record has any more is called as it was, and has no uid."""
    evse = view.directory.by_key(change.evse)
    if evse is None:
        return view.directory.name(change.evse, change.station), msgspec.UNSET
    return evse.name, evse.uid or msgspec.UNSET


def change_row(change: Change, who: Identity) -> bytes:
    """One change, encoded."""
    return _encode(
        ChangeRow(
            station=change.station,
            evse=who[0],
            uid=who[1],
            status=change.status,
            error=int(change.error),
            changed_at=instant(change.changed_at),
            observed_at=instant(change.observed_at),
            source=change.source,
            cause=change.cause,
            was=Was(change.was_status, int(change.was_error)),
        )
    )


def evse_row(change: Change, who: Identity, observed_at: Millis) -> bytes:
    """The state that a change left, and when it was last known to hold, encoded."""
    return _encode(
        EvseRow(
            station=change.station,
            evse=who[0],
            uid=who[1],
            status=change.status,
            error=int(change.error),
            changed_at=instant(change.changed_at),
            source=change.source,
            cause=change.cause,
            observed_at=instant(observed_at),
        )
    )


def evse_heads(view: View, state: StationState) -> list[bytes]:
    """Rows of a station's listed EVSEs up to the value of `observed_at`; kept until its state changes."""
    body = state.bodies.get(BODY)
    if body is None:
        rows = (
            evse_row(held.change, identity(view, held.change), NEVER)
            for held in state.changes.values()
            if is_listed(held.change)
        )
        body = state.bodies[BODY] = b"\n".join(row.removesuffix(NEVER_OBSERVED) for row in rows)
    return body.split(b"\n")


def changes(epoch: str, prev: int, seq: int, rows: bytes) -> bytes:
    """A `changes` message from encoded rows, joined by commas."""
    return b'{"type":"changes","epoch":"%s","prev":%d,"seq":%d,"changes":[%s]}' % (
        epoch.encode(),
        prev,
        seq,
        rows,
    )


def pages_of(rows: Iterable[bytes]) -> list[list[bytes]]:
    """Rows in groups of at most `PART_BYTES_MAX`; one row may be larger."""
    groups: list[list[bytes]] = []
    size = 0
    for row in rows:
        if not groups or size + len(row) > PART_BYTES_MAX:
            groups.append([])
            size = 0
        groups[-1].append(row)
        size += len(row) + 1
    return groups


class Pages:
    """Rows in groups of at most `PART_BYTES_MAX`, joined as soon as one is full."""

    def __init__(self) -> None:
        self._full: list[bytes] = []
        self._rows: list[bytes] = []
        self._size = 0

    def add(self, row: bytes) -> None:
        """Takes the next row."""
        if self._rows and self._size + len(row) > PART_BYTES_MAX:
            self._turn()
        self._rows.append(row)
        self._size += len(row) + 1

    def _turn(self) -> None:
        self._full.append(b",".join(self._rows))
        self._rows = []
        self._size = 0

    def take(self) -> list[bytes]:
        """All groups; one without rows where there were none. Nothing is kept."""
        if self._rows or not self._full:
            self._turn()
        full, self._full = self._full, []
        return full


def station_record(view: View, uuid: str) -> bytes:
    """A station's record, encoded."""
    row = view.records[uuid]
    station = row.station
    return _encode(
        StationRecord(
            **of_station(station, row.seq),
            evses=[
                RecordEvse(**of_evse(evse), evse=evse.name, uid=evse.uid, party=evse.party, connectors=plugs)
                for evse, plugs in zip(station.evses, connectors(station), strict=True)
            ],
        )
    )


def record_of(view: View, state: StationState) -> bytes:
    """The same; kept until there is another one."""
    if state.record_body is None:
        state.record_body = station_record(view, state.uuid)
    return state.record_body


class V2Drawing:
    """`snapshot` in the making (`formats.dialect.Drawing`)."""

    def __init__(
        self, view: View, selection: Selection, seq: int, observed: Observed, *, records: bool = False
    ) -> None:
        self._view = view
        self._selection = selection
        self._seq = seq
        self._observed = observed
        self._pages = Pages()
        self._records = Pages() if records else None

    def add(self, state: StationState) -> None:
        """Takes a station's EVSEs that are selected."""
        view, selection = self._view, self._selection
        if self._records is not None and view.shows(state, selection):
            self._records.add(record_of(view, state))
        if not view.is_covered(state, selection):
            return
        listed = [held for held in state.changes.values() if is_listed(held.change)]
        if not listed:
            return
        found: Iterable[tuple[StatusChanged, bytes]] = zip(listed, evse_heads(view, state), strict=True)
        if not selection.by_station or selection.operator:
            station = view.directory.stations.get(state.uuid)
            found = ((held, head) for held, head in found if _is_selected(selection, held.change, station))
        observed = self._observed
        rows = [
            b'%s"%s"}' % (head, at.encode())
            if (at := instant(observed(held.seq, held.change))) is not None
            else head + NEVER_OBSERVED
            for held, head in found
        ]
        if len(rows) > ROWS_TOGETHER_MAX:
            for row in rows:
                self._pages.add(row)
        elif rows:
            self._pages.add(b",".join(rows))

    def messages(self) -> Iterator[Message]:
        """The parts; one without EVSEs where none is selected. The consumer moves with the last one."""
        epoch, seq = self._view.epoch, self._seq
        parts = [(b"", page) for page in self._pages.take()]
        if self._records is not None:
            records = [(b',"stations":[%s]' % page, b"") for page in self._records.take()]
            parts = records + [(b',"stations":[]', page) for _, page in parts]
        count = len(parts)
        parts.reverse()
        for part in range(1, count + 1):
            stations, page = parts.pop()
            payload = b'{"type":"snapshot","epoch":"%s","seq":%d,"part":%d,"parts":%d,"evses":[%s]%s}' % (
                epoch.encode(),
                seq,
                part,
                count,
                page,
                stations,
            )
            yield Message(payload, "snapshot", Position(epoch, seq) if part == count else None)


class Attribution(msgspec.Struct, frozen=True):
    """Whose data it is."""

    licence: str = ""
    text: str = ""


class V2Dialect:
    """Version 2 of the stream (`formats.dialect.Dialect`): changes are gathered, chained and provable."""

    batched = True
    tells_records = False

    def __init__(self, limits: Limits, attribution: Attribution, observed: Observed = as_logged) -> None:
        self._observed = observed
        self._limits = limits
        self._attribution = attribution

    def greeting(self, view: View, history_seq: int) -> Sequence[Message]:
        """`hello`."""
        limits = msgspec.structs.replace(self._limits, history_seq=history_seq)
        hello = Hello(
            server=f"ladestrom/{__version__}",
            epoch=view.epoch,
            limits=limits,
            licence=self._attribution.licence,
            attribution=self._attribution.text,
        )
        return (_told(hello),)

    def reset(self, view: View, reason: str) -> Sequence[Message]:
        """`reset`."""
        return (_told(Reset(epoch=view.epoch, reason=REASONS[reason])),)

    def selected(self, view: View, seq: int) -> Sequence[Message]:
        """The answer to `select`."""
        return (_told(Selected(epoch=view.epoch, seq=seq)),)

    def farewell(self, retry_after_ms: int) -> Sequence[Message]:
        """`drain`."""
        told = _told(Drain(retry_after_ms=retry_after_ms))
        return (msgspec.structs.replace(told, retry_ms=retry_after_ms),)

    def snapshot(self, view: View, selection: Selection, seq: int) -> V2Drawing:
        """`snapshot` in parts."""
        return V2Drawing(view, selection, seq, self._observed, records=self.tells_records)

    def row(self, view: View, state: StationState, change: Change) -> bytes:
        """One change's part of a message."""
        del state
        return change_row(change, identity(view, change))

    def entry(self, view: View, change: Change) -> bytes:
        """The same, from the log."""
        return change_row(change, identity(view, change))

    def missed(self, view: View, state: StationState, selection: Selection, after: int) -> Sequence[bytes]:
        """Newest states of EVSEs that changed after `after`, in order.

        Those that a filter on status or on operators no longer selects are told too: the consumer may have
        them.
        """
        found = [
            held
            for held in state.changes.values()
            if held.seq > after
            and (not selection.evse or held.change.evse in selection.evse)
            and not _has_moved_on(view, selection, held)
        ]
        found.sort(key=attrgetter("seq"))
        station = view.directory.stations[state.uuid]
        return [
            self.entry(view, change if selection.is_of(station, (change.source,)) else _deselected(change))
            for change in [held.change for held in found]
            if selection.is_of(station, (change.source, *state.former.get(change.evse, ())))
        ]

    def wanted(self, selection: Selection, change: Change) -> bool:
        """Filters on EVSE and status; a change that leads out of the selected statuses is wanted too."""
        if selection.evse and change.evse not in selection.evse:
            return False
        statuses = selection.status
        return not statuses or change.status in statuses or change.was_status in statuses

    def chosen(self, selection: Selection, change: Change, station: Station | None) -> Change | None:
        """As it is, also if it leads out of the chosen statuses; `deselected` if to another source."""
        if not self.wanted(selection, change):
            return None
        if station is None or selection.is_of(station, (change.source,)):
            return change
        before = msgspec.structs.replace(change, status=change.was_status, source=change.was_source)
        return _deselected(change) if _is_selected(selection, before, station) else None

    def relocated(
        self,
        view: View,
        selection: Selection,
        former: Sequence[Station],
        state: StationState,
        since: int,
        seq: int,
    ) -> Sequence[Moved]:
        """Its EVSEs that came into the selection or left it.

        Of one that left, those too that are not chosen any more: they may have been at `since`.
        """
        del seq
        after = view.directory.stations[state.uuid]
        rows: list[Moved] = []
        for entry in state.changes.values():
            change = entry.change
            held = (change.evse,)
            sources: tuple[str, ...] = (change.source,)
            now = selection.covers(after, held, sources)
            if entry.seq > since:
                # Whose it was when its station was another is not known: it may have been any that it had.
                sources += state.former.get(change.evse, ())
            if all(selection.covers(before, held, sources) == now for before in former):
                continue
            is_shown = is_listed(change) and selection.chooses(change)
            if now and is_shown:
                rows.append((self.entry(view, _selected(change)), *self.term(view, change)))
            elif not now and is_shown:
                count, term = self.term(view, change)
                left = msgspec.structs.replace(change, was_status=change.status, was_error=change.error)
                rows.append((self.entry(view, _deselected(left)), -count, -term))
            elif (
                not now
                and entry.seq > since
                and (not selection.evse or change.evse in selection.evse)
                and not _has_moved_on(view, selection, entry)
            ):
                # It was shown, perhaps, until it became what is not: nobody else tells that any more.
                rows.append((self.entry(view, _deselected(change)), 0, 0))
        return rows

    def reshaped(self, view: View, state: StationState, before: Station) -> None:
        """Nothing: what version 2 says of an EVSE is in its own changes."""
        del view, state, before

    def record(self, view: View, state: StationState) -> bytes:
        """A station's record: its part of a message."""
        return record_of(view, state)

    def gone(self, uuid: str) -> bytes:
        """Its uuid: its part of a message."""
        return b'"%s"' % uuid.encode()

    def changes(self, view: View, prev: int, seq: int, rows: Iterable[bytes]) -> Sequence[Message]:
        """`changes`; several messages where the rows are many, of which only the last one moves."""
        pages = Pages()
        for row in rows:
            pages.add(row)
        groups = pages.take()
        last = len(groups) - 1
        return [
            Message(
                changes(view.epoch, prev, seq if number == last else prev, group),
                "changes",
                Position(view.epoch, seq if number == last else prev),
            )
            for number, group in enumerate(groups)
        ]

    def heartbeat(self, view: View, prev: int, sums: Sums, now: Millis) -> Sequence[Message]:
        """`heartbeat` at the view's position."""
        beat = Heartbeat(
            epoch=view.epoch,
            prev=prev,
            seq=view.seq,
            server_time=instant(now) or "",
            count=sums.count,
            digest=digests.written(sums.digest),
            stations_digest=digests.written(sums.stations_digest) if self.tells_records else msgspec.UNSET,
        )
        return (Message(_encode(beat), "heartbeat", view.position),)

    def term(self, view: View, change: Change | None) -> tuple[int, int]:
        """One, and the term of its row."""
        del view
        if change is None or not is_listed(change):
            return 0, 0
        # The key is the name in the form in which names compare.
        changed_at = instant(change.changed_at)
        return 1, digests.term(change.evse, change.status.value, int(change.error), changed_at)

    def digest(self, view: View, selection: Selection, change: Change | None) -> tuple[int, int]:
        """The same; zeros for what is not listed or not selected."""
        if change is None:
            return 0, 0
        if not _is_selected(selection, change, view.directory.stations.get(change.station)):
            return 0, 0
        return self.term(view, change)

    def raw(self, view: View, evse: Evse, report: StatusReport, observed_at: Millis) -> Sequence[Message]:
        """Nothing: version 2 tells changes only."""
        del view, evse, report, observed_at
        return ()


class V2RecordsDialect(V2Dialect):
    """Version 2 with `include=stations`: records of stations in the same chain."""

    tells_records = True

    def changes(self, view: View, prev: int, seq: int, rows: Iterable[bytes]) -> Sequence[Message]:
        """`changes` and `stations` in the order of their rows; only the last message moves."""
        made: list[Message] = []
        runs = [(kind, list(run)) for kind, run in groupby(rows, _kind)]
        for number, (kind, run) in enumerate(runs or [(CHANGE, [])], 1):
            moves_to = seq if number >= len(runs) else prev
            if kind == CHANGE:
                made += super().changes(view, prev, moves_to, run)
            else:
                made += _stations(view.epoch, prev, moves_to, run)
        return made


CHANGE: Final = b'{"s'
"""How the row of a change begins; that of a record is `{"u`, that of one that has gone a quote."""


def _kind(row: bytes) -> bytes:
    return CHANGE if row.startswith(CHANGE) else b""


def _stations(epoch: str, prev: int, seq: int, rows: Iterable[bytes]) -> list[Message]:
    """`stations` from rows, the newest of each station: a message says of none that it is there and gone."""
    newest: dict[bytes, bytes] = {}
    for row in rows:
        name = row.partition(b",")[0].removeprefix(b'{"uuid":')
        newest.pop(name, None)
        newest[name] = row
    groups = pages_of(newest.values())
    made = []
    for number, group in enumerate(groups, 1):
        moves_to = seq if number == len(groups) else prev
        payload = b'{"type":"stations","epoch":"%s","prev":%d,"seq":%d,"stations":[%s],"gone":[%s]}' % (
            epoch.encode(),
            prev,
            moves_to,
            b",".join(row for row in group if row.startswith(b"{")),
            b",".join(row for row in group if not row.startswith(b"{")),
        )
        made.append(Message(payload, "stations", Position(epoch, moves_to)))
    return made


REASONS: Final[dict[str, Literal["epoch", "ahead", "expired"]]] = {
    "epoch": "epoch",
    "ahead": "ahead",
    "expired": "expired",
}


def _told(content: ServerMessage) -> Message:
    return Message(_encode(content), str(content.__struct_config__.tag))


def refused(code: str, detail: str) -> Message:
    """The answer to a message that could not be understood."""
    return _told(Refused(code=code, detail=detail))


def _is_selected(selection: Selection, change: Change, station: Station | None) -> bool:
    """Whether an EVSE passes the filters on EVSE, status and operator; the others are about stations."""
    if not is_listed(change) or not selection.chooses(change):
        return False
    if not selection.operator:
        return True
    return station is not None and selection.is_of(station, (change.source,))


def _deselected(change: Change) -> Change:
    return msgspec.structs.replace(change, status=Status.REMOVED, error=False, cause=Cause.DESELECTED)


def _selected(change: Change) -> Change:
    return msgspec.structs.replace(change, cause=Cause.SELECTED, was_status=Status.REMOVED, was_error=False)


def _has_moved_on(view: View, selection: Selection, held: StatusChanged) -> bool:
    """Whether an EVSE left its station for another one that is selected too.

    There its newest state is told; that it left, told after that, would undo it.
    """
    change = held.change
    if change.status is not Status.REMOVED:
        return False
    evse = view.directory.by_key(change.evse)
    elsewhere = None if evse is None else view.change_of(evse)
    if evse is None or elsewhere is None or elsewhere.seq <= held.seq:
        return False
    return selection.covers(view.directory.stations[evse.station], (), (elsewhere.change.source,))


def dialect(style: Style) -> V2Dialect:
    """That of one server."""
    return V2Dialect(_limits(style), Attribution(style.licence, style.attribution), style.observed_at)


def records_dialect(style: Style) -> V2RecordsDialect:
    """The same with records of stations."""
    return V2RecordsDialect(_limits(style), Attribution(style.licence, style.attribution), style.observed_at)


def _limits(style: Style) -> Limits:
    return Limits(
        history_seq=0,
        message_bytes_max=PART_BYTES_MAX,
        inbound_bytes_max=style.inbound_bytes_max,
        inbound_messages_per_minute_max=style.inbound_messages_per_minute_max,
        heartbeat_s=style.heartbeat_s,
    )
