"""The table of sources, inside a transaction: what is fetched, from where, and what was remembered of it.

Knows rows. Who begins and ends the transaction is `backends.sql`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import delete, insert, select, update

from ladestrom.backends import operators
from ladestrom.backends.tables import sources
from ladestrom.errors import NotFound
from ladestrom.model import Millis
from ladestrom.ports.sources import SourceRecord
from ladestrom.quoting import quoted

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, str]).decode


async def every(connection: AsyncConnection) -> list[SourceRecord]:
    """All sources, by name."""
    rows = await connection.execute(select(sources).order_by(sources.c.name))
    return [
        SourceRecord(
            name=row.name,
            operator=row.operator,
            protocol=row.protocol,
            address=row.address,
            options=_decode(row.options),
            secret=row.secret,
            certificate=row.certificate,
            certificate_key=row.certificate_key,
            poll_s=row.poll_s,
            max_age_s=row.max_age_s,
            by_receipt=row.by_receipt,
            paused_at=row.paused_at,
            memory=_decode(row.memory),
            added_at=row.added_at,
            changed_at=row.changed_at,
        )
        for row in rows
    ]


async def put(connection: AsyncConnection, source: SourceRecord) -> bool:
    """Adds the source or replaces it; True where it was added.

    One that is replaced keeps its memory where it is still the same that is asked, and when it was added.

    Raises:
        NotFound: its operator does not exist.
    """
    await operators.require(connection, source.operator)
    found = (await connection.execute(select(sources).where(sources.c.name == source.name))).first()
    row = {
        **msgspec.structs.asdict(source),
        "options": _encode(source.options).decode(),
        "memory": _encode(source.memory).decode(),
    }
    if found is None:
        await connection.execute(insert(sources).values(row))
        return True
    if (found.operator, found.protocol, found.address, _decode(found.options)) == (
        source.operator,
        source.protocol,
        source.address,
        source.options,
    ):
        row["memory"] = found.memory
    row["added_at"] = found.added_at
    await connection.execute(update(sources).where(sources.c.name == source.name).values(row))
    return False


async def pause(connection: AsyncConnection, name: str, paused_at: Millis | None, now: Millis) -> None:
    """Stops a source, or lets it go on where `paused_at` is None. What was remembered is forgotten: much may
    have happened meanwhile.

    Raises:
        NotFound: no source has this name.
    """
    done = await connection.execute(
        update(sources).where(sources.c.name == name).values(paused_at=paused_at, changed_at=now, memory="{}")
    )
    if not done.rowcount:
        raise _missing(name)


async def remove(connection: AsyncConnection, name: str) -> None:
    """Forgets a source.

    Raises:
        NotFound: no source has this name.
    """
    done = await connection.execute(delete(sources).where(sources.c.name == name))
    if not done.rowcount:
        raise _missing(name)


async def remember(
    connection: AsyncConnection, name: str, memory: Mapping[str, str], changed_at: Millis
) -> bool:
    """Keeps what a round found, unless the source was changed since; says whether it did."""
    done = await connection.execute(
        update(sources)
        .where(sources.c.name == name, sources.c.changed_at == changed_at)
        .values(memory=_encode(memory).decode())
    )
    return bool(done.rowcount)


def _missing(name: str) -> NotFound:
    return NotFound(f"there is no source {quoted(name, 100)}; `ladestrom sources list` shows the names")
