"""When a station is open, by `opening_times` of a Location of OCPI; instants as OCPI writes them.

Source: OCPI 2.2.1 and 2.3.0, sections 8.4.13, 8.4.14 and 8.4.21; 2.1.1, `mod_locations`, 4.10 and 4.13.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from ladestrom.core import opening
from ladestrom.core.fields import Notes, clean, decimal, plain, quoted, truth
from ladestrom.model import Millis
from ladestrom.record import Opening, Span

EXCEPTIONS_MAX: Final = 100
"""Of openings, and of closings: the public holidays of some years."""
_CLOCK: Final = re.compile(r"([01]?[0-9]|2[0-4]):([0-5][0-9])(?::[0-5][0-9])?", re.ASCII)
_DAYS: Final = ("Mo", "Tu", "We", "Th", "Fr", "Sa", "Su")
_DAY_ENDS: Final = frozenset({"23:59", "00:00", "24:00"})
"""How the end of a day is written: OCPI has no 24:00."""
ALWAYS: Final = Opening(always=True)

Said = Mapping[str, object]


def hours(said: object, notes: Notes) -> Opening | None:
    """The opening of an Hours object; None where it says none.

    What cannot be read of its regular hours is kept as text: outside of the others is then not known, rather
    than closed. Hours up to 23:59 last until the day's end.
    """
    if not isinstance(said, dict):
        notes.add(f"its opening times are {quoted(said)}")
        return None
    is_always = truth(said.get("twentyfourseven")) is True
    if is_always and len(said) == 1:
        return ALWAYS
    weekly = None if is_always else _weekly(objects(said.get("regular_hours")), notes)
    found = Opening(
        always=True if is_always else None if weekly is None else weekly.always,
        hours=() if weekly is None else weekly.hours,
        openings=_spans(said.get("exceptional_openings"), notes),
        closings=_spans(said.get("exceptional_closings"), notes),
        text=None if weekly is None else weekly.text,
    )
    return ALWAYS if found == ALWAYS else None if found == Opening() else found


def _weekly(regular: Sequence[Said], notes: Notes) -> Opening | None:
    read: list[str] = []
    unread: list[str] = []
    for each in regular:
        (read if (period := _period(each)) else unread).append(period or _as_said(each))
    made = opening.parse(",".join(read))
    if not unread:
        return made
    text = clean("; ".join(unread), "hours", opening.TEXT_CHARS_MAX, notes)
    notes.add(f"its hours {quoted(text)} cannot be read")
    return Opening(text=text) if made is None or made.always else msgspec.structs.replace(made, text=text)


def instant(written: object) -> Millis | None:
    """A DateTime of OCPI: RFC 3339, UTC where it has no zone; None where it cannot be read."""
    if not isinstance(written, str):
        return None
    try:
        at = msgspec.convert(written.strip(), datetime)
    except msgspec.ValidationError:
        return None
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1_000)


def _period(said: Said) -> str:
    """RegularHours as OpenStreetMap writes them; empty for those that cannot be read."""
    weekday = decimal(said.get("weekday"))
    begin, end = _clock(said.get("period_begin")), _clock(said.get("period_end"))
    # 0 is Sunday for those who count as most programs do.
    day = 0 if weekday is None or weekday not in range(8) else int(weekday) or 7
    if not day or not begin or not end or begin == "24:00":
        return ""
    return f"{_DAYS[day - 1]} {begin}-{'24:00' if end in _DAY_ENDS else end}"


def _as_said(said: Said) -> str:
    begin, end = plain(said.get("period_begin")), plain(said.get("period_end"))
    return f"weekday {plain(said.get('weekday'))} {begin}-{end}"


def _clock(said: object) -> str:
    match = _CLOCK.fullmatch(said.strip()) if isinstance(said, str) else None
    if match is None:
        return ""
    clock = f"{int(match[1]):02d}:{match[2]}"
    return clock if clock <= "24:00" else ""


def _spans(said: object, notes: Notes) -> tuple[Span, ...]:
    found: set[tuple[Millis, Millis]] = set()
    for each in objects(said):
        begin, end = instant(each.get("period_begin")), instant(each.get("period_end"))
        if begin is None or end is None or begin >= end:
            notes.add("an exception from its hours cannot be read")
        else:
            found.add((begin, end))
    if len(found) > EXCEPTIONS_MAX:
        notes.add(f"of the exceptions from its hours, the last {EXCEPTIONS_MAX} are kept")
    return tuple(Span(*map(_written, each)) for each in sorted(found)[-EXCEPTIONS_MAX:])


def _written(at: Millis) -> str:
    return datetime.fromtimestamp(at // 1_000, UTC).isoformat().replace("+00:00", "Z")


def objects(said: object) -> list[Said]:
    """The objects of a list; none of what is no list."""
    if not said or not isinstance(said, list):
        return []
    return [each for each in said if isinstance(each, dict)]
