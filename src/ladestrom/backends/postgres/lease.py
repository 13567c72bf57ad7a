"""The record of who writes a log in PostgreSQL: a row, changed by one statement that compares it first."""

from __future__ import annotations

from ladestrom.backends.postgres.link import Failed, Link, fetching
from ladestrom.backends.postgres.statements import Statements
from ladestrom.errors import LogFailure
from ladestrom.ports.lease import Held

ANSWER_S_MAX = 2.0
"""Less than a lease."""


class PostgresLease:
    """Implements `ports.Lease`."""

    def __init__(self, link: Link, statements: Statements) -> None:
        self._link = link
        self._sql = statements

    async def read(self) -> Held:
        try:
            found = await self._link.run(lambda each: each.fetchrow(self._sql.lease), ANSWER_S_MAX)
        except Failed as error:
            raise LogFailure(f"the record of who writes the log cannot be read: {error}") from error
        if found is None:
            raise LogFailure("the record of who writes the log is gone")
        return Held(**dict(found))

    async def swap(self, expected: Held, wanted: Held) -> bool:
        values = (
            *(expected.term, expected.beat),
            *(wanted.holder, wanted.run, wanted.url, wanted.term, wanted.beat),
            expected.run,
        )
        try:
            return bool(await self._link.run(fetching(self._sql.swap, *values), ANSWER_S_MAX))
        except Failed as error:
            raise LogFailure(f"the record of who writes the log cannot be written: {error}") from error

    async def close(self) -> None:
        await self._link.close()
