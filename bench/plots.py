"""Draws the tables of RESULTS.md that compare servers, as SVG files beside it.

    python bench/plots.py

Reads what is written there and measures nothing: a bar for each row of the newest table whose heading begins
as `PLOTS` says, on a logarithmic scale, as servers are a hundred times apart.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Final, NamedTuple

HOME: Final = Path(__file__).resolve().parent
WIDTH: Final = 860
LABEL: Final = 300
ROW: Final = 22
TOP: Final = 46
INK: Final = "#1b3a4b"
OWN: Final = "#0b7a75"
OTHER: Final = "#b8c4cc"


class Plot(NamedTuple):
    """What is drawn of which table."""

    file: str
    heading: str
    labels: tuple[int, ...]
    """Columns that name a row."""
    value: int
    """Column whose first number is drawn."""
    unit: str


PLOTS: Final = (
    Plot("fanout", "fan-out", (0, 1), 2, "CPU us a delivery"),
    Plot("returning", "everybody returns", (0,), 1, "s until all have the snapshot"),
    Plot("bytes", "bytes", (0,), 1, "bytes a change"),
    Plot("parsers", "parsers", (0,), 1, "observations/s"),
)


class Bar(NamedTuple):
    label: str
    value: float


def tables(text: str) -> Iterator[tuple[str, list[list[str]]]]:
    """Heading without its date, and cells of each table's rows, newest first."""
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        heading, _, body = section.partition("\n")
        rows = [
            [cell.strip() for cell in line.strip().strip("|").split("|")]
            for line in body.splitlines()
            if line.startswith("|")
        ]
        yield heading.partition(", ")[2], rows


def bars(plot: Plot, rows: Sequence[Sequence[str]]) -> list[Bar]:
    """A bar for each row that has a number."""
    found = []
    for row in rows:
        number = re.match(r"[\d,.]+", row[plot.value]) if len(row) > plot.value else None
        if number is not None and float(number[0].replace(",", "")) > 0:
            label = ", ".join(row[place] for place in plot.labels)
            found.append(Bar(label, float(number[0].replace(",", ""))))
    return found


def drawn(plot: Plot, heading: str, found: Sequence[Bar]) -> str:
    """The picture."""
    height = TOP + ROW * len(found) + 12
    low = math.log10(min(bar.value for bar in found)) - 0.3
    high = math.log10(max(bar.value for bar in found))
    room = WIDTH - LABEL - 110
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" role="img">',
        f'<g font-family="sans-serif" font-size="13" fill="{INK}">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="12" y="24" font-size="15">{escape(heading)}: {escape(plot.unit)}, logarithmic</text>',
    ]
    for number, bar in enumerate(found):
        y = TOP + ROW * number
        length = max(2.0, room * (math.log10(bar.value) - low) / max(high - low, 0.01))
        colour = OWN if plot.file != "fanout" or "ladestrom" in bar.label else OTHER
        parts += [
            f'<text x="{LABEL - 10}" y="{y + 15}" text-anchor="end">{escape(bar.label)}</text>',
            f'<rect x="{LABEL}" y="{y + 3}" width="{length:.1f}" height="{ROW - 6}" fill="{colour}"/>',
            f'<text x="{LABEL + length + 8:.1f}" y="{y + 15}">{bar.value:,.10g}</text>',
        ]
    return "\n".join([*parts, "</g>", "</svg>", ""])


def main() -> int:
    """Writes a file for each plot whose table is there; says which."""
    newest: dict[str, tuple[str, list[list[str]]]] = {}
    for heading, rows in tables((HOME / "RESULTS.md").read_text(encoding="utf-8")):
        for plot in PLOTS:
            if heading.startswith(plot.heading):
                newest.setdefault(plot.file, (heading, rows))
    (HOME / "plots").mkdir(exist_ok=True)
    for plot in PLOTS:
        heading, rows = newest.get(plot.file, ("", []))
        found = bars(plot, rows)
        if found:
            path = HOME / "plots" / f"{plot.file}.svg"
            path.write_text(drawn(plot, heading, found), encoding="utf-8")
            print(path.relative_to(HOME.parent), f"{len(found)} bars")
    return 0


if __name__ == "__main__":
    sys.exit(main())
