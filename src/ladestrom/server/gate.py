"""How many connections each IP address may have."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ladestrom.core.shares import Held
from ladestrom.credentials import ClientAddresses
from ladestrom.errors import (
    TooManyRequests,
)


class Gate:
    """Lets each IP address have so many connections at once, whatever becomes of them."""

    def __init__(self, addresses: ClientAddresses, per_address_max: int) -> None:
        self._addresses = addresses
        self._per_address_max = per_address_max
        self._held = Held()

    def enter(self, peer: str) -> Callable[[], None] | None:
        """Takes a place; what is returned gives it back. None where the address has no share of its own.

        Raises:
            TooManyRequests: the address has its share.
        """
        address = self._addresses.sharer(peer)
        if not address:
            return None
        if self._held[address] >= self._per_address_max:
            raise TooManyRequests(
                f"this IP address: {self._per_address_max} connections at a time; close some of them"
            )
        self._held.take(address)
        return partial(self._held.give_back, address)
