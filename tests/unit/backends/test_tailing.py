from __future__ import annotations

from collections.abc import Sequence

import pytest
from tests.building import logged, make_changes

from ladestrom.backends.tailing import RECENT_ENTRIES_MAX, Recent
from ladestrom.errors import LogTrimmed
from ladestrom.model import Entry


async def no_history(after: int, limit: int) -> Sequence[Entry]:
    """A log that keeps nothing beside what is in memory."""
    del after, limit
    return []


async def test_a_reader_of_what_is_kept_nowhere_is_told_so_and_is_given_nothing_that_comes_later() -> None:
    recent = Recent(0)
    recent.add(logged(make_changes(RECENT_ENTRIES_MAX + 5)))
    with pytest.raises(LogTrimmed, match="entry 1 "):
        await anext(recent.tail(0, no_history))


async def test_a_reader_of_which_the_next_entry_was_dropped_is_told_so() -> None:
    recent = Recent(0)
    entries = logged(make_changes(RECENT_ENTRIES_MAX + 5))
    recent.add(entries)

    async def later(after: int, limit: int) -> Sequence[Entry]:
        return entries[after + 2 : after + 2 + limit]

    with pytest.raises(LogTrimmed):
        await anext(recent.tail(0, later))


async def test_what_a_reader_was_not_given_yet_is_needed_until_it_leaves() -> None:
    recent = Recent(0)
    assert recent.needed_after == 0
    recent.add(logged(make_changes(3)))
    assert recent.needed_after == 3
    batches = recent.tail(1, no_history)
    await anext(batches)
    recent.add(logged(make_changes(2), 3))
    assert recent.needed_after == 3
    await anext(batches)
    assert recent.needed_after == 5
    recent.add(logged(make_changes(1), 5))
    await batches.aclose()  # type: ignore[attr-defined]
    assert recent.needed_after == 6


async def test_one_that_is_up_to_date_is_not_given_what_it_has() -> None:
    recent = Recent(3)
    recent.add(logged(make_changes(2), 3))
    batches = recent.tail(4, no_history)
    assert [entry.seq for entry in await anext(batches)] == [5]
    await batches.aclose()  # type: ignore[attr-defined]
