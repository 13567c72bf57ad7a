"""`/ocpp/ID`: charge points report for themselves, each over a WebSocket of its own.

Knows connections, passwords, limits and silence. Must not know what a frame means: `protocols.ocpp` does. A
call is answered when what it brought is durable. When a charge point is gone or silent, its EVSEs become
unknown; one that returns within the grace was never gone.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, MutableMapping
from contextlib import suppress
from functools import partial
from typing import Any, Final
from urllib.parse import unquote

import msgspec
import structlog

from ladestrom import tasks
from ladestrom.clocks import steady
from ladestrom.core.charge_points import ID_CHARACTERS_MAX, admit
from ladestrom.core.directory import Directory
from ladestrom.core.shares import Held
from ladestrom.errors import (
    Conflict,
    LadestromError,
    MalformedBody,
    NotAllowed,
    NotFound,
    Overloaded,
    TooLarge,
    TooManyRequests,
    Unauthenticated,
)
from ladestrom.ingest.intake import Arrival, Intake, feed_of
from ladestrom.ingest.supervision import SourceIdentity
from ladestrom.ingest.websocket_server import upgrade_required
from ladestrom.model import Millis, Operator, Order
from ladestrom.ports.charge_points import ChargePoint
from ladestrom.problem import MEDIA_TYPE, problem
from ladestrom.protocols import CONVERSATIONS
from ladestrom.protocols.ocpp import DIALECTS, NOTHING, Conversation, Outcome, agreed
from ladestrom.protocols.ocpp_points import Points, layout
from ladestrom.quoting import quoted

logger = structlog.get_logger(__name__)

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

PATH: Final = f"{CONVERSATIONS['ocpp'].path}/"
PROTOCOL: Final = "ocpp"
PINGS: Final = "ladestrom.pings"
"""Extension of the ASGI scope: a dict. The transport sets `last_s` to the loop's time of the last ping
or pong: any frame is a sign of life (OCPP-J 1.6, section 5.3)."""
MESSAGE_BYTES_MAX: Final = "ladestrom.message_bytes_max"
"""Member of `websocket.accept`: how many bytes a message may have, all fragments together, unpacked. The
transport refuses more with 1009 before it has them."""
COMPRESSION: Final = "ladestrom.compression"
"""Member of `websocket.accept`: whether permessage-deflate is used where the client offers it."""
MINUTE_S: Final = 60.0
SILENT_HEARTBEATS: Final = 2
"""One that is late or lost on the way is forgiven."""
CLOCK_SET_MS_MIN: Final = 1_000
"""Less is what two looks at two clocks differ by, or a clock that is corrected slowly."""
CONFIRM_S_MIN: Final = 60
SIGN_OFF_RETRY_S: Final = 5.0
"""Where the log could not be written."""
REASON_BYTES_MAX: Final = 123
"""RFC 6455, section 5.5: of a close frame, beside its code."""
GOING_AWAY: Final = 1001
PROTOCOL_ERROR: Final = 1002


class OcppLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What charge points may do, and what they are told."""

    heartbeat_s: int = 60
    grace_s: int = 30
    """One that returns within this was not gone."""
    start_grace_s: int = 600
    """Likewise after our own start."""
    connections_max: int = 5_000
    connections_per_operator_max: int = 4_000
    message_bytes_max: int = 256 * 1024
    messages_per_minute_max: int = 1_200
    stale_after_s: int = 86_400


class Close(msgspec.Struct, frozen=True):
    """How a connection is ended by us."""

    code: int
    reason: str


SILENT: Final = Close(GOING_AWAY, "nothing was received for two heartbeat intervals")


class OcppServer:
    """All charge points of a server. One object per server; an ASGI application."""

    def __init__(
        self,
        intake: Intake,
        directory: Directory,
        clock: Callable[[], Millis],
        limits: OcppLimits,
        steady: Callable[[], Millis] = steady,
    ) -> None:
        self.steady = steady
        """A clock that nobody sets."""
        self.limits = limits
        self.failures: Counter[str] = Counter()
        """Connections refused and calls answered by an error, by code."""
        self.messages = 0
        self._intake = intake
        self._directory = directory
        self._clock = clock
        self._stations: dict[str, _Station] = {}
        self._connections: set[_Connection] = set()
        self._by_operator = Held()
        """Connections, by the operator that the charge point had when it came."""
        self._seen: dict[str, Millis] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._has_begun = False
        self._is_stopping = False

    @property
    def connected(self) -> int:
        """Charge points that are there."""
        return len(self._connections)

    def take_seen(self) -> dict[str, Millis]:
        """Charge points that came or went since the last call, and when."""
        seen, self._seen = self._seen, {}
        return seen

    def follow(self, points: Iterable[ChargePoint], operators: Mapping[str, Operator]) -> None:
        """Takes the charge points as they are now in the store, and their EVSEs as the registry has them.

        At the first time, those that were connected before get `start_grace_s` to return.
        """
        found = {point.id: point for point in points}
        for name in self._stations.keys() - found.keys():
            self._drop(self._stations.pop(name))
        for name, point in found.items():
            operator = operators.get(point.operator)
            station = self._stations.get(name)
            if station is None or operator is None or station.operator.name != operator.name:
                if station is not None:
                    self._drop(self._stations.pop(name))
                if operator is not None:
                    self._stations[name] = self._new(point, operator)
            else:
                self._update(station, point, operator)
        self._has_begun = True

    def stop(self) -> None:
        """Nobody is taken for gone any more: it is we who go."""
        self._is_stopping = True
        for station in self._stations.values():
            station.forgive()
        for task in self._tasks:
            task.cancel()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """The ASGI application: one connection."""
        if scope["type"] != "websocket":
            is_here = scope["path"] != "/" and scope["raw_path"].startswith(PATH.encode())
            if is_here:
                await upgrade_required(scope["method"], send)
            else:
                await _refuse(send, NotFound("nothing is here"), "http.response")
            return
        await receive()
        try:
            station = self._admitted(scope)
        except LadestromError as error:
            self.failures[error.code] += 1
            await _refuse(send, error, "websocket.http.response")
            return
        with suppress(OSError, RuntimeError):
            await self._serve(station, scope, receive, send)

    async def _serve(self, station: _Station, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        dialect = agreed(scope["subprotocols"])
        if dialect is None:
            # OCPP-J 1.6, section 3.2, and 2.0.1, part 4, section 3.2: the handshake is completed without a
            # subprotocol, and the connection closed.
            self.failures["no_subprotocol"] += 1
            known = ", ".join(each.subprotocol for each in DIALECTS)
            await send({"type": "websocket.accept"})
            await _close(send, Close(PROTOCOL_ERROR, f"offer one of the subprotocols {known}"))
            return
        conversation = Conversation(dialect, station.points, self.limits.heartbeat_s, self._clock())
        pings = scope.get("extensions", {}).get(PINGS, {})
        connection = _Connection(self, station, conversation, send, pings)
        if station.connection is not None:
            station.connection.end(Close(Conflict.close_code, "another connection has this id"))
        station.arrive(connection, self.steady())
        operator = station.operator.name
        self._connections.add(connection)
        self._by_operator.take(operator)
        self._seen[station.point.id] = self._clock()
        try:
            await send(
                {
                    "type": "websocket.accept",
                    "subprotocol": dialect.subprotocol,
                    MESSAGE_BYTES_MAX: self.limits.message_bytes_max,
                    COMPRESSION: dialect.compresses,
                }
            )
            await connection.run(receive)
            if connection.ended is not None:
                await _close(send, connection.ended)
        finally:
            self._connections.discard(connection)
            self._by_operator.give_back(operator)
            self._seen[station.point.id] = self._clock()
            if station.connection is connection:
                station.connection = None
                # Who was silent had its grace.
                self._await_return(station, 0 if connection.ended is SILENT else self.limits.grace_s)

    async def take(self, connection: _Connection, outcome: Outcome) -> bool:
        """Logs what a message brought; whether that succeeded."""
        station = connection.station
        is_here = self._stations.get(station.point.id) is station
        if outcome.delivery is None or not is_here or station.connection is not connection:
            # What one that was removed says while it is cut off does not count, nor what comes late on a
            # connection after the charge point has made another.
            return True
        try:
            await self._intake.take(
                station.operator, outcome.delivery, protocol=PROTOCOL, arrival=Arrival(of=station.point.id)
            )
        except LadestromError as error:
            self.failures[error.code] += 1
            return False
        return True

    def refused(self, station: _Station, body: str | bytes, outcome: Outcome) -> None:
        """Notes a call that is answered by an error."""
        if outcome.refused is None:
            return
        self.failures[outcome.refused.fault.name.lower()] += 1
        if outcome.refused.is_unread:
            content = body.encode() if isinstance(body, str) else body
            error = MalformedBody(f"{station.point.id}: {outcome.refused.detail}")
            self._intake.unreadable(station.operator, PROTOCOL, content, error)

    async def confirm(self, connection: _Connection) -> None:
        """A charge point that is there and says nothing new is not silent: what it said last holds."""
        station = connection.station
        steady = self.steady()
        stale_after_s = station.operator.stale_after_s or self.limits.stale_after_s
        if steady - station.confirmed < max(stale_after_s // 4, CONFIRM_S_MIN) * 1000:
            return
        station.confirmed = steady
        delivery = station.points.restated()
        if delivery.reports:
            await self.take(connection, Outcome(delivery))

    def now(self) -> Millis:
        """The clock."""
        return self._clock()

    # -- charge points that come and go ------------------------------------------------------------------

    def _admitted(self, scope: Mapping[str, Any]) -> _Station:
        """Who connects.

        Raises:
            NotFound: no charge point has this id (OCPP-J, section 3.2, wants it so).
            Unauthenticated: it has not its password.
            TooManyRequests: too many of its operator are there.
            Overloaded: too many are there in all.
        """
        name = unquote(scope["raw_path"].decode("latin-1").partition(PATH)[2].strip("/"))
        station = self._stations.get(name)
        if station is None:
            shown = name[:ID_CHARACTERS_MAX]
            raise NotFound(f"no charge point has the id {quoted(shown)}; `ladestrom ocpp add` adds one")
        headers = {key.lower(): value for key, value in scope["headers"]}
        admit(station.point, headers.get(b"authorization", b"").decode("latin-1"))
        if station.connection is not None:
            # It takes the place of the one that it has.
            return station
        if self._by_operator[station.operator.name] >= self.limits.connections_per_operator_max:
            most = self.limits.connections_per_operator_max
            raise TooManyRequests(f"{most} charge points of this operator are connected; try again later")
        if len(self._connections) >= self.limits.connections_max:
            raise Overloaded(f"{self.limits.connections_max} charge points are connected; try again later")
        return station

    def _new(self, point: ChargePoint, operator: Operator) -> _Station:
        station = _Station(point, operator, Points(operator.name))
        station.points.layout = layout(self._directory.stations.get(point.station), dict(point.evses))
        if not self._has_begun and point.last_seen_at is not None:
            self._await_return(station, self.limits.start_grace_s)
        return station

    def _update(self, station: _Station, point: ChargePoint, operator: Operator) -> None:
        if point.secret_sha256 != station.point.secret_sha256 and station.connection is not None:
            station.connection.end(
                Close(Unauthenticated.close_code, "the password was replaced; connect with the new one")
            )
        before = station.evses()
        station.point = point
        station.operator = operator
        station.points.layout = layout(self._directory.stations.get(point.station), dict(point.evses))
        self._sign_off(station, before - station.evses())

    def _drop(self, station: _Station) -> None:
        station.forgive()
        if station.connection is not None:
            station.connection.end(Close(NotAllowed.close_code, "this charge point was removed"))
            station.connection = None
        self._sign_off(station, station.evses())

    def _await_return(self, station: _Station, grace_s: float) -> None:
        station.forgive()
        if self._is_stopping:
            return
        station.grace = asyncio.get_running_loop().call_later(grace_s, self._gone, station)

    def _gone(self, station: _Station) -> None:
        station.grace = None
        if station.connection is None:
            logger.info("charge point gone", charge_point=station.point.id)
            self._sign_off(station, station.evses(), unless_back=True)

    def _sign_off(self, station: _Station, evses: Collection[str], *, unless_back: bool = False) -> None:
        if evses:
            # A defect of ours must not leave statuses that nobody vouches for: it is tried again, too.
            again = partial(self._sign_off_later, station, evses, unless_back)
            lose = self._lose(station, evses, unless_back=unless_back)
            task = tasks.start(lose, "sign-off of a charge point", again)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _sign_off_later(
        self, station: _Station, evses: Collection[str], unless_back: bool, _: Exception
    ) -> None:
        if not self._is_stopping:
            again = partial(self._sign_off, station, evses, unless_back=unless_back)
            asyncio.get_running_loop().call_later(SIGN_OFF_RETRY_S, again)

    async def _lose(self, station: _Station, evses: Collection[str], *, unless_back: bool) -> None:
        """Signs off what was heard last of a charge point, unless it returns before that succeeds."""
        operator = station.operator
        identity = SourceIdentity.push(operator.name, PROTOCOL)
        feed = feed_of(operator, identity, Order.ARRIVAL, Arrival(of=station.point.id)).name
        before = self._intake.begin()
        while not unless_back or station.connection is None:
            try:
                await self._intake.sign_off(operator, feed, evses, before=before)
            except LadestromError as error:
                logger.warning("signing off failed; retrying", operator=operator.name, error=str(error))
                await asyncio.sleep(SIGN_OFF_RETRY_S)
            else:
                return


class _Station:
    """A charge point, connected or not."""

    __slots__ = ("confirmed", "connection", "grace", "operator", "point", "points")

    def __init__(self, point: ChargePoint, operator: Operator, points: Points) -> None:
        self.point = point
        self.operator = operator
        self.points = points
        self.connection: _Connection | None = None
        self.grace: asyncio.TimerHandle | None = None
        """Until it is taken for gone."""
        self.confirmed: Millis = 0
        """When it was last taken for there, by a clock that nobody sets."""

    def evses(self) -> frozenset[str]:
        """Keys of its EVSEs."""
        return frozenset(self.points.layout.evses.values())

    def arrive(self, connection: _Connection, steady: Millis) -> None:
        """It is there."""
        self.forgive()
        self.connection = connection
        self.confirmed = steady

    def forgive(self) -> None:
        """It is not waited for."""
        if self.grace is not None:
            self.grace.cancel()
            self.grace = None


class _Connection:
    """One connection: reads a message, does what it asks for, and only then reads the next."""

    __slots__ = (
        "_ahead",
        "_conversation",
        "_messages",
        "_minute_began_s",
        "_pings",
        "_send",
        "_server",
        "_timer",
        "ended",
        "station",
    )

    def __init__(
        self,
        server: OcppServer,
        station: _Station,
        conversation: Conversation,
        send: Send,
        pings: Mapping[str, float],
    ) -> None:
        self._server = server
        self._pings = pings
        self.station = station
        self._conversation = conversation
        self._send = send
        self._ahead = server.now() - server.steady()
        """By how much the time of day was ahead of the time that passes, when timers were last set by it."""
        self._timer: asyncio.Timeout | None = None
        """While nothing is being done."""
        self._minute_began_s = 0.0
        self._messages = 0
        self.ended: Close | None = None
        """Why we end it."""

    def end(self, close: Close) -> None:
        """Ends it as soon as what is under way is done."""
        if self.ended is None:
            self.ended = close
            if self._timer is not None:
                self._timer.reschedule(asyncio.get_running_loop().time())

    async def run(self, receive: Receive) -> None:
        """Until it ends."""
        loop = asyncio.get_running_loop()
        silence_s = self._server.limits.heartbeat_s * SILENT_HEARTBEATS
        silent_at_s = loop.time() + silence_s
        while self.ended is None:
            message = await self._next(receive, silent_at_s)
            if message is None:
                silent_at_s = max(silent_at_s, self._pings.get("last_s", 0.0) + silence_s)
                if loop.time() >= silent_at_s:
                    self.end(SILENT)
                else:
                    await self._server.confirm(self)
                self._follow_clock()
                await self._do(self._conversation.wake(self._server.now()))
            elif message["type"] == "websocket.disconnect":
                return
            elif self.ended is None:
                # What comes in the moment in which a newer connection takes this one's place does not count.
                await self._take(message.get("text") or message.get("bytes") or "", loop.time())
                # From when it could be heard again.
                silent_at_s = loop.time() + silence_s

    async def _next(self, receive: Receive, silent_at_s: float) -> Any:  # noqa: ANN401 - an ASGI message
        """The next message; None where something else is due before it."""
        loop = asyncio.get_running_loop()
        self._follow_clock()
        due_at = self._conversation.due_at
        until_s = silent_at_s
        if due_at is not None:
            until_s = min(until_s, loop.time() + max(0, due_at - self._server.now()) / 1000)
        try:
            async with asyncio.timeout_at(until_s) as self._timer:
                return await receive()
        except TimeoutError:
            return None
        finally:
            self._timer = None

    def _follow_clock(self) -> None:
        """Where the time of day was set, what is due stays due in as long as before."""
        ahead = self._server.now() - self._server.steady()
        if abs(ahead - self._ahead) > CLOCK_SET_MS_MIN:
            self._conversation.clock_was_set(ahead - self._ahead)
            self._ahead = ahead

    async def _take(self, body: str | bytes, now_s: float) -> None:
        limits = self._server.limits
        self._server.messages += 1
        if len(body) > limits.message_bytes_max:
            self.ended = Close(TooLarge.close_code, f"a message has at most {limits.message_bytes_max} bytes")
            return
        if now_s - self._minute_began_s > MINUTE_S:
            self._minute_began_s = now_s
            self._messages = 0
        self._messages += 1
        if self._messages > limits.messages_per_minute_max:
            self.ended = Close(
                TooManyRequests.close_code, f"at most {limits.messages_per_minute_max} messages a minute"
            )
            return
        counted_plugs = self.station.points.counts_plugs
        outcome = self._conversation.receive(body, self._server.now())
        if self.station.points.counts_plugs and not counted_plugs:
            plugs = self.station.points.layout.by_plug
            logger.warning(
                "a charge point numbers its connectors instead of its EVSEs; remove it and add it with --map",
                charge_point=self.station.point.id,
                map=" ".join(f"{number}={key}" for number, key in plugs.items()),
            )
        self._server.refused(self.station, body, outcome)
        await self._do(outcome)
        await self._server.confirm(self)

    async def _do(self, outcome: Outcome) -> None:
        if outcome is NOTHING:
            return
        answer = outcome.answer
        if not await self._server.take(self, outcome):
            answer = outcome.instead
            self._conversation.ask_again(self._server.now())
        for text in (answer, outcome.call):
            if text is not None:
                await self._send({"type": "websocket.send", "text": text})


async def _close(send: Send, close: Close) -> None:
    reason = close.reason.encode()[:REASON_BYTES_MAX].decode(errors="ignore")
    await send({"type": "websocket.close", "code": close.code, "reason": reason})


async def _refuse(send: Send, error: LadestromError, kind: str) -> None:
    body = problem(error)
    headers = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    if isinstance(error, Unauthenticated):
        headers.append((b"www-authenticate", b'Basic realm="ladestrom", charset="UTF-8"'))
    if error.retry:
        headers.append((b"retry-after", b"30"))
    await send({"type": f"{kind}.start", "status": error.status, "headers": headers})
    await send({"type": f"{kind}.body", "body": body})
