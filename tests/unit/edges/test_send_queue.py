from __future__ import annotations

import asyncio
from typing import cast

import pytest

from ladestrom.edges.send_queue import SendQueue

LIMIT = 16
PIECE = 4
PING = b"\x89\x00"


def pong(content: bytes) -> bytes:
    return bytes([0x8A, len(content)]) + content


class Transport:
    """Takes what it is given, and is full after so many bytes."""

    def __init__(self, room: int) -> None:
        self.written: list[bytes] = []
        self.room = room
        self.limits: tuple[int, int] = (0, 0)
        self.queue = SendQueue(cast("asyncio.Transport", self), LIMIT)

    def set_write_buffer_limits(self, high: int, low: int) -> None:
        self.limits = high, low

    def write(self, data: bytes) -> None:
        assert len(data) <= max(PIECE, 2 + 125)
        self.written.append(bytes(data))
        self.room -= len(data)
        self.queue.is_full = self.room <= 0

    def take(self, room: int) -> bool:
        """The peer took what there was; there is room for more."""
        self.room = room
        self.queue.is_full = False
        return self.queue.feed()

    @property
    def sent(self) -> bytes:
        return b"".join(self.written)


@pytest.fixture
def transport() -> Transport:
    return Transport(room=0)


def test_the_transport_is_full_one_piece_before_the_limit(transport: Transport) -> None:
    transport.queue.limit()
    assert transport.limits == (LIMIT - PIECE, PIECE)


def test_a_unit_is_written_in_pieces_as_there_is_room(transport: Transport) -> None:
    queue = transport.queue
    queue.is_full = True
    queue.put(b"abcdefghij")
    queue.put(b"kl")
    assert not queue.feed()
    assert transport.written == []
    assert not transport.take(5)
    assert transport.written == [b"abcd", b"efgh"]
    assert queue.size == 4
    assert not transport.take(2)
    assert transport.take(9)
    assert transport.sent == b"abcdefghijkl"
    assert queue.size == 0


def test_no_copy_is_made_of_what_waits(transport: Transport) -> None:
    transport.queue.is_full = True
    unit = b"x" * 100
    transport.queue.put(unit)
    assert [id(each) for each in transport.queue._units or ()] == [id(unit)]


def test_a_control_frame_goes_between_units_and_never_into_one(transport: Transport) -> None:
    queue = transport.queue
    queue.is_full = True
    queue.put(b"first unit")
    queue.put(b"second unit")
    transport.take(1)
    queue.put_control(PING)
    queue.put_control(pong(b"a"))
    transport.take(1)
    waited = queue.has_control
    transport.take(100)
    assert (waited, queue.has_control) == (True, False), "it waits for the end of the unit"
    assert transport.sent == b"first unit" + PING + pong(b"a") + b"second unit"


def test_of_pongs_that_wait_the_last_one_is_sent(transport: Transport) -> None:
    queue = transport.queue
    queue.is_full = True
    for content in (b"a", b"b", b"c"):
        queue.put_control(pong(content))
    queue.put_control(PING)
    queue.put_control(pong(b"d"))
    assert queue.size == len(pong(b"c") + PING + pong(b"d"))
    assert transport.take(100)
    assert transport.sent == pong(b"c") + PING + pong(b"d")


def test_what_has_begun_is_finished_when_the_rest_is_dropped(transport: Transport) -> None:
    queue = transport.queue
    queue.is_full = True
    queue.put(b"first unit")
    queue.put(b"second unit")
    transport.take(1)
    queue.drop()
    queue.put(b"bye")
    assert transport.take(100)
    assert transport.sent == b"first unit" + b"bye"
    assert queue.size == 0


def test_the_end_comes_when_everything_was_written(transport: Transport) -> None:
    ends: list[bytes] = []
    queue = transport.queue
    queue.is_full = True
    queue.put(b"0123456789")
    queue.end(lambda: ends.append(transport.sent))
    transport.take(8)
    assert ends == []
    transport.take(100)
    transport.take(100)
    assert ends == [b"0123456789"]


def test_what_is_cleared_holds_nothing_and_does_nothing(transport: Transport) -> None:
    queue = transport.queue
    queue.is_full = True
    queue.put(b"0123456789")
    transport.take(1)
    queue.put_control(PING)
    queue.end(lambda: pytest.fail("it was cleared"))
    queue.clear()
    assert (queue.size, queue.has_control) == (0, False)
    assert transport.take(100)
    assert transport.sent == b"0123"
