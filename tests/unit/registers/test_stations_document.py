"""`docs/stations-file.md` has the columns as the program has them."""

from __future__ import annotations

from tests.documents import ROOT

from ladestrom.registers.stations_columns import COLUMNS, CONNECTORS_MAX

DOCUMENT = (ROOT / "docs" / "stations-file.md").read_text(encoding="utf-8")


def table() -> list[str]:
    """The rows of the document's table; those of further connectors are the first one's."""
    return [
        f"| `{column.name}` | {_escaped(column.meaning)} | {_escaped(column.form)} | `{_escaped(column.example)}` |"
        f" {column.mandatory} |"
        for column in COLUMNS
        if not column.name.startswith("connector") or column.name.startswith("connector1_")
    ]


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def test_the_document_lists_every_column_as_it_is() -> None:
    rows = [line for line in DOCUMENT.splitlines() if line.startswith("| `")]
    assert rows == table()


def test_the_document_says_how_many_connectors_an_evse_can_have() -> None:
    assert f"`connector{CONNECTORS_MAX}_standard`" in DOCUMENT
