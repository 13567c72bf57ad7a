"""The OpenAPI document and the running server say the same."""

from __future__ import annotations

import base64
import copy
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import jsonschema
import pytest
from litestar.routes import ASGIRoute, HTTPRoute
from schemathesis.specs.openapi.definitions import OPENAPI_31
from tests.e2e.serving import Serving, now
from tests.e2e.wire import Head, Wire, refusal
from tests.patience import scaled
from tests.programs import run

from ladestrom.ingest.ocpi_peers import digest
from ladestrom.ports.peers import Peer

CONFIGURATION: Final = Path(__file__).with_name("schemathesis.toml")
CASES: Final = int(os.environ.get("CONTRACT_CASES", "0"))
"""Random requests an operation and phase, as `make contract` wants them; 0: a few, always the same."""
CASES_FEW: Final = 4
RUN_S_MAX: Final = scaled(240 + CASES * 10)
OCPI_TOKEN: Final = "a-token-of-a-peer"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with Serving(tmp_path_factory.mktemp("openapi")) as running:
        running.report(
            {"evse": "NO*ALF*E1333*1", "status": "CHARGING"}, {"evse": "NO*ALF*E1342", "status": "AVAILABLE"}
        )
        peer = Peer(id="peer", operator="alfa", state="fixed", token_sha256=digest(OCPI_TOKEN), made_at=now())
        running.write(lambda store: store.peers.put(peer))
        running.in_step()
        yield running


@pytest.fixture(scope="module")
def document(server: Serving) -> dict[str, Any]:
    found: dict[str, Any] = server.get("/openapi.json", key=None).json()
    return found


def test_the_document_is_openapi_3_1(document: dict[str, Any]) -> None:
    errors = list(jsonschema.Draft202012Validator(OPENAPI_31).iter_errors(document))
    assert [(list(error.absolute_path), error.message) for error in errors] == []
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_every_route_is_in_the_document_and_has_its_methods(
    server: Serving, document: dict[str, Any]
) -> None:
    routes: dict[str, set[str]] = {"/api/v2/events": {"get"}}
    mounted: set[str] = set()
    for route in server.app.web.routes:
        path = re.sub(r"\{(\w+):\w+\}", r"{\1}", route.path)
        methods = {method.lower() for method in route.methods} if isinstance(route, HTTPRoute) else set()
        if isinstance(route, ASGIRoute) and route.route_handler.is_mount:
            # What others specified: its paths are told apart behind the route.
            below = {each for each in document["paths"] if each == path or each.startswith(f"{path}/")}
            assert below, f"nothing at {path} is in the document"
            mounted |= below
            continue
        if isinstance(route, HTTPRoute) and not any(
            handler.include_in_schema is not False for handler in route.route_handlers
        ):
            # Documents and files of the page.
            continue
        if isinstance(route, ASGIRoute):
            methods = set(document["paths"].get(path, ()))
        routes.setdefault(path, set()).update(methods - {"options", "head"})
    assert {
        path: set(operations)
        for path, operations in document["paths"].items()
        if path not in mounted or path in routes
    } == routes
    pushes = {row.path for row in server.app.ingest.protocols.pushes.values()}
    assert pushes == {
        "/api/v2/reports",
        *(path for path in pushes if any(each.startswith(path) for each in mounted)),
    }


PUSHED: Final = {
    "pushOicpStatus": ("Bearer", 200, "Result"),
    "pushOicpData": ("Bearer", 200, "Result"),
    "pushIrve": ("Bearer", 200, "accepted"),
    "pushDatex2": ("Basic", 200, "accepted"),
    "createStatus": ("Bearer", 404, "detail"),
    "createStatuses": ("X-Api-Key", 404, "detail"),
    "listStatuses": ("Bearer", 200, ""),
    "getStatus": ("Bearer", 404, "detail"),
    "createToken": ("", 401, "detail"),
    "getOcpiVersions": ("Token", 200, "data"),
    "getOcpiVersion": ("Token", 200, "data"),
    "getOcpiCredentials": ("Token", 405, "status_code"),
    "getOcpiLocation": ("Token", 404, "status_code"),
    "putOcpiLocation": ("Token", 201, "status_code"),
    "patchOcpiLocation": ("Token", 200, "status_code"),
    "connectChargePoint": ("", 426, "code"),
}
"""Operations at paths that others specified: with what credential they are asked, and what the example gets."""


@pytest.mark.parametrize("operation_id", PUSHED)
def test_a_path_that_others_specified_is_where_the_document_says(
    server: Serving, document: dict[str, Any], operation_id: str
) -> None:
    scheme, status, member = PUSHED[operation_id]
    path, method, operation = next(
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if operation["operationId"] == operation_id
    )
    parameters = document["components"]["parameters"]
    for each in operation.get("parameters", []):
        parameter = parameters[each["$ref"].rpartition("/")[2]]
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", str(parameter["example"]).replace("FJL", "ALF"))
    headers = credential(server, scheme)
    content: bytes | None = None
    for media_type, described in operation.get("requestBody", {}).get("content", {}).items():
        if described.get("examples"):
            (example,) = described["examples"].values()
            value = example["value"]
            content = (value if isinstance(value, str) else json.dumps(value)).replace("FJL", "ALF").encode()
            headers["Content-Type"] = media_type
            break
        content = b"password=wrong"
    answer = server.request(method.upper(), path, headers=headers, content=content)
    assert answer.status_code == status, answer.text
    found = answer.json()
    assert not member or member in found
    if str(status) in operation["responses"]:
        schema = response_of(document, operation, status, answer.headers["content-type"])
        validator = jsonschema.Draft202012Validator({**schema, "components": document["components"]})
        assert [error.message for error in validator.iter_errors(found)] == []


def test_a_client_that_takes_gzip_is_told_the_methods_of_a_push(server: Serving) -> None:
    for row in server.app.ingest.protocols.pushes.values():
        answer = server.request("OPTIONS", row.path, headers={"Accept-Encoding": "gzip"})
        assert answer.status_code == 204, row.path
        assert "POST" in answer.headers["allow"]


def credential(server: Serving, scheme: str) -> dict[str, str]:
    """The header that shows a credential of the operator of which the tests have one."""
    key = server.keys["alfa"]
    match scheme:
        case "Token":
            return {"Authorization": f"Token {OCPI_TOKEN}"}
        case "Basic":
            return {"Authorization": f"Basic {base64.b64encode(b'anyone:' + key.encode()).decode()}"}
        case "X-Api-Key":
            return {"X-Api-Key": key}
    return {"Authorization": f"Bearer {key}"} if scheme else {}


def response_of(
    document: dict[str, Any], operation: dict[str, Any], status: int, media_type: str
) -> dict[str, Any]:
    response = operation["responses"][str(status)]
    if "$ref" in response:
        response = document["components"]["responses"][response["$ref"].rpartition("/")[2]]
    schema: dict[str, Any] = response["content"][media_type]["schema"]
    return schema


@pytest.mark.parametrize("path", ["/openapi.json", "/asyncapi.json"])
def test_every_pattern_is_one_of_ecma_262_in_unicode_mode(server: Serving, path: str, tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    served = tmp_path / "document.json"
    served.write_bytes(server.get(path, key=None).content)
    ran = run([node, "--eval", PATTERNS, served], deadline_s=RUN_S_MAX)
    assert ran.returncode == 0, ran.stderr
    counted, *wrong = json.loads(ran.stdout)
    assert counted > 5
    assert wrong == []


PATTERNS: Final = """
const found = [];
let counted = 0;
(function walk(node) {
  if (typeof node !== "object" || node === null) return;
  if (typeof node.pattern === "string") {
    counted += 1;
    try { new RegExp(node.pattern, "u"); } catch (error) { found.push(String(error)); }
  }
  Object.values(node).forEach(walk);
})(JSON.parse(require("fs").readFileSync(process.argv[1], "utf8")));
console.log(JSON.stringify([counted, ...found]));
"""
"""JavaScript: how many patterns a document has, and what is wrong with those that are none."""


def test_the_server_does_what_the_document_says(
    server: Serving, document: dict[str, Any], tmp_path: Path
) -> None:
    schema = tmp_path / "openapi.json"
    schema.write_text(json.dumps(narrowed(document)), encoding="utf-8")
    command: list[str | Path] = [
        Path(sys.executable).with_name("st"),
        "--no-color",
        f"--config-file={CONFIGURATION}",
        "run",
        schema,
        f"--url={server.url}",
        f"--header=Authorization: Bearer {server.keys['both']}",
        f"--max-examples={CASES or CASES_FEW}",
        *(() if CASES else ("--generation-deterministic",)),
        "--continue-on-failure",
    ]
    ran = run(command, cwd=tmp_path, deadline_s=RUN_S_MAX)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("path", "key", "headers", "status", "code"),
    [
        ("/api/v1/stream", None, {}, 401, "unauthenticated"),
        ("/api/v1/stream", "alfa", {}, 403, "not_allowed"),
        ("/api/v1/stream", "stream", {"Origin": "https://elsewhere.example"}, 403, "not_allowed"),
        ("/api/v1/stream?bbox=1", "stream", {}, 400, "invalid_filter"),
        ("/api/v1/stream?types=all", "stream", {}, 400, "bad_request"),
        ("/api/v1/stream?since=x", "stream", {}, 400, "invalid_position"),
        ("/api/v1/stream", "stream", {"Sec-WebSocket-Key": "short"}, 400, "bad_handshake"),
        ("/api/v1/stream/realtime?bbox=1", "stream", {}, 400, "invalid_filter"),
        ("/api/v2/stream", None, {}, 401, "unauthenticated"),
        ("/api/v2/stream?ticket=used", None, {}, 401, "unauthenticated"),
        ("/api/v2/stream?mode=some", "stream", {}, 400, "bad_request"),
        ("/api/v2/stream?batch_ms=1001", "stream", {}, 400, "bad_request"),
        ("/api/v2/stream?status=FREE", "stream", {}, 400, "invalid_filter"),
        ("/api/v2/stream", "stream", {"Sec-WebSocket-Version": "8"}, 400, "bad_handshake"),
        ("/api/v2/reports/stream", None, {}, 401, "unauthenticated"),
        ("/api/v2/reports/stream", "stream", {}, 403, "not_allowed"),
        ("/api/v2/reports/stream", "alfa", {"Sec-WebSocket-Key": "short"}, 400, "bad_handshake"),
    ],
)
def test_a_refused_upgrade_is_as_the_document_says(
    server: Serving,
    document: dict[str, Any],
    path: str,
    key: str | None,
    headers: dict[str, str],
    status: int,
    code: str,
) -> None:
    with Wire(server.port) as wire:
        wire.open(path, {**(server.bearer(key) if key else {}), **headers})
        body = refusal(wire)
        assert (wire.response.status, body["code"]) == (status, code)
        said_as_documented(document, path.partition("?")[0], wire.response, body)


@pytest.mark.parametrize(
    ("query", "key", "headers", "status", "code"),
    [
        ("", None, {}, 401, "unauthenticated"),
        ("", "alfa", {}, 403, "not_allowed"),
        ("?since=x", "stream", {}, 400, "invalid_position"),
        ("?batch_ms=-1", "stream", {}, 400, "bad_request"),
    ],
)
def test_a_refused_stream_of_events_is_as_the_document_says(
    server: Serving,
    document: dict[str, Any],
    query: str,
    key: str | None,
    headers: dict[str, str],
    status: int,
    code: str,
) -> None:
    answer = server.get(f"/api/v2/events{query}", key=key, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    head = Head(status, {name.lower(): value for name, value in answer.headers.items()})
    said_as_documented(document, "/api/v2/events", head, answer.json())


def said_as_documented(document: dict[str, Any], path: str, head: Head, body: dict[str, Any]) -> None:
    """Checks a refusal against the document's response for its status."""
    name = document["paths"][path]["get"]["responses"][str(head.status)]["$ref"].rpartition("/")[2]
    response = document["components"]["responses"][name]
    schema = response["content"][head.headers["content-type"]]["schema"]
    validator = jsonschema.Draft202012Validator({**schema, "components": document["components"]})
    assert [error.message for error in validator.iter_errors(body)] == []
    assert {header.lower() for header in response.get("headers", {})} <= head.headers.keys()


def narrowed(document: dict[str, Any]) -> dict[str, Any]:
    """The document as a test wants it: answers have no members that it does not name, and requests are right
    by content where they are right by form, and wrong by content where they are wrong by form.

    Lists have no greatest length here: no request is long enough to reach it.
    """
    made = copy.deepcopy(document)
    for name, schema in made["components"]["schemas"].items():
        if "properties" in schema and name != "Report":
            schema["additionalProperties"] = False
    parameters = {name: parameter["schema"] for name, parameter in made["components"]["parameters"].items()}
    parameters["country"]["items"] = {"enum": ["NOR", "swe", "no", "DEU", "DAN", "dnk"]}
    parameters["bbox"].update(items={"const": 10.5})
    made["components"]["parameters"]["cursor"]["schema"] = {"enum": ["Tk9SXzAxMzMz", "U1dFXzAwMDA3"]}
    parameters["contentEncoding"]["enum"] = ["identity"]
    for name, parameter in parameters.items():
        if name != "bbox":
            parameter.pop("maxItems", None)
    events = made["paths"]["/api/v2/events"]["get"]["parameters"]
    events.remove({"$ref": "#/components/parameters/lastEventId"})
    return made
