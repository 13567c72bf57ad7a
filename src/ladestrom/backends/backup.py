"""Backup of a data directory while a server writes it, and restore into a new one.

A backup is a folder: copies of the log, the store and the quarantine, and `manifest.json`, which is written
last and has a checksum of everything. So what was broken off is never taken for a backup.

The log and the store belong together, and both change while they are copied. If the store were the newer one,
a source could remember a position whose content the log does not have, and would never ask for it again. If
the log were the newer one, it could have EVSEs whose stations the store does not know, and a start would take
them off the board. So both are pinned at one moment: first a read transaction of the store, which lets nobody
commit while it lasts, then one of the log. What the store has at that moment and the log has not, the server
has not taken yet; it does so at the next start. The store is copied first, as its writers wait; the log's
writer does not wait for readers.

A restored log goes on with its numbers under a new epoch: what the server gave out after the backup is not
given out again, and a consumer that comes with a position of the old epoch gets a snapshot.

Runs in a process of its own: SQLite's locks are the process's, and a server has these files open with two
libraries. Only what the server has written is in a backup; confirmations since the last checkpoint of the
board are in its memory.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import apsw
import msgspec

from ladestrom import __version__
from ladestrom.backends import log_rows
from ladestrom.backends.data_directory import (
    LOCK_FILE,
    LOG_FILE,
    RESTORING_FOLDER,
    STORE_FILE,
    DataDirectory,
)
from ladestrom.backends.database import SCHEMA
from ladestrom.backends.encoded import new_epoch
from ladestrom.backends.log_rows import rows
from ladestrom.errors import Conflict, InvalidBackup, LogDamaged, NotFound, NotReady

FORM: Final = 1
"""Version of the backup's form; a newer one is refused."""
MANIFEST_FILE: Final = "manifest.json"
QUARANTINE_FOLDER: Final = "quarantine"
UNFINISHED_SUFFIX: Final = ".new"
"""Of a delivery that is being written to the quarantine."""
PAGES_PER_STEP: Final = 2_000
"""Some 8 MB: a signal is heard between two steps."""
CHUNK_BYTES: Final = 1024 * 1024
BUSY_MS_MAX: Final = 30_000
"""For the end of another program's transaction: an import of a country takes some seconds."""
MANIFEST_BYTES_MAX: Final = 64 * 1024 * 1024
"""A file of the quarantine has a line of some 200 bytes."""
MIB: Final = 1024 * 1024
NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class CopiedFile(msgspec.Struct, frozen=True):
    """One file of a backup."""

    name: str
    """Its path in the backup, and in the data directory."""
    bytes: int
    sha256: str


class LogExtent(msgspec.Struct, frozen=True):
    """What the log of a backup has."""

    format: int
    epoch: str
    first: int
    last: int
    """Sequence of the newest entry: the position at which the backup stands."""
    checkpoint: int
    evses: int
    """On the board."""


class StoreExtent(msgspec.Struct, frozen=True):
    """What the store of a backup has."""

    schema: str
    revision: int
    tables: dict[str, int]
    """Rows of each."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup is, and what has to be in it."""

    form: int
    version: str
    """Of the program that made it."""
    made_at: str
    log: LogExtent
    store: StoreExtent
    files: tuple[CopiedFile, ...]
    sha256: str = ""
    """Of the manifest without this member."""

    @property
    def position(self) -> str:
        """At which the backup stands."""
        return f"{self.log.epoch}-{self.log.last}"

    @property
    def unread(self) -> int:
        """Files of the quarantine."""
        return sum(file.name.startswith(f"{QUARANTINE_FOLDER}/") for file in self.files)

    @property
    def total_bytes(self) -> int:
        """Of all files."""
        return sum(file.bytes for file in self.files)


class _Form(msgspec.Struct):
    form: int


def make(data: Path, target: Path) -> Manifest:
    """Copies a data directory, which a server may be writing, to `target`, which is made.

    Files are for their owner only; made by root, they belong to the owner of the data.

    Raises:
        NotFound: there is no log or no store.
        Conflict: `target` is there and not empty, or lies in the data directory.
        LogDamaged, NotReady: the log or the store is damaged, or cannot be copied now; nothing is left.
    """
    for name in (LOG_FILE, STORE_FILE):
        if not (data / name).exists():
            raise NotFound(f"{data} has no {name}: there is nothing to back up; name the data with --data")
    if target.resolve().is_relative_to(data.resolve()):
        raise Conflict(f"{target} is inside the data directory {data}: choose a directory elsewhere")
    owner = (data / LOG_FILE).stat()
    with _made(target, owner), _told(target), _claimed(target):
        _require_room(target, [*data.glob(f"{LOG_FILE}*"), data / STORE_FILE])
        _copy_databases(data, target)
        _copy_quarantine(data, target)
        log = _log_extent(target / LOG_FILE)
        store = _store_extent(target / STORE_FILE)
        files = tuple(_finish(target, path, owner) for path in _files(target))
        manifest = Manifest(
            form=FORM,
            version=__version__,
            made_at=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            log=log,
            store=store,
            files=files,
        )
        manifest = msgspec.structs.replace(manifest, sha256=_checksum(manifest))
        _write_manifest(target, manifest, owner)
    return manifest


def restore(backup: Path, target: Path) -> tuple[Manifest, str]:
    """Makes a data directory of a backup; gives the manifest, and the epoch of the restored log.

    Raises:
        InvalidBackup: it is no backup, is not whole, is damaged, or is of a newer program.
        Conflict: `target` is there and not empty, or a server has it.
        NotReady: it cannot be written; nothing is left.
    """
    manifest = read_manifest(backup)
    if target.resolve().is_relative_to(backup.resolve()):
        raise Conflict(f"{target} is inside the backup {backup}: choose a directory elsewhere")
    owner = (backup / LOG_FILE).stat()
    with _made(target, owner), _told(target), DataDirectory(target) as directory, _cleared(target):
        _require_empty(target)
        folder = target / RESTORING_FOLDER
        folder.mkdir(mode=0o700)
        _require_room(target, [backup / file.name for file in manifest.files])
        for file in manifest.files:
            _copy_checked(backup, folder, file)
        _verify(folder, manifest)
        epoch = _renew_epoch(folder / LOG_FILE, manifest.log.epoch)
        for path in _files(folder):
            _finish(folder, path, owner)
        _chown(directory.lock, owner)
        # A server that finds the folder of a restore does not start, so that none finds half of these.
        for name in (STORE_FILE, QUARANTINE_FOLDER, LOG_FILE):
            if (folder / name).exists():
                (folder / name).rename(target / name)
        _sync_folder(target)
        folder.rmdir()
        _sync_folder(target)
    return manifest, epoch


def read_manifest(backup: Path) -> Manifest:
    """What a backup says of itself, checked as far as that goes without reading its files.

    Raises:
        InvalidBackup: it is no backup, is not whole, is damaged, or is of a newer program.
    """
    path = backup / MANIFEST_FILE
    try:
        with path.open("rb") as file:
            content = file.read(MANIFEST_BYTES_MAX)
    except FileNotFoundError:
        raise InvalidBackup(
            f"{backup} has no {MANIFEST_FILE}: it is not a backup, or an incomplete one; make another one"
        ) from None
    except OSError as error:
        raise InvalidBackup(f"{path} cannot be read ({error.strerror})") from error
    try:
        form = msgspec.json.decode(content, type=_Form).form
        if form > FORM:
            raise InvalidBackup(
                f"{backup} has form {form}, and this program knows forms up to {FORM}: use a newer program"
            )
        manifest = msgspec.json.decode(content, type=Manifest)
    except msgspec.MsgspecError as error:
        raise InvalidBackup(f"{path} is damaged: {error}") from error
    if manifest.sha256 != _checksum(manifest):
        raise InvalidBackup(f"{path} is damaged: its checksum does not match")
    if manifest.log.format not in log_rows.FORMATS_READ or manifest.store.schema > SCHEMA:
        raise InvalidBackup(
            f"{backup} was made by ladestrom {manifest.version}, whose files this program does not know: "
            "use that version, or a newer one"
        )
    _require_files(backup, manifest)
    return manifest


def _require_files(backup: Path, manifest: Manifest) -> None:
    names = {each.name for each in manifest.files}
    if not {LOG_FILE, STORE_FILE} <= names or not all(map(_is_expected, names)):
        raise InvalidBackup(f"{backup / MANIFEST_FILE} does not name the files of a backup; use another one")
    for each in manifest.files:
        found = backup / each.name
        size = found.stat().st_size if found.is_file() and not found.is_symlink() else -1
        if size != each.bytes:
            what = "is missing" if size < 0 else f"has {size} bytes instead of {each.bytes}"
            raise InvalidBackup(f"{found} {what}: the backup is incomplete; use another one")


# -- databases ---------------------------------------------------------------------------------------------


def _copy_databases(data: Path, target: Path) -> None:
    """Copies the store and the log as they are at one moment."""
    with (
        _pinned(data / STORE_FILE, "SELECT count(*) FROM sqlite_schema") as store,
        _pinned(data / LOG_FILE, "SELECT count(*) FROM meta") as log,
    ):
        _copy_database(store, target / STORE_FILE, pages=-1)
        # Whoever writes the store has waited until here.
        store.execute("ROLLBACK")
        _copy_database(log, target / LOG_FILE, pages=PAGES_PER_STEP)


@contextlib.contextmanager
def _pinned(path: Path, query: str) -> Iterator[apsw.Connection]:
    """A connection whose read transaction sees the database as it is now, whatever is written meanwhile."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        connection.set_busy_timeout(BUSY_MS_MAX)
        # Whatever a server left in its write-ahead log stays there.
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        connection.execute("BEGIN")
        rows(connection, query)
        yield connection
    finally:
        connection.close()


def _copy_database(source: apsw.Connection, path: Path, pages: int) -> None:
    path.touch(mode=0o600)
    copy = apsw.Connection(str(path))
    try:
        # Nobody sees the copy before it is synced as a whole.
        copy.execute("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF")
        with copy.backup("main", source, "main") as backup:
            while not backup.done:
                backup.step(pages)
    finally:
        copy.close()


@contextlib.contextmanager
def _immutable(path: Path) -> Iterator[apsw.Connection]:
    """A connection to a file that nobody writes, and beside which nothing may be made."""
    flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
    connection = apsw.Connection(f"{path.absolute().as_uri()}?mode=ro&immutable=1", flags=flags)
    try:
        yield connection
    finally:
        connection.close()


def _log_extent(path: Path) -> LogExtent:
    """Reads a copy of the log as a whole, and counts what is in it.

    Raises:
        LogDamaged: it cannot be recovered from.
    """
    with _immutable(path) as connection:
        _require_integrity(connection)
        log_rows.check_format(connection, path.name)
        meta = log_rows.meta(connection)
        first, last = log_rows.extent(connection)
        after = first - 1
        while after < last:
            after = log_rows.entries(connection, after, last, log_rows.ENTRIES_AT_ONCE)[-1].seq
        found, _ = log_rows.recovered(connection, meta.checkpoint, last)
        return LogExtent(meta.format, meta.epoch, first, last, meta.checkpoint, len(found.rows))


def _store_extent(path: Path) -> StoreExtent:
    with _immutable(path) as connection:
        _require_integrity(connection)
        if rows(connection, "PRAGMA foreign_key_check"):
            raise LogDamaged("store.db has rows that refer to nothing")
        ((schema,),) = rows(connection, "SELECT version_num FROM alembic_version")
        ((revision,),) = rows(connection, "SELECT value FROM revision")
        tables = {
            name: int(rows(connection, f'SELECT count(*) FROM "{name}"')[0][0])  # noqa: S608 - of the schema
            for (name,) in rows(
                connection, "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name"
            )
        }
        return StoreExtent(str(schema), int(revision), tables)


def _require_integrity(connection: apsw.Connection) -> None:
    found = rows(connection, "PRAGMA integrity_check(1)")
    if found != [("ok",)]:
        raise LogDamaged(f"{Path(connection.filename).name} is damaged: {found[0][0]}")


def _renew_epoch(path: Path, before: str) -> str:
    """Gives a log another epoch, and marks it as closed: no machine went down under this one."""
    epoch = before
    while epoch == before:
        epoch = new_epoch()
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        with connection:
            connection.executemany(
                "INSERT OR REPLACE INTO meta VALUES (?, ?)",
                [("epoch", epoch), ("session", log_rows.CLOSED)],
            )
    finally:
        connection.close()
    return epoch


def _verify(folder: Path, manifest: Manifest) -> None:
    """Refuses copies that are not what the manifest says.

    Raises:
        InvalidBackup: says what differs.
    """
    try:
        log, store = _log_extent(folder / LOG_FILE), _store_extent(folder / STORE_FILE)
    except (LogDamaged, apsw.Error) as error:
        raise InvalidBackup(f"the backup is damaged: {error}; use another one") from error
    if (log, store) != (manifest.log, manifest.store):
        raise InvalidBackup("the backup has another number of rows than its manifest says; use another one")


# -- files -------------------------------------------------------------------------------------------------


def _copy_quarantine(data: Path, target: Path) -> None:
    """Copies what is kept there now; the server may drop some of it meanwhile."""
    for path in sorted((data / QUARANTINE_FOLDER).glob("*/*")):
        if path.suffix == UNFINISHED_SUFFIX:
            continue
        beside = target / path.relative_to(data)
        with contextlib.suppress(FileNotFoundError):
            content = path.read_bytes()
            if content:
                beside.parent.mkdir(parents=True, exist_ok=True)
                beside.write_bytes(content)


def _copy_checked(backup: Path, folder: Path, file: CopiedFile) -> None:
    path = folder / file.name
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with (backup / file.name).open("rb") as source, path.open("xb") as copy:
        while chunk := source.read(CHUNK_BYTES):
            digest.update(chunk)
            copy.write(chunk)
    if digest.hexdigest() != file.sha256:
        raise InvalidBackup(
            f"{backup / file.name} is damaged: its checksum does not match; use another backup"
        )


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and MANIFEST_FILE not in path.name)


def _finish(folder: Path, path: Path, owner: os.stat_result) -> CopiedFile:
    """Makes a file durable, and its owner's only."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        os.fchmod(file.fileno(), 0o600)
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
        os.fsync(file.fileno())
        size = file.tell()
    _chown(path, owner)
    for each in path.parents[: len(path.relative_to(folder).parts) - 1]:
        each.chmod(0o700)
        _chown(each, owner)
    _sync_folder(path.parent)
    return CopiedFile(path.relative_to(folder).as_posix(), size, digest.hexdigest())


def _write_manifest(target: Path, manifest: Manifest, owner: os.stat_result) -> None:
    beside = target / f"{MANIFEST_FILE}.part"
    with beside.open("wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    _chown(beside, owner)
    beside.rename(target / MANIFEST_FILE)
    _sync_folder(target)


def _checksum(manifest: Manifest) -> str:
    return hashlib.sha256(msgspec.json.encode(msgspec.structs.replace(manifest, sha256=""))).hexdigest()


def _is_expected(name: str) -> bool:
    """Whether a file of a manifest has a name that a backup gives."""
    parts = Path(name).parts
    is_quarantined = len(parts) == 3 and parts[0] == QUARANTINE_FOLDER  # noqa: PLR2004 - source and delivery
    return name in {LOG_FILE, STORE_FILE} or (is_quarantined and ".." not in parts)


def _require_empty(target: Path) -> None:
    if (target / RESTORING_FOLDER).exists():
        raise Conflict(f"a restore into {target} was interrupted: remove the directory first")
    if not target.is_dir() or any(path.name != LOCK_FILE for path in target.iterdir()):
        raise Conflict(f"{target} is there already and not empty: choose a directory that does not exist")


@contextlib.contextmanager
def _made(target: Path, owner: os.stat_result) -> Iterator[None]:
    """Makes a folder, or takes one that is empty; where what follows fails, it is as it was before.

    Raises:
        Conflict: it is there and not empty.
        NotReady: it cannot be made.
    """
    was_there = target.exists()
    if was_there:
        _require_empty(target)
    try:
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        target.chmod(0o700)
        _chown(target, owner)
    except OSError as error:
        raise NotReady(f"{target} cannot be made ({error.strerror})") from error
    try:
        yield
    except BaseException:
        if not was_there:
            with contextlib.suppress(OSError):
                target.rmdir()
        raise


@contextlib.contextmanager
def _claimed(target: Path) -> Iterator[None]:
    """Takes an empty folder for one backup: of two into the same one, the second finds the file."""
    claim = target / f"{MANIFEST_FILE}.part"
    try:
        claim.touch(mode=0o600, exist_ok=False)
    except FileExistsError:
        raise Conflict(f"another backup is being made in {target}") from None
    if any(path != claim for path in target.iterdir()):
        claim.unlink()
        raise Conflict(f"another backup was made in {target} meanwhile")
    with _cleared(target):
        yield


@contextlib.contextmanager
def _cleared(target: Path) -> Iterator[None]:
    """Removes everything in a folder that is ours alone, where what follows fails."""
    try:
        yield
    except BaseException:
        for path in target.iterdir():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _told(target: Path) -> Iterator[None]:
    """Says in words why something could not be copied."""
    try:
        yield
    except apsw.FullError as error:
        raise _no_room(target) from error
    except (apsw.CorruptError, apsw.NotADBError) as error:
        raise LogDamaged(
            f"the log or the store is damaged ({error}); nothing was left in {target}"
        ) from error
    except apsw.BusyError as error:
        raise NotReady(
            f"another program has held the store for {BUSY_MS_MAX // 1000} s; try again when it has ended"
        ) from error
    except apsw.Error as error:
        raise NotReady(
            f"the log or the store cannot be copied ({error}); nothing was left in {target}"
        ) from error
    except OSError as error:
        if error.errno in NO_ROOM:
            raise _no_room(target) from error
        where = error.filename or target
        raise NotReady(
            f"{where} cannot be copied ({error.strerror}); nothing was left in {target}"
        ) from error


def _no_room(target: Path) -> NotReady:
    return NotReady(
        f"there is no room left where {target} is; nothing was left there. Free some, or choose another disk"
    )


def _require_room(target: Path, sources: list[Path]) -> None:
    needed = sum(path.stat().st_size for path in sources)
    free = shutil.disk_usage(target).free
    if free < needed:
        raise NotReady(
            f"{needed // MIB + 1:,} MiB are needed where {target} is, and {free // MIB:,} MiB are free; "
            "nothing was left there"
        )


def _chown(path: Path, owner: os.stat_result) -> None:
    if os.geteuid() == 0:
        os.chown(path, owner.st_uid, owner.st_gid)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
