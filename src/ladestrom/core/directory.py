"""The registry as the middle needs it: stations by uuid, EVSEs by any written form of their ids.

Knows nothing of statuses. Filled from the store; holds what is present and what has vanished.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from ladestrom.model import Evse, Station, evse_key

_CONNECTOR = re.compile(r"([A-Z]{3}_[0-9]{5,12})_([0-9]{2,4})")


class Directory:
    """Finds stations and EVSEs. Vanished stations are kept, but their EVSEs are not found."""

    def __init__(self, stations: Iterable[Station] = ()) -> None:
        self.stations: dict[str, Station] = {}
        self.left: dict[str, str] = {}
        """EVSEs that left their station: key to the id as written, for those who are told so."""
        self.revision = 0
        """Of the store (`ports.Store.revision`) when stations were last taken from it."""
        self._forms: dict[str, Evse | tuple[Evse, ...]] = {}
        self._evse_count = 0
        for station in stations:
            self.put(station)

    def __len__(self) -> int:
        """Number of EVSEs present."""
        return self._evse_count

    def put(self, station: Station) -> tuple[Evse, ...]:
        """Adds or replaces a station; returns the EVSEs that are no longer present because of it."""
        before = self.present(station.uuid)
        known = self.stations.get(station.uuid)
        self.stations[station.uuid] = station
        after = self.present(station.uuid)
        if known is not None and known.evses != station.evses:
            keys = {evse.key for evse in station.evses}
            self.left.update((evse.key, evse.written) for evse in known.evses if evse.key not in keys)
        if before:
            for evse in before:
                self._forget(evse)
        for evse in after:
            self._learn(evse)
        self._evse_count += len(after) - len(before)
        if not before:
            return ()
        keys = {evse.key for evse in after}
        return tuple(evse for evse in before if evse.key not in keys)

    def present(self, uuid: str) -> tuple[Evse, ...]:
        """EVSEs of a station that has not vanished; empty for unknown stations."""
        station = self.stations.get(uuid)
        return station.evses if station is not None and station.vanished_at is None else ()

    def evses(self) -> Iterator[Evse]:
        """Every EVSE present."""
        for uuid in self.stations:
            yield from self.present(uuid)

    def has(self, key: str) -> bool:
        """Whether an EVSE with this key is present."""
        return any(evse.key == key for evse in self.find(key))

    def find(self, written: str) -> tuple[Evse, ...]:
        """EVSEs that an id may mean, in any written form; more than one where operators share a uid."""
        form = written
        found = self._forms.get(form)
        if found is None:
            form = evse_key(written)
            found = self._forms.get(form)
            if found is None:
                evse = self.connector(form)
                return () if evse is None else (evse,)
        if not isinstance(found, tuple):
            return (found,)
        # A uid never hides the EVSE whose key it happens to equal.
        own = [evse for evse in found if evse.key == form]
        return tuple(own[-1:]) or found

    def connector(self, written: str) -> Evse | None:
        """The EVSE of a connector in NOBIL's form, `NOR_01333_01`; the suffix counts from 1."""
        match = _CONNECTOR.fullmatch(written)
        if match is None or not self.present(match[1]):
            return None
        return self.outlet(match[1], int(match[2]) - 1)

    def outlet(self, uuid: str, index: int) -> Evse | None:
        """The EVSE of a station's connector; `index` counts from 0 in registry order."""
        station = self.stations.get(uuid)
        if station is None or station.vanished_at is not None:
            return None
        if not 0 <= index < len(station.outlets):
            return None
        return station.evses[station.outlets[index].evse]

    def _learn(self, evse: Evse) -> None:
        for form in _forms_of(evse):
            known = self._forms.get(form)
            if known is None:
                self._forms[form] = evse
            else:
                self._forms[form] = (*known, evse) if isinstance(known, tuple) else (known, evse)

    def _forget(self, evse: Evse) -> None:
        for form in _forms_of(evse):
            known = self._forms[form]
            rest = tuple(
                other for other in (known if isinstance(known, tuple) else (known,)) if other != evse
            )
            if not rest:
                del self._forms[form]
            else:
                self._forms[form] = rest[0] if len(rest) == 1 else rest


def _forms_of(evse: Evse) -> set[str]:
    forms = {evse.key}
    if evse.evse_id:
        forms.add(evse_key(evse.evse_id))
    if evse.uid:
        forms.add(evse_key(evse.uid))
    return forms
