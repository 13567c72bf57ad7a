"""A small world with a seed in which many sources speak about few EVSEs: is the board what the rules say?

    report = simulate(4711)
    assert not report.wrongs, report

Everything in a world follows from its seed. One thing happens after the other, to the real writer and to the
judge, and after each the board, the log and the receipts are compared with what the judge says.
"""

from __future__ import annotations

import asyncio
import random
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple
from unittest import mock

import msgspec
from tests.properties.reference_board import Place
from tests.simulation.loop import SimulatedLoop
from tests.simulation.rules import speakers
from tests.simulation.rules.judge import Item, Judge, Round, Verdict
from tests.simulation.rules.nature import EVENTS, LEANING, LEANINGS, Kind
from tests.simulation.rules.overlay import Overlay
from tests.simulation.rules.serving import GRACE_S, READING_STALE_MS, SKEW_MS, STALE_S, KeptLog, Server
from tests.simulation.rules.speakers import (
    ASKED,
    BY_NAME,
    HOUR_MS,
    OPERATORS,
    POINT,
    STREAM,
    TELLING,
    Speaker,
    Wire,
)
from tests.simulation.rules.stations import KEYS, WRITTEN, Registry

from ladestrom.errors import LogFailure
from ladestrom.ingest.intake import feed_of
from ladestrom.ingest.supervision import Kind as Way
from ladestrom.model import (
    Beginning,
    Ids,
    Millis,
    Operator,
    Order,
    Reading,
    Receipt,
    Status,
)
from ladestrom.protocols.delivery import Delivery
from ladestrom.protocols.ocpp import Conversation
from ladestrom.protocols.ocpp16 import OCPP_16
from ladestrom.writer import hub as hub_module
from ladestrom.writer.expiry import Expiry

NOW: Final[Millis] = 1_795_000_000_000
STEPS: Final = 70
LOOK_MS: Final = 40_000
"""Between two looks at who is silent: less than what is taken for a gap."""
WRONGS_MAX: Final = 3
HEARD_MAX: Final = 40
"""Items that may come again."""
MINUTE_MS: Final = 60_000

ORIGINAL: Final = {operator.name: operator for operator in OPERATORS}
"""As a connection has them that is as old as the world: their rights may be others by now."""
REGISTER: Final = Speaker("register", "register", "", Way.PUSH, Order.STAMPS, {})
"""A register that tells statuses."""


class Report(msgspec.Struct, frozen=True):
    """What became of a world."""

    seed: int
    wrongs: tuple[str, ...]
    """What must not have happened; the first few."""
    seen: Counter[str]
    """How often what happened."""
    kind: Kind
    trace: int
    """A number that depends on everything that was logged and answered."""

    def __str__(self) -> str:
        return "\n".join([f"rules, seed {self.seed}, {self.kind}", *self.wrongs])


class Wrong(Exception):
    """Something is not as the rules say: what follows would only repeat it."""


class Pull(NamedTuple):
    """A round that is under way."""

    began: Beginning
    judged: Round
    named: list[Ids]
    """What its pages told of."""


def simulate(seed: int, kind: Kind | None = None) -> Report:
    """Runs the world of a seed to its end, or to what is wrong in it.

    Args:
        seed: decides everything.
        kind: what the world leans towards, where it is not to be the seed's own kind.
    """
    world = World(seed, kind or list(Kind)[seed % len(Kind)])
    quiet = mock.patch.object(hub_module, "logger", mock.Mock())
    with quiet, asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        runner.run(world.run())
    return world.report()


class World:
    """Holds everybody together."""

    def __init__(self, seed: int, kind: Kind) -> None:
        self.kind = kind
        self.seen: Counter[str] = Counter()
        self._seed = seed
        self._rng = random.Random(f"rules {seed}")
        self._wrongs: list[str] = []
        self._trace = 0
        self._step = ""
        self.judge = Judge(self._wrong, OPERATORS, STALE_S, GRACE_S)
        self.judge.wall = NOW
        self._operators = dict(ORIGINAL)
        self._registry = Registry()
        self._log = KeptLog()
        self._heard: list[tuple[Speaker, Wire]] = []
        self._pulls: dict[str, Pull] = {}
        self._is_followed = False
        self._conversation: Conversation | None = None
        self._serial = 0
        self._read_up_to = 0
        self._overlay = Overlay()
        rng = self._rng
        weights = {name: weight * rng.choice((0, 1, 1, 2)) for name, weight in EVENTS.items()}
        for name in LEANINGS[kind]:
            weights[name] += LEANING
        self._events = [name for name, weight in weights.items() for _ in range(weight)] or ["tell"]
        self._speakers = rng.sample(TELLING, rng.choice((2, 3, 4, len(TELLING))))
        self._numbers = rng.choice(((0, 1, 1, 2, 2, 3), (0, 0, 0, 1)))
        """Of itself, and of its EVSEs, of which the charge point speaks."""
        self._keys = rng.sample(KEYS, rng.choice((1, 1, 2, 2, 3)))

    # -- clocks and rights, as the server asks for them --------------------------------------------------------

    def now(self) -> Millis:
        """The wall's clock."""
        return self.judge.wall

    def steady(self) -> Millis:
        """The clock that only goes on."""
        return self.judge.lived - self._began_ms + 5_000

    def present(self, operator: Operator) -> Operator:
        """An operator with the rights that it has now."""
        return self._operators.get(operator.name, operator)

    # -- the course of the world -------------------------------------------------------------------------------

    def report(self) -> Report:
        """What became of it."""
        return Report(self._seed, tuple(self._wrongs), self.seen, self.kind, self._trace)

    def _wrong(self, what: str) -> None:
        if len(self._wrongs) < WRONGS_MAX:
            self._wrongs.append(f"{self._step}: {what}")

    async def run(self) -> None:
        """From nothing, step after step."""
        try:
            await self._begin()
            for number in range(STEPS):
                event = self._rng.choice(self._events)
                self._step = f"step {number}, {event}"
                self.seen[event] += 1
                self._pass(self._rng.choice((0, 0, 1, 1, 2, 5, 1_000, 30_000)))
                await self._acts[event](self)
                self._compare()
        except Wrong:
            pass
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs into the report
            self._wrong(repr(error))

    async def _begin(self) -> None:
        await self._start()
        self.judge.receive()
        self.judge.register(self._registry.stations.values())
        self.judge.checkpoint()
        self._compare()

    async def _start(self) -> None:
        # A clock that only goes on begins anew with the machine.
        self._began_ms = self.judge.lived
        self._server = Server(self._log, self._registry, self)
        await self._server.start(self._operators)

    def _pass(self, ms: int) -> None:
        self.judge.pass_time(ms)

    def _compare(self) -> None:
        given = self._server.hub._times.given_at
        if given != self.judge.given and given == self.judge.wall:
            # Something of ours was decided, of which nobody outside knows.
            self.judge.receive()
        taken, self._log.taken = self._log.taken, []
        # What goes at once goes in the order of a set, which is another in each process.
        for change in sorted(taken, key=lambda change: change.evse):
            self._note(change)
            self.seen[change.cause.value] += 1
        self.judge.compare(self._server.board.cells, taken, given)
        if self._wrongs:
            raise Wrong

    def _note(self, what: object) -> None:
        self._trace = zlib.crc32(repr(what).encode(), self._trace)

    # -- words ---------------------------------------------------------------------------------------------------

    def _wires(self, speaker: Speaker, most: int = 3) -> list[Wire]:
        return [self._wire(speaker) for _ in range(self._rng.randint(1, most))]

    def _wire(self, speaker: Speaker) -> Wire:
        rng = self._rng
        key = rng.choice(self._keys) if rng.random() < 0.93 else rng.choice((*KEYS, ""))
        written = rng.choice(WRITTEN[key] if rng.random() < 0.5 else WRITTEN[key][:1])
        if speaker.protocol == "oicp" and not written.startswith("NO*"):
            written = "NO*ALF*E1"
        words = list(speaker.words)
        word = rng.choice(words if rng.random() < 0.4 else words[:2])
        return Wire(written, word, self._stamp(speaker), speaker.protocol == "plain" and rng.random() < 0.3)

    def _stamp(self, speaker: Speaker) -> Millis | None:
        rng = self._rng
        if not speaker.has_stamps or rng.random() < 0.2:
            return None
        now = self.judge.wall
        stamps = [wire.stamp for _, wire in self._heard[-6:] if wire.stamp is not None]
        observed = [place.observed_at for place in self.judge.places.values() if place.observed_at > 0]
        near = (now, now, now - 1, now - rng.randrange(5_000), now - rng.randrange(2 * HOUR_MS))
        ahead = (now + 1, now + rng.randrange(3_000), now + rng.randrange(5 * MINUTE_MS), now + HOUR_MS)
        return rng.choice(
            (rng.choice(near), rng.choice(stamps or near), rng.choice(observed or near), rng.choice(ahead))
        )

    def _items(self, speaker: Speaker, wires: Sequence[Wire]) -> list[Item]:
        return [Item(wire.written, speakers.meaning(speaker, wire), wire.stamp) for wire in wires]

    def _delivery(
        self, speaker: Speaker, wires: Sequence[Wire], *, complete: bool = False, named: Sequence[Ids] = ()
    ) -> Delivery:
        made = speakers.delivery(speaker, wires, complete=complete, named=named)
        unmapped = speakers.unmapped(speaker, wires)
        if made.unmapped != unmapped:
            self._wrong(f"{made.unmapped} words of {wires} count as unmapped, by the rules {unmapped}")
        return made

    def _remember(self, speaker: Speaker, wires: Sequence[Wire]) -> None:
        self._heard += [(speaker, wire) for wire in wires]
        del self._heard[:-HEARD_MAX]

    async def _take(
        self,
        speaker: Speaker,
        delivery: Delivery,
        items: Sequence[Item],
        began: Beginning | None = None,
        judged: Round | None = None,
    ) -> None:
        await self._take_all([(speaker, delivery, items)], began, judged)

    async def _take_all(
        self,
        told: Sequence[tuple[Speaker, Delivery, Sequence[Item]]],
        began: Beginning | None = None,
        judged: Round | None = None,
        meanwhile: Callable[[], None] | None = None,
    ) -> None:
        """Takes deliveries that arrive at once; they are decided in their order."""
        fails = self._log.fails
        takes = [
            self._server.intake.take(
                ORIGINAL[speaker.operator],
                delivery,
                protocol=speaker.protocol,
                identity=speaker.identity(is_asked=began is not None),
                arrival=speaker.arrival(began),
            )
            for speaker, delivery, _ in told
        ]
        under_way = [asyncio.create_task(take) for take in takes]
        if meanwhile is not None:
            # They are handed in now, and not decided yet.
            await asyncio.sleep(0)
            meanwhile()
        receipts = await asyncio.gather(*under_way, return_exceptions=True)
        if fails and not self._log.fails:
            self.seen["failed appends"] += 1
            self.judge.begin()
            for receipt in receipts:
                if not isinstance(receipt, LogFailure):
                    self._wrong(f"the log failed, and the receipt is {receipt}")
            return
        for (speaker, _, items), receipt in zip(told, receipts, strict=True):
            verdict = self.judge.take(speaker, items, judged, SKEW_MS)
            self._note(receipt)
            found = Verdict.of(receipt) if isinstance(receipt, Receipt) else receipt
            if found != verdict:
                self._wrong(f"{speaker.name} sent {items}; the receipt is {found}, by the rules {verdict}")

    async def _tell(self) -> None:
        told = []
        for _ in range(self._rng.choice((1, 1, 1, 2, 3))):
            speaker = self._rng.choice(self._speakers)
            if speaker is STREAM and not self._is_followed:
                self._is_followed = True
            wires = self._wires(speaker)
            self._remember(speaker, wires)
            told.append((speaker, self._delivery(speaker, wires), self._items(speaker, wires)))
        takes_away = "rights" in self._events and self._rng.random() < 0.15
        await self._take_all(told, meanwhile=self._change_right if takes_away else None)
        if takes_away:
            await self._refresh()

    async def _tell_again(self) -> None:
        """Old words once more, as they were written."""
        if not self._heard:
            return
        speaker = self._rng.choice(self._heard)[0]
        own = [wire for each, wire in self._heard if each is speaker]
        wires = self._rng.choices(own, k=self._rng.randint(1, 3))
        await self._take(speaker, self._delivery(speaker, wires), self._items(speaker, wires))

    async def _try(self) -> None:
        """What would become of a delivery: nothing comes of it."""
        speaker = self._rng.choice(TELLING)
        delivery = self._delivery(speaker, self._wires(speaker))
        await self._server.intake.tried(ORIGINAL[speaker.operator], delivery, speaker.protocol)
        self.judge.arrive()
        self.judge.receive()

    # -- rounds --------------------------------------------------------------------------------------------------

    async def _begin_round(self) -> None:
        speaker = self._rng.choice(ASKED)
        self._pulls[speaker.name] = Pull(self._server.intake.begin(), self.judge.begin(), [])

    async def _page(self) -> None:
        if not self._pulls:
            await self._begin_round()
        name = self._rng.choice(list(self._pulls))
        pull, speaker = self._pulls[name], BY_NAME[name]
        wires = self._wires(speaker, 2)
        delivery, items = self._delivery(speaker, wires), self._items(speaker, wires)
        pull.named.extend((report.evse, report.also, report.shared) for report in delivery.reports)
        await self._take(speaker, delivery, items, pull.began, pull.judged)

    async def _end_round(self) -> None:
        """The last page of a round, which is complete then; or a push that is complete of its sender."""
        if self._log.fails:
            return
        if not self._pulls or self._rng.random() < 0.2:
            await self._push_all()
            return
        name = self._rng.choice(list(self._pulls))
        pull, speaker = self._pulls.pop(name), BY_NAME[name]
        wires = self._wires(speaker, 2)
        delivery = self._delivery(speaker, wires, complete=True, named=pull.named)
        await self._take(speaker, delivery, self._items(speaker, wires), pull.began, pull.judged)
        keep = [*(evse for evse, *_ in pull.named), *(report.evse for report in delivery.reports)]
        self.judge.sign_off(speaker.operator, keep=keep, before=pull.judged, by=True)

    async def _push_all(self) -> None:
        speaker = BY_NAME["gamma/oicp"]
        wires = self._wires(speaker)
        delivery = self._delivery(speaker, wires, complete=True)
        judged = self.judge.begin()
        await self._take(speaker, delivery, self._items(speaker, wires), None, judged)
        keep = [wire.written for wire in wires]
        within = sorted({"NOALF", *(speakers_party(each) for each in keep)})
        self.judge.sign_off(speaker.operator, keep=keep, within=within, before=judged, by=True)

    # -- a charge point ------------------------------------------------------------------------------------------

    async def _point(self) -> None:
        """The charge point says a status of one of its EVSEs, or of itself as a whole."""
        if self._conversation is None:
            self._conversation = Conversation(OCPP_16, self._server.points, 300, self.now())
        number = self._rng.choice(self._numbers)
        self._serial += 1
        wire = self._wire(POINT)._replace(error=False)
        message = speakers.notification(number, wire, self._serial)
        outcome = self._conversation.receive(message, self.now())
        station = self._registry.stations["NOR_00001"]
        here = () if station.vanished_at is not None else (evse.key for evse in station.evses)
        items = self._overlay.meant(number, wire, frozenset(here))
        if outcome.delivery is None:
            if items:
                self._wrong(f"the charge point said {message}, and nothing came of it")
            return
        await self._take(POINT, outcome.delivery, items)

    # -- connections ---------------------------------------------------------------------------------------------

    async def _cut(self) -> None:
        """A connection has gone, and what was last heard on it is lost."""
        if self._log.fails:
            return
        if self._rng.random() < 0.5:
            operator, feed = ORIGINAL[POINT.operator], self._feed(POINT)
            self._conversation = None
            evses = frozenset(self._server.points.layout.evses.values())
            began = self._server.intake.begin()
            judged = self.judge.begin()
            if self._rng.random() < 0.3:
                # It is back before it is taken for gone.
                await self._point()
            await self._server.intake.sign_off(operator, feed, evses, before=began)
            self.judge.sign_off(POINT.operator, only=evses, feed=POINT.name, before=judged)
        else:
            self._is_followed = False
            await self._server.intake.sign_off(ORIGINAL[STREAM.operator], self._feed(STREAM))
            self.judge.sign_off(STREAM.operator, feed=STREAM.name)

    async def _snapshot(self) -> None:
        """A stream begins anew with all that it has: what it lacks is lost."""
        if self._log.fails:
            return
        wires = self._wires(STREAM)
        self._remember(STREAM, wires)
        await self._take(STREAM, self._delivery(STREAM, wires), self._items(STREAM, wires))
        operator = ORIGINAL[STREAM.operator]
        keep = [(wire.written, "", "") for wire in wires]
        await self._server.intake.keep_only(operator, self._feed(STREAM), keep)
        self.judge.sign_off(STREAM.operator, keep=[each for each, *_ in keep], feed=STREAM.name, by=True)

    async def _forget(self) -> None:
        """A source that is a board itself says that it knows nothing of an EVSE now."""
        if self._log.fails:
            return
        written = self._rng.choice(WRITTEN[self._rng.choice(KEYS)])
        delivery = Delivery(reports=[], order=Order.ARRIVAL, unknown=[written])
        await self._take(STREAM, delivery, [])
        self.judge.sign_off(STREAM.operator, only=[written], feed=STREAM.name, by=True)

    async def _confirm(self) -> None:
        """All holds that a stream told."""
        await self._server.intake.confirm(ORIGINAL[STREAM.operator], self._feed(STREAM))
        self.judge.confirm(STREAM.operator, STREAM.name)

    def _feed(self, speaker: Speaker) -> str:
        return feed_of(
            ORIGINAL[speaker.operator],
            speaker.identity(is_asked=True),
            speaker.order,
            speaker.arrival(None),
        ).name

    # -- time ----------------------------------------------------------------------------------------------------

    async def _wait(self) -> None:
        """Nothing happens for a while but looks at who is silent."""
        if self._log.fails:
            return
        for _ in range(self._rng.choice((1, 2, 5, 12, 25))):
            self._pass(LOOK_MS)
            await self._look()

    async def _look(self) -> None:
        must, may = self.judge.look()
        await Expiry(self._server.hub).take()
        lost = {change.evse for change in self._log.taken}
        for key in sorted(may & (lost | must)):
            self.judge.expire(key)
        for key in sorted(lost - may):
            self._wrong(f"{key} was taken for silent too early")
        self._compare()

    async def _jump(self) -> None:
        """Our clock is set."""
        ms = self._rng.choice(
            (
                -1,
                -500,
                -20_000,
                -4 * MINUTE_MS,
                -7 * MINUTE_MS,
                -HOUR_MS,
                20 * MINUTE_MS,
                86_400_000,
                -86_400_000,
            )
        )
        self.judge.jump(ms)
        if self._rng.random() < 0.5:
            await self._tell()
            self.judge.jump(-ms)

    async def _sleep(self) -> None:
        """The machine sleeps, or our process is stopped."""
        ms = self._rng.choice((2, 15, 300)) * MINUTE_MS
        if self._rng.random() < 0.5:
            self.judge.jump(ms)
        else:
            self._pass(ms)
        await self._look()

    # -- registry and rights ---------------------------------------------------------------------------------------

    async def _change_registry(self) -> None:
        if self._log.fails:
            return
        for _ in range(self._rng.choice((1, 1, 2))):
            self.seen[f"registry: {self._registry.change(self._rng, self.now())}"] += 1
        await self._refresh()

    async def _refresh(self) -> None:
        await self._server.refresh()
        if self._server.hub._times.given_at == self.now():
            self.judge.receive()
        self.judge.register(self._registry.stations.values())
        self._judge_readings()

    async def _read(self) -> None:
        """A register tells a status."""
        if self._log.fails:
            return
        key = self._rng.choice(self._keys)
        at = self.now() - self._rng.choice((0, 5_000, 10 * MINUTE_MS, HOUR_MS))
        status = self._rng.choice((Status.AVAILABLE, Status.CHARGING))
        self._registry.read(Reading(key, status, False, at, status.value))
        await self._refresh()

    def _judge_readings(self) -> None:
        """Rule 1: a status of a register counts where it is newer than the board's, and not too old."""
        for reading in self._registry.due(self._read_up_to):
            place = self.judge.places.get(reading.evse) or Place()
            oldest_at = self.now() - READING_STALE_MS
            is_known = reading.evse in self.judge.places and reading.evse in self.judge.evses
            if is_known and reading.observed_at > max(place.observed_at, oldest_at):
                item = Item(reading.evse, (reading.status.value, reading.error), reading.observed_at)
                self.judge.take(REGISTER, [item], None, SKEW_MS)
        self._read_up_to = self._registry.revision

    async def _change_rights(self) -> None:
        """An operator has a right no more, or again."""
        if self._log.fails:
            return
        self._change_right()
        await self._refresh()

    def _change_right(self) -> None:
        name = self._rng.choice(list(self._operators))
        before = ORIGINAL[name]
        less = msgspec.structs.replace(before, parties=(), prefixes=(), all=False)
        self._operators[name] = less if self._operators[name] == before else before
        self.judge.operators = dict(self._operators)
        self._server.follow(self._operators)

    # -- the log -----------------------------------------------------------------------------------------------------

    async def _checkpoint(self) -> None:
        before = self._log.checkpoints
        try:
            await self._server.checkpoints.take()
            await self._log.trim()
        except LogFailure:
            return
        if self._log.checkpoints > before:
            self.judge.receive()
            self.judge.checkpoint()

    async def _fail(self) -> None:
        """The next write fails."""
        self._log.fails = True
        if self._rng.random() < 0.3:
            await self._checkpoint()

    async def _restart(self) -> None:
        self._log.fails = False
        if self._rng.random() < 0.5:
            self.seen["stop"] += 1
            await self._server.hub.drain(60)
            await self._server.end()
            await self._checkpoint()
        else:
            self.seen["crash"] += 1
            await self._server.end()
        self.judge.crash()
        down_ms = self._rng.choice((0, 1_000, 5 * MINUTE_MS, HOUR_MS))
        wall_ms = down_ms + self._rng.choice((0, 0, 0, 0, -20 * MINUTE_MS, 20 * MINUTE_MS, 86_400_000))
        self.judge.start(down_ms, wall_ms)
        self._conversation, self._overlay = None, Overlay()
        self._is_followed = False
        self._pulls.clear()
        await self._start()
        self.judge.arrive()
        if self._server.hub._times.given_at == self.now():
            self.judge.receive()
        self.judge.register(self._registry.stations.values())
        self._read_up_to = 0
        self._judge_readings()

    _acts: Final[dict[str, Callable[[World], Awaitable[None]]]] = {
        "tell": _tell,
        "again": _tell_again,
        "point": _point,
        "begin": _begin_round,
        "page": _page,
        "end": _end_round,
        "cut": _cut,
        "snapshot": _snapshot,
        "forget": _forget,
        "confirm": _confirm,
        "wait": _wait,
        "jump": _jump,
        "sleep": _sleep,
        "registry": _change_registry,
        "read": _read,
        "rights": _change_rights,
        "checkpoint": _checkpoint,
        "restart": _restart,
        "fail": _fail,
        "try": _try,
    }


def speakers_party(written: str) -> str:
    """The party in an EVSE id that is written with letters."""
    return written.upper().replace("*", "").replace("-", "")[:5]
