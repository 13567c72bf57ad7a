"""What the tests of `ladestrom import` share: a register of any size, and the table that is printed."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path


def irve(path: Path, count: int, *, start: int = 0, packed: bool = False, station: str = "FRABCP") -> Path:
    """A register of `count` stations with two charge points each, as JSON lines."""
    rows = [
        {
            "id_station_itinerance": f"{station}{place:05d}",
            "nom_station": f"Parking {place}",
            "adresse_station": "1 rue du Test",
            "nom_operateur": "Acme",
            "coordonneesXY": f"[{2 + place / 10_000:.4f}, 48.8]",
            "nbre_pdc": "2",
            "id_pdc_itinerance": f"FRABCE{place:05d}{point}",
            "puissance_nominale": "22.0",
            "prise_type_ef": "False",
            "prise_type_2": "True",
            "prise_type_combo_ccs": "False",
            "prise_type_chademo": "False",
            "prise_type_autre": "False",
            "date_maj": "2026-01-01",
        }
        for place in range(start, start + count)
        for point in (1, 2)
    ]
    content = "\n".join(map(json.dumps, rows)).encode() + b"\n"
    path.write_bytes(gzip.compress(content) if packed else content)
    return path


def ocpi(path: Path, count: int) -> Path:
    """The charge points of as many stations of `irve`, in Locations of OCPI."""
    locations = [
        {
            "country_code": "FR",
            "party_id": "ABC",
            "id": f"LOC{place:05d}",
            "country": "FRA",
            "coordinates": {"latitude": "48.8", "longitude": f"{2 + place / 10_000:.4f}"},
            "evses": [
                {"uid": f"{place}-{point}", "evse_id": f"FR*ABC*E{place:05d}*{point}", "status": "AVAILABLE"}
                for point in (1, 2)
            ],
        }
        for place in range(count)
    ]
    path.write_text(json.dumps(locations))
    return path


def counts(output: str) -> dict[str, int]:
    """The table that an import prints."""
    found = re.findall(r"^([a-z]+) +([0-9,]+)(?:: .*)?$", output, re.MULTILINE)
    return {word: int(number.replace(",", "")) for word, number in found}
