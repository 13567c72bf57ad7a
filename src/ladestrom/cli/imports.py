"""`ladestrom import`: fills or updates the registry from a register file.

Knows files, pipes and gzip. What is in a register is read by `registers`; what an import
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
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, Final, Self

from cyclopts import App, Parameter
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

from ladestrom.backends import table
from ladestrom.backends.opening import Opening
from ladestrom.cli.import_report import Telling, show
from ladestrom.cli.store import now, opened, reading, writing
from ladestrom.cli.where import NOT_GIVEN, Where, say
from ladestrom.core.coverage import uncovered
from ladestrom.errors import InvalidRegister, InvalidSetting
from ladestrom.registers import REGISTERS
from ladestrom.registers.stations_columns import template as empty_file

if TYPE_CHECKING:
    from ladestrom.ports.registry import ImportReport, RecordRefusal, StationDraft
    from ladestrom.ports.stores import Stores

CHUNK_KIB: Final = 256
"""Read and decompressed at a time: the parsers' own limits are what bounds a register."""
EXIT_NOTHING_IMPORTED: Final = 1

_CHUNK_BYTES: Final = CHUNK_KIB * 1024
_GZIP_MAGIC: Final = b"\x1f\x8b"
_GZIP_WINDOW: Final = 31
"""zlib's name for a gzip header and a window of 32 KiB."""
_PUBLISHER: Final = re.compile(r"[A-Za-z0-9.-]{1,50}")

app: Final = App(name="import", help="Add or update stations of the registry from a register file.")


def _publisher(_type: object, written: object) -> None:
    if isinstance(written, str) and not _PUBLISHER.fullmatch(written):
        raise ValueError("a publisher's name has 1 to 50 letters, digits, dots and hyphens")


File = Annotated[str, Parameter(name="FILE", allow_leading_hyphen=True)]
Publisher = Annotated[str | None, Parameter(name="--publisher", validator=_publisher)]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Options:
    """The options that every import has."""

    partial: Annotated[
        bool,
        Parameter(help="The file is only a part of the register: stations that are missing from it stay."),
    ] = False
    force_removal: Annotated[
        bool,
        Parameter(
            help="Import the file even if that removes more than half of the register's stations, and more "
            "than 100."
        ),
    ] = False
    dry_run: Annotated[
        bool,
        Parameter(help="Check the file and print what the import would do, but change nothing."),
    ] = False
    listing: Annotated[
        bool,
        Parameter(
            name="--list",
            help="List every station that was added, changed, removed or returned, with the fields that "
            "changed, and every refusal and note (the first 1,000 of each).",
        ),
    ] = False
    report: Annotated[
        Path | None,
        Parameter(
            help="Write every refusal, note and changed station to this file, without a limit: a JSON object "
            "per line. The last line is the summary."
        ),
    ] = None


NO_OPTIONS: Final = Options()


@app.command
def nobil(file: File, /, *, options: Options = NO_OPTIONS, where: Where = NOT_GIVEN) -> int:
    """Import a NOBIL file (API version 3, JSON or XML).

    A station that is missing from the file is removed: its EVSEs become REMOVED, with the cause `withdrawn`.
    It returns when a later file contains it. Exit code: 0; 1 if every record was refused; 2 if the file
    cannot be read or would remove too many stations (see --force-removal), and then nothing was changed.

    Args:
        file: Register file, which may be compressed with gzip; `-` is standard input.
        options: Options of every import.
        where: Options of every command.
    """
    return _run("nobil", file, "nobil", options, where)


@app.command
def irve(file: File, /, *, options: Options = NO_OPTIONS, where: Where = NOT_GIVEN) -> int:
    """Import the French national register (IRVE statique 2.3, JSON lines or CSV).

    A station that is missing from the file is removed: its EVSEs become REMOVED, with the cause `withdrawn`.
    It returns when a later file contains it. Exit code: 0; 1 if every record was refused; 2 if the file
    cannot be read or would remove too many stations (see --force-removal), and then nothing was changed.

    Args:
        file: Register file, which may be compressed with gzip; `-` is standard input.
        options: Options of every import.
        where: Options of every command.
    """
    return _run("irve", file, "irve", options, where)


@app.command
def datex(
    file: File,
    /,
    *,
    publisher: Publisher = None,
    options: Options = NO_OPTIONS,
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
        options: Options of every import.
        where: Options of every command.
    """
    return _run("datex", file, _register("datex", publisher), options, where)


@app.command
def ocpi(
    file: File,
    /,
    *,
    publisher: Publisher = None,
    options: Options = NO_OPTIONS,
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
        options: Options of every import.
        where: Options of every command.
    """
    return _run("ocpi", file, _register("ocpi", publisher), options, where)


@app.command
def stations(
    file: File | None = None,
    /,
    *,
    template: bool = False,
    publisher: Publisher = None,
    options: Options = NO_OPTIONS,
    where: Where = NOT_GIVEN,
) -> int:
    """Import stations of your own (CSV with one row per EVSE, or GeoJSON).

    For operators whose stations are in no public register: `ladestrom import stations --template >
    stations.csv` writes an empty file that explains each column. Fill it in with any spreadsheet program,
    check it with --dry-run and import it.

    A station that is missing from the file is removed: its EVSEs become REMOVED, with the cause `withdrawn`.
    It returns when a later file contains it. Exit code: 0; 1 if every record was refused; 2 if the file
    cannot be read or would remove too many stations (see --force-removal), and then nothing was changed.

    Args:
        file: The file, which may be compressed with gzip; `-` is standard input.
        template: Write the empty CSV file to standard output, and import nothing.
        publisher: Name of the publisher. Each publisher has its own register, so the file of one publisher
            does not remove the stations of another.
        options: Options of every import.
        where: Options of every command.
    """
    if template:
        print(empty_file(), end="")
        return 0
    if file is None:
        raise InvalidSetting(
            "no FILE is given. `ladestrom import stations --template > stations.csv` writes an empty one"
        )
    return _run("stations", file, _register("stations", publisher), options, where)


def _register(form: str, publisher: str | None) -> str:
    return form if publisher is None else f"{form}:{publisher}"


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


def _run(form: str, file: str, register: str, options: Options, where: Where) -> int:
    # What is wrong with the settings is said before a large file is read.
    where.load()
    with Telling(options.report) as telling:
        report, unseen = asyncio.run(_import(form, file, register, options, where, telling))
        telling.end(register, report, dry_run=options.dry_run)
    show(register, report, telling, dry_run=options.dry_run, listing=options.listing)
    if unseen:
        say(
            f"{unseen:,} of these EVSEs are in no list and on no map yet: no operator may report on them.\n"
            "Give an operator the right, and they are shown as UNKNOWN until it reports:\n"
            "  ladestrom registry parties                       whose EVSEs there are\n"
            "  ladestrom operators add NAME --party NO*ABC      or --all for all EVSEs"
        )
    imported = len(report.added) + len(report.changed) + len(report.returned) + report.unchanged
    return 0 if imported else EXIT_NOTHING_IMPORTED


async def _import(
    form: str, file: str, register: str, options: Options, where: Where, telling: Telling
) -> tuple[ImportReport, int]:
    """What became of the stations; and of how many EVSEs of the register nobody will see anything."""
    with ExitStack() as stack:
        stream, size = _open(file, stack)
        bar = stack.enter_context(_Bar(register, size))
        records = bar.until_written(REGISTERS[form](unpacked(_read(file, stream, bar))))
        opened: AbstractAsyncContextManager[Stores] = (
            _tried(where) if options.dry_run else writing(where, make=True)
        )
        async with opened as store:
            report = await store.import_stations(
                register,
                records,
                now(),
                complete=not options.partial,
                force_vanish=options.force_removal,
                dry_run=options.dry_run,
                tell=telling,
            )
            return report, 0 if options.dry_run else await _unseen(register, store)


async def _unseen(register: str, store: Stores) -> int:
    operators = await store.operators()
    if any(operator.all for operator in operators):
        return 0
    delta = await store.registry_since(0)
    own = (station for station in delta.stations if station.register == register)
    return uncovered(own, operators, {reading.evse for reading in delta.readings})


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
