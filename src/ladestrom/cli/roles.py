"""`ladestrom roles`: what the processes of a server do."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from ladestrom.cli.flags import NO_FLAGS, SettingFlags
from ladestrom.config import load

ROLES: Final = {
    "writer": (
        "decides what is a change, writes the change log, asks and follows sources, and answers everything\n"
        "about keys and administration. There is one."
    ),
    "ingest": "takes what operators send, and hands it to the writer in the same process.",
    "reader": (
        "follows the change log and serves consumers: streams, REST, files, the map, the page. Any number\n"
        "can follow one log."
    ),
}


def roles(
    config: Path | None = None,
    *,
    settings: Annotated[SettingFlags, Parameter(name="*")] = NO_FLAGS,
) -> None:
    """Show which roles a server has, and how the settings divide them among processes.

    Args:
        config: Settings file (TOML). Default: the file that LADESTROM_CONFIG names.
        settings: Settings as options.
    """
    own = load(config, os.environ, settings).settings.server
    for name, what in ROLES.items():
        print(f"{name}  {what.replace(chr(10), chr(10) + ' ' * 8)}")
    readers = own.processes - 1
    divided = (
        f"one process writes and takes reports ({', '.join(own.roles)}), {readers} serve consumers (reader)"
        if readers
        else f"one process has all roles ({', '.join(own.roles)})"
    )
    print(f"\nserver.processes = {own.processes}: {divided}")
