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
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, Final, Self

from cyclopts import App, Parameter
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

from ladestrom.cli.store import DATA_DEFAULT, DataDirectory, now, opened
from ladestrom.errors import InvalidRegister
from ladestrom.registers import REGISTERS

if TYPE_CHECKING:
    from ladestrom.ports import ImportReport, RecordRefusal, StationDraft

CHUNK_KIB: Final = 256
"""Read and decompressed at a time: the parsers' own limits are what bounds a register."""
REASONS_SHOWN_MAX: Final = 20
EXIT_NOTHING_IMPORTED: Final = 1

_CHUNK_BYTES: Final = CHUNK_KIB * 1024
_GZIP_MAGIC: Final = b"\x1f\x8b"
_GZIP_WINDOW: Final = 31
"""zlib's name for a gzip header and a window of 32 KiB."""
_PUBLISHER: Final = re.compile(r"[A-Za-z0-9.-]{1,50}")
_PARTICULAR: Final = re.compile(r"'[^']*'|\"[^\"]*\"|\([^)]*\)|\b\w*[0-9][\w.*:-]*")
"""What differs between two refusals for the same reason: quotations, ids, numbers."""

app: Final = App(name="import", help="Fills or updates the registry from a register file.")


def _publisher(_type: object, written: object) -> None:
    if isinstance(written, str) and not _PUBLISHER.fullmatch(written):
        raise ValueError("a publisher's name is 1 to 50 letters, digits, dots and hyphens")


File = Annotated[str, Parameter(name="FILE", allow_leading_hyphen=True)]
Publisher = Annotated[str | None, Parameter(name="--publisher", validator=_publisher)]
Partial = Annotated[bool, Parameter(name="--partial", negative=())]
ForceVanish = Annotated[bool, Parameter(name="--force-vanish", negative=())]


@app.command
def nobil(
    file: File,
    /,
    *,
    partial: Partial = False,
    force_vanish: ForceVanish = False,
    data: DataDirectory = DATA_DEFAULT,
) -> int:
    """Import what NOBIL publishes: API version 3, JSON or XML.

    Stations that the file lacks are marked as vanished, and return when a later file has them. Ends with 0,
    with 1 when every record was refused, with 2 when the file cannot be read; then nothing was changed.

    Args:
        file: the register file; gzip is understood, `-` is standard input.
        partial: the file is a part of the register: stations that it lacks have not vanished.
        force_vanish: import it even if most of the stations vanish.
        data: directory of the log and the store; made where it is missing.
    """
    return _run("nobil", file, data, partial=partial, force_vanish=force_vanish)


@app.command
def irve(
    file: File,
    /,
    *,
    partial: Partial = False,
    force_vanish: ForceVanish = False,
    data: DataDirectory = DATA_DEFAULT,
) -> int:
    """Import the French national register, IRVE statique 2.3: JSON lines or CSV.

    Stations that the file lacks are marked as vanished, and return when a later file has them. Ends with 0,
    with 1 when every record was refused, with 2 when the file cannot be read; then nothing was changed.

    Args:
        file: the register file; gzip is understood, `-` is standard input.
        partial: the file is a part of the register: stations that it lacks have not vanished.
        force_vanish: import it even if most of the stations vanish.
        data: directory of the log and the store; made where it is missing.
    """
    return _run("irve", file, data, partial=partial, force_vanish=force_vanish)


@app.command
def datex(
    file: File,
    /,
    *,
    publisher: Publisher = None,
    partial: Partial = False,
    force_vanish: ForceVanish = False,
    data: DataDirectory = DATA_DEFAULT,
) -> int:
    """Import a table publication of DATEX II, EnergyInfrastructure version 3.5 or later: XML or JSON.

    Stations that the file lacks are marked as vanished, and return when a later file has them. Ends with 0,
    with 1 when every record was refused, with 2 when the file cannot be read; then nothing was changed.

    Args:
        file: the publication; gzip is understood, `-` is standard input.
        publisher: whose it is, where the tables of several are imported: each is a register of its own.
        partial: the file is a part of the register: stations that it lacks have not vanished.
        force_vanish: import it even if most of the stations vanish.
        data: directory of the log and the store; made where it is missing.
    """
    name = "datex" if publisher is None else f"datex:{publisher}"
    return _run("datex", file, data, name, partial=partial, force_vanish=force_vanish)


@app.command
def ocpi(
    file: File,
    /,
    *,
    publisher: Publisher = None,
    partial: Partial = False,
    force_vanish: ForceVanish = False,
    data: DataDirectory = DATA_DEFAULT,
) -> int:
    """Import Locations of OCPI 2.1.1 to 2.3.0, as their sender answers them: JSON, page after page.

    Stations that the file lacks are marked as vanished, and return when a later file has them. Ends with 0,
    with 1 when every record was refused, with 2 when the file cannot be read; then nothing was changed.

    Args:
        file: the register file; gzip is understood, `-` is standard input.
        publisher: whose it is: each has a register of its own. With the name of an operator, its file and
            what it registers over OCPI are one.
        partial: the file is a part of the register: stations that it lacks have not vanished.
        force_vanish: import it even if most of the stations vanish.
        data: directory of the log and the store; made where it is missing.
    """
    name = "ocpi" if publisher is None else f"ocpi:{publisher}"
    return _run("ocpi", file, data, name, partial=partial, force_vanish=force_vanish)


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
        raise InvalidRegister(f"the gzip is corrupt ({error}); nothing was changed") from error
    if member is not None and not member.eof:
        raise InvalidRegister("the gzip is cut off, the file is not complete; nothing was changed")


def _run(
    form: str, file: str, data: Path, register: str | None = None, *, partial: bool, force_vanish: bool
) -> int:
    """Imports a file of one form into the register of that name, which is the form's where none is given."""
    report = asyncio.run(
        _import(form, file, data, register or form, complete=not partial, force_vanish=force_vanish)
    )
    imported = len(report.added) + len(report.changed) + len(report.returned) + report.unchanged
    _print(report)
    return 0 if imported else EXIT_NOTHING_IMPORTED


async def _import(
    form: str, file: str, data: Path, register: str, *, complete: bool, force_vanish: bool
) -> ImportReport:
    with ExitStack() as stack:
        stream, size = _open(file, stack)
        bar = stack.enter_context(_Bar(register, size))
        records = bar.until_written(REGISTERS[form](unpacked(_read(file, stream, bar))))
        async with opened(data) as store:
            return await store.import_stations(
                register, records, now(), complete=complete, force_vanish=force_vanish
            )


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


def _print(report: ImportReport) -> None:
    rows = (
        ("added", len(report.added)),
        ("changed", len(report.changed)),
        ("unchanged", report.unchanged),
        ("vanished", len(report.vanished)),
        ("returned", len(report.returned)),
        ("refused", report.refused_count),
        ("noted", report.notes_count),
    )
    for word, count in rows:
        print(f"{word:<9}  {count:>9,}")
    print(f"the register has {report.evses:,} EVSEs now")
    if report.notes_count:
        print("what is noted was odd, and was read as what it seems to mean")
    if not report.refused:
        return
    kinds = Counter(_PARTICULAR.sub("...", refusal.reason) for refusal in report.refused)
    told = len(report.refused)
    print("\nrefused, by reason:" if told == report.refused_count else f"\nof the first {told:,}, by reason:")
    for kind, count in kinds.most_common(REASONS_SHOWN_MAX):
        print(f"  {count:>7,}  {kind}")
    print(f"\nthe first {min(REASONS_SHOWN_MAX, told)}:")
    for refusal in report.refused[:REASONS_SHOWN_MAX]:
        print(f"  {refusal.record}: {refusal.reason}")
