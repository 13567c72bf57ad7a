"""Where a command finds its settings, its data directory and its server: one way for all commands.

Settings come from defaults, then the file, then the environment, then flags, as the server has them. A
server that runs notes its addresses in its data directory, so that commands know a port given by a flag.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import msgspec
from cyclopts import Group, Parameter

from ladestrom.backends.opening import Opening
from ladestrom.backends.table import store_of
from ladestrom.cli.program import typed
from ladestrom.config import Loaded, SettingOrigin, Settings, load, special
from ladestrom.config.address import ADDRESS_FILE, Addresses, addresses
from ladestrom.quoting import without_user

_GROUP: Final = Group(
    "Configuration",
    help="Options override LADESTROM_... variables, which override the settings file.",
    sort_key=10,
)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Where:
    """The options that every command has."""

    config: Annotated[
        Path | None,
        Parameter(group=_GROUP, help="Settings file (TOML). Default: the file that LADESTROM_CONFIG names."),
    ] = None
    data: Annotated[
        Path | None,
        Parameter(
            group=_GROUP,
            help="Data directory. Default: LADESTROM_DATA, else `server.data` in the settings file, "
            "else ladestrom-data in the current directory.",
        ),
    ] = None

    def load(self, flags: Mapping[str, object] | None = None) -> Loaded:
        """The settings, and where each came from.

        Raises:
            InvalidSetting: something is wrong with the file, the environment or the flags.
        """
        return load(self.config, os.environ, {"server.data": self.data, **(flags or {})})

    def settings(self) -> Settings:
        """The settings alone.

        Raises:
            InvalidSetting: as `load`.
        """
        return self.load().settings

    def directory(self) -> ChosenDirectory:
        """The data directory.

        Raises:
            InvalidSetting: as `load`.
        """
        loaded = self.load()
        return ChosenDirectory(Path(loaded.settings.server.data), loaded.origins["server.data"])

    def store(self) -> ChosenStore:
        """Where the store is.

        Raises:
            InvalidSetting: as `load`.
        """
        loaded = self.load()
        url, data = loaded.settings.store.url, Path(loaded.settings.server.data)
        key = "server.data" if store_of(url).file else "store.url"
        return ChosenStore(Opening(url=url, folder=data), loaded.origins[key])

    def addresses(self) -> tuple[Addresses, bool]:
        """Where the server is reached, and whether one that runs said so itself.

        Raises:
            InvalidSetting: as `load`.
        """
        server = self.settings().server
        noted = _noted(Path(server.data))
        return (addresses(server), False) if noted is None else (noted, True)

    def remote(self, server: str | None, key: str | None) -> tuple[str, str | None]:
        """Address and key of the server that a command speaks to.

        The options, else LADESTROM_URL and LADESTROM_KEY (or LADESTROM_KEY_FILE), else the server of the
        data directory, without a key.

        Raises:
            InvalidSetting: as `load`, or the key's file cannot be read.
        """
        found, _ = self.addresses()
        return (
            server or special(os.environ, "LADESTROM_URL") or found.local,
            key or special(os.environ, "LADESTROM_KEY"),
        )


NOT_GIVEN: Final = Where()


class ChosenDirectory(msgspec.Struct, frozen=True):
    """A data directory, and what chose it."""

    path: Path
    origin: SettingOrigin

    def __str__(self) -> str:
        """As messages name it: `/srv/status (from LADESTROM_DATA)`."""
        return f"{self.path.absolute()} ({_chosen_by(self.origin)})"


class ChosenStore(msgspec.Struct, frozen=True):
    """A store, and what chose it."""

    opening: Opening
    origin: SettingOrigin
    """Of the data directory, if the store is a file there."""

    @property
    def is_file(self) -> bool:
        """Whether it is a file in the data directory."""
        return bool(store_of(self.opening.url).file)

    def __str__(self) -> str:
        """As messages name it: the data directory or, without the password, the address."""
        if self.is_file:
            return str(ChosenDirectory(self.opening.folder, self.origin))
        return f"{without_user(self.opening.url)} ({_chosen_by(self.origin)})"


def say(text: str) -> None:
    """Writes a line for people on standard error; standard output is for results."""
    sys.stderr.write(f"{typed(text)}\n")


def _chosen_by(origin: SettingOrigin) -> str:
    return "the default" if origin.kind == "default" else f"from {origin.where}"


def _noted(data: Path) -> Addresses | None:
    """What a running server noted; None where there is nothing that can be read."""
    try:
        return msgspec.json.decode((data / ADDRESS_FILE).read_bytes(), type=Addresses)
    except (OSError, msgspec.MsgspecError):
        return None
