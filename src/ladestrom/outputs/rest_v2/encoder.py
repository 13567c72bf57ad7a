"""Version 2's objects: EVSEs and stations as REST gives them."""

from __future__ import annotations

from collections.abc import Callable

from ladestrom.core.view import StationState, is_listed
from ladestrom.formats.evse_state import EvseState, evse_states
from ladestrom.formats.station_record import StationMembers, of_station
from ladestrom.formats.wire import Observed, instant
from ladestrom.model import Evse, Station


class StationDetail(StationMembers, frozen=True, gc=False, kw_only=True):
    """One station with its EVSEs in registry order; PLANNED and REMOVED ones are left out."""

    vanished_at: str | None
    evses: tuple[EvseState, ...]


def station_detail(
    station: Station,
    revision: int,
    state: StationState | None,
    observed: Observed,
    may_see: Callable[[Evse], bool] = lambda _: True,
) -> StationDetail:
    """One station's object, of this revision. Without a `state` no operator may report on it."""
    changes = {} if state is None else state.changes
    shown = []
    for evse in station.evses:
        held = changes.get(evse.key)
        if is_listed(None if held is None else held.change) and may_see(evse):
            shown.append((evse, held))
    return StationDetail(
        **of_station(station, revision),
        vanished_at=instant(station.vanished_at),
        evses=tuple(evse_states(station, shown, observed)),
    )
