"""The log in one SQLite file, through APSW, which bundles a SQLite without the WAL-reset bug.

One writer thread owns the writing connection; a second connection reads history. The file holds the
entries, one row each, and the board's checkpoint. No other SQLite library may open it in this process
(POSIX locks are per process and file).
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import suppress
from enum import StrEnum
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import apsw
import structlog

from ladestrom.backends import log_rows, retention
from ladestrom.backends.data_directory import LOG_FILE, WAL_SUFFIX, DataDirectory
from ladestrom.backends.encoded import encode, new_epoch
from ladestrom.backends.log_rows import CLOSED, FORMAT, rows
from ladestrom.backends.opening import Opening
from ladestrom.backends.retention import DAY_MS, AgeClock
from ladestrom.backends.tailing import Recent
from ladestrom.backends.worker import Worker
from ladestrom.backends.write_clock import WriteClock
from ladestrom.core.records import entry_of
from ladestrom.errors import LogDamaged, LogFailure, LogMisplaced
from ladestrom.model import AnyChange, Entry, Millis, Position
from ladestrom.ports.log import BoardRow, Recovered, StationRow, Times

CHUNK_ROWS: Final = 1_000
"""Rows a checkpoint or trim handles in one transaction, at some 20 us each: appends have to wait for it."""
BUSY_CHUNK_ROWS: Final = 64
"""Rows of a checkpoint's transaction while there are appends, so that few of them notice."""
APPENDS_MAX: Final = 2
"""How long such a transaction with more rows may take, in appends: where a sync takes most of the time, rows
cost next to nothing, and a checkpoint in small pieces would take half an hour."""
APPEND_WEIGHT: Final = 0.2
"""Of the last append in what one takes."""
PAUSE: Final = 8
"""After such a transaction, in multiples of what it took."""
PAUSE_S_MAX: Final = 0.25
"""But not longer: 100,000 EVSEs beside steady reports take a minute on a disk whose sync takes 100 ms."""
MIB: Final = 1024 * 1024
SHM_SUFFIX: Final = "-shm"
BUSY_MS_MAX: Final = 10_000
"""A copy that is being made of the file may hold a lock for a moment."""

# One statement for a whole group, and no transaction around it but its own: each step of a statement gives up
# the interpreter's lock and has to wait for it again behind the event loop, so a row at a time would cost a
# switch interval a row.
_APPEND: Final = "INSERT INTO entries (seq, at, body) SELECT ?1 + key, ?2, value FROM json_each(?3)"
_FIRST_YOUNG: Final = """
SELECT min(seq) FROM (SELECT seq, at FROM entries WHERE seq <= ? ORDER BY seq LIMIT ?)
WHERE at BETWEEN ? AND ?
"""
_CHECKPOINT: Final = """
INSERT INTO board (evse, seq, body)
SELECT json_extract(value, '$[1][0]'), json_extract(value, '$[0]'), value FROM json_each(?) WHERE true
ON CONFLICT (evse) DO UPDATE SET seq = excluded.seq, body = excluded.body
"""
_CHECKPOINT_STATIONS: Final = """
INSERT INTO stations (uuid, seq, body)
SELECT json_extract(value, '$[1].uuid'), json_extract(value, '$[0]'), value FROM json_each(?) WHERE true
ON CONFLICT (uuid) DO UPDATE SET seq = excluded.seq, body = excluded.body
"""
_KEEP: Final = "INSERT OR REPLACE INTO meta VALUES (?, ?)"

T = TypeVar("T")

logger = structlog.get_logger(__name__)


class Durability(StrEnum):
    """What an acknowledgement survives."""

    FULL = "full"
    """A power cut: each group of changes is synced to disk before it is acknowledged."""
    RELAXED = "relaxed"
    """A crash of the process; a power cut may lose the last acknowledged changes."""


async def open_log(opening: Opening) -> SqliteLog:
    """The log in the data directory, made where it is missing."""
    return await SqliteLog.open(
        opening.folder / LOG_FILE,
        durability=Durability(opening.durability),
        retention_days=opening.retention_days,
        retention_mib=opening.retention_mib,
        directory=opening.held,
    )


class SqliteLog:
    """Implements `ports.Log` in the file `path`."""

    def __init__(
        self,
        path: Path,
        durability: Durability,
        retention_days: float,
        retention_mib: float,
        directory: DataDirectory | None,
    ) -> None:
        self._path = path
        self._directory = directory
        self._durability = durability
        self._retention_ms = int(retention_days * DAY_MS)
        self._retention_bytes = int(retention_mib * MIB)
        self._writer = Worker("log-write")
        self._reader = Worker("log-read")
        self._write_connection: apsw.Connection
        self._read_connection: apsw.Connection
        self._epoch = ""
        self._first = 1
        self._dropped = 0
        """Entries up to here were dropped, or are about to be."""
        self._is_full = False
        self._append_s = 0.0
        """How long an append takes, of late."""
        self._writes = WriteClock()
        """Of what was handed to the writer's thread, and is not done yet."""
        self._misplaced: LogMisplaced | None = None
        self._damage: LogDamaged | None = None
        """What was found when something was read or written."""
        self._checkpoint_seq = 0
        self._ages: AgeClock
        self._times: Times | None = None
        self._lacks_stations = False
        self._oldest_at: Millis | None = None
        self._written = 0
        """Last sequence in the file; -1 after an append of which nobody knows whether it took effect."""
        self._recent = Recent(0)

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        durability: Durability = Durability.FULL,
        retention_days: float = 7,
        retention_mib: float = 4096,
        directory: DataDirectory | None = None,
    ) -> Self:
        """Opens the file, made where it is missing, with a new epoch.

        With a `directory`, nothing is acknowledged while one of its files is not where it was opened.

        Raises:
            LogFailure: the file is no log of this version, is damaged, or cannot be written.
        """
        log = cls(path, durability, retention_days, retention_mib, directory)
        try:
            await log._write(log._open)
        except BaseException:
            log._writer.end()
            log._reader.end()
            raise
        return log

    def _open(self) -> None:
        self._refuse_orphan()
        connection = self._write_connection = self._connect()
        log_rows.check_format(connection, str(self._path))
        self._path.chmod(0o600)
        if rows(connection, "PRAGMA journal_mode = WAL") != [("wal",)]:
            raise LogFailure(
                f"{self._path} is on a file system without shared memory: choose another directory"
            )
        # Whatever the durability: who looks after a power cut has to find the session that was cut.
        connection.execute("PRAGMA synchronous = FULL")
        with connection:
            for statement in log_rows.SCHEMA.split(";"):
                if statement.strip():
                    connection.execute(statement)
            connection.execute("INSERT OR IGNORE INTO meta VALUES ('format', ?)", (FORMAT,))
            connection.execute("INSERT OR IGNORE INTO meta VALUES ('checkpoint', 0)")
            connection.execute("INSERT OR IGNORE INTO meta VALUES ('epoch', ?)", (new_epoch(),))
            self._begin_session(connection)
        if self._durability is Durability.RELAXED:
            connection.execute("PRAGMA synchronous = NORMAL")
        meta = log_rows.meta(connection)
        self._lacks_stations = meta.format < log_rows.STATIONS_SINCE
        self._epoch = meta.epoch
        self._checkpoint_seq = meta.checkpoint
        self._first, self._written = log_rows.extent(connection)
        self._oldest_at = log_rows.received_at(connection, self._first)
        self._dropped = self._first - 1
        oldest_at, newest_at = log_rows.stamps(connection)
        self._ages = AgeClock(time.time_ns() // 1_000_000, oldest_at, newest_at, retention.elapsed_ms)
        self._recent = Recent(self._written)
        self._read_connection = self._connect()
        # SQLite opens the write-ahead log with the first query, and finds no other one then.
        log_rows.extent(self._read_connection)
        if self._directory is not None:
            name = self._path.name
            self._directory.keep(name, name + WAL_SUFFIX, vital=True)
            self._directory.keep(name + SHM_SUFFIX)

    def _refuse_orphan(self) -> None:
        """SQLite would delete a write-ahead log that has no file to go with, and entries with it."""
        wal = self._path.with_name(self._path.name + WAL_SUFFIX)
        if _size(wal) and not _size(self._path):
            raise LogFailure(
                f"{wal} has entries, but {self._path.name} is not beside it: put it back, or move {wal.name} "
                "out of the directory to start a new log"
            )

    def _begin_session(self, connection: apsw.Connection) -> None:
        boot_id = _boot_id()
        found = rows(connection, "SELECT value FROM meta WHERE name = 'session'")
        before = str(found[0][0]) if found else CLOSED
        changes = {"session": f"{self._durability} {boot_id}"}
        if before.startswith(Durability.RELAXED) and before != f"{Durability.RELAXED} {boot_id}":
            # The machine went down under a log that was not synced: its end may be lost, and its numbers
            # would be given out again. A new epoch tells every consumer to begin with a snapshot.
            changes["epoch"] = new_epoch()
        connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", changes.items())

    def _connect(self) -> apsw.Connection:
        connection = apsw.Connection(str(self._path))
        connection.set_busy_timeout(BUSY_MS_MAX)
        return connection

    @property
    def last(self) -> Position:
        return Position(self._epoch, self._recent.last)

    @property
    def first(self) -> int:
        return self._first

    @property
    def fault(self) -> LogFailure | None:
        if self._misplaced is not None:
            return self._misplaced
        damage = self._damage
        if damage is not None and damage.seq is not None and damage.seq < self._first:
            # The damaged entry was dropped with its age.
            damage = self._damage = None
        return damage

    @property
    def is_full(self) -> bool:
        return self._is_full

    @property
    def times(self) -> Times | None:
        return self._times

    @property
    def lacks_stations(self) -> bool:
        return self._lacks_stations

    async def adopt(self, stations: Iterable[StationRow]) -> None:
        # Of an adoption that was cut off, there may be stations that the registry has no more.
        await self._write(partial(self._transact, [("DELETE FROM stations", ())]))
        await self._keep(_CHECKPOINT_STATIONS, stations)
        await self._write(partial(self._transact, [(_KEEP, ("format", FORMAT))]))
        self._lacks_stations = False

    async def recover(self) -> Recovered:
        found, self._times = await self._write(
            lambda: log_rows.recovered(self._write_connection, self._checkpoint_seq, self._recent.last)
        )
        return found

    async def append(self, changes: Sequence[AnyChange]) -> Sequence[Entry]:
        if not changes:
            return []
        if self._misplaced is not None:
            self._find()
        start = self._recent.last + 1
        bodies = encode(changes).decode()
        await self._write(partial(self._append, start, start + len(changes) - 1, bodies))
        misplaced = "" if self._directory is None else self._directory.misplaced_vital()
        if misplaced:
            raise self._refuse(misplaced)
        entries = [entry_of(seq, change) for seq, change in enumerate(changes, start)]
        self._recent.add(entries)
        if self._oldest_at is None:
            self._oldest_at = changes[0].received_at
        return entries

    def _append(self, start: int, end: int, bodies: str) -> None:
        connection, began_s = self._write_connection, time.perf_counter()
        try:
            if self._written != start - 1:
                # Of an append that was told as failed, or whose caller left: nobody has seen it.
                connection.execute("DELETE FROM entries WHERE seq >= ?", (start,))
            connection.execute(_APPEND, (start, self._ages.now(), bodies))
        except apsw.Error as error:
            self._written = -1
            raise self._failure(error, "nothing was accepted; try again") from error
        self._written = end
        self._append_s += (time.perf_counter() - began_s - self._append_s) * APPEND_WEIGHT

    def look(self) -> None:
        """Looks whether all files are in place; `fault` says so where one is not.

        Appends look at the log's own file, its write-ahead log and the lock, before they return.
        """
        with suppress(LogMisplaced):
            self._find()

    def _find(self) -> None:
        """Raises where a file is misplaced."""
        misplaced = "" if self._directory is None else self._directory.misplaced()
        if misplaced:
            raise self._refuse(misplaced)
        self._misplaced = None

    def _refuse(self, misplaced: str) -> LogMisplaced:
        """What was written is not to be relied on."""
        self._written = -1
        self._misplaced = LogMisplaced(f"{misplaced}. Nothing was accepted")
        return self._misplaced

    async def read(self, after: int, limit: int) -> Sequence[Entry]:
        return await self._run(self._reader, partial(self._read, after, self._recent.last, limit))

    def _read(self, after: int, last: int, limit: int) -> list[Entry]:
        return log_rows.entries(self._read_connection, after, last, limit, lambda: self._dropped)

    async def before(self, at: Millis) -> int:
        return await self._run(
            self._reader,
            lambda: log_rows.before(self._read_connection, at, self._first, self._recent.last),
        )

    @property
    def oldest_at(self) -> Millis | None:
        return self._oldest_at

    def tail(self, after: int) -> AsyncIterator[Sequence[Entry]]:
        return self._recent.tail(after, self.read)

    async def checkpoint(
        self,
        rows: Iterable[BoardRow],
        seq: int,
        times: Times,
        stations: Iterable[StationRow] = (),
        registry_revision: int = 0,
    ) -> None:
        self._find()
        await self._keep(_CHECKPOINT_STATIONS, stations)
        await self._keep(_CHECKPOINT, rows)
        kept = {
            "checkpoint": seq,
            "given_at": times.given_at,
            "heard_at": times.heard_at,
            "registry_revision": registry_revision,
        }
        await self._write(partial(self._transact, [(_KEEP, pair) for pair in kept.items()]))
        self._checkpoint_seq = seq

    async def _keep(self, statement: str, rows: Iterable[BoardRow | StationRow]) -> None:
        """Keeps rows, as many in one transaction as appends do not notice."""
        left, count = iter(rows), BUSY_CHUNK_ROWS
        while chunk := list(islice(left, count)):
            last = self._recent.last
            took_s = await self._write(partial(self._transact, [(statement, (encode(chunk).decode(),))]))
            is_busy = self._recent.last != last
            if is_busy and took_s > APPENDS_MAX * self._append_s:
                count = BUSY_CHUNK_ROWS
            else:
                count = min(2 * count, CHUNK_ROWS)
            if is_busy:
                await asyncio.sleep(min(PAUSE * took_s, PAUSE_S_MAX))

    async def trim(self) -> int:
        self._find()
        dropped, was_full = 0, False
        while True:
            end = min(self._checkpoint_seq, self._recent.last - 1, self._recent.needed_after)
            count, is_full = await self._write(partial(self._trim, end))
            dropped += count
            was_full |= is_full
            if count < CHUNK_ROWS:
                self._is_full = was_full
                return dropped

    def _trim(self, end: int) -> tuple[int, bool]:
        """Drops some entries: how many, and whether the log was too large before."""
        connection = self._write_connection
        used = rows(
            connection,
            "SELECT (page_count - freelist_count) * page_size"
            " FROM pragma_page_count, pragma_freelist_count, pragma_page_size",
        )[0][0]
        is_full = used > self._retention_bytes
        # In their order: all before the first that is young enough.
        stays = None if is_full else rows(connection, _FIRST_YOUNG, (end, CHUNK_ROWS, *self._young()))[0][0]
        cut = min(end, self._first + CHUNK_ROWS - 1) if stays is None else int(stays) - 1
        count = cut + 1 - self._first
        if count <= 0:
            return 0, is_full
        # Known before they are gone, to whoever looks for an instant meanwhile.
        self._dropped = cut
        self._oldest_at = log_rows.received_at(connection, cut + 1)
        self._transact([("DELETE FROM entries WHERE seq <= ?", (cut,))])
        self._first += count
        return count, is_full

    def _young(self) -> tuple[Millis, Millis]:
        """Stamps from the first to the second are of entries that stay."""
        return self._ages.cut(self._retention_ms), self._ages.now()

    async def probe(self) -> None:
        self._find()
        statement = "INSERT OR REPLACE INTO meta VALUES ('probed_at', ?)"
        await self._write(partial(self._transact, [(statement, (time.time_ns() // 1_000_000,))]))

    def _transact(self, statements: Sequence[tuple[str, tuple[Any, ...]]]) -> float:
        """Runs statements in one transaction; says how long that took, in seconds."""
        connection, began_s = self._write_connection, time.perf_counter()
        try:
            with connection:
                for statement, values in statements:
                    connection.execute(statement, values)
        except apsw.Error as error:
            raise self._failure(error, "try again") from error
        return time.perf_counter() - began_s

    def _failure(self, error: apsw.Error, advice: str) -> LogFailure:
        """What to say of a write that failed."""
        if log_rows.is_damage(error):
            return LogDamaged(str(error))
        return LogFailure(f"the log {self._path.name} cannot be written ({error}); {advice}")

    async def close(self) -> None:
        try:
            await self._run(self._reader, self._read_connection.close)
            await self._write(self._close)
        finally:
            # A thread that hangs in a system call must not take the loop with it.
            self._writer.end()
            self._reader.end()

    def _close(self) -> None:
        # A log that cannot be written now is closed all the same.
        with suppress(apsw.Error):
            self._write_connection.execute("INSERT OR REPLACE INTO meta VALUES ('session', ?)", (CLOSED,))
        with suppress(apsw.Error):
            self._write_connection.close()

    @property
    def stalled_s(self) -> float:
        """For how long the disk has kept the writer waiting; 0 where nothing is being written."""
        return self._writes.stalled_s

    @property
    def idle_s(self) -> float:
        """Since the last write that succeeded."""
        return self._writes.idle_s

    @property
    def kept_bytes(self) -> int:
        """What its files take on the disk."""
        return sum(file.stat().st_size for file in self._path.parent.glob(f"{self._path.name}*"))

    async def _write(self, work: Callable[[], T]) -> T:
        with self._writes.running():
            return await self._run(self._writer, work)

    async def _run(self, thread: Worker, work: Callable[[], T]) -> T:
        try:
            return await thread.do(work)
        except (apsw.Error, OSError, UnicodeDecodeError, LogDamaged) as error:
            damage = log_rows.damage(self._path, error)
            if damage is None:
                raise LogFailure(f"the log {self._path} cannot be used ({error})") from error
            self._note(damage)
            raise damage from error

    def _note(self, damage: LogDamaged) -> None:
        if self._damage is None:
            logger.error("the log is damaged", error=str(damage), seq=damage.seq)
            self._damage = damage


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return secrets.token_hex(8)
