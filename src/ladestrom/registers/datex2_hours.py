"""Operating hours of DATEX II as hours of the week.

A period holds within its bounds, at its times, on its days (`OverallPeriod` and `Period` of the schemas);
valid periods add up, exception periods are taken away. Hours of the week cannot say all: months, special
days, a season. What is not understood is told as text; where it is an exception, no hours are kept, as they
would call a station open that is closed. The bounds of the whole (`overallStartTime`, `overallEndTime`) say
for how long the table was made, and are not read.

Must not know of sites and stations.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Final, NamedTuple

import msgspec

from ladestrom.core.fields import Notes, clean, plain
from ladestrom.model import Millis
from ladestrom.record import Hours, Opening, Span
from ladestrom.registers.datex2_nodes import (
    Node,
    as_list,
    as_node,
    enumerated,
    instant,
    nodes,
    truth,
    typed,
    word,
    words,
)
from ladestrom.registers.limits import Limits

WEEKDAYS: Final = {
    day: number
    for number, day in enumerate(
        ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"), start=1
    )
}
"""DayEnum."""
PERIODS_MAX: Final = 100
"""Valid ones, exceptions, and times of one: a shop has two a day, and a year some fifteen public holidays."""
HOURS_MAX: Final = 100
"""Of a week: fourteen on each day."""
_TIME: Final = re.compile(r"(?:([01][0-9]|2[0-3]):([0-5][0-9])|24:00)(?::[0-5][0-9](?:\.[0-9]+)?)?", re.ASCII)
"""An `xs:time` without a zone: it is local."""
_MIDNIGHT: Final = "24:00"
_DAYS_END: Final = frozenset({"00:00", "23:59"})
"""How others write it."""
_WHOLE_DAY: Final = ("00:00", _MIDNIGHT)

Clock = tuple[str, str]


class _Period(NamedTuple):
    """A period as far as it is understood."""

    span: Span | None
    days: tuple[int, ...]
    """Empty for every day."""
    clocks: tuple[Clock, ...]
    """Empty for the whole day."""
    on_special_days: bool
    """Beside its days there are days that no weekday tells."""
    is_understood: bool
    text: str

    @property
    def is_span(self) -> bool:
        """Whether it happens once."""
        return self.is_understood and self.span is not None and not self.repeats

    @property
    def is_weekly(self) -> bool:
        return self.is_understood and self.span is None

    @property
    def repeats(self) -> bool:
        return bool(self.days or self.clocks or self.on_special_days)


def opening(node: object, limits: Limits, notes: Notes) -> Opening | None:
    """When a facility is open, by its `operatingHours`; None where that says nothing."""
    kind, hours = typed(node)
    closed, closure = _closure(as_node(hours.get("closureInformation")))
    if closed:
        return Opening(text=closed)
    closings = () if closure is None else (closure,)
    overall = as_node(hours.get("overallPeriod"))
    if kind == "OpenAllHours":
        return Opening(always=True, closings=closings)
    if overall:
        found, text = _specified(overall, closings)
        if not text:
            return found
        text = clean(hours.get("label"), "hours", limits.prose_chars_max, notes) or text
        text = clean(text, "hours", limits.prose_chars_max, notes) or "not understood"
        return msgspec.structs.replace(found or Opening(), text=text)
    return Opening(closings=closings) if closings else None


def _closure(closure: Node) -> tuple[str, Span | None]:
    """What a facility that is closed says, in words where it has no bounds."""
    if truth(closure.get("permananentlyClosed")) or truth(closure.get("permanentlyClosed")):
        return "closed permanently", None
    if not truth(closure.get("temporarilyClosed")):
        return "", None
    span = _span(
        instant(closure.get("closedFrom"), needs_zone=True),
        instant(closure.get("temporarilyClosedUntil"), needs_zone=True),
    )
    return ("", span) if span is not None else ("closed temporarily", None)


def _specified(overall: Node, closings: tuple[Span, ...]) -> tuple[Opening | None, str]:
    """What is understood of it, and words for it where that is not all."""
    valid, exceptions = (
        [_period(node) for node in nodes(overall, member)[: PERIODS_MAX + 1]]
        for member in ("validPeriod", "exceptionPeriod")
    )
    week = _Week(closings)
    for period in valid[:PERIODS_MAX] or [_EVER]:
        week.add(period)
    for period in exceptions[:PERIODS_MAX]:
        week.take(period)
    week.is_whole = week.is_whole and len(valid) <= PERIODS_MAX
    week.is_sure = week.is_sure and len(exceptions) <= PERIODS_MAX and len(week) <= HOURS_MAX
    text = "" if week.is_whole and week.is_sure else _text(valid, exceptions) or "not understood"
    return week.opening(), text


class _Week:
    """What periods add up to."""

    def __init__(self, closings: Iterable[Span]) -> None:
        self._clocks: dict[int, set[Clock]] = {day: set() for day in WEEKDAYS.values()}
        self._openings: list[Span] = []
        self._closings = list(closings)
        self.is_whole = True
        """Whether it is open at no other time."""
        self.is_sure = True
        """Whether it is open at all of these times."""

    def __len__(self) -> int:
        return sum(map(len, self._clocks.values()))

    def add(self, period: _Period) -> None:
        if period.is_span and period.span is not None:
            self._openings.append(period.span)
        elif period.is_weekly:
            for day in period.days or (() if period.on_special_days else WEEKDAYS.values()):
                self._clocks[day].update(period.clocks or (_WHOLE_DAY,))
            self.is_whole = self.is_whole and not period.on_special_days
        else:
            self.is_whole = False

    def take(self, period: _Period) -> None:
        if period.is_span and period.span is not None:
            self._closings.append(period.span)
        elif period.is_weekly and period.days and not period.clocks and not period.on_special_days:
            for day in period.days:
                self._clocks[day].clear()
        else:
            self.is_sure = False

    def opening(self) -> Opening | None:
        closings = tuple(self._closings)
        if not self.is_sure:
            return Opening(closings=closings)
        always = all(_WHOLE_DAY in clocks for clocks in self._clocks.values())
        hours = () if always else tuple(self._hours())
        if not (always or hours or self._openings or closings):
            return None
        return Opening(always or None, hours, tuple(self._openings), closings)

    def _hours(self) -> Iterator[Hours]:
        for day, clocks in self._clocks.items():
            for begin, end in [_WHOLE_DAY] if _WHOLE_DAY in clocks else sorted(clocks):
                yield Hours(day, begin, end)


_EVER: Final = _Period(None, (), (), on_special_days=False, is_understood=True, text="")


def _period(node: Node) -> _Period:
    clocks: list[Clock] = []
    days: list[int] = []
    said: list[str] = []
    is_understood = True
    for inner in nodes(node, "recurringDayWeekMonthPeriod")[:PERIODS_MAX]:
        kind, recurring = typed(inner)
        of_it = enumerated(recurring, "applicableDay")
        known = [WEEKDAYS[day] for day in of_it if day in WEEKDAYS]
        months = enumerated(recurring, "applicableMonth")
        is_understood = is_understood and kind in {"", "DayWeekMonth"} and len(known) == len(of_it) > 0
        is_understood = is_understood and not months
        days += known
        said += of_it + months
    for inner in nodes(node, "recurringTimePeriodOfDay")[:PERIODS_MAX]:
        begin, end = (_clock(inner.get(f"{name}TimeOfPeriod")) for name in ("start", "end"))
        if begin is None or end is None:
            is_understood = False
            continue
        begin = "00:00" if begin == _MIDNIGHT else begin
        clocks.append((begin, _MIDNIGHT if end in _DAYS_END else end))
        said.append(f"{begin}-{end}")
    special, is_union = _special_days(node)
    bounds = [node.get(name) for name in ("startOfPeriod", "endOfPeriod")]
    span = _span(*(instant(bound, needs_zone=True) for bound in bounds))
    if any(bound is not None for bound in bounds):
        # A season, or bounds that cannot be read: no weekday tells them.
        is_understood = is_understood and span is not None and not (days or clocks or special)
        said += [plain(word(bound)) for bound in bounds if bound is not None]
    return _Period(
        span,
        tuple(dict.fromkeys(days)),
        tuple(dict.fromkeys(clocks)),
        bool(special),
        is_understood and is_union,
        plain(words(node.get("periodName"))) or " ".join(said + special),
    )


def _special_days(node: Node) -> tuple[list[str], bool]:
    """The special days of a period, and whether they are all beside its other days."""
    found: list[str] = []
    is_union = True
    for inner in nodes(node, "recurringSpecialDay")[:PERIODS_MAX]:
        _, special = typed(inner)
        kinds = (plain(word(each)) for each in as_list(special.get("specialDayType")))
        found += list(filter(None, kinds)) or ["special day"]
        is_union = is_union and not truth(special.get("intersectWithApplicableDays"))
    return found, is_union


def _clock(value: object) -> str | None:
    match = _TIME.fullmatch(plain(word(value)))
    if match is None:
        return None
    if match[1] is None:
        return _MIDNIGHT
    return f"{match[1]}:{match[2]}"


def _span(begin: Millis | None, end: Millis | None) -> Span | None:
    if begin is None or end is None or begin >= end:
        return None
    return Span(_written(begin), _written(end))


def _written(at: Millis) -> str:
    return datetime.fromtimestamp(at // 1_000, UTC).isoformat().replace("+00:00", "Z")


def _text(valid: Iterable[_Period], exceptions: Iterable[_Period]) -> str:
    held, taken = ("; ".join(filter(None, (one.text for one in some))) for some in (valid, exceptions))
    return "; ".join(filter(None, (held, f"not {taken}" if taken else "")))
