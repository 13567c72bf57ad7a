"""Keys from outside: who may do what, and that a key is never told to anybody."""

from __future__ import annotations

import contextlib
import json
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx2
import pytest
from tests.e2e.running import Running
from tests.e2e.serving import KEYS, Serving, furnish, now, tick
from tests.e2e.wire import TEXT, Ended, Wire, refusal
from tests.patience import DEADLINE_S, scaled, until

from ladestrom.edges.page import TILES_PATH, VIEWS
from ladestrom.problem import PAGES_PATH

E1 = "NO*ALF*E1333*1"
ELSEWHERE: Final = {"X-Forwarded-For": "192.0.2.7"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server that the tests of this file share."""
    with Serving(tmp_path_factory.mktemp("keys")) as running:
        yield running


# -- who may do what ---------------------------------------------------------------------------------------

OPEN: Final = "open"
WAYS: Final[dict[str, tuple[str, str]]] = {
    "/livez": ("GET", OPEN),
    "/readyz": ("GET", OPEN),
    "/metrics": ("GET", "admin"),
    "/api/v1/rest/connector/NOR_01333_01": ("GET", "stream"),
    "/api/v1/rest/charger/NOR_01333": ("GET", "stream"),
    "/api/v1/rest/chargers": ("GET", "stream"),
    "/api/v1/rest/chargers/NOR": ("GET", "stream"),
    "/api/v1/stream": ("UPGRADE", "stream"),
    "/api/v1/stream/realtime": ("UPGRADE", "stream"),
    "/api/v2/stream": ("UPGRADE", "stream"),
    "/api/v2/events": ("EVENTS", "stream"),
    "/api/v2/tickets": ("POST", "stream"),
    "/api/v2/evses": ("GET", "list"),
    "/api/v2/evses/NO*ALF*E1342": ("GET", "stream"),
    "/api/v2/stations": ("GET", "list"),
    "/api/v2/stations/NOR_01333": ("GET", "stream"),
    "/api/v2/stations/NOR_01333/history": ("GET", "stream"),
    "/api/v2/operators": ("GET", "stream"),
    "/api/v2/operators/self": ("GET", "report"),
    "/api/v2/operators/self/refusals": ("GET", "report"),
    "/api/v2/page": ("GET", OPEN),
    "/api/v2/map": ("GET", "stream"),
    "/api/v2/map/stations": ("GET", "stream"),
    "/api/v2/map/texts": ("GET", "stream"),
    "/api/v2/overview": ("GET", "stream"),
    "/api/v2/stations.geojson": ("GET", "stream"),
    "/api/v2/stations.csv": ("GET", "stream"),
    "/api/v2/evses.csv": ("GET", "stream"),
    "/api/v2/evses.ndjson": ("GET", "stream"),
    "/api/oicp/status.json": ("GET", "stream"),
    "/datex2/v3/table.json": ("GET", "stream"),
    "/datex2/v3/table.xml": ("GET", "stream"),
    "/datex2/v3/status.json": ("GET", "stream"),
    "/datex2/v3/status.xml": ("GET", "stream"),
    "/irve/dynamique.csv": ("GET", "stream"),
    "/nobil/real-time/v1/Realtime": ("POST", "stream"),
    "/nobil/real-time/v1/stream": ("UPGRADE", "stream"),
    "/ocpi/versions": ("GET", "stream"),
    "/ocpi/2.2.1": ("GET", "stream"),
    "/ocpi/2.2.1/sender/locations": ("GET", "stream"),
    "/ocpi/2.3.0/locations": ("GET", "stream"),
    "/api/v2/reports": ("POST", "report"),
    "/api/v2/reports/stream": ("UPGRADE", "report"),
}
"""Method, and the scope that is needed; `list` shows who only reports what is its own."""
MAY: Final = {
    None: {OPEN},
    "stream": {OPEN, "stream", "list"},
    "alfa": {OPEN, "report", "list"},
    "beta": {OPEN, "report", "list"},
    "both": {OPEN, "stream", "report", "list"},
    "admin": {OPEN, "stream", "admin", "list"},
    "revoked": {OPEN},
    "expired": {OPEN},
}


def tried(server: Serving, path: str, method: str, key: str | None) -> int:
    """The status with which a request from another machine is answered."""
    headers = {**ELSEWHERE, **(server.bearer(key) if key else {})}
    if method in {"GET", "POST"}:
        answer = server.request(method, path, headers=headers, content=b"[]" if method == "POST" else b"")
        return answer.status_code
    with Wire(server.port) as wire:
        if method == "UPGRADE":
            return wire.open(path, headers).response.status
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        wire.send(f"GET {path} HTTP/1.1\r\nHost: here\r\n{lines}\r\n".encode())
        return wire.head().status


PULLS: Final = {
    "/api/oicp/evsepull/v21/providers/NO-XYZ/status-records": {"ProviderID": "NO-XYZ"},
    "/api/oicp/evsepull/v21/providers/NO-XYZ/status-records-by-id": {
        "ProviderID": "NO-XYZ",
        "EvseID": [E1],
    },
    "/api/oicp/evsepull/v21/providers/NO-XYZ/status-records-by-operator-id": {
        "ProviderID": "NO-XYZ",
        "OperatorID": ["NO*ALF"],
    },
    "/api/oicp/evsepull/v23/providers/NO-XYZ/data-records": {
        "ProviderID": "NO-XYZ",
        "GeoCoordinatesResponseFormat": "Google",
    },
}
"""Resources of OICP, which refuse a key in an answer of 200: what is asked with."""


@pytest.mark.parametrize("path", PULLS)
def test_a_key_that_may_not_read_is_refused_in_the_words_of_oicp(server: Serving, path: str) -> None:
    found = {}
    for key in MAY:
        headers = {**ELSEWHERE, **(server.bearer(key) if key else {})}
        answer = server.request("POST", path, headers=headers, content=json.dumps(PULLS[path]))
        assert answer.status_code == 200
        found[key] = answer.json()["StatusCode"]["Code"]
        if found[key] == "017":
            assert E1 not in answer.text
    assert found == {key: "000" if "stream" in may else "017" for key, may in MAY.items()}


@pytest.mark.parametrize("path", WAYS)
def test_a_key_opens_what_its_scopes_say_and_nothing_else(server: Serving, path: str) -> None:
    method, needed = WAYS[path]
    found = {key: tried(server, path, method, key) for key in MAY}
    good = 101 if method == "UPGRADE" else 200
    expected = {
        key: good if needed in may else 401 if key in {None, "revoked", "expired"} else 403
        for key, may in MAY.items()
    }
    assert found == expected


def test_the_matrix_has_a_row_for_every_path_and_a_column_for_every_key(server: Serving) -> None:
    patterns = {route.path_format for route in server.app.web.routes}
    assert set(KEYS) | {None} == set(MAY)
    missing = {
        pattern
        for pattern in patterns
        if not any(fits(pattern, path) for path in (*WAYS, *PULLS))
        and pattern not in {*PUBLIC, *DELIVERIES, *OWN_SECRETS, *TOLD_WITHIN}
        and not pattern.startswith(TRIED_WITH_EVERY_METHOD)
    }
    assert not missing


PUBLIC: Final = frozenset(
    {
        *VIEWS,
        "/api/v2/setup",
        "/page/{digest}/{name}",
        "/favicon.ico",
        TILES_PATH,
        "/docs/index.json",
        "/docs/{name}",
        "/llms.txt",
        "/manifest.webmanifest",
        "/robots.txt",
        "/openapi.json",
        "/asyncapi.json",
        "/api/v2/catalogue",
        PAGES_PATH,
        f"{PAGES_PATH}/{{code}}",
    }
)
"""Documents: the same for everybody."""
DELIVERIES: Final = {
    "/api/oicp": "/api/oicp/evsepush/v21/operators/NO*ALF/status-records",
    "/dynamique": "/dynamique/status/bulk",
    "/push/datex2": "/push/datex2",
    "/push/irve": "/push/irve",
}
"""Where operators deliver in protocols of others, by where these are mounted."""
TRIED_WITH_EVERY_METHOD: Final = ("/api/v2/keys", "/api/v2/admin")
"""Several methods and scopes at one path: `test_admin` tries each with every role."""
OWN_SECRETS: Final = frozenset({"/ocpi", "/ocpp", "/auth/token"})
"""Where peers, charge points and passwords are known by secrets that are no keys."""


TOLD_WITHIN: Final = frozenset({"/api/server/search.php", "/api/server/datadump.php"})
"""Where a refusal is told within an answer of 200, as the original does: `{"error": "..."}`."""


@pytest.mark.parametrize("path", sorted(TOLD_WITHIN))
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_key_reads_as_nobil_is_read_or_is_told_why_it_does_not(
    server: Serving, path: str, method: str
) -> None:
    query = "?format=json&type=stats_GetSumChargerstations" if "search" in path else "?format=json"
    found = {}
    for key in MAY:
        answer = server.request(
            method, f"{path}{query}", headers={**ELSEWHERE, **(server.bearer(key) if key else {})}
        )
        assert answer.status_code == 200
        found[key] = "chargerstations" in answer.json() and "error" not in answer.json()
    assert found == {key: "stream" in may for key, may in MAY.items()}


@pytest.mark.parametrize("path", DELIVERIES.values())
def test_a_key_that_reports_delivers_in_every_protocol_and_no_other_does(server: Serving, path: str) -> None:
    found = {key: tried(server, path, "POST", key) for key in MAY}
    reporting = {key for key, may in MAY.items() if "report" in may}
    assert {key: status for key, status in found.items() if key not in reporting} == {
        key: 401 if key in {None, "revoked", "expired"} else 403 for key in set(MAY) - reporting
    }
    # A list without items is no message of most of them; and OICP's path names whose statuses they are.
    assert found["alfa"] in {200, 201, 400, 404}
    assert {found[key] for key in reporting} <= {200, 201, 400, 403, 404}


def test_a_key_opens_nothing_of_ocpi_but_what_is_read(server: Serving) -> None:
    for path, method in (("credentials", "GET"), ("credentials", "POST"), ("locations/NO/ALF/1", "POST")):
        found = {key: tried(server, f"/ocpi/2.2.1/{path}", method, key) for key in MAY}
        assert set(found.values()) <= {401, 403, 405}, (path, found)
    for key in ("stream", "both", "admin"):
        answer = server.request("PUT", "/ocpi/2.2.1/locations/NO/ALF/1", headers=server.bearer(key), json={})
        assert answer.status_code == 401


def fits(pattern: str, path: str) -> bool:
    parts, given = pattern.split("/"), path.split("/")
    return len(parts) == len(given) and all(
        part == word or part.startswith("{") for part, word in zip(parts, given, strict=True)
    )


@pytest.mark.parametrize(
    ("key", "evse"),
    [("alfa", "SE*BET*E7*1"), ("beta", E1), ("beta", "NOR_01523_01"), ("both", "DKBETE111")],
)
def test_an_operators_key_does_not_write_for_another(server: Serving, key: str, evse: str) -> None:
    _, before = server.settled()
    receipt = server.report({"evse": evse, "status": "OUTOFORDER", "observed_at": tick()}, key=key)
    assert [each["reason"] for each in receipt["refused"]] == ["not_allowed"]
    with Wire(server.port) as wire:
        wire.open("/api/v2/reports/stream", server.bearer(key))
        wire.put(TEXT, json.dumps({"evse": evse, "status": "OUTOFORDER"}).encode())
        assert [each["reason"] for each in wire.message()["refused"]] == ["not_allowed"]
    assert server.settled()[1] == before


@pytest.mark.parametrize("change", ["cut", "changed", "other", "upper"])
def test_a_key_that_is_not_exactly_so_is_none(server: Serving, change: str) -> None:
    key = server.keys["stream"]
    last = "0" if key[-1] != "0" else "1"
    wrong = {
        "cut": key[:-1],
        "changed": key[:-1] + last,
        "other": key[:15] + server.keys["admin"][15:],
        "upper": key.swapcase(),
    }[change]
    answer = server.get("/api/v1/rest/chargers", key=None, headers={"X-Api-Key": wrong})
    assert answer.status_code == 401
    assert answer.json()["code"] == "unauthenticated"


def test_whether_a_key_was_revoked_is_told_to_its_holder_only(server: Serving) -> None:
    revoked = server.keys["revoked"]
    stranger = revoked[:15] + server.keys["stream"][15:]
    told = [
        server.get("/api/v1/rest/chargers", key=None, headers={"X-Api-Key": key}).json()["detail"]
        for key in (revoked, stranger)
    ]
    assert "revoked" in told[0]
    assert "revoked" not in told[1]


def test_a_running_server_learns_of_new_and_of_revoked_keys(server: Serving) -> None:
    server.make_key("fresh", ["stream"])
    assert server.get("/api/v1/rest/chargers", key="fresh").status_code == 200
    server.revoke("fresh")
    server.in_step()
    assert server.get("/api/v1/rest/chargers", key="fresh").status_code == 401


def test_two_keys_are_good_while_one_replaces_the_other(server: Serving) -> None:
    server.make_key("old", ["stream"])
    server.make_key("new", ["stream"])
    ends_at = now() + 700
    server.write(lambda store: store.expire_key(server.key_ids["old"], ends_at))
    server.in_step()
    assert server.get("/api/v1/rest/chargers", key="old").status_code == 200 or now() >= ends_at
    until(lambda: server.get("/api/v1/rest/chargers", key="old").status_code == 401, "the old one ends")
    assert now() >= ends_at
    assert server.get("/api/v1/rest/chargers", key="new").status_code == 200


def test_the_use_of_a_key_is_noted_to_the_minute(tmp_path: Path) -> None:
    with Serving(tmp_path) as server:
        server.get("/api/v1/rest/chargers", key="stream")
        server.get("/api/v1/rest/chargers", key="revoked")
        server.stop()
        used = {each.id: each.last_used_at for each in server.write(lambda store: store.keys())}
        noted = used[server.key_ids["stream"]]
        assert noted is not None
        assert noted % 60_000 == 0
        assert used[server.key_ids["revoked"]] is None
        assert used[server.key_ids["admin"]] is None


# -- a key is never told -----------------------------------------------------------------------------------

FOREIGN: Final = "Zc0nfidential7Canary"
"""A key that has not the form of ours."""


UPGRADES: Final = (
    "/api/v1/stream",
    "/api/v1/stream/realtime",
    "/api/v2/stream",
    "/api/v2/reports/stream",
    "/nope",
)


class Leaks:
    """Sends keys by every way, and keeps all that the server says."""

    def __init__(self, running: Running, keys: dict[str, str]) -> None:
        self.said: list[bytes] = []
        self._running = running
        self._keys = keys
        self._client = httpx2.Client(base_url=running.url, timeout=DEADLINE_S)

    def close(self) -> None:
        self._client.close()

    def request(self, method: str, path: str, **options: object) -> None:
        answer = self._client.request(method, path, **options)  # type: ignore[arg-type]
        self.said += [answer.content, str(answer.headers).encode()]

    def upgrade(self, target: str, headers: dict[str, str], *messages: str) -> None:
        with Wire(self._running.port) as wire, contextlib.suppress(Ended, TimeoutError):
            wire.open(target, headers)
            self.said.append(repr(wire.response).encode())
            if wire.response.status != 101:
                self.said.append(json.dumps(refusal(wire)).encode())
                return
            # Not every message is answered: who waits in vain does not wait for long.
            wire.socket.settimeout(scaled(1.0))
            for message in messages:
                wire.put(TEXT, message.encode())
                self.said.append(wire.text())
                self.said.append(wire.text())

    def raw(self, sent: bytes) -> None:
        with Wire(self._running.port) as wire, contextlib.suppress(Ended, TimeoutError):
            wire.send(sent)
            self.said.append(repr(wire.answer()).encode())

    def everywhere(self, key: str) -> None:
        """Every way in."""
        header, bearer = {"X-Api-Key": key}, {"Authorization": f"Bearer {key}"}
        for path in ("/api/v1/rest/chargers", "/api/v2/operators", "/metrics", "/nope", "/api/v2/reports"):
            for carried in (header, bearer, {"Authorization": key}, {"Authorization": f"Basic {key}"}):
                self.request("GET", path, headers=carried)
            self.request("GET", f"{path}?key={key}&apikey={key}")
        good = {"Authorization": f"Bearer {self._keys['both']}"}
        for query in (f"country={key}", f"bbox={key}", f"station={key}", f"operator={key}"):
            self.request("GET", f"/api/v1/rest/chargers?{query}", headers=good)
        for path in ("/api/v2/evses/", "/api/v1/rest/charger/", "/api/v1/rest/connector/", "/"):
            self.request("GET", path + key, headers=good)
        self.request("GET", f"/api/v2/stations?cursor={key}", headers=good)
        self.request("GET", "/api/v1/rest/chargers", headers={**good, "If-None-Match": f'"{key}"'})
        for body in (
            json.dumps({"evse": key, "status": "CHARGING"}),
            json.dumps([{"evse": E1, "status": key}, {"uuid": key, "connector": 0, "status": 1}]),
            json.dumps({"evse": E1, "status": "CHARGING", "observed_at": key}),
            json.dumps({"evse": E1, "status": "CHARGING", "apikey": key}),
            f'{{"apikey": {key}',
            f"apikey={key}",
        ):
            self.request("POST", "/api/v2/reports", headers=good, content=body.encode())
        self.request("POST", "/api/v2/reports", headers={**good, "Idempotency-Key": key}, content=b"[]")
        self.request("POST", "/api/v2/reports", headers={**good, "Content-Encoding": key}, content=b"[]")
        self.request("POST", "/api/v2/tickets", headers={**good, "Origin": f"http://{key}"})
        for path in UPGRADES:
            for target in (path, f"{path}?key={key}", f"{path}?apikey={key}&ticket={key}"):
                self.upgrade(target, {})
                self.upgrade(target, bearer)
                self.upgrade(target, header)
            for name in ("since", "types", "country", "mode"):
                self.upgrade(f"{path}?{name}={key}", good)
            self.upgrade(path, {**good, "Origin": f"http://{key}.example"})
            self.upgrade(path, {**good, "Sec-WebSocket-Key": key})
            self.upgrade(path, {**good, "Sec-WebSocket-Protocol": key})
        self.upgrade("/api/v2/stream", good, json.dumps({"type": "select", "country": key}))
        self.upgrade("/api/v2/stream", good, f'{{"type": "{key}"}}', key)
        self.upgrade("/api/v2/reports/stream", good, json.dumps({"evse": key, "status": 1}), key)
        self.raw(f"GET /{key} HTTP/7.7\r\n\r\n".encode())
        self.raw(f"GET /livez?key={key} HTTP/1.1\r\nX-Api-Key : {key}\r\n\r\n".encode())
        self.raw(f"GET /livez HTTP/1.1\r\nX-Api-Key: {key}\x00\r\n\r\n".encode())


def test_no_key_is_ever_in_a_log_a_metric_an_answer_or_a_file(tmp_path: Path) -> None:
    keys = {name: text for name, (text, _) in furnish(tmp_path / "data").items()}
    with Running(tmp_path, {"logging.level": "debug", "log.checkpoint_s": "1"}) as running:
        running.output = deque()
        running.start()
        leaks = Leaks(running, keys)
        for name in ("both", "revoked"):
            leaks.everywhere(keys[name])
        in_headers = {"X-Api-Key": FOREIGN}
        for carried in (in_headers, {"Authorization": f"Bearer {FOREIGN}"}):
            leaks.request("GET", "/api/v1/rest/chargers", headers=carried)
            leaks.upgrade("/api/v1/stream", carried)
            leaks.upgrade("/api/v2/reports/stream", carried)
        leaks.request("GET", f"/api/v1/rest/chargers?key={FOREIGN}")
        leaks.upgrade(f"/api/v1/stream?apikey={FOREIGN}", {})
        leaks.upgrade(f"/api/v2/reports/stream?key={FOREIGN}", {})
        leaks.request("GET", "/metrics")
        leaks.close()
        assert running.stop() == 0
    endings = [key[-36:] for key in keys.values()]
    secrets = [FOREIGN, *endings, *(ending.swapcase() for ending in endings)]
    logged = running.said()
    kept = {path.name: path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file()}
    assert len(leaks.said) > 200
    assert logged.count("\n") > 300, "the log says something"
    assert {"log.db", "store.db", "freshness.json"} <= set(kept)
    for secret in secrets:
        assert [said for said in leaks.said if secret.encode() in said] == []
        assert secret not in logged
        assert [name for name, content in kept.items() if secret.encode() in content] == []
    assert '"level":"error"' not in logged
    assert "***" in logged
