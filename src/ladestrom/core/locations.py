"""A Location of OCPI as a station: what the register and the protocol of that name both make of one.

Knows one Location object, in any of the versions 2.1.1, 2.2.1 and 2.3.0, decoded from JSON. Must not know
how it came, nor whether anybody may register it. Static fields are read leniently: what cannot be read is
noted and left out, as long as there is an id and a position.

Source: OCPI 2.2.1 and 2.3.0, section 8.3 (objects of the module Locations); 2.1.1, `mod_locations`, 3.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import msgspec

from ladestrom.core.coordinates import place
from ladestrom.core.fields import Notes, Unusable, clean, decimal, identifier, plain, quoted, too_many
from ladestrom.core.location_facts import (
    TEXT_CHARACTERS_MAX,
    connector,
    details,
    evse_facts,
    organisation,
    text,
)
from ladestrom.core.location_hours import instant, objects
from ladestrom.core.location_terms import Parking, parking_places
from ladestrom.core.rules import EARLIEST_AT
from ladestrom.core.terms import split
from ladestrom.core.words import Vocabulary
from ladestrom.countries import country
from ladestrom.model import (
    NEVER,
    Connector,
    Evse,
    Outlet,
    Reading,
    Station,
    Status,
    evse_key,
    local_key,
)
from ladestrom.ports.registry import RecordRefusal, StationDraft
from ladestrom.record import Terms

REGISTER: Final = "ocpi"
"""What stations are from that were told over OCPI, whoever told of them."""
ID_CHARACTERS_MAX: Final = 64
"""OCPI 2.2.1, section 8.3.2: 48 for an EVSE id, 36 for a uid; OCPI 2.1.1: 39."""
OUTLETS_MAX: Final = 1_000
"""Connectors of one location. The largest sites have about 300."""
NOTES_MAX: Final = 20

_COUNTRY: Final = re.compile(r"[A-Z]{2}")
_PARTY_ID: Final = re.compile(r"[A-Z0-9]{3}")


def party_of(country_code: object, party_id: object) -> str | None:
    """`NOABC` of `no` and `abc`; None where they are no party."""
    return (
        _party(country_code, party_id)
        if isinstance(country_code, str) and isinstance(party_id, str)
        else None
    )


@lru_cache(1_024)
def _party(country_code: str, party_id: str) -> str | None:
    """Likewise. All Locations of a Sender are of a few."""
    letters, own = local_key(country_code), local_key(party_id)
    return letters + own if _COUNTRY.fullmatch(letters) and _PARTY_ID.fullmatch(own) else None


def native_id(party: str, location_id: str) -> str:
    """What a location is called in the registry, `NO*ABC*LOC1`: OCPI ids compare without case."""
    return f"{party[:2]}*{party[2:]}*{local_key(location_id)}"


def status_of(word: str) -> Status | None:
    """The status that a word means; None for words that OCPI does not have."""
    return _STATUSES.find(word)


def is_hidden(publish: object) -> bool:
    """Whether a Location with this `publish` must not be shown. Some write it as text, or as a number."""
    return publish is False or (publish is not None and str(publish).strip().lower() in {"false", "0"})


def draft(
    location: Mapping[str, object], party: str | None = None, *, with_readings: bool = True
) -> StationDraft | RecordRefusal:
    """The station that a location describes, with the status of each EVSE that has one.

    A location that is not to be published is a station without EVSEs, as is one whose EVSEs are all removed:
    what the registry has of it goes.

    Args:
        location: the object.
        party: whose it is where it does not say so itself (`NOABC`); OCPI 2.1.1 has it in the address only.
        with_readings: whether the statuses are wanted.
    """
    written = identifier(location.get("id"))
    try:
        return _draft(location, party, written, with_readings=with_readings)
    except Unusable as reason:
        return RecordRefusal(written[:ID_CHARACTERS_MAX] or "a location", str(reason))


def _draft(
    location: Mapping[str, object], party: str | None, written: str, *, with_readings: bool
) -> StationDraft:
    own = party_of(location.get("country_code"), location.get("party_id")) or party
    if own is None:
        raise Unusable("country_code or party_id is missing")
    if not 0 < len(written) <= ID_CHARACTERS_MAX:
        raise Unusable(f"its id has {len(written)} characters; 1 to {ID_CHARACTERS_MAX} are right")
    notes = Notes(NOTES_MAX)
    latitude, longitude = _position(location.get("coordinates"), notes)
    land = country(plain(location.get("country"))) or country(own[:2])
    if land is None:
        raise Unusable(f"its country {quoted(location.get('country'))} is none, nor is {quoted(own[:2])}")
    parking = location.get("parking_places")
    places = parking_places(parking, notes) if parking else {}
    points = _Points(own, notes, places, with_readings=with_readings)
    if not is_hidden(location.get("publish")):
        points.read(location.get("evses"))
    terms, of_evses = split(points.terms)
    evses = points.evses
    if any(of_evses):
        evses = [
            evse if own_terms is None else msgspec.structs.replace(evse, terms=own_terms)
            for evse, own_terms in zip(evses, of_evses, strict=True)
        ]
    address = clean(location.get("address"), "address", TEXT_CHARACTERS_MAX, notes)
    name = clean(location.get("name"), "name", TEXT_CHARACTERS_MAX, notes)
    station = Station(
        uuid="",
        name=name or address or written,
        country=land,
        latitude=latitude,
        longitude=longitude,
        evses=tuple(evses),
        outlets=tuple(points.outlets),
        operator=_operator(location, notes) or None,
        address=address or None,
        city=text(location.get("city"), "city", notes) or None,
        register=REGISTER,
        native_id=native_id(own, written),
        details=details(location, land, terms, tuple(places.values()), points.images, notes),
    )
    updated_at = instant(location.get("last_updated"))
    return StationDraft(
        station, tuple(points.readings), notes.all(), NEVER if updated_at is None else updated_at
    )


def _position(coordinates: object, notes: Notes) -> tuple[float, float]:
    said = coordinates if isinstance(coordinates, dict) else {}
    latitude, longitude = decimal(said.get("latitude")), decimal(said.get("longitude"))
    if latitude is None or longitude is None:
        raise Unusable(f"its coordinates {quoted(coordinates)} cannot be read")
    found = place(latitude, longitude)
    if found.note:
        notes.add(found.note)
    return found.latitude, found.longitude


def _operator(location: Mapping[str, object], notes: Notes) -> str:
    """Who operates it. The owner need not: where a Location names nobody, it is whom the credentials of its
    sender say (OCPI 2.2.1, section 8.3.1).
    """
    for role in ("operator", "suboperator"):
        if (said := location.get(role)) and (name := organisation(said, role, notes)):
            return name
    return ""


class _Points:
    """The EVSEs of a location, as they are read."""

    def __init__(
        self, party: str, notes: Notes, places: Mapping[str, Parking], *, with_readings: bool
    ) -> None:
        self.evses: list[Evse] = []
        self.terms: list[Terms] = []
        self.images: list[Mapping[str, object]] = []
        self.outlets: list[Outlet] = []
        self.readings: list[tuple[int, Reading]] = []
        self._party = party
        self._notes = notes
        self._places = places
        self._with_readings = with_readings
        self._uids: set[str] = set()

    def read(self, evses: object) -> None:
        """Takes in a list of EVSE objects; those that are removed are left out."""
        found = [each for each in objects(evses) if not _is_removed(each)]
        self.images = [image for each in found if "images" in each for image in objects(each["images"])]
        ids = [identifier(each.get("evse_id")) for each in found]
        keys = list(map(evse_key, ids))
        several = set()
        if len({*keys}) < len(keys):
            # One that is listed twice, with the same uid, shares its id with nobody.
            uids = [local_key(identifier(each.get("uid"))) for each in found]
            counts = Counter(key for key, _ in {*zip(keys, uids, strict=True)})
            several = {key for key, count in counts.items() if key and count > 1}
        if several:
            self._notes.add("several of its EVSEs have the same EVSE id; their uids are used")
        for each, evse_id, key in zip(found, ids, keys, strict=True):
            self._add(each, evse_id, "" if key in several else key, is_shared=key in several)

    def _add(self, said: Mapping[str, object], evse_id: str, key: str, *, is_shared: bool) -> None:
        uid = identifier(said.get("uid"))
        if is_shared:
            evse_id = ""
        elif not key or len(evse_id) > ID_CHARACTERS_MAX:
            if said.get("evse_id"):
                self._notes.add(f"the EVSE id {quoted(said.get('evse_id'))} is none")
            evse_id, key = "", ""
        if not 0 < len(uid) <= ID_CHARACTERS_MAX:
            self._notes.add(f"an EVSE has the uid {quoted(uid)}")
            uid = ""
        local = local_key(uid)
        if not (uid or key) or local in self._uids:
            self._notes.add("an EVSE without an id of its own was ignored")
            return
        if uid:
            self._uids.add(local)
        index = len(self.evses)
        label, floor, capabilities, terms = evse_facts(said, self._places, self._notes)
        self.evses.append(
            Evse(key, "", evse_id or None, uid or None, self._party, label, None, floor, capabilities)
        )
        self.terms.append(terms)
        connectors = [connector(each, self._notes) for each in objects(said.get("connectors"))]
        if not connectors:
            self._notes.add("an EVSE has no connectors; one of unknown type is assumed")
            connectors = [Connector("UNKNOWN")]
        if len(self.outlets) + len(connectors) > OUTLETS_MAX:
            raise Unusable(too_many("connectors", OUTLETS_MAX))
        self.outlets += [Outlet(index, each) for each in connectors]
        if self._with_readings and (read := _reading(said)) is not None:
            self.readings.append((index, read))


def _is_removed(said: Mapping[str, object]) -> bool:
    word = said.get("status")
    return isinstance(word, str) and _STATUSES.find(word) is Status.REMOVED


def _reading(said: Mapping[str, object]) -> Reading | None:
    word, at = said.get("status"), instant(said.get("last_updated"))
    if not isinstance(word, str) or at is None or at < EARLIEST_AT:
        return None
    status = status_of(word) or Status.UNKNOWN
    raw = plain(word)[:ID_CHARACTERS_MAX]
    return Reading("", status, error=status is Status.OUTOFORDER, observed_at=at, raw=raw)


_STATUSES: Final = Vocabulary({status.value: status for status in Status})
