"""NOBIL's interface, version 3, in the published contracts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ladestrom.edges.contract.requests import KEY_HEADERS, LIST_FILTERS, Parameter
from ladestrom.edges.contract.rows import Operation, Part
from ladestrom.edges.contract.schemas import Schema
from ladestrom.outputs.nobil_v3.asked import CALLBACK, TYPES
from ladestrom.outputs.nobil_v3.edge import BODY_BYTES_MAX, DUMP, JSON, SCRIPT, SEARCH, XML

NOBIL: Final = "NOBIL (version 3)"
KEYS: Final = (*KEY_HEADERS, "apikey")
_FLAG: Final[Schema] = {"type": "string", "enum": ["true", "false"], "default": "false"}
_PLACE: Final = "^\\(?\\s*-?[0-9.]+\\s*,\\s*-?[0-9.]+\\s*\\)?$"


def _one(name: str, description: str, schema: Schema, example: object) -> Parameter:
    return Parameter(name=name, description=description, schema=schema, example=example)


_ANYWHERE: Final = {
    "nobilVersion": _one("apiversion", "Always 3.", {"type": "string", "enum": ["3"]}, "3"),
    "nobilCallback": _one(
        "callback",
        "Name of the function that a script calls with the answer (JSONP).",
        {"type": "string", "pattern": f"^{CALLBACK.pattern}$"},
        "show",
    ),
    "nobilCountry": _one("countrycode", "As `country`; both together narrow.", {"type": "string"}, "NOR"),
    "nobilFormat": _one(
        "format",
        "Of the answer: `json` where a search, `xml` where a dump does not say it.",
        {"type": "string", "enum": ["json", "xml"]},
        "json",
    ),
}
_SEARCH: Final = {
    "nobilType": _one(
        "type",
        "What is searched: stations in a rectangle, near a place or by id; or numbers of stations.",
        {"type": "string", "enum": list(TYPES)},
        "rectangle",
    ),
    "nobilAction": _one("action", "Always search.", {"type": "string", "enum": ["search"]}, "search"),
    "nobilNortheast": _one(
        "northeast",
        "`rectangle`: its corner, as (latitude, longitude).",
        {"type": "string", "pattern": _PLACE},
        "(71.5,31.5)",
    ),
    "nobilSouthwest": _one(
        "southwest",
        "`rectangle`: the opposite corner.",
        {"type": "string", "pattern": _PLACE},
        "(55.0,4.0)",
    ),
    "nobilExisting": _one(
        "existingids",
        "Numbers of stations that you have, joined by commas: they are left out.",
        {"type": "string", "pattern": "^[^,]+(,[^,]+)*$"},
        "189,195",
    ),
    "nobilLat": _one("lat", "`near`: latitude.", {"type": "number", "minimum": -90, "maximum": 90}, 59.91),
    "nobilLong": _one(
        "long", "`near`: longitude.", {"type": "number", "minimum": -180, "maximum": 180}, 10.75
    ),
    "nobilDistance": _one("distance", "`near`: metres.", {"type": "number", "minimum": 0}, 2000),
    "nobilLimit": _one(
        "limit",
        "Stations at most; `near`: the nearest, 10 of them where neither this nor `distance` is given.",
        {"type": "integer", "minimum": 1},
        10,
    ),
    "nobilId": _one(
        "id",
        "`id`: uuids of stations, joined by commas. Statistics: the number of a county or municipality.",
        {"type": "string"},
        "NOR_01333",
    ),
}
_DUMP: Final = {
    "nobilFromdate": _one(
        "fromdate",
        "Stations only that were updated since this date, or may have been, and those with newer statuses.",
        {"type": "string", "format": "date"},
        "2026-01-31",
    ),
    "nobilFile": _one(
        "file", "Whether a browser saves the answer as a file.", {**_FLAG, "default": "true"}, "false"
    ),
    "nobilNorealtime": _one("norealtime", "Without stations of which statuses are known.", _FLAG, "true"),
    "nobilNonimupdate": _one("nonimupdate", "With `fromdate`: newer statuses are no update.", _FLAG, "true"),
}
_ANSWER: Final[Schema] = {
    "type": "object",
    "properties": {
        "Provider": {
            "type": "string",
            "description": "Who publishes, or whom the licence wants to be named.",
        },
        "Rights": {"type": "string", "description": "Licence."},
        "apiver": {"type": "string", "enum": ["3"]},
        "chargerstations": {
            "type": "array",
            "description": "Stations (`csmd`, `attr`), or numbers of them (`count`).",
            "items": {"type": "object"},
        },
        "error": {"type": "string", "description": "Why there are none."},
    },
}
_TEXT: Final[Schema] = {"schema": {"type": "string"}}
_CONTENT: Final[Mapping[str, Schema]] = {JSON: {"schema": _ANSWER}, XML: _TEXT, SCRIPT: _TEXT}
_COMMON: Final[Mapping[str, Any]] = {
    "tag": NOBIL,
    "keys": KEYS,
    "open_to_visitors": True,
    "keys_refused_within": True,
    "answers": {200: {"description": "Stations, or an error.", "content": dict(_CONTENT)}},
}


def _body(own: Mapping[str, Parameter]) -> Schema:
    members = {one.name: one.text() for one in (*_ANYWHERE.values(), *own.values())}
    schema = {"type": "object", "properties": {"apikey": {"type": "string"}, **members}}
    content = {"application/x-www-form-urlencoded": {"schema": schema}, JSON: {"schema": schema}}
    return {"content": content, "description": f"At most {BODY_BYTES_MAX} bytes."}


def _operations(path: str, name: str, summary: str, own: Mapping[str, Parameter]) -> tuple[Operation, ...]:
    told = (
        "What cannot be answered is told with status 200: `error` has the reason. Members of stations are "
        "those of NOBIL; nobody's name or telephone number is among them."
    )
    return (
        Operation(
            **_COMMON,
            path=path,
            id=name,
            summary=summary,
            description=told,
            parameters=(*own, *_ANYWHERE, *LIST_FILTERS, "ifModifiedSince"),
            cached=True,
        ),
        Operation(
            **_COMMON,
            path=path,
            method="post",
            id=f"{name}ByPost",
            summary=f"{summary} (parameters in the body)",
            description=told,
            body=_body(own),
        ),
    )


CONTRACT: Final = Part(
    tags={NOBIL: "What programs code against that read NOBIL's `search.php` and `datadump.php`."},
    operations=(
        *_operations(SEARCH, "searchNobil", "Some stations as NOBIL tells them, or numbers of them", _SEARCH),
        *_operations(DUMP, "dumpNobil", "All stations as NOBIL tells them", _DUMP),
    ),
    parameters={**_ANYWHERE, **_SEARCH, **_DUMP},
)
