"""What a consumer asked for: filters over stations, EVSEs and statuses.

Pure. A selection is hashable, so that consumers with equal ones share everything made for them. Filters
on what a station is (country, operator, station, box) are answered once per station, not per change.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec

from ladestrom.countries import WRITTEN
from ladestrom.countries import country as country_code
from ladestrom.errors import InvalidSelection
from ladestrom.model import PARTY_CHARACTERS, Change, Evse, Station, Status, evse_key, local_key, registry_key
from ladestrom.quoting import did_you_mean, quoted

LONGITUDE_MAX = 180
LATITUDE_MAX = 90
VALUES_MAX = 1_000
"""Values one filter may list; the query string of 64 KiB that uvicorn reads would hold more."""


class Box(msgspec.Struct, frozen=True, gc=False):
    """A bounding box in degrees, WGS 84. One that crosses the 180th meridian has west > east."""

    west: float
    south: float
    east: float
    north: float

    def holds(self, longitude: float, latitude: float) -> bool:
        """Whether the place is in the box, its edges included."""
        if not self.south <= latitude <= self.north:
            return False
        if self.west <= self.east:
            return self.west <= longitude <= self.east
        return longitude >= self.west or longitude <= self.east


class Selection(msgspec.Struct, frozen=True):
    """Filters; values of one are alternatives, different ones narrow. An empty set lets everything pass."""

    country: frozenset[str] = frozenset()
    station: frozenset[str] = frozenset()
    operator: frozenset[str] = frozenset()
    """Lower-case names, or parties in the form of `evse_key`, in small letters."""
    box: Box | None = None
    evse: frozenset[str] = frozenset()
    """EVSE keys."""
    status: frozenset[Status] = frozenset()

    @property
    def by_station(self) -> bool:
        """Whether all EVSEs of a station pass that it covers, whatever their status."""
        return not self.evse and not self.status

    @property
    def by_record(self) -> bool:
        """Whether it depends on what a register says of a station, which may come to say something else."""
        return bool(self.country or self.operator or self.box is not None)

    @property
    def by_whereabouts(self) -> bool:
        """Whether it depends on that, or on the station at which an EVSE is."""
        return self.by_record or bool(self.station)

    def covers(self, station: Station, held: Iterable[str] = (), sources: Iterable[str] = ()) -> bool:
        """Whether a station passes the filters that do not depend on statuses.

        `held` are keys of EVSEs that it had, beside those that its record names: that they left is told to
        those who asked for them. `sources` are names of operators that count as the station's, too.
        """
        if self.country and station.country not in self.country:
            return False
        if self.station and station.uuid not in self.station:
            return False
        if not self.is_of(station, sources):
            return False
        if self.evse and self.evse.isdisjoint((*held, *(evse.key for evse in station.evses))):
            return False
        return self.box is None or self.box.holds(station.longitude, station.latitude)

    def is_of(self, station: Station, sources: Iterable[str]) -> bool:
        """Whether the filter on operators lets an EVSE pass.

        By what the register says of its station, or by the names of those that tell of it, in any case.
        """
        if not self.operator or not self.operator.isdisjoint(operator_words(station)):
            return True
        return not self.operator.isdisjoint(map(str.casefold, sources))

    def chooses(self, change: Change) -> bool:
        """Whether the state that a change left passes the filters on EVSE and status."""
        return (not self.evse or change.evse in self.evse) and (
            not self.status or change.status in self.status
        )

    def covers_kind(self, country: str, operators: frozenset[str]) -> bool:
        """Whether the filters on country and operator let stations of a kind pass (`operator_words`)."""
        if self.country and country not in self.country:
            return False
        return not self.operator or not self.operator.isdisjoint(operators)


EVERYTHING = Selection()


def outline(station: Station) -> Station:
    """What filters see of a station: its country, place and operator, and whose EVSEs it has."""
    return Station(
        station.uuid,
        "",
        station.country,
        station.latitude,
        station.longitude,
        tuple(Evse(evse.key, evse.station, party=evse.party) for evse in station.evses),
        (),
        station.operator,
    )


def is_relocated(before: Station, after: Station) -> bool:
    """Whether a filter may see another station in a new record of it."""
    return (
        before.country != after.country
        or (before.longitude, before.latitude) != (after.longitude, after.latitude)
        or set(operator_words(before)) != set(operator_words(after))
    )


def operator_words(station: Station) -> Iterator[str]:
    """What a filter on operators may call those of a station: its operator and its EVSEs' parties."""
    if station.operator is not None:
        yield station.operator.casefold()
    for evse in station.evses:
        if evse.party is not None:
            yield evse.party.casefold()


def selection(parameters: Mapping[str, str], *, names: frozenset[str]) -> Selection:
    """Reads filters from query parameters; of these only `names` are looked at.

    Raises:
        InvalidSelection: a value cannot be understood; says which and how to write it.
    """
    read: dict[str, object] = {}
    for name in names:
        text = parameters.get(name)
        if text is None or not text.strip():
            continue
        field, reader = _READERS[name]
        read[field] = reader(text)
    return Selection(**read) if read else EVERYTHING  # type: ignore[arg-type]


def values(name: str, text: str) -> list[str]:
    """The values of a parameter that lists them, joined by commas.

    Raises:
        InvalidSelection: one of them is empty, or there are too many.
    """
    listed = [value.strip() for value in text.split(",")]
    if not all(listed):
        raise InvalidSelection(f"{name}={quoted(text, 40)} has an empty value; remove the comma")
    if len(listed) > VALUES_MAX:
        raise InvalidSelection(f"{name} lists {len(listed)} values; at most {VALUES_MAX} are allowed")
    return listed


def _countries(text: str) -> frozenset[str]:
    found = set()
    for value in values("country", text):
        code = country_code(value)
        if code is None:
            hint = did_you_mean(value.upper(), sorted(WRITTEN))
            raise InvalidSelection(
                f"country={quoted(value, 20)} is not a country{hint}; write NOR, SWE, FIN, DAN or an ISO "
                "3166-1 code"
            )
        found.add(code)
    return frozenset(found)


def _stations(text: str) -> frozenset[str]:
    return frozenset(local_key(value) for value in values("station", text))


def _operators(text: str) -> frozenset[str]:
    names = set()
    for value in values("operator", text):
        names.add(value.casefold())
        party = evse_key(value)
        if len(party) == PARTY_CHARACTERS:
            names.add(party.casefold())
    return frozenset(names)


def _evses(text: str) -> frozenset[str]:
    found = set()
    for value in values("evse", text):
        key = evse_key(value) or registry_key(value)
        if not key:
            raise InvalidSelection(
                f"evse={quoted(value, 60)} is not an EVSE; write its EVSE id, or its registry key"
                " (NOR_01333_01)"
            )
        found.add(key)
    return frozenset(found)


def _statuses(text: str) -> frozenset[Status]:
    found = set()
    for value in values("status", text):
        status = _STATUSES.get(value.upper())
        if status is None:
            hint = did_you_mean(value.upper(), _STATUSES)
            words = ", ".join(_STATUSES)
            raise InvalidSelection(
                f"status={quoted(value, 40)} is an unknown word{hint}; the words are {words}"
            )
        found.add(status)
    return frozenset(found)


def _box(text: str) -> Box:
    try:
        west, south, east, north = (float(part) for part in text.split(","))
    except ValueError:
        raise InvalidSelection(
            f"bbox={quoted(text, 60)} is not a box; write minLon,minLat,maxLon,maxLat in degrees"
        ) from None
    if not all(math.isfinite(edge) for edge in (west, south, east, north)):
        raise InvalidSelection(f"bbox={quoted(text, 60)} has an edge that is not a finite number")
    in_range = all(abs(edge) <= LONGITUDE_MAX for edge in (west, east))
    if not in_range or not -LATITUDE_MAX <= south <= north <= LATITUDE_MAX:
        raise InvalidSelection(
            f"bbox={quoted(text, 60)} is out of range; longitudes are -180 to 180, latitudes -90 to 90, "
            "minLat first"
        )
    return Box(west, south, east, north)


_STATUSES: Mapping[str, Status] = {status.value: status for status in Status}
_READERS: Mapping[str, tuple[str, Callable[[str], object]]] = {
    "country": ("country", _countries),
    "station": ("station", _stations),
    "operator": ("operator", _operators),
    "evse": ("evse", _evses),
    "status": ("status", _statuses),
    "bbox": ("box", _box),
}

STATION_FILTERS = frozenset({"country", "station", "operator", "bbox"})
"""Filters of the NOBIL stream and REST v1."""
EVSE_FILTERS = STATION_FILTERS | {"evse", "status"}
"""Filters of version 2."""
