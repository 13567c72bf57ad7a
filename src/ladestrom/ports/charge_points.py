"""Charge points that report for themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from ladestrom.model import Millis


class ChargePoint(msgspec.Struct, frozen=True):
    """A charge point that reports for itself: never its password, only the SHA-256 of that."""

    id: str
    """As it calls itself in the address it connects to."""
    operator: str
    station: str
    """Registry uuid."""
    evses: tuple[tuple[int, str], ...]
    """Its number for an EVSE, and the EVSE's key; empty is the station's own order, from 1."""
    secret_sha256: bytes
    added_at: Millis
    last_seen_at: Millis | None
    """When it was last connected, to the minute."""


class ChargePoints(Protocol):
    """The part of a store that keeps charge points; each write is a new revision of it."""

    async def charge_points(self) -> Sequence[ChargePoint]:
        """All of them, by id."""
        ...

    async def put_charge_point(self, point: ChargePoint) -> ChargePoint:
        """Adds it, and gives it back with its EVSEs, written in any form, by their keys.

        Raises:
            Conflict: its id is taken.
            NotFound: its operator or its station does not exist.
            BadRequest: an EVSE is not of its station.
        """
        ...

    async def rotate_charge_point(self, charge_point: str, secret_sha256: bytes) -> None:
        """Replaces its password; the old one ends at once.

        Raises:
            NotFound: no charge point has this id.
        """
        ...

    async def remove_charge_point(self, charge_point: str) -> None:
        """Raises:
        NotFound: no charge point has this id.
        """
        ...

    async def touch_charge_points(self, seen: dict[str, Millis]) -> None:
        """Notes when charge points were last connected; does not count as a new revision."""
        ...
