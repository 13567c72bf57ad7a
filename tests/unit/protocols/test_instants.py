"""Instants as they are written in messages, to the millisecond."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ladestrom.protocols.delivery import instant, millis

AT = 1_793_520_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
ZONES = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
INSTANTS = st.datetimes(timezones=ZONES, min_value=datetime(1, 1, 3), max_value=datetime(9999, 12, 29))  # noqa: DTZ001 - what it is to be compared with


@given(at=INSTANTS)
def test_an_instant_is_the_nearest_millisecond(at: datetime) -> None:
    assert abs(at - EPOCH - millis(at) * MILLISECOND) <= MILLISECOND / 2


@given(at=INSTANTS, sign=st.sampled_from([1, -1]), count=st.integers(0, 10**9))
def test_milliseconds_between_instants_are_counted(at: datetime, sign: int, count: int) -> None:
    whole = at.replace(year=2024, microsecond=0)
    assert millis(whole + sign * count * MILLISECOND) == millis(whole) + sign * count


@given(at=INSTANTS)
def test_without_zone_it_is_utc(at: datetime) -> None:
    assert millis(at.replace(tzinfo=None)) == millis(at.replace(tzinfo=UTC))


@given(at=INSTANTS, around=st.tuples(*[st.text("\t\n \u00a0\u3000", max_size=3)] * 2))
def test_white_space_around_it_says_nothing(at: datetime, around: tuple[str, str]) -> None:
    assert instant(at.isoformat().join(around)) == instant(at.isoformat()) == millis(at)


@pytest.mark.parametrize("zone", ["Z", "z", " UTC", "GMT", " +00:00", "[UTC]", "Z[Europe/London]", "+00"])
def test_a_zone_is_written_in_many_ways(zone: str) -> None:
    assert instant(f" 2026-11-01T08:00:00{zone}\n") == AT


@pytest.mark.parametrize(
    "written", ["", " ", "soon", "2026-13-01", "08:00:00", "\x00", "2026-11-01T25:00:00Z"]
)
def test_what_is_no_instant_is_none(written: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        instant(written)
