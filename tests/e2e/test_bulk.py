"""Files of all stations and EVSEs from outside: filters by features, position, and what they agree with."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import quote

import httpx2
import pytest
from tests.e2e.serving import LISTED, Serving

from ladestrom.edges import documents
from ladestrom.outputs.bulk.edge import FORMS

E1: Final = "NO*ALF*E1333*1"
AT: Final = 1_700_000_000_000
GEOJSON: Final = "/api/v2/stations.geojson"
LINES: Final = "/api/v2/evses.ndjson"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serving]:
    monkeypatch.setattr(documents, "INTERVAL_S_MIN", 0.0)
    monkeypatch.setattr(documents, "MAKING_SHARE", 0.0)
    with Serving(tmp_path) as running:
        running.report(
            {"evse": E1, "status": "CHARGING", "observed_at": AT},
            {"evse": "NO*ALF*E1333*2", "status": "AVAILABLE", "observed_at": AT},
            {"evse": "NO*ALF*E1342", "status": "OUTOFORDER", "observed_at": AT},
        )
        running.settled()
        yield running


def uuids(answer: httpx2.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [feature["id"] for feature in answer.json()["features"]]


def table(answer: httpx2.Response) -> list[dict[str, str]]:
    assert answer.status_code == 200, answer.text
    return list(csv.DictReader(io.StringIO(answer.text, newline="")))


def test_all_forms_have_the_same_stations_and_evses_as_lists(server: Serving) -> None:
    stations = server.get("/api/v2/stations?limit=1000").json()["items"]
    evses = server.get("/api/v2/evses?limit=1000").json()["items"]
    assert uuids(server.get(GEOJSON)) == [each["uuid"] for each in stations] == list(LISTED)
    assert [row["uuid"] for row in table(server.get("/api/v2/stations.csv"))] == list(LISTED)
    assert [json.loads(line) for line in server.get(LINES).text.splitlines()] == evses
    rows = table(server.get("/api/v2/evses.csv"))
    told = [(row["evse"], row["status"], row["error"], row["changed_at"], row["observed_at"]) for row in rows]
    assert told == [
        (
            each["evse"],
            each["status"],
            str(each["error"]),
            each["changed_at"] or "",
            each["observed_at"] or "",
        )
        for each in evses
    ]


def test_the_collection_says_its_position_and_numbers_by_status(server: Serving) -> None:
    answer = server.get(f"{GEOJSON}?station=NOR_01333")
    told = answer.json()
    assert f"{told['epoch']}-{told['seq']}" == answer.headers["ladestrom-position"]
    (feature,) = told["features"]
    assert {name: feature["properties"][name] for name in ("evses", "available", "charging")} == {
        "evses": 2,
        "available": 1,
        "charging": 1,
    }
    assert told["bbox"] == [10.75, 59.91, 10.75, 59.91]


@pytest.mark.parametrize(
    ("query", "stations"),
    [
        ("bbox=10,59,11,60", ["NOR_01333"]),
        ("status=AVAILABLE", ["NOR_01333"]),
        ("status=AVAILABLE&min_kw=150&connector=ccs2", ["NOR_01333"]),
        ("status=AVAILABLE&min_kw=151", []),
        ("connector=chademo", []),
        ("open_now=1", []),
        ("country=SWE,DAN", ["DAN_00011", "SWE_00007"]),
        ("country=SWE&station=NOR_01333", []),
    ],
)
def test_filters_are_those_of_lists(server: Serving, query: str, stations: list[str]) -> None:
    assert uuids(server.get(f"{GEOJSON}?{query}")) == stations
    assert [row["uuid"] for row in table(server.get(f"/api/v2/stations.csv?{query}"))] == stations
    listed = server.get(f"/api/v2/evses?{query}&limit=1000").json()["items"]
    assert [json.loads(line) for line in server.get(f"{LINES}?{query}").text.splitlines()] == listed


def test_a_map_of_one_town_has_what_it_has_while_others_change(server: Serving) -> None:
    first = server.get(f"{GEOJSON}?station=NOR_01342")
    server.report({"evse": E1, "status": "AVAILABLE", "observed_at": AT + 1_000})
    server.settled()
    again = server.get(f"{GEOJSON}?station=NOR_01342", headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304
    assert again.headers["ladestrom-position"] != first.headers["ladestrom-position"]
    whole = server.get(GEOJSON)
    assert whole.headers["ladestrom-position"] == again.headers["ladestrom-position"]


@pytest.mark.parametrize("path", FORMS)
def test_each_has_a_type_a_position_and_both_kinds_of_304(server: Serving, path: str) -> None:
    answer = server.get(path)
    assert answer.headers["content-type"].partition(";")[0] == FORMS[path].media_type
    assert answer.headers["ladestrom-position"] == str(server.app.reader.view.position)
    for name, header in (("If-None-Match", "etag"), ("If-Modified-Since", "last-modified")):
        assert server.get(path, headers={name: answer.headers[header]}).status_code == 304
    assert server.get(f"{path}?limit=1").json()["code"] == "invalid_filter"
    assert server.get(path, key=None).status_code == 401


def test_an_evse_whose_name_has_signs_is_a_path_beside_them(server: Serving) -> None:
    assert server.get(f"/api/v2/evses/{quote(E1)}").status_code == 200
    assert server.get("/api/v2/stations/NOR_01333").status_code == 200
