"""What pages are shown of the whole board: objects of version 2, and stations in columns.

A map of 40,000 stations is some columns of numbers, made once for each state of the registry and small when
packed; what changes with statuses is four more. Row i of each is the same station.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final

import msgspec

from ladestrom.formats.wire import instant
from ladestrom.model import Evse, Millis, Station, Status
from ladestrom.outputs.map.history import Segment

STANDARDS_MAX: Final = 30
"""Bits of a mask that every language reads as one positive number."""
OTHERS: Final = "OTHER"
"""What the last bit means where there are more."""
ROWS_AT_ONCE: Final = 250
"""Stations taken before other work of the loop may get its turn: some 1 ms."""
REVISION_BYTES: Final = 6
"""As much of a hash as a number of JavaScript holds."""


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


class MapState(msgspec.Struct, frozen=True):
    """EVSEs of each station on the map by what a driver can do with them, at one position."""

    position: str
    revision: int
    at: str
    available: Sequence[int]
    occupied: Sequence[int]
    faulty: Sequence[int]
    unknown: Sequence[int]


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
            name: [] for name in ("lon", "lat", "operator", "country", "standard", "evses")
        }
        self._power_kw: list[float] = []
        self._operators: dict[str, int] = {}
        self._countries: dict[str, int] = {}
        self._plugs: dict[frozenset[str], int] = {}

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
        power_kw = max((one.max_kw for one in connectors if one.max_kw), default=0)
        self._power_kw.append(int(power_kw) if power_kw == int(power_kw) else power_kw)
        plugs = frozenset(one.standard for one in connectors)
        numbers["standard"].append(self._plugs.setdefault(plugs, len(self._plugs)))
        numbers["evses"].append(len(station.evses))

    def encoded(self) -> tuple[int, bytes]:
        """Their revision, and `MapStations` as JSON.

        The revision is a number that is made of the content: other content has another, and after a restart
        the same has the same. Each column is encoded by itself, so that no step takes long.
        """
        standards, masks = self._masks()
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
        parts = {name: msgspec.json.encode(column) for name, column in columns.items()}
        content = blake2b(digest_size=REVISION_BYTES)
        for part in parts.values():
            content.update(part)
        revision = int.from_bytes(content.digest(), "big")
        parts["revision"] = str(revision).encode()
        return revision, joined(MapStations, parts)

    def _masks(self) -> tuple[list[str], list[int]]:
        """Standards in order of their bits, the commonest first, and the mask of each set of plugs."""
        used = Counter(self._numbers["standard"])
        counted: Counter[str] = Counter()
        for plugs, number in self._plugs.items():
            for standard in plugs:
                counted[standard] += used[number]
        ordered = sorted(counted, key=lambda standard: (-counted[standard], standard))
        told = ordered if len(ordered) <= STANDARDS_MAX else [*ordered[: STANDARDS_MAX - 1], OTHERS]
        bits = {standard: 1 << min(place, STANDARDS_MAX - 1) for place, standard in enumerate(ordered)}
        masks = [0] * len(self._plugs)
        for plugs, number in self._plugs.items():
            for standard in plugs:
                masks[number] |= bits[standard]
        return told, masks


def joined(kind: type[msgspec.Struct], parts: Mapping[str, bytes]) -> bytes:
    """An object of a type from its members, each encoded already."""
    members = (b'"%s":%s' % (name.encode(), parts[name]) for name in kind.__struct_fields__)
    return b"{%s}" % b",".join(members)
