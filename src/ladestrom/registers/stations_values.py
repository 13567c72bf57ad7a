"""How the cells of a file of one's own stations are read: a value, or a note of what is wrong with it.

Knows words and forms. Must not know of rows or stations. What cannot be read is left out and noted with what
to write instead, so that one wrong cell costs nothing but itself.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from ladestrom.core.fields import FALSE, TRUE, decimal, identifier, plain, quoted
from ladestrom.core.standards import STANDARDS_2_2_1
from ladestrom.model import NEVER, Millis
from ladestrom.quoting import did_you_mean
from ladestrom.record import Id, Span, Vehicle

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ladestrom.core.fields import Notes

VOLTS_MAX: Final = 2_000.0
"""MCS is specified for 1,250 V."""
AMPERES_MAX: Final = 5_000.0
"""MCS is specified for 3,000 A."""
HEIGHT_M_MAX: Final = 20.0
MINUTES_MAX: Final = 525_600
"""A year."""
LISTED_MAX: Final = 50
"""Of one cell."""

_YES: Final = TRUE | {"ja", "si", "sí", "sì", "sim", "tak", "ano", "kyllä", "wahr", "sann", "sant", "x"}
_NO: Final = (FALSE - {""}) | {"nein", "nei", "nej", "nee", "nie", "ne", "ei", "falsch", "usann", "usant"}
"""Words of people, and of spreadsheets in their languages."""

STANDARDS: Final = STANDARDS_2_2_1 | {"UNKNOWN"}
"""OCPI 2.2.1, section 8.4.5, and what is not known."""
_COMMON: Final = {
    "type2": "IEC_62196_T2",
    "typ2": "IEC_62196_T2",
    "mennekes": "IEC_62196_T2",
    "type1": "IEC_62196_T1",
    "typ1": "IEC_62196_T1",
    "j1772": "IEC_62196_T1",
    "ccs": "IEC_62196_T2_COMBO",
    "ccs2": "IEC_62196_T2_COMBO",
    "combo2": "IEC_62196_T2_COMBO",
    "ccscombo2": "IEC_62196_T2_COMBO",
    "ccs1": "IEC_62196_T1_COMBO",
    "combo1": "IEC_62196_T1_COMBO",
    "ccscombo1": "IEC_62196_T1_COMBO",
    "type3": "IEC_62196_T3C",
    "type3a": "IEC_62196_T3A",
    "type3c": "IEC_62196_T3C",
    "schuko": "DOMESTIC_F",
    "typeef": "DOMESTIC_E",
}
"""What people call them."""
CAPABILITIES: Final = frozenset(
    {
        "CHARGING_PREFERENCES_CAPABLE",
        "CHARGING_PROFILE_CAPABLE",
        "CHIP_CARD_SUPPORT",
        "CONTACTLESS_CARD_SUPPORT",
        "CREDIT_CARD_PAYABLE",
        "DEBIT_CARD_PAYABLE",
        "PED_TERMINAL",
        "REMOTE_START_STOP_CAPABLE",
        "RESERVABLE",
        "RFID_READER",
        "START_SESSION_CONNECTOR_REQUIRED",
        "TOKEN_GROUP_CAPABLE",
        "UNLOCK_CAPABLE",
    }
)
"""OCPI 2.2.1, section 8.4.3."""

_BY_FORM: Final = {
    **{re.sub(r"\W|_", "", word.casefold()): word for word in sorted(STANDARDS)},
    **_COMMON,
}
_WORD: Final = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_SEPARATORS: Final = re.compile(r"[\s-]+")
_BETWEEN: Final = re.compile(r"[|;\n]+")
_BETWEEN_ADDRESSES: Final = re.compile(r"[|\s]+|;(?=\s*https?:)", re.IGNORECASE)
_REGISTER: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,49}")
_DAY: Final = re.compile(r"(\d{4})-(\d\d)-(\d\d)")

Word = TypeVar("Word", bound=StrEnum)


def listed(text: str) -> list[str]:
    """The parts of a cell that has several values."""
    return [part for each in _BETWEEN.split(text) if (part := each.strip())][:LISTED_MAX]


def addresses(text: str) -> list[str]:
    """Likewise of addresses: a semicolon may be part of one."""
    return [part for each in _BETWEEN_ADDRESSES.split(text) if (part := each.strip())][:LISTED_MAX]


def truth(text: str, name: str, notes: Notes) -> bool | None:
    """Yes or no in any of the words that people and spreadsheets write."""
    form = plain(text).casefold()
    if form in _YES:
        return True
    if form in _NO:
        return False
    notes.add(f"{name} {quoted(text)} is neither yes nor no, and was left out")
    return None


def number(text: str, name: str, greatest: float, unit: str, notes: Notes) -> float | None:
    """A number above 0; decimal point or comma."""
    found = decimal(text)
    if found is None or not 0 < found <= greatest:
        notes.add(
            f"{name} {quoted(text)} is no number of {unit} above 0 and up to {greatest:,g}, and was left out"
        )
        return None
    return round(found, 3) or None


def minutes(text: str, name: str, notes: Notes) -> int | None:
    """Whole minutes."""
    found = decimal(text)
    if found is None or not 0 <= found <= MINUTES_MAX or found != int(found):
        notes.add(f"{name} {quoted(text)} is no number of minutes, and was left out")
        return None
    return int(found)


def word(text: str, name: str, words: type[Word], notes: Notes) -> Word | None:
    """One of the words of an enumeration, in any case, with spaces or hyphens."""
    form = _SEPARATORS.sub("_", plain(text))
    for each in words:
        if each.value.casefold() == form.casefold():
            return each
    known = [each.value for each in words]
    hint = did_you_mean(form, known) or f"; write one of: {', '.join(known)}"
    notes.add(f"{name} {quoted(text)} is unknown and was left out{hint}")
    return None


def vehicles(text: str, name: str, notes: Notes) -> tuple[Vehicle, ...]:
    """Kinds of vehicles, in the order of the enumeration."""
    found = {word(each, name, Vehicle, notes) for each in listed(text)}
    return tuple(each for each in Vehicle if each in found)


def standard(text: str, name: str, notes: Notes) -> str:
    """A kind of connector: OCPI's word, or what people call it. One that nobody knows is `UNKNOWN`."""
    form = re.sub(r"\W|_", "", plain(text).casefold())
    known = _BY_FORM.get(form) or _BY_FORM.get(form.removeprefix("iec62196"))
    if known is not None:
        return known
    folded = _SEPARATORS.sub("_", plain(text).upper())
    notes.add(f"{name} {quoted(text)} is unknown, and UNKNOWN is taken{did_you_mean(folded, STANDARDS)}")
    return "UNKNOWN"


def capabilities(text: str, name: str, notes: Notes) -> tuple[str, ...]:
    """Words of OCPI. One that version 2.2.1 does not have is kept: others have more."""
    found: dict[str, None] = {}
    for each in listed(text):
        form = _SEPARATORS.sub("_", plain(each)).upper()
        if not _WORD.fullmatch(form):
            notes.add(f"{name} {quoted(each)} is no word of OCPI, and was left out")
            continue
        if form not in CAPABILITIES:
            notes.add(f"{name} {quoted(each)} is no word of OCPI 2.2.1{did_you_mean(form, CAPABILITIES)}")
        found[form] = None
    return tuple(found)


def ids(text: str, name: str, chars_max: int, notes: Notes) -> tuple[Id, ...]:
    """Ids in other registers, `nobil=NOR_01333`."""
    found: dict[Id, None] = {}
    for each in listed(text):
        register, _, written = each.partition("=")
        own = identifier(written)
        if _REGISTER.fullmatch(register.strip().casefold()) and 0 < len(own) <= chars_max and "@" not in own:
            found[Id(register.strip().casefold(), own)] = None
        else:
            notes.add(f"{name} {quoted(each)} is no register and id, and was left out; write nobil=NOR_01333")
    return tuple(found)


def spans(text: str, name: str, notes: Notes) -> tuple[Span, ...]:
    """Times from one instant up to another, `BEGIN/END`."""
    found: dict[Span, None] = {}
    for each in listed(text):
        begin, _, end = map(instant, each.partition("/"))
        if begin is None or end is None or begin >= end:
            notes.add(
                f"{name} {quoted(each)} is no begin and end with time zones, and was left out;"
                " write 2026-12-24T10:00Z/2026-12-24T14:00Z"
            )
        else:
            found[Span(_written(begin), _written(end))] = None
    return tuple(found)


def updated_at(text: str, name: str, notes: Notes) -> Millis:
    """When a record was changed; a date is its beginning in UTC."""
    day = _DAY.fullmatch(text.strip())
    try:
        at = (
            datetime.combine(date(*map(int, day.groups())), datetime.min.time(), UTC)
            if day
            else instant(text)
        )
    except ValueError:
        at = None
    if at is None or at.timestamp() < 0:
        notes.add(f"{name} {quoted(text)} is no date, and was left out; write 2026-11-30")
        return NEVER
    return round(at.timestamp() * 1_000)


def instant(text: str) -> datetime | None:
    """A point in time of ISO 8601 with its time zone; None for all else."""
    form = text.strip()
    if re.fullmatch(r".*T\d\d:\d\d(?:Z|[+-]\d\d:?\d\d)", form):
        # Seconds may be left out in ISO 8601, not in what reads it.
        form = f"{form[:16]}:00{form[16:]}"
    try:
        at = msgspec.convert(form, datetime)
    except msgspec.ValidationError:
        return None
    try:
        return at.astimezone(UTC) if at.tzinfo else None
    except OverflowError:
        return None


def _written(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ").rjust(20, "0")


def missing(names: Iterable[str]) -> str:
    """`it has no country and no latitude`."""
    return f"it has no {' and no '.join(names)}"
