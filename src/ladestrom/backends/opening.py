"""Where a log or a store is kept, and how: what each backend is opened with."""

from __future__ import annotations

from pathlib import Path

import msgspec

from ladestrom.backends.data_directory import DataDirectory
from ladestrom.quoting import without_user


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """An address, and what a backend needs to know beside it. Never shown whole: it may have a password."""

    url: str
    """What the setting says, such as `sqlite:`; it may have a password in it."""
    folder: Path
    """The data directory."""
    held: DataDirectory | None = None
    """The same, if this process has it for itself; None for a command beside a server."""
    durability: str = "full"
    retention_days: float = 7
    retention_mib: float = 4096
    notify_url: str = ""
    """Where notifications of a log come from; empty if from `url`."""
    lease_s: float = 5
    """How long a writer that says nothing is waited for."""
    is_shared: bool = False
    """Of a store: whether several servers of one cluster use it."""
    store: str = ""
    """Of a log: the address of the store whose stations are in it."""
    url_own: str = ""
    """Where this process takes submissions, for the others of its cluster."""

    def __repr__(self) -> str:
        return f"Opening({without_user(self.url)!r})"
