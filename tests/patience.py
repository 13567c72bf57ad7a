"""How long tests wait: deadlines for a quiet machine, times a factor for this one as it is now.

    settings = {"stream.stalled_s": scaled(2)}       a product's setting that must outlast a slow, healthy peer
    until(lambda: server.connected == 0, "it left")  waits for a condition; `await come_true(...)` in a loop
    subprocess.run(..., timeout=DEADLINE_S)          whatever takes a deadline of its own

A deadline ends what hangs; it never says that something is fast. `LADESTROM_TEST_PATIENCE` sets the factor, a
whole number from 1. Without it, the process that first asks measures, and tells the processes that it starts.
"""

from __future__ import annotations

import asyncio
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

VARIABLE: Final = "LADESTROM_TEST_PATIENCE"
FACTOR_MAX: Final = 20
"""Of a measurement: a suite that takes two minutes would take most of an hour."""
TRIAL_PROCESSES: Final = 4
"""As the suite at its widest: two workers with a program each. So a machine with one core counts as slow."""
TRIAL_QUIET_S: Final = 0.25
"""Longest that the trial takes on two cores that do little else."""
TRIAL: Final = """
import socket, threading

def answer():
    with listener.accept()[0] as heard:
        while heard.recv(1):
            heard.sendall(b"!")

listener = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=answer).start()
with socket.create_connection(listener.getsockname()) as asking:
    for _ in range(300):
        asking.sendall(b"?")
        asking.recv(1)
        sum(range(10_000))
listener.close()
"""
"""Computes, and goes between threads by way of a socket, as tests do."""
POLL_S: Final = 0.002

N = TypeVar("N", int, float)


def measured() -> int:
    """How many times as long as on a quiet machine programs take now; from 1 to `FACTOR_MAX`."""
    began_s = time.monotonic()
    ends_s = began_s + FACTOR_MAX * TRIAL_QUIET_S
    command = [sys.executable, "-I", "-S", "-c", TRIAL]
    trials = [subprocess.Popen(command, stdin=subprocess.DEVNULL) for _ in range(TRIAL_PROCESSES)]
    try:
        for trial in trials:
            trial.wait(max(0.0, ends_s - time.monotonic()))
    except subprocess.TimeoutExpired:
        return FACTOR_MAX
    finally:
        for trial in trials:
            trial.kill()
            trial.wait()
    return min(FACTOR_MAX, math.ceil((time.monotonic() - began_s) / TRIAL_QUIET_S))


def _factor() -> int:
    told = os.environ.get(VARIABLE)
    if told is None:
        told = os.environ[VARIABLE] = str(measured())
    if not told.isdecimal() or int(told) < 1:
        raise ValueError(f"{VARIABLE} is {told!r}: expected a whole number from 1")
    return int(told)


FACTOR: Final = _factor()


def scaled(quiet: N) -> N:
    """A deadline of a quiet machine, in any unit, for this one. A whole number stays one."""
    return quiet * FACTOR


DEADLINE_S: Final = scaled(60.0)
"""For one condition. On a quiet machine hardly any takes a second, but a machine may become busy later."""
DEADLINE_MS: Final = DEADLINE_S * 1000
TEST_DEADLINE_S: Final = scaled(300.0)
"""For a whole test: several conditions, each of which may take long."""


def until(condition: Callable[[], bool], what: str = "the condition", deadline_s: float = DEADLINE_S) -> None:
    """Returns as soon as the condition holds; fails the test when it does not within the deadline."""
    ends_s = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < ends_s, f"not within {deadline_s:g} s: {what}"
        time.sleep(POLL_S)


async def turns(work: asyncio.Future[Any]) -> int:
    """Turns of the loop that others have until something is done."""
    found = 0
    while not work.done():
        found += 1
        await asyncio.sleep(0)
    return found


async def come_true(
    condition: Callable[[], bool], what: str = "the condition", deadline_s: float = DEADLINE_S
) -> None:
    """As `until`, while the loop goes on."""
    ends_s = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < ends_s, f"not within {deadline_s:g} s: {what}"
        await asyncio.sleep(POLL_S)
