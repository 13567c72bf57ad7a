"""How single fields of a station are read, whatever register or protocol they are from.

Knows what free text may hold and must not. Must not know of anybody's names for a field.
"""

from __future__ import annotations

import html
import math
import re
from typing import Final

from ladestrom.quoting import quoted as as_json

FOLDABLE: Final = (str, int, float)
TRUE: Final = frozenset({"1", "true", "vrai", "oui", "yes", "y", "t", "o"})
FALSE: Final = frozenset({"", "0", "false", "faux", "non", "no", "n", "f"})

_UNPRINTABLE: Final = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff\ufff9-\uffff]+"
)
"""Control characters, and those that change the direction or the visibility of what follows them."""

_CONTACT: Final = re.compile(
    r"""
      (?: \b (?:mailto|tel|sms) : \S+ )
    | (?: (?<! [^\s<>()\[\],;:"'@] ) [^\s<>()\[\],;:"'@]*+ @ [^\s<>()\[\],;:"']* )
    | (?: (?<![\w.]) (?: (?: tel | tlf | tfn | telefon | téléphone | phone | mob | mobil | gsm ) \b [.:\s]* )?
          (?: (?: \+ | \b00 ) [1-9] (?: [\s./()-]* \d ){6,14}     # international
            | \b 0 \d (?: [ .-]? \d\d ){4} \b                     # France
            | \b 0 \d{1,3} [ -] \d{2,3} (?: [ ]? \d\d ){2} \b     # Sweden, Finland
            | \b \d{3} [ ] \d{2} [ ] \d{3} \b                     # Norway, mobile
            | \b \d{2} (?: [ ] \d{2} ){3} \b                      # Norway, Denmark
          ) )
    | (?: \b (?: tel | tlf | tfn | telefon | téléphone | phone | mob | mobil | gsm ) \b [.:\s]*
          \d (?: [\s./-]? \d ){4,14} )
    """,
    re.VERBOSE | re.IGNORECASE,
)
_MAYBE_CONTACT: Final = re.compile(
    r"@|\d\D{0,3}\d\D{0,3}\d\D{0,3}\d\D{0,3}\d|tel:|sms:|mailto:", re.IGNORECASE
)

_HAS_SIGN: Final = re.compile(r"[\d@:]")
"""What all contact data has one of; most names of places have none."""

_DECIMAL: Final = re.compile(r"[+-]?\d{1,15}(?:[.,]\d{1,30})?(?:[eE][+-]?\d{1,2})?")


class Unusable(Exception):
    """A record has to be refused; `str(error)` is the reason. Never leaves the parser that raised it."""


class Notes:
    """What was odd about one record, and how it was read: each thing once, at most `notes_max`."""

    def __init__(self, notes_max: int) -> None:
        self._notes_max = notes_max
        self._notes: dict[str, None] = {}

    def add(self, note: str) -> None:
        self._notes[note] = None

    def all(self) -> tuple[str, ...]:
        notes = tuple(self._notes)
        if len(notes) <= self._notes_max:
            return notes
        return (*notes[: self._notes_max], f"and {len(notes) - self._notes_max} more notes")


def plain(value: object) -> str:
    """A value as one line of text: numbers written out, HTML entities read, white space and control
    characters folded; empty for everything that is no text and no number (`false` too, which PHP writes
    for nothing).
    """
    if not isinstance(value, FOLDABLE) or isinstance(value, bool):
        return ""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:  # noqa: PLR2004 - a float holds it exactly
        value = int(value)
    text = value if isinstance(value, str) else str(value)
    if text.isascii() and text.isprintable() and "&" not in text:
        return " ".join(text.split()) if "  " in text else text.strip()
    if "&" in text:
        text = html.unescape(text)
    return " ".join(_UNPRINTABLE.sub(" ", text).split())


def identifier(value: object) -> str:
    """An id as it is written, without white space around it; empty for what can be none.

    Nothing within it is folded: two ids that differ would become one. One with characters that nobody sees is
    none.
    """
    text = value.strip() if isinstance(value, str) else plain(value)
    return text if text.isprintable() else ""


def clean(value: object, what: str, chars_max: int, notes: Notes) -> str:
    """Free text for the registry: `plain`, without contact data, cut to `chars_max` characters.

    People's e-mail addresses and telephone numbers are not part of a register of stations, wherever
    they stand.
    """
    text = plain(value)
    if not text:
        return ""
    cut = len(text) > chars_max
    text = text[: 4 * chars_max]
    if _HAS_SIGN.search(text) and _MAYBE_CONTACT.search(text):
        without = " ".join(_CONTACT.sub(" ", text).split())
        if without != text:
            notes.add(f"contact data was left out of its {what}")
            text = without.strip(" ,;:-/")
    if cut:
        notes.add(f"its {what} was cut to {chars_max} characters")
    return text[:chars_max].rstrip()


def quoted(value: object, chars_max: int = 40) -> str:
    """A source's value for a note or a reason: short, and without contact data."""
    text = _CONTACT.sub(" ", plain(value)[: 4 * chars_max]).strip()
    return as_json(text, chars_max)


def decimal(value: object) -> float | None:
    """A finite number out of a number, or out of text (decimal point or comma); None for all else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        # An int may be too long for a float.
        return float(value) if -1e300 < value < 1e300 and math.isfinite(value) else None  # noqa: PLR2004 - a float
    if isinstance(value, str) and _DECIMAL.fullmatch(text := value.strip()):
        return float(text.replace(",", "."))
    return None


def truth(value: object) -> bool | None:
    """A truth value in any of the words that registers use; None where it is none of them."""
    if isinstance(value, bool):
        return value
    if value is None:
        return False
    text = plain(value).casefold()
    return True if text in TRUE else False if text in FALSE else None
