"""The store as commands use it: which data directory, what time it is, and how people write durations.

The server may run meanwhile: it learns of what a command wrote by the store's revision.
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter

from ladestrom.errors import BadRequest, NotFound

if TYPE_CHECKING:
    from ladestrom.backends.sql import SqlStore
    from ladestrom.model import Millis

DataDirectory = Annotated[
    Path,
    Parameter(
        name="--data",
        env_var="LADESTROM_DATA",
    ),
]
DATA_DEFAULT: Final = Path("ladestrom-data")

DURATION_DAYS_MAX: Final = 36_500
"""A hundred years: who means for ever leaves the option out."""

_UNITS_S: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"([0-9]{1,12})\s*([smhdw])")


@asynccontextmanager
async def opened(data: Path, *, make: bool = True) -> AsyncIterator[SqlStore]:
    """The store of a data directory, for the length of a block. Without `make` it has to be there.

    Raises:
        NotFound: it is not there.
        NotReady: it cannot be opened.
    """
    from ladestrom.backends.database import STORE_FILE  # noqa: PLC0415 - loads slowly
    from ladestrom.backends.sql import open_store  # noqa: PLC0415 - a mistyped command needs none of it

    if not make and not (data / STORE_FILE).exists():
        raise NotFound(f"there is no store in {data}; name the server's data directory with --data")
    store = await open_store(data / STORE_FILE)
    try:
        yield store
    finally:
        await store.close()


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
        raise BadRequest(f"{option} {written[:40]!r} is no duration; write 30s, 15m, 12h, 90d or 2w")
    duration = int(match[1]) * _UNITS_S[match[2]]
    if duration > DURATION_DAYS_MAX * _UNITS_S["d"]:
        raise BadRequest(f"{option} {written} is longer than {DURATION_DAYS_MAX} days; leave it out")
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
