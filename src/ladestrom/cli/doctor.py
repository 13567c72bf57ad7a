"""`ladestrom doctor`: checks that this machine is fit to run the server, and says what to do if it is not.

Knows what the server needs of its machine. Changes nothing: what it writes to measure, it removes.
"""

from __future__ import annotations

import asyncio
import ctypes
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import apsw
import msgspec
from cyclopts import Parameter
from rich.console import Console
from rich.text import Text

from ladestrom.backends.data_directory import LOG_FILE, STORE_FILE
from ladestrom.backends.log_rows import newest_received_at
from ladestrom.backends.opening import Opening
from ladestrom.backends.retention import DAY_MS, clock_doubt
from ladestrom.backends.table import log_of, store_of
from ladestrom.cli.where import NOT_GIVEN, Where
from ladestrom.config import Settings
from ladestrom.errors import LadestromError, LogDamaged
from ladestrom.ingest.extensions import Unusable, unusable
from ladestrom.quoting import without_user
from ladestrom.targets import load

SYNC_SAMPLES: Final = 20
SYNC_BYTES: Final = 4_096
"""A page of SQLite, the least that a commit writes."""
SYNC_MS_MAX: Final = 10.0
"""More, and the sync alone takes a third of the 35 ms from report to consumer."""
SYNC_MS_MIN: Final = 0.01
"""Less than any disk takes: a memory file system, or a sync that does nothing."""
SQLITE_MIN: Final = 3_051_003
"""First SQLite in which two connections cannot corrupt a WAL that is reset (3.7.0 to 3.51.2 can)."""
CLOCK_MIN_AT: Final = 1_767_225_600_000
"""2026-01-01, before this program was written."""
SPARE_FILES: Final = 256
"""Files and sockets beside the consumers': databases, operators, REST requests."""
DISK_FREE_MIB_MIN: Final = 256
MEMORY_BASE_MIB: Final = 256
"""Program and board of 100,000 EVSEs, with room."""
CONSUMER_KIB: Final = 8
"""Memory of an idle consumer."""
ADJTIMEX_BYTES: Final = 512
"""At least `struct timex`: 208 bytes on 64-bit Linux."""
ADJTIMEX_UNSYNCHRONISED: Final = 5
"""TIME_ERROR (adjtimex(2))."""
MIB: Final = 1_048_576
KIB: Final = 1_024

DATABASES: Final = (
    (LOG_FILE, "SELECT value FROM meta WHERE name = 'format'"),
    (STORE_FILE, "SELECT version_num FROM alembic_version"),
)
"""The files of a data directory, and how each tells its version."""


class Level(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Check(msgspec.Struct, frozen=True):
    """One line: what was checked, what was found, and what to do about it."""

    name: str
    level: Level
    found: str
    advice: str = ""
    """Empty where nothing has to be done."""


def doctor(*, as_json: Annotated[bool, Parameter(name="--json")] = False, where: Where = NOT_GIVEN) -> int:
    """Check that this machine is fit to run the server: clock, disk, open files, memory, libraries, data.

    Exit code: 0 if it is, 1 if it is not.

    Args:
        as_json: Print one JSON object.
        where: Options of every command.
    """
    settings = where.settings()
    checks = tuple(examine(settings))
    failed = any(check.level is Level.FAIL for check in checks)
    if as_json:
        body = msgspec.json.encode({"ok": not failed, "checks": checks})
        print(msgspec.json.format(body, indent=2).decode())
    else:
        _print(checks)
    return 1 if failed else 0


def examine(settings: Settings) -> Iterator[Check]:
    """Everything that `doctor` checks, in the order in which it is printed."""
    directory = Path(settings.server.data)
    present = _nearest(directory)
    yield python(sys.version_info[:3])
    yield sqlite(apsw.sqlite_lib_version())
    yield uvloop(sys.platform, present=importlib.util.find_spec("uvloop") is not None)
    yield clock(time.time_ns() // 1_000_000, _newest_at(directory), synchronised=_synchronised())
    yield files(_files_limit(), settings.stream.consumers_max)
    yield memory(_memory_free_mib(), settings.stream.consumers_max)
    writable = data_directory(directory, present)
    yield writable
    yield disk(shutil.disk_usage(present).free // MIB, settings.log.retention_mib)
    if writable.level is not Level.FAIL:
        yield sync(statistics.median(sync_ms(present)))
    kept = log_of(settings.log.url), store_of(settings.store.url)
    for (name, query), backend in zip(DATABASES, kept, strict=True):
        if backend.file == name and (directory / name).exists():
            yield database(directory / name, query)
    if not kept[0].outlives:
        yield lost_log(settings.log.url)
    if not kept[1].file:
        yield store(Opening(url=settings.store.url, folder=directory))
    yield from packages(unusable())
    newest_at = _received_at(directory / LOG_FILE) if kept[0].file == LOG_FILE else None
    if newest_at is not None:
        yield newest_entry(time.time_ns() // 1_000_000, newest_at, settings.log.retention_days)


def python(version: Sequence[int]) -> Check:
    """The interpreter."""
    found = f"{platform.python_implementation()} {'.'.join(map(str, version))}"
    if tuple(version) < (3, 11):
        return Check("python", Level.FAIL, found, "install Python 3.11 or newer")
    return Check("python", Level.OK, found)


def sqlite(version: str) -> Check:
    """The SQLite that APSW brings; the one of the operating system does not matter to the log."""
    major, minor, patch = (int(part) for part in version.split("."))
    if major * 1_000_000 + minor * 1_000 + patch < SQLITE_MIN:
        return Check(
            "sqlite",
            Level.FAIL,
            f"{version} (APSW {apsw.apsw_version()})",
            "this SQLite can corrupt the log; install the wheel of apsw, which contains a newer SQLite",
        )
    return Check("sqlite", Level.OK, f"{version} (APSW {apsw.apsw_version()})")


def uvloop(system: str, *, present: bool) -> Check:
    """The event loop; without uvloop, consumers that read slowly cost more memory."""
    if present:
        return Check("uvloop", Level.OK, importlib.metadata.version("uvloop"))
    if system == "win32":
        return Check("uvloop", Level.OK, "not available on Windows")
    return Check(
        "uvloop",
        Level.WARN,
        "not installed",
        "install uvloop: then consumers that read slowly use less memory",
    )


def clock(now: int, newest_at: int | None, *, synchronised: bool | None) -> Check:
    """Our clock: observations are judged by it.

    Args:
        now: our clock, ms UTC.
        newest_at: when the newest file of the data directory was written, ms UTC; None where there is none.
        synchronised: what the kernel says; None where it says nothing.
    """
    shown = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now / 1_000))
    advice = "set the clock, and run chrony or systemd-timesyncd"
    if now < CLOCK_MIN_AT:
        return Check("clock", Level.FAIL, f"{shown} is in the past", advice)
    if newest_at is not None and newest_at > now + 60_000:
        ahead = (newest_at - now) // 1_000
        return Check(
            "clock", Level.FAIL, f"{shown} is {ahead} s before the newest file in the data directory", advice
        )
    if synchronised is False:
        return Check(
            "clock",
            Level.WARN,
            f"{shown}, not synchronised according to the kernel",
            "run chrony or systemd-timesyncd (in a virtual machine, the host may keep the clock)",
        )
    return Check("clock", Level.OK, f"{shown}{', synchronised' if synchronised else ''}")


def newest_entry(now: int, newest_at: int, retention_days: int) -> Check:
    """The clock beside the newest entry of the log: entries are dropped with their age.

    Args:
        now: our clock, ms UTC.
        newest_at: when the newest entry was received, ms UTC.
        retention_days: how long entries are kept.
    """
    doubt = clock_doubt(now, newest_at, retention_days * DAY_MS)
    if doubt:
        return Check("clock and log", Level.WARN, doubt, "compare the clock with another one")
    return Check("clock and log", Level.OK, "the newest entry of the log agrees with the clock")


def files(limit: int | None, consumers_max: int) -> Check:
    """Open files: each consumer is one. `limit` is None where there is none."""
    needed = consumers_max + SPARE_FILES
    if limit is None:
        return Check("open files", Level.OK, "no limit")
    if limit >= needed:
        return Check("open files", Level.OK, f"{limit:,}, enough for {consumers_max:,} consumers")
    level = Level.FAIL if limit <= SPARE_FILES else Level.WARN
    return Check(
        "open files",
        level,
        f"{limit:,}, enough for {max(0, limit - SPARE_FILES):,} of {consumers_max:,} consumers",
        f"`ulimit -n {needed}` (systemd: LimitNOFILE={needed}), or lower stream.consumers_max",
    )


def memory(free_mib: int | None, consumers_max: int) -> Check:
    """Memory that may be used; None where it cannot be found out."""
    needed = MEMORY_BASE_MIB + consumers_max * CONSUMER_KIB // KIB
    if free_mib is None:
        return Check("memory", Level.OK, "this system does not say")
    if free_mib < needed:
        return Check(
            "memory",
            Level.WARN,
            f"{free_mib:,} MiB free; about {needed:,} MiB are needed",
            "provide more memory, or lower stream.consumers_max",
        )
    return Check("memory", Level.OK, f"{free_mib:,} MiB free")


def data_directory(directory: Path, present: Path) -> Check:
    """Whether the data directory, or the one that it will be made in, can be written."""
    try:
        with tempfile.TemporaryFile(dir=present) as file:
            file.write(b"\0" * SYNC_BYTES)
    except OSError as error:
        return Check(
            "data directory",
            Level.FAIL,
            f"{present}: {error.strerror}",
            f"let user {_user()} write to {present}, or choose another directory with --data",
        )
    if present != directory:
        return Check(
            "data directory",
            Level.OK,
            f"{directory} does not exist yet; the server will create it in {present.resolve()}",
        )
    return Check("data directory", Level.OK, str(directory.resolve()))


def disk(free_mib: int, retention_mib: int) -> Check:
    """Room for the log."""
    found = f"{free_mib:,} MiB free"
    if free_mib < DISK_FREE_MIB_MIN:
        return Check("disk", Level.FAIL, found, "free some disk space: the log cannot grow")
    if free_mib < retention_mib:
        return Check(
            "disk",
            Level.WARN,
            f"{found}, less than log.retention_mib = {retention_mib:,}",
            "free some disk space, or lower log.retention_mib",
        )
    return Check("disk", Level.OK, found)


def sync(median_ms: float) -> Check:
    """How long the disk takes to make a small write durable."""
    found = f"{median_ms:.2f} ms to sync {SYNC_BYTES // KIB} KiB to the disk (median of {SYNC_SAMPLES})"
    if median_ms > SYNC_MS_MAX:
        return Check(
            "disk sync",
            Level.WARN,
            found,
            "every acknowledgement waits for a sync: use a faster disk, or set log.durability to relaxed",
        )
    if median_ms < SYNC_MS_MIN:
        return Check(
            "disk sync",
            Level.WARN,
            found,
            "no disk is that fast. If the directory is in memory, a power cut loses the log",
        )
    return Check("disk sync", Level.OK, found)


def sync_ms(directory: Path) -> list[float]:
    """Durations of `SYNC_SAMPLES` small writes with fsync in the directory, ms."""
    durations = []
    with tempfile.TemporaryFile(dir=directory, buffering=0) as file:
        for _ in range(SYNC_SAMPLES):
            started = time.perf_counter_ns()
            file.write(b"\0" * SYNC_BYTES)
            os.fsync(file.fileno())
            durations.append((time.perf_counter_ns() - started) / 1_000_000)
    return durations


def database(path: Path, query: str) -> Check:
    """A file of the data directory: its version and size. It is opened for reading only."""
    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            row = connection.execute(query).fetchone()
        finally:
            connection.close()
    except apsw.Error as error:
        return Check(
            path.name, Level.FAIL, f"cannot be read: {error}", "restore the data directory from a backup"
        )
    size_mib = path.stat().st_size / MIB
    if row is None:
        return Check(path.name, Level.FAIL, "has no version", "restore the data directory from a backup")
    return Check(path.name, Level.OK, f"version {row[0]}, {size_mib:,.1f} MiB")


def lost_log(url: str) -> Check:
    """A log that ends with the server."""
    return Check(
        "log",
        Level.WARN,
        f"log.url is {url}: the change log is lost when the server stops",
        "for anything but a trial, set log.url to sqlite:",
    )


def store(opening: Opening) -> Check:
    """A store that is no file: whether its driver is installed, and whether it answers. Changes nothing."""
    shown = without_user(opening.url)
    try:
        version = asyncio.run(load(store_of(opening.url).version)(opening))
    except LadestromError as error:
        return Check("store", Level.FAIL, f"{shown}: {error}", "correct store.url, or start the database")
    if not version:
        return Check("store", Level.OK, f"{shown} has no tables yet; the server will create them")
    return Check("store", Level.OK, f"{shown}, version {version}")


def packages(left_out: Iterable[Unusable]) -> Iterator[Check]:
    """Protocols of packages that the server leaves out."""
    for each in left_out:
        named = " ".join(filter(None, (each.name, f"({each.value})")))
        reason = "" if each.error is None else f": {each.error}"
        advice = "correct or remove the package; the server runs without this"
        yield Check("protocols", Level.WARN, f"{each.what}, {named}{reason}", advice)


def _print(checks: Sequence[Check]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    styles = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "bold red"}
    width = max(len(check.name) for check in checks)
    for check in checks:
        line = Text(f"{check.level:<4}  ", style=styles[check.level])
        line.append(f"{check.name:<{width}}  {check.found}", style="default")
        console.print(line)
        if check.advice:
            console.print(Text(f"{'':<{width + 6}}  {check.advice}", style="default"))


def _nearest(directory: Path) -> Path:
    """The directory, or the nearest above it that is there."""
    path = directory.absolute()
    while not path.is_dir() and path != path.parent:
        path = path.parent
    return directory if path == directory.absolute() else path


def _newest_at(directory: Path) -> int | None:
    times = [path.stat().st_mtime_ns for name, _ in DATABASES if (path := directory / name).exists()]
    return max(times) // 1_000_000 if times else None


def _received_at(log: Path) -> int | None:
    """When the newest entry was received; None where there is none, or where it cannot be read."""
    if not log.exists():
        return None
    try:
        connection = apsw.Connection(str(log), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            return newest_received_at(connection)
        finally:
            connection.close()
    except (apsw.Error, LogDamaged):
        return None


def _synchronised() -> bool | None:
    if not sys.platform.startswith("linux"):
        return None
    try:
        ask: Callable[[ctypes.Array[ctypes.c_char]], int] = ctypes.CDLL(None).adjtimex
    except (OSError, AttributeError):
        return None
    state = ask((ctypes.c_char * ADJTIMEX_BYTES)())
    return None if state < 0 else state != ADJTIMEX_UNSYNCHRONISED


def _files_limit() -> int | None:
    if sys.platform == "win32":
        return None
    import resource  # noqa: PLC0415 - not there on Windows

    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if limit == resource.RLIM_INFINITY else limit


def _memory_free_mib() -> int | None:
    """What the system has free, or less where the control group allows less."""
    found: list[int] = []
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                found = [int(line.split()[1]) // KIB]
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
        used = Path("/sys/fs/cgroup/memory.current").read_text(encoding="ascii").strip()
        if limit != "max":
            found.append((int(limit) - int(used)) // MIB)
    except (OSError, ValueError):
        pass
    return min(found, default=None)


def _user() -> str:
    return str(os.getuid()) if sys.platform != "win32" else os.environ.get("USERNAME", "")
