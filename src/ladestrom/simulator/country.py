"""Builds a simulated Norway: stations where people live and drive, with EVSEs in realistic proportion.

Knows towns, roads and companies. Must not know what happens at the stations. Nothing of it stands for a
real charging station.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple
from uuid import UUID

from msgspec.structs import replace

from ladestrom.model import Connector, Evse, Outlet, Station, evse_key
from ladestrom.ports.registry import StationDraft
from ladestrom.record import Access, Accessibility, Details, Hours, Opening, Payment, Place, Vehicle
from ladestrom.simulator.companies import COMPANIES, Company, Form
from ladestrom.simulator.towns import ROADS, TOWNS, Road, Town, Waypoint

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

REGISTER: Final = "simulator"

STATIONS_MAX: Final = 100_000
"""Four times the charging stations of the whole of Norway; EVSE ids have room for more."""

FIRST_NUMBER: Final = 80_001
"""Station numbers start beyond those that NOBIL has given out, so that both fit into one registry."""

ROADSIDE_SHARE: Final = 0.12
"""Share of stations along main roads outside towns."""

KM_PER_DEGREE: Final = 111.2
"""Of latitude; of longitude times the cosine of the latitude."""

FAST_KW: Final = 50
"""From here on a station belongs to the fast ones: travellers wait beside the car."""

_TYPE_2: Final = "IEC_62196_T2"
_CCS: Final = "IEC_62196_T2_COMBO"


Equipment = tuple[Connector, ...]
"""The connectors of one EVSE."""


def _equipment(power_kw: float, *standards: str) -> Equipment:
    return tuple(Connector(standard, power_kw) for standard in standards)


_SOCKET: Final = _equipment(3.6, "DOMESTIC_F")
_AC_7: Final = _equipment(7.4, _TYPE_2)
_AC_11: Final = _equipment(11, _TYPE_2)
_AC_22: Final = _equipment(22, _TYPE_2)
_DC_50: Final = _equipment(50, _CCS, "CHADEMO")
_DC_150: Final = _equipment(150, _CCS)
_DC_150_OLD: Final = _equipment(150, _CCS, "CHADEMO")
_DC_300: Final = _equipment(300, _CCS)
_MCS: Final = _equipment(1000, "MCS")


class Layout(NamedTuple):
    """A kind of station: `share` among its kind, and how many EVSEs of what it has (fewest, most)."""

    share: float
    parts: tuple[tuple[Equipment, int, int], ...]

    @property
    def fast(self) -> bool:
        return any((connector.max_kw or 0) >= FAST_KW for part in self.parts for connector in part[0])


IN_TOWN: Final[tuple[Layout, ...]] = (
    Layout(0.03, ((_SOCKET, 2, 6),)),
    Layout(0.13, ((_AC_7, 2, 8),)),
    Layout(0.21, ((_AC_11, 2, 10),)),
    Layout(0.24, ((_AC_22, 2, 6),)),
    Layout(0.07, ((_AC_22, 4, 16),)),
    Layout(0.09, ((_DC_50, 1, 2), (_AC_22, 1, 2))),
    Layout(0.04, ((_DC_50, 1, 2),)),
    Layout(0.06, ((_DC_150, 2, 4), (_DC_50, 1, 1))),
    Layout(0.07, ((_DC_150, 2, 6),)),
    Layout(0.06, ((_DC_300, 2, 8),)),
)

AT_ROADS: Final[tuple[Layout, ...]] = (
    Layout(0.14, ((_DC_50, 1, 2), (_DC_150, 1, 2))),
    Layout(0.24, ((_DC_150, 2, 6), (_DC_150_OLD, 1, 1))),
    Layout(0.42, ((_DC_300, 4, 12),)),
    Layout(0.14, ((_DC_300, 6, 16), (_DC_50, 1, 1))),
    Layout(0.06, ((_DC_300, 4, 8), (_MCS, 1, 3))),
)

SLOW_SITES: Final = (
    "Rådhuset", "Stasjonen", "Torget", "Kulturhuset", "Idrettshallen", "Svømmehallen", "Biblioteket",
    "Sykehuset", "Videregående skole", "Næringspark", "Parkeringshus", "Innfartsparkering", "Gjestehavn",
    "Brygge", "Hotell", "Museum", "Ishall", "Storsenter", "Kiwi", "Rema 1000", "Coop Extra", "Meny",
)  # fmt: skip

FAST_SITES: Final = (
    "Storsenter", "Handelspark", "Byggvare", "Kiwi", "Rema 1000", "Coop Extra", "Meny", "Bensinstasjon",
    "Bilsenter", "Messehall", "Næringspark", "Ladepark",
)  # fmt: skip

ROAD_SITES: Final = ("Rasteplass", "Veikro", "Ladepark", "Bensinstasjon", "Fjellstue", "Turistsenter")

QUARTERS: Final = ("Nord", "Øst", "Sør", "Vest")


_ALWAYS: Final = Opening(always=True)
_SHOP: Final = Opening(
    hours=(*(Hours(day, "07:00", "23:00") for day in range(1, 7)), Hours(7, "10:00", "20:00"))
)
_OFFICE: Final = Opening(hours=tuple(Hours(day, "06:00", "18:00") for day in range(1, 6)))
_TIME_ZONE: Final = "Europe/Oslo"
_CARS: Final = (Vehicle.CAR,)
_AT_ROAD: Final = Details(
    time_zone=_TIME_ZONE,
    opening=_ALWAYS,
    access=Access.PUBLIC,
    accessibility=Accessibility.ACCESSIBLE,
    vehicles=_CARS,
    place=Place.MOTORWAY,
    payment=Payment(free=False, card=True, contactless=True, ad_hoc=True),
    tariff_text="5.90 NOK/kWh",
)
_FAST: Final = replace(_AT_ROAD, place=Place.SHOPPING, accessibility=None)
_SLOW: Final = Details(
    time_zone=_TIME_ZONE,
    opening=_ALWAYS,
    access=Access.PUBLIC,
    place=Place.STREET,
    payment=Payment(free=False, ad_hoc=True),
    tariff_text="3.50 NOK/kWh",
)
_AT_ROAD_TRUCKS: Final = replace(_AT_ROAD, vehicles=(Vehicle.CAR, Vehicle.TRUCK))
_DETAILS_FAST: Final = (_FAST, _FAST, replace(_FAST, opening=_SHOP))
_DETAILS_SLOW: Final = (
    _SLOW,
    _SLOW,
    replace(_SLOW, place=Place.GARAGE, opening=_SHOP, max_height_m=2.1),
    replace(_SLOW, place=Place.CAR_PARK, payment=Payment(free=True, ad_hoc=True), tariff_text=None),
    replace(_SLOW, place=Place.WORKPLACE, opening=_OFFICE, access=Access.EMPLOYEES, payment=None),
    replace(_SLOW, opening=None, access=None, payment=None, tariff_text=None),
)
"""What stations are to drivers, in turn. A register that says nothing is among them."""


class _Site(NamedTuple):
    """Where a station stands, before it is known what it is."""

    near: str
    latitude: float
    longitude: float
    quarter: str | None
    """Direction from the middle of town; None in the middle itself and at roads."""
    road: str | None


def _moved(latitude: float, longitude: float, north_km: float, east_km: float) -> tuple[float, float]:
    return (
        round(latitude + north_km / KM_PER_DEGREE, 5),
        round(longitude + east_km / (KM_PER_DEGREE * math.cos(math.radians(latitude))), 5),
    )


def _in_town(town: Town, rng: Random) -> _Site:
    spread_km = 0.5 + 0.004 * math.sqrt(town.inhabitants)
    limit_km = 2.5 * spread_km
    north_km = max(-limit_km, min(limit_km, rng.gauss(0, spread_km)))
    east_km = max(-limit_km, min(limit_km, rng.gauss(0, spread_km)))
    if town.inland is not None:
        bearing = math.radians(town.inland)
        inland_km = north_km * math.cos(bearing) + east_km * math.sin(bearing)
        if inland_km < 0:
            north_km -= 2 * inland_km * math.cos(bearing)
            east_km -= 2 * inland_km * math.sin(bearing)
    away = math.hypot(north_km, east_km) > spread_km
    quarter = QUARTERS[round(math.degrees(math.atan2(east_km, north_km)) / 90) % 4] if away else None
    return _Site(town.name, *_moved(town.latitude, town.longitude, north_km, east_km), quarter, None)


class _Leg(NamedTuple):
    road: Road
    begin: Waypoint
    end: Waypoint
    length_km: float


def _legs() -> list[_Leg]:
    legs = []
    for road in ROADS:
        for begin, end in pairwise(road.waypoints):
            north_km = (end.latitude - begin.latitude) * KM_PER_DEGREE
            east_km = (
                (end.longitude - begin.longitude) * KM_PER_DEGREE * math.cos(math.radians(begin.latitude))
            )
            legs.append(_Leg(road, begin, end, math.hypot(north_km, east_km)))
    return legs


def _at_road(leg: _Leg, rng: Random) -> _Site:
    along = rng.random()
    near = (leg.begin, leg.end)[round(along)]
    latitude, longitude = _moved(
        leg.begin.latitude + along * (leg.end.latitude - leg.begin.latitude),
        leg.begin.longitude + along * (leg.end.longitude - leg.begin.longitude),
        rng.gauss(0, 0.3),
        rng.gauss(0, 0.3),
    )
    return _Site(near.name, latitude, longitude, None, leg.road.name)


def _places(stations: int, rng: Random) -> list[_Site]:
    at_roads = round(stations * ROADSIDE_SHARE)
    legs = _legs()
    # A little more than proportional to inhabitants for small towns, which have charging stations too.
    towns = rng.choices(TOWNS, [town.inhabitants**0.9 + 300 for town in TOWNS], k=stations - at_roads)
    places = [_in_town(town, rng) for town in towns]
    places += [_at_road(leg, rng) for leg in rng.choices(legs, [leg.length_km for leg in legs], k=at_roads)]
    rng.shuffle(places)
    return places


def _name(place: _Site, layout: Layout, taken: dict[str, int], rng: Random) -> str:
    if place.road is not None:
        name = f"{rng.choice(ROAD_SITES)} {place.near} {place.road}"
    else:
        site = rng.choice(FAST_SITES if layout.fast else SLOW_SITES)
        name = f"{site} {place.near}" if place.quarter is None else f"{site} {place.near} {place.quarter}"
    taken[name] = taken.get(name, 0) + 1
    return name if taken[name] == 1 else f"{name} {taken[name]}"


def _evses(
    uuid: str, number: int, company: Company, parts: Sequence[tuple[Equipment, int, int]], rng: Random
) -> tuple[tuple[Evse, ...], tuple[Outlet, ...]]:
    evses: list[Evse] = []
    outlets: list[Outlet] = []
    party = f"{company.party[:2]}*{company.party[2:]}"
    for equipment, fewest, most in parts:
        for _ in range(rng.randint(fewest, most)):
            evse_id = f"{party}*E{number}{len(evses) + 1:02d}"
            uid = None
            if company.habit.form is Form.UID:
                uid = str(UUID(int=rng.getrandbits(128), version=4))
            outlets += [Outlet(len(evses), connector) for connector in equipment]
            evses.append(Evse(evse_key(evse_id), uuid, evse_id=evse_id, uid=uid, party=company.party))
    return tuple(evses), tuple(outlets)


def _details(number: int, place: _Site, layout: Layout) -> Details:
    """One of a few objects."""
    if place.road is None:
        known = _DETAILS_FAST if layout.fast else _DETAILS_SLOW
        return known[number % len(known)]
    has_trucks = any(equipment == _MCS for equipment, _, _ in layout.parts)
    return _AT_ROAD_TRUCKS if has_trucks else _AT_ROAD


def build(stations: int, rng: Random) -> list[StationDraft]:
    """As many stations as asked for, at most `STATIONS_MAX`; on average 5 EVSEs each.

    A station at a main road has the road's name (`E6`) as its address; others have no address.

    Raises:
        ValueError: the number is not between 1 and `STATIONS_MAX`.
    """
    if not 1 <= stations <= STATIONS_MAX:
        raise ValueError(f"{stations} stations; build between 1 and {STATIONS_MAX}")
    slow_shares = [company.slow for company in COMPANIES]
    fast_shares = [company.fast for company in COMPANIES]
    layouts = {
        False: (IN_TOWN, [layout.share for layout in IN_TOWN]),
        True: (AT_ROADS, [layout.share for layout in AT_ROADS]),
    }
    taken: dict[str, int] = {}
    drafts = []
    for number, place in enumerate(_places(stations, rng), FIRST_NUMBER):
        kinds, shares = layouts[place.road is not None]
        layout = rng.choices(kinds, shares)[0]
        company = rng.choices(COMPANIES, fast_shares if layout.fast else slow_shares)[0]
        uuid = f"NOR_{number:05d}"
        evses, outlets = _evses(uuid, number, company, layout.parts, rng)
        drafts.append(
            StationDraft(
                Station(
                    uuid=uuid,
                    name=_name(place, layout, taken, rng),
                    country="NOR",
                    latitude=place.latitude,
                    longitude=place.longitude,
                    evses=evses,
                    outlets=outlets,
                    operator=company.name,
                    address=place.road,
                    city=place.near,
                    register=REGISTER,
                    native_id=str(number),
                    details=_details(number, place, layout),
                )
            )
        )
    return drafts
