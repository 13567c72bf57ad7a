"""Documents of NOBIL's interface: stations in JSON and XML, the nearest ones among them, and statistics.

The envelope has nothing beside what NOBIL has: readers of these documents do not skip members that they do
not know. So the position is in a header only.

Source: NOBIL API version 3, `search.php` and `datadump.php`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from functools import lru_cache
from operator import itemgetter
from typing import Any, Final

import msgspec

from ladestrom.core.rules import Pairs, nobil_pairs
from ladestrom.formats.dialect import Style
from ladestrom.formats.documents import LeftOut, Seen
from ladestrom.model import Millis, Position, Station
from ladestrom.outputs.nobil_v3 import table, xml
from ladestrom.outputs.nobil_v3.table import Told
from ladestrom.outputs.nobil_v3.words import NAMES, Attribute
from ladestrom.registers import nobil_tables as tables

APIVER: Final = "3"
NO_CONNECTOR: Final = "no_connector"
EARTH_M: Final = 6_371_008.8
"""Mean radius (IUGG)."""
CACHED_MAX: Final = 4_096
"""Attributes whose text is kept: the lists of values have some hundreds."""
_IDS: Final = frozenset({tables.EVSE_UID, tables.EVSE_ID})
_encode = msgspec.json.Encoder().encode

Part = tuple[float, bytes | Seen]
"""Metres from where one looks, and a station: as it is written, or to be written if it is near enough."""


class Wanted(msgspec.Struct, frozen=True):
    """What a request asks for beside the filters of lists."""

    near: tuple[float, float] | None = None
    """Latitude and longitude from which distances count; the nearest come first then."""
    distance_m: float = math.inf
    limit: int | None = None
    existing: frozenset[int] = frozenset()
    """Numbers of stations that the client has."""
    since: Millis | None = None
    """Stations only that were updated since."""
    by_record: bool = False
    """What was told of EVSEs since is no update."""
    without_live: bool = False
    """Stations only of which nobody told a status."""


ANYTHING: Final = Wanted()


class Stations:
    """A list of stations."""

    def __init__(self, style: Style, wanted: Wanted = ANYTHING, *, as_xml: bool = False) -> None:
        self.left_out = LeftOut()
        self._style = style
        self._pairs: Pairs = nobil_pairs(style.inoperative)
        self._wanted = wanted
        self._write = xml.station if as_xml else _json
        self._is_xml = as_xml
        self._sources: Counter[tuple[str, str]] = Counter()
        """Whom the stations' licences want to be named, and the licences."""

    def part(self, seen: Seen) -> Part | None:
        """A station, where it is wanted."""
        metres = self._distance(seen)
        if metres is None:
            return None
        for evse in table.without_connector(seen):
            self.left_out.add(evse, NO_CONNECTOR)
        if self._wanted.near is not None and self._wanted.limit is not None:
            self._note(seen.station)
            return metres, seen
        body = self._written(seen)
        if body is None:
            return None
        self._note(seen.station)
        return metres, body

    def _distance(self, seen: Seen) -> float | None:
        """Metres to a station; None where it is not wanted."""
        wanted, station = self._wanted, seen.station
        if (
            (wanted.existing and table.number(station) in wanted.existing)
            or (wanted.without_live and table.is_live(seen.listed))
            or (wanted.since is not None and not self._is_updated(seen, wanted.since))
        ):
            return None
        if wanted.near is None:
            return 0.0
        metres = distance_m(wanted.near, (station.latitude, station.longitude))
        return metres if metres <= wanted.distance_m else None

    def _is_updated(self, seen: Seen, since: Millis) -> bool:
        updated_at = seen.station.updated_at
        if updated_at < 0 or updated_at >= since:
            return True
        return not self._wanted.by_record and any(held.change.changed_at >= since for _, held in seen.listed)

    def _note(self, station: Station) -> None:
        details = station.details
        self._sources[details.attribution or "", details.licence or ""] += 1

    def _written(self, seen: Seen) -> bytes | None:
        told = table.told(seen, self._pairs)
        return None if told is None else self._write(told)

    def head(self, position: Position) -> bytes:
        """Whose data it is."""
        del position
        return envelope(self._style, self._sources, as_xml=self._is_xml)

    def pieces(self, parts: Iterable[Part]) -> Iterator[bytes]:
        """The stations: the nearest first where one looks from a place."""
        wanted = self._wanted
        found = parts if wanted.near is None else sorted(parts, key=itemgetter(0))
        separator, count = b"\n", 0
        for _, station in found:
            if count == wanted.limit:
                break
            body = self._written(station) if isinstance(station, Seen) else station
            if body is not None:
                count += 1
                yield separator + body
                separator = b"\n" if self._is_xml else b",\n"
        yield b"\n</chargerstations>\n" if self._is_xml else b"\n]}\n"


def envelope(style: Style, sources: Iterable[tuple[str, str]], *, as_xml: bool) -> bytes:
    """What a document begins with: who provides it, and by which licence."""
    found = sorted(set(sources))
    provider = style.publisher or _named(attribution for attribution, _ in found) or style.attribution
    rights = style.licence or _named(licence for _, licence in found)
    if as_xml:
        return xml.head(provider, rights, APIVER)
    members = {"Provider": provider, "Rights": rights, "apiver": APIVER, "chargerstations": []}
    return _encode(members).removesuffix(b"]}")


def _named(texts: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(text for text in texts if text))


def distance_m(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Metres between two places (haversine)."""
    here, there = math.radians(one[0]), math.radians(other[0])
    half = math.sin((there - here) / 2) ** 2 + (
        math.cos(here) * math.cos(there) * math.sin(math.radians(other[1] - one[1]) / 2) ** 2
    )
    return 2 * EARTH_M * math.asin(math.sqrt(min(1.0, half)))


def _json(told: Told) -> bytes:
    conn = b",".join(
        b'"%d":{%s}' % (place, _listed(connector)) for place, connector in enumerate(told.connectors, 1)
    )
    return b'{"csmd":%s,"attr":{"st":{%s},"conn":{%s}}}' % (
        _encode(told.metadata),
        _listed(told.attributes),
        conn,
    )


def _listed(attributes: Iterable[Attribute]) -> bytes:
    return b",".join(
        _attribute(each) if each.value and each.kind not in _ENTERED else _common(each) for each in attributes
    )


_ENTERED: Final = frozenset({tables.CONNECTOR_STATUS, tables.ERROR_STATUS})
"""Kinds of which what is entered is one of few values."""


def _attribute(told: Attribute) -> bytes:
    made: dict[str, Any] = {
        "attrtypeid": told.kind,
        "attrname": NAMES[told.kind],
        "attrvalid": told.number,
        "trans": table.escaped(told.text),
        "attrval": told.value if told.kind in _IDS else table.escaped(told.value),
    }
    return b'"%s":%s' % (told.kind.encode(), _encode(made))


_common = lru_cache(CACHED_MAX)(_attribute)


class Kind(StrEnum):
    """Of statistics: what NOBIL calls them."""

    SUM = "stats_GetSumChargerstations"
    COUNTIES = "stats_TotalsAllCounties"
    COUNTY = "stats_TotalsByCountyId"
    MUNICIPALITIES = "stats_DetailedTotalsByCountyId"
    MUNICIPALITY = "stats_TotalsByMunicipalId"


Place = tuple[str, str, str, str]
"""Code and name of a county, and of a municipality."""


class Statistics:
    """Numbers of stations: of all that are selected, or by county or municipality."""

    def __init__(self, style: Style, kind: Kind, code: str = "") -> None:
        """`code` is that of the county or municipality that is asked for."""
        self.left_out = LeftOut()
        self._style = style
        self._kind = kind
        self._code = code

    def part(self, seen: Seen) -> tuple[Place, int] | None:
        """Where a station is, and its connectors."""
        station = seen.station
        keys = {evse.key for evse, _ in seen.listed}
        connectors = sum(station.evses[outlet.evse].key in keys for outlet in station.outlets)
        code, details = table.county(station), station.details
        own = code, details.region or "", details.municipality_code or "", details.municipality or ""
        match self._kind:
            case Kind.SUM:
                return (("", "", "", ""), connectors) if connectors else None
            case Kind.COUNTIES | Kind.COUNTY:
                is_wanted = bool(code) and self._code in {"", code}
                own = (*own[:2], "", "")
            case Kind.MUNICIPALITIES:
                is_wanted = code == self._code
            case Kind.MUNICIPALITY:
                is_wanted = own[2] == self._code
        return (own, connectors) if is_wanted and connectors else None

    def head(self, position: Position) -> bytes:
        """Whose data it is."""
        del position
        return envelope(self._style, (), as_xml=False)

    def pieces(self, parts: Iterable[tuple[Place, int]]) -> Iterator[bytes]:
        """A row for each place, in order of their codes; the sum is one row, also of nothing."""
        stations: Counter[Place] = Counter()
        points: Counter[Place] = Counter()
        for place, connectors in parts:
            stations[place] += 1
            points[place] += connectors
        if self._kind is Kind.SUM:
            yield _encode({"count": stations.total()})
        else:
            rows = (_encode(_row(place, stations[place], points[place])) for place in sorted(stations))
            yield b",".join(rows)
        yield b"]}\n"


def _row(place: Place, stations: int, points: int) -> Mapping[str, str | int]:
    names = ("County_ID", "County", "Municipality_ID", "Municipality")
    known = {name: table.escaped(text) for name, text in zip(names, place, strict=True) if text}
    return {**known, "count": stations, "Number_charging_points": points}
