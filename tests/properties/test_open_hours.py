"""Whether a station is open, against a calendar in which every minute of its clocks is marked."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from ladestrom.core.open_hours import is_open
from ladestrom.record import Hours, Opening, Span

ZONES: Final = ("Europe/Oslo", "Europe/Paris", "America/Martinique", "Pacific/Noumea", "Australia/Lord_Howe")
"""The last one moves its clocks by half an hour."""
MINUTE: Final = timedelta(minutes=1)
BORDERS: Final = tuple(
    datetime.fromisoformat(each).replace(tzinfo=UTC)
    for each in (
        "2026-03-29T01:00",  # Europe's clocks are put forward
        "2026-10-25T01:00",  # and back
        "2026-04-04T15:00",  # Lord Howe's back
        "2026-10-03T15:30",  # and forward
        "2026-12-27T23:00",  # a week begins
        "2026-12-31T23:30",  # a year
        "2028-02-29T12:00",
    )
)
clocks: Final = st.integers(0, 24 * 60 - 1).map(lambda minute: f"{minute // 60:02d}:{minute % 60:02d}")
hours: Final = st.builds(Hours, st.integers(1, 7), clocks, clocks | st.just("24:00"))
NEAR_MIN: Final = 3 * 24 * 60


def minutes(clock: str) -> int:
    return int(clock[:2]) * 60 + int(clock[3:])


def calendar(opening: Opening, first: date, days: int) -> set[datetime]:
    """Every minute, as the station's clocks show it, in which its hours hold."""
    found: set[datetime] = set()
    for number in range(-2, days + 2):
        day = datetime.combine(first + timedelta(days=number), datetime.min.time())
        for each in opening.hours:
            if each.weekday != day.isoweekday():
                continue
            begin, end = minutes(each.begin), minutes(each.end)
            if end <= begin:
                end += 24 * 60
            found.update(day + minute * MINUTE for minute in range(begin, end))
    return found


@st.composite
def spans(draw: st.DrawFn, near: datetime) -> Span:
    begin = near + draw(st.integers(-NEAR_MIN, NEAR_MIN)) * MINUTE
    return Span(begin.isoformat(), (begin + draw(st.integers(0, NEAR_MIN)) * MINUTE).isoformat())


@given(st.data(), st.sampled_from(ZONES), st.sampled_from(BORDERS))
def test_it_is_open_in_the_minutes_that_the_calendar_marks(
    data: st.DataObject, name: str, border: datetime
) -> None:
    near = st.lists(spans(border), max_size=2).map(tuple)
    opening = Opening(
        always=data.draw(st.sampled_from([None, None, False, True])),
        hours=data.draw(st.lists(hours, min_size=1, max_size=6).map(tuple)),
        openings=data.draw(near),
        closings=data.draw(near),
    )
    begins = border + data.draw(st.integers(-NEAR_MIN, NEAR_MIN)) * MINUTE
    marked = calendar(opening, begins.date(), 2)
    zone = ZoneInfo(name)
    # A prime step, so that all minutes of an hour are met.
    for number in range(0, 24 * 60, 7):
        now = begins + number * MINUTE
        shown = (now + (zone.utcoffset(now.astimezone(zone)) or timedelta(0))).replace(tzinfo=None)
        closed = any(within(span, now) for span in opening.closings)
        opened = any(within(span, now) for span in opening.openings)
        expected = not closed and (opening.always is True or opened or shown in marked)
        assert is_open(opening, name, round(now.timestamp() * 1_000)) is expected


def within(span: Span, now: datetime) -> bool:
    return datetime.fromisoformat(span.begin) <= now < datetime.fromisoformat(span.end)


@given(st.lists(hours, min_size=1).map(tuple), st.sampled_from(ZONES), st.integers(0, 3 * 366 * 24 * 60))
def test_within_a_minute_it_stays_as_it_is(given_hours: tuple[Hours, ...], name: str, minute: int) -> None:
    begins = 1_767_225_600_000 + minute * 60_000
    opening = Opening(hours=given_hours)
    assert len({is_open(opening, name, begins + each) for each in (0, 1, 30_000, 59_999)}) == 1
