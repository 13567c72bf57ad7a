"""How single fields of a station are read, whatever register or protocol they are from.

Knows what free text may hold and must not. Must not know of anybody's names for a field.
"""

from __future__ import annotations

import html
import math
import re
from typing import Final
from urllib.parse import SplitResult, urlsplit

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

WEB_ADDRESS_CHARS_MAX: Final = 2_000
"""Browsers, servers and caches take as many; a picture's address with a signature has some 600."""
EMAIL_CHARS_MAX: Final = 254
"""RFC 5321, section 4.5.3.1.3: a path of 256 octets, of which two are its angle brackets."""
PHONE_CHARS_MAX: Final = 40
"""ITU-T E.164 allows 15 digits; with `00`, `(0)`, spaces and an extension it stays below this."""
PHONE_DIGITS: Final = range(3, 21)
"""From an emergency number to an international one with an extension."""

_HOST: Final = r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.)+[^\W\d_](?:[\w-]{0,61}[^\W_])?"
"""A name on the public network: labels with a dot between, of letters in any script, digits and hyphens (RFC
1035, section 2.3.1; RFC 5890); the last begins with a letter, so that it is no IPv4 address."""
_HOST_CHARS_MAX: Final = 253
"""RFC 1035, section 2.3.4, written with dots."""
_PUBLIC_HOST: Final = re.compile(_HOST)
_EMAIL: Final = re.compile(rf"[^\s@<>()\[\],;:\"\\]{{1,64}}@({_HOST})")
_PHONE: Final = re.compile(r"[+(]?[0-9][0-9 ()./-]*(?: ?(?:ext\.?|x|#) ?[0-9]{1,6})?", re.IGNORECASE)
_NOT_IN_ADDRESSES: Final = re.compile(r"[\s<>\"\\^`{|}]")
"""RFC 3986, appendix A. A browser takes a backslash for a slash; what checks a host may not."""


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


def too_many(what: str, most: int) -> str:
    """Why a station with more than `most` parts of a kind is refused, and what to do."""
    return f"it has more than {most} {what}; one station has at most {most}: split it into several stations"


def web_address(value: object, what: str, notes: Notes) -> str:
    """An address that a browser may be sent to: `http` or `https`, a host of the public network, no user
    and no password; else empty, which is noted.

    Nothing in it is read, folded or corrected but its scheme's letters: another address would be somebody
    else's.
    """
    text = value.strip() if isinstance(value, str) else plain(value)
    if not text:
        return ""
    fault = _address_fault(text)
    if fault is not None:
        notes.add(f"the address of its {what} {fault}, and was left out")
        return ""
    scheme, _, rest = text.partition(":")
    return f"{scheme.lower()}:{rest}"


def phone(value: object, what: str, notes: Notes) -> str:
    """The telephone number of an organisation, as it is written but for `tel:`; else empty, and noted."""
    text = plain(value).removeprefix("tel:").strip()
    if not text:
        return ""
    digits = sum(character.isdigit() for character in text)
    if len(text) > PHONE_CHARS_MAX or digits not in PHONE_DIGITS or _PHONE.fullmatch(text) is None:
        notes.add(f"the telephone number of its {what} is none, and was left out")
        return ""
    return text


def email(value: object, what: str, notes: Notes) -> str:
    """The e-mail address of an organisation, without `mailto:`; else empty, which is noted."""
    text = plain(value).removeprefix("mailto:").strip()
    if not text:
        return ""
    match = _EMAIL.fullmatch(text) if len(text) <= EMAIL_CHARS_MAX else None
    if match is None:
        notes.add(f"the e-mail address of its {what} is none, and was left out")
        return ""
    return text


def _address_fault(text: str) -> str | None:
    if len(text) > WEB_ADDRESS_CHARS_MAX:
        return f"has more than {WEB_ADDRESS_CHARS_MAX} characters"
    if not text.isprintable() or _NOT_IN_ADDRESSES.search(text):
        return "has characters that an address cannot have"
    try:
        parts = urlsplit(text)
        is_public = _is_public(parts)
    except ValueError:
        return "cannot be read"
    if parts.scheme not in {"http", "https"}:
        return "is neither https nor http"
    if "@" in parts.netloc:
        return "names a user"
    return None if is_public else "names no host of the public network"


def _is_public(parts: SplitResult) -> bool:
    host = (parts.hostname or "").removesuffix(".")
    return len(host) <= _HOST_CHARS_MAX and _PUBLIC_HOST.fullmatch(host) is not None and parts.port != 0


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
