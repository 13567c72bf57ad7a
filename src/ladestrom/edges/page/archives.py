"""Files that browsers read in parts: archives of map tiles, served with byte ranges.

Knows files, RFC 9110's ranges and the header of PMTiles; nothing of what is in a tile.
"""

from __future__ import annotations

import asyncio
import os
import re
import struct
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

from litestar import Response

from ladestrom.edges.answers import AnyRequest, matches
from ladestrom.errors import BadRequest, NotFound

MEDIA_TYPE: Final = "application/vnd.pmtiles"
PART_BYTES_MAX: Final = 4 * 1024 * 1024
"""The largest part of one answer: tiles are some 100 KB, directories of a planet some MB at most."""
HEADER_BYTES: Final = 127
"""PMTiles version 3, section 3."""
TAG_BYTES: Final = 8
_RANGE: Final = re.compile(r"bytes=(?:[0-9]{1,18}-[0-9]{0,18}|-[0-9]{1,18})", re.ASCII)
"""One range. Others are not understood, and then the header does not count (section 14.2)."""


class Damaged(Exception):
    """A file is no archive of tiles; says why."""


class Archive:
    """A PMTiles archive on disk."""

    def __init__(self, path: Path) -> None:
        """Checks what its header says.

        Raises:
            Damaged: there is no such file, or it is not one that can be read to its end.
        """
        self._path = path
        try:
            with path.open("rb") as file:
                header = file.read(HEADER_BYTES)
                told = os.fstat(file.fileno())
        except OSError as error:
            raise Damaged(f"{path} cannot be read: {error.strerror}") from None
        self.size = told.st_size
        if len(header) < HEADER_BYTES or header[:7] != b"PMTiles":
            raise Damaged(f"{path} is no PMTiles archive")
        if header[7] != 3:  # noqa: PLR2004 - the version that readers of today know
            raise Damaged(f"{path} is PMTiles version {header[7]}; version 3 is needed")
        places = struct.unpack_from("<8Q", header, 8)
        end = max(start + length for start, length in zip(places[::2], places[1::2], strict=True))
        if end > self.size:
            raise Damaged(f"{path} is cut off: it has {self.size:,} bytes of {end:,}")
        stamp = blake2b(header + struct.pack("<2Q", told.st_size, told.st_mtime_ns), digest_size=TAG_BYTES)
        self.tag = f'"{stamp.hexdigest()}"'

    def read(self, start: int, length: int) -> bytes:
        """Some of its bytes; blocks.

        Raises:
            OSError: they cannot be read any more.
        """
        with self._path.open("rb") as file:
            return os.pread(file.fileno(), length, start)


def _part(written: str, size: int) -> tuple[int, int] | None:
    """First byte and number of bytes of a range (RFC 9110, section 14.1.2); None where there are none.

    More than `PART_BYTES_MAX` are not given at once.
    """
    first, last = written.removeprefix("bytes=").split("-")
    if first:
        start = int(first)
        end = min(int(last), size - 1) if last else size - 1
    else:
        start, end = max(size - int(last), 0), size - 1
    return (start, min(end - start + 1, PART_BYTES_MAX)) if start <= end and start < size else None


async def answer(request: AnyRequest, archive: Archive, headers: Mapping[str, str]) -> Response[Any]:
    """The part of an archive that is asked for; all of it, where that is small and no part is asked for.

    Raises:
        BadRequest: it asks for the whole of an archive that is too large for one answer.
        NotFound: the archive cannot be read any more.
    """
    sent = {**headers, "etag": archive.tag, "accept-ranges": "bytes"}
    written = request.headers.get("range", "").replace(" ", "")
    unchanged = request.headers.get("if-range", archive.tag)
    if _RANGE.fullmatch(written) is None or unchanged != archive.tag:
        if matches(request, archive.tag):
            return Response(None, status_code=304, headers=sent)
        if archive.size > PART_BYTES_MAX:
            raise BadRequest(
                f"the archive has {archive.size:,} bytes; ask for a part with the header Range: bytes=0-16383"
            )
        content = await _read(archive, 0, archive.size)
        return Response(content, media_type=MEDIA_TYPE, headers=sent)
    part = _part(written, archive.size)
    if part is None:
        return Response(None, status_code=416, headers={**sent, "content-range": f"bytes */{archive.size}"})
    content = await _read(archive, *part)
    sent["content-range"] = f"bytes {part[0]}-{part[0] + len(content) - 1}/{archive.size}"
    return Response(content, status_code=206, media_type=MEDIA_TYPE, headers=sent)


async def _read(archive: Archive, start: int, length: int) -> bytes:
    try:
        return await asyncio.to_thread(archive.read, start, length)
    except OSError as error:
        raise NotFound(f"the archive of map tiles cannot be read: {error.strerror}") from error
