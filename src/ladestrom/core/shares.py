"""Shares in what many use: whom a request counts for, and how much of it one key or one address may take.

Pure. What has a limit for all also has one for each key and each address, so that only whoever asks for more
than its share is refused. Visitors have no key; their shares are apart from those of keys at their address.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final, Generic, TypeVar

import msgspec

from ladestrom.core.access import VISITOR
from ladestrom.errors import Overloaded, TooManyRequests
from ladestrom.model import Millis

IPV6_NETWORK_BITS: Final = 64
"""One subscriber has at least that much (RFC 6177, section 2)."""
HOUR_MS: Final = 3_600_000
FORWARDED_MAX: Final = 50
"""Addresses of one `X-Forwarded-For` that are looked at, from its end."""

T = TypeVar("T", bound=Hashable)


class Asker(msgspec.Struct, frozen=True):
    """Whom a request counts for."""

    key_id: str
    address: str = ""
    """As `network_of` gives it; empty where none is counted."""

    @property
    def is_visitor(self) -> bool:
        """Whether it came without a key."""
        return self.key_id == VISITOR.key_id


class Held(Counter[str]):
    """How many each holder has. Holders that have none are not remembered."""

    def take(self, holder: str) -> None:
        """One more."""
        self[holder] += 1

    def give_back(self, holder: str) -> None:
        """One less."""
        if self[holder] > 1:
            self[holder] -= 1
        else:
            del self[holder]


class Allowance:
    """How much each holder uses up in an hour. What it used is forgiven evenly, as time passes."""

    def __init__(self, per_hour_max: int) -> None:
        self.per_hour_max = per_hour_max
        self._used: dict[str, tuple[float, Millis]] = {}
        """Of those that have used something: how much is not forgiven yet, and when that was so."""

    def __len__(self) -> int:
        """Holders of which something is remembered."""
        return len(self._used)

    def spend(self, holder: str, count: int, now: Millis) -> None:
        """It has used so much, be it more than it may. `now` is of a clock that nobody sets."""
        if count:
            self._used[holder] = (self._left(holder, now) + count, now)

    def wait_s(self, holder: str, now: Millis) -> int:
        """Seconds until it may use something again; 0 where it may now."""
        left = self._left(holder, now)
        if not left:
            self._used.pop(holder, None)
        over = left - self.per_hour_max
        return 0 if over < 0 else int(over / self.per_hour_max * HOUR_MS / 1000) + 1

    def _left(self, holder: str, now: Millis) -> float:
        used, at = self._used.get(holder, (0.0, now))
        return max(0.0, used - (now - at) / HOUR_MS * self.per_hour_max)


class PlaceLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How many places there are, and how many of them one holder may have."""

    total_max: int
    per_key_max: int
    per_address_max: int
    """Of all keys together that are used at one address."""
    visitors_max: int
    """Of all visitors together."""
    visitors_per_address_max: int


class Places:
    """Places that requests take and give back, such as connections."""

    def __init__(self, name: str, limits: PlaceLimits) -> None:
        """Args:
        name: of several of them, in messages: `connections`.
        limits: how many there may be.
        """
        self.limits = limits
        self.by_key = Held()
        """Visitors are one key."""
        self.taken = 0
        self._name = name
        self._by_address = Held()

    def check(self, asker: Asker) -> None:
        """Whether one more may be taken.

        Raises:
            TooManyRequests: its key, its address, or the visitors have their share.
            Overloaded: all places are taken.
        """
        limits, name = self.limits, self._name
        if asker.is_visitor:
            key, key_max, address_max = "all visitors", limits.visitors_max, limits.visitors_per_address_max
        else:
            key, key_max, address_max = "this key", limits.per_key_max, limits.per_address_max
        if self.by_key[asker.key_id] >= key_max:
            raise TooManyRequests(f"{key}: {key_max} {name} at a time; close some, or try again later")
        if asker.address and self._by_address[_place(asker)] >= address_max:
            raise TooManyRequests(
                f"this IP address: {address_max} {name} at a time; close some, or try again later"
            )
        if self.taken >= limits.total_max:
            raise Overloaded(f"{limits.total_max} {name} are in use; try again later")

    def take(self, asker: Asker) -> None:
        """Takes one."""
        self.taken += 1
        self.by_key.take(asker.key_id)
        self._by_address.take(_place(asker))

    def give_back(self, asker: Asker) -> None:
        """Gives one back."""
        self.taken -= 1
        self.by_key.give_back(asker.key_id)
        self._by_address.give_back(_place(asker))


def _place(asker: Asker) -> str:
    return f"visitors at {asker.address}" if asker.is_visitor else asker.address


class Kinds(Generic[T]):
    """Which different things each key and each address uses. One that is used twice counts once."""

    def __init__(self, name: str, each_max: int) -> None:
        """Args:
        name: of several of them, in messages: `different selections`.
        each_max: how many one key may use, and how many one address.
        """
        self.each_max = each_max
        self._name = name
        self._used: dict[str, Counter[T]] = {}

    def __len__(self) -> int:
        """Holders that use something."""
        return len(self._used)

    def check(self, asker: Asker, thing: T, instead: T | None = None) -> None:
        """Whether it may use this one too, or in place of another.

        Raises:
            TooManyRequests: its key, or its address, uses as many others as it may.
        """
        for holder, told in _holders(asker):
            used = self._used.get(holder) or Counter()
            others = len(used) - (instead is not None and used[instead] == 1)
            if thing not in used and others >= self.each_max:
                raise TooManyRequests(
                    f"{told}: {self.each_max} {self._name} at a time; use one of them, or close connections"
                )

    def take(self, asker: Asker, thing: T) -> None:
        """It uses this one, once more."""
        for holder, _ in _holders(asker):
            self._used.setdefault(holder, Counter())[thing] += 1

    def give_back(self, asker: Asker, thing: T) -> None:
        """It uses this one once less."""
        for holder, _ in _holders(asker):
            used = self._used[holder]
            if used[thing] > 1:
                used[thing] -= 1
                continue
            del used[thing]
            if not used:
                del self._used[holder]


def _holders(asker: Asker) -> list[tuple[str, str]]:
    """By whose shares it is bounded, and what they are called. Visitors do not share one."""
    holders = [] if asker.is_visitor else [(f"key {asker.key_id}", "this key")]
    return [*holders, (_place(asker), "this IP address")] if asker.address else holders


def network_of(address: str) -> str:
    """What counts as one address: of IPv6 the network of a subscriber."""
    found = _parsed(address)
    if isinstance(found, IPv6Address):
        return str(ip_network((int(found), IPV6_NETWORK_BITS), strict=False))
    return address if found is None else str(found)


def is_loopback(address: str) -> bool:
    """Whether this is the machine itself."""
    found = _parsed(address.partition("/")[0])
    return found is not None and found.is_loopback


def asking_address(peer: str, forwarded: str, proxies: Collection[str]) -> str:
    """Where a request came from.

    Args:
        peer: the other end of the connection.
        forwarded: what `X-Forwarded-For` says: each proxy adds the address it was asked from at the end.
        proxies: those that are believed; nothing that others wrote is.
    """
    found = _parsed(peer)
    if found is None:
        return peer
    trusted = {_parsed(proxy) for proxy in proxies}
    written = reversed(forwarded.split(",")[-FORWARDED_MAX:])
    while found in trusted:
        before = _parsed(next(written, ""))
        if before is None:
            break
        found = before
    return str(found)


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    """An address as sockets and proxies write it: in brackets, with a port, an IPv4 address within IPv6."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ip_address(text)
    except ValueError:
        return None
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        return found.ipv4_mapped
    return found
