"""Rule 9: what a charge point says of itself as a whole lies over its EVSEs, until it is lifted."""

from __future__ import annotations

from typing import Final

from tests.simulation.rules.judge import Item
from tests.simulation.rules.speakers import POINT, State, Wire
from tests.simulation.rules.stations import POINT_MAP

from ladestrom.model import Reason

HARD: Final = frozenset({"OUTOFORDER", "INOPERATIVE"})


class Overlay:
    """What the charge point said since the server started."""

    def __init__(self) -> None:
        self._whole: State | None = None
        self._own: dict[int, State] = {}
        """Of its EVSEs, by number."""

    def meant(self, number: int, wire: Wire, here: frozenset[str]) -> list[Item]:
        """What a status of one number means for its EVSEs; 0 is the charge point.

        Args:
            number: that of an EVSE, or 0.
            wire: what is said.
            here: EVSEs that its station has now.
        """
        state = POINT.words[wire.word]
        assert state is not None
        present = {place: key for place, key in POINT_MAP.items() if key in here}
        if number and number not in present:
            return [Item("", Reason.UNKNOWN_EVSE, None)]
        was_over = self._over is not None
        if number:
            self._own[number] = state
        else:
            self._whole = state
        items = []
        for place, key in sorted(present.items(), key=lambda each: each[1]):
            if number not in {0, place}:
                continue
            said = self._said(place)
            if said is not None:
                items.append(Item(key, said, wire.stamp))
            elif was_over:
                items.append(Item(key, ("UNKNOWN", False), wire.stamp))
        return items

    @property
    def _over(self) -> State | None:
        return self._whole if self._whole is not None and self._whole[0] in HARD else None

    def _said(self, place: int) -> State | None:
        """What an EVSE is: what lies over it, or what it said itself; with the errors of both."""
        own, whole = self._own.get(place), self._whole
        said = self._over or own
        if said is None:
            return None
        return said[0], (whole is not None and whole[1]) or (own is not None and own[1])
