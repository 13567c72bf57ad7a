"""Addresses of PostgreSQL: what of them is ours, and what is the driver's.

`?schema=NAME` says in which schema the tables are, so that several servers can use one database; the rest of
the address is read by the driver, which knows what PostgreSQL's programs know (`sslmode`, `host`, ...).
"""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec

from ladestrom.errors import InvalidSetting
from ladestrom.quoting import quoted, without_user

SCHEMA: Final = "schema"
"""Name in the query."""
NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,39}")
"""Of schemas. Short enough that a channel's name has it in it."""
CONNECT_S_MAX: Final = 10
"""To connect, name lookup and TLS included."""


class Address(msgspec.Struct, frozen=True):
    """An address, taken apart. Never shown whole: it may have a password."""

    url: str
    """For the driver."""
    schema: str = ""
    """Empty where the address names none: the first one of the user's search path is used then."""

    def __repr__(self) -> str:
        return f"Address({without_user(self.url)!r})"


def parsed(url: str) -> Address:
    """Takes an address apart.

    Raises:
        InvalidSetting: the schema has another name than schemas may have here.
    """
    parts = urlsplit(url)
    query = parse_qsl(parts.query, keep_blank_values=True)
    schema = next((value for name, value in query if name == SCHEMA), "")
    if not any(name == SCHEMA for name, _ in query):
        return Address(url)
    if not NAME.fullmatch(schema):
        raise InvalidSetting(
            f"{quoted(schema)} is no name of a schema: use at most 40 lower-case letters, digits and _"
        )
    rest = urlencode([(name, value) for name, value in query if name != SCHEMA])
    return Address(urlunsplit(parts._replace(query=rest)), schema)


def driver(what: str) -> Any:  # noqa: ANN401 - the driver has no types
    """The package asyncpg, which only those install who keep something in PostgreSQL.

    Raises:
        InvalidSetting: it is not installed.
    """
    try:
        import asyncpg  # noqa: PLC0415 - see above
    except ModuleNotFoundError as error:
        raise InvalidSetting(
            f"a {what} on PostgreSQL needs the package asyncpg, which is not installed: "
            "`python -m pip install asyncpg`, with the Python that runs ladestrom"
        ) from error
    return asyncpg
