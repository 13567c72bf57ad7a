"""Follows a log in PostgreSQL that this process need not write.

Told by NOTIFY and by a look at the end of the log twice a second, it keeps the newest entries in memory, and
checks that each block is the one that was written after the one before. A log that is not what was read
before ends everybody who follows: what they have can be in no log any more.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

import msgspec
import structlog

from ladestrom import tasks
from ladestrom.backends import blocks
from ladestrom.backends.blocks import Block, End
from ladestrom.backends.encoded import Same, decode_row, decode_station
from ladestrom.backends.postgres.durability import RELAXED, Facts, require
from ladestrom.backends.postgres.link import Connection, Failed, Link, fetching
from ladestrom.backends.postgres.statements import FORMAT, WHERE, Statements
from ladestrom.backends.tailing import RECENT_ENTRIES_MAX, Recent
from ladestrom.core.records import differing, fold, shared
from ladestrom.errors import LogDamaged, LogFailure, LogReplaced, LogTrimmed
from ladestrom.model import Change, Entry, Millis, Position
from ladestrom.ports.log import BoardRow, Recovered, StationRow, Times

POLL_S: Final = 0.5
"""A notification can be lost with its connection."""
READ_S_MAX: Final = 30.0
"""For 10,000 entries, or a piece of the checkpoint."""
RECOVER_S_MAX: Final = 600.0
"""For all of it: a million EVSEs take some 30 s."""
ROWS_AT_ONCE: Final = 2_000
"""Of a checkpoint, before other work of the loop gets its turn: some 10 ms."""
WHAT_TO_DO: Final = (
    "Stop all servers of this log, and run `ladestrom log new-epoch`: what comes after the damage is kept, "
    "and consumers begin with a snapshot; or restore a backup of the database."
)

T = TypeVar("T")

logger = structlog.get_logger(__name__)


class Place(msgspec.Struct, frozen=True):
    """Where a log is, and how it is used."""

    link: Link
    """For what is written, and for what tells about that."""
    reads: Link
    notices: Link
    """Where notifications come; direct, where a pool stands before the others."""
    statements: Statements
    durability: str
    name: str
    """For people."""


class PostgresReader:
    """Implements `ports.Followed`."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._sql = place.statements
        self._end = End("", 0)
        """Where the chain of blocks ends, as far as this process knows."""
        self._first = 1
        self._oldest_at: Millis | None = None
        self._recent = Recent(0)
        self._times: Times | None = None
        self._kept_bytes = 0
        self._measured_first = 0
        """Oldest entry kept when what is told without asking was noted."""
        self._fault: LogFailure | None = None
        """What only a new start mends, or a repair."""
        self._away: LogFailure | None = None
        """Why the log cannot be read just now."""
        self._turn = asyncio.Lock()
        """Of who moves the end on."""
        self._follower: asyncio.Task[None] | None = None
        self._is_followed = False
        """Whether somebody runs `follow`."""
        self._noticed = asyncio.Event()
        self._listens_on: Connection | None = None

    @property
    def statements(self) -> Statements:
        """Those of its schema."""
        return self._sql

    async def begin(self) -> None:
        """Finds out where the log is.

        Raises:
            LogFailure: there is none, it is of a newer version, or it cannot be read.
        """
        meta = await self._run(self._place.reads, lambda each: each.fetchrow(self._sql.meta))
        self._set(meta)

    def _set(self, meta: Any) -> None:  # noqa: ANN401 - the driver has no types
        if meta is None or meta["format"] > FORMAT:
            raise LogFailure(
                f"the log in {self._place.name} has format {meta and meta['format']}, this program reads "
                f"{FORMAT}: use the version that wrote it"
            )
        self._end = End(meta["epoch"], meta["term"], meta["block"], meta["last"], meta["crc"])
        self._first = meta["first"]
        self._recent.skip_to(self._end.last)

    @property
    def last(self) -> Position:
        return Position(self._end.epoch, self._recent.last)

    @property
    def first(self) -> int:
        return self._first

    @property
    def term(self) -> int:
        """Of who wrote the last block that is known."""
        return self._end.term

    @property
    def fault(self) -> LogFailure | None:
        return self._fault or self._away

    @property
    def oldest_at(self) -> Millis | None:
        return self._oldest_at

    @property
    def times(self) -> Times | None:
        return self._times

    @property
    def kept_bytes(self) -> int:
        return self._kept_bytes

    def look(self) -> None:
        """The follower does it all the time."""

    # -- what is kept ------------------------------------------------------------------------------------

    async def recover(self) -> Recovered:
        async with self._turn:
            found: Recovered = await self._run(self._place.reads, self._recovered, RECOVER_S_MAX)
            await self._measure()
        return found

    async def _recovered(self, connection: Connection) -> Recovered:
        """Board and stations, of one moment."""
        board: dict[str, BoardRow] = {}
        stations: dict[str, StationRow] = {}
        same = Same()
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            meta = await connection.fetchrow(self._sql.meta)
            before = self._end
            self._set(meta)
            self._require_same(before)
            times = None if meta["given_at"] is None else Times(meta["given_at"], meta["heard_at"])
            try:
                async for rows in _pieces(connection, self._sql.board):
                    for (body,) in rows:
                        row = same.row(decode_row(body))
                        board[row.change.evse] = row
                async for rows in _pieces(connection, self._sql.stations):
                    for (body,) in rows:
                        kept = decode_station(body)
                        stations[kept.station.uuid] = shared(kept)
            except msgspec.DecodeError as error:
                raise LogDamaged(f"the checkpoint cannot be read ({error})") from error
            checkpointed = dict(stations)
            seq = meta["checkpoint"]
            while seq < self._end.last:
                for each in await self._entries(connection, seq, RECENT_ENTRIES_MAX):
                    if each.seq != seq + 1:
                        raise LogDamaged(f"entries {seq + 1} to {each.seq - 1} are missing", seq + 1)
                    if isinstance(each.change, Change):
                        same.change(each.change)
                    times = fold(board, stations, each, times)
                    seq = each.seq
        self._times = times
        rows_found = sorted(board.values(), key=lambda row: row.seq)
        touched = differing(stations, checkpointed)
        return Recovered(rows_found, list(stations.values()), meta["registry_revision"], touched)

    async def _measure(self) -> None:
        """Notes what is told without asking."""
        self._kept_bytes = await self._run(self._place.reads, lambda each: each.fetchval(self._sql.bytes))
        self._measured_first = self._first
        self._oldest_at = await self._run(self._place.reads, self._received_at)

    async def _received_at(self, connection: Connection) -> Millis | None:
        found = await connection.fetchrow(self._sql.containing, self._first)
        if found is None:
            return None
        try:
            block = blocks.read(found["number"], found["body"], found["crc"])
            entries = block.entries()
        except LogDamaged:
            # Whoever reads the entry is told.
            return None
        place = max(0, self._first - block.header.first)
        return entries[place].change.received_at if place < len(entries) else None

    async def read(self, after: int, limit: int) -> Sequence[Entry]:
        if limit <= 0 or after >= self._recent.last:
            return []
        found: list[Entry] = await self._run(
            self._place.reads, lambda each: self._entries(each, after, limit), READ_S_MAX
        )
        return found

    async def _entries(self, connection: Connection, after: int, limit: int) -> list[Entry]:
        last = self._recent.last
        rows = await connection.fetch(self._sql.read, after, limit)
        first = max(after + 1, rows[0]["kept_first"])
        found: list[Entry] = []
        before: Block | None = None
        for row in rows:
            if row["number"] is None:
                break
            block = blocks.read(row["number"], row["body"], row["crc"])
            if before is not None:
                blocks.follows(before, block)
            found += block.entries()
            before = block
            await asyncio.sleep(0)
        found = found[bisect_left(found, first, key=_seq) :][:limit]
        if found and found[-1].seq > last:
            found = found[: bisect_left(found, last + 1, key=_seq)]
        if first <= last and (not found or found[0].seq != first):
            end = found[0].seq - 1 if found else last
            raise LogDamaged(f"entries {first} to {end} are missing", first)
        return found

    async def before(self, at: Millis) -> int:
        seq: int = await self._run(self._place.reads, lambda each: self._before(each, at))
        return seq

    async def _before(self, connection: Connection, at: Millis) -> int:
        found = await connection.fetchrow(self._sql.before, at)
        if found is None:
            return self._first - 1
        block = blocks.read(found["number"], found["body"], found["crc"])
        entries = block.entries()
        seq = block.header.first - 1 + bisect_left(entries, at, key=lambda each: each.change.received_at)
        return max(self._first - 1, min(seq, self._recent.last))

    # -- following ---------------------------------------------------------------------------------------

    def tail(self, after: int) -> AsyncIterator[Sequence[Entry]]:
        if self._follower is None and not self._is_followed:
            self._follower = tasks.start(self._follow(), "log follower", self._died)
        return self._recent.tail(after, self.read)

    async def catch_up(self) -> None:
        """Reads what was written since.

        Raises:
            LogReplaced: the log is not what was read before.
            LogDamaged: a block is not as it was written.
            LogFailure: it cannot be read now.
        """
        async with self._turn:
            await self._catch_up()

    async def _catch_up(self) -> None:
        while True:
            end = self._end
            rows = await self._run(
                self._place.reads,
                fetching(self._sql.after, end.block, end.last + RECENT_ENTRIES_MAX),
                READ_S_MAX,
            )
            if not rows or not self._take(rows):
                return

    def _take(self, rows: Sequence[Any]) -> bool:
        """Takes blocks that follow; whether there may be more."""
        end, where = self._end, rows[0]
        if where["block"] < end.block or where["last"] < end.last:
            raise LogReplaced(
                f"the log ends with block {where['block']} (entry {where['last']}), and block {end.block} "
                f"(entry {end.last}) was read from it before: it was restored, or PostgreSQL lost its end"
            )
        self._first = max(self._first, where["first"])
        if where["number"] is None:
            if where["epoch"] != end.epoch:
                raise LogReplaced(f"the log began epoch {where['epoch']}")
            return False
        if where["number"] > end.block + 1 and where["first"] > end.last + 1:
            raise LogTrimmed(f"entry {end.last + 1} is no longer in the log, which is at {where['last']}")
        for row in rows:
            block = blocks.read(row["number"], row["body"], row["crc"])
            blocks.follows(end, block)
            if block.header.epoch != end.epoch:
                raise LogReplaced(f"the log began epoch {block.header.epoch}")
            entries = block.entries()
            self._end = end = blocks.end_of(block)
            if entries:
                self._recent.add(entries)
        return bool(end.block < where["block"])

    def _require_same(self, before: End) -> None:
        """Checks that a log that is read anew goes on with what was read before."""
        if before.epoch and (before.epoch != self._end.epoch or before.last > self._end.last):
            raise LogReplaced(f"the log is at {self._end.epoch}-{self._end.last} now")

    def stands(self, epoch: str, last: int, first: int, oldest_at: Millis | None) -> None:
        """The writer says where the log is: a reason to look. What is true is in the log itself."""
        del epoch, first, oldest_at
        if last > self._recent.last:
            self._noticed.set()

    async def follow(self) -> None:
        """Follows until cancelled, for a process that cannot go on without.

        Raises:
            LogReplaced: the log is not what was read before, or began a new epoch.
            LogTrimmed: entries were dropped before they were read.
            LogDamaged: a block is not as it was written.
        """
        await self._end_following()
        self._is_followed = True
        try:
            raise await self._ended()
        finally:
            self._is_followed = False

    async def _follow(self) -> None:
        await self._ended()

    def _died(self, _: Exception) -> None:
        """Nobody is to be served what is stale: the process starts anew."""
        self._recent.end(
            LogDamaged("the log is not followed any more, by a defect of ours; see the messages before")
        )

    async def _ended(self) -> LogDamaged | LogTrimmed:
        """Follows until it cannot go on; why."""
        while True:
            try:
                await self._listen()
                await self.catch_up()
                if self._first != self._measured_first:
                    await self._measure()
                self._away = None
            except (LogDamaged, LogTrimmed) as error:
                await self._stop_following(error)
                return error
            except LogFailure as error:
                if self._away is None:
                    logger.warning("the log cannot be followed; retrying", error=str(error))
                self._away = LogFailure(str(error))
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await self._noticed.wait()
            self._noticed.clear()

    async def _stop_following(self, error: LogDamaged | LogTrimmed) -> None:
        logger.critical("the log cannot be followed any more", error=str(error))
        if isinstance(error, LogDamaged):
            self._fault = error
        elif isinstance(error, LogReplaced):
            self._fault = LogFailure(str(error))
            if "began epoch" not in str(error):
                with suppress(LogFailure):
                    await self._run(
                        self._place.reads,
                        lambda each: each.execute(self._sql.ask_to_renew, f"a reader had more: {error}"),
                    )
        self._recent.end(error)

    async def _listen(self) -> None:
        """Asks for notifications, with every connection anew."""
        try:
            connection = await self._place.notices.connection()
            if connection is self._listens_on:
                return
            await connection.add_listener(self._sql.channel, self._notice)
            self._listens_on = connection
        except Failed:
            # Looking twice a second does without.
            self._listens_on = None

    def _notice(self, *_: object) -> None:
        self._noticed.set()

    async def mend(self, work: Callable[[Connection], Awaitable[T]], seconds_max: float) -> T:
        """Does what nobody does who follows or writes the log."""
        done: T = await self._run(self._place.reads, work, seconds_max)
        return done

    # -- the connection ----------------------------------------------------------------------------------

    async def _run(self, link: Link, work: Callable[[Connection], Any], seconds_max: float = 5.0) -> Any:  # noqa: ANN401 - as the work
        """Does what only reads.

        Raises:
            LogDamaged: what was found cannot be read; says what to do.
            LogFailure: the log cannot be read now.
        """
        try:
            return await link.run(work, seconds_max)
        except LogDamaged as error:
            raise self._damaged(error) from error
        except Failed as error:
            raise LogFailure(f"the log in {self._place.name} cannot be used now: {error}") from error

    def _damaged(self, error: LogDamaged) -> LogDamaged:
        damage = LogDamaged(f"the log in {self._place.name} is damaged: {error}. {WHAT_TO_DO}", error.seq)
        if self._fault is None:
            logger.error("the log is damaged", error=str(damage), seq=error.seq)
            self._fault = damage
        return damage

    async def close(self) -> None:
        await self._end_following()
        for link in (self._place.link, self._place.reads, self._place.notices):
            await link.close()

    async def _end_following(self) -> None:
        follower, self._follower = self._follower, None
        if follower is not None:
            follower.cancel()
            await asyncio.gather(follower, return_exceptions=True)


async def _pieces(connection: Connection, query: str) -> AsyncIterator[Sequence[Any]]:
    cursor = await connection.cursor(query)
    while rows := await cursor.fetch(ROWS_AT_ONCE):
        yield rows
        await asyncio.sleep(0)


def _seq(entry: Entry) -> int:
    return entry.seq


def settings_of(durability: str) -> dict[str, str]:
    """Of a session that writes."""
    return RELAXED if durability == "relaxed" else {}


async def facts(connection: Connection) -> Facts:
    """What the server says of itself."""
    return Facts(**dict(await connection.fetchrow(WHERE)))


def proving(durability: str) -> Callable[[Connection], Any]:
    """Has every new connection that writes prove what it promises."""

    async def prove(connection: Connection) -> None:
        require(await facts(connection), durability)

    return prove
