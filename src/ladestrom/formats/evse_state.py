"""An EVSE as REST and files give it: what it is, its status, since when, and when that was last confirmed.

Must not know of any output.
"""

from __future__ import annotations

from collections.abc import Sequence

from ladestrom.formats.station_record import EvseMembers, connectors, of_evse
from ladestrom.formats.wire import Observed, instant
from ladestrom.model import Connector, Evse, Station, Status, StatusChanged


class EvseState(EvseMembers, frozen=True, gc=False):
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


def evse_state(evse: Evse, station: Station, held: StatusChanged | None, observed: Observed) -> EvseState:
    """One EVSE's object; UNKNOWN where nobody reported on it."""
    return evse_states(station, [(evse, held)], observed)[0]


def evse_states(
    station: Station, shown: Sequence[tuple[Evse, StatusChanged | None]], observed: Observed
) -> list[EvseState]:
    """Some of a station's EVSEs, with the changes in force."""
    if not shown:
        return []
    keys = (evse.key for evse in station.evses)
    plugs = dict(zip(keys, connectors(station), strict=True))
    return [_evse_state(evse, station.uuid, plugs[evse.key], held, observed) for evse, held in shown]


def _evse_state(
    evse: Evse, uuid: str, plugs: Sequence[Connector], held: StatusChanged | None, observed: Observed
) -> EvseState:
    change = None if held is None else held.change
    return EvseState(
        **of_evse(evse),
        evse=evse.name,
        station=uuid,
        status=Status.UNKNOWN if change is None else change.status,
        error=0 if change is None else int(change.error),
        changed_at=None if change is None else instant(change.changed_at),
        source="" if change is None else change.source,
        raw="" if change is None else change.raw,
        connectors=tuple(plugs),
        cause=None if change is None else change.cause.value,
        uid=evse.uid,
        observed_at=None if held is None else instant(observed(held.seq, held.change)),
    )
