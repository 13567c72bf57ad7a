"""XML within limits: elements as they come, and nothing else that XML can do.

Knows expat, of the standard library: it reads a document of any size in pieces, in any encoding that the
document declares, and is as fast as what its callbacks do. Must not know any document. A document type
declaration is refused before anything of it is read, so there are no entities to expand and no files or
addresses to fetch. Names come as they are written; `local` takes the prefix off, so that it does not matter
how a document binds its namespaces.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, Protocol
from xml.parsers import expat

PIECE_BYTES: Final = 1 << 16
"""Handed to expat at a time: what it holds of a tag that does not end is looked at in between."""


class Unreadable(Exception):
    """The document is no XML, or over a limit; `str(error)` says what it is or has."""


class Handler(Protocol):
    """What takes the elements. It may raise `Unreadable` itself."""

    def start(self, tag: str, attributes: dict[str, str]) -> None: ...

    def end(self, tag: str) -> None: ...

    def text(self, text: str) -> None:
        """Characters, in pieces of any size, as the handler asked for them (`Reading.listen`)."""
        ...


class Reading:
    """One document that is read."""

    __slots__ = ("_fed", "_parser", "_text", "_token_bytes_max")

    def __init__(self, handler: Handler, *, token_bytes_max: int) -> None:
        """`token_bytes_max` bounds a tag, comment or processing instruction: expat holds it whole."""
        self._fed = 0
        self._text = handler.text
        self._token_bytes_max = token_bytes_max
        # With a table of names, a document of many names would have the parser keep them all.
        self._parser = parser = expat.ParserCreate(intern=None)
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = _no_doctype
        parser.StartElementHandler = handler.start
        parser.EndElementHandler = handler.end

    def listen(self) -> None:
        """Characters are told from here on. What nobody listens to costs little."""
        self._parser.CharacterDataHandler = self._text

    def ignore(self) -> None:
        """Characters are told no more."""
        self._parser.CharacterDataHandler = None

    def pieces(self, chunks: Iterable[bytes]) -> Iterator[None]:
        """Reads; gives a sign after each chunk, so that what is done can be taken.

        Raises:
            Unreadable: the document is no XML, is cut off, or has what is refused.
        """
        for chunk in chunks:
            for start in range(0, len(chunk), PIECE_BYTES):
                self._feed(chunk[start : start + PIECE_BYTES])
            yield
        self._parse(b"", final=True)

    def whole(self, document: bytes) -> None:
        """Reads a document that is at hand.

        Raises:
            Unreadable: as for `pieces`.
        """
        for _ in self.pieces((document,)):
            pass

    def _feed(self, piece: bytes) -> None:
        self._parse(piece, final=False)
        self._fed += len(piece)
        if self._fed - self._parser.CurrentByteIndex > self._token_bytes_max + len(piece):
            raise Unreadable(f"it has a tag or comment of more than {self._token_bytes_max} bytes")

    def _parse(self, piece: bytes, *, final: bool) -> None:
        try:
            self._parser.Parse(piece, final)
        except expat.ExpatError as error:
            raise Unreadable(f"it cannot be read as XML: {error}") from error
        except (LookupError, ValueError) as error:
            raise Unreadable("it cannot be read as XML: its encoding is unknown or unsuitable") from error


def local(tag: str) -> str:
    """The name of an element or attribute, without its prefix."""
    return tag.rpartition(":")[2]


def _no_doctype(*_: object) -> None:
    raise Unreadable("it has a document type declaration, which is never read")
