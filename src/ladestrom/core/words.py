"""How the words of an enumeration compare: `Out of Order`, `OUT_OF_ORDER` and `outoforder` are the same word.

Knows spelling. Must not know any protocol's words.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Final, Generic, TypeVar

WORD_CHARACTERS_MAX: Final = 64
"""A longer text is no word of an enumeration; the longest that any protocol has is 34 (OCPP, `errorCode`)."""

T = TypeVar("T")


def bare(word: str) -> str:
    """A word without what does not count: case, accents, white space and underscores."""
    if len(word) > WORD_CHARACTERS_MAX:
        return word
    if not word.isascii():
        word = "".join(
            each for each in unicodedata.normalize("NFKD", word) if not unicodedata.combining(each)
        )
    return "".join(word.replace("_", " ").split()).casefold()


class Vocabulary(Generic[T]):
    """The words of one enumeration and what they mean."""

    __slots__ = ("_bare", "_exact")

    def __init__(self, meanings: Mapping[str, T]) -> None:
        self._exact = dict(meanings)
        self._bare = {bare(word): meaning for word, meaning in meanings.items()}

    def find(self, word: str) -> T | None:
        """What a word means, however it is spelled; None for a word that is not in the enumeration."""
        found = self._exact.get(word)
        return self._bare.get(bare(word)) if found is None else found
