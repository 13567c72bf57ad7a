"""The page's words as its files have them, for what a document says before its scripts run: title, language.

Knows the form of `static/words/*.js`, and nothing of what the words are about.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Final

USUAL: Final = "en"
SAME: Final[Mapping[str, str]] = {"no": "nb", "nn": "nb"}
"""Languages that are close enough to one that there is."""
RANGES_MAX: Final = 20
"""Of Accept-Language that are looked at: browsers send a few."""
_ENTRY: Final = re.compile(r'^  "([\w.]+)":\s+("(?:[^"\\]|\\.)*"),$', re.MULTILINE)


class Wording:
    """The words of one folder, read when they are first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @cached_property
    def _words(self) -> Mapping[str, Mapping[str, str]]:
        return {
            path.stem: {name: json.loads(text) for name, text in _ENTRY.findall(path.read_text("utf-8"))}
            for path in sorted(self._folder.glob("*.js"))
        }

    def language(self, accepted: str) -> str:
        """The first language that a visitor reads and there is (RFC 9110, section 12.5.4)."""
        wanted = []
        for place, part in enumerate(accepted.split(",")[:RANGES_MAX]):
            name, _, rest = part.strip().partition(";")
            weight = _weight(rest)
            base = name.strip().partition("-")[0].lower()
            if weight > 0:
                wanted.append((-weight, place, SAME.get(base, base)))
        return next((name for _, _, name in sorted(wanted) if name in self._words), USUAL)

    def word(self, language: str, name: str) -> str:
        """A word; in English where a language lacks it, and its name where all do."""
        return self._words.get(language, {}).get(name) or self._words.get(USUAL, {}).get(name, name)


def _weight(parameter: str) -> float:
    name, _, value = parameter.strip().partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0
