"""What happens in a world of rules, and how often: what it leans towards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final

EVENTS: Final[Mapping[str, int]] = {
    "tell": 22,
    "again": 8,
    "point": 8,
    "begin": 3,
    "page": 5,
    "end": 4,
    "cut": 3,
    "snapshot": 1,
    "forget": 1,
    "confirm": 1,
    "wait": 6,
    "jump": 2,
    "sleep": 1,
    "registry": 3,
    "read": 1,
    "rights": 2,
    "checkpoint": 4,
    "restart": 3,
    "fail": 1,
    "try": 1,
}
"""How often what happens, compared with the others."""


class Kind(StrEnum):
    """What a world leans towards; every one of them can have all."""

    MIXED = "mixed"
    LOSING = "losing"
    """Connections that go, silences, and old words that come again."""
    CLOCKS = "clocks"
    """Clocks that are set, and restarts."""
    MOVING = "moving"
    """EVSEs that leave, return and move, and restarts."""
    ASKING = "asking"
    """Sources that are asked in rounds, and complete deliveries."""
    STATION = "station"
    """A charge point that speaks of itself as a whole."""


LEANINGS: Final[Mapping[Kind, Sequence[str]]] = {
    Kind.MIXED: (),
    Kind.LOSING: ("cut", "again", "wait", "confirm", "snapshot", "forget", "point", "rights"),
    Kind.CLOCKS: ("jump", "jump", "restart", "checkpoint", "sleep", "wait", "again", "fail"),
    Kind.MOVING: ("registry", "registry", "registry", "read", "read", "restart", "checkpoint", "rights"),
    Kind.ASKING: ("begin", "page", "page", "end", "again"),
    Kind.STATION: ("point", "point", "point", "cut"),
}
"""What happens far more often; twice as often what stands there twice."""
LEANING: Final = 15
