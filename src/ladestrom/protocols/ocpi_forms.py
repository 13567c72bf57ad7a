"""What tells a Location, an EVSE and a Connector from each other, and from an object that only holds one.

Knows the members that the specification names. Must not know what they mean: an object of the right kind may
have others too, and lack nearly all of these.

Source: OCPI 2.1.1, `mod_locations`, 3; 2.2.1 and 2.3.0, section 8.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from ladestrom.quoting import quoted

NAMES_TOLD_MAX: Final = 3
"""Members of a wrong object that its sender is told."""
NAME_CHARACTERS_MAX: Final = 40


class Kind(StrEnum):
    """What a path names."""

    LOCATION = "Location"
    EVSE = "EVSE"
    CONNECTOR = "Connector"


MEMBERS: Final[dict[Kind, frozenset[str]]] = {
    Kind.LOCATION: frozenset(
        [
            "publish",
            "publish_allowed_to",
            "type",
            "name",
            "address",
            "city",
            "postal_code",
            "state",
            "country",
            "coordinates",
            "related_locations",
            "parking_type",
            "parking_places",
            "evses",
            "directions",
            "operator",
            "suboperator",
            "owner",
            "help_phone",
            "facilities",
            "time_zone",
            "opening_times",
            "charging_when_closed",
            "images",
            "energy_mix",
            "tariff_ids",
        ]
    ),
    Kind.EVSE: frozenset(
        [
            "evse_id",
            "status",
            "status_schedule",
            "capabilities",
            "connectors",
            "floor_level",
            "coordinates",
            "physical_reference",
            "directions",
            "parking_restrictions",
            "parking",
            "images",
            "accepted_service_providers",
        ]
    ),
    Kind.CONNECTOR: frozenset(
        [
            "standard",
            "format",
            "power_type",
            "max_voltage",
            "max_amperage",
            "max_electric_power",
            "voltage",
            "amperage",
            "tariff_id",
            "tariff_ids",
            "terms_and_conditions",
            "capabilities",
        ]
    ),
}
"""Those that say something of the object; ids and `last_updated`, which say which and when, are left out."""
IDS: Final[dict[Kind, frozenset[str]]] = {
    Kind.LOCATION: frozenset({"id", "country_code", "party_id"}),
    Kind.EVSE: frozenset({"uid"}),
    Kind.CONNECTOR: frozenset({"id"}),
}
_MARKS: Final = {
    Kind.LOCATION: frozenset({"evses"}),
    Kind.EVSE: frozenset({"uid", "evse_id", "status", "connectors"}),
    Kind.CONNECTOR: frozenset({"standard"}),
}
"""Members by which an object of another kind is known; others may be somebody's own extension."""
_EXAMPLES: Final = {
    Kind.LOCATION: "coordinates, evses and other members",
    Kind.EVSE: "status and other members",
    Kind.CONNECTOR: "standard, format and other members",
}
_WHEN: Final = "last_updated"


def misfit(given: Mapping[str, Any], kind: Kind, *, is_whole: bool) -> str:
    """Why an object cannot be one of this kind; empty where it can.

    An object within another one (`{"data": {...}}`), or one of another kind, would be stored and say nothing.

    Args:
        given: the object.
        kind: what its path names.
        is_whole: whether it is to replace all that is there, and not members of it.
    """
    said = given.keys() - IDS[kind] - {_WHEN}
    own = said & MEMBERS[kind]
    expected = f"expected is the {kind} itself, an object with {_EXAMPLES[kind]}"
    for other, marks in _MARKS.items():
        if other is not kind and said & marks and own <= MEMBERS[other]:
            return f"the body has members of {_a(other)}, and the path names {_a(kind)}; {expected}"
    if own:
        return ""
    if not said:
        return f"the {kind} has no members but its ids; PUT replaces all of it" if is_whole else ""
    wraps = any(_holds(value) for name, value in given.items() if name in said)
    if is_whole or wraps:
        names = ", ".join(quoted(name, NAME_CHARACTERS_MAX) for name in sorted(said)[:NAMES_TOLD_MAX])
        return f"the body has {names} and no member of {_a(kind)}; {expected}"
    return ""


def _a(kind: Kind) -> str:
    return f"an {kind}" if kind is Kind.EVSE else f"a {kind}"


def _holds(value: object) -> bool:
    """Whether it is, or lists, an object with a member of one of the kinds."""
    each = value[0] if isinstance(value, list) and value else value
    return isinstance(each, dict) and any(not each.keys().isdisjoint(known) for known in MEMBERS.values())
