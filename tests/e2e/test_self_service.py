"""Keys that people make themselves: from the request over the approval to a stream that opens, and its end."""

from __future__ import annotations

import calendar
import contextlib
import json
import re
import shlex
import shutil
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest
from tests.e2e.following import example
from tests.e2e.running import Running
from tests.e2e.serving import DAY_MS, Serving, now
from tests.e2e.wire import Wire, refusal
from tests.patience import DEADLINE_S, until
from tests.programs import run

from ladestrom.cli import main
from ladestrom.edges import keys

PLENTY: Final = {"keys.per_address_per_hour_max": 1_000}
MAIL: Final = "canary.of.this.test@mail.example"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """One that gives out keys at once."""
    with Serving(tmp_path_factory.mktemp("open"), {"keys.policy": "open", **PLENTY}) as running:
        yield running


@pytest.fixture(scope="module")
def asking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """One where keys have to be approved."""
    settings = {"keys.policy": "approval", "keys.days": 30, "page.contact": "desk@power.example", **PLENTY}
    with Serving(tmp_path_factory.mktemp("approval"), settings) as running:
        yield running


def ask(server: Serving, **said: Any) -> httpx2.Response:
    return server.request("POST", "/api/v2/keys", json={"name": "A map", **said})


def made(server: Serving, **said: Any) -> dict[str, Any]:
    """A key that was asked for; `keys` of the server has its text by its id."""
    answer = ask(server, **said)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    server.keys[found["id"]] = found["key"]
    server.key_ids[found["id"]] = found["id"]
    return found


def own(server: Serving, key: str) -> dict[str, Any]:
    answer = server.get("/api/v2/keys/self", key=key)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def code_of(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def row_of(server: Serving, key_id: str) -> dict[str, Any]:
    """What whoever runs the server is told of a key."""
    rows = server.get("/api/v2/keys", key="admin").json()["items"]
    return next(row for row in rows if row["id"] == key_id)


# -- making one --------------------------------------------------------------------------------------------


def test_where_keys_are_given_out_one_reads_at_once(server: Serving) -> None:
    key = made(server, email=MAIL, purpose="shows  what is free")
    assert key["state"] == "live"
    assert key["scopes"] == ["stream"]
    assert key["limits"] == {
        "consumers_per_key_max": 5_000,
        "inbound_bytes_max": 65_536,
        "inbound_messages_per_minute_max": 100,
    }
    assert server.get("/api/v1/rest/chargers", key=key["id"]).status_code == 200
    with server.stream(key=key["id"]) as wire:
        assert wire.message()["type"] == "snapshot:init"
    assert code_of(server.get("/api/v2/admin", key=key["id"])) == (403, "not_allowed")
    assert code_of(server.post([], key=key["id"])) == (403, "not_allowed")


def test_who_runs_it_sees_what_was_said_and_the_holder_nothing_of_others(server: Serving) -> None:
    key = made(server, email=MAIL, purpose="shows  what is free")
    row = row_of(server, key["id"])
    assert (row["name"], row["email"], row["purpose"]) == ("A map", MAIL, "shows what is free")
    assert (row["self_made"], row["state"], row["operator"]) == (True, "live", None)
    everything = server.get("/api/v2/keys", key="admin").text
    assert key["key"] not in everything
    assert "sha256" not in everything
    assert {"id", "name", "state", "use", "limits"} <= own(server, key["id"]).keys()
    assert MAIL not in server.get("/api/v2/keys/self", key=key["id"]).text


def test_it_ends_after_its_days(asking: Serving) -> None:
    before = now()
    expires_at = instant_ms(made(asking)["expires_at"])
    assert before + 30 * DAY_MS <= expires_at <= now() + 30 * DAY_MS


def test_an_answer_with_a_key_is_kept_by_nobody(server: Serving) -> None:
    assert ask(server).headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("said", "word"),
    [
        ({"name": ""}, "name"),
        ({"name": " \t "}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "two\nlines"}, "name"),
        ({"name": "\x1b[31mred"}, "name"),
        ({"name": None}, "name"),
        ({"email": "nobody"}, "email"),
        ({"email": "a@b\r\nBcc: c@d"}, "email"),
        ({"email": 5}, "email"),
        ({"purpose": "x" * 501}, "purpose"),
        ({"purpose": ["x"]}, "purpose"),
        ({"scopes": ["admin"]}, "scopes"),
    ],
)
def test_what_cannot_be_so_is_refused_and_says_which(
    server: Serving, said: dict[str, Any], word: str
) -> None:
    before = len(server.get("/api/v2/keys", key="admin").json()["items"])
    answer = ask(server, **said)
    assert answer.status_code == 400
    assert word in answer.json()["detail"]
    assert len(server.get("/api/v2/keys", key="admin").json()["items"]) == before


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "malformed_body"),
        (b"[]", 400, "malformed_body"),
        (b"{", 400, "malformed_body"),
        (b'{"name": "\xff"}', 400, "malformed_body"),
        (b"[" * 8_000, 400, "malformed_body"),
        (b'{"name": "x", "purpose": "' + b" " * 9_000 + b'"}', 413, "too_large"),
    ],
)
def test_a_body_that_is_none_is_refused(server: Serving, body: bytes, status: int, code: str) -> None:
    headers = {"Content-Type": "application/json"}
    answer = server.request("POST", "/api/v2/keys", content=body, headers=headers)
    assert code_of(answer) == (status, code)


def test_a_body_in_pieces_has_the_same_limit(server: Serving) -> None:
    pieces = iter([b'{"name": "', *[b"x" * 1_000] * 20, b'"}'])
    headers = {"Content-Type": "application/json"}
    answer = server.request("POST", "/api/v2/keys", content=pieces, headers=headers)
    assert code_of(answer) == (413, "too_large")


def test_a_body_that_does_not_come_is_not_waited_for(
    server: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "BODY_S_MAX", 0.2)
    with Wire(server.port) as wire:
        wire.send(b"POST /api/v2/keys HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n")
        wire.send(b'Content-Length: 14\r\n\r\n{"name"')
        assert wire.problem()["code"] == "bad_request"


def test_who_goes_before_the_body_is_there_leaves_nothing_behind(server: Serving) -> None:
    before = len(server.get("/api/v2/keys", key="admin").json()["items"])
    for _ in range(3):
        with Wire(server.port) as wire:
            wire.send(b"POST /api/v2/keys HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n")
            wire.send(b'Content-Length: 14\r\n\r\n{"name"')
    assert len(server.get("/api/v2/keys", key="admin").json()["items"]) == before


def test_a_key_that_is_made_leaves_what_others_have_up_to_date(server: Serving) -> None:
    paths = ("/api/v2/stations", "/api/v2/map/stations", "/api/v1/rest/chargers")
    tags = {path: server.get(path).headers["etag"] for path in paths}
    made(server)
    for path, tag in tags.items():
        assert server.get(path, headers={"If-None-Match": tag}).status_code == 304


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
def test_the_guides_request_makes_a_key(server: Serving) -> None:
    command = example("curl -s $URL/api/v2/keys").replace("$URL", server.url)
    done = run(shlex.split(command), check=True)
    server.keys["guide"] = json.loads(done.stdout)["key"]
    assert own(server, "guide")["name"] == "My map"


# -- pages of others ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "media_type",
    ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/json"],
)
def test_what_a_form_could_send_makes_no_key(server: Serving, media_type: str) -> None:
    headers = {"Content-Type": media_type} if media_type else {}
    answer = server.request("POST", "/api/v2/keys", content=b'{"name": "x"}', headers=headers)
    assert code_of(answer) == (415, "unsupported_media_type")


@pytest.mark.parametrize("origin", ["https://elsewhere.example", "null", "http://127.0.0.1", "http://[::"])
def test_a_foreign_page_makes_no_key(server: Serving, origin: str) -> None:
    answer = server.request("POST", "/api/v2/keys", json={"name": "x"}, headers={"Origin": origin})
    assert code_of(answer) == (403, "not_allowed")
    assert "access-control-allow-origin" not in answer.headers


def test_the_servers_own_page_makes_one_by_either_of_its_addresses(tmp_path: Path) -> None:
    settings = {"keys.policy": "open", "server.url_public": "https://power.example/live"}
    with Serving(tmp_path, settings) as server:
        for origin, status in ((server.url, 201), ("https://power.example", 201), ("https://x.example", 403)):
            answer = server.request("POST", "/api/v2/keys", json={"name": "x"}, headers={"Origin": origin})
            assert answer.status_code == status


@pytest.mark.parametrize(
    "path", ["/api/v2/keys", "/api/v2/keys/self", "/api/v2/keys/self/rotate", "/api/v2/admin"]
)
def test_no_foreign_page_is_let_send_a_key(server: Serving, path: str) -> None:
    asked = {"Origin": "https://x.example", "Access-Control-Request-Method": "POST"}
    answer = server.request("OPTIONS", path, headers=asked)
    assert not [name for name in answer.headers if name.startswith("access-control-")]


# -- how often ---------------------------------------------------------------------------------------------


def test_an_address_makes_so_many_an_hour_and_is_told_when_it_may_again(tmp_path: Path) -> None:
    with Serving(tmp_path, {"keys.policy": "open", "keys.per_address_per_hour_max": 2}) as server:
        first = made(server)
        assert server.request(
            "POST", "/api/v2/keys/self/rotate", headers=server.bearer(first["id"])
        ).is_success
        for said in ({}, {"name": "other"}):
            answer = ask(server, **said)
            assert code_of(answer) == (429, "too_many_requests")
            assert 3_500 < int(answer.headers["retry-after"]) <= 3_600
        rotated = server.request("POST", "/api/v2/keys/self/rotate", headers=server.bearer(first["id"]))
        assert rotated.status_code == 429
        # What a stranger writes is not believed, and what is refused for its form costs nothing.
        forwarded = {"X-Forwarded-For": "198.51.100.1"}
        answer = server.request("POST", "/api/v2/keys", json={"name": "x"}, headers=forwarded)
        assert answer.status_code == 429
        assert ask(server, name="").status_code == 400


def test_behind_a_proxy_that_is_believed_each_address_has_its_share(tmp_path: Path) -> None:
    settings = {
        "keys.policy": "open",
        "keys.per_address_per_hour_max": 1,
        "keys.proxies": ("127.0.0.1", "192.0.2.9"),
    }
    with Serving(tmp_path, settings) as server:

        def asked_from(*forwarded: str) -> int:
            headers = [("X-Forwarded-For", each) for each in forwarded]
            answer = server.request("POST", "/api/v2/keys", json={"name": "x"}, headers=headers)
            return int(answer.status_code)

        assert asked_from("198.51.100.1") == 201
        assert asked_from("198.51.100.1") == 429
        assert asked_from("203.0.113.5, 198.51.100.1") == 429
        assert asked_from("198.51.100.2, 192.0.2.9") == 201
        assert asked_from("203.0.113.5", "198.51.100.2") == 429
        assert asked_from("2001:db8::1") == 201
        assert asked_from("2001:db8::2") == 429


def test_there_are_so_many_and_one_that_ends_makes_room(tmp_path: Path) -> None:
    settings = {"keys.policy": "open", "keys.self_made_max": 2, **PLENTY}
    with Serving(tmp_path, settings) as server:
        first, second = made(server), made(server)
        assert code_of(ask(server)) == (429, "too_many_requests")
        rotated = server.request("POST", "/api/v2/keys/self/rotate", headers=server.bearer(second["id"]))
        assert rotated.status_code == 429
        assert own(server, second["id"])["expires_at"] == second["expires_at"]
        gone = server.request("DELETE", "/api/v2/keys/self", headers=server.bearer(first["id"]))
        assert gone.status_code == 204
        assert ask(server).status_code == 201
        # Keys of who runs the server are not among them.
        admin = server.request("POST", "/api/v2/keys/self/rotate", headers=server.bearer("admin"))
        assert admin.status_code == 201


# -- policies ----------------------------------------------------------------------------------------------


def test_where_none_are_given_out_it_is_said_whom_to_ask(tmp_path: Path) -> None:
    with Serving(tmp_path, {"page.contact": "desk@power.example"}) as server:
        assert code_of(ask(server)) == (403, "keys_closed")
        assert "desk@power.example" in ask(server).json()["detail"]
        assert own(server, "stream")["state"] == "live"
        rotated = server.request("POST", "/api/v2/keys/self/rotate", headers=server.bearer())
        assert rotated.status_code == 201


def by_api(server: Serving, key_id: str) -> None:
    path = f"/api/v2/keys/{key_id}/approve"
    answer = server.request("POST", path, headers=server.bearer("admin"))
    assert answer.status_code == 200, answer.text
    assert (answer.json()["id"], answer.json()["state"]) == (key_id, "live")


def by_command(server: Serving, key_id: str) -> None:
    assert main(["keys", "approve", key_id, "--data", str(server.data)]) == 0
    server.in_step()


@pytest.mark.parametrize("approve", [by_api, by_command])
def test_a_key_waits_until_it_is_approved_and_then_opens_a_stream(
    asking: Serving, approve: Callable[[Serving, str], None]
) -> None:
    key = made(asking, purpose="shows what is free")
    assert key["state"] == own(asking, key["id"])["state"] == "pending"
    for path in ("/api/v1/rest/chargers", "/api/v2/stations", "/api/v2/events", "/api/v2/admin"):
        assert code_of(asking.get(path, key=key["id"])) == (403, "key_pending")
    for path in ("/api/v1/stream", "/api/v2/stream"):
        with Wire(asking.port) as wire:
            wire.open(path, asking.bearer(key["id"]))
            assert (wire.response.status, refusal(wire)["code"]) == (403, "key_pending")
    for path in ("/api/v2/tickets", "/api/v2/keys/self/rotate"):
        answer = asking.request("POST", path, headers=asking.bearer(key["id"]))
        assert code_of(answer) == (403, "key_pending")
    approve(asking, key["id"])
    assert own(asking, key["id"])["state"] == "live"
    with asking.stream(key=key["id"]) as wire:
        assert wire.message()["type"] == "snapshot:init"
    assert own(asking, key["id"])["use"]["refused"] == 8


def test_approving_again_changes_nothing_and_what_has_ended_stays_so(asking: Serving) -> None:
    key = made(asking)
    by_api(asking, key["id"])
    by_api(asking, key["id"])
    approve, admin = f"/api/v2/keys/{key['id']}/approve", asking.bearer("admin")
    gone = asking.request("DELETE", f"/api/v2/keys/{key['id']}", headers=admin)
    assert gone.status_code == 204
    assert code_of(asking.request("POST", approve, headers=admin)) == (409, "conflict")
    for method, path in (("POST", "/api/v2/keys/nobody/approve"), ("DELETE", "/api/v2/keys/nobody")):
        assert code_of(asking.request(method, path, headers=admin)) == (404, "not_found")


def test_whoever_waits_may_withdraw(asking: Serving) -> None:
    key = made(asking)
    assert asking.request("DELETE", "/api/v2/keys/self", headers=asking.bearer(key["id"])).status_code == 204
    assert row_of(asking, key["id"])["state"] == "revoked"
    assert asking.get("/api/v2/keys/self", key=key["id"]).status_code == 401


# -- looking after it --------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["stream", "alfa", "both", "admin"])
def test_every_key_is_told_of_itself(server: Serving, key: str) -> None:
    told = own(server, key)
    assert (told["id"], told["name"], told["state"]) == (server.key_ids[key], key, "live")
    assert told["operator"] == ("alfa" if key in {"alfa", "both"} else None)
    assert instant_ms(told["last_used_at"]) % 60_000 == 0


@pytest.mark.parametrize("key", ["expired", "revoked", None])
def test_what_is_no_key_any_more_is_told_nothing(server: Serving, key: str | None) -> None:
    for method, path in (("GET", ""), ("POST", "/rotate"), ("DELETE", "")):
        headers = server.bearer(key) if key else {}
        answer = server.request(method, f"/api/v2/keys/self{path}", headers=headers)
        assert code_of(answer) == (401, "unauthenticated")


def test_a_key_in_the_address_is_not_looked_at(server: Serving) -> None:
    answer = server.get(f"/api/v2/keys/self?key={server.keys['stream']}", key=None)
    assert code_of(answer) == (401, "unauthenticated")


def test_after_a_rotation_both_are_good_for_a_day_and_neither_longer_than_before(server: Serving) -> None:
    old = made(server, email=MAIL)
    answer = server.request("POST", "/api/v2/keys/self/rotate", headers=server.bearer(old["id"]))
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    new = answer.json()
    server.keys["successor"] = new["key"]
    assert new["key"] != old["key"]
    assert (new["name"], new["scopes"], new["state"]) == ("A map", ["stream"], "live")
    assert new["expires_at"] == old["expires_at"]
    assert abs(instant_ms(new["overlap_until"]) - now() - DAY_MS) < 60_000
    assert own(server, old["id"])["expires_at"] == new["overlap_until"]
    assert row_of(server, new["id"])["email"] == MAIL
    for key in (old["id"], "successor"):
        assert server.get("/api/v1/rest/chargers", key=key).status_code == 200


def test_rotating_a_key_that_ends_sooner_than_a_day_does_not_prolong_it(server: Serving) -> None:
    ends_at = now() + 60_000
    server.make_key("brief", ["report"], operator="alfa", expires_at=ends_at)
    new = server.request("POST", "/api/v2/keys/self/rotate", headers=server.bearer("brief")).json()
    assert instant_ms(new["overlap_until"]) == instant_ms(new["expires_at"]) == ends_at
    assert new["scopes"] == ["report"]
    row = row_of(server, new["id"])
    assert (row["operator"], row["self_made"]) == ("alfa", False)


def by_holder(server: Serving, key_id: str) -> None:
    assert server.request("DELETE", "/api/v2/keys/self", headers=server.bearer(key_id)).status_code == 204


def by_admin(server: Serving, key_id: str) -> None:
    headers = server.bearer("admin")
    assert server.request("DELETE", f"/api/v2/keys/{key_id}", headers=headers).status_code == 204


def by_revoking(server: Serving, key_id: str) -> None:
    assert main(["keys", "revoke", key_id, "--data", str(server.data)]) == 0


def by_erasing(server: Serving, key_id: str) -> None:
    assert main(["keys", "erase", key_id, "--data", str(server.data)]) == 0


def test_an_erased_key_leaves_nothing_of_its_holder_in_the_store(server: Serving) -> None:
    told = {"name": "Frida Gone", "email": "gone@maps.example", "purpose": "a map that is gone"}
    key = made(server, **told)
    store = server.data / "store.db"
    assert all(text.encode() in store.read_bytes() for text in told.values())
    by_erasing(server, key["id"])
    assert not any(text.encode() in store.read_bytes() for text in told.values())


@pytest.mark.parametrize("end", [by_holder, by_admin, by_revoking, by_erasing])
def test_streams_of_a_key_that_ends_are_cut_and_others_are_not(
    server: Serving, end: Callable[[Serving, str], None]
) -> None:
    key, other = made(server), made(server)
    with server.stream(key=key["id"]) as wire, server.stream(key=other["id"]) as staying:
        end(server, key["id"])
        assert wire.close_code() == 4401
        assert server.get("/api/v1/rest/chargers", key=key["id"]).status_code == 401
        assert staying.message()["type"] == "snapshot:init"
    assert own(server, other["id"])["state"] == "live"


def test_a_rotated_key_cuts_its_streams_when_its_overlap_ends(server: Serving) -> None:
    key = made(server)
    answer = server.request("POST", "/api/v2/keys/self/rotate", headers=server.bearer(key["id"]))
    server.keys["after it"] = answer.json()["key"]
    with server.stream(key=key["id"]) as wire, server.stream(key="after it") as staying:
        server.write(lambda store: store.expire_key(key["id"], now()))
        assert wire.close_code() == 4401
        assert staying.message()["type"] == "snapshot:init"


def test_what_was_made_waits_or_ended_is_so_after_a_restart(tmp_path: Path) -> None:
    with Serving(tmp_path, {"keys.policy": "approval", **PLENTY}) as server:
        waiting, approved, ended = made(server), made(server), made(server)
        by_api(server, approved["id"])
        by_holder(server, ended["id"])
        before = [row_of(server, key["id"]) for key in (waiting, approved, ended)]
        server.stop()
        server.start()
        after = [row_of(server, key["id"]) for key in (waiting, approved, ended)]
        assert [row["state"] for row in after] == ["pending", "live", "revoked"]
        for one, other in zip(before, after, strict=True):
            assert {**one, "last_used_at": None} == {**other, "last_used_at": None}
        assert code_of(server.get("/api/v1/rest/chargers", key=waiting["id"])) == (403, "key_pending")
        assert server.get("/api/v1/rest/chargers", key=approved["id"]).status_code == 200
        assert own(server, approved["id"])["use"]["requests"] == 1


# -- what it was used for ----------------------------------------------------------------------------------


class Counting(Wire):
    """Counts the text frames that it reads, and their bytes as they stand on the wire."""

    messages = 0
    size = 0

    def text(self) -> bytes:
        payload = super().text()
        self.messages += 1
        self.size += len(payload) + (2 if len(payload) < 126 else 4 if len(payload) < 1 << 16 else 10)
        return payload


def taken(wire: Counting) -> int:
    """Messages that a consumer got, those that are there by now among them."""
    wire.socket.settimeout(0.2)
    with contextlib.suppress(TimeoutError):
        while True:
            wire.message()
    return wire.messages


def test_messages_and_bytes_are_those_that_its_consumers_got(server: Serving) -> None:
    key = made(server)["id"]
    paths = ("/api/v1/stream?types=snapshot,update", "/api/v2/stream?batch_ms=0")
    wires = [Counting(server.port).open(path, server.bearer(key)) for path in paths]
    statuses = ["CHARGING", "AVAILABLE", "RESERVED", "BLOCKED", "CHARGING"]
    for status in statuses:
        receipt = server.report({"evse": "NO*ALF*E1342", "status": status})
    last = int(receipt["position"].rpartition("-")[2])
    for wire in wires:
        while wire.message().get("seq", 0) < last:
            pass
    use = own(server, key)["use"]
    assert (use["connections"], use["connections_total"]) == (2, 2)
    # v1: the snapshot and each change; v2: greeting, snapshot and each change.
    assert use["messages"] == sum(wire.messages for wire in wires) == 6 + 7
    assert use["bytes"] == sum(wire.size for wire in wires)
    for wire in wires:
        wire.close()
    until(lambda: own(server, key)["use"]["connections"] == 0, "the server knows that they are gone")
    after = own(server, key)["use"]
    assert (after["messages"], after["bytes"]) == (use["messages"], use["bytes"])
    assert after["connections_total"] == 2


def test_what_a_consumer_gets_that_stopped_reading_for_a_while_is_counted_too(tmp_path: Path) -> None:
    settings = {"keys.policy": "open", "stream.write_buffer_kib_max": 16}
    with Serving(tmp_path, settings) as server:
        key = made(server)["id"]
        wire = Counting(server.port, receive_bytes=4_096)
        wire.open("/api/v1/stream", server.bearer(key))
        for number in range(60):
            status = "CHARGING" if number % 2 else "AVAILABLE"
            receipt = server.report(*[{"evse": "NO*ALF*E1333*1", "status": status}] * 600)
        last = int(receipt["position"].rpartition("-")[2])
        until(
            lambda: any(each.paused for each in server.app.reader.stream.connections), "it is not written to"
        )
        while (message := wire.message())["type"] == "status:raw" or message["seq"] < last:
            pass
        # Of what was only heard, the last may still be on its way.
        until(lambda: own(server, key)["use"]["messages"] == taken(wire), "all that was handed over arrived")
        use = own(server, key)["use"]
        assert wire.messages > 1_000
        assert use["bytes"] == wire.size
        wire.close()


def test_what_it_was_turned_away_for_is_told(tmp_path: Path) -> None:
    with Serving(tmp_path, {"stream.consumers_per_key_max": 1}) as server:
        with server.stream():
            with Wire(server.port) as wire:
                wire.open("/api/v1/stream", server.bearer())
                assert wire.response.status == 429
            assert server.get("/api/v2/admin").status_code == 403
            use = own(server, "stream")["use"]
        assert (use["refused"], use["connections"], use["connections_total"]) == (2, 1, 1)
        assert instant_ms(use["since"]) <= now()


# -- what nobody may see -----------------------------------------------------------------------------------


def test_neither_the_keys_text_nor_the_e_mail_is_in_a_log_a_metric_an_error_or_a_file(tmp_path: Path) -> None:
    settings = {"keys.policy": "open", "logging.level": "debug", "logging.format": "json"}
    answers: list[str] = []
    with Running(tmp_path, settings) as server:
        server.output = deque(maxlen=1_000_000)
        admin = server.key("admin")
        server.start()
        with httpx2.Client(base_url=server.url, timeout=DEADLINE_S) as client:

            def request(method: str, path: str, key: str | None = None, **options: Any) -> httpx2.Response:
                headers = {"Authorization": f"Bearer {key}"} if key else {}
                answer = client.request(
                    method, path, headers={**headers, **options.pop("headers", {})}, **options
                )
                if not answer.is_success:
                    answers.append(answer.text)
                return answer

            said = {"name": "A map", "email": MAIL, "purpose": "x"}
            first = request("POST", "/api/v2/keys", json=said).json()["key"]
            second = request("POST", "/api/v2/keys/self/rotate", first).json()["key"]
            with Wire(server.port) as wire:
                wire.open(f"/api/v1/stream?key={first}")
                wire.message()
                request("DELETE", "/api/v2/keys/self", first)
                assert wire.close_code() == 4401
            # What goes wrong with them, and what is wrong with what is sent.
            for key in (first, second[:-1], second + "x"):
                request("GET", f"/api/v1/rest/chargers?apikey={key}")
                request("GET", "/api/v2/keys/self", key)
            for odd in (f"{MAIL} {MAIL}", f"{second}@", f"x{MAIL},"):
                request("POST", "/api/v2/keys", json={**said, "email": odd})
            request("POST", "/api/v2/keys", json={**said, "name": f"{second} {MAIL}" * 10})
            request("POST", "/api/v2/keys", json={**said, "purpose": f"{second} {MAIL}" * 20})
            request("POST", "/api/v2/keys", content=json.dumps(said), headers={"Content-Type": "text/plain"})
            request("POST", "/api/v2/keys", json=said, headers={"Origin": f"https://{MAIL}"})
            request("POST", "/api/v2/reports", second, json=said)
            request("POST", f"/api/v2/keys/{second}/approve", admin)
            for _ in range(6):
                request("POST", "/api/v2/keys", json=said)
            metrics = request("GET", "/metrics", admin).text
            listed = request("GET", "/api/v2/keys", admin).text
        server.stop()
        logged = server.said()
    kept = {path: path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file()}
    assert len(answers) > 15
    assert "a visitor created a key" in logged
    secrets = [key.rpartition("_")[2][:30] for key in (first, second, admin)]
    for secret in secrets:
        for text in (logged, metrics, listed, *answers):
            assert secret not in text
        assert [path.name for path, content in kept.items() if secret.encode() in content] == []
    for text in (logged, metrics):
        assert MAIL not in text
    # A foreign origin is named to the page that sent it.
    assert [text for text in answers if MAIL in text and "pages of" not in text] == []
    # Who runs the server has to be able to write to the holder: it is in the store, which is his alone.
    assert {path.name for path, content in kept.items() if MAIL.encode() in content} == {"store.db"}
    (store,) = (path for path in kept if path.name == "store.db")
    assert store.stat().st_mode & 0o077 == 0


def instant_ms(text: str) -> int:
    """Milliseconds of an instant as the server writes it."""
    found = re.fullmatch(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)\.(\d{3})Z", text)
    assert found is not None
    parts = [int(part) for part in found.groups()]
    return int(calendar.timegm((*parts[:6], 0, 0, 0))) * 1000 + parts[6]
