"""`ladestrom import`: fills or updates the registry from a register file.

Knows files, pipes, gzip and how to report. What is in a register is read by `registers`; what an import
does to the stations that are there is decided by `core.merge`.
"""

from __future__ import annotations

import asyncio
import os
import re
import stat
import sys
import tempfile
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, Final, Self

import msgspec
from cyclopts import App, Parameter
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

from ladestrom.backends import table
from ladestrom.backends.opening import Opening
from ladestrom.cli.store import now, opened, reading, writing
from ladestrom.cli.where import NOT_GIVEN, Where, say
from ladestrom.errors import InvalidRegister
from ladestrom.registers import REGISTERS

if TYPE_CHECKING:
    from ladestrom.ports.registry import ImportReport, RecordRefusal, StationDraft
    from ladestrom.ports.stores import Stores

CHUNK_KIB: Final = 256
"""Read and decompressed at a time: the parsers' own limits are what bounds a register."""
REASONS_SHOWN_MAX: Final = 20
LISTED_MAX: Final = 1_000
"""Stations listed of each kind, as many as refusals and notes are kept of."""
EXIT_NOTHING_IMPORTED: Final = 1

_CHUNK_BYTES: Final = CHUNK_KIB * 1024
_GZIP_MAGIC: Final = b"\x1f\x8b"
_GZIP_WINDOW: Final = 31
"""zlib's name for a gzip header and a window of 32 KiB."""
_PUBLISHER: Final = re.compile(r"[A-Za-z0-9.-]{1,50}")
_PARTICULAR: Final = re.compile(r"'[^']*'|\"(?:[^\"\\]|\\.)*\"|\([^)]*\)|\b\w*[0-9][\w.*:-]*")
"""What differs between two refusals for the same reason: quotations, ids, numbers."""

app: Final = App(name="import", help="Add or update stations of the registry from a register file.")


def _publisher(_type: object, written: object) -> None:
    if isinstance(written, str) and not _PUBLISHER.fullmatch(written):
        raise ValueError("a publisher's name has 1 to 50 letters, digits, dots and hyphens")


File = Annotated[str, Parameter(name="FILE", allow_leading_hyphen=True)]
Publisher = Annotated[str | None, Parameter(name="--publisher", validator=_publisher)]
Listing = Annotated[bool, Parameter(name="--list")]


@app.command
def nobil(
    file: File,
    /,
    *,
    partial: bool = False,
    force_removal: bool = False,
    dry_run: bool = False,
    listing: Listing = False,
    where: Where = NOT_GIVEN,
) -> int:
    """Import a NOBIL file (API version 3, JSON or XML).

    A station that is missing from the file is removed: its EVSEs become REMOVED, with the cause `withdrawn`.
    It returns when a later file contains it. Exit code: 0; 1 if every record was refused; 2 if the file
    cannot be read or would remove too many stations (see --force-removal), and then nothing was changed.

    Args:
        file: Register file, which may be compressed with gzip; `-` is standard input.
        partial: The file is only a part of the register: stations that are missing from it stay.
        force_removal: Import the file even if that removes more than half of the register's stations, and
            more than 100.
        dry_run: Check the file and print what the import would do, but change nothing.
        listing: List every station that was added, changed, removed or returned, and every refusal and note
            (the first 1,000 of each).
        where: Options of every command.
    """
    task = _Task("nobil", file, "nobil", complete=not partial, force_vanish=force_removal, dry_run=dry_run)
    return _run(task, where, listing=listing)


@app.command
def irve(
    file: File,
    /,
    *,
    partial: bool = False,
    force_removal: bool = False,
    dry_run: bool = False,
    listing: Listing = False,
    where: Where = NOT_GIVEN,
) -> int:
    """Import the French national register (IRVE statique 2.3, JSON lines or CSV).

    A station that is missing from the file is removed: its EVSEs become REMOVED, with the cause `withdrawn`.
    It returns when a later file contains it. Exit code: 0; 1 if every record was refused; 2 if the file
    cannot be read or would remove too many stations (see --force-removal), and then nothing was changed.

    Args:
        file: Register file, which may be compressed with gzip; `-` is standard input.
        partial: The file is only a part of the register: stations that are missing from it stay.
        force_removal: Import the file even if that removes more than half of the register's stations, and
            more than 100.
        dry_run: Check the file and print what the import would do, but change nothing.
        listing: List every station that was added, changed, removed or returned, and every refusal and note
            (the first 1,000 of each).
        where: Options of every command.
    """
    task = _Task("irve", file, "irve", complete=not partial, force_vanish=force_removal, dry_run=dry_run)
    return _run(task, where, listing=listing)


@app.command
def datex(
    file: File,
    /,
    *,
    publisher: Publisher = None,
    partial: bool = False,
    force_removal: bool = False,
    dry_run: bool = False,
    listing: Listing = False,
    where: Where = NOT_GIVEN,
) -> int:
    """Import a DATEX II table publication (EnergyInfrastructure 3.5 or later, XML or JSON).

    A station that is missing from the file is removed: its EVSEs become REMOVED, with the cause `withdrawn`.
    It returns when a later file contains it. Exit code: 0; 1 if every record was refused; 2 if the file
    cannot be read or would remove too many stations (see --force-removal), and then nothing was changed.

    Args:
        file: The publication, which may be compressed with gzip; `-` is standard input.
        publisher: Name of the publisher. Each publisher has its own register, so the file of one publisher
            does not remove the stations of another.
        partial: The file is only a part of the register: stations that are missing from it stay.
        force_removal: Import the file even if that removes more than half of the register's stations, and
            more than 100.
        dry_run: Check the file and print what the import would do, but change nothing.
        listing: List every station that was added, changed, removed or returned, and every refusal and note
            (the first 1,000 of each).
        where: Options of every command.
    """
    register = "datex" if publisher is None else f"datex:{publisher}"
    task = _Task("datex", file, register, complete=not partial, force_vanish=force_removal, dry_run=dry_run)
    return _run(task, where, listing=listing)


@app.command
def ocpi(
    file: File,
    /,
    *,
    publisher: Publisher = None,
    partial: bool = False,
    force_removal: bool = False,
    dry_run: bool = False,
    listing: Listing = False,
    where: Where = NOT_GIVEN,
) -> int:
    """Import OCPI Locations (2.1.1 to 2.3.0, JSON, one or more pages of a Sender interface).

    A station that is missing from the file is removed: its EVSEs become REMOVED, with the cause `withdrawn`.
    It returns when a later file contains it. Exit code: 0; 1 if every record was refused; 2 if the file
    cannot be read or would remove too many stations (see --force-removal), and then nothing was changed.

    Args:
        file: Register file, which may be compressed with gzip; `-` is standard input.
        publisher: Name of the publisher. Each publisher has its own register. Give an operator's
            name to import into the register that this operator also updates over OCPI: stations that it
            sent and that are missing from the file are removed too, unless you use --partial.
        partial: The file is only a part of the register: stations that are missing from it stay.
        force_removal: Import the file even if that removes more than half of the register's stations, and
            more than 100.
        dry_run: Check the file and print what the import would do, but change nothing.
        listing: List every station that was added, changed, removed or returned, and every refusal and note
            (the first 1,000 of each).
        where: Options of every command.
    """
    register = "ocpi" if publisher is None else f"ocpi:{publisher}"
    task = _Task("ocpi", file, register, complete=not partial, force_vanish=force_removal, dry_run=dry_run)
    return _run(task, where, listing=listing)


def unpacked(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The content of a file, decompressed where it begins as gzip does; in pieces of at most 256 KiB.

    Raises:
        InvalidRegister: the gzip is cut off or corrupt.
    """
    remaining = iter(chunks)
    first = b""
    for chunk in remaining:
        first += chunk
        if len(first) >= len(_GZIP_MAGIC):
            break
    whole = chain((first,), remaining)
    return _gunzipped(whole) if first.startswith(_GZIP_MAGIC) else whole


def _gunzipped(chunks: Iterable[bytes]) -> Iterator[bytes]:
    member = None
    try:
        for chunk in chunks:
            packed = chunk
            while packed:
                if member is None:
                    # One member may follow another (RFC 1952, 2.2), and tools pad the last one with zeros.
                    packed = packed.lstrip(b"\0")
                    if not packed:
                        break
                    member = zlib.decompressobj(_GZIP_WINDOW)
                plain = member.decompress(packed, _CHUNK_BYTES)
                if plain:
                    yield plain
                packed = member.unused_data if member.eof else member.unconsumed_tail
                if member.eof:
                    member = None
        if member is not None:
            yield member.flush()
    except zlib.error as error:
        raise InvalidRegister(f"the gzip file is corrupt ({error}); nothing was changed") from error
    if member is not None and not member.eof:
        raise InvalidRegister("the gzip file is incomplete; nothing was changed")


class _Task(msgspec.Struct, frozen=True):
    """One import: a file of one form into one register."""

    form: str
    file: str
    register: str
    complete: bool
    force_vanish: bool
    dry_run: bool


def _run(task: _Task, where: Where, *, listing: bool) -> int:
    # What is wrong with the settings is said before a large file is read.
    where.load()
    report = asyncio.run(_import(task, where))
    imported = len(report.added) + len(report.changed) + len(report.returned) + report.unchanged
    _print(task, report, listing=listing)
    return 0 if imported else EXIT_NOTHING_IMPORTED


async def _import(task: _Task, where: Where) -> ImportReport:
    with ExitStack() as stack:
        stream, size = _open(task.file, stack)
        bar = stack.enter_context(_Bar(task.register, size))
        records = bar.until_written(REGISTERS[task.form](unpacked(_read(task.file, stream, bar))))
        opened: AbstractAsyncContextManager[Stores] = (
            _tried(where) if task.dry_run else writing(where, make=True)
        )
        async with opened as store:
            return await store.import_stations(
                task.register,
                records,
                now(),
                complete=task.complete,
                force_vanish=task.force_vanish,
                dry_run=task.dry_run,
            )


@asynccontextmanager
async def _tried(where: Where) -> AsyncIterator[Stores]:
    """The store, for an import that changes nothing; where there is none, an empty one that is removed."""
    place = where.store()
    if await table.exists(place.opening):
        async with reading(where) as store:
            yield store
        return
    say(f"there is no store in {place}; the file is checked against an empty registry")
    with tempfile.TemporaryDirectory(prefix="ladestrom-") as name:
        async with opened(Opening(url="sqlite:", folder=Path(name))) as store:
            yield store


def _open(file: str, stack: ExitStack) -> tuple[BinaryIO, int | None]:
    """The file and its size in bytes, which pipes do not have."""
    if file == "-":
        return sys.stdin.buffer, None
    try:
        stream = stack.enter_context(Path(file).open("rb"))  # noqa: SIM115 - the caller's stack closes it
        status = os.fstat(stream.fileno())
    except OSError as error:
        raise InvalidRegister(f"{file} cannot be read: {error.strerror or error}") from error
    return stream, status.st_size if stat.S_ISREG(status.st_mode) else None


def _read(file: str, stream: BinaryIO, bar: _Bar) -> Iterator[bytes]:
    try:
        while chunk := stream.read(_CHUNK_BYTES):
            bar.advance(len(chunk))
            yield chunk
    except OSError as error:
        raise InvalidRegister(f"{file} cannot be read: {error.strerror or error}") from error


class _Bar:
    """How much of the file is read, shown where standard error is a terminal."""

    def __init__(self, register: str, size: int | None) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            disable=not sys.stderr.isatty(),
            transient=True,
        )
        self._task = self._progress.add_task(register, total=size)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_exc_info: object) -> None:
        self._progress.stop()

    def advance(self, count: int) -> None:
        """So many bytes more are read."""
        self._progress.advance(self._task, count)

    def until_written(
        self, records: Iterable[StationDraft | RecordRefusal]
    ) -> Iterator[StationDraft | RecordRefusal]:
        """The records; says after the last one what the wait is for."""
        yield from records
        self._progress.update(self._task, description="writing the store")


def _print(task: _Task, report: ImportReport, *, listing: bool) -> None:
    if task.dry_run:
        print("dry run: nothing was changed. The import would result in")
    rows = (
        ("added", len(report.added)),
        ("changed", len(report.changed)),
        ("unchanged", report.unchanged),
        ("removed", len(report.vanished)),
        ("returned", len(report.returned)),
        ("refused", report.refused_count),
        ("noted", report.notes_count),
    )
    for word, count in rows:
        print(f"{word:<9}  {count:>9,}")
    print(f"the register {task.register} now has {report.evses:,} EVSEs")
    _print_kinds(
        "refused", [(each.record, each.reason) for each in report.refused], report.refused_count, listing
    )
    _print_kinds("noted", [(each.record, each.note) for each in report.notes], report.notes_count, listing)
    if listing:
        for word, uuids in (
            ("added", report.added),
            ("changed", report.changed),
            ("removed", report.vanished),
            ("returned", report.returned),
        ):
            if uuids:
                print(f"\n{word}:")
                for uuid in uuids[:LISTED_MAX]:
                    print(f"  {uuid}")
                if len(uuids) > LISTED_MAX:
                    print(f"  and {len(uuids) - LISTED_MAX:,} more")
    elif report.refused_count or report.notes_count:
        print("\n--list shows every record with its refusals and notes")


def _print_kinds(what: str, told: Sequence[tuple[str, str]], count: int, listing: bool) -> None:
    """What was refused or noted: how often each reason, with an example, or every record."""
    if not count:
        return
    of_all = "" if len(told) == count else f" (of the first {len(told):,})"
    if listing:
        print(f"\n{what}{of_all}:")
        for record, text in told:
            print(f"  {record}: {text}")
        return
    kinds = Counter(_PARTICULAR.sub("...", text) for _, text in told)
    examples = {_PARTICULAR.sub("...", text): (record, text) for record, text in reversed(told)}
    print(f"\n{what}, by reason{of_all}:")
    for kind, number in kinds.most_common(REASONS_SHOWN_MAX):
        record, text = examples[kind]
        print(f"  {number:>7,}  {kind}")
        print(f"           for example {record}: {text}")
    if len(kinds) > REASONS_SHOWN_MAX:
        print(f"  and {len(kinds) - REASONS_SHOWN_MAX} more reasons")
