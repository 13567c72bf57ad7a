"""Opens the store of an address: SQLite in the data directory, or PostgreSQL."""

from __future__ import annotations

from ladestrom.backends.data_directory import STORE_FILE
from ladestrom.backends.database import Database
from ladestrom.backends.opening import Opening
from ladestrom.backends.postgres.claim import Claim, identity
from ladestrom.backends.sql import SqlStore, open_store


async def open_sqlite(opening: Opening) -> SqlStore:
    """The file in the data directory."""
    store = await open_store(opening.folder / STORE_FILE)
    if opening.held is not None:
        opening.held.keep(STORE_FILE)
    return store


async def open_postgresql(opening: Opening) -> SqlStore:
    """The database that the address names, which has to exist; its tables are created.

    Raises:
        Conflict: another server uses it, and is not of the same cluster.
    """
    claim = None if opening.held is None else await Claim.of(opening)
    try:
        store = await open_store(opening.url)
    except BaseException:
        if claim is not None:
            await claim.close()
        raise
    if claim is not None:
        store.on_close(claim.close)
    return store


async def identity_of_postgresql(opening: Opening) -> str:
    """Which database and schema it is."""
    return await identity(opening.url)


async def version_of_postgresql(opening: Opening) -> str:
    """The version of the tables in that database; empty if it has none."""
    return await Database.version(opening.url)
