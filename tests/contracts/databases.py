"""The PostgreSQL of the tests, where LADESTROM_TEST_POSTGRES has a URL: empty, and for one test at a time."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

URL: Final = os.environ.get("LADESTROM_TEST_POSTGRES")
LOCK: Final = 1_700_000_000
"""Number of the advisory lock for which the tests of several workers wait."""


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
