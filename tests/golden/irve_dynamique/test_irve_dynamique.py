"""Files in, reports and refusals out. `UPDATE_GOLDEN=1` writes what comes out as what is expected."""

from __future__ import annotations

import csv
import json
import os
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.conftest import SharedFile

from ladestrom.model import Status
from ladestrom.protocols import irve_dynamique
from ladestrom.protocols.delivery import Delivery, ParseLimits

HERE = Path(__file__).parent
SAMPLES = sorted(HERE.glob("*.csv"))


def received(body: bytes) -> Delivery:
    return irve_dynamique.receive(body, "abc", ParseLimits())


def read(path: Path) -> str:
    delivery = received(path.read_bytes())
    told = {
        "reports": [
            [
                report.evse,
                report.status,
                report.error,
                "received"
                if report.observed_at is None
                else datetime.fromtimestamp(report.observed_at / 1000, UTC).isoformat(),
                report.raw,
            ]
            for report in delivery.reports
        ],
        "refused": [[refusal.index, refusal.reason, refusal.detail] for refusal in delivery.refused],
    }
    return json.dumps(told, ensure_ascii=False, indent=1) + "\n"


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_a_file_gives_these_reports_and_refusals(path: Path) -> None:
    expected = path.with_name(f"{path.name}.out")
    if os.environ.get("UPDATE_GOLDEN") == "1":
        expected.write_text(read(path))
    assert read(path) == expected.read_text()


def test_the_schemas_own_example_is_read(shared_file: SharedFile) -> None:
    delivery = received(shared_file("reference/irve/exemple.csv").read_bytes())
    assert [report.status for report in delivery.reports] == [Status.AVAILABLE, Status.AVAILABLE]
    assert delivery.refused == []


def test_every_row_of_ours_is_one_by_the_schema(shared_file: SharedFile) -> None:
    schema = json.loads(shared_file("reference/irve/schema-dynamique-2.3.1.json").read_text())
    with (HERE / "schema-2.3.1.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(irve_dynamique.PAIRS)
    for field in schema["fields"]:
        for row in rows:
            value = row[field["name"]]
            limits = field["constraints"]
            assert value or not limits["required"]
            assert not value or value in limits.get("enum", [value])
            assert re.fullmatch(limits.get("pattern", ".*"), value)


def test_every_pair_of_the_schema_has_a_status(shared_file: SharedFile) -> None:
    schema = json.loads(shared_file("reference/irve/schema-dynamique-2.3.1.json").read_text())
    words = {field["name"]: field["constraints"].get("enum", []) for field in schema["fields"]}
    pairs = {(state, place) for state in words["etat_pdc"] for place in words["occupation_pdc"]}
    assert pairs == set(irve_dynamique.PAIRS)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "windows-1252"])
@pytest.mark.parametrize("before", ["", "\n\n"])
def test_files_are_read_as_spreadsheets_save_them(
    end: str, delimiter: str, encoding: str, before: str
) -> None:
    rows = (irve_dynamique.REQUIRED, ("FRABCE1", "en service", "occupé", "2026-11-29T10:00:00+01:00"))
    text = before.replace("\n", end) + "".join(delimiter.join(row) + end for row in rows)
    delivery = irve_dynamique.receive(text.encode(encoding), "abc", ParseLimits())
    assert [(each.evse, each.status) for each in delivery.reports] == [("FRABCE1", Status.CHARGING)]
    assert (delivery.refused, delivery.unmapped) == ([], 0)
