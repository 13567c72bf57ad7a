"""A station as a register delivers it: whether it can be kept, and the form in which it is.

Knows one draft at a time. Must not know of other stations: `core.merge` does.
"""

from __future__ import annotations

import math
import re
from itertools import chain
from typing import TYPE_CHECKING, Final

import msgspec

from ladestrom.model import NEVER, Evse, Outlet, Reading, Station, connector_uuid, evse_key
from ladestrom.quoting import quoted

if TYPE_CHECKING:
    from ladestrom.ports import StationDraft

NUMBER_DIGITS_MAX: Final = 9
"""Of a uuid. NOBIL has six; what is longer is no number that somebody counted up to."""
INSTANT_MAX: Final = 2**53 - 1
"""The largest integer that every JSON reader keeps."""

UUID_FORM: Final = re.compile(rf"[A-Z]{{3}}_[0-9]{{5,{NUMBER_DIGITS_MAX}}}")
_COUNTRY = re.compile(r"[A-Z]{3}")


def fault(draft: StationDraft) -> str | None:
    """What makes the draft impossible to keep, or None.

    Parsers see to most of it; what reaches a database regardless would cost the whole import.
    """
    return (
        _identity_fault(draft.station)
        or _text_fault(draft)
        or _outlet_fault(draft.station)
        or _reading_fault(draft)
    )


def completed(draft: StationDraft, register: str, uuid: str) -> tuple[Station, tuple[Reading, ...]]:
    """The station with its uuid, register and EVSE keys, and the newest reading of each of its EVSEs.

    Of a draft without fault. EVSEs without key get the id of their first connector, `NOR_01333_01`.
    """
    own = draft.station
    ordinals: dict[int, int] = {}
    for ordinal, outlet in enumerate(own.outlets, 1):
        ordinals.setdefault(outlet.evse, ordinal)
    evses = tuple(
        Evse(
            key=evse_key(evse.key) or connector_uuid(uuid, ordinals[index]),
            station=uuid,
            evse_id=evse.evse_id,
            uid=evse.uid,
            party=evse.party,
        )
        for index, evse in enumerate(own.evses)
    )
    newest: dict[str, Reading] = {}
    for index, reading in draft.readings:
        read = msgspec.structs.replace(reading, evse=evses[index].key)
        if supersedes(read, newest.get(read.evse)):
            newest[read.evse] = read
    station = msgspec.structs.replace(own, uuid=uuid, evses=evses, register=register, vanished_at=None)
    return station, tuple(newest.values())


def joined(known: Station, draft: StationDraft) -> StationDraft:
    """A draft of some EVSEs of a station, with those that the station has beside them, in its order; new ones
    come last. Of a draft whose EVSEs have keys.
    """
    own = draft.station
    fresh = {evse_key(evse.key): index for index, evse in enumerate(own.evses)}
    parts = [
        (own, fresh[evse.key]) if evse.key in fresh else (known, index)
        for index, evse in enumerate(known.evses)
    ]
    stood = {evse.key for evse in known.evses}
    parts += [(own, index) for key, index in fresh.items() if key not in stood]
    places = {index: place for place, (station, index) in enumerate(parts) if station is own}
    station = msgspec.structs.replace(
        own,
        evses=tuple(station.evses[index] for station, index in parts),
        outlets=tuple(
            Outlet(place, outlet.connector)
            for place, (station, index) in enumerate(parts)
            for outlet in station.outlets
            if outlet.evse == index
        ),
    )
    readings = tuple((places[index], reading) for index, reading in draft.readings)
    return msgspec.structs.replace(draft, station=station, readings=readings)


def doubled_key(station: Station) -> str | None:
    """The first EVSE key that stands in the station twice, or None."""
    keys: set[str] = set()
    for evse in station.evses:
        if evse.key in keys:
            return evse.key
        keys.add(evse.key)
    return None


def supersedes(reading: Reading, stored: Reading | None) -> bool:
    """Whether the reading is to replace the stored one: it is newer, or as old and different."""
    return stored is None or (reading.observed_at >= stored.observed_at and reading != stored)


def _identity_fault(station: Station) -> str | None:
    if not station.uuid and not station.native_id:
        return "it has no id"
    if station.uuid and UUID_FORM.fullmatch(station.uuid) is None:
        return f"{quoted(station.uuid, 40)} is no uuid of a station; it has the form NOR_01333"
    if _COUNTRY.fullmatch(station.country) is None:
        return f"{quoted(station.country, 40)} is no country; it has three letters"
    # Written so that what is not a number fails.
    if not (abs(station.latitude) <= 90 and abs(station.longitude) <= 180):  # noqa: PLR2004 - degrees
        return f"its position ({station.latitude}, {station.longitude}) is not on the globe"
    return None


def _outlet_fault(station: Station) -> str | None:
    with_outlet = {outlet.evse for outlet in station.outlets}
    for ordinal, outlet in enumerate(station.outlets, 1):
        if not 0 <= outlet.evse < len(station.evses):
            return f"connector {ordinal} belongs to an EVSE that is not there"
        power_kw = outlet.connector.power_kw
        if power_kw is not None and not math.isfinite(power_kw):
            return f"connector {ordinal} has a power that is no number"
    for index, evse in enumerate(station.evses):
        if not evse_key(evse.key) and index not in with_outlet:
            return f"EVSE {index + 1} has neither an id nor a connector"
    return None


def _reading_fault(draft: StationDraft) -> str | None:
    for index, reading in draft.readings:
        if not 0 <= index < len(draft.station.evses):
            return f"it has the status of EVSE {index + 1}, which is not there"
        if not NEVER <= reading.observed_at <= INSTANT_MAX:
            return f"the status of EVSE {index + 1} has an impossible time"
    return None


def _text_fault(draft: StationDraft) -> str | None:
    station = draft.station
    texts = chain(
        (station.native_id, station.name, station.operator, station.address, station.city),
        chain.from_iterable((evse.key, evse.evse_id, evse.uid, evse.party) for evse in station.evses),
        (outlet.connector.standard for outlet in station.outlets),
        (reading.raw for _, reading in draft.readings),
    )
    joined = "".join(filter(None, texts))
    if "\0" in joined or any("\ud800" <= each <= "\udfff" for each in set(joined)):
        return "its text has characters that cannot be kept: NUL, or half of a surrogate pair"
    return None
