"""A PostgreSQL server for tests: started when the first test asks for it, ended with the process that runs them.

    server = postgres.server()          skips the test where PostgreSQL or its driver is not here
    url = server.new_address()          where nothing is yet, on a Unix socket

PostgreSQL refuses to run as root: started by root, it runs as the user `postgres`, else `nobody`.
"""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
from tests import programs
from tests.patience import DEADLINE_S, until

NEEDED: Final = ("initdb", "postgres", "psql")
USER: Final = "ladestrom"
CONFIGURATION: Final = """
listen_addresses = ''
unix_socket_directories = '{folder}'
unix_socket_permissions = 0777
max_connections = 60
shared_buffers = 32MB
# Files in the data directory, which go with it.
dynamic_shared_memory_type = mmap
autovacuum = off
checkpoint_timeout = 1h
logging_collector = off
"""
_numbers = itertools.count(1)


class Server:
    """One server, in a folder of its own."""

    def __init__(self, programs_folder: Path) -> None:
        self._programs = programs_folder
        self._user: dict[str, Any] = {}
        if os.geteuid() == 0:
            user = _unprivileged()
            self._user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        self.folder = Path(tempfile.mkdtemp(prefix="ladestrom-pg-"))
        if self._user:
            os.chown(self.folder, self._user["user"], self._user["group"])
        self.folder.chmod(0o755)
        self.data = self.folder / "data"
        self._output = (self.folder / "output").open("w")
        self.process: programs.Program | None = None
        self._run(
            "initdb",
            "--no-sync",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "-U",
            USER,
            "-D",
            self.data,
        )
        with (self.data / "postgresql.conf").open("a") as file:
            file.write(CONFIGURATION.format(folder=self.folder))

    def start(self, **settings: str) -> None:
        """Starts it; returns once it answers."""
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        self.process = programs.begin(
            [self._programs / "postgres", "-D", self.data, *options],
            cwd=self.folder,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            **self._user,
        )
        until(self._answers, "PostgreSQL answers")

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """Ends it: SIGINT closes it as it should be, SIGQUIT is as good as a crash."""
        if self.process is None:
            return
        process, self.process = self.process, None
        process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(DEADLINE_S)
        programs.end(process)

    def remove(self) -> None:
        """Ends it and deletes all that it had."""
        self.stop(signal.SIGQUIT)
        self._output.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def new_address(self) -> str:
        """The address of a schema that is not there yet: a database of its own for each test is 300 files."""
        return f"{self.address}&schema=t{next(_numbers)}"

    @property
    def address(self) -> str:
        """The address of its database."""
        return f"postgresql://{USER}@/postgres?host={self.folder}"

    def sql(self, *statements: str, database: str = "postgres") -> str:
        """Runs statements, each in a transaction of its own; gives what they say."""
        words = [word for statement in statements for word in ("-c", statement)]
        return self._run(
            "psql", "-qAtX", "-v", "ON_ERROR_STOP=1", "-U", USER, "-h", self.folder, *words, database
        )

    def _answers(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise RuntimeError((self.folder / "output").read_text())
        try:
            return (self.data / "postmaster.pid").read_text().rstrip().endswith("ready")
        except FileNotFoundError:
            return False

    def _run(self, name: str, *words: str | Path) -> str:
        done = programs.run([self._programs / name, *map(str, words)], cwd=self.folder, **self._user)
        if done.returncode:
            raise RuntimeError(done.stderr)
        return done.stdout


@cache
def found() -> Path | None:
    """The folder of PostgreSQL's programs, the newest where Debian has several; None where there is none."""
    folders = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version, reverse=True)
    return next((each for each in folders if all((each / name).exists() for name in NEEDED)), None)


def server() -> Server:
    """The server of this process; skips the test where there can be none."""
    reason = missing()
    if reason:
        pytest.skip(reason)
    return _server()


def missing() -> str:
    """Why there can be no server here; empty where there can be one."""
    if importlib.util.find_spec("asyncpg") is None:
        return "no PostgreSQL here: the package asyncpg is not installed"
    if found() is None:
        return "no PostgreSQL here: its programs are not installed"
    if os.geteuid() == 0 and _unprivileged() is None:
        return "no PostgreSQL here: it does not run as root, and there is no other user"
    return ""


def remove() -> None:
    """Ends the server of this process, where there is one."""
    if _server.cache_info().currsize:
        _server().remove()
        _server.cache_clear()


@cache
def _server() -> Server:
    folder = found()
    assert folder is not None
    made = Server(folder)
    try:
        made.start()
    except BaseException:
        made.remove()
        raise
    return made


def _unprivileged() -> Any:
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    return None


def _version(folder: Path) -> int:
    return int(folder.parent.name) if folder.parent.name.isdigit() else 0
