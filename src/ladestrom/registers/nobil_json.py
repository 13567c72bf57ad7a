"""NOBIL's JSON form: finds the stations in their envelope.

Knows the envelope. Must not know what a station looks like.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ladestrom.core.fields import quoted
from ladestrom.errors import InvalidRegister
from ladestrom.registers.scan import JsonScanner, decoded, decoded_record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ladestrom.registers.limits import Limits

_LIST: Final = "chargerstations"
_ERROR: Final = "error"


def records(chunks: Iterable[bytes], limits: Limits) -> Iterator[object]:
    """The stations as the document has them; a text for one that was skipped, and says why.

    Reads both envelopes, the object and the list that older documents wrap it in.

    Raises:
        InvalidRegister: it is no JSON, is cut off, has no list of stations, or is an error of NOBIL's.
    """
    scanner = JsonScanner(chunks, limits)
    found = False
    wrapped = scanner.take(b"[")
    while True:
        for record in _envelope(scanner):
            found = True
            if record is not None:
                yield record
        if not wrapped or not scanner.take(b","):
            break
    if wrapped:
        scanner.expect(b"]")
    if scanner.peek():
        raise InvalidRegister("the file goes on after the end of its JSON document")
    if not found:
        raise InvalidRegister(f"the file is JSON, but has no {quoted(_LIST)}")


def _envelope(scanner: JsonScanner) -> Iterator[object]:
    """The stations of one envelope, and first of all None where there is a list of them."""
    scanner.expect(b"{")
    if scanner.take(b"}"):
        return
    while True:
        name = decoded(scanner.value())
        scanner.expect(b":")
        name = name.casefold() if isinstance(name, str) else ""
        if name == _LIST:
            yield None
            yield from _stations(scanner)
        else:
            value = decoded(scanner.value())
            if name == _ERROR and value:
                raise InvalidRegister(
                    f"NOBIL answered with an error instead of stations: {quoted(value, 255)}"
                )
        if not scanner.take(b","):
            break
    scanner.expect(b"}")


def _stations(scanner: JsonScanner) -> Iterator[object]:
    """A list; or the object with numbers for names that PHP makes of a list with gaps."""
    closing = b"]" if scanner.take(b"[") else b"}"
    if closing == b"}":
        scanner.expect(b"{")
    if scanner.take(closing):
        return
    while True:
        if closing == b"}":
            scanner.value()
            scanner.expect(b":")
        yield decoded_record(scanner.value())
        if not scanner.take(b","):
            break
    scanner.expect(closing)
