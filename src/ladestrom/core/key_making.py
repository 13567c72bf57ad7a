"""Keys that people make themselves: what they have to say, what they get, and how often one address may.

Knows the rules. Must not know how a request comes, where records are kept, or what time it is.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Collection
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

import msgspec

from ladestrom.core.access import Scope, create_key
from ladestrom.errors import BadRequest
from ladestrom.model import Millis
from ladestrom.ports import KeyRecord

EMAIL_CHARACTERS_MAX: Final = 254
"""The longest path of RFC 5321, section 4.5.3.1.3, without its brackets."""
PURPOSE_CHARACTERS_MAX: Final = 500
"""A paragraph."""
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
ADDRESSES_MAX: Final = 10_000
"""Addresses that are remembered; the one that asked longest ago is forgotten first. Some 4 MiB."""
IPV6_NETWORK_BITS: Final = 64
"""One subscriber has at least that much (RFC 6177, section 2)."""
FORWARDED_MAX: Final = 50
"""Addresses of one `X-Forwarded-For` that are looked at, from its end."""
EMAIL_FORM: Final = r"[^@\s,;<>\"]+@[^@\s,;<>\"]+"
"""One address, and nothing by which it could become several where it is written into a mail's header."""

_EMAIL: Final = re.compile(EMAIL_FORM)


class Asked(msgspec.Struct, frozen=True):
    """What somebody says who wants a key, checked."""

    name: str
    email: str | None
    purpose: str | None


def asked(name: str, email: str | None, purpose: str | None) -> Asked:
    """What somebody says who wants a key; empty is the same as left out. Errors quote nothing of it.

    Raises:
        BadRequest: says which of them cannot be so, and why. The name is checked when the key is made.
    """
    mail = (email or "").strip()
    if mail and (
        len(mail) > EMAIL_CHARACTERS_MAX or not mail.isprintable() or _EMAIL.fullmatch(mail) is None
    ):
        raise BadRequest(
            f"email is no address of at most {EMAIL_CHARACTERS_MAX} characters; write it as name@example.org"
        )
    what_for = " ".join((purpose or "").split())
    if len(what_for) > PURPOSE_CHARACTERS_MAX or not what_for.isprintable():
        raise BadRequest(f"purpose has at most {PURPOSE_CHARACTERS_MAX} printable characters")
    return Asked(name, mail or None, what_for or None)


def self_made(
    secret_bytes: bytes, id_bytes: bytes, wanted: Asked, now: Millis, *, days: int, approved: bool
) -> tuple[str, KeyRecord]:
    """A key for somebody who asked for one: its text and its record. It reads, and nothing else.

    Raises:
        BadRequest: the name cannot be so.
    """
    text, record = create_key(
        secret_bytes,
        id_bytes,
        name=wanted.name,
        scopes=[Scope.STREAM],
        operator=None,
        created_at=now,
        expires_at=now + days * DAY_MS,
    )
    return text, msgspec.structs.replace(
        record,
        email=wanted.email,
        purpose=wanted.purpose,
        self_made=True,
        approved_at=now if approved else None,
    )


def successor(
    secret_bytes: bytes, id_bytes: bytes, old: KeyRecord, now: Millis, expires_at: Millis | None
) -> tuple[str, KeyRecord]:
    """A second key with the same rights, of the same holder: its text and its record."""
    text, record = create_key(
        secret_bytes,
        id_bytes,
        name=old.name,
        scopes=old.scopes,
        operator=old.operator,
        created_at=now,
        expires_at=expires_at,
    )
    return text, msgspec.structs.replace(
        record,
        email=old.email,
        purpose=old.purpose,
        self_made=old.self_made,
        approved_at=old.approved_at,
    )


class AddressRate:
    """How often each address asked within the last hour. Bounded: see `ADDRESSES_MAX`."""

    def __init__(self, per_hour_max: int) -> None:
        self._per_hour_max = per_hour_max
        self._asked: OrderedDict[str, list[Millis]] = OrderedDict()

    def __len__(self) -> int:
        """Addresses remembered."""
        return len(self._asked)

    def admit(self, address: str, now: Millis) -> int:
        """0 where the address may, and it counts then; else the seconds until it may again."""
        network = network_of(address)
        recent = self._asked[network] = [at for at in self._asked.pop(network, ()) if now - at < HOUR_MS]
        if len(recent) >= self._per_hour_max:
            return (recent[0] + HOUR_MS - now) // 1000 + 1
        recent.append(now)
        while len(self._asked) > ADDRESSES_MAX:
            self._asked.popitem(last=False)
        return 0


def network_of(address: str) -> str:
    """What counts as one address: of IPv6 the network of a subscriber."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if not isinstance(found, IPv6Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ip_network((int(found), IPV6_NETWORK_BITS), strict=False))


def asking_address(peer: str, forwarded: str, proxies: Collection[str]) -> str:
    """Where a request came from.

    Args:
        peer: the other end of the connection.
        forwarded: what `X-Forwarded-For` says: each proxy adds the address it was asked from at the end.
        proxies: those that are believed; of what others wrote nothing is.
    """
    if peer not in proxies:
        return peer
    for written in reversed(forwarded.split(",")[-FORWARDED_MAX:]):
        try:
            address = str(ip_address(written.strip()))
        except ValueError:
            return peer
        if address not in proxies:
            return address
        peer = address
    return peer
