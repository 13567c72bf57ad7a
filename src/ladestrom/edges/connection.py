"""One consumer's connection, whatever carries it: its transport, its place in the broadcast, its limits.

The object owns its transport: the broadcast writes ready-made bytes to it, the transport's buffer says when
the consumer cannot keep up, and the sweep closes those that are gone. No task and no queue per consumer.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final, cast
from urllib.parse import parse_qsl, urlsplit

import msgspec
from uvicorn.server import ServerState
from websockets.frames import CloseCode

from ladestrom.broadcast import Broadcast
from ladestrom.core.access import VISITOR, Credential, Scope
from ladestrom.core.channel import Subscriber, Wishes
from ladestrom.credentials import Doorkeeper, Tickets, presented_key
from ladestrom.errors import BadRequest, NotAllowed, Overloaded, TooManyRequests, Unauthenticated
from ladestrom.formats.dialect import Message
from ladestrom.formats.v2_stream import V2Dialect
from ladestrom.model import Position

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
    visitors_max: int = 500
    """Of those who have no key, together."""
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


class Accepted(msgspec.Struct, frozen=True):
    """What a request for a stream asked for."""

    key_id: str
    wishes: Wishes
    since: Position | None
    snapshot: bool = True
    every: bool = False
    first: tuple[Message, ...] = ()
    """Messages to begin with."""


class StreamEdge:
    """What all consumers' connections share."""

    def __init__(
        self,
        broadcast: Broadcast,
        door: Doorkeeper,
        tickets: Tickets,
        limits: StreamLimits,
        v2: V2Dialect,
        origins: frozenset[str] = frozenset(),
    ) -> None:
        self.broadcast = broadcast
        self.door = door
        self.tickets = tickets
        self.limits = limits
        self.v2 = v2
        self.origins = origins
        self.connections: set[Connection] = set()
        self.by_key: Counter[str] = Counter()
        self.closed: Counter[str] = Counter()
        """Connections ended, by why."""
        self.draining = False
        self.restarting = False

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

    def admit(self, credential: Credential, headers: Mapping[str, str]) -> None:
        """Checks everything about a request for a stream but what it asks for.

        Raises:
            NotAllowed: its origin is not one of ours.
            Overloaded: the server is stopping, or full.
            TooManyRequests: the key has too many connections, or there are too many visitors.
        """
        check_origin(headers, self.origins)
        if self.draining:
            raise Overloaded("the server is stopping; reconnect in some seconds")
        if len(self.connections) >= self.limits.consumers_max:
            raise Overloaded(f"{self.limits.consumers_max} consumers are connected; try again later")
        if credential.key_id == VISITOR.key_id:
            if self.by_key[VISITOR.key_id] >= self.limits.visitors_max:
                raise TooManyRequests(
                    f"{self.limits.visitors_max} visitors follow the stream; try again later, or send a key"
                )
        elif self.by_key[credential.key_id] >= self.limits.consumers_per_key_max:
            self.door.use(credential.key_id).refused += 1
            raise TooManyRequests(
                f"this key has {self.limits.consumers_per_key_max} connections open; close some of them"
            )

    def delivered(self, key_id: str) -> tuple[int, int]:
        """Messages and bytes handed to a key's connections that are open."""
        messages = size = 0
        for connection in self.connections if self.by_key[key_id] else ():
            if connection.key_id == key_id:
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
    """What every consumer's connection does (`core.channel.Sink`)."""

    def __init__(self, edge: StreamEdge, server_state: ServerState) -> None:
        self.paused = False
        self._edge = edge
        self._server_connections = cast("set[Any]", server_state.connections)
        self._transport: asyncio.Transport
        self._subscriber: Subscriber | None = None
        self._held: list[bytes] | None = []
        """What is written before the transport may be; None from then on."""
        self.key_id = ""
        """Whose it is, while it is a consumer."""
        self._closing = False
        self._why = "consumer"
        self._close_timer: asyncio.TimerHandle | None = None
        self._stalled: tuple[float, int] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Takes over from the HTTP protocol."""
        self._transport = cast("asyncio.Transport", transport)
        self._server_connections.add(self)
        limit = self._edge.limits.write_buffer_bytes_max
        self._transport.set_write_buffer_limits(high=limit, low=limit // 4)

    def connection_lost(self, exc: Exception | None) -> None:
        """Gives back what the connection held."""
        del exc
        self._server_connections.discard(self)
        if self._close_timer is not None:
            self._close_timer.cancel()
        self._closing = True
        if self.key_id:
            if self._subscriber is not None:
                self._edge.broadcast.leave(self._subscriber)
                self._count()
            self._edge.connections.discard(self)
            self._edge.closed[self._why] += 1
            self._edge.by_key[self.key_id] -= 1
            if self._edge.by_key[self.key_id] <= 0:
                del self._edge.by_key[self.key_id]
            self.key_id = ""

    def eof_received(self) -> bool:
        """The consumer closed its side: nothing more to say."""
        return False

    def pause_writing(self) -> None:
        """More bytes wait than the limit. Nothing is read either: each ping would be answered with more."""
        self.paused = True
        if self._subscriber is not None:
            self._subscriber.settle()
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """The consumer caught up; it gets what it is due now."""
        self.paused = False
        self._stalled = None
        if not self._transport.is_closing():
            self._transport.resume_reading()
        if self._subscriber is not None and not self._closing:
            self._edge.broadcast.pump(self._subscriber)

    def write(self, data: bytes) -> None:
        """Hands ready-made bytes to the transport; what comes with joining waits until it may be written."""
        if self._held is not None:
            self._held.append(data)
        elif not self._closing:
            self._transport.write(data)

    def overrun(self, position: Position) -> None:
        """The consumer wants each change and could not keep up."""
        self._count()
        self.close(SLOW, f"too slow for mode=every; you stood at {position}", "slow")

    def attach(self, accepted: Accepted, framing: str) -> None:
        """Joins the broadcast and counts as a consumer from now on; `release` lets the bytes go.

        Raises:
            Overloaded: the broadcast takes no more.
        """
        wishes = msgspec.structs.replace(accepted.wishes, framing=framing)
        self._subscriber = self._edge.broadcast.join(
            self,
            wishes,
            since=accepted.since,
            snapshot=accepted.snapshot,
            every=accepted.every,
            first=accepted.first,
        )
        self.key_id = accepted.key_id
        self._edge.connections.add(self)
        self._edge.by_key[self.key_id] += 1
        self._edge.door.use(self.key_id).connections += 1

    def delivered(self) -> tuple[int, int]:
        """Messages and bytes handed over."""
        subscriber = self._subscriber
        if subscriber is None:
            return 0, 0
        subscriber.settle()
        return subscriber.messages, subscriber.bytes

    def _count(self) -> None:
        """It is no consumer any more: what it got is its key's."""
        use = self._edge.door.use(self.key_id)
        messages, size = self.delivered()
        use.messages += messages
        use.bytes += size
        self._subscriber = None

    def release(self) -> None:
        """Lets the bytes go that waited for the transport."""
        held, self._held = self._held or [], None
        for data in held:
            self.write(data)

    def shutdown(self) -> None:
        """The server stops: the consumer is told. Called by uvicorn, too."""
        if not self._closing and self._subscriber is not None:
            # Spread, so that all do not come back to the next server in the same instant.
            retry_after_ms = random.randrange(RETRY_MS_MIN, RETRY_MS_MAX)  # noqa: S311 - no secret
            broadcast = self._edge.broadcast
            for data in broadcast.farewell(self._subscriber, retry_after_ms):
                self.write(data)
        if self._edge.restarting:
            self.close(CloseCode.SERVICE_RESTART, "the server restarts; reconnect with since", "drain")
        else:
            self.close(CloseCode.GOING_AWAY, "the server is stopping; reconnect with since", "drain")

    def close(self, code: int, reason: str, why: str) -> None:
        """Says goodbye in the transport's manner, and ends the connection soon after."""
        raise NotImplementedError

    def expect_end(self) -> None:
        """Gives the consumer `CLOSE_S_MAX` to go."""
        if self._close_timer is None:
            loop = asyncio.get_running_loop()
            self._close_timer = loop.call_later(CLOSE_S_MAX, self._transport.abort)

    def abort(self, why: str) -> None:
        """Ends the connection without a word."""
        self._why = why
        self._closing = True
        self._transport.abort()

    def tend(self, now_s: float) -> None:
        """One look after the connection: is its key live, does it read, is it there?"""
        if self._closing:
            return
        if not self._edge.door.is_live(self.key_id):
            error = Unauthenticated("the key was revoked or has expired")
            self.close(error.close_code, str(error), "revoked")
        elif self.paused:
            size = self._transport.get_write_buffer_size()
            if self._stalled is None or size < self._stalled[1]:
                self._stalled = (now_s, size)
            elif now_s - self._stalled[0] > self._edge.limits.stalled_s:
                self.abort("stalled")
        else:
            self.look(now_s)

    def look(self, now_s: float) -> None:
        """What the transport's protocol has to look after while the consumer reads."""


def query_of(target: str) -> dict[str, str]:
    """The query of a request's target; of a name that comes twice, the first value.

    Raises:
        BadRequest: it has too many values.
    """
    try:
        pairs = parse_qsl(target.partition("?")[2], keep_blank_values=True, max_num_fields=QUERY_VALUES_MAX)
    except ValueError as error:
        raise BadRequest(f"the query cannot be read ({error})") from error
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


def check_origin(headers: Mapping[str, str], allowed: frozenset[str]) -> None:
    """Whether a page of this origin may open a stream: the own host's, and those allowed.

    Raises:
        NotAllowed: it may not.
    """
    origin = foreign_origin(headers)
    if origin and origin not in allowed and "*" not in allowed:
        raise NotAllowed(
            f"pages of {origin[:100]!r} may not open this stream; ask its operator to allow the origin"
        )
