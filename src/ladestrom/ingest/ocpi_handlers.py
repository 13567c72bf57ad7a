"""What a module of OCPI is to the router: a handler of requests, made of what modules share.

Knows requests and peers. Must not know what a module says.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Any, Final, Protocol

import msgspec

from ladestrom.credentials import Doorkeeper
from ladestrom.ingest.http_push import read_body
from ladestrom.ingest.intake import Intake
from ladestrom.ingest.location_store import LocationStore
from ladestrom.ingest.ocpi_peers import KnownPeers
from ladestrom.model import Millis, Operator
from ladestrom.outbound.calls import Calls
from ladestrom.ports.peers import Peer, Peers
from ladestrom.protocols import ocpi, ocpi_credentials, ocpi_locations
from ladestrom.protocols.delivery import ParseLimits
from ladestrom.protocols.interfaces import Request
from ladestrom.protocols.ocpi import Refused, Reply

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

BODY_BYTES_MAX: Final = ocpi_locations.DOCUMENT_BYTES_MAX


class OcpiSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the settings say of OCPI."""

    own: ocpi_credentials.Self
    root: str = ""
    """Our address as peers see it, without a slash at its end; empty: as they asked."""
    parse: ParseLimits = ParseLimits()


class Ready(msgspec.Struct, frozen=True):
    """An answer that is an application of ASGI, such as one that is sent piece by piece."""

    application: Callable[[Any, Receive, Send], Awaitable[None]]


class MethodNotOffered(Refused):
    means = (
        "The OCPI path does not support this HTTP method, or not before (or after) registration. The "
        "response is an OCPI message and does not contain this code."
    )
    advice = "Use one of the methods that the response header `Allow` lists."
    code = "ocpi_method_not_allowed"
    status = HTTPStatus.METHOD_NOT_ALLOWED

    def __init__(self, message: str, methods: tuple[str, ...]) -> None:
        super().__init__(message, ocpi.CLIENT_ERROR, HTTPStatus.METHOD_NOT_ALLOWED)
        self.methods = methods


class Asked(msgspec.Struct, frozen=True):
    """A request, and whose it is."""

    request: Request
    peer: Peer
    operator: Operator
    token: str
    root: str
    """Our address as the peer sees it, without a slash at its end."""
    receive: Receive
    version: str = ""
    path: str = ""
    """Behind the module's own, percent-encoded as it came."""
    query: Sequence[tuple[str, str]] = ()

    async def body(self) -> bytes:
        """Its body.

        Raises:
            TooLarge, BadRequest: it has none that can be used.
        """
        return await read_body(self.request.headers, self.receive, BODY_BYTES_MAX)


class Handler(Protocol):
    """One module in one role."""

    async def answer(self, asked: Asked) -> Reply | Ready:
        """Answers a request with one of the methods of the module's row.

        Raises:
            LadestromError: nothing was done.
        """
        ...


class ModuleServices(msgspec.Struct, frozen=True, kw_only=True):
    """What modules share."""

    intake: Intake
    locations: LocationStore
    store: Peers
    peers: KnownPeers
    door: Doorkeeper
    """Knows who has a key, and whether visitors are let in: they may read."""
    calls: Calls
    operator: Callable[[str], Operator | None]
    """An operator by its name, as the store has it now."""
    clock: Callable[[], Millis]
    settings: OcpiSettings
    over_view: Callable[[str], Any]
    """Makes what needs the readers' view, by its `module:attribute`."""


HandlerMaker = Callable[[ModuleServices], Handler]
