"""Peers of OCPI, and what they have put."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from ladestrom.model import Millis


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """Who speaks OCPI with us. Never shown whole: it has their token."""

    id: str
    operator: str
    """For whom it reports."""
    state: str
    """`invited`: it has a token with which it may register. `calling`: we are registering with it.
    `registered`: both have each other's token. `fixed`: it has a token for good, and does not register.
    `reading`: it is none of these and only reads, with a key or as a visitor; such a one is not stored."""
    token_sha256: bytes
    """Of the token that it shows us."""
    made_at: Millis
    their_token: str | None = None
    """The token that we show it."""
    their_url: str | None = None
    """Where it says which versions it speaks."""
    version: str | None = None
    endpoints: tuple[tuple[str, str, str], ...] = ()
    """Module, role (empty in OCPI 2.1.1) and address of each."""
    roles: tuple[tuple[str, str, str], ...] = ()
    """Role, party (`NOABC`) and name of each."""
    registered_at: Millis | None = None


class Peers(Protocol):
    """Peers of OCPI, and what they have put here."""

    async def every(self) -> Sequence[Peer]:
        """All of them, the oldest first."""
        ...

    async def put(self, peer: Peer, *, instead_of: bytes | None = None) -> None:
        """Adds the peer or replaces it; with `instead_of`, only where that is still its token's SHA-256.

        Raises:
            NotFound: its operator does not exist.
            Conflict: its token is another by now.
        """
        ...

    async def drop(self, peer_id: str) -> None:
        """Forgets the peer.

        Raises:
            NotFound: no peer has this id.
        """
        ...

    async def location(self, operator: str, location_id: str) -> bytes | None:
        """A Location of an operator as it was stored, by `NO*ABC*LOC1`; None where there is none."""
        ...

    async def locations(
        self, operator: str, after: str = "", count_max: int = 1_000
    ) -> Sequence[tuple[str, bytes]]:
        """The next Locations of an operator and their ids, in the order of these, behind the id `after`."""
        ...

    async def some_locations(self, operator: str, location_ids: Sequence[str]) -> Mapping[str, bytes]:
        """Those of some Locations of an operator that there are, by their ids; at most 1,000."""
        ...

    async def stored_bytes(self, operator: str) -> int:
        """What all Locations of an operator take."""
        ...

    async def put_locations(self, documents: Mapping[tuple[str, str], bytes], now: Millis) -> None:
        """Stores Locations, by operator and id. Does not count as a new revision."""
        ...
