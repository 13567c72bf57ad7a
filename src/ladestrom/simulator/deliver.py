"""Tells a server what happens, as operators do: through `POST /api/v2/reports`, each with its own key.

Knows the public report interface and two clocks: simulated time runs `speed` times as fast as real time. Must
not know the server's inside.
"""

from __future__ import annotations

import asyncio
import gzip
import time
from collections import Counter
from datetime import UTC, datetime
from random import Random
from typing import TYPE_CHECKING, Final

import httpx2
import msgspec

from ladestrom.errors import BadRequest, LadestromError, NotAllowed, Unauthenticated
from ladestrom.model import Status
from ladestrom.simulator.companies import DEFAULT_HABIT, HABITS, Form, Habit
from ladestrom.simulator.reporting import Delivery, Kind, Reporter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ladestrom.model import Millis
    from ladestrom.simulator.traffic import Event, Point, Traffic

SPEED_MAX: Final = 3_600.0
"""An hour a second. Events of one EVSE, `traffic.DWELL_MS_MIN` apart, still differ by a real millisecond."""

TICK_S: Final = 0.1
"""How often operators look whether something is due; the least real time between event and report."""

EVENTS_PER_TICK_MAX: Final = 5_000
"""About 30 ms of work, so that a server in the same process is not kept waiting."""

REQUESTS_PER_OPERATOR_MAX: Final = 4
"""At one time."""

RESPONSE_TIMEOUT_S: Final = 10.0
RETRY_FIRST_S: Final = 0.2
RETRY_MAX_S: Final = 5.0
"""Waiting between attempts doubles from the first to this, with a random part; there is no last attempt."""

_IN_PASSING: Final = frozenset({408, 409, 429, 502, 503, 504})
"""Answers after which the same request may succeed."""

_REFUSALS: Final[dict[int, type[LadestromError]]] = {401: Unauthenticated, 403: NotAllowed}

_NOBIL: Final[dict[Status, int]] = {
    Status.AVAILABLE: 0,
    Status.CHARGING: 1,
    Status.BLOCKED: 1,
    Status.RESERVED: 1,
}
"""NOBIL's word where it is not -1, unknown."""


class Tally(msgspec.Struct):
    """What became of everything that was sent."""

    requests: Counter[Kind] = msgspec.field(default_factory=Counter)
    """Answered with a receipt, by kind of delivery."""
    items: int = 0
    accepted: int = 0
    unchanged: int = 0
    refused: Counter[str] = msgspec.field(default_factory=Counter)
    """By reason."""
    retries: int = 0


class Clock:
    """Simulated time, and its instants in real time.

    What happened at a simulated instant is told with the real instant at which simulated time was there: the
    order of events is kept, and no instant lies in the future of a server with the same clock. With speed 1
    and a traffic that has reached now both are the same.
    """

    def __init__(
        self, start: Millis, speed: float, wall: Callable[[], float], monotonic: Callable[[], float]
    ) -> None:
        self._start: Final = start
        self._speed: Final = speed
        self._wall: Final = wall
        self._monotonic: Final = monotonic
        self._began_at: Final = int(wall() * 1000)
        self._began_s: Final = monotonic()

    def simulated(self) -> Millis:
        """The simulated instant that is now."""
        return self._start + int((self._monotonic() - self._began_s) * 1000 * self._speed)

    def observed_at(self, at: Millis) -> Millis:
        """The real instant of a simulated one; now, where the real clock was set back."""
        mapped = self._began_at + int((at - self._start) / self._speed)
        return min(mapped, int(self._wall() * 1000))


class _Receipt(msgspec.Struct):
    accepted: int
    unchanged: int
    refused: list[_Refused]


class _Refused(msgspec.Struct):
    reason: str


_decode_receipt = msgspec.json.Decoder(_Receipt).decode
_encode = msgspec.json.Encoder().encode


class _Wire:
    """Writes deliveries in an operator's form."""

    def __init__(self, habit: Habit, points: tuple[Point, ...], clock: Clock) -> None:
        self._habit: Final = habit
        self._points: Final = points
        self._clock: Final = clock

    def body(self, delivery: Delivery) -> bytes:
        """One item, or a list of them."""
        if delivery.kind.confirms:
            # A millisecond before, so that what happens right after it is newer.
            observed_at = self._clock.observed_at(delivery.at) - 1
            items = [self._item(event, observed_at) for event in delivery.items]
        else:
            items = [self._item(event, self._clock.observed_at(event.at)) for event in delivery.items]
        return _encode(items[0] if delivery.alone else items)

    def _item(self, event: Event, observed_at: Millis) -> dict[str, str | int]:
        point = self._points[event.point]
        if self._habit.form is Form.NOBIL:
            return {
                "uuid": point.station.uuid,
                "connector": point.connector,
                "status": _NOBIL.get(event.status, -1),
                "error": int(event.error or event.status is Status.INOPERATIVE),
                "timestamp": observed_at,
            }
        return {
            "evse": self._evse(point),
            "status": event.status.value,
            "error": int(event.error),
            "observed_at": _iso(observed_at) if self._habit.iso_times else observed_at,
        }

    def _evse(self, point: Point) -> str:
        match self._habit.form:
            case Form.UID if point.evse.uid is not None:
                return point.evse.uid
            case Form.COMPACT:
                return point.evse.key.lower()
            case _:
                return point.evse.name


def _iso(at: Millis) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class _Operator:
    """One operator's side of the conversation: what is due goes over a few connections, until it is taken."""

    def __init__(
        self,
        name: str,
        key: str,
        reporter: Reporter,
        wire: _Wire,
        client: httpx2.AsyncClient,
        tally: Tally,
        rng: Random,
    ) -> None:
        self.reporter: Final = reporter
        self.opened: Final = asyncio.Event()
        self._name: Final = name
        self._key: Final = key
        self._wire: Final = wire
        self._client: Final = client
        self._tally: Final = tally
        self._rng: Final = rng
        self._number = 0
        self._outbox: Final[asyncio.Queue[Delivery]] = asyncio.Queue(REQUESTS_PER_OPERATOR_MAX)

    async def report(self, now: Callable[[], Millis]) -> None:
        """Puts out what is due, for ever; waits while all connections are busy."""
        while True:
            deliveries = self.reporter.due(now())
            for delivery in deliveries:
                await self._outbox.put(delivery)
            if deliveries and not self.opened.is_set():
                await self._outbox.join()
                self.opened.set()
            await asyncio.sleep(TICK_S)

    async def send(self) -> None:
        """Sends one delivery after the other, for ever.

        Raises:
            Unauthenticated, NotAllowed, BadRequest, LadestromError: the server refused a delivery for good.
        """
        while True:
            delivery = await self._outbox.get()
            receipt = await self._deliver(delivery)
            tally = self._tally
            tally.requests[delivery.kind] += 1
            tally.items += len(delivery.items)
            tally.accepted += receipt.accepted
            tally.unchanged += receipt.unchanged
            tally.refused.update(refused.reason for refused in receipt.refused)
            self._outbox.task_done()

    async def _deliver(self, delivery: Delivery) -> _Receipt:
        self._number += 1
        body = self._wire.body(delivery)
        headers = {
            "Authorization": f"Bearer {self._key}",
            "Content-Type": "application/json",
            "Idempotency-Key": f"{delivery.at:x}-{self._number:x}-{self._rng.getrandbits(64):x}",
        }
        if delivery.kind in {Kind.OPENING, Kind.SNAPSHOT}:
            body = gzip.compress(body, compresslevel=1)
            headers["Content-Encoding"] = "gzip"
        wait_s = RETRY_FIRST_S
        while True:
            answer = await self._post(body, headers)
            if isinstance(answer, _Receipt):
                return answer
            self._tally.retries += 1
            await asyncio.sleep(min(RETRY_MAX_S, max(answer, wait_s * (0.5 + self._rng.random() / 2))))
            wait_s = min(RETRY_MAX_S, wait_s * 2)

    async def _post(self, body: bytes, headers: Mapping[str, str]) -> _Receipt | float:
        """The receipt; or, where trying again may help, the seconds that the server asks to wait."""
        try:
            response = await self._client.post("/api/v2/reports", content=body, headers=headers)
        except httpx2.TransportError:
            return 0.0
        if response.status_code == httpx2.codes.OK:
            return _decode_receipt(response.content)
        if response.status_code in _IN_PASSING:
            asked = response.headers.get("Retry-After", "")
            return float(asked) if asked.isdecimal() else 0.0
        kind = _REFUSALS.get(response.status_code, LadestromError if response.is_server_error else BadRequest)
        raise kind(
            f"{self._name}: the server answers {response.status_code} to a report: {response.text[:500]}"
        )


async def drive(
    url: str,
    keys_by_operator: Mapping[str, str],
    traffic: Traffic,
    speed: float,
    *,
    rng: Random,
    tally: Tally | None = None,
    opened: asyncio.Event | None = None,
) -> None:
    """Reports the traffic to the server at `url`, until it is cancelled.

    EVSEs of operators without a key are left out. How each operator reports is in `companies`, by its name.
    Where the server is slower than the traffic, operators wait, and what they could not tell in time shrinks
    to the newest of each EVSE. A delivery is sent again until it is taken.

    Args:
        url: `http://HOST:PORT`.
        keys_by_operator: report keys by the operator's name, which is that of the station.
        traffic: goes on now from where it is, whatever its `start` is.
        speed: simulated seconds per second, above 0, at most `SPEED_MAX`.
        rng: for what is late, and how long is waited before another attempt.
        tally: counts what was sent.
        opened: set once every operator has told the status of all its EVSEs, silent ones left out.

    Raises:
        ValueError: the speed is out of range, or no EVSE belongs to an operator with a key.
        Unauthenticated, NotAllowed, BadRequest: the server refuses an operator's reports for good.
        LadestromError: the server fails on them.
    """
    if not 0 < speed <= SPEED_MAX:
        raise ValueError(f"speed {speed:g}; it is above 0 and at most {SPEED_MAX:g}")
    boards: dict[str, list[Event]] = {}
    for event in traffic.board():
        name = traffic.points[event.point].station.operator
        if name is not None and name in keys_by_operator:
            boards.setdefault(name, []).append(event)
    if not boards:
        raise ValueError("no EVSE of the traffic belongs to an operator with a key")
    clock = Clock(traffic.reached, speed, time.time, time.monotonic)
    async with httpx2.AsyncClient(
        base_url=url,
        timeout=RESPONSE_TIMEOUT_S,
        limits=httpx2.Limits(
            max_connections=REQUESTS_PER_OPERATOR_MAX * len(boards),
            max_keepalive_connections=REQUESTS_PER_OPERATOR_MAX * len(boards),
        ),
        trust_env=False,
    ) as client:
        operators = {}
        for name, board in boards.items():
            habit = HABITS.get(name, DEFAULT_HABIT)
            reporter = Reporter(habit, board, rng, traffic.reached)
            wire = _Wire(habit, traffic.points, clock)
            operators[name] = _Operator(
                name, keys_by_operator[name], reporter, wire, client, tally or Tally(), rng
            )
        await _run(traffic, clock, operators, opened or asyncio.Event())


async def _run(
    traffic: Traffic, clock: Clock, operators: Mapping[str, _Operator], opened: asyncio.Event
) -> None:
    horizon = traffic.reached
    reporters = [
        None if (operator := operators.get(point.station.operator or "")) is None else operator.reporter
        for point in traffic.points
    ]

    async def announce() -> None:
        for operator in operators.values():
            await operator.opened.wait()
        opened.set()

    try:
        async with asyncio.TaskGroup() as tasks:
            for operator in operators.values():
                tasks.create_task(operator.report(lambda: horizon))
                for _ in range(REQUESTS_PER_OPERATOR_MAX):
                    tasks.create_task(operator.send())
            tasks.create_task(announce())
            while True:
                now = clock.simulated()
                events = traffic.until(now, EVENTS_PER_TICK_MAX)
                # Operators live up to here and not beyond: nothing is confirmed that an event to come denies.
                behind = len(events) == EVENTS_PER_TICK_MAX
                horizon = events[-1].at if behind else now
                for event in events:
                    reporter = reporters[event.point]
                    if reporter is not None:
                        reporter.note(event)
                await asyncio.sleep(0 if behind else TICK_S)
    except ExceptionGroup as group:
        refusal = next((error for error in group.exceptions if isinstance(error, LadestromError)), None)
        if refusal is None:
            raise
        raise refusal from None
