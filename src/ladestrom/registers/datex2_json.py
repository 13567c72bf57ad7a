"""The sites of a DATEX II table publication as JSON.

Knows the way to the sites through whatever is wrapped around them. Must not know what is in a site.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ladestrom.errors import InvalidRegister
from ladestrom.registers.datex2_xml import CREATOR, PUBLICATION, SITE, TABLE
from ladestrom.registers.scan import JsonScanner, decoded, decoded_record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ladestrom.registers.limits import Limits

WRAPPERS: Final = frozenset({"messageContainer", "payload", "payloadPublication", "d2LogicalModel", TABLE})
"""Members on the way to the sites, beside the publication itself: its name has a prefix of its profile."""
DEPTH_MAX: Final = 16
"""Objects and lists around a site; the encoding has 7."""


def records(chunks: Iterable[bytes], limits: Limits) -> Iterator[tuple[str, object]]:
    """As `datex2_xml.records`.

    Raises:
        InvalidRegister: it is no JSON, is cut off, over a limit, or no table publication.
    """
    walk = _Walk(JsonScanner(chunks, limits))
    yield from walk.value(DEPTH_MAX)
    walk.end()
    if not walk.found:
        raise InvalidRegister(f"the file is JSON, but no {PUBLICATION}")


class _Walk:
    def __init__(self, scanner: JsonScanner) -> None:
        self._scanner = scanner
        self.found = False

    def value(self, depth_left: int) -> Iterator[tuple[str, object]]:
        """What is in a value on the way to the sites."""
        if not depth_left:
            raise InvalidRegister(f"the publication is wrapped in more than {DEPTH_MAX} objects and lists")
        scanner = self._scanner
        if scanner.take(b"["):
            if not scanner.take(b"]"):
                yield from self.value(depth_left - 1)
                while scanner.take(b","):
                    yield from self.value(depth_left - 1)
                scanner.expect(b"]")
        elif scanner.take(b"{"):
            if not scanner.take(b"}"):
                yield from self._member(depth_left)
                while scanner.take(b","):
                    yield from self._member(depth_left)
                scanner.expect(b"}")
        else:
            scanner.value()

    def _member(self, depth_left: int) -> Iterator[tuple[str, object]]:
        scanner = self._scanner
        name = decoded(scanner.value())
        scanner.expect(b":")
        if not isinstance(name, str):
            raise InvalidRegister("the file is not JSON: an object has a name that is no text")
        if name == SITE:
            self.found = True
            yield from self._sites()
        elif name in WRAPPERS or name.casefold().endswith(PUBLICATION.casefold()):
            self.found = self.found or name == TABLE or name not in WRAPPERS
            yield from self.value(depth_left - 1)
        elif name == CREATOR:
            creator = scanner.value()
            if isinstance(creator, bytes):
                yield CREATOR, decoded(creator)
        else:
            scanner.value()

    def _sites(self) -> Iterator[tuple[str, object]]:
        scanner = self._scanner
        if not scanner.take(b"["):
            yield SITE, decoded_record(scanner.value())
            return
        if scanner.take(b"]"):
            return
        yield SITE, decoded_record(scanner.value())
        while scanner.take(b","):
            yield SITE, decoded_record(scanner.value())
        scanner.expect(b"]")

    def end(self) -> None:
        if self._scanner.peek():
            raise InvalidRegister("the file goes on after the end of its JSON document")
