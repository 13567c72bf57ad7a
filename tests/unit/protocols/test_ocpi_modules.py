"""The table of OCPI's modules: which one a path is of, and what version details say."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from ladestrom.protocols.ocpi import VERSIONS
from ladestrom.protocols.ocpi_modules import MODULES, READING, Module, Role, details, find, sharing
from ladestrom.targets import load

SENDER = Module(
    identifier="tariffs",
    role=Role.SENDER,
    path="sender/tariffs",
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
    assert find(modules, "2.3.0", "sender/tariffs") is SENDER
    assert find(modules, "2.2.1", "sender/tariffs") is None
    told: Any = details(modules, "https://hub.example", "2.3.0", "registered")
    assert told["endpoints"][-1] == {
        "identifier": "tariffs",
        "url": "https://hub.example/ocpi/2.3.0/sender/tariffs",
        "role": "SENDER",
    }
    assert details(modules, "", "2.2.1", "registered") == details(MODULES, "", "2.2.1", "registered")


def test_a_peer_with_a_permanent_token_is_not_told_of_credentials() -> None:
    told: Any = details(MODULES, "", "2.2.1", "fixed")
    assert [(each["identifier"], each["role"]) for each in told["endpoints"]] == [
        ("locations", "RECEIVER"),
        ("locations", "SENDER"),
    ]


def test_who_only_reads_is_told_of_what_is_read() -> None:
    for version in VERSIONS:
        told: Any = details(MODULES, "", version, READING)
        (endpoint,) = told["endpoints"]
        assert endpoint["url"] == f"/ocpi/{version}/sender/locations/"


def test_where_endpoints_have_no_role_a_module_is_told_once_and_answers_for_both() -> None:
    told: Any = details(MODULES, "", "2.1.1", "registered")
    assert [each["url"] for each in told["endpoints"]] == [
        "/ocpi/2.1.1/credentials",
        "/ocpi/2.1.1/locations/",
    ]


@pytest.mark.parametrize(
    ("below", "to_peers", "to_readers"),
    [
        ("", True, True),
        ("LOC1", True, True),
        ("LOC1/E1/1", True, True),
        ("/LOC1", True, True),
        ("NO/ABC", False, True),
        ("no/abc/LOC1", False, True),
        ("NO//ABC/LOC1/E1/1", False, True),
        ("NOR_01333/ABC/1", True, True),
    ],
)
def test_the_sender_answers_at_the_receivers_path_unless_that_names_an_object_of_a_party(
    below: str, *, to_peers: bool, to_readers: bool
) -> None:
    for state, is_shared in (("registered", to_peers), (READING, to_readers)):
        found = sharing(MODULES, "2.2.1", f"locations/{below}", state)
        assert (found is not None) is is_shared
        assert found is None or (found[0].role, found[1]) == (Role.SENDER, below)
    assert sharing(MODULES, "2.2.1", "credentials", READING) is None


def test_no_path_of_a_module_is_another_ones() -> None:
    for one, other in itertools.permutations(MODULES, 2):
        assert one.below(other.path.rstrip("/")) is None or not {*one.versions} & {*other.versions}


def test_the_handler_of_each_row_can_be_loaded() -> None:
    assert all(callable(load(module.target)) for module in MODULES)
