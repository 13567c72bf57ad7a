"""What the process does for itself."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Callable

import pytest

from ladestrom import process

PIECES = 4_000
PIECE_BYTES = 16 * 1024
"""Less than glibc asks the system for alone."""

trims = pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="needs glibc"
)


@trims
async def test_what_was_freed_between_pieces_in_use_is_given_back() -> None:
    pieces = [bytearray(PIECE_BYTES) for _ in range(PIECES)]
    there = process.memory_bytes()
    del pieces[::2]
    await process.give_back()
    given = there - process.memory_bytes()
    assert len(pieces) == PIECES // 2
    assert given > PIECES // 2 * PIECE_BYTES // 2


@pytest.mark.parametrize("missing", [lambda _: object(), None], ids=["musl", "not Linux"])
async def test_a_c_library_that_gives_back_itself_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, missing: Callable[[object], object] | None
) -> None:
    if missing is None:
        monkeypatch.setattr(sys, "platform", "darwin")
    else:
        monkeypatch.setattr(ctypes, "CDLL", missing)
    await process.give_back()


def test_nothing_is_collected_until_the_outermost_block_ends() -> None:
    assert gc.isenabled()
    with process.keeping():
        with process.keeping():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()
    gc.unfreeze()
