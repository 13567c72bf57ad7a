"""Answers about the whole map, made once and given to all who ask meanwhile, packed.

Nothing here takes the loop for long: stations are gone through in slices, and what is encoded as a whole is
encoded and packed in a thread.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Final

import msgspec

from ladestrom.core.panorama import GROUPS, Panorama
from ladestrom.core.view import View
from ladestrom.formats.look import ROWS_A_TURN, Columns, MapState, joined
from ladestrom.formats.v2 import instant
from ladestrom.model import Millis

STATIONS_GZIP: Final = 6
"""Once for each state of the registry."""
MAP_GZIP: Final = 1
MAP_S_MAX: Final = 1.0
"""How old the numbers may be that one gets: the stream makes up for it."""
STATIONS_S_MIN: Final = 5.0
"""Between two times that columns are made anew, while the registry changes all the time."""


class Packed(msgspec.Struct, frozen=True):
    """An answer as it is and with gzip."""

    body: bytes
    gzip: bytes
    tag: str = ""


class Stations(msgspec.Struct, frozen=True):
    """Columns of stations, and which station each row is."""

    packed: Packed
    revision: int
    places: list[int]
    """Numbers of the stations in the panorama."""
    made_of: tuple[int, int]
    """Revision of the registry and number of stations on the board when they were made."""
    made_s: float


class Chart:
    """The map of one view."""

    def __init__(self, view: View, panorama: Panorama, clock: Callable[[], Millis]) -> None:
        self._view = view
        self._panorama = panorama
        self._clock = clock
        self._stations: Stations | None = None
        self._stations_lock = asyncio.Lock()
        self._state: tuple[float, int, Packed] | None = None
        self._state_lock = asyncio.Lock()

    async def stations(self) -> Packed:
        """The columns, made anew where the registry is another."""
        async with self._stations_lock:
            made = self._stations
            if made is None or (
                made.made_of != self._state_of_registry() and monotonic() - made.made_s >= STATIONS_S_MIN
            ):
                made = self._stations = await self._make_stations()
            return made.packed

    async def state(self) -> Packed:
        """The numbers, at a position that is at most `MAP_S_MAX` old."""
        if self._stations is None:
            await self.stations()
        async with self._state_lock:
            stations = self._stations
            assert stations is not None  # noqa: S101 - made above, and never unmade
            made = self._state
            if made is None or made[1] != stations.revision or monotonic() - made[0] > MAP_S_MAX:
                made_s = monotonic()
                parts = self._numbers(stations)
                packed = await asyncio.to_thread(_packed, MapState, parts, MAP_GZIP)
                made = self._state = made_s, stations.revision, packed
            return made[2]

    def _state_of_registry(self) -> tuple[int, int]:
        return self._view.directory.revision, len(self._view)

    async def _make_stations(self) -> Stations:
        view, numbers = self._view, self._panorama.stations
        made_of, made_s = self._state_of_registry(), monotonic()
        columns, found = Columns(), []
        for place, uuid in enumerate(view.uuids()):
            station = view.directory.stations.get(uuid)
            if station is not None and station.vanished_at is None:
                found.append(station)
            if place % ROWS_A_TURN == 0:
                await asyncio.sleep(0)
        for _ in columns.fill(found):
            await asyncio.sleep(0)
        revision, packed = await asyncio.to_thread(_columns, columns)
        return Stations(packed, revision, [numbers[station.uuid] for station in found], made_of, made_s)

    def _numbers(self, stations: Stations) -> dict[str, bytes]:
        encode = msgspec.json.encode
        rows = self._panorama.rows(stations.places)
        return {
            "position": encode(str(self._view.position)),
            "revision": encode(stations.revision),
            "at": encode(instant(self._clock())),
            **dict(zip(GROUPS, map(encode, rows), strict=True)),
        }


def _columns(columns: Columns) -> tuple[int, Packed]:
    revision, body = columns.encoded()
    return revision, Packed(body, gzip.compress(body, STATIONS_GZIP, mtime=0), f'"{revision}"')


def _packed(kind: type[msgspec.Struct], parts: Mapping[str, bytes], level: int) -> Packed:
    body = joined(kind, parts)
    return Packed(body, gzip.compress(body, level, mtime=0))
