"""Deliveries of more items than are logged at once, in every protocol that is pushed, while the log fails."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.following import settled
from tests.e2e.serving import Serving, evse, now, station
from tests.patience import DEADLINE_S, until

from ladestrom import app as app_module
from ladestrom.errors import LogFailure, NotReady
from ladestrom.ingest.intake import PART_REPORTS_MAX
from ladestrom.model import Change, Entry, Status, StatusReport, evse_key
from ladestrom.roles import writing

COUNT = PART_REPORTS_MAX + 1_000
IDS = [f"NO*ALF*E{number:05d}" for number in range(COUNT)]
AT = "2026-01-01T12:00:00Z"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Serving]:
    made = [
        station(
            f"NOR_{number:05d}",
            "NOR",
            (10.0, 60.0),
            [evse(each, party="NOALF") for each in IDS[number * 500 : (number + 1) * 500]],
        )
        for number in range(COUNT // 500)
    ]
    with Serving(tmp_path, stations=made) as running:
        # On a slow machine the server looks at its log while that has no room, and says so.
        running.expects("no space left")
        yield running


def plain() -> bytes:
    return json.dumps([{"evse": each, "status": "CHARGING", "observed_at": AT} for each in IDS]).encode()


def oicp() -> bytes:
    records = [{"EvseID": each, "EvseStatus": "Occupied"} for each in IDS]
    group = {"OperatorID": "NO*ALF", "OperatorName": "Alfa", "EvseStatusRecord": records}
    return json.dumps({"ActionType": "fullLoad", "OperatorEvseStatus": group}).encode()


def irve() -> bytes:
    rows = [f"{evse_key(each)},en_service,occupe,{AT}" for each in IDS]
    return "\n".join(["id_pdc_itinerance,etat_pdc,occupation_pdc,horodatage", *rows]).encode()


def qualicharge() -> bytes:
    row = {"etat_pdc": "en_service", "occupation_pdc": "occupe", "horodatage": AT}
    return json.dumps([{"id_pdc_itinerance": evse_key(each), **row} for each in IDS]).encode()


def datex2() -> bytes:
    points = [
        {
            "aegiElectricChargingPointStatus": {
                "reference": {"idG": each},
                "lastUpdated": AT,
                "status": "charging",
            }
        }
        for each in IDS
    ]
    stations = {"energyInfrastructureStationStatus": {"refillPointStatus": points}}
    publication = {"publicationTime": AT, "energyInfrastructureSiteStatus": stations}
    return json.dumps({"aegiEnergyInfrastructureStatusPublication": publication}).encode()


PROTOCOLS: dict[str, Callable[[], bytes]] = {
    "/api/v2/reports": plain,
    "/api/oicp/evsepush/v21/operators/NO*ALF/status-records": oicp,
    "/push/irve": irve,
    "/dynamique/status/bulk": qualicharge,
    "/push/datex2": datex2,
}


def failing(server: Serving, which: int) -> None:
    """Lets one of the next appends fail: the first, or the second."""
    log = server.app.log
    append = log.append
    server.expects("append failed")
    count = 0

    async def appended(changes: Sequence[Change]) -> Sequence[Entry]:
        nonlocal count
        count += 1
        if count == which:
            raise LogFailure("no space left on the device")
        return await append(changes)

    server.call(lambda: setattr(log, "append", appended))


@pytest.mark.parametrize("path", PROTOCOLS)
def test_who_is_told_that_a_part_was_taken_sends_all_again_and_nothing_is_lost_or_doubled(
    server: Serving, path: str
) -> None:
    body = PROTOCOLS[path]()
    headers = {"Content-Type": "text/csv"} if path == "/push/irve" else {}
    before = settled(server)
    failing(server, 2)
    answer = server.post(body, path=path, headers=headers)
    assert answer.status_code == 503, answer.text
    assert f"{PART_REPORTS_MAX} of {COUNT} items were decided" in answer.text
    assert settled(server) == before + PART_REPORTS_MAX
    again = server.post(body, path=path, headers=headers)
    assert again.status_code in {200, 201}, again.text
    assert settled(server) == before + COUNT
    statuses = {cell.change.status for cell in server.app.writer.board.cells.values()}
    assert statuses == {"CHARGING"}


def test_a_part_that_was_taken_is_told_in_numbers_too(server: Serving) -> None:
    failing(server, 2)
    told: dict[str, Any] = server.post(plain()).json()
    assert (told["code"], told["retry"]) == ("partly_taken", True)
    taken = {"items": PART_REPORTS_MAX, "accepted": PART_REPORTS_MAX, "unchanged": 0, "refused": 0}
    assert told["taken"] == taken
    assert "taken" not in server.post(b"no JSON").json()


def test_a_log_that_hangs_does_not_keep_the_server_from_ending(
    server: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app_module, "DRAIN_S_MAX", 0.1)
    monkeypatch.setattr(writing, "CHECKPOINT_END_S_MAX", 0.1)
    server.expects("did not respond in time")
    released = threading.Event()
    hub = server.app.writer.hub
    report = StatusReport(IDS[0], Status.CHARGING, False, now(), "alfa", "CHARGING")
    hanging = server.call(lambda: server.log._writer.do(lambda: released.wait(DEADLINE_S)))
    try:
        submitting = asyncio.run_coroutine_threadsafe(
            hub.submit(server.app.context.operators["alfa"], [report]), server._loop
        )
        until(lambda: hub.appending is not None, "it is being logged")
        assert not hanging.done()
        server.stop()
        with pytest.raises(NotReady, match="send the request again"):
            submitting.result(DEADLINE_S)
    finally:
        released.set()
    assert [
        (each["deliveries"], each["reports"])
        for each in server._log.entries
        if "did not respond" in each["event"]
    ] == [(1, 1)]
