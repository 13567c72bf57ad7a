"""What the documents' commands need of systemd: `systemctl.py ROOT COMMAND UNIT`.

Units are read from `ROOT/etc/systemd/system`. A service runs as the user who asks, with the environment of this
program and that of its unit, in a session of its own. It is not started again when it ends. A timer is only taken
note of. What a service prints is in `ROOT/run/UNIT.log`; as long as it lives, it holds the lock of `ROOT/run/UNIT`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final, TextIO

UNITS: Final = "etc/systemd/system"
INACTIVE: Final = 3
"""Exit code of `status` and `is-active` for a unit that does not run."""
LINES_SHOWN: Final = 10
POLL_S: Final = 0.02


class Unit:
    """A service or a timer."""

    def __init__(self, root: Path, name: str) -> None:
        self.name = name if "." in name else f"{name}.service"
        self._root = root
        self._file = root / UNITS / self.name
        if not self._file.is_file():
            sys.exit(f"Unit {self.name} could not be found.")
        self._settings = re.findall(r"^(\w+)=(.*)$", self._file.read_text(), re.MULTILINE)
        self._lock = root / "run" / self.name
        self._log = root / "run" / f"{self.name}.log"
        self._enabled = root / "run" / f"{self.name}.enabled"
        self._lock.parent.mkdir(exist_ok=True)
        self._lock.touch()

    def is_active(self) -> bool:
        """Whether it runs; a timer, whether it was started."""
        if self.name.endswith(".timer"):
            return self._lock.read_text() != ""
        with self._lock.open() as lock:
            return not _taken(lock)

    def enable(self) -> None:
        """Notes that it starts with the machine."""
        if not self._values("WantedBy"):
            sys.exit(f"The unit file {self.name} has no installation config (WantedBy=).")
        self._enabled.touch()

    def start(self) -> None:
        """Starts it; one of the type `oneshot` has ended then."""
        if self.name.endswith(".timer"):
            Unit(self._root, self.name.replace(".timer", ".service"))
            self._lock.write_text("started")
        elif self._values("Type") == ["oneshot"]:
            self._run()
        else:
            self._begin()

    def stop(self, by: str = "SIGTERM") -> None:
        """Ends it, and returns when it has ended."""
        if self.name.endswith(".timer"):
            self._lock.write_text("")
        elif self.is_active():
            os.killpg(int(self._lock.read_text()), signal.Signals[by])
            while self.is_active():
                time.sleep(POLL_S)

    def restart(self) -> None:
        """Ends and starts it."""
        self.stop(*self._values("RestartKillSignal"))
        self.start()

    def kill(self) -> None:
        """Ends a service at once."""
        if not self.name.endswith(".timer"):
            with contextlib.suppress(ProcessLookupError):
                self.stop("SIGKILL")

    def status(self) -> None:
        """Prints whether it runs, and what it printed last."""
        is_active = self.is_active()
        enabled = "enabled" if self._enabled.exists() else "disabled"
        running = "active (waiting)" if self.name.endswith(".timer") else "active (running)"
        print(f"● {self.name} - {self._values('Description')[0]}")
        print(f"     Loaded: loaded ({self._file}; {enabled})")
        print(f"     Active: {running if is_active else 'inactive (dead)'}")
        if self._log.exists():
            print("", *self._log.read_text(errors="replace").splitlines()[-LINES_SHOWN:], sep="\n")
        sys.exit(0 if is_active else INACTIVE)

    def _values(self, setting: str) -> list[str]:
        return [value for name, value in self._settings if name == setting]

    def _commands(self, setting: str) -> list[list[str]]:
        lines = (value.replace("$$", "$").replace("%%", "%") for value in self._values(setting))
        return [shlex.split(line) for line in lines]

    def _environment(self) -> dict[str, str]:
        words = [word for value in self._values("Environment") for word in shlex.split(value)]
        return {**os.environ, **dict(word.split("=", 1) for word in words)}

    def _run(self) -> None:
        with self._log.open("a") as log:
            for command in self._commands("ExecStart") + self._commands("ExecStartPost"):
                done = subprocess.run(
                    command, env=self._environment(), stdout=log, stderr=log, cwd="/", check=False
                )
                if done.returncode != 0:
                    print(self._log.read_text(), file=sys.stderr)
                    sys.exit(
                        f"Job for {self.name} failed: {shlex.join(command)} ended with {done.returncode}."
                    )

    def _begin(self) -> None:
        (command,) = self._commands("ExecStart")
        with self._lock.open("r+") as lock, self._log.open("a") as log:
            if not _taken(lock):
                return
            for folder in self._values("StateDirectory"):
                (self._root / "var" / "lib" / folder).mkdir(mode=0o700, parents=True, exist_ok=True)
            service = subprocess.Popen(
                command,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
                pass_fds=[lock.fileno()],
            )
            lock.truncate()
            lock.write(str(service.pid))


def kill_all(root: Path) -> None:
    """Ends all services at once."""
    for file in (root / UNITS).glob("*.service"):
        Unit(root, file.name).kill()


def _taken(lock: TextIO) -> bool:
    """Whether nobody else has the lock; it is ours then, and that of the programs which get its descriptor."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def main(root: Path, words: list[str]) -> None:
    """Does what a command says."""
    options = {word for word in words if word.startswith("-")}
    command, *names = [word for word in words if word not in options]
    if options - {"--now", "--no-pager"}:
        sys.exit(f"systemctl of the tests does not know {' '.join(sorted(options))}")
    for unit in [Unit(root, name) for name in names]:
        match command:
            case "enable":
                unit.enable()
                if "--now" in options:
                    unit.start()
            case "start":
                unit.start()
            case "stop":
                unit.stop()
            case "restart":
                unit.restart()
            case "status":
                unit.status()
            case "is-active":
                print("active" if unit.is_active() else "inactive")
                sys.exit(0 if unit.is_active() else INACTIVE)
            case _:
                sys.exit(f"systemctl of the tests does not know {command}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
