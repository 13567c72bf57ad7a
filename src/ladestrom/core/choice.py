"""Which EVSEs a list shows: those that pass all filters at once, each by itself.

A selection has the filters that streams have too (`core.selection`); `core.features` has the others. Knows
the readers' view of a station, and nothing of requests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from ladestrom.core.features import ANYTHING, Features
from ladestrom.core.selection import EVERYTHING, Selection
from ladestrom.core.view import StationState, is_listed
from ladestrom.model import Evse, Millis, Station, StatusChanged

Sight = Callable[[Evse], bool]
"""Which EVSEs somebody may see."""


class Choice(msgspec.Struct, frozen=True):
    """Filters, judged at one instant."""

    selection: Selection = EVERYTHING
    features: Features = ANYTHING
    at: Millis = 0
    """Of the hours at which stations are open."""

    @property
    def by_evse(self) -> bool:
        """Whether it depends on more than the station."""
        wanted = self.selection
        return bool(wanted.status or wanted.operator) or self.features != ANYTHING

    def evses(
        self, station: Station, state: StationState, may_see: Sight | None = None
    ) -> Iterator[tuple[Evse, StatusChanged]]:
        """EVSEs of a station that is covered, in registry order, with the changes in force."""
        for evse in self.features.of(station, self.at):
            held = state.changes.get(evse.key)
            if (
                held is not None
                and is_listed(held.change)
                and self.selection.chooses(held.change)
                and self.selection.is_of(station, (held.change.source,))
                and (may_see is None or may_see(evse))
            ):
                yield evse, held

    def has(self, station: Station, state: StationState, may_see: Sight | None = None) -> bool:
        """Whether a station that is covered is listed: one of its EVSEs passes all filters, and may be seen.

        Where nothing is asked of EVSEs, it is listed without one that does, unless not all may be seen.
        """
        if self.by_evse or (self.selection.evse and may_see is not None):
            return next(self.evses(station, state, may_see), None) is not None
        return may_see is None or any(map(may_see, station.evses))
