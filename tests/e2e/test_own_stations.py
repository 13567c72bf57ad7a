"""A register of one's own through the real command line and a real server, from the template to its consumers."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.e2e.running import NotRunning, Running
from tests.importing import counts
from tests.patience import DEADLINE_S, until

HARBOUR = {
    "station_id": "harbour-1",
    "name": "Harbour",
    "country": "NO",
    "latitude": "59.9075",
    "longitude": "10.7229",
    "operator": "Fjordlys",
    "opening": "Mo-Fr 07:00-22:00",
    "access": "public",
    "payment_card": "yes",
    "tariff_text": "NOK 4.50 per kWh",
    "evse_id": "NO*FJL*E7001*1",
    "label": "A1",
    "connector1_standard": "CCS",
    "connector1_max_kw": "150",
}
SECOND = {
    "station_id": "harbour-1",
    "evse_id": "NO*FJL*E7001*2",
    "access": "employees",
    "connector1_standard": "Type 2",
    "connector1_max_kw": "22",
}
DEPOT = HARBOUR | {"station_id": "depot-1", "name": "Depot", "evse_id": "", "uid": "left"}


class Own:
    """A server, and the file of somebody's stations."""

    def __init__(self, running: Running, folder: Path) -> None:
        self.running = running
        self.file = folder / "stations.csv"
        self.report = folder / "report"
        self.template = running.run("import", "stations", "--template", data=False)
        self.key = running.key("admin")

    def write(self, *rows: dict[str, str]) -> None:
        names = self.template.splitlines()[-1].split(",")
        out = io.StringIO()
        csv.DictWriter(out, names, lineterminator="\n").writerows(rows)
        self.file.write_text(self.template + out.getvalue())

    def importing(self, *options: str) -> str:
        return self.running.run("import", "stations", str(self.file), *options)

    def stations(self) -> dict[str, Any]:
        """What REST has, by the file's ids."""
        url, headers = f"{self.running.url}/api/v2/stations", {"Authorization": f"Bearer {self.key}"}
        listed = httpx2.get(url, headers=headers, timeout=DEADLINE_S).raise_for_status().json()
        found: dict[str, Any] = {}
        for each in listed["items"]:
            one = (
                httpx2.get(f"{url}/{each['uuid']}", headers=headers, timeout=DEADLINE_S)
                .raise_for_status()
                .json()
            )
            found[one["native_id"]] = one
        return found

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.report.read_text().splitlines()]


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Own]:
    with Running(tmp_path) as running:
        found = Own(running, tmp_path)
        running.operator("fjordlys", all_evses=True)
        running.start()
        yield found


def test_a_file_is_checked_imported_and_changed_while_the_server_runs(own: Own) -> None:
    own.write(HARBOUR, SECOND, DEPOT)
    tried = own.importing("--dry-run")
    assert counts(tried)["added"] == 2
    assert own.stations() == {}
    assert own.importing() == tried.split("result in\n")[1]
    until(lambda: len(own.stations()) == 2, "the server has both stations")
    harbour = own.stations()["harbour-1"]
    assert (harbour["register"], harbour["name"], harbour["tariff_text"]) == (
        "stations",
        "Harbour",
        "NOK 4.50 per kWh",
    )
    assert harbour["opening"]["hours"][0] == {"weekday": 1, "begin": "07:00", "end": "22:00"}
    assert harbour["time_zone"] == "Europe/Oslo"
    assert [evse["access"] for evse in harbour["evses"]] == ["public", "employees"]
    own.write(HARBOUR | {"operator": "Fjordlys AS"}, SECOND | {"label": "A2"})
    changed = {"added": 0, "changed": 1, "unchanged": 0, "removed": 1}
    tried = own.importing("--dry-run", "--report", str(own.report))
    assert own.lines()[-1]["changed_fields"] == {"operator": 1, "evse.label": 1}
    told = own.importing("--list", "--report", str(own.report))
    assert changed.items() <= counts(told).items()
    assert "changed            1: operator 1, evse.label 1\n" in tried
    assert '    operator: "Fjordlys" -> "Fjordlys AS"\n' in told
    assert [line["kind"] for line in own.lines()] == ["changed", "removed", "summary"]
    assert own.lines()[0]["fields"] == [
        {"field": "operator", "before": "Fjordlys", "after": "Fjordlys AS"},
        {"field": "evse.label", "before": None, "after": "A2", "evse": "NO*FJL*E7001*2"},
    ]
    until(lambda: own.stations()["harbour-1"]["operator"] == "Fjordlys AS", "the server has the change")


def test_a_file_with_mistakes_leaves_what_was_imported_as_it_was(own: Own) -> None:
    own.write(HARBOUR, SECOND, DEPOT)
    own.importing()
    until(lambda: len(own.stations()) == 2, "the server has both stations")
    own.write(HARBOUR, SECOND | {"connector1_standard": ""}, DEPOT)
    told = own.importing()
    assert {"refused": 1, "removed": 0, "unchanged": 1}.items() <= counts(told).items()
    own.file.write_text(own.file.read_text().replace("latitude", "lattitude"))
    with pytest.raises(NotRunning, match=r'"lattitude"; did you mean latitude\?'):
        own.importing()
    own.file.write_text("")
    with pytest.raises(NotRunning, match="the file is empty"):
        own.importing()
    assert len(own.stations()["harbour-1"]["evses"]) == 2
