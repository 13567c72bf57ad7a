"""OICP through a real server: operators push as they push to Hubject."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest
from jsonschema import Draft4Validator
from tests.conftest import SharedFile
from tests.e2e.answering import Answering
from tests.e2e.serving import Serving, now, seq
from tests.patience import until

from ladestrom.core.access import operator_from
from ladestrom.ports.sources import SourceRecord

E1 = "NO*ALF*E1333*1"
E2 = "NO*ALF*E1333*2"
E3 = "NO*ALF*E1342"
SWEDISH = "SE*BET*E7*1"
DANISH = "DK*BET*E11*1"
SUBJECT = "CN=oicp.alfa.example,O=Alfa"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Serving]:
    with Serving(tmp_path) as running:
        yield running


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server for tests that do not mind what others reported."""
    with Serving(tmp_path_factory.mktemp("oicp")) as running:
        yield running


def push(
    server: Serving,
    action: str,
    *records: object,
    operator_id: str = "NO*ALF",
    key: str | None = "alfa",
    headers: Mapping[str, str] | None = None,
) -> httpx2.Response:
    body = {
        "ActionType": action,
        "OperatorEvseStatus": {
            "OperatorID": operator_id,
            "OperatorName": "Alfa",
            "EvseStatusRecord": list(records),
        },
    }
    path = f"/api/oicp/evsepush/v21/operators/{operator_id}/status-records"
    return server.post(body, key=key, headers=headers, path=path)


def record(evse: str, status: str) -> dict[str, str]:
    return {"EvseID": evse, "EvseStatus": status}


def code(answer: httpx2.Response) -> str:
    found: str = answer.json()["StatusCode"]["Code"]
    return found


def taken(answer: httpx2.Response) -> None:
    assert (answer.status_code, answer.json()["Result"], code(answer)) == (200, True, "000"), answer.text


def status(server: Serving, evse: str) -> tuple[str, str]:
    server.settled()
    found = server.get(f"/api/v2/evses/{evse}").json()
    return found["status"], found["raw"]


def test_a_full_load_an_update_and_a_delete_do_what_they_say(server: Serving) -> None:
    taken(push(server, "fullLoad", record(E1, "Available"), record(E2, "Occupied"), record(E3, "Reserved")))
    assert status(server, E1) == ("AVAILABLE", "Available")
    assert status(server, E2) == ("CHARGING", "Occupied")
    assert status(server, E3) == ("RESERVED", "Reserved")
    taken(push(server, "update", record(E1, "OutOfService")))
    assert status(server, E1) == ("OUTOFORDER", "OutOfService")
    assert status(server, E2) == ("CHARGING", "Occupied")
    taken(push(server, "delete", record(E2, "Occupied")))
    assert status(server, E2) == ("UNKNOWN", "delete")
    taken(push(server, "insert", record(E2, "Available")))
    assert status(server, E2) == ("AVAILABLE", "Available")


# -- data records ----------------------------------------------------------------------------------------------


def describe(server: Serving, action: str, *records: object) -> str:
    """Pushes data records of the operator that may register stations; what its acknowledgement says."""
    body = {
        "ActionType": action,
        "OperatorEvseData": {
            "OperatorID": "DE*DEL",
            "OperatorName": "Delta",
            "EvseDataRecord": list(records),
        },
    }
    answer = server.post(body, path="/api/oicp/evsepush/v23/operators/DE*DEL/data-records", key="delta")
    taken(answer)
    told: str = answer.json()["StatusCode"]["AdditionalInfo"]
    return told


def data(evse: str, station: str = "A", **members: object) -> dict[str, object]:
    return {
        "EvseID": evse,
        "ChargingStationID": station,
        "ChargingStationNames": [{"lang": "de", "value": f"Platz {station}"}],
        "Address": {"Country": "DEU", "City": "Kiel", "Street": "Platz"},
        "GeoCoordinates": {"Google": {"Coordinates": "54.32 10.13"}},
        "Plugs": ["Type 2 Outlet"],
        **members,
    }


@pytest.fixture
def registering(server: Serving) -> Serving:
    """A server with an operator that may register its stations."""
    delta = operator_from("delta", parties=["DE*DEL"], may_register=True)
    server.write(lambda store: store.put_operator(delta, now()))
    server.make_key("delta", ["report"], operator="delta")
    return server


def known(server: Serving) -> dict[str, set[str]]:
    """EVSEs by station of those in Germany."""
    found = server.app.writer.hub.directory.stations.values()
    return {
        station.name: {evse.name for evse in server.app.writer.hub.directory.present(station.uuid)}
        for station in found
        if station.country == "DEU"
    }


def test_data_records_fill_the_registry_and_statuses_follow_at_once(registering: Serving) -> None:
    server = registering
    assert describe(server, "insert", data("DE*DEL*E1"), data("DE*DEL*E2"), data("DE*DEL*E9", "B")) == (
        "2 stations described, 0 records refused"
    )
    assert known(server) == {"Platz A": {"DE*DEL*E1", "DE*DEL*E2"}, "Platz B": {"DE*DEL*E9"}}
    answer = push(server, "update", record("DE*DEL*E2", "Available"), operator_id="DE*DEL", key="delta")
    taken(answer)
    assert status(server, "DE*DEL*E2") == ("AVAILABLE", "Available")


def test_a_part_of_a_station_leaves_the_rest_of_it_as_it_is(registering: Serving) -> None:
    server = registering
    describe(server, "insert", data("DE*DEL*E1"), data("DE*DEL*E2"))
    push(server, "update", record("DE*DEL*E1", "Occupied"), operator_id="DE*DEL", key="delta")
    describe(server, "update", data("DE*DEL*E2", Plugs=["CHAdeMO"]))
    describe(server, "insert", data("DE*DEL*E3"))
    assert known(server) == {"Platz A": {"DE*DEL*E1", "DE*DEL*E2", "DE*DEL*E3"}}
    assert status(server, "DE*DEL*E1")[0] == "CHARGING"
    found = server.get("/api/v2/evses/DE*DEL*E2").json()
    assert [each["standard"] for each in found["connectors"]] == ["CHADEMO"]


def test_what_a_full_load_of_data_lacks_has_vanished(registering: Serving) -> None:
    server = registering
    describe(server, "fullLoad", data("DE*DEL*E1"), data("DE*DEL*E2"), data("DE*DEL*E9", "B"))
    describe(server, "fullLoad", data("DE*DEL*E1"))
    assert known(server) == {"Platz A": {"DE*DEL*E1"}, "Platz B": set()}
    describe(server, "fullLoad", data("DE*DEL*E2"), data("SE*BET*E1", "C"))
    assert known(server) == {"Platz A": {"DE*DEL*E2"}, "Platz B": set()}


def test_a_deleted_data_record_removes_its_evse(registering: Serving) -> None:
    server = registering
    describe(server, "insert", data("DE*DEL*E1"), data("DE*DEL*E2"))
    assert describe(server, "delete", data("DE*DEL*E1")).startswith("1 changed")
    assert status(server, "DE*DEL*E1")[0] == "REMOVED"


def test_an_operator_that_may_not_register_is_told_so(shared_server: Serving) -> None:
    body = {"ActionType": "insert", "OperatorEvseData": {"EvseDataRecord": [data("NO*ALF*E77")]}}
    answer = shared_server.post(body, path="/api/oicp/evsepush/v23/operators/NO*ALF/data-records")
    assert (answer.status_code, answer.json()["Result"], code(answer)) == (200, False, "017")
    assert "not used" in answer.json()["StatusCode"]["AdditionalInfo"]
    assert shared_server.app.writer.hub.directory.find("NO*ALF*E77") == ()


def test_what_a_full_load_lacks_is_unknown(server: Serving) -> None:
    taken(push(server, "fullLoad", record(E1, "Available"), record(E3, "Available")))
    taken(push(server, "fullLoad", record(E1, "Available")))
    assert status(server, E1)[0] == "AVAILABLE"
    assert status(server, E3)[0] == "UNKNOWN"


def test_a_full_load_of_one_party_says_nothing_of_another(server: Serving) -> None:
    taken(push(server, "fullLoad", record(SWEDISH, "Available"), operator_id="SE*BET", key="beta"))
    taken(push(server, "fullLoad", record(DANISH, "Occupied"), operator_id="DK*BET", key="beta"))
    assert status(server, SWEDISH)[0] == "AVAILABLE"
    taken(push(server, "fullLoad", operator_id="DK*BET", key="beta"))
    assert status(server, SWEDISH)[0] == "AVAILABLE"
    assert status(server, DANISH)[0] == "UNKNOWN"


def test_of_messages_sent_together_the_one_that_came_last_holds(server: Serving) -> None:
    words = ("Available", "Occupied")

    def send(number: int) -> int:
        answer = push(server, "update", record(E1, words[number % 2]))
        taken(answer)
        return int(answer.json()["StatusCode"]["AdditionalInfo"].partition(" ")[0])

    with ThreadPoolExecutor(8) as pool:
        changes = sum(pool.map(send, range(40)))
    assert seq(server.get(f"/api/v2/evses/{E1}")) >= changes
    for word, wanted in (("Occupied", "CHARGING"), ("Available", "AVAILABLE"), ("Occupied", "CHARGING")):
        taken(push(server, "update", record(E1, word)))
        assert status(server, E1) == (wanted, word)


def test_a_bad_record_costs_no_other_and_is_named(server: Serving) -> None:
    answer = push(
        server, "update", record(E1, "Broken"), record(SWEDISH, "Available"), 17, record(E3, "Available")
    )
    taken(answer)
    told = answer.json()["StatusCode"]["AdditionalInfo"]
    assert re.match(r"[01] changed, [01] unchanged, 2 refused; 018 record 1.*; 022 record 2", told)
    assert status(server, E3)[0] == "AVAILABLE"


@pytest.mark.parametrize(
    ("evse", "expected"), [(SWEDISH, "018"), ("NO*ALF*E9", "603"), ("FI*GAM*E21*1", "018")]
)
def test_where_nothing_is_taken_the_code_says_why(shared_server: Serving, evse: str, expected: str) -> None:
    answer = push(shared_server, "update", record(evse, "Available"))
    assert (answer.status_code, answer.json()["Result"], code(answer)) == (200, False, expected)


def test_nobody_speaks_as_another_operator(shared_server: Serving) -> None:
    answer = push(shared_server, "fullLoad", operator_id="SE*BET")
    assert (answer.status_code, code(answer)) == (403, "017")


def test_an_operator_shows_its_key_as_it_can(shared_server: Serving) -> None:
    key = shared_server.keys["alfa"]
    basic = base64.b64encode(f"alfa:{key}".encode()).decode()
    for headers in ({"X-Api-Key": key}, {"Authorization": f"Basic {basic}"}):
        taken(push(shared_server, "update", record(E1, "Available"), key=None, headers=headers))
    for headers in ({}, {"X-Api-Key": "wrong"}, {"Authorization": "Basic wrong"}):
        answer = push(shared_server, "update", record(E1, "Available"), key=None, headers=headers)
        assert (answer.status_code, code(answer)) == (401, "017")


def test_a_header_of_a_certificate_says_nothing_unless_it_was_set(shared_server: Serving) -> None:
    answer = push(shared_server, "update", key=None, headers={"X-Client-Subject": SUBJECT})
    assert answer.status_code == 401


def test_where_it_was_set_a_certificate_is_its_operators(tmp_path: Path) -> None:
    settings = {
        "reports.certificate_header": "X-Client-Subject",
        "reports.certificate_proxies": ["127.0.0.1"],
        "reports.certificates": (f"alfa={SUBJECT}",),
    }
    with Serving(tmp_path, settings) as server:
        shown = {"X-Client-Subject": SUBJECT}
        taken(push(server, "update", record(E1, "Available"), key=None, headers=shown))
        answer = push(server, "update", record(SWEDISH, "Available"), key=None, headers=shown)
        assert code(answer) == "018"
        for headers in ({}, {"X-Client-Subject": "CN=somebody"}):
            assert push(server, "update", key=None, headers=headers).status_code == 401
        taken(push(server, "update", record(E1, "Available")))


def test_a_packed_message_is_unpacked(shared_server: Serving) -> None:
    body = {"ActionType": "update", "OperatorEvseStatus": {"EvseStatusRecord": record(E1, "Available")}}
    taken(
        shared_server.post(
            gzip.compress(json.dumps(body).encode()),
            headers={"Content-Encoding": "gzip"},
            path="/api/oicp/evsepush/v21/operators/NO%2AALF/status-records",
        )
    )


@pytest.mark.parametrize(
    ("body", "status_code"),
    [(b"", 400), (b"{", 400), (b"\x1f\x8b", 400), (b"[" * 100_000, 400), (bytes(9 * 1024 * 1024), 413)],
)
def test_what_cannot_be_read_changes_nothing(shared_server: Serving, body: bytes, status_code: int) -> None:
    before = shared_server.settled()[1]
    path = "/api/oicp/evsepush/v21/operators/NO*ALF/status-records"
    answer = shared_server.post(body, path=path)
    assert (answer.status_code, answer.json()["Result"], code(answer)) == (status_code, False, "022")
    assert shared_server.settled()[1] == before
    taken(push(shared_server, "update", record(E1, "Available")))


def test_every_answer_is_one_by_the_specifications_schema(
    shared_server: Serving, shared_file: SharedFile
) -> None:
    document: dict[str, Any] = json.loads(shared_file("reference/oicp/evse-api-docs-2.2.json").read_text())
    schema = {"$ref": "#/definitions/ERoamingAcknowledgement", "definitions": document["definitions"]}
    answers = (
        push(shared_server, "fullLoad", record(E1, "Available")),
        push(shared_server, "update", *[record(f"NO*ALF*E9{number}", "Available") for number in range(99)]),
        push(shared_server, "replace"),
        push(shared_server, "update", operator_id="SE*BET"),
        push(shared_server, "update", key=None),
        push(shared_server, "update", key="stream"),
        shared_server.post({}, path="/api/oicp/evsepull/v21/providers/NO-ALF/status-records"),
        shared_server.get("/api/oicp/evsepush/v21/operators/NO*ALF/status-records"),
    )
    for answer in answers:
        assert list(Draft4Validator(schema).iter_errors(answer.json())) == []


def test_a_service_that_is_asked_brings_the_statuses_of_its_operators(server: Serving) -> None:
    told = {"OperatorEvseStatus": [{"OperatorID": "NO*ALF", "EvseStatusRecord": [record(E1, "Occupied")]}]}
    with Answering() as hub:
        hub.say(json={"EvseStatuses": told, "StatusCode": {"Code": "000"}})
        source = SourceRecord(
            name="hub",
            operator="alfa",
            protocol="oicp",
            address=hub.url,
            options={"provider_id": "NO-LAD", "operator_ids": "NO*ALF"},
            secret="token",
            poll_s=60,
            added_at=now(),
            changed_at=now(),
        )
        server.write(lambda store: store.put_source(source))
        until(lambda: status(server, E1)[0] == "CHARGING", "what was asked for is known")
    asked = hub.requests[0]
    assert (asked.method, asked.headers["authorization"]) == ("POST", "Bearer token")
    assert asked.path == "/api/oicp/evsepull/v21/providers/NO-LAD/status-records-by-operator-id"
    assert json.loads(asked.body) == {"ProviderID": "NO-LAD", "OperatorID": ["NO*ALF"]}
