"""What is known of a source, counted delivery by delivery on a clock that the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import LogCapture
from tests.building import NOW, make_operator, make_report, make_station

from ladestrom.backends.memory import MemoryLog
from ladestrom.core.board import Board
from ladestrom.core.directory import Directory
from ladestrom.errors import BadRequest, MalformedBody, NotReady
from ladestrom.formats.wire import instant
from ladestrom.ingest.extensions import OURS
from ladestrom.ingest.http_poll import SourceLimits
from ladestrom.ingest.intake import PART_REPORTS_MAX, Intake
from ladestrom.ingest.quarantine import Kept, Quarantine
from ladestrom.ingest.sources import read_again
from ladestrom.ingest.supervision import (
    DELAY_BUCKETS_S,
    Health,
    Kind,
    SourceIdentity,
    State,
    Supervision,
    Trend,
)
from ladestrom.model import Position, Reason, Receipt, Refusal, Status
from ladestrom.outbound.breaker import Breaker
from ladestrom.protocols.delivery import Delivery
from ladestrom.protocols.interfaces import Request
from ladestrom.writer.hub import Hub

PULL = SourceIdentity("acme", "abc", "datex2", Kind.PULL)
S = 1_000


def the_hub(intake: Intake) -> Hub:
    """What an intake hands to."""
    hub = intake._writer
    assert isinstance(hub, Hub)
    return hub


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def log() -> Iterator[LogCapture]:
    processors, captured = structlog.get_config()["processors"], LogCapture()
    structlog.configure(processors=[captured])
    yield captured
    structlog.configure(processors=processors)


@pytest.fixture
def supervision(clock: Clock) -> Supervision:
    return Supervision(clock, steady=clock)


def receipt(*observed_s_ago: float, durable_at: int = NOW, **changes: Any) -> Receipt:
    given: dict[str, Any] = {"accepted": len(observed_s_ago), "unchanged": 0, "refused": (), **changes}
    return Receipt(
        position=Position("epoch", 1),
        observed=tuple(int(NOW - ago * S) for ago in observed_s_ago),
        received_at=NOW,
        durable_at=durable_at,
        **given,
    )


def delivery() -> Delivery:
    return Delivery(reports=[make_report()])


def take(supervision: Supervision, made: Receipt) -> Health:
    health = supervision.health(PULL)
    asyncio.run(supervision.taken(health, delivery(), made))
    return health


def test_delays_are_counted_from_observed_to_received(supervision: Supervision) -> None:
    health = take(supervision, receipt(0, 0.5, 1, 1.5, 59, 61, 90_000))
    found = dict(zip([*DELAY_BUCKETS_S, None], health.delays, strict=True))
    assert {bound: count for bound, count in found.items() if count} == {1: 3, 2: 1, 60: 1, 120: 1, None: 1}
    assert health.delay_sum_s == pytest.approx(90_123)


def test_an_observation_ahead_of_our_clock_is_no_negative_delay(supervision: Supervision) -> None:
    assert take(supervision, receipt(-4)).delay_sum_s == 0


def test_a_change_is_late_when_it_is_durable_more_than_a_minute_after_it_was_observed(
    supervision: Supervision,
) -> None:
    assert take(supervision, receipt(60, 60.001)).late == 1
    assert take(supervision, receipt(59, durable_at=NOW + 2 * S)).late == 2
    (found,) = supervision.freshness()
    assert (found.late, found.late_share) == (2, round(2 / 3, 4))


def test_shares_of_nothing_are_not_told(supervision: Supervision) -> None:
    take(supervision, receipt(accepted=0))
    (found,) = supervision.freshness()
    assert (found.late_share, found.change_share) == (None, None)


def test_refusals_are_counted_by_reason_and_changes_as_a_share_of_all_items(supervision: Supervision) -> None:
    refused = (
        Refusal(1, Reason.UNKNOWN_EVSE, "x"),
        Refusal(2, Reason.UNKNOWN_EVSE, "y"),
        Refusal(3, Reason.NOT_ALLOWED, "z"),
    )
    take(supervision, receipt(1, accepted=1, unchanged=6, stale=2, refused=refused))
    (found,) = supervision.freshness("abc")
    assert found.refused == {"not_allowed": 1, "unknown_evse": 2}
    assert (found.reports, found.changes, found.change_share) == (10, 1, 0.1)
    assert supervision.freshness("another") == []


def test_a_source_is_in_the_first_state_that_holds(supervision: Supervision, clock: Clock) -> None:
    supervision.set_operators([make_operator("abc", stale_after_s=100)], 86_400)
    health = supervision.health(PULL)
    assert supervision.state(health) is State.NEW
    supervision.failed(health, NotReady("no"))
    assert supervision.state(health) is State.FAILING
    take(supervision, receipt(1))
    assert supervision.state(health) is State.FRESH
    clock.now += 101 * S
    assert supervision.state(health) is State.SILENT
    supervision.heard(health)
    assert supervision.state(health) is State.FRESH
    health.connected = False
    assert supervision.state(health) is State.LOST
    health.breaker = Breaker.OPEN
    assert supervision.state(health) is State.RESTING
    health.paused = True
    assert supervision.state(health) is State.PAUSED


def test_a_stream_that_is_in_step_is_not_silent_however_quiet(supervision: Supervision, clock: Clock) -> None:
    health = take(supervision, receipt(1))
    health.connected = True
    clock.now += 10**9
    assert supervision.state(health) is State.FRESH


def test_a_source_that_begins_to_fail_and_one_that_has_recovered_are_told_of_once(
    supervision: Supervision, clock: Clock, log: LogCapture
) -> None:
    supervision.set_operators([make_operator("abc", stale_after_s=100)], 86_400)
    health = supervision.health(PULL)

    def look() -> list[tuple[str, str]]:
        log.entries.clear()
        asyncio.run(supervision.look())
        return [(line["event"], line.get("error", "")) for line in log.entries]

    def told() -> tuple[str | None, int]:
        (found,) = supervision.freshness()
        return found.failing_since, found.outages

    assert look() == []
    supervision.failed(health, NotReady("no"))
    clock.now += 5 * S
    supervision.failed(health, NotReady("still no"))
    assert look() == [("a source fails", "still no")]
    assert told() == (instant(NOW), 1), "since the first failure"
    supervision.failed(health, NotReady("no again"))
    health.breaker = Breaker.OPEN
    assert look() == [], "each further try is not told of"
    health.breaker = Breaker.CLOSED
    supervision.heard(health)
    assert look() == [("a source has recovered", "")]
    assert (look(), told()) == ([], (None, 1))
    heard_at = clock.now
    clock.now += 101 * S
    assert look() == [("a source fails", "nothing was heard")]
    assert told() == (instant(heard_at + 100 * S), 2), "since it was to be heard"
    health.paused = True
    assert (look(), told()[0]) == ([], None), "who is paused neither fails nor has recovered"


def test_delays_are_kept_minute_by_minute_for_an_hour() -> None:
    trend, full = Trend(), NOW // 60_000 * 60_000
    trend.add(2, 6_000, full)
    trend.add(1, 500, full + 30 * S)
    trend.add(1, 9_000, full + 3 * 60 * S)
    shown = trend.means_s(full + 3 * 60 * S)
    assert (len(shown), shown[-4:]) == (60, [2.167, None, None, 9.0])
    assert trend.means_s(full + 62 * 60 * S)[:2] == [9.0, None]
    assert set(trend.means_s(full + 500 * 60 * S)) == {None}
    trend.add(1, 1_000, full)
    assert trend.means_s(full)[-1] == 1.0, "a clock that was set back counts into the running minute"


def test_sources_that_are_set_up_no_more_are_forgotten_and_those_that_push_are_not(
    supervision: Supervision,
) -> None:
    supervision.health(PULL)
    supervision.health(SourceIdentity.push("abc", "plain"))
    supervision.keep_only([])
    assert list(supervision.sources) == ["abc/plain"]


def test_a_source_of_another_kind_under_the_same_name_begins_anew(supervision: Supervision) -> None:
    take(supervision, receipt(1))
    assert supervision.health(SourceIdentity("acme", "abc", "ladestrom", Kind.FOLLOW)).deliveries == 0


class TestIntake:
    """The hub behind it is a real one, over a log in memory."""

    @pytest.fixture
    async def intake(self, clock: Clock, tmp_path: Path) -> Any:
        station = make_station(evses=3)
        hub = Hub(MemoryLog(), Board(), Directory([station]), clock)
        work = asyncio.create_task(hub.run())
        yield Intake(hub, Supervision(clock, Quarantine(tmp_path)))
        work.cancel()

    async def test_an_evse_that_becomes_known_is_no_change_that_could_be_late(self, intake: Intake) -> None:
        def told(status: Status, at: int) -> Delivery:
            return Delivery(reports=[make_report("NO*ABC*E1*001", status, at)])

        first = await intake.take(make_operator(), told(Status.AVAILABLE, NOW - 90_000), protocol="plain")
        second = await intake.take(make_operator(), told(Status.CHARGING, NOW - 70_000), protocol="plain")
        assert (first.accepted, first.observed) == (1, ())
        assert (second.observed, second.durable_at) == ((NOW - 70_000,), NOW)
        (found,) = intake.supervision.freshness()
        assert (found.source, found.late, found.deliveries) == ("abc/plain", 1, 2)

    async def test_a_delivery_larger_than_a_part_has_one_receipt_with_the_places_of_its_message(
        self, intake: Intake
    ) -> None:
        reports = [make_report(f"NO*XXX*E{number}") for number in range(PART_REPORTS_MAX + 2)]
        reports[-1] = make_report("NO*ABC*E1*001")
        refused = [Refusal(0, Reason.INVALID_ITEM, "first"), Refusal(7, Reason.INVALID_ITEM, "eighth")]
        found = await intake.take(make_operator(), Delivery(reports=reports, refused=refused))
        assert found.accepted == 1
        places = [refusal.index for refusal in found.refused]
        assert places == list(range(PART_REPORTS_MAX + 3))
        by_place = {refusal.index: refusal.detail for refusal in found.refused}
        assert (by_place[0], by_place[7]) == ("first", "eighth")
        assert 'NO*XXX*E0"' in by_place[1]
        assert f'NO*XXX*E{PART_REPORTS_MAX}"' in by_place[PART_REPORTS_MAX + 2]

    async def test_what_the_source_knows_nothing_of_is_unknown_and_taken_again_however_old(
        self, intake: Intake
    ) -> None:
        operator = make_operator()

        def told(at: int) -> Delivery:
            return Delivery(reports=[make_report("NO*ABC*E1*001", Status.CHARGING, at)])

        await intake.take(operator, told(NOW - 50))
        await intake.take(operator, Delivery(reports=[], unknown=["no-abc-e1-001", "never heard of"]))
        cell = the_hub(intake).board.cells["NOABCE1001"]
        assert cell.change.status is Status.UNKNOWN
        assert (await intake.take(operator, told(NOW - 50))).accepted == 1

    async def test_an_unreadable_message_is_kept_without_what_may_be_secret(
        self, intake: Intake, tmp_path: Path
    ) -> None:
        request = Request(
            "POST",
            "status",
            {"token": "s3cret"},
            {"authorization": "Bearer s3cret", "content-type": "application/json"},
            b"{",
        )
        intake.unreadable(make_operator(), "oicp", b"{", MalformedBody("cut off"), request)
        await intake.supervision.settle()
        (found,) = Quarantine(tmp_path).of("abc/oicp")
        assert (found.body, found.kept.media_type, found.kept.path) == (b"{", "application/json", "status")
        assert b"s3cret" not in found.path.read_bytes()
        (told,) = intake.supervision.freshness()
        assert (told.unreadable, told.state, told.error) == (1, "failing", "malformed_body")


def test_a_message_of_a_conversation_cannot_be_read_again_by_itself(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path)
    quarantine.keep(
        Kept(
            source="abc/ocpp",
            operator="abc",
            protocol="ocpp",
            kind="push",
            received_at=NOW,
            code="malformed_body",
            detail="no",
        ),
        b"[2]",
    )
    (found,) = quarantine.of("abc/ocpp")
    with pytest.raises(BadRequest, match="part of a conversation"):
        read_again(found, OURS, make_operator(), None, SourceLimits())
