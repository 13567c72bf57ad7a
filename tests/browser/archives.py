"""Archives of map tiles with one tile, and the server that they are fetched from.

Sources: PMTiles version 3 specification, sections 3 (header) and 4 (directories); Vector Tile Specification
2.1, sections 4.1 (layers), 4.2 (features) and 4.3 (geometry).
"""

from __future__ import annotations

import re
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final, Literal

HEADER_BYTES: Final = 127
EXTENT: Final = 4096
UNCOMPRESSED: Final = 1
KINDS: Final = {"mvt": 1, "png": 2}


def varint(value: int) -> bytes:
    """Seven bits to a byte, the lowest first."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def archive(kind: Literal["mvt", "png"], tile: bytes) -> bytes:
    """A PMTiles archive of the tile 0/0/0."""
    directory = b"".join(map(varint, (1, 0, 1, len(tile), 1)))
    metadata = b"{}"
    places: list[int] = []
    place = HEADER_BYTES
    for part in (directory, metadata, b"", tile):
        places += [place, len(part)]
        place += len(part)
    header = b"PMTiles\x03" + struct.pack("<8Q", *places) + struct.pack("<3Q", 1, 1, 1)
    header += bytes([1, UNCOMPRESSED, UNCOMPRESSED, KINDS[kind], 0, 0])
    header += struct.pack("<4i", -180 * 10**7, -85 * 10**7, 180 * 10**7, 85 * 10**7) + struct.pack(
        "<Bii", 0, 0, 0
    )
    assert len(header) == HEADER_BYTES
    return header + directory + metadata + tile


def _field(number: int, content: bytes | int) -> bytes:
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def vector_tile(layer: str) -> bytes:
    """A tile that one polygon of a layer fills."""

    def zigzag(value: int) -> bytes:
        return varint(value << 1 ^ value >> 31)

    move_to, line_to, close = 1 | 1 << 3, 2 | 3 << 3, 7 | 1 << 3
    corners = (0, 0), (EXTENT, 0), (0, EXTENT), (-EXTENT, 0)
    geometry = varint(move_to) + zigzag(corners[0][0]) + zigzag(corners[0][1]) + varint(line_to)
    geometry += b"".join(zigzag(x) + zigzag(y) for x, y in corners[1:]) + varint(close)
    feature = _field(3, 3) + _field(4, geometry)
    content = _field(15, 2) + _field(1, layer.encode()) + _field(2, feature) + _field(5, EXTENT)
    return _field(3, content)


@contextmanager
def offered(files: dict[str, bytes]) -> Iterator[str]:
    """Serves files by path on another port, to any page, in ranges: its address."""

    class Handler(BaseHTTPRequestHandler):
        def _head(self, status: int, **headers: str) -> None:
            self.send_response(status)
            self.send_header("Access-Control-Allow-Origin", "*")
            self.send_header("Access-Control-Allow-Headers", "range")
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()

        def do_OPTIONS(self) -> None:
            self._head(204)

        def do_GET(self) -> None:
            content = files.get(self.path)
            if content is None:
                self._head(404, Content_Length="0")
                return
            asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("range", ""))
            status = 206 if asked else 200
            if asked:
                content = content[int(asked[1]) : int(asked[2]) + 1]
            self._head(status, Content_Length=str(len(content)))
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
