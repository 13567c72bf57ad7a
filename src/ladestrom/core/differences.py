"""What is different between two records of one station, member by member, for people who import registers.

Knows the members of a record by the names that they have there: those of its details as if they were its own,
those of contact and payment as `payment.card`. Must not know why a record changed. Not for the hot path: the
server never asks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from ladestrom.model import Connector, Evse, Station
from ladestrom.ports.registry import Difference
from ladestrom.record import Contact, Id, Opening, Payment

VALUE_CHARACTERS_MAX: Final = 200
"""Of a value that is told; what is longer ends in `...`."""

_NOT_OF_STATIONS: Final = frozenset(
    {"uuid", "evses", "outlets", "told", "vanished_at", "updated_at", "details", "latitude", "longitude"}
)
_NOT_OF_EVSES: Final = frozenset({"key", "station", "terms"})
_encode = msgspec.json.Encoder().encode

Value = str | int | float | bool | None


def between(before: Station, after: Station) -> tuple[Difference, ...]:
    """What the later record says differently.

    Empty where they differ in nothing that is shown of a station: when it was updated, when it vanished, and
    what its register told beyond what was taken are not.

    First the station's own members, then its EVSEs, by their keys: those that are gone and those that are
    new, then members that changed, then connectors, by their places.
    """
    return tuple(_between(before, after))


def _between(before: Station, after: Station) -> Iterator[Difference]:
    yield from _differing(_station(before), _station(after))
    if before.details != after.details:
        yield from _differing(_members(before.details), _members(after.details))
    if before.evses == after.evses and before.outlets == after.outlets:
        return
    those, these = ({evse.key: evse for evse in each.evses} for each in (before, after))
    yield from (Difference("evse", evse.name, None) for key, evse in those.items() if key not in these)
    yield from (Difference("evse", None, evse.name) for key, evse in these.items() if key not in those)
    plugs_before, plugs_after = _connectors(before), _connectors(after)
    for key, evse in these.items():
        if key in those:
            yield from _differing(_evse(those[key]), _evse(evse), "evse.", evse.name)
            yield from _of_connectors(plugs_before[key], plugs_after[key], evse.name)
    yield from _of_order(before, after)


def _differing(
    those: Mapping[str, object],
    these: Mapping[str, object],
    prefix: str = "",
    evse: str = "",
    connector: int | None = None,
) -> Iterator[Difference]:
    for name in {**those, **these}:
        was, is_now = those.get(name), these.get(name)
        if was != is_now:
            yield Difference(prefix + name, _told(was), _told(is_now), evse, connector)


def _of_connectors(those: list[Connector], these: list[Connector], evse: str) -> Iterator[Difference]:
    if len(those) != len(these):
        yield Difference("connectors", _told(_listed(those)), _told(_listed(these)), evse)
        return
    for place, (was, is_now) in enumerate(zip(those, these, strict=True), 1):
        if was != is_now:
            yield from _differing(_members(was), _members(is_now), "connector.", evse, place)


def _of_order(before: Station, after: Station) -> Iterator[Difference]:
    """The order of what both have, where it is another one."""
    was, is_now = ([each.key for each in station.evses] for station in (before, after))
    field = "evse order"
    if was == is_now:
        was, is_now = (
            [station.evses[each.evse].key for each in station.outlets] for station in (before, after)
        )
        field = "connector order"
    if was != is_now and sorted(was) == sorted(is_now):
        yield Difference(field, _told(", ".join(was)), _told(", ".join(is_now)))


def _station(station: Station) -> dict[str, object]:
    own = {name: getattr(station, name) for name in Station.__struct_fields__ if name not in _NOT_OF_STATIONS}
    return {**own, "position": f"{station.latitude}, {station.longitude}"}


def _evse(evse: Evse) -> dict[str, object]:
    own = {name: getattr(evse, name) for name in Evse.__struct_fields__ if name not in _NOT_OF_EVSES}
    return own if evse.terms is None else {**own, **_members(evse.terms)}


def _members(struct: msgspec.Struct) -> dict[str, object]:
    """The members that say something; those of contact and payment with the name of what they belong to."""
    found: dict[str, object] = {}
    for name in struct.__struct_fields__:
        value = getattr(struct, name)
        if isinstance(value, (Contact, Payment)):
            found.update({f"{name}.{inner}": each for inner, each in _members(value).items()})
        elif value is not None and value != ():
            found[name] = value
    return found


def _connectors(station: Station) -> dict[str, list[Connector]]:
    found: dict[str, list[Connector]] = {evse.key: [] for evse in station.evses}
    for outlet in station.outlets:
        found[station.evses[outlet.evse].key].append(outlet.connector)
    return found


def _listed(connectors: list[Connector]) -> str:
    return ", ".join(
        each.standard if each.max_kw is None else f"{each.standard} {each.max_kw:g} kW" for each in connectors
    )


def _told(value: object) -> Value:
    """A value as it is told: numbers as they are, anything else as a short text."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    text = " | ".join(map(_text, value)) if isinstance(value, tuple) else _text(value)
    return text if len(text) <= VALUE_CHARACTERS_MAX else f"{text[:VALUE_CHARACTERS_MAX]}..."


def _text(value: object) -> str:
    if isinstance(value, Id):
        return f"{value.register}={value.id}"
    if isinstance(value, Opening):
        if value == Opening(always=True):
            return "24/7"
        if value.text is not None and value == Opening(text=value.text):
            return value.text
        return _encode(value).decode()
    return str(value)
