"""Playback: each EVSE in its order, the recorded clock, and what stops it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pytest
from tests.patience import DEADLINE_S, come_true

from ladestrom.client.playback import lanes, play
from ladestrom.client.reports import Observation, Reporter, ReportReceipt
from ladestrom.errors import Unauthenticated
from ladestrom.model import Status

if TYPE_CHECKING:
    from tests.unit.client.conftest import ReportServer

RECORDED = [
    Observation(f"FR*ABC*E{number % 17}", Status.CHARGING if number % 2 else Status.AVAILABLE, 1000 + number)
    for number in range(500)
]


def nothing(_: Sequence[Observation], __: ReportReceipt) -> None:
    pass


async def played(server: ReportServer, observations: list[Observation], **options: Any) -> Reporter:
    settings: dict[str, Any] = {"batch": 20, "connections": 4, "speed": None, "told": nothing} | options
    async with Reporter(server.url, None, chance=lambda: 0.0) as reporter:
        await play(observations, reporter, **settings)
    return reporter


def sent(server: ReportServer) -> list[tuple[str, int]]:
    return [(item["evse"], item["observed_at"]) for _, items in server.requests for item in items]


async def test_everything_is_sent_once_and_each_evse_in_its_order(report_server: ReportServer) -> None:
    reporter = await played(report_server, RECORDED)
    arrived = sent(report_server)
    assert sorted(arrived) == sorted((each.evse, each.observed_at) for each in RECORDED)
    for evse in {each.evse for each in RECORDED}:
        times = [at for one, at in arrived if one == evse]
        assert times == sorted(times)
    assert reporter.tally.sent == len(RECORDED)
    assert reporter.tally.adds_up


async def test_a_batch_that_breaks_does_not_let_later_ones_of_its_lane_pass(
    report_server: ReportServer,
) -> None:
    report_server.answers += [None, (503, {}, {}), None]
    await played(report_server, RECORDED, connections=1)
    firsts = [items[0]["observed_at"] for _, items in report_server.requests]
    assert firsts == sorted(firsts)
    assert len(firsts) == len(RECORDED) / 20 + 3


async def test_batches_keep_to_their_limit_and_connections_to_theirs(report_server: ReportServer) -> None:
    await played(report_server, RECORDED, batch=7, connections=3)
    assert max(len(items) for _, items in report_server.requests) == 7
    assert report_server.connections <= 3


async def test_the_recorded_clock_sets_the_pace(report_server: ReportServer) -> None:
    recorded = [Observation("A", Status.CHARGING, 1_000 + number * 1_000) for number in range(4)]
    started_s = time.monotonic()
    await played(report_server, recorded, speed=10.0)
    assert time.monotonic() - started_s >= 0.3
    assert [len(items) for _, items in report_server.requests] == [1, 1, 1, 1]


async def test_what_is_due_together_is_sent_together(report_server: ReportServer) -> None:
    recorded = [Observation("A", Status.CHARGING, 1_000)] * 5
    await played(report_server, recorded, speed=1.0)
    assert [len(items) for _, items in report_server.requests] == [5]


async def test_a_refusal_stops_all_lanes_and_is_raised_as_it_is(report_server: ReportServer) -> None:
    report_server.answers += [(401, {}, {"detail": "no such key"})] * 4
    with pytest.raises(Unauthenticated, match="no such key"):
        await played(report_server, RECORDED)


async def test_each_batch_is_told_with_its_receipt(report_server: ReportServer) -> None:
    told: list[tuple[int, int]] = []
    await played(
        report_server, RECORDED, told=lambda batch, receipt: told.append((len(batch), receipt.accepted))
    )
    assert sum(items for items, _ in told) == len(RECORDED)
    assert all(items == accepted for items, accepted in told)


async def test_nothing_recorded_sends_nothing(report_server: ReportServer) -> None:
    await played(report_server, [])
    assert report_server.requests == []


async def test_a_cancelled_playback_ends_at_once(report_server: ReportServer) -> None:
    recorded = [Observation("A", Status.CHARGING, at) for at in (0, 3_600_000)]
    async with Reporter(report_server.url, None) as reporter:
        task = asyncio.create_task(play(recorded, reporter, batch=1, connections=1, speed=1.0, told=nothing))
        await come_true(lambda: reporter.tally.sent > 0, "a batch was sent")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, DEADLINE_S)


def test_written_forms_of_one_evse_share_a_lane() -> None:
    written = [Observation(evse, Status.CHARGING, 1) for evse in ("fr*abc*e1", "FRABCE1", "FR-ABC-E1")]
    assert sorted(len(lane) for lane in lanes(written, 8)) == [0] * 7 + [3]
