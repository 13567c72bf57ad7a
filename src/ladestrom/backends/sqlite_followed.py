"""The log in a SQLite file that another process writes: read in short statements.

What stands in the file is not yet acknowledged: an append may have been refused after it was written (a file
was moved), and is replaced by the next. So nothing is read beyond the position that the writer said.
A statement that is kept open would keep the write-ahead log from being used again; only `recover` has a
transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

import apsw
import structlog

from ladestrom.backends import log_rows
from ladestrom.backends.data_directory import LOG_FILE
from ladestrom.backends.log_rows import rows
from ladestrom.backends.opening import Opening
from ladestrom.backends.tailing import RECENT_ENTRIES_MAX, Recent
from ladestrom.backends.worker import Worker
from ladestrom.errors import LogDamaged, LogFailure, LogReplaced, LogTrimmed
from ladestrom.model import Entry, Millis, Position
from ladestrom.ports.log import Recovered

BUSY_MS_MAX: Final = 10_000
"""After a crash, whoever reads first puts the write-ahead log in order, and the others wait for that."""
VOUCHED_S_MAX: Final = 30.0
"""How long a start waits for the writer to vouch for what it read."""
LATE_S_MAX: Final = 5.0
"""How long the log may be ahead of what was read, before that is called a fault."""

T = TypeVar("T")

logger = structlog.get_logger(__name__)


async def open_reader(opening: Opening) -> SqliteFollower:
    """Follows the log in the data directory."""
    return await SqliteFollower.open(opening.folder / LOG_FILE)


class SqliteFollower:
    """Implements `ports.Followed` for the file `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reader = Worker("log-read")
        self._connection: apsw.Connection
        self._epoch = ""
        self._first = 1
        self._oldest_at: Millis | None = None
        self._vouched = -1
        """Up to here all is durable, by the writer's word; -1 before its first."""
        self._recent = Recent(0)
        self._damage: LogDamaged | None = None
        self._said = asyncio.Event()
        self._behind_since_s: float | None = None

    @classmethod
    async def open(cls, path: Path) -> SqliteFollower:
        """Opens a file that is there.

        Raises:
            LogFailure: it is no log of this version, or cannot be read.
        """
        log = cls(path)
        try:
            await log._run(log._open)
        except BaseException:
            log._reader.end()
            raise
        return log

    def _open(self) -> None:
        # Shared memory has to be written even by those who only read.
        connection = apsw.Connection(str(self._path), flags=apsw.SQLITE_OPEN_READWRITE)
        connection.set_busy_timeout(BUSY_MS_MAX)
        # Checkpoints are the writer's, the one at the end included.
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        rows(connection, "PRAGMA wal_autocheckpoint = 0")
        connection.execute("PRAGMA query_only = 1")
        log_rows.check_format(connection, str(self._path))
        self._connection = connection
        self._epoch = log_rows.meta(connection).epoch
        self._first, _ = log_rows.extent(connection)

    # -- what the writer says ----------------------------------------------------------------------------

    def stands(self, epoch: str, last: int, first: int, oldest_at: Millis | None) -> None:
        """All up to `last` is durable, and what is before `first` was dropped.

        Raises:
            LogReplaced: this is another log than the one that is followed.
        """
        if epoch != self._epoch or last < self._vouched:
            raise LogReplaced(
                f"the log was replaced: it is at {epoch}-{last}, and was at {self._epoch}-{self._vouched}"
            )
        self._vouched, self._first, self._oldest_at = last, first, oldest_at
        self._said.set()

    async def follow(self) -> None:
        """Reads what the writer vouches for, until cancelled.

        Raises:
            LogDamaged: an entry cannot be read, or is missing.
            LogTrimmed: entries were dropped before they were read.
        """
        loop = asyncio.get_running_loop()
        while True:
            await self._said.wait()
            self._said.clear()
            while self._recent.last < self._vouched:
                if self._behind_since_s is None:
                    self._behind_since_s = loop.time()
                try:
                    found = await self.read(self._recent.last, RECENT_ENTRIES_MAX)
                except LogDamaged:
                    raise
                except LogFailure as error:
                    logger.warning("the log cannot be read; retrying", error=str(error))
                    await asyncio.sleep(LATE_S_MAX / 10)
                    continue
                if not found or found[0].seq != self._recent.last + 1:
                    raise LogTrimmed(f"entry {self._recent.last + 1} was dropped before it was read")
                self._recent.add(found)
            self._behind_since_s = None

    # -- ports.Followed ----------------------------------------------------------------------------------

    @property
    def last(self) -> Position:
        return Position(self._epoch, self._recent.last)

    @property
    def first(self) -> int:
        return self._first

    @property
    def oldest_at(self) -> Millis | None:
        return self._oldest_at

    @property
    def fault(self) -> LogFailure | None:
        since_s = self._behind_since_s
        if self._damage is None and since_s is not None:
            late_s = asyncio.get_running_loop().time() - since_s
            if late_s > LATE_S_MAX:
                return LogFailure(
                    f"this process is at {self._recent.last}, the log has been at {self._vouched} or beyond "
                    f"for {late_s:.0f} s"
                )
        return self._damage

    async def recover(self) -> Recovered:
        """Board and stations by checkpoint and replay. Waits until the writer vouches for all of them."""
        found, last = await self._run(self._recover)
        try:
            async with asyncio.timeout(VOUCHED_S_MAX):
                while self._vouched < last:
                    self._said.clear()
                    await self._said.wait()
        except TimeoutError:
            raise LogFailure(f"the process that writes does not vouch for entry {last}") from None
        self._recent = Recent(last)
        self._said.set()
        return found

    def _recover(self) -> tuple[Recovered, int]:
        connection = self._connection
        # In one transaction: a checkpoint that is taken meanwhile would let the log drop what it replaces.
        with connection:
            meta = log_rows.meta(connection)
            _, last = log_rows.extent(connection)
            last = max(last, meta.checkpoint)
            found, _ = log_rows.recovered(connection, meta.checkpoint, last)
        return found, last

    async def read(self, after: int, limit: int) -> Sequence[Entry]:
        last = max(self._vouched, self._recent.last)
        return await self._run(lambda: log_rows.entries(self._connection, after, last, limit, self._dropped))

    def _dropped(self) -> int:
        first, last = log_rows.extent(self._connection)
        return first - 1 if last else 0

    async def before(self, at: Millis) -> int:
        first, last = self._first, self._recent.last
        return await self._run(lambda: log_rows.before(self._connection, at, first, last))

    def tail(self, after: int) -> AsyncIterator[Sequence[Entry]]:
        return self._recent.tail(after, self.read)

    @property
    def kept_bytes(self) -> int:
        return sum(file.stat().st_size for file in self._path.parent.glob(f"{self._path.name}*"))

    async def close(self) -> None:
        try:
            with suppress(apsw.Error):
                await self._run(self._connection.close)
        finally:
            self._reader.end()

    async def _run(self, work: Callable[[], T]) -> T:
        try:
            return await self._reader.do(work)
        except (apsw.Error, OSError, UnicodeDecodeError, LogDamaged) as error:
            damage = log_rows.damage(self._path, error)
            if damage is not None:
                self._damage = damage
                raise damage from error
            raise LogFailure(f"the log {self._path} cannot be read ({error})") from error
