"""What a document is made of: an output that is one whole, of all that was selected, at one position.

An encoder is given stations one by one, in any order, and makes a part of each; from the parts, in the order
of the stations' uuids, it makes the document piece by piece. Knows no output, and not who asks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, Protocol, TypeVar

import msgspec

from ladestrom.core.view import StationState
from ladestrom.formats.wire import Observed
from ladestrom.model import Evse, Millis, Position, Station, StatusChanged
from ladestrom.ports.log import StationRow

T = TypeVar("T")

EXAMPLES_MAX: Final = 1_000
"""Left out EVSEs of a document that are told one by one."""
HIDDEN: Final = "planned_or_removed"
"""Why EVSEs are left out of every output that has no word for it."""


class Seen(msgspec.Struct, frozen=True, gc=False):
    """A selected station, as it is at the document's position."""

    station: Station
    revision: int
    """Sequence of the entry that brought its record."""
    listed: Sequence[tuple[Evse, StatusChanged]]
    """Its EVSEs that are shown at all, in registry order, with the change in force."""
    chosen: Sequence[tuple[Evse, StatusChanged]]
    """Those of them that are selected."""
    observed: Observed
    """When the state that a change left was last known to hold."""


class LeftOutEvse(msgspec.Struct, frozen=True, gc=False):
    """An EVSE that a document cannot tell of."""

    evse: str
    station: str
    reason: str


class LeftOut:
    """What a document cannot tell of, and why."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        """EVSEs by reason."""
        self.examples: list[LeftOutEvse] = []
        """The first ones that were met."""

    def add(self, evse: Evse, reason: str) -> None:
        """One more."""
        self.counts[reason] += 1
        if len(self.examples) < EXAMPLES_MAX:
            self.examples.append(LeftOutEvse(evse.name, evse.station, reason))


class Listed(msgspec.Struct, frozen=True, gc=False):
    """An object of a listing, encoded."""

    body: bytes
    updated_at: Millis
    """On our clock: what changes later is updated later."""
    evses: tuple[str, ...]
    """Keys of the EVSEs that it has."""


Lister = Callable[[StationRow, StationState, list[tuple[Evse, str]]], Iterable[Listed]]
"""Gives the objects of a station, as it is; adds to a list which EVSEs none of them has, and why."""


class Encoder(Protocol[T]):
    """Makes one document, and is thrown away."""

    left_out: LeftOut
    """Of what it is told to leave out, beside its own."""

    def part(self, seen: Seen) -> T | None:
        """What the document has of a station; None where it has nothing of it."""
        ...

    def head(self, position: Position) -> bytes:
        """What the document begins with, once all parts are there. What of it depends on the position does
        not count where documents are compared.
        """
        ...

    def pieces(self, parts: Iterable[T]) -> Iterator[bytes]:
        """All that follows, in small pieces: others have their turn between them. Empty ones are allowed."""
        ...
