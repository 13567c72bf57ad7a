"""What the system says of this process."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

GIVE_BACK_EVERY_S: Final = 10.0
"""A call takes 1 to 3 ms with 100,000 EVSEs, and what it gives back is some MiB of buffers."""


def memory_bytes() -> int:
    """What the process has in memory; at most so far, where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def started_s() -> float:
    """When this process began, on the monotonic clock; now where the system does not tell."""
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        ticks = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        boot = time.clock_gettime(time.CLOCK_BOOTTIME)
    except (OSError, ValueError, AttributeError):
        return time.monotonic()
    return time.monotonic() - (boot - ticks)


async def give_back() -> None:
    """Gives the system back what was freed, where the allocator of the C library keeps it.

    glibc's keeps what lies between pieces that are in use, and messages of all sizes for those who come and
    go leave ever more of it. In a thread: the loop may go on, unless it needs the allocator just then.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        await asyncio.to_thread(trim, 0)


@contextmanager
def keeping() -> Iterator[None]:
    """What is made until the block ends stays for long: the garbage collector does not look at it again.

    A collection that goes through what 100,000 EVSEs are made of holds the loop for 40 ms. Cyclic garbage of
    other work that is there when the block ends stays in memory, so this is for what is rare. Within such a
    block another one changes nothing.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
