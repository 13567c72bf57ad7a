"""Programs that tests start. They end with the test that started them, whatever becomes of it.

    with program([*LADESTROM, "serve"], stdout=PIPE, text=True) as process:   killed at the end of the block
    async with program_beside([*LADESTROM, "tail"], stdout=PIPE) as process:  the same, for a loop
    done = run([node, "--version"])                                           to its end, or the deadline's

Each leads a session of its own, and is killed with all its group. When the process that runs the tests is killed
itself, its warden (`tests/warden.py`) kills what it has started.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
from tests import warden
from tests.patience import DEADLINE_S

DEVNULL: Final = subprocess.DEVNULL
PIPE: Final = subprocess.PIPE
STDOUT: Final = subprocess.STDOUT
TimeoutExpired = subprocess.TimeoutExpired

Done = subprocess.CompletedProcess[str]
Program = subprocess.Popen[str]

if threading.current_thread() is threading.main_thread():
    # What a shell has ignored in the background, programs would ignore, too. What is caught, they do not inherit.
    for _number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
        if signal.getsignal(_number) is signal.SIG_IGN:
            signal.signal(_number, lambda *_: None)

MARK: Final = f"{os.getpid()}-{secrets.token_hex(8)}"
"""Of this process. Others that it starts, by whatever library, inherit it."""
os.environ[warden.VARIABLE] = MARK


@cache
def watch() -> None:
    """Starts this process's warden."""
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", warden.__file__, MARK],
        stdin=PIPE,
        stdout=DEVNULL,
        stderr=DEVNULL,
        env={},
        start_new_session=True,
    )
    atexit.register(process.communicate, timeout=DEADLINE_S)


def living() -> dict[int, str]:
    """Process ids and commands of what this process has started and what has not ended."""
    return warden.marked(MARK)


def begin(command: Sequence[str | Path], *, env: Mapping[str, str] | None = None, **options: Any) -> Program:
    """Starts a program; whoever calls this also calls `end`. Its streams are text, its input is empty."""
    watch()
    return subprocess.Popen(
        [str(word) for word in command],
        env=_marked(env),
        text=True,
        start_new_session=True,
        **{"stdin": DEVNULL, **options},
    )


def kill(process: Program) -> None:
    """Kills a program and its children, where they live. What was printed can still be read."""
    _kill(process.pid)
    process.wait()


def end(process: Program) -> None:
    """Kills a program and its children, where they live, and closes what was read and written."""
    kill(process)
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()


@contextlib.contextmanager
def program(
    command: Sequence[str | Path], *, env: Mapping[str, str] | None = None, **options: Any
) -> Iterator[Program]:
    """A program that runs during the block."""
    process = begin(command, env=env, **options)
    try:
        yield process
    finally:
        end(process)


def run(
    command: Sequence[str | Path],
    *,
    input: str | None = None,  # noqa: A002 - its name in `subprocess.run`
    deadline_s: float = DEADLINE_S,
    check: bool = False,
    **options: Any,
) -> Done:
    """Runs a program to its end.

    Raises:
        subprocess.TimeoutExpired: it does not end within the deadline.
        subprocess.CalledProcessError: it ends with another code than 0, and `check` wants that.
    """
    given = {"stdout": PIPE, "stderr": PIPE, **({} if input is None else {"stdin": PIPE}), **options}
    with program(command, **given) as process:
        out, errors = process.communicate(input, deadline_s)
        done = Done(process.args, process.returncode, out, errors)
    if check:
        done.check_returncode()
    return done


def install(npm: str, how: str, folder: Path, *options: str) -> None:
    """Has npm fetch what a folder's `package.json` names; skips the test where it does not get it."""
    command = [npm, how, "--no-audit", "--no-fund", "--prefer-offline", "--fetch-retries=0", *options]
    try:
        done = run(command, cwd=folder)
    except TimeoutExpired:
        pytest.skip(f"npm {how} did not end in time")
    if done.returncode != 0:
        pytest.skip(f"npm {how} fails here: {done.stderr[-200:]}")


@contextlib.asynccontextmanager
async def program_beside(
    command: Sequence[str | Path], *, env: Mapping[str, str] | None = None, **options: Any
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A program that runs during the block, beside this loop. Its streams are bytes."""
    watch()
    process = await asyncio.create_subprocess_exec(
        *map(str, command), env=_marked(env), start_new_session=True, **{"stdin": DEVNULL, **options}
    )
    try:
        yield process
    finally:
        _kill(process.pid)
        await process.wait()


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def _marked(env: Mapping[str, str] | None) -> dict[str, str]:
    return {**(os.environ if env is None else env), warden.VARIABLE: MARK}
