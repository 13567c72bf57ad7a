"""Everything that leaves is a fold over the log: a reader that has a copy of it alone answers as the server does."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import apsw
import httpx2
import msgspec
import pytest
from tests.e2e.serving import STATIONS, Serving, evse, station
from tests.e2e.wire import Wire
from tests.patience import DEADLINE_S
from tests.programs import PIPE, begin, end

from ladestrom.ports.registry import StationDraft

E1: Final = "NO*ALF*E1333*1"
SELECTIONS: Final = (
    "",
    "country=NOR",
    "operator=Beta%20Laddning",
    "operator=NO*ALF",
    "operator=alfa",
    "status=CHARGING,AVAILABLE",
    "bbox=5,59,11,61",
    "evse=NO*ALF*E1333*1",
    "station=NOR_01333",
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Serving]:
    with Serving(tmp_path) as running:
        yield running


def live(server: Serving) -> None:
    """Reports, and registers that change: an operator, a place, a spelling, a move, an end and a return."""
    first = STATIONS[0].station
    others = STATIONS[1:]
    server.report({"evse": E1, "status": "CHARGING"})
    server.import_stations([StationDraft(msgspec.structs.replace(first, operator="Beta Laddning")), *others])
    server.report({"evse": E1, "status": "AVAILABLE"})
    moved = msgspec.structs.replace(first, latitude=60.5, name="Elsewhere", address="A street 1")
    server.import_stations([StationDraft(moved), *others])
    new = station("NOR_01999", "NOR", (10.7, 59.9), [evse("no-alf-e1999-1", party="NOALF", uid="9")])
    server.import_stations([*others, new])
    server.import_stations([*STATIONS, new])
    server.report({"evse": "NO*ALF*E1999*1", "status": "OUTOFORDER"})
    server.import_stations(
        [*STATIONS, station("NOR_01999", "NOR", (10.7, 59.9), [evse("NO*ALF*E1999*1", party="NOALF")])]
    )
    server.report({"evse": E1, "status": "CHARGING"})
    server.in_step()


def copied(server: Serving, target: Path) -> Path:
    """A copy of the log, as of now."""
    source = apsw.Connection(str(server.data / "log.db"))
    copy = apsw.Connection(str(target))
    with copy.backup("main", source, "main") as backup:
        backup.step()
    copy.close()
    source.close()
    return target


def snapshot(url: str, path: str, headers: dict[str, str]) -> list[dict[str, Any]]:
    """The snapshot of a stream, and the heartbeat or nothing that follows."""
    wire = Wire(int(urlsplit(url).port or 0))
    try:
        wire.open(path, headers)
        assert wire.response.status == 101, wire.response
        told = []
        while True:
            message = json.loads(wire.text())
            if message["type"].startswith("snapshot"):
                told.append(message)
                if message.get("part", 1) == message.get("parts", 1):
                    return told
    finally:
        wire.close()


def answers(url: str, headers: dict[str, str]) -> dict[str, Any]:
    """What a server says of its state, over all that leaves."""
    found: dict[str, Any] = {}
    for selection in SELECTIONS:
        for path in ("/api/v2/stream?", "/api/v2/stream?include=stations&"):
            found[f"{path}{selection}"] = snapshot(url, f"{path}batch_ms=0&{selection}", headers)
    for selection in ("", "country=NOR", "station=NOR_01333", "bbox=5,59,11,61"):
        found[f"v1 {selection}"] = snapshot(url, f"/api/v1/stream?{selection}", headers)
    with httpx2.Client(base_url=url, timeout=DEADLINE_S, headers=headers) as client:
        paths = [f"/api/v2/evses?{selection}" for selection in SELECTIONS]
        paths += [f"/api/v2/stations?{selection}" for selection in SELECTIONS if "evse=" not in selection]
        uuids = [draft.station.uuid for draft in STATIONS] + ["NOR_01999"]
        paths += [f"/api/v2/stations/{uuid}" for uuid in uuids]
        paths += [f"/api/v1/rest/charger/{uuid}" for uuid in uuids]
        paths += [
            "/api/v1/rest/chargers",
            "/api/v1/rest/chargers/NOR",
            "/api/v2/map/stations",
            "/api/v2/evses/no-alf-e1333-1",
            "/api/v2/evses/9",
        ]
        for path in paths:
            answer = client.get(path)
            assert answer.status_code in {200, 404, 400}, (path, answer.text)
            body: Any = answer.json()
            tag = answer.headers.get("etag", "")
            found[path] = answer.status_code, body, "" if tag.startswith("W/") else tag
    return found


def test_a_reader_that_has_a_copy_of_the_log_alone_answers_as_the_server_does(
    server: Serving, tmp_path: Path
) -> None:
    live(server)
    log = copied(server, tmp_path / "copy.db")
    (tmp_path / "alone").mkdir()
    alone = begin(
        [sys.executable, "-m", "tests.e2e.reader_alone", str(log), str(tmp_path / "alone")], stdout=PIPE
    )
    try:
        assert alone.stdout is not None
        url = alone.stdout.readline().strip()
        assert url.startswith("http://")
        expected, found = (
            answers(server.url, server.bearer("stream")),
            answers(url, {"Authorization": "Bearer demo"}),
        )
        assert found.keys() == expected.keys()
        for name, told in expected.items():
            assert found[name] == told, name
    finally:
        end(alone)
