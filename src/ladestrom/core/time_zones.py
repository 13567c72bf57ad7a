"""The time zone of a station: from its country and its position, where no register says it.

Knows the names of the tz database (IANA), which Python's zoneinfo reads on the machine or from the package
`tzdata`: data that comes with the program, as its modules do. Must not know of any register.
"""

from __future__ import annotations

import zoneinfo
from functools import lru_cache
from typing import Final

from ladestrom.core.coordinates import FRANCE, Area
from ladestrom.core.fields import Notes, plain, quoted
from ladestrom.countries import country

_OF_COUNTRIES: Final = """
AD:Europe/Andorra AE:Asia/Dubai AF:Asia/Kabul AG:America/Antigua AI:America/Anguilla AL:Europe/Tirane
AM:Asia/Yerevan AO:Africa/Luanda AS:Pacific/Pago_Pago AT:Europe/Vienna AW:America/Aruba AX:Europe/Mariehamn
AZ:Asia/Baku BA:Europe/Sarajevo BB:America/Barbados BD:Asia/Dhaka BE:Europe/Brussels BF:Africa/Ouagadougou
BG:Europe/Sofia BH:Asia/Bahrain BI:Africa/Bujumbura BJ:Africa/Porto-Novo BL:America/St_Barthelemy
BM:Atlantic/Bermuda BN:Asia/Brunei BO:America/La_Paz BQ:America/Kralendijk BS:America/Nassau BT:Asia/Thimphu
BW:Africa/Gaborone BY:Europe/Minsk BZ:America/Belize CC:Indian/Cocos CF:Africa/Bangui CG:Africa/Brazzaville
CH:Europe/Zurich CI:Africa/Abidjan CK:Pacific/Rarotonga CM:Africa/Douala CO:America/Bogota
CR:America/Costa_Rica CU:America/Havana CV:Atlantic/Cape_Verde CW:America/Curacao CX:Indian/Christmas
CY:Asia/Nicosia CZ:Europe/Prague DE:Europe/Berlin DJ:Africa/Djibouti DM:America/Dominica
DO:America/Santo_Domingo DZ:Africa/Algiers EE:Europe/Tallinn EG:Africa/Cairo EH:Africa/El_Aaiun
ER:Africa/Asmara ET:Africa/Addis_Ababa FI:Europe/Helsinki FJ:Pacific/Fiji FK:Atlantic/Stanley
FO:Atlantic/Faroe GA:Africa/Libreville GD:America/Grenada GE:Asia/Tbilisi GF:America/Cayenne
GG:Europe/Guernsey GH:Africa/Accra GI:Europe/Gibraltar GM:Africa/Banjul GN:Africa/Conakry
GP:America/Guadeloupe GQ:Africa/Malabo GR:Europe/Athens GS:Atlantic/South_Georgia GT:America/Guatemala
GU:Pacific/Guam GW:Africa/Bissau GY:America/Guyana HK:Asia/Hong_Kong HN:America/Tegucigalpa HR:Europe/Zagreb
HT:America/Port-au-Prince HU:Europe/Budapest IE:Europe/Dublin IL:Asia/Jerusalem IM:Europe/Isle_of_Man
IN:Asia/Kolkata IO:Indian/Chagos IQ:Asia/Baghdad IR:Asia/Tehran IS:Atlantic/Reykjavik IT:Europe/Rome
JE:Europe/Jersey JM:America/Jamaica JO:Asia/Amman JP:Asia/Tokyo KE:Africa/Nairobi KG:Asia/Bishkek
KH:Asia/Phnom_Penh KM:Indian/Comoro KN:America/St_Kitts KP:Asia/Pyongyang KR:Asia/Seoul KW:Asia/Kuwait
KY:America/Cayman LA:Asia/Vientiane LB:Asia/Beirut LC:America/St_Lucia LI:Europe/Vaduz LK:Asia/Colombo
LR:Africa/Monrovia LS:Africa/Maseru LT:Europe/Vilnius LU:Europe/Luxembourg LV:Europe/Riga LY:Africa/Tripoli
MA:Africa/Casablanca MC:Europe/Monaco MD:Europe/Chisinau ME:Europe/Podgorica MF:America/Marigot
MG:Indian/Antananarivo MK:Europe/Skopje ML:Africa/Bamako MM:Asia/Yangon MO:Asia/Macau MP:Pacific/Saipan
MQ:America/Martinique MR:Africa/Nouakchott MS:America/Montserrat MT:Europe/Malta MU:Indian/Mauritius
MV:Indian/Maldives MW:Africa/Blantyre MZ:Africa/Maputo NA:Africa/Windhoek NC:Pacific/Noumea NE:Africa/Niamey
NF:Pacific/Norfolk NG:Africa/Lagos NI:America/Managua NP:Asia/Kathmandu NR:Pacific/Nauru NU:Pacific/Niue
OM:Asia/Muscat PA:America/Panama PE:America/Lima PH:Asia/Manila PK:Asia/Karachi PL:Europe/Warsaw
PM:America/Miquelon PN:Pacific/Pitcairn PR:America/Puerto_Rico PW:Pacific/Palau PY:America/Asuncion
QA:Asia/Qatar RE:Indian/Reunion RO:Europe/Bucharest RS:Europe/Belgrade RW:Africa/Kigali SA:Asia/Riyadh
SB:Pacific/Guadalcanal SC:Indian/Mahe SD:Africa/Khartoum SE:Europe/Stockholm SG:Asia/Singapore
SH:Atlantic/St_Helena SI:Europe/Ljubljana SJ:Arctic/Longyearbyen SK:Europe/Bratislava SL:Africa/Freetown
SM:Europe/San_Marino SN:Africa/Dakar SO:Africa/Mogadishu SR:America/Paramaribo SS:Africa/Juba
ST:Africa/Sao_Tome SV:America/El_Salvador SX:America/Lower_Princes SY:Asia/Damascus SZ:Africa/Mbabane
TC:America/Grand_Turk TD:Africa/Ndjamena TF:Indian/Kerguelen TG:Africa/Lome TH:Asia/Bangkok TJ:Asia/Dushanbe
TK:Pacific/Fakaofo TL:Asia/Dili TM:Asia/Ashgabat TN:Africa/Tunis TO:Pacific/Tongatapu TR:Europe/Istanbul
TT:America/Port_of_Spain TV:Pacific/Funafuti TW:Asia/Taipei TZ:Africa/Dar_es_Salaam UG:Africa/Kampala
UY:America/Montevideo VA:Europe/Vatican VC:America/St_Vincent VE:America/Caracas VG:America/Tortola
VI:America/St_Thomas VN:Asia/Ho_Chi_Minh VU:Pacific/Efate WF:Pacific/Wallis WS:Pacific/Apia YE:Asia/Aden
YT:Indian/Mayotte ZA:Africa/Johannesburg ZM:Africa/Lusaka ZW:Africa/Harare
"""
"""Countries that have one zone, by ISO 3166-1 alpha-2. Source: `zone.tab` of the tz database. Germany and
Cyprus have two there whose clocks agree now: Büsingen's and Berlin's, Famagusta's and Nicosia's."""

_WITHIN_COUNTRIES: Final[dict[str, tuple[tuple[str, Area], ...]]] = {
    "DK": (
        ("Atlantic/Faroe", Area(61.3, -7.8, 62.5, -6.2)),
        ("America/Nuuk", Area(59.5, -60.0, 74.5, -35.0)),
        ("Europe/Copenhagen", Area(54.4, 7.9, 57.9, 15.4)),
    ),
    "ES": (
        ("Atlantic/Canary", Area(27.4, -18.4, 29.7, -13.2)),
        ("Africa/Ceuta", Area(35.1, -5.5, 35.95, -2.8)),
        ("Europe/Madrid", Area(35.95, -9.5, 43.9, 4.6)),
    ),
    "FR": (
        ("America/Guadeloupe", Area(15.7, -62.0, 16.6, -60.9)),
        ("America/Martinique", Area(14.3, -61.4, 15.0, -60.7)),
        ("America/Marigot", Area(18.04, -63.3, 18.2, -62.9)),
        ("America/St_Barthelemy", Area(17.8, -63.0, 18.0, -62.7)),
        ("America/Cayenne", Area(2.0, -55.0, 6.2, -51.2)),
        ("Indian/Reunion", Area(-21.8, 55.0, -20.5, 56.2)),
        ("Indian/Mayotte", Area(-13.2, 44.7, -12.3, 45.6)),
        ("America/Miquelon", Area(46.5, -56.8, 47.4, -55.9)),
        ("Pacific/Noumea", Area(-23.2, 158.0, -19.0, 168.5)),
        ("Pacific/Wallis", Area(-14.7, -178.6, -12.9, -175.8)),
        ("Europe/Paris", FRANCE[0]),
    ),
    "GB": (
        ("Europe/London", Area(49.1, -8.7, 61.0, 1.9)),
        ("Europe/Gibraltar", Area(36.1, -5.4, 36.16, -5.33)),
    ),
    "GL": (("America/Nuuk", Area(59.5, -60.0, 74.5, -35.0)),),
    "NL": (
        ("Europe/Amsterdam", Area(50.7, 3.2, 53.8, 7.3)),
        ("America/Kralendijk", Area(11.9, -68.5, 12.4, -68.1)),
        ("America/Kralendijk", Area(17.4, -63.3, 17.7, -62.9)),
    ),
    "NO": (
        ("Arctic/Longyearbyen", Area(74.0, 10.0, 81.5, 35.0)),
        ("Arctic/Longyearbyen", Area(70.7, -9.3, 71.3, -7.7)),
        ("Europe/Oslo", Area(57.7, 4.0, 71.5, 31.5)),
    ),
    "NZ": (
        ("Pacific/Auckland", Area(-47.5, 166.0, -34.0, 179.0)),
        ("Pacific/Chatham", Area(-44.7, -177.3, -43.4, -175.7)),
    ),
    "PF": (
        ("Pacific/Marquesas", Area(-10.8, -141.0, -7.7, -138.0)),
        ("Pacific/Gambier", Area(-23.5, -136.0, -22.7, -134.4)),
        ("Pacific/Tahiti", Area(-18.8, -155.5, -15.5, -145.0)),
    ),
    "PT": (
        ("Atlantic/Azores", Area(36.8, -31.5, 39.9, -24.9)),
        ("Atlantic/Madeira", Area(30.0, -17.5, 33.3, -15.8)),
        ("Europe/Lisbon", Area(36.8, -9.7, 42.3, -6.1)),
    ),
    "UA": (
        ("Europe/Kyiv", Area(46.3, 22.0, 52.5, 40.4)),
        ("Europe/Kyiv", Area(45.1, 28.0, 46.3, 31.9)),
    ),
}
"""Countries of several zones, and those of which parts have country codes of their own beside (Réunion is RE,
and French EVSE ids begin with FR there): the first area that holds the position decides, and elsewhere the
zone is not known. Other large countries (United States, Canada, Russia, Brazil, Australia and more) are in
neither table: no rectangle follows their zones."""


def _table() -> dict[str, str]:
    pairs = (pair.split(":") for pair in _OF_COUNTRIES.split())
    return {country(alpha_2) or alpha_2: zone for alpha_2, zone in pairs}


_ZONES: Final = _table()
_AREAS: Final = {country(alpha_2) or alpha_2: rows for alpha_2, rows in _WITHIN_COUNTRIES.items()}


def zone(land: str, latitude: float, longitude: float) -> str | None:
    """The time zone at a position of a country; None where country and position do not tell it.

    Args:
        land: as `countries.country` writes it.
        latitude: degrees, WGS 84.
        longitude: degrees, WGS 84.
    """
    if land in _ZONES:
        return _ZONES[land]
    rows = _AREAS.get(land, ())
    return next((name for name, area in rows if area.holds(latitude, longitude)), None)


def said(value: object, notes: Notes) -> str | None:
    """The time zone that a register says, as the tz database writes it; None where it says none. One that the
    database lacks is noted.
    """
    text = plain(value)
    if not text:
        return None
    name = _names().get(text.casefold())
    if name is None:
        notes.add(f"its time zone {quoted(text)} is not in the tz database, and was left out")
    return name


@lru_cache(maxsize=1)
def _names() -> dict[str, str]:
    """The names of all zones that have an area (`Europe/Oslo`), and UTC, in small letters."""
    return {name.casefold(): name for name in zoneinfo.available_timezones() if "/" in name or name == "UTC"}
