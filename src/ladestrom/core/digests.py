"""The digest by which a consumer of version 2 proves that its state is the server's.

Knows the definition alone, which server and client share. The state of each selected EVSE is hashed to 32
bits, and the digest is the sum of all hashes modulo 2^32: a change costs one subtraction and one addition.

CRC-32 is linear: the same transition of two EVSEs changes both checksums by the same pattern of bits, so that
an XOR of checksums does not show that a consumer missed both. Therefore each checksum goes through a mixer
that is not linear, the 32-bit finalizer of MurmurHash3 (Austin Appleby, public domain), before it is added.
"""

from __future__ import annotations

import zlib
from typing import Final

from ladestrom.model import WIRE_SEPARATORS

WORD: Final = 0xFFFF_FFFF
"""Keeps a number within 32 bits."""


def wire_key(name: str) -> str:
    """The form in which consumers compare names of EVSEs: upper case, without `*` and `-`."""
    return name.upper().translate(WIRE_SEPARATORS)


def term(name: str, status: str, error: int, changed_at: str | None) -> int:
    """What the state of one EVSE adds to the digest: its name and state as told on the wire, hashed."""
    return mixed(zlib.crc32(f"{wire_key(name)}|{status}|{error}|{changed_at or ''}".encode()))


def record_term(uuid: str, revision: int) -> int:
    """What a station's record adds to the digest of records."""
    return mixed(zlib.crc32(f"{uuid}|{revision}".encode()))


def mixed(checksum: int) -> int:
    """The 32-bit finalizer of MurmurHash3: each bit of the checksum changes each bit of the result."""
    checksum = ((checksum ^ (checksum >> 16)) * 0x85EB_CA6B) & WORD
    checksum = ((checksum ^ (checksum >> 13)) * 0xC2B2_AE35) & WORD
    return checksum ^ (checksum >> 16)


def written(digest: int) -> str:
    """The digest as it is told: eight hexadecimal digits."""
    return f"{digest & WORD:08x}"
