"""Keeps servers that have nothing to do with each other out of one store.

A server whose log is its own claims the store for itself; servers of one cluster share it. The claim is a
lock of a connection, so it ends with the server, however that ends. It guards against a mistake in settings:
nothing relies on it.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from ladestrom.backends.opening import Opening
from ladestrom.backends.postgres.address import parsed
from ladestrom.backends.postgres.link import Connection, Failed, Link, Unsent, connect
from ladestrom.errors import Conflict, LogFailure, NotReady
from ladestrom.quoting import without_user

KIND: Final = 0x6C73
"""Any number, but always the same one: of the locks that are claims."""
SETTINGS: Final = {"tcp_keepalives_idle": "10", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3"}
"""So that the claim of a machine that is gone ends within half a minute."""
_WHERE: Final = """
SELECT (SELECT system_identifier::text FROM pg_control_system()) || '/' || current_database() || '/'
    || coalesce(nullif($1, ''), current_schema(), '')
"""


class Claim:
    """What one server claims, until it is closed."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @classmethod
    async def of(cls, opening: Opening) -> Claim:
        """Claims a store.

        Raises:
            Conflict: another server uses it, and is not of the same cluster.
            NotReady: it cannot be reached.
        """
        address = parsed(opening.url)
        try:
            connection = await connect(address, SETTINGS)
        except Unsent as error:
            raise NotReady(f"the store cannot be used now: {error}") from error
        shared = "_shared" if opening.is_shared else ""
        schema = address.schema or await connection.fetchval("SELECT current_schema()")
        if not await connection.fetchval(
            f"SELECT pg_try_advisory_lock{shared}($1, hashtext($2))", KIND, schema or ""
        ):
            await connection.close()
            raise Conflict(
                f"another server uses the store in {without_user(opening.url)}: give each server a database "
                "or a schema of its own (`?schema=NAME`). After a crash of a machine, wait for half a minute"
            )
        return cls(connection)

    async def close(self) -> None:
        """Gives it up."""
        with suppress(OSError, TimeoutError):
            await self._connection.close(timeout=1)


async def identity(url: str) -> str:
    """Which database and schema it is: the same from wherever it is asked.

    Raises:
        LogFailure: it cannot be reached.
    """
    address = parsed(url)
    link = Link(address)
    try:
        return str(await link.run(lambda each: each.fetchval(_WHERE, address.schema)))
    except Failed as error:
        raise LogFailure(f"the store in {without_user(url)} cannot be asked which it is: {error}") from error
    finally:
        await link.close()
