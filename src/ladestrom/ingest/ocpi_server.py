"""`/ocpi`: the Receiver of OCPI 2.1.1, 2.2.1 and 2.3.0, and the registration of its peers.

Knows requests, tokens and turns. What a message means is `protocols.ocpi_*`; where peers and Locations are
kept is the store's. A Location's statuses are durable before its sender is answered, and so is the Location.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from http import HTTPStatus
from typing import Any, Final

import msgspec
import structlog

from ladestrom import tasks
from ladestrom.core.locations import native_id, party_of
from ladestrom.errors import (
    BadRequest,
    Conflict,
    LadestromError,
    NotReady,
    SourceFailure,
    TooManyRequests,
    Unauthenticated,
)
from ladestrom.ingest.http_poll import ANYWHERE, PUBLIC_ONLY
from ladestrom.ingest.http_push import headers_of, read_body, respond
from ladestrom.ingest.intake import Intake, feed_of
from ladestrom.ingest.location_store import LocationStore
from ladestrom.ingest.supervision import SourceIdentity
from ladestrom.model import Millis, Operator, Order
from ladestrom.outbound.calls import Calls
from ladestrom.ports.peers import Peer, Peers
from ladestrom.ports.sources import SourceRecord
from ladestrom.protocols import ocpi, ocpi_credentials, ocpi_locations, ocpi_pull, ocpi_receiver
from ladestrom.protocols.delivery import ParseLimits
from ladestrom.protocols.interfaces import Request
from ladestrom.protocols.ocpi import Refused, Reply

logger = structlog.get_logger(__name__)

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

PROTOCOL: Final = "ocpi"
BODY_BYTES_MAX: Final = ocpi_locations.DOCUMENT_BYTES_MAX
REQUESTS_PER_PEER_MAX: Final = 64
"""At a time; the next are told to come again."""
READ_AGAIN_S: Final = 0.2
"""How often the peers are read for the sake of a token that is not known: it may be a minute old."""
TOKEN_PREFIX: Final = "lst_ocpi_"  # noqa: S105 - what tokens begin with, so that none is ever logged
TOKEN_BYTES: Final = 24
DELIVERING: Final = frozenset({"registered", "fixed"})
"""States in which a peer's statuses count."""
LOCATION_METHODS: Final = ("GET", "PUT", "PATCH")
CREDENTIALS_METHODS: Final = ("GET", "POST", "PUT", "DELETE")
METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
"""Of all paths: another is refused to everybody, with a token or without."""
VERSIONS_PATH: Final = f"{ocpi.PREFIX}/versions"


class OcpiSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the settings say of OCPI."""

    own: ocpi_credentials.Self
    root: str = ""
    """Our address as peers see it, without a slash at its end; empty: as they asked."""
    parse: ParseLimits = ParseLimits()


def new_token() -> str:
    """A token for a peer to show."""
    return TOKEN_PREFIX + secrets.token_hex(TOKEN_BYTES)


def digest(token: str) -> bytes:
    """What is kept of a token that a peer shows."""
    return hashlib.sha256(token.encode("ascii")).digest()


class _NotAllowed(Refused):
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


class _Asked(msgspec.Struct, frozen=True):
    """A request, and whose it is."""

    request: Request
    peer: Peer
    operator: Operator
    token: str
    root: str
    receive: Receive

    async def body(self) -> bytes:
        """Its body.

        Raises:
            TooLarge, BadRequest: it has none that can be used.
        """
        return await read_body(self.request.headers, self.receive, BODY_BYTES_MAX)


class OcpiServer:
    """The ASGI application. One object per server."""

    def __init__(
        self,
        intake: Intake,
        locations: LocationStore,
        peers: Peers,
        calls: Calls,
        operator: Callable[[str], Operator | None],
        clock: Callable[[], Millis],
        settings: OcpiSettings,
    ) -> None:
        """Knows no peer yet: `follow` tells of them.

        Args:
            intake: where statuses go.
            locations: where Locations are kept.
            peers: where peers are kept.
            calls: what calls peers that register.
            operator: finds an operator by its name.
            clock: gives the receive times.
            settings: who we are.
        """
        self.failures: Counter[str] = Counter()
        """Requests that were refused, by status code of OCPI."""
        self.locations = locations
        self._intake = intake
        self._peers = peers
        self._calls = calls
        self._operator = operator
        self._clock = clock
        self._settings = settings
        self._by_token: dict[bytes, Peer] = {}
        self._left: set[str] = set()
        """Operators whose last peer left, until what it told is unknown."""
        self._busy: Counter[str] = Counter()
        self._registering: dict[str, asyncio.Lock] = {}
        self._read_at = 0.0
        self._reading: asyncio.Task[None] | None = None

    def follow(self, peers: Iterable[Peer]) -> None:
        """Takes the peers as the store has them: what is gone may nothing from now on.

        What an operator told whose last peer left is to be signed off then (`sign_off_left`).
        """
        before = {peer.operator for peer in self._by_token.values() if peer.state in DELIVERING}
        self._by_token = {peer.token_sha256: peer for peer in peers}
        here = {peer.operator for peer in self._by_token.values() if peer.state in DELIVERING}
        self._left = (self._left | before) - here
        self._registering = {name: lock for name, lock in self._registering.items() if lock.locked()}

    async def sign_off_left(self) -> None:
        """What operators told whose last peer left is unknown.

        Raises:
            NotReady: that could not be logged; the next call tries it again.
        """
        for name in sorted(self._left):
            evses: list[str] = []
            after = ""
            while some := await self._peers.locations(name, after):
                for after, document in some:  # noqa: B007 - the last is where the next ones begin
                    evses += ocpi_locations.evse_ids(document)
            operator = self._operator(name) or Operator(name)
            feed = feed_of(operator, SourceIdentity.push(name, PROTOCOL), Order.UPDATES).name
            await self._intake.sign_off(operator, feed, evses)
            self._left.discard(name)

    async def drain(self) -> None:
        """Returns when every Location that was taken is stored."""
        await self.locations.drain()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """One request."""
        request = _request(scope)
        extra: tuple[tuple[str, str], ...] = ()
        try:
            reply = await self._reply(scope, request, receive)
        except Refused as error:
            reply = error.reply
            if isinstance(error, _NotAllowed):
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
        if not reply.is_success:
            self.failures[str(reply.code)] += 1
        answer = ocpi.envelope(reply, self._clock(), request.headers)
        routed = self._routed_back(request).items()
        await respond(send, msgspec.structs.replace(answer, headers=(*answer.headers, *routed, *extra)))

    def _routed_back(self, request: Request) -> dict[str, str]:
        """Whose the answer to a request of a functional module is, and whom it is for, where that said so."""
        version, _, module = request.path.partition("/")
        given, own = request.headers, self._settings.own
        sender, receiver = (
            party_of(given.get(f"ocpi-{way}-country-code"), given.get(f"ocpi-{way}-party-id"))
            for way in ("from", "to")
        )
        if sender is None or not module.lstrip("/").startswith("locations"):
            return {}
        return ocpi.routing(version, receiver or own.country_code + own.party_id, sender)

    async def _reply(self, scope: MutableMapping[str, Any], request: Request, receive: Receive) -> Reply:
        _only(request.method, METHODS)
        peer, token = await self._authenticated(request.headers)
        operator = self._operator(peer.operator)
        if operator is None:
            raise NotReady("the operator of this token is not known yet; try again in a second")
        if self._busy[peer.id] >= REQUESTS_PER_PEER_MAX:
            raise TooManyRequests(
                f"{REQUESTS_PER_PEER_MAX} of your requests are still being processed; wait for one"
            )
        self._busy[peer.id] += 1
        try:
            root = self._settings.root or _root(scope, request.headers)
            asked = _Asked(request, peer, operator, token, root, receive)
            return await self._routed(asked)
        finally:
            self._busy[peer.id] -= 1
            if not self._busy[peer.id]:
                del self._busy[peer.id]

    async def _routed(self, asked: _Asked) -> Reply:
        first, _, rest = asked.request.path.partition("/")
        method = asked.request.method
        if first == "versions" and not rest:
            _only(method, ("GET",))
            return Reply(ocpi.versions(asked.root))
        module, _, rest = rest.lstrip("/").partition("/")
        if first in ocpi.VERSIONS and not module:
            _only(method, ("GET",))
            return Reply(ocpi.details(asked.root, first, has_credentials=asked.peer.state != "fixed"))
        if first in ocpi.VERSIONS and module == "credentials" and not rest.strip("/"):
            _only(method, CREDENTIALS_METHODS)
            return await self._credentials(asked, first)
        if first in ocpi.VERSIONS and module == "locations":
            _only(method, LOCATION_METHODS)
            return await self._locations(asked, first, rest)
        raise Refused("nothing is here; see the version details", ocpi.CLIENT_ERROR, HTTPStatus.NOT_FOUND)

    # -- who it is ---------------------------------------------------------------------------------------

    async def _authenticated(self, headers: Mapping[str, str]) -> tuple[Peer, str]:
        tokens = ocpi.presented(headers.get("authorization"))
        if not tokens:
            raise Unauthenticated("write: Authorization: Token TOKEN, in Base64 from OCPI 2.2 on")
        found = self._find(tokens)
        if found is None:
            await self._read_again()
            found = self._find(tokens)
        if found is None:
            raise Unauthenticated("the token is unknown or no longer valid")
        return found

    def _find(self, tokens: Iterable[str]) -> tuple[Peer, str] | None:
        for token in tokens:
            peer = self._by_token.get(digest(token))
            if peer is not None:
                return peer, token
        return None

    async def _read_again(self) -> None:
        """Reads the peers: whoever is being registered may call before the server was told of its token."""
        if self._reading is None or self._reading.done():
            self._reading = tasks.start(self._read(), "reading of OCPI peers", tasks.awaited)
        await asyncio.shield(self._reading)

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, self._read_at + READ_AGAIN_S - loop.time()))
        self._read_at = loop.time()
        self.follow(await self._peers.every())

    # -- the module credentials --------------------------------------------------------------------------

    async def _credentials(self, asked: _Asked, version: str) -> Reply:
        method, state = asked.request.method, asked.peer.state
        if state == "fixed":
            raise _NotAllowed("your token is permanent; there are no credentials to exchange", ())
        if method == "GET":
            return self._own(asked, asked.token, version)
        if method == "POST" and state != "invited":
            raise _NotAllowed("you are registered; PUT changes your credentials", ("GET", "PUT", "DELETE"))
        if method != "POST" and state != "registered":
            raise _NotAllowed("you are not registered; POST your credentials", ("GET", "POST"))
        lock = self._registering.setdefault(asked.peer.id, asyncio.Lock())
        if lock.locked():
            raise Refused(
                "your previous registration request is still being processed",
                ocpi.CLIENT_ERROR,
            )
        async with lock:
            if method == "DELETE":
                return await self._unregister(asked)
            return await self._register(asked, version)

    async def _register(self, asked: _Asked, version: str) -> Reply:
        """Calls the peer back with its new token, and gives it one of ours (OCPI 2.2.1, section 7.1.2)."""
        said = ocpi_credentials.read(await asked.body())
        try:
            met = await self._calls.run(ocpi_credentials.introduce(said.url, said.token, version))
        except SourceFailure as error:
            raise Refused(str(error), ocpi.UNUSABLE_API) from error
        token = new_token()
        peer = msgspec.structs.replace(
            asked.peer,
            state="registered",
            token_sha256=digest(token),
            their_token=said.token,
            their_url=said.url,
            version=met.version,
            endpoints=tuple((each.identifier, each.role or "", each.url) for each in met.endpoints),
            roles=tuple((role.role, role.party, role.name) for role in said.roles),
            registered_at=self._clock(),
        )
        try:
            await self._peers.put(peer, instead_of=asked.peer.token_sha256)
        except Conflict as error:
            raise Refused("another request has registered you in the meantime", ocpi.CLIENT_ERROR) from error
        self.follow(await self._peers.every())
        logger.info("an OCPI peer registered", peer=peer.id, operator=peer.operator, version=met.version)
        return self._own(asked, token, version)

    async def _unregister(self, asked: _Asked) -> Reply:
        """Forgets the peer: what it told is not known any more."""
        await self._peers.drop(asked.peer.id)
        self.follow(await self._peers.every())
        await self.sign_off_left()
        logger.info("an OCPI peer unregistered", peer=asked.peer.id, operator=asked.peer.operator)
        return Reply()

    def _own(self, asked: _Asked, token: str, version: str) -> Reply:
        url = f"{asked.root}{VERSIONS_PATH}"
        return Reply(ocpi_credentials.write(self._settings.own, token, url, version))

    # -- the module locations ----------------------------------------------------------------------------

    async def _locations(self, asked: _Asked, version: str, path: str) -> Reply:
        if asked.peer.state == "invited":
            raise Unauthenticated("this token is for the registration only; POST your credentials first")
        where = ocpi_receiver.target(path)
        self._check_party(asked.peer, asked.operator, where.party)
        key = (asked.operator.name, native_id(where.party, where.location))
        if asked.request.method == "GET":
            async with self.locations.held(key) as document:
                return ocpi_receiver.get(document, where)
        body = await asked.body()
        async with self.locations.held(key) as document:
            # The body took its time, and so did those who changed this Location before.
            operator = self._still(asked, where.party)
            sent = ocpi_receiver.Sent(
                body=body,
                version=version,
                source=operator.name,
                received_at=self._clock(),
                limits=self._settings.parse,
                with_stations=operator.may_register,
            )
            change = ocpi_receiver.put if asked.request.method == "PUT" else ocpi_receiver.patch
            try:
                outcome = change(document, where, sent)
            except Refused as error:
                if error.reply.code != ocpi.UNKNOWN_LOCATION:
                    self._unreadable(asked, sent.body, error)
                raise
            made = document if outcome.document is None else outcome.document
            records = await self.locations.records(operator.name)
            # Others of this operator's requests have to know now what this Location lists.
            records.put(key[1], document, made)
            try:
                delivery = self.locations.settled(records, operator, outcome.delivery)
                receipt = await self._intake.take(operator, delivery, protocol=PROTOCOL)
                if made is not None and made != document:
                    await self.locations.put(key, made, document)
            except BaseException:
                records.put(key[1], made, document)
                raise
        return ocpi_receiver.told(outcome, receipt)

    def _still(self, asked: _Asked, party: str) -> Operator:
        """The operator of a request, with the rights that it has now.

        Raises:
            Unauthenticated: its token is not good any more.
            Refused: it may not speak for this party any more.
        """
        peer = self._by_token.get(digest(asked.token))
        operator = None if peer is None or peer.id != asked.peer.id else self._operator(peer.operator)
        if peer is None or operator is None or peer.state not in DELIVERING:
            raise Unauthenticated("the token is no longer valid")
        self._check_party(peer, operator, party)
        return operator

    def _check_party(self, peer: Peer, operator: Operator, party: str) -> None:
        roles = tuple(ocpi_credentials.Role(*role) for role in peer.roles)
        if operator.all or ocpi_credentials.allowed(roles, operator.parties, party):
            return
        if not roles and operator.prefixes:
            # A peer with a fixed token has told no roles; whose its EVSEs are is looked at one by one.
            return
        raise Refused(
            f"{party[:2]}*{party[2:]} is not one of your parties", ocpi.UNKNOWN_LOCATION, HTTPStatus.NOT_FOUND
        )

    def _unreadable(self, asked: _Asked, body: bytes, error: Refused) -> None:
        said = BadRequest(str(error))
        self._intake.unreadable(asked.operator, PROTOCOL, body, said, asked.request)


def reconciled(peers: Iterable[Peer], every_s: int, *, anywhere: bool) -> list[SourceRecord]:
    """Sources that ask each registered peer for everything, `every_s` apart; none where that is 0.

    `anywhere` is whether their addresses may be private ones.
    """
    found: list[SourceRecord] = []
    for peer in peers if every_s else ():
        endpoints = [ocpi.Endpoint(identifier, url, role) for identifier, role, url in peer.endpoints]
        locations = ocpi.endpoint(endpoints, "locations", "SENDER")
        if peer.state != "registered" or locations is None or peer.their_token is None:
            continue
        options = {"whole_every_s": "0", ocpi_pull.VERSION: peer.version or ""}
        options[ANYWHERE if anywhere else PUBLIC_ONLY] = "yes"
        cpos = [party for role, party, _ in peer.roles if role == "CPO"]
        if asked := cpos or [party for _, party, _ in peer.roles]:
            options[ocpi_pull.TO] = asked[0]
        if peer.version in ocpi_credentials.FLAT and peer.roles:
            options["party"] = peer.roles[0][1]
        registered_at = peer.registered_at or peer.made_at
        found.append(
            SourceRecord(
                name=f"ocpi:{peer.id}",
                operator=peer.operator,
                protocol=PROTOCOL,
                address=locations.url,
                options=options,
                secret=peer.their_token,
                poll_s=every_s,
                added_at=registered_at,
                changed_at=registered_at,
            )
        )
    return found


def _request(scope: MutableMapping[str, Any]) -> Request:
    """The request; its path is what is behind `/ocpi`, percent-encoded as it came."""
    raw: bytes = scope["raw_path"]
    path = raw.decode("latin-1").partition("?")[0].removeprefix(ocpi.PREFIX).strip("/")
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    return Request(scope["method"], path, {}, headers, b"")


def _root(scope: MutableMapping[str, Any], headers: Mapping[str, str]) -> str:
    """Our address as the peer asked for it."""
    root = f"{scope.get('scheme', 'http')}://{headers.get('host', '')}"
    if not ocpi.is_address(root) or root.count("/") != 2:  # noqa: PLR2004 - those behind the scheme
        raise Refused("the header Host is not valid", ocpi.CLIENT_ERROR, HTTPStatus.BAD_REQUEST)
    return root


def _only(method: str, methods: tuple[str, ...]) -> None:
    if method not in methods:
        raise _NotAllowed(f"{method[:10]} is not for this path", methods)
