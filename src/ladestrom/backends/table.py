"""Which backend keeps the log and the store, by the scheme of its address. A backend is a row here.

Knows how addresses are written, and what each backend promises beyond its port. Loads a backend only when it
is opened, as every command checks the settings by this table.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal, TypeVar

import msgspec

from ladestrom.backends.data_directory import LOG_FILE, STORE_FILE
from ladestrom.backends.opening import Opening
from ladestrom.errors import Conflict
from ladestrom.ports.log import Followed, Log
from ladestrom.ports.stores import Stores
from ladestrom.quoting import without_user
from ladestrom.targets import load

Durability = Literal["full", "relaxed"]


class Backend(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a backend before it is loaded."""

    open: str
    """`module:attribute` of what opens an `Opening`."""
    address: str
    """How its address is written, for people."""
    keeps: str
    """Where it keeps what it is given, for people: `memory: (in memory ...)`."""
    rest: str = ""
    """Regular expression of what follows the scheme and its colon."""
    file: str = ""
    """Its file in the data directory; empty if it has none there."""
    driver: str = ""
    """Python package that it needs and ladestrom does not depend on."""


class LogBackend(Backend, frozen=True, kw_only=True):
    """What keeps a log. The contract suite of logs goes by what it promises."""

    durabilities: tuple[Durability, ...] = ()
    """Settings of `log.durability` that it honours; empty if the log ends with its process."""
    reader: str = ""
    """`module:attribute` of what opens an `Opening` to follow it while another process writes it; empty if it
    cannot be."""

    has_lease: bool = False
    """Whether servers on several machines can want to write it, of which one does."""
    repair: str = ""
    """`module:attribute` of what repairs one that is damaged; empty if there is no such thing."""

    @property
    def outlives(self) -> bool:
        """Whether the log is there again after its process has ended."""
        return bool(self.durabilities)


class StoreBackend(Backend, frozen=True, kw_only=True):
    """What keeps a store. The contract suite of stores goes by what it promises."""

    version: str = ""
    """`module:attribute` of what says which version is kept at an `Opening`, and creates nothing; empty if it
    has a file, which says it."""
    identity: str = ""
    """`module:attribute` of what tells one store from another, from everywhere; empty if it has a file."""


POSTGRESQL: Final = "postgresql://USER@HOST/DATABASE"
POSTGRESQL_REST: Final = r"//[^\s/]*/[^\s/?@]+(\?\S*)?"

LOGS: Final[Mapping[str, LogBackend]] = {
    "sqlite": LogBackend(
        open="ladestrom.backends.sqlite:open_log",
        reader="ladestrom.backends.sqlite_followed:open_reader",
        address="sqlite:",
        keeps="in the data directory",
        file=LOG_FILE,
        durabilities=("full", "relaxed"),
    ),
    "memory": LogBackend(
        open="ladestrom.backends.memory:open_log",
        address="memory:",
        keeps="in memory, for trials: the log is lost when the server stops",
    ),
    "postgresql": LogBackend(
        open="ladestrom.backends.postgres.opening:open_log",
        reader="ladestrom.backends.postgres.opening:open_reader",
        has_lease=True,
        repair="ladestrom.backends.postgres.repair:begin_epoch",
        address=POSTGRESQL,
        rest=POSTGRESQL_REST,
        keeps="in that database",
        durabilities=("full", "relaxed"),
        driver="asyncpg",
    ),
}
STORES: Final[Mapping[str, StoreBackend]] = {
    "sqlite": StoreBackend(
        open="ladestrom.backends.stores:open_sqlite",
        address="sqlite:",
        keeps="in the data directory",
        file=STORE_FILE,
    ),
    "postgresql": StoreBackend(
        open="ladestrom.backends.stores:open_postgresql",
        version="ladestrom.backends.stores:version_of_postgresql",
        identity="ladestrom.backends.stores:identity_of_postgresql",
        address=POSTGRESQL,
        rest=POSTGRESQL_REST,
        keeps="in that database",
        driver="asyncpg",
    ),
}

B = TypeVar("B", bound=Backend)


def log_of(url: str) -> LogBackend:
    """The row of an address that the settings accept."""
    return _of(LOGS, url)


def store_of(url: str) -> StoreBackend:
    """The row of an address that the settings accept."""
    return _of(STORES, url)


async def open_log(opening: Opening) -> Log:
    """Opens a log, made where it is missing.

    Raises:
        LogFailure: it is no log of this version, is damaged, or cannot be written.
    """
    log: Log = await load(log_of(opening.url).open)(opening)
    return log


async def open_reader(opening: Opening) -> Followed:
    """Opens a log that another process writes, to follow it.

    Raises:
        Conflict: a log of this kind cannot be followed by another process.
        LogFailure: there is none, it is of another version, or it cannot be read.
    """
    row = log_of(opening.url)
    if not row.reader:
        raise Conflict(f"a log {row.keeps} cannot be followed by another process")
    log: Followed = await load(row.reader)(opening)
    return log


async def open_stores(opening: Opening) -> Stores:
    """Opens a store, made and migrated where it has to be.

    Raises:
        InvalidSetting: its driver is missing.
        Conflict: a newer version of the program made it.
        NotReady: it cannot be reached, read or written.
    """
    stores: Stores = await load(store_of(opening.url).open)(opening)
    return stores


async def identity(opening: Opening) -> str:
    """What tells one store from another, on every machine of a cluster; empty for one of this machine alone.

    Raises:
        InvalidSetting: its driver is missing.
        LogFailure: it cannot be reached.
    """
    row = store_of(opening.url)
    return str(await load(row.identity)(opening)) if row.identity else ""


async def exists(opening: Opening) -> bool:
    """Whether there is a store. Creates nothing.

    Raises:
        InvalidSetting: its driver is missing.
        NotReady: it cannot be reached or read.
    """
    row = store_of(opening.url)
    return (opening.folder / row.file).exists() if row.file else bool(await load(row.version)(opening))


def shown(backend: Backend, opening: Opening) -> str:
    """Where a backend keeps what it is given, without a password."""
    return str(opening.folder / backend.file) if backend.file else without_user(opening.url)


def pattern(table: Mapping[str, Backend]) -> str:
    """Regular expression of the addresses that a table knows."""
    return f"^({'|'.join(re.escape(scheme) + ':' + row.rest for scheme, row in table.items())})$"


def accepted(table: Mapping[str, Backend]) -> str:
    """The addresses that a table knows, in words."""
    return " or ".join(f"`{row.address}` ({row.keeps})" for row in table.values())


def _of(table: Mapping[str, B], url: str) -> B:
    return table[url.partition(":")[0]]
