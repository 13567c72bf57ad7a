"""XML within limits: elements as they come, and nothing else that XML can do.

Knows expat, of the standard library: it reads a document of any size in pieces, in any encoding that the
document declares, and is as fast as what its callbacks do. Must not know any document. A document type
declaration is refused before anything of it is read, so there are no entities to expand and no files or
addresses to fetch. Names come as they are written; `local` takes the prefix off, so that it does not matter
how a document binds its namespaces.

What programs put around a document is taken off before expat sees it: white space and a byte order mark
before it, NULs behind it, and a declaration of an encoding that its first bytes show to be wrong.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from typing import Final, Protocol
from xml.parsers import expat

PIECE_BYTES: Final = 1 << 16
"""Handed to expat at a time: what it holds of a tag that does not end is looked at in between."""
BEGIN_BYTES: Final = 1 << 12
"""Of white space and the XML declaration, which are looked at before anything is handed on."""
NULS_MAX: Final = 3
"""In a row within a document: text of 16 bits has two at most, and three make it unreadable."""

_BLANK: Final = " \t\r\n\ufeff\u00ef\u00bb\u00bf"
"""The last three are a mark in UTF-8 that is read as Latin-1."""
_DECLARATION: Final = re.compile(r"<\?xml\s[^>]*\?>")
_WIDE: Final = re.compile(
    r"""\sencoding\s*=\s*["'](utf-?16|utf-?32|ucs-?[24]|iso-10646|unicode)""", re.IGNORECASE
)
"""It declares an encoding in which no character is one byte."""


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

    __slots__ = ("_fed", "_nuls", "_parser", "_text", "_token_bytes_max")

    def __init__(self, handler: Handler, *, token_bytes_max: int) -> None:
        """`token_bytes_max` bounds a tag, comment or processing instruction: expat holds it whole."""
        self._fed = 0
        self._nuls = 0
        """NULs that came last, and are not handed on before something follows them."""
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
        head, is_wide = b"", None
        for chunk in chunks:
            piece = head + chunk if is_wide is None else chunk
            if is_wide is None and b">" not in piece[:-1] and len(piece) < BEGIN_BYTES:
                head = piece
            elif is_wide is None:
                piece, is_wide = _begun(piece)
                self._take(piece)
            else:
                self._take(piece)
            yield
        if is_wide is None:
            piece, is_wide = _begun(head)
            self._take(piece)
        # The last character of a text of 16 bits may end in a NUL of its own.
        self._parse(b"\0" * (self._nuls % 2 if is_wide else 0), final=True)

    def whole(self, document: bytes) -> None:
        """Reads a document that is at hand.

        Raises:
            Unreadable: as for `pieces`.
        """
        for _ in self.pieces((document,)):
            pass

    def _take(self, chunk: bytes) -> None:
        content = chunk.rstrip(b"\0")
        if content:
            content = b"\0" * min(self._nuls, NULS_MAX) + content
            self._nuls = 0
            for start in range(0, len(content), PIECE_BYTES):
                self._feed(content[start : start + PIECE_BYTES])
        self._nuls += len(chunk) - len(chunk.rstrip(b"\0"))

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


def is_markup(head: bytes) -> bool:
    """Whether a document that begins so is XML."""
    encoding, _ = _encoding(head)
    return head[: len(head) & ~1].decode(encoding, "replace").lstrip(_BLANK).startswith("<")


def _encoding(head: bytes) -> tuple[str, bytes]:
    """The encoding of a document's beginning, as far as its first bytes tell, and the mark of that encoding.

    Latin-1 stands for all in which the characters of XML itself are one byte each.
    """
    if head.startswith(codecs.BOM_UTF16_LE) or (head[:1] and head[1:2] == b"\0"):
        return "utf-16-le", codecs.BOM_UTF16_LE
    if head.startswith((codecs.BOM_UTF16_BE, b"\0")):
        return "utf-16-be", codecs.BOM_UTF16_BE
    return "latin-1", codecs.BOM_UTF8 if codecs.BOM_UTF8 in head.lstrip()[:3] else b""


def _begun(head: bytes) -> tuple[bytes, bool]:
    """The beginning as expat takes it, and whether its characters have 16 bits.

    A mark is put back, as it is right whatever the declaration says, and the declaration then left out.
    """
    encoding, mark = _encoding(head)
    is_wide = encoding != "latin-1"
    # A declaration ends with the first of these; the rest of the document is not copied.
    end = len(head) & ~1 if is_wide else head.find(b">") + 1 or len(head)
    begin = head[:end]
    text = begin.decode(encoding, "surrogatepass").lstrip(_BLANK)
    declared = _DECLARATION.match(text)
    if declared is not None and (mark or _WIDE.search(declared[0])):
        text = text[declared.end() :]
    made = mark + text.encode(encoding, "surrogatepass")
    return (head if made == begin else made + head[end:]), is_wide


def local(tag: str) -> str:
    """The name of an element or attribute, without its prefix."""
    return tag.rpartition(":")[2]


def _no_doctype(*_: object) -> None:
    raise Unreadable("it has a document type declaration, which is never read")
