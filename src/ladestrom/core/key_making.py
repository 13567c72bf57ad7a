"""Keys that people make themselves: what they have to say, what they get, and how often one address may.

Knows the rules. Must not know how a request comes, where records are kept, or what time it is.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from typing import Final

import msgspec

from ladestrom.core.access import Scope, create_key
from ladestrom.core.shares import network_of
from ladestrom.errors import BadRequest
from ladestrom.model import Millis
from ladestrom.ports.keys import KeyRecord

EMAIL_CHARACTERS_MAX: Final = 254
"""The longest path of RFC 5321, section 4.5.3.1.3, without its brackets."""
PURPOSE_CHARACTERS_MAX: Final = 500
"""A paragraph."""
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
ADDRESSES_MAX: Final = 10_000
"""Addresses that are remembered; the one that asked longest ago is forgotten first. Some 4 MiB."""
EMAIL_FORM: Final = r'[^@\s,;<>"]+@[^@\s,;<>"]+'
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
            f"email is not an address of at most {EMAIL_CHARACTERS_MAX} characters; write name@example.org"
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
    """How often each address asked within the last hour, and day. Bounded: see `ADDRESSES_MAX`."""

    def __init__(self, per_hour_max: int, per_day_max: int) -> None:
        self._per_hour_max = per_hour_max
        self._per_day_max = max(per_day_max, per_hour_max)
        self._asked: OrderedDict[str, list[Millis]] = OrderedDict()

    def __len__(self) -> int:
        """Addresses remembered."""
        return len(self._asked)

    def admit(self, address: str, now: Millis) -> int:
        """0 where the address may, and it counts then; else the seconds until it may again."""
        network = network_of(address)
        kept = self._asked[network] = [at for at in self._asked.pop(network, ()) if now - at < DAY_MS]
        wait_ms = 0
        for most, span_ms in ((self._per_hour_max, HOUR_MS), (self._per_day_max, DAY_MS)):
            recent = [at for at in kept if now - at < span_ms]
            if len(recent) >= most:
                wait_ms = max(wait_ms, recent[-most] + span_ms - now)
        if wait_ms:
            return wait_ms // 1000 + 1
        kept.append(now)
        while len(self._asked) > ADDRESSES_MAX:
            self._asked.popitem(last=False)
        return 0
