"""Who may charge what at an EVSE of OCPI, and how it is paid: its capabilities, parking restrictions and
parking places.

Source: OCPI 2.2.1, sections 8.4.3 and 8.4.17; 2.3.0 beside, Parking and VehicleType.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec

from ladestrom.core.fields import Notes, decimal, plain, quoted, truth
from ladestrom.core.location_hours import Said, objects
from ladestrom.core.terms import payment
from ladestrom.record import Access, Accessibility, Terms, Vehicle

WORDINGS_KEPT_MAX: Final = 4_096
"""Lists of capabilities and restrictions, what they mean."""
NOTES_MAX: Final = 20
CAPABILITIES_MAX: Final = 64
"""OCPI 2.3.0 has 13 words."""
PARKING_PLACES_MAX: Final = 1_000
CAR_HEIGHTS_CM: Final = (100.0, 1_000.0)
"""Heights below which no vehicle is, and above which no garage needs to say so."""
_CAPABILITY: Final = re.compile(r"[A-Z0-9_]{1,64}")
_ACCESS: Final = {
    "CUSTOMERS": Access.VISITORS,
    "EMPLOYEES": Access.EMPLOYEES,
    "TENANTS": Access.RESIDENTS,
    "TAXIS": Access.RESTRICTED,
}
"""ParkingRestriction: those who alone may park there. OCPI 2.2.1 has CUSTOMERS only."""
_RESTRICTIONS: Final = frozenset({*_ACCESS, "DISABLED", "MOTORCYCLES", "EV_ONLY", "PLUGGED"})
_CARD: Final = frozenset({"CREDIT_CARD_PAYABLE", "DEBIT_CARD_PAYABLE", "CHIP_CARD_SUPPORT", "PED_TERMINAL"})
_CONTACTLESS: Final = "CONTACTLESS_CARD_SUPPORT"
"""OCPI 2.2.1, section 8.4.3: "When a Charge Point supports ad-hoc payments with a payment terminal, please
use a combination of the following values": these five."""
_RESERVABLE: Final = "RESERVABLE"
_VEHICLES: Final = {
    "PERSONAL_VEHICLE": Vehicle.CAR,
    "PERSONAL_VEHICLE_WITH_TRAILER": Vehicle.CAR,
    "VAN": Vehicle.CAR,
    "SEMI_TRACTOR": Vehicle.TRUCK,
    "RIGID": Vehicle.TRUCK,
    "TRUCK_WITH_TRAILER": Vehicle.TRUCK,
    "BUS": Vehicle.BUS,
    "MOTORCYCLE": Vehicle.MOTORCYCLE,
    "DISABLED": Vehicle.CAR,
}
"""VehicleType (OCPI 2.3.0). "DISABLED" is a car with a permit."""


class Parking(NamedTuple):
    """A parking place of a Location (OCPI 2.3.0)."""

    vehicles: frozenset[Vehicle]
    accessibility: Accessibility | None
    max_height_m: float | None
    time_limit_min: int | None
    is_reserved: bool
    """Whether it has to be reserved."""


def parking_places(said: object, notes: Notes) -> dict[str, Parking]:
    """The parking places of a Location, by id."""
    found: dict[str, Parking] = {}
    for each in objects(said)[:PARKING_PLACES_MAX]:
        name = plain(each.get("id"))
        if name and name not in found:
            found[name] = _parking(each, notes)
    return found


@lru_cache(WORDINGS_KEPT_MAX)
def of_words(listed: object, restricted: object) -> tuple[tuple[str, ...], Terms, tuple[str, ...]]:
    """Capabilities, the terms that follow from them and from the parking restrictions, and notes.

    Args:
        listed: the capabilities: a tuple for a list.
        restricted: likewise the restrictions.
    """
    notes = Notes(NOTES_MAX)
    words = (_words(listed, "capabilities", notes), _words(restricted, "parking restrictions", notes))
    capabilities, terms = _of_capabilities(*words, notes)
    return capabilities, terms, notes.all()


def _words(said: object, what: str, notes: Notes) -> tuple[str, ...]:
    if not said:
        return ()
    if not isinstance(said, tuple):
        notes.add(f"its {what} are no list")
        return (said,) if isinstance(said, str) else ()
    found = tuple(each for each in said if isinstance(each, str))
    if len(found) < len(said):
        notes.add(f"some of its {what} are no words")
    return found


def parked(terms: Terms, places: Sequence[Parking]) -> Terms:
    """Terms with what the parking places of an EVSE say: a vehicle is charged where one of them takes it."""
    said: dict[str, Any] = {}
    vehicles = frozenset().union(*(each.vehicles for each in places))
    if vehicles and not terms.vehicles:
        said["vehicles"] = tuple(each for each in Vehicle if each in vehicles)
    accessible = {each.accessibility for each in places}
    if terms.accessibility is None and accessible != {None}:
        is_reserved = accessible == {Accessibility.RESERVED}
        said["accessibility"] = Accessibility.RESERVED if is_reserved else Accessibility.ACCESSIBLE
    heights = [each.max_height_m for each in places]
    if None not in heights:
        said["max_height_m"] = max(filter(None, heights))
    if all(each.is_reserved for each in places):
        said["reservable"] = True
    return msgspec.structs.replace(terms, **said) if said else terms


def near(said: object, places: Mapping[str, Parking]) -> list[Parking]:
    """The parking places of an EVSE."""
    names = (plain(each.get("parking_id")) for each in objects(said))
    return [places[name] for name in names if name in places]


def time_limit(parking: Sequence[Parking]) -> int | None:
    """How long a vehicle may stay, where that is the same everywhere."""
    limits = {each.time_limit_min for each in parking}
    return limits.pop() if len(limits) == 1 else None


def _of_capabilities(
    listed: tuple[str, ...], restricted: tuple[str, ...], notes: Notes
) -> tuple[tuple[str, ...], Terms]:
    capabilities: dict[str, None] = {}
    for each in listed:
        word = plain(each).upper().replace(" ", "_")
        if _CAPABILITY.fullmatch(word) is None:
            notes.add(f"the capability {quoted(each)} is none")
        elif len(capabilities) < CAPABILITIES_MAX:
            capabilities[word] = None
    restrictions = {plain(each).upper() for each in restricted}
    if others := restrictions - _RESTRICTIONS:
        notes.add(f"the parking restriction {quoted(min(others))} is not known")
    is_contactless = _CONTACTLESS in capabilities
    by_card = True if is_contactless or not _CARD.isdisjoint(capabilities) else None
    who = {_ACCESS[each] for each in restrictions if each in _ACCESS}
    terms = Terms(
        access=None if not who else min(who) if len(who) == 1 else Access.RESTRICTED,
        accessibility=Accessibility.RESERVED if "DISABLED" in restrictions else None,
        vehicles=(Vehicle.MOTORCYCLE,) if "MOTORCYCLES" in restrictions else (),
        payment=payment(card=by_card, contactless=is_contactless or None, ad_hoc=by_card),
        reservable=True if _RESERVABLE in capabilities else None,
    )
    return tuple(capabilities), terms


def _parking(said: Said, notes: Notes) -> Parking:
    words = {plain(each).upper() for each in _listed(said.get("vehicle_types"))}
    vehicles = frozenset(_VEHICLES[each] for each in words if each in _VEHICLES)
    if others := words - _VEHICLES.keys():
        notes.add(f"the vehicle type {quoted(min(others))} is not known")
    accessibility = None
    if "DISABLED" in words:
        is_only = len(words) == 1 and truth(said.get("restricted_to_type")) is True
        accessibility = Accessibility.RESERVED if is_only else Accessibility.ACCESSIBLE
    height_cm, limit = decimal(said.get("max_vehicle_height")), decimal(said.get("time_limit"))
    if height_cm is not None and not CAR_HEIGHTS_CM[0] <= height_cm <= CAR_HEIGHTS_CM[1]:
        notes.add(f"the height of {height_cm:g} cm is not valid and was ignored")
        height_cm = None
    return Parking(
        vehicles,
        accessibility,
        None if height_cm is None else round(height_cm / 100, 2),
        None if limit is None or limit < 1 else int(limit),
        truth(said.get("reservation_required")) is True,
    )


def _listed(said: object) -> list[object]:
    return said if isinstance(said, list) else [] if said is None else [said]
