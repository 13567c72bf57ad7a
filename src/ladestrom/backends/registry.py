"""The registry's tables, inside a transaction: what changed since a revision, and what an import writes.

Knows rows. What an import means is decided in `core.merge`; who begins and ends the transaction is
`backends.sql`.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from sys import intern
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
from sqlalchemy import (
    ColumnElement,
    Insert,
    Row,
    Select,
    Table,
    Update,
    and_,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)

from ladestrom.backends import operators
from ladestrom.backends.tables import evses, numbers, readings, stations
from ladestrom.backends.tables import revision as revisions
from ladestrom.core import drafts, merge
from ladestrom.core.records import details, evse, interned, outlet
from ladestrom.model import Connector, Evse, Millis, Reading, Station, Status
from ladestrom.ports.registry import TOLD_MASK, ImportReport, RegistryDelta, RegistrySums
from ladestrom.record import Details, Format, PowerType, Terms
from ladestrom.tasks import Turns, parts

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

BATCH_ROWS: Final = 1_000
"""Rows read or written at a stretch, and values of one IN list: 10 ms, after which the event loop has its
turn. Databases take lists of some 32,000."""

ROWS_PER_LOOK: Final = 20
"""Rows made into stations between two looks at how long the loop was taken: some 0.5 ms."""


class _Point(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """An EVSE in `layout`. What earlier versions wrote ends after `party`."""

    key: str
    evse_id: str | None
    uid: str | None
    party: str | None
    label: str | None = None
    max_kw: float | None = None
    floor: str | None = None
    capabilities: tuple[str, ...] = ()
    terms: Terms | None = None


class _Plug(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A connector in `layout`. What earlier versions wrote ends after `max_kw`."""

    evse: int
    standard: str
    max_kw: float | None
    format: Format | None = None
    power_type: PowerType | None = None
    max_v: float | None = None
    max_a: float | None = None
    derived: tuple[str, ...] = ()


_Layout = tuple[list[_Point], list[_Plug]]
_decode_layout = msgspec.json.Decoder(_Layout).decode
_decode_details = msgspec.json.Decoder(Details).decode
_encode = msgspec.json.Encoder().encode

_STATION_COLUMNS: Final = (
    stations.c.uuid,
    stations.c.register,
    stations.c.native_id,
    stations.c.name,
    stations.c.country,
    stations.c.latitude,
    stations.c.longitude,
    stations.c.operator,
    stations.c.address,
    stations.c.city,
    stations.c.layout,
    stations.c.details,
    stations.c.told,
    stations.c.updated_at,
    stations.c.vanished_at,
)
_READING_COLUMNS: Final = (
    readings.c.evse,
    readings.c.status,
    readings.c.error,
    readings.c.observed_at,
    readings.c.raw,
)

T = TypeVar("T")


async def current_revision(connection: AsyncConnection, *, lock: bool = False) -> int:
    """The newest revision; with `lock`, no other transaction gets the next one before this one ends."""
    query = select(revisions.c.value)
    if lock:
        query = query.with_for_update()
    return int((await connection.execute(query)).scalar_one())


async def set_revision(connection: AsyncConnection, revision: int) -> None:
    """Makes it the newest one, once the transaction ends."""
    await connection.execute(update(revisions).values(value=revision))


async def registry_since(connection: AsyncConnection, revision: int) -> RegistryDelta:
    """What was written after `revision`; vanished stations come first."""
    # Read first: what another transaction adds meanwhile is then told twice, but never missed.
    newest = await current_revision(connection)
    found: list[Station] = []
    read: list[Reading] = []
    if newest > revision:
        changed = select(*_STATION_COLUMNS).where(stations.c.revision > revision)
        async for rows in _batches(
            connection, changed.order_by(stations.c.vanished_at.is_(None), stations.c.uuid)
        ):
            await _read(rows, _station, found)
        fresh = select(*_READING_COLUMNS).where(readings.c.revision > revision)
        async for rows in _batches(connection, fresh.order_by(readings.c.evse)):
            await _read(rows, _reading, read)
    return RegistryDelta(newest, tuple(found), tuple(read))


async def registry_sums(connection: AsyncConnection) -> RegistrySums:
    """What all stations add up to."""
    told = func.coalesce(func.sum(stations.c.told.op("&")(TOLD_MASK)), 0)
    query = select(func.count(), func.count(stations.c.vanished_at), told).select_from(stations)
    count, vanished, sum_told = (await connection.execute(query)).one()
    return RegistrySums(int(count), int(vanished), int(sum_told))


async def station(connection: AsyncConnection, uuid: str) -> Station | None:
    """One station; None where there is none of this uuid."""
    found = await _stations(connection, stations.c.uuid, [uuid])
    return found[0] if found else None


async def import_stations(
    connection: AsyncConnection,
    register: str,
    gathered: merge.Gathered,
    now: Millis,
    *,
    complete: bool,
    force_vanish: bool,
) -> merge.Outcome:
    """Merges a register into the tables and says what that did.

    Raises:
        Conflict: too many stations would vanish (`merge.vanishing`).
    """
    revision = await current_revision(connection, lock=True) + 1
    known = await _known(connection, register, gathered)
    free = {each.country: each.next for each in await connection.execute(select(numbers))}
    room = await _room(connection, register)
    # In threads: pure Python gives up the interpreter's lock every so often, and 1,000 stations take 100 ms.
    named = await asyncio.to_thread(merge.name, register, gathered, known, free, room)
    holders = await _holders(connection, await asyncio.to_thread(named.keys))
    gone: tuple[str, ...] = ()
    by_uuid: dict[str, str] = {}
    if complete:
        present = select(stations.c.uuid, stations.c.native_id).where(_present(register))
        by_uuid = {each.uuid: each.native_id for each in await connection.execute(present)}
        gone = await asyncio.to_thread(merge.vanishing, register, named, by_uuid, holders, force=force_vanish)
    owners = await _owners(connection, register)
    accepted = await asyncio.to_thread(merge.claim, register, named, holders, gone, owners)
    settlement = await asyncio.to_thread(merge.settle, accepted, holders, free)
    writer = _Writer(connection, revision, now)
    await writer.stations(settlement, gone)
    await writer.evses(settlement)
    await writer.readings(settlement.readings)
    await writer.numbers(settlement.numbers, free)
    if writer.wrote:
        await set_revision(connection, revision)
    report = ImportReport(
        added=tuple(each.uuid for each in settlement.added),
        changed=tuple(each.uuid for each in settlement.changed),
        unchanged=settlement.unchanged,
        vanished=gone,
        returned=tuple(each.uuid for each in settlement.returned),
        refused=(gathered.refused + accepted.refused)[: merge.REFUSALS_KEPT_MAX],
        refused_count=gathered.refused_count + len(accepted.refused),
        evses=await _evse_count(connection, _present(register)),
        notes=(gathered.notes + accepted.notes)[: merge.NOTES_KEPT_MAX],
        notes_count=gathered.notes_count + len(accepted.notes),
    )
    return merge.Outcome(report, accepted, settlement, {uuid: by_uuid[uuid] for uuid in gone})


class _Writer:
    """Writes what was settled, with one revision."""

    def __init__(self, connection: AsyncConnection, revision: int, now: Millis) -> None:
        self.wrote = False
        self._connection = connection
        self._revision = revision
        self._now = now

    async def stations(self, settlement: merge.Settlement, gone: Iterable[str]) -> None:
        """Rows of stations: new ones, other ones, those that vanished, those that lost EVSEs for it."""
        touched = settlement.written
        await self._put_stations((*settlement.added, *touched.values()), touched)
        for uuids in _chunks(gone):
            await self._connection.execute(
                update(stations)
                .where(stations.c.uuid.in_(uuids))
                .values(vanished_at=self._now, revision=self._revision)
            )
            self.wrote = True
        holders = await _stations(self._connection, stations.c.uuid, settlement.stripped)
        left = [merge.stripped(each, settlement.stripped[each.uuid]) for each in holders]
        await self._put_stations(left, settlement.stripped)

    async def evses(self, settlement: merge.Settlement) -> None:
        """Which station has which EVSE key. A key that moves takes its reading along."""
        for lost in _chunks(settlement.lost_keys):
            await self._connection.execute(delete(evses).where(evses.c.key.in_(lost)))
        moved = [{"moved": key, "station": uuid} for key, uuid in settlement.moved_keys.items()]
        await self._many(
            update(evses).where(evses.c.key == bindparam("moved")).values(station=bindparam("station")), moved
        )
        new = [{"key": key, "station": uuid} for key, uuid in settlement.new_keys.items()]
        await self._many(insert(evses), new)

    async def readings(self, given: Collection[Reading]) -> None:
        """Readings that are newer than the stored ones."""
        for some in _chunks(given):
            query = select(*_READING_COLUMNS).where(readings.c.evse.in_([each.evse for each in some]))
            stored = {row.evse: _reading(row) for row in await self._connection.execute(query)}
            rows = [
                {
                    "evse": each.evse,
                    "status": each.status.value,
                    "error": each.error,
                    "observed_at": each.observed_at,
                    "raw": each.raw,
                    "revision": self._revision,
                }
                for each in some
                if drafts.supersedes(each, stored.get(each.evse))
            ]
            await self._put(readings, "evse", rows, stored)

    async def numbers(self, free: Mapping[str, int], before: Collection[str]) -> None:
        """The next free number of each country where it changed."""
        rows = [{"country": country, "next": number} for country, number in free.items()]
        await self._put(numbers, "country", rows, before)

    async def _put_stations(self, given: Iterable[Station], stored: Collection[str]) -> None:
        for some in _chunks(given):
            rows = [{**_columns(each), "revision": self._revision} for each in some]
            await self._put(stations, "uuid", rows, stored)

    async def _put(
        self, table: Table, key: str, rows: Sequence[dict[str, Any]], stored: Collection[str]
    ) -> None:
        """Inserts the rows whose key is not stored, updates the others."""
        new = [row for row in rows if row[key] not in stored]
        old = [row for row in rows if row[key] in stored]
        for row in old:
            row["stored_key"] = row.pop(key)
        await self._many(insert(table), new)
        await self._many(update(table).where(table.c[key] == bindparam("stored_key")), old)

    async def _many(self, statement: Insert | Update, rows: list[dict[str, Any]]) -> None:
        for some in parts(rows, BATCH_ROWS):
            await self._connection.execute(statement, some)
            self.wrote = True


async def _known(connection: AsyncConnection, register: str, gathered: merge.Gathered) -> list[Station]:
    found = {each.uuid: each for each in await _stations(connection, stations.c.uuid, gathered.uuids())}
    ours = await _stations(
        connection, stations.c.native_id, gathered.native_ids(), stations.c.register == register
    )
    found.update((each.uuid, each) for each in ours)
    return list(found.values())


async def _stations(
    connection: AsyncConnection,
    column: ColumnElement[str],
    values: Iterable[str],
    *conditions: ColumnElement[bool],
) -> list[Station]:
    found: list[Station] = []
    for chunk in _chunks(values):
        query = select(*_STATION_COLUMNS).where(column.in_(chunk), *conditions)
        await _read((await connection.execute(query)).all(), _station, found)
    return found


async def _read(rows: Sequence[Row[*tuple[Any, ...]]], make: Callable[[Any], T], found: list[T]) -> None:
    """Adds what is made of rows, in turns of the loop."""
    turns = Turns()
    for some in parts(rows, ROWS_PER_LOOK):
        found.extend(map(make, some))
        await turns.rest()


async def _holders(connection: AsyncConnection, keys: Iterable[str]) -> dict[str, merge.Holder]:
    found: dict[str, merge.Holder] = {}
    for chunk in _chunks(keys):
        query = (
            select(evses.c.key, evses.c.station, stations.c.vanished_at, stations.c.register)
            .join(stations, stations.c.uuid == evses.c.station)
            .where(evses.c.key.in_(chunk))
        )
        for key, station, vanished_at, register in await connection.execute(query):
            found[key] = merge.Holder(station, vanished_at is not None, register)
    return found


async def _owners(connection: AsyncConnection, register: str) -> merge.Owners:
    """The operators of registers in which they describe their stations, this one too."""
    owners = {operator.name: operator for operator in await operators.every(connection)}
    query = select(stations.c.register).where(stations.c.register.contains(":")).distinct()
    known = (await connection.execute(query)).scalars()
    described = filter(drafts.is_described, {register, *known})
    return {each: owners[name] for each in described if (name := each.partition(":")[2]) in owners}


async def _room(connection: AsyncConnection, register: str) -> float:
    """How many more EVSEs a register may have."""
    if not drafts.is_described(register):
        return math.inf
    return merge.DESCRIBED_EVSES_MAX - await _evse_count(connection, stations.c.register == register)


async def _evse_count(connection: AsyncConnection, condition: ColumnElement[bool]) -> int:
    query = (
        select(func.count())
        .select_from(evses)
        .join(stations, stations.c.uuid == evses.c.station)
        .where(condition)
    )
    return int((await connection.execute(query)).scalar_one())


def _present(register: str) -> ColumnElement[bool]:
    return and_(stations.c.register == register, stations.c.vanished_at.is_(None))


async def _batches(
    connection: AsyncConnection, query: Select[*tuple[Any, ...]]
) -> AsyncIterator[Sequence[Row[*tuple[Any, ...]]]]:
    result = await connection.stream(query.execution_options(yield_per=BATCH_ROWS))
    async for rows in result.partitions(BATCH_ROWS):
        yield rows


def _chunks(values: Iterable[T]) -> Iterator[list[T]]:
    remaining = iter(values)
    while chunk := list(islice(remaining, BATCH_ROWS)):
        yield chunk


def _columns(station: Station) -> dict[str, Any]:
    layout = (
        [
            _Point(
                each.key,
                each.evse_id,
                each.uid,
                each.party,
                each.label,
                each.max_kw,
                each.floor,
                each.capabilities,
                each.terms,
            )
            for each in station.evses
        ],
        [
            _Plug(
                each.evse,
                each.connector.standard,
                each.connector.max_kw,
                each.connector.format,
                each.connector.power_type,
                each.connector.max_v,
                each.connector.max_a,
                each.connector.derived,
            )
            for each in station.outlets
        ],
    )
    return {
        "uuid": station.uuid,
        "register": station.register,
        "native_id": station.native_id,
        "name": station.name,
        "country": station.country,
        "latitude": station.latitude,
        "longitude": station.longitude,
        "operator": station.operator,
        "address": station.address,
        "city": station.city,
        "layout": _encode(layout).decode(),
        "details": _encode(station.details).decode(),
        "told": station.told,
        "updated_at": station.updated_at,
        "vanished_at": station.vanished_at,
    }


def _station(row: Row[*tuple[Any, ...]]) -> Station:
    """A station of which everything that others have too is one object for all of them."""
    (
        uuid,
        register,
        native_id,
        name,
        country,
        latitude,
        longitude,
        operator,
        address,
        city,
        layout,
        own_details,
        told,
        updated_at,
        gone_at,
    ) = row
    points, plugs = _decode_layout(layout)
    return Station(
        uuid=uuid,
        name=name,
        country=intern(country),
        latitude=latitude,
        longitude=longitude,
        evses=tuple(_evse(uuid, point) for point in points),
        outlets=tuple(outlet(plug.evse, _connector(plug)) for plug in plugs),
        operator=interned(operator),
        address=address,
        city=interned(city),
        register=intern(register),
        native_id=native_id,
        told=told,
        vanished_at=gone_at,
        updated_at=updated_at,
        details=details(_decode_details(own_details)),
    )


def _evse(uuid: str, point: _Point) -> Evse:
    own = Evse(
        point.key,
        uuid,
        point.evse_id,
        point.uid,
        point.party,
        point.label,
        point.max_kw,
        point.floor,
        point.capabilities,
        point.terms,
    )
    return evse(own, uuid)


def _connector(plug: _Plug) -> Connector:
    return Connector(
        plug.standard, plug.max_kw, plug.format, plug.power_type, plug.max_v, plug.max_a, plug.derived
    )


def _reading(row: Row[*tuple[Any, ...]]) -> Reading:
    evse, status, error, observed_at, raw = row
    return Reading(evse, Status(status), bool(error), observed_at, intern(raw))
