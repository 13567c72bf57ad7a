"""The registry as the middle needs it: stations by uuid, EVSEs by any written form of their ids.

Knows nothing of statuses. Filled from the store; holds what is present and what has vanished.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from typing import Final

from ladestrom.core.drafts import is_described
from ladestrom.model import Evse, Station, evse_key, local_key, placed_connector, registry_key

LEFT_MAX: Final = 100_000
"""EVSEs that left their stations whose names are kept, the newest: some 20 MB, and as much again where they
have uids. An older one is told by its key, which consumers take for the same name, and not by its uid."""


class Directory:
    """Finds stations and EVSEs. Vanished stations are kept, but their EVSEs are not found."""

    def __init__(self, stations: Iterable[Station] = ()) -> None:
        self.stations: dict[str, Station] = {}
        self.left: dict[str, str] = {}
        """EVSEs that left their station: key to the name, for those who are told so. At most `LEFT_MAX`."""
        self._left_uids: dict[str, str] = {}
        """Uids of those of them that had one."""
        self._keys = _Index()
        self._ids = _Index()
        """By EVSE ids, of those that have another key."""
        self._uids = _Index()
        self._described: dict[tuple[str, str], str] = {}
        """Stations that operators describe, by register and id there."""
        self._evse_count = 0
        for station in stations:
            self.put(station)

    def __len__(self) -> int:
        """Number of EVSEs present."""
        return self._evse_count

    def moving(self, stations: Iterable[Station], written: Mapping[str, Station]) -> Iterator[str]:
        """Keys of those stations' EVSEs that are at another station now, and are to leave it.

        Args:
            stations: some of those that were written.
            written: all of them, by uuid: as they will be.
        """
        for station in stations:
            for evse in station.evses if station.vanished_at is None else ():
                here = self.by_key(evse.key)
                if here is None or here.station == station.uuid or here.station not in written:
                    continue
                there = written[here.station]
                if there.vanished_at is not None or all(evse.key != other.key for other in there.evses):
                    yield evse.key

    def put(self, station: Station, moving: Container[str] = ()) -> tuple[Evse, ...]:
        """Adds or replaces a station; returns the EVSEs that are no longer present because of it.

        EVSEs that are `moving` are found all the time: at their old station until their new one is put.
        """
        before = self.present(station.uuid)
        known = self.stations.get(station.uuid)
        self.stations[station.uuid] = station
        if is_described(station.register):
            self._described[station.register, station.native_id] = station.uuid
        after = self.present(station.uuid)
        if known is not None and known.evses != station.evses:
            keys = {evse.key for evse in station.evses}
            self._remember(evse for evse in known.evses if evse.key not in keys)
        keys = {evse.key for evse in after}
        for evse in before:
            if evse.key in keys or evse.key not in moving or self._keys.every(evse.key) != (evse,):
                self._forget(evse)
        for evse in after:
            if evse.key in moving:
                for other in self._keys.every(evse.key):
                    self._forget(other)
            self._learn(evse)
        self._evse_count += len(after) - len(before)
        return tuple(evse for evse in before if evse.key not in keys)

    def described(self, register: str, native_id: str) -> Station | None:
        """The station that an operator described, by its register (`ocpi:abc`) and its id there.

        It may have vanished.
        """
        uuid = self._described.get((register, native_id))
        return None if uuid is None else self.stations[uuid]

    def present(self, uuid: str) -> tuple[Evse, ...]:
        """EVSEs of a station that has not vanished; empty for unknown stations."""
        station = self.stations.get(uuid)
        return station.evses if station is not None and station.vanished_at is None else ()

    def evses(self) -> Iterator[Evse]:
        """Every EVSE present."""
        for uuid in self.stations:
            yield from self.present(uuid)

    def by_key(self, key: str) -> Evse | None:
        """The EVSE present that has this key; on its way from one station to another, at the newer one."""
        return self._keys.last(key)

    def has(self, key: str) -> bool:
        """Whether an EVSE with this key is present."""
        return self._keys.last(key) is not None

    def find(self, written: str) -> tuple[Evse, ...]:
        """EVSEs that an EVSE id, a registry key or a connector means, in any written form.

        The one that holds the id; where none does, those whose records have it all the same. A connector is
        meant by its place, and by its NOBIL id where that is no registry key of an EVSE.
        """
        holder = self.holder(written)
        return (holder,) if holder is not None else self._ids.every(evse_key(written))

    def holder(self, written: str) -> Evse | None:
        """The EVSE that holds an id, of which there is one at most: what `find` gives before all others."""
        found = self._keys.get(written)
        if found is not None:
            return next(reversed(found), None) if isinstance(found, dict) else found
        key = evse_key(written)
        holder = self._keys.last(key or registry_key(written))
        return self._placed(written) if holder is None and not key else holder

    def find_uid(self, written: str) -> tuple[Evse, ...]:
        """EVSEs that have this uid; more than one where operators share it."""
        return self._uids.every(local_key(written))

    def resolve(
        self, written: str, also: str, owns: Callable[[Evse], bool], shared: str = ""
    ) -> tuple[tuple[Evse, ...], tuple[Evse, ...]]:
        """What an operator means by an id of an EVSE: its own ones; and what the id means to everybody.

        A uid means an EVSE of the operator's own, and never anybody else's; nor one with another EVSE id than
        the operator says beside it, as operators number the EVSEs of each station from 1. `also` and `shared`
        are those of a report (`StatusReport`), empty where the operator says no second id.
        """
        found = self.find(written)
        own = tuple(filter(owns, found))
        for each, other in () if own else ((written, also or shared), (also, written)):
            if each and not own:
                own = tuple(
                    evse for evse in self.meant(each) if owns(evse) and not _is_another(evse, each, other)
                )
        return own, found

    def meant(self, written: str) -> tuple[Evse, ...]:
        """Every EVSE that an id may mean to somebody: by key, by the EVSE id in its record, or by uid."""
        return tuple(
            dict.fromkeys((*self.find(written), *self._ids.every(evse_key(written)), *self.find_uid(written)))
        )

    def outlet(self, uuid: str, index: int) -> Evse | None:
        """The EVSE of a station's connector; `index` counts from 0 in registry order."""
        station = self.stations.get(uuid)
        if station is None or station.vanished_at is not None:
            return None
        if not 0 <= index < len(station.outlets):
            return None
        return station.evses[station.outlets[index].evse]

    def name(self, key: str, uuid: str) -> str:
        """The name on the wire of the EVSE that has, or had, this key at this station."""
        evse = self.by_key(key)
        if evse is not None:
            return evse.name
        station = self.stations.get(uuid)
        for gone in () if station is None else station.evses:
            if gone.key == key:
                return gone.name
        return self.left.get(key, key)

    def uid(self, key: str, uuid: str) -> str | None:
        """The uid of the EVSE that has, or had, this key at this station; None where it has none."""
        evse = self.by_key(key)
        if evse is not None:
            return evse.uid
        station = self.stations.get(uuid)
        for gone in () if station is None else station.evses:
            if gone.key == key:
                return gone.uid
        return self._left_uids.get(key)

    def _placed(self, written: str) -> Evse | None:
        place = placed_connector(written)
        return None if place is None else self.outlet(place[0], place[1] - 1)

    def _remember(self, evses: Iterable[Evse]) -> None:
        for evse in evses:
            self.left.pop(evse.key, None)
            self.left[evse.key] = evse.name
            self._left_uids.pop(evse.key, None)
            if evse.uid is not None:
                self._left_uids[evse.key] = evse.uid
        while len(self.left) > LEFT_MAX:
            oldest = next(iter(self.left))
            del self.left[oldest]
            self._left_uids.pop(oldest, None)

    def _learn(self, evse: Evse) -> None:
        for index, form in self._forms_of(evse):
            index.add(form, evse)

    def _forget(self, evse: Evse) -> None:
        for index, form in self._forms_of(evse):
            index.discard(form, evse)

    def _forms_of(self, evse: Evse) -> Iterator[tuple[_Index, str]]:
        yield self._keys, evse.key
        if evse.evse_id and (form := evse_key(evse.evse_id)) and form != evse.key:
            yield self._ids, form
        if evse.uid:
            yield self._uids, local_key(evse.uid)


def _is_another(evse: Evse, said: str, other: str) -> bool:
    """Whether an EVSE that has the uid `said` has another EVSE id than `other`, where that is one."""
    own, key = evse_key(evse.evse_id or ""), evse_key(other)
    if not own or not key or local_key(said) == local_key(other):
        return False
    return own not in {key, evse_key(said)}


class _Index(dict[str, Evse | dict[Evse, None]]):
    """EVSEs by a form of an id. Most forms mean one EVSE, which is kept without a collection around it.

    Some mean thousands, such as the uid `1`: adding one and taking one away must not look at the others.
    """

    def every(self, form: str) -> tuple[Evse, ...]:
        """Those that were added last come last."""
        found = self.get(form)
        if found is None:
            return ()
        return tuple(found) if isinstance(found, dict) else (found,)

    def last(self, form: str) -> Evse | None:
        """The one that was added last."""
        found = self.get(form)
        return next(reversed(found), None) if isinstance(found, dict) else found

    def add(self, form: str, evse: Evse) -> None:
        known = self.get(form)
        if known is None:
            self[form] = evse
        elif isinstance(known, dict):
            known.pop(evse, None)
            known[evse] = None
        elif known != evse:
            self[form] = {known: None, evse: None}

    def discard(self, form: str, evse: Evse) -> None:
        known = self.get(form)
        if isinstance(known, dict):
            known.pop(evse, None)
            if len(known) == 1:
                self[form] = next(iter(known))
        elif known == evse:
            del self[form]
