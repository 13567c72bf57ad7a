"""DATEX II status publications as XML.

Knows where the elements stand, by their local names: neither prefixes nor the wrapper around the publication
(`payload`, `messageContainer`, a SOAP envelope) matter. Must not know what the words mean.
"""

from __future__ import annotations

from typing import Final

from ladestrom.errors import MalformedBody, TooLarge
from ladestrom.markup import Reading, Unreadable, local
from ladestrom.protocols.datex2_status import Exchange, Facility, Publication

DEPTH_MAX: Final = 64
"""Nested elements. A price with its periods, the deepest there is, nests 14 deep below a SOAP body."""
TOKEN_BYTES_MAX: Final = 1 << 16
"""Of one tag or comment; real ones have some hundred bytes, and expat holds it whole."""
NAMES_MAX: Final = 1_000
"""Tags whose local names are kept at hand; real documents have some forty."""
TEXT_CHARACTERS_MAX: Final = 1_000
"""Of one word, time or id: what is beyond is wrong in any case."""

FACILITIES: Final = {
    "energyInfrastructureSiteStatus": 1,
    "energyInfrastructureStationStatus": 2,
    "refillPointStatus": 3,
}
"""How deep each stands in the tree of sites, stations and points."""

LEVELS: Final = len(FACILITIES)

WORDS: Final = {
    "lastUpdated": "updated",
    "openingStatus": "opening",
    "operationStatus": "operation",
    "isAvailable": "available",
    "status": "status",
}
"""Children of a facility, and what they say of it."""
AROUND: Final = frozenset({"codedExchangeProtocol", "exchangeSpecificationVersion", "publicationTime"})
STATUS_PUBLICATION: Final = "EnergyInfrastructureStatusPublication"


class _Reader:
    """Takes the parser's events. Elements that say nothing of a status are passed over."""

    __slots__ = (
        "_depth",
        "_facilities",
        "_facilities_max",
        "_faulty",
        "_level",
        "_names",
        "_open",
        "_pieces",
        "_text_depth",
        "_word",
        "exchange",
        "publication",
        "reading",
    )

    def __init__(self, facilities_max: int) -> None:
        self._facilities = 0
        self._facilities_max = facilities_max
        self.publication = Publication()
        self.exchange: dict[str, str] | None = None
        self.reading = Reading(self, token_bytes_max=TOKEN_BYTES_MAX)
        self._depth = 0
        self._level = 0
        """Depth of the innermost facility that is open; 0 while none is."""
        self._open: list[tuple[Facility, int]] = []
        self._word = ""
        """What is being read."""
        self._text_depth = 0
        """Depth of its element; 0 while nothing is being read."""
        self._pieces: list[str] = []
        self._faulty = 0
        """Depth of the fault of the innermost facility; 0 where it has none."""
        self._names: dict[str, str] = {}
        """Of the tags seen."""

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth = depth = self._depth + 1
        level = self._level
        if level and depth > level + 1:
            if depth > DEPTH_MAX or depth == self._faulty + 1:
                self._deeper(tag, depth)
            return
        name = self._names.get(tag)
        if name is None:
            name = local(tag)
            if len(self._names) < NAMES_MAX:
                self._names[tag] = name
        if not level:
            self._outside(name, attributes)
            return
        word = WORDS.get(name)
        if word is not None:
            if attributes and word == "status":
                self._open[-1][0].extended = _attribute(attributes, "_extendedValue")
            self._word = word
            self._text_depth = depth
            self._pieces = []
            self.reading.listen()
        elif name == "reference":
            self._open[-1][0].reference = _attribute(attributes, "id").strip()
        else:
            self._part(name)

    def _deeper(self, tag: str, depth: int) -> None:
        if depth > DEPTH_MAX:
            raise Unreadable(f"it nests deeper than {DEPTH_MAX} elements")
        if local(tag) == "faultImpactSeverity":
            self._listen("severity")

    def _part(self, name: str) -> None:
        rank = FACILITIES.get(name, 0)
        if rank > len(self._open):
            self._begin(rank)
        elif name == "fault":
            self._open[-1][0].fault = True
            self._faulty = self._depth

    def _outside(self, name: str, attributes: dict[str, str]) -> None:
        if self._depth > DEPTH_MAX:
            raise Unreadable(f"it nests deeper than {DEPTH_MAX} elements")
        rank = FACILITIES.get(name, 0)
        if rank:
            self.publication.found = True
            self._begin(rank)
        elif name in AROUND:
            self._listen(name)
        elif name == "exchangeInformation":
            self.exchange = self.exchange or {}
        else:
            kind = name if not attributes else local(_attribute(attributes, "type")) or name
            if kind.endswith("Publication") and kind != "payloadPublication":
                if kind == STATUS_PUBLICATION:
                    self.publication.found = True
                else:
                    self.publication.table = True

    def _begin(self, rank: int) -> None:
        """Opens a facility, within wholes of its own where the document leaves these out."""
        self._facilities += 1
        if self._facilities > self._facilities_max:
            raise TooLarge(f"the publication has more than {self._facilities_max} sites, stations and points")
        self._level = self._depth
        self._faulty = 0
        while len(self._open) < rank:
            facility = Facility()
            whole = self._open[-1][0].parts if self._open else self.publication.sites
            whole.append(facility)
            self._open.append((facility, self._depth))

    def _listen(self, word: str) -> None:
        self._word = word
        self._text_depth = self._depth
        self._pieces = []
        self.reading.listen()

    def text(self, text: str) -> None:
        self._pieces.append(text)

    def end(self, tag: str) -> None:  # noqa: ARG002 - expat checks that it is the one that began
        depth = self._depth
        self._depth = depth - 1
        if depth == self._text_depth:
            self._told()
        elif depth == self._level:
            self._close(depth)
        elif depth == self._faulty:
            self._faulty = 0

    def _close(self, depth: int) -> None:
        opened = self._open
        while opened and opened[-1][1] == depth:
            opened.pop()
        self._level = opened[-1][1] if opened else 0
        self._faulty = 0

    def _told(self) -> None:
        self.reading.ignore()
        self._text_depth = 0
        word = self._word
        pieces = self._pieces
        text = (pieces[0] if len(pieces) == 1 else "".join(pieces))[:TEXT_CHARACTERS_MAX].strip()
        if self._open:
            setattr(self._open[-1][0], word, text)
        elif word == "publicationTime":
            self.publication.published = text
        else:
            self.exchange = {**(self.exchange or {}), word: text}


def read(body: bytes, points_max: int) -> Publication:
    """Reads one message.

    Raises:
        MalformedBody: it is no XML, or has what is never read; nothing of it is used.
        TooLarge: it has more facilities than so many points can have; nothing of it is used.
    """
    reader = _Reader(LEVELS * points_max)
    try:
        reader.reading.whole(body)
    except Unreadable as error:
        raise MalformedBody(f"the body is refused: {error}; none of it was accepted") from error
    publication = reader.publication
    if reader.exchange is not None:
        publication.exchange = Exchange(
            reader.exchange.get("codedExchangeProtocol", ""),
            reader.exchange.get("exchangeSpecificationVersion", ""),
        )
    return publication


def _attribute(attributes: dict[str, str], name: str) -> str:
    """An attribute, whatever its prefix."""
    value = attributes.get(name)
    if value is not None:
        return value
    return next((value for key, value in attributes.items() if local(key) == name), "")
