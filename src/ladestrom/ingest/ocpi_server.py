"""`/ocpi`: the router of OCPI 2.1.1, 2.2.1 and 2.3.0: whose a request is, and which module handles it.

Knows requests, tokens and turns, and the table of modules (`protocols.ocpi_modules`). Must not know what a
module does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, MutableMapping, Sequence
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
import structlog

from ladestrom.core.locations import party_of
from ladestrom.errors import LadestromError, NotReady, TooManyRequests, Unauthenticated
from ladestrom.ingest.http_push import headers_of, respond
from ladestrom.ingest.ocpi_handlers import (
    Asked,
    Handler,
    MethodNotOffered,
    ModuleServices,
    Ready,
    Receive,
    Send,
)
from ladestrom.model import Operator
from ladestrom.ports.peers import Peer
from ladestrom.protocols import ocpi, ocpi_modules
from ladestrom.protocols.interfaces import Request
from ladestrom.protocols.ocpi import Refused, Reply
from ladestrom.protocols.ocpi_modules import Module
from ladestrom.targets import load

logger = structlog.get_logger(__name__)

REQUESTS_PER_PEER_MAX: Final = 64
"""At a time; the next are told to come again."""
QUERY_FIELDS_MAX: Final = 100
"""Filters are some dozen."""
METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
"""Of all paths: another is refused to everybody, with a token or without, and told those of its path."""


class OcpiServer:
    """The ASGI application. One object per server."""

    def __init__(self, services: ModuleServices, modules: Sequence[Module]) -> None:
        """Makes the handler of each module.

        Args:
            services: what modules share.
            modules: those that are offered.
        """
        self.failures: Counter[str] = Counter()
        """Requests that were refused, by status code of OCPI."""
        self._peers = services.peers
        self._door = services.door
        self._operator = services.operator
        self._clock = services.clock
        self._settings = services.settings
        self._handlers: Mapping[Module, Handler] = {
            module: load(module.target)(services) for module in modules
        }
        self._busy: Counter[str] = Counter()
        """Requests under way, by peer."""

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """One request."""
        request = _request(scope)
        extra: tuple[tuple[str, str], ...] = ()
        reply: Reply | Ready
        try:
            reply = await self._reply(scope, request, receive)
        except Refused as error:
            reply = error.reply
            if isinstance(error, MethodNotOffered):
                extra = (("allow", ", ".join(error.methods)),)
        except Unauthenticated as error:
            reply = Reply(None, ocpi.CLIENT_ERROR, str(error), HTTPStatus.UNAUTHORIZED)
            extra = (("www-authenticate", "Token"),)
        except LadestromError as error:
            code = (
                ocpi.SERVER_ERROR if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR else ocpi.CLIENT_ERROR
            )
            reply, extra = Reply(None, code, str(error), error.status), headers_of(error)
        except Exception:
            logger.exception("an OCPI request failed", path=request.path)
            reply = Reply(
                None, ocpi.SERVER_ERROR, "an internal error stopped this request; it was logged", 500
            )
        headers = (*ocpi.echoed(request.headers), *self._routed_back(request).items(), *extra)
        if isinstance(reply, Ready):
            await reply.application(scope, receive, _adding(send, headers))
            return
        if not reply.is_success:
            self.failures[str(reply.code)] += 1
        answer = ocpi.envelope(reply, self._clock())
        await respond(send, msgspec.structs.replace(answer, headers=headers))

    def _routed_back(self, request: Request) -> dict[str, str]:
        """Whose the answer to a request of a functional module is, and whom it is for, where that said so."""
        version, _, path = request.path.partition("/")
        module = ocpi_modules.find(self._handlers, version, path.lstrip("/"))
        given, own = request.headers, self._settings.own
        sender, receiver = (
            party_of(given.get(f"ocpi-{way}-country-code"), given.get(f"ocpi-{way}-party-id"))
            for way in ("from", "to")
        )
        if sender is None or module is None or not module.functional:
            return {}
        return ocpi.routing(version, receiver or own.country_code + own.party_id, sender)

    async def _reply(
        self, scope: MutableMapping[str, Any], request: Request, receive: Receive
    ) -> Reply | Ready:
        if request.method not in METHODS:
            raise MethodNotOffered(f"{request.method[:10]} is not for this path", self._methods(request.path))
        root = self._settings.root or _root(scope, request.headers)
        query = _query(scope)
        reader = self._reader(request.headers)
        if reader is not None:
            return await self._routed(Asked(request, reader, Operator(""), "", root, receive, query=query))
        peer, token = await self._peers.authenticated(request.headers)
        operator = self._operator(peer.operator)
        if operator is None:
            raise NotReady("the operator of this token is not known yet; try again in a second")
        if self._busy[peer.id] >= REQUESTS_PER_PEER_MAX:
            raise TooManyRequests(
                f"{REQUESTS_PER_PEER_MAX} of your requests are still being processed; wait for one"
            )
        self._busy[peer.id] += 1
        try:
            return await self._routed(Asked(request, peer, operator, token, root, receive, query=query))
        finally:
            self._busy[peer.id] -= 1
            if not self._busy[peer.id]:
                del self._busy[peer.id]

    def _methods(self, path: str) -> tuple[str, ...]:
        version, _, rest = path.partition("/")
        module = ocpi_modules.find(self._handlers, version, rest.lstrip("/"))
        return ("GET",) if module is None else module.methods

    def _reader(self, headers: Mapping[str, str]) -> Peer | None:
        """Who only reads: with a key, shown as a token or as elsewhere, or as a visitor; None for others.

        Raises:
            Unauthenticated, NotAllowed: a key is not good for reading.
        """
        tokens = ocpi.presented(headers.get("authorization"))
        if tokens:
            keys = [each for each in tokens if self._door.keyring.owner(each) is not None]
            if not keys or self._peers.find(tokens) is not None:
                return None
            found = self._door.look({"x-api-key": keys[0]})
        elif "authorization" in headers or "x-api-key" in headers or self._door.visitors:
            found = self._door.look(headers)
        else:
            return None
        return Peer(
            id=f"key {found.key_id}", operator="", state=ocpi_modules.READING, token_sha256=b"", made_at=0
        )

    async def _routed(self, asked: Asked) -> Reply | Ready:
        version, _, path = asked.request.path.partition("/")
        path = path.lstrip("/")
        method = asked.request.method
        is_version = version in ocpi.VERSIONS
        # Some clients look for both beside the modules.
        if (version == "versions" and not path) or (is_version and path == "versions"):
            _only(method, ("GET",))
            return Reply(ocpi.versions(asked.root))
        if is_version and path in {"", "details"}:
            _only(method, ("GET",))
            return Reply(ocpi_modules.details(self._handlers, asked.root, version, asked.peer.state))
        module = ocpi_modules.find(self._handlers, version, path)
        if module is None:
            raise Refused("nothing is here; see the version details", ocpi.CLIENT_ERROR, HTTPStatus.NOT_FOUND)
        below = module.below(path) or ""
        _only(method, module.methods)
        if method == "GET":
            shared = ocpi_modules.sharing(self._handlers, version, path, asked.peer.state)
            module, below = shared or (module, below)
        if asked.peer.state == ocpi_modules.READING and asked.peer.state not in module.states:
            raise Unauthenticated("a key of this server reads Locations only; this needs the token of a peer")
        asked = msgspec.structs.replace(asked, version=version, path=below)
        return await self._handlers[module].answer(asked)


def _request(scope: MutableMapping[str, Any]) -> Request:
    """The request; its path is what is behind `/ocpi`, percent-encoded as it came."""
    raw: bytes = scope["raw_path"]
    path = raw.decode("latin-1").partition("?")[0].removeprefix(ocpi.PREFIX).strip("/")
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    return Request(scope["method"], path, {}, headers, b"")


def _query(scope: MutableMapping[str, Any]) -> list[tuple[str, str]]:
    raw: bytes = scope.get("query_string", b"")
    try:
        return parse_qsl(raw.decode("latin-1"), keep_blank_values=True, max_num_fields=QUERY_FIELDS_MAX)
    except ValueError:
        raise Refused(
            "the query has too many fields", ocpi.INVALID_PARAMETERS, HTTPStatus.BAD_REQUEST
        ) from None


def _adding(send: Send, headers: Sequence[tuple[str, str]]) -> Send:
    """Sends these headers too."""
    added = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]

    async def answer(message: Any) -> None:  # noqa: ANN401 - ASGI's form
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], *added]}
        await send(message)

    return answer


def _root(scope: MutableMapping[str, Any], headers: Mapping[str, str]) -> str:
    """Our address as the peer asked for it."""
    root = f"{scope.get('scheme', 'http')}://{headers.get('host', '')}"
    if not ocpi.is_address(root) or root.count("/") != 2:  # noqa: PLR2004 - those behind the scheme
        raise Refused("the header Host is not valid", ocpi.CLIENT_ERROR, HTTPStatus.BAD_REQUEST)
    return root


def _only(method: str, methods: tuple[str, ...]) -> None:
    if method not in methods:
        raise MethodNotOffered(f"{method[:10]} is not for this path", methods)
