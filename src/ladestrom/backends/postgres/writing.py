"""Writes a log in PostgreSQL, as long as nobody with a later term does.

One statement appends a block where the chain ends as this process knows it, and with its term; else it
does nothing. So two that both take themselves for the writer never both write, whatever their clocks and the
lease say. Where the answer to an append is lost, the same block is offered again with the same expectation
until it is known what became of it: nothing is guessed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import Any, Final

import msgspec
import structlog

from ladestrom.backends import blocks, retention
from ladestrom.backends.blocks import Block, End
from ladestrom.backends.encoded import encode, new_epoch
from ladestrom.backends.postgres.durability import Before, Facts, doubts, renewal, require, session, survives
from ladestrom.backends.postgres.link import Connection, Failed, Refused, Unknown, Unsent, fetching
from ladestrom.backends.postgres.reading import READ_S_MAX, Place, PostgresReader, facts
from ladestrom.backends.retention import DAY_MS, AgeClock
from ladestrom.backends.write_clock import WriteClock
from ladestrom.core.records import entry_of
from ladestrom.errors import Conflict, Deposed, LogDamaged, LogFailure, LogReplaced
from ladestrom.model import AnyChange, Entry, Millis
from ladestrom.ports.log import BoardRow, StationRow, Times

CHUNK_ROWS: Final = 1_000
"""Rows of a checkpoint in one statement, some 10 ms."""
BUSY_ROWS: Final = 200
"""While there are appends, which share the server's processors."""
PAUSE: Final = 4
"""After such a statement, in multiples of what it took."""
PAUSE_S_MAX: Final = 0.25
TRIM_BLOCKS: Final = 256
"""Dropped in one transaction: some 130 MB where all are as large as they may be."""
AGAIN_S_MIN: Final = 0.02
AGAIN_S_MAX: Final = 0.5
"""Between two attempts to find out what became of an append."""
MIB: Final = 1024 * 1024

logger = structlog.get_logger(__name__)


class Keeping:
    """How long entries are kept."""

    def __init__(self, retention_days: float, retention_mib: float) -> None:
        self.ms = int(retention_days * DAY_MS)
        self.bytes = int(retention_mib * MIB)


class PostgresLog(PostgresReader):
    """Implements `ports.Log`, once `take` has made this process the writer."""

    def __init__(self, place: Place, keeping: Keeping, writer: str) -> None:
        super().__init__(place)
        self._keeping = keeping
        self._writer = writer
        self._ages: AgeClock
        self._term = 0
        self._checkpoint_seq = 0
        self._bytes = 0
        """Of blocks that are kept."""
        self._is_full = False
        self._appends = asyncio.Lock()
        self._writes = WriteClock()
        self.left: Callable[[], Awaitable[None]] | None = None
        """Is done when it is closed, after the last write: lets the next one write."""

    # -- becoming the writer -----------------------------------------------------------------------------

    async def take(self, term: int, store: str = "") -> None:
        """Becomes the writer: reads what others wrote, then appends an empty block with its term.

        Whoever wrote before is refused from now on. What it had under way is in the log before that block, or
        never will be.

        Args:
            term: later than that of everybody before.
            store: identity of the store whose stations this writer brings into the log; empty if not known.

        Raises:
            Deposed: somebody took it with the same term, or a later one.
            Conflict: the log is of another store.
            LogFailure: it cannot be written now.
        """
        await self._end_following()
        async with self._appends, self._turn:
            why, where = await self._take_over(term, store)
            await self._measure()
        if why:
            logger.warning("the log begins a new epoch", reason=why, epoch=self._end.epoch)
        doubt = doubts(where)
        if doubt:
            logger.warning("check the settings of PostgreSQL", doubt=doubt)
        promised = survives(where, self._place.durability)
        logger.info("writing the log", term=term, position=str(self.last), survives=promised)

    async def _take_over(self, term: int, store: str) -> tuple[str, Facts]:
        """Appends the empty block; why an epoch begins with it, and what the server says of itself."""
        offered: Block | None = None
        why, wait_s = "", AGAIN_S_MIN
        while True:
            where, found, ends = await self._ask(self._surroundings)
            require(where, self._place.durability)
            if offered is not None and await self._ask(partial(self._finds, block=offered)):
                break
            if found["term"] >= term:
                raise Deposed(f"another server took the log with term {found['term']}")
            if store and found["store"] and found["store"] != store:
                raise Conflict(
                    f"the log in {self._place.name} belongs to another store (`store.url`): give each "
                    "server, or each cluster, a database or a schema of its own (`?schema=NAME`)"
                )
            if not await self._knows(found):
                continue
            self._ages = AgeClock(
                time.time_ns() // 1_000_000, ends["oldest"], ends["newest"], retention.elapsed_ms
            )
            end = End(found["epoch"], term, found["block"], found["last"], found["crc"])
            before = Before(found["session"], found["source"], found["timeline"], found["renew"])
            why = renewal(before, where, end)
            if why:
                end = msgspec.structs.replace(end, epoch=new_epoch())
            offered = blocks.opening(end, self._writer)
            values = (
                *(end.epoch, term, *_columns(end, [offered], self._ages.now())),
                *(
                    session(where, self._place.durability),
                    where.source,
                    where.timeline,
                    store or found["store"],
                ),
            )
            try:
                if await self._place.link.run(fetching(self._sql.take, *values)):
                    break
            except (Unsent, Refused) as error:
                raise LogFailure(f"the log in {self._place.name} cannot be written: {error}") from error
            except Unknown:
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, AGAIN_S_MAX)
        self._term, self._end = term, blocks.end_of(offered)
        self._recent.skip_to(self._end.last)
        self._checkpoint_seq, self._bytes = found["checkpoint"], found["bytes"] + len(offered.whole)
        return why, where

    async def _surroundings(self, connection: Connection) -> tuple[Facts, Any, Any]:
        return (
            await facts(connection),
            await connection.fetchrow(self._sql.meta),
            await connection.fetchrow(self._sql.ends),
        )

    def _set(self, meta: Any) -> None:  # noqa: ANN401 - the driver has no types
        # Else it would go on with the term of who deposed it.
        if self._term and meta is not None and meta["term"] != self._term:
            raise Deposed(f"another server writes the log now (term {meta['term']})")
        super()._set(meta)

    def tail(self, after: int) -> AsyncIterator[Sequence[Entry]]:
        # What it appends itself needs no following.
        return self._recent.tail(after, self.read) if self._term else super().tail(after)

    async def _knows(self, meta: Any) -> bool:  # noqa: ANN401 - the driver has no types
        """Reads what others wrote; whether that is all, and nobody writes just now."""
        await self._catch_up()
        return bool(self._end.block == meta["block"])

    # -- appending ---------------------------------------------------------------------------------------

    async def append(self, changes: Sequence[AnyChange]) -> Sequence[Entry]:
        if not changes:
            return []
        # Whoever leaves meanwhile must not leave behind what is neither in memory nor known, nor let another
        # append begin.
        return await asyncio.shield(self._append_alone(changes))

    async def _append_alone(self, changes: Sequence[AnyChange]) -> Sequence[Entry]:
        async with self._appends:
            return await self._append(changes)

    async def _append(self, changes: Sequence[AnyChange]) -> Sequence[Entry]:
        if self._fault is not None:
            raise self._fault
        made = blocks.made(self._end, self._writer, changes)
        with self._writes.running():
            await self._land(made)
        entries = [entry_of(seq, change) for seq, change in enumerate(changes, self._end.last + 1)]
        self._end = blocks.end_of(made[-1])
        self._bytes += sum(len(block.whole) for block in made)
        self._recent.add(entries)
        if self._oldest_at is None:
            self._oldest_at = changes[0].received_at
        return entries

    async def _land(self, made: Sequence[Block]) -> None:
        """Appends blocks: returns once they are durable, raises once it is certain that they never are."""
        end = self._end
        values = (end.epoch, end.term, *_columns(end, made, self._ages.now()))
        is_unknown, wait_s = False, AGAIN_S_MIN
        while True:
            try:
                if await self._place.link.run(fetching(self._sql.append, *values)):
                    return
                if await self._place.link.run(lambda each: self._finds(each, block=made[-1])):
                    return
                # A block that was not there when the chain had moved on never will be.
                raise await self._refused()
            except Deposed as error:
                self._fault = error
                raise
            except LogReplaced as error:
                self._fault = Deposed(f"{error}; nothing was accepted")
                with suppress(Failed):
                    await self._place.link.run(
                        fetching(self._sql.ask_to_renew, f"its writer had more: {error}")
                    )
                raise self._fault from error
            except (Unsent, Refused) as error:
                if not is_unknown:
                    raise LogFailure(
                        f"the log cannot be written ({error}); nothing was accepted; try again"
                    ) from error
            except Unknown as error:
                if not is_unknown:
                    logger.warning("what became of an append is not known; asking", error=str(error))
                is_unknown = True
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, AGAIN_S_MAX)

    async def _finds(self, connection: Connection, *, block: Block) -> bool:
        """Whether a block is in the log, and as durable as the log promises."""
        header = block.header
        # A commit of its own: where a standby is waited for, it has what was committed before, too.
        await connection.execute(self._sql.probe, header.term, time.time_ns() // 1_000_000)
        found = await connection.fetchrow(self._sql.block, header.number)
        mine = (block.crc, header.term, header.writer)
        return found is not None and (found["crc"], found["term"], found["writer"]) == mine

    async def _refused(self) -> LogFailure | LogReplaced:
        """Why a block cannot be appended any more."""
        found = await self._place.link.run(lambda each: each.fetchrow(self._sql.meta))
        if found["term"] > self._term:
            return Deposed(f"another server writes the log now (term {found['term']}); nothing was accepted")
        return LogReplaced(
            f"the log is at {found['epoch']}-{found['last']} with block {found['block']}, and was at "
            f"{self.last} with block {self._end.block}: it was restored, or PostgreSQL lost its end"
        )

    # -- the checkpoint ----------------------------------------------------------------------------------

    @property
    def is_full(self) -> bool:
        return self._is_full

    @property
    def lacks_stations(self) -> bool:
        """It never does."""
        return False

    async def adopt(self, stations: Iterable[StationRow]) -> None:
        await self._fenced(self._sql.forget_stations)
        await self._keep(self._sql.keep_stations, ((each.station.uuid, each) for each in stations))

    async def checkpoint(
        self,
        rows: Iterable[BoardRow],
        seq: int,
        times: Times,
        stations: Iterable[StationRow] = (),
        registry_revision: int = 0,
    ) -> None:
        await self._keep(self._sql.keep_stations, ((each.station.uuid, each) for each in stations))
        await self._keep(self._sql.keep_rows, ((each.change.evse, each) for each in rows))
        await self._fenced(self._sql.checkpoint, seq, times.given_at, times.heard_at, registry_revision)
        self._checkpoint_seq = seq

    async def _keep(self, statement: str, rows: Iterable[tuple[str, BoardRow | StationRow]]) -> None:
        """Keeps rows, as many at a time as appends hardly notice."""
        left, count = iter(rows), BUSY_ROWS
        while chunk := list(islice(left, count)):
            last, began_s = self._recent.last, time.perf_counter()
            await self._fenced(
                statement,
                [key for key, _ in chunk],
                [row.seq for _, row in chunk],
                [encode(row) for _, row in chunk],
            )
            is_busy = self._recent.last != last
            count = BUSY_ROWS if is_busy else CHUNK_ROWS
            if is_busy:
                await asyncio.sleep(min(PAUSE * (time.perf_counter() - began_s), PAUSE_S_MAX))

    async def trim(self) -> int:
        dropped, was_full = 0, False
        while True:
            end = min(self._checkpoint_seq, self._recent.last - 1, self._recent.needed_after)
            count, is_full, has_more = await self._trim(end)
            dropped += count
            was_full |= is_full
            if not has_more:
                break
        self._is_full = was_full
        await self._measure()
        return dropped

    async def _trim(self, end: int) -> tuple[int, bool, bool]:
        """Drops some entries: how many, whether the log was too large before, whether there may be more."""
        is_full = self._bytes > self._keeping.bytes
        rows = await self._ask(fetching(self._sql.oldest, end, TRIM_BLOCKS))
        young, now = self._ages.cut(self._keeping.ms), self._ages.now()
        number = size = 0
        cut = self._first - 1
        for row in rows:
            is_over = self._bytes - size > self._keeping.bytes
            if not is_over and young <= row["at"] <= now:
                break
            cut = max(cut, min(row["last"], end))
            if row["last"] > cut:
                # Its first entries are not kept any more, but it is.
                break
            number, size = row["number"], size + row["bytes"]
        count = cut + 1 - self._first
        if count <= 0 and not size:
            return 0, is_full, False
        before, self._first = self._first, cut + 1
        try:
            await self._fenced_with_epoch(self._sql.trim, self._first, size, number)
        except BaseException:
            self._first = before
            raise
        self._bytes -= size
        return count, is_full, len(rows) == TRIM_BLOCKS and rows[-1]["number"] == number

    async def _fenced(self, statement: str, *values: object) -> None:
        await self._write_fenced(statement, self._term, *values)

    async def _fenced_with_epoch(self, statement: str, *values: object) -> None:
        await self._write_fenced(statement, self._end.epoch, self._term, *values)

    async def _write_fenced(self, statement: str, *values: object) -> None:
        """Runs a statement that does nothing, and says nothing, where another server writes the log.

        Raises:
            Deposed: another does.
            LogFailure: it is not known whether it took effect, or it did not; again does no harm.
        """
        if not await self._ask(fetching(statement, *values)):
            self._fault = Deposed("another server writes the log now")
            raise self._fault

    async def probe(self) -> None:
        await self._fenced(self._sql.probe, time.time_ns() // 1_000_000)

    async def _ask(self, work: Callable[[Connection], Any]) -> Any:  # noqa: ANN401 - as the work
        with self._writes.running():
            return await self._run(self._place.link, work, READ_S_MAX)

    async def close(self) -> None:
        try:
            if self._term and not isinstance(self._fault, Deposed):
                with suppress(LogFailure, LogDamaged):
                    await self._ask(self._say_closed)
            if self.left is not None:
                await self.left()
        finally:
            await super().close()

    async def _say_closed(self, connection: Connection) -> None:
        # Now it is waited for, whatever the durability: all that was committed before is synced with it.
        await connection.execute("SET synchronous_commit TO on")
        await connection.execute(self._sql.close, self._term)

    # -- how it goes -------------------------------------------------------------------------------------

    @property
    def stalled_s(self) -> float:
        """For how long PostgreSQL has kept the writer waiting; 0 where nothing is being written."""
        return self._writes.stalled_s

    @property
    def idle_s(self) -> float:
        """Since the last write that succeeded."""
        return self._writes.idle_s


def _columns(end: End, made: Sequence[Block], at: Millis) -> tuple[Any, ...]:
    """Of the statements that append: what is expected, what becomes of the row, then the blocks by column."""
    headers, last = [block.header for block in made], made[-1]
    return (
        end.block,
        sum(len(block.whole) for block in made),
        last.header.last,
        last.header.number,
        last.crc,
        [each.number for each in headers],
        [each.first for each in headers],
        [each.last for each in headers],
        [at] * len(made),
        [block.received_at for block in made],
        [each.term for each in headers],
        [each.writer for each in headers],
        [block.crc for block in made],
        [block.whole for block in made],
    )
