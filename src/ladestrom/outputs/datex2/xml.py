"""JSON of the AFIR profile as XML of DATEX II 3.5.

Knows how the two encodings differ, and where elements stand: `NAMESPACES` is by the names of the elements
that are written, each of which is in one namespace; a member that is in another one somewhere has its prefix
there (`egi:lastUpdated`). Members must stand in the order of the XSD.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

PREFIXES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "d2": "http://datex2.eu/schema/3/d2Payload",
        "com": "http://datex2.eu/schema/3/common",
        "egi": "http://datex2.eu/schema/3/energyInfrastructure",
        "fac": "http://datex2.eu/schema/3/facilities",
        "loc": "http://datex2.eu/schema/3/locationReferencing",
        "locx": "http://datex2.eu/schema/3/locationExtension",
        "xsi": "http://www.w3.org/2001/XMLSchema-instance",
    }
)

_BY_NAMESPACE: Final = {
    "com": (
        "applicableDay comparisonOperator confidentiality country endOfPeriod endTimeOfPeriod "
        "exceptionPeriod heightCharacteristic informationStatus nationalIdentifier overallStartTime "
        "publicationCreator publicationTime recurringDayWeekMonthPeriod recurringTimePeriodOfDay "
        "startOfPeriod startTimeOfPeriod urlLinkAddress validPeriod value values vehicleHeight vehicleType"
    ),
    "egi": (
        "authenticationAndIdentificationMethods availableChargingPower availableVoltage brand chargingMode "
        "connector connectorFormat connectorType deliveryUnit energyInfrastructureSite "
        "applicableCurrency electricEnergy energyInfrastructureStation energyPrice energyRate evseId "
        "exclusiveUsers headerInformation maxPowerAtSocket maximumCurrent numberOfConnectors "
        "numberOfRefillPoints numberOfSpaces otherConnector paymentMethod priceType ratePolicy refillPoint "
        "reservation serviceType userSpecific "
        "stationIdBNetzA totalMaximumPower typeOfSite userInterfaceLanguage voltage"
    ),
    "fac": (
        "accessibility additionalInformation applicableForVehicles contactInformation "
        "dedicatedParkingSpaces eMail externalIdentifier lastUpdated linkToGeneralInformation "
        "locationReference name operatingHours operator operatorId organisationUnit overallPeriod owner "
        "paymentMeans photoUrl telephoneNumber"
    ),
    "loc": (
        "coordinatesForDisplay facilityLocation latitude locationDescription longitude pointByCoordinates "
        "pointCoordinates supplementaryPositionalDescription"
    ),
    "locx": "address addressLine city countryCode postcode text timeZone type",
}
NAMESPACES: Final[Mapping[str, str]] = MappingProxyType(
    {name: f"{prefix}:{name}" for prefix, names in _BY_NAMESPACE.items() for name in names.split()}
)
"""Element names with their prefixes."""

TYPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "aegiElectricChargingPoint": "egi:ElectricChargingPoint",
        "afacAnOrganisation": "fac:OrganisationSpecification",
        "afacOpenAllHours": "fac:OpenAllHours",
        "afacOperatingHoursSpecification": "fac:OperatingHoursSpecification",
        "locPointLocation": "loc:PointLocation",
    }
)
"""JSON says of which type a value is by a member around it, XML by an attribute."""
INLINE: Final = frozenset({"comDayWeekMonth", "locLocationExtensionG"})
"""Members of JSON whose members are the element's own in XML."""
ATTRIBUTES: Final[Mapping[str, str]] = MappingProxyType(
    {"idG": "id", "versionG": "version", "lang": "lang", "order": "order"}
)
TEXTS: Final = "values"
_ILLEGAL: Final = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold (section 2.2)."""


def escaped(text: str) -> str:
    """A text as content or as the value of an attribute."""
    return html.escape(_ILLEGAL.sub("", text))


def element(name: str, value: object) -> str:
    """A member of JSON as one element or several."""
    pieces: list[str] = []
    _write(name, value, pieces)
    return "".join(pieces)


def _write(name: str, value: object, pieces: list[str]) -> None:
    if isinstance(value, list):
        for each in value:
            _write(name, each, pieces)
        return
    tag = name if ":" in name else NAMESPACES[name]
    if not isinstance(value, dict):
        pieces.append(f"<{tag}>{_plain(value)}</{tag}>")
    elif "value" in value:
        _write_word(tag, value, pieces)
    else:
        _write_object(tag, value, pieces)


def _write_word(tag: str, value: Mapping[str, Any], pieces: list[str]) -> None:
    """A word of an enumeration, or a text in a language."""
    attribute, written = "", escaped(value["value"])
    if "extendedValueG" in value:
        attribute, written = f' _extendedValue="{escaped(value["extendedValueG"])}"', "_extended"
    elif "lang" in value:
        attribute = f' lang="{value["lang"]}"'
    pieces.append(f"<{tag}{attribute}>{written}</{tag}>")


def _write_object(tag: str, value: Mapping[str, Any], pieces: list[str]) -> None:
    kind = ""
    if len(value) == 1:
        (only,) = value
        if only in TYPES:
            kind, value = f' xsi:type="{TYPES[only]}"', value[only]
    attributes = "".join(
        f' {ATTRIBUTES[name]}="{_plain(value[name])}"' for name in value if name in ATTRIBUTES
    )
    pieces.append(f"<{tag}{kind}{attributes}>")
    _write_members(value, pieces)
    pieces.append(f"</{tag}>")


def _write_members(value: Mapping[str, Any], pieces: list[str]) -> None:
    for name, member in value.items():
        if name in INLINE:
            _write_members(member, pieces)
        elif name == TEXTS:
            # A list in JSON, and an element around them in XML.
            pieces.append(f"<{NAMESPACES[TEXTS]}>")
            _write("value", member, pieces)
            pieces.append(f"</{NAMESPACES[TEXTS]}>")
        elif name not in ATTRIBUTES:
            _write(name, member, pieces)


def _plain(value: object) -> str:
    return escaped(value) if isinstance(value, str) else str(value)
