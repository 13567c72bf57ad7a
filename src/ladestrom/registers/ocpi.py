"""Locations of OCPI in a file: what a Locations endpoint answers, saved page by page.

Knows how a file carries Location objects: a list of them, answers with the list in `data`, objects one after
the other, or any mixture. What a Location says is read by `core.locations`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ladestrom.core.locations import draft
from ladestrom.errors import InvalidRegister
from ladestrom.ports.registry import RecordRefusal, StationDraft
from ladestrom.quoting import quoted
from ladestrom.registers.limits import DEFAULT, Limits
from ladestrom.registers.scan import JsonScanner, bounded, decoded, decoded_list

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_LIST: Final = "data"
"""OCPI 2.2.1, section 4.1.7: the member of an answer that has what was asked for."""


def parse(chunks: Iterable[bytes], *, limits: Limits = DEFAULT) -> Iterator[StationDraft | RecordRefusal]:
    """Reads a file of Locations, of OCPI 2.1.1 to 2.3.0, in its order.

    Locations that are not to be published are passed over: an import of the whole register lets their
    stations vanish. Of two with the same id the first is taken. Locations of OCPI 2.1.1 do not say whose
    they are and are refused, unless somebody added `country_code` and `party_id`.

    Args:
        chunks: the document, decompressed, in pieces of any size.
        limits: how much of it is read.

    Raises:
        InvalidRegister: while iterating: the document is cut off, no JSON, over a limit, or has no Location.
            What was given before must then not be used.

    Source: OCPI 2.2.1, section 8.2.1.1 (GET of the Sender interface).
    """
    seen: set[str] = set()
    number = 0
    for number, record in enumerate(_records(JsonScanner(bounded(chunks, limits), limits)), start=1):
        if number > limits.records_max:
            raise InvalidRegister(f"the file has more than {limits.records_max} locations")
        if isinstance(record, str):
            yield RecordRefusal(f"record {number}", record)
            continue
        if record.get("publish") is False:
            continue
        made = draft(record)
        if isinstance(made, StationDraft):
            if made.station.native_id in seen:
                name = made.station.native_id
                made = RecordRefusal(name, "another location of the file has the same id; the first is taken")
            else:
                seen.add(made.station.native_id)
        yield made
    if not number:
        raise InvalidRegister("the file has no OCPI Location")


def _records(scanner: JsonScanner) -> Iterator[dict[str, object] | str]:
    """The Locations as the file has them; a text for one that was skipped, and says why."""
    while first := scanner.peek():
        if first == b"[":
            yield from decoded_list(scanner)
        elif first == b"{":
            yield from _object(scanner)
        else:
            raise InvalidRegister(
                f"the file is not JSON of Locations: {quoted(first)} where one should begin"
            )


def _object(scanner: JsonScanner) -> Iterator[dict[str, object] | str]:
    """An answer with a list of Locations, or with one, or one itself."""
    scanner.expect(b"{")
    members: dict[str, object] = {}
    answered = False
    while not scanner.take(b"}"):
        name = _name(scanner.value())
        scanner.expect(b":")
        if name == _LIST and scanner.peek() == b"[":
            answered = True
            yield from decoded_list(scanner)
        else:
            value = scanner.value()
            if isinstance(value, str):
                raise InvalidRegister(f"{quoted(name, 40)} of the file's object cannot be read: {value}")
            members[name] = decoded(value)
        if not scanner.take(b","):
            scanner.expect(b"}")
            break
    if answered:
        return
    inner = members.get(_LIST)
    if isinstance(inner, dict):
        yield inner
    elif "id" in members:
        yield members


def _name(value: bytes | str) -> str:
    name = decoded(value)
    return name if isinstance(name, str) else ""
