"""Which process may write a log that several can reach: one record, changed by comparing it first."""

from __future__ import annotations

from typing import Protocol

import msgspec


class Held(msgspec.Struct, frozen=True):
    """What the record says."""

    holder: str = ""
    """The node that writes; empty where it was released, or nobody ever held it."""
    run: str = ""
    """Of the process: a node that starts again has another one."""
    url: str = ""
    """Where the holder takes submissions."""
    term: int = 0
    """Grows with every holder. Blocks of an earlier term are refused."""
    beat: int = 0
    """Grows with every write of the record."""


class Lease(Protocol):
    """The record. It is safe that two believe to hold it: the log takes blocks of the last term only."""

    async def read(self) -> Held:
        """What the record says now.

        Raises:
            LogFailure: it cannot be read now.
        """
        ...

    async def swap(self, expected: Held, wanted: Held) -> bool:
        """Writes `wanted` if the record says `expected`; says whether it did.

        Raises:
            LogFailure: it is not known whether it was written, or it was not.
        """
        ...

    async def close(self) -> None:
        """Releases the connection. Whoever holds the lease still does."""
        ...
