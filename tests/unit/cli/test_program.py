"""Commands in messages can be typed on this machine as they stand."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ladestrom.cli import program


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The program in a virtual environment, started from beside it."""
    script = tmp_path / "project" / ".venv" / "bin" / "ladestrom"
    script.parent.mkdir(parents=True)
    script.write_text("")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(script)])
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    return script


def test_a_program_that_the_shell_finds_is_called_by_its_name(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(installed.parent))
    assert program.program() == "ladestrom"
    assert program.typed("see `ladestrom keys list`") == "see `ladestrom keys list`"


def test_another_program_of_that_name_is_not_taken_for_it(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other" / "ladestrom"
    other.parent.mkdir()
    other.write_text("")
    other.chmod(0o755)
    monkeypatch.setenv("PATH", str(other.parent))
    assert program.program() == ".venv/bin/ladestrom"


def test_one_that_it_does_not_find_is_called_by_its_path(
    installed: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert program.program() == ".venv/bin/ladestrom"
    assert program.typed("see `ladestrom keys list`") == "see `.venv/bin/ladestrom keys list`"
    (tmp_path / "a b").mkdir()
    monkeypatch.chdir(tmp_path / "a b")
    assert program.program() == str(installed)


def test_a_module_is_called_as_one(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [str(Path(program.__file__).parents[1] / "__main__.py")])
    assert program.program() == f"{program.python()} -m ladestrom"


def test_texts_without_commands_stay_as_they_are() -> None:
    assert program.typed("ladestrom is a program") == "ladestrom is a program"
