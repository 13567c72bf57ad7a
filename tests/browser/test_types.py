from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

import pytest
from tests.programs import run

CONFIGURATION: Final = Path(__file__).parent / "tsconfig.json"


def test_every_module_of_the_page_has_the_types_that_it_says(packages: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    command = [node, str(packages / "typescript" / "bin" / "tsc"), "--project", str(CONFIGURATION)]
    done = run(command)
    assert done.stdout == ""
    assert done.returncode == 0
