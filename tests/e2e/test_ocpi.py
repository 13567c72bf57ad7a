"""OCPI over real sockets: registration in both directions, Locations pushed and asked for, both streams."""

from __future__ import annotations

import base64
import io
import json
import os
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import httpx2
import pytest
from tests.e2e.peers.ocpi_sender import OcpiSender, envelope
from tests.e2e.serving import STATIONS, Serving, evse, station
from tests.e2e.wire import Wire
from tests.patience import DEADLINE_S, until

from ladestrom import cli
from ladestrom.backends.sql import SqlStore
from ladestrom.core.access import operator_from
from ladestrom.ingest.ocpi_peers import new_token
from ladestrom.protocols.ocpi import VERSIONS

PARTIES = ("BE*BEC", "SE*EVC", "NL*ALF", "NL*ALL", "DE*ALL")
"""Those of the specification's examples."""
LATER, LATEST = "2026-11-02T08:00:00Z", "2026-11-03T08:00:00Z"
SETTINGS = {"ocpi.peers": "any", "ocpi.reconcile_s": 0}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Serving]:
    with Serving(tmp_path, SETTINGS) as serving:
        serving.write(put_operators)
        serving.in_step()
        yield serving


@pytest.fixture(scope="module")
def common(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server for tests that mind neither peers nor statuses of others."""
    with Serving(tmp_path_factory.mktemp("common"), SETTINGS) as serving:
        serving.write(put_operators)
        serving.in_step()
        yield serving


async def put_operators(store: SqlStore) -> None:
    await store.put_operator(operator_from("cpo", parties=PARTIES, may_register=True), 1)
    await store.put_operator(operator_from("plain", parties=["NO*ALF"]), 1)


def shown(token: str, version: str = "2.2.1") -> dict[str, str]:
    coded = token if version == "2.1.1" else base64.b64encode(token.encode()).decode()
    return {"Authorization": f"Token {coded}"}


class Run(NamedTuple):
    """What a command did."""

    returncode: int
    stdout: str
    stderr: str


def ladestrom(server: Serving, *arguments: str) -> Run:
    """The command line, on the data of a server that runs."""
    environ = {"LADESTROM_OCPI__PEERS": "any", "LADESTROM_SERVER__PORT": str(server.port)}
    out, err = io.StringIO(), io.StringIO()
    with mock.patch.dict(os.environ, environ), redirect_stdout(out), redirect_stderr(err):
        returncode = cli.main([*arguments, "--data", str(server.data)])
    return Run(returncode, out.getvalue(), err.getvalue())


def invited(server: Serving, operator: str = "cpo") -> str:
    """A token with which a peer may register."""
    made = ladestrom(server, "ocpi", "invite", "--operator", operator)
    assert made.returncode == 0, made.stderr
    url, token = made.stdout.split()
    assert url == f"{server.url}/ocpi/versions"
    return token


def fixed(server: Serving, operator: str = "cpo") -> str:
    """A permanent token."""
    token = new_token()
    made = ladestrom(server, "ocpi", "fix", "--operator", operator, "--token", token)
    assert made.returncode == 0, made.stderr
    return token


def credentials(peer: OcpiSender, token: str = "their-token-0001") -> dict[str, Any]:
    party = {"party_id": "BEC", "country_code": "BE", "business_details": {"name": "Peer"}}
    said = {"token": token, "url": peer.versions_url}
    return said | (party if peer.version == "2.1.1" else {"roles": [{"role": "CPO", **party}]})


def call(
    server: Serving, method: str, path: str, token: str, body: object = None, version: str = "2.2.1"
) -> httpx2.Response:
    content = None if body is None else json.dumps(body).encode()
    return server.request(method, f"/ocpi/{path}", headers=shown(token, version), content=content)


def code(answer: httpx2.Response) -> int:
    return int(answer.json()["status_code"])


# -- registration --------------------------------------------------------------------------------------------


def test_a_permanent_token_finds_the_locations_and_has_no_credentials(common: Serving) -> None:
    token = fixed(common)
    details = call(common, "GET", "2.2.1", token).json()["data"]["endpoints"]
    assert [(each["identifier"], each["role"]) for each in details] == [
        ("locations", "RECEIVER"),
        ("locations", "SENDER"),
    ]
    for method in ("GET", "POST", "PUT", "DELETE"):
        answer = call(common, method, "2.2.1/credentials", token)
        assert answer.status_code == 405
        assert "permanent" in answer.json()["status_message"], method


@pytest.mark.parametrize("version", VERSIONS)
def test_a_peer_registers_changes_its_credentials_and_leaves(common: Serving, version: str) -> None:
    invitation = invited(common)
    path = f"{version}/credentials"
    with OcpiSender(version) as peer:
        before = call(common, "PUT", path, invitation, credentials(peer), version)
        assert (before.status_code, before.headers["allow"]) == (405, "GET, HEAD, POST")
        assert call(common, "DELETE", path, invitation, version=version).status_code == 405

        answer = call(common, "POST", path, invitation, credentials(peer), version)
        assert (answer.status_code, code(answer)) == (200, 1000)
        assert [asked for asked, _ in peer.asked] == ["GET", "GET"]
        assert peer.headers["authorization"] in shown("their-token-0001", version).values()
        assert peer.headers["x-request-id"]
        assert peer.headers["x-correlation-id"]
        ours = answer.json()["data"]
        assert ours["url"] == f"{common.url}/ocpi/versions"
        assert ours["party_id"] if version == "2.1.1" else ours["roles"][0]["role"] == "NAP"

        token = ours["token"]
        assert call(common, "GET", path, invitation, version=version).status_code == 401
        assert call(common, "GET", path, token, version=version).json()["data"]["token"] == token
        assert call(common, "POST", path, token, credentials(peer), version).status_code == 405

        renewed = call(common, "PUT", path, token, credentials(peer, "their-token-0002"), version)
        assert code(renewed) == 1000
        assert call(common, "GET", "versions", token, version=version).status_code == 401
        newest = renewed.json()["data"]["token"]

        assert code(call(common, "DELETE", path, newest, version=version)) == 1000
        assert call(common, "GET", "versions", newest, version=version).status_code == 401


def test_a_peer_that_cannot_be_used_is_told_why_and_may_try_again(common: Serving) -> None:
    invitation = invited(common)
    with OcpiSender("2.2.1") as peer:
        wrong = call(common, "POST", "2.3.0/credentials", invitation, credentials(peer))
        assert (wrong.status_code, code(wrong)) == (200, 3002)
        peer.modules = ["credentials"]
        assert code(call(common, "POST", "2.2.1/credentials", invitation, credentials(peer))) == 3003
        peer.failing = {"/ocpi/versions": 500}
        assert code(call(common, "POST", "2.2.1/credentials", invitation, credentials(peer))) == 3001
        gone = {**credentials(peer), "url": "http://127.0.0.1:9/ocpi/versions"}
        assert code(call(common, "POST", "2.2.1/credentials", invitation, gone)) == 3001
        peer.modules, peer.failing = ["credentials", "locations"], {}
        assert code(call(common, "POST", "2.2.1/credentials", invitation, credentials(peer))) == 1000


def test_an_invitation_is_for_the_registration_only(common: Serving) -> None:
    invitation = invited(common)
    assert call(common, "GET", "versions", invitation).status_code == 200
    assert call(common, "GET", "2.2.1", invitation).status_code == 200
    assert call(common, "PUT", "2.2.1/locations/BE/BEC/LOC1", invitation, {}).status_code == 401


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Token nobody"}, {"Authorization": "Bearer x"}])
def test_who_shows_no_token_of_ours_is_told_401(common: Serving, headers: dict[str, str]) -> None:
    answer = common.request("GET", "/ocpi/versions", headers=headers)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Token")
    assert code(answer) == 2000


def test_a_peer_on_a_private_address_is_not_called_unless_a_setting_allows_it(tmp_path: Path) -> None:
    with Serving(tmp_path, {"ocpi.reconcile_s": 0}) as server, OcpiSender() as peer:
        server.write(put_operators)
        server.in_step()
        invitation = invited(server)
        assert code(call(server, "POST", "2.2.1/credentials", invitation, credentials(peer))) == 3001
        secret = {**credentials(peer), "url": f"https://localhost:{server.port}/ocpi/versions"}
        assert code(call(server, "POST", "2.2.1/credentials", invitation, secret)) == 3001
        assert peer.asked == []


@pytest.mark.parametrize("version", VERSIONS)
def test_we_register_with_a_peer_that_invited_us_and_part_from_it(server: Serving, version: str) -> None:
    with OcpiSender(version) as peer:
        called_back: list[int] = []

        def answer(said: dict[str, Any]) -> dict[str, Any]:
            found = httpx2.get(said["url"], headers=shown(said["token"], version), timeout=DEADLINE_S)
            called_back.append(found.status_code)
            return envelope(credentials(peer, "their-token-0003"))

        peer.on_credentials = answer
        made = ladestrom(
            server,
            "ocpi",
            "register",
            "--operator",
            "cpo",
            "--url",
            peer.versions_url,
            "--token",
            "invitation-01",
        )
        assert made.returncode == 0, made.stderr
        assert called_back == [200]
        assert peer.posted["url"] == f"{server.url}/ocpi/versions"
        (listed,) = json.loads(ladestrom(server, "ocpi", "peers", "--json").stdout)
        assert (listed["state"], listed["version"], listed["roles"][0][1]) == ("registered", version, "BEBEC")
        assert "token" not in str(listed)
        token = peer.posted["token"]
        server.in_step()
        assert call(server, "GET", "versions", token, version=version).status_code == 200

        renewed = ladestrom(server, "ocpi", "renew", listed["id"])
        assert renewed.returncode == 0, renewed.stderr
        assert peer.asked[-1][0] == "PUT"
        server.in_step()
        assert call(server, "GET", "versions", token, version=version).status_code == 401

        (listed,) = json.loads(ladestrom(server, "ocpi", "peers", "--json").stdout)
        assert ladestrom(server, "ocpi", "unregister", listed["id"]).returncode == 0
        assert peer.asked[-1][0] == "DELETE"
        server.in_step()
        assert call(server, "GET", "versions", peer.posted["token"], version=version).status_code == 401


def test_a_registration_that_fails_leaves_no_token_behind(server: Serving) -> None:
    with OcpiSender() as peer:
        peer.on_credentials = lambda _: envelope(None, 3001, "no")
        made = ladestrom(
            server,
            "ocpi",
            "register",
            "--operator",
            "cpo",
            "--url",
            peer.versions_url,
            "--token",
            "invitation-01",
        )
        assert made.returncode == 2
        assert json.loads(ladestrom(server, "ocpi", "peers", "--json").stdout) == []


def test_a_peer_with_a_fixed_token_has_no_credentials_to_exchange(common: Serving) -> None:
    token = fixed(common)
    details = call(common, "GET", "2.2.1", token).json()["data"]
    assert [each["identifier"] for each in details["endpoints"]] == ["locations", "locations"]
    assert call(common, "GET", "2.2.1/credentials", token).status_code == 405
    assert call(common, "POST", "2.2.1/credentials", token, {}).status_code == 405


# -- Locations -----------------------------------------------------------------------------------------------


def status_of(server: Serving, evse: str) -> str:
    """What the REST interface says of an EVSE; empty where it has none."""
    answer = server.get(f"/api/v2/evses/{evse}")
    return "" if answer.status_code == 404 else str(answer.json()["status"])


def examples(shared_file: Any) -> list[tuple[str, dict[str, Any]]]:
    """Version and Location of each example of the specification that is to be published."""
    found = []
    for version in ("2.2.1", "2.3.0"):
        folder = shared_file(f"reference/ocpi/{version}")
        found += [
            (version, json.loads(path.read_bytes())) for path in sorted(folder.glob("location_example*.json"))
        ]
    flat = json.loads(shared_file("reference/ocpi/2.1.1/block05.json").read_bytes())
    return [*found, ("2.1.1", flat)]


def test_the_specifications_locations_are_stored_registered_listed_and_told(
    server: Serving, shared_file: Any
) -> None:
    token = fixed(server)
    for version, location in examples(shared_file):
        country, party = location.get("country_code", "BE"), location.get("party_id", "BEC")
        path = f"{version}/locations/{country}/{party}/{location['id']}"
        answer = call(server, "PUT", path, token, location, version)
        assert code(answer) == 1000, answer.text
        assert answer.json()["status_message"] == "Success", answer.text
        stored = call(server, "GET", path, token, version=version).json()["data"]
        assert stored == {**location, "country_code": country, "party_id": party}
    server.settled()
    assert status_of(server, "BE*BEC*E041503001") == "AVAILABLE"
    assert status_of(server, "BE*BEC*E041503002") == "RESERVED"
    assert status_of(server, "SE*EVC*E000000123") == "AVAILABLE"
    assert status_of(server, "NL*ALL*EGO0000013") == "", "it is not to be published"
    assert status_of(server, "DE*ALL*EGO0000001") == ""


def test_the_specifications_patches_are_merged_and_seen_on_version_1_of_the_stream(
    server: Serving, shared_file: Any
) -> None:
    token = fixed(server)
    base = "2.2.1/locations/BE/BEC/LOC1"
    folder = shared_file("reference/ocpi/2.2.1")

    def example(name: str) -> Any:
        return json.loads((folder / f"location_{name}.json").read_bytes())

    assert code(call(server, "PUT", base, token, example("example"))) == 1000
    server.settled()
    with server.stream() as wire:
        snapshot = wire.message()
        assert code(call(server, "PATCH", f"{base}/3256", token, example("patch_example_status"))) == 1000
        while "status:update" not in str(update := wire.message()):
            pass
    (station,) = [each for each in snapshot["data"] if each["uuid"].startswith("BEL_")]
    assert update["data"]["uuid"] == station["uuid"]
    assert [connector["status"] for connector in update["data"]["connectors"]] == [1, 1, 1]
    assert status_of(server, "3256") == "CHARGING"
    assert code(call(server, "PATCH", base, token, example("patch_example_location"))) == 1000
    assert code(call(server, "PATCH", f"{base}/3256/2", token, example("patch_example_tariff"))) == 1000
    location = call(server, "GET", base, token).json()["data"]
    assert location["name"] == "Interparking Gent Zuid"
    assert location["evses"][0]["connectors"][1]["tariff_ids"] == ["15"]
    assert location["last_updated"] == "2019-06-24T12:39:09Z"
    until(
        lambda: server.get(f"/api/v2/stations/{station['uuid']}").json()["name"] == "Interparking Gent Zuid",
        "the station has its new name",
    )
    assert code(call(server, "PATCH", f"{base}/3256", token, example("patch_example_remove_evse"))) == 1000
    until(lambda: status_of(server, "BE*BEC*E041503001") in {"", "REMOVED"}, "the EVSE is gone")
    assert call(server, "GET", f"{base}/3256", token).json()["data"]["status"] == "REMOVED"


def test_what_a_peer_changes_of_locations_evses_and_connectors_changes_the_stations_record(
    common: Serving,
) -> None:
    token, base = fixed(common), "2.2.1/locations/BE/BEC/L700"
    hours = [{"weekday": 1, "period_begin": "07:00", "period_end": "18:00"}]
    whole = {
        **sent_location(700),
        "opening_times": {"twentyfourseven": False, "regular_hours": hours},
        "parking_type": "ON_STREET",
    }

    def told(method: str, path: str, body: dict[str, Any]) -> None:
        answer = call(common, method, path, token, {**body, "last_updated": LATER})
        assert code(answer) == 1000, answer.text

    def record() -> dict[str, Any]:
        found: dict[str, Any] = common.get(f"/api/v2/stations/{uuid}").json()
        return found

    told("PUT", base, whole)
    common.settled()
    uuid = common.get("/api/v2/evses/BE*BEC*E700").json()["station"]
    assert record()["place"] == "street"
    assert record()["opening"] == {"hours": [{"weekday": 1, "begin": "07:00", "end": "18:00"}]}
    told("PATCH", base, {"opening_times": {"twentyfourseven": True, "regular_hours": None}})
    until(lambda: record()["opening"] == {"always": True}, "the station is open always")
    told("PATCH", base, {"parking_type": None})
    until(lambda: "place" not in record(), "where it stands is not known any more")
    told("PATCH", f"{base}/u700", {"capabilities": ["RESERVABLE"], "physical_reference": "7"})
    until(lambda: record()["evses"][0].get("label") == "7", "the EVSE has its label")
    assert record()["reservable"] is True
    assert record()["evses"][0]["capabilities"] == ["RESERVABLE"]
    connector = {"standard": "IEC_62196_T2", "format": "SOCKET", "power_type": "AC_3_PHASE"}
    told("PUT", f"{base}/u700/1", {"id": "1", **connector, "max_voltage": 230, "max_amperage": 16})
    until(lambda: record()["evses"][0].get("max_kw") == 11.04, "the EVSE has its power")
    assert record()["evses"][0]["connectors"] == [
        {**connector, "max_v": 230.0, "max_a": 16.0, "max_kw": 11.04, "derived": ["max_kw"]}
    ]
    told("PUT", f"{base}/u700", {**sent_location(700)["evses"][0], "floor_level": "2"})
    until(lambda: record()["evses"][0].get("floor") == "2", "the EVSE is another one")
    assert "label" not in record()["evses"][0]
    assert "reservable" not in record()


def test_version_2_of_the_stream_tells_what_was_pushed(server: Serving, shared_file: Any) -> None:
    token = fixed(server)
    location = json.loads(shared_file("reference/ocpi/2.3.0/location_example.json").read_bytes())
    base = "2.3.0/locations/BE/BEC/LOC1"
    assert code(call(server, "PUT", base, token, location)) == 1000
    server.settled()
    listed = server.get("/api/v2/stations?country=BEL").json()
    assert "BE*BEC*E041503001" in json.dumps(listed)
    with Wire(server.port) as wire:
        wire.open("/api/v2/stream?country=BEL&batch_ms=0", server.bearer("stream"))
        while (message := json.loads(wire.text()))["type"] != "snapshot":
            assert message["type"] == "hello"
        assert {row["evse"]: row["status"] for row in message["evses"]} == {
            "BE*BEC*E041503001": "AVAILABLE",
            "BE*BEC*E041503002": "RESERVED",
        }
        patch = {"status": "CHARGING", "last_updated": "2026-11-01T00:00:00Z"}
        assert code(call(server, "PATCH", f"{base}/3256", token, patch)) == 1000
        while (message := json.loads(wire.text()))["type"] != "changes":
            pass
    (change,) = message["changes"]
    assert (change["evse"], change["status"], change["was"]["status"]) == (
        "BE*BEC*E041503001",
        "CHARGING",
        "AVAILABLE",
    )


def test_a_location_that_is_published_no_more_leaves_what_is_shown(server: Serving, shared_file: Any) -> None:
    token = fixed(server)
    location = json.loads(
        shared_file("reference/ocpi/2.2.1/location_example_uc2_destination_charger.json").read_bytes()
    )
    path = f"2.2.1/locations/NL/ALF/{location['id']}"
    assert code(call(server, "PUT", path, token, location)) == 1000
    server.settled()
    assert status_of(server, "NL*ALF*E000000001") == "AVAILABLE"
    hidden = {"publish": False, "last_updated": "2026-11-01T00:00:00Z"}
    assert code(call(server, "PATCH", path, token, hidden)) == 1000
    until(lambda: status_of(server, "NL*ALF*E000000001") in {"", "REMOVED"}, "it is not shown")


def test_statuses_of_evses_that_another_register_has_are_taken_without_registering(common: Serving) -> None:
    token = fixed(common, "plain")
    body = {
        "id": "LOC1",
        "evses": [
            {
                "uid": "1",
                "evse_id": "NO*ALF*E1333*1",
                "status": "CHARGING",
                "last_updated": "2026-11-01T08:00:00Z",
            },
            {
                "uid": "2",
                "evse_id": "SE*BET*E7*1",
                "status": "CHARGING",
                "last_updated": "2026-11-01T08:00:00Z",
            },
            {
                "uid": "3",
                "evse_id": "NO*ALF*E9999",
                "status": "CHARGING",
                "last_updated": "2026-11-01T08:00:00Z",
            },
        ],
        "last_updated": "2026-11-01T08:00:00Z",
    }
    answer = call(common, "PUT", "2.2.1/locations/NO/ALF/LOC1", token, body)
    assert (answer.status_code, code(answer)) == (201, 1000)
    assert "statuses refused: 2" in answer.json()["status_message"]
    common.settled()
    assert status_of(common, "NO*ALF*E1333*1") == "CHARGING"
    assert status_of(common, "SE*BET*E7*1") == "UNKNOWN"


def test_a_party_that_is_not_the_peers_is_not_found(common: Serving) -> None:
    answer = call(common, "PUT", "2.2.1/locations/NO/XYZ/LOC1", fixed(common), {"id": "LOC1"})
    assert (answer.status_code, code(answer)) == (404, 2003)


def test_what_was_put_is_there_after_a_restart(server: Serving) -> None:
    token = fixed(server, "plain")
    body = {"id": "LOC1", "name": "Havnen", "last_updated": "2026-11-01T08:00:00Z"}
    assert code(call(server, "PUT", "2.2.1/locations/NO/ALF/LOC1", token, body)) == 1000
    server.stop()
    server.start()
    stored = call(server, "GET", "2.2.1/locations/NO/ALF/loc1", token).json()["data"]
    assert stored == {**body, "country_code": "NO", "party_id": "ALF"}


def test_what_a_peer_told_that_was_removed_while_we_were_down_is_unknown_when_we_start(
    server: Serving,
) -> None:
    token = fixed(server, "plain")
    told = {"evse_id": "NO*ALF*E1333*1", "status": "CHARGING", "last_updated": "2026-11-01T08:00:00Z"}
    body = {"id": "LOC1", "evses": [{"uid": "1", **told}], "last_updated": "2026-11-01T08:00:00Z"}
    assert code(call(server, "PUT", "2.2.1/locations/NO/ALF/LOC1", token, body)) == 1000
    assert status_of(server, "NO*ALF*E1333*1") == "CHARGING"
    server.stop()
    (peer,) = server.write(lambda store: store.peers.every())
    server.start()
    assert status_of(server, "NO*ALF*E1333*1") == "CHARGING"
    server.stop()
    server.write(lambda store: store.peers.drop(peer.id))
    server.start()
    assert status_of(server, "NO*ALF*E1333*1") == "UNKNOWN"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "versions", 405),
        ("DELETE", "2.2.1/locations/NO/ALF/LOC1", 405),
        ("GET", "2.0/locations", 404),
        ("GET", "2.2.1/tariffs", 404),
        ("GET", "2.2.1/locations/NO", 403),
        ("GET", "2.2.1/sender", 404),
        ("PUT", "2.2.1/sender/locations/LOC1", 405),
        ("GET", "2.2.1/locations/NO/ALF/NOWHERE", 404),
    ],
)
def test_what_is_not_here_is_told_in_an_envelope(
    common: Serving, method: str, path: str, status: int
) -> None:
    answer = call(common, method, path, fixed(common, "plain"))
    assert answer.status_code == status
    assert code(answer) // 1000 == 2


def test_hostile_bodies_cost_nobody_anything(common: Serving) -> None:
    token = fixed(common, "plain")
    url = f"{common.url}/ocpi/2.2.1/locations/NO/ALF/LOC1"
    for content, status in ((b"{", 400), (b'{"a":' + b"[" * 100_000, 400), (b"x" * (2 * 1024 * 1024), 413)):
        answer = httpx2.put(url, headers=shown(token), content=content, timeout=DEADLINE_S)
        assert answer.status_code == status
    assert call(common, "GET", "versions", token).status_code == 200


# -- asked for -----------------------------------------------------------------------------------------------


def sent_location(number: int, party: str = "BEC") -> dict[str, Any]:
    updated = "2026-11-01T08:00:00Z"
    evse = {
        "uid": f"u{number}",
        "evse_id": f"BE*{party}*E{number}",
        "status": "CHARGING",
        "connectors": [{"id": "1", "standard": "CHADEMO"}],
        "last_updated": updated,
    }
    return {
        "country_code": "BE",
        "party_id": party,
        "id": f"L{number}",
        "publish": True,
        "name": f"Plass {number}",
        "country": "BEL",
        "coordinates": {"latitude": "51.0", "longitude": "3.7"},
        "evses": [evse],
        "last_updated": updated,
    }


@pytest.mark.parametrize("old_is_first", [False, True], ids=["new first", "old first"])
@pytest.mark.parametrize("leaves", ["REMOVED", "REMOVED by PATCH", "left out"])
def test_an_evse_that_moves_is_at_its_new_location_whichever_is_put_first(
    server: Serving, leaves: str, old_is_first: bool
) -> None:
    token = fixed(server)
    other, moving = sent_location(1)["evses"][0], sent_location(2)["evses"][0]
    first = {**sent_location(1), "evses": [other, moving]}
    second = {**sent_location(2), "evses": [{**moving, "status": "AVAILABLE", "last_updated": LATER}]}
    gone = {"status": "REMOVED", "last_updated": LATEST}
    rest = [other] if leaves == "left out" else [other, {**moving, **gone}]

    def put(location: dict[str, Any]) -> None:
        answer = call(server, "PUT", f"2.2.1/locations/BE/BEC/{location['id']}", token, location)
        assert code(answer) == 1000, answer.text

    def leave() -> None:
        if leaves == "REMOVED by PATCH":
            assert code(call(server, "PATCH", "2.2.1/locations/BE/BEC/L1/u2", token, gone)) == 1000
        else:
            put({**first, "evses": rest, "last_updated": LATEST})

    put(first)
    until(lambda: status_of(server, "BE*BEC*E2") == "CHARGING", "it is at the old Location")
    for step in (leave, lambda: put(second)) if old_is_first else (lambda: put(second), leave):
        step()
    until(lambda: status_of(server, "BE*BEC*E2") == "AVAILABLE", "it is at the new Location")
    word = {"status": "OUTOFORDER", "last_updated": LATEST}
    assert code(call(server, "PATCH", "2.2.1/locations/BE/BEC/L2/u2", token, word)) == 1000
    until(lambda: status_of(server, "BE*BEC*E2") == "OUTOFORDER", "what the new Location says counts")
    assert status_of(server, "BE*BEC*E1") == "CHARGING"


ONE, OTHER = "NO*ALF*E1333*1", "NO*ALF*E1333*2"
"""EVSEs of a public register, on which the operator `plain` may report; it registers no stations."""
SAME_UID = ("NO*ALF*E4000", "NO*ALF*E4001")
COUNTED, NOT_THERE = "NO*ALF*E4002", "NO*ALF*E4999"
"""The only EVSE of the register with the uid `2`; and one that the register does not have."""
FIRST = "2026-11-01T08:00:00Z"
WAYS = [
    pytest.param(
        moves, leaves, old_is_first, id=f"{moves}, {leaves}, {'old' if old_is_first else 'new'} first"
    )
    for moves in ("moved", "another uid", "moved with another uid", "another uid by PUT")
    for leaves in ("REMOVED", "REMOVED by PATCH", "left out")
    for old_is_first in (False, True)
]


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server whose registry has an EVSE for each of `WAYS`."""
    evses = [evse(f"NO*ALF*E{2000 + number}", party="NOALF") for number in range(2 * len(WAYS))]
    evses += [evse(each, party="NOALF", uid="1") for each in SAME_UID]
    evses += [evse(COUNTED, party="NOALF", uid="2")]
    stations = [*STATIONS, station("NOR_02000", "NOR", (10.75, 59.91), evses)]
    with Serving(tmp_path_factory.mktemp("wide"), SETTINGS, stations=stations) as serving:
        serving.write(put_operators)
        serving.in_step()
        yield serving


def record(uid: str, status: str = "CHARGING", at: str = FIRST, evse_id: str = ONE) -> dict[str, Any]:
    return {"uid": uid, "evse_id": evse_id, "status": status, "last_updated": at}


def listing(name: str, *evses: dict[str, Any], at: str = FIRST) -> dict[str, Any]:
    party = {"country_code": "NO", "party_id": "ALF"}
    return {**party, "id": name, "publish": True, "evses": list(evses), "last_updated": at}


class Pushing:
    """A peer whose Locations carry statuses of a public register's EVSEs."""

    def __init__(self, server: Serving) -> None:
        self.server = server
        self.token = fixed(server, "plain")

    def __call__(self, method: str, path: str, body: object, version: str = "2.2.1") -> str:
        """What is answered, which has to be success."""
        answer = call(self.server, method, f"{version}/locations/NO/ALF/{path}", self.token, body, version)
        assert code(answer) == 1000, answer.text
        return str(answer.json()["status_message"])


@pytest.mark.parametrize(("moves", "leaves", "old_is_first"), WAYS)
def test_an_evse_of_a_public_register_has_the_status_of_its_new_record(
    wide: Serving, moves: str, leaves: str, old_is_first: bool, request: pytest.FixtureRequest
) -> None:
    number = 2 * [str(way.id) for way in WAYS].index(request.node.callspec.id)
    own, other = f"NO*ALF*E{2000 + number}", f"NO*ALF*E{2001 + number}"
    old_place = new_place = f"L{number}"
    if moves.startswith("moved"):
        new_place = f"L{number + 1}"
    push = Pushing(wide)
    old, new_uid = f"u{number}", f"u{number}" if moves == "moved" else f"new{number}"
    new = record(new_uid, "AVAILABLE", LATER, own)
    here = {old: record(old, evse_id=own), "other": record(f"u{number + 1}", evse_id=other)}

    def leave() -> None:
        gone = {"status": "REMOVED", "last_updated": LATEST}
        if leaves == "left out":
            del here[old]
        else:
            here[old] = {**here[old], **gone}
        if leaves == "REMOVED by PATCH":
            push("PATCH", f"{old_place}/{old}", gone)
        else:
            push("PUT", old_place, listing(old_place, *here.values(), at=LATEST))

    def come() -> None:
        here_too = here if new_place == old_place else {}
        here_too["new"] = new
        if moves == "another uid by PUT":
            push("PUT", f"{new_place}/{new_uid}", new)
        else:
            push("PUT", new_place, listing(new_place, *here_too.values(), at=LATEST))

    push("PUT", old_place, listing(old_place, *here.values()))
    assert status_of(wide, own) == "CHARGING"
    for step in (leave, come) if old_is_first else (come, leave):
        step()
    assert status_of(wide, own) == "AVAILABLE"
    word = {"status": "OUTOFORDER", "last_updated": "2026-11-04T08:00:00Z"}
    assert push("PATCH", f"{new_place}/{new_uid}", word) == "Success"
    assert status_of(wide, own) == "OUTOFORDER"
    assert status_of(wide, other) == "CHARGING"


def test_what_lists_an_evse_is_known_after_a_restart(server: Serving) -> None:
    push = Pushing(server)
    push("PUT", "L1", listing("L1", record("u1")))
    push("PUT", "L2", listing("L2", record("u2", "AVAILABLE", LATER)))
    server.stop()
    server.start()
    push("PUT", "L1", listing("L1", at=LATEST))
    assert status_of(server, ONE) == "AVAILABLE"


def test_a_uid_that_is_no_evses_own_takes_no_other_away(wide: Serving) -> None:
    push = Pushing(wide)
    for name, evse_id in zip(("X1", "X2"), SAME_UID, strict=True):
        push("PUT", name, listing(name, record("1", evse_id=evse_id)))
    push("PUT", "X1", listing("X1", at=LATER))
    assert [status_of(wide, each) for each in SAME_UID] == ["UNKNOWN", "CHARGING"]


STRANGERS = {
    "alone": [record("2", "AVAILABLE", LATER, NOT_THERE)],
    "of those that share an id": [
        record("2", "AVAILABLE", LATER, NOT_THERE),
        record("3", "AVAILABLE", LATEST, NOT_THERE),
    ],
    "removed, of those that share an id": [
        record("2", "REMOVED", LATEST, NOT_THERE),
        record("3", "AVAILABLE", LATER, NOT_THERE),
        record("4", "AVAILABLE", LATER, NOT_THERE),
    ],
}
"""Records of EVSEs that no register has, counted from 2 like those of another Location."""


@pytest.mark.parametrize("records", STRANGERS.values(), ids=STRANGERS)
def test_what_is_pushed_of_an_evse_that_nobody_knows_is_no_word_on_another_with_its_uid(
    wide: Serving, records: list[dict[str, Any]]
) -> None:
    push, strange = Pushing(wide), f"Y{records[-1]['uid']}"
    push("PUT", "Y1", listing("Y1", record("2", evse_id=COUNTED)))
    assert "statuses refused" in push("PUT", strange, listing(strange, *records, at=LATEST))
    word = {"status": "OUTOFORDER", "last_updated": "2026-11-04T08:00:00Z"}
    assert "statuses refused: 1" in push("PATCH", f"{strange}/2", word)
    assert status_of(wide, COUNTED) == "CHARGING"
    push("PUT", strange, listing(strange, at="2026-11-05T08:00:00Z"))
    assert status_of(wide, COUNTED) == "CHARGING", "nor is it taken away with it"


def test_a_uid_that_is_replaced_takes_no_other_evse_away_that_has_it_too(wide: Serving) -> None:
    push = Pushing(wide)
    push("PUT", "Y1", listing("Y1", record("2", evse_id=COUNTED)))
    push("PUT", "Y5", listing("Y5", record("2", evse_id=SAME_UID[0])))
    push("PUT", "Y5", listing("Y5", record("5", "AVAILABLE", LATER, SAME_UID[0]), at=LATER))
    assert [status_of(wide, each) for each in (COUNTED, SAME_UID[0])] == ["CHARGING", "AVAILABLE"]


@pytest.mark.parametrize("records", STRANGERS.values(), ids=STRANGERS)
def test_what_is_pulled_of_an_evse_that_nobody_knows_is_no_word_on_another_with_its_uid(
    tmp_path: Path, records: list[dict[str, Any]]
) -> None:
    stations = [station("NOR_03000", "NOR", (10.75, 59.91), [evse(COUNTED, party="NOALF", uid="2")])]
    with Serving(tmp_path, SETTINGS, stations=stations) as server, OcpiSender() as peer:
        server.write(put_operators)
        server.in_step()

        def rounds() -> None:
            asked = len(peer.asked)
            until(lambda: len(peer.asked) >= asked + 2, "it was asked again")

        known, strange = listing("Y1", record("2", evse_id=COUNTED)), listing("Y2", *records, at=LATEST)
        peer.locations = [known, strange]
        asked_of(server, peer, "plain", "whole_every_s=0")
        until(lambda: status_of(server, COUNTED) == "CHARGING", "it was asked")
        rounds()
        assert status_of(server, COUNTED) == "CHARGING"
        peer.locations = [strange]
        until(lambda: status_of(server, COUNTED) == "UNKNOWN", "the other does not stand for it either")


def asked_of(server: Serving, peer: OcpiSender, operator: str, *options: str) -> None:
    """Adds a source that asks the peer each second."""
    words = [word for option in options for word in ("--option", option)]
    made = ladestrom(
        server,
        *("sources", "add", f"of-{operator}", "--protocol", "ocpi", "--operator", operator),
        *("--address", peer.locations_url, "--poll", "1s", *words),
    )
    assert made.returncode == 0, made.stderr


@pytest.mark.parametrize("whole_every_s", ["0", "43200"], ids=["whole rounds", "updates"])
def test_an_evse_that_moves_over_several_rounds_has_the_status_of_its_new_record(
    tmp_path: Path, whole_every_s: str
) -> None:
    ids = [f"NO*ALF*E{number}" for number in range(3000, 3004)]
    stations = [station("NOR_03000", "NOR", (10.75, 59.91), [evse(each, party="NOALF") for each in ids])]
    with Serving(tmp_path, SETTINGS, stations=stations) as server, OcpiSender() as peer:
        server.write(put_operators)
        server.in_step()

        def rounds() -> None:
            asked = len(peer.asked)
            until(lambda: len(peer.asked) >= asked + 2, "it was asked again")

        def statuses() -> set[str]:
            return {status_of(server, each) for each in ids}

        def listed(*locations: dict[str, Any]) -> None:
            made = {each["id"]: each for each in (*peer.locations, *locations)}
            peer.locations = list(made.values())

        listed(*(listing(f"A{each[-1]}", record(f"u{each}", evse_id=each)) for each in ids))
        asked_of(server, peer, "plain", f"whole_every_s={whole_every_s}")
        until(lambda: statuses() == {"CHARGING"}, "it was asked")

        left = {
            each: listing(
                f"A{each[-1]}",
                *([record(f"u{each}", "REMOVED", LATEST, each)] if each in {ids[0], ids[2]} else []),
                at=LATEST,
            )
            for each in ids
        }
        come = {
            each: listing(f"B{each[-1]}", record(f"new{each}", "AVAILABLE", LATER, each), at=LATEST)
            for each in ids
        }
        listed(left[ids[0]], left[ids[1]], come[ids[2]], come[ids[3]])
        rounds()
        listed(come[ids[0]], come[ids[1]], left[ids[2]], left[ids[3]])
        until(lambda: statuses() == {"AVAILABLE"}, "the new records have them")
        rounds()
        assert statuses() == {"AVAILABLE"}


@pytest.mark.parametrize("version", VERSIONS)
def test_what_was_pulled_can_be_read_and_changed_as_what_was_put(server: Serving, version: str) -> None:
    push = Pushing(server)

    def get(path: str) -> Any:
        answer = call(server, "GET", f"{version}/locations/NO/ALF/{path}", push.token, version=version)
        return answer.json()["data"]

    def change(method: str, path: str, **members: object) -> None:
        assert push(method, f"L1{path}", {**members, "last_updated": LATER}, version) == "Success"

    with OcpiSender(version) as peer:
        location = listing("L1", {**record("u1"), "connectors": [{"id": "1", "standard": "CHADEMO"}]})
        named = location if version != "2.1.1" else {**location, "country_code": None, "party_id": None}
        peer.locations = [named]
        asked_of(server, peer, "plain")
        until(lambda: status_of(server, ONE) == "CHARGING", "it was asked")
        assert get("L1") == location
        assert get("l1/U1/1") == {"id": "1", "standard": "CHADEMO"}
        change("PATCH", "/u1", status="BLOCKED")
        change("PUT", "/u1/2", standard="CHADEMO")
        change("PATCH", "/u1/1", standard="IEC_62196_T2")
        assert status_of(server, ONE) == "BLOCKED"
        asked = len(peer.asked)
        until(lambda: len(peer.asked) >= asked + 2, "it was asked again")
        server.stop()
    server.start()
    point = get("L1/u1")
    assert (point["status"], [each["standard"] for each in point["connectors"]]) == (
        "BLOCKED",
        ["IEC_62196_T2", "CHADEMO"],
    )
    change("PATCH", "/u1", status="RESERVED")
    assert status_of(server, ONE) == "RESERVED"


@pytest.mark.parametrize("version", VERSIONS)
def test_a_peer_that_is_asked_is_told_who_asks_whom_where_its_version_has_that(
    tmp_path: Path, version: str
) -> None:
    with Serving(tmp_path, {**SETTINGS, "ocpi.reconcile_s": 86_400}) as server, OcpiSender(version) as peer:
        server.write(put_operators)
        server.in_step()
        peer.locations = [sent_location(1)]
        invitation = invited(server)
        path = f"{version}/credentials"
        assert code(call(server, "POST", path, invitation, credentials(peer), version)) == 1000
        until(lambda: peer.asked[-1][1].startswith("/ocpi/cpo/"), "its Locations were asked for")
        routed = {name: value for name, value in peer.headers.items() if name.startswith("ocpi-")}
        assert peer.headers["x-request-id"]
        assert peer.headers["x-correlation-id"]
    ends = {"from-country-code": "NO", "from-party-id": "LDS", "to-country-code": "BE", "to-party-id": "BEC"}
    assert routed == ({} if version == "2.1.1" else {f"ocpi-{name}": value for name, value in ends.items()})


def test_ids_and_parties_of_a_request_are_sent_back(common: Serving) -> None:
    given = {
        "X-Request-ID": "r-1",
        "X-Correlation-ID": "c-1",
        "OCPI-from-country-code": "NO",
        "OCPI-from-party-id": "ALF",
        "OCPI-to-country-code": "NO",
        "OCPI-to-party-id": "LDS",
    }
    token = fixed(common, "plain")
    for path in ("versions", "2.2.1", "2.2.1/locations/NO/ALF/NOWHERE", "2.2.1/nothing"):
        answer = common.request("GET", f"/ocpi/{path}", headers=shown(token) | given)
        assert (answer.headers["x-request-id"], answer.headers["x-correlation-id"]) == ("r-1", "c-1")
        routed = {name: value for name, value in answer.headers.items() if name.startswith("ocpi-")}
        assert bool(routed) == ("locations" in path)
    answer = common.request("GET", "/ocpi/2.2.1/locations/NO/ALF/NOWHERE", headers=shown(token) | given)
    assert (answer.headers["ocpi-to-party-id"], answer.headers["ocpi-from-party-id"]) == ("ALF", "LDS")
    denied = common.request("GET", "/ocpi/versions", headers=given)
    assert (denied.status_code, denied.headers["x-request-id"]) == (401, "r-1")


def test_a_registered_peer_is_asked_for_everything_that_it_has(tmp_path: Path) -> None:
    with Serving(tmp_path, {**SETTINGS, "ocpi.reconcile_s": 86_400}) as server, OcpiSender(page=2) as peer:
        server.write(put_operators)
        server.in_step()
        peer.locations = [sent_location(number) for number in range(5)]
        invitation = invited(server)
        assert code(call(server, "POST", "2.2.1/credentials", invitation, credentials(peer))) == 1000
        until(lambda: status_of(server, "BE*BEC*E4") == "CHARGING", "the last page was taken")
        assert peer.headers["authorization"] == shown("their-token-0001")["Authorization"]


def test_a_source_of_the_command_line_is_asked_with_a_fixed_token(
    server: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    with OcpiSender("2.1.1", token="fixed-token-00001") as peer:
        peer.locations = [sent_location(number) for number in range(3)]
        monkeypatch.setenv("THEIR_TOKEN", "fixed-token-00001")
        added = (
            "sources",
            "add",
            "nap",
            "--protocol",
            "ocpi",
            "--operator",
            "cpo",
            "--secret-env",
            "THEIR_TOKEN",
        )
        made = ladestrom(server, *added, "--address", peer.versions_url)
        assert made.returncode == 0, made.stderr
        until(lambda: status_of(server, "BE*BEC*E2") == "CHARGING", "it was asked")
