"""What consumers are promised, in worlds where everything that can go wrong does."""

from __future__ import annotations

from collections import Counter
from typing import Final

import pytest
from tests.simulation.faults import FAULTS, SEEDS_MAX, Fault
from tests.simulation.losses import LOSSES
from tests.simulation.nature import Kind
from tests.simulation.planting import planted
from tests.simulation.registry import COMING, MOVING, RENEWING
from tests.simulation.traces import traces_elsewhere
from tests.simulation.world import simulate

SEEDS: Final = 260
PORTIONS: Final = 20
LOSSY_SEEDS: Final = 20
"""Worlds in which consumers lose something, for each way to lose it."""


@pytest.fixture(scope="module")
def seen() -> Counter[str]:
    """What happened in all worlds together."""
    return Counter()


@pytest.mark.parametrize("portion", range(PORTIONS))
def test_every_consumer_is_in_step_at_each_of_its_positions(portion: int, seen: Counter[str]) -> None:
    for seed in range(portion * SEEDS // PORTIONS, (portion + 1) * SEEDS // PORTIONS):
        report = simulate(seed)
        assert not report.wrongs, str(report)
        seen.update(report.seen)


@pytest.mark.parametrize(
    "what",
    [
        "resumes",
        "resumes by time",
        "records",
        "each change",
        "raw",
        "v1 snapshots",
        "v1 updates",
        "Greeted",
        "Synced",
        "Changed",
        "Recorded",
        "Confirmed",
        "Noted",
        "Selected",
        "Refused",
        "Leaving",
        "reset: epoch",
        "reset: expired",
        "overruns",
        "registry changes",
        *(f"registry: {what}" for what in sorted({*COMING, *MOVING, *RENEWING})),
        "taken over",
        "lost: cut",
        "lost: left",
        "deliveries sent again",
        "server: crash",
        "server: stop",
        "server: power cut",
    ],
)
def test_the_worlds_see_everything_that_can_happen(what: str, seen: Counter[str]) -> None:
    if not seen:
        pytest.skip("no world was run before")
    assert seen[what] > 0


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.what.replace(" ", "_"))
def test_a_planted_fault_is_found(fault: Fault) -> None:
    with planted(fault):
        assert any(simulate(seed, fault.kind).wrongs for seed in range(fault.first, fault.first + SEEDS_MAX))


@pytest.mark.parametrize("what", LOSSES)
def test_no_consumer_believes_to_be_in_step_that_lost_something(what: str) -> None:
    seen: Counter[str] = Counter()
    for seed in range(LOSSY_SEEDS):
        report = simulate(seed, Kind.MIXED, LOSSES[what])
        assert not report.wrongs, str(report)
        seen.update(report.seen)
    assert seen["losses"] > seen["losses found"] > LOSSY_SEEDS


def test_a_fault_that_does_not_fit_the_code_cannot_be_planted() -> None:
    fault = FAULTS[0]._replace(right="nowhere to be found")
    with pytest.raises(ValueError, match="nowhere to be found"), planted(fault):
        pass


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_a_seed_makes_the_same_world_each_time(hash_seed: str) -> None:
    told = traces_elsewhere("tests.simulation.world", 5, hash_seed)
    assert told == str([simulate(seed).trace for seed in range(5)])


@pytest.mark.parametrize("kind", Kind)
def test_a_world_leans_towards_what_is_asked_for(kind: Kind) -> None:
    assert not simulate(0, kind).wrongs
