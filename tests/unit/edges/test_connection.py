"""What a connection writes: in steps between which others have their turn."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from ladestrom.edges.connection import Connection, StreamLimits
from ladestrom.edges.send_queue import PIECES, STEP_BYTES_MAX

LIMITS = StreamLimits()
UNIT = bytes(200 * 1024)


class Fast:
    """A transport whose peer takes everything at once."""

    def __init__(self) -> None:
        self.written = 0
        self.in_turns: list[int] = []

    def set_write_buffer_limits(self, high: int, low: int) -> None:
        pass

    def is_closing(self) -> bool:
        return False

    def write(self, data: bytes) -> None:
        self.written += len(data)

    def turn(self) -> None:
        """One turn of the loop has ended."""
        self.in_turns.append(self.written - sum(self.in_turns))


def connected() -> tuple[Connection, Fast]:
    edge, state = SimpleNamespace(limits=LIMITS), SimpleNamespace(connections=set())
    connection, transport = Connection(cast("Any", edge), cast("Any", state)), Fast()
    connection.connection_made(cast("asyncio.Transport", transport))
    return connection, transport


async def test_a_snapshot_is_handed_to_the_system_in_steps() -> None:
    connection, transport = connected()
    units = 10 * STEP_BYTES_MAX // len(UNIT)
    for _ in range(units):
        connection.write(UNIT)
    transport.turn()
    while len(transport.in_turns) < units and connection.paused:
        await asyncio.sleep(0)
        transport.turn()
    assert transport.written == units * len(UNIT)
    assert max(transport.in_turns) < STEP_BYTES_MAX + LIMITS.write_buffer_bytes_max // PIECES
    assert len(transport.in_turns) > units * len(UNIT) // STEP_BYTES_MAX // 2


async def test_what_is_written_behind_it_comes_behind_it() -> None:
    connection, transport = connected()
    for _ in range(2 * STEP_BYTES_MAX // len(UNIT)):
        connection.write(UNIT)
    there = transport.written
    connection.write(b"small")
    assert transport.written == there
    while connection.paused:
        await asyncio.sleep(0)
    assert transport.written == 2 * STEP_BYTES_MAX // len(UNIT) * len(UNIT) + len(b"small")
