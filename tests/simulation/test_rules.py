"""What the board decides, in worlds where many sources speak about few EVSEs."""

from __future__ import annotations

from collections import Counter
from typing import Final

import pytest
from tests.simulation.planting import planted
from tests.simulation.rules.faults import FAULTS, SEEDS_MAX, RuleFault
from tests.simulation.rules.world import simulate
from tests.simulation.traces import traces_elsewhere

SEEDS: Final = 500
PORTIONS: Final = 10


@pytest.fixture(scope="module")
def seen() -> Counter[str]:
    """What happened in all worlds together."""
    return Counter()


@pytest.mark.parametrize("portion", range(PORTIONS))
def test_the_board_is_what_the_rules_say_after_each_step(portion: int, seen: Counter[str]) -> None:
    for seed in range(portion * SEEDS // PORTIONS, (portion + 1) * SEEDS // PORTIONS):
        report = simulate(seed)
        assert not report.wrongs, str(report)
        seen.update(report.seen)


@pytest.mark.parametrize(
    "what",
    [
        "reported",
        "expired",
        "disconnected",
        "withdrawn",
        "registered",
        "stop",
        "crash",
        "jump",
        "sleep",
        "failed appends",
        "registry: move",
        "registry: leave",
        "registry: return",
        "registry: vanish",
        "registry: uid",
    ],
)
def test_the_worlds_see_everything_that_can_happen(what: str, seen: Counter[str]) -> None:
    if not seen:
        pytest.skip("no world was run before")
    assert seen[what] > 0


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.what.replace(" ", "_"))
def test_a_planted_fault_of_the_rules_is_found(fault: RuleFault) -> None:
    with planted(fault):
        assert any(simulate(seed, fault.kind).wrongs for seed in range(fault.first, fault.first + SEEDS_MAX))


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_a_seed_makes_the_same_world_of_rules_each_time(hash_seed: str) -> None:
    told = traces_elsewhere("tests.simulation.rules.world", 5, hash_seed)
    assert told == str([simulate(seed).trace for seed in range(5)])
