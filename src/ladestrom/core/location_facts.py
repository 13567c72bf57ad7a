"""What a Location of OCPI says beside its place and its ids: the details of a station, facts of EVSEs and
connectors.

Knows the optional members of the objects of OCPI 2.1.1, 2.2.1 and 2.3.0. All of them are read leniently: what
cannot be read is noted and left out. What many Locations say alike is read once.

Source: OCPI 2.2.1 and 2.3.0, section 8; 2.1.1, `mod_locations`. Not read are `related_locations`,
`facilities`, `energy_mix`, `charging_when_closed`, ids of tariffs, `status_schedule`, what only tells where
within a Location an EVSE is, and `suboperator` where there is an operator.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Final, TypeVar

from ladestrom.core import languages, time_zones
from ladestrom.core.electrical import line_to_neutral
from ladestrom.core.fields import FOLDABLE, Notes, clean, decimal, phone, plain, quoted, web_address
from ladestrom.core.location_hours import Said, hours, objects
from ladestrom.core.location_terms import Parking, near, of_words, parked, time_limit
from ladestrom.core.standards import CURRENT_MAX, POWER_KW_MAX, VOLTAGE_MAX
from ladestrom.core.terms import NO_TERMS
from ladestrom.core.words import Vocabulary
from ladestrom.model import Connector
from ladestrom.record import (
    Contact,
    Details,
    Format,
    Place,
    PowerType,
    Terms,
)

TEXT_CHARACTERS_MAX: Final = 255
"""OCPI 2.2.1, section 8.3.1: `name`; the address has 45."""
DIRECTIONS_CHARACTERS_MAX: Final = 1_000
"""OCPI 2.2.1, section 16.3: 512 for a DisplayText; some write more."""
SHORT_CHARACTERS_MAX: Final = 64
"""OCPI 2.2.1: 10 for a postal code, 16 for `physical_reference`, 4 for `floor_level`; some write more."""
IMAGES_MAX: Final = 20
READINGS_KEPT_MAX: Final = 16_384
"""Of each kind of wording, what it means."""
NOTES_MAX: Final = 20
T = TypeVar("T")
Noted = tuple[T, tuple[str, ...]]

_STANDARD: Final = re.compile(r"[A-Za-z0-9_]{1,64}")
_PLACES: Final = Vocabulary(
    {
        "ALONG_MOTORWAY": Place.MOTORWAY,
        "ON_DRIVEWAY": Place.DRIVEWAY,
        "ON_STREET": Place.STREET,
        "PARKING_GARAGE": Place.GARAGE,
        "PARKING_LOT": Place.CAR_PARK,
        "UNDERGROUND_GARAGE": Place.UNDERGROUND_GARAGE,
        "OTHER": Place.OTHER,
    }
)
"""ParkingType; LocationType of 2.1.1, which has `UNKNOWN` beside."""
_UNKNOWN: Final = "UNKNOWN"
_FORMATS: Final = Vocabulary({each.value: each for each in Format})
_POWER_TYPES: Final = Vocabulary({each.value: each for each in PowerType})
_LOGOS: Final = frozenset({"NETWORK", "OPERATOR", "OWNER"})
"""ImageCategory of pictures that do not show the station."""


EvseFacts = tuple[str | None, str | None, tuple[str, ...], Terms]
"""What an EVSE object says beside ids, status and connectors: label, floor, capabilities, terms."""


def details(
    location: Said, land: str, terms: Terms, parking: Sequence[Parking], images: Sequence[Said], notes: Notes
) -> Details:
    """The station's details.

    Args:
        location: the object.
        land: its country, as the record has it: directions are taken in its language.
        terms: those of all of its EVSEs.
        parking: its parking places.
        images: those of its EVSEs, beside its own.
        notes: what was odd.
    """
    said = location.get
    kind, owner, operator, where = said("parking_type"), said("owner"), said("operator"), said("directions")
    kind = said("type") if kind is None else kind
    code, state, zone, times = said("postal_code"), said("state"), said("time_zone"), said("opening_times")
    called, pictures = said("help_phone"), said("images")
    is_reached = called is not None or (isinstance(operator, dict) and "website" in operator)
    return Details(
        access=terms.access,
        accessibility=terms.accessibility,
        vehicles=terms.vehicles,
        max_height_m=terms.max_height_m,
        payment=terms.payment,
        reservable=terms.reservable,
        owner=None if owner is None else organisation(owner, "owner", notes) or None,
        contact=_contact(operator, called, notes) if is_reached else None,
        postal_code=None if code is None else _short(code, "postal code", notes) or None,
        region=None if state is None else text(state, "state", notes) or None,
        time_zone=None if zone is None else _time_zone(zone, notes),
        opening=None if times is None else hours(times, notes),
        place=None if kind is None else _place(kind, notes),
        time_limit_min=time_limit(parking) if parking else None,
        images=_images([*objects(pictures), *images], notes) if pictures or images else (),
        directions=_directions(where, land, notes) or None if where else None,
    )


def organisation(said: object, what: str, notes: Notes) -> str:
    """The name of a BusinessDetails object, or of a text that stands for one."""
    return text(said.get("name") if isinstance(said, dict) else said, what, notes)


def evse_facts(said: Said, places: Mapping[str, Parking], notes: Notes) -> EvseFacts:
    """The facts of an EVSE; `places` are the parking places of its Location, by id."""
    label, floor = said.get("physical_reference"), said.get("floor_level")
    # `floor` stands in an example of the specification.
    floor = said.get("floor") if floor is None else floor
    listed, restricted = said.get("capabilities"), said.get("parking_restrictions")
    capabilities: tuple[str, ...] = ()
    terms = NO_TERMS
    if listed or restricted:
        capabilities, terms, odd = of_words(_hashable(listed), _hashable(restricted))
        for note in odd:
            notes.add(note)
    if places and (nearby := near(said.get("parking"), places)):
        terms = parked(terms, nearby)
    return (
        None if label is None else _short(label, "physical reference", notes) or None,
        None if floor is None else _short(floor, "floor", notes) or None,
        capabilities,
        terms,
    )


def _hashable(said: object) -> object:
    """A list as a tuple; objects and lists in it as text."""
    if not isinstance(said, list):
        return _as_text(said)
    found = tuple(said)
    try:
        hash(found)
    except TypeError:
        return tuple(map(_as_text, found))
    return found


def _as_text(said: object) -> object:
    """What stands for a list or an object where none should be."""
    return f"({type(said).__name__})" if isinstance(said, (dict, list)) else said


def connector(said: Said, notes: Notes) -> Connector:
    """A connector; those that are alike are one object."""
    voltage, amperage = said.get("max_voltage"), said.get("max_amperage")
    key = (
        said.get("standard"),
        said.get("format"),
        said.get("power_type"),
        said.get("voltage") if voltage is None else voltage,
        said.get("amperage") if amperage is None else amperage,
        said.get("max_electric_power"),
    )
    try:
        found = _connector(*key)
    except TypeError:
        # A list or an object, where there should be a text or a number.
        found = _connector(*map(_as_text, key))
    return _told(found, notes)


def text(value: object, what: str, notes: Notes) -> str:
    """Free text that many Locations have alike."""
    return _cleaned(value, what, TEXT_CHARACTERS_MAX, notes)


def _told(found: Noted[T], notes: Notes) -> T:
    value, said = found
    for note in said:
        notes.add(note)
    return value


def _noted(read: Callable[[Notes], T]) -> Noted[T]:
    own = Notes(NOTES_MAX)
    return read(own), own.all()


def _short(value: object, what: str, notes: Notes) -> str:
    if isinstance(value, str) and len(value) < 8 and value.isascii() and value.isalnum():  # noqa: PLR2004 - no telephone number
        return value
    return _cleaned(value, what, SHORT_CHARACTERS_MAX, notes)


def _cleaned(value: object, what: str, chars_max: int, notes: Notes) -> str:
    if value is None:
        return ""
    if isinstance(value, str) and len(value) <= TEXT_CHARACTERS_MAX:
        return _told(_clean(value, what, chars_max), notes)
    if not isinstance(value, FOLDABLE):
        notes.add(f"its {what} is {_as_text(value)} and no text")
        return ""
    return clean(value, what, chars_max, notes)


@lru_cache(READINGS_KEPT_MAX)
def _clean(value: str, what: str, chars_max: int) -> Noted[str]:
    return _noted(lambda notes: clean(value, what, chars_max, notes))


def _contact(operator: object, help_phone: object, notes: Notes) -> Contact | None:
    website = operator.get("website") if isinstance(operator, dict) else None
    called = phone(help_phone, "operator", notes) if isinstance(help_phone, FOLDABLE) else ""
    web = _told(_web(website), notes) if isinstance(website, str) else ""
    return Contact(phone=called or None, web=web or None) if called or web else None


@lru_cache(READINGS_KEPT_MAX)
def _web(website: str) -> Noted[str]:
    return _noted(lambda notes: web_address(website, "operator", notes))


def _time_zone(said: object, notes: Notes) -> str | None:
    word = _as_text(said)
    return _told(_zone(word), notes) if isinstance(word, str) else time_zones.said(word, notes)


@lru_cache(READINGS_KEPT_MAX)
def _zone(said: str) -> Noted[str | None]:
    return _noted(lambda notes: time_zones.said(said, notes))


def _place(said: object, notes: Notes) -> Place | None:
    word = _as_text(said)
    found = _PLACES.find(word) if isinstance(word, str) else None
    if found is None and plain(word).upper() not in {"", _UNKNOWN}:
        notes.add(f"the parking type {quoted(word)} is none")
    return found


def _images(listed: Sequence[Said], notes: Notes) -> tuple[str, ...]:
    """Addresses of pictures, without logos."""
    found: dict[str, None] = {}
    for each in listed:
        if plain(each.get("category")).upper() not in _LOGOS and len(found) < IMAGES_MAX:
            address = web_address(each.get("url"), "picture", notes)
            if address:
                found[address] = None
    return tuple(found)


def _directions(said: object, land: str, notes: Notes) -> str:
    """A list of DisplayText, one of them, or a text: that in the language of the country, else in English,
    else the first.
    """
    listed = said if isinstance(said, list) else [said]
    texts = [
        (plain(each.get("language")), plain(each.get("text")))
        if isinstance(each, dict)
        else ("", plain(each))
        for each in listed
    ]
    return clean(languages.chosen(texts, land), "directions", DIRECTIONS_CHARACTERS_MAX, notes)


@lru_cache(READINGS_KEPT_MAX, typed=True)
def _connector(
    standard: object, format_: object, power_type: object, voltage: object, amperage: object, power: object
) -> Noted[Connector]:
    own = Notes(NOTES_MAX)
    word = plain(standard) if isinstance(standard, str) else ""
    if _STANDARD.fullmatch(word) is None:
        own.add(f"the connector type {quoted(standard)} is none")
        word = _UNKNOWN
    kind = _word(_POWER_TYPES, power_type, "power type", own)
    max_v = _number(voltage, "voltage", VOLTAGE_MAX, own)
    power_w = _number(power, "power", POWER_KW_MAX * 1_000, own)
    made = Connector(
        word,
        None if power_w is None else round(power_w / 1_000, 3) or None,
        _word(_FORMATS, format_, "format", own),
        kind,
        None if max_v is None else line_to_neutral(max_v, kind),
        _number(amperage, "current", CURRENT_MAX, own),
    )
    return made, own.all()


def _word(words: Vocabulary[T], said: object, what: str, notes: Notes) -> T | None:
    found = words.find(said) if isinstance(said, str) else None
    if found is None and plain(said):
        notes.add(f"the {what} {quoted(said)} of a connector is none")
    return found


def _number(said: object, what: str, at_most: float, notes: Notes) -> float | None:
    if said is None or said == "":
        return None
    found = decimal(said)
    if found is not None and 0 < found <= at_most:
        return found
    notes.add(f"the {what} {quoted(said)} of a connector is not valid and was ignored")
    return None
