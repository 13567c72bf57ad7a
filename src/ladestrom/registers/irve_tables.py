"""The words of IRVE statique 2.3.1: what its lists of values, its dates and its free texts mean.

Knows the schema's values. Must not know of rows and stations.
"""

from __future__ import annotations

import re
from typing import Final

from ladestrom.core.fields import plain
from ladestrom.record import Access, Accessibility, Place, Vehicle

ACCESS: Final = {"accès libre": Access.PUBLIC, "accès réservé": Access.RESTRICTED}
"""`condition_acces`. Reserved is what needs an identification or lies behind a barrier or a toll gate; the
schema does not say whom it is reserved for."""

PLACES: Final = {
    "voirie": Place.STREET,
    "parking public": Place.CAR_PARK,
    "parking privé à usage public": Place.CAR_PARK,
    "parking privé réservé à la clientèle": Place.CAR_PARK,
    "station dédiée à la recharge rapide": Place.CHARGING_HUB,
}
"""`implantation_station`."""

ACCESSIBILITIES: Final = {
    "réservé pmr": Accessibility.RESERVED,
    "accessible mais non réservé pmr": Accessibility.ACCESSIBLE,
    "non accessible": Accessibility.NOT_ACCESSIBLE,
    "accessibilité inconnue": None,
}
"""`accessibilite_pmr`."""

TWO_WHEELERS: Final = (Vehicle.MOTORCYCLE, Vehicle.BICYCLE)
"""`station_deux_roues`: dedicated to two-wheelers, of which the schema does not tell kinds apart."""

SIZES: Final[dict[str, tuple[Vehicle, ...]]] = {
    "que du poids léger": (Vehicle.CAR,),
    "que du poids lourd": (Vehicle.TRUCK,),
}
"""`restriction_gabarit`, free text, where it says which vehicles it admits. `Poids lourd` is a lorry by the
French highway code; buses are another category."""

NOTHING: Final = frozenset(
    [
        "",
        "-",
        "--",
        ".",
        "?",
        "/",
        "0",
        "aucun",
        "aucune",
        "aucune observation",
        "inconnu",
        "inconnue",
        "n/a",
        "na",
        "nc",
        "nd",
        "neant",
        "non communiqué",
        "non précisé",
        "non renseigné",
        "non renseignée",
        "non spécifié",
        "none",
        "nr",
        "null",
        "néant",
        "sans objet",
        "",
    ]
)
"""What stands in free texts of which nothing is known."""

_HEIGHT: Final = re.compile(r"haut|height", re.IGNORECASE)
_METRES: Final = re.compile(
    r"(?<![\d.,])(\d{1,2})(?:[.,](\d{1,3}))?\s*(?:m|mètres?|metres?)(?:\s?(\d\d))?(?![\w²³])", re.IGNORECASE
)
_CENTIMETRES: Final = re.compile(r"(?<![\d.,])(\d{3})\s*cm\b", re.IGNORECASE)
_HEIGHTS_M: Final = (1.0, 6.0)
"""No barrier is lower than a car, and none counts that is higher than a bridge."""

_INSEE: Final = re.compile(r"(?:0[1-9]|1\d|2[AB1-9]|[3-8]\d|9[0-8])\d{3}")
"""Schema 2.3.1, `code_insee_commune`, which allows any two digits where the departments end with 98."""
_POSTAL_CODE: Final = re.compile(r"\d{5}")
_IN_ADDRESS: Final = re.compile(r"(?<![\w/+.-])(?<!BP )(?<!CS )(\d{5})(?=,?\s+[^\W\d_]|\s*$)", re.IGNORECASE)
"""Five digits, and a town after them. `BP` and `CS` number mailboxes."""

_DATE: Final = re.compile(r"(\d{4})-(\d\d)-(\d\d)(?!\d).*|(\d\d)/(\d\d)/(\d{4})(?!\d).*", re.DOTALL)


def height_m(text: str) -> float | None:
    """The greatest height in a text about sizes: where it has one length, and says that it is a height."""
    if not _HEIGHT.search(text):
        return None
    found = [float(f"{match[1]}.{match[2] or match[3] or 0}") for match in _METRES.finditer(text)] + [
        int(match[1]) / 100 for match in _CENTIMETRES.finditer(text)
    ]
    lowest, highest = _HEIGHTS_M
    return found[0] if len(found) == 1 and lowest <= found[0] <= highest else None


def insee_code(said: object) -> str | None:
    """A commune's number; empty where none was entered, None where it is none. A spreadsheet takes its first
    zero away.
    """
    text = plain(said).upper()
    if not text:
        return ""
    code = text.zfill(5) if text.isascii() and text.isdigit() and len(text) == 4 else text  # noqa: PLR2004 - of five
    return code if _INSEE.fullmatch(code) else None


def postal_code(said: object, address: str, insee: str) -> str:
    """The postal code: as it was entered, else the one in the address; empty where there is none.

    Of several in an address that of the commune's department, else the last. Five digits with which an
    address begins are a number in its street, unless the commune's number begins with the same.
    """
    entered = plain(said)
    if _POSTAL_CODE.fullmatch(entered):
        return entered
    department = insee[:2].replace("2A", "20").replace("2B", "20")
    found = list(_IN_ADDRESS.finditer(address))
    near = [match[1] for match in found if match[1][:2] == department]
    far = [match[1] for match in found if match.start()]
    return (near or far or [""])[-1]


def date(said: object) -> str:
    """A date as `YYYY-MM-DD`; empty for what is none."""
    match = _DATE.fullmatch(plain(said))
    if match is None:
        return ""
    year, month, day = match.group(1, 2, 3) if match[1] else match.group(6, 5, 4)
    return f"{year}-{month}-{day}"
