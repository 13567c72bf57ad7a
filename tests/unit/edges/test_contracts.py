"""The published contracts: built from types, and from tables of which every row is used."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import pytest
from jsonschema import Draft202012Validator
from litestar import Litestar
from litestar.testing import TestClient

from ladestrom import __version__
from ladestrom.config import Settings
from ladestrom.config.table import Server, Stream
from ladestrom.core.access import Scope
from ladestrom.core.features import FEATURES, features
from ladestrom.core.selection import EVSE_FILTERS, STATION_FILTERS, VALUES_MAX
from ladestrom.edges.contract import edge
from ladestrom.edges.contract.asyncapi import asyncapi
from ladestrom.edges.contract.openapi import openapi
from ladestrom.edges.contract.protocols import BASIC, undescribed
from ladestrom.edges.contract.requests import KEYS, errors
from ladestrom.edges.contract.rows import Part, whole
from ladestrom.edges.contract.schemas import WORDS, components, word
from ladestrom.edges.contract.served import ASYNCAPI_TYPE, OPENAPI_TYPE
from ladestrom.errors import Conflict, LadestromError
from ladestrom.outputs.stream_v2.encoder import Select
from ladestrom.problem import MEDIA_TYPE
from ladestrom.protocols import _blueprint
from ladestrom.protocols.delivery import ID_CHARACTERS_MAX
from ladestrom.protocols.plain import CONNECTOR_MAX
from ladestrom.roles.contracts import contract, documents
from ladestrom.roles.limits import served

NOT_TOLD: Final = {
    "http": "the framework's own errors, with its own statuses",
    "invalid_backup": "of the command line",
    "invalid_register": "of the command line",
    "invalid_setting": "of the command line",
    "log_damaged": "between the log and its readers; a consumer is told `reset`, or closed",
    "log_replaced": "likewise",
    "log_trimmed": "likewise",
    "method_not_allowed": "for methods that a path does not have: told once, in the description",
    "ocpi_method_not_allowed": "told in OCPI's own words",
    "ocpi_refused": "told in OCPI's own words",
    "peer_denies": "of peers that are asked",
    "peer_failed": "of peers that are asked",
    "source_failure": "of sources that are asked, not of those who ask",
}
"""Codes that no operation lists, and why."""
CONTRACT: Final = contract()
OPENAPI: Final = openapi(served(Settings()), CONTRACT)
ASYNCAPI: Final = asyncapi(served(Settings()), CONTRACT)


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in OPENAPI["paths"].items():
        for method, operation in methods.items():
            yield f"{method} {path}", operation


def references(node: Any) -> Iterator[str]:
    """Every local reference in a document."""
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for child in node.values():
            yield from references(child)
    elif isinstance(node, list):
        for child in node:
            yield from references(child)


def valid(schema: Any, instance: Any) -> bool:
    return Draft202012Validator({"components": OPENAPI["components"], "allOf": [schema]}).is_valid(instance)


# -- schemas -----------------------------------------------------------------------------------------------


def members() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for document in (OPENAPI, ASYNCAPI):
        for name, schema in document["components"]["schemas"].items():
            for member, given in schema.get("properties", {}).items():
                # A problem's members are the same with each status.
                yield re.sub(r"^Problem\d+$", "Problem", name), member, given


def test_every_member_says_what_it_means_and_every_row_of_the_table_is_used() -> None:
    assert [(name, member) for name, member, given in members() if not given["description"]] == []
    assert {word(name, member, {**WORDS, **CONTRACT.words})[0] for name, member, _ in members()} == {
        *WORDS,
        *CONTRACT.words,
    }


def test_every_component_says_what_it_is() -> None:
    for document in (OPENAPI, ASYNCAPI):
        schemas = document["components"]["schemas"]
        assert [name for name, schema in schemas.items() if not schema.get("description")] == []


def test_a_component_means_the_same_in_both_documents() -> None:
    here, there = OPENAPI["components"]["schemas"], ASYNCAPI["components"]["schemas"]
    for name in here.keys() & there.keys():
        assert here[name] == there[name]


def test_what_is_sent_has_all_its_members_and_what_is_received_may_leave_out_defaults() -> None:
    class Sent(msgspec.Struct):
        status: int
        error: int = 0
        adjusted: int | msgspec.UnsetType = msgspec.UNSET

    assert components([Sent], names={"Sent": "Was"})["Was"]["required"] == ["status", "error"]
    assert components([], [Select])["Select"]["required"] == ["type"]


def test_a_push_of_which_no_row_tells_more_is_in_the_document_with_its_path_and_what_it_is() -> None:
    rows = undescribed(_blueprint.PUSHES)
    made = openapi(served(Settings()), whole([CONTRACT, Part(operations=rows)]))
    operation = made["paths"]["/push/blueprint"]["post"]
    assert (operation["operationId"], operation["summary"]) == ("pushBlueprint", "An example")
    assert {"200", "401", "413"} <= operation["responses"].keys()


def test_a_member_without_a_row_is_a_mistake() -> None:
    class Odd(msgspec.Struct):
        whim: int

    with pytest.raises(KeyError, match="whim"):
        components([Odd])


def test_limits_of_reports_are_those_of_the_parser() -> None:
    report = OPENAPI["components"]["schemas"]["Report"]["properties"]
    assert report["evse"]["maxLength"] == report["uuid"]["maxLength"] == ID_CHARACTERS_MAX
    assert report["connector"]["maximum"] == CONNECTOR_MAX


def test_every_reference_leads_somewhere_and_every_component_is_referred_to() -> None:
    found = set(references(OPENAPI))
    kinds = ("schemas", "responses", "parameters", "headers")
    kept = {f"#/components/{kind}/{name}" for kind in kinds for name in OPENAPI["components"][kind]}
    assert found == kept


# -- examples ----------------------------------------------------------------------------------------------


def test_every_example_is_valid() -> None:
    schemas = OPENAPI["components"]["schemas"]
    shown = [(schema, example) for schema in schemas.values() for example in schema.get("examples", ())]
    parameters = OPENAPI["components"]["parameters"].values()
    shown += [(parameter["schema"], parameter["example"]) for parameter in parameters]
    bodies = [*OPENAPI["components"]["responses"].values()]
    bodies += [operation["requestBody"] for _, operation in operations() if "requestBody" in operation]
    for body in bodies:
        for content in body["content"].values():
            named = content.get("examples", {}).values()
            shown += [(content["schema"], example["value"]) for example in named]
    assert len(shown) > 60
    assert [example for schema, example in shown if not valid(schema, example)] == []


def test_every_type_that_is_an_answer_has_an_example() -> None:
    answers = {
        reference
        for _, operation in operations()
        for reference in references(operation["responses"].get("200", {}).get("content"))
    }
    schemas = OPENAPI["components"]["schemas"]
    without = {name for name in schemas if not schemas[name].get("examples")}
    assert {each.rpartition("/")[2] for each in answers} & without <= {"Liveness", "Readiness"}


# -- operations --------------------------------------------------------------------------------------------


def test_operations_have_ids_of_their_own_and_say_what_they_do() -> None:
    ids = [operation["operationId"] for _, operation in operations()]
    assert len(ids) == len(set(ids)) == len(CONTRACT.operations)
    assert all(operation["summary"] and operation["tags"] for _, operation in operations())
    assert {tag["name"] for tag in OPENAPI["tags"]} == {
        tag for _, operation in operations() for tag in operation["tags"]
    }


def test_parameters_of_a_path_are_those_in_its_braces() -> None:
    parameters = OPENAPI["components"]["parameters"]
    for name, operation in operations():
        given = [parameters[each["$ref"].rpartition("/")[2]] for each in operation.get("parameters", [])]
        in_path = {f"{{{one['name']}}}" for one in given if one["in"] == "path"}
        assert in_path == set(re.findall(r"\{\w+\}", name))


@pytest.mark.parametrize(
    ("operation", "filters"),
    [
        ("listChargers", STATION_FILTERS),
        ("streamV1", STATION_FILTERS),
        ("streamV1Realtime", STATION_FILTERS),
        ("listStations", EVSE_FILTERS | FEATURES),
        ("listEvses", EVSE_FILTERS | FEATURES),
        ("streamV2", EVSE_FILTERS),
        ("eventsV2", EVSE_FILTERS),
    ],
)
def test_filters_are_those_that_the_code_looks_at(operation: str, filters: frozenset[str]) -> None:
    row = next(row for row in CONTRACT.operations if row.id == operation)
    assert set(row.parameters) & (EVSE_FILTERS | FEATURES) == filters


def test_lists_in_the_query_have_the_limit_of_the_code() -> None:
    for name in (EVSE_FILTERS | FEATURES) - {"bbox", "open_now", "min_kw"}:
        assert OPENAPI["components"]["parameters"][name]["schema"]["maxItems"] == VALUES_MAX


def test_every_word_that_a_filter_by_features_has_is_understood() -> None:
    for name in FEATURES:
        schema = OPENAPI["components"]["parameters"][name]["schema"]
        words = schema.get("items", schema).get("enum", [schema.get("minimum"), schema.get("maximum")])
        for value in words:
            assert features({name: str(value)}) != features({}), (name, value)


def test_keys_go_into_the_query_on_paths_of_version_1_only_and_tickets_open_streams_only() -> None:
    for name, operation in operations():
        schemes = {scheme for needed in operation["security"] for scheme in needed}
        known = OPENAPI["components"]["securitySchemes"]
        in_query = {scheme for scheme in schemes if known[scheme].get("in") == "query"}
        if "/api/v1/stream" in name:
            assert in_query == {"key", "apikey", "ticket"}
        elif "/api/v1/" in name:
            assert in_query == {"key", "apikey"}
        elif name in {"get /api/v2/stream", "get /api/v2/events", "get /nobil/real-time/v1/stream"}:
            assert in_query == {"ticket"}
        elif "/api/server/" in name:
            assert in_query == {"apikey"}
        else:
            assert in_query == set()


def test_what_needs_a_key_says_for_what_scope() -> None:
    for _, operation in operations():
        for needed in operation["security"]:
            for scheme, roles in needed.items():
                assert set(roles) <= set(Scope)
                assert bool(roles) is (scheme in KEYS or scheme == BASIC)


# -- errors ------------------------------------------------------------------------------------------------


def test_every_error_that_can_be_met_is_told_with_its_status() -> None:
    told: dict[str, set[int]] = {}
    for response in OPENAPI["components"]["responses"].values():
        for problem in problems(response):
            told.setdefault(problem["code"], set()).add(problem["status"])
    assert told.pop("too_large") == {413, 431}
    assert told == {
        code: {error.status}
        for code, error in errors().items()
        if code not in NOT_TOLD and code != "too_large"
    }


def problems(response: dict[str, Any]) -> list[dict[str, Any]]:
    """The examples of a refusal; none where it is told in the words of another protocol."""
    (kind,) = response["content"]
    shown = response["content"][kind]["examples"].values()
    return [example["value"] for example in shown] if kind == MEDIA_TYPE else []


def test_what_is_refused_is_one_schema_with_a_name() -> None:
    schemas = OPENAPI["components"]["schemas"]
    for response in OPENAPI["components"]["responses"].values():
        (content,) = response["content"].values()
        assert set(content["schema"]) == {"$ref"}
        schema = schemas[content["schema"]["$ref"].rpartition("/")[2]]
        assert schema["type"] == "object"
        assert not {"allOf", "anyOf", "oneOf"} & set(schema)
        for problem in problems(response):
            assert schema["properties"]["status"]["const"] == problem["status"]
            assert problem["code"] in schema["properties"]["code"]["enum"]


def test_any_request_may_be_told_to_wait_and_what_is_stored_to_come_again() -> None:
    for name, operation in operations():
        assert "429" in operation["responses"], name
    waits = {name for name, operation in operations() if "503" in operation["responses"]}
    asks = ("get ", "post /api/oicp/evsepull/", "post /api/server/")
    changes = {name for name, _ in operations() if not name.startswith(asks)}
    assert changes - waits == {
        "post /api/v2/tickets",
        "post /auth/token",
        "post /nobil/real-time/v1/Realtime",
        "post /api/v2/admin/sources/{name}/ask",
    }


def test_codes_are_stable_words_of_one_error_each() -> None:
    def tree(error: type[LadestromError]) -> Iterator[type[LadestromError]]:
        yield error
        for child in error.__subclasses__():
            yield from tree(child)

    ours = [error for error in tree(LadestromError) if error.__module__.startswith("ladestrom.")]
    assert len({error.code for error in ours}) == len(ours)


def test_errors_of_others_are_not_told() -> None:
    class Foreign(Conflict):
        code = "foreign"

    assert "foreign" not in errors()
    del Foreign


# -- what the settings decide ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "servers"),
    [
        ("", {"websocket": ("{host}", "ws", None), "events": ("{host}", "http", None)}),
        (
            "https://live.example.org",
            {"websocket": ("live.example.org", "wss", None), "events": ("live.example.org", "https", None)},
        ),
        (
            "http://example.org:8080/ladestrom",
            {
                "websocket": ("example.org:8080", "ws", "/ladestrom"),
                "events": ("example.org:8080", "http", "/ladestrom"),
            },
        ),
    ],
)
def test_the_servers_are_the_public_address_else_where_the_document_is(
    url: str, servers: dict[str, tuple[str, str, str | None]]
) -> None:
    facts = served(Settings(server=Server(url_public=url)))
    assert openapi(facts, CONTRACT)["servers"] == [{"url": url or "/"}]
    found = {
        name: (server["host"], server["protocol"], server.get("pathname"))
        for name, server in asyncapi(facts, CONTRACT)["servers"].items()
    }
    assert found == servers


def test_limits_that_settings_change_are_told() -> None:
    stream = Stream(inbound_kib_max=7, inbound_messages_per_minute_max=321, heartbeat_s=11)
    facts = msgspec.structs.replace(served(Settings(stream=stream)), report_items_max=77)
    described = asyncapi(facts, CONTRACT)
    assert "7168 bytes" in described["info"]["description"]
    assert "321 messages a minute" in described["info"]["description"]
    assert "every 11 s" in described["channels"]["streamV2"]["description"]
    (content,) = openapi(facts, CONTRACT)["paths"]["/api/v2/reports"]["post"]["requestBody"][
        "content"
    ].values()
    assert content["schema"]["oneOf"][1]["maxItems"] == 77


# -- over HTTP ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient[Litestar]]:
    handlers = edge.handlers(lambda: documents(served(Settings())))
    with TestClient(Litestar(handlers, openapi_config=None, logging_config=None)) as client:
        yield client


PATHS: Final = (("/openapi.json", OPENAPI_TYPE, OPENAPI), ("/asyncapi.json", ASYNCAPI_TYPE, ASYNCAPI))


@pytest.mark.parametrize(("path", "media_type", "document"), PATHS)
def test_a_document_needs_no_key_and_has_its_own_media_type(
    client: TestClient[Litestar], path: str, media_type: str, document: dict[str, Any]
) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == media_type
    assert answer.headers["vary"] == "Accept"
    assert answer.json() == document
    assert answer.json()["info"]["version"] == __version__


@pytest.mark.parametrize(("path", "media_type", "document"), PATHS)
@pytest.mark.parametrize(
    ("accept", "plain"),
    [
        ("application/json", True),
        ("application/json;q=0.9, text/html", True),
        ("*/*", False),
        ("text/html", False),
        ("application/vnd.oai.openapi+json, application/vnd.aai.asyncapi+json, application/json", False),
    ],
)
def test_plain_json_is_for_those_that_ask_for_it(
    client: TestClient[Litestar],
    path: str,
    media_type: str,
    document: dict[str, Any],
    accept: str,
    plain: bool,
) -> None:
    answer = client.get(path, headers={"accept": accept})
    assert answer.headers["content-type"] == ("application/json" if plain else media_type)
    assert answer.json() == document


@pytest.mark.parametrize(("path", "media_type", "document"), PATHS)
def test_who_has_the_document_is_told_so(
    client: TestClient[Litestar], path: str, media_type: str, document: dict[str, Any]
) -> None:
    tag = client.get(path).headers["etag"]
    same = client.get(path, headers={"if-none-match": tag})
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)
    other = client.get(path, headers={"if-none-match": tag, "accept": "application/json"})
    assert other.status_code == 200
    assert other.headers["etag"] != tag
