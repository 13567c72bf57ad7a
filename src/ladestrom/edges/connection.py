"""One consumer's connection, whatever carries it: its transport, its place in the broadcast, its limits.

The object owns its transport before it writes the first byte. The broadcast writes ready-made bytes to it,
its queue says when the consumer cannot keep up, and the sweep closes those that are gone. No consumer has a
task of its own.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast
from urllib.parse import parse_qsl, urlsplit

import msgspec
from uvicorn.server import ServerState
from websockets.frames import CloseCode

from ladestrom import tasks
from ladestrom.core.access import Credential, Scope
from ladestrom.core.shares import Asker, Held, Kinds, PlaceLimits, Places
from ladestrom.credentials import ClientAddresses, Doorkeeper, Tickets, presented_key
from ladestrom.edges.cors import Cors
from ladestrom.edges.send_queue import SendQueue
from ladestrom.errors import (
    BadRequest,
    LogFailure,
    NotAllowed,
    Overloaded,
    TooManyRequests,
    Unauthenticated,
)
from ladestrom.formats.dialect import Message
from ladestrom.model import Millis, Position
from ladestrom.quoting import quoted
from ladestrom.reader.broadcast import Broadcast
from ladestrom.reader.subscriptions import Subscriber, Subscription

if TYPE_CHECKING:
    from ladestrom.edges.events import EventConnection
    from ladestrom.edges.websocket import WebSocketConnection

CLOSE_S_MAX: Final = 5
"""How long a consumer has to answer our goodbye."""
QUERY_VALUES_MAX: Final = 50
SLOW: Final = 4108
"""Close code: each change was asked for, and the consumer could not keep up; it may resume."""
RETRY_MS_MIN: Final = 500
"""Sooner, the server that goes would still be there to refuse them."""
RETRY_MS_MAX: Final = 10_000
"""Over how long those who are told to leave are asked to spread their return."""


class StreamLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What a consumer may cost."""

    consumers_max: int = 20_000
    consumers_per_key_max: int = 5_000
    consumers_per_address_max: int = 5_000
    visitors_max: int = 500
    """Of those who have no key, together."""
    visitors_per_address_max: int = 50
    selections_share_max: int = 250
    """Different selections of one key, and of one address."""
    write_buffer_bytes_max: int = 512 * 1024
    """Bytes waiting for one consumer beyond which nothing more is written to it."""
    inbound_bytes_max: int = 64 * 1024
    """Bytes of one message from a consumer (OWASP's advice); larger: closed with 1009."""
    inbound_messages_per_minute_max: int = 100
    """More: closed with 4129."""
    ping_interval_s: float = 20
    ping_timeout_s: float = 40
    stalled_s: float = 60
    """A consumer whose full buffer does not shrink for so long is cut off."""

    @property
    def places(self) -> PlaceLimits:
        """Those of connections."""
        return PlaceLimits(
            total_max=self.consumers_max,
            per_key_max=self.consumers_per_key_max,
            per_address_max=self.consumers_per_address_max,
            visitors_max=self.visitors_max,
            visitors_per_address_max=self.visitors_per_address_max,
        )


class Accepted(msgspec.Struct, frozen=True):
    """What a request for a stream asked for."""

    asker: Asker
    subscription: Subscription
    since: Position | Millis | None
    """A position, or an instant."""
    snapshot: bool = True
    every: bool = False
    first: tuple[Message, ...] = ()
    """Messages to begin with."""

    def framed(self, framing: str) -> Accepted:
        """The same for a transport with this framing."""
        return msgspec.structs.replace(
            self, subscription=msgspec.structs.replace(self.subscription, framing=framing)
        )


class StreamEdge:
    """What all consumers' connections share."""

    def __init__(
        self,
        broadcast: Broadcast,
        door: Doorkeeper,
        tickets: Tickets,
        limits: StreamLimits,
        addresses: ClientAddresses | None = None,
    ) -> None:
        self.broadcast = broadcast
        self.door = door
        self.tickets = tickets
        self.origins: frozenset[str] = frozenset()
        """Of the pages that may open WebSockets, beside those of the own host."""
        self.cors = Cors()
        """Of those that may read, streams of events included."""
        self.addresses = addresses or ClientAddresses()
        self.sockets: Mapping[str, type[WebSocketConnection]] = {}
        """By path: what serves a WebSocket there."""
        self.events: Mapping[str, type[EventConnection]] = {}
        """By path: what serves a stream of events there."""
        self.connections: set[Connection] = set()
        self.closed: Counter[str] = Counter()
        """Connections ended, by why."""
        self.draining = False
        self.restarting = False
        self._limits = limits
        self._places = Places("connections", limits.places)
        self._selections: Kinds[Subscription] = Kinds("different selections", limits.selections_share_max)

    @property
    def limits(self) -> StreamLimits:
        """What consumers may cost; of what is set anew, those who are there keep what they have."""
        return self._limits

    @limits.setter
    def limits(self, limits: StreamLimits) -> None:
        self._limits = limits
        self._places.limits = limits.places
        self._selections.each_max = limits.selections_share_max

    @property
    def by_key(self) -> Held:
        """Connections of each key; visitors are one."""
        return self._places.by_key

    def credential(
        self, headers: Mapping[str, str], query: Mapping[str, str], *, key_in_query: bool = False
    ) -> Credential:
        """Whose request for a stream this is: by a key, or else by the ticket in its query.

        Raises:
            Unauthenticated: there is neither, or what there is is not good.
            NotAllowed: the key does not read.
        """
        keys = query if key_in_query else None
        ticket = query.get("ticket")
        if not ticket or presented_key(headers, keys) is not None:
            return self.door.credential(headers, Scope.STREAM, keys)
        try:
            return self._redeemed(ticket, foreign_origin(headers))
        except Unauthenticated:
            self.door.refused += 1
            raise

    def _redeemed(self, ticket: str, origin: str) -> Credential:
        credential = self.tickets.redeem(ticket, origin)
        if not self.door.is_live(credential.key_id):
            raise Unauthenticated("the key that the ticket was issued for was revoked or has expired")
        return credential

    def asks_first(self, target: str, headers: Mapping[str, str]) -> Coroutine[Any, Any, None] | None:
        """What has to be awaited before a request for a stream is looked at; None mostly.

        A ticket may be another process's to redeem.
        """
        if "ticket=" not in target or presented_key(headers) is not None:
            return None
        ticket = query_of(pairs_of(target)).get("ticket")
        return self.tickets.ask(ticket, foreign_origin(headers)) if ticket else None

    def admit(self, credential: Credential, headers: Mapping[str, str], peer: str) -> Asker:
        """Whether there is room for another consumer; whom it counts for.

        Raises:
            Overloaded: the server is stopping, or full.
            TooManyRequests: its key, its address or the visitors have too many connections.
        """
        if self.draining:
            raise Overloaded("the server is stopping; reconnect in a few seconds")
        asker = self.addresses.asker(credential, peer, headers.get("x-forwarded-for", ""))
        with self._refusals(asker):
            self._places.check(asker)
        return asker

    def check_room(
        self, asker: Asker, subscription: Subscription, instead: Subscription | None = None
    ) -> None:
        """Whether a consumer with this subscription can be attached, or change to it, in this step.

        Raises:
            TooManyRequests: its key or its address uses too many different selections.
            Overloaded: too many are in use in all.
        """
        with self._refusals(asker):
            self._selections.check(asker, subscription, instead)
        self.broadcast.check_room(subscription)

    @contextmanager
    def _refusals(self, asker: Asker) -> Iterator[None]:
        """Counts what is refused to a key."""
        try:
            yield
        except TooManyRequests:
            if not asker.is_visitor:
                self.door.use(asker.key_id).refused += 1
            raise

    def attach(self, connection: Connection, asker: Asker, subscription: Subscription) -> None:
        """It is a consumer from now on."""
        self.connections.add(connection)
        self._places.take(asker)
        self._selections.take(asker, subscription)
        self.door.use(asker.key_id).connections += 1

    def reselect(self, asker: Asker, before: Subscription, subscription: Subscription) -> None:
        """It has another subscription from now on."""
        self._selections.take(asker, subscription)
        self._selections.give_back(asker, before)

    def detach(self, connection: Connection, asker: Asker, subscription: Subscription, why: str) -> None:
        """It is no consumer any more."""
        self.connections.discard(connection)
        self._places.give_back(asker)
        self._selections.give_back(asker, subscription)
        self.closed[why] += 1

    def delivered(self, key_id: str) -> tuple[int, int]:
        """Messages and bytes handed to a key's connections that are open."""
        messages = size = 0
        for connection in self.connections if self.by_key[key_id] else ():
            if connection.asker is not None and connection.asker.key_id == key_id:
                told = connection.delivered()
                messages += told[0]
                size += told[1]
        return messages, size

    def sweep(self, now_s: float) -> None:
        """Looks after every connection: keys, pings, stalls, late frames. Called each second."""
        for connection in list(self.connections):
            connection.tend(now_s)

    def drain(self, *, restarting: bool = False) -> None:
        """Tells every consumer that the server goes away, and whether another one takes over."""
        self.draining = True
        self.restarting = restarting
        for connection in list(self.connections):
            connection.shutdown()

    def abort(self) -> None:
        """Ends what is still open."""
        for connection in list(self.connections):
            connection.abort("abort")


class Connection(asyncio.Protocol):
    """What every consumer's connection does (`reader.subscriptions.Sink`)."""

    kind: ClassVar[str] = ""
    """Of what it is a connection, where consumers are counted."""

    def __init__(self, edge: StreamEdge, server_state: ServerState) -> None:
        self.paused = False
        """Bytes wait that the consumer has to take first, or the connection is ending."""
        self._edge = edge
        self._server_connections = cast("set[Any]", server_state.connections)
        self._transport: asyncio.Transport
        self._queue: SendQueue
        self._subscriber: Subscriber | None = None
        self._piece_bytes = 0
        """What is larger is written in pieces."""
        self.asker: Asker | None = None
        """Whom it counts for, while it is a consumer."""
        self._wishes: Subscription
        """Of the selection that it counts for."""
        self.when_lost: Callable[[], None] | None = None
        """Is called once when the connection has ended."""
        self._closing = False
        self._is_in_turn = False
        """What waits is written on in the loop's next turn."""
        self._reading_paused = False
        """Nothing is read while a control frame of ours waits to be written."""
        self._why = "consumer"
        self._close_timer: asyncio.TimerHandle | None = None
        self._stalled: tuple[float, int] | None = None
        """Since when the consumer has taken nothing, and the bytes that waited for it then."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Takes over the transport, which has this object as its protocol already."""
        self._transport = cast("asyncio.Transport", transport)
        self._server_connections.add(self)
        self._queue = SendQueue(self._transport, self._edge.limits.write_buffer_bytes_max)
        self._piece_bytes = self._queue.piece_bytes
        self._queue.limit()

    def connection_lost(self, exc: Exception | None) -> None:
        """Gives back what the connection held."""
        del exc
        self._server_connections.discard(self)
        if self._close_timer is not None:
            self._close_timer.cancel()
        self._closing = self.paused = True
        self._queue.clear()
        if self.asker is not None:
            if self._subscriber is not None:
                self._edge.broadcast.leave(self._subscriber)
                self._count()
            self._edge.detach(self, self.asker, self._wishes, self._why)
            self.asker = None
        if self.when_lost is not None:
            self.when_lost()

    def eof_received(self) -> bool:
        """The consumer closed its side: nothing more to say."""
        self._closing = self.paused = True
        self._queue.clear()
        self.expect_end()
        return False

    # -- writing -----------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Writes ready-made bytes; behind what waits already, where anything does."""
        if not self.paused and len(data) <= self._piece_bytes:
            self._transport.write(data)
        elif not self._closing:
            if self._stalled is not None:
                self._stalled = self._stalled[0], self._stalled[1] + len(data)
            self._queue.put(data)
            self._feed()

    def pause_writing(self) -> None:
        """The transport is full."""
        self._queue.is_full = True
        self._hold()

    def resume_writing(self) -> None:
        """The consumer took most of what the transport had."""
        self._queue.is_full = False
        self._feed()

    def _feed(self) -> None:
        """Writes what the transport takes; a consumer for whom nothing waits any more gets what is due."""
        if self._transport.is_closing():
            return
        is_empty = self._queue.feed()
        if self._queue.is_spent and not self._is_in_turn:
            self._is_in_turn = True
            asyncio.get_running_loop().call_soon(self._feed_on)
        self._listen()
        if self._closing:
            return
        if not is_empty:
            self._hold()
        elif self.paused and not self._queue.is_full:
            self.paused = False
            self._stalled = None
            self.caught_up()

    def _feed_on(self) -> None:
        """Others had their turn."""
        self._is_in_turn = False
        self._queue.renew()
        self._feed()

    def _hold(self) -> None:
        """The broadcast skips this consumer until it has taken what waits."""
        if not self.paused:
            self.paused = True
            if self._subscriber is not None:
                self._subscriber.settle()

    def _listen(self) -> None:
        """Reads only while no control frame waits: each ping that is read adds one."""
        if self._reading_paused != self._queue.has_control and not self._transport.is_closing():
            self._reading_paused = not self._reading_paused
            if self._reading_paused:
                self._transport.pause_reading()
            else:
                self._read_on()

    def _read_on(self) -> None:
        self._transport.resume_reading()

    def caught_up(self) -> None:
        """The consumer has taken what waited for it."""
        if self._subscriber is not None:
            try:
                self._edge.broadcast.pump(self._subscriber)
            except Exception as error:  # noqa: BLE001 - or it would be told nothing more, and stay
                tasks.note("catching up of a consumer", error)
                self.abort("failed")

    # -- being a consumer --------------------------------------------------------------------------------

    def attach(self, accepted: Accepted) -> None:
        """Joins the broadcast; the request has been answered. Counts as a consumer from now on."""
        self.asker, self._wishes = accepted.asker, accepted.subscription
        self._edge.attach(self, self.asker, self._wishes)
        self._follow(
            self._edge.broadcast.join(
                self,
                self._wishes,
                since=accepted.since,
                snapshot=accepted.snapshot,
                every=accepted.every,
                first=accepted.first,
            )
        )

    def _follow(self, subscriber: Subscriber) -> None:
        self._subscriber = subscriber
        # Equal to its own, and one object for all who wish the same.
        self._wishes = subscriber.channel.subscription
        if self.paused:
            # The pause came before the subscriber was known, so nothing was counted then.
            subscriber.settle()

    def reselect(self, subscriber: Subscriber, subscription: Subscription) -> None:
        """Gives the consumer another selection.

        Raises:
            TooManyRequests, Overloaded: too many are in use; the consumer keeps the one that it has.
        """
        if self.asker is None:
            return
        self._edge.check_room(self.asker, subscription, instead=self._wishes)
        replacement = self._edge.broadcast.select(subscriber, subscription)
        self._edge.reselect(self.asker, self._wishes, subscription)
        self._wishes = subscription
        self._follow(replacement)

    def delivered(self) -> tuple[int, int]:
        """Messages and bytes handed over."""
        subscriber = self._subscriber
        if subscriber is None:
            return 0, 0
        subscriber.settle()
        return subscriber.messages, subscriber.bytes

    def _count(self) -> None:
        """It is no consumer any more: what it got is its key's."""
        assert self.asker is not None  # noqa: S101 - only a consumer is counted, and it has one
        use = self._edge.door.use(self.asker.key_id)
        messages, size = self.delivered()
        use.messages += messages
        use.bytes += size
        self._subscriber = None

    # -- the end -----------------------------------------------------------------------------------------

    def overrun(self, position: Position) -> None:
        """The consumer wants each change and could not keep up. It still gets all up to this position."""
        self._count()
        self._end(SLOW, f"too slow for mode=every; you were at {position}", "slow")

    def interrupted(self, position: Position) -> None:
        """What comes next cannot be read now. The consumer still gets all up to this position."""
        self._count()
        self._end(
            LogFailure.close_code, f"cannot continue reading now; you were at {position}", "interrupted"
        )

    def shutdown(self) -> None:
        """The server stops: the consumer is told. Called by uvicorn, too."""
        if self._closing:
            return
        last: Sequence[bytes] = ()
        if self._subscriber is not None:
            # Spread, so that all do not come back to the next server in the same instant.
            retry_after_ms = random.randrange(RETRY_MS_MIN, RETRY_MS_MAX)  # noqa: S311 - no secret
            last = self._edge.broadcast.farewell(self._subscriber, retry_after_ms)
        self._queue.drop()
        if self._edge.restarting:
            code, reason = CloseCode.SERVICE_RESTART, "the server restarts; reconnect with since"
        else:
            code, reason = CloseCode.GOING_AWAY, "the server is stopping; reconnect with since"
        self._end(code, reason, "drain", last)

    def close(self, code: int, reason: str, why: str) -> None:
        """Ends the connection with a code; messages that have not begun to be written are dropped."""
        if not self._closing:
            self._queue.drop()
            self._end(code, reason, why)

    def _end(self, code: int, reason: str, why: str, last: Sequence[bytes] = ()) -> None:
        """Ends the connection with a code, after what waits and these last messages."""
        if self._closing:
            return
        self._closing = self.paused = True
        self._why = why
        for message in last:
            self._queue.put(message)
        self.say_goodbye(code, reason)
        self._feed()
        self.expect_end()

    def say_goodbye(self, code: int, reason: str) -> None:
        """Puts the code and the reason into the queue, in the form that the protocol has for them."""
        raise NotImplementedError

    def expect_end(self) -> None:
        """Gives the consumer `CLOSE_S_MAX` to go."""
        if self._close_timer is None:
            loop = asyncio.get_running_loop()
            self._close_timer = loop.call_later(CLOSE_S_MAX, self._transport.abort)

    def abort(self, why: str) -> None:
        """Ends the connection without a word."""
        self._why = why
        self._closing = self.paused = True
        self._transport.abort()

    # -- the sweep ---------------------------------------------------------------------------------------

    def tend(self, now_s: float) -> None:
        """One look after the connection: is its key live, does it read, is it there?"""
        if self._closing or self.asker is None:
            return
        if not self._edge.door.is_live(self.asker.key_id):
            error = Unauthenticated("the key was revoked or has expired")
            self.close(error.close_code, str(error), "revoked")
        elif self.paused:
            size = self._transport.get_write_buffer_size() + self._queue.size
            if self._stalled is None or size < self._stalled[1]:
                self._stalled = (now_s, size)
            elif now_s - self._stalled[0] > self._edge.limits.stalled_s:
                self.abort("stalled")
        else:
            self.look(now_s)

    def look(self, now_s: float) -> None:
        """What the transport's protocol has to look after while the consumer reads."""


def pairs_of(target: str) -> list[tuple[str, str]]:
    """Names and values in the query of a request's target.

    Raises:
        BadRequest: it has too many values.
    """
    query = target.partition("?")[2]
    try:
        return parse_qsl(query, keep_blank_values=True, max_num_fields=QUERY_VALUES_MAX)
    except ValueError as error:
        raise BadRequest(f"the query cannot be read ({error})") from error


def query_of(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Values by name; of a name that comes twice, the first."""
    query: dict[str, str] = {}
    for name, value in pairs:
        query.setdefault(name, value)
    return query


def foreign_origin(headers: Mapping[str, str]) -> str:
    """Origin of the page that sent a request; empty where that is the own host's, or no page at all.

    A browser does not say the origin with a GET to the page's own host (WHATWG Fetch, `Origin` header), so
    that of the own host is no different from none.
    """
    origin = headers.get("origin")
    if origin is None:
        return ""
    try:
        host = urlsplit(origin).netloc.lower()
    except ValueError:
        host = ""
    return "" if host and host == headers.get("host", "").lower() else origin or "null"


def check_origin(headers: Mapping[str, str], admits: Callable[[str], bool]) -> None:
    """Whether a page of this origin may open a stream: the own host's, and those admitted.

    Raises:
        NotAllowed: it may not.
    """
    origin = foreign_origin(headers)
    if origin and not admits(origin):
        raise NotAllowed(
            f"pages of {quoted(origin, 100)} may not open this stream; ask its operator to allow the origin"
        )


def peer_of(transport: asyncio.BaseTransport) -> str:
    """The address at the other end of a connection; empty where it has none, as that of a Unix socket."""
    name = transport.get_extra_info("peername")
    return str(name[0]) if isinstance(name, tuple) else ""
