"""Processes that want to write one log, as tests and benchmarks see them."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path
from typing import Final, Self

from tests.conftest import ROOT
from tests.patience import until
from tests.programs import PIPE, Program, program

LEASE_S: Final = 1.0


class Process:
    """A process that writes when it has the lease, and what it said so far."""

    def __init__(
        self, url: str, folder: Path, name: str, *, lease_s: float = LEASE_S, group: int = 5
    ) -> None:
        self.name = name
        self.lines: list[str] = []
        folder.mkdir(exist_ok=True)
        command = [sys.executable, "-m", "tests.cluster_writer", url, folder, name, lease_s, group]
        self._program = program([*map(str, command)], cwd=ROOT, stdout=PIPE)
        self._process: Program

    def __enter__(self) -> Self:
        self._process = self._program.__enter__()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.signal(signal.SIGKILL)
        self._reader.join()
        self._program.__exit__(None, None, None)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            # What was cut off was not said.
            if line.endswith("\n"):
                self.lines.append(line)

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def count(self, word: str) -> int:
        return sum(line.startswith(word) for line in self.lines)

    def said(self, word: str, times: int = 1) -> bool:
        return self.count(word) >= times

    def acknowledges(self, more: int = 5) -> None:
        """Waits until it has acknowledged some more."""
        had = self.count("acked")
        until(lambda: self.said("acked", had + more), f"{self.name} writes")
