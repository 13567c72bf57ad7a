from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ladestrom.simulator.hours import CURVES, WEEK_H, Curve, Use, hour_of_week, oslo_offset_ms

MILLIS = st.integers(min_value=946_684_800_000, max_value=4_102_444_800_000)


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


@given(MILLIS)
def test_oslo_time_is_that_of_the_time_zone_database(instant: int) -> None:
    try:
        zone = ZoneInfo("Europe/Oslo")
    except ZoneInfoNotFoundError:
        pytest.skip("this machine has no time zone database")
    offset = datetime.fromtimestamp(instant / 1000, UTC).astimezone(zone).utcoffset()
    assert offset is not None
    assert oslo_offset_ms(instant) == offset.total_seconds() * 1000


@pytest.mark.parametrize(
    ("instant", "offset_h"),
    [
        ("2026-03-29T00:59:59.999+00:00", 1),
        ("2026-03-29T01:00:00+00:00", 2),
        ("2026-10-25T00:59:59.999+00:00", 2),
        ("2026-10-25T01:00:00+00:00", 1),
    ],
)
def test_summer_time_begins_and_ends_on_the_last_sunday_at_one_utc(instant: str, offset_h: int) -> None:
    assert oslo_offset_ms(at(instant)) == offset_h * 3_600_000


@pytest.mark.parametrize(
    ("instant", "hour"),
    [
        ("2026-11-23T00:00:00+01:00", 0.0),
        ("2026-11-27T16:30:00+01:00", 4 * 24 + 16.5),
        ("2026-07-05T23:00:00+02:00", 6 * 24 + 23.0),
    ],
)
def test_the_week_begins_on_monday_midnight_in_oslo(instant: str, hour: float) -> None:
    assert hour_of_week(at(instant)) == pytest.approx(hour)


@pytest.mark.parametrize("use", Use)
def test_the_mean_hour_of_a_curve_weighs_one(use: Use) -> None:
    curve = CURVES[use]
    assert len(curve.weights) == WEEK_H
    assert sum(curve.weights) == pytest.approx(WEEK_H)
    assert min(curve.weights) > 0


@given(
    st.sampled_from(Use),
    st.floats(min_value=0, max_value=WEEK_H, exclude_max=True),
    st.floats(min_value=0, max_value=3 * WEEK_H),
)
def test_waiting_is_the_inverse_of_the_integral(use: Use, hour: float, amount: float) -> None:
    curve = CURVES[use]
    wait_h = curve.wait_h(hour, amount)
    assert wait_h >= -1e-9
    assert curve.until(hour + wait_h) - curve.until(hour) == pytest.approx(amount, abs=1e-6)


def test_the_integral_reaches_back_over_monday_midnight() -> None:
    curve = Curve([1.0] * 167 + [2.0])
    assert curve.until(0) - curve.until(-1) == pytest.approx(curve.weights[-1])


def test_each_use_has_its_hours() -> None:
    weights = {use: CURVES[use].weights for use in Use}
    tuesday, friday, saturday, sunday = 24, 4 * 24, 5 * 24, 6 * 24
    assert weights[Use.COMMUTING][tuesday + 7] > 20 * weights[Use.COMMUTING][tuesday + 3]
    assert weights[Use.HOME][tuesday + 17] > 3 * weights[Use.HOME][tuesday + 10]
    assert weights[Use.ERRANDS][saturday + 13] > 2 * weights[Use.ERRANDS][sunday + 13]
    assert weights[Use.TRAVEL][friday + 16] > 1.8 * weights[Use.TRAVEL][tuesday + 16]
    assert weights[Use.TRAVEL][sunday + 16] > 1.5 * weights[Use.TRAVEL][tuesday + 16]
