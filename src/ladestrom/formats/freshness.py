"""How fresh a source is, as `/api/v2/operators` and the command line show it.

Knows words and numbers. Must not know where they are counted.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

SHARE_DIGITS: Final = 4
FRESHNESS_FILE: Final = "freshness.json"
"""In the data directory: what a server noted of operators, for commands."""


class DelayHistogram(msgspec.Struct, frozen=True):
    """Changes by how long it took from when they were observed to when they were received."""

    bounds_s: tuple[int, ...]
    """Upper bounds; what is above the last one has a place of its own."""
    counts: tuple[int, ...]
    """One more than bounds, none of them cumulated."""
    sum_s: float


class SourceFreshness(msgspec.Struct, frozen=True, kw_only=True):
    """One source since the server started."""

    source: str
    protocol: str
    kind: Literal["push", "pull", "follow"]
    state: Literal["paused", "resting", "lost", "failing", "new", "silent", "fresh"]
    last_delivery_at: str | None
    last_heard_at: str | None
    deliveries: int
    reports: int
    changes: int
    change_share: float | None
    """Of the reports, those that became changes; None while there are none."""
    refused: dict[str, int]
    unmapped: int
    """Items whose status word the protocol does not have; their EVSEs became UNKNOWN."""
    unreadable: int
    failures: dict[str, int]
    error: str | None
    """Code of the last error, where the last attempt or delivery failed."""
    error_at: str | None
    failing_since: str | None
    """None where it does not fail."""
    outages: int
    """How often it began to fail."""
    delay: DelayHistogram
    late: int
    late_share: float | None
    """Of the changes whose time is known; None while there are none."""
    poll_s: int | None
    next_at: str | None
    failures_in_row: int
    breaker: Literal["closed", "open", "half_open"]
    certificate_expires_at: str | None
    own_certificate_expires_at: str | None


def share(part: int, whole: int) -> float | None:
    """A part of a whole; None where there is no whole."""
    return round(part / whole, SHARE_DIGITS) if whole else None


class RefusedItem(msgspec.Struct, frozen=True, gc=False):
    """One item that an operator was refused."""

    operator: str
    protocol: str
    at: str
    """ISO 8601."""
    index: int
    """Place in its delivery, from 0."""
    item: str | None
    """The EVSE as it was written; None where the item named none that could be read."""
    reason: str
    detail: str


class RefusedItems(msgspec.Struct, frozen=True):
    """The last items that were refused, the newest first."""

    items: list[RefusedItem]
