"""Version 2 of the stream: what its requests say, over WebSocket and as server-sent events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Final

import msgspec
from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler

from ladestrom.core.access import VISITOR
from ladestrom.core.features import only_of_lists
from ladestrom.core.selection import EVSE_FILTERS, selection, values
from ladestrom.credentials import TICKET_S, ClientAddresses, Doorkeeper, Tickets
from ladestrom.edges.answers import AnyRequest, asked_from
from ladestrom.edges.connection import (
    Accepted,
    StreamEdge,
    check_origin,
    foreign_origin,
    pairs_of,
    peer_of,
    query_of,
)
from ladestrom.edges.cors import TICKETS_PATH
from ladestrom.edges.events import EventConnection
from ladestrom.edges.output import Opened, Reading
from ladestrom.edges.query import known, whole_number
from ladestrom.edges.websocket import WebSocketConnection
from ladestrom.errors import (
    BadRequest,
    InvalidPosition,
    LadestromError,
    PositionLost,
    Unauthenticated,
    UpgradeRequired,
)
from ladestrom.model import Millis, Position
from ladestrom.outputs.stream_v2.encoder import decode_select, refused
from ladestrom.problem import without_keys
from ladestrom.quoting import did_you_mean, quoted
from ladestrom.reader.subscriptions import Subscription

STREAM_PATH: Final = "/api/v2/stream"
EVENTS_PATH: Final = "/api/v2/events"
DIALECT: Final = "v2"
RECORDS_DIALECT: Final = "v2+stations"
BATCH_MS: Final = 100
BATCH_MS_MAX: Final = 1_000
MODES: Final = frozenset({"latest", "every"})
PARAMETERS: Final = frozenset({*EVSE_FILTERS, "batch_ms", "include", "mode", "on_reset", "since", "ticket"})
RESETS: Final = frozenset({"snapshot", "refuse"})
"""What is done for one who resumes from a position that is lost."""
INCLUDED: Final = frozenset({"stations"})
NOWHERE: Final = Position("", 0)
"""A position of no epoch."""


class Ticket(msgspec.Struct, frozen=True):
    """Opens one stream, once, in `?ticket=`."""

    ticket: str
    expires_in_s: int


def handlers(door: Doorkeeper, tickets: Tickets, addresses: ClientAddresses) -> list[HTTPRouteHandler]:
    """The route handlers for tickets, and for requests that are none for a stream."""

    @get(STREAM_PATH, sync_to_thread=False)
    def plain() -> None:
        """This is a WebSocket."""
        raise UpgradeRequired("this path is a WebSocket; connect with ws:// or wss://")

    @get(EVENTS_PATH, sync_to_thread=False)
    def elsewhere() -> None:
        """Events, asked for by another form of their address; in this one the server answers by itself."""
        raise BadRequest(f"write {EVENTS_PATH} as it is, without a host before it and without percent signs")

    @post(TICKETS_PATH, sync_to_thread=False, status_code=200)
    def ticket(request: AnyRequest) -> Response[bytes]:
        """A single-use ticket for a stream, for pages of the request's own origin."""
        credential = door.look(request.headers)
        origin = foreign_origin(request.headers)
        if credential.key_id == VISITOR.key_id and (origin or "origin" not in request.headers):
            # A foreign page must not use up the places that visitors of ours have.
            raise Unauthenticated("the key is missing; only pages of this server get tickets without one")
        known(request.query_params.multi_items(), ())
        address = addresses.sharer(*asked_from(request))
        issued = Ticket(tickets.issue(credential, origin, address), TICKET_S)
        return Response(
            msgspec.json.encode(issued),
            media_type="application/json",
            headers={"cache-control": "no-store"},
        )

    return [plain, elsewhere, ticket]


def read_request(
    edge: StreamEdge, target: str, headers: Mapping[str, str], peer: str, admits: Callable[[str], bool]
) -> Accepted:
    """Checks a request for version 2: key or ticket, origin, filters, mode; names of headers in lower case.

    `admits` says of pages of which other origins it may come.

    Raises:
        LadestromError: refused before anything was sent, with the error's HTTP status.
    """
    pairs = pairs_of(target)
    credential = edge.credential(headers, query_of(pairs))
    check_origin(headers, admits)
    asker = edge.admit(credential, headers, peer)
    only_of_lists(name for name, _ in pairs)
    # A ticket is not looked at where a key is given; else it was redeemed.
    query = known((pair for pair in pairs if pair[0] != "ticket"), PARAMETERS)
    mode = _choice(query, "mode", "latest", MODES)
    on_reset = _choice(query, "on_reset", "snapshot", RESETS)
    included = (
        [_known("include", word, INCLUDED) for word in values("include", query["include"])]
        if (query.get("include", "").strip())
        else []
    )
    batch_ms = whole_number(query, "batch_ms", BATCH_MS, 0, BATCH_MS_MAX)
    dialect = RECORDS_DIALECT if included else DIALECT
    subscription = Subscription(
        selection(query, names=EVSE_FILTERS), raw=False, dialect=dialect, batch_ms=batch_ms
    )
    since, every = _since(headers.get("last-event-id"), query.get("since")), mode == "every"
    if since is not None and on_reset == "refuse":
        oldest = edge.broadcast.lost(since, subscription, every=every)
        if oldest is not None:
            asked = query.get("since", headers.get("last-event-id", ""))
            raise PositionLost(
                f"{quoted(asked, 60)} cannot be resumed; the oldest position that can be is {oldest}"
            )
    return Accepted(
        asker=asker,
        subscription=subscription,
        since=since,
        every=every,
        first=tuple(edge.broadcast.greeting(dialect)),
    )


def _choice(query: Mapping[str, str], name: str, default: str, words: AbstractSet[str]) -> str:
    return _known(name, query.get(name, default), words)


def _known(name: str, word: str, words: AbstractSet[str]) -> str:
    """A word that a parameter may have.

    Raises:
        BadRequest: it is another one.
    """
    if word not in words:
        hint = did_you_mean(word, sorted(words))
        raise BadRequest(f"{name}={quoted(word, 20)} is unknown{hint}; write {' or '.join(sorted(words))}")
    return word


def _since(last_event_id: str | None, since: str | None) -> Position | Millis | None:
    """Where a consumer resumes: a position, or an instant.

    A browser sends `Last-Event-ID` by itself, and gives up for good when its request is refused: what is no
    position of ours is one that cannot be resumed.

    Raises:
        InvalidPosition: `since` is neither.
    """
    if not last_event_id:
        return None if since is None else _position_or_instant(since)
    try:
        return Position.parse(last_event_id)
    except InvalidPosition:
        return NOWHERE


def _position_or_instant(since: str) -> Position | Millis:
    try:
        return Position.parse(since)
    except InvalidPosition as error:
        try:
            at = datetime.fromisoformat(since)
        except ValueError:
            raise InvalidPosition(f"{error}, or an instant with its zone (2026-11-29T08:00:00Z)") from None
    if at.tzinfo is None:
        raise InvalidPosition(f"{quoted(since, 40)} has no zone; write 2026-11-29T08:00:00Z")
    return max(0, int(at.timestamp() * 1000))


class V2StreamConnection(WebSocketConnection):
    """One consumer of version 2 over WebSocket."""

    kind = "v2"

    def asked(self, target: str, headers: Mapping[str, str]) -> Accepted:
        """What the upgrade request asks for."""
        admits = self._edge.origins.__contains__
        return read_request(self._edge, target, headers, peer_of(self._transport), admits)

    _waiting: str | None = None
    """A message to be answered once what was sent before has been taken."""

    def received(self, text: str) -> None:
        """`select`: another selection from now on.

        Each is answered by a snapshot, so that while the consumer takes nothing only the newest one waits.
        """
        if not self.paused:
            self._select(text)
            return
        if self._waiting is not None:
            self._complain("superseded", "a newer message came before this one could be answered")
        self._waiting = text

    def caught_up(self) -> None:
        """The consumer has taken what waited: its message is answered."""
        super().caught_up()
        if self._waiting is not None and not self.paused and not self._closing:
            text, self._waiting = self._waiting, None
            self._select(text)

    def _select(self, text: str) -> None:
        subscriber = self._subscriber
        if subscriber is None:
            return
        try:
            asked = decode_select(text)
            filters = {name: value for name, value in msgspec.structs.asdict(asked).items() if value}
            wanted = selection(filters, names=EVSE_FILTERS)
            subscription = msgspec.structs.replace(subscriber.channel.subscription, selection=wanted)
            self.reselect(subscriber, subscription)
        except LadestromError as error:
            self._complain(error.code, str(error))
        except (msgspec.DecodeError, RecursionError) as error:
            self._complain("bad_request", f"not understood: {error}")

    def _complain(self, code: str, detail: str) -> None:
        if self._subscriber is not None:
            told = without_keys(detail.encode()).decode()
            self._edge.broadcast.tell(self._subscriber, refused(code, told))


class V2EventConnection(EventConnection):
    """One consumer of version 2 as server-sent events."""

    kind = "events"

    def asked(self, target: str, headers: Mapping[str, str]) -> Accepted:
        """What the request asks for."""
        return read_request(self._edge, target, headers, peer_of(self._transport), self._edge.cors.admits)


def open(reading: Reading) -> Opened:  # noqa: A001 - what every output's edge is opened by
    """Both transports, and tickets for them."""
    return Opened(
        routes=handlers(reading.door, reading.tickets, reading.addresses),
        sockets={STREAM_PATH: V2StreamConnection},
        events={EVENTS_PATH: V2EventConnection},
        remembers=(TICKETS_PATH,),
    )
