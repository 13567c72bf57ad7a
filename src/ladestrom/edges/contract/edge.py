"""`/openapi.json` and `/asyncapi.json`: the published contracts. They need no key.

A document is made when it is first asked for: what makes it is a tenth of what a start would load.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Final

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from ladestrom.edges.answers import AnyRequest, matches, not_modified
from ladestrom.edges.contract.served import ASYNCAPI_TYPE, JSON, OPENAPI_TYPE

MEDIA_TYPES: Final = {"/openapi.json": OPENAPI_TYPE, "/asyncapi.json": ASYNCAPI_TYPE}


Documents = Callable[[], Mapping[str, bytes]]
"""Makes both documents, by path."""


class _Documents:
    """Made once, by whoever asks first."""

    def __init__(self, make: Documents) -> None:
        self._make = make
        self._making = asyncio.Lock()
        self._made: Mapping[str, bytes] = {}

    async def get(self, path: str) -> bytes:
        """A document's bytes."""
        async with self._making:
            if not self._made:
                self._made = await asyncio.to_thread(self._make)
        return self._made[path]


def handlers(make: Documents) -> list[HTTPRouteHandler]:
    """The route handlers."""
    made = _Documents(make)
    return [_handler(path, media_type, made) for path, media_type in MEDIA_TYPES.items()]


def _handler(path: str, media_type: str, made: _Documents) -> HTTPRouteHandler:
    def asked(request: AnyRequest) -> str:
        accepted = request.headers.get("accept", "")
        return JSON if JSON in accepted and media_type.partition(";")[0] not in accepted else media_type

    @get(path)
    async def contract(request: AnyRequest) -> Response[Any]:
        """The document, as its own media type; as plain JSON where that is asked for instead."""
        kind, body = asked(request), await made.get(path)
        # Each media type is a representation of its own (RFC 9110, section 8.8.3.3).
        tag = f'"{hashlib.sha256(kind.encode() + body).hexdigest()[:16]}"'
        if matches(request, tag):
            answer: Response[Any] = not_modified(tag)
        else:
            headers = {"etag": tag, "cache-control": "no-cache"}
            answer = Response(body, media_type=kind, headers=headers)
        answer.headers["vary"] = "Accept"
        return answer

    return contract
