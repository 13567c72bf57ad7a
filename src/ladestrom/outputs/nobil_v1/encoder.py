"""The NOBIL stream's messages and REST bodies.

Source: NOBIL real-time stream API (2013 to 2017), message and data model; `epoch` and `seq` are added
members that its consumers ignore. Knows states and stations, not consumers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from ladestrom.core.rules import UNKNOWN_PAIR, Inoperative, Pairs, nobil_pairs, station_status
from ladestrom.core.selection import Selection
from ladestrom.core.view import StationState, View, is_listed
from ladestrom.formats.dialect import Message, Moved, OfNewest, Style
from ladestrom.model import (
    NEVER,
    Cause,
    Change,
    Evse,
    Millis,
    Position,
    Station,
    Status,
    StatusChanged,
    StatusReport,
)

BODY: Final = "nobil"
SNAPSHOT: Final = "snapshot:init"
UPDATE: Final = "status:update"
RAW: Final = "status:raw"
NOTHING: Final = b'{"uuid":"%s","status":-1,"connectors":[]}'
"""A station that has vanished."""


class NobilFormat:
    """Encodes for version 1; one object per server, as INOPERATIVE reads as the setting says."""

    def __init__(self, inoperative: Inoperative = Inoperative.ERROR) -> None:
        self._pairs: Pairs = nobil_pairs(inoperative)
        self._heads = {told: _head(pair) for told, pair in self._pairs.items()}

    def connectors(
        self, state: StationState, station: Station, leaving: str | None = None
    ) -> list[tuple[Evse, int, int, Millis]]:
        """Listed connectors in registry order: EVSE, status, error, timestamp.

        An EVSE that was just removed (`leaving`) is shown as unknown in that one update.
        """
        rows: list[tuple[Evse, int, int, Millis]] = []
        evses = station.evses
        changes = state.changes
        for outlet in station.outlets:
            evse = evses[outlet.evse]
            found = changes.get(evse.key)
            if found is None:
                rows.append((evse, -1, 0, NEVER))
                continue
            change = found.change
            pair = self._pairs[change.status, change.error]
            if pair is None:
                if evse.key != leaving:
                    continue
                pair = UNKNOWN_PAIR
            rows.append((evse, *pair, change.changed_at))
        return rows

    def station(self, state: StationState, station: Station, leaving: str | None = None) -> bytes:
        """One station object: `{"uuid","status","connectors"}`; kept until the state changes."""
        body = state.bodies.get(BODY)
        if body is None or leaving is not None:
            body = self._station(state, station, leaving)
            if leaving is None:
                state.bodies[BODY] = body
        return body

    def _station(self, state: StationState, station: Station, leaving: str | None) -> bytes:
        # What `connectors` says, put together in one go: each change of the country comes along here.
        shown: list[str] = []
        bits = 0
        evses = station.evses
        held = state.changes.get
        heads = self._heads
        for outlet in station.outlets:
            key = evses[outlet.evse].key
            found = held(key)
            if found is None:
                shown.append(NEVER_KNOWN)
                bits |= UNKNOWN_BIT
                continue
            change = found.change
            head = heads[change.status, change.error]
            if head is None:
                if key != leaving:
                    continue
                head = UNKNOWN_HEAD
            shown.append(f"{head[0]}{change.changed_at}}}")
            bits |= head[1]
        status = _STATION[bits] if shown else UNKNOWN_PAIR[0]
        return f'{{"uuid":"{state.uuid}","status":{status},"connectors":[{",".join(shown)}]}}'.encode()

    def connector(self, state: StationState, station: Station, ordinal: int) -> bytes | None:
        """One connector for REST; `ordinal` counts from 1 over the listed ones; None where there is none."""
        rows = self.connectors(state, station)
        if not 1 <= ordinal <= len(rows):
            return None
        _, status, error, timestamp = rows[ordinal - 1]
        return (
            f'{{"uuid":"{state.uuid}_{ordinal:02d}","status":{status},"error":{error},"timestamp":{timestamp}}}'
        ).encode()

    def update(self, view: View, state: StationState, change: Change | None = None) -> bytes:
        """`status:update`: the whole station at the sequence of its last change."""
        station = view.station(state)
        if station is None:
            body = NOTHING % state.uuid.encode()
        else:
            leaving = change.evse if change is not None and _leaves(change) else None
            body = self.station(state, station, leaving)
        return _update(view.epoch, state.seq, body)

    def raw(
        self, uuid: str, connector: int, status: Status, error: bool, observed_at: Millis
    ) -> bytes | None:
        """`status:raw` for one connector, counted from 0; None where the status is not listed."""
        pair = self._pairs[status, error]
        if pair is None:
            return None
        return (
            f'{{"type":"status:raw","code":1,"data":{{"uuid":"{uuid}","connector":{connector},'
            f'"status":{pair[0]},"error":{pair[1]},"timestamp":{observed_at}}}}}'
        ).encode()

    def listed_index(self, state: StationState, station: Station, key: str) -> list[int]:
        """Places of an EVSE's connectors in the station's list, from 0."""
        return [i for i, row in enumerate(self.connectors(state, station)) if row[0].key == key]


def _update(epoch: str, seq: int, body: bytes) -> bytes:
    return b'{"type":"status:update","epoch":"%s","seq":%d,"data":%s}' % (epoch.encode(), seq, body)


def _unknown(state: StationState) -> StationState:
    """The same station, of which nothing is known any more."""
    made = StationState(state.uuid)
    for key, held in state.changes.items():
        if is_listed(held.change):
            change = msgspec.structs.replace(held.change, status=Status.UNKNOWN, error=False)
            made.changes[key] = StatusChanged(held.seq, change)
        else:
            made.changes[key] = held
    return made


class NobilDrawing:
    """`snapshot:init` in the making (`formats.dialect.Drawing`)."""

    def __init__(self, encoder: NobilFormat, view: View, selection: Selection, seq: int) -> None:
        self._encoder = encoder
        self._view = view
        self._selection = selection
        self._seq = seq
        self._bodies: list[bytes] = []

    def add(self, state: StationState) -> None:
        """Takes a station that is listed."""
        station = self._view.listed(state, self._selection)
        if station is not None:
            self._bodies.append(self._encoder.station(state, station))

    def messages(self) -> Iterator[Message]:
        """One."""
        epoch = self._view.epoch
        payload = b'{"type":"snapshot:init","epoch":"%s","seq":%d,"data":[%s]}' % (
            epoch.encode(),
            self._seq,
            b",".join(self._bodies),
        )
        yield Message(payload, SNAPSHOT, Position(epoch, self._seq))


class NobilDialect(OfNewest):
    """Version 1 of the stream (`formats.dialect.Dialect`): each change is a message of its own."""

    def __init__(self, encoder: NobilFormat) -> None:
        self._encoder = encoder

    def snapshot(self, view: View, selection: Selection, seq: int) -> NobilDrawing:
        """`snapshot:init`."""
        return NobilDrawing(self._encoder, view, selection, seq)

    def row(self, view: View, state: StationState, change: Change) -> bytes:
        """A whole `status:update`."""
        return self._encoder.update(view, state, change)

    def missed(self, view: View, state: StationState, selection: Selection, after: int) -> Sequence[bytes]:
        """One `status:update` with the newest state."""
        del selection, after
        return (self._encoder.update(view, state),)

    def relocated(
        self,
        view: View,
        selection: Selection,
        former: Sequence[Station],
        state: StationState,
        since: int,
        seq: int,
    ) -> Sequence[Moved]:
        """A `status:update`: the newest state, or that nothing is known of one that left."""
        del since
        record, station = view.directory.stations[state.uuid], view.station(state)
        is_covered = selection.covers(record)
        if all(selection.covers(before) == is_covered for before in former):
            return ()
        if station is None:
            # While it is selected, what became of its EVSEs tells that it vanished.
            body = b"" if is_covered else NOTHING % state.uuid.encode()
        elif is_covered:
            body = self._encoder.station(state, station)
        else:
            body = self._encoder.station(_unknown(state), station)
        return ((_update(view.epoch, seq, body), 0, 0),) if body else ()

    def reshaped(self, view: View, state: StationState, before: Station) -> bytes | None:
        """A `status:update`, where its connectors are others; of one that left, its EVSEs' changes tell.

        Also where it shows the same: an EVSE that was removed before was shown once more, as unknown.
        """
        station = view.station(state)
        if station is None or before.vanished_at is not None or _plugs(before) == _plugs(station):
            return None
        return _update(view.epoch, view.seq, self._encoder.station(state, station))

    def changes(self, view: View, prev: int, seq: int, rows: Iterable[bytes]) -> Sequence[Message]:
        """Each row is a message."""
        del prev
        return [Message(row, UPDATE, Position(view.epoch, seq)) for row in rows]

    def raw(self, view: View, evse: Evse, report: StatusReport, observed_at: Millis) -> Sequence[Message]:
        """`status:raw` for each connector of the EVSE."""
        state = view.get(evse.station)
        station = None if state is None else view.station(state)
        if state is None or station is None:
            return ()
        encoder = self._encoder
        return [
            Message(payload, RAW)
            for index in encoder.listed_index(state, station, evse.key)
            if (payload := encoder.raw(station.uuid, index, report.status, report.error, observed_at))
        ]


def _plugs(station: Station) -> list[str]:
    """Whose each connector is, in registry order."""
    return [station.evses[outlet.evse].key for outlet in station.outlets]


def _leaves(change: Change) -> bool:
    return change.status is Status.REMOVED and change.cause is not Cause.REGISTERED


def _head(pair: tuple[int, int] | None) -> tuple[str, int] | None:
    """How a connector with this status and error begins, and the bit that stands for it; None: not listed."""
    if pair is None:
        return None
    status, error = pair
    bit = ERROR_BIT if error else UNKNOWN_BIT if status == -1 else AVAILABLE_BIT if status == 0 else 0
    return f'{{"status":{status},"error":{error},"timestamp":', bit


ERROR_BIT: Final = 4
UNKNOWN_BIT: Final = 2
AVAILABLE_BIT: Final = 1
UNKNOWN_HEAD: Final = f'{{"status":{UNKNOWN_PAIR[0]},"error":{UNKNOWN_PAIR[1]},"timestamp":', UNKNOWN_BIT
NEVER_KNOWN: Final = f"{UNKNOWN_HEAD[0]}{NEVER}}}"


def _station_of(bits: int) -> int:
    """Status of a station whose connectors' bits add up to this."""
    pairs = [
        pair
        for bit, pair in ((ERROR_BIT, (0, 1)), (UNKNOWN_BIT, (-1, 0)), (AVAILABLE_BIT, (0, 0)))
        if bits & bit
    ]
    return station_status(pairs or [(1, 0)])


_STATION: Final = tuple(map(_station_of, range(8)))


def dialect(style: Style) -> NobilDialect:
    """That of one server."""
    return NobilDialect(NobilFormat(style.inoperative))
