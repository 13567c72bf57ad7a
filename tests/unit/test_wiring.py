"""What builds and starts a process names no protocol: what one needs is said by its row."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import ladestrom
from ladestrom import protocols

PACKAGE = Path(ladestrom.__file__).parent
WIRING = [PACKAGE / "app.py", *sorted((PACKAGE / "roles").rglob("*.py"))]
OURS = "ladestrom"
"""Name of a protocol too: that of another server like this one."""
NAMES = sorted({*protocols.PUSHES, *protocols.PULLS, *protocols.STREAMS, *protocols.CONVERSATIONS} - {OURS})


def words(source: str) -> set[str]:
    """Lower-case words, parts of identifiers counted, and names with hyphens or underscores as a whole."""
    parts = {part.lower() for part in re.findall(r"[A-Z]?[a-z]+[0-9]*|[A-Z]+(?![a-z])", source)}
    return parts | {whole.lower().replace("_", "-") for whole in re.findall(r"[\w-]+", source)}


@pytest.mark.parametrize("path", WIRING, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_the_wiring_names_no_protocol(path: Path) -> None:
    found = words(path.read_text(encoding="utf-8"))
    assert [name for name in NAMES if name in found] == []


@pytest.mark.parametrize(
    "source",
    [
        "from ladestrom.ingest import ocpi_server",
        "OcppServer()",
        "settings.ocpi.peers",
        "'/push/irve'",
        "Plain.name",
    ],
)
def test_a_name_is_noticed_however_it_is_written(source: str) -> None:
    assert words(source) & set(NAMES)
