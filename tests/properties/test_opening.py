"""Opening hours: whatever a text says, and every minute of a week that its rules name."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ladestrom.core.opening import HOURS_MAX, TEXT_CHARS_MAX, parse
from ladestrom.record import Opening

DAYS = ("Mo", "Tu", "We", "Th", "Fr", "Sa", "Su")
DAY = 1_440
WEEK = 7 * DAY

TIMES = st.integers(0, DAY - 1)
RULES = st.lists(
    st.tuples(
        st.sets(st.integers(1, 7), min_size=1), st.lists(st.tuples(TIMES, TIMES), min_size=1, max_size=3)
    ),
    min_size=1,
    max_size=5,
)
PIECES = st.sampled_from(
    (
        *DAYS,
        *("-", ",", ";", " ", ":", "+", "off", "closed", "PH", "24/7", "\n", "\x00", "é", "\u0663"),
        *("08:00", "12:00", "24:00", "26:30", "00:00", "25:00", "8:5", "08:00-12:00", "22:00-06:00"),
    )
)


def clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"


def minutes(opening: Opening) -> set[int]:
    """The minutes of a week at which it is open, from Monday."""
    if opening.always:
        return set(range(WEEK))
    found: set[int] = set()
    for hours in opening.hours:
        begin, end = (60 * int(text[:2]) + int(text[3:]) for text in (hours.begin, hours.end))
        if end <= begin:
            end += DAY
        found.update(((hours.weekday - 1) * DAY + minute) % WEEK for minute in range(begin, end))
    return found


@given(rules=RULES)
def test_rules_between_commas_open_at_the_minutes_that_they_name_and_no_other(
    rules: list[tuple[set[int], list[tuple[int, int]]]],
) -> None:
    text = ",".join(
        f"{','.join(DAYS[day - 1] for day in sorted(days))} "
        + ",".join(f"{clock(begin)}-{clock(end)}" for begin, end in spans)
        for days, spans in rules
    )
    named: set[int] = set()
    for days, spans in rules:
        for day in days:
            for begin, end in spans:
                length = end - begin if end > begin else end - begin + DAY
                named.update(((day - 1) * DAY + begin + minute) % WEEK for minute in range(length))
    found = parse(text)
    assert found is not None
    if found.text is None:
        assert minutes(found) == named
    else:
        # Only hours that run into each other for more than a day are not written as hours of one day.
        assert any(end <= begin for _, spans in rules for begin, end in spans)


@given(text=st.lists(PIECES, max_size=30).map("".join) | st.text(max_size=80))
def test_what_is_read_is_normal_and_reads_the_same_again(text: str) -> None:
    found = parse(text)
    if found is None:
        assert not text.strip() or not " ".join(text.split())
        return
    assert [found.always is not None, bool(found.hours), found.text is not None].count(True) == 1
    if found.text is not None:
        assert 0 < len(found.text) <= TEXT_CHARS_MAX
        return
    if found.always:
        return
    assert len(found.hours) <= HOURS_MAX
    keys = [(hours.weekday, hours.begin) for hours in found.hours]
    assert keys == sorted(set(keys))
    written = ",".join(f"{DAYS[hours.weekday - 1]} {hours.begin}-{hours.end}" for hours in found.hours)
    if len(written) <= TEXT_CHARS_MAX:
        assert parse(written) == found
