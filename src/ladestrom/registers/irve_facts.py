"""What single rows of IRVE statique 2.3.1 say, of a station and of a point.

Knows the schema's fields. Must not know which rows are one station. `contact_amenageur` and the numbers of
companies and meters (`siren_amenageur`, `num_pdl`) are never read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, TypeVar

import msgspec

from ladestrom.core import opening, organisations
from ladestrom.core.coordinates import FRANCE, pair, place
from ladestrom.core.fields import (
    Notes,
    Unusable,
    clean,
    decimal,
    email,
    identifier,
    phone,
    plain,
    quoted,
    truth,
)
from ladestrom.core.standards import POWER_KW_MAX
from ladestrom.core.terms import payment
from ladestrom.countries import country
from ladestrom.model import Connector, evse_key
from ladestrom.record import Format, Opening, Place, Terms, Vehicle
from ladestrom.registers import irve_tables as tables
from ladestrom.registers.irve_rows import POSITION
from ladestrom.registers.limits import Limits
from ladestrom.registers.wordings import Wordings

Row = Mapping[str, object]
T = TypeVar("T")

OF_STATION: Final = (
    "nom_station",
    "nom_enseigne",
    "nom_operateur",
    "nom_amenageur",
    "contact_operateur",
    "telephone_operateur",
    "adresse_station",
    "code_postal",
    "consolidated_code_postal",
    "code_insee_commune",
    "consolidated_commune",
    POSITION,
    "id_station_local",
    "implantation_station",
    "horaires",
    "observations",
)
"""Repeated in every row of a station. The national consolidation adds those that begin with `consolidated_`,
and version 3 of the schema `code_postal`."""

_ORGANISATIONS: Final = (
    "nom_enseigne",
    "nom_operateur",
    "nom_amenageur",
    "contact_operateur",
    "telephone_operateur",
)
_TERMS: Final = (
    "condition_acces",
    "accessibilite_pmr",
    "restriction_gabarit",
    "station_deux_roues",
    "gratuit",
    "paiement_cb",
    "paiement_acte",
    "paiement_autre",
    "tarification",
    "reservation",
)
_OUTLETS: Final = (
    "puissance_nominale",
    "cable_t2_attache",
    "prise_type_ef",
    "prise_type_2",
    "prise_type_combo_ccs",
    "prise_type_chademo",
    "prise_type_autre",
)
_PLUGS: Final = (
    ("DOMESTIC_E", 3.7),
    ("IEC_62196_T2", 43.0),
    ("IEC_62196_T2_COMBO", float("inf")),
    ("CHADEMO", float("inf")),
    ("UNKNOWN", float("inf")),
)
"""The plugs of the last five, their OCPI 2.2.1 ConnectorType, and the kW that each can carry as alternating
current (16 A at 230 V in one phase, 63 A at 400 V in three)."""
_TYPE_2: Final = "IEC_62196_T2"

_WATTS_FROM: Final = 1_000.0
"""`puissance_nominale` is in kW; a greater number is one that was entered in W."""

_LOCAL_ID: Final = re.compile(r"[!-?A-~][ -?A-~]*")
"""Printable ASCII, as ids of operators are (OCPI 2.2.1, section 16.1), without `@`."""
_FRENCH: Final = frozenset({"FRA", "MCO"})
_MOBILE: Final = re.compile(r"(?:(?:\+|00)33(?:\(?0\)?)?|(?:\+|00)(?:262|590|594|596)(?:\(?0\)?)?|0)[67]\d*")
_NO_DIGIT: Final = re.compile(r"[^\d+]")
_PLACEHOLDER: Final = re.compile(r"\+?\d*?0{8,}")
"""`+33-1-00-00-00-00`."""


class Organisations(msgspec.Struct, frozen=True):
    """Whose a station is, and who operates it."""

    brand: str
    operator: str
    owner: str
    phone: str
    email: str


class Outlets(msgspec.Struct, frozen=True):
    """What a point has to plug in to."""

    connectors: tuple[Connector, ...]
    max_kw: float | None


class Facts(msgspec.Struct, frozen=True):
    """What the rows of a station repeat. What is not said is empty."""

    name: str
    operator: str
    address: str
    city: str
    position: tuple[float, float]
    """Latitude and longitude."""
    country: str
    brand: str
    owner: str
    phone: str
    email: str
    postal_code: str
    municipality_code: str
    local_id: str
    opening: Opening | None
    place: Place | None
    directions: str

    def differing(self, other: Facts) -> list[str]:
        """What both say, and say differently."""
        return [
            field.replace("_", " ")
            for field in Facts.__struct_fields__
            if (own := getattr(self, field)) and (its := getattr(other, field)) and own != its
        ]

    def filled(self, older: Facts) -> Facts:
        """The same, with what it does not say taken from the older."""
        if self is older:
            return self
        return Facts(*(getattr(self, field) or getattr(older, field) for field in Facts.__struct_fields__))


class Reader:
    """Reads rows of one file; what rows say again and again is one object."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._organisations = Wordings(self._organisations_of, limits.notes_max)
        self._terms = Wordings(self._terms_of, limits.notes_max)
        self._outlets = Wordings(_outlets_of, limits.notes_max)
        self._openings = Wordings(self._opening_of, limits.notes_max)
        self._prose = Wordings(self._prose_of, limits.notes_max)

    def facts(self, row: Row, station: str, point: str, notes: Notes) -> Facts:
        """What a row says of its station.

        Raises:
            Unusable: neither id names a country, or the position is none.
        """
        land = country(station[:2]) or country(point[:2])
        if land is None:
            raise Unusable(
                f"its ids begin with {quoted(station[:2])} and {quoted(point[:2])}, which are no countries"
            )
        longitude, latitude = pair(row.get(POSITION))
        where = place(latitude, longitude, FRANCE if land in _FRENCH else ())
        if where.note:
            notes.add(where.note)
        organisations_ = self._organisations.of(tuple(map(row.get, _ORGANISATIONS)), notes)
        chars_max = self._limits.text_chars_max
        address = clean(row.get("adresse_station"), "address", chars_max, notes)
        insee = _insee(row, notes)
        return Facts(
            name=clean(row.get("nom_station"), "name", chars_max, notes) or organisations_.brand,
            operator=organisations_.operator or organisations_.brand,
            address=address,
            city=clean(row.get("consolidated_commune"), "city", chars_max, notes),
            position=(where.latitude, where.longitude),
            country=land,
            brand=organisations_.brand,
            owner=organisations_.owner,
            phone=organisations_.phone,
            email=organisations_.email,
            postal_code=tables.postal_code(
                row.get("code_postal") or row.get("consolidated_code_postal"), address, insee
            ),
            municipality_code=insee,
            local_id=_local(row.get("id_station_local"), station, self._limits),
            opening=self._openings.of((row.get("horaires"),), notes),
            place=_word(tables.PLACES, row.get("implantation_station"), "kind of place", notes),
            directions=self._prose.of((row.get("observations"), "observations"), notes),
        )

    def terms(self, row: Row, notes: Notes) -> Terms:
        """Who may charge at the row's point, and how it is paid."""
        return self._terms.of(tuple(map(row.get, _TERMS)), notes)

    def outlets(self, row: Row, notes: Notes) -> Outlets:
        """The connectors of the row's point."""
        return self._outlets.of(tuple(map(row.get, _OUTLETS)), notes)

    def local_id(self, row: Row, point: str) -> str:
        """`id_pdc_local`; empty where it is the point's EVSE id in another form."""
        return _local(row.get("id_pdc_local"), point, self._limits)

    def _organisations_of(self, said: tuple[object, ...], notes: Notes) -> Organisations:
        chars_max = self._limits.text_chars_max
        brand, operator, owner = (
            clean(value, what, chars_max, notes)
            for value, what in zip(said, ("brand", "operator", "owner"), strict=False)
        )
        return Organisations(brand, operator, owner, *_contact(said[3], said[4], notes))

    def _opening_of(self, said: tuple[object, ...], notes: Notes) -> Opening | None:
        found = opening.parse(plain(said[0])[: opening.TEXT_CHARS_MAX + 1])
        if found is None or found.text is None:
            return found
        text = self._prose.of((*said, "opening hours"), notes)
        return Opening(text=text) if text else None

    def _prose_of(self, said: tuple[object, ...], notes: Notes) -> str:
        text = clean(said[0], str(said[1]), self._limits.prose_chars_max, notes)
        return "" if text.casefold().rstrip(".") in tables.NOTHING else text

    def _terms_of(self, said: tuple[object, ...], notes: Notes) -> Terms:
        access, accessibility, size, two_wheelers, free, card, ad_hoc, other, tariff, reservable = said
        access_words = plain(access).casefold()
        known = tables.ACCESS.get(access_words)
        size_words = plain(size)[: self._limits.prose_chars_max].casefold()
        vehicles: tuple[Vehicle, ...] = tables.SIZES.get(size_words, ())
        if _known(two_wheelers, "station_deux_roues", notes):
            vehicles = tables.TWO_WHEELERS
        return Terms(
            access=known
            or next((one for word, one in tables.ACCESS.items() if access_words.startswith(word)), None),
            access_text=None if known else self._prose.of((access, "conditions of access"), notes) or None,
            accessibility=_word(tables.ACCESSIBILITIES, accessibility, "accessibility", notes),
            vehicles=vehicles,
            max_height_m=tables.height_m(size_words),
            payment=payment(
                free=_known(free, "gratuit", notes),
                card=_known(card, "paiement_cb", notes),
                ad_hoc=_known(ad_hoc, "paiement_acte", notes),
                other=_known(other, "paiement_autre", notes),
            ),
            tariff_text=self._prose.of((tariff, "tariff"), notes) or None,
            reservable=_known(reservable, "reservation", notes),
        )


def _local(said: object, other: str, limits: Limits) -> str:
    """An operator's own id; empty where it is the other one, in any form, or none that could be kept."""
    own = "" if said is None or said == other else identifier(said)
    if len(own) > limits.id_chars_max or not _LOCAL_ID.fullmatch(own) or evse_key(own) == other:
        return ""
    return own


def _insee(row: Row, notes: Notes) -> str:
    said = row.get("code_insee_commune")
    insee = tables.insee_code(said)
    if insee is None:
        notes.add(f"the number {quoted(said)} of its commune is not valid and was ignored")
    return insee or ""


def _word(words: Mapping[str, T | None], said: object, what: str, notes: Notes) -> T | None:
    """What a word of one of the schema's lists means."""
    word = plain(said).casefold()
    if word and word not in words:
        notes.add(f"its {what} {quoted(said)} is none of the schema's and was ignored")
    return words.get(word)


def _known(said: object, field: str, notes: Notes) -> bool | None:
    """A truth value; None where none was entered."""
    if not isinstance(said, bool) and not plain(said):
        return None
    known = truth(said)
    if known is None:
        notes.add(f"{field} {quoted(said)} is neither true nor false and was ignored")
    return known


def _contact(address: object, number: object, notes: Notes) -> tuple[str, str]:
    """The operator's telephone and e-mail address; empty where they may be a person's.

    A mobile telephone is taken for a person's, unless it stands beside the address of an organisation.
    """
    mail = email(address, "operator", notes)
    telephone = phone(number, "operator", notes)
    is_ours = bool(mail) and organisations.is_of_organisation(mail)
    digits = _NO_DIGIT.sub("", telephone)
    if _PLACEHOLDER.fullmatch(digits):
        notes.add("the telephone number of its operator is a placeholder, and was left out")
        telephone = digits = ""
    if not is_ours and (mail or _MOBILE.fullmatch(digits)):
        notes.add("what may be a person's was left out of the contact of its operator")
        mail = ""
        telephone = "" if _MOBILE.fullmatch(digits) else telephone
    return telephone, mail


def _outlets_of(said: tuple[object, ...], notes: Notes) -> Outlets:
    power, cable, *has = said
    power_kw = _power_kw(power, notes)
    plugs: list[tuple[str, float]] = []
    for field, plug, value in zip(_OUTLETS[2:], _PLUGS, has, strict=True):
        there = truth(value)
        if there is None:
            notes.add(f"{field} {quoted(value)} is neither true nor false; false is taken")
        elif there:
            plugs.append(plug)
    if not plugs:
        notes.add("a point names no plug; it has one of an unknown kind")
        return Outlets((Connector("UNKNOWN", power_kw),), power_kw)
    most_kw = max(carries_kw for _, carries_kw in plugs)
    is_cable = _known(cable, "cable_t2_attache", notes)
    type_2 = None if is_cable is None else Format.CABLE if is_cable else Format.SOCKET
    connectors = tuple(
        Connector(
            standard,
            min(power_kw, carries_kw) if power_kw and carries_kw < most_kw else power_kw,
            format=type_2 if standard == _TYPE_2 else None,
        )
        for standard, carries_kw in plugs
    )
    return Outlets(connectors, power_kw)


def _power_kw(said: object, notes: Notes) -> float | None:
    if said is None or said == "":
        return None
    power_kw = decimal(said)
    if power_kw is not None and power_kw > _WATTS_FROM:
        notes.add(f"the power {quoted(said)} is taken for watts")
        power_kw /= 1_000
    if power_kw is None or not 0 < power_kw <= POWER_KW_MAX:
        notes.add(f"the power {quoted(said)} is not valid and was ignored")
        return None
    return round(power_kw, 3)
