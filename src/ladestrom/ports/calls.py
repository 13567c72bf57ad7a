"""Requests that pure code wants made, and what came back. `ladestrom.outbound` makes them."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from ladestrom.model import Millis


class Ask(msgspec.Struct, frozen=True):
    """A request to make over HTTP."""

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)
    body: bytes = b""


class Answered(msgspec.Struct, frozen=True):
    """The response. Redirects were followed; `url` is the last one's."""

    url: str
    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    received_at: Millis
    """When the response was complete, by our clock."""
