"""What became of EVSEs since a position, as a status publication tells it to who has all from there.

A delta has each EVSE whose status is another one, and all of a station whose record is: versions of what
statuses refer to are those of records. What left the table, or the selection, is `removed`, once. With a
filter on statuses, EVSEs that left it are told with the status that they have. One that came and went since
may be `removed` too: that a consumer never had it cannot be known.
"""

from __future__ import annotations

from collections.abc import Iterator

from ladestrom.core.selection import Selection
from ladestrom.core.view import StationState, View, is_listed
from ladestrom.model import Evse, Station
from ladestrom.outputs.datex2 import statuses, table, words
from ladestrom.outputs.datex2.statuses import Said


class Delta:
    """One in the making: it is given each station that changed, as it is at the delta's position."""

    def __init__(self, view: View, wanted: Selection, since: int) -> None:
        self._found: list[tuple[str, int, list[Said]]] = []
        """Stations with their revisions, and what is said of their EVSEs."""
        self._told: set[str] = set()
        """EVSEs that are not removed."""
        self._view = view
        self._wanted = wanted
        self._since = since

    def visit(self, state: StationState) -> None:
        """Takes a station."""
        said = list(self._said(state))
        if said:
            record = self._view.records.get(state.uuid)
            self._found.append((state.uuid, 0 if record is None else record.seq, said))
            self._told.update(each.name for each in said if each.status != words.REMOVED)

    def sites(self) -> Iterator[tuple[str, int, list[Said]]]:
        """Stations with their revisions and what is said of their EVSEs, in the order of their uuids; to be
        asked for once.

        Each EVSE once: one that went from station to station is where it is, or is gone.
        """
        told = self._told
        for uuid, revision, said in sorted(self._found):
            own = []
            for each in said:
                if each.status != words.REMOVED:
                    own.append(each)
                elif each.name not in told:
                    told.add(each.name)
                    own.append(each)
            if own:
                yield uuid, revision, own

    def _said(self, state: StationState) -> Iterator[Said]:
        view, wanted = self._view, self._wanted
        record = view.records.get(state.uuid)
        is_renewed = record is not None and record.seq > self._since
        station = view.station(state)
        is_there = station is not None and self._is_published(station, state)
        is_covered = is_there and station is not None and wanted.covers(station, (), state.sources())
        own = {} if station is None else {evse.key: evse for evse in station.evses}
        was_covered: bool | None = None
        for key, held in state.changes.items():
            is_new = held.seq > self._since
            shown = is_listed(held.change)
            if not (is_new or (is_renewed and shown)) or (wanted.evse and key not in wanted.evse):
                continue
            evse = own.get(key)
            name = view.directory.name(key, state.uuid) if evse is None else evse.name
            if (
                is_covered
                and station is not None
                and wanted.is_of(station, (held.change.source,))
                and (evse is not None or not shown)
            ):
                if shown or not self._is_elsewhere(key, state.uuid):
                    yield statuses.of(name, held.change)
                continue
            if was_covered is None:
                was_covered = self._was_covered(state)
            if was_covered and not self._is_elsewhere(key, state.uuid):
                yield statuses.of(name, held.change)._replace(status=words.REMOVED, has_fault=False)

    def _is_published(self, station: Station, state: StationState) -> bool:
        return table.lacks(station, _listed(station, state)) is None

    def _was_covered(self, state: StationState) -> bool:
        """Whether a station was in the selection at some time since."""
        now = self._view.directory.stations.get(state.uuid)
        records = [*self._view.former(state, self._since), *([] if now is None else [now])]
        sources = set(state.sources_ever())
        return any(self._wanted.covers(each, state.changes, sources) for each in records)

    def _is_elsewhere(self, key: str, uuid: str) -> bool:
        """Whether an EVSE went to another station that is published and selected, and is told of there."""
        evse = self._view.directory.by_key(key)
        if evse is None or evse.station == uuid:
            return False
        state = self._view.get(evse.station)
        station = None if state is None else self._view.station(state)
        return (
            state is not None
            and station is not None
            and self._wanted.covers(station, (), state.sources())
            and self._is_published(station, state)
        )


def _listed(station: Station, state: StationState) -> Iterator[Evse]:
    for evse in station.evses:
        held = state.changes.get(evse.key)
        if held is not None and is_listed(held.change):
            yield evse
