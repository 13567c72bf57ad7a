"""The rows of operators, inside a transaction; who begins and ends it is `backends.sql`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import ColumnElement, and_, delete, insert, or_, select, update

from ladestrom.backends.tables import charge_points, keys, ocpi_locations, ocpi_peers, operators, sources
from ladestrom.errors import Conflict, NotFound
from ladestrom.model import Millis, Operator
from ladestrom.ports.stores import OperatorUse
from ladestrom.quoting import quoted

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

_encode = msgspec.json.Encoder().encode
_decode_words = msgspec.json.Decoder(tuple[str, ...]).decode


async def every(connection: AsyncConnection) -> Sequence[Operator]:
    """All operators, by name."""
    rows = await connection.execute(select(operators).order_by(operators.c.name))
    return [
        Operator(
            name=row.name,
            parties=_decode_words(row.parties),
            prefixes=_decode_words(row.prefixes),
            all=row.all,
            stale_after_s=row.stale_after_s,
            may_register=row.may_register,
            max_age_s=row.max_age_s,
            by_receipt=row.by_receipt,
        )
        for row in rows
    ]


async def put(connection: AsyncConnection, operator: Operator, now: Millis) -> bool:
    """Adds the operator or replaces it; True where it was added."""
    rights = {
        "parties": _encode(operator.parties).decode(),
        "prefixes": _encode(operator.prefixes).decode(),
        "all": operator.all,
        "stale_after_s": operator.stale_after_s,
        "may_register": operator.may_register,
        "max_age_s": operator.max_age_s,
        "by_receipt": operator.by_receipt,
        "changed_at": now,
    }
    replaced = await connection.execute(
        update(operators).where(operators.c.name == operator.name).values(**rights)
    )
    if replaced.rowcount:
        return False
    await connection.execute(insert(operators).values(name=operator.name, added_at=now, **rights))
    return True


async def require(connection: AsyncConnection, name: str) -> None:
    """Raises:
    NotFound: no operator has this name.
    """
    if (await connection.execute(select(operators.c.name).where(operators.c.name == name))).first() is None:
        raise NotFound(
            f"there is no operator {quoted(name)}; `ladestrom operators list` shows the names, "
            "`ladestrom operators add` adds one"
        )


async def remove(connection: AsyncConnection, name: str, now: Millis, *, force: bool) -> OperatorUse:
    """Forgets an operator, and with `force` all that needs it; says what that was.

    Raises:
        NotFound: no operator has this name.
        Conflict: something needs it, and `force` is not set.
    """
    await require(connection, name)
    lives = and_(keys.c.revoked_at.is_(None), or_(keys.c.expires_at.is_(None), keys.c.expires_at > now))
    use = OperatorUse(
        keys=await _names(connection, keys.c.id, and_(keys.c.operator == name, lives)),
        sources=await _names(connection, sources.c.name, sources.c.operator == name),
        charge_points=await _names(connection, charge_points.c.id, charge_points.c.operator == name),
        peers=await _names(connection, ocpi_peers.c.id, ocpi_peers.c.operator == name),
    )
    if str(use) and not force:
        raise Conflict(
            f"{name} is still needed by {use}. Remove these first, or remove them together with the "
            "operator by --force; nothing was changed"
        )
    for table in (keys, sources, charge_points, ocpi_peers, ocpi_locations):
        await connection.execute(delete(table).where(table.c.operator == name))
    await connection.execute(delete(operators).where(operators.c.name == name))
    return use


async def _names(
    connection: AsyncConnection, column: ColumnElement[str], condition: ColumnElement[bool]
) -> tuple[str, ...]:
    rows = await connection.execute(select(column).where(condition).order_by(column))
    return tuple(rows.scalars())
