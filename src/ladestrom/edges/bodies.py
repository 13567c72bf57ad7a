"""Bodies of documents as they are kept: small ones as they are, large ones packed with gzip alone.

A national table of stations has 100 MB, and packed less than a twentieth of it: so many of them are kept at
once, and nobody's makes another one's be made again. Knows bytes, and nothing of who asks.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import Any, Final, Self

from ladestrom.edges.walks import GZIP_LEVEL

CHUNK_BYTES: Final = 64 * 1024
"""Sent at a time. A consumer that takes nothing has two of them in memory."""
PLAIN_BYTES_MAX: Final = 1024 * 1024
"""Larger ones are kept packed alone: whoever takes no gzip has them unpacked, some 1 ms for each MB."""
UNPACKED_BYTES: Final = 16 * 1024
"""Sent at a time of what is unpacked for one consumer alone, so that a thousand that take nothing have less
in memory than the body that they share otherwise."""
UNPACKED_OF_BYTES: Final = 1024
"""Given to the decompressor at a time: it copies what it has no room for."""
_GZIP: Final = zlib.MAX_WBITS | 16


class Body:
    """Takes pieces of a document, in order; of a large one it has nothing but what is packed."""

    def __init__(self) -> None:
        self.size = 0
        """Bytes, unpacked."""
        self.chunks: Sequence[bytes] | None = ()
        """As they are; None where they are packed alone."""
        self.packed: Sequence[bytes] | None = None
        self._plain: list[bytes] = []
        self._gathered: list[bytes] = []
        self._gathered_bytes = 0
        self._packer: _Packer | None = None

    @classmethod
    def of(cls, chunks: Sequence[bytes]) -> Self:
        """One that is kept as it is."""
        made = cls()
        made.chunks, made.size = chunks, sum(map(len, chunks))
        return made

    def add(self, piece: bytes) -> None:
        """The next piece, of any size."""
        self._gathered.append(piece)
        self._gathered_bytes += len(piece)
        if self._gathered_bytes >= CHUNK_BYTES:
            self._take()

    def end(self) -> None:
        """There are no others."""
        self._take()
        if self._packer is None:
            self.chunks = tuple(self._plain)
        else:
            self.chunks, self.packed = None, self._packer.end()

    def _take(self) -> None:
        chunk = b"".join(self._gathered)
        self._gathered, self._gathered_bytes = [], 0
        self.size += len(chunk)
        if self._packer is None:
            self._plain.append(chunk)
            if self.size > PLAIN_BYTES_MAX:
                self._packer = _Packer()
                for each in self._plain:
                    self._packer.add(each)
                self._plain.clear()
        else:
            self._packer.add(chunk)


class _Packer:
    """Packs chunks with gzip, in chunks of a size that is alike."""

    def __init__(self) -> None:
        self._packer: Any = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, _GZIP)
        self._made: list[bytes] = []
        self._gathered: list[bytes] = []
        self._size = 0

    def add(self, chunk: bytes) -> None:
        piece = self._packer.compress(chunk)
        self._gathered.append(piece)
        self._size += len(piece)
        if self._size >= CHUNK_BYTES:
            self._made.append(b"".join(self._gathered))
            self._gathered, self._size = [], 0

    def end(self) -> Sequence[bytes]:
        self._gathered.append(self._packer.flush())
        self._made.append(b"".join(self._gathered))
        return tuple(self._made)


def packed(chunks: Sequence[bytes]) -> Sequence[bytes]:
    """Chunks, packed with gzip."""
    packer = _Packer()
    for chunk in chunks:
        packer.add(chunk)
    return packer.end()


def unpacked(chunks: Sequence[bytes]) -> Iterator[bytes]:
    """What was packed, in pieces of at most `UNPACKED_BYTES`."""
    unpacker = zlib.decompressobj(_GZIP)
    for chunk in chunks:
        for first in range(0, len(chunk), UNPACKED_OF_BYTES):
            rest = chunk[first : first + UNPACKED_OF_BYTES]
            while piece := unpacker.decompress(rest, UNPACKED_BYTES):
                yield piece
                rest = unpacker.unconsumed_tail
