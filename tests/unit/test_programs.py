"""What tests start ends with them: after a failure, a timeout, and when the processes that run them are killed."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest
from tests.patience import until
from tests.programs import PIPE, Program, TimeoutExpired, program, program_beside, run
from tests.warden import marked

ROOT = Path(__file__).resolve().parents[2]

SLEEP = [sys.executable, "-c", "import time; print('runs', flush=True); time.sleep(3600)"]
FAMILY = f"""
import subprocess, sys
child = subprocess.Popen({SLEEP!r}, stdout=subprocess.DEVNULL)
print(child.pid, flush=True)
child.wait()
"""
"""A program with a child."""

STARTS = f"""
import subprocess, time
from tests.programs import MARK, PIPE, begin
process = begin([{sys.executable!r}, "-c", {FAMILY!r}], stdout=PIPE)
stray = subprocess.Popen({SLEEP!r}, stdout=subprocess.DEVNULL, start_new_session=True)
print(MARK, process.pid, process.stdout.readline().strip(), stray.pid, flush=True)
time.sleep(3600)
"""
"""A process that starts programs: one with a child, and one by other means, in a session of its own."""

TESTS = f"""
import os, sys, time
sys.path.insert(0, {str(ROOT)!r})
from tests.programs import MARK, PIPE, program

def test_that_hangs():
    with program({SLEEP!r}, stdout=PIPE) as process:
        process.stdout.readline()
        with open("pids", "w") as file:
            file.write(f"{{MARK}} {{os.getpid()}} {{process.pid}}\\n")
        time.sleep(3600)
"""

PYTEST = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
PLAIN = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
"""Only the plugins that are named: others take long to import."""


def lives(pid: int) -> bool:
    """Whether a process runs; one that has ended and that nobody has waited for does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def first_line(process: Program) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_program_and_its_children_end_with_the_block_that_fails() -> None:
    pids = []

    def fails() -> None:
        with program([sys.executable, "-c", FAMILY], stdout=PIPE) as process:
            pids.extend([process.pid, int(first_line(process))])
            assert all(map(lives, pids))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    until(lambda: not any(map(lives, pids)), "both have ended")


async def test_a_program_beside_a_loop_ends_when_the_task_is_cancelled() -> None:
    begun: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def work() -> None:
        async with program_beside(SLEEP) as process:
            begun.set_result(process.pid)
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    pid = await begun
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not lives(pid)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_program_heeds_a_signal_that_whoever_runs_the_tests_ignores(number: signal.Signals) -> None:
    asks = f"import signal; print(signal.getsignal({number.value}) is signal.SIG_IGN)"
    starts = f"from tests.programs import run; print(run([{sys.executable!r}, '-c', {asks!r}]).stdout)"
    ignoring = ["sh", "-c", f'trap "" {number.name.removeprefix("SIG")}; exec "$@"', "sh"]
    assert run([*ignoring, sys.executable, "-c", asks]).stdout.strip() == "True"
    assert run([*ignoring, sys.executable, "-c", starts], cwd=ROOT, check=True).stdout.strip() == "False"


def test_a_program_that_does_not_end_in_time_is_ended() -> None:
    with pytest.raises(TimeoutExpired) as raised:
        run(SLEEP, deadline_s=0.01)
    assert raised.value.cmd == SLEEP


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="no /proc here: nothing watches over what is started")
class TestWhenTheProcessIsKilled:
    def test_all_that_it_has_started_ends(self) -> None:
        with program([sys.executable, "-c", STARTS], stdout=PIPE, cwd=ROOT) as process:
            mark, *pids = first_line(process).split()
            assert all(lives(int(pid)) for pid in pids)
            os.kill(process.pid, signal.SIGKILL)
            until(lambda: not any(lives(int(pid)) for pid in pids), "all have ended")
            assert marked(mark) == {}

    @pytest.mark.parametrize(
        ("victim", "number"),
        [
            ("who runs pytest", signal.SIGINT),
            ("who runs pytest", signal.SIGTERM),
            ("who runs pytest", signal.SIGKILL),
            ("a worker of it", signal.SIGKILL),
        ],
    )
    def test_what_its_tests_have_started_ends(
        self, tmp_path: Path, number: signal.Signals, victim: str
    ) -> None:
        (tmp_path / "test_hanging.py").write_text(TESTS)
        command = [*PYTEST, "-p", "xdist", "-n", "1", "test_hanging.py"]
        with program(command, cwd=tmp_path, env=PLAIN, stdout=PIPE) as pytest_run:
            pids = tmp_path / "pids"
            until(lambda: pids.exists() and pids.read_text().endswith("\n"), "the test hangs")
            _, worker, started = pids.read_text().split()
            assert lives(int(started))
            os.kill(pytest_run.pid if victim == "who runs pytest" else int(worker), number)
            until(lambda: not lives(int(started)), "the program has ended")

    def test_what_a_test_has_started_ends_with_its_timeout(self, tmp_path: Path) -> None:
        (tmp_path / "test_hanging.py").write_text(TESTS)
        command = [*PYTEST, "-p", "pytest_timeout", "--timeout", "1", "test_hanging.py"]
        done = run(command, cwd=tmp_path, env=PLAIN)
        assert "1 failed" in done.stdout, done.stdout
        _, _, started = (tmp_path / "pids").read_text().split()
        assert not lives(int(started))
