from __future__ import annotations

import pytest

from ladestrom.core.timekeeping import Timekeeper
from ladestrom.ports.log import Times

S = 1_000
MINUTE_MS = 60 * S
NOW = 1_795_000_000_000
GRACE_MS = 600 * S
YEARS_MS = 3_650 * 86_400 * S


def test_a_small_step_back_is_held_and_a_large_one_is_followed() -> None:
    times = Timekeeper(NOW, 0, GRACE_MS)
    assert times.receive(NOW) == NOW
    assert times.receive(NOW - 5 * MINUTE_MS) == NOW
    assert times.receive(NOW - 5 * MINUTE_MS - 1) == NOW - 5 * MINUTE_MS - 1


def test_what_the_process_before_gave_is_held_too() -> None:
    times = Timekeeper(NOW, 0, GRACE_MS, Times(NOW + MINUTE_MS, NOW))
    assert times.receive(NOW) == NOW + MINUTE_MS


def test_silence_is_judged_by_the_time_that_passes() -> None:
    times = Timekeeper(NOW, 5 * S, GRACE_MS)
    times.receive(NOW + YEARS_MS)
    assert times.instant(65 * S) == NOW + MINUTE_MS


@pytest.mark.parametrize("jump_ms", [YEARS_MS, MINUTE_MS, -MINUTE_MS])
def test_after_a_start_and_after_a_jump_of_the_clock_silence_cannot_be_judged_for_the_grace(
    jump_ms: int,
) -> None:
    times = Timekeeper(NOW, 0, GRACE_MS)
    for steady in range(0, GRACE_MS, 10 * S):
        assert not times.look(NOW + steady, steady, GRACE_MS)
    assert times.look(NOW + GRACE_MS, GRACE_MS, GRACE_MS)
    assert not times.look(NOW + GRACE_MS + 10 * S + jump_ms, GRACE_MS + 10 * S, GRACE_MS)


def test_after_a_gap_in_which_we_did_not_run_silence_cannot_be_judged_for_the_grace() -> None:
    times = Timekeeper(NOW, 0, 0)
    assert times.look(NOW, 0, GRACE_MS)
    assert not times.look(NOW + MINUTE_MS, MINUTE_MS, GRACE_MS)


def test_how_long_we_were_down_is_put_right_once_the_clock_proves_to_have_been_ahead() -> None:
    times = Timekeeper(NOW + YEARS_MS, 0, GRACE_MS, Times(NOW, NOW))
    assert times.down_ms == YEARS_MS
    assert times.was_ahead(NOW + YEARS_MS + S, S) == 0
    assert times.was_ahead(NOW + 2 * S, 2 * S) == YEARS_MS
    assert (times.down_ms, times.was_ahead(NOW + 3 * S, 3 * S)) == (0, 0)


def test_a_clock_that_proved_to_be_ahead_shortens_once_how_long_we_were_down() -> None:
    times = Timekeeper(NOW, 0, GRACE_MS, Times(NOW - 9 * MINUTE_MS, NOW - 9 * MINUTE_MS))
    assert times.was_ahead(NOW - 2 * MINUTE_MS, 0) == 2 * MINUTE_MS
    assert times.was_ahead(NOW - 2 * MINUTE_MS + S, S) == 0
    assert times.was_ahead(NOW - 5 * MINUTE_MS + 2 * S, 2 * S) == 3 * MINUTE_MS
    assert times.down_ms == 4 * MINUTE_MS


def test_what_the_log_keeps_is_of_now_however_long_nothing_was_received() -> None:
    before = Timekeeper(NOW, 0, GRACE_MS)
    before.receive(NOW)
    kept = before.times(NOW + 8 * MINUTE_MS, 8 * MINUTE_MS)
    assert kept == Times(NOW + 8 * MINUTE_MS, NOW + 8 * MINUTE_MS)
    assert Timekeeper(NOW + 9 * MINUTE_MS, 0, GRACE_MS, kept).down_ms == MINUTE_MS
