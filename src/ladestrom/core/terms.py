"""The terms of a station out of those of its EVSEs.

Knows which of them all EVSEs have. Must not know of any register.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ladestrom.record import Payment, Terms

NO_TERMS = Terms()


def split(every: Sequence[Terms]) -> tuple[Terms, tuple[Terms | None, ...]]:
    """What all of them say; and of each one, None where it says just that, else all that it says."""
    if not every:
        return NO_TERMS, ()
    first = every[0]
    if all(terms is first or terms == first for terms in every):
        return first, (None,) * len(every)
    shared = common(every)
    return shared, tuple(None if terms == shared else terms for terms in every)


def common(every: Sequence[Terms]) -> Terms:
    """What all of them say, member by member; of payment, way by way."""
    members = {name: _same([getattr(terms, name) for terms in every]) for name in Terms.__struct_fields__}
    payments = [terms.payment for terms in every if terms.payment is not None]
    if len(payments) == len(every):
        ways = {name: _same([getattr(one, name) for one in payments]) for name in Payment.__struct_fields__}
        members["payment"] = payment(**ways)
    return Terms(**{name: value for name, value in members.items() if value is not None})


def payment(**ways: bool | None) -> Payment | None:
    """What is known of the ways to pay; None where nothing is."""
    return None if all(known is None for known in ways.values()) else Payment(**ways)


def _same(values: list[Any]) -> Any:  # noqa: ANN401 - of any member
    return values[0] if all(value == values[0] for value in values) else None
