"""The server's side of a world: the real hub, board, view and broadcast over a log that takes time.

Wired as `ladestrom.app` does it, without sockets and settings. Limits are scaled down, so that small worlds
reach them.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import random
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Final, TypeVar, cast
from unittest import mock

import msgspec
from tests.reading import holders
from tests.simulation.consumers import Request
from tests.simulation.loop import SimulatedLoop
from tests.simulation.nature import Nature
from tests.simulation.network import GOING_AWAY, Link
from tests.simulation.registry import GUEST, OPERATORS, Registry
from tests.simulation.truth import Truth, record_of

from ladestrom import tasks
from ladestrom.backends import tailing
from ladestrom.backends.memory import MemoryLog
from ladestrom.core.board import Board, Round
from ladestrom.core.directory import Directory
from ladestrom.core.precedence import Taking
from ladestrom.core.records import Records
from ladestrom.core.selection import EVSE_FILTERS, STATION_FILTERS, selection
from ladestrom.core.view import View
from ladestrom.edges.framing import FRAMINGS
from ladestrom.errors import LadestromError, LogFailure
from ladestrom.model import (
    AnyChange,
    Entry,
    Millis,
    Operator,
    Position,
    Receipt,
    StationChanged,
    StatusReport,
)
from ladestrom.outputs.nobil_v1.encoder import NobilDialect, NobilFormat
from ladestrom.outputs.stream_v2 import encoder
from ladestrom.outputs.stream_v2.encoder import (
    Attribution,
    Limits,
    V2Dialect,
    V2RecordsDialect,
    decode_select,
    refused,
)
from ladestrom.ports.log import BoardRow, Recovered, StationRow, Times
from ladestrom.ports.stores import Store
from ladestrom.reader import channel as channel_module
from ladestrom.reader import channels as channels_module
from ladestrom.reader.broadcast import Broadcast
from ladestrom.reader.channel import Channel
from ladestrom.reader.channels import BroadcastLimits
from ladestrom.reader.subscriptions import Phase, Sink, Subscriber, Subscription
from ladestrom.reader.walks import WALKS_MAX
from ladestrom.tasks import Turns
from ladestrom.writer import hub as hub_module
from ladestrom.writer.checkpoints import Checkpoints
from ladestrom.writer.expiry import Expiry
from ladestrom.writer.hub import Hub, HubLimits
from ladestrom.writer.reconciliation import Readings, Reconciliation

T = TypeVar("T")
Row = TypeVar("Row", BoardRow, StationRow)

NOW: Final[Millis] = 1_795_000_000_000
"""When every world begins: in November 2026."""
DRAIN_S: Final = 3_600.0
"""By the simulated clock."""
EXPIRE_S: Final = 7.0
AUDIT_S: Final = 0.5
ENTRY_ROWS_MAX: Final = 10
"""Most EVSEs that a station has at any time."""
RETRY_S: Final = 0.2
"""Between two looks at a registry that could not be taken."""
PIECE_ROWS: Final = 2
"""Rows of a checkpoint that are written at once."""
PIECE_FAILS_CHANCE: Final = 0.01
READ_STALL_CHANCE: Final = 0.2
READ_STALL_S_MAX: Final = 3.0
BURST_BYTES_MAX: Final = 64 * 1024
"""Frames that may be made between two passes of the broadcast, which trim the windows."""


class NumberedSubscriber(Subscriber):
    """A subscriber with a hash that is the same in every run, and so its place in sets."""

    __slots__ = ("number",)
    numbers = itertools.count()

    def __init__(self, sink: Sink, channel: Channel, *, every: bool = False) -> None:
        super().__init__(sink, channel, every=every)
        self.number = next(self.numbers)

    def __hash__(self) -> int:
        return self.number

    def __eq__(self, other: object) -> bool:
        return self is other


class SlowTurns(Turns):
    """Others have their turn each time, and much can happen in it."""

    def __init__(self, chance: random.Random, longest_s: float, *, is_urgent: bool = False) -> None:
        super().__init__(is_urgent=is_urgent)
        self._chance = chance
        self._longest_s = longest_s
        self._rests = 0

    @property
    def worked_s(self) -> float:
        return self._rests * tasks.TURN_S

    async def rest(self) -> None:
        self._rests += 1
        await asyncio.sleep(self._chance.random() * self._longest_s)


def _in_order(rows: Callable[..., Iterator[T]]) -> Callable[..., Iterator[T]]:
    """What a checkpoint keeps, in the same order in every run."""

    def ordered(holder: Board | Records, keys: Iterable[str], *more: int) -> Iterator[T]:
        return rows(holder, sorted(keys), *more)

    return ordered


@contextlib.contextmanager
def scaled(nature: Nature) -> Iterator[None]:
    """Scales the limits down to the size of a world."""
    with contextlib.ExitStack() as stack:
        small = {
            "WINDOW_BYTES_MAX": nature.window_bytes_max,
            "CHUNK_BYTES_MAX": nature.chunk_bytes_max,
            "BATCH_ROWS_MAX": nature.batch_rows_max,
            "REPLAY_ENTRIES_MAX": nature.replay_entries_max,
            "ENTRIES_PER_TURN_MAX": nature.turn_entries_max,
            "COMPRESSED_FRAMES_MAX": nature.compressed_frames_max,
            "SNAPSHOT_REUSE": nature.snapshot_reuse,
            "STATIONS_AT_ONCE": nature.stations_at_once,
            "MISSED_AT_ONCE": nature.missed_at_once,
            "STATIONS_PER_LOOK": 1,
            "Turns": partial(SlowTurns, random.Random(0), nature.turn_of_others_s),
            "Subscriber": NumberedSubscriber,
        }
        for holder, name, value in (
            *((holder, what, number) for what, number in small.items() for holder in holders(what)),
            (encoder, "PART_BYTES_MAX", nature.part_bytes_max),
            (tailing, "RECENT_ENTRIES_MAX", nature.recent_entries_max),
            (tasks, "TURN_S", nature.turn_s),
            (hub_module, "logger", mock.Mock()),
            (NumberedSubscriber, "numbers", itertools.count()),
            (Board, "rows", _in_order(Board.rows)),
            (Records, "rows", _in_order(Records.rows)),
        ):
            stack.enter_context(mock.patch.object(holder, name, value))
        yield


class SlowLog(MemoryLog):
    """A log that takes time, keeps little, and outlives the server."""

    def __init__(
        self, epoch: str, truth: Truth, rng: random.Random, pieces: random.Random, nature: Nature
    ) -> None:
        super().__init__(epoch, retention_entries_max=nature.keep)
        self.truth = truth
        self._rng = rng
        self._delay_s = nature.log_delay_s
        self.fails = False
        """The next append does."""
        self.is_calm = False
        """Takes no time."""
        self._lacks_stations = False

        self._pieces = pieces
        self._checkpoint_delay_s = nature.checkpoint_delay_s
        self._kept: list[tuple[int, Callable[[], None]]] = []
        """Rows of a checkpoint that is not complete: the last entry when they were written, and what undoes it."""
        self.vouched: dict[str, tuple[int, Millis]] = {}
        """What a complete checkpoint has at least: of each EVSE its change, and when it was observed."""
        self._complete_seq = 0
        """The last entry when the last checkpoint was complete."""

    async def _wait(self) -> None:
        await asyncio.sleep(0 if self.is_calm else self._rng.random() * self._delay_s)

    async def append(self, changes: Sequence[AnyChange]) -> Sequence[Entry]:
        await self._wait()
        if self.fails:
            self.fails = False
            raise LogFailure("the disk is full")
        entries = await super().append(changes)
        self.truth.add(entries)
        await self._wait()
        return entries

    async def read(self, after: int, limit: int) -> Sequence[Entry]:
        await self._wait()
        # Where the broadcast finds the newest entries in memory, a read may stall, and the log go on meanwhile.
        if limit < tailing.RECENT_ENTRIES_MAX and self._rng.random() < READ_STALL_CHANCE:
            await asyncio.sleep(self._rng.random() * READ_STALL_S_MAX)
        entries = await super().read(after, limit)
        await self._wait()
        return entries

    async def before(self, at: Millis) -> int:
        await self._wait()
        found = await super().before(at)
        await self._wait()
        return found

    async def checkpoint(
        self,
        rows: Iterable[BoardRow],
        seq: int,
        times: Times,
        stations: Iterable[StationRow] = (),
        registry_revision: int = 0,
    ) -> None:
        """Piece by piece, as that of a file: it may fail half way, and a crash leaves half of it."""
        await self._keep(self._stations, stations, lambda row: row.station.uuid)
        await self._keep(self._rows, rows, lambda row: row.change.evse)
        await super().checkpoint((), seq, times, (), registry_revision)
        self._kept.clear()
        self._complete_seq = self.last.seq

    async def _keep(self, kept: dict[str, Row], rows: Iterable[Row], name: Callable[[Row], str]) -> None:
        left = iter(rows)
        while piece := list(itertools.islice(left, PIECE_ROWS)):
            await asyncio.sleep(0 if self.is_calm else self._pieces.random() * self._checkpoint_delay_s)
            if not self.is_calm and self._pieces.random() < PIECE_FAILS_CHANCE:
                raise LogFailure("the disk is full")
            for row in piece:
                key = name(row)
                self._kept.append((self.last.seq, partial(_put_back, kept, key, kept.get(key))))
                kept[key] = msgspec.structs.replace(row)

    def reopen(self) -> None:
        """As a new server finds it: nothing in memory, and the disk has room again."""
        self.fails = False
        self._recent = tailing.Recent(self.last.seq)

    @property
    def lacks_stations(self) -> bool:
        return self._lacks_stations

    async def adopt(self, stations: Iterable[StationRow]) -> None:
        rows = list(stations)
        self.truth.take_over(row.station for row in rows)
        await super().adopt(rows)
        self._lacks_stations = False

    async def become_old(self) -> None:
        """A program wrote it whose log had no records of stations; they are in none of the entries it keeps."""
        found = await self.recover()
        times = self._times
        assert times is not None
        await super().checkpoint(found.rows, self.last.seq, times)
        self._kept.clear()
        self._complete_seq = self.last.seq
        places = [place for place, each in enumerate(self._entries, 1) if isinstance(each, StationChanged)]
        dropped = max(places, default=0)
        del self._entries[:dropped]
        self._dropped += dropped
        self._stations.clear()
        self._lacks_stations = True

    def forget_end(self, epoch: str, count: int) -> None:
        """The machine went down under it: the end is lost, and the epoch is a new one."""
        count = min(count, self.last.seq - max(self._complete_seq, self.first))
        if count > 0:
            del self._entries[-count:]
        # What was written after the last entry that stays is gone with those that do not.
        while self._kept and self._kept[-1][0] > self.last.seq:
            self._kept.pop()[1]()
        self._epoch = epoch
        self.truth = self.truth.until(self.last.seq)


def _put_back(kept: dict[str, Row], key: str, row: Row | None) -> None:
    """A row is as it was before it was written."""
    if row is None:
        del kept[key]
    else:
        kept[key] = row


class Server:
    """One life of a server, from recovery to its end."""

    def __init__(
        self,
        log: SlowLog,
        registry: Registry,
        rng: random.Random,
        wrong: Callable[[str], None],
        nature: Nature,
    ) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimulatedLoop)
        self.is_open = False
        self.links: dict[Link, None] = {}
        self.log = log
        self.directory = Directory()
        self._loop = loop
        self._rng = rng
        self._wrong = wrong
        self._nature = nature
        self.board = Board()
        self.view = View(Directory(), log.last.epoch)
        limits = Limits(0, nature.part_bytes_max, 64 * 1024, 100, math.ceil(nature.heartbeat_s))
        self.v2 = V2Dialect(limits, Attribution())
        self.hub = Hub(
            log,
            self.board,
            self.directory,
            self.now,
            HubLimits(stale_after_s=25, start_grace_s=5),
            steady=self.now,
        )
        self.broadcast = Broadcast(
            log,
            self.view,
            {
                "v1": NobilDialect(NobilFormat()),
                "v2": self.v2,
                "v2+stations": V2RecordsDialect(limits, Attribution()),
            },
            FRAMINGS,
            BroadcastLimits(heartbeat_s=nature.heartbeat_s, raw_items_max=20),
            clock_s=self._clock_s,
            clock=self.now,
        )
        self.hub.listener = self.broadcast
        self.reconciliation = Reconciliation(
            cast("Store", registry), self.hub, lambda: Readings(wanted=False, stale_after_ms=0), self.now
        )
        self.checkpoints = Checkpoints(
            log, self.hub, lambda: self.reconciliation.revision, every_s=0.0, every_entries=1
        )
        self._refreshing = asyncio.Lock()
        self._tasks: list[asyncio.Task[Any]] = []
        self._under_way: dict[asyncio.Task[Any], None] = {}

    def now(self) -> Millis:
        """The server's clock."""
        return NOW + int(self._loop.time() * 1000)

    def _clock_s(self) -> float:
        """Whoever looks at the clock has done some work since the last time."""
        if self._nature.tick_s:
            self._loop.spend(self._rng.random() * self._nature.tick_s)
        return self._loop.time()

    # -- life --------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Recovers, brings the registry onto the board, and opens."""
        self.log.reopen()
        known = (*OPERATORS, GUEST)
        operators = {operator.name: operator for operator in known}
        self.hub.set_operators(known)
        self.reconciliation.follow(operators)
        found = await self.hub.recover()
        self.reconciliation.revision = found.registry_revision
        self._audit_recovery(found)
        if self.log.lacks_stations:
            stations = await self.reconciliation.adopt(self.log.last.seq)
            await self.log.adopt(stations)
            found = Recovered(found.rows, stations)
        self.checkpoints.seq = self.log.last.seq
        self.view.load(found.rows, self.log.last.seq, found.stations)
        for row in found.stations:
            state = self.view.get(row.station.uuid)
            held = {} if state is None else state.changes
            if any(left.change.evse not in held for left in row.left):
                self._wrong(f"readers do not know what left {row.station.uuid}")
        self._run(self.hub.run())
        self._run(self.broadcast.run())
        await self.refresh(everything=True)
        self._run(self._checkpoints())
        self._run(self._expiries())
        self._run(self._audits())
        self.is_open = True

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.create_task(work))

    async def refresh(self, *, everything: bool = False) -> None:
        """Takes what was written to the registry, as `roles.following` does."""
        async with self._refreshing:
            while True:
                with contextlib.suppress(LogFailure):
                    delta = await self.reconciliation.take(everything=everything)
                    self.reconciliation.revision = delta.revision
                    return
                await asyncio.sleep(RETRY_S)

    async def take_registry(self) -> None:
        """The registry was written to."""
        await self._unless_ended(self.refresh())

    async def crash(self) -> None:
        """Ends at once, in the middle of everything."""
        self.is_open = False
        await self._end_tasks()
        for link in list(self.links):
            link.cut("crash")

    async def _end_tasks(self) -> None:
        for task in (*self._under_way, *self._tasks):
            task.cancel()
        await asyncio.gather(*self._under_way, *self._tasks, return_exceptions=True)

    async def stop(self) -> None:
        """Ends in order: consumers are told, what is under way is answered."""
        self.is_open = False
        for link in list(self.links):
            subscriber = link.subscriber
            if subscriber is not None:
                for data in self.broadcast.farewell(subscriber, self._rng.randrange(3_000)):
                    link.write(data)
            link.close(GOING_AWAY, "stop")
        await self.hub.drain(DRAIN_S)
        await self._end_tasks()
        await self._checkpoint()

    async def _checkpoints(self) -> None:
        while True:
            await asyncio.sleep(self._rng.random() * self._nature.checkpoint_s)
            await self._checkpoint()

    async def _checkpoint(self) -> None:
        observed = {key: (row.seq, row.observed_at) for key, row in self.board.cells.items()}
        with contextlib.suppress(LogFailure):
            await self.checkpoints.take()
            self.log.vouched = observed
            await self.log.trim()

    async def _expiries(self) -> None:
        while True:
            await asyncio.sleep(EXPIRE_S)
            with contextlib.suppress(LogFailure):
                await Expiry(self.hub).take()

    async def _audits(self) -> None:
        while True:
            await asyncio.sleep(AUDIT_S)
            self.audit()
            for task in self._tasks:
                if task.done():
                    self._wrong(f"a part of the server has ended: {task.exception()!r}")

    def audit(self) -> None:
        """What must hold at any time: windows are bounded, and nobody is served who has gone."""
        limit = channel_module.WINDOW_BYTES_MAX
        for each in self.broadcast._channels.all.values():
            counted = sum(len(frame) for frame, _ in each.frames[: each._counted])
            size = sum(len(frame) for frame, _ in each.frames)
            if counted != each._bytes or counted > limit or size - counted > BURST_BYTES_MAX:
                self._wrong(f"a window has {size} bytes, counts {each._bytes}, and may have {limit}")
            # Fewer than a message's wait when the broadcast looks, and fewer than that come until it looks again;
            # of one record that changes, a row for each EVSE.
            if len(each.rows) > 2 * (channels_module.BATCH_ROWS_MAX - 1) + ENTRY_ROWS_MAX:
                self._wrong(f"{len(each.rows)} changes wait for one message")
        self._audit_making()
        linked = sum(link.subscriber is not None for link in self.links)
        if self.broadcast.consumers != linked:
            self._wrong(f"the broadcast serves {self.broadcast.consumers} consumers, and {linked} are linked")

    def _audit_recovery(self, found: Recovered) -> None:
        """What was recovered is what the log says, and whatever a checkpoint kept beside it."""
        truth, first = self.log.truth, self.log.first
        rows = {row.change.evse: (row.seq, row.change.station, row.change.status) for row in found.rows}
        expected = {key: (fact.seq, fact.station, fact.status) for key, fact in truth.evses.items()}
        if rows != expected:
            self._wrong(f"the board is recovered as {rows}, not {expected}")
        for row in found.rows:
            if (row.seq, row.observed_at) < self.log.vouched.get(row.change.evse, (0, 0)):
                self._wrong(f"{row.change.evse} was observed later than {row.observed_at}")
        if self.log.lacks_stations:
            return
        records = {row.station.uuid: record_of(row.station, row.seq) for row in found.stations}
        if records != truth.records:
            self._wrong(f"records are recovered as {records}, not {truth.records}")
        for station in found.stations:
            uuid = station.station.uuid
            kept = max(first - 1, station.lost_seq, truth.unknown_until)
            ended = {record_of(each.outline).outline: each.until for each in station.former}
            lacks: list[object] = [
                outline
                for outline, until in truth.ended.get(uuid, {}).items()
                if until > kept and ended.get(outline) != until
            ]
            left = {each.change.evse: each.seq for each in station.left}
            lacks += [
                fact
                for key, fact in truth.held.get(uuid, {}).items()
                if fact is not truth.evses[key] and fact.seq > kept and left.get(key) != fact.seq
            ]
            if lacks:
                self._wrong(f"of {uuid}, {lacks} is not recovered")

    def _audit_making(self) -> None:
        """What is being made is made for somebody, and for everybody who waits."""
        broadcast = self.broadcast
        channels = set(broadcast._channels.all.values())
        for each in channels:
            joining = {
                subscriber
                for subscriber in each.subscribers
                if subscriber.is_at(Phase.JOINING) and subscriber not in broadcast._seeks._tasks
            }
            if joining != set(each.waiting):
                self._wrong(f"{len(joining)} consumers are joining, {len(each.waiting)} wait")
            if joining and each not in broadcast._snapshots.works:
                self._wrong(f"{len(joining)} wait for a snapshot that nobody makes")
            for subscriber in each.subscribers:
                is_behind = subscriber.is_at(Phase.REPLAYING) and not subscriber.every
                if (
                    is_behind
                    and not subscriber.sink.paused
                    and subscriber not in broadcast._catching_up.behind
                ):
                    self._wrong("nobody catches up a consumer that is behind")
        if any(subscriber.is_at(Phase.CLOSED) for subscriber in broadcast._catching_up.behind):
            self._wrong("a consumer that has gone is caught up")
        for works in (broadcast._snapshots.works, broadcast._digests.works):
            if not channels.issuperset(works):
                self._wrong("something is made for a channel that has gone")
        if len(self.view._walks) > WALKS_MAX:
            self._wrong(f"{len(self.view._walks)} walks are under way")

    # -- operators ---------------------------------------------------------------------------------------

    async def submit(self, operator: Operator, reports: Sequence[StatusReport]) -> Receipt | None:
        """Takes a delivery; None where the server ended, or could not write, before it was answered."""
        if not self.is_open:
            return None
        with contextlib.suppress(LogFailure):
            return await self._unless_ended(self.hub.submit(operator, reports))
        return None

    async def _unless_ended(self, work: Coroutine[Any, Any, T]) -> T | None:
        """What the work comes to; None where the server ended before."""
        task = asyncio.create_task(work)
        self._under_way[task] = None
        await asyncio.wait([task])
        del self._under_way[task]
        return None if task.cancelled() else task.result()

    async def withdraw(self, uuid: str) -> None:
        """The source of a station signs off."""

        def make(round_: Round, taken: Taking) -> int:
            present = self.directory.present(uuid)
            found = (self.board.give_up(evse.key, taken.received_at) for evse in present)
            changes = [change for change in found if change is not None]
            round_.add(changes, taken)
            return len(changes)

        if self.is_open:
            with contextlib.suppress(LogFailure):
                await self._unless_ended(self.hub.decide(make))

    # -- consumers ---------------------------------------------------------------------------------------

    def connect(self, request: Request, link: Link) -> None:
        """Takes a consumer on, as `edges.connection` does."""
        self.links[link] = None
        is_v2 = request.dialect != "v1"
        wanted = selection(request.words, names=EVSE_FILTERS if is_v2 else STATION_FILTERS)
        subscription = Subscription(
            wanted,
            raw=request.raw,
            framing=request.framing,
            dialect=request.dialect,
            batch_ms=request.batch_ms,
        )
        broadcast = self.broadcast
        link.subscriber = broadcast.join(
            link,
            subscription,
            since=request.at
            if request.at is not None
            else None
            if request.since is None
            else Position.parse(request.since),
            every=request.every,
            first=tuple(self.v2.greeting(self.view, broadcast.history_seq)) if is_v2 else (),
        )

    def heard(self, link: Link, message: bytes) -> None:
        """A consumer's message, as `edges.v2` reads it."""
        subscriber = link.subscriber
        if subscriber is None or not self.is_open:
            return
        asked = msgspec.structs.asdict(decode_select(message.decode()))
        try:
            filters = {name: text for name, text in asked.items() if text}
            wanted = selection(filters, names=EVSE_FILTERS)
            subscription = msgspec.structs.replace(subscriber.channel.subscription, selection=wanted)
            link.subscriber = self.broadcast.select(subscriber, subscription)
        except LadestromError as error:
            self.broadcast.tell(subscriber, refused(error.code, str(error)))

    def pump(self, subscriber: Subscriber) -> None:
        """There is room in a consumer's buffer again."""
        if self.is_open:
            self.broadcast.pump(subscriber)

    def leave(self, link: Link, subscriber: Subscriber | None) -> None:
        """A consumer has gone."""
        self.links.pop(link, None)
        if subscriber is not None:
            self.broadcast.leave(subscriber)
