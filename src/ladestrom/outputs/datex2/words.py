"""DATEX II's words for what stations and statuses are, version 3.5 and AFIR profile 01-00-00.

Knows the lists of values. Must not know how a document carries them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from ladestrom.core.words import bare
from ladestrom.model import Change, Status
from ladestrom.record import Access, Accessibility, Place, PowerType, Vehicle

UNKNOWN: Final = "unknown"
"""Where a list of values has no such word, it stands beside `extendedG` (JSON) or `_extended` (XML)."""

# -- statuses ---------------------------------------------------------------------------------------------

STATUSES: Final[Mapping[Status, str]] = MappingProxyType(
    {
        Status.AVAILABLE: "available",
        Status.BLOCKED: "blocked",
        Status.CHARGING: "charging",
        Status.INOPERATIVE: "inoperative",
        Status.OUTOFORDER: "outOfOrder",
        Status.PLANNED: "planned",
        Status.REMOVED: "removed",
        Status.RESERVED: "reserved",
        Status.UNKNOWN: "unknown",
    }
)
"""RefillPointStatusEnum."""
OCCUPIED: Final = "occupied"
"""In use, which "might include vehicle charging activity"."""
REMOVED: Final = STATUSES[Status.REMOVED]
ONLY_OCCUPIED: Final = frozenset(
    {
        "1/0",  # NOBIL's pair of status and error
        "finishing",  # OCPP 1.6
        "occupe",  # IRVE dynamique, after what it says of the point's state
        "occupied",  # OICP, OCPP 2.x, DATEX II
        "preparing",
        "suspendedev",
        "suspendedevse",
    }
)
"""What sources say, in the form of `core.words.bare`, that CHARGING is made of and that is no proof of it."""
RAWS_KEPT_MAX: Final = 4_096
"""Words of sources whose meaning is kept."""


def status(change: Change) -> str:
    """The status that a change left."""
    if change.status is Status.CHARGING and _is_only_occupied(change.raw):
        return OCCUPIED
    return STATUSES[change.status]


@lru_cache(RAWS_KEPT_MAX)
def _is_only_occupied(raw: str) -> bool:
    word = bare(raw)
    return word in ONLY_OCCUPIED or word.rpartition("/")[2] in ONLY_OCCUPIED


# -- stations ---------------------------------------------------------------------------------------------

CONNECTORS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "CHADEMO": "chademo",
        **{f"DOMESTIC_{letter}": f"domestic{letter}" for letter in "ABCDEFGHIJKLMNO"},
        "IEC_60309_2_single_16": "iec60309x2single16",
        "IEC_60309_2_three_16": "iec60309x2three16",
        "IEC_60309_2_three_32": "iec60309x2three32",
        "IEC_60309_2_three_64": "iec60309x2three64",
        "IEC_62196_T1": "iec62196T1",
        "IEC_62196_T1_COMBO": "iec62196T1COMBO",
        "IEC_62196_T2": "iec62196T2",
        "IEC_62196_T2_COMBO": "iec62196T2COMBO",
        "IEC_62196_T3A": "iec62196T3A",
        "IEC_62196_T3C": "iec62196T3C",
        "MCS": "mcs",
        "PANTOGRAPH_BOTTOM_UP": "pantographBottomUp",
        "PANTOGRAPH_TOP_DOWN": "pantographTopDown",
        "SAE_J3400": "teslaConnectorAmerica",
        "TESLA_R": "teslaR",
        "TESLA_S": "teslaS",
    }
)
"""ConnectorTypeEnum, by OCPI's ConnectorType. What it has no word for is `other`, and is named beside it."""
OTHER: Final = "other"
NO_STANDARD: Final = "UNKNOWN"

DIRECT: Final = "dc"
ALTERNATING: Final = "ac"
MIXED: Final = "acAndDc"
"""Not of the enumeration, which has no word for an EVSE with plugs of both."""

CURRENTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "CHADEMO": DIRECT,
        "GBT_DC": DIRECT,
        "IEC_62196_T1_COMBO": DIRECT,
        "IEC_62196_T2_COMBO": DIRECT,
        "MCS": DIRECT,
        "GBT_AC": ALTERNATING,
        **{f"DOMESTIC_{letter}": ALTERNATING for letter in "ABCDEFGHIJKLMNO"},
        "IEC_60309_2_single_16": ALTERNATING,
        "IEC_60309_2_three_16": ALTERNATING,
        "IEC_60309_2_three_32": ALTERNATING,
        "IEC_60309_2_three_64": ALTERNATING,
        "IEC_62196_T1": ALTERNATING,
        "IEC_62196_T2": ALTERNATING,
        "IEC_62196_T3A": ALTERNATING,
        "IEC_62196_T3C": ALTERNATING,
    }
)
"""CurrentTypeEnum of a plug whose record does not say it: those that carry one kind only."""

PLUGS_OF_MODE_3: Final = frozenset({"IEC_62196_T1", "IEC_62196_T2", "IEC_62196_T3A", "IEC_62196_T3C"})
MODE_3: Final = "mode3AC3p"
MODE_4: Final = "mode4DC"


def current(standard: str, power_type: PowerType | None) -> str | None:
    """CurrentTypeEnum of a connector; None where that is not known."""
    if power_type is None:
        return CURRENTS.get(standard)
    return DIRECT if power_type is PowerType.DC else ALTERNATING


SOCKET: Final = "socket"
CABLE_OF_MODE_3: Final = "cableMode3"
OTHER_CABLE: Final = "otherCable"

SITES: Final[Mapping[Place, str]] = MappingProxyType(
    {
        Place.STREET: "onstreet",
        Place.CAR_PARK: "openSpace",
        Place.GARAGE: "inBuilding",
        Place.UNDERGROUND_GARAGE: "inBuilding",
        Place.WORKPLACE: "onCompanySite",
    }
)
"""EnergyInfrastructureSiteTypeEnum; all others are `other`."""
USERS: Final[Mapping[Access, str]] = MappingProxyType(
    {
        Access.PUBLIC: "allUsers",
        Access.RESTRICTED: "other",
        Access.VISITORS: "visitors",
        Access.EMPLOYEES: "employees",
        Access.APPOINTMENT: "reservationHolders",
        Access.RESIDENTS: "residents",
    }
)
"""UserTypeEnum."""
ACCESSIBILITIES: Final[Mapping[Accessibility, str]] = MappingProxyType(
    {
        Accessibility.RESERVED: "disabilityAccessible",
        Accessibility.ACCESSIBLE: "disabilityAccessible",
        Accessibility.NOT_ACCESSIBLE: "none",
    }
)
"""AccessibilityEnum. What is for people with disabilities alone is said by its parking spaces, too."""
FOR_THE_DISABLED: Final = "personsWithDisabilities"
"""UserTypeEnum."""
VEHICLES: Final[Mapping[Vehicle, str]] = MappingProxyType(
    {
        Vehicle.CAR: "car",
        Vehicle.TRUCK: "lorry",
        Vehicle.BUS: "bus",
        Vehicle.MOTORCYCLE: "motorcycle",
        Vehicle.BICYCLE: "bicycle",
    }
)
"""VehicleTypeEnum."""
CAPABILITIES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "CREDIT_CARD_PAYABLE": "creditCard",
        "DEBIT_CARD_PAYABLE": "debitCard",
        "CONTACTLESS_CARD_SUPPORT": "nfc",
        "RFID_READER": "rfid",
        "PED_TERMINAL": "pinpad",
    }
)
"""AuthenticationAndIdentificationEnum, by OCPI's Capability."""
CHIP_CARDS: Final = "CHIP_CARD_SUPPORT"
"""OCPI's Capability that is a means of payment here."""
CHIP_CARD: Final = "emv"
CARDS: Final = ("paymentCreditCard", "paymentDebitCard")
CONTACTLESS: Final = "nfc"
"""MeansOfPaymentEnum."""
AD_HOC: Final = "adHoc"
"""RatePolicyEnum."""
FREE: Final = "free"
"""PriceTypeEnum."""
NO_CURRENCY: Final = "XXX"
"""ISO 4217: no currency is involved."""
DAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

LANGUAGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "AUT": "de",
        "BGR": "bg",
        "CZE": "cs",
        "DAN": "da",
        "DEU": "de",
        "ESP": "es",
        "EST": "et",
        "FIN": "fi",
        "FRA": "fr",
        "FRO": "fo",
        "GRC": "el",
        "HRV": "hr",
        "HUN": "hu",
        "ISL": "is",
        "ITA": "it",
        "LIE": "de",
        "LTU": "lt",
        "LVA": "lv",
        "MCO": "fr",
        "NLD": "nl",
        "NOR": "no",
        "POL": "pl",
        "PRT": "pt",
        "ROU": "ro",
        "SVK": "sk",
        "SVN": "sl",
        "SWE": "sv",
        "GLP": "fr",
        "GUF": "fr",
        "MTQ": "fr",
        "MYT": "fr",
        "REU": "fr",
    }
)
"""ISO 639-1, of countries in which nearly all is written in one language. The JSON schema wants a language
beside each text, and registers say none."""
LANGUAGE: Final = "en"
"""Of the publication, and of texts of all other countries."""
NO_LANGUAGE: Final = "und"
"""ISO 639-2: undetermined."""
