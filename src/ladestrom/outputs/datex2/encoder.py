"""Tables and status publications as documents (`formats.documents`): each as JSON and as XML.

A station without what the schemas demand as numbers is in none of them, so that what statuses refer to is in
the table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import msgspec

from ladestrom.formats.documents import LeftOut, Seen
from ladestrom.model import Millis, Position
from ladestrom.outputs.datex2 import publication, statuses, table, xml
from ladestrom.outputs.datex2.publication import Making, Publisher


class _Publication:
    """What all of them have in common."""

    is_xml = False

    def __init__(self, publisher: Publisher, at: Millis, records_seq: Callable[[], int]) -> None:
        """`records_seq` gives the sequence of the last entry that brought a station's record."""
        self.left_out = LeftOut()
        self._publisher = publisher
        self._at = at
        self._records_seq = records_seq
        self._table: int | None = None

    def part(self, seen: Seen) -> bytes | None:
        """A station's site; None where something is lacking."""
        if self._table is None:
            # Of the document's position: the view goes on before the last station was seen.
            self._table = self._records_seq()
        reason = table.lacks(seen.station, (evse for evse, _ in seen.listed))
        if reason is not None:
            for evse, _ in seen.chosen:
                self.left_out.add(evse, reason)
            return None
        return self._site(seen)

    def _site(self, seen: Seen) -> bytes:
        raise NotImplementedError

    def _making(self, position: Position) -> Making:
        version = self._records_seq() if self._table is None else self._table
        return Making(self._publisher, self._at, position, version)


class TableJson(_Publication):
    """`table.json`."""

    def _site(self, seen: Seen) -> bytes:
        evses = [evse for evse, _ in seen.listed]
        return msgspec.json.encode(table.site(seen.station, seen.revision, evses, is_xml=False))

    def head(self, position: Position) -> bytes:
        """What stands before the sites."""
        return publication.table_json(self._making(position))

    def pieces(self, parts: Iterable[bytes]) -> Iterator[bytes]:
        """The sites."""
        yield from separated(parts)
        yield publication.TABLE_JSON_END


class TableXml(_Publication):
    """`table.xml`."""

    def _site(self, seen: Seen) -> bytes:
        evses = [evse for evse, _ in seen.listed]
        made = table.site(seen.station, seen.revision, evses, is_xml=True)
        return f"{xml.element('energyInfrastructureSite', made)}\n".encode()

    def head(self, position: Position) -> bytes:
        """What stands before the sites."""
        return publication.table_xml(self._making(position))

    def pieces(self, parts: Iterable[bytes]) -> Iterator[bytes]:
        """The sites."""
        yield from parts
        yield publication.TABLE_XML_END


class StatusJson(_Publication):
    """`status.json`."""

    def _site(self, seen: Seen) -> bytes:
        said = [statuses.said(evse, held.change) for evse, held in seen.chosen]
        return statuses.as_json(seen.station.uuid, seen.revision, said)

    def head(self, position: Position) -> bytes:
        """What stands before the sites."""
        return publication.statuses_json(self._making(position))

    def pieces(self, parts: Iterable[bytes]) -> Iterator[bytes]:
        """The sites."""
        yield from separated(parts)
        yield publication.STATUSES_JSON_END


class StatusXml(_Publication):
    """`status.xml`."""

    def _site(self, seen: Seen) -> bytes:
        said = [statuses.said(evse, held.change) for evse, held in seen.chosen]
        return statuses.as_xml(seen.station.uuid, seen.revision, said)

    def head(self, position: Position) -> bytes:
        """What stands before the sites."""
        return publication.statuses_xml(self._making(position))

    def pieces(self, parts: Iterable[bytes]) -> Iterator[bytes]:
        """The sites."""
        yield from parts
        yield publication.STATUSES_XML_END


def separated(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Sites of JSON, with what stands between them."""
    for number, part in enumerate(parts):
        yield b",\n" + part if number else part
