"""IRVE dynamique through a real server: as a file, and in the shape of the French national API."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest
from tests.e2e.answering import Answering
from tests.e2e.serving import Serving, now
from tests.patience import until
from tests.programs import run

from ladestrom.ports.sources import SourceRecord

E1 = "NOALFE13331"
E2 = "NOALFE13332"
E3 = "NOALFE1342"
SWEDISH = "SEBETE71"
HEADER = "id_pdc_itinerance,etat_pdc,occupation_pdc,horodatage"
AT = "2026-11-01T09:00:00+01:00"
LATER = "2026-11-01T09:00:01+01:00"
QCC: Final = os.environ.get("LADESTROM_TEST_QCC")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Serving]:
    with Serving(tmp_path) as running:
        yield running


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server for tests of what is refused."""
    with Serving(tmp_path_factory.mktemp("irve")) as running:
        yield running


def status(server: Serving, evse: str) -> str:
    server.settled()
    found: str = server.get(f"/api/v2/evses/{evse}").json()["status"]
    return found


# -- the file --------------------------------------------------------------------------------------------------


def send_file(server: Serving, *rows: str, query: str = "", key: str = "alfa") -> httpx2.Response:
    return server.post("\n".join([HEADER, *rows]).encode(), path=f"/push/irve{query}", key=key)


def test_a_file_is_taken_row_by_row(server: Serving) -> None:
    answer = send_file(
        server,
        f"{E1},en_service,occupe,{AT}",
        f"{SWEDISH},en_service,libre,{AT}",
        f"{E3},en_panne,libre,{AT}",
        f"{E2},hors_service,libre,{AT}",
    )
    assert answer.status_code == 200
    receipt = answer.json()
    assert (receipt["accepted"], receipt["unchanged"]) == (2, 1)
    assert [(each["index"], each["reason"]) for each in receipt["refused"]] == [(1, "not_allowed")]
    assert (status(server, E1), status(server, E2), status(server, E3)) == (
        "CHARGING",
        "OUTOFORDER",
        "UNKNOWN",
    )


def test_a_file_is_all_that_there_is_where_its_sender_says_so(server: Serving) -> None:
    both = (f"{E1},en_service,libre,{AT}", f"{E3},en_service,libre,{AT}")
    assert send_file(server, *both).json()["accepted"] == 2
    assert send_file(server, both[0]).json()["unchanged"] == 1
    assert status(server, E3) == "AVAILABLE"
    assert send_file(server, both[0], query="?extent=snapshot").json()["unchanged"] == 1
    assert (status(server, E1), status(server, E3)) == ("AVAILABLE", "UNKNOWN")


def test_an_older_row_does_not_win(server: Serving) -> None:
    send_file(server, f"{E1},en_service,occupe,{LATER}")
    assert send_file(server, f"{E1},en_service,libre,{AT}").json()["stale"] == 1
    assert status(server, E1) == "CHARGING"


@pytest.mark.parametrize("body", [b"", b"{}", b"a,b\n1,2\n", b"\xff\xfe\x00"])
def test_what_is_no_such_file_is_a_problem(shared_server: Serving, body: bytes) -> None:
    answer = shared_server.post(body, path="/push/irve")
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_body")
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_file_that_is_asked_for_is_read_again_only_where_it_changed(server: Serving) -> None:
    def file(*rows: str) -> bytes:
        return "\n".join([HEADER, *rows]).encode()

    def is_told(wanted: str, evse: str = E1) -> None:
        until(lambda: status(server, evse) == wanted, f"{evse} is {wanted}")

    def conditions() -> list[str | None]:
        return [asked.headers.get("if-none-match") for asked in other.requests]

    with Answering() as other:
        other.say(
            body=file(f"{E1},en_service,libre,{AT}", f"{E3},en_service,libre,{AT}"), headers={"ETag": '"1"'}
        )
        source = SourceRecord(
            name="file",
            operator="alfa",
            protocol="irve",
            address=f"{other.url}/dynamique.csv",
            poll_s=1,
            added_at=now(),
            changed_at=now(),
        )
        server.write(lambda store: store.put_source(source))
        is_told("AVAILABLE")
        other.say(304)
        until(lambda: conditions().count('"1"') > 1, "it asks whether the file changed")
        assert status(server, E1) == "AVAILABLE"
        other.say(body=file(f"{E1},en_service,occupe,{LATER}"), headers={"ETag": '"2"'})
        is_told("CHARGING")
        is_told("UNKNOWN", E3)
        until(lambda: '"2"' in conditions(), "it asks for what is newer than that")


# -- the shape of the national API -----------------------------------------------------------------------------


def point(evse: str, occupation: str = "libre", at: str = AT, **members: object) -> dict[str, Any]:
    return {
        "id_pdc_itinerance": evse,
        "etat_pdc": "en_service",
        "occupation_pdc": occupation,
        "horodatage": at,
        **members,
    }


def create(server: Serving, body: object, path: str = "", key: str | None = "alfa") -> httpx2.Response:
    return server.post(body, path=f"/dynamique/status/{path}", key=key)


def token(server: Serving, password: str, **form: str) -> httpx2.Response:
    sent = {"username": "anyone", "password": password, **form}
    return server.request("POST", "/auth/token", data=sent)


def test_a_client_gets_a_token_and_creates_statuses_with_it(server: Serving) -> None:
    answer = token(server, server.keys["alfa"], grant_type="password", scope="dynamique")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["token_type"] == "bearer"
    bearer = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    created = server.post(point(E1, "occupe"), path="/dynamique/status/", key=None, headers=bearer)
    assert (created.status_code, set(created.json())) == (201, {"id"})
    packed = gzip.compress(json.dumps([point(E2), point(E3, "reserve")]).encode())
    many = server.post(
        packed,
        path="/dynamique/status/bulk",
        key=None,
        headers={**bearer, "Content-Encoding": "gzip", "Content-Type": "application/json"},
    )
    assert (many.status_code, many.json()["size"], len(many.json()["items"])) == (201, 2, 2)
    assert (status(server, E1), status(server, E2), status(server, E3)) == (
        "CHARGING",
        "AVAILABLE",
        "RESERVED",
    )


@pytest.mark.parametrize("password", ["", "wrong", "lst_0000000000_" + "0" * 36])
def test_nobody_gets_a_token_for_a_wrong_key(shared_server: Serving, password: str) -> None:
    answer = token(shared_server, password)
    assert answer.status_code == 401
    assert "access_token" not in answer.json()
    assert answer.json()["message"]


@pytest.mark.parametrize("key", ["expired", "revoked"])
def test_nor_for_one_that_has_ended(shared_server: Serving, key: str) -> None:
    assert token(shared_server, shared_server.keys[key]).status_code == 401


def test_what_asks_otherwise_for_a_token_is_refused(shared_server: Serving) -> None:
    assert shared_server.request("GET", "/auth/token").status_code == 405
    assert (
        token(shared_server, shared_server.keys["alfa"], grant_type="client_credentials").status_code == 400
    )
    form = "&".join(f"f{number}=1" for number in range(50))
    assert shared_server.request("POST", "/auth/token", content=form).status_code == 400
    assert shared_server.request("POST", "/auth/token", content=b"\xff").status_code == 400
    assert shared_server.request("POST", "/auth/token", content=bytes(10_000)).status_code == 413
    assert shared_server.request("POST", "/auth/token", content=b"").status_code == 401


def test_a_token_ends_with_its_key(server: Serving) -> None:
    server.make_key("brief", ["report"], operator="alfa")
    bearer = {"Authorization": f"Bearer {token(server, server.keys['brief']).json()['access_token']}"}
    assert server.post(point(E1), path="/dynamique/status/", key=None, headers=bearer).status_code == 201
    server.revoke("brief")
    server.in_step()
    assert server.post(point(E1), path="/dynamique/status/", key=None, headers=bearer).status_code == 401


@pytest.mark.parametrize(
    ("evse", "members", "expected"),
    [
        ("NOALFE9", {}, 404),
        (SWEDISH, {}, 403),
        (E1, {"etat_pdc": "en_panne"}, 422),
        (E1, {"horodatage": "hier"}, 422),
        (E1, {"occupation_pdc": None}, 422),
    ],
)
def test_one_that_cannot_be_taken_says_why(
    shared_server: Serving, evse: str, members: dict[str, Any], expected: int
) -> None:
    answer = create(shared_server, {**point(evse), **members})
    assert answer.status_code == expected
    assert answer.json()["detail"]


def test_a_bad_one_of_many_costs_no_other(server: Serving) -> None:
    answer = create(server, [point("NOALFE9"), point(E1), point(SWEDISH)], "bulk")
    assert (answer.status_code, answer.json()["size"], len(answer.json()["items"])) == (201, 1, 1)
    assert [(each["index"], each["reason"]) for each in answer.json()["refused"]] == [
        (0, "unknown_evse"),
        (2, "not_allowed"),
    ]
    assert status(server, E1) == "AVAILABLE"


def test_the_newest_holds_and_not_the_last_received(server: Serving) -> None:
    create(server, [point(E1, "occupe", LATER), point(E1, "libre", AT)], "bulk")
    create(server, point(E1, "reserve", AT))
    assert status(server, E1) == "CHARGING"


def listed(server: Serving, query: str = "", key: str = "alfa") -> dict[str, dict[str, Any]]:
    server.settled()
    answer = server.get(f"/dynamique/status/{query}", key=key)
    assert answer.status_code == 200, answer.text
    return {each["id_pdc_itinerance"]: each for each in answer.json()}


def test_what_was_delivered_is_read_back(server: Serving) -> None:
    create(server, [point(E1, "occupe"), point(E2, "libre", LATER, etat_pdc="hors_service")], "bulk")
    create(server, point(SWEDISH), key="beta")
    found = listed(server)
    assert found == {
        E1: {
            **point(E1, "occupe", "2026-11-01T08:00:00.000Z"),
            "etat_prise_type_2": None,
            "etat_prise_type_combo_ccs": None,
            "etat_prise_type_chademo": None,
            "etat_prise_type_ef": None,
        },
        E2: {**found[E2], **point(E2, "libre", "2026-11-01T08:00:01.000Z", etat_pdc="hors_service")},
    }
    assert set(listed(server, key="beta")) == {SWEDISH}
    assert set(listed(server, key="stream")) == {E1, E2, SWEDISH}
    assert server.get(f"/dynamique/status/{E1}", key="alfa").json() == found[E1]


def test_a_list_is_narrowed(server: Serving) -> None:
    create(server, [point(E1), point(E2, at=LATER), point(E3)], "bulk")
    assert set(listed(server, f"?pdc={E1}")) == {E1}
    assert set(listed(server, f"?pdc={E1}&pdc={E3}")) == {E1, E3}
    assert set(listed(server, "?station=NOR_01333")) == {E1, E2}
    assert set(listed(server, f"?station=NOR_01333&pdc={E3}&pdc={E1}")) == {E1, E2, E3}
    assert set(listed(server, f"?from={LATER}")) == {E2}
    assert set(listed(server, "?from=2026-11-01T09:00:01%2B01:00&pdc=" + E1)) == set()
    assert set(listed(server, f"?pdc={SWEDISH}")) == set()


def test_what_cannot_be_read_back_says_why(shared_server: Serving) -> None:
    for path in (E1, "NOALFE9", SWEDISH, f"{E1}/history"):
        answer = shared_server.get(f"/dynamique/status/{path}", key="alfa")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert shared_server.get("/dynamique/session/", key="alfa").status_code == 404
    assert shared_server.get("/dynamique/status/?from=hier", key="alfa").status_code == 400
    assert shared_server.get("/dynamique/status/", key=None).status_code == 401


@pytest.mark.skipif(
    QCC is None, reason="no client of QualiCharge here: LADESTROM_TEST_QCC names no Python that has it"
)
def test_a_client_that_is_not_ours_creates_lists_and_reads(server: Serving) -> None:
    assert QCC is not None
    environment = {
        **os.environ,
        "QCC_API_ROOT_URL": server.url,
        "QCC_API_LOGIN_USERNAME": "alfa",
        "QCC_API_LOGIN_PASSWORD": server.keys["alfa"],
    }

    def qcc(*arguments: str, given: str = "") -> str:
        command = [QCC or "", "-m", "qcc", "status", *arguments]
        done = run(command, env=environment, input=given, check=True)
        server.settled()
        return done.stdout

    assert "Created status" in qcc("create", "--status", json.dumps(point(E1, "occupe")))
    lines = "".join(f"{json.dumps(each)}\n" for each in (point(E2), point(E3, "reserve")))
    assert "Created 2 statuses" in qcc("bulk", given=lines)
    told = [json.loads(line) for line in qcc("list").splitlines()]
    assert {each["id_pdc_itinerance"]: each["occupation_pdc"] for each in told} == {
        E1: "occupe",
        E2: "libre",
        E3: "reserve",
    }
    told = [json.loads(line) for line in qcc("list", "--pdc", E1, "--pdc", E3).splitlines()]
    assert [each["id_pdc_itinerance"] for each in told] == [E1, E3]
    assert json.loads(qcc("read", E2))["occupation_pdc"] == "libre"
