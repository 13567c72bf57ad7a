"""Statuses in the words of IRVE dynamique, for those who read back what they delivered.

Knows the schema's words. Must not know who asks.

Source: schema-irve-dynamique 2.3.1.
"""

from __future__ import annotations

from typing import Final

import msgspec

from ladestrom.core.view import is_listed
from ladestrom.formats.wire import instant
from ladestrom.model import Change, Evse, Millis, Status

WORDS: Final[dict[Status, tuple[str, str]]] = {
    Status.AVAILABLE: ("en_service", "libre"),
    Status.BLOCKED: ("en_service", "occupe"),
    Status.CHARGING: ("en_service", "occupe"),
    Status.RESERVED: ("en_service", "reserve"),
    Status.INOPERATIVE: ("hors_service", "inconnu"),
    Status.OUTOFORDER: ("hors_service", "inconnu"),
    Status.UNKNOWN: ("inconnu", "inconnu"),
}
"""`etat_pdc` and `occupation_pdc`; PLANNED and REMOVED are not listed."""
STATES: Final = frozenset({"en_service", "hors_service", "inconnu"})
OCCUPATIONS: Final = frozenset({"libre", "occupe", "reserve", "inconnu"})


class PointStatus(msgspec.Struct, frozen=True):
    """A point's status. Of its plugs nothing is kept."""

    id_pdc_itinerance: str
    etat_pdc: str
    occupation_pdc: str
    horodatage: str
    etat_prise_type_2: None = None
    etat_prise_type_combo_ccs: None = None
    etat_prise_type_chademo: None = None
    etat_prise_type_ef: None = None


def point_status(evse: Evse, change: Change | None, observed_at: Millis) -> PointStatus | None:
    """One EVSE's status; None where nobody ever reported on it, or it is not listed.

    `observed_at` is when it was last confirmed.
    """
    at = None if change is None else instant(max(change.observed_at, observed_at))
    if change is None or at is None or not is_listed(change):
        return None
    state, occupation = _said(change) or WORDS[change.status]
    return PointStatus(evse.key, state, occupation, at)


def _said(change: Change) -> tuple[str, str] | None:
    """The source's own words, where it spoke this language."""
    state, _, occupation = change.raw.partition("/")
    return (state, occupation) if state in STATES and occupation in OCCUPATIONS else None
