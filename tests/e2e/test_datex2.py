"""DATEX II through a real server: pushed in XML and JSON, asked for at an address, its tables imported."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import httpx2
import pytest
from tests.e2e.answering import Answering
from tests.e2e.serving import UID, Serving, evse, station
from tests.patience import until

from ladestrom.cli import main

E1 = "NO*ALF*E1333*1"
E2 = "NO*ALF*E1333*2"
E3 = "NO*ALF*E1342"
SWEDISH = "SE*BET*E7*1"
PATH = "/push/datex2"
AT, LATER = "2026-11-01T09:00:00+01:00", "2026-11-01T09:00:01+01:00"
FULL_LOAD = 7_700
GOLDEN = Path(__file__).parents[1] / "golden" / "registers"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Serving]:
    with Serving(tmp_path) as running:
        yield running


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server for tests of what is refused."""
    with Serving(tmp_path_factory.mktemp("datex2")) as running:
        yield running


def xml(*stations: dict[str, str], protocol: str = "", at: str = AT) -> bytes:
    """A publication; each station is its points' ids and words."""
    made = "".join(
        "<e:energyInfrastructureStationStatus>"
        + "".join(
            f'<e:refillPointStatus><f:reference id="{name}"/><f:lastUpdated>{at}</f:lastUpdated>'
            f"<e:status>{word}</e:status></e:refillPointStatus>"
            for name, word in points.items()
        )
        + "</e:energyInfrastructureStationStatus>"
        for points in stations
    )
    exchange = (
        f"<exchangeInformation><exchangeContext><codedExchangeProtocol>{protocol}</codedExchangeProtocol>"
        "</exchangeContext></exchangeInformation>"
        if protocol
        else ""
    )
    return (
        '<c xmlns:e="e" xmlns:f="f" xmlns:xsi="x"><payload xsi:type="e:EnergyInfrastructureStatusPublication">'
        f"<e:energyInfrastructureSiteStatus>{made}</e:energyInfrastructureSiteStatus></payload>{exchange}</c>"
    ).encode()


def in_json(*stations: dict[str, str], protocol: str = "", at: str = AT) -> bytes:
    sites = [
        {
            "energyInfrastructureStationStatus": [
                {
                    "refillPointStatus": [
                        {
                            "aegiElectricChargingPointStatus": {
                                "reference": {"idG": name},
                                "lastUpdated": at,
                                "status": {"value": word},
                            }
                        }
                        for name, word in points.items()
                    ]
                }
                for points in stations
            ]
        }
    ]
    container: dict[str, Any] = {
        "payload": [{"aegiEnergyInfrastructureStatusPublication": {"energyInfrastructureSiteStatus": sites}}]
    }
    if protocol:
        context = {"codedExchangeProtocol": {"value": protocol}}
        container["exchangeInformation"] = {"exchangeContext": context}
    return json.dumps({"messageContainer": container}).encode()


FORMS = pytest.mark.parametrize("form", [xml, in_json], ids=["xml", "json"])
Form = Callable[..., bytes]


def push(server: Serving, body: bytes, query: str = "", **options: Any) -> httpx2.Response:
    return server.post(body, path=f"{PATH}{query}", **options)


def status(server: Serving, evse_id: str) -> str:
    server.settled()
    found: str = server.get(f"/api/v2/evses/{evse_id}").json()["status"]
    return found


def returned(answer: httpx2.Response) -> tuple[str, str]:
    """Status and reason of an acknowledgement in XML, or what a receipt in JSON comes to."""
    if answer.headers["content-type"].startswith("application/json"):
        receipt = answer.json()
        taken = receipt["accepted"] + receipt["unchanged"]
        reasons = " ".join(each["reason"] for each in receipt["refused"])
        word = "fail" if receipt["refused"] and not taken else "ack"
        counts = f"{receipt['accepted']} accepted, {receipt['unchanged']} unchanged"
        return word, f"{counts}, {len(receipt['refused'])} refused {reasons}"
    root = ET.fromstring(answer.content)  # noqa: S314 - made by our server
    named = {element.tag.rpartition("}")[2]: element.text or "" for element in root.iter()}
    return named["returnStatus"], named["value"]


@FORMS
def test_a_publication_is_taken_point_by_point(server: Serving, form: Form) -> None:
    answer = push(server, form({E1: "charging", SWEDISH: "available", E3: "", UID: "outOfOrder"}))
    assert answer.status_code == 200
    receipt = answer.json()
    assert (receipt["accepted"], receipt["unchanged"]) == (2, 0)
    assert [(each["index"], each["reason"]) for each in receipt["refused"]] == [
        (1, "not_allowed"),
        (2, "invalid_status"),
    ]
    assert (status(server, E1), status(server, E3)) == ("CHARGING", "OUTOFORDER")


@FORMS
def test_a_container_is_acknowledged_in_its_own_form(shared_server: Serving, form: Form) -> None:
    answer = push(shared_server, form({E1: "charging", "NO*XXX*E1": "available"}, protocol="deltaPush"))
    assert answer.status_code == 200
    word, reason = returned(answer)
    assert word == "ack"
    assert "1 refused" in reason
    assert "unknown_evse" in reason
    assert returned(push(shared_server, form({"NO*XXX*E1": "available"}, protocol="deltaPush")))[0] == "fail"


@FORMS
def test_what_a_snapshot_lacks_is_unknown(server: Serving, form: Form) -> None:
    everything = form({E1: "available", E2: "available"}, {E3: "charging"}, protocol="snapshotPush")
    assert returned(push(server, everything))[0] == "ack"
    assert status(server, E2) == "AVAILABLE"
    push(server, form({E1: "charging"}, {E3: "charging"}, protocol="deltaPush", at=LATER))
    assert (status(server, E1), status(server, E2)) == ("CHARGING", "AVAILABLE")
    push(server, form({E1: "charging"}, {E3: "charging"}, protocol="snapshotPush", at=LATER))
    assert (status(server, E1), status(server, E2)) == ("CHARGING", "UNKNOWN")


@FORMS
def test_a_single_station_that_calls_itself_a_snapshot_takes_nothing_from_others(
    server: Serving, form: Form
) -> None:
    push(server, form({E1: "available"}, {E3: "charging"}, protocol="snapshotPush"))
    push(server, form({E1: "charging"}, protocol="snapshotPush", at=LATER))
    assert (status(server, E1), status(server, E3)) == ("CHARGING", "CHARGING")
    push(server, form({E1: "charging"}, protocol="snapshotPush", at=LATER), "?extent=snapshot")
    assert (status(server, E1), status(server, E3)) == ("CHARGING", "UNKNOWN")


@FORMS
def test_an_older_publication_changes_nothing(server: Serving, form: Form) -> None:
    push(server, form({E1: "charging"}, at=LATER))
    assert push(server, form({E1: "available"})).json()["stale"] == 1
    assert status(server, E1) == "CHARGING"


@FORMS
def test_a_body_may_be_packed(shared_server: Serving, form: Form) -> None:
    packed = gzip.compress(form({E2: "reserved"}))
    assert push(shared_server, packed, headers={"Content-Encoding": "gzip"}).status_code == 200
    assert status(shared_server, E2) == "RESERVED"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"<p>", "malformed_body"),
        (b"{", "malformed_body"),
        (b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "malformed_body"),
        (b"<a>" * 100_000, "malformed_body"),
        (b"<payload/>", "malformed_body"),
        (b"<a>" + b"<refillPointStatus/>" * 100_000 + b"</a>", "too_large"),
    ],
)
def test_a_broken_publication_is_refused_and_the_server_goes_on(
    shared_server: Serving, body: bytes, code: str
) -> None:
    answer = push(shared_server, body)
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.json()["code"], answer.status_code in {400, 413}) == (code, True)
    assert push(shared_server, xml({E1: "available"})).status_code == 200


def test_who_has_no_key_may_not_push(shared_server: Serving) -> None:
    assert push(shared_server, xml({E1: "available"}), key=None).status_code == 401
    assert push(shared_server, xml({E1: "available"}), key="stream").status_code == 403


@FORMS
def test_a_full_load_is_acknowledged_each_time(server: Serving, form: Form) -> None:
    places = [
        station(
            f"NOR_{number:05d}",
            "NOR",
            (10.0, 60.0),
            [evse(f"NO*ALF*F{number}*{place}", party="NOALF") for place in range(7)],
        )
        for number in range(50_000, 50_000 + FULL_LOAD // 7)
    ]
    server.import_stations(places, complete=False)
    server.in_step()
    stations = [{point.evse_id or "": "available" for point in draft.station.evses} for draft in places]
    body = form(*stations, protocol="snapshotPush")
    for _ in range(2):
        word, reason = returned(push(server, body))
        assert word == "ack"
        assert re.match(rf"({FULL_LOAD} accepted|0 accepted, {FULL_LOAD} unchanged), ", reason), reason


@pytest.fixture
def run(
    server: Serving, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., str]:
    """A command on the server's data directory."""
    monkeypatch.setenv("LADESTROM_DATA", str(server.data))

    def call(*arguments: str | Path) -> str:
        capsys.readouterr()
        assert main(list(map(str, arguments))) == 0
        return capsys.readouterr().out

    return call


def test_a_publication_at_an_address_is_asked_for_and_only_when_it_is_new(
    server: Serving, run: Callable[..., str]
) -> None:
    with Answering() as other:
        other.say(200, body=xml({E1: "charging"}, {E3: "available"}), headers={"ETag": '"one"'})
        run(
            *("sources", "add", "nap", "--operator", "alfa", "--protocol", "datex2"),
            *("--address", f"{other.url}/status.xml", "--poll", "1s"),
        )
        until(lambda: status(server, E1) == "CHARGING", "the first round was taken")
        until(
            lambda: any(asked.headers.get("if-none-match") == '"one"' for asked in other.requests),
            "only what is new is asked for",
        )
        other.say(200, body=in_json({E1: "available"}, {E3: "available"}, at=LATER))
        until(lambda: status(server, E1) == "AVAILABLE", "the next round was taken")


def test_points_of_an_imported_table_are_found_by_its_ids(server: Serving, run: Callable[..., str]) -> None:
    told = run(
        "import", "datex", GOLDEN / "datex-afir.json", "--data", server.data, "--publisher", "ladewerk"
    )
    assert re.search(r"^added +1$", told, re.MULTILINE)
    run("operators", "add", "ladewerk", "--party", "DE*LDW", "--data", server.data)
    server.in_step()
    server.make_key("ladewerk", ("report",), operator="ladewerk")
    answer = push(
        server,
        xml({"cp-DE*LDW*E7*1-1": "charging", "DE*LDW*E7*2": "reserved", "3": "blocked"}),
        key="ladewerk",
    )
    assert answer.json()["accepted"] == 3, answer.text
    assert status(server, "DE*LDW*E7*1") == "CHARGING"
    assert status(server, "DE-LDW-ELDW_7-2") == "RESERVED"
