from __future__ import annotations

import gzip
import random
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ladestrom.cli.imports import unpacked
from ladestrom.errors import InvalidRegister

CONTENT = random.Random(7).randbytes(200_000) + bytes(3_000_000)


def pieces(content: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


@given(st.binary(max_size=200), st.integers(1, 64))
def test_what_is_not_gzip_passes_as_it_is(content: bytes, size: int) -> None:
    if not content.startswith(b"\x1f\x8b"):
        assert b"".join(unpacked(pieces(content, size))) == content


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=3), st.integers(1, 64), st.integers(0, 9))
def test_gzip_is_unpacked_however_it_is_cut_and_whatever_its_members(
    members: list[bytes], size: int, padding: int
) -> None:
    packed = b"".join(map(gzip.compress, members)) + bytes(padding)
    assert b"".join(unpacked(pieces(packed, size))) == b"".join(members)


@pytest.mark.parametrize("size", [999, 65_536, 10_000_000])
def test_what_unpacks_to_much_comes_in_pieces_of_at_most_256_kib(size: int) -> None:
    found = list(unpacked(pieces(gzip.compress(CONTENT), size)))
    assert b"".join(found) == CONTENT
    assert max(map(len, found)) <= 256 * 1024


@pytest.mark.parametrize("kept", [2, 5, 10, 11, 1_000, 100_000, -8, -1])
def test_gzip_that_is_cut_off_is_an_error(kept: int) -> None:
    packed = gzip.compress(CONTENT)[:kept]
    with pytest.raises(InvalidRegister, match="the gzip file is incomplete"):
        list(unpacked(pieces(packed, 4096)))


@pytest.mark.parametrize("place", [2, 500, 100_000, -8, -1])
def test_gzip_with_a_wrong_byte_is_an_error(place: int) -> None:
    packed = bytearray(gzip.compress(CONTENT))
    packed[place] ^= 0x55
    with pytest.raises(InvalidRegister, match="the gzip file is"):
        list(unpacked(pieces(bytes(packed), 4096)))


def test_what_follows_a_gzip_and_is_none_is_an_error() -> None:
    with pytest.raises(InvalidRegister, match="the gzip file is corrupt"):
        list(unpacked([gzip.compress(b"register"), b"more"]))
