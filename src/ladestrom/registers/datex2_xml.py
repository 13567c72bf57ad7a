"""The sites of a DATEX II table publication as XML, brought into the shape of its JSON encoding.

Knows local names and where sites stand. Must not know what is in a site. Attributes are members whose names
begin with `@`; text beside attributes is the member `value`, as JSON has it of enumerations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ladestrom.errors import InvalidRegister
from ladestrom.markup import Reading, Unreadable, local

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ladestrom.registers.limits import Limits

SITE: Final = "energyInfrastructureSite"
TABLE: Final = "energyInfrastructureTable"
CREATOR: Final = "publicationCreator"
PUBLICATION: Final = "EnergyInfrastructureTablePublication"


class _Element:
    __slots__ = ("attributes", "members", "name", "pieces")

    def __init__(self, name: str, attributes: dict[str, str]) -> None:
        self.name = name
        self.attributes = attributes
        self.members: dict[str, list[object]] = {}
        self.pieces: list[str] = []

    def value(self) -> object:
        """Text where there is nothing else, else an object: one member where it stands once, else a list."""
        text = "".join(self.pieces).strip()
        if not self.attributes and not self.members:
            return text
        made: dict[str, object] = {f"@{local(name)}": value for name, value in self.attributes.items()}
        if text:
            made["value"] = text
        for name, values in self.members.items():
            made[name] = values[0] if len(values) == 1 else values
        return made


class _Reader:
    """Takes the parser's events and gathers one site at a time."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._depth = 0
        self._open: list[_Element] = []
        self._record_depth = 0
        self._record_bytes = 0
        self._reason = ""
        self.reading = Reading(self, token_bytes_max=limits.record_bytes_max)
        self.reading.listen()
        self.found = False
        self.done: list[tuple[str, object]] = []
        """`creator` and what it is; `site` and what it is, a text where it was skipped."""

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > self._limits.document_depth_max:
            raise Unreadable(f"it nests deeper than {self._limits.document_depth_max}")
        name = local(tag)
        if self._record_depth:
            self._element(name, tag, attributes)
        elif name in {SITE, CREATOR}:
            self.found = self.found or name == SITE
            self._record_depth = self._depth
            self._element(name, tag, attributes)
        else:
            kinds = {name, *(local(value) for key, value in attributes.items() if local(key) == "type")}
            self.found = self.found or not kinds.isdisjoint({TABLE, PUBLICATION})

    def _element(self, name: str, tag: str, attributes: dict[str, str]) -> None:
        self._grow(2 * len(tag) + sum(len(key) + len(value) for key, value in attributes.items()))
        if self._depth - self._record_depth > self._limits.record_depth_max:
            self._give_up(f"it nests deeper than {self._limits.record_depth_max}")
        if not self._reason:
            self._open.append(_Element(name, attributes))

    def text(self, text: str) -> None:
        if self._record_depth:
            self._grow(len(text))
            if self._open:
                self._open[-1].pieces.append(text)

    def end(self, tag: str) -> None:  # noqa: ARG002 - expat checks that it is the one that began
        if self._record_depth == self._depth:
            self._finish()
        elif self._open:
            element = self._open.pop()
            self._open[-1].members.setdefault(element.name, []).append(element.value())
        self._depth -= 1

    def _grow(self, size: int) -> None:
        self._record_bytes += size
        if self._record_bytes > self._limits.record_bytes_max:
            self._give_up(self._limits.too_large())

    def _give_up(self, reason: str) -> None:
        self._reason = self._reason or reason
        self._open.clear()

    def _finish(self) -> None:
        self.done.append(
            (SITE, self._reason) if self._reason else (self._open[0].name, self._open[0].value())
        )
        self._open.clear()
        self._record_depth = self._record_bytes = 0
        self._reason = ""


def records(chunks: Iterable[bytes], limits: Limits) -> Iterator[tuple[str, object]]:
    """What the document holds, in order: `publicationCreator` and sites, each by its name; a site that was
    skipped is a text, and says why.

    Raises:
        InvalidRegister: it is no XML, is cut off, over a limit, or no table publication.
    """
    reader = _Reader(limits)
    try:
        for _ in reader.reading.pieces(chunks):
            done, reader.done = reader.done, []
            yield from done
    except Unreadable as error:
        raise InvalidRegister(f"the file is refused: {error}") from error
    yield from reader.done
    if not reader.found:
        raise InvalidRegister(f"the file is XML, but no {PUBLICATION}")
