"""Answers about the whole map, made once and given to all who ask meanwhile, packed.

Nothing here takes the loop for long: stations are gone through in slices, and what is encoded as a whole is
encoded and packed in a thread.
"""

from __future__ import annotations

import asyncio
import gzip
from array import array
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from itertools import chain
from operator import itemgetter
from time import monotonic
from typing import Final

import msgspec

from ladestrom.core.view import View
from ladestrom.formats.wire import instant
from ladestrom.model import Millis, Station
from ladestrom.outputs.map.encoder import ROWS_AT_ONCE, Columns, MapState, Texts, joined
from ladestrom.outputs.map.station_counts import GROUPS, StationCounts
from ladestrom.tasks import Turns, background

STATIONS_GZIP: Final = 6
"""Once for each state of the registry."""
MAP_GZIP: Final = 1
MAP_S_MAX: Final = 1.0
"""How old the numbers may be that one gets: the stream makes up for it."""
STATIONS_S_MIN: Final = 5.0
"""Between two times that columns are made anew, while the registry changes all the time."""
TAG_BYTES: Final = 8
"""As much of a hash as tells two of them apart."""
EVSES_AT_ONCE: Final = 10_000
"""Some 0.3 ms."""
SORTED_AT_ONCE: Final = 2_000
"""Words: some 2 ms."""


class Packed(msgspec.Struct, frozen=True):
    """An answer as it is and with gzip."""

    body: bytes
    gzip: bytes
    tag: str = ""


class Stations(msgspec.Struct, frozen=True):
    """Columns of stations, and which station each row is."""

    packed: Packed
    revision: int
    uuids: Sequence[str]
    """By row."""
    pick: Callable[[Sequence[int]], Sequence[int]]
    """Puts numbers by station of `StationCounts` in the order of the rows."""
    evses: array[int]
    """Numbers of `StationCounts` of the EVSEs of all rows; -1 for those that it had none for."""
    missing: tuple[tuple[int, str], ...]
    """These: their place in `evses`, and their key."""
    made_of: tuple[int, int]
    """Revision of the registry and number of stations on the board when they were made."""
    made_s: float


class Chart:
    """The map of one view."""

    def __init__(self, view: View, counts: StationCounts, clock: Callable[[], Millis]) -> None:
        self._view = view
        self._counts = counts
        self._clock = clock
        self._stations: Stations | None = None
        self._stations_lock = asyncio.Lock()
        self._state: tuple[float, int, Packed] | None = None
        self._state_lock = asyncio.Lock()
        self._texts: tuple[int, Packed] | None = None
        self._texts_lock = asyncio.Lock()

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
                # What is copied in one step of the loop is of one position; all else has time.
                position, at, groups = str(self._view.position), self._clock(), self._counts.by_station()
                digits, known = self._counts.by_evse(), self._counts.evses
                come = [(place, known[key]) for place, key in stations.missing if key in known]
                packed = await asyncio.to_thread(_numbers, stations, position, at, groups, digits, come)
                made = self._state = made_s, stations.revision, packed
            return made[2]

    async def texts(self) -> Packed:
        """What stations are searched by, in the rows of the columns; made once for each revision of these."""
        if self._stations is None:
            await self.stations()
        async with self._texts_lock:
            stations = self._stations
            assert stations is not None  # noqa: S101 - made above, and never unmade
            if self._texts is None or self._texts[0] != stations.revision:
                found, texts, turns = self._view.directory.stations, Texts(), Turns()
                for place, uuid in enumerate(stations.uuids):
                    texts.add(found.get(uuid))
                    if place % ROWS_AT_ONCE == 0:
                        await turns.rest()
                packed = await asyncio.to_thread(_texts, texts, stations.revision)
                self._texts = stations.revision, packed
            return self._texts[1]

    def _state_of_registry(self) -> tuple[int, int]:
        return self._view.records_seq, len(self._view)

    async def _make_stations(self) -> Stations:
        view, numbers = self._view, self._counts.stations
        made_of, made_s = self._state_of_registry(), monotonic()
        found, places, turns = [], [], Turns()
        for place, uuid in enumerate(await _sorted(list(numbers))):
            station = view.directory.stations.get(uuid)
            if station is not None and station.vanished_at is None:
                found.append(station)
                places.append(numbers[uuid])
            if place % ROWS_AT_ONCE == 0:
                await turns.rest()
        columns = Columns()
        for _ in columns.fill(found):
            await turns.rest()
        evses, missing = await self._numbered(found)
        revision, packed = await asyncio.to_thread(_columns, columns)
        uuids = [station.uuid for station in found]
        return Stations(packed, revision, uuids, _picking(places), evses, missing, made_of, made_s)

    async def _numbered(self, stations: Sequence[Station]) -> tuple[array[int], tuple[tuple[int, str], ...]]:
        known, numbers, missing, turns = self._counts.evses, array("q"), [], Turns()
        for place, station in enumerate(stations):
            for evse in station.evses:
                number = known.get(evse.key, -1)
                if number < 0:
                    missing.append((len(numbers), evse.key))
                numbers.append(number)
            if place % ROWS_AT_ONCE == 0:
                await turns.rest()
        return numbers, tuple(missing)


async def _sorted(words: list[str]) -> list[str]:
    """The words in order; sorted run by run and merged, as all at once would take the loop for long."""
    runs, turns = [], Turns()
    for start in range(0, len(words), SORTED_AT_ONCE):
        runs.append(sorted(words[start : start + SORTED_AT_ONCE]))
        await background().turn()
    while len(runs) > 1:
        merged = []
        for number in range(0, len(runs), 2):
            merged.append(sorted(chain(*runs[number : number + 2])))
            await turns.rest()
        runs = merged
    return runs[0] if runs else []


def _picking(places: list[int]) -> Callable[[Sequence[int]], Sequence[int]]:
    # `itemgetter` gives a tuple from two items on.
    return itemgetter(*places) if len(places) > 1 else lambda numbers: [numbers[place] for place in places]


def _numbers(
    stations: Stations,
    position: str,
    at: Millis,
    groups: Sequence[Sequence[int]],
    digits: bytes,
    come: Iterable[tuple[int, int]],
) -> Packed:
    encode = msgspec.json.encode
    parts = {"position": position, "revision": stations.revision, "at": instant(at)}
    encoded = {name: encode(part) for name, part in parts.items()}
    encoded |= {name: encode(stations.pick(numbers)) for name, numbers in zip(GROUPS, groups, strict=True)}
    # In parts, so that the loop's thread has its turns.
    evses = stations.evses
    slices = (evses[start : start + EVSES_AT_ONCE] for start in range(0, len(evses), EVSES_AT_ONCE))
    told = bytearray().join(bytes(map(digits.__getitem__, part)) for part in slices)
    for place, number in come:
        told[place] = digits[number]
    encoded["evse_groups"] = b'"%s"' % told
    body = joined(MapState, encoded)
    return Packed(body, gzip.compress(body, MAP_GZIP, mtime=0))


def _columns(columns: Columns) -> tuple[int, Packed]:
    revision, body = columns.encoded()
    return revision, Packed(body, gzip.compress(body, STATIONS_GZIP, mtime=0), f'"{revision}"')


def _texts(texts: Texts, revision: int) -> Packed:
    body = texts.encoded(revision)
    tag = blake2b(body, digest_size=TAG_BYTES).hexdigest()
    return Packed(body, gzip.compress(body, STATIONS_GZIP, mtime=0), f'"{tag}"')
