"""The OCPI Sender from outside: pages of one position, tokens, objects, and another server that reads all."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx2
import msgspec
import pytest
from tests.e2e.serving import STATIONS, Serving, evse, now, station
from tests.patience import DEADLINE_S, until

from ladestrom.core.access import operator_from
from ladestrom.edges import documents, listings
from ladestrom.ingest.ocpi_peers import digest, new_token
from ladestrom.model import Status
from ladestrom.ports.peers import Peer
from ladestrom.ports.registry import StationDraft
from ladestrom.ports.sources import SourceRecord
from ladestrom.protocols.ocpi import VERSIONS
from ladestrom.record import Details, Opening
from ladestrom.registers import ocpi as register

E1: Final = "NO*ALF*E1333*1"
LIST: Final = "/ocpi/2.2.1/sender/locations"
NINE: Final = tuple(f"NO*ALF*E9*{number}" for number in range(1, 10))
WORLD: Final = (
    *STATIONS,
    station("NOR_00009", "NOR", (10.0, 60.0), [evse(each, party="NOALF") for each in NINE]),
    station(
        "NOR_00010",
        "NOR",
        (10.1, 60.0),
        [evse("NO*ALF*E10", party="NOALF"), evse("SE*BET*E10", party="SEBET")],
    ),
)
_ALWAYS: Final = Details(opening=Opening(always=True))
LOCATIONS: Final = (
    ("DK", "BET", "DAN_00011"),
    ("NO", "ALF", "NOR_00009"),
    ("NO", "ALF", "NOR_00010"),
    ("SE", "BET", "NOR_00010"),
    ("NO", "ALF", "NOR_01333"),
    ("NO", "ALF", "NOR_01342"),
    ("SE", "BET", "SWE_00007"),
)


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    # What is made anew at once is what these tests are of; how often it is made is tested without sockets.
    monkeypatch.setattr(documents, "INTERVAL_S_MIN", 0.0)
    monkeypatch.setattr(documents, "MAKING_SHARE", 0.0)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server that the tests of this file share."""
    settings = {"registry.licence": "CC BY 4.0", "ocpi.reconcile_s": 0}
    with Serving(tmp_path_factory.mktemp("sender"), settings, stations=WORLD) as running:
        running.report(
            *({"evse": each, "status": word.value} for each, word in zip(NINE, Status, strict=True))
        )
        running.settled()
        yield running


def token(key: str) -> dict[str, str]:
    return {"Authorization": f"Token {base64.b64encode(key.encode()).decode()}"}


def got(server: Serving, path: str, **headers: str) -> httpx2.Response:
    answer = server.get(path, key=None, headers={**token(server.keys["stream"]), **headers})
    assert (answer.status_code, answer.json()["status_code"]) == (200, 1000), answer.text
    return answer


def following(answer: httpx2.Response) -> str | None:
    """Path and query of the next page."""
    link = answer.headers.get("link")
    if link is None:
        return None
    address, _, relation = link.partition(">; ")
    assert relation == 'rel="next"'
    return f"/ocpi/{address.partition('/ocpi/')[2]}"


def crawled(server: Serving, path: str | None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while path is not None:
        answer = got(server, path)
        found += answer.json()["data"]
        path = following(answer)
    return found


def names(locations: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    return [(each["country_code"], each["party_id"], each["id"]) for each in locations]


def refused(server: Serving, path: str, status: int, code: int) -> str:
    answer = server.get(path, headers={"X-Request-ID": "r1"})
    assert (answer.status_code, answer.json()["status_code"]) == (status, code), answer.text
    assert answer.headers["x-request-id"] == "r1"
    return str(answer.json()["status_message"])


# -- lists ---------------------------------------------------------------------------------------------------


def test_every_location_is_offered_as_its_operators(server: Serving) -> None:
    answer = got(
        server, LIST, **{"X-Request-ID": "r1", "OCPI-from-country-code": "NO", "OCPI-from-party-id": "X1Y"}
    )
    assert names(answer.json()["data"]) == list(LOCATIONS)
    told = {name: answer.headers.get(name) for name in ("x-total-count", "x-limit", "link", "x-request-id")}
    assert told == {"x-total-count": "7", "x-limit": "500", "link": None, "x-request-id": "r1"}
    assert answer.headers["ocpi-to-party-id"] == "X1Y"
    assert answer.headers["ladestrom-licence"] == "https://creativecommons.org/licenses/by/4.0/"
    assert answer.headers["ladestrom-position"] == str(server.app.reader.view.position)
    (nine,) = [each for each in answer.json()["data"] if each["id"] == "NOR_00009"]
    assert [each["status"] for each in nine["evses"]] == [word.value for word in Status]


@pytest.mark.parametrize("version", VERSIONS)
def test_our_own_reader_takes_every_page_of_every_version(server: Serving, version: str) -> None:
    """And a registered version finds its way from the versions URL."""
    (url,) = [
        each["url"] for each in got(server, "/ocpi/versions").json()["data"] if each["version"] == version
    ]
    (endpoint,) = got(server, url.removeprefix(server.url)).json()["data"]["endpoints"]
    assert endpoint["identifier"] == "locations"
    found = crawled(server, f"{endpoint['url'].removeprefix(server.url)}?limit=2")
    assert len(found) == len(LOCATIONS)
    if version == "2.1.1":
        ids = [each["id"] for each in found]
        assert len({*ids}) == len(ids)
        found = [{**each, "country_code": "NO", "party_id": "ALF"} for each in found]
    drafts = list(register.parse([json.dumps({"data": found}).encode()]))
    assert all(isinstance(each, StationDraft) and not each.notes for each in drafts), drafts


def test_pages_are_of_the_position_of_the_first_whatever_changes_meanwhile(server: Serving) -> None:
    before = got(server, LIST).json()["data"]
    for stays in range(3):
        first = got(server, f"{LIST}?limit=1")
        at = first.headers["ladestrom-position"]
        pages, path = list(first.json()["data"]), following(first)
        while path is not None:
            assert f"at={at}" in path
            word = ("AVAILABLE", "CHARGING")[len(pages) % 2]
            server.report({"evse": E1, "status": word}, {"evse": "NO*ALF*E10", "status": word})
            answer = got(server, path)
            assert answer.headers["ladestrom-position"] == at
            pages += answer.json()["data"]
            path = following(answer)
        assert names(pages) == list(LOCATIONS)
        assert stays or pages == before


def test_a_position_that_is_gone_says_to_begin_again(server: Serving) -> None:
    path = following(got(server, f"{LIST}?limit=3"))
    assert path is not None
    got(server, path)
    assert "begin again" in refused(server, f"{path}&country=NOR", 410, 2001)
    assert "begin again" in refused(server, f"{LIST}?at=abc-1&offset=3", 410, 2001)
    server.call(lambda: _age(server))
    assert "begin again" in refused(server, path, 410, 2001)


def _age(server: Serving) -> None:
    """Nobody has asked for a page for long."""
    reader = server.app.reader
    sweep = reader.documents.swept[0]
    kept = sweep.__self__._kept  # type: ignore[attr-defined]
    for listing in kept.values():
        listing.used_s -= listings.CRAWL_IDLE_S
    sweep()


def test_a_restart_forgets_crawls_and_nothing_else(tmp_path: Path) -> None:
    with Serving(tmp_path) as server:
        path = following(got(server, f"{LIST}?limit=1"))
        assert path is not None
        whole = got(server, LIST).json()["data"]
        server.stop()
        server.start()
        assert "begin again" in refused(server, path, 410, 2001)
        assert got(server, LIST).json()["data"] == whole, "nothing was updated by it"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("country=SWE", [("SE", "BET", "SWE_00007")]),
        ("country=NOR&country_code=NO", None),
        ("station=NOR_01342,DAN_00011", [("DK", "BET", "DAN_00011"), ("NO", "ALF", "NOR_01342")]),
        ("status=RESERVED", [("NO", "ALF", "NOR_00009")]),
        ("evse=SE*BET*E10", [("SE", "BET", "NOR_00010")]),
        ("country=SWE&station=NOR_01342", []),
        ("min_kw=151", []),
        ("offset=5", [("NO", "ALF", "NOR_01342"), ("SE", "BET", "SWE_00007")]),
        ("offset=7", []),
        ("offset=999999999999999999", []),
        ("offset=0&limit=999999999999", list(LOCATIONS)),
        ("date_from=2020-01-01T00:00:00Z&date_to=2019-01-01T00:00:00Z", []),
        ("date_from=2020-01-01T00:00:00Z", list(LOCATIONS)),
        ("date_to=2020-01-01", []),
        ("offset=-1", None),
        ("offset=1.5", None),
        ("offset=1e3", None),
        ("offset=%D9%A1", None),
        ("offset=1000000000000000000", None),
        ("limit=0", None),
        ("limit=", None),
        ("limit=1&limit=2", None),
        ("date_from=None", None),
        ("date_from=2026-13-01T00:00:00Z", None),
        ("date_from=0001-01-01T00:00:00%2B14:00", list(LOCATIONS)),
        ("at=1", None),
        ("at=abc-1.x", None),
        ("contry=SWE", None),
        ("status=BUSY", None),
        ("&".join(f"a{number}=1" for number in range(200)), None),
    ],
)
def test_filters_offsets_and_times(
    server: Serving, query: str, expected: list[tuple[str, ...]] | None
) -> None:
    if expected is None:
        assert refused(server, f"{LIST}?{query}", 400, 2001)
    else:
        answer = got(server, f"{LIST}?{query}")
        assert names(answer.json()["data"]) == expected
        total = len(LOCATIONS) if query.startswith("offset") else len(expected)
        assert answer.headers["x-total-count"] == str(total)


def test_what_is_open_now_is_of_the_minute_of_the_first_page(server: Serving) -> None:
    drafts = [
        msgspec.structs.replace(each, station=msgspec.structs.replace(each.station, details=_ALWAYS))
        for each in (WORLD[0], WORLD[3])
    ]
    server.write(lambda store: store.import_stations("nobil", drafts, now(), complete=False))
    server.in_step()
    first = got(server, f"{LIST}?open_now=1&limit=1")
    path = following(first)
    assert path is not None
    assert "open_now=1" in path
    assert [each["id"] for each in (*first.json()["data"], *got(server, path).json()["data"])] == [
        "NOR_01333",
        "SWE_00007",
    ]
    server.import_stations(WORLD)
    server.in_step()


def test_who_asks_for_what_was_updated_gets_what_changed_and_what_went(server: Serving) -> None:
    def newest() -> str:
        return str(max(each["last_updated"] for each in got(server, LIST).json()["data"]))

    since = newest()
    assert since in {each["last_updated"] for each in got(server, f"{LIST}?date_from={since}").json()["data"]}
    assert all(each["last_updated"] < since for each in got(server, f"{LIST}?date_to={since}").json()["data"])
    # Observed before, and told later.
    late = "2026-11-01T00:00:00Z"
    server.report({"evse": "NO*ALF*E1342", "status": "BLOCKED", "observed_at": late})
    (changed,) = [
        each
        for each in got(server, f"{LIST}?date_from={since}").json()["data"]
        if each["last_updated"] > since
    ]
    assert (changed["id"], changed["evses"][0]["status"]) == ("NOR_01342", "BLOCKED")
    assert changed["evses"][0]["last_updated"] < changed["last_updated"]
    since = newest()
    server.import_stations([each for each in WORLD if each.station.uuid != "NOR_01342"])
    server.in_step()
    (gone,) = [
        each
        for each in got(server, f"{LIST}?date_from={since}").json()["data"]
        if each["last_updated"] > since
    ]
    assert (gone["id"], {each["status"] for each in gone["evses"]}) == ("NOR_01342", {"REMOVED"})
    assert "NOR_01342" not in {each["id"] for each in got(server, LIST).json()["data"]}
    server.import_stations(WORLD)
    server.in_step()
    assert "NOR_01342" in {each["id"] for each in got(server, LIST).json()["data"]}


def test_who_has_a_page_is_told_so(server: Serving) -> None:
    page = got(server, f"{LIST}?limit=2")
    tag, at = page.headers["etag"], page.headers["last-modified"]
    for headers in ({"If-None-Match": tag}, {"If-Modified-Since": at}):
        answer = server.get(f"{LIST}?limit=2", headers=headers)
        assert (answer.status_code, answer.content) == (304, b"")
        assert (answer.headers["etag"], answer.headers["link"]) == (tag, page.headers["link"])
    server.report({"evse": E1, "status": "RESERVED"}, {"evse": E1, "status": "BLOCKED"})
    still = server.get(f"{LIST}?limit=2", headers={"If-None-Match": tag})
    assert still.status_code == 304, "nothing of this page changed"
    assert still.headers["link"] != page.headers["link"], "and the next one is of the new position"
    assert server.get(f"{LIST}?limit=7", headers={"If-None-Match": tag}).status_code == 200
    plain = server.get(LIST, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.json()["data"] == got(server, LIST).json()["data"]
    head = server.request("HEAD", LIST, headers=token(server.keys["stream"]))
    assert (head.status_code, head.content, head.headers["x-total-count"]) == (200, b"", "7")


def test_many_who_ask_at_once_get_what_was_made_once(
    server: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "INTERVAL_S_MIN", 1e9)
    server.report({"evse": E1, "status": "RESERVED"})
    before = server.app.reader.documents.tallies["ocpi_2.3.0"].made
    head = f"GET /ocpi/2.3.0/sender/locations HTTP/1.1\r\nHost: here\r\nConnection: close\r\nX-Api-Key: {server.keys['stream']}\r\n\r\n"
    wires = [socket.create_connection(("127.0.0.1", server.port), DEADLINE_S) for _ in range(50)]
    for wire in wires:
        wire.sendall(head.encode())
    answers = set()
    for wire in wires:
        answer = b""
        while piece := wire.recv(65_536):
            answer += piece
        answers.add(answer.partition(b"\r\n\r\n")[2])
        wire.close()
    assert len(answers) == 1
    assert server.app.reader.documents.tallies["ocpi_2.3.0"].made == before + 1
    server.call(lambda: _age(server))


def test_a_consumer_that_takes_nothing_is_cut_off(server: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "SENT_GRACE_S", 0.2)
    monkeypatch.setattr(documents, "SENT_BYTES_PER_S_MIN", 10**12)
    monkeypatch.setattr(documents, "GZIP_BYTES_MIN", 10**12)
    large = tuple(b"x" * 65_536 for _ in range(512))
    monkeypatch.setattr(listings, "_chunks", lambda *_: large)
    sending = server.app.reader.documents._sending
    with socket.socket() as wire:
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        wire.settimeout(DEADLINE_S)
        wire.connect(("127.0.0.1", server.port))
        key = server.keys["stream"]
        wire.sendall(f"GET {LIST}?limit=6 HTTP/1.1\r\nHost: here\r\nX-Api-Key: {key}\r\n\r\n".encode())
        until(lambda: bool(sending), "it is being sent")
        until(lambda: not sending, "it is cut off")


def test_what_cannot_be_offered_is_listed_for_whoever_runs_the_server(server: Serving) -> None:
    got(server, LIST)
    told = server.get("/api/v2/admin/outputs", key="admin").json()["items"]
    (found,) = [each for each in told if each["output"] == "ocpi_2.2.1"]
    assert found["left_out"] == {"no_party": 2}
    assert {"evse": "NOR_01523_01", "station": "NOR_01523", "reason": "no_party"} in found["examples"]
    line = 'ladestrom_output_left_out{output="ocpi_2.2.1",reason="no_party"} 2.0'
    assert line in server.get("/metrics", key="admin").text.splitlines()


# -- objects -------------------------------------------------------------------------------------------------


def test_objects_are_those_of_the_list(server: Serving) -> None:
    for location in got(server, LIST).json()["data"]:
        name = f"{location['country_code']}/{location['party_id']}/{location['id']}"
        found = got(server, f"{LIST}/{name}")
        assert found.json()["data"] == location
        assert (
            server.get(f"{LIST}/{name}", headers={"If-None-Match": found.headers["etag"]}).status_code == 304
        )
    one = got(server, f"{LIST}/nor_00009/noalfe91").json()["data"]
    assert (one["evse_id"], one["status"]) == (NINE[0], next(iter(Status)).value)
    assert got(server, f"{LIST}//NOR_00009/NOALFE91/1/").json()["data"] == one["connectors"][0]
    for party in ("ALF", "BET"):
        own = {"OCPI-to-country-code": {"ALF": "NO", "BET": "SE"}[party], "OCPI-to-party-id": party}
        assert got(server, f"{LIST}/NOR_00010", **own).json()["data"]["party_id"] == party
    flat = "/ocpi/2.1.1/sender/locations/NOR_00010-SEBET"
    assert got(server, flat).json()["data"]["evses"][0]["evse_id"] == "SE*BET*E10"
    for path in (
        "NOR_99999",
        "NOR_00009/nobody",
        "NOR_00009/NOALFE91/2",
        "SE/BET/NOR_00009",
        "a/b/c/d",
        "%FF",
        "x" * 3_000,
    ):
        refused(server, f"{LIST}/{path}", 404, 2003)
    refused(server, f"{LIST}/NOR_00009?country=SWE", 400, 2001)


def test_a_location_that_its_operator_put_is_called_as_it_calls_it(server: Serving) -> None:
    put_peer(server, "cpo", own := new_token(), may_register=True)
    body = {
        "id": "Loc*1",
        "name": "Torg",
        "address": "Torg 1",
        "city": "Oslo",
        "country": "NOR",
        "coordinates": {"latitude": "59.91", "longitude": "10.75"},
        "evses": [
            {
                "uid": "U1",
                "evse_id": "NO*CPO*E1",
                "status": "CHARGING",
                "connectors": [{"id": "1", "standard": "IEC_62196_T2", "max_electric_power": 22000}],
                "last_updated": "2026-11-01T08:00:00Z",
            }
        ],
    }
    stored = server.request(
        "PUT", "/ocpi/2.2.1/locations/NO/CPO/Loc*1", headers=token(own), content=json.dumps(body).encode()
    )
    assert stored.json()["status_code"] == 1000
    server.in_step()
    told = server.get(f"{LIST}/loc*1/u1", key=None, headers=token(server.keys["stream"])).json()["data"]
    assert (told["evse_id"], told["status"]) == ("NO*CPO*E1", "CHARGING")
    assert server.get("/ocpi/2.2.1/locations/NO/CPO/Loc*1", key=None, headers=token(own)).json()["data"] == {
        **body,
        "country_code": "NO",
        "party_id": "CPO",
    }, "to a peer, the Receiver's path is what it put"


# -- who may read --------------------------------------------------------------------------------------------


def put_peer(
    server: Serving, name: str, shown: str, *, state: str = "fixed", may_register: bool = False
) -> None:
    operator = operator_from(name, parties=[f"NO*{name[:3].upper()}"], may_register=may_register)
    peer = Peer(id=f"{name}-{state}", operator=name, state=state, token_sha256=digest(shown), made_at=now())
    server.write(lambda store: store.put_operator(operator, now()))
    server.write(lambda store: store.peers.put(peer))
    server.in_step()


def test_a_peer_reads_with_its_token_only_where_visitors_may(server: Serving, tmp_path: Path) -> None:
    of_peers(server, reads=403)
    with Serving(tmp_path, {"page.visitors": "anyone"}) as open_to_all:
        of_peers(open_to_all, reads=200)


def of_peers(server: Serving, *, reads: int) -> None:
    for state in ("invited", "registered", "fixed"):
        shown, expected = new_token(), 401 if state == "invited" else reads
        put_peer(server, "reader", shown, state=state)
        versions = server.get("/ocpi/versions", key=None, headers=token(shown))
        assert versions.status_code == 200
        told = server.get("/ocpi/2.2.1", key=None, headers=token(shown)).json()["data"]["endpoints"]
        assert {each["role"] for each in told if each["identifier"] == "locations"} == {"SENDER", "RECEIVER"}
        answer = server.get(LIST, key=None, headers={"Authorization": f"Token {shown}"})
        assert answer.status_code == expected
        flat = server.get("/ocpi/2.1.1", key=None, headers={"Authorization": f"Token {shown}"})
        (url,) = [
            each["url"] for each in flat.json()["data"]["endpoints"] if each["identifier"] == "locations"
        ]
        answer = server.request(
            "GET", url.removeprefix(server.url), headers={"Authorization": f"Token {shown}"}
        )
        assert answer.status_code == expected


def test_a_key_reads_in_whatever_way_it_is_shown_and_does_nothing_else(server: Serving) -> None:
    key = server.keys["stream"]
    for headers in (token(key), {"Authorization": f"Token {key}"}, {"X-Api-Key": key}, server.bearer()):
        for path in ("/ocpi/versions", "/ocpi/2.3.0", LIST, "/ocpi/2.3.0/locations"):
            assert server.get(path, key=None, headers=headers).status_code == 200
        for path in ("/ocpi/2.2.1/credentials", "/ocpi/2.2.1/tariffs"):
            assert server.get(path, key=None, headers=headers).status_code in {401, 404}
        for method, path in (
            ("PUT", "locations/NO/ALF/X"),
            ("POST", "credentials"),
            ("PUT", "sender/locations"),
        ):
            answer = server.request(method, f"/ocpi/2.2.1/{path}", headers=headers, content=b"{}")
            assert answer.status_code in {401, 405}
    for key, status in (("alfa", 403), ("revoked", 401), ("expired", 401)):
        for headers in (token(server.keys[key]), server.bearer(key)):
            answer = server.get(LIST, key=None, headers=headers)
            assert (answer.status_code, answer.json()["status_code"]) == (status, 2000)
    for headers in ({}, {"Authorization": "Token nobody"}, {"Authorization": "Basic eDp5"}):
        answer = server.get(LIST, key=None, headers=headers)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Token")
    assert server.get(f"{LIST}?apikey={server.keys['stream']}", key=None).status_code == 401


def test_visitors_read_where_they_are_let_in_and_change_nothing(tmp_path: Path) -> None:
    with Serving(tmp_path, {"page.visitors": "anyone"}) as server:
        for path in ("/ocpi/versions", "/ocpi/2.3.0", "/ocpi/2.3.0/details", "/ocpi/2.3.0/versions", LIST):
            assert server.get(path, key=None).json()["status_code"] == 1000
        assert server.get(LIST, key=None).headers["cache-control"].startswith("public")
        assert server.get(LIST, key=None, headers={"Authorization": "Token nobody"}).status_code == 401
        for method, path in (
            ("GET", "credentials"),
            ("POST", "credentials"),
            ("PUT", "locations/NO/ALF/X"),
            ("PATCH", "locations/NO/ALF/X"),
        ):
            assert server.request(method, f"/ocpi/2.2.1/{path}", content=b"{}").status_code == 401


# -- another server ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_a_server_that_reads_it_gets_the_same_statuses_and_stations(
    server: Serving, tmp_path: Path, version: str
) -> None:
    # Locations of 2.1.1 do not say whose they are.
    parties = ("NO*ALF",) if version == "2.1.1" else ("NO*ALF", "SE*BET")

    def seen(of: Serving) -> dict[str, str]:
        found = of.get("/api/v2/evses?limit=1000").json()["items"]
        return {each["evse"]: each["status"] for each in found if each["evse"].startswith(parties)}

    settings = {"ocpi.peers": "any"}
    with Serving(tmp_path, settings, stations=STATIONS[5:]) as hub:
        operator = operator_from("above", all_evses=True, may_register=True)
        source = SourceRecord(
            name="above",
            operator="above",
            protocol="ocpi",
            address=f"{server.url}/ocpi/{version}",
            options={
                "page": "2",
                "whole_every_s": "0",
                **({"party": "NO*ALF"} if version == "2.1.1" else {}),
            },
            secret=server.keys["stream"],
            poll_s=1,
            added_at=now(),
            changed_at=now(),
        )
        hub.write(lambda store: store.put_operator(operator, now()))
        hub.write(lambda store: store.put_source(source))
        until(lambda: seen(hub) == seen(server) != {}, "it has all statuses")
        for word in ("AVAILABLE", "OUTOFORDER"):
            server.report({"evse": NINE[0], "status": word})
            until(lambda word=word: seen(hub)[NINE[0]] == word, "it has the change")  # type: ignore[misc]
        assert seen(hub) == seen(server)
        here, there = (
            {
                (each["name"], each["country"], str(each["position"]))
                for each in of.get("/api/v2/stations?limit=1000").json()["items"]
            }
            for of in (server, hub)
        )
        assert len(here & there) >= len({name for _, _, name in LOCATIONS})
    server.report({"evse": NINE[0], "status": next(iter(Status)).value})
