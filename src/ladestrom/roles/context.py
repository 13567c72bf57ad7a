"""What all roles of one process share."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import msgspec

from ladestrom.config import SETTINGS, Loaded, SettingOrigin, Settings, value_of
from ladestrom.core.access import Keyring
from ladestrom.credentials import ClientAddresses, Doorkeeper
from ladestrom.model import Millis, Operator
from ladestrom.roles.rights import Rights
from ladestrom.writer.reconciliation import REGISTER

NO_ORIGINS: Final[Mapping[str, SettingOrigin]] = MappingProxyType({})


def clock() -> Millis:
    """Now, in milliseconds since the Unix epoch."""
    return time.time_ns() // 1_000_000


class Reconfigured(msgspec.Struct, frozen=True):
    """What became of settings that were read again, by their names."""

    changed: tuple[str, ...]
    need_restart: tuple[str, ...]


class Context:
    """Settings in force, who may do what, and who knocks."""

    def __init__(self, settings: Settings, origins: Mapping[str, SettingOrigin], *, demo: bool) -> None:
        self.settings = settings
        """Those that are taken while it runs replace these."""
        self.origins = origins
        """Where each setting came from."""
        self.demo = demo
        self.data: Final = Path(settings.server.data)
        self.started_at: Final = clock()
        self.operators: Mapping[str, Operator] = {}
        self.door = Doorkeeper(Keyring([], []), clock, visitors=settings.page.visitors == "anyone")
        self.addresses = ClientAddresses(settings.keys.proxies)

    def reconfigure(self, loaded: Loaded) -> Reconfigured:
        """Takes the settings that can change while it runs; says which did, and which need a restart."""
        before, after = self.settings, loaded.settings
        differ = [row for row in SETTINGS if value_of(before, row) != value_of(after, row)]
        taken = {row.key: value_of(after, row) for row in differ if row.live}
        settings = before
        for key, value in taken.items():
            section, name = key.split(".")
            changed = msgspec.structs.replace(getattr(settings, section), **{name: value})
            settings = msgspec.structs.replace(settings, **{section: changed})
        self.settings = settings
        self.origins = {**self.origins, **{key: loaded.origins[key] for key in taken}}
        self.addresses.trust(settings.keys.proxies)
        return Reconfigured(tuple(taken), tuple(row.key for row in differ if not row.live))

    def follow(self, rights: Rights) -> None:
        """Goes by these from now on."""
        self.operators = rights.operators
        self.door.keyring = rights.keyring

    def operator(self, name: str) -> Operator | None:
        """An operator as the store has it now."""
        return self.operators.get(name)

    def present(self, operator: Operator) -> Operator:
        """An operator with the rights that the store gives it now; the register's statuses are our own."""
        if operator is REGISTER:
            return operator
        return self.operators.get(operator.name) or Operator(operator.name)
