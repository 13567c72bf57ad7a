"""One connection to PostgreSQL, made when it is needed and anew when it broke; and what an error means.

Knows which failures leave it open whether a statement took effect. Must not know statements.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

from ladestrom.backends.postgres.address import CONNECT_S_MAX, Address, driver
from ladestrom.errors import InvalidSetting
from ladestrom.quoting import without_user

ANSWER_S_MAX: Final = 5.0
"""For one statement that writes a group, or reads some. A synchronous standby in another city takes 0.1 s."""
CLOSE_S_MAX: Final = 2.0

Connection = Any
"""The driver has no types."""
T = TypeVar("T")


class Failed(Exception):
    """Something could not be done. Whoever asked for it knows what that means, and says so."""


class Unsent(Failed):
    """There is no connection: what was to be done was not."""


class Refused(Failed):
    """PostgreSQL said that it did not do it."""


class Unknown(Failed):
    """It may have been done, or may be done yet."""


class Link:
    """One connection. Its users take turns."""

    def __init__(
        self,
        address: Address,
        settings: dict[str, str] | None = None,
        prepare: Callable[[Connection], Awaitable[None]] | None = None,
    ) -> None:
        """Connects with the first piece of work.

        Args:
            address: of the database.
            settings: of the session.
            prepare: is done first with every connection; what it raises is told to who needed the connection.
        """
        self._address = address
        self._settings = settings
        self._prepare = prepare
        self._connection: Connection | None = None
        self._turn = asyncio.Lock()

    async def run(self, work: Callable[[Connection], Awaitable[T]], seconds_max: float = ANSWER_S_MAX) -> T:
        """Does a piece of work with the connection.

        Raises:
            Unsent: there is no connection; nothing was done.
            Refused: the database said no; nothing was done.
            Unknown: the answer was lost, or did not come in time.
        """
        async with self._turn:
            connection = await self._connected()
            asyncpg = driver("log")
            try:
                async with asyncio.timeout(seconds_max):
                    return await work(connection)
            except asyncpg.PostgresError as error:
                if _is_certain(error):
                    if _is_elsewhere(error):
                        self._drop()
                    raise Refused(f"{error}") from error
                self._drop()
                raise Unknown(f"the connection was ended ({error})") from error
            except TimeoutError as error:
                self._drop()
                raise Unknown(f"no answer within {seconds_max:g} s") from error
            except (asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
                self._drop()
                raise Unknown(f"the connection was lost ({error})") from error
            except asyncio.CancelledError:
                # What it was doing goes on there, and its answer would be taken for that of the next.
                self._drop()
                raise

    async def connection(self) -> Connection:
        """The connection itself, for who only listens on it.

        Raises:
            Unsent: there is none.
        """
        async with self._turn:
            return await self._connected()

    async def _connected(self) -> Connection:
        if self._connection is not None and not self._connection.is_closed():
            return self._connection
        self._drop()
        connection = await connect(self._address, self._settings)
        try:
            if self._prepare is not None:
                await self._prepare(connection)
        except BaseException as error:
            connection.terminate()
            asyncpg = driver("log")
            if isinstance(error, (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)):
                raise Unsent(f"{error}") from error
            raise
        self._connection = connection
        return connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def close(self) -> None:
        """Ends the connection."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        asyncpg = driver("log")
        try:
            with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
                await connection.close(timeout=CLOSE_S_MAX)
        finally:
            connection.terminate()


def fetching(statement: str, *values: object) -> Callable[[Connection], Awaitable[Sequence[Any]]]:
    """The piece of work that runs a statement and gives its rows."""

    async def fetch(connection: Connection) -> Sequence[Any]:
        rows: Sequence[Any] = await connection.fetch(statement, *values)
        return rows

    return fetch


async def connect(address: Address, settings: dict[str, str] | None = None) -> Connection:
    """A new connection.

    Raises:
        InvalidSetting: the address cannot be understood, or the driver is missing.
        Unsent: the database cannot be reached, or does not let us in.
    """
    asyncpg = driver("log")
    try:
        return await asyncpg.connect(address.url, timeout=CONNECT_S_MAX, server_settings=settings or {})
    except (asyncpg.exceptions.ClientConfigurationError, ValueError):
        # Its message may quote the address.
        raise InvalidSetting(f"the driver does not understand {without_user(address.url)}") from None
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise Unsent(f"{error}") from error
    except (OSError, TimeoutError) as error:
        reason = getattr(error, "strerror", None) or str(error) or "no answer in time"
        raise Unsent(f"it cannot be reached: {reason}") from error


def _is_certain(error: Any) -> bool:  # noqa: ANN401 - as above
    """Whether an error of the server means that the statement was undone."""
    code = error.sqlstate or ""
    # 08: the connection failed; 57P0x: the server ended it, perhaps between the commit and the answer.
    return bool(code) and not code.startswith(("08", "57P"))


def _is_elsewhere(error: Any) -> bool:  # noqa: ANN401 - as above
    """Whether the server does not write any more, so that another one has to be looked for."""
    return error.sqlstate in {"25006", "57P03"}
