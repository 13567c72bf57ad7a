"""Values in messages: what somebody wrote, quoted so that people who know no Python can read it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

import msgspec

QUOTED_CHARACTERS_MAX: Final = 80
"""Enough to recognize what was written; a message is one line."""

_USER: Final = re.compile(r"//[^\s\"]*@")


def quoted(value: object, characters_max: int = QUOTED_CHARACTERS_MAX) -> str:
    """The value as JSON: texts in double quotes, `true`, `null`, `[1, 2]`.

    What is longer than `characters_max` ends in `...`. Characters that a terminal would obey, or that cannot
    be seen, are escaped. What JSON does not have is quoted as a text.
    """
    if isinstance(value, bytes):
        value = value.decode(errors="backslashreplace")
    if isinstance(value, str):
        return _json(value if len(value) <= characters_max else f"{value[:characters_max]}...")
    text = _json(value)
    return text if len(text) <= characters_max else f"{text[:characters_max]}..."


def without_user(url: str) -> str:
    """An address without the user and the password in it: `postgresql://***@host/database`.

    Whatever is before the last `@` is left out, so that no password is shown because it is written wrongly.
    """
    return _USER.sub("//***@", url)


def cause(error: Exception) -> str:
    """Why something failed, in words: an error of the system without Python's number and file name."""
    if isinstance(error, UnicodeDecodeError):
        return "not UTF-8"
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _json(value: object) -> str:
    if isinstance(value, str):
        # UTF-8 has no lone surrogates; they come from names of files and from the JSON of others.
        value = value.encode(errors="backslashreplace").decode()
    try:
        text = msgspec.json.encode(value, enc_hook=str).decode()
    except (UnicodeEncodeError, ValueError, TypeError, RecursionError):
        return _json(str(value))
    return text if text.isprintable() else "".join(map(_visible, text))


def _visible(character: str) -> str:
    if character.isprintable():
        return character
    units = character.encode("utf-16-be").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Part of a message about an unknown word: `; did you mean country?`. Empty where none is close."""
    close = get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""
