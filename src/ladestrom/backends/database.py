"""Opens the database of the store, SQLite or PostgreSQL, and brings its tables up to date.

Knows files, connections, locks and migrations. Must not know what is in the tables.

SQLite keeps a rollback journal, not a write-ahead log: the library that Python brings along may have the
WAL-reset bug (SQLite 3.7.0 to 3.51.2), which corrupts files in WAL mode that several connections use.
"""

from __future__ import annotations

import contextlib
import io
import os
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import quote

from sqlalchemy import URL, event, inspect, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from ladestrom.backends.data_directory import STORE_FILE
from ladestrom.backends.postgres.address import CONNECT_S_MAX, NAME, driver, parsed
from ladestrom.errors import Conflict, InvalidSetting, NotReady
from ladestrom.quoting import without_user

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection

SCHEMA: Final = "0009"
"""The newest migration. Kept here so that only stores that lack it need Alembic, which loads slowly."""

BUSY_TIMEOUT_S: Final = 10
"""What SQLite waits for a lock: an import of 30,000 EVSEs holds one for a fraction of it."""
LOCKED_ATTEMPTS_MAX: Final = 3
"""Then the lock is not another import's, and an error says more than another wait."""
CONNECTIONS_MAX: Final = 4
"""One writes at a time; the others read."""
POOL_WAIT_S_MAX: Final = 30
"""For one of them: as long as each may wait for a lock."""
CACHE_KIB: Final = 65_536
"""Holds all pages that an import of a country changes: what is written early locks readers out early."""
STATEMENT_S_MAX: Final = 60
"""For an answer of PostgreSQL, waiting for another import included, as it may take with SQLite."""
MIGRATION_LOCK: Final = 0x6C73_7472
"""Any number, but always the same one."""

_WRITES: Final = "ladestrom_writes"
_SQLITE_BUSY: Final = 5
_SQLITE_LOCKED: Final = 6
_PRAGMAS: Final = (
    "PRAGMA journal_mode = DELETE",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    # What is deleted of a person must not stay in the file's free pages.
    "PRAGMA secure_delete = ON",
    f"PRAGMA cache_size = -{CACHE_KIB}",
    "PRAGMA cache_spill = OFF",
)

T = TypeVar("T")


class Database:
    """A database with the tables of this version, and its two kinds of transaction."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._writing = engine.execution_options(**{_WRITES: True})

    @classmethod
    async def open(cls, where: str | Path) -> Database:
        """Opens the database that `where` names, made where it is missing, and migrates it.

        `where` is the URL of a PostgreSQL database, or a path: the data directory, or the file itself when
        it ends in `.db`. A new directory is readable for its owner only (0700), so is the file (0600).

        Raises:
            InvalidSetting: it is a URL of another kind of database, or the driver for it is missing.
            Conflict: a newer version of the program made it.
            NotReady: it cannot be reached, read or written.
        """
        database = cls(_engine(where))
        try:
            await database._migrate()
        except BaseException:
            await database.close()
            raise
        return database

    @classmethod
    async def version(cls, where: str | Path) -> str:
        """The version of the tables of a database that is there; empty if it has none. Changes nothing.

        Raises:
            InvalidSetting: it is a URL of another kind of database, or the driver for it is missing.
            NotReady: it cannot be reached or read.
        """
        database = cls(_engine(where))
        try:
            return await database.read(_version)
        finally:
            await database.close()

    async def read(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Runs `work` in a transaction that sees one state of the database; again when it was locked.

        Raises:
            NotReady: the database cannot be used now.
        """
        return await _transact(self._engine, work)

    async def write(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Runs `work` in a transaction that takes the right to write first; again when it was locked.

        Raises:
            NotReady: the database cannot be used now; nothing was changed.
        """
        return await _transact(self._writing, work)

    async def close(self) -> None:
        """Closes all connections."""
        await self._engine.dispose()

    async def _migrate(self) -> None:
        version = await self.read(_version)
        if version == SCHEMA:
            return
        if version > SCHEMA:
            raise Conflict(
                f"the store has version {version} and this program knows versions up to {SCHEMA}:"
                " use the program that made it, or a newer one"
            )
        await self.write(_upgrade)


def migrations(connection: Connection) -> Config:
    """Alembic's configuration for the migrations of the store, to be run in the connection's transaction."""
    from alembic.config import Config  # noqa: PLC0415 - loads slowly and is needed for new stores only

    # What Alembic would say on standard output has no place there: a command may be about to print a key.
    config = Config(stdout=io.StringIO(), attributes={"connection": connection})
    location = str(Path(__file__).with_name("migrations"))
    config.set_main_option("script_location", location.replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


async def _version(connection: AsyncConnection) -> str:
    """The migration that the tables have; empty for a new database."""
    if not await connection.run_sync(lambda each: inspect(each).has_table("alembic_version")):
        return ""
    return str((await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar() or "")


async def _upgrade(connection: AsyncConnection) -> None:
    from alembic import command  # noqa: PLC0415 - loads slowly and is needed for new stores only

    if connection.dialect.name == "postgresql":
        await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
        path = str((await connection.execute(text("SELECT current_setting('search_path')"))).scalar())
        if NAME.fullmatch(path) and not await connection.run_sync(
            lambda each: inspect(each).has_schema(path)
        ):
            # As the address says; the name has nothing that would have to be quoted.
            await connection.execute(text(f"CREATE SCHEMA {path}"))
    await connection.run_sync(lambda each: command.upgrade(migrations(each), "head"))


async def _transact(engine: AsyncEngine, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
    attempts = 0
    while True:
        attempts += 1
        try:
            async with engine.begin() as connection:
                return await work(connection)
        except DBAPIError as error:
            if not _is_locked(error):
                raise NotReady(f"the store cannot be used now: {error.orig}") from error
            if attempts == LOCKED_ATTEMPTS_MAX:
                raise NotReady(
                    f"another program has held the store for more than {attempts * BUSY_TIMEOUT_S} s;"
                    " try again when it has ended"
                ) from error
        except PoolTimeout as error:
            raise NotReady(
                f"the store has had no connection free for {POOL_WAIT_S_MAX} s; try again later"
            ) from error
        except OSError as error:
            reason = error.strerror or str(error) or "no answer in time"
            raise NotReady(f"the store cannot be reached: {reason}") from error


def _engine(where: str | Path) -> AsyncEngine:
    if isinstance(where, str) and "://" in where:
        return _postgresql(where)
    return _sqlite(_file(Path(where)))


def _is_locked(error: DBAPIError) -> bool:
    code = getattr(error.orig, "sqlite_errorcode", None)
    return isinstance(code, int) and code & 0xFF in {_SQLITE_BUSY, _SQLITE_LOCKED}


def _file(path: Path) -> Path:
    return path if path.suffix == ".db" else path / STORE_FILE


def _sqlite(path: Path) -> AsyncEngine:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Only a file that was not there is opened and closed: closing one that SQLite has open in this
        # process would drop its locks (POSIX).
        with contextlib.suppress(FileExistsError):
            _refuse_orphan(path)
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        opened = path.stat()
        # A failure here is one exception; in the threads of aiosqlite it would outlive the event loop.
        sqlite3.connect(path).close()
    except OSError as error:
        raise NotReady(f"the store {path} cannot be made: {error.strerror or error}") from error
    except sqlite3.Error as error:
        raise NotReady(f"the store {path} cannot be opened: {error}") from error
    engine = create_async_engine(
        # One that was deleted must not be made again, empty, by the next connection.
        URL.create(
            "sqlite+aiosqlite", database=f"file:{quote(str(path))}", query={"mode": "rw", "uri": "true"}
        ),
        connect_args={"timeout": BUSY_TIMEOUT_S},
        hide_parameters=True,
        pool_size=CONNECTIONS_MAX,
        max_overflow=0,
        pool_timeout=POOL_WAIT_S_MAX,
    )

    def connected(dbapi_connection: Any, _record: object) -> None:  # noqa: ANN401 - as SQLAlchemy hands it
        if not os.path.samestat(path.stat(), opened):
            raise sqlite3.OperationalError(f"{path.name} is no longer the file that was opened")
        _configure(dbapi_connection)

    event.listen(engine.sync_engine, "connect", connected)
    event.listen(engine.sync_engine, "begin", _begin)
    return engine


def _refuse_orphan(path: Path) -> None:
    """SQLite would delete a journal that has no file to go with, and what it takes to undo half a change."""
    journal = path.with_name(f"{path.name}-journal")
    if not path.exists() and journal.exists() and journal.stat().st_size:
        raise NotReady(
            f"{journal} is there, but {path.name} is not beside it: put it back, or move {journal.name} out "
            "of the directory to start a new store"
        )


def _configure(dbapi_connection: Any) -> None:  # noqa: ANN401 - as SQLAlchemy hands it
    # Transactions begin as `_begin` says, not where Python's module thinks that one is due.
    dbapi_connection.isolation_level = None
    cursor = dbapi_connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(pragma)
    cursor.close()


def _begin(connection: Connection) -> None:
    """A writer takes its lock at once: one that has read before it may not wait for it, SQLite says."""
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _postgresql(where: str) -> AsyncEngine:
    if not where.startswith("postgresql://"):
        raise InvalidSetting(
            f"the store cannot be kept in {without_user(where)}: write postgresql://HOST/DATABASE"
        )
    asyncpg, address = driver("store"), parsed(where)
    settings = {"search_path": address.schema} if address.schema else {}

    async def connect() -> Any:  # noqa: ANN401 - the driver has no types
        try:
            # The driver reads the address itself: it knows what PostgreSQL's programs know (`sslmode`).
            return await asyncpg.connect(
                address.url,
                timeout=CONNECT_S_MAX,
                command_timeout=STATEMENT_S_MAX,
                server_settings=settings,
            )
        except (asyncpg.exceptions.ClientConfigurationError, ValueError):
            # Its message may quote the address.
            raise InvalidSetting(f"the driver does not understand {without_user(where)}") from None
        except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise NotReady(f"the store cannot be used now: {error}") from error

    return create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connect,
        hide_parameters=True,
        pool_size=CONNECTIONS_MAX,
        max_overflow=0,
        pool_timeout=POOL_WAIT_S_MAX,
        pool_pre_ping=True,
    )
