"""The words of OCPI for plugs and sockets, and what a plug can carry at most."""

from __future__ import annotations

from typing import Final

STANDARDS: Final = (
    "CHADEMO",
    "CHAOJI",
    *(f"DOMESTIC_{letter}" for letter in "ABCDEFGHIJKLMNO"),
    "GBT_AC",
    "GBT_DC",
    "IEC_60309_2_single_16",
    "IEC_60309_2_three_16",
    "IEC_60309_2_three_32",
    "IEC_60309_2_three_64",
    "IEC_62196_T1",
    "IEC_62196_T1_COMBO",
    "IEC_62196_T2",
    "IEC_62196_T2_COMBO",
    "IEC_62196_T3A",
    "IEC_62196_T3C",
    "MCS",
    "NEMA_5_20",
    "NEMA_6_30",
    "NEMA_6_50",
    "NEMA_10_30",
    "NEMA_10_50",
    "NEMA_14_30",
    "NEMA_14_50",
    "PANTOGRAPH_BOTTOM_UP",
    "PANTOGRAPH_TOP_DOWN",
    "SAE_J3400",
    "TESLA_R",
    "TESLA_S",
)
"""ConnectorType of OCPI 2.3.0. Versions before have fewer."""
SINCE_2_3_0: Final = frozenset({"MCS", "SAE_J3400"})
STANDARDS_2_2_1: Final = frozenset(STANDARDS) - SINCE_2_3_0
"""OCPI 2.2.1, section 8.4.5."""
STANDARDS_2_1_1: Final = STANDARDS_2_2_1 - {
    "CHAOJI",
    *(f"DOMESTIC_{letter}" for letter in "MNO"),
    "GBT_AC",
    "GBT_DC",
    "NEMA_5_20",
    "NEMA_6_30",
    "NEMA_6_50",
    "NEMA_10_30",
    "NEMA_10_50",
    "NEMA_14_30",
    "NEMA_14_50",
    "PANTOGRAPH_BOTTOM_UP",
    "PANTOGRAPH_TOP_DOWN",
}
"""OCPI 2.1.1, `mod_locations`, 4.5."""

POWER_KW_MAX: Final = 10_000.0
VOLTAGE_MAX: Final = 10_000.0
CURRENT_MAX: Final = 10_000.0
"""The largest plug there is, MCS, is specified for 3,750 kW, 1,250 V and 3,000 A."""
