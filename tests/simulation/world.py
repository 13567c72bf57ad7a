"""A small world with a seed: operators, a server that restarts, consumers, and roads that break.

    report = simulate(4711)
    assert not report.wrongs, report

Everything in a world follows from its seed. It runs in rounds: trouble for a while, then everybody is given
time to come to rest, and is compared with the truth once more.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final

import msgspec
from tests.simulation import serving
from tests.simulation.consumers import Consumer, Request, V1Consumer, V2Consumer, query
from tests.simulation.loop import SimulatedLoop, Stuck
from tests.simulation.losses import Loss
from tests.simulation.nature import Kind, Nature, nature_of
from tests.simulation.network import Link
from tests.simulation.registry import (
    FINER_SUBSCRIPTIONS,
    GUEST,
    GUEST_SUBSCRIPTIONS,
    OPERATORS,
    STATIONS,
    SUBSCRIPTIONS,
    Registry,
)
from tests.simulation.serving import DRAIN_S, Server, SlowLog, scaled
from tests.simulation.truth import Fact, Truth, Wish, record_of

from ladestrom.client.v2_session import Mode
from ladestrom.model import Evse, Millis, Operator, Position, Status, StatusReport

ROUNDS: Final = 2
ROUND_S: Final = 8.0
REST_S_MAX: Final = 300.0
"""Some logs are so slow that a consumer hears of what it missed one by one, at three a second."""
REST_POLL_S: Final = 0.83
WRONGS_MAX: Final = 5
RETRY_S: Final = 0.5
CHECKED_EVERY: Final = 10
"""In one world of so many, messages are held against the published document; it takes a third more time."""
STATUSES: Final = (
    *(Status.AVAILABLE, Status.CHARGING) * 5,
    *(Status.OUTOFORDER, Status.INOPERATIVE, Status.BLOCKED, Status.RESERVED, Status.UNKNOWN),
    *(Status.PLANNED, Status.REMOVED),
)
ENDINGS: Final = ("crash", "crash", "stop", "power cut")


class Report(msgspec.Struct, frozen=True):
    """What became of a world."""

    seed: int
    wrongs: tuple[str, ...]
    """What must not have happened; the first few."""
    seen: Counter[str]
    """How often what happened."""
    trace: int
    """A number that depends on every byte that every consumer was told."""

    def __str__(self) -> str:
        return "\n".join([f"seed {self.seed}", *self.wrongs])


def simulate(seed: int, kind: Kind | None = None, loss: Loss | None = None) -> Report:
    """Runs the world of a seed to its end, or to what is wrong in it.

    Args:
        seed: decides everything.
        kind: what the world leans towards, where it is not to be the seed's own kind.
        loss: what consumers lose on their way. Operators change their EVSEs in two like halves then.
    """
    nature = nature_of(seed, kind)
    if loss is not None:
        # Pairs are lost of one message.
        nature = msgspec.structs.replace(nature, batch_rows_max=500)
    world = World(seed, nature, loss)
    with scaled(nature), asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        try:
            runner.run(world.run())
        except Stuck as error:
            world.wrong(f"stuck: {error}")
    return world.report()


class World:
    """Holds everybody together."""

    def __init__(self, seed: int, nature: Nature, loss: Loss | None = None) -> None:
        self.nature = nature
        self.loss = self._loss = loss
        self.seen: Counter[str] = Counter()
        self.subscription: Mapping[str, Wish] = {
            query(wish.words): wish for wish in (*FINER_SUBSCRIPTIONS, *GUEST_SUBSCRIPTIONS)
        }
        self.checks_frames = seed % CHECKED_EVERY == 0
        self._seed = seed
        self._wrongs: list[str] = []
        self._server: Server | None = None
        self._consumers: list[Consumer] = []
        self._truths: dict[str, Truth] = {}
        self._restarts_left = nature.restarts_max
        self._registry = Registry(nature.whims)
        self._accepted: Counter[str] = Counter()
        self._epochs = 0
        self._is_old = nature.is_old

    def _rng(self, name: str) -> random.Random:
        """Each actor has dice of its own, so that one more throw of one changes nothing for the others."""
        return random.Random(f"{self._seed} {name}")

    # -- what consumers need (consumers.Surroundings) ------------------------------------------------------

    def wrong(self, what: str) -> None:
        """Something happened that must not."""
        if len(self._wrongs) < WRONGS_MAX:
            self._wrongs.append(f"at {self._loop.time():.3f} s: {what}")

    def connect(self, request: Request, make: Callable[[Server], Link]) -> Link | None:
        """A connection to the server that runs now; None where none does."""
        server = self._server
        if server is None or not server.is_open:
            return None
        link = make(server)
        server.connect(request, link)
        return link

    def truth(self, epoch: str) -> Truth:
        """The log of an epoch."""
        return self._truths[epoch]

    @property
    def history_seq(self) -> int:
        """Oldest position from which each change can be had now."""
        return self._log.first - 1

    @property
    def epoch(self) -> str:
        """That of the log now."""
        return self._log.last.epoch

    # -- the course of the world -------------------------------------------------------------------------

    def report(self) -> Report:
        """What became of it."""
        trace = 0
        for consumer in self._consumers:
            trace = consumer.trace(trace)
        return Report(self._seed, tuple(self._wrongs), self.seen, trace)

    async def run(self) -> None:
        """From nothing to rest, round after round."""
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(lambda _, context: self.wrong(_told(context)))
        truth = self._truths["e0"] = Truth()
        self._log = SlowLog("e0", truth, self._rng("log"), self._rng("checkpoints"), self.nature)
        await self._start_server()
        self._gather_consumers()
        try:
            for number in range(ROUNDS):
                await self._trouble(number)
                await self._rest()
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs into the report
            self.wrong(repr(error))
        self.seen["changes"] = self._log.truth.changes

    async def _start_server(self) -> None:
        server = Server(
            self._log,
            self._registry,
            self._rng(f"server {self.seen['servers']}"),
            self.wrong,
            self.nature,
        )
        self.seen["servers"] += 1
        await server.start()
        self._server = server

    async def _trouble(self, number: int) -> None:
        self._log.is_calm = False
        self.loss = self._loss
        operators = (*OPERATORS, GUEST) if self.nature.has_guest else OPERATORS
        tasks = [
            asyncio.create_task(self._report(operator, self._rng(f"{operator.name} {number}")))
            for operator in operators
        ]
        tasks.append(asyncio.create_task(self._mischief(self._rng(f"mischief {number}"))))
        ends_s = self._loop.time() + ROUND_S
        while self._loop.time() < ends_s and not self._wrongs:
            await asyncio.sleep(REST_POLL_S)
        for task in tasks:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome

    async def _rest(self) -> None:
        """Gives everybody time, and wants everybody in step then."""
        if self._server is None or not self._server.is_open:
            await self._restart("crash", 0.0)
        server = self._server
        assert server is not None
        self._log.is_calm = True
        self.loss = None
        await server.hub.drain(DRAIN_S)
        ends_s = self._loop.time() + REST_S_MAX
        rested: dict[Consumer, Position] = {}
        while not self._wrongs:
            await asyncio.sleep(REST_POLL_S)
            last = self._log.last
            waits = []
            for consumer in self._consumers:
                consumer.hurry()
                if rested.get(consumer) != last:
                    what = consumer.rests(last)
                    if what is None:
                        rested[consumer] = last
                    else:
                        waits.append(what)
            if not waits:
                break
            if self._loop.time() > ends_s:
                self.wrong(f"not at rest after {REST_S_MAX:.0f} s: {waits}")
        server.audit()
        self._check_receipts()
        self._check_registry()

    def _check_receipts(self) -> None:
        """What was accepted is in the log; a power cut may cost its end."""
        facts = (fact for fact in self._log.truth.facts if isinstance(fact, Fact))
        logged = Counter(fact.source for fact in facts if fact.row[7] == "reported")
        for name, accepted in self._accepted.items():
            if accepted > logged[name] and not self._epochs:
                self.wrong(f"{name} was told of {accepted} changes, and {logged[name]} are in the log")

    def _check_registry(self) -> None:
        """All that the registry says has come into the log, and nothing else has."""
        truth, stations = self._log.truth, self._registry.stations
        said = {uuid: record_of(station).told[:-1] for uuid, station in stations.items()}
        logged = {uuid: record.told[:-1] for uuid, record in truth.records.items()}
        if said != logged:
            self.wrong(f"the registry says {said}, and the log {logged}")
        here = {fact.key: fact.station for fact in truth.evses.values() if fact.is_here}
        there = {
            evse.key: uuid
            for uuid, station in stations.items()
            if station.vanished_at is None
            for evse in station.evses
        }
        if here != there:
            self.wrong(f"the registry has {there}, and the board {here}")

    # -- who acts ----------------------------------------------------------------------------------------

    def _gather_consumers(self) -> None:
        rng = self._rng("consumers")
        for number in range(rng.randint(3, 6)):
            self._add_consumer(number, rng, rng.random() * 5)

    def _add_consumer(self, number: int, rng: random.Random, after_s: float) -> None:
        name, own = f"consumer {number}", self._rng(f"consumer {number}")
        consumer: Consumer
        if rng.random() < 0.25:
            framing = rng.choice(("text", "deflate"))
            wish = rng.choice(SUBSCRIPTIONS)
            consumer = V1Consumer(name, self, own, framing, wish, raw=rng.random() < 0.5)
        else:
            mode = Mode.EVERY if rng.random() < self.nature.every_share else Mode.LATEST
            consumer = V2Consumer(
                name,
                self,
                own,
                rng.choice(self.nature.palette),
                mode,
                records=own.random() < self.nature.records_share,
                by_time=own.random() < self.nature.by_time_share,
            )
        self._consumers.append(consumer)
        consumer.come(after_s)

    async def _report(self, operator: Operator, rng: random.Random) -> None:
        """One operator's deliveries; what was not answered is sent again."""
        while True:
            await asyncio.sleep(rng.expovariate(1 / self.nature.pause_s))
            evses = self._registry.evses(operator)
            if not evses:
                continue
            now = serving.NOW + int(self._loop.time() * 1000)
            reports = []
            for evse, status, error, observed_at in self._observed(rng, evses, now):
                reports.append(
                    StatusReport(evse.key, status, error, observed_at, operator.name, status.value)
                )
            while True:
                server = self._server
                receipt = None if server is None else await server.submit(operator, reports)
                if receipt is not None:
                    break
                self.seen["deliveries sent again"] += 1
                await asyncio.sleep(RETRY_S)
            self.seen["deliveries"] += 1
            self._accepted[operator.name] += receipt.accepted
            last = self._log.last
            if receipt.position.epoch == last.epoch and receipt.position.seq > last.seq:
                self.wrong(f"a receipt for {receipt.position}, and the log ends at {last}")

    def _observed(
        self, rng: random.Random, evses: Sequence[Evse], now: Millis
    ) -> Iterator[tuple[Evse, Status, bool, Millis]]:
        if self._loss is not None:
            statuses = rng.choice(STATUSES), rng.choice(STATUSES)
            for place, evse in enumerate(evses):
                yield evse, statuses[place % 2], False, now
            return
        for _ in range(rng.randint(1, rng.choice((1, self.nature.burst)))):
            observed_at = now - rng.choice((0, 0, 0, rng.randrange(4_000)))
            yield rng.choice(evses), rng.choice(STATUSES), rng.random() < 0.05, observed_at

    async def _mischief(self, rng: random.Random) -> None:
        events = [name for name, share in self.nature.events.items() for _ in range(share)]
        while True:
            await asyncio.sleep(rng.random() * 0.8)
            await self._acts[rng.choice(events)](self, rng)

    def _pick(self, rng: random.Random) -> Consumer:
        """A consumer; preferably one that is in the middle of something."""
        busy = [consumer for consumer in self._consumers if consumer.waits]
        return rng.choice(busy if busy and rng.random() < 0.6 else self._consumers)

    async def _cut(self, rng: random.Random) -> None:
        link = self._pick(rng).link
        if link is not None:
            link.cut("cut")

    async def _leave(self, rng: random.Random) -> None:
        self._pick(rng).leave(rng.choice(self.nature.aways_s))

    async def _repave(self, rng: random.Random) -> None:
        consumer = rng.choice(self._consumers)
        consumer.road = rng.choice(self.nature.roads)
        if consumer.link is not None:
            consumer.link.road = consumer.road

    async def _select(self, rng: random.Random) -> None:
        consumer = self._pick(rng)
        if isinstance(consumer, V2Consumer):
            if rng.random() < 0.2:
                consumer.ask_nonsense()
            else:
                consumer.select(rng.choice(FINER_SUBSCRIPTIONS))

    async def _join(self, rng: random.Random) -> None:
        if len(self._consumers) < 9:
            self._add_consumer(len(self._consumers), rng, 0.0)

    async def _sign_off(self, rng: random.Random) -> None:
        uuid = rng.choice(STATIONS).uuid
        if self._server is not None:
            await self._server.withdraw(uuid)

    async def _change_registry(self, rng: random.Random) -> None:
        if self._is_old:
            return
        what = self._registry.change(rng)
        self.seen["registry changes"] += what != ""
        self.seen[f"registry: {what}"] += 1
        if self._server is not None and self._server.is_open:
            await self._server.take_registry()

    async def _fail_append(self, rng: random.Random) -> None:
        self._log.fails = rng.random() < 0.5

    async def _end_server(self, rng: random.Random) -> None:
        if self._restarts_left > 0 and rng.random() < 0.5:
            self._restarts_left -= 1
            await self._restart(rng.choice(ENDINGS), rng.random() * 3)

    async def _restart(self, ending: str, down_s: float) -> None:
        server = self._server
        if server is not None:
            self.seen[f"server: {ending}"] += 1
            await (server.stop() if ending == "stop" else server.crash())
            self._server = None
        if ending == "power cut":
            self._epochs += 1
            epoch = f"e{self._epochs}"
            self._log.forget_end(epoch, self._rng(epoch).randrange(20))
            self._truths[epoch] = self._log.truth
        if self._is_old:
            self._is_old = False
            await self._log.become_old()
            self.seen["taken over"] += 1
        await asyncio.sleep(down_s)
        await self._start_server()

    _acts: ClassVar[Mapping[str, Callable[[World, random.Random], Awaitable[None]]]] = {
        "cut": _cut,
        "leave": _leave,
        "repave": _repave,
        "select": _select,
        "join": _join,
        "sign off": _sign_off,
        "fail": _fail_append,
        "restart": _end_server,
        "registry": _change_registry,
    }


def _told(context: dict[str, Any]) -> str:
    return f"{context.get('message')}: {context.get('exception')!r}"
