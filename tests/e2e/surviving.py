"""Consumers made of our own client that are cut off all the time, and what they must have been told.

    ledger = Ledger(evses)
    outcomes = await survive(server, observations, ledger, plans, cuts=1_000, seed=1)
    assert not [wrong for outcome in outcomes for wrong in outcome.wrongs]

The load waits for the cuts: its n-th part is sent when n parts of the cuts were made. What must be told is made
from the observations alone, by `bench/fold.py`, which knows nothing of ladestrom.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from bench.fold import UNHEARD, Fold, Known, Seen, written_alike
from tests import digests
from tests.contracts.frames import checked
from tests.e2e.cutting import CuttingProxy, Weather

from ladestrom.client.aio import Lost, Opened
from ladestrom.client.reports import Observation, Reporter
from ladestrom.client.v2_aio import Received, Transport, V2Follower
from ladestrom.client.v2_events import Changed, Confirmed, EvseState, Reset, Synced
from ladestrom.client.v2_session import Mode, V2Session
from ladestrom.model import Position, Status

DELAY_SHARE: Final = 0.05
"""Consumers come back after a twentieth of the time that they would stay away: many cuts in little time."""
POLL_S: Final = 0.01
LAST_SHARE: Final = 20
"""One observation in so many is kept for the end."""
WRONGS_MAX: Final = 10

State = tuple[str, int, str | None]
"""Status, error, changed_at."""


class Fact(NamedTuple):
    """One change as version 2 of the stream tells it."""

    evse: str
    status: str
    error: int
    changed_at: str | None
    was: tuple[str, int]


class Ledger:
    """What has changed, in order, by the observations alone."""

    def __init__(self, evses: Iterable[str]) -> None:
        """No EVSE was heard of yet; their ids as the register writes them."""
        self.facts: list[Fact] = []
        self._fold = Fold()
        self._written = {written_alike(evse): evse for evse in evses}

    def observe(self, seen: Seen) -> None:
        """Takes one observation."""
        key = written_alike(seen.evse)
        was = self._fold.known.get(key, UNHEARD)
        if self._fold.observe(seen) == "accepted":
            fact = Fact(
                self._written[key], seen.status, seen.error, instant(seen.at), (was.status, was.error)
            )
            self.facts.append(fact)

    def state(self, evses: Collection[str]) -> dict[str, State]:
        """What each of these EVSEs is."""
        known = self._fold.known
        return {evse: _state(known.get(key, UNHEARD)) for key, evse in self._written.items() if evse in evses}


def _state(known: Known) -> State:
    return known.status, known.error, None if known.changed_at < 0 else instant(known.changed_at)


def instant(at: int) -> str:
    """Milliseconds since 1970 as ISO 8601, UTC."""
    seconds, ms = divmod(at, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{ms:03d}Z"


def digest(state: Mapping[str, State]) -> str:
    """What a state adds up to, by the published rule."""
    return digests.digest((evse, *told) for evse, told in state.items())


class Plan(NamedTuple):
    """One consumer: how it follows, and what."""

    transport: Transport
    mode: Mode
    selection: Mapping[str, str]
    evses: Collection[str]
    """What the selection lets pass, by whoever wrote the plan."""

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.transport.value} {self.mode.value}"


class Survivor:
    """One consumer behind a proxy that cuts, and everything it was told."""

    def __init__(self, plan: Plan, url: str, key: str, rng: random.Random) -> None:
        self.plan = plan
        self.session = V2Session(plan.selection, mode=plan.mode)
        self.facts: list[Fact] = []
        self.marks: list[tuple[int, int]] = []
        """Positions, and how many facts had been told by then."""
        self.begins: Position | None = None
        """Where its first snapshot stands."""
        self.opened = self.resumed = self.messages = 0
        self.digest = ""
        """What the newest heartbeat said."""
        self.confirmed: Position | None = None
        self.losses: Counter[str] = Counter()
        self.wrongs: list[str] = []
        self._follower = V2Follower(
            url, key, self.session, transport=plan.transport, chance=lambda: rng.random() * DELAY_SHARE
        )

    async def run(self) -> None:
        """Follows until cancelled."""
        async with contextlib.aclosing(self._follower.events()) as events:
            async for event in events:
                match event:
                    case Opened(since=since):
                        self.opened += 1
                        self.resumed += since is not None
                        if self.begins is not None and since is None:
                            self._wrong("a snapshot was asked for where it could resume")
                    case Lost(why=why, fault=fault):
                        self.losses[why] += 1
                        if fault is not None:
                            self._wrong(why)
                    case Received():
                        self._take(event)

    def _take(self, received: Received) -> None:
        message = checked(received.message)
        self.messages += 1
        match received.event:
            case Synced(position=position):
                if self.begins is not None:
                    self._wrong(f"a snapshot at {position} came in place of what it missed")
                self.begins = position
            case Changed(position=position, rows=rows):
                self.facts += [fact(row) for row in rows]
                self.marks.append((position.seq, len(self.facts)))
            case Confirmed(position=position):
                self.confirmed, self.digest = position, message["digest"]
            case Reset(reason=reason):
                self._wrong(f"reset: {reason}")

    def _wrong(self, what: str) -> None:
        self.wrongs.append(f"at {self.session.position}: {what}")

    def is_in_step(self, seq: int) -> bool:
        """Whether a heartbeat proved that it is where the log ends."""
        return self.confirmed is not None and self.confirmed.seq >= seq

    def verdict(self, ledger: Ledger, base: int, seq: int) -> list[str]:
        """What is wrong in the end; empty where nothing is.

        Args:
            ledger: what has changed.
            base: position before its first fact.
            seq: position of its last fact.
        """
        wrongs = list(self.wrongs)
        state = ledger.state(self.plan.evses)
        board = {row.evse: (row.status, row.error, row.changed_at) for row in self.session.board.values()}
        wrongs += [
            f"{evse} is {board.get(evse)} here, {state.get(evse)} by the fold"
            for evse in sorted(board.keys() | state.keys())
            if board.get(evse) != state.get(evse)
        ]
        if self.digest != digest(state):
            wrongs.append(f"the last digest is {self.digest}, the fold's {digest(state)}")
        if self.confirmed is None or self.confirmed.seq != seq or self.begins is None:
            wrongs.append(f"confirmed at {self.confirmed}, the log ends at {seq}")
        elif self.plan.mode is Mode.EVERY:
            wrongs += self._skipped(ledger.facts, base, self.begins.seq)
        else:
            wrongs += self._made_up(ledger.facts)
        return wrongs[:WRONGS_MAX]

    def _skipped(self, facts: Sequence[Fact], base: int, begins: int) -> list[str]:
        """Whether each selected change was told once, in order, and under its position."""
        due = [
            (number, fact)
            for number, fact in enumerate(facts, base + 1)
            if fact.evse in self.plan.evses and number > begins
        ]
        if self.facts != [fact for _, fact in due]:
            pairs = zip(self.facts, due, strict=False)
            at = next((place for place, (told, (_, fact)) in enumerate(pairs) if told != fact), None)
            where = "one is the beginning of the other" if at is None else f"they differ from {due[at]} on"
            return [f"{len(self.facts)} changes were told, {len(due)} were to be; {where}"]
        numbers = [number for number, _ in due]
        return [
            f"at {seq} it had been told {told} changes, not {bisect_right(numbers, seq)}"
            for seq, told in self.marks
            if told != bisect_right(numbers, seq)
        ]

    def _made_up(self, facts: Sequence[Fact]) -> list[str]:
        """Whether something was told that never was, or that went back in time."""
        true = {(fact.evse, fact.status, fact.error, fact.changed_at) for fact in facts}
        wrongs: list[str] = []
        newest: dict[str, str] = {}
        for told in self.facts:
            at = told.changed_at or ""
            if told[:4] not in true or told.evse not in self.plan.evses:
                wrongs.append(f"{told} was told, and never was")
            if at < newest.get(told.evse, ""):
                wrongs.append(f"{told} was told after {newest[told.evse]}")
            newest[told.evse] = at
        return wrongs


def fact(row: EvseState) -> Fact:
    """A row of a change."""
    was = ("", 0) if row.was is None else (row.was.status, row.was.error)
    return Fact(row.evse, row.status, row.error, row.changed_at, was)


class Outcome(NamedTuple):
    """What became of one consumer."""

    survivor: Survivor
    proxy: CuttingProxy
    wrongs: Sequence[str]


class Address(NamedTuple):
    """The server, and keys to it."""

    port: int
    report_key: str
    stream_key: str


async def survive(
    address: Address,
    observations: Sequence[Seen],
    ledger: Ledger,
    plans: Sequence[Plan],
    *,
    cuts: int,
    seed: int,
    batch: int,
    weather: Weather | None = None,
    deadline_s: float,
) -> list[Outcome]:
    """Reports all observations while consumers are cut off; in the end all of them have to be in step.

    When all cuts were made and everybody is in step, some is reported to all of them as it comes, and the rest
    when they were cut off once more, all at once: each has to come back to where it stood.

    Args:
        address: of a server on whose log nobody else writes.
        observations: in the order in which they are reported.
        ledger: learns of what is reported.
        plans: of the consumers; each has a proxy of its own.
        cuts: of all proxies together, in equal shares.
        seed: decides what is cut.
        batch: observations in one request.
        weather: of the proxies.
        deadline_s: for the consumers to be in step when nothing is cut any more.

    Raises:
        RuntimeError: the server did not take what the fold takes.
    """
    async with contextlib.AsyncExitStack() as stack:
        proxies = [
            await stack.enter_async_context(
                CuttingProxy(
                    address.port,
                    seed=f"{seed} {number}",
                    cuts_max=-(-cuts // len(plans)),
                    weather=weather,
                )
            )
            for number in range(len(plans))
        ]
        survivors = [
            Survivor(plan, proxy.url, address.stream_key, random.Random(f"{seed} {plan.name}"))
            for plan, proxy in zip(plans, proxies, strict=True)
        ]
        last = max(batch, len(observations) // LAST_SHARE)
        async with (
            Reporter(f"http://127.0.0.1:{address.port}", address.report_key) as reporter,
            asyncio.TaskGroup() as group,
        ):
            operator = _Operator(reporter, ledger, batch)
            tasks = [group.create_task(survivor.run()) for survivor in survivors]
            await operator.report(observations[:-last], proxies)
            for proxy in proxies:
                proxy.mend()
            await _in_step(survivors, operator.seq, deadline_s)
            await operator.report(observations[-last : -last // 2])
            await _in_step(survivors, operator.seq, deadline_s)
            for proxy in proxies:
                proxy.sever()
            await operator.report(observations[-last // 2 :])
            await _in_step(survivors, operator.seq, deadline_s)
            for task in tasks:
                task.cancel()
        return [
            Outcome(survivor, proxy, survivor.verdict(ledger, operator.base, operator.seq))
            for survivor, proxy in zip(survivors, proxies, strict=True)
        ]


async def _in_step(survivors: Sequence[Survivor], seq: int, deadline_s: float) -> None:
    """Returns when all are where the log ends, or the deadline is over: their verdicts tell of that."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(deadline_s):
            while not all(survivor.is_in_step(seq) for survivor in survivors):
                await asyncio.sleep(POLL_S)


class _Operator:
    """Who reports everything."""

    def __init__(self, reporter: Reporter, ledger: Ledger, batch: int) -> None:
        self.base = -1
        """Position before the first change."""
        self.seq = -1
        """Position of the newest one."""
        self._reporter = reporter
        self._ledger = ledger
        self._batch = batch

    async def report(self, observations: Sequence[Seen], proxies: Sequence[CuttingProxy] = ()) -> None:
        """Reports, no faster than these proxies cut, and returns when they have cut all that they are to."""
        wanted = sum(proxy.cuts_max for proxy in proxies)
        for start in range(0, len(observations), self._batch):
            await _cut_off(proxies, wanted * start // len(observations))
            await self._deliver(observations[start : start + self._batch])
        await _cut_off(proxies, wanted)

    async def _deliver(self, observations: Sequence[Seen]) -> None:
        facts = self._ledger.facts
        before = len(facts)
        for each in observations:
            self._ledger.observe(each)
        receipt = await self._reporter.report(
            [Observation(each.evse, Status(each.status), each.at, each.error) for each in observations]
        )
        changed = len(facts) - before
        self.seq = Position.parse(receipt.position).seq
        if self.base < 0:
            self.base = self.seq - changed
        if receipt.accepted != changed or self.seq != self.base + len(facts):
            raise RuntimeError(f"{receipt} for what has {changed} changes by the fold, after {self.base}")


async def _cut_off(proxies: Sequence[CuttingProxy], wanted: int) -> None:
    """Returns when so many connections were cut."""
    while sum(proxy.total for proxy in proxies) < wanted:
        await asyncio.sleep(POLL_S)
