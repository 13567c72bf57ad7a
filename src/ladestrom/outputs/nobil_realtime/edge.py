"""`POST /nobil/real-time/v1/Realtime`, and the WebSocket that its answer names."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import urlencode

import msgspec
from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler

from ladestrom import tasks
from ladestrom.core.access import Scope
from ladestrom.core.selection import STATION_FILTERS, selection
from ladestrom.edges.answers import AnyRequest, asked_from, root_of
from ladestrom.edges.connection import Accepted, check_origin, foreign_origin, pairs_of, peer_of, query_of
from ladestrom.edges.documents import EVERYTHING, Form, Tally
from ladestrom.edges.output import Opened, Reading
from ladestrom.edges.query import known, whole_number
from ladestrom.edges.websocket import WebSocketConnection
from ladestrom.errors import TooManyRequests, UpgradeRequired
from ladestrom.model import Position
from ladestrom.outputs.nobil_realtime.encoder import Uids
from ladestrom.reader.subscriptions import Subscription

PATH: Final = "/nobil/real-time/v1/Realtime"
STREAM_PATH: Final = "/nobil/real-time/v1/stream"
DIALECT: Final = "realtime"
MEMBERS: Final = ("timestamp", "seq")
"""Of messages, in this order, where they are wanted."""
PARAMETERS: Final = frozenset({*STATION_FILTERS, *MEMBERS, "snapshot", "since"})
COUNTED_MS: Final = 60_000
"""EVSEs that cannot be told are counted anew when a connection is asked for so long after the last time."""
COUNT: Final[Form[None]] = Form(name="nobil_realtime", media_type="application/json", encoder=Uids)


class RealtimeAddress(msgspec.Struct, frozen=True, rename="camel"):
    """Where one connection may be made, once, within a minute."""

    access_token: str


class Wish(msgspec.Struct, frozen=True):
    """What a request wants to hear."""

    subscription: Subscription
    since: Position | None
    snapshot: bool


def wish(pairs: Iterable[tuple[str, str]]) -> Wish:
    """Reads the parameters of a request.

    Raises:
        LadestromError: one of them is unknown, or cannot be understood.
    """
    query = known(pairs, PARAMETERS)
    members = [name for name in MEMBERS if whole_number(query, name, 0, 0, 1)]
    since = query.get("since")
    return Wish(
        Subscription(
            selection(query, names=STATION_FILTERS), raw=False, dialect="+".join((DIALECT, *members))
        ),
        None if since is None else Position.parse(since),
        # Who asks to resume and cannot needs the snapshot.
        snapshot=since is not None or whole_number(query, "snapshot", 0, 0, 1) == 1,
    )


def handlers(reading: Reading) -> list[HTTPRouteHandler]:
    """Where connections are asked for, and what plain requests to the stream's path are told."""
    count = _Count(reading)

    @post(PATH, sync_to_thread=False, status_code=200)
    def realtime(request: AnyRequest) -> Response[bytes]:
        """An address that opens one connection; what the body says is not looked at."""
        credential = reading.door.credential(request.headers, Scope.STREAM)
        pairs = list(request.query_params.multi_items())
        wish(pairs)
        root = root_of(request, reading.url_public)
        # A program may pass the address on to a page, of an origin that may open streams.
        origin = foreign_origin(request.headers) if "origin" in request.headers else None
        ticket = reading.tickets.issue(credential, origin, reading.addresses.sharer(*asked_from(request)))
        count.renew(credential.key_id)
        address = f"ws{root.removeprefix('http')}{STREAM_PATH}?{urlencode([('ticket', ticket), *pairs])}"
        return Response(
            msgspec.json.encode(RealtimeAddress(address)),
            media_type="application/json",
            headers={"cache-control": "no-store"},
        )

    @get(STREAM_PATH, sync_to_thread=False)
    def plain() -> None:
        """This is a WebSocket."""
        raise UpgradeRequired(f"this path is a WebSocket; POST {PATH} answers with an address to connect to")

    return [realtime, plain]


class _Count:
    """Has EVSEs counted that cannot be told, for whoever runs the server."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._task: asyncio.Task[None] | None = None

    def renew(self, key_id: str) -> None:
        """Somebody asked for a connection."""
        reading = self._reading
        tally = reading.documents.tallies.get(COUNT.name, Tally())
        is_counting = self._task is not None and not self._task.done()
        if not is_counting and reading.clock() - tally.made_at >= COUNTED_MS:
            # Where it fails, the next one who asks has them counted.
            self._task = tasks.start(self._count(key_id), "count of EVSEs", lambda _: None)

    async def _count(self, key_id: str) -> None:
        try:
            await self._reading.documents.get(COUNT, EVERYTHING, key_id)
        except TooManyRequests:
            # The key has too many other documents made.
            return


class RealtimeConnection(WebSocketConnection):
    """One consumer, which has nothing to say."""

    kind = "realtime"

    def asked(self, target: str, headers: Mapping[str, str]) -> Accepted:
        """What the upgrade request asks for."""
        edge, pairs = self._edge, pairs_of(target)
        credential = edge.credential(headers, query_of(pairs))
        check_origin(headers, edge.origins.__contains__)
        asker = edge.admit(credential, headers, peer_of(self._transport))
        # A ticket is not looked at where a key is given; else it was redeemed.
        wanted = wish(pair for pair in pairs if pair[0] != "ticket")
        return Accepted(
            asker=asker, subscription=wanted.subscription, since=wanted.since, snapshot=wanted.snapshot
        )


def open(reading: Reading) -> Opened:  # noqa: A001 - what every output's edge is opened by
    """Addresses, and the stream."""
    return Opened(routes=handlers(reading), sockets={STREAM_PATH: RealtimeConnection}, remembers=(PATH,))
