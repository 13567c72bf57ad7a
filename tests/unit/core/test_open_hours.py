from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ladestrom.core.open_hours import is_open
from ladestrom.model import Millis
from ladestrom.record import Hours, Opening, Span

OSLO = "Europe/Oslo"
SHOP = Opening(hours=tuple(Hours(day, "08:00", "20:00") for day in range(1, 6)))
NIGHT = Opening(hours=(Hours(5, "22:00", "06:00"), Hours(7, "20:00", "02:00")))
JULY = Span("2026-07-01T00:00:00Z", "2026-08-01T00:00:00Z")


def at(written: str) -> Millis:
    """An instant as it is written, in UTC where it has no zone."""
    when = datetime.fromisoformat(written)
    return round((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1_000)


class TestHours:
    @pytest.mark.parametrize(
        ("when", "expected"),
        [
            ("2026-12-01T06:59:59.999", False),  # Tuesday; in winter Oslo is an hour ahead of UTC
            ("2026-12-01T07:00", True),
            ("2026-12-01T18:59:59.999", True),
            ("2026-12-01T19:00", False),
            ("2026-06-02T06:00", True),  # two hours in summer
            ("2026-06-02T18:00", False),
            ("2026-12-05T10:00", False),  # Saturday is not in it
        ],
    )
    def test_they_hold_from_their_first_minute_up_to_their_last_by_the_stations_clocks(
        self, when: str, expected: bool
    ) -> None:
        assert is_open(SHOP, OSLO, at(when)) is expected

    @pytest.mark.parametrize(
        ("when", "expected"),
        [
            ("2026-12-04T20:59", False),  # Friday, 21:59
            ("2026-12-04T21:00", True),
            ("2026-12-05T04:59", True),  # Saturday, 05:59
            ("2026-12-05T05:00", False),
            ("2026-12-06T19:00", True),  # Sunday, 20:00
            ("2026-12-07T00:59", True),  # Monday, 01:59: over the week's end
            ("2026-12-07T01:00", False),
        ],
    )
    def test_those_that_end_before_they_begin_end_on_the_next_day(self, when: str, expected: bool) -> None:
        assert is_open(NIGHT, OSLO, at(when)) is expected

    def test_the_weekday_is_the_stations_not_the_servers(self) -> None:
        monday = Opening(hours=(Hours(1, "00:00", "24:00"),))
        assert is_open(monday, "Pacific/Auckland", at("2026-12-06T12:00"))
        assert not is_open(monday, "Europe/Paris", at("2026-12-06T12:00"))
        assert is_open(monday, "America/Martinique", at("2026-12-08T03:00"))

    def test_those_that_end_when_they_begin_are_a_whole_day(self) -> None:
        day = Opening(hours=(Hours(2, "06:00", "06:00"),))
        assert not is_open(day, "UTC", at("2026-12-01T05:59"))
        assert is_open(day, "UTC", at("2026-12-01T06:00"))
        assert is_open(day, "UTC", at("2026-12-02T05:59"))
        assert not is_open(day, "UTC", at("2026-12-02T06:00"))

    def test_an_hour_that_comes_twice_is_open_twice_and_one_that_is_left_out_never(self) -> None:
        early = Opening(hours=(Hours(7, "02:00", "03:00"),))
        # Oslo, 25 October 2026: 03:00 becomes 02:00.
        assert [is_open(early, OSLO, at(f"2026-10-25T{each}")) for each in ("00:30", "01:30", "02:00")] == [
            True,
            True,
            False,
        ]
        # 29 March 2026: 02:00 becomes 03:00.
        assert not any(is_open(early, OSLO, at(f"2026-03-29T00:{each}")) for each in ("59", "30"))
        assert not is_open(early, OSLO, at("2026-03-29T01:00"))

    def test_a_night_over_a_change_of_clocks_ends_by_the_clock(self) -> None:
        night = Opening(hours=(Hours(6, "22:00", "06:00"),))
        for when, expected in (
            ("2026-03-28T21:00", True),
            ("2026-03-29T03:59", True),
            ("2026-03-29T04:00", False),
            ("2026-10-24T20:00", True),
            ("2026-10-25T04:59", True),
            ("2026-10-25T05:00", False),
        ):
            assert is_open(night, OSLO, at(when)) is expected, when


class TestExceptions:
    def test_what_is_always_open_is_closed_within_its_closings(self) -> None:
        always = Opening(always=True, closings=(JULY,))
        assert is_open(always, None, at("2026-06-30T23:59:59.999"))
        assert not is_open(always, None, at("2026-07-01T00:00"))
        assert not is_open(always, None, at("2026-07-31T23:59:59.999"))
        assert is_open(always, None, at("2026-08-01T00:00"))

    def test_openings_are_beside_the_hours(self) -> None:
        sunday = Opening(
            hours=SHOP.hours, openings=(Span("2026-12-06T10:00:00Z", "2026-12-06T12:00:00+01:00"),)
        )
        assert is_open(sunday, OSLO, at("2026-12-06T10:59"))
        assert not is_open(sunday, OSLO, at("2026-12-06T11:00"))
        assert is_open(sunday, OSLO, at("2026-12-04T11:00"))

    def test_closings_win_over_openings_and_hours(self) -> None:
        both = Opening(hours=SHOP.hours, openings=(JULY,), closings=(JULY,))
        assert is_open(both, OSLO, at("2026-07-15T10:00")) is False


class TestUnknown:
    @pytest.mark.parametrize(
        ("opening", "zone"),
        [
            (None, OSLO),
            (Opening(), OSLO),
            (Opening(always=False), OSLO),
            (Opening(text="ring the bell"), OSLO),
            (Opening(openings=(JULY,)), OSLO),
            (Opening(closings=(JULY,)), OSLO),
            (SHOP, None),
            (SHOP, ""),
            (SHOP, "Mars/Olympus"),
            (SHOP, "../Oslo"),
            (SHOP, "Europe"),
            (Opening(hours=(Hours(2, "8:00", "20:00"),)), OSLO),
            (Opening(hours=(Hours(2, "08:00", "25:00"),)), OSLO),
            (Opening(hours=(Hours(2, "08:00", "20:00\n"),)), OSLO),
            (Opening(always=True, closings=(Span("soon", "later"),)), OSLO),
        ],
    )
    def test_what_is_not_said_or_cannot_be_read_is_neither_open_nor_closed(
        self, opening: Opening | None, zone: str | None
    ) -> None:
        assert is_open(opening, zone, at("2026-12-01T10:00")) is None

    def test_beside_a_text_what_is_outside_of_the_hours_is_unknown(self) -> None:
        some = Opening(hours=SHOP.hours, text="Mo-Fr 08:00-20:00, Sa by arrangement")
        assert is_open(some, OSLO, at("2026-12-01T10:00")) is True
        assert is_open(some, OSLO, at("2026-12-05T10:00")) is None

    def test_within_an_exception_nothing_else_has_to_be_known(self) -> None:
        assert is_open(Opening(text="?", openings=(JULY,)), None, at("2026-07-15T10:00")) is True
        assert is_open(Opening(text="?", closings=(JULY,)), None, at("2026-07-15T10:00")) is False
