"""NOBIL's lists of values, API version 3: attribute ids, connector types, capacities, statuses.

Knows what the numbers mean. Must not know how a document carries them.
"""

from __future__ import annotations

import re
from typing import Final

from ladestrom.model import Status

CONNECTOR: Final = "4"
CAPACITY: Final = "5"
CONNECTOR_STATUS: Final = "8"
ERROR_STATUS: Final = "9"
TIMESTAMP: Final = "16"
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

POWER_KW_MAX: Final = 10_000.0
"""The largest plug there is, MCS, is specified for 3,750 kW."""

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
