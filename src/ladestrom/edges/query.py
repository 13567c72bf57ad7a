"""What a request's query says, as far as no filter says it (`core.selection`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ladestrom.errors import BadRequest
from ladestrom.quoting import quoted

SHOWN_CHARACTERS_MAX: Final = 20


def whole_number(query: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    """A parameter that is a whole number, in plain digits.

    Raises:
        BadRequest: it is something else, or out of its range.
    """
    text = query.get(name)
    if text is None:
        return default
    is_number = text.isascii() and text.isdecimal() and len(text) <= len(str(most))
    if not is_number or not least <= int(text) <= most:
        shown = text[:SHOWN_CHARACTERS_MAX]
        raise BadRequest(f"{name}={quoted(shown)} is not a number from {least} to {most}")
    return int(text)
