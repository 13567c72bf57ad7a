"""NOBIL's attributes: what they are called, and which of their values says what the record says.

The numbers are those that NOBIL's importer reads (`registers.nobil_tables`), so that each is read back as
what it was. What has no number in NOBIL's lists is left out: consumers refuse numbers that they do not know.
Only of connectors, capacities and opening hours, there is the number 0, which is NOBIL's for what it does not
specify.

Source: NOBIL API version 3, attributes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from ladestrom.model import Connector
from ladestrom.record import Access, Hours, Opening, Payment, Place, PowerType, Vehicle
from ladestrom.registers import nobil_tables as tables


class Attribute(NamedTuple):
    """One, of a station or a connector."""

    kind: str
    number: str = ""
    """Of its value, in NOBIL's list."""
    text: str = ""
    """What the number means."""
    value: str = ""
    """What was entered."""


NAMES: Final[Mapping[str, str]] = {
    tables.ACCESSIBILITY: "Accessibility",
    tables.AVAILABILITY: "Availability",
    tables.LOCATION: "Location",
    tables.CONNECTOR: "Connector",
    tables.CAPACITY: "Charging capacity",
    tables.TIME_LIMIT: "Time limit",
    tables.PARKING_FEE: "Parking fee",
    tables.CONNECTOR_STATUS: "Connector status",
    tables.ERROR_STATUS: "Connector Error status",
    tables.TIMESTAMP: "timestamp",
    tables.VEHICLE_TYPE: "Vehicle type",
    tables.RESERVABLE: "Reservable",
    tables.PAYMENT_METHOD: "Payment method",
    tables.OPEN_24_H: "Open 24h",
    tables.FIXED_CABLE: "Fixed cable",
    tables.EVSE_UID: "EVSE UId",
    tables.EVSE_ID: "EVSE ID",
    "21": "Real-time information",
    "26": "Energy carrier",
}
UNSPECIFIED: Final = ("0", "Unspecified")
_DAYS: Final = ("Mo", "Tu", "We", "Th", "Fr", "Sa", "Su")

ACCESS: Final = {
    Access.PUBLIC: ("1", "Public"),
    Access.VISITORS: ("2", "Visitors"),
    Access.EMPLOYEES: ("3", "Employees"),
    Access.APPOINTMENT: ("4", "By appointment"),
    Access.RESIDENTS: ("5", "Residents"),
}
PLACES: Final = {
    Place.STREET: ("1", "Street"),
    Place.CAR_PARK: ("2", "Car park"),
    Place.GARAGE: ("2", "Car park"),
    Place.UNDERGROUND_GARAGE: ("2", "Car park"),
    Place.SHOPPING: ("4", "Shopping center"),
    Place.TRANSPORT_HUB: ("5", "Transport hub"),
    Place.HOSPITALITY: ("6", "Hotel & restaurants"),
    Place.FUEL_STATION: ("7", "Gas station"),
}
CONNECTORS: Final = {
    "DOMESTIC_F": ("14", "Schuko CEE 7/4"),
    "DOMESTIC_K": ("22", "Type K"),
    "TESLA_R": ("29", "Tesla Connector Roadster"),
    "CHADEMO": ("30", "CHAdeMO"),
    "IEC_62196_T1": ("31", "Type 1"),
    "IEC_62196_T2": ("32", "Type 2"),
    "IEC_60309_2_single_16": ("34", "Industrial 1-phase"),
    "IEC_60309_2_three_16": ("35", "Industrial 3-phase"),
    "IEC_62196_T2_COMBO": ("39", "CCS/Combo"),
    "TESLA_S": ("40", "Tesla Connector Model"),
    "MCS": ("87", "MCS"),
}
VEHICLES: Final = {
    (Vehicle.CAR,): ("1", "Electric cars and vans"),
    (Vehicle.TRUCK,): ("10", "Electric trucks"),
    (Vehicle.BUS,): ("13", "Electric buses"),
    (Vehicle.TRUCK, Vehicle.BUS): ("14", "Electric buses and trucks"),
}
CAPACITIES: Final = {
    "7": "3,6 kW - 230V 1-phase max 16A",
    "8": "7,4 kW - 230V 1-phase max 32A",
    "10": "11 kW - 400V 3-phase max 16A",
    "11": "22 kW - 400V 3-phase max 32A",
    "12": "43 kW - 400V 3-phase max 63A",
    "13": "50 kW - 500VDC max 100A",
    "16": "230V 3-phase max 16A",
    "17": "230V 3-phase max 32A",
    "18": "230V 3-phase max 63A",
    "19": "20 kW - 500VDC max 50A",
    "22": "135 kW - 480VDC max 270A",
    "23": "100 kW - 500VDC max 200A",
}
"""Values of attribute 5 whose texts say more than the power."""
_LINES_V: Final = {230.0: 400}
"""Three phases: what is 230 V to neutral is 400 V between the lines, as NOBIL writes it."""
_PHASES: Final = {PowerType.AC_1_PHASE: "1-phase", PowerType.AC_3_PHASE: "3-phase"}
_Known = tuple[float | None, PowerType | None, float | None, float | None]


def _exact() -> Iterator[tuple[_Known, tuple[str, str]]]:
    for number, text in CAPACITIES.items():
        current = tables.current(number, text, "", "")
        known = (tables.POWERS_KW[number], current.power_type, current.max_v, current.max_a)
        yield known, (number, text)


def _by_power() -> dict[tuple[float, PowerType], str]:
    found: dict[tuple[float, PowerType], str] = {}
    for number, power_kw in tables.POWERS_KW.items():
        kind = tables.current(number, "", "", "").power_type
        if kind is not None:
            found.setdefault((power_kw, kind), number)
    return found


_EXACT: Final = dict(_exact())
_BY_POWER: Final = _by_power()


def yes_no(kind: str, known: bool) -> Attribute:
    """An attribute that is yes or no."""
    return Attribute(kind, *(("1", "Yes") if known else ("2", "No")))


def capacity(connector: Connector) -> Attribute | None:
    """Attribute 5: power, and what is known of the current; None where nothing is."""
    own = (connector.max_kw, connector.power_type, connector.max_v, connector.max_a)
    found = _EXACT.get(own)
    if found is None:
        power_kw, kind, _, _ = own
        text = " - ".join(filter(None, (_power(power_kw), _current(*own[1:]))))
        number = "0" if power_kw is None or kind is None else _BY_POWER.get((power_kw, kind), "0")
        found = (number, text)
    return Attribute(tables.CAPACITY, *found) if found[1] else None


def _power(power_kw: float | None) -> str:
    if power_kw is None:
        return ""
    digits = f"{power_kw:.4f}".rstrip("0").rstrip(".").replace(".", ",")
    return f"{digits} kW"


def _current(kind: PowerType | None, max_v: float | None, max_a: float | None) -> str:
    is_direct = kind is PowerType.DC
    if kind is None or (not is_direct and kind not in _PHASES):
        return ""
    volts = _LINES_V.get(max_v or 0.0) if kind is PowerType.AC_3_PHASE else max_v
    said = f"{volts:.0f}V" if volts and float(volts).is_integer() else ""
    parts = [f"{said}DC"] if is_direct else [said, _PHASES[kind]]
    if max_a is not None and float(max_a).is_integer():
        parts.append(f"max {max_a:.0f}A")
    return " ".join(filter(None, parts))


def payment(ways: Payment | None) -> Attribute | None:
    """Attribute 19: how it is paid, as far as the record says it."""
    if ways is None or not (ways.card or ways.other):
        return None
    if not ways.card:
        return Attribute(tables.PAYMENT_METHOD, "10", "Miscellaneous")
    return Attribute(tables.PAYMENT_METHOD, "2", "Bank card and miscellaneous" if ways.other else "Bank card")


def opening(known: Opening | None) -> Attribute | None:
    """Attribute 24. Spans in which a station is open or closed beside its hours are not told."""
    if known is None:
        return None
    if known.always:
        return Attribute(tables.OPEN_24_H, "1", "Yes", "1")
    text = _hours(known.hours) if known.hours else known.text or ""
    if known.always is None and not known.hours:
        return Attribute(tables.OPEN_24_H, *UNSPECIFIED, text) if text else None
    return Attribute(tables.OPEN_24_H, "2", "No", text)


def _hours(hours: tuple[Hours, ...]) -> str:
    """As OpenStreetMap writes them."""
    days: dict[int, list[str]] = {}
    for each in hours:
        days.setdefault(each.weekday, []).append(f"{each.begin}-{each.end}")
    return "; ".join(f"{_DAYS[day - 1]} {','.join(spans)}" for day, spans in days.items())
