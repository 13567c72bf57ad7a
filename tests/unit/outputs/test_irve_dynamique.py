"""IRVE dynamique as a file: what it says, and that our own reader of the form gives that back."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pytest

from ladestrom.formats.documents import Seen
from ladestrom.model import (
    NEVER,
    Cause,
    Change,
    Connector,
    Evse,
    Millis,
    Outlet,
    Position,
    Station,
    Status,
    StatusChanged,
    evse_key,
)
from ladestrom.outputs.irve_dynamique.encoder import HEAD, Points
from ladestrom.protocols.delivery import ParseLimits
from ladestrom.protocols.irve_dynamique import receive

SHARED: Final = Path(os.environ.get("LADESTROM_SHARED", Path(__file__).resolve().parents[4] / "shared"))
SCHEMA: Final = SHARED / "reference" / "irve" / "schema-dynamique-2.3.1.json"
AT: Final = 1_795_341_600_000
EXPECTED: Final = {
    Status.AVAILABLE: ("en_service", "libre"),
    Status.BLOCKED: ("en_service", "occupe"),
    Status.CHARGING: ("en_service", "occupe"),
    Status.RESERVED: ("en_service", "reserve"),
    Status.INOPERATIVE: ("hors_service", "inconnu"),
    Status.OUTOFORDER: ("hors_service", "inconnu"),
    Status.UNKNOWN: ("inconnu", "inconnu"),
}
READ: Final = {
    Status.AVAILABLE: Status.AVAILABLE,
    Status.BLOCKED: Status.CHARGING,
    Status.CHARGING: Status.CHARGING,
    Status.RESERVED: Status.RESERVED,
    Status.INOPERATIVE: Status.OUTOFORDER,
    Status.OUTOFORDER: Status.OUTOFORDER,
    Status.UNKNOWN: Status.UNKNOWN,
}
"""What is left of a status after the form, as our reader understands it."""


def seen(rows: Sequence[tuple[str | None, Status, Millis]], raw: str = "") -> Seen:
    evses = [
        Evse(evse_key(name) if name else f"FRA_00001_0{number}", "FRA_00001", evse_id=name)
        for number, (name, _, _) in enumerate(rows, 1)
    ]
    plug = Connector("IEC_62196_T2")
    station = Station(
        "FRA_00001",
        "Gare",
        "FRA",
        48.8,
        2.3,
        tuple(evses),
        tuple(Outlet(number, plug) for number in range(len(evses))),
    )
    held = [
        StatusChanged(
            number,
            Change(
                evse.key,
                station.uuid,
                status,
                False,
                changed_at=at,
                observed_at=at,
                received_at=at,
                source="alfa",
                raw=raw,
                cause=Cause.REPORTED,
                was_status=Status.UNKNOWN,
                was_error=False,
            ),
        )
        for number, (evse, (_, status, at)) in enumerate(zip(evses, rows, strict=True), 1)
    ]
    told = list(zip(evses, held, strict=True))
    return Seen(station, 1, told, told, lambda _, change: change.observed_at)


def file(*stations: Seen) -> tuple[str, Points]:
    encoder = Points()
    parts = [part for part in map(encoder.part, stations) if part is not None]
    body = encoder.head(Position("abc", 1)) + b"".join(encoder.pieces(parts))
    return body.decode(), encoder


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_the_columns_are_those_of_the_schema() -> None:
    assert HEAD == (
        b"id_pdc_itinerance,etat_pdc,occupation_pdc,horodatage,etat_prise_type_2,"
        b"etat_prise_type_combo_ccs,etat_prise_type_chademo,etat_prise_type_ef\r\n"
    )
    assert file()[0].encode() == HEAD


@pytest.mark.parametrize("status", EXPECTED)
def test_each_status_has_its_two_words_and_is_read_back(status: Status) -> None:
    text, _ = file(seen([("FR*ABC*E1", status, AT)]))
    (row,) = rows(text)
    assert (row["etat_pdc"], row["occupation_pdc"]) == EXPECTED[status]
    assert row["id_pdc_itinerance"] == "FRABCE1"
    assert row["horodatage"] == "2026-11-22T10:00:00.000Z"
    assert {row[name] for name in row if name.startswith("etat_prise")} == {""}
    delivery = receive(text.encode(), "us", ParseLimits(), complete=True)
    (word,) = delivery.reports
    assert (word.evse, word.status, word.observed_at) == ("FRABCE1", READ[status], AT)
    assert delivery.complete


def test_a_point_that_is_out_of_service_or_unknown_is_never_told_to_be_occupied() -> None:
    """Whatever the source said itself."""
    for raw in ("hors_service/occupe", "inconnu/occupe", "hors_service/reserve"):
        for status in EXPECTED:
            (row,) = rows(file(seen([("FR*ABC*E1", status, AT)], raw))[0])
            assert row["etat_pdc"] == "en_service" or row["occupation_pdc"] == "inconnu"


def test_an_evse_without_an_itinerance_id_is_left_out_and_counted() -> None:
    names = [None, "+49*810*000*438", "FR*ABC*E" + "1" * 40, "FR*ABC*E2"]
    text, encoder = file(seen([(name, Status.AVAILABLE, AT) for name in names]))
    assert [row["id_pdc_itinerance"] for row in rows(text)] == ["FRABCE2"]
    assert encoder.left_out.counts == {"no_itinerance_id": 3}
    assert encoder.left_out.examples[0].evse == "FRA_00001_01"


def test_an_evse_that_nobody_reported_on_has_no_time_and_is_left_out() -> None:
    text, encoder = file(seen([("FR*ABC*E1", Status.UNKNOWN, NEVER)]))
    assert text.encode() == HEAD
    assert encoder.left_out.counts == {"never_observed": 1}


def test_every_id_is_as_the_schema_wants_it() -> None:
    text, _ = file(seen([("no*abc*e1-2", Status.AVAILABLE, AT), ("FR ABC E3", Status.AVAILABLE, AT)]))
    ids = [row["id_pdc_itinerance"] for row in rows(text)]
    assert ids == ["NOABCE12", "FRABCE3"]
    assert all(re.fullmatch("[A-Z]{2}[A-Z0-9]{4,33}", each) for each in ids)


def faults(cells: dict[str, str], fields: Sequence[dict[str, Any]]) -> list[str]:
    """Which cells of a row break a rule of the published schema (Table Schema: required, enum, pattern)."""
    found = []
    for field in fields:
        name, rules = field["name"], field.get("constraints", {})
        cell = cells[name]
        if not cell:
            found += [name] if rules.get("required") else []
        elif (
            (rules.get("enum") and cell not in rules["enum"])
            or (rules.get("pattern") and not re.fullmatch(rules["pattern"], cell))
            or (field["type"] == "datetime" and datetime.fromisoformat(cell).tzinfo is None)
        ):
            found.append(name)
    return found


@pytest.mark.skipif(not SCHEMA.is_file(), reason="no schema: set LADESTROM_SHARED to the folder that has it")
def test_every_row_is_as_the_published_schema_wants_it() -> None:
    fields = json.loads(SCHEMA.read_text(encoding="utf-8"))["fields"]
    told = rows(file(seen([(f"FR*ABC*E{number}", status, AT) for number, status in enumerate(EXPECTED)]))[0])
    assert list(told[0]) == [field["name"] for field in fields]
    assert [faults(cells, fields) for cells in told] == [[]] * len(EXPECTED)
    wrong = {"id_pdc_itinerance": "FR*ABC*E1", "etat_pdc": "", "occupation_pdc": "taken"}
    assert faults({**told[0], **wrong}, fields) == list(wrong)
