"""What tests of commands share: a data directory, and how a command is called on it, in this process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from ladestrom.cli import main


class Told(NamedTuple):
    """What a command printed."""

    stdout: str
    stderr: str


Run = Callable[..., Told]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def run(data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Calls a command on the data directory; `code` is the exit code that it has to have."""
    monkeypatch.setenv("LADESTROM_DATA", str(data))
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: str | Path, code: int = 0) -> Told:
        capsys.readouterr()
        found = main(list(map(str, arguments)))
        told = Told(*capsys.readouterr())
        assert found == code, told
        assert "Traceback" not in told.stderr
        return told

    return call
