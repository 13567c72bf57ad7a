"""What all tests share: the folder of sample data, a clean environment, and how hard Hypothesis tries."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest

ROOT = Path(__file__).resolve().parent.parent

hypothesis.settings.register_profile("default", deadline=None, print_blob=True)
hypothesis.settings.register_profile("thorough", deadline=None, print_blob=True, max_examples=2_000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

SharedFile = Callable[[str], Path]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the shell that runs the tests reaches them."""
    for name in list(os.environ):
        if name.startswith("LADESTROM_") and name != "LADESTROM_SHARED":
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of sample data: LADESTROM_SHARED, else `shared` beside the project. Skips without it."""
    folder = Path(os.environ.get("LADESTROM_SHARED") or ROOT.parent / "shared")
    if not folder.is_dir():
        pytest.skip("no sample data here: LADESTROM_SHARED names no folder")
    return folder


@pytest.fixture(scope="session")
def shared_file(shared: Path) -> SharedFile:
    """Gives a file of the sample data by its path in that folder, or skips the test."""

    def find(name: str) -> Path:
        path = shared / name
        if not path.exists():
            pytest.skip(f"the sample data has no {name}")
        return path

    return find
