"""NOBIL Real-time from outside, as its consumers use it, and as another server of ours follows it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Self

import httpx2
import pytest
from tests.e2e.serving import STATIONS, UID, Serving, now, station
from tests.e2e.serving import evse as make_evse
from tests.e2e.test_following_sources import becomes, evse, follow
from tests.e2e.wire import Wire, refusal
from tests.patience import DEADLINE_S, until
from websockets.sync.client import ClientConnection, connect

from ladestrom.clocks import steady
from ladestrom.core.access import operator_from
from ladestrom.credentials import TICKET_S
from ladestrom.outputs.nobil_realtime.edge import PATH, STREAM_PATH

OTHER: Final = "11111111-a032-4f23-a46f-3e0ebe4590ff"
NAMED: Final = "NO*ALF*E1342"
WORLD: Final = (
    *STATIONS,
    station("NOR_02000", "NOR", (5.4, 60.4), [make_evse("NO*ALF*E2000", party="NOALF", uid=OTHER)]),
)
MAP: Final = "https://map.example"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server that the tests of this file share; pages of one foreign origin may use it."""
    with Serving(tmp_path_factory.mktemp("realtime"), {"server.origins": MAP}, stations=WORLD) as made:
        yield made


def address(server: Serving, query: str = "", key: str = "stream", **headers: str) -> str:
    """What a consumer is told to connect to."""
    carried = {"x-api-key": server.keys[key], "Content-Length": "0", **headers}
    answer = server.request("POST", f"{PATH}{query}", headers=carried)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    (token,) = answer.json().values()
    return str(token)


class Consumer:
    """Reads as `evmap-backend` does: asks with an empty body, and takes three members of each message."""

    def __init__(self, server: Serving, query: str = "") -> None:
        with httpx2.Client(timeout=DEADLINE_S) as client:
            headers = {"x-api-key": server.keys["stream"]}
            asked = client.post(f"{server.url}{PATH}{query}", headers=headers)
        self._opening = connect(asked.json()["accessToken"], open_timeout=DEADLINE_S)
        self.connection: ClientConnection

    def __enter__(self) -> Self:
        self.connection = self._opening.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._opening.__exit__(None, None, None)

    def message(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.connection.recv(timeout=DEADLINE_S))
        return found

    def change(self) -> tuple[str, str, str]:
        data = self.message()
        return str(int(data["nobilId"].split("_")[1])), data["evseUId"], data["status"]


def told(server: Serving, name: str, status: str) -> None:
    server.report({"evse": name, "status": status})


def other_than(server: Serving, name: str = NAMED) -> str:
    """A status that the EVSE does not have."""
    return "CHARGING" if evse(server, name)["status"] != "CHARGING" else "AVAILABLE"


def test_a_consumer_of_the_service_hears_each_change_and_nothing_before(server: Serving) -> None:
    first = other_than(server)
    with Consumer(server) as consumer:
        for status in (first, "OUTOFORDER", "RESERVED", "INOPERATIVE", "BLOCKED", "AVAILABLE"):
            told(server, "NO*ALF*E1333*1", status)  # has no uid
            told(server, NAMED, status)
            assert consumer.change() == ("1342", UID, status)


def test_the_present_state_comes_first_where_it_is_wanted(server: Serving) -> None:
    told(server, NAMED, "CHARGING")
    with Consumer(server, "?snapshot=1") as consumer:
        assert {consumer.message()["evseUId"]: None for _ in range(2)} == {UID: None, OTHER: None}
    with Consumer(server, "?snapshot=1&station=NOR_01342&timestamp=1&seq=1") as consumer:
        found = consumer.message()
        assert list(found) == ["nobilId", "evseUId", "status", "timestamp", "epoch", "seq"]
        assert found["status"] == "CHARGING"
        told(server, "NO*ALF*E2000", other_than(server, "NO*ALF*E2000"))  # not selected
        told(server, NAMED, "AVAILABLE")
        following = consumer.message()
        assert (following["nobilId"], following["status"]) == ("NOR_01342", "AVAILABLE")
        assert following["seq"] > found["seq"]


def test_who_comes_back_with_a_position_is_told_what_it_missed(server: Serving) -> None:
    with Consumer(server, "?snapshot=1&seq=1&station=NOR_01342") as consumer:
        at = consumer.message()
    missed = other_than(server)
    told(server, NAMED, missed)
    query = f"?seq=1&station=NOR_01342&since={at['epoch']}-{at['seq']}"
    with Consumer(server, query) as consumer:
        assert consumer.message()["status"] == missed
    with Consumer(server, "?station=NOR_01342&since=other-7") as consumer:
        assert consumer.change() == ("1342", UID, missed)


def test_the_address_is_that_under_which_clients_reach_the_server(server: Serving, tmp_path: Path) -> None:
    plain = f"ws://127.0.0.1:{server.port}{STREAM_PATH}?ticket="
    assert address(server, "?snapshot=1").startswith(plain)
    assert {"country=NOR", "snapshot=1"} < set(address(server, "?country=NOR&snapshot=1").split("&"))
    assert address(server, Host="status.example.org").startswith("ws://status.example.org/nobil")
    bad = server.request("POST", PATH, headers={**server.bearer(), "Host": "a b"})
    assert (bad.status_code, bad.json()["code"]) == (400, "bad_request")
    behind = {"server.url_public": "https://status.example.org/strom"}
    with Serving(tmp_path, behind) as proxied:
        expected = f"wss://status.example.org/strom{STREAM_PATH}?ticket=lst_ticket_"
        assert address(proxied).startswith(expected)


def opened(server: Serving, target: str, **headers: str) -> int:
    """The status with which a request for the stream is answered."""
    with Wire(server.port) as wire:
        given = {"Host": f"127.0.0.1:{server.port}", **headers}
        opened_ = wire.open(target.partition(f":{server.port}")[2] or target, given)
        if opened_.response.status != 101:
            refusal(opened_)
        return opened_.response.status


def test_an_address_is_good_once_and_for_a_minute(server: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    once = address(server)
    assert opened(server, once) == 101
    assert opened(server, once) == 401
    late = address(server)
    monkeypatch.setattr(server.app.reader.tickets, "_steady", lambda: steady() + TICKET_S * 1000)
    assert opened(server, late) == 401
    assert opened(server, STREAM_PATH) == 401
    assert opened(server, f"{STREAM_PATH}?ticket=lst_ticket_0") == 401
    assert opened(server, STREAM_PATH, **server.bearer()) == 101


def test_a_page_may_use_an_address_where_its_origin_may_open_streams(server: Serving) -> None:
    assert opened(server, address(server), Origin=MAP) == 101
    assert opened(server, address(server), Origin="https://elsewhere.example") == 403
    assert opened(server, address(server, Origin="https://other.example"), Origin=MAP) == 401


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("contry=NOR", "invalid_filter"),
        ("country=NOR&country=SWE", "invalid_filter"),
        ("snapshot=yes", "bad_request"),
        ("timestamp=2", "bad_request"),
        ("since=yesterday", "invalid_position"),
        ("country=", "invalid_filter"),
        ("status=AVAILABLE", "invalid_filter"),
        ("callback=alert(1)", "invalid_filter"),
    ],
)
def test_a_parameter_that_is_not_understood_is_refused_at_both_ends(
    server: Serving, query: str, code: str
) -> None:
    answer = server.request("POST", f"{PATH}?{query}", headers=server.bearer())
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert opened(server, f"{address(server)}&{query}") == 400


@pytest.mark.parametrize(
    ("key", "status"), [(None, 401), ("revoked", 401), ("expired", 401), ("alfa", 403), ("both", 200)]
)
def test_only_a_key_that_may_read_streams_gets_an_address(
    server: Serving, key: str | None, status: int
) -> None:
    headers = {"x-api-key": server.keys[key]} if key else {}
    assert server.request("POST", PATH, headers=headers).status_code == status
    assert (
        server.request("POST", f"{PATH}?apikey={server.keys['stream']}", headers=headers).status_code != 500
    )
    assert server.get(PATH).status_code == 405
    assert server.get(STREAM_PATH).status_code == 426


def test_evses_without_uid_are_counted_for_whoever_runs_the_server(server: Serving) -> None:
    address(server)

    def counted() -> bool:
        return (
            'ladestrom_output_left_out{output="nobil_realtime",reason="no_uid"} 6.0'
            in server.get("/metrics", key="admin").text
        )

    until(counted, "EVSEs without uid are counted")
    outputs = server.get("/api/v2/admin/outputs", key="admin").json()["items"]
    (own,) = [each for each in outputs if each["output"] == "nobil_realtime"]
    assert own["left_out"] == {"no_uid": 6}
    assert {each["evse"] for each in own["examples"]} >= {"NO*ALF*E1333*1"}


def test_another_server_that_follows_it_knows_what_this_one_knows(tmp_path: Path, server: Serving) -> None:
    told(server, NAMED, "OUTOFORDER")
    told(server, "NO*ALF*E2000", "RESERVED")
    with Serving(tmp_path, {"sources.rest_s": 1}, stations=WORLD) as hub:
        hub.write(lambda store: store.put_operator(operator_from("upstream", all_evses=True), now()))
        follow(hub, "nobil-realtime", f"{server.url}{PATH}?snapshot=1", server.keys["stream"], anywhere="yes")
        assert becomes(hub, "OUTOFORDER", NAMED)["source"] == "upstream"
        becomes(hub, "RESERVED", "NO*ALF*E2000")
        for status in ("BLOCKED", "INOPERATIVE", "UNKNOWN", "CHARGING"):
            told(server, NAMED, status)
            becomes(hub, status, NAMED)
        assert evse(hub, "NO*ALF*E2000")["status"] == evse(server, "NO*ALF*E2000")["status"]


@pytest.mark.parametrize("framing", ["plain", "deflate"])
def test_a_large_snapshot_is_many_messages_and_none_is_lost(tmp_path: Path, framing: str) -> None:
    many = [
        station(
            f"NOR_{number:05d}",
            "NOR",
            (10.0, 60.0),
            [
                make_evse(f"NO*ALF*E{number:02d}{each:02d}", party="NOALF", uid=f"{number}-{each}")
                for each in range(50)
            ],
        )
        for number in range(1, 41)
    ]
    with Serving(tmp_path, stations=many) as server:
        url = address(server, "?snapshot=1")
        compression = "deflate" if framing == "deflate" else None
        with connect(url, open_timeout=DEADLINE_S, compression=compression) as connection:
            found = [json.loads(connection.recv(timeout=DEADLINE_S)) for _ in range(2_000)]
            server.report({"evse": "NO*ALF*E0707", "status": "CHARGING"})
            last = json.loads(connection.recv(timeout=DEADLINE_S))
        assert len({each["evseUId"] for each in found}) == 2_000
        assert (last["evseUId"], last["status"]) == ("7-7", "CHARGING")
