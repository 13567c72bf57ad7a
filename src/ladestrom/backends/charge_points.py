"""The rows of charge points, inside a transaction.

Knows rows. Who begins and ends the transaction is `backends.sql`; what a password is, `core.charge_points`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import bindparam, delete, insert, or_, select, update

from ladestrom.backends import operators, registry
from ladestrom.backends.tables import charge_points
from ladestrom.errors import BadRequest, Conflict, NotFound
from ladestrom.model import Evse, Millis, evse_key, local_key, registry_key
from ladestrom.ports.charge_points import ChargePoint
from ladestrom.quoting import quoted

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

_decode_evses = msgspec.json.Decoder(tuple[tuple[int, str], ...]).decode


async def everything(connection: AsyncConnection) -> Sequence[ChargePoint]:
    """All charge points, by id."""
    rows = await connection.execute(select(charge_points).order_by(charge_points.c.id))
    return [
        ChargePoint(
            id=row.id,
            operator=row.operator,
            station=row.station,
            evses=_decode_evses(row.evses),
            secret_sha256=bytes(row.secret_sha256),
            added_at=row.added_at,
            last_seen_at=row.last_seen_at,
        )
        for row in rows
    ]


async def put(connection: AsyncConnection, point: ChargePoint) -> ChargePoint:
    """Adds a charge point, its EVSEs by their keys.

    Raises:
        Conflict: its id is taken.
        NotFound: its operator or its station does not exist.
        BadRequest: an EVSE is not of its station.
    """
    if await _has(connection, point.id):
        raise Conflict(f"there is a charge point {quoted(point.id)} already")
    await operators.require(connection, point.operator)
    station = await registry.station(connection, point.station)
    if station is None or station.vanished_at is not None:
        raise NotFound(f"the registry has no station {quoted(point.station)}; import it first")
    evses = tuple((number, _evse(station.evses, written).key) for number, written in point.evses)
    point = msgspec.structs.replace(point, evses=evses)
    row = msgspec.structs.asdict(point)
    row["evses"] = msgspec.json.encode(evses).decode()
    await connection.execute(insert(charge_points).values(row))
    return point


async def replace_password(connection: AsyncConnection, charge_point: str, secret_sha256: bytes) -> None:
    """Raises:
    NotFound: there is no such charge point.
    """
    changed = await connection.execute(
        update(charge_points).where(charge_points.c.id == charge_point).values(secret_sha256=secret_sha256)
    )
    if not changed.rowcount:
        raise _missing(charge_point)


async def remove(connection: AsyncConnection, charge_point: str) -> None:
    """Raises:
    NotFound: there is no such charge point.
    """
    gone = await connection.execute(delete(charge_points).where(charge_points.c.id == charge_point))
    if not gone.rowcount:
        raise _missing(charge_point)


async def touch(connection: AsyncConnection, seen: Mapping[str, Millis]) -> None:
    """Notes when charge points were last there."""
    column = charge_points.c.last_seen_at
    statement = (
        update(charge_points)
        .where(charge_points.c.id == bindparam("point"), or_(column.is_(None), column < bindparam("at")))
        .values(last_seen_at=bindparam("at"))
    )
    await connection.execute(statement, [{"point": point, "at": at} for point, at in seen.items()])


async def _has(connection: AsyncConnection, charge_point: str) -> bool:
    query = select(charge_points.c.id).where(charge_points.c.id == charge_point)
    return (await connection.execute(query)).first() is not None


def _evse(evses: tuple[Evse, ...], written: str) -> Evse:
    key = evse_key(written) or registry_key(written)
    for evse in evses:
        if key and key in {evse.key, evse_key(evse.evse_id or "")}:
            return evse
    for evse in evses:
        if evse.uid and local_key(evse.uid) == local_key(written):
            return evse
    own = ", ".join(evse.name for evse in evses)
    raise BadRequest(f"{quoted(written, 60)} is no EVSE of this station; it has {own[:400]}")


def _missing(charge_point: str) -> NotFound:
    return NotFound(f"there is no charge point {quoted(charge_point, 60)}; `ladestrom ocpp list` shows them")
