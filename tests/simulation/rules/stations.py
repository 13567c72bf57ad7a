"""The registry of a world of rules: few EVSEs that go, come and move, and get other uids."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Final

import msgspec

from ladestrom.core.records import sums
from ladestrom.model import Connector, Evse, Millis, Outlet, Reading, Station
from ladestrom.ports.registry import RegistryDelta, RegistrySums

PLUG: Final = Connector("IEC_62196_T2")
HOMES: Final = ("NOR_00001", "NOR_00002")
EVSES: Final = (
    Evse("NOALFE1", HOMES[0], "NO*ALF*E1", "a1", "NOALF"),
    Evse("NOALFE2", HOMES[0], "no-alf-e2", "a2", "NOALF"),
    Evse("49810000438", HOMES[1], "+49*810*000*438", "a3", None),
    # Without an EVSE id; its uid is that of another operator's EVSE.
    Evse("NOR_00002_02", HOMES[1], None, "a1", "NOBET"),
    # Its id says one operator, its record another: the record is right.
    Evse("NOALFE5", HOMES[1], "NO*ALF*E5", "a5", "NOBET"),
)
KEYS: Final = tuple(evse.key for evse in EVSES)
POINT_MAP: Final = {1: KEYS[0], 2: KEYS[1]}
"""Which EVSE the charge point means by a number."""
WRITTEN: Final[Mapping[str, tuple[str, ...]]] = {
    KEYS[0]: ("NO*ALF*E1", "noalfe1", "NO-ALF E1", "a1", "A1"),
    KEYS[1]: ("NO*ALF*E2", "no*alf-e2", "a2"),
    KEYS[2]: ("+49*810*000*438", "49*810*000*438", "49810000438"),
    KEYS[3]: ("NOR_00002_02", "nor_00002_02", "a1"),
    KEYS[4]: ("NO*ALF*E5", "NOALFE5", "a5"),
    "": ("NO*ALF*E9", "NO*ALF*E", "b1", "DE*ALF*E1"),
}
"""In which forms somebody may write an id; under an empty key, ids of nobody."""


class Registry:
    """The stations as they are now. Is the store of the real `Reconciliation`, which asks for no more."""

    def __init__(self) -> None:
        self.revision = 1
        self.stations: dict[str, Station] = {}
        self._readings: list[tuple[int, Reading]] = []
        self._written: dict[str, int] = {}
        for uuid in HOMES:
            self._put(uuid, [evse for evse in EVSES if evse.station == uuid])

    async def registry_since(self, revision: int) -> RegistryDelta:
        """Implements `ports.Store.registry_since`."""
        stations = tuple(self.stations[uuid] for uuid, at in self._written.items() if at > revision)
        readings = tuple(reading for at, reading in self._readings if at > revision)
        return RegistryDelta(self.revision, stations, readings)

    async def registry_sums(self) -> RegistrySums:
        """Implements `ports.Store.registry_sums`."""
        return sums(self.stations.values())

    def due(self, revision: int) -> list[Reading]:
        """Statuses that were written after a revision."""
        return [reading for at, reading in self._readings if at > revision]

    def change(self, rng: random.Random, now: Millis) -> str:
        """One change by chance; says which."""
        self.revision += 1
        what = rng.choice(("move", "move", "toggle", "toggle", "uid", "vanish"))
        if what == "vanish":
            self._vanish(rng.choice(HOMES), now)
            return what
        key = rng.choice(KEYS)
        here = next((uuid for uuid in HOMES if any(e.key == key for e in self.stations[uuid].evses)), None)
        if here is None:
            evse = next(evse for evse in EVSES if evse.key == key)
            self._add(rng.choice(HOMES), evse)
            return "return"
        evse = next(evse for evse in self.stations[here].evses if evse.key == key)
        rest = [each for each in self.stations[here].evses if each.key != key]
        match what:
            case "move":
                self._put(here, rest)
                # Where it goes, another operator may have it.
                party = rng.choice((evse.party, evse.party, "NOALF", "NOBET"))
                moved = msgspec.structs.replace(evse, party=party)
                self._add(next(uuid for uuid in HOMES if uuid != here), moved)
            case "toggle":
                self._put(here, rest)
                return "leave"
            case _:
                other = msgspec.structs.replace(evse, uid=rng.choice(("a1", "a2", "a7")))
                self._put(here, [other if each.key == key else each for each in self.stations[here].evses])
        return what

    def read(self, reading: Reading) -> None:
        """Its import told a status too."""
        self.revision += 1
        self._readings = [(self.revision, reading)]

    def _add(self, uuid: str, evse: Evse) -> None:
        self._put(uuid, [*self.stations[uuid].evses, msgspec.structs.replace(evse, station=uuid)])

    def _vanish(self, uuid: str, now: Millis) -> None:
        station = self.stations[uuid]
        gone_at = now if station.vanished_at is None else None
        self.stations[uuid] = msgspec.structs.replace(station, vanished_at=gone_at)
        self._written[uuid] = self.revision

    def _put(self, uuid: str, evses: list[Evse]) -> None:
        before = self.stations.get(uuid)
        outlets = tuple(Outlet(index, PLUG) for index in range(len(evses)))
        self.stations[uuid] = Station(
            uuid,
            uuid,
            "NOR",
            59.9,
            10.7,
            tuple(evses),
            outlets,
            vanished_at=None if before is None else before.vanished_at,
        )
        self._written[uuid] = self.revision
