"""The rows of the log's file: its tables, how they are read, and what damage looks like.

Knows SQLite's side of the log, for whoever has a connection: the server, a backup, `ladestrom doctor`. Must
not know who writes, nor when.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

import apsw
import msgspec

from ladestrom.backends.encoded import Same, decode_change, decode_row, decode_station
from ladestrom.core.records import differing, entry_of, fold, shared
from ladestrom.errors import LogDamaged, LogFailure
from ladestrom.model import Change, Entry, Millis
from ladestrom.ports.log import BoardRow, Recovered, StationRow, Times

FORMAT: Final = 3
"""Version of the file's tables. An older one becomes this one once it has the records of stations, so that
the program that wrote it does not misread it; a newer one is refused.
"""
FORMATS_READ: Final = frozenset({1, 2, FORMAT})
"""Formats 1 and 2 know no records of stations. Rows of format 1 lack their last members, and entries say
`withdrawn` of a source that signed off."""
STATIONS_SINCE: Final = 3
SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS entries (seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS board (evse TEXT PRIMARY KEY, seq INTEGER NOT NULL, body TEXT NOT NULL)
    WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS stations (uuid TEXT PRIMARY KEY, seq INTEGER NOT NULL, body TEXT NOT NULL)
    WITHOUT ROWID;
"""
WHAT_TO_DO: Final = (
    "Restore a backup (`ladestrom restore`), or move log.db, log.db-wal and log.db-shm out of the directory "
    "to start a new log, in which every status is unknown until it is reported again."
)
"""What an administrator can do about a log that is damaged."""

ENTRIES_AT_ONCE: Final = 10_000
"""Some 5 MB."""

CLOSED: Final = "closed"
"""The session of a log that was closed; else it is the durability and the start of the machine."""

_TABLES: Final = frozenset({"meta", "entries", "board"})
_ENTRIES: Final = "SELECT seq, body FROM entries WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?"
_DAMAGE: Final = (apsw.CorruptError, apsw.NotADBError, UnicodeDecodeError)
"""What SQLite says of a file that is damaged; the last is a text that is none."""

_UNREADABLE: Final = (*_DAMAGE, msgspec.DecodeError, TypeError)
"""What reading an entry of a damaged file fails with. TypeError: it may have nothing where text is."""
_seq: Final = attrgetter("seq")


class Meta(msgspec.Struct, frozen=True):
    """What a log says of itself."""

    format: int
    epoch: str
    checkpoint: int
    """Up to which sequence the kept rows have everything."""
    session: str = CLOSED
    given_at: Millis | None = None
    heard_at: Millis | None = None
    registry_revision: int = 0


def rows(connection: apsw.Connection, query: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """All rows of a query."""
    return connection.execute(query, values).fetchall()


def is_damage(error: Exception) -> bool:
    """Whether an error of SQLite says that the file is damaged."""
    return isinstance(error, _DAMAGE)


def damage(path: Path, error: Exception) -> LogDamaged | None:
    """What is damaged, and what to do about it; None where the error says no such thing."""
    if not (isinstance(error, LogDamaged) or is_damage(error)):
        return None
    seq = error.seq if isinstance(error, LogDamaged) else None
    return LogDamaged(f"{path} is damaged: {error}. {WHAT_TO_DO}", seq)


def check_format(connection: apsw.Connection, name: str) -> None:
    """Refuses what is no log of this format, before anything is written to it.

    Raises:
        LogFailure: it is another kind of database, or of another format; says what to do.
    """
    found = rows(connection, "SELECT name FROM sqlite_schema WHERE type = 'table'")
    tables = {table for (table,) in found}
    if not tables:
        return
    found = rows(connection, "SELECT value FROM meta WHERE name = 'format'") if tables >= _TABLES else []
    if not found:
        raise LogFailure(f"{name} is a database, but no log of ladestrom: choose another directory")
    if found[0][0] not in FORMATS_READ:
        raise LogFailure(
            f"{name} has format {found[0][0]}, this program reads {FORMAT}: use the version that wrote it"
        )


def has_stations(connection: apsw.Connection) -> bool:
    """Whether the log has records of stations."""
    return meta(connection).format >= STATIONS_SINCE


def meta(connection: apsw.Connection) -> Meta:
    """What the log says of itself.

    Raises:
        LogDamaged: something else is there.
    """
    try:
        return msgspec.convert(dict(rows(connection, "SELECT name, value FROM meta")), Meta)
    except (msgspec.ValidationError, UnicodeDecodeError) as error:
        raise LogDamaged(f"what the log says of itself cannot be read ({error})") from error


def extent(connection: apsw.Connection) -> tuple[int, int]:
    """First and last sequence in the file; (1, 0) where there is none."""
    first, last = rows(connection, "SELECT min(seq), max(seq) FROM entries")[0]
    return (1, 0) if first is None else (int(first), int(last))


def stamps(connection: apsw.Connection) -> tuple[Millis, Millis] | tuple[None, None]:
    """Stamps of the oldest and of the newest entry in the file; None where there is none."""
    first, last = extent(connection)
    found = dict(rows(connection, "SELECT seq, at FROM entries WHERE seq IN (?, ?)", (first, last)))
    if first not in found or last not in found:
        return None, None
    for seq, at in found.items():
        if not isinstance(at, int):
            raise LogDamaged(f"entry {seq} cannot be read (its time is no number)", seq)
    return found[first], found[last]


def received_at(connection: apsw.Connection, seq: int) -> Millis | None:
    """When the first entry from a sequence on was received; None where there is none, or none to be read."""
    try:
        found = rows(connection, "SELECT body FROM entries WHERE seq >= ? ORDER BY seq LIMIT 1", (seq,))
        return decode_change(found[0][0]).received_at if found else None
    except _UNREADABLE:
        # Whoever reads the entry is told that it is damaged.
        return None


def before(connection: apsw.Connection, at: Millis, first: int, last: int) -> int:
    """Sequence of the last entry of these that was received before an instant; `first - 1` where none was."""
    return (
        first
        - 1
        + bisect_left(range(first, last + 1), at, key=lambda seq: received_at(connection, seq) or at)
    )


def newest_received_at(connection: apsw.Connection) -> Millis | None:
    """When the newest entry was received, by the time of day; None where there is none.

    Raises:
        LogDamaged: it cannot be read.
    """
    _, last = extent(connection)
    found = entries(connection, last - 1, last, 1) if last else []
    return found[0].change.received_at if found else None


def entries(
    connection: apsw.Connection, after: int, last: int, limit: int, dropped: Callable[[], int] = lambda: 0
) -> list[Entry]:
    """At most `limit` entries behind `after` and up to `last`, in order.

    Args:
        connection: to the file.
        after: sequence before the first entry that is wanted.
        last: of the last entry that is durable.
        limit: number of entries.
        dropped: up to which sequence entries may be missing, asked for once the rows were read.

    Raises:
        LogDamaged: an entry cannot be read, or is missing; says which.
    """
    values = (after, last, limit)
    try:
        found = [entry_of(seq, decode_change(body)) for seq, body in rows(connection, _ENTRIES, values)]
    except _UNREADABLE as error:
        seq = _first_unreadable(connection, values)
        raise LogDamaged(f"entry {seq} cannot be read ({error})", seq) from error
    start = max(after, dropped())
    optional = bisect_right(found, start, key=_seq)
    needed = min(limit - optional, last - start)
    # Sequences in order, and no two alike: as many as needed, and the last one right, have no hole.
    if needed > 0 and (len(found) - optional != needed or found[-1].seq != start + needed):
        raise _missing([each.seq for each in found[optional:]], start + 1, start + needed)
    return found


def kept_times(connection: apsw.Connection) -> Times | None:
    """The writer's clocks as of the last checkpoint; None where a log of format 1 has none."""
    said = meta(connection)
    return None if said.given_at is None or said.heard_at is None else Times(said.given_at, said.heard_at)


def recovered(connection: apsw.Connection, checkpoint: int, last: int) -> tuple[Recovered, Times | None]:
    """Board and stations as of `last`, by checkpoint and replay; and the writer's clocks then.

    Raises:
        LogDamaged: it cannot be made; says what is damaged or missing.
    """
    times = kept_times(connection)
    found: dict[str, BoardRow] = {}
    stations: dict[str, StationRow] = {}
    same = Same()
    try:
        for (body,) in connection.execute("SELECT body FROM board"):
            row = decode_row(body)
            found[row.change.evse] = same.row(row)
        for (body,) in connection.execute("SELECT body FROM stations") if has_stations(connection) else ():
            kept = decode_station(body)
            stations[kept.station.uuid] = shared(kept)
    except _UNREADABLE as error:
        raise LogDamaged(f"the checkpoint cannot be read ({error})") from error
    if last < checkpoint:
        raise _missing([], last + 1, checkpoint)
    checkpointed = dict(stations)
    seq = checkpoint
    while seq < last:
        for each in entries(connection, seq, last, ENTRIES_AT_ONCE):
            if isinstance(each.change, Change):
                same.change(each.change)
            times = fold(found, stations, each, times)
            seq = each.seq
    rows_found = sorted(found.values(), key=lambda row: row.seq)
    revision, touched = meta(connection).registry_revision, differing(stations, checkpointed)
    return Recovered(rows_found, list(stations.values()), revision, touched), times


def _first_unreadable(connection: apsw.Connection, values: tuple[int, int, int]) -> int:
    """The sequence at which reading fails, row by row: slow, and only for where it failed at once."""
    reached = values[0]
    try:
        for seq, body in connection.execute(_ENTRIES, values):
            reached = seq - 1
            decode_change(body)
            reached = seq
    except _UNREADABLE:
        pass
    return reached + 1


def _missing(found: list[int], first: int, last: int) -> LogDamaged:
    """Of the entries from `first` to `last` only these are there: says which is the first gap."""
    start, end = first, last
    for seq in found:
        if seq != start:
            end = seq - 1
            break
        start += 1
    return LogDamaged(f"entries {start} to {end} are missing", start)
