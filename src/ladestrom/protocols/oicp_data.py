"""OICP data records: from EVSEs that are described one by one to stations for the registry.

Knows EvseDataRecordType of OICP 2.2 and 2.3, and how it is written in the wild: numbers and truths as text,
one name instead of a list. Must not know the registry. What describes people or costs is not read.

Source: OICP 2.3 for CPOs, "Data Types".
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from ladestrom.core.coordinates import Coordinates
from ladestrom.core.fields import Notes, Unusable, clean, identifier, plain, quoted
from ladestrom.core.oicp import DATA_ERROR, INCONSISTENT_EVSE, PLUGS, UNSPECIFIED, position
from ladestrom.core.terms import split
from ladestrom.countries import country
from ladestrom.model import NEVER, Connector, Evse, Millis, Operator, Outlet, Station, evse_key
from ladestrom.ports.registry import RecordRefusal, StationDraft
from ladestrom.protocols import oicp_facts
from ladestrom.protocols.delivery import UNREADABLE
from ladestrom.protocols.oicp_facts import connector, listed, power_kw
from ladestrom.record import Terms

REGISTER: Final = "oicp"
NOTES_MAX: Final = 20
NAME_CHARACTERS_MAX: Final = 255
"""OCPI 2.2.1, section 8.3.1, allows a name as much; OICP's names are shorter."""
PLUGS_MAX: Final = 20
"""PlugType has 19 words."""
NATIVE_ID_CHARACTERS_MAX: Final = 120
"""An operator and a ChargingStationID, which has 50."""

_EVSE_ID: Final = re.compile(
    r"[A-Za-z]{2}[*-]?[A-Za-z0-9]{3}[*-]?E[A-Za-z0-9*-]{1,30}|\+?[0-9]{1,3}\*[0-9]{3}\*[0-9*]{1,32}",
    re.IGNORECASE | re.ASCII,
)
"""EvseIDType; `-` is written in the wild."""
_PARTY: Final = re.compile(r"[A-Z]{2}[A-Z0-9]{3}")

Fields = Mapping[str, Any]


class Foreign(Unusable):
    """A record is of an EVSE that is not the operator's. Never leaves this module."""


class _Group:
    """A station while its records are gathered."""

    __slots__ = ("country", "evses", "fields", "notes", "outlets", "place", "terms", "updated_at")

    def __init__(self, fields: Fields, place_: Coordinates, country_: str) -> None:
        self.fields = fields
        self.place = place_
        self.country = country_
        self.notes = Notes(NOTES_MAX)
        self.evses: list[Evse] = []
        self.outlets: list[Outlet] = []
        self.terms: list[Terms] = []
        self.updated_at: Millis = NEVER


def drafts(
    raws: Sequence[msgspec.Raw], operator_name: str | None, party: str, operator: Operator
) -> Iterator[StationDraft | RecordRefusal]:
    """Refused records as they come, each with its status code first, then the stations in order of their
    first record.

    Records with the same ChargingStationID are one station; one without it is a station of its own. Where
    records of a station disagree, the first is taken.

    Args:
        raws: the records.
        operator_name: as the message says it.
        party: OperatorID as a key (`DEABC`), which the EVSEs get as who operates them.
        operator: whose message it is; records of EVSEs that are not its own are refused.
    """
    groups: dict[str, _Group] = {}
    seen: set[str] = set()
    for number, raw in enumerate(raws):
        where = f"record {number}"
        try:
            fields = _fields(raw)
            written = _evse_id(fields)
            where = written
            key = _own_key(written, operator, seen)
            native_id = _native_id(fields, party, key)
            group = groups.get(native_id)
            if group is None:
                group = groups[native_id] = _Group(fields, _place(fields), _country(fields, key))
            _add(group, fields, written, party)
            seen.add(key)
        except Foreign as reason:
            yield RecordRefusal(where, f"{INCONSISTENT_EVSE} {reason}")
        except Unusable as reason:
            yield RecordRefusal(where, f"{DATA_ERROR} {reason}")
    for native_id, group in groups.items():
        yield _draft(native_id, group, operator_name)


def party_of(written: str) -> str:
    """The operator's part of an EVSE id: `DEABC` of `DE*ABC*E1`, `49810` of `+49*810*000*438`.

    Empty where it has none.
    """
    key = evse_key(written)
    if key[:1].isdigit():
        return evse_key("".join(written.split("*")[:2]))
    return key[:5] if _PARTY.fullmatch(key[:5]) else ""


def _fields(raw: msgspec.Raw) -> Fields:
    try:
        found = msgspec.json.decode(raw)
    except UNREADABLE as error:
        raise Unusable(f"it is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise Unusable("it is no object")
    return found


def _evse_id(fields: Fields) -> str:
    written = identifier(fields.get("EvseID") or fields.get("EVSEID"))
    if _EVSE_ID.fullmatch(written) is None:
        raise Unusable(f"EvseID {quoted(written)} is none")
    return written


def _own_key(written: str, operator: Operator, seen: Collection[str]) -> str:
    """The EVSE's key. EvseIDs have to be the operator's, or its sub-operators' (status code 018)."""
    key = evse_key(written)
    if not (operator.all or key.startswith(operator.parties + operator.prefixes)):
        raise Foreign(f"it is not among the EVSEs that {quoted(operator.name)} may report on")
    if key in seen:
        raise Unusable("the EVSE occurs twice in the message")
    return key


def _native_id(fields: Fields, party: str, key: str) -> str:
    station = identifier(fields.get("ChargingStationID") or fields.get("ChargingStationId"))
    return f"{party}:{station}"[:NATIVE_ID_CHARACTERS_MAX] if station else key


def _add(group: _Group, fields: Fields, written: str, party: str) -> None:
    notes = group.notes
    group.outlets += [Outlet(len(group.evses), each) for each in _connectors(fields, notes)]
    own = oicp_facts.terms(fields, notes)
    group.terms.append(own)
    group.updated_at = max(group.updated_at, oicp_facts.updated_at(fields))
    group.evses.append(
        Evse(
            key=evse_key(written),
            station="",
            evse_id=written,
            party=party if _PARTY.fullmatch(party) else None,
            floor=oicp_facts.floor(fields, notes),
            capabilities=oicp_facts.capabilities(fields, own),
        )
    )


def _draft(native_id: str, group: _Group, operator_name: str | None) -> StationDraft:
    fields, notes = group.fields, group.notes
    address = _member(fields, "Address")
    street = clean(address.get("Street"), "street", NAME_CHARACTERS_MAX, notes)
    number = clean(address.get("HouseNum"), "house number", NAME_CHARACTERS_MAX, notes)
    city = clean(address.get("City"), "city", NAME_CHARACTERS_MAX, notes)
    operator = clean(operator_name, "operator", NAME_CHARACTERS_MAX, notes)
    name = clean(_name(fields), "name", NAME_CHARACTERS_MAX, notes)
    shared, of_evses = split(group.terms)
    evses = (
        msgspec.structs.replace(each, terms=own) for each, own in zip(group.evses, of_evses, strict=True)
    )
    station = Station(
        uuid="",
        name=name or f"{street} {number}".strip() or group.evses[0].evse_id or native_id,
        country=group.country,
        latitude=group.place.latitude,
        longitude=group.place.longitude,
        evses=tuple(evses),
        outlets=tuple(group.outlets),
        operator=operator or None,
        address=f"{street} {number}".strip() or None,
        city=city or None,
        register=REGISTER,
        native_id=native_id,
        details=oicp_facts.details(fields, shared, group.country, notes),
    )
    return StationDraft(station, notes=notes.all(), updated_at=group.updated_at)


def _member(fields: Fields, name: str) -> Fields:
    found = fields.get(name)
    return found if isinstance(found, dict) else {}


def _name(fields: Fields) -> object:
    """The first name that there is: names are in the language of the place first, in English second."""
    for name in listed(fields.get("ChargingStationNames")):
        found = name.get("value") if isinstance(name, dict) else name
        if plain(found):
            return found
    return fields.get("ChargingStationName") or fields.get("EnChargingStationName")


def _country(fields: Fields, key: str) -> str:
    said = _member(fields, "Address").get("Country")
    found = country(plain(said)) or country(key[:2])
    if found is None:
        raise Unusable(f"its country {quoted(said)} is none")
    return found


def _place(fields: Fields) -> Coordinates:
    return position(_member(fields, "GeoCoordinates"))


def _connectors(fields: Fields, notes: Notes) -> list[Connector]:
    """One for each plug. Facilities belong to plugs one by one where there are as many of both; else the
    largest power is that of all of them.
    """
    facilities = listed(fields.get("ChargingFacilities"))
    plugs = [plain(plug) for plug in listed(fields.get("Plugs"))][:PLUGS_MAX] or [UNSPECIFIED]
    for plug in plugs:
        if plug not in PLUGS:
            notes.add(f"its plug {quoted(plug)} is of an unknown kind")
    if len(facilities) == len(plugs):
        return [connector(plug, facility, notes) for plug, facility in zip(plugs, facilities, strict=True)]
    powers = [power for each in facilities if (power := power_kw(each, notes)) is not None]
    most = {"Power": max(powers)} if powers else None
    return [connector(plug, most, notes) for plug in plugs]
