"""DATEX II's lists of values that stations need, version 3.5 to 3.7.

Knows what the words mean. Must not know how a document carries them.
"""

from __future__ import annotations

from typing import Final

from ladestrom.record import Access, Accessibility, Format, Place, PowerType, Vehicle

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

PLACES: Final = {
    "inbuilding": Place.GARAGE,
    "openspace": Place.CAR_PARK,
    "onstreet": Place.STREET,
    "oncompanysite": Place.WORKPLACE,
    "other": Place.OTHER,
}
"""EnergyInfrastructureSiteTypeEnum. "Inside some building, for example in a car park"; "an open space, for
example a parking site"."""

USERS: Final = {
    "allusers": Access.PUBLIC,
    "customers": Access.VISITORS,
    "employees": Access.EMPLOYEES,
    "hotelguests": Access.VISITORS,
    "reservationholders": Access.APPOINTMENT,
    "residents": Access.RESIDENTS,
    "shoppers": Access.VISITORS,
    "staff": Access.EMPLOYEES,
    "visitors": Access.VISITORS,
}
"""UserTypeEnum of `exclusiveUsers`. All other words are groups of people: some only."""
NOBODY: Final = "unknown"
NAMELESS_USERS: Final = "other"
"""Some only, and it is not said whom."""
DISABLED: Final = frozenset({"personswithdisabilities", "registereddisabledusers", "wheelchairusers"})

ACCESSIBILITY: Final = {
    "barrierfreeaccessible": Accessibility.ACCESSIBLE,
    "disabilityaccessible": Accessibility.ACCESSIBLE,
    "disabilityfacilities": Accessibility.ACCESSIBLE,
    "wheelchairaccessible": Accessibility.ACCESSIBLE,
    "none": Accessibility.NOT_ACCESSIBLE,
}
"""AccessibilityEnum, the best first where there are several. `none`: "usually not convenient for persons with
disabilities"."""

_VEHICLES: Final = {
    (Vehicle.CAR,): """
        car carOrLightVehicle carWithCaravan carWithTrailer fourWheelDrive largeCar lightCommercialVehicle
        lightCommercialVehicleWithTrailer motorhome passengerCar smallCar van
        m1 n1 n1ClassI n1ClassII n1ClassIII
    """,
    (Vehicle.TRUCK,): """
        articulatedVehicle heavyDutyTransporter heavyGoodsVehicle heavyGoodsVehicleWithTrailer heavyVehicle
        largeGoodsVehicle longHeavyLorry lorry tanker n2 n3 n1ClassIIIAndN2
    """,
    (Vehicle.BUS,): "articulatedBus bus minibus m2 m3",
    (Vehicle.MOTORCYCLE,): "moped motorcycle motorcycleWithSideCar motorscooter l l1 l2 l3 l4 l5",
    (Vehicle.BICYCLE,): "bicycle",
    (Vehicle.MOTORCYCLE, Vehicle.BICYCLE): "twoWheeledVehicle",
    (Vehicle.CAR, Vehicle.BUS): "m",
    (Vehicle.CAR, Vehicle.TRUCK): "n",
}
VEHICLES: Final = {
    word: vehicles for vehicles, words in _VEHICLES.items() for word in words.casefold().split()
}
"""VehicleTypeEnum and EuVehicleCategoryEnum (Regulations (EU) 2018/858 and 168/2013: M carries people, N
goods, N1 up to 3.5 t; L has two or three wheels). Vans count as cars, as they charge like them."""
USAGE: Final = {
    "electricbike": (Vehicle.BICYCLE,),
    "electricmotorcycle": (Vehicle.MOTORCYCLE,),
    "lorrypowerconsumption": (Vehicle.TRUCK,),
}
"""ChargingPointUsageTypeEnum. `electricVehicle` may be any."""

AUTHENTICATION: Final[dict[str, tuple[str, str]]] = {
    "activerfidchip": ("", "RFID_READER"),
    "apps": ("other", ""),
    "calypso": ("", "RFID_READER"),
    "cashpayment": ("other", ""),
    "creditcard": ("card", "CREDIT_CARD_PAYABLE"),
    "debitcard": ("card", "DEBIT_CARD_PAYABLE"),
    "mifareclassic": ("", "RFID_READER"),
    "mifaredesfire": ("", "RFID_READER"),
    "nfc": ("contactless", ""),
    "phonedialog": ("other", ""),
    "phonesms": ("other", ""),
    "pinpad": ("", "PED_TERMINAL"),
    "prepaidcard": ("other", ""),
    "rfid": ("", "RFID_READER"),
    "unlimitedaccess": ("ad_hoc", ""),
    "website": ("other", ""),
}
"""AuthenticationAndIdentificationEnum: a member of `Payment`, and a Capability of OCPI 2.2.1, section 8.4.3.
`unlimitedAccess`: nobody has to identify themselves."""

MEANS: Final[dict[str, tuple[str, str]]] = {
    "cashbillsonly": ("other", ""),
    "cashcoinsandbills": ("other", ""),
    "cashcoinsonly": ("other", ""),
    "emv": ("card", "CHIP_CARD_SUPPORT"),
    "mobileaccount": ("other", ""),
    "nfc": ("contactless", "CONTACTLESS_CARD_SUPPORT"),
    "paymentcreditcard": ("card", "CREDIT_CARD_PAYABLE"),
    "paymentdebitcard": ("card", "DEBIT_CARD_PAYABLE"),
    "paymentvaluecard": ("other", ""),
    "prepay": ("other", ""),
    "qrcode": ("other", ""),
    "tolltag": ("other", ""),
    "website": ("other", ""),
}
"""MeansOfPaymentEnum, likewise."""

RESERVATION: Final = {"optional": True, "mandatory": True, "partly": True, "notavailable": False}
"""ReservationTypeEnum."""

FORMATS: Final = {
    "cablemode2": Format.CABLE,
    "cablemode3": Format.CABLE,
    "othercable": Format.CABLE,
    "socket": Format.SOCKET,
}
"""ConnectorFormatTypeEnum."""

POWER_TYPES: Final = {
    "mode1ac1p": PowerType.AC_1_PHASE,
    "mode1ac3p": PowerType.AC_3_PHASE,
    "mode2ac1p": PowerType.AC_1_PHASE,
    "mode2ac3p": PowerType.AC_3_PHASE,
    "mode3ac3p": PowerType.AC_3_PHASE,
    "mode4dc": PowerType.DC,
    "ccs": PowerType.DC,
    "dc": PowerType.DC,
}
"""ChargingModeEnum, and CurrentTypeEnum of the AFIR profile, whose `ac` tells no phases."""

VOLTS_MAX: Final = 1_500.0
"""IEC 61851-23: what DC charging stations may have."""
AMPERES_MAX: Final = 3_000.0
"""Of the largest plug there is, MCS (CharIN)."""
HEIGHTS_M: Final = (1.0, 20.0)
"""Of vehicles that may enter; other numbers are of other units."""

LOCAL_AREAS: Final = frozenset({"lau1code", "lau2code"})
"""Of NutsCodeTypeEnum: municipalities, by the numbers of their statistics office. The others are regions."""
STATION_ID_TYPES: Final = {"stationidbnetza": "bnetza"}
"""TypeOfIdentifierEnum: whose id of the station it is."""
PERSON: Final = "ContactPerson"


def standard(word: str) -> str:
    """The OCPI ConnectorType of a word; `UNKNOWN` where there is none."""
    return STANDARDS.get(word.casefold(), UNKNOWN)
