"""The NOBIL stream's messages and REST bodies.

Source: NOBIL real-time stream API (2013 to 2017), message and data model; `epoch` and `seq` are added
members that its consumers ignore. Knows states and stations, not consumers.
"""

from __future__ import annotations

from collections.abc import Iterable

from ladestrom.core.rules import UNKNOWN_PAIR, Inoperative, Pairs, nobil_pairs, station_status
from ladestrom.core.view import StationState, View
from ladestrom.model import NEVER, Cause, Change, Evse, Millis, Station, Status

BODY = "nobil"


class NobilFormat:
    """Encodes for version 1; one object per server, as INOPERATIVE reads as the setting says."""

    def __init__(self, inoperative: Inoperative = Inoperative.ERROR) -> None:
        self._pairs: Pairs = nobil_pairs(inoperative)

    def connectors(
        self, state: StationState, station: Station, leaving: str | None = None
    ) -> list[tuple[Evse, int, int, Millis]]:
        """Listed connectors in registry order: EVSE, status, error, timestamp.

        An EVSE that was just removed (`leaving`) is shown as unknown in that one update.
        """
        rows: list[tuple[Evse, int, int, Millis]] = []
        evses = station.evses
        changes = state.changes
        for outlet in station.outlets:
            evse = evses[outlet.evse]
            found = changes.get(evse.key)
            if found is None:
                rows.append((evse, -1, 0, NEVER))
                continue
            change = found[1]
            pair = self._pairs[change.status, change.error]
            if pair is None:
                if evse.key != leaving:
                    continue
                pair = UNKNOWN_PAIR
            rows.append((evse, *pair, change.changed_at))
        return rows

    def station(self, state: StationState, station: Station, leaving: str | None = None) -> bytes:
        """One station object: `{"uuid","status","connectors"}`; kept until the state changes."""
        body = state.bodies.get(BODY)
        if body is None or leaving is not None:
            rows = self.connectors(state, station, leaving)
            body = _station_body(state.uuid, rows)
            if leaving is None:
                state.bodies[BODY] = body
        return body

    def connector(self, state: StationState, station: Station, ordinal: int) -> bytes | None:
        """One connector for REST; `ordinal` counts from 1 over the listed ones; None where there is none."""
        rows = self.connectors(state, station)
        if not 1 <= ordinal <= len(rows):
            return None
        _, status, error, timestamp = rows[ordinal - 1]
        return (
            f'{{"uuid":"{state.uuid}_{ordinal:02d}","status":{status},"error":{error},"timestamp":{timestamp}}}'
        ).encode()

    def snapshot(self, view: View, bodies: Iterable[bytes]) -> bytes:
        """`snapshot:init` with these stations, at the view's position."""
        return b'{"type":"snapshot:init","epoch":"%s","seq":%d,"data":[%s]}' % (
            view.epoch.encode(),
            view.seq,
            b",".join(bodies),
        )

    def update(self, view: View, state: StationState, change: Change | None = None) -> bytes:
        """`status:update`: the whole station at the sequence of its last change."""
        station = view.station(state)
        if station is None:
            body = _station_body(state.uuid, [])
        else:
            leaving = change.evse if change is not None and _leaves(change) else None
            body = self.station(state, station, leaving)
        return b'{"type":"status:update","epoch":"%s","seq":%d,"data":%s}' % (
            view.epoch.encode(),
            state.seq,
            body,
        )

    def raw(
        self, uuid: str, connector: int, status: Status, error: bool, observed_at: Millis
    ) -> bytes | None:
        """`status:raw` for one connector, counted from 0; None where the status is not listed."""
        pair = self._pairs[status, error]
        if pair is None:
            return None
        return (
            f'{{"type":"status:raw","code":1,"data":{{"uuid":"{uuid}","connector":{connector},'
            f'"status":{pair[0]},"error":{pair[1]},"timestamp":{observed_at}}}}}'
        ).encode()

    def listed_index(self, state: StationState, station: Station, key: str) -> list[int]:
        """Places of an EVSE's connectors in the station's list, from 0."""
        return [i for i, row in enumerate(self.connectors(state, station)) if row[0].key == key]


def _leaves(change: Change) -> bool:
    return change.status is Status.REMOVED and change.cause is not Cause.REGISTERED


def _station_body(uuid: str, rows: list[tuple[Evse, int, int, Millis]]) -> bytes:
    status = station_status((row[1], row[2]) for row in rows)
    connectors = ",".join(
        [f'{{"status":{status},"error":{error},"timestamp":{at}}}' for _, status, error, at in rows]
    )
    return f'{{"uuid":"{uuid}","status":{status},"connectors":[{connectors}]}}'.encode()
