"""Errors as the other side sees them: RFC 9457 problem details."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Final

import msgspec

from ladestrom.errors import LadestromError, PartlyTaken, Taken

MEDIA_TYPE: Final = "application/problem+json"
PAGES_PATH: Final = "/docs/errors"
"""Where the server explains each code. A problem's `type` is relative: it holds behind any proxy."""

_KEY: Final = re.compile(rb"(lst_)[0-9A-Za-z_]+", re.IGNORECASE)


class Problem(msgspec.Struct, frozen=True):
    """RFC 9457, section 3.1, with our stable `code`, and whether the same request may succeed later."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    retry: bool
    taken: Taken | msgspec.UnsetType = msgspec.UNSET
    """Only where a part of a delivery was taken."""


def problem(error: LadestromError, status: int | None = None) -> bytes:
    """The body for an error of ours; `status` where it is not the error's own."""
    status = status or error.status
    return without_keys(
        msgspec.json.encode(
            Problem(
                f"{PAGES_PATH}/{error.code}",
                HTTPStatus(status).phrase,
                status,
                str(error),
                error.code,
                error.retry,
                error.taken if isinstance(error, PartlyTaken) else msgspec.UNSET,
            )
        )
    )


def without_keys(answer: bytes) -> bytes:
    """An answer that may quote what was sent, keys left out: whoever logs answers must not log those."""
    return _KEY.sub(rb"\1***", answer) if b"lst_" in answer.lower() else answer
