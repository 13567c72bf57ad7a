"""What a connection sent at once is taken in pieces, in order, with turns for others between."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest
from tests.patience import come_true

from ladestrom import tasks
from ladestrom.edges.slices import SLICE_BYTES, Slices

SENT = os.urandom(100 * SLICE_BYTES + 1)


class Taking(asyncio.Protocol):
    """Takes pieces while it wants to."""

    def __init__(self) -> None:
        self.wants = True
        self.pieces: list[bytes] = []
        self.turns_between: list[int] = []
        self._turn = 0
        self.slices: Slices

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.slices = Slices(self.transport, self._take, may_go_on=lambda: self.wants)

    def data_received(self, data: bytes) -> None:
        self.slices.put(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.slices.stop()

    def _take(self, piece: bytes) -> None:
        self.pieces.append(piece)
        self.turns_between.append(self._turn)
        self._turn = 0

    async def count_turns(self) -> None:
        while True:
            self._turn += 1
            await asyncio.sleep(0)

    @property
    def taken(self) -> bytes:
        return b"".join(self.pieces)


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[Taking, asyncio.StreamWriter]]:
    loop = asyncio.get_running_loop()
    made: list[Taking] = []

    def make() -> Taking:
        made.append(Taking())
        return made[-1]

    server = await loop.create_server(make, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
    try:
        await come_true(lambda: bool(made) and hasattr(made[0], "slices"))
        yield made[0], writer
    finally:
        writer.close()
        made[0].transport.abort()
        server.close()
        await server.wait_closed()
    del reader


async def test_others_have_a_turn_between_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "TURN_S", 0)
    async with connected() as (taking, writer):
        counting = asyncio.create_task(taking.count_turns())
        writer.write(SENT)
        await come_true(lambda: len(taking.taken) == len(SENT))
        counting.cancel()
        assert taking.taken == SENT
        assert max(len(piece) for piece in taking.pieces) <= SLICE_BYTES
        assert all(taking.turns_between[1:])


async def test_pieces_that_cost_no_time_are_taken_in_one_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "TURN_S", 3600)
    async with connected() as (taking, writer):
        writer.write(SENT)
        await come_true(lambda: len(taking.taken) == len(SENT))
        assert taking.taken == SENT


async def test_a_connection_that_wants_no_more_is_given_no_more_until_it_does() -> None:
    async with connected() as (taking, writer):
        taking.wants = False
        writer.write(SENT)
        await come_true(lambda: not taking.transport.is_reading())
        assert not taking.pieces
        taking.wants = True
        taking.slices.go_on()
        await come_true(lambda: len(taking.taken) == len(SENT))
        assert taking.taken == SENT
        assert taking.transport.is_reading()


async def test_what_waits_of_a_connection_that_ends_is_dropped() -> None:
    async with connected() as (taking, writer):
        taking.wants = False
        writer.write(SENT)
        await come_true(lambda: not taking.transport.is_reading())
        taking.transport.abort()
        taking.wants = True
        taking.slices.go_on()
        await come_true(taking.transport.is_closing)
        assert not taking.pieces
