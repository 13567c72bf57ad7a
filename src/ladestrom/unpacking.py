"""Bodies that were packed with gzip, unpacked within a limit, whoever sent them.

Pure. Must not know where a body came from.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final

from ladestrom.errors import MalformedBody, TooLarge

GZIP_MEMBERS_MAX: Final = 1_000
"""Packers that work in blocks make some hundred of 8 MiB; each costs time, empty ones too."""
GZIP_STEP_BYTES: Final = 64 * 1024
"""Read at once; what follows a member is copied, and so must not be all that is left."""
GZIP_PIECE_BYTES: Final = 256 * 1024
"""Unpacked at once."""


def gunzip(body: bytes, limit: int) -> bytes:
    """Unpacks one gzip member or several, never more than `limit` bytes.

    What unpacks to more than half the limit is unpacked twice, first to see whether it is a bomb, so that
    a bomb costs no more memory than half the limit.

    Raises:
        TooLarge: it unpacks to more.
        MalformedBody: it is no gzip, is cut off, has something behind it, or has too many members.
    """
    pieces: list[bytes] = []
    size = 0
    for piece in _unpacked(body):
        size += len(piece)
        if size > limit:
            raise TooLarge(f"the body unpacks to more than {limit} bytes: split it")
        if size <= limit // 2:
            pieces.append(piece)
        else:
            pieces.clear()
    return b"".join(pieces if size <= limit // 2 else _unpacked(body))


def _unpacked(body: bytes) -> Iterator[bytes]:
    packed = memoryview(body)
    place = members = 0
    while place < len(packed) or not members:
        members += 1
        if members > GZIP_MEMBERS_MAX:
            raise MalformedBody(f"the gzip body has more than {GZIP_MEMBERS_MAX} members: pack it as one")
        unpacker = zlib.decompressobj(wbits=31)
        while not unpacker.eof:
            if place == len(packed):
                raise MalformedBody("the gzip body is incomplete")
            step = packed[place : place + GZIP_STEP_BYTES]
            try:
                piece = unpacker.decompress(step, GZIP_PIECE_BYTES)
            except zlib.error as error:
                raise MalformedBody(
                    f"the body is not gzip, although Content-Encoding says so ({error})"
                ) from error
            rest = unpacker.unused_data or unpacker.unconsumed_tail
            place += len(step) - len(rest)
            yield piece
