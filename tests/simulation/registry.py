"""The stations of every world, what consumers may ask for, and how the registry changes under them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

import msgspec
from tests.simulation.truth import Wish

from ladestrom.core.records import sums
from ladestrom.model import Connector, Evse, Operator, Outlet, Station, evse_key
from ladestrom.ports.registry import RegistryDelta, RegistrySums

OPERATORS: Final = (Operator("alfa", ("NOALF", "DKALF")), Operator("beta", ("NOBET", "SEBET")))
GUEST: Final = Operator("gamma", ("NOALF", "SEBET"))
"""Reports, in some worlds, on EVSEs that others report on, too."""
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
    Wish({"operator": "NOBET", "country": "NO"}, country="NOR", operator="nobet"),
    Wish(
        {"bbox": "5,55,12.6,60.4", "status": "AVAILABLE"},
        box=(5, 55, 12.6, 60.4),
        statuses=frozenset({"AVAILABLE"}),
    ),
)
"""What consumers of version 2 ask for."""
GUEST_SUBSCRIPTIONS: Final = (
    Wish({"operator": "gamma"}, operator="gamma"),
    Wish({"operator": "gamma", "country": "NO"}, country="NOR", operator="gamma"),
)
"""And where there is the guest."""


COMING: Final = ("toggle", "toggle", "toggle", "vanish")
MOVING: Final = ("move", "move", "move", "toggle", "vanish")
RENEWING: Final = (
    *("operator", "operator", "party", "place", "place", "respell", "plug"),
    *("move", "toggle", "vanish", "withdraw", "add"),
)
"""What may become of a registry, as often as it is listed."""

PLACES: Final = (("NOR", 59.9, 10.7), ("SWE", 59.3, 18.1), ("DAN", 55.7, 12.6), ("NOR", 69.6, 18.9))
ADDED: Final = ("DAN_00006", "SWE_00005")
"""Stations that are not in every world's registry from the beginning."""


class Registry:
    """The stations as they are now. Is the store of the real `Reconciliation`, which asks for no more."""

    def __init__(self, whims: Sequence[str]) -> None:
        """What becomes of it is one of these, by chance."""
        self.revision = 1
        self._whims = whims
        lacks = ADDED if "add" in whims else ()
        self.stations = {station.uuid: station for station in STATIONS if station.uuid not in lacks}
        self._written = dict.fromkeys(self.stations, 1)

    async def registry_since(self, revision: int) -> RegistryDelta:
        """Implements `ports.Store.registry_since`."""
        stations = [self.stations[uuid] for uuid, at in self._written.items() if at > revision]
        return RegistryDelta(self.revision, tuple(stations), ())

    async def registry_sums(self) -> RegistrySums:
        """Implements `ports.Store.registry_sums`."""
        return sums(self.stations.values())

    def evses(self, operator: Operator) -> list[Evse]:
        """Those on which an operator may report now."""
        present = (station.evses for station in self.stations.values() if station.vanished_at is None)
        return [evse for evses in present for evse in evses if evse.party in operator.parties]

    def change(self, rng: random.Random) -> str:
        """One change by chance; says which, and nothing where it came to nothing."""
        self.revision += 1
        what = rng.choice(self._whims)
        station, evse = self.stations[rng.choice(list(self.stations))], rng.choice(EVSES)
        match what:
            case "toggle" | "move":
                return what if self._go(rng, evse.key, moves=what == "move") else ""
            case "vanish":
                self._vanish(station, station.vanished_at is None)
            case "withdraw":
                # A whole register, or what it has of a country.
                same = [each for each in self.stations.values() if each.uuid[:3] == station.uuid[:3]]
                for each in same:
                    self._vanish(each, station.vanished_at is None)
            case "add":
                added = [each for each in STATIONS if each.uuid not in self.stations]
                if not added:
                    return ""
                here = {each.key for other in self.stations.values() for each in other.evses}
                self._put(added[0], [each for each in added[0].evses if each.key not in here])
            case _:
                self._renew(rng, what, station)
        return what

    def _go(self, rng: random.Random, key: str, *, moves: bool) -> bool:
        """An EVSE goes where it was not: away, back, or to another station."""
        holder = next((each for each in self.stations.values() if _holds(each, key)), None)
        evse = next(each for each in (holder.evses if holder is not None else EVSES) if each.key == key)
        home = next(each.station for each in EVSES if each.key == key)
        goes_to = rng.choice(list(self.stations)) if moves else rng.choice((None, home))
        if goes_to not in {None, *self.stations} or (holder is not None and holder.uuid == goes_to):
            return False
        if holder is not None:
            self._put(holder, [each for each in holder.evses if each.key != key])
        if goes_to is not None:
            target = self.stations[goes_to]
            self._put(target, [*target.evses, msgspec.structs.replace(evse, station=goes_to)])
        return holder is not None or goes_to is not None

    def _renew(self, rng: random.Random, what: str, station: Station) -> None:
        """Something else is said of a station."""
        replace, evses = msgspec.structs.replace, station.evses
        operator = "Alfa" if station.operator == "Beta" else "Beta"
        match what:
            case "operator":
                self._write(replace(station, operator=operator))
            case "party":
                party = rng.choice(rng.choice(OPERATORS).parties)
                evses = tuple(replace(evse, party=party) for evse in evses)
                self._write(replace(station, operator=operator, evses=evses))
            case "place":
                country, latitude, longitude = rng.choice(PLACES)
                self._write(replace(station, country=country, latitude=latitude, longitude=longitude))
            case "respell":
                self._write(replace(station, evses=tuple(_respelled(evse) for evse in evses)))
            case "plug" if evses:
                another = Outlet(rng.randrange(len(evses)), PLUG)
                outlets = station.outlets if len(station.outlets) < 5 else station.outlets[:1]
                self._write(replace(station, outlets=(*outlets, another)))
            case _:
                self._write(replace(station, city=f"city {self.revision}"))

    def _vanish(self, station: Station, vanishes: bool) -> None:
        self._write(msgspec.structs.replace(station, vanished_at=VANISHED_AT if vanishes else None))

    def _put(self, station: Station, evses: Sequence[Evse]) -> None:
        outlets = tuple(Outlet(index, PLUG) for index in range(len(evses)))
        self._write(msgspec.structs.replace(station, evses=tuple(evses), outlets=outlets))

    def _write(self, station: Station) -> None:
        self.stations[station.uuid] = station
        self._written[station.uuid] = self.revision


def _holds(station: Station, key: str) -> bool:
    return any(evse.key == key for evse in station.evses)


def _respelled(evse: Evse) -> Evse:
    """The same id, written otherwise."""
    written = evse.evse_id or ""
    other = written.replace("*", "-") if "*" in written else f"{written[:2]}*{evse_key(written)[2:]}"
    return msgspec.structs.replace(evse, evse_id=other)
