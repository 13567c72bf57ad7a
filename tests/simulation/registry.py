"""The stations of every world, what consumers may ask for, and how the registry changes under them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Final

import msgspec
from tests.simulation.truth import Wish

from ladestrom.core.records import sums
from ladestrom.model import Connector, Evse, Operator, Outlet, Station, evse_key
from ladestrom.ports.registry import RegistryDelta, RegistrySums

OPERATORS: Final = (Operator("alfa", ("NOALF", "DKALF")), Operator("beta", ("NOBET", "SEBET")))
PLUG: Final = Connector("IEC_62196_T2")
VANISHED_AT: Final = 1_795_000_000_000


def _station(
    uuid: str, place: tuple[float, float], operator: str, ids: Sequence[str], outlets: Sequence[int] = ()
) -> Station:
    return Station(
        uuid=uuid,
        name=uuid,
        country=uuid[:3],
        latitude=place[0],
        longitude=place[1],
        evses=tuple(Evse(evse_key(each), uuid, each, None, evse_key(each)[:5]) for each in ids),
        outlets=tuple(Outlet(index, PLUG) for index in outlets or range(len(ids))),
        operator=operator,
    )


STATIONS: Final = (
    _station("NOR_00001", (59.9, 10.7), "Alfa", ["NO*ALF*E1*1", "NO*ALF*E1*2"], (0, 0, 1)),
    _station("NOR_00002", (60.4, 5.3), "Alfa", ["NO-ALF-E2"]),
    _station("NOR_00003", (69.6, 18.9), "Beta", ["NO*BET*E3*1", "NO*BET*E3*2"]),
    _station("SWE_00004", (59.3, 18.1), "Beta", ["SE*BET*E4*1", "SE*BET*E4*2", "SE*BET*E4*3"]),
    _station("SWE_00005", (55.6, 13.0), "Beta", ["SEBETE5"]),
    _station("DAN_00006", (55.7, 12.6), "Alfa", ["DK*ALF*E6*1", "dk*alf*e6*2"]),
)
EVSES: Final = tuple(evse for station in STATIONS for evse in station.evses)

SUBSCRIPTIONS: Final = (
    Wish({}),
    Wish({"country": "NOR"}, country="NOR"),
    Wish({"operator": "beta"}, operator="beta"),
    Wish({"station": "NOR_00001,SWE_00004"}, stations=frozenset({"NOR_00001", "SWE_00004"})),
    Wish({"bbox": "12,55,19,60"}, box=(12, 55, 19, 60)),
)
"""What consumers of both versions ask for."""
FINER_SUBSCRIPTIONS: Final = (
    *SUBSCRIPTIONS,
    Wish({"evse": "NOALFE11,SE*BET*E4*2"}, evses=frozenset({"NOALFE11", "SEBETE42"})),
    Wish({"status": "AVAILABLE"}, statuses=frozenset({"AVAILABLE"})),
    Wish(
        {"country": "NO", "status": "charging,OUTOFORDER"},
        country="NOR",
        statuses=frozenset({"CHARGING", "OUTOFORDER"}),
    ),
)
"""What consumers of version 2 ask for."""


class Registry:
    """The stations as they are now. Is the store of the real `Reconciliation`, which asks for no more."""

    def __init__(self, *, moves: bool) -> None:
        """A registry whose EVSEs go from station to station, or only go and come."""
        self._moves = moves
        self.revision = 1
        self.stations = {station.uuid: station for station in STATIONS}
        self._written = dict.fromkeys(self.stations, 1)

    async def registry_since(self, revision: int) -> RegistryDelta:
        """Implements `ports.Store.registry_since`."""
        await asyncio.sleep(0)
        stations = [self.stations[uuid] for uuid, at in self._written.items() if at > revision]
        return RegistryDelta(self.revision, tuple(stations), ())

    async def registry_sums(self) -> RegistrySums:
        """Implements `ports.Store.registry_sums`."""
        return sums(self.stations.values())

    def change(self, rng: random.Random) -> int:
        """One change by chance: an EVSE goes, comes or moves, a station vanishes or returns.

        Returns the number of stations that are different now.
        """
        self.revision += 1
        evse = rng.choice(EVSES)
        holder = next((each for each in self.stations.values() if _holds(each, evse.key)), None)
        goes_to = rng.choice((None, evse.station, *(rng.choice(STATIONS).uuid,) * 4 * self._moves))
        if rng.random() < 0.25:
            return self._vanish(rng.choice(STATIONS).uuid)
        changed = 0
        if holder is not None and holder.uuid != goes_to:
            changed += self._put(holder, [each for each in holder.evses if each.key != evse.key])
        if goes_to is not None and (holder is None or holder.uuid != goes_to):
            moved = msgspec.structs.replace(evse, station=goes_to)
            target = self.stations[goes_to]
            changed += self._put(target, [*target.evses, moved])
        return changed

    def _vanish(self, uuid: str) -> int:
        station = self.stations[uuid]
        vanished_at = VANISHED_AT if station.vanished_at is None else None
        self._write(msgspec.structs.replace(station, vanished_at=vanished_at))
        return 1

    def _put(self, station: Station, evses: Sequence[Evse]) -> int:
        outlets = tuple(Outlet(index, PLUG) for index in range(len(evses)))
        self._write(msgspec.structs.replace(station, evses=tuple(evses), outlets=outlets))
        return 1

    def _write(self, station: Station) -> None:
        self.stations[station.uuid] = station
        self._written[station.uuid] = self.revision


def _holds(station: Station, key: str) -> bool:
    return any(evse.key == key for evse in station.evses)
