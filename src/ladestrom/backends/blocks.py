"""Blocks: how logs that several machines reach keep entries. One block for each group that was appended.

A block is a line of header and a line of changes. Its header has the checksum of the block before, so that a
block that is lost, replaced or edited is noticed by whoever reads on: nobody is given what was not appended.
Pure: knows bytes, and must not know where they are kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final
from zlib import crc32

import msgspec

from ladestrom.backends.encoded import decode_changes, encode
from ladestrom.core.records import entry_of
from ladestrom.errors import LogDamaged
from ladestrom.model import AnyChange, Change, Entry, Millis

VERSION: Final = 1
"""Of headers. A block of a later one is not read."""
BLOCK_BYTES_MAX: Final = 512 * 1024
"""Half of what NATS takes as one message; some 1,800 changes."""


class Header(msgspec.Struct, frozen=True, array_like=True):
    """What a block says of itself. Members are only ever added, at the end."""

    version: int
    epoch: str
    term: int
    number: int
    """Of the block. They begin at 1 and have no holes."""
    first: int
    """Sequence of its first entry; of the next one, where it has none."""
    count: int
    """Of entries. None has the block by which a writer begins."""
    previous: int
    """CRC-32 of the block before; 0 in the first one."""
    writer: str
    has_records: bool = False
    """Whether records of stations are among its changes."""

    @property
    def last(self) -> int:
        """Sequence of its last entry, or of the one before the block where it has none."""
        return self.first + self.count - 1


class Block(msgspec.Struct, frozen=True):
    """A header, its changes as bytes, and all of it as it is kept."""

    header: Header
    body: bytes
    whole: bytes
    crc: int
    received_at: Millis | None = None
    """When its first entry was received; None where it has none, or was read."""

    def entries(self) -> list[Entry]:
        """Its entries.

        Raises:
            LogDamaged: they cannot be read.
        """
        header = self.header
        if not header.count:
            return []
        try:
            changes = decode_changes(self.body, has_records=header.has_records)
        except msgspec.DecodeError as error:
            raise _damaged(header.number, header.first, str(error)) from error
        if len(changes) != header.count:
            raise _damaged(header.number, header.first, f"has {len(changes)} entries, not {header.count}")
        return [entry_of(seq, change) for seq, change in enumerate(changes, header.first)]


class End(msgspec.Struct, frozen=True):
    """Where a chain of blocks ends: what the next block has to follow."""

    epoch: str
    term: int
    block: int = 0
    last: int = 0
    crc: int = 0


def made(end: End, writer: str, changes: Sequence[AnyChange]) -> list[Block]:
    """Blocks of changes, to follow the end of a chain, in its epoch and term: mostly one."""
    found: list[Block] = []
    for body, part in _bodies(changes):
        block = _made(end, writer, body, part)
        end = end_of(block)
        found.append(block)
    return found


def opening(end: End, writer: str) -> Block:
    """The empty block by which a writer begins; `end` has its epoch and term already."""
    return _made(end, writer, b"", ())


def end_of(block: Block) -> End:
    """The end of a chain whose last block this is."""
    header = block.header
    return End(header.epoch, header.term, header.number, header.last, block.crc)


def read(number: int, whole: bytes, crc: int) -> Block:
    """A block as it is kept under a number.

    Raises:
        LogDamaged: it is not what was written.
    """
    line, _, body = whole.partition(b"\n")
    try:
        header = msgspec.json.decode(line, type=Header)
    except msgspec.DecodeError as error:
        raise _damaged(number, None, f"has no header ({error})") from error
    if header.version > VERSION:
        raise LogDamaged(
            f"block {number} was written by a newer version of the program: use that one", header.first
        )
    if crc32(whole) != crc or header.number != number:
        raise _damaged(number, header.first, "is not as it was written")
    return Block(header, body, whole, crc)


def follows(before: End | Block, block: Block) -> None:
    """Checks that a block is the one that was written after another.

    Raises:
        LogDamaged: it is not.
    """
    end = before if isinstance(before, End) else end_of(before)
    header = block.header
    if header.number != end.block + 1:
        raise _damaged(end.block + 1, end.last + 1, "is missing")
    if header.previous != end.crc:
        raise _damaged(
            end.block, header.first, f"is not the one that block {header.number} was written after"
        )
    if header.first != end.last + 1:
        raise _damaged(header.number, header.first, f"does not follow entry {end.last}")


def _made(end: End, writer: str, body: bytes, changes: Sequence[AnyChange]) -> Block:
    has_records = not all(isinstance(change, Change) for change in changes)
    header = Header(
        VERSION, end.epoch, end.term, end.block + 1, end.last + 1, len(changes), end.crc, writer, has_records
    )
    whole = encode(header) + b"\n" + body
    return Block(header, body, whole, crc32(whole), changes[0].received_at if changes else None)


def _bodies(changes: Sequence[AnyChange]) -> Iterator[tuple[bytes, Sequence[AnyChange]]]:
    body = encode(changes)
    if len(body) <= BLOCK_BYTES_MAX or len(changes) == 1:
        yield body, changes
        return
    middle = len(changes) // 2
    yield from _bodies(changes[:middle])
    yield from _bodies(changes[middle:])


def _damaged(number: int, seq: int | None, what: str) -> LogDamaged:
    return LogDamaged(f"block {number} {what}", seq)
