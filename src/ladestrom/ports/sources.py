"""Sources that are asked or followed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from ladestrom.model import Millis


class SourceRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A source that we ask or follow, as the store keeps it. Never shown whole: it has a secret."""

    name: str
    operator: str
    """Whose statuses it brings."""
    protocol: str
    address: str
    options: dict[str, str] = msgspec.field(default_factory=dict)
    """What the protocol needs beside, and how it is reached (`ca`)."""
    secret: str | None = None
    certificate: str | None = None
    """File of the certificate that we show, PEM."""
    certificate_key: str | None = None
    """File of its key, where that is another."""
    poll_s: int | None = None
    """None is the protocol's own."""
    max_age_s: int | None = None
    """An observation that is older is taken as UNKNOWN; None is as its operator has it."""
    by_receipt: bool | None = None
    """Whether its words count from when they were received; None is as its operator has it."""
    paused_at: Millis | None = None
    memory: dict[str, str] = msgspec.field(default_factory=dict)
    """What the last round found out (`protocols.interfaces.Memory`)."""
    added_at: Millis
    changed_at: Millis

    def __repr__(self) -> str:
        return f"SourceRecord({self.name!r})"


class Sources(Protocol):
    """The part of a store that keeps sources; each write but `remember_source` is a new revision of it."""

    async def sources(self) -> Sequence[SourceRecord]:
        """All of them, by name."""
        ...

    async def put_source(self, source: SourceRecord) -> bool:
        """Adds the source or replaces it; True where it was added.

        One that is replaced keeps its memory where what is asked is still the same.

        Raises:
            NotFound: its operator does not exist.
        """
        ...

    async def pause_source(self, name: str, paused_at: Millis | None, now: Millis) -> None:
        """Stops it, or lets it go on (None); it begins anew then, without its memory.

        Raises:
            NotFound: no source has this name.
        """
        ...

    async def remove_source(self, name: str) -> None:
        """Raises:
        NotFound: no source has this name.
        """
        ...

    async def remember_source(self, name: str, memory: dict[str, str], changed_at: Millis) -> bool:
        """Keeps its memory, unless it was changed since `changed_at`; says whether it did."""
        ...
