"""DATEX II's lists of values that stations need, version 3.5 to 3.7.

Knows what the words mean. Must not know how a document carries them.
"""

from __future__ import annotations

from typing import Final

UNKNOWN: Final = "UNKNOWN"
EXTENDED: Final = frozenset({"_extended", "extended", "extendedg"})
"""Stands where a word is none of the enumeration's, and is written beside it."""

STANDARDS: Final = {
    "cee3": "IEC_60309_2_single_16",
    "cee5": "IEC_60309_2_three_16",
    "chademo": "CHADEMO",
    **{f"domestic{letter}": f"DOMESTIC_{letter.upper()}" for letter in "abcdefghijklmno"},
    "iec60309x2single16": "IEC_60309_2_single_16",
    "iec60309x2three16": "IEC_60309_2_three_16",
    "iec60309x2three32": "IEC_60309_2_three_32",
    "iec60309x2three64": "IEC_60309_2_three_64",
    "iec62196t1": "IEC_62196_T1",
    "iec62196t1combo": "IEC_62196_T1_COMBO",
    "iec62196t2": "IEC_62196_T2",
    "iec62196t2combo": "IEC_62196_T2_COMBO",
    "iec62196t3a": "IEC_62196_T3A",
    "iec62196t3c": "IEC_62196_T3C",
    "mcs": "MCS",
    "pantographbottomup": "PANTOGRAPH_BOTTOM_UP",
    "pantographtopdown": "PANTOGRAPH_TOP_DOWN",
    "teslaconnectoramerica": "SAE_J3400",
    "teslaconnectoreurope": "IEC_62196_T2",
    "teslar": "TESLA_R",
    "teslas": "TESLA_S",
}
"""ConnectorTypeEnum, in small letters, as OCPI 2.2.1 ConnectorType; MCS and SAE_J3400 are OCPI 2.3.0's.
The European Tesla connector is a modified type 2. CEE5 comes without its current: the smallest is taken."""

NAMELESS: Final = frozenset({"domestic", "other", "yazaki"})
"""Words that OCPI has none for."""

EVSE_ID_TYPES: Final = frozenset({"evseid", "emaid", "evse-id", "evse_id"})
OPERATOR_ID_TYPES: Final = frozenset({"operatorid", "operator-id", "operator_id"})
"""TypeOfIdentifierEnum is empty: each profile extends it. These are the AFIR profile's words, and their
spellings."""

ELECTRIC: Final = "ElectricChargingPoint"

WATTS_FROM: Final = 1_000.0
"""Powers are in W (CEN/TS 16157-10); what is smaller was entered in kW, as no plug has less than 1 kW."""
POWER_KW_MAX: Final = 10_000.0
"""The largest plug there is, MCS, is specified for 3,750 kW."""


def standard(word: str) -> str:
    """The OCPI ConnectorType of a word; `UNKNOWN` where there is none."""
    return STANDARDS.get(word.casefold(), UNKNOWN)
