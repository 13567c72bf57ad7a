"""The data directory: who has it, and whether its files are still where they were opened.

An open file can be written after somebody moved, replaced or deleted it, and nothing fails: the next start
opens whatever is at its path then, and what was written since is lost. So those who write ask `misplaced`
before they acknowledge. Knows files, not what is in them.
"""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from ladestrom.errors import Conflict, InvalidSetting

LOCK_FILE: Final = "lock"
LOG_FILE: Final = "log.db"
STORE_FILE: Final = "store.db"
RESTORING_FOLDER: Final = "restoring"
"""Where `ladestrom restore` puts files until all of them are there."""
WAL_SUFFIX: Final = "-wal"

_ADVICE: Final = {
    "": "put it back, or restart the server: it then opens what is there",
    WAL_SUFFIX: "restart the server; nothing is lost by that if it can end by itself (SIGTERM)",
    LOCK_FILE: "another server may have started on this directory: stop one of them",
}


class DataDirectory:
    """A data directory that this process has for itself while it is open. A context manager."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[str] | None = None
        self._known: dict[str, tuple[int, int]] = {}
        """Device and inode of each file that has to stay, by its path."""
        self._vital: list[tuple[str, int, int]] = []
        """Those without which an entry that was written would be lost."""

    def __enter__(self) -> Self:
        """Makes the directory where it is missing, and locks it.

        Raises:
            InvalidSetting: it cannot be used; says why.
            Conflict: another process has it, or a restore into it was broken off.
        """
        path = self.path
        if self._file is not None:
            return self
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = file = (path / LOCK_FILE).open("a+")
        except OSError as error:
            raise InvalidSetting(
                f"the data directory {path} cannot be used ({error.strerror}); choose another with --data"
            ) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.close()
            raise Conflict(
                f"another ladestrom runs on {path}; stop it, or choose another directory with --data"
            ) from None
        if (path / RESTORING_FOLDER).exists():
            self.close()
            raise Conflict(
                f"a restore into {path} was interrupted: remove the directory, and restore into it again"
            )
        self.keep(LOCK_FILE, vital=True)
        return self

    @classmethod
    def inherited(cls, path: Path, descriptor: int) -> Self:
        """The directory that the process which started this one has, by its open lock file.

        The lock is held as long as one of both lives.
        """
        directory = cls(path)
        directory._file = os.fdopen(descriptor, "a+")
        directory.keep(LOCK_FILE, vital=True)
        return directory

    def fileno(self) -> int:
        """Descriptor of the lock file, for a process that is started."""
        assert self._file is not None  # noqa: S101 - it is open
        return self._file.fileno()

    @property
    def lock(self) -> Path:
        """The file that is locked."""
        return self.path / LOCK_FILE

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Gives the directory up."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def keep(self, *names: str, vital: bool = False) -> None:
        """From now on these files have to be what they are now; appends ask for the vital ones."""
        for name in names:
            path = str(self.path / name)
            found = os.stat(path)  # noqa: PTH116 - as below
            self._known[path] = found.st_dev, found.st_ino
            if vital:
                self._vital.append((path, found.st_dev, found.st_ino))

    def misplaced(self) -> str:
        """Which file is no longer where it was opened, and what to do; empty where all are in place."""
        for path, (device, inode) in self._known.items():
            found = _misplaced(path, device, inode)
            if found:
                return found
        return ""

    def misplaced_vital(self) -> str:
        """Likewise of the vital files only: some 2 us each, on the way of every append."""
        for path, device, inode in self._vital:
            found = _misplaced(path, device, inode)
            if found:
                return found
        return ""


def descriptors_used_up() -> str:
    """Says so where this process can open no more files; empty where it can."""
    try:
        os.close(os.open(os.curdir, os.O_RDONLY))
    except OSError as error:
        if error.errno in {errno.EMFILE, errno.ENFILE}:
            return (
                "no file can be opened any more: raise the limit of open files (`ladestrom doctor` says to "
                "what), or lower stream.consumers_max"
            )
    return ""


def _misplaced(path: str, device: int, inode: int) -> str:
    try:
        found = os.stat(path)  # noqa: PTH116 - a Path costs as much again
    except OSError as error:
        what = "is gone" if error.errno == errno.ENOENT else f"cannot be looked at ({error.strerror})"
    else:
        if found.st_ino == inode and found.st_dev == device:
            if found.st_size or not path.endswith(".db"):
                return ""
            what = "was emptied"
        else:
            what = "is not the file any more that the server opened"
    name = os.path.basename(path)  # noqa: PTH119 - likewise
    suffix = next((suffix for suffix in _ADVICE if suffix and name.endswith(suffix)), "")
    return f"{name} {what}: {_ADVICE[suffix]}"
