"""What REST answers share: entity tags, and errors as problem details."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final, Protocol

import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, InternalServerException

from ladestrom.core.view import View
from ladestrom.errors import BadRequest, LadestromError, MethodNotAllowed, NotFound, TooLarge
from ladestrom.problem import MEDIA_TYPE, problem
from ladestrom.quoting import quoted

logger = structlog.get_logger(__name__)

AnyRequest = Request[Any, Any, Any]


class Asking(Protocol):
    """What is looked at of a request, whatever has read it."""

    @property
    def headers(self) -> Mapping[str, str]: ...


COMPRESSED: Final = "compressed"
"""Option of handlers that compress their answers themselves: `@get(..., opt={COMPRESSED: True})`."""


_HOST: Final = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?", re.ASCII)
"""RFC 9110, section 7.2, without what no host of ours has."""


def root_of(request: AnyRequest, url_public: str) -> str:
    """Where clients reach this server: what the settings say, else the address of the request.

    Raises:
        BadRequest: its header Host is no address.
    """
    if url_public:
        return url_public
    host = request.headers.get("host", "")
    if _HOST.fullmatch(host) is None:
        raise BadRequest("the header Host is not valid")
    return f"{request.scope.get('scheme', 'http')}://{host}"


def asked_from(request: AnyRequest) -> tuple[str, str]:
    """Where a request came from: the other end of its connection, and what `X-Forwarded-For` says."""
    peer = request.client.host if request.client is not None else ""
    return peer, ",".join(request.headers.getall("x-forwarded-for", []))


async def body_of(request: AnyRequest, seconds_max: int) -> bytes:
    """The body.

    Raises:
        BadRequest: it did not arrive, or not in time.
    """
    try:
        async with asyncio.timeout(seconds_max):
            return await request.body()
    except TimeoutError:
        raise BadRequest(f"the body did not arrive within {seconds_max} s") from None
    except InternalServerException:
        # So the framework says that the client went away.
        raise BadRequest("the connection ended before the body did") from None


def etag(view: View) -> str:
    """Version 1's entity tag: the view's position."""
    return f'"{view.position}"'


def weak_etag(view: View, minute: int | None = None) -> str:
    """Version 2's entity tag: the position, and a number that grows with confirmations.

    Weak (RFC 9110, section 8.8.1), as a confirmation moves `observed_at` only. An answer that would be
    another one in another minute, at the same position, has its minute too, counted since 1970.
    """
    moment = "" if minute is None else f"-{minute}"
    return f'W/"{view.position}-{view.confirmations}{moment}"'


def matches(request: Asking, tag: str) -> bool:
    """Whether If-None-Match names this entity (RFC 9110, section 13.1.2; weak comparison)."""
    given = request.headers.get("if-none-match")
    if given is None:
        return False
    tags = {part.strip().removeprefix("W/") for part in given.split(",")}
    return tag.removeprefix("W/") in tags or "*" in tags


def json_answer(body: bytes, tag: str | None = None) -> Response[bytes]:
    """A body of JSON that is encoded already; one without a tag is another each time."""
    headers = {"cache-control": "no-cache"} if tag is not None else {"cache-control": "no-store"}
    if tag is not None:
        headers["etag"] = tag
    return Response(body, media_type="application/json", headers=headers)


def takes_gzip(request: Asking) -> bool:
    """Whether the client takes a body that is compressed."""
    return "gzip" in request.headers.get("accept-encoding", "")


def packed(
    request: AnyRequest, plain: bytes, gzip: bytes | None, media_type: str, headers: Mapping[str, str]
) -> Response[bytes]:
    """A body that is compressed already, for who takes it so; of a handler with the option `COMPRESSED`."""
    sent = {**headers, "vary": "accept-encoding"}
    if gzip is None or not takes_gzip(request):
        return Response(plain, media_type=media_type, headers=sent)
    return Response(gzip, media_type=media_type, headers={**sent, "content-encoding": "gzip"})


def not_modified(tag: str) -> Response[None]:
    """304: what the consumer has is up to date."""
    return Response(None, status_code=304, headers={"etag": tag, "cache-control": "no-cache"})


def on_error(request: AnyRequest, error: Exception) -> Response[bytes]:
    """Any exception of a handler as a problem document; ours say what is wrong, others say nothing."""
    if isinstance(error, HTTPException) and error.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
        return _answer(_named(request, error), error.status_code, error.headers)
    if not isinstance(error, LadestromError):
        logger.error("a request failed", path=request.url.path, exc_info=error)
        error = LadestromError("an internal error stopped this request; it was logged")
    headers = dict(_HEADERS.get(error.status, {}))
    if error.retry:
        headers["retry-after"] = str(error.retry_after_s)
    return _answer(error, error.status, headers)


class _Http(LadestromError):
    """An error of the HTTP framework that none of ours stands for."""

    means = "The request is not valid HTTP for this path. The HTTP status may be another one from 400 to 499."
    advice = "See the HTTP status and `detail`, and correct the request."
    code = "http"
    status = 400
    close_code = 4400
    on_websocket = False


_OURS: Final[dict[int, type[LadestromError]]] = {400: BadRequest, 413: TooLarge}
_HEADERS: Final[dict[int, dict[str, str]]] = {
    401: {"www-authenticate": 'Bearer realm="ladestrom"'},
    426: {"upgrade": "websocket", "connection": "upgrade"},
}


def _named(request: AnyRequest, error: HTTPException) -> LadestromError:
    """The framework's error as one of ours, so that its code is stable."""
    match error.status_code:
        case 404:
            return NotFound(f"nothing is at {quoted(request.url.path, 100)}")
        case 405:
            return MethodNotAllowed(f"{request.method[:20]} is not for {quoted(request.url.path, 100)}")
        case status:
            return _OURS.get(status, _Http)(error.detail)


def _answer(error: LadestromError, status: int, headers: dict[str, str] | None) -> Response[bytes]:
    return Response(
        problem(error, status), status_code=status, media_type=MEDIA_TYPE, headers=dict(headers or {})
    )
