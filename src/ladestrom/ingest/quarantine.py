"""Deliveries that could not be read, kept so that they can be read again once the parser can.

One folder for each source, one file for each delivery: a line of JSON that says what it is, then the body as
it came. Files are their owner's only; the oldest go when there are too many or too much. Headers, queries and
whatever else may hold a secret are not kept, and keys of ours are taken out of bodies.

Knows files. Must not know what is in a body.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import zlib
from collections import deque
from collections.abc import Iterator
from heapq import nlargest
from pathlib import Path
from typing import Final
from urllib.parse import quote

import msgspec

from ladestrom.errors import NotFound
from ladestrom.formats.administration import Unread
from ladestrom.formats.wire import instant
from ladestrom.model import Millis
from ladestrom.problem import without_keys
from ladestrom.quoting import quoted

FOLDER: Final = "quarantine"
KEPT_SUFFIX: Final = ".kept"
AGAIN_SUFFIX: Final = ".again"
"""Of a delivery that the server is to take."""
FOLDER_CHARACTERS_MAX: Final = 200
"""File systems take 255 bytes."""
MINUTE_MS: Final = 60_000
NUMBERS_MAX: Final = 1_000
"""Files of one source with the same millisecond."""
HEAD_BYTES_MAX: Final = 64 * 1024
"""What is said of a delivery has some hundred bytes; its path may have some KiB."""
_UNREAD_ID: Final = re.compile(r"[0-9]{13,16}-[0-9]{3}-[0-9a-f]{8}", re.ASCII)

_encode = msgspec.json.Encoder().encode


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What a delivery was, beside its body."""

    source: str
    operator: str
    protocol: str
    kind: str
    received_at: Millis
    code: str
    """Of the error that its reading raised."""
    detail: str
    media_type: str = ""
    method: str = ""
    path: str = ""
    """Of a push: behind the protocol's own path. Of a pull: the address, without its query."""
    status: int = 200
    """Of a pull: the answer's."""


class Quarantined(msgspec.Struct, frozen=True):
    """One delivery, found."""

    id: str
    """Of its source: when it came, and a number."""
    kept: Kept
    body: bytes
    path: Path


_decode_kept = msgspec.json.Decoder(Kept).decode


class Quarantine:
    """The deliveries of one data directory. May be used by several threads and processes."""

    def __init__(
        self, data: Path, *, files_max: int = 100, bytes_max: int = 16 * 1024 * 1024, per_minute_max: int = 10
    ) -> None:
        """Nothing is written yet.

        Args:
            data: the data directory.
            files_max: deliveries kept of each source.
            bytes_max: of all that is kept of one source, but for the newest; a larger body is not kept.
            per_minute_max: deliveries kept of one source a minute: a flood of garbage must not wear the disk.
        """
        self._folder = data / FOLDER
        self._files_max = files_max
        self._bytes_max = bytes_max
        self._per_minute_max = per_minute_max
        self._recent: dict[str, deque[Millis]] = {}

    def admits(self, source: str, now: Millis) -> bool:
        """Whether one more may be kept of this source now, by a clock that nobody sets; it counts then."""
        recent = self._recent.setdefault(source, deque())
        while recent and now - recent[0] >= MINUTE_MS:
            recent.popleft()
        if len(recent) >= self._per_minute_max:
            return False
        recent.append(now)
        return True

    def keep(self, kept: Kept, body: bytes) -> None:
        """Writes a delivery, and drops the oldest of its source where they are too many or too much.

        Raises:
            OSError: it cannot be written; nothing else depends on it.
        """
        if len(body) > self._bytes_max or self._files_max == 0:
            return
        folder = self._folder / folder_name(kept.source)
        # Not the data directory: one that was removed must not come back without its lock.
        self._folder.mkdir(mode=0o700, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        content = _encode(kept) + b"\n" + without_keys(body)
        for number in range(NUMBERS_MAX):
            path = folder / f"{kept.received_at:013d}-{number:03d}{KEPT_SUFFIX}"
            with contextlib.suppress(FileExistsError):
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
                # Whoever copies the folder finds an empty file or a whole one.
                beside = path.with_suffix(".new")
                with os.fdopen(os.open(beside, os.O_CREAT | os.O_WRONLY, 0o600), "wb") as file:
                    file.write(content)
                beside.replace(path)
                break
        self._trim(folder)

    def _trim(self, folder: Path) -> None:
        sizes: list[tuple[Path, int]] = []
        for path in sorted(folder.iterdir()):
            with contextlib.suppress(FileNotFoundError):
                sizes.append((path, path.stat().st_size))
        total = sum(size for _, size in sizes)
        count = len(sizes)
        for path, size in sizes:
            if count <= self._files_max and (total <= self._bytes_max or count == 1):
                return
            path.unlink(missing_ok=True)
            count -= 1
            total -= size

    def of(self, source: str, *, again: bool = False) -> Iterator[Quarantined]:
        """What is kept of a source, the oldest first; with `again`, what the server is to take.

        Files that are not of this form are left out.
        """
        folder = self._folder / folder_name(source)
        suffix = AGAIN_SUFFIX if again else KEPT_SUFFIX
        for path in sorted(folder.glob(f"*{suffix}")):
            with contextlib.suppress(OSError, msgspec.DecodeError):
                head, _, body = path.read_bytes().partition(b"\n")
                kept = _decode_kept(head)
                if kept.source == source:
                    yield Quarantined(path.stem, kept, body, path)

    def newest(self, limit: int) -> list[Unread]:
        """What is kept of all sources, the newest first, without bodies."""
        found: list[Unread] = []
        for path in nlargest(limit, self._folder.glob(f"*/*{KEPT_SUFFIX}"), key=_when):
            with contextlib.suppress(OSError, msgspec.DecodeError), path.open("rb") as file:
                head = file.readline(HEAD_BYTES_MAX)
                kept = _decode_kept(head)
                found.append(
                    Unread(
                        id=_id_of(path),
                        source=kept.source,
                        protocol=kept.protocol,
                        at=instant(kept.received_at),
                        bytes=os.fstat(file.fileno()).st_size - len(head),
                        code=kept.code,
                        detail=kept.detail,
                    )
                )
        return found

    def find(self, unread_id: str) -> Quarantined:
        """One by the id that `newest` gives it, which no other has whatever its source.

        Raises:
            NotFound: there is none, or no more.
        """
        if _UNREAD_ID.fullmatch(unread_id) is not None:
            for path in self._folder.glob(f"*/{unread_id.rpartition('-')[0]}{KEPT_SUFFIX}"):
                if _id_of(path) == unread_id:
                    with contextlib.suppress(OSError, msgspec.DecodeError):
                        head, _, body = path.read_bytes().partition(b"\n")
                        return Quarantined(path.stem, _decode_kept(head), body, path)
        raise NotFound(f"no delivery {quoted(unread_id, 60)} is kept")

    def handed_over(self, source: str) -> list[Quarantined]:
        """What the server is to take of a source."""
        return list(self.of(source, again=True))

    def sources_again(self) -> list[str]:
        """Sources of which the server is to take something."""
        found: list[str] = []
        if self._folder.is_dir():
            for path in sorted(self._folder.glob(f"*/*{AGAIN_SUFFIX}")):
                with contextlib.suppress(OSError, msgspec.DecodeError), path.open("rb") as file:
                    found.append(_decode_kept(file.readline()).source)
        return found

    def hand_over(self, found: Quarantined) -> None:
        """Lets the server take it: it looks within a second, or when it starts."""
        found.path.rename(found.path.with_suffix(AGAIN_SUFFIX))

    def drop(self, found: Quarantined) -> None:
        """It is done with."""
        found.path.unlink(missing_ok=True)

    def put_back(self, found: Quarantined) -> None:
        """It could not be taken after all."""
        with contextlib.suppress(FileNotFoundError):
            found.path.rename(found.path.with_suffix(KEPT_SUFFIX))

    def count(self, source: str) -> int:
        """Deliveries kept of a source."""
        return sum(1 for _ in (self._folder / folder_name(source)).glob(f"*{KEPT_SUFFIX}"))

    def forget(self, source: str) -> None:
        """Drops everything of a source."""
        folder = self._folder / folder_name(source)
        if folder.is_dir():
            for path in folder.iterdir():
                path.unlink(missing_ok=True)
            folder.rmdir()


def _when(path: Path) -> str:
    return path.name


def _id_of(path: Path) -> str:
    """Its own name, which says when it came, and what tells its folder from others."""
    return f"{path.stem}-{zlib.crc32(path.parent.name.encode()):08x}"


def folder_name(source: str) -> str:
    """A source's name as the name of a folder."""
    name = quote(source, safe=" ").replace(".", "%2E")
    if len(name) <= FOLDER_CHARACTERS_MAX:
        return name
    return hashlib.sha256(source.encode()).hexdigest()
