"""`/openapi.json` and `/asyncapi.json`: the published contracts. They need no key."""

from __future__ import annotations

import hashlib
from typing import Any, Final

import msgspec
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from ladestrom.edges.answers import AnyRequest, matches, not_modified
from ladestrom.edges.contract_asyncapi import asyncapi
from ladestrom.edges.contract_openapi import openapi
from ladestrom.edges.contract_operations import ASYNCAPI_TYPE, JSON, OPENAPI_TYPE
from ladestrom.edges.contract_requests import Served
from ladestrom.formats.contract_schemas import Schema

__all__ = ["Served", "handlers"]

DOCUMENTS: Final = (
    ("/openapi.json", OPENAPI_TYPE, openapi),
    ("/asyncapi.json", ASYNCAPI_TYPE, asyncapi),
)


def handlers(served: Served) -> list[HTTPRouteHandler]:
    """The route handlers; the documents are built here, once.

    Raises:
        LookupError: a document names an error that no loaded module defines.
    """
    return [_handler(path, media_type, build(served)) for path, media_type, build in DOCUMENTS]


def _handler(path: str, media_type: str, document: Schema) -> HTTPRouteHandler:
    body = msgspec.json.encode(document)
    # Each media type is a representation of its own (RFC 9110, section 8.8.3.3).
    tags = {kind: f'"{hashlib.sha256(kind.encode() + body).hexdigest()[:16]}"' for kind in (media_type, JSON)}

    def asked(request: AnyRequest) -> str:
        accepted = request.headers.get("accept", "")
        return JSON if JSON in accepted and media_type.partition(";")[0] not in accepted else media_type

    @get(path, sync_to_thread=False)
    def contract(request: AnyRequest) -> Response[Any]:
        """The document, as its own media type; as plain JSON where that is asked for instead."""
        kind = asked(request)
        if matches(request, tags[kind]):
            answer: Response[Any] = not_modified(tags[kind])
        else:
            headers = {"etag": tags[kind], "cache-control": "no-cache"}
            answer = Response(body, media_type=kind, headers=headers)
        answer.headers["vary"] = "Accept"
        return answer

    return contract
