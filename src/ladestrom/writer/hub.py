"""The write loop, the only writer: drain, decide, append, apply, receipts.

Only this module decides what is a change (through `core.board`). Everything handed in while an append is
under way becomes the next group: one commit for as many deliveries as arrived meanwhile.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import suppress
from functools import cache, partial
from operator import attrgetter
from time import monotonic_ns, perf_counter
from typing import Final, TypeVar

import msgspec
import structlog

from ladestrom.core.access import Reach
from ladestrom.core.board import RAPID_MS, UNCHANGED, Board, Round, unheard
from ladestrom.core.directory import Directory
from ladestrom.core.precedence import Taking, observation, taking
from ladestrom.core.records import Records
from ladestrom.core.shares import Allowance
from ladestrom.core.timekeeping import Timekeeper
from ladestrom.errors import (
    Deposed,
    LadestromError,
    LogFailure,
    LogMisplaced,
    NotReady,
    Overloaded,
    TooManyRequests,
)
from ladestrom.model import (
    ADJUSTED_MAX,
    AnyChange,
    Beginning,
    Change,
    Entry,
    Evse,
    Feed,
    Ids,
    Millis,
    Operator,
    Position,
    Reason,
    Receipt,
    Refusal,
    StationChanged,
    Status,
    StatusReport,
)
from ladestrom.ports.log import BoardRow, Log, Recovered, Times
from ladestrom.ports.signals import Listener, Tally
from ladestrom.quoting import quoted
from ladestrom.tasks import Turns, Urgent, background, parts

T = TypeVar("T")
Decision = Callable[[Round, Taking], int | Awaitable[int]]
"""Decides something that is no operator's, and says how many EVSEs that concerns; in turns of the loop, where
that takes long."""

logger = structlog.get_logger(__name__)

UNHEARD: Final = frozenset({Status.UNKNOWN, Status.REMOVED})
"""What an EVSE is before it becomes known."""
REFUSED_PER_RECEIPT_MAX: Final = 10_000
"""As many as one delivery may have items."""
APPEND_SECONDS_MAX: Final = 10_000
"""Durations kept between two scrapes; more are not observed."""
UNANSWERED_S_MAX: Final = 20.0
"""How long deliveries wait for a log that does not answer. Most programs that send wait for 30 s."""
UNANSWERED: Final = (
    "the log does not answer, so it is not known whether this was logged: send it again, repetitions do no "
    "harm"
)
UNDECIDED: Final = "an internal error stopped this delivery; none of it was accepted"
DURABLE: Final = (
    "what was accepted of this delivery is in the log, and sending it again does no harm; an internal error "
    "came after that"
)
OURS: Final = Feed("")
"""What is decided here, and is no source's word."""
_cause: Final = attrgetter("cause")
_index: Final = attrgetter("index")
CHUNK_EVSES: Final = 1_000
"""EVSEs handled in one group of our own decisions, before reports get their turn again: some 5 ms."""
IDS_PER_LOOK: Final = 200
"""Ids that a delivery names, looked up between two looks at how long the loop was taken: some 0.7 ms."""
REPORTS_PER_LOOK: Final = 50
"""Reports judged between two looks at how long the loop was taken: some 0.5 ms."""


class HubLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What the hub bounds, and the rules' settings."""

    queue_items_max: int = 200_000
    """Reports waiting for their group: 5 s at 40,000 changes/s."""
    queue_items_per_operator_max: int = 100_000
    """Of these, reports of one operator."""
    rapid_changes_per_hour_max: int = 100_000
    """Of one operator, while the log is full: each one drops an entry that somebody may resume from."""
    group_items_max: int = 5_000
    """Reports decided and appended at once: bounds how long one group holds up the loop, some 20 ms."""
    stale_after_s: int = 86_400
    start_grace_s: int = 600
    """After a start, a suspension or a jump of the clock nobody is taken for silent: we were deaf."""
    skew_ms: int = 300_000
    """How far an observation may be ahead of our clock without being told of."""


class _Submission(msgspec.Struct, frozen=True, gc=False):
    """A delivery that waits for its group."""

    operator: Operator
    reports: Sequence[StatusReport]
    refused: Sequence[Refusal]
    feed: Feed
    began: Beginning | None
    future: asyncio.Future[Receipt]


class _Own(msgspec.Struct, frozen=True, gc=False):
    """Decisions of our own that wait for their group."""

    make: Decision
    future: asyncio.Future[int]
    is_alone: bool = False
    """Whether no delivery may be in its group: it changes which EVSEs are found."""


class _Decided(msgspec.Struct, frozen=True):
    """What becomes of a group."""

    round: Round
    judged: list[tuple[_Submission, _Outcome]]
    own: list[tuple[_Own, int]]
    """With the number of changes that each made."""

    def futures(self) -> list[asyncio.Future[Receipt] | asyncio.Future[int]]:
        """Of all who wait for it."""
        return [*(each.future for each, _ in self.judged), *(each.future for each, _ in self.own)]


class Hub:
    """Implements `ports.Writer` over one log and one board."""

    def __init__(
        self,
        log: Log,
        board: Board,
        directory: Directory,
        clock: Callable[[], Millis],
        limits: HubLimits | None = None,
        rights: Callable[[Operator], Operator] = lambda operator: operator,
        *,
        steady: Callable[[], Millis] = lambda: monotonic_ns() // 1_000_000,
    ) -> None:
        """Nothing is decided before `run`.

        Args:
            log: where changes become durable.
            board: what is known, recovered from the log.
            directory: finds EVSEs.
            clock: gives the time; it may be set.
            limits: of queue, group and silence.
            rights: gives an operator with the rights that it has now; what is handed in may be old.
            steady: a clock in milliseconds that only goes on; by it silence is judged.
        """
        self.limits = limits or HubLimits()
        self.rights = rights
        self.board = board
        self.directory = directory
        self.records = Records()
        """What the log adds up to of stations."""
        self.listener: Listener | None = None
        self.tallies: dict[str, Tally] = {}
        self.changes_by_cause: Counter[str] = Counter()
        self.append_seconds: list[float] = []
        """Durations since the last scrape; `take_append_seconds` empties it."""
        self.failed_appends = 0
        self.fault = ""
        """Why the last append failed; empty once one has succeeded."""
        self.appending: asyncio.Future[None] | None = None
        """Done when the append of deliveries that is under way is; None where none is."""
        self._log = log
        self._clock = clock
        self._steady = steady
        self._times = Timekeeper(clock(), steady(), self._grace_ms)
        self._operators: dict[str, Operator] = {}
        self._reaches: dict[str, Reach] = {}
        """Of operators that report, by name."""
        self._stale_after_ms: dict[str, int] = {}
        self._queue: deque[_Submission] = deque()
        self._is_hanging = False
        """Whether the log has not answered an append for so long that nobody is kept waiting for it."""
        self._queued_items = 0
        self._queued_by: dict[str, int] = {}
        """Of these, by operator."""
        self._rapid = Allowance(self.limits.rapid_changes_per_hour_max)
        """Rapid changes, by operator."""
        self._own: deque[_Own] = deque()
        self._is_theirs = False
        """Whether deliveries have their turn, where there are any."""
        self._under_way: list[_Submission | _Own] = []
        """The group that is being logged."""
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def evses(self) -> int:
        """EVSEs on the board."""
        return len(self.board)

    @property
    def queued_items(self) -> int:
        """Reports waiting for their group."""
        return self._queued_items

    @property
    def _grace_ms(self) -> int:
        return self.limits.start_grace_s * 1000

    def now(self) -> Millis:
        """The time."""
        return self._clock()

    def times(self) -> Times:
        """What the log is to keep of our clocks."""
        return self._times.times(self._clock(), self._steady())

    async def recover(self) -> Recovered:
        """Fills board and directory with what the log has, and goes on with its times. Before `run`.

        Raises:
            LogDamaged: they cannot be made of what is in the log.
        """
        found = await self._log.recover()
        times = self._log.times
        now, steady = self._clock(), self._steady()
        self._times = Timekeeper(now, steady, self._grace_ms, times)
        shift_ms = 0 if times is None else now - times.heard_at - self._times.down_ms
        self.board.restore(found.rows, self._log.last.seq, shift_ms, now)
        self.records.restore(found.stations, found.touched, self._log.first)
        for row in found.stations:
            self.directory.put(row.station)
        return found

    def begin(self) -> Beginning:
        """Implements `ports.Writer.begin`."""
        return Beginning(self.board.arrive(), self._times.receive(self._clock()))

    def _taking(self, feed: Feed, began: Beginning | None = None) -> Taking:
        received_at = self._times.receive(self._clock())
        heard_at = self._times.instant(self._steady())
        return taking(feed, received_at, heard_at, self.board.arrive(), began)

    def set_operators(self, operators: Iterable[Operator]) -> None:
        """Takes the operators' rights and their own limits of silence."""
        operators = tuple(operators)
        self._operators = {operator.name: operator for operator in operators}
        self._reaches = {name: reach for name, reach in self._reaches.items() if name in self._operators}
        self._stale_after_ms = {
            operator.name: operator.stale_after_s * 1000
            for operator in operators
            if operator.stale_after_s is not None
        }

    def known_tallies(self) -> dict[str, Tally]:
        """By operator: what each delivered, with nothing for those that did not yet."""
        return {name: Tally() for name in self._operators} | self.tallies

    async def submit(
        self,
        operator: Operator,
        reports: Sequence[StatusReport],
        refused: Sequence[Refusal] = (),
        feed: Feed | None = None,
        began: Beginning | None = None,
    ) -> Receipt:
        """Implements `ports.Writer.submit`."""
        items = _size(reports)
        if self._is_hanging:
            raise LogFailure("the log does not answer; nothing of this was accepted")
        if isinstance(self._log.fault, LogMisplaced):
            # Confirmations are refused, too: who follows the log must not take silence for agreement.
            raise LogMisplaced(str(self._log.fault))
        self._rapid.per_hour_max = self.limits.rapid_changes_per_hour_max
        wait_s = self._rapid.wait_s(operator.name, self._steady()) if self._log.is_full else 0
        if wait_s:
            most = self._rapid.per_hour_max
            raise TooManyRequests(
                f"EVSEs of {quoted(operator.name)} change too often: while the change log is full, at most "
                f"{most} changes an hour may follow another one of the same EVSE within {RAPID_MS // 1000} s",
                retry_after_s=wait_s,
            )
        own = self._queued_by.get(operator.name, 0)
        if own and own + items > self.limits.queue_items_per_operator_max:
            raise TooManyRequests(
                f"{own} reports of {quoted(operator.name)} are waiting to be logged; send this delivery "
                "again in a second"
            )
        if self._queued_items + items > self.limits.queue_items_max and self._queued_items:
            raise Overloaded(
                f"{self._queued_items} reports are waiting to be logged; send this delivery again in a second"
            )
        future: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        on = feed or Feed(operator.name)
        self._queue.append(_Submission(operator, reports, refused, on, began, future))
        self._queued_items += items
        self._queued_by[operator.name] = own + items
        self._idle.clear()
        self._wake.set()
        with Urgent():
            return await future

    async def tried(
        self,
        operator: Operator,
        reports: Sequence[StatusReport],
        refused: Sequence[Refusal] = (),
        feed: Feed | None = None,
    ) -> Receipt:
        """Implements `ports.Writer.tried`."""
        future: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        on = feed or Feed(operator.name)
        outcome = _Outcome(refused)
        submission = _Submission(operator, reports, refused, on, None, future)
        await self._judge(Round(self.board), submission, outcome, Turns(is_urgent=True))
        outcome.refused.sort(key=_index)
        return Receipt(
            outcome.accepted,
            outcome.unchanged,
            tuple(outcome.refused),
            self._log.last,
            outcome.stale,
            tuple(outcome.adjusted),
            dry_run=True,
        )

    async def decide(self, make: Decision, *, is_alone: bool = False) -> int:
        """Logs decisions that are no operator's: expired, withdrawn, registered. Says how many, once durable.

        `make` is called when its group is decided, so that it sees the board with nothing in between; it adds
        its changes to the round. With records of stations among them it `is_alone`: no delivery is judged
        between them and the directory.

        Raises:
            LogFailure: none was logged; calling again may succeed.
        """
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._own.append(_Own(make, future, is_alone))
        self._idle.clear()
        self._wake.set()
        return await future

    async def decide_each(self, items: Sequence[T], make: Callable[[Sequence[T], Round, Taking], int]) -> int:
        """Has `make` decide on so many at a time, each time in another group; says how many, as `decide`."""
        made = 0
        for number, some in enumerate(parts(items, CHUNK_EVSES)):
            if number:
                await background().turn()
            made += await self.decide(partial(make, some))
        return made

    async def run(self) -> None:
        """Works until cancelled; `drain` first, or what is under way is not answered."""
        while True:
            await self._wake.wait()
            while self._queue or self._own:
                await self._group()
                # A group of confirmations alone has waited for nothing.
                await asyncio.sleep(0)
            self._wake.clear()
            self._idle.set()

    async def drain(self, seconds_max: float) -> bool:
        """Returns when everything handed in was answered, or after `seconds_max`; says whether it was.

        What was not is logged, and told that it was not: a log that hangs must not keep the server from
        ending.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds_max):
                await self._idle.wait()
            return True
        left = [*self._under_way, *self._own, *self._queue]
        deliveries = [each for each in left if isinstance(each, _Submission)]
        logger.error(
            "the log did not respond in time; these requests were not answered",
            after_s=seconds_max,
            deliveries=len(deliveries),
            reports=sum(len(each.reports) for each in deliveries),
            own_decisions=len(left) - len(deliveries),
        )
        error = NotReady("the server stopped before its log responded; send the request again")
        _refuse((each.future for each in left), error)
        return False

    async def _group(self) -> None:
        # After a group without deliveries those that wait have their turn: an import is many such groups.
        is_theirs, self._is_theirs = self._is_theirs and bool(self._queue), False
        own = [self._own.popleft()] if self._own and not is_theirs else []
        submissions: list[_Submission] = []
        items = 0
        is_alone = self._is_theirs = bool(own) and own[0].is_alone
        while (self._queue and not is_alone) and (
            not submissions or items + _size(self._queue[0].reports) <= self.limits.group_items_max
        ):
            submission = self._queue.popleft()
            submissions.append(submission)
            size = _size(submission.reports)
            self._unqueue(submission.operator.name, size)
            items += size
        self._under_way = [*own, *submissions]
        decided = await self._decided(own, submissions)
        changes = decided.round.logged()
        try:
            entries = await self._append(changes, is_awaited=bool(submissions)) if changes else ()
        except Exception as error:
            self._fail(error, decided)
            if isinstance(error, Deposed):
                # What this process decides is not what is so any more. It ends, and begins anew.
                raise
            return
        finally:
            self._under_way = []
        try:
            if own:
                # Who reports moves no EVSE.
                self.records.follow_moves(entries, self.board.cells)
            self.board.commit(decided.round, entries)
            for entry in entries if is_alone else ():
                if isinstance(entry, StationChanged):
                    self.records.take(entry)
                    self.directory.put(entry.change.station, entry.change.moving)
        except BaseException:
            # The board is not what the log says any more. It is made anew from the log: by the next start.
            _refuse(decided.futures(), LogFailure(f"{DURABLE}; the server restarts"))
            raise
        if changes:
            self.fault = ""
        self.changes_by_cause.update(map(_cause, decided.round.changes))
        self._answer(decided)

    async def _decided(self, own: list[_Own], submissions: list[_Submission]) -> _Decided:
        """The decisions of a group. What cannot be decided costs itself only: the others are decided anew."""
        turns = Turns(is_urgent=True)
        while True:
            decided = _Decided(Round(self.board), [], [])
            current: _Own | _Submission | None = None
            try:
                for current in own:
                    made = current.make(decided.round, self._taking(OURS))
                    decided.own.append((current, made if isinstance(made, int) else await made))
                for current in submissions:
                    outcome = _Outcome(current.refused)
                    await self._judge(decided.round, current, outcome, turns)
                    decided.judged.append((current, outcome))
            except Exception as error:
                logger.exception("a delivery cannot be decided", error=repr(error))
                own = [each for each in own if each is not current]
                submissions = [each for each in submissions if each is not current]
                if current is not None:
                    _refuse([current.future], LogFailure(UNDECIDED))
            else:
                return decided

    def _unqueue(self, operator: str, items: int) -> None:
        self._queued_items -= items
        left = self._queued_by.pop(operator) - items
        if left:
            self._queued_by[operator] = left

    @property
    def _is_raw_wanted(self) -> bool:
        return self.listener is not None and self.listener.wanted

    async def _append(self, changes: Sequence[AnyChange], *, is_awaited: bool) -> Sequence[Entry]:
        began = perf_counter()
        loop = asyncio.get_running_loop()
        if is_awaited:
            self.appending = loop.create_future()
        unanswered = loop.call_later(UNANSWERED_S_MAX, self._stop_waiting)
        try:
            entries = await self._log.append(changes)
        finally:
            unanswered.cancel()
            self._is_hanging = False
            if self.appending is not None:
                self.appending.set_result(None)
                self.appending = None
        if len(self.append_seconds) < APPEND_SECONDS_MAX:
            self.append_seconds.append(perf_counter() - began)
        return entries

    def _stop_waiting(self) -> None:
        """Answers those who wait for a log that hangs; nothing is taken until it answers again."""
        self._is_hanging = True
        under_way = [each.future for each in self._under_way if isinstance(each, _Submission)]
        logger.error("the log does not answer", after_s=UNANSWERED_S_MAX, deliveries=len(under_way))
        _refuse(under_way, LogFailure(UNANSWERED))
        while self._queue:
            submission = self._queue.popleft()
            self._unqueue(submission.operator.name, _size(submission.reports))
            _refuse([submission.future], LogFailure("the log does not answer; nothing of this was accepted"))

    async def _judge(self, round_: Round, submission: _Submission, outcome: _Outcome, turns: Turns) -> None:
        operator = self.rights(submission.operator)
        reach = self._reach(operator)
        covers, holder, decide = reach.covers, self.directory.holder, round_.decide
        taken = outcome.taking = self._taking(submission.feed, submission.began)
        ahead = taken.received_at + self.limits.skew_ms
        heard = outcome.heard if self._is_raw_wanted else None
        observed, rapid = outcome.observed, round_.rapid
        unchanged = look = 0
        for place, report in zip(_places(submission), submission.reports, strict=False):
            if place >= look:
                look = place + REPORTS_PER_LOOK
                await turns.rest()
            evse = holder(report.evse)
            if evse is None or not covers(evse):
                # Not by its own id: by another one, or not at all.
                evse = self._meant(report, reach, place, outcome)
                if evse is None:
                    continue
            decision = decide(evse, report, taken)
            if decision is UNCHANGED:
                unchanged += 1
            elif isinstance(decision, Change):
                outcome.accepted += 1
                if decision.was_status not in UNHEARD:
                    observed.append(decision.observed_at)
            else:
                unchanged += 1
                outcome.stale += decision.reason is Reason.STALE
            if heard is not None:
                heard.append((evse, report))
            stamp = report.observed_at
            if stamp is not None and stamp > ahead and not taken.by_receipt:
                outcome.adjust(place, self.limits.skew_ms)
        outcome.unchanged = unchanged
        outcome.rapid = round_.rapid - rapid

    def _reach(self, operator: Operator) -> Reach:
        """What an operator may report on; made anew when it gets other rights."""
        found = self._reaches.get(operator.name)
        if found is None or found.operator is not operator:
            found = self._reaches[operator.name] = Reach(operator)
        return found

    def _meant(self, report: StatusReport, reach: Reach, place: int, outcome: _Outcome) -> Evse | None:
        """The EVSE of the operator's own that a report means by any of its ids; None where it is refused."""
        own, found = self.directory.resolve(report.evse, report.also, reach.covers, report.shared)
        if len(own) == 1:
            return own[0]
        if own or not found:
            outcome.refuse(place, *_unknown(report, len(own)))
        else:
            outcome.refuse(
                place,
                Reason.NOT_ALLOWED,
                f"{quoted(report.evse)} is not among the EVSEs that {quoted(reach.operator.name)} may "
                "report on",
            )
        return None

    def _answer(self, decided: _Decided) -> None:
        """Tells all of a group what became of them. All is durable: what goes wrong here costs a receipt."""
        position = self._log.last
        now = self._clock()
        for own, made in decided.own:
            if not own.future.done():
                own.future.set_result(made)
        for submission, outcome in decided.judged:
            try:
                receipt = self._receipt(submission, outcome, position, now)
            except Exception:
                logger.exception("a receipt cannot be made", operator=submission.operator.name)
                _refuse([submission.future], LogFailure(f"{DURABLE}, and prevented its receipt"))
            else:
                if not submission.future.done():
                    submission.future.set_result(receipt)

    def _receipt(
        self, submission: _Submission, outcome: _Outcome, position: Position, now: Millis
    ) -> Receipt:
        self._count(submission, outcome)
        taken = outcome.taking
        if self.listener is not None and taken is not None:
            for evse, report in outcome.heard:
                self.listener.offer(evse, report, observation(report, taken))
        outcome.refused.sort(key=_index)
        return Receipt(
            outcome.accepted,
            outcome.unchanged,
            tuple(outcome.refused),
            position,
            outcome.stale,
            tuple(outcome.adjusted),
            now if taken is None else taken.received_at,
            tuple(outcome.observed),
            now,
        )

    def _count(self, submission: _Submission, outcome: _Outcome) -> None:
        tally = self.tallies.get(submission.operator.name)
        if tally is None:
            tally = self.tallies[submission.operator.name] = Tally()
        tally.reports += outcome.accepted + outcome.unchanged + len(outcome.refused)
        tally.changes += outcome.accepted
        tally.stale += outcome.stale
        if outcome.rapid:
            self._rapid.spend(submission.operator.name, outcome.rapid, self._steady())
        for refusal in outcome.refused:
            tally.refused[refusal.reason] += 1
        if submission.reports and outcome.taking is not None:
            tally.last_report_at = outcome.taking.received_at

    def _fail(self, error: Exception, decided: _Decided) -> None:
        """Tells all of a group that nothing of it was logged."""
        self.failed_appends += 1
        if isinstance(error, LadestromError):
            if self.fault != str(error):
                # Those who report try again: once is enough.
                logger.error("append failed", error=str(error), deliveries=len(decided.judged))
            self.fault = str(error)
        else:
            logger.error("append failed", deliveries=len(decided.judged), exc_info=error)
            error = LogFailure(UNDECIDED)
        _refuse(decided.futures(), error)

    def look(self) -> bool:
        """Compares our clocks; whether silences can be judged now."""
        wall, steady = self._clock(), self._steady()
        can_judge = self._times.look(wall, steady, self._grace_ms)
        ahead_ms = self._times.was_ahead(wall, steady)
        if ahead_ms:
            self.board.shift_recovered(ahead_ms)
        return can_judge

    async def sign_off(
        self,
        source: str,
        *,
        only: Collection[str] | None = None,
        keep: Iterable[Ids] = (),
        within: tuple[str, ...] = (),
        feed: str | None = None,
        before: Beginning | None = None,
        by: Operator | None = None,
    ) -> int:
        """Implements `ports.Writer.sign_off`."""
        cells = self.board.cells
        until = self.board.arrivals if before is None else before.arrival - 1
        turns, by_key = Turns(), self.directory.by_key
        kept = await self._kept(keep, by)
        part = Reach(Operator(source, parties=within, prefixes=within)) if within else None

        def is_lost(key: str) -> bool:
            row = cells.get(key)
            if row is None or row.source != source or key in kept:
                return False
            return part is None or ((evse := by_key(key)) is not None and part.covers(evse))

        keys: list[str] = []
        for some in parts(list(cells) if only is None else list(only), CHUNK_EVSES):
            if only is None:
                keys += filter(is_lost, some)
            else:
                keys += (evse.key for written in some for evse in self.directory.meant(written))
            await turns.rest()

        def off(chunk: Sequence[str], round_: Round, taken: Taking) -> int:
            made = 0
            for key in chunk if by is None else self._allowed(by, chunk):
                row = cells.get(key)
                if (
                    row is not None
                    and key not in kept
                    and row.source == source
                    and row.arrival <= until
                    and _was_heard_on(row, feed)
                    and (change := self.board.give_up(key, taken.received_at)) is not None
                ):
                    round_.add([change], taken)
                    made += 1
            return made

        return await self.decide_each(keys, off)

    async def _kept(self, keep: Iterable[Ids], by: Operator | None) -> set[str]:
        """Keys of the EVSEs that ids mean, of those on which `by` may report."""
        turns, resolve = Turns(), self.directory.resolve
        covers = None if by is None else self._reach(self.rights(by)).covers
        kept: set[str] = set()

        def owns(evse: Evse) -> bool:
            return covers is None or covers(evse)

        for number, (written, also, shared) in enumerate(keep, 1):
            kept.update(evse.key for evse in resolve(written, also, owns, shared)[0])
            if number % IDS_PER_LOOK == 0:
                await turns.rest()
        return kept

    def _allowed(self, operator: Operator, keys: Iterable[str]) -> list[str]:
        """Those of some EVSEs that an operator may report on now."""
        covers, by_key = self._reach(self.rights(operator)).covers, self.directory.by_key
        return [key for key in keys if (evse := by_key(key)) is not None and covers(evse)]

    async def sign_off_left(self, has_left: Callable[[str, str], bool]) -> int:
        """Implements `ports.Writer.sign_off_left`."""
        cells = self.board.cells
        asked = cache(has_left)

        def off(keys: Sequence[str], round_: Round, taken: Taking) -> int:
            found = [key for key in keys if asked((row := cells[key]).source, _heard_on(row))]
            changes = [self.board.give_up(key, taken.received_at) for key in found]
            made = [change for change in changes if change is not None]
            round_.add(made, taken)
            return len(made)

        return await self.decide_each(list(cells), off)

    async def confirm(self, operator: Operator, feed: str) -> int:
        """Implements `ports.Writer.confirm`."""
        cells = self.board.cells

        def hear(keys: Sequence[str], round_: Round, taken: Taking) -> int:
            told = [
                key for key in keys if (row := cells[key]).source == operator.name and row.feed in {feed, ""}
            ]
            own = self._allowed(operator, told)
            round_.hear(own, taken)
            return len(own)

        return await self.decide_each(list(cells), hear)

    def stale_after(self, source: str) -> int:
        """How long a source may be silent, in milliseconds."""
        return self._stale_after_ms.get(source, self.limits.stale_after_s * 1000)

    async def reconcile(self, evses: Iterable[Evse], gone: Iterable[str]) -> int:
        """Brings EVSEs onto the board that operators may report on; takes off those that are gone (keys)."""
        board = self.board

        def off(chunk: Sequence[str], round_: Round, taken: Taking) -> int:
            found = (board.withdraw(key, taken.received_at) for key in chunk)
            changes = [change for change in found if change is not None]
            round_.add(changes, taken)
            return len(changes)

        def on(chunk: Sequence[Evse], round_: Round, taken: Taking) -> int:
            changes = [change for evse in chunk for change in self.brought(evse, taken.received_at)]
            round_.add(changes, taken)
            return len(changes)

        made = await self.decide_each(list(gone), off)
        return made + await self.decide_each(list(evses), on)

    def brought(self, evse: Evse, received_at: Millis) -> Sequence[Change]:
        """Changes that bring an EVSE onto the board, or from another station; none where it is there."""
        moved = self.board.move(evse, received_at)
        if moved is None:
            change = self.board.register(evse, received_at)
            return () if change is None else (change,)
        left, entered = moved
        if not self._vouches(entered.source, evse):
            entered = unheard(evse, received_at, left)
        return left, entered

    def _vouches(self, source: str, evse: Evse) -> bool:
        """Whether what a source said of an EVSE holds at its new station.

        An id may have been at a station of another operator, whose word does not count any more. The word of
        sources that are no operators, such as a register, moves along.
        """
        operator = self._operators.get(source)
        return operator is None or self._reach(operator).covers(evse)

    def take_append_seconds(self) -> list[float]:
        """Durations of appends since the last call."""
        taken, self.append_seconds = self.append_seconds, []
        return taken


class _Outcome:
    """What becomes of one submission."""

    __slots__ = (
        "accepted",
        "adjusted",
        "heard",
        "observed",
        "rapid",
        "refused",
        "stale",
        "taking",
        "unchanged",
    )

    def __init__(self, refused: Sequence[Refusal]) -> None:
        self.accepted = 0
        self.unchanged = 0
        self.stale = 0
        self.refused = list(refused)
        self.adjusted: list[Refusal] = []
        self.taking: Taking | None = None
        self.heard: list[tuple[Evse, StatusReport]] = []
        """Only while somebody wants raw messages."""
        self.observed: list[Millis] = []
        self.rapid = 0

    def refuse(self, index: int, reason: Reason, detail: str) -> None:
        if len(self.refused) < REFUSED_PER_RECEIPT_MAX:
            self.refused.append(Refusal(index, reason, detail))

    def adjust(self, index: int, skew_ms: int) -> None:
        if len(self.adjusted) < ADJUSTED_MAX:
            detail = (
                f"observed more than {skew_ms // 1000} s ahead of our clock; "
                "the receive time was taken instead"
            )
            self.adjusted.append(Refusal(index, Reason.FUTURE_TIME, detail))


def _was_heard_on(row: BoardRow, feed: str | None) -> bool:
    """Whether an EVSE was heard last on a feed, or nobody knows any more on which."""
    return feed is None or _heard_on(row) in {feed, ""}


def _heard_on(row: BoardRow) -> str:
    return row.feed if row.more is None else row.more.heard_on


def _refuse(futures: Iterable[asyncio.Future[Receipt] | asyncio.Future[int]], error: LadestromError) -> None:
    for future in futures:
        if not future.done():
            future.set_exception(error)


def _places(submission: _Submission) -> Sequence[int]:
    """At which places of its delivery reports stand: where the parser refused nothing."""
    refused = {refusal.index for refusal in submission.refused}
    places = range(len(submission.reports) + len(refused))
    return [place for place in places if place not in refused] if refused else places


def _size(reports: Sequence[StatusReport]) -> int:
    """What a delivery counts as in queue and group; one without reports takes a place too."""
    return max(1, len(reports))


def _unknown(report: StatusReport, candidates: int) -> tuple[Reason, str]:
    if candidates:
        return (
            Reason.UNKNOWN_EVSE,
            f"{quoted(report.evse, 80)} is the uid of {candidates} EVSEs; send the EVSE id instead",
        )
    what = f"no EVSE in the registry is known as {quoted(report.evse, 80)}"
    return Reason.UNKNOWN_EVSE, f"{what}; check the id, or ask the administrator to import its station"
