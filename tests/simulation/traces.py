"""What the first worlds of a simulation are in another process: a seed makes the same one everywhere."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

from tests.programs import run

ROOT: Final = Path(__file__).resolve().parents[2]
PROGRAM: Final = """
import itertools, time
# Of the machine's clock nothing may depend: here each look at it finds that a second has gone by.
looks = itertools.count()
time.monotonic = time.perf_counter = lambda: next(looks)
from {module} import simulate
print([simulate(seed).trace for seed in range({count})])
"""


def traces_elsewhere(module: str, count: int, hash_seed: str) -> str:
    """The traces of so many worlds, as text, in a process with this hash seed and another clock."""
    program = PROGRAM.format(module=module, count=count)
    variables = {**os.environ, "PYTHONHASHSEED": hash_seed}
    return run([sys.executable, "-c", program], cwd=ROOT, env=variables, check=True).stdout.strip()
