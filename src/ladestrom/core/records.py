"""Records of stations as the log adds them up: the newest of each, and what filters saw of it before.

Writer, readers and recovery make rows by the same function. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Final, TypeVar, cast

import msgspec

from ladestrom.core.board import fold as fold_status
from ladestrom.core.board import passed
from ladestrom.core.selection import is_relocated, outline
from ladestrom.model import (
    AnyChange,
    Cause,
    Change,
    Connector,
    Entry,
    Evse,
    Millis,
    Outlet,
    Station,
    StationChange,
    StationChanged,
    StatusChanged,
)
from ladestrom.ports.log import BoardRow, Former, Left, StationRow, Times
from ladestrom.ports.registry import TOLD_MASK, RegistrySums
from ladestrom.record import NO_DETAILS, Details

SHARED_MAX: Final = 65_536
"""Kinds of outlet kept as one object each. A national register has some hundreds."""
FORMER_MAX: Final = 16
"""Different outlines of one station that are kept. A register that says more than so many different places or
operators of it within the log's retention is wrong most of the time."""
_SHARED_DETAILS: Final = frozenset(Details.__struct_fields__) - {"ids", "images", "directions", "postal_code"}
"""Members of which stations have the same."""

T = TypeVar("T")


def changed(
    before: Station | None, after: Station, received_at: Millis, moving: Iterable[str] = ()
) -> StationChange:
    """The change from one record of a station to the next; `moving` are EVSEs (keys) that go elsewhere."""
    was = None if before is None or not is_relocated(before, after) else outline(before)
    return StationChange(after, received_at, was, tuple(moving))


def follow(row: StationRow | None, entry: StationChanged) -> StationRow:
    """The row of a station after an entry."""
    change = entry.change
    if row is None:
        row = StationRow(entry.seq, change.station)
    at = change.received_at
    if change.was is None:
        return StationRow(entry.seq, change.station, row.former, row.lost_seq, row.left, at)
    former = [each for each in row.former if each.outline != change.was]
    former.append(Former(entry.seq, change.was))
    lost_seq = row.lost_seq
    if len(former) > FORMER_MAX:
        lost_seq = former.pop(0).until
    return StationRow(entry.seq, change.station, tuple(former), lost_seq, row.left, at)


def entry_of(seq: int, change: AnyChange) -> Entry:
    """The entry of a change."""
    return StatusChanged(seq, change) if isinstance(change, Change) else StationChanged(seq, change)


def fold(
    board: dict[str, BoardRow], stations: dict[str, StationRow], entry: Entry, times: Times | None
) -> Times:
    """Applies an entry to what was recovered before it; one that it already contains changes nothing.

    Args:
        board: by EVSE key.
        stations: by uuid.
        entry: the next one, in the log's order.
        times: what is known of the writer's clocks before it.

    Returns:
        What is known of them after it.
    """
    if isinstance(entry, StatusChanged):
        held = board.get(entry.change.evse)
        if held is not None and held.change.station != entry.change.station:
            if entry.seq > held.seq:
                move(stations, Left(held.seq, held.change), entry.change)
            else:
                # A row that is newer than the checkpoint has the EVSE at its next station already.
                leave(stations, Left(entry.seq, entry.change))
        return fold_status(board, entry, times)
    uuid = entry.change.station.uuid
    row = stations.get(uuid)
    if row is None or entry.seq > row.seq:
        stations[uuid] = shared(follow(row, entry))
    return passed(times, entry.change.received_at)


def differing(stations: Mapping[str, StationRow], checkpointed: Mapping[str, StationRow]) -> frozenset[str]:
    """Uuids of the rows that `fold` made since these were checkpointed."""
    return frozenset(uuid for uuid, row in stations.items() if checkpointed.get(uuid) is not row)


def move(stations: dict[str, StationRow], left: Left, entered: Change) -> tuple[str, ...]:
    """Keeps by what an EVSE left a station for another one; says of which stations rows changed."""
    uuids = leave(stations, left)
    row = stations.get(entered.station)
    if row is not None and any(each.change.evse == entered.evse for each in row.left):
        stations[entered.station] = msgspec.structs.replace(row, left=_left_of_others(row, entered.evse))
        uuids += (entered.station,)
    return uuids


def leave(stations: dict[str, StationRow], left: Left) -> tuple[str, ...]:
    """Keeps the last change of an EVSE at a station where it is no more."""
    uuid = left.change.station
    row = stations.get(uuid)
    if row is None:
        return ()
    stations[uuid] = msgspec.structs.replace(row, left=(*_left_of_others(row, left.change.evse), left))
    return (uuid,)


def _left_of_others(row: StationRow, evse: str) -> tuple[Left, ...]:
    return tuple(each for each in row.left if each.change.evse != evse)


@lru_cache(SHARED_MAX)
def outlet(evse: int, connector: Connector) -> Outlet:
    """A connector of the EVSE in this place of its station; one object for all stations."""
    return Outlet(evse, one(connector))


@lru_cache(SHARED_MAX)
def intern(text: str) -> str:
    """The same text, one object for all stations."""
    return text


def one(value: T) -> T:
    """The same part of a record, or an equal one of its type: one object for all stations."""
    return cast("T", _one(value))


@lru_cache(SHARED_MAX, typed=True)
def _one(value: Any) -> Any:  # noqa: ANN401 - whatever a record has
    return value


def interned(text: str | None) -> str | None:
    """The same, of what may not be known."""
    return None if text is None else intern(text)


def evse(own: Evse, station: str) -> Evse:
    """An EVSE of this station (uuid) as it is kept: what it has twice, or many have, is one object."""
    return Evse(
        key=own.key,
        station=station,
        evse_id=own.key if own.evse_id == own.key else own.evse_id,
        uid=own.key if own.uid == own.key else own.uid,
        party=interned(own.party),
        label=interned(own.label),
        max_kw=one(own.max_kw),
        floor=interned(own.floor),
        capabilities=one(own.capabilities),
        terms=one(own.terms),
    )


def details(own: Details) -> Details:
    """What a station's record says beside its EVSEs, as it is kept in memory."""
    if own == NO_DETAILS:
        return NO_DETAILS
    return msgspec.structs.replace(
        own, **{name: one(value) for name in _SHARED_DETAILS if (value := getattr(own, name))}
    )


def shared(row: StationRow) -> StationRow:
    """The row as it is kept in memory: what many stations have is one object."""
    own = row.station
    uuid = own.uuid
    station = msgspec.structs.replace(
        own,
        country=intern(own.country),
        operator=interned(own.operator),
        city=interned(own.city),
        register=intern(own.register),
        evses=tuple(evse(each, uuid) for each in own.evses),
        outlets=tuple(outlet(each.evse, each.connector) for each in own.outlets),
        details=details(own.details),
    )
    return msgspec.structs.replace(row, station=station)


def sums(stations: Iterable[Station]) -> RegistrySums:
    """What records add up to, to be compared with what the registry says (`Store.registry_sums`)."""
    count = vanished = told = 0
    for station in stations:
        count += 1
        vanished += station.vanished_at is not None
        told += station.told & TOLD_MASK
    return RegistrySums(count, vanished, told)


def without(row: StationRow, seq: int) -> StationRow:
    """The row without what ended up to a sequence: nobody can resume from there."""
    ended = [each for each in row.former if each.until <= seq]
    left = tuple(each for each in row.left if each.seq > seq)
    if not ended and len(left) == len(row.left):
        return row
    lost = [each.until for each in ended] + [each.seq for each in row.left if each.seq <= seq]
    return msgspec.structs.replace(
        row, former=row.former[len(ended) :], lost_seq=max(row.lost_seq, *lost), left=left
    )


class Records:
    """The writer's rows, and which of them are to be kept by the next checkpoint."""

    def __init__(self) -> None:
        self._rows: dict[str, StationRow] = {}
        self._touched: set[str] = set()

    def restore(self, rows: Iterable[StationRow], touched: Iterable[str] = (), first: int = 1) -> None:
        """Begins with what was recovered, from a log whose oldest entry is `first`.

        The next checkpoint keeps the rows that are other than the last one's: those that were `touched` by
        later entries, and those of which less is to be kept now.
        """
        self._rows = {row.station.uuid: row for row in rows}
        self._touched = set(touched)
        for uuid, row in self._rows.items():
            if (row.former or row.left) and without(row, first - 1) is not row:
                self._touched.add(uuid)

    def take(self, entry: StationChanged) -> None:
        """Takes an entry that is durable."""
        uuid = entry.change.station.uuid
        self._rows[uuid] = follow(self._rows.get(uuid), entry)
        self._touched.add(uuid)

    def follow_moves(self, entries: Iterable[Entry], board: Mapping[str, BoardRow]) -> None:
        """Takes which EVSEs went to other stations, before the board has these entries."""
        left: dict[str, Left] = {}
        for entry in entries:
            if not isinstance(entry, StatusChanged):
                continue
            change = entry.change
            if change.cause is Cause.WITHDRAWN:
                left[change.evse] = Left(entry.seq, change)
            elif change.cause is Cause.REGISTERED:
                last = left.get(change.evse)
                row = board.get(change.evse)
                if last is None and row is not None:
                    last = Left(row.seq, row.change)
                if last is not None and last.change.station != change.station:
                    self._touched.update(move(self._rows, last, change))

    def take_touched(self) -> set[str]:
        """Stations whose rows changed since the last call."""
        taken, self._touched = self._touched, set()
        return taken

    def touch(self, uuids: Iterable[str]) -> None:
        """Gives stations back that a failed checkpoint did not keep."""
        self._touched.update(uuids)

    def rows(self, uuids: Iterable[str], first: int) -> Iterator[StationRow]:
        """What a checkpoint keeps of these stations, of a log whose oldest entry is `first`."""
        return (without(self._rows[uuid], first - 1) for uuid in uuids)
