"""`/api/server/search.php` and `/api/server/datadump.php`, GET and POST.

Errors are told as NOBIL tells them: `{"error": "..."}` with HTTP status 200, those of keys too. Only who is
to come back later is told so by a status.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import msgspec
from litestar import Response, get, post

from ladestrom.core.access import Credential
from ladestrom.edges.answers import COMPRESSED, AnyRequest, body_of
from ladestrom.edges.documents import Form, Wrapping
from ladestrom.edges.methods import united
from ladestrom.edges.output import Opened, Reading
from ladestrom.errors import BadRequest, LadestromError
from ladestrom.outputs.nobil_v3 import asked as asking
from ladestrom.outputs.nobil_v3 import xml
from ladestrom.outputs.nobil_v3.asked import Asked
from ladestrom.outputs.nobil_v3.encoder import ANYTHING, Stations, Statistics
from ladestrom.problem import without_keys

SEARCH: Final = "/api/server/search.php"
DUMP: Final = "/api/server/datadump.php"
JSON: Final = "application/json"
XML: Final = "application/xml"
SCRIPT: Final = "text/javascript"
BODY_BYTES_MAX: Final = 64 * 1024
"""Of a request: as much as its head may have, where the same parameters are in the query."""
BODY_S_MAX: Final = 30
NO_SNIFFING: Final = {"x-content-type-options": "nosniff"}


class NobilError(msgspec.Struct, frozen=True):
    """What is said instead of stations."""

    error: str


def open(reading: Reading) -> Opened:  # noqa: A001 - what every output's edge is opened by
    """Both programs."""
    server = _Server(reading)

    @get(SEARCH, opt={COMPRESSED: True})
    async def search(request: AnyRequest) -> Response[Any]:
        """Some stations, or numbers of them."""
        return await server.answer(request)

    @post(SEARCH, opt={COMPRESSED: True}, status_code=200, request_max_body_size=BODY_BYTES_MAX)
    async def searched(request: AnyRequest) -> Response[Any]:
        """The same, with the parameters in the body."""
        return await server.answer(request)

    @get(DUMP, opt={COMPRESSED: True})
    async def dump(request: AnyRequest) -> Response[Any]:
        """All stations."""
        return await server.answer(request)

    @post(DUMP, opt={COMPRESSED: True}, status_code=200, request_max_body_size=BODY_BYTES_MAX)
    async def dumped(request: AnyRequest) -> Response[Any]:
        """The same, with the parameters in the body."""
        return await server.answer(request)

    return Opened(routes=united([search, searched, dump, dumped]))


class _Server:
    """Answers requests."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    async def answer(self, request: AnyRequest) -> Response[Any]:
        """Stations, or why there are none."""
        function: str | None = None
        as_xml = False
        try:
            pairs = await _parameters(request)
            as_xml = ("format", "xml") in pairs
            function = asking.callback(pairs)
            credential = self._credential(request, pairs)
            if request.url.path == SEARCH:
                found = asking.search(pairs)
            else:
                found = asking.dump(pairs, as_script=function is not None)
            as_xml = found.as_xml
            if function is not None and as_xml:
                function = None
                raise BadRequest("callback: a script reads JSON; omit format=xml")
            return await self._document(request, found, function, credential)
        except LadestromError as error:
            return _told(error, function, as_xml=as_xml)

    def _credential(self, request: AnyRequest, pairs: list[tuple[str, str]]) -> Credential:
        """Whose request it is: a key in a header wins over `apikey`."""
        headers: Mapping[str, str] = request.headers
        key = next((value for name, value in pairs if name == "apikey" and value.strip()), None)
        if key is not None and not headers.get("authorization") and not headers.get("x-api-key"):
            headers = {"x-api-key": key}
        return self._reading.door.look(headers)

    async def _document(
        self, request: AnyRequest, asked: Asked, function: str | None, credential: Credential
    ) -> Response[Any]:
        documents = self._reading.documents
        choice = asking.chosen(asked, documents.chosen(asked.query))
        document = await documents.get(self._form(asked), choice, credential.key_id)
        extra = dict(NO_SNIFFING)
        if asked.as_file:
            extra["content-disposition"] = (
                f'attachment; filename="datadump.{"xml" if asked.as_xml else "json"}"'
            )
        # The comment keeps the name from being the first bytes of a file of another kind.
        wrapping = None if function is None else Wrapping(SCRIPT, f"/**/{function}(".encode(), b");\n")
        return await documents.sent(
            request, document, is_conditional=request.method == "GET", headers=extra, wrapping=wrapping
        )

    def _form(self, asked: Asked) -> Form[Any]:
        style, kind, wanted = self._reading.style, asked.statistics, asked.wanted
        if kind is not None:
            return Form(
                name="nobil_v3_statistics",
                media_type=JSON,
                encoder=lambda: Statistics(style, kind, asked.code),
                variant=(kind, asked.code),
            )
        return Form(
            name="nobil_v3_xml" if asked.as_xml else "nobil_v3_json",
            media_type=XML if asked.as_xml else JSON,
            encoder=lambda: Stations(style, wanted, as_xml=asked.as_xml),
            variant=None if wanted == ANYTHING else wanted,
        )


async def _parameters(request: AnyRequest) -> list[tuple[str, str]]:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    body = await body_of(request, BODY_S_MAX) if request.method == "POST" else b""
    return asking.parameters(request.query_params.multi_items(), media_type, body)


def _told(error: LadestromError, function: str | None, *, as_xml: bool) -> Response[bytes]:
    message = without_keys(str(error).encode()).decode()
    headers = {"cache-control": "no-store", **NO_SNIFFING}
    status = HTTPStatus.OK.value
    if error.retry:
        status = error.status
        headers["retry-after"] = str(error.retry_after_s)
    if as_xml and function is None:
        return Response(xml.error(message), media_type=XML, status_code=status, headers=headers)
    body = msgspec.json.encode(NobilError(message))
    if function is not None:
        body = b"/**/%s(%s);\n" % (function.encode(), body)
    media_type = JSON if function is None else SCRIPT
    return Response(body, media_type=media_type, status_code=status, headers=headers)
