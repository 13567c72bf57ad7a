"""The AsyncAPI document says what goes over the streams, and nothing else goes over them."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, get_args
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft7Validator, Draft202012Validator
from tests.building import NOW, drawn, make_change, make_evses, make_station
from tests.contracts.frames import checked, document, names, validator
from tests.e2e.serving import Serving
from tests.e2e.wire import TEXT, Ended, Wire, request

from ladestrom.core.directory import Directory
from ladestrom.core.selection import EVERYTHING, EVSE_FILTERS, STATION_FILTERS
from ladestrom.core.view import View
from ladestrom.edges.contract.rows import message_name
from ladestrom.model import Cause, Status, StatusChanged
from ladestrom.outputs.nobil_v1.encoder import NobilDialect, NobilFormat
from ladestrom.outputs.nobil_v1.messages import NamedConnectorStatus, StationStatus, StreamMessage
from ladestrom.outputs.stream_v2.edge import STREAM_PATH
from ladestrom.outputs.stream_v2.encoder import ServerMessage
from ladestrom.roles.contracts import contract

E1: Final = "NO*ALF*E1333*1"


def reference(node: Any, pointer: str) -> Any:
    """What a local reference points to."""
    for part in pointer.removeprefix("#/").split("/"):
        node = node[part.replace("~1", "/").replace("~0", "~")]
    return node


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


# -- the document ------------------------------------------------------------------------------------------


def test_every_reference_leads_somewhere_and_every_component_is_referred_to() -> None:
    found = set(references(document()))
    for pointer in found:
        reference(document(), pointer)
    kept = {
        f"#/components/{kind}/{name}" for kind, named in document()["components"].items() for name in named
    }
    assert kept <= found


def test_the_messages_of_a_channel_are_the_types_that_its_edge_encodes() -> None:
    sent = {channel.name: set(channel.sent) for channel in contract().channels}
    assert sent["streamV1"] == sent["streamV1Realtime"] == set(get_args(StreamMessage))
    assert sent["streamV2"] == set(get_args(ServerMessage))
    for channel in contract().channels:
        listed = set(document()["channels"][channel.name]["messages"])
        assert listed == {
            message_name(each, contract().names)
            for each in (*channel.sent, *channel.received, *channel.answers)
        }


def test_an_operation_has_messages_of_its_own_channel_and_a_key() -> None:
    for operation in document()["operations"].values():
        channel = operation["channel"]["$ref"]
        given_messages = [*operation["messages"], *operation.get("reply", {}).get("messages", ())]
        assert all(each["$ref"].startswith(f"{channel}/messages/") for each in given_messages)
        assert operation["action"] in {"send", "receive"}
        assert operation["security"]


def test_the_parameters_are_those_that_the_streams_look_at() -> None:
    def named(channel: str) -> set[str]:
        return set(document()["channels"][channel]["bindings"]["ws"]["query"]["properties"])

    assert named("streamV1") == named("streamV1Realtime") == STATION_FILTERS | {"types", "since"}
    assert named("streamV2") == EVSE_FILTERS | {"batch_ms", "include", "mode", "on_reset", "since"}
    events = document()["operations"]["sendEventsV2"]["bindings"]["http"]["query"]["properties"]
    assert set(events) == named("streamV2")


def test_the_schemas_are_right_in_both_drafts() -> None:
    for schema in document()["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
        Draft7Validator.check_schema(schema)


@pytest.mark.parametrize("name", sorted(document()["components"]["messages"]))
def test_a_message_has_examples_and_they_are_valid(name: str) -> None:
    examples = document()["components"]["messages"][name]["examples"]
    assert examples
    for example in examples:
        assert [error.message for error in validator(name).iter_errors(example["payload"])] == []


# -- a check that could not fail would prove nothing -------------------------------------------------------


@pytest.mark.parametrize("name", sorted(set(document()["components"]["messages"]) - {"report", "select"}))
def test_a_frame_with_a_member_too_many_or_too_few_is_refused(name: str) -> None:
    example = document()["components"]["messages"][name]["examples"][0]["payload"]
    with pytest.raises(AssertionError):
        checked({**example, "more": 1}, name)
    for member in example:
        with pytest.raises(AssertionError):
            checked({key: value for key, value in example.items() if key != member}, name)


@pytest.mark.parametrize(
    ("name", "path", "value"),
    [
        ("statusUpdate", ("data", "status"), 3),
        ("statusUpdate", ("data", "connectors", 0, "status"), 2),
        ("statusUpdate", ("data", "connectors", 0, "timestamp"), -2),
        ("statusUpdate", ("data", "uuid"), "nor_1"),
        ("statusUpdate", ("seq",), -1),
        ("statusRaw", ("code",), 2),
        ("changes", ("changes", 0, "status"), "FREE"),
        ("changes", ("changes", 0, "error"), 2),
        ("changes", ("changes", 0, "changed_at"), "2026-11-22T10:00:00Z"),
        ("changes", ("changes", 0, "cause"), "whim"),
        ("changes", ("epoch",), "two words"),
        ("heartbeat", ("digest",), "4731CE62"),
        ("snapshot", ("part",), 0),
        ("reset", ("reason",), "mood"),
        ("receipt", ("position",), "481"),
        ("receipt", ("refused", 0, "reason"), "unchanged"),
        ("report", ("evse",), None),
        ("report", ("status",), "FREE"),
        ("report", ("error",), 2),
    ],
)
def test_a_frame_with_a_wrong_value_is_refused(name: str, path: tuple[str | int, ...], value: object) -> None:
    example = copy.deepcopy(document()["components"]["messages"][name]["examples"][0]["payload"])
    place = example
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(AssertionError):
        checked(example, name)


# -- version 1: bytes made by hand -------------------------------------------------------------------------

STATES: Final = st.lists(
    st.tuples(st.sampled_from(Status), st.booleans(), st.sampled_from([Cause.REPORTED, Cause.REGISTERED])),
    min_size=1,
    max_size=4,
)


@given(STATES)
def test_what_version_1_says_is_what_its_types_say(states: list[tuple[Status, bool, Cause]]) -> None:
    station = make_station(evses=make_evses(len(states)))
    directory = Directory()
    directory.put(station)
    view, encoder = View(directory, "k3v9q2xa"), NobilFormat()
    dialect = NobilDialect(encoder)
    payloads: list[bytes] = []
    for seq, (evse, (status, error, cause)) in enumerate(zip(station.evses, states, strict=True), 1):
        change = make_change(evse, status, NOW + seq, error=error, cause=cause)
        state, _ = view.apply(StatusChanged(seq, change))
        payloads.append(dialect.row(view, state, change))
    payloads += [message.payload for message in drawn(dialect, view, EVERYTHING, view.seq)]
    for payload in payloads:
        assert again(payload, StreamMessage) == payload
        checked(payload)
    found = view.get(station.uuid)
    assert found is not None
    assert again(encoder.station(found, station), StationStatus) == encoder.station(found, station)
    for ordinal in range(1, len(states) + 1):
        connector = encoder.connector(found, station, ordinal)
        assert connector is None or again(connector, NamedConnectorStatus) == connector


@given(st.sampled_from(Status), st.booleans(), st.integers(0, 2**53), st.integers(0, 998))
def test_what_version_1_heard_is_what_its_type_says(
    status: Status, error: bool, at: int, connector: int
) -> None:
    payload = NobilFormat().raw("NOR_01333", connector, status, error, at)
    if payload is not None:
        assert again(payload, StreamMessage) == payload
        checked(payload)


def again(payload: bytes, kind: Any) -> bytes:
    """Decoded as the type, and encoded; loses what the type does not have."""
    return msgspec.json.encode(msgspec.json.decode(payload, type=kind))


# -- a running server --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    settings = {"stream.heartbeat_s": 1}
    with Serving(tmp_path_factory.mktemp("asyncapi"), settings) as running:
        yield running


def seen(wire: Wire, kinds: set[str]) -> set[str]:
    """Checks frames until each of these types was seen."""
    found: set[str] = set()
    while not kinds <= found:
        found.add(checked(wire.text())["type"])
    return found


def test_the_document_that_is_served_is_the_one_that_frames_are_checked_against(server: Serving) -> None:
    got = server.get("/asyncapi.json", key=None).json()
    assert got["components"]["schemas"] == document()["components"]["schemas"]
    assert got["components"]["messages"] == document()["components"]["messages"]
    assert server.get("/openapi.json", key=None).json()["openapi"] == "3.1.0"


def test_every_message_of_version_1_is_as_the_document_says(server: Serving) -> None:
    with server.stream() as wire:
        seen(wire, {"snapshot:init"})
        server.report({"evse": E1, "status": "CHARGING"})
        server.report({"evse": E1, "status": "OUTOFORDER"})
        seen(wire, {"status:update", "status:raw"})


def test_every_message_of_version_2_is_as_the_document_says(server: Serving) -> None:
    with Wire(server.port) as wire:
        wire.open(f"{STREAM_PATH}?since=elsewhere-1&batch_ms=0", server.bearer())
        seen(wire, {"hello", "reset", "snapshot"})
        for status in ("CHARGING", "AVAILABLE", "REMOVED", "BLOCKED"):
            server.report({"evse": E1, "status": status})
        seen(wire, {"changes", "heartbeat"})
        for text in ('{"type":"select","country":"NOR","status":"AVAILABLE,BLOCKED"}', '{"type":"select"}'):
            checked(text)
            wire.put(TEXT, text.encode())
            seen(wire, {"selected", "snapshot"})
        wire.put(TEXT, b'{"type":"select","country":"Atlantis"}')
        wire.put(TEXT, b"what?")
        assert checked(frame(wire, "error"))["code"] == "invalid_filter"
        assert checked(frame(wire, "error"))["code"] == "bad_request"


def frame(wire: Wire, kind: str) -> bytes:
    """The next frame of a type; others are checked on the way."""
    while True:
        text = wire.text()
        if checked(text)["type"] == kind:
            return text


def test_every_event_is_as_the_document_says_to_the_last_one(tmp_path: Path) -> None:
    with Serving(tmp_path, {"stream.heartbeat_s": 1}) as server, Wire(server.port) as wire:
        target = "/api/v2/events?batch_ms=0&since=elsewhere-1"
        wire.send(request(target, {"Host": "127.0.0.1", **server.bearer()}))
        assert wire.head().headers["content-type"] == "text/event-stream"
        found: list[str] = []
        while "heartbeat" not in found or "changes" not in found:
            found.append(event(wire))
            if found[-1] == "snapshot":
                server.report({"evse": E1, "status": "CHARGING"})
        server.stop()
        found += rest(wire)
        assert found[:3] == ["hello", "reset", "snapshot"]
        assert found[-2:] == ["drain", "close"]


def rest(wire: Wire) -> list[str]:
    """Checks all events that are still to come, and gives their types."""
    found: list[str] = []
    with suppress(Ended):
        while True:
            found.append(event(wire))
    return found


def event(wire: Wire) -> str:
    """Checks the next event, and gives its type."""
    while b"\n\n" not in wire.buffer:
        wire.fill()
    lines = wire.take(wire.buffer.index(b"\n\n") + 2).decode().splitlines()
    fields = dict(line.split(": ", 1) for line in lines if line)
    message = checked(fields["data"])
    assert message["type"] == fields["event"]
    assert names()[message["type"]] in document()["channels"]["eventsV2"]["messages"]
    return str(message["type"])


def test_reports_and_their_answers_are_as_the_document_says(server: Serving) -> None:
    with Wire(server.port) as wire:
        wire.open("/api/v2/reports/stream", server.bearer("alfa"))
        messages: list[Any] = [
            {"evse": E1, "status": "CHARGING", "error": False, "observed_at": "2026-11-22T10:00:00Z"},
            {"uuid": "NOR_01333", "connector": 0, "status": 1, "error": 0, "timestamp": 1_362_520_099_000},
            [{"evse": E1, "status": "AVAILABLE"}, {"evse": "NO*NOBODY*E1", "status": 0}],
            [],
        ]
        for message in messages:
            validator("report").validate(message)
            wire.put(TEXT, json.dumps(message).encode())
            assert "accepted" in checked(wire.text(), "receipt")
        wire.put(TEXT, b"[")
        assert checked(wire.text(), "problem")["code"] == "malformed_body"
        far = {"evse": E1, "status": "CHARGING", "observed_at": "2999-01-01T00:00:00Z"}
        wire.put(TEXT, json.dumps([far, {"evse": E1, "status": "FREE"}]).encode())
        receipt = checked(wire.text(), "receipt")
        assert [each["reason"] for each in receipt["adjusted"]] == ["future_time"]
        assert [each["reason"] for each in receipt["refused"]] == ["invalid_status"]


def test_a_report_for_any_written_form_of_an_id_is_as_the_document_says(server: Serving) -> None:
    for written in (E1, "noalfe13331", "NO-ALF-E1333-1"):
        message = {"evse": written, "status": "RESERVED"}
        validator("report").validate(message)
        assert server.post(message).json()["refused"] == []
        assert server.get(f"/api/v2/evses/{quote(written)}").status_code == 200
