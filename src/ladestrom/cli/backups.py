"""`ladestrom backup` and `ladestrom restore`: a copy of the data directory, and one made of a copy."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ladestrom.backends.table import log_of, store_of
from ladestrom.cli.where import NOT_GIVEN, ChosenDirectory, Where, say
from ladestrom.errors import BadRequest
from ladestrom.quoting import without_user

if TYPE_CHECKING:
    from ladestrom.backends.backup import Manifest

MIB: Final = 1024 * 1024


def backup(directory: Path, /, *, where: Where = NOT_GIVEN) -> None:
    """Copy the change log, the store and the quarantine of the data directory. The server can keep running.

    The copy is consistent and checked. It contains secrets, and only its owner can read it. The settings file
    and the certificates of sources are not part of it.

    Args:
        directory: Directory to create. It must not exist, or must be empty.
        where: Options of every command.
    """
    from ladestrom.backends.backup import make  # noqa: PLC0415 - loads slowly

    data = _directory(where)
    began_s = time.monotonic()
    manifest = make(data.path, directory)
    print(f"{directory}: {_shown(manifest)}, {time.monotonic() - began_s:.1f} s")


def restore(directory: Path, /, *, where: Where = NOT_GIVEN) -> None:
    """Create the data directory from a backup.

    The whole board is restored. The log gets a new epoch: consumers that resume receive a snapshot.

    Args:
        directory: The backup.
        where: Options of every command. The data directory must not exist, or must be empty.
    """
    from ladestrom.backends.backup import restore as restored  # noqa: PLC0415 - loads slowly

    data = _directory(where)
    began_s = time.monotonic()
    manifest, epoch = restored(directory, data.path)
    print(f"{data.path}: {_shown(manifest)}, {time.monotonic() - began_s:.1f} s")
    print(
        f"backup of {manifest.made_at}; the change log continues after {manifest.log.last} in the new epoch "
        f"{epoch}"
    )


def _directory(where: Where) -> ChosenDirectory:
    """The data directory, which has both files of a backup; says which it is.

    Raises:
        BadRequest: the log or the store is kept elsewhere.
    """
    settings = where.settings()
    log, store = log_of(settings.log.url), store_of(settings.store.url)
    if not log.file:
        raise BadRequest(f"log.url is {settings.log.url}: a log {log.keeps}. There is nothing to copy")
    if not store.file:
        raise BadRequest(
            f"store.url is {without_user(settings.store.url)}: `backup` and `restore` copy only files of the "
            "data directory. Stop the server, copy the data directory, and back up the database with its own "
            "programs (docs/operations.md)"
        )
    data = where.directory()
    say(f"data directory: {data}")
    return data


def _shown(manifest: Manifest) -> str:
    """What is in a backup."""
    tables = manifest.store.tables
    entries = manifest.log.last - manifest.log.first + 1
    return (
        f"position {manifest.position}, {manifest.log.evses:,} EVSEs, {entries:,} entries, "
        f"{tables['stations']:,} stations, {tables['operators']:,} operators, {tables['keys']:,} keys, "
        f"{manifest.unread:,} unreadable deliveries, {manifest.total_bytes / MIB:.1f} MiB"
    )
