from __future__ import annotations

import contextlib
import gzip
import time
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ladestrom.errors import MalformedBody, TooLarge
from ladestrom.unpacking import GZIP_MEMBERS_MAX, GZIP_STEP_BYTES, gunzip

LIMIT = 1_000_000
MIB = 1024 * 1024


@pytest.mark.parametrize("size", [0, 1, 1_000, LIMIT - 1, LIMIT])
def test_a_body_up_to_the_limit_is_unpacked(size: int) -> None:
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    assert gunzip(gzip.compress(body), LIMIT) == body


def test_one_that_does_not_shrink_is_unpacked_in_all_its_steps() -> None:
    body = bytes((number * number) >> 3 & 255 for number in range(3 * GZIP_STEP_BYTES + 5))
    assert gunzip(gzip.compress(body, compresslevel=0), LIMIT) == body


@pytest.mark.parametrize("size", [LIMIT + 1, 64 * MIB])
def test_one_over_the_limit_is_refused_without_being_unpacked(size: int) -> None:
    packed = gzip.compress(bytes(size))
    assert len(packed) < 70_000
    with pytest.raises(TooLarge, match="unpacks to more than 1000000 bytes"):
        gunzip(packed, LIMIT)


def test_the_limit_is_of_all_members_together() -> None:
    half = gzip.compress(bytes(LIMIT // 2))
    assert len(gunzip(half + half, LIMIT)) == LIMIT
    with pytest.raises(TooLarge):
        gunzip(half + half + gzip.compress(b"x"), LIMIT)


@given(st.lists(st.binary(max_size=100), min_size=1, max_size=10))
def test_members_are_joined(members: list[bytes]) -> None:
    assert gunzip(b"".join(map(gzip.compress, members)), LIMIT) == b"".join(members)


def test_members_are_limited_in_number_and_cost_time_only_up_to_it() -> None:
    member = gzip.compress(b"")
    assert gunzip(member * GZIP_MEMBERS_MAX, LIMIT) == b""
    began = time.process_time()
    with pytest.raises(MalformedBody, match="more than 1000 members"):
        gunzip(member * (8 * MIB // len(member)), LIMIT)
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"\x1f\x8b",
        zlib.compress(b"{}"),
        gzip.compress(b"{}", mtime=0)[:-1],
        gzip.compress(b"{}", mtime=0)[:-8],
        gzip.compress(b"{}", mtime=0) + b"{}",
        gzip.compress(b"{}", mtime=0) + b"\x00",
        gzip.compress(b"{}", mtime=0) + gzip.compress(b"{}", mtime=0)[:5],
        gzip.compress(b"{}", mtime=0)[:-8] + b"\x00" * 8,
    ],
)
def test_what_is_no_whole_gzip_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedBody):
        gunzip(body, LIMIT)


@given(st.binary(max_size=200))
def test_any_bytes_are_unpacked_or_refused(noise: bytes) -> None:
    for body in (noise, b"\x1f\x8b\x08\x00" + noise, gzip.compress(b"{}") + noise):
        with contextlib.suppress(MalformedBody, TooLarge):
            gunzip(body, LIMIT)
