"""IRVE dynamique as a file: one row for each point of charge, with what it is now.

The words are those of one table (`formats.irve_dynamique.WORDS`), whatever the source said: a point that is
out of service, or of which nothing is known, is never told to be occupied. `horodatage` is when the state was
last observed, not when it began: a point that has been free for weeks is not out of date.

Source: schema-irve-dynamique 2.3.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from ladestrom.formats.documents import LeftOut, Seen
from ladestrom.formats.irve_dynamique import WORDS, PointStatus
from ladestrom.formats.wire import instant
from ladestrom.model import Position

MEDIA_TYPE: Final = "text/csv"
ID: Final = re.compile(r"[A-Z]{2}[A-Z0-9]{4,33}", re.ASCII)
"""`id_pdc_itinerance`: what an EVSE id is compared as (`model.evse_key`), with a country."""
HEAD: Final = ",".join(PointStatus.__struct_fields__).encode() + b"\r\n"
NO_ID: Final = "no_itinerance_id"
NOT_OBSERVED: Final = "never_observed"


class Points:
    """The file."""

    def __init__(self) -> None:
        self.left_out = LeftOut()

    def part(self, seen: Seen) -> bytes | None:
        """The rows of a station; cells need no quotes."""
        rows = []
        for evse, held in seen.chosen:
            observed_at = instant(seen.observed(held.seq, held.change))
            if ID.fullmatch(evse.key) is None:
                self.left_out.add(evse, NO_ID)
            elif observed_at is None:
                self.left_out.add(evse, NOT_OBSERVED)
            else:
                state, occupation = WORDS[held.change.status]
                rows.append(f"{evse.key},{state},{occupation},{observed_at},,,,\r\n")
        return "".join(rows).encode() if rows else None

    def head(self, position: Position) -> bytes:  # noqa: ARG002 - the form has no place for it
        """The names of the columns."""
        return HEAD

    def pieces(self, parts: Iterable[bytes]) -> Iterator[bytes]:
        """The rows of all stations."""
        yield from parts
