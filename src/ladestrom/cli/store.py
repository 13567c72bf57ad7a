"""The store as commands use it: opened, and said which; what time it is, and how people write durations.

The server may run meanwhile: it learns of what a command wrote by the store's revision.
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final

from ladestrom.backends import table
from ladestrom.backends.opening import Opening
from ladestrom.cli.where import ChosenStore, Where, say
from ladestrom.errors import BadRequest, NotFound
from ladestrom.model import Millis
from ladestrom.ports.stores import Stores

DURATION_DAYS_MAX: Final = 36_500
"""A hundred years. For no limit, the option is omitted."""

_UNITS_S: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"([0-9]{1,12})\s*([smhdw])")


@asynccontextmanager
async def reading(where: Where) -> AsyncIterator[Stores]:
    """The store, for the length of a block, by a command that changes nothing.

    Raises:
        NotFound: there is none.
        NotReady: it cannot be opened.
    """
    place = where.store()
    if not await table.exists(place.opening):
        raise _missing(place)
    async with opened(place.opening) as store:
        yield store


@asynccontextmanager
async def writing(where: Where, *, make: bool = False) -> AsyncIterator[Stores]:
    """The store, by a command that changes it: says on standard error which it is.

    With `make`, it is created where it is missing, which is said as well.

    Raises:
        NotFound: there is none, without `make`.
        NotReady: it cannot be opened.
    """
    place = where.store()
    what = "data directory" if place.is_file else "store"
    if await table.exists(place.opening):
        say(f"{what}: {place}")
    elif make:
        say(f"creating a new {what}: {place}. Only a server with the same settings uses it")
    else:
        raise _missing(place)
    async with opened(place.opening) as store:
        yield store


@asynccontextmanager
async def opened(opening: Opening) -> AsyncIterator[Stores]:
    """A store, created where it is missing.

    Raises:
        NotReady: it cannot be opened.
    """
    store = await table.open_stores(opening)
    try:
        yield store
    finally:
        await store.close()


def _missing(place: ChosenStore) -> NotFound:
    if not place.is_file:
        return NotFound(
            f"there is no store in {place} yet: the server creates it, and so does `ladestrom import`"
        )
    return NotFound(
        f"there is no store in {place}. Name the server's data directory with --data or "
        "LADESTROM_DATA, or its settings file with --config or LADESTROM_CONFIG"
    )


def now() -> Millis:
    """The time of day, in milliseconds since the Unix epoch."""
    return time.time_ns() // 1_000_000


def duration_s(written: str, option: str) -> int:
    """Seconds of `90d`: a whole number and one of s, m, h, d, w.

    Raises:
        BadRequest: it has another form, or is longer than a hundred years.
    """
    match = _DURATION.fullmatch(written.strip().lower())
    if match is None:
        raise BadRequest(f'{option} "{written[:40]}" is not a duration; write 30s, 15m, 12h, 90d or 2w')
    duration = int(match[1]) * _UNITS_S[match[2]]
    if duration > DURATION_DAYS_MAX * _UNITS_S["d"]:
        raise BadRequest(
            f"{option} {written} is longer than {DURATION_DAYS_MAX} days; omit the option instead"
        )
    return duration


def shown_duration(seconds: int) -> str:
    """`duration_s` the other way, in the largest unit that keeps it whole."""
    unit = next(unit for unit in "wdhms" if seconds % _UNITS_S[unit] == 0)
    return f"{seconds // _UNITS_S[unit]}{unit}"


def shown(at: Millis | None, never: str = "-") -> str:
    """An instant as people read it, to the second, UTC."""
    if at is None:
        return never
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints columns on standard output, two spaces apart."""
    lines = [tuple(head), *(tuple(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
