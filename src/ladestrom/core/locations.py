"""A Location of OCPI as a station: what the register and the protocol of that name both make of one.

Knows one Location object, in any of the versions 2.1.1, 2.2.1 and 2.3.0, decoded from JSON. Must not know
how it came, nor whether anybody may register it. Static fields are read leniently: what cannot be read is
noted and left out, as long as there is an id and a position.

Source: OCPI 2.2.1 and 2.3.0, section 8.3 (objects of the module Locations); 2.1.1, `mod_locations`, 3.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

import msgspec

from ladestrom.core.coordinates import place
from ladestrom.core.fields import Notes, Unusable, clean, decimal, identifier, plain, quoted
from ladestrom.core.rules import EARLIEST_AT
from ladestrom.core.words import Vocabulary
from ladestrom.countries import country
from ladestrom.model import (
    NEVER,
    Connector,
    Evse,
    Millis,
    Outlet,
    Reading,
    Station,
    Status,
    evse_key,
    local_key,
)
from ladestrom.ports.registry import RecordRefusal, StationDraft

REGISTER: Final = "ocpi"
"""What stations are from that were told over OCPI, whoever told of them."""
TEXT_CHARACTERS_MAX: Final = 255
"""OCPI 2.2.1, section 8.3.1: `name`; the address has 45."""
ID_CHARACTERS_MAX: Final = 64
"""OCPI 2.2.1, section 8.3.2: 48 for an EVSE id, 36 for a uid; OCPI 2.1.1: 39."""
OUTLETS_MAX: Final = 1_000
"""Connectors of one location. The largest sites have about 300."""
NOTES_MAX: Final = 20
POWER_KW_MAX: Final = 10_000.0
"""The largest plug there is, MCS, is specified for 3,750 kW."""

_COUNTRY: Final = re.compile(r"[A-Z]{2}")
_PARTY_ID: Final = re.compile(r"[A-Z0-9]{3}")
_STANDARD: Final = re.compile(r"[A-Za-z0-9_]{1,64}")
_LINE_TO_LINE_V: Final = 350.0
"""`max_voltage` is line to neutral for three phases; who writes 400 means between the lines."""
_PHASES: Final = {"AC_3_PHASE": 3, "AC_2_PHASE": 2, "AC_2_PHASE_SPLIT": 2}
"""OCPI 2.2.1, section 8.4.19; all others have one."""


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

    def text(field: str) -> str:
        return clean(location.get(field), field, TEXT_CHARACTERS_MAX, notes)

    points = _Points(own, notes, with_readings=with_readings)
    if not is_hidden(location.get("publish")):
        points.read(location.get("evses"))
    address = text("address")
    station = Station(
        uuid="",
        name=text("name") or address or written,
        country=land,
        latitude=latitude,
        longitude=longitude,
        evses=tuple(points.evses),
        outlets=tuple(points.outlets),
        operator=_operator(location, notes) or None,
        address=address or None,
        city=text("city") or None,
        register=REGISTER,
        native_id=native_id(own, written),
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
    for role in ("operator", "suboperator", "owner"):
        details = location.get(role)
        if isinstance(details, dict) and (
            name := clean(details.get("name"), role, TEXT_CHARACTERS_MAX, notes)
        ):
            return name
    return ""


class _Points:
    """The EVSEs of a location, as they are read."""

    def __init__(self, party: str, notes: Notes, *, with_readings: bool) -> None:
        self.evses: list[Evse] = []
        self.outlets: list[Outlet] = []
        self.readings: list[tuple[int, Reading]] = []
        self._party = party
        self._notes = notes
        self._with_readings = with_readings
        self._uids: set[str] = set()

    def read(self, evses: object) -> None:
        """Takes in a list of EVSE objects; those that are removed are left out."""
        found = [each for each in _objects(evses) if not _is_removed(each)]
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
        self.evses.append(Evse(key, station="", evse_id=evse_id or None, uid=uid or None, party=self._party))
        connectors = [_connector(each, self._notes) for each in _objects(said.get("connectors"))]
        if not connectors:
            self._notes.add("an EVSE has no connectors; one of unknown type is assumed")
            connectors = [Connector("UNKNOWN")]
        if len(self.outlets) + len(connectors) > OUTLETS_MAX:
            raise Unusable(f"it has more than {OUTLETS_MAX} connectors")
        self.outlets += [Outlet(index, each) for each in connectors]
        if self._with_readings and (read := _reading(said)) is not None:
            self.readings.append((index, read))


def _objects(value: object) -> Sequence[Mapping[str, object]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _is_removed(said: Mapping[str, object]) -> bool:
    word = said.get("status")
    return isinstance(word, str) and _STATUSES.find(word) is Status.REMOVED


def _connector(said: Mapping[str, object], notes: Notes) -> Connector:
    word = said.get("standard")
    standard = _standard(word) if isinstance(word, str) else ""
    if not standard:
        notes.add(f"the connector type {quoted(word)} is none")
        standard = "UNKNOWN"
    return _as_one(standard, _power_kw(said))


@lru_cache(4_096)
def _as_one(standard: str, power_kw: float | None) -> Connector:
    """A connector; those that are alike are one object."""
    return Connector(standard, power_kw)


@lru_cache(256)
def _standard(word: str) -> str:
    """The word where it can be one; few are used."""
    form = plain(word)
    return form if _STANDARD.fullmatch(form) else ""


def _power_kw(said: Mapping[str, object]) -> float | None:
    """`max_electric_power` in kW, else what voltage, current and phases make; None where neither is said."""
    power_w = decimal(said.get("max_electric_power"))
    if power_w is None:
        voltage = _first(said, "max_voltage", "voltage")
        amperage = _first(said, "max_amperage", "amperage")
        if voltage is None or amperage is None:
            return None
        phases = _PHASES.get(plain(said.get("power_type")), 1)
        lines = math.sqrt(phases) if phases == 3 and voltage > _LINE_TO_LINE_V else phases  # noqa: PLR2004 - phases
        power_w = voltage * amperage * lines
    power_kw = round(power_w / 1_000, 3)
    return power_kw if 0 < power_kw <= POWER_KW_MAX else None


def _first(said: Mapping[str, object], *fields: str) -> float | None:
    return next((number for field in fields if (number := decimal(said.get(field))) is not None), None)


def _reading(said: Mapping[str, object]) -> Reading | None:
    word, at = said.get("status"), instant(said.get("last_updated"))
    if not isinstance(word, str) or at is None or at < EARLIEST_AT:
        return None
    status = status_of(word) or Status.UNKNOWN
    raw = plain(word)[:ID_CHARACTERS_MAX]
    return Reading("", status, error=status is Status.OUTOFORDER, observed_at=at, raw=raw)


def instant(written: object) -> Millis | None:
    """A DateTime of OCPI: RFC 3339, UTC where it has no zone; None where it cannot be read."""
    if not isinstance(written, str):
        return None
    try:
        at = msgspec.convert(written.strip(), datetime)
    except msgspec.ValidationError:
        return None
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1_000)


_STATUSES: Final = Vocabulary({status.value: status for status in Status})
