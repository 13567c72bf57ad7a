"""The table of OCPI's modules: which one a path is of, and what version details say."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from ladestrom.protocols.ocpi_modules import MODULES, Module, Role, details, find
from ladestrom.targets import load

SENDER = Module(
    identifier="locations",
    role=Role.SENDER,
    path="sender/locations",
    methods=("GET",),
    target="",
    versions=("2.3.0",),
)


@pytest.mark.parametrize(
    ("path", "identifier", "below"),
    [
        ("credentials", "credentials", ""),
        ("credentials/", "credentials", ""),
        ("locations", "locations", ""),
        ("locations/NO/ABC/LOC1", "locations", "NO/ABC/LOC1"),
        ("locations//NO/ABC/LOC1", "locations", "/NO/ABC/LOC1"),
    ],
)
def test_a_path_is_of_one_module(path: str, identifier: str, below: str) -> None:
    found = find(MODULES, "2.2.1", path)
    assert found is not None
    assert (found.identifier, found.below(path)) == (identifier, below)


@pytest.mark.parametrize("path", ["", "credentials/x", "location", "locations2", "tariffs", "x/locations"])
def test_other_paths_are_of_none(path: str) -> None:
    assert find(MODULES, "2.2.1", path) is None


def test_a_module_is_served_in_its_versions_only() -> None:
    modules = (*MODULES, SENDER)
    assert find(modules, "2.3.0", "sender/locations") is SENDER
    assert find(modules, "2.2.1", "sender/locations") is None
    told: Any = details(modules, "https://hub.example", "2.3.0", "registered")
    assert told["endpoints"][-1] == {
        "identifier": "locations",
        "url": "https://hub.example/ocpi/2.3.0/sender/locations",
        "role": "SENDER",
    }
    assert details(modules, "", "2.2.1", "registered") == details(MODULES, "", "2.2.1", "registered")


def test_a_peer_with_a_permanent_token_is_not_told_of_credentials() -> None:
    told: Any = details(MODULES, "", "2.2.1", "fixed")
    assert [each["identifier"] for each in told["endpoints"]] == ["locations"]


def test_no_path_of_a_module_is_another_ones() -> None:
    for one, other in itertools.permutations(MODULES, 2):
        assert one.below(other.path.rstrip("/")) is None or not {*one.versions} & {*other.versions}


def test_the_handler_of_each_row_can_be_loaded() -> None:
    assert all(callable(load(module.target)) for module in MODULES)
