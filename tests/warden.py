"""Ends what a process of tests has started, once that process is gone, however it went.

A program of its own: `warden.py MARK`, with the reading end of a pipe as its standard input. The process that
started it holds the other end and writes nothing; when it dies, even by SIGKILL, the pipe ends. What it started
has its mark in the environment and so do the children of those. Needs `/proc`; where there is none (macOS), only
what ends normally or fails cleans up.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

VARIABLE = "LIVES_WITH_TESTS_OF"
PAUSE_S = 0.05
"""Between two looks: what was found may have begun others meanwhile."""


def marked(mark: str) -> dict[int, str]:
    """Process ids and commands of those that have a mark."""
    wanted = f"{VARIABLE}={mark}".encode()
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ")
                found[int(folder.name)] = command.decode(errors="replace").strip()
    return found


def kill(pids: set[int]) -> None:
    """Kills processes, and all the group where one leads it: some write over their environment (Chromium does)."""
    for pid in pids:
        with contextlib.suppress(OSError):
            if os.getpgid(pid) == pid:
                os.killpg(pid, signal.SIGKILL)
            os.kill(pid, signal.SIGKILL)


def main(mark: str) -> None:
    """Waits for the end of standard input, then kills until nothing is left."""
    sys.stdin.buffer.read()
    while found := marked(mark):
        kill(set(found))
        time.sleep(PAUSE_S)


if __name__ == "__main__":
    main(sys.argv[1])
