"""Whether a station is open at an instant, by what its register says.

The instant is an argument. Hours are read by the clocks of the station's time zone: an hour that comes twice,
as clocks are put back, is open both times or neither.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ladestrom.model import Millis
from ladestrom.record import Hours, Opening, Span

MINUTE_MS: Final = 60_000
DAY_MINUTES: Final = 24 * 60
WEEK_MINUTES: Final = 7 * DAY_MINUTES
ZONES_MAX: Final = 1_024
"""There are some 600; those of all stations are kept for the minute that a list is of."""
INSTANTS_MAX: Final = 4_096
"""Beginnings and ends of exceptions: most are those of a few public holidays."""
_CLOCK: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])|24:00", re.ASCII)


def is_open(opening: Opening | None, time_zone: str | None, at: Millis) -> bool | None:
    """Whether it is open; None where that does not follow from what is known.

    Closings win over everything else (OCPI 2.2.1, section 8.4.14). Beside a text, which says more than the
    hours do, what is outside of them is unknown. So is everything where a time cannot be read.
    """
    if opening is None:
        return None
    try:
        if any(_holds(span, at) for span in opening.closings):
            return False
        if opening.always or any(_holds(span, at) for span in opening.openings):
            return True
        now = _minute_of_week(time_zone, at // MINUTE_MS) if opening.hours else None
        if now is None:
            return None
        is_within = any(_are_on(hours, now) for hours in opening.hours)
    except ValueError:
        return None
    return None if opening.text is not None and not is_within else is_within


def _are_on(hours: Hours, now: int) -> bool:
    """Whether the minute of the week is within these hours, which may end on the next day."""
    begin, end = _minute(hours.begin), _minute(hours.end)
    lasts = end - begin if end > begin else end - begin + DAY_MINUTES
    return (now - (hours.weekday - 1) * DAY_MINUTES - begin) % WEEK_MINUTES < lasts


def _holds(span: Span, at: Millis) -> bool:
    return _instant(span.begin) <= at < _instant(span.end)


@lru_cache(DAY_MINUTES + 1)
def _minute(clock: str) -> int:
    """Minute of the day of `HH:MM`.

    Raises:
        ValueError: it is no time of day.
    """
    match = _CLOCK.fullmatch(clock)
    if match is None:
        raise ValueError(clock)
    return DAY_MINUTES if match[1] is None else int(match[1]) * 60 + int(match[2])


@lru_cache(INSTANTS_MAX)
def _instant(written: str) -> Millis:
    """An instant of RFC 3339, in UTC where it has no zone.

    Raises:
        ValueError: it is none.
    """
    at = datetime.fromisoformat(written)
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1_000)


@lru_cache(ZONES_MAX)
def _minute_of_week(time_zone: str | None, minute: int) -> int | None:
    """What clocks in a zone show at a minute since 1970: minutes since Monday, 00:00. None for no zone."""
    zone = None if time_zone is None else _zone(time_zone)
    if zone is None:
        return None
    local = datetime.fromtimestamp(minute * 60, zone)
    return local.weekday() * DAY_MINUTES + local.hour * 60 + local.minute


@lru_cache(ZONES_MAX)
def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None
