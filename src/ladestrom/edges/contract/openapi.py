"""The OpenAPI 3.1 document, from the rows of all parts and the types that encode and decode.

What an operation may be refused with are codes of errors; their statuses and meanings come from the errors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from http import HTTPStatus
from typing import Final

import msgspec

from ladestrom import __version__
from ladestrom.core.access import Scope
from ladestrom.edges.contract.requests import KEYS, PARAMETERS, Parameter, errors, meaning, schemas
from ladestrom.edges.contract.rows import Operation, Part
from ladestrom.edges.contract.samples import REPORTS, examples
from ladestrom.edges.contract.schemas import Schema, reference
from ladestrom.edges.contract.served import JSON, Served
from ladestrom.errors import LadestromError, PartlyTaken, TooLarge
from ladestrom.formats.wire import POSITION
from ladestrom.problem import MEDIA_TYPE, Problem, problem

ALWAYS: Final = ("bad_request", "internal", "too_many_requests")
"""What any request may be refused with; the last where an IP address has too many connections."""
KEY_REFUSALS: Final = ("unauthenticated", "not_allowed", "key_pending")
HEAD_TOO_LARGE: Final = "head.too_large"
HEADERS: Final[Mapping[str, Schema]] = {
    "ETag": {
        "description": "The position that the answer holds, for `If-None-Match`.",
        "required": True,
        "schema": {"type": "string", "pattern": '^"[A-Za-z0-9]{1,32}-[0-9]{1,18}"$'},
    },
    "WeakETag": {
        "description": (
            "The position that the answer holds, and a number that grows with confirmations and records of "
            "stations, for `If-None-Match`. Weak: a confirmation moves `observed_at` only. With `open_now`, "
            "the minute since 1970 that the answer is of, too."
        ),
        "required": True,
        "schema": {
            "type": "string",
            "pattern": r'^W/"[A-Za-z0-9]{1,32}-[0-9]{1,18}-[0-9]{1,18}(-[0-9]{1,9})?"$',
        },
    },
    "DocumentTag": {
        "description": (
            "The position at which what was selected became what it is, and a digest of it, for "
            "`If-None-Match`. Packed with gzip it has another one."
        ),
        "required": True,
        "schema": {"type": "string", "pattern": '^"[A-Za-z0-9]{1,32}-[0-9]{1,18}-[0-9a-f]{16}(-gzip)?"$'},
    },
    "LastModified": {
        "description": "When what was selected became what it is, for `If-Modified-Since`.",
        "required": True,
        "schema": {"type": "string"},
    },
    "Position": {
        "description": "`EPOCH-SEQ` at which the document holds: the stream's `since` for what comes after.",
        "required": True,
        "schema": {"type": "string", "pattern": POSITION},
    },
    "Licence": {
        "description": (
            'With `rel="license"`, where the licence of the data can be read, if it is known (RFC 8288).'
        ),
        "schema": {"type": "string"},
    },
    "ColumnsTag": {
        "description": "Made of the content, for `If-None-Match`.",
        "required": True,
        "schema": {"type": "string", "pattern": '^"[0-9]{1,15}"$'},
    },
    "ContentTag": {
        "description": "A digest of the content, for `If-None-Match`.",
        "required": True,
        "schema": {"type": "string", "pattern": '^"[0-9a-f]{16}"$'},
    },
    "Link": {"description": "The next page, where there is one (RFC 8288).", "schema": {"type": "string"}},
    "TotalCount": {
        "description": "How many there are in all pages.",
        "required": True,
        "schema": {"type": "integer", "minimum": 0},
    },
    "PageLimit": {
        "description": "How many a page has at most.",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    },
    "LicenceAddress": {
        "description": "Where the licences of the data can be read, if they are known; separated by commas.",
        "schema": {"type": "string"},
    },
    "WWW-Authenticate": {"description": "How to send a key.", "required": True, "schema": {"type": "string"}},
    "Retry-After": {
        "description": "Try again after so many seconds.",
        "required": True,
        "schema": {"type": "integer", "minimum": 0},
    },
    "Upgrade": {"description": "What to upgrade to.", "required": True, "schema": {"const": "websocket"}},
}
REFUSAL_HEADERS: Final[Mapping[int, str]] = {
    401: "WWW-Authenticate",
    426: "Upgrade",
    429: "Retry-After",
    503: "Retry-After",
}

DESCRIPTION: Final = """\
Which EV charger is free: operators' status reports in, one durable ordered log, streams and state out.

**Keys.** `Authorization: Bearer KEY` or `X-Api-Key: KEY`; in the query on paths of version 1 only. A key has
scopes: `stream` reads, `report` reports for its operator, `admin` sees and does what those who run the server
do, and reads. Where the server gives out keys, `POST /api/v2/keys` makes one; it may have to be approved.
Where it lets visitors in, one may look without.

**Positions.** `EPOCH-SEQ` is a place in the log. Answers about state have it as `ETag`, and honour
`If-None-Match`: version 1 the position as it is, version 2 as a weak tag, `W/"EPOCH-SEQ-C"`, which
stays while no status is changed or confirmed and no record of the registry changes. Within an epoch the
number only grows; another epoch is another log. Lists of what is open now have another tag in each minute.

**Methods.** HEAD is answered like GET, without content, on every path that has GET, but for the stream of
events. OPTIONS says in `Allow` what a path has.

**Errors** are problem details (RFC 9457) with a stable `code`, and say whether trying again helps. A
request whose head is larger than {head_kib} KiB is refused with 431 on any path; an unknown path with 404
`not_found`, another method with 405 `method_not_allowed` and the header `Allow`.

**Compression.** Answers from 1 KiB on are packed with gzip where `Accept-Encoding` has it.

**Filters.** Different parameters narrow, values of one are alternatives; an empty value is none.

The streams' messages are described by `/asyncapi.json`.
"""


def openapi(served: Served, part: Part) -> Schema:
    """The document, for one server; `part` is all parts (`rows.whole`).

    Raises:
        LookupError: a row names an error that no loaded module defines.
    """
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ladestrom",
            "version": __version__,
            "summary": "State and streams of EV chargers, and where operators report",
            "description": DESCRIPTION.format(head_kib=served.head_bytes_max // 1024),
            "license": {"name": "Apache License 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": served.url_public or "/"}],
        "tags": [{"name": name, "description": text} for name, text in part.tags.items()],
        "paths": _paths(served, part),
        "components": {
            "schemas": _schemas(served, part),
            "responses": _refusals(part),
            "parameters": {name: one.openapi() for name, one in _parameters(served, part).items()},
            "headers": {name: dict(header) for name, header in HEADERS.items()},
            "securitySchemes": {
                **{name: dict(key.openapi) for name, key in KEYS.items()},
                **{name: dict(scheme) for name, scheme in part.credentials.items()},
            },
        },
    }


def _schemas(served: Served, part: Part) -> dict[str, Schema]:
    shown = examples(part.names, part.samples)
    found = schemas(served, part.sent, part.received, shown, part.names, part.words)
    return dict(sorted((found | _problems(found.pop(Problem.__name__), part)).items()))


def _problems(any_of_them: Schema, part: Part) -> dict[str, Schema]:
    """Problem details by status, each a schema with a name: what is put together of parts where it is used
    has none, and generators of clients leave it out.
    """
    codes: dict[int, set[str]] = {int(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE): {TooLarge.code}}
    for operation in part.operations:
        if not operation.refused_as:
            for status, found in _by_status(_codes(operation)).items():
                codes.setdefault(status, set()).update(found)
    made: dict[str, Schema] = {}
    for status, known in codes.items():
        properties = {
            **any_of_them["properties"],
            "status": {**any_of_them["properties"]["status"], "const": status},
            "code": {**any_of_them["properties"]["code"], "enum": sorted(known)},
        }
        if PartlyTaken.code not in known:
            del properties["taken"]
        phrase = HTTPStatus(status).phrase
        made[_problem_name(status)] = {
            **{key: value for key, value in any_of_them.items() if key != "examples"},
            "description": f"{status} {phrase}: problem details (RFC 9457).",
            "properties": properties,
        }
    return made


def _problem_name(status: int) -> str:
    return f"Problem{status}"


def _paths(served: Served, part: Part) -> Schema:
    paths: Schema = {}
    for operation in part.operations:
        made = _operation(operation, served)
        if operation.id == "sendReports":
            made["requestBody"] = _reports(served)
        elif operation.content:
            made["requestBody"] = {
                "required": True,
                "description": f"At most {served.report_items_max} items. {_body_limit(served)}",
                "content": dict(operation.content),
            }
        elif operation.body is not None:
            made["requestBody"] = dict(operation.body)
        paths.setdefault(operation.path, {})[operation.method] = made
    return paths


def _body_limit(served: Served) -> str:
    return f"At most {served.report_body_bytes_max} bytes, before and after it is unpacked."


def _operation(operation: Operation, served: Served) -> Schema:
    made: Schema = {
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
    }
    if operation.description:
        made["description"] = operation.description
    names = (*operation.parameters, *(("ifNoneMatch",) if operation.cached else ()))
    if names:
        made["parameters"] = [{"$ref": f"#/components/parameters/{name}"} for name in names]
    responses = {str(status): dict(answer) for status, answer in operation.answers.items()}
    if operation.answer is not None:
        responses[str(operation.status)] = {
            "description": "What was asked for.",
            "content": {JSON: {"schema": operation.answer}},
        }
    headers = {
        "ETag": operation.entity_tag,
        "Link": "Link" if operation.has_pages else "",
        **operation.headers,
    }
    described = {name: _header(component) for name, component in headers.items() if component}
    if described:
        responses["200"]["headers"] = described
    if operation.links:
        responses["200"]["links"] = dict(operation.links)
    if operation.cached:
        responses["304"] = {"description": "What you have is up to date."}
    for status, codes in _by_status(_codes(operation)).items():
        name = _response_name(operation.refused_as, codes)
        responses[str(status)] = {"$ref": f"#/components/responses/{name}"}
    responses["431"] = {"$ref": f"#/components/responses/{HEAD_TOO_LARGE}"}
    made["responses"] = dict(sorted(responses.items()))
    made["security"] = _security(operation, served)
    return made


def _security(operation: Operation, served: Served) -> list[Schema]:
    if operation.scope is None:
        return [{operation.own_key: []}] if operation.own_key else []
    scopes = [*Scope] if operation.of_any_scope else [operation.scope]
    scopes += [operation.also] if operation.also is not None else []
    needed: list[Schema] = [{name: [scope.value]} for name in operation.keys for scope in scopes]
    needed += [{operation.own_key: []}] if operation.own_key else []
    is_open = operation.open_to_visitors and served.visitors
    return [{}, *needed] if is_open else needed


def _header(component: str) -> Schema:
    return {"$ref": f"#/components/headers/{component}"}


def _reports(served: Served) -> Schema:
    report = reference("Report")
    several = {"type": "array", "items": report, "maxItems": served.report_items_max}
    shown = {"evse": REPORTS[0], "connector": REPORTS[1], "several": list(REPORTS)}
    return {
        "required": True,
        "description": f"One report, or a list of at most {served.report_items_max}. {_body_limit(served)}",
        "content": {
            JSON: {
                "schema": {"oneOf": [report, several]},
                "examples": {name: {"value": value} for name, value in shown.items()},
            }
        },
    }


def _parameters(served: Served, part: Part) -> dict[str, Parameter]:
    return {
        **PARAMETERS,
        **part.parameters,
        "idempotencyKey": Parameter(
            name="Idempotency-Key",
            place="header",
            description=(
                "The same key with the same body brings the first receipt again, for "
                f"{served.idempotency_hours} hours; with another body, 422."
            ),
            schema={"type": "string", "maxLength": served.idempotency_key_characters_max},
            example="3f1c9a54-delivery-17",
        ),
        "contentEncoding": Parameter(
            name="Content-Encoding",
            place="header",
            description="How the body is packed.",
            schema={"type": "string", "enum": ["identity", "gzip", "x-gzip"], "default": "identity"},
            example="identity",
        ),
    }


# -- refusals ----------------------------------------------------------------------------------------------


def _codes(operation: Operation) -> list[str]:
    keys = () if operation.scope is None or operation.keys_refused_within else KEY_REFUSALS
    return list(dict.fromkeys((*ALWAYS, *keys, *operation.refusals)))


def _by_status(codes: Iterable[str]) -> dict[int, list[str]]:
    known = errors()
    found: dict[int, list[str]] = {}
    for code in sorted(codes):
        found.setdefault(known[code].status, []).append(code)
    return found


def _response_name(refused_as: str, codes: Iterable[str]) -> str:
    return ".".join([refused_as, *codes] if refused_as else codes)


def _refusals(part: Part) -> dict[str, Schema]:
    known = errors()
    too_large = partial(problem, status=HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
    found = {HEAD_TOO_LARGE: _refusal("", too_large, [TooLarge], HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)}
    for operation in part.operations:
        refused_as = operation.refused_as
        for status, codes in _by_status(_codes(operation)).items():
            kinds = [known[code] for code in codes]
            written = part.refused_as[refused_as] if refused_as else partial(problem, status=status)
            found[_response_name(refused_as, codes)] = _refusal(refused_as, written, kinds, status)
    return dict(sorted(found.items()))


def _refusal(
    refused_as: str,
    written: Callable[[LadestromError], bytes],
    kinds: list[type[LadestromError]],
    status: int,
) -> Schema:
    shown = {kind.code: {"value": msgspec.json.decode(written(kind(meaning(kind))))} for kind in kinds}
    schema = reference(refused_as or _problem_name(status))
    made: Schema = {
        "description": " ".join(f"`{kind.code}`: {meaning(kind)}" for kind in kinds),
        "content": {JSON if refused_as else MEDIA_TYPE: {"schema": schema, "examples": shown}},
    }
    if status in REFUSAL_HEADERS:
        made["headers"] = {REFUSAL_HEADERS[status]: _header(REFUSAL_HEADERS[status])}
    return made
