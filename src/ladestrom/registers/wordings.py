"""What records say again and again, read once.

Knows that equal wordings mean the same. Must not know of any register.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, TypeVar

from ladestrom.core.fields import Notes

WORDINGS_MAX: Final = 16_384
"""Kept of one kind. The French register has 58 kinds of opening hours and 100 of terms in 29,109 rows."""

T = TypeVar("T")


class Wordings(Generic[T]):
    """Reads values of several fields together; equal ones give one object, and the same notes."""

    def __init__(self, read: Callable[[tuple[object, ...], Notes], T], notes_max: int) -> None:
        self._read = read
        self._notes_max = notes_max
        self._known: dict[tuple[object, ...], tuple[T, tuple[str, ...]]] = {}

    def of(self, said: tuple[object, ...], notes: Notes) -> T:
        """What they mean; what was odd about them is noted each time."""
        # 1, 1.0 and true are equal, and not the same.
        key = (said, tuple(map(type, said)))
        try:
            known = self._known.get(key)
        except TypeError:
            # A list or an object, where the register has a text.
            return self._read(said, notes)
        if known is None:
            own = Notes(self._notes_max)
            known = (self._read(said, own), own.all())
            if len(self._known) >= WORDINGS_MAX:
                self._known.clear()
            self._known[key] = known
        for note in known[1]:
            notes.add(note)
        return known[0]
