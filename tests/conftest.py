"""What all tests share: the folder of sample data, a clean environment, and how hard Hypothesis tries."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from pathlib import Path

import hypothesis
import pytest
from tests import patience, postgres, programs

ROOT = Path(__file__).resolve().parent.parent

# A slow machine is no defect of a test: neither an example nor the making of examples has a time limit.
hypothesis.settings.register_profile(
    "default", deadline=None, print_blob=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.register_profile(
    "thorough", hypothesis.settings.get_profile("default"), max_examples=2_000
)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

SharedFile = Callable[[str], Path]


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Gives tests the time that this machine needs, unless somebody has set another limit."""
    programs.watch()
    if config.option.timeout is None and "PYTEST_TIMEOUT" not in os.environ:
        config.option.timeout = patience.TEST_DEADLINE_S


@pytest.fixture(scope="session", autouse=True)
def nothing_lives_on() -> Iterator[None]:
    """No program outlives the tests that started it."""
    yield
    postgres.remove()
    # Python's own, of processes that it starts as libraries do; it ends with this process otherwise.
    resource_tracker._resource_tracker._stop()  # type: ignore[attr-defined]
    with contextlib.suppress(AssertionError):
        patience.until(lambda: not programs.living())
    assert programs.living() == {}


def pytest_report_header() -> str:
    """Says how patient the tests are."""
    return f"patience: deadlines times {patience.FACTOR} ({patience.VARIABLE})"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the shell that runs the tests reaches them; what is about tests does."""
    for name in list(os.environ):
        if name.startswith("LADESTROM_") and name not in {"LADESTROM_SHARED", patience.VARIABLE}:
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
