"""A disk that forgets what was not synced, under SQLite: for tests of what survives a power cut.

    disk = Disk(Random(seed))
    with disk.mounted():
        ...  # connections opened here write to files of this disk, until `disk.cut()`
    disk.leave(folder)

Writes reach the real files at once, so that the process sees them, but are durable only once their file was
synced. When the power goes, every further operation fails; `leave` writes what a machine would find after
it: of each file what was synced, and of what was not any part or nothing, torn at sectors.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Final

import apsw

SECTOR_BYTES: Final = 512
VFS_NAME: Final = "forgetful"
SYSTEM_VFS: Final = "unix"
SYNCS_FOLDER: Final = apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_SUPER_JOURNAL
"""Files whose first sync makes their folder durable, too: SQLite's unix VFS does so."""

Write = tuple[int, bytes | None]
"""Offset and bytes; or the new size, and None."""


class Disk:
    """Files of one folder, as they are and as they would be after a power cut."""

    def __init__(self, random: Random) -> None:
        self.off = False
        """Whether the power is gone: every operation fails."""
        self.operations = 0
        self.cut_after: int | None = None
        """Operations until the power goes by itself."""
        self.failure: apsw.Error | None = None
        """What operations fail with, the power being on: a full disk, an error of the medium."""
        self.fails_after: int = 0
        """Operations that succeed before."""
        self.sync_s = 0.0
        """How long a sync takes."""
        self.syncs = 0
        self._random = random
        self._answers = threading.Event()
        self._answers.set()
        self._unplugged = False
        self._durable: dict[str, bytes] = {}
        self._pending: dict[str, list[Write]] = {}
        self._undead: dict[str, bytes] = {}
        """Files deleted in a folder that was not synced since."""

    @contextlib.contextmanager
    def mounted(self) -> Iterator[None]:
        """While it lasts, SQLite opens files on this disk. When it ends, the power is off for good."""
        vfs = _ForgetfulVfs(self)
        try:
            yield
        finally:
            self.unplug()
            vfs.unregister()

    def cut(self) -> None:
        """Switches the power off."""
        self.off = True

    def hang(self) -> None:
        """Operations wait from now on, as those of a disk that is away, until `answer`."""
        self._answers.clear()

    def answer(self) -> None:
        """Operations go on."""
        self._answers.set()

    def unplug(self) -> None:
        """Switches the power off and lets operations succeed without effect: connections can be closed."""
        self.cut()
        self._unplugged = True
        self.answer()

    def holds(self, folder: Path) -> None:
        """Begins with the files of a folder, all of them durable."""
        self._durable = {path.name: path.read_bytes() for path in folder.iterdir()}

    def leave(self, folder: Path, share: float | None = None) -> None:
        """Writes the files that a machine would find when the power is back.

        `share` is how much of what was not synced is there, from 0 to 1; random where it is not given.
        """
        if share is None:
            share = self._random.choice([0.0, 0.3, 0.7, 1.0])
        # Files without a name are SQLite's own for the time being, as the journal of a large statement.
        for name in sorted({*self._durable, *self._pending, *self._undead} - {""}):
            content = self._durable.get(name)
            if content is None and name in self._undead and self._random.random() < share:
                content = self._undead[name]
            survivors = [
                part for write in self._pending.get(name, ()) for part in self._survive(write, share)
            ]
            if content is not None or survivors:
                (folder / name).write_bytes(_written(content or b"", survivors))

    def _survive(self, write: Write, share: float) -> Iterator[Write]:
        offset, data = write
        if data is None:
            if self._random.random() < share:
                yield write
            return
        torn = self._random.random() < 0.2
        if not torn:
            if self._random.random() < share:
                yield write
            return
        start = 0
        while start < len(data):
            end = min(len(data), start + SECTOR_BYTES - (offset + start) % SECTOR_BYTES)
            if self._random.random() < share:
                yield offset + start, data[start:end]
            start = end

    # -- what the files call -----------------------------------------------------------------------------

    def operate(self) -> bool:
        """Counts an operation; says whether it has an effect.

        Raises:
            apsw.Error: the power is off, or the disk fails.
        """
        self._answers.wait()
        if self._unplugged:
            return False
        self.operations += 1
        if self.cut_after is not None and self.operations > self.cut_after:
            self.cut()
        if self.off:
            raise apsw.IOError("the power is off")
        if self.failure is not None:
            if self.fails_after == 0:
                raise self.failure
            self.fails_after -= 1
        return True

    def write(self, name: str, write: Write) -> None:
        """Notes a write or a truncation that is not durable yet."""
        self._pending.setdefault(name, []).append(write)

    def sync(self, name: str, flags: int) -> None:
        """Makes a file durable."""
        self.syncs += 1
        time.sleep(self.sync_s)
        if name not in self._durable and flags & SYNCS_FOLDER:
            self._undead.clear()
        self._undead.pop(name, None)
        self._durable[name] = _written(self._durable.get(name, b""), self._pending.pop(name, []))

    def delete(self, name: str, *, sync_folder: bool) -> None:
        """Deletes a file; it may come back where its folder is not synced."""
        content = self._durable.pop(name, None)
        self._pending.pop(name, None)
        if sync_folder:
            self._undead.clear()
        elif content is not None:
            self._undead[name] = content


def _written(content: bytes, writes: list[Write]) -> bytes:
    found = bytearray(content)
    for offset, data in writes:
        if data is None:
            del found[offset:]
            found.extend(bytes(offset - len(found)))
            continue
        found.extend(bytes(max(0, offset - len(found))))
        found[offset : offset + len(data)] = data
    return bytes(found)


class _ForgetfulVfs(apsw.VFS):
    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        super().__init__(VFS_NAME, SYSTEM_VFS, makedefault=True)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        return _ForgetfulFile(self._disk, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        if self._disk.operate():
            self._disk.delete(Path(filename).name, sync_folder=syncdir)
        super().xDelete(filename, syncdir)


class _ForgetfulFile(apsw.VFSFile):
    def __init__(self, disk: Disk, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        written = name.filename() if isinstance(name, apsw.URIFilename) else name
        self._disk = disk
        self._name = Path(written or "").name
        self._flags = flags[0]
        super().__init__(SYSTEM_VFS, name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        if self._disk.operate():
            self._disk.write(self._name, (offset, bytes(data)))
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        if self._disk.operate():
            self._disk.write(self._name, (newsize, None))
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802
        # The real file needs no sync: nobody cuts the power of the machine that runs the tests.
        if self._disk.operate():
            self._disk.sync(self._name, self._flags)
