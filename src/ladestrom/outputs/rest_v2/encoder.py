"""Version 2's objects: EVSEs and stations as REST gives them."""

from __future__ import annotations

from collections.abc import Callable

from ladestrom.core.view import StationState, is_listed
from ladestrom.formats.station_record import EvseMembers, StationMembers, of_evse, of_station
from ladestrom.formats.wire import Observed, instant
from ladestrom.model import Connector, Evse, Station, Status, StatusChanged


class EvseState(EvseMembers, frozen=True, gc=False, kw_only=True):
    """One EVSE: its status, since when, and when that was last confirmed."""

    evse: str
    """Its name on the wire, unique on the board (`model.Evse.name`)."""
    station: str
    status: Status
    error: int
    changed_at: str | None
    """None while nothing was ever reported."""
    source: str
    """The operator that reported it."""
    raw: str
    """What the source said, word for word."""
    connectors: tuple[Connector, ...]
    cause: str | None
    uid: str | None
    observed_at: str | None
    """When that was last known to hold. Only this member is another one while the position stays."""


class StationDetail(StationMembers, frozen=True, gc=False, kw_only=True):
    """One station with its EVSEs in registry order; PLANNED and REMOVED ones are left out."""

    vanished_at: str | None
    evses: tuple[EvseState, ...]


def evse_state(evse: Evse, station: Station, held: StatusChanged | None, observed: Observed) -> EvseState:
    """One EVSE's object; UNKNOWN where nobody reported on it."""
    index = station.evses.index(evse)
    change = None if held is None else held.change
    return EvseState(
        **of_evse(evse),
        evse=evse.name,
        station=station.uuid,
        status=Status.UNKNOWN if change is None else change.status,
        error=0 if change is None else int(change.error),
        changed_at=None if change is None else instant(change.changed_at),
        source="" if change is None else change.source,
        raw="" if change is None else change.raw,
        connectors=tuple(outlet.connector for outlet in station.outlets if outlet.evse == index),
        cause=None if change is None else change.cause.value,
        uid=evse.uid,
        observed_at=None if held is None else instant(observed(held.seq, held.change)),
    )


def station_detail(
    station: Station,
    revision: int,
    state: StationState | None,
    observed: Observed,
    may_see: Callable[[Evse], bool] = lambda _: True,
) -> StationDetail:
    """One station's object, of this revision. Without a `state` no operator may report on it."""
    changes = {} if state is None else state.changes
    evses = []
    for evse in station.evses:
        held = changes.get(evse.key)
        if is_listed(None if held is None else held.change) and may_see(evse):
            evses.append(evse_state(evse, station, held, observed))
    return StationDetail(
        **of_station(station, revision), vanished_at=instant(station.vanished_at), evses=tuple(evses)
    )
