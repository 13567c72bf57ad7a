"""`/docs/errors/CODE`: what each error code means and what to do, as HTML without scripts.

The `type` of every problem document (RFC 9457, section 3.1.1) is the address of such a page. Knows the tree
of errors and the reasons for which single items of a delivery are refused; knows nothing of requests.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from http import HTTPStatus
from typing import Final

import msgspec
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from ladestrom.errors import LadestromError, NotFound
from ladestrom.model import Reason
from ladestrom.problem import PAGES_PATH


class Explanation(msgspec.Struct, frozen=True):
    """One error code, explained."""

    code: str
    means: str
    advice: str
    status: int | None = None
    """HTTP status; None for a reason in a receipt."""
    close_code: int | None = None
    """WebSocket close code; None for an error that no WebSocket is closed with."""
    retry: bool = False
    """Whether the same request may succeed later without being changed."""


REASONS: Final = (
    Explanation(
        Reason.UNKNOWN_EVSE.value,
        "No EVSE in the registry has this id, or several have it as their `uid`.",
        "Check the id. If it is correct, the station is not in the registry: ask the administrator to import "
        "it. If several EVSEs share the `uid`, send the EVSE id.",
    ),
    Explanation(
        Reason.NOT_ALLOWED.value,
        "Your account may not report on this EVSE.",
        "Report only on your own EVSEs. If it is yours, ask the administrator to add its party or prefix "
        "to your account.",
    ),
    Explanation(
        Reason.INVALID_ITEM.value,
        "The item does not have the form that the protocol requires.",
        "Correct the member that `detail` names. The guide for operators describes the form.",
    ),
    Explanation(
        Reason.INVALID_STATUS.value,
        "The status is missing or, in JSON and IRVE, is not one of the defined words. OCPI, OICP, OCPP and "
        "DATEX II turn an unknown word into UNKNOWN.",
        "In JSON, send one of the nine OCPI statuses (AVAILABLE, BLOCKED, CHARGING, INOPERATIVE, "
        "OUTOFORDER, PLANNED, REMOVED, RESERVED, UNKNOWN) or, in the NOBIL form, 0, 1 or -1.",
    ),
    Explanation(
        Reason.INVALID_TIME.value,
        "The observation time cannot be read, or is before the year 2000.",
        "Send ISO 8601 (`2026-11-22T10:00:00Z`; UTC if it has no zone) or milliseconds since 1970, in 2000 "
        "or later, or omit it.",
    ),
)
"""Why an item of a delivery was refused, and what to do."""


def explanations() -> dict[str, Explanation]:
    """Every code by name: those of all error classes that are loaded, and the reasons of refusals."""
    found = {
        error.code: Explanation(
            error.code,
            error.means,
            error.advice,
            error.status,
            error.close_code if error.on_websocket else None,
            error.retry,
        )
        for error in error_classes()
    }
    for reason in REASONS:
        # `not_allowed` refuses a whole request as well as one item; its page explains both.
        whole = found.get(reason.code)
        found[reason.code] = (
            reason
            if whole is None
            else msgspec.structs.replace(
                whole,
                means=f"{whole.means} As a reason in a receipt: {reason.means[0].lower()}{reason.means[1:]}",
            )
        )
    return dict(sorted(found.items()))


def handlers() -> list[HTTPRouteHandler]:
    """The route handlers."""
    known = explanations()
    headers = {
        "cache-control": "public, max-age=3600",
        "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
        "x-content-type-options": "nosniff",
    }

    @get(PAGES_PATH, include_in_schema=False, sync_to_thread=False)
    def index() -> Response[str]:
        """All codes."""
        links = "".join(f'<li><a href="{PAGES_PATH}/{code}">{code}</a></li>' for code in known)
        return Response(
            _document("Error codes", f"<ul>{links}</ul>"), media_type="text/html", headers=headers
        )

    @get(f"{PAGES_PATH}/{{code:str}}", include_in_schema=False, sync_to_thread=False)
    def page(code: FromPath[str]) -> Response[str]:
        """One code."""
        found = known.get(code)
        if found is None:
            raise NotFound(f'there is no error code "{code[:100]}"; all are at {PAGES_PATH}')
        return Response(_document(code, _body(found)), media_type="text/html", headers=headers)

    return [index, page]


def error_classes(root: type[LadestromError] = LadestromError) -> Iterator[type[LadestromError]]:
    """Every class of errors that is loaded, the root first."""
    yield root
    for kind in root.__subclasses__():
        yield from error_classes(kind)


def _body(found: Explanation) -> str:
    rows = [("Code", found.code)]
    if found.status is not None:
        rows += [
            ("HTTP status", f"{found.status} {HTTPStatus(found.status).phrase}"),
            ("Can the same request succeed later?", "yes" if found.retry else "no"),
        ]
    if found.close_code is not None:
        rows.append(("WebSocket close code", str(found.close_code)))
    cells = "".join(f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in rows)
    return (
        f"<p>{_marked(found.means)}</p><h2>What to do</h2><p>{_marked(found.advice)}</p>"
        f'<table>{cells}</table><p><a href="{PAGES_PATH}">All codes</a></p>'
    )


def _marked(text: str) -> str:
    """Escaped, with what stands between backticks as code."""
    return "".join(
        f"<code>{escape(piece)}</code>" if number % 2 else escape(piece)
        for number, piece in enumerate(text.split("`"))
    )


def _document(title: str, body: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="color-scheme" content="light dark"><title>{escape(title)}</title>'
        "<style>body{font:1rem/1.5 system-ui,sans-serif;max-width:44rem;margin:2rem auto;padding:0 1rem}"
        "th{text-align:left;padding-right:1rem;vertical-align:top}</style></head>"
        f"<body><main><h1>{escape(title)}</h1>{body}</main></body></html>"
    )
