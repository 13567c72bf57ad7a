"""Stations as GeoJSON, and EVSEs as JSON lines.

Sources: RFC 7946 (GeoJSON), RFC 8259. What a record has of a station is what lists have
(`formats.station_record`); an EVSE is the object of lists (`formats.evse_state`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, Literal

import msgspec

from ladestrom.formats.documents import LeftOut, Seen
from ladestrom.formats.evse_state import evse_states
from ladestrom.formats.station_record import of_station
from ladestrom.model import Position, Station, Status
from ladestrom.record import Details

GEOJSON: Final = "application/geo+json"
NDJSON: Final = "application/x-ndjson"
COUNTED: Final = tuple(status for status in Status if status not in {Status.PLANNED, Status.REMOVED})
"""Statuses of which there are numbers of EVSEs; the others are not listed."""

_encode = msgspec.json.Encoder().encode


class StationProperties(Details, frozen=True, gc=False):
    """A station's record, and how many EVSEs it has by status."""

    uuid: str
    revision: int
    """Sequence of the entry that brought this record."""
    name: str
    operator: str | None
    country: str
    address: str | None
    city: str | None
    register: str
    native_id: str
    connectors: tuple[str, ...]
    """Their standards, each once."""
    evses: int
    available: int
    blocked: int
    charging: int
    inoperative: int
    outoforder: int
    reserved: int
    unknown: int
    max_kw: float | None = None
    """Of its strongest EVSE."""
    updated_at: str | None = None


class Point(msgspec.Struct, frozen=True):
    """A place, WGS 84 (RFC 7946, section 3.1.2)."""

    type: Literal["Point"]
    coordinates: tuple[float, float]


class StationFeature(msgspec.Struct, frozen=True):
    """A station on a map (RFC 7946, section 3.2)."""

    type: Literal["Feature"]
    id: str
    geometry: Point
    properties: StationProperties


class StationCollection(msgspec.Struct, frozen=True, omit_defaults=True):
    """Stations on a map (RFC 7946, section 3.3); `epoch` and `seq` are foreign members (section 6.1)."""

    type: Literal["FeatureCollection"]
    epoch: str
    seq: int
    features: list[StationFeature]
    bbox: tuple[float, float, float, float] | None = None


def counts(seen: Seen) -> dict[str, int]:
    """EVSEs of a station by status, by the names of columns and properties."""
    found = dict.fromkeys((status.value.lower() for status in COUNTED), 0)
    for _, held in seen.listed:
        found[held.change.status.value.lower()] += 1
    return found


def max_kw(station: Station) -> float | None:
    """The power of a station's strongest EVSE, as far as it is known."""
    powers = [evse.max_kw for evse in station.evses]
    powers += [outlet.connector.max_kw for outlet in station.outlets]
    return max((power for power in powers if power is not None), default=None)


def standards(station: Station) -> tuple[str, ...]:
    """Which plugs a station has, each once."""
    return tuple(sorted({outlet.connector.standard for outlet in station.outlets}))


class Features:
    """`stations.geojson`: a feature for each station."""

    def __init__(self) -> None:
        self.left_out = LeftOut()
        self._west = self._south = 180.0
        self._east = self._north = -180.0

    def part(self, seen: Seen) -> bytes:
        """A station."""
        station = seen.station
        longitude, latitude = station.longitude, station.latitude
        self._west, self._east = min(self._west, longitude), max(self._east, longitude)
        self._south, self._north = min(self._south, latitude), max(self._north, latitude)
        members = of_station(station, seen.revision)
        del members["position"]
        members.update(counts(seen))
        properties = StationProperties(
            **members,
            evses=len(seen.listed),
            max_kw=max_kw(station),
            connectors=standards(station),
        )
        return _encode(
            StationFeature("Feature", station.uuid, Point("Point", (longitude, latitude)), properties)
        )

    def head(self, position: Position) -> bytes:
        """The collection, up to its first feature. A collection without features has no `bbox`."""
        west, south, east, north = self._west, self._south, self._east, self._north
        bbox = (west, south, east, north) if west <= east else None
        whole = _encode(StationCollection("FeatureCollection", position.epoch, position.seq, [], bbox))
        before, empty, after = whole.partition(b'"features":[]')
        rest = after.removeprefix(b",").removesuffix(b"}")
        return before + (rest + b"," if rest else b"") + empty[:-1]

    def pieces(self, parts: Iterable[bytes]) -> Iterator[bytes]:
        """The features."""
        return _listed(parts)


def _listed(parts: Iterable[bytes]) -> Iterator[bytes]:
    separator = b"\n"
    for part in parts:
        yield separator + part
        separator = b",\n"
    yield b"\n]}\n"


class Lines:
    """`evses.ndjson`: an EVSE a line."""

    def __init__(self) -> None:
        self.left_out = LeftOut()

    def part(self, seen: Seen) -> bytes:
        """The EVSEs of a station."""
        return b"".join(
            _encode(state) + b"\n" for state in evse_states(seen.station, seen.chosen, seen.observed)
        )

    def head(self, position: Position) -> bytes:  # noqa: ARG002 - the form has no place for it
        """Nothing."""
        return b""

    def pieces(self, parts: Iterable[bytes]) -> Iterator[bytes]:
        """The lines of all stations."""
        yield from parts
