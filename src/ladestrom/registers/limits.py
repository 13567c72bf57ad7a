"""How much of a register file is read. Knows no register."""

from __future__ import annotations

import csv
from typing import Final

import msgspec


class Limits(msgspec.Struct, frozen=True):
    """Limits of one parse. Over a limit of the document: `InvalidRegister`; of a record: it is refused."""

    document_bytes_max: int = 1 << 30
    """Decompressed. NOBIL's whole dump is about 0.3 GiB (8 KiB a station), the French register 0.3 GiB
    (1.6 KiB a charge point)."""
    document_depth_max: int = 1_000
    """Nested lists, objects or elements. Real ones have 9; each level costs memory while it is open."""
    records_max: int = 1_000_000
    """Stations of NOBIL, rows of IRVE. The European Union has about a million charge points; a row that
    waits for the rest of its station holds about 0.4 KiB."""
    record_bytes_max: int = 4 << 20
    """A NOBIL connector takes 2 KiB in JSON and 3 KiB in XML; this is `outlets_max` of them."""
    record_depth_max: int = 32
    """A NOBIL station nests 5 deep in JSON, 7 in XML."""
    outlets_max: int = 1_000
    """Of one station. The largest sites have about 300 connectors."""
    text_chars_max: int = 255
    """Of a name, an operator, an address, a city: what OCPI 2.2.1, section 8.3.1, allows a name."""
    prose_chars_max: int = 512
    """Of a description, a tariff, opening hours or conditions in words: what OCPI 2.2.1, section 16.3, allows
    a text that is shown."""
    id_chars_max: int = 64
    """OCPI 2.2.1, section 8.3.2: 48 characters for an EVSE id, 36 for a uid; OCPI 2.1.1: 39."""
    notes_max: int = 20
    """Of one record; a last one tells how many more there were."""

    def too_large(self) -> str:
        """Why a record that is over `record_bytes_max` is refused, and what to do."""
        return f"it is larger than {self.record_bytes_max} bytes: split it into several stations"


DEFAULT: Final = Limits()
# Python's own limit of a cell is 131,072 characters. A row over it would be refused without its station's
# id, and its station would lose an EVSE, or be withdrawn.
csv.field_size_limit(DEFAULT.record_bytes_max)
