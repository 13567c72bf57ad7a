"""Copies a store into another one, of whatever kind: all rows of all tables, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Row, delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ladestrom.backends.database import Database
from ladestrom.backends.opening import Opening
from ladestrom.backends.table import store_of
from ladestrom.backends.tables import metadata, revision
from ladestrom.errors import Conflict

ROWS_AT_ONCE: Final = 1_000


async def copy_file(file: Path, opening: Opening) -> dict[str, int]:
    """Copies the store in a file into the one of an address; says how many rows of each table.

    Raises:
        Conflict: the store of the address has something already; nothing was changed.
        NotReady: one of both cannot be read or written.
    """
    source = await Database.open(file)
    try:
        row = store_of(opening.url)
        target = await Database.open(opening.folder / row.file if row.file else opening.url)
        try:
            return await copy(source, target)
        finally:
            await target.close()
    finally:
        await source.close()


async def copy(source: Database, target: Database) -> dict[str, int]:
    """Copies everything; says how many rows of each table.

    Raises:
        Conflict: the target has something already; nothing was changed.
    """

    async def read(there: AsyncConnection) -> dict[str, int]:
        return await target.write(lambda here: _copied(there, here))

    return await source.read(read)


async def _copied(there: AsyncConnection, here: AsyncConnection) -> dict[str, int]:
    copied = {}
    for table in metadata.sorted_tables:
        if table is not revision and (await here.execute(select(func.count()).select_from(table))).scalar():
            raise Conflict(f"the store to copy into is not empty: it has {table.name}")
    await here.execute(delete(revision))
    for table in metadata.sorted_tables:
        count = 0
        for rows in (await there.execute(select(table))).partitions(ROWS_AT_ONCE):
            await here.execute(insert(table), _values(rows))
            count += len(rows)
        copied[table.name] = count
    return copied


def _values(rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
    return [dict(row._mapping) for row in rows]  # noqa: SLF001 - its public name
