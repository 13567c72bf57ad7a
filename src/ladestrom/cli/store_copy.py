"""`ladestrom store copy`: the store of a data directory, into the one that the settings name."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from cyclopts import App

from ladestrom.backends.data_directory import STORE_FILE
from ladestrom.cli.where import NOT_GIVEN, Where, say
from ladestrom.errors import NotFound

app: Final = App(name="store", help="Copy the store.")


@app.command(name="copy")
def copy_store(source: Path, /, *, where: Where = NOT_GIVEN) -> None:
    """Copy the store of a data directory into the store that the settings name, which must be empty.

    Use it to move to PostgreSQL: set `store.url`, then copy the store of your data directory. Stop the server
    first. Stations, operators, keys, sources, charge points and OCPI peers are copied; the data directory
    stays as it is.

    Args:
        source: Data directory that has the store.
        where: Options of every command.
    """
    from ladestrom.backends.copying import copy_file  # noqa: PLC0415 - loads slowly

    place = where.store()
    if not (source / STORE_FILE).exists():
        raise NotFound(f"there is no store in {source}: name a data directory that has {STORE_FILE}")
    copied = asyncio.run(copy_file(source / STORE_FILE, place.opening))
    told = ", ".join(f"{count} {table.replace('_', ' ')}" for table, count in copied.items() if count)
    say(f"copied to {place}: {told}")
