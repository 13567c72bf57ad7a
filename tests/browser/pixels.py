"""Pixels of a screenshot, and PNGs of one colour.

Source: PNG (Portable Network Graphics) Specification, third edition, sections 9 (filtering) and 11 (chunks).
"""

from __future__ import annotations

import struct
import zlib
from typing import Final

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
CHANNELS: Final = {2: 3, 6: 4}
"""Bytes of a pixel by colour type, at 8 bits a sample."""
Colour = tuple[int, int, int]


class Picture:
    """A picture of 8 bits a sample, in red, green and blue."""

    def __init__(self, png: bytes) -> None:
        assert png.startswith(SIGNATURE)
        place, packed = len(SIGNATURE), b""
        while place < len(png):
            (size,) = struct.unpack_from(">I", png, place)
            kind, content = png[place + 4 : place + 8], png[place + 8 : place + 8 + size]
            if kind == b"IHDR":
                self.width, self.height, depth, colour_type = struct.unpack_from(">IIBB", content)
                assert depth == 8
                self._step = CHANNELS[colour_type]
            elif kind == b"IDAT":
                packed += content
            place += 12 + size
        self._rows = self._unfiltered(zlib.decompress(packed))

    def _unfiltered(self, filtered: bytes) -> list[bytearray]:
        step, stride = self._step, self.width * self._step
        rows: list[bytearray] = []
        above = bytearray(stride)
        for y in range(self.height):
            start = y * (stride + 1)
            kind, row = filtered[start], bytearray(filtered[start + 1 : start + 1 + stride])
            for i in range(stride):
                left = row[i - step] if i >= step else 0
                corner = above[i - step] if i >= step else 0
                guess = (0, left, above[i], (left + above[i]) // 2, _paeth(left, above[i], corner))[kind]
                row[i] = (row[i] + guess) & 255
            rows.append(row)
            above = row
        return rows

    def at(self, x: float, y: float) -> Colour:
        """The colour at a place."""
        start = round(x) * self._step
        red, green, blue = self._rows[round(y)][start : start + 3]
        return red, green, blue


def _paeth(left: int, up: int, corner: int) -> int:
    guess = left + up - corner
    return min((abs(guess - left), 0, left), (abs(guess - up), 1, up), (abs(guess - corner), 2, corner))[2]


def alike(one: Colour, other: Colour, *, within: int = 12) -> bool:
    """Whether two colours are the same but for rounding."""
    return all(abs(a - b) <= within for a, b in zip(one, other, strict=True))


def colour(text: str) -> Colour:
    """Of `#rrggbb`."""
    value = int(text.strip().lstrip("#"), 16)
    return value >> 16, value >> 8 & 255, value & 255


def png(side: int, filled: Colour) -> bytes:
    """A square of one colour."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    rows = (b"\0" + bytes(filled) * side) * side
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    chunks = (
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in parts
    )
    return SIGNATURE + b"".join(chunks)
