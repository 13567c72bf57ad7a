"""What the benchmarks of the stream print: Markdown, with what it was measured on.

Knows the machine and its load. Must not know what is measured.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from bench.intake import machine

QUIET_LOAD: Final = 1.0
QUIET_POLL_S: Final = 5.0


class Conditions:
    """The machine as it was when the benchmark began."""

    def __init__(self, quiet_s: float = 0.0) -> None:
        """Waits at most `quiet_s` for others to be done: for a load average (one minute) below 1."""
        ends_s = time.monotonic() + quiet_s
        while os.getloadavg()[0] >= QUIET_LOAD and time.monotonic() < ends_s:
            time.sleep(QUIET_POLL_S)
        self._load = os.getloadavg()[0]
        self._began = datetime.now(UTC)

    def __str__(self) -> str:
        return (
            f"{machine()}{'' if _committed() else ' with changes'}, {self._began:%Y-%m-%d %H:%M} UTC,"
            f" load average {self._load:.2f} at the start"
        )


def _committed() -> bool:
    """Whether the source is what the commit says."""
    source = Path(__file__).parents[1] / "src"
    command = ["git", "--no-optional-locks", "-C", str(source), "status", "--porcelain", "."]
    return not subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def told(conditions: Conditions, notes: str, made: str, wrongs: Sequence[str]) -> int:
    """Prints a benchmark's result; the exit code: 1 where what was received was wrong."""
    print(f"{conditions}; {notes}\n\n{made}", flush=True)
    for wrong in wrongs[:50]:
        print(f"WRONG {wrong}")
    return 1 if wrongs else 0


def middle(values: Sequence[float]) -> float:
    """The median; nan where there is none."""
    return statistics.median(values) if values else float("nan")


def ratio(one: Sequence[float], other: Sequence[float]) -> str:
    """Of two columns of one table: the median of the rounds' ratios."""
    return f"{middle([mine / theirs for mine, theirs in zip(one, other, strict=True)]):.2f}"
