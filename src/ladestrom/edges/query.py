"""What a request's query says, as far as no filter says it (`core.selection`).

Version 2 refuses what it does not know, by name: a filter with a wrong name would let everything pass.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from ladestrom.errors import BadRequest, InvalidSelection
from ladestrom.quoting import did_you_mean, quoted

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


def known(pairs: Iterable[tuple[str, str]], names: Collection[str]) -> dict[str, str]:
    """The parameters of a request of version 2.

    Raises:
        InvalidSelection: one is not among these names, comes twice, or has no value.
    """
    query: dict[str, str] = {}
    for name, value in pairs:
        if name not in names:
            hint = did_you_mean(name, sorted(names))
            among = (
                f"; the parameters here are {', '.join(sorted(names))}" if names else "; there are none here"
            )
            raise InvalidSelection(f"the parameter {quoted(name, 40)} is unknown{hint or among}")
        if name in query:
            raise InvalidSelection(f"{name} occurs twice; write its values once, separated by commas")
        if not value.strip():
            raise InvalidSelection(f"{name} has no value; omit it, or give it one")
        query[name] = value
    return query
