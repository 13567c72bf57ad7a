"""What the page ships that others wrote is what its table says, and nothing else is there."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

import msgspec
import pytest

from ladestrom.edges.page import FILES

VENDOR: Final = FILES / "vendor"
OURS: Final = frozenset({"vendored.json", "maplibre-gl.d.mts", "pmtiles.d.ts"})
"""The table, and types of what the page uses of a library whose own are too many."""


class Vendored(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row of the table."""

    file: str
    package: str
    version: str
    path: str
    """Path in the package; for outlines what they were made of, and empty where the package lacks the file."""
    licence: str
    sha256: str


ROWS: Final = msgspec.json.decode((VENDOR / "vendored.json").read_bytes(), type=list[Vendored])


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.file)
def test_a_file_of_others_is_as_it_was_taken(row: Vendored) -> None:
    assert hashlib.sha256((VENDOR / row.file).read_bytes()).hexdigest() == row.sha256


def test_every_file_of_others_has_its_row() -> None:
    present = {path.name for path in VENDOR.iterdir()} - OURS
    assert present == {row.file for row in ROWS}


@pytest.mark.parametrize("package", sorted({row.package for row in ROWS}))
def test_every_package_has_its_licence_beside_it(package: str) -> None:
    texts = [row.file for row in ROWS if row.package == package and row.file.endswith(".LICENSE.txt")]
    assert len(texts) == 1
    assert Path(VENDOR / texts[0]).stat().st_size > 500
