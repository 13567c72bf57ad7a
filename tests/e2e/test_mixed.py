"""Five sources of five protocols at once, at ten times the load of Germany, one after the other failing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.e2e.mixing import Load, Mixing

PHASE_S = 2.0
LAG_S_MAX = 5.0
"""Of the median change at a consumer; a poll comes once a second. The machine may be busy with other things."""

FAILURES = {
    "plain": {"failing"},
    "oicp": {"fresh", "failing"},
    "datex2": {"failing", "resting"},
    "irve": {"failing", "resting"},
    "nobil-realtime": {"lost"},
}
"""How each is seen while it fails; one that pushes and does not, is silent only after its operator's limit."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mixing]:
    with Mixing(tmp_path_factory.mktemp("mixed"), Load()) as made:
        made.settle()
        yield made


def unaffected(world: Mixing, others: list[str]) -> None:
    """They are known as they are, in time."""
    world.settle(others)
    health = world.health()
    for name in others:
        lags = world.lags(name)
        assert lags, name
        assert lags[len(lags) // 2] < LAG_S_MAX, (name, lags)
        assert health[name]["state"] == "fresh", health[name]
        assert health[name]["late"] == 0, health[name]


@pytest.mark.parametrize("name", FAILURES)
def test_a_source_that_fails_costs_itself_only_and_is_right_again_when_it_is_back(
    world: Mixing, name: str
) -> None:
    others = [other for other in world.feeds if other != name]
    for each in world.feeds:
        world.lags(each)
    failing = world.feeds[name]
    before = world.health()[name]
    failing.fail()
    try:
        world.run_for(PHASE_S)
        if name == "nobil-realtime":
            lost = dict.fromkeys(failing.evses, "UNKNOWN")
            for _ in range(100):
                if lost.items() <= world.board().items():
                    break
                world.run_for(0.1)
            assert lost.items() <= world.board().items(), "what is lost is unknown"
        if name != "oicp":
            for _ in range(100):
                if world.health()[name]["state"] in FAILURES[name]:
                    break
                world.run_for(0.1)
        assert world.health()[name]["state"] in FAILURES[name]
        unaffected(world, others)
    finally:
        failing.heal()
    world.settle([name])
    after = world.health()[name]
    assert after["state"] == "fresh"
    assert sum(after["failures"].values()) > sum(before["failures"].values()) or name == "oicp"


def test_all_of_it_goes_on_together(world: Mixing) -> None:
    changes = world.changes
    for name in world.feeds:
        world.lags(name)
    world.run_for(PHASE_S)
    unaffected(world, list(world.feeds))
    assert world.changes - changes > PHASE_S * 5 * Load().changes_per_s / 2
