"""Opens the store of an address: SQLite in the data directory, or PostgreSQL."""

from __future__ import annotations

from ladestrom.backends.data_directory import STORE_FILE
from ladestrom.backends.database import Database
from ladestrom.backends.opening import Opening
from ladestrom.backends.sql import SqlStore, open_store


async def open_sqlite(opening: Opening) -> SqlStore:
    """The file in the data directory."""
    store = await open_store(opening.folder / STORE_FILE)
    if opening.held is not None:
        opening.held.keep(STORE_FILE)
    return store


async def open_postgresql(opening: Opening) -> SqlStore:
    """The database that the address names, which has to exist; its tables are created."""
    return await open_store(opening.url)


async def version_of_postgresql(opening: Opening) -> str:
    """The version of the tables in that database; empty if it has none."""
    return await Database.version(opening.url)
