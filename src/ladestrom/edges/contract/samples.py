"""What the examples of the published contracts have in common: one station, one EVSE, one position."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from ladestrom.edges.contract.schemas import Schema

EPOCH: Final = "k3v9q2xa"
SEQ: Final = 481
POSITION: Final = f"{EPOCH}-{SEQ}"
CHANGED_AT: Final = "2026-11-22T10:00:00.000Z"
CHANGED_MS: Final = 1_795_341_600_000
OBSERVED_AT: Final = "2026-11-22T10:04:10.000Z"
STATION: Final = "NOR_01333"
EVSE: Final = "NO*FJL*E1234"
OPERATOR: Final = "Fjordlys"

REPORTS: Final[Sequence[Schema]] = (
    {"evse": "FR*ABC*E123", "status": "CHARGING", "error": 0, "observed_at": "2026-11-22T10:00:00Z"},
    {"uuid": STATION, "connector": 0, "status": 1, "error": 0, "timestamp": CHANGED_MS},
)
"""Both forms."""


def examples(names: Mapping[str, str], objects: Sequence[Any]) -> dict[str, Schema]:
    """One example for each component that has one; `names` are other names than the types' own."""
    return {
        names.get(type(one).__name__, type(one).__name__): msgspec.json.decode(msgspec.json.encode(one))
        for one in objects
    }
