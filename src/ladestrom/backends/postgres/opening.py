"""Opens a log in PostgreSQL: to follow it, or to write it once the lease is had."""

from __future__ import annotations

import asyncio
import secrets
import socket
import time
from pathlib import Path
from typing import Final

from ladestrom.backends import table
from ladestrom.backends.encoded import new_epoch
from ladestrom.backends.holding import BEAT_S, Holding
from ladestrom.backends.opening import Opening
from ladestrom.backends.postgres.address import parsed
from ladestrom.backends.postgres.lease import PostgresLease
from ladestrom.backends.postgres.link import Connection, Failed, Link
from ladestrom.backends.postgres.reading import Place, PostgresReader, facts, proving, settings_of
from ladestrom.backends.postgres.statements import LOCK, Statements
from ladestrom.backends.postgres.writing import Keeping, PostgresLog
from ladestrom.core.tenure import Tenure
from ladestrom.errors import Conflict, LogFailure
from ladestrom.quoting import without_user

MAKE_S_MAX: Final = 30.0
"""To make the tables, while another server may be making them."""
NODE_FILE: Final = "node"
"""In the data directory: which node of a cluster has it."""


async def open_log(opening: Opening) -> PostgresLog:
    """The log, to be written by this process; its tables are made where they are missing.

    Raises:
        InvalidSetting: the driver is missing, or the server does not give the durability that is asked for.
        Conflict: another server writes it.
        LogFailure: it cannot be reached or written, or is of a newer version.
    """
    log = await open_writable(opening)
    try:
        holding = Holding(lease_of(log, opening), tenure(opening))
        log.left = holding.close
        await wait_for(holding, log, opening)
        await log.take(holding.term, await _store(opening))
        holding.keep()
    except BaseException:
        await log.close()
        raise
    return log


async def open_reader(opening: Opening) -> PostgresReader:
    """The log, to be followed.

    Raises:
        InvalidSetting: the driver is missing.
        LogFailure: there is none, it cannot be reached, or is of a newer version.
    """
    place = await _place(opening, make=False)
    reader = PostgresReader(place)
    await reader.begin()
    return reader


async def open_writable(opening: Opening) -> PostgresLog:
    """The log, to be followed until `take` makes this process its writer; made where it is missing."""
    log = PostgresLog(
        await _place(opening, make=True),
        Keeping(opening.retention_days, opening.retention_mib),
        f"{_node(opening.folder)}:{secrets.token_hex(4)}",
    )
    try:
        await log.begin()
    except BaseException:
        await log.close()
        raise
    return log


def lease_of(log: PostgresReader, opening: Opening) -> PostgresLease:
    """The record of who writes a log, by a connection of its own: the log's may wait for the log."""
    return PostgresLease(Link(parsed(opening.url)), log.statements)


def tenure(opening: Opening) -> Tenure:
    """What this process knows of the lease: nothing yet."""
    return Tenure(_node(opening.folder), secrets.token_hex(8), opening.url_own, opening.lease_s)


async def wait_for(holding: Holding, log: PostgresLog, opening: Opening) -> None:
    """Waits until the lease is ours.

    Raises:
        Conflict: somebody else keeps it.
    """
    first = None
    while not await holding.attempt(time.monotonic(), log.term):
        seen = holding.seen
        first = first or seen
        if (seen.run, seen.beat) != (first.run, first.beat):
            raise Conflict(
                f"another server writes the log in {without_user(opening.url)} ({seen.holder}): stop it; "
                "or give each server a database or a schema of its own (`?schema=NAME` in the address)"
            )
        await asyncio.sleep(BEAT_S / 4)


async def _place(opening: Opening, *, make: bool) -> Place:
    address = parsed(opening.url)
    name = without_user(opening.url)
    reads = Link(address)
    try:
        if make:
            schema = await reads.run(lambda each: _made(each, address.schema), MAKE_S_MAX)
        else:
            schema = await reads.run(lambda each: _found(each, address.schema))
    except BaseException as error:
        await reads.close()
        if isinstance(error, Failed):
            raise LogFailure(f"the log in {name} cannot be used: {error}") from error
        raise
    notices = address if not opening.notify_url else parsed(opening.notify_url)
    return Place(
        link=Link(address, settings_of(opening.durability), proving(opening.durability)),
        reads=reads,
        notices=Link(notices),
        statements=Statements(schema),
        durability=opening.durability,
        name=name,
    )


async def _found(connection: Connection, schema: str) -> str:
    named = schema or (await facts(connection)).schema or ""
    if not await connection.fetchval(Statements(named).exists):
        raise LogFailure(f"there is no log in the schema {named}: start a server that writes it first")
    return named


async def _made(connection: Connection, schema: str) -> str:
    """The schema of the log, with its tables."""
    named = schema or (await facts(connection)).schema or ""
    if not named:
        raise LogFailure(
            "the database has no schema in the user's search path: add `?schema=NAME` to the address"
        )
    statements = Statements(named)
    if await connection.fetchval(statements.exists):
        return named
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
        if not await connection.fetchval(
            "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)", named
        ):
            await connection.execute(statements.make_schema)
        if not await connection.fetchval(statements.exists):
            await connection.execute(statements.make)
            await connection.execute(statements.make_meta, new_epoch())
    return named


async def _store(opening: Opening) -> str:
    """Identity of the store whose stations are in the log; empty where that is not said."""
    if not opening.store:
        return ""
    there = Opening(url=opening.store, folder=opening.folder)
    return await table.identity(there) or f"file:{_node(opening.folder)}"


def _node(folder: Path) -> str:
    """Who has this data directory: the same after a restart."""
    path = folder / NODE_FILE
    if not path.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_text(secrets.token_hex(8) + "\n", encoding="ascii")
    return f"{socket.gethostname()}:{path.read_text(encoding='ascii').strip()}"
