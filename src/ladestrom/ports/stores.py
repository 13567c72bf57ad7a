"""All that is kept beside the log: registry, operators, keys, and what the other modules say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import msgspec

from ladestrom.model import Millis, Operator
from ladestrom.ports.charge_points import ChargePoints
from ladestrom.ports.keys import KeyRecord
from ladestrom.ports.peers import Peers
from ladestrom.ports.registry import (
    ImportReport,
    RecordRefusal,
    RegistryDelta,
    RegistrySums,
    StationDraft,
    Tell,
)
from ladestrom.ports.sources import Sources


class OperatorUse(msgspec.Struct, frozen=True):
    """What cannot be without an operator, by id or name."""

    keys: tuple[str, ...] = ()
    """Those that are live, or wait to be approved."""
    sources: tuple[str, ...] = ()
    charge_points: tuple[str, ...] = ()
    peers: tuple[str, ...] = ()

    def __str__(self) -> str:
        """In words: `2 keys (a, b), 1 source (c)`; empty where nothing needs it."""
        kinds = (
            ("key", self.keys),
            ("source", self.sources),
            ("charge point", self.charge_points),
            ("OCPI peer", self.peers),
        )
        return ", ".join(
            f"{len(ids)} {kind}{'' if len(ids) == 1 else 's'} ({', '.join(ids)})"
            for kind, ids in kinds
            if ids
        )


class Store(Protocol):
    """Registry, operators and keys. Written by the command line while the server runs too.

    `revision` grows with every write, so that a server learns of it by asking for one number.
    """

    async def revision(self) -> int: ...

    async def registry_since(self, revision: int) -> RegistryDelta:
        """Stations and readings written after `revision` (0: all)."""
        ...

    async def registry_sums(self) -> RegistrySums:
        """What all stations add up to."""
        ...

    async def import_stations(
        self,
        register: str,
        records: Iterable[StationDraft | RecordRefusal],
        now: Millis,
        *,
        complete: bool,
        force_vanish: bool = False,
        dry_run: bool = False,
        tell: Tell | None = None,
    ) -> ImportReport:
        """Adds and updates stations of one register, in one transaction.

        With `complete`, stations of that register which `records` lacks are marked as vanished.
        With `dry_run`, everything is checked and told, and nothing is changed.
        A draft whose EVSE keys belong to another station is refused, the others are not.
        `tell` hears of every refusal, note and station: what reading the register brings while it is read,
        all else after the transaction.

        Raises:
            Conflict: with `complete`, more than half of the register's stations, and more than 100, would
                vanish, and `force_vanish` is not set; nothing was changed.
        """
        ...

    async def operators(self) -> Sequence[Operator]: ...

    async def put_operator(self, operator: Operator, now: Millis) -> bool:
        """Adds the operator or replaces it; True where it was added."""
        ...

    async def remove_operator(self, name: str, now: Millis, *, force: bool = False) -> OperatorUse:
        """Forgets an operator, and with `force` all that needs it; says what that was.

        Keys that have ended, and Locations that it put, go with it in any case.

        Raises:
            NotFound: no operator has this name.
            Conflict: something needs it, and `force` is not set; nothing was changed.
        """
        ...

    async def keys(self) -> Sequence[KeyRecord]: ...

    async def put_key(self, key: KeyRecord, *, self_made_max: int | None = None) -> None:
        """Adds the key.

        With `self_made_max`, no more live or waiting keys that their holders made are taken than that; of
        those that ended, the oldest are forgotten.

        Raises:
            Conflict: its id is taken.
            NotFound: its operator does not exist.
            TooManyRequests: there are `self_made_max` already.
        """
        ...

    async def approve_key(self, key_id: str, now: Millis) -> None:
        """Makes a key good that waits for that; one that does not wait stays as it is.

        Raises:
            NotFound: no key has this id.
            Conflict: it was revoked or has expired.
        """
        ...

    async def revoke_key(self, key_id: str, now: Millis) -> None:
        """Raises:
        NotFound: no key has this id.
        """
        ...

    async def erase_key(self, key_id: str) -> None:
        """Deletes the key and what it says of its holder; it ends with that.

        Raises:
            NotFound: no key has this id.
        """
        ...

    async def expire_key(self, key_id: str, expires_at: Millis) -> None:
        """Brings the key's expiry forward (rotation); never later than it was.

        Raises:
            NotFound: no key has this id.
        """
        ...

    async def touch_keys(self, used: dict[str, Millis]) -> None:
        """Notes when keys were last used; does not count as a new revision."""
        ...

    async def close(self) -> None: ...


class Stores(Store, ChargePoints, Sources, Protocol):
    """All that the server keeps beside the log."""

    @property
    def peers(self) -> Peers:
        """Peers of OCPI."""
        ...
