"""What requests for NOBIL's interface ask for: parameters of the query, of a form or of JSON.

Knows their names and values. Must not know who asks, nor what is answered.

Source: NOBIL API version 3, `search.php` and `datadump.php`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from ladestrom.core.choice import Choice
from ladestrom.core.features import FEATURES
from ladestrom.core.selection import EVSE_FILTERS, Box, selection, values
from ladestrom.edges.query import known, whole_number
from ladestrom.errors import BadRequest, InvalidSelection, MalformedBody, UnsupportedMediaType
from ladestrom.outputs.nobil_v3.encoder import ANYTHING, EARTH_M, Kind, Wanted
from ladestrom.quoting import did_you_mean, quoted
from ladestrom.registers.nobil_facts import updated_at

FILTERS: Final = EVSE_FILTERS | FEATURES
ANYWHERE: Final = frozenset({"apikey", "apiversion", "callback", "countrycode", "format", "_"})
"""Of both; `_` is by what jQuery keeps caches from answering."""
OF_SEARCH: Final = (
    FILTERS
    | ANYWHERE
    | {
        *("action", "type", "northeast", "southwest", "existingids", "lat", "long", "distance", "limit"),
        "id",
    }
)
OF_DUMP: Final = FILTERS | ANYWHERE | {"fromdate", "file", "norealtime", "nonimupdate"}
TYPES: Final = ("rectangle", "near", "id", *Kind)
JSON: Final = "json"
XML: Final = "xml"
LIMIT_MAX: Final = 1_000_000
NEAR_MAX: Final = 10
"""Stations that are told where nobody says how many, nor how far."""
CALLBACK: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]{0,127}", re.ASCII)
"""The name of a function: no members of objects, through which a page could be made to act."""
_DECIMAL: Final = r"-?[0-9]{1,9}(?:\.[0-9]{1,20})?"
_PAIR: Final = re.compile(rf"\(?\s*({_DECIMAL})\s*,\s*({_DECIMAL})\s*\)?", re.ASCII)
_NUMBER: Final = re.compile(_DECIMAL, re.ASCII)
_DATE: Final = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})( [0-9]{2}:[0-9]{2}:[0-9]{2})?", re.ASCII)
_IDS: Final = re.compile(r"(?:[A-Za-z]{3}_)?([0-9]{1,12})", re.ASCII)
_UUID: Final = re.compile(r"[A-Za-z]{3}_[0-9]{5,12}", re.ASCII)
_YES: Final = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_SCALAR: Final = (str, int, float)


class Asked(msgspec.Struct, frozen=True):
    """What one request asks for."""

    query: Mapping[str, str]
    """The filters of lists, NOBIL's own among them."""
    as_xml: bool
    wanted: Wanted = ANYTHING
    box: Box | None = None
    statistics: Kind | None = None
    code: str = ""
    """Of the county or municipality of which there are statistics."""
    as_file: bool = False


def parameters(query: Iterable[tuple[str, str]], media_type: str, body: bytes) -> list[tuple[str, str]]:
    """Names and values of a request: of its query, and of its body, which is a form or a JSON object.

    Raises:
        MalformedBody: the body is not what its header says.
        UnsupportedMediaType: it is something else.
    """
    pairs = list(query)
    if not body.strip():
        return pairs
    if media_type in {"", "application/x-www-form-urlencoded"} and body.lstrip()[:1] != b"{":
        try:
            return pairs + parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=50)
        except ValueError as error:
            raise MalformedBody(f"the body is no form ({error})") from None
    if media_type in {"", "application/json", "text/json", "text/plain", "application/x-www-form-urlencoded"}:
        return pairs + _members(body)
    raise UnsupportedMediaType("send a form or a JSON object")


def _members(body: bytes) -> list[tuple[str, str]]:
    try:
        found = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedBody(f"the body is no JSON object ({error})") from None
    pairs = []
    for name, value in found.items():
        if isinstance(value, bool):
            pairs.append((name, str(value).lower()))
        elif isinstance(value, _SCALAR):
            pairs.append((name, str(value)))
        elif value is not None:
            raise MalformedBody(f"{quoted(name, 40)} is neither a text nor a number")
    return pairs


def callback(pairs: Iterable[tuple[str, str]]) -> str | None:
    """The function that a script wants to be called with the answer.

    Raises:
        BadRequest: it is more than a name.
    """
    found = [value for name, value in pairs if name == "callback"]
    if not found:
        return None
    if len(found) > 1 or CALLBACK.fullmatch(found[0]) is None:
        raise BadRequest("callback is not the name of a function; write letters, digits, _ and $ only")
    return found[0]


def search(pairs: Iterable[tuple[str, str]]) -> Asked:
    """A request for `search.php`.

    Raises:
        InvalidSelection, BadRequest: a parameter is unknown, is missing, or cannot be understood.
    """
    query = _query(pairs, OF_SEARCH)
    if query.get("action", "search") != "search":
        raise BadRequest("action is not search; nothing else can be asked for")
    kind = query.get("type", "")
    if kind not in TYPES:
        hint = did_you_mean(kind, TYPES)
        raise BadRequest(f"type={quoted(kind, 40)} is unknown{hint}; write one of {', '.join(TYPES)}")
    as_xml = _format(query, JSON) == XML
    filters, box = _filters(query), None
    wanted = Wanted(limit=whole_number(query, "limit", 0, 1, LIMIT_MAX) or None, existing=_existing(query))
    statistics, code = None, ""
    match kind:
        case "rectangle":
            box = _rectangle(query)
        case "near":
            wanted, box = _near(query, wanted)
        case "id":
            filters["station"] = _named(query, filters)
        case _:
            statistics, code = _statistics(Kind(kind), query, as_xml=as_xml)
    return Asked(filters, as_xml, wanted, box, statistics, code)


def dump(pairs: Iterable[tuple[str, str]], *, as_script: bool) -> Asked:
    """A request for `datadump.php`; a script reads JSON.

    Raises:
        InvalidSelection, BadRequest: a parameter is unknown, or cannot be understood.
    """
    query = _query(pairs, OF_DUMP)
    as_xml = _format(query, JSON if as_script else XML) == XML
    wanted = Wanted(
        since=_since(query),
        by_record=_flag(query, "nonimupdate", default=False),
        without_live=_flag(query, "norealtime", default=False),
    )
    if wanted.since is None:
        wanted = msgspec.structs.replace(wanted, by_record=False)
    return Asked(_filters(query), as_xml, wanted, as_file=_flag(query, "file", default=not as_script))


def chosen(asked: Asked, choice: Choice) -> Choice:
    """The filters, with the box that is looked at: a station has to be in both."""
    box = asked.box
    if box is None:
        return choice
    return msgspec.structs.replace(choice, selection=msgspec.structs.replace(choice.selection, box=box))


def _query(pairs: Iterable[tuple[str, str]], names: frozenset[str]) -> dict[str, str]:
    # What is sent without a value, many a client sends for nothing.
    query = known(((name, value) for name, value in pairs if value.strip()), names)
    version = query.get("apiversion", "3")
    if version != "3":
        raise BadRequest(f"apiversion={quoted(version, 20)} is not served; write 3")
    return query


def _format(query: Mapping[str, str], default: str) -> str:
    said = query.get("format", default).lower()
    if said not in {JSON, XML}:
        raise BadRequest(f"format={quoted(said, 20)} is unknown; write json or xml")
    return said


def _filters(query: Mapping[str, str]) -> dict[str, str]:
    filters = {name: value for name, value in query.items() if name in FILTERS}
    countries = query.get("countrycode")
    if countries is not None:
        own = filters.get("country")
        filters["country"] = countries
        if own is not None:
            both = (
                selection({"country": own}, names=frozenset({"country"})).country
                & selection(filters, names=frozenset({"country"})).country
            )
            if not both:
                raise InvalidSelection("country and countrycode contradict each other")
            filters["country"] = ",".join(sorted(both))
    return filters


def _pair(query: Mapping[str, str], name: str) -> tuple[float, float]:
    said = query.get(name)
    if said is None:
        raise BadRequest(f"{name} is missing; write (latitude, longitude)")
    match = _PAIR.fullmatch(said.strip())
    if match is None:
        raise BadRequest(f"{name}={quoted(said, 60)} is no place; write (latitude, longitude)")
    return _on_earth(name, float(match[1]), float(match[2]))


def _on_earth(name: str, latitude: float, longitude: float) -> tuple[float, float]:
    if not (abs(latitude) <= 90 and abs(longitude) <= 180):  # noqa: PLR2004 - degrees
        raise BadRequest(f"{name} is out of range; latitudes are -90 to 90, longitudes -180 to 180")
    return latitude, longitude


def _rectangle(query: Mapping[str, str]) -> Box:
    _no_bbox(query)
    (north, east), (south, west) = _pair(query, "northeast"), _pair(query, "southwest")
    if south > north:
        raise BadRequest("southwest is north of northeast")
    return Box(west, south, east, north)


def _no_bbox(query: Mapping[str, str]) -> None:
    if "bbox" in query:
        raise InvalidSelection("bbox: this type of search has a place of its own; omit it")


def _near(query: Mapping[str, str], wanted: Wanted) -> tuple[Wanted, Box | None]:
    _no_bbox(query)
    latitude, longitude = _on_earth("lat, long", _number(query, "lat"), _number(query, "long"))
    distance_m = _number(query, "distance") if "distance" in query else math.inf
    if distance_m < 0:
        raise BadRequest("distance is less than 0")
    limit = wanted.limit or (NEAR_MAX if distance_m == math.inf else None)
    near = msgspec.structs.replace(wanted, near=(latitude, longitude), distance_m=distance_m, limit=limit)
    return near, _around(latitude, longitude, distance_m)


def _around(latitude: float, longitude: float, distance_m: float) -> Box | None:
    """A box in which all places are that are so near; None for all of the world."""
    high = math.degrees(distance_m / EARTH_M) if distance_m < EARTH_M else math.inf
    south, north = latitude - high, latitude + high
    if south <= -90 or north >= 90:  # noqa: PLR2004 - degrees
        return None
    ratio = math.sin(math.radians(high)) / math.cos(math.radians(latitude))
    if ratio >= 1:
        return None
    wide = math.degrees(math.asin(ratio)) + 1e-9
    return Box(_turned(longitude - wide), south - 1e-9, _turned(longitude + wide), north + 1e-9)


def _turned(longitude: float) -> float:
    return (longitude + 180) % 360 - 180


def _number(query: Mapping[str, str], name: str) -> float:
    said = query.get(name)
    if said is None:
        raise BadRequest(f"{name} is missing")
    if _NUMBER.fullmatch(said.strip()) is None:
        raise BadRequest(f"{name}={quoted(said, 40)} is no number")
    return float(said)


def _existing(query: Mapping[str, str]) -> frozenset[int]:
    said = query.get("existingids")
    found = set()
    for each in [] if said is None else said.split(","):
        match = _IDS.fullmatch(each.strip())
        if match is None:
            raise BadRequest(f"existingids has {quoted(each, 40)}, which is no id; write 189,195,199")
        found.add(int(match[1]))
    return frozenset(found)


def _named(query: Mapping[str, str], filters: Mapping[str, str]) -> str:
    said = query.get("id")
    if said is None:
        raise BadRequest("id is missing; write NOR_00171")
    if "station" in filters:
        raise InvalidSelection("station: this type of search has an id of its own; omit it")
    for each in values("id", said):
        if _UUID.fullmatch(each) is None:
            raise BadRequest(f"id={quoted(each, 40)} is no id; write NOR_00171")
    return said


def _statistics(kind: Kind, query: Mapping[str, str], *, as_xml: bool) -> tuple[Kind, str]:
    if as_xml:
        raise BadRequest("statistics are JSON only")
    code = query.get("id", "").strip()
    if not code and kind not in {Kind.SUM, Kind.COUNTIES}:
        raise BadRequest("id is missing: the number of the county or municipality")
    return kind, code


def _since(query: Mapping[str, str]) -> int | None:
    said = query.get("fromdate")
    if said is None:
        return None
    match = _DATE.fullmatch(said.strip())
    if match is None or not _is_date(match[1]):
        raise BadRequest(f"fromdate={quoted(said, 40)} is no date; write 2026-01-31")
    # Before there was NOBIL, nothing was updated.
    return updated_at(f"{match[1]}{match[2] or ' 00:00:00'}") or 0


def _is_date(written: str) -> bool:
    try:
        date.fromisoformat(written)
    except ValueError:
        return False
    return True


def _flag(query: Mapping[str, str], name: str, *, default: bool) -> bool:
    said = query.get(name)
    if said is None:
        return default
    known_ = _YES.get(said.strip().lower())
    if known_ is None:
        raise BadRequest(f"{name}={quoted(said, 20)} is unknown; write true or false")
    return known_
