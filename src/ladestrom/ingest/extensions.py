"""Protocols by name: our own, and those that installed packages bring along.

A package names an attribute in its metadata; the attribute is a mapping of names to `protocols.Row`:

    [project.entry-points."ladestrom.protocols"]
    pulls = "my_package:PULLS"
    pushes = "my_package:PUSHES"

Knows packages. Must not know what a protocol does. A package that cannot be used costs itself only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Final

import msgspec
import structlog

from ladestrom import protocols
from ladestrom.protocols import Row

logger = structlog.get_logger(__name__)

GROUP: Final = "ladestrom.protocols"


class Table(msgspec.Struct, frozen=True):
    """All protocols that can be had here."""

    pushes: Mapping[str, Row]
    pulls: Mapping[str, Row]
    streams: Mapping[str, Row]


OURS: Final = Table(protocols.PUSHES, protocols.PULLS, protocols.STREAMS)


def table(found: Iterable[EntryPoint] | None = None) -> Table:
    """Our own protocols and those of packages. A name of ours stays ours.

    Streams are not to be extended: how a connection is kept belongs to each of them.

    Args:
        found: entry points; those of the installed packages where it is None.
    """
    pushes, pulls = dict(OURS.pushes), dict(OURS.pulls)
    for entry in entry_points(group=GROUP) if found is None else found:
        mine = {"pushes": pushes, "pulls": pulls}.get(entry.name)
        if mine is None:
            logger.warning("an entry point is neither pushes nor pulls", name=entry.name, value=entry.value)
            continue
        for name, row in _rows(entry).items():
            if name in mine:
                logger.warning("a package adds a protocol that already exists", name=name, value=entry.value)
            else:
                mine[name] = row
    return Table(pushes, pulls, OURS.streams)


def _rows(entry: EntryPoint) -> Mapping[str, Row]:
    try:
        rows = entry.load()
    except Exception:
        logger.exception("a package's protocols cannot be loaded", value=entry.value)
        return {}
    if isinstance(rows, Mapping) and all(isinstance(row, Row) for row in rows.values()):
        return rows
    logger.warning("a package's protocols are no mapping of names to rows", value=entry.value)
    return {}
