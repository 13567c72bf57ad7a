"""Whatever a file of one's own stations holds: no error but the named one, and one station never costs another."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.properties.test_registers import TARGETS, VALUES, paths, replaced

from ladestrom.errors import InvalidRegister
from ladestrom.ports.registry import RecordRefusal, StationDraft
from ladestrom.registers import stations
from ladestrom.registers.stations_columns import COLUMNS, template

NAMES = [column.name for column in COLUMNS]
EXAMPLES = {column.name: column.example for column in COLUMNS}
CELLS = st.text(max_size=30) | st.sampled_from(
    [
        "",
        "0",
        "-1",
        "1e9",
        "NaN",
        "yes",
        "a@b.example",
        "|;|",
        "=1+1",
        '"',
        "#",
        "24/7",
        "2026-01-01T00:00Z/",
        "\x00",
    ]
)


def row(number: int) -> dict[str, str]:
    return EXAMPLES | {
        "station_id": f"s{number}",
        "evse_id": f"NO*FJL*E{number}",
        "email": "",
    }


def feature(number: int) -> dict[str, Any]:
    return {
        "type": "Feature",
        "geometry": {"type": "Point", "coordinates": [10.7, 59.9]},
        "properties": {
            "station_id": f"s{number}",
            "name": "Harbour",
            "country": "NO",
            "images": ["https://a.example/1.jpg"],
            "payment_card": True,
            "evses": [
                {"evse_id": f"NO*FJL*E{number}", "connectors": [{"standard": "CCS", "max_kw": 150}]},
                {"uid": "b", "label": "B", "connectors": [{"standard": "Type 2"}]},
            ],
        },
    }


def as_csv(rows: list[dict[str, str]]) -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, NAMES, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode(errors="replace")


def others(document: bytes) -> list[StationDraft | RecordRefusal]:
    """What the file gives of the first and the third station."""
    return [
        one
        for one in stations.parse([document])
        if isinstance(one, StationDraft) and one.station.native_id in {"s1", "s3"}
    ]


@given(name=st.sampled_from(NAMES), cell=CELLS)
def test_a_row_with_anything_anywhere_costs_no_other_station(name: str, cell: str) -> None:
    document = as_csv([row(1), row(2) | {name: cell}, row(3)])
    found = others(document)
    assert [one.station.native_id for one in found if isinstance(one, StationDraft)] == ["s1", "s3"]
    TARGETS["stations"](document)


PATHS = paths(feature(2))


@given(path=st.sampled_from(PATHS), by=VALUES)
def test_a_feature_with_anything_anywhere_costs_no_other_station(path: tuple[Any, ...], by: object) -> None:
    features = [feature(1), replaced(feature(2), path, by), feature(3)]
    document = json.dumps({"type": "FeatureCollection", "features": features}).encode()
    assert len(others(document)) == 2
    TARGETS["stations"](document)


@given(data=st.binary(max_size=300) | st.text(max_size=200).map(lambda text: text.encode(errors="replace")))
def test_any_bytes_behind_a_header_are_read_or_invalid(data: bytes) -> None:
    for begin in (
        template().encode(),
        as_csv([row(1)]),
        b'{"features":[',
        b'{"type":"Feature","properties":',
    ):
        TARGETS["stations"](begin + data)


@given(kept=st.integers(0, 5_000))
def test_a_file_that_is_cut_off_is_invalid_or_loses_its_last_row_alone(kept: int) -> None:
    document = as_csv([row(1), row(2), row(3)])
    try:
        found = list(stations.parse([document[:kept]]))
    except InvalidRegister:
        return
    whole = {
        one.station.native_id: one for one in stations.parse([document]) if isinstance(one, StationDraft)
    }
    for one in found[:-1]:
        assert isinstance(one, StationDraft)
        assert one == whole[one.station.native_id]
