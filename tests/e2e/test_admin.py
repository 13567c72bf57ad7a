"""For whoever runs the server, over HTTP: who may what, what is told, what is done."""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar, Final

import httpx2
import msgspec
import pytest
from tests.e2e.answering import Answering
from tests.e2e.running import Running
from tests.e2e.serving import Serving, now
from tests.e2e.wire import Wire
from tests.patience import DEADLINE_S, until

from ladestrom import __version__, logs
from ladestrom.cli import main
from ladestrom.config import SETTINGS
from ladestrom.core.access import GRANTS, Scope
from ladestrom.core.key_making import asked, self_made
from ladestrom.edges.contract.protocols import PROTOCOLS
from ladestrom.edges.contract.rows import Operation
from ladestrom.errors import LogFailure
from ladestrom.formats.administration import LogLine
from ladestrom.ports.sources import SourceRecord
from ladestrom.roles.contracts import contract

ROLES: Final = ("nobody", "stranger", "stream", "alfa", "both", "admin", "waiting", "expired", "revoked")
SCOPES: Final = {
    "stream": {Scope.STREAM},
    "alfa": {Scope.REPORT},
    "both": {Scope.STREAM, Scope.REPORT},
    "admin": {Scope.ADMIN},
}
OPERATIONS: Final = [row for row in contract().operations if row.tag != PROTOCOLS]
STREAMS: Final = frozenset({"streamV1", "streamV1Realtime", "streamV2", "streamRealtime", "streamReports"})
LAST: Final = frozenset({"endOwnKey"})
"""Tried with a key of its own, as nothing can be tried with it after that."""
UNFIT: Final = "lst_0123456789_ABCDEF"
JSON_ANSWERS: Final = frozenset({"application/problem+json", "application/json"})
IN_FORMS: Final = ("an envelope of OCPI", "a status code of OICP", "an error of NOBIL")
IN_OCPI, IN_OICP, IN_NOBIL = IN_FORMS
"""Refusals of protocols that have a form of their own."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with Serving(tmp_path_factory.mktemp("admin"), {"keys.per_address_per_hour_max": 1_000}) as running:
        running.report({"evse": "NO*ALF*E1342", "status": "AVAILABLE"})
        running.keys["stranger"] = UNFIT
        running.keys["waiting"] = waiting_key(running)
        yield running


def waiting_key(server: Serving) -> str:
    """A key that waits to be approved."""
    wanted = asked("waits", None, None)
    seed = time.time_ns().to_bytes(8, "big")
    text, record = self_made(seed * 4, seed, wanted, now(), days=1, approved=False)
    server.write(lambda store: store.put_key(record, self_made_max=100))
    server.in_step()
    return text


def ask(server: Serving, path: str, *, method: str = "GET", key: str = "admin") -> httpx2.Response:
    return server.request(method, f"/api/v2/admin{path}", headers=server.bearer(key))


def told(server: Serving, path: str = "") -> Any:
    answer = ask(server, path)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return answer.json()


# -- who may -----------------------------------------------------------------------------------------------


def expected(operation: Operation, role: str) -> tuple[int, str] | None:
    """How a role is refused; None where it is not."""
    if operation.scope is None:
        return None
    if role in {"nobody", "stranger", "expired", "revoked"}:
        return 401, "unauthenticated"
    if role == "waiting":
        return None if operation.id in {"getOwnKey", "endOwnKey"} else (403, "key_pending")
    granted = {grant for scope in SCOPES[role] for grant in GRANTS[scope]}
    if operation.of_any_scope or operation.scope in granted or operation.also in granted:
        return None
    return 403, "not_allowed"


def answered(server: Serving, operation: Operation, role: str) -> tuple[int, str]:
    """Status and code of what a role gets."""
    path = operation.path
    for name in ("country", "uuid", "evse", "key_id", "name", "unread_id"):
        path = path.replace(f"{{{name}}}", "nothing")
    headers = {} if role == "nobody" else server.bearer(role)
    with Wire(server.port) as wire:
        if operation.id in STREAMS:
            wire.open(path, headers)
            head = wire.response
        else:
            lines = {"Host": "127.0.0.1", "Content-Length": "0", **headers}
            head_lines = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
            wire.send(f"{operation.method.upper()} {path} HTTP/1.1\r\n{head_lines}\r\n".encode())
            head = wire.head()
        kind = head.headers.get("content-type", "")
        body = wire.take(int(head.headers["content-length"])) if kind in JSON_ANSWERS else b"{}"
    return head.status, code_of(json.loads(body))


def code_of(body: Any) -> str:
    """The error's code, or what stands for it in the protocol's own form; empty where it is none of the key."""
    if not isinstance(body, dict):
        return ""
    if "status_code" in body:
        return IN_OCPI if body["status_code"] >= 2000 else ""
    if "StatusCode" in body:
        return IN_OICP if body["StatusCode"]["Code"] == "017" else ""
    return str(body.get("code", IN_NOBIL if "key" in str(body.get("error", "")) else ""))


def test_every_role_gets_at_every_endpoint_what_its_scopes_say_and_nothing_else(server: Serving) -> None:
    tried = 0
    deviations = []
    for operation in sorted(OPERATIONS, key=lambda each: each.id in LAST):
        for role in ROLES:
            name = role
            if operation.id in LAST and role in SCOPES:
                name = f"{role} that ends"
                operator = "alfa" if Scope.REPORT in SCOPES[role] else None
                server.make_key(name, sorted(SCOPES[role]), operator=operator)
            status, code = answered(server, operation, name)
            wanted = expected(operation, role)
            if wanted is None:
                fits = (status not in {401, 403} and code not in {IN_OICP, IN_NOBIL}) or code == "keys_closed"
            elif code in IN_FORMS:
                fits = status == (wanted[0] if code == IN_OCPI else 200)
            else:
                fits = (status, code) == wanted
            tried += 1
            if not fits:
                deviations.append((operation.id, role, status, code, wanted))
    assert deviations == [], "\n".join(map(str, deviations))
    assert tried == len(OPERATIONS) * len(ROLES)
    server.keys["waiting"] = waiting_key(server)


@pytest.mark.parametrize("path", ["", "/settings", "/sources", "/quarantine"])
def test_a_key_in_the_address_opens_nothing_here(server: Serving, path: str) -> None:
    answer = server.get(f"/api/v2/admin{path}?key={server.keys['admin']}&apikey=demo", key=None)
    assert answer.status_code == 401


# -- the process -------------------------------------------------------------------------------------------


def test_the_process_tells_of_itself_what_is_so(server: Serving) -> None:
    with server.stream() as wire:
        wire.message()
        state = told(server)
    assert (state["version"], state["durability"], state["ready"]) == (__version__, "full", True)
    assert 0 <= state["uptime_s"] < 600
    log = server.app.log
    assert state["log"]["position"] == str(log.last)
    assert (state["log"]["first_seq"], state["log"]["last_seq"]) == (log.first, log.last.seq)
    assert state["log"]["bytes"] >= (server.data / "log.db").stat().st_size > 0
    assert (state["log"]["retention_days"], state["log"]["retention_mib"]) == (7, 4_096)
    assert 0 <= state["log"]["checkpoint_seq"] <= log.last.seq
    assert state["store"]["address"] == str(server.data / "store.db")
    assert state["store"]["revision"] == server.write(lambda store: store.revision())
    assert state["board"] == {"stations": 6, "evses": len(server.app.writer.board)}
    assert state["consumers"]["total"] == state["consumers"]["channels"] == 1
    assert state["consumers"]["bytes_out"] > 0
    assert 10_000_000 < state["memory_bytes"] < 10_000_000_000


def test_that_the_log_cannot_be_written_is_told(tmp_path: Path) -> None:
    async def fails() -> None:
        raise LogFailure("the disk is full")

    with Serving(tmp_path) as server:
        assert told(server)["ready"]
        probe = server.app.log.probe

        def set_probe(instead: object) -> None:
            setattr(server.app.log, "probe", instead)  # noqa: B010 - a method is replaced
            server.app.writer.hub.fault = "the disk is full"

        server.expects("not ready")
        server.call(lambda: set_probe(fails))
        assert not told(server)["ready"]
        assert told(server)["reasons"] == {"log": "the disk is full"}
        server.call(lambda: set_probe(probe))
        until(lambda: told(server)["ready"], "the log can be written again")


# -- settings ----------------------------------------------------------------------------------------------


def test_every_setting_is_told_with_where_it_came_from(tmp_path: Path) -> None:
    file = tmp_path / "ladestrom.toml"
    file.write_text("[stream]\nheartbeat_s = 7\n", encoding="utf-8")
    settings = {"server.url_public": "https://me:word@power.example"}
    with Running(tmp_path, settings) as running:
        key = running.key("admin")
        running._environment["LADESTROM_CONFIG"] = str(file)
        running.start()
        headers = {"X-Api-Key": key}
        answer = httpx2.get(
            f"{running.url}/api/v2/admin/settings", headers=headers, timeout=DEADLINE_S
        ).json()
    rows = {row["name"]: row for row in answer["items"]}
    assert list(rows) == [row.key for row in SETTINGS]
    row = rows["stream.heartbeat_s"]
    assert (row["value"], row["default"], row["unit"]) == (7, 20, "s")
    assert (row["origin"], row["from"]) == ("file", str(file))
    row = rows["server.url_public"]
    assert row["value"] == "https://me:***@power.example"
    assert (row["origin"], row["from"]) == ("environment", "LADESTROM_SERVER__URL_PUBLIC")
    assert rows["server.data"]["origin"] == "flag"
    assert rows["rules.start_grace_s"]["origin"] == "default"
    assert all(row["help"] for row in rows.values())


# -- sources -----------------------------------------------------------------------------------------------


class Peer(BaseHTTPRequestHandler):
    """Answers every request with a good file, and counts them by path: one that fails would be rested from."""

    asked: ClassVar[Counter[str]] = Counter()

    def do_GET(self) -> None:
        self.asked[self.path.partition("?")[0]] += 1
        self.send_response(200)
        self.end_headers()
        self.wfile.write(
            b"id_pdc_itinerance,etat_pdc,occupation_pdc,horodatage\n"
            b"NOALFE13331,en_service,libre,2026-11-01T08:00:00Z\n"
        )

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def peer() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Peer)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def pause_by_api(server: Serving, *, paused: bool) -> None:
    answer = ask(server, f"/sources/far/{'pause' if paused else 'resume'}", method="POST")
    assert answer.status_code == 200, answer.text
    assert (answer.json()["source"], answer.json()["paused"]) == ("far", paused)


def pause_by_command(server: Serving, *, paused: bool) -> None:
    assert main(["sources", "pause" if paused else "resume", "far", "--data", str(server.data)]) == 0
    server.in_step()


def test_a_source_is_told_of_and_stops_and_goes_on_by_api_and_command(
    tmp_path: Path, peer: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    with Serving(tmp_path) as server:
        source = SourceRecord(
            name="far",
            operator="alfa",
            protocol="irve",
            address=f"{peer}/file.csv?token=word",
            secret="word",
            poll_s=1,
            added_at=now(),
            changed_at=now(),
        )
        other = msgspec.structs.replace(source, name="near", address=f"{peer}/near.csv")
        for each in (source, other):
            server.write(lambda store, each=each: store.put_source(each))  # type: ignore[misc]
        server.in_step()

        def far() -> dict[str, Any]:
            return next(row for row in told(server, "/sources")["items"] if row["source"] == "far")

        until(lambda: far()["state"] != "new", "it was asked")
        assert (far()["operator"], far()["address"], far()["paused"]) == ("alfa", f"{peer}/file.csv", False)
        assert "word" not in ask(server, "/sources").text
        for first, second in ((pause_by_api, pause_by_command), (pause_by_command, pause_by_api)):
            first(server, paused=True)
            assert (far()["state"], far()["paused"]) == ("paused", True)
            then = Counter(Peer.asked)
            until(lambda: Peer.asked["/near.csv"] > then["/near.csv"] + 1, "another is asked again")  # noqa: B023 - used before it changes
            assert Peer.asked["/file.csv"] == then["/file.csv"], "who is paused is not asked"
            second(server, paused=False)
            assert not far()["paused"]
            until(lambda: Peer.asked["/file.csv"] > then["/file.csv"], "it is asked again")  # noqa: B023 - used before it changes
        server.stop()
        server.start()
        assert not far()["paused"]
        pause_by_api(server, paused=True)
        server.stop()
        server.start()
        assert far()["paused"]


def test_a_source_is_asked_at_once_by_api_and_command(tmp_path: Path) -> None:
    """And a line of the log says that it fails, once, and that it has recovered."""
    hostile = b"<img src=x onerror=alert(1)> Authorization: Bearer word lst_0123456789_SECRET"
    with Answering() as other, Serving(tmp_path) as server:
        other.say(200, body=hostile)
        source = SourceRecord(
            name="far",
            operator="alfa",
            protocol="oicp-file",
            address=f"{other.url}/status.json",
            secret="word",
            poll_s=86_400,
            added_at=now(),
            changed_at=now(),
        )
        server.write(lambda store: store.put_source(source))
        server.in_step()

        def far() -> dict[str, Any]:
            return next(row for row in told(server, "/sources")["items"] if row["source"] == "far")

        def transitions() -> list[str]:
            wanted = {"a source fails", "a source has recovered"}
            return [line["event"] for line in server.logged() if line["event"] in wanted]

        until(lambda: far()["outages"] == 1, "it fails, and that was told of")
        failing = far()
        assert (failing["state"], failing["error"], failing["failing_since"] <= failing["error_at"]) == (
            "failing",
            "malformed_body",
            True,
        )
        assert "JSON" in failing["error_detail"]
        assert not {"word", "SECRET"} & set(ask(server, "/sources").text.replace('"', " ").split())
        asked = len(other.requests)
        answer = ask(server, "/sources/far/ask", method="POST")
        assert (answer.status_code, answer.json()["state"]) == (200, "failing"), answer.text
        assert len(other.requests) == asked + 1, "it was asked, once, before its time"
        records = [{"EvseID": "NO*ALF*E1333*1", "EVSEStatus": "Available"}]
        other.say(200, json={"EVSEStatuses": [{"OperatorID": "NO*ALF", "EVSEStatusRecord": records}]})
        recovered = ask(server, "/sources/far/ask", method="POST").json()
        assert (recovered["state"], recovered["failing_since"]) == ("fresh", None)
        until(lambda: len(transitions()) == 2, "it was told of")
        assert transitions() == ["a source fails", "a source has recovered"]
        asked = len(other.requests)
        assert main(["sources", "ask", "far", "--data", str(server.data)]) == 0
        until(lambda: len(other.requests) > asked, "the command has it asked")
        assert main(["sources", "ask", "nothing", "--data", str(server.data)]) != 0
        pause_by_api(server, paused=True)
        assert ask(server, "/sources/far/ask", method="POST").status_code == 409
        assert main(["sources", "ask", "far", "--data", str(server.data)]) != 0
        for name in ("nothing", "alfa%2Fplain"):
            assert ask(server, f"/sources/{name}/ask", method="POST").status_code == 404
        metrics = server.get("/metrics", key="admin").text
        assert 'ladestrom_source_outages_total{protocol="oicp-file",source="far"} 1.0' in metrics


def test_the_disk_and_the_last_lines_of_the_log_are_told(server: Serving) -> None:
    until(lambda: told(server)["disk"] is not None, "the disk was looked at")
    disk = told(server)["disk"]
    assert 0 < disk["free_bytes"] < disk["total_bytes"]
    line = LogLine("2026-11-22T08:00:00Z", "warning", "heard", {"said": UNFIT})
    logs._RECENT.append(line)
    assert told(server, "/log")["items"][0] == {
        "at": line.at,
        "level": "warning",
        "event": "heard",
        "values": {"said": "lst_***"},
    }


def test_who_pushes_is_told_of_and_cannot_be_paused(server: Serving) -> None:
    rows = {row["source"]: row for row in told(server, "/sources")["items"]}
    row = rows["alfa/plain"]
    assert (row["operator"], row["kind"], row["address"], row["paused"]) == ("alfa", "push", "", False)
    assert row["reports"] >= 1
    for path in ("/sources/nothing/pause", "/sources/nothing/resume", "/sources/alfa%2Fplain/pause"):
        assert ask(server, path, method="POST").status_code == 404


# -- what could not be read --------------------------------------------------------------------------------


def unread(server: Serving) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = told(server, "/quarantine")["items"]
    return found


def test_what_could_not_be_read_is_listed_and_comes_as_it_was(tmp_path: Path) -> None:
    with Serving(tmp_path) as server:
        bodies = [b'{"evse": ' + f"<b>{number}</b> {UNFIT}".encode() for number in range(3)]
        for number, body in enumerate(bodies, 1):
            assert server.post(body).status_code == 400
            until(lambda many=number: len(unread(server)) == many, "it is kept")  # type: ignore[misc]
        rows = unread(server)
        assert [row["at"] for row in rows] == sorted((row["at"] for row in rows), reverse=True)
        assert {(row["source"], row["protocol"], row["code"]) for row in rows} == {
            ("alfa/plain", "plain", "malformed_body")
        }
        kept = [body.replace(UNFIT.encode(), b"lst_***") for body in reversed(bodies)]
        for row, body in zip(rows, kept, strict=True):
            answer = ask(server, f"/quarantine/{row['id']}")
            assert answer.content == body
            assert row["bytes"] == len(body)
            assert answer.headers["content-type"] == "application/octet-stream"
            assert answer.headers["content-disposition"] == f'attachment; filename="{row["id"]}.bin"'
            assert answer.headers["x-content-type-options"] == "nosniff"
        again = ask(server, f"/quarantine/{rows[0]['id']}/replay", method="POST")
        assert (again.status_code, again.json()["code"]) == (409, "conflict")
        assert len(unread(server)) == 3


@pytest.mark.parametrize("replay", ["api", "command"])
def test_what_can_be_read_by_now_is_taken_and_gone(tmp_path: Path, replay: str) -> None:
    with Serving(tmp_path) as server:
        body = [{"evse": "NO*ALF*E1342", "status": "CHARGING"}, {"evse": "NO*ALF*E9", "status": "CHARGING"}]
        server.keep_unread(json.dumps(body).encode())
        (row,) = unread(server)
        if replay == "api":
            answer = ask(server, f"/quarantine/{row['id']}/replay", method="POST")
            assert answer.status_code == 200, answer.text
            assert answer.json() == {"id": row["id"], "accepted": 1, "unchanged": 0, "refused": 1}
        else:
            assert main(["sources", "replay", "alfa/plain", "--data", str(server.data)]) == 0
        until(lambda: unread(server) == [], "it is not kept any more")
        until(lambda: server.get("/api/v2/evses/NO*ALF*E1342").json()["status"] == "CHARGING", "it was taken")
        for method, path in (("GET", ""), ("POST", "/replay")):
            assert ask(server, f"/quarantine/{row['id']}{path}", method=method).status_code == 404


@pytest.mark.parametrize(
    "unread_id", ["%2E%2E", "..%2F..%2Fstore.db", "x", "1795341600000-000-00000000", "%00"]
)
def test_an_id_leads_to_nothing_but_what_is_kept(server: Serving, unread_id: str) -> None:
    for method, path in (("GET", ""), ("POST", "/replay")):
        answer = ask(server, f"/quarantine/{unread_id}{path}", method=method)
        assert answer.status_code in {400, 404, 405}
        assert b"SQLite" not in answer.content
