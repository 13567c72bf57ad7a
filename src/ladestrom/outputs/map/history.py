"""What EVSEs were in the last day or so: changes in a ring of arrays, each with the way to the one before.

16 bytes a change. It is filled from two sides: `take` has what `StationCounts` made of new entries, `recall`
has entries that the log kept from before the start. Between `begin` and `go_on` only `recall` is heard, so
that the ring has them in order. Knows no names but EVSE keys, no log and no clock.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

import msgspec

from ladestrom.model import NEVER, Change, Entry, Millis, StationChanged, Status, StatusChanged
from ladestrom.outputs.map.station_counts import ABSENT, CODE_BITS, CODE_MASK, CODES, StationCounts, status_of

BLOCK: Final = 256
"""Changes between two of which it is kept when they were received."""
EVSES_MAX: Final = 1 << 32 - 2 * CODE_BITS
WORD_MAX: Final = (1 << 32) - 1
"""EVSEs whose changes are kept: more than there are; those that come later have none."""
GONE: Final = 0
"""Way to the change before, where there is none any more."""


class Segment(msgspec.Struct, frozen=True, gc=False):
    """What an EVSE was from an instant on, until the next segment's."""

    at: Millis
    status: Status
    error: bool
    stamp: Millis = NEVER
    """When the change that began it says that it was; `at` is later where the change before it was later."""


class History:
    """The newest changes of all EVSEs that are counted."""

    def __init__(self, counts: StationCounts, changes_max: int, skew_ms: int) -> None:
        """Empty; nothing is heard before `begin`.

        Args:
            counts: has the EVSEs' numbers.
            changes_max: changes that are kept; the oldest go first.
            skew_ms: how far a change may be ahead of its receipt.
        """
        self.seq = 0
        """Sequence of the last entry in it."""
        self.is_live = False
        """Whether it has everything up to the position of the counts."""
        self._counts = counts
        self._changes_max = changes_max
        self._skew_ms = skew_ms
        self._since: Millis | None = None
        self._count = 0
        """Changes ever taken: the number of the next one."""
        self._at = array("q")
        """When it changed; number n is at n modulo `changes_max`, here and below."""
        self._words = array("I")
        """EVSE, code before, code after (`StationCounts.take`)."""
        self._back = array("I")
        """How many numbers before it the same EVSE's previous change is."""
        self._last: array[int] = array("q")
        """By number of EVSE: number of its last change; far below 0 where it has none."""
        self._received: list[Millis] = []
        """When the first change of each block was received; never falling."""
        self._first_block = 0
        """Number of the first of these blocks."""

    def begin(self, since: Millis | None) -> None:
        """What follows is everything from `since` on; from its own first change on where that is None."""
        self._since = since

    def recall(self, entries: Sequence[Entry]) -> None:
        """Takes entries from before the start, in order."""
        evses = self._counts.evses
        kept = []
        words = []
        for entry in entries:
            if isinstance(entry, StationChanged):
                continue
            change = entry.change
            number = evses.get(change.evse)
            if number is not None:
                was = CODES[change.was_status] + change.was_error
                now = CODES[change.status] + change.error
                kept.append(entry)
                words.append(number << 2 * CODE_BITS | was << CODE_BITS | now)
        self._keep(kept, words)
        self.seq = entries[-1].seq

    def go_on(self, seq: int) -> None:
        """Everything up to here is in it; from here on, `take` is heard."""
        self.seq = seq
        self.is_live = True

    def take(self, entries: Sequence[StatusChanged], words: Sequence[int]) -> None:
        """Takes entries, and what `StationCounts.take` gave for them."""
        if self.is_live and entries:
            self._keep(entries, words)
            self.seq = entries[-1].seq

    def _keep(self, entries: Sequence[StatusChanged], words: Sequence[int]) -> None:
        if len(self._counts.evses) > EVSES_MAX:
            few = [(entry, word) for entry, word in zip(entries, words, strict=True) if word <= WORD_MAX]
            entries, words = [entry for entry, _ in few], [word for _, word in few]
        room = self._changes_max
        for start in range(0, len(entries), room):
            self._put(entries[start : start + room], words[start : start + room])

    def _put(self, entries: Sequence[StatusChanged], words: Sequence[int]) -> None:
        last, room, count = self._last, self._changes_max, self._count
        missing = len(self._counts.evses) - len(last)
        if missing > 0:
            last.extend([-room] * missing)
        at = []
        back = []
        for number, (entry, word) in enumerate(zip(entries, words, strict=True), count):
            change = entry.change
            changed_at = change.changed_at
            at.append(changed_at if changed_at >= 0 else change.received_at)
            evse = word >> 10
            way = number - last[evse]
            back.append(way if way < room else 0)
            last[evse] = number
        for ring, values in ((self._at, at), (self._words, words), (self._back, back)):
            _write(ring, array(ring.typecode, values), count, room)
        for place in range(-count % BLOCK, len(entries), BLOCK):
            received_at = entries[place].change.received_at
            self._received.append(max(received_at, self._received[-1] if self._received else 0))
        self._count += len(at)
        self._drop()

    def _drop(self) -> None:
        """Blocks that are no longer whole are not looked for."""
        blocks = -(-self._oldest // BLOCK) - self._first_block
        if blocks > 0:
            del self._received[:blocks]
            self._first_block += blocks
            self._since = self._received[0] + 1

    @property
    def _oldest(self) -> int:
        """Number of the oldest change that is kept."""
        return max(self._count - self._changes_max, 0)

    @property
    def since(self) -> Millis | None:
        """From when on it lacks nothing that was received; None where it knows nothing yet."""
        if not self.is_live:
            return None
        return self._received[0] if self._since is None and self._received else self._since

    def segments(
        self, evse: str, now: Change | None, start: Millis, until: Millis, changes_max: int
    ) -> list[Segment]:
        """What an EVSE was, in order, from `start` on; the first segment holds then, and may be older.

        Where it changed more often than `changes_max`, the first segment begins later. A change counts from
        when it was observed, but not from before the change before it. What was not there is REMOVED, what
        nobody tells of is UNKNOWN. Costs the changes of that EVSE since then.

        Args:
            evse: its key.
            now: the change in force; None where nothing ever was told of it.
            start: not before `since`.
            until: now.
            changes_max: at least 1.
        """
        held = [(start, CODES[Status.UNKNOWN], start)] if now is None else [_in_force(now, start)]
        changes = list(islice(self._walk(evse, start), changes_max + 1))
        if len(changes) > changes_max:
            changes.pop()
            held = []
        elif changes:
            was = changes[-1][1] >> CODE_BITS & CODE_MASK
            held = [(start, CODES[Status.REMOVED] if was == ABSENT else was, start)]
        reached = NEVER
        for at, word in reversed(changes):
            reached = max(reached, min(at, until))
            stamp = min(at, until)
            if held and reached <= max(start, held[-1][0]):
                held.pop()
            if not held or held[-1][1] != word & CODE_MASK:
                held.append((reached, word & CODE_MASK, stamp))
        return [Segment(at, *status_of(code), stamp) for at, code, stamp in held]

    def _walk(self, evse: str, start: Millis) -> Iterator[tuple[Millis, int]]:
        """Changes of an EVSE that may have begun after `start`, the newest first, and some before them."""
        number = self._counts.evses.get(evse)
        if number is None or number >= len(self._last):
            return
        block = bisect_left(self._received, start - self._skew_ms) - 1
        earliest = max(self._oldest, (self._first_block + block) * BLOCK) if block >= 0 else self._oldest
        place, room = self._last[number], self._changes_max
        while place >= earliest:
            yield self._at[place % room], self._words[place % room]
            way = self._back[place % room]
            if way == GONE:
                return
            place -= way


def _in_force(change: Change, start: Millis) -> tuple[Millis, int, Millis]:
    at = change.changed_at if NEVER < change.changed_at < start else start
    return at, CODES[change.status] + change.error, at


def _write(ring: array[int], values: array[int], count: int, room: int) -> None:
    """Puts values at number `count` and on into a ring that grows to its room; not more than that at once."""
    place = count % room
    ends = min(place + len(values), room)
    ring[place:ends] = values[: ends - place]
    ring[: len(values) - (ends - place)] = values[ends - place :]
