"""The stations of every world, what consumers may ask for, and how the registry changes under them."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from tests.simulation.truth import Wish

from ladestrom.model import Connector, Evse, Operator, Outlet, Station, evse_key

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
NAMES: Final[Mapping[str, str]] = {evse.key: evse.name for evse in EVSES}

EVERYWHERE: Final = frozenset(station.uuid for station in STATIONS)
NORWAY: Final = frozenset({"NOR_00001", "NOR_00002", "NOR_00003"})
SUBSCRIPTIONS: Final = (
    Wish({}, EVERYWHERE),
    Wish({"country": "NOR"}, NORWAY),
    Wish({"operator": "beta"}, frozenset({"NOR_00003", "SWE_00004", "SWE_00005"}), source="beta"),
    Wish({"station": "NOR_00001,SWE_00004"}, frozenset({"NOR_00001", "SWE_00004"})),
    Wish({"bbox": "12,55,19,60"}, frozenset({"SWE_00004", "SWE_00005", "DAN_00006"})),
)
"""What consumers of both versions ask for."""
FINER_SUBSCRIPTIONS: Final = (
    *SUBSCRIPTIONS,
    Wish({"evse": "NOALFE11,SE*BET*E4*2"}, EVERYWHERE, frozenset({"NOALFE11", "SEBETE42"})),
    Wish({"status": "AVAILABLE"}, EVERYWHERE, None, frozenset({"AVAILABLE"})),
    Wish(
        {"country": "NO", "status": "charging,OUTOFORDER"},
        NORWAY,
        None,
        frozenset({"CHARGING", "OUTOFORDER"}),
    ),
)
"""What consumers of version 2 ask for."""


class Registry:
    """The stations as they are now."""

    def __init__(self, *, moves: bool) -> None:
        """A registry whose EVSEs go from station to station, or only go and come."""
        self._moves = moves
        self.stations = {station.uuid: station for station in STATIONS}

    def change(self, rng: random.Random) -> list[str]:
        """One change by chance: an EVSE goes, comes or moves, a station vanishes or returns.

        Returns the stations that are different now.
        """
        evse = rng.choice(EVSES)
        holder = next((each for each in self.stations.values() if _holds(each, evse.key)), None)
        goes_to = rng.choice((None, evse.station, *(rng.choice(STATIONS).uuid,) * 4 * self._moves))
        if rng.random() < 0.25:
            return self._vanish(rng.choice(STATIONS).uuid)
        changed = []
        if holder is not None and holder.uuid != goes_to:
            changed.append(self._put(holder, [each for each in holder.evses if each.key != evse.key]))
        if goes_to is not None and (holder is None or holder.uuid != goes_to):
            moved = msgspec.structs.replace(evse, station=goes_to)
            target = self.stations[goes_to]
            changed.append(self._put(target, [*target.evses, moved]))
        return changed

    def _vanish(self, uuid: str) -> list[str]:
        station = self.stations[uuid]
        vanished_at = VANISHED_AT if station.vanished_at is None else None
        self.stations[uuid] = msgspec.structs.replace(station, vanished_at=vanished_at)
        return [uuid]

    def _put(self, station: Station, evses: Sequence[Evse]) -> str:
        outlets = tuple(Outlet(index, PLUG) for index in range(len(evses)))
        self.stations[station.uuid] = msgspec.structs.replace(station, evses=tuple(evses), outlets=outlets)
        return station.uuid


def _holds(station: Station, key: str) -> bool:
    return any(evse.key == key for evse in station.evses)
