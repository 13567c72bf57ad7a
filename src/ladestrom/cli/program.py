"""What to type on this machine to run this program, or another one."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import Final

NAME: Final = "ladestrom"
_COMMAND: Final = re.compile(rf"`{NAME} ")


def program() -> str:
    """This program: its name where the shell finds it, else the path to it."""
    started = Path(sys.argv[0])
    if started.name != NAME:
        # `python -m ladestrom`, or a test.
        return f"{python()} -m {NAME}"
    found = shutil.which(NAME)
    if found is not None and Path(found).resolve() == started.resolve():
        return NAME
    return _typed(started)


def python() -> str:
    """The Python that has what this program needs."""
    return _typed(Path(sys.executable))


def typed(text: str) -> str:
    """A message with its commands, which stand in backticks, as they have to be typed on this machine."""
    return _COMMAND.sub(lambda _: f"`{program()} ", text) if _COMMAND.search(text) else text


def _typed(path: Path) -> str:
    """A path as a shell takes it: from here where it is below, else from the root."""
    absolute, here = Path(os.path.abspath(path)), Path.cwd()  # noqa: PTH100 - links in .venv/bin stay as they are
    return shlex.quote(str(absolute.relative_to(here) if absolute.is_relative_to(here) else absolute))
