"""What requests carry and how they are refused, as both published contracts say it.

Parameters, keys and errors, with the limits and codes that the code itself has. Knows no server.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final

import msgspec

from ladestrom.core.features import FEATURES, KW_MAX, PAYMENTS, SHORT
from ladestrom.core.selection import EVSE_FILTERS, LATITUDE_MAX, LONGITUDE_MAX, STATION_FILTERS, VALUES_MAX
from ladestrom.core.standards import STANDARDS
from ladestrom.credentials import QUERY_NAMES, TICKET_S
from ladestrom.edges.contract.samples import REPORTS
from ladestrom.edges.contract.schemas import Schema, components
from ladestrom.edges.contract.served import Served
from ladestrom.edges.contract.words import Word
from ladestrom.errors import LadestromError
from ladestrom.formats.wire import POSITION
from ladestrom.model import ADJUSTED_MAX, Status
from ladestrom.protocols.delivery import ID_CHARACTERS_MAX
from ladestrom.protocols.plain import CONNECTOR_MAX, IGNORED_MAX
from ladestrom.record import Access, Vehicle


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """One parameter of a request."""

    name: str
    place: str = "query"
    """`query`, `header` or `path`."""
    description: str
    schema: Mapping[str, Any]
    """Of the value; of each value where the parameter is a list of them."""
    example: Any
    values_max: int = 0
    """Values of a list, joined by commas; 0: it is none."""
    values_min: int = 1

    def openapi(self) -> Schema:
        """The Parameter Object of OpenAPI 3.1."""
        made: Schema = {"name": self.name, "in": self.place, "description": self.description}
        if self.place == "path":
            made["required"] = True
        if self.values_max:
            made["style"] = "form" if self.place == "query" else "simple"
            made["explode"] = False
            made["schema"] = {
                "type": "array",
                "items": dict(self.schema),
                "minItems": self.values_min,
                "maxItems": self.values_max,
            }
        else:
            made["schema"] = dict(self.schema)
        return {**made, "example": self.example}

    def text(self) -> Schema:
        """The schema of what stands in the query, as a WebSocket binding of AsyncAPI has it."""
        if not self.values_max:
            return {"description": self.description, **self.schema, "examples": [self.example]}
        joined = ",".join(map(str, self.example))
        return {
            "type": "string",
            "description": f"{self.description} Values are joined by commas.",
            "examples": [joined],
        }


_WORD: Final = {"type": "string", "pattern": "^[^,]*[^,\\s][^,]*$"}
_NAME: Final = {
    "type": "string",
    "pattern": "^([*\\- ]*[A-Za-z0-9][A-Za-z0-9*\\- ]*|[*\\- ]*[+][*\\- ]*[0-9][0-9*\\- ]*"
    "|[A-Za-z]{3}_[0-9]{5,12}_[0-9]{2,4})$",
}
"""What `model.evse_key` or `model.registry_key` makes a key of."""
_KNOWN: Final = "Where the register does not say, they are not listed."
_SHORT: Final = ", ".join(f"`{name}` ({', '.join(words)})" for name, words in SHORT.items())
_SINCE: Final = {"type": "string", "pattern": POSITION}


def path_parameter(
    name: str,
    description: str,
    example: str,
    **limits: Any,  # noqa: ANN401 - JSON Schema
) -> Parameter:
    """A part of a path: a text that is not empty."""
    return Parameter(
        name=name,
        place="path",
        description=description,
        schema={"type": "string", "minLength": 1, **limits},
        example=example,
    )


PARAMETERS: Final[Mapping[str, Parameter]] = {
    "country": Parameter(
        name="country",
        description="Countries: NOR SWE FIN DAN as NOBIL writes them, or ISO 3166-1 alpha-3 or -2 codes.",
        schema={"type": "string", "pattern": "^[A-Za-z]{2,3}$"},
        example=["NOR", "SWE"],
        values_max=VALUES_MAX,
    ),
    "operator": Parameter(
        name="operator",
        description=(
            "Stations of these operators, by name or by party (`NO*FJL`), in any case. In version 2, also "
            "EVSEs whose `source` is one of them."
        ),
        schema=_WORD,
        example=["NO*FJL"],
        values_max=VALUES_MAX,
    ),
    "station": Parameter(
        name="station",
        description="Stations by uuid; those that do not exist select nothing.",
        schema=_WORD,
        example=["NOR_01333", "NOR_01342"],
        values_max=VALUES_MAX,
    ),
    "bbox": Parameter(
        name="bbox",
        description=(
            "Stations in a box: minLon,minLat,maxLon,maxLat in degrees, WGS 84, edges included. "
            f"Latitudes are {-LATITUDE_MAX} to {LATITUDE_MAX}, minLat first; a box across the 180th meridian "
            "has minLon > maxLon."
        ),
        schema={"type": "number", "minimum": -LONGITUDE_MAX, "maximum": LONGITUDE_MAX},
        example=[10.2, 59.7, 11.1, 60.1],
        values_min=4,
        values_max=4,
    ),
    "evse": Parameter(
        name="evse",
        description="EVSEs by their names: EVSE ids in any written form, or registry keys.",
        schema=_NAME,
        example=["NO*FJL*E1234"],
        values_max=VALUES_MAX,
    ),
    "status": Parameter(
        name="status",
        description=(
            "EVSEs with these statuses. A stream also tells the change by which an EVSE leaves them, so that "
            "the consumer can drop it."
        ),
        schema={"type": "string", "enum": [status.value for status in Status]},
        example=["AVAILABLE"],
        values_max=VALUES_MAX,
    ),
    "access": Parameter(
        name="access",
        description=f"EVSEs that are for these. {_KNOWN}",
        schema={"type": "string", "enum": [word.value for word in Access]},
        example=["public"],
        values_max=VALUES_MAX,
    ),
    "open_now": Parameter(
        name="open_now",
        description=(
            "1: EVSEs of stations that are open, by their hours, in the minute in which the first page is "
            f"asked for. Such an answer has another `ETag` in each minute. {_KNOWN}"
        ),
        schema={"type": "integer", "enum": [1]},
        example=1,
    ),
    "min_kw": Parameter(
        name="min_kw",
        description=(
            "EVSEs with at least this power: their `max_kw`, else that of their strongest connector. With "
            f"`connector`, that connector has it too. {_KNOWN}"
        ),
        schema={"type": "number", "minimum": 0, "maximum": KW_MAX},
        example=150,
    ),
    "connector": Parameter(
        name="connector",
        description=(
            "EVSEs with a connector of these standards: words of OCPI 2.2.1 (ConnectorType), in any case, or "
            f"{_SHORT}."
        ),
        schema={"type": "string", "enum": [*SHORT, *STANDARDS]},
        example=["ccs"],
        values_max=VALUES_MAX,
    ),
    "payment": Parameter(
        name="payment",
        description=f"EVSEs at which one can pay in one of these ways. {_KNOWN}",
        schema={"type": "string", "enum": list(PAYMENTS)},
        example=["card", "contactless"],
        values_max=VALUES_MAX,
    ),
    "vehicle": Parameter(
        name="vehicle",
        description=(
            "EVSEs at which these may be charged. An EVSE of which nothing is known about that is for cars."
        ),
        schema={"type": "string", "enum": [word.value for word in Vehicle]},
        example=["truck"],
        values_max=VALUES_MAX,
    ),
    "since": Parameter(
        name="since",
        description=(
            "`EPOCH-SEQ` of the last message taken: what was missed comes instead of the snapshot; a "
            "snapshot where that cannot be."
        ),
        schema=_SINCE,
        example="k3v9q2xa-481",
    ),
    "stationPath": path_parameter(
        "uuid",
        "The registry's uuid of the station, in any case.",
        "NOR_01333",
    ),
    "ifNoneMatch": Parameter(
        name="If-None-Match",
        place="header",
        description="`ETag` of the answer that you have: 304 while it is up to date.",
        schema={"type": "string"},
        example='"k3v9q2xa-481"',
    ),
    "ifModifiedSince": Parameter(
        name="If-Modified-Since",
        place="header",
        description=(
            "`Last-Modified` of the answer that you have, likewise. Not looked at beside `If-None-Match`; "
            "ignored where it is no date."
        ),
        schema={"type": "string"},
        example="Sun, 22 Nov 2026 10:00:00 GMT",
    ),
}
"""By name, and with its place where the name stands for something else there."""

V1_FILTERS: Final = tuple(name for name in PARAMETERS if name in STATION_FILTERS)
V2_FILTERS: Final = tuple(name for name in PARAMETERS if name in EVSE_FILTERS)
LIST_FILTERS: Final = (*V2_FILTERS, *(name for name in PARAMETERS if name in FEATURES))

WIRE_LIMITS: Final = {
    "Report.evse": {"maxLength": ID_CHARACTERS_MAX},
    "Report.uuid": {"maxLength": ID_CHARACTERS_MAX},
    "Report.connector": {"maximum": CONNECTOR_MAX},
    "Receipt.adjusted": {"maxItems": ADJUSTED_MAX},
    "Receipt.ignored": {"maxItems": IGNORED_MAX},
}
RECEIPT: Final = "What became of the items of one delivery."
_REPORT_FORMS: Final = (
    {"required": ["evse"], "properties": {"evse": {"type": "string"}}},
    {
        "required": ["uuid", "connector"],
        "properties": {"uuid": {"type": "string"}, "connector": {"type": "integer"}},
    },
)
"""A report names an EVSE, or a connector of a station."""


def schemas(
    served: Served,
    sent: Collection[type],
    received: Collection[type],
    examples: Mapping[str, Schema],
    names: Mapping[str, str],
    words: Mapping[str, Word],
) -> dict[str, Schema]:
    """Components for a document, with what this server's settings and the parser of reports decide."""
    found = components(sent, received, names=names, limits=WIRE_LIMITS, words=words)
    for name, schema in found.items():
        if name in examples:
            schema["examples"] = [examples[name]]
    found["Receipt"].setdefault("description", RECEIPT)
    report = found["Report"]
    report["anyOf"] = list(_REPORT_FORMS)
    report["examples"] = list(REPORTS)
    report["properties"]["observed_at"]["description"] += f" Too far is more than {served.skew_s} s."
    return found


TICKET: Final = "ticket"
KEY_HEADERS: Final = ("bearer", "header")
KEY_QUERY: Final = QUERY_NAMES
"""Keys in the query: on paths of version 1 only."""


class Key(msgspec.Struct, frozen=True):
    """One way in which a request carries a key."""

    openapi: Mapping[str, str]
    """The Security Scheme Object of OpenAPI 3.1."""
    asyncapi: Mapping[str, str]
    """That of AsyncAPI 3.0."""


def _named(place: str, name: str, description: str) -> Key:
    parts = {"name": name, "in": place, "description": description}
    return Key({"type": "apiKey", **parts}, {"type": "httpApiKey", **parts})


_BEARER: Final = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "lst_ID_SECRET",
    "description": "A key of this server. Wins over all other ways.",
}

KEYS: Final[Mapping[str, Key]] = {
    "bearer": Key(_BEARER, _BEARER),
    "header": _named("header", "X-Api-Key", "The same key; wins over the query."),
    **{
        name: _named("query", name, "The same key, where a client cannot send headers: version 1 only.")
        for name in QUERY_NAMES
    },
    TICKET: _named(
        "query",
        TICKET,
        f"For browsers: a ticket of `POST /api/v2/tickets`, good once, for {TICKET_S} s and for pages of the "
        "origin that got it. Not looked at where a key is given.",
    ),
}


def errors() -> dict[str, type[LadestromError]]:
    """Every error of the program by its code, as far as the modules that define them are loaded."""
    return {error.code: error for error in _tree(LadestromError)}


def _tree(error: type[LadestromError]) -> Iterator[type[LadestromError]]:
    yield error
    for child in error.__subclasses__():
        if child.__module__.startswith("ladestrom."):
            yield from _tree(child)


def meaning(error: type[LadestromError]) -> str:
    """What an error means, in a sentence."""
    if error is LadestromError:
        return "A bug stopped the request; it was logged."
    return " ".join((error.__doc__ or f"{HTTPStatus(error.status).phrase}.").split())
