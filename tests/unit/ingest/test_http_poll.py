"""One round of a source that is asked: its order, its limits, and what becomes of whatever goes wrong."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.building import NOW, make_operator, make_report, make_station
from tests.patience import DEADLINE_S, scaled

from ladestrom.backends.memory import MemoryLog
from ladestrom.core.board import Board
from ladestrom.core.directory import Directory
from ladestrom.errors import (
    InvalidSetting,
    LadestromError,
    LogFailure,
    MalformedBody,
    NotReady,
    SourceFailure,
)
from ladestrom.ingest import http_poll
from ladestrom.ingest.http_poll import ASKS_MAX, Failed, Poller, SourceLimits
from ladestrom.ingest.intake import Intake
from ladestrom.ingest.parsing import OWN_PROCESS_BYTES_MIN, ParsingProcess
from ladestrom.ingest.quarantine import Quarantine
from ladestrom.ingest.supervision import Supervision
from ladestrom.model import Operator, Receipt, Status
from ladestrom.outbound.breaker import Outcome
from ladestrom.ports.calls import Answered, Ask
from ladestrom.ports.sources import SourceRecord
from ladestrom.protocols.delivery import Delivery
from ladestrom.protocols.interfaces import Memory, Pull, PullSettings, Round, reading
from ladestrom.writer.hub import Hub

EVSE = "NO*ABC*E1*001"


def the_hub(intake: Intake) -> Hub:
    """What an intake hands to."""
    hub = intake._writer
    assert isinstance(hub, Hub)
    return hub


class Asked:
    """Stands for the connections of a source: what is asked, and what is answered to it."""

    def __init__(self, *answers: Answered | LadestromError) -> None:
        self.asks: list[Ask] = []
        self.answers = list(answers)
        self.certificate_expires_at = NOW

    async def fetch(self, ask: Ask) -> Answered:
        self.asks.append(ask)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, LadestromError):
            raise answer
        return answer


class SourceServices:
    """Stands for the server."""

    def __init__(self, intake: Intake) -> None:
        self.intake = intake
        self.limits = SourceLimits(round_s_max=DEADLINE_S)
        self.remembered: list[Memory] = []
        self.operators = {"abc": make_operator()}
        self.parsing = ParsingProcess()
        self.now = NOW

    def clock(self) -> int:
        return self.now

    def steady(self) -> int:
        return NOW

    def chance(self) -> float:
        return 0.5

    def operator(self, name: str) -> Operator:
        if name not in self.operators:
            raise InvalidSetting("there is no operator any more")
        return self.operators[name]

    async def remember(self, source: SourceRecord, memory: Memory) -> None:
        self.remembered.append(memory)


@pytest.fixture
async def services(tmp_path: Path) -> AsyncIterator[SourceServices]:
    hub = Hub(MemoryLog(), Board(), Directory([make_station(evses=3)]), lambda: NOW)
    work = asyncio.create_task(hub.run())
    made = SourceServices(Intake(hub, Supervision(lambda: NOW, Quarantine(tmp_path))))
    yield made
    await made.parsing.stop()
    work.cancel()


def poller(services: SourceServices, pull: Pull, **memory: str) -> Poller:
    source = SourceRecord(
        name="acme",
        operator="abc",
        protocol="made up",
        address="https://example.org/",
        memory=memory,
        added_at=NOW,
        changed_at=NOW,
    )
    return Poller(source, pull, 60, services)


def answer(body: bytes = b"", status: int = 200, **headers: str) -> Answered:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answered("https://example.org/?token=s3cret", status, named, body, NOW)


def told(status: Status = Status.AVAILABLE) -> Delivery:
    return Delivery(reports=[make_report(EVSE, status)])


def pulling(work: Callable[[Answered], Delivery]) -> Pull:
    """A protocol of one request."""

    def pull(settings: PullSettings, memory: Memory, now: int) -> Round:
        answered = yield Ask(settings.address)
        assert isinstance(answered, Answered)
        if answered.status != 200:
            raise SourceFailure(f"answered {answered.status}")
        yield (yield from reading(answered.body, partial(work, answered)))
        return {"round": str(int(memory.get("round", "0")) + 1)}

    return pull


@pytest.mark.parametrize("by_ms", [-18_000_000, 18_000_000])
async def test_a_clock_that_is_set_during_a_round_neither_hastens_nor_delays_the_next(
    services: SourceServices, monkeypatch: pytest.MonkeyPatch, by_ms: int
) -> None:
    made = poller(services, pulling(lambda _: told()))
    slept: list[float] = []

    async def attempt(_: object) -> tuple[Outcome, float]:
        services.now += by_ms
        return Outcome.WELL, 0.0

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) > 1:
            raise asyncio.CancelledError

    monkeypatch.setattr(made, "_attempt", attempt)
    monkeypatch.setattr(made, "_rest", sleep)
    with pytest.raises(asyncio.CancelledError):
        await made.run()
    assert slept[1] == 60
    assert made.health.next_at == NOW + by_ms + 60_000, "what people are told is by the clock"


async def test_who_wants_it_to_be_asked_waits_for_that_round_whatever_the_schedule_says(
    services: SourceServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = poller(services, pulling(lambda _: told()))
    made._pace.next_at = NOW + 3_600_000
    rounds = 0
    goes_on = asyncio.Event()

    async def attempt(_: object) -> tuple[Outcome, float]:
        nonlocal rounds
        rounds += 1
        await goes_on.wait()
        return Outcome.WELL, 0.0

    monkeypatch.setattr(made, "_attempt", attempt)
    running = asyncio.create_task(made.run())
    asked = [asyncio.create_task(made.ask()) for _ in range(2)]
    await eventually(lambda: rounds == 1)
    asked.append(asyncio.create_task(made.ask()))
    assert not any(each.done() for each in asked)
    goes_on.set()
    await asyncio.gather(*asked)
    assert rounds == 1, "the round that was under way is the one"
    running.cancel()


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not holds():
            await asyncio.sleep(0)


async def fails(made: Poller, fetcher: Any) -> Failed:
    with pytest.raises(Failed) as caught:
        await made.round(fetcher)
    return caught.value


def kept(tmp_path: Path) -> list[tuple[str, bytes]]:
    return [(found.kept.code, found.body) for found in Quarantine(tmp_path).of("acme")]


async def test_what_a_round_brings_is_taken_and_then_what_it_found_out_is_kept(
    services: SourceServices,
) -> None:
    made = poller(services, pulling(lambda _: told()), round="7")
    fetcher: Any = Asked(answer())
    await made.round(fetcher)
    assert services.remembered == [{"round": "8"}]
    await made.round(fetcher)
    assert services.remembered == [{"round": "8"}, {"round": "9"}]
    assert the_hub(services.intake).board.cells["NOABCE1001"].change.status is Status.AVAILABLE
    assert (made.health.deliveries, made.health.changes) == (2, 1)


async def test_what_is_remembered_already_is_not_written_again(services: SourceServices) -> None:
    def pull(settings: PullSettings, memory: Memory, now: int) -> Round:
        yield Ask(settings.address)
        return memory

    await poller(services, pull, etag="1").round(Asked(answer(status=304)))  # type: ignore[arg-type] # a double
    assert services.remembered == []


async def test_a_log_that_has_no_room_is_waited_for(
    services: SourceServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_poll, "OWN_WAIT_S", 0.001)
    hub = the_hub(services.intake)
    monkeypatch.setattr(hub._log, "append", refusing(hub._log.append, 3))
    fetcher: Any = Asked(answer())
    await poller(services, pulling(lambda _: told())).round(fetcher)
    assert services.remembered == [{"round": "1"}]
    assert len(fetcher.asks) == 1, "the source was not asked again"


def refusing(append: Any, times: int) -> Any:
    """Fails so often before it works."""
    left = [times]

    async def appended(changes: Any) -> Any:
        left[0] -= 1
        if left[0] >= 0:
            raise LogFailure("no room")
        return await append(changes)

    return appended


async def test_a_log_that_stays_full_ends_the_round_and_is_not_charged_to_the_source(
    services: SourceServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_poll, "OWN_WAIT_S", 0.001)
    hub = the_hub(services.intake)
    monkeypatch.setattr(hub._log, "append", refusing(hub._log.append, http_poll.TAKE_ATTEMPTS_MAX))
    made = poller(services, pulling(lambda _: told()))
    fetcher: Any = Asked(answer())
    assert (await fails(made, fetcher)).outcome is Outcome.OURS
    assert (made.health.failures, made.health.failed_last, services.remembered) == ({}, False, [])
    await made.round(fetcher)
    assert services.remembered == [{"round": "1"}]


async def test_a_store_that_cannot_be_written_is_not_charged_to_the_source(services: SourceServices) -> None:
    async def remember(source: SourceRecord, memory: Memory) -> None:
        raise NotReady("the store is locked")

    services.remember = remember  # type: ignore[method-assign]
    made = poller(services, pulling(lambda _: told()))
    assert (await fails(made, Asked(answer()))).outcome is Outcome.OURS
    assert (made.health.failures, made.health.failed_last) == ({}, False)


async def test_the_time_that_our_log_takes_is_not_the_rounds(
    services: SourceServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    services.limits = SourceLimits(round_s_max=scaled(1.0))
    append = the_hub(services.intake)._log.append

    async def slow(changes: Any) -> Any:
        await asyncio.sleep(scaled(1.5))
        return await append(changes)

    monkeypatch.setattr(the_hub(services.intake)._log, "append", slow)
    await poller(services, pulling(lambda _: told())).round(Asked(answer()))  # type: ignore[arg-type] # a double
    assert services.remembered == [{"round": "1"}]


def malformed(_: Answered) -> Delivery:
    raise MalformedBody("no such thing")


def telling_where(_: Answered) -> Delivery:
    """An operator's EVSE that is called as the process in which the answer is read."""
    return Delivery(reports=[make_report(f"NO*ABC*E{os.getpid()}")])


def deadly(_: Answered) -> Delivery:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


LARGE = b"x" * OWN_PROCESS_BYTES_MIN


@pytest.mark.parametrize(("body", "is_here"), [(LARGE, False), (LARGE[1:], True)])
async def test_a_large_answer_is_read_in_the_process_for_large_messages(
    services: SourceServices, monkeypatch: pytest.MonkeyPatch, body: bytes, is_here: bool
) -> None:
    taken: list[Delivery] = []
    take = services.intake.take

    async def listening(operator: Operator, delivery: Delivery, **more: Any) -> Receipt:
        taken.append(delivery)
        return await take(operator, delivery, **more)

    monkeypatch.setattr(services.intake, "take", listening)
    await poller(services, pulling(telling_where)).round(Asked(answer(body)))  # type: ignore[arg-type] # a double
    pid = os.getpid() if is_here else services.parsing.pid
    assert [report.evse for delivery in taken for report in delivery.reports] == [f"NO*ABC*E{pid}"]


async def test_an_answer_of_which_that_process_dies_is_the_sources_failure_and_costs_no_other(
    services: SourceServices,
) -> None:
    made = poller(services, pulling(deadly))
    assert (await fails(made, Asked(answer(LARGE)))).outcome is Outcome.FAILED
    assert made.health.failures == {"internal": 1}
    assert "ended while it read this one" in made.health.last_error
    await poller(services, pulling(telling_where)).round(Asked(answer(LARGE)))  # type: ignore[arg-type] # a double


async def test_a_round_knows_of_the_error_with_which_reading_ends(services: SourceServices) -> None:
    def pull(settings: PullSettings, memory: Memory, now: int) -> Round:
        answered = yield Ask(settings.address)
        try:
            yield from reading(answered.body, partial(malformed, answered))
        except MalformedBody:
            return {"known": "yes"}
        return {}

    for body in (b"", LARGE):
        await poller(services, pull).round(Asked(answer(body)))  # type: ignore[arg-type] # a double
    assert services.remembered == [{"known": "yes"}] * 2


@pytest.mark.parametrize("size", [10, len(LARGE)])
async def test_what_cannot_be_read_is_kept_and_the_memory_before_holds(
    services: SourceServices, tmp_path: Path, size: int
) -> None:
    body = b"x" * size
    failed = await fails(poller(services, pulling(malformed)), Asked(answer(body, content_type="text/html")))
    await services.intake.supervision.settle()
    assert failed.outcome is Outcome.FAILED
    assert services.remembered == []
    assert kept(tmp_path) == [("malformed_body", body)]
    assert b"s3cret" not in next((tmp_path / "quarantine").rglob("*.kept")).read_bytes()


async def test_a_defect_of_a_parser_costs_the_round_and_what_it_read_is_kept(
    services: SourceServices, tmp_path: Path
) -> None:
    def broken(_: Answered) -> Delivery:
        raise KeyError("s3cret")

    made = poller(services, pulling(broken))
    assert (await fails(made, Asked(answer(b"odd")))).outcome is Outcome.FAILED
    await services.intake.supervision.settle()
    assert kept(tmp_path) == [("internal", b"odd")]
    assert "s3cret" not in made.health.last_error


async def test_an_error_that_says_that_it_is_one_is_not_kept(
    services: SourceServices, tmp_path: Path
) -> None:
    def pull(settings: PullSettings, memory: Memory, now: int) -> Round:
        yield Ask(settings.address)
        raise MalformedBody("an error page")

    failed = await fails(poller(services, pull), Asked(answer(b"<html>", 503, retry_after="7")))
    await services.intake.supervision.settle()
    assert (failed.outcome, failed.retry_after_s) == (Outcome.FAILED, 7.0)
    assert kept(tmp_path) == []


@pytest.mark.parametrize(
    ("status", "outcome", "retry_after_s"),
    [
        (401, Outcome.REFUSED, 0.0),
        (403, Outcome.REFUSED, 0.0),
        (404, Outcome.REFUSED, 0.0),
        (429, Outcome.FAILED, 9.0),
        (500, Outcome.FAILED, 0.0),
        (503, Outcome.FAILED, 9.0),
    ],
)
async def test_an_answer_says_whether_coming_back_is_of_use_and_when(
    services: SourceServices, status: int, outcome: Outcome, retry_after_s: float
) -> None:
    made = poller(services, pulling(lambda _: told()))
    failed = await fails(made, Asked(answer(status=status, retry_after="9")))
    assert (failed.outcome, failed.retry_after_s) == (outcome, retry_after_s)
    assert made.health.failures == {"source_failure": 1}


async def test_no_answer_may_be_one_the_next_time(services: SourceServices) -> None:
    made = poller(services, pulling(lambda _: told()))
    assert (await fails(made, Asked(SourceFailure("nobody there")))).outcome is Outcome.FAILED
    assert made.health.last_error == "nobody there"


async def test_a_source_whose_operator_is_gone_is_not_asked(services: SourceServices) -> None:
    services.operators.clear()
    fetcher: Any = Asked(answer())
    assert (await fails(poller(services, pulling(lambda _: told())), fetcher)).outcome is Outcome.REFUSED
    assert fetcher.asks == []


async def test_a_round_without_end_ends(services: SourceServices) -> None:
    def pull(settings: PullSettings, memory: Memory, now: int) -> Round:
        while True:
            yield Ask(settings.address)

    fetcher: Any = Asked(answer())
    await fails(poller(services, pull), fetcher)
    assert len(fetcher.asks) == ASKS_MAX


async def test_a_round_that_takes_too_long_is_given_up(services: SourceServices) -> None:
    services.limits = SourceLimits(round_s_max=0.05)

    class Slow(Asked):
        async def fetch(self, ask: Ask) -> Answered:
            await asyncio.sleep(60)
            raise AssertionError

    made = poller(services, pulling(lambda _: told()))
    fetcher: Any = Slow(answer())
    assert (await fails(made, fetcher)).outcome is Outcome.FAILED
    assert "longer than 0.05 s" in made.health.last_error


async def test_what_came_before_a_failure_stays_and_the_next_round_begins_anew(
    services: SourceServices,
) -> None:
    def pull(settings: PullSettings, memory: Memory, now: int) -> Round:
        yield Ask(settings.address)
        yield told(Status.CHARGING)
        answered = yield Ask(f"{settings.address}?page=2")
        assert isinstance(answered, Answered)
        if answered.status != 200:
            raise SourceFailure("no second page")
        return {"done": "yes"}

    made = poller(services, pull)
    fetcher: Any = Asked(answer(), answer(status=500))
    await fails(made, fetcher)
    assert the_hub(services.intake).board.cells["NOABCE1001"].change.status is Status.CHARGING
    assert services.remembered == []
    await made.round(Asked(answer()))  # type: ignore[arg-type] # a double
    assert services.remembered == [{"done": "yes"}]
    assert not made.health.failed_last
