"""The reporter, against a real HTTP server that does what a test tells it to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ladestrom.client.reports import REPORT_ITEMS_MAX, Observation, Reporter, report_address
from ladestrom.errors import BadRequest, NotAllowed, NotReady, TooLarge, Unauthenticated
from ladestrom.model import Status

if TYPE_CHECKING:
    from tests.unit.client.conftest import ReportServer

ITEMS = [
    Observation("FR*ABC*E1", Status.CHARGING, 1_700_000_000_000),
    Observation("FR*ABC*E2", Status.AVAILABLE, 1_700_000_000_001),
]


def reporter(server: ReportServer, *, patience_s: float = 10.0, compress: bool = False) -> Reporter:
    return Reporter(server.url, "the-key", chance=lambda: 0.0, patience_s=patience_s, compress=compress)


async def test_a_batch_is_one_list_with_the_recorded_times(report_server: ReportServer) -> None:
    async with reporter(report_server) as sender:
        receipt = await sender.report(ITEMS)
    headers, items = report_server.requests[0]
    assert headers["authorization"] == "Bearer the-key"
    assert items[0] == {
        "evse": "FR*ABC*E1",
        "status": "CHARGING",
        "observed_at": 1_700_000_000_000,
        "error": 0,
    }
    assert (receipt.accepted, receipt.position) == (2, "e1-7")


@pytest.mark.parametrize("answer", [None, (503, {}, {"detail": "busy"}), (429, {}, {}), (502, {}, b"<html>")])
async def test_a_batch_without_receipt_is_sent_again_with_the_same_idempotency_key(
    report_server: ReportServer, answer: tuple[int, dict[str, str], object] | None
) -> None:
    report_server.answers += [answer, answer]
    async with reporter(report_server) as sender:
        await sender.report(ITEMS)
    keys = {headers["idempotency-key"] for headers, _ in report_server.requests}
    assert len(keys) == 1
    assert len(report_server.requests) == 3
    assert (sender.tally.requests, sender.tally.retries, sender.tally.sent) == (3, 2, 2)


async def test_every_batch_has_an_idempotency_key_of_its_own(report_server: ReportServer) -> None:
    async with reporter(report_server) as sender:
        await sender.report(ITEMS)
        await sender.report(ITEMS)
    keys = {headers["idempotency-key"] for headers, _ in report_server.requests}
    assert len(keys) == 2


async def test_the_patience_ends_with_the_last_reason(report_server: ReportServer) -> None:
    report_server.answers.append((503, {"Retry-After": "9"}, {"detail": "the disk is full"}))
    async with reporter(report_server, patience_s=0.5) as sender:
        with pytest.raises(NotReady, match="the disk is full"):
            await sender.report(ITEMS)
    assert sender.tally.sent == 0


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, BadRequest), (401, Unauthenticated), (403, NotAllowed), (422, BadRequest), (500, BadRequest)],
)
async def test_what_is_refused_as_a_whole_is_not_sent_again(
    report_server: ReportServer, status: int, error: type[Exception]
) -> None:
    report_server.answers.append((status, {}, {"title": "No", "detail": "so it is"}))
    async with reporter(report_server) as sender:
        with pytest.raises(error, match="so it is"):
            await sender.report(ITEMS)
    assert len(report_server.requests) == 1


async def test_an_answer_that_is_no_receipt_is_refused(report_server: ReportServer) -> None:
    report_server.answers.append((200, {}, b"hello"))
    async with reporter(report_server) as sender:
        with pytest.raises(BadRequest, match="not with a receipt"):
            await sender.report(ITEMS)


async def test_receipts_are_counted_by_reason_and_add_up(report_server: ReportServer) -> None:
    receipt = {
        "accepted": 1,
        "unchanged": 2,
        "stale": 1,
        "refused": [{"index": 3, "reason": "unknown_evse", "detail": ""}],
        "position": "e1-1",
    }
    report_server.answers.append((200, {}, receipt))
    async with reporter(report_server) as sender:
        await sender.report([*ITEMS, *ITEMS])
    tally = sender.tally
    assert (tally.sent, tally.accepted, tally.unchanged, tally.stale) == (4, 1, 2, 1)
    assert tally.refused == {"unknown_evse": 1}
    assert tally.adds_up


async def test_a_receipt_that_forgets_items_does_not_add_up(report_server: ReportServer) -> None:
    report_server.answers.append(
        (200, {}, {"accepted": 1, "unchanged": 0, "refused": [], "position": "e1-1"})
    )
    async with reporter(report_server) as sender:
        await sender.report(ITEMS)
    assert not sender.tally.adds_up


async def test_batches_can_be_compressed(report_server: ReportServer) -> None:
    async with reporter(report_server, compress=True) as sender:
        await sender.report(ITEMS)
    headers, items = report_server.requests[0]
    assert headers["content-encoding"] == "gzip"
    assert len(items) == 2


async def test_a_batch_over_the_limit_is_not_sent(report_server: ReportServer) -> None:
    async with reporter(report_server) as sender:
        with pytest.raises(TooLarge):
            await sender.report(ITEMS[:1] * (REPORT_ITEMS_MAX + 1))
        with pytest.raises(TooLarge):
            await sender.report([Observation("E" * 10_000, Status.UNKNOWN, 1)] * 900)
    assert report_server.requests == []


@pytest.mark.parametrize("server", ["", "localhost", "ws://h", "http://", "http://[::1"])
def test_what_is_no_address_is_refused(server: str) -> None:
    with pytest.raises(BadRequest):
        report_address(server)
