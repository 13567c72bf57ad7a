"""`ladestrom operators show|remove` and `ladestrom registry parties`: what a right covers, and what there is."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tests.importing import counts, irve
from tests.unit.cli.conftest import Run


@pytest.fixture
def register(run: Run, data: Path) -> None:
    """Three stations with two EVSEs each, of party FRABC."""
    run("import", "irve", irve(data.parent / "register", 3))


@pytest.mark.usefixtures("register")
@pytest.mark.parametrize("written", ["FR*ABC", "FR-ABC", "fr abc", "FRABC"])
def test_a_party_is_understood_in_every_written_form(run: Run, written: str) -> None:
    told = run("operators", "add", "Acme", "--party", written)
    assert told.stdout.splitlines() == [
        "added Acme: it may report on FRABC",
        "this covers 6 EVSEs at 3 stations",
    ]
    assert "warning" not in told.stderr


@pytest.mark.usefixtures("register")
def test_a_right_that_covers_nothing_is_said_at_once(run: Run) -> None:
    told = run("operators", "add", "Acme", "--party", "FR*ABX")
    assert told.stdout.splitlines()[1] == "this covers no EVSE in the registry"
    assert "warning: its rights cover no EVSE in the registry" in told.stderr
    assert "registry parties` shows the parties" in told.stderr
    told = run("operators", "add", "Acme", "--party", "FR*ABC", "FR*ABX", "--prefix", "FRZ")
    assert "warning: party FRABX, prefix FRZ: this covers no EVSE" in told.stderr


@pytest.mark.usefixtures("register")
def test_show_tells_what_each_right_covers(run: Run) -> None:
    run("operators", "add", "Acme", "--party", "FR*ABC", "--prefix", "FRABCE00001", "--stale-after", "2h")
    lines = run("operators", "show", "Acme").stdout.splitlines()
    assert lines[:4] == [
        "Acme may report on FRABC, FRABCE00001...",
        "this covers 6 EVSEs at 3 stations",
        "stale after: 2h",
        "may add stations to the registry: no",
    ]
    rows = [re.split(r"\s{2,}", line) for line in lines[5:8]]
    assert rows == [["RIGHT", "VALUE", "EVSES"], ["party", "FRABC", "6"], ["prefix", "FRABCE00001", "2"]]
    assert "FRABCE000001 (station FRA_00001)" in lines[-5]
    told = json.loads(run("operators", "show", "Acme", "--json").stdout)
    assert told["parties"] == ["FRABC"]
    assert (told["covers"]["evses"], told["covers"]["stations"]) == (6, 3)
    assert told["covers"]["rights"][1] == {"kind": "prefix", "value": "FRABCE00001", "evses": 2}


def test_an_operator_that_is_not_there_is_said_to_be(run: Run) -> None:
    run("operators", "add", "Acme", "--all")
    for command in ("show", "remove"):
        assert 'there is no operator "Acm"' in run("operators", command, "Acm", code=2).stderr


def test_an_operator_is_removed_once_nothing_needs_it_or_with_all_that_does(run: Run) -> None:
    run("operators", "add", "Acme", "--all")
    key = run("keys", "create", "--name", "x", "--scope", "report", "--operator", "Acme").stdout.split("_")[1]
    told = run("operators", "remove", "Acme", code=2)
    assert f"Acme is still needed by 1 key ({key})" in told.stderr
    assert "--force" in told.stderr
    told = run("operators", "remove", "Acme", "--force")
    assert told.stdout == f"removed Acme, together with 1 key ({key})\n"
    assert len(run("operators", "list").stdout.splitlines()) == 1
    run("operators", "add", "Acme", "--all")
    assert run("operators", "remove", "Acme").stdout == "removed Acme\n"


@pytest.mark.usefixtures("register")
def test_the_registry_says_which_parties_prefixes_and_operators_it_has(run: Run) -> None:
    run("operators", "add", "Me", "--prefix", "FRABCE00001")
    lines = [re.split(r"\s{2,}", line) for line in run("registry", "parties").stdout.splitlines()]
    assert lines[0] == [
        "PARTY",
        "PREFIX",
        "OPERATOR IN THE REGISTER",
        "REGISTER",
        "STATIONS",
        "EVSES",
        "REPORTED BY",
    ]
    assert lines[1:] == [["FRABC", "FRABC", "Acme", "irve", "3", "6", "Me"]]
    assert len(run("registry", "parties", "fr*ab").stdout.splitlines()) == 2
    assert len(run("registry", "parties", "cme").stdout.splitlines()) == 2
    assert "no party" in run("registry", "parties", "zzz").stderr
    (row,) = json.loads(run("registry", "parties", "--json").stdout)
    assert row["reported_by"] == ["Me"]


class TestImport:
    def test_a_dry_run_changes_nothing_and_makes_no_directory(self, run: Run, data: Path) -> None:
        file = irve(data.parent / "register", 3)
        told = run("import", "irve", file, "--dry-run")
        assert told.stdout.startswith("dry run: nothing was changed")
        assert counts(told.stdout)["added"] == 3
        assert "checked against an empty registry" in told.stderr
        assert not data.exists()
        run("import", "irve", file)
        before = (data / "store.db").read_bytes()
        told = run("import", "irve", irve(data.parent / "more", 5), "--dry-run")
        assert (counts(told.stdout)["added"], counts(told.stdout)["unchanged"]) == (2, 3)
        assert (data / "store.db").read_bytes() == before

    def test_what_was_noted_is_said_with_an_example_and_wholly_on_request(self, run: Run, data: Path) -> None:
        file = irve(data.parent / "register", 4)
        file.write_text(file.read_text().replace('"prise_type_2": "True"', '"prise_type_2": "perhaps"'))
        told = run("import", "irve", file)
        noted = counts(told.stdout)["noted"]
        assert noted
        section = told.stdout.split("noted, by reason:\n")[1].split("\n\n")[0]
        assert sum(map(int, re.findall(r"^ +([0-9]+)  ", section, re.MULTILINE))) == noted
        assert "for example FRABCP00000: " in section
        assert "--list shows every record" in told.stdout
        listed = run("import", "irve", file, "--list").stdout.split("noted:\n")[1]
        assert len(re.findall(r"^  FRABCP0000[0-3]: ", listed, re.MULTILINE)) == noted

    def test_a_list_names_the_stations_that_changed(self, run: Run, data: Path) -> None:
        told = run("import", "irve", irve(data.parent / "register", 3), "--list").stdout
        assert told.split("added:\n")[1].split() == ["FRA_00001", "FRA_00002", "FRA_00003"]
        told = run("import", "irve", irve(data.parent / "part", 1), "--list").stdout
        assert told.split("removed:\n")[1].split() == ["FRA_00002", "FRA_00003"]
