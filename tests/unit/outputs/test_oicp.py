"""Statuses in the words of OICP: the shape of the file, and that our own reader of it gives them back."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final

import jsonschema
import pytest
from tests.building import make_change, make_evse, make_station

from ladestrom.formats.documents import Seen
from ladestrom.model import Evse, Position, Status, StatusChanged
from ladestrom.outputs.oicp.encoder import WORDS, Statuses, identified
from ladestrom.protocols.delivery import ParseLimits
from ladestrom.protocols.oicp_pull import read

SHARED: Final = Path(os.environ.get("LADESTROM_SHARED", Path(__file__).resolve().parents[4] / "shared"))
SWAGGER: Final = SHARED / "reference" / "oicp" / "evse-api-docs-2.2.json"
EXPECTED: Final = {
    Status.AVAILABLE: ("Available", Status.AVAILABLE),
    Status.BLOCKED: ("Occupied", Status.CHARGING),
    Status.CHARGING: ("Occupied", Status.CHARGING),
    Status.RESERVED: ("Reserved", Status.RESERVED),
    Status.INOPERATIVE: ("OutOfService", Status.OUTOFORDER),
    Status.OUTOFORDER: ("OutOfService", Status.OUTOFORDER),
    Status.UNKNOWN: ("Unknown", Status.UNKNOWN),
}
"""The word of a status, and what our reader makes of it."""


def seen(number: int, *told: tuple[str, Status], operator: str | None = None) -> Seen:
    uuid = f"NOR_{number:05d}"
    station = make_station(
        uuid, tuple(make_evse(name, uuid, key=key(name)) for name, _ in told), operator=operator
    )
    rows = [
        (evse, StatusChanged(1, make_change(evse, status)))
        for evse, (_, status) in zip(station.evses, told, strict=True)
    ]
    return Seen(station, 1, rows, rows, lambda _, change: change.observed_at)


def key(name: str) -> str:
    return make_evse(name).key or "NOR_00001_01"


def made(*stations: Seen) -> tuple[bytes, Statuses]:
    encoder = Statuses()
    parts = [part for part in map(encoder.part, stations) if part is not None]
    return encoder.head(Position("abc", 1)) + b"".join(encoder.pieces(parts)), encoder


def test_every_status_that_is_listed_has_a_word() -> None:
    assert {status: word for status, (word, _) in EXPECTED.items()} == WORDS


def test_it_has_the_shape_of_the_swiss_file_and_is_read_back() -> None:
    told = [(f"CH*ABC*E{number}", status) for number, status in enumerate(EXPECTED, 1)]
    body, _ = made(seen(1, *told, operator="Aare Strom"))
    (operator,) = json.loads(body)["EVSEStatuses"]
    assert (operator["OperatorID"], operator["OperatorName"]) == ("CH*ABC", "Aare Strom")
    assert operator["EVSEStatusRecord"] == [
        {"EvseID": name, "EVSEStatus": EXPECTED[status][0]} for name, status in told
    ]
    delivery = read(body, "us", ParseLimits(), complete=True)
    assert delivery.complete
    assert [(word.evse, word.status) for word in delivery.reports] == [
        (name, EXPECTED[status][1]) for name, status in told
    ]


def test_evses_are_told_by_operator_whatever_station_they_are_at() -> None:
    body, _ = made(
        seen(1, ("CH*ZZZ*E1", Status.AVAILABLE), ("CH*ABC*E1", Status.AVAILABLE)),
        seen(2, ("CH*ABC*E2", Status.CHARGING), operator="Aare Strom"),
        seen(3, ("CH*ABC*E3", Status.CHARGING), operator="Another"),
    )
    operators = json.loads(body)["EVSEStatuses"]
    assert [(each["OperatorID"], each["OperatorName"]) for each in operators] == [
        ("CH*ABC", "Aare Strom"),
        ("CH*ZZZ", "CH*ZZZ"),
    ]
    assert [each["EvseID"] for each in operators[0]["EVSEStatusRecord"]] == [
        "CH*ABC*E1",
        "CH*ABC*E2",
        "CH*ABC*E3",
    ]


def test_without_evses_it_is_a_file_all_the_same() -> None:
    body, _ = made()
    assert json.loads(body) == {"EVSEStatuses": []}
    assert read(body, "us", ParseLimits(), complete=True).complete


@pytest.mark.parametrize(
    ("written", "ids"),
    [
        ("NO*ABC*E1", ("NO*ABC", "NO*ABC*E1")),
        ("noabce1", ("NO*ABC", "NOABCE1")),
        ("NO-ABC-E1-2", ("NO*ABC", "NO*ABC*E1*2")),
        ("+49*810*000*438", ("49*810", "49*810*000*438")),
        ("NO*ABC*X1", None),
        ("NO*ABC*E" + "1" * 31, None),
    ],
)
def test_whose_an_evse_is_follows_from_its_id(written: str, ids: tuple[str, str] | None) -> None:
    assert identified(make_evse(written)) == ids


def test_an_evse_without_such_an_id_is_left_out_and_counted() -> None:
    body, encoder = made(seen(1, ("NO*ABC*X1", Status.AVAILABLE), ("NO*ABC*E1", Status.AVAILABLE)))
    assert encoder.left_out.counts == {"no_oicp_id": 1}
    assert body.count(b"EvseID") == 1
    assert identified(Evse(key="NOR_01333_01", station="NOR_01333")) is None


@pytest.mark.skipif(not SWAGGER.is_file(), reason="no schema: set LADESTROM_SHARED to the folder that has it")
def test_ids_and_words_are_those_of_the_published_schema() -> None:
    """Of its own shape, whose members are written otherwise."""
    names = ("CH*ABC*E1", "chabce2", "+49*810*000*438")
    told = [(name, status) for name in names for status in EXPECTED]
    body, _ = made(*(seen(number, one) for number, one in enumerate(told, 1)))
    document: dict[str, Any] = json.loads(SWAGGER.read_text(encoding="utf-8"))
    schema = {"$ref": "#/definitions/OperatorEvseStatus", "definitions": document["definitions"]}
    validator = jsonschema.Draft4Validator(schema)
    for operator in json.loads(body)["EVSEStatuses"]:
        records = [
            {"EvseID": each["EvseID"], "EvseStatus": each["EVSEStatus"]}
            for each in operator["EVSEStatusRecord"]
        ]
        theirs = {
            "OperatorID": operator["OperatorID"],
            "OperatorName": operator["OperatorName"],
            "EvseStatusRecord": records,
        }
        validator.validate(theirs)
        assert not validator.is_valid({**theirs, "OperatorID": "?"})
        assert not validator.is_valid(
            {**theirs, "EvseStatusRecord": [{"EvseID": "NOR_01333_01", "EvseStatus": "Available"}]}
        )
