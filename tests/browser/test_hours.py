"""The page and the server judge alike whether a station is open."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from random import Random
from typing import Final

import msgspec
import pytest
from tests.programs import run

from ladestrom.core.open_hours import is_open
from ladestrom.edges.page import FILES
from ladestrom.formats.wire import instant
from ladestrom.record import Hours, Opening, Span

CASES: Final = 4_000
DAY_MS: Final = 86_400_000
YEAR_BEGINS_MS: Final = 1_767_225_600_000
"""2026."""
PROGRAM: Final = """
import { isOpen, rowsOf } from "./hours.mjs";
const { cases, hours } = JSON.parse(process.argv[2]);
console.log(JSON.stringify([cases.map(([opening, zone, now]) => isOpen(opening, zone, now)), rowsOf(hours)]));
"""
Case = tuple[Opening, str | None, int]


def case(random: Random) -> Case:
    """An opening and an instant, often near one at which clocks change or an exception begins."""
    now = YEAR_BEGINS_MS + random.choice([random.randrange(400), 87, 297]) * DAY_MS
    now += random.randrange(DAY_MS)

    def clock() -> str:
        return f"{random.randrange(24):02d}:{random.choice((0, 15, 30, 59)):02d}"

    def span() -> Span:
        begins = now + random.randrange(-2, 2) * 3_600_000
        return Span(instant(begins) or "", instant(begins + 3_600_000) or "")

    opening = Opening(
        always=random.choice([None] * 8 + [True, False]),
        hours=tuple(
            Hours(random.randint(1, 7), clock(), random.choice([clock(), "24:00"]))
            for _ in range(random.randrange(8))
        ),
        openings=tuple(span() for _ in range(random.choice([0, 0, 0, 1]))),
        closings=tuple(span() for _ in range(random.choice([0, 0, 0, 1]))),
        text=random.choice([None, None, "and on request"]),
    )
    zones = ("Europe/Oslo", "Europe/Paris", "Pacific/Noumea", "Australia/Lord_Howe", "Mars/Olympus", None)
    return opening, random.choice(zones), now


def test_the_page_judges_as_the_server_does(tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    random = Random(20)
    cases = [case(random) for _ in range(CASES)]
    week = [Hours(day, "08:00", "20:00") for day in range(1, 6)]
    week += [Hours(6, "09:00", "12:00"), Hours(6, "13:00", "18:00")]
    shutil.copy(FILES / "map" / "hours.js", tmp_path / "hours.mjs")
    (tmp_path / "program.mjs").write_text(PROGRAM)
    told: list[object] = []
    # In parts, as an argument has a limit.
    for first in range(0, CASES, 200):
        given = json.dumps(msgspec.to_builtins({"cases": cases[first : first + 200], "hours": week}))
        done = run([node, str(tmp_path / "program.mjs"), given], check=True)
        answers, rows = json.loads(done.stdout)
        told += answers
    expected = [is_open(*each) for each in cases]
    assert {True, False, None} == set(expected)
    assert told == expected
    assert rows == [
        [1, 5, ["08:00\N{EN DASH}20:00"]],
        [6, 6, ["09:00\N{EN DASH}12:00", "13:00\N{EN DASH}18:00"]],
        [7, 7, []],
    ]
