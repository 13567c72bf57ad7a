"""A station as a register delivers it: whether it can be kept, and the form in which it is.

Knows one draft at a time. Must not know of other stations: `core.merge` does.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache
from hashlib import blake2b
from itertools import chain
from typing import TYPE_CHECKING, Final

import msgspec

from ladestrom.core import electrical, time_zones
from ladestrom.core.terms import split
from ladestrom.model import (
    NEVER,
    Evse,
    Outlet,
    Reading,
    Station,
    connector_uuid,
    evse_key,
    local_key,
    party_in,
    registry_key,
)
from ladestrom.quoting import quoted
from ladestrom.record import NO_DETAILS, Details, Terms

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ladestrom.ports.registry import StationDraft

NUMBER_DIGITS_MAX: Final = 9
"""Of a uuid. NOBIL has six; what is longer is no number that somebody counted up to."""
FINGERPRINT_BYTES: Final = 8
EVSES_MAX: Final = 2_000
"""EVSEs of one station: some ten times those of the largest sites. The NOBIL stream tells a whole station for
each change of one of them."""
OUTLETS_MAX: Final = 8_000
"""Connectors of one station."""
TEXT_CHARACTERS_MAX: Final = 10_000
"""Of each text of a record."""
DETAILS_KEPT_MAX: Final = 64
"""Details with derived time zones that are one object: those of stations of which nothing else is known."""
RECORD_CHARACTERS_MAX: Final = 1_000_000
"""Of all texts of a record. 2,000 EVSEs with ids, labels and terms of their own have some 600,000."""
PARTS_MAX: Final[Mapping[str, int]] = {
    "ids": 100,
    "images": 100,
    "hours": 200,
    "openings": 1_000,
    "closings": 1_000,
    "vehicles": 20,
    "capabilities": 100,
    "derived": 100,
}
"""Parts of a record of which there may be several. Exceptions from the hours are most: those of holidays of
some years."""
INSTANT_MAX: Final = 2**53 - 1
"""The largest integer that every JSON reader keeps."""

UUID_FORM: Final = re.compile(rf"[A-Z]{{3}}_[0-9]{{5,{NUMBER_DIGITS_MAX}}}")
_COUNTRY = re.compile(r"[A-Z]{3}")
_encode = msgspec.json.Encoder().encode


def fault(draft: StationDraft) -> str | None:
    """What makes the draft impossible to keep, or None.

    Parsers see to most of it; what reaches a database regardless would cost the whole import.
    """
    return (
        _identity_fault(draft.station)
        or _size_fault(draft)
        or _text_fault(draft)
        or _number_fault(draft.station)
        or _outlet_fault(draft.station)
        or _reading_fault(draft)
    )


def is_described(register: str) -> bool:
    """Whether the register is one operator's own description of its stations (`ocpi:abc`)."""
    return ":" in register


def completed(
    draft: StationDraft, register: str, uuid: str, before: Station | None = None
) -> tuple[Station, tuple[Reading, ...]]:
    """The station with its uuid, register and EVSE keys, and the newest reading of each of its EVSEs.

    Electrical facts that no register said are derived (`core.electrical`), and an EVSE has the power of its
    strongest connector, where none is said.

    Of a draft without fault. An EVSE that cannot be held by its EVSE id gets a registry key: the one that it
    had in the station `before`, where it is known by its uid or its place; a new one gets that of its first
    connector, `NOR_01333_01`, or the next that no EVSE of the station had. A time zone that the register does
    not say is derived.
    """
    own = draft.station
    keys = _Keys(own, uuid, before)
    powers = electrical.powers(own)
    evses = tuple(
        msgspec.structs.replace(
            evse,
            key=keys.of[index],
            station=uuid,
            max_kw=powers[index] if evse.max_kw is None else evse.max_kw,
        )
        for index, evse in enumerate(own.evses)
    )
    newest: dict[str, Reading] = {}
    for index, reading in draft.readings:
        read = msgspec.structs.replace(reading, evse=evses[index].key)
        if supersedes(read, newest.get(read.evse)):
            newest[read.evse] = read
    station = msgspec.structs.replace(
        own,
        uuid=uuid,
        evses=evses,
        outlets=tuple(Outlet(outlet.evse, electrical.completed(outlet.connector)) for outlet in own.outlets),
        register=register,
        vanished_at=None,
        told=fingerprint(own),
        updated_at=draft.updated_at,
        details=_with_time_zone(own),
    )
    return station, tuple(newest.values())


def _with_time_zone(station: Station) -> Details:
    """What the record says, and the time zone that follows from country and position where it says none."""
    said = station.details
    if said.time_zone is not None:
        return said
    zone = time_zones.zone(station.country, station.latitude, station.longitude)
    return said if zone is None else _derived(said, zone)


def _said(details: Details) -> Details:
    """Without what was derived; where that is all, the one object that a record without details has."""
    if details.derived:
        details = msgspec.structs.replace(details, derived=(), **dict.fromkeys(details.derived))
    return NO_DETAILS if details == NO_DETAILS else details


@lru_cache(maxsize=DETAILS_KEPT_MAX)
def _derived(said: Details, zone: str) -> Details:
    return msgspec.structs.replace(said, time_zone=zone, derived=(*said.derived, "time_zone"))


def fingerprint(station: Station) -> int:
    """A hash of what a register says of a station: 63 bits, never 0.

    By it a record that says what it said before is known, also where not all that it says was taken. When it
    was updated is not part of it: OCPI stamps a Location anew with each status. Nor is what `completed`
    derives from the rest: of a record that is `joined`, the part that was known has that already.
    """
    # Most records say powers of connectors only.
    says_powers = any(evse.max_kw is not None for evse in station.evses)
    powers = electrical.powers(station) if says_powers else [None] * len(station.evses)
    evses = tuple(
        msgspec.structs.replace(
            evse,
            key=evse_key(evse.evse_id or evse.key),
            station="",
            max_kw=None if evse.max_kw == power_kw else evse.max_kw,
        )
        for evse, power_kw in zip(station.evses, powers, strict=True)
    )
    outlets = tuple(
        Outlet(outlet.evse, electrical.said(outlet.connector)) if outlet.connector.derived else outlet
        for outlet in station.outlets
    )
    said = msgspec.structs.replace(
        station,
        uuid="",
        evses=evses,
        outlets=outlets,
        register="",
        vanished_at=None,
        told=0,
        updated_at=NEVER,
        details=_said(station.details),
    )
    content = blake2b(_encode(said), digest_size=FINGERPRINT_BYTES)
    return (int.from_bytes(content.digest(), "big") >> 1) or 1


def held_key(evse: Evse) -> str:
    """The EVSE id by which the registry may hold an EVSE, as a key; empty where it may not.

    The id has to be of the party that the record says operates the EVSE. An id in digits (DIN 91286) names no
    party, and a record may name none either.
    """
    key = evse_key(evse.key)
    return "" if evse.party is not None and party_in(key) not in {None, evse.party} else key


class _Keys:
    """The keys of a station's EVSEs, by their places in it."""

    def __init__(self, station: Station, uuid: str, before: Station | None) -> None:
        self.of: dict[int, str] = {}
        self._ordinals: dict[int, int] = {}
        for ordinal, outlet in enumerate(station.outlets, 1):
            self._ordinals.setdefault(outlet.evse, ordinal)
        had = {} if before is None else {evse.key: evse for evse in before.evses if registry_key(evse.key)}
        by_id = {form: key for key, evse in had.items() for form in _forms(evse)}
        self.of.update((index, key) for index, evse in enumerate(station.evses) if (key := held_key(evse)))
        taken = set(self.of.values())
        without: list[int] = []
        for index, evse in enumerate(station.evses):
            if index in self.of:
                continue
            known = (by_id[form] for form in _forms(evse) if form in by_id)
            key = evse.key if evse.key in had else next(known, "")
            if key and key not in taken:
                taken.add(key)
                self.of[index] = key
            else:
                without.append(index)
        numbers = (int(key.rpartition("_")[2]) for key in (*had, *taken) if registry_key(key))
        following = max(len(station.outlets), *numbers, 0) + 1
        for index in without:
            key = connector_uuid(uuid, self._ordinals[index])
            other = had.get(key)
            is_another = other is not None and bool(_forms(other)) and bool(_forms(station.evses[index]))
            if key in taken or is_another:
                # A key that passed to another EVSE at once would be taken for the same EVSE.
                key = connector_uuid(uuid, following)
                following += 1
            taken.add(key)
            self.of[index] = key


def joined(known: Station, draft: StationDraft) -> StationDraft:
    """A draft of some EVSEs of a station, with those that the station has beside them, in its order; new ones
    come last. Of a draft whose EVSEs have keys.

    Each EVSE keeps its terms, also where those of the station are others now.
    """
    own = draft.station
    fresh = {_form(evse): index for index, evse in enumerate(own.evses)}
    parts = [
        (own, fresh[form]) if (form := _form(evse)) in fresh else (known, index)
        for index, evse in enumerate(known.evses)
    ]
    stood = {_form(evse) for evse in known.evses}
    parts += [(own, index) for form, index in fresh.items() if form not in stood]
    places = {index: place for place, (station, index) in enumerate(parts) if station is own}
    shared, terms = split([_terms(station, station.evses[index]) for station, index in parts])
    station = msgspec.structs.replace(
        own,
        evses=tuple(
            msgspec.structs.replace(station.evses[index], terms=each)
            for (station, index), each in zip(parts, terms, strict=True)
        ),
        details=msgspec.structs.replace(own.details, **msgspec.structs.asdict(shared)),
        outlets=tuple(
            Outlet(place, outlet.connector)
            for place, (station, index) in enumerate(parts)
            for outlet in station.outlets
            if outlet.evse == index
        ),
    )
    readings = tuple((places[index], reading) for index, reading in draft.readings)
    return msgspec.structs.replace(draft, station=station, readings=readings)


def _terms(station: Station, evse: Evse) -> Terms:
    """The terms of an EVSE of a station."""
    if evse.terms is not None:
        return evse.terms
    return Terms(**{name: getattr(station.details, name) for name in Terms.__struct_fields__})


def doubled_key(station: Station) -> str | None:
    """The first EVSE key that stands in the station twice, or None."""
    keys: set[str] = set()
    for evse in station.evses:
        if evse.key in keys:
            return evse.key
        keys.add(evse.key)
    return None


def _forms(evse: Evse) -> tuple[str, ...]:
    """By what an EVSE is known within its station: its EVSE id, and its uid."""
    key = evse_key(evse.evse_id or evse.key)
    return (*((key,) if key else ()), *((f"uid {local_key(evse.uid)}",) if evse.uid else ()))


def _form(evse: Evse) -> str:
    """What tells an EVSE from the others of its station."""
    return (*_forms(evse), evse.key)[0]


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
        own = outlet.connector
        if not all(map(_is_number, (own.max_kw, own.max_v, own.max_a))):
            return f"connector {ordinal} has a power, voltage or current that is no number"
    for index, evse in enumerate(station.evses):
        if not held_key(evse) and index not in with_outlet:
            return f"EVSE {index + 1} has neither an id nor a connector"
    return None


def _is_number(value: float | None) -> bool:
    return value is None or math.isfinite(value)


def _number_fault(station: Station) -> str | None:
    for terms in (station.details, *(evse.terms for evse in station.evses)):
        if terms is not None and not _is_number(terms.max_height_m):
            return "its greatest height is no number"
    for index, evse in enumerate(station.evses, 1):
        if not _is_number(evse.max_kw):
            return f"EVSE {index} has a power that is no number"
    minutes = station.details.time_limit_min
    if minutes is not None and not 0 <= minutes <= INSTANT_MAX:
        return "its time limit is impossible"
    return None


def _reading_fault(draft: StationDraft) -> str | None:
    if not NEVER <= draft.updated_at <= INSTANT_MAX:
        return "it was updated at an impossible time"
    for index, reading in draft.readings:
        if not 0 <= index < len(draft.station.evses):
            return f"it has the status of EVSE {index + 1}, which is not there"
        if not NEVER <= reading.observed_at <= INSTANT_MAX:
            return f"the status of EVSE {index + 1} has an impossible time"
    return None


def _size_fault(draft: StationDraft) -> str | None:
    station = draft.station
    if len(station.evses) > EVSES_MAX:
        return f"it has {len(station.evses)} EVSEs; at most {EVSES_MAX} are taken: split it into stations"
    if len(station.outlets) > OUTLETS_MAX:
        return f"it has {len(station.outlets)} connectors; at most {OUTLETS_MAX} are taken"
    for what, count in _counts(station):
        if count > PARTS_MAX[what]:
            return f"it has {count} {what}; at most {PARTS_MAX[what]} are taken"
    lengths = [len(text) for text in _texts(draft) if text]
    longest, together = max(lengths, default=0), sum(lengths)
    if longest > TEXT_CHARACTERS_MAX:
        return f"one of its texts has {longest} characters; at most {TEXT_CHARACTERS_MAX} are taken"
    if together > RECORD_CHARACTERS_MAX:
        return f"its texts have {together} characters; at most {RECORD_CHARACTERS_MAX} are taken"
    return None


def _counts(station: Station) -> Iterator[tuple[str, int]]:
    """Of which parts a record may have several, and how many it has."""
    details = station.details
    yield from (("ids", len(details.ids)), ("images", len(details.images)), ("derived", len(details.derived)))
    if details.opening is not None:
        yield from ((what, len(getattr(details.opening, what))) for what in ("hours", "openings", "closings"))
    yield "vehicles", len(details.vehicles)
    for evse in station.evses:
        yield "capabilities", len(evse.capabilities)
        if evse.terms is not None:
            yield "vehicles", len(evse.terms.vehicles)
    for outlet in station.outlets:
        yield "derived", len(outlet.connector.derived)


def _texts(draft: StationDraft) -> Iterator[str | None]:
    station = draft.station
    return chain(
        (station.native_id, station.name, station.operator, station.address, station.city),
        chain.from_iterable((evse.key, evse.evse_id, evse.uid, evse.party) for evse in station.evses),
        chain.from_iterable(
            (outlet.connector.standard, *outlet.connector.derived) for outlet in station.outlets
        ),
        (reading.raw for _, reading in draft.readings),
        _texts_in(station.details) if station.details is not NO_DETAILS else (),
        chain.from_iterable(
            (evse.label, evse.floor, *evse.capabilities, *_texts_in(evse.terms)) for evse in station.evses
        ),
    )


def _texts_in(part: object) -> Iterator[str]:
    """All texts in a part of a record."""
    if isinstance(part, str):
        yield part
    elif isinstance(part, tuple):
        for each in part:
            yield from _texts_in(each)
    elif isinstance(part, msgspec.Struct):
        for name in part.__struct_fields__:
            value = getattr(part, name)
            if value is not None and value != ():
                yield from _texts_in(value)


def _text_fault(draft: StationDraft) -> str | None:
    joined = "".join(filter(None, _texts(draft)))
    if "\0" in joined or any("\ud800" <= each <= "\udfff" for each in set(joined)):
        return "its text has characters that cannot be kept: NUL, or half of a surrogate pair"
    return None
