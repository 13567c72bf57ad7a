"""Five sources of five protocols at once, at ten times the load of Germany, one after the other failing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import pytest
from tests.e2e.mixing import Load, Mixing

ENOUGH: Final = 20
"""Changes of a source that arrive, so that it surely goes on."""
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


def go_on(world: Mixing, names: Iterable[str]) -> None:
    """Changes of these sources arrive, and they are fresh."""
    for name in world.feeds:
        world.lags(name)
    for name in names:
        world.run_until(lambda: world.arrived(name) >= ENOUGH, f"{name} goes on")  # noqa: B023 - used before it changes
        is_in(world, name, {"fresh"})


def is_in(world: Mixing, name: str, states: set[str]) -> None:
    """A source comes to be in one of these states."""
    world.run_until(lambda: world.health()[name]["state"] in states, f"{name} is one of {states}")


@pytest.mark.parametrize("name", FAILURES)
def test_a_source_that_fails_costs_itself_only_and_is_right_again_when_it_is_back(
    world: Mixing, name: str
) -> None:
    others = [other for other in world.feeds if other != name]
    failing = world.feeds[name]
    before = world.health()[name]
    failing.fail()
    try:
        if name == "nobil-realtime":
            lost = dict.fromkeys(failing.evses, "UNKNOWN")
            world.run_until(lambda: lost.items() <= world.board().items(), "what is lost is unknown")
        if name != "oicp":
            is_in(world, name, FAILURES[name])
        go_on(world, others)
        world.settle(others)
        assert world.health()[name]["state"] in FAILURES[name], "it failed all the time"
    finally:
        failing.heal()
    world.settle([name])
    is_in(world, name, {"fresh"})
    after = world.health()[name]
    assert sum(after["failures"].values()) > sum(before["failures"].values()) or name == "oicp"


def test_all_of_it_goes_on_together(world: Mixing) -> None:
    go_on(world, world.feeds)
    world.settle()
