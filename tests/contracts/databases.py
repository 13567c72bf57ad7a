"""Stores of every kind that the table of backends has, empty, for the contract suites."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Final

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from ladestrom.backends.opening import Opening
from ladestrom.backends.table import STORES

URL: Final = os.environ.get("LADESTROM_TEST_POSTGRES")
LOCK: Final = 1_700_000_000
"""Number of the advisory lock for which the tests of several workers wait."""


@asynccontextmanager
async def empty(scheme: str, folder: Path) -> AsyncIterator[Opening]:
    """Where a new store is, as its row says; skips if its driver or its server is not here."""
    row = STORES[scheme]
    if row.driver and importlib.util.find_spec(row.driver) is None:
        pytest.skip(f"{scheme}: the package {row.driver} is not installed")
    if row.file:
        yield Opening(url=f"{scheme}:", folder=folder)
        return
    async with SERVERS[scheme]() as url:
        yield Opening(url=url, folder=folder)


@asynccontextmanager
async def postgresql() -> AsyncIterator[str]:
    """URL of the database, emptied, which no other test uses meanwhile; skips where there is none."""
    if URL is None:
        pytest.skip("no PostgreSQL here: LADESTROM_TEST_POSTGRES has no URL")
    engine = create_async_engine(URL.replace("postgresql://", "postgresql+asyncpg://"))
    try:
        async with engine.connect() as connection:
            await connection.execute(text("SELECT pg_advisory_lock(:number)"), {"number": LOCK})
            await connection.execute(text("DROP SCHEMA public CASCADE"))
            await connection.execute(text("CREATE SCHEMA public"))
            # The lock is the connection's, not the transaction's.
            await connection.commit()
            yield URL
    finally:
        await engine.dispose()


SERVERS: Final[Mapping[str, Callable[[], AbstractAsyncContextManager[str]]]] = {"postgresql": postgresql}
"""For each store that is no file: the URL of an empty database."""
