from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs
from tests.building import NOW, GatedLog, make_change, make_evse, make_operator, make_report, make_station
from tests.patience import DEADLINE_S, come_true, turns

import ladestrom.writer.hub
from ladestrom import tasks
from ladestrom.core.board import RAPID_MS, Board, Round
from ladestrom.core.directory import Directory
from ladestrom.core.precedence import Taking
from ladestrom.errors import Deposed, LogFailure, LogMisplaced, NotReady, Overloaded, TooManyRequests
from ladestrom.model import (
    ADJUSTED_MAX,
    Evse,
    Feed,
    Ids,
    Operator,
    Order,
    Position,
    Reason,
    Receipt,
    Refusal,
    Status,
    StatusReport,
)
from ladestrom.ports.signals import Confirmation
from ladestrom.writer.confirmations import Confirmations
from ladestrom.writer.expiry import Expiry
from ladestrom.writer.hub import (
    APPEND_SECONDS_MAX,
    CHUNK_EVSES,
    REPORTS_PER_LOOK,
    Decision,
    Hub,
    HubLimits,
)

DAY_MS = 86_400_000
STATION = make_station("NOR_01333", evses=4)
FIRST, SECOND, THIRD, FOURTH = STATION.evses
ABC = make_operator("abc")
XYZ = make_operator("xyz", parties=("NOXYZ",))


class Clock:
    """The wall's clock, and the steady one, which goes with it unless the wall's is set."""

    def __init__(self) -> None:
        self.now = NOW
        self._set_by = 0

    def __call__(self) -> int:
        return self.now

    @property
    def steady(self) -> int:
        return self.now - self._set_by

    def pass_(self, ms: int) -> None:
        """Time passes."""
        self.now += ms

    def set(self, now: int) -> None:
        """Somebody sets the wall's clock."""
        self._set_by += now - self.now
        self.now = now


class Heard:
    """A listener that keeps what it was told."""

    def __init__(self, *, wanted: bool = True) -> None:
        self.wanted = wanted
        self.reports: list[tuple[Evse, StatusReport, int]] = []
        self.confirmations: list[Confirmation] = []

    def confirmed(self, confirmations: Sequence[Confirmation]) -> None:
        self.confirmations += confirmations

    def offer(self, evse: Evse, report: StatusReport, observed_at: int) -> None:
        self.reports.append((evse, report, observed_at))


class Working:
    """A hub at work, its log and its clock."""

    def __init__(self, directory: Directory, limits: HubLimits) -> None:
        self.log = GatedLog()
        self.board = Board()
        self.clock = Clock()
        self.rights: dict[str, Operator] = {}
        """Of operators that may other things by now than what is handed in says."""
        self.hub = Hub(
            self.log,
            self.board,
            directory,
            self.clock,
            limits,
            lambda operator: self.rights.get(operator.name, operator),
            steady=lambda: self.clock.steady,
        )

    def submit(self, *reports: StatusReport, operator: Operator = ABC) -> asyncio.Task[Receipt]:
        return asyncio.create_task(self.hub.submit(operator, reports))

    async def waiting(self, items: int) -> None:
        await come_true(lambda: self.hub.queued_items == items)

    async def appending(self, count: int = 1) -> None:
        """Until so many appends were begun."""
        await come_true(lambda: len(self.log.appends) >= count)

    def statuses(self) -> dict[str, Status]:
        return {key: cell.change.status for key, cell in self.board.cells.items()}


@contextlib.asynccontextmanager
async def working(
    directory: Directory | None = None, limits: HubLimits | None = None
) -> AsyncIterator[Working]:
    found = Working(directory or Directory([STATION]), limits or HubLimits(start_grace_s=0))
    task = asyncio.create_task(found.hub.run())
    try:
        yield found
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


class TestReceipts:
    async def test_a_receipt_counts_changes_confirmations_stale_reports_and_refusals(self) -> None:
        async with working() as at:
            reports = [
                make_report(FIRST, Status.CHARGING),
                make_report(FIRST, Status.CHARGING, NOW + 1),
                make_report(FIRST, Status.AVAILABLE, NOW - 1),
                make_report("NO*ABC*E404"),
                make_report(SECOND),
            ]
            receipt = await at.submit(*reports)
        assert (receipt.accepted, receipt.unchanged, receipt.stale) == (2, 2, 1)
        assert [(refusal.index, refusal.reason) for refusal in receipt.refused] == [(3, Reason.UNKNOWN_EVSE)]
        assert receipt.position == Position("memory", 2)

    async def test_what_the_parser_refused_keeps_its_place_among_the_others(self) -> None:
        refused = [Refusal(index, Reason.INVALID_ITEM, "bad") for index in (0, 2, 3, 7)]
        reports = [make_report("E404"), make_report(FIRST), make_report("E405"), make_report("E406")]
        async with working() as at:
            receipt = await at.hub.submit(ABC, reports, refused)
        # Places 0, 2, 3 and 7 are the parser's; the reports stand at 1, 4, 5 and 6.
        assert [(one.index, one.reason) for one in receipt.refused] == [
            (0, Reason.INVALID_ITEM),
            (1, Reason.UNKNOWN_EVSE),
            (2, Reason.INVALID_ITEM),
            (3, Reason.INVALID_ITEM),
            (5, Reason.UNKNOWN_EVSE),
            (6, Reason.UNKNOWN_EVSE),
            (7, Reason.INVALID_ITEM),
        ]
        assert receipt.accepted == 1

    async def test_a_delivery_of_refused_items_alone_has_its_receipt(self) -> None:
        async with working() as at:
            receipt = await at.hub.submit(ABC, [], [Refusal(0, Reason.INVALID_TIME, "bad")])
        assert (receipt.accepted, receipt.unchanged, len(receipt.refused)) == (0, 0, 1)
        assert receipt.position == Position("memory", 0)

    async def test_a_refusal_says_which_id_and_what_to_do(self) -> None:
        async with working() as at:
            receipt = await at.submit(make_report("NO*ABC*E404"), make_report("x" * 255))
        assert '"NO*ABC*E404"' in receipt.refused[0].detail
        assert "check the id" in receipt.refused[0].detail
        assert len(receipt.refused[1].detail) < 200

    async def test_times_that_are_ahead_of_us_are_taken_as_received_and_told_if_by_more_than_five_minutes(
        self,
    ) -> None:
        async with working() as at:
            slightly = make_report(FIRST, Status.CHARGING, NOW + 300_000)
            far = make_report(SECOND, Status.CHARGING, NOW + 300_001)
            receipt = await at.submit(slightly, make_report("NO*NOT*E1"), far)
            assert [(each.index, each.reason) for each in receipt.adjusted] == [(2, Reason.FUTURE_TIME)]
            assert receipt.observed == ()
            assert [each.index for each in receipt.refused] == [1]
            assert {row.observed_at for row in at.board.cells.values()} == {NOW}
            at.clock.pass_(10)
            again = await at.submit(far, make_report(FIRST, Status.AVAILABLE, NOW + 900_000))
            assert (again.accepted, again.unchanged) == (1, 1)
            assert [each.index for each in again.adjusted] == [1]
            assert again.observed == (NOW + 10,)

    async def test_of_many_adjusted_times_the_first_hundred_are_told(self) -> None:
        async with working() as at:
            receipt = await at.submit(*[make_report(FIRST, observed_at=NOW + 400_000)] * (ADJUSTED_MAX + 1))
            assert [each.index for each in receipt.adjusted] == list(range(ADJUSTED_MAX))

    async def test_deliveries_are_tallied_by_operator(self) -> None:
        async with working() as at:
            await at.submit(make_report(FIRST), make_report(FIRST), make_report(FIRST, observed_at=NOW - 1))
            at.clock.now += 5
            await at.submit(make_report("E404"))
            await at.hub.submit(XYZ, [make_report(FIRST)], [Refusal(1, Reason.INVALID_ITEM, "bad")])
            mine, yours = at.hub.tallies["abc"], at.hub.tallies["xyz"]
        assert (mine.reports, mine.changes, mine.stale) == (4, 1, 0)
        assert mine.refused == Counter({Reason.UNKNOWN_EVSE: 1})
        assert mine.last_report_at == NOW + 5
        assert yours.refused == Counter({Reason.INVALID_ITEM: 1, Reason.NOT_ALLOWED: 1})
        assert at.hub.changes_by_cause == Counter({"reported": 1})

    @settings(max_examples=30)
    @given(st.lists(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(Status), st.integers(0, 3)))))
    def test_receipts_add_up(self, deliveries: list[list[tuple[int, Status, int]]]) -> None:
        ids = [*(evse.key for evse in STATION.evses), "E404", "NO*XYZ*E1"]
        foreign = make_station("NOR_00002", [make_evse("NO*XYZ*E1", "NOR_00002", party="NOXYZ")])

        async def deliver() -> None:
            async with working(Directory([STATION, foreign])) as at:
                tasks = [
                    at.submit(*(make_report(ids[which], status, NOW + late) for which, status, late in items))
                    for items in deliveries
                ]
                receipts = await asyncio.gather(*tasks)
                for items, receipt in zip(deliveries, receipts, strict=True):
                    assert receipt.accepted + receipt.unchanged + len(receipt.refused) == len(items)
                    assert receipt.stale <= receipt.unchanged
                    assert [one.index for one in receipt.refused] == [
                        place for place, item in enumerate(items) if item[0] > 3
                    ]
                assert sum(receipt.accepted for receipt in receipts) == at.log.last.seq
                assert at.board.seq == at.log.last.seq

        asyncio.run(deliver())


class TestDurability:
    async def test_nothing_is_acknowledged_or_seen_before_it_is_appended(self) -> None:
        async with working() as at:
            at.log.gate.clear()
            task = at.submit(make_report(FIRST, Status.CHARGING))
            await at.appending()
            assert not task.done()
            assert at.statuses() == {}
            under_way = at.hub.appending
            assert under_way is not None
            assert not under_way.done()
            at.log.gate.set()
            receipt = await task
            assert under_way.done()
            assert at.hub.appending is None
            assert receipt.position == at.log.last == Position("memory", 1)
            assert at.statuses() == {FIRST.key: Status.CHARGING}

    async def test_work_in_the_background_waits_for_deliveries(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tasks, "BACKGROUND_EVERY_S", 3_600)
        async with working() as at:
            await tasks.background().turn()
            at.log.gate.clear()
            delivery = at.submit(make_report(FIRST))
            await at.appending()
            turn = tasks.background().turn()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert not turn.done()
            at.log.gate.set()
            await turn
            assert delivery.done()

    async def test_many_decisions_of_our_own_wait_for_what_is_urgent_between_two_groups(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tasks, "BACKGROUND_EVERY_S", 3_600)
        monkeypatch.setattr(ladestrom.writer.hub, "CHUNK_EVSES", 1)
        async with working() as at:
            await asyncio.gather(*(at.submit(make_report(each)) for each in (FIRST, SECOND, THIRD)))
            await tasks.background().turn()
            with tasks.Urgent():
                own = asyncio.create_task(at.hub.reconcile([], [FIRST.key, SECOND.key, THIRD.key]))
                for _ in range(100):
                    await asyncio.sleep(0)
                assert at.log.appends == [3, 1]
            assert await own == 3

    async def test_what_is_appended_while_no_delivery_waits_for_it_is_waited_for_by_nobody(self) -> None:
        async with working() as at:
            await at.submit(make_report(FIRST))
            at.log.gate.clear()
            own = asyncio.create_task(at.hub.reconcile([], [FIRST.key]))
            await at.appending(2)
            assert at.hub.appending is None
            at.log.gate.set()
            assert await own == 1

    async def test_what_arrives_during_an_append_becomes_the_next_one_together(self) -> None:
        async with working() as at:
            at.log.gate.clear()
            first = at.submit(make_report(FIRST))
            await at.appending()
            rest = [at.submit(make_report(evse, Status.CHARGING)) for evse in (SECOND, THIRD, FOURTH)]
            await at.waiting(3)
            at.log.gate.set()
            receipts = await asyncio.gather(first, *rest)
        assert at.log.appends == [1, 3]
        assert [receipt.position.seq for receipt in receipts] == [1, 4, 4, 4]

    async def test_a_delivery_that_waited_is_judged_by_the_rights_that_hold_then(self) -> None:
        async with working() as at:
            at.log.gate.clear()
            first = at.submit(make_report(FIRST))
            await at.appending()
            second = at.submit(make_report(SECOND))
            await at.waiting(1)
            at.rights["abc"] = Operator("abc")
            at.log.gate.set()
            assert (await first).accepted == 1
            assert [refusal.reason for refusal in (await second).refused] == [Reason.NOT_ALLOWED]

    async def test_a_group_takes_no_more_deliveries_once_it_has_its_limit_of_reports(self) -> None:
        async with working(limits=HubLimits(group_items_max=2, start_grace_s=0)) as at:
            at.log.gate.clear()
            first = at.submit(make_report(FIRST))
            await at.appending()
            rest = [at.submit(make_report(evse)) for evse in (SECOND, THIRD, FOURTH)]
            await at.waiting(3)
            at.log.gate.set()
            await asyncio.gather(first, *rest)
        assert at.log.appends == [1, 2, 1]

    async def test_confirmations_alone_append_nothing(self) -> None:
        async with working() as at:
            await at.submit(make_report(FIRST))
            at.clock.now += 9
            await at.submit(make_report(FIRST, observed_at=NOW + 5))
            assert at.log.appends == [1]
            (row,) = at.board.cells.values()
            assert (row.observed_at, row.change.observed_at) == (NOW + 5, NOW)

    async def test_readers_are_told_the_newest_confirmation_of_each_evse_once(self) -> None:
        async with working() as at:
            at.hub.listener = heard = Heard()
            confirmations = Confirmations(at.hub)
            await at.submit(make_report(FIRST), make_report(SECOND))
            await confirmations.tell()
            assert heard.confirmations == []
            for later in (5, 7):
                at.clock.now += 9
                await at.submit(make_report(FIRST, observed_at=NOW + later))
            await confirmations.tell()
            await confirmations.tell()
            row = at.board.cells[FIRST.key]
            assert heard.confirmations == [(FIRST.station, FIRST.key, row.seq, NOW + 7)]

    async def test_draining_waits_for_all_that_was_handed_in(self) -> None:
        async with working() as at:
            at.log.gate.clear()
            task = at.submit(make_report(FIRST))
            await asyncio.sleep(0)
            draining = asyncio.create_task(at.hub.drain(DEADLINE_S))
            await at.appending()
            assert not draining.done()
            at.log.gate.set()
            await draining
            assert task.done()

    async def test_it_waits_even_where_the_hub_has_not_looked_yet(self) -> None:
        async with working() as at:
            task = at.submit(make_report(FIRST))
            deciding = asyncio.create_task(at.hub.reconcile([SECOND], []))
            await asyncio.sleep(0)
            await at.hub.drain(DEADLINE_S)
            assert at.log.last.seq == 2
            await asyncio.gather(task, deciding)

    async def test_draining_ends_at_its_limit_and_says_what_was_not_answered(self) -> None:
        async with working() as at:
            at.log.gate.clear()
            under_way = at.submit(make_report(FIRST))
            await at.appending()
            waiting = at.submit(make_report(SECOND), make_report(THIRD))
            own = asyncio.create_task(at.hub.reconcile([FOURTH], []))
            await at.waiting(2)
            with capture_logs() as logs:
                assert not await at.hub.drain(0.05)
            assert [(each["deliveries"], each["reports"], each["own_decisions"]) for each in logs] == [
                (2, 3, 1)
            ]
            outcomes = await asyncio.gather(under_way, waiting, own, return_exceptions=True)
            assert [type(each) for each in outcomes] == [NotReady] * 3
            at.log.gate.set()

    async def test_an_idle_hub_is_drained(self) -> None:
        async with working() as at:
            await at.hub.drain(DEADLINE_S)
            await at.submit(make_report(FIRST))
            await at.hub.drain(DEADLINE_S)

    async def test_an_operator_that_left_does_not_hold_up_the_others(self) -> None:
        async with working() as at:
            at.log.gate.clear()
            gone = at.submit(make_report(FIRST))
            stays = at.submit(make_report(SECOND))
            await at.appending()
            gone.cancel()
            at.log.gate.set()
            assert (await stays).accepted == 1
            assert at.statuses() == {FIRST.key: Status.AVAILABLE, SECOND.key: Status.AVAILABLE}

    async def test_appends_are_timed_until_somebody_asks(self) -> None:
        async with working() as at:
            at.hub.append_seconds = [0.0] * (APPEND_SECONDS_MAX - 1)
            await at.submit(make_report(FIRST))
            await at.submit(make_report(SECOND))
            taken = at.hub.take_append_seconds()
            assert len(taken) == APPEND_SECONDS_MAX
            assert taken[-1] > 0
            assert at.hub.take_append_seconds() == []


class TestFailure:
    async def test_a_failed_append_is_told_to_all_of_its_group_and_changes_nothing(self) -> None:
        async with working() as at:
            await at.submit(make_report(FIRST))
            at.log.gate.clear()
            blocking = at.submit(make_report(SECOND))
            await at.appending(2)
            group = [at.submit(make_report(evse, Status.CHARGING, NOW + 1)) for evse in (FIRST, THIRD)]
            confirmation = at.submit(make_report(FIRST, observed_at=NOW + 9))
            await at.waiting(3)
            at.log.failures[3] = LogFailure("disk full")
            at.log.gate.set()
            await blocking
            outcomes = await asyncio.gather(*group, confirmation, return_exceptions=True)
            assert [type(outcome) for outcome in outcomes] == [LogFailure] * 3
            assert at.statuses() == {FIRST.key: Status.AVAILABLE, SECOND.key: Status.AVAILABLE}
            assert at.board.cells[FIRST.key].observed_at == NOW
            assert at.log.last.seq == at.board.seq == 2
            assert (at.hub.fault, at.hub.failed_appends) == ("disk full", 1)
            assert at.hub.tallies["abc"].reports == 2

    async def test_nobody_waits_for_a_log_that_does_not_answer_and_what_it_took_is_on_the_board_once_it_does(
        self,
    ) -> None:
        async with working() as at:
            at.log.gate.clear()
            first = at.submit(make_report(FIRST))
            await at.appending()
            waiting = at.submit(make_report(SECOND))
            await at.waiting(1)
            at.hub._stop_waiting()
            with pytest.raises(LogFailure, match="not known whether this was logged"):
                await first
            for refused in (waiting, at.submit(make_report(SECOND))):
                with pytest.raises(LogFailure, match="nothing of this was accepted"):
                    await refused
            assert at.hub.queued_items == 0
            at.log.gate.set()
            await come_true(lambda: at.board.seq == 1)
            assert (await at.submit(make_report(FIRST))).unchanged == 1
            assert (await at.submit(make_report(SECOND))).accepted == 1

    async def test_who_is_deposed_decides_nothing_more(self) -> None:
        found = Working(Directory([STATION]), HubLimits(start_grace_s=0))
        task = asyncio.create_task(found.hub.run())
        found.log.failures[1] = Deposed("another server writes")
        with pytest.raises(Deposed):
            await found.submit(make_report(FIRST))
        with pytest.raises(Deposed):
            await task

    async def test_the_next_append_after_a_failed_one_works(self) -> None:
        async with working() as at:
            at.log.failures[1] = LogFailure("disk full")
            with pytest.raises(LogFailure):
                await at.submit(make_report(FIRST))
            receipt = await at.submit(make_report(FIRST))
            assert (receipt.accepted, receipt.position.seq, at.hub.fault) == (1, 1, "")

    async def test_a_confirmation_is_no_proof_that_the_log_can_be_written(self) -> None:
        async with working() as at:
            await at.submit(make_report(FIRST))
            at.log.failures[2] = LogFailure("disk full")
            with pytest.raises(LogFailure):
                await at.submit(make_report(SECOND))
            await at.submit(make_report(FIRST, observed_at=NOW + 9))
            assert at.hub.fault == "disk full"

    async def test_while_the_files_of_the_log_are_elsewhere_confirmations_are_refused_too(self) -> None:
        async with working() as at:
            await at.submit(make_report(FIRST))
            at.log.fault = LogMisplaced("log.db is gone")
            with pytest.raises(LogMisplaced, match=r"log.db is gone"):
                await at.submit(make_report(FIRST, observed_at=NOW + 9))
            assert at.board.cells[FIRST.key].observed_at == NOW
            at.log.fault = None
            assert (await at.submit(make_report(FIRST, observed_at=NOW + 9))).unchanged == 1

    async def test_our_own_decisions_fail_with_their_group(self) -> None:
        async with working() as at:
            at.log.failures[1] = LogFailure("disk full")
            with pytest.raises(LogFailure):
                await at.hub.reconcile([FIRST], [])
            assert at.statuses() == {}
            assert await at.hub.reconcile([FIRST], []) == 1

    async def test_an_unexpected_error_is_told_without_its_words(self) -> None:
        async with working() as at:
            at.log.failures[1] = ValueError("secret")
            with pytest.raises(LogFailure) as told:
                await at.submit(make_report(FIRST))
            assert "secret" not in str(told.value)
            assert not at.hub.fault
            assert (await at.submit(make_report(FIRST))).accepted == 1

    async def test_an_error_while_deciding_is_told_to_the_delivery_that_caused_it(self) -> None:
        class Broken(Directory):
            def find(self, written: str) -> tuple[Evse, ...]:
                if written == "broken":
                    raise RuntimeError("a mistake")
                return super().find(written)

        async with working(Broken([STATION])) as at:
            with pytest.raises(LogFailure):
                await asyncio.wait_for(at.submit(make_report("broken")), DEADLINE_S)
            assert (await at.submit(make_report(FIRST))).accepted == 1

    async def test_what_cannot_be_decided_costs_nobody_else_of_its_group(self) -> None:
        class Broken(Directory):
            def find(self, written: str) -> tuple[Evse, ...]:
                if written == "broken":
                    raise RuntimeError("a mistake")
                return super().find(written)

        def mistaken(*_: object) -> int:
            raise RuntimeError("another mistake")

        async with working(Broken([STATION])) as at:
            at.log.gate.clear()
            first = at.submit(make_report(FIRST))
            await at.appending()
            group = [
                at.submit(make_report(SECOND)),
                at.submit(make_report(THIRD), make_report("broken")),
                at.submit(make_report(FOURTH)),
            ]
            own = asyncio.create_task(at.hub.decide(mistaken))
            await at.waiting(4)
            at.log.gate.set()
            await first
            outcomes = await asyncio.gather(*group, own, return_exceptions=True)
            assert [type(each) for each in outcomes] == [Receipt, LogFailure, Receipt, LogFailure]
            assert at.log.appends == [1, 2], "one append, without what could not be decided"
            assert at.statuses() == dict.fromkeys((FIRST.key, SECOND.key, FOURTH.key), Status.AVAILABLE)
            assert at.hub.queued_items == 0

    async def test_a_receipt_that_cannot_be_made_costs_itself_and_says_that_its_reports_are_logged(
        self,
    ) -> None:
        class Mistaken(Heard):
            def offer(self, evse: Evse, report: StatusReport, observed_at: int) -> None:
                if evse == SECOND:
                    raise RuntimeError("a mistake")
                super().offer(evse, report, observed_at)

        async with working() as at:
            at.hub.listener = Mistaken()
            at.log.gate.clear()
            blocking = at.submit(make_report(FIRST))
            await at.appending()
            group = [at.submit(make_report(SECOND)), at.submit(make_report(THIRD))]
            await at.waiting(2)
            at.log.gate.set()
            await blocking
            bad, good = await asyncio.gather(*group, return_exceptions=True)
            assert isinstance(bad, LogFailure)
            assert "is in the log" in str(bad)
            assert isinstance(good, Receipt)
            assert at.statuses()[SECOND.key] is Status.AVAILABLE
            assert (await at.submit(make_report(FOURTH))).accepted == 1, "the writer goes on"

    async def test_an_error_in_what_is_to_be_decided_is_told_to_who_asked(self) -> None:
        def mistaken(*_: object) -> int:
            raise RuntimeError("a mistake")

        async with working() as at:
            with pytest.raises(LogFailure):
                await at.hub.decide(mistaken)
            assert (await at.submit(make_report(FIRST))).accepted == 1

    async def test_those_who_left_before_a_failure_are_not_told(self) -> None:
        async with working() as at:
            at.log.gate.clear()
            at.log.failures[1] = LogFailure("disk full")
            gone = at.submit(make_report(FIRST))
            own = asyncio.create_task(at.hub.reconcile([SECOND], []))
            await at.appending()
            gone.cancel()
            own.cancel()
            await asyncio.sleep(0)
            at.log.gate.set()
            assert (await at.submit(make_report(THIRD))).accepted == 1


class TestOverload:
    LIMITS = HubLimits(queue_items_max=3, start_grace_s=0)

    async def test_a_delivery_over_the_limit_is_refused_and_changes_nothing(self) -> None:
        async with working(limits=self.LIMITS) as at:
            at.log.gate.clear()
            first = at.submit(make_report(FIRST))
            await at.appending()
            queued = at.submit(make_report(SECOND), make_report(THIRD))
            await at.waiting(2)
            refused = at.submit(make_report(FOURTH), make_report(FIRST, Status.CHARGING, NOW + 1))
            with pytest.raises(Overloaded):
                await refused
            fits = at.submit(make_report(FOURTH))
            at.log.gate.set()
            await asyncio.gather(first, queued, fits)
            assert at.statuses() == dict.fromkeys([evse.key for evse in STATION.evses], Status.AVAILABLE)
            assert at.hub.queued_items == 0

    async def test_a_delivery_larger_than_the_queue_is_taken_when_nothing_waits(self) -> None:
        async with working(limits=self.LIMITS) as at:
            receipt = await at.submit(*(make_report(evse) for evse in STATION.evses))
        assert receipt.accepted == 4

    async def test_deliveries_without_reports_fill_the_queue_too(self) -> None:
        async with working(limits=self.LIMITS) as at:
            at.log.gate.clear()
            first = at.submit(make_report(FIRST))
            await at.appending()
            empty = [at.submit() for _ in range(3)]
            await at.waiting(3)
            with pytest.raises(Overloaded):
                await at.submit()
            at.log.gate.set()
            await asyncio.gather(first, *empty)

    async def test_after_the_rush_deliveries_are_taken_again(self) -> None:
        async with working(limits=self.LIMITS) as at:
            at.log.gate.clear()
            first = at.submit(make_report(FIRST))
            await at.appending()
            queued = [at.submit(make_report(SECOND)) for _ in range(3)]
            await at.waiting(3)
            with pytest.raises(Overloaded):
                await at.submit(make_report(THIRD))
            at.log.gate.set()
            await asyncio.gather(first, *queued)
            assert (await at.submit(make_report(THIRD))).accepted == 1


class TestOwnership:
    MINE = make_evse("NO*ABC*E1*1", "NOR_00001", party="NOABC", uid="4711")
    YOURS = make_evse("NO*XYZ*E1*1", "NOR_00002", party="NOXYZ", uid="4711")
    YOURS_ALONE = make_evse(
        "NO*XYZ*E2*1", "NOR_00002", party="NOXYZ", uid="7381cc78-a032-4f23-a46f-3e0ebe4590ff"
    )
    NOBODYS = make_evse(key="NOR_00003_01", station="NOR_00003", evse_id=None, party=None)

    def directory(self) -> Directory:
        return Directory(
            [
                make_station("NOR_00001", [self.MINE]),
                make_station("NOR_00002", [self.YOURS, self.YOURS_ALONE], connectors=2),
                make_station("NOR_00003", [self.NOBODYS]),
            ]
        )

    @pytest.mark.parametrize(
        "written",
        [
            "NO*XYZ*E2*1",
            "no*xyz*e2*1",
            "NOXYZE21",
            "NO-XYZ-E2-1",
            "noxyze2*1",
            "*NO*XYZ*E2*1*",
            "NO*XYZ*E1*1",
            "NOR_00002_01",
            "nor_00002_02",
            "NOR_00002_03",
            "NOR_00002_04",
            "NOR_00003_01",
            "nor_00003_01",
        ],
    )
    @pytest.mark.parametrize(
        "operator",
        [
            ABC,
            make_operator("prefixed", parties=(), prefixes=("NOABC",)),
            make_operator("none", parties=()),
            make_operator("lookalike", parties=("NOXY", "OXYZ"), prefixes=("XYZ", "NOXYZE3", "NOR_00001")),
        ],
        ids=lambda operator: operator.name,
    )
    async def test_an_operator_cannot_write_what_is_not_its_own_however_the_id_is_written(
        self, operator: Operator, written: str
    ) -> None:
        async with working(self.directory()) as at:
            receipt = await at.submit(make_report(written, Status.OUTOFORDER), operator=operator)
            assert [refusal.reason for refusal in receipt.refused] == [Reason.NOT_ALLOWED]
            assert at.statuses() == {}
            assert at.log.appends == []

    @pytest.mark.parametrize(
        "operator",
        [
            XYZ,
            make_operator("prefixed", parties=(), prefixes=("NOABC", "NOXYZ")),
            make_operator("roaming", parties=("NOABC", "NOXYZ")),
            make_operator("everything", parties=(), all=True),
        ],
        ids=lambda operator: operator.name,
    )
    async def test_one_that_may_can_write_it_however_the_id_is_written(self, operator: Operator) -> None:
        forms = ["NO*XYZ*E2*1", "no-xyz-e2-1", "7381cc78-a032-4f23-a46f-3e0ebe4590ff", "NOR_00002_04"]
        async with working(self.directory()) as at:
            for later, written in enumerate(forms):
                status = (Status.CHARGING, Status.AVAILABLE)[later % 2]
                receipt = await at.submit(make_report(written, status, NOW + later), operator=operator)
                assert receipt.accepted == 1
            assert set(at.statuses()) == {self.YOURS_ALONE.key}

    @pytest.mark.parametrize("written", ["7381cc78-a032-4f23-a46f-3e0ebe4590ff", "4711"])
    async def test_a_uid_of_another_operator_means_nothing(self, written: str) -> None:
        async with working(self.directory()) as at:
            receipt = await at.submit(make_report(written), operator=make_operator("none", parties=()))
            assert [refusal.reason for refusal in receipt.refused] == [Reason.UNKNOWN_EVSE]
            assert at.statuses() == {}

    async def test_of_two_that_share_a_uid_each_writes_its_own(self) -> None:
        async with working(self.directory()) as at:
            await at.submit(make_report("4711", Status.CHARGING), operator=ABC)
            await at.submit(make_report("4711", Status.OUTOFORDER), operator=XYZ)
            assert at.statuses() == {self.MINE.key: Status.CHARGING, self.YOURS.key: Status.OUTOFORDER}

    async def test_one_that_may_report_on_both_has_to_say_which(self) -> None:
        everything = make_operator("everything", parties=(), all=True)
        async with working(self.directory()) as at:
            receipt = await at.submit(make_report("4711"), operator=everything)
        assert [refusal.reason for refusal in receipt.refused] == [Reason.UNKNOWN_EVSE]
        assert "the uid of 2 EVSEs; send the EVSE id" in receipt.refused[0].detail

    async def test_what_is_refused_is_not_told_to_consumers_either(self) -> None:
        async with working(self.directory()) as at:
            at.hub.listener = heard = Heard()
            await at.submit(make_report("NO*XYZ*E2*1"), make_report("E404"), make_report(self.MINE))
        assert [evse for evse, _, _ in heard.reports] == [self.MINE]


class TestRaw:
    async def test_every_report_is_told_change_or_not_once_it_is_durable(self) -> None:
        async with working() as at:
            at.hub.listener = heard = Heard()
            at.log.gate.clear()
            observed = {NOW - 1: NOW - 1, NOW: NOW, None: NOW, NOW + 1: NOW}
            reports = [make_report(FIRST, observed_at=stamp) for stamp in observed]
            task = at.submit(*reports)
            await at.appending()
            assert heard.reports == []
            at.log.gate.set()
            await task
        assert heard.reports == [
            (FIRST, report, at) for report, at in zip(reports, observed.values(), strict=True)
        ]

    async def test_of_a_source_whose_times_say_nothing_the_receive_time_is_told(self) -> None:
        async with working() as at:
            heard = at.hub.listener = Heard()
            report = make_report(FIRST, observed_at=NOW - DAY_MS)
            await at.hub.submit(ABC, [report], feed=Feed("abc/file", by_receipt=True))
            assert heard.reports == [(FIRST, report, NOW)]

    async def test_nothing_is_told_while_nobody_wants_it(self) -> None:
        async with working() as at:
            at.hub.listener = heard = Heard(wanted=False)
            await at.submit(make_report(FIRST))
        assert heard.reports == []


class TestExpiry:
    async def expired(self, at: Working, now: int) -> int:
        at.clock.now = now
        return await Expiry(at.hub).take()

    async def test_an_evse_of_a_silent_source_becomes_unknown(self) -> None:
        async with working() as at:
            await at.submit(make_report(FIRST, Status.CHARGING))
            assert await self.expired(at, NOW + DAY_MS) == 0
            assert await self.expired(at, NOW + DAY_MS + 1) == 1
            assert at.statuses() == {FIRST.key: Status.UNKNOWN}
            assert at.hub.changes_by_cause["expired"] == 1

    async def test_an_operators_own_limit_counts_for_what_it_reported(self) -> None:
        async with working() as at:
            at.hub.set_operators([make_operator("quick", stale_after_s=60), make_operator("abc")])
            await at.submit(make_report(FIRST, source="quick"), make_report(SECOND, source="abc"))
            assert await self.expired(at, NOW + 60_001) == 1
            assert at.statuses() == {FIRST.key: Status.UNKNOWN, SECOND.key: Status.AVAILABLE}
            at.hub.set_operators([])
            assert await self.expired(at, NOW + DAY_MS) == 0

    async def test_after_a_start_nobody_is_taken_for_silent(self) -> None:
        async with working(limits=HubLimits(stale_after_s=1, start_grace_s=600)) as at:
            await at.submit(make_report(FIRST))
            for seconds in range(0, 600, 10):
                assert await self.expired(at, NOW + seconds * 1000) == 0
            assert await self.expired(at, NOW + 600_000) == 1

    async def test_a_report_that_arrives_before_the_decision_is_not_overridden(self) -> None:
        async with working() as at:
            await at.submit(make_report(FIRST, Status.CHARGING))
            at.log.gate.clear()
            blocking = at.submit(make_report(SECOND))
            await at.appending(2)
            now = NOW + 2 * DAY_MS
            fresh = at.submit(make_report(FIRST, Status.AVAILABLE, now))
            await at.waiting(1)
            at.clock.now = now
            expiring = asyncio.create_task(Expiry(at.hub).take())
            await come_true(lambda: bool(at.hub._own))
            at.log.gate.set()
            await asyncio.gather(blocking, fresh)
            assert await expiring <= 1
            assert at.statuses()[FIRST.key] is Status.AVAILABLE
            last = at.board.cells[FIRST.key].change
            assert (last.status, last.changed_at) == (Status.AVAILABLE, now)

    async def test_a_confirmation_that_was_decided_before_keeps_an_evse_from_expiring(self) -> None:
        async with working() as at:
            await at.submit(make_report(FIRST, Status.CHARGING))
            now = NOW + 2 * DAY_MS
            at.clock.now = now
            await at.submit(make_report(FIRST, Status.CHARGING))
            assert await self.expired(at, now) == 0

    async def test_all_evses_are_looked_at_however_many_there_are(self) -> None:
        stations = [
            make_station(f"NOR_{number:05d}", evses=100) for number in range(1, CHUNK_EVSES // 100 + 2)
        ]
        evses = [evse for station in stations for evse in station.evses]
        async with working(Directory(stations)) as at:
            await at.submit(*(make_report(evse) for evse in evses))
            assert await self.expired(at, NOW + 2 * DAY_MS) == len(evses) > CHUNK_EVSES
            assert set(at.statuses().values()) == {Status.UNKNOWN}


class TestSignOff:
    CABLE = Feed("abc/ocpp/CP1", Order.ARRIVAL)
    PUSHED = Feed("abc/plain")

    async def test_a_sign_off_takes_back_what_was_heard_last_on_its_feed(self) -> None:
        async with working() as at:
            await at.hub.submit(ABC, [make_report(FIRST), make_report(SECOND)], feed=self.CABLE)
            await at.hub.submit(ABC, [make_report(THIRD), make_report(SECOND)], feed=self.PUSHED)
            assert await at.hub.sign_off("abc", feed=self.CABLE.name) == 1
            assert at.statuses() == {
                FIRST.key: Status.UNKNOWN,
                SECOND.key: Status.AVAILABLE,
                THIRD.key: Status.AVAILABLE,
            }

    async def test_it_takes_back_no_other_sources_words(self) -> None:
        async with working() as at:
            await at.hub.submit(ABC, [make_report(FIRST), make_report(SECOND)], feed=self.CABLE)
            later = make_report(SECOND, Status.CHARGING, NOW + 1, source="other")
            at.clock.pass_(1)
            await at.submit(later, operator=make_operator("other"))
            assert await at.hub.sign_off("abc", only=[FIRST.key, SECOND.key]) == 1
            assert at.statuses() == {FIRST.key: Status.UNKNOWN, SECOND.key: Status.CHARGING}

    async def test_it_takes_back_nothing_that_was_heard_since_it_began(self) -> None:
        async with working() as at:
            await at.hub.submit(ABC, [make_report(FIRST), make_report(SECOND)], feed=self.CABLE)
            began = at.hub.begin()
            # A newer connection says the same again.
            await at.hub.submit(ABC, [make_report(SECOND)], feed=self.CABLE)
            assert await at.hub.sign_off("abc", feed=self.CABLE.name, before=began) == 1
            assert at.statuses() == {FIRST.key: Status.UNKNOWN, SECOND.key: Status.AVAILABLE}

    async def test_in_a_delivery_it_reaches_only_what_the_operator_may_report_on_now(self) -> None:
        async with working() as at:
            await at.submit(make_report(FIRST), make_report(SECOND))
            at.rights["abc"] = make_operator("abc", parties=(), prefixes=(SECOND.key,))
            assert await at.hub.sign_off("abc", only=[FIRST.key], by=ABC) == 0
            assert await at.hub.sign_off("abc", keep=(), by=ABC) == 1
            assert at.statuses() == {FIRST.key: Status.AVAILABLE, SECOND.key: Status.UNKNOWN}

    async def test_another_id_keeps_an_evse_only_where_the_first_is_not_known(self) -> None:
        async with working() as at:
            await at.submit(make_report(FIRST), make_report(SECOND))
            assert (
                await at.hub.sign_off("abc", keep=[(FIRST.key, SECOND.key, ""), ("NO*ABC*E404", "", "")]) == 1
            )
            assert at.statuses() == {FIRST.key: Status.AVAILABLE, SECOND.key: Status.UNKNOWN}
            await at.submit(make_report(SECOND, observed_at=NOW + 1))
            assert await at.hub.sign_off("abc", keep=[("NO*ABC*E404", SECOND.key, "")]) == 1
            assert at.statuses() == {FIRST.key: Status.UNKNOWN, SECOND.key: Status.AVAILABLE}

    async def test_a_source_that_is_gone_is_signed_off_whatever_it_may_now(self) -> None:
        async with working() as at:
            await at.submit(make_report(FIRST))
            at.rights["abc"] = make_operator("abc", parties=())
            assert await at.hub.sign_off("abc") == 1

    async def test_what_an_operator_may_not_report_on_any_more_is_not_confirmed(self) -> None:
        async with working() as at:
            await at.hub.submit(ABC, [make_report(FIRST), make_report(SECOND)], feed=self.CABLE)
            at.rights["abc"] = make_operator("abc", parties=(), prefixes=(SECOND.key,))
            at.clock.pass_(1_000)
            assert await at.hub.confirm(ABC, self.CABLE.name) == 1
            heard_at = {key: row.heard_at - NOW for key, row in at.board.cells.items()}
            assert heard_at == {FIRST.key: 0, SECOND.key: 1_000}


class TestReconcile:
    async def test_evses_come_onto_the_board_once_and_those_that_are_gone_are_removed(self) -> None:
        async with working() as at:
            assert await at.hub.reconcile(STATION.evses, []) == 4
            assert await at.hub.reconcile(STATION.evses, []) == 0
            assert await at.hub.reconcile([], [FIRST.key, "NOABCE404"]) == 1
            assert at.statuses()[FIRST.key] is Status.REMOVED
            assert await at.hub.reconcile([FIRST], []) == 1
            assert at.statuses()[FIRST.key] is Status.UNKNOWN
        assert at.hub.changes_by_cause == Counter({"registered": 5, "withdrawn": 1})

    async def test_an_evse_that_moves_is_removed_there_and_registered_here(self) -> None:
        async with working() as at:
            await at.hub.reconcile([FIRST], [])
            await at.submit(make_report(FIRST, Status.CHARGING))
            moved = make_evse(FIRST.name, "NOR_00009")
            assert await at.hub.reconcile([moved], []) == 2
            now = at.board.cells[FIRST.key].change
            assert (now.station, now.status) == ("NOR_00009", Status.CHARGING)

    async def test_what_an_operator_said_that_may_not_report_on_it_does_not_move_along(self) -> None:
        async with working() as at:
            await at.hub.reconcile([FIRST], [])
            await at.submit(make_report(FIRST, Status.OUTOFORDER))
            at.hub.set_operators([make_operator("abc", parties=("NOXYZ",))])
            await at.hub.reconcile([make_evse(FIRST.name, "NOR_00009")], [])
            now = at.board.cells[FIRST.key].change
            assert (now.station, now.status, now.source) == ("NOR_00009", Status.UNKNOWN, "")

    async def test_a_report_that_arrived_before_is_not_undone(self) -> None:
        async with working() as at:
            at.log.gate.clear()
            blocking = at.submit(make_report(SECOND))
            await at.appending()
            report = at.submit(make_report(FIRST, Status.CHARGING))
            await at.waiting(1)
            registering = asyncio.create_task(at.hub.reconcile([FIRST], []))
            await come_true(lambda: bool(at.hub._own))
            at.log.gate.set()
            await asyncio.gather(blocking, report, registering)
            assert at.statuses()[FIRST.key] is Status.CHARGING


async def test_a_decision_sees_the_board_with_nothing_in_between() -> None:
    seen: list[Status] = []

    def look(board: Board) -> Decision:
        def make(round_: Round, taken: Taking) -> int:
            seen.extend(cell.change.status for cell in board.cells.values())
            round_.add([make_change(SECOND)], taken)
            return 1

        return make

    async with working() as at:
        at.log.gate.clear()
        blocking = at.submit(make_report(FIRST, Status.CHARGING))
        await at.appending()
        deciding = asyncio.create_task(at.hub.decide(look(at.board)))
        await come_true(lambda: bool(at.hub._own))
        assert seen == []
        at.log.gate.set()
        await blocking
        assert await deciding == 1
        assert seen == [Status.CHARGING]


class TestTurns:
    """Whatever there is to decide, others have their turn."""

    async def test_while_confirmations_queue(self) -> None:
        async with working(limits=HubLimits(start_grace_s=0, group_items_max=10)) as at:
            await at.submit(make_report(FIRST))
            queued = [at.submit(*[make_report(FIRST, observed_at=NOW + place)] * 10) for place in range(50)]
            assert await turns(asyncio.gather(*queued)) >= 50
            assert len(at.log.appends) == 1

    async def test_within_a_large_delivery(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tasks, "TURN_S", 0)
        async with working() as at:
            await at.submit(make_report(FIRST))
            reports = [make_report(FIRST, observed_at=NOW + place) for place in range(20 * REPORTS_PER_LOOK)]
            assert await turns(at.submit(*reports)) >= 20

    async def test_within_a_group_of_many_small_deliveries(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # Each look at the clock finds that a third of a turn has gone by.
        looks = count()
        loop = asyncio.get_running_loop()
        async with working() as at:
            monkeypatch.setattr(loop, "time", lambda: next(looks) * tasks.TURN_S / 3)
            await at.submit(make_report(FIRST))
            queued = [at.submit(make_report(FIRST, observed_at=NOW + place)) for place in range(60)]
            assert await turns(asyncio.gather(*queued)) >= 15

    async def test_a_group_is_not_larger_than_its_limit_where_deliveries_are_not(self) -> None:
        async with working(limits=HubLimits(start_grace_s=0, group_items_max=10)) as at:
            at.log.gate.clear()
            blocking = at.submit(make_report(FIRST))
            await at.appending()
            sizes = (6, 6, 4, 30, 1)
            queued = [
                at.submit(
                    *[
                        make_report(
                            SECOND, (Status.CHARGING, Status.AVAILABLE)[place % 2], NOW + 100 * number + place
                        )
                        for place in range(size)
                    ]
                )
                for number, size in enumerate(sizes)
            ]
            await at.waiting(sum(sizes))
            at.log.gate.set()
            await asyncio.gather(blocking, *queued)
            assert at.log.appends[1:] == [6, 10, 30, 1]

    async def test_while_a_source_is_signed_off_that_keeps_many(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tasks, "TURN_S", 0)
        monkeypatch.setattr(ladestrom.writer.hub, "IDS_PER_LOOK", 1)
        async with working() as at:
            await at.submit(make_report(FIRST))
            made: list[str] = []

            def kept() -> Iterator[Ids]:
                for number in range(100):
                    made.append(f"NO*ABC*E{number}")
                    yield made[-1], "", ""
                yield FIRST.key, "", ""

            signing = asyncio.create_task(at.hub.sign_off("abc", keep=kept()))
            await asyncio.sleep(0)
            # Ids are made while they are gone through: the garbage collector would go through all at once.
            assert len(made) == 1
            assert await turns(signing) >= 100
            assert signing.result() == 0


class TestRapidChanges:
    """While the log is full, an operator may make so many changes an hour that follow others closely."""

    @staticmethod
    def limits() -> HubLimits:
        return HubLimits(start_grace_s=0, rapid_changes_per_hour_max=100)

    @staticmethod
    async def flap(at: Working, evse: Evse, times: int, step_ms: int = 1, operator: Operator = ABC) -> int:
        """Changes that an operator made of one EVSE, one after the other."""
        made = 0
        for turn in range(times):
            at.clock.now += step_ms
            status = (Status.CHARGING, Status.AVAILABLE)[turn % 2]
            made += (await at.submit(make_report(evse, status, at.clock.now), operator=operator)).accepted
        return made

    async def test_only_whoever_makes_them_is_refused_and_only_while_the_log_is_full(self) -> None:
        other = make_station("NOR_02000", [make_evse("NO*XYZ*E1", "NOR_02000", party="NOXYZ")])
        async with working(Directory([STATION, other]), self.limits()) as at:
            assert await self.flap(at, FIRST, 200) == 200
            at.log._is_full = True
            with pytest.raises(TooManyRequests, match="while the change log is full, at most 100") as refused:
                await self.flap(at, FIRST, 1)
            assert 3_550 <= refused.value.retry_after_s <= 3_600
            assert await self.flap(at, other.evses[0], 10, operator=XYZ) == 10
            at.clock.now += 3_600_000
            assert await self.flap(at, FIRST, 2) == 2
            at.log._is_full = False
            assert await self.flap(at, FIRST, 200) == 200

    async def test_changes_that_are_minutes_apart_do_not_count_nor_do_first_ones(self) -> None:
        many = make_station("NOR_02000", evses=150)
        async with working(Directory([STATION, many]), self.limits()) as at:
            at.log._is_full = True
            assert await self.flap(at, FIRST, 200, RAPID_MS) == 200
            for status in (Status.CHARGING, Status.AVAILABLE):
                reports = [make_report(each, status, at.clock.now) for each in many.evses]
                assert (await at.submit(*reports)).accepted == 150
                at.clock.now += RAPID_MS - 1
            with pytest.raises(TooManyRequests):
                await self.flap(at, FIRST, 1)

    async def test_what_comes_back_after_we_gave_it_up_does_not_count(self) -> None:
        async with working(limits=self.limits()) as at:
            at.log._is_full = True
            for _ in range(150):
                at.clock.now += 1
                assert (await at.submit(make_report(FIRST, Status.CHARGING, at.clock.now))).accepted == 1
                assert await at.hub.sign_off(ABC.name) == 1
