from __future__ import annotations

from collections.abc import Sequence

from tests.building import logged, make_changes

from ladestrom.backends.tailing import RECENT_ENTRIES_MAX, Recent
from ladestrom.model import Entry


async def no_history(after: int, limit: int) -> Sequence[Entry]:
    """A log that keeps nothing beside what is in memory."""
    del after, limit
    return []


async def test_a_reader_of_what_is_kept_nowhere_goes_on_with_what_is_in_memory() -> None:
    recent = Recent(0)
    entries = logged(make_changes(RECENT_ENTRIES_MAX + 5))
    recent.add(entries)
    batches = recent.tail(0, no_history)
    assert await anext(batches) == entries[5:]
    await batches.aclose()  # type: ignore[attr-defined]


async def test_one_that_is_up_to_date_is_not_given_what_it_has() -> None:
    recent = Recent(3)
    recent.add(logged(make_changes(2), 3))
    batches = recent.tail(4, no_history)
    assert [entry.seq for entry in await anext(batches)] == [5]
    await batches.aclose()  # type: ignore[attr-defined]
