"""`ladestrom ocpp`, called in this process: what it takes, prints and ends with."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path

import pytest
from tests.importing import irve, ocpi
from tests.unit.cli.conftest import Run, Told

from ladestrom.backends.sql import open_store
from ladestrom.ports.charge_points import ChargePoint


@pytest.fixture
def run(run: Run, data: Path) -> Run:
    """Calls a command on a data directory with an operator and a station of two EVSEs."""
    run("operators", "add", "Acme", "--all")
    run("import", "irve", irve(data.parent / "register.jsonl", 1))
    return run


def stored(data: Path) -> list[ChargePoint]:
    async def read() -> list[ChargePoint]:
        store = await open_store(data)
        try:
            return list(await store.charge_points())
        finally:
            await store.close()

    return asyncio.run(read())


def add(run: Run, name: str = "CP1", *more: str, code: int = 0) -> Told:
    return run("ocpp", "add", "--operator", "Acme", "--station", "FRA_00001", "--id", name, *more, code=code)


def test_a_password_is_printed_alone_and_once(run: Run, data: Path) -> None:
    told = add(run)
    password = told.stdout.removesuffix("\n")
    assert len(password) == 20
    assert password not in told.stderr
    assert password.encode().hex().upper() in told.stderr
    (point,) = stored(data)
    assert point.secret_sha256 == hashlib.sha256(password.encode()).digest()
    listed = run("ocpp", "list")
    assert "CP1" in listed.stdout
    assert "never" in listed.stdout
    assert password not in listed.stdout
    assert "secret" not in run("ocpp", "list", "--json").stdout


def test_numbers_may_be_mapped(run: Run, data: Path) -> None:
    add(run, "CP1", "--map", "1=FR*ABC*E000002", "7=fr-abc-e000001")
    assert stored(data)[0].evses == ((1, "FRABCE000002"), (7, "FRABCE000001"))
    (row,) = json.loads(run("ocpp", "list", "--json").stdout)
    assert row["evses"] == [[1, "FRABCE000002"], [7, "FRABCE000001"]]
    assert "1=FRABCE000002 7=FRABCE000001" in run("ocpp", "list").stdout


def test_a_station_with_more_connectors_than_evses_is_named_with_the_map_that_it_may_need(
    run: Run, data: Path
) -> None:
    add(run)
    assert "--map" not in run("ocpp", "list").stderr
    file = ocpi(data.parent / "locations.json", 1)
    (location,) = json.loads(file.read_text())
    location["evses"][0]["connectors"] = [{"id": "1"}, {"id": "2"}]
    location["evses"] = [
        each | {"evse_id": each["evse_id"].replace("ABC", "XYZ")} for each in location["evses"]
    ]
    file.write_text(json.dumps([location]))
    run("import", "ocpi", file)
    run("ocpp", "add", "--operator", "Acme", "--station", "FRA_00002", "--id", "CP2")
    rows = {row["id"]: row for row in json.loads(run("ocpp", "list", "--json").stdout)}
    assert "connector_map" not in rows["CP1"]
    (one, first), (two, same), (three, second) = rows["CP2"]["connector_map"]
    assert (one, two, three) == (1, 2, 3)
    assert first == same != second
    chosen = [f"1={first}", f"2={first}", f"3={second}"]
    assert f"CP2 --station FRA_00002 --operator Acme --map {' '.join(chosen)}" in run("ocpp", "list").stderr
    run("ocpp", "remove", "CP2")
    run("ocpp", "add", "--operator", "Acme", "--station", "FRA_00002", "--id", "CP2", "--map", *chosen)
    assert "--map" not in run("ocpp", "list").stderr


@pytest.mark.parametrize("written", ["1", "=E1", "x=E1", "1=", "0=FR*ABC*E1", "1=FR*ABC*E9"])
def test_a_mapping_that_cannot_be_is_refused(run: Run, data: Path, written: str) -> None:
    assert add(run, "CP1", "--map", written, code=2).stdout == ""
    assert stored(data) == []


def test_a_second_charge_point_that_would_report_on_the_same_evses_is_warned_of(run: Run) -> None:
    assert "warning" not in add(run, "CP1", "--map", "1=FR*ABC*E000001").stderr
    assert "warning" not in add(run, "CP2", "--map", "1=FR*ABC*E000002").stderr
    assert "warning: CP2 of the same station" in add(run, "CP3", "--map", "7=FR*ABC*E000002").stderr
    assert "warning: CP1, CP2, CP3 of the same station" in add(run, "CP4").stderr


def test_what_does_not_exist_cannot_be_named(run: Run) -> None:
    told = run("ocpp", "add", "--operator", "Nobody", "--station", "FRA_00001", "--id", "CP1", code=2)
    assert 'there is no operator "Nobody"' in told.stderr
    told = run("ocpp", "add", "--operator", "Acme", "--station", "FRA_00009", "--id", "CP1", code=2)
    assert 'no station "FRA_00009"' in told.stderr
    add(run)
    assert "already" in add(run, code=2).stderr
    for command in ("rotate", "remove"):
        assert "ocpp list" in run("ocpp", command, "CP9", code=2).stderr


def test_a_password_is_replaced_and_a_charge_point_removed(run: Run, data: Path) -> None:
    first = add(run).stdout.strip()
    second = run("ocpp", "rotate", "CP1").stdout.strip()
    assert second != first
    assert stored(data)[0].secret_sha256 == hashlib.sha256(second.encode()).digest()
    assert run("ocpp", "remove", "CP1").stdout == ""
    assert stored(data) == []
