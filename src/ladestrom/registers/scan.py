"""Cuts a register file into records while it is read, so that no more than one of them is held.

Knows bytes, lines and the outer form of JSON. Must not know of any register's names.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from ladestrom.errors import InvalidRegister
from ladestrom.quoting import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ladestrom.registers.limits import Limits

_FILL_BYTES: Final = 1 << 16
"""Small chunks are gathered to this, so that a value in the making is looked at seldom."""
_SCALAR_BYTES_MAX: Final = 400
"""Of a number, `true`, `false` or `null`; a double printed in full has 330."""
_BOM: Final = b"\xef\xbb\xbf"

_SPACE: Final = re.compile(rb"[ \t\r\n]*+")
_SCALAR: Final = re.compile(rb'[^ \t\r\n,:"\[\]{}]*+')
_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_TO_BRACKET: Final = re.compile(rb'(?:[^"\[\]{}]++|"(?:[^"\\]++|\\.)*+")*+(?:([\[{])|[\]}])', re.DOTALL)
_OUTSIDE: Final = re.compile(rb'["\[\]{}]')
_INSIDE: Final = re.compile(rb'"|\\.', re.DOTALL)


def bounded(chunks: Iterable[bytes], limits: Limits) -> Iterator[bytes]:
    """The chunks, without a byte order mark.

    Raises:
        InvalidRegister: together they are over `document_bytes_max`.
    """
    size = 0
    head: bytes | None = b""
    for chunk in chunks:
        size += len(chunk)
        if size > limits.document_bytes_max:
            raise InvalidRegister(
                f"the file is larger than {limits.document_bytes_max} bytes, too large for a register"
            )
        if head is None:
            yield chunk
            continue
        head += chunk
        if len(head) >= len(_BOM):
            yield head.removeprefix(_BOM)
            head = None
    if head:
        yield head


class Line(NamedTuple):
    """A line of a file, without its end."""

    number: int
    """From 1."""
    content: bytes | None
    """None where it is over `record_bytes_max`."""
    ended: bool
    """False for a last line that nothing ends."""


def lines(chunks: Iterable[bytes], limits: Limits) -> Iterator[Line]:
    """Lines ended by LF or CR LF."""
    number = 1
    held: list[bytes] = []
    held_bytes = 0
    for chunk in chunks:
        *ended, rest = chunk.split(b"\n")
        for part in ended:
            content = b"".join((*held, part)) if held else part
            over = held_bytes + len(part) > limits.record_bytes_max
            yield Line(number, None if over else content.removesuffix(b"\r"), ended=True)
            held, held_bytes = [], 0
            number += 1
        held_bytes += len(rest)
        if held_bytes > limits.record_bytes_max:
            held = []
        elif rest:
            held.append(rest)
    if held_bytes:
        over = held_bytes > limits.record_bytes_max
        yield Line(number, None if over else b"".join(held), ended=False)


class JsonScanner:
    """Walks over a JSON document and gives the bytes of chosen values of it.

    It finds where a value ends and leaves it to a decoder to say whether it is one. It holds one value
    of at most `record_bytes_max` and one chunk.
    """

    def __init__(self, chunks: Iterable[bytes], limits: Limits) -> None:
        self._chunks = iter(chunks)
        self._limits = limits
        self._buffer = b""
        self._at = 0

    def peek(self) -> bytes:
        """The next byte that is no white space; empty at the end of the document."""
        while True:
            match = _SPACE.match(self._buffer, self._at)
            self._at = match.end() if match else self._at
            if self._at < len(self._buffer):
                return self._buffer[self._at : self._at + 1]
            if not self._fill():
                return b""

    def take(self, byte: bytes) -> bool:
        """Goes over `byte` if it is next, and says whether it was."""
        if self.peek() != byte:
            return False
        self._at += 1
        return True

    def expect(self, byte: bytes) -> None:
        """Goes over `byte`.

        Raises:
            InvalidRegister: something else is next, or nothing.
        """
        if not self.take(byte):
            found = self.peek()
            if not found:
                raise InvalidRegister(_CUT_OFF)
            raise InvalidRegister(
                f"the file is not JSON: {quoted(byte.decode())} expected, {quoted(found)} found"
            )

    def value(self) -> bytes | str:
        """The bytes of the next value; or, where it is over a limit and was skipped, the reason.

        Raises:
            InvalidRegister: there is none, it does not end, or it nests without end.
        """
        first = self.peek()
        if not first:
            raise InvalidRegister(_CUT_OFF)
        if first in b"[{":
            return self._composite()
        if first == b'"':
            return self._string()
        return self._scalar()

    def _scalar(self) -> bytes | str:
        while True:
            match = _SCALAR.match(self._buffer, self._at)
            end = match.end() if match else self._at
            if end - self._at > _SCALAR_BYTES_MAX:
                raise InvalidRegister(f"the file is not JSON: a word of over {_SCALAR_BYTES_MAX} bytes")
            if end < len(self._buffer) or not self._fill():
                break
        if end == self._at:
            raise InvalidRegister(f"the file is not JSON: a value expected, {quoted(self.peek())} found")
        return self._cut(end)

    def _string(self) -> bytes | str:
        while not (match := _STRING.match(self._buffer, self._at)):
            if self._held() > self._limits.record_bytes_max:
                return self._skip(depth=0)
            self._fill_more()
        return self._cut(match.end())

    def _composite(self) -> bytes | str:
        limits = self._limits
        depth = 0
        at = self._at
        while True:
            match = _TO_BRACKET.match(self._buffer, at)
            if match is None:
                # Filling moves what is held to the beginning of the buffer.
                at -= self._at
                if self._held() > limits.record_bytes_max:
                    self._at += at
                    return self._skip(depth)
                self._fill_more()
                continue
            at = match.end()
            depth += 1 if match.lastindex else -1
            if depth == 0:
                return self._cut(at)
            if depth > limits.record_depth_max:
                self._at = at
                self._skip(depth)
                return f"it nests deeper than {limits.record_depth_max}"

    def _skip(self, depth: int) -> str:
        """Goes on to the end of a value without holding it; `depth` brackets are open."""
        inside = False
        while True:
            match = (_INSIDE if inside else _OUTSIDE).search(self._buffer, self._at)
            if match is None:
                # A backslash at the end of what is there belongs to the byte that follows.
                lone = inside and self._buffer.endswith(b"\\", self._at)
                self._at = len(self._buffer) - lone
                self._fill_more()
                continue
            self._at = match.end()
            found = match[0]
            if found == b'"':
                inside = not inside
            elif not inside:
                depth += 1 if found in b"[{" else -1
                if depth > self._limits.document_depth_max:
                    raise InvalidRegister(f"the file nests deeper than {self._limits.document_depth_max}")
            if depth == 0 and not inside:
                return self._too_large()

    def _too_large(self) -> str:
        return self._limits.too_large()

    def _held(self) -> int:
        return len(self._buffer) - self._at

    def _cut(self, end: int) -> bytes | str:
        begin, self._at = self._at, end
        return self._buffer[begin:end] if end - begin <= self._limits.record_bytes_max else self._too_large()

    def _fill_more(self) -> None:
        if not self._fill():
            raise InvalidRegister(_CUT_OFF)

    def _fill(self) -> bool:
        """Adds what is next of the document; False at its end."""
        parts = [self._buffer[self._at :]]
        size = 0
        for chunk in self._chunks:
            parts.append(chunk)
            size += len(chunk)
            if size >= _FILL_BYTES:
                break
        self._buffer = b"".join(parts)
        self._at = 0
        return size > 0


_CUT_OFF: Final = "the file ends within a value: it is cut off; fetch it again"


def decoded_record(value: bytes | str) -> dict[str, object] | str:
    """One record's object; a text where it is none, or was skipped, and says why."""
    if isinstance(value, str):
        return value
    try:
        found = msgspec.json.decode(value)
    except (ValueError, RecursionError) as error:
        return f"it is not valid JSON: {error}"
    return found if isinstance(found, dict) else "it is no object"


def decoded_list(scanner: JsonScanner) -> Iterator[dict[str, object] | str]:
    """The records of the list that comes next; a text for one that is none, or was skipped, and says why."""
    scanner.expect(b"[")
    if scanner.take(b"]"):
        return
    while True:
        yield decoded_record(scanner.value())
        if not scanner.take(b","):
            break
    scanner.expect(b"]")


def decoded(value: bytes | str) -> object:
    """A name or a small value beside the records; None for one that was skipped for its size.

    Raises:
        InvalidRegister: it is no JSON, and so the file is none.
    """
    if isinstance(value, str):
        return None
    try:
        return msgspec.json.decode(value)
    except (ValueError, RecursionError) as error:
        raise InvalidRegister(f"the file is not valid JSON: {error}") from error
