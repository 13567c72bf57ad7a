"""`/docs/errors/CODE`: what each error code means and what to do, as HTML that needs no scripts.

The `type` of every problem document (RFC 9457, section 3.1.1) is the address of such a page. Knows the tree
of errors and the reasons for which single items of a delivery are refused; knows nothing of requests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from html import escape
from http import HTTPStatus
from typing import Any, Final

import msgspec
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from ladestrom.edges.answers import COMPRESSED, AnyRequest
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


Framed = Callable[[AnyRequest, str, str, str], Response[Any]]
"""Makes a page of its title, what it is about in a sentence, and its HTML."""


def handlers(framed: Framed) -> list[HTTPRouteHandler]:
    """The route handlers."""
    known = explanations()
    closing: dict[str, list[Explanation]] = {}
    for found in known.values():
        if found.close_code is not None:
            closing.setdefault(str(found.close_code), []).append(found)

    @get(PAGES_PATH, opt={COMPRESSED: True}, include_in_schema=False)
    async def index(request: AnyRequest) -> Response[Any]:
        """All codes."""
        lists = "".join(
            f"<h2>{title}</h2><ul>{''.join(map(_link, names))}</ul>"
            for title, names in (("Codes", known), ("WebSocket close codes", sorted(closing)))
        )
        about = "What each error code means, and what to do."
        return await asyncio.to_thread(
            framed, request, "Error codes", about, f"<h1>Error codes</h1><p>{about}</p>{lists}"
        )

    @get(f"{PAGES_PATH}/{{code:str}}", opt={COMPRESSED: True}, include_in_schema=False)
    async def page(request: AnyRequest, code: FromPath[str]) -> Response[Any]:
        """One code, or a code with which a WebSocket is closed."""
        found = known.get(code)
        if found is not None:
            html = f"<h1>{escape(code)}</h1>{_body(found)}"
            return await asyncio.to_thread(framed, request, code, found.means.replace("`", ""), html)
        if code not in closing:
            raise NotFound(f'there is no error code "{code[:100]}"; all are at {PAGES_PATH}')
        causes = closing[code]
        title = f"WebSocket close code {code}"
        parts = "".join(f"<h2>{_link(each.code, item=False)}</h2>{_body(each)}" for each in causes)
        about = f"The server closes a WebSocket with {code} for: {', '.join(each.code for each in causes)}."
        return await asyncio.to_thread(
            framed, request, title, about, f"<h1>{title}</h1><p>{about}</p>{parts}"
        )

    return [index, page]


def texts() -> list[tuple[str, str, str]]:
    """Every code for a search: address, title, and text with its numbers."""
    return [
        (
            f"{PAGES_PATH}/{found.code}",
            found.code,
            " ".join(
                str(each) for each in (found.means, found.advice, found.status, found.close_code) if each
            ),
        )
        for found in explanations().values()
    ]


def _link(code: str, *, item: bool = True) -> str:
    link = f'<a href="{PAGES_PATH}/{code}">{code}</a>'
    return f"<li>{link}</li>" if item else link


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
    cells = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(text)}</td></tr>' for name, text in rows
    )
    return (
        f"<p>{_marked(found.means)}</p><h2>What to do</h2><p>{_marked(found.advice)}</p>"
        f'<div class="scroll"><table>{cells}</table></div>'
        f'<p><a href="{PAGES_PATH}">All codes</a></p>'
    )


def _marked(text: str) -> str:
    """Escaped, with what stands between backticks as code."""
    return "".join(
        f"<code>{escape(piece)}</code>" if number % 2 else escape(piece)
        for number, piece in enumerate(text.split("`"))
    )
