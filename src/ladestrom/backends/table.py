"""Which backend keeps the log and the store, by the scheme of its address. A backend is a row here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeVar

import msgspec

from ladestrom.backends.data_directory import LOG_FILE, DataDirectory
from ladestrom.backends.database import STORE_FILE
from ladestrom.backends.memory import MemoryLog
from ladestrom.backends.sql import open_store
from ladestrom.backends.sqlite import Durability, SqliteLog
from ladestrom.errors import InvalidSetting
from ladestrom.ports.log import Log
from ladestrom.ports.stores import Stores
from ladestrom.quoting import quoted

T = TypeVar("T")

ENTRIES_PER_MIB: Final = 2_000
"""Of a log in memory: an entry takes some 290 bytes beside texts of its own."""


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """Where something is kept, and how."""

    url: str
    directory: DataDirectory
    """Ours alone."""
    durability: str = Durability.FULL
    retention_days: float = 7
    retention_mib: float = 4096


async def _sqlite_log(place: Opening) -> Log:
    return await SqliteLog.open(
        place.directory.path / LOG_FILE,
        durability=Durability(place.durability),
        retention_days=place.retention_days,
        retention_mib=place.retention_mib,
        directory=place.directory,
    )


async def _memory_log(place: Opening) -> Log:
    return MemoryLog(retention_entries_max=int(place.retention_mib * ENTRIES_PER_MIB))


async def _sqlite_store(place: Opening) -> Stores:
    store = await open_store(place.directory.path / STORE_FILE)
    place.directory.keep(STORE_FILE)
    return store


async def _postgresql_store(place: Opening) -> Stores:
    return await open_store(place.url)


class LogBackend(msgspec.Struct, frozen=True, kw_only=True):
    """What keeps a log, and what it promises beyond the port: its contract suite goes by that."""

    open: Callable[[Opening], Awaitable[Log]]
    outlives: bool
    """Whether the log is there again after its process has ended."""
    durabilities: tuple[Durability, ...] = (Durability.FULL,)
    """Those that differ there."""


LOGS: Final[Mapping[str, LogBackend]] = {
    "sqlite": LogBackend(open=_sqlite_log, outlives=True, durabilities=(Durability.FULL, Durability.RELAXED)),
    "memory": LogBackend(open=_memory_log, outlives=False),
}
STORES: Final[Mapping[str, Callable[[Opening], Awaitable[Stores]]]] = {
    "sqlite": _sqlite_store,
    "postgresql": _postgresql_store,
}


async def open_log(place: Opening) -> Log:
    """Opens a log, made where it is missing.

    Raises:
        InvalidSetting: no backend has this scheme.
        LogFailure: it is no log of this version, is damaged, or cannot be written.
    """
    return await _of(LOGS, place.url).open(place)


async def open_stores(place: Opening) -> Stores:
    """Opens a store, made and migrated where it has to be.

    Raises:
        InvalidSetting: no backend has this scheme, or its driver is missing.
        Conflict: a newer version of the program made it.
        NotReady: it cannot be reached, read or written.
    """
    return await _of(STORES, place.url)(place)


def _of(table: Mapping[str, T], url: str) -> T:
    scheme = url.partition(":")[0]
    if scheme not in table:
        raise InvalidSetting(f"{quoted(url, 60)} is of no kind known here; use one of {', '.join(table)}")
    return table[scheme]
