"""Protocols by name: our own, and those that installed packages bring along.

A package names an attribute in its metadata; the attribute is a mapping of names to `protocols.Row`:

    [project.entry-points."ladestrom.protocols"]
    pulls = "my_package:PULLS"
    pushes = "my_package:PUSHES"

A row needs only its target and help: a push is served at `/push/NAME` then. A path that a row names has to be
below `/push/`, and no other protocol's.

Knows packages. Must not know what a protocol does. A package that cannot be used costs itself only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Final

import msgspec
import structlog

from ladestrom import protocols
from ladestrom.protocols import Row, Transport, filled
from ladestrom.targets import load

logger = structlog.get_logger(__name__)

GROUP: Final = "ladestrom.protocols"
_PATH: Final = re.compile(r"/push(/[A-Za-z0-9._~-]+)+")
"""What a package's protocol may be served at: unreserved characters of RFC 3986, section 2.3."""


class Table(msgspec.Struct, frozen=True):
    """All protocols that can be had here."""

    pushes: Mapping[str, Row]
    pulls: Mapping[str, Row]
    streams: Mapping[str, Row]
    conversations: Mapping[str, Row]


OURS: Final = Table(protocols.PUSHES, protocols.PULLS, protocols.STREAMS, protocols.CONVERSATIONS)


class Unusable(msgspec.Struct, frozen=True):
    """Something of a package that is left out."""

    what: str
    """What is wrong, in words."""
    value: str
    """Where the package says it: the value of its entry point."""
    name: str = ""
    """Of the protocol; empty where none of the entry point can be used."""
    error: Exception | None = None


def table(found: Iterable[EntryPoint] | None = None) -> Table:
    """Our own protocols and those of packages. A name of ours stays ours; what cannot be used is logged.

    Streams are not to be extended: how a connection is kept belongs to each of them.

    Args:
        found: entry points; those of the installed packages where it is None.
    """
    made, left_out = _examined(found)
    for each in left_out:
        logger.error(each.what, name=each.name, value=each.value, exc_info=each.error)
    return made


def unusable(found: Iterable[EntryPoint] | None = None) -> Sequence[Unusable]:
    """What of packages cannot be used; with the pulls, which the server imports only for a source."""
    made, left_out = _examined(found)
    mine = {name: row for name, row in made.pulls.items() if name not in OURS.pulls}
    return [*left_out, *(each for name, row in mine.items() if (each := _loaded(name, row, protocols.pull)))]


def _examined(found: Iterable[EntryPoint] | None) -> tuple[Table, list[Unusable]]:
    pushes, pulls = dict(OURS.pushes), dict(OURS.pulls)
    kinds = {"pushes": (pushes, Transport.HTTP_PUSH), "pulls": (pulls, Transport.HTTP_POLL)}
    left_out: list[Unusable] = []
    for entry in entry_points(group=GROUP) if found is None else found:
        if entry.name not in kinds:
            left_out.append(Unusable("an entry point is neither pushes nor pulls", entry.value, entry.name))
            continue
        mine, transport = kinds[entry.name]
        rows = _rows(entry)
        if isinstance(rows, Unusable):
            left_out.append(rows)
            continue
        for name, given in rows.items():
            row = filled(name, given, transport)
            problem = _problem(name, row, transport, mine)
            if problem:
                left_out.append(Unusable(problem, entry.value, name))
            elif transport is Transport.HTTP_PUSH and (broken := _loaded(name, row, _load_push)):
                left_out.append(broken)
            else:
                mine[name] = row
    return Table(pushes, pulls, OURS.streams, OURS.conversations), left_out


def _load_push(row: Row) -> None:
    protocols.push(row)
    if row.read_back:
        load(row.read_back)


def _loaded(name: str, row: Row, load_row: Callable[[Row], object]) -> Unusable | None:
    """Why a package's protocol cannot be imported; None where it can."""
    try:
        load_row(row)
    except Exception as error:  # noqa: BLE001 - whatever a package does while it is imported
        return Unusable("a package's protocol cannot be imported", row.target, name, error)
    return None


def _problem(name: str, row: Row, transport: Transport, there: Mapping[str, Row]) -> str:
    """Why a package's row cannot be used beside those that are there; empty where it can."""
    if name in there:
        return "a package adds a protocol that already exists"
    if row.transport is not transport:
        return "a package adds a protocol with another transport than its entry point's"
    own = [path for path in (row.path, row.socket, row.tokens) if path]
    if not all(_PATH.fullmatch(path) for path in own):
        return "a package adds a protocol whose path is not below /push/"
    taken = [path for each in there.values() for path in (each.path, each.socket, each.tokens) if path]
    if any(_is_within(mine, theirs) or _is_within(theirs, mine) for mine in own for theirs in taken):
        return "a package adds a protocol at the path of another"
    return ""


def _is_within(path: str, other: str) -> bool:
    return path == other or path.startswith(f"{other}/")


def _rows(entry: EntryPoint) -> Mapping[str, Row] | Unusable:
    try:
        rows = entry.load()
    except Exception as error:  # noqa: BLE001 - likewise
        return Unusable("a package's protocols cannot be imported", entry.value, error=error)
    if isinstance(rows, Mapping) and all(isinstance(row, Row) for row in rows.values()):
        return rows
    return Unusable("a package's protocols are no mapping of names to rows", entry.value)
