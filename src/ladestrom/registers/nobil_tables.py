"""NOBIL's lists of values, API version 3: attribute ids, connector types, capacities, statuses.

Knows what the numbers mean. Must not know how a document carries them.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from ladestrom.core.standards import POWER_KW_MAX
from ladestrom.model import Status
from ladestrom.record import Access, Place, PowerType, Vehicle

ACCESSIBILITY: Final = "1"
"""How a vehicle is let in to charge: freely, with a key, against payment. Not about people."""
AVAILABILITY: Final = "2"
LOCATION: Final = "3"
CONNECTOR: Final = "4"
CAPACITY: Final = "5"
TIME_LIMIT: Final = "6"
PARKING_FEE: Final = "7"
CONNECTOR_STATUS: Final = "8"
ERROR_STATUS: Final = "9"
TIMESTAMP: Final = "16"
VEHICLE_TYPE: Final = "17"
RESERVABLE: Final = "18"
PAYMENT_METHOD: Final = "19"
CHARGE_MODE: Final = "20"
OPEN_24_H: Final = "24"
FIXED_CABLE: Final = "25"
EVSE_UID: Final = "27"
EVSE_ID: Final = "28"

UNKNOWN: Final = "UNKNOWN"

STANDARDS: Final = {
    "0": UNKNOWN,
    "14": "DOMESTIC_F",
    "22": "DOMESTIC_K",
    "29": "TESLA_R",
    "30": "CHADEMO",
    "31": "IEC_62196_T1",
    "32": "IEC_62196_T2",
    "34": "IEC_60309_2_single_16",
    "35": "IEC_60309_2_three_16",
    "36": "IEC_60309_2_three_16",
    "38": UNKNOWN,
    "39": "IEC_62196_T2_COMBO",
    "40": "TESLA_S",
    "87": "MCS",
}
"""Attribute 4 as OCPI 2.2.1 ConnectorType; MCS is a word of OCPI 2.3.0. 38 is Marechal, which OCPI lacks. The
industrial sockets 34 to 36 come without their current: the smallest that OCPI has is taken."""

COMBINED: Final = {
    "41": "IEC_62196_T2_COMBO",
    "42": "CHADEMO",
    "43": "IEC_62196_T2_COMBO",
    "50": "IEC_62196_T2",
    "51": "IEC_62196_T2",
    "52": "IEC_62196_T2",
    "60": "IEC_62196_T2",
}
"""Types of attribute 4 that put several plugs into one connector, and the one that stands for them: the
fastest, and of two that are equally fast the one that more cars have. They stay one connector, since the
stream's connectors (`NOR_01333_02`) are counted as the register counts them."""

FUELS: Final = frozenset({"70", "82"})
"""Hydrogen and biogas: types of attribute 4 that dispense no electricity."""

_STANDARD_WORDS: Final = (
    ("mcs", "MCS"),
    ("megawatt", "MCS"),
    ("combo", "IEC_62196_T2_COMBO"),
    ("ccs", "IEC_62196_T2_COMBO"),
    ("chademo", "CHADEMO"),
    ("roadster", "TESLA_R"),
    ("tesla", "TESLA_S"),
    ("type 2", "IEC_62196_T2"),
    ("type2", "IEC_62196_T2"),
    ("mennekes", "IEC_62196_T2"),
    ("type 1", "IEC_62196_T1"),
    ("type1", "IEC_62196_T1"),
    ("schuko", "DOMESTIC_F"),
)
"""In the order of speed, so that the text of a combined type gives what `COMBINED` would."""

POWERS_KW: Final = {
    "7": 3.6,
    "8": 7.4,
    "10": 11.0,
    "11": 22.0,
    "12": 43.0,
    "13": 50.0,
    "16": 6.4,
    "17": 12.7,
    "18": 25.1,
    "19": 20.0,
    "22": 135.0,
    "23": 100.0,
    "24": 150.0,
    "25": 350.0,
    "29": 75.0,
    "30": 225.0,
    "31": 250.0,
    "32": 200.0,
    "33": 300.0,
    "36": 400.0,
    "37": 30.0,
    "38": 62.5,
    "39": 500.0,
    "41": 175.0,
    "42": 180.0,
    "43": 600.0,
    "44": 700.0,
    "45": 800.0,
}
"""Attribute 5. 16 to 18 are three phases of 230 V between them at 16, 32 and 63 A, which have no power in
their names. 20 and 21 name two powers, and are read out of their names."""


_POWER: Final = re.compile(r"(?<![\d.,])(\d{1,5}(?:[.,]\d{1,4})?)\s*kw\b", re.IGNORECASE)
_LESS_THAN: Final = re.compile(r"less\s+th[ae]n\s+$", re.IGNORECASE)

STATUSES: Final = {"0": Status.AVAILABLE, "1": Status.CHARGING, "2": Status.RESERVED}
"""Attribute 8: vacant, busy, reserved."""


def standard(number: str, text: str) -> str:
    """The OCPI ConnectorType of attribute 4, by its id, else by its text; `UNKNOWN` where neither says."""
    found = STANDARDS.get(number) or COMBINED.get(number)
    if found is None:
        words = text.casefold()
        found = next((name for word, name in _STANDARD_WORDS if word in words), UNKNOWN)
    return found


def power_kw(number: str, text: str) -> float | None:
    """The power of attribute 5 in kW, by its id, else out of its text; None where neither says.

    Of several the largest; an upper bound that is not reached (`Less then 100 kW`) is none of them.
    """
    known = POWERS_KW.get(number)
    if known is not None:
        return known
    powers = [
        float(match[1].replace(",", "."))
        for match in _POWER.finditer(text)
        if not _LESS_THAN.search(text, 0, match.start())
    ]
    return max((power for power in powers if 0 < power <= POWER_KW_MAX), default=None)


ACCESS: Final = {
    "1": Access.PUBLIC,
    "2": Access.VISITORS,
    "3": Access.EMPLOYEES,
    "4": Access.APPOINTMENT,
    "5": Access.RESIDENTS,
}
"""Attribute 2."""
ACCESS_WORDS: Final = {
    "public": Access.PUBLIC,
    "visitors": Access.VISITORS,
    "employees": Access.EMPLOYEES,
    "by appointment": Access.APPOINTMENT,
    "residents": Access.RESIDENTS,
}

PLACES: Final = {
    "1": Place.STREET,
    "2": Place.CAR_PARK,
    "3": Place.TRANSPORT_HUB,
    "4": Place.SHOPPING,
    "5": Place.TRANSPORT_HUB,
    "6": Place.HOSPITALITY,
    "7": Place.FUEL_STATION,
}
"""Attribute 3; 3 is an airport."""
PLACE_WORDS: Final = {
    "street": Place.STREET,
    "car park": Place.CAR_PARK,
    "airport": Place.TRANSPORT_HUB,
    "shopping center": Place.SHOPPING,
    "transport hub": Place.TRANSPORT_HUB,
    "hotel & restaurants": Place.HOSPITALITY,
    "hotels & restaurants": Place.HOSPITALITY,
    "gas station": Place.FUEL_STATION,
    "energy station": Place.FUEL_STATION,
}

RFID: Final = ("4", "rfid")
PAYMENT: Final = ("5", "payment")
"""Attribute 1: id and name."""

_VEHICLES: Final = (
    (re.compile(r"\b(?:cars?|vans?)\b"), Vehicle.CAR),
    (re.compile(r"\btrucks?\b"), Vehicle.TRUCK),
    (re.compile(r"\bbus(?:es)?\b"), Vehicle.BUS),
    (re.compile(r"\b(?:mopeds?|motorcycles?)\b"), Vehicle.MOTORCYCLE),
    (re.compile(r"\b(?:bikes?|bicycles?)\b"), Vehicle.BICYCLE),
)
_BANK_CARD: Final = re.compile(
    r"\b(?:visa|mastercard|american express|diners|(?:bank|debit|credit) ?cards?)\b"
)
_OTHER_PAYMENT: Final = re.compile(r"phone|charging card|subscription|coin|miscellaneous|other")

_YES_NO: Final = {"1": True, "2": False, "yes": True, "no": False}
_MINUTES: Final = re.compile(
    r"(?:max\.?\s*)?(\d{1,4})\s*(?:(m|min|minutes?|minutter|minuter)|(h|t|tim|hours?|timer?|timmar?|timme))\.?",
    re.IGNORECASE,
)

_DIRECT: Final = re.compile(r"\bdc\b|vdc\b")
_PHASES: Final = re.compile(r"\b([13])-phase\b")
_VOLTS: Final = re.compile(r"\b(\d{2,4})\s?v(?:dc)?\b")
_AMPERES: Final = re.compile(r"\bmax\s(\d{1,4})\s?a\b")
_ONE_PHASE: Final = frozenset({"7", "8"})
_THREE_PHASES: Final = frozenset({"10", "11", "12", "16", "17", "18"})
_SEVERAL: Final = frozenset({"20", "21"})
_BETWEEN_PHASES: Final = {400.0: 230.0}
"""IEC 60038, table 1: three phases of 400 V have 230 V to neutral. Those of 230 V have no neutral."""
MODE_4: Final = "4"
"""Attribute 20: direct current (IEC 61851-1, section 6.2)."""
CABLE_ONLY: Final = frozenset({"IEC_62196_T2_COMBO", "CHADEMO", "TESLA_R", "TESLA_S", "MCS"})
"""Kinds that are never a socket."""
DIRECT_ONLY: Final = frozenset({"IEC_62196_T2_COMBO", "CHADEMO", "MCS"})


def yes_no(number: str, text: str) -> bool | None:
    """An attribute that is 1, yes, or 2, no."""
    known = _YES_NO.get(number)
    return _YES_NO.get(text.casefold()) if known is None else known


def vehicles(text: str) -> tuple[Vehicle, ...]:
    """Attribute 17, by its text: its numbers meant other things ten years ago. `All vehicles` is what was
    entered for all of them, and names none.
    """
    words = text.casefold()
    return tuple(vehicle for pattern, vehicle in _VEHICLES if pattern.search(words))


def is_by_card(text: str) -> bool | None:
    """Attribute 19: whether a debit or credit card is among the ways to pay."""
    return True if _BANK_CARD.search(text.casefold()) else None


def is_otherwise(text: str) -> bool | None:
    """Attribute 19: whether something else is, such as a telephone or a card of the operator's."""
    return True if _OTHER_PAYMENT.search(text.casefold()) else None


def minutes(text: str) -> int | None:
    """Attribute 6, as it was entered: a number of minutes or hours and nothing else."""
    match = _MINUTES.fullmatch(text)
    if match is None or not int(match[1]):
        return None
    return int(match[1]) * (1 if match[2] else 60)


class Current(NamedTuple):
    """What attribute 5 says of the electricity beside its power."""

    power_type: PowerType | None = None
    max_v: float | None = None
    max_a: float | None = None


def current(number: str, text: str, mode: str, standard_: str) -> Current:
    """The kind of electricity of attribute 5, by its text, else by its id, else by the charge mode; of a
    capacity that names both kinds that which the connector's standard takes.
    """
    words = text.casefold()
    phases = set(_PHASES.findall(words))
    is_direct = bool(_DIRECT.search(words))
    if is_direct and phases:
        return Current(PowerType.DC if standard_ in DIRECT_ONLY else None)
    if is_direct or len(phases) == 1:
        kind = PowerType.DC if is_direct else _OF_PHASES[phases.pop()]
    elif number in _ONE_PHASE:
        kind = PowerType.AC_1_PHASE
    elif number in _THREE_PHASES:
        kind = PowerType.AC_3_PHASE
    elif (number in POWERS_KW and number not in _SEVERAL) or mode == MODE_4:
        kind = PowerType.DC
    else:
        return Current()
    volts, amperes = _VOLTS.findall(words), _AMPERES.findall(words)
    max_v = float(volts[0]) if len(volts) == 1 else None
    if kind is PowerType.AC_3_PHASE and max_v is not None:
        max_v = _BETWEEN_PHASES.get(max_v)
    return Current(kind, max_v or None, (float(amperes[0]) if len(amperes) == 1 else None) or None)


_OF_PHASES: Final = {"1": PowerType.AC_1_PHASE, "3": PowerType.AC_3_PHASE}
