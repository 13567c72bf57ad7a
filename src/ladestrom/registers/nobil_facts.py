"""What NOBIL's records say beside identities and statuses: of stations, and of connectors.

Knows fields and attributes. Must not know what is one EVSE. `Contact_info` and `User_comment` are never read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from ladestrom.core import opening
from ladestrom.core.fields import Notes, clean, identifier, plain, quoted
from ladestrom.core.terms import payment
from ladestrom.model import Connector, Millis
from ladestrom.record import Details, Format, Id, Opening, PowerType, Terms
from ladestrom.registers import nobil_tables as tables
from ladestrom.registers.limits import Limits
from ladestrom.registers.wordings import Wordings

LICENCE: Final = "CC-BY-4.0"
ATTRIBUTION: Final = "NOBIL.no"

_PICTURES: Final = "https://www.nobil.no/img/ladestasjonbilder/"
"""Where NOBIL publishes the pictures that `Image` names."""
_PICTURE: Final = re.compile(r"[0-9]{1,12}\.(?:jpe?g|png|gif|webp)", re.IGNORECASE | re.ASCII)
"""`Kommer` and `no.image.svg` say that there is none."""
_POSTAL_CODE: Final = re.compile(r"[A-Z0-9][A-Z0-9 -]{1,9}", re.IGNORECASE | re.ASCII)
_MUNICIPALITY: Final = re.compile(r"[0-9]{1,6}")
_OCPI_LOCATION: Final = re.compile(r"([A-Z]{2})#([A-Z0-9]{3})#([!-~]{1,36})", re.IGNORECASE | re.ASCII)
"""Country, party and id of a Location (OCPI 2.2.1, section 8.3.1)."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_YEAR: Final = 2010
"""The year in which NOBIL began: older timestamps are clocks that were never set."""

_OF_TERMS: Final = (tables.ACCESSIBILITY, tables.VEHICLE_TYPE, tables.RESERVABLE, tables.PAYMENT_METHOD)
_OF_CONNECTOR: Final = (tables.CONNECTOR, tables.CAPACITY, tables.CHARGE_MODE, tables.FIXED_CABLE)


class OfConnector(msgspec.Struct, frozen=True):
    """What a connector says of its EVSE."""

    terms: Terms
    capabilities: tuple[str, ...]


def mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def choice(attributes: Mapping[str, object], kind: str) -> tuple[str, str]:
    """The id and the text of an attribute that has a list of values."""
    attribute = mapping(attributes.get(kind))
    return plain(attribute.get("attrvalid")), plain(attribute.get("trans"))[:255]


def entered(attributes: Mapping[str, object], kind: str) -> str:
    """What was entered for an attribute without a list of values."""
    return plain(mapping(attributes.get(kind)).get("attrval"))


class Reader:
    """Reads the records of one document; what connectors say again and again is one object."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._connectors = Wordings(self._connector, limits.notes_max)
        self._terms = Wordings(_terms, limits.notes_max)

    def details(
        self, metadata: Mapping[str, object], attributes: Mapping[str, object], terms: Terms, notes: Notes
    ) -> Details:
        """What a station has once; `terms` are those of all EVSEs. Names in `metadata` are in lower case."""

        def text(field: str, what: str, chars_max: int = self._limits.text_chars_max) -> str | None:
            return clean(metadata.get(field), what, chars_max, notes) or None

        prose_chars_max = self._limits.prose_chars_max
        number, words = choice(attributes, tables.LOCATION)
        return Details(
            **msgspec.structs.asdict(terms),
            ids=_ids(metadata),
            owner=text("owned_by", "owner"),
            postal_code=_matching(_POSTAL_CODE, metadata.get("zipcode"), "postal code", notes),
            municipality=text("municipality", "municipality"),
            municipality_code=_matching(
                _MUNICIPALITY, metadata.get("municipality_id"), "Municipality_ID", notes
            ),
            region=text("county", "region"),
            opening=self._opening(attributes, notes),
            place=tables.PLACES.get(number) or tables.PLACE_WORDS.get(words.casefold()),
            parking_fee=tables.yes_no(*choice(attributes, tables.PARKING_FEE)),
            time_limit_min=tables.minutes(entered(attributes, tables.TIME_LIMIT)),
            images=_images(metadata.get("image")),
            directions=text("description_of_location", "description", prose_chars_max),
            licence=LICENCE,
            attribution=ATTRIBUTION,
        )

    def with_access(self, attributes: Mapping[str, object], terms: Terms, notes: Notes) -> Terms:
        """Terms of an EVSE, with the access that is its station's."""
        number, words = choice(attributes, tables.AVAILABILITY)
        access = tables.ACCESS.get(number) or tables.ACCESS_WORDS.get(words.casefold())
        said = "" if access else clean(words, "availability", self._limits.prose_chars_max, notes)
        return msgspec.structs.replace(terms, access=access, access_text=said or None)

    def connector(self, attributes: Mapping[str, object], what: str, notes: Notes) -> Connector:
        """A connector; `what` is what notes call it."""
        number, words = choice(attributes, tables.CONNECTOR)
        found = self._connectors.of(tuple(choice(attributes, kind) for kind in _OF_CONNECTOR), notes)
        if found.standard == tables.UNKNOWN and number not in tables.STANDARDS:
            said = words or number
            notes.add(f"{what} is of an unknown type {quoted(said)}" if said else f"{what} names no type")
        return found

    def of_connector(self, attributes: Mapping[str, object], notes: Notes) -> OfConnector:
        """What a connector says of its EVSE."""
        return self._terms.of(tuple(choice(attributes, kind) for kind in _OF_TERMS), notes)

    def _opening(self, attributes: Mapping[str, object], notes: Notes) -> Opening | None:
        is_open = tables.yes_no(*choice(attributes, tables.OPEN_24_H))
        if is_open:
            return Opening(always=True)
        words = clean(
            entered(attributes, tables.OPEN_24_H), "opening hours", self._limits.prose_chars_max, notes
        )
        found = opening.parse(words)
        if found is not None and found.hours:
            return found
        if is_open is None:
            return found
        return Opening(always=False, text=words or None)

    def _connector(self, said: tuple[object, ...], notes: Notes) -> Connector:
        (number, words), (capacity, power), (mode, _), cable = (_pair(value) for value in said)
        standard = tables.standard(number, words)
        if number in tables.COMBINED:
            notes.add(f"type {number}, several plugs in one connector, is taken as {standard}")
        power = power[: self._limits.text_chars_max]
        is_cable = tables.yes_no(*cable)
        if is_cable is False and standard in tables.CABLE_ONLY:
            notes.add(f"{standard} is never a socket; that it has no fixed cable was ignored")
            is_cable = None
        current = tables.current(capacity, power, mode, standard)
        if standard in tables.DIRECT_ONLY and current.power_type not in {None, PowerType.DC}:
            if number not in tables.COMBINED:
                notes.add(f"{standard} takes direct current only; {current.power_type} was ignored")
            current = tables.Current()
        return Connector(
            standard,
            tables.power_kw(capacity, power),
            format=None if is_cable is None else Format.CABLE if is_cable else Format.SOCKET,
            power_type=current.power_type,
            max_v=current.max_v,
            max_a=current.max_a,
        )


def _pair(value: object) -> tuple[str, str]:
    return value if isinstance(value, tuple) else ("", "")


def _terms(said: tuple[object, ...], _notes: Notes) -> OfConnector:
    (way, way_words), (_, vehicle), reservable, (_, method) = (_pair(value) for value in said)
    ways = {way, way_words.casefold()} - {""}
    terms = Terms(
        vehicles=tables.vehicles(vehicle),
        payment=payment(
            free=None if ways.isdisjoint(tables.PAYMENT) else False,
            card=tables.is_by_card(method),
            other=tables.is_otherwise(method),
        ),
        reservable=tables.yes_no(*reservable),
    )
    return OfConnector(terms, () if ways.isdisjoint(tables.RFID) else ("RFID_READER",))


def _matching(form: re.Pattern[str], said: object, what: str, notes: Notes) -> str | None:
    text = plain(said)
    if not text:
        return None
    if form.fullmatch(text):
        return text
    notes.add(f"its {what} {quoted(text)} is not valid and was ignored")
    return None


def _ids(metadata: Mapping[str, object]) -> tuple[Id, ...]:
    match = _OCPI_LOCATION.fullmatch(identifier(metadata.get("ocpidb_mapping_stasjon_id")))
    if match is None or "@" in match[3]:
        return ()
    return (Id("ocpi", f"{match[1].upper()}/{match[2].upper()}/{match[3]}"),)


def _images(said: object) -> tuple[str, ...]:
    name = plain(said)
    return (_PICTURES + name,) if _PICTURE.fullmatch(name) else ()


def updated_at(said: object) -> Millis | None:
    """When a record was updated: Norwegian local time, unless it names an offset."""
    return instant(plain(said), is_norwegian=True)


def instant(text: str, *, is_norwegian: bool = False) -> Millis | None:
    """An ISO 8601 date and time; UTC, or Norwegian, where it names no offset."""
    if not 19 <= len(text) <= 40:  # noqa: PLR2004 - from seconds without offset to more digits than any clock has
        return None
    try:
        found = datetime.fromisoformat(text)
        if found.tzinfo is None:
            found = found.replace(tzinfo=UTC) - (_norwegian_offset(found) if is_norwegian else timedelta())
        millis = (found - _EPOCH) // timedelta(milliseconds=1)
    except (ValueError, OverflowError):
        return None
    return millis if found.year >= _FIRST_YEAR else None


def _norwegian_offset(local: datetime) -> timedelta:
    """How far clocks in Norway are ahead of UTC: an hour; two between the last Sundays of March and October.

    Of the hour that there is twice, the first one is taken.

    Source: directive 2000/84/EC, articles 2 and 3.
    """
    spring = _last_sunday(local.year, 3) + timedelta(hours=3)
    autumn = _last_sunday(local.year, 10) + timedelta(hours=3)
    return timedelta(hours=2 if spring <= local < autumn else 1)


def _last_sunday(year: int, month: int) -> datetime:
    last = datetime(year, month, 31)  # noqa: DTZ001 - local time
    return last - timedelta(days=last.isoweekday() % 7)
