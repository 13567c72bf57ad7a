"""The store on a SQL database: registry, operators and keys.

Knows which transaction each operation of the port is. Must not know the secrets of keys: it gets records
with their SHA-256. The tables are in `backends.tables`, the registry's rows in `backends.registry`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
from sqlalchemy import (
    ColumnElement,
    Row,
    Select,
    and_,
    bindparam,
    delete,
    func,
    insert,
    not_,
    or_,
    select,
    update,
)

from ladestrom.backends import charge_points, operators, registry, sources
from ladestrom.backends.database import Database
from ladestrom.backends.ocpi import SqlPeers
from ladestrom.backends.tables import keys
from ladestrom.core import merge
from ladestrom.errors import Conflict, NotFound, TooManyRequests
from ladestrom.model import Millis, Operator
from ladestrom.ports.charge_points import ChargePoint
from ladestrom.ports.keys import KeyRecord
from ladestrom.ports.registry import (
    ImportReport,
    RecordRefusal,
    RegistryDelta,
    RegistrySums,
    StationDraft,
    Tell,
)
from ladestrom.ports.sources import SourceRecord
from ladestrom.ports.stores import OperatorUse
from ladestrom.quoting import quoted
from ladestrom.tasks import background

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

MINUTE_MS: Final = 60_000
HOUR_S: Final = 3_600
KEYS_PER_TURN: Final = 500
"""Keys read before other work of the loop gets its turn: some 3 ms."""
ENDED_FORGOTTEN: Final = 100
"""Self-made keys that are forgotten at once, the oldest first, where more have ended than may live."""

T = TypeVar("T")

_encode = msgspec.json.Encoder().encode
_decode_words = msgspec.json.Decoder(tuple[str, ...]).decode


async def open_store(where: str | Path) -> SqlStore:
    """Opens the store, made and migrated where it has to be.

    `where` is the data directory, or a file ending in `.db`, or the URL of a PostgreSQL database.

    Raises:
        InvalidSetting: it is a URL of another kind of database, or the driver for it is missing.
        Conflict: a newer version of the program made it.
        NotReady: it cannot be reached, read or written.
    """
    return SqlStore(await Database.open(where))


class _Undone(Exception):
    """Undoes a transaction, and carries out what it would have done."""

    def __init__(self, outcome: merge.Outcome) -> None:
        super().__init__()
        self.outcome = outcome


def _tell(outcome: merge.Outcome, tell: Tell) -> None:
    for each in merge.told(outcome):
        tell(each)


class SqlStore:
    """Implements `ports.Store`. Each operation may raise `NotReady` too: the database cannot be used now."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.peers = SqlPeers(database)
        self._closing: list[Callable[[], Awaitable[None]]] = []

    async def revision(self) -> int:
        """Grows with every write, except for the use of keys."""
        return await self._database.read(registry.current_revision)

    async def registry_since(self, revision: int) -> RegistryDelta:
        """Stations and readings written after `revision` (0: all); vanished stations come first.

        An EVSE key is in one station only, vanished ones counted. It may have moved from one station of the
        delta to another.
        """
        return await self._database.read(lambda each: registry.registry_since(each, revision))

    async def registry_sums(self) -> RegistrySums:
        """What all stations add up to."""
        return await self._database.read(registry.registry_sums)

    async def import_stations(
        self,
        register: str,
        records: Iterable[StationDraft | RecordRefusal],
        now: Millis,
        *,
        complete: bool,
        force_vanish: bool = False,
        dry_run: bool = False,
        tell: Tell | None = None,
    ) -> ImportReport:
        """Adds and updates stations of one register, in one transaction; `core.merge` has the rules.

        The register is read to its end first; what reading it raises leaves the store as it was. With
        `dry_run` the transaction is undone at its end. `tell` hears of what reading brings at once, and of
        the rest once the transaction has ended, in a thread: a transaction may have to be done again.

        Raises:
            Conflict: with `complete`, more than half of the register's stations, and more than 100, would
                vanish, and `force_vanish` is not set; nothing was changed.
        """
        gathered = merge.gather(records, tell)

        async def work(connection: AsyncConnection) -> merge.Outcome:
            outcome = await registry.import_stations(
                connection, register, gathered, now, complete=complete, force_vanish=force_vanish
            )
            if dry_run:
                raise _Undone(outcome)
            return outcome

        try:
            outcome = await self._database.write(work)
        except _Undone as undone:
            outcome = undone.outcome
        if tell is not None:
            await asyncio.to_thread(_tell, outcome, tell)
        return outcome.report

    async def operators(self) -> Sequence[Operator]:
        """All operators, by name."""
        return await self._database.read(operators.every)

    async def put_operator(self, operator: Operator, now: Millis) -> bool:
        """Adds the operator or replaces it; True where it was added."""
        return await self._write(lambda each: operators.put(each, operator, now))

    async def remove_operator(self, name: str, now: Millis, *, force: bool = False) -> OperatorUse:
        """Forgets an operator, and with `force` all that needs it; says what that was.

        Raises:
            NotFound: no operator has this name.
            Conflict: something needs it, and `force` is not set; nothing was changed.
        """
        return await self._write(lambda each: operators.remove(each, name, now, force=force))

    async def keys(self) -> Sequence[KeyRecord]:
        """All keys, the oldest first, those that are revoked or expired too."""
        query = select(keys).order_by(keys.c.created_at, keys.c.id)

        async def fetch(connection: AsyncConnection) -> list[KeyRecord]:
            found: list[KeyRecord] = []
            for rows in (await connection.execute(query)).partitions(KEYS_PER_TURN):
                found += map(_key_record, rows)
                await background().turn()
            return found

        return await self._database.read(fetch)

    async def put_key(self, key: KeyRecord, *, self_made_max: int | None = None) -> None:
        """Adds the key; with `self_made_max`, no more that their holders made than that.

        Raises:
            Conflict: its id is taken.
            NotFound: its operator does not exist.
            TooManyRequests: there are `self_made_max` already.
        """

        async def put(connection: AsyncConnection) -> None:
            if self_made_max is not None:
                await _make_room(connection, self_made_max, key.created_at)
            if await _has(connection, keys.c.id, key.id):
                raise Conflict(f"there is a key {key.id} already")
            if key.operator is not None:
                await operators.require(connection, key.operator)
            row = msgspec.structs.asdict(key)
            await connection.execute(insert(keys).values({**row, "scopes": _text(key.scopes)}))

        await self._write(put)

    async def approve_key(self, key_id: str, now: Millis) -> None:
        """Makes a key good that waits for that; one that does not wait stays as it is.

        Raises:
            NotFound: no key has this id.
            Conflict: it was revoked or has expired.
        """

        async def approve(connection: AsyncConnection) -> None:
            found = (await connection.execute(select(keys).where(keys.c.id == key_id))).first()
            if found is None:
                raise _no_key(key_id)
            if found.revoked_at is not None or (found.expires_at is not None and found.expires_at <= now):
                raise Conflict(f"the key {key_id} was revoked or has expired; it cannot be approved")
            await connection.execute(
                update(keys)
                .where(keys.c.id == key_id, keys.c.self_made, keys.c.approved_at.is_(None))
                .values(approved_at=now)
            )

        await self._write(approve)

    async def revoke_key(self, key_id: str, now: Millis) -> None:
        """Ends the key for good; a key that was revoked before keeps that instant.

        Raises:
            NotFound: no key has this id.
        """
        await self._end_key(key_id, "revoked_at", now)

    async def erase_key(self, key_id: str) -> None:
        """Deletes the key and what it says of its holder; it ends with that.

        Raises:
            NotFound: no key has this id.
        """

        async def erase(connection: AsyncConnection) -> None:
            if (await connection.execute(delete(keys).where(keys.c.id == key_id))).rowcount == 0:
                raise _no_key(key_id)

        await self._write(erase)

    async def expire_key(self, key_id: str, expires_at: Millis) -> None:
        """Brings the key's expiry forward (rotation); never later than it was.

        Raises:
            NotFound: no key has this id.
        """
        await self._end_key(key_id, "expires_at", expires_at)

    async def touch_keys(self, used: dict[str, Millis]) -> None:
        """Notes to the minute when keys were last used; does not count as a new revision."""
        rows = [{"used": key_id, "minute": at - at % MINUTE_MS} for key_id, at in used.items()]
        if not rows:
            return
        statement = (
            update(keys)
            .where(
                keys.c.id == bindparam("used"),
                or_(keys.c.last_used_at.is_(None), keys.c.last_used_at < bindparam("minute")),
            )
            .values(last_used_at=bindparam("minute"))
        )

        async def touch(connection: AsyncConnection) -> None:
            await connection.execute(statement, rows)

        await self._database.write(touch)

    async def charge_points(self) -> Sequence[ChargePoint]:
        """All charge points, by id."""
        return await self._database.read(charge_points.everything)

    async def put_charge_point(self, point: ChargePoint) -> ChargePoint:
        """Adds a charge point, and gives it back with its EVSEs by their keys.

        Raises:
            Conflict: its id is taken.
            NotFound: its operator or its station does not exist.
            BadRequest: an EVSE is not of its station.
        """
        return await self._write(lambda each: charge_points.put(each, point))

    async def rotate_charge_point(self, charge_point: str, secret_sha256: bytes) -> None:
        """Replaces a charge point's password; the old one ends at once.

        Raises:
            NotFound: no charge point has this id.
        """
        await self._write(lambda each: charge_points.replace_password(each, charge_point, secret_sha256))

    async def remove_charge_point(self, charge_point: str) -> None:
        """Forgets a charge point.

        Raises:
            NotFound: no charge point has this id.
        """
        await self._write(lambda each: charge_points.remove(each, charge_point))

    async def touch_charge_points(self, seen: dict[str, Millis]) -> None:
        """Notes to the minute when charge points were last connected; does not count as a new revision."""
        minutes = {point: at - at % MINUTE_MS for point, at in seen.items()}
        if minutes:
            await self._database.write(lambda each: charge_points.touch(each, minutes))

    async def sources(self) -> Sequence[SourceRecord]:
        """All sources, by name."""
        return await self._database.read(sources.every)

    async def put_source(self, source: SourceRecord) -> bool:
        """Adds the source or replaces it; True where it was added.

        One that is replaced keeps its memory where what is asked is still the same.

        Raises:
            NotFound: its operator does not exist.
        """
        return await self._write(lambda each: sources.put(each, source))

    async def pause_source(self, name: str, paused_at: Millis | None, now: Millis) -> None:
        """Stops a source, or lets it go on where `paused_at` is None.

        Raises:
            NotFound: no source has this name.
        """
        await self._write(lambda each: sources.pause(each, name, paused_at, now))

    async def remove_source(self, name: str) -> None:
        """Forgets a source.

        Raises:
            NotFound: no source has this name.
        """
        await self._write(lambda each: sources.remove(each, name))

    async def remember_source(self, name: str, memory: dict[str, str], changed_at: Millis) -> bool:
        """Keeps its memory, unless it was changed since; does not count as a new revision."""
        return await self._database.write(lambda each: sources.remember(each, name, memory, changed_at))

    def on_close(self, work: Callable[[], Awaitable[None]]) -> None:
        """Is done after everything was closed."""
        self._closing.append(work)

    async def close(self) -> None:
        """Closes all connections. What was written stays."""
        try:
            await self._database.close()
        finally:
            for work in self._closing:
                await work()

    async def _end_key(self, key_id: str, column: str, at: Millis) -> None:
        async def end(connection: AsyncConnection) -> None:
            if not await _has(connection, keys.c.id, key_id):
                raise _no_key(key_id)
            await connection.execute(
                update(keys)
                .where(keys.c.id == key_id, or_(keys.c[column].is_(None), keys.c[column] > at))
                .values({column: at})
            )

        await self._write(end)

    async def _write(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        async def counted(connection: AsyncConnection) -> T:
            revision = await registry.current_revision(connection, lock=True) + 1
            result = await work(connection)
            await registry.set_revision(connection, revision)
            return result

        return await self._database.write(counted)

    async def _all(self, query: Select[*tuple[Any, ...]]) -> Sequence[Row[*tuple[Any, ...]]]:
        async def fetch(connection: AsyncConnection) -> Sequence[Row[*tuple[Any, ...]]]:
            return (await connection.execute(query)).all()

        return await self._database.read(fetch)


async def _make_room(connection: AsyncConnection, self_made_max: int, now: Millis) -> None:
    """Counts the keys that their holders made; of those that ended, the newest are kept.

    Raises:
        TooManyRequests: there are too many that have not ended.
    """
    lives = and_(keys.c.revoked_at.is_(None), or_(keys.c.expires_at.is_(None), keys.c.expires_at > now))
    counts = select(func.count().filter(lives), func.count().filter(not_(lives))).where(keys.c.self_made)
    living, ended = (await connection.execute(counts)).one()
    if living >= self_made_max:
        raise TooManyRequests(
            "this server has reached its limit of self-made keys; ask the administrator",
            retry_after_s=HOUR_S,
        )
    if ended > self_made_max:
        oldest = select(keys.c.id).where(keys.c.self_made, not_(lives)).order_by(keys.c.created_at)
        await connection.execute(delete(keys).where(keys.c.id.in_(oldest.limit(ENDED_FORGOTTEN))))


def _key_record(row: Row[*tuple[Any, ...]]) -> KeyRecord:
    return KeyRecord(
        id=row.id,
        name=row.name,
        secret_sha256=bytes(row.secret_sha256),
        scopes=_decode_words(row.scopes),
        operator=row.operator,
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
        email=row.email,
        purpose=row.purpose,
        self_made=row.self_made,
        approved_at=row.approved_at,
    )


def _no_key(key_id: str) -> NotFound:
    return NotFound(f"there is no key {quoted(key_id, 40)}; `ladestrom keys list` shows the ids")


async def _has(connection: AsyncConnection, column: ColumnElement[str], value: str) -> bool:
    return (await connection.execute(select(column).where(column == value))).first() is not None


def _text(words: tuple[str, ...]) -> str:
    return _encode(words).decode()
