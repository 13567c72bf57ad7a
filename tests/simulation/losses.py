"""What a consumer loses on its way, though every message came: the chain says nothing of it, only the digest can.

Each takes rows out of a `changes` message, or puts the states of two EVSEs in each other's place.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

Row = dict[str, Any]
Loss = Callable[[Sequence[Row], random.Random], list[Row]]

CHANCE: Final = 0.3
"""With which a message that can lose something does."""
STATE: Final = ("status", "error", "changed_at", "observed_at", "cause", "was")


def _alike(rows: Sequence[Row]) -> list[tuple[int, int]]:
    """Places of two different EVSEs that made the same transition at the same instant, each told of once."""
    places: dict[tuple[object, ...], list[int]] = defaultdict(list)
    told = [row["evse"] for row in rows]
    for place, row in enumerate(rows):
        if told.count(row["evse"]) == 1:
            was = row["was"]
            key = (was["status"], was["error"], row["status"], row["error"], row["changed_at"])
            places[key].append(place)
    return [(found[0], found[-1]) for found in places.values() if len(found) > 1]


def _like_pair(rows: Sequence[Row], chance: random.Random) -> list[Row]:
    pairs = _alike(rows)
    lost = chance.choice(pairs) if pairs else ()
    return [row for place, row in enumerate(rows) if place not in lost]


def _any_pair(rows: Sequence[Row], chance: random.Random) -> list[Row]:
    lost = chance.sample(range(len(rows)), 2) if len(rows) > 1 else ()
    return [row for place, row in enumerate(rows) if place not in lost]


def _one(rows: Sequence[Row], chance: random.Random) -> list[Row]:
    lost = chance.randrange(len(rows))
    return [row for place, row in enumerate(rows) if place != lost]


def _swap(rows: Sequence[Row], chance: random.Random) -> list[Row]:
    if len(rows) < 2:
        return list(rows)
    swapped = list(rows)
    one, other = chance.sample(range(len(rows)), 2)
    for here, there in ((one, other), (other, one)):
        swapped[here] = rows[here] | {name: rows[there][name] for name in STATE}
    return swapped


LOSSES: Final[Mapping[str, Loss]] = {
    "a pair of like transitions": _like_pair,
    "any two changes": _any_pair,
    "one change": _one,
    "two EVSEs swapped": _swap,
}
