"""Keys over HTTP: people make, look after and end their own; who runs the server sees and approves all.

Knows requests and what is told of a key. Must not know where records are kept. What a key's holder wrote
of himself is in no log and in no error.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import msgspec
import structlog
from litestar import Response, delete, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from ladestrom.clocks import steady
from ladestrom.core.access import DEMO_KEY, Scope, key_state
from ladestrom.core.key_making import DAY_MS, AddressRate, asked, self_made, successor
from ladestrom.credentials import ClientAddresses, Doorkeeper
from ladestrom.edges.answers import AnyRequest, asked_from, body_of, json_answer
from ladestrom.edges.connection import foreign_origin
from ladestrom.edges.methods import united
from ladestrom.errors import (
    KeysClosed,
    MalformedBody,
    NotAllowed,
    NotFound,
    TooManyRequests,
    UnsupportedMediaType,
)
from ladestrom.formats.wire import instant
from ladestrom.model import Millis
from ladestrom.ports.keys import KeyRecord
from ladestrom.ports.stores import Store
from ladestrom.quoting import quoted
from ladestrom.tasks import background

logger = structlog.get_logger(__name__)

SECRET_BYTES: Final = 32
ID_BYTES: Final = 8
BODY_BYTES_MAX: Final = 8 * 1024
"""A name, an e-mail and a purpose, every character of them escaped."""
BODY_S_MAX: Final = 10
OVERLAP_MS: Final = DAY_MS
"""A program that is restarted once a day has the new key then."""
ROWS_PER_TURN: Final = 500
"""Keys told before other work of the loop gets its turn: some 3 ms."""

State = Literal["live", "pending", "expired", "revoked"]


class KeyRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What somebody says who wants a key."""

    name: str
    email: str | None = None
    purpose: str | None = None


class KeyLimits(msgspec.Struct, frozen=True):
    """What a key's holder can count on."""

    consumers_per_key_max: int
    inbound_bytes_max: int
    inbound_messages_per_minute_max: int


class MadeKey(msgspec.Struct, frozen=True):
    """A key that was just made. Its text is told this once."""

    id: str
    key: str
    name: str
    state: State
    scopes: tuple[str, ...]
    expires_at: str | None
    limits: KeyLimits


class RotatedKey(MadeKey, frozen=True):
    """The key that follows another one. Its text is told this once."""

    overlap_until: str | None


class KeyUse(msgspec.Struct, frozen=True):
    """What was done with a key."""

    connections: int
    connections_total: int
    messages: int
    bytes: int
    requests: int
    refused: int
    since: str | None


class OwnKey(msgspec.Struct, frozen=True):
    """A key, as its holder sees it."""

    id: str
    name: str
    state: State
    scopes: tuple[str, ...]
    operator: str | None
    created_at: str | None
    expires_at: str | None
    last_used_at: str | None
    limits: KeyLimits
    use: KeyUse


class KeyRow(msgspec.Struct, frozen=True):
    """A key, as whoever runs the server sees it."""

    id: str
    name: str
    email: str | None
    purpose: str | None
    self_made: bool
    state: State
    scopes: tuple[str, ...]
    operator: str | None
    created_at: str | None
    expires_at: str | None
    last_used_at: str | None


class KeyList(msgspec.Struct, frozen=True):
    """All keys, the oldest first, those that ended too."""

    items: list[KeyRow]


class KeyPolicy(msgspec.Struct, frozen=True):
    """Who may make keys."""

    policy: Literal["closed", "approval", "open"] = "closed"
    per_address_per_hour_max: int = 5
    per_address_per_day_max: int = 10
    self_made_max: int = 10_000
    days: int = 365
    contact: str = ""
    """Whom to ask for one."""
    url_public: str = ""


class KeyServices(msgspec.Struct):
    """What the endpoints need of the server. Policy and limits are replaced when settings change."""

    door: Doorkeeper
    addresses: ClientAddresses
    store: Store
    policy: KeyPolicy
    limits: KeyLimits
    use: Callable[[str], KeyUse]
    """Of a key, by its id."""
    changed: Callable[[], Awaitable[None]]
    """Has the server take what was written to the store; it never fails."""
    clock: Callable[[], Millis]
    random_bytes: Callable[[int], bytes]
    steady: Callable[[], Millis] = steady
    """A clock that nobody sets, for rates."""


def handlers(services: KeyServices) -> list[HTTPRouteHandler]:
    """The route handlers."""
    return united([*_own(services), *_all(services)])


def _own(services: KeyServices) -> list[HTTPRouteHandler]:
    door = services.door
    rate = AddressRate(services.policy.per_address_per_hour_max, services.policy.per_address_per_day_max)

    def count(request: AnyRequest) -> None:
        wait_s = rate.admit(services.addresses.network(*asked_from(request)), services.steady())
        if wait_s:
            raise TooManyRequests(
                f"this IP address: {services.policy.per_address_per_hour_max} keys an hour, "
                f"{services.policy.per_address_per_day_max} a day; try again in {wait_s} s",
                retry_after_s=wait_s,
            )

    @post("/api/v2/keys", status_code=201, request_max_body_size=BODY_BYTES_MAX)
    async def make(request: AnyRequest) -> Response[bytes]:
        """A key that reads, for whoever asks, where that is allowed."""
        if services.policy.policy == "closed":
            who = services.policy.contact or "who runs this server"
            raise KeysClosed(f"this server does not issue keys automatically; ask {who} for one")
        _check_page(request, services.policy.url_public)
        wanted = await _read(request)
        now = services.clock()
        text, record = self_made(
            services.random_bytes(SECRET_BYTES),
            services.random_bytes(ID_BYTES),
            asked(wanted.name, wanted.email, wanted.purpose),
            now,
            days=services.policy.days,
            approved=services.policy.policy == "open",
        )
        count(request)
        await services.store.put_key(record, self_made_max=services.policy.self_made_max)
        await services.changed()
        logger.info("a visitor created a key", id=record.id, state=key_state(record, now))
        return json_answer(msgspec.json.encode(MadeKey(**_made(services, text, record, now))))

    @get("/api/v2/keys/self", sync_to_thread=False)
    def own(request: AnyRequest) -> Response[bytes]:
        """The key that the request carries."""
        record = door.holder(request.headers)
        use = door.use(record.id)
        told = OwnKey(
            id=record.id,
            name=record.name,
            state=key_state(record, services.clock()),
            scopes=record.scopes,
            operator=record.operator,
            created_at=instant(record.created_at or None),
            expires_at=instant(record.expires_at),
            last_used_at=instant(use.last_used_at or record.last_used_at),
            limits=services.limits,
            use=services.use(record.id),
        )
        return json_answer(msgspec.json.encode(told))

    @post("/api/v2/keys/self/rotate", status_code=201)
    async def rotate(request: AnyRequest) -> Response[bytes]:
        """A second key with the same rights; the one that the request carries ends a day later."""
        old = door.holder(request.headers, waiting=False)
        _refuse_demo(old)
        now = services.clock()
        count(request)
        # Never longer than it was to be: what somebody was let in for does not grow by itself.
        text, record = successor(
            services.random_bytes(SECRET_BYTES), services.random_bytes(ID_BYTES), old, now, old.expires_at
        )
        await services.store.put_key(
            record, self_made_max=services.policy.self_made_max if old.self_made else None
        )
        ends_at = now + OVERLAP_MS if old.expires_at is None else min(old.expires_at, now + OVERLAP_MS)
        await services.store.expire_key(old.id, ends_at)
        await services.changed()
        logger.info("a key was rotated by its holder", id=old.id, successor=record.id)
        told = RotatedKey(**_made(services, text, record, now), overlap_until=instant(ends_at))
        return json_answer(msgspec.json.encode(told))

    @delete("/api/v2/keys/self")
    async def end(request: AnyRequest) -> None:
        """Ends the key that the request carries; its connections are cut."""
        record = door.holder(request.headers)
        _refuse_demo(record)
        await services.store.revoke_key(record.id, services.clock())
        await services.changed()
        logger.info("a key was revoked by its holder", id=record.id)

    return [make, own, rotate, end]


def _all(services: KeyServices) -> list[HTTPRouteHandler]:
    door, store = services.door, services.store

    @get("/api/v2/keys")
    async def every(request: AnyRequest) -> Response[bytes]:
        """All keys, without what is secret of them."""
        door.credential(request.headers, Scope.ADMIN)
        now = services.clock()
        rows: list[KeyRow] = []
        for number, record in enumerate(await store.keys()):
            rows.append(_row(record, now))
            if number % ROWS_PER_TURN == 0:
                await background().turn()
        return json_answer(msgspec.json.encode(KeyList(rows)))

    @post("/api/v2/keys/{key_id:str}/approve", status_code=200)
    async def approve(request: AnyRequest, key_id: FromPath[str]) -> Response[bytes]:
        """Makes a key good that waits."""
        by = door.credential(request.headers, Scope.ADMIN)
        now = services.clock()
        await store.approve_key(key_id, now)
        await services.changed()
        logger.info("a key was approved", id=key_id, by=by.key_id)
        for record in await store.keys():
            if record.id == key_id:
                return json_answer(msgspec.json.encode(_row(record, now)))
        raise NotFound(f"there is no key {quoted(key_id, 40)} any more")

    @delete("/api/v2/keys/{key_id:str}")
    async def revoke(request: AnyRequest, key_id: FromPath[str]) -> None:
        """Ends a key for good; its connections are cut."""
        by = door.credential(request.headers, Scope.ADMIN)
        await store.revoke_key(key_id, services.clock())
        await services.changed()
        logger.info("a key was revoked", id=key_id, by=by.key_id)

    return [every, approve, revoke]


def _check_page(request: AnyRequest, url_public: str) -> None:
    """A page of others must not make keys with its visitors' browsers.

    Raises:
        NotAllowed: the request is a foreign page's.
    """
    origin = foreign_origin(request.headers)
    own = urlsplit(url_public)
    if origin and origin != f"{own.scheme}://{own.netloc}":
        raise NotAllowed(
            f"pages of {quoted(origin, 100)} may not create keys here; open this server's own page"
        )


async def _read(request: AnyRequest) -> KeyRequest:
    """What the body asks for.

    Raises:
        UnsupportedMediaType: it is not JSON by its header, as the form of a foreign page would not be.
        MalformedBody: it is not what it has to be.
        TooLarge: it is larger than `BODY_BYTES_MAX`.
        BadRequest: it did not arrive, or not in time.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise UnsupportedMediaType("send JSON, with the header Content-Type: application/json")
    body = await body_of(request, BODY_S_MAX)
    try:
        return msgspec.json.decode(body, type=KeyRequest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedBody(f"the body is not what a key is asked for with: {error}") from None


def _refuse_demo(record: KeyRecord) -> None:
    if record.id == DEMO_KEY:
        raise NotAllowed("the key of the demo is shared by everyone and cannot be changed")


def _made(services: KeyServices, text: str, record: KeyRecord, now: Millis) -> dict[str, Any]:
    return {
        "id": record.id,
        "key": text,
        "name": record.name,
        "state": key_state(record, now),
        "scopes": record.scopes,
        "expires_at": instant(record.expires_at),
        "limits": services.limits,
    }


def _row(record: KeyRecord, now: Millis) -> KeyRow:
    return KeyRow(
        id=record.id,
        name=record.name,
        email=record.email,
        purpose=record.purpose,
        self_made=record.self_made,
        state=key_state(record, now),
        scopes=record.scopes,
        operator=record.operator,
        created_at=instant(record.created_at),
        expires_at=instant(record.expires_at),
        last_used_at=instant(record.last_used_at),
    )
