"""What pages are shown of the whole board: objects of version 2, and stations in columns.

A map of 40,000 stations is some columns of numbers, made once for each state of the registry and small when
packed; what changes with statuses is four more. Row i of each is the same station.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final

import msgspec

from ladestrom.formats.wire import instant
from ladestrom.model import Connector, Evse, Millis, Station, Status
from ladestrom.outputs.map.history import Segment
from ladestrom.record import Access, Hours, Payment, Span, Terms, Vehicle

STANDARDS_MAX: Final = 30
"""Bits of a mask that every language reads as one positive number."""
OTHERS: Final = "OTHER"
"""What the last bit means where there are more."""
ROWS_AT_ONCE: Final = 250
"""Stations taken before other work of the loop may get its turn: some 1 ms."""
REVISION_BYTES: Final = 6
"""As much of a hash as a number of JavaScript holds."""


class EvseClass(msgspec.Struct, frozen=True, omit_defaults=True):
    """What EVSEs have in common that filters tell apart."""

    kw: float
    """0 where it is not known."""
    plugs: list[tuple[int, float]]
    """Place in `standards`, and the power of that plug."""
    access: Access | None = None
    payment: tuple[str, ...] = ()
    """Ways to pay that the register affirms (`record.Payment`)."""
    vehicles: tuple[Vehicle, ...] = ()


class MapOpening(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """`record.Opening` with the time zone that it is in, and without its text."""

    time_zone: str | None = None
    always: bool | None = None
    hours: tuple[Hours, ...] = ()
    openings: tuple[Span, ...] = ()
    closings: tuple[Span, ...] = ()
    more: bool = False
    """Whether the register says more than these members do."""


class MapStations(msgspec.Struct, frozen=True):
    """Stations on the map, in columns: what does not change with statuses."""

    revision: int
    operators: list[str]
    standards: list[str]
    countries: list[str]
    uuid: list[str]
    name: list[str]
    city: list[str | None]
    lon: list[int]
    lat: list[int]
    operator: list[int]
    country: list[int]
    power_kw: list[float]
    standard: list[int]
    evses: list[int]
    opening: list[int]
    openings: list[MapOpening]
    classes: list[EvseClass]
    evse_class: list[int]
    """Of each EVSE, station by station, as many of each as `evses` says."""
    named: list[str]
    """Names of EVSEs whose class is not that of their station's first one, in the same order."""


class MapTexts(msgspec.Struct, frozen=True):
    """What people search stations by, beside what is on the map."""

    revision: int
    address: list[str | None]
    postal_code: list[str | None]
    municipality: list[str | None]
    ids: list[str]


class MapState(msgspec.Struct, frozen=True):
    """EVSEs of each station on the map by what a driver can do with them, at one position."""

    position: str
    revision: int
    at: str
    available: Sequence[int]
    occupied: Sequence[int]
    faulty: Sequence[int]
    unknown: Sequence[int]
    evse_groups: str
    """A digit for each EVSE, in the order of `evse_class`: its group, or 4 where it is not counted."""


class Groups(msgspec.Struct, frozen=True):
    """EVSEs by what a driver can do with them."""

    available: int
    occupied: int
    faulty: int
    unknown: int


class Consumers(msgspec.Struct, frozen=True):
    """Who follows a stream now."""

    total: int
    v1: int
    v2: int
    events: int


class PlaceActivity(msgspec.Struct, frozen=True):
    """How busy a town is."""

    country: str
    place: str
    stations: int
    evses: int
    occupied: int
    changes_hour: int
    longitude: float
    """Of a station there, as is the latitude."""
    latitude: float


class Overview(msgspec.Struct, frozen=True):
    """The whole board in numbers, and how much goes on."""

    position: str
    at: str
    started_at: str
    stations: int
    evses: int
    statuses: dict[str, int]
    errors: int
    groups: Groups
    consumers: Consumers
    visitors: int
    changes_total: int
    seconds: list[int]
    minutes: list[int]
    tens: list[int]
    hours: list[int]
    kept_from: str | None
    """None where nothing was dropped of the log."""
    places: list[PlaceActivity]


class HistorySegment(msgspec.Struct, frozen=True):
    """What an EVSE was from an instant on, until the next segment's."""

    at: str
    status: Status
    error: int


class EvseHistory(msgspec.Struct, frozen=True):
    """One EVSE's segments, in order. The first one holds when the history begins, and may be older."""

    evse: str
    segments: list[HistorySegment]


class StationHistory(msgspec.Struct, frozen=True):
    """What the EVSEs of a station were in the last hours."""

    station: str
    from_: str = msgspec.field(name="from")
    until: str
    position: str
    complete_from: str
    evses: list[EvseHistory]


def station_history(
    station: Station,
    position: str,
    span: tuple[Millis, Millis, Millis],
    segments: Mapping[Evse, Sequence[Segment]],
) -> StationHistory:
    """One station's object; `span` is from when to when, and since when nothing is missing."""
    start, until, complete = map(_instant, span)
    return StationHistory(
        station=station.uuid,
        from_=start,
        until=until,
        position=position,
        complete_from=complete,
        evses=[
            EvseHistory(
                evse.name,
                [HistorySegment(_instant(one.at), one.status, int(one.error)) for one in own],
            )
            for evse, own in segments.items()
        ],
    )


def _instant(at: Millis) -> str:
    return instant(at) or ""


class Columns:
    """Columns of stations, filled slice by slice."""

    def __init__(self) -> None:
        self._texts: dict[str, list[str]] = {"uuid": [], "name": []}
        self._city: list[str | None] = []
        self._numbers: dict[str, list[int]] = {
            name: [] for name in ("lon", "lat", "operator", "country", "standard", "evses", "opening")
        }
        self._power_kw: list[float] = []
        self._operators: dict[str, int] = {}
        self._countries: dict[str, int] = {}
        self._plugs: dict[frozenset[str], int] = {}
        self._openings: dict[MapOpening, int] = {}
        self._classes: dict[_Class, int] = {}
        self._evse_class = array("I")
        self._named: list[str] = []

    def fill(self, stations: Sequence[Station]) -> Iterator[None]:
        """Adds the stations in order; each turn adds some, and the caller rests between them."""
        for start in range(0, len(stations), ROWS_AT_ONCE):
            for station in stations[start : start + ROWS_AT_ONCE]:
                self._add(station)
            yield

    def _add(self, station: Station) -> None:
        numbers = self._numbers
        self._texts["uuid"].append(station.uuid)
        self._texts["name"].append(station.name)
        self._city.append(station.city)
        numbers["lon"].append(round(station.longitude * 100_000))
        numbers["lat"].append(round(station.latitude * 100_000))
        numbers["country"].append(self._countries.setdefault(station.country, len(self._countries)))
        operator = station.operator
        numbers["operator"].append(
            self._operators.setdefault(operator, len(self._operators)) if operator else -1
        )
        connectors = [outlet.connector for outlet in station.outlets]
        self._power_kw.append(_short(max((one.max_kw for one in connectors if one.max_kw), default=0)))
        plugs = frozenset(one.standard for one in connectors)
        numbers["standard"].append(self._plugs.setdefault(plugs, len(self._plugs)))
        numbers["evses"].append(len(station.evses))
        numbers["opening"].append(self._opening(station))
        self._add_evses(station)

    def _opening(self, station: Station) -> int:
        opening = station.details.opening
        if opening is None:
            return -1
        told = MapOpening(
            station.details.time_zone,
            opening.always,
            opening.hours,
            opening.openings,
            opening.closings,
            opening.text is not None,
        )
        return self._openings.setdefault(told, len(self._openings))

    def _add_evses(self, station: Station) -> None:
        common = _terms(station.details)
        plugs: list[list[Connector]] = [[] for _ in station.evses]
        for outlet in station.outlets:
            plugs[outlet.evse].append(outlet.connector)
        first = -1
        for evse, own in zip(station.evses, plugs, strict=True):
            made = _class(evse, own, common if evse.terms is None else _terms(evse.terms))
            number = self._classes.setdefault(made, len(self._classes))
            self._evse_class.append(number)
            if first < 0:
                first = number
            elif number != first:
                self._named.append(evse.name)

    def encoded(self) -> tuple[int, bytes]:
        """Their revision, and `MapStations` as JSON.

        The revision is a number that is made of the content: other content has another, and after a restart
        the same has the same. Each column is encoded by itself, so that no step takes long.
        """
        standards, masks, places = self._masks()
        columns: dict[str, Any] = {
            "operators": list(self._operators),
            "standards": standards,
            "countries": list(self._countries),
            **self._texts,
            "city": self._city,
            **self._numbers,
            "power_kw": self._power_kw,
        }
        columns["standard"] = [masks[number] for number in self._numbers["standard"]]
        columns["openings"] = list(self._openings)
        columns["classes"] = [
            EvseClass(kw, [(places[word], own) for word, own in plugs], access, payment, vehicles)
            for kw, plugs, (access, payment, vehicles) in self._classes
        ]
        columns["evse_class"] = self._evse_class.tolist()
        columns["named"] = self._named
        parts = {name: msgspec.json.encode(column) for name, column in columns.items()}
        content = blake2b(digest_size=REVISION_BYTES)
        for part in parts.values():
            content.update(part)
        revision = int.from_bytes(content.digest(), "big")
        parts["revision"] = str(revision).encode()
        return revision, joined(MapStations, parts)

    def _masks(self) -> tuple[list[str], list[int], dict[str, int]]:
        """Standards in order of their bits, the commonest first; the mask of each set of plugs; the bits."""
        used = Counter(self._numbers["standard"])
        counted: Counter[str] = Counter()
        for plugs, number in self._plugs.items():
            for standard in plugs:
                counted[standard] += used[number]
        ordered = sorted(counted, key=lambda standard: (-counted[standard], standard))
        told = ordered if len(ordered) <= STANDARDS_MAX else [*ordered[: STANDARDS_MAX - 1], OTHERS]
        bits = {standard: min(place, STANDARDS_MAX - 1) for place, standard in enumerate(ordered)}
        masks = [0] * len(self._plugs)
        for plugs, number in self._plugs.items():
            for standard in plugs:
                masks[number] |= 1 << bits[standard]
        return told, masks, bits


_Terms = tuple[Access | None, tuple[str, ...], tuple[Vehicle, ...]]
_Class = tuple[float, tuple[tuple[str, float], ...], _Terms]
_WAYS: Final = Payment.__struct_fields__


def _terms(terms: Terms) -> _Terms:
    ways = terms.payment
    paid = () if ways is None else tuple(way for way in _WAYS if getattr(ways, way))
    return terms.access, paid, terms.vehicles


def _class(evse: Evse, plugs: Sequence[Connector], terms: _Terms) -> _Class:
    """As `core.features` judges: an EVSE has the power of its strongest plug, an only plug its EVSE's."""
    known = [plug.max_kw for plug in plugs if plug.max_kw]
    whole = evse.max_kw or max(known, default=0)
    if len(plugs) == 1:
        return _short(whole), ((plugs[0].standard, _short(plugs[0].max_kw or whole)),), terms
    told = {(plug.standard, _short(plug.max_kw or 0)) for plug in plugs}
    return _short(whole), tuple(sorted(told)), terms


def _short(kw: float) -> float:
    """Whole numbers without a fraction, which is shorter."""
    return int(kw) if kw == int(kw) else kw


class Texts:
    """The columns of `MapTexts`, filled slice by slice."""

    def __init__(self) -> None:
        self._columns: dict[str, list[str | None]] = {
            name: [] for name in ("address", "postal_code", "municipality", "ids")
        }

    def add(self, station: Station | None) -> None:
        """Adds the next row; None is a station that is gone meanwhile."""
        row: tuple[str | None, ...] = (None, None, None, "")
        if station is not None:
            details = station.details
            code = " ".join(filter(None, (details.municipality, details.municipality_code)))
            ids = " ".join([station.native_id, *(one.id for one in details.ids)])
            row = station.address, details.postal_code, code or None, ids
        for column, text in zip(self._columns.values(), row, strict=True):
            column.append(text)

    def encoded(self, revision: int) -> bytes:
        """`MapTexts` as JSON."""
        parts = {name: msgspec.json.encode(column) for name, column in self._columns.items()}
        return joined(MapTexts, {**parts, "revision": str(revision).encode()})


def joined(kind: type[msgspec.Struct], parts: Mapping[str, bytes]) -> bytes:
    """An object of a type from its members, each encoded already."""
    members = (b'"%s":%s' % (name.encode(), parts[name]) for name in kind.__struct_fields__)
    return b"{%s}" % b",".join(members)
