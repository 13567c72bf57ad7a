"""Messages in, reports and stations out. `UPDATE_GOLDEN=1` writes what comes out as what is expected."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft4Validator
from tests.building import make_operator
from tests.conftest import SharedFile

from ladestrom.ports.registry import StationDraft
from ladestrom.protocols import oicp_pull
from ladestrom.protocols.delivery import Delivery, ParseLimits
from ladestrom.protocols.interfaces import Request
from ladestrom.protocols.oicp import Oicp

HERE = Path(__file__).parent
SAMPLES = sorted(HERE.glob("*.json"))
SWAGGER = "reference/oicp/evse-api-docs-2.2.json"


def received(path: Path) -> Delivery:
    kind = path.name.partition("-")[0]
    body = path.read_bytes()
    if kind == "file":
        return oicp_pull.read(body, "abc", ParseLimits(), complete=True)
    request = Request("POST", f"evsepush/v21/operators/NO*ABC/{kind}-records", {}, {}, body)
    return Oicp().receive(request, make_operator(may_register=True), ParseLimits())


def read(path: Path) -> str:
    delivery = received(path)
    told = {
        "complete": delivery.complete,
        "within": delivery.within,
        "reports": [[report.evse, report.status, report.error, report.raw] for report in delivery.reports],
        "refused": [[refusal.index, refusal.reason, refusal.detail] for refusal in delivery.refused],
        "stations": [
            msgspec.to_builtins(one) if isinstance(one, StationDraft) else [one.record, one.reason]
            for one in delivery.stations
        ],
    }
    assert all(report.observed_at is None for report in delivery.reports)
    return json.dumps(told, ensure_ascii=False, indent=1) + "\n"


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_a_message_gives_these_reports_and_stations(path: Path) -> None:
    expected = path.with_name(f"{path.name}.out")
    if os.environ.get("UPDATE_GOLDEN") == "1":
        expected.write_text(read(path))
    assert read(path) == expected.read_text()


def test_no_contact_data_comes_out_but_the_operators_hotline() -> None:
    told = read(HERE / "data-insert.json")
    assert "00 00" not in told
    assert told.count("0000000") == told.count('"phone": "+4700000000"') == 1
    assert "Ola" not in told


def validator(shared_file: SharedFile, name: str) -> Draft4Validator:
    document: dict[str, Any] = json.loads(shared_file(SWAGGER).read_text(encoding="utf-8"))
    return Draft4Validator({"$ref": f"#/definitions/{name}", "definitions": document["definitions"]})


def test_the_full_load_is_one_by_the_specifications_own_schema(shared_file: SharedFile) -> None:
    message = json.loads((HERE / "status-fullload.json").read_text())
    assert list(validator(shared_file, "ERoamingPushEvseStatus").iter_errors(message)) == []


def test_a_message_that_the_schema_refuses_is_told_apart(shared_file: SharedFile) -> None:
    message = {"ActionType": "replace", "OperatorEvseStatus": {"OperatorID": "NO*ABC"}}
    assert list(validator(shared_file, "ERoamingPushEvseStatus").iter_errors(message))
