"""Repairs a log in PostgreSQL of which a block is missing or was changed: it goes on in a new epoch.

What is before the damage, and the damage, is dropped: nobody can resume from there in a new epoch. The board
is that of the checkpoint, and of what comes after the damage.
"""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec

from ladestrom.backends import blocks
from ladestrom.backends.holding import Holding
from ladestrom.backends.opening import Opening
from ladestrom.backends.postgres.link import Connection
from ladestrom.backends.postgres.opening import lease_of, open_writable, tenure, wait_for
from ladestrom.backends.postgres.statements import Statements
from ladestrom.errors import LogDamaged

AT_ONCE: Final = 100
"""Blocks, at most 50 MB."""
REPAIR_S_MAX: Final = 3_600.0
"""To read all of a log: 4 GiB take minutes."""
ASKED: Final = "an administrator asked for it (`ladestrom log new-epoch`)"


class Repair(msgspec.Struct, frozen=True):
    """What was found, and what was dropped for it."""

    damage: str = ""
    """What is wrong with the last block that is; empty where none is."""
    first: int = 1
    """Sequence of the oldest entry that is kept now."""
    lost: tuple[int, int] | None = None
    """Sequences from and to which changes are in no checkpoint, and were not read."""


async def begin_epoch(opening: Opening) -> Repair:
    """Checks all blocks, and has the next start begin a new epoch.

    Raises:
        Conflict: a server writes the log.
        LogFailure: it cannot be reached.
    """
    log = await open_writable(opening)
    holding = Holding(lease_of(log, opening), tenure(opening))
    log.left = holding.close
    try:
        await wait_for(holding, log, opening)
        return await log.mend(lambda each: _mended(each, log.statements), REPAIR_S_MAX)
    finally:
        await log.close()


async def _mended(connection: Connection, sql: Statements) -> Repair:
    meta = await connection.fetchrow(sql.meta)
    cut, damage = await _last_damage(connection, sql, meta["crc"], meta["block"], meta["last"])
    async with connection.transaction():
        await connection.execute(sql.drop_blocks, cut)
        first = max(meta["first"], cut + 1)
        await connection.execute(sql.begin_at, first, cut, damage or ASKED)
    lost = (meta["checkpoint"] + 1, cut) if cut > meta["checkpoint"] else None
    return Repair(damage, first, lost)


async def _last_damage(
    connection: Connection, sql: Statements, crc: int, block: int, last: int
) -> tuple[int, str]:
    """The last entry that is in a block with damage, or missing; 0 where none is. And what is wrong."""
    cut, damage, number = 0, "", 0
    before: blocks.Block | None = None
    while rows := await connection.fetch(sql.chain, number, AT_ONCE):
        for row in rows:
            number = row["number"]
            try:
                found = blocks.read(number, row["body"], row["crc"])
                found.entries()
                if before is not None:
                    blocks.follows(before, found)
                before = found
            except LogDamaged as error:
                is_missing = before is not None and number > before.header.number + 1
                cut, damage = row["first"] - 1 if is_missing else row["last"], str(error)
                before = found if is_missing else None
            await asyncio.sleep(0)
    if number != block or (before is not None and before.crc != crc):
        cut, damage = last, f"block {block}, the last one, is not as it was written"
    return cut, damage
