"""NOBIL's XML form, brought into the shape of its JSON form.

Knows where NOBIL's documents put things, in whatever letters and whether in elements or in attributes. Must
not know what the values mean.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ladestrom.core.fields import quoted
from ladestrom.errors import InvalidRegister
from ladestrom.markup import Reading, Unreadable, local

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ladestrom.registers.limits import Limits

_RECORD: Final = "chargerstation"
_LIST: Final = "chargerstations"
_ERROR: Final = "error"
_METADATA: Final = ("metadata", "csmd")
_ATTRIBUTES: Final = ("attributes", "attr")
_CONNECTORS: Final = ("connectors", "conn", "connector")
_OF_STATION: Final = ("station", "stations", "st")
_ATTRIBUTE_FIELDS: Final = ("attrvalid", "trans", "attrval")
_DIGITS: Final = re.compile(r"[0-9]{1,9}")


class _Element:
    """An element of a record. Names are in lower case and without prefix."""

    __slots__ = ("attributes", "children", "name", "pieces")

    def __init__(self, name: str, attributes: dict[str, str]) -> None:
        self.name = name
        self.attributes = attributes
        self.children: list[_Element] = []
        self.pieces: list[str] = []

    @property
    def text(self) -> str:
        return "".join(self.pieces).strip()

    def field(self, name: str) -> str:
        """What a child or, without one, an attribute of this name says; empty where there is neither."""
        for child in self.children:
            if child.name == name:
                return child.text
        return self.attributes.get(name, "")

    def first(self, names: tuple[str, ...]) -> _Element | None:
        return next((child for child in self.children if child.name in names), None)


class _Reader:
    """Takes the parser's events and gathers records, one at a time."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._depth = 0
        self._open: list[_Element] = []
        self._record_depth = 0
        self._record_bytes = 0
        self._reason = ""
        self._error: list[str] | None = None
        self.found = False
        self.done: list[dict[str, object] | str] = []

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > self._limits.document_depth_max:
            raise InvalidRegister(f"the file nests deeper than {self._limits.document_depth_max}")
        name = _lowered(tag)
        if self._record_depth:
            self._element(name, tag, attributes)
        elif name == _RECORD:
            self.found = True
            self._record_depth = self._depth
            self._element(name, tag, attributes)
        elif name == _LIST:
            self.found = True
        elif name == _ERROR:
            self._error = []

    def end(self, tag: str) -> None:
        if self._record_depth == self._depth:
            self._finish()
        elif self._record_depth:
            if self._open and not self._reason:
                self._open.pop()
        elif self._error is not None and _lowered(tag) == _ERROR:
            raise InvalidRegister(
                f"NOBIL answered with an error instead of stations: {quoted(''.join(self._error), 255)}"
            )
        self._depth -= 1

    def text(self, text: str) -> None:
        if self._record_depth:
            self._grow(len(text))
            if not self._reason:
                self._open[-1].pieces.append(text)
        elif self._error is not None and len(self._error) < self._limits.text_chars_max:
            self._error.append(text)

    def _element(self, name: str, tag: str, attributes: dict[str, str]) -> None:
        self._grow(2 * len(tag) + sum(len(key) + len(value) for key, value in attributes.items()))
        if self._depth - self._record_depth > self._limits.record_depth_max:
            self._give_up(f"it nests deeper than {self._limits.record_depth_max}")
        if self._reason:
            return
        element = _Element(name, {_lowered(key): value for key, value in attributes.items()})
        if self._open:
            self._open[-1].children.append(element)
        self._open.append(element)

    def _grow(self, size: int) -> None:
        self._record_bytes += size
        if self._record_bytes > self._limits.record_bytes_max:
            self._give_up(self._limits.too_large())

    def _give_up(self, reason: str) -> None:
        self._reason = self._reason or reason
        self._open.clear()

    def _finish(self) -> None:
        self.done.append(self._reason or _record(self._open[0]))
        self._open.clear()
        self._record_depth = self._record_bytes = 0
        self._reason = ""


def _lowered(tag: str) -> str:
    return local(tag).lower()


def records(chunks: Iterable[bytes], limits: Limits) -> Iterator[dict[str, object] | str]:
    """The stations, each `{"csmd": {...}, "attr": {"st": {...}, "conn": {...}}}` with names in lower case;
    for one over a limit, the reason.

    Raises:
        InvalidRegister: it is no well-formed XML, holds no list of stations, an error of NOBIL's, or a
            document type declaration.
    """
    reader = _Reader(limits)
    reading = Reading(reader, token_bytes_max=limits.record_bytes_max)
    reading.listen()
    try:
        for _ in reading.pieces(chunks):
            done, reader.done = reader.done, []
            yield from done
    except Unreadable as error:
        raise InvalidRegister(f"the file is refused: {error}") from error
    yield from reader.done
    if not reader.found:
        raise InvalidRegister("the file is XML, but holds no 'chargerstations' or 'chargerstation' element")


def _record(station: _Element) -> dict[str, object]:
    metadata = station.first(_METADATA) or station
    attributes = station.first(_ATTRIBUTES) or station
    csmd: dict[str, object] = dict(metadata.attributes)
    for child in metadata.children:
        csmd[child.name] = child.text
    own = attributes.first(_OF_STATION)
    return {
        "csmd": csmd,
        "attr": {"st": {} if own is None else _attributes(own), "conn": _connectors(attributes)},
    }


def _connectors(attributes: _Element) -> dict[str, object]:
    """The connectors by number: `attributes/connectors/connector[@id]`, or elements that stand for these."""
    found: list[_Element] = []
    for child in attributes.children:
        if child.name not in _CONNECTORS:
            continue
        if _is_connector(child):
            found.append(child)
        else:
            found.extend(child.children)
    numbered: dict[str, object] = {}
    for place, connector in enumerate(found, start=1):
        number = connector.field("id") or _digits(connector.name) or str(place)
        numbered[number if number not in numbered else f"{number} again, {place}"] = _attributes(connector)
    return numbered


def _is_connector(element: _Element) -> bool:
    return any(child.field("attrtypeid") for child in element.children)


def _attributes(connector: _Element) -> dict[str, object]:
    holder = connector if _is_connector(connector) else connector.first(_ATTRIBUTES) or connector
    attributes: dict[str, object] = {}
    for child in holder.children:
        number = child.field("attrtypeid") or child.attributes.get("id", "") or _digits(child.name)
        if number:
            attributes[number] = {name: child.field(name) for name in _ATTRIBUTE_FIELDS}
    return attributes


def _digits(text: str) -> str:
    match = _DIGITS.search(text)
    return match[0] if match else ""
