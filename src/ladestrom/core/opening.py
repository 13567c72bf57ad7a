"""Opening hours out of a register's text: OpenStreetMap's `opening_hours`, as far as registers use it.

Knows `24/7`, and rules of weekdays and hours (`Mo-Fr 08:00-12:00,14:00-18:00; Su off`). All else stays text:
holidays, months, sunrise, and rules that contradict each other. Must not know of any register.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from ladestrom.record import Hours, Opening

TEXT_CHARS_MAX: Final = 1_000
"""Of a text that is read: fourteen rules for each weekday. A longer one is kept as text, cut to so many."""
HOURS_MAX: Final = 70
"""Ten a day. What has more is a list of departures, and is kept as text."""
_CACHED: Final = 4_096
"""Wordings. The French register has 59 for 29,109 points."""

_ALWAYS: Final = "24/7"
_DAY_MINUTES: Final = 1_440
_WEEK_MINUTES: Final = 7 * _DAY_MINUTES
_DAYS: Final = {name: number for number, name in enumerate(("mo", "tu", "we", "th", "fr", "sa", "su"), 1)}
_DAY: Final = "(mo|tu|we|th|fr|sa|su)"
_TIME: Final = r"(\d{1,2}):(\d\d)"
_PART: Final = re.compile(
    rf"(?:{_DAY}(?:\s*-\s*{_DAY})?)?(?:\s*:?\s*(?:{_TIME}\s*-\s*{_TIME}|(off|closed)))?",
    re.IGNORECASE | re.ASCII,
)
"""What stands between commas: days, hours, or both."""

_Spans = list[tuple[int, int]]
"""Minutes of a day at which it opens and closes; beyond 1,440 it closes on the next one."""


class _Rule:
    """What stands between semicolons: its days, and when each of them is open."""

    def __init__(self) -> None:
        self.days: dict[int, _Spans] = {}
        self.off: set[int] = set()

    @property
    def named(self) -> frozenset[int]:
        return frozenset(self.days) | self.off


@lru_cache(_CACHED)
def parse(text: str) -> Opening | None:
    """The hours that a text says; the text where it is not understood as a whole, None where it is blank.

    Hours are sorted, those of a day that meet or overlap are one, and a week without a gap is `always`. Hours
    that end at their beginning or before it last until the next day. A comma adds hours, a semicolon replaces
    those of its days. Two rules of which neither is an exception from the other (`Mo-Fr 08:00-12:00; Mo-Fr
    14:00-18:00`) contradict each other, and people mean both by it: they stay text.

    Source: https://wiki.openstreetmap.org/wiki/Key:opening_hours/specification; schema-irve-statique 2.3.1,
    `horaires`.
    """
    folded = " ".join(text.split())
    if not folded:
        return None
    if folded == _ALWAYS:
        return Opening(always=True)
    week = _week(folded) if len(folded) <= TEXT_CHARS_MAX else None
    spans = None if week is None else _joined(week)
    if not spans or len(spans) > HOURS_MAX:
        return Opening(text=folded[:TEXT_CHARS_MAX].rstrip())
    if _is_whole_week(spans):
        return Opening(always=True)
    return Opening(hours=tuple(Hours(day, _clock(begin), _clock(end)) for day, begin, end in spans))


def _week(text: str) -> dict[int, _Spans] | None:
    """The spans of each day; None where the rules are not understood or contradict each other."""
    rules: list[_Rule] = []
    week: dict[int, _Spans] = {}
    for written in text.rstrip("; ").split(";"):
        rule = _rule(written)
        if rule is None:
            return None
        # An exception is of some of the days of what it is an exception from.
        if any(rule.named & earlier.named and not rule.named < earlier.named for earlier in rules):
            return None
        rules.append(rule)
        for day in rule.off:
            week.pop(day, None)
        week |= rule.days
    return week


def _rule(written: str) -> _Rule | None:
    rule = _Rule()
    waiting: list[int] = []
    days: list[int] = []
    for place, part in enumerate(written.split(",")):
        match = _PART.fullmatch(part.strip())
        if match is None or match.end() == 0:
            return None
        first, last, *times, off = match.groups()
        if first:
            waiting += _range(_DAYS[first.lower()], _DAYS[(last or first).lower()])
            if not off and times[0] is None:
                continue
            days, waiting = waiting, []
        elif waiting or off:
            return None
        elif not place:
            days = list(_DAYS.values())
        if off:
            rule.off.update(days)
            continue
        span = _span(times)
        if span is None:
            return None
        for day in days:
            rule.days.setdefault(day, []).append(span)
    return None if waiting or rule.off & set(rule.days) else rule


def _range(first: int, last: int) -> list[int]:
    """Weekdays from one to another, over the week's end where it has to be."""
    return [(first + step - 1) % 7 + 1 for step in range((last - first) % 7 + 1)]


def _span(times: list[str]) -> tuple[int, int] | None:
    begin_hour, begin_minute, end_hour, end_minute = map(int, times)
    begin, end = 60 * begin_hour + begin_minute, 60 * end_hour + end_minute
    if max(begin_minute, end_minute) > 59 or begin >= _DAY_MINUTES:  # noqa: PLR2004 - minutes of an hour
        return None
    if end <= begin:
        end += _DAY_MINUTES
    return (begin, end) if end - begin <= _DAY_MINUTES else None


def _joined(week: dict[int, _Spans]) -> list[tuple[int, int, int]] | None:
    """Weekday, beginning and end, sorted; None where hours of a day run into each other for more than one."""
    found: list[tuple[int, int, int]] = []
    for day, spans in sorted(week.items()):
        begin, end = -1, -1
        for next_begin, next_end in sorted(spans):
            # What lasts for more than a day is not written as one.
            if next_begin > end or (next_begin == end and next_end - begin > _DAY_MINUTES):
                if end >= 0:
                    found.append((day, begin, end))
                begin = next_begin
            end = max(end, next_end)
            if end - begin > _DAY_MINUTES:
                return None
        found.append((day, begin, end))
    return found


def _is_whole_week(spans: list[tuple[int, int, int]]) -> bool:
    opened = sorted(
        ((day - 1) * _DAY_MINUTES + begin, (day - 1) * _DAY_MINUTES + end) for day, begin, end in spans
    )
    # Sunday's night is before Monday's morning, too.
    opened = sorted([*opened, *((begin - _WEEK_MINUTES, end - _WEEK_MINUTES) for begin, end in opened)])
    until = opened[0][1]
    for begin, end in opened:
        if begin > max(until, 0):
            return False
        until = max(until, end)
    return until >= _WEEK_MINUTES


def _clock(minute: int) -> str:
    if minute > _DAY_MINUTES:
        minute -= _DAY_MINUTES
    return f"{minute // 60:02d}:{minute % 60:02d}"
