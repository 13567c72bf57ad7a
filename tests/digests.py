"""The digest of version 2 by its published definition, written again.

A mistake in the server's cannot repeat itself here.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterable

Said = tuple[str, str, int, str | None]
"""Name of an EVSE, status, error, changed_at."""


def term(name: str, status: str, error: int, changed_at: str | None) -> int:
    """What one EVSE adds."""
    plain = "".join(each for each in name.upper() if each not in "*-")
    c = binascii.crc32("|".join((plain, status, str(error), changed_at or "")).encode())
    c ^= c >> 16
    c = c * 0x85EBCA6B % 2**32
    c ^= c >> 13
    c = c * 0xC2B2AE35 % 2**32
    c ^= c >> 16
    return c


def digest(rows: Iterable[Said]) -> str:
    """What a state adds up to."""
    return f"{sum(term(*each) for each in rows) % 2**32:08x}"
