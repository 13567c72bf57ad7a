"""The first steps of a new server, for whoever set it up: told on the machine itself only.

What is told has a path of this machine in it, which is nothing for strangers: neither for those who come
through a proxy on the same machine, nor for pages of other origins whose name leads here (DNS rebinding).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import msgspec
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from ladestrom.edges.answers import AnyRequest, json_answer
from ladestrom.edges.query import known
from ladestrom.errors import NotFound
from ladestrom.quoting import quoted

SETUP_PATH: Final = "/api/v2/setup"
FORWARDED: Final = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
"""Headers by which a proxy says that somebody else asks."""


class SetupState(msgspec.Struct, frozen=True):
    """How far the first steps of a server are."""

    options: tuple[str, ...]
    """What commands have to be told to find this server's data."""
    stations: int
    operators: int
    keys: int
    visitors: Literal["anyone", "key"]


def is_local(request: AnyRequest) -> bool:
    """Whether whoever asks is at the machine itself, and knows it by a name of loopback."""
    if any(name in request.headers for name in FORWARDED):
        return False
    peer = "" if request.client is None else request.client.host
    host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    return _is_loopback(peer) and (host == "localhost" or _is_loopback(host))


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def handlers(state: Callable[[], SetupState]) -> list[HTTPRouteHandler]:
    """The route handlers."""

    @get(SETUP_PATH, sync_to_thread=False)
    def setup(request: AnyRequest) -> Response[Any]:
        """How far the first steps are."""
        if not is_local(request):
            raise NotFound(f"nothing is at {quoted(SETUP_PATH)}")
        known(request.query_params.multi_items(), ())
        return json_answer(msgspec.json.encode(state()))

    return [setup]
