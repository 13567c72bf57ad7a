"""Which of several texts that say the same in different languages a record has: one.

Knows which languages countries write on their signs. Must not know of any register.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Final

from ladestrom.countries import country

_SPOKEN: Final = """
AD:ca AL:sq AT:de AX:sv BA:bs BE:nl,fr,de BG:bg BY:be,ru CH:de,fr,it CY:el CZ:cs DE:de DK:da EE:et
ES:es,ca,eu,gl FI:fi,sv FO:fo,da FR:fr GB:en GF:fr GI:en GL:kl,da GP:fr GR:el HR:hr HU:hu IE:en IM:en
IS:is IT:it JE:en GG:en LI:de LT:lt LU:fr,de,lb LV:lv MC:fr MD:ro ME:sr MK:mk MQ:fr MT:en,mt NC:fr NL:nl
NO:nb,no,nn PF:fr PL:pl PM:fr PT:pt RE:fr RO:ro RS:sr SE:sv SI:sl SJ:nb,no,nn SK:sk SM:it TR:tr UA:uk
VA:it YT:fr AU:en CA:en,fr IN:en,hi IL:he,en JP:ja NZ:en US:en
"""
"""By ISO 3166-1 alpha-2, in the order in which they are preferred: most speakers first (ISO 639-1)."""

ELSEWHERE: Final = "en"
"""What is taken where none of the place's languages is there."""


def _table() -> dict[str, tuple[str, ...]]:
    pairs = (pair.split(":") for pair in _SPOKEN.split())
    return {country(land) or land: tuple(languages.split(",")) for land, languages in pairs}


SPOKEN: Final = MappingProxyType(_table())
"""By the letters that `countries.country` writes."""


def chosen(texts: Sequence[tuple[str, str]], land: str) -> str:
    """The text in a language of the country, else that in English, else the first; empty of none.

    Args:
        texts: language (`nb`, `nb-NO`) and text of each; those without a text do not count.
        land: as `countries.country` writes it.
    """
    there = [(language.strip().lower()[:2], text) for language, text in texts if text]
    for wanted in (*SPOKEN.get(land, ()), ELSEWHERE):
        for language, text in there:
            if language == wanted:
                return text
    return there[0][1] if there else ""


def of(land: str) -> str | None:
    """In which language a text of the country most likely is; None where that is not known."""
    return next(iter(SPOKEN.get(land, ())), None)
