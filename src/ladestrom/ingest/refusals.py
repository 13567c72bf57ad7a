"""The last items that each operator was refused, so that it can be looked up afterwards.

Kept in memory since the server started. Must not know who asks.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Final

from ladestrom.formats.freshness import RefusedItem
from ladestrom.formats.wire import instant
from ladestrom.model import Millis, Receipt
from ladestrom.protocols.delivery import Delivery

PER_OPERATOR_MAX: Final = 1_000
"""Enough to see every kind of refusal of one day."""
ITEMS_MAX: Final = 100_000
"""Of all operators: 50 MiB at half a KiB each. Over it, the operator whose last refusal is oldest loses its
own."""
CHARACTERS_MAX: Final = 300
_index = attrgetter("index")


class Refusals:
    """By operator, the newest last."""

    def __init__(self, clock: Callable[[], Millis]) -> None:
        self._clock = clock
        self._items: OrderedDict[str, deque[RefusedItem]] = OrderedDict()
        self._count = 0

    def note(self, operator: str, protocol: str, delivery: Delivery, receipt: Receipt) -> None:
        """Keeps what a delivery was refused."""
        if not receipt.refused:
            return
        found = self._items.setdefault(operator, deque())
        self._items.move_to_end(operator)
        self._count -= len(found)
        unread = delivery.refused
        at = instant(self._clock()) or ""
        for refusal in receipt.refused[-PER_OPERATOR_MAX:]:
            before = bisect_left(unread, refusal.index, key=_index)
            is_report = before == len(unread) or unread[before].index != refusal.index
            place = refusal.index - before
            item = delivery.reports[place].evse if is_report and place < len(delivery.reports) else None
            found.append(
                RefusedItem(
                    operator,
                    protocol,
                    at,
                    refusal.index,
                    None if item is None else item[:CHARACTERS_MAX],
                    refusal.reason.value,
                    refusal.detail[:CHARACTERS_MAX],
                )
            )
            if len(found) > PER_OPERATOR_MAX:
                found.popleft()
        self._count += len(found)
        while self._count > ITEMS_MAX and len(self._items) > 1:
            _, gone = self._items.popitem(last=False)
            self._count -= len(gone)

    def of(self, operator: str) -> Iterator[RefusedItem]:
        """Those of one operator, the newest first."""
        return reversed(self._items.get(operator, deque()))

    def every(self) -> Iterator[RefusedItem]:
        """Those of all operators, the newest first within each."""
        for operator in reversed(self._items):
            yield from self.of(operator)
