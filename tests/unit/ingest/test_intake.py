"""Deliveries that are larger than what the hub is handed at once, and logs that fail in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest
from tests.building import NOW, GatedLog, make_evses, make_operator, make_report, make_station
from tests.patience import turns

from ladestrom import tasks
from ladestrom.core.board import Board
from ladestrom.core.directory import Directory
from ladestrom.errors import LogFailure, PartlyTaken, Taken
from ladestrom.ingest import intake
from ladestrom.ingest.intake import PART_REPORTS_MAX, Intake, Named, _joined
from ladestrom.ingest.supervision import ITEMS_PER_LOOK, SourceIdentity, State
from ladestrom.model import Position, Reason, Receipt, Refusal, Status
from ladestrom.protocols.delivery import Delivery
from ladestrom.writer.hub import Hub

EVSES = make_evses(2 * PART_REPORTS_MAX + 10)
ABC = make_operator()
BAD = [Refusal(index, Reason.INVALID_ITEM, "bad") for index in (0, 7)]


class World:
    def __init__(self) -> None:
        self.log = GatedLog()
        self.board = Board()
        self.hub = Hub(self.log, self.board, Directory([make_station(evses=EVSES)]), lambda: NOW)
        self.intake = Intake(self.hub)

    def delivery(self, status: Status = Status.CHARGING) -> Delivery:
        reports = [make_report(evse, status) for evse in EVSES]
        reports[3] = make_report("NO*ABC*E404")
        return Delivery(reports=reports, refused=list(BAD))


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    work = asyncio.create_task(made.hub.run())
    yield made
    work.cancel()


async def test_what_is_told_of_a_delivery_whose_second_part_fails_is_what_is_in_the_log(
    world: World,
) -> None:
    world.log.failures[2] = LogFailure("no space")
    with pytest.raises(PartlyTaken) as caught:
        await world.intake.take(ABC, world.delivery(), protocol="plain")
    assert caught.value.taken == Taken(PART_REPORTS_MAX + 2, PART_REPORTS_MAX - 1, 0, 3)
    assert f"{PART_REPORTS_MAX + 2} of {len(EVSES) + 2} items" in str(caught.value)
    assert world.log.last.seq == PART_REPORTS_MAX - 1
    health = world.intake.supervision.sources["abc/plain"]
    assert (health.failures, world.intake.supervision.state(health)) == ({}, State.NEW)


async def test_sending_all_of_it_again_loses_nothing_and_doubles_nothing(world: World) -> None:
    world.log.failures[2] = LogFailure("no space")
    with pytest.raises(PartlyTaken):
        await world.intake.take(ABC, world.delivery())
    receipt = await world.intake.take(ABC, world.delivery())
    assert (receipt.accepted, receipt.unchanged) == (len(EVSES) - PART_REPORTS_MAX, PART_REPORTS_MAX - 1)
    assert [refusal.index for refusal in receipt.refused] == [0, 4, 7]
    assert world.log.last.seq == len(EVSES) - 1


async def test_of_a_delivery_whose_first_part_fails_nothing_is_told_to_be_taken(world: World) -> None:
    world.log.failures[1] = LogFailure("no space")
    with pytest.raises(LogFailure):
        await world.intake.take(ABC, world.delivery())
    assert world.log.last.seq == 0


@pytest.mark.parametrize(
    "make",
    [
        lambda: Delivery(reports=[make_report(EVSES[1])], complete=True),
        lambda: Delivery(reports=[make_report(EVSES[1])], unknown=[EVSES[0].key]),
    ],
)
async def test_reports_are_told_to_be_taken_where_only_the_end_of_others_could_not_be_logged(
    world: World, make: Callable[[], Delivery]
) -> None:
    await world.intake.take(ABC, Delivery(reports=[make_report(EVSES[0])]))
    world.log.failures[3] = LogFailure("no space")
    with pytest.raises(PartlyTaken) as caught:
        await world.intake.take(ABC, make())
    assert caught.value.taken == Taken(1, 1, 0, 0)
    assert (await world.intake.take(ABC, make())).unchanged == 1
    assert world.board.cells[EVSES[0].key].change.status is Status.UNKNOWN


@pytest.mark.parametrize("reach", ["unknown", "complete", "keep_only", "confirm"])
async def test_nothing_in_a_delivery_reaches_an_evse_that_its_operator_may_not_report_on_any_more(
    world: World, reach: str
) -> None:
    first, second = EVSES[0], EVSES[1]
    feed = "abc/plain"
    told = Delivery(reports=[make_report(first), make_report(second)])
    await world.intake.take(ABC, told, protocol="plain")
    world.hub.rights = lambda operator: msgspec.structs.replace(operator, parties=(), prefixes=(second.key,))
    before = dict(world.board.cells)
    match reach:
        case "unknown":
            told = Delivery(reports=[], unknown=[first.key, second.key])
            await world.intake.take(ABC, told, protocol="plain")
        case "complete":
            await world.intake.take(ABC, Delivery(reports=[], complete=True))
        case "keep_only":
            await world.intake.keep_only(ABC, feed, ())
        case "confirm":
            assert await world.intake.confirm(ABC, feed) == 1
    assert world.board.cells[first.key] is before[first.key]
    assert world.board.cells[second.key] is not before[second.key]


async def test_items_that_parser_and_hub_refused_are_told_in_the_order_of_the_message(world: World) -> None:
    reports = [make_report(f"NO*XXX*E{number}") for number in range(2 * PART_REPORTS_MAX)]
    bad = [Refusal(2 * number, Reason.INVALID_ITEM, "bad") for number in range(2 * PART_REPORTS_MAX)]
    receipt = await world.intake.take(ABC, Delivery(reports=reports, refused=bad))
    assert [refusal.index for refusal in receipt.refused] == list(range(4 * PART_REPORTS_MAX))
    assert {refusal.reason for refusal in receipt.refused[::2]} == {Reason.INVALID_ITEM}
    assert all(f'E{number}"' in refusal.detail for number, refusal in enumerate(receipt.refused[1::2]))


async def test_what_is_gathered_of_refused_items_grows_as_they_do(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    gathered = 0

    def made(accepted: int, unchanged: int, refused: tuple[Refusal, ...], *rest: Any) -> Receipt:
        nonlocal gathered
        gathered += len(refused)
        return Receipt(accepted, unchanged, refused, *rest)

    monkeypatch.setattr(intake, "Receipt", made)
    count = 4 * PART_REPORTS_MAX
    reports = [make_report(f"NO*XXX*E{number}") for number in range(count)]
    receipt = await world.intake.take(ABC, Delivery(reports=reports))
    assert len(receipt.refused) == count
    assert gathered <= 2 * count


def test_what_a_delivery_names_is_the_same_each_time_that_it_is_gone_through() -> None:
    reports = [make_report(f"NO*ABC*E{number}") for number in range(3)]
    named = Named(Delivery(reports=reports, named=[("x", "y", "")]))
    expected = [("x", "y", ""), *((report.evse, "", "") for report in reports)]
    assert [*named] == [*named] == expected


class TestTurns:
    """However large a delivery is, others have their turn."""

    @pytest.fixture(autouse=True)
    def at_each_look(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tasks, "TURN_S", 0)

    async def test_while_its_end_is_counted(self, world: World) -> None:
        refused = tuple(Refusal(place, Reason.UNKNOWN_EVSE, "x") for place in range(10 * ITEMS_PER_LOOK))
        observed = (NOW,) * (10 * ITEMS_PER_LOOK)
        receipt = Receipt(0, 0, refused, Position("epoch", 1), observed=observed, received_at=NOW)
        supervision = world.intake.supervision
        health = supervision.health(SourceIdentity.push("abc", "plain"))
        counting = asyncio.create_task(supervision.taken(health, Delivery(reports=[]), receipt))
        assert await turns(counting) >= 20
        assert (health.refused.total(), health.published) == (len(refused), len(observed))

    async def test_while_the_receipts_of_its_parts_become_one(self) -> None:
        parts = [
            Receipt(
                0,
                0,
                tuple(Refusal(5_000 * number + place, Reason.INVALID_ITEM, "x") for place in range(5_000)),
                Position("epoch", 1),
            )
            for number in range(4)
        ]
        joining = asyncio.create_task(_joined(parts[::2], parts[1::2]))
        assert await turns(joining) >= 20_000 // ITEMS_PER_LOOK
        assert [refusal.index for refusal in joining.result().refused] == list(range(20_000))

    async def test_while_what_the_parser_refused_is_judged(self, world: World) -> None:
        bad = [Refusal(place, Reason.INVALID_ITEM, "bad") for place in range(4 * PART_REPORTS_MAX)]
        sizes: list[int] = []
        hub: Any = world.hub
        submit = hub.submit

        async def noted(*given: Any) -> Receipt:
            sizes.append(len(given[1]) + len(given[2]))
            found: Receipt = await submit(*given)
            return found

        hub.submit = noted
        receipt = await world.intake.take(ABC, Delivery(reports=[make_report(EVSES[0])], refused=bad))
        assert max(sizes) <= PART_REPORTS_MAX
        assert (len(receipt.refused), receipt.accepted) == (len(bad), 1)
